/*-------------------------------------------------------------------------
 *
 * graphs.c
 *	  The graphs that the worker keeps in memory: applying, publishing,
 *	  giving up.
 *
 * The worker's side of protocol image (shm/area.h).  A graph given up is
 * buried with the epoch of that moment, and its slabs go back to the pool when
 * the last reader of that epoch has left.  Until then they do not count
 * against graphmem.memory_limit: a reader that stays makes memory grow, and
 * nobody wait.
 *
 * Where the pool has no more, the graph that was used longest ago gives way,
 * unless it is pinned or has a version half made.
 *
 * A graph with rows whose row referred to is not there (replication and
 * restores bring tables one after the other) stays in memory and is kept
 * current, but readers are told that it failed, and find out what is missing
 * from the tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/row.h"
#include "error.h"
#include "guc.h"
#include "image/fetch.h"
#include "shm/spaces.h"
#include "shm/stop.h"
#include "worker/graphs.h"
#include "worker/index.h"
#include "worker/load.h"
#include "worker/topology_start.h"

#define REFUSED_MS		20		/* the system may have memory again after so long */
#define LOCKED_MS		200		/* changes wait so long for a lock, then the graph goes */
#define LOCKED_LOOK_MS	10
#define MOVE_RUNS_MS	1000	/* a graph's runs are brought up to date no more often */
#define TIDY_MS			100
#define TRIM_MS			2000	/* empty extents are kept so long after a load */
#define WIPE_BYTES		((size_t) 8 << 20)	/* zeroed between two looks for work */
#define ROWS			512		/* between two looks at interrupts */
#define MISSED_MS		60000	/* used so lately, a graph is loaded again at once */
#define LOAD_AHEAD		100000	/* triples that take too long to load for who waits */

typedef struct Grave
{
	struct Grave *next;
	GmMem	   *mem;
	size_t		bytes;
	uint64		epoch;
} Grave;

/*
 * Those used longest ago, found by one look at all: with thousands of graphs in
 * memory, looking at all for each that gives way would cost more than loading
 * the one that comes.
 */
typedef struct Candidate
{
	int32		id;
	uint64		used;			/* when it was found */
} Candidate;

#define CANDIDATES	32

/* a handle costs memory of the worker's own and can be attached again */
#define MOST_HANDLES	64

static GmDatabase *db;
static GmArea *area;
static GmPool *pool;
static GmMemOps pool_ops;
static MemoryContext context;
static MemoryContext row_context;
static HTAB *graphs;			/* all that were ever loaded */
static dlist_head in_memory;
static dlist_head busy;
static dlist_head handles;		/* graphs with one, the last changed last */
static int	handle_count;
static Grave *graveyard;
static size_t buried;
static bool limbo;				/* some graph has retired blocks */
static bool untidy;				/* some graph may have many free blocks */
static Candidate candidates[CANDIDATES];	/* the next to go last */
static int	candidate_count;
static TimestampTz tidied_at;
static TimestampTz loaded_at;
static TimestampTz locked_since;	/* 0: no lock is in the way */
static int64 flip_at;			/* no runs change before */

MemoryContext
gm_graphs_context(void)
{
	return context;
}

void
gm_graphs_start(GmDatabase *database, GmArea *a, GmPool *p)
{
	HASHCTL		info;

	db = database;
	area = a;
	pool = p;
	gm_pool_ops(pool, &pool_ops);
	context = AllocSetContextCreate(TopMemoryContext, "graphmem worker", ALLOCSET_DEFAULT_SIZES);
	row_context = AllocSetContextCreate(context, "graphmem worker row", ALLOCSET_DEFAULT_SIZES);
	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(int32);
	info.entrysize = sizeof(GmWorkerGraph);
	info.hcxt = context;
	graphs = hash_create("graphmem graphs", 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&in_memory);
	dlist_init(&busy);
	dlist_init(&handles);
	handle_count = 0;
	graveyard = NULL;
	buried = 0;
	candidate_count = 0;
	limbo = untidy = false;
	locked_since = 0;
	flip_at = GM_TIME_MAX;
	gm_index_start(db, area);
}

void
gm_graphs_stop(void)
{
	dlist_iter	iter;

	if (graphs == NULL)
		return;
	gm_graphs_error();
	dlist_foreach(iter, &in_memory)
	{
		GmWorkerGraph *g = dlist_container(GmWorkerGraph, node, iter.cur);

		gm_index_forget(g);
		gm_graph_destroy(g->graph);
		gm_mem_destroy(g->mem);
	}
	gm_index_stop();
	while (graveyard != NULL)
	{
		Grave	   *next = graveyard->next;

		gm_mem_destroy(graveyard->mem);
		free(graveyard);
		graveyard = next;
	}
	graphs = NULL;
	MemoryContextDelete(context);
	context = NULL;
}

void
gm_graphs_error(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &in_memory)
	{
		GmWorkerGraph *g = dlist_container(GmWorkerGraph, node, iter.cur);

		if (g->apply == NULL)
			continue;
		gm_apply_abort(g->apply);
		g->apply = NULL;
		gm_index_aborted(g);
	}
	MemoryContextReset(row_context);
}

static GmWorkerGraph *
known_graph(int32 id)
{
	return hash_search(graphs, &id, HASH_FIND, NULL);
}

GmWorkerGraph *
gm_graphs_find(int32 id)
{
	GmWorkerGraph *g = known_graph(id);

	return g != NULL && (g->mem != NULL || g->loading) ? g : NULL;
}

GmWorkerGraph *
gm_graphs_make(GmGraphEntry *entry)
{
	int32		id = atomic_load(&entry->gr_id);
	bool		found;
	GmWorkerGraph *g = hash_search(graphs, &id, HASH_ENTER, &found);

	if (!found)
		memset((char *) g + sizeof(g->id), 0, sizeof(*g) - sizeof(g->id));
	g->entry = entry;
	return g;
}

void
gm_graphs_forget(int32 id)
{
	GmWorkerGraph *g = known_graph(id);

	if (g == NULL)
		return;
	gm_graphs_unpublish(g, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
	if (g->batches != NULL)
		pfree(g->batches);
	(void) hash_search(graphs, &id, HASH_REMOVE, NULL);
}

void
gm_graphs_each(GmGraphVisit visit, void *arg)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &in_memory)
		visit(dlist_container(GmWorkerGraph, node, iter.cur), arg);
}

/*
 * Batches
 */
void
gm_batch_unuse(GmWorkerBatch *batch)
{
	if (--batch->users > 0)
		return;
	if (batch->bytes != NULL)
	{
		gm_wipe(batch->bytes, batch->length);
		pfree(batch->bytes);
	}
	pfree(batch);
}

void
gm_graphs_give(GmWorkerGraph *g, GmWorkerBatch *batch)
{
	if (g->batch_count == g->batch_room)
	{
		uint32		room = g->batch_room == 0 ? 16 : g->batch_room * 2;

		g->batches = g->batches == NULL ?
			MemoryContextAlloc(context, room * sizeof(GmWorkerBatch *)) :
			repalloc_huge(g->batches, room * sizeof(GmWorkerBatch *));
		g->batch_room = room;
	}
	g->batches[g->batch_count++] = batch;
	batch->users++;
	if (!g->busy)
	{
		g->busy = true;
		dlist_push_tail(&busy, &g->busy_node);
	}
}

static void
drop_batches(GmWorkerGraph *g)
{
	for (uint32 i = 0; i < g->batch_count; i++)
		gm_batch_unuse(g->batches[i]);
	g->batch_count = 0;
	if (g->batch_room > 1024)
	{
		pfree(g->batches);
		g->batches = NULL;
		g->batch_room = 0;
	}
	if (g->busy)
		dlist_delete(&g->busy_node);
	g->busy = false;
}

void
gm_graphs_drop_seen(GmWorkerGraph *g)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < g->batch_count; i++)
	{
		if (gm_graphs_base_sees(g, g->batches[i]->xid))
			gm_batch_unuse(g->batches[i]);
		else
			g->batches[kept++] = g->batches[i];
	}
	g->batch_count = kept;
}

/*
 * Memory
 */
static size_t
limit_bytes(void)
{
	return (size_t) gm_guc_memory_limit * 1024 * 1024;
}

static void
set_limit(void)
{
	size_t		limit = limit_bytes();

	gm_pool_set_limit(pool, limit == 0 ? 0 : limit + buried);
	atomic_store(&area->ar_memory_limit, limit);
}

static bool
may_give_way(const GmWorkerGraph *g, const GmWorkerGraph *to)
{
	return g != to && g->apply == NULL && !g->loading && g->entry->gr_residency != 'p';
}

size_t
gm_graphs_available(const GmWorkerGraph *to)
{
	size_t		limit = limit_bytes();
	size_t		kept = 0;
	dlist_iter	iter;

	if (limit == 0)
		return SIZE_MAX;
	dlist_foreach(iter, &in_memory)
	{
		GmWorkerGraph *g = dlist_container(GmWorkerGraph, node, iter.cur);

		if (g != to && !may_give_way(g, to))
			kept += g->mem->charged;
	}
	return kept < limit ? limit - kept : 0;
}

/* what readers have left goes back to the pool; true: something did */
static bool
reap(void)
{
	uint64		oldest;
	bool		any = false;
	Grave	  **link = &graveyard;

	if (graveyard == NULL)
		return false;
	oldest = gm_epoch_oldest(gm_area_slots(area), area->ar_slots);
	while (*link != NULL)
	{
		Grave	   *grave = *link;

		if (grave->epoch >= oldest)
		{
			link = &grave->next;
			continue;
		}
		*link = grave->next;
		buried -= grave->bytes;
		gm_mem_destroy(grave->mem);
		free(grave);
		any = true;
	}
	set_limit();
	return any;
}

static void
bury(GmMem *mem)
{
	Grave	   *grave = malloc(sizeof(Grave));

	/* without it the memory stays until the worker ends */
	if (grave == NULL)
		return;
	grave->mem = mem;
	grave->bytes = mem->charged;
	grave->epoch = gm_epoch_advance(&area->ar_epoch);
	grave->next = graveyard;
	graveyard = grave;
	buried += grave->bytes;
	set_limit();
	(void) reap();
}

static int
last_used_first(const void *a, const void *b)
{
	uint64		x = ((const Candidate *) a)->used;
	uint64		y = ((const Candidate *) b)->used;

	return x < y ? 1 : x > y ? -1 : 0;
}

static void
find_candidates(const GmWorkerGraph *to)
{
	dlist_iter	iter;
	int			latest = 0;

	candidate_count = 0;
	dlist_foreach(iter, &in_memory)
	{
		GmWorkerGraph *g = dlist_container(GmWorkerGraph, node, iter.cur);
		uint64		used = atomic_load_explicit(&g->entry->gr_used, memory_order_relaxed);

		if (!may_give_way(g, to))
			continue;
		if (candidate_count < CANDIDATES)
			candidates[candidate_count++] = (Candidate) {g->id, used};
		else if (used < candidates[latest].used)
			candidates[latest] = (Candidate) {g->id, used};
		else
			continue;
		if (candidate_count < CANDIDATES)
			continue;
		for (int i = 0; i < CANDIDATES; i++)
			if (candidates[i].used > candidates[latest].used)
				latest = i;
	}
	qsort(candidates, candidate_count, sizeof(Candidate), last_used_first);
}

/*
 * An index that is being built, between versions, drives nobody out who was
 * used later than its graph.
 */
static bool
is_modest(const GmWorkerGraph *to, uint64 used)
{
	return to != NULL && to->mem != NULL && to->apply == NULL && !to->loading &&
		used > atomic_load_explicit(&to->entry->gr_used, memory_order_relaxed);
}

static bool
evict(const GmWorkerGraph *to)
{
	for (int looks = 0; looks < 2; looks++)
	{
		while (candidate_count > 0)
		{
			Candidate	c = candidates[--candidate_count];
			GmWorkerGraph *g = known_graph(c.id);

			if (g == NULL || g->mem == NULL || !may_give_way(g, to) ||
				atomic_load_explicit(&g->entry->gr_used, memory_order_relaxed) != c.used)
				continue;
			if (is_modest(to, c.used))
			{
				candidate_count++;
				return false;
			}
			gm_graphs_unpublish(g, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
			atomic_fetch_add(&area->ar_evictions, 1);
			return true;
		}
		find_candidates(to);
	}
	return false;
}

void
gm_graphs_fit_limit(void)
{
	set_limit();
	while (gm_pool_over_limit(pool) && evict(NULL))
		;
}

/* would it not fit if it had everything; looked at once that is in question */
static bool
is_hopeless(const GmWorkerGraph *g, size_t more)
{
	size_t		needed = (g->mem == NULL ? 0 : g->mem->charged) + more;

	return needed > limit_bytes() / 4 && needed > gm_graphs_available(g);
}

static GmStatus
slab_or_evict(void *arg, size_t *bytes, GmRef *ref)
{
	GmWorkerGraph *g = arg;
	int			waited = 0;

	for (;;)
	{
		size_t		wanted = *bytes;
		GmStatus	status = pool_ops.slab(pool_ops.arg, &wanted, ref);

		if (status == GM_OK)
		{
			*bytes = wanted;
			return GM_OK;
		}
		if (status == GM_OVER_BUDGET && is_hopeless(g, wanted))
			return status;
		if (reap())
			continue;

		/* readers leave within the time of a query */
		if (status == GM_NO_MEMORY && graveyard != NULL && waited++ < REFUSED_MS)
		{
			pg_usleep(1000);
			continue;
		}
		if (!evict(g))
			return status;
	}
}

/* of an image that may have outlived its graph */
static void
release_slab(void *arg, GmRef ref, size_t bytes)
{
	pool_ops.release(pool_ops.arg, ref, bytes);
}

GmStatus
gm_graphs_create_memory(GmWorkerGraph *g, size_t first_slab)
{
	GmMemOps	ops = {0};
	GmStatus	status;

	set_limit();
	ops.slab = slab_or_evict;
	ops.release = release_slab;
	ops.arg = g;
	status = gm_mem_create_shared(gm_pool_base(pool), first_slab, 0, &ops, &g->mem);
	if (status != GM_OK)
		g->mem = NULL;
	else
		dlist_push_tail(&in_memory, &g->node);
	return status;
}

/*
 * Handles
 */
static void
drop_handle(GmWorkerGraph *g)
{
	if (g->graph == NULL)
		return;
	gm_graph_destroy(g->graph);
	g->graph = NULL;
	if (!g->handle_listed)
		return;
	g->handle_listed = false;
	dlist_delete(&g->handle_node);
	handle_count--;
}

/* one that holds rows which wait for others is kept */
static void
drop_old_handles(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &handles)
	{
		GmWorkerGraph *g = dlist_container(GmWorkerGraph, handle_node, iter.cur);

		if (handle_count <= MOST_HANDLES)
			break;
		if (g->apply == NULL && g->dangling == 0)
			drop_handle(g);
	}
}

/* the handle that was loaded, or changed just now */
static void
keep_handle(GmWorkerGraph *g)
{
	if (g->handle_listed)
		dlist_delete(&g->handle_node);
	else
		handle_count++;
	g->handle_listed = true;
	dlist_push_tail(&handles, &g->handle_node);
	if (handle_count > MOST_HANDLES)
		drop_old_handles();
}

GmStatus
gm_graphs_attach(GmWorkerGraph *g)
{
	GmStatus	status;

	if (g->graph != NULL)
		return GM_OK;
	status = gm_graph_attach(g->mem, g->root, &g->graph);
	if (status == GM_OK)
		keep_handle(g);
	else
		g->graph = NULL;
	return status;
}

/*
 * Applying
 */
typedef enum Applied
{
	APPLIED,
	NO_MEMORY,
	OVER_LIMIT,
	LOCKED,						/* a table that has to be looked at */
	UNKNOWN						/* only loading again tells */
} Applied;

/* for changes that are tuples' places */
static void
ensure_snapshot(void)
{
	if (!IsTransactionState())
		StartTransactionCommand();
	if (!ActiveSnapshotSet())
		PushActiveSnapshot(GetTransactionSnapshot());
}

static Applied
outcome(GmStatus status)
{
	switch (status)
	{
		case GM_OK:
			return APPLIED;
		case GM_NO_MEMORY:
			return NO_MEMORY;
		case GM_OVER_BUDGET:
			return OVER_LIMIT;
		case GM_INTERRUPTED:
			gm_error_check(status, "applying changes");
			return UNKNOWN;
		default:
			return UNKNOWN;
	}
}

static Applied
put_by_place(GmApply *apply, const GmChange *change, const GmPlace *place)
{
	MemoryContext old;
	Applied		applied = UNKNOWN;
	GmRow		row;

	ensure_snapshot();
	old = MemoryContextSwitchTo(row_context);
	switch (gm_row_fetch(change->table, place, change->graph_id, true, &row))
	{
		case GM_FETCH_FOUND:
			applied = outcome(gm_apply_put(apply, &row));
			break;
		case GM_FETCH_GONE:
			applied = APPLIED;
			break;
		case GM_FETCH_LOCKED:
			applied = LOCKED;
			break;
		case GM_FETCH_MOVED:
			break;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(row_context);
	return applied;
}

static Applied
apply_change(GmApply *apply, const GmChange *change)
{
	bool		put = (change->flags & GM_CHANGE_NEW) != 0;
	const GmPlace *place = put ? gm_change_place(change, false) : NULL;
	GmRow		row;

	if (place != NULL)
		return put_by_place(apply, change, place);
	if (gm_change_row(change, !put, &row) != GM_OK)
		return UNKNOWN;
	return outcome(put ? gm_apply_put(apply, &row) : gm_apply_remove(apply, &row));
}

/* may it change what computed vectors are computed from */
static bool
is_shaping(GmTable table)
{
	return table == GM_TABLE_ENTITIES || table == GM_TABLE_PREDICATES || table == GM_TABLE_TRIPLES ||
		table == GM_TABLE_SOURCES || table == GM_TABLE_ASSERTIONS;
}

static Applied
apply_batch(GmWorkerGraph *g, const GmWorkerBatch *batch, uint64 *changes)
{
	for (size_t at = 0; at < batch->length;)
	{
		GmChange	change;
		Applied		applied;

		if (gm_change_decode(batch->bytes + at, batch->length - at, &change) != GM_OK)
			return UNKNOWN;
		at += change.length;
		if (change.graph_id != g->id || change.table == GM_TABLE_GRAPHS)
			continue;
		applied = apply_change(g->apply, &change);
		if (applied != APPLIED)
			return applied;
		g->shaped |= is_shaping(change.table);
		g->other_spaces |= change.table == GM_TABLE_SPACES;
		if (++(*changes) % ROWS == 0)
			CHECK_FOR_INTERRUPTS();
	}
	return APPLIED;
}

/* entries of spaces that have gone are others' */
static void
keep_spaces(const GmWorkerGraph *g)
{
	uint32		n = gm_graph_spaces(g->graph);
	int32_t    *ids = palloc((n + 1) * sizeof(int32_t));

	for (uint32 i = 0; i < n; i++)
		ids[i] = gm_graph_space_info(g->graph, i)->space_id;
	gm_area_keep_spaces(area, g->id, ids, n);
	pfree(ids);
}

/* of the version that was just published */
static void
note_shaped(GmWorkerGraph *g)
{
	if (g->other_spaces)
		keep_spaces(g);
	if (g->shaped)
		atomic_fetch_add_explicit(&g->entry->gr_shaped, 1, memory_order_release);
	if (!g->shaped && !g->other_spaces)
		return;
	for (uint32_t i = 0; i < gm_graph_spaces(g->graph); i++)
		if (gm_graph_space_info(g->graph, i)->computed)
		{
			gm_topology_want(area);
			return;
		}
}

static void
show(GmWorkerGraph *g)
{
	GmGraphEntry *e = g->entry;
	const GmGraphRoot *root = g->graph->root;
	uint64		vectors = 0;

	for (uint32_t i = 0; i < gm_graph_spaces(g->graph); i++)
	{
		const GmSpace *space = gm_graph_space(g->graph, i);

		if (space != NULL)
			vectors += space->root->sp_rows;
	}
	atomic_store_explicit(&e->gr_nodes, root->gr_live_nodes, memory_order_relaxed);
	atomic_store_explicit(&e->gr_triples, root->gr_live_slots, memory_order_relaxed);
	atomic_store_explicit(&e->gr_vectors, vectors, memory_order_relaxed);
	atomic_store_explicit(&e->gr_bytes, g->mem->charged, memory_order_relaxed);
	atomic_store_explicit(&e->gr_limbo, gm_mem_limbo(g->mem), memory_order_relaxed);
	g->next_flip = root->gr_next_flip;
	gm_index_look(g);
}

static void
set_dangling(GmWorkerGraph *g, uint64 rows)
{
	atomic_fetch_add(&area->ar_dangling, (uint32) (rows - g->dangling));
	g->dangling = rows;
}

static void
set_state(GmWorkerGraph *g)
{
	atomic_store_explicit(&g->entry->gr_reason, GM_REFUSED_NOT, memory_order_relaxed);
	atomic_store_explicit(&g->entry->gr_state,
						  g->dangling > 0 ? GM_GRAPH_FAILED : GM_GRAPH_READY,
						  memory_order_release);
}

/* runs change by the clock, but a graph's are moved at most once in a while */
static void
note_flip(GmWorkerGraph *g)
{
	int64		flip = g->next_flip;

	if (flip != GM_TIME_MAX)
		flip = Max(flip, TimestampTzPlusMilliseconds(g->moved_at, MOVE_RUNS_MS));
	flip_at = Min(flip_at, flip);
}

static void
note_transactions(GmWorkerGraph *g, uint32 batches, uint64 sequence)
{
	for (uint32 i = 0; i < batches; i++)
		gm_area_note_xid(area, g->batches[i]->xid, sequence, g->batches[i]->ticket);
}

/* g->apply is made, and nobody knows of it */
static Applied
make_version(GmWorkerGraph *g, uint32 batches, uint64 sequence, GmRef *root, uint64 *changes)
{
	int64_t		now = GetCurrentTimestamp();
	uint64		max_xid = g->max_xid;
	Applied		applied;

	g->shaped = g->next_flip <= now;	/* runs change by the clock */
	g->other_spaces = false;
	for (uint32 i = 0; i < batches; i++)
	{
		applied = apply_batch(g, g->batches[i], changes);
		if (applied != APPLIED)
			return applied;
		max_xid = Max(max_xid, g->batches[i]->xid);
	}
	applied = outcome(gm_index_apply(g));
	if (applied != APPLIED)
		return applied;
	gm_apply_set_sequence(g->apply, sequence, max_xid);
	g->max_xid = max_xid;
	return outcome(gm_apply_finish(g->apply, Max(now, g->graph->root->gr_built_at), root));
}

/* the first so many of what was given */
static Applied
try_apply(GmWorkerGraph *g, uint32 batches)
{
	uint64		sequence = atomic_load(&area->ar_sequence) + 1;
	uint64		changes = 0;
	instr_time	start;
	instr_time	end;
	Applied		applied;
	GmRef		root;

	INSTR_TIME_SET_CURRENT(start);
	gm_mem_reclaim(g->mem, gm_epoch_oldest(gm_area_slots(area), area->ar_slots));
	applied = outcome(gm_graphs_attach(g));
	if (applied == APPLIED)
		applied = outcome(gm_apply_begin(g->graph, &gm_server_interrupt, &g->apply));
	if (applied != APPLIED)
	{
		g->apply = NULL;
		return applied;
	}
	applied = make_version(g, batches, sequence, &root, &changes);
	if (applied != APPLIED)
	{
		gm_apply_abort(g->apply);
		g->apply = NULL;
		gm_index_aborted(g);
		return applied;
	}
	GM_STOP(worker_before_publish);
	gm_index_publishing(g);
	note_transactions(g, batches, sequence);
	atomic_store_explicit(&area->ar_sequence, sequence, memory_order_relaxed);
	atomic_store_explicit(&g->entry->gr_root, root, memory_order_release);
	gm_apply_commit(g->apply, gm_epoch_advance(&area->ar_epoch));
	g->apply = NULL;
	g->root = root;
	gm_index_committed(g);
	GM_STOP(worker_after_publish);
	limbo = untidy = true;
	set_dangling(g, gm_apply_dangling(g->graph));
	if (!g->loading)
		set_state(g);
	atomic_fetch_add_explicit(&g->entry->gr_versions, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&g->entry->gr_changes, changes, memory_order_relaxed);
	atomic_fetch_add_explicit(&area->ar_changes, changes, memory_order_relaxed);
	show(g);
	note_flip(g);
	if (!g->loading)
	{
		keep_handle(g);
		note_shaped(g);
	}
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	atomic_fetch_add_explicit(&area->ar_apply_us, INSTR_TIME_GET_MICROSEC(end),
							  memory_order_relaxed);
	return APPLIED;
}

static void
give_up(GmWorkerGraph *g, Applied applied)
{
	GmGraphEntry *e = g->entry;

	switch (applied)
	{
		case NO_MEMORY:
			ereport(LOG,
					(errmsg("graph %d is not in memory any more: the system refused shared memory", g->id),
					 errdetail("%s", gm_pool_error(pool))));
			gm_graphs_unpublish(g, GM_GRAPH_NO_MEMORY, GM_REFUSED_NOT);
			break;
		case OVER_LIMIT:
			g->known_bytes = Max(g->known_bytes, g->mem->charged);
			gm_graphs_unpublish(g, GM_GRAPH_TOO_LARGE, GM_REFUSED_NOT);
			break;
		case LOCKED:
		case UNKNOWN:
		case APPLIED:
			/* the load waits for the lock, or finds out */
			gm_graphs_unpublish(g, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
			gm_load_want(e);
			atomic_fetch_add(&area->ar_reloads, 1);
			break;
	}
	/* when to try again counts from here */
	atomic_store(&e->gr_loaded_at, (uint64) GetCurrentTimestamp());
}

bool
gm_graphs_apply_all(void)
{
	dlist_head	later;

	/* each is done with, or waits for its load or for a lock */
	dlist_init(&later);
	while (!dlist_is_empty(&busy))
	{
		GmWorkerGraph *g = dlist_container(GmWorkerGraph, busy_node, dlist_head_node(&busy));
		Applied		applied;

		if (g->loading)
		{
			dlist_delete(&g->busy_node);
			dlist_push_tail(&later, &g->busy_node);
			continue;
		}
		applied = try_apply(g, g->batch_count);
		if ((applied == NO_MEMORY && gm_index_give_up(g, GM_NO_MEMORY)) ||
			(applied == OVER_LIMIT && gm_index_give_up(g, GM_OVER_BUDGET)))
			applied = try_apply(g, g->batch_count);
		if (applied == LOCKED)
		{
			TimestampTz now = GetCurrentTimestamp();

			if (locked_since == 0)
				locked_since = now;
			if (!TimestampDifferenceExceeds(locked_since, now, LOCKED_MS))
				break;
		}
		if (applied == APPLIED)
			drop_batches(g);
		else
			give_up(g, applied);
	}
	if (dlist_is_empty(&busy))
		locked_since = 0;
	while (!dlist_is_empty(&later))
		dlist_push_tail(&busy, dlist_pop_head_node(&later));
	return locked_since == 0;
}

GmStatus
gm_graphs_make_version(GmWorkerGraph *g)
{
	switch (try_apply(g, 0))
	{
		case APPLIED:
			return GM_OK;
		case NO_MEMORY:
			return GM_NO_MEMORY;
		case OVER_LIMIT:
			return GM_OVER_BUDGET;
		case LOCKED:
		case UNKNOWN:
			break;
	}
	return GM_BAD_VALUE;
}

bool
gm_graphs_apply_loaded(GmWorkerGraph *g)
{
	Applied		applied;

	if (g->batch_count == 0)
		return true;
	applied = try_apply(g, g->batch_count);
	if (applied == APPLIED)
	{
		drop_batches(g);
		return true;
	}
	g->loading = false;
	give_up(g, applied);
	return false;
}

/*
 * Publishing and giving up
 */
void
gm_graphs_publish(GmWorkerGraph *g)
{
	GmGraphEntry *e = g->entry;
	uint64		now = (uint64) GetCurrentTimestamp();

	g->loading = false;
	g->moved_at = loaded_at = (TimestampTz) now;
	g->known_bytes = 0;
	g->root = gm_graph_root_ref(g->graph);
	atomic_store_explicit(&e->gr_root, g->root, memory_order_release);
	atomic_store_explicit(&e->gr_used, now, memory_order_relaxed);
	gm_area_forget_asked(area, e);
	atomic_store_explicit(&e->gr_versions, 1, memory_order_relaxed);
	atomic_store_explicit(&e->gr_changes, 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&e->gr_loads, 1, memory_order_relaxed);
	atomic_store_explicit(&e->gr_loaded_at, now, memory_order_relaxed);
	set_dangling(g, gm_apply_dangling(g->graph));
	show(g);
	note_flip(g);
	keep_handle(g);
	set_state(g);
	g->shaped = g->other_spaces = true;
	note_shaped(g);
	(void) gm_epoch_advance(&area->ar_epoch);
	ConditionVariableBroadcast(&db->changed);
}

void
gm_graphs_unpublish(GmWorkerGraph *g, GmGraphState state, GmRefusal reason)
{
	GmGraphEntry *e = g->entry;

	Assert(!g->loading);
	atomic_store_explicit(&e->gr_root, 0, memory_order_release);
	atomic_store_explicit(&e->gr_reason, reason, memory_order_relaxed);
	atomic_store_explicit(&e->gr_state, state, memory_order_release);
	atomic_store_explicit(&e->gr_bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&e->gr_limbo, 0, memory_order_relaxed);
	atomic_store_explicit(&e->gr_nodes, 0, memory_order_relaxed);
	atomic_store_explicit(&e->gr_triples, 0, memory_order_relaxed);
	atomic_store_explicit(&e->gr_vectors, 0, memory_order_relaxed);
	drop_batches(g);
	set_dangling(g, 0);
	if (g->mem != NULL)
	{
		GmMem	   *mem = g->mem;

		if (g->apply != NULL)
			gm_apply_abort(g->apply);
		g->apply = NULL;
		gm_index_forget(g);
		drop_handle(g);
		g->mem = NULL;
		dlist_delete(&g->node);
		bury(mem);
	}
	if (g->base != NULL)
		pfree(g->base);
	g->base = NULL;
	g->max_xid = 0;
	ConditionVariableBroadcast(&db->changed);
}

void
gm_graphs_reload(GmWorkerGraph *g)
{
	GmGraphEntry *e = g->entry;
	bool		missed = e->gr_residency == 'p' ||
		atomic_load(&e->gr_triples) >= LOAD_AHEAD ||
		!TimestampDifferenceExceeds((TimestampTz) atomic_load(&e->gr_used),
									GetCurrentTimestamp(), MISSED_MS);

	gm_graphs_unpublish(g, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
	if (missed)
		gm_load_want(e);
	atomic_fetch_add(&area->ar_reloads, 1);
}

/*
 * Time
 */

/* versions without changes, in which runs are as the clock wants them */
static void
move_runs(TimestampTz now)
{
	dlist_iter	iter;
	List	   *due = NIL;
	ListCell   *lc;

	if (flip_at > now)
		return;
	dlist_foreach(iter, &in_memory)
	{
		GmWorkerGraph *g = dlist_container(GmWorkerGraph, node, iter.cur);

		if (!g->loading && g->batch_count == 0 && g->next_flip <= now &&
			TimestampDifferenceExceeds(g->moved_at, now, MOVE_RUNS_MS))
			due = lappend_int(due, g->id);
	}
	foreach(lc, due)
	{
		GmWorkerGraph *g = gm_graphs_find(lfirst_int(lc));
		Applied		applied;

		if (g == NULL)
			continue;			/* gave way to one before */
		g->moved_at = now;
		applied = try_apply(g, g->batch_count);
		if (applied != APPLIED)
			give_up(g, applied);
	}
	list_free(due);
	flip_at = GM_TIME_MAX;
	dlist_foreach(iter, &in_memory)
	{
		GmWorkerGraph *g = dlist_container(GmWorkerGraph, node, iter.cur);

		if (!g->loading)
			note_flip(g);
	}
}

static void
reclaim(uint64 oldest)
{
	dlist_iter	iter;

	limbo = false;
	dlist_foreach(iter, &in_memory)
	{
		GmWorkerGraph *g = dlist_container(GmWorkerGraph, node, iter.cur);

		if (g->loading || gm_mem_limbo(g->mem) == 0)
			continue;
		gm_mem_reclaim(g->mem, oldest);
		untidy = true;
		limbo |= gm_mem_limbo(g->mem) > 0;
		atomic_store_explicit(&g->entry->gr_limbo, gm_mem_limbo(g->mem), memory_order_relaxed);
	}
}

bool
gm_graphs_work_waits(void)
{
	return InterruptPending || MyLatch->is_set ||
		atomic_load(&area->ar_tickets) != atomic_load(&area->ar_passed);
}

static bool
work_waits(void *arg)
{
	(void) arg;
	return gm_graphs_work_waits();
}

/* what is left undone is begun again at the next idle moment */
static void
join_free(void)
{
	const GmInterrupt intr = {work_waits, NULL};
	dlist_iter	iter;

	untidy = false;
	dlist_foreach(iter, &in_memory)
	{
		GmWorkerGraph *g = dlist_container(GmWorkerGraph, node, iter.cur);

		if (g->loading)
			continue;
		untidy |= gm_mem_tidy(g->mem, &intr) != GM_OK;
		atomic_store_explicit(&g->entry->gr_bytes, g->mem->charged, memory_order_relaxed);
		if (gm_graphs_work_waits())
		{
			untidy = true;
			break;
		}
	}
}

void
gm_graphs_tidy(void)
{
	TimestampTz now = GetCurrentTimestamp();
	uint64		oldest;

	move_runs(now);
	gm_topology_tend(area);
	if (!TimestampDifferenceExceeds(tidied_at, now, TIDY_MS))
		return;
	tidied_at = now;
	oldest = gm_epoch_oldest(gm_area_slots(area), area->ar_slots);
	if (limbo)
		reclaim(oldest);
	(void) reap();
	if (untidy && !gm_graphs_work_waits())
		join_free();
	if (TimestampDifferenceExceeds(loaded_at, now, TRIM_MS))
		gm_pool_trim(pool, oldest);
}

bool
gm_graphs_wipe(void)
{
	return gm_pool_wipe(pool, WIPE_BYTES) || gm_pool_enlarge(pool);
}

long
gm_graphs_next_ms(void)
{
	long		ms = gm_topology_next_ms(area);

	if (locked_since != 0)
		return LOCKED_LOOK_MS;
	if (limbo || untidy || graveyard != NULL)
		ms = TIDY_MS;
	if (flip_at != GM_TIME_MAX)
	{
		long		flip = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), flip_at) + 1;

		ms = ms < 0 ? flip : Min(ms, flip);
	}
	return ms;
}
