/*-------------------------------------------------------------------------
 *
 * test_topology_csr.c
 *	  Compressed sparse rows from arcs, beside a square table of them.
 *
 * What must hold
 *	 rows		sorted, without repetition, of the arcs shown and no others
 *	 weights	of parallel arcs: the largest, or the sum; within the limits
 *	 symmetric	unless directed
 *	 errors		nodes out of range, NaN, negative weights, more arcs than announced
 *				or other ones than were counted
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include "teams.h"
#include "unit.h"

#include "compute/kernels.h"

#define MOST_NODES	40

typedef struct Arcs
{
	uint32_t   *from;
	uint32_t   *to;
	float	   *weight;
	uint64_t	count;
} Arcs;

static Arcs
arcs_create(uint64_t count)
{
	Arcs		a = {
		malloc((count + 1) * sizeof(uint32_t)), malloc((count + 1) * sizeof(uint32_t)),
		malloc((count + 1) * sizeof(float)), count
	};

	return a;
}

static void
arcs_free(Arcs *a)
{
	free(a->from);
	free(a->to);
	free(a->weight);
}

static GmStatus
build(Team *t, const GmCsrOpts *opts, uint32_t n, const Arcs *a, GmCsr *csr)
{
	team_open(t, TEAM_SINGLE, 1, 64 + gm_csr_bytes(opts, n, a->count), NULL);
	return gm_csr_from_arcs(&t->team, 64, opts, n, a->count, a->from, a->to, a->weight, csr);
}

/* weight of every pair as it should be; 0: no arc */
static void
fill_table(double table[MOST_NODES][MOST_NODES], const GmCsrOpts *opts, const Arcs *a)
{
	memset(table, 0, sizeof(double) * MOST_NODES * MOST_NODES);
	for (uint64_t e = 0; e < a->count; e++)
	{
		double		w = opts->weighted ? a->weight[e] : 1;
		uint32_t	i = a->from[e];
		uint32_t	j = a->to[e];

		if (w == 0 || (opts->drop_loops && i == j))
			continue;
		for (int turn = 0; turn < (opts->directed || i == j ? 1 : 2); turn++)
		{
			double	   *cell = turn == 0 ? &table[i][j] : &table[j][i];

			*cell = !opts->weighted ? 1 : opts->sum_parallel ? *cell + w : fmax(*cell, w);
		}
	}
}

static void
check_against_table(const Team *t, const GmCsr *csr, double table[MOST_NODES][MOST_NODES])
{
	const uint64_t *offsets = GM_AT(t->team.base, csr->offsets, uint64_t);
	const uint32_t *neighbors = GM_AT(t->team.base, csr->neighbors, uint32_t);
	uint64_t	arcs = 0;

	CHECK(offsets[0] == 0 && offsets[csr->n] == csr->arcs);
	for (uint32_t i = 0; i < csr->n; i++)
	{
		uint64_t	e = offsets[i];

		for (uint32_t j = 0; j < csr->n; j++)
			if (table[i][j] != 0)
			{
				REQUIRE(e < offsets[i + 1] && neighbors[e] == j);
				if (csr->weights != GM_NOWHERE)
					CHECK_NEAR(GM_AT(t->team.base, csr->weights, float)[e], table[i][j],
							   1e-6 * table[i][j]);
				e++;
				arcs++;
			}
		CHECK(e == offsets[i + 1]);
	}
	CHECK(arcs == csr->arcs);
}

static void
test_random_graphs(void)
{
	for (uint32_t run = 0; run < 320; run++)
	{
		GmCsrOpts	opts = {run & 1, run >> 1 & 1, run >> 2 & 1, run >> 3 & 1};
		uint32_t	n = 1 + unit_random_below(MOST_NODES);
		Arcs		a = arcs_create(unit_random_below(200));
		double		table[MOST_NODES][MOST_NODES];
		Team		t;
		GmCsr		csr;

		for (uint64_t e = 0; e < a.count; e++)
		{
			a.from[e] = unit_random_below(n);
			a.to[e] = unit_random_below(n);
			a.weight[e] = unit_random_below(4) == 0 ? 0 : (float) unit_random_double() * 5;
		}
		if (CHECK(build(&t, &opts, n, &a, &csr) == GM_OK))
		{
			fill_table(table, &opts, &a);
			check_against_table(&t, &csr, table);
			CHECK(csr.directed == opts.directed);
		}
		team_close(&t);
		arcs_free(&a);
	}
}

/* orders of one long row that quicksort may find hard */
static void
test_long_rows(void)
{
	const uint32_t n = 50000;

	for (int shape = 0; shape < 6; shape++)
	{
		GmCsrOpts	opts = {.directed = true, .weighted = shape % 2};
		Arcs		a = arcs_create(n);
		Team		t;
		GmCsr		csr;
		uint32_t	want = shape == 3 ? 1 : shape == 4 ? 7 : n;

		for (uint32_t e = 0; e < n; e++)
		{
			uint32_t	to[] = {
				e, n - 1 - e, e < n / 2 ? 2 * e : 2 * (n - 1 - e) + 1, 5, e % 7,
				(uint32_t) ((uint64_t) e * 40503 % n)
			};

			a.from[e] = 1;
			a.to[e] = to[shape];
			a.weight[e] = 1 + (float) to[shape];
		}
		if (CHECK(build(&t, &opts, n, &a, &csr) == GM_OK))
		{
			const uint32_t *v = GM_AT(t.team.base, csr.neighbors, uint32_t);

			CHECK(csr.arcs == want);
			for (uint64_t e = 0; e < csr.arcs; e++)
			{
				if (e > 0)
					CHECK(v[e] > v[e - 1]);
				if (csr.weights != GM_NOWHERE)
					CHECK(GM_AT(t.team.base, csr.weights, float)[e] == 1 + (float) v[e]);
			}
		}
		team_close(&t);
		arcs_free(&a);
	}
}

static void
test_limits_of_weights(void)
{
	GmCsrOpts	opts = {.weighted = true, .sum_parallel = true};
	Arcs		a = arcs_create(5);
	const float given[] = {1e-30f, 3e38f, INFINITY, 9e8f, 9e8f};
	const float want[] = {1e-9f, 1e9f, 1e9f, 1e9f};
	Team		t;
	GmCsr		csr;

	for (uint32_t e = 0; e < 5; e++)
	{
		a.from[e] = 0;
		a.to[e] = e < 4 ? e + 1 : 4;
		a.weight[e] = given[e];
	}
	REQUIRE(build(&t, &opts, 5, &a, &csr) == GM_OK);
	CHECK(csr.arcs == 8);
	for (uint32_t e = 0; e < 4; e++)
		CHECK(GM_AT(t.team.base, csr.weights, float)[e] == want[e]);
	team_close(&t);
	arcs_free(&a);
}

static void
test_errors(void)
{
	GmCsrOpts	opts = {.weighted = true};
	char	   *base = aligned_alloc(64, 4096);
	GmCsrBuild	b;
	GmTeam		team;
	GmCsr		csr;

	gm_team_single(&team, base, NULL, NULL);
	gm_csr_begin(&b, base, 64, &opts, 3, 2);
	CHECK(gm_csr_count(&b, 3, 0, 1) == GM_BAD_VALUE);
	CHECK(gm_csr_count(&b, 0, 3, 1) == GM_BAD_VALUE);
	CHECK(gm_csr_count(&b, 0, 1, -1) == GM_BAD_VALUE);
	CHECK(gm_csr_count(&b, 0, 1, NAN) == GM_BAD_VALUE);
	CHECK(gm_csr_count(&b, 0, 1, 1) == GM_OK);
	CHECK(gm_csr_count(&b, 1, 2, 1) == GM_OK);
	CHECK(gm_csr_count(&b, 0, 2, 1) == GM_TOO_MANY);
	gm_csr_counted(&b);
	CHECK(gm_csr_put(&b, 0, 1, NAN) == GM_BAD_VALUE);
	CHECK(gm_csr_put(&b, 0, 1, 1) == GM_OK);
	/* not all were put */
	CHECK(gm_csr_finish(&b, &team, &csr) == GM_TOO_MANY);
	/* other ones than counted */
	CHECK(gm_csr_put(&b, 0, 2, 1) == GM_TOO_MANY);
	free(base);
}

UNIT_MAIN(UNIT(test_random_graphs), UNIT(test_long_rows), UNIT(test_limits_of_weights),
		  UNIT(test_errors))
