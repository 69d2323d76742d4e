/*-------------------------------------------------------------------------
 *
 * walk.c
 *	  Co-occurrence in random walks, factorised: the DeepWalk family without
 *	  walks.
 *
 * DeepWalk's skip-gram factorises, implicitly, the matrix
 *		M = log(max(1, vol / (b T) * (P + ... + P^T) D^-1)),	P = D^-1 A
 * with window T and b negative samples.  It is dense, and the logarithm is what
 * makes it worth more than the eigenvectors of P, so it can be neither stored
 * nor applied to a block of vectors.  But a column of it costs T products with
 * the graph, a batch of columns no more than T products of blocks; and its left
 * singular vectors are those of a sample of columns, nearly: the walks of all
 * nodes, as seen from some.  So columns of some nodes ("landmarks", drawn
 * without replacement in proportion to their degree) are computed exactly, a
 * batch at a time, and folded into a truncated singular value decomposition,
 * which never holds more than one batch besides what it keeps.  As many
 * landmarks as nodes is NetMF itself.
 *
 * Walks are kept in bf16, whose rounding (2^-9 of a value, hence 0.002 of its
 * logarithm) is far below what sampled walks would have; sums in float.
 *
 * Other forms that were looked at: sampling walks into a sparse matrix (NetSMF,
 * LightNE) needs memory for hundreds of entries a node before it is as good;
 * eigenvectors of P with the logarithm applied to their product (NetMF for
 * large windows) lose what is local, which is nearly all in graphs with few
 * arcs a node.
 *
 * Reference	Qiu, Dong, Ma, Li, Wang, Tang: Network embedding as matrix
 *				factorization (WSDM 2018), for M; U S^1/2 as there.  Drineas,
 *				Kannan, Mahoney: Fast Monte Carlo algorithms for matrices II (SIAM
 *				J. Comput. 36, 2006), for sampled columns; these are not scaled
 *				by their chance here, which on PPI was a point worse.
 * Complexity	landmarks x T x arcs; memory (dim / 4 + 3 dim) floats a node
 *
 *-------------------------------------------------------------------------
 */
#include "compute/job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

/* ---- landmarks ---- */

typedef struct Draw
{
	double		wait;			/* exponential with the degree as rate */
	uint64_t	key;
	uint32_t	node;
} Draw;

static bool
later(const Draw *a, const Draw *b)
{
	return a->wait != b->wait ? a->wait > b->wait : a->key > b->key;
}

static int
by_wait(const void *a, const void *b)
{
	return later(a, b) ? 1 : later(b, a) ? -1 : 0;
}

/* the heap's top is the latest, which goes if an earlier one comes */
static void
sift_down(Draw *heap, size_t i, size_t n)
{
	for (size_t child; (child = 2 * i + 1) < n; i = child)
	{
		Draw		swap;

		if (child + 1 < n && later(&heap[child + 1], &heap[child]))
			child++;
		if (!later(&heap[child], &heap[i]))
			return;
		swap = heap[i];
		heap[i] = heap[child];
		heap[child] = swap;
	}
}

static Draw
draw(const GmJob *job, uint32_t node, float degree)
{
	uint64_t	key = job->graph->keys == GM_NOWHERE ? node :
		GM_AT(job->team->base, job->graph->keys, uint64_t)[node];
	uint64_t	random = gm_hash(&key, sizeof(key), ~job->opts->seed);
	Draw		d = {-log(((double) (random >> 11) + 0.5) * 0x1p-53) / degree, key, node};

	return d;
}

/* *count: at most that many; fewer if fewer nodes have neighbours */
static GmStatus
draw_landmarks(const GmJob *job, Draw *heap, uint32_t *count)
{
	const float *degree = GM_AT(job->team->base, job->degree, float);
	uint32_t	n = 0;

	for (uint32_t i = 0; i < job->n; i++)
	{
		Draw		d;

		if (i % GM_INTERRUPT_EVERY == 0 && gm_interrupted(job->team->intr))
			return GM_INTERRUPTED;
		if (degree[i] == 0)
			continue;
		d = draw(job, i, degree[i]);
		if (n < *count)
		{
			heap[n++] = d;
			if (n == *count)
				for (uint32_t j = n / 2; j-- > 0;)
					sift_down(heap, j, n);
		}
		else if (later(&heap[0], &d))
		{
			heap[0] = d;
			sift_down(heap, 0, n);
		}
	}
	qsort(heap, n, sizeof(Draw), by_wait);
	*count = n;
	return GM_OK;
}

/* ---- columns ---- */

GmStatus
gm_walk_scatter_block(const GmBlock *block)
{
	const GmScatterArgs *a = block->args;
	const uint64_t *offsets = GM_AT(block->base, a->csr.offsets, uint64_t);
	const uint32_t *neighbors = GM_AT(block->base, a->csr.neighbors, uint32_t);
	const float *weights = a->csr.weights == GM_NOWHERE ? NULL :
		GM_AT(block->base, a->csr.weights, float);
	const uint32_t *slots = GM_AT(block->base, a->slots, uint32_t);
	const float *inverse = GM_AT(block->base, a->inverse, float);
	GmRows		rows = gm_block_rows(block, a->csr.n, GM_BLOCK_ROWS);

	for (uint32_t i = rows.first; i < rows.end; i++)
	{
		uint16_t   *out = GM_AT(block->base, a->out, uint16_t) + (size_t) i * a->stride;
		float	   *sum = GM_AT(block->base, a->sum, float) + (size_t) i * a->sum_stride;

		memset(out, 0, a->stride * sizeof(uint16_t));
		memset(sum, 0, a->stride * sizeof(float));
		for (uint64_t e = offsets[i]; e < offsets[i + 1]; e++)
		{
			uint32_t	t = slots[neighbors[e]];

			if (e % GM_INTERRUPT_EVERY == 0 && gm_interrupted(block->intr))
				return GM_INTERRUPTED;
			if (t == GM_NONE)
				continue;
			sum[t] = a->factor * (weights ? weights[e] : 1) * inverse[i] *
				inverse[neighbors[e]];
			out[t] = gm_to_bf16(sum[t]);
			if (a->take_log)
				sum[t] = sum[t] > 1 ? logf(sum[t]) : 0;
		}
	}
	return GM_OK;
}

/* the batch's columns of M into the cells from sum on */
static GmStatus
walk_batch(GmJob *job, GmOffset sum, uint32_t sum_stride, uint32_t batch)
{
	uint32_t	window = job->opts->window;
	GmOffset	z = job->matrix[1];
	GmOffset	next = z + (GmOffset) job->n * batch * sizeof(uint16_t);
	GmScatterArgs first = {
		.csr = *job->graph, .slots = job->scale_b, .inverse = job->scale, .out = z,
		.sum = sum, .stride = batch, .sum_stride = sum_stride,
		.take_log = window == 1,
		.factor = (float) (job->volume / (job->opts->negative * window))
	};

	gm_job_advance(job);
	GM_TRY(gm_job_run(job, GM_KERNEL_SCATTER, &first, sizeof(first),
					  gm_blocks(job->n, GM_BLOCK_ROWS)));
	for (uint32_t step = 2; step <= window; step++)
	{
		bool		last = step == window;
		GmProductArgs args = {
			.x = z, .out = last ? GM_NOWHERE : next, .sum = sum, .row = job->scale,
			.stride = batch, .sum_stride = sum_stride, .cells = GM_CELLS_BF16,
			.take_log = last, .a = 1, .d = 1
		};

		GM_TRY(gm_job_product(job, &args));
		args.x = z;
		z = next;
		next = args.x;
	}
	return GM_OK;
}

/* ---- folding ---- */

/* [kept | batch] -> the same columns' leading directions, in to's first columns */
static GmStatus
fold(GmJob *job, GmOffset x, uint32_t stride, uint32_t k, GmOffset to,
	 uint32_t to_stride, uint32_t keep, uint32_t wanted)
{
	GmMatrix	all = {x, stride, k, GM_CELLS_FLOAT};
	GmMatrix	kept = {to, to_stride, keep, GM_CELLS_FLOAT};

	GM_TRY(gm_job_gram(job, &all, NULL, true));
	GM_TRY(gm_job_eigen(job, k));
	for (uint32_t j = k; j < job->most; j++)
		job->values[j] = 0;
	for (uint32_t i = 0; i < k; i++)
		for (uint32_t j = 0; j < keep; j++)
			job->gram[(size_t) i * keep + j] =
				j < wanted && j < k ? job->vectors[(size_t) i * k + j] : 0;
	return gm_job_transform(job, &all, job->gram, keep, &kept);
}

static GmStatus
fold_all(GmJob *job, const Draw *landmarks, uint32_t count, GmOffset *out)
{
	uint32_t	keep = gm_walk_kept(job->opts);
	uint32_t	batch = gm_walk_batch(job->opts);
	uint32_t	stride = keep + batch;
	GmOffset	w = job->matrix[0];
	GmOffset	fresh = w + keep * sizeof(float);
	uint32_t   *slots = GM_AT(job->team->base, job->scale_b, uint32_t);

	memset(slots, 0xff, job->n * sizeof(uint32_t));
	for (uint32_t at = 0; at < count || at == 0; at += batch)
	{
		uint32_t	n = count - at < batch ? count - at : batch;
		bool		last = count - at <= batch;
		GmOffset	x = at == 0 ? fresh : w;

		for (uint32_t t = 0; t < n; t++)
			slots[landmarks[at + t].node] = t;
		GM_TRY(walk_batch(job, fresh, stride, batch));
		for (uint32_t t = 0; t < n; t++)
			slots[landmarks[at + t].node] = GM_NONE;
		if (last)
			GM_TRY(fold(job, x, stride, at == 0 ? batch : stride, job->matrix[1],
						job->stride, job->stride, job->dim));
		else
			GM_TRY(fold(job, x, stride, at == 0 ? batch : stride, w, stride, keep, keep));
	}
	*out = job->matrix[1];
	return GM_OK;
}

GmStatus
gm_walk_run(GmJob *job, GmOffset *out)
{
	uint32_t	batch = gm_walk_batch(job->opts);
	uint32_t	count = job->opts->landmarks;
	Draw	   *landmarks;
	GmStatus	status;

	if (count == 0)
		count = gm_topology_landmarks(job->n, job->graph->arcs);
	if (count > job->n)
		count = job->n;
	landmarks = malloc(count * sizeof(Draw));
	if (landmarks == NULL)
		return GM_NO_MEMORY;
	job->phases = gm_blocks(count, batch) * job->opts->window;
	status = draw_landmarks(job, landmarks, &count);
	job->report->landmarks = count;
	if (status == GM_OK)
		status = gm_job_degree_power(job, job->scale, 0, -1, 1);
	if (status == GM_OK)
		status = fold_all(job, landmarks, count, out);
	free(landmarks);
	GM_TRY(status);

	/* columns are singular vectors times values, values their squares; wanted is U S^1/2 */
	for (uint32_t j = 0; j < job->dim; j++)
		job->values[j] = job->values[j] > job->values[0] * 1e-10 ?
			pow(job->values[j], -0.25) : 0;
	return gm_job_finish(job, *out, job->stride, job->dim, job->values, GM_NOWHERE,
						 true, job->opts->normalize);
}
