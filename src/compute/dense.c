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

static const float *
matrix_row(const GmBlock *b, GmOffset x, uint32_t row, uint32_t stride)
{
	return GM_AT(b->base, x, float) + (size_t) row * stride;
}

/* ---- sums over rows ---- */

static void
widen(double *to, const float *from, uint32_t rows, uint32_t stride, uint32_t k)
{
	for (uint32_t r = 0; r < rows; r++)
		for (uint32_t j = 0; j < k; j++)
			to[(size_t) r * k + j] = from[(size_t) r * stride + j];
}

static void
add_float_gram(const GmGramArgs *a, const float *x, int rows, float *tile,
			   double *partial)
{
	cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, (int) a->kx, rows, 1, x,
				(int) a->stride_x, 0, tile, (int) a->kx);
	for (uint32_t i = 0; i < a->kx; i++)
		for (uint32_t j = i; j < a->kx; j++)
			partial[(size_t) i * a->kx + j] += tile[(size_t) i * a->kx + j];
}

GmStatus
gm_dense_gram_block(const GmBlock *block)
{
	const GmGramArgs *a = block->args;
	GmRows		strip = gm_block_rows(block, a->n, gm_strip_rows(a->n));
	size_t		cells = (size_t) a->kx * (a->y == GM_NOWHERE ? a->kx : a->ky);
	double	   *partial = GM_AT(block->base, a->partial, double) + block->block * cells;
	double	   *wide_x = (double *) block->scratch;
	double	   *wide_y = wide_x + (size_t) TILE_ROWS * a->kx;

	memset(partial, 0, cells * sizeof(double));
	for (uint32_t r = strip.first; r < strip.end; r += TILE_ROWS)
	{
		uint32_t	rows = strip.end - r < TILE_ROWS ? strip.end - r : TILE_ROWS;
		const float *x = matrix_row(block, a->x, r, a->stride_x);

		if (gm_interrupted(block->intr))
			return GM_INTERRUPTED;
		if (a->rough)
		{
			add_float_gram(a, x, (int) rows, (float *) block->scratch, partial);
			continue;
		}
		widen(wide_x, x, rows, a->stride_x, a->kx);
		if (a->y == GM_NOWHERE)
			cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int) a->kx,
						(int) rows, 1, wide_x, (int) a->kx, 1, partial, (int) a->kx);
		else
		{
			widen(wide_y, matrix_row(block, a->y, r, a->stride_y), rows, a->stride_y,
				  a->ky);
			cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int) a->kx,
						(int) a->ky, (int) rows, 1, wide_x, (int) a->kx, wide_y,
						(int) a->ky, 1, partial, (int) a->ky);
		}
	}
	return GM_OK;
}

/* ---- row by row ---- */

GmStatus
gm_dense_transform_block(const GmBlock *block)
{
	const GmTransformArgs *a = block->args;
	GmRows		rows = gm_block_rows(block, a->n, TILE_ROWS);
	uint32_t	n = rows.end - rows.first;
	float	   *tile = (float *) block->scratch;

	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int) n, (int) a->ky,
				(int) a->kx, 1, matrix_row(block, a->x, rows.first, a->stride_x),
				(int) a->stride_x, GM_AT(block->base, a->w, float), (int) a->ky, 0,
				tile, (int) a->ky);
	for (uint32_t r = 0; r < n; r++)
		memcpy(GM_AT(block->base, a->out, float) +
			   (size_t) (rows.first + r) * a->stride_out,
			   tile + (size_t) r * a->ky, a->ky * sizeof(float));
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
		float	   *out = GM_AT(block->base, a->out, float) + (size_t) r * a->stride_out;

		memcpy(out, matrix_row(block, a->x, r, a->stride_x), shared * sizeof(float));
		memset(out + shared, 0, (a->stride_out - shared) * sizeof(float));
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
