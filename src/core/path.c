/*-------------------------------------------------------------------------
 *
 * path.c
 *	  Shortest paths between two nodes, and the k best ones.
 *
 * By hops, two breadth-first searches meet.  The one from a keeps its levels
 * in the order of the smallest path to each node, the one from b in the order
 * of ids, so that in both the first to find a node is its right predecessor,
 * and the first node of a's level with a neighbour in b's level lies on the
 * smallest shortest path: the search need not look at the rest.
 *
 * By confidence, two heap searches run until no shorter or equal path can be
 * missing; the path is then walked from a over the tight edges.  Costs are
 * integers that carry the hops in their lowest bits, so that sums do not
 * depend on the order of adding, and every step costs something.
 *
 * Reference	Pohl: Bi-directional Search, 1971 (hops and heap searches).
 *				Yen: Finding the K Shortest Loopless Paths, 1971, with Lawler's
 *				rule of deviating only behind the last deviation, 1972.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "core/path.h"
#include "core/traverse.h"

#define TRY(call) \
	do { \
		GmStatus	try_status = (call); \
		if (try_status != GM_OK) \
			return try_status; \
	} while (0)

#define COST_SCALE		0x1p28	/* units of a nat */
#define COST_HOP_BITS	14
#define IMPASSABLE		UINT64_MAX

#define AHEAD_RUNS		12
#define AHEAD_ARCS		5
#define AHEAD_SLOTS		24

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

typedef struct HeapItem
{
	uint64_t	cost;
	GmNode		node;
} HeapItem;

/* one of the two searches by confidence */
typedef struct Cone
{
	GmWalk		walk;
	uint64_t   *label;			/* by node: cost + 1, 0 none */
	uint64_t   *settled;
	GmNode	   *touched;		/* nodes with a label */
	uint32_t	touched_count;
	HeapItem   *heap;
	uint32_t	heap_count;
	GmBufferName heap_name;
	uint64_t	other_nearest;	/* least cost the other search has yet to settle */
	bool		forward;
} Cone;

/* label of a node in the search by layers */
typedef struct Layer
{
	uint64_t	cost;
	GmNode		node;
	uint32_t	hops;
	uint32_t	older;			/* the node's label of fewer hops, or GM_NONE */
} Layer;

typedef struct Search
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
} Search;

static inline GmNode
node_of(uint64_t entry)
{
	return (GmNode) (entry >> 32);
}

static bool
is_banned_slot(const Search *s, GmSlot slot)
{
	for (uint32_t i = 0; i < s->banned_slot_count; i++)
	{
		if (s->banned_slots[i] == slot)
			return true;
	}
	return false;
}

static inline bool
id_less(const GmArray *ids, uint32_t x, uint32_t y)
{
	return GM_ARRAY_I64(ids, x) < GM_ARRAY_I64(ids, y);
}

static uint64_t
slot_cost(const Search *s, GmSlot slot)
{
	float		confidence = gm_graph_confidence(s->graph, s->view, slot);
	double		nats;

	if (!(confidence > 0))
		return IMPASSABLE;
	nats = confidence < 1 ? -log(confidence) : 0;
	return ((uint64_t) (nats * COST_SCALE + 0.5) << COST_HOP_BITS) + 1;
}

/* beyond what 64 bits hold, a path counts as none */
static inline uint64_t
cost_sum(uint64_t x, uint64_t y)
{
	uint64_t	sum = x + y;

	return sum < x ? IMPASSABLE : sum;
}

/* room for a path of so many hops behind the steps in use */
static GmStatus
steps_room(Search *s, size_t hops)
{
	return gm_scratch_get(s->scratch, GM_BUF_PATH_STEPS,
						  (s->steps_used + hops + 1) * sizeof(GmPathStep), &s->steps);
}

/*
 * The triple with the smallest id from x to y, looked up in the node with
 * fewer records.
 */
static GmStatus
connect(Search *s, GmNode x, GmNode y, GmSlot *slot, bool *out)
{
	const GmNodeRuns *rx = gm_array_at(&s->graph->runs, x);
	const GmNodeRuns *ry = gm_array_at(&s->graph->runs, y);
	bool		from_x = (uint64_t) rx->out.rn_length + rx->in.rn_length <=
		(uint64_t) ry->out.rn_length + ry->in.rn_length;
	GmNode		other = from_x ? y : x;
	GmArcs		arcs;

	TRY(gm_walk_arcs(from_x ? &s->forward : &s->backward, from_x ? x : y, &arcs));
	*slot = GM_NONE;
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			GmSlot		candidate;

			if (gm_likely(arcs.neighbor[half][i] != other))
				continue;
			candidate = arcs.slot[half][i];
			if (x == s->a && is_banned_slot(s, candidate))
				continue;
			if (*slot == GM_NONE || id_less(&s->graph->triple_id, candidate, *slot))
			{
				*slot = candidate;
				*out = (half == 0) == from_x;
			}
		}
	}
	return GM_OK;
}

/*
 * By hops
 */
static GmStatus
side_begin(Search *s, Side *side, bool forward, GmNode root)
{
	uint32_t	n = s->graph->root->gr_nodes;

	side->walk = forward ? s->forward : s->backward;
	side->forward = forward;
	TRY(gm_scratch_get(s->scratch, forward ? GM_BUF_SEEN : GM_BUF_SEEN_B,
					   gm_bit_words(n) * 8, &side->seen));
	TRY(gm_scratch_get(s->scratch, forward ? GM_BUF_QUEUE : GM_BUF_QUEUE_B,
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
side_end(const Search *s, Side *side)
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
order_more(Search *s, Side *side, uint32_t *sorted)
{
	uint32_t	start = *sorted;
	uint32_t	end = side->forward ? start : side->tail;
	uint64_t   *tmp;

	while (end < side->tail && (uint32_t) side->queue[end] == (uint32_t) side->queue[start])
		end++;
	TRY(gm_scratch_get(s->scratch, GM_BUF_SORT, (size_t) (end - start) * sizeof(uint64_t), &tmp));
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
is_smaller_meeting(const Search *s, const Meeting *m, GmNode v, GmSlot slot)
{
	if (m->slot == GM_NONE)
		return true;
	if (v == m->node)
		return id_less(&s->graph->triple_id, slot, m->slot);
	return id_less(&s->graph->entity_id, v, m->node);
}

/*
 * Of the edges to nodes that the other search has seen and this one has not,
 * the one with the smallest (entity id, triple id), or simply the first; banned
 * nodes are in both bitmaps.
 */
static void
find_meeting(const Search *s, const Side *side, const uint64_t *other, const GmArcs *arcs,
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
next_level(Search *s, Side *side)
{
	uint32_t	sorted = side->head;

	for (uint32_t i = side->head; i < side->tail; i++)
	{
		GmArcs		arcs;

		if (i == sorted)
			TRY(order_more(s, side, &sorted));
		prefetch_level(side, i);
		TRY(gm_walk_arcs(&side->walk, node_of(side->queue[i]), &arcs));
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
node_records(const Search *s, GmNode node)
{
	const GmNodeRuns *r = gm_array_at(&s->graph->runs, node);

	return (uint64_t) r->out.rn_length + r->in.rn_length;
}

/* records of the last level from a position on; more than most: any such number */
static uint64_t
level_records(const Search *s, const Side *side, uint32_t from, uint64_t most)
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
meet_from_a(Search *s, Side *a, const Side *b, uint64_t max_work, Meeting *met)
{
	uint32_t	sorted = a->head;

	met->slot = GM_NONE;
	for (uint32_t i = a->head; i < a->tail; i++)
	{
		uint64_t	records;
		GmArcs		arcs;

		if (i == sorted)
			TRY(order_more(s, a, &sorted));
		prefetch_level(a, i);
		records = node_records(s, node_of(a->queue[i]));
		if (records > max_work)
			return GM_OK;
		max_work -= records;
		TRY(gm_walk_arcs(&a->walk, node_of(a->queue[i]), &arcs));
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
meets_from_b(Search *s, const Side *a, Side *b, uint32_t *at, bool *meets)
{
	Meeting		met;

	*meets = false;
	for (uint32_t i = b->head; i < b->tail && !*meets; i++)
	{
		GmArcs		arcs;

		prefetch_level(b, i);
		TRY(gm_walk_arcs(&b->walk, node_of(b->queue[i]), &arcs));
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
		TRY(gm_walk_arcs(&b->walk, node_of(b->queue[i]), &arcs));
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
first_hit(const Search *s, const Side *a, const uint64_t *hit)
{
	uint32_t	first = GM_NONE;

	for (uint32_t i = a->head; i < a->tail; i++)
	{
		if (!gm_bit_test(hit, node_of(a->queue[i])))
			continue;
		if (first != GM_NONE && (uint32_t) a->queue[i] != (uint32_t) a->queue[first])
			break;
		if (first == GM_NONE || id_less(&s->graph->entity_id, node_of(a->queue[i]),
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
join_sides(Search *s, const Side *a, uint32_t x, const Side *b, uint32_t y, const Meeting *edge)
{
	uint32_t	before = 0;
	uint32_t	hops;
	GmPathStep *steps;

	for (uint32_t i = x; (uint32_t) a->queue[i] != GM_NONE; i = (uint32_t) a->queue[i])
		before++;
	hops = before + 1;
	for (uint32_t i = y; (uint32_t) b->queue[i] != GM_NONE; i = (uint32_t) b->queue[i])
		hops++;
	TRY(steps_room(s, hops));
	steps = s->steps + s->steps_used;
	steps[0] = (GmPathStep) {s->a, GM_NONE, false};
	for (uint32_t i = x, at = before; at > 0; at--, i = (uint32_t) a->queue[i])
		steps[at].node = node_of(a->queue[i]);
	for (uint32_t i = y, at = before + 1; at <= hops; at++, i = (uint32_t) b->queue[i])
		steps[at].node = node_of(b->queue[i]);
	for (uint32_t i = 1; i <= hops; i++)
	{
		if (edge == NULL || i != before + 1)
			TRY(connect(s, steps[i - 1].node, steps[i].node, &steps[i].slot, &steps[i].out));
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
edge_from_b(const Search *s, Side *b, uint32_t at, GmNode u, Meeting *met)
{
	for (uint32_t i = at; i < b->tail; i++)
	{
		GmNode		w = node_of(b->queue[i]);
		GmArcs		arcs;

		TRY(gm_walk_arcs(&b->walk, w, &arcs));
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
join_at(Search *s, const Side *a, const Side *b, const Meeting *met)
{
	uint32_t	y = position_of(b->queue, b->head, b->tail, met->node);

	return join_sides(s, a, met->from, b, y, met);
}

static GmStatus
advance_a(Search *s, Side *a, Side *b, bool *found)
{
	Meeting		met;

	TRY(meet_from_a(s, a, b, UINT64_MAX, &met));
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
smallest_meeting(Search *s, Side *a, Side *b, uint32_t at, Meeting *met)
{
	uint64_t	left = level_records(s, b, at, UINT64_MAX);
	size_t		words = gm_bit_words(s->graph->root->gr_nodes);
	uint64_t   *hit;

	met->slot = GM_NONE;
	if (left > a->tail - a->head)
	{
		TRY(meet_from_a(s, a, b, left, met));
		if (met->slot != GM_NONE)
			return GM_OK;
	}
	TRY(gm_scratch_get(s->scratch, GM_BUF_SETTLED, words * 8, &hit));
	TRY(all_meetings(a, b, at, hit));
	met->from = first_hit(s, a, hit);
	memset(hit, 0, words * 8);
	return edge_from_b(s, b, at, node_of(a->queue[met->from]), met);
}

static GmStatus
advance_b(Search *s, Side *a, Side *b, bool *found)
{
	Meeting		met;
	uint32_t	at;

	TRY(meets_from_b(s, a, b, &at, found));
	if (!*found)
		return next_level(s, b);
	TRY(smallest_meeting(s, a, b, at, &met));
	return join_at(s, a, b, &met);
}

/*
 * The side whose last level has fewer records; those of a count half, since a
 * meeting from there is the smallest at once.
 */
static bool
a_is_cheaper(const Search *s, const Side *a, const Side *b)
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
first_level(Search *s, Side *a, Side *b)
{
	GmArcs		arcs;

	gm_bit_set(b->seen, s->a);
	TRY(gm_walk_arcs(&a->walk, s->a, &arcs));
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			GmNode		v = arcs.neighbor[half][i];

			if (!is_banned_slot(s, arcs.slot[half][i]))
				mark_found(a, &v, 1, 0);
		}
	}
	a->head = a->tail;
	a->tail = a->fill;
	a->hops = 1;
	return GM_OK;
}

static GmStatus
search_by_hops(Search *s, bool *found)
{
	uint32_t	max_hops = s->max_hops < 0 ? UINT32_MAX : (uint32_t) s->max_hops;
	Side		a;
	Side		b;

	*found = false;
	TRY(side_begin(s, &a, true, s->a));
	TRY(side_begin(s, &b, false, s->b));
	if (s->banned_slot_count > 0 && max_hops > 0)
	{
		TRY(first_level(s, &a, &b));
		*found = gm_bit_test(a.seen, s->b);
		if (*found)
			TRY(join_sides(s, &a, 0, &b, 0, NULL));
	}
	while (!*found && a.hops + b.hops < max_hops && a.head < a.tail && b.head < b.tail)
	{
		if (a_is_cheaper(s, &a, &b))
			TRY(advance_a(s, &a, &b, found));
		else
			TRY(advance_b(s, &a, &b, found));
	}
	side_end(s, &a);
	side_end(s, &b);
	s->forward = a.walk;
	s->backward = b.walk;
	return GM_OK;
}

/*
 * By confidence, any number of hops
 */
static void
heap_sink(HeapItem *heap, uint32_t n, HeapItem item)
{
	uint32_t	at = 0;

	for (;;)
	{
		uint32_t	first = at * 4 + 1;
		uint32_t	least = first;

		if (first >= n)
			break;
		for (uint32_t c = first + 1; c < first + 4 && c < n; c++)
		{
			if (heap[c].cost < heap[least].cost)
				least = c;
		}
		if (heap[least].cost >= item.cost)
			break;
		heap[at] = heap[least];
		at = least;
	}
	heap[at] = item;
}

static GmStatus
heap_push(Search *s, Cone *c, uint64_t cost, GmNode node)
{
	uint32_t	at = c->heap_count++;

	TRY(gm_scratch_get(s->scratch, c->heap_name,
					   (size_t) c->heap_count * sizeof(HeapItem), &c->heap));
	while (at > 0 && c->heap[(at - 1) / 4].cost > cost)
	{
		c->heap[at] = c->heap[(at - 1) / 4];
		at = (at - 1) / 4;
	}
	c->heap[at] = (HeapItem) {cost, node};
	return GM_OK;
}

static void
heap_pop(Cone *c)
{
	c->heap_count--;
	if (c->heap_count > 0)
		heap_sink(c->heap, c->heap_count, c->heap[c->heap_count]);
}

/* cost of the nearest node not settled yet */
static uint64_t
nearest(Cone *c)
{
	while (c->heap_count > 0 && gm_bit_test(c->settled, c->heap[0].node))
		heap_pop(c);
	return c->heap_count > 0 ? c->heap[0].cost : IMPASSABLE;
}

static GmStatus
cone_begin(Search *s, Cone *c, bool forward, GmNode root)
{
	uint32_t	n = s->graph->root->gr_nodes;

	c->walk = forward ? s->forward : s->backward;
	c->forward = forward;
	c->heap_name = forward ? GM_BUF_HEAP : GM_BUF_HEAP_B;
	c->heap = NULL;
	c->heap_count = 0;
	TRY(gm_scratch_get(s->scratch, forward ? GM_BUF_LABEL : GM_BUF_LABEL_B,
					   (size_t) n * sizeof(uint64_t), &c->label));
	TRY(gm_scratch_get(s->scratch, forward ? GM_BUF_SETTLED : GM_BUF_SETTLED_B,
					   gm_bit_words(n) * 8, &c->settled));
	TRY(gm_scratch_get(s->scratch, forward ? GM_BUF_QUEUE : GM_BUF_QUEUE_B,
					   (size_t) n * sizeof(GmNode), &c->touched));
	for (uint32_t i = 0; i < s->banned_count; i++)
		gm_bit_set(c->settled, s->banned[i]);
	c->label[root] = 1;
	c->touched[0] = root;
	c->touched_count = 1;
	return heap_push(s, c, 0, root);
}

static void
cone_end(const Search *s, Cone *c)
{
	for (uint32_t i = 0; i < c->touched_count; i++)
	{
		c->label[c->touched[i]] = 0;
		c->settled[c->touched[i] >> 6] = 0;
	}
	for (uint32_t i = 0; i < s->banned_count; i++)
		c->settled[s->banned[i] >> 6] = 0;
}

/* edges over which paths of cost best go from a's settled nodes to b's */
typedef struct Bridges
{
	uint64_t	best;
	GmNode	   *from;
	uint32_t	count;
} Bridges;

static GmStatus
add_bridge(Search *s, Bridges *bridges, uint64_t cost, GmNode from, bool settled)
{
	if (cost > bridges->best || cost == IMPASSABLE)
		return GM_OK;
	if (cost < bridges->best)
	{
		bridges->best = cost;
		bridges->count = 0;
	}
	if (!settled)
		return GM_OK;
	TRY(gm_scratch_get(s->scratch, GM_BUF_ENTRY,
					   ((size_t) bridges->count + 1) * sizeof(GmNode), &bridges->from));
	bridges->from[bridges->count++] = from;
	return GM_OK;
}

/* one edge of u, the node being settled at this cost */
static GmStatus
relax(Search *s, Cone *me, const Cone *other, GmNode u, uint64_t cost,
	  GmNode v, GmSlot slot, Bridges *bridges)
{
	uint64_t	label = me->label[v];

	if (gm_bit_test(me->settled, v))
		return GM_OK;
	if (label != 0 && label - 1 <= cost + 1 && other->label[v] == 0)
		return GM_OK;
	if ((me->forward ? u : v) == s->a && is_banned_slot(s, slot))
		return GM_OK;
	cost = cost_sum(cost, slot_cost(s, slot));
	if (cost == IMPASSABLE)
		return GM_OK;
	if (other->label[v] != 0)
		TRY(add_bridge(s, bridges, cost_sum(cost, other->label[v] - 1), me->forward ? u : v,
					   gm_bit_test(other->settled, v)));
	if (cost >= bridges->best || (label != 0 && label - 1 <= cost))
		return GM_OK;

	/* the rest from a node that the other search has not settled is longer */
	if (cost_sum(cost, me->other_nearest) > bridges->best)
		return GM_OK;
	if (label == 0)
		me->touched[me->touched_count++] = v;
	me->label[v] = cost + 1;
	return heap_push(s, me, cost, v);
}

/*
 * The confidence below which an edge of a node settled at this cost, to one
 * that the other search has not settled, can be on no path as good as the best
 * one: once there is one, few are above it.
 */
static float
least_confidence(const Search *s, uint64_t cost, uint64_t other_nearest, uint64_t best)
{
	if (best == IMPASSABLE || s->view->reliable || cost + other_nearest > best)
		return 0;
	best -= cost + other_nearest;
	return (float) (exp(-(double) ((best >> COST_HOP_BITS) + 1) / COST_SCALE) * (1 - 1e-6));
}

static GmStatus
settle_nearest(Search *s, Cone *me, const Cone *other, Bridges *bridges)
{
	GmNode		u = me->heap[0].node;
	uint64_t	cost = me->heap[0].cost;
	const GmArray *confidence = &s->graph->confidence;
	float		least;
	GmArcs		arcs;

	heap_pop(me);
	gm_bit_set(me->settled, u);
	me->other_nearest = other->heap_count > 0 ? other->heap[0].cost : 0;
	least = least_confidence(s, cost, me->other_nearest, bridges->best);
	TRY(gm_walk_arcs(&me->walk, u, &arcs));
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			if (i + AHEAD_SLOTS < arcs.length[half])
				gm_prefetch(gm_array_at(confidence, arcs.slot[half][i + AHEAD_SLOTS]));
			if (GM_ARRAY_F32(confidence, arcs.slot[half][i]) >= least ||
				gm_bit_test(other->settled, arcs.neighbor[half][i]))
				TRY(relax(s, me, other, u, cost, arcs.neighbor[half][i], arcs.slot[half][i],
						  bridges));
		}
	}
	return gm_walk_interrupted(&me->walk) ? GM_INTERRUPTED : GM_OK;
}

/*
 * Nodes of a's cone from which a bridge is reached over tight edges only; they
 * stand in marked[0 .. count) and have their bit set.
 */
static GmStatus
mark_tight(Search *s, const Cone *a, const Bridges *bridges, uint64_t *tight, GmNode *marked,
		   uint32_t *count)
{
	*count = 0;
	for (uint32_t i = 0; i < bridges->count; i++)
	{
		if (!gm_bit_test(tight, bridges->from[i]))
			marked[(*count)++] = bridges->from[i];
		gm_bit_set(tight, bridges->from[i]);
	}
	for (uint32_t at = 0; at < *count; at++)
	{
		GmNode		y = marked[at];
		GmArcs		arcs;

		TRY(gm_walk_arcs(&s->backward, y, &arcs));
		for (int half = 0; half < 2; half++)
		{
			for (uint32_t i = 0; i < arcs.length[half]; i++)
			{
				GmNode		x = arcs.neighbor[half][i];
				GmSlot		slot = arcs.slot[half][i];

				if (a->label[x] == 0 || gm_bit_test(tight, x) || !gm_bit_test(a->settled, x) ||
					(x == s->a && is_banned_slot(s, slot)) ||
					cost_sum(a->label[x], slot_cost(s, slot)) != a->label[y])
					continue;
				gm_bit_set(tight, x);
				marked[(*count)++] = x;
			}
		}
		if (gm_walk_interrupted(&s->backward))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

/* is there a rest of the path behind y such that it costs best in all */
static bool
leads_to_b(const Cone *a, const Cone *b, const uint64_t *tight, const Bridges *bridges,
		   GmNode y, uint64_t cost)
{
	if (b->label[y] != 0 && gm_bit_test(b->settled, y) &&
		cost_sum(cost, b->label[y] - 1) == bridges->best)
		return true;
	return gm_bit_test(tight, y) && a->label[y] == cost + 1;
}

/* the smallest step from x, reached at this cost, that stays on a best path */
static GmStatus
tight_step(Search *s, const Cone *a, const Cone *b, const uint64_t *tight,
		   const Bridges *bridges, GmNode x, uint64_t *cost, GmPathStep *step)
{
	uint64_t	best = 0;
	GmArcs		arcs;

	TRY(gm_walk_arcs(&s->forward, x, &arcs));
	step->slot = GM_NONE;
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			GmNode		y = arcs.neighbor[half][i];
			GmSlot		slot = arcs.slot[half][i];
			uint64_t	reached;

			if (!gm_bit_test(tight, y) && !gm_bit_test(b->settled, y))
				continue;
			if (x == s->a && is_banned_slot(s, slot))
				continue;
			reached = cost_sum(*cost, slot_cost(s, slot));
			if (reached == IMPASSABLE || !leads_to_b(a, b, tight, bridges, y, reached))
				continue;
			if (step->slot != GM_NONE &&
				(y == step->node ? !id_less(&s->graph->triple_id, slot, step->slot)
				 : !id_less(&s->graph->entity_id, y, step->node)))
				continue;
			*step = (GmPathStep) {y, slot, half == 0};
			best = reached;
		}
	}
	*cost = best;
	return GM_OK;
}

static GmStatus
walk_tight(Search *s, const Cone *a, const Cone *b, const uint64_t *tight,
		   const Bridges *bridges)
{
	GmNode		at = s->a;
	uint64_t	cost = 0;
	uint32_t	hops = 0;

	TRY(steps_room(s, 0));
	s->steps[s->steps_used] = (GmPathStep) {s->a, GM_NONE, false};
	while (at != s->b)
	{
		hops++;
		TRY(steps_room(s, hops));
		TRY(tight_step(s, a, b, tight, bridges, at, &cost, &s->steps[s->steps_used + hops]));
		at = s->steps[s->steps_used + hops].node;
	}
	s->hops = hops;
	s->cost = bridges->best;
	return GM_OK;
}

static GmStatus
build_tight_path(Search *s, const Cone *a, const Cone *b, const Bridges *bridges)
{
	uint32_t	n = s->graph->root->gr_nodes;
	uint32_t	count;
	uint64_t   *tight;
	GmNode	   *marked;

	TRY(gm_scratch_get(s->scratch, GM_BUF_SEEN, gm_bit_words(n) * 8, &tight));
	TRY(gm_scratch_get(s->scratch, GM_BUF_SORT, (size_t) n * sizeof(GmNode), &marked));
	TRY(mark_tight(s, a, bridges, tight, marked, &count));
	TRY(walk_tight(s, a, b, tight, bridges));
	for (uint32_t i = 0; i < count; i++)
		tight[marked[i] >> 6] = 0;
	return GM_OK;
}

/*
 * The two searches go on while a path as good as the best one could still
 * have a node that neither has settled.
 */
static GmStatus
search_by_confidence(Search *s, bool *found)
{
	Bridges		bridges = {IMPASSABLE, NULL, 0};
	Cone		a;
	Cone		b;

	TRY(cone_begin(s, &a, true, s->a));
	TRY(cone_begin(s, &b, false, s->b));
	TRY(settle_nearest(s, &b, &a, &bridges));
	for (;;)
	{
		uint64_t	near_a = nearest(&a);
		uint64_t	near_b = nearest(&b);

		if (near_a == IMPASSABLE || (near_b == IMPASSABLE && bridges.best == IMPASSABLE))
			break;
		if (cost_sum(near_a, near_b == IMPASSABLE ? 0 : near_b) > bridges.best)
			break;
		if (near_b == IMPASSABLE || a.heap_count <= b.heap_count)
			TRY(settle_nearest(s, &a, &b, &bridges));
		else
			TRY(settle_nearest(s, &b, &a, &bridges));
	}
	*found = bridges.best != IMPASSABLE;
	if (*found)
		TRY(build_tight_path(s, &a, &b, &bridges));
	cone_end(s, &a);
	cone_end(s, &b);
	s->forward = a.walk;
	s->backward = b.walk;
	return GM_OK;
}

/*
 * By confidence, at most max_hops: the least cost to b within 1, 2, ... hops
 */
typedef struct Layers
{
	Layer	   *labels;
	uint32_t	count;
	uint32_t   *index;			/* by node: its latest label + 1 */
	uint64_t	best;			/* at a so far */
} Layers;

static GmStatus
improve(Search *s, Layers *l, GmNode node, uint32_t hops, uint64_t cost)
{
	uint32_t	latest = l->index[node];

	if (latest != 0 && l->labels[latest - 1].cost <= cost)
		return GM_OK;
	if (node == s->a)
		l->best = cost;
	if (latest != 0 && l->labels[latest - 1].hops == hops)
	{
		l->labels[latest - 1].cost = cost;
		return GM_OK;
	}
	if (l->count == UINT32_MAX - 1)
		return GM_TOO_MANY;
	TRY(gm_scratch_get(s->scratch, GM_BUF_ENTRY, ((size_t) l->count + 1) * sizeof(Layer),
					   &l->labels));
	l->labels[l->count] = (Layer) {cost, node, hops, latest == 0 ? GM_NONE : latest - 1};
	l->index[node] = ++l->count;
	return GM_OK;
}

/*
 * A label of the layer before is expanded as it was then: in this layer its
 * node, if improved, has a label of its own.
 */
static GmStatus
expand_label(Search *s, Layers *l, uint32_t at, const uint64_t *banned)
{
	Layer		from = l->labels[at];
	GmArcs		arcs;

	if (from.node == s->a || from.cost + 1 >= l->best)
		return GM_OK;
	TRY(gm_walk_arcs(&s->backward, from.node, &arcs));
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			GmNode		v = arcs.neighbor[half][i];
			uint32_t	latest = l->index[v];
			uint64_t	cost;

			if ((latest != 0 && l->labels[latest - 1].cost <= from.cost + 1) ||
				gm_bit_test(banned, v) ||
				(v == s->a && is_banned_slot(s, arcs.slot[half][i])))
				continue;
			cost = cost_sum(from.cost, slot_cost(s, arcs.slot[half][i]));
			if (cost < l->best)
				TRY(improve(s, l, v, from.hops + 1, cost));
		}
	}
	return gm_walk_interrupted(&s->backward) ? GM_INTERRUPTED : GM_OK;
}

/* least cost from a node to b within so many hops */
static uint64_t
cost_within(const Layers *l, GmNode node, uint32_t hops)
{
	uint32_t	at = l->index[node] == 0 ? GM_NONE : l->index[node] - 1;

	while (at != GM_NONE && l->labels[at].hops > hops)
		at = l->labels[at].older;
	return at == GM_NONE ? IMPASSABLE : l->labels[at].cost;
}

/* smallest step from x such that the rest costs rest and has at most hops - 1 */
static GmStatus
layer_step(Search *s, const Layers *l, GmNode x, uint64_t rest, uint32_t hops,
		   GmPathStep *step, uint64_t *left)
{
	GmArcs		arcs;

	TRY(gm_walk_arcs(&s->forward, x, &arcs));
	step->slot = GM_NONE;
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			GmNode		y = arcs.neighbor[half][i];
			GmSlot		slot = arcs.slot[half][i];
			uint64_t	behind;

			if (l->index[y] == 0 || (x == s->a && is_banned_slot(s, slot)))
				continue;
			behind = cost_within(l, y, hops - 1);
			if (behind >= rest)
				continue;
			if (cost_sum(behind, slot_cost(s, slot)) != rest)
				continue;
			if (step->slot != GM_NONE &&
				(y == step->node ? !id_less(&s->graph->triple_id, slot, step->slot)
				 : !id_less(&s->graph->entity_id, y, step->node)))
				continue;
			*step = (GmPathStep) {y, slot, half == 0};
			*left = behind;
		}
	}
	return GM_OK;
}

static GmStatus
walk_layers(Search *s, const Layers *l)
{
	uint32_t	left = (uint32_t) s->max_hops;
	uint64_t	rest = l->best;
	uint32_t	hops = 0;
	GmNode		at = s->a;

	TRY(steps_room(s, left));
	s->steps[s->steps_used] = (GmPathStep) {s->a, GM_NONE, false};
	while (at != s->b)
	{
		GmPathStep *step = &s->steps[s->steps_used + ++hops];

		TRY(layer_step(s, l, at, rest, left--, step, &rest));
		at = step->node;
	}
	s->hops = hops;
	s->cost = l->best;
	return GM_OK;
}

static GmStatus
search_by_layers(Search *s, bool *found)
{
	uint32_t	n = s->graph->root->gr_nodes;
	uint32_t	start = 0;
	Layers		l = {NULL, 0, NULL, IMPASSABLE};
	uint64_t   *banned;

	TRY(gm_scratch_get(s->scratch, GM_BUF_INDEX, (size_t) n * sizeof(uint32_t), &l.index));
	TRY(gm_scratch_get(s->scratch, GM_BUF_SETTLED, gm_bit_words(n) * 8, &banned));
	for (uint32_t i = 0; i < s->banned_count; i++)
		gm_bit_set(banned, s->banned[i]);
	TRY(improve(s, &l, s->b, 0, 0));
	for (int hops = 0; hops < s->max_hops && start < l.count; hops++)
	{
		uint32_t	end = l.count;

		for (uint32_t i = start; i < end; i++)
			TRY(expand_label(s, &l, i, banned));
		start = end;
	}
	*found = l.best != IMPASSABLE;
	if (*found)
		TRY(walk_layers(s, &l));
	for (uint32_t i = 0; i < l.count; i++)
		l.index[l.labels[i].node] = 0;
	for (uint32_t i = 0; i < s->banned_count; i++)
		banned[s->banned[i] >> 6] = 0;
	return GM_OK;
}

/*
 * The first path in the order of path.h, under the bans.  The best path of
 * any length is also the best within max_hops if it is short enough.
 */
static GmStatus
search(Search *s, bool *found)
{
	if (s->a == s->b)
	{
		TRY(steps_room(s, 0));
		s->steps[s->steps_used] = (GmPathStep) {s->a, GM_NONE, false};
		s->hops = 0;
		s->cost = 0;
		*found = true;
		return GM_OK;
	}
	if (s->max_hops == 0)
	{
		*found = false;
		return GM_OK;
	}
	if (!s->by_confidence)
		return search_by_hops(s, found);
	TRY(search_by_confidence(s, found));
	if (*found && s->max_hops > 0 && s->hops > (uint32_t) s->max_hops)
		return search_by_layers(s, found);
	return GM_OK;
}

static GmStatus
search_begin(Search *s, const GmGraph *graph, const GmView *view, GmScratch *scratch,
			 GmNode a, GmNode b, const GmPathOpts *opts, const GmInterrupt *intr)
{
	GmView		reversed = *view;

	if (!gm_walk_has(graph, a) || !gm_walk_has(graph, b) || opts->max_hops < -1)
		return GM_BAD_VALUE;
	gm_scratch_begin(scratch);
	memset(s, 0, sizeof(*s));
	s->graph = graph;
	s->view = view;
	s->scratch = scratch;
	s->a = a;
	s->b = b;
	s->max_hops = opts->max_hops;
	s->by_confidence = opts->by_confidence;
	reversed.direction = gm_direction_reversed(view->direction);
	gm_walk_begin(&s->forward, graph, view, scratch, intr);
	gm_walk_begin(&s->backward, graph, &reversed, scratch, intr);
	return GM_OK;
}

static void
describe(const Search *s, const GmPathStep *steps, uint32_t hops, GmPath *path)
{
	path->hops = hops;
	path->steps = steps;
	path->cost = s->by_confidence ? 0 : hops;
	path->confidence = 1;
	for (uint32_t i = 1; i <= hops; i++)
	{
		double		c = gm_graph_confidence(s->graph, s->view, steps[i].slot);

		path->confidence *= c;
		if (s->by_confidence && c < 1)
			path->cost -= log(c);
	}
}

GmStatus
gm_shortest_path(const GmGraph *graph, const GmView *view, GmScratch *scratch,
				 GmNode a, GmNode b, const GmPathOpts *opts,
				 const GmInterrupt *intr, GmPath *path, bool *found)
{
	Search		s;

	TRY(search_begin(&s, graph, view, scratch, a, b, opts, intr));
	TRY(search(&s, found));
	gm_scratch_end(scratch);
	if (*found)
		describe(&s, s.steps, s.hops, path);
	return GM_OK;
}

/*
 * The k best
 */
typedef struct Candidate
{
	uint64_t	cost;
	size_t		first;			/* its steps start here */
	uint32_t	hops;
	uint32_t	deviation;		/* step at which it left the path it came from */
} Candidate;

typedef struct Yen
{
	Search		search;
	int			max_hops;
	Candidate  *list;			/* accepted ones first */
	uint32_t	accepted;
	uint32_t	count;
} Yen;

static uint64_t
steps_cost(const Search *s, const GmPathStep *steps, uint32_t hops)
{
	uint64_t	cost = 0;

	if (!s->by_confidence)
		return hops;
	for (uint32_t i = 1; i <= hops; i++)
		cost = cost_sum(cost, slot_cost(s, steps[i].slot));
	return cost;
}

static GmStatus
keep_candidate(Yen *y, uint32_t hops, uint32_t deviation)
{
	Search	   *s = &y->search;

	TRY(gm_scratch_get(s->scratch, GM_BUF_CANDIDATES,
					   ((size_t) y->count + 1) * sizeof(Candidate), &y->list));
	y->list[y->count].first = s->steps_used;
	y->list[y->count].hops = hops;
	y->list[y->count].deviation = deviation;
	y->list[y->count].cost = steps_cost(s, s->steps + s->steps_used, hops);
	y->count++;
	s->steps_used += (size_t) hops + 1;
	return GM_OK;
}

static bool
candidate_less(const Yen *y, const Candidate *p, const Candidate *q)
{
	const GmGraph *g = y->search.graph;
	const GmPathStep *ps = y->search.steps + p->first;
	const GmPathStep *qs = y->search.steps + q->first;

	if (p->cost != q->cost)
		return p->cost < q->cost;
	for (uint32_t i = 1; i <= p->hops && i <= q->hops; i++)
	{
		if (ps[i].node != qs[i].node)
			return id_less(&g->entity_id, ps[i].node, qs[i].node);
		if (ps[i].slot != qs[i].slot)
			return id_less(&g->triple_id, ps[i].slot, qs[i].slot);
	}
	return p->hops < q->hops;
}

static void
accept_best(Yen *y)
{
	uint32_t	best = y->accepted;
	Candidate	c;

	for (uint32_t i = best + 1; i < y->count; i++)
	{
		if (candidate_less(y, &y->list[i], &y->list[best]))
			best = i;
	}
	c = y->list[best];
	y->list[best] = y->list[y->accepted];
	y->list[y->accepted++] = c;
}

static bool
same_root(const Search *s, const Candidate *p, const Candidate *q, uint32_t steps)
{
	if (q->hops <= steps)
		return false;
	for (uint32_t i = 1; i <= steps; i++)
	{
		if (s->steps[p->first + i].slot != s->steps[q->first + i].slot)
			return false;
	}
	return true;
}

/*
 * The nodes before step at of path p are banned, and of every accepted path
 * that begins alike, the triple it takes from there.
 */
static GmStatus
ban_root(Yen *y, const Candidate *p, uint32_t at)
{
	Search	   *s = &y->search;
	uint32_t   *room;

	TRY(gm_scratch_get(s->scratch, GM_BUF_BANNED,
					   ((size_t) at + y->accepted) * sizeof(uint32_t), &room));
	s->banned = room;
	s->banned_slots = room + at;
	s->banned_count = at;
	s->banned_slot_count = 0;
	for (uint32_t i = 0; i < at; i++)
		s->banned[i] = s->steps[p->first + i].node;
	for (uint32_t i = 0; i < y->accepted; i++)
	{
		if (same_root(s, p, &y->list[i], at))
			s->banned_slots[s->banned_slot_count++] = s->steps[y->list[i].first + at + 1].slot;
	}
	return GM_OK;
}

/* the best path that leaves accepted path p at step at */
static GmStatus
deviate(Yen *y, Candidate p, uint32_t at)
{
	Search	   *s = &y->search;
	size_t		start = s->steps_used;
	bool		found;

	TRY(ban_root(y, &p, at));
	s->a = s->steps[p.first + at].node;
	s->max_hops = y->max_hops < 0 ? -1 : y->max_hops - (int) at;
	TRY(steps_room(s, at));
	memcpy(s->steps + start, s->steps + p.first, ((size_t) at + 1) * sizeof(GmPathStep));
	s->steps_used = start + at;
	TRY(search(s, &found));
	s->steps_used = start;

	/* the search has written a step 0 over the root's last one */
	s->steps[start + at] = s->steps[p.first + at];
	return found ? keep_candidate(y, at + s->hops, at) : GM_OK;
}

static GmStatus
run_yen(Yen *y, uint32_t k, uint64_t budget, bool *complete)
{
	Search	   *s = &y->search;
	bool		found;

	*complete = true;
	TRY(search(s, &found));
	if (!found)
		return GM_OK;
	TRY(keep_candidate(y, s->hops, 0));
	accept_best(y);
	while (y->accepted < k)
	{
		Candidate	p = y->list[y->accepted - 1];

		for (uint32_t at = p.deviation; at < p.hops; at++)
		{
			uint64_t	work = s->forward.total + s->forward.work +
				s->backward.total + s->backward.work;

			if (budget > 0 && work > budget)
			{
				*complete = false;
				return GM_OK;
			}
			TRY(deviate(y, p, at));
		}
		if (y->accepted == y->count)
			break;
		accept_best(y);
	}
	return GM_OK;
}

GmStatus
gm_paths(const GmGraph *graph, const GmView *view, GmScratch *scratch,
		 GmNode a, GmNode b, uint32_t k, const GmPathOpts *opts,
		 const GmInterrupt *intr, const GmPath **paths, uint32_t *count, bool *complete)
{
	GmPath	   *result;
	Yen			y = {.accepted = 0};

	TRY(search_begin(&y.search, graph, view, scratch, a, b, opts, intr));
	y.max_hops = opts->max_hops;
	*complete = true;
	if (k > 0)
		TRY(run_yen(&y, k, opts->budget, complete));
	TRY(gm_scratch_get(scratch, GM_BUF_PATH, (size_t) y.accepted * sizeof(GmPath), &result));
	for (uint32_t i = 0; i < y.accepted; i++)
		describe(&y.search, y.search.steps + y.list[i].first, y.list[i].hops, &result[i]);
	gm_scratch_end(scratch);
	*paths = result;
	*count = y.accepted;
	return GM_OK;
}
