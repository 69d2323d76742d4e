/*-------------------------------------------------------------------------
 *
 * spectral.c
 *	  Leading eigenvectors of the normalised adjacency D^-1/2 A D^-1/2, D being
 *	  the degrees plus a share of their mean.
 *
 * Subspace iteration, filtered: between two Rayleigh-Ritz steps the basis is
 * multiplied by a Chebyshev polynomial that stays within 1 on [-1, c], c being
 * the least Ritz value so far, and grows steeply above.  Two matrices do, since
 * the three-term recurrence can write over its oldest term.
 *
 * Leading means algebraically largest: an eigenvalue near -1 tells of a
 * bipartite part, not of a cluster.
 *
 * Without that share every component has an eigenvalue 1, and a graph with a
 * hundred pairs of nodes beside its great component has hardly any columns left
 * for the latter.  A pair's eigenvalue is d / (d + share), however, and comes
 * after what the great component has to tell.
 *
 * Reference	Zhou, Saad, Tiago, Chelikowsky: Self-consistent-field calculations
 *				using Chebyshev-filtered subspace iteration (J. Comput. Phys. 219,
 *				2006).  Here the first filter, before anything is known, takes
 *				c = 0.2; and the end is by the sum of the eigenvalues.  Chaudhuri,
 *				Chung, Tsiatas: Spectral clustering of graphs with general degrees
 *				in the extended planted partition model (COLT 2012), for the
 *				regularised degrees.
 *
 *-------------------------------------------------------------------------
 */
#include "compute/job.h"

#include <math.h>

#define FIRST_DEGREE	6
#define FIRST_CUT		0.2
#define DEGREE			8

/* [-1, c] may not vanish */
#define LEAST_CUT		(-0.9)

static GmStatus
filter(GmJob *job, GmOffset *x, GmOffset *other, double cut, uint32_t degree)
{
	double		half = (cut + 1) / 2;
	double		middle = (cut - 1) / 2;

	for (uint32_t j = 1; j <= degree; j++)
	{
		double		factor = j == 1 ? 1 : 2;
		GmOffset	newest = *other;
		GmProductArgs args = {
			.x = *x, .y = *other, .out = *other, .row = job->scale,
			.col = job->scale, .stride = job->columns,
			.a = (float) (factor / half), .b = (float) (-factor * middle / half),
			.c = j == 1 ? 0 : -1
		};

		GM_TRY(gm_job_product(job, &args));
		*other = *x;
		*x = newest;
	}
	return GM_OK;
}

/* x to Ritz vectors, values to Ritz values, both by falling value; rank of them */
static GmStatus
rayleigh_ritz(GmJob *job, GmOffset x, GmOffset other, uint32_t *rank)
{
	uint32_t	k = job->columns;
	GmProductArgs args = {
		.x = x, .out = other, .row = job->scale, .col = job->scale, .stride = k, .a = 1
	};

	GM_TRY(gm_job_orthonormalize(job, x, k, rank));
	GM_TRY(gm_job_product(job, &args));
	GM_TRY(gm_job_gram(job, x, k, k, other, k, k, false));
	for (uint32_t i = 0; i < k; i++)
		for (uint32_t j = 0; j < i; j++)
		{
			double		mean = (job->gram[(size_t) i * k + j] +
								job->gram[(size_t) j * k + i]) / 2;

			job->gram[(size_t) i * k + j] = mean;
			job->gram[(size_t) j * k + i] = mean;
		}
	/* columns of zeros come after every eigenvalue there can be */
	for (uint32_t j = *rank; j < k; j++)
		job->gram[(size_t) j * k + j] = -2;
	GM_TRY(gm_job_eigen(job, k));
	return gm_job_transform(job, x, k, k, job->vectors, k, x, k, k);
}

static double
leading_sum(const GmJob *job, uint32_t rank)
{
	double		sum = 0;

	for (uint32_t j = 0; j < job->dim && j < rank; j++)
		sum += job->values[j];
	return sum;
}

GmStatus
gm_spectral_run(GmJob *job, GmOffset *out)
{
	GmOffset	x = job->matrix[0];
	GmOffset	other = job->matrix[1];
	uint32_t	k = job->columns;
	uint32_t	rank;
	double		sum;
	GmPackArgs	pack;

	/* a basis of all there is needs no filter */
	bool		whole = job->n <= k;

	job->phases = FIRST_DEGREE + 1 + job->opts->iterations * (DEGREE + 1);
	GM_TRY(gm_job_degree_power(job, job->scale,
							   job->opts->regularization * job->volume / job->n, -0.5, 1));
	GM_TRY(gm_job_fill(job, x, k, k, GM_FILL_SIGNS, job->scale));
	if (!whole)
		GM_TRY(filter(job, &x, &other, FIRST_CUT, FIRST_DEGREE));
	GM_TRY(rayleigh_ritz(job, x, other, &rank));
	sum = leading_sum(job, rank);
	for (uint32_t i = 0; i < job->opts->iterations && !whole; i++)
	{
		double		cut = rank > 0 ? job->values[rank - 1] : 0;
		double		before = sum;

		GM_TRY(filter(job, &x, &other, cut > LEAST_CUT ? cut : LEAST_CUT, DEGREE));
		GM_TRY(rayleigh_ritz(job, x, other, &rank));
		sum = leading_sum(job, rank);
		job->report->change = fabs(sum - before) / fmax(fabs(sum), 1e-30);
		if (job->report->change < job->opts->tolerance)
			break;
	}
	pack = (GmPackArgs) {x, other, job->n, k, job->stride};
	GM_TRY(gm_job_run(job, GM_KERNEL_PACK, &pack, sizeof(pack),
					  gm_blocks(job->n, GM_BLOCK_ROWS)));
	*out = other;
	for (uint32_t j = 0; j < job->dim; j++)
		job->values[j] = pow(fabs(job->values[j]), job->opts->value_exponent);
	return gm_job_finish(job, other, job->stride, job->dim, job->values, GM_NOWHERE,
						 true, job->opts->normalize);
}
