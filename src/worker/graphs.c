/*-------------------------------------------------------------------------
 *
 * graphs.c
 *	  The graphs that the worker keeps in memory: applying, publishing,
 *	  giving up.
 *
 * The worker's side of protocol image (shm/area.h).  A graph given up goes to
 * the graveyard with the epoch of that moment, and its slabs back to the pool
 * when the last reader of that epoch has left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/row.h"
#include "error.h"
#include "guc.h"
#include "image/fetch.h"
#include "shm/stop.h"
#include "worker/graphs.h"

#define EVICT_WAIT_MS	20
#define MOVE_RUNS_MS	1000	/* a graph's runs are brought up to date no more often */

typedef struct Grave
{
	struct Grave *next;
	GmMem	   *mem;
	uint64		epoch;
} Grave;

static GmDatabase *db;
static GmArea *area;
static GmPool *pool;
static MemoryContext context;
static HTAB *graphs;
static Grave *graveyard;

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
	context = AllocSetContextCreate(TopMemoryContext, "graphmem worker", ALLOCSET_DEFAULT_SIZES);
	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(int32);
	info.entrysize = sizeof(GmWorkerGraph);
	info.hcxt = context;
	graphs = hash_create("graphmem graphs", 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	graveyard = NULL;
}

static void
destroy_memory(GmWorkerGraph *g)
{
	gm_graph_destroy(g->graph);
	gm_mem_destroy(g->mem);
	g->graph = NULL;
	g->mem = NULL;
}

static void
destroy_visit(GmWorkerGraph *g, void *arg)
{
	destroy_memory(g);
}

void
gm_graphs_stop(void)
{
	if (graphs == NULL)
		return;
	gm_graphs_each(destroy_visit, NULL);
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

GmWorkerGraph *
gm_graphs_find(int32 id)
{
	return hash_search(graphs, &id, HASH_FIND, NULL);
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
gm_graphs_each(GmGraphVisit visit, void *arg)
{
	HASH_SEQ_STATUS scan;
	GmWorkerGraph *g;

	hash_seq_init(&scan, graphs);
	while ((g = hash_seq_search(&scan)) != NULL)
		visit(g, arg);
}

bool
gm_graphs_base_sees(const GmWorkerGraph *g, uint64 xid)
{
	if (xid < g->xmin)
		return true;
	if (xid >= g->xmax)
		return false;
	for (uint32 i = 0; i < g->xcnt; i++)
		if (g->xip[i] == xid)
			return false;
	return true;
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
		pfree(batch->bytes);
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
}

void
gm_graphs_drop_batches(GmWorkerGraph *g)
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
}

/*
 * Memory
 */
static int32 growing;			/* the graph that asks */

static GmStatus
slab_or_evict(void *arg, size_t *bytes, GmRef *ref)
{
	GmMemOps	ops;

	gm_pool_ops(pool, &ops);
	for (;;)
	{
		size_t		wanted = *bytes;
		GmStatus	status = ops.slab(ops.arg, &wanted, ref);

		if (status == GM_OK)
		{
			*bytes = wanted;
			return GM_OK;
		}
		if (!gm_graphs_evict(gm_graphs_find(growing)))
			return status;
		/* readers leave within the time of a query */
		for (int i = 0; graveyard != NULL && i < EVICT_WAIT_MS; i++)
		{
			pg_usleep(1000);
			gm_graphs_reclaim();
		}
	}
}

void
gm_graphs_memory(GmWorkerGraph *g, GmMemOps *ops)
{
	gm_pool_ops(pool, ops);
	ops->slab = slab_or_evict;
	growing = g->id;
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
		default:
			return UNKNOWN;
	}
}

static Applied
apply_change(GmApply *apply, const GmChange *change)
{
	const GmPlace *place;
	GmRow		row;

	if ((change->flags & GM_CHANGE_NEW) == 0)
	{
		if (gm_change_row(change, true, &row) != GM_OK)
			return UNKNOWN;
		return outcome(gm_apply_remove(apply, &row));
	}
	place = gm_change_place(change, false);
	if (place != NULL)
	{
		ensure_snapshot();
		switch (gm_row_fetch(change->table, place, change->graph_id, true, &row))
		{
			case GM_FETCH_FOUND:
				break;
			case GM_FETCH_GONE:
				return APPLIED;
			case GM_FETCH_LOCKED:
				return LOCKED;
			case GM_FETCH_MOVED:
				return UNKNOWN;
		}
	}
	else if (gm_change_row(change, false, &row) != GM_OK)
		return UNKNOWN;
	return outcome(gm_apply_put(apply, &row));
}

static Applied
apply_batch(GmWorkerGraph *g, GmApply *apply, const GmWorkerBatch *batch, uint64 *changes)
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
		applied = apply_change(apply, &change);
		if (applied != APPLIED)
			return applied;
		(*changes)++;
	}
	return APPLIED;
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
}

static void
note_transactions(GmWorkerGraph *g, uint64 sequence)
{
	for (uint32 i = 0; i < g->batch_count; i++)
		gm_area_note_xid(area, g->batches[i]->xid, sequence, g->batches[i]->ticket);
}

static Applied
try_apply(GmWorkerGraph *g)
{
	uint64		sequence = atomic_load(&area->ar_sequence) + 1;
	uint64		max_xid = g->max_xid;
	uint64		changes = 0;
	int64_t		now = GetCurrentTimestamp();
	Applied		applied = APPLIED;
	GmApply    *apply;
	GmStatus	status;
	GmRef		root;
	uint64		epoch;

	growing = g->id;
	status = gm_apply_begin(g->graph, &gm_server_interrupt, &apply);
	if (status != GM_OK)
		return outcome(status);
	for (uint32 i = 0; i < g->batch_count && applied == APPLIED; i++)
	{
		max_xid = Max(max_xid, g->batches[i]->xid);
		applied = apply_batch(g, apply, g->batches[i], &changes);
	}
	if (applied == APPLIED)
	{
		gm_apply_set_sequence(apply, sequence, max_xid);
		applied = outcome(gm_apply_finish(apply, Max(now, g->graph->root->gr_built_at), &root));
	}
	if (applied != APPLIED)
	{
		gm_apply_abort(apply);
		return applied;
	}
	GM_STOP(worker_before_publish);
	note_transactions(g, sequence);
	atomic_store_explicit(&area->ar_sequence, sequence, memory_order_relaxed);
	atomic_store_explicit(&g->entry->gr_root, root, memory_order_release);
	epoch = gm_epoch_advance(&area->ar_epoch);
	gm_apply_commit(apply, epoch);
	GM_STOP(worker_after_publish);
	g->max_xid = max_xid;
	atomic_fetch_add_explicit(&g->entry->gr_versions, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&g->entry->gr_changes, changes, memory_order_relaxed);
	atomic_fetch_add_explicit(&area->ar_changes, changes, memory_order_relaxed);
	show(g);
	return APPLIED;
}

bool
gm_graphs_apply(GmWorkerGraph *g)
{
	Applied		applied;

	if (g->batch_count == 0)
		return true;
	applied = try_apply(g);
	if (applied == APPLIED)
	{
		gm_graphs_drop_batches(g);
		return true;
	}
	CHECK_FOR_INTERRUPTS();
	switch (applied)
	{
		case NO_MEMORY:
			gm_graphs_unpublish(g, GM_GRAPH_NO_MEMORY, GM_REFUSED_NOT);
			break;
		case OVER_LIMIT:
			gm_graphs_unpublish(g, GM_GRAPH_TOO_LARGE, GM_REFUSED_NOT);
			break;
		case LOCKED:
		case UNKNOWN:
		case APPLIED:
			/* the load waits for the lock, or finds out */
			gm_graphs_unpublish(g, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
			atomic_store(&g->entry->gr_wanted, 1);
			break;
	}
	return false;
}

/*
 * Publishing and giving up
 */
void
gm_graphs_publish(GmWorkerGraph *g, GmRef root)
{
	GmGraphEntry *e = g->entry;

	g->moved_at = GetCurrentTimestamp();
	atomic_store_explicit(&e->gr_root, root, memory_order_release);
	atomic_store_explicit(&e->gr_reason, GM_REFUSED_NOT, memory_order_relaxed);
	atomic_store_explicit(&e->gr_used, (uint64) GetCurrentTimestamp(), memory_order_relaxed);
	atomic_store_explicit(&e->gr_wanted, 0, memory_order_relaxed);
	atomic_store_explicit(&e->gr_versions, 1, memory_order_relaxed);
	atomic_store_explicit(&e->gr_changes, 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&e->gr_loads, 1, memory_order_relaxed);
	atomic_store_explicit(&e->gr_loaded_at, (uint64) GetCurrentTimestamp(), memory_order_relaxed);
	show(g);
	atomic_store_explicit(&e->gr_state, GM_GRAPH_READY, memory_order_release);
	(void) gm_epoch_advance(&area->ar_epoch);
	ConditionVariableBroadcast(&db->changed);
}

static void
bury(GmMem *mem)
{
	Grave	   *grave = malloc(sizeof(Grave));

	/* without it the memory stays until the worker ends */
	if (grave == NULL)
		return;
	grave->mem = mem;
	grave->epoch = gm_epoch_advance(&area->ar_epoch);
	grave->next = graveyard;
	graveyard = grave;
}

void
gm_graphs_unpublish(GmWorkerGraph *g, GmGraphState state, GmRefusal reason)
{
	GmGraphEntry *e = g->entry;

	atomic_store_explicit(&e->gr_reason, reason, memory_order_relaxed);
	atomic_store_explicit(&e->gr_state, state, memory_order_release);
	atomic_store_explicit(&e->gr_root, 0, memory_order_release);
	atomic_store_explicit(&e->gr_bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&e->gr_limbo, 0, memory_order_relaxed);
	gm_graphs_drop_batches(g);
	if (g->mem != NULL)
	{
		gm_graph_destroy(g->graph);
		bury(g->mem);
		g->graph = NULL;
		g->mem = NULL;
	}
	if (g->xip != NULL)
		pfree(g->xip);
	g->xip = NULL;
	g->xcnt = 0;
	g->max_xid = 0;
	(void) hash_search(graphs, &g->id, HASH_REMOVE, NULL);
}

typedef struct Oldest
{
	const GmWorkerGraph *but;
	GmWorkerGraph *g;
	uint64		used;
} Oldest;

static void
oldest_visit(GmWorkerGraph *g, void *arg)
{
	Oldest	   *oldest = arg;
	uint64		used = atomic_load(&g->entry->gr_used);

	if (g == oldest->but || g->loading || g->mem == NULL || g->entry->gr_residency == 'p')
		return;
	if (oldest->g == NULL || used < oldest->used)
	{
		oldest->g = g;
		oldest->used = used;
	}
}

bool
gm_graphs_evict(const GmWorkerGraph *but)
{
	Oldest		oldest = {but, NULL, 0};

	gm_graphs_each(oldest_visit, &oldest);
	if (oldest.g == NULL)
		return false;
	gm_graphs_unpublish(oldest.g, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
	atomic_fetch_add(&area->ar_evictions, 1);
	gm_graphs_reclaim();
	return true;
}

static void
reclaim_visit(GmWorkerGraph *g, void *arg)
{
	if (g->mem == NULL || gm_mem_limbo(g->mem) == 0)
		return;
	gm_mem_reclaim(g->mem, *(uint64 *) arg);
	atomic_store_explicit(&g->entry->gr_limbo, gm_mem_limbo(g->mem), memory_order_relaxed);
}

void
gm_graphs_reclaim(void)
{
	uint64		oldest = gm_epoch_oldest(gm_area_slots(area), area->ar_slots);
	Grave	  **link = &graveyard;

	gm_graphs_each(reclaim_visit, &oldest);
	while (*link != NULL)
	{
		Grave	   *grave = *link;

		if (grave->epoch >= oldest)
		{
			link = &grave->next;
			continue;
		}
		*link = grave->next;
		gm_mem_destroy(grave->mem);
		free(grave);
	}
	gm_pool_trim(pool, oldest);
}

/*
 * Time
 */
typedef struct Flips
{
	TimestampTz now;
	TimestampTz next;
} Flips;

static void
next_flip_visit(GmWorkerGraph *g, void *arg)
{
	Flips	   *flips = arg;

	if (g->graph == NULL || g->loading || g->graph->root->gr_next_flip == GM_TIME_MAX)
		return;
	flips->next = Min(flips->next,
					  Max(g->graph->root->gr_next_flip,
						  TimestampTzPlusMilliseconds(g->moved_at, MOVE_RUNS_MS)));
}

long
gm_graphs_next_ms(void)
{
	Flips		flips = {GetCurrentTimestamp(), DT_NOEND};

	gm_graphs_each(next_flip_visit, &flips);
	if (flips.next == DT_NOEND)
		return -1;
	return TimestampDifferenceMilliseconds(flips.now, flips.next) + 1;
}

static void
move_visit(GmWorkerGraph *g, void *arg)
{
	Flips	   *flips = arg;

	if (g->graph == NULL || g->loading || g->batch_count > 0 ||
		g->graph->root->gr_next_flip > flips->now ||
		!TimestampDifferenceExceeds(g->moved_at, flips->now, MOVE_RUNS_MS))
		return;
	g->moved_at = flips->now;
	(void) try_apply(g);
}

void
gm_graphs_move_runs(void)
{
	Flips		flips = {GetCurrentTimestamp(), DT_NOEND};

	gm_graphs_each(move_visit, &flips);
}
