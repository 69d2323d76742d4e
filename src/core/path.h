/*-------------------------------------------------------------------------
 *
 * path.h
 *	  Shortest paths between two nodes, and the k best ones.
 *
 * A path is a sequence of visible triples walked in the view's direction that
 * meets no node twice.  Parallel triples between two nodes make different
 * paths.
 *
 * Paths are ordered by cost, then hops, then, step by step from a, by the
 * entity id of the node reached and the id of the triple taken.  That is a
 * total order, so neither how the search went nor how the image is laid out
 * changes a result.
 *
 * Cost		by hops: their number; by confidence: the sum of -ln(confidence),
 *			so that the best path is the one with the largest product.  Costs
 *			are compared in steps of 2^-28, about what float confidences carry;
 *			closer ones are equal and the hops decide.  A triple of confidence
 *			0 cannot be walked by confidence.
 *
 * Interface
 *	 gm_shortest_path	the first path in that order
 *	 gm_paths			the first k
 *
 * Memory		16 bytes a node by hops, 40 by confidence; both touched only as
 *				far as the search goes
 * Complexity	hops: two half-searches, each stopping where they meet.
 *				confidence: two heap searches; if the result is longer than
 *				max_hops, a search by layers over at most max_hops times the
 *				records.  gm_paths: one such search for every step of a result
 * Limits		by confidence: paths whose -ln(confidence) sum to more than 4
 *				million count as none, and from 16,384 hops on every 16,384 of
 *				them weigh one step of cost
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_PATH_H
#define GM_CORE_PATH_H

#include "core/graph.h"
#include "core/scratch.h"

typedef struct GmPathOpts
{
	bool		by_confidence;
	int			max_hops;		/* -1: any number */
	uint64_t	budget;			/* gm_paths: records looked at; 0: any number */
} GmPathOpts;

typedef struct GmPathStep
{
	GmNode		node;			/* reached by this step */
	GmSlot		slot;			/* triple taken; GM_NONE in step 0 */
	bool		out;			/* the node before is its subject */
} GmPathStep;

typedef struct GmPath
{
	uint32_t	hops;
	double		cost;
	double		confidence;		/* product over the path; 1 without steps */
	const GmPathStep *steps;	/* hops + 1 of them; the first is a itself */
} GmPath;

/*
 * *found false: there is no such path.  a = b gives the path of no hops.
 * GM_BAD_VALUE: unknown node, max_hops below -1.
 */
extern GmStatus gm_shortest_path(const GmGraph *graph, const GmView *view, GmScratch *scratch,
								 GmNode a, GmNode b, const GmPathOpts *opts,
								 const GmInterrupt *intr, GmPath *path, bool *found);

/*
 * At most k paths, best first.  *complete false: the budget ended the search;
 * the paths there are the best ones all the same.  a = b gives the path of no
 * hops only.
 */
extern GmStatus gm_paths(const GmGraph *graph, const GmView *view, GmScratch *scratch,
						 GmNode a, GmNode b, uint32_t k, const GmPathOpts *opts,
						 const GmInterrupt *intr, const GmPath **paths, uint32_t *count,
						 bool *complete);

#endif							/* GM_CORE_PATH_H */
