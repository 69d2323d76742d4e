/*-------------------------------------------------------------------------
 *
 * rank.c
 *	  What the structure says about nodes: rank, nearness, components, proofs.
 *
 * Personalised PageRank is in ppr.c.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "core/rank.h"
#include "core/rank_private.h"
#include "core/traverse.h"

#define AHEAD_RUNS			12
#define AHEAD_ARCS			5
#define SAMPLES				1024	/* nodes asked for the largest component */

GmStatus
gm_rank_weights(const GmGraph *g, GmScratch *scratch, const float **weights)
{
	uint32_t	n = g->root->gr_predicates;
	float	   *w;

	*weights = NULL;
	if (!g->root->gr_weighted)
		return GM_OK;
	GM_TRY(gm_scratch_get(scratch, GM_BUF_WEIGHTS, (size_t) n * sizeof(float), &w));
	for (uint32_t i = 0; i < n; i++)
	{
		float		weight = gm_graph_predicate(g, i)->weight;

		w[i] = weight > 0 ? weight : 0;
	}
	*weights = w;
	return GM_OK;
}

GmStatus
gm_rank_seeds(const GmGraph *g, GmScratch *scratch, const GmMass *seeds, uint32_t count,
			  bool sum, GmMass **taken, uint32_t *taken_count)
{
	uint64_t   *keys;
	uint32_t	n = 0;

	GM_TRY(gm_scratch_get(scratch, GM_BUF_SORT, (size_t) count * 2 * sizeof(uint64_t), &keys));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SEEDS, (size_t) count * sizeof(GmMass), taken));
	for (uint32_t i = 0; i < count; i++)
	{
		if (!gm_walk_has(g, seeds[i].node) || !(seeds[i].mass > 0) || isinf(seeds[i].mass))
			return GM_BAD_VALUE;
		keys[i] = (uint64_t) seeds[i].node << 32 | i;
	}
	gm_sort_by_id(&g->entity_id, keys, count, keys + count);
	for (uint32_t i = 0; i < count; i++)
	{
		const GmMass *seed = &seeds[(uint32_t) keys[i]];
		GmMass	   *last = *taken + n - 1;

		if (n == 0 || last->node != seed->node)
			(*taken)[n++] = *seed;
		else if (sum)
			last->mass += seed->mass;
		else if (seed->mass > last->mass)
			last->mass = seed->mass;
	}
	*taken_count = n;
	return GM_OK;
}

GmStatus
gm_rank_order(const GmGraph *g, int64_t known_at, GmScratch *scratch, GmRankOrder *order)
{
	uint32_t	n = g->root->gr_live_nodes;
	uint32_t	count = 0;
	uint64_t   *keys;
	GmNode	   *node;
	uint32_t   *position;

	*order = (GmRankOrder) {n, NULL, NULL};
	if (g->root->gr_nodes_ascend && known_at == GM_TIME_MAX)
		return GM_OK;
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SORT, (size_t) n * 2 * sizeof(uint64_t), &keys));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_BY_ID, (size_t) n * sizeof(GmNode), &node));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_POSITION, (size_t) g->root->gr_nodes * sizeof(uint32_t),
					   &position));
	for (GmNode v = 0; v < g->root->gr_nodes; v++)
		if (gm_graph_node_live(g, v) && gm_graph_node_known(g, v, known_at))
			keys[count++] = (uint64_t) v << 32;
	gm_sort_by_id(&g->entity_id, keys, count, keys + n);
	for (uint32_t i = 0; i < count; i++)
	{
		node[i] = (GmNode) (keys[i] >> 32);
		position[node[i]] = i;
	}
	order->n = count;
	order->node = node;
	order->position = position;
	return GM_OK;
}

/*
 * PageRank
 */
typedef struct Csr
{
	GmRankOrder		order;
	uint64_t   *start;			/* by position, and one more */
	uint32_t   *from;			/* positions where the node's incoming arcs start */
	float	   *weight;			/* NULL: all 1 */
	double	   *degree;			/* by position: weight of its arcs out; once built,
								 * one by it, 0 for none */
	uint64_t	arcs;
} Csr;

static GmStatus
append_arcs(Csr *csr, const GmWalk *walk, const float *weights, GmNode node, const GmArcs *arcs)
{
	bool		twice = gm_rank_loops_twice(walk);
	uint64_t	room = csr->arcs + arcs->length[0] + arcs->length[1];

	GM_TRY(gm_scratch_get(walk->scratch, GM_BUF_CSR, (size_t) room * sizeof(uint32_t), &csr->from));
	if (weights != NULL)
		GM_TRY(gm_scratch_get(walk->scratch, GM_BUF_CSR_WEIGHT, (size_t) room * sizeof(float),
						   &csr->weight));
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs->length[half]; i++)
		{
			GmNode		from = arcs->neighbor[half][i];
			float		weight = weights == NULL ? 1 : weights[arcs->predicate[half][i]];

			if (weight == 0 || (half == 1 && twice && from == node))
				continue;
			if (weights != NULL)
				csr->weight[csr->arcs] = weight;
			if (gm_unlikely(csr->order.position != NULL))
				from = csr->order.position[from];
			csr->from[csr->arcs++] = from;
			csr->degree[from] += weight;
		}
	}
	return GM_OK;
}

/* arcs out of a node in the walking direction, which walk goes against */
static uint32_t
direct_degree(const GmWalk *walk, GmNode node)
{
	const GmNodeRuns *r = gm_array_at(&walk->graph->runs, node);

	if (walk->view.direction == GM_BOTH)
		return GM_ARRAY_U32(&walk->graph->degree, node);
	return walk->view.direction == GM_IN ? r->out.rn_length : r->in.rn_length;
}

/*
 * The same where arcs are the runs and all weigh the same, by copying: the
 * image knows the degrees.  Pulling from the runs themselves, without a copy,
 * takes twice as long an iteration: they lie between predicates and slots.
 */
static void
copy_arcs(Csr *csr, const GmWalk *walk, GmNode node, uint32_t at, const GmArcs *arcs)
{
	uint32_t   *to = csr->from + csr->arcs;
	uint32_t	loops = 0;

	csr->degree[at] = direct_degree(walk, node);
	if (walk->view.direction == GM_BOTH)
		loops = arcs->length[0] + arcs->length[1] - direct_degree(walk, node);
	for (int half = 0; half < 2; half++)
	{
		const GmNode *from = arcs->neighbor[half];

		/* each self-loop is in both halves: once is enough */
		for (uint32_t i = 0; i < arcs->length[half]; i++)
		{
			*to = gm_unlikely(csr->order.position != NULL) ? csr->order.position[from[i]] : from[i];
			to += half == 0 || loops == 0 || from[i] != node;
		}
	}
	csr->arcs = (uint64_t) (to - csr->from);
}

static GmStatus
build_csr(GmWalk *walk, Csr *csr)
{
	const GmGraph *g = walk->graph;
	const float *weights;
	uint32_t	n;

	memset(csr, 0, sizeof(*csr));
	GM_TRY(gm_rank_order(g, walk->view.known_at, walk->scratch, &csr->order));
	n = csr->order.n;
	GM_TRY(gm_rank_weights(g, walk->scratch, &weights));
	GM_TRY(gm_scratch_get(walk->scratch, GM_BUF_CSR_START, ((size_t) n + 1) * sizeof(uint64_t),
					   &csr->start));
	GM_TRY(gm_scratch_get(walk->scratch, GM_BUF_DEGREE, (size_t) n * sizeof(double), &csr->degree));
	memset(csr->degree, 0, (size_t) n * sizeof(double));
	if (walk->direct)
		GM_TRY(gm_scratch_get(walk->scratch, GM_BUF_CSR, (size_t) g->root->gr_current *
						   (walk->view.direction == GM_BOTH ? 2 : 1) * sizeof(GmNode) +
						   sizeof(GmNode), &csr->from));
	for (uint32_t i = 0; i < n; i++)
	{
		GmNode		node = csr->order.node == NULL ? i : csr->order.node[i];
		GmArcs		arcs;

		csr->start[i] = csr->arcs;
		if (walk->direct && csr->order.node == NULL && i + AHEAD_ARCS < n)
			gm_walk_prefetch_arcs(walk, i + AHEAD_ARCS);
		GM_TRY(gm_walk_arcs(walk, node, &arcs));
		if (walk->direct && weights == NULL)
			copy_arcs(csr, walk, node, i, &arcs);
		else
			GM_TRY(append_arcs(csr, walk, weights, node, &arcs));
		if (gm_walk_interrupted(walk))
			return GM_INTERRUPTED;
	}
	csr->start[n] = csr->arcs;
	for (uint32_t i = 0; i < n; i++)
		csr->degree[i] = csr->degree[i] > 0 ? 1 / csr->degree[i] : 0;
	return GM_OK;
}

static double
pull(const Csr *csr, const double *share, uint32_t at)
{
	uint64_t	end = csr->start[at + 1];
	double		sum = 0;

	if (csr->weight == NULL)
	{
		const uint32_t *from = csr->from + csr->start[at];
		uint64_t	n = end - csr->start[at];
		double		part[4] = {0, 0, 0, 0};
		uint64_t	i = 0;

		/* one sum would wait for each addition in turn */
		for (; i + 4 <= n; i += 4)
			for (int k = 0; k < 4; k++)
				part[k] += share[from[i + k]];
		for (; i < n; i++)
			part[0] += share[from[i]];
		sum = (part[0] + part[1]) + (part[2] + part[3]);
	}
	else
	{
		for (uint64_t i = csr->start[at]; i < end; i++)
			sum += share[csr->from[i]] * csr->weight[i];
	}
	return sum;
}

/* one iteration; the sum of absolute changes goes to *change */
static GmStatus
iterate(GmWalk *walk, const Csr *csr, double damping, double *rank, double *share,
		double *change)
{
	uint32_t	n = csr->order.n;
	double		lost = 0;
	double		base;

	for (uint32_t i = 0; i < n; i++)
	{
		share[i] = rank[i] * csr->degree[i];
		lost += csr->degree[i] > 0 ? 0 : rank[i];
	}
	base = (1 - damping + damping * lost) / n;
	*change = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		double		fresh = base + damping * pull(csr, share, i);

		*change += fabs(fresh - rank[i]);
		rank[i] = fresh;
		walk->work += 1 + csr->start[i + 1] - csr->start[i];
		if (gm_walk_interrupted(walk))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

/* spare has room for as many as there are positions */
static void
rank_by_node(const GmRankOrder *order, uint32_t nodes, double *rank, double *spare)
{
	if (order->node == NULL)
		return;
	memcpy(spare, rank, (size_t) order->n * sizeof(double));
	memset(rank, 0, (size_t) nodes * sizeof(double));
	for (uint32_t i = 0; i < order->n; i++)
		rank[order->node[i]] = spare[i];
}

GmStatus
gm_pagerank(const GmGraph *graph, const GmView *view, GmScratch *scratch,
			const GmPagerankOpts *opts, const GmInterrupt *intr, GmPagerank *result)
{
	uint32_t	nodes = graph->root->gr_nodes;
	uint32_t	n;
	GmView		reversed = *view;
	GmWalk		walk;
	Csr			csr;
	double	   *rank;
	double	   *share;

	if (!(opts->damping >= 0 && opts->damping < 1) || !(opts->tolerance > 0))
		return GM_BAD_VALUE;
	gm_scratch_begin(scratch);
	reversed.direction = gm_direction_reversed(view->direction);
	gm_walk_begin(&walk, graph, &reversed, scratch, intr);
	GM_TRY(gm_scratch_get(scratch, GM_BUF_RANK, (size_t) nodes * sizeof(double), &rank));
	GM_TRY(build_csr(&walk, &csr));
	n = csr.order.n;
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SHARE, (size_t) n * sizeof(double), &share));
	for (uint32_t i = 0; i < n; i++)
		rank[i] = 1.0 / n;
	result->iterations = 0;
	result->change = n > 0 ? INFINITY : 0;
	while (result->change >= opts->tolerance && result->iterations < opts->max_iterations)
	{
		gm_progress_at(intr, GM_PHASE_ITERATING, result->iterations, opts->max_iterations);
		GM_TRY(iterate(&walk, &csr, opts->damping, rank, share, &result->change));
		result->iterations++;
	}
	rank_by_node(&csr.order, nodes, rank, share);
	gm_walk_end(&walk);
	gm_scratch_end(scratch);
	result->rank = rank;
	return GM_OK;
}

/*
 * Nearness
 */
typedef struct Decay
{
	GmWalk		walk;
	double	   *score;			/* by node */
	uint64_t   *queued;
	GmNode	   *touched;
	uint32_t	touched_count;
	GmNode	   *queue;
	uint32_t	queue_count;
} Decay;

static inline void
raise_score(Decay *d, GmNode v, double score)
{
	if (score <= d->score[v])
		return;
	if (d->score[v] == 0)
		d->touched[d->touched_count++] = v;
	d->score[v] = score;
	if (!gm_bit_test(d->queued, v))
	{
		gm_bit_set(d->queued, v);
		d->queue[d->queue_count++] = v;
	}
}

/*
 * One hop more for the nodes whose score rose in the last one, each with the
 * score it had then: what rises in this hop spreads in the next.
 */
static GmStatus
decay_level(Decay *d, double decay, GmMass *level)
{
	uint32_t	n = d->queue_count;

	for (uint32_t i = 0; i < n; i++)
	{
		level[i] = (GmMass) {d->queue[i], d->score[d->queue[i]]};
		gm_bit_clear(d->queued, d->queue[i]);
	}
	d->queue_count = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		GmArcs		arcs;

		if (d->walk.direct && i + AHEAD_RUNS < n)
			gm_walk_prefetch_runs(&d->walk, level[i + AHEAD_RUNS].node);
		if (d->walk.direct && i + AHEAD_ARCS < n)
			gm_walk_prefetch_arcs(&d->walk, level[i + AHEAD_ARCS].node);
		GM_TRY(gm_walk_arcs(&d->walk, level[i].node, &arcs));
		for (int half = 0; half < 2; half++)
		{
			for (uint32_t k = 0; k < arcs.length[half]; k++)
				raise_score(d, arcs.neighbor[half][k], level[i].mass * decay);
		}
		if (gm_walk_interrupted(&d->walk))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

static GmStatus
decay_begin(Decay *d, const GmGraph *graph, const GmView *view, GmScratch *scratch,
			const GmMass *seeds, uint32_t seed_count, const GmInterrupt *intr)
{
	size_t		n = graph->root->gr_nodes;

	gm_walk_begin(&d->walk, graph, view, scratch, intr);
	d->touched_count = d->queue_count = 0;
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SCORE, n * sizeof(double), &d->score));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SETTLED, gm_bit_words((uint32_t) n) * 8, &d->queued));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_QUEUE, n * sizeof(GmNode), &d->touched));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_QUEUE_B, n * sizeof(GmNode), &d->queue));
	for (uint32_t i = 0; i < seed_count; i++)
	{
		if (!gm_walk_has(graph, seeds[i].node) || !(seeds[i].mass > 0) || isinf(seeds[i].mass))
			return GM_BAD_VALUE;
		raise_score(d, seeds[i].node, seeds[i].mass);
	}
	return GM_OK;
}

GmStatus
gm_hops_decay(const GmGraph *graph, const GmView *view, GmScratch *scratch,
			  const GmMass *seeds, uint32_t seed_count,
			  double decay, int max_hops, const GmInterrupt *intr, GmMasses *result)
{
	GmMass	   *list;
	Decay		d;

	if (max_hops < 0 || !(decay > 0 && decay <= 1))
		return GM_BAD_VALUE;
	gm_scratch_begin(scratch);
	GM_TRY(decay_begin(&d, graph, view, scratch, seeds, seed_count, intr));
	for (int hops = 0; hops < max_hops && d.queue_count > 0; hops++)
	{
		GM_TRY(gm_scratch_get(scratch, GM_BUF_ENTRY, (size_t) d.queue_count * sizeof(GmMass), &list));
		GM_TRY(decay_level(&d, decay, list));
	}
	GM_TRY(gm_scratch_get(scratch, GM_BUF_MASS, (size_t) d.touched_count * sizeof(GmMass), &list));
	for (uint32_t i = 0; i < d.touched_count; i++)
	{
		GmNode		v = d.touched[i];

		list[i] = (GmMass) {v, d.score[v]};
		d.score[v] = 0;
		gm_bit_clear(d.queued, v);
	}
	gm_walk_end(&d.walk);
	gm_scratch_end(scratch);
	result->list = list;
	result->count = d.touched_count;
	result->missing = 0;
	return GM_OK;
}

/*
 * Components
 */

/* hang the root with the larger number under the other; roots hang on themselves */
static void
join_nodes(GmNode *parent, GmNode u, GmNode v)
{
	GmNode		x = parent[u];
	GmNode		y = parent[v];

	while (x != y)
	{
		GmNode		high = x > y ? x : y;
		GmNode		low = x > y ? y : x;

		if (parent[high] == high)
		{
			parent[high] = low;
			return;
		}
		x = parent[high];
		parent[high] = parent[x];
		y = low;
	}
}

static void
flatten(GmNode *parent, uint32_t n)
{
	for (GmNode v = 0; v < n; v++)
	{
		while (parent[v] != parent[parent[v]])
			parent[v] = parent[parent[v]];
	}
}

static GmStatus
join_some(GmWalk *walk, GmNode *parent)
{
	for (GmNode v = 0; v < walk->graph->root->gr_nodes; v++)
	{
		GmArcs		arcs;

		GM_TRY(gm_walk_arcs(walk, v, &arcs));
		for (int half = 0; half < 2; half++)
		{
			if (arcs.length[half] > 0)
				join_nodes(parent, v, arcs.neighbor[half][arcs.length[half] / 2]);
		}
		walk->work -= arcs.length[0] + (uint64_t) arcs.length[1];
		walk->work += 4;
		if (gm_walk_interrupted(walk))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

/* the most frequent of evenly spaced nodes' roots, by majority vote */
static GmNode
likely_largest(const GmNode *parent, uint32_t n)
{
	GmNode		candidate = GM_NONE;
	uint32_t	votes = 0;

	for (uint32_t i = 0; i < SAMPLES; i++)
	{
		GmNode		root = parent[(uint64_t) n * i / SAMPLES];

		if (votes == 0)
			candidate = root;
		votes += root == candidate ? 1 : (uint32_t) -1;
	}
	return candidate;
}

/*
 * Edges of all nodes outside the component skip: an edge between the two is
 * met from the outer end.
 */
static GmStatus
join_rest(GmWalk *walk, GmNode *parent, GmNode skip)
{
	for (GmNode v = 0; v < walk->graph->root->gr_nodes; v++)
	{
		GmArcs		arcs;

		if (parent[v] == skip)
			continue;
		GM_TRY(gm_walk_arcs(walk, v, &arcs));
		for (int half = 0; half < 2; half++)
		{
			for (uint32_t i = 0; i < arcs.length[half]; i++)
				join_nodes(parent, v, arcs.neighbor[half][i]);
		}
		if (gm_walk_interrupted(walk))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

/* parent[v] is a root; make it the component's node of smallest id */
static GmStatus
name_components(const GmGraph *g, int64_t known_at, GmScratch *scratch, GmNode *parent,
				uint32_t *size, uint32_t *count)
{
	uint32_t	n = g->root->gr_nodes;
	GmNode	   *first;

	*count = 0;
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SORT, (size_t) n * sizeof(GmNode), &first));
	for (GmNode v = 0; v < n; v++)
	{
		first[v] = v;
		size[v] = 0;
	}
	for (GmNode v = 0; v < n; v++)
	{
		GmNode	   *name = &first[parent[v]];

		if (gm_graph_entity_id(g, v) < gm_graph_entity_id(g, *name))
			*name = v;
	}
	for (GmNode v = 0; v < n; v++)
	{
		parent[v] = first[parent[v]];
		if (gm_graph_node_live(g, v) && gm_graph_node_known(g, v, known_at))
			*count += size[parent[v]]++ == 0;
	}
	return GM_OK;
}

GmStatus
gm_components(const GmGraph *graph, const GmView *view, GmScratch *scratch,
			  const GmInterrupt *intr, GmComponents *result)
{
	uint32_t	n = graph->root->gr_nodes;
	GmView		undirected = *view;
	GmNode		largest = GM_NONE;
	GmNode	   *parent;
	uint32_t   *size;
	GmWalk		walk;

	gm_scratch_begin(scratch);
	undirected.direction = GM_BOTH;
	gm_walk_begin(&walk, graph, &undirected, scratch, intr);
	GM_TRY(gm_scratch_get(scratch, GM_BUF_COMPONENT, (size_t) n * sizeof(GmNode), &parent));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_COMPONENT_SIZE, (size_t) n * sizeof(uint32_t), &size));
	for (GmNode v = 0; v < n; v++)
		parent[v] = v;
	if (walk.direct && n > 0)
	{
		GM_TRY(join_some(&walk, parent));
		flatten(parent, n);
		largest = likely_largest(parent, n);
	}
	GM_TRY(join_rest(&walk, parent, largest));
	flatten(parent, n);
	GM_TRY(name_components(graph, view->known_at, scratch, parent, size, &result->count));
	gm_walk_end(&walk);
	gm_scratch_end(scratch);
	result->label = parent;
	result->size = size;
	return GM_OK;
}

/* where each component's members begin, by its label; how many there are in all */
static uint32_t
place_components(const GmMass *sorted, uint32_t count, uint64_t match_count, uint32_t *start)
{
	uint64_t	sum = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		start[sorted[i].node] = (uint32_t) sum;
		sum += (uint64_t) sorted[i].mass;
	}
	return sum < match_count ? (uint32_t) sum : (uint32_t) match_count;
}

GmStatus
gm_component_members(const GmGraph *graph, GmScratch *scratch, const GmComponents *components,
					 uint64_t min_size, uint64_t match_count, const GmInterrupt *intr,
					 const GmNode **members, uint32_t *member_count)
{
	uint32_t	n = graph->root->gr_nodes;
	uint32_t	count = 0;
	uint32_t   *start;
	GmMass	   *list;
	GmNode	   *found;
	const GmMass *sorted;
	uint32_t	sorted_count;
	GmRankOrder order;

	GM_TRY(gm_scratch_get(scratch, GM_BUF_CANDIDATES,
					   (size_t) components->count * sizeof(GmMass), &list));
	for (GmNode v = 0; v < n; v++)
	{
		if (components->size[v] > 0 && components->size[v] >= min_size)
			list[count++] = (GmMass) {v, components->size[v]};
	}
	/* no component is empty, so no more than match_count of them matter */
	GM_TRY(gm_best_masses(graph, scratch, list, count, NULL, match_count, intr, &sorted,
						  &sorted_count));
	GM_TRY(gm_rank_order(graph, GM_TIME_MAX, scratch, &order));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_QUEUE, (size_t) n * sizeof(uint32_t), &start));
	memset(start, 0xff, (size_t) n * sizeof(uint32_t));
	*member_count = place_components(sorted, sorted_count, match_count, start);
	GM_TRY(gm_scratch_get(scratch, GM_BUF_MEMBERS, (size_t) *member_count * sizeof(GmNode), &found));
	for (uint32_t i = 0; i < order.n; i++)
	{
		GmNode		v = order.node == NULL ? i : order.node[i];
		uint32_t   *at = &start[components->label[v]];

		if (*at < *member_count)
			found[(*at)++] = v;
	}
	*members = found;
	return GM_OK;
}

/*
 * Proofs
 */
typedef struct Label
{
	double		value;
	double		confidence;
	GmNode		node;
	GmSlot		slot;			/* from the label before */
	uint32_t	before;			/* GM_NONE: a seed */
	uint32_t	older;			/* the node's label of fewer hops, or GM_NONE */
	uint32_t	hops;
	bool		out;
} Label;

typedef struct Proofs
{
	GmWalk		walk;
	GmWalk		back;
	double		decay;
	Label	   *labels;
	uint32_t	count;
	uint32_t   *index;			/* by node: its latest label + 1 */
	uint64_t   *allowed;		/* NULL: all */
	uint64_t   *targets;
} Proofs;

/* is the step from label before over slot better than the label v has */
static bool
is_better(const Proofs *p, const Label *have, uint32_t hops, double value,
		  uint32_t before, GmSlot slot)
{
	const GmGraph *g = p->walk.graph;
	int64_t		id;
	int64_t		have_id;

	if (value != have->value || have->hops != hops)
		return value > have->value;
	id = gm_graph_entity_id(g, p->labels[before].node);
	have_id = gm_graph_entity_id(g, p->labels[have->before].node);
	if (id != have_id)
		return id < have_id;
	return GM_ARRAY_I64(&g->triple_id, slot) < GM_ARRAY_I64(&g->triple_id, have->slot);
}

/* one more label, or the node's label of this very hop replaced */
static GmStatus
put_label(Proofs *p, Label label)
{
	uint32_t	latest = p->index[label.node];

	label.older = latest == 0 ? GM_NONE : latest - 1;
	if (latest != 0 && p->labels[latest - 1].hops == label.hops)
	{
		label.older = p->labels[latest - 1].older;
		p->labels[latest - 1] = label;
		return GM_OK;
	}
	GM_TRY(gm_scratch_get(p->walk.scratch, GM_BUF_ENTRY, ((size_t) p->count + 1) * sizeof(Label),
					   &p->labels));
	p->labels[p->count] = label;
	p->index[label.node] = ++p->count;
	return GM_OK;
}

static GmStatus
try_step(Proofs *p, uint32_t before, GmNode v, GmSlot slot, bool out)
{
	const Label *from = &p->labels[before];
	uint32_t	latest = p->index[v];
	double		value = from->value * p->decay;
	double		confidence;

	/* before the confidence is fetched: it can only lower the value */
	if (latest != 0 && value < p->labels[latest - 1].value)
		return GM_OK;
	confidence = gm_graph_confidence(p->walk.graph, &p->walk.view, slot);
	value *= confidence;
	if (!(value > 0) ||
		(latest != 0 &&
		 !is_better(p, &p->labels[latest - 1], from->hops + 1, value, before, slot)))
		return GM_OK;
	return put_label(p, (Label) {value, from->confidence * confidence, v, slot, before,
					 GM_NONE, from->hops + 1, out});
}

/* steps from one label to the nodes of a bitmap (NULL: all) */
static GmStatus
step_forward(Proofs *p, uint32_t before, const uint64_t *bitmap)
{
	GmArcs		arcs;

	GM_TRY(gm_walk_arcs(&p->walk, p->labels[before].node, &arcs));
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			GmNode		v = arcs.neighbor[half][i];

			if (bitmap == NULL || gm_bit_test(bitmap, v))
				GM_TRY(try_step(p, before, v, arcs.slot[half][i], half == 0));
		}
	}
	return gm_walk_interrupted(&p->walk) ? GM_INTERRUPTED : GM_OK;
}

/* steps to one target from labels of the hop before */
static GmStatus
step_backward(Proofs *p, GmNode target, uint32_t hops)
{
	GmArcs		arcs;

	GM_TRY(gm_walk_arcs(&p->back, target, &arcs));
	for (int half = 0; half < 2; half++)
	{
		for (uint32_t i = 0; i < arcs.length[half]; i++)
		{
			uint32_t	at = p->index[arcs.neighbor[half][i]];

			if (at-- == 0)
				continue;
			if (p->labels[at].hops == hops)
				at = p->labels[at].older;
			if (at != GM_NONE && p->labels[at].hops == hops - 1)
				GM_TRY(try_step(p, at, target, arcs.slot[half][i], half == 1));
		}
	}
	return gm_walk_interrupted(&p->back) ? GM_INTERRUPTED : GM_OK;
}

static uint64_t
node_records(const GmGraph *g, GmNode node)
{
	const GmNodeRuns *r = gm_array_at(&g->runs, node);

	return (uint64_t) r->out.rn_length + r->in.rn_length;
}

/* the last hop needs to arrive at targets only: from the side with less to read */
static GmStatus
last_hop(Proofs *p, uint32_t start, const GmNode *targets, uint32_t target_count, uint32_t hops)
{
	const GmGraph *g = p->walk.graph;
	uint32_t	end = p->count;
	uint64_t	forward = 0;
	uint64_t	backward = 0;

	for (uint32_t i = start; i < end; i++)
		forward += node_records(g, p->labels[i].node);
	for (uint32_t i = 0; i < target_count && backward <= forward; i++)
		backward += node_records(g, targets[i]);
	if (backward < forward)
	{
		for (uint32_t i = 0; i < target_count; i++)
			GM_TRY(step_backward(p, targets[i], hops));
		return GM_OK;
	}
	for (uint32_t i = start; i < end; i++)
		GM_TRY(step_forward(p, i, p->targets));
	return GM_OK;
}

static GmStatus
proofs_begin(Proofs *p, const GmGraph *graph, const GmView *view, GmScratch *scratch,
			 const GmMass *seeds, uint32_t seed_count, const GmNode *targets,
			 uint32_t target_count, const GmProofOpts *opts, const GmInterrupt *intr)
{
	uint32_t	n = graph->root->gr_nodes;
	GmView		reversed = *view;

	memset(p, 0, sizeof(*p));
	p->decay = opts->decay;
	reversed.direction = gm_direction_reversed(view->direction);
	gm_walk_begin(&p->walk, graph, view, scratch, intr);
	gm_walk_begin(&p->back, graph, &reversed, scratch, intr);
	GM_TRY(gm_scratch_get(scratch, GM_BUF_INDEX, (size_t) n * sizeof(uint32_t), &p->index));
	GM_TRY(gm_scratch_get(scratch, GM_BUF_SETTLED, gm_bit_words(n) * 8, &p->targets));
	if (opts->allowed != NULL)
		GM_TRY(gm_scratch_get(scratch, GM_BUF_SEEN, gm_bit_words(n) * 8, &p->allowed));
	for (uint32_t i = 0; i < target_count; i++)
	{
		if (!gm_walk_has(graph, targets[i]))
			return GM_BAD_VALUE;
		gm_bit_set(p->targets, targets[i]);
		if (p->allowed != NULL)
			gm_bit_set(p->allowed, targets[i]);
	}
	for (uint32_t i = 0; p->allowed != NULL && i < opts->allowed_count; i++)
		gm_bit_set(p->allowed, opts->allowed[i].node);
	for (uint32_t i = 0; i < seed_count; i++)
	{
		if (p->allowed != NULL)
			gm_bit_set(p->allowed, seeds[i].node);
		GM_TRY(put_label(p, (Label) {seeds[i].mass, 1, seeds[i].node, GM_NONE, GM_NONE, GM_NONE,
					  0, false}));
	}
	return GM_OK;
}

static void
proofs_end(Proofs *p, const GmNode *targets, uint32_t target_count, const GmProofOpts *opts)
{
	for (uint32_t i = 0; i < target_count; i++)
	{
		p->targets[targets[i] >> 6] = 0;
		if (p->allowed != NULL)
			p->allowed[targets[i] >> 6] = 0;
	}
	for (uint32_t i = 0; p->allowed != NULL && i < opts->allowed_count; i++)
		p->allowed[opts->allowed[i].node >> 6] = 0;
	for (uint32_t i = 0; i < p->count; i++)
	{
		p->index[p->labels[i].node] = 0;
		if (p->allowed != NULL)
			p->allowed[p->labels[i].node >> 6] = 0;
	}
	gm_walk_end(&p->walk);
	gm_walk_end(&p->back);
	gm_scratch_end(p->walk.scratch);
}

static void
write_steps(const Proofs *p, uint32_t label, GmPathStep *steps)
{
	for (uint32_t i = p->labels[label].hops + 1; i-- > 0; label = p->labels[label].before)
		steps[i] = (GmPathStep) {p->labels[label].node, p->labels[label].slot,
								 p->labels[label].out};
}

static GmStatus
write_proofs(Proofs *p, const GmNode *targets, uint32_t target_count, const GmProof **proofs)
{
	size_t		total = 0;
	GmProof    *result;
	GmPathStep *steps;

	for (uint32_t i = 0; i < target_count; i++)
	{
		uint32_t	label = p->index[targets[i]];

		total += label == 0 ? 0 : (size_t) p->labels[label - 1].hops + 1;
	}
	GM_TRY(gm_scratch_get(p->walk.scratch, GM_BUF_PROOF, (size_t) target_count * sizeof(GmProof),
					   &result));
	GM_TRY(gm_scratch_get(p->walk.scratch, GM_BUF_PROOF_STEPS, total * sizeof(GmPathStep), &steps));
	for (uint32_t i = 0; i < target_count; i++)
	{
		uint32_t	label = p->index[targets[i]];

		result[i] = (GmProof) {-1, 0, 0, NULL};
		if (label-- == 0)
			continue;
		result[i] = (GmProof) {(int) p->labels[label].hops, p->labels[label].confidence,
							   p->labels[label].value, steps};
		write_steps(p, label, steps);
		steps += p->labels[label].hops + 1;
	}
	*proofs = result;
	return GM_OK;
}

GmStatus
gm_best_paths(const GmGraph *graph, const GmView *view, GmScratch *scratch,
			  const GmMass *seeds, uint32_t seed_count,
			  const GmNode *targets, uint32_t target_count,
			  const GmProofOpts *opts, const GmInterrupt *intr, const GmProof **proofs)
{
	GmMass	   *taken;
	uint32_t	taken_count;
	uint32_t	start = 0;
	Proofs		p;

	if (opts->max_hops < 0 || !(opts->decay > 0 && opts->decay <= 1))
		return GM_BAD_VALUE;
	gm_scratch_begin(scratch);
	GM_TRY(gm_rank_seeds(graph, scratch, seeds, seed_count, false, &taken, &taken_count));
	GM_TRY(proofs_begin(&p, graph, view, scratch, taken, taken_count, targets, target_count, opts,
					 intr));
	for (int hops = 1; hops <= opts->max_hops && start < p.count; hops++)
	{
		uint32_t	end = p.count;

		if (hops == opts->max_hops)
			GM_TRY(last_hop(&p, start, targets, target_count, (uint32_t) hops));
		for (uint32_t i = start; i < end && hops < opts->max_hops; i++)
			GM_TRY(step_forward(&p, i, p.allowed));
		start = end;
	}
	GM_TRY(write_proofs(&p, targets, target_count, proofs));
	proofs_end(&p, targets, target_count, opts);
	return GM_OK;
}
