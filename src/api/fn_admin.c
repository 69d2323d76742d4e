/*-------------------------------------------------------------------------
 *
 * fn_admin.c
 *	  Waiting for the worker, loading graphs again, comparing images.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "api/rows.h"
#include "core/graph_compare.h"
#include "error.h"
#include "guc.h"
#include "image/fetch.h"
#include "image/call.h"
#include "image/image.h"
#include "image/load.h"
#include "shm/area.h"
#include "shm/attach.h"
#include "shm/control.h"
#include "shm/queue.h"

PG_FUNCTION_INFO_V1(graphmem_wait_for_sync);
PG_FUNCTION_INFO_V1(graphmem_rebuild);
PG_FUNCTION_INFO_V1(graphmem_check);

/*
 * wait_for_sync
 */
typedef struct Goal
{
	GmDatabase *db;
	GmArea	   *area;			/* NULL: none yet */
	uint64		generation;		/* of the area that ticket is about */
	uint64		ticket;
	uint64		overflow;
	TimestampTz deadline;
} Goal;

/*
 * A new area has its own tickets, and its graphs are loaded from what is
 * committed by now.
 */
static void
set_goal(Goal *goal)
{
	goal->area = gm_attach(&goal->db);
	if (goal->area == NULL || goal->area->ar_generation == goal->generation)
		return;
	goal->generation = goal->area->ar_generation;
	goal->ticket = atomic_load_explicit(&goal->area->ar_tickets, memory_order_acquire);
	goal->overflow = atomic_load(&goal->db->overflow);
}

/* has a transaction ended that the worker has set aside as running */
static bool
parked_has_ended(GmArea *area)
{
	TransactionId *xids;
	uint32		n;
	bool		ended = false;

	if (atomic_load(&area->ar_parked_count) == 0)
		return false;
	xids = palloc(GM_AREA_PARKED * sizeof(TransactionId));
	LWLockAcquire(&area->ar_queue_lock, LW_SHARED);
	n = Min(atomic_load(&area->ar_parked_count), GM_AREA_PARKED);
	for (uint32 i = 0; i < n; i++)
		xids[i] = (TransactionId) area->ar_parked[i].pk_xid;
	LWLockRelease(&area->ar_queue_lock);
	for (uint32 i = 0; i < n && !ended; i++)
		ended = !TransactionIdIsInProgress(xids[i]);
	pfree(xids);
	return ended;
}

static bool
is_reached(const Goal *goal)
{
	GmArea	   *area = goal->area;

	return area != NULL &&
		atomic_load_explicit(&area->ar_passed, memory_order_acquire) >= goal->ticket &&
		atomic_load(&area->ar_overflows_seen) >= goal->overflow &&
		!parked_has_ended(area);
}

static bool
worker_comes(const GmDatabase *db)
{
	switch (db->state)
	{
		case GM_WORKER_STARTING:
			return !gm_control_database_locked();
		case GM_WORKER_PREPARING:
		case GM_WORKER_READY:
			return true;
		case GM_WORKER_NONE:
		case GM_WORKER_BACKOFF:
		case GM_WORKER_NO_SLOT:
		case GM_WORKER_NO_EXTENSION:
		case GM_WORKER_DISABLED:
			break;
	}
	return false;
}

static void
fail_late(const Goal *goal)
{
	GmArea	   *area = goal->area;
	uint32		holder;

	if (area == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("graph memory is not ready"),
				 errdetail("The worker is starting."),
				 errhint("See graphmem.stat_worker.")));
	holder = atomic_load(&area->ar_lock_holder);
	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("graph memory is behind the tables"),
			 errdetail("The worker has applied %llu of %llu batches of changes; %u transactions are parked.",
					   (unsigned long long) atomic_load(&area->ar_passed),
					   (unsigned long long) goal->ticket,
					   atomic_load(&area->ar_parked_count)),
			 holder == (uint32) MyProcPid ?
			 errhint("This session holds a lock that keeps the worker out.") :
			 holder != 0 ?
			 errhint("Process %u holds a lock that keeps the worker out.", holder) :
			 errhint("See graphmem.stat_worker.")));
}

/*
 * wait_for_sync(timeout_ms) -> true once all that was committed before is in
 * the shared images, false if no worker keeps any
 */
Datum
graphmem_wait_for_sync(PG_FUNCTION_ARGS)
{
	int			timeout = gm_arg_count4(fcinfo, 0, "timeout_ms", gm_guc_sync_timeout);
	Goal		goal;

	memset(&goal, 0, sizeof(goal));
	if (RecoveryInProgress() || gm_control() == NULL)
		PG_RETURN_BOOL(false);
	goal.db = gm_control_database(true);
	if (goal.db == NULL)
		PG_RETURN_BOOL(false);
	(void) gm_ensure_worker(goal.db);
	goal.deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout);
	ConditionVariablePrepareToSleep(&goal.db->changed);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		set_goal(&goal);
		if (is_reached(&goal) || (goal.area == NULL && !worker_comes(goal.db)))
			break;
		if (!gm_control_sleep(goal.db, goal.deadline))
			fail_late(&goal);
	}
	ConditionVariableCancelSleep();
	PG_RETURN_BOOL(goal.area != NULL);
}

/*
 * rebuild
 */

/* the id of a graph by name, 42704 if there is none */
static int32
find_graph(const char *name)
{
	int32		graph_id;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	graph_id = gm_load_graph_id(name);
	SPI_finish();
	if (graph_id == 0)
		gm_image_undefined_graph(name);
	return graph_id;
}

/*
 * rebuild(graph) -> whether there is a worker that was asked.  It loads the
 * graph again after this transaction has ended well.
 */
Datum
graphmem_rebuild(PG_FUNCTION_ARGS)
{
	char	   *name = gm_arg_cstring(fcinfo, 0);
	AclResult	allowed;
	GmDatabase *db;
	GmArea	   *area;
	GmBatch		batch;

	PreventCommandIfReadOnly("graphmem.rebuild()");
	PreventCommandDuringRecovery("graphmem.rebuild()");
	allowed = pg_class_aclcheck(gm_row_relid(GM_TABLE_GRAPHS), GetUserId(), ACL_UPDATE);
	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_TABLE, "graphs");
	memset(&batch, 0, sizeof(batch));
	batch.flags = GM_TICKET_RELOAD | GM_TICKET_REBUILD;
	batch.graph_id = name == NULL ? 0 : find_graph(name);
	db = gm_control() == NULL ? NULL : gm_control_database(true);
	if (db == NULL || !gm_ensure_worker(db))
		PG_RETURN_BOOL(false);
	area = gm_attach(&db);
	if (area != NULL)
	{
		batch.xid = U64FromFullTransactionId(GetTopFullTransactionId());
		(void) gm_queue_push(db, area, &batch);
		gm_control_wake(db);
	}
	PG_RETURN_BOOL(true);
}

/*
 * check
 */
#define MOST_VIOLATIONS	1000	/* of a graph that are shown one by one */

typedef struct Violation
{
	const char *what;
	int64		id;
	char		detail[128];	/* empty: none */
} Violation;

/*
 * core/ must not be left by an error, so rows are made once it has returned.
 */
typedef struct Check
{
	GmRows		rows;
	const char *graph;			/* the one being checked */
	int32		space_id;		/* whose vectors are being compared, or 0 */
	uint64		count;
	Violation	violations[MOST_VIOLATIONS];
} Check;

static void
add_violation(void *arg, const char *what, int64_t id, const char *detail)
{
	Check	   *check = arg;
	Violation  *v;

	if (check->count++ >= MOST_VIOLATIONS)
		return;
	v = &check->violations[check->count - 1];
	v->what = what;
	v->id = id;
	if (check->space_id != 0)
		snprintf(v->detail, sizeof(v->detail), "space_id %d%s%s", check->space_id,
				 detail == NULL ? "" : ": ", detail == NULL ? "" : detail);
	else
		strlcpy(v->detail, detail == NULL ? "" : detail, sizeof(v->detail));
}

static void
add_invariant(void *arg, const char *what, uint64_t where)
{
	add_violation(arg, what, (int64) where, NULL);
}

static void
put_violation(Check *check, const char *what, int64 id, const char *detail)
{
	gm_row_cstring(&check->rows, check->graph);
	gm_row_cstring(&check->rows, what);
	gm_row_int8(&check->rows, id);
	if (detail[0] == '\0')
		gm_row_null(&check->rows);
	else
		gm_row_cstring(&check->rows, detail);
	gm_rows_put(&check->rows);
}

static void
put_violations(Check *check)
{
	uint64		shown = Min(check->count, MOST_VIOLATIONS);

	for (uint64 i = 0; i < shown; i++)
		put_violation(check, check->violations[i].what, check->violations[i].id,
					  check->violations[i].detail);
	if (check->count > shown)
		put_violation(check, "further violations", (int64) (check->count - shown), "");
}

static void
check_index(Check *check, const GmSpaceInfo *info)
{
	uint32_t	row;
	const char *broken = gm_space_check_index(info->space, &gm_server_interrupt, &row);

	CHECK_FOR_INTERRUPTS();
	if (broken != NULL)
		add_violation(check, broken, row == GM_NONE ? info->space_id :
					  gm_space_item_id(info->space, row), NULL);
}

static void
check_space(Check *check, GmImage *image, GmSpaceInfo *mine, GmImage *truth,
			GmSpaceInfo *theirs, const GmCompare *compare)
{
	check->space_id = theirs->space_id;
	if (strcmp(mine->name, theirs->name) != 0)
		add_violation(check, "name of a vector space", theirs->space_id, NULL);
	if (mine->computed != theirs->computed || mine->computing != theirs->computing)
		add_violation(check, "origin or state of a vector space", theirs->space_id, NULL);
	if (mine->target != theirs->target || mine->metric != theirs->metric ||
		mine->dim != theirs->dim)
		add_violation(check, "target, metric or dimension of a vector space",
					  theirs->space_id, NULL);
	else
	{
		gm_image_load_space(image, mine);
		gm_image_load_space(truth, theirs);
		gm_error_check(gm_space_compare(image->graph, mine->space, truth->graph, theirs->space,
										theirs->target, compare), "comparing images");
		check_index(check, mine);
	}
	check->space_id = 0;
}

static void
check_spaces(Check *check, GmImage *image, GmImage *truth, const GmCompare *compare)
{
	for (int i = 0; i < truth->n_spaces; i++)
	{
		GmSpaceInfo *theirs = &truth->spaces[i];
		GmSpaceInfo *mine = gm_image_find_space(image, theirs->space_id);

		if (mine == NULL)
			add_violation(check, "vector space is missing", theirs->space_id, NULL);
		else
			check_space(check, image, mine, truth, theirs, compare);
	}
	for (int i = 0; i < image->n_spaces; i++)
		if (gm_image_find_space(truth, image->spaces[i].space_id) == NULL)
			add_violation(check, "vector space is not in the tables",
						  image->spaces[i].space_id, NULL);
}

/* closed by gm_image_call: no image stays open while the next one is loaded */
static Datum
check_graph(PG_FUNCTION_ARGS)
{
	Check	   *check = fcinfo->flinfo->fn_extra;
	GmCompare	compare = {add_violation, check, &gm_server_interrupt};
	const char *why = NULL;
	GmImage    *image = gm_image_open_shared(check->graph, &why);
	GmImage    *truth;

	if (image == NULL)
	{
		ereport(NOTICE,
				(errmsg("graph \"%s\" was not checked", check->graph),
				 errdetail("It cannot be answered from shared memory now: %s.", why)));
		return (Datum) 0;
	}
	truth = gm_image_open_private(check->graph);
	gm_call_phase(GM_PHASE_CHECKING, 0, 0);
	gm_error_check(gm_graph_check_until(image->graph, &gm_server_interrupt, add_invariant, check),
				   "checking an image");
	if (check->count > 0)
		return (Datum) 0;		/* what a search finds in it would mean nothing */
	gm_error_check(gm_graph_compare(image->graph, truth->graph, truth->now, &compare),
				   "comparing images");
	check_spaces(check, image, truth, &compare);
	return (Datum) 0;
}

/* palloc'ed names in the order of their ids: of this one, or of all */
static char **
graph_names(const char *name, uint64 *count)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	char		nulls[1] = {name == NULL ? 'n' : ' '};
	char	  **names;

	values[0] = name == NULL ? (Datum) 0 : CStringGetTextDatum(name);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args("SELECT name FROM graphmem.graphs "
							  "WHERE $1 IS NULL OR name OPERATOR(pg_catalog.=) $1 "
							  "ORDER BY graph_id",
							  1, types, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read \"graphs\"");
	*count = SPI_processed;
	names = MemoryContextAlloc(caller, (*count + 1) * sizeof(char *));
	for (uint64 i = 0; i < *count; i++)
		names[i] = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[i],
															SPI_tuptable->tupdesc, 1));
	SPI_finish();
	return names;
}

/*
 * check(graph) -> graph, what, id, detail
 */
Datum
graphmem_check(PG_FUNCTION_ARGS)
{
	char	   *name = gm_arg_cstring(fcinfo, 0);
	uint64		count;
	char	  **names = graph_names(name, &count);
	MemoryContext context;
	MemoryContext old;
	Check	   *check = palloc0(sizeof(Check));
	bool		outermost;

	if (name != NULL && count == 0 && strcmp(name, "default") != 0)
		gm_image_undefined_graph(name);
	gm_rows_begin(fcinfo, &check->rows);
	context = AllocSetContextCreate(CurrentMemoryContext, "graphmem check",
									ALLOCSET_DEFAULT_SIZES);
	fcinfo->flinfo->fn_extra = check;
	outermost = gm_call_begin(GM_CALL_graphmem_check);
	for (uint64 i = 0; i < count; i++)
	{
		check->graph = names[i];
		check->count = 0;
		old = MemoryContextSwitchTo(context);
		(void) gm_image_call(fcinfo, check_graph, GM_CALL_graphmem_check);
		put_violations(check);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
	}
	fcinfo->flinfo->fn_extra = NULL;
	if (outermost)
		gm_call_end(check->rows.count, gm_call_records());
	return (Datum) 0;
}
