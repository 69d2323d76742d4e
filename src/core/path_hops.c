/*-------------------------------------------------------------------------
 *
 * path_hops.c
 *	  The smallest of the paths with the fewest hops.
 *
 * Two breadth-first searches meet.  The one from a keeps its levels in the
 * order of the smallest path to each node, the one from b in the order of ids,
 * so that in both the first to find a node is its right predecessor, and the
 * first node of a's level with a neighbour in b's level lies on the smallest
 * shortest path: the search need not look at the rest.
 *
 * A step makes one side's next level and looks for a meeting meanwhile; when
 * there is one, what it made of the level is taken back.  Where a meeting is
 * likely it looks for one first, which reads bitmaps only and needs no order.
 *
 * Reference	Pohl: Bi-directional Search, 1971
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/path_private.h"

#define AHEAD_RUNS		12
#define AHEAD_ARCS		5
#define AHEAD_DEGREES	16
#define SAMPLE			256		/* nodes of a level */
#define SEVERAL			8
#define FIRST_CHUNK		32

/* one of the two searches by hops */
typedef struct Side
{
	GmWalk		walk;
	uint64_t   *seen;
	uint64_t   *queue;			/* node << 32 | position of its predecessor */
	uint32_t	head;			/* the last level is head .. tail */
	uint32_t	tail;
	uint32_t	fill;			/* end of what its expansion has found */
	uint32_t	hops;			/* of the last level */
	uint32_t	chunk;			/* entries to put into order next: order_more */
	bool		forward;
} Side;

static inline GmNode
node_of(uint64_t entry)
{
	return (GmNode) (entry >> 32);
}

/*
 * The triple with the smallest id from x to y, looked up in the node with
 * fewer records.
 */
static GmStatus
connect(GmPathSearch *s, GmNode x, GmNode y, GmSlot *slot, bool *out)
{
	const GmNodeRuns *rx = gm_array_at(&s->graph->runs, x);
	const GmNodeRuns *ry = gm_array_at(&s->graph->runs, y);
	bool		from_x = (uint64_t) rx->out.rn_length + rx->in.rn_length <=
		(uint64_t) ry->out.rn_length + ry->in.rn_length;
	GmNode		other = from_x ? y : x;
	GmArcs		arcs;

	GM_TRY(gm_walk_arcs(from_x ? &s->forward : &s->backward, from_x ? x : y, &arcs));
	*slot = GM_NONE;
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			GmSlot		candidate;

			if (gm_likely(arcs.neighbor[half][i] != other))
				continue;
			candidate = arcs.slot[half][i];
			if (x == s->a && gm_path_is_banned(s, candidate))
				continue;
			if (*slot == GM_NONE || gm_path_id_less(&s->graph->triple_id, candidate, *slot))
			{
				*slot = candidate;
				*out = (half == 0) == from_x;
			}
		}
	}
	return GM_OK;
}

static GmStatus
side_begin(GmPathSearch *s, Side *side, bool forward, GmNode root)
{
	uint32_t	n = s->graph->root->gr_nodes;

	side->walk = forward ? s->forward : s->backward;
	side->forward = forward;
	GM_TRY(gm_scratch_get(s->scratch, forward ? GM_BUF_SEEN : GM_BUF_SEEN_B,
					   gm_bit_words(n) * 8, &side->seen));
	GM_TRY(gm_scratch_get(s->scratch, forward ? GM_BUF_QUEUE : GM_BUF_QUEUE_B,
					   ((size_t) n + 1) * sizeof(uint64_t), &side->queue));
	side->queue[0] = (uint64_t) root << 32 | GM_NONE;
	side->head = 0;
	side->tail = side->fill = 1;
	side->hops = 0;
	gm_bit_set(side->seen, root);
	for (uint32_t i = 0; i < s->banned_count; i++)
		gm_bit_set(side->seen, s->banned[i]);
	return GM_OK;
}

static void
side_end(const GmPathSearch *s, Side *side)
{
	size_t		words = gm_bit_words(s->graph->root->gr_nodes);

	if (side->fill > words / 4)
	{
		memset(side->seen, 0, words * 8);
		return;
	}
	for (uint32_t i = 0; i < side->fill; i++)
		side->seen[node_of(side->queue[i]) >> 6] = 0;
	for (uint32_t i = 0; i < s->banned_count; i++)
		side->seen[s->banned[i] >> 6] = 0;
	side->seen[s->a >> 6] = 0;
}

/* the k smallest of n distinct values come first, in any order; Hoare's selection */
static void
select_smallest(uint64_t *values, uint32_t n, uint32_t k)
{
	while (n > k && n > 1)
	{
		uint64_t	a = values[0];
		uint64_t	b = values[n / 2];
		uint64_t	c = values[n - 1];
		uint64_t	pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
		uint32_t	below = 0;

		for (uint32_t i = 0; i < n; i++)
		{
			uint64_t	v = values[i];

			values[i] = values[below];
			values[below] = v;
			below += v <= pivot;
		}
		if (below <= k)
		{
			/* all of these, and the rest of k from what is behind them */
			values += below;
			n -= below;
			k -= below;
		}
		else if (below < n)
			n = below;
		else
		{
			/* the pivot was the largest: it goes last */
			for (uint32_t i = 0; i < n; i++)
			{
				if (values[i] != pivot)
					continue;
				values[i] = values[n - 1];
				values[n - 1] = pivot;
				break;
			}
			n--;
		}
	}
}

/*
 * Puts more of the last level into order, from position *sorted on: for b all
 * of it, by id; for a the nodes found from one predecessor, by id.  The
 * first few of many often meet b's, so where numbers ascend with ids the
 * smallest ones are put into order first.
 */
static GmStatus
order_more(GmPathSearch *s, Side *side, uint32_t *sorted)
{
	uint32_t	start = *sorted;
	uint32_t	end = side->forward ? start : side->tail;
	uint64_t   *tmp;

	while (end < side->tail && (uint32_t) side->queue[end] == (uint32_t) side->queue[start])
		end++;
	if (start == side->head || (uint32_t) side->queue[start] != (uint32_t) side->queue[start - 1])
		side->chunk = FIRST_CHUNK;
	if (side->forward && s->graph->root->gr_nodes_ascend && (end - start) / 2 > side->chunk)
	{
		select_smallest(side->queue + start, end - start, side->chunk);
		end = start + side->chunk;
		side->chunk *= 4;
	}
	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_SORT, (size_t) (end - start) * sizeof(uint64_t), &tmp));
	gm_sort_by_id(&s->graph->entity_id, side->queue + start, end - start, tmp);
	*sorted = end;
	return GM_OK;
}

/* an edge from a node of one side's level to a node of the other side's */
typedef struct Meeting
{
	uint32_t	from;			/* position in the queue of the side expanded */
	GmNode		node;			/* on the other side */
	GmSlot		slot;			/* GM_NONE: they have not met */
	bool		out;
} Meeting;

static inline bool
is_smaller_meeting(const GmPathSearch *s, const Meeting *m, GmNode v, GmSlot slot)
{
	if (m->slot == GM_NONE)
		return true;
	if (v == m->node)
		return gm_path_id_less(&s->graph->triple_id, slot, m->slot);
	return gm_path_id_less(&s->graph->entity_id, v, m->node);
}

/*
 * Of the edges to nodes that the other search has seen and this one has not,
 * the one with the smallest (entity id, triple id); banned nodes are in both
 * bitmaps.
 */
static void
find_meeting(const GmPathSearch *s, const Side *side, const uint64_t *other, const GmArcs *arcs,
			 Meeting *m)
{
	m->slot = GM_NONE;
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs->length[half]; i++)
		{
			GmNode		v = arcs->neighbor[half][i];
			GmSlot		slot;

			if (gm_likely(!gm_bit_test(other, v)) || gm_bit_test(side->seen, v))
				continue;
			slot = arcs->slot[half][i];
			if (!is_smaller_meeting(s, m, v, slot))
				continue;
			m->node = v;
			m->slot = slot;
			m->out = half == 0;
		}
	}
}

static bool
has_meeting(const Side *side, const uint64_t *other, const GmNode *nodes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (gm_unlikely(gm_bit_test(other, nodes[i])) && !gm_bit_test(side->seen, nodes[i]))
			return true;
	return false;
}

static void
mark_found(Side *side, const GmNode *nodes, uint32_t n, uint32_t from)
{
	uint64_t   *seen = side->seen;
	uint64_t   *queue = side->queue;
	uint32_t	fill = side->fill;

	for (uint32_t i = 0; i < n; i++)
	{
		GmNode		v = nodes[i];
		uint64_t	word = seen[v >> 6];

		queue[fill] = (uint64_t) v << 32 | from;
		fill += !((word >> (v & 63)) & 1);
		seen[v >> 6] = word | UINT64_C(1) << (v & 63);
	}
	side->fill = fill;
}

/*
 * The same, up to a node that the other search has seen and this one has not:
 * is there one.
 */
static bool
mark_until_met(Side *side, const uint64_t *other, const GmNode *nodes, uint32_t n, uint32_t from)
{
	uint64_t   *seen = side->seen;
	uint64_t   *queue = side->queue;
	uint32_t	fill = side->fill;
	bool		met = false;

	for (uint32_t i = 0; i < n; i++)
	{
		GmNode		v = nodes[i];
		uint64_t	word = seen[v >> 6];
		bool		unseen = !((word >> (v & 63)) & 1);

		if (gm_unlikely((other[v >> 6] >> (v & 63)) & 1) && unseen)
		{
			met = true;
			break;
		}
		queue[fill] = (uint64_t) v << 32 | from;
		fill += unseen;
		seen[v >> 6] = word | UINT64_C(1) << (v & 63);
	}
	side->fill = fill;
	return met;
}

static void
unmark_found(Side *side)
{
	for (uint32_t i = side->tail; i < side->fill; i++)
		gm_bit_clear(side->seen, node_of(side->queue[i]));
	side->fill = side->tail;
}

static void
prefetch_level(const Side *side, uint32_t i)
{
	if (!side->walk.direct)
		return;
	if (i + AHEAD_RUNS < side->tail)
		gm_walk_prefetch_runs(&side->walk, node_of(side->queue[i + AHEAD_RUNS]));
	if (i + AHEAD_ARCS < side->tail)
		gm_walk_prefetch_arcs(&side->walk, node_of(side->queue[i + AHEAD_ARCS]));
}

/*
 * The last level's neighbours become the next level, unless it meets the other
 * side.  Then *met is true, *at the first position in the level's order with a
 * meeting, *arcs what is found there, and nothing has changed.
 */
static GmStatus
next_level(GmPathSearch *s, Side *side, const uint64_t *other, uint32_t *at, GmArcs *arcs,
		   bool *met)
{
	uint32_t	sorted = side->head;

	*met = false;
	for (uint32_t i = side->head; i < side->tail; i++)
	{
		if (i == sorted)
			GM_TRY(order_more(s, side, &sorted));
		prefetch_level(side, i);
		GM_TRY(gm_walk_arcs(&side->walk, node_of(side->queue[i]), arcs));
		if (mark_until_met(side, other, arcs->neighbor[0], arcs->length[0], i) ||
			mark_until_met(side, other, arcs->neighbor[1], arcs->length[1], i))
		{
			unmark_found(side);
			*at = i;
			*met = true;
			return GM_OK;
		}
		if (gm_walk_interrupted(&side->walk))
			return GM_INTERRUPTED;
	}
	side->head = side->tail;
	side->tail = side->fill;
	side->hops++;
	return GM_OK;
}

static uint64_t
node_records(const GmPathSearch *s, GmNode node)
{
	const GmNodeRuns *r = gm_array_at(&s->graph->runs, node);

	return (uint64_t) r->out.rn_length + r->in.rn_length;
}

/*
 * About the records of the last level from a position on: those both ways that
 * are current, which the image counts close together, of a large level judged
 * by some of its nodes.  More than most: any such number.
 */
static uint64_t
level_records(const GmPathSearch *s, const Side *side, uint32_t from, uint64_t most)
{
	const GmArray *degree = &s->graph->degree;
	uint64_t	step = (side->tail - from) / SAMPLE + 1;
	uint64_t	sum = 0;

	for (uint64_t i = from; i < side->tail && sum <= most / step; i += step)
	{
		if (i + AHEAD_DEGREES * step < side->tail)
			gm_prefetch(gm_array_at(degree, node_of(side->queue[i + AHEAD_DEGREES * step])));
		sum += GM_ARRAY_U32(degree, node_of(side->queue[i]));
	}
	return sum * step;
}

/*
 * If the level's neighbours were any nodes, would several of them be the other
 * side's?  In real graphs one is not enough: levels keep to their own parts.
 */
static bool
is_likely_to_meet(const GmPathSearch *s, const Side *side, const Side *other)
{
	uint64_t	enough = (uint64_t) s->graph->root->gr_nodes * SEVERAL / other->fill;

	return level_records(s, side, side->head, enough) >= enough;
}

/*
 * Looks for a meeting from a's level, in its order: the first one lies on the
 * smallest path.  Gives up before it has looked at more than max_work records.
 */
static GmStatus
meet_from_a(GmPathSearch *s, Side *a, const Side *b, uint64_t max_work, Meeting *met)
{
	uint32_t	sorted = a->head;

	met->slot = GM_NONE;
	for (uint32_t i = a->head; i < a->tail; i++)
	{
		uint64_t	records;
		GmArcs		arcs;

		if (i == sorted)
			GM_TRY(order_more(s, a, &sorted));
		prefetch_level(a, i);
		records = node_records(s, node_of(a->queue[i]));
		if (records > max_work)
			return GM_OK;
		max_work -= records;
		GM_TRY(gm_walk_arcs(&a->walk, node_of(a->queue[i]), &arcs));
		find_meeting(s, a, b->seen, &arcs, met);
		met->from = i;
		if (met->slot != GM_NONE)
			return GM_OK;
		if (gm_walk_interrupted(&a->walk))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

/* is there a meeting from b's level; *at is a position that no other comes before */
static GmStatus
meets_from_b(GmPathSearch *s, const Side *a, Side *b, uint32_t *at, bool *meets)
{
	*meets = false;
	for (uint32_t i = b->head; i < b->tail && !*meets; i++)
	{
		GmArcs		arcs;

		prefetch_level(b, i);
		GM_TRY(gm_walk_arcs(&b->walk, node_of(b->queue[i]), &arcs));
		*meets = has_meeting(b, a->seen, arcs.neighbor[0], arcs.length[0]) ||
			has_meeting(b, a->seen, arcs.neighbor[1], arcs.length[1]);
		*at = i;
		if (gm_walk_interrupted(&b->walk))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

/*
 * All nodes of a's level that meet b's, from position at of b's level on; hit
 * is a bitmap, zero as yet.
 */
static GmStatus
all_meetings(const Side *a, Side *b, uint32_t at, uint64_t *hit)
{
	for (uint32_t i = at; i < b->tail; i++)
	{
		GmArcs		arcs;

		prefetch_level(b, i);
		GM_TRY(gm_walk_arcs(&b->walk, node_of(b->queue[i]), &arcs));
		for (int half = 0; half < 2; half++)
		{
			for (uint32_t k = 0; k < arcs.length[half]; k++)
			{
				GmNode		v = arcs.neighbor[half][k];

				if (gm_unlikely(gm_bit_test(a->seen, v)))
					gm_bit_set(hit, v);
			}
		}
		if (gm_walk_interrupted(&b->walk))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

/*
 * The first node of a's level, in its order, that is in hit: of those found
 * from the first predecessor that has any, the one with the smallest id.
 */
static uint32_t
first_hit(const GmPathSearch *s, const Side *a, const uint64_t *hit)
{
	uint32_t	first = GM_NONE;

	for (uint32_t i = a->head; i < a->tail; i++)
	{
		if (!gm_bit_test(hit, node_of(a->queue[i])))
			continue;
		if (first != GM_NONE && (uint32_t) a->queue[i] != (uint32_t) a->queue[first])
			break;
		if (first == GM_NONE || gm_path_id_less(&s->graph->entity_id, node_of(a->queue[i]),
										node_of(a->queue[first])))
			first = i;
	}
	return first;
}

static uint32_t
position_of(const uint64_t *queue, uint32_t from, uint32_t to, GmNode node)
{
	while (from < to && node_of(queue[from]) != node)
		from++;
	return from;
}

/*
 * The path from a to position x of a's queue, over one edge to position y of
 * b's queue, and on to b.  The edge may be known.
 */
static GmStatus
join_sides(GmPathSearch *s, const Side *a, uint32_t x, const Side *b, uint32_t y,
		   const Meeting *edge)
{
	uint32_t	before = 0;
	uint32_t	hops;
	GmPathStep *steps;

	for (uint32_t i = x; (uint32_t) a->queue[i] != GM_NONE; i = (uint32_t) a->queue[i])
		before++;
	hops = before + 1;
	for (uint32_t i = y; (uint32_t) b->queue[i] != GM_NONE; i = (uint32_t) b->queue[i])
		hops++;
	GM_TRY(gm_path_steps_room(s, hops));
	steps = s->steps + s->steps_used;
	steps[0] = (GmPathStep) {s->a, GM_NONE, false};
	for (uint32_t i = x, at = before; at > 0; at--, i = (uint32_t) a->queue[i])
		steps[at].node = node_of(a->queue[i]);
	for (uint32_t i = y, at = before + 1; at <= hops; at++, i = (uint32_t) b->queue[i])
		steps[at].node = node_of(b->queue[i]);
	for (uint32_t i = 1; i <= hops; i++)
	{
		if (edge == NULL || i != before + 1)
			GM_TRY(connect(s, steps[i - 1].node, steps[i].node, &steps[i].slot, &steps[i].out));
		else
		{
			steps[i].slot = edge->slot;
			steps[i].out = edge->out;
		}
	}
	s->hops = hops;
	s->cost = hops;
	return GM_OK;
}

/* the smallest edge from a's node u to b's level, from its position at on */
static GmStatus
edge_from_b(const GmPathSearch *s, Side *b, uint32_t at, GmNode u, Meeting *met)
{
	for (uint32_t i = at; i < b->tail; i++)
	{
		GmNode		w = node_of(b->queue[i]);
		GmArcs		arcs;

		GM_TRY(gm_walk_arcs(&b->walk, w, &arcs));
		for (int half = 0; half < 2; half++)
		{
			for (uint32_t k = 0; k < arcs.length[half]; k++)
			{
				if (gm_likely(arcs.neighbor[half][k] != u) ||
					!is_smaller_meeting(s, met, w, arcs.slot[half][k]))
					continue;
				met->node = w;
				met->slot = arcs.slot[half][k];
				met->out = half == 1;
			}
		}
		if (gm_walk_interrupted(&b->walk))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

static GmStatus
join_at(GmPathSearch *s, const Side *a, const Side *b, const Meeting *met)
{
	uint32_t	y = position_of(b->queue, b->head, b->tail, met->node);

	return join_sides(s, a, met->from, b, y, met);
}

static GmStatus
advance_a(GmPathSearch *s, Side *a, Side *b, bool *found)
{
	Meeting		met;
	GmArcs		arcs;

	if (is_likely_to_meet(s, a, b))
	{
		GM_TRY(meet_from_a(s, a, b, UINT64_MAX, &met));
		*found = met.slot != GM_NONE;
		if (*found)
			return join_at(s, a, b, &met);
	}
	GM_TRY(next_level(s, a, b->seen, &met.from, &arcs, found));
	if (!*found)
		return GM_OK;
	find_meeting(s, a, b->seen, &arcs, &met);
	return join_at(s, a, b, &met);
}

/*
 * Once b's level meets a's the length is known, but not the smallest path.
 * From a it is often found at once, since there the first node to meet is the
 * right one; if that takes more records than b's level has left, all meetings
 * are collected from b's level instead.
 */
static GmStatus
smallest_meeting(GmPathSearch *s, Side *a, Side *b, uint32_t at, Meeting *met)
{
	uint64_t	left = level_records(s, b, at, UINT64_MAX);
	size_t		words = gm_bit_words(s->graph->root->gr_nodes);
	uint64_t   *hit;

	met->slot = GM_NONE;
	if (left > a->tail - a->head)
	{
		GM_TRY(meet_from_a(s, a, b, left, met));
		if (met->slot != GM_NONE)
			return GM_OK;
	}
	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_SETTLED, words * 8, &hit));
	GM_TRY(all_meetings(a, b, at, hit));
	met->from = first_hit(s, a, hit);
	memset(hit, 0, words * 8);
	return edge_from_b(s, b, at, node_of(a->queue[met->from]), met);
}

static GmStatus
advance_b(GmPathSearch *s, Side *a, Side *b, bool *found)
{
	Meeting		met;
	GmArcs		arcs;
	uint32_t	at;

	if (is_likely_to_meet(s, b, a))
		GM_TRY(meets_from_b(s, a, b, &at, found));
	if (!*found)
		GM_TRY(next_level(s, b, a->seen, &at, &arcs, found));
	if (!*found)
		return GM_OK;
	GM_TRY(smallest_meeting(s, a, b, at, &met));
	return join_at(s, a, b, &met);
}

/*
 * The side whose last level has fewer records; those of a count half, since a
 * meeting from there is the smallest at once.
 */
static bool
a_is_cheaper(const GmPathSearch *s, const Side *a, const Side *b)
{
	uint64_t	records;

	if (a->tail - a->head <= b->tail - b->head)
	{
		records = level_records(s, a, a->head, UINT64_MAX) / 2;
		return level_records(s, b, b->head, records) >= records;
	}
	records = level_records(s, b, b->head, UINT64_MAX / 2) * 2;
	return level_records(s, a, a->head, records) <= records;
}

/*
 * With triples out of a banned, a's first level is made here, and a itself is
 * banned from both sides.
 */
static GmStatus
first_level(GmPathSearch *s, Side *a, Side *b)
{
	GmArcs		arcs;

	gm_bit_set(b->seen, s->a);
	GM_TRY(gm_walk_arcs(&a->walk, s->a, &arcs));
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			GmNode		v = arcs.neighbor[half][i];

			if (!gm_path_is_banned(s, arcs.slot[half][i]))
				mark_found(a, &v, 1, 0);
		}
	}
	a->head = a->tail;
	a->tail = a->fill;
	a->hops = 1;
	return GM_OK;
}

GmStatus
gm_path_by_hops(GmPathSearch *s, bool *found)
{
	uint32_t	max_hops = s->max_hops < 0 ? UINT32_MAX : (uint32_t) s->max_hops;
	Side		a;
	Side		b;

	*found = false;
	GM_TRY(side_begin(s, &a, true, s->a));
	GM_TRY(side_begin(s, &b, false, s->b));
	if (s->banned_slot_count > 0 && max_hops > 0)
	{
		GM_TRY(first_level(s, &a, &b));
		*found = gm_bit_test(a.seen, s->b);
		if (*found)
			GM_TRY(join_sides(s, &a, 0, &b, 0, NULL));
	}
	while (!*found && a.hops + b.hops < max_hops && a.head < a.tail && b.head < b.tail)
	{
		if (a_is_cheaper(s, &a, &b))
			GM_TRY(advance_a(s, &a, &b, found));
		else
			GM_TRY(advance_b(s, &a, &b, found));
	}
	side_end(s, &a);
	side_end(s, &b);
	s->forward = a.walk;
	s->backward = b.walk;
	return GM_OK;
}
