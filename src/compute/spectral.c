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
 * Until little changes both are of bf16, in the place of one: its rounding,
 * 2^-9 of an entry, is far less than what the subspace lacks then, and spread
 * over all directions; memory, which decides, is asked for half as much.  Ritz
 * values and vectors are of what was rounded, so the result is orthonormal to
 * float's precision all the same.
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

#include <cblas.h>
#include <math.h>
#include <string.h>

#define FIRST_DEGREE	6
#define FIRST_CUT		0.2
#define DEGREE			8

/* of the eigenvalues' sum, relatively: while it changes by more, bf16 will do */
#define SETTLED			0.01

/* [-1, c] may not vanish */
#define LEAST_CUT		(-0.9)

/* what is iterated and as much memory beside it, which change places */
typedef struct Basis
{
	GmMatrix	x;
	GmMatrix	other;
} Basis;

static Basis
floats(const GmJob *job)
{
	return (Basis) {gm_matrix(job->matrix[0], job->columns), gm_matrix(job->matrix[1], job->columns)};
}

/* both in the second matrix */
static Basis
halves(const GmJob *job)
{
	Basis		b = floats(job);

	b.x.cells = b.other.cells = GM_CELLS_BF16;
	b.x.at = job->matrix[1];
	b.other.at = b.x.at + (GmOffset) job->n * job->columns * sizeof(uint16_t);
	return b;
}

static GmProductArgs
product_of(const GmJob *job, const Basis *b)
{
	return (GmProductArgs) {
		.x = b->x.at, .out = b->other.at, .row = job->scale, .col = job->scale,
		.stride = job->columns, .cells = b->x.cells, .a = 1
	};
}

static GmStatus
filter(GmJob *job, Basis *b, double cut, uint32_t degree)
{
	double		half = (cut + 1) / 2;
	double		middle = (cut - 1) / 2;

	for (uint32_t j = 1; j <= degree; j++)
	{
		double		factor = j == 1 ? 1 : 2;
		GmMatrix	newest = b->other;
		GmProductArgs args = product_of(job, b);

		args.y = args.out;
		args.a = (float) (factor / half);
		args.b = (float) (-factor * middle / half);
		args.c = j == 1 ? 0 : -1;
		GM_TRY(gm_job_product(job, &args));
		b->other = b->x;
		b->x = newest;
	}
	return GM_OK;
}

/* c = a b or a^T b, k x k */
static void
multiply(bool transposed, uint32_t k, const double *a, const double *b, double *c)
{
	int			n = (int) k;

	cblas_dgemm(CblasRowMajor, transposed ? CblasTrans : CblasNoTrans, CblasNoTrans, n, n, n, 1, a,
				n, b, n, 0, c, n);
}

/*
 * gram to what makes Ritz vectors of b.x; values to Ritz values, both by falling
 * value; rank of them.  The basis is not made orthonormal where it is: that and
 * the Ritz vectors are one change.  b.other is lost.
 */
static GmStatus
rayleigh_ritz(GmJob *job, const Basis *b, uint32_t *rank)
{
	uint32_t	k = job->columns;
	size_t		cells = (size_t) k * k;
	GmProductArgs args;

	GM_TRY(gm_job_whiten(job, &b->x, rank));
	memcpy(job->basis, job->vectors, cells * sizeof(double));
	args = product_of(job, b);
	GM_TRY(gm_job_product(job, &args));
	GM_TRY(gm_job_gram(job, &b->x, &b->other, b->x.cells == GM_CELLS_BF16));
	multiply(false, k, job->gram, job->basis, job->vectors);
	multiply(true, k, job->basis, job->vectors, job->gram);
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
	multiply(false, k, job->basis, job->vectors, job->gram);
	return GM_OK;
}

static double
leading_sum(const GmJob *job, uint32_t rank)
{
	double		sum = 0;

	for (uint32_t j = 0; j < job->dim && j < rank; j++)
		sum += job->values[j];
	return sum;
}

/* x to random columns */
static GmStatus
begin(GmJob *job, const GmMatrix *x)
{
	uint32_t	k = job->columns;
	GmPackArgs	pack = {job->matrix[0], x->at, job->n, k, k, x->cells};

	GM_TRY(gm_job_fill(job, job->matrix[0], k, k, GM_FILL_SIGNS, job->scale));
	return x->at == job->matrix[0] ? GM_OK :
		gm_job_run(job, GM_KERNEL_PACK, &pack, sizeof(pack), gm_blocks(job->n, GM_BLOCK_ROWS));
}

GmStatus
gm_spectral_run(GmJob *job, GmOffset *out)
{
	uint32_t	k = job->columns;
	uint32_t	rank;
	double		sum = 0;
	GmMatrix	result;

	/* a basis of all there is needs no filter */
	bool		whole = job->n <= k;
	uint32_t	more = whole ? 0 : job->opts->iterations;
	Basis		b = whole ? floats(job) : halves(job);

	job->phases = FIRST_DEGREE + 1 + job->opts->iterations * (DEGREE + 1);
	GM_TRY(gm_job_degree_power(job, job->scale,
							   job->opts->regularization * job->volume / job->n, -0.5, 1));
	GM_TRY(begin(job, &b.x));
	if (!whole)
		GM_TRY(filter(job, &b, FIRST_CUT, FIRST_DEGREE));
	for (uint32_t i = 0;; i++)
	{
		double		before = sum;
		GmMatrix	from;

		GM_TRY(rayleigh_ritz(job, &b, &rank));
		sum = leading_sum(job, rank);
		if (i > 0)
			job->report->change = fabs(sum - before) / fmax(fabs(sum), 1e-30);
		if (i == more || (i > 0 && job->report->change < job->opts->tolerance &&
						  (b.x.cells == GM_CELLS_FLOAT || job->opts->tolerance > SETTLED)))
			break;
		from = b.x;
		if (from.cells == GM_CELLS_BF16 && i > 0 && job->report->change < SETTLED)
			b = floats(job);
		GM_TRY(gm_job_transform(job, &from, job->gram, k, &b.x));
		GM_TRY(filter(job, &b, fmax(rank > 0 ? job->values[rank - 1] : 0, LEAST_CUT), DEGREE));
	}
	result = gm_matrix(b.x.cells == GM_CELLS_BF16 ? job->matrix[0] : b.other.at, job->stride);
	GM_TRY(gm_job_transform(job, &b.x, job->gram, k, &result));
	*out = result.at;
	for (uint32_t j = 0; j < job->dim; j++)
		job->values[j] = pow(fabs(job->values[j]), job->opts->value_exponent);
	return gm_job_finish(job, result.at, job->stride, job->dim, job->values, GM_NOWHERE,
						 true, job->opts->normalize);
}
