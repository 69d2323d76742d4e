/*-------------------------------------------------------------------------
 *
 * code_arm.c
 *	  Kernels of codes for NEON, which every aarch64 has.
 *
 * int8		whole registers are read.  What follows a code is multiplied by zeros
 *			of the query.  Elements are in [-127, 127], so two products fit into
 *			16 bits.
 * floats	what follows a code may be a NaN, so the last block is masked.
 *
 *-------------------------------------------------------------------------
 */
#include "core/code_private.h"

#ifdef GM_VEC_NEON

#include <arm_neon.h>

#define INLINE	static inline __attribute__((always_inline))
#define AHEAD	4

typedef float Sum(const GmQuery *query, const void *code);

INLINE void
each(const GmQuery *query, const void *const *code, uint32_t n, float *dot, Sum *sum)
{
	uint32_t	bytes = gm_code_fetched(query);

	for (uint32_t i = 0; i < n && i < AHEAD; i++)
		gm_code_fetch(code[i], bytes);
	for (uint32_t i = 0; i < n; i++)
	{
		if (n - i > AHEAD)
			gm_code_fetch(code[i + AHEAD], bytes);
		dot[i] = sum(query, code[i]);
	}
}

INLINE float
int8_sum(const GmQuery *query, const void *code)
{
	const int8_t *q = query->element;
	const int8_t *x = code;
	int32x4_t	low = vdupq_n_s32(0);
	int32x4_t	high = vdupq_n_s32(0);

	for (uint32_t i = 0; i < query->coder->dim; i += 32)
	{
		int8x16_t	q0 = vld1q_s8(q + i);
		int8x16_t	q1 = vld1q_s8(q + i + 16);
		int8x16_t	x0 = vld1q_s8(x + i);
		int8x16_t	x1 = vld1q_s8(x + i + 16);
		int16x8_t	p0 = vmull_s8(vget_low_s8(q0), vget_low_s8(x0));
		int16x8_t	p1 = vmull_s8(vget_low_s8(q1), vget_low_s8(x1));

		p0 = vmlal_s8(p0, vget_high_s8(q0), vget_high_s8(x0));
		p1 = vmlal_s8(p1, vget_high_s8(q1), vget_high_s8(x1));
		low = vpadalq_s16(low, p0);
		high = vpadalq_s16(high, p1);
	}
	return (float) vaddvq_s32(vaddq_s32(low, high));
}

/* four elements, as they are stored, from number i on */
INLINE float32x4_t
f16_at(const void *code, uint32_t i)
{
	uint16x4_t	x = vld1_u16((const uint16_t *) code + i);

	return vcvt_f32_f16(vreinterpret_f16_u16(x));
}

INLINE float32x4_t
f32_at(const void *code, uint32_t i)
{
	return vld1q_f32((const float *) code + i);
}

typedef float32x4_t At(const void *code, uint32_t i);

/* 0 in the lanes from n on */
INLINE float32x4_t
first(float32x4_t x, int32_t n)
{
	static const int32_t lane[4] = {0, 1, 2, 3};
	uint32x4_t	mask = vcgtq_s32(vdupq_n_s32(n), vld1q_s32(lane));

	return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), mask));
}

INLINE float
float_sum(const GmQuery *query, const void *code, At *at)
{
	const float *q = query->element;
	uint32_t	dim = query->coder->dim;
	uint32_t	i = 0;
	float32x4_t s[4];

	for (int j = 0; j < 4; j++)
		s[j] = vdupq_n_f32(0);
	for (; dim - i >= 16; i += 16)
		for (uint32_t j = 0; j < 4; j++)
			s[j] = vfmaq_f32(s[j], vld1q_f32(q + i + 4 * j), at(code, i + 4 * j));
	if (i < dim)
		for (uint32_t j = 0; j < 4; j++)
			s[j] = vfmaq_f32(s[j], vld1q_f32(q + i + 4 * j),
							 first(at(code, i + 4 * j), (int32_t) (dim - i) - (int32_t) (4 * j)));
	return vaddvq_f32(vaddq_f32(vaddq_f32(s[0], s[1]), vaddq_f32(s[2], s[3])));
}

INLINE float
f16_sum(const GmQuery *query, const void *code)
{
	return float_sum(query, code, f16_at);
}

INLINE float
f32_sum(const GmQuery *query, const void *code)
{
	return float_sum(query, code, f32_at);
}

static void
int8(const GmQuery *query, const void *const *code, uint32_t n, float *dot)
{
	each(query, code, n, dot, int8_sum);
}

static void
f16(const GmQuery *query, const void *const *code, uint32_t n, float *dot)
{
	each(query, code, n, dot, f16_sum);
}

static void
f32(const GmQuery *query, const void *const *code, uint32_t n, float *dot)
{
	each(query, code, n, dot, f32_sum);
}

static void
to_f16(const float *from, uint16_t *to, uint32_t n)
{
	uint32_t	i = 0;

	for (; n - i >= 4; i += 4)
		vst1_u16(to + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(from + i))));
	gm_code_scalar.to_f16(from + i, to + i, n - i);
}

const GmCodeKernels gm_code_neon = {"neon", int8, f16, f32, to_f16};

#endif							/* GM_VEC_NEON */
