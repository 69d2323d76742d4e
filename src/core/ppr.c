/*-------------------------------------------------------------------------
 *
 * ppr.c
 *	  Personalised PageRank by forward push: see rank.h.
 *
 * The push works in rounds.  What a round pushes is sorted by entity id, so
 * that the sums, and with them the result to the last bit but a few, do not
 * depend on the order in which the image holds its records.
 *
 * Nearly all time goes into adding to the residues of neighbours, each of
 * which may be a cache miss.  So whatever is asked about a neighbour lies
 * beside its residue, 16 bytes in one line, and is asked with one branch that
 * is seldom taken.
 *
 * Reference	Andersen, Chung, Lang, FOCS 2006
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "core/rank.h"
#include "core/rank_private.h"
#include "core/traverse.h"

#define AHEAD_RUNS			10
#define AHEAD_ARCS			5
#define AHEAD_SPOTS			16
#define FRESH				64
#define SWEEP_AFTER			4	/* times the graph's arcs pushed */
#define NEED_SLACK			(1 - 1e-6)	/* covers the rounding to float */
#define EXACT_FLOAT			0x1p24

/* all zero: never touched */
typedef struct Spot
{
	double		residue;		/* -0.0 after pushing, which adds like zero but is
								 * not the same bits */
	float		above;			/* what the node is queued with, less Push.least:
								 * not more than that; INFINITY while it is queued */
	uint32_t	arrived;		/* its Arrived, plus one */
} Spot;

/* a node that had Push.least: few of those that are touched */
typedef struct Arrived
{
	double		mass;
	float		degree;			/* 1 for none; negative: minus a lower bound of
								 * it; 0 while unknown */
	uint32_t	unused;
} Arrived;

typedef struct Push
{
	GmWalk		walk;
	double		damping;
	double		epsilon;
	double		push_from;		/* residue for each arc to push from: epsilon less
								 * what rounding degrees to float may add */
	double		least;			/* no node is pushed with less */
	const float *weights;
	bool		by_records;		/* degrees are counts of current records */
	bool		by_degree;		/* which the image has */
	uint64_t	pushed;			/* nodes and arcs so far: the same however the runs
								 * that they lie in were made */
	uint64_t	visible;		/* facts of the view's time, among the first so many */
	GmSlot		counted;		/* slots */
	GmMass	   *seeds;
	uint32_t	seed_count;

	Spot	   *spot;			/* by node */
	Arrived    *arrived;		/* room for all nodes */
	uint32_t	arrived_count;
	uint64_t   *queued;			/* by node */
	GmNode	   *touched;		/* room for one more than there are nodes */
	uint32_t	touched_count;
	uint64_t   *queue;			/* node << 32: candidates of the next round */
	uint32_t	queue_count;
	uint32_t	fresh_count;
	GmNode		fresh[FRESH];	/* had Push.least for the first time, their degrees
								 * on the way to the cache */
} Push;

static inline bool
is_untouched(double residue)
{
	uint64_t	bits;

	memcpy(&bits, &residue, sizeof(bits));
	return bits == 0;
}

static uint32_t
count_equal(const GmNode *nodes, uint32_t n, GmNode node)
{
	uint32_t	count = 0;

	for (uint32_t i = 0; i < n; i++)
		count += nodes[i] == node;
	return count;
}

static uint32_t
count_loops(const GmArcs *arcs, GmNode node)
{
	int			half = arcs->length[1] < arcs->length[0];

	return count_equal(arcs->neighbor[half], arcs->length[half], node);
}

/* residue from which a node is worth a look, as far as its degree is known */
static inline double
need_of(const Push *p, const Arrived *a)
{
	double		need = p->push_from * fabsf(a->degree);

	return need > p->least ? need : p->least;
}

static inline void
set_above(const Push *p, Spot *s, const Arrived *a)
{
	s->above = (float) ((need_of(p, a) - p->least) * NEED_SLACK);
}

static inline Arrived *
arrived_at(const Push *p, const Spot *s)
{
	return &p->arrived[s->arrived - 1];
}

/* records of a node in a direct walk */
static double
direct_records(const GmWalk *walk, GmNode v)
{
	const GmNodeRuns *r = gm_array_at(&walk->graph->runs, v);
	double		records = 0;

	if (walk->view.direction & GM_OUT)
		records += r->out.rn_length;
	if (walk->view.direction & GM_IN)
		records += r->in.rn_length;
	return records;
}

/*
 * A node had Push.least for the first time: what can be known about its degree
 * without reading records.  In a direct walk both ways without weights the
 * image has it; in one direction it lies between half the node's records, if
 * all are self-loops, and all of them.
 */
static inline Arrived *
arrive_first(Push *p, GmNode v, Spot *s)
{
	Arrived    *a = &p->arrived[p->arrived_count++];
	float		bound;

	*a = (Arrived) {0, 0, 0};
	if (p->by_degree)
	{
		uint32_t	degree = GM_ARRAY_U32(&p->walk.graph->degree, v);

		a->degree = degree > 0 ? (float) degree : 1;
	}
	else if (p->by_records)
	{
		bound = (float) (direct_records(&p->walk, v) / 2);
		a->degree = -(bound > 0.5f ? bound : 0.5f);
	}
	s->arrived = p->arrived_count;
	set_above(p, s, a);
	return a;
}

/* queued if it has what it may be pushed with */
static inline void
consider(Push *p, GmNode v, Spot *s, const Arrived *a)
{
	if (s->residue < need_of(p, a))
		return;
	s->above = INFINITY;
	gm_bit_set(p->queued, v);
	p->queue[p->queue_count++] = (uint64_t) v << 32;
}

static void
settle_fresh(Push *p)
{
	for (uint32_t i = 0; i < p->fresh_count; i++)
	{
		GmNode		v = p->fresh[i];
		Spot	   *s = &p->spot[v];

		consider(p, v, s, arrive_first(p, v, s));
	}
	p->fresh_count = 0;
}

/* the node has Push.least and what is above it, as far as that is known */
static gm_noinline void
arrive(Push *p, GmNode v, Spot *s)
{
	if (s->arrived != 0)
	{
		consider(p, v, s, arrived_at(p, s));
		return;
	}
	if (p->fresh_count == FRESH)
		settle_fresh(p);
	s->above = INFINITY;
	p->fresh[p->fresh_count++] = v;
	if (p->by_degree)
		gm_prefetch(gm_array_at(&p->walk.graph->degree, v));
	else if (p->by_records)
		gm_walk_prefetch_runs(&p->walk, v);
}

static inline void
add_residue(Push *p, GmNode v, double amount)
{
	Spot	   *s = &p->spot[v];
	double		sum = s->residue + amount;

	/* adding zero would turn -0, the mark of a touched node, into +0 */
	if (gm_unlikely(!(amount > 0)))
		return;
	p->touched[p->touched_count] = v;
	p->touched_count += is_untouched(s->residue);
	s->residue = sum;
	if (gm_unlikely(sum >= p->least + s->above))
		arrive(p, v, s);
}

static void
spread(Push *p, const GmNode *nodes, uint32_t n, double amount)
{
	GmNode	   *touched = p->touched + p->touched_count;
	Spot	   *spot = p->spot;
	double		least = p->least;

	if (!(amount > 0))
		return;
	for (uint32_t i = 0; i < n; i++)
	{
		GmNode		v = nodes[i];
		Spot	   *s = &spot[v];
		double		sum = s->residue + amount;

		gm_prefetch(&spot[nodes[i + AHEAD_SPOTS < n ? i + AHEAD_SPOTS : i]]);
		*touched = v;
		touched += is_untouched(s->residue);
		s->residue = sum;
		if (gm_unlikely(sum >= least + s->above))
			arrive(p, v, s);
	}
	p->touched_count = (uint32_t) (touched - p->touched);
}

static double
arcs_weight(const Push *p, const GmArcs *arcs, GmNode node)
{
	double		sum = 0;

	if (p->weights == NULL)
	{
		sum = (double) arcs->length[0] + arcs->length[1];
		if (gm_rank_loops_twice(&p->walk))
			sum -= count_loops(arcs, node);
		return sum;
	}
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs->length[half]; i++)
		{
			if (half == 0 || arcs->neighbor[1][i] != node || !gm_rank_loops_twice(&p->walk))
				sum += p->weights[arcs->predicate[half][i]];
		}
	}
	return sum;
}

static void
spread_weighted(Push *p, const GmArcs *arcs, GmNode node, double amount)
{
	bool		twice = gm_rank_loops_twice(&p->walk);

	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs->length[half]; i++)
		{
			GmNode		v = arcs->neighbor[half][i];
			float		weight = p->weights[arcs->predicate[half][i]];

			if (weight > 0 && (half == 0 || v != node || !twice))
				add_residue(p, v, amount * weight);
		}
	}
}

/* counting arcs again is saved where the float holds their number exactly */
static double
known_degree(const Push *p, const GmArcs *arcs, float degree, GmNode node)
{
	double		records = (double) arcs->length[0] + arcs->length[1];

	if (p->weights == NULL && degree > 0 && records > 0 && records < EXACT_FLOAT)
		return degree;
	return arcs_weight(p, arcs, node);
}

static uint64_t
visible_arcs(const Push *p, const GmArcs *arcs, GmNode node)
{
	uint64_t	n = (uint64_t) arcs->length[0] + arcs->length[1];

	return gm_rank_loops_twice(&p->walk) ? n - count_loops(arcs, node) : n;
}

static GmStatus
push(Push *p, GmNode u)
{
	Spot	   *s = &p->spot[u];
	Arrived    *a = s->arrived == 0 ? arrive_first(p, u, s) : arrived_at(p, s);
	double		going = p->damping * s->residue;
	double		degree;
	GmArcs		arcs;

	a->mass += s->residue - going;
	s->residue = -0.0;
	set_above(p, s, a);
	GM_TRY(gm_walk_arcs(&p->walk, u, &arcs));
	degree = known_degree(p, &arcs, a->degree, u);
	p->pushed += 1 + (p->weights == NULL ? (uint64_t) degree : visible_arcs(p, &arcs, u));
	if (!(degree > 0))
	{
		for (uint32_t i = 0; i < p->seed_count; i++)
			add_residue(p, p->seeds[i].node, going * p->seeds[i].mass);
	}
	else if (p->weights != NULL)
		spread_weighted(p, &arcs, u, going / degree);
	else
	{
		uint32_t	records = arcs.length[0] + arcs.length[1];

		spread(p, arcs.neighbor[0], arcs.length[0], going / degree);
		spread(p, arcs.neighbor[1], arcs.length[1], going / degree);

		/* each self-loop of u came twice, and nothing else did */
		if (records > degree)
		{
			double		own = (records - degree) * (going / degree);

			s->residue = own > 0 ? own : -0.0;
		}
	}
	settle_fresh(p);
	return gm_walk_interrupted(&p->walk) ? GM_INTERRUPTED : GM_OK;
}

/*
 * Finds out a node's degree as far as it matters: the visible arcs of a hub
 * are counted up to twice what its residue could be pushed with.
 */
static GmStatus
find_degree(Push *p, GmNode v, double residue, Arrived *a)
{
	double		most = INFINITY;
	double		degree;
	GmArcs		arcs;

	if (p->by_records)
	{
		GM_TRY(gm_walk_arcs(&p->walk, v, &arcs));
		degree = arcs_weight(p, &arcs, v);
	}
	else
	{
		most = residue / p->epsilon * 2;
		degree = gm_walk_weight(&p->walk, v, p->weights, most);
	}
	if (!(degree > 0))
		degree = 1;
	a->degree = degree >= most ? -(float) degree : (float) degree;
	return GM_OK;
}

static GmStatus
is_pushable(Push *p, GmNode v, bool *pushable)
{
	Spot	   *s = &p->spot[v];
	Arrived    *a = s->arrived == 0 ? arrive_first(p, v, s) : arrived_at(p, s);

	*pushable = false;
	if (s->residue < need_of(p, a))
		return GM_OK;
	if (a->degree < 0 && p->by_records && s->residue >= 2 * p->push_from * -a->degree)
	{
		*pushable = true;
		return GM_OK;
	}
	if (a->degree <= 0)
		GM_TRY(find_degree(p, v, s->residue, a));
	*pushable = a->degree > 0 && s->residue >= p->push_from * a->degree;
	return GM_OK;
}

/*
 * Moves the candidates out of the queue.  Many of them are read off the bitmap,
 * since then they need no sorting as a rule.
 */
static void
take_candidates(Push *p, uint64_t *round)
{
	size_t		words = gm_bit_words(p->walk.graph->root->gr_nodes);
	uint32_t	n = 0;

	if (p->queue_count > words / 16)
	{
		for (size_t w = 0; w < words; w++)
		{
			for (uint64_t bits = p->queued[w]; bits != 0; bits &= bits - 1)
				round[n++] = (uint64_t) (w * 64 + (size_t) __builtin_ctzll(bits)) << 32;
			p->queued[w] = 0;
		}
	}
	else
	{
		memcpy(round, p->queue, (size_t) p->queue_count * sizeof(uint64_t));
		for (uint32_t i = 0; i < p->queue_count; i++)
			gm_bit_clear(p->queued, (GmNode) (round[i] >> 32));
	}
	p->queue_count = 0;
}

/* of the candidates those that turn out to have enough; the others may come again */
static GmStatus
keep_pushable(Push *p, uint64_t *round, uint32_t *count)
{
	uint32_t	n = 0;

	for (uint32_t i = 0; i < *count; i++)
	{
		GmNode		v = (GmNode) (round[i] >> 32);
		Spot	   *s = &p->spot[v];
		bool		pushable;

		GM_TRY(is_pushable(p, v, &pushable));
		if (pushable)
			round[n++] = round[i];
		else
			set_above(p, s, arrived_at(p, s));
	}
	*count = n;
	return GM_OK;
}

/* everything that the last round made pushable */
static GmStatus
push_round(Push *p, uint64_t *round)
{
	uint32_t	n = p->queue_count;

	take_candidates(p, round);
	GM_TRY(keep_pushable(p, round, &n));
	gm_sort_by_id(&p->walk.graph->entity_id, round, n, round + n);
	for (uint32_t i = 0; i < n; i++)
	{
		if (p->walk.direct && i + AHEAD_RUNS < n)
			gm_walk_prefetch_runs(&p->walk, (GmNode) (round[i + AHEAD_RUNS] >> 32));
		if (p->walk.direct && i + AHEAD_ARCS < n)
			gm_walk_prefetch_arcs(&p->walk, (GmNode) (round[i + AHEAD_ARCS] >> 32));
		GM_TRY(push(p, (GmNode) (round[i] >> 32)));
	}
	return GM_OK;
}

/*
 * Whole sweeps until no node holds what it would be pushed with.  Each takes
 * at least 1 - damping of all residue away.
 */
static GmStatus
sweep(Push *p)
{
	uint32_t	n = p->walk.graph->root->gr_nodes;
	bool		again = true;
	GmRankOrder order;

	GM_TRY(gm_rank_order(p->walk.graph, GM_TIME_MAX, p->walk.scratch, &order));
	while (again)
	{
		for (uint32_t i = 0; i < order.n; i++)
		{
			GmNode		v = order.node == NULL ? i : order.node[i];

			if (p->spot[v].residue > 0)
				GM_TRY(push(p, v));
			p->queue_count = 0;
		}
		memset(p->queued, 0, gm_bit_words(n) * 8);
		again = false;
		for (GmNode v = 0; v < n && !again; v++)
		{
			if (p->spot[v].residue >= p->least)
				GM_TRY(is_pushable(p, v, &again));
		}
	}
	return GM_OK;
}

static GmStatus
ppr_begin(Push *p, const GmGraph *graph, const GmView *view, GmScratch *scratch,
		  const GmMass *seeds, uint32_t seed_count, const GmPprOpts *opts,
		  const GmInterrupt *intr)
{
	size_t		n = graph->root->gr_nodes;
	double		sum = 0;
	double		least = 1;

	p->damping = opts->damping;
	p->epsilon = opts->epsilon;
	gm_walk_begin(&p->walk, graph, view, scratch, intr);
	GM_TRY(gm_rank_weights(graph, scratch, &p->weights));
	p->by_records = p->walk.direct && p->weights == NULL;
	p->by_degree = p->by_records && gm_rank_loops_twice(&p->walk);
	GM_TRY(gm_rank_seeds(graph, scratch, seeds, seed_count, true, &p->seeds, &p->seed_count));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SPOT, n * sizeof(Spot), &p->spot));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_ENTRY, n * sizeof(Arrived), &p->arrived));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SETTLED, gm_bit_words((uint32_t) n) * 8, &p->queued));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_QUEUE, (n + 1) * sizeof(GmNode), &p->touched));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_QUEUE_B, (n + 1) * sizeof(uint64_t), &p->queue));
	p->touched_count = p->queue_count = p->arrived_count = p->fresh_count = 0;
	p->pushed = p->visible = 0;
	p->counted = 0;
	for (uint32_t i = 0; p->weights != NULL && i < graph->root->gr_predicates; i++)
	{
		if (p->weights[i] > 0 && p->weights[i] < least)
			least = p->weights[i];
	}
	p->push_from = p->epsilon * NEED_SLACK;
	p->least = p->push_from * least;
	for (uint32_t i = 0; i < p->seed_count; i++)
		sum += p->seeds[i].mass;
	if (isinf(sum))
		return GM_BAD_VALUE;
	for (uint32_t i = 0; i < p->seed_count; i++)
	{
		p->seeds[i].mass /= sum;
		add_residue(p, p->seeds[i].node, p->seeds[i].mass);
	}
	settle_fresh(p);
	return GM_OK;
}

/* a touched node's mass, and its by-node values zero again */
static inline double
take_mass(Push *p, GmNode v, double *left)
{
	Spot	   *s = &p->spot[v];

	/* the part of its residue that a node keeps for certain counts too */
	double		mass = (1 - p->damping) * s->residue;

	*left += s->residue;
	if (s->arrived != 0)
		mass += arrived_at(p, s)->mass;
	*s = (Spot) {0, 0, 0};
	return mass;
}

/* the list; if it is long, by going through all nodes in order */
static GmStatus
ppr_end(Push *p, GmMasses *result)
{
	uint32_t	nodes = p->walk.graph->root->gr_nodes;
	bool		all = p->touched_count > nodes / 4;
	double		left = 0;
	double		mass;
	uint32_t	n = 0;
	GmMass	   *list;

	GM_TRY(gm_scratch_get(p->walk.scratch, GM_BUF_MASS, (size_t) p->touched_count * sizeof(GmMass),
					   &list));
	for (GmNode v = 0; all && v < nodes; v++)
	{
		if (!is_untouched(p->spot[v].residue) && (mass = take_mass(p, v, &left)) > 0)
			list[n++] = (GmMass) {v, mass};
	}
	for (uint32_t i = 0; !all && i < p->touched_count; i++)
	{
		if (i + AHEAD_SPOTS < p->touched_count)
			gm_prefetch(&p->spot[p->touched[i + AHEAD_SPOTS]]);
		if ((mass = take_mass(p, p->touched[i], &left)) > 0)
			list[n++] = (GmMass) {p->touched[i], mass};
	}
	result->list = list;
	result->count = n;
	result->missing = p->damping * left;
	gm_walk_end(&p->walk);
	gm_scratch_end(p->walk.scratch);
	return GM_OK;
}

/*
 * Until sweeps are better.  What is not visible must not count: facts are, but
 * as few as it takes.
 */
static bool
may_push(Push *p)
{
	const GmGraph *g = p->walk.graph;
	GmView		view = {.as_of = p->walk.view.as_of, .known_at = p->walk.view.known_at};

	if (!p->walk.view.timed)
		p->visible = g->root->gr_current;
	else
		while (p->visible * 2 * SWEEP_AFTER + GM_INTERRUPT_EVERY <= p->pushed &&
			   p->counted < g->root->gr_slots)
			p->visible += gm_graph_visible(g, &view, p->counted++);
	return p->pushed < p->visible * 2 * SWEEP_AFTER + GM_INTERRUPT_EVERY;
}

GmStatus
gm_ppr(const GmGraph *graph, const GmView *view, GmScratch *scratch,
	   const GmMass *seeds, uint32_t seed_count, const GmPprOpts *opts,
	   const GmInterrupt *intr, GmMasses *result)
{
	Push		p;

	if (!(opts->damping >= 0 && opts->damping < 1) || !(opts->epsilon > 0))
		return GM_BAD_VALUE;
	gm_scratch_begin(scratch);
	GM_TRY(ppr_begin(&p, graph, view, scratch, seeds, seed_count, opts, intr));
	while (p.queue_count > 0 && may_push(&p))
	{
		uint64_t   *round;

		/* twice: the sort's room too */
		GM_TRY(gm_scratch_get(scratch, GM_BUF_SORT,
						   (size_t) p.queue_count * 2 * sizeof(uint64_t), &round));
		GM_TRY(push_round(&p, round));
	}
	if (p.queue_count > 0)
		GM_TRY(sweep(&p));
	return ppr_end(&p, result);
}
