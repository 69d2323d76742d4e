/*-------------------------------------------------------------------------
 *
 * fn_vector.c
 *	  Nearest vectors: vector_search, similar.
 *
 * Filters become one bitmap over the rows of the space before the search, so
 * as many rows come back as there are matching ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "api/args.h"
#include "api/filter.h"
#include "api/rows.h"
#include "core/scratch.h"
#include "core/traverse.h"
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
	uint32_t	match_count;
	int			max_hops;
} Search;

/* checks every argument whose check needs no space */
static void
begin_search(FunctionCallInfo fcinfo, Search *s)
{
	s->fcinfo = fcinfo;
	s->match_count = (uint32_t) gm_arg_count4(fcinfo, ARG_MATCH_COUNT, "match_count", 10);
	s->max_hops = gm_arg_near_hops(fcinfo, ARG_MAX_HOPS, "max_hops", 2);
	(void) gm_arg_ef_search(fcinfo, ARG_EF_SEARCH);
	s->image = gm_image_open(gm_arg_cstring(fcinfo, ARG_GRAPH));
	gm_arg_view(fcinfo, ARG_MIN_CONFIDENCE, s->image, &s->view);
	s->view.predicates = gm_arg_predicates(fcinfo, ARG_PREDICATES, s->image->graph);
	gm_view_settle(s->image->graph, &s->view);
}

/* the nodes near the seeds; NULL: the argument is missing */
static uint64_t *
near_nodes(const Search *s)
{
	const GmGraph *g = s->image->graph;
	GmView		walk = s->view;
	uint64_t   *bits;
	GmNode	   *seeds;
	uint32_t	n;

	if (s->fcinfo->args[ARG_NEAR].isnull)
		return NULL;
	seeds = gm_arg_nodes(s->fcinfo, ARG_NEAR, "near", g, &n);
	bits = gm_filter_make(g->root->gr_nodes);
	gm_error_check(gm_near(g, &walk, s->image->scratch, seeds, n, s->max_hops,
						   &gm_server_interrupt, bits), "searching vectors");
	return bits;
}

static uint64_t *
entity_nodes(const Search *s)
{
	const GmGraph *g = s->image->graph;
	uint32_t	n = g->root->gr_nodes;
	uint64_t   *nodes = gm_arg_kinds(s->fcinfo, ARG_KINDS, g);

	nodes = gm_filter_and(nodes, near_nodes(s), n);
	if (s->view.predicates != NULL)
		nodes = gm_filter_and(nodes, gm_filter_touched(g, &s->view), n);
	nodes = gm_filter_and(nodes, gm_filter_known(s->image, GM_FILTER_ENTITIES,
												 s->view.known_at), n);
	return gm_filter_and(nodes, gm_filter_properties(s->fcinfo, ARG_FILTER, s->image,
													 GM_FILTER_ENTITIES), n);
}

static uint64_t *
source_numbers(const Search *s)
{
	const GmGraph *g = s->image->graph;
	uint32_t	n = g->root->gr_sources;
	uint64_t   *sources = gm_filter_source_kinds(s->fcinfo, ARG_KINDS, g);
	uint64_t   *near = near_nodes(s);

	if (near != NULL || s->view.predicates != NULL)
		sources = gm_filter_and(sources, gm_filter_asserting(g, &s->view, near == NULL ? NULL :
															 gm_filter_touching(g, near)), n);
	sources = gm_filter_and(sources, gm_filter_known(s->image, GM_FILTER_SOURCES,
													 s->view.known_at), n);
	return gm_filter_and(sources, gm_filter_properties(s->fcinfo, ARG_FILTER, s->image,
													   GM_FILTER_SOURCES), n);
}

static uint64_t *
fact_rows(const Search *s)
{
	const GmGraph *g = s->image->graph;
	uint32_t	n = g->root->gr_slots;
	uint64_t   *nodes = gm_arg_kinds(s->fcinfo, ARG_KINDS, g);
	uint64_t   *near = near_nodes(s);
	uint64_t   *slots = NULL;

	if (nodes != NULL)
		slots = gm_filter_touching(g, nodes);
	if (near != NULL)
		slots = gm_filter_and(slots, gm_filter_touching(g, near), n);
	slots = gm_filter_and(slots, gm_filter_properties(s->fcinfo, ARG_FILTER, s->image,
													  GM_FILTER_TRIPLES), n);
	return gm_filter_fact_rows(s->info->space, g, &s->view, slots);
}

static uint64_t *
rows_of_ids(const Search *s)
{
	const GmSpace *space = s->info->space;
	ArrayType  *array;
	Datum	   *values;
	bool	   *nulls;
	uint64_t   *rows;
	int			n;

	if (s->fcinfo->args[ARG_ITEM_IDS].isnull)
		return NULL;
	array = DatumGetArrayTypeP(s->fcinfo->args[ARG_ITEM_IDS].value);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("argument \"item_ids\" must be a one-dimensional array")));
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, &nulls, &n);
	rows = gm_filter_make(space->root->sp_rows);
	for (int i = 0; i < n; i++)
	{
		uint32_t	row = nulls[i] ? GM_NONE : gm_space_find(space, DatumGetInt64(values[i]));

		if (row != GM_NONE)
			gm_bit_set(rows, row);
	}
	return rows;
}

/* NULL: every row of the space matches */
static uint64_t *
matching_rows(const Search *s)
{
	const GmSpace *space = s->info->space;
	uint64_t   *rows = rows_of_ids(s);
	uint64_t   *more;

	switch (s->info->target)
	{
		case 'e':
			more = gm_filter_rows(space, entity_nodes(s));
			break;
		case 's':
			more = gm_filter_rows(space, source_numbers(s));
			break;
		default:
			more = fact_rows(s);
			break;
	}
	return gm_filter_and(rows, more, space->root->sp_rows);
}

/* "subject predicate object" of the visible version, or of the latest */
static void
put_fact(const Search *s, GmRows *rows, int64_t fact_id)
{
	const GmGraph *g = s->image->graph;
	MemoryContext old = MemoryContextSwitchTo(gm_row_memory(rows));
	GmSlot		slot = gm_graph_visible_version(g, &s->view, fact_id);
	const GmString *part[3];
	StringInfoData text;
	GmTriple	t;

	if (slot == GM_NONE)
		slot = gm_graph_latest_version(g, fact_id);
	initStringInfo(&text);
	if (slot != GM_NONE)
	{
		gm_graph_slot(g, slot, &t);
		part[0] = gm_graph_name(g, t.subject);
		part[1] = gm_graph_string(g, gm_graph_predicate(g, t.predicate)->name);
		part[2] = gm_graph_name(g, t.object);
		for (int i = 0; i < 3; i++)
		{
			if (i > 0)
				appendStringInfoChar(&text, ' ');
			appendBinaryStringInfo(&text, part[i]->bytes, (int) part[i]->length);
		}
	}
	MemoryContextSwitchTo(old);
	gm_row_cstring(rows, text.data);
	gm_row_null(rows);
}

static void
put_item(const Search *s, GmRows *rows, uint32_t row)
{
	const GmGraph *g = s->image->graph;
	const GmSpace *space = s->info->space;
	uint32_t	number = gm_space_number(space, row);

	switch (s->info->target)
	{
		case 'e':
			gm_row_string(rows, gm_graph_name(g, number));
			gm_row_string(rows, gm_graph_kind(g, number));
			break;
		case 's':
			gm_row_string(rows, gm_graph_string(g, gm_graph_source(g, number)->name));
			gm_row_string(rows, gm_graph_string(g, gm_graph_source(g, number)->kind));
			break;
		default:
			put_fact(s, rows, gm_space_item_id(space, row));
			break;
	}
}

/* without: a row that is left out, or GM_NONE */
static void
run_search(const Search *s, const GmSpaceQuery *query, uint32_t without, GmRows *rows)
{
	const GmSpace *space = s->info->space;
	uint64_t   *allowed = matching_rows(s);
	uint32_t	k = Min(s->match_count, space->root->sp_rows);
	uint32_t	found;
	GmSpaceHit *hits;

	if (without != GM_NONE && k < space->root->sp_rows)
		k++;
	hits = MemoryContextAllocExtended(CurrentMemoryContext, (k + 1) * sizeof(GmSpaceHit),
									  MCXT_ALLOC_HUGE);
	gm_error_check(gm_space_search(space, query, k, allowed, &gm_server_interrupt, hits, &found),
				   "searching vectors");
	for (uint32_t i = 0; i < found && rows->count < s->match_count; i++)
	{
		if (hits[i].row == without)
			continue;
		gm_row_int8(rows, (int64_t) rows->count + 1);
		gm_row_int8(rows, gm_space_item_id(space, hits[i].row));
		put_item(s, rows, hits[i].row);
		gm_row_float4(rows, hits[i].distance);
		gm_row_float4(rows, (float) gm_space_similarity(s->info->metric, hits[i].distance));
		gm_rows_put(rows);
	}
}

/*
 * vector_search(query_embedding, match_count, space, kinds, predicates, filter,
 *				 item_ids, near, max_hops, min_confidence, as_of, known_at,
 *				 ef_search, exact, graph)
 *
 * Every search is exact, so ef_search and exact change nothing.
 */
GM_READING_FUNCTION(graphmem_vector_search)
{
	Search		s;
	GmSpaceQuery query;
	GmRows		rows;
	float	   *vector;
	uint32_t	dim;
	char	   *name;

	gm_arg_required(fcinfo, 0, "query_embedding");
	vector = gm_arg_vector(fcinfo, 0, "query_embedding", &dim);
	begin_search(fcinfo, &s);
	name = gm_arg_cstring(fcinfo, ARG_SPACE);
	s.info = gm_image_space(s.image, name, 'e');
	if (s.info == NULL)
		s.info = gm_image_space(s.image, name, 0);
	gm_rows_begin(fcinfo, &rows);
	if (s.info == NULL && s.image->n_spaces > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"space\" is missing"),
				 errdetail("The graph has %d vector spaces, none of them called \"default\".",
						   s.image->n_spaces)));
	if (s.info == NULL)
		return (Datum) 0;
	gm_arg_vector_check(s.info, vector, dim, "query_embedding", &query);
	run_search(&s, &query, GM_NONE, &rows);
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

	gm_arg_required(fcinfo, 0, "entity");
	begin_search(fcinfo, &s);
	node = gm_arg_node(fcinfo, 0, "entity", s.image->graph);
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
	gm_error_check(gm_space_prepare(s.info->space, gm_space_vector(s.info->space, row), &query),
				   "searching vectors");
	run_search(&s, &query, row, &rows);
	return (Datum) 0;
}
