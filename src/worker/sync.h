/*-------------------------------------------------------------------------
 *
 * sync.h
 *	  What the worker does: apply changes, load graphs, keep within the limit.
 *
 * Called by worker/main.c, which owns the process: connection, signals, area
 * and pool, and what is done about errors.
 *
 * Interface
 *	 gm_sync_start		once, before anybody can attach the area: list the graphs
 *	 gm_sync_run		everything there is to do now
 *	 gm_sync_next_ms	when to be called at the latest
 *	 gm_sync_error		after an error: forget what is half made
 *	 gm_sync_service	from long loops: apply what has arrived meanwhile
 *	 gm_sync_stop		the process ends
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_SYNC_H
#define GM_WORKER_SYNC_H

#include "shm/pool.h"

/*
 * Outside of a transaction, as are the others but gm_sync_service; errors may
 * be raised.
 */
extern void gm_sync_start(GmDatabase *db, GmArea *area, GmPool *pool);

/* true if it should be called again at once */
extern bool gm_sync_run(void);

/* -1: no hurry */
extern long gm_sync_next_ms(void);

/* the transaction has been aborted already; raises no error */
extern void gm_sync_error(void);

extern void gm_sync_service(void);

/* from before_shmem_exit, before the area is given up; raises no error */
extern void gm_sync_stop(void);

#endif							/* GM_WORKER_SYNC_H */
