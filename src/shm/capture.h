/*-------------------------------------------------------------------------
 *
 * capture.h
 *	  The changes of this transaction to the tables of images.
 *
 * Triggers append (api/trigger_capture.c); PRE_COMMIT and PRE_PREPARE hand the
 * buffer to the worker (shm/queue.h); reads lay it over the shared image.  A
 * subtransaction that aborts takes its changes with it.
 *
 * Beyond GM_CAPTURE_CARRY changes or GM_CAPTURE_BYTES the contents of further
 * ones are places instead of bytes; beyond GM_CAPTURE_MOST nothing is kept
 * but which graphs changed, and the worker loads these again.
 *
 * A change belongs to the command that made the tuple, and triggers fire at
 * the end of a command: those that another one calls come before it.  So
 * changes are put into the order of their commands before anybody sees them.
 *
 * Interface
 *	 gm_capture_carries	are contents wanted, or only keys and places
 *	 gm_capture_row		append one change; called by the trigger
 *	 gm_capture_all		the whole table was emptied, in every graph
 *	 gm_own_changes		what a snapshot may see of them
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_CAPTURE_H
#define GM_SHM_CAPTURE_H

#include "core/row.h"

#define GM_CAPTURE_OVERLAY	64000		/* changes that reads lay over the image */
#define GM_CAPTURE_CARRY	64000
#define GM_CAPTURE_BYTES	((size_t) 16 << 20)
#define GM_CAPTURE_MOST		4000000		/* changes kept one by one */
#define GM_CAPTURE_CONTENT	8192		/* bytes of texts or vector that are carried */

extern bool gm_capture_carries(void);

/*
 * A row that is NULL was not there before, or is not there any more; one with
 * a place is known by its key only.  If rows belong to different graphs or
 * have different keys, the caller appends a removal and an insertion.
 */
extern void gm_capture_row(const GmRow *old_row, const GmPlace *old_place,
						   const GmRow *new_row, const GmPlace *new_place, uint32_t cid);
extern void gm_capture_all(GmTable table);

typedef struct GmOwnChanges
{
	uint64_t	stamp;			/* differs whenever the changes below do */
	uint64_t	count;			/* made with a command id below the snapshot's */
	bool		unknown;		/* cannot be laid over an image: answer privately */
	bool		graphs;			/* the table graphs is among them */
} GmOwnChanges;

/* changes with a command id below this one; cheap when there are none */
extern void gm_own_changes(uint32_t before_cid, GmOwnChanges *own);

/*
 * The next such change after *at (0 at first) that belongs to the graph, those
 * of the table graphs left out; false at the end.  Not if they are unknown.
 */
extern bool gm_own_next(uint32_t before_cid, int32_t graph_id, size_t *at, GmChange *change);

/* does one of them belong to the graph */
extern bool gm_own_touches(uint32_t before_cid, int32_t graph_id);

#endif							/* GM_SHM_CAPTURE_H */
