/*-------------------------------------------------------------------------
 *
 * entities.c
 *	  Properties that entities get with the facts of one statement.
 *
 * Memory	GM_SQL_STORE_KB for each of a store and a sort, and a round
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

#include "api/entities.h"
#include "api/sql.h"
#include "compat.h"

/* columns of a change; the first is a name number, then an id */
enum
{
	EN_ENTITY, EN_ORDER, EN_WANTED, EN_PROPERTIES, EN_COLS
};

struct GmEntityChanges
{
	MemoryContext context;
	MemoryContext round;
	TupleDesc	desc;
	Tuplestorestate *store;
	int64		count;
};

static GmSql merge_properties = {
	"UPDATE graphmem.entities AS t SET properties = t.properties OPERATOR(pg_catalog.||) u.j"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u(e, j)"
	" WHERE t.entity_id" GM_EQ "u.e"
	" AND NOT t.properties OPERATOR(pg_catalog.||) u.j" GM_EQ "t.properties",
	2, {INT8ARRAYOID, JSONBARRAYOID}
};

GmEntityChanges *
gm_entity_changes_begin(MemoryContext parent)
{
	static const Oid types[EN_COLS] = {INT8OID, INT8OID, INT8OID, JSONBOID};
	MemoryContext context = AllocSetContextCreate(parent, "graphmem entity changes",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	GmEntityChanges *changes = palloc0_object(GmEntityChanges);

	changes->context = context;
	changes->round = AllocSetContextCreate(context, "graphmem entity changes round",
										   ALLOCSET_DEFAULT_SIZES);
	changes->desc = gm_sql_desc(EN_COLS, types);
	changes->store = tuplestore_begin_heap(false, false, GM_SQL_STORE_KB);
	MemoryContextSwitchTo(old);
	return changes;
}

void
gm_entity_changes_add(GmEntityChanges *changes, uint32 number, int64 wanted, Jsonb *properties)
{
	Datum		values[EN_COLS];
	bool		nulls[EN_COLS] = {false};

	values[EN_ENTITY] = Int64GetDatum((int64) number);
	values[EN_ORDER] = Int64GetDatum(changes->count++);
	values[EN_WANTED] = Int64GetDatum(wanted);
	values[EN_PROPERTIES] = JsonbPGetDatum(properties);
	tuplestore_putvalues(changes->store, changes->desc, values, nulls);
}

static void
write_batch(GmEntityChanges *changes, Datum *entities, Datum *properties, int n)
{
	Datum		args[2];

	if (n == 0)
		return;
	args[0] = gm_sql_array(INT8OID, entities, NULL, n);
	args[1] = gm_sql_array(JSONBOID, properties, NULL, n);
	gm_sql_run(&merge_properties, args, NULL);
	gm_sql_done();
}

static Tuplesortstate *
sort_changes(GmEntityChanges *changes, const GmNamePool *pool)
{
	Tuplesortstate *sort = gm_sql_sort(changes->desc, 2);
	TupleTableSlot *from = MakeSingleTupleTableSlot(changes->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *to = MakeSingleTupleTableSlot(changes->desc, &TTSOpsVirtual);

	while (tuplestore_gettupleslot(changes->store, true, false, from))
	{
		Datum		values[EN_COLS];
		bool		nulls[EN_COLS] = {false};
		int64		id;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(from);
		memcpy(values, from->tts_values, sizeof(values));
		id = gm_names_id(pool, (uint32) DatumGetInt64(values[EN_ENTITY]));
		if (DatumGetInt64(values[EN_WANTED]) != 0 && DatumGetInt64(values[EN_WANTED]) != id)
			continue;
		values[EN_ENTITY] = Int64GetDatum(id);
		gm_sql_put_sorted(sort, to, values, nulls);
	}
	ExecDropSingleTupleTableSlot(from);
	ExecDropSingleTupleTableSlot(to);
	tuplestore_end(changes->store);
	tuplesort_performsort(sort);
	return sort;
}

/* An update changes a row once, so an entity's next change begins a batch. */
void
gm_entity_changes_write(GmEntityChanges *changes, const GmNamePool *pool)
{
	MemoryContext old = MemoryContextSwitchTo(changes->context);
	Tuplesortstate *sort = sort_changes(changes, pool);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(changes->desc, &TTSOpsMinimalTuple);
	Datum	   *entities = palloc_array(Datum, GM_SQL_BATCH_ROWS);
	Datum	   *properties = palloc_array(Datum, GM_SQL_BATCH_ROWS);
	uint64		bytes = 0;
	int			n = 0;

	MemoryContextSwitchTo(changes->round);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		slot_getallattrs(slot);
		if (n == GM_SQL_BATCH_ROWS || bytes > GM_SQL_BATCH_BYTES ||
			(n > 0 && entities[n - 1] == slot->tts_values[EN_ENTITY]))
		{
			write_batch(changes, entities, properties, n);
			n = 0;
			bytes = 0;
			MemoryContextReset(changes->round);
		}
		entities[n] = slot->tts_values[EN_ENTITY];
		properties[n] = datumCopy(slot->tts_values[EN_PROPERTIES], false, -1);
		bytes += VARSIZE_ANY(DatumGetPointer(properties[n]));
		n++;
	}
	write_batch(changes, entities, properties, n);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(changes->context);
}
