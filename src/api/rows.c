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
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/rows.h"
#include "image/call.h"

#define ROWS_PER_LOOK	1024

#define ARENA_BYTES		8192

/* rows between fetching and use; an address that is itself fetched comes first */
#define AHEAD_LAST		6
#define AHEAD_MIDDLE	14
#define AHEAD_FIRST		24

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
	rows->arena = palloc(ARENA_BYTES);
	rows->arena_used = 0;
	rows->used_context = false;
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
	if (rows->used_context)
		MemoryContextReset(rows->row_context);
	rows->used_context = false;
	rows->arena_used = 0;
	rows->next = 0;
	rows->count++;
	if (rows->count % ROWS_PER_LOOK == 0)
		gm_call_phase(GM_PHASE_ROWS, rows->count, 0);
	CHECK_FOR_INTERRUPTS();
}

MemoryContext
gm_row_memory(GmRows *rows)
{
	rows->used_context = true;
	return rows->row_context;
}

void *
gm_row_alloc(GmRows *rows, Size size)
{
	char	   *at = rows->arena + rows->arena_used;

	if (size > ARENA_BYTES - rows->arena_used)
	{
		rows->used_context = true;
		return MemoryContextAllocHuge(rows->row_context, size);
	}
	rows->arena_used = MAXALIGN(rows->arena_used + size);
	return at;
}

static inline void
fetch_name(const GmGraph *g, GmNode node)
{
	gm_prefetch(gm_graph_name(g, node));
}

static inline const GmNode *
element(const GmNode *first, Size stride, uint64 i)
{
	return (const GmNode *) ((const char *) first + i * stride);
}

void
gm_rows_fetch_nodes(const GmGraph *g, const GmNode *nodes, Size stride, uint64 i, uint64 count)
{
	if (i + AHEAD_MIDDLE < count)
	{
		GmNode		node = *element(nodes, stride, i + AHEAD_MIDDLE);

		gm_prefetch(gm_array_at(&g->name, node));
		gm_prefetch(gm_array_at(&g->entity_id, node));
		gm_prefetch(gm_array_at(&g->kind, node));
	}
	if (i + AHEAD_LAST < count)
		fetch_name(g, *element(nodes, stride, i + AHEAD_LAST));
}

void
gm_rows_fetch_slots(const GmGraph *g, const GmSlot *slots, Size stride, uint64 i, uint64 count)
{
	if (i + AHEAD_FIRST < count)
	{
		GmSlot		slot = *element(slots, stride, i + AHEAD_FIRST);

		gm_prefetch(gm_array_at(&g->triple_id, slot));
		gm_prefetch(gm_array_at(&g->fact_id, slot));
		gm_prefetch(gm_array_at(&g->subject, slot));
		gm_prefetch(gm_array_at(&g->predicate, slot));
		gm_prefetch(gm_array_at(&g->object, slot));
		gm_prefetch(gm_array_at(&g->confidence, slot));
		gm_prefetch(gm_array_at(&g->time, slot));
	}
	if (i + AHEAD_MIDDLE < count)
	{
		GmSlot		slot = *element(slots, stride, i + AHEAD_MIDDLE);
		GmNode		object = GM_ARRAY_U32(&g->object, slot);

		gm_prefetch(gm_array_at(&g->name, GM_ARRAY_U32(&g->subject, slot)));
		gm_prefetch(gm_array_at(&g->name, object));
		gm_prefetch(gm_array_at(&g->type, object));
		gm_prefetch(gm_array_at(&g->times, GM_ARRAY_U32(&g->time, slot)));
	}
	if (i + AHEAD_LAST < count)
	{
		GmSlot		slot = *element(slots, stride, i + AHEAD_LAST);

		fetch_name(g, GM_ARRAY_U32(&g->subject, slot));
		fetch_name(g, GM_ARRAY_U32(&g->object, slot));
	}
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
gm_row_bool(GmRows *rows, bool value)
{
	put(rows, BoolGetDatum(value), false);
}

void
gm_row_oid(GmRows *rows, Oid value)
{
	put(rows, ObjectIdGetDatum(value), false);
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

static void
check_size(Size bytes)
{
	if (!AllocSizeIsValid(bytes))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("value of a result row is too long"),
				 errdetail("It has %zu bytes, at most %zu are possible.", bytes, MaxAllocSize)));
}

static text *
begin_text(GmRows *rows, Size length)
{
	text	   *t;

	check_size(VARHDRSZ + length);
	t = gm_row_alloc(rows, VARHDRSZ + length);
	SET_VARSIZE(t, VARHDRSZ + length);
	return t;
}

static Datum
make_text(GmRows *rows, const char *bytes, Size length)
{
	text	   *t = begin_text(rows, length);

	memcpy(VARDATA(t), bytes, length);
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

/* an array without NULLs of one dimension, its elements yet to be filled in */
static ArrayType *
begin_array(GmRows *rows, Oid type, int count, Size bytes)
{
	int			dims = count > 0 ? 1 : 0;
	Size		size = ARR_OVERHEAD_NONULLS(dims) + bytes;
	ArrayType  *array;

	check_size(size);
	array = gm_row_alloc(rows, size);
	SET_VARSIZE(array, size);
	array->ndim = dims;
	array->dataoffset = 0;
	array->elemtype = type;
	if (dims > 0)
	{
		ARR_DIMS(array)[0] = count;
		ARR_LBOUND(array)[0] = 1;
	}
	return array;
}

void
gm_row_int8s(GmRows *rows, const int64_t *values, int count)
{
	ArrayType  *array = begin_array(rows, INT8OID, count, count * sizeof(int64));

	memcpy(ARR_DATA_PTR(array), values, count * sizeof(int64));
	put(rows, PointerGetDatum(array), false);
}

void
gm_row_strings(GmRows *rows, const GmString **values, int count)
{
	Size		bytes = 0;
	ArrayType  *array;
	char	   *at;

	for (int i = 0; i < count; i++)
		bytes += INTALIGN(VARHDRSZ + (Size) values[i]->length);
	array = begin_array(rows, TEXTOID, count, bytes);
	at = ARR_DATA_PTR(array);
	for (int i = 0; i < count; i++)
	{
		Size		size = VARHDRSZ + (Size) values[i]->length;

		SET_VARSIZE(at, size);
		memcpy(VARDATA(at), values[i]->bytes, values[i]->length);
		memset(at + size, 0, INTALIGN(size) - size);
		at += INTALIGN(size);
	}
	put(rows, PointerGetDatum(array), false);
}

static const GmString *
predicate_name(const GmGraph *g, GmSlot slot)
{
	return gm_graph_string(g, gm_graph_predicate(g, GM_ARRAY_U32(&g->predicate, slot))->name);
}

/* the name at the end that a walk over the slot comes to */
static const GmString *
end_name(const GmGraph *g, GmSlot slot, bool out)
{
	return gm_graph_name(g, GM_ARRAY_U32(out ? &g->object : &g->subject, slot));
}

#define ARROW_BYTES	7			/* both parts, whichever way */

static Size
path_bytes(const GmGraph *g, GmNode from, const GmSlot *slots, const bool *out, int length)
{
	Size		size = gm_graph_name(g, from)->length;

	for (int i = 0; i < length; i++)
		size += ARROW_BYTES + (Size) predicate_name(g, slots[i])->length +
			end_name(g, slots[i], out[i])->length;
	return size;
}

static char *
append(char *at, const char *bytes, Size length)
{
	memcpy(at, bytes, length);
	return at + length;
}

static char *
append_string(char *at, const GmString *string)
{
	return append(at, string->bytes, string->length);
}

/* "a -[p]-> b <-[q]- c" */
static void
write_path(const GmGraph *g, GmNode from, const GmSlot *slots, const bool *out, int length,
		   char *at)
{
	at = append_string(at, gm_graph_name(g, from));
	for (int i = 0; i < length; i++)
	{
		at = out[i] ? append(at, " -[", 3) : append(at, " <-[", 4);
		at = append_string(at, predicate_name(g, slots[i]));
		at = out[i] ? append(at, "]-> ", 4) : append(at, "]- ", 3);
		at = append_string(at, end_name(g, slots[i], out[i]));
	}
}

void
gm_row_path(GmRows *rows, const GmGraph *g, GmNode from, const GmSlot *slots, const bool *out,
			int length)
{
	text	   *path = begin_text(rows, path_bytes(g, from, slots, out, length));
	ArrayType  *ids;

	write_path(g, from, slots, out, length, VARDATA(path));
	put(rows, PointerGetDatum(path), false);
	ids = begin_array(rows, INT8OID, length, length * sizeof(int64));
	for (int i = 0; i < length; i++)
		((int64 *) ARR_DATA_PTR(ids))[i] = GM_ARRAY_I64(&g->triple_id, slots[i]);
	put(rows, PointerGetDatum(ids), false);
}
