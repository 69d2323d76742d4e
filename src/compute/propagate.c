/*-------------------------------------------------------------------------
 *
 * propagate.c
 *	  Message passing: ProNE, FastRP, and smoothing of given vectors.
 *
 * ProNE's first step factorises the sparse matrix with
 *		F_ij = log(w_ij / d_i) - log(noise_j),	noise ~ (column sums of P)^0.75
 * at the arcs, by randomised singular value decomposition.  Its elements are
 * sums of something of the row and something of the column, so F is not stored.
 *
 * Its second step multiplies by a band-pass filter of Q = (D + I)^-1 (A + I), a
 * Chebyshev series in (I - Q - mu I)^2, and then by A + I.  That is one
 * polynomial of Q, as which it is expanded here anew, by Chebyshev polynomials
 * of Q itself: the same result to float's precision with half the products and
 * without the fourth and fifth matrix.
 *
 * The result is U S^0.75 of what that leaves, where ProNE has U S^0.5: on PPI's
 * node classes that is 0.3 points better (a point where training is scarce).
 *
 * FastRP normalises each power's rows before it is weighted, as its authors'
 * program and GDS do.  Unlike there the result's rows are normalised too unless
 * told otherwise, which classifiers like by points.
 *
 * Reference	Zhang, Dong, Wang, Tang, Ding: ProNE (IJCAI 2019); Halko, Martinsson,
 *				Tropp: Finding structure with randomness (SIAM Review 53, 2011);
 *				Chen, Sultan, Tian, Chen, Skiena: Fast and accurate network
 *				embeddings via very sparse random projection (CIKM 2019)
 * Complexity	prone: about 2 x iterations + 13 products; fastrp: powers; smooth:
 *				iterations
 *
 *-------------------------------------------------------------------------
 */
#include "compute/job.h"

#include <math.h>
#include <string.h>

#include "core/vec.h"

/* ---- ProNE, first step ---- */

/* noise_j into the first column of the matrix at out, of stride GM_LANES */
static GmStatus
column_sums(GmJob *job, GmOffset x, GmOffset out)
{
	GmProductArgs args = {.x = x, .out = out, .stride = GM_LANES, .a = 1};
	const float *degree = GM_AT(job->team->base, job->degree, float);
	float	   *cells = GM_AT(job->team->base, x, float);

	for (uint32_t i = 0; i < job->n; i++)
	{
		memset(cells + (size_t) i * GM_LANES, 0, GM_LANES * sizeof(float));
		if (degree[i] > 0)
			cells[(size_t) i * GM_LANES] = 1 / degree[i];
		if (i % GM_INTERRUPT_EVERY == 0 && gm_interrupted(job->team->intr))
			return GM_INTERRUPTED;
	}
	return gm_job_product(job, &args);
}

/* scale: -log degree; scale_b: -log noise */
static GmStatus
logarithms(GmJob *job)
{
	float	   *of_degree = GM_AT(job->team->base, job->scale, float);
	float	   *of_noise = GM_AT(job->team->base, job->scale_b, float);
	const float *degree = GM_AT(job->team->base, job->degree, float);
	const float *sums = GM_AT(job->team->base, job->matrix[1], float);
	double		total = 0;

	GM_TRY(column_sums(job, job->matrix[0], job->matrix[1]));
	for (uint32_t i = 0; i < job->n; i++)
		total += pow(sums[(size_t) i * GM_LANES], job->opts->negative_exponent) *
			(degree[i] > 0);
	for (uint32_t i = 0; i < job->n; i++)
	{
		bool		alone = degree[i] == 0;

		of_degree[i] = alone ? 0 : (float) -log(degree[i]);
		of_noise[i] = alone ? 0 : (float)
			(log(total) - job->opts->negative_exponent * log(sums[(size_t) i * GM_LANES]));
		if (i % GM_INTERRUPT_EVERY == 0 && gm_interrupted(job->team->intr))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

static GmStatus
log_product(GmJob *job, GmOffset x, GmOffset out, bool transposed)
{
	GmProductArgs args = {
		.x = x, .out = out, .stride = job->columns, .coef = GM_COEF_LOG, .a = 1,
		.row = transposed ? job->scale_b : job->scale,
		.col = transposed ? job->scale : job->scale_b
	};

	return gm_job_product(job, &args);
}

/* U S^1/2 with rows of length 1, at out */
static GmStatus
factorize(GmJob *job, GmOffset out)
{
	GmOffset	x = job->matrix[0];
	GmOffset	y = job->matrix[1];
	uint32_t	k = job->columns;
	GmMatrix	left = gm_matrix(y, k);
	GmMatrix	right = gm_matrix(x, k);
	GmMatrix	u = gm_matrix(out, job->stride);

	GM_TRY(logarithms(job));
	GM_TRY(gm_job_fill(job, x, k, k, GM_FILL_SIGNS, GM_NOWHERE));
	GM_TRY(log_product(job, x, y, false));
	for (uint32_t i = 0; i < job->opts->iterations; i++)
	{
		GM_TRY(gm_job_orthonormalize(job, &left));
		GM_TRY(log_product(job, y, x, true));
		GM_TRY(log_product(job, x, y, false));
	}
	GM_TRY(gm_job_orthonormalize(job, &left));
	GM_TRY(log_product(job, y, x, true));
	GM_TRY(gm_job_gram(job, &right, NULL, false));
	GM_TRY(gm_job_eigen(job, k));
	GM_TRY(gm_job_transform(job, &left, job->vectors, k, &u));
	for (uint32_t j = 0; j < job->dim; j++)
		job->values[j] = pow(fmax(job->values[j], 0), 0.25);
	return gm_job_finish(job, out, job->stride, job->dim, job->values, GM_NOWHERE,
						 true, true);
}

/* ---- ProNE, second step ---- */

#define FILTER_TERMS	80		/* more than twice the largest order */
#define FILTER_CUT		1e-6	/* of the largest coefficient: float's precision */

/* modified Bessel function of the first kind */
static double
bessel_i(uint32_t order, double x)
{
	double		term = 1;
	double		sum = 0;

	for (uint32_t i = 1; i <= order; i++)
		term *= x / 2 / i;
	for (uint32_t m = 1; m < 100; m++)
	{
		sum += term;
		term *= x / 2 * (x / 2) / m / (m + order);
	}
	return sum;
}

/* ProNE's step as a function of an eigenvalue of Q, (D + I) left out */
static double
response(const GmTopologyOpts *opts, double lambda)
{
	double		m = 1 - opts->mu - lambda;
	double		older = 1;
	double		old = m * m / 2 - 1;
	double		sum = bessel_i(0, opts->theta) - 2 * bessel_i(1, opts->theta) * old;

	for (uint32_t i = 2; i < opts->order; i++)
	{
		double		newest = (m * m - 2) * old - older;

		sum += (i % 2 == 0 ? 2 : -2) * bessel_i(i, opts->theta) * newest;
		older = old;
		old = newest;
	}
	return lambda * (1 - sum);
}

/* by Chebyshev polynomials on [-1, 1]; the number of terms */
static uint32_t
expand_response(const GmTopologyOpts *opts, double c[FILTER_TERMS])
{
	double		pi = acos(-1);
	double		f[FILTER_TERMS];
	double		largest = 0;
	uint32_t	terms = 1;

	for (uint32_t j = 0; j < FILTER_TERMS; j++)
		f[j] = response(opts, cos(pi * (j + 0.5) / FILTER_TERMS));
	for (uint32_t k = 0; k < FILTER_TERMS; k++)
	{
		c[k] = 0;
		for (uint32_t j = 0; j < FILTER_TERMS; j++)
			c[k] += (k == 0 ? 1.0 : 2.0) / FILTER_TERMS * f[j] *
				cos(pi * k * (j + 0.5) / FILTER_TERMS);
		largest = fmax(largest, fabs(c[k]));
	}
	for (uint32_t k = 0; k < FILTER_TERMS; k++)
		if (fabs(c[k]) > FILTER_CUT * largest)
			terms = k + 1;
	return terms;
}

/* x to the leading directions U S^e of what the filter leaves of it */
static GmStatus
propagate(GmJob *job, GmOffset x, GmOffset other, GmOffset sum)
{
	double		c[FILTER_TERMS];
	uint32_t	terms = expand_response(job->opts, c);
	uint32_t	stride = job->stride;
	const float *degree = GM_AT(job->team->base, job->degree, float);
	float	   *inverse = GM_AT(job->team->base, job->scale, float);
	float	   *loops = GM_AT(job->team->base, job->scale_b, float);
	GmMatrix	result = gm_matrix(sum, stride);
	GmCombineArgs first = {x, sum, job->n, stride, 0, 0, (float) c[0]};

	for (uint32_t i = 0; i < job->n; i++)
	{
		inverse[i] = 1 / (degree[i] + 1);
		loops[i] = degree[i] + 1;
	}
	GM_TRY(gm_job_run(job, GM_KERNEL_COMBINE, &first, sizeof(first),
					  gm_blocks(job->n, GM_BLOCK_ROWS)));
	for (uint32_t k = 1; k < terms; k++)
	{
		float		factor = k == 1 ? 1 : 2;
		GmOffset	newest = other;
		GmProductArgs args = {
			.x = x, .y = other, .out = other, .sum = sum, .row = job->scale,
			.stride = stride, .sum_stride = stride, .a = factor, .b_row = factor,
			.c = k == 1 ? 0 : -1, .d = (float) c[k]
		};

		GM_TRY(gm_job_product(job, &args));
		other = x;
		x = newest;
	}
	GM_TRY(gm_job_finish(job, sum, stride, job->dim, NULL, job->scale_b, false, false));
	GM_TRY(gm_job_gram(job, &result, NULL, false));
	GM_TRY(gm_job_eigen(job, stride));
	GM_TRY(gm_job_transform(job, &result, job->vectors, stride, &result));
	for (uint32_t j = 0; j < job->dim; j++)
		job->values[j] = job->values[j] > job->values[0] * 1e-12 ?
			pow(job->values[j], (job->opts->value_exponent - 1) / 2) : 0;
	return gm_job_finish(job, sum, stride, job->dim, job->values, GM_NOWHERE, true,
						 job->opts->normalize);
}

GmStatus
gm_prone_run(GmJob *job, GmOffset *out)
{
	double		c[FILTER_TERMS];
	GmOffset	a = job->matrix[2];
	GmOffset	other = job->matrix[0];
	GmOffset	sum = job->matrix[0] + (GmOffset) job->n * job->stride * sizeof(float);

	job->phases = 2 * job->opts->iterations + 2 + expand_response(job->opts, c);
	GM_TRY(factorize(job, a));
	GM_TRY(propagate(job, a, other, sum));
	*out = sum;
	return GM_OK;
}

/* ---- FastRP ---- */

static GmStatus
add_power(GmJob *job, GmOffset x, GmOffset sum, float weight, bool first)
{
	GmCombineArgs args = {x, sum, job->n, job->stride, 1, first ? 0 : 1, weight};

	if (weight == 0 && !first)
		return GM_OK;
	return gm_job_run(job, GM_KERNEL_COMBINE, &args, sizeof(args),
					  gm_blocks(job->n, GM_BLOCK_ROWS));
}

GmStatus
gm_fastrp_run(GmJob *job, GmOffset *out)
{
	const GmTopologyOpts *opts = job->opts;
	GmOffset	x = job->matrix[0];
	GmOffset	next = job->matrix[1];

	*out = job->matrix[2];
	job->phases = opts->powers;
	GM_TRY(gm_job_degree_power(job, job->scale_b, 0, opts->degree_exponent,
							   pow(fmax(job->volume, 1e-30), -opts->degree_exponent)));
	GM_TRY(gm_job_degree_power(job, job->scale, 0, -1, 1));
	GM_TRY(gm_job_fill(job, x, job->stride, job->dim, GM_FILL_SPARSE, job->scale_b));
	GM_TRY(add_power(job, x, *out, opts->self_weight, true));
	for (uint32_t i = 0; i < opts->powers; i++)
	{
		GmProductArgs args = {
			.x = x, .out = next, .row = job->scale, .stride = job->stride, .a = 1
		};

		GM_TRY(gm_job_product(job, &args));
		GM_TRY(add_power(job, next, *out, opts->power_weights[i], false));
		next = x;
		x = args.out;
	}
	return gm_job_finish(job, *out, job->stride, job->dim, NULL, GM_NOWHERE, false,
						 opts->normalize);
}

/* ---- smoothing ---- */

static bool
is_zero(const float *x, uint32_t n)
{
	for (uint32_t j = 0; j < n; j++)
		if (x[j] != 0)
			return false;
	return true;
}

/*
 * scale: of the neighbours' sum; scale_b: of what was given.  They make a mean,
 * so nothing grows.
 */
static GmStatus
shares(GmJob *job)
{
	const float *given = GM_AT(job->team->base, job->given, float);
	const float *degree = GM_AT(job->team->base, job->degree, float);
	float	   *of_sum = GM_AT(job->team->base, job->scale, float);
	float	   *of_given = GM_AT(job->team->base, job->scale_b, float);
	uint32_t	bad;

	for (uint32_t i = 0; i < job->n; i++)
	{
		const float *x = given + (size_t) i * job->dim;
		double		own = degree[i] == 0 ? 1 : is_zero(x, job->dim) ? 0 :
			1 - job->opts->damping;

		if (!gm_vec_finite(x, job->dim, &bad))
			return GM_BAD_VALUE;
		of_given[i] = (float) own;
		of_sum[i] = degree[i] == 0 ? 0 : (float) ((1 - own) / degree[i]);
		if (i % 4096 == 0 && gm_interrupted(job->team->intr))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

GmStatus
gm_smooth_run(GmJob *job, GmOffset *out)
{
	GmOffset	x = job->matrix[0];
	GmOffset	next = job->matrix[1];
	GmOffset	kept = job->matrix[2];
	GmPackArgs	pack = {job->given, x, job->n, job->dim, job->stride, GM_CELLS_FLOAT};
	GmFinishArgs share = {kept, job->scale_b, GM_NOWHERE, job->n, job->stride, 0};
	uint32_t	blocks = gm_blocks(job->n, GM_BLOCK_ROWS);

	job->phases = job->opts->iterations;
	GM_TRY(shares(job));
	GM_TRY(gm_job_run(job, GM_KERNEL_PACK, &pack, sizeof(pack), blocks));
	pack.out = kept;
	GM_TRY(gm_job_run(job, GM_KERNEL_PACK, &pack, sizeof(pack), blocks));
	GM_TRY(gm_job_run(job, GM_KERNEL_FINISH, &share, sizeof(share), blocks));
	for (uint32_t i = 0; i < job->opts->iterations; i++)
	{
		GmProductArgs args = {
			.x = x, .y = kept, .out = next, .row = job->scale, .stride = job->stride,
			.a = 1, .c = 1
		};

		GM_TRY(gm_job_product(job, &args));
		next = x;
		x = args.out;
	}
	*out = x;
	return gm_job_finish(job, x, job->stride, job->dim, NULL, GM_NOWHERE, false,
						 job->opts->normalize);
}
