/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  Result rows of the reading functions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/rows.h"

void
gm_rows_begin(FunctionCallInfo fcinfo, GmRows *rows)
{
	InitMaterializedSRF(fcinfo, 0);
	rows->result = (ReturnSetInfo *) fcinfo->resultinfo;
	rows->columns = rows->result->setDesc->natts;
	rows->values = palloc0(rows->columns * sizeof(Datum));
	rows->nulls = palloc0(rows->columns * sizeof(bool));
	rows->row_context = AllocSetContextCreate(CurrentMemoryContext, "graphmem row",
											  ALLOCSET_DEFAULT_SIZES);
	rows->next = 0;
	rows->count = 0;
}

void
gm_rows_put(GmRows *rows)
{
	if (rows->next != rows->columns)
		elog(ERROR, "row has %d columns of %d", rows->next, rows->columns);
	tuplestore_putvalues(rows->result->setResult, rows->result->setDesc,
						 rows->values, rows->nulls);
	MemoryContextReset(rows->row_context);
	rows->next = 0;
	rows->count++;
	CHECK_FOR_INTERRUPTS();
}

MemoryContext
gm_row_memory(GmRows *rows)
{
	return rows->row_context;
}

static void
put(GmRows *rows, Datum value, bool isnull)
{
	Assert(rows->next < rows->columns);
	rows->values[rows->next] = value;
	rows->nulls[rows->next++] = isnull;
}

void
gm_row_null(GmRows *rows)
{
	put(rows, (Datum) 0, true);
}

void
gm_row_int8(GmRows *rows, int64_t value)
{
	put(rows, Int64GetDatum(value), false);
}

void
gm_row_int4(GmRows *rows, int32_t value)
{
	put(rows, Int32GetDatum(value), false);
}

void
gm_row_float4(GmRows *rows, float value)
{
	put(rows, Float4GetDatum(value), false);
}

void
gm_row_float8(GmRows *rows, double value)
{
	put(rows, Float8GetDatum(value), false);
}

static Datum
make_text(GmRows *rows, const char *bytes, size_t length)
{
	MemoryContext old = MemoryContextSwitchTo(rows->row_context);
	text	   *t = cstring_to_text_with_len(bytes, (int) length);

	MemoryContextSwitchTo(old);
	return PointerGetDatum(t);
}

void
gm_row_cstring(GmRows *rows, const char *value)
{
	put(rows, make_text(rows, value, strlen(value)), false);
}

void
gm_row_string(GmRows *rows, const GmString *value)
{
	if (value == NULL)
		gm_row_null(rows);
	else
		put(rows, make_text(rows, value->bytes, value->length), false);
}

void
gm_row_time(GmRows *rows, int64_t value)
{
	if (value == GM_TIME_MIN || value == GM_TIME_MAX)
		gm_row_null(rows);
	else
		put(rows, TimestampTzGetDatum(value), false);
}

void
gm_row_int8s(GmRows *rows, const int64_t *values, int count)
{
	MemoryContext old = MemoryContextSwitchTo(rows->row_context);
	Datum	   *datums = palloc((count + 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		datums[i] = Int64GetDatum(values[i]);
	put(rows, PointerGetDatum(construct_array(datums, count, INT8OID, sizeof(int64),
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)), false);
	MemoryContextSwitchTo(old);
}

void
gm_row_strings(GmRows *rows, const GmString **values, int count)
{
	MemoryContext old = MemoryContextSwitchTo(rows->row_context);
	Datum	   *datums = palloc((count + 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		datums[i] = make_text(rows, values[i]->bytes, values[i]->length);
	put(rows, PointerGetDatum(construct_array(datums, count, TEXTOID, -1, false, TYPALIGN_INT)),
		false);
	MemoryContextSwitchTo(old);
}

static void
append(StringInfo s, const GmString *string)
{
	appendBinaryStringInfo(s, string->bytes, (int) string->length);
}

char *
gm_path_text(const GmGraph *g, GmNode from, const GmSlot *slots, const bool *out, int length)
{
	StringInfoData s;

	initStringInfo(&s);
	append(&s, gm_graph_name(g, from));
	for (int i = 0; i < length; i++)
	{
		GmTriple	t;

		gm_graph_slot(g, slots[i], &t);
		appendStringInfoString(&s, out[i] ? " -[" : " <-[");
		append(&s, gm_graph_string(g, gm_graph_predicate(g, t.predicate)->name));
		appendStringInfoString(&s, out[i] ? "]-> " : "]- ");
		append(&s, gm_graph_name(g, out[i] ? t.object : t.subject));
	}
	return s.data;
}

void
gm_row_path(GmRows *rows, const GmGraph *g, GmNode from, const GmSlot *slots, const bool *out,
			int length)
{
	MemoryContext old = MemoryContextSwitchTo(rows->row_context);
	char	   *path = gm_path_text(g, from, slots, out, length);
	int64_t    *ids = palloc((length + 1) * sizeof(int64_t));

	for (int i = 0; i < length; i++)
		ids[i] = GM_ARRAY_I64(&g->triple_id, slots[i]);
	MemoryContextSwitchTo(old);
	gm_row_cstring(rows, path);
	gm_row_int8s(rows, ids, length);
}
