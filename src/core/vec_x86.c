/*-------------------------------------------------------------------------
 *
 * vec_x86.c
 *	  Distance kernels for AVX2 with FMA and for AVX-512F.
 *
 * Compiled without -m flags: only these functions may use the instructions,
 * and only vec_choose.c, which asks the CPU, hands them out.
 *
 * A vector is taken in blocks of one register per running sum, the rest by
 * masked loads, which neither read nor fault beyond the last element; the
 * lanes left out are 0 on both sides and add nothing.  One row and four rows
 * go through the same block functions, so their sums agree bit for bit.
 *
 * Running sums per row: an FMA takes 4 cycles and two can start in each, but
 * four rows and a block of the query have to fit into the register file, 16
 * with AVX2 (4 x 3 + 3) and 32 with AVX-512 (4 x 4 + 4).
 *
 *-------------------------------------------------------------------------
 */
#include "core/vec.h"

#ifdef GM_VEC_X86

#include <immintrin.h>

#define AVX2	__attribute__((target("avx2,fma")))
#define AVX512	__attribute__((target("avx512f")))
#define INLINE	static inline __attribute__((always_inline))

typedef enum Op
{
	PRODUCT,
	SQUARED_DIFFERENCE
} Op;

/*
 * Four streams of short rows end before the hardware's prefetcher has found
 * them all, so what the next call will probably read is asked for here.  On
 * Zen 3 that is worth a fifth at 256 to 384 floats, and nothing from 512 on.
 */
#define PREFETCH_BELOW	512
#define LINE_FLOATS		16

/* the part of the next four rows that block number i / block of these has */
INLINE void
prefetch_next_four(const float *rows, size_t stride, uint32_t i,
				   uint32_t block)
{
	/* as a number: it may point outside of the matrix */
	uintptr_t	next = (uintptr_t) rows + 4 * (stride + i) * sizeof(float);

#pragma GCC unroll 16
	for (uint32_t j = 0; j < 4 * block; j += LINE_FLOATS)
		gm_prefetch((const void *) (next + j * sizeof(float)));
}

/* ---- AVX2 ---- */

#define AVX2_LANES	8
#define AVX2_BLOCK	(3 * AVX2_LANES)

typedef struct Avx2Block
{
	__m256		x0,
				x1,
				x2;
} Avx2Block;

INLINE AVX2 Avx2Block
avx2_zero(void)
{
	__m256		zero = _mm256_setzero_ps();

	return (Avx2Block) {zero, zero, zero};
}

INLINE AVX2 Avx2Block
avx2_load(const float *p)
{
	Avx2Block	b;

	b.x0 = _mm256_loadu_ps(p);
	b.x1 = _mm256_loadu_ps(p + AVX2_LANES);
	b.x2 = _mm256_loadu_ps(p + 2 * AVX2_LANES);
	return b;
}

/* the first n lanes on, the others off */
INLINE AVX2 __m256i
avx2_mask(uint32_t n)
{
	static const int32_t on_off[2 * AVX2_LANES] = {
		-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0
	};

	return _mm256_loadu_si256((const __m256i *) (on_off + AVX2_LANES - n));
}

/* the first left elements at p, or all of a register if there are more */
INLINE AVX2 __m256
avx2_load_part(const float *p, uint32_t left)
{
	if (left >= AVX2_LANES)
		return _mm256_loadu_ps(p);
	return _mm256_maskload_ps(p, avx2_mask(left));
}

/* 0 < left < AVX2_BLOCK */
INLINE AVX2 Avx2Block
avx2_load_rest(const float *p, uint32_t left)
{
	Avx2Block	b = avx2_zero();

	b.x0 = avx2_load_part(p, left);
	if (left > AVX2_LANES)
		b.x1 = avx2_load_part(p + AVX2_LANES, left - AVX2_LANES);
	if (left > 2 * AVX2_LANES)
		b.x2 = avx2_load_part(p + 2 * AVX2_LANES, left - 2 * AVX2_LANES);
	return b;
}

INLINE AVX2 __m256
avx2_term(__m256 sum, __m256 x, __m256 y, Op op)
{
	if (op == SQUARED_DIFFERENCE)
		x = y = _mm256_sub_ps(x, y);
	return _mm256_fmadd_ps(x, y, sum);
}

INLINE AVX2 void
avx2_add(Avx2Block *sum, Avx2Block q, Avx2Block row, Op op)
{
	sum->x0 = avx2_term(sum->x0, q.x0, row.x0, op);
	sum->x1 = avx2_term(sum->x1, q.x1, row.x1, op);
	sum->x2 = avx2_term(sum->x2, q.x2, row.x2, op);
}

INLINE AVX2 float
avx2_total(Avx2Block sum)
{
	__m256		s8 = _mm256_add_ps(_mm256_add_ps(sum.x0, sum.x1), sum.x2);
	__m128		s4 = _mm_add_ps(_mm256_castps256_ps128(s8),
								_mm256_extractf128_ps(s8, 1));
	__m128		s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));

	return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

INLINE AVX2 float
avx2_one(const float *a, const float *b, uint32_t dim, Op op)
{
	Avx2Block	sum = avx2_zero();
	uint32_t	i = 0;

	for (; dim - i >= AVX2_BLOCK; i += AVX2_BLOCK)
		avx2_add(&sum, avx2_load(a + i), avx2_load(b + i), op);
	if (i < dim)
		avx2_add(&sum, avx2_load_rest(a + i, dim - i),
				 avx2_load_rest(b + i, dim - i), op);
	return avx2_total(sum);
}

INLINE AVX2 void
avx2_four(const float *a, const float *rows, size_t stride, uint32_t dim,
		  float out[4], Op op)
{
	const float *row0 = rows;
	const float *row1 = row0 + stride;
	const float *row2 = row1 + stride;
	const float *row3 = row2 + stride;
	Avx2Block	sum0 = avx2_zero();
	Avx2Block	sum1 = avx2_zero();
	Avx2Block	sum2 = avx2_zero();
	Avx2Block	sum3 = avx2_zero();
	Avx2Block	q;
	uint32_t	i = 0;

	for (; dim - i >= AVX2_BLOCK; i += AVX2_BLOCK)
	{
		if (stride < PREFETCH_BELOW)
			prefetch_next_four(rows, stride, i, AVX2_BLOCK);
		q = avx2_load(a + i);
		avx2_add(&sum0, q, avx2_load(row0 + i), op);
		avx2_add(&sum1, q, avx2_load(row1 + i), op);
		avx2_add(&sum2, q, avx2_load(row2 + i), op);
		avx2_add(&sum3, q, avx2_load(row3 + i), op);
	}
	if (i < dim)
	{
		q = avx2_load_rest(a + i, dim - i);
		avx2_add(&sum0, q, avx2_load_rest(row0 + i, dim - i), op);
		avx2_add(&sum1, q, avx2_load_rest(row1 + i, dim - i), op);
		avx2_add(&sum2, q, avx2_load_rest(row2 + i, dim - i), op);
		avx2_add(&sum3, q, avx2_load_rest(row3 + i, dim - i), op);
	}
	out[0] = avx2_total(sum0);
	out[1] = avx2_total(sum1);
	out[2] = avx2_total(sum2);
	out[3] = avx2_total(sum3);
}

static AVX2 float
avx2_dot(const float *a, const float *b, uint32_t dim)
{
	return avx2_one(a, b, dim, PRODUCT);
}

static AVX2 float
avx2_l2sq(const float *a, const float *b, uint32_t dim)
{
	return avx2_one(a, b, dim, SQUARED_DIFFERENCE);
}

static AVX2 void
avx2_dot4(const float *q, const float *rows, size_t stride, uint32_t dim,
		  float out[4])
{
	avx2_four(q, rows, stride, dim, out, PRODUCT);
}

static AVX2 void
avx2_l2sq4(const float *q, const float *rows, size_t stride, uint32_t dim,
		   float out[4])
{
	avx2_four(q, rows, stride, dim, out, SQUARED_DIFFERENCE);
}

const GmVecKernels gm_vec_avx2 = {
	"avx2", avx2_dot, avx2_l2sq, avx2_dot4, avx2_l2sq4
};

/* ---- AVX-512 ---- */

#define AVX512_LANES	16
#define AVX512_BLOCK	(4 * AVX512_LANES)

typedef struct Avx512Block
{
	__m512		x0,
				x1,
				x2,
				x3;
} Avx512Block;

INLINE AVX512 Avx512Block
avx512_zero(void)
{
	__m512		zero = _mm512_setzero_ps();

	return (Avx512Block) {zero, zero, zero, zero};
}

INLINE AVX512 Avx512Block
avx512_load(const float *p)
{
	Avx512Block	b;

	b.x0 = _mm512_loadu_ps(p);
	b.x1 = _mm512_loadu_ps(p + AVX512_LANES);
	b.x2 = _mm512_loadu_ps(p + 2 * AVX512_LANES);
	b.x3 = _mm512_loadu_ps(p + 3 * AVX512_LANES);
	return b;
}

/* the first left elements at p, or all of a register if there are more */
INLINE AVX512 __m512
avx512_load_part(const float *p, uint32_t left)
{
	if (left >= AVX512_LANES)
		return _mm512_loadu_ps(p);
	return _mm512_maskz_loadu_ps((__mmask16) ((1u << left) - 1), p);
}

/* 0 < left < AVX512_BLOCK */
INLINE AVX512 Avx512Block
avx512_load_rest(const float *p, uint32_t left)
{
	Avx512Block	b = avx512_zero();

	b.x0 = avx512_load_part(p, left);
	if (left > AVX512_LANES)
		b.x1 = avx512_load_part(p + AVX512_LANES, left - AVX512_LANES);
	if (left > 2 * AVX512_LANES)
		b.x2 = avx512_load_part(p + 2 * AVX512_LANES,
								left - 2 * AVX512_LANES);
	if (left > 3 * AVX512_LANES)
		b.x3 = avx512_load_part(p + 3 * AVX512_LANES,
								left - 3 * AVX512_LANES);
	return b;
}

INLINE AVX512 __m512
avx512_term(__m512 sum, __m512 x, __m512 y, Op op)
{
	if (op == SQUARED_DIFFERENCE)
		x = y = _mm512_sub_ps(x, y);
	return _mm512_fmadd_ps(x, y, sum);
}

INLINE AVX512 void
avx512_add(Avx512Block *sum, Avx512Block q, Avx512Block row, Op op)
{
	sum->x0 = avx512_term(sum->x0, q.x0, row.x0, op);
	sum->x1 = avx512_term(sum->x1, q.x1, row.x1, op);
	sum->x2 = avx512_term(sum->x2, q.x2, row.x2, op);
	sum->x3 = avx512_term(sum->x3, q.x3, row.x3, op);
}

INLINE AVX512 float
avx512_total(Avx512Block sum)
{
	return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sum.x0, sum.x1),
											  _mm512_add_ps(sum.x2, sum.x3)));
}

INLINE AVX512 float
avx512_one(const float *a, const float *b, uint32_t dim, Op op)
{
	Avx512Block	sum = avx512_zero();
	uint32_t	i = 0;

	for (; dim - i >= AVX512_BLOCK; i += AVX512_BLOCK)
		avx512_add(&sum, avx512_load(a + i), avx512_load(b + i), op);
	if (i < dim)
		avx512_add(&sum, avx512_load_rest(a + i, dim - i),
				   avx512_load_rest(b + i, dim - i), op);
	return avx512_total(sum);
}

INLINE AVX512 void
avx512_four(const float *a, const float *rows, size_t stride, uint32_t dim,
			float out[4], Op op)
{
	const float *row0 = rows;
	const float *row1 = row0 + stride;
	const float *row2 = row1 + stride;
	const float *row3 = row2 + stride;
	Avx512Block	sum0 = avx512_zero();
	Avx512Block	sum1 = avx512_zero();
	Avx512Block	sum2 = avx512_zero();
	Avx512Block	sum3 = avx512_zero();
	Avx512Block	q;
	uint32_t	i = 0;

	for (; dim - i >= AVX512_BLOCK; i += AVX512_BLOCK)
	{
		if (stride < PREFETCH_BELOW)
			prefetch_next_four(rows, stride, i, AVX512_BLOCK);
		q = avx512_load(a + i);
		avx512_add(&sum0, q, avx512_load(row0 + i), op);
		avx512_add(&sum1, q, avx512_load(row1 + i), op);
		avx512_add(&sum2, q, avx512_load(row2 + i), op);
		avx512_add(&sum3, q, avx512_load(row3 + i), op);
	}
	if (i < dim)
	{
		q = avx512_load_rest(a + i, dim - i);
		avx512_add(&sum0, q, avx512_load_rest(row0 + i, dim - i), op);
		avx512_add(&sum1, q, avx512_load_rest(row1 + i, dim - i), op);
		avx512_add(&sum2, q, avx512_load_rest(row2 + i, dim - i), op);
		avx512_add(&sum3, q, avx512_load_rest(row3 + i, dim - i), op);
	}
	out[0] = avx512_total(sum0);
	out[1] = avx512_total(sum1);
	out[2] = avx512_total(sum2);
	out[3] = avx512_total(sum3);
}

static AVX512 float
avx512_dot(const float *a, const float *b, uint32_t dim)
{
	return avx512_one(a, b, dim, PRODUCT);
}

static AVX512 float
avx512_l2sq(const float *a, const float *b, uint32_t dim)
{
	return avx512_one(a, b, dim, SQUARED_DIFFERENCE);
}

static AVX512 void
avx512_dot4(const float *q, const float *rows, size_t stride, uint32_t dim,
			float out[4])
{
	avx512_four(q, rows, stride, dim, out, PRODUCT);
}

static AVX512 void
avx512_l2sq4(const float *q, const float *rows, size_t stride, uint32_t dim,
			 float out[4])
{
	avx512_four(q, rows, stride, dim, out, SQUARED_DIFFERENCE);
}

const GmVecKernels gm_vec_avx512 = {
	"avx512", avx512_dot, avx512_l2sq, avx512_dot4, avx512_l2sq4
};

#endif							/* GM_VEC_X86 */
