/*-------------------------------------------------------------------------
 *
 * vec_arm.c
 *	  Distance kernels for NEON, which every aarch64 has.
 *
 * Four running sums per row; four rows and a block of the query take 20 of
 * the 32 registers.  One row and four rows go through the same block
 * functions, so their sums agree bit for bit.  A rest of less than a register
 * is copied into one that is otherwise 0.
 *
 *-------------------------------------------------------------------------
 */
#include "core/vec.h"

#ifdef GM_VEC_NEON

#include <arm_neon.h>
#include <string.h>

#define INLINE	static inline __attribute__((always_inline))

#define NEON_LANES	4
#define NEON_BLOCK	(4 * NEON_LANES)

typedef enum Op
{
	PRODUCT,
	SQUARED_DIFFERENCE
} Op;

typedef struct NeonBlock
{
	float32x4_t x0,
				x1,
				x2,
				x3;
} NeonBlock;

INLINE NeonBlock
zero(void)
{
	float32x4_t x = vdupq_n_f32(0);

	return (NeonBlock) {x, x, x, x};
}

/* By bytes, since vld1q_f32 on floats promises their alignment. */
INLINE float32x4_t
load_register(const float *p)
{
	return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *) p));
}

INLINE NeonBlock
load(const float *p)
{
	NeonBlock	b;

	b.x0 = load_register(p);
	b.x1 = load_register(p + NEON_LANES);
	b.x2 = load_register(p + 2 * NEON_LANES);
	b.x3 = load_register(p + 3 * NEON_LANES);
	return b;
}

/* the first left elements at p, or all of a register if there are more */
INLINE float32x4_t
load_part(const float *p, uint32_t left)
{
	float		x[NEON_LANES] = {0};

	if (left >= NEON_LANES)
		return load_register(p);
	memcpy(x, (const char *) p, left * sizeof(float));
	return vld1q_f32(x);
}

/* 0 < left < NEON_BLOCK */
INLINE NeonBlock
load_rest(const float *p, uint32_t left)
{
	NeonBlock	b = zero();

	b.x0 = load_part(p, left);
	if (left > NEON_LANES)
		b.x1 = load_part(p + NEON_LANES, left - NEON_LANES);
	if (left > 2 * NEON_LANES)
		b.x2 = load_part(p + 2 * NEON_LANES, left - 2 * NEON_LANES);
	if (left > 3 * NEON_LANES)
		b.x3 = load_part(p + 3 * NEON_LANES, left - 3 * NEON_LANES);
	return b;
}

INLINE float32x4_t
term(float32x4_t sum, float32x4_t x, float32x4_t y, Op op)
{
	if (op == SQUARED_DIFFERENCE)
		x = y = vsubq_f32(x, y);
	return vfmaq_f32(sum, x, y);
}

INLINE void
add(NeonBlock *sum, NeonBlock q, NeonBlock row, Op op)
{
	sum->x0 = term(sum->x0, q.x0, row.x0, op);
	sum->x1 = term(sum->x1, q.x1, row.x1, op);
	sum->x2 = term(sum->x2, q.x2, row.x2, op);
	sum->x3 = term(sum->x3, q.x3, row.x3, op);
}

INLINE float
total(NeonBlock sum)
{
	return vaddvq_f32(vaddq_f32(vaddq_f32(sum.x0, sum.x1),
								vaddq_f32(sum.x2, sum.x3)));
}

INLINE float
one(const float *a, const float *b, uint32_t dim, Op op)
{
	NeonBlock	sum = zero();
	uint32_t	i = 0;

	for (; dim - i >= NEON_BLOCK; i += NEON_BLOCK)
		add(&sum, load(a + i), load(b + i), op);
	if (i < dim)
		add(&sum, load_rest(a + i, dim - i), load_rest(b + i, dim - i), op);
	return total(sum);
}

INLINE void
four(const float *a, const float *rows, size_t stride, uint32_t dim,
	 float out[4], Op op)
{
	const float *row0 = rows;
	const float *row1 = row0 + stride;
	const float *row2 = row1 + stride;
	const float *row3 = row2 + stride;
	NeonBlock	sum0 = zero();
	NeonBlock	sum1 = zero();
	NeonBlock	sum2 = zero();
	NeonBlock	sum3 = zero();
	NeonBlock	q;
	uint32_t	i = 0;

	for (; dim - i >= NEON_BLOCK; i += NEON_BLOCK)
	{
		q = load(a + i);
		add(&sum0, q, load(row0 + i), op);
		add(&sum1, q, load(row1 + i), op);
		add(&sum2, q, load(row2 + i), op);
		add(&sum3, q, load(row3 + i), op);
	}
	if (i < dim)
	{
		q = load_rest(a + i, dim - i);
		add(&sum0, q, load_rest(row0 + i, dim - i), op);
		add(&sum1, q, load_rest(row1 + i, dim - i), op);
		add(&sum2, q, load_rest(row2 + i, dim - i), op);
		add(&sum3, q, load_rest(row3 + i, dim - i), op);
	}
	out[0] = total(sum0);
	out[1] = total(sum1);
	out[2] = total(sum2);
	out[3] = total(sum3);
}

static float
dot(const float *a, const float *b, uint32_t dim)
{
	return one(a, b, dim, PRODUCT);
}

static float
l2sq(const float *a, const float *b, uint32_t dim)
{
	return one(a, b, dim, SQUARED_DIFFERENCE);
}

static void
dot4(const float *q, const float *rows, size_t stride, uint32_t dim,
	 float out[4])
{
	four(q, rows, stride, dim, out, PRODUCT);
}

static void
l2sq4(const float *q, const float *rows, size_t stride, uint32_t dim,
	  float out[4])
{
	four(q, rows, stride, dim, out, SQUARED_DIFFERENCE);
}

const GmVecKernels gm_vec_neon = {"neon", dot, l2sq, dot4, l2sq4};

#endif							/* GM_VEC_NEON */
