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
#define MIN_CENTRE			1e-6	/* length of a mean of vectors of length 1 that is not rounding */
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

/* a direct candidate, or one of those that lie nearest by topology */
typedef struct Direct
{
	GmNode		node;
	uint32_t	first_source;	/* in Fusion.links; GM_NONE: none */
	double		named;
	double		ranked;
	double		mass;
	double		vector;			/* similarity; NaN: none known */
	double		topology;		/* likewise */
	bool		exact;			/* vector is that of the entity space */
	bool		near;			/* it is no hit, but near by topology */
	float		text;
} Direct;

/* a space of entities, and what its vectors are compared with */
typedef struct Leg
{
	GmSpace    *space;			/* NULL: none */
	const GmSpaceQuery *query;
	GmSpaceReport *report;		/* NULL: not wanted */
	double		bound;			/* of an entity that its search did not find */
} Leg;

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
	bool		use_topology;
	double		weight;			/* of the legs that count */
	Leg			vector;
	Leg			topology;
	GmSpaceQuery centre;		/* of the starting points, by topology */

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
			.node = node, .first_source = GM_NONE, .vector = NAN, .topology = NAN
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
rows_of_nodes(Fusion *f, const GmSpace *space, const uint64_t *nodes, uint32_t most,
			  uint32_t **rows, uint32_t *count)
{
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
nearest_rows(Fusion *f, const Leg *leg, const uint64_t *nodes, uint32_t k, GmSpaceHit *hits,
			 uint32_t *found)
{
	GmSpace    *space = leg->space;
	Allowed		allowed = {space, nodes};
	GmSpaceWish wish = {
		.k = k, .ef_search = f->opts->ef_search, .exact = f->opts->exact, .without = GM_NONE
	};
	GmSpaceReport unused;
	GmSpaceReport *report = leg->report == NULL ? &unused : leg->report;

	if (nodes != NULL)
	{
		uint32_t   *rows;
		uint32_t	n;

		GM_TRY(rows_of_nodes(f, space, nodes, space->root->sp_rows / FEW_ROWS_SHARE, &rows, &n));
		*report = (GmSpaceReport) {.exact = true, .compared = n};
		if (rows != NULL)
			return gm_space_search_rows(space, leg->query, k, rows, n, f->intr, hits, found);
		wish.accept = row_is_allowed;
		wish.arg = &allowed;
	}
	return gm_space_nearest(space, f->opts->work, leg->query, &wish, f->intr, hits, found,
							report);
}

static double
similarity(const GmSpace *space, double distance)
{
	return gm_space_similarity((GmMetric) space->root->sp_metric, distance);
}

/* the k nearest rows, in memory of the call; the leg's bound is set */
static GmStatus
search_leg(Fusion *f, Leg *leg, const uint64_t *nodes, uint32_t k, GmSpaceHit **hits,
		   uint32_t *found)
{
	if (k > leg->space->root->sp_rows)
		k = leg->space->root->sp_rows;
	GM_TRY(get_memory(f, k * sizeof(GmSpaceHit), hits));
	GM_TRY(nearest_rows(f, leg, nodes, k, *hits, found));
	if (gm_interrupted(f->intr))
		return GM_INTERRUPTED;
	leg->bound = *found == k && k > 0 ? similarity(leg->space, (*hits)[k - 1].distance) : 0;
	return GM_OK;
}

/* nearest vectors, the first as_seeds of them seeds */
static GmStatus
search_space(Fusion *f, const uint64_t *nodes, uint32_t k, uint32_t as_seeds)
{
	const GmSpace *space = f->vector.space;
	GmSpaceHit *hits;
	uint32_t	found;

	GM_TRY(search_leg(f, &f->vector, nodes, k, &hits, &found));
	for (uint32_t i = 0; i < found; i++)
	{
		Direct	   *d = direct_of(f, gm_space_number(space, hits[i].row));

		d->vector = similarity(space, hits[i].distance);
		d->exact = true;
		if (i < as_seeds)
			d->ranked += f->opts->vector_weight / (f->opts->rrf_k + i + 1);
	}
	return GM_OK;
}

/* missing: what it is where the space has no vector of the node */
static double
leg_of(const Leg *leg, GmNode node, double missing)
{
	uint32_t	row = leg->space == NULL ? GM_NONE : gm_space_row_of(leg->space, node);

	if (row == GM_NONE)
		return missing;
	return similarity(leg->space, gm_space_distance(leg->space, leg->query, row));
}

/* vectors are at hand, one at a time */
static bool
has_vectors(const Leg *leg)
{
	return leg->space == NULL || leg->space->root->sp_absent == 0;
}

/* the same of several nodes: in legs */
static GmStatus
legs_of(Fusion *f, const Leg *leg, const GmNode *nodes, uint32_t n, double *legs)
{
	const GmSpace *space = leg->space;
	uint32_t   *rows;
	float	   *distances;
	uint32_t	found = 0;

	for (uint32_t i = 0; i < n && has_vectors(leg); i++)
		legs[i] = leg_of(leg, nodes[i], legs[i]);
	if (has_vectors(leg))
		return GM_OK;
	GM_TRY(get_memory(f, n * sizeof(uint32_t), &rows));
	GM_TRY(get_memory(f, n * sizeof(float), &distances));
	for (uint32_t i = 0; i < n; i++)
	{
		rows[found] = gm_space_row_of(space, nodes[i]);
		found += rows[found] != GM_NONE;
	}
	GM_TRY(gm_space_distances(space, leg->query, rows, found, f->intr, distances));
	found = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		float		distance;

		if (gm_space_row_of(space, nodes[i]) == GM_NONE)
			continue;
		distance = distances[found++];
		if (!isnan(distance))
			legs[i] = similarity(space, distance);
	}
	return GM_OK;
}

/* how many are taken from a space to be candidates */
static uint32_t
most_near(const Fusion *f)
{
	const GmFusionOpts *o = f->opts;

	return o->vector_candidates > o->match_count ? o->vector_candidates : o->match_count;
}

static GmStatus
collect_direct(Fusion *f)
{
	const GmFusionOpts *o = f->opts;
	uint32_t	seeds = o->vector_candidates;
	uint32_t	wanted = most_near(f);
	uint64_t	n = 0;

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
	if (f->use_topology)
	{
		uint64_t	rows = o->topology->root->sp_rows;

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
		return search_space(f, o->seeds, wanted, seeds);
	GM_TRY(search_space(f, o->seeds, seeds, seeds));
	return search_space(f, o->results, wanted, 0);
}

/*
 * Restart distribution, topology and walk
 */
static double
weight_of_legs(const Fusion *f)
{
	const GmFusionOpts *o = f->opts;

	return (f->use_vector ? o->vector_weight : 0) + (f->use_text ? o->text_weight : 0) +
		(f->use_topology ? o->topology_weight : 0) + o->graph_weight + o->confidence_weight +
		o->recency_weight;
}

static GmStatus
make_seeds(Fusion *f)
{
	double		named = 0;
	double		ranked = 0;
	double		parts;

	GM_TRY(get_memory(f, f->direct_count * sizeof(GmMass), &f->seeds));
	f->seed_count = 0;
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

/*
 * The starting points' vectors, by their masses; under cosine each counts with
 * length 1.  *there: some have one, and they do not cancel each other out.
 */
static GmStatus
find_centre(Fusion *f, bool *there)
{
	GmSpace    *space = f->opts->topology;
	uint32_t	dim = space->root->sp_dim;
	double		mass = 0;
	double		length = 0;
	double	   *sum;
	float	   *vector;

	GM_TRY(get_memory(f, dim * sizeof(double), &sum));
	GM_TRY(get_memory(f, dim * sizeof(float), &vector));
	memset(sum, 0, dim * sizeof(double));
	*there = false;
	for (uint32_t i = 0; i < f->seed_count; i++)
	{
		uint32_t	row = gm_space_row_of(space, f->seeds[i].node);
		GmSpaceQuery one;
		bool		found;

		if (i % SCORES_PER_LOOK == 0 && gm_interrupted(f->intr))
			return GM_INTERRUPTED;
		if (row == GM_NONE)
			continue;
		GM_TRY(gm_space_read(space, row, vector, &found));
		if (!found || gm_space_prepare(space, vector, &one) != GM_OK)
			continue;
		mass += f->seeds[i].mass;
		for (uint32_t d = 0; d < dim; d++)
			sum[d] += f->seeds[i].mass * one.scale * vector[d];
	}
	if (mass <= 0)
		return GM_OK;
	for (uint32_t d = 0; d < dim; d++)
	{
		vector[d] = (float) (sum[d] / mass);
		length += sum[d] / mass * (sum[d] / mass);
	}
	*there = (space->root->sp_metric != GM_METRIC_COSINE || sqrt(length) > MIN_CENTRE) &&
		gm_space_prepare(space, vector, &f->centre) == GM_OK;
	return GM_OK;
}

/* what is nearest to the centre, the first as_seeds of it seeds */
static GmStatus
search_near(Fusion *f, const uint64_t *nodes, uint32_t k, uint32_t as_seeds)
{
	const GmSpace *space = f->topology.space;
	GmSpaceHit *hits;
	uint32_t	found;

	GM_TRY(search_leg(f, &f->topology, nodes, k, &hits, &found));
	for (uint32_t i = 0; i < found; i++)
	{
		double		near = similarity(space, hits[i].distance);
		uint32_t	known = f->direct_count;
		Direct	   *d;

		if (near <= 0)
			break;
		d = direct_of(f, gm_space_number(space, hits[i].row));
		d->near |= f->direct_count > known;
		d->topology = near;
		if (i < as_seeds)
			d->ranked += f->opts->topology_weight / (f->opts->rrf_k + i + 1);
	}
	return GM_OK;
}

/* without a centre the leg is not there */
static GmStatus
search_topology(Fusion *f)
{
	const GmFusionOpts *o = f->opts;
	uint32_t	seeds = o->vector_candidates;

	GM_TRY(find_centre(f, &f->use_topology));
	if (!f->use_topology)
	{
		f->weight = weight_of_legs(f);
		return GM_OK;
	}
	f->topology = (Leg) {o->topology, &f->centre, o->topology_report, 0};
	if (o->seeds == o->results)
		GM_TRY(search_near(f, o->seeds, most_near(f), seeds));
	else
	{
		GM_TRY(search_near(f, o->seeds, seeds, seeds));
		GM_TRY(search_near(f, o->results, most_near(f), 0));
	}
	return make_seeds(f);
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

/* recency is in the score only */
static double
total(const Fusion *f, const GmFusionRow *row, double recency)
{
	const GmFusionOpts *o = f->opts;
	double		sum = part(o->confidence_weight, row->confidence) +
		part(o->recency_weight, recency);

	if (f->use_vector)
		sum += part(o->vector_weight, row->vector_score);
	if (f->use_text)
		sum += part(o->text_weight, row->text_score);
	if (f->use_graph)
		sum += part(o->graph_weight, row->graph_score);
	if (f->use_topology)
		sum += part(o->topology_weight, row->topology_score);
	if (f->weight <= 0)
		return 0;
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

static bool
is_missing(const Fusion *f, const Direct *d, bool of_vectors)
{
	return !d->near && is_result(f, d->node) && (of_vectors ? !d->exact : isnan(d->topology));
}

/* the leg of those hits that no search of its space has found */
static GmStatus
read_direct(Fusion *f, const Leg *leg)
{
	bool		of_vectors = leg == &f->vector;
	GmNode	   *nodes;
	double	   *legs;
	uint32_t	n = 0;

	GM_TRY(get_memory(f, f->direct_count * sizeof(GmNode), &nodes));
	GM_TRY(get_memory(f, f->direct_count * sizeof(double), &legs));
	for (uint32_t i = 0; i < f->direct_count; i++)
		if (is_missing(f, &f->direct[i], of_vectors))
		{
			legs[n] = of_vectors ? f->direct[i].vector : NAN;
			nodes[n++] = f->direct[i].node;
		}
	GM_TRY(legs_of(f, leg, nodes, n, legs));
	n = 0;
	for (uint32_t i = 0; i < f->direct_count; i++)
	{
		Direct	   *d = &f->direct[i];

		if (!is_missing(f, d, of_vectors))
			continue;
		*(of_vectors ? &d->vector : &d->topology) = legs[n++];
		d->exact |= of_vectors;
	}
	return GM_OK;
}

static GmStatus
offer_direct(Fusion *f)
{
	if (f->use_vector && !has_vectors(&f->vector))
		GM_TRY(read_direct(f, &f->vector));
	if (f->use_topology)
		GM_TRY(read_direct(f, &f->topology));
	for (uint32_t i = 0; i < f->direct_count; i++)
	{
		const Direct *d = &f->direct[i];
		GmPathStep	step = {d->node, GM_NONE, false};
		GmFusionRow row = {.node = d->node, .confidence = 1, .steps = &step};
		double		recency = 0;

		if (i % SCORES_PER_LOOK == 0 && gm_interrupted(f->intr))
			return GM_INTERRUPTED;
		if (d->near || !is_result(f, d->node))
			continue;
		row.vector_score = !f->use_vector || d->exact ? d->vector :
			leg_of(&f->vector, d->node, d->vector);
		row.text_score = f->use_text ? d->text : NAN;
		row.graph_score = f->use_graph ? graph_leg(f, d->mass) : NAN;
		row.topology_score = d->topology;
		if (f->opts->recency_weight > 0)
			recency = recency_leg(f, newest_around(f, d->node));
		row.score = total(f, &row, recency);
		GM_TRY(offer_row(f, &row));
	}
	return GM_OK;
}

/*
 * Candidates that are no hits
 */

/* what is to be offered; the legs may be NaN */
typedef struct Targets
{
	GmMass	   *list;
	uint32_t	n;
	bool		over_reached;	/* paths beyond FREE_HOPS cross what the walk reached */
	bool		near;			/* without a path they stand for themselves */
} Targets;

static GmStatus
legs_of_targets(Fusion *f, const Leg *leg, bool used, const GmNode *nodes, uint32_t n,
				double **legs)
{
	GM_TRY(get_memory(f, n * sizeof(double), legs));
	for (uint32_t i = 0; i < n; i++)
		(*legs)[i] = NAN;
	return used ? legs_of(f, leg, nodes, n, *legs) : GM_OK;
}

/* best paths to the targets; those without one are left out, or are near */
static GmStatus
offer_targets(Fusion *f, const Targets *targets)
{
	GmProofOpts opts = {
		.max_hops = f->opts->max_hops,
		.decay = f->opts->damping > MIN_DECAY ? f->opts->damping : MIN_DECAY
	};
	uint32_t	n = targets->n;
	const GmProof *proofs;
	GmNode	   *nodes;
	double	   *vectors;
	double	   *topology;

	if (n == 0)
		return GM_OK;
	if (targets->over_reached && !f->opts->by_hops && f->opts->max_hops > FREE_HOPS)
	{
		opts.allowed = f->masses.list;
		opts.allowed_count = f->masses.count;
	}
	GM_TRY(get_memory(f, n * sizeof(GmNode), &nodes));
	for (uint32_t i = 0; i < n; i++)
		nodes[i] = targets->list[i].node;
	GM_TRY(legs_of_targets(f, &f->vector, f->use_vector, nodes, n, &vectors));
	GM_TRY(legs_of_targets(f, &f->topology, f->use_topology, nodes, n, &topology));
	GM_TRY(gm_best_paths(f->graph, f->view, f->scratch, f->seeds, f->seed_count, nodes, n, &opts,
					  f->intr, &proofs));
	for (uint32_t i = 0; i < n; i++)
	{
		GmPathStep	step = {nodes[i], GM_NONE, false};
		GmFusionRow row = {.node = nodes[i], .confidence = proofs[i].confidence,
		.hops = proofs[i].hops, .steps = proofs[i].steps};
		double		recency = 0;

		if (i % SCORES_PER_LOOK == 0 && gm_interrupted(f->intr))
			return GM_INTERRUPTED;
		if (row.hops < 0 && !targets->near)
			continue;
		if (row.hops < 0)
		{
			row.hops = 0;
			row.confidence = 1;
			row.steps = &step;
		}
		row.vector_score = vectors[i];
		row.text_score = f->use_text ? 0 : NAN;
		row.graph_score = f->use_graph ? graph_leg(f, targets->list[i].mass) : NAN;
		row.topology_score = topology[i];
		if (f->opts->recency_weight > 0)
			recency = recency_leg(f, row.hops == 0 ? newest_around(f, row.node) :
								  newest_of_steps(f, row.steps, row.hops));
		row.score = total(f, &row, recency);
		GM_TRY(offer_row(f, &row));
	}
	return GM_OK;
}

/* could a candidate that is no hit be a row?  vector, topology: its legs, or bounds of them */
static bool
can_be_row(const Fusion *f, double mass, double vector, double topology)
{
	GmFusionRow best = {.vector_score = vector, .topology_score = topology,
	.graph_score = graph_leg(f, mass), .confidence = 1};

	return total(f, &best, 1) + SCORE_SLACK >= score_needed(f);
}

static bool
mass_can_be_row(const Fusion *f, double mass)
{
	return can_be_row(f, mass, f->vector.bound, f->topology.bound);
}

static bool
target_can_be_row(const Fusion *f, const GmMass *target)
{
	double		vector = f->vector.bound;
	double		topology = f->topology.bound;

	if (f->use_vector && has_vectors(&f->vector))
		vector = leg_of(&f->vector, target->node, NAN);
	if (f->use_topology && has_vectors(&f->topology))
		topology = leg_of(&f->topology, target->node, NAN);
	return can_be_row(f, target->mass, vector, topology);
}

/* the mass from which on mass_can_be_row() may be true */
static double
mass_needed(const Fusion *f)
{
	GmFusionRow best = {.vector_score = f->vector.bound, .topology_score = f->topology.bound,
	.confidence = 1};
	double		others = total(f, &best, 1);

	return (score_needed(f) - others - 2 * SCORE_SLACK) * f->weight / f->opts->graph_weight *
		f->largest;
}

/* those that are near by topology alone */
static GmStatus
offer_near(Fusion *f)
{
	Targets		targets = {.near = true, .over_reached = f->masses.count > 0};

	GM_TRY(get_memory(f, f->direct_count * sizeof(GmMass), &targets.list));
	for (uint32_t i = 0; i < f->direct_count; i++)
	{
		GmMass		target = {f->direct[i].node, f->direct[i].mass};

		if (f->direct[i].near && is_result(f, target.node) && target_can_be_row(f, &target))
			targets.list[targets.n++] = target;
	}
	return offer_targets(f, &targets);
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
	Targets		batch = {.over_reached = true};
	GmMass	   *heap;
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
	GM_TRY(get_memory(f, room * sizeof(GmMass), &batch.list));
	while (count > 0 && mass_can_be_row(f, heap[0].mass))
	{
		batch.n = 0;
		while (count > 0 && batch.n < room && mass_can_be_row(f, heap[0].mass))
		{
			if (count % SCORES_PER_LOOK == 0 && gm_interrupted(f->intr))
				return GM_INTERRUPTED;
			if (target_can_be_row(f, &heap[0]))
				batch.list[batch.n++] = heap[0];
			heap[0] = heap[--count];
			if (count > 0)
				sink(f, heap, count, 0);
		}
		GM_TRY(offer_targets(f, &batch));
		GM_TRY(grow(f, &batch.list, &room, room + 1, sizeof(GmMass)));
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
	Targets		targets = {0};
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
	GM_TRY(get_memory(f, nearby.order_count * sizeof(GmMass), &targets.list));
	for (uint32_t i = 0; i < nearby.order_count; i++)
	{
		GmNode		node = nearby.rows[nearby.order[i]].node;
		MapEntry   *entry = map_find(&map, node);

		if (entry->node != GM_NONE)
			continue;
		*entry = (MapEntry) {node, n};
		targets.list[n++] = (GmMass) {node, 0};
	}
	for (uint32_t i = 0; i < f->masses.count; i++)
	{
		const MapEntry *entry = map_find(&map, f->masses.list[i].node);

		if (entry->node != GM_NONE && entry->index != GM_NONE)
			targets.list[entry->index].mass = f->masses.list[i].mass;
	}
	targets.n = n;
	return offer_targets(f, &targets);
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
	f->use_topology = o->topology_asked && o->topology_weight > 0;
	f->weight = weight_of_legs(f);
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
	f.vector = (Leg) {opts->space, opts->vector, opts->report, 0};
	GM_TRY(collect_direct(&f));
	GM_TRY(make_seeds(&f));
	if (f.use_topology)
		GM_TRY(search_topology(&f));
	if (f.use_graph)
		GM_TRY(walk(&f));
	if (gm_interrupted(intr))
		return GM_INTERRUPTED;
	GM_TRY(offer_direct(&f));
	if (f.use_topology)
		GM_TRY(offer_near(&f));
	if (f.seed_count > 0)
		GM_TRY(offer_reached(&f));
	if (f.seed_count > 0 && f.row_count < opts->match_count)
		GM_TRY(offer_nearby(&f));
	return write_rows(&f, rows, count);
}
