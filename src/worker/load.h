/*-------------------------------------------------------------------------
 *
 * load.h
 *	  Bringing graphs into memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_LOAD_H
#define GM_WORKER_LOAD_H

#include "shm/pool.h"

extern void gm_load_start(GmArea *area, GmPool *pool);

/* every graph of the table into the directory; connected to nothing, under an active snapshot */
extern void gm_load_list_graphs(void);

/* a graph that is new, or whose residency may have changed */
extern void gm_load_enter(int32 graph_id, char residency);

/* look for graphs that are asked for */
extern void gm_load_look(void);

/* this one is, by the worker itself */
extern void gm_load_want(GmGraphEntry *entry);

/* load one of them; false: there is none.  Outside of a transaction. */
extern bool gm_load_next(void);

/* an error ended a load from outside */
extern void gm_load_error(void);

#endif							/* GM_WORKER_LOAD_H */
