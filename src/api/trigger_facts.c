/*-------------------------------------------------------------------------
 *
 * trigger_facts.c
 *	  INSERT, COPY, UPDATE and DELETE on the views facts and vectors.
 *
 * Each view has a BEFORE STATEMENT trigger that opens a writer, an INSTEAD OF
 * ROW trigger that hands it the rows, and an AFTER STATEMENT trigger that
 * makes it write.  One C function serves them all; the writer of a statement
 * is its state (statements.h).
 *
 * Limits	no RETURNING of ids, since rows are written after the last one;
 *			under session_replication_role = replica the server fires none of
 *			these triggers and such statements do nothing
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "api/facts.h"
#include "api/names.h"
#include "api/statements.h"
#include "api/vectors.h"
#include "compat.h"

/* the columns of graphmem.facts, in order */
enum
{
	F_SUBJECT, F_PREDICATE, F_OBJECT, F_SOURCE, F_CONFIDENCE, F_VALID_FROM, F_VALID_TO,
	F_PROPERTIES, F_SUBJECT_KIND, F_OBJECT_KIND, F_OBJECT_TYPE, F_SOURCES, F_FACT_ID,
	F_TRIPLE_ID, F_COLS
};

/* the columns of graphmem.vectors, in order */
enum
{
	V_ITEM, V_EMBEDDING, V_SPACE, V_TARGET, V_ITEM_ID, V_COLS
};

PG_FUNCTION_INFO_V1(graphmem_facts_trigger);
PG_FUNCTION_INFO_V1(graphmem_vectors_trigger);

/* ---- facts ---- */

static text *
text_or_null(const Datum *values, const bool *nulls, int col)
{
	return nulls[col] ? NULL : DatumGetTextPP(values[col]);
}

static void
state_fact(GmFactWriter *writer, const Datum *values, const bool *nulls)
{
	GmFact		fact = {0};

	fact.subject = text_or_null(values, nulls, F_SUBJECT);
	fact.predicate = text_or_null(values, nulls, F_PREDICATE);
	fact.object = text_or_null(values, nulls, F_OBJECT);
	fact.source = text_or_null(values, nulls, F_SOURCE);
	fact.sources = nulls[F_SOURCES] ? NULL : DatumGetArrayTypeP(values[F_SOURCES]);
	fact.subject_kind = text_or_null(values, nulls, F_SUBJECT_KIND);
	fact.object_kind = text_or_null(values, nulls, F_OBJECT_KIND);
	fact.object_type = text_or_null(values, nulls, F_OBJECT_TYPE);
	fact.properties = nulls[F_PROPERTIES] ? NULL : DatumGetJsonbP(values[F_PROPERTIES]);
	fact.has_confidence = !nulls[F_CONFIDENCE];
	if (fact.has_confidence)
		fact.confidence = DatumGetFloat4(values[F_CONFIDENCE]);
	fact.has_from = !nulls[F_VALID_FROM];
	if (fact.has_from)
		fact.valid_from = DatumGetTimestampTz(values[F_VALID_FROM]);
	fact.has_to = !nulls[F_VALID_TO];
	if (fact.has_to)
		fact.valid_to = DatumGetTimestampTz(values[F_VALID_TO]);
	gm_facts_state(writer, &fact);
}

static bool
unchanged(const TupleDesc desc, int col, const Datum *old, const bool *old_nulls,
		  const Datum *new, const bool *new_nulls)
{
	Form_pg_attribute att = TupleDescAttr(desc, col);

	if (old_nulls[col] || new_nulls[col])
		return old_nulls[col] == new_nulls[col];
	return datum_image_eq(old[col], new[col], att->attbyval, att->attlen);
}

static void
change_fact(GmFactWriter *writer, TupleDesc desc, const Datum *old, const bool *old_nulls,
			const Datum *new, const bool *new_nulls)
{
	GmFactChange change;
	bool		changed = false;

	for (int col = 0; col < F_COLS; col++)
	{
		if (unchanged(desc, col, old, old_nulls, new, new_nulls))
			continue;
		changed = true;
		if (col != F_CONFIDENCE && col != F_VALID_FROM && col != F_VALID_TO &&
			col != F_PROPERTIES)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of a fact cannot be updated",
							NameStr(TupleDescAttr(desc, col)->attname)),
					 col == F_SOURCE || col == F_SOURCES ?
					 errhint("Insert the fact again with a source to add that, delete its row in graphmem.assertions to take it away.") :
					 errhint("Close this fact by setting valid_to and insert the new one.")));
	}
	if (!changed)
		return;
	change.fact_id = DatumGetInt64(old[F_FACT_ID]);
	change.triple_id = DatumGetInt64(old[F_TRIPLE_ID]);
	change.confidence = new_nulls[F_CONFIDENCE] ? 1.0f : DatumGetFloat4(new[F_CONFIDENCE]);
	change.valid_from = new_nulls[F_VALID_FROM] ? DT_NOBEGIN :
		DatumGetTimestampTz(new[F_VALID_FROM]);
	change.valid_to = new_nulls[F_VALID_TO] ? DT_NOEND : DatumGetTimestampTz(new[F_VALID_TO]);
	change.properties = new_nulls[F_PROPERTIES] ? NULL : DatumGetJsonbP(new[F_PROPERTIES]);
	gm_facts_change(writer, &change);
}

static HeapTuple
take_fact(GmStatement *statement, const TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Datum		values[F_COLS];
	bool		nulls[F_COLS];
	Datum		new_values[F_COLS];
	bool		new_nulls[F_COLS];

	if (desc->natts != F_COLS)
		elog(ERROR, "unexpected columns of view \"facts\"");
	heap_deform_tuple(trigger->tg_trigtuple, desc, values, nulls);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		state_fact(statement->state, values, nulls);
		return gm_statement_inserted(trigger);
	}
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		gm_facts_erase(statement->state, DatumGetInt64(values[F_FACT_ID]));
		return trigger->tg_trigtuple;
	}
	heap_deform_tuple(trigger->tg_newtuple, desc, new_values, new_nulls);
	/* the view shows an open end as NULL */
	if (!new_nulls[F_VALID_FROM] && DatumGetTimestampTz(new_values[F_VALID_FROM]) == DT_NOBEGIN)
		new_nulls[F_VALID_FROM] = true;
	if (!new_nulls[F_VALID_TO] && DatumGetTimestampTz(new_values[F_VALID_TO]) == DT_NOEND)
		new_nulls[F_VALID_TO] = true;
	change_fact(statement->state, desc, values, nulls, new_values, new_nulls);
	return trigger->tg_newtuple;
}

Datum
graphmem_facts_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = gm_statement_trigger(fcinfo);
	GmStatement *statement;

	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
	{
		statement = gm_statement_open(trigger);
		statement->state = gm_facts_begin(statement->context, gm_graph_name(NULL));
		return PointerGetDatum(NULL);
	}
	statement = gm_statement_find(trigger);
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return PointerGetDatum(take_fact(statement, trigger));
	(void) gm_facts_finish(statement->state);
	gm_statement_close(statement);
	return PointerGetDatum(NULL);
}

/* ---- vectors ---- */

static HeapTuple
take_vector(GmStatement *statement, const TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Datum		values[V_COLS];
	bool		nulls[V_COLS];
	Datum		new_values[V_COLS];
	bool		new_nulls[V_COLS];

	if (desc->natts != V_COLS)
		elog(ERROR, "unexpected columns of view \"vectors\"");
	heap_deform_tuple(trigger->tg_trigtuple, desc, values, nulls);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		gm_vectors_put(statement->state, text_or_null(values, nulls, V_ITEM),
					   nulls[V_EMBEDDING] ? NULL : DatumGetArrayTypeP(values[V_EMBEDDING]),
					   text_or_null(values, nulls, V_SPACE),
					   text_or_null(values, nulls, V_TARGET));
		return gm_statement_inserted(trigger);
	}
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		gm_vectors_by_id(statement->state, DatumGetInt64(values[V_ITEM_ID]), NULL, NULL,
						 text_or_null(values, nulls, V_SPACE));
		return trigger->tg_trigtuple;
	}
	heap_deform_tuple(trigger->tg_newtuple, desc, new_values, new_nulls);
	for (int col = 0; col < V_COLS; col++)
		if (col != V_EMBEDDING && !unchanged(desc, col, values, nulls, new_values, new_nulls))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of a vector cannot be updated",
							NameStr(TupleDescAttr(desc, col)->attname)),
					 errhint("Delete this vector and insert the new one.")));
	if (new_nulls[V_EMBEDDING])
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("vector of \"%s\" must not be null",
						nulls[V_ITEM] ? "?" : TextDatumGetCString(values[V_ITEM]))));
	gm_vectors_by_id(statement->state, DatumGetInt64(values[V_ITEM_ID]),
					 text_or_null(values, nulls, V_ITEM),
					 DatumGetArrayTypeP(new_values[V_EMBEDDING]),
					 text_or_null(values, nulls, V_SPACE));
	return trigger->tg_newtuple;
}

Datum
graphmem_vectors_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = gm_statement_trigger(fcinfo);
	GmStatement *statement;

	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
	{
		statement = gm_statement_open(trigger);
		statement->state = gm_vectors_begin(statement->context, gm_graph_name(NULL),
											  TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? GM_VECTOR_PUT :
											  TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? GM_VECTOR_CHANGE :
											  GM_VECTOR_REMOVE);
		return PointerGetDatum(NULL);
	}
	statement = gm_statement_find(trigger);
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return PointerGetDatum(take_vector(statement, trigger));
	(void) gm_vectors_finish(statement->state);
	gm_statement_close(statement);
	return PointerGetDatum(NULL);
}
