/*-------------------------------------------------------------------------
 *
 * main.c
 *	  The life of a database's worker.
 *
 * States are in shm/control.h.  What comes, and what is done about it:
 *	 first use				gm_ensure_worker registers the worker; the launcher does
 *							so at boot through a probe (launcher.c)
 *	 another worker lives	exit 0, which unregisters
 *	 database gone			the connection fails; after ATTEMPTS of them exit 0
 *	 extension gone			looked for every LOOK_MS; exit 0
 *	 other extversion		exit 1: the server starts the new library
 *	 graphmem.worker off	exit 0
 *	 SIGTERM				exit 1, also from DROP DATABASE and its like, which
 *							treat a process with autovacuum's flag so; back after
 *							the restart time, or never if the database is gone
 *	 SIGINT					cancels what runs: somebody waits for a lock of ours
 *	 error					half-made work is forgotten, the message kept; the
 *							next try comes later each time, up to a minute
 *	 crash of any process	the server starts the worker again, all is loaded anew
 *
 * Decided against: a ProcessUtility hook for DROP DATABASE, which needs
 * preloading.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "shm/area.h"
#include "shm/pool.h"
#include "shm/queue.h"
#include "worker/main.h"
#include "worker/sync.h"

#define ATTEMPTS		3
#define LOOK_MS			1000	/* at the extension */
#define BACKOFF_FIRST_MS	500
#define BACKOFF_MOST_MS		60000

PGDLLEXPORT void graphmem_worker_main(Datum main_arg);

static GmDatabase *database;
static GmArea *area;
static dsm_segment *area_segment;
static GmPool *pool;
static char version[32];		/* of the extension */

void
gm_worker_set_friendly(bool friendly)
{
	uint8		flags;

	if (!gm_guc_admin_friendly)
		friendly = false;
	flags = friendly ? MyProc->statusFlags | PROC_IS_AUTOVACUUM :
		MyProc->statusFlags & ~PROC_IS_AUTOVACUUM;
	if (flags == MyProc->statusFlags)
		return;
	LWLockAcquire(ProcArrayLock, LW_EXCLUSIVE);
	MyProc->statusFlags = flags;
	ProcGlobal->statusFlags[MyProc->pgxactoff] = flags;
	LWLockRelease(ProcArrayLock);
}

static void
set_state(GmWorkerState state)
{
	GmControl  *control = gm_control();

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	database->state = state;
	LWLockRelease(&control->lock);
	ConditionVariableBroadcast(&database->changed);
}

/*
 * Take the entry of this database.  False: another worker has it, or this one
 * has tried often enough.
 */
static bool
claim(Oid db_oid)
{
	GmControl  *control = gm_control();
	bool		ours = false;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	for (int i = 0; i < GM_MAX_DATABASES; i++)
		if (control->db[i].db_oid == db_oid)
			database = &control->db[i];
	if (database == NULL)
	{
		/* after a crash the entries are gone, and this worker comes by itself */
		for (int i = 0; i < GM_MAX_DATABASES && database == NULL; i++)
			if (control->db[i].db_oid == InvalidOid)
				database = &control->db[i];
		if (database != NULL)
			database->db_oid = db_oid;
	}
	if (database != NULL &&
		(database->worker_pid == 0 || database->worker_pid == MyProcPid))
	{
		ours = true;
		if (++database->attempts > ATTEMPTS)
		{
			database->state = GM_WORKER_DISABLED;
			database->attempts = 0;
			ours = false;
		}
		else
		{
			database->state = GM_WORKER_STARTING;
			database->worker_pid = MyProcPid;
		}
	}
	LWLockRelease(&control->lock);
	return ours;
}

/* the shared part of this generation is over */
static void
end_generation(void)
{
	GmControl  *control = gm_control();

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	if (database->state == GM_WORKER_READY || database->state == GM_WORKER_PREPARING)
		database->state = GM_WORKER_STARTING;
	database->area_handle = 0;
	atomic_store(&database->generation, 0);
	atomic_store(&database->worker_proc, 0);
	atomic_store(&database->sleeping, 0);
	LWLockRelease(&control->lock);
	if (area != NULL)
	{
		gm_queue_close(area);
		gm_sync_stop();
	}
	if (pool != NULL)
		gm_pool_destroy(pool);
	pool = NULL;
	if (area_segment != NULL)
	{
		dsm_unpin_segment(dsm_segment_handle(area_segment));
		dsm_detach(area_segment);
	}
	area_segment = NULL;
	area = NULL;
}

static void
leave(int code, Datum arg)
{
	GmControl  *control = gm_control();

	end_generation();
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	if (database->worker_pid == MyProcPid)
		database->worker_pid = 0;
	LWLockRelease(&control->lock);
	ConditionVariableBroadcast(&database->changed);
}

/* ends for good */
static void
retire(GmWorkerState state, const char *why)
{
	ereport(LOG,
			(errmsg("graphmem worker for database %u ends: %s", MyDatabaseId, why)));
	LWLockAcquire(&gm_control()->lock, LW_EXCLUSIVE);
	database->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_MS);
	LWLockRelease(&gm_control()->lock);
	end_generation();
	set_state(state);
	proc_exit(0);
}

/* the installed version; empty if the database does not have the extension */
static void
read_version(char *to, size_t size)
{
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	to[0] = '\0';
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("graphmem"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		if (!isnull)
			text_to_cstring_buffer(DatumGetTextPP(value), to, size);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

static void
look_at_extension(void)
{
	char		now[32];

	read_version(now, sizeof(now));
	if (now[0] == '\0')
		retire(GM_WORKER_NO_EXTENSION, "the extension is not there");
	if (strcmp(now, version) != 0)
	{
		ereport(LOG,
				(errmsg("graphmem worker starts again for version %s", now)));
		proc_exit(1);
	}
}

static void
make_area(void)
{
	GmControl  *control = gm_control();
	uint32		slots = ProcGlobal->allProcCount;
	uint64		generation;

	area_segment = dsm_create(gm_area_size(slots), 0);
	dsm_pin_segment(area_segment);
	dsm_pin_mapping(area_segment);
	area = dsm_segment_address(area_segment);

	/* no two are the same, over crashes and restarts too */
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	generation = Max((uint64) GetCurrentTimestamp(), control->last_generation + 1);
	control->last_generation = generation;
	LWLockRelease(&control->lock);
	gm_area_init(area, slots, MyDatabaseId, generation);
	strlcpy(area->ar_version, version, sizeof(area->ar_version));
	pool = gm_pool_create(area);
	gm_pool_set_limit(pool, (size_t) gm_guc_memory_limit * 1024 * 1024);
	atomic_store(&area->ar_overflows_seen, atomic_load(&database->overflow));
	gm_sync_start(database, area, pool);
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	atomic_store(&database->generation, generation);
	database->area_handle = dsm_segment_handle(area_segment);
	atomic_store(&database->worker_proc, gm_compat_proc_number() + 1);
	database->state = GM_WORKER_READY;
	database->attempts = 0;
	database->starts++;
	database->started_at = GetCurrentTimestamp();
	database->retry_at = 0;
	LWLockRelease(&control->lock);
	ConditionVariableBroadcast(&database->changed);
	ereport(LOG,
			(errmsg("graphmem worker for database %u is ready", MyDatabaseId)));
}

static void
note_error(const char *message)
{
	GmControl  *control = gm_control();

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	strlcpy(database->last_error, message, sizeof(database->last_error));
	database->failed_at = GetCurrentTimestamp();
	LWLockRelease(&control->lock);
}

static void
reload_settings(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (pool != NULL)
		gm_pool_set_limit(pool, (size_t) gm_guc_memory_limit * 1024 * 1024);
	if (!gm_guc_worker)
		retire(GM_WORKER_DISABLED, "\"graphmem.worker\" is off");
	gm_worker_set_friendly(true);
}

/* sleep unless there is something to do; see GmDatabase.sleeping */
static void
sleep_until_woken(void)
{
	long		most = gm_sync_next_ms();
	long		ms = gm_guc_worker_naptime;

	if (most >= 0 && most < ms)
		ms = most;
	atomic_store(&database->sleeping, 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (!gm_sync_run())
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
						 PG_WAIT_EXTENSION);
	atomic_store(&database->sleeping, 0);
	ResetLatch(MyLatch);
}

static void
work(void)
{
	TimestampTz looked = GetCurrentTimestamp();

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			reload_settings();
		if (TimestampDifferenceExceeds(looked, GetCurrentTimestamp(), LOOK_MS))
		{
			look_at_extension();
			looked = GetCurrentTimestamp();
		}
		while (gm_sync_run())
			CHECK_FOR_INTERRUPTS();
		sleep_until_woken();
	}
}

/* errors end here; each makes the next try later */
static void
recover(int *failures)
{
	MemoryContext context;
	ErrorData  *edata;
	long		ms;

	HOLD_INTERRUPTS();
	EmitErrorReport();
	context = MemoryContextSwitchTo(TopMemoryContext);
	edata = CopyErrorData();
	note_error(edata->message);
	FreeErrorData(edata);
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	AbortOutOfAnyTransaction();
	FlushErrorState();
	MemoryContextSwitchTo(context);
	gm_worker_set_friendly(true);
	if (area != NULL)
		gm_sync_error();
	RESUME_INTERRUPTS();
	ms = Min((long) BACKOFF_FIRST_MS << Min(*failures, 7), BACKOFF_MOST_MS);
	(*failures)++;
	if (area == NULL)
	{
		LWLockAcquire(&gm_control()->lock, LW_EXCLUSIVE);
		database->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
		database->state = GM_WORKER_BACKOFF;
		LWLockRelease(&gm_control()->lock);
		ConditionVariableBroadcast(&database->changed);
	}
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 area == NULL ? ms : Min(ms, 1000), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
graphmem_worker_main(Datum main_arg)
{
	Oid			db_oid = DatumGetObjectId(main_arg);
	sigjmp_buf	local_sigjmp_buf;
	int			failures = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (gm_control() == NULL || !claim(db_oid))
		proc_exit(0);
	before_shmem_exit(leave, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(db_oid, InvalidOid, 0);
	if (!gm_guc_worker)
		retire(GM_WORKER_DISABLED, "\"graphmem.worker\" is off");
	read_version(version, sizeof(version));
	if (version[0] == '\0')
		retire(GM_WORKER_NO_EXTENSION, "the extension is not there");
	set_state(GM_WORKER_PREPARING);
	gm_worker_set_friendly(true);
	if (sigsetjmp(local_sigjmp_buf, 1) != 0)
	{
		error_context_stack = NULL;
		recover(&failures);
	}
	PG_exception_stack = &local_sigjmp_buf;
	if (database->state != GM_WORKER_READY)
	{
		end_generation();
		set_state(GM_WORKER_PREPARING);
		make_area();
	}
	work();
}
