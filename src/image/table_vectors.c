/*-------------------------------------------------------------------------
 *
 * table_vectors.c
 *	  Vectors that an image leaves to the table: see table_vectors.h.
 *
 * The primary key's index is looked into item by item, without a statement: no
 * plan can go wrong with the table's size, and a vector costs little more than
 * its own reading.  An image has the rows that the snapshot sees, so that what
 * is asked for is there; what is not all the same (the table was changed
 * behind its triggers) is reported as missing.
 *
 * core/ must not be left by an error, so those end here and are raised again
 * by gm_error_check.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "error.h"
#include "image/fetch.h"
#include "image/table_vectors.h"

static bool
is_column(Relation rel, AttrNumber attno, const char *name)
{
	return attno > 0 &&
		strcmp(NameStr(TupleDescAttr(RelationGetDescr(rel), attno - 1)->attname), name) == 0;
}

static Relation
open_key(Relation rel)
{
	Oid			oid = gm_compat_primary_key(rel);
	Relation	key = OidIsValid(oid) ? index_open(oid, AccessShareLock) : NULL;

	if (key == NULL || key->rd_index->indnkeyatts != 2 ||
		!is_column(rel, key->rd_index->indkey.values[0], "space_id") ||
		!is_column(rel, key->rd_index->indkey.values[1], "item_id"))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has not the primary key that vectors are read by",
						RelationGetRelationName(rel)),
				 errdetail("Its columns are \"space_id\" and \"item_id\".")));
	return key;
}

/* false: of another dimension, which no image has */
static bool
take_vector(Relation rel, TupleTableSlot *slot, uint32_t dim, float *vector)
{
	bool		should_free;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
	GmRowView	view;
	GmRow		row;

	gm_row_view(rel, GM_TABLE_EMBEDDINGS, tuple, &view);
	(void) gm_row_from_view(GM_TABLE_EMBEDDINGS, &view, SIZE_MAX, &row);
	if (row.u.embedding.vector == NULL || row.u.embedding.dim != dim)
		return false;
	memcpy(vector, row.u.embedding.vector, dim * sizeof(float));
	return true;
}

static void
read_items(int32 space_id, const int64_t *item_id, uint32_t n, uint32_t dim, float *vectors,
		   bool *there)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "graphmem vectors",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	Oid			relid = gm_row_relid(GM_TABLE_EMBEDDINGS);
	Relation	rel = table_open(relid, AccessShareLock);
	Relation	key = open_key(rel);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	IndexScanDesc scan = gm_compat_index_beginscan(rel, key, GetActiveSnapshot(), 2);
	ScanKeyData keys[2];

	if (gm_row_table(rel) != GM_TABLE_EMBEDDINGS)
		elog(ERROR, "table of vectors has another oid than %u", relid);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(space_id));
	for (uint32_t i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(item_id[i]));
		index_rescan(scan, keys, 2, NULL, 0);
		there[i] = index_getnext_slot(scan, ForwardScanDirection, slot);
		if (!there[i])
			continue;
		MemoryContextSwitchTo(context);
		there[i] = take_vector(rel, slot, dim, vectors + (size_t) i * dim);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(key, NoLock);
	table_close(rel, NoLock);
	MemoryContextDelete(context);
}

static GmStatus
read_vectors(void *arg, const int64_t *item_id, uint32_t n, uint32_t dim, float *vectors,
			 bool *there)
{
	MemoryContext old = CurrentMemoryContext;
	volatile GmStatus status = GM_OK;

	PG_TRY();
	{
		read_items((int32) (intptr_t) arg, item_id, n, dim, vectors, there);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		gm_error_keep();
		status = GM_INTERRUPTED;
	}
	PG_END_TRY();
	return status;
}

GmSpaceTable
gm_table_of_space(int32_t space_id)
{
	return (GmSpaceTable) {read_vectors, (void *) (intptr_t) space_id};
}
