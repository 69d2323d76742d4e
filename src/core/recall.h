/*-------------------------------------------------------------------------
 *
 * recall.h
 *	  How much of the true neighbours an index finds.
 *
 * The query is a stored vector, and its own row is left out.  A hit is right if
 * it is not farther than the last of the true ones, so that equal distances do
 * not count against the index.
 *
 * Interface
 *	 gm_recall_row		rows evenly spread over a space
 *	 gm_recall_share	of the true neighbours, among these hits
 *	 gm_recall_begin, gm_recall_step, gm_recall_end	one vector's recall, in steps
 *						between which the space may change
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_RECALL_H
#define GM_CORE_RECALL_H

#include "core/space_index.h"

/* the i-th of n <= rows different rows */
static inline uint32_t
gm_recall_row(uint32_t rows, uint32_t i, uint32_t n)
{
	return (uint32_t) (((uint64_t) rows * i + rows / 2) / n);
}

/* farthest: of the k true ones; k 0: nothing is to be found, which is 1 */
extern double gm_recall_share(const GmSpaceHit *hits, uint32_t found, uint32_t k, float farthest);

typedef struct GmRecallSample GmRecallSample;	/* process-local memory */

/* GM_BAD_VALUE if the row's vector is in the table only: what cannot be read is not sampled */
extern GmStatus gm_recall_begin(const GmSpace *space, uint32_t row, uint32_t k,
								GmRecallSample **sample);

/*
 * Compares with at most so many rows; *done: with all of them.  GM_BAD_DIM: the
 * space is not what it was, or vectors of it are in the table only; begin anew.
 */
extern GmStatus gm_recall_step(GmRecallSample *sample, const GmSpace *space, uint32_t rows,
							   bool *done);

/* true neighbours that are gone or have changed meanwhile do not count */
extern GmStatus gm_recall_end(GmRecallSample *sample, GmSpace *space, GmHnswWork *work,
							  uint32_t ef_search, const GmInterrupt *intr, double *recall);
extern void gm_recall_free(GmRecallSample *sample);

#endif							/* GM_CORE_RECALL_H */
