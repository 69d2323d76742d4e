/*-------------------------------------------------------------------------
 *
 * test_space.c
 *	  Vector spaces: building, finding, distances, exact search.
 *
 * What must hold
 *	 distance	within TOLERANCE of the same formula in double
 *	 search		the k allowed rows that come first by (distance, item id),
 *				distances being the space's own; as many as there are if
 *				fewer than k are allowed; rows outside of the bitmap never
 *	 order		the same whatever the order in which items were added
 *	 bad input	refused, and the space as it was
 *	 versions	after any puts and removals, aborts included: what a space built
 *				of the same items says; a version before, and a fork, likewise
 *
 *-------------------------------------------------------------------------
 */
#include "core/space.h"
#include "fake_pool.h"
#include "unit.h"

#include <float.h>

static const GmMetric metrics[] = {GM_METRIC_COSINE, GM_METRIC_L2, GM_METRIC_IP};

#define N_METRICS	3

/* a kernel's error for dim products whose magnitudes add up to magnitude */
#define TOLERANCE(dim, magnitude)	(((dim) / 16 + 14) * 0x1p-24 * (magnitude) + 1e-30)

typedef struct Fixture
{
	GmMem	   *mem;
	GmSpace    *space;
	GmMetric	metric;
	uint32_t	dim;
	uint32_t	n;
	float	   *vectors;		/* in the order added */
	int64_t    *ids;
} Fixture;

__attribute__((constructor)) static void
choose_kernels(void)
{
	(void) gm_vec_choose(GM_SIMD_AUTO);
}

static void
random_vector(float *v, uint32_t dim)
{
	for (uint32_t i = 0; i < dim; i++)
		v[i] = (float) (unit_random_double() * 2 - 1);
	if (dim == 1 && v[0] == 0)
		v[0] = 1;
}

/* the distance, and what its error grows with */
static double
oracle_distance(GmMetric metric, const float *a, const float *b, uint32_t dim,
				double *tolerance)
{
	double		dot = 0,
				magnitude = 0,
				aa = 0,
				bb = 0,
				l2 = 0;

	for (uint32_t i = 0; i < dim; i++)
	{
		dot += (double) a[i] * b[i];
		magnitude += fabs((double) a[i] * b[i]);
		aa += (double) a[i] * a[i];
		bb += (double) b[i] * b[i];
		l2 += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
	}
	if (metric == GM_METRIC_IP)
	{
		*tolerance = TOLERANCE(dim, magnitude);
		return -dot;
	}
	if (metric == GM_METRIC_L2)
	{
		*tolerance = TOLERANCE(dim, sqrt(l2));
		return sqrt(l2);
	}
	*tolerance = 2 * TOLERANCE(dim, 1.0);
	return 1 - dot / sqrt(aa * bb);
}

/* copies: each vector stands that often, under different ids */
static bool
fixture_make(Fixture *f, GmMetric metric, uint32_t dim, uint32_t n, uint32_t copies, bool shuffle)
{
	memset(f, 0, sizeof(*f));
	f->metric = metric;
	f->dim = dim;
	f->n = n;
	f->vectors = malloc((size_t) (n + 1) * dim * sizeof(float));
	f->ids = malloc((n + 1) * sizeof(int64_t));
	for (uint32_t i = 0; i < n; i++)
	{
		f->ids[i] = (int64_t) i * 7 - 100;
		if (i % copies == 0)
			random_vector(f->vectors + (size_t) i * dim, dim);
		else
			memcpy(f->vectors + (size_t) i * dim, f->vectors + (size_t) (i - 1) * dim,
				   dim * sizeof(float));
	}
	for (uint32_t i = n; shuffle && i > 1; i--)
	{
		uint32_t	j = unit_random_below(i);
		int64_t		id = f->ids[i - 1];

		f->ids[i - 1] = f->ids[j];
		f->ids[j] = id;
	}
	if (!CHECK(gm_mem_create(4096, 0, NULL, &f->mem) == GM_OK) ||
		!CHECK(gm_space_create(f->mem, dim, metric, &f->space) == GM_OK))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!CHECK(gm_space_add(f->space, f->ids[i], (uint32_t) ((f->ids[i] + 100) / 7),
								f->vectors + (size_t) i * dim) == GM_OK))
			return false;
	return CHECK(gm_space_finish(f->space, n) == GM_OK);
}

static void
fixture_free(Fixture *f)
{
	gm_space_destroy(f->space);
	gm_mem_destroy(f->mem);
	free(f->vectors);
	free(f->ids);
}

static GmTopkItem *sort_base;

static int
by_distance_then_id(const void *a, const void *b)
{
	const GmTopkItem *x = sort_base + *(const uint32_t *) a;
	const GmTopkItem *y = sort_base + *(const uint32_t *) b;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return ((int64_t) x->id > (int64_t) y->id) - ((int64_t) x->id < (int64_t) y->id);
}

static void
check_hits(const Fixture *f, uint32_t k, uint32_t n, const GmSpaceHit *hits, uint32_t found,
		   const uint32_t *order, const GmTopkItem *all)
{
	if (!CHECK(found == (k < n ? k : n)))
		return;
	for (uint32_t i = 0; i < found; i++)
		if (!CHECK(hits[i].row == order[i]) ||
			!CHECK(hits[i].distance == all[order[i]].distance))
		{
			printf("# metric %d dim %u n %u k %u place %u\n", (int) f->metric, f->dim, f->n, k, i);
			break;
		}
}

/* every distance, and the first k of the allowed rows against a full sort */
static void
check_search(Fixture *f, const float *query, uint32_t k, const uint64_t *allowed)
{
	GmSpaceQuery prepared;
	GmTopkItem *all = malloc((f->n + 1) * sizeof(GmTopkItem));
	uint32_t   *order = malloc((f->n + 1) * sizeof(uint32_t));
	uint32_t   *some = malloc((f->n + 1) * sizeof(uint32_t));
	GmSpaceHit *hits = malloc((f->n + 1) * sizeof(GmSpaceHit));
	uint32_t	n = 0;
	uint32_t	found = 77;

	if (!CHECK(gm_space_prepare(f->space, query, &prepared) == GM_OK))
		goto done;
	for (uint32_t i = 0; i < f->n; i++)
	{
		uint32_t	row = gm_space_find(f->space, f->ids[i]);
		double		tolerance;
		double		want = oracle_distance(f->metric, query,
										   f->vectors + (size_t) i * f->dim, f->dim, &tolerance);

		if (!CHECK(row < f->n) || !CHECK(gm_space_item_id(f->space, row) == f->ids[i]))
			goto done;
		all[row] = (GmTopkItem) {(uint64_t) f->ids[i],
			gm_space_distance(f->space, &prepared, row)};
		if (!CHECK_NEAR(all[row].distance, want, tolerance))
			printf("# metric %d dim %u\n", (int) f->metric, f->dim);
	}
	for (uint32_t row = 0; row < f->n; row++)
		if (allowed == NULL || (allowed[row / 64] >> (row % 64) & 1))
			order[n++] = row;
	memcpy(some, order, n * sizeof(uint32_t));
	for (uint32_t i = n; i > 1; i--)
	{
		uint32_t	j = unit_random_below(i);
		uint32_t	row = some[i - 1];

		some[i - 1] = some[j];
		some[j] = row;
	}
	sort_base = all;
	qsort(order, n, sizeof(uint32_t), by_distance_then_id);
	CHECK(gm_space_search(f->space, &prepared, k, allowed, NULL, hits, &found) == GM_OK);
	check_hits(f, k, n, hits, found, order, all);
	found = 77;
	CHECK(gm_space_search_rows(f->space, &prepared, k, some, n, NULL, hits, &found) == GM_OK);
	check_hits(f, k, n, hits, found, order, all);
done:
	free(all);
	free(order);
	free(some);
	free(hits);
}

static void
check_dim(uint32_t dim, uint32_t n)
{
	float	   *query = malloc(dim * sizeof(float));

	for (uint32_t m = 0; m < N_METRICS; m++)
	{
		Fixture		f;

		if (fixture_make(&f, metrics[m], dim, n, 1, true))
		{
			random_vector(query, dim);
			check_search(&f, query, 10, NULL);
			check_search(&f, f.vectors, n, NULL);
		}
		fixture_free(&f);
	}
	free(query);
}

static void
test_dims(void)
{
	static const uint32_t large[] = {300, 768, 1536, 16000};

	for (uint32_t dim = 1; dim <= 130; dim++)
		check_dim(dim, 40 + dim % 7);
	for (uint32_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		check_dim(large[i], large[i] > 2000 ? 20 : 200);
}

static void
test_filters(void)
{
	/* one row in so many is allowed; 0: none, 1: all */
	static const uint32_t sparse[] = {1, 2, 10, 100, 1000, 5000, 0};
	static const uint32_t ks[] = {0, 1, 3, 10, 500, 5000, 6000, UINT32_MAX};
	const uint32_t n = 5000;
	const uint32_t dim = 20;
	uint64_t	bits[79];
	float		query[20];

	for (uint32_t m = 0; m < N_METRICS; m++)
	{
		Fixture		f;

		/* copies: many equal distances, so that the ids decide */
		if (fixture_make(&f, metrics[m], dim, n, 3, true))
			for (uint32_t s = 0; s < sizeof(sparse) / sizeof(sparse[0]); s++)
			{
				memset(bits, 0, sizeof(bits));
				for (uint32_t i = 0; i < n && sparse[s] > 0; i++)
					if (unit_random_below(sparse[s]) == 0)
						bits[i / 64] |= UINT64_C(1) << (i % 64);
				/* bits beyond the last row stand for nothing */
				bits[n / 64] |= ~UINT64_C(0) << (n % 64);
				for (uint32_t k = 0; k < sizeof(ks) / sizeof(ks[0]); k++)
				{
					random_vector(query, dim);
					check_search(&f, query, ks[k], bits);
				}
			}
		if (m == 0)
			for (uint32_t k = 0; k < sizeof(ks) / sizeof(ks[0]); k++)
				check_search(&f, f.vectors, ks[k], NULL);
		fixture_free(&f);
	}
}

/* one allowed row, at every place: the first, the last, around word borders */
static void
test_single_row(void)
{
	uint64_t	bits[4];
	float		query[5];
	Fixture		f;

	if (fixture_make(&f, GM_METRIC_L2, 5, 200, 1, false))
		for (uint32_t i = 0; i < 200; i++)
		{
			memset(bits, 0, sizeof(bits));
			bits[i / 64] = UINT64_C(1) << (i % 64);
			random_vector(query, 5);
			check_search(&f, query, 3, bits);
		}
	fixture_free(&f);
}

/* n queries together against each of them alone, bit for bit */
static void
check_batch(Fixture *f, uint32_t n, uint32_t k)
{
	uint32_t	room = k < f->n ? k : f->n;
	float	   *vectors = malloc((size_t) n * f->dim * sizeof(float));
	GmSpaceQuery *query = calloc(n, sizeof(GmSpaceQuery));
	GmSpaceHit *hits = malloc(((size_t) n * room + 1) * sizeof(GmSpaceHit));
	GmSpaceHit *alone = malloc((room + 1) * sizeof(GmSpaceHit));
	uint32_t   *found = malloc(n * sizeof(uint32_t));
	uint32_t	found_alone;

	for (uint32_t q = 0; q < n; q++)
	{
		float	   *v = vectors + (size_t) q * f->dim;

		random_vector(v, f->dim);
		if (q % 3 == 1 && f->n > 0)
			memcpy(v, f->vectors, f->dim * sizeof(float));
		CHECK(gm_space_prepare(f->space, v, &query[q]) == GM_OK);
		found[q] = 77;
	}
	CHECK(gm_space_search_batch(f->space, query, n, k, NULL, hits, found) == GM_OK);
	for (uint32_t q = 0; q < n; q++)
	{
		CHECK(gm_space_search(f->space, &query[q], k, NULL, NULL, alone, &found_alone) == GM_OK);
		if (!CHECK(found[q] == found_alone) ||
			!CHECK(memcmp(hits + (size_t) q * room, alone, found_alone * sizeof(GmSpaceHit)) == 0))
			printf("# metric %d dim %u n %u k %u: query %u of %u\n", (int) f->metric, f->dim, f->n,
				   k, q, n);
	}
	free(vectors);
	free(query);
	free(hits);
	free(alone);
	free(found);
}

static void
test_batch(void)
{
	static const uint32_t dims[] = {1, 3, 20, 159, 160, 300, 5000};
	static const uint32_t rows[] = {0, 1, 40, 1000};
	static const uint32_t ns[] = {1, 2, 3, 4, 5, 8, 11};
	static const uint32_t ks[] = {0, 1, 10, 2000, UINT32_MAX};

	for (uint32_t m = 0; m < N_METRICS; m++)
		for (uint32_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
			for (uint32_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++)
			{
				Fixture		f;

				if (fixture_make(&f, metrics[m], dims[d], dims[d] > 1000 ? rows[r] / 20 : rows[r],
								 3, true))
				{
					for (uint32_t k = 0; k < sizeof(ks) / sizeof(ks[0]); k++)
						check_batch(&f, ns[unit_random_below(7)], ks[k]);
					for (uint32_t n = 0; n < sizeof(ns) / sizeof(ns[0]); n++)
						check_batch(&f, ns[n], 10);
				}
				fixture_free(&f);
			}
}

static void
test_order_of_adding(void)
{
	Fixture		f;
	Fixture		g;
	GmSpaceQuery q;
	GmSpaceHit	a[50];
	GmSpaceHit	b[50];
	uint32_t	na;
	uint32_t	nb;

	REQUIRE(fixture_make(&f, GM_METRIC_COSINE, 33, 1000, 5, true));
	REQUIRE(gm_mem_create(4096, 0, NULL, &g.mem) == GM_OK);
	REQUIRE(gm_space_create(g.mem, 33, GM_METRIC_COSINE, &g.space) == GM_OK);
	for (uint32_t i = f.n; i-- > 0;)
		CHECK(gm_space_add(g.space, f.ids[i], GM_NONE, f.vectors + (size_t) i * 33) == GM_OK);
	CHECK(gm_space_finish(g.space, 0) == GM_OK);
	CHECK(gm_space_row_of(g.space, 0) == GM_NONE);
	for (uint32_t i = 0; i < f.n; i++)
	{
		uint32_t	row = gm_space_find(f.space, f.ids[i]);

		CHECK(row == gm_space_find(g.space, f.ids[i]));
		CHECK(row == gm_space_row_of(f.space, (uint32_t) ((f.ids[i] + 100) / 7)));
		CHECK(memcmp(gm_space_vector(f.space, row), f.vectors + (size_t) i * 33,
					 33 * sizeof(float)) == 0);
	}
	CHECK(gm_space_find(f.space, -99) == GM_NONE);
	CHECK(gm_space_find(f.space, INT64_MAX) == GM_NONE);
	CHECK(gm_space_find(f.space, INT64_MIN) == GM_NONE);
	CHECK(gm_space_row_of(f.space, 1000) == GM_NONE);
	CHECK(gm_space_row_of(f.space, GM_NONE) == GM_NONE);
	CHECK(gm_space_prepare(f.space, f.vectors, &q) == GM_OK);
	CHECK(gm_space_search(f.space, &q, 50, NULL, NULL, a, &na) == GM_OK);
	CHECK(gm_space_search(g.space, &q, 50, NULL, NULL, b, &nb) == GM_OK);
	REQUIRE(na == 50 && nb == 50);
	CHECK(memcmp(a, b, sizeof(a)) == 0);
	gm_space_destroy(g.space);
	gm_mem_destroy(g.mem);
	fixture_free(&f);
}

static void
test_bad_values(void)
{
	static const float zero[3] = {0, 0, 0};
	static const float tiny[3] = {1e-20f, 0, 0};
	static const float nan_element[3] = {1, NAN, 0};
	static const float inf_element[3] = {1, 0, -INFINITY};
	static const float huge[3] = {1e19f, 1e19f, 0};
	static const float largest[3] = {9.2e18f, 0, 0};
	static const float good[3] = {1, 2, 3};

	for (uint32_t m = 0; m < N_METRICS; m++)
	{
		bool		cosine = metrics[m] == GM_METRIC_COSINE;
		GmSpaceQuery q;
		GmSpaceHit	hit[4];
		uint32_t	found;
		GmMem	   *mem;
		GmSpace    *s;

		REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
		CHECK(gm_space_create(mem, 0, metrics[m], &s) == GM_BAD_DIM);
		CHECK(gm_space_create(mem, GM_VEC_MAX_DIM + 1, metrics[m], &s) == GM_BAD_DIM);
		REQUIRE(gm_space_create(mem, 3, metrics[m], &s) == GM_OK);

		/* an empty space answers */
		CHECK(gm_space_finish(s, 0) == GM_OK);
		CHECK(gm_space_prepare(s, good, &q) == GM_OK);
		CHECK(gm_space_search(s, &q, 4, NULL, NULL, hit, &found) == GM_OK && found == 0);
		CHECK(gm_space_find(s, 0) == GM_NONE);

		CHECK(gm_space_add(s, 1, 0, nan_element) == GM_BAD_VALUE);
		CHECK(gm_space_add(s, 1, 0, inf_element) == GM_BAD_VALUE);
		CHECK(gm_space_add(s, 1, 0, huge) == GM_BAD_VALUE);
		CHECK(gm_space_add(s, 1, 0, zero) == (cosine ? GM_BAD_VALUE : GM_OK));
		CHECK(gm_space_add(s, 2, 1, tiny) == (cosine ? GM_BAD_VALUE : GM_OK));
		CHECK(gm_space_add(s, 3, 2, largest) == GM_OK);
		CHECK(gm_space_add(s, 4, 3, good) == GM_OK);
		CHECK(s->root->sp_rows == (cosine ? 2u : 4u));
		CHECK(gm_space_finish(s, 4) == GM_OK);
		CHECK(gm_space_prepare(s, nan_element, &q) == GM_BAD_VALUE);
		CHECK(gm_space_prepare(s, huge, &q) == GM_BAD_VALUE);
		CHECK(gm_space_prepare(s, zero, &q) == (cosine ? GM_BAD_VALUE : GM_OK));
		CHECK(gm_space_prepare(s, largest, &q) == GM_OK);
		CHECK(gm_space_search(s, &q, 4, NULL, NULL, hit, &found) == GM_OK);
		CHECK(found == s->root->sp_rows);
		for (uint32_t i = 0; i < found; i++)
			CHECK(isfinite(hit[i].distance));
		CHECK(gm_space_item_id(s, hit[0].row) == 3);

		/* numbers out of range and ids that stand twice */
		CHECK(gm_space_finish(s, 3) == GM_BAD_VALUE);
		CHECK(gm_space_add(s, 3, 1, good) == GM_OK);
		CHECK(gm_space_finish(s, 4) == GM_BAD_VALUE);
		gm_space_destroy(s);
		gm_mem_destroy(mem);
	}
}

static void
test_similarity(void)
{
	CHECK_NEAR(gm_space_similarity(GM_METRIC_COSINE, 0), 1, 0);
	CHECK_NEAR(gm_space_similarity(GM_METRIC_COSINE, 2), 0, 0);
	CHECK_NEAR(gm_space_similarity(GM_METRIC_COSINE, 0.25), 0.75, 1e-15);
	CHECK_NEAR(gm_space_similarity(GM_METRIC_COSINE, 1.5), 0, 0);
	CHECK_NEAR(gm_space_similarity(GM_METRIC_L2, 0), 1, 0);
	CHECK_NEAR(gm_space_similarity(GM_METRIC_L2, 3), 0.25, 1e-15);
	CHECK_NEAR(gm_space_similarity(GM_METRIC_L2, FLT_MAX), 0, 1e-30);
	CHECK_NEAR(gm_space_similarity(GM_METRIC_IP, 0), 0.5, 1e-15);
	CHECK_NEAR(gm_space_similarity(GM_METRIC_IP, -FLT_MAX), 1, 0);
	CHECK_NEAR(gm_space_similarity(GM_METRIC_IP, FLT_MAX), 0, 0);
}

static bool
count_down(void *arg)
{
	return --*(int *) arg < 0;
}

static void
test_interrupt(void)
{
	int			looks = 1;
	GmInterrupt intr = {count_down, &looks};
	uint64_t   *all;
	uint32_t   *rows;
	GmSpaceQuery q;
	GmSpaceHit	hit[3];
	uint32_t	found;
	Fixture		f;
	Fixture		few;

	REQUIRE(fixture_make(&f, GM_METRIC_IP, 300, 4000, 1, false));
	REQUIRE(fixture_make(&few, GM_METRIC_IP, 300, 64, 1, false));
	CHECK(gm_space_prepare(f.space, f.vectors, &q) == GM_OK);
	CHECK(gm_space_search(f.space, &q, 3, NULL, &intr, hit, &found) == GM_INTERRUPTED);
	all = malloc(4000 / 8 + 8);
	memset(all, 0xff, 4000 / 8 + 8);
	looks = 1;
	CHECK(gm_space_search(f.space, &q, 3, all, &intr, hit, &found) == GM_INTERRUPTED);
	looks = 1;
	CHECK(gm_space_search_batch(f.space, &q, 1, 3, &intr, hit, &found) == GM_INTERRUPTED);
	rows = malloc(4000 * sizeof(uint32_t));
	for (uint32_t i = 0; i < 4000; i++)
		rows[i] = i;
	looks = 1;
	CHECK(gm_space_search_rows(f.space, &q, 3, rows, 4000, &intr, hit, &found) == GM_INTERRUPTED);
	looks = 1000;
	CHECK(gm_space_search_rows(f.space, &q, 3, rows, 4000, &intr, hit, &found) == GM_OK);
	CHECK(found == 3 && looks <= 1000 - 3);
	free(rows);
	looks = 1000;
	CHECK(gm_space_search_batch(f.space, &q, 1, 3, &intr, hit, &found) == GM_OK && found == 3);
	CHECK(looks <= 1000 - 3);
	looks = 1000;
	CHECK(gm_space_search(f.space, &q, 3, all, &intr, hit, &found) == GM_OK && found == 3);
	/* 4000 x 300 floats are 4.8 MB: a look at least every 1.25 */
	CHECK(looks <= 1000 - 3);
	free(all);
	/* a small pass takes one look, and the sort of each query's hits one more */
	for (int most = 3; most <= 4; most++)
	{
		GmSpaceQuery several[3] = {q, q, q};
		GmSpaceHit *hits = malloc(3 * 64 * sizeof(GmSpaceHit));
		uint32_t	each[3];

		looks = most;
		CHECK(gm_space_search_batch(few.space, several, 3, 64, &intr, hits, each) ==
			  (most == 3 ? GM_INTERRUPTED : GM_OK));
		free(hits);
	}
	fixture_free(&few);
	fixture_free(&f);
}

static void
test_budget(void)
{
	float		v[100] = {1};
	GmStatus	status = GM_OK;
	GmMem	   *mem;
	GmSpace    *s;
	uint32_t	n = 0;

	REQUIRE(gm_mem_create(4096, 100000, NULL, &mem) == GM_OK);
	REQUIRE(gm_space_create(mem, 100, GM_METRIC_L2, &s) == GM_OK);
	while (status == GM_OK && n < 100000)
		status = gm_space_add(s, -(int64_t) n++, GM_NONE, v);
	CHECK(status == GM_OVER_BUDGET);
	CHECK(n > 50 && n < 250);
	CHECK(gm_space_finish(s, 0) == GM_OK);
	{
		uint32_t	found[3000];
		GmSpaceHit	hits[3000];
		GmSpaceQuery q[3000];

		for (uint32_t i = 0; i < 3000; i++)
			CHECK(gm_space_prepare(s, v, &q[i]) == GM_OK);
		CHECK(gm_space_search_batch(s, q, 3000, 1, NULL, hits, found) == GM_OVER_BUDGET);
	}
	gm_space_destroy(s);
	gm_mem_destroy(mem);
}

/*
 * Versions
 */
#define ITEMS		400
#define VERSION_DIM	40

typedef struct Item
{
	bool		there;
	int64_t		id;
	uint32_t	number;			/* GM_NONE or one of its own */
	float		vector[VERSION_DIM];
} Item;

typedef struct Model
{
	uint32_t	dim;
	GmMetric	metric;
	Item		item[ITEMS];	/* ids ascend */
} Model;

static void
model_make(Model *m, GmMetric metric, uint32_t dim, uint32_t there)
{
	int64_t		id = -500;

	m->dim = dim;
	m->metric = metric;
	for (uint32_t i = 0; i < ITEMS; i++)
	{
		Item	   *item = &m->item[i];

		item->there = i < there;
		item->id = id += 1 + (int64_t) unit_random_below(20);
		item->number = i % 7 == 3 ? GM_NONE : (i * 37) % ITEMS;
		random_vector(item->vector, dim);
	}
}

/* some vectors stand several times, so that ids decide */
static void
new_vector(Model *m, Item *item)
{
	const Item *other = &m->item[unit_random_below(ITEMS)];

	if (other->there && unit_random_below(2) == 0)
		memmove(item->vector, other->vector, sizeof(item->vector));
	else
		random_vector(item->vector, m->dim);
}

static bool
model_build(const Model *m, GmMem *mem, GmSpace **space)
{
	if (!CHECK(gm_space_create(mem, m->dim, m->metric, space) == GM_OK))
		return false;
	for (uint32_t i = 0; i < ITEMS; i++)
		if (m->item[i].there)
			CHECK(gm_space_add(*space, m->item[i].id, m->item[i].number,
							   m->item[i].vector) == GM_OK);
	return CHECK(gm_space_finish(*space, ITEMS) == GM_OK);
}

static void
model_change(Model *m, GmSpace *space, int changes)
{
	static const float nothing[VERSION_DIM];

	for (int c = 0; c < changes; c++)
	{
		Item	   *item = &m->item[unit_random_below(ITEMS)];

		if (item->there && unit_random_below(2) == 0)
		{
			item->there = false;
			CHECK(gm_space_remove(space, item->id) == GM_OK);
			CHECK(gm_space_remove(space, item->id) == GM_OK);
			continue;
		}
		if (m->metric == GM_METRIC_COSINE)
			CHECK(gm_space_put(space, item->id, item->number, nothing) == GM_BAD_VALUE);
		new_vector(m, item);
		item->there = true;
		CHECK(gm_space_put(space, item->id, item->number, item->vector) == GM_OK);
	}
}

/* a bitmap by row of the items of which chosen says so */
static uint64_t *
rows_of(const GmSpace *space, const bool *chosen, const Model *m)
{
	uint64_t   *rows = calloc(ITEMS / 64 + 1, sizeof(uint64_t));

	for (uint32_t i = 0; i < ITEMS; i++)
		if (chosen[i] && m->item[i].there)
		{
			uint32_t	row = gm_space_find(space, m->item[i].id);

			if (CHECK(row < space->root->sp_rows))
				rows[row / 64] |= UINT64_C(1) << (row % 64);
		}
	return rows;
}

static void
same_hits(const Model *m, const GmSpace *a, const GmSpace *b, uint32_t k, const bool *chosen)
{
	uint64_t   *allowed_a = chosen == NULL ? NULL : rows_of(a, chosen, m);
	uint64_t   *allowed_b = chosen == NULL ? NULL : rows_of(b, chosen, m);
	const Item *like = &m->item[unit_random_below(ITEMS)];
	float		query[VERSION_DIM];
	GmSpaceHit	hit_a[ITEMS];
	GmSpaceHit	hit_b[ITEMS];
	uint32_t	found_a;
	uint32_t	found_b;
	GmSpaceQuery q;

	memcpy(query, like->vector, sizeof(query));
	CHECK(gm_space_prepare(a, query, &q) == GM_OK);
	CHECK(gm_space_search(a, &q, k, allowed_a, NULL, hit_a, &found_a) == GM_OK);
	CHECK(gm_space_search(b, &q, k, allowed_b, NULL, hit_b, &found_b) == GM_OK);
	if (CHECK(found_a == found_b))
		for (uint32_t i = 0; i < found_a; i++)
			if (!CHECK(gm_space_item_id(a, hit_a[i].row) == gm_space_item_id(b, hit_b[i].row)) ||
				!CHECK(hit_a[i].distance == hit_b[i].distance))
				break;
	free(allowed_a);
	free(allowed_b);
}

static void
check_version(const Model *m, const GmSpace *space)
{
	uint32_t	rows = 0;
	bool		chosen[ITEMS];
	GmSpace    *fresh;
	GmMem	   *mem;

	for (uint32_t i = 0; i < ITEMS; i++)
	{
		const Item *item = &m->item[i];
		uint32_t	row = gm_space_find(space, item->id);

		rows += item->there;
		chosen[i] = unit_random_below(3) == 0;
		if (!CHECK((row != GM_NONE) == item->there))
			return;
		if (item->number != GM_NONE)
			CHECK(gm_space_row_of(space, item->number) == row);
		if (row != GM_NONE)
			CHECK(gm_space_item_id(space, row) == item->id &&
				  gm_space_number(space, row) == item->number &&
				  memcmp(gm_space_vector(space, row), item->vector,
						 m->dim * sizeof(float)) == 0);
	}
	CHECK(space->root->sp_rows == rows);
	CHECK(gm_space_find(space, -501) == GM_NONE);
	if (!CHECK(gm_mem_create(4096, 0, NULL, &mem) == GM_OK))
		return;
	if (model_build(m, mem, &fresh))
	{
		same_hits(m, space, fresh, 10, NULL);
		same_hits(m, space, fresh, ITEMS, NULL);
		same_hits(m, space, fresh, 10, chosen);
		same_hits(m, space, fresh, ITEMS, chosen);
		gm_space_destroy(fresh);
	}
	gm_mem_destroy(mem);
}

/* of the version that the writer is about to leave */
static void
check_fork(FakePool *pool, const Model *m, GmRef root)
{
	Model	   *mine = malloc(sizeof(Model));
	GmSpace    *space;
	GmMem	   *mem;

	*mine = *m;
	if (CHECK(gm_mem_fork(pool->base, 0, NULL, &mem) == GM_OK))
	{
		if (CHECK(gm_space_attach(mem, root, &space) == GM_OK))
		{
			CHECK(gm_mem_begin(mem) == GM_OK);
			CHECK(gm_space_begin(space) == GM_OK);
			model_change(mine, space, 30);
			check_version(mine, space);
			gm_space_end(space);
			gm_mem_commit(mem, 1);
			check_version(mine, space);
			gm_space_destroy(space);
		}
		gm_mem_destroy(mem);
	}
	free(mine);
}

static void
versions_of(GmMetric metric, uint32_t dim, uint32_t there)
{
	Model	   *m = malloc(sizeof(Model));
	Model	   *before = malloc(sizeof(Model));
	static FakePool pool;
	GmSpace    *reader = NULL;
	GmSpace    *space;
	GmMemOps	ops;
	GmMem	   *mem;
	GmRef		old = 0;

	model_make(m, metric, dim, there);
	if (!CHECK(pool_make(&pool, &ops)) ||
		!CHECK(gm_mem_create_shared(pool.base, 8192, 0, &ops, &mem) == GM_OK) ||
		!model_build(m, mem, &space))
		return;
	check_version(m, space);
	for (uint64_t version = 1; version < 60 && unit_failures == 0; version++)
	{
		*before = *m;
		old = gm_space_root_ref(space);
		if (reader == NULL)
			CHECK(gm_space_attach(mem, old, &reader) == GM_OK);
		else
			CHECK(gm_space_reattach(reader, old) == GM_OK);
		CHECK(gm_mem_begin(mem) == GM_OK);
		CHECK(gm_space_begin(space) == GM_OK);
		model_change(m, space, (int) unit_random_below(version % 8 == 0 ? 300 : 20));
		check_version(m, space);
		gm_space_end(space);
		check_version(before, reader);
		if (version % 5 == 0)
			check_fork(&pool, before, old);
		if (unit_random_below(4) == 0)
		{
			gm_mem_abort(mem);
			*m = *before;
			CHECK(gm_space_reattach(space, old) == GM_OK);
		}
		else
		{
			gm_mem_commit(mem, version);
			check_version(before, reader);
		}
		gm_mem_reclaim(mem, version + 1);
		check_version(m, space);
	}
	CHECK(gm_mem_begin(mem) == GM_OK);
	CHECK(gm_space_free(space) == GM_OK);
	gm_mem_commit(mem, 1000);
	gm_mem_reclaim(mem, UINT64_MAX);
	CHECK(mem->used == 0);
	gm_space_destroy(reader);
	gm_space_destroy(space);
	gm_mem_destroy(mem);
	CHECK(pool.out == 0);
	pool_free(&pool);
	free(m);
	free(before);
}

static void
test_versions(void)
{
	for (uint32_t m = 0; m < N_METRICS; m++)
	{
		versions_of(metrics[m], 1 + unit_random_below(VERSION_DIM), 0);
		versions_of(metrics[m], 1 + unit_random_below(VERSION_DIM), ITEMS / 2);
		versions_of(metrics[m], VERSION_DIM, ITEMS);
	}
}

/* larger ids only, and the last ones away again: order of rows stays order of ids */
static void
test_stays_ordered(void)
{
	const float v[2] = {1, 2};
	GmSpace    *space;
	GmMem	   *mem;

	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_space_create(mem, 2, GM_METRIC_L2, &space) == GM_OK);
	CHECK(gm_space_add(space, 5, GM_NONE, v) == GM_OK);
	CHECK(gm_space_finish(space, 0) == GM_OK);
	CHECK(gm_mem_begin(mem) == GM_OK);
	CHECK(gm_space_begin(space) == GM_OK);
	CHECK(gm_space_put(space, 7, 3, v) == GM_OK);
	CHECK(gm_space_put(space, 9, 8, v) == GM_OK);
	CHECK(gm_space_remove(space, 9) == GM_OK);
	CHECK(gm_space_put(space, 8, GM_NONE, v) == GM_OK);
	CHECK(space->root->sp_ordered);
	CHECK(gm_space_row_of(space, 8) == GM_NONE && gm_space_row_of(space, 3) == 1);
	CHECK(gm_space_put(space, 6, GM_NONE, v) == GM_OK);
	CHECK(!space->root->sp_ordered);
	gm_space_end(space);
	gm_mem_commit(mem, 1);
	gm_space_destroy(space);
	gm_mem_destroy(mem);
}

UNIT_MAIN(UNIT(test_dims), UNIT(test_filters), UNIT(test_single_row), UNIT(test_batch),
		  UNIT(test_order_of_adding), UNIT(test_bad_values), UNIT(test_similarity),
		  UNIT(test_interrupt), UNIT(test_budget), UNIT(test_versions),
		  UNIT(test_stays_ordered))
