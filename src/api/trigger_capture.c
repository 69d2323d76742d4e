/*-------------------------------------------------------------------------
 *
 * trigger_capture.c
 *	  Triggers that note every change to the tables that images are made of.
 *
 * A row trigger, because logical replication fires no others, and ENABLE
 * ALWAYS, because replicated and restored rows count too.  What it costs:
 * test/bench/run.sh sync.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "api/notify.h"
#include "compat.h"
#include "integrity.h"
#include "image/call.h"
#include "image/fetch.h"
#include "shm/capture.h"

PG_FUNCTION_INFO_V1(graphmem_capture_row);
PG_FUNCTION_INFO_V1(graphmem_capture_truncate);

static GmTable
captured_table(const TriggerData *trigger)
{
	GmTable		table = gm_row_table(trigger->tg_relation);

	if (table == GM_TABLE_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("table \"%s\" is not part of graphs",
						RelationGetRelationName(trigger->tg_relation))));
	return table;
}

/*
 * Vectors of computed spaces come by the hundred thousand, in transactions of
 * which each must leave its bytes in the queue for readers whose snapshot is
 * older (shm/queue.h): so their places go there, never they themselves.
 */
static bool
carries(GmTable table)
{
	return table != GM_TABLE_TOPOLOGY && gm_capture_carries();
}

/* the row of a tuple; its place, if only the row's key is kept, else NULL */
static const GmPlace *
describe(Relation rel, GmTable table, HeapTuple tuple, const GmRowView *view, GmRow *row,
		 GmPlace *place)
{
	if (!carries(table))
		gm_row_key_from_tuple(rel, table, tuple, row);
	else if (gm_row_from_view(table, view, GM_CAPTURE_CONTENT, row))
		return NULL;
	gm_place_of_tuple(rel, tuple, row, place);
	return place;
}

/* not HeapTupleHeaderGetCmin, which asserts that COPY FREEZE was not used */
static CommandId
inserted_by(HeapTuple tuple)
{
	if ((tuple->t_data->t_infomask & HEAP_COMBOCID) != 0)
		return HeapTupleHeaderGetCmin(tuple->t_data);
	return HeapTupleHeaderGetRawCommandId(tuple->t_data);
}

/* also of what images do not keep */
static void
tell_listeners(Relation rel, GmTable table, int32 graph_id, HeapTuple before, HeapTuple after,
			   CommandId cid)
{
	if (table == GM_TABLE_TRIPLES)
		gm_notify_row(rel, graph_id, before, after, cid);
	else if (table == GM_TABLE_GRAPHS)
		gm_notify_graphs();
}

static bool
goes_with_space(Relation rel, HeapTuple tuple)
{
	GmRow		row;

	gm_row_key_from_tuple(rel, GM_TABLE_TOPOLOGY, tuple, &row);
	return gm_integrity_space_goes(row.u.embedding.space_id);
}

/* of topology_vectors, that an entity has no vector: nothing that images keep */
static bool
says_none(Relation rel, GmTable table, HeapTuple tuple)
{
	return table == GM_TABLE_TOPOLOGY && HeapTupleHasNulls(tuple) &&
		gm_row_has_no_vector(rel, tuple);
}

static void
capture_one(Relation rel, GmTable table, HeapTuple tuple, bool inserted)
{
	GmRowView	view;
	GmRow		row;
	GmPlace		at;
	const GmPlace *place;
	CommandId	cid = inserted ? inserted_by(tuple) : HeapTupleHeaderGetCmax(tuple->t_data);

	gm_call_wrote();
	if (says_none(rel, table, tuple) ||
		(!inserted && table == GM_TABLE_TOPOLOGY && goes_with_space(rel, tuple)))
		return;
	if (gm_capture_carries())
		gm_row_view(rel, table, tuple, &view);
	place = describe(rel, table, tuple, &view, &row, &at);
	tell_listeners(rel, table, row.graph_id, inserted ? NULL : tuple, inserted ? tuple : NULL, cid);
	if (inserted)
		gm_capture_row(NULL, NULL, &row, place, cid);
	else
		gm_capture_row(&row, place, NULL, NULL, cid);
}

static void
capture_update(Relation rel, GmTable table, HeapTuple before, HeapTuple after)
{
	CommandId	cid = inserted_by(after);
	GmRowView	old_view;
	GmRowView	new_view;
	GmRow		old_row;
	GmRow		new_row;
	GmPlace		old_at;
	GmPlace		new_at;
	const GmPlace *old_place;
	const GmPlace *new_place;
	int64		old_key[2];
	int64		new_key[2];

	if (says_none(rel, table, before) || says_none(rel, table, after))
	{
		capture_one(rel, table, before, false);
		capture_one(rel, table, after, true);
		return;
	}
	gm_call_wrote();
	gm_row_view(rel, table, before, &old_view);
	gm_row_view(rel, table, after, &new_view);
	tell_listeners(rel, table, DatumGetInt32(new_view.value[0]), before, after, cid);
	if (gm_row_view_same(table, &old_view, &new_view))
		return;
	old_place = describe(rel, table, before, &old_view, &old_row, &old_at);
	new_place = describe(rel, table, after, &new_view, &new_row, &new_at);
	gm_row_key(&old_row, old_key);
	gm_row_key(&new_row, new_key);
	if (old_row.graph_id == new_row.graph_id && old_key[0] == new_key[0] &&
		old_key[1] == new_key[1])
		gm_capture_row(&old_row, old_place, &new_row, new_place, cid);
	else
	{
		gm_capture_row(&old_row, old_place, NULL, NULL, cid);
		gm_capture_row(NULL, NULL, &new_row, new_place, cid);
	}
}

Datum
graphmem_capture_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	GmTable		table;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("capture_change() must be fired after a row changed")));
	if (IsBinaryUpgrade)
		return PointerGetDatum(NULL);
	table = captured_table(trigger);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		capture_update(trigger->tg_relation, table, trigger->tg_trigtuple,
					   trigger->tg_newtuple);
	else
		capture_one(trigger->tg_relation, table, trigger->tg_trigtuple,
					TRIGGER_FIRED_BY_INSERT(trigger->tg_event));
	return PointerGetDatum(NULL);
}

Datum
graphmem_capture_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	GmTable		table;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("capture_truncate() must be fired by TRUNCATE")));
	if (IsBinaryUpgrade)
		return PointerGetDatum(NULL);
	table = captured_table(trigger);
	if (table == GM_TABLE_TRIPLES)
		gm_notify_emptied();
	else if (table == GM_TABLE_GRAPHS)
		gm_notify_graphs();
	gm_capture_all(table);
	return PointerGetDatum(NULL);
}
