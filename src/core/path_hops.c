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
 * Each step looks for a meeting before it makes a level, reading bitmaps only;
 * most searches end there.
 *
 * Reference	Pohl: Bi-directional Search, 1971
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/path_private.h"

#define AHEAD_RUNS		12
#define AHEAD_ARCS		5

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

/*
 * Puts more of the last level into order, from position *sorted on: for b all
 * of it, by id; for a the nodes found from one predecessor, by id.
 */
static GmStatus
order_more(GmPathSearch *s, Side *side, uint32_t *sorted)
{
	uint32_t	start = *sorted;
	uint32_t	end = side->forward ? start : side->tail;
	uint64_t   *tmp;

	while (end < side->tail && (uint32_t) side->queue[end] == (uint32_t) side->queue[start])
		end++;
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
 * the one with the smallest (entity id, triple id), or simply the first; banned
 * nodes are in both bitmaps.
 */
static void
find_meeting(const GmPathSearch *s, const Side *side, const uint64_t *other, const GmArcs *arcs,
			 bool first, Meeting *m)
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
			if (first)
				return;
		}
	}
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

static inline void
prefetch_level(const Side *side, uint32_t i)
{
	if (!side->walk.direct)
		return;
	if (i + AHEAD_RUNS < side->tail)
		gm_walk_prefetch_runs(&side->walk, node_of(side->queue[i + AHEAD_RUNS]));
	if (i + AHEAD_ARCS < side->tail)
		gm_walk_prefetch_arcs(&side->walk, node_of(side->queue[i + AHEAD_ARCS]));
}

/* the last level's neighbours become the next level */
static GmStatus
next_level(GmPathSearch *s, Side *side)
{
	uint32_t	sorted = side->head;

	for (uint32_t i = side->head; i < side->tail; i++)
	{
		GmArcs		arcs;

		if (i == sorted)
			GM_TRY(order_more(s, side, &sorted));
		prefetch_level(side, i);
		GM_TRY(gm_walk_arcs(&side->walk, node_of(side->queue[i]), &arcs));
		mark_found(side, arcs.neighbor[0], arcs.length[0], i);
		mark_found(side, arcs.neighbor[1], arcs.length[1], i);
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

/* records of the last level from a position on; more than most: any such number */
static uint64_t
level_records(const GmPathSearch *s, const Side *side, uint32_t from, uint64_t most)
{
	uint64_t	sum = 0;

	for (uint32_t i = from; i < side->tail && sum <= most; i++)
		sum += node_records(s, node_of(side->queue[i]));
	return sum;
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
		find_meeting(s, a, b->seen, &arcs, false, met);
		met->from = i;
		if (met->slot != GM_NONE)
			return GM_OK;
		if (gm_walk_interrupted(&a->walk))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

/* is there a meeting from b's level at all; *at is where */
static GmStatus
meets_from_b(GmPathSearch *s, const Side *a, Side *b, uint32_t *at, bool *meets)
{
	Meeting		met;

	*meets = false;
	for (uint32_t i = b->head; i < b->tail && !*meets; i++)
	{
		GmArcs		arcs;

		prefetch_level(b, i);
		GM_TRY(gm_walk_arcs(&b->walk, node_of(b->queue[i]), &arcs));
		find_meeting(s, b, a->seen, &arcs, true, &met);
		*meets = met.slot != GM_NONE;
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

	GM_TRY(meet_from_a(s, a, b, UINT64_MAX, &met));
	*found = met.slot != GM_NONE;
	return *found ? join_at(s, a, b, &met) : next_level(s, a);
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
	uint32_t	at;

	GM_TRY(meets_from_b(s, a, b, &at, found));
	if (!*found)
		return next_level(s, b);
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
