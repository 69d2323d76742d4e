/*-------------------------------------------------------------------------
 *
 * test_vec.c
 *	  Distance kernels, the check for NaN, and the top-k collector.
 *
 * What must hold
 *	 scalar		within SCALAR_TOLERANCE of sums in long double
 *	 others		within SIMD_TOLERANCE of the same sums
 *	 each set	dot4 and l2sq4 equal dot and l2sq bit for bit; arguments
 *				commute; nothing outside the dim floats is read (pages
 *				without access on both sides), at any alignment
 *	 top-k		the first k of qsort over all candidates, whatever the order
 *				of arrival
 *
 *-------------------------------------------------------------------------
 */
#include "core/topk.h"
#include "core/vec.h"
#include "unit.h"

#include <float.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * With u = 2^-24, magnitude = the sum of the terms' magnitudes.  A set with at
 * least 16 partial sums rounds each dim / 16 times in a row, then up to 6
 * times where they are added up, and a difference before it is squared counts
 * twice; every rounding below FLT_MIN costs at most 2^-150.
 */
#define U						0x1p-24
#define SIMD_TOLERANCE(dim, magnitude) \
	(((dim) / 16 + 12) * U * (magnitude) + ((dim) + 2) * 0x1p-149)
#define SCALAR_TOLERANCE(dim, magnitude, exact) \
	(U * fabs(exact) + (dim) * 0x1p-52 * (magnitude) + 0x1p-149)

static const GmSimd all_sets[] = {
	GM_SIMD_SCALAR, GM_SIMD_AVX2, GM_SIMD_AVX512, GM_SIMD_NEON
};

#define N_SETS	(sizeof(all_sets) / sizeof(all_sets[0]))

static uint32_t
dim_of_case(uint32_t i)
{
	static const uint32_t large[] = {300, 768, 1536, 3072, 16000};

	return i <= 130 ? i : large[i - 131];
}

#define N_DIMS	136

/* ---- memory with an inaccessible page before and after ---- */

typedef struct Fenced
{
	char	   *map;
	size_t		map_bytes;
	char	   *start;			/* first accessible byte */
	char	   *end;			/* first inaccessible one after it */
} Fenced;

static Fenced
fenced_alloc(size_t bytes)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	size_t		inner = (bytes + page) / page * page;
	Fenced		f;

	f.map_bytes = inner + 2 * page;
	f.map = mmap(NULL, f.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);
	f.start = f.map + page;
	f.end = f.start + inner;
	if (f.map == MAP_FAILED ||
		mprotect(f.start, inner, PROT_READ | PROT_WRITE) != 0)
	{
		perror("mmap");
		exit(2);
	}
	return f;
}

static void
fenced_free(Fenced *f)
{
	munmap(f->map, f->map_bytes);
}

/* where a copy of bytes starts: at the front fence, between, at the back one */
typedef enum Place
{
	FRONT,
	FRONT_PLUS_1,
	FRONT_PLUS_6,
	FRONT_PLUS_12,
	BACK,
	N_PLACES
} Place;

static const float *
put(Fenced *f, Place place, const void *data, size_t bytes)
{
	static const size_t offsets[] = {0, 1, 6, 12};
	char	   *to = place == BACK ? f->end - bytes : f->start + offsets[place];

	if (bytes > 0)
		memcpy(to, data, bytes);
	return (const float *) (const void *) to;
}

/* ---- contents ---- */

typedef enum Fill
{
	UNIFORM,					/* in (-1, 1) */
	ZERO,						/* both vectors 0 */
	ZERO_AND_UNIFORM,
	ONES,						/* every sum is an exact integer */
	SAME,						/* equal vectors: l2sq is exactly 0 */
	CANCELLING,					/* terms up to 1, sums near 0 */
	MIXED,						/* exponents from -30 to 30 */
	HUGE_VALUES,				/* dot(v, v) near FLT_MAX / 4 */
	SMALL,						/* products around FLT_MIN and below */
	SUBNORMAL,					/* the elements themselves */
	N_FILLS
} Fill;

static double
random_signed(void)
{
	return 2 * unit_random_double() - 1;
}

static void
fill(float *v, uint32_t dim, Fill how, bool second)
{
	double		huge = sqrt(FLT_MAX / 4.0 / (dim + 1.0));

	for (uint32_t i = 0; i < dim; i++)
	{
		double		x = random_signed();

		if (how == ZERO || (how == ZERO_AND_UNIFORM && !second))
			x = 0;
		else if (how == ONES)
			x = 1;
		else if (how == CANCELLING)
			x = (second && i % 2) ? -1 + 1e-3 * x : 1;
		else if (how == MIXED)
			x = ldexp(x, (int) unit_random_below(61) - 30);
		else if (how == HUGE_VALUES)
			x = x < 0 ? -huge : huge;
		else if (how == SMALL)
			x *= 1e-19;
		else if (how == SUBNORMAL)
			x *= 1e-40;
		v[i] = (float) x;
	}
}

/* ---- kernels ---- */

typedef struct Exact
{
	double		dot,
				dot_magnitude,
				l2sq;
} Exact;

static Exact
exact_sums(const float *a, const float *b, uint32_t dim)
{
	long double dot = 0,
				magnitude = 0,
				l2sq = 0;

	for (uint32_t i = 0; i < dim; i++)
	{
		long double p = (long double) a[i] * b[i];
		long double d = (long double) a[i] - b[i];

		dot += p;
		magnitude += fabsl(p);
		l2sq += d * d;
	}
	return (Exact) {(double) dot, (double) magnitude, (double) l2sq};
}

static bool
same_bits(float a, float b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* the largest error seen, in units of the sum of magnitudes */
static double worst_error[N_SETS];

static void
check_pair(size_t set, const GmVecKernels *k, const float *a, const float *b,
		   uint32_t dim, const Exact *exact, Fill how)
{
	double		dot = k->dot(a, b, dim);
	double		l2sq = k->l2sq(a, b, dim);
	double		dot_tolerance = SIMD_TOLERANCE(dim, exact->dot_magnitude);
	double		l2sq_tolerance = SIMD_TOLERANCE(dim, exact->l2sq);
	bool		ok;

	if (all_sets[set] == GM_SIMD_SCALAR)
	{
		dot_tolerance = SCALAR_TOLERANCE(dim, exact->dot_magnitude, exact->dot);
		l2sq_tolerance = SCALAR_TOLERANCE(dim, exact->l2sq, exact->l2sq);
	}
	ok = CHECK_NEAR(dot, exact->dot, dot_tolerance);
	ok &= CHECK_NEAR(l2sq, exact->l2sq, l2sq_tolerance);
	ok &= CHECK(l2sq >= 0);
	ok &= CHECK(same_bits(k->dot(b, a, dim), (float) dot));
	ok &= CHECK(same_bits(k->l2sq(b, a, dim), (float) l2sq));
	if (how == ONES)
		ok &= CHECK(dot == dim);
	if (how == SAME)
		ok &= CHECK(l2sq == 0);
	if (!ok)
		printf("# above: %s, dim %u, fill %d\n", k->name, dim, (int) how);
	if (how <= CANCELLING && exact->dot_magnitude > 0)
		worst_error[set] = fmax(worst_error[set],
								fabs(dot - exact->dot) / exact->dot_magnitude);
}

static void
test_one_row(void)
{
	size_t		bytes = GM_VEC_MAX_DIM * sizeof(float);
	float	   *a = malloc(bytes);
	float	   *b = malloc(bytes);
	Fenced		fa = fenced_alloc(bytes + 16);
	Fenced		fb = fenced_alloc(bytes + 16);

	for (uint32_t i = 0; i < N_DIMS; i++)
	{
		uint32_t	dim = dim_of_case(i);

		for (Fill how = 0; how < N_FILLS; how++)
		{
			Exact		exact;

			fill(a, dim, how, false);
			fill(b, dim, how, true);
			if (how == SAME)
				memcpy(b, a, dim * sizeof(float));
			exact = exact_sums(a, b, dim);
			for (Place place = 0; place < N_PLACES; place++)
			{
				/* every place of one meets every place of the other */
				const float *pa = put(&fa, place, a, dim * sizeof(float));
				const float *pb = put(&fb, (place * 3 + i) % N_PLACES, b,
									  dim * sizeof(float));

				for (size_t set = 0; set < N_SETS; set++)
				{
					const GmVecKernels *k = gm_vec_kernels(all_sets[set]);

					if (k != NULL)
						check_pair(set, k, pa, pb, dim, &exact, how);
				}
			}
		}
	}
	for (size_t set = 0; set < N_SETS; set++)
	{
		const GmVecKernels *k = gm_vec_kernels(all_sets[set]);

		if (k != NULL)
			printf("# %s: worst error of dot %.2g of the terms' magnitudes\n",
				   k->name, worst_error[set]);
	}
	fenced_free(&fa);
	fenced_free(&fb);
	free(a);
	free(b);
}

/* four rows in a matrix whose last element is the last before the fence */
static void
check_four(const GmVecKernels *k, const float *q, const float *rows,
		   size_t stride, uint32_t dim)
{
	float		dots[4];
	float		l2sqs[4];

	k->dot4(q, rows, stride, dim, dots);
	k->l2sq4(q, rows, stride, dim, l2sqs);
	for (int r = 0; r < 4; r++)
	{
		bool		ok;

		ok = CHECK(same_bits(dots[r], k->dot(q, rows + r * stride, dim)));
		ok &= CHECK(same_bits(l2sqs[r], k->l2sq(q, rows + r * stride, dim)));
		if (!ok)
			printf("# above: %s, dim %u, stride %zu, row %d\n", k->name, dim,
				   stride, r);
	}
}

static void
test_four_rows(void)
{
	size_t		max_floats = 4 * (GM_VEC_MAX_DIM + 16);
	float	   *q = malloc(GM_VEC_MAX_DIM * sizeof(float));
	float	   *rows = malloc(max_floats * sizeof(float));
	Fenced		fq = fenced_alloc(GM_VEC_MAX_DIM * sizeof(float) + 16);
	Fenced		frows = fenced_alloc(max_floats * sizeof(float) + 16);

	for (uint32_t i = 0; i < N_DIMS; i++)
	{
		uint32_t	dim = dim_of_case(i);
		size_t		gap = unit_random_below(2) * unit_random_below(17);
		size_t		stride = dim + gap;
		size_t		floats = 3 * stride + dim;
		Fill		how = i % 2 ? UNIFORM : MIXED;

		fill(q, dim, how, false);
		fill(rows, (uint32_t) floats, how, true);
		for (Place place = 0; place < N_PLACES; place++)
		{
			const float *pq = put(&fq, N_PLACES - 1 - place, q,
								  dim * sizeof(float));
			const float *prows = put(&frows, place, rows,
									 floats * sizeof(float));

			for (size_t set = 0; set < N_SETS; set++)
			{
				const GmVecKernels *k = gm_vec_kernels(all_sets[set]);

				if (k != NULL)
					check_four(k, pq, prows, stride, dim);
			}
		}
	}
	fenced_free(&fq);
	fenced_free(&frows);
	free(q);
	free(rows);
}

/* 0 as the stride scores one row four times */
static void
test_stride_zero(void)
{
	float		q[37];
	float		row[37];

	fill(q, 37, UNIFORM, false);
	fill(row, 37, UNIFORM, true);
	for (size_t set = 0; set < N_SETS; set++)
	{
		const GmVecKernels *k = gm_vec_kernels(all_sets[set]);

		if (k != NULL)
			check_four(k, q, row, 0, 37);
	}
}

static void
test_choose(void)
{
	REQUIRE(gm_vec_kernels(GM_SIMD_SCALAR) != NULL);
	for (size_t set = 0; set < N_SETS; set++)
	{
		const GmVecKernels *k = gm_vec_kernels(all_sets[set]);

		CHECK(gm_vec_choose(GM_SIMD_SCALAR));
		CHECK(strcmp(gm_vec.name, "scalar") == 0);
		CHECK(gm_vec_choose(all_sets[set]) == (k != NULL));
		CHECK(strcmp(gm_vec.name, k ? k->name : "scalar") == 0);
	}
	CHECK(!gm_vec_choose((GmSimd) 99));
	CHECK(gm_vec_choose(GM_SIMD_AUTO));
	CHECK(gm_vec.dot == gm_vec_kernels(GM_SIMD_AUTO)->dot);
	printf("# auto is %s\n", gm_vec.name);
#ifdef __x86_64__
	/* the compiler's runtime asks the CPU and the system on its own */
	CHECK((gm_vec_kernels(GM_SIMD_AVX2) != NULL) ==
		  (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")));
	CHECK((gm_vec_kernels(GM_SIMD_AVX512) != NULL) ==
		  (__builtin_cpu_supports("avx512f") != 0));
#endif
}

/* ---- finite ---- */

static void
check_finite_at(Fenced *f, Place place, const float *good, uint32_t dim)
{
	static const uint32_t bad_bits[] = {
		0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff
	};
	size_t		n_bits = sizeof(bad_bits) / sizeof(bad_bits[0]);
	const float *v = put(f, place, good, dim * sizeof(float));
	uint32_t	where = 12345;

	CHECK(gm_vec_finite(v, dim, &where));
	for (uint32_t i = 0; i < dim; i++)
	{
		char	   *at = (char *) v + i * sizeof(float);

		for (size_t b = 0; b < n_bits; b++)
		{
			memcpy(at, &bad_bits[b], sizeof(float));
			where = 12345;
			CHECK(!gm_vec_finite(v, dim, &where));
			CHECK(where == i);
		}
		/* of several, the first */
		memcpy((char *) v + (dim - 1) * sizeof(float), bad_bits, sizeof(float));
		CHECK(!gm_vec_finite(v, dim, &where) && where == i);
		memcpy((char *) v, good, dim * sizeof(float));
	}
}

static void
test_finite(void)
{
	static const float edge[] = {
		FLT_MAX, -FLT_MAX, FLT_MIN, 0x1p-149f, -0x1p-149f, 0.0f, -0.0f, 1.0f
	};
	float		good[300];
	Fenced		f = fenced_alloc(sizeof(good) + 16);

	for (size_t i = 0; i < 300; i++)
		good[i] = edge[unit_random_below(8)];
	for (uint32_t dim = 0; dim <= 130; dim++)
		for (Place place = 0; place < N_PLACES; place++)
			check_finite_at(&f, place, good, dim);
	check_finite_at(&f, BACK, good, 300);
	fenced_free(&f);
}

/* ---- top-k ---- */

static int
compare_items(const void *pa, const void *pb)
{
	const GmTopkItem *a = pa;
	const GmTopkItem *b = pb;

	if (a->distance != b->distance)
		return a->distance < b->distance ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

static void
shuffle(GmTopkItem *items, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--)
	{
		uint32_t	j = unit_random_below(i);
		GmTopkItem	t = items[i - 1];

		items[i - 1] = items[j];
		items[j] = t;
	}
}

static void
reverse(GmTopkItem *items, uint32_t n)
{
	for (uint32_t i = 0; i < n / 2; i++)
	{
		GmTopkItem	t = items[i];

		items[i] = items[n - 1 - i];
		items[n - 1 - i] = t;
	}
}

/* items is what arrives, in that order; sorted holds all of it in order */
static void
check_topk(const GmTopkItem *items, const GmTopkItem *sorted, uint32_t n,
		   uint32_t k)
{
	GmTopkItem *room = malloc(k * sizeof(GmTopkItem));
	uint32_t	expected = n < k ? n : k;
	uint32_t	wrong = 0;
	GmTopk		top;

	gm_topk_init(&top, k > 0 ? room : NULL, k);
	for (uint32_t i = 0; i < n; i++)
	{
		float		worst = gm_topk_worst(&top);
		bool		taken = gm_topk_push(&top, items[i].distance, items[i].id);

		wrong += taken && items[i].distance > worst;
		wrong += !taken && items[i].distance < worst;
		wrong += gm_topk_worst(&top) > worst;
	}
	CHECK(wrong == 0);
	if (k == 0)
		CHECK(gm_topk_worst(&top) == -INFINITY);
	else if (n < k)
		CHECK(gm_topk_worst(&top) == INFINITY);
	else
		CHECK(gm_topk_worst(&top) == sorted[k - 1].distance);
	gm_topk_sort(&top);
	CHECK(top.count == expected);
	for (uint32_t i = 0; i < expected; i++)
		wrong += compare_items(&room[i], &sorted[i]) != 0;
	if (!CHECK(wrong == 0))
		printf("# above: n %u, k %u: %u wrong\n", n, k, wrong);
	free(room);
}

static void
check_topk_orders(uint32_t n, uint32_t k, uint32_t distances)
{
	GmTopkItem *items = calloc(n + 1, sizeof(GmTopkItem));
	GmTopkItem *sorted = calloc(n + 1, sizeof(GmTopkItem));

	/* distances / 2 of them below 0, as inner products give */
	for (uint32_t i = 0; i < n; i++)
	{
		items[i].id = ((uint64_t) i << 33) + i;
		items[i].distance = (float) unit_random_below(distances) -
			(float) (distances / 2);
	}
	memcpy(sorted, items, n * sizeof(GmTopkItem));
	qsort(sorted, n, sizeof(GmTopkItem), compare_items);

	check_topk(items, sorted, n, k);
	shuffle(items, n);
	check_topk(items, sorted, n, k);
	memcpy(items, sorted, n * sizeof(GmTopkItem));
	check_topk(items, sorted, n, k);
	reverse(items, n);
	check_topk(items, sorted, n, k);
	free(items);
	free(sorted);
}

static void
test_topk_against_qsort(void)
{
	static const struct
	{
		uint32_t	n,
					k,
					distances;
	}			cases[] = {
		{0, 0, 1}, {0, 5, 1}, {5, 0, 3}, {1, 1, 1}, {2, 1, 1}, {10, 20, 4},
		{1000, 1, 5}, {1000, 10, 5}, {1000, 10, 1}, {1000, 999, 7},
		{1000, 1000, 7}, {1000, 1001, 1000000}, {50000, 1000, 20},
		{50000, 1000, 1u << 22}, {300000, 200000, 1000}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_topk_orders(cases[i].n, cases[i].k, cases[i].distances);
	for (uint32_t n = 0; n < 40; n++)
		for (uint32_t k = 0; k < 42; k++)
			check_topk_orders(n, k, 1 + unit_random_below(6));
}

static void
test_topk_special_values(void)
{
	GmTopkItem	room[4];
	GmTopk		top;

	gm_topk_init(&top, room, 4);
	CHECK(!gm_topk_push(&top, NAN, 1));
	CHECK(gm_topk_push(&top, INFINITY, 8));
	CHECK(gm_topk_push(&top, INFINITY, 7));
	CHECK(gm_topk_push(&top, 0.0f, 6));
	CHECK(gm_topk_push(&top, -0.0f, 9));
	CHECK(!gm_topk_push(&top, NAN, 1));
	CHECK(!gm_topk_push(&top, INFINITY, 9));
	CHECK(gm_topk_push(&top, -INFINITY, 5));
	gm_topk_sort(&top);
	REQUIRE(top.count == 4);
	CHECK(room[0].id == 5 && room[1].id == 6);
	CHECK(room[2].id == 9 && room[3].id == 7);

	gm_topk_init(&top, NULL, 0);
	CHECK(!gm_topk_push(&top, -INFINITY, 0));
	CHECK(!gm_topk_push(&top, NAN, 0));
	gm_topk_sort(&top);
	CHECK(top.count == 0);
}

UNIT_MAIN(UNIT(test_choose),
		  UNIT(test_one_row),
		  UNIT(test_four_rows),
		  UNIT(test_stride_zero),
		  UNIT(test_finite),
		  UNIT(test_topk_against_qsort),
		  UNIT(test_topk_special_values))
