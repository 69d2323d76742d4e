/*-------------------------------------------------------------------------
 *
 * capture.c
 *	  The changes of this transaction: see capture.h.
 *
 * The buffer holds changes as core/row.h encodes them, one after another.
 * What is known of it beside the bytes is one small struct; a subtransaction
 * that appends something keeps the struct as it was before (made lazily, so
 * that savepoints in which nothing is written cost nothing), and its abort
 * puts that back.
 *
 * Nothing that happens when the transaction ends may fail it: an error other
 * than a cancelled query is caught and the worker is told to load everything
 * again.  The area is attached at the first change, where an error is
 * harmless, so that there is little left to fail.
 *
 * Without an area nothing is handed over, and nothing is lost: a worker that
 * starts later reads the tables.  One that starts between this transaction's
 * PRE_COMMIT and its end finds its locks on the tables, and waits for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "shm/attach.h"
#include "shm/capture.h"
#include "shm/control.h"
#include "shm/queue.h"
#include "shm/stop.h"

#define BUFFER_FIRST	((size_t) 8192)
#define BUFFER_KEPT		((size_t) 1 << 20)	/* from one transaction to the next */

typedef enum Graphs
{
	NO_GRAPH = 0,
	ONE_GRAPH,
	MANY_GRAPHS
} Graphs;

typedef struct State
{
	size_t		length;			/* bytes in the buffer */
	uint64		count;			/* changes, those that are not in the buffer too */
	uint32		max_cid;
	bool		disordered;		/* a command id is below one before it */
	bool		table_graphs;	/* the table graphs is among the changes */
	bool		lost;			/* too many to be kept */
	bool		all;			/* a table was emptied */
	Graphs		graphs;
	int32		graph_id;		/* if it is one */
} State;

/* what to go back to if a subtransaction aborts */
typedef struct Mark
{
	int			level;
	State		before;
} Mark;

static State state;
static char *buffer;
static size_t buffer_room;
static size_t buffer_used;		/* bytes that were ever written in this transaction */
static Mark *marks;
static int	mark_count;
static int	mark_room;
static uint64 stamp = 1;
static GmDatabase *database;	/* to be woken at the end; NULL: nothing was pushed */

/* offsets of changes by command, if state.disordered */
static size_t *order;
static uint64 order_stamp;

static const GmChangeHeader *
change_at(size_t at)
{
	return (const GmChangeHeader *) (buffer + at);
}

static void
forget_order(void)
{
	if (order != NULL)
		pfree(order);
	order = NULL;
}

static void
forget_all(void)
{
	memset(&state, 0, sizeof(state));
	mark_count = 0;
	stamp++;
	forget_order();
	gm_wipe(buffer, buffer_used);
	buffer_used = 0;
	if (buffer_room > BUFFER_KEPT)
	{
		pfree(buffer);
		buffer = NULL;
		buffer_room = 0;
	}
}

/*
 * The order of commands
 */

static int
by_command(const void *a, const void *b)
{
	size_t		x = *(const size_t *) a;
	size_t		y = *(const size_t *) b;
	uint32		x_cid = change_at(x)->cid;
	uint32		y_cid = change_at(y)->cid;

	if (x_cid != y_cid)
		return x_cid < y_cid ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void
put_in_order(void)
{
	uint64		n = 0;

	if (order != NULL && order_stamp == stamp)
		return;
	forget_order();
	order = MemoryContextAllocHuge(TopMemoryContext, state.count * sizeof(size_t));
	for (size_t at = 0; at < state.length; at += change_at(at)->length)
		order[n++] = at;
	Assert(n == state.count);
	qsort(order, n, sizeof(size_t), by_command);
	order_stamp = stamp;
}

/* the buffer, or a copy of it that is in order */
static const char *
ordered_bytes(void)
{
	char	   *copy;
	size_t		to = 0;

	if (!state.disordered)
		return buffer;
	put_in_order();
	copy = MemoryContextAllocHuge(TopTransactionContext, state.length);
	for (uint64 i = 0; i < state.count; i++)
	{
		const GmChangeHeader *header = change_at(order[i]);

		memcpy(copy + to, header, header->length);
		to += header->length;
	}
	return copy;
}

/*
 * The end of the transaction
 */

static void
overflow(void)
{
	GmDatabase *db = gm_control_database(false);

	if (db != NULL)
	{
		atomic_fetch_add(&db->overflow, 1);
		database = db;
	}
}

static void
push_changes(void)
{
	GmDatabase *db = NULL;
	GmArea	   *area = gm_attach(&db);
	GmBatch		batch = {0};

	if (area == NULL)
	{
		/* there is a worker, and this process cannot reach it */
		if (db != NULL && atomic_load(&db->generation) != 0)
			overflow();
		return;
	}
	batch.xid = U64FromFullTransactionId(GetTopFullTransactionId());
	batch.graph_id = state.graphs == ONE_GRAPH && !state.all ? state.graph_id : 0;
	if (state.table_graphs)
		batch.flags |= GM_TICKET_GRAPHS;
	if (state.lost || state.all)
		batch.flags |= GM_TICKET_RELOAD;
	else
	{
		batch.bytes = ordered_bytes();
		batch.length = state.length;
		batch.changes = state.count;
	}
	database = db;
	(void) gm_queue_push(db, area, &batch);
	if (batch.bytes != NULL && batch.bytes != buffer)
		gm_wipe((char *) batch.bytes, batch.length);
}

static void
hand_over(void)
{
	MemoryContext context = CurrentMemoryContext;

	if (state.count == 0)
		return;
	PG_TRY();
	{
		push_changes();
	}
	PG_CATCH();
	{
		ErrorData  *error;
		bool		ended;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		ended = error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
		FreeErrorData(error);
		if (ended)
			PG_RE_THROW();
		FlushErrorState();
		overflow();
	}
	PG_END_TRY();
	forget_all();
	if (database != NULL)
		GM_STOP(queue_pushed);
}

static void
transaction_ends(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			hand_over();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			/* written by another module's callback, after ours: too late for a ticket */
			if (state.count > 0)
				overflow();
			if (database != NULL)
			{
				GM_STOP(committed);
				gm_control_tell(database);
			}
			database = NULL;
			forget_all();
			break;
		case XACT_EVENT_ABORT:
			database = NULL;
			forget_all();
			break;
		default:
			break;
	}
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (mark_count == 0 || marks[mark_count - 1].level < level)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (mark_count > 0 && marks[mark_count - 1].level >= level)
			state = marks[--mark_count].before;
		stamp++;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		/* the outer one takes the changes over, with its own mark if it has one */
		if (level - 1 <= 1 || (mark_count > 1 && marks[mark_count - 2].level == level - 1))
			mark_count--;
		else
			marks[mark_count - 1].level = level - 1;
	}
}

/*
 * Appending
 */

static void
first_change(void)
{
	static bool registered = false;
	GmDatabase *db = NULL;

	if (!registered)
	{
		RegisterXactCallback(transaction_ends, NULL);
		RegisterSubXactCallback(subtransaction_ends, NULL);
		registered = true;
	}
	(void) gm_attach(&db);
}

/* the state before the first change of this subtransaction */
static void
set_mark(void)
{
	int			level = GetCurrentTransactionNestLevel();

	if (level <= 1 || (mark_count > 0 && marks[mark_count - 1].level >= level))
		return;
	if (mark_count == mark_room)
	{
		int			room = Max(8, mark_room * 2);

		if (marks == NULL)
			marks = MemoryContextAlloc(TopMemoryContext, room * sizeof(Mark));
		else
			marks = repalloc(marks, room * sizeof(Mark));
		mark_room = room;
	}
	marks[mark_count].level = level;
	marks[mark_count].before = state;
	mark_count++;
}

static void
make_room(size_t bytes)
{
	size_t		room = Max(buffer_room, BUFFER_FIRST);
	char	   *larger;

	while (room < state.length + bytes)
		room *= 2;
	if (room == buffer_room)
		return;
	larger = MemoryContextAllocHuge(TopMemoryContext, room);
	if (buffer != NULL)
	{
		memcpy(larger, buffer, state.length);
		gm_wipe(buffer, buffer_used);
		pfree(buffer);
	}
	buffer = larger;
	buffer_room = room;
}

static void
count_change(GmTable table, int32 graph_id, uint32 cid)
{
	state.disordered |= cid < state.max_cid;
	state.max_cid = Max(state.max_cid, cid);
	state.count++;
	state.table_graphs |= table == GM_TABLE_GRAPHS;
	if (state.graphs == NO_GRAPH)
	{
		state.graphs = ONE_GRAPH;
		state.graph_id = graph_id;
	}
	else if (state.graph_id != graph_id)
		state.graphs = MANY_GRAPHS;
	stamp++;
}

/* from now on it is only known which graphs changed */
static void
lose(void)
{
	state.lost = true;
	if (mark_count == 0 && buffer != NULL)
	{
		gm_wipe(buffer, buffer_used);
		pfree(buffer);
		buffer = NULL;
		buffer_room = buffer_used = 0;
		state.length = 0;
	}
}

bool
gm_capture_carries(void)
{
	return state.count < GM_CAPTURE_CARRY && state.length < GM_CAPTURE_BYTES;
}

void
gm_capture_row(const GmRow *old_row, const GmPlace *old_place,
			   const GmRow *new_row, const GmPlace *new_place, uint32_t cid)
{
	const GmRow *row = new_row != NULL ? new_row : old_row;
	size_t		size;

	if (state.count == 0)
		first_change();
	set_mark();
	if (!state.lost && state.count >= GM_CAPTURE_MOST)
		lose();
	if (!state.lost)
	{
		size = gm_change_size(old_row, old_place, new_row, new_place);
		if (state.length + size > buffer_room)
			make_room(size);
		gm_change_encode(old_row, old_place, new_row, new_place, cid, buffer + state.length);
		state.length += size;
		buffer_used = Max(buffer_used, state.length);
	}
	count_change(row->table, row->graph_id, cid);
}

void
gm_capture_all(GmTable table)
{
	if (state.count == 0)
		first_change();
	set_mark();
	if (!state.lost)
		lose();
	state.all = true;
	count_change(table, 0, 0);
}

/*
 * Reading
 */

void
gm_own_changes(uint32_t before_cid, GmOwnChanges *own)
{
	static uint64 known_stamp;
	static uint32 known_cid;
	static GmOwnChanges known;

	memset(own, 0, sizeof(*own));
	own->stamp = stamp;
	if (state.count == 0)
		return;
	if (state.lost || state.max_cid < before_cid)
	{
		own->count = state.count;
		own->graphs = state.table_graphs;
		own->unknown = state.lost || state.count > GM_CAPTURE_OVERLAY;
		return;
	}
	if (known_stamp != stamp || known_cid != before_cid)
	{
		memset(&known, 0, sizeof(known));
		known.stamp = stamp;
		for (size_t at = 0; at < state.length; at += change_at(at)->length)
			if (change_at(at)->cid < before_cid)
			{
				known.count++;
				known.graphs |= change_at(at)->table == GM_TABLE_GRAPHS;
			}
		known.unknown = known.count > GM_CAPTURE_OVERLAY;
		known_stamp = stamp;
		known_cid = before_cid;
	}
	*own = known;
}

bool
gm_own_next(uint32_t before_cid, int32_t graph_id, size_t *at, GmChange *change)
{
	if (state.lost)
		return false;
	if (state.disordered)
		put_in_order();
	while (*at < (state.disordered ? state.count : state.length))
	{
		size_t		offset = state.disordered ? order[*at] : *at;
		const GmChangeHeader *header = change_at(offset);

		if (header->cid >= before_cid)
			return false;
		*at += state.disordered ? 1 : header->length;
		if (header->graph_id != graph_id || header->table == GM_TABLE_GRAPHS)
			continue;
		if (gm_change_decode(buffer + offset, state.length - offset, change) != GM_OK)
			elog(ERROR, "own change at %zu of %zu cannot be read", offset, state.length);
		return true;
	}
	return false;
}

bool
gm_own_touches(uint32_t before_cid, int32_t graph_id)
{
	size_t		at = 0;
	GmChange	change;

	if (state.count == 0)
		return false;
	if (state.lost)
		return state.all || state.graphs == MANY_GRAPHS || state.graph_id == graph_id;
	if (state.graphs == ONE_GRAPH && state.graph_id != graph_id)
		return false;
	return gm_own_next(before_cid, graph_id, &at, &change);
}
