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
#include "port/pg_bitutils.h"
#include "storage/bufmgr.h"
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
#include "shm/spaces.h"
#include "shm/stop.h"
#include "shm/xid.h"
#include "worker/graphs.h"
#include "worker/index_file.h"
#include "worker/load.h"
#include "worker/main.h"
#include "worker/sync.h"

#define SMALL_SLAB		((size_t) 8 * 1024)
#define SMALL_BUILD		((size_t) 64 * 1024)
#define PACKED_MOST		((size_t) 64 << 20)
#define LARGE_SLAB		((size_t) 1 << 20)
#define LARGE_TRIPLES	200000	/* read sequentially from here on */
#define ROW_BYTES		100		/* of the tables' rows together, at least, for a triple */
#define IMAGE_OF_TABLES	1.3		/* an image is at most so many times its tables */
#define RETRY_MS		5000	/* what failed is tried again */
#define LOCKED_FIRST_MS	50		/* what a lock kept out is, by itself */
#define LOCKED_MOST_MS	1000

static GmDatabase *db;
static GmArea *area;
static GmPool *pool;
static bool refused;			/* nothing may be loaded */
static GmWorkerGraph *current;	/* being loaded */
static int32 *wanted;
static int	wanted_count;
static int	wanted_room;
static TimestampTz locked_until;	/* somebody was in the way: try no load before */
static long locked_ms;			/* the pause that ends then */

void
gm_load_start(GmDatabase *database, GmArea *a, GmPool *p)
{
	db = database;
	area = a;
	pool = p;
	refused = true;
	current = NULL;
	wanted_count = 0;
	locked_until = 0;
	locked_ms = 0;
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
static void
set_state(GmGraphEntry *e, GmGraphState state, GmRefusal reason)
{
	atomic_store_explicit(&e->gr_reason, reason, memory_order_relaxed);
	atomic_store_explicit(&e->gr_state, state, memory_order_release);
}

/* of a graph that is not in memory */
static void
set_idle_state(GmGraphEntry *e)
{
	if (e->gr_residency == 'n')
		set_state(e, GM_GRAPH_NONE, GM_REFUSED_NOT);
	else if (refused)
		set_state(e, GM_GRAPH_REFUSED, GM_REFUSED_TRIGGERS);
	else
		set_state(e, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
}

void
gm_load_enter(int32 graph_id, char residency)
{
	GmGraphEntry *e = gm_area_find(area, graph_id);
	GmWorkerGraph *g = gm_graphs_find(graph_id);
	bool		is_new = e == NULL;

	if (is_new)
		e = gm_area_enter(area, graph_id);
	if (e == NULL)
	{
		ereport(LOG,
				(errmsg("graph %d is answered from private images", graph_id),
				 errdetail("The directory holds at most %d graphs.", GM_AREA_GRAPHS)));
		return;
	}
	if (!is_new && e->gr_residency == residency)
		return;
	e->gr_residency = residency;
	if (residency == 'n')
	{
		if (g != NULL && g->loading)
			g->stale = true;
		else if (g != NULL)
			gm_graphs_unpublish(g, GM_GRAPH_NONE, GM_REFUSED_NOT);
	}
	if (g == NULL)
		set_idle_state(e);
	if (residency == 'p' && g == NULL)
		gm_load_want(e);
}

void
gm_load_leave(int32 graph_id)
{
	GmGraphEntry *e = gm_area_find(area, graph_id);
	GmWorkerGraph *g = gm_graphs_find(graph_id);

	if (e == NULL)
		return;
	if (g != NULL && g->loading)
	{
		g->stale = g->dropped = true;
		return;
	}
	gm_graphs_forget(graph_id);
	gm_index_files_remove(graph_id);
	gm_area_keep_spaces(area, graph_id, NULL, 0);
	gm_area_drop(area, e);
}

void
gm_load_refuse(bool refuse)
{
	GmGraphEntry *graphs = gm_area_graphs(area);

	refused = refuse;
	for (uint32 i = 0; i < GM_AREA_GRAPHS; i++)
	{
		GmGraphEntry *e = &graphs[i];
		GmGraphState state = (GmGraphState) atomic_load(&e->gr_state);

		if (atomic_load(&e->gr_id) <= 0 || state == GM_GRAPH_NONE || state == GM_GRAPH_LOADING)
			continue;
		if (refuse)
			set_state(e, GM_GRAPH_REFUSED, GM_REFUSED_TRIGGERS);
		else if (state != GM_GRAPH_READY)
			set_state(e, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
	}
}

static int
by_id(const void *a, const void *b)
{
	int32		x = *(const int32 *) a;
	int32		y = *(const int32 *) b;

	return x < y ? -1 : x > y;
}

/* those that are in the directory and not among these, in order */
static void
leave_others(const int32 *ids, uint64 n)
{
	GmGraphEntry *graphs = gm_area_graphs(area);

	for (uint32 i = 0; i < GM_AREA_GRAPHS; i++)
	{
		int32		id = atomic_load(&graphs[i].gr_id);

		if (id > 0 && bsearch(&id, ids, n, sizeof(int32), by_id) == NULL)
			gm_load_leave(id);
	}
}

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

/* true: locked; else it is known who is in the way */
static bool
lock_table(GmTable table)
{
	Oid			relid = gm_row_relid(table);

	if (ConditionalLockRelationOid(relid, AccessShareLock))
		return true;
	atomic_store(&area->ar_lock_holder, lock_holder(relid));
	return false;
}

static bool
lock_tables(void)
{
	for (GmTable table = GM_TABLE_NONE + 1; table < GM_TABLES; table++)
		if (!lock_table(table))
			return false;
	atomic_store(&area->ar_lock_holder, 0);
	return true;
}

bool
gm_load_list_graphs(void)
{
	int32	   *ids;
	uint64		n;

	if (!lock_table(GM_TABLE_GRAPHS))
		return false;
	atomic_store(&area->ar_lock_holder, 0);
	SPI_connect();
	if (SPI_execute("SELECT graph_id, residency FROM graphmem.graphs ORDER BY graph_id", true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read the list of graphs");
	n = SPI_processed;
	ids = palloc((n + 1) * sizeof(int32));
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		char	   *residency = SPI_getvalue(tuple, desc, 2);

		ids[i] = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
		gm_load_enter(ids[i], residency[0]);
	}
	leave_others(ids, n);
	SPI_finish();
	return true;
}

static bool
may_try_again(GmGraphEntry *e)
{
	return TimestampDifferenceExceeds((TimestampTz) atomic_load(&e->gr_loaded_at),
									  GetCurrentTimestamp(), RETRY_MS);
}

static void
look_at(GmGraphEntry *e)
{
	if (atomic_load_explicit(&e->gr_id, memory_order_relaxed) <= 0 ||
		gm_graphs_find(atomic_load(&e->gr_id)) != NULL)
		return;
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

void
gm_load_look(void)
{
	GmGraphEntry *graphs = gm_area_graphs(area);

	for (uint32 i = 0; i < GM_AREA_GRAPHS / 64; i++)
	{
		uint64		asked;

		if (atomic_load_explicit(&area->ar_asked[i], memory_order_relaxed) == 0)
			continue;
		for (asked = atomic_exchange(&area->ar_asked[i], 0); asked != 0; asked &= asked - 1)
			look_at(&graphs[i * 64 + pg_rightmost_one_pos64(asked)]);
	}
}

/*
 * How large
 */

/* bytes of all the tables, whatever graph they are of */
static size_t
table_bytes(GmTable only)
{
	size_t		bytes = 0;

	for (GmTable table = GM_TABLE_NONE + 1; table < GM_TABLES; table++)
	{
		Relation	rel;

		if (only != GM_TABLE_NONE && table != only)
			continue;
		rel = table_open(gm_row_relid(table), NoLock);
		bytes += (size_t) RelationGetNumberOfBlocks(rel) * BLCKSZ;
		if (OidIsValid(rel->rd_rel->reltoastrelid))
		{
			Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);

			bytes += (size_t) RelationGetNumberOfBlocks(toast) * BLCKSZ;
			table_close(toast, AccessShareLock);
		}
		table_close(rel, NoLock);
	}
	return bytes;
}

/* as far as it is worth knowing */
static int64
count_triples(int32 graph_id, int64 most)
{
	static SPIPlanPtr plan;
	Oid			types[2] = {INT4OID, INT8OID};
	Datum		args[2] = {Int32GetDatum(graph_id), Int64GetDatum(most)};
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

/*
 * Can the graph not fit, whatever gives way for it?  Its rows are counted only
 * where all graphs together might not.
 */
static bool
is_too_large(const GmWorkerGraph *g)
{
	size_t		available = gm_graphs_available(g);

	if (available == SIZE_MAX)
		return false;
	if (g->known_bytes > available)
		return true;
	return table_bytes(GM_TABLE_NONE) * IMAGE_OF_TABLES > available &&
		gm_load_estimate(g->id) > available;
}

/*
 * Loading
 */
static void
keep_base(GmWorkerGraph *g, Snapshot snapshot)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	GmGraphBase *base = MemoryContextAlloc(gm_graphs_context(), offsetof(GmGraphBase, xip) +
										   snapshot->xcnt * sizeof(uint64));

	base->xmin = gm_full_xid(snapshot->xmin, next);
	base->xmax = gm_full_xid(snapshot->xmax, next);
	base->n = snapshot->xcnt;
	base->unused = 0;
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		base->xip[i] = gm_full_xid(snapshot->xip[i], next);
	g->base = base;
	g->max_xid = 0;
}

static void
progress(GmTable table, uint64 rows)
{
	static const GmLoadPhase phases[GM_TABLES] = {
		[GM_TABLE_PREDICATES] = GM_LOAD_ENTITIES,[GM_TABLE_ENTITIES] = GM_LOAD_ENTITIES,
		[GM_TABLE_ALIASES] = GM_LOAD_ENTITIES,[GM_TABLE_SOURCES] = GM_LOAD_SOURCES,
		[GM_TABLE_TRIPLES] = GM_LOAD_TRIPLES,[GM_TABLE_ASSERTIONS] = GM_LOAD_ASSERTIONS,
		[GM_TABLE_EMBEDDINGS] = GM_LOAD_VECTORS,[GM_TABLE_TOPOLOGY] = GM_LOAD_VECTORS,
		[GM_TABLE_NONE] = GM_LOAD_ADJACENCY,
	};

	if (current == NULL)
		return;
	atomic_store_explicit(&current->entry->gr_phase, phases[table], memory_order_relaxed);
	if (table == GM_TABLE_TRIPLES)
		atomic_store_explicit(&current->entry->gr_rows_done, rows, memory_order_relaxed);
	CHECK_FOR_INTERRUPTS();
	gm_sync_service();
	if (current->stale)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("graph %d changed in a way that loading must begin again", current->id)));
}

/*
 * What arrays have in reserve after a build is half of a small graph: it is
 * built in memory of the process and then copied.  One with few triples and
 * more than PACKED_MOST bytes all the same is loaded again without.
 */
static void
load_packed(GmWorkerGraph *g)
{
	static GmGraph *built;
	GmMem	   *mem;

	built = NULL;
	gm_error_check(gm_mem_create(SMALL_BUILD, PACKED_MOST, NULL, &mem), "loading a graph");
	PG_TRY();
	{
		gm_load_graph_and_spaces(g->id, GetCurrentTimestamp(), mem, false, &built);
		gm_error_check(gm_graphs_create_memory(g, SMALL_SLAB), "loading a graph");
		gm_error_check(gm_graph_copy(built, g->mem, &gm_server_interrupt, &g->graph),
					   "loading a graph");
	}
	PG_FINALLY();
	{
		gm_graph_destroy(built);
		gm_mem_destroy(mem);
	}
	PG_END_TRY();
}

/* false: it does not fit */
static bool
read_tables(GmWorkerGraph *g)
{
	size_t		bytes = table_bytes(GM_TABLE_TRIPLES);
	int64		triples = bytes / ROW_BYTES;
	bool		large = false;
	bool		fits;

	SPI_connect();
	gm_load_progress = progress;
	if (triples >= LARGE_TRIPLES)
	{
		int64		counted = count_triples(g->id, LARGE_TRIPLES);

		large = counted >= LARGE_TRIPLES;
		if (!large)
			triples = counted;
	}
	if (large)
	{
		(void) set_config_option("enable_indexscan", "off", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		(void) set_config_option("enable_bitmapscan", "off", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		(void) set_config_option("enable_indexonlyscan", "off", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		gm_load_by_scan = true;
		gm_worker_set_friendly(true);
	}
	atomic_store(&g->entry->gr_rows_total, triples);
	fits = !is_too_large(g);
	if (fits && (large || g->direct || gm_load_has_codes(g->id)))
	{
		gm_error_check(gm_graphs_create_memory(g, LARGE_SLAB), "loading a graph");
		gm_load_graph_and_spaces(g->id, GetCurrentTimestamp(), g->mem, true, &g->graph);
	}
	else if (fits)
		load_packed(g);
	gm_load_by_scan = false;
	SPI_finish();
	return fits;
}

typedef enum Outcome
{
	LOADED,
	AGAIN,						/* out of date before it was ready */
	IN_THE_WAY,					/* a lock */
	LARGE,
	HIDDEN,						/* row security */
	NO_MEMORY,
	BROKEN						/* any other error */
} Outcome;

/*
 * The tables are locked and stay so to the end of the transaction, so that
 * changes that are tuples' places can be looked up.
 */
static Outcome
load_in_transaction(GmWorkerGraph *g, instr_time start)
{
	Oid			owner;
	Oid			user;
	int			context;
	int			level;
	Relation	rel;
	bool		fits;
	bool		hidden;
	instr_time	end;

	if (!lock_tables())
		return IN_THE_WAY;
	locked_ms = 0;
	atomic_store_explicit(&g->entry->gr_state, GM_GRAPH_LOADING, memory_order_release);
	GM_STOP(worker_load_start);
	PushActiveSnapshot(GetTransactionSnapshot());
	keep_base(g, GetActiveSnapshot());

	rel = table_open(gm_row_relid(GM_TABLE_TRIPLES), NoLock);
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
	fits = !hidden && read_tables(g);
	AtEOXact_GUC(true, level);
	SetUserIdAndSecContext(user, context);
	if (!fits)
	{
		PopActiveSnapshot();
		return hidden ? HIDDEN : LARGE;
	}
	gm_error_check(gm_graph_set_base(g->graph, g->base), "loading a graph");
	atomic_store(&g->entry->gr_rows_total, g->graph->root->gr_slots);
	atomic_store(&g->entry->gr_rows_done, g->graph->root->gr_slots);
	GM_STOP(worker_load_scanned);
	progress(GM_TABLE_NONE, 0);
	atomic_store(&g->entry->gr_phase, GM_LOAD_CHANGES);
	gm_graphs_drop_seen(g);
	gm_graph_set_sequence(g->graph, atomic_fetch_add(&area->ar_sequence, 1) + 1, 0);
	if (gm_graphs_apply_loaded(g))
	{
		INSTR_TIME_SET_CURRENT(end);
		INSTR_TIME_SUBTRACT(end, start);
		atomic_store(&g->entry->gr_load_us, INSTR_TIME_GET_MICROSEC(end));
		gm_graphs_publish(g);
	}
	PopActiveSnapshot();
	return LOADED;
}

static void
give_up(GmWorkerGraph *g, GmGraphState state, GmRefusal reason)
{
	GmGraphEntry *e = g->entry;

	g->loading = false;
	if (g->mem != NULL)
		g->known_bytes = state == GM_GRAPH_TOO_LARGE ? g->mem->charged : 0;
	gm_graphs_unpublish(g, state, reason);
	if (state == GM_GRAPH_ABSENT)
		set_idle_state(e);
	else
		atomic_store(&e->gr_loaded_at, (uint64) GetCurrentTimestamp());
}

/* the error of a load ends here; other graphs go on */
static Outcome
recover(GmWorkerGraph *g, MemoryContext context)
{
	ErrorData  *error;
	Outcome		outcome = BROKEN;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	switch (error->sqlerrcode)
	{
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
			outcome = AGAIN;
			break;
		case ERRCODE_QUERY_CANCELED:
		case ERRCODE_LOCK_NOT_AVAILABLE:
			outcome = IN_THE_WAY;
			break;
		case ERRCODE_CONFIGURATION_LIMIT_EXCEEDED:
			outcome = g->mem == NULL && !g->direct ? AGAIN : LARGE;
			g->direct = true;
			break;
		case ERRCODE_OUT_OF_MEMORY:
			outcome = NO_MEMORY;
			break;
	}
	if (outcome == BROKEN)
	{
		EmitErrorReport();
		LWLockAcquire(&gm_control()->lock, LW_EXCLUSIVE);
		strlcpy(db->last_error, error->message, sizeof(db->last_error));
		db->failed_at = GetCurrentTimestamp();
		LWLockRelease(&gm_control()->lock);
	}
	FreeErrorData(error);
	LWLockReleaseAll();
	AbortOutOfAnyTransaction();
	FlushErrorState();
	gm_load_by_scan = false;
	current = NULL;
	gm_sync_error();
	RESUME_INTERRUPTS();
	if (outcome == NO_MEMORY)
		ereport(LOG,
				(errmsg("graph %d could not be loaded: out of memory", g->id),
				 errdetail("%s", gm_pool_error(pool)),
				 errhint("Shared memory of the system (/dev/shm) may be too small; queries load private images.")));
	return outcome;
}

static void
load_one(GmGraphEntry *entry)
{
	GmWorkerGraph *g = gm_graphs_make(entry);
	MemoryContext context = CurrentMemoryContext;
	Outcome		outcome;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	current = g;
	g->loading = true;
	g->stale = g->dropped = false;
	Assert(g->base == NULL);	/* everything is kept until the snapshot is there */
	atomic_store(&entry->gr_rows_done, 0);
	atomic_store(&entry->gr_rows_total, 0);
	atomic_store(&entry->gr_phase, GM_LOAD_WAITING);
	gm_worker_set_friendly(false);
	PG_TRY();
	{
		StartTransactionCommand();
		outcome = load_in_transaction(g, start);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		outcome = recover(g, context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	gm_load_progress = NULL;
	gm_worker_set_friendly(true);
	current = NULL;
	switch (outcome)
	{
		case LOADED:
			break;
		case AGAIN:
			give_up(g, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
			gm_load_want(entry);
			break;
		case IN_THE_WAY:
			give_up(g, GM_GRAPH_REFUSED, GM_REFUSED_LOCK);
			gm_load_want(entry);
			locked_ms = Min(Max(locked_ms * 2, LOCKED_FIRST_MS), LOCKED_MOST_MS);
			locked_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), locked_ms);
			break;
		case LARGE:
			give_up(g, GM_GRAPH_TOO_LARGE, GM_REFUSED_NOT);
			break;
		case HIDDEN:
			give_up(g, GM_GRAPH_REFUSED, GM_REFUSED_ROW_SECURITY);
			break;
		case NO_MEMORY:
			give_up(g, GM_GRAPH_NO_MEMORY, GM_REFUSED_NOT);
			break;
		case BROKEN:
			give_up(g, GM_GRAPH_FAILED, GM_REFUSED_NOT);
			break;
	}
	if (g->dropped)
		gm_load_leave(g->id);
}

bool
gm_load_next(void)
{
	if (wanted_count > 0 && locked_ms > 0 && GetCurrentTimestamp() < locked_until)
		return false;
	while (wanted_count > 0)
	{
		int32		id = wanted[0];
		GmGraphEntry *e = gm_area_find(area, id);

		memmove(wanted, wanted + 1, --wanted_count * sizeof(int32));
		if (e == NULL || gm_graphs_find(id) != NULL || e->gr_residency == 'n')
			continue;
		load_one(e);
		return true;
	}
	return false;
}

long
gm_load_next_ms(void)
{
	if (wanted_count == 0)
		return -1;
	return locked_ms == 0 ? 0 :
		TimestampDifferenceMilliseconds(GetCurrentTimestamp(), locked_until) + 1;
}

void
gm_load_spoil(int32 graph_id, uint64 xid)
{
	if (current == NULL || (graph_id != 0 && graph_id != current->id))
		return;
	if (xid == 0 || !gm_graphs_base_sees(current, xid))
		current->stale = true;
}

void
gm_load_error(void)
{
	GmWorkerGraph *g = current;

	current = NULL;
	gm_load_progress = NULL;
	gm_load_by_scan = false;
	if (g != NULL)
		give_up(g, GM_GRAPH_FAILED, GM_REFUSED_NOT);
}
