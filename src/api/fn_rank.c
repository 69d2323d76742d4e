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

static int
compare_ids(const GmGraph *g, GmNode a, GmNode b)
{
	int64_t		x = gm_graph_entity_id(g, a);
	int64_t		y = gm_graph_entity_id(g, b);

	return x < y ? -1 : x > y;
}

static int
compare_masses(const void *a, const void *b, void *arg)
{
	const GmMass *x = a;
	const GmMass *y = b;

	if (x->mass != y->mass)
		return x->mass > y->mass ? -1 : 1;
	return compare_ids(arg, x->node, y->node);
}

/* sift down in a heap whose root is the worst of those kept */
static void
sink(const GmGraph *g, GmMass *heap, uint64 n, uint64 at)
{
	for (;;)
	{
		uint64		child = at * 2 + 1;
		GmMass		t;

		if (child >= n)
			return;
		if (child + 1 < n && compare_masses(&heap[child], &heap[child + 1], unconstify(GmGraph *, g)) < 0)
			child++;
		if (compare_masses(&heap[at], &heap[child], unconstify(GmGraph *, g)) >= 0)
			return;
		t = heap[at];
		heap[at] = heap[child];
		heap[child] = t;
		at = child;
	}
}

/* the best match_count of list, in order, at its front; how many they are */
static uint64
best_masses(const GmGraph *g, GmMass *list, uint64 n, uint64 match_count)
{
	uint64		kept = Min(n, match_count);

	if (kept < n && kept > 0)
	{
		for (uint64 i = kept / 2; i-- > 0;)
			sink(g, list, kept, i);
		for (uint64 i = kept; i < n; i++)
		{
			if (compare_masses(&list[i], &list[0], unconstify(GmGraph *, g)) >= 0)
				continue;
			list[0] = list[i];
			sink(g, list, kept, 0);
		}
	}
	qsort_interruptible(list, kept, sizeof(GmMass), compare_masses, unconstify(GmGraph *, g));
	return kept;
}

static uint64
global_rank(const GmImage *image, const GmView *view, const GmPagerankOpts *opts,
			const uint64_t *kinds, GmMass **list)
{
	uint32_t	nodes = image->graph->root->gr_nodes;
	uint64		n = 0;
	GmPagerank	result;

	gm_error_check(gm_pagerank(image->graph, view, image->scratch, opts,
							   &gm_server_interrupt, &result), "computing PageRank");
	*list = huge_array(nodes, sizeof(GmMass));
	for (GmNode node = 0; node < nodes; node++)
	{
		if (!gm_graph_node_live(image->graph, node) ||
			(kinds != NULL && !gm_bit_test(kinds, node)))
			continue;
		(*list)[n].node = node;
		(*list)[n++].mass = result.rank[node];
	}
	return n;
}

static uint64
personal_rank(const GmImage *image, const GmView *view, const GmPprOpts *opts,
			  const GmNode *seeds, uint32_t seed_count, const uint64_t *kinds, GmMass **list)
{
	GmMass	   *masses = palloc((seed_count + 1) * sizeof(GmMass));
	uint64		n = 0;
	GmMasses	result;

	for (uint32_t i = 0; i < seed_count; i++)
	{
		masses[i].node = seeds[i];
		masses[i].mass = 1.0 / seed_count;
	}
	gm_error_check(gm_ppr(image->graph, view, image->scratch, masses, seed_count, opts,
						  &gm_server_interrupt, &result), "computing PageRank");
	*list = huge_array(result.count, sizeof(GmMass));
	for (uint32_t i = 0; i < result.count; i++)
		if (result.list[i].mass > 0 &&
			(kinds == NULL || gm_bit_test(kinds, result.list[i].node)))
			(*list)[n++] = result.list[i];
	return n;
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
	GmMass	   *list = NULL;
	uint64		n = 0;
	GmView		view;
	GmRows		rows;

	gm_arg_view(fcinfo, 5, image, &view);
	view.direction = gm_arg_direction(fcinfo, 2);
	view.predicates = gm_arg_predicates(fcinfo, 3, g);
	gm_view_settle(g, &view);
	if (!PG_ARGISNULL(0))
		seeds = gm_arg_nodes(fcinfo, 0, "seeds", g, &seed_count);
	gm_rows_begin(fcinfo, &rows);
	if (g->root->gr_live_nodes == 0 || (seeds != NULL && seed_count == 0))
		return (Datum) 0;
	if (seeds == NULL)
	{
		GmPagerankOpts opts = {damping, epsilon > 0 ? epsilon : PAGERANK_TOLERANCE,
		(uint32_t) max_iterations};

		n = global_rank(image, &view, &opts, kinds, &list);
	}
	else
	{
		GmPprOpts	opts = {damping, epsilon > 0 ? epsilon : gm_guc_ppr_epsilon};

		n = personal_rank(image, &view, &opts, seeds, seed_count, kinds, &list);
	}
	n = best_masses(g, list, n, match_count);
	for (uint64 i = 0; i < n; i++)
	{
		gm_row_int8(&rows, (int64_t) i + 1);
		gm_row_int8(&rows, gm_graph_entity_id(g, list[i].node));
		gm_row_string(&rows, gm_graph_name(g, list[i].node));
		gm_row_string(&rows, gm_graph_kind(g, list[i].node));
		gm_row_float8(&rows, list[i].mass);
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}

/* nodes in the order of their components: larger ones first, then by id */
typedef struct Member
{
	uint32_t	size;
	GmNode		label;
	GmNode		node;
} Member;

static int
compare_members(const void *a, const void *b, void *arg)
{
	const Member *x = a;
	const Member *y = b;

	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	if (x->label != y->label)
		return compare_ids(arg, x->label, y->label);
	return compare_ids(arg, x->node, y->node);
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
	uint32_t	nodes = g->root->gr_nodes;
	GmComponents components;
	Member	   *members;
	uint64		n = 0;
	GmView		view;
	GmRows		rows;

	gm_arg_view(fcinfo, 3, image, &view);
	view.predicates = gm_arg_predicates(fcinfo, 2, g);
	gm_view_settle(g, &view);
	gm_rows_begin(fcinfo, &rows);
	if (nodes == 0)
		return (Datum) 0;
	gm_error_check(gm_components(g, &view, image->scratch, &gm_server_interrupt, &components),
				   "finding components");
	members = huge_array(nodes, sizeof(Member));
	for (GmNode node = 0; node < nodes; node++)
	{
		GmNode		label = components.label[node];

		if (!gm_graph_node_live(g, node) || components.size[label] < min_size)
			continue;
		members[n].size = components.size[label];
		members[n].label = label;
		members[n++].node = node;
	}
	qsort_interruptible(members, n, sizeof(Member), compare_members, unconstify(GmGraph *, g));
	for (uint64 i = 0; i < n && i < match_count; i++)
	{
		gm_row_int8(&rows, gm_graph_entity_id(g, members[i].label));
		gm_row_int8(&rows, members[i].size);
		gm_row_int8(&rows, gm_graph_entity_id(g, members[i].node));
		gm_row_string(&rows, gm_graph_name(g, members[i].node));
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}
