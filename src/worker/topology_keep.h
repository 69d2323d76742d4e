/*-------------------------------------------------------------------------
 *
 * topology_keep.h
 *	  Keeping computed spaces current between two computations: vectors for new
 *	  entities, and how many nodes changed.
 *
 * Runs in the topology process, between jobs and, about every 200 ms, in the
 * middle of one (when no transaction is open).
 *
 * Interface
 *	 gm_keep_start		a generation begins
 *	 gm_keep_run		look at every graph that changed since it was last looked at
 *	 gm_keep_next_ms	when to look again; -1: nothing is to be expected
 *	 gm_keep_computed	a space has a new version
 *	 gm_keep_due		a space that should be computed again, by graphmem.topology_threshold
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_TOPOLOGY_KEEP_H
#define GM_WORKER_TOPOLOGY_KEEP_H

#include "worker/topology_spec.h"
#include "shm/area.h"

extern void gm_keep_start(GmArea *area);

/* outside of a transaction; errors may be raised */
extern void gm_keep_run(void);
extern long gm_keep_next_ms(void);
extern void gm_keep_computed(int32 space_id, int32 graph_id, double seconds);

/* false: none.  spec is palloc'ed in the current context */
extern bool gm_keep_due(int32 *graph_id, GmTopologySpec *spec);

#endif							/* GM_WORKER_TOPOLOGY_KEEP_H */
