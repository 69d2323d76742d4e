/*-------------------------------------------------------------------------
 *
 * rank.h
 *	  What the structure says about nodes: rank, nearness, components, proofs.
 *
 * All walks see what the view lets through and nothing else: a triple that is
 * filtered out counts in no degree.  For GM_BOTH every triple is an arc both
 * ways, a self-loop one arc.  Where a predicate has a weight other than 1, an
 * arc counts by its predicate's weight; weight 0 cannot be walked.
 *
 * Results are arrays in the scratch; see each function.  Sparse ones list each
 * node once, in no order.
 *
 * Interface
 *	 gm_pagerank		rank of every node
 *	 gm_ppr				rank as seen from seeds, sparse
 *	 gm_hops_decay		seed weight times decay^hops, sparse
 *	 gm_components		weakly connected components
 *	 gm_component_members	nodes in the order of their components
 *	 gm_best_masses		the largest of a list, in order
 *	 gm_best_paths		for each target, the best path from any seed
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_RANK_H
#define GM_CORE_RANK_H

#include "core/graph.h"
#include "core/path.h"
#include "core/scratch.h"

typedef struct GmMass
{
	GmNode		node;
	double		mass;
} GmMass;

typedef struct GmPagerankOpts
{
	double		damping;		/* in [0, 1): chance of going on */
	double		tolerance;		/* stop when the ranks change by less in all; > 0 */
	uint32_t	max_iterations;
} GmPagerankOpts;

typedef struct GmPagerank
{
	const double *rank;			/* by node; they sum to 1; 0 for one that is not live */
	uint32_t	iterations;
	double		change;			/* sum of absolute changes in the last one */
} GmPagerank;

/*
 * PageRank (Brin, Page 1998) by power iteration; what stands on a node without
 * arcs out is spread over all nodes.  The error is below change × damping /
 * (1 - damping), in the sum over all nodes.
 *
 * Memory		4 bytes an arc (8 if weighted), 32 bytes a node
 */
extern GmStatus gm_pagerank(const GmGraph *graph, const GmView *view, GmScratch *scratch,
							const GmPagerankOpts *opts, const GmInterrupt *intr,
							GmPagerank *result);

typedef struct GmPprOpts
{
	double		damping;		/* in [0, 1): chance of going on from a node */
	double		epsilon;		/* > 0 */
} GmPprOpts;

typedef struct GmMasses
{
	const GmMass *list;
	uint32_t	count;
	double		missing;		/* gm_ppr: what the list's masses fall short of 1 */
} GmMasses;

/*
 * Personalised PageRank by forward push (Andersen, Chung, Lang, FOCS 2006).
 * Seeds are a distribution: masses above 0 of any sum, a node named twice has
 * both.  A walk starts at a seed, goes on with probability damping, and from a
 * node without arcs starts again at a seed.
 *
 * Each mass is a lower bound.  With GM_BOTH, and no seed without arcs, it is
 * at most epsilon times the node's (weighted) degree too small; with any view,
 * missing bounds the error of all nodes together.
 *
 * Complexity	at most 1 / (epsilon × (1 - damping)) arcs; beyond four times
 *				the graph's arcs whole sweeps follow, at most ln(1 / epsilon) /
 *				(1 - damping) of them, with the same bounds
 * Memory		44 bytes a node, touched only where the walk goes
 */
extern GmStatus gm_ppr(const GmGraph *graph, const GmView *view, GmScratch *scratch,
					   const GmMass *seeds, uint32_t seed_count, const GmPprOpts *opts,
					   const GmInterrupt *intr, GmMasses *result);

/*
 * The largest of seed mass × decay^hops over the seeds within max_hops.  The
 * largest, not the sum: it stays in [0, 1] when the seeds' masses do, costs one
 * search however many seeds there are, and one path explains it.
 *
 * decay in (0, 1]; masses above 0.  Replaces the result of gm_ppr.
 */
extern GmStatus gm_hops_decay(const GmGraph *graph, const GmView *view, GmScratch *scratch,
							  const GmMass *seeds, uint32_t seed_count,
							  double decay, int max_hops, const GmInterrupt *intr,
							  GmMasses *result);

typedef struct GmComponents
{
	const GmNode *label;		/* by node that is live and was known: its component's
								 * node of smallest id */
	const uint32_t *size;		/* by such a node: nodes in it; 0 by all others */
	uint32_t	count;
} GmComponents;

/*
 * Components, whatever the view's direction.  Afforest (Sutton, Ben-Nun,
 * Barak, IPDPS 2018): most nodes are joined over two neighbours each, and the
 * largest component's other edges are never read.
 *
 * Memory		12 bytes a node
 */
extern GmStatus gm_components(const GmGraph *graph, const GmView *view, GmScratch *scratch,
							  const GmInterrupt *intr, GmComponents *result);

/*
 * Live nodes in components of at least min_size: larger components first, of
 * equal ones the one with the smaller label (ids), then by id; at most
 * match_count.  components is what gm_components just gave.
 *
 * Memory		4 bytes a node and 36 a component
 */
extern GmStatus gm_component_members(const GmGraph *graph, GmScratch *scratch,
									 const GmComponents *components, uint64_t min_size,
									 uint64_t match_count, const GmInterrupt *intr,
									 const GmNode **members, uint32_t *member_count);

/*
 * The match_count largest masses of a list, those not above 0 left out; kinds:
 * bitmap of the nodes that count, NULL: all.  Of equal ones the smaller id
 * first.  list may be a result of the functions above.
 *
 * Complexity	list once, and what is kept sorted
 * Memory		32 bytes for each that is kept, or of the list if most are
 */
extern GmStatus gm_best_masses(const GmGraph *graph, GmScratch *scratch,
							   const GmMass *list, uint32_t count, const uint64_t *kinds,
							   uint64_t match_count, const GmInterrupt *intr,
							   const GmMass **best, uint32_t *best_count);

typedef struct GmProofOpts
{
	int			max_hops;		/* 0 or more */
	double		decay;			/* in (0, 1], for every hop */
	const GmMass *allowed;		/* nodes a path may cross; NULL: any */
	uint32_t	allowed_count;
} GmProofOpts;

typedef struct GmProof
{
	int			hops;			/* -1: no path */
	double		confidence;		/* product over the path */
	double		value;			/* seed mass × product of confidence × decay */
	const GmPathStep *steps;	/* hops + 1; the first is the seed */
} GmProof;

/*
 * For each target, the path of the largest value from any seed, of at most
 * max_hops hops over allowed nodes; seeds and targets are allowed too.  Of
 * equal ones the shorter, then, backwards from the target, the one with the
 * smaller predecessor and the smaller triple (ids).
 *
 * Complexity	records of the allowed nodes within max_hops - 1 hops, and of
 *				the last ones or of the targets, whichever are fewer
 */
extern GmStatus gm_best_paths(const GmGraph *graph, const GmView *view, GmScratch *scratch,
							  const GmMass *seeds, uint32_t seed_count,
							  const GmNode *targets, uint32_t target_count,
							  const GmProofOpts *opts, const GmInterrupt *intr,
							  const GmProof **proofs);

#endif							/* GM_CORE_RANK_H */
