/*-------------------------------------------------------------------------
 *
 * sparse.c
 *	  The product of the graph's matrix with a block of columns, which is what
 *	  embeddings spend their time on.
 *
 * A row is summed in registers over tiles of arcs: coefficients first, then
 * 128 columns at a time (64 without AVX-512), while the rows that the next
 * tile will need are asked for.  The sum runs in the order of the arcs, so it
 * does not depend on blocks; it does depend on the set of instructions, by
 * rounding.
 *
 * Cost		a random row is 64 bytes by 16 columns: with 128 of them and more rows
 *			than the cache holds, memory decides, and bf16 halves it
 *
 *-------------------------------------------------------------------------
 */
#include "compute/kernels.h"

#include <string.h>

#define TILE			16		/* arcs */
#define AHEAD			16		/* arcs that memory is asked for in advance */
#define LINE_BYTES		64

#define INLINE	static inline __attribute__((always_inline))

typedef float Lanes __attribute__((vector_size(64), aligned(64), may_alias));
typedef int32_t Bits __attribute__((vector_size(64), aligned(64), may_alias));
typedef uint16_t Halves __attribute__((vector_size(32), aligned(32), may_alias));
typedef uint32_t Words __attribute__((vector_size(64), aligned(64), may_alias));

/* everything that a block's rows have in common, as addresses */
typedef struct Product
{
	const GmProductArgs *args;
	const uint64_t *offsets;
	const uint32_t *neighbors;
	const float *weights;
	const float *row;
	const float *col;
	const char *x;
	const char *y;
	char	   *out;
	float	   *sum;
	size_t		row_bytes;		/* of x, y and out */
	const GmInterrupt *intr;
} Product;

/* ---- vectors of 16 ---- */

INLINE void
load_cells(const char *p, bool bf16, Lanes *cells)
{
	if (bf16)
	{
		Words		w = __builtin_convertvector(*(const Halves *) p, Words) << 16;

		*cells = (Lanes) w;
	}
	else
		*cells = *(const Lanes *) p;
}

INLINE void
store_cells(char *p, bool bf16, const Lanes *cells)
{
	if (bf16)
	{
		Words		w = (Words) *cells;

		w = (w + 0x7fff + (w >> 16 & 1)) >> 16;
		*(Halves *) p = __builtin_convertvector(w, Halves);
	}
	else
		*(Lanes *) p = *cells;
}

/*
 * log(max(1, x)) within 2e-7 of the larger of 1 and the result: x = 2^e m with
 * m in [sqrt(1/2), sqrt(2)), and log m = 2 artanh((m - 1) / (m + 1)) by its
 * series, whose fifth term is below 2^-28.
 */
INLINE void
log_or_zero(Lanes *x)
{
	Lanes		one = (Lanes) {0} + 1;
	Bits		above = *x > 1;
	Bits		v = (above & (Bits) *x) | (~above & (Bits) one);
	Bits		b = v - 0x3f3504f3;
	Bits		e = b >> 23;
	Lanes		m = (Lanes) ((b & 0x7fffff) + 0x3f3504f3);
	Lanes		t = (m - 1) / (m + 1);
	Lanes		q = t * t;
	Lanes		series = 1 + q * (1.0f / 3 + q * (1.0f / 5 + q * (1.0f / 7 + q * (1.0f / 9))));

	*x = __builtin_convertvector(e, Lanes) * 0.693147181f + 2 * t * series;
}

static float
log_weight(float w)
{
	return w == 1 ? 0 : __builtin_logf(w);
}

/* ---- one row ---- */

INLINE void
add_groups(Lanes *acc, const Product *p, const uint32_t *idx, const float *coef,
		   uint32_t n, uint32_t first, bool bf16, const uint32_t groups)
{
	size_t		group_bytes = bf16 ? sizeof(Halves) : sizeof(Lanes);
	const char *x = p->x + first * group_bytes;
	Lanes		s[8];

#pragma GCC unroll 8
	for (uint32_t g = 0; g < groups; g++)
		s[g] = acc[first + g];
	for (uint32_t t = 0; t < n; t++)
	{
		const char *from = x + idx[t] * p->row_bytes;

#pragma GCC unroll 8
		for (uint32_t g = 0; g < groups; g++)
		{
			Lanes		cells;

			load_cells(from + g * group_bytes, bf16, &cells);
			s[g] += coef[t] * cells;
		}
	}
#pragma GCC unroll 8
	for (uint32_t g = 0; g < groups; g++)
		acc[first + g] = s[g];
}

/* wide: there are 32 registers of 16 lanes */
INLINE void
add_tile(Lanes *acc, const Product *p, const uint32_t *idx, const float *coef,
		 uint32_t n, bool bf16, bool wide)
{
	uint32_t	groups = p->args->stride / GM_LANES;
	uint32_t	g = 0;

	if (wide)
		for (; g + 8 <= groups; g += 8)
			add_groups(acc, p, idx, coef, n, g, bf16, 8);
	for (; g + 4 <= groups; g += 4)
		add_groups(acc, p, idx, coef, n, g, bf16, 4);
	for (; g + 2 <= groups; g += 2)
		add_groups(acc, p, idx, coef, n, g, bf16, 2);
	if (g < groups)
		add_groups(acc, p, idx, coef, n, g, bf16, 1);
}

INLINE void
coefficients(const Product *p, uint32_t i, uint64_t e, uint32_t n, float *coef)
{
	float		row = p->row ? p->row[i] : p->args->coef == GM_COEF_LOG ? 0 : 1;

	if (p->args->coef == GM_COEF_LOG)
		for (uint32_t t = 0; t < n; t++)
			coef[t] = (p->weights ? log_weight(p->weights[e + t]) : 0) + row +
				(p->col ? p->col[p->neighbors[e + t]] : 0);
	else
		for (uint32_t t = 0; t < n; t++)
			coef[t] = (p->weights ? p->weights[e + t] : 1) * row *
				(p->col ? p->col[p->neighbors[e + t]] : 1);
}

INLINE void
finish_row(const Lanes *acc, const Product *p, uint32_t i, bool bf16)
{
	const GmProductArgs *a = p->args;
	size_t		group_bytes = bf16 ? sizeof(Halves) : sizeof(Lanes);
	size_t		at = i * p->row_bytes;
	float		own = a->b + (a->b_row != 0 ? a->b_row * p->row[i] : 0);

	for (uint32_t g = 0; g < a->stride / GM_LANES; g++, at += group_bytes)
	{
		Lanes		r = a->a * acc[g];
		Lanes		cells;

		if (own != 0)
		{
			load_cells(p->x + at, bf16, &cells);
			r += own * cells;
		}
		if (a->c != 0)
		{
			load_cells(p->y + at, bf16, &cells);
			r += a->c * cells;
		}
		if (p->out != NULL)
			store_cells(p->out + at, bf16, &r);
		if (p->sum != NULL)
		{
			Lanes	   *sum = (Lanes *) (p->sum + (size_t) i * a->sum_stride) + g;

			*sum += a->d * r;
			if (a->take_log)
				log_or_zero(sum);
		}
	}
}

INLINE void
ask_for(const Product *p, uint64_t e, uint64_t end)
{
	uint64_t	last = end - e < TILE + AHEAD ? end : e + TILE + AHEAD;

	for (e += AHEAD; e < last; e++)
		for (size_t line = 0; line < p->row_bytes; line += LINE_BYTES)
			gm_prefetch(p->x + p->neighbors[e] * p->row_bytes + line);
}

INLINE GmStatus
rows_product(const Product *p, GmRows rows, Lanes *acc, bool bf16, bool wide)
{
	uint64_t	end_of_all = p->offsets[rows.end];
	uint64_t	looked = 0;

	for (uint32_t i = rows.first; i < rows.end; i++)
	{
		uint64_t	end = p->offsets[i + 1];

		memset(acc, 0, p->args->stride * sizeof(float));
		for (uint64_t e = p->offsets[i]; e < end; e += TILE)
		{
			uint32_t	n = end - e < TILE ? (uint32_t) (end - e) : TILE;
			float		coef[TILE];

			/* into the next rows' arcs too: short rows would never be ahead */
			ask_for(p, e, end_of_all);
			coefficients(p, i, e, n, coef);
			add_tile(acc, p, p->neighbors + e, coef, n, bf16, wide);
			looked += n;
			if (looked >= GM_INTERRUPT_EVERY)
			{
				looked = 0;
				if (gm_interrupted(p->intr))
					return GM_INTERRUPTED;
			}
		}
		finish_row(acc, p, i, bf16);
	}
	return GM_OK;
}

/* ---- by cells and instructions ---- */

typedef GmStatus (*RowsFn) (const Product *p, GmRows rows, Lanes *acc);

#define DEFINE_ROWS(name, target, bf16, wide) \
	target static GmStatus \
	name(const Product *p, GmRows rows, Lanes *acc) \
	{ \
		return rows_product(p, rows, acc, bf16, wide); \
	}

#define ANY
DEFINE_ROWS(floats_any, ANY, false, false)
DEFINE_ROWS(bf16_any, ANY, true, false)

#if defined(__x86_64__) && defined(__GNUC__)
#define AVX2	__attribute__((target("avx2,fma")))
#define AVX512	__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,prefer-vector-width=512")))
DEFINE_ROWS(floats_avx2, AVX2, false, false)
DEFINE_ROWS(bf16_avx2, AVX2, true, false)
DEFINE_ROWS(floats_avx512, AVX512, false, true)
DEFINE_ROWS(bf16_avx512, AVX512, true, true)

static RowsFn
choose_rows(bool bf16)
{
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
		return bf16 ? bf16_avx512 : floats_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return bf16 ? bf16_avx2 : floats_avx2;
	return bf16 ? bf16_any : floats_any;
}
#else
static RowsFn
choose_rows(bool bf16)
{
	return bf16 ? bf16_any : floats_any;
}
#endif

static void *
address(const GmBlock *block, GmOffset at)
{
	return at == GM_NOWHERE ? NULL : block->base + at;
}

GmStatus
gm_sparse_product_block(const GmBlock *block)
{
	const GmProductArgs *a = block->args;
	GmRows		rows = gm_block_rows(block, a->csr.n, GM_BLOCK_ROWS);
	bool		bf16 = a->cells == GM_CELLS_BF16;
	Product		p;

	p.args = a;
	p.offsets = address(block, a->csr.offsets);
	p.neighbors = address(block, a->csr.neighbors);
	p.weights = address(block, a->csr.weights);
	p.row = address(block, a->row);
	p.col = address(block, a->col);
	p.x = address(block, a->x);
	p.y = address(block, a->y);
	p.out = address(block, a->out);
	p.sum = address(block, a->sum);
	p.row_bytes = (size_t) a->stride * (bf16 ? sizeof(uint16_t) : sizeof(float));
	p.intr = block->intr;
	return choose_rows(bf16) (&p, rows, (Lanes *) block->scratch);
}
