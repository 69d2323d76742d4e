/*-------------------------------------------------------------------------
 *
 * notify.c
 *	  Tells listeners which facts a committed transaction changed.
 *
 * A graph whose settings say "notify": true has the channel graphmem_<id>.
 * The capture trigger (trigger_capture.c) passes rows of triples on; of a
 * graph that notifies their contents before and after are kept until the end
 * of the transaction.  At PRE_COMMIT they are brought together by fact, first
 * content with last, and each fact that changed is one message.  From there on
 * it is the server's queue: messages go out with the commit or not at all.
 *
 * What a change is
 *	 Versions of a fact are current while they are not expired.  Those that
 *	 were current before the transaction and are not, or not as they were,
 *	 "went"; those that are current after it and were not, or not like this,
 *	 "came".  Where several went or came, the first by valid time stands for
 *	 them.
 *	 added		came, and no version was known before
 *	 reopened	came although others were known before, or ends later than
 *				the one that went
 *	 closed		came, and ends earlier than the one that went
 *	 corrected	came otherwise different from the one that went
 *	 retracted	went, and none came
 *	 erased		rows were deleted, and no current version is left; without
 *				a fact_id: all facts of the graph (TRUNCATE, drop_graph)
 *	 changes() finds the same in the versions, where these tell: not what was
 *	 deleted or updated in place.
 *
 * Messages hold ids and no text, so that a text that is forgotten does not
 * stay in the queue.
 *
 * Concurrency	set_notify() waits for transactions that write facts into the
 *				graph; whichever takes the graph's lock after it finds the
 *				setting.  So a listener that listens, turns notification on
 *				and commits misses no later change.
 * Memory		80 bytes for each row inserted or deleted, 160 for each
 *				updated, and about 350 in the server for each message
 * Complexity	a sort of the rows, and a look into the index triples_fact for
 *				facts that only came or only went
 * Limits		NOTIFY_MOST contents in a transaction; beyond, it fails at its
 *				end.  Changes that other modules make at PRE_COMMIT, after
 *				this one was called, are not told.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "commands/async.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "api/names.h"
#include "api/notify.h"
#include "api/sql.h"
#include "compat.h"

#define NOTIFY_FIRST	1024
#define NOTIFY_MOST		((size_t) 1 << 22)	/* 320 MB of contents */
#define MESSAGE_BYTES	256

PG_FUNCTION_INFO_V1(graphmem_set_notify);

/* a row of triples before or after a change */
typedef struct Content
{
	int64		triple_id;
	int64		fact_id;
	int64		subject_id;
	int64		predicate_id;
	int64		object_id;
	TimestampTz valid_from;
	TimestampTz valid_to;
	uint64		hash:60;		/* of all that a fact says */
	uint64		after:1;		/* else before */
	uint64		current:1;		/* not expired */
	uint64		lived:1;		/* somebody may have seen it */
	uint64		emptied:1;		/* no row: the table was truncated here */
	int32		graph_id;
	uint32		cid;			/* command that made the change: as in shm/capture.h */
	SubTransactionId subid;		/* they only grow, so an abort cuts the tail */
} Content;

/* what became of a fact */
typedef struct Fate
{
	const Content *went;
	const Content *came;
	const Content *deleted;		/* a row that is gone from the table */
	int			nwent;
	int			ncame;
	bool		known;			/* a version that was there before was touched */
	bool		kept;			/* a current one was touched and stayed as it was */
	bool		left;			/* one that was touched is still there */
} Fate;

typedef struct Asked
{
	int32		graph_id;
	bool		notifies;
} Asked;

enum
{
	TRIPLE_ID, FACT_ID, SUBJECT_ID, PREDICATE_ID, OBJECT_ID, VALID_FROM, VALID_TO, RECORDED_AT,
	EXPIRED_AT, CONFIDENCE, PROPERTIES, COLUMNS
};

static const char *const column_names[COLUMNS] = {
	"triple_id", "fact_id", "subject_id", "predicate_id", "object_id", "valid_from", "valid_to",
	"recorded_at", "expired_at", "confidence", "properties"
};

static AttrNumber columns[COLUMNS];
static Oid	columns_of = InvalidOid;

/* all in TopTransactionContext */
static Content *contents;
static size_t count;
static size_t room;
static SubTransactionId too_many;	/* since when; InvalidSubTransactionId: not */
static int32 too_many_of;		/* which graph's were not kept; 0: perhaps several */
static Asked *asked;
static int	nasked;
static int	asked_room;

static GmSql update_settings = {
	"UPDATE graphmem.graphs SET settings = settings OPERATOR(pg_catalog.||)"
	" pg_catalog.jsonb_build_object('notify', $2) WHERE graph_id" GM_EQ "$1",
	2, {INT4OID, BOOLOID}
};

static void send_messages(bool prepare);

/*
 * The life of a transaction
 */

static void
forget_all(void)
{
	contents = NULL;
	count = room = 0;
	too_many = InvalidSubTransactionId;
	asked = NULL;
	nasked = asked_room = 0;
}

static void
transaction_ends(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (count > 0)
				send_messages(event == XACT_EVENT_PRE_PREPARE);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			forget_all();
			break;
		default:
			break;
	}
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (count > 0 && contents[count - 1].subid >= mine)
		count--;
	if (too_many >= mine)
		too_many = InvalidSubTransactionId;
	nasked = 0;
}

static void
expect_end(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(transaction_ends, NULL);
	RegisterSubXactCallback(subtransaction_ends, NULL);
	registered = true;
}

/*
 * Which graphs notify
 */

static bool
has_notify(Jsonb *settings, JsonbValue *value)
{
	return JB_ROOT_IS_OBJECT(settings) &&
		getKeyJsonValueFromContainer(&settings->root, "notify", strlen("notify"), value) != NULL;
}

static bool
settings_notify(Datum settings)
{
	JsonbValue	value;

	return has_notify(DatumGetJsonbP(settings), &value) && value.type == jbvBool &&
		value.val.boolean;
}

void
gm_notify_check(Jsonb *settings)
{
	JsonbValue	value;

	if (has_notify(settings, &value) && value.type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"notify\" of a graph must be true or false")));
}

/*
 * Calls with every graph that notifies, or with the one of that id; returns
 * whether there was a row.  As committed now and changed by this transaction:
 * what its snapshot sees can be older than set_notify().
 */
static bool
each_graph(int32 graph_id, void (*found) (int32 graph_id, bool notifies, void *arg), void *arg)
{
	Relation	graphs = table_open(gm_sql_relid("graphs"), AccessShareLock);
	AttrNumber	id = get_attnum(RelationGetRelid(graphs), "graph_id");
	AttrNumber	settings = get_attnum(RelationGetRelid(graphs), "settings");
	Oid			index = gm_compat_primary_key(graphs);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		any = false;

	ScanKeyInit(&key, id, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(graph_id));
	scan = systable_beginscan(graphs, index, graph_id != 0 && OidIsValid(index), snapshot,
							  graph_id != 0 ? 1 : 0, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(graphs);
		bool		isnull;
		int32		this_id = DatumGetInt32(heap_getattr(tuple, id, desc, &isnull));
		Datum		value = heap_getattr(tuple, settings, desc, &isnull);

		any = true;
		found(this_id, !isnull && settings_notify(value), arg);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(graphs, AccessShareLock);
	return any;
}

static void
keep_answer(int32 graph_id, bool notifies, void *arg)
{
	*(bool *) arg = notifies;
}

static bool
ask(int32 graph_id)
{
	bool		notifies = false;

	expect_end();
	(void) each_graph(graph_id, keep_answer, &notifies);
	if (nasked == asked_room)
	{
		asked_room = Max(8, asked_room * 2);
		if (asked == NULL)
			asked = MemoryContextAlloc(TopTransactionContext, asked_room * sizeof(Asked));
		else
			asked = repalloc(asked, asked_room * sizeof(Asked));
	}
	asked[nasked].graph_id = graph_id;
	asked[nasked++].notifies = notifies;
	return notifies;
}

static bool
graph_notifies(int32 graph_id)
{
	for (int i = nasked - 1; i >= 0; i--)
		if (asked[i].graph_id == graph_id)
			return asked[i].notifies;
	return ask(graph_id);
}

void
gm_notify_graphs(void)
{
	nasked = 0;
}

/*
 * Keeping contents
 */

static void
learn_columns(Relation triples)
{
	columns_of = InvalidOid;
	for (int i = 0; i < COLUMNS; i++)
	{
		columns[i] = get_attnum(RelationGetRelid(triples), column_names[i]);
		if (columns[i] == InvalidAttrNumber)
			elog(ERROR, "table \"triples\" has no column \"%s\"", column_names[i]);
	}
	columns_of = RelationGetRelid(triples);
}

/* Equal for what changes() calls equal: jsonb by its own equality, -0 as 0. */
static uint64
hash_of(const Content *content, float4 confidence, bool has_properties, Datum properties)
{
	struct
	{
		int64		ids[3];
		TimestampTz times[2];
		float8		confidence;
	}			says = {
		{content->subject_id, content->predicate_id, content->object_id},
		{content->valid_from, content->valid_to},
		confidence == 0 ? 0.0 : confidence
	};
	uint64		hash = hash_bytes_extended((const unsigned char *) &says, sizeof(says),
										   has_properties);

	if (has_properties)
		hash ^= DatumGetUInt64(DirectFunctionCall2(jsonb_hash_extended, properties,
												   UInt64GetDatum(hash)));
	return hash;
}

static Content *
next_content(int32 graph_id)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	Content    *content;

	expect_end();
	if (count == NOTIFY_MOST)
	{
		if (too_many == InvalidSubTransactionId)
		{
			too_many = subid;
			too_many_of = graph_id;
		}
		else if (too_many_of != graph_id)
			too_many_of = 0;
		return NULL;
	}
	if (count == room)
	{
		room = Max(NOTIFY_FIRST, room * 2);
		if (contents == NULL)
			contents = MemoryContextAllocHuge(TopTransactionContext, room * sizeof(Content));
		else
			contents = repalloc_huge(contents, room * sizeof(Content));
	}
	content = &contents[count++];
	memset(content, 0, sizeof(*content));
	content->graph_id = graph_id;
	content->subid = subid;
	return content;
}

static void
keep_content(Relation triples, int32 graph_id, HeapTuple tuple, bool after, uint32 cid)
{
	Content    *content = next_content(graph_id);
	Datum		values[MaxTupleAttributeNumber];
	bool		nulls[MaxTupleAttributeNumber];
	int64	   *ids;
	bool		has_properties;

	if (content == NULL)
		return;
	heap_deform_tuple(tuple, RelationGetDescr(triples), values, nulls);
	ids = &content->triple_id;
	for (int i = TRIPLE_ID; i <= OBJECT_ID; i++)
		ids[i] = DatumGetInt64(values[columns[i] - 1]);
	content->cid = cid;
	content->valid_from = DatumGetTimestampTz(values[columns[VALID_FROM] - 1]);
	content->valid_to = DatumGetTimestampTz(values[columns[VALID_TO] - 1]);
	content->after = after;
	content->current = DatumGetTimestampTz(values[columns[EXPIRED_AT] - 1]) == DT_NOEND;
	content->lived = DatumGetTimestampTz(values[columns[RECORDED_AT] - 1]) <
		DatumGetTimestampTz(values[columns[EXPIRED_AT] - 1]);
	has_properties = content->current && !nulls[columns[PROPERTIES] - 1];
	content->hash = hash_of(content, DatumGetFloat4(values[columns[CONFIDENCE] - 1]),
							has_properties, values[columns[PROPERTIES] - 1]);
}

void
gm_notify_row(Relation triples, int32 graph_id, HeapTuple before, HeapTuple after, uint32 cid)
{
	if (!graph_notifies(graph_id))
		return;
	if (columns_of != RelationGetRelid(triples))
		learn_columns(triples);
	if (before != NULL)
		keep_content(triples, graph_id, before, false, cid);
	if (after != NULL)
		keep_content(triples, graph_id, after, true, cid);
}

void
gm_notify_emptied(void)
{
	Content    *content = next_content(0);

	if (content != NULL)
		content->emptied = true;
}

/*
 * What became of a fact
 */

static int
by_fact(const void *a, const void *b)
{
	static uint32 compared = 0;
	uint32		i = *(const uint32 *) a;
	uint32		j = *(const uint32 *) b;
	const Content *x = &contents[i];
	const Content *y = &contents[j];

	if ((++compared & 0xffff) == 0)
		CHECK_FOR_INTERRUPTS();
	if (x->graph_id != y->graph_id)
		return x->graph_id < y->graph_id ? -1 : 1;
	if (x->fact_id != y->fact_id)
		return x->fact_id < y->fact_id ? -1 : 1;
	if (x->triple_id != y->triple_id)
		return x->triple_id < y->triple_id ? -1 : 1;
	if (x->cid != y->cid)
		return x->cid < y->cid ? -1 : 1;
	return i < j ? -1 : i > j;
}

static const Content *
earlier(const Content *a, const Content *b)
{
	return a == NULL || b->valid_from < a->valid_from ? b : a;
}

/* one row's first and last content */
static void
add_row(Fate *fate, const Content *first, const Content *last)
{
	bool		was_current = !first->after && first->current;
	bool		is_current = last->after && last->current;

	fate->known |= !first->after && first->lived;
	fate->left |= last->after && last->lived;
	if (!first->after && first->lived && !last->after)
		fate->deleted = first;
	if (was_current && is_current && first->hash == last->hash)
	{
		fate->kept = true;
		return;
	}
	if (was_current)
	{
		fate->went = earlier(fate->went, first);
		fate->nwent++;
	}
	if (is_current)
	{
		fate->came = earlier(fate->came, last);
		fate->ncame++;
	}
}

/*
 * Is there a row of the fact besides those that were touched; only a current
 * one, or any that somebody may have seen.
 */
static bool
has_other(Relation triples, Snapshot snapshot, const uint32 *rows, size_t n, bool current)
{
	Oid			index = get_relname_relid("triples_fact", RelationGetNamespace(triples));
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, columns[FACT_ID], BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(contents[rows[0]].fact_id));
	scan = systable_beginscan(triples, index, OidIsValid(index), snapshot, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(triples);
		bool		isnull;
		int64		triple_id = DatumGetInt64(heap_getattr(tuple, columns[TRIPLE_ID], desc, &isnull));
		TimestampTz recorded = DatumGetTimestampTz(heap_getattr(tuple, columns[RECORDED_AT], desc,
																&isnull));
		TimestampTz expired = DatumGetTimestampTz(heap_getattr(tuple, columns[EXPIRED_AT], desc,
															   &isnull));

		found = current ? expired == DT_NOEND : recorded < expired;
		for (size_t i = 0; found && i < n; i++)
			if (contents[rows[i]].triple_id == triple_id)
				found = false;
	}
	systable_endscan(scan);
	return found;
}

/* the change that these rows of one fact make, NULL for none, and whose ids tell of it */
static const char *
change_of(Relation triples, Snapshot snapshot, const uint32 *rows, size_t n, const Content **of)
{
	Fate		fate = {0};
	size_t		first = 0;

	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || contents[rows[i + 1]].triple_id != contents[rows[i]].triple_id)
		{
			add_row(&fate, &contents[rows[first]], &contents[rows[i]]);
			first = i + 1;
		}
	*of = fate.came != NULL ? fate.came : fate.went != NULL ? fate.went : fate.deleted;
	if (fate.came != NULL && fate.went != NULL)
	{
		if (fate.nwent == 1 && fate.ncame == 1 && fate.went->hash == fate.came->hash)
			return NULL;
		return fate.came->valid_to < fate.went->valid_to ? "closed" :
			fate.came->valid_to > fate.went->valid_to ? "reopened" : "corrected";
	}
	if (fate.came != NULL)
		return fate.known || has_other(triples, snapshot, rows, n, false) ? "reopened" : "added";
	if (fate.went != NULL)
		return fate.deleted == NULL || fate.kept || has_other(triples, snapshot, rows, n, true) ?
			"retracted" : "erased";
	if (fate.deleted != NULL && !fate.left && !has_other(triples, snapshot, rows, n, false))
		return "erased";
	return NULL;
}

/*
 * Messages
 */

static void
send_message(int32 graph_id, const char *change, const Content *of, bool prepare)
{
	char		channel[NAMEDATALEN];
	char		message[MESSAGE_BYTES];

	snprintf(channel, sizeof(channel), "graphmem_%d", graph_id);
	if (prepare)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot prepare a transaction that changed facts of a graph that notifies of changes"),
				 errdetail("The graph's channel is \"%s\".", channel),
				 errhint("End it by COMMIT, or turn notification off by graphmem.set_notify(false) first.")));
	if (of == NULL)
		snprintf(message, sizeof(message), "{\"graph_id\":%d,\"change\":\"%s\"}", graph_id, change);
	else
		snprintf(message, sizeof(message),
				 "{\"graph_id\":%d,\"change\":\"%s\",\"fact_id\":" INT64_FORMAT
				 ",\"triple_id\":" INT64_FORMAT ",\"subject_id\":" INT64_FORMAT
				 ",\"predicate_id\":" INT64_FORMAT ",\"object_id\":" INT64_FORMAT "}",
				 graph_id, change, of->fact_id, of->triple_id, of->subject_id, of->predicate_id,
				 of->object_id);
	Async_Notify(channel, message);
}

static void
send_all_erased(int32 graph_id, bool notifies, void *prepare)
{
	if (notifies)
		send_message(graph_id, "erased", NULL, *(bool *) prepare);
}

static void
keep_nothing(int32 graph_id, bool notifies, void *arg)
{
}

/* of the rows from there on, sorted, those of one graph */
static void
send_graph(Relation triples, Snapshot snapshot, const uint32 *rows, size_t n, bool prepare)
{
	int32		graph_id = contents[rows[0]].graph_id;
	size_t		first = 0;

	if (!each_graph(graph_id, keep_nothing, NULL))
	{
		send_message(graph_id, "erased", NULL, prepare);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || contents[rows[i + 1]].fact_id != contents[rows[i]].fact_id)
		{
			const Content *of;
			const char *change = change_of(triples, snapshot, rows + first, i + 1 - first, &of);

			CHECK_FOR_INTERRUPTS();
			if (change != NULL)
				send_message(graph_id, change, of, prepare);
			first = i + 1;
		}
}

static void
send_rows(size_t from, bool prepare)
{
	size_t		n = count - from;
	uint32	   *rows = MemoryContextAllocHuge(TopTransactionContext, n * sizeof(uint32));
	Relation	triples = table_open(gm_sql_relid("triples"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	size_t		first = 0;

	for (size_t i = 0; i < n; i++)
		rows[i] = (uint32) (from + i);
	qsort(rows, n, sizeof(uint32), by_fact);
	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || contents[rows[i + 1]].graph_id != contents[rows[i]].graph_id)
		{
			send_graph(triples, snapshot, rows + first, i + 1 - first, prepare);
			first = i + 1;
		}
	UnregisterSnapshot(snapshot);
	table_close(triples, AccessShareLock);
	pfree(rows);
}

static void
send_messages(bool prepare)
{
	size_t		from = 0;

	/* the last command's changes are to be seen */
	CommandCounterIncrement();
	if (too_many != InvalidSubTransactionId &&
		(too_many_of == 0 || each_graph(too_many_of, keep_nothing, NULL)))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many facts were changed to notify of"),
				 errdetail("Of graphs that notify, a transaction can insert and delete %zu rows, or update half as many.",
						   NOTIFY_MOST),
				 errhint("Divide it, or turn notification off by graphmem.set_notify(false) first.")));
	for (size_t i = 0; i < count; i++)
		if (contents[i].emptied)
			from = i + 1;
	if (from > 0)
		(void) each_graph(0, send_all_erased, &prepare);
	if (from < count)
		send_rows(from, prepare);
}

/* set_notify(enabled bool, graph text) -> text */
Datum
graphmem_set_notify(PG_FUNCTION_ARGS)
{
	char	   *graph = gm_graph_name(PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1));
	int			level = gm_sql_enter();
	int32		graph_id = gm_graph_for_write(graph);
	Datum		args[2] = {Int32GetDatum(graph_id),
	BoolGetDatum(PG_ARGISNULL(0) || PG_GETARG_BOOL(0))};
	uint64		updated;

	gm_graph_lock(graph_id, true);
	gm_sql_run(&update_settings, args, NULL);
	updated = SPI_processed;
	gm_sql_done();
	gm_sql_leave(level);
	if (updated == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("graph \"%s\" is gone, or cannot be changed by the current role", graph)));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("graphmem_%d", graph_id)));
}
