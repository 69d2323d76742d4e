/*-------------------------------------------------------------------------
 *
 * test_estimate.c
 *	  Estimates against what the walks then find.
 *
 * What must hold:
 *	 power law	entities within 1 to 3 hops, and the facts among them, are
 *				estimated within a factor of 3 over many seeds together, with
 *				and without the seeds' own degrees; so is the mean degree
 *	 bounds		on any graph: no more entities or facts than there are, no
 *				fewer with another hop, nothing that is not finite
 *	 share		a walk over a part of the facts finds no more than one over all
 *
 *-------------------------------------------------------------------------
 */
#include "core/estimate.h"
#include "core/traverse.h"
#include "random_graph.h"

#define NODES		4000
#define FACTS		30000
#define SEEDS		200
#define FACTOR		3
#define ROUNDS		2000

/* ends drawn so that the n-th entity comes with a frequency of about n^-0.6 */
static uint32_t
draw(void)
{
	return (uint32_t) (NODES * pow(unit_random_double(), 2.5));
}

static void
make_power_law(GmMem **mem, GmGraph **g)
{
	GmTimes		always = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	char		name[16];

	CHECK(gm_mem_create(1 << 16, SIZE_MAX, NULL, mem) == GM_OK);
	CHECK(gm_graph_create(*mem, g) == GM_OK);
	CHECK(gm_graph_add_predicate(*g, 1, "p", 1, false, false, 1) == GM_OK);
	for (int i = 0; i < NODES; i++)
	{
		int			length = snprintf(name, sizeof(name), "%d", i);

		CHECK(gm_graph_add_entity(*g, i + 1, name, (uint32_t) length, NULL, 0, NULL, 0) == GM_OK);
	}
	for (int i = 0; i < FACTS; i++)
		CHECK(gm_graph_add_triple(*g, i + 1, i + 1, draw() + 1, 1, draw() + 1, 1, &always) == GM_OK);
	CHECK(gm_graph_finish(*g, RG_NOW, NULL) == GM_OK);
}

static void
check_factor(double estimate, double truth, const char *what, int hops)
{
	if (!CHECK(estimate <= truth * FACTOR && estimate >= truth / FACTOR))
		printf("# %s, %d hops: %g estimated, %g found\n", what, hops, estimate, truth);
}

static void
compare_walks(const GmGraph *g, const GmShape *shape, const GmView *view, GmScratch *scratch,
			  int hops, bool known)
{
	double		nodes = 0;
	double		facts = 0;
	double		found_nodes = 0;
	double		found_facts = 0;

	for (int i = 0; i < SEEDS; i++)
	{
		GmNode		seed = draw();
		double		degree = GM_ARRAY_U32(&g->degree, seed);
		GmWalkOpts	opts = {GM_BOTH, hops, 1, known ? degree : -1, -1, 1};
		GmWalkEstimate e;
		uint64_t	count;
		uint64_t	checksum;
		uint64_t	rows;
		const GmSubgraphRow *list;

		gm_estimate_walk(shape, &opts, &e);
		nodes += e.nodes;
		facts += gm_estimate_between(shape, &opts, &e);
		CHECK(gm_reach(g, view, scratch, seed, hops, NULL, &count, &checksum) == GM_OK);
		CHECK(gm_subgraph(g, view, scratch, &seed, 1, hops, GM_ALL_ROWS, NULL, &list, &rows) == GM_OK);
		found_nodes += 1 + (double) count;
		found_facts += (double) rows;
	}
	/* without its degree a seed is any entity, and draw() prefers the large ones */
	if (known || hops > 1)
	{
		check_factor(nodes, found_nodes, "entities", hops);
		check_factor(facts, found_facts, "facts", hops);
	}
}

static void
test_power_law(void)
{
	GmScratch  *scratch;
	GmShape		shape;
	GmGraph    *g;
	GmMem	   *mem;
	GmView		view;
	double		linked = 0;

	make_power_law(&mem, &g);
	CHECK(gm_scratch_create(SIZE_MAX, &scratch) == GM_OK);
	gm_view_init(g, RG_NOW, &view);
	gm_shape_look(g, &shape);
	CHECK(shape.nodes == NODES && shape.facts == FACTS && shape.predicates == 1);
	for (GmNode n = 0; n < NODES; n++)
		linked += GM_ARRAY_U32(&g->degree, n) > 0;
	check_factor(gm_degrees_mean(&shape.both), 2.0 * FACTS / linked, "mean degree", 0);
	for (int hops = 1; hops <= 3; hops++)
	{
		compare_walks(g, &shape, &view, scratch, hops, true);
		compare_walks(g, &shape, &view, scratch, hops, false);
	}
	gm_scratch_destroy(scratch);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

static void
check_bounds(const GmShape *s)
{
	GmWalkOpts	opts = {GM_BOTH, 0, 1 + unit_random_below(9), -1, -1, 1};
	GmWalkEstimate before = {0};

	opts.direction = (GmDirection) (1 + unit_random_below(3));
	if (unit_random_below(2) == 0)
		opts.first = unit_random_below(100);
	if (unit_random_below(2) == 0)
		opts.second = unit_random_below(1000);
	for (opts.hops = 0; opts.hops < 6; opts.hops++)
	{
		GmWalkEstimate e;
		GmWalkEstimate part;
		double		facts;

		opts.share = 1;
		gm_estimate_walk(s, &opts, &e);
		facts = gm_estimate_between(s, &opts, &e);
		CHECK(isfinite(e.nodes) && isfinite(e.arcs) && isfinite(facts));
		CHECK(e.nodes >= 0 && e.nodes <= s->nodes);
		CHECK(e.arcs >= 0 && e.arcs <= 2 * s->facts);
		CHECK(facts >= 0 && facts <= s->facts);
		CHECK(e.met >= 0 && e.met <= 1.0001 && e.within <= e.met + 0.0001);
		CHECK(e.nodes >= before.nodes && e.arcs >= before.arcs);
		before = e;
		if (opts.first >= 0)
			continue;			/* which the caller has taken a part of already */
		opts.share = unit_random_double();
		gm_estimate_walk(s, &opts, &part);
		CHECK(part.nodes <= e.nodes * 1.0001 + 0.0001);
		CHECK(gm_estimate_between(s, &opts, &part) <= facts * 1.0001 + 0.0001);
	}
}

static void
test_bounds(void)
{
	for (int round = 0; round < ROUNDS; round++)
	{
		RgGraph		rg;
		GmShape		shape;

		rg_make(&rg, rg_random_shape(60, 200));
		gm_shape_look(rg.graph, &shape);
		check_bounds(&shape);
		rg_free(&rg);
	}
}

/* degrees from statistics need not be pairs, nor be there at all */
static void
test_statistics(void)
{
	GmShape		s;
	GmWalkOpts	opts = {GM_BOTH, 2, 1, -1, -1, 1};
	GmWalkEstimate e;

	gm_shape_clear(&s);
	s.nodes = 1000;
	s.facts = 5000;
	gm_estimate_walk(&s, &opts, &e);
	CHECK(e.nodes == 1 && e.arcs == 0);
	CHECK_NEAR(gm_degrees_mean(&s.both), 1, 0);
	CHECK(gm_degrees_add(&s.both, 0.5, 1000));
	CHECK(gm_degrees_add(&s.both, 0.5, 5));
	/* half of 10,000 ends on 5 entities, half on 1000 */
	CHECK_NEAR(gm_degrees_mean(&s.both), 10000.0 / 1005, 0.01);
	check_bounds(&s);
	gm_estimate_walk(&s, &opts, &e);
	CHECK(e.nodes > 300 && e.nodes < 1000);
	while (gm_degrees_add(&s.both, 0, 1))
		;
	CHECK(s.both.n == GM_DEGREES_MOST);
}

UNIT_MAIN(UNIT(test_power_law), UNIT(test_bounds), UNIT(test_statistics))
