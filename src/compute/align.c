/*-------------------------------------------------------------------------
 *
 * align.c
 *	  New vectors turned towards old ones.
 *
 * The axes of an embedding mean nothing: a refresh may turn or mirror them, and
 * then the old vector of a node that nothing happened to is no longer near its
 * new one.  Of all rotations and reflections, R = U V^T with U S V^T = new^T old
 * brings the pairs nearest; lengths and angles within the new vectors stay.
 *
 * Reference	Schoenemann: A generalized solution of the orthogonal Procrustes
 *				problem (Psychometrika 31, 1966)
 * Complexity	(pairs + n) dim^2, the pairs by the leader alone
 *
 *-------------------------------------------------------------------------
 */
#include "compute/kernels.h"
#include "compute/topology.h"

#include <cblas.h>
#include <lapacke.h>
#include <stdlib.h>
#include <string.h>

#define TILE_PAIRS	64

size_t
gm_topology_align_bytes(uint32_t dim)
{
	return ((size_t) dim * dim * sizeof(float) + 63) & ~(size_t) 63;
}

static GmStatus
cross_product(GmTeam *team, const float *x, const float *old, uint32_t dim,
			  uint32_t pairs, const uint32_t *now, const uint32_t *before,
			  double *tile, double *cross)
{
	double	   *tile_old = tile + (size_t) TILE_PAIRS * dim;

	memset(cross, 0, (size_t) dim * dim * sizeof(double));
	for (uint32_t at = 0; at < pairs; at += TILE_PAIRS)
	{
		uint32_t	n = pairs - at < TILE_PAIRS ? pairs - at : TILE_PAIRS;

		if (gm_interrupted(team->intr))
			return GM_INTERRUPTED;
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t j = 0; j < dim; j++)
			{
				tile[(size_t) i * dim + j] = x[(size_t) now[at + i] * dim + j];
				tile_old[(size_t) i * dim + j] = old[(size_t) before[at + i] * dim + j];
			}
		cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int) dim, (int) dim,
					(int) n, 1, tile, (int) dim, tile_old, (int) dim, 1, cross,
					(int) dim);
	}
	return GM_OK;
}

static GmStatus
lapack_status(const GmInterrupt *intr, int info)
{
	if (info != 0)
		return GM_BAD_VALUE;
	return gm_interrupted(intr) ? GM_INTERRUPTED : GM_OK;
}

/*
 * a = u diag(s) vt, all by columns; a is lost.  What dgesdd does, in calls of
 * which none takes 50 ms.  memory: 4 n^2 + 16 n
 */
static GmStatus
singular_vectors(double *a, int n, double *s, double *u, double *vt, double *memory,
				 const GmInterrupt *intr)
{
	double	   *beside = memory;
	double	   *left = beside + n;
	double	   *right = left + n;
	lapack_int *whole = (lapack_int *) (right + n);
	double	   *work = right + 5 * n;
	int			cells = 4 * n * n + 8 * n;

	GM_TRY(lapack_status(intr, LAPACKE_dgebrd_work(LAPACK_COL_MAJOR, n, n, a, n, s, beside, left,
												   right, work, cells)));
	GM_TRY(lapack_status(intr, LAPACKE_dbdsdc_work(LAPACK_COL_MAJOR, 'U', 'I', n, s, beside, u, n,
												   vt, n, NULL, NULL, work, whole)));
	GM_TRY(lapack_status(intr, LAPACKE_dormbr_work(LAPACK_COL_MAJOR, 'Q', 'L', 'N', n, n, n, a, n,
												   left, u, n, work, cells)));
	return lapack_status(intr, LAPACKE_dormbr_work(LAPACK_COL_MAJOR, 'P', 'R', 'T', n, n, n, a, n,
												   right, vt, n, work, cells));
}

/* rotation, dim x dim floats, nearest to cross; memory: gm_topology_align()'s */
static GmStatus
nearest_rotation(double *cross, uint32_t dim, double *memory, float *rotation,
				 const GmInterrupt *intr)
{
	size_t		cells = (size_t) dim * dim;
	double	   *u = memory;
	double	   *vt = u + cells;
	double	   *s = vt + cells;

	/* by columns, cross is its transpose V S U^T */
	GM_TRY(singular_vectors(cross, (int) dim, s, u, vt, s + dim, intr));
	/* V U^T: read by rows, vt is V and u is U^T */
	cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int) dim, (int) dim,
				(int) dim, 1, vt, (int) dim, u, (int) dim, 0, cross, (int) dim);
	for (size_t i = 0; i < cells; i++)
		rotation[i] = (float) cross[i];
	return GM_OK;
}

GmStatus
gm_topology_align(GmTeam *team, GmOffset x, uint32_t n, uint32_t dim,
				  GmOffset old, uint32_t pairs, const uint32_t *now,
				  const uint32_t *before, GmOffset work)
{
	size_t		cells = (size_t) dim * dim;
	GmTransformArgs args = {gm_matrix(x, dim), gm_matrix(x, dim), work, n};
	double	   *memory;
	double	   *cross;
	GmStatus	status;

	if (dim == 0 || dim > GM_TOPOLOGY_MAX_DIM)
		return GM_BAD_VALUE;
	if (n == 0 || pairs == 0)
		return GM_OK;
	memory = malloc((7 * cells + (16 + 2 * TILE_PAIRS) * (size_t) dim) * sizeof(double));
	if (memory == NULL)
		return GM_NO_MEMORY;
	openblas_set_num_threads(1);
	cross = memory;
	status = cross_product(team, GM_AT(team->base, x, float), GM_AT(team->base, old, float),
						   dim, pairs, now, before, cross + cells, cross);
	if (status == GM_OK)
		status = nearest_rotation(cross, dim, cross + cells,
								  GM_AT(team->base, work, float), team->intr);
	free(memory);
	GM_TRY(status);
	return team->run(team, GM_KERNEL_TRANSFORM, &args, sizeof(args),
					 gm_blocks(n, GM_BLOCK_ROWS));
}
