/*-------------------------------------------------------------------------
 *
 * path_confidence.c
 *	  The path with the largest product of confidences.
 *
 * Two heap searches, one from each end, run until no shorter or equal path can
 * be missing; the path is then walked from a over the tight edges, always by
 * the smallest.  With a bound on the hops, which rarely binds, the least costs
 * within 1, 2, ... hops are found layer by layer instead.
 *
 * Reference	Pohl: Bi-directional Search, 1971
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "core/path_private.h"

#define AHEAD_SLOTS		24

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

uint64_t
gm_path_slot_cost(const GmPathSearch *s, GmSlot slot)
{
	float		confidence = gm_graph_confidence(s->graph, s->view, slot);
	double		nats;

	if (!(confidence > 0))
		return GM_PATH_IMPASSABLE;
	nats = confidence < 1 ? -log(confidence) : 0;
	return ((uint64_t) (nats * GM_PATH_COST_SCALE + 0.5) << GM_PATH_HOP_BITS) + 1;
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
heap_push(GmPathSearch *s, Cone *c, uint64_t cost, GmNode node)
{
	uint32_t	at = c->heap_count++;

	GM_TRY(gm_scratch_get(s->scratch, c->heap_name,
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
	return c->heap_count > 0 ? c->heap[0].cost : GM_PATH_IMPASSABLE;
}

static GmStatus
cone_begin(GmPathSearch *s, Cone *c, bool forward, GmNode root)
{
	uint32_t	n = s->graph->root->gr_nodes;

	c->walk = forward ? s->forward : s->backward;
	c->forward = forward;
	c->heap_name = forward ? GM_BUF_HEAP : GM_BUF_HEAP_B;
	c->heap = NULL;
	c->heap_count = 0;
	GM_TRY(gm_scratch_get(s->scratch, forward ? GM_BUF_LABEL : GM_BUF_LABEL_B,
					   (size_t) n * sizeof(uint64_t), &c->label));
	GM_TRY(gm_scratch_get(s->scratch, forward ? GM_BUF_SETTLED : GM_BUF_SETTLED_B,
					   gm_bit_words(n) * 8, &c->settled));
	GM_TRY(gm_scratch_get(s->scratch, forward ? GM_BUF_QUEUE : GM_BUF_QUEUE_B,
					   (size_t) n * sizeof(GmNode), &c->touched));
	for (uint32_t i = 0; i < s->banned_count; i++)
		gm_bit_set(c->settled, s->banned[i]);
	c->label[root] = 1;
	c->touched[0] = root;
	c->touched_count = 1;
	return heap_push(s, c, 0, root);
}

static void
cone_end(const GmPathSearch *s, Cone *c)
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
add_bridge(GmPathSearch *s, Bridges *bridges, uint64_t cost, GmNode from, bool settled)
{
	if (cost > bridges->best || cost == GM_PATH_IMPASSABLE)
		return GM_OK;
	if (cost < bridges->best)
	{
		bridges->best = cost;
		bridges->count = 0;
	}
	if (!settled)
		return GM_OK;
	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_ENTRY,
					   ((size_t) bridges->count + 1) * sizeof(GmNode), &bridges->from));
	bridges->from[bridges->count++] = from;
	return GM_OK;
}

/* one edge of u, the node being settled at this cost */
static GmStatus
relax(GmPathSearch *s, Cone *me, const Cone *other, GmNode u, uint64_t cost,
	  GmNode v, GmSlot slot, Bridges *bridges)
{
	uint64_t	label = me->label[v];

	if (gm_bit_test(me->settled, v))
		return GM_OK;
	if (label != 0 && label - 1 <= cost + 1 && other->label[v] == 0)
		return GM_OK;
	if ((me->forward ? u : v) == s->a && gm_path_is_banned(s, slot))
		return GM_OK;
	cost = gm_path_cost_sum(cost, gm_path_slot_cost(s, slot));
	if (cost == GM_PATH_IMPASSABLE)
		return GM_OK;
	if (other->label[v] != 0)
		GM_TRY(add_bridge(s, bridges, gm_path_cost_sum(cost, other->label[v] - 1), me->forward ? u : v,
					   gm_bit_test(other->settled, v)));
	if (cost >= bridges->best || (label != 0 && label - 1 <= cost))
		return GM_OK;

	/* the rest from a node that the other search has not settled is longer */
	if (gm_path_cost_sum(cost, me->other_nearest) > bridges->best)
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
least_confidence(const GmPathSearch *s, uint64_t cost, uint64_t other_nearest, uint64_t best)
{
	if (best == GM_PATH_IMPASSABLE || s->view->reliable || cost + other_nearest > best)
		return 0;
	best -= cost + other_nearest;
	return (float) (exp(-(double) ((best >> GM_PATH_HOP_BITS) + 1) / GM_PATH_COST_SCALE) * (1 - 1e-6));
}

static GmStatus
settle_nearest(GmPathSearch *s, Cone *me, const Cone *other, Bridges *bridges)
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
	GM_TRY(gm_walk_arcs(&me->walk, u, &arcs));
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			if (i + AHEAD_SLOTS < arcs.length[half])
				gm_prefetch(gm_array_at(confidence, arcs.slot[half][i + AHEAD_SLOTS]));
			if (GM_ARRAY_F32(confidence, arcs.slot[half][i]) >= least ||
				gm_bit_test(other->settled, arcs.neighbor[half][i]))
				GM_TRY(relax(s, me, other, u, cost, arcs.neighbor[half][i], arcs.slot[half][i],
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
mark_tight(GmPathSearch *s, const Cone *a, const Bridges *bridges, uint64_t *tight, GmNode *marked,
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

		GM_TRY(gm_walk_arcs(&s->backward, y, &arcs));
		for (int half = 0; half < 2; half++)
		{
			for (uint32_t i = 0; i < arcs.length[half]; i++)
			{
				GmNode		x = arcs.neighbor[half][i];
				GmSlot		slot = arcs.slot[half][i];

				if (a->label[x] == 0 || gm_bit_test(tight, x) || !gm_bit_test(a->settled, x) ||
					(x == s->a && gm_path_is_banned(s, slot)) ||
					gm_path_cost_sum(a->label[x], gm_path_slot_cost(s, slot)) != a->label[y])
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
		gm_path_cost_sum(cost, b->label[y] - 1) == bridges->best)
		return true;
	return gm_bit_test(tight, y) && a->label[y] == cost + 1;
}

/* the smallest step from x, reached at this cost, that stays on a best path */
static GmStatus
tight_step(GmPathSearch *s, const Cone *a, const Cone *b, const uint64_t *tight,
		   const Bridges *bridges, GmNode x, uint64_t *cost, GmPathStep *step)
{
	uint64_t	best = 0;
	GmArcs		arcs;

	GM_TRY(gm_walk_arcs(&s->forward, x, &arcs));
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
			if (x == s->a && gm_path_is_banned(s, slot))
				continue;
			reached = gm_path_cost_sum(*cost, gm_path_slot_cost(s, slot));
			if (reached == GM_PATH_IMPASSABLE || !leads_to_b(a, b, tight, bridges, y, reached))
				continue;
			if (step->slot != GM_NONE &&
				(y == step->node ? !gm_path_id_less(&s->graph->triple_id, slot, step->slot)
				 : !gm_path_id_less(&s->graph->entity_id, y, step->node)))
				continue;
			*step = (GmPathStep) {y, slot, half == 0};
			best = reached;
		}
	}
	*cost = best;
	return GM_OK;
}

static GmStatus
walk_tight(GmPathSearch *s, const Cone *a, const Cone *b, const uint64_t *tight,
		   const Bridges *bridges)
{
	GmNode		at = s->a;
	uint64_t	cost = 0;
	uint32_t	hops = 0;

	GM_TRY(gm_path_steps_room(s, 0));
	s->steps[s->steps_used] = (GmPathStep) {s->a, GM_NONE, false};
	while (at != s->b)
	{
		hops++;
		GM_TRY(gm_path_steps_room(s, hops));
		GM_TRY(tight_step(s, a, b, tight, bridges, at, &cost, &s->steps[s->steps_used + hops]));
		at = s->steps[s->steps_used + hops].node;
	}
	s->hops = hops;
	s->cost = bridges->best;
	return GM_OK;
}

static GmStatus
build_tight_path(GmPathSearch *s, const Cone *a, const Cone *b, const Bridges *bridges)
{
	uint32_t	n = s->graph->root->gr_nodes;
	uint32_t	count;
	uint64_t   *tight;
	GmNode	   *marked;

	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_SEEN, gm_bit_words(n) * 8, &tight));
	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_SORT, (size_t) n * sizeof(GmNode), &marked));
	GM_TRY(mark_tight(s, a, bridges, tight, marked, &count));
	GM_TRY(walk_tight(s, a, b, tight, bridges));
	for (uint32_t i = 0; i < count; i++)
		tight[marked[i] >> 6] = 0;
	return GM_OK;
}

/*
 * The two searches go on while a path as good as the best one could still
 * have a node that neither has settled.
 */
GmStatus
gm_path_by_confidence(GmPathSearch *s, bool *found)
{
	Bridges		bridges = {GM_PATH_IMPASSABLE, NULL, 0};
	Cone		a;
	Cone		b;

	GM_TRY(cone_begin(s, &a, true, s->a));
	GM_TRY(cone_begin(s, &b, false, s->b));
	GM_TRY(settle_nearest(s, &b, &a, &bridges));
	for (;;)
	{
		uint64_t	near_a = nearest(&a);
		uint64_t	near_b = nearest(&b);

		if (near_a == GM_PATH_IMPASSABLE ||
			(near_b == GM_PATH_IMPASSABLE && bridges.best == GM_PATH_IMPASSABLE))
			break;
		if (gm_path_cost_sum(near_a, near_b == GM_PATH_IMPASSABLE ? 0 : near_b) > bridges.best)
			break;
		if (near_b == GM_PATH_IMPASSABLE || a.heap_count <= b.heap_count)
			GM_TRY(settle_nearest(s, &a, &b, &bridges));
		else
			GM_TRY(settle_nearest(s, &b, &a, &bridges));
	}
	*found = bridges.best != GM_PATH_IMPASSABLE;
	if (*found)
		GM_TRY(build_tight_path(s, &a, &b, &bridges));
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

	/* hops from a, as far as depth: what is farther cannot be on a late layer */
	uint64_t   *distance;		/* by node: plus one, 0 beyond depth */
	GmNode	   *near;
	uint32_t	near_count;
	uint32_t	depth;
} Layers;

/* one search from a, so many hops deep; bans are not looked at */
static GmStatus
measure_distances(GmPathSearch *s, Layers *l)
{
	uint32_t	n = s->graph->root->gr_nodes;

	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_LABEL, (size_t) n * sizeof(uint64_t), &l->distance));
	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_QUEUE, (size_t) n * sizeof(GmNode), &l->near));
	l->depth = (uint32_t) s->max_hops / 2;
	l->near[0] = s->a;
	l->near_count = 1;
	l->distance[s->a] = 1;
	for (uint32_t at = 0; at < l->near_count; at++)
	{
		uint64_t	hops = l->distance[l->near[at]];
		GmArcs		arcs;

		if (hops > l->depth)
			break;
		GM_TRY(gm_walk_arcs(&s->forward, l->near[at], &arcs));
		for (int half = 0; half < 2; half++)
		{
			for (uint32_t i = 0; i < arcs.length[half]; i++)
			{
				GmNode		v = arcs.neighbor[half][i];

				if (l->distance[v] != 0)
					continue;
				l->distance[v] = hops + 1;
				l->near[l->near_count++] = v;
			}
		}
		if (gm_walk_interrupted(&s->forward))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

static inline bool
is_too_far(const Layers *l, GmNode v, uint32_t hops_left)
{
	return hops_left <= l->depth && l->distance[v] - 1 > hops_left;
}

static GmStatus
improve(GmPathSearch *s, Layers *l, GmNode node, uint32_t hops, uint64_t cost)
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
	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_ENTRY, ((size_t) l->count + 1) * sizeof(Layer),
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
expand_label(GmPathSearch *s, Layers *l, uint32_t at, const uint64_t *banned)
{
	Layer		from = l->labels[at];
	uint32_t	left = (uint32_t) s->max_hops - from.hops - 1;
	GmArcs		arcs;

	if (from.node == s->a || from.cost + 1 >= l->best)
		return GM_OK;
	GM_TRY(gm_walk_arcs(&s->backward, from.node, &arcs));
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			GmNode		v = arcs.neighbor[half][i];
			uint32_t	latest;
			uint64_t	cost;

			if (is_too_far(l, v, left))
				continue;
			latest = l->index[v];
			if ((latest != 0 && l->labels[latest - 1].cost <= from.cost + 1) ||
				gm_bit_test(banned, v) ||
				(v == s->a && gm_path_is_banned(s, arcs.slot[half][i])))
				continue;
			cost = gm_path_cost_sum(from.cost, gm_path_slot_cost(s, arcs.slot[half][i]));
			if (cost < l->best)
				GM_TRY(improve(s, l, v, from.hops + 1, cost));
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
	return at == GM_NONE ? GM_PATH_IMPASSABLE : l->labels[at].cost;
}

/* smallest step from x such that the rest costs rest and has at most hops - 1 */
static GmStatus
layer_step(GmPathSearch *s, const Layers *l, GmNode x, uint64_t rest, uint32_t hops,
		   GmPathStep *step, uint64_t *left)
{
	GmArcs		arcs;

	GM_TRY(gm_walk_arcs(&s->forward, x, &arcs));
	step->slot = GM_NONE;
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			GmNode		y = arcs.neighbor[half][i];
			GmSlot		slot = arcs.slot[half][i];
			uint64_t	behind;

			if (l->index[y] == 0 || (x == s->a && gm_path_is_banned(s, slot)))
				continue;
			behind = cost_within(l, y, hops - 1);
			if (behind >= rest)
				continue;
			if (gm_path_cost_sum(behind, gm_path_slot_cost(s, slot)) != rest)
				continue;
			if (step->slot != GM_NONE &&
				(y == step->node ? !gm_path_id_less(&s->graph->triple_id, slot, step->slot)
				 : !gm_path_id_less(&s->graph->entity_id, y, step->node)))
				continue;
			*step = (GmPathStep) {y, slot, half == 0};
			*left = behind;
		}
	}
	return GM_OK;
}

static GmStatus
walk_layers(GmPathSearch *s, const Layers *l)
{
	uint32_t	left = (uint32_t) s->max_hops;
	uint64_t	rest = l->best;
	uint32_t	hops = 0;
	GmNode		at = s->a;

	GM_TRY(gm_path_steps_room(s, left));
	s->steps[s->steps_used] = (GmPathStep) {s->a, GM_NONE, false};
	while (at != s->b)
	{
		GmPathStep *step = &s->steps[s->steps_used + ++hops];

		GM_TRY(layer_step(s, l, at, rest, left--, step, &rest));
		at = step->node;
	}
	s->hops = hops;
	s->cost = l->best;
	return GM_OK;
}

GmStatus
gm_path_by_layers(GmPathSearch *s, bool *found)
{
	uint32_t	n = s->graph->root->gr_nodes;
	uint32_t	start = 0;
	Layers		l = {.best = GM_PATH_IMPASSABLE};
	uint64_t   *banned;

	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_INDEX, (size_t) n * sizeof(uint32_t), &l.index));
	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_SETTLED, gm_bit_words(n) * 8, &banned));
	for (uint32_t i = 0; i < s->banned_count; i++)
		gm_bit_set(banned, s->banned[i]);
	GM_TRY(measure_distances(s, &l));
	GM_TRY(improve(s, &l, s->b, 0, 0));
	for (int hops = 0; hops < s->max_hops && start < l.count; hops++)
	{
		uint32_t	end = l.count;

		for (uint32_t i = start; i < end; i++)
			GM_TRY(expand_label(s, &l, i, banned));
		start = end;
	}
	*found = l.best != GM_PATH_IMPASSABLE;
	if (*found)
		GM_TRY(walk_layers(s, &l));
	for (uint32_t i = 0; i < l.count; i++)
		l.index[l.labels[i].node] = 0;
	for (uint32_t i = 0; i < l.near_count; i++)
		l.distance[l.near[i]] = 0;
	for (uint32_t i = 0; i < s->banned_count; i++)
		banned[s->banned[i] >> 6] = 0;
	return GM_OK;
}
