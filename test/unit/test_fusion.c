/*-------------------------------------------------------------------------
 *
 * test_fusion.c
 *	  fusion.c against an oracle that scores every node by brute force.
 *
 * The oracle shares the definition in fusion.h and nothing else: matrices for
 * the walk, Bellman-Ford by layers for the paths, loops over all nodes.
 *
 * What must hold
 *	 rows		the match_count best candidates by (score, entity id), each leg
 *				and the score within TOLERANCE of the oracle's
 *	 paths		start at a seed, follow visible triples, end at the row, have
 *				the best value (cut off early: none better)
 *	 guarantee	match_count rows whenever that many candidates exist, also
 *				where the walk is cut off early
 *	 weights	a leg of weight 0 is NaN and changes nothing
 *	 topology	vectors are compared with the mean of the hits'; whoever is nearest is
 *				a seed and a candidate, with its best path; absent where no hit has
 *				a vector
 *
 *-------------------------------------------------------------------------
 */
#include "core/fusion.h"
#include "core/rank.h"
#include "unit.h"

#define MAX_NODES		48
#define MAX_EDGES		160
#define DIM				5
#define TOPOLOGY_DIM	3
#define TOLERANCE		1e-5
#define ROUNDING		1e-6
#define DAY				(INT64_C(86400) * 1000000)
#define NOW				(1000 * DAY)

__attribute__((constructor)) static void
choose_kernels(void)
{
	(void) gm_vec_choose(GM_SIMD_AUTO);
}

typedef struct Edge
{
	uint32_t	s,
				p,
				o;
	float		confidence;
	int64_t		recorded_at;
} Edge;

typedef struct World
{
	uint32_t	n;
	uint32_t	m;
	Edge		edge[MAX_EDGES];
	bool		has_vector[MAX_NODES];
	float		vector[MAX_NODES][DIM];
	bool		has_topology[MAX_NODES];
	float		topology[MAX_NODES][TOPOLOGY_DIM];
	GmMem	   *mem;
	GmGraph    *graph;
	GmSpace    *space;
	GmSpace    *shape;			/* of the vectors by topology */
	GmScratch  *scratch;
	void	   *blocks[4000];
	uint32_t	n_blocks;
	bool		refuse;
} World;

static void *
give(void *arg, size_t bytes)
{
	World	   *w = arg;

	if (w->refuse || w->n_blocks == 4000)
		return NULL;
	return w->blocks[w->n_blocks++] = malloc(bytes);
}

static void
free_blocks(World *w)
{
	while (w->n_blocks > 0)
		free(w->blocks[--w->n_blocks]);
}

/* node i has the entity id 10 + 3 i, edge i the fact and triple id 100 + i */
static bool
make_world(World *w, uint32_t n, uint32_t m)
{
	GmTimes		times = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	char		name[20];

	memset(w, 0, sizeof(*w));
	w->n = n;
	w->m = m;
	if (!CHECK(gm_mem_create(4096, 0, NULL, &w->mem) == GM_OK) ||
		!CHECK(gm_graph_create(w->mem, &w->graph) == GM_OK) ||
		!CHECK(gm_scratch_create(0, &w->scratch) == GM_OK) ||
		!CHECK(gm_space_create(w->mem, DIM, GM_METRIC_COSINE, &w->space) == GM_OK) ||
		!CHECK(gm_space_create(w->mem, TOPOLOGY_DIM, GM_METRIC_COSINE, &w->shape) == GM_OK))
		return false;
	for (uint32_t i = 0; i < 3; i++)
	{
		snprintf(name, sizeof(name), "p%u", i);
		CHECK(gm_graph_add_predicate(w->graph, 1 + i, name, 2, false, false, 1) == GM_OK);
		snprintf(name, sizeof(name), "c%u", i);
		CHECK(gm_graph_add_source(w->graph, 1 + i, name, 2, NULL, 0, NULL, 0, 1) == GM_OK);
	}
	for (uint32_t i = 0; i < n; i++)
	{
		snprintf(name, sizeof(name), "n%u", i);
		CHECK(gm_graph_add_entity(w->graph, 10 + 3 * (int64_t) i, name, (uint32_t) strlen(name),
								  NULL, 0, NULL, 0) == GM_OK);
	}
	for (uint32_t i = 0; i < m; i++)
	{
		Edge	   *e = &w->edge[i];

		e->s = unit_random_below(n);
		e->o = unit_random_below(n);
		e->p = unit_random_below(3);
		e->confidence = (float) (0.2 + 0.8 * unit_random_double());
		e->recorded_at = NOW - (int64_t) unit_random_below(100) * DAY;
		times.recorded_at = e->recorded_at;
		CHECK(gm_graph_add_triple(w->graph, 100 + i, 100 + i, 10 + 3 * (int64_t) e->s, 1 + e->p,
								  10 + 3 * (int64_t) e->o, e->confidence, &times) == GM_OK);
	}
	/* every fifth fact is asserted, by sources 3, 2, 1 in turn, the confidence kept */
	for (uint32_t i = 0; i < m; i += 5)
		CHECK(gm_graph_add_assertion(w->graph, 100 + i, 3 - i % 3, w->edge[i].confidence,
									 0) == GM_OK);
	if (!CHECK(gm_graph_finish(w->graph, NOW, NULL) == GM_OK))
		return false;
	for (uint32_t i = 0; i < n; i++)
	{
		w->has_vector[i] = unit_random_below(4) != 0;
		for (uint32_t d = 0; d < DIM; d++)
			w->vector[i][d] = (float) (unit_random_double() * 2 - 1);
		if (w->has_vector[i])
			CHECK(gm_space_add(w->space, 10 + 3 * (int64_t) i, i, w->vector[i]) == GM_OK);
		w->has_topology[i] = unit_random_below(3) != 0;
		for (uint32_t d = 0; d < TOPOLOGY_DIM; d++)
			w->topology[i][d] = (float) (unit_random_double() * 2 - 0.5);
		if (w->has_topology[i])
			CHECK(gm_space_add(w->shape, 10 + 3 * (int64_t) i, i, w->topology[i]) == GM_OK);
	}
	return CHECK(gm_space_finish(w->space, n) == GM_OK) &&
		CHECK(gm_space_finish(w->shape, n) == GM_OK);
}

static void
free_world(World *w)
{
	free_blocks(w);
	gm_space_destroy(w->space);
	gm_space_destroy(w->shape);
	gm_scratch_destroy(w->scratch);
	gm_graph_destroy(w->graph);
	gm_mem_destroy(w->mem);
}

/*
 * The oracle
 */
typedef struct Oracle
{
	double		seed[MAX_NODES];
	double		mass[MAX_NODES];
	bool		direct[MAX_NODES];
	bool		candidate[MAX_NODES];
	bool		near[MAX_NODES];	/* by topology, and no hit */
	double		vector[MAX_NODES];
	double		topology[MAX_NODES];
	double		text[MAX_NODES];
	double		value[MAX_NODES];	/* of the best path */
	double		confidence[MAX_NODES];
	double		recency[MAX_NODES];
	int			hops[MAX_NODES];
	double		score[MAX_NODES];
	bool		close;			/* rounding may decide which of two is nearer to the centre */
} Oracle;

static bool
allowed(const uint64_t *bits, uint32_t i)
{
	return bits == NULL || (bits[i / 64] >> (i % 64) & 1);
}

static bool
visible(const GmView *view, const Edge *e)
{
	return (view->predicates == NULL || view->predicates[e->p]) &&
		e->confidence >= view->min_confidence;
}

static double
cosine(const float *x, const float *y, uint32_t dim)
{
	double		dot = 0,
				a = 0,
				b = 0;

	for (uint32_t d = 0; d < dim; d++)
	{
		dot += (double) x[d] * y[d];
		a += (double) x[d] * x[d];
		b += (double) y[d] * y[d];
	}
	return dot / sqrt(a * b);
}

static double
oracle_cosine(const World *w, const float *query, uint32_t i)
{
	return cosine(query, w->vector[i], DIM);
}

static double
oracle_similarity(const World *w, const float *query, uint32_t i)
{
	return fmax(0, oracle_cosine(w, query, i));
}

/* how many allowed nodes have a nearer vector */
static uint32_t
vector_rank(const World *w, const float *query, uint32_t i, const uint64_t *bits)
{
	double		own = oracle_cosine(w, query, i);
	uint32_t	rank = 1;

	for (uint32_t j = 0; j < w->n; j++)
		if (j != i && w->has_vector[j] && allowed(bits, j) &&
			oracle_cosine(w, query, j) > own)
			rank++;
	return rank;
}

/* r->topology, who is near, and what that is worth; false: no hit has a vector */
static bool
oracle_topology(const World *w, const GmFusionOpts *o, Oracle *r, double *ranked)
{
	uint32_t	wanted = o->match_count > o->vector_candidates ? o->match_count :
		o->vector_candidates;
	float		centre[TOPOLOGY_DIM] = {0};
	bool		any = false;

	for (uint32_t i = 0; i < w->n; i++)
		if (r->seed[i] > 0 && w->has_topology[i])
		{
			double		square = 0;

			any = true;
			for (uint32_t d = 0; d < TOPOLOGY_DIM; d++)
				square += (double) w->topology[i][d] * w->topology[i][d];
			for (uint32_t d = 0; d < TOPOLOGY_DIM; d++)
				centre[d] += (float) (r->seed[i] * w->topology[i][d] / sqrt(square));
		}
	for (uint32_t i = 0; i < w->n && any; i++)
		if (w->has_topology[i])
			r->topology[i] = fmax(0, cosine(centre, w->topology[i], TOPOLOGY_DIM));
	for (uint32_t i = 0; i < w->n && any; i++)
	{
		double		own = cosine(centre, w->topology[i], TOPOLOGY_DIM);
		uint32_t	nearer[2] = {0, 0};

		for (uint32_t j = 0; j < w->n; j++)
			if (w->has_topology[j] && cosine(centre, w->topology[j], TOPOLOGY_DIM) > own)
			{
				nearer[0] += allowed(o->seeds, j);
				nearer[1] += allowed(o->results, j);
			}
		for (uint32_t j = 0; j < i && w->has_topology[i]; j++)
			r->close |= w->has_topology[j] &&
				fabs(cosine(centre, w->topology[j], TOPOLOGY_DIM) - own) < ROUNDING;
		r->close |= w->has_topology[i] && fabs(own) < ROUNDING;
		if (!w->has_topology[i] || r->topology[i] <= 0)
			continue;
		if (allowed(o->seeds, i) && nearer[0] < o->vector_candidates)
		{
			ranked[i] += o->topology_weight / (o->rrf_k + nearer[0] + 1);
			r->near[i] = !r->direct[i];
		}
		if (allowed(o->results, i) && nearer[1] < wanted)
			r->near[i] = !r->direct[i];
	}
	return any;
}

static void
oracle_walk(const World *w, const GmView *view, const GmFusionOpts *o, Oracle *r)
{
	double		p[MAX_NODES];
	double		q[MAX_NODES];
	double		degree[MAX_NODES] = {0};

	for (uint32_t i = 0; i < w->m; i++)
		if (visible(view, &w->edge[i]))
		{
			degree[w->edge[i].s]++;
			if (w->edge[i].s != w->edge[i].o)
				degree[w->edge[i].o]++;
		}
	memcpy(p, r->seed, sizeof(p));
	for (int round = 0; round < (o->by_hops ? o->max_hops : 400); round++)
	{
		double		lost = 0;

		for (uint32_t i = 0; i < w->n; i++)
		{
			q[i] = o->by_hops ? p[i] : 0;
			if (degree[i] == 0)
				lost += p[i];
		}
		for (uint32_t i = 0; i < w->m; i++)
		{
			const Edge *e = &w->edge[i];

			if (!visible(view, e))
				continue;
			if (o->by_hops)
			{
				q[e->o] = fmax(q[e->o], p[e->s] * o->damping);
				q[e->s] = fmax(q[e->s], p[e->o] * o->damping);
				continue;
			}
			q[e->o] += p[e->s] / degree[e->s];
			if (e->s != e->o)
				q[e->s] += p[e->o] / degree[e->o];
		}
		for (uint32_t i = 0; i < w->n; i++)
			p[i] = o->by_hops ? q[i] : (1 - o->damping) * r->seed[i] +
				o->damping * (q[i] + lost * r->seed[i]);
	}
	memcpy(r->mass, p, sizeof(p));
}

/* best paths, layer by layer: value[h][v] over exactly h hops */
static void
oracle_paths(const World *w, const GmView *view, const GmFusionOpts *o, Oracle *r)
{
	double		value[2][MAX_NODES];
	double		confidence[2][MAX_NODES];
	int64_t		newest[2][MAX_NODES];

	for (uint32_t i = 0; i < w->n; i++)
	{
		value[0][i] = r->seed[i];
		confidence[0][i] = 1;
		newest[0][i] = GM_TIME_MIN;
		r->value[i] = r->seed[i];
		r->hops[i] = r->seed[i] > 0 ? 0 : -1;
		r->confidence[i] = 1;
	}
	for (int h = 1; h <= o->max_hops; h++)
	{
		int			now = h & 1;
		int			before = !now;

		for (uint32_t i = 0; i < w->n; i++)
			value[now][i] = 0;
		for (uint32_t i = 0; i < 2 * w->m; i++)
		{
			const Edge *e = &w->edge[i / 2];
			uint32_t	from = i & 1 ? e->o : e->s;
			uint32_t	to = i & 1 ? e->s : e->o;
			double		v = value[before][from] * e->confidence * o->damping;

			if (!visible(view, e) || v <= value[now][to])
				continue;
			value[now][to] = v;
			confidence[now][to] = confidence[before][from] * e->confidence;
			newest[now][to] = newest[before][from] > e->recorded_at ? newest[before][from] :
				e->recorded_at;
		}
		for (uint32_t i = 0; i < w->n; i++)
			if (value[now][i] > r->value[i] * (1 + 1e-12))
			{
				r->value[i] = value[now][i];
				r->hops[i] = h;
				r->confidence[i] = confidence[now][i];
				r->recency[i] = exp2(-(double) (NOW - newest[now][i]) / (30.0 * DAY));
			}
	}
	for (uint32_t i = 0; i < w->n; i++)
		if (r->direct[i] || (r->near[i] && r->hops[i] <= 0))
		{
			r->hops[i] = 0;
			r->confidence[i] = 1;
			r->recency[i] = 0;
			for (uint32_t j = 0; j < w->m; j++)
				if ((w->edge[j].s == i || w->edge[j].o == i) && visible(view, &w->edge[j]))
					r->recency[i] = fmax(r->recency[i], exp2(-(double) (NOW -
												  w->edge[j].recorded_at) / (30.0 * DAY)));
		}
}

static void
oracle_seeds(const World *w, const double *named, const double *ranked, Oracle *r)
{
	double		named_sum = 0;
	double		ranked_sum = 0;

	for (uint32_t i = 0; i < w->n; i++)
	{
		named_sum += named[i];
		ranked_sum += ranked[i];
	}
	for (uint32_t i = 0; i < w->n; i++)
		r->seed[i] = ((named_sum > 0 ? named[i] / named_sum : 0) +
					  (ranked_sum > 0 ? ranked[i] / ranked_sum : 0)) /
			(named_sum > 0 && ranked_sum > 0 ? 2 : 1);
}

static void
oracle(const World *w, const GmView *view, const GmFusionOpts *o, const float *query, Oracle *r)
{
	bool		use_vector = o->vector_asked && o->vector_weight > 0;
	bool		use_text = o->text_asked && o->text_weight > 0;
	bool		use_topology = o->topology_asked && o->topology_weight > 0;
	double		named[MAX_NODES] = {0};
	double		ranked[MAX_NODES] = {0};
	double		largest = 0;
	double		weights;

	memset(r, 0, sizeof(*r));
	for (uint32_t i = 0; i < w->n; i++)
		r->vector[i] = r->topology[i] = NAN;
	for (uint32_t l = 0; l < o->list_count; l++)
		for (uint32_t i = 0; i < o->lists[l].count; i++)
		{
			const GmFusionHit *hit = &o->lists[l].hits[i];
			GmFusionKind kind = o->lists[l].kind;
			double		worth = o->lists[l].weight * hit->share / (o->rrf_k + hit->rank);

			if (kind == GM_FUSION_VECTOR ? !use_vector : kind != GM_FUSION_SEED && !use_text)
				continue;
			r->direct[hit->node] = true;
			if (kind == GM_FUSION_NAME || kind == GM_FUSION_SEED)
				named[hit->node] += worth;
			else
				ranked[hit->node] += worth;
			if (kind == GM_FUSION_TEXT || kind == GM_FUSION_NAME)
				r->text[hit->node] = fmax(r->text[hit->node], hit->score);
			if (kind == GM_FUSION_VECTOR)
				r->vector[hit->node] = fmax(isnan(r->vector[hit->node]) ? 0 :
											r->vector[hit->node], hit->score);
		}
	for (uint32_t i = 0; i < w->n && use_vector && o->space != NULL; i++)
	{
		uint32_t	seeds = o->vector_candidates;
		uint32_t	wanted = o->match_count > seeds ? o->match_count : seeds;

		if (!w->has_vector[i])
			continue;
		r->vector[i] = oracle_similarity(w, query, i);
		if (allowed(o->seeds, i) && vector_rank(w, query, i, o->seeds) <= seeds)
		{
			ranked[i] += o->vector_weight / (o->rrf_k + vector_rank(w, query, i, o->seeds));
			r->direct[i] = true;
		}
		if (allowed(o->results, i) && vector_rank(w, query, i, o->results) <= wanted)
			r->direct[i] = true;
	}
	oracle_seeds(w, named, ranked, r);
	use_topology = use_topology && oracle_topology(w, o, r, ranked);
	oracle_seeds(w, named, ranked, r);
	oracle_walk(w, view, o, r);
	oracle_paths(w, view, o, r);
	weights = (use_vector ? o->vector_weight : 0) + (use_text ? o->text_weight : 0) +
		(use_topology ? o->topology_weight : 0) + o->graph_weight + o->confidence_weight +
		o->recency_weight;
	for (uint32_t i = 0; i < w->n; i++)
		largest = fmax(largest, r->mass[i]);
	for (uint32_t i = 0; i < w->n; i++)
	{
		r->mass[i] = largest > 0 ? r->mass[i] / largest : 0;
		r->candidate[i] = allowed(o->results, i) &&
			(r->direct[i] || r->near[i] || r->hops[i] >= 0);
		r->score[i] = ((use_vector && !isnan(r->vector[i]) ? o->vector_weight * r->vector[i] : 0) +
					   (use_text ? o->text_weight * r->text[i] : 0) +
					   (use_topology && !isnan(r->topology[i]) ?
						o->topology_weight * r->topology[i] : 0) +
					   o->graph_weight * r->mass[i] + o->confidence_weight * r->confidence[i] +
					   o->recency_weight * r->recency[i]) / weights;
	}
}

/*
 * Checks
 */
static void
check_path(const World *w, const GmView *view, const GmFusionOpts *o, const GmFusionRow *row,
		   const Oracle *r, bool exactly)
{
	double		value = r->seed[row->steps[0].node];

	CHECK(row->steps[row->hops].node == row->node);
	CHECK(row->hops == 0 || value > 0);
	for (int i = 1; i <= row->hops; i++)
	{
		const Edge *e = &w->edge[row->steps[i].slot];

		CHECK(visible(view, e));
		CHECK((row->steps[i].out ? e->s : e->o) == row->steps[i - 1].node);
		CHECK((row->steps[i].out ? e->o : e->s) == row->steps[i].node);
		value *= e->confidence * o->damping;
	}
	if (row->hops == 0)
		CHECK(r->direct[row->node] || r->near[row->node]);
	else if (exactly)
		CHECK_NEAR(value, r->value[row->node], 1e-9);
	else
		CHECK(value <= r->value[row->node] + 1e-9);
}

static void
check_sources(const World *w, const GmFusionRow *row)
{
	bool		want[3] = {false, false, false};
	uint32_t	n = 0;

	if (row->hops == 0)
		return;
	for (int i = 1; i <= row->hops; i++)
		if (row->steps[i].slot % 5 == 0)
			want[2 - row->steps[i].slot % 3] = true;
	for (uint32_t i = 0; i < 3; i++)
		if (want[i] && CHECK(n < row->source_count))
			CHECK(row->sources[n++] == i);
	CHECK(n == row->source_count);
	(void) w;
}

/* exactly: the walk is not cut off, so scores can be compared */
static void
check_fusion(World *w, const GmView *view, const GmFusionOpts *o, const float *query,
			 bool exactly)
{
	GmFusionMemory memory = {give, w};
	const GmFusionRow *rows;
	bool		taken[MAX_NODES] = {false};
	uint32_t	candidates = 0;
	uint32_t	count;
	Oracle		r;

	oracle(w, view, o, query, &r);
	if (r.close)
		return;
	for (uint32_t i = 0; i < w->n; i++)
		candidates += r.candidate[i];
	if (!CHECK(gm_fusion(w->graph, view, w->scratch, o, &memory, NULL, &rows, &count) == GM_OK))
		return;
	if (!CHECK(count == (candidates < o->match_count ? candidates : o->match_count)))
		printf("# %u rows of %u candidates, %u asked for\n", count, candidates, o->match_count);
	for (uint32_t i = 0; i < count; i++)
	{
		const GmFusionRow *row = &rows[i];
		uint32_t	node = row->node;

		CHECK(!taken[node]);
		taken[node] = true;
		CHECK(r.candidate[node]);
		CHECK(row->score >= 0 && row->score <= 1);
		if (i > 0)
			CHECK(rows[i - 1].score > row->score ||
				  (rows[i - 1].score == row->score && rows[i - 1].node < node));
		check_path(w, view, o, row, &r, exactly);
		check_sources(w, row);
		if (o->vector_asked && o->vector_weight > 0 && !isnan(r.vector[node]))
			CHECK_NEAR(row->vector_score, r.vector[node], TOLERANCE);
		else
			CHECK(isnan(row->vector_score));
		if (o->text_asked && o->text_weight > 0)
			CHECK_NEAR(row->text_score, r.text[node], TOLERANCE);
		else
			CHECK(isnan(row->text_score));
		if (isnan(r.topology[node]))
			CHECK(isnan(row->topology_score));
		else
			CHECK_NEAR(row->topology_score, r.topology[node], TOLERANCE);
		if (exactly)
		{
			CHECK_NEAR(row->confidence, r.confidence[node], TOLERANCE);
			CHECK(row->hops == r.hops[node]);
		}
		if (o->graph_weight > 0)
		{
			if (exactly)
				CHECK_NEAR(row->graph_score, r.mass[node], TOLERANCE);
		}
		else
			CHECK(isnan(row->graph_score));
		if (exactly)
			CHECK_NEAR(row->score, r.score[node], TOLERANCE);
	}
	for (uint32_t i = 0; i < w->n && exactly && count > 0; i++)
		if (r.candidate[i] && !taken[i])
			CHECK(r.score[i] <= rows[count - 1].score + TOLERANCE);
	free_blocks(w);
}

typedef struct Question
{
	GmView		view;
	GmFusionOpts opts;
	GmFusionList lists[4];
	GmFusionHit hits[4][8];
	float		query[DIM];
	GmSpaceQuery prepared;
	uint8_t		predicates[3];
	uint64_t	seeds;
	uint64_t	results;
} Question;

static void
random_question(const World *w, Question *q)
{
	GmFusionOpts *o = &q->opts;

	memset(q, 0, sizeof(*q));
	gm_view_init(w->graph, NOW, &q->view);
	if (unit_random_below(3) == 0)
	{
		for (uint32_t i = 0; i < 3; i++)
			q->predicates[i] = (uint8_t) unit_random_below(2);
		q->view.predicates = q->predicates;
	}
	if (unit_random_below(3) == 0)
		q->view.min_confidence = 0.5f;
	gm_view_settle(w->graph, &q->view);
	for (uint32_t kind = 0; kind < 4; kind++)
	{
		uint32_t	n = unit_random_below(3) == 0 ? 0 : unit_random_below(8);

		if (kind == GM_FUSION_SEED && n > 2)
			n = 2;
		q->lists[kind] = (GmFusionList) {(GmFusionKind) kind, 0.5 + unit_random_double(),
			q->hits[kind], n};
		for (uint32_t i = 0; i < n; i++)
			q->hits[kind][i] = (GmFusionHit) {unit_random_below(w->n), i + 1,
				(float) unit_random_double(), (float) (0.1 + 0.9 * unit_random_double()), GM_NONE};
	}
	for (uint32_t d = 0; d < DIM; d++)
		q->query[d] = (float) (unit_random_double() * 2 - 1);
	CHECK(gm_space_prepare(w->space, q->query, &q->prepared) == GM_OK);
	o->lists = q->lists;
	o->list_count = 4;
	o->vector_asked = unit_random_below(4) != 0;
	if (o->vector_asked && unit_random_below(4) != 0)
	{
		o->space = w->space;
		o->vector = &q->prepared;
	}
	if (!o->vector_asked)
		q->lists[GM_FUSION_VECTOR].count = 0;
	o->vector_candidates = 1 + unit_random_below(6);
	o->text_asked = unit_random_below(4) != 0;
	if (!o->text_asked)
		q->lists[GM_FUSION_TEXT].count = q->lists[GM_FUSION_NAME].count = 0;
	o->vector_weight = unit_random_below(5) == 0 ? 0 : unit_random_double() * 2;
	o->text_weight = unit_random_below(5) == 0 ? 0 : unit_random_double() * 2;
	o->topology_asked = unit_random_below(2) == 0;
	o->topology = o->topology_asked ? w->shape : NULL;
	o->topology_weight = unit_random_below(5) == 0 ? 0 : unit_random_double() * 2;
	o->graph_weight = 0.1 + unit_random_double() * 2;
	o->confidence_weight = unit_random_below(3) == 0 ? 0 : unit_random_double();
	o->recency_weight = unit_random_below(2) == 0 ? 0 : unit_random_double();
	o->rrf_k = unit_random_below(100);
	o->by_hops = unit_random_below(2) == 0;
	o->damping = 0.05 + 0.9 * unit_random_double();
	o->epsilon = 1e-11;
	o->max_hops = (int) unit_random_below(5);
	o->match_count = 1 + unit_random_below(unit_random_below(2) == 0 ? 4 : 60);
	o->now = NOW;
	if (unit_random_below(3) == 0)
	{
		q->results = unit_random();
		o->results = &q->results;
	}
	if (unit_random_below(4) == 0)
	{
		q->seeds = unit_random();
		o->seeds = &q->seeds;
	}
}

static void
test_random(void)
{
	static World w;

	for (uint32_t round = 0; round < 300; round++)
	{
		if (make_world(&w, 2 + unit_random_below(MAX_NODES - 2),
					   unit_random_below(round % 2 == 0 ? MAX_EDGES : 40)))
			for (uint32_t i = 0; i < 10; i++)
			{
				Question	q;

				random_question(&w, &q);
				check_fusion(&w, &q.view, &q.opts, q.query, true);
			}
		free_world(&w);
	}
}

/* the walk stops early, or does not run: the number of rows stays */
static void
test_guarantee(void)
{
	static World w;

	for (uint32_t round = 0; round < 200; round++)
	{
		if (make_world(&w, 2 + unit_random_below(MAX_NODES - 2), unit_random_below(MAX_EDGES)))
			for (uint32_t i = 0; i < 5; i++)
			{
				Question	q;

				random_question(&w, &q);
				q.opts.epsilon = i == 0 ? 1 : 0.01;
				if (i == 1)
				{
					q.opts.graph_weight = 0;
					q.opts.confidence_weight = 1;
				}
				check_fusion(&w, &q.view, &q.opts, q.query, false);
			}
		free_world(&w);
	}
}

/* n0 -> n1 -> n2 -> n3, made by hand */
static void
test_chain(void)
{
	GmTimes		times = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	static World w;
	GmFusionMemory memory = {give, &w};
	GmFusionHit seed = {0, 1, 1, 1, GM_NONE};
	GmFusionHit text = {3, 1, 0.5f, 1, 1};
	GmFusionList lists[2] = {{GM_FUSION_SEED, 1, &seed, 1}, {GM_FUSION_TEXT, 1, &text, 1}};
	GmFusionOpts o = {
		.lists = lists, .list_count = 1, .vector_asked = true, .vector_weight = 1,
		.text_weight = 1, .graph_weight = 1, .confidence_weight = 1, .rrf_k = 60, .damping = 0.5,
		.by_hops = true, .epsilon = 1e-5, .max_hops = 2, .match_count = 10, .now = NOW
	};
	const GmFusionRow *rows;
	uint32_t	count;
	GmView		view;

	memset(&w, 0, sizeof(w));
	REQUIRE(gm_mem_create(4096, 0, NULL, &w.mem) == GM_OK);
	REQUIRE(gm_graph_create(w.mem, &w.graph) == GM_OK);
	REQUIRE(gm_scratch_create(0, &w.scratch) == GM_OK);
	CHECK(gm_graph_add_predicate(w.graph, 1, "p", 1, false, false, 1) == GM_OK);
	CHECK(gm_graph_add_source(w.graph, 7, "b", 1, NULL, 0, NULL, 0, 1) == GM_OK);
	CHECK(gm_graph_add_source(w.graph, 5, "a", 1, NULL, 0, NULL, 0, 1) == GM_OK);
	for (int64_t i = 0; i < 4; i++)
		CHECK(gm_graph_add_entity(w.graph, i, "abcd" + i, 1, NULL, 0, NULL, 0) == GM_OK);
	for (int64_t i = 0; i < 3; i++)
	{
		CHECK(gm_graph_add_triple(w.graph, i, i, i, 1, i + 1, 0.5f, &times) == GM_OK);
		CHECK(gm_graph_add_assertion(w.graph, i, 7, 0.5f, 0) == GM_OK);
	}
	CHECK(gm_graph_add_assertion(w.graph, 1, 5, 0, 0) == GM_OK);
	REQUIRE(gm_graph_finish(w.graph, NOW, NULL) == GM_OK);
	gm_view_init(w.graph, NOW, &view);

	/* no space: the vector leg counts 0 for all; (0 + mass + confidence) / 3 */
	REQUIRE(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	REQUIRE(count == 3);
	for (uint32_t i = 0; i < 3; i++)
	{
		CHECK(rows[i].node == i && rows[i].hops == (int) i);
		CHECK_NEAR(rows[i].graph_score, pow(0.5, i), 1e-12);
		CHECK_NEAR(rows[i].confidence, pow(0.5, i), 1e-12);
		CHECK_NEAR(rows[i].score, 2 * pow(0.5, i) / 3, 1e-12);
		CHECK(isnan(rows[i].vector_score) && isnan(rows[i].text_score));
		CHECK(rows[i].source_count == i);
	}
	/* by id: source 5 before 7, each once */
	CHECK(rows[2].sources[0] == gm_graph_find_source_id(w.graph, 5));
	CHECK(rows[2].sources[1] == gm_graph_find_source_id(w.graph, 7));

	/* a text hit at the far end: half of the restarts are the seed's */
	o.list_count = 2;
	o.text_asked = true;
	REQUIRE(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	REQUIRE(count == 4);
	CHECK(rows[0].node == 3);
	CHECK_NEAR(rows[0].score, (0.5 + 1 + 1) / 4, 1e-12);
	CHECK(rows[0].source_count == 1 && rows[0].sources[0] == 1);
	CHECK(rows[1].node == 0 && rows[1].text_score == 0);

	/* options that cannot be; memory that is refused; nothing asked for */
	o.damping = 1;
	CHECK(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_BAD_VALUE);
	o.damping = 0;
	CHECK(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	CHECK(count == 4);
	o.max_hops = -1;
	CHECK(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_BAD_VALUE);
	o.max_hops = 0;
	CHECK(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	CHECK(count == 2);
	o.match_count = 0;
	CHECK(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	CHECK(count == 0);
	o.match_count = 1;
	o.list_count = 0;
	CHECK(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	CHECK(count == 0);
	w.refuse = true;
	CHECK(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_NO_MEMORY);
	o.vector_weight = o.text_weight = o.graph_weight = o.confidence_weight = 0;
	CHECK(gm_fusion_weight(&o) == 0);
	CHECK(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_BAD_VALUE);
	free_blocks(&w);
	gm_scratch_destroy(w.scratch);
	gm_graph_destroy(w.graph);
	gm_mem_destroy(w.mem);
}

/* n0 - n1, and n2 .. n4 without an edge; vectors by topology of n1 .. n4, made by hand */
static void
test_topology(void)
{
	static const float vectors[5][2] = {{0, 0}, {0.3f, -0.1f}, {0, 5}, {-0.9f, 0.3f}, {3, 4}};
	GmTimes		times = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	static World w;
	GmFusionMemory memory = {give, &w};
	GmFusionHit seeds[2] = {{2, 1, 1, 1, GM_NONE}, {0, 1, 1, 1, GM_NONE}};
	GmFusionList list = {GM_FUSION_SEED, 1, seeds, 2};
	GmSpaceReport report;
	GmFusionOpts o = {
		.lists = &list, .list_count = 1, .topology_asked = true, .topology_weight = 1,
		.topology_report = &report, .rrf_k = 60, .damping = 0.9, .by_hops = true,
		.epsilon = 1e-5, .max_hops = 2, .match_count = 10, .vector_candidates = 10, .now = NOW
	};
	uint64_t	results = 1 << 4;
	static const double ranked[3] = {1.0 / 61, 1.0 / 62, 1.0 / 63};
	double		all_ranked = ranked[0] + ranked[1] + ranked[2];
	const GmFusionRow *rows;
	uint32_t	count;
	GmView		view;

	memset(&w, 0, sizeof(w));
	REQUIRE(gm_mem_create(4096, 0, NULL, &w.mem) == GM_OK);
	REQUIRE(gm_graph_create(w.mem, &w.graph) == GM_OK);
	REQUIRE(gm_scratch_create(0, &w.scratch) == GM_OK);
	REQUIRE(gm_space_create(w.mem, 2, GM_METRIC_COSINE, &w.shape) == GM_OK);
	CHECK(gm_graph_add_predicate(w.graph, 1, "p", 1, false, false, 1) == GM_OK);
	for (int64_t i = 0; i < 5; i++)
		CHECK(gm_graph_add_entity(w.graph, i, "abcde" + i, 1, NULL, 0, NULL, 0) == GM_OK);
	CHECK(gm_graph_add_triple(w.graph, 1, 1, 0, 1, 1, 0.9f, &times) == GM_OK);
	REQUIRE(gm_graph_finish(w.graph, NOW, NULL) == GM_OK);
	for (uint32_t i = 1; i < 5; i++)
		CHECK(gm_space_add(w.shape, i, i, vectors[i]) == GM_OK);
	REQUIRE(gm_space_finish(w.shape, 5) == GM_OK);
	gm_view_init(w.graph, NOW, &view);
	o.topology = w.shape;

	/* the centre is n2's vector alone, whose seed fellow n0 has none */
	REQUIRE(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	REQUIRE(count == 5);
	CHECK(rows[0].node == 2 && rows[1].node == 4);
	CHECK_NEAR(rows[0].score, 1, 1e-6);
	CHECK_NEAR(rows[1].score, 0.8, 1e-6);
	CHECK_NEAR(rows[1].topology_score, 0.8, 1e-6);
	CHECK(rows[1].hops == 0 && rows[1].confidence == 1);
	CHECK(rows[2].node == 3);
	CHECK_NEAR(rows[2].score, sqrt(0.1), 1e-6);
	/* the rest have score 0: by id; n1 is not like the centre, but has a path */
	CHECK(rows[3].node == 0 && isnan(rows[3].topology_score));
	CHECK(rows[4].node == 1 && rows[4].hops == 1 && rows[4].topology_score == 0);
	CHECK_NEAR(rows[4].confidence, 0.9, 1e-6);
	CHECK(report.exact && report.compared == 4);

	/* the walk starts from what is near too: half, as from a list of hits */
	o.graph_weight = 1;
	o.damping = 0;
	REQUIRE(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	REQUIRE(count == 5 && rows[1].node == 4);
	CHECK_NEAR(rows[1].graph_score, ranked[1] / (ranked[0] + all_ranked / 2), 1e-6);
	o.graph_weight = 0;
	o.damping = 0.9;

	/* only what may be a row is looked for */
	o.results = &results;
	REQUIRE(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	CHECK(count == 1 && rows[0].node == 4);
	o.results = NULL;

	/* n1 and n3 cancel each other out, but for rounding: no leg, and no weight is left */
	seeds[0].node = 1;
	seeds[1].node = 3;
	REQUIRE(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	REQUIRE(count == 3);
	for (uint32_t i = 0; i < 3; i++)
		CHECK(isnan(rows[i].topology_score) && rows[i].score == 0);
	/* with others the weight does not count either */
	o.graph_weight = 1;
	REQUIRE(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	CHECK(count == 3 && rows[0].node == 1 && rows[0].score == 1);
	/* no starting point has a vector */
	list.count = 1;
	seeds[0].node = 0;
	REQUIRE(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	CHECK(count == 2 && rows[0].node == 0 && rows[0].score == 1);
	CHECK(isnan(rows[0].topology_score) && isnan(rows[1].topology_score));
	/* weight 0: off, also where there is a space */
	seeds[0].node = 2;
	o.topology_weight = 0;
	REQUIRE(gm_fusion(w.graph, &view, w.scratch, &o, &memory, NULL, &rows, &count) == GM_OK);
	CHECK(count == 1 && isnan(rows[0].topology_score));

	o.graph_weight = 0;
	CHECK(gm_fusion_weight(&o) == 0);
	o.topology_weight = 2;
	CHECK(gm_fusion_weight(&o) == 2);
	o.topology_asked = false;
	CHECK(gm_fusion_weight(&o) == 0);
	free_blocks(&w);
	gm_space_destroy(w.shape);
	gm_scratch_destroy(w.scratch);
	gm_graph_destroy(w.graph);
	gm_mem_destroy(w.mem);
}

UNIT_MAIN(UNIT(test_random), UNIT(test_guarantee), UNIT(test_chain), UNIT(test_topology))
