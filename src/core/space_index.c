/*-------------------------------------------------------------------------
 *
 * space_index.c
 *	  Which node of an index stands for which row of a space, and searches
 *	  that use both.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/space_index.h"
#include "core/space_private.h"

#define CENTRE_SAMPLE	8192	/* rows that the centre is the mean of */
#define ROWS_PER_LOOK	4096

/*
 * Costs of a search, in elements of a full-precision row that a scan reads: a
 * row by its place (it is not in cache), and a code.
 */
#define COST_ROW		60
#define COST_GATHERED	200
#define COST_CODE		120
#define COST_CALL		4000

/* distances that a search of an index computes, about: so many, and m times so many each of ef */
#define DISTANCES_FIRST	300
#define DISTANCES_EF	0.9

/* candidates whose full distance decides */
#define REFINE_LEAST	24
#define REFINE_OF_K		2

#define ROW_OF(s, node)		(GM_ARRAY_U32(&(s)->row_at, node) - 1)

/*
 * Mapping
 */
static GmStatus
set_node_of(GmSpace *space, uint32_t row, uint32_t value)
{
	uint32_t   *p;

	GM_TRY(gm_space_writable(space, &space->node_of, row, &p));
	*p = value;
	return GM_OK;
}

static GmStatus
set_row_at(GmSpace *space, uint32_t node, uint32_t link)
{
	uint32_t   *p;

	GM_TRY(gm_space_extend(space, &space->row_at, (uint64_t) node + 1));
	GM_TRY(gm_space_writable(space, &space->row_at, node, &p));
	*p = link;
	return GM_OK;
}

static GmStatus
append(GmSpace *space, GmArray *list, uint32_t value)
{
	uint64_t	n = list->root->ar_length;
	uint32_t   *p;

	GM_TRY(gm_space_extend(space, list, n + 1));
	GM_TRY(gm_space_writable(space, list, n, &p));
	*p = value;
	return GM_OK;
}

/* the node that the pending row at this place was loaded as, or GM_NONE */
static uint32_t
made_at(const GmSpace *space, uint32_t place)
{
	return place < space->made.root->ar_length ? GM_ARRAY_U32(&space->made, place) - 1 : GM_NONE;
}

static GmStatus
set_made(GmSpace *space, uint32_t place, uint32_t node)
{
	uint32_t   *p;

	if (made_at(space, place) == node)
		return GM_OK;
	GM_TRY(gm_space_writable(space, &space->made, place, &p));
	*p = node + 1;
	return GM_OK;
}

static GmStatus
set_pending(GmSpace *space, uint32_t row)
{
	GM_TRY(set_node_of(space, row,
					   GM_SPACE_PENDING | (uint32_t) space->pending.root->ar_length));
	return append(space, &space->pending, row);
}

/* the last pending row takes its place */
static GmStatus
unset_pending(GmSpace *space, uint32_t row)
{
	uint32_t	place = GM_ARRAY_U32(&space->node_of, row) & ~GM_SPACE_PENDING;
	uint64_t	last = space->pending.root->ar_length - 1;
	uint32_t	moved = GM_ARRAY_U32(&space->pending, last);
	uint32_t   *p;

	if (place != last)
	{
		GM_TRY(gm_space_writable(space, &space->pending, place, &p));
		*p = moved;
		GM_TRY(set_node_of(space, moved, GM_SPACE_PENDING | place));
		GM_TRY(set_made(space, place, made_at(space, (uint32_t) last)));
	}
	if (space->made.root->ar_length > last)
		GM_TRY(gm_space_shorten(space, &space->made, last));
	return gm_space_shorten(space, &space->pending, last);
}

static bool
is_pending(const GmSpace *space, uint32_t row)
{
	return (GM_ARRAY_U32(&space->node_of, row) & GM_SPACE_PENDING) != 0;
}

/* the node that has the row's code, linked or not; GM_NONE: none has */
static uint32_t
code_of(const GmSpace *space, uint32_t row)
{
	uint32_t	node = GM_ARRAY_U32(&space->node_of, row);

	return (node & GM_SPACE_PENDING) == 0 ? node : made_at(space, node & ~GM_SPACE_PENDING);
}

/* the row's node, if it has any, stands for nothing from now on */
static GmStatus
lose_node(GmSpace *space, uint32_t row)
{
	uint32_t	node = code_of(space, row);

	if (node == GM_NONE)
		return GM_OK;
	if (is_pending(space, row))
		GM_TRY(set_made(space, GM_ARRAY_U32(&space->node_of, row) & ~GM_SPACE_PENDING, GM_NONE));
	else
		GM_TRY(set_row_at(space, node, 0));
	return append(space, &space->dead, node);
}

GmStatus
gm_mapping_row_added(GmSpace *space, uint32_t row)
{
	if (!gm_space_has_index(space))
		return GM_OK;
	GM_TRY(gm_space_extend(space, &space->node_of, (uint64_t) row + 1));
	return set_pending(space, row);
}

GmStatus
gm_mapping_row_changed(GmSpace *space, uint32_t row)
{
	bool		pending;

	if (!gm_space_has_index(space))
		return GM_OK;
	pending = is_pending(space, row);
	GM_TRY(lose_node(space, row));
	return pending ? GM_OK : set_pending(space, row);
}

GmStatus
gm_mapping_row_removed(GmSpace *space, uint32_t row)
{
	uint64_t	rows = space->node_of.root->ar_length;

	if (!gm_space_has_index(space))
		return GM_OK;
	GM_TRY(lose_node(space, row));
	if (is_pending(space, row))
		GM_TRY(unset_pending(space, row));
	if (row == rows - 1)
		GM_TRY(gm_space_shorten(space, &space->node_of, rows - 1));
	return GM_OK;
}

GmStatus
gm_mapping_row_moved(GmSpace *space, uint32_t from, uint32_t to)
{
	uint32_t	node;
	uint32_t   *p;

	if (!gm_space_has_index(space))
		return GM_OK;
	node = GM_ARRAY_U32(&space->node_of, from);
	GM_TRY(set_node_of(space, to, node));
	if ((node & GM_SPACE_PENDING) == 0)
		GM_TRY(set_row_at(space, node, to + 1));
	else
	{
		GM_TRY(gm_space_writable(space, &space->pending, node & ~GM_SPACE_PENDING, &p));
		*p = to;
	}
	return gm_space_shorten(space, &space->node_of, from);
}

/*
 * The writer
 */
bool
gm_space_wants_index(const GmSpace *space)
{
	return !gm_space_has_index(space) && space->root->sp_rows >= GM_SPACE_INDEX_FROM;
}

/* the mean of rows spread over the space, under cosine of their directions */
static GmStatus
find_centre(const GmSpace *space, const GmInterrupt *intr, float *centre)
{
	uint32_t	dim = space->root->sp_dim;
	uint32_t	rows = space->root->sp_rows;
	uint32_t	n = rows < CENTRE_SAMPLE ? rows : CENTRE_SAMPLE;
	double	   *sum = calloc(dim, sizeof(double));

	if (sum == NULL)
		return GM_NO_MEMORY;
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	row = (uint32_t) ((uint64_t) i * rows / n);

		gm_centre_add(gm_space_vector(space, row), GM_ARRAY_F32(&space->scale, row), dim, sum);
		if (i % 1024 == 1023 && gm_interrupted(intr))
		{
			free(sum);
			return GM_INTERRUPTED;
		}
	}
	for (uint32_t j = 0; j < dim; j++)
		centre[j] = n > 0 ? (float) (sum[j] / n) : 0;
	free(sum);
	return GM_OK;
}

static GmStatus
make_indexer(const GmSpace *space, GmHnswWork *work, GmIndexer **indexer)
{
	GmIndexer  *ix = calloc(1, sizeof(GmIndexer));

	if (ix == NULL)
		return GM_NO_MEMORY;
	ix->mem = space->mem;
	ix->work = work;
	ix->sweep_at = GM_NONE;
	*indexer = ix;
	return GM_OK;
}

GmStatus
gm_indexer_create(const GmSpace *space, GmHnswWork *work, const GmInterrupt *intr,
				  GmIndexer **indexer)
{
	const GmSpaceRoot *root = space->root;
	float	   *centre = malloc(root->sp_dim * sizeof(float));
	GmStatus	status;

	if (centre == NULL)
		return GM_NO_MEMORY;
	status = find_centre(space, intr, centre);
	if (status == GM_OK)
		status = make_indexer(space, work, indexer);
	if (status == GM_OK)
	{
		status = gm_hnsw_create(space->mem, root->sp_dim, (GmMetric) root->sp_metric,
								(GmCodeKind) root->sp_kind, root->sp_m,
								root->sp_ef_construction, centre, &(*indexer)->hnsw);
		if (status != GM_OK)
			free(*indexer);
	}
	free(centre);
	return status;
}

/* bits of the nodes that rows are pending with; NULL: no memory */
static uint64_t *
find_made(const GmSpace *space, uint32_t nodes)
{
	uint64_t   *bits = calloc(nodes / 64 + 1, sizeof(uint64_t));

	for (uint32_t i = 0; bits != NULL && i < space->made.root->ar_length; i++)
	{
		uint32_t	node = made_at(space, i);

		if (node < nodes)
			bits[node / 64] |= (uint64_t) 1 << node % 64;
	}
	return bits;
}

GmStatus
gm_indexer_attach(const GmSpace *space, GmHnswWork *work, GmIndexer **indexer)
{
	uint64_t   *made = NULL;
	GmIndexer  *ix;
	GmStatus	status;
	uint32_t	n;

	GM_TRY(make_indexer(space, work, &ix));
	status = gm_hnsw_attach_writer(space->mem, space->root->sp_index.root, &ix->hnsw);
	n = status != GM_OK ? 0 : atomic_load(&gm_hnsw_root(ix->hnsw)->hn_nodes);
	if (status == GM_OK && (made = find_made(space, n)) == NULL)
		status = GM_NO_MEMORY;
	for (uint32_t node = 0; node < n && status == GM_OK; node++)
	{
		GmHnswState state = gm_hnsw_state(ix->hnsw, node);

		if ((state == GM_HNSW_MADE || state == GM_HNSW_LINKING || state == GM_HNSW_LINKED) &&
			(made[node / 64] >> node % 64 & 1) == 0 &&
			(node >= space->row_at.root->ar_length || ROW_OF(space, node) == GM_NONE))
			status = gm_hnsw_kill(ix->mem, ix->hnsw, node);
	}
	free(made);
	ix->killed = (uint32_t) space->dead.root->ar_length;
	if (status != GM_OK)
		gm_indexer_destroy(ix, false);
	else
		*indexer = ix;
	return status;
}

void
gm_indexer_destroy(GmIndexer *indexer, bool drop)
{
	if (indexer == NULL)
		return;
	if (drop)
		(void) gm_hnsw_free(indexer->mem, indexer->hnsw);
	gm_hnsw_destroy(indexer->hnsw);
	free(indexer);
}

GmStatus
gm_space_begin_index(GmSpace *space, const GmIndexer *indexer, const GmInterrupt *intr)
{
	uint32_t	rows = space->root->sp_rows;

	if (gm_space_has_index(space))
		GM_TRY(gm_space_drop_index(space));
	gm_hnsw_view(indexer->hnsw, &space->root->sp_index);
	GM_TRY(gm_space_extend(space, &space->node_of, rows));
	GM_TRY(gm_space_extend(space, &space->pending, rows));
	for (uint32_t row = 0; row < rows; row++)
	{
		uint32_t   *p;

		GM_TRY(set_node_of(space, row, GM_SPACE_PENDING | row));
		GM_TRY(gm_space_writable(space, &space->pending, row, &p));
		*p = row;
		if (row % ROWS_PER_LOOK == 0 && gm_interrupted(intr))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

GmStatus
gm_space_drop_index(GmSpace *space)
{
	return gm_space_needs_index(space) ? GM_BAD_VALUE : gm_mapping_free(space);
}

GmStatus
gm_mapping_free(GmSpace *space)
{
	GmArray    *arrays[] = {&space->node_of, &space->row_at, &space->pending, &space->made,
		&space->dead};
	GmHnsw	   *hnsw;

	GM_TRY(gm_hnsw_attach(space->mem, &space->root->sp_index, &hnsw));
	(void) gm_hnsw_free(space->mem, hnsw);
	gm_hnsw_destroy(hnsw);
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		gm_array_free(space->mem, arrays[i]);
	memset(&space->root->sp_index, 0, sizeof(GmHnswView));
	space->hnsw_current = false;
	return GM_OK;
}

GmStatus
gm_space_make_nodes(const GmSpace *space, GmIndexer *indexer, uint32_t *from, uint32_t n,
					GmSpaceNode *nodes, uint32_t *made)
{
	uint32_t	pending = gm_space_pending(space);

	*made = 0;
	for (; *made < n && *from < pending; (*from)++)
	{
		uint32_t	row = GM_ARRAY_U32(&space->pending, *from);
		int64_t		item_id = gm_space_item_id(space, row);
		uint32_t	node = made_at(space, *from);
		uint32_t	loaded = node != GM_NONE;

		if (!loaded)
			GM_TRY(gm_hnsw_add(indexer->mem, indexer->hnsw, indexer->work,
							   gm_space_vector(space, row), GM_ARRAY_F32(&space->scale, row),
							   (uint64_t) item_id, &node));
		indexer->loaded += loaded;
		nodes[(*made)++] = (GmSpaceNode) {item_id, node, loaded};
	}
	return GM_OK;
}

/* the first n of the dead were killed; the others keep their order */
static GmStatus
drop_killed(GmSpace *space, uint32_t n)
{
	uint64_t	length = space->dead.root->ar_length;

	if (n == 0)
		return GM_OK;
	for (uint64_t i = n; i < length; i++)
	{
		uint32_t	node = GM_ARRAY_U32(&space->dead, i);
		uint32_t   *p;

		GM_TRY(gm_space_writable(space, &space->dead, i - n, &p));
		*p = node;
	}
	return gm_space_shorten(space, &space->dead, length - n);
}

static bool
is_node_of(const GmSpace *space, const GmIndexer *ix, const GmSpaceNode *made, uint32_t row)
{
	if (row == GM_NONE || !is_pending(space, row) ||
		gm_hnsw_state(ix->hnsw, made->node) != GM_HNSW_LINKED)
		return false;
	if (code_of(space, row) != GM_NONE || made->loaded)
		return code_of(space, row) == made->node;
	return gm_hnsw_same(ix->hnsw, ix->work, made->node, gm_space_vector(space, row),
						GM_ARRAY_F32(&space->scale, row));
}

static GmStatus
map_node(GmSpace *space, const GmIndexer *ix, const GmSpaceNode *made)
{
	uint32_t	row = gm_space_find(space, made->item_id);

	if (!is_node_of(space, ix, made, row))
	{
		/* searches of this version know that it is nobody's */
		GM_TRY(set_row_at(space, made->node, 0));

		/* a row that lost it has put it there */
		return made->loaded ? GM_OK : append(space, &space->dead, made->node);
	}
	GM_TRY(unset_pending(space, row));
	GM_TRY(set_node_of(space, row, made->node));
	GM_TRY(set_row_at(space, made->node, row + 1));
	return gm_space_leave_to_table(space, row);
}

GmStatus
gm_space_map(GmSpace *space, const GmIndexer *indexer, const GmSpaceNode *nodes, uint32_t n,
			 const GmInterrupt *intr)
{
	GM_TRY(drop_killed(space, indexer->killed));
	for (uint32_t i = 0; i < n; i++)
	{
		GM_TRY(map_node(space, indexer, &nodes[i]));
		if (i % ROWS_PER_LOOK == ROWS_PER_LOOK - 1 && gm_interrupted(intr))
			return GM_INTERRUPTED;
	}
	gm_hnsw_view(indexer->hnsw, &space->root->sp_index);
	space->hnsw_current = false;
	return GM_OK;
}

void
gm_space_mapped(GmIndexer *indexer, const GmSpaceNode *nodes, uint32_t n)
{
	indexer->killed = 0;
	for (uint32_t i = 0; i < n; i++)
		indexer->loaded -= nodes[i].loaded;
}

GmStatus
gm_space_tend(const GmSpace *space, GmIndexer *ix, uint64_t oldest, bool idle, bool linking,
			  uint32_t most, bool *swept, bool *more)
{
	const GmHnswRoot *root = gm_hnsw_root(ix->hnsw);
	uint32_t	dead = (uint32_t) space->dead.root->ar_length;
	uint32_t	done = 0;

	*swept = *more = false;
	if (ix->reuse_after != 0 && oldest > ix->reuse_after)
	{
		gm_hnsw_reuse(ix->hnsw);
		ix->reuse_after = 0;
	}
	for (; ix->loaded == 0 && ix->killed < dead && done < most; done++, ix->killed++)
		GM_TRY(gm_hnsw_kill(ix->mem, ix->hnsw, GM_ARRAY_U32(&space->dead, ix->killed)));

	/* one that was never linked is swept at once, but searches have compared its code */
	*swept = done > 0 && ix->reuse_after != 0 && space->root->sp_apart;
	*more = ix->loaded == 0 && ix->killed < dead;
	if (linking || ix->killed < dead || ix->reuse_after != 0)
		return GM_OK;
	if (ix->sweep_at == GM_NONE)
	{
		uint32_t	n = atomic_load(&root->hn_dead);

		if (n == 0 || (!idle && n < atomic_load(&root->hn_linked) / 8))
			return GM_OK;
		ix->sweep_at = 0;
	}
	GM_TRY(gm_hnsw_sweep(ix->mem, ix->hnsw, ix->work, most, &ix->sweep_at));
	*swept = ix->sweep_at == GM_NONE;
	*more = !*swept;
	return GM_OK;
}

/*
 * What was killed stays in the list until the next mapping: it is counted
 * already then, or swept.
 */
uint32_t
gm_space_dead(const GmSpace *space, const GmHnsw *hnsw)
{
	uint32_t	dead = atomic_load(&gm_hnsw_root(hnsw)->hn_dead);

	for (uint64_t i = 0; i < space->dead.root->ar_length; i++)
	{
		GmHnswState state = gm_hnsw_state(hnsw, GM_ARRAY_U32(&space->dead, i));

		if (state == GM_HNSW_MADE || state == GM_HNSW_LINKING || state == GM_HNSW_LINKED)
			dead++;
	}
	return dead;
}

/*
 * Searching
 */
typedef struct Search
{
	GmSpace    *space;
	GmHnswWork *work;
	const GmSpaceQuery *query;
	const GmSpaceWish *wish;
	const GmInterrupt *intr;
	GmSpaceReport *report;
	uint32_t	allowed;		/* rows that count */
	bool		index_failed;
	GmTopk		top;
} Search;

static bool
row_counts(const GmSpaceWish *wish, uint32_t row)
{
	return row != wish->without &&
		(wish->allowed == NULL || (wish->allowed[row / 64] >> row % 64 & 1) != 0) &&
		(wish->accept == NULL || wish->accept(wish->arg, row));
}

static bool
counts_all(const GmSpaceWish *wish)
{
	return wish->allowed == NULL && wish->accept == NULL;
}

/* GM_NONE: the node is no row's in this version */
static uint32_t
row_of_node(const GmSpace *space, uint32_t node)
{
	return node < space->row_at.root->ar_length ? ROW_OF(space, node) : GM_NONE;
}

static bool
accept_node(void *arg, uint32_t node)
{
	const Search *s = arg;
	uint32_t	row = row_of_node(s->space, node);

	return row != GM_NONE && row_counts(s->wish, row);
}

static uint32_t
count_allowed(const GmSpace *space, const GmSpaceWish *wish)
{
	uint32_t	rows = space->root->sp_rows;
	uint32_t	n = 0;

	if (wish->allowed == NULL)
		n = rows;
	else
	{
		for (uint32_t w = 0; w < rows / 64; w++)
			n += (uint32_t) __builtin_popcountll(wish->allowed[w]);
		if (rows % 64 != 0)
			n += (uint32_t) __builtin_popcountll(wish->allowed[rows / 64] &
												 (((uint64_t) 1 << rows % 64) - 1));
	}
	if (wish->without != GM_NONE && wish->without < rows &&
		(wish->allowed == NULL ||
		 (wish->allowed[wish->without / 64] >> wish->without % 64 & 1) != 0))
		n--;
	return n;
}

static GmStatus
attach_index(GmSpace *space)
{
	if (space->hnsw_current)
		return GM_OK;
	if (space->hnsw == NULL)
	{
		GmStatus	status = gm_hnsw_attach(space->mem, &space->root->sp_index, &space->hnsw);

		if (status != GM_OK)
		{
			space->hnsw = NULL;
			return status;
		}
	}
	else
		GM_TRY(gm_hnsw_reattach(space->hnsw, &space->root->sp_index));
	space->hnsw_current = true;
	return GM_OK;
}

/* the candidates whose full distance decides */
static uint32_t
candidates_wanted(const Search *s)
{
	uint64_t	n = (uint64_t) s->top.k * REFINE_OF_K + REFINE_LEAST;

	return n < s->space->root->sp_rows ? (uint32_t) n : s->space->root->sp_rows;
}

/* full distances of the candidates that are rows of this version */
static GmStatus
push_hits(Search *s, const GmHnswHit *hits, uint32_t n)
{
	uint32_t	rows[GM_SPACE_GATHERED];
	uint32_t	most = candidates_wanted(s);
	uint32_t	taken = 0;

	for (uint32_t i = 0; i < n && taken < most;)
	{
		uint32_t	gathered = 0;

		for (; i < n && gathered < GM_SPACE_GATHERED && taken < most; i++)
		{
			uint32_t	row = row_of_node(s->space, hits[i].node);

			if (row == GM_NONE || !row_counts(s->wish, row))
				continue;
			rows[gathered++] = row;
			taken++;
		}
		GM_TRY(gm_space_push_rows(s->space, s->query, rows, gathered, &s->top));
	}
	s->report->compared += taken;
	return GM_OK;
}

/*
 * Rows with their codes: a candidate's distance is that of its code until the
 * nearest ones are refined.
 */
typedef struct Codes
{
	Search	   *s;
	const GmQuery *query;
	GmTopkItem *items;
	GmTopk		nearest;
	uint32_t	n;				/* gathered */
	uint32_t	row[GM_SPACE_GATHERED];
	const void *code[GM_SPACE_GATHERED];
	uint32_t	n_apart;		/* rows whose vector is here */
	uint32_t	apart[GM_SPACE_GATHERED];
} Codes;

static GmStatus
codes_begin(Codes *c, Search *s, const GmQuery *query)
{
	uint32_t	wanted = candidates_wanted(s);

	c->s = s;
	c->query = query;
	c->n = c->n_apart = 0;
	GM_TRY(gm_mem_temp(s->space->mem, wanted * sizeof(GmTopkItem), (void **) &c->items));
	gm_topk_init(&c->nearest, c->items, wanted);
	return GM_OK;
}

static GmStatus
codes_flush(Codes *c)
{
	float		distance[GM_SPACE_GATHERED];

	gm_query_many(c->query, c->code, c->n, distance);
	for (uint32_t i = 0; i < c->n; i++)
		if (distance[i] <= gm_topk_worst(&c->nearest))
			(void) gm_topk_push(&c->nearest, distance[i], c->row[i]);
	c->n = 0;
	GM_TRY(gm_space_push_rows(c->s->space, c->s->query, c->apart, c->n_apart, &c->s->top));
	c->s->report->compared += c->n_apart;
	c->n_apart = 0;
	return GM_OK;
}

/* the row counts */
static GmStatus
codes_add(Codes *c, uint32_t row)
{
	const GmSpace *space = c->s->space;
	uint32_t	node = code_of(space, row);

	if (gm_space_vector(space, row) != NULL)
		c->apart[c->n_apart++] = row;
	else if (node < space->root->sp_index.nodes)
	{
		c->row[c->n] = row;
		c->code[c->n++] = gm_hnsw_code(space->hnsw, node);
	}
	return c->n == GM_SPACE_GATHERED || c->n_apart == GM_SPACE_GATHERED ? codes_flush(c) : GM_OK;
}

static GmStatus
codes_refine(Codes *c)
{
	Search	   *s = c->s;
	uint32_t	rows[GM_SPACE_GATHERED];
	uint32_t	n = 0;

	GM_TRY(codes_flush(c));
	for (uint32_t i = 0; i < c->nearest.count; i++)
	{
		rows[n++] = (uint32_t) c->items[i].id;
		if (n < GM_SPACE_GATHERED && i + 1 < c->nearest.count)
			continue;
		GM_TRY(gm_space_push_rows(s->space, s->query, rows, n, &s->top));
		s->report->compared += n;
		n = 0;
	}
	return GM_OK;
}

static void
codes_end(Codes *c)
{
	gm_mem_temp_free(c->s->space->mem, c->items);
}

static GmStatus
push_pending(Search *s)
{
	uint32_t	n = gm_space_pending(s->space);
	uint32_t	rows[GM_SPACE_GATHERED];
	uint32_t	gathered = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	row = GM_ARRAY_U32(&s->space->pending, i);

		if (row_counts(s->wish, row))
			rows[gathered++] = row;
		if (gathered == GM_SPACE_GATHERED || i == n - 1)
		{
			GM_TRY(gm_space_push_rows(s->space, s->query, rows, gathered, &s->top));
			s->report->compared += gathered;
			gathered = 0;
		}
		if (i % ROWS_PER_LOOK == ROWS_PER_LOOK - 1 && gm_interrupted(s->intr))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

/* hits of the index and pending rows, some of which are codes */
static GmStatus
push_hits_and_pending(Search *s, const GmQuery *query, const GmHnswHit *hits, uint32_t n)
{
	uint32_t	pending = gm_space_pending(s->space);
	uint32_t	most = candidates_wanted(s);
	Codes		c;
	GmStatus	status = codes_begin(&c, s, query);

	for (uint32_t i = 0, taken = 0; i < n && taken < most && status == GM_OK; i++)
	{
		uint32_t	row = row_of_node(s->space, hits[i].node);

		if (row == GM_NONE || !row_counts(s->wish, row))
			continue;
		taken++;
		(void) gm_topk_push(&c.nearest, hits[i].distance, row);
	}
	for (uint32_t i = 0; i < pending && status == GM_OK; i++)
	{
		uint32_t	row = GM_ARRAY_U32(&s->space->pending, i);

		if (row_counts(s->wish, row))
			status = codes_add(&c, row);
		if (i % ROWS_PER_LOOK == ROWS_PER_LOOK - 1 && gm_interrupted(s->intr))
			status = GM_INTERRUPTED;
	}
	if (status == GM_OK)
		status = codes_refine(&c);
	codes_end(&c);
	return status;
}

/* elements that a scan of the allowed rows costs */
static double
cost_of_scan(const Search *s)
{
	uint32_t	dim = s->space->root->sp_dim;

	/* of their codes */
	if (gm_space_needs_index(s->space))
		return (double) s->allowed * (dim / 4 + COST_CODE);
	return (double) s->allowed * (dim + (s->wish->allowed == NULL ? COST_ROW : COST_GATHERED));
}

static uint32_t
wanted_ef(const Search *s)
{
	return s->wish->ef_search > s->top.k ? s->wish->ef_search : s->top.k;
}

static double
cost_of_index(const Search *s)
{
	const GmSpaceRoot *root = s->space->root;
	uint32_t	rows = root->sp_rows;
	uint32_t	pending = gm_space_pending(s->space);
	double		share = (double) s->allowed / rows;
	double		distances = DISTANCES_FIRST + DISTANCES_EF * root->sp_m * wanted_ef(s) / share;

	if (pending == rows)
		return (double) INFINITY;
	return COST_CALL + distances * (COST_CODE + root->sp_dim / 4) +
		(double) pending * (root->sp_dim + COST_GATHERED) * share;
}

static GmStatus
search_index(Search *s)
{
	GmSpace    *space = s->space;
	GmHnswAccept accept = {accept_node, s};
	bool		all = counts_all(s->wish);
	uint32_t	ef = wanted_ef(s);
	uint64_t	most;
	const GmQuery *query;
	GmHnswHit  *hits;
	uint32_t	n = 0;
	bool		gave_up = false;
	GmStatus	status;

	GM_TRY(attach_index(space));
	GM_TRY(gm_hnsw_query(space->hnsw, s->work, s->query->vector, (float) s->query->scale,
						 &query));
	if (ef > space->root->sp_index.nodes)
		ef = space->root->sp_index.nodes;

	/* at worst a filtered search costs twice what a scan does */
	most = all ? 0 : (uint64_t) (cost_of_scan(s) / (COST_CODE + space->root->sp_dim / 4)) + 1000;
	GM_TRY(gm_mem_temp(space->mem, ef * sizeof(GmHnswHit), (void **) &hits));
	status = gm_hnsw_search(space->hnsw, s->work, query, ef, all ? NULL : &accept, most, s->intr,
							hits, &n, &s->report->distances, &gave_up);
	if (status == GM_OK && !gave_up && space->made.root->ar_length > 0)
		status = push_hits_and_pending(s, query, hits, n);
	else if (status == GM_OK && !gave_up)
	{
		status = push_hits(s, hits, n);
		if (status == GM_OK)
			status = push_pending(s);
	}
	gm_mem_temp_free(space->mem, hits);
	return status;
}

/* every code of a row that counts */
static GmStatus
search_codes(Search *s)
{
	GmSpace    *space = s->space;
	uint32_t	rows = space->root->sp_rows;
	const GmQuery *query;
	Codes		c;
	GmStatus	status;

	GM_TRY(attach_index(space));
	GM_TRY(gm_hnsw_query(space->hnsw, s->work, s->query->vector, (float) s->query->scale,
						 &query));
	status = codes_begin(&c, s, query);
	for (uint32_t row = 0; row < rows && status == GM_OK; row++)
	{
		if (row % ROWS_PER_LOOK == 0)
		{
			gm_progress_at(s->intr, GM_PHASE_VECTORS, row, rows);
			if (gm_interrupted(s->intr))
				status = GM_INTERRUPTED;
		}
		if (status == GM_OK && row_counts(s->wish, row))
			status = codes_add(&c, row);
	}
	if (status == GM_OK)
		status = codes_refine(&c);
	codes_end(&c);
	return status;
}

static GmStatus
search_exactly(Search *s, GmSpaceHit *hits, uint32_t *found)
{
	const GmSpaceWish *wish = s->wish;
	uint32_t	rows = s->space->root->sp_rows;
	uint32_t	kept = 0;

	/* the one left out may be among them */
	GM_TRY(gm_space_search(s->space, s->query, wish->without < rows ? s->top.k + 1 : s->top.k,
						   wish->allowed, s->intr, hits, found));
	for (uint32_t i = 0; i < *found && kept < s->top.k; i++)
		if (hits[i].row != wish->without)
			hits[kept++] = hits[i];
	*found = kept;
	s->report->exact = true;
	s->report->compared += s->allowed;
	return GM_OK;
}

/* *found is 0 if the index had not enough; all: every code is looked at in its place */
static GmStatus
try_codes(Search *s, bool all, GmSpaceHit *hits, uint32_t *found)
{
	GmTopkItem *items;
	GmStatus	status;

	GM_TRY(gm_mem_temp(s->space->mem, s->top.k * sizeof(GmTopkItem), (void **) &items));
	gm_topk_init(&s->top, items, s->top.k);
	status = all ? search_codes(s) : search_index(s);
	if (status == GM_OK && (all || s->top.count == s->top.k))
	{
		gm_topk_sort(&s->top);
		for (uint32_t i = 0; i < s->top.count; i++)
			hits[i] = (GmSpaceHit) {
				gm_space_ranked_row(s->space, items[i].id), items[i].distance
			};
		*found = s->top.count;
	}
	else
		s->report->fell_back = s->index_failed = true;
	gm_mem_temp_free(s->space->mem, items);
	return status;
}

static bool
serves(const Search *s)
{
	return !s->wish->exact && !s->index_failed && gm_space_has_index(s->space) &&
		cost_of_index(s) < cost_of_scan(s);
}

/* the wish has a bitmap, or all rows count */
static GmStatus
nearest_allowed(Search *s, GmSpaceHit *hits, uint32_t *found)
{
	const GmSpaceWish *wish = s->wish;

	s->allowed = count_allowed(s->space, wish);
	s->top.k = wish->k < s->allowed ? wish->k : s->allowed;
	if (s->top.k == 0)
	{
		s->report->exact = true;
		return GM_OK;
	}
	if (serves(s))
		GM_TRY(try_codes(s, false, hits, found));
	if (*found > 0)
		return GM_OK;
	if (!wish->exact && gm_space_needs_index(s->space) && s->allowed > candidates_wanted(s))
		return try_codes(s, true, hits, found);
	return search_exactly(s, hits, found);
}

/* a bit for each row that is accepted */
static GmStatus
ask_all(const Search *s, uint64_t *allowed)
{
	for (uint32_t row = 0; row < s->space->root->sp_rows; row++)
	{
		if (row % ROWS_PER_LOOK == 0 && gm_interrupted(s->intr))
			return GM_INTERRUPTED;
		if (s->wish->accept(s->wish->arg, row))
			allowed[row / 64] |= (uint64_t) 1 << row % 64;
	}
	return GM_OK;
}

/* the index first, as if most rows were accepted */
static GmStatus
nearest_accepted(Search *s, GmSpaceHit *hits, uint32_t *found)
{
	uint32_t	rows = s->space->root->sp_rows;
	GmSpaceWish wish = *s->wish;
	uint64_t   *allowed;
	GmStatus	status;

	s->allowed = wish.without < rows ? rows - 1 : rows;
	s->top.k = wish.k < s->allowed ? wish.k : s->allowed;
	if (s->top.k == 0)
		return GM_OK;
	if (serves(s))
		GM_TRY(try_codes(s, false, hits, found));
	if (*found > 0)
		return GM_OK;
	GM_TRY(gm_mem_temp(s->space->mem, ((size_t) rows / 64 + 1) * sizeof(uint64_t),
					   (void **) &allowed));
	status = ask_all(s, allowed);
	wish.allowed = allowed;
	wish.accept = NULL;
	s->wish = &wish;
	if (status == GM_OK)
		status = nearest_allowed(s, hits, found);
	gm_mem_temp_free(s->space->mem, allowed);
	return status;
}

GmStatus
gm_space_nearest(GmSpace *space, GmHnswWork *work, const GmSpaceQuery *query,
				 const GmSpaceWish *wish, const GmInterrupt *intr,
				 GmSpaceHit *hits, uint32_t *found, GmSpaceReport *report)
{
	Search		s = {space, work, query, wish, intr, report, 0, false, {0}};

	memset(report, 0, sizeof(*report));
	*found = 0;
	return wish->accept == NULL ? nearest_allowed(&s, hits, found) :
		nearest_accepted(&s, hits, found);
}

/*
 * Checking
 */
static const char *
check_row(const GmSpace *space, uint32_t row)
{
	uint32_t	node = GM_ARRAY_U32(&space->node_of, row);

	if ((node & GM_SPACE_PENDING) != 0)
	{
		node &= ~GM_SPACE_PENDING;
		if (node >= space->pending.root->ar_length ||
			GM_ARRAY_U32(&space->pending, node) != row)
			return "a row that is not in the index is not listed as such";
		node = made_at(space, node);
		if (node == GM_NONE)
			return gm_space_vector(space, row) == NULL ? "a row has neither vector nor node" : NULL;
		if (node >= space->root->sp_index.nodes || row_of_node(space, node) != GM_NONE)
			return "a pending row was loaded as another's node, or as none";
		return NULL;
	}
	if (row_of_node(space, node) != row)
		return "a row's node stands for another row";
	if (node >= space->root->sp_index.nodes)
		return "a row's node is not in the index";
	return NULL;
}

bool
gm_space_is_row_of(GmSpace *space, GmHnswWork *work, uint32_t row, const float *vector)
{
	float		scale = GM_ARRAY_F32(&space->scale, row);
	uint32_t	node;

	if (!space->root->sp_apart)
		return true;
	if (gm_space_hash(space, row) != gm_hash_vector(vector, space->root->sp_dim))
		return false;
	node = gm_space_has_index(space) ? code_of(space, row) : GM_NONE;
	if (node == GM_NONE || node >= space->root->sp_index.nodes || attach_index(space) != GM_OK)
		return node == GM_NONE;
	return gm_hnsw_near(space->hnsw, work, node, vector, scale);
}

const char *
gm_space_check_index(GmSpace *space, const GmInterrupt *intr, uint32_t *row)
{
	const GmSpaceRoot *root = space->root;
	uint32_t	mapped = 0;
	uint32_t	absent = 0;
	uint32_t	node;
	const char *broken;

	*row = GM_NONE;
	for (uint32_t i = 0; i < root->sp_rows; i++)
		absent += gm_space_vector(space, i) == NULL;
	if (absent != root->sp_absent)
		return "another number of vectors is in the table only";
	if (!gm_space_has_index(space))
		return absent == 0 ? NULL : "rows have neither vectors nor an index";
	if (space->made.root->ar_length > space->pending.root->ar_length)
		return "nodes were loaded for rows that are not pending";
	if (space->node_of.root->ar_length != root->sp_rows)
		return "the index knows of another number of rows";
	for (uint32_t i = 0; i < root->sp_rows; i++)
	{
		if (i % ROWS_PER_LOOK == 0 && gm_interrupted(intr))
			return NULL;
		broken = check_row(space, i);
		if (broken != NULL)
		{
			*row = i;
			return broken;
		}
	}
	for (uint64_t i = 0; i < space->row_at.root->ar_length; i++)
		mapped += ROW_OF(space, i) != GM_NONE;
	if (mapped + gm_space_pending(space) != root->sp_rows)
		return "nodes stand for rows that are not there";
	if (attach_index(space) != GM_OK)
		return NULL;
	return gm_hnsw_check(space->hnsw, intr, &node);
}
