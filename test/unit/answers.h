/*-------------------------------------------------------------------------
 *
 * answers.h
 *	  Two images give the same answers: every kind of query run over both, the
 *	  results compared by ids, floats bit by bit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_TEST_ANSWERS_H
#define GM_TEST_ANSWERS_H

#include "core/fusion.h"
#include "core/graph.h"
#include "core/graph_compare.h"
#include "core/rank.h"
#include "core/scratch.h"
#include "core/traverse.h"
#include "unit.h"

#define ANSWERS_NODES	256

typedef struct Pair
{
	GmGraph    *g[2];			/* one that was changed, one freshly built */
	GmScratch  *scratch[2];
	GmNode		node[2][ANSWERS_NODES]; /* by order of id */
	uint32_t	nodes;
	GmView		view[2];
	uint8_t		predicates[2][64];
	const char *what;
	bool		late;			/* the clock has passed the changed one's next flip */
} Pair;

static inline bool
same_bits(double a, double b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

static inline int64_t
entity_of(const GmGraph *g, GmNode node)
{
	return node == GM_NONE ? -999 : gm_graph_entity_id(g, node);
}

static inline int64_t
triple_of(const GmGraph *g, GmSlot slot)
{
	return slot == GM_NONE ? -999 : GM_ARRAY_I64(&g->triple_id, slot);
}

static inline void
answers_complain(void *arg, const char *what, uint64_t where)
{
	printf("# %s: %s at %" PRIu64 "\n", (const char *) arg, what, where);
}

static inline void
answers_differ(void *arg, const char *what, int64_t id, const char *detail)
{
	printf("# %s: %s of %" PRId64 " %s\n", (const char *) arg, what, id,
		   detail == NULL ? "" : detail);
	unit_check(false, __FILE__, __LINE__, "images hold the same");
}

static inline int
compare_entity_ids(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (x[0] > y[0]) - (x[0] < y[0]);
}

static inline uint32_t
nodes_by_id(const GmGraph *g, GmNode *node)
{
	int64_t		ids[ANSWERS_NODES][2];
	uint32_t	n = 0;

	for (GmNode v = 0; v < g->root->gr_nodes && n < ANSWERS_NODES; v++)
		if (gm_graph_node_live(g, v))
		{
			ids[n][0] = gm_graph_entity_id(g, v);
			ids[n++][1] = v;
		}
	qsort(ids, n, sizeof(ids[0]), compare_entity_ids);
	for (uint32_t i = 0; i < n; i++)
		node[i] = (GmNode) ids[i][1];
	return n;
}

static inline void
compare_roots(const Pair *p)
{
	const GmGraphRoot *a = p->g[0]->root;
	const GmGraphRoot *b = p->g[1]->root;

	CHECK(a->gr_live_nodes == b->gr_live_nodes);
	CHECK(a->gr_live_slots == b->gr_live_slots);
	CHECK(a->gr_live_predicates == b->gr_live_predicates);
	CHECK(a->gr_live_sources == b->gr_live_sources);
	CHECK(a->gr_live_assertions == b->gr_live_assertions);
	CHECK(a->gr_live_aliases == b->gr_live_aliases);
	CHECK(a->gr_symmetric == b->gr_symmetric);
	CHECK(a->gr_weighted == b->gr_weighted);
	if (p->late)
		return;
	CHECK(a->gr_current == b->gr_current);
	CHECK(a->gr_history == b->gr_history);
	if (!CHECK(a->gr_built_at == b->gr_built_at) || !CHECK(a->gr_next_flip == b->gr_next_flip))
		printf("# %s: current from %" PRId64 " to %" PRId64 ", not %" PRId64 " to %" PRId64 "\n",
			   p->what, a->gr_built_at, a->gr_next_flip, b->gr_built_at, b->gr_next_flip);
}

static inline bool
pair_begin(Pair *p)
{
	static GmScratch *scratch[2];

	for (int i = 0; i < 2; i++)
	{
		if (scratch[i] == NULL && gm_scratch_create(0, &scratch[i]) != GM_OK)
			return false;
		p->scratch[i] = scratch[i];
	}
	p->nodes = nodes_by_id(p->g[0], p->node[0]);
	if (!CHECK(p->nodes == nodes_by_id(p->g[1], p->node[1])))
		return false;
	for (uint32_t i = 0; i < p->nodes; i++)
		if (!CHECK(entity_of(p->g[0], p->node[0][i]) == entity_of(p->g[1], p->node[1][i])))
			return false;
	return true;
}

/* a random view, the same over both */
static inline void
pair_view(Pair *p, int64_t now)
{
	GmDirection direction = (GmDirection) (1 + unit_random_below(3));
	int64_t		as_of = unit_random_below(3) ? now : 80 + unit_random_below(140);
	int64_t		known_at = unit_random_below(4) ? GM_TIME_MAX : unit_random_below(160);
	float		confidence = unit_random_below(3) ? 0 : 0.405f;
	bool		some = unit_random_below(3) == 0;
	uint64_t	allowed = unit_random();

	for (int i = 0; i < 2; i++)
	{
		const GmGraph *g = p->g[i];

		gm_view_init(g, now, &p->view[i]);
		p->view[i].direction = direction;
		p->view[i].as_of = as_of;
		p->view[i].known_at = known_at;
		p->view[i].min_confidence = confidence;
		memset(p->predicates[i], 0, sizeof(p->predicates[i]));
		for (uint32_t k = 0; k < g->root->gr_predicates; k++)
			if (gm_graph_predicate_live(g, k))
				p->predicates[i][k] = allowed >> ((uint64_t) gm_graph_predicate(g, k)->predicate_id / 10 % 64) & 1;
		if (some)
			p->view[i].predicates = p->predicates[i];
		gm_view_settle(g, &p->view[i]);
	}
	/* the latest time of all may be later in an image that was changed */
	CHECK(p->late || known_at != GM_TIME_MAX || p->view[0].timed == p->view[1].timed);
}

static inline void
compare_edges(const Pair *p)
{
	/* which of them come first, current ones, is not the same then */
	if (p->late)
		return;
	for (uint32_t v = 0; v < p->nodes; v++)
	{
		GmEdgeIter	iter[2];
		GmEdge		edge[2];
		bool		more[2];

		for (int i = 0; i < 2; i++)
			gm_edges_begin(&iter[i], p->g[i], &p->view[i], p->node[i][v]);
		do
		{
			for (int i = 0; i < 2; i++)
				more[i] = gm_edges_next(&iter[i], &edge[i]);
			if (!CHECK(more[0] == more[1]) || !more[0] || !more[1])
				break;
			CHECK(triple_of(p->g[0], edge[0].slot) == triple_of(p->g[1], edge[1].slot));
			CHECK(entity_of(p->g[0], edge[0].neighbor) == entity_of(p->g[1], edge[1].neighbor));
			CHECK(edge[0].out == edge[1].out);
			CHECK(same_bits(gm_graph_confidence(p->g[0], &p->view[0], edge[0].slot),
							gm_graph_confidence(p->g[1], &p->view[1], edge[1].slot)));
		} while (more[0]);
	}
}

static inline void
compare_reach(const Pair *p)
{
	for (uint32_t v = 0; v < p->nodes; v += 1 + unit_random_below(6))
	{
		uint64_t	count[2];
		uint64_t	sum[2];
		int			hops = (int) unit_random_below(5);

		for (int i = 0; i < 2; i++)
			CHECK(gm_reach(p->g[i], &p->view[i], p->scratch[i], p->node[i][v], hops, NULL,
						   &count[i], &sum[i]) == GM_OK);
		CHECK(count[0] == count[1] && sum[0] == sum[1]);
	}
}

static inline void
pick_seeds(const Pair *p, GmNode seeds[2][4], uint32_t *n)
{
	*n = 1 + unit_random_below(3);
	for (uint32_t k = 0; k < *n; k++)
	{
		uint32_t	v = unit_random_below(p->nodes);

		seeds[0][k] = p->node[0][v];
		seeds[1][k] = p->node[1][v];
	}
}

static inline void
compare_traverse(const Pair *p)
{
	GmTraverseOpts opts = {.max_hops = 3, .depth_first = unit_random_below(2),
	.match_count = unit_random_below(2) ? GM_ALL_ROWS : 7};
	GmTraversal t[2];
	GmNode		seeds[2][4];
	uint32_t	n;
	const GmSubgraphRow *rows[2];
	uint64_t	count[2];

	pick_seeds(p, seeds, &n);
	for (int i = 0; i < 2; i++)
		CHECK(gm_traverse(p->g[i], &p->view[i], p->scratch[i], seeds[i], n, &opts, NULL,
						  &t[i]) == GM_OK);
	CHECK(t[0].order_count == t[1].order_count);
	for (uint32_t k = 0; k < t[0].order_count && k < t[1].order_count; k++)
	{
		const GmTraverseRow *a = &t[0].rows[t[0].order[k]];
		const GmTraverseRow *b = &t[1].rows[t[1].order[k]];

		CHECK(entity_of(p->g[0], a->node) == entity_of(p->g[1], b->node));
		CHECK(a->hops == b->hops && a->out == b->out && a->parent == b->parent);
		CHECK(triple_of(p->g[0], a->slot) == triple_of(p->g[1], b->slot));
	}
	for (int i = 0; i < 2; i++)
		CHECK(gm_subgraph(p->g[i], &p->view[i], p->scratch[i], seeds[i], n, 2, 40, NULL,
						  &rows[i], &count[i]) == GM_OK);
	CHECK(count[0] == count[1]);
	for (uint64_t k = 0; k < count[0] && k < count[1]; k++)
		CHECK(rows[0][k].hops == rows[1][k].hops &&
			  triple_of(p->g[0], rows[0][k].slot) == triple_of(p->g[1], rows[1][k].slot));
}

static inline void
compare_steps(const Pair *p, const GmPathStep *a, const GmPathStep *b, uint32_t hops)
{
	for (uint32_t i = 0; i <= hops; i++)
		CHECK(entity_of(p->g[0], a[i].node) == entity_of(p->g[1], b[i].node) &&
			  triple_of(p->g[0], a[i].slot) == triple_of(p->g[1], b[i].slot) &&
			  a[i].out == b[i].out);
}

static inline void
compare_paths(const Pair *p)
{
	for (int round = 0; round < 6; round++)
	{
		uint32_t	a = unit_random_below(p->nodes);
		uint32_t	b = unit_random_below(p->nodes);
		GmPathOpts	opts = {unit_random_below(2), (int) unit_random_below(6) - 1, 0};
		GmPath		path[2];
		bool		found[2];
		const GmPath *paths[2];
		uint32_t	count[2];
		bool		complete[2];

		for (int i = 0; i < 2; i++)
			CHECK(gm_shortest_path(p->g[i], &p->view[i], p->scratch[i], p->node[i][a],
								   p->node[i][b], &opts, NULL, &path[i], &found[i]) == GM_OK);
		if (!CHECK(found[0] == found[1]))
			continue;
		if (found[0] && CHECK(path[0].hops == path[1].hops))
		{
			CHECK(same_bits(path[0].cost, path[1].cost));
			compare_steps(p, path[0].steps, path[1].steps, path[0].hops);
		}
		for (int i = 0; i < 2; i++)
			CHECK(gm_paths(p->g[i], &p->view[i], p->scratch[i], p->node[i][a], p->node[i][b], 3,
						   &opts, NULL, &paths[i], &count[i], &complete[i]) == GM_OK);
		if (CHECK(count[0] == count[1]))
			for (uint32_t k = 0; k < count[0]; k++)
				if (CHECK(paths[0][k].hops == paths[1][k].hops))
					compare_steps(p, paths[0][k].steps, paths[1][k].steps, paths[0][k].hops);
	}
}

static inline void
compare_masses(const Pair *p, const GmMasses *a, const GmMasses *b)
{
	double		mass[2][ANSWERS_NODES] = {{0}, {0}};
	const GmMasses *m[2] = {a, b};

	CHECK(a->count == b->count);
	for (int i = 0; i < 2; i++)
		for (uint32_t k = 0; k < m[i]->count; k++)
			for (uint32_t v = 0; v < p->nodes; v++)
				if (p->node[i][v] == m[i]->list[k].node)
					mass[i][v] = m[i]->list[k].mass;
	for (uint32_t v = 0; v < p->nodes; v++)
		if (!CHECK(same_bits(mass[0][v], mass[1][v])))
			printf("# %s: mass of %" PRId64 " is %.17g, not %.17g\n", p->what,
				   entity_of(p->g[0], p->node[0][v]), mass[0][v], mass[1][v]);
}

static inline void
compare_ranks(const Pair *p)
{
	static const double epsilons[] = {1e-2, 1e-4, 1e-9};
	GmPagerankOpts opts = {0.85, 1e-9, 30};
	GmPprOpts	ppr = {0.8, epsilons[unit_random_below(3)]};
	GmPagerank	rank[2];
	GmComponents components[2];
	GmMasses	masses[2];
	GmMass		seeds[2][4];
	GmNode		nodes[2][4];
	uint32_t	n;

	for (int i = 0; i < 2; i++)
		CHECK(gm_pagerank(p->g[i], &p->view[i], p->scratch[i], &opts, NULL, &rank[i]) == GM_OK);
	CHECK(rank[0].iterations == rank[1].iterations);
	for (uint32_t v = 0; v < p->nodes; v++)
		if (!CHECK(same_bits(rank[0].rank[p->node[0][v]], rank[1].rank[p->node[1][v]])))
			break;
	pick_seeds(p, nodes, &n);
	for (uint32_t k = 0; k < n; k++)
	{
		seeds[0][k] = (GmMass) {nodes[0][k], 1.0 + unit_random_below(3)};
		seeds[1][k] = (GmMass) {nodes[1][k], seeds[0][k].mass};
	}
	for (int i = 0; i < 2; i++)
		CHECK(gm_ppr(p->g[i], &p->view[i], p->scratch[i], seeds[i], n, &ppr, NULL,
					 &masses[i]) == GM_OK);
	compare_masses(p, &masses[0], &masses[1]);
	for (int i = 0; i < 2; i++)
		CHECK(gm_hops_decay(p->g[i], &p->view[i], p->scratch[i], seeds[i], n, 0.7, 3, NULL,
							&masses[i]) == GM_OK);
	compare_masses(p, &masses[0], &masses[1]);
	for (int i = 0; i < 2; i++)
		CHECK(gm_components(p->g[i], &p->view[i], p->scratch[i], NULL, &components[i]) == GM_OK);
	if (!CHECK(components[0].count == components[1].count))
		printf("# %s: %u components, not %u\n", p->what, components[0].count, components[1].count);
	for (uint32_t v = 0; v < p->nodes; v++)
	{
		GmNode		a = components[0].label[p->node[0][v]];
		GmNode		b = components[1].label[p->node[1][v]];

		CHECK(entity_of(p->g[0], a) == entity_of(p->g[1], b));
		CHECK(components[0].size[a] == components[1].size[b]);
	}
}

/* kept until the next question */
static char *answers_memory;
static size_t answers_used;

static inline void *
answers_alloc(void *arg, size_t bytes)
{
	void	   *p;

	(void) arg;
	if (answers_memory == NULL)
		answers_memory = malloc((size_t) 16 << 20);
	bytes = (bytes + 15) / 16 * 16;
	if (answers_memory == NULL || answers_used + bytes > (size_t) 16 << 20)
		return NULL;
	p = answers_memory + answers_used;
	answers_used += bytes;
	return p;
}

static inline void
compare_fusion(Pair *p)
{
	float		vector[16] = {1, -0.5f, 2, 0.25f};
	uint32_t	match_count = 1 + unit_random_below(12);
	uint32_t	n = 1 + unit_random_below(6);
	uint32_t	at[8];
	GmFusionMemory memory = {answers_alloc, NULL};
	const GmFusionRow *rows[2];
	uint32_t	count[2];
	bool		by_hops = unit_random_below(2);
	bool		by_topology = unit_random_below(2);
	int			max_hops = 1 + (int) unit_random_below(3);

	answers_used = 0;
	for (uint32_t k = 0; k < n; k++)
		at[k] = unit_random_below(p->nodes);
	for (int i = 0; i < 2; i++)
	{
		GmFusionHit hits[8];
		GmFusionList list = {GM_FUSION_TEXT, 1, hits, n};
		GmSpaceQuery query;
		GmFusionOpts opts = {
			.lists = &list, .list_count = 1, .text_asked = true, .text_weight = 0.5,
			.graph_weight = 1, .confidence_weight = 0.25, .recency_weight = 0.1,
			.vector_weight = 1, .vector_candidates = 5, .rrf_k = 20, .damping = 0.6,
			.by_hops = by_hops, .epsilon = 1e-5, .max_hops = max_hops, .match_count = match_count,
			.now = 1000
		};

		for (uint32_t k = 0; k < n; k++)
			hits[k] = (GmFusionHit) {p->node[i][at[k]], k + 1, 1.0f / (float) (k + 2), 1, GM_NONE};
		for (uint32_t s = 0; s < gm_graph_spaces(p->g[i]); s++)
		{
			if (gm_graph_space_info(p->g[i], s)->target != 'e')
				continue;
			opts.space = gm_graph_space(p->g[i], s);
			if (!CHECK(opts.space != NULL) ||
				!CHECK(gm_space_prepare(opts.space, vector, &query) == GM_OK))
				return;
			opts.vector = &query;
			opts.vector_asked = true;
			opts.topology = opts.space;
			opts.topology_asked = by_topology;
			opts.topology_weight = 0.5;
		}
		CHECK(gm_fusion(p->g[i], &p->view[i], p->scratch[i], &opts, &memory, NULL, &rows[i],
						&count[i]) == GM_OK);
	}
	if (!CHECK(count[0] == count[1]))
		return;
	for (uint32_t k = 0; k < count[0]; k++)
	{
		const GmFusionRow *a = &rows[0][k];
		const GmFusionRow *b = &rows[1][k];

		CHECK(entity_of(p->g[0], a->node) == entity_of(p->g[1], b->node));
		CHECK(same_bits(a->score, b->score));
		CHECK(same_bits(a->topology_score, b->topology_score) ||
			  (isnan(a->topology_score) && isnan(b->topology_score)));
		CHECK(same_bits(a->confidence, b->confidence));
		if (CHECK(a->hops == b->hops))
			compare_steps(p, a->steps, b->steps, (uint32_t) a->hops);
		if (CHECK(a->source_count == b->source_count))
			for (uint32_t s = 0; s < a->source_count; s++)
				CHECK(gm_graph_source(p->g[0], a->sources[s])->source_id ==
					  gm_graph_source(p->g[1], b->sources[s])->source_id);
	}
}

static inline void
compare_spaces(Pair *p)
{
	GmCompare	compare = {answers_differ, (void *) p->what, NULL};

	if (!CHECK(gm_graph_spaces(p->g[0]) == gm_graph_spaces(p->g[1])))
		return;
	for (uint32_t s = 0; s < gm_graph_spaces(p->g[0]); s++)
	{
		const GmGraphSpace *info = gm_graph_space_info(p->g[0], s);
		const GmGraphSpace *other = gm_graph_space_info(p->g[1], s);
		const GmString *a = gm_graph_string(p->g[0], info->name);
		const GmString *b = gm_graph_string(p->g[1], other->name);
		GmSpace    *space[2] = {gm_graph_space(p->g[0], s), gm_graph_space(p->g[1], s)};
		float		vector[16];
		GmSpaceHit	hits[2][16];
		uint32_t	found[2];

		CHECK(info->space_id == other->space_id && info->target == other->target &&
			  info->dim == other->dim && info->metric == other->metric);
		CHECK(info->computed == other->computed && info->computing == other->computing);
		CHECK(!info->unread);
		CHECK(a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0);
		if (!CHECK(space[0] != NULL && space[1] != NULL))
			return;
		CHECK(gm_space_compare(p->g[0], space[0], p->g[1], space[1], info->target,
							   &compare) == GM_OK);
		for (uint32_t k = 0; k < info->dim; k++)
			vector[k] = (float) unit_random_below(7) - 3 + 0.25f;
		for (int i = 0; i < 2; i++)
		{
			GmSpaceQuery query;

			CHECK(gm_space_prepare(space[i], vector, &query) == GM_OK);
			CHECK(gm_space_search(space[i], &query, 16, NULL, NULL, hits[i], &found[i]) == GM_OK);
		}
		if (CHECK(found[0] == found[1]))
			for (uint32_t k = 0; k < found[0]; k++)
				CHECK(gm_space_item_id(space[0], hits[0][k].row) ==
					  gm_space_item_id(space[1], hits[1][k].row) &&
					  same_bits(hits[0][k].distance, hits[1][k].distance));
	}
}

static inline void
compare_facts(const Pair *p)
{
	for (GmSlot slot = 0; slot < p->g[1]->root->gr_slots; slot++)
	{
		int64_t		fact_id = GM_ARRAY_I64(&p->g[1]->fact_id, slot);

		CHECK(triple_of(p->g[0], gm_graph_visible_version(p->g[0], &p->view[0], fact_id)) ==
			  triple_of(p->g[1], gm_graph_visible_version(p->g[1], &p->view[1], fact_id)));
		CHECK(triple_of(p->g[0], gm_graph_latest_version(p->g[0], fact_id)) ==
			  triple_of(p->g[1], gm_graph_latest_version(p->g[1], fact_id)));
	}
}

/* is image what truth is; returns whether they were found alike */
static inline bool
same_answers(GmGraph *image, GmGraph *truth, int64_t now, int views, const char *what)
{
	unsigned long before = unit_failures;
	Pair		p = {.g = {image, truth}, .what = what, .late = now >= image->root->gr_next_flip};
	GmCompare	compare = {answers_differ, (void *) what, NULL};

	CHECK(gm_graph_check(image, answers_complain, (void *) what) == 0);
	CHECK(gm_graph_check(truth, answers_complain, (void *) "fresh") == 0);
	compare_roots(&p);
	CHECK(gm_graph_compare(image, truth, now > image->root->gr_built_at ? now :
						   image->root->gr_built_at, &compare) == GM_OK);
	if (unit_failures != before || !pair_begin(&p))
		return false;
	for (int v = 0; v < views; v++)
	{
		pair_view(&p, now);
		compare_edges(&p);
		compare_facts(&p);
		if (p.nodes == 0)
			continue;
		compare_reach(&p);
		compare_traverse(&p);
		compare_paths(&p);
		compare_ranks(&p);
		compare_fusion(&p);
	}
	compare_spaces(&p);
	return unit_failures == before;
}

#endif							/* GM_TEST_ANSWERS_H */
