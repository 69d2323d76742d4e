/*-------------------------------------------------------------------------
 *
 * path_private.h
 *	  What path.c, path_hops.c and path_confidence.c share: one search from a
 *	  to b, with what it must keep off.
 *
 * Costs are integers that carry the hops in their lowest bits, so that sums do
 * not depend on the order of adding, and every step costs something.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_PATH_PRIVATE_H
#define GM_CORE_PATH_PRIVATE_H

#include "core/path.h"
#include "core/traverse.h"

#define GM_PATH_COST_SCALE	0x1p28	/* units of a nat */
#define GM_PATH_HOP_BITS	14
#define GM_PATH_IMPASSABLE	UINT64_MAX

typedef struct GmPathSearch
{
	const GmGraph *graph;
	const GmView *view;
	GmScratch  *scratch;
	GmNode		a;
	GmNode		b;
	int			max_hops;		/* -1: any number */
	bool		by_confidence;
	GmWalk		forward;
	GmWalk		backward;

	/* what a search for a deviation must keep off */
	GmNode	   *banned;			/* nodes */
	uint32_t	banned_count;
	GmSlot	   *banned_slots;	/* triples out of a */
	uint32_t	banned_slot_count;

	/* the path found, behind the first steps_used */
	GmPathStep *steps;
	size_t		steps_used;
	uint32_t	hops;
	uint64_t	cost;			/* to compare paths by */
} GmPathSearch;

static inline bool
gm_path_id_less(const GmArray *ids, uint32_t x, uint32_t y)
{
	return GM_ARRAY_I64(ids, x) < GM_ARRAY_I64(ids, y);
}

/* beyond what 64 bits hold, a path counts as none */
static inline uint64_t
gm_path_cost_sum(uint64_t x, uint64_t y)
{
	uint64_t	sum = x + y;

	return sum < x ? GM_PATH_IMPASSABLE : sum;
}

static inline bool
gm_path_is_banned(const GmPathSearch *s, GmSlot slot)
{
	for (uint32_t i = 0; i < s->banned_slot_count; i++)
	{
		if (s->banned_slots[i] == slot)
			return true;
	}
	return false;
}

/* room for a path of so many hops behind the steps in use */
extern GmStatus gm_path_steps_room(GmPathSearch *s, size_t hops);

/* cost of walking a triple by confidence */
extern uint64_t gm_path_slot_cost(const GmPathSearch *s, GmSlot slot);

/*
 * The first path in the order of path.h under the bans, to steps, hops and
 * cost; a and b differ.  By hops it has at most max_hops, by confidence any
 * number; by layers it is by confidence and has at most max_hops, which is not
 * -1.
 */
extern GmStatus gm_path_by_hops(GmPathSearch *s, bool *found);
extern GmStatus gm_path_by_confidence(GmPathSearch *s, bool *found);
extern GmStatus gm_path_by_layers(GmPathSearch *s, bool *found);

#endif							/* GM_CORE_PATH_PRIVATE_H */
