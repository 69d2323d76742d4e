/*-------------------------------------------------------------------------
 *
 * topology.h
 *	  Vectors of a graph's nodes from its shape alone.
 *
 * Methods
 *	 spectral	leading eigenvectors of D^-1/2 A D^-1/2 by Chebyshev-filtered
 *				subspace iteration (spectral.c)
 *	 walk		co-occurrence in random walks, factorised: NetMF's matrix, of which
 *				a sample of columns is computed exactly (walk.c)
 *	 prone		sparse factorisation, then a spectral filter (propagate.c)
 *	 fastrp		weighted sum of powers of the transition matrix times a random
 *				projection (propagate.c)
 *	 smooth		given vectors, averaged over neighbourhoods (propagate.c)
 *
 * Graphs are symmetric; fastrp and smooth take directed ones too, and then
 * gather along outgoing arcs.  Every graph has a result of finite numbers: a
 * node without neighbours has zeros (smooth: what was given), as have columns
 * beyond the rank.
 *
 * Same graph, keys, options and instruction set: same vectors bit for bit,
 * whatever the team.  Signs: of the largest entry of a column (among those
 * within a thousandth of it the one with the lowest key), which is positive.
 *
 * Memory	gm_topology_bytes(), the result included, which is a part of the work
 *			memory: at most 4 x nodes x dim x 4 bytes if dim is a multiple of 16
 *			from 96 on, and 16 bytes a node and some megabytes
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_COMPUTE_TOPOLOGY_H
#define GM_COMPUTE_TOPOLOGY_H

#include "compute/csr.h"
#include "compute/team.h"

#define GM_TOPOLOGY_DEFAULT_DIM		128
#define GM_TOPOLOGY_MAX_DIM			512
#define GM_TOPOLOGY_MAX_POWERS		16
#define GM_TOPOLOGY_MAX_OVERSAMPLING	128

typedef enum GmTopologyMethod
{
	GM_TOPOLOGY_SPECTRAL = 0,
	GM_TOPOLOGY_WALK,
	GM_TOPOLOGY_PRONE,
	GM_TOPOLOGY_FASTRP,
	GM_TOPOLOGY_SMOOTH
} GmTopologyMethod;

/* gm_topology_defaults() fills it; values out of range (gm_topology_check()) are GM_BAD_VALUE */
typedef struct GmTopologyOpts
{
	GmTopologyMethod method;
	uint32_t	dim;			/* 1 to GM_TOPOLOGY_MAX_DIM; 128 */
	uint64_t	seed;			/* 0 */
	bool		normalize;		/* rows to length 1; true, fastrp false */

	/* spectral, prone, walk */
	uint32_t	oversampling;	/* columns beyond dim while iterating, to 128; 16, walk 32 */
	uint32_t	iterations;		/* spectral: most filterings after the first, 1 to
								 * 100, 2; prone: power iterations, 0 to 100, 4;
								 * smooth: steps, 1 to 1000, 3 */
	double		tolerance;		/* spectral: relative change of the eigenvalues' sum
								 * that ends it; 1e-3 */

	double		regularization;	/* spectral: of degrees, in mean degrees, 0 to 100; 0.05 */
	double		value_exponent;	/* spectral, prone: columns times eigenvalue or
								 * singular value to it, 0 to 2; 0.5, prone 0.75 */

	/* walk */
	uint32_t	window;			/* steps, 1 to 100; 10 */
	double		negative;		/* negative samples, > 0; 1 */
	uint32_t	landmarks;		/* columns; 0: gm_topology_landmarks() */

	/* prone */
	uint32_t	order;			/* terms of the filter, 2 to 32; 10 */
	double		mu;				/* where it is centred; 0.2 */
	double		theta;			/* how narrow it is, 0 to 10; 0.5 */
	double		negative_exponent;	/* of the noise distribution; 0.75 */

	/* fastrp */
	uint32_t	powers;			/* 1 to 16; 4 */
	float		power_weights[GM_TOPOLOGY_MAX_POWERS];	/* 0, 0.1, 0.781, 4.528 */
	float		self_weight;	/* of the projection itself; 0 */
	double		degree_exponent;	/* of degree / volume; -0.628 */

	/* smooth */
	double		damping;		/* share of the neighbours' mean, 0 to 1; 0.5 */
} GmTopologyOpts;

typedef struct GmTopologyReport
{
	uint32_t	products;		/* of the sparse matrix */
	uint32_t	landmarks;
	double		change;			/* spectral: the last relative change */
} GmTopologyReport;

/* an option and what it may be */
typedef struct GmTopologyRange
{
	const char *name;			/* of its field */
	double		least;
	double		most;
} GmTopologyRange;

/* ---- options.c: no OpenBLAS ---- */

extern void gm_topology_defaults(GmTopologyOpts *opts, GmTopologyMethod method);

/* false: one of the method's is out of *bad (NULL: nobody wants to know) */
extern bool gm_topology_check(const GmTopologyOpts *opts, GmTopologyRange *bad);

/* columns that walk computes of a graph, by default */
extern uint32_t gm_topology_landmarks(uint32_t n, uint64_t arcs);

/* of work memory, the graph's not included; 0 where options are out of range */
extern size_t gm_topology_bytes(const GmTopologyOpts *opts, uint32_t n,
								uint64_t arcs);

/* ---- the rest needs it ---- */

/*
 * The work memory begins at offset work, a multiple of 64 and not 0.  *out is
 * where in it the result is, n x dim floats without gaps.  For smooth the
 * caller writes the given vectors, n x dim likewise, at offset given (nowhere
 * else), a node without one being a row of zeros: it has the mean of its
 * neighbours after a step.  report may be NULL.
 *
 * GM_BAD_VALUE	options, weights or node numbers out of range, given vectors that
 *				are not finite, or a directed graph where none is taken
 * GM_NO_MEMORY	the leader could not get its few megabytes, or work_bytes is
 *				less than gm_topology_bytes()
 */
extern GmStatus gm_topology_embed(GmTeam *team, const GmCsr *graph,
								  const GmTopologyOpts *opts, GmOffset given,
								  GmOffset work, size_t work_bytes,
								  GmOffset *out, GmTopologyReport *report);

/*
 * Turns vectors so that they lie as near as they can to what they were, by the
 * orthogonal Procrustes problem over pairs of rows (now[i] of the matrix at
 * offset x, before[i] of that at old).  work: gm_topology_align_bytes().
 */
extern size_t gm_topology_align_bytes(uint32_t dim);
extern GmStatus gm_topology_align(GmTeam *team, GmOffset x, uint32_t n,
								  uint32_t dim, GmOffset old, uint32_t pairs,
								  const uint32_t *now, const uint32_t *before,
								  GmOffset work);

#endif							/* GM_COMPUTE_TOPOLOGY_H */
