/*-------------------------------------------------------------------------
 *
 * vec.h
 *	  Distance kernels over float32 vectors, and which of them this CPU runs.
 *
 * vec_scalar.c is the definition; every other file must agree with it within
 * the tolerance that test/unit/test_vec.c states.  A kernel reads exactly dim
 * floats of each vector, at any alignment, even of bytes.
 *
 * Within one set a row's distance does not depend on where it stands: dot4
 * and l2sq4 give bit for bit what dot and l2sq give, and arguments commute.
 *
 * The sums are of float32: below about 1e-19 products underflow, and vectors
 * whose dot(v, v) is at most FLT_MAX / 4 cannot overflow with one another.
 * Beyond that a result may be infinite or NaN, so such vectors must be turned
 * away where they come in.
 *
 * gm_vec_choose() asks the CPU and the operating system once and sets
 * gm_vec; it runs before any thread or child process exists and may be called
 * again to force a set (graphmem.simd).
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_VEC_H
#define GM_CORE_VEC_H

#include "core/base.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define GM_VEC_X86
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define GM_VEC_NEON
#endif

typedef enum GmMetric
{
	GM_METRIC_COSINE = 0,		/* 1 - cos(a, b), in [0, 2] */
	GM_METRIC_L2,				/* Euclidean distance */
	GM_METRIC_IP				/* negative inner product */
} GmMetric;

typedef enum GmSimd
{
	GM_SIMD_AUTO = 0,
	GM_SIMD_SCALAR,
	GM_SIMD_AVX2,
	GM_SIMD_AVX512,
	GM_SIMD_NEON
} GmSimd;

typedef struct GmVecKernels
{
	const char *name;			/* "scalar", "avx2", "avx512", "neon" */
	float		(*dot) (const float *a, const float *b, uint32_t dim);
	float		(*l2sq) (const float *a, const float *b, uint32_t dim);
	/* four rows, stride floats apart, against one query: overlaps the misses */
	void		(*dot4) (const float *q, const float *rows, size_t stride,
						 uint32_t dim, float out[4]);
	void		(*l2sq4) (const float *q, const float *rows, size_t stride,
						  uint32_t dim, float out[4]);
} GmVecKernels;

extern GmVecKernels gm_vec;

/* false, and nothing changed, if this machine cannot run the wanted set */
extern bool gm_vec_choose(GmSimd want);

/* NULL where the set is not compiled in or the machine cannot run it */
extern const GmVecKernels *gm_vec_kernels(GmSimd which);

/*
 * Is every element finite?  If not, *bad is the first offending position.
 */
extern bool gm_vec_finite(const float *v, uint32_t dim, uint32_t *bad);

/* the sets compiled in, for vec_choose.c only: they do not ask the CPU */
extern const GmVecKernels gm_vec_scalar;
#ifdef GM_VEC_X86
extern const GmVecKernels gm_vec_avx2;
extern const GmVecKernels gm_vec_avx512;
#endif
#ifdef GM_VEC_NEON
extern const GmVecKernels gm_vec_neon;
#endif

#endif							/* GM_CORE_VEC_H */
