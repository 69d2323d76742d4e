/*-------------------------------------------------------------------------
 *
 * load.h
 *	  Bringing graphs into memory, and which graphs there are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_LOAD_H
#define GM_WORKER_LOAD_H

#include "shm/pool.h"

extern void gm_load_start(GmDatabase *db, GmArea *area, GmPool *pool);

/*
 * The table graphs into the directory; in a transaction with a snapshot.
 * False: somebody has it locked.
 */
extern bool gm_load_list_graphs(void);

/* a graph that is new, or whose residency may have changed; one that is gone */
extern void gm_load_enter(int32 graph_id, char residency);
extern void gm_load_leave(int32 graph_id);

/* no image is to be had while the triggers are unsound, or they are sound again */
extern void gm_load_refuse(bool refuse);

/* look for graphs that are asked for */
extern void gm_load_look(void);

/* this one is, by the worker itself */
extern void gm_load_want(GmGraphEntry *entry);

/*
 * What is being loaded is out of date, if it is this graph (0: whichever) and
 * its snapshot does not see the transaction (0: even so).
 */
extern void gm_load_spoil(int32 graph_id, uint64 xid);

/* load one of them; false: there is none.  Outside of a transaction. */
extern bool gm_load_next(void);

/* when that may be worth while; -1: not at all */
extern long gm_load_next_ms(void);

/* an error ended a load from outside; raises none */
extern void gm_load_error(void);

#endif							/* GM_WORKER_LOAD_H */
