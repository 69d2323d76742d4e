/*-------------------------------------------------------------------------
 *
 * fn_traverse.c
 *	  Walks over the graph: traverse, reach, subgraph.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "api/args.h"
#include "api/rows.h"
#include "core/traverse.h"
#include "error.h"
#include "image/image.h"

#define AHEAD_STEPS		8		/* rows */

static bool
depth_first(FunctionCallInfo fcinfo, int n)
{
	char	   *order = gm_arg_cstring(fcinfo, n);

	if (order == NULL || strcmp(order, "bfs") == 0)
		return false;
	if (strcmp(order, "dfs") == 0)
		return true;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid traversal order \"%s\"", gm_error_quote(order, strlen(order))),
			 errhint("Orders are \"bfs\" and \"dfs\".")));
	return false;
}

static GmNode
seed_of(const GmTraversal *t, uint32_t row)
{
	while (t->rows[row].parent != GM_NONE)
		row = t->rows[row].parent;
	return t->rows[row].node;
}

/*
 * What the rows after row i read: their nodes and, of the ways to them, the
 * last steps.  The steps before belong to other rows too, and are near.
 */
static void
fetch_ahead(const GmGraph *g, const GmTraversal *t, const GmNode *nodes, uint32_t i)
{
	GmSlot		slot;

	gm_rows_fetch_nodes(g, nodes, sizeof(GmNode), i, t->order_count);
	if (i + AHEAD_STEPS >= t->order_count)
		return;
	slot = t->rows[t->order[i + AHEAD_STEPS]].slot;
	if (slot == GM_NONE)
		return;
	gm_prefetch(gm_array_at(&g->triple_id, slot));
	gm_prefetch(gm_array_at(&g->subject, slot));
	gm_prefetch(gm_array_at(&g->predicate, slot));
	gm_prefetch(gm_array_at(&g->object, slot));
}

static void
put_traversal_row(GmRows *rows, const GmGraph *g, const GmTraversal *t, uint32_t row, int64_t rank)
{
	const GmTraverseRow *r = &t->rows[row];
	GmSlot	   *slots = gm_row_alloc(rows, (r->hops + (Size) 1) * sizeof(GmSlot));
	bool	   *out = gm_row_alloc(rows, (r->hops + (Size) 1) * sizeof(bool));

	gm_traverse_path(t, row, slots, out);
	gm_row_int8(rows, rank);
	gm_row_int8(rows, gm_graph_entity_id(g, r->node));
	gm_row_string(rows, gm_graph_name(g, r->node));
	gm_row_string(rows, gm_graph_kind(g, r->node));
	gm_row_int4(rows, (int32_t) r->hops);
	gm_row_path(rows, g, seed_of(t, row), slots, out, (int) r->hops);
	gm_rows_put(rows);
}

/*
 * traverse(seeds, max_hops, traversal_order, match_count, direction,
 *			predicates, kinds, min_confidence, as_of, known_at, graph)
 */
GM_READING_FUNCTION(graphmem_traverse)
{
	GmImage    *image = gm_image_open(gm_arg_cstring(fcinfo, 10));
	const GmGraph *g = image->graph;
	uint32_t	seed_count;
	GmNode	   *seeds = gm_arg_nodes(fcinfo, 0, "seeds", g, gm_arg_known_at(fcinfo, 9),
									 &seed_count);
	GmTraverseOpts opts;
	GmTraversal traversal;
	GmNode	   *nodes;
	GmView		view;
	GmRows		rows;

	opts.max_hops = gm_arg_hops(fcinfo, 1, "max_hops", 2);
	opts.depth_first = depth_first(fcinfo, 2);
	opts.match_count = gm_arg_count8(fcinfo, 3, "match_count", GM_ALL_ROWS);
	opts.kinds = gm_arg_kinds(fcinfo, 6, g);
	gm_arg_view(fcinfo, 7, image, &view);
	view.direction = gm_arg_direction(fcinfo, 4);
	view.predicates = gm_arg_predicates(fcinfo, 5, g);
	gm_view_settle(g, &view);
	gm_rows_begin(fcinfo, &rows);
	if (seed_count == 0)
		return (Datum) 0;
	gm_error_check(gm_traverse(g, &view, image->scratch, seeds, seed_count, &opts,
							   &gm_server_interrupt, &traversal), "traversing a graph");
	nodes = MemoryContextAllocHuge(CurrentMemoryContext,
								   (traversal.order_count + (Size) 1) * sizeof(GmNode));
	for (uint32_t i = 0; i < traversal.order_count; i++)
		nodes[i] = traversal.rows[traversal.order[i]].node;
	for (uint32_t i = 0; i < traversal.order_count; i++)
	{
		fetch_ahead(g, &traversal, nodes, i);
		put_traversal_row(&rows, g, &traversal, traversal.order[i], (int64_t) i + 1);
	}
	return (Datum) 0;
}

/*
 * reach(seed, max_hops, direction, predicates, min_confidence, as_of,
 *		 known_at, graph)
 */
GM_READING_FUNCTION(graphmem_reach)
{
	GmImage    *image = gm_image_open(gm_arg_cstring(fcinfo, 7));
	const GmGraph *g = image->graph;
	GmNode		seed = gm_arg_node(fcinfo, 0, "seed", g, gm_arg_known_at(fcinfo, 6));
	int			max_hops = gm_arg_hops(fcinfo, 1, "max_hops", 2);
	uint64_t	count = 0;
	uint64_t	checksum = 0;
	GmView		view;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	gm_arg_view(fcinfo, 4, image, &view);
	view.direction = gm_arg_direction(fcinfo, 2);
	view.predicates = gm_arg_predicates(fcinfo, 3, g);
	gm_view_settle(g, &view);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (seed != GM_NONE)
		gm_error_check(gm_reach(g, &view, image->scratch, seed, max_hops,
								&gm_server_interrupt, &count, &checksum),
					   "traversing a graph");
	values[0] = Int64GetDatum((int64) count);
	values[1] = Int64GetDatum((int64) checksum);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * subgraph(seeds, max_hops, match_count, direction, predicates,
 *			min_confidence, as_of, known_at, graph)
 */
GM_READING_FUNCTION(graphmem_subgraph)
{
	GmImage    *image = gm_image_open(gm_arg_cstring(fcinfo, 8));
	const GmGraph *g = image->graph;
	uint32_t	seed_count;
	GmNode	   *seeds = gm_arg_nodes(fcinfo, 0, "seeds", g, gm_arg_known_at(fcinfo, 7),
									 &seed_count);
	int			max_hops = gm_arg_hops(fcinfo, 1, "max_hops", 1);
	uint64_t	match_count = gm_arg_count8(fcinfo, 2, "match_count", GM_ALL_ROWS);
	const GmSubgraphRow *found;
	uint64_t	count;
	GmView		view;
	GmRows		rows;

	gm_arg_view(fcinfo, 5, image, &view);
	view.direction = gm_arg_direction(fcinfo, 3);
	view.predicates = gm_arg_predicates(fcinfo, 4, g);
	gm_view_settle(g, &view);
	gm_rows_begin(fcinfo, &rows);
	if (seed_count == 0)
		return (Datum) 0;
	gm_error_check(gm_subgraph(g, &view, image->scratch, seeds, seed_count, max_hops,
							   match_count, &gm_server_interrupt, &found, &count),
				   "collecting a subgraph");
	for (uint64_t i = 0; i < count; i++)
	{
		GmTriple	t;

		gm_rows_fetch_slots(g, &found[0].slot, sizeof(found[0]), i, count);
		gm_graph_slot(g, found[i].slot, &t);
		gm_row_int8(&rows, t.triple_id);
		gm_row_string(&rows, gm_graph_name(g, t.subject));
		gm_row_string(&rows, gm_graph_string(g, gm_graph_predicate(g, t.predicate)->name));
		gm_row_string(&rows, gm_graph_name(g, t.object));
		gm_row_int4(&rows, (int32_t) found[i].hops);
		gm_row_float4(&rows, gm_graph_confidence(g, &view, found[i].slot));
		gm_row_time(&rows, t.times.valid_from);
		gm_row_time(&rows, t.times.valid_to);
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}
