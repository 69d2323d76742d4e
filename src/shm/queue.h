/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  Changes on their way from the transactions that made them to the worker.
 *
 * PROTOCOL queue
 * Shared		GmArea: ar_queue_*, ar_tickets*, ar_ticket, ar_last_ticket, and the
 *				bytes at ar_queue_at; as old as the area.
 * Writer		any backend at PRE_COMMIT or PRE_PREPARE, under ar_queue_lock
 *				exclusive, for the time of copying its bytes.  ar_queue_kept and
 *				ar_tickets_kept: the worker.
 * Readers		the worker takes tickets in order without the lock; backends read
 *				recent batches to undo them (gm_queue_find, gm_queue_copy).
 * Publication	1. ar_queue_head.  2. full barrier.  3. the bytes.  4. tk_ticket
 *				0, barrier, the GmTicket's fields.  5. tk_ticket, release.
 *				6. ar_last_ticket of the graph (0 if there are several or the table
 *				graphs changed), release.  7. ar_tickets, release, which pairs with
 *				gm_queue_take.  Whoever copies bytes or a ticket without the lock
 *				looks at 1 or 5 again afterwards, behind a barrier: what had begun to
 *				be overwritten is thrown away.
 * Order		tickets are given out before the transactions end, so one that
 *				depends on another (it saw its rows) has the later ticket.
 * Reuse		bytes before ar_queue_kept and tickets up to ar_tickets_kept, which
 *				the worker moves on once it is done with them, may be overwritten;
 *				they stay readable until they are.  A batch may cross the end of the
 *				bytes and goes on at their start.
 * Zeroing		the worker zeroes what no snapshot can want to undo (sync.c), under
 *				the lock, since those bytes may be overwritten.  ar_queue_wiped moves
 *				first, which whoever copies looks at afterwards as at 1.
 * Staleness	none: a ticket is seen whole, or not at all.
 * Locks		ar_queue_lock; nothing is called and nothing raised under it.
 * Interrupts	held off by the lock.
 * Death		of a backend under the lock: the server restarts.  Of the worker: it
 *				closes the queue (gm_queue_close); what is pushed from then on is
 *				refused, and the next worker loads it from the tables.
 * Full			a batch that does not fit in what is free goes into a segment of its
 *				own; one for which there is no segment (GM_QUEUE_SEGMENTS are waiting,
 *				or the system refuses) becomes a RELOAD ticket; if there is no ticket,
 *				GmDatabase.overflow is counted up and the worker loads everything
 *				again.  A commit never waits and never fails for the queue.
 * Tests		test/t/120_capture.pl, 121_queue.pl, 122_replication.pl, test/specs/sync_*.spec
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_QUEUE_H
#define GM_SHM_QUEUE_H

#include "shm/area.h"

/*
 * At most so many segments wait: the server has 64 + 5 * max_connections of them
 * for everybody.
 */
#define GM_QUEUE_SEGMENTS	64

/* longer batches go into a segment, so that one does not fill the queue */
#define GM_QUEUE_MOST		(GM_QUEUE_BYTES / 4)

typedef struct GmBatch
{
	uint64_t	xid;			/* full, top level */
	const char *bytes;			/* GmChange bytes, see core/row.h */
	size_t		length;
	uint32_t	changes;
	int32_t		graph_id;		/* 0: several */
	uint32_t	flags;			/* GM_TICKET_* */
	dsm_handle	segment;		/* 0; gm_queue_push moves long ones into one */
} GmBatch;

/* the place of a graph in ar_last_ticket */
static inline uint32_t
gm_queue_bucket(int32_t graph_id)
{
	return (uint32_t) graph_id & (GM_AREA_BUCKETS - 1);
}

/*
 * Backend: the ticket; 0 if it went into overflow, or the queue is closed.  A
 * segment is the queue's from here on.  Never raises an error.  Wakes nobody:
 * that is done at COMMIT.
 */
extern uint64_t gm_queue_push(GmDatabase *db, GmArea *area, const GmBatch *batch);

/* Worker: the ticket after *last, if there is one; fills *ticket and advances *last */
extern bool gm_queue_take(GmArea *area, uint64_t *last, GmTicket *ticket);

/*
 * A copy (palloc'ed in the current context) of a ticket's bytes; NULL if they
 * were overwritten, or lie in a segment and may_attach is false or it was given
 * back.
 */
extern char *gm_queue_copy(GmArea *area, const GmTicket *ticket, bool may_attach);

/*
 * Worker: it is done with the tickets up to here, which it has taken; their
 * segments are given back.  Ascending.
 */
extern void gm_queue_release(GmArea *area, uint64_t ticket);

/* Worker: zero the bytes before this position, where ar_queue_kept has been */
extern void gm_queue_wipe(GmArea *area, uint64_t before);

/* Worker, when its generation ends: no more pushes; segments and bytes go */
extern void gm_queue_close(GmArea *area);

/* the entry of a ticket, if it has not been overwritten */
extern bool gm_queue_find(GmArea *area, uint64_t ticket, GmTicket *found);

#endif							/* GM_SHM_QUEUE_H */
