/*-------------------------------------------------------------------------
 *
 * fuzz_vectors.c
 *	  Vectors of any bits put into a space, and searched with any bits.
 *
 * The first bytes choose dimension, metric and kernels; then follow floats as
 * they are, each vector's mode saying whether they are the input's bits or
 * small plain numbers.  Some vectors are there when the space is built, others
 * replace them, come or go in a version.
 *
 * What must hold
 *	 refusal	what is refused is exactly what space.h says: an element that is
 *				not finite, a square sum above FLT_MAX / 4, or one too small for
 *				a direction under cosine; summed here in double, with a margin
 *				within which either verdict is right
 *	 search		the rows found are the k nearest by gm_space_distance, in order,
 *				ties by item id, and no distance is NaN
 *	 distance	that of plain double arithmetic, as near as floats can be
 *	 same		what is found by item is bit for bit what was put
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>

#include "core/space.h"
#include "core/vec.h"
#include "fuzz.h"

#define MAX_DIM		40
#define MOST_ROWS	24

typedef struct Vector
{
	bool		there;
	float		v[MAX_DIM];
} Vector;

static uint32_t dim;
static GmMetric metric;

static void
some_vector(Input *in, float *v)
{
	uint32_t	mode = take_below(in, 4);

	memset(v, 0, MAX_DIM * sizeof(float));
	if (mode == 0)
		take_bytes(in, v, dim * sizeof(float));
	for (uint32_t i = 0; i < dim && mode != 0; i++)
		v[i] = mode == 1 ? (float) (int8_t) take_byte(in) / 16 :
			ldexpf((float) (int8_t) take_byte(in), (int) take_below(in, 60) - (mode == 2 ? 60 : 0));
}

static double
dot(const float *a, const float *b)
{
	double		sum = 0;

	for (uint32_t i = 0; i < dim; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

/* -1 must be refused, 1 must not, 0 lies within what float sums may be wrong by */
static int
verdict(const float *v)
{
	double		sum = dot(v, v);

	for (uint32_t i = 0; i < dim; i++)
		if (!isfinite(v[i]))
			return -1;
	if (fabs(sum - FLT_MAX / 4) <= FLT_MAX / 4 * 1e-4)
		return 0;
	if (sum > FLT_MAX / 4)
		return -1;
	if (metric != GM_METRIC_COSINE)
		return 1;
	if (fabs(sum - GM_SPACE_MIN_SQUARE) <= GM_SPACE_MIN_SQUARE * 1e-2)
		return 0;
	return sum < GM_SPACE_MIN_SQUARE ? -1 : 1;
}

static void
check_verdict(const float *v, GmStatus status)
{
	int			want = verdict(v);

	MUST(status == GM_OK || status == GM_BAD_VALUE);
	MUST(want == 0 || (status == GM_OK) == (want > 0));
}

static void
check_distance(const float *query, const float *row, float distance)
{
	double		square = sqrt(dot(query, query)) * sqrt(dot(row, row));
	double		want = -dot(query, row);
	double		off = square * 1e-5 + 1e-17;

	MUST(!isnan(distance));
	if (metric == GM_METRIC_COSINE)
	{
		want = 1 + want / square;
		off = 2e-5;
	}
	if (metric == GM_METRIC_L2)
	{
		double		sum = 0;

		for (uint32_t i = 0; i < dim; i++)
			sum += ((double) query[i] - row[i]) * ((double) query[i] - row[i]);
		want = sqrt(sum);

		/* float squares below 2^-149 are lost */
		off = want * 1e-5 + 1e-20 * dim;
	}
	if (fabs(distance - want) > off)
	{
		fprintf(stderr, "distance %.9g, not %.17g within %.3g\n", distance, want, off);
		MUST(!"distance is near that of doubles");
	}
}

static void
check_rows(const GmSpace *space, const Vector *model)
{
	uint32_t	n = 0;

	for (int i = 0; i < MOST_ROWS; i++)
	{
		uint32_t	row = gm_space_find(space, i * 7);

		n += model[i].there;
		MUST((row != GM_NONE) == model[i].there);
		if (row == GM_NONE)
			continue;
		MUST(gm_space_item_id(space, row) == i * 7);
		MUST(memcmp(gm_space_vector(space, row), model[i].v, dim * sizeof(float)) == 0);
	}
	MUST(space->root->sp_rows == n);
}

static void
search(Input *in, const GmSpace *space)
{
	uint32_t	rows = space->root->sp_rows;
	uint32_t	k = take_below(in, MOST_ROWS + 2);
	uint64_t	allowed = take_byte(in) & 1 ? take_u64(in) : UINT64_MAX;
	uint32_t	found;
	uint32_t	some = 0;
	float		v[MAX_DIM];
	GmSpaceHit	hits[MOST_ROWS];
	GmSpaceQuery query;
	GmStatus	status;

	some_vector(in, v);
	status = gm_space_prepare(space, v, &query);
	check_verdict(v, status);
	if (status != GM_OK)
		return;
	MUST(gm_space_search(space, &query, k, allowed == UINT64_MAX ? NULL : &allowed, NULL, hits,
						 &found) == GM_OK);
	for (uint32_t row = 0; row < rows; row++)
	{
		float		distance = gm_space_distance(space, &query, row);
		uint32_t	before = 0;

		check_distance(v, gm_space_vector(space, row), distance);
		if ((allowed >> row & 1) == 0)
			continue;
		some++;
		for (uint32_t other = 0; other < rows; other++)
		{
			float		d = gm_space_distance(space, &query, other);

			before += (allowed >> other & 1) != 0 && (d < distance ||
				(d == distance && gm_space_item_id(space, other) < gm_space_item_id(space, row)));
		}
		if (before < k)
			MUST(before < found && hits[before].row == row && hits[before].distance == distance);
	}
	MUST(found == (k < some ? k : some));
}

static void
change(Input *in, GmMem *mem, GmSpace *space, Vector *model)
{
	MUST(gm_mem_begin(mem) == GM_OK);
	MUST(gm_space_begin(space) == GM_OK);
	for (uint32_t n = take_below(in, 12); n > 0; n--)
	{
		uint32_t	i = take_below(in, MOST_ROWS);

		if (take_below(in, 3) == 0)
		{
			MUST(gm_space_remove(space, i * 7) == GM_OK || !model[i].there);
			model[i].there = false;
		}
		else
		{
			float		v[MAX_DIM];
			GmStatus	status;

			some_vector(in, v);
			status = gm_space_put(space, i * 7, i, v);
			check_verdict(v, status);
			if (status == GM_OK)
			{
				model[i].there = true;
				memcpy(model[i].v, v, sizeof(v));
			}
		}
		check_rows(space, model);
	}
	gm_space_end(space);
	gm_mem_commit(mem, 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const GmSimd sets[] = {GM_SIMD_AUTO, GM_SIMD_SCALAR, GM_SIMD_AVX2, GM_SIMD_AVX512};
	Input		in = {data, size};
	Vector		model[MOST_ROWS] = {0};
	GmMem	   *mem;
	GmSpace    *space;

	dim = 1 + take_below(&in, MAX_DIM);
	metric = (GmMetric) take_below(&in, 3);
	if (!gm_vec_choose(sets[take_below(&in, 4)]))
		MUST(gm_vec_choose(GM_SIMD_AUTO));
	MUST(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	MUST(gm_space_create(mem, dim, metric, &space) == GM_OK);
	for (uint32_t i = take_below(&in, MOST_ROWS); i > 0; i--)
	{
		GmStatus	status;

		some_vector(&in, model[i].v);
		status = gm_space_add(space, i * 7, i, model[i].v);
		check_verdict(model[i].v, status);
		model[i].there = status == GM_OK;
	}
	MUST(gm_space_finish(space, MOST_ROWS) == GM_OK);
	check_rows(space, model);
	search(&in, space);
	change(&in, mem, space, model);
	search(&in, space);
	gm_space_destroy(space);
	gm_mem_destroy(mem);
	return 0;
}

static void
fuzz_seeds(void)
{
	for (uint32_t i = 0; i < 40; i++)
	{
		uint8_t		noise[1500];

		fuzz_noise(i, noise, sizeof(noise));
		fuzz_seed(noise, 40 + i * 36);
	}
}
