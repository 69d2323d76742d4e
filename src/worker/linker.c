/*-------------------------------------------------------------------------
 *
 * linker.c
 *	  A process that helps a worker to link nodes of an index: protocol link
 *	  job of shm/builds.h.
 *
 * It has no database, so that nobody who wants one for himself waits for it,
 * and reads nothing but the worker's area and extents.  It ends when it was
 * idle for a while, when the worker's generation is over, or when it is one
 * too many.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "shm/attach.h"
#include "shm/builds.h"
#include "shm/stop.h"
#include "worker/link_job.h"

#define BLOCK			32		/* nodes that are taken at once */
#define LOOK_MS			10		/* for a job */
#define IDLE_MS			1000	/* then it ends */

PGDLLEXPORT void graphmem_linker_main(Datum main_arg);

static GmArea *area;
static uint64 generation;
static GmLinkJob *job;
static bool counted;			/* among lj_helpers */
static bool busy;				/* among lj_busy */
static GmHnswWork *work;
static GmMem *mem;

static void
become_idle(void)
{
	if (busy)
		atomic_fetch_sub(&job->lj_busy, 1);
	busy = false;
}

static void
leave(int code, Datum arg)
{
	/* of a generation that is over it may be unmapped */
	if (gm_attached() != area || area->ar_generation != generation)
		return;
	become_idle();
	if (counted)
		atomic_fetch_sub(&job->lj_helpers, 1);
	counted = false;
}

/* as far as the job goes on and nobody wants this process to end */
static void
link_nodes(GmHnsw *hnsw, uint64 number, uint32 at, uint32 n)
{
	for (uint32 i = 0; i < n; i++)
	{
		GM_STOP(linker_before_node);
		if (ProcDiePending || atomic_load_explicit(&job->lj_number, memory_order_acquire) != number)
			return;
		CHECK_FOR_INTERRUPTS();
		if (gm_hnsw_link(hnsw, work, job->lj_node[at + i]) != GM_OK)
		{
			atomic_store(&job->lj_failed, 1);
			return;
		}
		atomic_fetch_add_explicit(&job->lj_done, 1, memory_order_relaxed);
	}
}

/* busy; false: there is nothing to link */
static bool
link_block(void)
{
	uint64		number = atomic_load(&job->lj_number);
	GmHnsw	   *hnsw;
	uint32		at;
	uint32		n;

	if (number == 0 || atomic_load_explicit(&job->lj_failed, memory_order_relaxed) != 0)
		return false;
	n = gm_job_take(job, BLOCK, &at);
	if (n == 0)
		return false;
	if (gm_hnsw_attach(mem, &job->lj_view, &hnsw) != GM_OK)
	{
		atomic_store(&job->lj_failed, 1);
		return false;
	}
	link_nodes(hnsw, number, at, n);
	gm_hnsw_destroy(hnsw);
	return true;
}

static bool
try_block(void)
{
	bool		any = false;

	if (atomic_load_explicit(&job->lj_number, memory_order_relaxed) == 0)
		return false;
	gm_read_enter(area);
	if (gm_attach_extents(area))
	{
		atomic_fetch_add(&job->lj_busy, 1);
		busy = true;
		any = link_block();
		become_idle();
	}
	gm_read_leave(area);
	return any;
}

static void
between_blocks(int ordinal)
{
	if (ProcDiePending)
		proc_exit(0);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (ordinal >= gm_guc_build_workers || !PostmasterIsAlive())
		proc_exit(0);
}

static bool
worker_lives(GmArea *area, uint64 generation)
{
	GmDatabase *db;

	if (gm_attach(&db) == area && area->ar_generation == generation)
		return true;
	/* the area is unmapped, or another one is at its address */
	job = NULL;
	return false;
}

static void
link_jobs(int ordinal)
{
	TimestampTz idle_since = GetCurrentTimestamp();

	while (worker_lives(area, generation))
	{
		between_blocks(ordinal);
		if (try_block())
		{
			idle_since = 0;
			continue;
		}
		if (idle_since == 0)
			idle_since = GetCurrentTimestamp();
		if (TimestampDifferenceExceeds(idle_since, GetCurrentTimestamp(), IDLE_MS))
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

void
graphmem_linker_main(Datum main_arg)
{
	GmLinkerArgs args;
	GmDatabase *db;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, SIG_IGN);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("graphmem linker");
	if (gm_control() == NULL)
		proc_exit(0);
	gm_attach_for(DatumGetObjectId(main_arg));
	area = gm_attach(&db);
	if (area == NULL || area->ar_generation != args.generation)
		proc_exit(0);
	generation = args.generation;
	job = &gm_area_builds(area)->job;
	before_shmem_exit(leave, (Datum) 0);
	atomic_fetch_add(&job->lj_helpers, 1);
	counted = true;
	work = gm_hnsw_work_create();
	if (work != NULL && gm_mem_attach(gm_attach_base(), &mem) == GM_OK)
		link_jobs(args.ordinal);
	proc_exit(0);
}
