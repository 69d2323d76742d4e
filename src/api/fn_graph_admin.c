/*-------------------------------------------------------------------------
 *
 * fn_graph_admin.c
 *	  Graphs created and dropped.
 *
 * Statements run with the caller's privileges.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "error.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

#include "api/notify.h"
#include "api/statistics.h"
#include "compat.h"
#include "integrity.h"
#include "image/call.h"

#define GM_GRAPH_NAME_BYTES 1000

PG_FUNCTION_INFO_V1(graphmem_create_graph);
PG_FUNCTION_INFO_V1(graphmem_drop_graph);

/*
 * Children first, but for vectors of computed spaces, which go with those.  The
 * count of the triples is what drop_graph returns.
 */
static const char *const drop_statements[] = {
	"DELETE FROM graphmem.embeddings WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.activations WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.accesses WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.functional_keys WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.aliases WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.assertions WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.supersessions WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.merge_rows WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.merges WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.vector_spaces WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.entities WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.predicates WHERE graph_id OPERATOR(pg_catalog.=) $1",
	"DELETE FROM graphmem.sources WHERE graph_id OPERATOR(pg_catalog.=) $1",
};
static const char *const drop_triples =
"DELETE FROM graphmem.triples WHERE graph_id OPERATOR(pg_catalog.=) $1";
static const char *const drop_graph_row =
"DELETE FROM graphmem.graphs WHERE graph_id OPERATOR(pg_catalog.=) $1";

#define OF_GRAPH " AND t.graph_id" GM_EQ "$1"

static GmSql find_statistics = {
	"SELECT DISTINCT 'entities', x.attname, x.value FROM graphmem.entities t"
	GM_IN_STATISTICS("entities", "('name', t.name), ('kind', t.kind), ('literal_type', t.literal_type)")
	OF_GRAPH " UNION SELECT 'aliases', x.attname, x.value FROM graphmem.aliases t"
	GM_IN_STATISTICS("aliases", "('name', t.name)")
	OF_GRAPH " UNION SELECT 'predicates', x.attname, x.value FROM graphmem.predicates t"
	GM_IN_STATISTICS("predicates", "('name', t.name)")
	OF_GRAPH " UNION SELECT 'sources', x.attname, x.value FROM graphmem.sources t"
	GM_IN_STATISTICS("sources", "('name', t.name), ('kind', t.kind)")
	OF_GRAPH " UNION SELECT 'vector_spaces', x.attname, x.value FROM graphmem.vector_spaces t"
	GM_IN_STATISTICS("vector_spaces", "('name', t.name::pg_catalog.text)")
	OF_GRAPH " UNION SELECT 'graphs', x.attname, x.value FROM graphmem.graphs t"
	GM_IN_STATISTICS("graphs", "('name', t.name::pg_catalog.text)") OF_GRAPH,
	1, {INT4OID}
};

static void
connect_spi(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static text *
graph_name(FunctionCallInfo fcinfo)
{
	text	   *name;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of a graph must not be null")));
	name = PG_GETARG_TEXT_PP(0);
	return name;
}

static void
check_graph_name(const text *name)
{
	size_t		len = VARSIZE_ANY_EXHDR(name);

	if (len < 1 || len > GM_GRAPH_NAME_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("name of a graph must have 1 to %d bytes", GM_GRAPH_NAME_BYTES),
				 errdetail("The name has %zu bytes.", len)));
}

static void
check_residency(const char *residency)
{
	if (strcmp(residency, "auto") != 0 && strcmp(residency, "pinned") != 0 &&
		strcmp(residency, "none") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown residency \"%s\"", gm_error_quote(residency, strlen(residency))),
				 errhint("Residency is \"auto\", \"pinned\" or \"none\".")));
}

/*
 * create_graph(name text, residency text, settings jsonb) -> graph_id.
 * NULL for residency or settings means the default.
 */
Datum
graphmem_create_graph(PG_FUNCTION_ARGS)
{
	text	   *name = graph_name(fcinfo);
	char	   *residency = PG_ARGISNULL(1) ? "auto" : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			types[3] = {TEXTOID, TEXTOID, JSONBOID};
	Datum		values[3];
	char		nulls[3] = {' ', ' ', ' '};
	bool		isnull;
	int32		id;

	check_graph_name(name);
	check_residency(residency);
	values[0] = PointerGetDatum(name);
	values[1] = CStringGetTextDatum(residency);
	if (PG_ARGISNULL(2))
		nulls[2] = 'n';
	else if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(2)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("settings of a graph must be a JSON object")));
	else
	{
		gm_notify_check(PG_GETARG_JSONB_P(2));
		values[2] = PG_GETARG_DATUM(2);
	}

	connect_spi();
	if (SPI_execute_with_args("INSERT INTO graphmem.graphs (name, residency, settings) "
							  "VALUES ($1, $2, COALESCE($3, '{}')) "
							  "ON CONFLICT (name) DO NOTHING RETURNING graph_id",
							  3, types, values, nulls, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not insert into \"graphs\"");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("graph \"%s\" already exists", text_to_cstring(name)),
				 errhint("Write to it as it is, choose another name, or call graphmem.drop_graph() first.")));
	id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PG_RETURN_INT32(id);
}

/* False if there is no such graph. */
static bool
find_graph(text *name, int32 *id)
{
	Oid			type = TEXTOID;
	Datum		value = PointerGetDatum(name);
	bool		isnull;

	if (SPI_execute_with_args("SELECT graph_id FROM graphmem.graphs WHERE name OPERATOR(pg_catalog.=) $1",
							  1, &type, &value, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read \"graphs\"");
	if (SPI_processed == 0)
		return false;
	*id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	return true;
}

static int64
delete_rows(const char *sql, int32 graph_id)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(graph_id);
	SPIPlanPtr	plan = SPI_prepare(sql, 1, &type);
	int			result;

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	result = gm_integrity_execute(plan, &value, 0);
	if (result != SPI_OK_DELETE)
		elog(ERROR, "\"%s\" returned %s", sql, SPI_result_code_string(result));
	SPI_freeplan(plan);
	return (int64) SPI_processed;
}

/*
 * drop_graph(name text) -> number of triples removed.
 * Waits for the transactions that write to the graph.
 */
Datum
graphmem_drop_graph(PG_FUNCTION_ARGS)
{
	text	   *name = graph_name(fcinfo);
	int64		triples = 0;
	int32		id = 0;
	int			nest_level;
	Datum		graph;
	List	   *volatile statistics = NIL;
	bool		outermost = gm_call_begin(GM_CALL_graphmem_drop_graph);

	connect_spi();
	/* Row security would leave rows behind; the statements fail instead. */
	nest_level = NewGUCNestLevel();
	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (!find_graph(name, &id) || !gm_integrity_lock_graph(id))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("graph \"%s\" does not exist",
						gm_error_quote(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name))),
				 errhint("The table graphmem.graphs lists the graphs.")));
	graph = Int32GetDatum(id);
	statistics = gm_statistics_find(&find_statistics, &graph);
	gm_integrity_begin_drop(id);
	PG_TRY();
	{
		gm_call_phase(GM_PHASE_DELETING, 0, lengthof(drop_statements) + 2);
		triples = delete_rows(drop_triples, id);
		for (size_t i = 0; i < lengthof(drop_statements); i++)
		{
			gm_call_phase(GM_PHASE_DELETING, i + 1, lengthof(drop_statements) + 2);
			(void) delete_rows(drop_statements[i], id);
		}
		(void) delete_rows(drop_graph_row, id);
	}
	PG_FINALLY();
	{
		gm_integrity_end_drop();
	}
	PG_END_TRY();
	gm_statistics_renew(statistics);
	AtEOXact_GUC(false, nest_level);
	SPI_finish();
	if (outermost)
		gm_call_end(1, gm_call_records());
	PG_RETURN_INT64(triples);
}
