/*-------------------------------------------------------------------------
 *
 * topology_start.h
 *	  Seeing to it that the topology process is there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_TOPOLOGY_START_H
#define GM_WORKER_TOPOLOGY_START_H

#include "shm/area.h"

/*
 * True if the process runs or is on its way; false: the server has no slot for
 * it (max_worker_processes).  One is started no more often than every two
 * seconds.  It is given the database as its argument and the area's generation
 * (uint64) as bgw_extra, has to claim tp_pid, where only one succeeds, and is
 * not started again by the server.  Needs no transaction.
 */
extern bool gm_topology_start(GmArea *area, Oid db_oid);

/* worker: a graph with computed spaces was loaded or changed */
extern void gm_topology_want(GmArea *area);

/* worker, once in a while: start it if that is due; when next, -1: it is not */
extern void gm_topology_tend(GmArea *area);
extern long gm_topology_next_ms(GmArea *area);

#endif							/* GM_WORKER_TOPOLOGY_START_H */
