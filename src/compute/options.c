/*-------------------------------------------------------------------------
 *
 * options.c
 *	  Options of the methods and the memory that they take.
 *
 * Nothing here needs OpenBLAS: the server's own module has it too, for
 * estimates and checks in sessions.
 *
 *-------------------------------------------------------------------------
 */
#include "compute/job.h"

#define ROUND_UP(bytes)	(((bytes) + 63) & ~(size_t) 63)

#define MOST_BATCH			128
#define MOST_LANDMARKS		4096
#define LEAST_LANDMARKS		1024

/* landmarks x arcs, while that leaves LEAST_LANDMARKS: seconds rather than minutes */
#define COLUMN_ARCS			(UINT64_C(1) << 34)

void
gm_topology_defaults(GmTopologyOpts *opts, GmTopologyMethod method)
{
	memset(opts, 0, sizeof(*opts));
	opts->method = method;
	opts->dim = GM_TOPOLOGY_DEFAULT_DIM;

	/*
	 * Classifiers with a fixed penalty see the scale of vectors, which the paper
	 * of FastRP leaves open.  Rows of length 5, as a tenth of its weights gives,
	 * reach on BlogCatalog what the weights themselves (52) reach, where length 1
	 * loses a fifth, and on PPI more than these, if a little less than 1 does
	 * (test/bench/quality.sh core).  Rows of the others suit with length 1.
	 */
	opts->normalize = method != GM_TOPOLOGY_FASTRP;
	opts->oversampling = method == GM_TOPOLOGY_WALK ? 32 : 16;
	opts->iterations = method == GM_TOPOLOGY_PRONE ? 4 : method == GM_TOPOLOGY_SMOOTH ? 3 : 2;
	opts->tolerance = 1e-3;
	opts->regularization = 0.05;
	opts->value_exponent = method == GM_TOPOLOGY_PRONE ? 0.75 : 0.5;
	opts->window = 10;
	opts->negative = 1;
	opts->order = 10;
	opts->mu = 0.2;
	opts->theta = 0.5;
	opts->negative_exponent = 0.75;
	opts->powers = 4;
	opts->power_weights[1] = 0.1f;
	opts->power_weights[2] = 0.781f;
	opts->power_weights[3] = 4.528f;
	opts->degree_exponent = -0.628;
	opts->damping = 0.5;
}

/* NaN is in no range */
static bool
within(GmTopologyRange *bad, const char *name, double value, double least, double most)
{
	if (value >= least && value <= most)
		return true;
	if (bad != NULL)
		*bad = (GmTopologyRange) {name, least, most};
	return false;
}

static bool
check_spectral(const GmTopologyOpts *o, GmTopologyRange *bad)
{
	return within(bad, "iterations", o->iterations, 1, 100) &&
		within(bad, "tolerance", o->tolerance, 0, 1) &&
		within(bad, "regularization", o->regularization, 0, 100) &&
		within(bad, "value_exponent", o->value_exponent, 0, 2);
}

static bool
check_walk(const GmTopologyOpts *o, GmTopologyRange *bad)
{
	return within(bad, "window", o->window, 1, 100) &&
		within(bad, "negative", o->negative, 1e-6, 1e6);
}

static bool
check_prone(const GmTopologyOpts *o, GmTopologyRange *bad)
{
	return within(bad, "iterations", o->iterations, 0, 100) &&
		within(bad, "order", o->order, 2, 32) && within(bad, "mu", o->mu, -2, 2) &&
		within(bad, "theta", o->theta, 0, 10) &&
		within(bad, "negative_exponent", o->negative_exponent, 0, 2) &&
		within(bad, "value_exponent", o->value_exponent, 0, 2);
}

static bool
check_fastrp(const GmTopologyOpts *o, GmTopologyRange *bad)
{
	if (!within(bad, "powers", o->powers, 1, GM_TOPOLOGY_MAX_POWERS))
		return false;
	for (uint32_t i = 0; i < o->powers; i++)
		if (!within(bad, "power_weights", o->power_weights[i], -1e6, 1e6))
			return false;
	return within(bad, "self_weight", o->self_weight, -1e6, 1e6) &&
		within(bad, "degree_exponent", o->degree_exponent, -2, 2);
}

static bool
check_smooth(const GmTopologyOpts *o, GmTopologyRange *bad)
{
	return within(bad, "iterations", o->iterations, 1, 1000) &&
		within(bad, "damping", o->damping, 0, 1);
}

bool
gm_topology_check(const GmTopologyOpts *o, GmTopologyRange *bad)
{
	if (!within(bad, "dim", o->dim, 1, GM_TOPOLOGY_MAX_DIM) ||
		!within(bad, "oversampling", o->oversampling, 0, GM_TOPOLOGY_MAX_OVERSAMPLING))
		return false;
	switch (o->method)
	{
		case GM_TOPOLOGY_SPECTRAL:
			return check_spectral(o, bad);
		case GM_TOPOLOGY_WALK:
			return check_walk(o, bad);
		case GM_TOPOLOGY_PRONE:
			return check_prone(o, bad);
		case GM_TOPOLOGY_FASTRP:
			return check_fastrp(o, bad);
		case GM_TOPOLOGY_SMOOTH:
			return check_smooth(o, bad);
	}
	return within(bad, "method", o->method, GM_TOPOLOGY_SPECTRAL, GM_TOPOLOGY_SMOOTH);
}

/* ---- columns of walk ---- */

uint32_t
gm_topology_landmarks(uint32_t n, uint64_t arcs)
{
	uint64_t	m = COLUMN_ARCS / (arcs + 1);

	if (m > MOST_LANDMARKS)
		m = MOST_LANDMARKS;
	if (m < LEAST_LANDMARKS)
		m = LEAST_LANDMARKS;
	m = m / MOST_BATCH * MOST_BATCH;
	return m < n ? (uint32_t) m : n;
}

uint32_t
gm_walk_kept(const GmTopologyOpts *opts)
{
	return gm_stride(opts->dim + opts->oversampling);
}

uint32_t
gm_walk_batch(const GmTopologyOpts *opts)
{
	uint32_t	stride = gm_stride(opts->dim);

	return stride < MOST_BATCH ? stride : MOST_BATCH;
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

GmOffset
gm_job_lay_out(GmJob *job, const GmTopologyOpts *opts, uint32_t n, GmOffset at)
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

	if (!gm_topology_check(opts, NULL))
		return 0;
	return gm_job_lay_out(&job, opts, n, 64) - 64;
}
