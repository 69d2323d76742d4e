/*-------------------------------------------------------------------------
 *
 * trigger_memory.c
 *	  INSERT and COPY into the view memory_jsonl, the file of the memory server
 *	  that the Model Context Protocol has as its reference.
 *
 * An entity's line becomes an entity and a fact for each observation, with
 * predicate "observation" and a literal as object; a relation's line becomes a
 * fact.  The file is in the order in which things were added, and so are ids:
 * they are taken as the lines come, while the writer goes by names.
 *
 * The file may hold twice what a graph holds once: an entity, a relation, an
 * observation of an entity.  Lines go through two sorts that bring these
 * together.  The first is the entity or fact; the others are kept in its
 * property "memory_repeats", with the ids that they would have had:
 *	 of a fact		[id, ...]
 *	 of an entity	[{id, kind, first, last}, ...], where observations with ids
 *					from first to last belong to that line
 *
 * Memory	GM_SQL_STORE_KB for each sort, and the writer's
 * Limits	a line must fit a jsonb, its strings 256 MB
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

#include "api/facts.h"
#include "api/names.h"
#include "api/sql.h"
#include "api/statements.h"
#include "compat.h"
#include "core/ntriples.h"

/* columns of an entity's line */
enum
{
	EL_NAME, EL_ID, EL_KIND, EL_FIRST, EL_LAST, EL_COLS
};

/* columns of a fact */
enum
{
	FL_SUBJECT, FL_PREDICATE, FL_OBJECT, FL_TYPE, FL_ID, FL_COLS
};

typedef struct MemoryStatement
{
	GmFactWriter *facts;
	MemoryContext line_context;
	TupleDesc	entity_desc;
	TupleDesc	fact_desc;
	TupleTableSlot *entity_slot;
	TupleTableSlot *fact_slot;
	Tuplesortstate *entities;
	Tuplesortstate *triples;
	text	   *observation;	/* the predicate, and type of its objects */
	text	   *string;
	uint64		line;
} MemoryStatement;

PG_FUNCTION_INFO_V1(graphmem_memory_jsonl_trigger);

static Tuplesortstate *
sort_by(TupleDesc desc, int ntexts, int id)
{
	AttrNumber	columns[5];
	Oid			less[5];
	Oid			collations[5];
	bool		nulls_first[5] = {false};

	for (int i = 0; i < ntexts; i++)
	{
		columns[i] = (AttrNumber) (i + 1);
		less[i] = TextLessOperator;
		collations[i] = C_COLLATION_OID;
	}
	columns[ntexts] = (AttrNumber) (id + 1);
	less[ntexts] = Int8LessOperator;
	collations[ntexts] = InvalidOid;
	return tuplesort_begin_heap(desc, ntexts + 1, columns, less, collations, nulls_first,
								GM_SQL_STORE_KB, NULL, TUPLESORT_NONE);
}

static MemoryStatement *
begin_memory(MemoryContext context)
{
	static const Oid entity[EL_COLS] = {TEXTOID, INT8OID, TEXTOID, INT8OID, INT8OID};
	static const Oid fact[FL_COLS] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID};
	MemoryContext old = MemoryContextSwitchTo(context);
	MemoryStatement *state = palloc0_object(MemoryStatement);

	state->facts = gm_facts_begin(context, gm_graph_name(NULL));
	state->line_context = AllocSetContextCreate(context, "graphmem memory line",
												ALLOCSET_DEFAULT_SIZES);
	state->entity_desc = gm_sql_desc(EL_COLS, entity);
	state->fact_desc = gm_sql_desc(FL_COLS, fact);
	state->entity_slot = MakeSingleTupleTableSlot(state->entity_desc, &TTSOpsVirtual);
	state->fact_slot = MakeSingleTupleTableSlot(state->fact_desc, &TTSOpsVirtual);
	state->entities = sort_by(state->entity_desc, 1, EL_ID);
	state->triples = sort_by(state->fact_desc, 4, FL_ID);
	state->observation = cstring_to_text("observation");
	state->string = cstring_to_text(GM_NT_STRING);
	MemoryContextSwitchTo(old);
	return state;
}

/* ---- lines ---- */

static void
report_line(const MemoryStatement *state, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid memory.jsonl on line %llu", (unsigned long long) state->line),
			 errdetail("%s", detail)));
}

static void
add_line_context(void *arg)
{
	errcontext("memory.jsonl, line %llu", (unsigned long long) ((MemoryStatement *) arg)->line);
}

static text *
json_text(const JsonbValue *value)
{
	return cstring_to_text_with_len(value->val.string.val, value->val.string.len);
}

static text *
text_field(const MemoryStatement *state, Jsonb *line, const char *field)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&line->root, field, (int) strlen(field), NULL);

	if (value == NULL || value->type != jbvString)
		report_line(state, psprintf("Field \"%s\" is %s.", field,
									value == NULL ? "missing" : "no string"));
	return json_text(value);
}

static int64
add_fact(MemoryStatement *state, text *subject, text *predicate, text *object, text *type)
{
	int64		id = gm_sql_next_id(GM_ID_FACT);
	Datum		values[FL_COLS];
	bool		nulls[FL_COLS] = {false};

	values[FL_SUBJECT] = PointerGetDatum(subject);
	values[FL_PREDICATE] = PointerGetDatum(predicate);
	values[FL_OBJECT] = PointerGetDatum(object);
	values[FL_TYPE] = PointerGetDatum(type);
	nulls[FL_TYPE] = type == NULL;
	values[FL_ID] = Int64GetDatum(id);
	gm_sql_put_sorted(state->triples, state->fact_slot, values, nulls);
	return id;
}

static void
take_entity(MemoryStatement *state, Jsonb *line)
{
	text	   *name = text_field(state, line, "name");
	JsonbValue *list = getKeyJsonValueFromContainer(&line->root, "observations", 12, NULL);
	Datum		values[EL_COLS];
	bool		nulls[EL_COLS] = {false};
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	int64		first = 0;
	int64		last = 0;

	if (list == NULL || list->type != jbvBinary ||
		!JsonContainerIsArray(list->val.binary.data))
		report_line(state, list == NULL ? "Field \"observations\" is missing." :
					"Field \"observations\" is no array.");
	values[EL_NAME] = PointerGetDatum(name);
	values[EL_ID] = Int64GetDatum(gm_sql_next_id(GM_ID_ENTITY));
	values[EL_KIND] = PointerGetDatum(text_field(state, line, "entityType"));
	iterator = JsonbIteratorInit(list->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (value.type != jbvString)
			report_line(state, "An element of \"observations\" is no string.");
		last = add_fact(state, name, state->observation, json_text(&value), state->string);
		if (first == 0)
			first = last;
	}
	values[EL_FIRST] = Int64GetDatum(first);
	values[EL_LAST] = Int64GetDatum(last);
	gm_sql_put_sorted(state->entities, state->entity_slot, values, nulls);
}

static void
take_line(MemoryStatement *state, const char *start, size_t len)
{
	char	   *copy = pnstrdup(start, len);
	Jsonb	   *line;
	text	   *type;

	if (strspn(copy, " \t\r\n\f\v") == strlen(copy))
		return;
	line = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(copy)));
	if (!JB_ROOT_IS_OBJECT(line))
		report_line(state, "It is no JSON object.");
	type = text_field(state, line, "type");
	if (VARSIZE_ANY_EXHDR(type) == 6 && memcmp(VARDATA_ANY(type), "entity", 6) == 0)
		take_entity(state, line);
	else if (VARSIZE_ANY_EXHDR(type) == 8 && memcmp(VARDATA_ANY(type), "relation", 8) == 0)
		(void) add_fact(state, text_field(state, line, "from"), text_field(state, line, "relationType"),
						text_field(state, line, "to"), NULL);
	else
		report_line(state, "Field \"type\" is neither \"entity\" nor \"relation\".");
}

static void
take_lines(MemoryStatement *state, text *value)
{
	const char *at = VARDATA_ANY(value);
	const char *end = at + VARSIZE_ANY_EXHDR(value);
	ErrorContextCallback callback;

	callback.callback = add_line_context;
	callback.arg = state;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	do
	{
		const char *newline = memchr(at, '\n', (size_t) (end - at));
		MemoryContext old = MemoryContextSwitchTo(state->line_context);

		CHECK_FOR_INTERRUPTS();
		state->line++;
		take_line(state, at, (size_t) ((newline == NULL ? end : newline) - at));
		MemoryContextSwitchTo(old);
		MemoryContextReset(state->line_context);
		at = newline == NULL ? end : newline + 1;
	} while (at < end);
	error_context_stack = callback.previous;
}

/* ---- writing ---- */

static Jsonb *
finish_repeats(StringInfo repeats)
{
	appendStringInfoString(repeats, "]}");
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(repeats->data)));
}

static void
begin_repeat(StringInfo repeats)
{
	if (repeats->len == 0)
		appendStringInfoString(repeats, "{\"memory_repeats\": [");
	else
		appendStringInfoString(repeats, ", ");
}

static bool
same_datum(Datum a, bool a_null, Datum b, bool b_null)
{
	text	   *x = (text *) DatumGetPointer(a);
	text	   *y = (text *) DatumGetPointer(b);

	if (a_null || b_null)
		return a_null == b_null;
	return VARSIZE_ANY_EXHDR(x) == VARSIZE_ANY_EXHDR(y) &&
		memcmp(VARDATA_ANY(x), VARDATA_ANY(y), VARSIZE_ANY_EXHDR(x)) == 0;
}

static bool
same_texts(const TupleTableSlot *a, const TupleTableSlot *b, int n)
{
	for (int i = 0; i < n; i++)
		if (!same_datum(a->tts_values[i], a->tts_isnull[i], b->tts_values[i], b->tts_isnull[i]))
			return false;
	return true;
}

static void
write_entity(MemoryStatement *state, const TupleTableSlot *first, StringInfo repeats)
{
	gm_facts_entity(state->facts, DatumGetTextPP(first->tts_values[EL_NAME]),
					DatumGetTextPP(first->tts_values[EL_KIND]),
					DatumGetInt64(first->tts_values[EL_ID]),
					repeats->len == 0 ? NULL : finish_repeats(repeats));
}

static void
repeat_entity(MemoryStatement *state, const TupleTableSlot *slot, StringInfo repeats)
{
	begin_repeat(repeats);
	appendStringInfo(repeats, "{\"id\": " INT64_FORMAT ", \"kind\": ",
					 DatumGetInt64(slot->tts_values[EL_ID]));
	escape_json(repeats, TextDatumGetCString(slot->tts_values[EL_KIND]));
	appendStringInfo(repeats, ", \"first\": " INT64_FORMAT ", \"last\": " INT64_FORMAT "}",
					 DatumGetInt64(slot->tts_values[EL_FIRST]),
					 DatumGetInt64(slot->tts_values[EL_LAST]));
}

static void
write_fact(MemoryStatement *state, const TupleTableSlot *first, StringInfo repeats)
{
	GmFact		fact = {0};

	fact.subject = DatumGetTextPP(first->tts_values[FL_SUBJECT]);
	fact.predicate = DatumGetTextPP(first->tts_values[FL_PREDICATE]);
	fact.object = DatumGetTextPP(first->tts_values[FL_OBJECT]);
	if (!first->tts_isnull[FL_TYPE])
		fact.object_type = DatumGetTextPP(first->tts_values[FL_TYPE]);
	fact.fact_id = DatumGetInt64(first->tts_values[FL_ID]);
	if (repeats->len > 0)
		fact.properties = finish_repeats(repeats);
	gm_facts_state(state->facts, &fact);
}

static void
repeat_fact(MemoryStatement *state, const TupleTableSlot *slot, StringInfo repeats)
{
	begin_repeat(repeats);
	appendStringInfo(repeats, INT64_FORMAT, DatumGetInt64(slot->tts_values[FL_ID]));
}

/* Equal ones are neighbours, the first of the file first. */
static void
write_sorted(MemoryStatement *state, Tuplesortstate *sort, TupleDesc desc, int ntexts,
			 void (*repeat) (MemoryStatement *, const TupleTableSlot *, StringInfo),
			 void (*write) (MemoryStatement *, const TupleTableSlot *, StringInfo))
{
	TupleTableSlot *first = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	StringInfoData repeats;
	bool		any = false;
	bool		more;

	initStringInfo(&repeats);
	tuplesort_performsort(sort);
	do
	{
		CHECK_FOR_INTERRUPTS();
		more = tuplesort_gettupleslot(sort, true, false, slot, NULL);
		if (more)
			slot_getallattrs(slot);
		if (more && any && same_texts(first, slot, ntexts))
		{
			repeat(state, slot, &repeats);
			continue;
		}
		if (any)
		{
			MemoryContext old = MemoryContextSwitchTo(state->line_context);

			write(state, first, &repeats);
			MemoryContextSwitchTo(old);
			MemoryContextReset(state->line_context);
		}
		if (more)
		{
			ExecCopySlot(first, slot);
			slot_getallattrs(first);
			resetStringInfo(&repeats);
			any = true;
		}
	} while (more);
	ExecDropSingleTupleTableSlot(first);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
	pfree(repeats.data);
}

Datum
graphmem_memory_jsonl_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = gm_statement_trigger(fcinfo);
	GmStatement *statement;
	MemoryStatement *state;

	gm_statement_insert_only(trigger);
	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
	{
		statement = gm_statement_open(trigger);
		statement->state = begin_memory(statement->context);
		return PointerGetDatum(NULL);
	}
	statement = gm_statement_find(trigger);
	state = statement->state;
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
	{
		bool		isnull;
		Datum		value = heap_getattr(trigger->tg_trigtuple, 1,
										 RelationGetDescr(trigger->tg_relation), &isnull);

		if (isnull)
			state->line++;
		else
			take_lines(state, DatumGetTextPP(value));
		return PointerGetDatum(gm_statement_inserted(trigger));
	}
	write_sorted(state, state->entities, state->entity_desc, 1, repeat_entity, write_entity);
	write_sorted(state, state->triples, state->fact_desc, 4, repeat_fact, write_fact);
	(void) gm_facts_finish(state->facts);
	gm_statement_close(statement);
	return PointerGetDatum(NULL);
}
