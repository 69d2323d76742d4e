/*-------------------------------------------------------------------------
 *
 * fn_vector_batch.c
 *	  Nearest vectors of several queries: vector_search_batch.
 *
 * Exact searches share passes over the vectors, as many queries a pass as
 * their hits have room for; with an index one query follows the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "api/args.h"
#include "api/filter.h"
#include "api/items.h"
#include "api/rows.h"
#include "error.h"
#include "image/call.h"
#include "image/image.h"

#define DOING			"searching vectors"

#define HITS_BYTES		((Size) 16 << 20)	/* of the queries of one pass */
#define MOST_AT_ONCE	4096	/* queries of one pass */

enum
{
	ARG_EMBEDDINGS,
	ARG_MATCH_COUNT,
	ARG_SPACE,
	ARG_EF_SEARCH,
	ARG_EXACT,
	ARG_GRAPH
};

typedef struct Batch
{
	GmImage    *image;
	const GmSpaceInfo *info;
	GmView		view;
	GmSpaceWish wish;
	const float *vectors;
	uint32_t	n;
	uint32_t	at_once;		/* queries of one pass */
	uint32_t	room;			/* hits of each */
	GmSpaceQuery *query;
	GmSpaceHit *hits;
	uint32_t   *found;
} Batch;

/* how far all queries of the batch are, while core/ tells of those of one pass */
typedef struct Passes
{
	GmInterrupt intr;
	GmProgress	pass;
	uint64		done;			/* rows of the passes before */
	uint64		total;
} Passes;

static bool
look(void *arg)
{
	Passes	   *p = arg;

	gm_progress_at(&gm_server_interrupt, GM_PHASE_VECTORS, p->done + p->pass.done, p->total);
	return gm_server_interrupt.pending(gm_server_interrupt.arg);
}

static void
prepare_query(const Batch *b, uint32_t i, GmSpaceQuery *query)
{
	const float *vector = b->vectors + (Size) i * b->info->dim;

	if (gm_space_prepare(b->info->space, vector, query) != GM_OK)
		gm_arg_vector_check(b->info, vector, b->info->dim,
							psprintf("query_embeddings[%u]", i + 1), query);
}

static void
put_hits(const Batch *b, GmRows *rows, uint32_t i, const GmSpaceHit *hits, uint32_t found)
{
	for (uint32_t h = 0; h < found; h++)
	{
		gm_items_fetch(b->image, b->info, hits, NULL, h, found);
		gm_row_int4(rows, (int32_t) i + 1);
		gm_row_int8(rows, (int64_t) h + 1);
		gm_row_int8(rows, gm_space_item_id(b->info->space, hits[h].row));
		gm_item_put(rows, b->image, b->info, &b->view, hits[h].row, GM_NONE);
		gm_row_float4(rows, hits[h].distance);
		gm_row_float4(rows, (float) gm_space_similarity(b->info->metric, hits[h].distance));
		gm_rows_put(rows);
	}
}

static void
search_together(Batch *b, GmRows *rows)
{
	GmSpaceReport report = {.exact = true, .compared = b->info->space->root->sp_rows};
	Passes		p = {.intr = {look, &p, &p.pass}};

	p.total = (uint64) (b->n + b->at_once - 1) / b->at_once * b->info->space->root->sp_rows;
	for (uint32_t first = 0; first < b->n; first += b->at_once)
	{
		uint32_t	n = Min(b->at_once, b->n - first);

		for (uint32_t i = 0; i < n; i++)
			prepare_query(b, first + i, &b->query[i]);
		gm_error_check(gm_space_search_batch(b->info->space, b->query, n, b->wish.k, &p.intr,
											 b->hits, b->found), DOING);
		p.done += b->info->space->root->sp_rows;
		for (uint32_t i = 0; i < n; i++)
		{
			put_hits(b, rows, first + i, b->hits + (Size) i * b->room, b->found[i]);
			gm_image_searched(b->image, b->info, &report);
		}
	}
}

static void
search_one_by_one(Batch *b, GmRows *rows)
{
	GmSpaceReport report;

	for (uint32_t i = 0; i < b->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		gm_call_phase(GM_PHASE_VECTORS, i, b->n);
		prepare_query(b, i, &b->query[0]);
		gm_error_check(gm_space_nearest(b->info->space, gm_image_work(), &b->query[0], &b->wish,
										&gm_server_interrupt, b->hits, &b->found[0], &report),
					   DOING);
		gm_image_searched(b->image, b->info, &report);
		put_hits(b, rows, i, b->hits, b->found[0]);
	}
}

/* dim: of each vector, 0: they are not told apart */
static void
count_vectors(Batch *b, uint32_t dim)
{
	if (dim == 0 && b->n % b->info->dim == 0)
		b->n /= b->info->dim;
	else if (dim == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("argument \"query_embeddings\" has a wrong number of elements"),
				 errdetail("It has %u, and vector space \"%s\" has %u dimensions.",
						   b->n, b->info->name, b->info->dim)));
	else if (dim != b->info->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("argument \"query_embeddings\" has a wrong dimension"),
				 errdetail("Its vectors have %u dimensions, vector space \"%s\" has %u.",
						   dim, b->info->name, b->info->dim)));
}

/*
 * vector_search_batch(query_embeddings, match_count, space, ef_search, exact,
 *					   graph)
 */
GM_READING_FUNCTION(graphmem_vector_search_batch)
{
	Batch		b = {0};
	GmRows		rows;
	uint32_t	dim;

	gm_arg_required(fcinfo, ARG_EMBEDDINGS, "query_embeddings");
	b.vectors = gm_arg_vectors(fcinfo, ARG_EMBEDDINGS, "query_embeddings", &b.n, &dim);
	b.wish.k = (uint32_t) gm_arg_count4(fcinfo, ARG_MATCH_COUNT, "match_count", 10);
	b.wish.ef_search = (uint32_t) gm_arg_ef_search(fcinfo, ARG_EF_SEARCH);
	b.wish.exact = gm_arg_bool(fcinfo, ARG_EXACT, false);
	b.wish.without = GM_NONE;
	b.image = gm_image_open(gm_arg_cstring(fcinfo, ARG_GRAPH));
	b.info = gm_arg_space(fcinfo, ARG_SPACE, b.image);
	gm_rows_begin(fcinfo, &rows);
	if (b.info == NULL || b.n == 0)
		return (Datum) 0;
	count_vectors(&b, dim);
	gm_view_init(b.image->graph, b.image->now, &b.view);
	gm_view_settle(b.image->graph, &b.view);
	b.room = Min(b.wish.k, b.info->space->root->sp_rows);
	b.at_once = (uint32_t) Min(HITS_BYTES / ((Size) b.room * sizeof(GmSpaceHit) + 1),
							   MOST_AT_ONCE);
	b.at_once = Min(Max(b.at_once, 1), b.n);
	b.query = palloc(b.at_once * sizeof(GmSpaceQuery));
	b.found = palloc(b.at_once * sizeof(uint32_t));
	b.hits = MemoryContextAllocHuge(CurrentMemoryContext,
									((Size) b.at_once * b.room + 1) * sizeof(GmSpaceHit));
	if (b.n > 1 && (b.wish.exact || !gm_space_has_index(b.info->space)))
		search_together(&b, &rows);
	else
		search_one_by_one(&b, &rows);
	return (Datum) 0;
}
