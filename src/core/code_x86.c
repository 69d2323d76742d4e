/*-------------------------------------------------------------------------
 *
 * code_x86.c
 *	  Kernels of codes for AVX2 with FMA and F16C, for AVX-512 with BW, and for
 *	  that with VNNI.
 *
 * Compiled without -m flags, as vec_x86.c.  Four codes at a time share the
 * loads of the query and one reduction; the last few of a call go one at a
 * time through the same functions, so that a code's sum does not depend on
 * its neighbours.
 *
 * int8		whole blocks are read.  What follows a code is multiplied by zeros
 *			of the query.  Elements are in [-127, 127], so two products fit into
 *			16 bits.
 * floats	what follows a code may be a NaN, so the last block is masked.
 *
 *-------------------------------------------------------------------------
 */
#include "core/code_private.h"

#ifdef GM_VEC_X86

#include <immintrin.h>

#define AVX2	__attribute__((target("avx2,fma,f16c")))
#define AVX512	__attribute__((target("avx2,fma,f16c,avx512f,avx512bw")))
#define VNNI	__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vnni")))
#define INLINE	static inline __attribute__((always_inline))
#define UNROLL	_Pragma("GCC unroll 4")

#define FOUR	4

/*
 * Codes are fetched so many before they are used.  With codes of 320 bytes all
 * over 200 MB, 20 in a call, Zen 5 takes 40 to 54 ns each without, 31 to 35 with
 * 4, 25 to 28 with 12 or more; longer ones do not care beyond 4.
 */
#define AHEAD	12

/* A kernel from sums(query, code, count, dot), count being 1 or FOUR. */

#define KERNEL(name, target, sums) \
static target void \
name(const GmQuery *query, const void *const *code, uint32_t n, float *dot) \
{ \
	uint32_t	bytes = gm_code_fetched(query); \
	uint32_t	fetched = 0; \
	uint32_t	i = 0; \
\
	for (; fetched < n && fetched < AHEAD; fetched++) \
		gm_code_fetch(code[fetched], bytes); \
	for (; n - i >= FOUR; i += FOUR) \
	{ \
		for (; fetched < n && fetched < i + FOUR + AHEAD; fetched++) \
			gm_code_fetch(code[fetched], bytes); \
		sums(query, code + i, FOUR, dot + i); \
	} \
	for (; i < n; i++) \
		sums(query, code + i, 1, dot + i); \
}

/* ---- AVX2 ---- */

INLINE AVX2 __m128
avx2_totals(const __m256 s[FOUR])
{
	__m256		all = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));

	return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

INLINE AVX2 __m128i
avx2_whole_totals(const __m256i s[FOUR])
{
	__m256i		all = _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]),
										_mm256_hadd_epi32(s[2], s[3]));

	return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

INLINE AVX2 void
put_totals(__m128 totals, int count, float *dot)
{
	if (count == FOUR)
		_mm_storeu_ps(dot, totals);
	else
		_mm_store_ss(dot, totals);
}

INLINE AVX2 void
avx2_int8_sums(const GmQuery *query, const void *const *code, const int count, float *dot)
{
	const __m256i ones = _mm256_set1_epi16(1);
	const char *q = query->element;
	__m256i		sum[FOUR];

	UNROLL
	for (int c = 0; c < FOUR; c++)
		sum[c] = _mm256_setzero_si256();
	for (uint32_t i = 0; i < query->coder->dim; i += 32)
	{
		__m256i		x = _mm256_load_si256((const __m256i *) (q + i));
		__m256i		size = _mm256_abs_epi8(x);

		UNROLL
		for (int c = 0; c < count; c++)
		{
			__m256i		y = _mm256_loadu_si256((const __m256i *) ((const char *) code[c] + i));
			__m256i		pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(y, x));

			sum[c] = _mm256_add_epi32(sum[c], _mm256_madd_epi16(pairs, ones));
		}
	}
	put_totals(_mm_cvtepi32_ps(avx2_whole_totals(sum)), count, dot);
}

/* all bits of the first n lanes, of none if n is negative */
INLINE AVX2 __m256
avx2_mask(int32_t n)
{
	static const int32_t on_off[16] = {
		-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0
	};

	n = n < 0 ? 0 : n > 8 ? 8 : n;
	return _mm256_loadu_ps((const float *) (const void *) (on_off + 8 - n));
}

/* eight elements, as they are stored, from number i on */
INLINE AVX2 __m256
avx2_f16_at(const void *code, uint32_t i)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) ((const uint16_t *) code + i)));
}

INLINE AVX2 __m256
avx2_f32_at(const void *code, uint32_t i)
{
	return _mm256_loadu_ps((const float *) code + i);
}

typedef __m256 Avx2At(const void *code, uint32_t i);

INLINE AVX2 void
avx2_float_sums(const GmQuery *query, const void *const *code, const int count, float *dot,
				Avx2At *at)
{
	const float *q = query->element;
	uint32_t	dim = query->coder->dim;
	uint32_t	i = 0;
	__m256		low[FOUR];
	__m256		high[FOUR];

	UNROLL
	for (int c = 0; c < FOUR; c++)
		low[c] = high[c] = _mm256_setzero_ps();
	for (; dim - i >= 16; i += 16)
	{
		__m256		q0 = _mm256_load_ps(q + i);
		__m256		q1 = _mm256_load_ps(q + i + 8);

		UNROLL
		for (int c = 0; c < count; c++)
		{
			low[c] = _mm256_fmadd_ps(q0, at(code[c], i), low[c]);
			high[c] = _mm256_fmadd_ps(q1, at(code[c], i + 8), high[c]);
		}
	}
	if (i < dim)
	{
		int32_t		left = (int32_t) (dim - i);
		__m256		q0 = _mm256_load_ps(q + i);
		__m256		q1 = _mm256_load_ps(q + i + 8);
		__m256		mask0 = avx2_mask(left);
		__m256		mask1 = avx2_mask(left - 8);

		UNROLL
		for (int c = 0; c < count; c++)
		{
			low[c] = _mm256_fmadd_ps(q0, _mm256_and_ps(mask0, at(code[c], i)), low[c]);
			high[c] = _mm256_fmadd_ps(q1, _mm256_and_ps(mask1, at(code[c], i + 8)), high[c]);
		}
	}
	UNROLL
	for (int c = 0; c < FOUR; c++)
		low[c] = _mm256_add_ps(low[c], high[c]);
	put_totals(avx2_totals(low), count, dot);
}

INLINE AVX2 void
avx2_f16_sums(const GmQuery *query, const void *const *code, const int count, float *dot)
{
	avx2_float_sums(query, code, count, dot, avx2_f16_at);
}

INLINE AVX2 void
avx2_f32_sums(const GmQuery *query, const void *const *code, const int count, float *dot)
{
	avx2_float_sums(query, code, count, dot, avx2_f32_at);
}

static AVX2 void
avx2_to_f16(const float *from, uint16_t *to, uint32_t n)
{
	uint32_t	i = 0;

	for (; n - i >= 8; i += 8)
		_mm_storeu_si128((__m128i *) (to + i),
						 _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
	gm_code_scalar.to_f16(from + i, to + i, n - i);
}

KERNEL(avx2_int8, AVX2, avx2_int8_sums)
KERNEL(avx2_f16, AVX2, avx2_f16_sums)
KERNEL(avx2_f32, AVX2, avx2_f32_sums)

const GmCodeKernels gm_code_avx2 = {"avx2", avx2_int8, avx2_f16, avx2_f32, avx2_to_f16};

/* ---- AVX-512 ---- */

INLINE AVX512 __m256i
avx512_halves(__m512i x)
{
	return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
}

INLINE AVX512 __m128i
avx512_whole_totals(const __m512i s[FOUR])
{
	__m256i		half[FOUR];

	UNROLL
	for (int c = 0; c < FOUR; c++)
		half[c] = avx512_halves(s[c]);
	return avx2_whole_totals(half);
}

INLINE AVX512 __m128
avx512_totals(const __m512 s[FOUR])
{
	__m256		half[FOUR];

	UNROLL
	for (int c = 0; c < FOUR; c++)
	{
		__m512d		x = _mm512_castps_pd(s[c]);

		half[c] = _mm256_add_ps(_mm512_castps512_ps256(s[c]),
								_mm256_castpd_ps(_mm512_extractf64x4_pd(x, 1)));
	}
	return avx2_totals(half);
}

/* There is no vpsignb here: the mask of what is negative in the query does it. */
INLINE AVX512 void
avx512_int8_sums(const GmQuery *query, const void *const *code, const int count, float *dot)
{
	const __m512i ones = _mm512_set1_epi16(1);
	const __m512i zero = _mm512_setzero_si512();
	const char *q = query->element;
	__m512i		sum[FOUR];

	UNROLL
	for (int c = 0; c < FOUR; c++)
		sum[c] = zero;
	for (uint32_t i = 0; i < query->padded; i += 64)
	{
		__m512i		x = _mm512_load_si512(q + i);
		__m512i		size = _mm512_abs_epi8(x);
		__mmask64	negative = _mm512_movepi8_mask(x);

		UNROLL
		for (int c = 0; c < count; c++)
		{
			__m512i		y = _mm512_loadu_si512((const char *) code[c] + i);
			__m512i		pairs = _mm512_maddubs_epi16(size, _mm512_mask_sub_epi8(y, negative, zero, y));

			sum[c] = _mm512_add_epi32(sum[c], _mm512_madd_epi16(pairs, ones));
		}
	}
	put_totals(_mm_cvtepi32_ps(avx512_whole_totals(sum)), count, dot);
}

/* sixteen elements, those of the mask, from number i on */
INLINE AVX512 __m512
avx512_f16_at(const void *code, uint32_t i, __mmask16 mask)
{
	const uint16_t *p = (const uint16_t *) code + i;

	return _mm512_maskz_cvtph_ps(mask, _mm256_loadu_si256((const __m256i *) p));
}

INLINE AVX512 __m512
avx512_f32_at(const void *code, uint32_t i, __mmask16 mask)
{
	return _mm512_maskz_loadu_ps(mask, (const float *) code + i);
}

typedef __m512 Avx512At(const void *code, uint32_t i, __mmask16 mask);

INLINE AVX512 void
avx512_float_sums(const GmQuery *query, const void *const *code, const int count, float *dot,
				  Avx512At *at)
{
	const float *q = query->element;
	uint32_t	dim = query->coder->dim;
	uint32_t	i = 0;
	__m512		low[FOUR];
	__m512		high[FOUR];

	UNROLL
	for (int c = 0; c < FOUR; c++)
		low[c] = high[c] = _mm512_setzero_ps();
	for (; dim - i >= 32; i += 32)
	{
		__m512		q0 = _mm512_load_ps(q + i);
		__m512		q1 = _mm512_load_ps(q + i + 16);

		UNROLL
		for (int c = 0; c < count; c++)
		{
			low[c] = _mm512_fmadd_ps(q0, at(code[c], i, 0xffff), low[c]);
			high[c] = _mm512_fmadd_ps(q1, at(code[c], i + 16, 0xffff), high[c]);
		}
	}
	/* the query is padded to one register, not to two */
	for (; i < dim; i += 16)
	{
		uint32_t	left = dim - i;
		__mmask16	mask = (__mmask16) (left >= 16 ? 0xffff : (1u << left) - 1);
		__m512		q0 = _mm512_load_ps(q + i);

		UNROLL
		for (int c = 0; c < count; c++)
			low[c] = _mm512_fmadd_ps(q0, at(code[c], i, mask), low[c]);
	}
	UNROLL
	for (int c = 0; c < FOUR; c++)
		low[c] = _mm512_add_ps(low[c], high[c]);
	put_totals(avx512_totals(low), count, dot);
}

INLINE AVX512 void
avx512_f16_sums(const GmQuery *query, const void *const *code, const int count, float *dot)
{
	avx512_float_sums(query, code, count, dot, avx512_f16_at);
}

INLINE AVX512 void
avx512_f32_sums(const GmQuery *query, const void *const *code, const int count, float *dot)
{
	avx512_float_sums(query, code, count, dot, avx512_f32_at);
}

static AVX512 void
avx512_to_f16(const float *from, uint16_t *to, uint32_t n)
{
	uint32_t	i = 0;

	for (; n - i >= 16; i += 16)
		_mm256_storeu_si256((__m256i *) (to + i),
							_mm512_cvtps_ph(_mm512_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
	gm_code_scalar.to_f16(from + i, to + i, n - i);
}

KERNEL(avx512_int8, AVX512, avx512_int8_sums)
KERNEL(avx512_f16, AVX512, avx512_f16_sums)
KERNEL(avx512_f32, AVX512, avx512_f32_sums)

const GmCodeKernels gm_code_avx512 = {
	"avx512", avx512_int8, avx512_f16, avx512_f32, avx512_to_f16
};

/* ---- VNNI: the code as y + 128, which is unsigned, less 128 times the query ---- */

INLINE VNNI void
vnni_int8_sums(const GmQuery *query, const void *const *code, const int count, float *dot)
{
	const __m512i flip = _mm512_set1_epi8((char) 0x80);
	const char *q = query->element;
	__m512i		sum[FOUR];
	__m128i		totals;

	UNROLL
	for (int c = 0; c < FOUR; c++)
		sum[c] = _mm512_setzero_si512();
	for (uint32_t i = 0; i < query->padded; i += 64)
	{
		__m512i		x = _mm512_load_si512(q + i);

		UNROLL
		for (int c = 0; c < count; c++)
		{
			__m512i		y = _mm512_loadu_si512((const char *) code[c] + i);

			sum[c] = _mm512_dpbusd_epi32(sum[c], _mm512_xor_si512(y, flip), x);
		}
	}
	totals = _mm_sub_epi32(avx512_whole_totals(sum), _mm_set1_epi32(128 * query->sum));
	put_totals(_mm_cvtepi32_ps(totals), count, dot);
}

KERNEL(vnni_int8, VNNI, vnni_int8_sums)

const GmCodeKernels gm_code_vnni = {
	"vnni", vnni_int8, avx512_f16, avx512_f32, avx512_to_f16
};

#endif							/* GM_VEC_X86 */
