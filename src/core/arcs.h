/*-------------------------------------------------------------------------
 *
 * arcs.h
 *	  A graph as embeddings see it: nodes that have an arc, in the order of
 *	  their entity ids, and the arcs between them.
 *
 * Every fact that the view shows is shown once, from its subject to its object,
 * facts of several predicates between the same two nodes one by one.  Where
 * weights count, one of confidence 0 is none.  The view's direction does not
 * matter.
 *
 * Interface
 *	 gm_arcs_count		nodes and arcs, and which nodes
 *	 gm_arcs_order		those nodes by entity id
 *	 gm_arcs_each		the arcs
 *
 * Complexity	a pass over the nodes and facts each; ordering costs as much as the
 *				nodes are out of order, n log n at most
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_ARCS_H
#define GM_CORE_ARCS_H

#include "core/graph.h"

typedef struct GmArcs
{
	const GmGraph *graph;
	const GmView *view;
	bool		weighted;		/* by confidence; else each weighs 1 */
	const GmInterrupt *intr;
} GmArcs;

#define GM_ARCS_WORDS(graph)	(((size_t) (graph)->root->gr_nodes + 63) / 64)

/* has: GM_ARCS_WORDS(graph) words, all zero; a bit by node */
extern GmStatus gm_arcs_count(const GmArcs *arcs, uint64_t *has, uint32_t *nodes, uint64_t *count);

/* nodes and spare have room for n, as counted; the result is in nodes */
extern GmStatus gm_arcs_order(const GmArcs *arcs, const uint64_t *has, GmNode *nodes,
							  GmNode *spare, uint32_t n);

/* ends with the first status that is not GM_OK; by subject, in no promised order */
extern GmStatus gm_arcs_each(const GmArcs *arcs,
							 GmStatus (*show) (void *arg, GmNode from, GmNode to, float weight),
							 void *arg);

#endif							/* GM_CORE_ARCS_H */
