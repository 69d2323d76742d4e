/*-------------------------------------------------------------------------
 *
 * kernels.h
 *	  The kernels of team.h and what their arguments mean.
 *
 * Only for files of compute/.  Matrices are row-major float32 with a stride
 * that is a multiple of GM_LANES, so that kernels have no rest of columns, and
 * begin at multiples of 64 bytes.  Rows of a block: rows_a_block from
 * block * rows_a_block on, as far as there are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_COMPUTE_KERNELS_H
#define GM_COMPUTE_KERNELS_H

#include "compute/csr.h"
#include "compute/team.h"

#define GM_LANES			16
#define GM_BLOCK_ROWS		256		/* of a phase that sums nothing */
#define GM_MOST_COLUMNS		832		/* of any matrix that is summed or gathered */

/* Sums over all rows: so many partial ones, whatever the number of members. */
#define GM_STRIPS			16
#define GM_STRIP_ROWS_MIN	1024

static inline uint32_t
gm_stride(uint32_t columns)
{
	return (columns + GM_LANES - 1) / GM_LANES * GM_LANES;
}

static inline uint32_t
gm_strip_rows(uint32_t n)
{
	uint32_t	rows = n / GM_STRIPS + 1;

	return rows < GM_STRIP_ROWS_MIN ? GM_STRIP_ROWS_MIN : rows;
}

static inline uint32_t
gm_blocks(uint32_t n, uint32_t rows_a_block)
{
	return n / rows_a_block + (n % rows_a_block != 0);
}

typedef struct GmRows
{
	uint32_t	first;
	uint32_t	end;
} GmRows;

static inline GmRows
gm_block_rows(const GmBlock *b, uint32_t n, uint32_t rows_a_block)
{
	GmRows		r;

	r.first = b->block * rows_a_block;
	r.end = n - r.first < rows_a_block ? n : r.first + rows_a_block;
	return r;
}

#define GM_AT(base, offset, type)	((type *) ((base) + (offset)))

/* ---- csr.c ---- */

typedef struct GmSortArgs
{
	GmCsr		csr;
	GmOffset	kept;			/* uint32 by node: arcs left in its row */
	uint32_t	sum;			/* parallel arcs: add weights, else the largest */
} GmSortArgs;

typedef struct GmDegreeArgs
{
	GmCsr		csr;
	GmOffset	degree;			/* float by node: sum of weights */
	GmOffset	totals;			/* double by block */
} GmDegreeArgs;

extern GmStatus gm_csr_sort_block(const GmBlock *block);
extern GmStatus gm_csr_degrees_block(const GmBlock *block);

/* ---- sparse.c ---- */

typedef enum GmCoef
{
	GM_COEF_PRODUCT = 0,		/* w_ij * row_i * col_j */
	GM_COEF_LOG					/* log w_ij + row_i + col_j */
} GmCoef;

typedef enum GmCells
{
	GM_CELLS_FLOAT = 0,
	GM_CELLS_BF16				/* upper halves of floats */
} GmCells;

static inline size_t
gm_cell_bytes(uint32_t cells)
{
	return cells == GM_CELLS_BF16 ? sizeof(uint16_t) : sizeof(float);
}

/* the first k columns of n rows */
typedef struct GmMatrix
{
	GmOffset	at;
	uint32_t	stride;
	uint32_t	k;
	uint32_t	cells;
} GmMatrix;

/* of floats, without gaps */
static inline GmMatrix
gm_matrix(GmOffset at, uint32_t k)
{
	return (GmMatrix) {at, k, k, GM_CELLS_FLOAT};
}

/*
 * out_i = a * sum over arcs ij of coef_ij x_j + (b + b_row * row_i) x_i + c y_i;
 * then sum_i += d * out_i; and with take_log sum_i = log(max(1, sum_i)).
 * y may be out; x must not.  row and col nowhere: 1 (of products) or 0 (of
 * logarithms).  sum has a stride of its own, of floats whatever the cells.
 */
typedef struct GmProductArgs
{
	GmCsr		csr;
	GmOffset	x;
	GmOffset	y;
	GmOffset	out;			/* nowhere: only sum is wanted */
	GmOffset	sum;
	GmOffset	row;
	GmOffset	col;
	uint32_t	stride;
	uint32_t	sum_stride;
	uint32_t	coef;
	uint32_t	cells;			/* of x, y and out */
	uint32_t	take_log;
	float		a;
	float		b;
	float		b_row;
	float		c;
	float		d;
} GmProductArgs;

extern GmStatus gm_sparse_product_block(const GmBlock *block);

/* ---- dense.c ---- */

/* partial: doubles by strip, x.k x y.k of x^T y; y nowhere: of x^T x, upper half */
typedef struct GmGramArgs
{
	GmMatrix	x;
	GmMatrix	y;
	GmOffset	partial;
	uint32_t	n;
	uint32_t	rough;			/* products of 256 rows in float */
} GmGramArgs;

/*
 * out_i = x_i * w, w being x.k x out.k floats; out may be x, or begin where it
 * does if its stride is the same.
 */
typedef struct GmTransformArgs
{
	GmMatrix	x;
	GmMatrix	out;
	GmOffset	w;
	uint32_t	n;
} GmTransformArgs;

/* by strip and column: the largest magnitude, or the sign at the first of them */
typedef struct GmPeakArgs
{
	GmOffset	x;
	GmOffset	peaks;			/* double by strip and column */
	GmOffset	least;			/* double by column: what counts as largest */
	GmOffset	keys;			/* of nodes; nowhere: their numbers */
	GmOffset	found;			/* GmFirstPeak by strip and column */
	uint32_t	n;
	uint32_t	stride;
	uint32_t	k;
} GmPeakArgs;

typedef struct GmFirstPeak
{
	uint64_t	key;
	double		value;			/* 0: none in this strip */
} GmFirstPeak;

/* x_i *= row_i * scale (by column); then to length 1 if asked */
typedef struct GmFinishArgs
{
	GmOffset	x;
	GmOffset	row;			/* nowhere: 1 */
	GmOffset	scale;			/* nowhere: 1 */
	uint32_t	n;
	uint32_t	stride;
	uint32_t	normalize;
} GmFinishArgs;

/* out_i = a * out_i + b * x_i, x_i to length 1 first if asked; a = 0 ignores out */
typedef struct GmCombineArgs
{
	GmOffset	x;
	GmOffset	out;
	uint32_t	n;
	uint32_t	stride;
	uint32_t	normalize;
	float		a;
	float		b;
} GmCombineArgs;

typedef enum GmFill
{
	GM_FILL_SIGNS = 0,			/* -1 or 1 */
	GM_FILL_SPARSE				/* -sqrt 3, 0, sqrt 3 as 1 : 4 : 1 */
} GmFill;

/* random numbers that depend on seed, the node's key and the column alone */
typedef struct GmFillArgs
{
	GmOffset	x;
	GmOffset	keys;
	GmOffset	row;			/* factor by node; nowhere: 1 */
	uint64_t	seed;
	uint32_t	n;
	uint32_t	stride;
	uint32_t	k;				/* columns; those beyond become 0 */
	uint32_t	fill;
} GmFillArgs;

/* between matrices of any strides: columns beyond stride_x become 0 */
typedef struct GmPackArgs
{
	GmOffset	x;
	GmOffset	out;
	uint32_t	n;
	uint32_t	stride_x;
	uint32_t	stride_out;
	uint32_t	out_cells;
} GmPackArgs;

extern GmStatus gm_dense_gram_block(const GmBlock *block);
extern GmStatus gm_dense_transform_block(const GmBlock *block);
extern GmStatus gm_dense_peaks_block(const GmBlock *block);
extern GmStatus gm_dense_first_peaks_block(const GmBlock *block);
extern GmStatus gm_dense_finish_block(const GmBlock *block);
extern GmStatus gm_dense_combine_block(const GmBlock *block);
extern GmStatus gm_dense_fill_block(const GmBlock *block);
extern GmStatus gm_dense_pack_block(const GmBlock *block);

/* ---- walk.c ---- */

/*
 * The first step from landmarks: out and sum of (i, t) become
 * factor * w_ij / (d_i d_j) where j is landmark t, and 0 elsewhere.
 */
typedef struct GmScatterArgs
{
	GmCsr		csr;
	GmOffset	slots;			/* uint32 by node: t, or GM_NONE */
	GmOffset	inverse;		/* float by node: 1 / degree */
	GmOffset	out;			/* bf16 */
	GmOffset	sum;			/* float */
	uint32_t	stride;
	uint32_t	sum_stride;
	uint32_t	take_log;		/* of sum, as in a product */
	float		factor;
} GmScatterArgs;

extern GmStatus gm_walk_scatter_block(const GmBlock *block);

static inline uint16_t
gm_to_bf16(float f)
{
	union
	{
		float		f;
		uint32_t	u;
	}			v = {f};

	return (uint16_t) ((v.u + 0x7fff + (v.u >> 16 & 1)) >> 16);
}

static inline float
gm_from_bf16(uint16_t h)
{
	union
	{
		uint32_t	u;
		float		f;
	}			v = {(uint32_t) h << 16};

	return v.f;
}

#endif							/* GM_COMPUTE_KERNELS_H */
