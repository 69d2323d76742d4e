/*-------------------------------------------------------------------------
 *
 * fn_rank.c
 *	  Structure of the whole graph: pagerank, components.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "api/args.h"
#include "api/rows.h"
#include "core/rank.h"
#include "core/traverse.h"
#include "error.h"
#include "image/image.h"
#include "guc.h"

#define PAGERANK_TOLERANCE	1e-6

static void *
huge_array(uint64 n, Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, (n + 1) * size, MCXT_ALLOC_HUGE);
}

static void
global_rank(const GmImage *image, const GmView *view, const GmPagerankOpts *opts,
			GmMasses *masses)
{
	uint32_t	nodes = image->graph->root->gr_nodes;
	GmMass	   *list = huge_array(nodes, sizeof(GmMass));
	GmPagerank	result;

	gm_error_check(gm_pagerank(image->graph, view, image->scratch, opts,
							   &gm_server_interrupt, &result), "computing PageRank");
	for (GmNode node = 0; node < nodes; node++)
	{
		list[node].node = node;
		list[node].mass = result.rank[node];
	}
	masses->list = list;
	masses->count = nodes;
}

static void
personal_rank(const GmImage *image, const GmView *view, const GmPprOpts *opts,
			  const GmNode *seeds, uint32_t seed_count, GmMasses *masses)
{
	GmMass	   *start = palloc((seed_count + 1) * sizeof(GmMass));

	for (uint32_t i = 0; i < seed_count; i++)
	{
		start[i].node = seeds[i];
		start[i].mass = 1.0 / seed_count;
	}
	gm_error_check(gm_ppr(image->graph, view, image->scratch, start, seed_count, opts,
						  &gm_server_interrupt, masses), "computing PageRank");
}

/*
 * pagerank(seeds, match_count, direction, predicates, kinds, min_confidence,
 *			as_of, known_at, damping, epsilon, max_iterations, graph)
 */
GM_READING_FUNCTION(graphmem_pagerank)
{
	GmImage    *image = gm_image_open(gm_arg_cstring(fcinfo, 11));
	const GmGraph *g = image->graph;
	uint64_t	match_count = gm_arg_count8(fcinfo, 1, "match_count", GM_ALL_ROWS);
	uint64_t   *kinds = gm_arg_kinds(fcinfo, 4, g);
	double		damping = gm_arg_real(fcinfo, 8, "damping", 0, 0.999, gm_guc_damping);
	double		epsilon = gm_arg_float8(fcinfo, 9, "epsilon", 1e-12, 1, -1);
	int			max_iterations = gm_arg_count4(fcinfo, 10, "max_iterations", 100);
	GmNode	   *seeds = NULL;
	uint32_t	seed_count = 0;
	const GmMass *best;
	uint32_t	best_count;
	GmMasses	masses;
	GmView		view;
	GmRows		rows;

	gm_arg_view(fcinfo, 5, image, &view);
	view.direction = gm_arg_direction(fcinfo, 2);
	view.predicates = gm_arg_predicates(fcinfo, 3, g);
	gm_view_settle(g, &view);
	if (!PG_ARGISNULL(0))
		seeds = gm_arg_nodes(fcinfo, 0, "seeds", g, view.known_at, &seed_count);
	gm_rows_begin(fcinfo, &rows);
	if (g->root->gr_live_nodes == 0 || (seeds != NULL && seed_count == 0))
		return (Datum) 0;
	if (seeds == NULL)
	{
		GmPagerankOpts opts = {damping, epsilon > 0 ? epsilon : PAGERANK_TOLERANCE,
		(uint32_t) max_iterations};

		global_rank(image, &view, &opts, &masses);
	}
	else
	{
		GmPprOpts	opts = {damping, epsilon > 0 ? epsilon : gm_guc_ppr_epsilon};

		personal_rank(image, &view, &opts, seeds, seed_count, &masses);
	}
	gm_error_check(gm_best_masses(g, image->scratch, masses.list, masses.count, kinds,
								  match_count, &gm_server_interrupt, &best, &best_count),
				   "computing PageRank");
	for (uint32_t i = 0; i < best_count; i++)
	{
		gm_rows_fetch_nodes(g, &best[0].node, sizeof(GmMass), i, best_count);
		gm_row_int8(&rows, (int64_t) i + 1);
		gm_row_int8(&rows, gm_graph_entity_id(g, best[i].node));
		gm_row_string(&rows, gm_graph_name(g, best[i].node));
		gm_row_string(&rows, gm_graph_kind(g, best[i].node));
		gm_row_float8(&rows, best[i].mass);
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}

/*
 * components(match_count, min_size, predicates, min_confidence, as_of,
 *			  known_at, graph)
 */
GM_READING_FUNCTION(graphmem_components)
{
	GmImage    *image = gm_image_open(gm_arg_cstring(fcinfo, 6));
	const GmGraph *g = image->graph;
	uint64_t	match_count = gm_arg_count8(fcinfo, 0, "match_count", GM_ALL_ROWS);
	uint64_t	min_size = gm_arg_count8(fcinfo, 1, "min_size", 1);
	const GmNode *members;
	uint32_t	member_count;
	GmComponents components;
	GmView		view;
	GmRows		rows;

	gm_arg_view(fcinfo, 3, image, &view);
	view.predicates = gm_arg_predicates(fcinfo, 2, g);
	gm_view_settle(g, &view);
	gm_rows_begin(fcinfo, &rows);
	if (g->root->gr_live_nodes == 0)
		return (Datum) 0;
	gm_error_check(gm_components(g, &view, image->scratch, &gm_server_interrupt, &components),
				   "finding components");
	gm_error_check(gm_component_members(g, image->scratch, &components, min_size, match_count,
										&gm_server_interrupt, &members, &member_count),
				   "finding components");
	for (uint32_t i = 0; i < member_count; i++)
	{
		GmNode		label = components.label[members[i]];

		gm_rows_fetch_nodes(g, members, sizeof(GmNode), i, member_count);
		gm_row_int8(&rows, gm_graph_entity_id(g, label));
		gm_row_int8(&rows, components.size[label]);
		gm_row_int8(&rows, gm_graph_entity_id(g, members[i]));
		gm_row_string(&rows, gm_graph_name(g, members[i]));
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}
