/*-------------------------------------------------------------------------
 *
 * test_code.c
 *	  Codes of vectors: the rotation, binary16, the kernels and distances.
 *
 * What must hold
 *	 rotation	orthogonal, spreads one element over all, the same everywhere
 *	 binary16	the nearest, the even one of two; back without loss
 *	 kernels	int8 exactly what scalar gives, floats within FLOAT_TOLERANCE of
 *				sums in long double; a code's dot does not depend on the others of
 *				the call; nothing is read outside of the code and GM_CODE_SLACK
 *				bytes, whatever these hold
 *	 distances	wrong by no more than what rounding each element to its nearest
 *				level can do, and by what chance does to it on the average
 *	 a query	from a code is that of its vector within the same bounds; which
 *				of the two is the query does not matter
 *
 *-------------------------------------------------------------------------
 */
#include "core/code.h"
#include "core/code_private.h"
#include "unit.h"

#include <float.h>
#include <sys/mman.h>
#include <unistd.h>

#define U					0x1p-24
/* a sum of dim terms in at least 8 partial sums; magnitude: of the terms */
#define FLOAT_TOLERANCE(dim, magnitude) \
	(((dim) / 8 + 16) * U * (magnitude) + ((dim) + 2) * 0x1p-149)

static const GmCodeKind all_kinds[] = {GM_CODE_INT8, GM_CODE_F16, GM_CODE_NONE};
static const GmMetric all_metrics[] = {GM_METRIC_COSINE, GM_METRIC_L2, GM_METRIC_IP};

#define N_DIMS	135

static uint32_t
dim_of_case(uint32_t i)
{
	static const uint32_t large[] = {300, 768, 1536, 3072, 16000};

	return i < 130 ? i + 1 : large[i - 130];
}

/* ---- the sets that this machine can run ---- */

static const GmCodeKernels *sets[8];
static size_t n_sets;

static void
find_sets(void)
{
	n_sets = 0;
	sets[n_sets++] = &gm_code_scalar;
#ifdef GM_VEC_NEON
	sets[n_sets++] = &gm_code_neon;
#endif
#ifdef GM_VEC_X86
	/* the compiler's runtime asks the CPU and the system on its own */
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
		__builtin_cpu_supports("f16c"))
		sets[n_sets++] = &gm_code_avx2;
	if (__builtin_cpu_supports("avx512bw"))
		sets[n_sets++] = &gm_code_avx512;
	if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni"))
		sets[n_sets++] = &gm_code_vnni;
#endif
}

/* ---- memory with an inaccessible page before and after ---- */

typedef struct Fenced
{
	char	   *map;
	size_t		map_bytes;
	char	   *start;
	char	   *end;
} Fenced;

static Fenced
fenced_alloc(size_t bytes)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	size_t		inner = (bytes + page - 1) / page * page;
	Fenced		f;

	f.map_bytes = inner + 2 * page;
	f.map = mmap(NULL, f.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	f.start = f.map + page;
	f.end = f.start + inner;
	if (f.map == MAP_FAILED || mprotect(f.start, inner, PROT_READ | PROT_WRITE) != 0)
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

static void *
aligned(size_t bytes)
{
	void	   *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (p == NULL)
		exit(2);
	return p;
}

static double
gauss(void)
{
	return sqrt(-2 * log(1 - unit_random_double())) * cos(2 * M_PI * unit_random_double());
}

static double
product(const float *a, const float *b, uint32_t dim)
{
	long double sum = 0;

	for (uint32_t i = 0; i < dim; i++)
		sum += (long double) a[i] * b[i];
	return (double) sum;
}

/* ---- what is fixed ---- */

static void
test_coder(void)
{
	for (size_t k = 0; k < 3; k++)
		for (uint32_t dim = 1; dim <= GM_VEC_MAX_DIM; dim++)
		{
			static const uint32_t each[] = {1, 2, 4};
			uint32_t	bytes = dim * each[k];
			uint32_t	least;
			GmCoder		coder;

			gm_coder_init(&coder, dim, GM_METRIC_L2, all_kinds[k]);
			least = (coder.tail + sizeof(GmCodeTail) + 7) / 8 * 8;
			if (coder.tail < bytes || coder.tail > bytes + 3 || coder.tail % 4 != 0 ||
				coder.stride % 8 != 0 || coder.stride < least ||
				(coder.stride != least && coder.stride % 64 != 0) ||
				16 * (coder.stride - least) >= least ||
				(coder.stride % 64 != 0 && 16 * ((least + 63) / 64 * 64 - least) < least - 15))
				CHECK(coder.dim == dim && !"tail and stride");
		}
}

/* ---- the rotation ---- */

static void
check_matrix(uint32_t dim)
{
	float	   *matrix = calloc((size_t) dim * dim, sizeof(float));
	double		worst = 0;
	double		largest = 0;

	for (uint32_t i = 0; i < dim; i++)
	{
		matrix[(size_t) i * dim + i] = 1;
		gm_code_rotate(matrix + (size_t) i * dim, dim);
	}
	for (uint32_t i = 0; i < dim; i++)
		for (uint32_t j = 0; j <= i; j++)
			worst = fmax(worst, fabs(product(matrix + (size_t) i * dim,
											 matrix + (size_t) j * dim, dim) - (i == j)));
	for (size_t i = 0; i < (size_t) dim * dim; i++)
		largest = fmax(largest, fabs(matrix[i]));
	if (!CHECK(worst < 4e-6) || !CHECK(largest <= fmin(1, 6 / sqrt(dim))))
		printf("# above: dim %u, %g, %g\n", dim, worst, largest * sqrt(dim));
	free(matrix);
}

static void
test_rotation(void)
{
	static const uint32_t large[] = {512, 768, 1023, 1024, 1025, 1536, 3072, 16000};

	for (uint32_t dim = 1; dim <= 130; dim++)
		check_matrix(dim);
	check_matrix(300);
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
	{
		uint32_t	dim = large[i];
		float	   *v = calloc(4 * (size_t) dim, sizeof(float));
		float	   *a = v,
				   *b = v + dim,
				   *c = v + 2 * (size_t) dim;
		double		aa,
					ab,
					bb,
					largest = 0;

		for (uint32_t j = 0; j < dim; j++)
		{
			a[j] = (float) gauss();
			b[j] = (float) (a[j] + gauss());
		}
		c[unit_random_below(dim)] = 1;
		aa = product(a, a, dim);
		ab = product(a, b, dim);
		bb = product(b, b, dim);
		gm_code_rotate(a, dim);
		gm_code_rotate(b, dim);
		gm_code_rotate(c, dim);
		for (uint32_t j = 0; j < dim; j++)
			largest = fmax(largest, fabs(c[j]));
		CHECK_NEAR(product(a, a, dim), aa, 1e-5 * aa);
		CHECK_NEAR(product(b, b, dim), bb, 1e-5 * bb);
		CHECK_NEAR(product(a, b, dim), ab, 1e-5 * bb);
		CHECK_NEAR(product(c, c, dim), 1, 1e-5);
		CHECK(largest < 7 / sqrt(dim));
		free(v);
	}
}

/* what one process stored another one must find again */
static void
test_rotation_is_fixed(void)
{
	float		v[300];
	GmCoder		coder;
	int8_t		code[512];
	float		work[300];
	uint32_t	hash = 0;

	memset(v, 0, sizeof(v));
	v[0] = 1;
	v[299] = 2;
	gm_coder_init(&coder, 300, GM_METRIC_L2, GM_CODE_INT8);
	gm_code_encode(&coder, v, 1, work, code);
	for (uint32_t i = 0; i < 300; i++)
		hash = hash * 31 + (uint8_t) code[i];
	if (!CHECK(hash == 1540992704))
		printf("# %u\n", hash);
}

/* ---- binary16 ---- */

/* IEEE 754, by the book */
static double
value_of_half(uint32_t half)
{
	double		sign = half & 0x8000 ? -1 : 1;
	uint32_t	exponent = half >> 10 & 31;
	uint32_t	fraction = half & 1023;

	if (exponent == 0)
		return sign * ldexp(fraction, -24);
	return sign * ldexp(fraction + 1024, (int) exponent - 25);
}

/* halves in order of their values: is this the nearest, or the even one of two? */
static bool
is_nearest(float x, uint32_t half)
{
	uint32_t	magnitude = half & 0x7fff;
	double		v = fabs((double) x);
	double		off;

	if ((half >> 15 != 0) != (signbit(x) != 0))
		return false;
	if (magnitude >= 0x7c00)
		return magnitude == 0x7c00 && v >= 65520;
	off = fabs(fabs(value_of_half(half)) - v);
	/* 0x7c00, were it a number, would be 2^16 */
	for (int step = -1; step <= 1; step += 2)
	{
		double		other;

		if (step < 0 && magnitude == 0)
			continue;
		other = fabs(value_of_half((uint32_t) ((int) magnitude + step)) - v);
		if (other < off || (other == off && magnitude % 2 == 1))
			return false;
	}
	return true;
}

static float
float_of_bits(uint32_t bits)
{
	float		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

static void
test_f16(void)
{
	enum { N = 200003 };
	float	   *x = malloc(N * sizeof(float));
	uint16_t   *half = malloc(N * sizeof(uint16_t));

	for (uint32_t h = 0; h < 65536; h++)
		if ((h >> 10 & 31) != 31 &&
			(gm_code_from_f16((uint16_t) h) != value_of_half(h) ||
			 (signbit(gm_code_from_f16((uint16_t) h)) != 0) != (h >> 15 != 0)))
			CHECK(!"from_f16");
	for (uint32_t i = 0; i < N; i++)
	{
		uint32_t	kind = i % 4;

		if (kind == 0)			/* a half, and around it */
			x[i] = (float) value_of_half(unit_random_below(0x7c00) | (i & 8) << 12);
		else if (kind == 1)		/* between two of them */
		{
			uint32_t	h = unit_random_below(0x7bff);

			x[i] = (float) ((value_of_half(h) + value_of_half(h + 1)) / 2);
			if (i & 8)
				x[i] = nextafterf(x[i], i & 16 ? 1e9f : 0.0f);
			if (i & 32)
				x[i] = -x[i];
		}
		else if (kind == 2)		/* any bits that are a number */
			do
				x[i] = float_of_bits((uint32_t) unit_random());
			while (!isfinite(x[i]));
		else
			x[i] = (float) (2 * unit_random_double() - 1);
	}
	x[0] = 65519.99f;
	x[1] = 65520;
	x[2] = INFINITY;
	x[3] = -INFINITY;
	for (size_t s = 0; s < n_sets; s++)
	{
		uint32_t	wrong = 0;

		sets[s]->to_f16(x, half, N);
		for (uint32_t i = 0; i < N; i++)
			if (!is_nearest(x[i], half[i]) && wrong++ < 5)
				printf("# %s: %a to %04x\n", sets[s]->name, x[i], half[i]);
		CHECK(wrong == 0);
		/* and no more than asked for */
		for (uint32_t n = 0; n <= 70; n++)
		{
			uint16_t	few[80];

			memset(few, 0x55, sizeof(few));
			sets[s]->to_f16(x + n, few, n);
			CHECK(memcmp(few, half + n, n * sizeof(uint16_t)) == 0);
			CHECK(few[n] == 0x5555 && few[n + 1] == 0x5555);
		}
	}
	free(x);
	free(half);
}

/* ---- kernels ---- */

typedef enum Fill
{
	UNIFORM,
	LARGEST,					/* sums as large as they become */
	OPPOSITE,
	ALTERNATING,
	N_FILLS
} Fill;

static double
element_of(Fill how, uint32_t i, bool query)
{
	switch (how)
	{
		case LARGEST:
			return 1;
		case OPPOSITE:
			return query ? 1 : -1;
		case ALTERNATING:
			return (i & 1) != 0 ? 1 : -1;
		default:
			return 2 * unit_random_double() - 1;
	}
}

static void
fill_code(const GmCoder *coder, Fill how, void *code)
{
	GmCodeTail	tail = {1, 0};

	memset(code, 0, coder->stride);
	for (uint32_t i = 0; i < coder->dim; i++)
	{
		double		x = element_of(how, i, false);

		if (coder->kind == GM_CODE_INT8)
			((int8_t *) code)[i] = (int8_t) lrint(127 * x);
		else if (coder->kind == GM_CODE_NONE)
			((float *) code)[i] = (float) x;
		else
		{
			float		f = (float) x;

			gm_code_scalar.to_f16(&f, (uint16_t *) code + i, 1);
		}
	}
	memcpy((char *) code + coder->tail, &tail, sizeof(tail));
}

static void
fill_query(GmQuery *query, Fill how)
{
	query->sum = 0;
	for (uint32_t i = 0; i < query->coder->dim; i++)
	{
		double		x = element_of(how, i, true);

		if (query->coder->kind == GM_CODE_INT8)
			query->sum += ((int8_t *) query->element)[i] = (int8_t) lrint(127 * x);
		else
			((float *) query->element)[i] = (float) x;
	}
}

/* *magnitude: of the terms */
static double
exact_dot(const GmQuery *query, const void *code, double *magnitude)
{
	long double sum = 0;
	long double terms = 0;

	for (uint32_t i = 0; i < query->coder->dim; i++)
	{
		double		p;

		if (query->coder->kind == GM_CODE_INT8)
			p = ((int8_t *) query->element)[i] * ((const int8_t *) code)[i];
		else if (query->coder->kind == GM_CODE_NONE)
			p = (double) ((float *) query->element)[i] * ((const float *) code)[i];
		else
			p = ((float *) query->element)[i] * value_of_half(((const uint16_t *) code)[i]);
		sum += p;
		terms += fabs(p);
	}
	*magnitude = (double) terms;
	return (double) sum;
}

static void
run_kernel(const GmCodeKernels *set, const GmQuery *query, const void *const *code, uint32_t n,
		   float *dot)
{
	if (query->coder->kind == GM_CODE_INT8)
		set->int8(query, code, n, dot);
	else if (query->coder->kind == GM_CODE_F16)
		set->f16(query, code, n, dot);
	else
		set->f32(query, code, n, dot);
}

#define MOST_CODES	11

/*
 * The codes stand one behind the other: the first at the front fence, the last
 * so far from the other that GM_CODE_SLACK bytes are left, full of ones: NaN.
 */
static void
check_kernels(GmCoder *coder, Fill how)
{
	size_t		code_bytes = coder->tail + sizeof(GmCodeTail);
	Fenced		f = fenced_alloc(MOST_CODES * coder->stride + GM_CODE_SLACK);
	char	   *last = f.end - code_bytes - GM_CODE_SLACK;
	GmQuery    *query = gm_query_init(coder, aligned(gm_query_bytes(coder)));
	const void *code[MOST_CODES];
	double		want[MOST_CODES];
	double		magnitude[MOST_CODES];
	char	   *one = malloc(coder->stride);

	memset(f.start, 0xff, (size_t) (f.end - f.start));
	fill_query(query, how);
	for (uint32_t c = 0; c < MOST_CODES; c++)
	{
		char	   *at = c == MOST_CODES - 1 ? last : f.start + c * coder->stride;

		fill_code(coder, how, one);
		if (at < last && at + code_bytes > last)
			at = f.start;		/* a page is not long enough for all of them */
		memcpy(at, one, code_bytes);
		code[c] = at;
	}
	for (uint32_t c = 0; c < MOST_CODES; c++)
		want[c] = exact_dot(query, code[c], &magnitude[c]);
	for (size_t s = 0; s < n_sets; s++)
		for (uint32_t n = 0; n <= MOST_CODES; n++)
		{
			float		dot[MOST_CODES + 1];
			uint32_t	first = MOST_CODES - n;
			bool		ok = true;

			dot[n] = 12345;
			run_kernel(sets[s], query, code + first, n, dot);
			ok &= CHECK(dot[n] == 12345);
			for (uint32_t c = 0; c < n; c++)
			{
				float		alone;

				run_kernel(sets[s], query, code + first + c, 1, &alone);
				ok &= CHECK(memcmp(&alone, &dot[c], sizeof(alone)) == 0);
				if (coder->kind == GM_CODE_INT8)
					ok &= CHECK(dot[c] == (float) want[first + c]);
				else
					ok &= CHECK_NEAR(dot[c], want[first + c],
									 FLOAT_TOLERANCE(coder->dim, magnitude[first + c]));
			}
			if (!ok)
				printf("# above: %s, kind %d, dim %u, fill %d, %u codes\n", sets[s]->name,
					   (int) coder->kind, coder->dim, (int) how, n);
		}
	free(one);
	free(query);
	fenced_free(&f);
}

static void
test_kernels(void)
{
	for (size_t k = 0; k < 3; k++)
		for (uint32_t i = 0; i < N_DIMS; i++)
			for (Fill how = 0; how < N_FILLS; how++)
			{
				GmCoder		coder;

				gm_coder_init(&coder, dim_of_case(i), GM_METRIC_IP, all_kinds[k]);
				check_kernels(&coder, how);
			}
}

/* ---- distances ---- */

typedef enum Shape
{
	PLAIN,
	HEAVY,						/* a few elements hold nearly all */
	COMMON_MEAN,				/* much larger than what differs; is the centre */
	OFF_CENTRE,					/* the centre is none of theirs */
	NEAR_PAIRS,
	HUGE_ONES,					/* dot(v, v) near FLT_MAX / 4 */
	OPPOSITE_TO_CENTRE,			/* and that huge, too */
	TINY,						/* squares are below FLT_MIN */
	UNEQUAL,					/* one huge, one tiny */
	IS_CENTRE,					/* one of them */
	N_SHAPES
} Shape;

typedef struct Pair
{
	uint32_t	dim;
	float	   *q,
			   *x,
			   *centre;
	bool		has_centre;
	float		q_scale,
				x_scale;
} Pair;

static void
stretch(float *v, uint32_t dim, double square)
{
	double		by = sqrt(square / product(v, v, dim));

	for (uint32_t i = 0; i < dim; i++)
		v[i] = (float) (v[i] * by);
}

static void
make_pair(Pair *p, Shape shape, GmMetric metric)
{
	uint32_t	dim = p->dim;

	p->has_centre = shape != PLAIN && shape != HEAVY &&
		shape != TINY && shape != UNEQUAL;
	for (uint32_t i = 0; i < dim; i++)
	{
		double		mean = shape == COMMON_MEAN ? 30 + gauss() : 0;
		double		by = shape == HEAVY ? exp(3 * gauss()) : shape == TINY ? 1e-21 : 1;

		p->q[i] = (float) (mean + by * gauss());
		p->x[i] = (float) (shape == NEAR_PAIRS || shape == TINY || shape == UNEQUAL ?
						   p->q[i] + 0.1 * by * gauss() : mean + by * gauss());
		p->centre[i] = (float) (shape == COMMON_MEAN ? mean : gauss() / 4);
	}
	if (shape == HUGE_ONES || shape == OPPOSITE_TO_CENTRE)
	{
		if (shape == OPPOSITE_TO_CENTRE)
			for (uint32_t i = 0; i < dim; i++)
			{
				p->centre[i] = p->q[i];
				p->q[i] = p->x[i] = -p->q[i];
			}
		stretch(p->q, dim, 0.99 * FLT_MAX / 4);
		stretch(p->x, dim, 0.99 * FLT_MAX / 4);
		stretch(p->centre, dim, 0.99 * FLT_MAX / 4);
	}
	if (shape == UNEQUAL)
		for (uint32_t i = 0; i < dim; i++)
		{
			p->q[i] *= 1e15f;
			p->x[i] *= 1e-25f;
		}
	p->q_scale = p->x_scale = 1;
	if (metric == GM_METRIC_COSINE)
	{
		p->q_scale = (float) (1 / sqrt(product(p->q, p->q, dim)));
		p->x_scale = (float) (1 / sqrt(product(p->x, p->x, dim)));
		/* a centre of normalised vectors */
		stretch(p->centre, dim, shape == COMMON_MEAN ? 0.998 : shape == OFF_CENTRE ? 0.3 : 0.9);
	}
	if (shape == IS_CENTRE)
		for (uint32_t i = 0; i < dim; i++)
			p->centre[i] = p->x[i] * p->x_scale;
}

/* in long double, of the pair as it is given */
typedef struct Truth
{
	double		distance;		/* l2: the square */
	double		apart;			/* |q - x| */
	double		q_length,		/* of what is left */
				x_length;
	double		all;			/* |q| + |x| + |c| */
	double		products;		/* (|q| + |c|) (|x| + |c|) */
} Truth;

static Truth
truth_of(const Pair *p, GmMetric metric)
{
	long double dot = 0,
				apart = 0,
				qq = 0,
				xx = 0,
				q_all = 0,
				x_all = 0,
				c_all = 0;
	Truth		t;

	for (uint32_t i = 0; i < p->dim; i++)
	{
		long double q = (long double) p->q[i] * p->q_scale;
		long double x = (long double) p->x[i] * p->x_scale;
		long double c = p->has_centre ? p->centre[i] : 0;

		dot += q * x;
		apart += (q - x) * (q - x);
		qq += (q - c) * (q - c);
		xx += (x - c) * (x - c);
		q_all += q * q;
		x_all += x * x;
		c_all += c * c;
	}
	t.distance = (double) (metric == GM_METRIC_L2 ? apart :
						   metric == GM_METRIC_IP ? -dot : 1 - dot);
	t.apart = (double) sqrtl(apart);
	t.q_length = (double) sqrtl(qq);
	t.x_length = (double) sqrtl(xx);
	t.all = (double) (sqrtl(q_all) + sqrtl(x_all) + sqrtl(c_all));
	t.products = (double) ((sqrtl(q_all) + sqrtl(c_all)) * (sqrtl(x_all) + sqrtl(c_all)));
	return t;
}

/* the length of what rounding to the nearest level takes or adds, at most */
static double
most_error(const GmCoder *coder, double scale, double length, bool stored)
{
	if (coder->kind == GM_CODE_INT8)
		return sqrt(coder->dim) * scale * (0.5 + 1e-4);
	if (coder->kind == GM_CODE_F16 && stored)
		return 1.01 * (length * 0x1p-11 + sqrt(coder->dim) * scale * 0x1p-25);
	return 0;
}

/*
 * What float arithmetic adds, of normalising, subtracting, rotating and of the
 * last sums; numbers below FLT_MIN lose bits.
 */
static double
arithmetic(const GmCoder *coder, const Truth *t)
{
	double		left = t->q_length + t->x_length;
	double		by_dim = coder->kind == GM_CODE_INT8 ? 60 : 8 + coder->dim / 8;
	double		off;

	if (coder->metric == GM_METRIC_IP)
		off = by_dim * t->q_length * t->x_length + 16 * t->products;
	else
		off = by_dim * left * left + 8 * t->all * left;
	if (coder->metric == GM_METRIC_COSINE)
		off += 8;
	return U * off + (coder->dim + 8) * 0x1p-149;
}

static double
bound_of(const GmCoder *coder, const Truth *t, double q_error, double x_error)
{
	if (coder->metric == GM_METRIC_IP)
		return t->q_length * x_error + t->x_length * q_error + q_error * x_error +
			arithmetic(coder, t);
	return (coder->metric == GM_METRIC_L2 ? 2 : 1) *
		(t->apart * (q_error + x_error) + q_error * x_error + arithmetic(coder, t));
}

typedef struct Bench
{
	GmCoder		coder;
	GmQuery    *query;
	float	   *work;
	char	   *code,
			   *other;
} Bench;

static void
bench_init(Bench *b, const Pair *p, GmMetric metric, GmCodeKind kind)
{
	gm_coder_init(&b->coder, p->dim, metric, kind);
	gm_coder_centre(&b->coder, p->has_centre ? p->centre : NULL);
	b->query = gm_query_init(&b->coder, aligned(gm_query_bytes(&b->coder)));
	b->work = malloc(p->dim * sizeof(float));
	b->code = aligned(b->coder.stride + GM_CODE_SLACK);
	b->other = aligned(b->coder.stride + GM_CODE_SLACK);
	gm_code_encode(&b->coder, p->x, p->x_scale, b->work, b->code);
	gm_code_encode(&b->coder, p->q, p->q_scale, b->work, b->other);
}

static void
bench_free(Bench *b)
{
	free(b->query);
	free(b->work);
	free(b->code);
	free(b->other);
}

/* where product and difference are rounded once, what the product lost is left */
static bool
check_nothing_left(const Bench *b, GmMetric metric)
{
	double		most = 0;

	if (metric == GM_METRIC_COSINE)
	{
		for (uint32_t i = 0; i < b->coder.dim; i++)
			most = fmax(most, fabs(b->coder.centre[i]));
		if (b->coder.kind == GM_CODE_NONE)
			return true;		/* scale is 1 */
	}
	return CHECK(gm_code_tail(&b->coder, b->code)->scale <= U * most);
}

static void
check_distance(Pair *p, Shape shape, GmMetric metric, GmCodeKind kind)
{
	Bench		b;
	Truth		t;
	float		distance;
	double		x_error,
				q_error,
				q_stored;
	bool		ok;

	make_pair(p, shape, metric);
	bench_init(&b, p, metric, kind);
	t = truth_of(p, metric);
	x_error = most_error(&b.coder, gm_code_tail(&b.coder, b.code)->scale, t.x_length, true);
	q_error = most_error(&b.coder, gm_code_tail(&b.coder, b.other)->scale, t.q_length, false);
	q_stored = most_error(&b.coder, gm_code_tail(&b.coder, b.other)->scale, t.q_length, true);

	gm_query_vector(b.query, p->q, p->q_scale);
	distance = gm_query_one(b.query, b.code);
	ok = CHECK_NEAR(distance, t.distance, bound_of(&b.coder, &t, q_error, x_error));
	gm_query_code(b.query, b.other);
	distance = gm_query_one(b.query, b.code);
	ok &= CHECK_NEAR(distance, t.distance, bound_of(&b.coder, &t, q_stored, x_error));
	gm_query_code(b.query, b.code);
	ok &= CHECK_NEAR(gm_query_one(b.query, b.other), distance,
					 (metric == GM_METRIC_L2 ? 2 : 1) * arithmetic(&b.coder, &t));
	if (shape == IS_CENTRE)
		ok &= check_nothing_left(&b, metric);
	if (!ok)
		printf("# above: %s, kind %d, metric %d, dim %u, shape %d\n", gm_code.name, (int) kind,
			   (int) metric, p->dim, (int) shape);
	bench_free(&b);
}

static void
check_distances(uint32_t dim)
{
	Pair		p = {.dim = dim};

	p.q = malloc(dim * sizeof(float));
	p.x = malloc(dim * sizeof(float));
	p.centre = malloc(dim * sizeof(float));
	for (size_t k = 0; k < 3; k++)
		for (size_t m = 0; m < 3; m++)
			for (Shape shape = 0; shape < N_SHAPES; shape++)
				check_distance(&p, shape, all_metrics[m], all_kinds[k]);
	free(p.q);
	free(p.x);
	free(p.centre);
}

static void
test_distances(void)
{
	for (size_t s = 0; s < n_sets; s++)
	{
		gm_code = *sets[s];
		for (uint32_t i = 0; i < N_DIMS; i++)
			check_distances(dim_of_case(i));
	}
}

/*
 * The errors of many pairs on the average: those of a level's width, spread
 * evenly, along the line between the two.  The worst case is sqrt(dim) times
 * that, so the other test would not see it if errors went one way.
 */
static void
check_average(uint32_t dim, Shape shape, GmMetric metric)
{
	enum { PAIRS = 400 };
	Pair		p = {.dim = dim};
	double		sum = 0,
				squares = 0;

	p.q = malloc(dim * sizeof(float));
	p.x = malloc(dim * sizeof(float));
	p.centre = malloc(dim * sizeof(float));
	for (uint32_t i = 0; i < PAIRS; i++)
	{
		Bench		b;
		Truth		t;
		double		off,
					expected,
					q_level,
					x_level;

		make_pair(&p, shape, metric);
		bench_init(&b, &p, metric, GM_CODE_INT8);
		t = truth_of(&p, metric);
		gm_query_vector(b.query, p.q, p.q_scale);
		off = gm_query_one(b.query, b.code) - t.distance;
		q_level = gm_code_tail(&b.coder, b.other)->scale;
		x_level = gm_code_tail(&b.coder, b.code)->scale;
		if (metric == GM_METRIC_IP)
			expected = (pow(t.x_length * q_level, 2) + pow(t.q_length * x_level, 2)) / 12;
		else
			expected = (metric == GM_METRIC_L2 ? 4 : 1) *
				t.apart * t.apart * (q_level * q_level + x_level * x_level) / 12;
		/* nearly equal ones err alike: the product of their errors is not by chance */
		expected += pow(dim * q_level * x_level / 12, 2);
		sum += off / sqrt(expected);
		squares += off * off / expected;
		bench_free(&b);
	}
	if (!CHECK(sqrt(squares / PAIRS) < (shape == HEAVY ? 1.5 : 1.2)) || !CHECK(fabs(sum) < 4.5 * sqrt(PAIRS)))
		printf("# above: dim %u, shape %d, metric %d: %g, mean %g\n", dim, (int) shape,
			   (int) metric, sqrt(squares / PAIRS), sum / PAIRS);
	free(p.q);
	free(p.x);
	free(p.centre);
}

static void
test_average(void)
{
	static const uint32_t dims[] = {64, 100, 300, 768};
	static const Shape shapes[] = {PLAIN, HEAVY, COMMON_MEAN, OFF_CENTRE, NEAR_PAIRS};

	for (size_t d = 0; d < 4; d++)
		for (size_t s = 0; s < 5; s++)
			for (size_t m = 0; m < 3; m++)
				check_average(dims[d], shapes[s], all_metrics[m]);
}

/* bytes that are stored and compared: all of them are decided */
static void
test_padding(void)
{
	for (size_t k = 0; k < 3; k++)
		for (uint32_t dim = 1; dim <= 130; dim++)
		{
			GmCoder		coder;
			float		v[130];
			float		work[130];
			char		code[2][1024];

			for (uint32_t i = 0; i < dim; i++)
				v[i] = (float) gauss();
			gm_coder_init(&coder, dim, GM_METRIC_L2, all_kinds[k]);
			for (int i = 0; i < 2; i++)
			{
				memset(code[i], i == 0 ? 0 : 0xff, sizeof(code[i]));
				gm_code_encode(&coder, v, 1, work, code[i]);
			}
			CHECK(memcmp(code[0], code[1], coder.stride) == 0);
			CHECK(memcmp(code[0] + coder.stride, code[1] + coder.stride, 1) != 0);
		}
}

/* gm_query_many is gm_query_one several times */
static void
test_many(void)
{
	for (size_t k = 0; k < 3; k++)
		for (uint32_t n = 0; n <= 40; n++)
		{
			uint32_t	dim = 1 + unit_random_below(400);
			GmCoder		coder;
			float	   *v = malloc(dim * sizeof(float));
			float	   *work = malloc(dim * sizeof(float));
			char	   *codes;
			GmQuery    *query;
			const void *code[40];
			float		distance[41];

			gm_coder_init(&coder, dim, all_metrics[n % 3], all_kinds[k]);
			codes = aligned(40 * (size_t) coder.stride + GM_CODE_SLACK);
			query = gm_query_init(&coder, aligned(gm_query_bytes(&coder)));
			for (uint32_t c = 0; c <= n && c < 41; c++)
			{
				for (uint32_t i = 0; i < dim; i++)
					v[i] = (float) gauss();
				if (c == n)
					break;
				code[c] = codes + c * coder.stride;
				gm_code_encode(&coder, v, 0.1f, work, codes + c * coder.stride);
			}
			gm_query_vector(query, v, 0.1f);
			distance[n] = 12345;
			gm_query_many(query, code, n, distance);
			CHECK(distance[n] == 12345);
			for (uint32_t c = 0; c < n; c++)
				CHECK(gm_query_one(query, code[c]) == distance[c]);
			free(v);
			free(work);
			free(codes);
			free(query);
		}
}

static bool
runs(const GmCodeKernels *set)
{
	for (size_t s = 0; s < n_sets; s++)
		if (sets[s] == set)
			return true;
	return false;
}

static bool
is_set(const GmCodeKernels *set)
{
	return strcmp(gm_code.name, set->name) == 0 && gm_code.int8 == set->int8 &&
		gm_code.f16 == set->f16 && gm_code.f32 == set->f32 && gm_code.to_f16 == set->to_f16;
}

static void
test_choose(void)
{
	find_sets();
	for (size_t s = 0; s < n_sets; s++)
		printf("# runs %s\n", sets[s]->name);
	CHECK(gm_vec_choose(GM_SIMD_SCALAR));
	CHECK(is_set(&gm_code_scalar));
	for (GmSimd which = GM_SIMD_SCALAR; which <= GM_SIMD_NEON; which++)
	{
		CHECK(gm_vec_choose(GM_SIMD_SCALAR));
		CHECK((gm_code_kernels(which) != NULL) == (gm_vec_kernels(which) != NULL));
		if (gm_vec_choose(which))
			CHECK(runs(gm_code_kernels(which)) && is_set(gm_code_kernels(which)));
		else
			CHECK(is_set(&gm_code_scalar));
	}
#ifdef GM_VEC_X86
	if (gm_vec_choose(GM_SIMD_AVX2))
		CHECK(is_set(runs(&gm_code_avx2) ? &gm_code_avx2 : &gm_code_scalar));
	if (gm_vec_choose(GM_SIMD_AVX512) && runs(&gm_code_avx512))
		CHECK(is_set(runs(&gm_code_vnni) ? &gm_code_vnni : &gm_code_avx512));
#endif
	/* the last of the sets is the best */
	CHECK(gm_vec_choose(GM_SIMD_AUTO));
	CHECK(is_set(sets[n_sets - 1]));
}

UNIT_MAIN(UNIT(test_choose),
		  UNIT(test_coder),
		  UNIT(test_rotation),
		  UNIT(test_rotation_is_fixed),
		  UNIT(test_f16),
		  UNIT(test_kernels),
		  UNIT(test_distances),
		  UNIT(test_average),
		  UNIT(test_padding),
		  UNIT(test_many))
