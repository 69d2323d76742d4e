/*-------------------------------------------------------------------------
 *
 * job.h
 *	  One computation, as its leader sees it: memory, phases, small matrices.
 *
 * Only for files of compute/.  Small matrices are of double, row-major, in
 * memory of the leader alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_COMPUTE_JOB_H
#define GM_COMPUTE_JOB_H

#include "compute/kernels.h"
#include "compute/topology.h"

typedef struct GmJob
{
	GmTeam	   *team;
	const GmCsr *graph;
	const GmTopologyOpts *opts;
	GmTopologyReport *report;
	GmOffset	given;
	uint32_t	n;
	uint32_t	dim;
	uint32_t	stride;			/* of dim */
	uint32_t	columns;		/* while iterating; a multiple of GM_LANES */
	uint32_t	most;			/* columns that are ever summed at once */
	double		volume;			/* sum of degrees */
	uint32_t	phases_done;	/* for progress */
	uint32_t	phases;			/* at most so many */

	/* in the work memory */
	GmOffset	degree;
	GmOffset	scale;			/* float by node, what the method needs */
	GmOffset	scale_b;
	GmOffset	partial;		/* sums by strip */
	GmOffset	small;			/* floats: what transforms multiply with */
	GmOffset	matrix[4];

	/* the leader's own */
	double	   *gram;			/* most x most */
	double	   *vectors;		/* most x most */
	double	   *basis;			/* most x most */
	double	   *values;			/* 2 x most */
	double	   *lapack;			/* gm_job_lapack_cells(most) */
} GmJob;

static inline size_t
gm_job_lapack_cells(uint32_t k)
{
	return 2 * (size_t) k * k + 8 * (size_t) k + 64;
}

/* ---- job.c: phases ---- */

extern GmStatus gm_job_run(GmJob *job, GmKernel kernel, const void *args,
						   size_t bytes, uint32_t blocks);

/* one of job->phases begins; a product is one by itself */
extern void gm_job_advance(GmJob *job);
extern GmStatus gm_job_product(GmJob *job, GmProductArgs *args);

/* gram = x^T y (NULL: x^T x), x.k x y.k, whole */
extern GmStatus gm_job_gram(GmJob *job, const GmMatrix *x, const GmMatrix *y,
							bool rough);

/* out = x * w: the first x.k rows and out.k columns of w, which is the leader's */
extern GmStatus gm_job_transform(GmJob *job, const GmMatrix *x, const double *w,
								 uint32_t w_stride, const GmMatrix *out);

/* vectors (columns, by falling value) and values of the symmetric gram */
extern GmStatus gm_job_eigen(GmJob *job, uint32_t k);

/*
 * vectors to the x.k x x.k matrix that makes columns of x an orthonormal basis
 * of what they span, rank of them, the rest 0; x itself is changed if that one
 * matrix cannot do it in its precision.
 */
extern GmStatus gm_job_whiten(GmJob *job, const GmMatrix *x, uint32_t *rank);

/* the same done to x */
extern GmStatus gm_job_orthonormalize(GmJob *job, const GmMatrix *x);

extern GmStatus gm_job_fill(GmJob *job, GmOffset x, uint32_t stride, uint32_t k,
							GmFill fill, GmOffset row);

/*
 * Signs (topology.h), then factors by column (NULL: 1) and row (nowhere:
 * 1), lengths; columns from k on become 0.
 */
extern GmStatus gm_job_finish(GmJob *job, GmOffset x, uint32_t stride,
							  uint32_t k, const double *factor, GmOffset row,
							  bool signs, bool normalize);

/* scale_i = (degree_i + more) ^ exponent * factor, 0 where there are no neighbours */
extern GmStatus gm_job_degree_power(GmJob *job, GmOffset scale, double more,
									double exponent, double factor);

/* ---- methods: the result is at *out, of stride job->stride ---- */

extern GmStatus gm_spectral_run(GmJob *job, GmOffset *out);
extern GmStatus gm_walk_run(GmJob *job, GmOffset *out);
extern GmStatus gm_prone_run(GmJob *job, GmOffset *out);
extern GmStatus gm_fastrp_run(GmJob *job, GmOffset *out);
extern GmStatus gm_smooth_run(GmJob *job, GmOffset *out);

/* ---- options.c ---- */

/* everything in the work memory, from at on; returns the end of it */
extern GmOffset gm_job_lay_out(GmJob *job, const GmTopologyOpts *opts, uint32_t n,
							   GmOffset at);

/* walk's columns while iterating: those kept, and those of a batch */
extern uint32_t gm_walk_kept(const GmTopologyOpts *opts);
extern uint32_t gm_walk_batch(const GmTopologyOpts *opts);

#endif							/* GM_COMPUTE_JOB_H */
