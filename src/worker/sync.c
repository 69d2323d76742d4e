/*-------------------------------------------------------------------------
 *
 * sync.c
 *	  The worker's side of the queue: which changes, when, in what order.
 *
 * A round takes every ticket that is there, then looks at the parked ones,
 * then decides the new ones in the order of their tickets.  A transaction that
 * built on another had the other's ticket before it and the other's end before
 * its own ticket; so by the time its own is decided, the look at the parked
 * ones has found the other ended, and its changes come first.
 *
 * A transaction's fate is asked for in this order: still in the list of
 * running ones, else in the commit log.  (The other order would take one that
 * commits in between for aborted.)  One still running is parked: published, so
 * that readers who see it ended wait, and its bytes kept here.
 *
 * ar_passed moves on after all that was decided has been published.
 *
 * Transactions that had written before the queue was there, and had passed
 * their PRE_COMMIT before they could find it, appear in no ticket.  They hold
 * locks on the tables when the first round looks (after the area is published;
 * whoever comes to PRE_COMMIT later finds it): ghosts, parked without bytes.
 * If one commits and no ticket came from it, the graphs whose load did not see
 * it are loaded again.  A prepared transaction that outlived a crash is found
 * in the same way.  After an overflow the same is done once more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/row.h"
#include "error.h"
#include "guc.h"
#include "image/fetch.h"
#include "image/identity.h"
#include "shm/queue.h"
#include "shm/stop.h"
#include "shm/xid.h"
#include "worker/graphs.h"
#include "worker/load.h"
#include "worker/sync.h"

#define YOUNG_US		300		/* a transaction just about to end is looked at again soon */
#define YOUNG_PAUSE_US	20
#define PARKED_MS		10
#define PREPARED_MS		50
#define RECLAIM_MS		100

static GmDatabase *db;
static GmArea *area;
static uint64 last_taken;
static dlist_head parked;
static uint32 parked_count;
static uint32 parked_prepared;
static TimestampTz youngest;	/* when the last one was parked */
static bool started;			/* ghosts listed, directory read */
static uint64 requests;
static uint64 identity_changes; /* when the identity was looked at last */
static bool serving;			/* inside a load */
static TimestampTz reclaimed_at;

void
gm_sync_start(GmDatabase *database, GmArea *a, GmPool *pool)
{
	db = database;
	area = a;
	last_taken = 0;
	dlist_init(&parked);
	parked_count = parked_prepared = 0;
	started = false;
	serving = false;
	requests = 0;
	identity_changes = UINT64_MAX;
	gm_graphs_start(database, a, pool);
	gm_load_start(a, pool);
}

void
gm_sync_stop(void)
{
	gm_graphs_stop();
	db = NULL;
	area = NULL;
}

/*
 * Parked transactions
 */
typedef enum Fate
{
	RUNNING,
	COMMITTED,
	ABORTED
} Fate;

static Fate
fate_of(uint64 xid)
{
	if (TransactionIdIsInProgress((TransactionId) xid))
		return RUNNING;
	return TransactionIdDidCommit((TransactionId) xid) ? COMMITTED : ABORTED;
}

static void
publish_parked(void)
{
	dlist_iter	iter;
	uint32		n = 0;

	LWLockAcquire(&area->ar_queue_lock, LW_EXCLUSIVE);
	parked_prepared = 0;
	dlist_foreach(iter, &parked)
	{
		GmWorkerBatch *b = dlist_container(GmWorkerBatch, node, iter.cur);

		parked_prepared += b->prepared;
		if (n == GM_AREA_PARKED)
			break;
		area->ar_parked[n].pk_ticket = b->ticket;
		area->ar_parked[n].pk_xid = b->xid;
		area->ar_parked[n].pk_graph = b->graph_id;
		area->ar_parked[n].pk_prepared = b->prepared;
		n++;
	}
	atomic_store(&area->ar_parked_over, parked_count > GM_AREA_PARKED);
	atomic_store(&area->ar_parked_count, n);
	LWLockRelease(&area->ar_queue_lock);
}

static void
park(GmWorkerBatch *batch)
{
	dlist_push_tail(&parked, &batch->node);
	batch->users++;
	parked_count++;
	youngest = GetCurrentTimestamp();
}

static void
unpark(GmWorkerBatch *batch)
{
	dlist_delete(&batch->node);
	parked_count--;
	gm_batch_unuse(batch);
}

/*
 * What a committed transaction means
 */
typedef struct Reload
{
	uint64		xid;			/* graphs whose load saw it stay; 0: all go */
	int32		graph_id;		/* 0: every graph */
	GmWorkerGraph *found[64];
	int			count;
} Reload;

static void
reload_visit(GmWorkerGraph *g, void *arg)
{
	Reload	   *r = arg;

	if (r->graph_id != 0 && r->graph_id != g->id)
		return;
	if (g->loading)
	{
		/* its snapshot may be older or not: it is read once more */
		g->stale = true;
		return;
	}
	if (r->xid != 0 && gm_graphs_base_sees(g, r->xid))
		return;
	if (r->count < lengthof(r->found))
		r->found[r->count++] = g;
}

/* what readers wait for is loaded again at once, the rest when it is asked for */
static void
reload(int32 graph_id, uint64 xid)
{
	Reload		r;

	do
	{
		r.graph_id = graph_id;
		r.xid = xid;
		r.count = 0;
		gm_graphs_each(reload_visit, &r);
		for (int i = 0; i < r.count; i++)
		{
			GmGraphEntry *e = r.found[i]->entry;

			gm_graphs_unpublish(r.found[i], GM_GRAPH_ABSENT, GM_REFUSED_NOT);
			gm_load_want(e);
			atomic_fetch_add(&area->ar_reloads, 1);
		}
	} while (r.count == lengthof(r.found));
}

static void
change_directory(const GmChange *change)
{
	GmRow		row;
	GmGraphEntry *e;

	if (gm_change_row(change, (change->flags & GM_CHANGE_NEW) == 0, &row) != GM_OK)
		return;
	if ((change->flags & GM_CHANGE_NEW) == 0)
	{
		GmWorkerGraph *g = gm_graphs_find(row.graph_id);

		if (g != NULL && !g->loading)
			gm_graphs_unpublish(g, GM_GRAPH_ABSENT, GM_REFUSED_NOT);
		else if (g != NULL)
			g->stale = true;
		e = gm_area_find(area, row.graph_id);
		if (e != NULL && g == NULL)
			gm_area_drop(area, e);
		else if (e != NULL && !g->loading)
			gm_area_drop(area, e);
		return;
	}
	gm_load_enter(row.graph_id, row.u.graph.residency);
}

/* one graph at a time gets a batch once, however many of its changes concern it */
static void
distribute(GmWorkerBatch *batch)
{
	int32		last = 0;

	if ((batch->flags & GM_TICKET_RELOAD) != 0)
	{
		reload(batch->graph_id, batch->xid);
		if ((batch->flags & GM_TICKET_GRAPHS) != 0)
			started = false;
		return;
	}
	for (size_t at = 0; at < batch->length;)
	{
		GmChange	change;
		GmWorkerGraph *g;

		if (gm_change_decode(batch->bytes + at, batch->length - at, &change) != GM_OK)
		{
			ereport(LOG,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("changes of transaction %llu cannot be read; loading again",
							(unsigned long long) batch->xid)));
			reload(0, batch->xid);
			return;
		}
		at += change.length;
		if (change.table == GM_TABLE_GRAPHS)
		{
			change_directory(&change);
			last = 0;
			continue;
		}
		if (change.graph_id == last)
			continue;
		last = change.graph_id;
		g = gm_graphs_find(change.graph_id);
		if (g == NULL)
		{
			/* what could not be loaded may be whole now */
			GmGraphEntry *e = gm_area_find(area, change.graph_id);

			if (e != NULL && atomic_load(&e->gr_state) == GM_GRAPH_FAILED)
				atomic_store(&e->gr_state, GM_GRAPH_ABSENT);
			continue;
		}
		if (g->batch_count > 0 && g->batches[g->batch_count - 1] == batch)
			continue;
		if (g->loading || !gm_graphs_base_sees(g, batch->xid))
			gm_graphs_give(g, batch);
	}
	if ((batch->flags & GM_TICKET_GRAPHS) != 0)
		atomic_fetch_add(&area->ar_names_changed, 1);
}

static void
decide(GmWorkerBatch *batch, Fate fate)
{
	if (fate == ABORTED)
	{
		atomic_fetch_add_explicit(&area->ar_aborted, 1, memory_order_relaxed);
		return;
	}
	atomic_fetch_add_explicit(&area->ar_batches, 1, memory_order_relaxed);
	if (batch->ticket == 0)
		reload(0, batch->xid);
	else
		distribute(batch);
}

/* true: some ended */
static bool
look_at_parked(void)
{
	dlist_mutable_iter iter;
	bool		any = false;

	dlist_foreach_modify(iter, &parked)
	{
		GmWorkerBatch *b = dlist_container(GmWorkerBatch, node, iter.cur);
		Fate		fate = fate_of(b->xid);

		if (fate == RUNNING)
			continue;
		decide(b, fate);
		unpark(b);
		any = true;
	}
	return any;
}

/* a ticket of a ghost's transaction says all that the ghost stands for */
static void
lay_ghost(uint64 xid)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &parked)
	{
		GmWorkerBatch *b = dlist_container(GmWorkerBatch, node, iter.cur);

		if (b->ticket == 0 && b->xid == xid)
			unpark(b);
	}
}

static GmWorkerBatch *
take(const GmTicket *ticket)
{
	MemoryContext old = MemoryContextSwitchTo(gm_graphs_context());
	GmWorkerBatch *batch = palloc0(sizeof(GmWorkerBatch));

	batch->ticket = atomic_load(&((GmTicket *) ticket)->tk_ticket);
	batch->xid = ticket->tk_xid;
	batch->graph_id = ticket->tk_graph;
	batch->flags = ticket->tk_flags;
	batch->length = ticket->tk_length;
	batch->users = 1;
	if ((batch->flags & GM_TICKET_RELOAD) == 0)
	{
		batch->bytes = gm_queue_copy(area, ticket, true);
		if (batch->bytes == NULL)
		{
			batch->flags |= GM_TICKET_RELOAD;
			batch->length = 0;
		}
	}
	MemoryContextSwitchTo(old);
	return batch;
}

typedef struct Round
{
	bool		busy;			/* a graph has something to apply */
} Round;

static void
collect_busy(GmWorkerGraph *g, void *arg)
{
	List	  **busy = arg;

	if (g->batch_count > 0 && !g->loading)
		*busy = lappend_int(*busy, g->id);
}

static void
apply_all(void)
{
	List	   *busy = NIL;
	ListCell   *lc;

	gm_graphs_each(collect_busy, &busy);
	foreach(lc, busy)
	{
		/* one that was applied before may have driven it out */
		GmWorkerGraph *g = gm_graphs_find(lfirst_int(lc));

		if (g != NULL && g->batch_count > 0)
			(void) gm_graphs_apply(g);
	}
	list_free(busy);
}

/* everything that the queue holds; true: something was done */
static bool
drain(void)
{
	uint64		head = atomic_load_explicit(&area->ar_tickets, memory_order_acquire);
	bool		any = false;
	bool		parked_changed;
	GmTicket	ticket;

	if (head == last_taken && parked_count == 0)
		return false;
	GM_STOP(worker_before_take);
	parked_changed = parked_count > 0 && look_at_parked();
	any = parked_changed;
	while (last_taken < head && gm_queue_take(area, &last_taken, &ticket))
	{
		GmWorkerBatch *batch = take(&ticket);
		Fate		fate;

		gm_queue_release(area, last_taken);
		if (parked_count > 0)
			lay_ghost(batch->xid);
		fate = fate_of(batch->xid);
		if (fate == RUNNING)
		{
			park(batch);
			parked_changed = true;
		}
		else
			decide(batch, fate);
		gm_batch_unuse(batch);
		any = true;
	}
	if (any)
		apply_all();
	if (parked_changed)
		publish_parked();
	if (any)
	{
		atomic_store_explicit(&area->ar_passed, last_taken, memory_order_release);
		if (atomic_load(&area->ar_waiters) > 0)
			ConditionVariableBroadcast(&db->changed);
	}
	return any;
}

void
gm_sync_service(void)
{
	if (serving || area == NULL)
		return;
	serving = true;
	PG_TRY();
	{
		(void) drain();
	}
	PG_FINALLY();
	{
		serving = false;
	}
	PG_END_TRY();
}

/*
 * Ghosts
 */
static const char ghosts_query[] =
"SELECT DISTINCT x.transactionid::pg_catalog.text::pg_catalog.int8, l.pid IS NULL"
" FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_locks x"
" ON x.virtualtransaction OPERATOR(pg_catalog.=) l.virtualtransaction"
" AND x.locktype OPERATOR(pg_catalog.=) 'transactionid' AND x.granted"
" AND x.mode OPERATOR(pg_catalog.=) 'ExclusiveLock'"
" WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.granted"
" AND l.database OPERATOR(pg_catalog.=) $1 AND l.relation OPERATOR(pg_catalog.=) ANY ($2)"
" AND l.mode OPERATOR(pg_catalog.=) ANY ('{RowExclusiveLock,ShareRowExclusiveLock,"
"ExclusiveLock,AccessExclusiveLock}')";

static void
list_ghosts(void)
{
	Oid			types[2] = {OIDOID, OIDARRAYOID};
	Datum		relids[GM_TABLES];
	Datum		args[2];
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	int			n = 0;

	for (GmTable table = GM_TABLE_NONE + 1; table < GM_TABLES; table++)
		relids[n++] = ObjectIdGetDatum(gm_row_relid(table));
	args[0] = ObjectIdGetDatum(MyDatabaseId);
	args[1] = PointerGetDatum(construct_array(relids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	SPI_connect();
	if (SPI_execute_with_args(ghosts_query, 2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list the transactions under way");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		TransactionId xid = (TransactionId) DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
		GmWorkerBatch *ghost = MemoryContextAllocZero(gm_graphs_context(), sizeof(GmWorkerBatch));

		ghost->xid = gm_full_xid(xid, next);
		ghost->prepared = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
		park(ghost);
	}
	SPI_finish();
	publish_parked();
}

/*
 * Before anything is loaded: who is under way, which graphs there are, and
 * whether the triggers are sound.
 */
static void
begin_generation(void)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	list_ghosts();
	gm_load_list_graphs();
	PopActiveSnapshot();
	CommitTransactionCommand();
	atomic_fetch_add(&area->ar_names_changed, 1);
	started = true;
	ConditionVariableBroadcast(&db->changed);
}

static void
look_at_identity(void)
{
	uint64		identity;

	AcceptInvalidationMessages();
	if (gm_identity_changes() == identity_changes)
		return;
	identity_changes = gm_identity_changes();
	StartTransactionCommand();
	identity = gm_identity();
	CommitTransactionCommand();
	if (identity == atomic_load(&area->ar_identity))
		return;
	atomic_store(&area->ar_identity, 0);
	reload(0, 0);
	atomic_store(&area->ar_identity, identity);
	ConditionVariableBroadcast(&db->changed);
}

static void
look_at_overflow(void)
{
	uint64		now = atomic_load(&db->overflow);

	if (now == atomic_load(&area->ar_overflows_seen))
		return;
	reload(0, 0);
	begin_generation();
	atomic_store(&area->ar_overflows_seen, now);
	ConditionVariableBroadcast(&db->changed);
}

static void
end_transaction(void)
{
	if (!IsTransactionState())
		return;
	while (ActiveSnapshotSet())
		PopActiveSnapshot();
	CommitTransactionCommand();
}

bool
gm_sync_run(void)
{
	bool		any;
	TimestampTz now;

	if (!started)
		begin_generation();
	look_at_identity();
	look_at_overflow();
	any = drain();
	end_transaction();
	if (atomic_load(&db->requests) != requests)
	{
		requests = atomic_load(&db->requests);
		gm_load_look();
	}
	if (gm_load_next())
	{
		(void) drain();
		end_transaction();
		return true;
	}
	now = GetCurrentTimestamp();
	if (any || TimestampDifferenceExceeds(reclaimed_at, now, RECLAIM_MS))
	{
		gm_graphs_move_runs();
		gm_graphs_reclaim();
		reclaimed_at = now;
	}
	if (parked_count > parked_prepared && now - youngest < YOUNG_US)
	{
		pg_usleep(YOUNG_PAUSE_US);
		return true;
	}
	return any;
}

long
gm_sync_next_ms(void)
{
	long		ms = gm_graphs_next_ms();

	if (parked_count > 0)
	{
		long		poll = parked_count > parked_prepared ? PARKED_MS : PREPARED_MS;

		ms = ms < 0 ? poll : Min(ms, poll);
	}
	return ms;
}

void
gm_sync_error(void)
{
	serving = false;
	gm_load_error();
}
