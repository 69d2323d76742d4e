/*-------------------------------------------------------------------------
 *
 * rank_best.c
 *	  The largest masses of a list, in order: see rank.h.
 *
 * A few of many are kept in a heap whose top is the worst of them, so that a
 * candidate costs one comparison as a rule.  Otherwise everything is sorted by
 * the bits of the masses, which for numbers not below zero are ordered as they
 * are; a comparison sort took three times as long on 300,000 nodes.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/rank.h"
#include "core/traverse.h"

#define FEW				8		/* a heap pays for at most one in so many */
#define DIGIT_BITS		11
#define DIGITS			6		/* cover 64 bits */
#define RADIX			(1 << DIGIT_BITS)
#define LOOK_EVERY		65536	/* elements between two looks at the interrupt */

static bool
is_before(const GmGraph *g, const GmMass *a, const GmMass *b)
{
	if (a->mass != b->mass)
		return a->mass > b->mass;
	return gm_graph_entity_id(g, a->node) < gm_graph_entity_id(g, b->node);
}

static void
sink(const GmGraph *g, GmMass *heap, uint64_t n, uint64_t at)
{
	GmMass		item = heap[at];

	for (uint64_t child; (child = at * 2 + 1) < n; at = child)
	{
		if (child + 1 < n && is_before(g, &heap[child], &heap[child + 1]))
			child++;
		if (!is_before(g, &item, &heap[child]))
			break;
		heap[at] = heap[child];
	}
	heap[at] = item;
}

static inline bool
is_wanted(const uint64_t *kinds, GmNode node)
{
	return kinds == NULL || gm_bit_test(kinds, node);
}

static uint32_t
choose_few(const GmGraph *g, const GmMass *list, uint32_t count, const uint64_t *kinds,
		   uint32_t most, GmMass *heap)
{
	uint32_t	n = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		if ((n == most && list[i].mass < heap[0].mass) || !(list[i].mass > 0) ||
			!is_wanted(kinds, list[i].node))
			continue;
		if (n < most)
		{
			heap[n++] = list[i];
			for (uint32_t at = n / 2; n == most && at-- > 0;)
				sink(g, heap, n, at);
		}
		else if (is_before(g, &list[i], &heap[0]))
		{
			heap[0] = list[i];
			sink(g, heap, n, 0);
		}
	}
	return n;
}

static uint32_t
choose_wanted(const GmMass *list, uint32_t count, const uint64_t *kinds, GmMass *chosen)
{
	uint32_t	n = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		chosen[n] = list[i];
		n += list[i].mass > 0 && is_wanted(kinds, list[i].node);
	}
	return n;
}

/* descending: the smallest key is the largest mass */
static inline uint64_t
key_of(const GmMass *m)
{
	uint64_t	bits;

	memcpy(&bits, &m->mass, sizeof(bits));
	return ~bits;
}

static inline uint32_t
digit_of(const GmMass *m, int digit)
{
	return (uint32_t) (key_of(m) >> (digit * DIGIT_BITS)) & (RADIX - 1);
}

/* from and to swap with each digit that is not the same everywhere */
static GmStatus
sort_digits(GmMass *list, uint32_t n, GmMass *tmp, uint32_t (*start)[RADIX],
			const GmInterrupt *intr)
{
	GmMass	   *from = list;
	GmMass	   *to = tmp;

	memset(start, 0, sizeof(uint32_t) * DIGITS * RADIX);
	for (uint32_t i = 0; i < n; i++)
	{
		for (int d = 0; d < DIGITS; d++)
			start[d][digit_of(&list[i], d)]++;
		if (i % LOOK_EVERY == LOOK_EVERY - 1 && gm_interrupted(intr))
			return GM_INTERRUPTED;
	}
	for (int d = 0; d < DIGITS; d++)
	{
		uint32_t	sum = 0;
		GmMass	   *t = from;

		if (start[d][digit_of(&from[0], d)] == n)
			continue;
		for (int value = 0; value < RADIX; value++)
		{
			uint32_t	c = start[d][value];

			start[d][value] = sum;
			sum += c;
		}
		for (uint32_t i = 0; i < n; i++)
		{
			to[start[d][digit_of(&from[i], d)]++] = from[i];
			if (i % LOOK_EVERY == LOOK_EVERY - 1 && gm_interrupted(intr))
				return GM_INTERRUPTED;
		}
		from = to;
		to = t;
	}
	if (from != list)
		memcpy(list, from, (size_t) n * sizeof(GmMass));
	return GM_OK;
}

static void
insertion_sort(const GmGraph *g, GmMass *list, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
	{
		GmMass		item = list[i];
		uint32_t	k = i;

		for (; k > 0 && is_before(g, &item, &list[k - 1]); k--)
			list[k] = list[k - 1];
		list[k] = item;
	}
}

/* equal masses by the ids of their nodes; keys has room for twice as many */
static GmStatus
order_ties(const GmGraph *g, GmMass *list, uint32_t n, uint64_t *keys, const GmInterrupt *intr)
{
	for (uint32_t start = 0, end; start < n; start = end)
	{
		for (end = start + 1; end < n && list[end].mass == list[start].mass; end++)
			keys[end - start] = (uint64_t) list[end].node << 32;
		if (end == start + 1)
			continue;
		keys[0] = (uint64_t) list[start].node << 32;
		gm_sort_by_id(&g->entity_id, keys, end - start, keys + (end - start));
		for (uint32_t i = start; i < end; i++)
			list[i].node = (GmNode) (keys[i - start] >> 32);
		if (end - start >= LOOK_EVERY && gm_interrupted(intr))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

static GmStatus
sort_masses(const GmGraph *g, GmScratch *scratch, GmMass *list, uint32_t n,
			const GmInterrupt *intr)
{
	uint32_t	(*start)[RADIX];
	GmMass	   *tmp;

	if (n <= 32)
	{
		insertion_sort(g, list, n);
		return GM_OK;
	}
	/* twice the keys of all, which are half as large, or the list once more */
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SORT, (size_t) n * sizeof(GmMass), &tmp));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_ENTRY, sizeof(uint32_t) * DIGITS * RADIX, &start));
	GM_TRY(sort_digits(list, n, tmp, start, intr));
	return order_ties(g, list, n, (uint64_t *) tmp, intr);
}

GmStatus
gm_best_masses(const GmGraph *graph, GmScratch *scratch, const GmMass *list, uint32_t count,
			   const uint64_t *kinds, uint64_t match_count, const GmInterrupt *intr,
			   const GmMass **best, uint32_t *best_count)
{
	bool		few = match_count < count / FEW;
	uint32_t	room = few ? (uint32_t) match_count : count;
	GmMass	   *chosen;
	uint32_t	n;

	GM_TRY(gm_scratch_get(scratch, GM_BUF_BEST, ((size_t) room + 1) * sizeof(GmMass), &chosen));
	if (few)
		n = room == 0 ? 0 : choose_few(graph, list, count, kinds, room, chosen);
	else
		n = choose_wanted(list, count, kinds, chosen);
	GM_TRY(sort_masses(graph, scratch, chosen, n, intr));
	*best = chosen;
	*best_count = n < match_count ? n : (uint32_t) match_count;
	return GM_OK;
}
