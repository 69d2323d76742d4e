/*-------------------------------------------------------------------------
 *
 * graph_copy.c
 *	  A graph's image once more in another memory, packed.
 *
 * While an image is built its arrays grow by doubling, and so does its memory.
 * The copy has pages and memory of exactly the size needed, in the order in
 * which they are read: many small graphs fit where their builders would not.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "core/graph.h"
#include "core/graph_private.h"

/* the root still says what the array it was copied from looks like */
static GmStatus
copy_array(GmMem *mem, const GmArray *from, GmArrayRoot *root, GmArray *to)
{
	uint64_t	n = root->ar_length;
	uint32_t	page = root->ar_page;
	uint64_t	contiguous;

	gm_array_init(root, from->element, from->element);
	root->ar_page = page;
	GM_TRY(gm_array_attach(mem, root, to));
	GM_TRY(gm_array_reserve(mem, to, n));
	for (uint64_t i = 0; i < n; i += contiguous)
	{
		const void *page_of = gm_array_span(from, i, &contiguous);

		if (contiguous > n - i)
			contiguous = n - i;
		memcpy(gm_array_at(to, i), page_of, (size_t) contiguous * from->element);
	}
	root->ar_length = n;
	return GM_OK;
}

static GmStatus
copy_index(GmMem *mem, const GmIndex *from, GmIndexRoot *root, GmIndex *to)
{
	to->root = root;
	GM_TRY(copy_array(mem, &from->head, &root->ix_head, &to->head));
	return copy_array(mem, &from->next, &root->ix_next, &to->next);
}

static GmStatus
copy_block(GmMem *mem, const GmMem *from, size_t bytes, GmRef *ref)
{
	GmRef		old = *ref;

	GM_TRY(gm_mem_alloc(mem, bytes, ref));
	memcpy(gm_mem_ptr(mem, *ref), gm_mem_ptr(from, old), bytes);
	return GM_OK;
}

static GmStatus
copy_string(GmGraph *to, const GmGraph *from, GmRef *ref)
{
	const GmString *s = gm_graph_string(from, *ref);

	return s == NULL ? GM_OK : gm_graph_add_string(to, s->bytes, s->length, ref);
}

static GmStatus
copy_strings(GmGraph *to, const GmGraph *from)
{
	for (GmNode node = 0; node < to->root->gr_nodes; node++)
		GM_TRY(copy_string(to, from, gm_array_at(&to->name, node)));
	for (uint64_t i = 0; i < to->root->gr_string.ar_length; i++)
		GM_TRY(copy_string(to, from, gm_array_at(&to->string, i)));
	for (uint32_t i = 0; i < to->root->gr_predicates; i++)
	{
		GmPredicate *p = gm_array_at(&to->predicate_info, i);

		GM_TRY(copy_string(to, from, &p->name));
	}
	for (uint32_t i = 0; i < to->root->gr_sources; i++)
	{
		GmSource   *s = gm_array_at(&to->source, i);

		GM_TRY(copy_string(to, from, &s->name));
		GM_TRY(copy_string(to, from, &s->session));
		GM_TRY(copy_string(to, from, &s->kind));
	}
	for (uint32_t i = 0; i < to->root->gr_aliases; i++)
	{
		GmAlias    *a = gm_array_at(&to->alias, i);

		GM_TRY(copy_string(to, from, &a->name));
	}
	return GM_OK;
}

static GmStatus
copy_run(GmGraph *to, const GmGraph *from, GmRun *run)
{
	GmRunView	old = gm_graph_run_view(from, run);
	size_t		n = old.length;
	uint32_t   *block;

	run->rn_block = 0;
	run->rn_cap = run->rn_length;
	if (n == 0)
		return GM_OK;
	GM_TRY(gm_mem_alloc_words(to->mem, n * 3, &run->rn_block));
	block = gm_mem_ptr(to->mem, run->rn_block);
	memcpy(block, old.neighbor, n * sizeof(uint32_t));
	memcpy(block + n, old.predicate, n * sizeof(uint32_t));
	memcpy(block + 2 * n, old.slot, n * sizeof(uint32_t));
	return GM_OK;
}

static GmStatus
copy_runs(GmGraph *to, const GmGraph *from, GmArray *runs, const GmInterrupt *intr)
{
	for (uint64_t i = 0; i < runs->root->ar_length; i++)
	{
		GmNodeRuns *r = gm_array_at(runs, i);

		GM_PAUSE(intr, i);
		GM_TRY(copy_run(to, from, &r->out));
		GM_TRY(copy_run(to, from, &r->in));
	}
	return GM_OK;
}

/* blocks of vectors; none of the space is in the table only, since it has no index */
static GmStatus
copy_blocks(const GmSpace *from, GmSpace *to)
{
	for (uint32_t row = 0; row < from->root->sp_rows; row++)
		GM_TRY(copy_block(to->mem, from->mem, from->root->sp_dim * sizeof(float),
						  gm_array_at(&to->vector, row)));
	return GM_OK;
}

static GmStatus
copy_space_root(const GmSpace *from, GmSpace *to, GmRef *ref)
{
	GmSpaceRoot *root;

	GM_TRY(copy_block(to->mem, from->mem, sizeof(GmSpaceRoot), ref));
	root = gm_mem_ptr(to->mem, *ref);
	gm_space_root_no_index(root);
	GM_TRY(copy_array(to->mem, &from->item_id, &root->sp_item_id, &to->item_id));
	GM_TRY(copy_array(to->mem, &from->number, &root->sp_number, &to->number));
	GM_TRY(copy_array(to->mem, &from->scale, &root->sp_scale, &to->scale));
	GM_TRY(copy_array(to->mem, &from->vector, &root->sp_vector, &to->vector));
	GM_TRY(copy_array(to->mem, &from->hash, &root->sp_hash, &to->hash));
	if (root->sp_apart)
		GM_TRY(copy_blocks(from, to));
	GM_TRY(copy_array(to->mem, &from->row_of, &root->sp_row_of, &to->row_of));
	return copy_index(to->mem, &from->by_item, &root->sp_by_item, &to->by_item);
}

static GmStatus
copy_space(GmGraph *to, const GmGraph *from, GmGraphSpace *info)
{
	GmSpace    *handle = calloc(1, sizeof(GmSpace));
	GmSpace    *old = NULL;
	GmStatus	status = handle == NULL ? GM_NO_MEMORY :
		gm_space_attach(from->mem, info->root, &old);

	if (status == GM_OK)
	{
		handle->mem = to->mem;
		status = copy_space_root(old, handle, &info->root);
	}
	gm_space_destroy(old);
	gm_space_destroy(handle);
	if (status == GM_OK)
		status = copy_string(to, from, &info->name);
	return status;
}

static GmStatus
copy_all(GmGraph *to, const GmGraph *from, const GmInterrupt *intr)
{
	GmGraphRoot *root = to->root;

#define COPY(field, size, page) \
	GM_TRY(copy_array(to->mem, &from->field, &root->gr_##field, &to->field)); \
	if (gm_interrupted(intr)) \
		return GM_INTERRUPTED;
	GM_GRAPH_ARRAYS(COPY)
#undef COPY
#define COPY(field) \
	GM_TRY(copy_index(to->mem, &from->field, &root->gr_##field, &to->field)); \
	if (gm_interrupted(intr)) \
		return GM_INTERRUPTED;
	GM_GRAPH_INDEXES(COPY)
#undef COPY
	GM_TRY(copy_strings(to, from));
	GM_TRY(copy_runs(to, from, &to->runs, intr));
	GM_TRY(copy_runs(to, from, &to->past, intr));
	for (uint32_t i = 0; i < gm_graph_spaces(to); i++)
		GM_TRY(copy_space(to, from, gm_array_at(&to->space, i)));
	if (root->gr_base == 0)
		return GM_OK;
	return copy_block(to->mem, from->mem, sizeof(GmGraphBase) +
					  gm_graph_base(from)->n * sizeof(uint64_t), &root->gr_base);
}

GmStatus
gm_graph_copy(const GmGraph *from, GmMem *mem, const GmInterrupt *intr, GmGraph **copy)
{
	GmGraph    *g = calloc(1, sizeof(GmGraph));
	GmStatus	status;

	if (g == NULL)
		return GM_NO_MEMORY;
	g->mem = mem;
	g->ref = from->ref;
	status = copy_block(mem, from->mem, sizeof(GmGraphRoot), &g->ref);
	if (status == GM_OK)
	{
		g->root = gm_mem_ptr(mem, g->ref);
		status = copy_all(g, from, intr);
	}
	if (status != GM_OK)
		gm_graph_destroy(g);
	else
		*copy = g;
	return status;
}
