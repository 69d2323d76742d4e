/*-------------------------------------------------------------------------
 *
 * path.c
 *	  Shortest paths between two nodes, and the k best ones.
 *
 * A search for one path is path_hops.c's or path_confidence.c's; here it is
 * set up, and repeated under bans for the k best.
 *
 * Reference	Yen: Finding the K Shortest Loopless Paths, 1971, with Lawler's
 *				rule of deviating only behind the last deviation, 1972
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "core/path_private.h"

GmStatus
gm_path_steps_room(GmPathSearch *s, size_t hops)
{
	return gm_scratch_get(s->scratch, GM_BUF_PATH_STEPS,
						  (s->steps_used + hops + 1) * sizeof(GmPathStep), &s->steps);
}

/*
 * The first path in the order of path.h, under the bans.  The best path of
 * any length is also the best within max_hops if it is short enough.
 */
static GmStatus
search(GmPathSearch *s, bool *found)
{
	if (s->a == s->b)
	{
		GM_TRY(gm_path_steps_room(s, 0));
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
		return gm_path_by_hops(s, found);
	GM_TRY(gm_path_by_confidence(s, found));
	if (*found && s->max_hops > 0 && s->hops > (uint32_t) s->max_hops)
		return gm_path_by_layers(s, found);
	return GM_OK;
}

static GmStatus
search_begin(GmPathSearch *s, const GmGraph *graph, const GmView *view, GmScratch *scratch,
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
search_end(GmPathSearch *s)
{
	gm_walk_end(&s->forward);
	gm_walk_end(&s->backward);
	gm_scratch_end(s->scratch);
}

static void
describe(const GmPathSearch *s, const GmPathStep *steps, uint32_t hops, GmPath *path)
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
	GmPathSearch s;

	GM_TRY(search_begin(&s, graph, view, scratch, a, b, opts, intr));
	GM_TRY(search(&s, found));
	search_end(&s);
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
	GmPathSearch search;
	int			max_hops;
	Candidate  *list;			/* accepted ones first */
	uint32_t	accepted;
	uint32_t	count;
} Yen;

static uint64_t
steps_cost(const GmPathSearch *s, const GmPathStep *steps, uint32_t hops)
{
	uint64_t	cost = 0;

	if (!s->by_confidence)
		return hops;
	for (uint32_t i = 1; i <= hops; i++)
		cost = gm_path_cost_sum(cost, gm_path_slot_cost(s, steps[i].slot));
	return cost;
}

static GmStatus
keep_candidate(Yen *y, uint32_t hops, uint32_t deviation)
{
	GmPathSearch *s = &y->search;

	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_CANDIDATES,
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
			return gm_path_id_less(&g->entity_id, ps[i].node, qs[i].node);
		if (ps[i].slot != qs[i].slot)
			return gm_path_id_less(&g->triple_id, ps[i].slot, qs[i].slot);
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
same_root(const GmPathSearch *s, const Candidate *p, const Candidate *q, uint32_t steps)
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
	GmPathSearch *s = &y->search;
	uint32_t   *room;

	GM_TRY(gm_scratch_get(s->scratch, GM_BUF_BANNED,
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
	GmPathSearch *s = &y->search;
	size_t		start = s->steps_used;
	bool		found;

	GM_TRY(ban_root(y, &p, at));
	s->a = s->steps[p.first + at].node;
	s->max_hops = y->max_hops < 0 ? -1 : y->max_hops - (int) at;
	GM_TRY(gm_path_steps_room(s, at));
	memcpy(s->steps + start, s->steps + p.first, ((size_t) at + 1) * sizeof(GmPathStep));
	s->steps_used = start + at;
	GM_TRY(search(s, &found));
	s->steps_used = start;

	/* the search has written a step 0 over the root's last one */
	s->steps[start + at] = s->steps[p.first + at];
	return found ? keep_candidate(y, at + s->hops, at) : GM_OK;
}

static GmStatus
run_yen(Yen *y, uint32_t k, uint64_t budget, bool *complete)
{
	GmPathSearch *s = &y->search;
	bool		found;

	*complete = true;
	GM_TRY(search(s, &found));
	if (!found)
		return GM_OK;
	GM_TRY(keep_candidate(y, s->hops, 0));
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
			gm_progress_at(s->forward.intr, GM_PHASE_WALKING, work, budget);
			GM_TRY(deviate(y, p, at));
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

	GM_TRY(search_begin(&y.search, graph, view, scratch, a, b, opts, intr));
	y.max_hops = opts->max_hops;
	*complete = true;
	if (k > 0)
		GM_TRY(run_yen(&y, k, opts->budget, complete));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_PATH, (size_t) y.accepted * sizeof(GmPath), &result));
	for (uint32_t i = 0; i < y.accepted; i++)
		describe(&y.search, y.search.steps + y.list[i].first, y.list[i].hops, &result[i]);
	search_end(&y.search);
	*paths = result;
	*count = y.accepted;
	return GM_OK;
}
