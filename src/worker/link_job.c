/*-------------------------------------------------------------------------
 *
 * link_job.c
 *	  Jobs for those who help the worker, and their being started.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "worker/link_job.h"

#define START_MS		1000	/* helpers that are missing are started this often at most */
#define OWN_BLOCK		4		/* nodes that the worker takes: it has other things to do */

static GmArea *area;
static GmLinkJob *job;
static Oid	db_oid;
static BackgroundWorkerHandle *helpers[GM_MOST_BUILD_WORKERS];
static int	helper_count;		/* known to be there or coming */
static TimestampTz looked_at;
static bool refused;			/* the log has it that there was no slot */
static uint64 last_number;
static uint32 own_at;			/* places that this process has taken */
static uint32 own_end;

void
gm_job_start(GmArea *a, Oid oid)
{
	area = a;
	db_oid = oid;
	job = &gm_area_builds(area)->job;
	looked_at = 0;
	helper_count = 0;
	own_at = own_end = 0;
}

void
gm_job_stop(void)
{
	if (job != NULL)
		gm_job_close();
	job = NULL;
	for (int i = 0; i < GM_MOST_BUILD_WORKERS; i++)
	{
		if (helpers[i] != NULL)
			pfree(helpers[i]);
		helpers[i] = NULL;
	}
}

/*
 * Helpers
 */
static bool
is_there(int ordinal)
{
	pid_t		pid;

	if (helpers[ordinal] == NULL)
		return false;
	switch (GetBackgroundWorkerPid(helpers[ordinal], &pid))
	{
		case BGWH_STARTED:
		case BGWH_NOT_YET_STARTED:
			return true;
		case BGWH_STOPPED:
		case BGWH_POSTMASTER_DIED:
			break;
	}
	pfree(helpers[ordinal]);
	helpers[ordinal] = NULL;
	return false;
}

static bool
start(int ordinal)
{
	BackgroundWorker worker;
	GmLinkerArgs args = {area->ar_generation, ordinal};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool		started;

	gm_process_init(&worker, "graphmem_linker_main", "graphmem linker");
	worker.bgw_main_arg = ObjectIdGetDatum(db_oid);
	memcpy(worker.bgw_extra, &args, sizeof(args));
	snprintf(worker.bgw_name, BGW_MAXLEN, "graphmem linker %d for database %u", ordinal + 1,
			 db_oid);
	started = RegisterDynamicBackgroundWorker(&worker, &helpers[ordinal]);
	MemoryContextSwitchTo(old);
	if (!started)
		helpers[ordinal] = NULL;
	return started;
}

int
gm_job_helpers(void)
{
	TimestampTz now = GetCurrentTimestamp();
	int			n = 0;
	bool		missing = false;

	if (looked_at != 0 && !TimestampDifferenceExceeds(looked_at, now, START_MS))
		return helper_count;
	looked_at = now;
	for (int i = 0; i < GM_MOST_BUILD_WORKERS; i++)
	{
		if (is_there(i))
			n++;
		else if (i < gm_guc_build_workers && !missing)
		{
			missing = !start(i);
			n += !missing;
		}
	}
	if (missing && !refused)
		ereport(LOG,
				(errmsg("could not start all of graphmem.build_workers: no free slot for a background worker"),
				 errhint("Raise \"max_worker_processes\".")));
	refused = missing;
	helper_count = n;
	return n;
}

/*
 * Jobs
 */
bool
gm_job_is_free(void)
{
	return atomic_load(&job->lj_number) == 0 && atomic_load(&job->lj_busy) == 0;
}

void
gm_job_open(const GmHnsw *hnsw, const GmSpaceNode *nodes, uint32 n)
{
	/* a helper that comes late may be busy again, and finds no job */
	Assert(atomic_load(&job->lj_number) == 0 && n <= GM_JOB_NODES);
	gm_hnsw_view(hnsw, &job->lj_view);
	job->lj_count = n;
	for (uint32 i = 0; i < n; i++)
		job->lj_node[i] = nodes[i].node;
	atomic_store(&job->lj_next, 0);
	atomic_store(&job->lj_done, 0);
	atomic_store(&job->lj_failed, 0);
	own_at = own_end = 0;
	atomic_store_explicit(&job->lj_number, ++last_number, memory_order_release);
}

void
gm_job_close(void)
{
	atomic_store(&job->lj_number, 0);
}

uint32
gm_job_done(void)
{
	return atomic_load_explicit(&job->lj_done, memory_order_relaxed);
}

bool
gm_job_link(GmIndexer *indexer)
{
	if (own_at == own_end)
	{
		uint32		n = atomic_load_explicit(&job->lj_failed, memory_order_relaxed) != 0 ? 0 :
			gm_job_take(job, OWN_BLOCK, &own_at);

		own_end = own_at + n;
		if (n == 0)
			return false;
	}
	if (gm_hnsw_link(indexer->hnsw, indexer->work, job->lj_node[own_at++]) != GM_OK)
		atomic_store(&job->lj_failed, 1);
	else
		atomic_fetch_add_explicit(&job->lj_done, 1, memory_order_relaxed);
	return true;
}

bool
gm_job_is_over(void)
{
	bool		taken = atomic_load(&job->lj_failed) != 0 ||
		atomic_load(&job->lj_next) >= job->lj_count;

	return taken && own_at == own_end && atomic_load(&job->lj_busy) == 0;
}
