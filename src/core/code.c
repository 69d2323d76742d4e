/*-------------------------------------------------------------------------
 *
 * code.c
 *	  Codes of vectors and distances between them; see code.h.
 *
 * Sums over elements that decide about a code are in double and in one order,
 * so that a vector's code is the same whichever kernels are in use.
 *
 *-------------------------------------------------------------------------
 */
#include "core/code.h"

#include <math.h>
#include <string.h>

#include "core/code_private.h"

#define LEVELS			127
#define ROUNDS			3
#define ALIGNMENT		64

/*
 * What is left of a vector and is nowhere larger than this counts as nothing:
 * its scale and the reciprocal of that would leave the range of floats.
 */
#define LEAST			0x1p-110f

/* Adding and subtracting it rounds to a whole number, to nearest even. */
#define TO_WHOLE		0x1.8p23f

/* Four elements; the compiler maps it to what the machine has. */
typedef float Four __attribute__((vector_size(16)));
typedef uint32_t Bits4 __attribute__((vector_size(16)));
typedef int32_t Int4 __attribute__((vector_size(16)));

#define LANES			4
#define INLINE			static inline __attribute__((always_inline))

#ifdef __clang__
#define SHUFFLE(v, ...) __builtin_shufflevector(v, v, __VA_ARGS__)
#else
#define SHUFFLE(v, ...) __builtin_shuffle(v, (Int4) {__VA_ARGS__})
#endif

static size_t
round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

INLINE Four
load(const float *p)
{
	Four		v;

	memcpy(&v, p, sizeof(v));
	return v;
}

INLINE void
store(float *p, Four v)
{
	memcpy(p, &v, sizeof(v));
}

/* ---- the coder ---- */

static uint32_t
element_bytes(GmCodeKind kind)
{
	return kind == GM_CODE_INT8 ? sizeof(int8_t) :
		kind == GM_CODE_F16 ? sizeof(uint16_t) : sizeof(float);
}

void
gm_coder_init(GmCoder *coder, uint32_t dim, GmMetric metric, GmCodeKind kind)
{
	size_t		tail = round_up((size_t) dim * element_bytes(kind), sizeof(float));
	size_t		stride = round_up(tail + sizeof(GmCodeTail), 8);
	size_t		lines = round_up(stride, 64);

	*coder = (GmCoder) {
		.dim = dim,
		.metric = metric,
		.kind = kind,
		.tail = (uint32_t) tail,
		.stride = (uint32_t) (lines - stride < stride / 16 ? lines : stride),
	};
}

static double
product(const float *a, const float *b, uint32_t dim)
{
	double		sum[LANES] = {0};
	uint32_t	i = 0;

	for (; dim - i >= LANES; i += LANES)
		for (int j = 0; j < LANES; j++)
			sum[j] += (double) a[i + j] * b[i + j];
	for (; i < dim; i++)
		sum[0] += (double) a[i] * b[i];
	return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void
gm_coder_centre(GmCoder *coder, const float *centre)
{
	coder->centre = centre;
	coder->centre_square = centre == NULL ? 0 : product(centre, centre, coder->dim);
}

/* ---- rotation ---- */

/* Steele, Lea and Flood, OOPSLA 2014: the generator's output number n + 1 */
static uint64_t
random_bits(uint64_t n)
{
	uint64_t	x = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

#define SIGN_BIT		UINT32_C(0x80000000)
#define SIGNS			128		/* from four words */
#define MOST_SIGNS		(GM_VEC_MAX_DIM / SIGNS + 1)

/* the two steps inside of four neighbours, and the norm */
INLINE Four
within(Four v, float norm)
{
	const Bits4 odd = {0, SIGN_BIT, 0, SIGN_BIT};
	const Bits4 upper = {0, 0, SIGN_BIT, SIGN_BIT};

	v *= norm;
	v = SHUFFLE(v, 1, 0, 3, 2) + (Four) ((Bits4) v ^ odd);
	return SHUFFLE(v, 2, 3, 0, 1) + (Four) ((Bits4) v ^ upper);
}

/* two steps at once, of elements h and 2h apart */
INLINE void
across(float *x, uint32_t h)
{
	Four		a = load(x);
	Four		b = load(x + h);
	Four		c = load(x + 2 * h);
	Four		d = load(x + 3 * h);
	Four		ab = a + b;
	Four		cd = c + d;
	Four		a_b = a - b;
	Four		c_d = c - d;

	store(x, ab + cd);
	store(x + h, a_b + c_d);
	store(x + 2 * h, ab - cd);
	store(x + 3 * h, a_b - c_d);
}

/*
 * Random signs, the norm and the steps inside of four neighbours.  Element j of
 * a block of SIGNS takes bit 31 - j / 4 of word j % 4.
 */
static void
begin_round(float *x, uint32_t n, uint32_t series, float norm)
{
	for (uint32_t start = 0; start < n; start += SIGNS)
	{
		uint64_t	at = 2 * ((uint64_t) series * MOST_SIGNS + start / SIGNS);
		uint64_t	low = random_bits(at);
		uint64_t	high = random_bits(at + 1);
		Bits4		word = {(uint32_t) low, (uint32_t) (low >> 32),
		(uint32_t) high, (uint32_t) (high >> 32)};
		uint32_t	end = n - start < SIGNS ? n : start + SIGNS;

		for (uint32_t i = start; i < end; i += LANES, word <<= 1)
			store(x + i, within((Four) ((Bits4) load(x + i) ^ (word & SIGN_BIT)), norm));
	}
}

/* the same for one or two elements */
static void
small_round(float *x, uint32_t n, uint32_t series, float norm)
{
	uint64_t	bits = random_bits(2 * (uint64_t) series * MOST_SIGNS);
	float		a = bits & 1 ? -x[0] : x[0];

	if (n == 2)
	{
		float		b = bits & 2 ? -x[1] : x[1];

		x[0] = (a + b) * norm;
		x[1] = (a - b) * norm;
	}
	else
		x[0] = a;
}

/* n = 2^k elements: random signs, then a matrix of entries +-1 / sqrt(n) */
static void
mix(float *x, uint32_t n, uint32_t series)
{
	float		norm = (float) sqrt(1.0 / n);
	uint32_t	h;

	if (n < LANES)
	{
		small_round(x, n, series, norm);
		return;
	}
	begin_round(x, n, series, norm);
	for (h = LANES; 4 * h <= n; h *= 4)
		for (uint32_t i = 0; i < n; i += 4 * h)
			for (uint32_t j = i; j < i + h; j += LANES)
				across(x + j, h);
	if (h == n)
		return;
	for (uint32_t i = 0; i < h; i += LANES)
	{
		Four		a = load(x + i);
		Four		b = load(x + h + i);

		store(x + i, a + b);
		store(x + h + i, a - b);
	}
}

void
gm_code_rotate(float *x, uint32_t dim)
{
	uint32_t	n = 1;

	while (2 * n <= dim)
		n *= 2;
	for (uint32_t round = 0; round < ROUNDS; round++)
	{
		mix(x, n, 2 * round);
		if (n < dim)
			mix(x + dim - n, n, 2 * round + 1);
	}
}

/* ---- encoding ---- */

/* what is left of a vector, rotated if the kind wants that */
typedef struct Rest
{
	float	   *x;
	float		most;			/* the largest magnitude */
	double		square;
	double		with_centre;	/* cx; only for inner products */
} Rest;

static float
largest(const float *x, uint32_t dim)
{
	float		most[2 * LANES] = {0};
	uint32_t	i = 0;

	for (; dim - i >= 2 * LANES; i += 2 * LANES)
		for (int j = 0; j < 2 * LANES; j++)
			most[j] = fabsf(x[i + j]) > most[j] ? fabsf(x[i + j]) : most[j];
	for (; i < dim; i++)
		most[0] = fmaxf(most[0], fabsf(x[i]));
	for (int j = 1; j < 2 * LANES; j++)
		most[0] = fmaxf(most[0], most[j]);
	return most[0];
}

static Rest
rest_of(const GmCoder *coder, const float *vector, float scale, float *work)
{
	Rest		rest = {.x = work};

	if (coder->centre == NULL)
		for (uint32_t i = 0; i < coder->dim; i++)
			work[i] = vector[i] * scale;
	else
	{
		for (uint32_t i = 0; i < coder->dim; i++)
			work[i] = vector[i] * scale - coder->centre[i];
		/* scale is 1 here */
		if (coder->metric == GM_METRIC_IP)
			rest.with_centre = product(vector, coder->centre, coder->dim);
	}
	if (coder->kind == GM_CODE_INT8)
		gm_code_rotate(work, coder->dim);
	rest.most = largest(work, coder->dim);
	rest.square = product(work, work, coder->dim);
	return rest;
}

/*
 * with_stored: the product of what is left and what is stored of it, which is
 * half of |x'|^2 + |y|^2 - |e|^2
 */
static float
offset_of(const GmCoder *coder, const Rest *rest, double with_stored)
{
	if (coder->metric == GM_METRIC_IP)
		return (float) -rest->with_centre;
	return (float) (with_stored - rest->square / 2);
}

/* element * scale is about what is left, which is overwritten; gives the tail */
static GmCodeTail
to_int8(const GmCoder *coder, Rest *rest, int8_t *restrict element)
{
	uint32_t	dim = coder->dim;
	float	   *restrict x = rest->x;
	float		times;
	double		sum[LANES] = {0};
	GmCodeTail	tail;
	uint32_t	i = 0;

	if (!(rest->most >= LEAST))
	{
		memset(element, 0, dim);
		return (GmCodeTail) {0, offset_of(coder, rest, 0)};
	}
	times = LEVELS / rest->most;
	for (; dim - i >= LANES; i += LANES)
	{
		Four		v = load(x + i);
		Four		whole = (v * times + TO_WHOLE) - TO_WHOLE;

		for (int j = 0; j < LANES; j++)
			sum[j] += (double) v[j] * whole[j];
		store(x + i, whole);
	}
	for (; i < dim; i++)
	{
		float		whole = (x[i] * times + TO_WHOLE) - TO_WHOLE;

		sum[0] += (double) x[i] * whole;
		x[i] = whole;
	}
	for (i = 0; i < dim; i++)
		element[i] = (int8_t) x[i];
	tail.scale = rest->most / LEVELS;
	tail.offset = offset_of(coder, rest, ((sum[0] + sum[1]) + (sum[2] + sum[3])) * tail.scale);
	return tail;
}

/* the elements divided by a scale; 0, and all 0, if there is nothing left */
static float
to_unit(const GmCoder *coder, const Rest *rest, float *element)
{
	float		times;

	if (!(rest->most >= LEAST))
	{
		memset(element, 0, coder->dim * sizeof(float));
		return 0;
	}
	times = 1 / rest->most;
	for (uint32_t i = 0; i < coder->dim; i++)
		element[i] = rest->x[i] * times;
	return rest->most;
}

static GmCodeTail
to_f16(const GmCoder *coder, Rest *rest, uint16_t *element)
{
	GmCodeTail	tail;
	double		with_stored = 0;

	tail.scale = to_unit(coder, rest, rest->x);
	gm_code.to_f16(rest->x, element, coder->dim);
	for (uint32_t i = 0; i < coder->dim; i++)
		with_stored += (double) rest->x[i] * gm_code_from_f16(element[i]);
	tail.offset = offset_of(coder, rest, with_stored * tail.scale * tail.scale);
	return tail;
}

static GmCodeTail
to_f32(const GmCoder *coder, const Rest *rest, float *element)
{
	memcpy(element, rest->x, coder->dim * sizeof(float));
	return (GmCodeTail) {rest->most > 0, offset_of(coder, rest, rest->square)};
}

void
gm_code_encode(const GmCoder *coder, const float *vector, float scale, float *work, void *code)
{
	Rest		rest = rest_of(coder, vector, scale, work);
	size_t		used = (size_t) coder->dim * element_bytes(coder->kind);
	GmCodeTail	tail;

	switch (coder->kind)
	{
		case GM_CODE_INT8:
			tail = to_int8(coder, &rest, code);
			break;
		case GM_CODE_F16:
			tail = to_f16(coder, &rest, code);
			break;
		default:
			tail = to_f32(coder, &rest, code);
			break;
	}
	memset((char *) code + used, 0, coder->stride - used);
	memcpy((char *) code + coder->tail, &tail, sizeof(tail));
}

/* ---- queries ---- */

static size_t
query_element_bytes(const GmCoder *coder)
{
	size_t		each = coder->kind == GM_CODE_INT8 ? sizeof(int8_t) : sizeof(float);

	return round_up(coder->dim * each, ALIGNMENT);
}

size_t
gm_query_bytes(const GmCoder *coder)
{
	return round_up(sizeof(GmQuery), ALIGNMENT) + query_element_bytes(coder) +
		coder->dim * sizeof(float);
}

GmQuery *
gm_query_init(const GmCoder *coder, void *memory)
{
	GmQuery    *query = memory;
	size_t		bytes = query_element_bytes(coder);

	*query = (GmQuery) {.coder = coder};
	query->unit = coder->metric == GM_METRIC_L2 ? 2 : 1;
	query->padded = (uint32_t) (coder->kind == GM_CODE_INT8 ? bytes : bytes / sizeof(float));
	query->element = (char *) memory + round_up(sizeof(GmQuery), ALIGNMENT);
	query->work = (float *) ((char *) query->element + bytes);
	memset(query->element, 0, bytes);
	return query;
}

/* the query's own scale and offset, as a code has them */
static void
set_query(GmQuery *query, float scale, double offset)
{
	const GmCoder *coder = query->coder;

	query->factor = -scale;
	query->bias = (float) (coder->metric == GM_METRIC_IP ?
						   coder->centre_square + offset : offset);
	query->sum = 0;
	if (coder->kind == GM_CODE_INT8)
	{
		const int8_t *element = query->element;

		for (uint32_t i = 0; i < query->padded; i++)
			query->sum += element[i];
	}
}

void
gm_query_vector(GmQuery *query, const float *vector, float scale)
{
	const GmCoder *coder = query->coder;
	Rest		rest = rest_of(coder, vector, scale, query->work);
	float		own = 1;

	if (coder->kind == GM_CODE_INT8)
	{
		GmCodeTail	tail = to_int8(coder, &rest, query->element);

		set_query(query, tail.scale, tail.offset);
		return;
	}
	if (coder->kind == GM_CODE_F16)
		own = to_unit(coder, &rest, query->element);
	else
		memcpy(query->element, rest.x, coder->dim * sizeof(float));
	set_query(query, own, offset_of(coder, &rest, rest.square));
}

void
gm_query_code(GmQuery *query, const void *code)
{
	const GmCoder *coder = query->coder;
	const GmCodeTail *tail = gm_code_tail(coder, code);

	if (coder->kind == GM_CODE_F16)
	{
		const uint16_t *from = code;
		float	   *element = query->element;

		for (uint32_t i = 0; i < coder->dim; i++)
			element[i] = gm_code_from_f16(from[i]);
	}
	else
		memcpy(query->element, code, (size_t) coder->dim * element_bytes(coder->kind));
	set_query(query, tail->scale, tail->offset);
}

void
gm_query_many(const GmQuery *query, const void *const *code, uint32_t n, float *distance)
{
	const float unit = query->unit;
	const float bias = query->bias;
	const float factor = query->factor;
	const uint32_t at = query->coder->tail;

	switch (query->coder->kind)
	{
		case GM_CODE_INT8:
			gm_code.int8(query, code, n, distance);
			break;
		case GM_CODE_F16:
			gm_code.f16(query, code, n, distance);
			break;
		default:
			gm_code.f32(query, code, n, distance);
			break;
	}
	for (uint32_t i = 0; i < n; i++)
	{
		GmCodeTail	tail = *(const GmCodeTail *) ((const char *) code[i] + at);

		/* in this order neither a huge nor a tiny scale leaves the range */
		distance[i] = unit * ((bias + tail.offset) + (distance[i] * tail.scale) * factor);
	}
}

float
gm_query_one(const GmQuery *query, const void *code)
{
	float		distance;

	gm_query_many(query, &code, 1, &distance);
	return distance;
}
