/*-------------------------------------------------------------------------
 *
 * topology.c
 *	  Options, work memory, and the way from a graph to its vectors.
 *
 *-------------------------------------------------------------------------
 */
#include "compute/job.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_UP(bytes)	(((bytes) + 63) & ~(size_t) 63)

void
gm_topology_defaults(GmTopologyOpts *opts, GmTopologyMethod method)
{
	memset(opts, 0, sizeof(*opts));
	opts->method = method;
	opts->dim = GM_TOPOLOGY_DEFAULT_DIM;
	opts->normalize = true;
	opts->oversampling = method == GM_TOPOLOGY_WALK ? 32 : 16;
	opts->iterations = method == GM_TOPOLOGY_PRONE ? 4 : method == GM_TOPOLOGY_SMOOTH ? 3 : 2;
	opts->tolerance = 1e-3;
	opts->regularization = 0.05;
	opts->value_exponent = 0.5;
	opts->window = 10;
	opts->negative = 1;
	opts->order = 10;
	opts->mu = 0.2;
	opts->theta = 0.5;
	opts->negative_exponent = 0.75;
	opts->powers = 4;
	opts->power_weights[1] = 1;
	opts->power_weights[2] = 7.81f;
	opts->power_weights[3] = 45.28f;
	opts->degree_exponent = -0.628;
	opts->damping = 0.5;
}

/* NaN is in no range */
static bool
within(double value, double least, double most)
{
	return value >= least && value <= most;
}

static bool
good_opts(const GmTopologyOpts *o)
{
	if (!within(o->dim, 1, GM_TOPOLOGY_MAX_DIM) || !within(o->oversampling, 0, 128))
		return false;
	switch (o->method)
	{
		case GM_TOPOLOGY_SPECTRAL:
			return within(o->iterations, 1, 100) && within(o->tolerance, 0, 1) &&
				within(o->regularization, 0, 100) && within(o->value_exponent, 0, 2);
		case GM_TOPOLOGY_WALK:
			return within(o->window, 1, 100) && within(o->negative, 1e-6, 1e6);
		case GM_TOPOLOGY_PRONE:
			return within(o->iterations, 0, 100) && within(o->order, 2, 32) &&
				within(o->mu, -2, 2) && within(o->theta, 0, 10) &&
				within(o->negative_exponent, 0, 2);
		case GM_TOPOLOGY_FASTRP:
			if (!within(o->powers, 1, GM_TOPOLOGY_MAX_POWERS))
				return false;
			for (uint32_t i = 0; i < o->powers; i++)
				if (!within(o->power_weights[i], -1e6, 1e6))
					return false;
			return within(o->self_weight, -1e6, 1e6) && within(o->degree_exponent, -2, 2);
		case GM_TOPOLOGY_SMOOTH:
			return within(o->iterations, 1, 1000) && within(o->damping, 0, 1);
	}
	return false;
}

/* ---- work memory ---- */

static GmOffset
take(GmOffset *at, size_t bytes)
{
	GmOffset	here = *at;

	*at += ROUND_UP(bytes);
	return here;
}

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t
partial_bytes(uint32_t n, uint32_t most)
{
	size_t		strips = gm_blocks(n, gm_strip_rows(n));
	size_t		sums = strips * most * most * sizeof(double);
	size_t		signs = (strips + 1) * most * (sizeof(double) + sizeof(GmFirstPeak));
	size_t		totals = gm_blocks(n, GM_BLOCK_ROWS) * sizeof(double);

	return larger(sums, larger(signs, totals));
}

/* everything in the work memory from at on; the end of it */
static GmOffset
lay_out(GmJob *job, const GmTopologyOpts *opts, uint32_t n, GmOffset at)
{
	size_t		column = (size_t) n * sizeof(float);

	job->n = n;
	job->dim = opts->dim;
	job->stride = gm_stride(opts->dim);
	job->columns = opts->method == GM_TOPOLOGY_SPECTRAL || opts->method == GM_TOPOLOGY_PRONE ?
		gm_stride(opts->dim + opts->oversampling) : job->stride;
	job->most = job->columns;
	if (opts->method == GM_TOPOLOGY_WALK)
		job->most = gm_walk_kept(opts) + gm_walk_batch(opts);
	job->degree = take(&at, column);
	job->scale = take(&at, column);
	job->scale_b = take(&at, column);
	job->partial = take(&at, partial_bytes(n, job->most));
	job->small = take(&at, (size_t) job->most * job->most * sizeof(float));
	switch (opts->method)
	{
		case GM_TOPOLOGY_SPECTRAL:
			job->matrix[0] = take(&at, job->columns * column);
			job->matrix[1] = take(&at, job->columns * column);
			break;
		case GM_TOPOLOGY_WALK:
			job->matrix[0] = take(&at, job->most * column);
			/* two batches of bf16, then the result */
			job->matrix[1] = take(&at, larger(gm_walk_batch(opts), job->stride) * column);
			break;
		case GM_TOPOLOGY_PRONE:
			/* two while factorising; then, over them, two of fewer columns */
			job->matrix[0] = take(&at, job->columns * column);
			job->matrix[1] = take(&at, job->columns * column);
			job->matrix[2] = take(&at, job->stride * column);
			break;
		case GM_TOPOLOGY_FASTRP:
		case GM_TOPOLOGY_SMOOTH:
			for (int i = 0; i < 3; i++)
				job->matrix[i] = take(&at, job->stride * column);
			break;
	}
	job->matrix[3] = job->stride == job->dim ? GM_NOWHERE : take(&at, job->dim * column);
	return at;
}

size_t
gm_topology_bytes(const GmTopologyOpts *opts, uint32_t n, uint64_t arcs)
{
	GmJob		job;

	if (!good_opts(opts))
		return 0;
	return lay_out(&job, opts, n, 64) - 64;
}

/* ---- running ---- */

static GmStatus
degrees(GmJob *job)
{
	GmDegreeArgs args = {*job->graph, job->degree, job->partial};
	uint32_t	blocks = gm_blocks(job->n, GM_BLOCK_ROWS);
	const double *totals = GM_AT(job->team->base, job->partial, double);

	GM_TRY(gm_job_run(job, GM_KERNEL_DEGREES, &args, sizeof(args), blocks));
	job->volume = 0;
	for (uint32_t b = 0; b < blocks; b++)
		job->volume += totals[b];
	return GM_OK;
}

static GmStatus
run_method(GmJob *job, GmOffset *out)
{
	switch (job->opts->method)
	{
		case GM_TOPOLOGY_SPECTRAL:
			return gm_spectral_run(job, out);
		case GM_TOPOLOGY_WALK:
			return gm_walk_run(job, out);
		case GM_TOPOLOGY_PRONE:
			return gm_prone_run(job, out);
		case GM_TOPOLOGY_FASTRP:
			return gm_fastrp_run(job, out);
		case GM_TOPOLOGY_SMOOTH:
			return gm_smooth_run(job, out);
	}
	return GM_BAD_VALUE;
}

/* the graph has arcs, or vectors were given */
static GmStatus
compute(GmJob *job, GmOffset *out)
{
	GmPackArgs	pack;

	GM_TRY(degrees(job));
	GM_TRY(run_method(job, out));
	if (job->matrix[3] == GM_NOWHERE)
		return GM_OK;
	pack = (GmPackArgs) {*out, job->matrix[3], job->n, job->stride, job->dim};
	*out = job->matrix[3];
	return gm_job_run(job, GM_KERNEL_PACK, &pack, sizeof(pack),
					  gm_blocks(job->n, GM_BLOCK_ROWS));
}

static GmStatus
compute_with_memory(GmJob *job, GmOffset *out)
{
	size_t		most = job->most;
	size_t		cells = 2 * most * most + 2 * most + gm_job_lapack_cells(job->most);
	double	   *memory = malloc(cells * sizeof(double));
	GmStatus	status;

	if (memory == NULL)
		return GM_NO_MEMORY;
	job->gram = memory;
	job->vectors = job->gram + most * most;
	job->values = job->vectors + most * most;
	job->lapack = job->values + 2 * most;
	status = compute(job, out);
	free(memory);
	return status;
}

GmStatus
gm_topology_embed(GmTeam *team, const GmCsr *graph, const GmTopologyOpts *opts,
				  GmOffset given, GmOffset work, size_t work_bytes,
				  GmOffset *out, GmTopologyReport *report)
{
	GmTopologyReport unwanted;
	GmJob		job = {
		.team = team, .graph = graph, .opts = opts, .given = given,
		.report = report != NULL ? report : &unwanted
	};
	bool		smooth = opts->method == GM_TOPOLOGY_SMOOTH;

	memset(job.report, 0, sizeof(*job.report));
	if (!good_opts(opts) || (smooth && given == GM_NOWHERE) ||
		(graph->directed && !smooth && opts->method != GM_TOPOLOGY_FASTRP))
		return GM_BAD_VALUE;
	if (lay_out(&job, opts, graph->n, work) > work + work_bytes)
		return GM_NO_MEMORY;
	*out = job.matrix[0];
	if (graph->n == 0)
		return GM_OK;
	if (graph->arcs == 0 && !smooth)
	{
		memset(team->base + *out, 0, (size_t) graph->n * opts->dim * sizeof(float));
		return GM_OK;
	}
	openblas_set_num_threads(1);
	return compute_with_memory(&job, out);
}
