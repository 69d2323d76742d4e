/*-------------------------------------------------------------------------
 *
 * rank_private.h
 *	  What rank.c and ppr.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_RANK_PRIVATE_H
#define GM_CORE_RANK_PRIVATE_H

#include "core/rank.h"
#include "core/traverse.h"

/* order of the nodes by id, for sums that must not depend on their numbers */
typedef struct GmRankOrder
{
	uint32_t	n;				/* nodes that are live, and known then */
	const GmNode *node;			/* by position; NULL: positions are numbers */
	const uint32_t *position;	/* by node */
} GmRankOrder;

/* of the nodes known then; GM_TIME_MAX: of all */
extern GmStatus gm_rank_order(const GmGraph *g, int64_t known_at, GmScratch *scratch,
							  GmRankOrder *order);

/* by predicate, NULL where all are 1; what is not above 0 is 0 */
extern GmStatus gm_rank_weights(const GmGraph *g, GmScratch *scratch, const float **weights);

/*
 * Copies the seeds, ordered by id, each node once with the sum or the largest
 * of its masses; GM_BAD_VALUE for a node that is not there, or a mass that is
 * not above 0 and finite.
 */
extern GmStatus gm_rank_seeds(const GmGraph *g, GmScratch *scratch, const GmMass *seeds,
							  uint32_t count, bool sum, GmMass **taken, uint32_t *taken_count);

/* a direct walk both ways has a self-loop in both halves */
static inline bool
gm_rank_loops_twice(const GmWalk *walk)
{
	return walk->direct && walk->view.direction == GM_BOTH;
}

#endif							/* GM_CORE_RANK_PRIVATE_H */
