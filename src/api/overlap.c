/*-------------------------------------------------------------------------
 *
 * overlap.c
 *	  No two open versions of one fact are valid at the same time, nor of one
 *	  subject and functional predicate.
 *
 * The check is a constraint's, so it reads the index itself and sees rows
 * that row security hides; like a unique index it tells that there is such a
 * row and not what is in it.
 *
 * A timeline of a functional predicate may be long.  Its other versions do not
 * overlap each other, so those that can overlap the given one are found by
 * walking its index back from the end of the validity until one begins before
 * its start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "api/overlap.h"
#include "api/sql.h"

struct GmOverlap
{
	Relation	triples;
	Oid			index;
	Relation	timeline;		/* index, opened when needed */
	AttrNumber	terms[3];
	AttrNumber	valid_from;
	AttrNumber	valid_to;
	AttrNumber	expired_at;
	bool		before;			/* the version is still to be written */
};

GmOverlap *
gm_overlap_begin(void)
{
	static const char *const terms[] = {"subject_id", "predicate_id", "object_id"};
	GmOverlap  *overlap = palloc_object(GmOverlap);
	Oid			relid = gm_sql_relid("triples");

	overlap->triples = table_open(relid, RowExclusiveLock);
	overlap->index = gm_sql_relid("triples_spo");
	overlap->timeline = NULL;
	overlap->before = false;
	for (int i = 0; i < 3; i++)
		overlap->terms[i] = get_attnum(relid, terms[i]);
	overlap->valid_from = get_attnum(relid, "valid_from");
	overlap->valid_to = get_attnum(relid, "valid_to");
	overlap->expired_at = get_attnum(relid, "expired_at");
	return overlap;
}

void
gm_overlap_end(GmOverlap *overlap)
{
	if (overlap->timeline != NULL)
		index_close(overlap->timeline, NoLock);
	table_close(overlap->triples, NoLock);
	pfree(overlap);
}

static TimestampTz
time_of(const GmOverlap *overlap, HeapTuple tuple, AttrNumber column)
{
	bool		isnull;

	return DatumGetTimestampTz(heap_getattr(tuple, column,
											RelationGetDescr(overlap->triples), &isnull));
}

static void
wait_for(const GmOverlap *overlap, TransactionId xid, uint32 token, ItemPointer tid)
{
	if (token != 0)
		SpeculativeInsertionWait(xid, token);
	else
		XactLockTableWait(xid, overlap->triples, tid, XLTW_RecheckExclusionConstr);
}

/*
 * Committed, but after the snapshot of a transaction that keeps one: running
 * it again then helps, and not otherwise.
 */
static bool
is_unseen(HeapTuple tuple)
{
	TransactionId xmin = HeapTupleHeaderGetXmin(tuple->t_data);

	return IsolationUsesXactSnapshot() && !HeapTupleHeaderXminFrozen(tuple->t_data) &&
		!TransactionIdIsCurrentTransactionId(xmin) &&
		XidInMVCCSnapshot(xmin, GetTransactionSnapshot());
}

static void
report_unseen(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to a concurrent version of the same fact"),
			 errhint("Run the transaction again.")));
}

static void
report_overlap(TimestampTz from, TimestampTz to)
{
	ereport(ERROR,
			(errcode(ERRCODE_EXCLUSION_VIOLATION),
			 errmsg("validity overlaps another version of the same fact"),
			 errdetail("Given was %s.", gm_interval_text(from, to)),
			 errhint("Change the validity of the other version in graphmem.facts, or state a validity that lies inside or outside it.")));
}

static void
report_rival(TimestampTz from, TimestampTz to)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("functional predicate has another object at the same time"),
			 errdetail("Given was %s.", gm_interval_text(from, to)),
			 errhint("graphmem.history() shows what is there; graphmem.supersede() puts another object in its place, graphmem.retract() takes it back.")));
}

/* False if a transaction in progress had to be waited for. */
static bool
check_once(GmOverlap *overlap, ScanKey keys, TimestampTz from, TimestampTz to)
{
	SnapshotData dirty;
	SysScanDesc scan;
	HeapTuple	tuple;

	InitDirtySnapshot(dirty);
	scan = systable_beginscan(overlap->triples, overlap->index, true, &dirty, 3, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TimestampTz other_from = time_of(overlap, tuple, overlap->valid_from);
		TransactionId xid;
		uint32		token;
		ItemPointerData tid;

		if ((other_from == from && !overlap->before) || other_from >= to ||
			time_of(overlap, tuple, overlap->valid_to) <= from ||
			time_of(overlap, tuple, overlap->expired_at) != DT_NOEND)
			continue;
		xid = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
		if (!TransactionIdIsValid(xid))
		{
			if (is_unseen(tuple))
				report_unseen();
			if (overlap->before)
				continue;
			report_overlap(from, to);
		}
		token = TransactionIdIsValid(dirty.xmin) ? dirty.speculativeToken : 0;
		tid = tuple->t_self;
		systable_endscan(scan);
		wait_for(overlap, xid, token, &tid);
		return false;
	}
	systable_endscan(scan);
	return true;
}

/* True if it had to wait. */
static bool
check_fact(GmOverlap *overlap, int64 subject, int64 predicate, int64 object,
		   TimestampTz from, TimestampTz to)
{
	int64		terms[3] = {subject, predicate, object};
	bool		waited = false;

	for (;;)
	{
		ScanKeyData keys[3];

		/* the scan rewrites them to the index's columns */
		for (int i = 0; i < 3; i++)
			ScanKeyInit(&keys[i], overlap->terms[i], BTEqualStrategyNumber, F_INT8EQ,
						Int64GetDatum(terms[i]));
		if (check_once(overlap, keys, from, to))
			return waited;
		waited = true;
		CHECK_FOR_INTERRUPTS();
	}
}

/* As check_once, by the timeline's index. */
static bool
check_timeline_once(GmOverlap *overlap, ScanKey keys, int64 object, TimestampTz from,
					TimestampTz to)
{
	SnapshotData dirty;
	SysScanDesc scan;
	HeapTuple	tuple;

	InitDirtySnapshot(dirty);
	scan = systable_beginscan_ordered(overlap->triples, overlap->timeline, &dirty, 3, keys);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)))
	{
		TimestampTz other_from = time_of(overlap, tuple, overlap->valid_from);
		TimestampTz other_to = time_of(overlap, tuple, overlap->valid_to);
		bool		isnull;
		bool		same = DatumGetInt64(heap_getattr(tuple, overlap->terms[2],
													  RelationGetDescr(overlap->triples),
													  &isnull)) == object;
		TransactionId xid;
		uint32		token;
		ItemPointerData tid;

		if (same && other_from == from && !overlap->before)
			continue;
		if (other_to <= from)
		{
			/* what begins earlier still ends before this one begins */
			if (TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax))
				continue;
			break;
		}
		xid = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
		if (!TransactionIdIsValid(xid))
		{
			if (is_unseen(tuple))
				report_unseen();
			if (overlap->before)
				continue;
			if (same)
				report_overlap(from, to);
			report_rival(from, to);
		}
		token = TransactionIdIsValid(dirty.xmin) ? dirty.speculativeToken : 0;
		tid = tuple->t_self;
		systable_endscan_ordered(scan);
		wait_for(overlap, xid, token, &tid);
		return false;
	}
	systable_endscan_ordered(scan);
	return true;
}

static bool
check_timeline(GmOverlap *overlap, int64 subject, int64 predicate, int64 object,
			   TimestampTz from, TimestampTz to)
{
	bool		waited = false;

	if (overlap->timeline == NULL)
		overlap->timeline = index_open(gm_sql_relid("triples_timeline"), AccessShareLock);
	for (;;)
	{
		ScanKeyData keys[3];

		ScanKeyInit(&keys[0], overlap->terms[0], BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(subject));
		ScanKeyInit(&keys[1], overlap->terms[1], BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(predicate));
		ScanKeyInit(&keys[2], overlap->valid_from, BTLessStrategyNumber, F_TIMESTAMPTZ_LT,
					TimestampTzGetDatum(to));
		if (check_timeline_once(overlap, keys, object, from, to))
			return waited;
		waited = true;
		CHECK_FOR_INTERRUPTS();
	}
}

void
gm_overlap_check(GmOverlap *overlap, bool functional, int64 subject, int64 predicate,
				 int64 object, TimestampTz from, TimestampTz to)
{
	overlap->before = false;
	(void) (functional ? check_timeline : check_fact) (overlap, subject, predicate, object, from, to);
}

bool
gm_overlap_wait(GmOverlap *overlap, bool functional, int64 subject, int64 predicate,
				int64 object, TimestampTz from, TimestampTz to)
{
	overlap->before = true;
	return (functional ? check_timeline : check_fact) (overlap, subject, predicate, object, from, to);
}

char *
gm_interval_text(TimestampTz from, TimestampTz to)
{
	char	   *start = pstrdup(from == DT_NOBEGIN ? "-infinity" : timestamptz_to_str(from));

	return psprintf("[%s, %s)", start, to == DT_NOEND ? "infinity" : timestamptz_to_str(to));
}
