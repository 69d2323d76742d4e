/*-------------------------------------------------------------------------
 *
 * fn_stat_vector.c
 *	  What the view stat_vector shows: the spaces of graphs in memory and their
 *	  indexes, as the published versions have them.
 *
 * Read inside epoch sections, one for each graph, without waiting and whether
 * or not this session has read the graph before.  Counters of an index that is
 * being changed may be a moment apart.
 *
 * Interface
 *	 graphmem_stat_get_vector	a row for each space of each graph in memory
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "api/rows.h"
#include "core/graph.h"
#include "core/space_index.h"
#include "error.h"
#include "shm/attach.h"
#include "shm/spaces.h"

PG_FUNCTION_INFO_V1(graphmem_stat_get_vector);

#define DOING			"reading vector spaces"

/* so many rows without a node, of all, and the index is still being built */
#define BUILDING_SHARE	16

typedef struct Shown
{
	int32_t		space_id;
	uint32_t	rows;
	uint32_t	pending;
	bool		has_index;
	uint32_t	dead;
	uint32_t	free;
	uint32_t	levels;
	uint64_t	codes;			/* bytes */
	uint64_t	links;
	uint64_t	vectors;
	uint64_t	all;
} Shown;

static void
look_at_index(GmMem *mem, const GmSpace *space, Shown *s)
{
	const GmHnswView *view = &space->root->sp_index;
	uint64_t	total;
	uint64_t	entry;
	GmHnsw	   *hnsw;

	gm_error_check(gm_hnsw_attach(mem, view, &hnsw), DOING);
	s->has_index = true;
	s->pending = gm_space_pending(space);
	s->dead = gm_space_dead(space, hnsw);
	s->free = gm_hnsw_root(hnsw)->hn_free + gm_hnsw_root(hnsw)->hn_swept;
	entry = view->entry;
	s->levels = entry == UINT64_MAX ? 0 : (uint32_t) (entry >> 32) + 1;
	gm_hnsw_bytes(hnsw, &s->codes, &s->links, &total);
	s->all += total;
	gm_hnsw_destroy(hnsw);
}

static void
look_at_space(GmMem *mem, const GmGraphSpace *info, Shown *s)
{
	GmSpace    *space;

	memset(s, 0, sizeof(*s));
	gm_error_check(gm_space_attach(mem, info->root, &space), DOING);
	s->space_id = info->space_id;
	s->rows = space->root->sp_rows;
	gm_space_bytes(space, &s->vectors, &s->all);
	if (gm_space_has_index(space))
		look_at_index(mem, space, s);
	gm_space_destroy(space);
}

/* palloc'ed; inside a section, whose root this is */
static Shown *
look_at_graph(GmMem *mem, GmRef ref, uint32_t *count)
{
	GmGraphRoot *root = gm_mem_ptr(mem, ref);
	uint32_t	n = (uint32_t) root->gr_space.ar_length;
	Shown	   *shown = palloc((n + 1) * sizeof(Shown));
	GmArray		spaces;

	memset(&spaces, 0, sizeof(spaces));
	gm_error_check(gm_array_attach(mem, &root->gr_space, &spaces), DOING);
	for (uint32_t i = 0; i < n; i++)
		look_at_space(mem, (const GmGraphSpace *) gm_array_at(&spaces, i), &shown[i]);
	gm_array_detach(&spaces);
	*count = n;
	return shown;
}

static const char *
index_state(const Shown *s, GmStatus status)
{
	if (s->has_index)
		return s->pending > s->rows / BUILDING_SHARE ? "building" : "ready";
	if (s->rows < GM_SPACE_INDEX_FROM)
		return "exact";
	return status == GM_OK ? "waiting" : "failed";
}

static const char *
last_error(GmStatus status)
{
	switch (status)
	{
		case GM_OK:
			return NULL;
		case GM_OVER_BUDGET:
			return "graphmem.memory_limit leaves no room for the index";
		case GM_NO_MEMORY:
			return "the system refused shared memory";
		case GM_TOO_MANY:
			return "too many vectors";
		default:
			return "building the index failed, see the server log";
	}
}

static void
put_counter(GmRows *rows, _Atomic uint64_t *counter)
{
	gm_row_int8(rows, (int64_t) atomic_load_explicit(counter, memory_order_relaxed));
}

/* entry: NULL: nobody has searched or indexed the space yet */
static void
put_entry(GmRows *rows, GmSpaceEntry *entry)
{
	GmSpaceEntry none;
	uint64		sampled_at;
	uint64		build_us;

	memset(&none, 0, sizeof(none));
	if (entry == NULL)
		entry = &none;
	put_counter(rows, &entry->se_searches);
	put_counter(rows, &entry->se_index);
	put_counter(rows, &entry->se_exact);
	put_counter(rows, &entry->se_fallbacks);
	build_us = atomic_load(&entry->se_build_us);
	if (build_us == 0)
		gm_row_null(rows);
	else
		gm_row_float8(rows, build_us / 1000.0);
	sampled_at = atomic_load(&entry->se_recall_at);
	if (sampled_at == 0)
	{
		gm_row_null(rows);
		gm_row_null(rows);
	}
	else
	{
		gm_row_float4(rows, atomic_load(&entry->se_recall) / 1e6f);
		gm_row_time(rows, (int64_t) sampled_at);
	}
}

static void
put_space(GmRows *rows, GmArea *area, const Shown *s)
{
	GmSpaceEntry *entry = gm_area_space(area, s->space_id);
	GmStatus	status = entry == NULL ? GM_OK : (GmStatus) atomic_load(&entry->se_status);
	const char *error = last_error(status);

	gm_row_int4(rows, s->space_id);
	gm_row_int8(rows, s->rows);
	gm_row_cstring(rows, index_state(s, status));
	gm_row_int8(rows, s->has_index ? s->rows - s->pending : 0);
	gm_row_int8(rows, s->pending);
	gm_row_int8(rows, s->dead);
	gm_row_int8(rows, s->free);
	gm_row_int4(rows, (int32_t) s->levels);
	gm_row_int8(rows, (int64_t) s->codes);
	gm_row_int8(rows, (int64_t) s->links);
	gm_row_int8(rows, (int64_t) s->vectors);
	gm_row_int8(rows, (int64_t) s->all);
	put_entry(rows, entry);
	if (error == NULL)
		gm_row_null(rows);
	else
		gm_row_cstring(rows, error);
	gm_rows_put(rows);
}

static void
put_graph(GmRows *rows, GmArea *area, GmMem *mem, GmGraphEntry *graph)
{
	Shown	   *shown = NULL;
	uint32_t	n = 0;
	GmRef		root;

	gm_read_enter(area);
	root = atomic_load_explicit(&graph->gr_root, memory_order_acquire);
	if (root != 0 && gm_attach_extents(area))
		shown = look_at_graph(mem, root, &n);
	gm_read_leave(area);
	for (uint32_t i = 0; i < n; i++)
		put_space(rows, area, &shown[i]);
	if (shown != NULL)
		pfree(shown);
}

Datum
graphmem_stat_get_vector(PG_FUNCTION_ARGS)
{
	static GmMem *mem;			/* only an address of the table of extents */
	GmDatabase *db = gm_control() == NULL ? NULL : gm_control_database(false);
	GmArea	   *area = db == NULL ? NULL : gm_attach(&db);
	GmRows		rows;

	gm_rows_begin(fcinfo, &rows);
	if (area == NULL)
		return (Datum) 0;
	if (mem == NULL)
		gm_error_check(gm_mem_attach(gm_attach_base(), &mem), DOING);
	for (uint32 i = 0; i < GM_AREA_GRAPHS; i++)
	{
		GmGraphEntry *graph = &gm_area_graphs(area)[i];

		if (atomic_load_explicit(&graph->gr_id, memory_order_acquire) <= 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		put_graph(&rows, area, mem, graph);
	}
	return (Datum) 0;
}
