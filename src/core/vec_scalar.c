/*-------------------------------------------------------------------------
 *
 * vec_scalar.c
 *	  The distance kernels in plain C: what the others must agree with.
 *
 * Sums are in double, where a product of two floats is exact, so a result is
 * off by at most one unit in the last place of the float plus 1e-15 of the
 * sum of the terms' magnitudes, up to GM_VEC_MAX_DIM.
 *
 *-------------------------------------------------------------------------
 */
#include "core/vec.h"

#include <string.h>

static inline double
load(const float *p)
{
	float		x;

	memcpy(&x, (const char *) p, sizeof(x));
	return x;
}

static inline double
product(const float *a, const float *b)
{
	return load(a) * load(b);
}

static inline double
square(const float *a, const float *b)
{
	double		d = load(a) - load(b);

	return d * d;
}

/* Four sums, so that an addition does not wait for the one before it. */
static float
dot(const float *a, const float *b, uint32_t dim)
{
	double		s0 = 0,
				s1 = 0,
				s2 = 0,
				s3 = 0;
	uint32_t	i = 0;

	for (; dim - i >= 4; i += 4)
	{
		s0 += product(a + i, b + i);
		s1 += product(a + i + 1, b + i + 1);
		s2 += product(a + i + 2, b + i + 2);
		s3 += product(a + i + 3, b + i + 3);
	}
	for (; i < dim; i++)
		s0 += product(a + i, b + i);
	return (float) ((s0 + s1) + (s2 + s3));
}

static float
l2sq(const float *a, const float *b, uint32_t dim)
{
	double		s0 = 0,
				s1 = 0,
				s2 = 0,
				s3 = 0;
	uint32_t	i = 0;

	for (; dim - i >= 4; i += 4)
	{
		s0 += square(a + i, b + i);
		s1 += square(a + i + 1, b + i + 1);
		s2 += square(a + i + 2, b + i + 2);
		s3 += square(a + i + 3, b + i + 3);
	}
	for (; i < dim; i++)
		s0 += square(a + i, b + i);
	return (float) ((s0 + s1) + (s2 + s3));
}

static void
dot4(const float *q, const float *rows, size_t stride, uint32_t dim,
	 float out[4])
{
	for (int r = 0; r < 4; r++)
		out[r] = dot(q, rows + r * stride, dim);
}

static void
l2sq4(const float *q, const float *rows, size_t stride, uint32_t dim,
	  float out[4])
{
	for (int r = 0; r < 4; r++)
		out[r] = l2sq(q, rows + r * stride, dim);
}

const GmVecKernels gm_vec_scalar = {"scalar", dot, l2sq, dot4, l2sq4};
