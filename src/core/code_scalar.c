/*-------------------------------------------------------------------------
 *
 * code_scalar.c
 *	  The kernels of codes in plain C: what the others must agree with.
 *
 * The int8 sum is exact: 16000 products of at most 127 * 127 are far below
 * 2^31.  Sums of floats are in double.
 *
 *-------------------------------------------------------------------------
 */
#include "core/code_private.h"

static void
int8(const GmQuery *query, const void *const *code, uint32_t n, float *dot)
{
	const int8_t *q = query->element;

	for (uint32_t c = 0; c < n; c++)
	{
		const int8_t *x = code[c];
		int32_t		sum = 0;

		for (uint32_t i = 0; i < query->coder->dim; i++)
			sum += (int16_t) (q[i] * x[i]);
		dot[c] = (float) sum;
	}
}

static void
f16(const GmQuery *query, const void *const *code, uint32_t n, float *dot)
{
	const float *q = query->element;

	for (uint32_t c = 0; c < n; c++)
	{
		const uint16_t *x = code[c];
		double		sum = 0;

		for (uint32_t i = 0; i < query->coder->dim; i++)
			sum += (double) q[i] * gm_code_from_f16(x[i]);
		dot[c] = (float) sum;
	}
}

static void
f32(const GmQuery *query, const void *const *code, uint32_t n, float *dot)
{
	const float *q = query->element;

	for (uint32_t c = 0; c < n; c++)
	{
		const float *x = code[c];
		double		sum = 0;

		for (uint32_t i = 0; i < query->coder->dim; i++)
			sum += (double) q[i] * x[i];
		dot[c] = (float) sum;
	}
}

#define INFINITE		UINT32_C(0x7f800000)
#define TOO_LARGE		UINT32_C(0x47800000)	/* 2^16; what rounds to it gets its bits, too */
#define LEAST_NORMAL	UINT32_C(0x38800000)	/* 2^-14 */

static uint16_t
half_of(float x)
{
	uint32_t	bits;
	uint32_t	sign;

	memcpy(&bits, &x, sizeof(bits));
	sign = bits >> 16 & 0x8000;
	bits &= 0x7fffffff;
	if (bits > INFINITE)
		return (uint16_t) (sign | 0x7e00);
	if (bits >= TOO_LARGE)
		return (uint16_t) (sign | 0x7c00);
	if (bits < LEAST_NORMAL)
	{
		/* the last place of a float in [1/2, 1) is that of a subnormal half */
		float		rounded;

		memcpy(&rounded, &bits, sizeof(rounded));
		rounded += 0.5f;
		memcpy(&bits, &rounded, sizeof(bits));
		return (uint16_t) (sign | (bits - UINT32_C(0x3f000000)));
	}
	/* half of the last place, less one bit where that one is even */
	bits += 0xfff + (bits >> 13 & 1);
	return (uint16_t) (sign | ((bits - (UINT32_C(112) << 23)) >> 13));
}

static void
to_f16(const float *from, uint16_t *to, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = half_of(from[i]);
}

const GmCodeKernels gm_code_scalar = {"scalar", int8, f16, f32, to_f16};
