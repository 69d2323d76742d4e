/*-------------------------------------------------------------------------
 *
 * segment.h
 *	  Dynamic shared memory segments without errors.
 *
 * Both give a mapping that stays until it is detached, or NULL where the
 * system refuses; the message then goes to *message (GM_ERROR_LENGTH bytes),
 * which may be NULL.  They may be called inside and outside of a transaction.
 *
 * Large pages: searches that touch memory all over wait for the translation of
 * addresses as much as for the memory.  The system maps shared memory by small
 * pages unless its administrator says otherwise, but makes large ones of them on
 * request.  A mapping by large pages begins at a multiple of their size, where
 * the server's mappings begin by chance only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_SEGMENT_H
#define GM_SHM_SEGMENT_H

#include "storage/dsm.h"

/* zeroed and pinned: it stays until one of the two below */
extern dsm_segment *gm_segment_create(Size bytes, char *message);

/* zeroed, and not pinned: it goes with the last process that has it attached */
extern dsm_segment *gm_segment_create_own(Size bytes, char *message);

/* nobody else looks at it any more; give_back: nor has this process mapped it */
extern void gm_segment_destroy(dsm_segment *segment);
extern void gm_segment_give_back(dsm_handle handle);

/* NULL too if it is gone */
extern dsm_segment *gm_segment_attach(dsm_handle handle, char *message);

/* of a large page, whatever it is on this machine */
#define GM_LARGE_PAGE		((Size) 2 << 20)

/*
 * Where to use the segment instead of at dsm_segment_address: where large pages
 * can be mapped.  Does what the system allows; huge_pages = off is respected.
 */
extern char *gm_segment_place(dsm_segment *segment);

/*
 * The segment's memory at a multiple of GM_LARGE_PAGE from place on to a large
 * page; for who made it, whatever it holds and whoever else has it mapped.  Takes
 * about half a millisecond, but several where the system must look for a free
 * one.  False: there will be none in this segment.
 */
extern bool gm_segment_enlarge(dsm_segment *segment, char *place, Size offset);

/* before the segment is detached or destroyed; place: from gm_segment_place */
extern void gm_segment_leave_place(dsm_segment *segment, char *place);

#endif							/* GM_SHM_SEGMENT_H */
