/*-------------------------------------------------------------------------
 *
 * main.c
 *	  The life of a database's worker.
 *
 * States are in shm/control.h.  What comes, and what is done about it:
 *	 first use				gm_ensure_worker registers the worker; the launcher does
 *							so at boot through a probe (launcher.c)
 *	 another worker lives	exit 0, which unregisters
 *	 database gone			exit 0 if it has no directory; else the connection
 *							fails; after ATTEMPTS of them exit 0
 *	 extension gone			looked for every LOOK_MS; exit 0
 *	 other extversion, or made again		exit 1: the server starts the new library
 *	 graphmem.worker off	exit 0
 *	 SIGTERM				exit 1, also from DROP DATABASE and its like, which
 *							treat a process with autovacuum's flag so; back after
 *							the restart time, or never if the database is gone
 *	 SIGINT					cancels what runs: somebody waits for a lock of ours
 *	 error					half-made work is forgotten, the message kept.  After
 *							TRIES in a row the generation ends, so that readers
 *							need not wait for it, and the next begins later each
 *							time, up to a minute
 *	 crash of any process	the server starts the worker again, all is loaded anew
 *
 * Decided against: a ProcessUtility hook for DROP DATABASE, which needs
 * preloading.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <sys/stat.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "common/relpath.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "shm/area.h"
#include "shm/pool.h"
#include "shm/queue.h"
#include "shm/segment.h"
#include "worker/graphs.h"
#include "worker/index_file.h"
#include "worker/main.h"
#include "worker/sync.h"

#define ATTEMPTS		3
#define LOOK_MS			1000	/* at the extension */
#define NAP_MS			1
#define STREAM			2		/* commits a millisecond from which on it naps */
#define STREAM_READ		10		/* the same while readers wait for commits */
#define READERS_MS		100		/* after the last one that did they still count */
#define DISABLED_MS		60000	/* until a database is tried again that could not be connected to */
#define TRIES			3		/* errors in a row until the generation ends */
#define TRY_AGAIN_MS	100
#define WELL_MS			10000	/* so long after an error, the next is the first again */
#define LOG_AGAIN_MS	600000
#define BACKOFF_FIRST_MS	500
#define BACKOFF_MOST_MS		60000

PGDLLEXPORT void graphmem_worker_main(Datum main_arg);

static GmDatabase *database;
static GmArea *area;
static dsm_segment *area_segment;
static GmPool *pool;
static Oid	extension;
static char version[GM_VERSION_LENGTH]; /* of the extension */
static char name[NAMEDATALEN];	/* of the database, for the log */
static char logged[GM_ERROR_LENGTH];	/* error that the log has already */
static TimestampTz logged_at;
static uint32 failures;			/* in a row, of this generation */
static TimestampTz failed_at;

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

/* how a process ends that the server shall not start again */
static void
note_end(GmWorkerState state, long retry_ms, const char *error)
{
	GmControl  *control = gm_control();

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	database->state = state;
	database->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), retry_ms);
	if (error != NULL)
	{
		strlcpy(database->last_error, error, GM_ERROR_LENGTH);
		database->failed_at = GetCurrentTimestamp();
	}
	LWLockRelease(&control->lock);
	ConditionVariableBroadcast(&database->changed);
}

/*
 * Take the entry of this database.  False: another worker has it, or there is
 * no room for it.  (After a crash the entries are gone, and this worker comes
 * by itself.)
 */
static bool
claim(Oid db_oid)
{
	GmControl  *control = gm_control();
	bool		ours = false;

	database = gm_control_enter(control, db_oid);
	if (database == NULL)
		return false;
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	if (database->db_oid == db_oid && database->worker_pid == 0)
	{
		database->worker_pid = MyProcPid;
		database->state = GM_WORKER_STARTING;
		database->attempts++;
		ours = true;
	}
	LWLockRelease(&control->lock);
	return ours;
}

/* a database that was dropped is not worth a connection that fails */
static bool
has_directory(Oid db_oid)
{
	char		path[MAXPGPATH];
	struct stat st;
	DIR		   *dir;
	struct dirent *de;
	bool		found;

	snprintf(path, sizeof(path), "base/%u", db_oid);
	found = stat(path, &st) == 0;
	dir = found ? NULL : AllocateDir("pg_tblspc");
	while (dir != NULL && !found && (de = ReadDir(dir, "pg_tblspc")) != NULL)
	{
		snprintf(path, sizeof(path), "pg_tblspc/%s/%s/%u", de->d_name,
				 TABLESPACE_VERSION_DIRECTORY, db_oid);
		found = stat(path, &st) == 0;
	}
	if (dir != NULL)
		FreeDir(dir);
	return found;
}

/* the shared part of this generation is over */
static void
end_generation(void)
{
	GmControl  *control = gm_control();

	if (area != NULL)
		gm_queue_close(area);
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	if (database->state == GM_WORKER_READY || database->state == GM_WORKER_PREPARING)
		database->state = GM_WORKER_STARTING;
	database->area_handle = 0;
	atomic_store(&database->generation, 0);
	atomic_store(&database->worker_proc, 0);
	atomic_store(&database->sleeping, GM_AWAKE);
	LWLockRelease(&control->lock);
	if (area != NULL)
		gm_sync_stop();
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

	LWLockReleaseAll();
	end_generation();
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	database->worker_pid = 0;
	LWLockRelease(&control->lock);
	ConditionVariableBroadcast(&database->changed);
}

/* ends for good */
static void
retire(GmWorkerState state, const char *why)
{
	ereport(LOG,
			(errmsg("graphmem worker for database \"%s\" ends: %s", name, why)));
	end_generation();
	note_end(state, LOOK_MS, NULL);
	proc_exit(0);
}

/* the server starts it again */
static void
end_for_now(const char *why)
{
	/* the report would see the signal and report that too */
	HOLD_INTERRUPTS();
	ereport(LOG,
			(errmsg("graphmem worker for database \"%s\" ends: %s", name, why)));
	proc_exit(1);
}

bool
gm_worker_look_at_extension(Oid *oid, char *its_version)
{
	bool		found;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	found = gm_extension_look(oid, its_version);
	if (name[0] == '\0')
		strlcpy(name, get_database_name(MyDatabaseId), sizeof(name));
	CommitTransactionCommand();
	return found;
}

static void
look_again(void)
{
	Oid			oid;
	char		now[GM_VERSION_LENGTH];

	if (!gm_worker_look_at_extension(&oid, now))
	{
		gm_index_files_remove(0);
		retire(GM_WORKER_NO_EXTENSION, "the extension is not there");
	}
	if (oid != extension || strcmp(now, version) != 0)
		end_for_now("the extension was changed");
	pgstat_report_stat(false);
}

/* without the name of the segment, which is another each time */
static const char *
reason_in(const char *message)
{
	const char *last = strrchr(message, ':');

	return last != NULL && last[1] == ' ' ? last + 2 : message;
}

static void
make_area(void)
{
	GmControl  *control = gm_control();
	uint32		slots = ProcGlobal->allProcCount;
	uint64		generation;
	char		message[GM_ERROR_LENGTH];

	area_segment = gm_segment_create(gm_area_size(slots), message);
	if (area_segment == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("no shared memory for the worker: %s", reason_in(message)),
				 errhint("Give the server more shared memory: /dev/shm, or \"min_dynamic_shared_memory\".")));
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
			(errmsg("graphmem worker for database \"%s\" is ready", name)));
}

static void
reload_settings(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (pool != NULL)
		gm_graphs_fit_limit();
	if (!gm_guc_worker)
	{
		gm_index_files_leave();
		retire(GM_WORKER_DISABLED, "\"graphmem.worker\" is off");
	}
	gm_worker_set_friendly(true);
}

/* sleep unless there is something to do */
static void
sleep_until_woken(GmSleep how, long ms)
{
	atomic_store(&database->sleeping, how);
	atomic_thread_fence(memory_order_seq_cst);

	/* what ran may have waited and so have eaten the latch of who woke us */
	if (!gm_sync_run() && atomic_load(&database->sleeping) == (uint32) how)
	{
		long		most = gm_sync_next_ms();

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 most >= 0 ? Min(ms, most) : ms, PG_WAIT_EXTENSION);
	}
	atomic_store(&database->sleeping, GM_AWAKE);
	ResetLatch(MyLatch);
}

/* what the loop does before it looks for work; nothing is under way */
static void
between_rounds(void)
{
	/* nothing runs that somebody could have wanted to cancel */
	QueryCancelPending = false;
	if (ProcDiePending)
	{
		gm_index_files_leave();
		end_for_now("terminated");
	}
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
		reload_settings();
}

/*
 * Commits that come one after the other need not wake the worker each: what
 * they hand over is taken together.  Those that come singly do, and while
 * sessions read what others write also those of a denser stream, so that
 * readers find them applied.
 */
static bool
in_a_stream(void)
{
	static uint64 generation;
	static TimestampTz since;
	static TimestampTz waited;	/* a reader, when last seen */
	static uint64 wanted;
	static uint64 taken;
	static bool stream;
	TimestampTz now = GetCurrentTimestamp();
	uint64		tickets = atomic_load_explicit(&area->ar_tickets, memory_order_relaxed);
	uint64		want = atomic_load_explicit(&area->ar_wanted, memory_order_relaxed);

	if (generation != area->ar_generation || now < since)
	{
		generation = area->ar_generation;
		since = waited = 0;
		wanted = taken = 0;
		stream = false;
	}
	if (want != wanted)
		waited = now;
	wanted = want;
	if (now - since >= NAP_MS * 1000)
	{
		uint64		least = now - waited < READERS_MS * 1000 ? STREAM_READ : STREAM;

		stream = (tickets - taken) * 1000 >= (uint64) (now - since) * least;
		since = now;
		taken = tickets;
	}
	return stream;
}

static void
look_once_in_a_while(void)
{
	static TimestampTz looked;
	TimestampTz now = GetCurrentTimestamp();

	if (looked == 0)
		looked = now;
	if (!TimestampDifferenceExceeds(looked, now, LOOK_MS))
		return;
	look_again();
	looked = GetCurrentTimestamp();
}

static void
work(void)
{
	bool		any;

	for (;;)
	{
		between_rounds();
		look_once_in_a_while();
		any = false;
		while (gm_sync_run())
		{
			any = true;
			between_rounds();
			look_once_in_a_while();
		}

		if (any && in_a_stream())
			sleep_until_woken(GM_NAPPING, NAP_MS);
		else
			sleep_until_woken(GM_ASLEEP, gm_guc_worker_naptime);
	}
}

static void
nap(long ms)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);

	for (;;)
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

		between_rounds();
		if (left <= 0)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* the same message not each time */
static void
log_error(void)
{
	TimestampTz now = GetCurrentTimestamp();
	ErrorData  *error;

	MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	if (strncmp(logged, error->message, sizeof(logged) - 1) != 0 ||
		TimestampDifferenceExceeds(logged_at, now, LOG_AGAIN_MS))
	{
		EmitErrorReport();
		logged_at = now;
	}
	strlcpy(logged, error->message, sizeof(logged));
	FreeErrorData(error);
}

/* transaction and half-made work are gone then; true: it was only cancelled */
static bool
clean_up_after_error(void)
{
	bool		cancelled = geterrcode() == ERRCODE_QUERY_CANCELED;

	error_context_stack = NULL;
	HOLD_INTERRUPTS();
	QueryCancelPending = false;
	log_error();
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(TopMemoryContext);
	FlushErrorState();
	gm_worker_set_friendly(true);
	if (area != NULL)
		gm_sync_error();
	RESUME_INTERRUPTS();
	return cancelled;
}

static long
backoff_ms(uint32 times)
{
	return Min((long) BACKOFF_FIRST_MS << Min(times, 10), BACKOFF_MOST_MS);
}

/* the generation ends, and the next is begun later */
static void
back_off(void)
{
	GmControl  *control = gm_control();
	long		ms = backoff_ms(database->failures);

	end_generation();
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	database->failures++;
	database->state = GM_WORKER_BACKOFF;
	database->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	LWLockRelease(&control->lock);
	ConditionVariableBroadcast(&database->changed);
	failures = 0;
	nap(ms);
}

static void
recover(void)
{
	GmControl  *control = gm_control();
	TimestampTz now = GetCurrentTimestamp();

	if (clean_up_after_error())
		return;
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	strlcpy(database->last_error, logged, GM_ERROR_LENGTH);
	database->failed_at = now;
	LWLockRelease(&control->lock);
	if (TimestampDifferenceExceeds(failed_at, now, WELL_MS))
	{
		failures = 0;
		if (database->state == GM_WORKER_READY &&
			TimestampDifferenceExceeds(database->started_at, now, BACKOFF_MOST_MS))
			database->failures = 0;
	}
	failed_at = now;
	failures++;
	if (database->state != GM_WORKER_READY || failures >= TRIES)
		back_off();
	else
		nap(TRY_AGAIN_MS);
}

/* what an administrator may have set for the database or for everybody */
void
gm_worker_set_session(const char *process, const char *const settings[][2], int n)
{
	SetConfigOption("application_name", process, PGC_SUSET, PGC_S_OVERRIDE);
	for (int i = 0; i < n; i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	pgstat_report_appname(process);
	pgstat_report_activity(STATE_IDLE, NULL);
}

static void
set_session(void)
{
	static const char *const settings[][2] = {
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"lock_timeout", "0"},
		{"search_path", ""},
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"},
	};

	gm_worker_set_session("graphmem worker", settings, lengthof(settings));
}

void
graphmem_worker_main(Datum main_arg)
{
	Oid			db_oid = DatumGetObjectId(main_arg);
	sigjmp_buf	local_sigjmp_buf;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (gm_control() == NULL || !claim(db_oid))
		proc_exit(0);
	before_shmem_exit(leave, (Datum) 0);
	if (!has_directory(db_oid))
	{
		note_end(GM_WORKER_NONE, 0, NULL);
		proc_exit(0);
	}
	if (database->attempts > ATTEMPTS)
	{
		note_end(GM_WORKER_DISABLED, DISABLED_MS,
				 "the database is gone or does not accept connections");
		proc_exit(0);
	}
	BackgroundWorkerInitializeConnectionByOid(db_oid, InvalidOid, 0);
	set_session();
	if (!gm_worker_look_at_extension(&extension, version))
		retire(GM_WORKER_NO_EXTENSION, "the extension is not there");
	if (!gm_guc_worker)
		retire(GM_WORKER_DISABLED, "\"graphmem.worker\" is off");
	gm_worker_set_friendly(true);
	if (sigsetjmp(local_sigjmp_buf, 1) != 0)
		recover();
	PG_exception_stack = &local_sigjmp_buf;
	between_rounds();
	if (database->state != GM_WORKER_READY)
	{
		end_generation();
		set_state(GM_WORKER_PREPARING);
		make_area();
	}
	work();
}
