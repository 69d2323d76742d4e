/*-------------------------------------------------------------------------
 *
 * builds.h
 *	  Indexes being built: nodes that helpers link, and how far builds are.
 *
 * PROTOCOL link job
 * Shared		one job at a time, in the area, with which it goes: nodes of one index
 *				that were made and not linked.
 * Writer		the worker opens and closes jobs.  Any number of processes, the worker
 *				too, take places of the list and link what is there.
 * Readers		helpers.  For each block: enter the epoch; map the extents that are new;
 *				lj_busy + 1; load lj_number, 0: there is no job; take places from
 *				lj_next; attach the index and link; lj_busy - 1; leave the epoch.
 * Publication	the worker: 1. finds lj_number 0 and lj_busy 0.  2. fills the job.
 *				3. lj_number, release.  To close: lj_number = 0, which helpers look at
 *				between two nodes, and fill no other job while lj_busy is not 0: whoever
 *				read a number had raised lj_busy before.
 * Reuse		memory of an index that goes: the job is closed before the epoch is
 *				advanced for it, so who enters later finds no job, and who entered before
 *				keeps the memory.
 * Staleness	none: places are taken once.
 * Locks		those of hnsw.h.
 * Interrupts	a helper that is to end finishes the node that it is at and lowers
 *				lj_busy, as does its before_shmem_exit callback.
 * Death		of a helper: places that it had taken and not linked are found by the
 *				worker, which looks at every node when no place is left and nobody is
 *				busy.  Of the worker: its generation is over, helpers leave.
 * Full			without helpers the worker links alone.
 * Tests		test/t/171_index_worker.pl
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_BUILDS_H
#define GM_SHM_BUILDS_H

#include "core/hnsw.h"
#include "shm/area.h"

#define GM_JOB_NODES	65536
#define GM_AREA_BUILDS	64

typedef struct GmLinkJob
{
	_Atomic uint64_t lj_number; /* grows from job to job; 0: none is open */
	_Atomic uint32_t lj_busy;	/* processes that look at it */
	_Atomic uint32_t lj_helpers;	/* that are there, busy or not */
	GmHnswView	lj_view;
	uint32_t	lj_count;
	_Atomic uint32_t lj_next;	/* first place that nobody has taken; may lie beyond */
	_Atomic uint32_t lj_done;
	_Atomic uint32_t lj_failed; /* somebody could not link: the worker finds out why */
	uint32_t	lj_node[GM_JOB_NODES];
} GmLinkJob;

typedef enum GmBuildPhase
{
	GM_BUILD_SAMPLING = 0,
	GM_BUILD_READING,			/* its file */
	GM_BUILD_ENCODING,
	GM_BUILD_LINKING,
	GM_BUILD_MAPPING
} GmBuildPhase;

/* written by the worker; ib_graph is stored last, and 0 first */
typedef struct GmIndexBuild
{
	_Atomic int32_t ib_graph;	/* 0: free */
	_Atomic int32_t ib_space;
	_Atomic uint32_t ib_phase;	/* GmBuildPhase */
	_Atomic uint32_t ib_shared; /* helpers are at it */
	_Atomic uint64_t ib_done;	/* rows whose node is linked */
	_Atomic uint64_t ib_total;
	_Atomic uint64_t ib_started_at; /* TimestampTz */
} GmIndexBuild;

typedef struct GmBuilds
{
	GmIndexBuild build[GM_AREA_BUILDS];
	GmLinkJob	job;
} GmBuilds;

static inline GmBuilds *
gm_area_builds(GmArea *area)
{
	return (GmBuilds *) GM_AREA_AT(area, area->ar_builds_at);
}

/*
 * Places of the job, at most `most`; 0: there are none left.  The caller is
 * busy, or the worker.
 */
static inline uint32_t
gm_job_take(GmLinkJob *job, uint32_t most, uint32_t *at)
{
	if (atomic_load_explicit(&job->lj_next, memory_order_relaxed) >= job->lj_count)
		return 0;
	*at = atomic_fetch_add(&job->lj_next, most);
	if (*at >= job->lj_count)
		return 0;
	return job->lj_count - *at < most ? job->lj_count - *at : most;
}

#endif							/* GM_SHM_BUILDS_H */
