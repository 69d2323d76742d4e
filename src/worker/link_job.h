/*-------------------------------------------------------------------------
 *
 * link_job.h
 *	  The worker's side of protocol link job (shm/builds.h): jobs, and the
 *	  processes that help with them.
 *
 * Interface
 *	 gm_job_start, gm_job_stop	a generation begins, and ends
 *	 gm_job_helpers		see to it that there are some; how many are there or coming
 *	 gm_job_is_free		no job is open, and nobody looks at the last one any more
 *	 gm_job_open, gm_job_close
 *	 gm_job_link		do some of it in this process
 *	 gm_job_is_over		every node was taken, and nobody is at one
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_LINK_JOB_H
#define GM_WORKER_LINK_JOB_H

#include "core/space_index.h"
#include "shm/builds.h"

/* in a helper's bgw_extra */
typedef struct GmLinkerArgs
{
	uint64		generation;
	int			ordinal;		/* the first graphmem.build_workers may stay */
} GmLinkerArgs;

extern void gm_job_start(GmArea *area, Oid db_oid);
extern void gm_job_stop(void);

/* those that are missing are started, no more often than once in a while */
extern int	gm_job_helpers(void);
extern bool gm_job_is_free(void);

/* at most GM_JOB_NODES */
extern void gm_job_open(const GmHnsw *hnsw, const GmSpaceNode *nodes, uint32 n);
extern void gm_job_close(void);
extern uint32 gm_job_done(void);

/* one node; false: there is none left for this process */
extern bool gm_job_link(GmIndexer *indexer);
extern bool gm_job_is_over(void);

#endif							/* GM_WORKER_LINK_JOB_H */
