/*-------------------------------------------------------------------------
 *
 * shared_see.c
 *	  A version of the shared image against a snapshot, and the fork that makes
 *	  up for the difference.
 *
 * A version holds what its load snapshot saw, and the transactions applied
 * since.  By the wait before, all that the reader's snapshot sees is in it.
 * What more there may be:
 *	 - rows that the load snapshot saw and the reader's does not: an older
 *	   snapshot, which is answered privately unless no transaction that it
 *	   does not see has handed over changes of the graph;
 *	 - transactions that were applied and that the reader's snapshot counts as
 *	   running: those it lists, and those at or above its xmax.  Their entries
 *	   in ar_xid tell whether they are in the version; the bytes of their
 *	   changes, as long as the queue keeps them, tell how to take them back.
 * A change that the snapshot sees never rests on one that it does not see, so
 * taking the excluded ones back, the last applied first, leaves the rest as it
 * was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/apply.h"
#include "core/row.h"
#include "error.h"
#include "image/fetch.h"
#include "image/shared.h"
#include "shm/capture.h"
#include "shm/queue.h"
#include "shm/xid.h"

/* transactions between a snapshot and the image that are looked at one by one */
#define MOST_YOUNGER	4096

static const char older[] = "the snapshot is older than the image";
static const char much_older[] = "the snapshot is much older than the image";
static const char not_taken_back[] = "a change cannot be taken back";

bool
gm_see_was_late(const char *why)
{
	return why == older || why == much_older || why == not_taken_back;
}

/*
 * Has every transaction whose changes of the graph the image may hold ended as
 * the snapshot sees it?  One that has not has an id of at least xmin.  If it
 * changed the graph it has a ticket, unless it began before ar_sure_xid; it
 * got it before it committed, so before the load's snapshot saw it, before the
 * image was published, and before we look here.  Who could not hand over its
 * changes has counted an overflow by then, which the wait before has seen.
 */
static bool
sees_all_changes(GmArea *area, int32_t graph_id, uint64 xmin)
{
	uint64		sure = atomic_load(&area->ar_sure_xid);

	return sure != 0 && sure <= xmin &&
		atomic_load(&area->ar_last_xid[0]) < xmin &&
		atomic_load(&area->ar_last_xid[gm_queue_bucket(graph_id)]) < xmin;
}

/* does the snapshot see everything that the load snapshot saw of the graph */
static bool
sees_base(GmArea *area, int32_t graph_id, const GmGraphBase *base, Snapshot snapshot,
		  uint64 xmin, uint64 xmax, uint64 next)
{
	if (gm_likely(base->xmax <= xmin) || sees_all_changes(area, graph_id, xmin))
		return true;
	if (xmax < base->xmax)
		return false;
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		if (gm_base_sees(base, gm_full_xid(snapshot->xip[i], next)))
			return false;
	return true;
}

static void
exclude(GmSight *sight, uint64 xid, uint64 sequence, uint64 ticket)
{
	if (sight->count == sight->room)
	{
		sight->room = sight->room == 0 ? 8 : sight->room * 2;
		sight->excluded = sight->excluded == NULL ?
			palloc(sight->room * sizeof(GmExcluded)) :
			repalloc(sight->excluded, sight->room * sizeof(GmExcluded));
	}
	sight->excluded[sight->count++] = (GmExcluded) {xid, sequence, ticket};
}

/* a transaction that is running as the snapshot sees it: is it in the image */
static const char *
look_at(GmArea *area, uint64 xid, uint64 image_sequence, GmSight *sight)
{
	GmXidEntry *e = &area->ar_xid[xid & (GM_AREA_XIDS - 1)];

	for (;;)
	{
		uint64		there = atomic_load_explicit(&e->xe_xid, memory_order_acquire);
		uint64		sequence;
		uint64		ticket;

		if (there == GM_XID_WRITING)
			continue;
		if (there < xid)
			return NULL;
		if (there > xid)
		{
			if (TransactionIdIsInProgress((TransactionId) xid) ||
				!TransactionIdDidCommit((TransactionId) xid))
				return NULL;
			return much_older;
		}
		sequence = atomic_load_explicit(&e->xe_sequence, memory_order_relaxed);
		ticket = atomic_load_explicit(&e->xe_ticket, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&e->xe_xid, memory_order_relaxed) != there)
			continue;
		if (sequence <= image_sequence)
			exclude(sight, xid, sequence, ticket);
		return NULL;
	}
}

static int
last_applied_first(const void *a, const void *b)
{
	const GmExcluded *x = a;
	const GmExcluded *y = b;

	if (x->sequence != y->sequence)
		return x->sequence < y->sequence ? 1 : -1;
	return x->ticket < y->ticket ? 1 : x->ticket > y->ticket ? -1 : 0;
}

const char *
gm_see(GmArea *area, int32_t graph_id, const GmGraph *graph, Snapshot snapshot, GmSight *sight)
{
	const GmGraphRoot *root = graph->root;
	const GmGraphBase *base = gm_mem_ptr(graph->mem, root->gr_base);
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	uint64		xmin = gm_full_xid(snapshot->xmin, next);
	uint64		xmax = gm_full_xid(snapshot->xmax, next);

	memset(sight, 0, sizeof(*sight));
	if (!sees_base(area, graph_id, base, snapshot, xmin, xmax, next))
		return older;
	if (gm_likely(root->gr_max_xid < xmin))
		return NULL;
	if (root->gr_max_xid >= xmax + MOST_YOUNGER)
		return much_older;
	for (uint32 i = 0; i < snapshot->xcnt; i++)
	{
		uint64		xid = gm_full_xid(snapshot->xip[i], next);
		const char *why = xid > root->gr_max_xid ? NULL :
			look_at(area, xid, root->gr_sequence, sight);

		if (why != NULL)
			return why;
	}
	for (uint64 xid = xmax; xid <= root->gr_max_xid; xid++)
	{
		const char *why = look_at(area, xid, root->gr_sequence, sight);

		if (why != NULL)
			return why;
	}
	if (sight->count > 1)
		qsort(sight->excluded, sight->count, sizeof(GmExcluded), last_applied_first);
	return NULL;
}

/*
 * The row of a content: all of it, which is false if it is a place where it is
 * not any more, or what tells it apart.
 */
static bool
content_row(const GmChange *change, bool old, bool whole, GmRow *row)
{
	const GmPlace *place = gm_change_place(change, old);

	if (whole && place != NULL)
		return gm_row_fetch(change->table, place, change->graph_id, false, row) == GM_FETCH_FOUND;
	gm_error_check(gm_change_row(change, old, row), "reading changes");
	return true;
}

/* the changes of a batch, as they were made */
static GmChange *
batch_changes(const char *bytes, size_t length, uint32 *count)
{
	uint32		room = 64;
	GmChange   *changes = palloc(room * sizeof(GmChange));

	*count = 0;
	for (size_t at = 0; at < length; at += changes[(*count)++].length)
	{
		if (*count == room)
		{
			room *= 2;
			changes = repalloc_huge(changes, room * sizeof(GmChange));
		}
		gm_error_check(gm_change_decode(bytes + at, length - at, &changes[*count]),
					   "reading changes");
	}
	return changes;
}

static const char *
take_back(GmApply *apply, const GmChange *change)
{
	GmRow		row;

	if ((change->flags & GM_CHANGE_OLD) != 0)
	{
		if (!content_row(change, true, true, &row))
			return not_taken_back;
		if (change->table == GM_TABLE_SPACES && (change->flags & GM_CHANGE_NEW) == 0)
			row.u.space.unread = row.u.space.computed;
		gm_error_check(gm_apply_put(apply, &row), "taking back changes");
	}
	else
	{
		(void) content_row(change, false, false, &row);
		gm_error_check(gm_apply_remove(apply, &row), "taking back changes");
	}
	return NULL;
}

static const char *
take_back_batch(GmArea *area, GmApply *apply, int32_t graph_id, const GmExcluded *excluded)
{
	GmTicket	ticket;
	GmChange   *changes;
	char	   *bytes;
	uint32		n;

	if (!gm_queue_find(area, excluded->ticket, &ticket) || ticket.tk_xid != excluded->xid)
		return not_taken_back;
	if (ticket.tk_graph != 0 && ticket.tk_graph != graph_id)
		return NULL;
	if (ticket.tk_flags != 0)
		return "a change of the tables themselves cannot be taken back";
	bytes = gm_queue_copy(area, &ticket, false);
	if (bytes == NULL)
		return not_taken_back;
	changes = batch_changes(bytes, ticket.tk_length, &n);
	for (uint32 i = n; i-- > 0;)
	{
		const char *why;

		if (changes[i].graph_id != graph_id)
			continue;
		why = take_back(apply, &changes[i]);
		if (why != NULL)
			return why;
	}
	return NULL;
}

static const char *
add_own(GmApply *apply, int32_t graph_id, uint32_t before_cid)
{
	size_t		at = 0;
	GmChange	change;
	GmRow		row;

	while (gm_own_next(before_cid, graph_id, &at, &change))
	{
		if ((change.flags & GM_CHANGE_NEW) != 0)
		{
			if (!content_row(&change, false, true, &row))
				return "an own change cannot be read again";
			gm_error_check(gm_apply_put(apply, &row), "adding own changes");
		}
		else
		{
			(void) content_row(&change, true, false, &row);
			gm_error_check(gm_apply_remove(apply, &row), "adding own changes");
		}
	}
	return NULL;
}

const char *
gm_lay_over(GmArea *area, GmGraph *fork, int32_t graph_id, const GmSight *sight,
			uint32_t before_cid)
{
	int64_t		now = GetCurrentStatementStartTimestamp();
	const char *why = NULL;
	GmApply    *apply;
	GmStatus	status;
	GmRef		root;

	if (now < fork->root->gr_built_at)
		now = fork->root->gr_built_at;
	gm_error_check(gm_apply_begin(fork, &gm_server_interrupt, &apply), "adding own changes");
	for (int i = 0; i < sight->count && why == NULL; i++)
		why = take_back_batch(area, apply, graph_id, &sight->excluded[i]);
	if (why == NULL)
		why = add_own(apply, graph_id, before_cid);
	if (why != NULL)
	{
		gm_apply_abort(apply);
		return why;
	}
	status = gm_apply_finish(apply, now, &root);
	if (status == GM_BAD_VALUE)
	{
		gm_apply_abort(apply);
		return "a vector that is in the table only is needed";
	}
	gm_error_check(status, "adding own changes");
	gm_apply_commit(apply, 0);
	return NULL;
}
