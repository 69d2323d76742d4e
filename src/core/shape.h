/*-------------------------------------------------------------------------
 *
 * shape.h
 *	  What the facts around a node are, as one number, and a vector for a node
 *	  that has none yet.
 *
 * A shape is a sum of hashes over the edges of a node that a view shows, of
 * ids only (neighbour, predicate, direction) and, where weights count, of the
 * confidence: equal in the shared image, a private one and after a restart,
 * whatever the order.  Where weights count, an edge of confidence 0 is none.  A
 * node without edges has shape 0, which no other node has; no node has
 * GM_SHAPE_NONE.
 *
 * Interface
 *	 gm_shape_of		of a node
 *	 gm_shape_mean		the mean of its neighbours' vectors
 *	 gm_shape_means_end	frees what gm_shape_mean worked with
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_SHAPE_H
#define GM_CORE_SHAPE_H

#include "core/graph.h"
#include "core/space.h"

#define GM_SHAPE_NONE	UINT64_C(1)

/* cost: the node's edges */
extern uint64_t gm_shape_of(const GmGraph *graph, const GmView *view, bool weighted,
							GmNode node);

/* what means are made of; zero but for the fields before the private ones */
typedef struct GmShapeMeans
{
	const GmGraph *graph;
	const GmView *view;
	const GmSpace *space;		/* of entities */
	bool		weighted;		/* by the edges' confidence */
	bool		normalize;		/* to length 1 */

	/* vectors of nodes that have none in the space; NULL: none */
	const float *(*given) (void *arg, GmNode node);
	void	   *arg;

	/* private */
	struct GmShapePart *part;
	uint32_t	room;
	double	   *sum;
} GmShapeMeans;

/*
 * *there false: no neighbour has a vector, or they cancel each other out.  The
 * node itself is none of its neighbours, and one that several edges lead to
 * counts once, with the largest weight.  Sums go by entity id, so that the same
 * edges and vectors give the same bits.  Cost: the node's edges, and a vector
 * for each neighbour.
 */
extern GmStatus gm_shape_mean(GmShapeMeans *means, GmNode node, const GmInterrupt *intr,
							  float *vector, bool *there);
extern void gm_shape_means_end(GmShapeMeans *means);

#endif							/* GM_CORE_SHAPE_H */
