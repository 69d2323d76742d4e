/*-------------------------------------------------------------------------
 *
 * load.c
 *	  Bringing graphs into memory.
 *
 * A load reads the tables under one snapshot, in a transaction of its own.
 * What commits meanwhile comes through the queue, is kept for the graph and
 * applied, as far as the snapshot did not see it, before readers find it.
 * Between rows the queue is served, so that graphs in memory stay current
 * however long another one loads.
 *
 * Table locks are taken only if nobody is in the way, all before the snapshot;
 * where somebody is, readers answer privately, which waits like any query.
 *
 * The statements run as the tables' owner, without a search_path and in a
 * security-restricted operation: the tables are ordinary ones, and what their
 * owner hangs on them must not run with the worker's rights.
 *
 * An index that CREATE INDEX CONCURRENTLY builds does not wait for a process
 * with autovacuum's flag.  So the flag is dropped while small graphs are read
 * by index, and large ones, whose loads an administrator may want to
 * interrupt, are read sequentially.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "error.h"
#include "guc.h"
#include "image/fetch.h"
#include "image/load.h"
#include "shm/stop.h"
#include "shm/xid.h"
#include "worker/graphs.h"
#include "worker/load.h"
#include "worker/main.h"
#include "worker/sync.h"

#define SMALL_SLAB		((size_t) 8 * 1024)
#define LARGE_SLAB		((size_t) 1 << 20)
#define LARGE_TRIPLES	200000	/* read sequentially from here on */
#define BYTES_A_TRIPLE	64
#define RETRY_MS		5000	/* what failed is tried again */

static GmArea *area;
static GmPool *pool;
static GmGraphEntry *current;	/* being loaded */
static int32 *wanted;
static int	wanted_count;
static int	wanted_room;

void
gm_load_start(GmArea *a, GmPool *p)
{
	area = a;
	pool = p;
	current = NULL;
	wanted_count = 0;
}

void
gm_load_want(GmGraphEntry *entry)
{
	int32		id = atomic_load(&entry->gr_id);

	for (int i = 0; i < wanted_count; i++)
		if (wanted[i] == id)
			return;
	if (wanted_count == wanted_room)
	{
		int			room = Max(16, wanted_room * 2);

		wanted = wanted == NULL ? MemoryContextAlloc(TopMemoryContext, room * sizeof(int32)) :
			repalloc(wanted, room * sizeof(int32));
		wanted_room = room;
	}
	wanted[wanted_count++] = id;
}

/*
 * The directory
 */
void
gm_load_enter(int32 graph_id, char residency)
{
	GmGraphEntry *e = gm_area_enter(area, graph_id);
	GmWorkerGraph *g = gm_graphs_find(graph_id);

	if (e == NULL)
	{
		ereport(LOG,
				(errmsg("graph %d is answered from private images", graph_id),
				 errdetail("The directory holds at most %d graphs.", GM_AREA_GRAPHS)));
		return;
	}
	e->gr_residency = residency;
	if (residency == 'n')
	{
		if (g != NULL && !g->loading)
			gm_graphs_unpublish(g, GM_GRAPH_NONE, GM_REFUSED_NOT);
		else if (g != NULL)
			g->stale = true;
		else
			atomic_store(&e->gr_state, GM_GRAPH_NONE);
		return;
	}
	if (atomic_load(&e->gr_state) == GM_GRAPH_NONE)
		atomic_store(&e->gr_state, GM_GRAPH_ABSENT);
	if (residency == 'p' && atomic_load(&e->gr_state) == GM_GRAPH_ABSENT)
		gm_load_want(e);
}

void
gm_load_list_graphs(void)
{
	SPI_connect();
	if (SPI_execute("SELECT graph_id, residency FROM graphmem.graphs ORDER BY graph_id", true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read the list of graphs");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		char	   *residency = SPI_getvalue(tuple, desc, 2);

		gm_load_enter(DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull)), residency[0]);
	}
	SPI_finish();
}

static bool
may_try_again(GmGraphEntry *e)
{
	return TimestampDifferenceExceeds((TimestampTz) atomic_load(&e->gr_loaded_at),
									  GetCurrentTimestamp(), RETRY_MS);
}

void
gm_load_look(void)
{
	GmGraphEntry *graphs = gm_area_graphs(area);

	for (uint32 i = 0; i < GM_AREA_GRAPHS; i++)
	{
		GmGraphEntry *e = &graphs[i];

		if (atomic_load_explicit(&e->gr_wanted, memory_order_relaxed) == 0 ||
			atomic_load_explicit(&e->gr_id, memory_order_relaxed) <= 0)
			continue;
		atomic_store(&e->gr_wanted, 0);
		switch ((GmGraphState) atomic_load(&e->gr_state))
		{
			case GM_GRAPH_ABSENT:
			case GM_GRAPH_REFUSED:
				gm_load_want(e);
				break;
			case GM_GRAPH_TOO_LARGE:
			case GM_GRAPH_NO_MEMORY:
			case GM_GRAPH_FAILED:
				if (may_try_again(e))
					gm_load_want(e);
				break;
			case GM_GRAPH_LOADING:
			case GM_GRAPH_READY:
			case GM_GRAPH_NONE:
				break;
		}
	}
}

/*
 * Locks
 */
static uint32
lock_holder(Oid relid)
{
	LOCKTAG		tag;
	VirtualTransactionId *holders;
	uint32		pid = 0;
	int			n;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	holders = GetLockConflicts(&tag, AccessShareLock, &n);
	for (int i = 0; i < n && pid == 0; i++)
		pid = gm_compat_vxid_pid(holders[i]);
	return pid;
}

static bool
lock_tables(void)
{
	for (GmTable table = GM_TABLE_NONE + 1; table < GM_TABLES; table++)
	{
		Oid			relid = gm_row_relid(table);

		if (!ConditionalLockRelationOid(relid, AccessShareLock))
		{
			atomic_store(&area->ar_lock_holder, lock_holder(relid));
			return false;
		}
	}
	atomic_store(&area->ar_lock_holder, 0);
	return true;
}

/*
 * How large
 */
static int64
count_triples(int32 graph_id, int64 most)
{
	Oid			types[2] = {INT4OID, INT8OID};
	Datum		args[2] = {Int32GetDatum(graph_id), Int64GetDatum(most)};
	static SPIPlanPtr plan;
	bool		isnull;

	if (plan == NULL)
	{
		plan = SPI_prepare("SELECT pg_catalog.count(*) FROM (SELECT FROM graphmem.triples"
						   " WHERE graph_id OPERATOR(pg_catalog.=) $1 LIMIT $2) t", 2, types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare to count triples");
	}
	if (SPI_execute_plan(plan, args, NULL, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count triples");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

static bool
too_large(int64 triples)
{
	size_t		limit = (size_t) gm_guc_memory_limit * 1024 * 1024;

	return limit > 0 && (size_t) triples * BYTES_A_TRIPLE > limit;
}

/*
 * Loading
 */
static void
keep_base(GmWorkerGraph *g, Snapshot snapshot)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());

	g->xmin = gm_full_xid(snapshot->xmin, next);
	g->xmax = gm_full_xid(snapshot->xmax, next);
	g->xip = MemoryContextAlloc(gm_graphs_context(), (snapshot->xcnt + 1) * sizeof(uint64));
	g->xcnt = snapshot->xcnt;
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		g->xip[i] = gm_full_xid(snapshot->xip[i], next);
	g->max_xid = 0;
}

static void
set_base(GmWorkerGraph *g)
{
	GmGraphBase *base = palloc(offsetof(GmGraphBase, xip) + g->xcnt * sizeof(uint64));

	base->xmin = g->xmin;
	base->xmax = g->xmax;
	base->n = g->xcnt;
	base->unused = 0;
	memcpy(base->xip, g->xip, g->xcnt * sizeof(uint64));
	gm_error_check(gm_graph_set_base(g->graph, base), "loading a graph");
	pfree(base);
}

static void
progress(GmTable table, uint64 rows)
{
	static const GmLoadPhase phases[GM_TABLES] = {
		[GM_TABLE_PREDICATES] = GM_LOAD_ENTITIES,[GM_TABLE_ENTITIES] = GM_LOAD_ENTITIES,
		[GM_TABLE_ALIASES] = GM_LOAD_ENTITIES,[GM_TABLE_SOURCES] = GM_LOAD_SOURCES,
		[GM_TABLE_TRIPLES] = GM_LOAD_TRIPLES,[GM_TABLE_ASSERTIONS] = GM_LOAD_ASSERTIONS,
		[GM_TABLE_EMBEDDINGS] = GM_LOAD_VECTORS,[GM_TABLE_NONE] = GM_LOAD_ADJACENCY,
	};

	atomic_store_explicit(&current->gr_phase, phases[table], memory_order_relaxed);
	if (table == GM_TABLE_TRIPLES)
		atomic_store_explicit(&current->gr_rows_done, rows, memory_order_relaxed);
	gm_sync_service();
}

/* false: it does not fit */
static bool
read_tables(GmWorkerGraph *g, Snapshot snapshot)
{
	int64		triples;
	bool		large;
	GmMemOps	ops;

	SPI_connect();
	triples = count_triples(g->id, LARGE_TRIPLES);
	large = triples >= LARGE_TRIPLES;
	if (large)
	{
		(void) set_config_option("enable_indexscan", "off", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		(void) set_config_option("enable_bitmapscan", "off", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		(void) set_config_option("enable_indexonlyscan", "off", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		gm_worker_set_friendly(true);
		triples = count_triples(g->id, PG_INT64_MAX);
	}
	atomic_store(&current->gr_rows_total, triples);
	if (too_large(triples))
	{
		SPI_finish();
		return false;
	}
	gm_graphs_memory(g, &ops);
	gm_error_check(gm_mem_create_shared(gm_pool_base(pool), large ? LARGE_SLAB : SMALL_SLAB, 0,
										&ops, &g->mem), "loading a graph");
	gm_load_progress = progress;
	gm_load_graph_and_spaces(g->id, GetCurrentTimestamp(), g->mem, &g->graph);
	gm_load_progress = NULL;
	SPI_finish();
	return true;
}

typedef enum Outcome
{
	LOADED,
	AGAIN,						/* out of date before it was ready */
	IN_THE_WAY,					/* a lock */
	LARGE,
	HIDDEN						/* row security */
} Outcome;

static Outcome
load_in_transaction(GmWorkerGraph *g)
{
	Oid			schema = get_namespace_oid("graphmem", false);
	Oid			owner;
	Oid			user;
	int			context;
	int			level;
	Relation	rel;
	Snapshot	snapshot;
	bool		fits;
	bool		hidden;

	if (!lock_tables())
		return IN_THE_WAY;
	GM_STOP(worker_load_start);
	snapshot = GetTransactionSnapshot();
	PushActiveSnapshot(snapshot);
	snapshot = GetActiveSnapshot();
	keep_base(g, snapshot);

	rel = table_open(get_relname_relid("triples", schema), AccessShareLock);
	owner = rel->rd_rel->relowner;
	table_close(rel, NoLock);
	GetUserIdAndSecContext(&user, &context);
	level = NewGUCNestLevel();
	SetUserIdAndSecContext(owner, context | SECURITY_RESTRICTED_OPERATION);
	(void) set_config_option("search_path", "", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
	(void) set_config_option("synchronize_seqscans", "off", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("jit", "off", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	hidden = gm_load_row_security();
	fits = !hidden && read_tables(g, snapshot);
	AtEOXact_GUC(true, level);
	SetUserIdAndSecContext(user, context);
	if (hidden)
		return HIDDEN;
	if (!fits)
		return LARGE;
	set_base(g);
	GM_STOP(worker_load_scanned);
	PopActiveSnapshot();
	return LOADED;
}

/* the changes that came meanwhile */
static void
drop_seen(GmWorkerGraph *g)
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

static void
finish(GmWorkerGraph *g, instr_time start)
{
	instr_time	end;

	gm_sync_service();
	drop_seen(g);
	g->loading = false;
	gm_graph_set_sequence(g->graph, atomic_fetch_add(&area->ar_sequence, 1) + 1, 0);
	if (!gm_graphs_apply(g))
		return;
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	atomic_store(&g->entry->gr_load_us, INSTR_TIME_GET_MICROSEC(end));
	gm_graphs_publish(g, gm_graph_root_ref(g->graph));
}

static void
give_up(GmWorkerGraph *g, GmGraphState state, GmRefusal reason)
{
	GmGraphEntry *e = g->entry;

	g->loading = false;
	gm_load_progress = NULL;
	atomic_store(&e->gr_loaded_at, (uint64) GetCurrentTimestamp());
	gm_graphs_unpublish(g, state, reason);
}

static GmGraphState
state_after(int sqlerrcode)
{
	switch (sqlerrcode)
	{
		case ERRCODE_OUT_OF_MEMORY:
			return GM_GRAPH_NO_MEMORY;
		case ERRCODE_CONFIGURATION_LIMIT_EXCEEDED:
			return GM_GRAPH_TOO_LARGE;
		default:
			return GM_GRAPH_FAILED;
	}
}

static void
load_one(GmGraphEntry *entry)
{
	GmWorkerGraph *g = gm_graphs_make(entry);
	MemoryContext context = CurrentMemoryContext;
	volatile Outcome outcome = LOADED;
	volatile bool failed = false;
	GmGraphState state = GM_GRAPH_FAILED;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	current = entry;
	g->loading = true;
	g->stale = false;
	g->xmin = 0;
	g->xmax = 0;				/* everything is kept until the snapshot is there */
	atomic_store(&entry->gr_rows_done, 0);
	atomic_store(&entry->gr_rows_total, 0);
	atomic_store(&entry->gr_phase, GM_LOAD_WAITING);
	atomic_store_explicit(&entry->gr_state, GM_GRAPH_LOADING, memory_order_release);
	gm_worker_set_friendly(false);
	PG_TRY();
	{
		StartTransactionCommand();
		outcome = load_in_transaction(g);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		EmitErrorReport();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			outcome = IN_THE_WAY;
		else
			state = state_after(error->sqlerrcode);
		FreeErrorData(error);
		AbortOutOfAnyTransaction();
		FlushErrorState();
		failed = true;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	gm_worker_set_friendly(true);
	current = NULL;
	if (failed && outcome != IN_THE_WAY)
		give_up(g, state, GM_REFUSED_NOT);
	else if (outcome == IN_THE_WAY)
		give_up(g, GM_GRAPH_REFUSED, GM_REFUSED_LOCK);
	else if (outcome == HIDDEN)
		give_up(g, GM_GRAPH_REFUSED, GM_REFUSED_ROW_SECURITY);
	else if (outcome == LARGE)
		give_up(g, GM_GRAPH_TOO_LARGE, GM_REFUSED_NOT);
	else if (g->stale)
	{
		give_up(g, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
		gm_load_want(entry);
	}
	else
		finish(g, start);
}

bool
gm_load_next(void)
{
	while (wanted_count > 0)
	{
		int32		id = wanted[0];
		GmGraphEntry *e = gm_area_find(area, id);

		memmove(wanted, wanted + 1, --wanted_count * sizeof(int32));
		if (e == NULL || atomic_load(&e->gr_state) == GM_GRAPH_READY ||
			atomic_load(&e->gr_state) == GM_GRAPH_NONE || e->gr_residency == 'n')
			continue;
		load_one(e);
		return true;
	}
	return false;
}

void
gm_load_error(void)
{
	GmWorkerGraph *g;

	if (current == NULL)
		return;
	g = gm_graphs_find(atomic_load(&current->gr_id));
	current = NULL;
	if (g != NULL)
		give_up(g, GM_GRAPH_FAILED, GM_REFUSED_NOT);
}
