/*-------------------------------------------------------------------------
 *
 * csr.c
 *	  Compressed sparse rows from arcs in any order, and degrees.
 *
 * Arcs are counted into the offsets, then put behind cursors; blocks of rows
 * are sorted and merged where they lie, and the leader moves them together.
 *
 *-------------------------------------------------------------------------
 */
#include "compute/kernels.h"

#include <string.h>

#define ROUND_UP(bytes)	(((bytes) + 63) & ~(size_t) 63)
#define INSERTION_BELOW	24

static uint64_t
places(const GmCsrOpts *opts, uint64_t arcs)
{
	return opts->directed ? arcs : 2 * arcs;
}

size_t
gm_csr_bytes(const GmCsrOpts *opts, uint32_t n, uint64_t arcs)
{
	uint64_t	room = places(opts, arcs);

	return ROUND_UP(((size_t) n + 1) * sizeof(uint64_t)) +
		ROUND_UP((size_t) n * sizeof(uint32_t)) +
		ROUND_UP(room * sizeof(uint32_t)) +
		(opts->weighted ? ROUND_UP(room * sizeof(float)) : 0);
}

void
gm_csr_begin(GmCsrBuild *build, char *base, GmOffset at,
			 const GmCsrOpts *opts, uint32_t n, uint64_t arcs)
{
	build->base = base;
	build->opts = *opts;
	build->room = places(opts, arcs);
	memset(&build->csr, 0, sizeof(build->csr));
	build->csr.n = n;
	build->csr.directed = opts->directed;
	build->csr.offsets = at;
	at += ROUND_UP(((size_t) n + 1) * sizeof(uint64_t));
	build->cursor = at;
	at += ROUND_UP((size_t) n * sizeof(uint32_t));
	build->csr.neighbors = at;
	at += ROUND_UP(build->room * sizeof(uint32_t));
	if (opts->weighted)
		build->csr.weights = at;
	memset(base + build->csr.offsets, 0, ((size_t) n + 1) * sizeof(uint64_t));
	memset(base + build->cursor, 0, (size_t) n * sizeof(uint32_t));
}

static GmStatus
check_arc(const GmCsrBuild *build, uint32_t from, uint32_t to, float weight)
{
	if (from >= build->csr.n || to >= build->csr.n || !(weight >= 0))
		return GM_BAD_VALUE;
	return GM_OK;
}

static bool
left_out(const GmCsrBuild *build, uint32_t from, uint32_t to, float weight)
{
	return (build->opts.weighted && weight == 0) ||
		(build->opts.drop_loops && from == to);
}

GmStatus
gm_csr_count(GmCsrBuild *build, uint32_t from, uint32_t to, float weight)
{
	uint64_t   *offsets = GM_AT(build->base, build->csr.offsets, uint64_t);
	bool		both = !build->opts.directed && from != to;

	GM_TRY(check_arc(build, from, to, weight));
	if (left_out(build, from, to, weight))
		return GM_OK;
	if (build->csr.arcs + 1 + both > build->room)
		return GM_TOO_MANY;
	build->csr.arcs += 1 + both;
	offsets[from + 1]++;
	if (both)
		offsets[to + 1]++;
	return GM_OK;
}

void
gm_csr_counted(GmCsrBuild *build)
{
	uint64_t   *offsets = GM_AT(build->base, build->csr.offsets, uint64_t);

	for (uint32_t i = 0; i < build->csr.n; i++)
		offsets[i + 1] += offsets[i];
}

static GmStatus
put_one(GmCsrBuild *build, uint32_t from, uint32_t to, float weight)
{
	const uint64_t *offsets = GM_AT(build->base, build->csr.offsets, uint64_t);
	uint32_t   *cursor = GM_AT(build->base, build->cursor, uint32_t);
	uint64_t	place = offsets[from] + cursor[from];

	if (place >= offsets[from + 1])
		return GM_TOO_MANY;
	cursor[from]++;
	GM_AT(build->base, build->csr.neighbors, uint32_t)[place] = to;
	if (build->csr.weights != GM_NOWHERE)
	{
		if (weight < GM_CSR_MIN_WEIGHT)
			weight = GM_CSR_MIN_WEIGHT;
		if (weight > GM_CSR_MAX_WEIGHT)
			weight = GM_CSR_MAX_WEIGHT;
		GM_AT(build->base, build->csr.weights, float)[place] = weight;
	}
	return GM_OK;
}

GmStatus
gm_csr_put(GmCsrBuild *build, uint32_t from, uint32_t to, float weight)
{
	GM_TRY(check_arc(build, from, to, weight));
	if (left_out(build, from, to, weight))
		return GM_OK;
	GM_TRY(put_one(build, from, to, weight));
	if (!build->opts.directed && from != to)
		GM_TRY(put_one(build, to, from, weight));
	return GM_OK;
}

/* ---- sorting ---- */

static void
exchange(uint32_t *v, float *w, size_t i, size_t j)
{
	uint32_t	node = v[i];

	v[i] = v[j];
	v[j] = node;
	if (w != NULL)
	{
		float		weight = w[i];

		w[i] = w[j];
		w[j] = weight;
	}
}

static void
insertion_sort(uint32_t *v, float *w, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j > 0 && v[j] < v[j - 1]; j--)
			exchange(v, w, j, j - 1);
}

static void
sift_down(uint32_t *v, float *w, size_t i, size_t n)
{
	for (size_t child; (child = 2 * i + 1) < n; i = child)
	{
		if (child + 1 < n && v[child + 1] > v[child])
			child++;
		if (v[child] <= v[i])
			return;
		exchange(v, w, i, child);
	}
}

static void
heap_sort(uint32_t *v, float *w, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift_down(v, w, i, n);
	for (size_t end = n; end-- > 1;)
	{
		exchange(v, w, 0, end);
		sift_down(v, w, 0, end);
	}
}

/*
 * Quicksort that takes the heap where it is unlucky.  Equal neighbours may
 * change places, which only their merging sees: it adds in double, and asks
 * for the largest.
 */
static GmStatus
sort_row(uint32_t *v, float *w, size_t n, int luck, const GmInterrupt *intr)
{
	while (n > INSERTION_BELOW)
	{
		size_t		low = 0;
		size_t		high = n - 1;
		uint32_t	a = v[0];
		uint32_t	b = v[n / 2];
		uint32_t	c = v[n - 1];
		uint32_t	pivot = a < b ? (b < c ? b : a < c ? c : a) :
			(a < c ? a : b < c ? c : b);

		if (luck-- == 0)
		{
			heap_sort(v, w, n);
			return GM_OK;
		}
		if (n > GM_INTERRUPT_EVERY && gm_interrupted(intr))
			return GM_INTERRUPTED;
		for (;;)
		{
			while (v[low] < pivot)
				low++;
			while (v[high] > pivot)
				high--;
			if (low >= high)
				break;
			exchange(v, w, low++, high--);
		}
		GM_TRY(sort_row(v, w, low, luck, intr));
		v += low;
		if (w != NULL)
			w += low;
		n -= low;
	}
	insertion_sort(v, w, n);
	return GM_OK;
}

static uint32_t
merge_row(uint32_t *v, float *w, uint64_t n, bool add)
{
	uint32_t	kept = 0;

	for (uint64_t i = 0; i < n;)
	{
		uint32_t	node = v[i];
		double		total = 0;
		float		largest = 0;

		for (; i < n && v[i] == node; i++)
		{
			float		weight = w != NULL ? w[i] : 1;

			total += weight;
			if (weight > largest)
				largest = weight;
		}
		v[kept] = node;
		if (w != NULL)
		{
			w[kept] = add ? (float) total : largest;
			if (w[kept] > GM_CSR_MAX_WEIGHT)
				w[kept] = GM_CSR_MAX_WEIGHT;
		}
		kept++;
	}
	return kept;
}

GmStatus
gm_csr_sort_block(const GmBlock *block)
{
	const GmSortArgs *a = block->args;
	const uint64_t *offsets = GM_AT(block->base, a->csr.offsets, uint64_t);
	uint32_t   *neighbors = GM_AT(block->base, a->csr.neighbors, uint32_t);
	float	   *weights = a->csr.weights == GM_NOWHERE ? NULL :
		GM_AT(block->base, a->csr.weights, float);
	uint32_t   *kept = GM_AT(block->base, a->kept, uint32_t);
	GmRows		rows = gm_block_rows(block, a->csr.n, GM_BLOCK_ROWS);
	uint64_t	looked = 0;

	for (uint32_t i = rows.first; i < rows.end; i++)
	{
		uint32_t   *v = neighbors + offsets[i];
		float	   *w = weights == NULL ? NULL : weights + offsets[i];
		uint64_t	n = offsets[i + 1] - offsets[i];

		/* 2 log2 of 2^32 */
		GM_TRY(sort_row(v, w, n, 64, block->intr));
		kept[i] = merge_row(v, w, n, a->sum != 0);
		looked += n;
		if (looked > GM_INTERRUPT_EVERY)
		{
			looked = 0;
			if (gm_interrupted(block->intr))
				return GM_INTERRUPTED;
		}
	}
	return GM_OK;
}

static GmStatus
close_gaps(GmCsrBuild *build, const GmInterrupt *intr)
{
	uint64_t   *offsets = GM_AT(build->base, build->csr.offsets, uint64_t);
	const uint32_t *kept = GM_AT(build->base, build->cursor, uint32_t);
	uint32_t   *neighbors = GM_AT(build->base, build->csr.neighbors, uint32_t);
	uint64_t	from = 0;
	uint64_t	to = 0;

	for (uint32_t i = 0; i < build->csr.n; i++)
	{
		uint64_t	next = offsets[i + 1];

		memmove(neighbors + to, neighbors + from, kept[i] * sizeof(uint32_t));
		if (build->csr.weights != GM_NOWHERE)
		{
			float	   *weights = GM_AT(build->base, build->csr.weights, float);

			memmove(weights + to, weights + from, kept[i] * sizeof(float));
		}
		offsets[i] = to;
		to += kept[i];
		from = next;
		if (i % GM_INTERRUPT_EVERY == 0 && gm_interrupted(intr))
			return GM_INTERRUPTED;
	}
	offsets[build->csr.n] = to;
	build->csr.arcs = to;
	return GM_OK;
}

GmStatus
gm_csr_finish(GmCsrBuild *build, GmTeam *team, GmCsr *csr)
{
	const uint64_t *offsets = GM_AT(build->base, build->csr.offsets, uint64_t);
	const uint32_t *cursor = GM_AT(build->base, build->cursor, uint32_t);
	GmSortArgs	args = {build->csr, build->cursor, build->opts.sum_parallel};

	for (uint32_t i = 0; i < build->csr.n; i++)
		if (offsets[i] + cursor[i] != offsets[i + 1])
			return GM_TOO_MANY;
	GM_TRY(team->run(team, GM_KERNEL_SORT_ROWS, &args, sizeof(args),
					 gm_blocks(build->csr.n, GM_BLOCK_ROWS)));
	GM_TRY(close_gaps(build, team->intr));
	*csr = build->csr;
	return GM_OK;
}

GmStatus
gm_csr_from_arcs(GmTeam *team, GmOffset at, const GmCsrOpts *opts, uint32_t n,
				 uint64_t arcs, const uint32_t *from, const uint32_t *to,
				 const float *weight, GmCsr *csr)
{
	GmCsrBuild	build;

	gm_csr_begin(&build, team->base, at, opts, n, arcs);
	for (uint64_t i = 0; i < arcs; i++)
	{
		if (i % GM_INTERRUPT_EVERY == 0 && gm_interrupted(team->intr))
			return GM_INTERRUPTED;
		GM_TRY(gm_csr_count(&build, from[i], to[i], weight ? weight[i] : 1));
	}
	gm_csr_counted(&build);
	for (uint64_t i = 0; i < arcs; i++)
	{
		if (i % GM_INTERRUPT_EVERY == 0 && gm_interrupted(team->intr))
			return GM_INTERRUPTED;
		GM_TRY(gm_csr_put(&build, from[i], to[i], weight ? weight[i] : 1));
	}
	return gm_csr_finish(&build, team, csr);
}

/* ---- degrees ---- */

/* Also the place where a graph that somebody else made is looked at. */
GmStatus
gm_csr_degrees_block(const GmBlock *block)
{
	const GmDegreeArgs *a = block->args;
	const uint64_t *offsets = GM_AT(block->base, a->csr.offsets, uint64_t);
	const uint32_t *neighbors = GM_AT(block->base, a->csr.neighbors, uint32_t);
	const float *weights = a->csr.weights == GM_NOWHERE ? NULL :
		GM_AT(block->base, a->csr.weights, float);
	float	   *degree = GM_AT(block->base, a->degree, float);
	GmRows		rows = gm_block_rows(block, a->csr.n, GM_BLOCK_ROWS);
	double		total = 0;

	for (uint32_t i = rows.first; i < rows.end; i++)
	{
		double		d = 0;

		if (offsets[i] > offsets[i + 1] || offsets[i + 1] > a->csr.arcs)
			return GM_BAD_VALUE;
		for (uint64_t e = offsets[i]; e < offsets[i + 1]; e++)
		{
			float		w = weights != NULL ? weights[e] : 1;

			if (neighbors[e] >= a->csr.n ||
				!(w >= GM_CSR_MIN_WEIGHT && w <= GM_CSR_MAX_WEIGHT))
				return GM_BAD_VALUE;
			d += w;
			if (e % GM_INTERRUPT_EVERY == 0 && gm_interrupted(block->intr))
				return GM_INTERRUPTED;
		}
		degree[i] = (float) d;
		total += d;
	}
	GM_AT(block->base, a->totals, double)[block->block] = total;
	return GM_OK;
}
