/*-------------------------------------------------------------------------
 *
 * vectors.c
 *	  Storing the user's vectors, a statement's worth at a time.
 *
 * What is let in is what images can work with (core/space.h): finite numbers
 * of which the squares' sum does not overflow, nor vanish in a cosine space.
 *
 * Memory	two sorts or stores of GM_SQL_STORE_KB, the pool's names, and a
 *			round of GM_SQL_BATCH_BYTES
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "error.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "api/names.h"
#include "api/sql.h"
#include "api/vectors.h"
#include "compat.h"
#include "core/space.h"

typedef struct Space
{
	char	   *name;
	int32		id;
	int			dim;
	char	   *target;
	bool		cosine;
} Space;

struct GmVectorWriter
{
	MemoryContext context;
	MemoryContext round;
	char	   *graph;
	int32		graph_id;		/* 0 until the first vector */
	GmVectorWrite write;
	GmNamePool *names;
	Space	   *spaces;
	int			nspaces;
	int			unnamed;		/* the space meant by NULL, or -1 */
	TupleDesc	desc;
	Tuplestorestate *rows;
	int64		nrows;
};

/* columns of a buffered vector; item is a name's number or an id */
enum
{
	IN_SPACE, IN_ITEM, IN_IS_ID, IN_EMBEDDING, IN_COLS
};

/* columns of a sorted vector */
enum
{
	OUT_SPACE_ID, OUT_ITEM_ID, OUT_ORDER, OUT_SPACE, OUT_EMBEDDING, OUT_COLS
};

static GmSql find_space = {
	"SELECT space_id, dim, target, metric, origin FROM graphmem.vector_spaces"
	" WHERE graph_id" GM_EQ "$1 AND name" GM_EQ "$2", 2, {INT4OID, TEXTOID}
};

static GmSql user_spaces = {
	"SELECT name FROM graphmem.vector_spaces WHERE graph_id" GM_EQ "$1"
	" AND origin" GM_EQ "'user' ORDER BY name" GM_EQ "'default' DESC LIMIT 2", 1, {INT4OID}
};

static GmSql create_default = {
	"INSERT INTO graphmem.vector_spaces (graph_id, name, dim) VALUES ($1, 'default', $2)"
	" ON CONFLICT (graph_id, name) DO NOTHING", 2, {INT4OID, INT4OID}
};

static GmSql find_missing_facts = {
	"SELECT u.f FROM pg_catalog.unnest($2) AS u(f) LEFT JOIN LATERAL (SELECT t.graph_id"
	" FROM graphmem.triples t WHERE t.fact_id" GM_EQ "u.f LIMIT 1) AS l ON true"
	" WHERE l.graph_id IS NULL OR NOT l.graph_id" GM_EQ "$1 LIMIT 1",
	2, {INT4OID, INT8ARRAYOID}
};

/* $1 space of each item, $2 graph, $3 items, $4 floats, $5 and $6 their bounds */
#define VECTOR_ARGS \
	6, {INT4ARRAYOID, INT4OID, INT8ARRAYOID, FLOAT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID}

static GmSql put_vectors = {
	"INSERT INTO graphmem.embeddings AS e (space_id, item_id, graph_id, embedding)"
	" SELECT u.s, u.i, $2, $4[u.a : u.b] FROM ROWS FROM (pg_catalog.unnest($1),"
	" pg_catalog.unnest($3), pg_catalog.unnest($5), pg_catalog.unnest($6)) AS u(s, i, a, b)"
	" ON CONFLICT (space_id, item_id) DO UPDATE SET embedding = excluded.embedding",
	VECTOR_ARGS
};

static GmSql change_vectors = {
	"UPDATE graphmem.embeddings AS e SET embedding = $4[u.a : u.b] FROM ROWS FROM"
	" (pg_catalog.unnest($1), pg_catalog.unnest($3), pg_catalog.unnest($5),"
	" pg_catalog.unnest($6)) AS u(s, i, a, b)"
	" WHERE e.space_id" GM_EQ "u.s AND e.item_id" GM_EQ "u.i AND e.graph_id" GM_EQ "$2",
	VECTOR_ARGS
};

static GmSql remove_vectors = {
	"DELETE FROM graphmem.embeddings AS e USING ROWS FROM (pg_catalog.unnest($1),"
	" pg_catalog.unnest($3)) AS u(s, i)"
	" WHERE e.space_id" GM_EQ "u.s AND e.item_id" GM_EQ "u.i AND e.graph_id" GM_EQ "$2",
	VECTOR_ARGS
};

/* ---- spaces ---- */

static int
load_space(GmVectorWriter *writer, const char *name)
{
	Datum		args[2] = {Int32GetDatum(writer->graph_id), CStringGetTextDatum(name)};
	Space		space;
	bool		isnull;
	MemoryContext old;

	gm_sql_run(&find_space, args, NULL);
	if (SPI_processed == 0)
	{
		gm_sql_done();
		return -1;
	}
	if (strcmp(TextDatumGetCString(gm_sql_datum(0, 5, &isnull)), "user") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("vectors of space \"%s\" are computed and cannot be written", name),
				 errhint("They change by graphmem.refresh_topology(); give vectors of your own a space of another name.")));
	old = MemoryContextSwitchTo(writer->context);
	space.name = pstrdup(name);
	space.id = DatumGetInt32(gm_sql_datum(0, 1, &isnull));
	space.dim = DatumGetInt32(gm_sql_datum(0, 2, &isnull));
	space.target = TextDatumGetCString(gm_sql_datum(0, 3, &isnull));
	space.cosine = strcmp(TextDatumGetCString(gm_sql_datum(0, 4, &isnull)), "cosine") == 0;
	if (writer->spaces == NULL)
		writer->spaces = palloc_object(Space);
	else
		writer->spaces = repalloc(writer->spaces, (writer->nspaces + 1) * sizeof(Space));
	writer->spaces[writer->nspaces] = space;
	MemoryContextSwitchTo(old);
	gm_sql_done();
	return writer->nspaces++;
}

static void
report_no_space(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("vector space \"%s\" does not exist", gm_error_quote(name, strlen(name))),
			 errhint("Create it with graphmem.create_vector_space().")));
}

static int
create_default_space(GmVectorWriter *writer, int dim)
{
	Datum		args[2] = {Int32GetDatum(writer->graph_id), Int32GetDatum(dim)};
	int			space;

	gm_sql_run(&create_default, args, NULL);
	gm_sql_done();
	space = load_space(writer, "default");
	if (space < 0)
		report_no_space("default");
	return space;
}

/* The space meant where none is named. */
static int
unnamed_space(GmVectorWriter *writer, int dim)
{
	Datum		arg = Int32GetDatum(writer->graph_id);
	uint64		found;
	char	   *name = NULL;
	bool		isnull;

	gm_sql_run(&user_spaces, &arg, NULL);
	found = SPI_processed;
	if (found > 0)
		name = TextDatumGetCString(gm_sql_datum(0, 1, &isnull));
	gm_sql_done();
	if (found == 0 && dim > 0)
		return create_default_space(writer, dim);
	if (found > 1 && strcmp(name, "default") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no vector space is named and the graph has several"),
				 errhint("Name one of them.")));
	return found == 0 ? -1 : load_space(writer, name);
}

/* dim: of a vector that may create the space "default", 0 if it may not */
static int
find_or_create_space(GmVectorWriter *writer, const text *space, int dim)
{
	char	   *name = space == NULL ? NULL : text_to_cstring(space);
	int			found = -1;
	int			level;

	if (name == NULL && writer->unnamed >= 0)
		return writer->unnamed;
	for (int i = 0; name != NULL && i < writer->nspaces; i++)
		if (strcmp(writer->spaces[i].name, name) == 0)
			return i;
	level = gm_sql_enter();
	if (writer->graph_id == 0)
		writer->graph_id = gm_graph_for_write(writer->graph);
	if (name == NULL)
		found = writer->unnamed = unnamed_space(writer, dim);
	else
	{
		found = load_space(writer, name);
		if (found < 0 && dim > 0 && strcmp(name, "default") == 0)
			found = create_default_space(writer, dim);
	}
	if (found < 0)
		report_no_space(name == NULL ? "default" : name);
	gm_sql_leave(level);
	return found;
}

/* ---- buffering ---- */

GmVectorWriter *
gm_vectors_begin(MemoryContext parent, char *graph, GmVectorWrite write)
{
	static const Oid types[IN_COLS] = {INT4OID, INT8OID, BOOLOID, FLOAT4ARRAYOID};
	MemoryContext context = AllocSetContextCreate(parent, "graphmem vector writer",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	GmVectorWriter *writer = palloc0_object(GmVectorWriter);

	writer->context = context;
	writer->round = AllocSetContextCreate(context, "graphmem vectors round",
										  ALLOCSET_DEFAULT_SIZES);
	writer->graph = pstrdup(graph);
	writer->write = write;
	writer->unnamed = -1;
	writer->desc = gm_sql_desc(IN_COLS, types);
	writer->names = gm_names_begin(context);
	writer->rows = tuplestore_begin_heap(false, false, GM_SQL_STORE_KB);
	MemoryContextSwitchTo(old);
	return writer;
}

static void
check_vector(const Space *space, const char *item, const float4 *vector, int dim)
{
	double		sum = 0;

	if (dim != space->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector of \"%s\" has %d dimensions, not %d", item, dim, space->dim),
				 errdetail("The vectors of space \"%s\" have %d dimensions.",
						   space->name, space->dim)));
	for (int i = 0; i < dim; i++)
	{
		if (!isfinite(vector[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("vector of \"%s\" for space \"%s\" is not finite", item, space->name),
					 errdetail("Element %d is %g.", i + 1, vector[i])));
		sum += (double) vector[i] * vector[i];
	}
	if (sum > GM_SPACE_MOST_STORED)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector of \"%s\" for space \"%s\" is too long", item, space->name),
				 errdetail("Its length is %g; the limit is %g.", sqrt(sum),
						   sqrt(GM_SPACE_MOST_STORED))));
	if (space->cosine && sum < GM_SPACE_LEAST_STORED)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector of \"%s\" for space \"%s\" has no direction", item, space->name),
				 errdetail("Its length is %g; distances of metric \"cosine\" need a direction.",
						   sqrt(sum))));
}

static ArrayType *
check_array(const char *item, const text *space, ArrayType *embedding)
{
	const char *where = space == NULL ? "default" : text_to_cstring(space);

	if (ARR_NDIM(embedding) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector of \"%s\" for space \"%s\" has no elements or is no plain array",
						item, where),
				 errdetail("The array has %d dimensions.", ARR_NDIM(embedding))));
	if (array_contains_nulls(embedding))
	{
		const bits8 *bitmap = ARR_NULLBITMAP(embedding);
		int			at = 0;

		while (bitmap[at / 8] & (1 << (at % 8)))
			at++;
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector of \"%s\" for space \"%s\" has a null element", item, where),
				 errdetail("Element %d is null.", at + 1)));
	}
	if (ARR_DIMS(embedding)[0] > 16000)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector of \"%s\" for space \"%s\" has %d dimensions", item, where,
						ARR_DIMS(embedding)[0]),
				 errdetail("A vector has at most 16000 dimensions.")));
	return embedding;
}

static ArrayType *
make_vector(const float4 *vector, int dim)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + (Size) dim * sizeof(float4);
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = dim;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), vector, (Size) dim * sizeof(float4));
	return array;
}

static void
buffer(GmVectorWriter *writer, int space, int64 item, bool is_id, const ArrayType *embedding)
{
	Datum		values[IN_COLS];
	bool		nulls[IN_COLS] = {false};

	values[IN_SPACE] = Int32GetDatum(space);
	values[IN_ITEM] = Int64GetDatum(item);
	values[IN_IS_ID] = BoolGetDatum(is_id);
	values[IN_EMBEDDING] = PointerGetDatum(embedding);
	nulls[IN_EMBEDDING] = embedding == NULL;
	tuplestore_putvalues(writer->rows, writer->desc, values, nulls);
	writer->nrows++;
}

static char *
label(const text *item)
{
	return gm_error_quote(VARDATA_ANY(item), VARSIZE_ANY_EXHDR(item));
}

void
gm_vectors_put(GmVectorWriter *writer, const text *item, ArrayType *embedding,
			   const text *space_name, const text *target)
{
	const Space *space;
	int			at;
	int			dim;
	int64		number;

	if (item == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("item of a vector must not be null")));
	if (embedding == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("vector of \"%s\" must not be null", label(item))));
	check_array(label(item), space_name, embedding);
	dim = ARR_DIMS(embedding)[0];
	at = find_or_create_space(writer, space_name, dim);
	space = &writer->spaces[at];
	check_vector(space, label(item), (const float4 *) ARR_DATA_PTR(embedding), dim);
	if (target != NULL && strcmp(text_to_cstring(target), space->target) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("space \"%s\" is for vectors of target \"%s\", not \"%s\"",
						space->name, space->target, text_to_cstring(target))));
	if (strcmp(space->target, "fact") == 0)
		number = pg_strtoint64(text_to_cstring(item));
	else
		number = gm_names_add(writer->names,
							  strcmp(space->target, "source") == 0 ? GM_NAME_SOURCE : GM_NAME_ENTITY,
							  item, NULL, NULL);
	buffer(writer, at, number, strcmp(space->target, "fact") == 0, embedding);
}

void
gm_vectors_put_floats(GmVectorWriter *writer, const text *item, const float4 *vector,
					  int dim, const text *space)
{
	ArrayType  *array = make_vector(vector, dim);

	gm_vectors_put(writer, item, array, space, NULL);
	pfree(array);
}

void
gm_vectors_by_id(GmVectorWriter *writer, int64 item_id, const text *item,
				 ArrayType *embedding, const text *space)
{
	int			at = find_or_create_space(writer, space, 0);

	if (embedding != NULL)
	{
		char	   *name = item == NULL ? psprintf("%lld", (long long) item_id) : label(item);

		check_array(name, space, embedding);
		check_vector(&writer->spaces[at], name, (const float4 *) ARR_DATA_PTR(embedding),
					 ARR_DIMS(embedding)[0]);
	}
	buffer(writer, at, item_id, true, embedding);
}

/* ---- writing ---- */

static Tuplesortstate *
sort_vectors(GmVectorWriter *writer, TupleDesc desc, int64 *last_item)
{
	TupleTableSlot *from = MakeSingleTupleTableSlot(writer->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *to = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	Tuplesortstate *sort = gm_sql_sort(desc, 3);
	int64		order = 0;

	while (tuplestore_gettupleslot(writer->rows, true, false, from))
	{
		Datum		values[OUT_COLS];
		bool		nulls[OUT_COLS] = {false};
		int64		item;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(from);
		item = DatumGetInt64(from->tts_values[IN_ITEM]);
		if (!DatumGetBool(from->tts_values[IN_IS_ID]))
			item = gm_names_id(writer->names, (uint32) item);
		*last_item = item;
		values[OUT_SPACE] = from->tts_values[IN_SPACE];
		values[OUT_SPACE_ID] =
			Int64GetDatum((int64) writer->spaces[DatumGetInt32(values[OUT_SPACE])].id);
		values[OUT_ITEM_ID] = Int64GetDatum(item);
		values[OUT_ORDER] = Int64GetDatum(order++);
		values[OUT_EMBEDDING] = from->tts_values[IN_EMBEDDING];
		nulls[OUT_EMBEDDING] = from->tts_isnull[IN_EMBEDDING];
		gm_sql_put_sorted(sort, to, values, nulls);
	}
	ExecDropSingleTupleTableSlot(from);
	ExecDropSingleTupleTableSlot(to);
	tuplestore_end(writer->rows);
	tuplesort_performsort(sort);
	return sort;
}

static void
check_facts(GmVectorWriter *writer, const Space *space, Datum items)
{
	Datum		args[2] = {Int32GetDatum(writer->graph_id), items};

	if (writer->write != GM_VECTOR_PUT || strcmp(space->target, "fact") != 0)
		return;
	gm_sql_run(&find_missing_facts, args, NULL);
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("fact %lld does not exist", (long long) gm_sql_int8(0, 1)),
				 errdetail("Items of space \"%s\" are values of fact_id.", space->name)));
	gm_sql_done();
}

/* A round: vectors of one space by item; floats holds them end to end. */
static void
write_round(GmVectorWriter *writer, const Space *space, Datum *items, int n, const float4 *floats)
{
	Datum		args[6];
	Datum	   *first = palloc_array(Datum, n);
	Datum	   *last = palloc_array(Datum, n);
	Datum	   *spaces = palloc_array(Datum, n);

	for (int i = 0; i < n; i++)
	{
		spaces[i] = Int32GetDatum(space->id);
		first[i] = Int32GetDatum(i * space->dim + 1);
		last[i] = Int32GetDatum((i + 1) * space->dim);
	}
	args[0] = gm_sql_array(INT4OID, spaces, NULL, n);
	args[1] = Int32GetDatum(writer->graph_id);
	args[2] = gm_sql_array(INT8OID, items, NULL, n);
	args[3] = writer->write == GM_VECTOR_REMOVE ? gm_sql_array(FLOAT4OID, NULL, NULL, 0) :
		PointerGetDatum(make_vector(floats, n * space->dim));
	args[4] = gm_sql_array(INT4OID, first, NULL, n);
	args[5] = gm_sql_array(INT4OID, last, NULL, n);
	check_facts(writer, space, args[2]);
	gm_sql_run(writer->write == GM_VECTOR_PUT ? &put_vectors :
			   writer->write == GM_VECTOR_CHANGE ? &change_vectors : &remove_vectors,
			   args, NULL);
	gm_sql_done();
}

static void
write_vectors(GmVectorWriter *writer, Tuplesortstate *sort, TupleDesc desc)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	Datum	   *items = palloc_array(Datum, GM_SQL_BATCH_ROWS);
	float4	   *floats;
	const Space *space = NULL;
	int			max_dim = 0;
	int			n = 0;
	bool		more;

	for (int i = 0; i < writer->nspaces; i++)
		max_dim = Max(max_dim, writer->spaces[i].dim);
	floats = palloc(Min((int64) GM_SQL_BATCH_BYTES, writer->nrows * max_dim * (int64) sizeof(float4)));
	MemoryContextSwitchTo(writer->round);
	do
	{
		const Space *next = NULL;

		more = tuplesort_gettupleslot(sort, true, false, slot, NULL);
		if (more)
		{
			slot_getallattrs(slot);
			next = &writer->spaces[DatumGetInt32(slot->tts_values[OUT_SPACE])];
		}
		/* of several vectors of one item the last one holds */
		if (n > 0 && next != NULL && next->id == space->id &&
			items[n - 1] == slot->tts_values[OUT_ITEM_ID])
			n--;
		if (n > 0 && (next == NULL || next->id != space->id || n == GM_SQL_BATCH_ROWS ||
					  (Size) (n + 1) * space->dim * sizeof(float4) > GM_SQL_BATCH_BYTES))
		{
			write_round(writer, space, items, n, floats);
			MemoryContextReset(writer->round);
			n = 0;
		}
		if (next != NULL)
		{
			space = next;
			items[n] = slot->tts_values[OUT_ITEM_ID];
			if (!slot->tts_isnull[OUT_EMBEDDING])
			{
				ArrayType  *array = DatumGetArrayTypeP(slot->tts_values[OUT_EMBEDDING]);

				memcpy(floats + (Size) n * space->dim, ARR_DATA_PTR(array),
					   (Size) space->dim * sizeof(float4));
				if ((Pointer) array != DatumGetPointer(slot->tts_values[OUT_EMBEDDING]))
					pfree(array);
			}
			n++;
		}
	} while (more);
	MemoryContextSwitchTo(writer->context);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
}

int64
gm_vectors_finish(GmVectorWriter *writer)
{
	static const Oid types[OUT_COLS] = {INT8OID, INT8OID, INT8OID, INT4OID, FLOAT4ARRAYOID};
	MemoryContext old = CurrentMemoryContext;
	int64		last_item = 0;

	if (writer->nrows > 0)
	{
		int			level = gm_sql_enter();
		TupleDesc	desc;
		Tuplesortstate *sort;

		MemoryContextSwitchTo(writer->context);
		gm_graph_lock(writer->graph_id, false);
		gm_names_resolve(writer->names, writer->graph_id);
		desc = gm_sql_desc(OUT_COLS, types);
		sort = sort_vectors(writer, desc, &last_item);
		write_vectors(writer, sort, desc);
		gm_sql_leave(level);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(writer->context);
	return last_item;
}
