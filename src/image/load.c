/*-------------------------------------------------------------------------
 *
 * load.c
 *	  From the tables to an image: one statement a table, rows streamed.
 *
 * The statements are ordinary SQL run through SPI, so privileges, row security
 * and the planner's choice between index and sequential scan come for free;
 * a DestReceiver takes the rows straight from the executor, which costs about
 * 100 ns a row less than collecting them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#include "error.h"
#include "image/load.h"

StaticAssertDecl(DT_NOBEGIN == GM_TIME_MIN && DT_NOEND == GM_TIME_MAX,
				 "open ends of time must be the server's infinities");

typedef struct Loader Loader;
typedef void (*RowFunction) (Loader *loader, Datum *values, bool *nulls);

struct Loader
{
	DestReceiver dest;			/* first: the executor's view of this */
	RowFunction row;
	MemoryContext row_context;	/* reset after each row */
	GmGraph    *graph;
	bool		row_security;	/* references to rows not seen are skipped */

	/* embeddings */
	GmSpaceInfo *info;

	/* small results */
	GmSpaceInfo *spaces;
	int			n_spaces;
	int32		graph_id;

	size_t		bytes;			/* estimated */

	/* of gm_load_progress */
	GmTable		table;
	uint64		rows;
};

void		(*gm_load_progress) (GmTable table, uint64 rows);
bool		gm_load_by_scan;

#define PROGRESS_ROWS	1024

/* gm_server_interrupt, with progress while rows are put in order */
static bool
interrupt_pending(void *arg)
{
	if (gm_load_progress != NULL)
		gm_load_progress(GM_TABLE_NONE, 0);
	return gm_server_interrupt.pending(arg);
}

static const GmInterrupt interrupt = {interrupt_pending, NULL};

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Loader	   *loader = (Loader *) self;
	MemoryContext old = MemoryContextSwitchTo(loader->row_context);

	if (gm_load_progress != NULL && ++loader->rows % PROGRESS_ROWS == 0)
		gm_load_progress(loader->table, loader->rows);
	slot_getallattrs(slot);
	loader->row(loader, slot->tts_values, slot->tts_isnull);
	MemoryContextSwitchTo(old);
	MemoryContextReset(loader->row_context);
	return true;
}

static void
receive_nothing(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
receive_end(DestReceiver *self)
{
}

/* what an image is made of */
static const char *const tables[] = {
	"graphs", "entities", "aliases", "predicates", "triples", "sources",
	"assertions", "vector_spaces", "embeddings", "topology_vectors"
};

/* as of the last load */
static Oid	table_ids[lengthof(tables)];

/*
 * Plans are kept for the session, those for reading by scan apart; the key
 * column is int4 but for graphs.name.
 */
typedef struct LoadPlan
{
	const char *query;
	Oid			key_type;
	SPIPlanPtr	plans[2];
} LoadPlan;

static LoadPlan graph_plan = {
	"SELECT graph_id FROM graphmem.graphs"
	" WHERE name OPERATOR(pg_catalog.=) $1", TEXTOID
};
static LoadPlan predicates_plan = {
	"SELECT predicate_id, name, functional, \"symmetric\", weight FROM graphmem.predicates"
	" WHERE graph_id OPERATOR(pg_catalog.=) $1", INT4OID
};
static LoadPlan entities_plan = {
	"SELECT entity_id, name, literal_type, kind, created_at FROM graphmem.entities"
	" WHERE graph_id OPERATOR(pg_catalog.=) $1", INT4OID
};
static LoadPlan aliases_plan = {
	"SELECT alias_id, name, entity_id FROM graphmem.aliases"
	" WHERE graph_id OPERATOR(pg_catalog.=) $1 ORDER BY alias_id", INT4OID
};
static LoadPlan sources_plan = {
	"SELECT source_id, name, session, kind, reliability, created_at FROM graphmem.sources"
	" WHERE graph_id OPERATOR(pg_catalog.=) $1", INT4OID
};
static LoadPlan triples_plan = {
	"SELECT triple_id, fact_id, subject_id, predicate_id, object_id, confidence,"
	" valid_from, valid_to, recorded_at, expired_at FROM graphmem.triples"
	" WHERE graph_id OPERATOR(pg_catalog.=) $1", INT4OID
};
static LoadPlan assertions_plan = {
	"SELECT fact_id, source_id, confidence, asserted_at FROM graphmem.assertions"
	" WHERE graph_id OPERATOR(pg_catalog.=) $1", INT4OID
};
static LoadPlan spaces_plan = {
	"SELECT space_id, name, target, metric, dim, m, ef_construction, quantisation, full_precision,"
	" origin, state FROM graphmem.vector_spaces WHERE graph_id OPERATOR(pg_catalog.=) $1 ORDER BY space_id", INT4OID
};
static LoadPlan embeddings_plan = {
	"SELECT item_id, embedding FROM graphmem.embeddings"
	" WHERE space_id OPERATOR(pg_catalog.=) $1", INT4OID
};
static LoadPlan topology_plan = {
	"SELECT entity_id, embedding FROM graphmem.topology_vectors"
	" WHERE space_id OPERATOR(pg_catalog.=) $1 AND embedding IS NOT NULL", INT4OID
};

static void
run(LoadPlan *lp, Datum key, Loader *loader, GmTable table, RowFunction row)
{
	SPIPlanPtr *kept = &lp->plans[gm_load_by_scan];
	SPIExecuteOptions options;
	ParamListInfo params;
	int			result;

	if (*kept == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(lp->query, 1, &lp->key_type);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", lp->query,
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		*kept = plan;
	}
	params = makeParamList(1);
	params->params[0].value = key;
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = lp->key_type;

	loader->dest.receiveSlot = receive_row;
	loader->dest.rStartup = receive_nothing;
	loader->dest.rShutdown = receive_end;
	loader->dest.rDestroy = receive_end;
	loader->dest.mydest = DestNone;
	loader->row = row;
	loader->table = table;
	loader->rows = 0;
	loader->row_context = AllocSetContextCreate(CurrentMemoryContext, "graphmem row",
												ALLOCSET_DEFAULT_SIZES);

	memset(&options, 0, sizeof(options));
	options.params = params;
	options.read_only = true;
	options.dest = &loader->dest;
	result = SPI_execute_plan_extended(*kept, &options);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", lp->query, SPI_result_code_string(result));
	MemoryContextDelete(loader->row_context);
}

static void
check(GmStatus status)
{
	gm_error_check(status, "loading a graph");
}

/* text without a copy where it is stored plain; NULL bytes for SQL NULL */
static const char *
text_bytes(Datum value, bool isnull, uint32_t *length)
{
	text	   *t;

	*length = 0;
	if (isnull)
		return NULL;
	t = DatumGetTextPP(value);
	*length = VARSIZE_ANY_EXHDR(t);
	return VARDATA_ANY(t);
}

/*
 * A row refers to one that is not there: hidden by row security, and then
 * this row is not there either, or the tables are broken.  A snapshot that is
 * kept may also see the old version of a row whose new one, of a transaction
 * that it does not see, this transaction deleted with what both refer to.
 */
static void
missing_reference(Loader *loader, const char *table)
{
	if (!loader->row_security && !IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("table \"%s\" refers to rows that do not exist", table),
				 errhint("Were its triggers disabled while rows were deleted?")));
}

static void
predicate_row(Loader *loader, Datum *values, bool *nulls)
{
	uint32_t	length;
	const char *name = text_bytes(values[1], nulls[1], &length);

	check(gm_graph_add_predicate(loader->graph, DatumGetInt64(values[0]), name, length,
								 DatumGetBool(values[2]), DatumGetBool(values[3]),
								 DatumGetFloat4(values[4])));
}

static void
entity_row(Loader *loader, Datum *values, bool *nulls)
{
	uint32_t	name_length;
	uint32_t	type_length;
	uint32_t	kind_length;
	const char *name = text_bytes(values[1], nulls[1], &name_length);
	const char *type = text_bytes(values[2], nulls[2], &type_length);
	const char *kind = text_bytes(values[3], nulls[3], &kind_length);

	check(gm_graph_add_entity(loader->graph, DatumGetInt64(values[0]), name, name_length,
							  type, type_length, kind, kind_length));
	gm_graph_date_entity(loader->graph, DatumGetTimestampTz(values[4]));
}

static void
alias_row(Loader *loader, Datum *values, bool *nulls)
{
	uint32_t	length;
	const char *name = text_bytes(values[1], nulls[1], &length);
	GmStatus	status = gm_graph_add_alias(loader->graph, DatumGetInt64(values[0]), name, length,
											DatumGetInt64(values[2]));

	if (status == GM_BAD_VALUE)
		missing_reference(loader, "graphmem.aliases");
	else
		check(status);
}

static void
source_row(Loader *loader, Datum *values, bool *nulls)
{
	uint32_t	name_length;
	uint32_t	session_length;
	uint32_t	kind_length;
	const char *name = text_bytes(values[1], nulls[1], &name_length);
	const char *session = text_bytes(values[2], nulls[2], &session_length);
	const char *kind = text_bytes(values[3], nulls[3], &kind_length);

	check(gm_graph_add_source(loader->graph, DatumGetInt64(values[0]), name, name_length,
							  session, session_length, kind, kind_length,
							  DatumGetFloat4(values[4])));
	gm_graph_date_source(loader->graph, DatumGetTimestampTz(values[5]));
}

static void
triple_row(Loader *loader, Datum *values, bool *nulls)
{
	GmTimes		times;
	GmStatus	status;

	times.valid_from = DatumGetTimestampTz(values[6]);
	times.valid_to = DatumGetTimestampTz(values[7]);
	times.recorded_at = DatumGetTimestampTz(values[8]);
	times.expired_at = DatumGetTimestampTz(values[9]);
	status = gm_graph_add_triple(loader->graph, DatumGetInt64(values[0]),
								 DatumGetInt64(values[1]), DatumGetInt64(values[2]),
								 DatumGetInt64(values[3]), DatumGetInt64(values[4]),
								 DatumGetFloat4(values[5]), &times);
	if (gm_unlikely(status != GM_OK))
	{
		if (status == GM_BAD_VALUE)
			missing_reference(loader, "graphmem.triples");
		else
			check(status);
	}
}

static void
assertion_row(Loader *loader, Datum *values, bool *nulls)
{
	GmStatus	status = gm_graph_add_assertion(loader->graph, DatumGetInt64(values[0]),
												DatumGetInt64(values[1]),
												DatumGetFloat4(values[2]),
												DatumGetTimestampTz(values[3]));

	if (status == GM_BAD_VALUE)
		missing_reference(loader, "graphmem.assertions");
	else
		check(status);
}

static void
graph_row(Loader *loader, Datum *values, bool *nulls)
{
	loader->graph_id = DatumGetInt32(values[0]);
}

int32_t
gm_load_graph_id(const char *name)
{
	Loader		loader;

	memset(&loader, 0, sizeof(loader));
	run(&graph_plan, CStringGetTextDatum(name), &loader, GM_TABLE_GRAPHS, graph_row);
	return loader.graph_id;
}

bool
gm_load_row_security(void)
{
	Oid			schema = get_namespace_oid("graphmem", false);
	bool		enabled = false;

	for (int i = 0; i < lengthof(tables); i++)
	{
		table_ids[i] = get_relname_relid(tables[i], schema);
		if (OidIsValid(table_ids[i]) &&
			check_enable_rls(table_ids[i], InvalidOid, true) == RLS_ENABLED)
			enabled = true;
	}
	return enabled;
}

bool
gm_load_reads(Oid relid)
{
	for (int i = 0; i < lengthof(tables); i++)
		if (table_ids[i] == relid)
			return true;
	return false;
}

void
gm_load_graph(int32_t graph_id, int64_t now, GmMem *mem, GmGraph **graph)
{
	Loader		loader;
	Datum		key = Int32GetDatum(graph_id);

	memset(&loader, 0, sizeof(loader));
	check(gm_graph_create(mem, graph));
	gm_graph_set_interrupt(*graph, &interrupt);
	loader.graph = *graph;
	loader.row_security = gm_load_row_security();
	if (graph_id != 0)
	{
		run(&predicates_plan, key, &loader, GM_TABLE_PREDICATES, predicate_row);
		run(&entities_plan, key, &loader, GM_TABLE_ENTITIES, entity_row);
		run(&aliases_plan, key, &loader, GM_TABLE_ALIASES, alias_row);
		run(&sources_plan, key, &loader, GM_TABLE_SOURCES, source_row);
		run(&triples_plan, key, &loader, GM_TABLE_TRIPLES, triple_row);
		run(&assertions_plan, key, &loader, GM_TABLE_ASSERTIONS, assertion_row);
	}
	check(gm_graph_finish(*graph, now, &interrupt));
}

static void
space_row(Loader *loader, Datum *values, bool *nulls)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(loader->spaces));
	GmSpaceInfo *info;
	char	   *metric = TextDatumGetCString(values[3]);
	char	   *target = TextDatumGetCString(values[2]);
	char	   *quantisation = TextDatumGetCString(values[7]);
	char	   *full_precision = TextDatumGetCString(values[8]);
	char	   *origin = TextDatumGetCString(values[9]);
	char	   *state = TextDatumGetCString(values[10]);

	loader->spaces = repalloc(loader->spaces, (loader->n_spaces + 1) * sizeof(GmSpaceInfo));
	info = &loader->spaces[loader->n_spaces++];
	info->space_id = DatumGetInt32(values[0]);
	info->name = TextDatumGetCString(values[1]);
	info->target = target[0];
	info->metric = strcmp(metric, "l2") == 0 ? GM_METRIC_L2 :
		strcmp(metric, "ip") == 0 ? GM_METRIC_IP : GM_METRIC_COSINE;
	info->dim = DatumGetInt32(values[4]);
	info->tuning.m = Max(DatumGetInt32(values[5]), 0);
	info->tuning.ef_construction = Max(DatumGetInt32(values[6]), 0);
	info->tuning.kind = strcmp(quantisation, "f16") == 0 ? GM_CODE_F16 :
		strcmp(quantisation, "none") == 0 ? GM_CODE_NONE : GM_CODE_INT8;
	info->computed = strcmp(origin, "topology") == 0;
	info->computing = strcmp(state, "computing") == 0;
	info->tuning.in_table = strcmp(full_precision, "table") == 0 && !info->computed;
	info->space = NULL;
	MemoryContextSwitchTo(old);
}

GmSpaceInfo *
gm_load_spaces(int32_t graph_id, int *count)
{
	Loader		loader;

	memset(&loader, 0, sizeof(loader));
	loader.spaces = palloc(sizeof(GmSpaceInfo));
	if (graph_id != 0)
		run(&spaces_plan, Int32GetDatum(graph_id), &loader, GM_TABLE_SPACES, space_row);
	*count = loader.n_spaces;
	return loader.spaces;
}

static void
embedding_row(Loader *loader, Datum *values, bool *nulls)
{
	GmSpaceInfo *info = loader->info;
	int64		item_id = DatumGetInt64(values[0]);
	uint32_t	number = GM_NONE;
	ArrayType  *array;

	if (info->target == 'e')
		number = gm_graph_find_entity(loader->graph, item_id);
	else if (info->target == 's')
		number = gm_graph_find_source_id(loader->graph, item_id);
	if (info->target == 'f' ? gm_graph_latest_version(loader->graph, item_id) == GM_NONE :
		number == GM_NONE)
	{
		missing_reference(loader, info->computed ? "graphmem.topology_vectors" :
						  "graphmem.embeddings");
		return;
	}
	array = DatumGetArrayTypeP(values[1]);
	if (ARR_NDIM(array) != 1 || ARR_HASNULL(array) || ARR_DIMS(array)[0] != (int) info->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector of item %lld does not fit space \"%s\"",
						(long long) item_id, info->name),
				 errdetail("The space has %u dimensions.", info->dim)));
	check(gm_space_add(info->space, item_id, number, (const float *) ARR_DATA_PTR(array)));
}

static void
load_vectors(Loader *loader, GmSpaceInfo *info)
{
	loader->info = info;
	run(info->computed ? &topology_plan : &embeddings_plan, Int32GetDatum(info->space_id), loader,
		info->computed ? GM_TABLE_TOPOLOGY : GM_TABLE_EMBEDDINGS, embedding_row);
}

void
gm_load_space(const GmGraph *graph, GmMem *mem, GmSpaceInfo *info)
{
	Loader		loader;

	memset(&loader, 0, sizeof(loader));
	loader.graph = unconstify(GmGraph *, graph);
	loader.row_security = gm_load_row_security();
	check(gm_space_create(mem, info->dim, info->metric, &info->space));
	gm_space_tune(info->space, &info->tuning);
	load_vectors(&loader, info);
	check(gm_space_finish(info->space,
						  info->target == 'e' ? graph->root->gr_nodes :
						  info->target == 's' ? graph->root->gr_sources : 0));
}

void
gm_load_graph_and_spaces(int32_t graph_id, int64_t now, GmMem *mem, bool encode,
						 GmGraph **graph)
{
	GmSpaceInfo *spaces;
	Loader		loader;
	int			n;

	gm_load_graph(graph_id, now, mem, graph);
	spaces = gm_load_spaces(graph_id, &n);
	memset(&loader, 0, sizeof(loader));
	loader.graph = *graph;
	loader.row_security = gm_load_row_security();
	for (int i = 0; i < n; i++)
	{
		GmSpaceInfo *info = &spaces[i];

		check(gm_graph_add_space(*graph, info->space_id, info->name, (uint32_t) strlen(info->name),
								 info->target, info->metric, info->dim, &info->space));
		gm_space_tune(info->space, &info->tuning);
		if (info->tuning.in_table)
			check(gm_space_set_apart(info->space));
		if (info->tuning.in_table && encode)
			check(gm_space_encode(info->space));
		if (info->computed)
			gm_graph_set_computed(*graph, info->space_id, info->computing);
		load_vectors(&loader, info);
		check(gm_graph_finish_space(*graph, info->space_id));
	}
}

static LoadPlan codes_plan = {
	"SELECT 1 FROM graphmem.vector_spaces s WHERE s.graph_id OPERATOR(pg_catalog.=) $1"
	" AND s.full_precision OPERATOR(pg_catalog.=) 'table' AND (SELECT pg_catalog.count(*)"
	" FROM (SELECT FROM graphmem.embeddings i WHERE i.space_id OPERATOR(pg_catalog.=) s.space_id"
	" LIMIT " CppAsString2(GM_SPACE_INDEX_FROM) ") e) OPERATOR(pg_catalog.>=) "
	CppAsString2(GM_SPACE_INDEX_FROM), INT4OID
};

static void
count_row(Loader *loader, Datum *values, bool *nulls)
{
	loader->bytes++;
}

bool
gm_load_has_codes(int32_t graph_id)
{
	Loader		loader;

	memset(&loader, 0, sizeof(loader));
	run(&codes_plan, Int32GetDatum(graph_id), &loader, GM_TABLE_NONE, count_row);
	return loader.bytes > 0;
}

/*
 * Estimate, as README gives it
 */
static LoadPlan triple_count_plan = {
	"SELECT 64 FROM graphmem.triples WHERE graph_id OPERATOR(pg_catalog.=) $1", INT4OID
};
static LoadPlan entity_count_plan = {
	"SELECT 98 OPERATOR(pg_catalog.+) pg_catalog.octet_length(name) FROM graphmem.entities"
	" WHERE graph_id OPERATOR(pg_catalog.=) $1", INT4OID
};
static LoadPlan assertion_count_plan = {
	"SELECT 24 FROM graphmem.assertions WHERE graph_id OPERATOR(pg_catalog.=) $1", INT4OID
};
static LoadPlan vector_count_plan = {
	"SELECT CASE WHEN s.full_precision OPERATOR(pg_catalog.=) 'table' THEN"
	" 80 OPERATOR(pg_catalog.+) 9 OPERATOR(pg_catalog.*) s.m OPERATOR(pg_catalog.+)"
	" s.dim OPERATOR(pg_catalog.*) CASE WHEN s.quantisation OPERATOR(pg_catalog.=) 'int8' THEN 1"
	" WHEN s.quantisation OPERATOR(pg_catalog.=) 'f16' THEN 2 ELSE 4 END"
	" ELSE 24 OPERATOR(pg_catalog.+) 4 OPERATOR(pg_catalog.*) s.dim END"
	" FROM graphmem.vector_spaces s JOIN (SELECT m.space_id FROM graphmem.embeddings m"
	" UNION ALL SELECT t.space_id FROM graphmem.topology_vectors t"
	" WHERE t.embedding IS NOT NULL) e ON e.space_id OPERATOR(pg_catalog.=) s.space_id"
	" WHERE s.graph_id OPERATOR(pg_catalog.=) $1", INT4OID
};

static void
sum_row(Loader *loader, Datum *values, bool *nulls)
{
	loader->bytes += DatumGetInt32(values[0]);
}

size_t
gm_load_estimate(int32_t graph_id)
{
	Datum		key = Int32GetDatum(graph_id);
	Loader		loader;

	memset(&loader, 0, sizeof(loader));
	run(&triple_count_plan, key, &loader, GM_TABLE_NONE, sum_row);
	run(&entity_count_plan, key, &loader, GM_TABLE_NONE, sum_row);
	run(&assertion_count_plan, key, &loader, GM_TABLE_NONE, sum_row);
	run(&vector_count_plan, key, &loader, GM_TABLE_NONE, sum_row);
	return loader.bytes;
}
