/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  Changes on their way to the worker: see queue.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/dsm.h"
#include "utils/memutils.h"

#include "shm/queue.h"
#include "shm/segment.h"

#define PAD(n)	(((n) + 7) & ~(uint64) 7)
#define CLOSED	UINT64_MAX		/* of ar_tickets_kept */

/* bytes copied into a segment between two looks at interrupts: a few ms */
#define COPY_SLICE	((size_t) 16 << 20)

/* bytes zeroed under the lock at a time: some microseconds */
#define WIPE_SLICE	((uint64) 64 << 10)

static inline uint64
load(const _Atomic uint64_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

static inline void
publish(_Atomic uint64_t *to, uint64 value)
{
	atomic_store_explicit(to, value, memory_order_release);
}

static inline GmTicket *
entry_of(GmArea *area, uint64 ticket)
{
	return &area->ar_ticket[ticket & (GM_AREA_TICKETS - 1)];
}

/*
 * Backends
 */

static void
write_bytes(GmArea *area, uint64 at, const char *bytes, size_t length)
{
	char	   *queue = gm_area_queue(area);
	size_t		offset = at & (GM_QUEUE_BYTES - 1);
	size_t		before_end = Min(length, GM_QUEUE_BYTES - offset);

	memcpy(queue + offset, bytes, before_end);
	memcpy(queue, bytes + before_end, length - before_end);
}

typedef enum Pushed
{
	PUSHED,
	QUEUE_CLOSED,
	NO_ROOM,					/* for the bytes, or for another segment */
	NO_TICKET
} Pushed;

/* under the lock */
static void
note_last(GmArea *area, uint32 bucket, uint64 ticket, uint64 xid)
{
	if (xid > atomic_load_explicit(&area->ar_last_xid[bucket], memory_order_relaxed))
		publish(&area->ar_last_xid[bucket], xid);
	publish(&area->ar_last_ticket[bucket], ticket);
}

static Pushed
push_locked(GmArea *area, const GmBatch *batch, uint64 *ticket)
{
	bool		in_queue = batch->segment == 0 && (batch->flags & GM_TICKET_RELOAD) == 0;
	uint64		length = in_queue ? PAD(batch->length) : 0;
	uint64		kept = atomic_load_explicit(&area->ar_tickets_kept, memory_order_acquire);
	uint64		head = load(&area->ar_queue_head);
	GmTicket   *entry;

	*ticket = load(&area->ar_tickets) + 1;
	if (kept == CLOSED)
		return QUEUE_CLOSED;
	if (*ticket - kept > GM_AREA_TICKETS)
		return NO_TICKET;
	if (head + length >
		atomic_load_explicit(&area->ar_queue_kept, memory_order_acquire) + GM_QUEUE_BYTES)
		return NO_ROOM;
	if (batch->segment != 0)
	{
		if (atomic_load_explicit(&area->ar_queue_segments, memory_order_relaxed) >=
			GM_QUEUE_SEGMENTS)
			return NO_ROOM;
		atomic_fetch_add_explicit(&area->ar_queue_segments, 1, memory_order_relaxed);
	}

	if (length > 0)
	{
		/* pairs with the fence in bytes_are_there */
		atomic_store_explicit(&area->ar_queue_head, head + length, memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst);
		write_bytes(area, head, batch->bytes, batch->length);
	}

	/* pairs with the fence in gm_queue_find */
	entry = entry_of(area, *ticket);
	atomic_store_explicit(&entry->tk_ticket, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	entry->tk_xid = batch->xid;
	entry->tk_at = head;
	entry->tk_length = (batch->flags & GM_TICKET_RELOAD) != 0 ? 0 : batch->length;
	entry->tk_segment = batch->segment;
	entry->tk_changes = batch->changes;
	entry->tk_graph = batch->graph_id;
	entry->tk_flags = batch->flags;
	publish(&entry->tk_ticket, *ticket);

	if (batch->graph_id == 0 || (batch->flags & GM_TICKET_GRAPHS) != 0)
		note_last(area, 0, *ticket, batch->xid);
	if (batch->graph_id != 0)
		note_last(area, gm_queue_bucket(batch->graph_id), *ticket, batch->xid);
	publish(&area->ar_tickets, *ticket);
	return PUSHED;
}

static Pushed
try_push(GmArea *area, const GmBatch *batch, uint64 *ticket)
{
	Pushed		result;

	LWLockAcquire(&area->ar_queue_lock, LW_EXCLUSIVE);
	result = push_locked(area, batch, ticket);
	LWLockRelease(&area->ar_queue_lock);
	return result;
}

static bool
segments_exhausted(GmArea *area)
{
	return atomic_load_explicit(&area->ar_queue_segments, memory_order_relaxed) >=
		GM_QUEUE_SEGMENTS;
}

/* a pinned segment with a copy of the bytes; 0 if the system refuses */
static dsm_handle
make_segment(const char *bytes, size_t length)
{
	dsm_segment *segment = gm_segment_create(length, NULL);
	dsm_handle	handle;

	if (segment == NULL)
		return 0;
	handle = dsm_segment_handle(segment);
	PG_TRY();
	{
		for (size_t at = 0; at < length; at += COPY_SLICE)
		{
			CHECK_FOR_INTERRUPTS();
			memcpy((char *) dsm_segment_address(segment) + at, bytes + at,
				   Min(COPY_SLICE, length - at));
		}
	}
	PG_CATCH();
	{
		gm_segment_destroy(segment);
		PG_RE_THROW();
	}
	PG_END_TRY();
	dsm_detach(segment);
	return handle;
}

uint64_t
gm_queue_push(GmDatabase *db, GmArea *area, const GmBatch *batch)
{
	GmBatch		attempt = *batch;
	uint64		ticket;
	Pushed		result;

	if (attempt.segment == 0 && (attempt.flags & GM_TICKET_RELOAD) == 0 &&
		attempt.length > GM_QUEUE_MOST)
		result = NO_ROOM;
	else
		result = try_push(area, &attempt, &ticket);
	if (result == NO_ROOM && attempt.segment == 0 && !segments_exhausted(area))
	{
		attempt.segment = make_segment(attempt.bytes, attempt.length);
		if (attempt.segment != 0)
			result = try_push(area, &attempt, &ticket);
	}
	if (result != PUSHED && attempt.segment != 0)
	{
		gm_segment_give_back(attempt.segment);
		attempt.segment = 0;
	}
	if (result == NO_ROOM)
	{
		attempt.flags |= GM_TICKET_RELOAD;
		result = try_push(area, &attempt, &ticket);
	}
	if (result == PUSHED)
		return ticket;
	if (result != QUEUE_CLOSED)
		atomic_fetch_add(&db->overflow, 1);
	return 0;
}

/*
 * Everybody
 */

bool
gm_queue_find(GmArea *area, uint64_t ticket, GmTicket *found)
{
	GmTicket   *entry = entry_of(area, ticket);

	if (ticket == 0 ||
		atomic_load_explicit(&entry->tk_ticket, memory_order_acquire) != ticket)
		return false;
	found->tk_xid = entry->tk_xid;
	found->tk_at = entry->tk_at;
	found->tk_length = entry->tk_length;
	found->tk_segment = entry->tk_segment;
	found->tk_changes = entry->tk_changes;
	found->tk_graph = entry->tk_graph;
	found->tk_flags = entry->tk_flags;
	atomic_store_explicit(&found->tk_ticket, ticket, memory_order_relaxed);
	/* pairs with the one in push_locked that follows tk_ticket */
	atomic_thread_fence(memory_order_seq_cst);
	return load(&entry->tk_ticket) == ticket;
}

/* after copying bytes from this position: had nobody begun to overwrite or zero them */
static bool
bytes_are_there(GmArea *area, uint64 at)
{
	/* pairs with those that follow ar_queue_head in push_locked, ar_queue_wiped in wipe */
	atomic_thread_fence(memory_order_seq_cst);
	return load(&area->ar_queue_head) <= at + GM_QUEUE_BYTES &&
		load(&area->ar_queue_wiped) <= at;
}

static char *
copy_segment(dsm_handle handle, size_t length)
{
	dsm_segment *segment = gm_segment_attach(handle, NULL);
	char	   *copy;

	if (segment == NULL)
		return NULL;
	if (dsm_segment_map_length(segment) < length)
	{
		dsm_detach(segment);
		return NULL;
	}
	copy = MemoryContextAllocHuge(CurrentMemoryContext, length);
	memcpy(copy, dsm_segment_address(segment), length);
	dsm_detach(segment);
	return copy;
}

char *
gm_queue_copy(GmArea *area, const GmTicket *ticket, bool may_attach)
{
	const char *queue = gm_area_queue(area);
	size_t		offset = ticket->tk_at & (GM_QUEUE_BYTES - 1);
	size_t		before_end;
	char	   *copy;

	if (ticket->tk_segment != 0)
		return may_attach ? copy_segment(ticket->tk_segment, ticket->tk_length) : NULL;
	if (ticket->tk_length > GM_QUEUE_BYTES || !bytes_are_there(area, ticket->tk_at))
		return NULL;
	copy = palloc(Max(ticket->tk_length, 1));
	before_end = Min(ticket->tk_length, GM_QUEUE_BYTES - offset);
	memcpy(copy, queue + offset, before_end);
	memcpy(copy + before_end, queue, ticket->tk_length - before_end);
	if (bytes_are_there(area, ticket->tk_at))
		return copy;
	gm_wipe(copy, ticket->tk_length);
	pfree(copy);
	return NULL;
}

/*
 * The worker
 */

bool
gm_queue_take(GmArea *area, uint64_t *last, GmTicket *ticket)
{
	if (*last >= atomic_load_explicit(&area->ar_tickets, memory_order_acquire))
		return false;
	if (!gm_queue_find(area, *last + 1, ticket))
		elog(ERROR, "ticket %llu of the queue was overwritten",
			 (unsigned long long) (*last + 1));
	(*last)++;
	return true;
}

static void
give_back_segments(GmArea *area, uint64 from, uint64 to)
{
	for (uint64 ticket = from + 1; ticket <= to; ticket++)
	{
		GmTicket   *entry = entry_of(area, ticket);

		if (entry->tk_segment != 0)
		{
			gm_segment_give_back(entry->tk_segment);
			atomic_fetch_sub_explicit(&area->ar_queue_segments, 1, memory_order_relaxed);
		}
	}
}

void
gm_queue_release(GmArea *area, uint64_t ticket)
{
	uint64		kept = load(&area->ar_tickets_kept);
	GmTicket   *entry = entry_of(area, ticket);
	uint64		end = entry->tk_at;

	if (ticket <= kept)
		return;
	Assert(load(&entry->tk_ticket) == ticket);
	if (entry->tk_segment == 0)
		end += PAD(entry->tk_length);
	give_back_segments(area, kept, ticket);
	publish(&area->ar_queue_kept, end);
	publish(&area->ar_tickets_kept, ticket);
}

/* bytes from here on are zeroed, unless they belong to a later batch already */
static uint64
first_to_wipe(GmArea *area)
{
	uint64		head = load(&area->ar_queue_head);

	return Max(load(&area->ar_queue_wiped), head > GM_QUEUE_BYTES ? head - GM_QUEUE_BYTES : 0);
}

static void
wipe(GmArea *area, uint64 from, uint64 to)
{
	char	   *queue = gm_area_queue(area);
	size_t		offset = from & (GM_QUEUE_BYTES - 1);
	size_t		before_end = Min(to - from, GM_QUEUE_BYTES - offset);

	/* pairs with the fence in bytes_are_there */
	atomic_store_explicit(&area->ar_queue_wiped, to, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	memset(queue + offset, 0, before_end);
	memset(queue, 0, to - from - before_end);
}

void
gm_queue_wipe(GmArea *area, uint64_t before)
{
	while (load(&area->ar_queue_wiped) < before)
	{
		uint64		from;

		LWLockAcquire(&area->ar_queue_lock, LW_EXCLUSIVE);
		from = first_to_wipe(area);
		if (from < before)
			wipe(area, from, Min(from + WIPE_SLICE, before));
		else
			atomic_store(&area->ar_queue_wiped, from);
		LWLockRelease(&area->ar_queue_lock);
	}
}

void
gm_queue_close(GmArea *area)
{
	uint64		kept;

	LWLockAcquire(&area->ar_queue_lock, LW_EXCLUSIVE);
	kept = load(&area->ar_tickets_kept);
	publish(&area->ar_tickets_kept, CLOSED);
	LWLockRelease(&area->ar_queue_lock);
	gm_queue_wipe(area, load(&area->ar_queue_head));
	if (kept != CLOSED)
		give_back_segments(area, kept, load(&area->ar_tickets));
}
