/*-------------------------------------------------------------------------
 *
 * topology_store.c
 *	  Rows of topology_vectors, and the change from one version of a computed
 *	  space to the next.
 *
 * Rows go in by ordinary statements, over a tuplestore that they name as a
 * relation, so that the tables' triggers, the capture of changes among them,
 * see what they would see of anybody.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "core/space.h"
#include "worker/as_owner.h"
#include "worker/main.h"
#include "worker/topology_store.h"

#define ROWS			"rows"	/* what statements call the tuplestore */
#define STORE_KB		65536

static GmStatement insert_space = {
	"INSERT INTO graphmem.vector_spaces (graph_id, name, target, dim, metric, origin, state, parameters)"
	" SELECT graph_id, $2, 'entity', $3, 'cosine', 'topology', 'computing', $4"
	" FROM graphmem.graphs WHERE graph_id" GM_EQUALS "$1 RETURNING space_id",
	4, {INT4OID, TEXTOID, INT4OID, JSONBOID}
};

static GmStatement delete_space = {
	"DELETE FROM graphmem.vector_spaces WHERE space_id" GM_EQUALS "$1 AND origin" GM_EQUALS "'topology'",
	1, {INT4OID}
};

/* those of a job, which have its specification */
static GmStatement delete_unfinished = {
	"DELETE FROM graphmem.vector_spaces WHERE origin" GM_EQUALS "'topology' AND state" GM_EQUALS "'computing'"
	" AND parameters OPERATOR(pg_catalog.?) 'method'",
	0, {0}
};

static GmStatement delete_before = {
	"DELETE FROM graphmem.vector_spaces WHERE graph_id" GM_EQUALS "$1 AND name" GM_EQUALS "$2"
	" AND origin" GM_EQUALS "'topology' AND space_id OPERATOR(pg_catalog.<>) $3",
	3, {INT4OID, TEXTOID, INT4OID}
};

/* the same where deleting its rows would take a second; such as delete_unfinished takes */
static GmStatement set_before_aside = {
	"UPDATE graphmem.vector_spaces SET name = $4, state = 'computing', parameters ="
	" CASE WHEN parameters OPERATOR(pg_catalog.?) 'method' THEN parameters ELSE '{\"method\": null}' END"
	" WHERE graph_id" GM_EQUALS "$1"
	" AND name" GM_EQUALS "$2 AND origin" GM_EQUALS "'topology' AND space_id OPERATOR(pg_catalog.<>) $3",
	4, {INT4OID, TEXTOID, INT4OID, TEXTOID}
};

static GmStatement finish_space = {
	"UPDATE graphmem.vector_spaces SET name = $2, state = 'ready', created_at = pg_catalog.clock_timestamp(),"
	" parameters = $3 OPERATOR(pg_catalog.||) $4"
	" WHERE space_id" GM_EQUALS "$1",
	4, {INT4OID, TEXTOID, JSONBOID, JSONBOID}
};

static const char *const insert_rows =
"INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, shape, embedding)"
" SELECT space_id, entity_id, graph_id, shape, embedding FROM " ROWS;

/* entities that are gone, or that somebody is about to remove, go without */
#define OF_LIVING \
	" SELECT r.space_id, r.entity_id, r.graph_id, r.shape, r.embedding FROM " ROWS " r" \
	" JOIN graphmem.entities e ON e.entity_id" GM_EQUALS "r.entity_id AND e.graph_id" GM_EQUALS "r.graph_id" \
	" FOR KEY SHARE OF e SKIP LOCKED"

static const char *const insert_living_rows =
"INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, shape, embedding)"
OF_LIVING;

static const char *const put_rows =
"INSERT INTO graphmem.topology_vectors AS t (space_id, entity_id, graph_id, shape, embedding)"
OF_LIVING
" ON CONFLICT (space_id, entity_id) DO UPDATE SET shape = NULL, embedding = excluded.embedding";

static Datum
json_datum(const char *json)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

/*
 * Rows
 */
static TupleDesc
row_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(5);

	TupleDescInitEntry(desc, 1, "space_id", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, "entity_id", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "graph_id", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 4, "shape", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 5, "embedding", FLOAT4ARRAYOID, -1, 0);
	return desc;
}

/* one whose direction nobody can tell */
static bool
is_zero(const float *vector, uint32 dim)
{
	double		square = 0;

	for (uint32 i = 0; i < dim; i++)
		square += (double) vector[i] * vector[i];
	return !(square >= GM_SPACE_LEAST_STORED && square <= GM_SPACE_MOST_STORED);
}

/* an array that later vectors of the same dimension are copied into */
static ArrayType *
make_array(uint32 dim)
{
	size_t		bytes = ARR_OVERHEAD_NONULLS(1) + dim * sizeof(float4);
	ArrayType  *array = palloc0(bytes);

	SET_VARSIZE(array, bytes);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = (int) dim;
	ARR_LBOUND(array)[0] = 1;
	return array;
}

typedef struct Rows
{
	int32		space_id;
	int32		graph_id;
	const int64 *entity_id;
	const uint64 *shape;		/* NULL: provisional */
	const float *vectors;
	uint32		n;
	uint32		dim;
} Rows;

/* without a direction: computed ones say so, so that they do not look new; means are left out */
static uint64
put_all(Tuplestorestate *store, TupleDesc desc, const Rows *rows, uint32 *blank)
{
	ArrayType  *array = make_array(rows->dim);
	Datum		values[5];
	bool		nulls[5] = {false, false, false, rows->shape == NULL, false};
	uint64		count = 0;

	values[0] = Int32GetDatum(rows->space_id);
	values[2] = Int32GetDatum(rows->graph_id);
	values[4] = PointerGetDatum(array);
	for (uint32 i = 0; i < rows->n; i++)
	{
		const float *vector = rows->vectors + (size_t) i * rows->dim;

		nulls[4] = is_zero(vector, rows->dim);
		*blank += nulls[4];
		if (nulls[4] && rows->shape == NULL)
			continue;
		values[1] = Int64GetDatum(rows->entity_id[i]);
		values[3] = rows->shape == NULL ? (Datum) 0 : Int64GetDatum((int64) rows->shape[i]);
		memcpy(ARR_DATA_PTR(array), vector, rows->dim * sizeof(float4));
		tuplestore_putvalues(store, desc, values, nulls);
		count++;
	}
	pfree(array);
	return count;
}

/* inside of a transaction, as the owner; how many had no direction */
static uint32
run_over_rows(const char *statement, const Rows *rows)
{
	EphemeralNamedRelationData relation;
	TupleDesc	desc;
	Tuplestorestate *store;
	uint64		count;
	uint32		blank = 0;
	int			result;

	SPI_connect();
	desc = row_desc();
	store = tuplestore_begin_heap(false, false, STORE_KB);
	count = put_all(store, desc, rows, &blank);
	memset(&relation, 0, sizeof(relation));
	relation.md.name = pstrdup(ROWS);
	relation.md.tupdesc = desc;
	relation.md.enrtype = ENR_NAMED_TUPLESTORE;
	relation.md.enrtuples = (double) count;
	relation.reldata = store;
	if (SPI_register_relation(&relation) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register a relation");
	result = SPI_execute(statement, false, 0);
	if (result != SPI_OK_INSERT)
		elog(ERROR, "could not store vectors: %s", SPI_result_code_string(result));
	tuplestore_end(store);
	SPI_finish();
	return blank;
}

/* entities may go while their vectors are computed, and who removes them may hold locks */
static bool
is_about_entities(int sqlstate)
{
	return sqlstate == ERRCODE_FOREIGN_KEY_VIOLATION ||
		sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
		sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
}

/* false: one of the entities is not there any more, or is locked */
static bool
try_store(const char *statement, const Rows *rows, bool last, uint32 *blank)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool stored = true;
	GmAsOwner	as;

	PG_TRY();
	{
		gm_as_owner_begin(&as);
		*blank = run_over_rows(statement, rows);
		gm_as_owner_end(&as);
	}
	PG_CATCH();
	{
		if (last || !is_about_entities(geterrcode()))
			PG_RE_THROW();
		gm_as_owner_recover();
		MemoryContextSwitchTo(caller);
		stored = false;
	}
	PG_END_TRY();
	return stored;
}

uint32
gm_store_rows(int32 space_id, int32 graph_id, const int64 *entity_id, const uint64 *shape,
			  const float *vectors, uint32 n, uint32 dim)
{
	Rows		rows = {space_id, graph_id, entity_id, shape, vectors, n, dim};
	uint32		blank = 0;

	/* locking the entities keeps them: the second time none can be missing */
	if (!try_store(insert_rows, &rows, false, &blank))
		(void) try_store(insert_living_rows, &rows, true, &blank);
	return blank;
}

void
gm_store_put(int32 space_id, int32 graph_id, const int64 *entity_id, const float *vectors,
			 uint32 n, uint32 dim)
{
	Rows		rows = {space_id, graph_id, entity_id, NULL, vectors, n, dim};

	(void) run_over_rows(put_rows, &rows);
}

/*
 * Versions
 */

/* no user gives a name with a control character in front */
static char *
name_while_computing(void)
{
	return psprintf("\001computing %d " INT64_FORMAT, MyProcPid, GetCurrentTimestamp());
}

int32
gm_store_begin(int32 graph_id, const GmTopologySpec *spec)
{
	Datum		values[4];
	int32		space_id;
	GmAsOwner	as;
	bool		isnull;

	gm_as_owner_begin(&as);
	SPI_connect();
	values[0] = Int32GetDatum(graph_id);
	values[1] = CStringGetTextDatum(name_while_computing());
	values[2] = Int32GetDatum((int32) spec->opts.dim);
	values[3] = json_datum(gm_topology_spec_json(spec));
	(void) gm_statement_write(&insert_space, values);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the graph of the vector space that was being computed was dropped")));
	space_id = DatumGetInt32(gm_statement_value(0, 1, &isnull));
	SPI_finish();
	gm_as_owner_end(&as);
	return space_id;
}

void
gm_store_finish(int32 space_id, int32 graph_id, const GmTopologySpec *spec, const char *results,
				int32 before, bool aside)
{
	Datum		values[4];
	GmAsOwner	as;

	gm_as_owner_begin(&as);
	ForceSyncCommit();
	SPI_connect();
	values[0] = Int32GetDatum(graph_id);
	values[1] = CStringGetTextDatum(spec->space);
	values[2] = Int32GetDatum(space_id);
	values[3] = CStringGetTextDatum(name_while_computing());
	if (gm_statement_write(aside ? &set_before_aside : &delete_before, values) == 0 && before != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the vector space that was being computed anew was dropped")));
	values[0] = Int32GetDatum(space_id);
	values[2] = json_datum(gm_topology_spec_json(spec));
	values[3] = json_datum(results);
	(void) gm_statement_write(&finish_space, values);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the vector space that was being computed was dropped")));
	SPI_finish();
	gm_as_owner_end(&as);
}

static void
delete(GmStatement *statement, Datum *values)
{
	GmAsOwner	as;

	gm_as_owner_begin(&as);
	SPI_connect();
	(void) gm_statement_write(statement, values);
	SPI_finish();
	gm_as_owner_end(&as);
}

void
gm_store_drop(int32 space_id)
{
	Datum		values[1] = {Int32GetDatum(space_id)};

	delete(&delete_space, values);
}

void
gm_store_tidy(void)
{
	delete(&delete_unfinished, NULL);
}
