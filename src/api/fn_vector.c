/*-------------------------------------------------------------------------
 *
 * fn_vector.c
 *	  Nearest vectors: vector_search, similar.
 *
 * As many rows come back as match the filters, however few those are
 * (matching.h), also where the index answers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"

#include "api/args.h"
#include "api/filter.h"
#include "api/items.h"
#include "api/matching.h"
#include "api/rows.h"
#include "error.h"
#include "image/image.h"

/* arguments that both functions have in the same places */
enum
{
	ARG_MATCH_COUNT = 1,
	ARG_SPACE,
	ARG_KINDS,
	ARG_PREDICATES,
	ARG_FILTER,
	ARG_ITEM_IDS,
	ARG_NEAR,
	ARG_MAX_HOPS,
	ARG_MIN_CONFIDENCE,
	ARG_AS_OF,
	ARG_KNOWN_AT,
	ARG_EF_SEARCH,
	ARG_EXACT,
	ARG_GRAPH
};

typedef struct Search
{
	FunctionCallInfo fcinfo;
	GmImage    *image;
	GmSpaceInfo *info;
	GmView		view;			/* which facts count */
	GmSpaceWish wish;
} Search;

/* checks every argument whose check needs no space */
static void
begin_search(FunctionCallInfo fcinfo, Search *s)
{
	s->fcinfo = fcinfo;
	memset(&s->wish, 0, sizeof(s->wish));
	s->wish.k = (uint32_t) gm_arg_count4(fcinfo, ARG_MATCH_COUNT, "match_count", 10);
	s->wish.ef_search = (uint32_t) gm_arg_ef_search(fcinfo, ARG_EF_SEARCH);
	s->wish.exact = gm_arg_bool(fcinfo, ARG_EXACT, false);
	s->wish.without = GM_NONE;
	(void) gm_arg_near_hops(fcinfo, ARG_MAX_HOPS, "max_hops", 2);
	s->image = gm_image_open(gm_arg_cstring(fcinfo, ARG_GRAPH));
	gm_arg_view(fcinfo, ARG_MIN_CONFIDENCE, s->image, &s->view);
	s->view.predicates = gm_arg_predicates(fcinfo, ARG_PREDICATES, s->image->graph);
	gm_view_settle(s->image->graph, &s->view);
}

static void
run_search(const Search *s, const GmSpaceQuery *query, GmRows *rows)
{
	static const GmMatchArgs args = {
		.kinds = ARG_KINDS, .filter = ARG_FILTER, .item_ids = ARG_ITEM_IDS, .near = ARG_NEAR,
		.max_hops = ARG_MAX_HOPS
	};
	GmMatch		match;
	GmSpaceHit *hits;
	uint32_t	found;

	gm_match_begin(s->fcinfo, &args, s->image, s->info, &s->view, &match);
	hits = gm_match_nearest(&match, query, s->wish, &found);
	for (uint32_t i = 0; i < found; i++)
	{
		gm_items_fetch(s->image, s->info, hits, match.visible, i, found);
		gm_row_int8(rows, (int64_t) rows->count + 1);
		gm_row_int8(rows, gm_space_item_id(s->info->space, hits[i].row));
		gm_item_put(rows, s->image, s->info, &s->view, hits[i].row,
					match.visible == NULL ? GM_NONE : match.visible[i]);
		gm_row_float4(rows, hits[i].distance);
		gm_row_float4(rows, (float) gm_space_similarity(s->info->metric, hits[i].distance));
		gm_rows_put(rows);
	}
}

/*
 * vector_search(query_embedding, match_count, space, kinds, predicates, filter,
 *				 item_ids, near, max_hops, min_confidence, as_of, known_at,
 *				 ef_search, exact, graph)
 */
GM_READING_FUNCTION(graphmem_vector_search)
{
	Search		s;
	GmSpaceQuery query;
	GmRows		rows;
	const float *vector;
	uint32_t	dim;

	gm_arg_required(fcinfo, 0, "query_embedding");
	vector = gm_arg_vector(fcinfo, 0, "query_embedding", &dim);
	begin_search(fcinfo, &s);
	s.info = gm_arg_space(fcinfo, ARG_SPACE, s.image);
	gm_rows_begin(fcinfo, &rows);
	if (s.info == NULL)
		return (Datum) 0;
	gm_arg_vector_check(s.info, vector, dim, "query_embedding", &query);
	run_search(&s, &query, &rows);
	return (Datum) 0;
}

/*
 * similar(entity, ...): vector_search for the entity's own vector
 */
GM_READING_FUNCTION(graphmem_similar)
{
	Search		s;
	GmSpaceQuery query;
	GmRows		rows;
	GmNode		node;
	uint32_t	row = GM_NONE;
	float	   *vector;
	bool		there;

	gm_arg_required(fcinfo, 0, "entity");
	begin_search(fcinfo, &s);
	node = gm_arg_node(fcinfo, 0, "entity", s.image->graph, s.view.known_at);
	s.info = gm_image_space(s.image, gm_arg_cstring(fcinfo, ARG_SPACE), 'e');
	if (s.info != NULL && s.info->target != 'e')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("vector space \"%s\" does not hold vectors of entities", s.info->name)));
	gm_rows_begin(fcinfo, &rows);
	if (s.info != NULL && node != GM_NONE)
		row = gm_space_row_of(s.info->space, node);
	if (row == GM_NONE)
		return (Datum) 0;
	vector = palloc(s.info->dim * sizeof(float));
	gm_error_check(gm_space_read(s.info->space, row, vector, &there), "searching vectors");
	if (!there)
		return (Datum) 0;
	gm_error_check(gm_space_prepare(s.info->space, vector, &query), "searching vectors");
	s.wish.without = row;
	run_search(&s, &query, &rows);
	return (Datum) 0;
}
