/*-------------------------------------------------------------------------
 *
 * sync.c
 *	  The worker's side of the queue: which changes, when, in what order.
 *
 * A round notes up to which ticket it goes, then looks at the parked ones, then
 * decides the new ones in the order of their tickets.  A transaction that built
 * on another had the other's ticket before it and the other's end before its
 * own ticket; so by the time its own is decided, the look at the parked ones
 * has found the other ended, and its changes come first.
 *
 * A transaction's fate is asked for in this order: still in the list of
 * running ones, else in the commit log.  (The other order would take one that
 * commits in between for aborted.)  One still running is parked: published, so
 * that readers who see it ended wait, and its bytes kept here.  Nobody need
 * poll for its end: whoever commits wakes the worker afterwards, and so does a
 * reader who waits for it.
 *
 * ar_passed moves on, and those that ended leave the published list of parked
 * ones, after all that was decided has been published.
 *
 * Transactions that had written before the queue was there, and had passed
 * their PRE_COMMIT before they could find it, appear in no ticket.  They hold
 * locks on the tables when the first round looks (after the area is published;
 * whoever comes to PRE_COMMIT later finds it): ghosts, parked without bytes.
 * If one commits and no ticket came from it, the graphs whose load did not see
 * it are loaded again.  A prepared transaction that outlived a crash is found
 * in the same way.  After an overflow the same is done once more, since the
 * transaction that could not hand over its changes has not ended by then.
 *
 * The bytes of batches stay in the queue for readers who must not see them yet.
 * They are zeroed a moment later, when no snapshot is left that is older than
 * any of the transactions up to some ticket and none of those is parked.
 *
 * Every image was loaded after the identity in ar_identity was looked up, and
 * goes before another one takes its place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
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
#include "worker/index.h"
#include "worker/index_file.h"
#include "worker/load.h"
#include "worker/recall.h"
#include "worker/sync.h"

#define PARKED_FIRST_MS	10		/* parked ones are looked at after this, */
#define PARKED_MOST_MS	1000	/* later ever more rarely */
#define WIPE_MS			100
#define DIRECTORY_MS	50		/* the table graphs is locked: look again */
#define LOCK_TIMEOUT	"100ms"	/* an index may be locked though its table is not */

typedef enum Phase
{
	IDLE,
	TAKING,
	APPLYING
} Phase;

static GmDatabase *db;
static GmArea *area;
static uint64 last_taken;
static dlist_head parked;		/* running when last looked at */
static dlist_head leaving;		/* ended, what they did is not published yet */
static uint32 parked_count;
static bool parked_changed;		/* since the list was published */
static TimestampTz last_parked;
static uint64 newest_xid;		/* of the tickets taken */
static TimestampTz wiped_at;	/* when it was last looked whether the queue can be zeroed */

/* up to where the queue is zeroed next; ticket 0: not chosen */
static struct
{
	uint64		ticket;
	uint64		at;
	uint64		xid;			/* none up to the ticket is newer */
}			to_wipe;

static bool ghosts_due;			/* list those who are under way, all is loaded again */
static bool directory_due;		/* read the table graphs */
static Phase phase;
static bool unfinished;			/* decided, but not all published */
static int	failures;			/* in a row, of applying */
static uint64 requests;
static uint64 identity;			/* as last looked up; published with the directory */
static uint64 identity_changes; /* when that was */
static bool serving;			/* inside a load */

/*
 * How the list of graphs changed is not known.  Who does not find its graph in
 * the directory waits for the list to be read.
 */
static void
lose_directory(void)
{
	directory_due = true;
	atomic_store(&area->ar_directory_due, 1);
}

void
gm_sync_start(GmDatabase *database, GmArea *a, GmPool *pool)
{
	db = database;
	area = a;
	last_taken = 0;
	dlist_init(&parked);
	dlist_init(&leaving);
	parked_count = 0;
	parked_changed = false;
	newest_xid = 0;
	wiped_at = 0;
	to_wipe.ticket = 0;
	ghosts_due = true;
	phase = IDLE;
	unfinished = false;
	failures = 0;
	serving = false;
	requests = 0;
	identity = 0;
	identity_changes = UINT64_MAX;
	lose_directory();
	gm_graphs_start(database, a, pool);
	gm_load_start(database, a, pool);
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
}

void
gm_sync_stop(void)
{
	gm_graphs_stop();
	gm_index_files_stop();
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
publish_list(dlist_head *list, uint32 *n)
{
	dlist_iter	iter;

	dlist_foreach(iter, list)
	{
		GmWorkerBatch *b = dlist_container(GmWorkerBatch, node, iter.cur);

		if (*n < GM_AREA_PARKED)
		{
			GmParked   *p = &area->ar_parked[*n];

			p->pk_ticket = b->ticket;
			p->pk_xid = b->xid;
			p->pk_graph = b->graph_id;
			p->pk_prepared = b->prepared;
		}
		(*n)++;
	}
}

static void
publish_parked(void)
{
	uint32		n = 0;

	LWLockAcquire(&area->ar_queue_lock, LW_EXCLUSIVE);
	publish_list(&parked, &n);
	publish_list(&leaving, &n);
	atomic_store(&area->ar_parked_over, n > GM_AREA_PARKED ? n - GM_AREA_PARKED : 0);
	atomic_store(&area->ar_parked_count, Min(n, GM_AREA_PARKED));
	LWLockRelease(&area->ar_queue_lock);
	parked_changed = false;
}

static void
park(GmWorkerBatch *batch)
{
	dlist_push_tail(&parked, &batch->node);
	batch->users++;
	parked_count++;
	parked_changed = unfinished = true;
	last_parked = GetCurrentTimestamp();
}

static void
unpark(GmWorkerBatch *batch)
{
	dlist_delete(&batch->node);
	parked_count--;
	parked_changed = unfinished = true;
	dlist_push_tail(&leaving, &batch->node);
}

static void
forget_leaving(void)
{
	while (!dlist_is_empty(&leaving))
		gm_batch_unuse(dlist_container(GmWorkerBatch, node, dlist_pop_head_node(&leaving)));
}

/* is there a ticket of this transaction, or a ghost, already */
static bool
is_parked(uint64 xid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &parked)
		if (dlist_container(GmWorkerBatch, node, iter.cur)->xid == xid)
			return true;
	return false;
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

/*
 * What a committed transaction means
 */
typedef struct Reload
{
	uint64		xid;			/* graphs whose load saw it stay; 0: all go */
	int32		graph_id;		/* 0: every graph */
} Reload;

static void
reload_visit(GmWorkerGraph *g, void *arg)
{
	const Reload *r = arg;

	if (g->loading || (r->graph_id != 0 && r->graph_id != g->id) ||
		(r->xid != 0 && gm_graphs_base_sees(g, r->xid)))
		return;
	gm_graphs_reload(g);
}

static void
reload(int32 graph_id, uint64 xid)
{
	Reload		r = {xid, graph_id};

	gm_load_spoil(graph_id, xid);
	gm_graphs_each(reload_visit, &r);
}

static void
change_directory(const GmChange *change)
{
	bool		put = (change->flags & GM_CHANGE_NEW) != 0;
	GmRow		row;

	if (gm_change_row(change, !put, &row) != GM_OK || (put && row.u.graph.residency == 0))
		lose_directory();
	else if (put)
		gm_load_enter(row.graph_id, row.u.graph.residency);
	else
		gm_load_leave(row.graph_id);
}

static void
give(int32 graph_id, GmWorkerBatch *batch)
{
	GmWorkerGraph *g = gm_graphs_find(graph_id);

	if (g == NULL)
	{
		/* what could not be loaded may be whole now */
		GmGraphEntry *e = gm_area_find(area, graph_id);

		if (e != NULL && atomic_load(&e->gr_state) == GM_GRAPH_FAILED)
			atomic_store(&e->gr_state, GM_GRAPH_ABSENT);
		return;
	}
	if (g->batch_count > 0 && g->batches[g->batch_count - 1] == batch)
		return;
	if (g->loading || !gm_graphs_base_sees(g, batch->xid))
		gm_graphs_give(g, batch);
}

/* one graph at a time gets a batch once, however many of its changes concern it */
static void
distribute(GmWorkerBatch *batch)
{
	int32		last = 0;

	if ((batch->flags & GM_TICKET_RELOAD) != 0)
	{
		if ((batch->flags & GM_TICKET_REBUILD) != 0)
			gm_index_files_remove(batch->graph_id);
		reload(batch->graph_id, batch->xid);
		if ((batch->flags & GM_TICKET_GRAPHS) != 0)
			lose_directory();
	}
	else if (batch->graph_id != 0 && (batch->flags & GM_TICKET_GRAPHS) == 0)
		give(batch->graph_id, batch);
	else
	{
		for (size_t at = 0; at < batch->length;)
		{
			GmChange	change;

			if (gm_change_decode(batch->bytes + at, batch->length - at, &change) != GM_OK)
			{
				ereport(LOG,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg("changes of transaction %llu cannot be read; loading again",
								(unsigned long long) batch->xid)));
				reload(0, batch->xid);
				lose_directory();
				break;
			}
			at += change.length;
			if (change.table == GM_TABLE_GRAPHS)
				change_directory(&change);
			else if (change.graph_id != last)
				give(change.graph_id, batch);
			last = change.table == GM_TABLE_GRAPHS ? 0 : change.graph_id;
		}
	}
	if ((batch->flags & GM_TICKET_GRAPHS) != 0)
		atomic_fetch_add(&area->ar_names_changed, 1);
}

static void
decide(GmWorkerBatch *batch, Fate fate)
{
	if (fate == ABORTED)
	{
		if (batch->ticket != 0)
			atomic_fetch_add_explicit(&area->ar_aborted, 1, memory_order_relaxed);
	}
	else if (batch->ticket != 0)
	{
		atomic_fetch_add_explicit(&area->ar_batches, 1, memory_order_relaxed);
		distribute(batch);
	}
	else
	{
		/* whatever it did was not handed over */
		reload(0, batch->xid);
		lose_directory();
		atomic_fetch_add(&area->ar_names_changed, 1);
	}
}

static void
look_at_parked(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &parked)
	{
		GmWorkerBatch *b = dlist_container(GmWorkerBatch, node, iter.cur);
		Fate		fate = fate_of(b->xid);

		if (fate == RUNNING)
			continue;
		decide(b, fate);
		unpark(b);
	}
}

static GmWorkerBatch *
take(const GmTicket *ticket, uint64 number)
{
	MemoryContext old = MemoryContextSwitchTo(gm_graphs_context());
	GmWorkerBatch *batch = palloc0(sizeof(GmWorkerBatch));

	batch->ticket = number;
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

static void
take_and_decide(uint64 head)
{
	GmTicket	ticket;

	look_at_parked();
	while (last_taken < head && gm_queue_take(area, &last_taken, &ticket))
	{
		GmWorkerBatch *batch = take(&ticket, last_taken);
		Fate		fate;

		unfinished = true;
		newest_xid = Max(newest_xid, batch->xid);
		gm_queue_release(area, last_taken);
		if (parked_count > 0)
			lay_ghost(batch->xid);
		fate = fate_of(batch->xid);
		if (fate == RUNNING)
			park(batch);
		else
			decide(batch, fate);
		gm_batch_unuse(batch);
	}
}

/*
 * A round: what the queue holds, up to the ticket that a reader waits for.
 * True: something was done, there may be more.  An error leaves what was
 * decided where it is, for the next round.
 */
static bool
drain(void)
{
	uint64		head = atomic_load_explicit(&area->ar_tickets, memory_order_acquire);
	uint64		wanted = atomic_load_explicit(&area->ar_wanted, memory_order_relaxed);

	if (wanted > last_taken && wanted < head)
		head = wanted;
	if (head == last_taken && parked_count == 0 && !unfinished)
		return false;
	GM_STOP(worker_before_take);
	phase = TAKING;
	take_and_decide(head);
	phase = APPLYING;
	if (!unfinished || !gm_graphs_apply_all())
	{
		phase = IDLE;
		return false;
	}
	forget_leaving();
	if (parked_changed)
		publish_parked();
	atomic_store_explicit(&area->ar_passed, last_taken, memory_order_release);

	/* who waits is on its list before it looks at ar_passed for the last time */
	ConditionVariableBroadcast(&db->changed);
	phase = IDLE;
	unfinished = false;
	failures = 0;
	return true;
}

/*
 * Zeroing
 */

/* may some snapshot not see a transaction that has ended */
static bool
has_older_snapshots(uint64 xid)
{
	int			n;

	pfree(GetCurrentVirtualXIDs((TransactionId) xid, true, false, PROC_IN_VACUUM, &n));
	return n > 0;
}

static bool
is_parked_before(uint64 ticket)
{
	dlist_iter	iter;

	dlist_foreach(iter, &parked)
	{
		GmWorkerBatch *b = dlist_container(GmWorkerBatch, node, iter.cur);

		if (b->ticket != 0 && b->ticket <= ticket)
			return true;
	}
	return false;
}

static bool
is_wiped(void)
{
	return to_wipe.ticket == 0 &&
		atomic_load(&area->ar_queue_wiped) >= atomic_load(&area->ar_queue_kept);
}

/*
 * Up to the same ticket until that succeeds: there are always snapshots older
 * than the newest of a stream of transactions.
 */
static void
wipe_queue(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (is_wiped() || !TimestampDifferenceExceeds(wiped_at, now, WIPE_MS))
		return;
	wiped_at = now;
	if (to_wipe.ticket == 0)
	{
		to_wipe.ticket = last_taken;
		to_wipe.at = atomic_load(&area->ar_queue_kept);
		to_wipe.xid = newest_xid;
	}
	if (atomic_load(&area->ar_passed) < to_wipe.ticket || is_parked_before(to_wipe.ticket) ||
		has_older_snapshots(to_wipe.xid))
		return;
	gm_queue_wipe(area, to_wipe.at);
	to_wipe.ticket = 0;
}

/*
 * Ghosts
 */

/* the oldest id of a transaction is its own, the others are of subtransactions */
static const char ghosts_query[] =
"SELECT DISTINCT ON (l.virtualtransaction, l.pid)"
" x.transactionid::pg_catalog.text::pg_catalog.int8, l.pid IS NULL"
" FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_locks x"
" ON x.virtualtransaction OPERATOR(pg_catalog.=) l.virtualtransaction"
" AND x.locktype OPERATOR(pg_catalog.=) 'transactionid' AND x.granted"
" AND x.mode OPERATOR(pg_catalog.=) 'ExclusiveLock'"
" WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.granted"
" AND l.database OPERATOR(pg_catalog.=) $1 AND l.relation OPERATOR(pg_catalog.=) ANY ($2)"
" AND l.mode OPERATOR(pg_catalog.=) ANY ('{RowExclusiveLock,ShareRowExclusiveLock,"
"ExclusiveLock,AccessExclusiveLock}')"
" ORDER BY l.virtualtransaction, l.pid, pg_catalog.age(x.transactionid) DESC";

static void
list_ghosts(void)
{
	Oid			types[2] = {OIDOID, OIDARRAYOID};
	Datum		relids[GM_TABLES];
	Datum		args[2];
	uint64		next;
	int			n = 0;

	for (GmTable table = GM_TABLE_NONE + 1; table < GM_TABLES; table++)
		relids[n++] = ObjectIdGetDatum(gm_row_relid(table));
	SPI_connect();
	args[0] = ObjectIdGetDatum(MyDatabaseId);
	args[1] = PointerGetDatum(construct_array(relids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	if (SPI_execute_with_args(ghosts_query, 2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list the transactions under way");
	next = U64FromFullTransactionId(ReadNextFullTransactionId());
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		uint64		xid = gm_full_xid((TransactionId)
									  DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull)), next);
		GmWorkerBatch *ghost;

		if (is_parked(xid))
			continue;
		ghost = MemoryContextAllocZero(gm_graphs_context(), sizeof(GmWorkerBatch));
		ghost->xid = xid;
		ghost->prepared = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
		park(ghost);
	}
	SPI_finish();
}

/* for what may come inside a load's transaction or outside of any; true: began one */
static bool
begin_transaction(void)
{
	bool		begun = !IsTransactionState();

	if (begun)
		StartTransactionCommand();
	PushActiveSnapshot(GetLatestSnapshot());
	return begun;
}

static void
end_transaction(bool begun)
{
	PopActiveSnapshot();
	if (begun)
		CommitTransactionCommand();
}

/*
 * At start, and when changes were lost: nothing that was loaded before holds,
 * and who may still commit what is in no ticket has locks on the tables now.
 */
static void
start_over(void)
{
	uint64		overflow = atomic_load(&db->overflow);
	bool		begun;

	if (overflow == atomic_load(&area->ar_overflows_seen) && !ghosts_due)
		return;
	ghosts_due = true;
	atomic_store(&area->ar_sure_xid, 0);
	reload(0, 0);
	begun = begin_transaction();
	list_ghosts();
	end_transaction(begun);
	if (parked_changed)
		publish_parked();
	lose_directory();
	atomic_store(&area->ar_sure_xid, U64FromFullTransactionId(ReadNextFullTransactionId()));
	atomic_store(&area->ar_overflows_seen, overflow);
	ghosts_due = false;
	ConditionVariableBroadcast(&db->changed);
}

/* after the ghosts were listed: what they do is not in it, and makes it due again */
static void
read_directory(void)
{
	bool		begun;

	if (!directory_due)
		return;
	GM_STOP(worker_before_directory);
	begun = begin_transaction();
	directory_due = !gm_load_list_graphs();
	end_transaction(begun);
	if (directory_due)
		return;
	atomic_fetch_add(&area->ar_names_changed, 1);
	atomic_store(&area->ar_directory_due, 0);
	atomic_store(&area->ar_identity, identity);
	ConditionVariableBroadcast(&db->changed);
}

static void
look_at_identity(void)
{
	uint64		changes;
	uint64		now;
	bool		begun;

	AcceptInvalidationMessages();
	changes = gm_identity_changes();
	if (changes == identity_changes)
		return;
	begun = begin_transaction();
	now = gm_identity();
	end_transaction(begun);
	if (now != identity || identity_changes == UINT64_MAX)
	{
		atomic_store(&area->ar_identity, 0);
		identity = now;

		/* whoever changed tables that were not sound has begun before */
		atomic_store(&area->ar_sure_xid, ghosts_due || identity == 0 ? 0 :
					 U64FromFullTransactionId(ReadNextFullTransactionId()));
		reload(0, 0);
		gm_load_refuse(identity == 0);
		lose_directory();		/* the table graphs may be another one */
		ConditionVariableBroadcast(&db->changed);
	}
	identity_changes = changes;
}

void
gm_sync_service(void)
{
	if (serving || area == NULL)
		return;
	serving = true;
	PG_TRY();
	{
		look_at_identity();
		if (identity != 0)
			start_over();
		(void) drain();
		if (identity != 0)
			read_directory();
	}
	PG_FINALLY();
	{
		serving = false;
	}
	PG_END_TRY();
}

/* that was begun for changes that are tuples' places */
static void
end_fetching(void)
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

	look_at_identity();
	if (identity != 0)
		start_over();
	any = drain();
	end_fetching();
	if (identity != 0)
	{
		read_directory();
		if (atomic_load(&db->requests) != requests)
		{
			requests = atomic_load(&db->requests);
			gm_load_look();
		}
		if (!directory_due)
		{
			gm_index_files_start(area);
			if (gm_load_next())
				return true;
		}
	}
	gm_graphs_tidy();
	wipe_queue();
	any |= gm_graphs_wipe();
	any |= gm_index_run();
	any |= gm_index_files_tend();
	return any || gm_recall_run(area);
}

long
gm_sync_next_ms(void)
{
	long		ms = gm_graphs_next_ms();
	long		index = gm_index_next_ms();
	long		recall = gm_recall_next_ms();
	long		load = identity == 0 || directory_due ? -1 : gm_load_next_ms();
	long		files = gm_index_files_next_ms();

	if (index >= 0)
		ms = ms < 0 ? index : Min(ms, index);
	if (recall >= 0)
		ms = ms < 0 ? recall : Min(ms, recall);
	if (load >= 0)
		ms = ms < 0 ? load : Min(ms, load);
	if (files >= 0)
		ms = ms < 0 ? files : Min(ms, files);
	if (!is_wiped())
		ms = ms < 0 ? WIPE_MS : Min(ms, WIPE_MS);
	if (directory_due && identity != 0)
		ms = ms < 0 ? DIRECTORY_MS : Min(ms, DIRECTORY_MS);
	if (parked_count > 0)
	{
		long		age = TimestampDifferenceMilliseconds(last_parked, GetCurrentTimestamp());
		long		poll = Min(Max(age / 4, PARKED_FIRST_MS), PARKED_MOST_MS);

		ms = ms < 0 ? poll : Min(ms, poll);
	}
	return ms;
}

void
gm_sync_error(void)
{
	serving = false;
	gm_graphs_error();

	/* a ticket may have been lost between its being taken and decided */
	if (phase == TAKING)
		ghosts_due = unfinished = true;
	else if (phase == APPLYING && ++failures > 1)
		ghosts_due = true;
	phase = IDLE;
	gm_load_error();
}
