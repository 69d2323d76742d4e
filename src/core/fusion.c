/*-------------------------------------------------------------------------
 *
 * fusion.c
 *	  One ranking of entities from vectors, text, names and structure.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fusion.h"
#include "core/rank.h"
#include "core/traverse.h"

#define HALF_LIFE			(30.0 * 24 * 60 * 60 * 1e6) /* microseconds */
#define MIN_DECAY			1e-6	/* of paths, where damping is 0 */
#define FREE_HOPS			2		/* up to here paths may cross any node */
#define FIRST_BATCH			64		/* candidates of the walk looked at together */
#define SMALL_MAP			256		/* entries: their slots stay in the first-level cache */
#define SCORES_PER_LOOK		1024	/* candidates scored between interrupts */
#define SCORE_SLACK			1e-12	/* covers the rounding of a bound */
#define FEW_ROWS_SHARE		16		/* one row in so many: compared one by one */

/*
 * Open addressing from node to index.  A small map is nearly empty, since it
 * is mostly asked for nodes that it does not have.
 */
typedef struct MapEntry
{
	GmNode		node;			/* GM_NONE: free */
	uint32_t	index;
} MapEntry;

typedef struct Map
{
	MapEntry   *entries;
	uint32_t	mask;
} Map;

/* a direct candidate */
typedef struct Direct
{
	GmNode		node;
	uint32_t	first_source;	/* in Fusion.links; GM_NONE: none */
	double		named;
	double		ranked;
	double		mass;
	double		vector;			/* similarity; NaN: none known */
	bool		exact;			/* vector is that of the entity space */
	float		text;
} Direct;

typedef struct Link
{
	uint32_t	source;
	uint32_t	next;
} Link;

typedef struct Fusion
{
	const GmGraph *graph;
	const GmView *view;
	GmScratch  *scratch;
	const GmFusionOpts *opts;
	const GmFusionMemory *memory;
	const GmInterrupt *intr;

	bool		use_vector;
	bool		use_text;
	bool		use_graph;
	double		weight;			/* of the legs that count */
	double		vector_bound;	/* of an entity that is no direct candidate */

	Map			map;			/* of direct */
	Direct	   *direct;
	uint32_t	direct_count;
	Link	   *links;
	uint32_t	link_count;

	GmMass	   *seeds;			/* the restart distribution */
	uint32_t	seed_count;
	GmMasses	masses;
	double		largest;		/* mass */

	GmFusionRow *rows;
	uint32_t	row_count;
	uint32_t	row_room;
	double	   *best;			/* heap of the match_count best scores, least on top */
	uint32_t	best_count;
	uint32_t	best_room;
} Fusion;

static GmStatus
get_memory(Fusion *f, size_t bytes, void *data)
{
	void	   *p = f->memory->alloc(f->memory->arg, bytes == 0 ? 1 : bytes);

	if (p == NULL)
		return GM_NO_MEMORY;
	*(void **) data = p;
	return GM_OK;
}

/* *room becomes at least n; what is there is kept */
static GmStatus
grow(Fusion *f, void *data, uint32_t *room, uint32_t n, size_t element)
{
	void	   *old = *(void **) data;
	uint64_t	wanted = *room == 0 ? 64 : (uint64_t) *room * 2;
	void	   *p;

	if (n <= *room)
		return GM_OK;
	if (wanted < n)
		wanted = n;
	if (wanted > UINT32_MAX)
		return GM_TOO_MANY;
	GM_TRY(get_memory(f, wanted * element, &p));
	if (old != NULL)
		memcpy(p, old, *room * element);
	*(void **) data = p;
	*room = (uint32_t) wanted;
	return GM_OK;
}

static GmStatus
map_create(Fusion *f, Map *map, uint64_t n)
{
	uint64_t	size = 64;

	while (size < (n <= SMALL_MAP ? 16 : 4) * n)
		size *= 2;
	if (size > UINT32_MAX)
		return GM_TOO_MANY;
	GM_TRY(get_memory(f, size * sizeof(MapEntry), &map->entries));
	memset(map->entries, 0xff, size * sizeof(MapEntry));
	map->mask = (uint32_t) (size - 1);
	return GM_OK;
}

/* the node's entry, or the free one that is its place */
static inline MapEntry *
map_find(const Map *map, GmNode node)
{
	uint32_t	at = (node * UINT32_C(2654435769)) >> 7 & map->mask;

	while (map->entries[at].node != node && map->entries[at].node != GM_NONE)
		at = (at + 1) & map->mask;
	return &map->entries[at];
}

/*
 * Direct candidates
 */
static Direct *
direct_of(Fusion *f, GmNode node)
{
	MapEntry   *entry = map_find(&f->map, node);

	if (entry->node == GM_NONE)
	{
		entry->node = node;
		entry->index = f->direct_count;
		f->direct[f->direct_count++] = (Direct) {
			.node = node, .first_source = GM_NONE, .vector = NAN
		};
	}
	return &f->direct[entry->index];
}

static void
add_source(Fusion *f, Direct *d, uint32_t source)
{
	if (source == GM_NONE)
		return;
	f->links[f->link_count] = (Link) {source, d->first_source};
	d->first_source = f->link_count++;
}

static void
add_list(Fusion *f, const GmFusionList *list)
{
	for (uint32_t i = 0; i < list->count; i++)
	{
		const GmFusionHit *hit = &list->hits[i];
		double		worth = hit->share * list->weight / (f->opts->rrf_k + hit->rank);
		Direct	   *d;

		if (hit->node >= f->graph->root->gr_nodes)
			continue;
		d = direct_of(f, hit->node);
		if (list->kind == GM_FUSION_NAME || list->kind == GM_FUSION_SEED)
			d->named += worth;
		else
			d->ranked += worth;
		if ((list->kind == GM_FUSION_TEXT || list->kind == GM_FUSION_NAME) &&
			hit->score > d->text)
			d->text = hit->score;
		if (list->kind == GM_FUSION_VECTOR && !(hit->score <= d->vector))
			d->vector = hit->score;
		add_source(f, d, hit->source);
	}
}

/* rows of the nodes in the bitmap; *rows is NULL if they are more than so many */
static GmStatus
rows_of_nodes(Fusion *f, const uint64_t *nodes, uint32_t most, uint32_t **rows, uint32_t *count)
{
	const GmSpace *space = f->opts->space;
	size_t		words = gm_bit_words(f->graph->root->gr_nodes);

	GM_TRY(get_memory(f, most * sizeof(uint32_t), rows));
	*count = 0;
	for (size_t w = 0; w < words; w++)
		for (uint64_t bits = nodes[w]; bits != 0; bits &= bits - 1)
		{
			uint32_t	node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(bits);
			uint32_t	row = gm_space_row_of(space, node);

			if (row == GM_NONE)
				continue;
			if (*count == most)
			{
				*rows = NULL;
				return GM_OK;
			}
			(*rows)[(*count)++] = row;
		}
	return GM_OK;
}

typedef struct Allowed
{
	const GmSpace *space;
	const uint64_t *nodes;
} Allowed;

/* GmSpaceWish.accept */
static bool
row_is_allowed(void *arg, uint32_t row)
{
	const Allowed *a = arg;

	return gm_bit_test(a->nodes, gm_space_number(a->space, row));
}

static GmStatus
nearest_rows(Fusion *f, const uint64_t *nodes, uint32_t k, GmSpaceHit *hits, uint32_t *found)
{
	GmSpace    *space = f->opts->space;
	Allowed		allowed = {space, nodes};
	GmSpaceWish wish = {
		.k = k, .ef_search = f->opts->ef_search, .exact = f->opts->exact, .without = GM_NONE
	};
	GmSpaceReport unused;
	GmSpaceReport *report = f->opts->report == NULL ? &unused : f->opts->report;

	if (nodes != NULL)
	{
		uint32_t   *rows;
		uint32_t	n;

		GM_TRY(rows_of_nodes(f, nodes, space->root->sp_rows / FEW_ROWS_SHARE, &rows, &n));
		*report = (GmSpaceReport) {.exact = true, .compared = n};
		if (rows != NULL)
			return gm_space_search_rows(space, f->opts->vector, k, rows, n, f->intr, hits, found);
		wish.accept = row_is_allowed;
		wish.arg = &allowed;
	}
	return gm_space_nearest(space, f->opts->work, f->opts->vector, &wish, f->intr, hits, found,
							report);
}

static double
similarity(const Fusion *f, double distance)
{
	return gm_space_similarity((GmMetric) f->opts->space->root->sp_metric, distance);
}

/* nearest rows, the first as_seeds of them seeds */
static GmStatus
search_space(Fusion *f, const uint64_t *nodes, uint32_t k, uint32_t as_seeds, double *bound)
{
	const GmSpace *space = f->opts->space;
	GmSpaceHit *hits;
	uint32_t	found;

	if (k > space->root->sp_rows)
		k = space->root->sp_rows;
	GM_TRY(get_memory(f, k * sizeof(GmSpaceHit), &hits));
	GM_TRY(nearest_rows(f, nodes, k, hits, &found));
	if (gm_interrupted(f->intr))
		return GM_INTERRUPTED;
	*bound = found == k && k > 0 ? similarity(f, hits[k - 1].distance) : 0;
	for (uint32_t i = 0; i < found; i++)
	{
		Direct	   *d = direct_of(f, gm_space_number(space, hits[i].row));

		d->vector = similarity(f, hits[i].distance);
		d->exact = true;
		if (i < as_seeds)
			d->ranked += f->opts->vector_weight / (f->opts->rrf_k + i + 1);
	}
	return GM_OK;
}

/* of_hits: the leg where the entity space has no vector of the node */
static double
vector_leg(const Fusion *f, GmNode node, double of_hits)
{
	const GmSpace *space = f->opts->space;
	uint32_t	row = space == NULL ? GM_NONE : gm_space_row_of(space, node);

	if (row == GM_NONE)
		return of_hits;
	return similarity(f, gm_space_distance(space, f->opts->vector, row));
}

/* vectors are at hand, one at a time */
static bool
has_vectors(const Fusion *f)
{
	return f->opts->space == NULL || f->opts->space->root->sp_absent == 0;
}

/* the same of several nodes: in legs */
static GmStatus
vector_legs(Fusion *f, const GmNode *nodes, uint32_t n, double *legs)
{
	const GmSpace *space = f->opts->space;
	uint32_t   *rows;
	float	   *distances;
	uint32_t	found = 0;

	for (uint32_t i = 0; i < n && has_vectors(f); i++)
		legs[i] = vector_leg(f, nodes[i], legs[i]);
	if (has_vectors(f))
		return GM_OK;
	GM_TRY(get_memory(f, n * sizeof(uint32_t), &rows));
	GM_TRY(get_memory(f, n * sizeof(float), &distances));
	for (uint32_t i = 0; i < n; i++)
	{
		rows[found] = gm_space_row_of(space, nodes[i]);
		found += rows[found] != GM_NONE;
	}
	GM_TRY(gm_space_distances(space, f->opts->vector, rows, found, f->intr, distances));
	found = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		float		distance;

		if (gm_space_row_of(space, nodes[i]) == GM_NONE)
			continue;
		distance = distances[found++];
		if (!isnan(distance))
			legs[i] = similarity(f, distance);
	}
	return GM_OK;
}

static GmStatus
collect_direct(Fusion *f)
{
	const GmFusionOpts *o = f->opts;
	uint32_t	seeds = o->vector_candidates;
	uint32_t	wanted = seeds > o->match_count ? seeds : o->match_count;
	uint64_t	n = 0;
	double		bound;

	for (uint32_t i = 0; i < o->list_count; i++)
		n += o->lists[i].count;
	if (n > UINT32_MAX / 8)
		return GM_TOO_MANY;
	GM_TRY(get_memory(f, n * sizeof(Link), &f->links));
	if (f->use_vector && o->space != NULL)
	{
		uint64_t	rows = o->space->root->sp_rows;

		n += wanted < rows ? wanted : rows;
		if (o->seeds != o->results)
			n += seeds < rows ? seeds : rows;
	}
	GM_TRY(get_memory(f, n * sizeof(Direct), &f->direct));
	GM_TRY(map_create(f, &f->map, n));
	for (uint32_t i = 0; i < o->list_count; i++)
		if (o->lists[i].kind == GM_FUSION_SEED ||
			(o->lists[i].kind == GM_FUSION_VECTOR ? f->use_vector : f->use_text))
			add_list(f, &o->lists[i]);
	if (!f->use_vector || o->space == NULL)
		return GM_OK;
	if (o->seeds == o->results)
		return search_space(f, o->seeds, wanted, seeds, &f->vector_bound);
	GM_TRY(search_space(f, o->seeds, seeds, seeds, &bound));
	return search_space(f, o->results, wanted, 0, &f->vector_bound);
}

/*
 * Restart distribution and walk
 */
static GmStatus
make_seeds(Fusion *f)
{
	double		named = 0;
	double		ranked = 0;
	double		parts;

	GM_TRY(get_memory(f, f->direct_count * sizeof(GmMass), &f->seeds));
	for (uint32_t i = 0; i < f->direct_count; i++)
	{
		named += f->direct[i].named;
		ranked += f->direct[i].ranked;
	}
	parts = (named > 0) + (ranked > 0);
	for (uint32_t i = 0; i < f->direct_count; i++)
	{
		const Direct *d = &f->direct[i];
		double		mass = 0;

		if (named > 0)
			mass += d->named / named / parts;
		if (ranked > 0)
			mass += d->ranked / ranked / parts;
		if (mass > 0)
			f->seeds[f->seed_count++] = (GmMass) {d->node, mass};
	}
	return GM_OK;
}

static GmStatus
walk(Fusion *f)
{
	const GmFusionOpts *o = f->opts;
	GmPprOpts	ppr = {o->damping, o->epsilon};

	f->masses = (GmMasses) {f->seeds, f->seed_count, 0};
	if (f->seed_count > 0 && o->damping > 0 && !o->by_hops)
		GM_TRY(gm_ppr(f->graph, f->view, f->scratch, f->seeds, f->seed_count, &ppr, f->intr,
				   &f->masses));
	else if (f->seed_count > 0 && o->damping > 0)
		GM_TRY(gm_hops_decay(f->graph, f->view, f->scratch, f->seeds, f->seed_count, o->damping,
						  o->max_hops, f->intr, &f->masses));
	for (uint32_t i = 0; i < f->masses.count; i++)
	{
		const GmMass *m = &f->masses.list[i];
		MapEntry   *entry = map_find(&f->map, m->node);

		if (m->mass > f->largest)
			f->largest = m->mass;
		if (entry->node != GM_NONE)
			f->direct[entry->index].mass = m->mass;
	}
	return GM_OK;
}

/*
 * Scores
 */
static double
part(double weight, double leg)
{
	return weight > 0 && leg > 0 ? weight * leg : 0;
}

static double
recency_leg(const Fusion *f, int64_t recorded_at)
{
	double		age = (double) f->opts->now - (double) recorded_at;

	if (recorded_at == GM_TIME_MIN)
		return 0;
	return age <= 0 ? 1 : exp2(-age / HALF_LIFE);
}

static int64_t
recorded_at(const Fusion *f, GmSlot slot)
{
	const GmTimes *t = gm_array_at(&f->graph->times, GM_ARRAY_U32(&f->graph->time, slot));

	return t->recorded_at;
}

static int64_t
newest_around(const Fusion *f, GmNode node)
{
	int64_t		newest = GM_TIME_MIN;
	GmEdgeIter	iter;
	GmEdge		edge;

	gm_edges_begin(&iter, f->graph, f->view, node);
	while (gm_edges_next(&iter, &edge))
		if (recorded_at(f, edge.slot) > newest)
			newest = recorded_at(f, edge.slot);
	return newest;
}

static int64_t
newest_of_steps(const Fusion *f, const GmPathStep *steps, int hops)
{
	int64_t		newest = GM_TIME_MIN;

	for (int i = 1; i <= hops; i++)
		if (recorded_at(f, steps[i].slot) > newest)
			newest = recorded_at(f, steps[i].slot);
	return newest;
}

static double
graph_leg(const Fusion *f, double mass)
{
	return f->largest > 0 ? mass / f->largest : 0;
}

static double
total(const Fusion *f, double vector, double text, double graph, double confidence,
	  double recency)
{
	const GmFusionOpts *o = f->opts;
	double		sum = part(o->confidence_weight, confidence) + part(o->recency_weight, recency);

	if (f->use_vector)
		sum += part(o->vector_weight, vector);
	if (f->use_text)
		sum += part(o->text_weight, text);
	if (f->use_graph)
		sum += part(o->graph_weight, graph);
	return sum < f->weight ? sum / f->weight : 1;
}

/* the score below which nothing can become a row any more */
static double
score_needed(const Fusion *f)
{
	return f->best_count < f->opts->match_count ? -1 : f->best[0];
}

static GmStatus
remember_score(Fusion *f, double score)
{
	uint32_t	hole;
	uint32_t	child;

	if (f->best_count < f->opts->match_count)
	{
		GM_TRY(grow(f, &f->best, &f->best_room, f->best_count + 1, sizeof(double)));
		for (hole = f->best_count++; hole > 0 && f->best[(hole - 1) / 2] > score;
			 hole = (hole - 1) / 2)
			f->best[hole] = f->best[(hole - 1) / 2];
		f->best[hole] = score;
		return GM_OK;
	}
	for (hole = 0; (child = 2 * hole + 1) < f->best_count; hole = child)
	{
		if (child + 1 < f->best_count && f->best[child + 1] < f->best[child])
			child++;
		if (f->best[child] >= score)
			break;
		f->best[hole] = f->best[child];
	}
	f->best[hole] = score;
	return GM_OK;
}

/* takes the row if it can be one of the best; its steps are copied */
static GmStatus
offer_row(Fusion *f, const GmFusionRow *row)
{
	GmPathStep *steps;
	size_t		bytes = ((size_t) row->hops + 1) * sizeof(GmPathStep);

	if (row->score < score_needed(f))
		return GM_OK;
	GM_TRY(get_memory(f, bytes, &steps));
	memcpy(steps, row->steps, bytes);
	GM_TRY(remember_score(f, row->score));
	GM_TRY(grow(f, &f->rows, &f->row_room, f->row_count + 1, sizeof(GmFusionRow)));
	f->rows[f->row_count] = *row;
	f->rows[f->row_count++].steps = steps;
	return GM_OK;
}

static bool
is_result(const Fusion *f, GmNode node)
{
	return f->opts->results == NULL || gm_bit_test(f->opts->results, node);
}

/* legs of those that no search of the space has found */
static GmStatus
read_direct(Fusion *f)
{
	GmNode	   *nodes;
	double	   *legs;
	uint32_t	n = 0;

	GM_TRY(get_memory(f, f->direct_count * sizeof(GmNode), &nodes));
	GM_TRY(get_memory(f, f->direct_count * sizeof(double), &legs));
	for (uint32_t i = 0; i < f->direct_count; i++)
		if (!f->direct[i].exact && is_result(f, f->direct[i].node))
		{
			legs[n] = f->direct[i].vector;
			nodes[n++] = f->direct[i].node;
		}
	GM_TRY(vector_legs(f, nodes, n, legs));
	n = 0;
	for (uint32_t i = 0; i < f->direct_count; i++)
		if (!f->direct[i].exact && is_result(f, f->direct[i].node))
		{
			f->direct[i].vector = legs[n++];
			f->direct[i].exact = true;
		}
	return GM_OK;
}

static GmStatus
offer_direct(Fusion *f)
{
	if (f->use_vector && !has_vectors(f))
		GM_TRY(read_direct(f));
	for (uint32_t i = 0; i < f->direct_count; i++)
	{
		const Direct *d = &f->direct[i];
		GmPathStep	step = {d->node, GM_NONE, false};
		GmFusionRow row = {.node = d->node, .confidence = 1, .steps = &step};
		double		recency = 0;

		if (i % SCORES_PER_LOOK == 0 && gm_interrupted(f->intr))
			return GM_INTERRUPTED;
		if (!is_result(f, d->node))
			continue;
		row.vector_score = !f->use_vector || d->exact ? d->vector :
			vector_leg(f, d->node, d->vector);
		row.text_score = f->use_text ? d->text : NAN;
		row.graph_score = f->use_graph ? graph_leg(f, d->mass) : NAN;
		if (f->opts->recency_weight > 0)
			recency = recency_leg(f, newest_around(f, d->node));
		row.score = total(f, row.vector_score, row.text_score, row.graph_score, 1, recency);
		GM_TRY(offer_row(f, &row));
	}
	return GM_OK;
}

/*
 * Candidates of the walk
 */

/* best paths to the targets; those without one are left out */
static GmStatus
offer_targets(Fusion *f, const GmMass *targets, uint32_t n, bool over_reached)
{
	GmProofOpts opts = {
		.max_hops = f->opts->max_hops,
		.decay = f->opts->damping > MIN_DECAY ? f->opts->damping : MIN_DECAY
	};
	const GmProof *proofs;
	GmNode	   *nodes;
	double	   *legs;

	if (n == 0)
		return GM_OK;
	if (over_reached && !f->opts->by_hops && f->opts->max_hops > FREE_HOPS)
	{
		opts.allowed = f->masses.list;
		opts.allowed_count = f->masses.count;
	}
	GM_TRY(get_memory(f, n * sizeof(GmNode), &nodes));
	GM_TRY(get_memory(f, n * sizeof(double), &legs));
	for (uint32_t i = 0; i < n; i++)
	{
		nodes[i] = targets[i].node;
		legs[i] = NAN;
	}
	if (f->use_vector)
		GM_TRY(vector_legs(f, nodes, n, legs));
	GM_TRY(gm_best_paths(f->graph, f->view, f->scratch, f->seeds, f->seed_count, nodes, n, &opts,
					  f->intr, &proofs));
	for (uint32_t i = 0; i < n; i++)
	{
		GmFusionRow row = {.node = nodes[i], .confidence = proofs[i].confidence,
		.hops = proofs[i].hops, .steps = proofs[i].steps};
		double		recency = 0;

		if (i % SCORES_PER_LOOK == 0 && gm_interrupted(f->intr))
			return GM_INTERRUPTED;
		if (row.hops < 0)
			continue;
		row.vector_score = legs[i];
		row.text_score = f->use_text ? 0 : NAN;
		row.graph_score = f->use_graph ? graph_leg(f, targets[i].mass) : NAN;
		if (f->opts->recency_weight > 0)
			recency = recency_leg(f, newest_of_steps(f, row.steps, row.hops));
		row.score = total(f, row.vector_score, row.text_score, row.graph_score,
						  row.confidence, recency);
		GM_TRY(offer_row(f, &row));
	}
	return GM_OK;
}

/* could a candidate of the walk be a row?  vector: its leg, or a bound of it */
static bool
can_be_row(const Fusion *f, double mass, double vector)
{
	return total(f, vector, 0, graph_leg(f, mass), 1, 1) + SCORE_SLACK >= score_needed(f);
}

/* the mass from which on can_be_row() with the bound may be true */
static double
mass_needed(const Fusion *f)
{
	double		others = total(f, f->vector_bound, 0, 0, 1, 1);

	return (score_needed(f) - others - 2 * SCORE_SLACK) * f->weight / f->opts->graph_weight *
		f->largest;
}

/* larger mass first, then the smaller id */
static bool
is_before(const Fusion *f, const GmMass *a, const GmMass *b)
{
	return a->mass > b->mass ||
		(a->mass == b->mass &&
		 gm_graph_entity_id(f->graph, a->node) < gm_graph_entity_id(f->graph, b->node));
}

static void
sink(const Fusion *f, GmMass *heap, uint32_t count, uint32_t hole)
{
	GmMass		moved = heap[hole];
	uint32_t	child;

	for (; (child = 2 * hole + 1) < count; hole = child)
	{
		if (child + 1 < count && is_before(f, &heap[child + 1], &heap[child]))
			child++;
		if (!is_before(f, &heap[child], &moved))
			break;
		heap[hole] = heap[child];
	}
	heap[hole] = moved;
}

/* in the order of their masses, as long as one of that mass could be a row */
static GmStatus
offer_reached(Fusion *f)
{
	GmMass	   *heap;
	GmMass	   *batch;
	double		needed;
	uint32_t	count = 0;
	uint32_t	room = FIRST_BATCH;

	if (f->masses.count == 0)
		return GM_OK;
	needed = mass_needed(f);
	for (uint32_t i = 0; i < f->masses.count; i++)
		count += f->masses.list[i].mass >= needed;
	GM_TRY(get_memory(f, count * sizeof(GmMass), &heap));
	count = 0;
	for (uint32_t i = 0; i < f->masses.count; i++)
	{
		const GmMass *m = &f->masses.list[i];

		if (i % GM_INTERRUPT_EVERY == 0 && gm_interrupted(f->intr))
			return GM_INTERRUPTED;
		if (m->mass >= needed && is_result(f, m->node) &&
			map_find(&f->map, m->node)->node == GM_NONE)
			heap[count++] = *m;
	}
	for (uint32_t i = count / 2; i-- > 0;)
		sink(f, heap, count, i);
	if (f->opts->match_count > room)
		room = f->opts->match_count < count ? f->opts->match_count : count + 1;
	GM_TRY(get_memory(f, room * sizeof(GmMass), &batch));
	while (count > 0 && can_be_row(f, heap[0].mass, f->vector_bound))
	{
		uint32_t	n = 0;

		while (count > 0 && n < room && can_be_row(f, heap[0].mass, f->vector_bound))
		{
			if (count % SCORES_PER_LOOK == 0 && gm_interrupted(f->intr))
				return GM_INTERRUPTED;
			if (!f->use_vector || !has_vectors(f) ||
				can_be_row(f, heap[0].mass, vector_leg(f, heap[0].node, NAN)))
				batch[n++] = heap[0];
			heap[0] = heap[--count];
			if (count > 0)
				sink(f, heap, count, 0);
		}
		GM_TRY(offer_targets(f, batch, n, true));
		GM_TRY(grow(f, &batch, &room, room + 1, sizeof(GmMass)));
	}
	return GM_OK;
}

/*
 * The guarantee: nodes near the seeds that are no rows yet, nearest first
 */
static GmStatus
offer_nearby(Fusion *f)
{
	GmTraverseOpts opts = {
		.max_hops = f->opts->max_hops,
		.match_count = (uint64_t) f->opts->match_count + f->row_count,
		.kinds = f->opts->results
	};
	GmTraversal nearby;
	GmNode	   *seeds;
	GmMass	   *targets;
	Map			map;
	uint32_t	n = 0;

	GM_TRY(get_memory(f, f->seed_count * sizeof(GmNode), &seeds));
	for (uint32_t i = 0; i < f->seed_count; i++)
		seeds[i] = f->seeds[i].node;
	GM_TRY(gm_traverse(f->graph, f->view, f->scratch, seeds, f->seed_count, &opts, f->intr,
					&nearby));
	GM_TRY(map_create(f, &map, f->row_count + (uint64_t) nearby.order_count));
	for (uint32_t i = 0; i < f->row_count; i++)
		*map_find(&map, f->rows[i].node) = (MapEntry) {f->rows[i].node, GM_NONE};
	GM_TRY(get_memory(f, nearby.order_count * sizeof(GmMass), &targets));
	for (uint32_t i = 0; i < nearby.order_count; i++)
	{
		GmNode		node = nearby.rows[nearby.order[i]].node;
		MapEntry   *entry = map_find(&map, node);

		if (entry->node != GM_NONE)
			continue;
		*entry = (MapEntry) {node, n};
		targets[n++] = (GmMass) {node, 0};
	}
	for (uint32_t i = 0; i < f->masses.count; i++)
	{
		const MapEntry *entry = map_find(&map, f->masses.list[i].node);

		if (entry->node != GM_NONE && entry->index != GM_NONE)
			targets[entry->index].mass = f->masses.list[i].mass;
	}
	return offer_targets(f, targets, n, false);
}

/*
 * Rows
 */
typedef struct RowOrder
{
	double		score;
	int64_t		entity_id;
	uint32_t	row;
} RowOrder;

static int
compare_rows(const void *a, const void *b)
{
	const RowOrder *x = a;
	const RowOrder *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->entity_id > y->entity_id) - (x->entity_id < y->entity_id);
}

typedef struct SourceOrder
{
	int64_t		source_id;
	uint32_t	source;
} SourceOrder;

static int
compare_sources(const void *a, const void *b)
{
	const SourceOrder *x = a;
	const SourceOrder *y = b;

	return (x->source_id > y->source_id) - (x->source_id < y->source_id);
}

static GmStatus
note_source(Fusion *f, SourceOrder **list, uint32_t *room, uint32_t *n, uint32_t source)
{
	GM_TRY(grow(f, list, room, *n + 1, sizeof(SourceOrder)));
	(*list)[(*n)++] = (SourceOrder) {gm_graph_source(f->graph, source)->source_id, source};
	return GM_OK;
}

static GmStatus
find_sources(Fusion *f, GmFusionRow *row)
{
	const GmGraph *g = f->graph;
	SourceOrder *list = NULL;
	uint32_t	room = 0;
	uint32_t	n = 0;
	uint32_t   *sources;

	for (int i = 1; i <= row->hops; i++)
	{
		GmAssertionIter iter;
		const GmAssertion *a;

		gm_assertions_begin(&iter, g, GM_ARRAY_I64(&g->fact_id, row->steps[i].slot));
		while ((a = gm_assertions_next(&iter)) != NULL)
			if (a->asserted_at <= f->view->known_at)
				GM_TRY(note_source(f, &list, &room, &n, a->source));
	}
	if (row->hops == 0)
	{
		const MapEntry *entry = map_find(&f->map, row->node);

		if (entry->node != GM_NONE)
			for (uint32_t i = f->direct[entry->index].first_source; i != GM_NONE;
				 i = f->links[i].next)
				GM_TRY(note_source(f, &list, &room, &n, f->links[i].source));
	}
	if (n == 0)
		return GM_OK;
	qsort(list, n, sizeof(SourceOrder), compare_sources);
	GM_TRY(get_memory(f, n * sizeof(uint32_t), &sources));
	for (uint32_t i = 0; i < n; i++)
		if (i == 0 || list[i].source != list[i - 1].source)
			sources[row->source_count++] = list[i].source;
	row->sources = sources;
	return GM_OK;
}

static GmStatus
write_rows(Fusion *f, const GmFusionRow **rows, uint32_t *count)
{
	uint32_t	n = f->row_count < f->opts->match_count ? f->row_count : f->opts->match_count;
	RowOrder   *order;
	GmFusionRow *out;

	GM_TRY(get_memory(f, f->row_count * sizeof(RowOrder), &order));
	GM_TRY(get_memory(f, n * sizeof(GmFusionRow), &out));
	for (uint32_t i = 0; i < f->row_count; i++)
		order[i] = (RowOrder) {f->rows[i].score,
			gm_graph_entity_id(f->graph, f->rows[i].node), i};
	qsort(order, f->row_count, sizeof(RowOrder), compare_rows);
	for (uint32_t i = 0; i < n; i++)
	{
		if (i % SCORES_PER_LOOK == 0 && gm_interrupted(f->intr))
			return GM_INTERRUPTED;
		out[i] = f->rows[order[i].row];
		GM_TRY(find_sources(f, &out[i]));
	}
	*rows = out;
	*count = n;
	return GM_OK;
}

static void
choose_legs(Fusion *f)
{
	const GmFusionOpts *o = f->opts;

	f->use_vector = o->vector_asked && o->vector_weight > 0;
	f->use_text = o->text_asked && o->text_weight > 0;
	f->use_graph = o->graph_weight > 0;
	f->weight = (f->use_vector ? o->vector_weight : 0) + (f->use_text ? o->text_weight : 0) +
		o->graph_weight + o->confidence_weight + o->recency_weight;
}

double
gm_fusion_weight(const GmFusionOpts *opts)
{
	Fusion		f = {.opts = opts};

	choose_legs(&f);
	return f.weight;
}

GmStatus
gm_fusion(const GmGraph *graph, const GmView *view, GmScratch *scratch,
		  const GmFusionOpts *opts, const GmFusionMemory *memory,
		  const GmInterrupt *intr, const GmFusionRow **rows, uint32_t *count)
{
	Fusion		f = {
		.graph = graph, .view = view, .scratch = scratch, .opts = opts, .memory = memory,
		.intr = intr
	};

	*rows = NULL;
	*count = 0;
	choose_legs(&f);
	if (!(f.weight > 0) || !(f.weight < INFINITY) || opts->max_hops < 0 || !(opts->rrf_k >= 0) ||
		!(opts->damping >= 0 && opts->damping < 1))
		return GM_BAD_VALUE;
	if (opts->match_count == 0)
		return GM_OK;
	GM_TRY(collect_direct(&f));
	GM_TRY(make_seeds(&f));
	if (f.use_graph)
		GM_TRY(walk(&f));
	if (gm_interrupted(intr))
		return GM_INTERRUPTED;
	GM_TRY(offer_direct(&f));
	if (f.seed_count > 0)
		GM_TRY(offer_reached(&f));
	if (f.seed_count > 0 && f.row_count < opts->match_count)
		GM_TRY(offer_nearby(&f));
	return write_rows(&f, rows, count);
}
