/*-------------------------------------------------------------------------
 *
 * graph_build.c
 *	  Building the image of one graph from rows in any order.
 *
 * Rows go straight into the image's arrays as they come.  What comes out of
 * order by id (tables that saw updates) is put in order by one permutation at
 * the end of its kind, so that dense numbers ascend with ids.  graph_runs.c
 * then makes the adjacency.
 *
 * Memory		beside the image: 4 bytes an entity id of the graph's span (at
 *				most 16 an entity) while triples come, 24 bytes a row where rows
 *				must be put in order; all charged to the image's limit
 * Complexity	linear; measured with make bench
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/apply_private.h"
#include "core/graph.h"
#include "core/graph_private.h"

/* id -> dense number, for the time of building */
typedef struct IdMap
{
	int64_t		min;
	uint64_t	span;			/* direct: ids min .. min + span - 1 */
	uint32_t   *direct;			/* number + 1 */
	const GmArray *ids;			/* hashed: the ascending ids themselves */
	uint32_t   *hashed;			/* number + 1 */
	uint32_t	mask;
} IdMap;

struct GmGraphBuild
{
	bool		entities_done;
	bool		predicates_done;
	bool		sources_done;
	IdMap		entities;
	IdMap		predicates;
	GmTimes		last_times;
	uint32_t	last_time;
	uint32_t   *time_table;		/* number + 1, open addressing */
	uint32_t	time_mask;
	bool		slots_ascend;
	bool		assertions_ascend;
	const GmInterrupt *intr;
};

static void
map_free(GmMem *mem, IdMap *map)
{
	gm_mem_temp_free(mem, map->direct);
	gm_mem_temp_free(mem, map->hashed);
	memset(map, 0, sizeof(*map));
}

static void
build_free(GmGraph *g)
{
	GmGraphBuild *b = g->build;

	if (b == NULL)
		return;
	map_free(g->mem, &b->entities);
	map_free(g->mem, &b->predicates);
	free(b->time_table);
	free(b);
	g->build = NULL;
}

/* string number 0 stands for none, times number 0 for never */
static GmStatus
reserve_zeroth(GmGraph *g)
{
	GM_TRY(gm_array_reserve(g->mem, &g->string, 1));
	g->root->gr_string.ar_length = 1;
	*(GmRef *) gm_array_at(&g->string, 0) = 0;
	GM_TRY(gm_array_reserve(g->mem, &g->string_use, 1));
	g->root->gr_string_use.ar_length = 1;
	GM_ARRAY_U32(&g->string_use, 0) = 0;
	GM_TRY(gm_array_reserve(g->mem, &g->times, 1));
	g->root->gr_times.ar_length = 1;
	*(GmTimes *) gm_array_at(&g->times, 0) = (GmTimes) {
		GM_TIME_MAX, GM_TIME_MIN, GM_TIME_MAX, GM_TIME_MIN
	};
	return GM_OK;
}

GmStatus
gm_graph_create(GmMem *mem, GmGraph **graph)
{
	GmGraph    *g = calloc(1, sizeof(GmGraph));
	GmRef		ref;
	GmStatus	status;

	if (g == NULL)
		return GM_NO_MEMORY;
	g->mem = mem;
	g->build = calloc(1, sizeof(GmGraphBuild));
	status = g->build == NULL ? GM_NO_MEMORY : gm_mem_alloc(mem, sizeof(GmGraphRoot), &ref);
	if (status != GM_OK)
	{
		free(g->build);
		free(g);
		return status;
	}
	g->root = gm_mem_ptr(mem, ref);
	memset(g->root, 0, sizeof(*g->root));
	g->root->gr_magic = GM_GRAPH_MAGIC;
	g->root->gr_layout = GM_GRAPH_LAYOUT;
	g->root->gr_latest = GM_TIME_MIN;
	g->build->slots_ascend = true;
	g->build->assertions_ascend = true;

#define INIT(field, size, page) gm_array_init(&g->root->gr_##field, size, page);
	GM_GRAPH_ARRAYS(INIT)
#undef INIT
#define INIT(field) gm_index_init(&g->root->gr_##field, 0);
	GM_GRAPH_INDEXES(INIT)
#undef INIT
	status = gm_graph_attach_root(g, ref);
	if (status == GM_OK)
		status = reserve_zeroth(g);
	if (status != GM_OK)
	{
		gm_graph_destroy(g);
		return status;
	}
	*graph = g;
	return GM_OK;
}

void
gm_graph_destroy(GmGraph *g)
{
	if (g == NULL)
		return;
	build_free(g);
	gm_late_free(g);
	for (uint32_t i = 0; i < g->space_room; i++)
		gm_space_destroy(g->spaces[i]);
	free(g->spaces);
	free(g->space_current);
#define DETACH(field, size, page) gm_array_detach(&g->field);
	GM_GRAPH_ARRAYS(DETACH)
#undef DETACH
#define DETACH(field) gm_index_detach(&g->field);
	GM_GRAPH_INDEXES(DETACH)
#undef DETACH
	free(g);
}

GmStatus
gm_graph_add_string(GmGraph *g, const char *bytes, uint32_t length, GmRef *ref)
{
	GmString   *s;

	GM_TRY(gm_mem_alloc(g->mem, sizeof(GmString) + length, ref));
	s = gm_mem_ptr(g->mem, *ref);
	s->length = length;
	if (length > 0)
		memcpy(s->bytes, bytes, length);
	return GM_OK;
}

/* number of a kind or type: few different ones, so looked for from the last */
static GmStatus
intern(GmGraph *g, const char *bytes, uint32_t length, uint32_t *number)
{
	uint64_t	n = g->root->gr_string.ar_length;

	if (bytes == NULL)
	{
		*number = 0;
		return GM_OK;
	}
	for (uint64_t i = n - 1; i > 0; i--)
	{
		const GmString *s = gm_graph_string(g, *(GmRef *) gm_array_at(&g->string, i));

		if (s->length == length && memcmp(s->bytes, bytes, length) == 0)
		{
			*number = (uint32_t) i;
			return GM_OK;
		}
	}
	if (n >= GM_NONE)
		return GM_TOO_MANY;
	GM_TRY(gm_array_reserve(g->mem, &g->string, n + 1));
	GM_TRY(gm_array_reserve(g->mem, &g->string_use, n + 1));
	GM_TRY(gm_graph_add_string(g, bytes, length, (GmRef *) gm_array_at(&g->string, n)));
	GM_ARRAY_U32(&g->string_use, n) = 0;
	g->root->gr_string.ar_length = g->root->gr_string_use.ar_length = n + 1;
	*number = (uint32_t) n;
	return GM_OK;
}

void
gm_graph_set_interrupt(GmGraph *g, const GmInterrupt *intr)
{
	g->build->intr = intr;
}

#define PAUSE(g, i)	GM_PAUSE((g)->build->intr, i)

GmStatus
gm_graph_add_predicate(GmGraph *g, int64_t predicate_id, const char *name, uint32_t length,
					   bool functional, bool symmetric, float weight)
{
	uint32_t	n = g->root->gr_predicates;
	GmPredicate *p;

	if (n >= GM_NONE - 1)
		return GM_TOO_MANY;
	GM_TRY(gm_array_reserve(g->mem, &g->predicate_info, (uint64_t) n + 1));
	p = gm_array_at(&g->predicate_info, n);
	p->predicate_id = predicate_id;
	p->functional = functional;
	p->symmetric = symmetric;
	p->weight = weight;
	GM_TRY(gm_graph_add_string(g, name, length, &p->name));
	g->root->gr_symmetric |= symmetric;
	g->root->gr_weighted |= weight != 1.0f;
	g->root->gr_predicates = n + 1;
	g->root->gr_predicate_info.ar_length = n + 1;
	return GM_OK;
}

GmStatus
gm_graph_add_entity(GmGraph *g, int64_t entity_id, const char *name, uint32_t length,
					const char *literal_type, uint32_t type_length,
					const char *kind, uint32_t kind_length)
{
	uint32_t	n = g->root->gr_nodes;
	uint32_t	type_number;
	uint32_t	kind_number;

	if (n >= GM_NONE - 1)
		return GM_TOO_MANY;
	GM_TRY(gm_array_reserve(g->mem, &g->entity_id, (uint64_t) n + 1));
	GM_TRY(gm_array_reserve(g->mem, &g->name, (uint64_t) n + 1));
	GM_TRY(gm_array_reserve(g->mem, &g->hash, (uint64_t) n + 1));
	GM_TRY(gm_array_reserve(g->mem, &g->kind, (uint64_t) n + 1));
	GM_TRY(gm_array_reserve(g->mem, &g->type, (uint64_t) n + 1));
	GM_TRY(gm_array_reserve(g->mem, &g->created, (uint64_t) n + 1));
	GM_TRY(intern(g, literal_type, type_length, &type_number));
	GM_TRY(intern(g, kind, kind_length, &kind_number));
	GM_TRY(gm_graph_add_string(g, name, length, (GmRef *) gm_array_at(&g->name, n)));
	GM_ARRAY_I64(&g->entity_id, n) = entity_id;
	GM_ARRAY_U32(&g->hash, n) = gm_graph_hash(name, length);
	GM_ARRAY_U32(&g->kind, n) = kind_number;
	GM_ARRAY_U32(&g->type, n) = type_number;
	GM_ARRAY_U32(&g->string_use, kind_number) += kind_number != 0;
	GM_ARRAY_U32(&g->string_use, type_number) += type_number != 0;
	GM_ARRAY_I64(&g->created, n) = GM_TIME_MIN;
	g->root->gr_nodes = n + 1;
	return GM_OK;
}

void
gm_graph_date_entity(GmGraph *g, int64_t created_at)
{
	GM_ARRAY_I64(&g->created, g->root->gr_nodes - 1) = created_at;
	gm_latest_note(g->root, created_at);
}

/*
 * Order by id
 */
typedef struct IdAt
{
	int64_t		id;
	int64_t		second;
	uint32_t	at;
} IdAt;

static int
compare_id_at(const void *a, const void *b)
{
	const IdAt *x = a;
	const IdAt *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	if (x->second != y->second)
		return x->second < y->second ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

#define SORT_PIECE	32768

/*
 * qsort in pieces, then merges, so that an interrupt is seen every few
 * milliseconds however many there are.  at makes the order total.
 */
static GmStatus
sort_ids(GmGraph *g, IdAt *a, uint32_t n)
{
	IdAt	   *from = a;
	IdAt	   *to;
	IdAt	   *spare;

	for (uint64_t start = 0; start < n; start += SORT_PIECE)
	{
		if (gm_interrupted(g->build->intr))
			return GM_INTERRUPTED;
		qsort(a + start, n - start < SORT_PIECE ? n - start : SORT_PIECE, sizeof(IdAt),
			  compare_id_at);
	}
	if (n <= SORT_PIECE)
		return GM_OK;
	GM_TRY(gm_mem_temp(g->mem, (size_t) n * sizeof(IdAt), (void **) &spare));
	to = spare;
	for (uint64_t width = SORT_PIECE; width < n; width *= 2)
	{
		IdAt	   *t;

		for (uint64_t start = 0; start < n; start += width * 2)
		{
			uint64_t	middle = start + width < n ? start + width : n;
			uint64_t	end = start + width * 2 < n ? start + width * 2 : n;
			uint64_t	i = start;
			uint64_t	k = middle;

			for (uint64_t at = start; at < end; at++)
			{
				PAUSE(g, at);
				if (k >= end || (i < middle && compare_id_at(&from[i], &from[k]) <= 0))
					to[at] = from[i++];
				else
					to[at] = from[k++];
			}
		}
		t = from;
		from = to;
		to = t;
	}
	if (from != a)
		memcpy(a, from, (size_t) n * sizeof(IdAt));
	gm_mem_temp_free(g->mem, spare);
	return GM_OK;
}

/* the order of n ids; the caller frees it */
static GmStatus
order_by_id(GmGraph *g, const GmArray *ids, uint32_t n, IdAt **order)
{
	GM_TRY(gm_mem_temp(g->mem, (size_t) n * sizeof(IdAt), (void **) order));
	for (uint32_t i = 0; i < n; i++)
	{
		PAUSE(g, i);
		(*order)[i].id = *(int64_t *) gm_array_at(ids, i);
		(*order)[i].second = 0;
		(*order)[i].at = i;
	}
	return sort_ids(g, *order, n);
}

static GmStatus
permute(GmGraph *g, GmArray *a, const IdAt *order, uint32_t n)
{
	char	   *copy;

	GM_TRY(gm_mem_temp(g->mem, (size_t) n * a->element, (void **) &copy));
	for (uint32_t i = 0; i < n; i++)
	{
		PAUSE(g, i);
		memcpy(copy + (size_t) i * a->element, gm_array_at(a, order[i].at), a->element);
	}
	for (uint32_t i = 0; i < n; i++)
	{
		PAUSE(g, i);
		memcpy(gm_array_at(a, i), copy + (size_t) i * a->element, a->element);
	}
	gm_mem_temp_free(g->mem, copy);
	return GM_OK;
}

static GmStatus
permute_all(GmGraph *g, const GmArray *ids, uint32_t n, GmArray **arrays, int count)
{
	IdAt	   *order = NULL;
	GmStatus	status = order_by_id(g, ids, n, &order);

	for (int i = 0; status == GM_OK && i < count; i++)
		status = permute(g, arrays[i], order, n);
	gm_mem_temp_free(g->mem, order);
	return status;
}

static bool
ascends(const GmArray *ids, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		if (GM_ARRAY_I64(ids, i - 1) >= GM_ARRAY_I64(ids, i))
			return false;
	return true;
}

/*
 * Direct where the ids' span allows it (ids of one graph come mostly in one
 * piece), else hashed: a random look-up costs 3 ns against 20.
 */
static GmStatus
map_build(GmMem *mem, IdMap *map, const GmArray *ids, uint32_t n)
{
	int64_t		min;
	uint64_t	span;

	map->ids = ids;
	if (n == 0)
		return GM_OK;
	min = GM_ARRAY_I64(ids, 0);
	span = (uint64_t) GM_ARRAY_I64(ids, n - 1) - (uint64_t) min + 1;
	if (span != 0 && span / 4 <= n)
	{
		GM_TRY(gm_mem_temp(mem, span * sizeof(uint32_t), (void **) &map->direct));
		map->min = min;
		map->span = span;
		for (uint32_t i = 0; i < n; i++)
			map->direct[(uint64_t) GM_ARRAY_I64(ids, i) - (uint64_t) min] = i + 1;
		return GM_OK;
	}
	map->mask = 15;
	while (map->mask / 2 < n)
		map->mask = map->mask * 2 + 1;
	GM_TRY(gm_mem_temp(mem, ((size_t) map->mask + 1) * sizeof(uint32_t),
					(void **) &map->hashed));
	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t	id = (uint64_t) GM_ARRAY_I64(ids, i);
		uint32_t	at = (uint32_t) ((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & map->mask;

		while (map->hashed[at] != 0)
			at = (at + 1) & map->mask;
		map->hashed[at] = i + 1;
	}
	return GM_OK;
}

static uint32_t
map_find(const IdMap *map, int64_t id)
{
	if (map->direct != NULL)
	{
		uint64_t	i = (uint64_t) id - (uint64_t) map->min;

		return i < map->span ? map->direct[i] - 1 : GM_NONE;
	}
	if (map->hashed != NULL)
	{
		uint32_t	at = (uint32_t) (((uint64_t) id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & map->mask;

		for (; map->hashed[at] != 0; at = (at + 1) & map->mask)
			if (GM_ARRAY_I64(map->ids, map->hashed[at] - 1) == id)
				return map->hashed[at] - 1;
	}
	return GM_NONE;
}

/* an array that keeps ids of its rows inside the element, as int64 at offset 0 */
static GmStatus
sort_rows(GmGraph *g, GmArray *rows, uint32_t n)
{
	GmArray    *arrays[1];

	arrays[0] = rows;
	for (uint32_t i = 1; i < n; i++)
		if (*(int64_t *) gm_array_at(rows, i - 1) >= *(int64_t *) gm_array_at(rows, i))
			return permute_all(g, rows, n, arrays, 1);
	return GM_OK;
}

static GmStatus
entities_done(GmGraph *g)
{
	GmGraphRoot *r = g->root;
	uint32_t	n = r->gr_nodes;

	if (g->build->entities_done)
		return GM_OK;
	g->build->entities_done = true;
	if (!ascends(&g->entity_id, n))
	{
		GmArray    *arrays[] = {&g->entity_id, &g->name, &g->hash, &g->kind, &g->type, &g->created};

		GM_TRY(permute_all(g, &g->entity_id, n, arrays, 6));
	}
	r->gr_entity_id.ar_length = r->gr_name.ar_length = r->gr_hash.ar_length = n;
	r->gr_kind.ar_length = r->gr_type.ar_length = r->gr_created.ar_length = n;
	r->gr_live_nodes = n;
	r->gr_nodes_ascend = true;
	GM_TRY(map_build(g->mem, &g->build->entities, &g->entity_id, n));
	GM_TRY(gm_index_build(g->mem, &g->by_entity, n, gm_hash_of_entity, g, g->build->intr));
	return gm_index_build(g->mem, &g->by_name, n, gm_hash_of_name, g, g->build->intr);
}

static GmStatus
predicates_done(GmGraph *g)
{
	if (g->build->predicates_done)
		return GM_OK;
	g->build->predicates_done = true;
	GM_TRY(sort_rows(g, &g->predicate_info, g->root->gr_predicates));
	g->root->gr_live_predicates = g->root->gr_predicates;
	GM_TRY(gm_index_build(g->mem, &g->by_predicate, g->root->gr_predicates,
						  gm_hash_of_predicate, g, g->build->intr));
	return map_build(g->mem, &g->build->predicates, &g->predicate_info,
					 g->root->gr_predicates);
}

static GmStatus
sources_done(GmGraph *g)
{
	if (g->build->sources_done)
		return GM_OK;
	g->build->sources_done = true;
	GM_TRY(sort_rows(g, &g->source, g->root->gr_sources));
	g->root->gr_live_sources = g->root->gr_sources;
	return gm_index_build(g->mem, &g->by_source, g->root->gr_sources, gm_hash_of_source, g,
						  g->build->intr);
}

GmStatus
gm_graph_add_alias(GmGraph *g, int64_t alias_id, const char *name, uint32_t length,
				   int64_t entity_id)
{
	uint32_t	n = g->root->gr_aliases;
	GmNode		node;
	GmAlias    *alias;

	GM_TRY(entities_done(g));
	node = map_find(&g->build->entities, entity_id);
	if (node == GM_NONE)
		return GM_BAD_VALUE;
	if (n >= GM_NONE / 4)
		return GM_TOO_MANY;
	GM_TRY(gm_array_reserve(g->mem, &g->alias, (uint64_t) n + 1));
	alias = gm_array_at(&g->alias, n);
	GM_TRY(gm_graph_add_string(g, name, length, &alias->name));
	alias->alias_id = alias_id;
	alias->hash = gm_graph_hash(name, length);
	alias->node = node;
	g->root->gr_aliases = n + 1;
	g->root->gr_alias.ar_length = n + 1;
	return GM_OK;
}

GmStatus
gm_graph_add_source(GmGraph *g, int64_t source_id, const char *name, uint32_t name_length,
					const char *session, uint32_t session_length,
					const char *kind, uint32_t kind_length, float reliability)
{
	uint32_t	n = g->root->gr_sources;
	GmSource   *s;

	if (n >= GM_NONE - 1)
		return GM_TOO_MANY;
	GM_TRY(gm_array_reserve(g->mem, &g->source, (uint64_t) n + 1));
	s = gm_array_at(&g->source, n);
	memset(s, 0, sizeof(*s));
	s->source_id = source_id;
	s->reliability = reliability;
	s->created_at = GM_TIME_MIN;
	GM_TRY(gm_graph_add_string(g, name, name_length, &s->name));
	if (session != NULL)
		GM_TRY(gm_graph_add_string(g, session, session_length, &s->session));
	if (kind != NULL)
		GM_TRY(gm_graph_add_string(g, kind, kind_length, &s->kind));
	g->root->gr_sources = n + 1;
	g->root->gr_source.ar_length = n + 1;
	return GM_OK;
}

void
gm_graph_date_source(GmGraph *g, int64_t created_at)
{
	GmSource   *s = gm_array_at(&g->source, g->root->gr_sources - 1);

	s->created_at = created_at;
	gm_latest_note(g->root, created_at);
}

static GmStatus
grow_time_table(GmGraph *g)
{
	GmGraphBuild *b = g->build;
	uint32_t	n = (uint32_t) g->root->gr_times.ar_length;
	uint32_t	mask = b->time_table == NULL ? 63 : b->time_mask * 2 + 1;
	uint32_t   *table = calloc((size_t) mask + 1, sizeof(uint32_t));

	if (table == NULL)
		return GM_NO_MEMORY;
	for (uint32_t i = 1; i < n; i++)
	{
		uint32_t	at = gm_times_hash(gm_array_at(&g->times, i)) & mask;

		while (table[at] != 0)
			at = (at + 1) & mask;
		table[at] = i + 1;
	}
	free(b->time_table);
	b->time_table = table;
	b->time_mask = mask;
	return GM_OK;
}

/* most triples of a load share their times: the number of these ones */
static GmStatus
intern_times(GmGraph *g, const GmTimes *times, uint32_t *number)
{
	GmGraphBuild *b = g->build;
	uint32_t	n = (uint32_t) g->root->gr_times.ar_length;
	uint32_t	at;

	if (n > 1 && memcmp(times, &b->last_times, sizeof(*times)) == 0)
	{
		*number = b->last_time;
		return GM_OK;
	}
	if (b->time_table == NULL || n >= b->time_mask / 2)
		GM_TRY(grow_time_table(g));
	for (at = gm_times_hash(times) & b->time_mask; b->time_table[at] != 0;
		 at = (at + 1) & b->time_mask)
		if (memcmp(gm_array_at(&g->times, b->time_table[at] - 1), times, sizeof(*times)) == 0)
			break;
	if (b->time_table[at] == 0)
	{
		GM_TRY(gm_array_reserve(g->mem, &g->times, (uint64_t) n + 1));
		*(GmTimes *) gm_array_at(&g->times, n) = *times;
		gm_latest_note_times(g->root, times);
		g->root->gr_times.ar_length = (uint64_t) n + 1;
		b->time_table[at] = n + 1;
	}
	*number = b->time_table[at] - 1;
	b->last_times = *times;
	b->last_time = *number;
	return GM_OK;
}

GmStatus
gm_graph_add_triple(GmGraph *g, int64_t triple_id, int64_t fact_id,
					int64_t subject_id, int64_t predicate_id, int64_t object_id,
					float confidence, const GmTimes *times)
{
	GmGraphBuild *b = g->build;
	uint32_t	n = g->root->gr_slots;
	GmNode		subject;
	GmNode		object;
	uint32_t	predicate;
	uint32_t	time;

	if (!b->entities_done || !b->predicates_done)
	{
		GM_TRY(entities_done(g));
		GM_TRY(predicates_done(g));
	}
	if (n >= GM_NONE - 1)
		return GM_TOO_MANY;
	subject = map_find(&b->entities, subject_id);
	object = map_find(&b->entities, object_id);
	predicate = map_find(&b->predicates, predicate_id);
	if (subject == GM_NONE || object == GM_NONE || predicate == GM_NONE)
		return GM_BAD_VALUE;
	if (n >= g->root->gr_time.ar_room)
	{
		uint64_t	room = (uint64_t) n + 1;

		GM_TRY(gm_array_reserve(g->mem, &g->triple_id, room));
		GM_TRY(gm_array_reserve(g->mem, &g->fact_id, room));
		GM_TRY(gm_array_reserve(g->mem, &g->subject, room));
		GM_TRY(gm_array_reserve(g->mem, &g->predicate, room));
		GM_TRY(gm_array_reserve(g->mem, &g->object, room));
		GM_TRY(gm_array_reserve(g->mem, &g->confidence, room));
		GM_TRY(gm_array_reserve(g->mem, &g->time, room));
	}
	else if (n >= g->root->gr_triple_id.ar_room)
	{
		/* the wider elements have smaller segments */
		GM_TRY(gm_array_reserve(g->mem, &g->triple_id, (uint64_t) n + 1));
		GM_TRY(gm_array_reserve(g->mem, &g->fact_id, (uint64_t) n + 1));
	}
	GM_TRY(intern_times(g, times, &time));
	if (n > 0 && triple_id <= GM_ARRAY_I64(&g->triple_id, n - 1))
		b->slots_ascend = false;
	GM_ARRAY_I64(&g->triple_id, n) = triple_id;
	GM_ARRAY_I64(&g->fact_id, n) = fact_id;
	GM_ARRAY_U32(&g->subject, n) = subject;
	GM_ARRAY_U32(&g->predicate, n) = predicate;
	GM_ARRAY_U32(&g->object, n) = object;
	GM_ARRAY_F32(&g->confidence, n) = confidence;
	GM_ARRAY_U32(&g->time, n) = time;
	g->root->gr_slots = n + 1;
	return GM_OK;
}

GmStatus
gm_graph_add_assertion(GmGraph *g, int64_t fact_id, int64_t source_id,
					   float confidence, int64_t asserted_at)
{
	uint32_t	n = g->root->gr_assertions;
	GmAssertion *a;
	uint32_t	source;

	GM_TRY(sources_done(g));
	if (n >= GM_NONE - 1)
		return GM_TOO_MANY;
	source = gm_graph_find_source_id(g, source_id);
	if (source == GM_NONE)
		return GM_BAD_VALUE;
	GM_TRY(gm_array_reserve(g->mem, &g->assertion, (uint64_t) n + 1));
	a = gm_array_at(&g->assertion, n);
	a->fact_id = fact_id;
	a->source = source;
	a->confidence = confidence;
	a->asserted_at = asserted_at;
	gm_latest_note(g->root, asserted_at);
	if (n > 0)
	{
		const GmAssertion *before = gm_array_at(&g->assertion, n - 1);

		if (before->fact_id > fact_id ||
			(before->fact_id == fact_id && before->source >= source))
			g->build->assertions_ascend = false;
	}
	g->root->gr_assertions = n + 1;
	g->root->gr_assertion.ar_length = (uint64_t) n + 1;
	return GM_OK;
}

/*
 * Finishing
 */
static GmStatus
sort_slots(GmGraph *g)
{
	GmGraphRoot *r = g->root;
	uint32_t	n = r->gr_slots;

	if (!g->build->slots_ascend)
	{
		GmArray    *arrays[] = {&g->triple_id, &g->fact_id, &g->subject, &g->predicate,
		&g->object, &g->confidence, &g->time};

		GM_TRY(permute_all(g, &g->triple_id, n, arrays, 7));
	}
	r->gr_triple_id.ar_length = r->gr_fact_id.ar_length = n;
	r->gr_subject.ar_length = r->gr_predicate.ar_length = r->gr_object.ar_length = n;
	r->gr_confidence.ar_length = r->gr_time.ar_length = n;
	return GM_OK;
}

/* times in the order in which slots have them first, which makes current ones neighbours */
static GmStatus
order_times(GmGraph *g)
{
	uint32_t	n = (uint32_t) g->root->gr_times.ar_length;
	uint32_t	count = 1;
	uint32_t   *number = NULL;
	IdAt	   *order = NULL;
	GmStatus	status = gm_mem_temp(g->mem, (size_t) n * sizeof(uint32_t), (void **) &number);

	if (status == GM_OK)
		status = gm_mem_temp(g->mem, (size_t) n * sizeof(IdAt), (void **) &order);
	if (status == GM_OK)
	{
		memset(number, 0, (size_t) n * sizeof(uint32_t));
		order[0].at = 0;
		for (GmSlot slot = 0; slot < g->root->gr_slots; slot++)
		{
			uint32_t   *time = &GM_ARRAY_U32(&g->time, slot);

			if (number[*time] == 0)
			{
				order[count].at = *time;
				number[*time] = count++;
			}
			*time = number[*time];
		}
		status = count == n ? permute(g, &g->times, order, n) : GM_BAD_VALUE;
	}
	gm_mem_temp_free(g->mem, order);
	gm_mem_temp_free(g->mem, number);
	return status;
}

/* those that are current come first, both in the order that they have */
static GmStatus
current_first(GmGraph *g, int64_t now)
{
	GmGraphRoot *r = g->root;
	GmArray    *arrays[] = {&g->triple_id, &g->fact_id, &g->subject, &g->predicate, &g->object,
	&g->confidence, &g->time};
	uint32_t	n = r->gr_slots;
	uint32_t	at[2] = {0, 0};
	IdAt	   *order;
	GmStatus	status = GM_OK;

	for (GmSlot slot = 0; slot < n; slot++)
	{
		PAUSE(g, slot);
		at[1] += gm_times_current(gm_array_at(&g->times, GM_ARRAY_U32(&g->time, slot)), now);
	}
	r->gr_base_current = at[1];
	if (at[1] == n)
		return GM_OK;
	GM_TRY(gm_mem_temp(g->mem, (size_t) n * sizeof(IdAt), (void **) &order));
	for (GmSlot slot = 0; slot < n; slot++)
	{
		bool		current = gm_times_current(gm_array_at(&g->times,
														   GM_ARRAY_U32(&g->time, slot)), now);

		order[at[!current]++].at = slot;
	}
	for (int i = 0; status == GM_OK && i < 7; i++)
		status = permute(g, arrays[i], order, n);
	gm_mem_temp_free(g->mem, order);
	GM_TRY(status);
	return order_times(g);
}

static bool
facts_ascend(const GmGraph *g, GmSlot first, GmSlot end)
{
	for (GmSlot slot = first; slot + 1 < end; slot++)
		if (GM_ARRAY_I64(&g->fact_id, slot) > GM_ARRAY_I64(&g->fact_id, slot + 1))
			return false;
	return true;
}

/* the slots that were current, and the others, each by their facts */
static GmStatus
order_facts(GmGraph *g)
{
	GmGraphRoot *r = g->root;
	uint32_t	n = r->gr_slots;
	uint32_t	first = 0;
	IdAt	   *order;

	if (facts_ascend(g, 0, r->gr_base_current))
		first = facts_ascend(g, r->gr_base_current, n) ? n : r->gr_base_current;
	r->gr_fact_ordered = first;
	if (first == n)
		return GM_OK;
	GM_TRY(gm_array_reserve(g->mem, &g->fact_slot, n - first));
	r->gr_fact_slot.ar_length = n - first;
	GM_TRY(gm_mem_temp(g->mem, (size_t) (n - first) * sizeof(IdAt), (void **) &order));
	for (GmSlot slot = first; slot < n; slot++)
	{
		PAUSE(g, slot);
		order[slot - first].id = slot >= r->gr_base_current;
		order[slot - first].second = GM_ARRAY_I64(&g->fact_id, slot);
		order[slot - first].at = slot;
	}
	GM_TRY(sort_ids(g, order, n - first));
	for (uint32_t i = 0; i < n - first; i++)
		GM_ARRAY_U32(&g->fact_slot, i) = order[i].at;
	gm_mem_temp_free(g->mem, order);
	return GM_OK;
}

static GmStatus
order_assertions(GmGraph *g)
{
	uint32_t	n = g->root->gr_assertions;
	IdAt	   *order;
	GmStatus	status;

	if (g->build->assertions_ascend)
		return GM_OK;
	GM_TRY(gm_mem_temp(g->mem, (size_t) n * sizeof(IdAt), (void **) &order));
	for (uint32_t i = 0; i < n; i++)
	{
		const GmAssertion *a = gm_array_at(&g->assertion, i);

		order[i].id = a->fact_id;
		order[i].second = a->source;
		order[i].at = i;
	}
	GM_TRY(sort_ids(g, order, n));
	status = permute(g, &g->assertion, order, n);
	gm_mem_temp_free(g->mem, order);
	return status;
}

static GmStatus
settle_confidence(GmGraph *g)
{
	uint32_t	n = g->root->gr_slots;
	uint32_t	m = g->root->gr_assertions;
	uint32_t	next = 0;

	if (m == 0)
		return GM_OK;
	GM_TRY(gm_array_reserve(g->mem, &g->asserted, n));
	for (uint32_t i = 0; i < n; i++)
	{
		PAUSE(g, i);
		GM_ARRAY_F32(&g->asserted, i) = GM_ARRAY_F32(&g->confidence, i);
	}
	g->root->gr_asserted.ar_length = n;

	/* either part is ordered by fact, as assertions are: two merges */
	for (uint32_t i = 0; i < n; i++)
	{
		GmSlot		slot = gm_base_slot(g, i);
		int64_t		fact_id = GM_ARRAY_I64(&g->fact_id, slot);
		double		doubt = 1.0;
		uint32_t	end;

		PAUSE(g, i);
		if (i == g->root->gr_base_current)
			next = 0;
		while (next < m && ((GmAssertion *) gm_array_at(&g->assertion, next))->fact_id < fact_id)
			next++;
		for (end = next; end < m; end++)
		{
			const GmAssertion *a = gm_array_at(&g->assertion, end);

			if (a->fact_id != fact_id)
				break;
			doubt *= 1.0 - (double) a->confidence * gm_graph_source(g, a->source)->reliability;
		}
		if (end > next)
			GM_ARRAY_F32(&g->confidence, slot) = (float) (1.0 - doubt);
	}
	return GM_OK;
}

static GmStatus
aliases_done(GmGraph *g)
{
	const GmInterrupt *intr = g->build->intr;
	uint32_t	n = g->root->gr_aliases;

	g->root->gr_live_aliases = n;
	GM_TRY(gm_index_build(g->mem, &g->by_alias, n, gm_hash_of_alias, g, intr));
	GM_TRY(gm_index_build(g->mem, &g->by_alias_name, n, gm_hash_of_alias_name, g, intr));
	return gm_index_build(g->mem, &g->by_alias_node, n, gm_hash_of_alias_node, g, intr);
}

static GmStatus
count_uses(GmGraph *g)
{
	uint64_t	n = g->root->gr_times.ar_length;

	GM_TRY(gm_array_reserve(g->mem, &g->times_use, n));
	g->root->gr_times_use.ar_length = n;
	for (uint64_t i = 0; i < n; i++)
		GM_ARRAY_U32(&g->times_use, i) = 0;
	for (GmSlot slot = 0; slot < g->root->gr_slots; slot++)
	{
		PAUSE(g, slot);
		GM_ARRAY_U32(&g->times_use, GM_ARRAY_U32(&g->time, slot))++;
		((GmPredicate *) gm_array_at(&g->predicate_info,
									 GM_ARRAY_U32(&g->predicate, slot)))->triples++;
	}
	for (uint32_t i = 0; i < g->root->gr_assertions; i++)
	{
		PAUSE(g, i);
		((GmSource *) gm_array_at(&g->source, gm_graph_assertion(g, i)->source))->assertions++;
	}
	return GM_OK;
}

/* what comes later has larger numbers and is found by the indexes */
static void
end_of_base(GmGraph *g)
{
	GmGraphRoot *r = g->root;

	r->gr_base_slots = r->gr_live_slots = r->gr_slots;
	r->gr_base_assertions = r->gr_live_assertions = r->gr_assertions;
	r->gr_slots_ascend = r->gr_base_current == r->gr_slots;
	r->gr_by_triple.ix_base = r->gr_by_fact.ix_base = r->gr_slots;
	r->gr_by_stated.ix_base = r->gr_assertions;
}

GmStatus
gm_graph_finish(GmGraph *g, int64_t now, const GmInterrupt *intr)
{
	g->build->intr = intr;
	GM_TRY(entities_done(g));
	GM_TRY(predicates_done(g));
	GM_TRY(aliases_done(g));
	GM_TRY(sources_done(g));
	GM_TRY(sort_slots(g));
	GM_TRY(current_first(g, now));
	GM_TRY(order_facts(g));
	GM_TRY(order_assertions(g));
	GM_TRY(settle_confidence(g));
	GM_TRY(count_uses(g));
	end_of_base(g);

	/* the maps are not needed any more, and their memory is */
	map_free(g->mem, &g->build->entities);
	map_free(g->mem, &g->build->predicates);
	GM_TRY(gm_graph_make_runs(g, now, intr));
	build_free(g);
	return GM_OK;
}
