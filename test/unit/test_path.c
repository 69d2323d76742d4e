/*-------------------------------------------------------------------------
 *
 * test_path.c
 *	  Shortest and k best paths against all simple paths of small graphs, and
 *	  against distances found by relaxing every arc of larger ones.
 *
 * What must hold, for random graphs, views, ends and bounds:
 *	 gm_paths			returns the first k of all simple paths in the order
 *						of path.h, slot by slot
 *	 gm_shortest_path	returns the first of them, also where there are too
 *						many to list; its sums are those of its triples
 *	 both, interrupted, leave the scratch fit for the next call
 *
 *-------------------------------------------------------------------------
 */
#include "core/path.h"
#include "core/traverse.h"
#include "random_graph.h"

#define SMALL_ROUNDS	6000
#define LARGE_ROUNDS	300
#define MOST_PATHS		40000
#define MOST_HOPS		8

typedef struct ListedPath
{
	uint64_t	cost;			/* hops, or units of 2^-28 nats */
	uint32_t	hops;
	const RgArc *arcs[MOST_HOPS];
} ListedPath;

typedef struct Listing
{
	const RgArc *arcs;
	uint32_t	arc_count;
	uint32_t	b;
	uint32_t	max_hops;
	bool		by_confidence;
	ListedPath	now;
	uint32_t	visited;
	ListedPath *paths;
	uint32_t	count;
} Listing;

/* the cost that path.h promises to compare by */
static uint64_t
arc_cost(const RgArc *arc, bool by_confidence)
{
	if (!by_confidence)
		return 1;
	return arc->confidence < 1 ? (uint64_t) (-log(arc->confidence) * 0x1p28 + 0.5) : 0;
}

static void
list_from(Listing *l, uint32_t at)
{
	if (at == l->b)
	{
		if (l->count < MOST_PATHS)
			l->paths[l->count++] = l->now;
		return;
	}
	if (l->now.hops == l->max_hops || l->now.hops == MOST_HOPS || l->count == MOST_PATHS)
		return;
	l->visited |= 1u << at;
	for (uint32_t i = 0; i < l->arc_count; i++)
	{
		const RgArc *arc = &l->arcs[i];

		if (arc->from != at || (l->visited >> arc->to & 1) ||
			(l->by_confidence && !(arc->confidence > 0)))
			continue;
		l->now.arcs[l->now.hops++] = arc;
		l->now.cost += arc_cost(arc, l->by_confidence);
		list_from(l, arc->to);
		l->now.cost -= arc_cost(arc, l->by_confidence);
		l->now.hops--;
	}
	l->visited &= ~(1u << at);
}

static int
compare_paths(const void *x, const void *y)
{
	const ListedPath *p = x;
	const ListedPath *q = y;

	if (p->cost != q->cost)
		return p->cost < q->cost ? -1 : 1;
	if (p->hops != q->hops)
		return p->hops < q->hops ? -1 : 1;
	for (uint32_t i = 0; i < p->hops; i++)
	{
		if (p->arcs[i]->to != q->arcs[i]->to)
			return p->arcs[i]->to < q->arcs[i]->to ? -1 : 1;
		if (p->arcs[i]->number != q->arcs[i]->number)
			return p->arcs[i]->number < q->arcs[i]->number ? -1 : 1;
	}
	return 0;
}

static bool
same_path(const GmPath *path, const ListedPath *want, bool by_confidence)
{
	double		product = 1;
	double		cost = by_confidence ? 0 : want->hops;

	if (path->hops != want->hops)
		return false;
	for (uint32_t i = 0; i < want->hops; i++)
	{
		const GmPathStep *step = &path->steps[i + 1];

		if (step->node != want->arcs[i]->to || step->slot != want->arcs[i]->slot ||
			step->out != want->arcs[i]->out || path->steps[i].node != want->arcs[i]->from)
			return false;
		product *= want->arcs[i]->confidence;
		cost -= by_confidence ? log(want->arcs[i]->confidence) : 0;
	}
	CHECK_NEAR(path->confidence, product, 1e-12);
	CHECK_NEAR(path->cost, cost, 1e-9);
	return path->steps[0].slot == GM_NONE;
}

static void
check_against_all(const RgGraph *rg, const RgView *v, Listing *l, uint32_t a,
				  GmPathOpts *opts)
{
	uint32_t	k = 1 + unit_random_below(30);
	const GmPath *paths;
	uint32_t	count;
	bool		complete;
	bool		found;
	GmPath		path;

	list_from(l, a);
	if (l->count == MOST_PATHS)
		return;
	qsort(l->paths, l->count, sizeof(ListedPath), compare_paths);
	CHECK(gm_shortest_path(rg->graph, &v->view, rg_scratch(), a, l->b, opts, NULL, &path,
						   &found) == GM_OK);
	CHECK(found == (l->count > 0));
	if (found && l->count > 0)
		CHECK(same_path(&path, &l->paths[0], opts->by_confidence));
	CHECK(gm_paths(rg->graph, &v->view, rg_scratch(), a, l->b, k, opts, NULL, &paths, &count,
				   &complete) == GM_OK);
	CHECK(complete);
	CHECK(count == (l->count < k ? l->count : k));
	for (uint32_t i = 0; i < count && i < l->count; i++)
		CHECK(same_path(&paths[i], &l->paths[i], opts->by_confidence));
}

static void
test_small(void)
{
	ListedPath *room = malloc(MOST_PATHS * sizeof(ListedPath));

	for (int round = 0; round < SMALL_ROUNDS; round++)
	{
		GmPathOpts	opts = {round % 2, (int) unit_random_below(8) - 1, 0};
		Listing		l = {.paths = room, .by_confidence = round % 2};
		RgArc	   *arcs;
		RgGraph		rg;
		RgView		v;

		rg_make(&rg, rg_random_shape(8, 20));
		rg_random_view(&rg, &v);
		l.arcs = arcs = rg_arcs(&rg, &v.view, &l.arc_count);
		l.b = unit_random_below(rg.shape.nodes);
		l.max_hops = (uint32_t) opts.max_hops;
		check_against_all(&rg, &v, &l, unit_random_below(rg.shape.nodes), &opts);
		rg_check_scratch();
		free(arcs);
		rg_free_view(&v);
		rg_free(&rg);
	}
	free(room);
}

/* costs to b with the hops as tie-break, by relaxing all arcs */
typedef struct Rest
{
	uint64_t	cost;
	uint32_t	hops;
} Rest;

static bool
rest_less(Rest x, Rest y)
{
	return x.cost < y.cost || (x.cost == y.cost && x.hops < y.hops);
}

static Rest *
rests(const RgArc *arcs, uint32_t arc_count, uint32_t nodes, uint32_t b, bool by_confidence)
{
	Rest	   *rest = malloc(nodes * sizeof(Rest));
	bool		changed = true;

	for (uint32_t v = 0; v < nodes; v++)
		rest[v] = (Rest) {v == b ? 0 : UINT64_MAX, 0};
	while (changed)
	{
		changed = false;
		for (uint32_t i = 0; i < arc_count; i++)
		{
			const RgArc *arc = &arcs[i];
			Rest		r = rest[arc->to];

			if (r.cost == UINT64_MAX || (by_confidence && !(arc->confidence > 0)))
				continue;
			r = (Rest) {r.cost + arc_cost(arc, by_confidence), r.hops + 1};
			if (rest_less(r, rest[arc->from]))
			{
				rest[arc->from] = r;
				changed = true;
			}
		}
	}
	return rest;
}

/* from a, always the smallest step that leaves the least rest */
static void
check_walk(const GmPath *path, const RgArc *arcs, uint32_t arc_count, const Rest *rest,
		   uint32_t a, uint32_t b, bool by_confidence)
{
	uint32_t	at = a;

	for (uint32_t step = 1; at != b; step++)
	{
		const RgArc *best = NULL;

		for (uint32_t i = 0; i < arc_count; i++)
		{
			const RgArc *arc = &arcs[i];

			if (arc->from != at || rest[arc->to].cost == UINT64_MAX ||
				(by_confidence && !(arc->confidence > 0)) ||
				rest[arc->to].cost + arc_cost(arc, by_confidence) != rest[at].cost ||
				rest[arc->to].hops + 1 != rest[at].hops)
				continue;
			if (best == NULL || arc->to < best->to ||
				(arc->to == best->to && arc->number < best->number))
				best = arc;
		}
		REQUIRE(step <= path->hops && best != NULL);
		REQUIRE(path->steps[step].node == best->to);
		REQUIRE(path->steps[step].slot == best->slot && path->steps[step].out == best->out);
		at = best->to;
	}
	CHECK(path->hops == rest[a].hops);
}

static void
check_large(const RgGraph *rg, const RgView *v, bool by_confidence)
{
	uint32_t	n = rg->shape.nodes;
	uint32_t	arc_count;
	RgArc	   *arcs = rg_arcs(rg, &v->view, &arc_count);

	for (int i = 0; i < 20; i++)
	{
		uint32_t	a = unit_random_below(n);
		uint32_t	b = unit_random_below(n);
		Rest	   *rest = rests(arcs, arc_count, n, b, by_confidence);
		GmPathOpts	opts = {by_confidence, -1, 0};
		GmPath		path;
		bool		found;

		if (unit_random_below(2))
			opts.max_hops = (int) rest[a].hops;
		CHECK(gm_shortest_path(rg->graph, &v->view, rg_scratch(), a, b, &opts, NULL, &path,
							   &found) == GM_OK);
		CHECK(found == (rest[a].cost != UINT64_MAX));
		if (found)
			check_walk(&path, arcs, arc_count, rest, a, b, by_confidence);
		rg_check_scratch();
		free(rest);
	}
	free(arcs);
}

static void
test_large(void)
{
	for (int round = 0; round < LARGE_ROUNDS; round++)
	{
		RgShape		shape = rg_random_shape(400, 100);
		RgGraph		rg;
		RgView		v;

		/* from trees that hardly hang together to many equal paths */
		shape.triples = shape.nodes * (1 + unit_random_below(6));
		rg_make(&rg, shape);
		rg_random_view(&rg, &v);
		check_large(&rg, &v, round % 2);
		rg_free_view(&v);
		rg_free(&rg);
	}
}

/*
 * Two hubs with many common neighbours: from the wrong side the first meeting
 * is not the smallest path, and giving up on a's side must lead there too.
 */
static void
test_meeting(void)
{
	for (int round = 0; round < 300; round++)
	{
		uint32_t	wide = 2 + unit_random_below(60);
		uint32_t	narrow = 1 + unit_random_below(4);
		RgGraph		rg = {.shape = {2 + wide + narrow, 0, false, false, false, false}};
		RgView		v = {.slots = NULL};
		uint32_t	links = 1 + unit_random_below(wide * narrow);
		GmTimes		times = rg_times(false);
		uint32_t	cross = unit_random_below(2) * wide * 20;
		uint32_t	m = 0;

		/* 0 and 1 are the ends; the neighbours of one are linked to the other's */
		rg.triples = calloc(wide + narrow + links + cross, sizeof(RgTriple));
		for (uint32_t i = 0; i < wide + narrow; i++)
			rg.triples[m++] = (RgTriple) {i < wide ? 0 : 1, 0, 2 + i, 1, times};
		for (uint32_t i = 0; i < links; i++)
			rg.triples[m++] = (RgTriple) {2 + wide + unit_random_below(narrow), 0,
										  2 + unit_random_below(wide), 1, times};
		for (uint32_t i = 0; i < cross; i++)
			rg.triples[m++] = (RgTriple) {2 + unit_random_below(wide), 0,
										  2 + unit_random_below(wide), 1, times};
		rg.shape.triples = m;
		for (uint32_t p = 0; p < RG_PREDICATES; p++)
			rg.weight[p] = 1;
		rg_build(&rg);
		gm_view_init(rg.graph, RG_NOW, &v.view);
		check_large(&rg, &v, false);
		rg_free(&rg);
	}
}

static void
test_bad_values(void)
{
	GmPathOpts	opts = {false, -1, 0};
	const GmPath *paths;
	uint32_t	count;
	RgGraph		rg;
	GmView		view;
	GmPath		path;
	bool		found;

	rg_make(&rg, (RgShape) {3, 0, false, false, false, false});
	gm_view_init(rg.graph, RG_NOW, &view);
	CHECK(gm_shortest_path(rg.graph, &view, rg_scratch(), 0, 3, &opts, NULL, &path,
						   &found) == GM_BAD_VALUE);
	CHECK(gm_shortest_path(rg.graph, &view, rg_scratch(), 0, 2, &opts, NULL, &path,
						   &found) == GM_OK && !found);
	CHECK(gm_paths(rg.graph, &view, rg_scratch(), 1, 1, 5, &opts, NULL, &paths, &count,
				   &found) == GM_OK);
	CHECK(count == 1 && paths[0].hops == 0 && paths[0].steps[0].node == 1);
	CHECK(gm_paths(rg.graph, &view, rg_scratch(), 1, 1, 0, &opts, NULL, &paths, &count,
				   &found) == GM_OK && count == 0);
	opts.max_hops = -2;
	CHECK(gm_shortest_path(rg.graph, &view, rg_scratch(), 0, 1, &opts, NULL, &path,
						   &found) == GM_BAD_VALUE);
	rg_free(&rg);
}

static void
test_interrupt(void)
{
	RgStop		stop;
	GmInterrupt intr = {rg_stop, &stop};
	uint32_t	stopped = 0;
	RgGraph		rg;
	GmView		view;

	rg_make(&rg, (RgShape) {5000, 60000, false, false, false, false});
	gm_view_init(rg.graph, RG_NOW, &view);
	for (uint32_t i = 0; i < 200; i++)
	{
		GmPathOpts	opts = {i & 1, (i & 2) ? -1 : 3, 100000};
		uint32_t	a = unit_random_below(5000);
		uint32_t	b = unit_random_below(5000);
		GmScratch  *fresh;
		const GmPath *paths;
		GmPath		path[2];
		uint32_t	count;
		bool		complete;
		bool		found[2];
		GmStatus	status;

		REQUIRE(gm_scratch_create(0, &fresh) == GM_OK);
		stop.left = unit_random_below(4);
		status = gm_paths(rg.graph, &view, rg_scratch(), a, b, 4, &opts, &intr, &paths, &count,
						  &complete);
		CHECK(status == GM_OK || status == GM_INTERRUPTED);
		stopped += status == GM_INTERRUPTED;
		CHECK(gm_shortest_path(rg.graph, &view, rg_scratch(), a, b, &opts, NULL, &path[0],
							   &found[0]) == GM_OK);
		CHECK(gm_shortest_path(rg.graph, &view, fresh, a, b, &opts, NULL, &path[1],
							   &found[1]) == GM_OK);
		CHECK(found[0] == found[1]);
		if (found[0] && found[1] && CHECK(path[0].hops == path[1].hops))
		{
			for (uint32_t k = 0; k <= path[0].hops; k++)
				CHECK(path[0].steps[k].node == path[1].steps[k].node &&
					  path[0].steps[k].slot == path[1].steps[k].slot);
		}
		gm_scratch_destroy(fresh);
	}
	CHECK(stopped > 20);
	rg_check_scratch();
	rg_free(&rg);
}

UNIT_MAIN(UNIT(test_small), UNIT(test_large), UNIT(test_meeting), UNIT(test_bad_values),
		  UNIT(test_interrupt))
