/*-------------------------------------------------------------------------
 *
 * overlap.h
 *	  No two open versions of one fact are valid at the same time, nor of one
 *	  subject and functional predicate.
 *
 * The protocol is in names.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_OVERLAP_H
#define GM_API_OVERLAP_H

#include "datatype/timestamp.h"

typedef struct GmOverlap GmOverlap;

extern GmOverlap *gm_overlap_begin(void);
/*
 * After a version was written: looks for an open version of (subject,
 * predicate, object) that overlaps [from, to) and does not begin at from: the
 * one that does is the caller's own, the unique index sees to that.  Raises
 * 23P01, or 40001 where the transaction's snapshot does not show that version;
 * may wait for other transactions.  Of a functional predicate likewise with any
 * object, for which it raises 23505.
 */
extern void gm_overlap_check(GmOverlap *overlap, bool functional, int64 subject,
							 int64 predicate, int64 object, TimestampTz from, TimestampTz to);
/*
 * Before one is written: raises that 40001, which the unique indexes would not
 * know from an error of the caller's, and waits for whoever writes one.  True
 * if it had to wait: there may be another one now than was found.
 */
extern bool gm_overlap_wait(GmOverlap *overlap, bool functional, int64 subject,
							int64 predicate, int64 object, TimestampTz from, TimestampTz to);
extern void gm_overlap_end(GmOverlap *overlap);

/* "[from, to)" with open ends written as such */
extern char *gm_interval_text(TimestampTz from, TimestampTz to);

#endif							/* GM_API_OVERLAP_H */
