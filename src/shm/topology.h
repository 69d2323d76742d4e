/*-------------------------------------------------------------------------
 *
 * topology.h
 *	  Jobs of the process that computes vectors from the shape of graphs.
 *
 * PROTOCOL topology
 * Shared		a table of jobs in the area, with which it goes.
 * Writer		whoever asks takes a free entry under tp_lock, fills it and makes it
 *				QUEUED; the topology process alone makes it RUNNING and then one of
 *				the ended states; anybody may make one that is QUEUED CANCELLED, and
 *				set tj_cancel of one that is RUNNING.  Who waits for the end frees the
 *				entry after reading it; entries that nobody waits for (tj_waiter 0) the
 *				process frees itself.
 * Readers		under tp_lock, shared; counters of progress without it.
 * Publication	tj_state is changed under tp_lock, then tp_changed is broadcast.
 * Death		of who waits: its before_shmem_exit or error path sets tj_waiter 0 and,
 *				if it was cancelled, tj_cancel.  Of the topology process: tp_pid is 0
 *				then, and what was RUNNING is FAILED; it is started again when
 *				somebody asks or the worker has a use for it
 *				(worker/topology_start.h).  Of the worker: the area
 *				is over, who waits sees another generation.
 * Wanted		tp_wanted is set by the worker when it has loaded or changed a graph
 *				with computed spaces, by who queues a job, and by a process that
 *				ends without having looked a last time.  The process takes it back,
 *				then looks at gr_shaped and at the jobs; it gives up tp_pid before
 *				it looks at tp_wanted a last time.  While it is set and tp_pid is 0
 *				the worker starts a process: whatever a process leaves behind is
 *				the next one's.
 * Locks		tp_lock alone; nothing is done under it that could wait.
 * Tests		test/t/190_topology.pl, test/t/194_topology_races.pl
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_TOPOLOGY_H
#define GM_SHM_TOPOLOGY_H

#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#include "shm/area.h"

#define GM_TOPOLOGY_JOBS	16
#define GM_TOPOLOGY_TEXT	8192	/* bytes of a job's specification */
#define GM_TOPOLOGY_MESSAGE	512
#define GM_TOPOLOGY_CANCEL_MESSAGE \
	"canceling the computation of topology embeddings due to user request"

typedef enum GmTopologyState
{
	GM_TOPOLOGY_FREE = 0,
	GM_TOPOLOGY_QUEUED,
	GM_TOPOLOGY_RUNNING,
	GM_TOPOLOGY_DONE,
	GM_TOPOLOGY_FAILED,
	GM_TOPOLOGY_CANCELLED
} GmTopologyState;

typedef enum GmTopologyPhase
{
	GM_TOPOLOGY_WAITING = 0,
	GM_TOPOLOGY_READING,		/* the adjacency; nodes */
	GM_TOPOLOGY_COMPUTING,		/* phases of the algorithm, as far as they can be known */
	GM_TOPOLOGY_ALIGNING,
	GM_TOPOLOGY_STORING,		/* rows */
	GM_TOPOLOGY_INDEXING,		/* rows that are linked; only if it replaces an indexed
								 * space and nobody waits */
	GM_TOPOLOGY_REPLACING
} GmTopologyPhase;

typedef struct GmTopologyJob
{
	uint32		tj_state;		/* GmTopologyState */
	int32		tj_graph;
	uint64		tj_number;		/* grows; tells a job from the next in its entry */
	int			tj_waiter;		/* pid of who waits for the end; 0 nobody */
	Oid			tj_role;		/* that asked; InvalidOid: the process itself */
	TimestampTz tj_queued_at;
	_Atomic uint32_t tj_cancel;
	_Atomic uint32_t tj_phase;	/* GmTopologyPhase */
	_Atomic uint64_t tj_done;	/* of the phase */
	_Atomic uint64_t tj_total;	/* 0: not known */
	_Atomic uint64_t tj_started_at; /* TimestampTz; 0 not yet */
	_Atomic uint64_t tj_members;	/* processes that compute */
	_Atomic uint64_t tj_nodes;
	_Atomic uint64_t tj_arcs;
	_Atomic uint64_t tj_bytes;	/* of memory for computing */
	char		tj_spec[GM_TOPOLOGY_TEXT];	/* JSON: api/topology_spec.h */

	/* once it has ended */
	double		tj_seconds;		/* from start to end */
	double		tj_compute_seconds;
	int			tj_sqlstate;
	char		tj_error[GM_TOPOLOGY_MESSAGE];
	char		tj_detail[GM_TOPOLOGY_MESSAGE];
	char		tj_hint[GM_TOPOLOGY_MESSAGE];
} GmTopologyJob;

typedef struct GmTopologyArea
{
	LWLock		tp_lock;
	ConditionVariable tp_changed;
	_Atomic uint32_t tp_pid;	/* of the topology process; 0: there is none */
	_Atomic uint32_t tp_proc;	/* its place, to set its latch, plus 1 */
	_Atomic uint32_t tp_wanted; /* there may be something to do: see Wanted above */
	_Atomic uint64_t tp_started_at; /* when it was last started, TimestampTz; 0: never */
	uint64		tp_number;		/* last given out; under tp_lock */
	GmTopologyJob job[GM_TOPOLOGY_JOBS];
} GmTopologyArea;

extern void gm_topology_area_init(GmTopologyArea *topology);

/* wakes the process, if it is there */
extern void gm_topology_wake(GmTopologyArea *topology);

/*
 * A free entry for a job of this specification, QUEUED; NULL if there is none.
 * waiter 0: nobody waits.  *number is the job's.
 */
extern GmTopologyJob *gm_topology_ask(GmTopologyArea *topology, int32 graph_id, Oid role,
									  int waiter, const char *spec, uint64 *number);

/*
 * A job that waits is CANCELLED at once, one that runs is told to stop, also
 * where it waits for a lock.
 */
extern void gm_topology_cancel(GmTopologyArea *topology, GmTopologyJob *job, uint64 number);

/* the entry goes with the end of the job, or now if it has ended or not begun */
extern void gm_topology_leave(GmTopologyArea *topology, GmTopologyJob *job, uint64 number,
							  bool cancel);

static inline bool
gm_topology_has_ended(const GmTopologyJob *job)
{
	return job->tj_state == GM_TOPOLOGY_DONE || job->tj_state == GM_TOPOLOGY_FAILED ||
		job->tj_state == GM_TOPOLOGY_CANCELLED;
}

static inline GmTopologyArea *
gm_area_topology(GmArea *area)
{
	return (GmTopologyArea *) GM_AREA_AT(area, area->ar_topology_at);
}

#endif							/* GM_SHM_TOPOLOGY_H */
