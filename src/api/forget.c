/*-------------------------------------------------------------------------
 *
 * forget.c
 *	  forget_source and forget_entity: facts erased with all that names them.
 *
 * Three sets are found first, each from the one before: the facts that go,
 * the entities and predicates that no other fact names, and the rows of every
 * other table that hang on these.  A dry run counts the last; else they are
 * deleted, children first, so that what goes is counted where it lies and the
 * tables' own cascades find nothing left.
 *
 * What an erased fact of a source had superseded is reopened first, newest step
 * first, as if the fact had not been stated (undo_supersede).  A step that
 * cannot be undone, since what it left was changed since, leaves the old fact
 * closed.
 *
 * Predicates whose settings somebody made (functional, symmetric, weight) stay:
 * stating a fact would not make them the same again.
 *
 * Concurrency	the graph's lock (PROTOCOL upserts, names.h) keeps writers of
 *				facts out until the transaction ends; they then find the facts
 *				gone and state them anew.  Against statements on the tables
 *				themselves each set is locked FOR UPDATE, which waits for whoever
 *				refers to it (integrity.c), and found once more: what is wanted
 *				by then stays.  In REPEATABLE READ that, and what would go beside
 *				it by now, is looked for among what is committed, and is 40001.
 * Memory		8 bytes a fact and entity that goes, a few times over
 * Complexity	a few index lookups for each row that goes; a subtransaction for each
 *				step that is undone
 * Limits		100 million facts a call
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "error.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "api/names.h"
#include "api/sql.h"
#include "api/statistics.h"
#include "compat.h"
#include "image/call.h"

PG_FUNCTION_INFO_V1(graphmem_forget_source);
PG_FUNCTION_INFO_V1(graphmem_forget_entity);

/* rows of the result, in this order */
typedef enum What
{
	FACTS, VERSIONS, ASSERTIONS, SUPERSESSIONS, ENTITIES, PREDICATES, ALIASES, MERGES, VECTORS,
	TOPOLOGY_VECTORS, ACCESSES, ACTIVATIONS, SOURCES, REOPENED, WHATS
} What;

static const char *const what_names[WHATS] = {
	[FACTS] = "facts", [VERSIONS] = "versions", [ASSERTIONS] = "assertions",
	[SUPERSESSIONS] = "supersessions", [ENTITIES] = "entities", [PREDICATES] = "predicates",
	[ALIASES] = "aliases", [MERGES] = "merges", [VECTORS] = "vectors",
	[TOPOLOGY_VECTORS] = "topology_vectors", [ACCESSES] = "accesses",
	[ACTIVATIONS] = "activations", [SOURCES] = "sources", [REOPENED] = "reopened",
};

/* ids that rows hang on */
typedef enum Ids
{
	SOURCE_IDS, FACT_IDS, ENTITY_IDS, PREDICATE_IDS, IDS
} Ids;

typedef struct Forgetting
{
	int32		graph_id;
	bool		dry_run;
	Datum		named;			/* entities that the caller named */
	Datum		ids[IDS];		/* bigint[] each */
	int64		rows[WHATS];
	int64		before[WHATS];	/* rows, if they were counted before facts were reopened */
} Forgetting;

#define UNNEST	"pg_catalog.unnest($1) AS u(id)"

/* the server hashes what stands after "= ANY (SELECT", but not after "<> ALL (SELECT" */
#define ONE_OF(ids) GM_EQ "ANY (SELECT pg_catalog.unnest(" ids "))"
#define OTHER_FACT "NOT t.fact_id" ONE_OF("$2")

/*
 * Merges of entities that go ($3), and those that keep for their undoing a row
 * of a fact that goes ($1) or of a statement by a source that does ($4).  What
 * was merged into an entity, or became part of a fact, before that was merged
 * itself is known only by the earlier merge: chains are followed to their ends,
 * a pass over the undo rows for each link.
 */
#define MERGED_BEFORE \
	"WITH RECURSIVE parts (id) AS (SELECT pg_catalog.unnest($1) UNION SELECT r.row_id FROM parts" \
	" JOIN graphmem.merge_rows r ON r.other_id" GM_EQ "parts.id WHERE r.relation" GM_EQ "'facts'" \
	" AND r.graph_id" GM_EQ "$2)," \
	" ends (id) AS (SELECT pg_catalog.unnest($3) UNION SELECT o.gone_id FROM ends" \
	" JOIN graphmem.merges o ON o.kept_id" GM_EQ "ends.id WHERE o.graph_id" GM_EQ "$2" \
	" AND o.unmerged_at IS NULL) "
#define AN_END GM_EQ "ANY (SELECT ends.id FROM ends)"
#define A_PART GM_EQ "ANY (SELECT parts.id FROM parts)"
#define KEPT_FACT(column) "(r.old OPERATOR(pg_catalog.->>) '" column "')::pg_catalog.int8" A_PART
#define MENTIONED \
	"m.graph_id" GM_EQ "$2 AND (m.kept_id" AN_END " OR m.gone_id" AN_END \
	" OR EXISTS (SELECT FROM graphmem.merge_rows r WHERE r.merge_id" GM_EQ "m.merge_id" \
	" AND CASE WHEN r.relation" GM_EQ "'facts' THEN r.other_id" A_PART \
	" WHEN r.relation" GM_EQ "'triples' THEN " KEPT_FACT("fact_id") \
	" WHEN r.relation" GM_EQ "'assertions' THEN (r.old OPERATOR(pg_catalog.->>) 'source_id')::pg_catalog.int8" ONE_OF("$4") \
	" WHEN r.relation" GM_EQ "'supersessions' THEN " KEPT_FACT("old_fact_id") " OR " KEPT_FACT("new_fact_id") " END))"

static GmSql find_source = {
	"SELECT source_id FROM graphmem.sources WHERE graph_id" GM_EQ "$1"
	" AND graphmem.name_key(name)" GM_EQ "graphmem.name_key($2)", 2, {INT4OID, TEXTOID}
};

static GmSql lock_source = {
	"SELECT source_id FROM graphmem.sources WHERE graph_id" GM_EQ "$1"
	" AND graphmem.name_key(name)" GM_EQ "graphmem.name_key($2) FOR UPDATE",
	2, {INT4OID, TEXTOID}
};

/* the entity of that name, or of that alias, or all literals of that text */
static GmSql find_entities[] = {
	{
		"SELECT ARRAY(SELECT entity_id FROM graphmem.entities WHERE graph_id" GM_EQ "$1"
		" AND graphmem.name_key(name, literal_type)" GM_EQ "graphmem.name_key($2))",
		2, {INT4OID, TEXTOID}
	},
	{
		"SELECT ARRAY(SELECT entity_id FROM graphmem.aliases WHERE graph_id" GM_EQ "$1"
		" AND graphmem.name_key(name)" GM_EQ "graphmem.name_key($2))", 2, {INT4OID, TEXTOID}
	},
	{
		"SELECT ARRAY(SELECT entity_id FROM graphmem.entities WHERE graph_id" GM_EQ "$1"
		" AND name" GM_EQ "$2 AND literal_type IS NOT NULL ORDER BY entity_id)",
		2, {INT4OID, TEXTOID}
	},
};

static GmSql facts_of_source = {
	"SELECT ARRAY(SELECT a.fact_id FROM graphmem.assertions a WHERE a.graph_id" GM_EQ "$2"
	" AND a.source_id" GM_EQ "($1)[1] AND NOT EXISTS (SELECT FROM graphmem.assertions o"
	" WHERE o.fact_id" GM_EQ "a.fact_id AND o.source_id OPERATOR(pg_catalog.<>) a.source_id)"
	" ORDER BY a.fact_id)", 2, {INT8ARRAYOID, INT4OID}
};

/* all that it states, also beside others */
static GmSql stated_by_source = {
	"SELECT ARRAY(SELECT a.fact_id FROM graphmem.assertions a WHERE a.graph_id" GM_EQ "$2"
	" AND a.source_id" GM_EQ "($1)[1] ORDER BY a.fact_id)", 2, {INT8ARRAYOID, INT4OID}
};

static GmSql facts_of_entities = {
	"SELECT ARRAY(SELECT t.fact_id FROM " UNNEST ", graphmem.triples t"
	" WHERE t.subject_id" GM_EQ "u.id UNION SELECT t.fact_id FROM " UNNEST ", graphmem.triples t"
	" WHERE t.object_id" GM_EQ "u.id ORDER BY 1)", 1, {INT8ARRAYOID}
};

static GmSql lock_facts = {
	"SELECT pg_catalog.count(*) FROM (SELECT t.triple_id FROM " UNNEST
	" JOIN graphmem.triples t ON t.fact_id" GM_EQ "u.id FOR UPDATE OF t) AS l", 1, {INT8ARRAYOID}
};

/* a retraction that is undone adds one and changes none */
static GmSql sum_versions = {
	"SELECT pg_catalog.count(*), pg_catalog.sum(t.triple_id) FROM " UNNEST
	" JOIN graphmem.triples t ON t.fact_id" GM_EQ "u.id", 1, {INT8ARRAYOID}
};

static GmSql ends_of_facts = {
	"SELECT ARRAY(SELECT DISTINCT v.id FROM " UNNEST " JOIN graphmem.triples t ON t.fact_id" GM_EQ
	"u.id, LATERAL (VALUES (t.subject_id), (t.object_id)) AS v(id))", 1, {INT8ARRAYOID}
};

/* $1 candidates, $2 facts that go, $3 those that go in any case */
static GmSql entities_left = {
	"SELECT ARRAY(SELECT u.id FROM " UNNEST
	" WHERE NOT EXISTS (SELECT FROM graphmem.triples t WHERE t.subject_id" GM_EQ "u.id"
	" AND " OTHER_FACT ")"
	" AND NOT EXISTS (SELECT FROM graphmem.triples t WHERE t.object_id" GM_EQ "u.id"
	" AND " OTHER_FACT ")"
	" UNION SELECT pg_catalog.unnest($3) ORDER BY 1)",
	3, {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}
};

static GmSql lock_entities = {
	"SELECT pg_catalog.count(*) FROM (SELECT e.entity_id FROM " UNNEST
	" JOIN graphmem.entities e ON e.entity_id" GM_EQ "u.id FOR UPDATE OF e) AS l",
	1, {INT8ARRAYOID}
};

static GmSql predicates_of_facts = {
	"SELECT ARRAY(SELECT DISTINCT t.predicate_id FROM " UNNEST
	" JOIN graphmem.triples t ON t.fact_id" GM_EQ "u.id ORDER BY 1)", 1, {INT8ARRAYOID}
};

static GmSql predicates_left = {
	"SELECT ARRAY(SELECT u.id FROM " UNNEST " JOIN graphmem.predicates p"
	" ON p.predicate_id" GM_EQ "u.id WHERE NOT p.functional AND NOT p.\"symmetric\""
	" AND p.weight" GM_EQ "1::pg_catalog.float4"
	" AND NOT EXISTS (SELECT FROM graphmem.triples t WHERE t.predicate_id" GM_EQ "u.id"
	" AND " OTHER_FACT ") ORDER BY 1)", 2, {INT8ARRAYOID, INT8ARRAYOID}
};

static GmSql lock_predicates = {
	"SELECT pg_catalog.count(*) FROM (SELECT p.predicate_id FROM " UNNEST
	" JOIN graphmem.predicates p ON p.predicate_id" GM_EQ "u.id FOR UPDATE OF p) AS l",
	1, {INT8ARRAYOID}
};

static GmSql find_statistics = {
	"SELECT 'entities', x.attname, x.value FROM pg_catalog.unnest($1) AS u(id)"
	" JOIN graphmem.entities t ON t.entity_id" GM_EQ "u.id"
	GM_IN_STATISTICS("entities", "('name', t.name), ('kind', t.kind), ('literal_type', t.literal_type)")
	" UNION SELECT 'aliases', x.attname, x.value FROM pg_catalog.unnest($1) AS u(id)"
	" JOIN graphmem.aliases t ON t.entity_id" GM_EQ "u.id" GM_IN_STATISTICS("aliases", "('name', t.name)")
	" UNION SELECT 'predicates', x.attname, x.value FROM pg_catalog.unnest($2) AS u(id)"
	" JOIN graphmem.predicates t ON t.predicate_id" GM_EQ "u.id"
	GM_IN_STATISTICS("predicates", "('name', t.name)")
	" UNION SELECT 'sources', x.attname, x.value FROM pg_catalog.unnest($3) AS u(id)"
	" JOIN graphmem.sources t ON t.source_id" GM_EQ "u.id"
	GM_IN_STATISTICS("sources", "('name', t.name), ('kind', t.kind)"),
	3, {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}
};

/* steps by which they superseded others, and whether those stay */
static GmSql find_steps = {
	"SELECT s.supersession_id, NOT s.old_fact_id" ONE_OF("$1")
	" FROM " UNNEST " JOIN graphmem.supersessions s ON s.new_fact_id" GM_EQ "u.id"
	" WHERE s.undone_at IS NULL ORDER BY s.supersession_id DESC", 1, {INT8ARRAYOID}
};

static GmSql undo_step = {
	"SELECT graphmem.undo_supersede($1)", 1, {INT8OID}
};

/* rows of a table that hang on ids: $1 the ids, $2 the graph */
typedef struct Step
{
	What		what;
	Ids			ids;
	bool		again;			/* until nothing is found: see erase() */
	GmSql		count;
	GmSql		erase;
} Step;

#define STEP(what, ids, again, table, more, counted, condition) \
	{what, ids, again, \
	{"SELECT pg_catalog.count(" counted ") FROM " UNNEST ", graphmem." table " m" more \
	" WHERE " condition, 2, {INT8ARRAYOID, INT4OID}}, \
	{"DELETE FROM graphmem." table " m USING " UNNEST more " WHERE " condition, \
	2, {INT8ARRAYOID, INT4OID}}}
#define ON_ID(what, ids, table, column) \
	STEP(what, ids, false, table, "", "*", "m." column GM_EQ "u.id")
#define VECTORS_OF(ids, target) \
	STEP(VECTORS, ids, false, "embeddings", ", graphmem.vector_spaces v", "*", \
		 "m.item_id" GM_EQ "u.id AND v.space_id" GM_EQ "m.space_id AND v.target" GM_EQ "'" target "'" \
		 " AND v.graph_id" GM_EQ "$2")

/* children first */
static Step steps[] = {
	{MERGES, FACT_IDS, false,
		{MERGED_BEFORE "SELECT pg_catalog.count(*) FROM graphmem.merges m WHERE " MENTIONED, 4,
		{INT8ARRAYOID, INT4OID, INT8ARRAYOID, INT8ARRAYOID}},
		{MERGED_BEFORE "DELETE FROM graphmem.merges m WHERE " MENTIONED, 4,
	{INT8ARRAYOID, INT4OID, INT8ARRAYOID, INT8ARRAYOID}}},
	STEP(ASSERTIONS, SOURCE_IDS, false, "assertions", "", "*",
		 "m.graph_id" GM_EQ "$2 AND m.source_id" GM_EQ "u.id"),
	ON_ID(ASSERTIONS, FACT_IDS, "assertions", "fact_id"),
	STEP(SUPERSESSIONS, FACT_IDS, false, "supersessions", "", "DISTINCT m.supersession_id",
		 "(m.old_fact_id" GM_EQ "u.id OR m.new_fact_id" GM_EQ "u.id)"),
	VECTORS_OF(FACT_IDS, "fact"),
	STEP(VERSIONS, FACT_IDS, true, "triples", "", "*", "m.fact_id" GM_EQ "u.id"),
	VECTORS_OF(ENTITY_IDS, "entity"),
	ON_ID(TOPOLOGY_VECTORS, ENTITY_IDS, "topology_vectors", "entity_id"),
	ON_ID(ALIASES, ENTITY_IDS, "aliases", "entity_id"),
	ON_ID(ACCESSES, ENTITY_IDS, "accesses", "entity_id"),
	ON_ID(ACTIVATIONS, ENTITY_IDS, "activations", "entity_id"),
	ON_ID(ENTITIES, ENTITY_IDS, "entities", "entity_id"),
	ON_ID(PREDICATES, PREDICATE_IDS, "predicates", "predicate_id"),
	VECTORS_OF(SOURCE_IDS, "source"),
	ON_ID(SOURCES, SOURCE_IDS, "sources", "source_id"),
};

/* ---- sets of ids ---- */

static Datum
no_ids(void)
{
	return PointerGetDatum(construct_empty_array(INT8OID));
}

static Datum
one_id(int64 id)
{
	Datum		value = Int64GetDatum(id);

	return gm_sql_array(INT8OID, &value, NULL, 1);
}

static int
id_count(Datum ids)
{
	ArrayType  *array = DatumGetArrayTypeP(ids);

	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

typedef enum Sight
{
	STATEMENT,					/* what the caller's statement sees */
	FRESH						/* what this transaction sees now */
} Sight;

static void
run(GmSql *sql, Datum *args, Sight sight)
{
	if (sight == STATEMENT)
		gm_sql_read(sql, args, NULL);
	else
		gm_sql_run(sql, args, NULL);
}

/* the array that the statement returns */
static Datum
find_ids(GmSql *sql, Datum *args, Sight sight)
{
	bool		isnull;
	Datum		ids;

	run(sql, args, sight);
	ids = datumCopy(gm_sql_datum(0, 1, &isnull), false, -1);
	gm_sql_done();
	return ids;
}

/*
 * Finds ids and, unless nothing is to be changed, locks their rows, then finds
 * them again: fewer, if others refer to them by now.
 */
static Datum
find_and_lock(const Forgetting *f, GmSql *find, Datum *args, GmSql *lock)
{
	Datum		ids = find_ids(find, args, f->dry_run ? STATEMENT : FRESH);

	if (f->dry_run)
		return ids;
	if (id_count(ids) > 0)
	{
		run(lock, &ids, FRESH);
		gm_sql_done();
	}
	gm_sql_refuse_stale(find, args, "statement of a fact");
	return id_count(ids) > 0 ? find_ids(find, args, FRESH) : ids;
}

/* ---- what is named ---- */

static text *
name_arg(FunctionCallInfo fcinfo, const char *what)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	return PG_GETARG_TEXT_PP(0);
}

static void
report_unknown(const char *what, const text *name, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("%s \"%s\" does not exist", what,
					gm_error_quote(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name))),
			 errhint("%s", hint)));
}

static void
name_source(Forgetting *f, const text *name)
{
	Datum		args[2] = {Int32GetDatum(f->graph_id), PointerGetDatum(name)};

	run(f->dry_run ? &find_source : &lock_source, args, f->dry_run ? STATEMENT : FRESH);
	if (SPI_processed == 0)
		report_unknown("source", name, "The table graphmem.sources lists the sources.");
	f->ids[SOURCE_IDS] = one_id(gm_sql_int8(0, 1));
	gm_sql_done();
}

static void
name_entities(Forgetting *f, const text *name)
{
	Datum		args[2] = {Int32GetDatum(f->graph_id), PointerGetDatum(name)};

	for (int i = 0; i < lengthof(find_entities); i++)
	{
		f->named = find_ids(&find_entities[i], args, f->dry_run ? STATEMENT : FRESH);
		if (id_count(f->named) > 0)
			break;
	}
	if (id_count(f->named) == 0)
		report_unknown("entity", name, "The table graphmem.entities lists the entities.");
	if (f->dry_run)
		return;
	run(&lock_entities, &f->named, FRESH);
	gm_sql_done();
}

/* ---- what goes ---- */

static void
find_facts(Forgetting *f)
{
	bool		by_source = id_count(f->ids[SOURCE_IDS]) > 0;
	Datum		args[2] = {by_source ? f->ids[SOURCE_IDS] : f->named, Int32GetDatum(f->graph_id)};

	/* the source is locked: nothing is added to what it states after this look */
	if (by_source && !f->dry_run)
		gm_sql_refuse_stale(&stated_by_source, args, "statement of a fact");
	f->ids[FACT_IDS] = find_and_lock(f, by_source ? &facts_of_source : &facts_of_entities, args,
									 &lock_facts);
	if (!f->dry_run)
		gm_sql_refuse_stale(&sum_versions, &f->ids[FACT_IDS], "change of a fact");
	f->rows[FACTS] = id_count(f->ids[FACT_IDS]);
}

static void
find_names(Forgetting *f)
{
	Sight		sight = f->dry_run ? STATEMENT : FRESH;
	Datum		args[3] = {(Datum) 0, f->ids[FACT_IDS], f->named};

	args[0] = find_ids(&ends_of_facts, &f->ids[FACT_IDS], sight);
	f->ids[ENTITY_IDS] = find_and_lock(f, &entities_left, args, &lock_entities);
	args[0] = find_ids(&predicates_of_facts, &f->ids[FACT_IDS], sight);
	f->ids[PREDICATE_IDS] = find_and_lock(f, &predicates_left, args, &lock_predicates);
}

/* a session that was waited for may have written another version of a fact */
static int64
erase(Step *step, Datum *args)
{
	int64		rows = 0;
	uint64		erased;

	do
	{
		run(&step->erase, args, FRESH);
		erased = SPI_processed;
		gm_sql_done();
		rows += (int64) erased;
	} while (step->again && erased > 0);
	return rows;
}

/* false: it could not be */
static bool
undo(int64 step)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Datum		arg = Int64GetDatum(step);
	volatile bool undone = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		run(&undo_step, &arg, FRESH);
		gm_sql_done();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (error->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE &&
			error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION &&
			error->sqlerrcode != ERRCODE_EXCLUSION_VIOLATION)
		{
			MemoryContextSwitchTo(context);
			CurrentResourceOwner = owner;
			ReThrowError(error);
		}
		FreeErrorData(error);
		undone = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return undone;
}

static int64
count(Step *step, Datum *args, Sight sight)
{
	int64		rows;

	run(&step->count, args, sight);
	rows = gm_sql_int8(0, 1);
	gm_sql_done();
	return rows;
}

/*
 * Undoing writes versions and steps of facts that are about to go.  They are
 * none of those that a dry run counts, so these are counted before.
 */
static void
reopen(Forgetting *f)
{
	SPITupleTable *table;
	uint64		n;

	run(&find_steps, &f->ids[FACT_IDS], f->dry_run ? STATEMENT : FRESH);
	table = SPI_tuptable;
	n = SPI_processed;
	for (int i = 0; i < lengthof(steps) && n > 0 && !f->dry_run; i++)
	{
		Datum		args[4] = {f->ids[steps[i].ids], Int32GetDatum(f->graph_id),
		f->ids[ENTITY_IDS], f->ids[SOURCE_IDS]};

		if (steps[i].what == VERSIONS || steps[i].what == SUPERSESSIONS)
			f->before[steps[i].what] = count(&steps[i], args, FRESH);
	}
	for (uint64 row = 0; row < n; row++)
	{
		bool		isnull;
		int64		step = DatumGetInt64(SPI_getbinval(table->vals[row], table->tupdesc, 1, &isnull));
		bool		stays = DatumGetBool(SPI_getbinval(table->vals[row], table->tupdesc, 2, &isnull));

		if ((f->dry_run || undo(step)) && stays)
			f->rows[REOPENED]++;
	}
	SPI_freetuptable(table);
}

static void
take_steps(Forgetting *f)
{
	for (int i = 0; i < lengthof(steps); i++)
	{
		Step	   *step = &steps[i];
		Datum		args[4] = {f->ids[step->ids], Int32GetDatum(f->graph_id),
		f->ids[ENTITY_IDS], f->ids[SOURCE_IDS]};
		bool		merges = step->what == MERGES;
		bool		counted = step->what == ASSERTIONS && step->ids == FACT_IDS &&
			id_count(f->ids[SOURCE_IDS]) > 0;

		gm_call_phase(GM_PHASE_DELETING, i, lengthof(steps));
		if ((id_count(args[0]) == 0 && !merges) || counted)
			continue;
		f->rows[step->what] += f->dry_run ? count(step, args, STATEMENT) : erase(step, args);
		if (f->before[step->what] > 0)
			f->rows[step->what] = f->before[step->what];
	}
}

/* ---- entry points ---- */

static void
return_rows(FunctionCallInfo fcinfo, const Forgetting *f)
{
	ReturnSetInfo *result;

	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	for (int i = 0; i < WHATS; i++)
	{
		Datum		values[2] = {CStringGetTextDatum(what_names[i]), Int64GetDatum(f->rows[i])};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

static Datum
forget(FunctionCallInfo fcinfo, const char *what,
	   void (*name_it) (Forgetting *f, const text *name), GmCall call)
{
	text	   *name = name_arg(fcinfo, what);
	char	   *graph = gm_graph_name(PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2));
	MemoryContext caller = CurrentMemoryContext;
	Forgetting	f = {0};
	List	   *statistics = NIL;
	bool		outermost = gm_call_begin(call);
	int			level = gm_sql_enter();

	/* what row security hid would stay behind unnoticed; the statements fail instead */
	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (work_mem < GM_SQL_STORE_KB)
		(void) set_config_option("work_mem", CppAsString2(GM_SQL_STORE_KB), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	f.dry_run = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	f.graph_id = gm_graph_find(graph);
	f.named = no_ids();
	for (int i = 0; i < IDS; i++)
		f.ids[i] = no_ids();
	if (!f.dry_run && f.graph_id != 0)
		gm_graph_lock(f.graph_id, true);
	name_it(&f, name);
	find_facts(&f);
	find_names(&f);
	if (!f.dry_run)
	{
		Datum		args[3] = {f.ids[ENTITY_IDS], f.ids[PREDICATE_IDS], f.ids[SOURCE_IDS]};

		statistics = gm_statistics_find(&find_statistics, args);
	}
	if (id_count(f.ids[SOURCE_IDS]) > 0)
		reopen(&f);
	take_steps(&f);
	gm_statistics_renew(statistics);
	gm_sql_leave(level);
	MemoryContextSwitchTo(caller);
	return_rows(fcinfo, &f);
	if (outermost)
		gm_call_end(WHATS, gm_call_records());
	return (Datum) 0;
}

Datum
graphmem_forget_source(PG_FUNCTION_ARGS)
{
	return forget(fcinfo, "name of a source", name_source, GM_CALL_graphmem_forget_source);
}

Datum
graphmem_forget_entity(PG_FUNCTION_ARGS)
{
	return forget(fcinfo, "name of an entity", name_entities, GM_CALL_graphmem_forget_entity);
}
