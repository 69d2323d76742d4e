/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  A version of a graph's image: its beginning, its rows, its end.
 *
 * apply_names.c	entities, aliases, predicates, sources
 * apply_triples.c	triples, their times, assertions, confidence
 * apply_runs.c		adjacency
 * apply_spaces.c	vectors
 * apply_late.c		rows that come before what they refer to
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "core/apply.h"
#include "core/apply_private.h"

/*
 * Lists and sets
 */
static GmStatus
charge(GmApply *ap, size_t bytes)
{
	GM_TRY(gm_mem_charge(ap->mem, (int64_t) bytes));
	ap->charged += bytes;
	return GM_OK;
}

GmStatus
gm_list_reserve(GmApply *ap, GmList *list, size_t element, size_t n)
{
	size_t		room = list->room == 0 ? 16 : list->room;
	void	   *p;

	if (n <= list->room)
		return GM_OK;
	while (room < n)
		room *= 2;
	GM_TRY(charge(ap, (room - list->room) * element));
	p = realloc(list->data, room * element);
	if (p == NULL)
		return GM_NO_MEMORY;
	list->data = p;
	list->room = room;
	return GM_OK;
}

GmStatus
gm_list_add(GmApply *ap, GmList *list, size_t element, void *at)
{
	void	   *p;

	if (list->n == list->room)
		GM_TRY(gm_list_reserve(ap, list, element, list->n + 1));
	p = (char *) list->data + list->n++ * element;
	memcpy(at, &p, sizeof(p));
	return GM_OK;
}

static uint32_t *
number_entry(const GmNumbers *set, uint32_t number)
{
	uint32_t	at = number * UINT32_C(2654435769) >> 7 & (set->room - 1);

	while (set->entry[at] != 0 && set->entry[at] != number + 1)
		at = (at + 1) & (set->room - 1);
	return &set->entry[at];
}

bool
gm_numbers_have(const GmNumbers *set, uint32_t number)
{
	return set->n > 0 && *number_entry(set, number) != 0;
}

static GmStatus
grow_numbers(GmApply *ap, GmNumbers *set)
{
	GmNumbers	larger = {NULL, set->room == 0 ? 16 : set->room * 2, 0, 0};

	GM_TRY(charge(ap, (larger.room - set->room) * sizeof(uint32_t)));
	larger.entry = calloc(larger.room, sizeof(uint32_t));
	if (larger.entry == NULL)
		return GM_NO_MEMORY;
	for (uint32_t i = 0; i < set->room; i++)
	{
		if (set->entry[i] == 0 || set->entry[i] == GM_NONE)
			continue;
		*number_entry(&larger, set->entry[i] - 1) = set->entry[i];
		larger.used++;
		larger.n++;
	}
	free(set->entry);
	*set = larger;
	return GM_OK;
}

GmStatus
gm_numbers_add(GmApply *ap, GmNumbers *set, uint32_t number)
{
	uint32_t   *entry;

	if (set->used >= set->room / 2)
		GM_TRY(grow_numbers(ap, set));
	entry = number_entry(set, number);
	if (*entry != 0)
		return GM_OK;
	*entry = number + 1;
	set->used++;
	set->n++;
	return GM_OK;
}

/* leaves a mark that is no number, so that others are still found behind it */
void
gm_numbers_remove(GmNumbers *set, uint32_t number)
{
	uint32_t   *entry;

	if (set->n == 0)
		return;
	entry = number_entry(set, number);
	if (*entry == 0)
		return;
	*entry = GM_NONE;
	set->n--;
}

uint32_t
gm_numbers_next(const GmNumbers *set, uint32_t *at)
{
	while (*at < set->room)
	{
		uint32_t	entry = set->entry[(*at)++];

		if (entry != 0 && entry != GM_NONE)
			return entry - 1;
	}
	return GM_NONE;
}

void
gm_retire_string(GmApply *ap, GmRef string)
{
	if (string != 0)
		gm_mem_retire(ap->mem, string,
					  sizeof(GmString) + gm_graph_string(ap->graph, string)->length);
}

/*
 * Beginning
 */
static GmStatus
copy_root(GmApply *ap)
{
	GmRef		ref;

	GM_TRY(gm_mem_alloc(ap->mem, sizeof(GmGraphRoot), &ref));
	memcpy(gm_mem_ptr(ap->mem, ref), ap->before, sizeof(GmGraphRoot));
	return gm_graph_attach_root(ap->graph, ref);
}

GmStatus
gm_apply_begin(GmGraph *graph, const GmInterrupt *intr, GmApply **apply)
{
	GmApply    *ap = calloc(1, sizeof(GmApply));
	GmStatus	status;

	if (ap == NULL)
		return GM_NO_MEMORY;
	ap->graph = graph;
	ap->mem = graph->mem;
	ap->intr = intr;
	ap->before = graph->root;
	ap->before_ref = graph->ref;
	status = gm_mem_begin(ap->mem);
	if (status != GM_OK)
	{
		free(ap);
		return status;
	}
	gm_late_begin(graph);
	status = copy_root(ap);
	if (status != GM_OK)
		gm_apply_abort(ap);
	else
		*apply = ap;
	return status;
}

void
gm_apply_set_sequence(GmApply *ap, uint64_t sequence, uint64_t max_xid)
{
	ap->graph->root->gr_sequence = sequence;
	ap->graph->root->gr_max_xid = max_xid;
}

/*
 * Rows
 */
GmStatus
gm_take_number(GmApply *ap, GmIndex *index, GmArray *array, uint32_t *count, uint32_t *number)
{
	GM_TRY(gm_index_take(ap->mem, index, number));
	if (*number != GM_NONE)
		return GM_OK;
	if (*count >= GM_NONE - 1)
		return GM_TOO_MANY;
	*number = *count;
	GM_TRY(gm_apply_extend(ap, array, (uint64_t) *number + 1));
	(*count)++;
	return GM_OK;
}

/* tables that are not here are no part of an image */
typedef GmStatus (*RowHandler) (GmApply *ap, const GmRow *row);

static const struct
{
	RowHandler	put;
	RowHandler	remove;
}			handlers[GM_TABLES] = {
	[GM_TABLE_ENTITIES] = {gm_put_entity, gm_remove_entity},
	[GM_TABLE_ALIASES] = {gm_put_alias, gm_remove_alias},
	[GM_TABLE_PREDICATES] = {gm_put_predicate, gm_remove_predicate},
	[GM_TABLE_TRIPLES] = {gm_put_triple, gm_remove_triple},
	[GM_TABLE_SOURCES] = {gm_put_source, gm_remove_source},
	[GM_TABLE_ASSERTIONS] = {gm_put_assertion, gm_remove_assertion},
	[GM_TABLE_SPACES] = {gm_put_space, gm_remove_space},
	[GM_TABLE_EMBEDDINGS] = {gm_put_embedding, gm_remove_embedding},
	[GM_TABLE_TOPOLOGY] = {gm_put_embedding, gm_remove_embedding},
};

GmStatus
gm_apply_put(GmApply *ap, const GmRow *row)
{
	RowHandler	put = handlers[row->table].put;

	gm_late_drop(ap, row);
	return put == NULL ? GM_OK : put(ap, row);
}

GmStatus
gm_apply_remove(GmApply *ap, const GmRow *row)
{
	RowHandler	remove = handlers[row->table].remove;

	gm_late_drop(ap, row);
	return remove == NULL ? GM_OK : remove(ap, row);
}

/*
 * Finishing
 */
GmStatus
gm_apply_finish(GmApply *ap, int64_t now, GmRef *root)
{
	GmGraph    *g = ap->graph;
	uint32_t	waiting;

	ap->now = now > g->root->gr_built_at ? now : g->root->gr_built_at;
	waiting = g->late == NULL ? 0 : g->late->kept;
	GM_TRY(gm_late_retry(ap));
	GM_TRY(gm_finish_predicates(ap));
	GM_TRY(gm_finish_sources(ap));
	GM_TRY(gm_finish_nodes(ap));
	GM_TRY(gm_finish_spaces(ap));
	GM_TRY(gm_finish_runs(ap));
	GM_TRY(gm_finish_confidence(ap));
	if (g->late != NULL)
		g->root->gr_dangling += (uint64_t) g->late->live - waiting;
	gm_mem_retire(ap->mem, ap->before_ref, sizeof(GmGraphRoot));
	*root = g->ref;
	return GM_OK;
}

static void
free_apply(GmApply *ap)
{
	GmGraph    *g = ap->graph;

#define END(field, size, page) gm_array_end(&g->field);
	GM_GRAPH_ARRAYS(END)
#undef END
#define END(field) gm_index_end(&g->field);
	GM_GRAPH_INDEXES(END)
#undef END
	gm_close_spaces(ap);
	for (uint32_t i = 0; i < g->space_room; i++)
		g->space_current[i] = false;
	free(ap->touched[0].data);
	free(ap->touched[1].data);
	free(ap->facts.data);
	free(ap->lost.data);
	free(ap->new_times.data);
	free(ap->spaces.data);
	free(ap->time_table);
	free(ap->doomed_nodes.entry);
	free(ap->doomed_predicates.entry);
	free(ap->doomed_sources.entry);
	free(ap->doomed_spaces.data);
	free(ap->rejudged.entry);
	(void) gm_mem_charge(ap->mem, -(int64_t) ap->charged);
	free(ap);
}

void
gm_apply_commit(GmApply *ap, uint64_t epoch)
{
	GmMem	   *mem = ap->mem;

	gm_late_commit(ap->graph);
	free_apply(ap);
	gm_mem_commit(mem, epoch);
}

void
gm_apply_abort(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	GmRef		before = ap->before_ref;

	gm_late_abort(g);
	free_apply(ap);
	gm_mem_abort(g->mem);

	/* as many directory blocks as before: no memory is needed */
	(void) gm_graph_attach_root(g, before);
}

uint64_t
gm_apply_dangling(const GmGraph *graph)
{
	return graph->root->gr_dangling;
}
