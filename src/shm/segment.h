/*-------------------------------------------------------------------------
 *
 * segment.h
 *	  Dynamic shared memory segments without errors.
 *
 * Both give a mapping that stays until it is detached, or NULL where the
 * system refuses; the message then goes to *message (GM_ERROR_LENGTH bytes),
 * which may be NULL.  They may be called inside and outside of a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_SEGMENT_H
#define GM_SHM_SEGMENT_H

#include "storage/dsm.h"

/* zeroed and pinned: it stays until one of the two below */
extern dsm_segment *gm_segment_create(Size bytes, char *message);

/* nobody else looks at it any more; give_back: nor has this process mapped it */
extern void gm_segment_destroy(dsm_segment *segment);
extern void gm_segment_give_back(dsm_handle handle);

/* NULL too if it is gone */
extern dsm_segment *gm_segment_attach(dsm_handle handle, char *message);

#endif							/* GM_SHM_SEGMENT_H */
