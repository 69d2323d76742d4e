/*-------------------------------------------------------------------------
 *
 * job.c
 *	  Phases and the small dense algebra between them.
 *
 * BLAS and LAPACK see tiles and matrices of at most GM_MOST_COLUMNS columns;
 * what the leader does alone is bounded by that, not by the graph.
 *
 *-------------------------------------------------------------------------
 */
#include "compute/job.h"

#include <lapacke.h>
#include <math.h>
#include <string.h>

/* directions with less than this share of the largest's square are rounding */
#define RANK_CUT		1e-11

/* a basis whose directions differ by more than this is made twice */
#define WELL_CONDITIONED	1e-4

#define PEAK_SHARE		0.999

GmStatus
gm_job_run(GmJob *job, GmKernel kernel, const void *args, size_t bytes,
		   uint32_t blocks)
{
	GM_TRY(job->team->run(job->team, kernel, args, bytes, blocks));
	return gm_interrupted(job->team->intr) ? GM_INTERRUPTED : GM_OK;
}

void
gm_job_advance(GmJob *job)
{
	gm_progress_at(job->team->intr, GM_PHASE_ITERATING, job->phases_done,
				   job->phases);
	if (job->phases_done < job->phases)
		job->phases_done++;
}

GmStatus
gm_job_product(GmJob *job, GmProductArgs *args)
{
	args->csr = *job->graph;
	job->report->products++;
	gm_job_advance(job);
	return gm_job_run(job, GM_KERNEL_PRODUCT, args, sizeof(*args),
					  gm_blocks(job->n, GM_BLOCK_ROWS));
}

static uint32_t
strips(const GmJob *job)
{
	return gm_blocks(job->n, gm_strip_rows(job->n));
}

GmStatus
gm_job_gram(GmJob *job, const GmMatrix *x, const GmMatrix *y, bool rough)
{
	GmGramArgs	args = {.x = *x, .partial = job->partial, .n = job->n, .rough = rough};
	const double *partial = GM_AT(job->team->base, job->partial, double);
	size_t		cells = (size_t) x->k * (y == NULL ? x->k : y->k);

	if (y != NULL)
		args.y = *y;
	GM_TRY(gm_job_run(job, GM_KERNEL_GRAM, &args, sizeof(args), strips(job)));
	memset(job->gram, 0, cells * sizeof(double));
	for (uint32_t s = 0; s < strips(job); s++, partial += cells)
		for (size_t i = 0; i < cells; i++)
			job->gram[i] += partial[i];
	if (y == NULL)
		for (uint32_t i = 0; i < x->k; i++)
			for (uint32_t j = 0; j < i; j++)
				job->gram[(size_t) i * x->k + j] = job->gram[(size_t) j * x->k + i];
	return GM_OK;
}

GmStatus
gm_job_transform(GmJob *job, const GmMatrix *x, const double *w, uint32_t w_stride,
				 const GmMatrix *out)
{
	GmTransformArgs args = {*x, *out, job->small, job->n};
	float	   *small = GM_AT(job->team->base, job->small, float);

	for (uint32_t i = 0; i < x->k; i++)
		for (uint32_t j = 0; j < out->k; j++)
			small[(size_t) i * out->k + j] = (float) w[(size_t) i * w_stride + j];
	return gm_job_run(job, GM_KERNEL_TRANSFORM, &args, sizeof(args),
					  gm_blocks(job->n, GM_BLOCK_ROWS));
}

static GmStatus
lapack_status(const GmJob *job, int info)
{
	if (info != 0)
		return GM_BAD_VALUE;
	return gm_interrupted(job->team->intr) ? GM_INTERRUPTED : GM_OK;
}

/*
 * What dsyevd does, in three calls, of which none takes 50 ms for as many
 * columns as there can be.  Of a symmetric matrix row-major and column-major
 * are the same.
 */
static GmStatus
eigen_by_columns(GmJob *job, int k, double *vectors)
{
	double	   *beside = job->lapack;
	double	   *tau = beside + k;
	lapack_int *whole = (lapack_int *) (tau + k);
	int			wholes = 3 + 5 * k;
	double	   *work = tau + k + (wholes + 1) / 2;
	int			cells = (int) (job->lapack + gm_job_lapack_cells((uint32_t) k) - work);

	GM_TRY(lapack_status(job, LAPACKE_dsytrd_work(LAPACK_COL_MAJOR, 'L', k, job->gram, k,
												  job->values, beside, tau, work, cells)));
	GM_TRY(lapack_status(job, LAPACKE_dstedc_work(LAPACK_COL_MAJOR, 'I', k, job->values, beside,
												  vectors, k, work, cells, whole, wholes)));
	return lapack_status(job, LAPACKE_dormtr_work(LAPACK_COL_MAJOR, 'L', 'L', 'N', k, k, job->gram,
												  k, tau, vectors, k, work, cells));
}

GmStatus
gm_job_eigen(GmJob *job, uint32_t k)
{
	GM_TRY(eigen_by_columns(job, (int) k, job->vectors));
	memcpy(job->gram, job->vectors, (size_t) k * k * sizeof(double));
	for (uint32_t i = 0; i < k; i++)
		for (uint32_t j = 0; j < k; j++)
			job->vectors[(size_t) i * k + j] = job->gram[(size_t) (k - 1 - j) * k + i];
	for (uint32_t j = 0; j < k / 2; j++)
	{
		double		value = job->values[j];

		job->values[j] = job->values[k - 1 - j];
		job->values[k - 1 - j] = value;
	}
	return GM_OK;
}

/*
 * By the eigenvectors of the sum of squares (in place of Cholesky's factor, it
 * bears matrices of any rank), columns brought to one length before.
 */
static GmStatus
whiten_once(GmJob *job, const GmMatrix *x, double *condition, uint32_t *rank)
{
	uint32_t	k = x->k;
	double	   *length = job->values + k;
	double		largest;

	GM_TRY(gm_job_gram(job, x, NULL, false));
	for (uint32_t i = 0; i < k; i++)
	{
		double		square = job->gram[(size_t) i * k + i];

		length[i] = square > 0 ? 1 / sqrt(square) : 0;
	}
	for (uint32_t i = 0; i < k; i++)
		for (uint32_t j = 0; j < k; j++)
			job->gram[(size_t) i * k + j] *= length[i] * length[j];
	GM_TRY(gm_job_eigen(job, k));
	largest = job->values[0];
	*condition = 1;
	*rank = 0;
	for (uint32_t j = 0; j < k; j++)
	{
		bool		cut = !(job->values[j] > RANK_CUT * largest);
		double		f = cut ? 0 : 1 / sqrt(job->values[j]);

		if (!cut)
		{
			*condition = job->values[j] / largest;
			*rank = j + 1;
		}
		for (uint32_t i = 0; i < k; i++)
			job->vectors[(size_t) i * k + j] *= f * length[i];
	}
	return GM_OK;
}

GmStatus
gm_job_whiten(GmJob *job, const GmMatrix *x, uint32_t *rank)
{
	double		condition;

	GM_TRY(whiten_once(job, x, &condition, rank));
	if (condition >= WELL_CONDITIONED)
		return GM_OK;
	GM_TRY(gm_job_transform(job, x, job->vectors, x->k, x));
	return whiten_once(job, x, &condition, rank);
}

GmStatus
gm_job_orthonormalize(GmJob *job, const GmMatrix *x)
{
	uint32_t	rank;

	GM_TRY(gm_job_whiten(job, x, &rank));
	return gm_job_transform(job, x, job->vectors, x->k, x);
}

GmStatus
gm_job_fill(GmJob *job, GmOffset x, uint32_t stride, uint32_t k, GmFill fill,
			GmOffset row)
{
	GmFillArgs	args = {x, job->graph->keys, row, job->opts->seed, job->n, stride, k, fill};

	return gm_job_run(job, GM_KERNEL_FILL, &args, sizeof(args),
					  gm_blocks(job->n, GM_BLOCK_ROWS));
}

/* -1 or 1 by column into sign */
static GmStatus
find_signs(GmJob *job, GmOffset x, uint32_t stride, uint32_t k, float *sign)
{
	GmPeakArgs	args = {x, job->partial, 0, job->graph->keys, 0, job->n, stride, k};
	uint32_t	n_strips = strips(job);
	double	   *peaks;
	double	   *least;
	GmFirstPeak *found;

	args.least = args.peaks + (GmOffset) n_strips * k * sizeof(double);
	args.found = args.least + k * sizeof(double);
	peaks = GM_AT(job->team->base, args.peaks, double);
	least = GM_AT(job->team->base, args.least, double);
	found = GM_AT(job->team->base, args.found, GmFirstPeak);
	GM_TRY(gm_job_run(job, GM_KERNEL_PEAKS, &args, sizeof(args), n_strips));
	for (uint32_t j = 0; j < k; j++)
	{
		least[j] = 0;
		for (uint32_t s = 0; s < n_strips; s++)
			if (peaks[(size_t) s * k + j] > least[j])
				least[j] = peaks[(size_t) s * k + j];
		least[j] *= PEAK_SHARE;
	}
	GM_TRY(gm_job_run(job, GM_KERNEL_FIRST_PEAKS, &args, sizeof(args), n_strips));
	for (uint32_t j = 0; j < k; j++)
	{
		const GmFirstPeak *first = NULL;

		for (uint32_t s = 0; s < n_strips; s++)
		{
			const GmFirstPeak *one = &found[(size_t) s * k + j];

			if (one->value != 0 && (first == NULL || one->key < first->key))
				first = one;
		}
		sign[j] = first != NULL && first->value < 0 ? -1 : 1;
	}
	return GM_OK;
}

GmStatus
gm_job_finish(GmJob *job, GmOffset x, uint32_t stride, uint32_t k,
			  const double *factor, GmOffset row, bool signs, bool normalize)
{
	GmFinishArgs args = {x, row, job->small, job->n, stride, normalize};
	float	   *scale = GM_AT(job->team->base, job->small, float);

	for (uint32_t j = 0; j < stride; j++)
		scale[j] = j < k;
	if (signs)
		GM_TRY(find_signs(job, x, stride, k, scale));
	if (factor != NULL)
		for (uint32_t j = 0; j < k; j++)
			scale[j] *= (float) factor[j];
	return gm_job_run(job, GM_KERNEL_FINISH, &args, sizeof(args),
					  gm_blocks(job->n, GM_BLOCK_ROWS));
}

GmStatus
gm_job_degree_power(GmJob *job, GmOffset scale, double more, double exponent,
					double factor)
{
	const float *degree = GM_AT(job->team->base, job->degree, float);
	float	   *out = GM_AT(job->team->base, scale, float);

	for (uint32_t i = 0; i < job->n; i++)
	{
		out[i] = degree[i] > 0 ? (float) (factor * pow(degree[i] + more, exponent)) : 0;
		if (i % GM_INTERRUPT_EVERY == 0 && gm_interrupted(job->team->intr))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}
