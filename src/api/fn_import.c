/*-------------------------------------------------------------------------
 *
 * fn_import.c
 *	  Graphs that lie in tables of other shapes become facts: import_edges,
 *	  import_age, and agtype_to_jsonb, which the latter reads properties with.
 *
 * Each function describes its source by two queries, which read under the
 * caller's snapshot and privileges:
 *	 vertices	id text, name text, kind text, properties jsonb
 *	 edges		source text, target text (ids, or names where there are no
 *				vertices), predicate text, properties jsonb
 * Rows come by a cursor and go to the writer of facts.
 *
 * Parallel edges	facts are unique, edges need not be: where several have the
 *			same ends and predicate, the fact has the property "edges", the
 *			array of their properties.
 * Names	must be unique and not NULL, or two vertices would become one
 *
 * Memory	the writer's, and work_mem for joins and groups
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "api/facts.h"
#include "api/names.h"
#include "api/sql.h"
#include "compat.h"
#include "error.h"

#define FETCH_ROWS	1000

PG_FUNCTION_INFO_V1(graphmem_import_edges);
PG_FUNCTION_INFO_V1(graphmem_import_age);
PG_FUNCTION_INFO_V1(graphmem_agtype_to_jsonb);

typedef struct Import
{
	const char *vertices;		/* NULL: edges have names */
	const char *edges;
	const text *source;			/* that states the facts; NULL if none */
	GmFactWriter *facts;
	int64		count;
} Import;

/* column col of row, NULL if it is */
static Datum
column(HeapTuple row, TupleDesc desc, int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(row, desc, col, &isnull);

	return isnull ? (Datum) 0 : value;
}

static text *
text_column(HeapTuple row, TupleDesc desc, int col)
{
	Datum		value = column(row, desc, col);

	return value == (Datum) 0 ? NULL : DatumGetTextPP(value);
}

static char *
quoted(const text *value)
{
	return value == NULL ? pstrdup("NULL") :
		psprintf("\"%s\"", gm_error_quote(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)));
}

static void
for_each_row(Import *import, const char *query,
			 void (*take) (Import *, HeapTuple, TupleDesc))
{
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "graphmem imported rows",
												  ALLOCSET_DEFAULT_SIZES);
	Portal		portal;

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", query, SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	do
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			CHECK_FOR_INTERRUPTS();
			take(import, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
			MemoryContextSwitchTo(old);
			MemoryContextReset(context);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	SPI_freeplan(plan);
	MemoryContextDelete(context);
}

static void
report_vertex(Import *import, HeapTuple row, TupleDesc desc)
{
	text	   *value = text_column(row, desc, 2);
	char	   *what = SPI_getvalue(row, desc, 1);

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of a vertex must not be null", what)));
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("several vertices have the %s %s", what, quoted(value)),
			 errhint("Each must be an entity of its own: take a column that is unique.")));
}

static void
take_vertex(Import *import, HeapTuple row, TupleDesc desc)
{
	Datum		properties = column(row, desc, 3);
	Jsonb	   *object = properties == (Datum) 0 ? NULL : DatumGetJsonbP(properties);

	if (object != NULL && JB_ROOT_IS_OBJECT(object) && JB_ROOT_COUNT(object) == 0)
		object = NULL;
	gm_facts_entity(import->facts, text_column(row, desc, 1), text_column(row, desc, 2), 0, object);
}

static void
add_edge_context(void *arg)
{
	const GmFact *fact = arg;

	errcontext("edge from %s to %s", quoted(fact->subject), quoted(fact->object));
}

static void
take_edge(Import *import, HeapTuple row, TupleDesc desc)
{
	GmFact		fact = {0};
	Datum		properties = column(row, desc, 4);
	ErrorContextCallback callback;

	fact.subject = text_column(row, desc, 1);
	fact.predicate = text_column(row, desc, 2);
	fact.object = text_column(row, desc, 3);
	fact.source = import->source;
	fact.properties = properties == (Datum) 0 ? NULL : DatumGetJsonbP(properties);
	for (int col = 5; col <= 6; col++)
		if (column(row, desc, col) != (Datum) 0)
			ereport(ERROR,
					(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
					 errmsg("edge refers to a vertex %s that is not there",
							quoted(text_column(row, desc, col)))));
	callback.callback = add_edge_context;
	callback.arg = &fact;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	gm_facts_state(import->facts, &fact);
	error_context_stack = callback.previous;
	import->count++;
}

static int64
run_import(Import *import, char *graph)
{
	StringInfoData edges;

	initStringInfo(&edges);
	import->facts = gm_facts_begin(CurrentMemoryContext, graph);
	if (import->vertices != NULL)
	{
		for_each_row(import, psprintf("WITH v AS MATERIALIZED (%s)"
									  " (SELECT 'id', id FROM v GROUP BY id"
									  " HAVING count(*) > 1 OR id IS NULL LIMIT 1)"
									  " UNION ALL (SELECT 'name', name FROM v GROUP BY name"
									  " HAVING count(*) > 1 OR name IS NULL LIMIT 1)",
									  import->vertices), report_vertex);
		for_each_row(import, psprintf("SELECT name, kind, properties FROM (%s) AS v",
									  import->vertices), take_vertex);
		appendStringInfo(&edges, "WITH v AS MATERIALIZED (%s), e AS (SELECT s.name AS source,"
						 " t.name AS target, e.predicate, e.properties,"
						 " CASE WHEN s.id IS NULL THEN e.source END AS no_source,"
						 " CASE WHEN t.id IS NULL THEN e.target END AS no_target"
						 " FROM (%s) AS e LEFT JOIN v AS s ON s.id = e.source"
						 " LEFT JOIN v AS t ON t.id = e.target)",
						 import->vertices, import->edges);
	}
	else
		appendStringInfo(&edges, "WITH e AS (SELECT e.*, NULL::text AS no_source,"
						 " NULL::text AS no_target FROM (%s) AS e)", import->edges);
	appendStringInfoString(&edges,
						   " SELECT source, predicate, target, CASE count(*) WHEN 1"
						   " THEN CASE WHEN jsonb_agg(properties) <> '[{}]' THEN jsonb_agg(properties) -> 0 END"
						   " ELSE jsonb_build_object('edges', jsonb_agg(properties ORDER BY properties)) END,"
						   " no_source, no_target FROM e"
						   " GROUP BY source, predicate, target, no_source, no_target");
	for_each_row(import, edges.data, take_edge);
	(void) gm_facts_finish(import->facts);
	return import->count;
}

/* ---- edges ---- */

static Oid
table_arg(FunctionCallInfo fcinfo, int n)
{
	Oid			table = PG_ARGISNULL(n) ? InvalidOid : PG_GETARG_OID(n);

	if (OidIsValid(table) && get_rel_name(table) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("relation with OID %u does not exist", table)));
	if (OidIsValid(table) && strchr("rvmfp", get_rel_relkind(table)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is neither a table nor a view", get_rel_name(table))));
	return table;
}

/* A column of the table, NULL if none is named. */
static const char *
column_arg(FunctionCallInfo fcinfo, int n, const char *argument, Oid table, bool required)
{
	const char *name;

	if (PG_ARGISNULL(n))
	{
		if (required)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", argument)));
		return NULL;
	}
	name = NameStr(*PG_GETARG_NAME(n));
	if (!OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is given without vertices", argument)));
	if (get_attnum(table, name) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", name,
						get_rel_name(table))));
	return name;
}

static const char *
table_name(Oid table)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
									  get_rel_name(table));
}

static void
append_column(StringInfo query, const char *column, const char *as)
{
	if (column == NULL)
		appendStringInfo(query, "NULL::text AS %s", as);
	else
		appendStringInfo(query, "x.%s::text AS %s", quote_identifier(column), as);
}

/* the columns of x that are not among these, some of which may be NULL */
static void
append_rest(StringInfo query, const char *const *taken, int n)
{
	appendStringInfoString(query, ", to_jsonb(x.*) - ARRAY[");
	for (int i = 0, listed = 0; i < n; i++)
		if (taken[i] != NULL)
			appendStringInfo(query, "%s%s", listed++ == 0 ? "" : ", ", quote_literal_cstr(taken[i]));
	appendStringInfoString(query, "]::text[] AS properties");
}

Datum
graphmem_import_edges(PG_FUNCTION_ARGS)
{
	Oid			edges = table_arg(fcinfo, 0);
	Oid			vertices = table_arg(fcinfo, 5);
	const char *taken[3];
	const char *id;
	const char *name;
	const char *kind;
	Import		import = {.source = gm_sql_text_arg(fcinfo, 9)};
	char	   *graph = gm_graph_name(gm_sql_text_arg(fcinfo, 10));
	StringInfoData query;
	int64		count;

	if (!OidIsValid(edges))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("edges must not be null")));
	taken[0] = column_arg(fcinfo, 1, "source_column", edges, true);
	taken[1] = column_arg(fcinfo, 2, "target_column", edges, true);
	taken[2] = column_arg(fcinfo, 3, "predicate_column", edges, false);
	id = column_arg(fcinfo, 6, "id_column", vertices, OidIsValid(vertices));
	name = column_arg(fcinfo, 7, "name_column", vertices, false);
	kind = column_arg(fcinfo, 8, "kind_column", vertices, false);

	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ");
	append_column(&query, taken[0], "source");
	appendStringInfoString(&query, ", ");
	append_column(&query, taken[1], "target");
	appendStringInfoString(&query, ", ");
	if (taken[2] != NULL)
		append_column(&query, taken[2], "predicate");
	else
		appendStringInfo(&query, "%s::text AS predicate",
						 quote_literal_cstr(PG_ARGISNULL(4) ? "edge" : text_to_cstring(PG_GETARG_TEXT_PP(4))));
	append_rest(&query, taken, 3);
	appendStringInfo(&query, " FROM %s AS x", table_name(edges));
	import.edges = query.data;

	if (OidIsValid(vertices))
	{
		/* an id that is not the name is a property like others */
		const char *used[2] = {name == NULL ? id : name, kind};

		initStringInfo(&query);
		appendStringInfoString(&query, "SELECT ");
		append_column(&query, id, "id");
		appendStringInfoString(&query, ", ");
		append_column(&query, used[0], "name");
		appendStringInfoString(&query, ", ");
		append_column(&query, kind, "kind");
		append_rest(&query, used, 2);
		appendStringInfo(&query, " FROM %s AS x", table_name(vertices));
		import.vertices = query.data;
	}

	SPI_connect();
	count = run_import(&import, graph);
	SPI_finish();
	PG_RETURN_INT64(count);
}

/* ---- Apache AGE ---- */

static bool
ends_word(char c)
{
	return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
}

/*
 * What the text form of agtype has beyond JSON, outside of strings: a type
 * behind a value, as in 1.5::numeric, and floats that are no numbers.
 */
static char *
agtype_to_json(const char *at)
{
	static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
	StringInfoData json;

	initStringInfo(&json);
	while (*at != '\0')
	{
		bool		known = false;

		if (*at == '"')
		{
			const char *end = at + 1;

			while (*end != '\0' && *end != '"')
				end += *end == '\\' && end[1] != '\0' ? 2 : 1;
			if (*end == '"')
				end++;
			appendBinaryStringInfo(&json, at, (int) (end - at));
			at = end;
			continue;
		}
		if (at[0] == ':' && at[1] == ':')
		{
			for (at += 2; !ends_word(*at); at++)
				continue;
			continue;
		}
		for (size_t i = 0; i < lengthof(words) && !known; i++)
		{
			size_t		len = strlen(words[i]);

			if (strncmp(at, words[i], len) == 0 && ends_word(at[len]))
			{
				appendStringInfo(&json, "\"%s\"", words[i]);
				at += len;
				known = true;
			}
		}
		if (!known)
			appendStringInfoChar(&json, *at++);
	}
	return json.data;
}

Datum
graphmem_agtype_to_jsonb(PG_FUNCTION_ARGS)
{
	char	   *json = agtype_to_json(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

/* The quoted name of the schema that holds the graph. */
static const char *
age_schema(const char *name)
{
	Oid			types[1] = {NAMEOID};
	Datum		values[1] = {DirectFunctionCall1(namein, CStringGetDatum(name))};
	char	   *schema;

	if (!OidIsValid(get_extension_oid("age", true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("Apache AGE is not installed in this database"),
				 errhint("An AGE graph is imported where it lies; copy the facts from there.")));
	if (SPI_execute_with_args("SELECT g.namespace::regnamespace::text FROM ag_catalog.ag_graph AS g"
							  " WHERE g.name = $1", 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up an AGE graph");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("AGE graph \"%s\" does not exist", name)));
	schema = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	SPI_freetuptable(SPI_tuptable);
	return schema;
}

#define AGE_ID(id)	"ag_catalog.graphid_out(" id ")::text"
#define AGE_PROPERTIES \
	"jsonb_build_object('age_id', " AGE_ID("x.id") "::bigint)" \
	" || COALESCE(graphmem.agtype_to_jsonb(ag_catalog.agtype_out(x.properties)::text), '{}')"

Datum
graphmem_import_age(PG_FUNCTION_ARGS)
{
	char	   *graph = gm_graph_name(gm_sql_text_arg(fcinfo, 1));
	char	   *property = PG_ARGISNULL(2) ? "name" : text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *key = quote_literal_cstr(property);
	Import		import = {.source = gm_sql_text_arg(fcinfo, 3)};
	const char *schema;
	int64		count;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("age_graph must not be null")));
	SPI_connect();
	schema = age_schema(NameStr(*PG_GETARG_NAME(0)));
	import.vertices = psprintf("SELECT id, CASE WHEN given IS NOT NULL"
							   " AND count(*) OVER (PARTITION BY given) = 1 THEN given"
							   " ELSE label || ' ' || id END AS name,"
							   " CASE WHEN label <> '_ag_label_vertex' THEN label END AS kind, properties"
							   " FROM (SELECT id, label, properties, CASE WHEN jsonb_typeof(properties -> %s)"
							   " IN ('string', 'number', 'boolean') THEN properties ->> %s END AS given"
							   " FROM (SELECT " AGE_ID("x.id") " AS id, l.name::text AS label,"
							   " " AGE_PROPERTIES " AS properties FROM %s._ag_label_vertex AS x"
							   " JOIN ag_catalog.ag_label AS l ON l.relation::oid = x.tableoid) AS r) AS n",
							   key, key, schema);
	import.edges = psprintf("SELECT " AGE_ID("x.start_id") " AS source, " AGE_ID("x.end_id") " AS target,"
							" l.name::text AS predicate, " AGE_PROPERTIES " AS properties"
							" FROM %s._ag_label_edge AS x"
							" JOIN ag_catalog.ag_label AS l ON l.relation::oid = x.tableoid", schema);
	count = run_import(&import, graph);
	SPI_finish();
	PG_RETURN_INT64(count);
}
