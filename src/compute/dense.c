/*-------------------------------------------------------------------------
 *
 * dense.c
 *	  Kernels over the rows of tall matrices: sums over all rows, products with
 *	  small matrices, random numbers, lengths.
 *
 * Rows are taken in tiles that fit into the second-level cache; a call of BLAS
 * is one tile, well below a millisecond.
 *
 *-------------------------------------------------------------------------
 */
#include "compute/kernels.h"
#include "core/hash.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#define TILE_ROWS	256

/* a row this short is no direction */
#define NO_LENGTH	1e-30

static uint64_t
key_of(const char *base, GmOffset keys, uint32_t node)
{
	return keys == GM_NOWHERE ? node : GM_AT(base, keys, uint64_t)[node];
}

static const char *
cells_of_row(const GmBlock *b, const GmMatrix *m, uint32_t row)
{
	return b->base + m->at + (size_t) row * m->stride * gm_cell_bytes(m->cells);
}

static const float *
matrix_row(const GmBlock *b, GmOffset x, uint32_t row, uint32_t stride)
{
	return GM_AT(b->base, x, float) + (size_t) row * stride;
}

/* ---- sums over rows ---- */

static void
to_doubles(double *to, const GmBlock *b, const GmMatrix *m, uint32_t row, uint32_t rows)
{
	for (uint32_t r = 0; r < rows; r++, to += m->k)
	{
		const void *from = cells_of_row(b, m, row + r);

		if (m->cells == GM_CELLS_BF16)
			for (uint32_t j = 0; j < m->k; j++)
				to[j] = gm_from_bf16(((const uint16_t *) from)[j]);
		else
			for (uint32_t j = 0; j < m->k; j++)
				to[j] = ((const float *) from)[j];
	}
}

/* where the floats are: in place or at tile; their stride */
static const float *
as_floats(float *tile, const GmBlock *b, const GmMatrix *m, uint32_t row, uint32_t rows,
		  int *stride)
{
	*stride = (int) (m->cells == GM_CELLS_BF16 ? m->k : m->stride);
	if (m->cells != GM_CELLS_BF16)
		return (const float *) cells_of_row(b, m, row);
	for (uint32_t r = 0; r < rows; r++)
	{
		const uint16_t *from = (const uint16_t *) cells_of_row(b, m, row + r);

		for (uint32_t j = 0; j < m->k; j++)
			tile[(size_t) r * m->k + j] = gm_from_bf16(from[j]);
	}
	return tile;
}

static void
add_double_gram(const GmBlock *block, uint32_t row, uint32_t rows, double *partial)
{
	const GmGramArgs *a = block->args;
	int			kx = (int) a->x.k;
	int			ky = (int) a->y.k;
	double	   *x = (double *) block->scratch;
	double	   *y = x + (size_t) TILE_ROWS * a->x.k;

	to_doubles(x, block, &a->x, row, rows);
	if (a->y.at == GM_NOWHERE)
	{
		cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, kx, (int) rows, 1, x, kx, 1, partial, kx);
		return;
	}
	to_doubles(y, block, &a->y, row, rows);
	cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, kx, ky, (int) rows, 1, x, kx, y, ky, 1,
				partial, ky);
}

static void
add_float_gram(const GmBlock *block, uint32_t row, uint32_t rows, double *partial)
{
	const GmGramArgs *a = block->args;
	bool		half = a->y.at == GM_NOWHERE;
	uint32_t	ky = half ? a->x.k : a->y.k;
	float	   *sums = (float *) block->scratch;
	float	   *tile_x = sums + (size_t) a->x.k * ky;
	float	   *tile_y = tile_x + (size_t) TILE_ROWS * a->x.k;
	int			x_stride;
	int			y_stride;
	const float *x = as_floats(tile_x, block, &a->x, row, rows, &x_stride);

	if (half)
		cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, (int) ky, (int) rows, 1, x, x_stride, 0,
					sums, (int) ky);
	else
	{
		const float *y = as_floats(tile_y, block, &a->y, row, rows, &y_stride);

		cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int) a->x.k, (int) ky, (int) rows, 1,
					x, x_stride, y, y_stride, 0, sums, (int) ky);
	}
	for (uint32_t i = 0; i < a->x.k; i++)
		for (uint32_t j = half ? i : 0; j < ky; j++)
			partial[(size_t) i * ky + j] += sums[(size_t) i * ky + j];
}

GmStatus
gm_dense_gram_block(const GmBlock *block)
{
	const GmGramArgs *a = block->args;
	GmRows		strip = gm_block_rows(block, a->n, gm_strip_rows(a->n));
	size_t		cells = (size_t) a->x.k * (a->y.at == GM_NOWHERE ? a->x.k : a->y.k);
	double	   *partial = GM_AT(block->base, a->partial, double) + block->block * cells;

	memset(partial, 0, cells * sizeof(double));
	for (uint32_t r = strip.first; r < strip.end; r += TILE_ROWS)
	{
		uint32_t	rows = strip.end - r < TILE_ROWS ? strip.end - r : TILE_ROWS;

		if (gm_interrupted(block->intr))
			return GM_INTERRUPTED;
		if (a->rough)
			add_float_gram(block, r, rows, partial);
		else
			add_double_gram(block, r, rows, partial);
	}
	return GM_OK;
}

/* ---- row by row ---- */

static void
store_floats(char *to, uint32_t cells, const float *from, uint32_t k)
{
	if (cells != GM_CELLS_BF16)
		memcpy(to, from, k * sizeof(float));
	else
		for (uint32_t j = 0; j < k; j++)
			((uint16_t *) to)[j] = gm_to_bf16(from[j]);
}

GmStatus
gm_dense_transform_block(const GmBlock *block)
{
	const GmTransformArgs *a = block->args;
	GmRows		rows = gm_block_rows(block, a->n, TILE_ROWS);
	uint32_t	n = rows.end - rows.first;
	int			kx = (int) a->x.k;
	int			ky = (int) a->out.k;
	float	   *tile = (float *) block->scratch;
	int			x_stride;
	const float *x = as_floats(tile + (size_t) TILE_ROWS * a->out.k, block, &a->x, rows.first, n,
							   &x_stride);

	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int) n, ky, kx, 1, x, x_stride,
				GM_AT(block->base, a->w, float), ky, 0, tile, ky);
	for (uint32_t r = 0; r < n; r++, tile += ky)
		store_floats((char *) cells_of_row(block, &a->out, rows.first + r), a->out.cells, tile,
					 a->out.k);
	return GM_OK;
}

GmStatus
gm_dense_peaks_block(const GmBlock *block)
{
	const GmPeakArgs *a = block->args;
	GmRows		strip = gm_block_rows(block, a->n, gm_strip_rows(a->n));
	double	   *peaks = GM_AT(block->base, a->peaks, double) + block->block * a->k;

	memset(peaks, 0, a->k * sizeof(double));
	for (uint32_t r = strip.first; r < strip.end; r++)
	{
		const float *x = matrix_row(block, a->x, r, a->stride);

		for (uint32_t j = 0; j < a->k; j++)
			if (fabsf(x[j]) > peaks[j])
				peaks[j] = fabsf(x[j]);
		if (r % 4096 == 0 && gm_interrupted(block->intr))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

GmStatus
gm_dense_first_peaks_block(const GmBlock *block)
{
	const GmPeakArgs *a = block->args;
	GmRows		strip = gm_block_rows(block, a->n, gm_strip_rows(a->n));
	const double *least = GM_AT(block->base, a->least, double);
	GmFirstPeak *found = GM_AT(block->base, a->found, GmFirstPeak) + block->block * a->k;

	memset(found, 0, a->k * sizeof(GmFirstPeak));
	for (uint32_t r = strip.first; r < strip.end; r++)
	{
		const float *x = matrix_row(block, a->x, r, a->stride);

		for (uint32_t j = 0; j < a->k; j++)
		{
			if (!(fabsf(x[j]) >= least[j]) || x[j] == 0)
				continue;
			if (found[j].value == 0 || key_of(block->base, a->keys, r) < found[j].key)
			{
				found[j].value = x[j];
				found[j].key = key_of(block->base, a->keys, r);
			}
		}
		if (r % 4096 == 0 && gm_interrupted(block->intr))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

static double
squared_length(const float *x, uint32_t k)
{
	double		sum = 0;

	for (uint32_t j = 0; j < k; j++)
		sum += (double) x[j] * x[j];
	return sum;
}

static float
to_length_one(const float *x, uint32_t k)
{
	double		length = sqrt(squared_length(x, k));

	return length > NO_LENGTH ? (float) (1 / length) : 0;
}

GmStatus
gm_dense_finish_block(const GmBlock *block)
{
	const GmFinishArgs *a = block->args;
	GmRows		rows = gm_block_rows(block, a->n, GM_BLOCK_ROWS);
	const float *scale = GM_AT(block->base, a->scale, float);

	for (uint32_t r = rows.first; r < rows.end; r++)
	{
		float	   *x = GM_AT(block->base, a->x, float) + (size_t) r * a->stride;
		float		f = a->row == GM_NOWHERE ? 1 : GM_AT(block->base, a->row, float)[r];

		for (uint32_t j = 0; j < a->stride; j++)
			x[j] *= a->scale == GM_NOWHERE ? f : f * scale[j];
		if (a->normalize)
		{
			f = to_length_one(x, a->stride);
			for (uint32_t j = 0; j < a->stride; j++)
				x[j] *= f;
		}
	}
	return GM_OK;
}

GmStatus
gm_dense_combine_block(const GmBlock *block)
{
	const GmCombineArgs *a = block->args;
	GmRows		rows = gm_block_rows(block, a->n, GM_BLOCK_ROWS);

	for (uint32_t r = rows.first; r < rows.end; r++)
	{
		const float *x = matrix_row(block, a->x, r, a->stride);
		float	   *out = GM_AT(block->base, a->out, float) + (size_t) r * a->stride;
		float		b = a->b * (a->normalize ? to_length_one(x, a->stride) : 1);

		if (a->a == 0)
			for (uint32_t j = 0; j < a->stride; j++)
				out[j] = b * x[j];
		else
			for (uint32_t j = 0; j < a->stride; j++)
				out[j] = a->a * out[j] + b * x[j];
	}
	return GM_OK;
}

GmStatus
gm_dense_pack_block(const GmBlock *block)
{
	const GmPackArgs *a = block->args;
	GmRows		rows = gm_block_rows(block, a->n, GM_BLOCK_ROWS);
	uint32_t	shared = a->stride_x < a->stride_out ? a->stride_x : a->stride_out;

	for (uint32_t r = rows.first; r < rows.end; r++)
	{
		size_t		cell = gm_cell_bytes(a->out_cells);
		char	   *out = block->base + a->out + (size_t) r * a->stride_out * cell;

		store_floats(out, a->out_cells, matrix_row(block, a->x, r, a->stride_x), shared);
		memset(out + shared * cell, 0, (a->stride_out - shared) * cell);
	}
	return GM_OK;
}

/* ---- random numbers ---- */

static uint64_t
next_random(uint64_t *state)
{
	uint64_t	z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static float
sparse_value(uint32_t random)
{
	if (random < UINT32_C(0x2aaaaaab))
		return 1.7320508f;
	if (random < UINT32_C(0x55555556))
		return -1.7320508f;
	return 0;
}

GmStatus
gm_dense_fill_block(const GmBlock *block)
{
	const GmFillArgs *a = block->args;
	GmRows		rows = gm_block_rows(block, a->n, GM_BLOCK_ROWS);

	for (uint32_t r = rows.first; r < rows.end; r++)
	{
		float	   *x = GM_AT(block->base, a->x, float) + (size_t) r * a->stride;
		float		f = a->row == GM_NOWHERE ? 1 : GM_AT(block->base, a->row, float)[r];
		uint64_t	key = key_of(block->base, a->keys, r);
		uint64_t	state = gm_hash(&key, sizeof(key), a->seed);
		uint64_t	bits = 0;

		for (uint32_t j = 0; j < a->k; j++)
		{
			if (a->fill == GM_FILL_SIGNS)
			{
				bits = j % 64 == 0 ? next_random(&state) : bits >> 1;
				x[j] = bits & 1 ? f : -f;
			}
			else
			{
				bits = j % 2 == 0 ? next_random(&state) : bits >> 32;
				x[j] = f * sparse_value((uint32_t) bits);
			}
		}
		for (uint32_t j = a->k; j < a->stride; j++)
			x[j] = 0;
	}
	return GM_OK;
}
