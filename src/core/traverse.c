/*-------------------------------------------------------------------------
 *
 * traverse.c
 *	  Walks over the adjacency: reach, traversal, subgraph, neighbourhood.
 *
 * Whether a neighbour is new is as good as random, so the inner loop of reach
 * has no branch: it stores every neighbour at the end of the queue and moves
 * the end on by one if the bitmap did not have it.
 *
 * Reference	Beamer, Asanović, Patterson: Direction-Optimizing Breadth-First
 *				Search, SC 2012.  Only the turn from the frontier to the unseen
 *				nodes is taken over, decided once a level by counted records.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/traverse.h"

/* nodes ahead whose runs, and whose records, are fetched */
#define AHEAD_RUNS		12
#define AHEAD_ARCS		5

/*
 * Visible arcs
 */
void
gm_walk_begin(GmWalk *walk, const GmGraph *graph, const GmView *view,
			  GmScratch *scratch, const GmInterrupt *intr)
{
	walk->graph = graph;
	walk->view = *view;
	walk->scratch = scratch;
	walk->intr = intr;
	walk->direct = view->plain && !view->timed &&
		(view->direction == GM_BOTH || !graph->root->gr_symmetric);
	walk->work = 0;
	walk->total = 0;
	gm_progress_at(intr, GM_PHASE_WALKING, 0, 0);
}

bool
gm_walk_look(GmWalk *walk)
{
	walk->total += walk->work;
	if (walk->intr != NULL && walk->intr->progress != NULL)
		walk->intr->progress->records += walk->work;
	walk->work = 0;
	return gm_interrupted(walk->intr);
}

/*
 * The filtered form goes over the runs itself rather than by gm_edges_next, so
 * that it can fetch what the filters will look at some records ahead; that is
 * most of the time otherwise, the slots of a run lying all over the image.
 */
#define AHEAD_SLOTS		24
#define AHEAD_TIMES		12		/* the intervals, once their number is there */
#define BLOCK			128		/* records looked at together */

typedef struct VisibleRun
{
	GmRunView	run;
	bool		out;
	bool		past;
	bool		only_symmetric; /* this run is against the direction */
} VisibleRun;

/* the runs that may hold visible edges of a node: gm_edges_begin's, in its order */
static uint32_t
visible_runs(const GmWalk *walk, GmNode node, VisibleRun runs[4])
{
	const GmGraph *g = walk->graph;
	uint32_t	n = 0;

	for (int past = 0; past < 2; past++)
	{
		const GmNodeRuns *r;

		if (past && (!walk->view.timed || !g->root->gr_history))
			break;
		r = past ? gm_graph_past(g, node) : (const GmNodeRuns *) gm_array_at(&g->runs, node);
		if (r == NULL)
			break;
		for (int out = 1; out >= 0; out--)
		{
			bool		wanted = (walk->view.direction & (out ? GM_OUT : GM_IN)) != 0;

			if (!wanted && !g->root->gr_symmetric)
				continue;
			runs[n].run = gm_graph_run_view(g, out ? &r->out : &r->in);
			runs[n].out = out;
			runs[n].past = past;
			runs[n].only_symmetric = !wanted;
			n += runs[n].run.length > 0;
		}
	}
	return n;
}

static inline void
prefetch_record(const GmWalk *walk, GmSlot slot)
{
	if (walk->view.timed)
		gm_prefetch(gm_array_at(&walk->graph->time, slot));
	if (walk->view.min_confidence > 0)
		gm_prefetch(gm_array_at(&walk->graph->confidence, slot));
}

/* after prefetch_record, some records later */
static inline void
prefetch_times(const GmWalk *walk, GmSlot slot)
{
	const GmGraph *g = walk->graph;

	if (walk->view.timed)
		gm_prefetch(gm_array_at(&g->times, GM_ARRAY_U32(&g->time, slot)));
}

/* what will be looked at after record i */
static inline void
prefetch_ahead(const GmWalk *walk, const GmRunView *run, uint32_t i)
{
	if (i + AHEAD_SLOTS < run->length)
		prefetch_record(walk, run->slot[i + AHEAD_SLOTS]);
	if (i + AHEAD_TIMES < run->length)
		prefetch_times(walk, run->slot[i + AHEAD_TIMES]);
}

static inline bool
is_visible(const GmWalk *walk, GmNode node, const VisibleRun *r, uint32_t i)
{
	const GmView *view = &walk->view;
	GmSlot		slot = r->run.slot[i];

	/* a self-loop lies in both runs; one of them counts */
	if (r->run.neighbor[i] == node && r->out == (view->direction == GM_IN))
		return false;
	if (r->only_symmetric && !gm_graph_predicate(walk->graph, r->run.predicate[i])->symmetric)
		return false;
	if (view->predicates != NULL && !view->predicates[r->run.predicate[i]])
		return false;
	if (view->slots != NULL && !gm_bit_test(view->slots, slot))
		return false;
	if (view->timed && !gm_view_in_time(view, gm_array_at(&walk->graph->times,
														  GM_ARRAY_U32(&walk->graph->time, slot))))
		return false;
	return !(view->min_confidence > 0) ||
		gm_graph_confidence(walk->graph, view, slot) >= view->min_confidence;
}

static size_t
total_length(const VisibleRun *runs, uint32_t n)
{
	size_t		sum = 0;

	for (uint32_t k = 0; k < n; k++)
		sum += runs[k].run.length;
	return sum;
}

/*
 * Which edges lie in history runs depends on when the image was made, the
 * order of a node's edges must not: n records, the last past of them from a
 * history run, become one run.  spare has room for three times past.
 */
static void
merge_past(const GmGraph *g, uint32_t *neighbor, uint32_t *predicate, uint32_t *slot,
		   uint32_t n, uint32_t past, uint32_t *spare)
{
	uint32_t	i = n - past;
	uint32_t	k = past;

	if (i == 0 || past == 0)
		return;
	memcpy(spare, neighbor + i, past * sizeof(uint32_t));
	memcpy(spare + past, predicate + i, past * sizeof(uint32_t));
	memcpy(spare + 2 * (size_t) past, slot + i, past * sizeof(uint32_t));
	for (uint32_t at = n; k > 0; at--)
	{
		const uint32_t *from = &spare[k - 1];

		if (i > 0 && gm_graph_record_before(g, from[past], from[0], from[2 * (size_t) past],
											predicate[i - 1], neighbor[i - 1], slot[i - 1]))
		{
			i--;
			neighbor[at - 1] = neighbor[i];
			predicate[at - 1] = predicate[i];
			slot[at - 1] = slot[i];
			continue;
		}
		neighbor[at - 1] = from[0];
		predicate[at - 1] = from[past];
		slot[at - 1] = from[2 * (size_t) past];
		k--;
	}
}

GmStatus
gm_walk_collect(GmWalk *walk, GmNode node, GmArcs *arcs)
{
	VisibleRun	runs[4];
	uint32_t	n = visible_runs(walk, node, runs);
	size_t		room = total_length(runs, n);
	size_t		spare = n > 0 && runs[n - 1].past ? room : 0;
	uint32_t   *base;

	GM_TRY(gm_scratch_get(walk->scratch, GM_BUF_ARCS, (room * 6 + spare * 3 + 1) * sizeof(uint32_t),
					   &base));
	for (int half = 0; half < 2; half++)
	{
		arcs->neighbor[half] = base + (size_t) half * room;
		arcs->predicate[half] = base + (size_t) (2 + half) * room;
		arcs->slot[half] = base + (size_t) (4 + half) * room;
		arcs->length[half] = 0;
	}
	for (uint32_t k = 0; k < n; k++)
	{
		const VisibleRun *r = &runs[k];
		size_t		offset = r->out ? 0 : room;
		uint32_t	before = arcs->length[!r->out];
		size_t		at = offset + before;

		for (uint32_t i = 0; i < r->run.length; i++)
		{
			prefetch_ahead(walk, &r->run, i);
			if (!is_visible(walk, node, r, i))
				continue;
			base[at] = r->run.neighbor[i];
			base[2 * room + at] = r->run.predicate[i];
			base[4 * room + at++] = r->run.slot[i];
		}
		arcs->length[!r->out] = (uint32_t) (at - offset);
		if (r->past)
			merge_past(walk->graph, base + offset, base + 2 * room + offset,
					   base + 4 * room + offset, arcs->length[!r->out],
					   arcs->length[!r->out] - before, base + 6 * room);
	}
	walk->work += room;
	return GM_OK;
}

double
gm_walk_weight(GmWalk *walk, GmNode node, const float *weights, double most)
{
	VisibleRun	runs[4];
	uint32_t	n = visible_runs(walk, node, runs);
	double		sum = 0;

	for (uint32_t k = 0; k < n; k++)
	{
		const VisibleRun *r = &runs[k];

		for (uint32_t i = 0; i < r->run.length; i++)
		{
			prefetch_ahead(walk, &r->run, i);
			walk->work++;
			if (is_visible(walk, node, r, i))
				sum += weights == NULL ? 1 : weights[r->run.predicate[i]];
			if (sum >= most)
				return sum;
		}
	}
	return sum;
}

/*
 * Order by id
 */
static void
insertion_sort(uint64_t *a, size_t n)
{
	for (size_t i = 1; i < n; i++)
	{
		uint64_t	v = a[i];
		size_t		k = i;

		for (; k > 0 && a[k - 1] > v; k--)
			a[k] = a[k - 1];
		a[k] = v;
	}
}

/* by the upper half, stable, skipping digits in which all agree */
static void
radix_sort(uint64_t *a, size_t n, uint64_t *tmp)
{
	uint64_t   *from = a;
	uint64_t   *to = tmp;
	uint64_t	differ = 0;

	for (size_t i = 1; i < n; i++)
		differ |= a[i] ^ a[0];
	for (int shift = 32; shift < 64; shift += 8)
	{
		size_t		start[256] = {0};
		size_t		sum = 0;
		uint64_t   *t;

		if (((differ >> shift) & 255) == 0)
			continue;
		for (size_t i = 0; i < n; i++)
			start[(from[i] >> shift) & 255]++;
		for (int d = 0; d < 256; d++)
		{
			size_t		c = start[d];

			start[d] = sum;
			sum += c;
		}
		for (size_t i = 0; i < n; i++)
			to[start[(from[i] >> shift) & 255]++] = from[i];
		t = from;
		from = to;
		to = t;
	}
	if (from != a)
		memcpy(a, from, n * sizeof(uint64_t));
}

static inline bool
id_below(const GmArray *ids, uint64_t a, uint64_t b)
{
	int64_t		x = GM_ARRAY_I64(ids, a >> 32);
	int64_t		y = GM_ARRAY_I64(ids, b >> 32);

	return x < y || (x == y && a < b);
}

/* bottom-up merge sort by id itself: numbers need not ascend with ids */
static void
merge_sort(const GmArray *ids, uint64_t *a, size_t n, uint64_t *tmp)
{
	uint64_t   *from = a;
	uint64_t   *to = tmp;

	for (size_t width = 1; width < n; width *= 2)
	{
		uint64_t   *t;

		for (size_t at = 0; at < n; at += 2 * width)
		{
			size_t		i = at;
			size_t		mid = at + width < n ? at + width : n;
			size_t		end = at + 2 * width < n ? at + 2 * width : n;
			size_t		j = mid;

			for (size_t k = at; k < end; k++)
			{
				if (i < mid && (j >= end || !id_below(ids, from[j], from[i])))
					to[k] = from[i++];
				else
					to[k] = from[j++];
			}
		}
		t = from;
		from = to;
		to = t;
	}
	if (from != a)
		memcpy(a, from, n * sizeof(uint64_t));
}

/*
 * Sorted but for a few: those are taken out, sorted and merged in again.  Of
 * two neighbours in the wrong order both are taken out, which are at most
 * twice as many as must be.  False, and nothing but their order changed, if
 * there are too many.
 */
static bool
mend_order(const GmArray *ids, uint64_t *a, size_t n, uint64_t *tmp)
{
	size_t		most = n / 4;
	size_t		kept = 0;
	size_t		out = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (kept == 0 || !id_below(ids, a[i], a[kept - 1]))
			a[kept++] = a[i];
		else if (out + 2 > most)
		{
			/* a[kept .. i) is free: the places of those taken out */
			memcpy(a + kept, tmp, out * sizeof(uint64_t));
			return false;
		}
		else
		{
			tmp[out++] = a[--kept];
			tmp[out++] = a[i];
		}
	}
	merge_sort(ids, tmp, out, tmp + out);
	for (size_t at = n; out > 0; at--)
	{
		if (kept > 0 && id_below(ids, tmp[out - 1], a[kept - 1]))
			a[at - 1] = a[--kept];
		else
			a[at - 1] = tmp[--out];
	}
	return true;
}

/*
 * In most images numbers ascend with ids, or nearly, so sorting by number and
 * looking whether the ids agree costs far less than comparing ids.
 */
void
gm_sort_by_id(const GmArray *ids, uint64_t *values, size_t n, uint64_t *tmp)
{
	int64_t		last = INT64_MIN;
	size_t		ascending = 1;

	while (ascending < n && values[ascending - 1] < values[ascending])
		ascending++;
	if (n <= 48)
		insertion_sort(values, n);
	else if (ascending < n)
		radix_sort(values, n, tmp);
	for (size_t i = 0; i < n; i++)
	{
		int64_t		id = GM_ARRAY_I64(ids, values[i] >> 32);

		if (gm_unlikely(id < last))
		{
			if (!mend_order(ids, values, n, tmp))
				merge_sort(ids, values, n, tmp);
			return;
		}
		last = id;
	}
}

/*
 * Levels over a bitmap and a queue
 */

/* queue has room for one more than it can ever hold */
static inline uint32_t
mark_new(const GmNode *nodes, uint32_t n, uint64_t *seen, GmNode *queue, uint32_t tail)
{
	for (uint32_t i = 0; i < n; i++)
	{
		GmNode		v = nodes[i];
		uint64_t	word = seen[v >> 6];

		queue[tail] = v;
		tail += !((word >> (v & 63)) & 1);
		seen[v >> 6] = word | UINT64_C(1) << (v & 63);
	}
	return tail;
}

/*
 * The same through a filter.  Most neighbours have been seen, so the filter is
 * asked last, and for a block of unseen ones at a time.
 */
static uint32_t
mark_visible(GmWalk *walk, GmNode node, uint64_t *seen, GmNode *queue, uint32_t tail)
{
	VisibleRun	runs[4];
	uint32_t	n = visible_runs(walk, node, runs);

	for (uint32_t k = 0; k < n; k++)
	{
		const GmRunView *run = &runs[k].run;

		for (uint32_t start = 0; start < run->length; start += BLOCK)
		{
			uint32_t	end = start + BLOCK < run->length ? start + BLOCK : run->length;
			uint32_t	unseen[BLOCK];
			uint32_t	count = 0;

			for (uint32_t i = start; i < end; i++)
			{
				unseen[count] = i;
				if (!gm_bit_test(seen, run->neighbor[i]))
				{
					prefetch_record(walk, run->slot[i]);
					count++;
				}
			}
			for (uint32_t i = 0; walk->view.timed && i < count; i++)
				prefetch_times(walk, run->slot[unseen[i]]);
			for (uint32_t i = 0; i < count; i++)
			{
				GmNode		v = run->neighbor[unseen[i]];

				if (gm_bit_test(seen, v) || !is_visible(walk, node, &runs[k], unseen[i]))
					continue;
				gm_bit_set(seen, v);
				queue[tail++] = v;
			}
		}
	}
	walk->work += total_length(runs, n);
	return tail;
}

static GmStatus
expand_frontier(GmWalk *walk, uint64_t *seen, GmNode *queue, uint32_t head, uint32_t *tail)
{
	uint32_t	end = *tail;
	uint32_t	at = end;

	for (uint32_t i = head; i < end; i++)
	{
		GmArcs		arcs;

		if (i + AHEAD_RUNS < end)
			gm_walk_prefetch_runs(walk, queue[i + AHEAD_RUNS]);
		if (i + AHEAD_ARCS < end)
			gm_walk_prefetch_arcs(walk, queue[i + AHEAD_ARCS]);
		if (walk->direct)
		{
			GM_TRY(gm_walk_arcs(walk, queue[i], &arcs));
			at = mark_new(arcs.neighbor[0], arcs.length[0], seen, queue, at);
			at = mark_new(arcs.neighbor[1], arcs.length[1], seen, queue, at);
		}
		else
			at = mark_visible(walk, queue[i], seen, queue, at);
		if (gm_walk_interrupted(walk))
			return GM_INTERRUPTED;
	}
	*tail = at;
	return GM_OK;
}

static inline bool
any_marked(const GmNode *nodes, uint32_t n, const uint64_t *frontier)
{
	for (uint32_t i = 0; i < n; i++)
	{
		if (gm_bit_test(frontier, nodes[i]))
			return true;
	}
	return false;
}

/*
 * The same level from the other side: every unseen node looks for a neighbour
 * in the frontier, against the direction of the walk, and stops at the first.
 */
static GmStatus
expand_unseen(GmWalk *walk, uint64_t *seen, GmNode *queue, uint32_t head, uint32_t *tail)
{
	GmWalk		back = *walk;
	uint32_t	n = walk->graph->root->gr_nodes;
	uint32_t	at = *tail;
	uint64_t   *frontier;

	back.view.direction = gm_direction_reversed(walk->view.direction);
	GM_TRY(gm_scratch_get(walk->scratch, GM_BUF_SEEN_B, gm_bit_words(n) * 8, &frontier));
	for (uint32_t i = head; i < *tail; i++)
		gm_bit_set(frontier, queue[i]);
	for (uint32_t word = 0; word < gm_bit_words(n); word++)
	{
		uint64_t	unseen = ~seen[word];

		for (; unseen != 0; unseen &= unseen - 1)
		{
			GmNode		v = word * 64 + (uint32_t) __builtin_ctzll(unseen);
			GmArcs		arcs;

			if (v >= n)
				break;
			GM_TRY(gm_walk_arcs(&back, v, &arcs));
			if (any_marked(arcs.neighbor[0], arcs.length[0], frontier) ||
				any_marked(arcs.neighbor[1], arcs.length[1], frontier))
				queue[at++] = v;
			if (gm_walk_interrupted(&back))
				return GM_INTERRUPTED;
		}
	}
	memset(frontier, 0, gm_bit_words(n) * 8);
	for (uint32_t i = *tail; i < at; i++)
		gm_bit_set(seen, queue[i]);
	*tail = at;
	walk->work = back.work;
	walk->total = back.total;
	return GM_OK;
}

/*
 * Is the frontier's side the dearer one?  Its records are counted only once it
 * holds a share of the nodes, and only for direct walks.
 */
static bool
frontier_is_dear(const GmWalk *walk, const GmNode *queue, uint32_t head, uint32_t tail)
{
	uint64_t	all = walk->graph->root->gr_current;
	uint64_t	records = 0;

	if (!walk->direct || tail - head < walk->graph->root->gr_nodes / 64)
		return false;
	if (walk->view.direction == GM_BOTH)
		all *= 2;
	for (uint32_t i = head; i < tail; i++)
	{
		const GmNodeRuns *r = gm_array_at(&walk->graph->runs, queue[i]);

		records += (walk->view.direction & GM_OUT) ? r->out.rn_length : 0;
		records += (walk->view.direction & GM_IN) ? r->in.rn_length : 0;
		if (records > all / 6)
			return true;
	}
	return false;
}

/* queue and seen hold the seeds on entry, everything in reach on return */
static GmStatus
flood(GmWalk *walk, uint64_t *seen, GmNode *queue, uint32_t *tail, int max_hops)
{
	uint32_t	head = 0;

	for (int hops = 0; hops < max_hops && head < *tail; hops++)
	{
		uint32_t	end = *tail;

		if (frontier_is_dear(walk, queue, head, end))
			GM_TRY(expand_unseen(walk, seen, queue, head, tail));
		else
			GM_TRY(expand_frontier(walk, seen, queue, head, tail));
		head = end;
	}
	return GM_OK;
}

static uint64_t
sum_of_ids(const GmGraph *g, const uint64_t *seen, const GmNode *queue, uint32_t count)
{
	uint32_t	words = (uint32_t) gm_bit_words(g->root->gr_nodes);
	uint64_t	sum = 0;

	if (count < words)
	{
		for (uint32_t i = 0; i < count; i++)
			sum += (uint64_t) GM_ARRAY_I64(&g->entity_id, queue[i]);
		return sum;
	}
	for (uint32_t w = 0; w < words; w++)
	{
		uint64_t	bits = seen[w];
		uint64_t	contiguous;
		const int64_t *id;

		if (bits == 0)
			continue;
		id = gm_array_span(&g->entity_id, (uint64_t) w * 64, &contiguous);
		if (gm_likely(contiguous >= 64))
		{
			for (; bits != 0; bits &= bits - 1)
				sum += (uint64_t) id[__builtin_ctzll(bits)];
		}
		else
		{
			for (; bits != 0; bits &= bits - 1)
				sum += (uint64_t) GM_ARRAY_I64(&g->entity_id, (uint64_t) w * 64 +
											   (uint64_t) __builtin_ctzll(bits));
		}
	}
	return sum;
}

static void
clear_bits(uint64_t *bits, uint32_t nodes, const GmNode *set, uint32_t count)
{
	if (count > gm_bit_words(nodes) / 4)
		memset(bits, 0, gm_bit_words(nodes) * 8);
	else
	{
		for (uint32_t i = 0; i < count; i++)
			bits[set[i] >> 6] = 0;
	}
}

GmStatus
gm_reach(const GmGraph *graph, const GmView *view, GmScratch *scratch,
		 GmNode seed, int max_hops, const GmInterrupt *intr,
		 uint64_t *count, uint64_t *checksum)
{
	uint32_t	n = graph->root->gr_nodes;
	uint32_t	tail = 1;
	uint64_t   *seen;
	GmNode	   *queue;
	GmWalk		walk;

	if (max_hops < 0 || !gm_walk_has(graph, seed))
		return GM_BAD_VALUE;
	gm_scratch_begin(scratch);
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SEEN, gm_bit_words(n) * 8, &seen));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_QUEUE, ((size_t) n + 1) * sizeof(GmNode), &queue));
	gm_walk_begin(&walk, graph, view, scratch, intr);
	queue[0] = seed;
	gm_bit_set(seen, seed);
	GM_TRY(flood(&walk, seen, queue, &tail, max_hops));
	*count = tail - 1;
	*checksum = sum_of_ids(graph, seen, queue, tail) -
		(uint64_t) gm_graph_entity_id(graph, seed);
	clear_bits(seen, n, queue, tail);
	gm_walk_end(&walk);
	gm_scratch_end(scratch);
	return GM_OK;
}

GmStatus
gm_near(const GmGraph *graph, const GmView *view, GmScratch *scratch,
		const GmNode *seeds, uint32_t seed_count, int max_hops,
		const GmInterrupt *intr, uint64_t *bitmap)
{
	uint32_t	n = graph->root->gr_nodes;
	uint32_t	tail = 0;
	GmNode	   *queue;
	GmWalk		walk;

	if (max_hops < 0)
		return GM_BAD_VALUE;
	gm_scratch_begin(scratch);
	GM_TRY(gm_scratch_get(scratch, GM_BUF_QUEUE, ((size_t) n + 1) * sizeof(GmNode), &queue));
	gm_walk_begin(&walk, graph, view, scratch, intr);
	for (uint32_t i = 0; i < seed_count; i++)
	{
		if (!gm_walk_has(graph, seeds[i]))
			return GM_BAD_VALUE;
		tail = mark_new(&seeds[i], 1, bitmap, queue, tail);
	}
	GM_TRY(flood(&walk, bitmap, queue, &tail, max_hops));
	gm_walk_end(&walk);
	gm_scratch_end(scratch);
	return GM_OK;
}

/*
 * Traversal: levels of rows
 */
typedef struct Rows
{
	GmWalk		walk;
	GmTraverseRow *rows;
	uint32_t	count;
	uint32_t   *index;			/* by node: row + 1 */
} Rows;

static GmStatus
rows_room(Rows *r, size_t more)
{
	size_t		n = r->count + more;

	/* never more than one row a node */
	if (n > r->walk.graph->root->gr_nodes)
		n = r->walk.graph->root->gr_nodes;
	return gm_scratch_get(r->walk.scratch, GM_BUF_ROWS, (n + 1) * sizeof(GmTraverseRow),
						  &r->rows);
}

/* put rows from start on into the order of their entity ids */
static GmStatus
sort_level(Rows *r, uint32_t start)
{
	const GmGraph *g = r->walk.graph;
	uint32_t	n = r->count - start;
	uint64_t   *keys;
	GmTraverseRow *copy;

	GM_TRY(gm_scratch_get(r->walk.scratch, GM_BUF_SORT, (size_t) n * 2 * sizeof(uint64_t), &keys));
	GM_TRY(gm_scratch_get(r->walk.scratch, GM_BUF_ENTRY, (size_t) n * sizeof(GmTraverseRow), &copy));
	for (uint32_t i = 0; i < n; i++)
		keys[i] = (uint64_t) r->rows[start + i].node << 32 | i;
	gm_sort_by_id(&g->entity_id, keys, n, keys + n);
	memcpy(copy, r->rows + start, (size_t) n * sizeof(GmTraverseRow));
	for (uint32_t i = 0; i < n; i++)
	{
		r->rows[start + i] = copy[(uint32_t) keys[i]];
		r->index[r->rows[start + i].node] = start + i + 1;
	}
	return GM_OK;
}

static GmStatus
start_rows(Rows *r, const GmNode *seeds, uint32_t seed_count)
{
	for (uint32_t i = 0; i < seed_count; i++)
	{
		GmNode		seed = seeds[i];

		if (!gm_walk_has(r->walk.graph, seed))
			return GM_BAD_VALUE;
		if (r->index[seed] != 0)
			continue;
		GM_TRY(rows_room(r, 1));
		r->rows[r->count] = (GmTraverseRow) {seed, 0, GM_NONE, GM_NONE, false};
		r->index[seed] = ++r->count;
	}
	return sort_level(r, 0);
}

/*
 * Neighbours of one row become rows, or, where this very row found them
 * already, get the smaller triple.  Rows of a level are expanded in the order
 * of their ids, so the first to find a node is its parent.
 */
static void
add_neighbors(Rows *r, uint32_t parent, const GmNode *neighbor, const GmSlot *slot,
			  uint32_t n, bool out)
{
	const GmArray *ids = &r->walk.graph->triple_id;

	for (uint32_t i = 0; i < n; i++)
	{
		GmTraverseRow *row;

		if (r->index[neighbor[i]] == 0)
		{
			r->rows[r->count] = (GmTraverseRow)
			{
				neighbor[i], r->rows[parent].hops + 1, parent, slot[i], out
			};
			r->index[neighbor[i]] = ++r->count;
			continue;
		}
		row = &r->rows[r->index[neighbor[i]] - 1];
		if (row->parent == parent &&
			GM_ARRAY_I64(ids, slot[i]) < GM_ARRAY_I64(ids, row->slot))
		{
			row->slot = slot[i];
			row->out = out;
		}
	}
}

/* one more level; rows from head to the end are the last one */
static GmStatus
add_level(Rows *r, uint32_t head)
{
	uint32_t	end = r->count;

	for (uint32_t i = head; i < end; i++)
	{
		GmArcs		arcs;

		if (r->walk.direct && i + AHEAD_RUNS < end)
			gm_walk_prefetch_runs(&r->walk, r->rows[i + AHEAD_RUNS].node);
		if (r->walk.direct && i + AHEAD_ARCS < end)
			gm_walk_prefetch_arcs(&r->walk, r->rows[i + AHEAD_ARCS].node);
		GM_TRY(gm_walk_arcs(&r->walk, r->rows[i].node, &arcs));
		GM_TRY(rows_room(r, (size_t) arcs.length[0] + arcs.length[1]));
		add_neighbors(r, i, arcs.neighbor[0], arcs.slot[0], arcs.length[0], true);
		add_neighbors(r, i, arcs.neighbor[1], arcs.slot[1], arcs.length[1], false);
		if (gm_walk_interrupted(&r->walk))
			return GM_INTERRUPTED;
	}
	return sort_level(r, end);
}

static GmStatus
begin_rows(Rows *r, const GmGraph *graph, const GmView *view, GmScratch *scratch,
		   const GmInterrupt *intr)
{
	gm_scratch_begin(scratch);
	gm_walk_begin(&r->walk, graph, view, scratch, intr);
	r->count = 0;
	return gm_scratch_get(scratch, GM_BUF_INDEX,
						  (size_t) graph->root->gr_nodes * sizeof(uint32_t), &r->index);
}

static void
end_rows(Rows *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		r->index[r->rows[i].node] = 0;
	gm_walk_end(&r->walk);
	gm_scratch_end(r->walk.scratch);
}

static bool
is_returned(const GmTraverseOpts *opts, GmNode node)
{
	return opts->kinds == NULL || gm_bit_test(opts->kinds, node);
}

/* how many of the rows from start on are of a kind asked for */
static uint64_t
count_returned(const Rows *r, uint32_t start, const GmTraverseOpts *opts)
{
	uint64_t	n = 0;

	for (uint32_t i = start; i < r->count; i++)
		n += is_returned(opts, r->rows[i].node);
	return n;
}

static void
order_by_level(const Rows *r, const GmTraverseOpts *opts, uint32_t *order, uint32_t *count)
{
	uint32_t	n = 0;

	for (uint32_t i = 0; i < r->count && n < opts->match_count; i++)
	{
		if (is_returned(opts, r->rows[i].node))
			order[n++] = i;
	}
	*count = n;
}

/*
 * Rows are in the order of their ids within a level, so linking them to their
 * parents from the last to the first leaves every list of children ascending.
 */
static GmStatus
order_by_depth(const Rows *r, const GmTraverseOpts *opts, uint32_t *order, uint32_t *count)
{
	uint32_t	first_seed = GM_NONE;
	uint32_t	at;
	uint32_t	n = 0;
	uint32_t   *child;
	uint32_t   *sibling;

	GM_TRY(gm_scratch_get(r->walk.scratch, GM_BUF_ENTRY,
					   (size_t) r->count * 2 * sizeof(uint32_t), &child));
	sibling = child + r->count;
	memset(child, 0xff, (size_t) r->count * sizeof(uint32_t));
	for (uint32_t i = r->count; i-- > 0;)
	{
		uint32_t   *list = r->rows[i].parent == GM_NONE ? &first_seed : &child[r->rows[i].parent];

		sibling[i] = *list;
		*list = i;
	}
	for (at = first_seed; at != GM_NONE && n < opts->match_count;)
	{
		if (is_returned(opts, r->rows[at].node))
			order[n++] = at;
		if (child[at] != GM_NONE)
		{
			at = child[at];
			continue;
		}
		while (at != GM_NONE && sibling[at] == GM_NONE)
			at = r->rows[at].parent;
		if (at != GM_NONE)
			at = sibling[at];
	}
	*count = n;
	return GM_OK;
}

GmStatus
gm_traverse(const GmGraph *graph, const GmView *view, GmScratch *scratch,
			const GmNode *seeds, uint32_t seed_count,
			const GmTraverseOpts *opts, const GmInterrupt *intr, GmTraversal *result)
{
	uint32_t	head = 0;
	uint64_t	found;
	uint32_t   *order;
	Rows		r;

	if (opts->max_hops < 0)
		return GM_BAD_VALUE;
	GM_TRY(begin_rows(&r, graph, view, scratch, intr));
	GM_TRY(rows_room(&r, 0));
	GM_TRY(start_rows(&r, seeds, seed_count));
	found = count_returned(&r, 0, opts);
	for (int hops = 0; hops < opts->max_hops && head < r.count; hops++)
	{
		uint32_t	end = r.count;

		if (!opts->depth_first && found >= opts->match_count)
			break;
		GM_TRY(add_level(&r, head));
		found += count_returned(&r, end, opts);
		head = end;
	}
	GM_TRY(gm_scratch_get(scratch, GM_BUF_ORDER, (size_t) r.count * sizeof(uint32_t), &order));
	if (opts->depth_first)
		GM_TRY(order_by_depth(&r, opts, order, &result->order_count));
	else
		order_by_level(&r, opts, order, &result->order_count);
	end_rows(&r);
	result->rows = r.rows;
	result->row_count = r.count;
	result->order = order;
	return GM_OK;
}

void
gm_traverse_path(const GmTraversal *result, uint32_t row, GmSlot *slots, bool *out)
{
	for (uint32_t i = result->rows[row].hops; i-- > 0;)
	{
		slots[i] = result->rows[row].slot;
		if (out != NULL)
			out[i] = result->rows[row].out;
		row = result->rows[row].parent;
	}
}

/*
 * Subgraph
 */

/*
 * Triples of a node at this distance whose other end is nearer, or as near
 * and the node is their subject: each triple comes from exactly one node.
 */
static GmStatus
collect_triples(Rows *r, GmWalk *both, uint32_t row, uint64_t *n, uint64_t **keys)
{
	uint32_t	hops = r->rows[row].hops;
	GmNode		node = r->rows[row].node;
	GmArcs		arcs;

	GM_TRY(gm_walk_arcs(both, node, &arcs));
	GM_TRY(gm_scratch_get(both->scratch, GM_BUF_QUEUE,
					   (size_t) (*n + arcs.length[0] + arcs.length[1]) * sizeof(uint64_t), keys));
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			uint32_t	other = r->index[arcs.neighbor[half][i]];

			if (other == 0 || r->rows[other - 1].hops > hops ||
				(half == 1 && r->rows[other - 1].hops == hops))
				continue;
			(*keys)[(*n)++] = (uint64_t) arcs.slot[half][i] << 32;
		}
	}
	return gm_walk_interrupted(both) ? GM_INTERRUPTED : GM_OK;
}

/* triples of the rows from head to end, all of one level, sorted and appended */
static GmStatus
append_triples(Rows *r, GmWalk *both, uint32_t head, uint32_t end, uint64_t match_count,
			   GmSubgraphRow **rows, uint64_t *count)
{
	uint64_t	n = 0;
	uint64_t   *keys = NULL;
	uint64_t   *tmp;

	for (uint32_t i = head; i < end; i++)
		GM_TRY(collect_triples(r, both, i, &n, &keys));
	GM_TRY(gm_scratch_get(both->scratch, GM_BUF_SORT, (size_t) n * sizeof(uint64_t), &tmp));
	gm_sort_by_id(&both->graph->triple_id, keys, n, tmp);
	if (n > match_count - *count)
		n = match_count - *count;
	GM_TRY(gm_scratch_get(both->scratch, GM_BUF_SUBGRAPH,
					   (size_t) (*count + n) * sizeof(GmSubgraphRow), rows));
	for (uint64_t i = 0; i < n; i++)
		(*rows)[(*count)++] = (GmSubgraphRow) {(GmSlot) (keys[i] >> 32), r->rows[head].hops};
	return GM_OK;
}

GmStatus
gm_subgraph(const GmGraph *graph, const GmView *view, GmScratch *scratch,
			const GmNode *seeds, uint32_t seed_count, int max_hops,
			uint64_t match_count, const GmInterrupt *intr,
			const GmSubgraphRow **rows, uint64_t *row_count)
{
	GmView		undirected = *view;
	GmSubgraphRow *found = NULL;
	uint32_t	head = 0;
	GmWalk		both;
	Rows		r;

	if (max_hops < 0)
		return GM_BAD_VALUE;
	*row_count = 0;
	undirected.direction = GM_BOTH;
	GM_TRY(begin_rows(&r, graph, view, scratch, intr));
	gm_walk_begin(&both, graph, &undirected, scratch, intr);
	GM_TRY(rows_room(&r, 0));
	GM_TRY(start_rows(&r, seeds, seed_count));
	for (int hops = 0; head < r.count; hops++)
	{
		uint32_t	end = r.count;

		GM_TRY(append_triples(&r, &both, head, end, match_count, &found, row_count));
		if (hops == max_hops || *row_count == match_count)
			break;
		GM_TRY(add_level(&r, head));
		head = end;
	}
	gm_walk_end(&both);
	end_rows(&r);
	*rows = found;
	return GM_OK;
}
