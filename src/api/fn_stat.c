/*-------------------------------------------------------------------------
 *
 * fn_stat.c
 *	  What the stat_* views show: the worker, the graphs, memory, loads, and
 *	  this session.
 *
 * All of it is read without waiting for anybody, from shared memory that may
 * change meanwhile: columns of one row may be a moment apart.  Nothing is
 * started, and nothing here needs a worker, privileges or a primary server:
 * where there is no area, there are no rows or nulls.
 *
 * Interface
 *	 graphmem_stat_get_worker			one row
 *	 graphmem_stat_get_graph			a row for each entry of the directory
 *	 graphmem_stat_get_memory			a row for each part
 *	 graphmem_stat_get_progress_load	a row for each graph being loaded
 *	 graphmem_stat_get_progress_query	a row for each call that runs long
 *	 graphmem_stat_get_function			a row for each function that is counted
 *	 graphmem_stat_get_backend			one row
 *	 graphmem_stat_reset				counters to 0
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

#include "api/rows.h"
#include "guc.h"
#include "image/image.h"
#include "image/stats.h"
#include "shm/area.h"
#include "shm/attach.h"
#include "shm/control.h"

PG_FUNCTION_INFO_V1(graphmem_stat_get_worker);
PG_FUNCTION_INFO_V1(graphmem_stat_get_graph);
PG_FUNCTION_INFO_V1(graphmem_stat_get_memory);
PG_FUNCTION_INFO_V1(graphmem_stat_get_progress_load);
PG_FUNCTION_INFO_V1(graphmem_stat_get_progress_query);
PG_FUNCTION_INFO_V1(graphmem_stat_get_function);
PG_FUNCTION_INFO_V1(graphmem_stat_get_backend);
PG_FUNCTION_INFO_V1(graphmem_stat_reset);

#define MB	((int64) 1024 * 1024)

static void
put_uint64(GmRows *rows, uint64 value)
{
	gm_row_int8(rows, (int64) value);
}

static void
put_text(GmRows *rows, const char *value)
{
	if (value == NULL || value[0] == '\0')
		gm_row_null(rows);
	else
		gm_row_cstring(rows, value);
}

/* 0 was never */
static void
put_time(GmRows *rows, uint64 time)
{
	if (time == 0)
		gm_row_null(rows);
	else
		gm_row_time(rows, (int64) time);
}

static void
put_ms(GmRows *rows, uint64 microseconds)
{
	gm_row_float8(rows, microseconds / 1000.0);
}

static void
put_nulls(GmRows *rows, int n)
{
	while (n-- > 0)
		gm_row_null(rows);
}

/* a copy of this database's entry; false if there is none */
static bool
copy_database(GmDatabase *copy)
{
	GmControl  *control = gm_control();
	GmDatabase *db = control == NULL ? NULL : gm_control_database(false);

	if (db == NULL)
		return false;
	LWLockAcquire(&control->lock, LW_SHARED);
	memcpy(copy, db, sizeof(GmDatabase));
	LWLockRelease(&control->lock);
	return true;
}

static GmArea *
current_area(void)
{
	GmDatabase *db = gm_control() == NULL ? NULL : gm_control_database(false);

	return db == NULL ? NULL : gm_attach(&db);
}

/* the entry at a place of the directory, if it is a graph's */
static GmGraphEntry *
graph_at(GmArea *area, uint32 place, int32 *graph_id)
{
	GmGraphEntry *entry = &gm_area_graphs(area)[place];

	*graph_id = atomic_load_explicit(&entry->gr_id, memory_order_acquire);
	return *graph_id > 0 ? entry : NULL;
}

/*
 * The worker
 */
static const char *
worker_state(const GmDatabase *db)
{
	switch (db->state)
	{
		case GM_WORKER_NONE:
			if (RecoveryInProgress())
				return "standby";
			return gm_guc_worker ? "not started" : "disabled";
		case GM_WORKER_STARTING:
			return "starting";
		case GM_WORKER_PREPARING:
			return "preparing";
		case GM_WORKER_READY:
			return "ready";
		case GM_WORKER_BACKOFF:
			return "backoff";
		case GM_WORKER_NO_SLOT:
			return "no worker slot";
		case GM_WORKER_NO_EXTENSION:
			return "no extension";
		case GM_WORKER_DISABLED:
			return "disabled";
	}
	return "unknown";
}

#define NO_MEMORY_HINT \
	"The system refused shared memory: raise the size of /dev/shm (docker run --shm-size) or min_dynamic_shared_memory, or lower graphmem.memory_limit."

/* what to do about the state of the worker */
static const char *
worker_hint(const GmDatabase *db)
{
	switch (db->state)
	{
		case GM_WORKER_NONE:
			if (RecoveryInProgress())
				return "A standby answers from private images.";
			if (!gm_guc_worker)
				return "Set graphmem.worker to on and reload the configuration.";
			if (gm_control_full())
				return psprintf("%d other databases of this server have used graphmem, which is the limit: queries are answered from private images until one of those databases is dropped.",
								GM_MAX_DATABASES);
			return "The next query starts it.";
		case GM_WORKER_STARTING:
		case GM_WORKER_PREPARING:
		case GM_WORKER_READY:
			return NULL;
		case GM_WORKER_BACKOFF:
			if (strstr(db->last_error, "shared memory") != NULL)
				return NO_MEMORY_HINT;
			return "See last_error and the server log; it is started again at retry_at.";
		case GM_WORKER_NO_SLOT:
			return "Raise max_worker_processes, which takes a restart of the server; until then queries are answered from private images.";
		case GM_WORKER_NO_EXTENSION:
			return "The worker did not find the extension; the next query starts it again.";
		case GM_WORKER_DISABLED:
			if (!gm_guc_worker)
				return "Set graphmem.worker to on and reload the configuration.";
			return "The worker gave up; see last_error and the server log.";
	}
	return NULL;
}

/* what to do about the state of some graph */
static const char *
graph_hint(GmArea *area)
{
	bool		no_memory = false;
	bool		too_large = false;
	bool		failed = false;
	bool		triggers = false;
	bool		row_security = false;

	for (uint32 i = 0; i < GM_AREA_GRAPHS; i++)
	{
		int32		graph_id;
		GmGraphEntry *entry = graph_at(area, i, &graph_id);

		if (entry == NULL)
			continue;
		switch ((GmGraphState) atomic_load(&entry->gr_state))
		{
			case GM_GRAPH_NO_MEMORY:
				no_memory = true;
				break;
			case GM_GRAPH_TOO_LARGE:
				too_large = true;
				break;
			case GM_GRAPH_FAILED:
				failed = true;
				break;
			case GM_GRAPH_REFUSED:
				triggers |= atomic_load(&entry->gr_reason) == GM_REFUSED_TRIGGERS;
				row_security |= atomic_load(&entry->gr_reason) == GM_REFUSED_ROW_SECURITY;
				break;
			case GM_GRAPH_ABSENT:
			case GM_GRAPH_LOADING:
			case GM_GRAPH_READY:
			case GM_GRAPH_NONE:
				break;
		}
	}
	if (no_memory)
		return NO_MEMORY_HINT;
	if (triggers)
		return "A capture trigger of a table is missing: create it again as the extension's script does, ENABLE ALWAYS.";
	if (failed)
		return "Loading a graph failed; see last_error and the server log, then call graphmem.rebuild().";
	if (too_large)
		return "A graph is larger than graphmem.memory_limit allows: raise it and reload the configuration.";
	if (row_security)
		return "FORCE ROW LEVEL SECURITY on a table keeps the worker from reading it.";
	return NULL;
}

static const char *
area_hint(GmArea *area)
{
	uint32		holder = atomic_load(&area->ar_lock_holder);

	if (holder != 0)
		return psprintf("Process %u holds a lock that keeps the worker out.", holder);
	if (atomic_load(&area->ar_parked_over) != 0)
		return "Too many open transactions have changes: commit or roll back the oldest ones, prepared ones too.";
	return graph_hint(area);
}

static void
put_parked(GmRows *rows, GmArea *area)
{
	uint64		oldest = 0;
	uint32		n;

	LWLockAcquire(&area->ar_queue_lock, LW_SHARED);
	n = Min(atomic_load(&area->ar_parked_count), GM_AREA_PARKED);
	for (uint32 i = 0; i < n; i++)
		if (oldest == 0 || area->ar_parked[i].pk_xid < oldest)
			oldest = area->ar_parked[i].pk_xid;
	LWLockRelease(&area->ar_queue_lock);
	gm_row_int8(rows, n + atomic_load(&area->ar_parked_over));
	if (oldest == 0)
		gm_row_null(rows);
	else
		put_uint64(rows, oldest);	/* an xid8 is such a datum */
}

#define AREA_COLUMNS	14

static void
put_area(GmRows *rows, GmArea *area)
{
	uint64		passed = atomic_load(&area->ar_passed);
	uint64		tickets = atomic_load(&area->ar_tickets);
	uint32		holder = atomic_load(&area->ar_lock_holder);

	put_uint64(rows, tickets);
	put_uint64(rows, passed);
	put_uint64(rows, tickets - passed);
	put_parked(rows, area);
	put_uint64(rows, atomic_load(&area->ar_batches));
	put_uint64(rows, atomic_load(&area->ar_changes));
	put_uint64(rows, atomic_load(&area->ar_aborted));
	put_uint64(rows, atomic_load(&area->ar_reloads));
	put_uint64(rows, atomic_load(&area->ar_evictions));
	put_uint64(rows, atomic_load(&area->ar_dangling));
	put_ms(rows, atomic_load(&area->ar_apply_us));
	if (holder == 0)
		gm_row_null(rows);
	else
		gm_row_int4(rows, (int32) holder);
	put_time(rows, atomic_load(&area->ar_stats_reset));
}

Datum
graphmem_stat_get_worker(PG_FUNCTION_ARGS)
{
	GmDatabase	db;
	GmArea	   *area = current_area();
	const char *hint;
	GmRows		rows;

	if (!copy_database(&db))
		memset(&db, 0, sizeof(db));
	gm_rows_begin(fcinfo, &rows);
	if (db.worker_pid == 0)
		gm_row_null(&rows);
	else
		gm_row_int4(&rows, db.worker_pid);
	gm_row_cstring(&rows, worker_state(&db));
	put_uint64(&rows, db.generation);
	put_time(&rows, (uint64) db.started_at);
	gm_row_int8(&rows, db.starts);
	gm_row_int8(&rows, db.attempts);
	put_text(&rows, db.last_error);
	put_time(&rows, (uint64) db.failed_at);
	put_time(&rows, (uint64) db.retry_at);
	put_uint64(&rows, atomic_load(&db.overflow));
	hint = worker_hint(&db);
	if (area == NULL)
		put_nulls(&rows, AREA_COLUMNS);
	else
	{
		put_area(&rows, area);
		if (hint == NULL)
			hint = area_hint(area);
	}
	put_text(&rows, hint);
	gm_rows_put(&rows);
	return (Datum) 0;
}

/*
 * Graphs
 */
static const char *
graph_state(GmGraphState state)
{
	switch (state)
	{
		case GM_GRAPH_ABSENT:
			return "absent";
		case GM_GRAPH_LOADING:
			return "loading";
		case GM_GRAPH_READY:
			return "ready";
		case GM_GRAPH_NONE:
			return "none";
		case GM_GRAPH_TOO_LARGE:
			return "too large";
		case GM_GRAPH_NO_MEMORY:
			return "no memory";
		case GM_GRAPH_REFUSED:
			return "refused";
		case GM_GRAPH_FAILED:
			return "failed";
	}
	return "unknown";
}

/* computed spaces that were looked at; room for GM_AREA_SPACES */
static uint32
list_computed(GmArea *area, const GmSpaceEntry **list)
{
	uint32		n = 0;

	for (uint32 i = 0; i < GM_AREA_SPACES; i++)
	{
		GmSpaceEntry *entry = gm_area_space_at(area, i);

		if (atomic_load_explicit(&entry->se_dirty_at, memory_order_acquire) != 0)
			list[n++] = entry;
	}
	return n;
}

static double
dirty_share(const GmSpaceEntry *entry)
{
	uint64		nodes = atomic_load_explicit(&entry->se_nodes, memory_order_relaxed);
	uint64		dirty = atomic_load_explicit(&entry->se_dirty, memory_order_relaxed);

	return (double) dirty / (double) Max(nodes, 1);
}

/* NULL: the graph has none of them */
static const GmSpaceEntry *
dirtiest(const GmSpaceEntry *const *list, uint32 n, int32 graph_id)
{
	const GmSpaceEntry *found = NULL;

	for (uint32 i = 0; i < n; i++)
		if (atomic_load_explicit(&list[i]->se_graph, memory_order_relaxed) == graph_id &&
			(found == NULL || dirty_share(list[i]) > dirty_share(found)))
			found = list[i];
	return found;
}

static void
put_graph(GmRows *rows, const GmSpaceEntry *space, GmGraphEntry *entry, int32 graph_id)
{
	GmGraphState state = (GmGraphState) atomic_load(&entry->gr_state);

	gm_row_int4(rows, graph_id);
	gm_row_cstring(rows, graph_state(state));
	put_text(rows, gm_area_why_not(entry, state));
	put_uint64(rows, atomic_load(&entry->gr_nodes));
	put_uint64(rows, atomic_load(&entry->gr_triples));
	put_uint64(rows, atomic_load(&entry->gr_vectors));
	put_uint64(rows, atomic_load(&entry->gr_bytes));
	put_uint64(rows, atomic_load(&entry->gr_limbo));
	put_uint64(rows, atomic_load(&entry->gr_loads));
	put_ms(rows, atomic_load(&entry->gr_load_us));
	put_time(rows, atomic_load(&entry->gr_loaded_at));
	put_time(rows, atomic_load(&entry->gr_used));
	put_uint64(rows, atomic_load(&entry->gr_versions));
	put_uint64(rows, atomic_load(&entry->gr_changes));
	if (space == NULL)
		put_nulls(rows, 2);
	else
	{
		put_uint64(rows, atomic_load(&space->se_dirty));
		put_uint64(rows, atomic_load(&space->se_nodes));
	}
	gm_rows_put(rows);
}

Datum
graphmem_stat_get_graph(PG_FUNCTION_ARGS)
{
	GmArea	   *area = current_area();
	const GmSpaceEntry **computed;
	uint32		n;
	GmRows		rows;

	gm_rows_begin(fcinfo, &rows);
	if (area == NULL)
		return (Datum) 0;
	computed = palloc(GM_AREA_SPACES * sizeof(GmSpaceEntry *));
	n = list_computed(area, computed);
	for (uint32 i = 0; i < GM_AREA_GRAPHS; i++)
	{
		int32		graph_id;
		GmGraphEntry *entry = graph_at(area, i, &graph_id);

		if (entry != NULL)
			put_graph(&rows, dirtiest(computed, n, graph_id), entry, graph_id);
	}
	return (Datum) 0;
}

static const char *
load_phase(GmLoadPhase phase)
{
	switch (phase)
	{
		case GM_LOAD_WAITING:
			return "waiting for a lock";
		case GM_LOAD_ENTITIES:
			return "reading entities";
		case GM_LOAD_SOURCES:
			return "reading sources";
		case GM_LOAD_TRIPLES:
			return "reading triples";
		case GM_LOAD_ASSERTIONS:
			return "reading assertions";
		case GM_LOAD_ADJACENCY:
			return "building adjacency";
		case GM_LOAD_VECTORS:
			return "reading vectors";
		case GM_LOAD_CHANGES:
			return "applying changes";
	}
	return "unknown";
}

Datum
graphmem_stat_get_progress_load(PG_FUNCTION_ARGS)
{
	GmArea	   *area = current_area();
	GmRows		rows;

	gm_rows_begin(fcinfo, &rows);
	if (area == NULL)
		return (Datum) 0;
	for (uint32 i = 0; i < GM_AREA_GRAPHS; i++)
	{
		int32		graph_id;
		GmGraphEntry *entry = graph_at(area, i, &graph_id);
		uint64		done;
		uint64		total;

		if (entry == NULL || atomic_load(&entry->gr_state) != GM_GRAPH_LOADING)
			continue;
		done = atomic_load(&entry->gr_rows_done);
		total = atomic_load(&entry->gr_rows_total);
		gm_row_int4(&rows, graph_id);
		gm_row_cstring(&rows, load_phase((GmLoadPhase) atomic_load(&entry->gr_phase)));
		put_uint64(&rows, done);
		if (total == 0)
			put_nulls(&rows, 2);
		else
		{
			put_uint64(&rows, total);
			gm_row_float8(&rows, Min(100.0, 100.0 * done / total));
		}
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}

/*
 * Calls
 */
static const char *const call_names[] = {
	[GM_CALL_NONE] = NULL,
#define GM_CALL(name)	#name,
#include "shm/calls.h"
#undef GM_CALL
};

StaticAssertDecl(lengthof(call_names) == GM_CALLS, "every call has a name");

static const char *
call_phase(GmPhase phase)
{
	switch (phase)
	{
		case GM_PHASE_NONE:
			return "starting";
		case GM_PHASE_WAITING:
			return "waiting for the worker";
		case GM_PHASE_LOADING:
			return "loading a private image";
		case GM_PHASE_WALKING:
			return "walking";
		case GM_PHASE_ITERATING:
			return "iterating";
		case GM_PHASE_VECTORS:
			return "vectors";
		case GM_PHASE_CHECKING:
			return "checking";
		case GM_PHASE_ROWS:
			return "returning rows";
		case GM_PHASE_DELETING:
			return "deleting rows";
	}
	return "unknown";
}

/* others' calls are theirs */
static bool
may_see(Oid user)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		has_privs_of_role(GetUserId(), user);
}

#define SHOWN_COLUMNS	6		/* that not everybody sees */

static void
put_shown(GmRows *rows, const GmShownCall *shown)
{
	gm_row_int4(rows, shown->pid);
	if (!may_see(shown->user))
	{
		put_nulls(rows, SHOWN_COLUMNS);
		gm_rows_put(rows);
		return;
	}
	gm_row_oid(rows, shown->user);
	gm_row_cstring(rows, call_names[shown->call]);
	gm_row_cstring(rows, call_phase(shown->phase));
	put_uint64(rows, shown->done);
	if (shown->total == 0)
		gm_row_null(rows);
	else
		put_uint64(rows, shown->total);
	put_uint64(rows, shown->records);
	gm_rows_put(rows);
}

Datum
graphmem_stat_get_progress_query(PG_FUNCTION_ARGS)
{
	GmArea	   *area = current_area();
	GmRows		rows;

	gm_rows_begin(fcinfo, &rows);
	for (uint32 i = 0; area != NULL && i < area->ar_slots; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		GmShownCall shown;

		if (gm_area_shown(gm_area_calls(area, i), &shown) && shown.call < GM_CALLS &&
			proc->pid == shown.pid && proc->databaseId == MyDatabaseId)
			put_shown(&rows, &shown);
	}
	return (Datum) 0;
}

static void
add_counters(GmCallCounters *sum, const GmCallCounters *c, int sign)
{
	GmCallCounters *from = unconstify(GmCallCounters *, c);

	atomic_fetch_add(&sum->cc_calls, sign * atomic_load(&from->cc_calls));
	atomic_fetch_add(&sum->cc_rows, sign * atomic_load(&from->cc_rows));
	atomic_fetch_add(&sum->cc_records, sign * atomic_load(&from->cc_records));
	atomic_fetch_add(&sum->cc_timed, sign * atomic_load(&from->cc_timed));
	atomic_fetch_add(&sum->cc_us, sign * atomic_load(&from->cc_us));
}

/* adds what all processes have counted since the worker started */
static void
sum_counters(GmArea *area, GmCall call, GmCallCounters *sum)
{
	for (uint32 i = 0; area != NULL && i < area->ar_slots; i++)
		add_counters(sum, &gm_area_calls(area, i)->bc_counters[call], 1);
}

Datum
graphmem_stat_get_function(PG_FUNCTION_ARGS)
{
	GmArea	   *area = current_area();
	GmRows		rows;

	gm_rows_begin(fcinfo, &rows);
	for (GmCall call = GM_CALL_NONE + 1; call < GM_CALLS; call++)
	{
		GmCallCounters sum = {0};

		/* first what to count from: a reset in between must not overtake the sum */
		if (area != NULL)
			add_counters(&sum, &area->ar_calls_before[call], -1);
		sum_counters(area, call, &sum);
		gm_row_cstring(&rows, call_names[call]);
		put_uint64(&rows, atomic_load(&sum.cc_calls));
		put_uint64(&rows, atomic_load(&sum.cc_rows));
		put_uint64(&rows, atomic_load(&sum.cc_records));
		put_uint64(&rows, atomic_load(&sum.cc_timed));
		put_ms(&rows, atomic_load(&sum.cc_us));
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}

/* the counters stay their processes' own: what they are now is what to count from */
static void
reset_functions(GmArea *area)
{
	for (GmCall call = GM_CALL_NONE + 1; call < GM_CALLS; call++)
	{
		GmCallCounters *before = &area->ar_calls_before[call];
		GmCallCounters sum = {0};

		sum_counters(area, call, &sum);
		atomic_store(&before->cc_calls, atomic_load(&sum.cc_calls));
		atomic_store(&before->cc_rows, atomic_load(&sum.cc_rows));
		atomic_store(&before->cc_records, atomic_load(&sum.cc_records));
		atomic_store(&before->cc_timed, atomic_load(&sum.cc_timed));
		atomic_store(&before->cc_us, atomic_load(&sum.cc_us));
	}
}

/*
 * Memory
 */
static void
put_part(GmRows *rows, const char *part, int64 items, int64 bytes)
{
	gm_row_cstring(rows, part);
	if (items < 0)
		gm_row_null(rows);
	else
		gm_row_int8(rows, items);
	if (bytes < 0)
		gm_row_null(rows);
	else
		gm_row_int8(rows, bytes);
	gm_rows_put(rows);
}

static void
put_area_parts(GmRows *rows, GmArea *area)
{
	int64		resident = 0;
	int64		retired = 0;
	int64		extents = 0;

	for (uint32 i = 0; i < GM_AREA_GRAPHS; i++)
	{
		int32		graph_id;
		GmGraphEntry *entry = graph_at(area, i, &graph_id);

		if (entry == NULL || atomic_load(&entry->gr_state) != GM_GRAPH_READY)
			continue;
		resident++;
		retired += (int64) atomic_load(&entry->gr_limbo);
	}
	for (uint32 i = 1; i < GM_AREA_EXTENTS; i++)
		extents += atomic_load(&area->ar_extent[i].ex_handle) != 0;
	put_part(rows, "area", 1, (int64) gm_area_size(area->ar_slots));
	put_part(rows, "queue", (int64) (atomic_load(&area->ar_tickets) - atomic_load(&area->ar_passed)),
			 (int64) (atomic_load(&area->ar_queue_head) - atomic_load(&area->ar_queue_kept)));
	put_part(rows, "extents", extents, (int64) atomic_load(&area->ar_extent_bytes));
	put_part(rows, "graphs", resident, (int64) atomic_load(&area->ar_slab_bytes));
	put_part(rows, "retired", -1, retired);
}

/* what this session maps of the extents, and how many they are */
static int64
attached_bytes(GmArea *area, int64 *count)
{
	char	  **base = gm_attach_base();
	int64		bytes = 0;

	*count = 0;
	if (area == NULL || base == NULL)
		return 0;
	for (uint32 i = 1; i < GM_AREA_EXTENTS; i++)
		if (base[i] != NULL)
		{
			bytes += (int64) atomic_load(&area->ar_extent[i].ex_size);
			(*count)++;
		}
	return bytes;
}

Datum
graphmem_stat_get_memory(PG_FUNCTION_ARGS)
{
	GmArea	   *area = current_area();
	GmRows		rows;

	gm_rows_begin(fcinfo, &rows);
	if (area != NULL)
		put_area_parts(&rows, area);
	put_part(&rows, "limit", -1, gm_guc_memory_limit == 0 ? -1 : gm_guc_memory_limit * MB);
	put_part(&rows, "private", -1, (int64) gm_private_bytes());
	put_part(&rows, "private limit", -1, gm_guc_private_memory_limit * MB);
	return (Datum) 0;
}

/*
 * This session
 */
static const char *
answer_path(GmAnswerPath path)
{
	switch (path)
	{
		case GM_ANSWER_NONE:
			break;
		case GM_ANSWER_SHARED:
			return "shared";
		case GM_ANSWER_OVERLAY:
			return "overlay";
		case GM_ANSWER_PRIVATE:
			return "private";
	}
	return NULL;
}

Datum
graphmem_stat_get_backend(PG_FUNCTION_ARGS)
{
	const GmBackendStats *s = &gm_backend_stats;
	int64		extents;
	int64		bytes = attached_bytes(current_area(), &extents);
	GmRows		rows;

	gm_rows_begin(fcinfo, &rows);
	put_text(&rows, answer_path(s->path));
	put_text(&rows, s->reason);
	if (s->graph_id == 0)
		gm_row_null(&rows);
	else
		gm_row_int4(&rows, s->graph_id);
	put_text(&rows, s->graph);
	put_uint64(&rows, s->shared);
	put_uint64(&rows, s->overlay);
	put_uint64(&rows, s->private_);
	put_uint64(&rows, s->waits);
	put_ms(&rows, s->wait_us);
	put_ms(&rows, s->last_wait_us);
	gm_row_int8(&rows, bytes);
	put_text(&rows, call_names[s->call]);
	if (s->call == GM_CALL_NONE)
		put_nulls(&rows, 2);
	else
	{
		put_uint64(&rows, s->rows);
		put_uint64(&rows, s->records);
	}
	if (s->timed)
		put_ms(&rows, s->us);
	else
		gm_row_null(&rows);
	gm_rows_put(&rows);
	return (Datum) 0;
}

static void
reset_spaces(GmArea *area)
{
	for (uint32 i = 0; i < GM_AREA_SPACES; i++)
	{
		GmSpaceEntry *entry = gm_area_space_at(area, i);

		atomic_store(&entry->se_searches, 0);
		atomic_store(&entry->se_index, 0);
		atomic_store(&entry->se_exact, 0);
		atomic_store(&entry->se_fallbacks, 0);
	}
}

/*
 * The session's counters and the worker's.  The worker adds to its own at any
 * time, so that they may be a little above 0 at once.
 */
Datum
graphmem_stat_reset(PG_FUNCTION_ARGS)
{
	GmArea	   *area = current_area();

	gm_backend_stats.shared = 0;
	gm_backend_stats.overlay = 0;
	gm_backend_stats.private_ = 0;
	gm_backend_stats.waits = 0;
	gm_backend_stats.wait_us = 0;
	gm_backend_stats.last_wait_us = 0;
	if (area != NULL)
	{
		reset_functions(area);
		reset_spaces(area);
		atomic_store(&area->ar_batches, 0);
		atomic_store(&area->ar_changes, 0);
		atomic_store(&area->ar_aborted, 0);
		atomic_store(&area->ar_reloads, 0);
		atomic_store(&area->ar_evictions, 0);
		atomic_store(&area->ar_apply_us, 0);
		atomic_store(&area->ar_stats_reset, (uint64) GetCurrentTimestamp());
	}
	PG_RETURN_VOID();
}
