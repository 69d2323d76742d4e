/*-------------------------------------------------------------------------
 *
 * topology.c
 *	  The table of topology jobs: see topology.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "shm/topology.h"

/* those of an area are zero when this is called */
void
gm_topology_area_init(GmTopologyArea *topology)
{
	LWLockInitialize(&topology->tp_lock, gm_control()->tranche_topology);
	ConditionVariableInit(&topology->tp_changed);
}

/* whoever has that place by now is woken for nothing */
void
gm_topology_wake(GmTopologyArea *topology)
{
	uint32		proc = atomic_load(&topology->tp_proc);

	if (proc != 0)
		SetLatch(&ProcGlobal->allProcs[proc - 1].procLatch);
}

static void
fill(GmTopologyJob *job)
{
	job->tj_queued_at = GetCurrentTimestamp();
	atomic_store(&job->tj_cancel, 0);
	atomic_store(&job->tj_phase, GM_TOPOLOGY_WAITING);
	atomic_store(&job->tj_done, 0);
	atomic_store(&job->tj_total, 0);
	atomic_store(&job->tj_started_at, 0);
	atomic_store(&job->tj_members, 0);
	atomic_store(&job->tj_nodes, 0);
	atomic_store(&job->tj_arcs, 0);
	atomic_store(&job->tj_bytes, 0);
	job->tj_seconds = job->tj_compute_seconds = 0;
	job->tj_sqlstate = 0;
	job->tj_error[0] = job->tj_detail[0] = job->tj_hint[0] = '\0';
}

GmTopologyJob *
gm_topology_ask(GmTopologyArea *topology, int32 graph_id, Oid role, int waiter,
				const char *spec, uint64 *number)
{
	GmTopologyJob *job = NULL;

	LWLockAcquire(&topology->tp_lock, LW_EXCLUSIVE);
	for (int i = 0; i < GM_TOPOLOGY_JOBS && job == NULL; i++)
		if (topology->job[i].tj_state == GM_TOPOLOGY_FREE)
			job = &topology->job[i];
	if (job != NULL)
	{
		fill(job);
		job->tj_graph = graph_id;
		job->tj_role = role;
		job->tj_waiter = waiter;
		strlcpy(job->tj_spec, spec, sizeof(job->tj_spec));
		*number = job->tj_number = ++topology->tp_number;
		job->tj_state = GM_TOPOLOGY_QUEUED;
		atomic_store(&topology->tp_wanted, 1);
	}
	LWLockRelease(&topology->tp_lock);
	gm_topology_wake(topology);
	return job;
}

/* under the lock; a process that ended since has taken its pid back under it */
static void
stop(GmTopologyArea *topology, GmTopologyJob *job)
{
	uint32		pid = atomic_load(&topology->tp_pid);

	if (job->tj_state == GM_TOPOLOGY_QUEUED)
	{
		job->tj_sqlstate = ERRCODE_QUERY_CANCELED;
		strlcpy(job->tj_error, GM_TOPOLOGY_CANCEL_MESSAGE, sizeof(job->tj_error));
		job->tj_state = job->tj_waiter == 0 ? GM_TOPOLOGY_FREE : GM_TOPOLOGY_CANCELLED;
	}
	else if (job->tj_state == GM_TOPOLOGY_RUNNING)
	{
		/* the signal first: what tj_cancel ends could otherwise meet it while it cleans up */
		if (pid != 0)
			(void) kill((pid_t) pid, SIGINT);
		atomic_store(&job->tj_cancel, 1);
	}
}

void
gm_topology_cancel(GmTopologyArea *topology, GmTopologyJob *job, uint64 number)
{
	LWLockAcquire(&topology->tp_lock, LW_EXCLUSIVE);
	if (job->tj_number == number)
		stop(topology, job);
	LWLockRelease(&topology->tp_lock);
	ConditionVariableBroadcast(&topology->tp_changed);
	gm_topology_wake(topology);
}

void
gm_topology_leave(GmTopologyArea *topology, GmTopologyJob *job, uint64 number, bool cancel)
{
	LWLockAcquire(&topology->tp_lock, LW_EXCLUSIVE);
	if (job->tj_number == number)
	{
		job->tj_waiter = 0;
		if (gm_topology_has_ended(job))
			job->tj_state = GM_TOPOLOGY_FREE;
		else if (cancel)
			stop(topology, job);
	}
	LWLockRelease(&topology->tp_lock);
	gm_topology_wake(topology);
}
