/*-------------------------------------------------------------------------
 *
 * index.h
 *	  The indexes of the spaces in memory: when they are made, what is added
 *	  to them and when, and what happens if there is no memory for them.
 *
 * Interface
 *	 gm_index_start, gm_index_stop	a generation begins, and ends
 *	 gm_index_run			some of what there is to do, about a millisecond
 *	 gm_index_next_ms		when there is something to do at the latest
 *	 gm_index_look			a version of the graph was published
 *	 gm_index_apply			in a version: what is ready for it
 *	 gm_index_publishing, gm_index_committed, gm_index_aborted
 *	 gm_index_give_up		memory is needed for something else
 *	 gm_index_forget		the graph goes out of memory
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_INDEX_H
#define GM_WORKER_INDEX_H

#include "worker/graphs.h"

extern void gm_index_start(GmDatabase *db, GmArea *area);
extern void gm_index_stop(void);

/*
 * Outside of a transaction and of any version.  True if it should be called
 * again at once.
 */
extern bool gm_index_run(void);
extern long gm_index_next_ms(void);

/* by graphs.c, which these raise no error to */
extern void gm_index_look(GmWorkerGraph *g);
extern GmStatus gm_index_apply(GmWorkerGraph *g);

/* nobody can fail any more; before the epoch is advanced */
extern void gm_index_publishing(GmWorkerGraph *g);
extern void gm_index_committed(GmWorkerGraph *g);
extern void gm_index_aborted(GmWorkerGraph *g);

/* the graph's indexes go; true: there was one, and memory may be free now */
extern bool gm_index_give_up(GmWorkerGraph *g, GmStatus why);
extern void gm_index_forget(GmWorkerGraph *g);

#endif							/* GM_WORKER_INDEX_H */
