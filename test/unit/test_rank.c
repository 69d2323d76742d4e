/*-------------------------------------------------------------------------
 *
 * test_rank.c
 *	  Ranks, nearness, components and proofs against dense, serial oracles.
 *
 * What must hold, for random graphs, views and seeds:
 *	 pagerank		equals the dense power iteration run until it stands still
 *	 ppr			no mass above the dense result; both ways, at most epsilon
 *					times the degree below; in all, missing below
 *	 hops_decay		equals the maximum over one search per seed
 *	 components		labels are the smallest node that relaxing can carry
 *	 best_paths		equals a table by hops and nodes, step by step
 *	 any of them interrupted leaves the scratch fit for the next call
 *
 *-------------------------------------------------------------------------
 */
#include "core/rank.h"
#include "core/traverse.h"
#include "random_graph.h"

#define ROUNDS		1500
#define MOST_SEEDS	5

typedef struct Case
{
	RgGraph		rg;
	RgView		v;
	RgArc	   *arcs;
	uint32_t	arc_count;
	GmMass		seeds[MOST_SEEDS];
	uint32_t	seed_count;
} Case;

static void
make_case(Case *c, uint32_t most_nodes, uint32_t most_triples)
{
	rg_make(&c->rg, rg_random_shape(most_nodes, most_triples));
	rg_random_view(&c->rg, &c->v);
	c->arcs = rg_arcs(&c->rg, &c->v.view, &c->arc_count);
	c->seed_count = 1 + unit_random_below(MOST_SEEDS);
	for (uint32_t i = 0; i < c->seed_count; i++)
	{
		c->seeds[i].node = unit_random_below(c->rg.shape.nodes);
		c->seeds[i].mass = 0.1 + unit_random_double();
	}
}

static void
free_case(Case *c)
{
	free(c->arcs);
	rg_free_view(&c->v);
	rg_free(&c->rg);
}

static double *
degrees(const Case *c)
{
	double	   *degree = calloc(c->rg.shape.nodes, sizeof(double));

	for (uint32_t i = 0; i < c->arc_count; i++)
		degree[c->arcs[i].from] += c->arcs[i].weight;
	return degree;
}

/* the walk's stationary mass; restart sums to 1 and takes what has no way on */
static double *
dense_rank(const Case *c, const double *restart, double damping)
{
	uint32_t	n = c->rg.shape.nodes;
	double	   *degree = degrees(c);
	double	   *rank = malloc(n * sizeof(double));
	double	   *next = malloc(n * sizeof(double));
	double		change = 1;

	memcpy(rank, restart, n * sizeof(double));
	while (change > 1e-14)
	{
		double		lost = 0;

		change = 0;
		for (uint32_t v = 0; v < n; v++)
			lost += degree[v] > 0 ? 0 : rank[v];
		for (uint32_t v = 0; v < n; v++)
			next[v] = (1 - damping + damping * lost) * restart[v];
		for (uint32_t i = 0; i < c->arc_count; i++)
		{
			const RgArc *a = &c->arcs[i];

			if (a->weight > 0)
				next[a->to] += damping * rank[a->from] * a->weight / degree[a->from];
		}
		for (uint32_t v = 0; v < n; v++)
		{
			change += fabs(next[v] - rank[v]);
			rank[v] = next[v];
		}
	}
	free(next);
	free(degree);
	return rank;
}

static void
check_pagerank(const Case *c)
{
	uint32_t	n = c->rg.shape.nodes;
	GmPagerankOpts opts = {0.3 + 0.6 * unit_random_double(), 1e-12, 1000};
	double	   *restart = malloc(n * sizeof(double));
	double	   *want;
	GmPagerank	got;

	for (uint32_t v = 0; v < n; v++)
		restart[v] = 1.0 / n;
	want = dense_rank(c, restart, opts.damping);
	CHECK(gm_pagerank(c->rg.graph, &c->v.view, rg_scratch(), &opts, NULL, &got) == GM_OK);
	CHECK(got.change < 1e-12 && got.iterations < 1000);
	for (uint32_t v = 0; v < n; v++)
		CHECK_NEAR(got.rank[v], want[v], 1e-10);
	free(want);
	free(restart);
}

static void
check_ppr(const Case *c)
{
	static const double epsilons[] = {1e-1, 1e-2, 1e-4, 1e-9};
	uint32_t	n = c->rg.shape.nodes;
	/* no walk at all leaves zeros to add, which must not undo a node's marks */
	GmPprOpts	opts = {unit_random_below(4) == 0 ? 0 : 0.3 + 0.6 * unit_random_double(),
	epsilons[unit_random_below(4)]};
	double	   *degree = degrees(c);
	double	   *restart = calloc(n, sizeof(double));
	double	   *mass = calloc(n, sizeof(double));
	bool		reversible = c->v.view.direction == GM_BOTH;
	double		sum = 0;
	double	   *want;
	GmMasses	got;

	for (uint32_t i = 0; i < c->seed_count; i++)
	{
		sum += c->seeds[i].mass;
		reversible = reversible && degree[c->seeds[i].node] > 0;
	}
	for (uint32_t i = 0; i < c->seed_count; i++)
		restart[c->seeds[i].node] += c->seeds[i].mass / sum;
	want = dense_rank(c, restart, opts.damping);
	CHECK(gm_ppr(c->rg.graph, &c->v.view, rg_scratch(), c->seeds, c->seed_count, &opts, NULL,
				 &got) == GM_OK);
	sum = 0;
	for (uint32_t i = 0; i < got.count; i++)
	{
		CHECK(mass[got.list[i].node] == 0 && got.list[i].mass > 0);
		mass[got.list[i].node] = got.list[i].mass;
		sum += got.list[i].mass;
	}
	CHECK_NEAR(sum + got.missing, 1, 1e-9);
	for (uint32_t v = 0; v < n; v++)
	{
		CHECK(mass[v] <= want[v] + 1e-12);
		if (reversible)
			CHECK(mass[v] >= want[v] - opts.epsilon * degree[v] - 1e-12);
		CHECK(mass[v] >= want[v] - got.missing - 1e-9);
	}
	if (opts.epsilon == 1e-9)
		CHECK(got.missing <= 1e-9 * (c->arc_count + n) * 2 + 1e-12);
	free(want);
	free(mass);
	free(restart);
	free(degree);
}

static void
check_decay(const Case *c)
{
	uint32_t	n = c->rg.shape.nodes;
	double		decay = 0.1 + 0.9 * unit_random_double();
	int			max_hops = (int) unit_random_below(5);
	double	   *want = calloc(n, sizeof(double));
	double	   *have = calloc(n, sizeof(double));
	uint32_t   *distance = malloc(n * sizeof(uint32_t));
	GmMasses	got;

	for (uint32_t i = 0; i < c->seed_count; i++)
	{
		memset(distance, 0xff, n * sizeof(uint32_t));
		distance[c->seeds[i].node] = 0;
		rg_distances(c->arcs, c->arc_count, n, distance);
		for (uint32_t v = 0; v < n; v++)
		{
			double		score = c->seeds[i].mass * pow(decay, distance[v]);

			if (distance[v] <= (uint32_t) max_hops && score > want[v])
				want[v] = score;
		}
	}
	CHECK(gm_hops_decay(c->rg.graph, &c->v.view, rg_scratch(), c->seeds, c->seed_count, decay,
						max_hops, NULL, &got) == GM_OK);
	for (uint32_t i = 0; i < got.count; i++)
	{
		CHECK(have[got.list[i].node] == 0);
		have[got.list[i].node] = got.list[i].mass;
	}
	for (uint32_t v = 0; v < n; v++)
		CHECK_NEAR(have[v], want[v], 1e-12);
	free(distance);
	free(have);
	free(want);
}

/* each next one comes after the one before, and as many as there should be */
static void
check_members(const Case *c, const GmComponents *components)
{
	uint32_t	n = c->rg.shape.nodes;
	uint32_t	min_size = 1 + unit_random_below(4);
	uint64_t	match_count = unit_random_below(2) ? GM_ALL_ROWS : unit_random_below(n + 2);
	uint32_t	want = 0;
	const GmNode *members;
	uint32_t	count;

	for (uint32_t v = 0; v < n; v++)
		want += components->size[components->label[v]] >= min_size;
	CHECK(gm_component_members(c->rg.graph, rg_scratch(), components, min_size, match_count, NULL,
							   &members, &count) == GM_OK);
	REQUIRE(count == (want < match_count ? want : match_count));
	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t	label = components->label[members[i]];
		uint32_t	before = i == 0 ? label : components->label[members[i - 1]];

		CHECK(components->size[label] >= min_size);
		CHECK(components->size[before] >= components->size[label]);
		if (i > 0 && before == label)
			CHECK(members[i - 1] < members[i]);
		else if (i > 0 && components->size[before] == components->size[label])
			CHECK(before < label);
	}
}

static void
check_components(const Case *c)
{
	uint32_t	n = c->rg.shape.nodes;
	uint32_t   *label = malloc(n * sizeof(uint32_t));
	uint32_t   *size = calloc(n, sizeof(uint32_t));
	uint32_t	count = 0;
	bool		changed = true;
	GmComponents got;

	for (uint32_t v = 0; v < n; v++)
		label[v] = v;
	while (changed)
	{
		changed = false;
		for (uint32_t i = 0; i < c->rg.shape.triples; i++)
		{
			uint32_t   *s = &label[c->rg.triples[i].s];
			uint32_t   *o = &label[c->rg.triples[i].o];

			if (*s == *o || !rg_visible(&c->rg, &c->v.view, i))
				continue;
			*s = *o = *s < *o ? *s : *o;
			changed = true;
		}
	}
	for (uint32_t v = 0; v < n; v++)
		count += size[label[v]]++ == 0;
	CHECK(gm_components(c->rg.graph, &c->v.view, rg_scratch(), NULL, &got) == GM_OK);
	CHECK(got.count == count);
	for (uint32_t v = 0; v < n; v++)
		CHECK(got.label[v] == label[v] && got.size[v] == size[v]);
	check_members(c, &got);
	free(size);
	free(label);
}

/*
 * Proofs: best[h * n + v] is the best way to v of exactly h hops that beats
 * all shorter ones.
 */
typedef struct Cell
{
	double		value;
	double		confidence;
	const RgArc *arc;			/* NULL: a seed */
} Cell;

static bool
cell_less(const Cell *have, double value, const RgArc *arc)
{
	if (value != have->value || have->arc == NULL)
		return value > have->value;
	return arc->from < have->arc->from ||
		(arc->from == have->arc->from && arc->number < have->arc->number);
}

static Cell *
proof_table(const Case *c, const GmProofOpts *opts, const bool *allowed)
{
	uint32_t	n = c->rg.shape.nodes;
	Cell	   *best = calloc((size_t) n * (opts->max_hops + 1), sizeof(Cell));
	double	   *shorter = calloc(n, sizeof(double));

	for (uint32_t i = 0; i < c->seed_count; i++)
	{
		Cell	   *cell = &best[c->seeds[i].node];

		if (c->seeds[i].mass > cell->value)
			*cell = (Cell) {c->seeds[i].mass, 1, NULL};
	}
	for (int h = 1; h <= opts->max_hops; h++)
	{
		for (uint32_t v = 0; v < n; v++)
			shorter[v] = fmax(shorter[v], best[(h - 1) * n + v].value);
		for (uint32_t i = 0; i < c->arc_count; i++)
		{
			const RgArc *a = &c->arcs[i];
			const Cell *from = &best[(h - 1) * n + a->from];
			Cell	   *to = &best[h * n + a->to];
			double		value = from->value * opts->decay * a->confidence;

			if (allowed[a->from] && allowed[a->to] && value > shorter[a->to] &&
				cell_less(to, value, a))
				*to = (Cell) {value, from->confidence * a->confidence, a};
		}
	}
	free(shorter);
	return best;
}

static void
check_proof(const Case *c, const GmProof *got, const Cell *best, uint32_t target, int max_hops)
{
	uint32_t	n = c->rg.shape.nodes;
	uint32_t	at = target;
	int			hops = max_hops;

	while (hops >= 0 && best[hops * n + target].value == 0)
		hops--;
	if (!CHECK(got->hops == hops) || hops < 0)
		return;
	CHECK(got->value == best[hops * n + target].value);
	CHECK(got->confidence == best[hops * n + target].confidence);
	for (int h = hops; h > 0; h--)
	{
		const RgArc *a = best[h * n + at].arc;

		CHECK(got->steps[h].node == at && got->steps[h].slot == a->slot &&
			  got->steps[h].out == a->out);
		at = a->from;
	}
	CHECK(got->steps[0].node == at && got->steps[0].slot == GM_NONE);
}

static void
check_proofs(const Case *c)
{
	uint32_t	n = c->rg.shape.nodes;
	GmProofOpts opts = {(int) unit_random_below(5),
	unit_random_below(2) ? 1 : 0.5 + unit_random_double() / 2, NULL, 0};
	bool	   *allowed = calloc(n, sizeof(bool));
	GmMass	   *list = calloc(n, sizeof(GmMass));
	uint32_t   *targets = malloc(n * sizeof(uint32_t));
	uint32_t	target_count = 1 + unit_random_below(n);
	const GmProof *proofs;
	Cell	   *best;

	rg_shuffle(targets, n);
	if (unit_random_below(3) == 0)
		memset(allowed, 1, n);
	else
	{
		for (uint32_t v = 0; v < n; v++)
		{
			if (unit_random_below(3) != 0)
				list[opts.allowed_count++].node = v;
		}
		for (uint32_t i = 0; i < opts.allowed_count; i++)
			allowed[list[i].node] = true;
		opts.allowed = list;
	}
	for (uint32_t i = 0; i < target_count; i++)
		allowed[targets[i]] = true;
	for (uint32_t i = 0; i < c->seed_count; i++)
		allowed[c->seeds[i].node] = true;
	best = proof_table(c, &opts, allowed);
	CHECK(gm_best_paths(c->rg.graph, &c->v.view, rg_scratch(), c->seeds, c->seed_count, targets,
						target_count, &opts, NULL, &proofs) == GM_OK);
	for (uint32_t i = 0; i < target_count; i++)
		check_proof(c, &proofs[i], best, targets[i], opts.max_hops);
	free(best);
	free(targets);
	free(list);
	free(allowed);
}

static void
test_random(void)
{
	for (int round = 0; round < ROUNDS; round++)
	{
		Case		c;

		make_case(&c, round % 3 == 0 ? 150 : 12, round % 3 == 0 ? 400 : 40);
		check_pagerank(&c);
		check_ppr(&c);
		check_decay(&c);
		check_components(&c);
		check_proofs(&c);
		rg_check_scratch();
		free_case(&c);
	}
}

/* enough of a graph that the pushing gives way to sweeps */
static void
test_sweeps(void)
{
	for (int round = 0; round < 12; round++)
	{
		Case		c;

		make_case(&c, 300, 3000);
		check_ppr(&c);
		rg_check_scratch();
		free_case(&c);
	}
}

/*
 * The same triples as an image of their own and as what a view shows of a
 * larger one: equal but for the last bits.
 */
static void
test_view_is_image(void)
{
	for (int round = 0; round < 200; round++)
	{
		RgGraph		whole;
		RgGraph		part;
		GmView		views[2];
		GmMasses	got;
		GmMass		seed = {0, 1};
		GmPprOpts	opts = {0.85, 1e-3};
		double		mass[100] = {0};

		rg_make(&whole, (RgShape) {100, 400, true, true, round & 1, false});
		part = whole;
		part.triples = malloc(400 * sizeof(RgTriple));
		memcpy(part.triples, whole.triples, 400 * sizeof(RgTriple));
		gm_view_init(whole.graph, RG_NOW, &views[0]);
		views[0].as_of = unit_random_below(2500);
		gm_view_settle(whole.graph, &views[0]);
		part.shape.triples = 0;
		for (uint32_t i = 0; i < 400; i++)
		{
			if (!rg_visible(&whole, &views[0], i))
				continue;
			part.triples[part.shape.triples] = whole.triples[i];
			part.triples[part.shape.triples++].times = rg_times(false);
		}
		rg_build(&part);
		gm_view_init(part.graph, RG_NOW, &views[1]);
		CHECK(gm_ppr(whole.graph, &views[0], rg_scratch(), &seed, 1, &opts, NULL, &got) == GM_OK);
		for (uint32_t i = 0; i < got.count; i++)
			mass[got.list[i].node] = got.list[i].mass;
		CHECK(gm_ppr(part.graph, &views[1], rg_scratch(), &seed, 1, &opts, NULL, &got) == GM_OK);
		for (uint32_t i = 0; i < got.count; i++)
		{
			CHECK_NEAR(mass[got.list[i].node], got.list[i].mass, 1e-14);
			mass[got.list[i].node] = 0;
		}
		for (uint32_t v = 0; v < 100; v++)
			CHECK(mass[v] == 0);
		rg_free(&part);
		rg_free(&whole);
	}
}

/* by insertion, against the sorts for few, for many and for ties */
static void
test_best_masses(void)
{
	static const double values[] = {0, 0.25, 0.5, 1e-300, 3, 1e300};
	RgGraph		rg;

	rg_make(&rg, (RgShape) {1000, 10, false, false, false, false});
	for (int round = 0; round < 300; round++)
	{
		uint32_t	count = unit_random_below(round % 3 == 0 ? 1000 : 60);
		uint64_t	match_count = round % 4 == 0 ? GM_ALL_ROWS : unit_random_below(count + 5);
		uint64_t	kinds[16];
		uint32_t	first = unit_random_below(1000 - count);
		GmMass	   *list = malloc((count + 1) * sizeof(GmMass));
		GmMass	   *want = malloc((count + 1) * sizeof(GmMass));
		const GmMass *got;
		uint32_t	got_count;
		uint32_t	n = 0;

		for (int i = 0; i < 16; i++)
			kinds[i] = unit_random();
		for (uint32_t i = 0; i < count; i++)
			list[i].node = first + i;
		for (uint32_t i = 0; i < count; i++)
		{
			uint32_t	k = unit_random_below(count);
			GmNode		node = list[i].node;

			list[i].node = list[k].node;
			list[k].node = node;
			list[i].mass = round & 1 ? values[unit_random_below(6)] : unit_random_double();
		}
		for (uint32_t i = 0; i < count; i++)
		{
			uint32_t	k = n;

			/* node i has the i-th smallest id */
			if (list[i].mass == 0 || (round % 5 == 0 && !gm_bit_test(kinds, list[i].node)))
				continue;
			for (; k > 0 && (want[k - 1].mass < list[i].mass ||
							 (want[k - 1].mass == list[i].mass && want[k - 1].node > list[i].node)); k--)
				want[k] = want[k - 1];
			want[k] = list[i];
			n++;
		}
		CHECK(gm_best_masses(rg.graph, rg_scratch(), list, count, round % 5 == 0 ? kinds : NULL,
							 match_count, NULL, &got, &got_count) == GM_OK);
		REQUIRE(got_count == (n < match_count ? n : match_count));
		for (uint32_t i = 0; i < got_count; i++)
			CHECK(got[i].node == want[i].node && got[i].mass == want[i].mass);
		free(want);
		free(list);
	}
	rg_free(&rg);
}

static void
test_bad_values(void)
{
	GmMass		seeds[] = {{0, 1}, {3, 1}, {0, 0}, {0, -1}, {0, NAN}, {0, INFINITY}};
	GmPprOpts	ppr = {0.85, 1e-4};
	GmPagerankOpts pagerank = {1, 1e-6, 100};
	GmProofOpts proof = {2, 0, NULL, 0};
	uint32_t	target = 3;
	const GmProof *proofs;
	GmPagerank	ranks;
	GmMasses	got;
	RgGraph		rg;
	GmView		view;

	rg_make(&rg, (RgShape) {3, 0, false, false, false, false});
	gm_view_init(rg.graph, RG_NOW, &view);
	for (int i = 1; i < 6; i++)
	{
		CHECK(gm_ppr(rg.graph, &view, rg_scratch(), &seeds[i], 1, &ppr, NULL,
					 &got) == GM_BAD_VALUE);
		CHECK(gm_hops_decay(rg.graph, &view, rg_scratch(), &seeds[i], 1, 0.5, 2, NULL,
							&got) == GM_BAD_VALUE);
	}
	CHECK(gm_ppr(rg.graph, &view, rg_scratch(), seeds, 1, &ppr, NULL, &got) == GM_OK);
	CHECK(got.count == 1);
	CHECK_NEAR(got.list[0].mass + got.missing, 1, 1e-9);
	CHECK(gm_ppr(rg.graph, &view, rg_scratch(), seeds, 0, &ppr, NULL, &got) == GM_OK);
	CHECK(got.count == 0);
	ppr.epsilon = 0;
	CHECK(gm_ppr(rg.graph, &view, rg_scratch(), seeds, 1, &ppr, NULL, &got) == GM_BAD_VALUE);
	CHECK(gm_pagerank(rg.graph, &view, rg_scratch(), &pagerank, NULL, &ranks) == GM_BAD_VALUE);
	CHECK(gm_hops_decay(rg.graph, &view, rg_scratch(), seeds, 1, 1.5, 2, NULL,
						&got) == GM_BAD_VALUE);
	CHECK(gm_hops_decay(rg.graph, &view, rg_scratch(), seeds, 1, 0.5, -1, NULL,
						&got) == GM_BAD_VALUE);
	CHECK(gm_best_paths(rg.graph, &view, rg_scratch(), seeds, 1, &target, 1, &proof, NULL,
						&proofs) == GM_BAD_VALUE);
	proof.decay = 1;
	CHECK(gm_best_paths(rg.graph, &view, rg_scratch(), seeds, 1, &target, 1, &proof, NULL,
						&proofs) == GM_BAD_VALUE);
	rg_free(&rg);
}

static void
test_interrupt(void)
{
	RgStop		stop;
	GmInterrupt intr = {rg_stop, &stop};
	uint32_t	stopped = 0;
	RgGraph		rg;

	rg_make(&rg, (RgShape) {3000, 60000, false, true, false, false});
	for (uint32_t i = 0; i < 150; i++)
	{
		GmMass		seed = {unit_random_below(3000), 1};
		GmPprOpts	ppr = {0.85, i & 1 ? 1e-5 : 1e-9};
		GmPagerankOpts pagerank = {0.85, 1e-6, 100};
		GmMasses	got[2];
		GmPagerank	ranks;
		GmComponents components;
		GmScratch  *fresh;
		GmStatus	status;
		GmView		view;

		gm_view_init(rg.graph, RG_NOW, &view);
		view.min_confidence = i % 5 == 0 ? 0.3f : 0;
		gm_view_settle(rg.graph, &view);
		stop.left = unit_random_below(6);
		if (i % 3 == 0)
			status = gm_pagerank(rg.graph, &view, rg_scratch(), &pagerank, &intr, &ranks);
		else if (i % 7 == 1)
			status = gm_components(rg.graph, &view, rg_scratch(), &intr, &components);
		else if (i % 7 == 2)
			status = gm_hops_decay(rg.graph, &view, rg_scratch(), &seed, 1, 0.5, 5, &intr,
								   &got[0]);
		else
			status = gm_ppr(rg.graph, &view, rg_scratch(), &seed, 1, &ppr, &intr, &got[0]);
		CHECK(status == GM_OK || status == GM_INTERRUPTED);
		stopped += status == GM_INTERRUPTED;
		REQUIRE(gm_scratch_create(0, &fresh) == GM_OK);
		CHECK(gm_ppr(rg.graph, &view, rg_scratch(), &seed, 1, &ppr, NULL, &got[0]) == GM_OK);
		CHECK(gm_ppr(rg.graph, &view, fresh, &seed, 1, &ppr, NULL, &got[1]) == GM_OK);
		REQUIRE(got[0].count == got[1].count);
		for (uint32_t k = 0; k < got[0].count; k++)
			CHECK(got[0].list[k].node == got[1].list[k].node &&
				  got[0].list[k].mass == got[1].list[k].mass);
		gm_scratch_destroy(fresh);
	}
	CHECK(stopped > 20);
	rg_check_scratch();
	rg_free(&rg);
}

UNIT_MAIN(UNIT(test_random), UNIT(test_sweeps), UNIT(test_view_is_image), UNIT(test_best_masses),
		  UNIT(test_bad_values), UNIT(test_interrupt))
