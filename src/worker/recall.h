/*-------------------------------------------------------------------------
 *
 * recall.h
 *	  Recall of the indexes in memory, sampled in the background.
 *
 * graphmem.recall_sample_rate vectors a minute, one of each index in turn, are
 * compared with all others while the worker has nothing else to do, and their
 * 10 nearest with those that the index finds.  shm/spaces.h keeps the mean of
 * the last samples, about.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_RECALL_H
#define GM_WORKER_RECALL_H

#include "shm/area.h"

/*
 * Outside of a transaction and of any version, for less than a millisecond.
 * True if it should be called again at once.
 */
extern bool gm_recall_run(GmArea *area);

/* when there is something to do; -1: not before a setting or an image changes */
extern long gm_recall_next_ms(void);

#endif							/* GM_WORKER_RECALL_H */
