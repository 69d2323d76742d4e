/*-------------------------------------------------------------------------
 *
 * unmerge.c
 *	  unmerge_entities: a merge taken back by its undo rows (merge.h).
 *
 * What nobody touched since is afterwards as it was, ids and times included.
 * What was changed since stays changed where the merge's part of it can be
 * told apart: facts added to keep stay there, facts deleted stay deleted and
 * so does what hung on them, a fact takes its later versions along.  It cannot
 * for facts that fell together and were changed afterwards; then, and where
 * a later merge has moved the same rows, nothing is done (55000).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "error.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "api/facts.h"
#include "api/merge.h"
#include "api/names.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(graphmem_unmerge_entities);
PG_FUNCTION_INFO_V1(graphmem_unmerge_named);

#define FROM_UNDO(relation, changes) \
	" FROM graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'" relation "'" \
	" AND r.change" GM_EQ "ANY ('{" changes "}')"
#define ROWS_FROM(what, relation, changes) \
	"SELECT " what " FROM graphmem.merge_rows r, LATERAL " GM_MERGE_OLD(relation) " o, LATERAL " \
	GM_MERGE_NEW(relation) " n WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'" relation "'" \
	" AND r.change" GM_EQ "ANY ('{" changes "}')"
#define OLD_ROWS(relation, changes) ROWS_FROM("o.*", relation, changes)
#define NEW_ROWS(relation, changes) ROWS_FROM("n.*", relation, changes)
#define BOTH_ROWS(relation, changes) ROWS_FROM("o.*, n AS new", relation, changes)
#define FACT_STANDS(fact) \
	"EXISTS (SELECT FROM graphmem.triples x WHERE x.fact_id" GM_EQ fact " OFFSET 0)"

static GmSql graph_of_merge = {
	"SELECT graph_id FROM graphmem.merges WHERE merge_id" GM_EQ "$1", 1, {INT8OID}
};

static GmSql find_merge = {
	"SELECT graph_id, kept_id, gone_id, unmerged_at IS NOT NULL, gone_name FROM graphmem.merges"
	" WHERE merge_id" GM_EQ "$1 FOR UPDATE",
	1, {INT8OID}
};

/* the latest; one that stands first.  keep may have been merged away since. */
static GmSql find_named = {
	"SELECT m.merge_id FROM graphmem.merges m WHERE m.graph_id" GM_EQ "$1"
	" AND graphmem.name_key(m.gone_name)" GM_EQ "graphmem.name_key($3)"
	" AND (m.kept_id" GM_EQ "$4 OR m.kept_id" GM_EQ "ANY (ARRAY(SELECT k.gone_id FROM graphmem.merges k"
	" WHERE k.graph_id" GM_EQ "$1 AND graphmem.name_key(k.gone_name)" GM_EQ "graphmem.name_key($2))))"
	" ORDER BY m.unmerged_at IS NOT NULL, m.merge_id DESC LIMIT 1",
	4, {INT4OID, TEXTOID, TEXTOID, INT8OID}
};

/*
 * A later merge that stands, as all that have undo rows do, and took keep away
 * or wrote the same rows.  A version whose two ends were moved by two merges
 * does not tie them.
 */
static GmSql find_later = {
	"SELECT o.merge_id FROM graphmem.merge_rows r, LATERAL (SELECT o.merge_id FROM graphmem.merge_rows o"
	" WHERE o.row_id" GM_EQ "(CASE WHEN r.relation" GM_EQ "'triples' AND r.change" GM_EQ "'removed'"
	" THEN r.other_id ELSE r.row_id END) AND o.relation" GM_EQ "r.relation AND o.merge_id" GM_GT "$1"
	" AND CASE WHEN r.relation" GM_NE "'triples' THEN o.other_id" GM_EQ "r.other_id"
	" ELSE NOT (r.change" GM_EQ "ANY ('{subject,object,both}') AND o.change" GM_EQ
	"ANY ('{subject,object,both}')) END LIMIT 1) o WHERE r.merge_id" GM_EQ "$1 UNION ALL"
	" SELECT m.merge_id FROM graphmem.merges m WHERE m.gone_id" GM_EQ "$2 AND m.unmerged_at IS NULL LIMIT 1",
	GM_MERGE_ARGS
};

/* a version of facts that fell together which is not what the merge made of it */
static GmSql find_changed = {
	"SELECT n.subject_id, n.predicate_id, n.object_id FROM graphmem.merge_rows r, LATERAL (SELECT * FROM "
	GM_MERGE_NEW("triples") " OFFSET 0) n WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'triples'"
	" AND r.change" GM_EQ "ANY ('{changed,refiled,removed}') AND " FACT_STANDS("n.fact_id")
	" AND NOT EXISTS (SELECT FROM graphmem.triples t WHERE t.triple_id" GM_EQ "r.other_id"
	" AND t.fact_id" GM_EQ "n.fact_id AND t.subject_id" GM_EQ "n.subject_id"
	" AND t.predicate_id" GM_EQ "n.predicate_id AND t.object_id" GM_EQ "n.object_id"
	" AND t.valid_from" GM_EQ "n.valid_from AND t.valid_to" GM_EQ "n.valid_to"
	" AND t.recorded_at" GM_EQ "n.recorded_at AND t.expired_at" GM_EQ "n.expired_at OFFSET 0)"
	" ORDER BY r.row_id LIMIT 1",
	GM_MERGE_ARGS
};

/* columns of a version that a merge leaves alone are taken from where it is now */
#define TRIPLE_BACK \
	"INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id," \
	" confidence, functional, valid_from, valid_to, recorded_at, expired_at, properties)" \
	" SELECT o.triple_id, o.fact_id, o.graph_id, o.subject_id, o.predicate_id, o.object_id,"

static GmMergeStep steps[] = {
	/* of facts that fell together and were deleted since, nothing comes back */
	{{"DELETE FROM graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'triples'"
		" AND r.change" GM_EQ "ANY ('{changed,refiled,removed}') AND NOT "
		FACT_STANDS("(r.new" GM_TEXT "'fact_id')::bigint"), GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"INSERT INTO graphmem.entities " OLD_ROWS("entities", "removed"),
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	/* versions: what another fact took goes back before its own come */
	{{"UPDATE graphmem.merge_rows r SET new = r.new" GM_CAT "pg_catalog.jsonb_build_object("
		"'confidence', t.confidence, 'properties', t.properties) FROM graphmem.triples t"
		" WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'triples' AND r.change" GM_EQ "'refiled'"
		" AND t.triple_id" GM_EQ "r.row_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"DELETE FROM graphmem.triples t USING graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1"
		" AND r.relation" GM_EQ "'triples' AND r.change" GM_EQ "'refiled' AND t.triple_id" GM_EQ "r.row_id",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"UPDATE graphmem.triples t SET subject_id = o.subject_id, object_id = o.object_id,"
		" valid_from = o.valid_from, valid_to = o.valid_to, recorded_at = o.recorded_at FROM (" OLD_ROWS("triples", "changed") " OFFSET 0) o"
		" WHERE t.triple_id" GM_EQ "o.triple_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{TRIPLE_BACK " n.confidence, p.functional, o.valid_from, o.valid_to, o.recorded_at, o.expired_at,"
		" n.properties FROM (SELECT o.*, r.new FROM graphmem.merge_rows r, LATERAL " GM_MERGE_OLD("triples") " o"
		" WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'triples' AND r.change" GM_EQ "'refiled' OFFSET 0) o JOIN graphmem.predicates p ON p.predicate_id" GM_EQ "o.predicate_id,"
		" LATERAL (SELECT * FROM pg_catalog.jsonb_populate_record(NULL::graphmem.triples, o.new)) n",
		GM_MERGE_ARGS}, GM_MERGE_FACTS},
	{{TRIPLE_BACK " o.confidence, p.functional, o.valid_from, o.valid_to, o.recorded_at, o.expired_at,"
		" o.properties FROM (" OLD_ROWS("triples", "removed") " OFFSET 0) o JOIN graphmem.predicates p ON p.predicate_id" GM_EQ "o.predicate_id",
		GM_MERGE_ARGS}, GM_MERGE_REMOVED},
	{{"UPDATE graphmem.triples t SET subject_id = CASE WHEN r.change" GM_EQ "'object'"
		" THEN t.subject_id ELSE $3 END, object_id = CASE WHEN r.change" GM_EQ "'subject'"
		" THEN t.object_id ELSE $3 END FROM graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1"
		" AND r.relation" GM_EQ "'triples' AND r.change" GM_EQ "ANY ('{subject,object,both}')"
		" AND t.triple_id" GM_EQ "r.row_id AND t.fact_id" GM_EQ "r.other_id", GM_MERGE_ARGS}, GM_MERGE_FACTS},
	{{"UPDATE graphmem.triples t SET subject_id = CASE WHEN f.change" GM_EQ "'object'"
		" THEN t.subject_id ELSE $3 END, object_id = CASE WHEN f.change" GM_EQ "'subject'"
		" THEN t.object_id ELSE $3 END FROM (SELECT DISTINCT ON (r.other_id) r.other_id, r.change"
		FROM_UNDO("triples", "subject,object,both") " ORDER BY r.other_id, r.row_id) f"
		" WHERE t.fact_id" GM_EQ "f.other_id AND NOT EXISTS (SELECT FROM graphmem.merge_rows d"
		" WHERE d.merge_id" GM_EQ "$1 AND d.relation" GM_EQ "'triples' AND d.row_id" GM_EQ "t.triple_id OFFSET 0)",
		GM_MERGE_ARGS}, GM_MERGE_FACTS},

	/* an assertion that was taken back since, of the fact that took it, stays away */
	{{"INSERT INTO graphmem.assertions " OLD_ROWS("assertions", "removed") " AND " FACT_STANDS("r.row_id")
		" AND EXISTS (SELECT FROM graphmem.assertions a WHERE a.fact_id" GM_EQ "(SELECT f.other_id"
		" FROM graphmem.merge_rows f WHERE f.merge_id" GM_EQ "$1 AND f.relation" GM_EQ "'facts'"
		" AND f.row_id" GM_EQ "r.row_id) AND a.source_id" GM_EQ "r.other_id OFFSET 0)", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"DELETE FROM graphmem.assertions a USING (" NEW_ROWS("assertions", "added") " OFFSET 0) n WHERE a.fact_id" GM_EQ "n.fact_id"
		" AND a.source_id" GM_EQ "n.source_id AND a.confidence" GM_EQ "n.confidence"
		" AND a.asserted_at" GM_EQ "n.asserted_at", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"UPDATE graphmem.assertions a SET confidence = o.confidence, asserted_at = o.asserted_at FROM"
		" (" BOTH_ROWS("assertions", "changed") " OFFSET 0) o WHERE a.fact_id" GM_EQ "o.fact_id"
		" AND a.source_id" GM_EQ "o.source_id AND a.confidence" GM_EQ "(o.new).confidence"
		" AND a.asserted_at" GM_EQ "(o.new).asserted_at", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	{{"UPDATE graphmem.supersessions s SET old_fact_id = o.old_fact_id, new_fact_id = o.new_fact_id,"
		" old_triple_id = o.old_triple_id, closed_triple_id = o.closed_triple_id,"
		" rest_triple_id = o.rest_triple_id FROM (" OLD_ROWS("supersessions", "changed") " OFFSET 0) o WHERE s.supersession_id" GM_EQ "o.supersession_id"
		" AND " FACT_STANDS("o.old_fact_id") " AND (o.new_fact_id IS NULL OR " FACT_STANDS("o.new_fact_id") ")",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"INSERT INTO graphmem.supersessions SELECT o.* FROM (" OLD_ROWS("supersessions", "removed") " OFFSET 0) o WHERE " FACT_STANDS("o.old_fact_id")
		" AND " FACT_STANDS("o.new_fact_id"), GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	/* a vector that was deleted since, where it went to, stays away */
	{{"INSERT INTO graphmem.embeddings (space_id, item_id, graph_id, embedding)"
		" SELECT v.space_id, r.row_id, $4, r.embedding FROM graphmem.merge_rows r"
		" JOIN graphmem.vector_spaces v ON v.space_id::bigint" GM_EQ "r.other_id, LATERAL (SELECT CASE"
		" WHEN v.target" GM_EQ "'entity' THEN $2 ELSE (SELECT f.other_id FROM graphmem.merge_rows f"
		" WHERE f.merge_id" GM_EQ "$1 AND f.relation" GM_EQ "'facts' AND f.row_id" GM_EQ "r.row_id) END"
		" AS item OFFSET 0) n WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'embeddings'"
		" AND r.change" GM_EQ "'removed' AND (v.target" GM_EQ "'entity' OR " FACT_STANDS("r.row_id") ")"
		" AND (NOT EXISTS (SELECT FROM graphmem.merge_rows d WHERE d.merge_id" GM_EQ "$1"
		" AND d.relation" GM_EQ "'embeddings' AND d.change" GM_EQ "'added' AND d.row_id" GM_EQ "n.item"
		" AND d.other_id" GM_EQ "r.other_id OFFSET 0) OR EXISTS (SELECT FROM graphmem.embeddings m"
		" WHERE m.space_id" GM_EQ "v.space_id AND m.item_id" GM_EQ "n.item OFFSET 0))", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"DELETE FROM graphmem.embeddings m USING graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1"
		" AND r.relation" GM_EQ "'embeddings' AND r.change" GM_EQ "'added' AND m.space_id" GM_EQ "r.other_id::int"
		" AND m.item_id" GM_EQ "r.row_id AND m.embedding" GM_EQ "r.embedding", GM_MERGE_ARGS}, GM_MERGE_VECTORS},
	{{"INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, shape, embedding)"
		" SELECT v.space_id, r.row_id, $4, (r.old" GM_TEXT "'shape')::bigint, r.embedding"
		" FROM graphmem.merge_rows r JOIN graphmem.vector_spaces v"
		" ON v.space_id::bigint" GM_EQ "r.other_id WHERE r.merge_id" GM_EQ "$1 AND v.origin" GM_EQ "'topology'"
		" AND r.relation" GM_EQ "'topology_vectors'"
		" AND (r.embedding IS NULL OR v.dim" GM_EQ "pg_catalog.cardinality(r.embedding))",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	{{"INSERT INTO graphmem.functional_keys " OLD_ROWS("functional_keys", "removed") " AND EXISTS (SELECT FROM graphmem.predicates p"
		" WHERE p.predicate_id" GM_EQ "r.other_id)", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"DELETE FROM graphmem.functional_keys k USING (" NEW_ROWS("functional_keys", "added") " OFFSET 0) n WHERE k.subject_id" GM_EQ "n.subject_id"
		" AND k.predicate_id" GM_EQ "n.predicate_id AND k.changes" GM_EQ "n.changes", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"UPDATE graphmem.functional_keys k SET changes = k.changes" GM_MINUS
		"((r.new" GM_TEXT "'changes')::bigint" GM_MINUS "(r.old" GM_TEXT "'changes')::bigint)"
		FROM_UNDO("functional_keys", "changed") " AND k.subject_id" GM_EQ "r.row_id"
		" AND k.predicate_id" GM_EQ "r.other_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	{{"INSERT INTO graphmem.accesses " OLD_ROWS("accesses", "removed"),
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"DELETE FROM graphmem.accesses a USING (" NEW_ROWS("accesses", "added") " OFFSET 0) n WHERE a.entity_id" GM_EQ "n.entity_id"
		" AND a.access_count" GM_EQ "n.access_count AND a.last_access" GM_EQ "n.last_access",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"UPDATE graphmem.accesses a SET access_count = a.access_count" GM_MINUS "((r.new" GM_TEXT
		"'access_count')::bigint" GM_MINUS "COALESCE((r.old" GM_TEXT "'access_count')::bigint, 0)),"
		" last_access = CASE WHEN a.last_access" GM_EQ "(r.new" GM_TEXT "'last_access')::pg_catalog.timestamptz"
		" AND r.old IS NOT NULL THEN (r.old" GM_TEXT "'last_access')::pg_catalog.timestamptz ELSE a.last_access END"
		FROM_UNDO("accesses", "added,changed") " AND a.entity_id" GM_EQ "r.row_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	{{"INSERT INTO graphmem.activations " OLD_ROWS("activations", "removed"), GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"DELETE FROM graphmem.activations a USING (" NEW_ROWS("activations", "added") " OFFSET 0) n WHERE a.graph_id" GM_EQ "n.graph_id"
		" AND a.session" GM_EQ "n.session AND a.entity_id" GM_EQ "n.entity_id"
		" AND a.activation" GM_EQ "n.activation AND a.pinned" GM_EQ "n.pinned"
		" AND a.updated_at" GM_EQ "n.updated_at", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"UPDATE graphmem.activations a SET activation = o.activation, pinned = o.pinned,"
		" updated_at = o.updated_at FROM (" BOTH_ROWS("activations", "changed") " OFFSET 0) o WHERE a.graph_id" GM_EQ "o.graph_id"
		" AND a.session" GM_EQ "o.session AND a.entity_id" GM_EQ "o.entity_id"
		" AND a.activation" GM_EQ "(o.new).activation AND a.pinned" GM_EQ "(o.new).pinned"
		" AND a.updated_at" GM_EQ "(o.new).updated_at", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	{{"DELETE FROM graphmem.aliases a USING graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1"
		" AND r.relation" GM_EQ "'aliases' AND r.change" GM_EQ "'added' AND a.alias_id" GM_EQ "r.row_id"
		" AND a.entity_id" GM_EQ "$2", GM_MERGE_ARGS}, GM_MERGE_ALIASES},
	{{"UPDATE graphmem.aliases a SET entity_id = o.entity_id FROM (" OLD_ROWS("aliases", "changed") " OFFSET 0) o WHERE a.alias_id" GM_EQ "o.alias_id"
		" AND a.entity_id" GM_EQ "$2 AND EXISTS (SELECT FROM graphmem.entities e"
		" WHERE e.entity_id" GM_EQ "o.entity_id)", GM_MERGE_ARGS}, GM_MERGE_ALIASES},

	/* of keep's gaps, those that still are as gone filled them */
	{{"UPDATE graphmem.entities e SET kind = CASE WHEN e.kind" GM_EQ "(r.new" GM_TEXT "'kind')"
		" THEN r.old" GM_TEXT "'kind' ELSE e.kind END, properties = CASE WHEN e.properties" GM_EQ "(r.new" GM_GET
		"'properties') THEN r.old" GM_GET "'properties' ELSE COALESCE((SELECT pg_catalog.jsonb_object_agg(p.key, p.value)"
		" FROM pg_catalog.jsonb_each(e.properties) p WHERE NOT (p.value" GM_EQ "(r.new" GM_GET "'properties'" GM_GET "p.key)"
		" AND NOT (r.old" GM_GET "'properties') OPERATOR(pg_catalog.?) p.key)), '{}') END"
		FROM_UNDO("entities", "changed") " AND e.entity_id" GM_EQ "r.row_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
};

static GmSql count_joined = {
	"SELECT pg_catalog.count(*)" FROM_UNDO("facts", "joined") " AND " FACT_STANDS("r.row_id"),
	GM_MERGE_ARGS
};

static GmSql end_merge = {
	"UPDATE graphmem.merges SET unmerged_at = pg_catalog.now() WHERE merge_id" GM_EQ "$1", GM_MERGE_ARGS
};

static GmSql forget_rows = {
	"DELETE FROM graphmem.merge_rows WHERE merge_id" GM_EQ "$1", GM_MERGE_ARGS
};

static void
report_state(const char *message, char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s", message),
			 errdetail_internal("%s", detail),
			 hint ? errhint("%s", hint) : 0));
}

static char *
quoted(Datum value)
{
	text	   *name = DatumGetTextPP(value);

	return pstrdup(gm_error_quote(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)));
}

/* Reads the merge and locks its row; its graph must be locked. */
static bool
load_merge(GmMerge *merge, char **gone)
{
	Datum		arg = Int64GetDatum(merge->merge_id);
	bool		isnull;
	bool		over;

	gm_sql_run(&find_merge, &arg, NULL);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("merge %lld does not exist", (long long) merge->merge_id)));
	merge->graph_id = DatumGetInt32(gm_sql_datum(0, 1, &isnull));
	merge->keep = gm_sql_int8(0, 2);
	merge->gone = gm_sql_int8(0, 3);
	over = DatumGetBool(gm_sql_datum(0, 4, &isnull));
	*gone = quoted(gm_sql_datum(0, 5, &isnull));
	gm_sql_done();
	return !over;
}

static void
refuse_dependent(const GmMerge *merge)
{
	gm_merge_run(merge, &find_later);
	if (SPI_processed > 0)
		report_state("a later merge depends on this one",
					 psprintf("Merge %lld has changed rows of merge %lld again.",
							  (long long) gm_sql_int8(0, 1), (long long) merge->merge_id),
					 "Undo the later merge first.");
	gm_sql_done();
}

static void
refuse_changed(const GmMerge *merge)
{
	gm_merge_run(merge, &find_changed);
	if (SPI_processed > 0)
		report_state("facts that the merge made one were changed since",
					 psprintf("The fact is %s.",
							  gm_fact_describe(gm_sql_int8(0, 1), gm_sql_int8(0, 2), gm_sql_int8(0, 3))),
					 "Undo the change, or delete the fact, first.");
	gm_sql_done();
}

/* Keys that were taken since are not an error of the server's own. */
static void
run_steps(GmMerge *merge)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		gm_merge_steps(merge, steps, lengthof(steps));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION)
		{
			FlushErrorState();
			report_state("what the merge put away is there again",
						 error->detail ? error->detail : error->message, NULL);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static Datum
unmerge(FunctionCallInfo fcinfo, GmMerge *merge)
{
	Datum		values[1 + GM_MERGE_COUNTS];
	bool		nulls[1 + GM_MERGE_COUNTS] = {false};
	TupleDesc	desc;
	char	   *gone;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "unmerge_entities must return a row");
	if (!load_merge(merge, &gone))
		report_state("the merge is undone already",
					 psprintf("It is merge %lld, of \"%s\".", (long long) merge->merge_id, gone), NULL);
	refuse_dependent(merge);
	if (!gm_merge_lock(merge->keep, 0))
		report_state("the entity that was kept does not exist any more",
					 psprintf("Its id was %lld.", (long long) merge->keep), NULL);
	refuse_changed(merge);
	run_steps(merge);
	gm_merge_run(merge, &count_joined);
	merge->counts[GM_MERGE_JOINED] = gm_sql_int8(0, 1);
	gm_sql_done();
	gm_merge_run(merge, &end_merge);
	gm_sql_done();
	gm_merge_run(merge, &forget_rows);
	gm_sql_done();

	values[0] = Int64GetDatum(merge->merge_id);
	for (int i = 0; i < GM_MERGE_COUNTS; i++)
		values[1 + i] = Int64GetDatum(merge->counts[i]);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

Datum
graphmem_unmerge_entities(PG_FUNCTION_ARGS)
{
	GmMerge		merge = {0};
	Datum		result;
	Datum		arg;
	int			level;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("merge_id must not be null")));
	merge.merge_id = PG_GETARG_INT64(0);
	level = gm_merge_enter();
	arg = Int64GetDatum(merge.merge_id);
	gm_sql_run(&graph_of_merge, &arg, NULL);
	if (SPI_processed > 0)
	{
		bool		isnull;

		gm_graph_lock(DatumGetInt32(gm_sql_datum(0, 1, &isnull)), true);
	}
	gm_sql_done();
	result = unmerge(fcinfo, &merge);
	gm_sql_leave(level);
	PG_RETURN_DATUM(result);
}

Datum
graphmem_unmerge_named(PG_FUNCTION_ARGS)
{
	Datum		args[4];
	GmMerge		merge = {0};
	Datum		result;
	int			level;

	for (int i = 0; i < 2; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("names of entities must not be null")));
	level = gm_merge_enter();
	merge.graph_id = gm_graph_find(gm_graph_name(PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2)));
	if (merge.graph_id != 0)
		gm_graph_lock(merge.graph_id, true);
	args[0] = Int32GetDatum(merge.graph_id);
	args[1] = PG_GETARG_DATUM(0);
	args[2] = PG_GETARG_DATUM(1);
	args[3] = Int64GetDatum(gm_merge_find(merge.graph_id, PG_GETARG_TEXT_PP(0)));
	gm_sql_run(&find_named, args, NULL);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no merge of \"%s\" into \"%s\" is known", quoted(args[2]), quoted(args[1])),
				 errhint("The table graphmem.merges lists the merges.")));
	merge.merge_id = gm_sql_int8(0, 1);
	gm_sql_done();
	result = unmerge(fcinfo, &merge);
	gm_sql_leave(level);
	PG_RETURN_DATUM(result);
}
