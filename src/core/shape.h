/*-------------------------------------------------------------------------
 *
 * shape.h
 *	  What the facts around a node are, as one number, and a vector for a node
 *	  that has none yet.
 *
 * A shape is a sum of hashes over the edges of a node that a view shows, of
 * ids only (neighbour, predicate, direction) and, where weights count, of the
 * confidence: equal in the shared image, a private one and after a restart,
 * whatever the order.  A node without such edges has shape 0, which no other
 * node has.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_SHAPE_H
#define GM_CORE_SHAPE_H

#include "core/graph.h"
#include "core/space.h"

/* cost: the node's edges */
extern uint64_t gm_shape_of(const GmGraph *graph, const GmView *view, bool weighted,
							GmNode node);

/*
 * The mean of its neighbours' vectors in the space, weighted by the edges'
 * confidence if asked, of length 1 if normalize.  False: none of them has one,
 * or they cancel each other out.  Sums go by entity id, so that the same edges
 * and vectors give the same bits.
 */
extern bool gm_shape_mean(const GmGraph *graph, const GmView *view, bool weighted,
						  bool normalize, const GmSpace *space, GmNode node, float *vector);

#endif							/* GM_CORE_SHAPE_H */
