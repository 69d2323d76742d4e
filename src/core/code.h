/*-------------------------------------------------------------------------
 *
 * code.h
 *	  Short codes of vectors, for finding candidates: int8 after a random
 *	  rotation, half precision, or float32 as it is.
 *
 * A vector x is normalised (under cosine), a centre is subtracted, the rest is
 * rotated (int8 only) and divided by a scale of the vector's own.  A code is
 * the elements, zeros up to tail, and a GmCodeTail.  With q' and x' for what
 * is left of the query and of the vector after the subtraction of the centre c,
 *
 *	 l2			|q - x|^2 = 2 (|q'|^2 / 2 + |x'|^2 / 2 - q'x')		(the square)
 *	 cosine		1 - qx = |q'|^2 / 2 + |x'|^2 / 2 - q'x'
 *	 ip			-qx = (cc - cq) - cx - q'x'
 *
 * each of which is  unit * (bias(query) + offset(x) + factor(query) * scale(x) *
 * dot), where dot is over the stored elements.  That is a code's distance here:
 * under l2 the square, else what vec.h has.  Halves, since the squares of what
 * is left of vectors that space.h takes reach FLT_MAX.  The centre takes from
 * embeddings what they all share and leaves the levels of int8 to what tells
 * them apart.
 *
 * Where x' is stored as y = x' + e, |y|^2 - |e|^2 stands for |x'|^2.  The
 * distance is then wrong by (q' - x') times the errors, not by q' and x' times
 * them, so that it is the nearer pairs whose distances are the more exact.
 *
 * Rotation: three rounds of random signs and a fast Walsh-Hadamard transform
 * over the first, then the same with other signs over the last 2^k elements, 2^k
 * <= dim < 2^(k+1), once where these are all: O(dim log dim), orthogonal, and the
 * same for a dimension in every process and build.
 * It spreads a few large elements over all, so that no level is wasted on them.
 *
 * Kernels come in sets as those of vec.h do and are chosen with them.  The
 * distance of a pair does not depend on which of the two is the query beyond
 * rounding.
 *
 * Interface
 *	 gm_coder_init		what is fixed by dimension, metric and kind
 *	 gm_coder_centre	where to subtract
 *	 gm_code_encode		a vector's code
 *	 gm_query_bytes, gm_query_init	room for a query, made once
 *	 gm_query_vector	a query that is a vector
 *	 gm_query_code		a query that is a code itself (building)
 *	 gm_query_many		distances to several codes, fetched ahead
 *	 gm_query_one
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_CODE_H
#define GM_CORE_CODE_H

#include "core/base.h"
#include "core/vec.h"

typedef enum GmCodeKind
{
	GM_CODE_INT8 = 0,			/* elements in [-127, 127] */
	GM_CODE_F16,				/* IEEE 754 binary16, in [-1, 1] */
	GM_CODE_NONE				/* float32 */
} GmCodeKind;

typedef struct GmCodeTail
{
	float		scale;			/* of the elements; 0 for a vector that is the centre */
	float		offset;			/* -cx for inner products, else |x'|^2 / 2 */
} GmCodeTail;

typedef struct GmCoder
{
	uint32_t	dim;
	GmMetric	metric;
	GmCodeKind	kind;
	uint32_t	tail;			/* bytes before the tail */
	uint32_t	stride;			/* bytes from code to code: a multiple of 8, of 64 where
								 * that wastes less than a sixteenth */
	const float *centre;		/* NULL: the origin */
	double		centre_square;
} GmCoder;

/* codes are followed by so many readable bytes: kernels read whole blocks */
#define GM_CODE_SLACK	64

/* codes of one query; lies in memory aligned to 64 */
typedef struct GmQuery
{
	const GmCoder *coder;
	float		unit;			/* 2 under l2, else 1 */
	float		bias;
	float		factor;
	int32_t		sum;			/* int8: of the elements */
	uint32_t	padded;			/* elements, with the zeros behind them */
	void	   *element;		/* int8 or float, aligned to 64, padded to 64 bytes */
	float	   *work;			/* dim floats */
} GmQuery;

typedef struct GmCodeKernels
{
	const char *name;

	/*
	 * Dot products of the query's elements with those of n codes; the codes
	 * from ahead on are fetched while earlier ones are computed.
	 */
	void		(*int8) (const GmQuery *query, const void *const *code, uint32_t n, float *dot);
	void		(*f16) (const GmQuery *query, const void *const *code, uint32_t n, float *dot);
	void		(*f32) (const GmQuery *query, const void *const *code, uint32_t n, float *dot);

	/* float32 to binary16 and back, rounded to nearest even */
	void		(*to_f16) (const float *from, uint16_t *to, uint32_t n);
} GmCodeKernels;

extern GmCodeKernels gm_code;	/* set by gm_vec_choose */

extern void gm_coder_init(GmCoder *coder, uint32_t dim, GmMetric metric, GmCodeKind kind);

/* centre: dim floats that stay, of normalised vectors under cosine; NULL: none */
extern void gm_coder_centre(GmCoder *coder, const float *centre);

/*
 * scale: what the vector is multiplied by first, 1 / length under cosine, else
 * 1.  work: dim floats.  The vector is finite and of a square that space.h takes.
 */
extern void gm_code_encode(const GmCoder *coder, const float *vector, float scale,
						   float *work, void *code);

/* memory: gm_query_bytes, aligned to 64; kept by the query */
extern size_t gm_query_bytes(const GmCoder *coder);
extern GmQuery *gm_query_init(const GmCoder *coder, void *memory);
extern void gm_query_vector(GmQuery *query, const float *vector, float scale);
extern void gm_query_code(GmQuery *query, const void *code);

/* distance[i] of code[i]; smaller is nearer */
extern void gm_query_many(const GmQuery *query, const void *const *code, uint32_t n,
						  float *distance);
extern float gm_query_one(const GmQuery *query, const void *code);

/*
 * The set that goes with gm_vec_kernels(which), the best one where the CPU has
 * several; a CPU that lacks what codes need besides gets the next lower one.
 * NULL where that is NULL.
 */
extern const GmCodeKernels *gm_code_kernels(GmSimd which);

/* the sets compiled in, for vec_choose.c and tests: they do not ask the CPU */
extern const GmCodeKernels gm_code_scalar;
#ifdef GM_VEC_X86
extern const GmCodeKernels gm_code_avx2;	/* with FMA and F16C */
extern const GmCodeKernels gm_code_avx512;	/* F, BW */
extern const GmCodeKernels gm_code_vnni;	/* and VNNI */
#endif
#ifdef GM_VEC_NEON
extern const GmCodeKernels gm_code_neon;
#endif

static inline const GmCodeTail *
gm_code_tail(const GmCoder *coder, const void *code)
{
	return (const GmCodeTail *) ((const char *) code + coder->tail);
}

#endif							/* GM_CORE_CODE_H */
