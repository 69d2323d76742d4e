/*-------------------------------------------------------------------------
 *
 * control.c
 *	  The one fixed-size piece of shared memory: which database has a worker.
 *
 * Late placement takes some of the 100 kB that the server leaves spare for
 * everybody; what is placed stays until the server restarts, so nothing here
 * may grow.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "core/base.h"
#include "guc.h"
#include "shm/control.h"

#define NAME_WITH(layout)	"graphmem control v" CppAsString2(layout)
#define NAME			NAME_WITH(GM_CONTROL_LAYOUT)
#define RESTART_SECONDS	2
#define NO_SLOT_RETRY_MS	2000
#define PLACE_RETRY_MS	60000	/* after shared memory was refused */
#define ENTRY_RETRY_MS	10000	/* after all entries were taken */
#define SLEEP_MS		50

StaticAssertDecl(sizeof(GmControl) < 16 * 1024, "must fit the server's spare shared memory");

static GmControl *control;

static shmem_request_hook_type previous_request;
static shmem_startup_hook_type previous_startup;

static void
initialise(GmControl *c)
{
	memset(c, 0, sizeof(*c));
	c->layout = GM_CONTROL_LAYOUT;
	c->tranche_control = LWLockNewTrancheId();
	c->tranche_queue = LWLockNewTrancheId();
	c->tranche_topology = LWLockNewTrancheId();
	LWLockInitialize(&c->lock, c->tranche_control);
	for (int i = 0; i < GM_MAX_DATABASES; i++)
		ConditionVariableInit(&c->db[i].changed);
	c->magic = GM_CONTROL_MAGIC;
}

/* may raise an error: out of shared memory */
static GmControl *
place(void)
{
	GmControl  *c;
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	c = ShmemInitStruct(NAME, MAXALIGN(sizeof(GmControl)), &found);
	if (!found)
		initialise(c);
	LWLockRelease(AddinShmemInitLock);
	Assert(c->magic == GM_CONTROL_MAGIC && c->layout == GM_CONTROL_LAYOUT);
	LWLockRegisterTranche(c->tranche_control, "graphmem control");
	LWLockRegisterTranche(c->tranche_queue, "graphmem queue");
	LWLockRegisterTranche(c->tranche_topology, "graphmem topology");
	return c;
}

static void
request(void)
{
	if (previous_request != NULL)
		previous_request();
	RequestAddinShmemSpace(MAXALIGN(sizeof(GmControl)));
}

/* in the postmaster, also after a crash: what was placed before is gone */
static void
startup(void)
{
	if (previous_startup != NULL)
		previous_startup();
	control = place();
}

void
gm_control_preload(void)
{
	previous_request = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

/*
 * The server's spare shared memory may be used up; then there is no worker
 * here, and this process says so once.
 */
static GmControl *
place_late(void)
{
	static TimestampTz refused;
	MemoryContext context = CurrentMemoryContext;
	GmControl  *volatile c = NULL;

	if (refused != 0 &&
		!TimestampDifferenceExceeds(refused, GetCurrentTimestamp(), PLACE_RETRY_MS))
		return NULL;
	PG_TRY();
	{
		c = place();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* the error has reset what the lock's release counts down */
		HOLD_INTERRUPTS();
		LWLockRelease(AddinShmemInitLock);
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (refused == 0)
			ereport(LOG,
					(errmsg("no shared memory for the graphmem worker: %s", error->message),
					 errdetail("Queries load private images."),
					 errhint("Add \"graphmem\" to \"shared_preload_libraries\", which reserves what it needs.")));
		FreeErrorData(error);
		refused = GetCurrentTimestamp();
	}
	PG_END_TRY();
	return c;
}

GmControl *
gm_control(void)
{
	if (gm_unlikely(control == NULL))
	{
		/* the postmaster places it itself where the library is preloaded */
		if (IsBinaryUpgrade || !IsUnderPostmaster || MyProc == NULL)
			return NULL;
		control = place_late();
	}
	return control;
}

/*
 * Entries
 */
GmDatabase *
gm_control_find(GmControl *c, Oid db_oid)
{
	for (int i = 0; i < GM_MAX_DATABASES; i++)
		if (c->db[i].db_oid == db_oid)
			return &c->db[i];
	return NULL;
}

static bool
has_worker(GmWorkerState state)
{
	switch (state)
	{
		case GM_WORKER_STARTING:
		case GM_WORKER_PREPARING:
		case GM_WORKER_READY:
		case GM_WORKER_BACKOFF:
			return true;
		case GM_WORKER_NONE:
		case GM_WORKER_NO_SLOT:
		case GM_WORKER_NO_EXTENSION:
		case GM_WORKER_DISABLED:
			break;
	}
	return false;
}

bool
gm_control_has_worker(const GmDatabase *db)
{
	return has_worker(*(const volatile GmWorkerState *) &db->state);
}

/* free the entries of databases that are gone; nobody can be connected to them */
static void
free_entries(GmControl *c)
{
	for (int i = 0; i < GM_MAX_DATABASES; i++)
	{
		GmDatabase *db = &c->db[i];
		Oid			oid = db->db_oid;

		if (!OidIsValid(oid) || has_worker(db->state) ||
			SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(oid)))
			continue;
		LWLockAcquire(&c->lock, LW_EXCLUSIVE);
		if (db->db_oid == oid && !has_worker(db->state) && db->worker_pid == 0)
			db->db_oid = InvalidOid;
		LWLockRelease(&c->lock);
	}
}

GmDatabase *
gm_control_enter(GmControl *c, Oid db_oid)
{
	GmDatabase *db;

	LWLockAcquire(&c->lock, LW_EXCLUSIVE);
	db = gm_control_find(c, db_oid);
	if (db == NULL)
	{
		db = gm_control_find(c, InvalidOid);
		if (db != NULL)
		{
			db->state = GM_WORKER_NONE;
			db->worker_pid = 0;
			db->attempts = db->failures = db->starts = 0;
			db->area_handle = 0;
			atomic_store(&db->generation, 0);
			db->started_at = db->retry_at = db->failed_at = 0;
			atomic_store(&db->sleeping, GM_AWAKE);
			atomic_store(&db->worker_proc, 0);
			atomic_store(&db->overflow, 0);
			atomic_store(&db->requests, 0);
			db->last_error[0] = '\0';
			db->db_oid = db_oid;
		}
	}
	LWLockRelease(&c->lock);
	return db;
}

GmDatabase *
gm_control_database(bool create)
{
	static GmDatabase *mine;
	static TimestampTz refused;
	GmControl  *c;

	if (gm_likely(mine != NULL))
		return mine;
	c = gm_control();
	if (c == NULL || !OidIsValid(MyDatabaseId))
		return NULL;
	mine = gm_control_find(c, MyDatabaseId);
	if (mine != NULL || !create)
		return mine;
	if (refused != 0 &&
		!TimestampDifferenceExceeds(refused, GetCurrentTimestamp(), ENTRY_RETRY_MS))
		return NULL;
	mine = gm_control_enter(c, MyDatabaseId);
	if (mine == NULL && IsTransactionState())
	{
		free_entries(c);
		mine = gm_control_enter(c, MyDatabaseId);
	}
	if (mine == NULL)
	{
		if (refused == 0)
			ereport(LOG,
					(errmsg("no graphmem worker for database %u: %d others have one",
							MyDatabaseId, GM_MAX_DATABASES),
					 errdetail("Queries load private images."),
					 errhint("Dropping one of those databases makes room.")));
		refused = GetCurrentTimestamp();
	}
	return mine;
}

bool
gm_control_full(void)
{
	GmControl  *c = gm_control();

	return c != NULL && gm_control_find(c, InvalidOid) == NULL &&
		gm_control_find(c, MyDatabaseId) == NULL;
}

static void
set_worker_latch(GmDatabase *db)
{
	uint32		proc = atomic_load(&db->worker_proc);

	if (proc != 0)
		SetLatch(&ProcGlobal->allProcs[proc - 1].procLatch);
}

void
gm_control_wake(GmDatabase *db)
{
	/* pairs with the worker's between its flag and its last look */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&db->sleeping, memory_order_relaxed) != GM_AWAKE &&
		atomic_exchange(&db->sleeping, GM_AWAKE) != GM_AWAKE)
		set_worker_latch(db);
}

bool
gm_control_sleep(GmDatabase *db, TimestampTz deadline)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);

	if (left <= 0)
		return false;
	gm_control_wake(db);
	(void) ConditionVariableTimedSleep(&db->changed, Min(left, SLEEP_MS), PG_WAIT_EXTENSION);
	return true;
}

/*
 * DROP DATABASE, RENAME and CREATE DATABASE ... TEMPLATE wait with this lock
 * for the sessions of the database to go, and a worker that starts waits for
 * the lock: whoever waited for the worker would hold up both.
 */
bool
gm_control_database_locked(void)
{
	LOCKTAG		tag;
	VirtualTransactionId *holders;
	int			n;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	holders = GetLockConflicts(&tag, RowExclusiveLock, &n);
	pfree(holders);
	return n > 0;
}

void
gm_control_tell(GmDatabase *db)
{
	uint32		asleep = GM_ASLEEP;

	/* as above */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&db->sleeping, memory_order_relaxed) == GM_ASLEEP &&
		atomic_compare_exchange_strong(&db->sleeping, &asleep, GM_AWAKE))
		set_worker_latch(db);
}

/*
 * Starting the worker
 */
bool
gm_extension_look(Oid *oid, char *version)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("graphmem"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) &&
		!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		found = true;
		if (oid != NULL)
			*oid = ((Form_pg_extension) GETSTRUCT(tuple))->oid;
		if (version != NULL)
			text_to_cstring_buffer(DatumGetTextPP(value), version, GM_VERSION_LENGTH);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

void
gm_process_init(BackgroundWorker *process, const char *function, const char *type)
{
	memset(process, 0, sizeof(*process));
	process->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	process->bgw_start_time = BgWorkerStart_RecoveryFinished;
	process->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(process->bgw_library_name, "graphmem", BGW_MAXLEN);
	strlcpy(process->bgw_function_name, function, BGW_MAXLEN);
	strlcpy(process->bgw_type, type, BGW_MAXLEN);
}

static bool
register_worker(Oid db_oid)
{
	BackgroundWorker worker;

	gm_process_init(&worker, "graphmem_worker_main", "graphmem worker");
	worker.bgw_restart_time = RESTART_SECONDS;
	worker.bgw_main_arg = ObjectIdGetDatum(db_oid);
	snprintf(worker.bgw_name, BGW_MAXLEN, "graphmem worker for database %u", db_oid);
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

/* the state before is returned; if it had no worker, the caller must register one */
static GmWorkerState
claim_start(GmControl *c, GmDatabase *db)
{
	GmWorkerState before;

	LWLockAcquire(&c->lock, LW_EXCLUSIVE);
	before = db->state;
	if (!has_worker(before))
	{
		db->state = GM_WORKER_STARTING;
		db->attempts = 0;
		db->retry_at = 0;
	}
	LWLockRelease(&c->lock);
	return before;
}

static void
note_no_slot(GmControl *c, GmDatabase *db, bool log)
{
	LWLockAcquire(&c->lock, LW_EXCLUSIVE);
	db->state = GM_WORKER_NO_SLOT;
	db->failed_at = GetCurrentTimestamp();
	db->retry_at = TimestampTzPlusMilliseconds(db->failed_at, NO_SLOT_RETRY_MS);
	strlcpy(db->last_error, "no free slot for a background worker", GM_ERROR_LENGTH);
	LWLockRelease(&c->lock);
	ConditionVariableBroadcast(&db->changed);
	if (log)
		ereport(LOG,
				(errmsg("could not start the graphmem worker for database %u: no free slot for a background worker",
						db->db_oid),
				 errdetail("Queries load private images."),
				 errhint("Raise \"max_worker_processes\".")));
}

bool
gm_ensure_worker(GmDatabase *db)
{
	GmWorkerState state;

	if (db == NULL)
		return false;
	state = *(volatile GmWorkerState *) &db->state;
	if (has_worker(state))
		return state != GM_WORKER_BACKOFF;
	if (!gm_guc_worker || RecoveryInProgress() || !IsTransactionState() ||
		GetCurrentTimestamp() < db->retry_at || !gm_extension_look(NULL, NULL))
		return false;
	state = claim_start(gm_control(), db);
	if (has_worker(state))
		return state != GM_WORKER_BACKOFF;
	if (register_worker(db->db_oid))
		return true;
	note_no_slot(gm_control(), db, state != GM_WORKER_NO_SLOT);
	return false;
}
