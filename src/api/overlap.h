/*-------------------------------------------------------------------------
 *
 * overlap.h
 *	  No two open versions of one fact are valid at the same time, nor of one
 *	  subject and functional predicate.
 *
 * To be called after the versions were written; the protocol is in names.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_OVERLAP_H
#define GM_API_OVERLAP_H

#include "datatype/timestamp.h"

typedef struct GmOverlap GmOverlap;

extern GmOverlap *gm_overlap_begin(void);
/*
 * Looks for an open version of (subject, predicate, object) that overlaps
 * [from, to) and does not begin at from: the one that does is the caller's
 * own, the unique index sees to that.  Raises 23P01, or 40001 where the
 * transaction's snapshot does not show that version; may wait for other
 * transactions.
 */
extern void gm_overlap_check(GmOverlap *overlap, int64 subject, int64 predicate,
							 int64 object, TimestampTz from, TimestampTz to);
/* Likewise of (subject, predicate) with any object, for which it raises 23505. */
extern void gm_overlap_check_functional(GmOverlap *overlap, int64 subject, int64 predicate,
										int64 object, TimestampTz from, TimestampTz to);
extern void gm_overlap_end(GmOverlap *overlap);

/* "[from, to)" with open ends written as such */
extern char *gm_interval_text(TimestampTz from, TimestampTz to);

#endif							/* GM_API_OVERLAP_H */
