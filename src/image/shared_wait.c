/*-------------------------------------------------------------------------
 *
 * shared_wait.c
 *	  Waiting until the worker has done what a query needs.
 *
 * All waits of one call share one deadline.  Sleeping is on the database's
 * condition variable, which the worker broadcasts whenever something changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sched.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "guc.h"
#include "image/call.h"
#include "image/fetch.h"
#include "image/identity.h"
#include "image/shared.h"
#include "image/stats.h"
#include "shm/attach.h"
#include "shm/queue.h"
#include "shm/stop.h"

#define LOOK_ON_US		50

/* of the wait under way, which may end in an error far from here */
static bool waiting;
static instr_time began;

static void
begin_wait(GmWait *wait)
{
	if (!waiting)
		INSTR_TIME_SET_CURRENT(began);
	waiting = true;
	if (wait->deadline != 0)
		return;
	wait->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), gm_guc_sync_timeout);
	gm_backend_stats.last_wait_us = 0;
	gm_backend_stats.waits++;
}

/* false: the deadline has passed */
static bool
sleep_a_little(GmWait *wait)
{
	begin_wait(wait);
	gm_call_phase(GM_PHASE_WAITING, 0, 0);
	GM_STOP(reader_waiting);
	return gm_control_sleep(wait->db, wait->deadline);
}

void
gm_wait_end(void)
{
	instr_time	now;

	if (gm_likely(!waiting))
		return;
	waiting = false;
	ConditionVariableCancelSleep();
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, began);
	gm_backend_stats.last_wait_us += INSTR_TIME_GET_MICROSEC(now);
	gm_backend_stats.wait_us += INSTR_TIME_GET_MICROSEC(now);
}

const char *
gm_wait_area(GmWait *wait)
{
	for (;;)
	{
		wait->area = gm_attach(&wait->db);
		if (wait->area != NULL)
			return NULL;
		switch (wait->db->state)
		{
			case GM_WORKER_STARTING:
				if (gm_control_database_locked())
					return "the database is being dropped, renamed or copied";
				break;
			case GM_WORKER_PREPARING:
			case GM_WORKER_READY:
				break;
			case GM_WORKER_NONE:
				return "no worker runs";
			case GM_WORKER_BACKOFF:
				return "the worker failed and waits";
			case GM_WORKER_NO_SLOT:
				return "no free worker slot";
			case GM_WORKER_NO_EXTENSION:
				return "the worker has not seen the extension yet";
			case GM_WORKER_DISABLED:
				return "the worker is off";
		}
		if (!sleep_a_little(wait))
			return "the worker is starting";
	}
}

/* NULL: look again; late is the reason if there is no time left */
static const char *
wait_a_little(GmWait *wait, const char *late)
{
	return sleep_a_little(wait) ? gm_wait_area(wait) : late;
}

/* does this session itself hold a lock that keeps the worker out */
static bool
holds_strong_lock(void)
{
	for (GmTable table = GM_TABLE_NONE + 1; table < GM_TABLES; table++)
	{
		LOCKTAG		tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, gm_row_relid(table));
		if (gm_compat_lock_held(&tag, AccessExclusiveLock) ||
			gm_compat_lock_held(&tag, ExclusiveLock) ||
			gm_compat_lock_held(&tag, ShareRowExclusiveLock))
			return true;
	}
	return false;
}

const char *
gm_wait_identity(GmWait *wait)
{
	for (;;)
	{
		uint64		mine = gm_identity();
		uint64		theirs = atomic_load(&wait->area->ar_identity);
		const char *why;

		if (gm_likely(mine == theirs && mine != 0))
			return NULL;
		if (mine == 0)
			return "capture triggers are missing or disabled";
		if (holds_strong_lock())
			return "this session changes the tables themselves";
		why = wait_a_little(wait, "the worker has not looked at the tables yet");
		if (why != NULL)
			return why;
		AcceptInvalidationMessages();
	}
}

/* late and too large for a private image */
static void
fail_if_too_large(GmGraphEntry *entry, const char *name)
{
	uint64		done = atomic_load(&entry->gr_rows_done);
	uint64		total = atomic_load(&entry->gr_rows_total);

	if (total * 64 < (uint64) gm_guc_private_memory_limit * 1024 * 1024)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("graph \"%s\" is not loaded yet", name),
			 errdetail("The worker has read %llu of about %llu rows (%d per cent).",
					   (unsigned long long) done, (unsigned long long) total,
					   (int) (total == 0 ? 0 : Min(done * 100 / total, 99))),
			 errhint("See graphmem.stat_progress_load; raise \"graphmem.sync_timeout\" to wait longer, or \"graphmem.private_memory_limit\" to let the session load it for itself.")));
}

const char *
gm_wait_graph(GmWait *wait, int32_t graph_id, const char *name, GmGraphEntry **found)
{
	for (;;)
	{
		/* before the look into the directory: read meanwhile, it is looked at again */
		bool		due = atomic_load(&wait->area->ar_directory_due) != 0;
		GmGraphEntry *entry = gm_area_find(wait->area, graph_id);
		GmGraphState state;
		const char *why;

		/* whoever comes here has waited for all changes of the list that it sees */
		if (entry == NULL)
		{
			if (!due)
				return "the graph has been dropped, or the directory is full";
			if (atomic_load(&wait->area->ar_lock_holder) == (uint32) MyProcPid)
				return "this session holds a lock that keeps the worker out";
			why = wait_a_little(wait, "the worker has not read the list of graphs yet");
			if (why != NULL)
				return why;
			continue;
		}
		state = (GmGraphState) atomic_load_explicit(&entry->gr_state, memory_order_acquire);
		if (gm_likely(state == GM_GRAPH_READY))
		{
			*found = entry;
			return NULL;
		}
		if (state != GM_GRAPH_NONE && gm_area_ask(wait->area, entry))
		{
			atomic_fetch_add(&wait->db->requests, 1);
			gm_control_wake(wait->db);
		}
		why = gm_area_why_not(entry, state);
		if (why != NULL)
			return why;
		if (atomic_load(&wait->area->ar_lock_holder) == (uint32) MyProcPid)
			return "this session holds a lock that keeps the worker out";
		if (!sleep_a_little(wait))
		{
			fail_if_too_large(entry, name);
			return "the graph is being loaded";
		}
		why = gm_wait_area(wait);
		if (why != NULL)
			return why;
	}
}

/* a parked transaction of the graph has ended as the snapshot sees it */
static bool
parked_is_due(GmArea *area, int32_t graph_id, Snapshot snapshot)
{
	uint32		n = atomic_load(&area->ar_parked_count);
	bool		due = false;

	if (gm_likely(n == 0))
		return false;
	LWLockAcquire(&area->ar_queue_lock, LW_SHARED);
	n = Min(atomic_load(&area->ar_parked_count), GM_AREA_PARKED);
	for (uint32 i = 0; i < n && !due; i++)
	{
		const GmParked *p = &area->ar_parked[i];

		/* rebuild() hands over a ticket of a transaction that goes on */
		due = (graph_id == 0 || p->pk_graph == 0 || p->pk_graph == graph_id) &&
			!TransactionIdIsCurrentTransactionId((TransactionId) p->pk_xid) &&
			!XidInMVCCSnapshot((TransactionId) p->pk_xid, snapshot);
	}
	LWLockRelease(&area->ar_queue_lock);
	return due;
}

static void
fail_late(GmArea *area, uint64 ticket)
{
	uint64		passed = atomic_load(&area->ar_passed);
	uint32		holder = atomic_load(&area->ar_lock_holder);

	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("graph memory is behind the tables"),
			 errdetail("The worker is at change %llu, the query needs %llu; %u transactions are parked.",
					   (unsigned long long) passed, (unsigned long long) ticket,
					   atomic_load(&area->ar_parked_count)),
			 holder != 0 ?
			 errhint("Process %u holds a lock that keeps the worker out.", holder) :
			 errhint("See graphmem.stat_worker; \"graphmem.consistency\" = eventual does not wait.")));
}

/*
 * Trailing tickets of transactions that have not ended as the snapshot sees it
 * are not waited for: an image without them need not have them taken back.
 */
static uint64
last_seen(GmArea *area, uint64 ticket, Snapshot snapshot)
{
	uint64		passed = atomic_load_explicit(&area->ar_passed, memory_order_acquire);
	GmTicket	t;

	while (ticket > passed && gm_queue_find(area, ticket, &t) &&
		   XidInMVCCSnapshot((TransactionId) t.tk_xid, snapshot))
		ticket--;
	return ticket;
}

/*
 * A single commit is applied in less time than it takes to go to sleep and be
 * woken, so the first wait of a call looks on for a moment.  The worker may
 * want this very processor, so it is yielded: sleeping would cost a timer, and
 * spinning would keep the worker from it.
 */
static bool
look_on(GmWait *wait, uint64 ticket)
{
	instr_time	start;
	instr_time	now;

	if (wait->deadline != 0)
		return false;
	begin_wait(wait);
	gm_control_wake(wait->db);
	INSTR_TIME_SET_CURRENT(start);
	do
	{
		if (atomic_load_explicit(&wait->area->ar_passed, memory_order_acquire) >= ticket)
			return true;
		(void) sched_yield();
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
	} while (INSTR_TIME_GET_MICROSEC(now) < LOOK_ON_US);

	/* the worker may have run while the processor was offered */
	return atomic_load_explicit(&wait->area->ar_passed, memory_order_acquire) >= ticket;
}

const char *
gm_wait_changes(GmWait *wait, int32_t graph_id, Snapshot snapshot)
{
	GmArea	   *area = wait->area;
	uint64		overflow = atomic_load(&wait->db->overflow);
	uint64		ticket = atomic_load_explicit(&area->ar_last_ticket[0], memory_order_acquire);

	if (graph_id != 0)
		ticket = Max(ticket, atomic_load_explicit(
												  &area->ar_last_ticket[graph_id % GM_AREA_BUCKETS],
												  memory_order_acquire));
	ticket = last_seen(area, ticket, snapshot);
	for (;;)
	{
		bool		passed = atomic_load_explicit(&area->ar_passed, memory_order_acquire) >= ticket &&
			atomic_load(&area->ar_overflows_seen) >= overflow;

		if (gm_guc_consistency == GM_CONSISTENCY_EVENTUAL)
			return NULL;

		/* set before ar_passed moves beyond a transaction that is not in the list */
		if (atomic_load(&area->ar_parked_over) != 0)
			return "too many transactions are parked";
		if (gm_likely(passed && !parked_is_due(area, graph_id, snapshot)))
			return NULL;
		if (gm_guc_sync_timeout == 0)
			return "the worker is behind";
		if (atomic_load(&area->ar_lock_holder) == (uint32) MyProcPid)
			return "this session holds a lock that keeps the worker out";
		if (!passed)
		{
			gm_area_want(area, ticket);
			if (look_on(wait, ticket))
				continue;
		}
		if (!sleep_a_little(wait))
			fail_late(area, ticket);
		if (gm_attach(&wait->db) != area)
			return "the worker was restarted";
	}
}
