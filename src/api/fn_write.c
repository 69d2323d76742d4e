/*-------------------------------------------------------------------------
 *
 * fn_write.c
 *	  The functions that write, one row or array at a time, and two small
 *	  ones that go with them: current_graph_id and to_vector.
 *
 * add_entity and add_source also change what is there: an argument that is
 * given replaces the stored value, properties and metadata are merged at
 * their top level.  A kind that comes with a fact only fills a gap.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "error.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "api/facts.h"
#include "api/names.h"
#include "api/sql.h"
#include "api/vectors.h"
#include "compat.h"
#include "core/base.h"
#include "guc.h"
#include "image/call.h"

PG_FUNCTION_INFO_V1(graphmem_current_graph_id);
PG_FUNCTION_INFO_V1(graphmem_to_vector);
PG_FUNCTION_INFO_V1(graphmem_to_vector_bytes);
PG_FUNCTION_INFO_V1(graphmem_add_entity);
PG_FUNCTION_INFO_V1(graphmem_add_source);
PG_FUNCTION_INFO_V1(graphmem_add_triple);
PG_FUNCTION_INFO_V1(graphmem_set_predicate);
PG_FUNCTION_INFO_V1(graphmem_create_vector_space);
PG_FUNCTION_INFO_V1(graphmem_drop_vector_space);
PG_FUNCTION_INFO_V1(graphmem_set_embedding);
PG_FUNCTION_INFO_V1(graphmem_set_embeddings);

static GmSql update_entity = {
	"UPDATE graphmem.entities SET kind = COALESCE($2, kind),"
	" properties = properties OPERATOR(pg_catalog.||) COALESCE($3, '{}')"
	" WHERE entity_id" GM_EQ "$1 AND NOT (COALESCE(kind" GM_EQ "$2, $2 IS NULL)"
	" AND properties OPERATOR(pg_catalog.||) COALESCE($3, '{}')" GM_EQ "properties)",
	3, {INT8OID, TEXTOID, JSONBOID}
};

static GmSql update_source = {
	"UPDATE graphmem.sources SET content = COALESCE($2, content), kind = COALESCE($3, kind),"
	" uri = COALESCE($4, uri), session = COALESCE($5, session),"
	" reliability = COALESCE($6, reliability),"
	" metadata = metadata OPERATOR(pg_catalog.||) COALESCE($7, '{}')"
	" WHERE source_id" GM_EQ "$1 AND NOT (COALESCE(content" GM_EQ "$2, $2 IS NULL)"
	" AND COALESCE(kind" GM_EQ "$3, $3 IS NULL) AND COALESCE(uri" GM_EQ "$4, $4 IS NULL)"
	" AND COALESCE(session" GM_EQ "$5, $5 IS NULL)"
	" AND COALESCE(reliability" GM_EQ "$6, true)"
	" AND metadata OPERATOR(pg_catalog.||) COALESCE($7, '{}')" GM_EQ "metadata)",
	7, {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, FLOAT4OID, JSONBOID}
};

static GmSql find_predicate = {
	"SELECT predicate_id FROM graphmem.predicates WHERE graph_id" GM_EQ "$1"
	" AND graphmem.name_key(name)" GM_EQ "graphmem.name_key($2)", 2, {INT4OID, TEXTOID}
};

static GmSql update_predicate = {
	"UPDATE graphmem.predicates SET functional = COALESCE($2, functional),"
	" \"symmetric\" = COALESCE($3, \"symmetric\"), weight = COALESCE($4, weight)"
	" WHERE predicate_id" GM_EQ "$1", 4, {INT8OID, BOOLOID, BOOLOID, FLOAT4OID}
};

/* of two versions that overlap, two that follow each other by start do */
static GmSql find_rivals = {
	"SELECT w.subject_id, w.object_id, w.next_object FROM (SELECT t.subject_id, t.object_id,"
	" t.valid_to, pg_catalog.lead(t.object_id) OVER v AS next_object,"
	" pg_catalog.lead(t.valid_from) OVER v AS next_from FROM graphmem.triples t"
	" WHERE t.predicate_id" GM_EQ "$1 AND t.expired_at" GM_EQ "'infinity'"
	" WINDOW v AS (PARTITION BY t.subject_id ORDER BY t.valid_from, t.valid_to, t.object_id)) AS w"
	" WHERE w.next_from OPERATOR(pg_catalog.<) w.valid_to ORDER BY 1 LIMIT 1", 1, {INT8OID}
};

static GmSql sum_versions = {
	"SELECT pg_catalog.count(*), pg_catalog.sum(t.triple_id) FROM graphmem.triples t"
	" WHERE t.predicate_id" GM_EQ "$1", 1, {INT8OID}
};

static GmSql update_functional = {
	"UPDATE graphmem.triples SET functional = $2 WHERE predicate_id" GM_EQ "$1"
	" AND NOT functional" GM_EQ "$2", 2, {INT8OID, BOOLOID}
};

static GmSql create_space = {
	"INSERT INTO graphmem.vector_spaces (graph_id, name, dim, target, metric, quantisation,"
	" m, ef_construction, full_precision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
	" ON CONFLICT (graph_id, name) DO NOTHING RETURNING space_id",
	9, {INT4OID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, INT4OID, INT4OID, TEXTOID}
};

static GmSql find_space = {
	"SELECT space_id FROM graphmem.vector_spaces WHERE graph_id" GM_EQ "$1 AND name" GM_EQ "$2",
	2, {INT4OID, TEXTOID}
};

static GmSql drop_vectors = {
	"DELETE FROM graphmem.embeddings WHERE space_id" GM_EQ "$1", 1, {INT4OID}
};

static GmSql count_computed = {
	"SELECT pg_catalog.count(embedding) FROM graphmem.topology_vectors WHERE space_id" GM_EQ "$1", 1, {INT4OID}
};

static GmSql drop_space = {
	"DELETE FROM graphmem.vector_spaces WHERE space_id" GM_EQ "$1", 1, {INT4OID}
};

/* ---- arguments ---- */

static Jsonb *
object_arg(FunctionCallInfo fcinfo, int n, const char *what)
{
	Jsonb	   *value = PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);

	gm_check_object(value, what);
	return value;
}

static int
int_arg(FunctionCallInfo fcinfo, int n, const char *what, int missing, int low, int high)
{
	int			value = PG_ARGISNULL(n) ? missing : PG_GETARG_INT32(n);

	if (value < low || value > high)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s %d is out of range", what, value),
				 errdetail("It is between %d and %d.", low, high)));
	return value;
}

/* One of the words of a NULL-terminated list, the first if missing. */
static Datum
word_arg(FunctionCallInfo fcinfo, int n, const char *what, const char *const *words)
{
	StringInfoData list;
	char	   *given;

	if (PG_ARGISNULL(n))
		return CStringGetTextDatum(words[0]);
	given = text_to_cstring(PG_GETARG_TEXT_PP(n));
	initStringInfo(&list);
	for (int i = 0; words[i] != NULL; i++)
	{
		if (strcmp(given, words[i]) == 0)
			return CStringGetTextDatum(given);
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : ", ", words[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s \"%s\" is unknown", what, gm_error_quote(given, strlen(given))),
			 errhint("It is one of %s.", list.data)));
	return (Datum) 0;
}

static char
null_flag(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? 'n' : ' ';
}

/* ---- small ones that read ---- */

Datum
graphmem_current_graph_id(PG_FUNCTION_ARGS)
{
	/* a scan may ask per row, so the answer is kept while it cannot change */
	static struct
	{
		char		name[NAMEDATALEN * 2];
		Oid			user;
		LocalTransactionId transaction;
		TransactionId xmin;
		TransactionId xmax;
		uint32		xcnt;
		CommandId	command;
		int32		id;
	}			kept;
	text	   *graph = gm_sql_text_arg(fcinfo, 0);
	Snapshot	snapshot = GetActiveSnapshot();
	LocalTransactionId transaction = gm_compat_lxid(MyProc);
	char	   *name;
	int32		id;

	if (graph == NULL && kept.transaction == transaction && kept.user == GetUserId() &&
		kept.xmin == snapshot->xmin && kept.xmax == snapshot->xmax &&
		kept.xcnt == snapshot->xcnt && kept.command == snapshot->curcid &&
		gm_guc_graph != NULL && strcmp(kept.name, gm_guc_graph) == 0)
		id = kept.id;
	else
	{
		name = gm_graph_name(graph);
		SPI_connect();
		id = gm_graph_find(name);
		SPI_finish();
		if (graph == NULL && strlen(name) < sizeof(kept.name))
		{
			strcpy(kept.name, name);
			kept.user = GetUserId();
			kept.transaction = transaction;
			kept.xmin = snapshot->xmin;
			kept.xmax = snapshot->xmax;
			kept.xcnt = snapshot->xcnt;
			kept.command = snapshot->curcid;
			kept.id = id;
		}
	}
	if (id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(id);
}

static void
report_syntax(const char *start, const char *at, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for a vector"),
			 errdetail("%s at position %d.", what, (int) (at - start) + 1)));
}

static const char *
skip_blanks(const char *at)
{
	while (isspace((unsigned char) *at))
		at++;
	return at;
}

static ArrayType *
float_array(Datum *values, int n)
{
	return (ArrayType *) DatumGetPointer(gm_sql_array(FLOAT4OID, values, NULL, n));
}

static void
report_dimensions(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a vector has at most %d dimensions", GM_VEC_MAX_DIM)));
}

Datum
graphmem_to_vector(PG_FUNCTION_ARGS)
{
	char	   *start = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *at = skip_blanks(start);
	char		close = *at == '{' ? '}' : ']';
	Datum	   *values = palloc_array(Datum, 64);
	int			room = 64;
	int			n = 0;

	if (*at != '[' && *at != '{')
		report_syntax(start, at, "A \"[\" is missing");
	at = skip_blanks(at + 1);
	while (*at != close)
	{
		char	   *end;
		float		value;

		if (n > 0)
		{
			if (*at != ',')
				report_syntax(start, at, *at == '\0' ? "The vector ends" : "A \",\" is missing");
			at = skip_blanks(at + 1);
		}
		errno = 0;
		value = strtof(at, &end);
		if (end == at)
			report_syntax(start, at, "A number is missing");
		if (!isfinite(value))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("element %d of the vector is not finite", n + 1),
					 errdetail("It is \"%s\".", gm_error_quote(at, end - at))));
		if (n == GM_VEC_MAX_DIM)
			report_dimensions();
		if (n == room)
			values = repalloc(values, (room *= 2) * sizeof(Datum));
		values[n++] = Float4GetDatum(value);
		at = skip_blanks(end);
	}
	if (n == 0)
		report_syntax(start, at, "A number is missing");
	at = skip_blanks(at + 1);
	if (*at != '\0')
		report_syntax(start, at, "Something follows the vector");
	PG_RETURN_ARRAYTYPE_P(float_array(values, n));
}

/*
 * A client's array of floats as it lies in memory.  Receiving a real[] of 300
 * elements in binary costs 3.5 us more, a call for each of them.
 */
Datum
graphmem_to_vector_bytes(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	Size		length = VARSIZE_ANY_EXHDR(bytes);
	int			n = (int) (length / sizeof(float4));
	Size		size = ARR_OVERHEAD_NONULLS(1) + length;
	ArrayType  *array;
	float4	   *values;

	if (length == 0 || length % sizeof(float4) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of a vector"),
				 errdetail("It has %zu bytes; an element has 4.", length)));
	if (n > GM_VEC_MAX_DIM)
		report_dimensions();
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	values = (float4 *) ARR_DATA_PTR(array);
	memcpy(values, VARDATA_ANY(bytes), length);
	for (int i = 0; i < n; i++)
	{
#ifdef WORDS_BIGENDIAN
		uint32		bits;

		memcpy(&bits, &values[i], sizeof(bits));
		bits = pg_bswap32(bits);
		memcpy(&values[i], &bits, sizeof(bits));
#endif
		if (!isfinite(values[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("element %d of the vector is not finite", i + 1)));
	}
	PG_RETURN_ARRAYTYPE_P(array);
}

/* ---- names ---- */

/* Resolves or creates one name, connected. */
static int64
one_name(int32 graph_id, GmNameClass class, const text *name, const text *type, const text *kind)
{
	GmNamePool *pool = gm_names_begin(CurrentMemoryContext);
	uint32		number = gm_names_add(pool, class, name, type, kind);

	gm_names_resolve(pool, graph_id);
	return gm_names_id(pool, number);
}

Datum
graphmem_add_entity(PG_FUNCTION_ARGS)
{
	text	   *name = gm_sql_required_text(fcinfo, 0, "name of an entity");
	text	   *kind = gm_sql_text_arg(fcinfo, 1);
	Jsonb	   *properties = object_arg(fcinfo, 2, "properties of an entity");
	char	   *graph = gm_graph_name(gm_sql_text_arg(fcinfo, 4));
	int			level = gm_sql_enter();
	int32		graph_id = gm_graph_for_write(graph);
	int64		id;

	gm_graph_lock(graph_id, false);
	id = one_name(graph_id, GM_NAME_ENTITY, name, gm_sql_text_arg(fcinfo, 3), kind);
	if (kind != NULL || properties != NULL)
	{
		Datum		args[3] = {Int64GetDatum(id), PointerGetDatum(kind), PointerGetDatum(properties)};
		char		nulls[3] = {' ', null_flag(fcinfo, 1), null_flag(fcinfo, 2)};

		gm_sql_run(&update_entity, args, nulls);
		gm_sql_done();
	}
	gm_sql_leave(level);
	PG_RETURN_INT64(id);
}

Datum
graphmem_add_source(PG_FUNCTION_ARGS)
{
	text	   *name = gm_sql_required_text(fcinfo, 0, "name of a source");
	char	   *graph = gm_graph_name(gm_sql_text_arg(fcinfo, 7));
	Datum		args[7];
	char		nulls[7] = {' '};
	bool		given = false;
	int32		graph_id;
	int64		id;
	int			level;

	(void) object_arg(fcinfo, 6, "metadata of a source");
	if (!PG_ARGISNULL(5) && !(PG_GETARG_FLOAT4(5) >= 0 && PG_GETARG_FLOAT4(5) <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reliability %g is out of range", PG_GETARG_FLOAT4(5)),
				 errdetail("A reliability is between 0 and 1.")));
	level = gm_sql_enter();
	graph_id = gm_graph_for_write(graph);
	gm_graph_lock(graph_id, false);
	id = one_name(graph_id, GM_NAME_SOURCE, name, NULL, NULL);
	args[0] = Int64GetDatum(id);
	for (int i = 1; i < 7; i++)
	{
		args[i] = fcinfo->args[i].value;
		nulls[i] = null_flag(fcinfo, i);
		given = given || nulls[i] == ' ';
	}
	if (given)
	{
		gm_sql_run(&update_source, args, nulls);
		gm_sql_done();
	}
	gm_sql_leave(level);
	PG_RETURN_INT64(id);
}

Datum
graphmem_add_triple(PG_FUNCTION_ARGS)
{
	GmFactWriter *writer = gm_facts_begin(CurrentMemoryContext, gm_graph_name(gm_sql_text_arg(fcinfo, 9)));
	GmFact		fact = {0};

	fact.subject = gm_sql_text_arg(fcinfo, 0);
	fact.predicate = gm_sql_text_arg(fcinfo, 1);
	fact.object = gm_sql_text_arg(fcinfo, 2);
	fact.source = gm_sql_text_arg(fcinfo, 3);
	fact.has_confidence = !PG_ARGISNULL(4);
	if (fact.has_confidence)
		fact.confidence = PG_GETARG_FLOAT4(4);
	fact.has_from = !PG_ARGISNULL(5);
	if (fact.has_from)
		fact.valid_from = PG_GETARG_TIMESTAMPTZ(5);
	fact.has_to = !PG_ARGISNULL(6);
	if (fact.has_to)
		fact.valid_to = PG_GETARG_TIMESTAMPTZ(6);
	fact.properties = PG_ARGISNULL(7) ? NULL : PG_GETARG_JSONB_P(7);
	fact.object_type = gm_sql_text_arg(fcinfo, 8);
	gm_facts_state(writer, &fact);
	PG_RETURN_INT64(gm_facts_finish(writer));
}

/* ---- predicates ---- */

static void
set_functional(int64 predicate, bool functional)
{
	Datum		args[2] = {Int64GetDatum(predicate), BoolGetDatum(functional)};

	gm_sql_refuse_stale(&sum_versions, args, "facts with a predicate");
	if (functional)
	{
		gm_sql_run(&find_rivals, args, NULL);
		if (SPI_processed > 0)
		{
			int64		subject = gm_sql_int8(0, 1);
			int64		first = gm_sql_int8(0, 2);
			int64		second = gm_sql_int8(0, 3);
			char	   *a = gm_fact_describe(subject, predicate, first);
			char	   *b = gm_fact_describe(subject, predicate, second);

			ereport(ERROR,
					(errcode(ERRCODE_UNIQUE_VIOLATION),
					 errmsg("predicate has subjects with several objects at the same time"),
					 errdetail("Valid at the same time are %s and %s.", a, b),
					 errhint("Leave one of them with graphmem.supersede() or graphmem.retract(), or by updating valid_to in graphmem.facts.")));
		}
		gm_sql_done();
	}
	gm_sql_run(&update_functional, args, NULL);
	gm_sql_done();
}

Datum
graphmem_set_predicate(PG_FUNCTION_ARGS)
{
	text	   *name = gm_sql_required_text(fcinfo, 0, "name of a predicate");
	char	   *graph = gm_graph_name(gm_sql_text_arg(fcinfo, 4));
	Datum		args[4];
	char		nulls[4] = {' ', null_flag(fcinfo, 1), null_flag(fcinfo, 2), null_flag(fcinfo, 3)};
	int32		graph_id;
	int64		id = 0;
	bool		found = false;
	int			level;

	if (!PG_ARGISNULL(3) && !(PG_GETARG_FLOAT4(3) > 0 && PG_GETARG_FLOAT4(3) <= 1000000))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("weight %g is out of range", PG_GETARG_FLOAT4(3)),
				 errdetail("A weight is above 0 and at most 1000000.")));
	level = gm_sql_enter();
	graph_id = gm_graph_find(graph);
	if (graph_id != 0)
	{
		gm_graph_lock(graph_id, !PG_ARGISNULL(1));
		args[0] = Int32GetDatum(graph_id);
		args[1] = PointerGetDatum(name);
		gm_sql_run(&find_predicate, args, NULL);
		found = SPI_processed > 0;
		if (found)
			id = gm_sql_int8(0, 1);
		gm_sql_done();
	}
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("predicate \"%s\" does not exist",
						gm_error_quote(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name))),
				 errhint("State a fact with it first.")));
	args[0] = Int64GetDatum(id);
	for (int i = 1; i < 4; i++)
		args[i] = fcinfo->args[i].value;
	gm_sql_run(&update_predicate, args, nulls);
	gm_sql_done();
	if (!PG_ARGISNULL(1))
		set_functional(id, PG_GETARG_BOOL(1));
	gm_sql_leave(level);
	PG_RETURN_INT64(id);
}

/* ---- vector spaces ---- */

Datum
graphmem_create_vector_space(PG_FUNCTION_ARGS)
{
	static const char *const targets[] = {"entity", "fact", "source", NULL};
	static const char *const metrics[] = {"cosine", "l2", "ip", NULL};
	static const char *const quantisations[] = {"int8", "f16", "none", NULL};
	static const char *const precisions[] = {"image", "table", NULL};
	text	   *name = gm_sql_required_text(fcinfo, 0, "name of a vector space");
	char	   *graph = gm_graph_name(gm_sql_text_arg(fcinfo, 8));
	Datum		args[9];
	bool		isnull;
	int32		id;
	int			level;

	if (VARSIZE_ANY_EXHDR(name) < 1 || VARSIZE_ANY_EXHDR(name) > 1000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("name of a vector space has between 1 and 1000 bytes")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("dim must not be null")));
	args[1] = PointerGetDatum(name);
	args[2] = Int32GetDatum(int_arg(fcinfo, 1, "dim", 0, 1, GM_VEC_MAX_DIM));
	args[3] = word_arg(fcinfo, 2, "target", targets);
	args[4] = word_arg(fcinfo, 3, "metric", metrics);
	args[5] = word_arg(fcinfo, 4, "quantisation", quantisations);
	args[6] = Int32GetDatum(int_arg(fcinfo, 5, "m", 16, 2, 100));
	args[7] = Int32GetDatum(int_arg(fcinfo, 6, "ef_construction", 200, 4, 10000));
	args[8] = word_arg(fcinfo, 7, "full_precision", precisions);
	level = gm_sql_enter();
	args[0] = Int32GetDatum(gm_graph_for_write(graph));
	gm_sql_run(&create_space, args, NULL);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("vector space \"%s\" already exists", text_to_cstring(name))));
	id = DatumGetInt32(gm_sql_datum(0, 1, &isnull));
	gm_sql_done();
	gm_sql_leave(level);
	PG_RETURN_INT32(id);
}

Datum
graphmem_drop_vector_space(PG_FUNCTION_ARGS)
{
	text	   *name = gm_sql_required_text(fcinfo, 0, "name of a vector space");
	char	   *graph = gm_graph_name(gm_sql_text_arg(fcinfo, 1));
	int			level = gm_sql_enter();
	int32		graph_id = gm_graph_find(graph);
	Datum		args[2] = {Int32GetDatum(graph_id), PointerGetDatum(name)};
	bool		isnull;
	int64		dropped;

	/* those who write vectors would add some that are not counted */
	if (graph_id != 0)
		gm_graph_lock(graph_id, true);
	gm_sql_run(&find_space, args, NULL);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("vector space \"%s\" does not exist",
						gm_error_quote(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)))));
	args[0] = gm_sql_datum(0, 1, &isnull);
	gm_sql_done();
	gm_sql_run(&drop_vectors, args, NULL);
	dropped = (int64) SPI_processed;
	gm_sql_done();

	/* they go with the space */
	gm_sql_run(&count_computed, args, NULL);
	dropped += gm_sql_int8(0, 1);
	gm_sql_done();
	gm_sql_run(&drop_space, args, NULL);
	gm_sql_done();
	gm_sql_leave(level);
	PG_RETURN_INT64(dropped);
}

/* ---- vectors ---- */

Datum
graphmem_set_embedding(PG_FUNCTION_ARGS)
{
	GmVectorWriter *writer = gm_vectors_begin(CurrentMemoryContext,
											  gm_graph_name(gm_sql_text_arg(fcinfo, 3)), GM_VECTOR_PUT);

	gm_vectors_put(writer, gm_sql_text_arg(fcinfo, 0),
				   PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1), gm_sql_text_arg(fcinfo, 2), NULL);
	PG_RETURN_INT64(gm_vectors_finish(writer));
}

Datum
graphmem_set_embeddings(PG_FUNCTION_ARGS)
{
	ArrayType  *items;
	ArrayType  *flat;
	Datum	   *names;
	bool	   *no_name;
	const float4 *floats;
	int			nitems;
	int64		nfloats;
	int			dim;
	GmVectorWriter *writer;
	bool		outermost;

	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("items, flat and dim must not be null")));
	items = PG_GETARG_ARRAYTYPE_P(0);
	flat = PG_GETARG_ARRAYTYPE_P(1);
	dim = int_arg(fcinfo, 2, "dim", 0, 1, GM_VEC_MAX_DIM);
	deconstruct_array(items, TEXTOID, -1, false, TYPALIGN_INT, &names, &no_name, &nitems);
	nfloats = ArrayGetNItems(ARR_NDIM(flat), ARR_DIMS(flat));
	if (nfloats != (int64) nitems * dim)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("flat has %lld elements, not %lld", (long long) nfloats,
						(long long) nitems * dim),
				 errdetail("There are %d items of %d dimensions.", nitems, dim)));
	if (array_contains_nulls(flat))
	{
		const bits8 *bitmap = ARR_NULLBITMAP(flat);
		int			at = 0;

		while (bitmap[at / 8] & (1 << (at % 8)))
			at++;
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector of \"%s\" has a null element",
						no_name[at / dim] ? "?" : TextDatumGetCString(names[at / dim])),
				 errdetail("Element %d is null.", at % dim + 1)));
	}
	floats = (const float4 *) ARR_DATA_PTR(flat);
	writer = gm_vectors_begin(CurrentMemoryContext, gm_graph_name(gm_sql_text_arg(fcinfo, 4)),
							  GM_VECTOR_PUT);
	outermost = gm_call_begin(GM_CALL_graphmem_set_embeddings);
	for (int i = 0; i < nitems; i++)
	{
		gm_call_phase(GM_PHASE_VECTORS, i, nitems);
		CHECK_FOR_INTERRUPTS();
		gm_vectors_put_floats(writer, no_name[i] ? NULL : DatumGetTextPP(names[i]),
							  floats + (Size) i * dim, dim, gm_sql_text_arg(fcinfo, 3));
	}
	(void) gm_vectors_finish(writer);
	if (outermost)
		gm_call_end(1, gm_call_records());
	PG_RETURN_INT64(nitems);
}
