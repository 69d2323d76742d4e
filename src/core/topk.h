/*-------------------------------------------------------------------------
 *
 * topk.h
 *	  The k nearest of any number of candidates, in memory the caller brings.
 *
 * Nearer means the smaller distance and, at equal distances, the smaller id:
 * a total order, so that neither the order of arrival nor the way the work
 * was split changes the result.  A candidate whose distance is NaN is not
 * taken.  The same id may be taken twice if it is pushed twice.
 *
 * Until gm_topk_sort() the items are a binary heap, the farthest on top.
 *
 * Complexity	push: one comparison for a candidate that is too far, else
 *				O(log k); sort: O(k log k) in place
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_TOPK_H
#define GM_CORE_TOPK_H

#include "core/base.h"

#include <math.h>

typedef struct GmTopkItem
{
	uint64_t	id;
	float		distance;
} GmTopkItem;

typedef struct GmTopk
{
	GmTopkItem *items;			/* room for k, the caller's */
	uint32_t	k;
	uint32_t	count;			/* items taken so far, at most k */
} GmTopk;

/* items may be NULL if k is 0 */
static inline void
gm_topk_init(GmTopk *top, GmTopkItem *items, uint32_t k)
{
	top->items = items;
	top->k = k;
	top->count = 0;
}

/*
 * The distance beyond which no candidate is taken any more.  One exactly as
 * far may still be, by its id.
 */
static inline float
gm_topk_worst(const GmTopk *top)
{
	if (top->count < top->k)
		return INFINITY;
	return top->k > 0 ? top->items[0].distance : -INFINITY;
}

static inline bool
gm_topk_nearer(GmTopkItem a, GmTopkItem b)
{
	return a.distance < b.distance ||
		(a.distance == b.distance && a.id < b.id);
}

/* Puts item into the hole at the root of a heap of count items. */
static inline void
gm_topk_sink(GmTopkItem *items, size_t count, GmTopkItem item)
{
	size_t		hole = 0;
	size_t		child;

	while ((child = 2 * hole + 1) < count)
	{
		if (child + 1 < count && gm_topk_nearer(items[child], items[child + 1]))
			child++;
		if (!gm_topk_nearer(item, items[child]))
			break;
		items[hole] = items[child];
		hole = child;
	}
	items[hole] = item;
}

/* Was the candidate taken?  A later one may still drive it out. */
static inline bool
gm_topk_push(GmTopk *top, float distance, uint64_t id)
{
	GmTopkItem	item = {id, distance};
	size_t		hole;

	/* so written that NaN is refused */
	if (!(distance <= gm_topk_worst(top)))
		return false;
	if (top->count == top->k)
	{
		if (top->k == 0 || !gm_topk_nearer(item, top->items[0]))
			return false;
		gm_topk_sink(top->items, top->count, item);
		return true;
	}
	for (hole = top->count++; hole > 0; hole = (hole - 1) / 2)
	{
		if (!gm_topk_nearer(top->items[(hole - 1) / 2], item))
			break;
		top->items[hole] = top->items[(hole - 1) / 2];
	}
	top->items[hole] = item;
	return true;
}

/*
 * Nearest first in items[0 .. count - 1].  The heap is gone then: no push and
 * no gm_topk_worst() may follow.
 *
 * In steps: left is count at first, then what the step before returned; 0 ends.
 */
static inline size_t
gm_topk_sort_some(GmTopk *top, size_t left, size_t most)
{
	for (; left > 1 && most > 0; left--, most--)
	{
		GmTopkItem	last = top->items[left - 1];

		top->items[left - 1] = top->items[0];
		gm_topk_sink(top->items, left - 1, last);
	}
	return left > 1 ? left : 0;
}

static inline void
gm_topk_sort(GmTopk *top)
{
	(void) gm_topk_sort_some(top, top->count, top->count);
}

#endif							/* GM_CORE_TOPK_H */
