/*-------------------------------------------------------------------------
 *
 * supersede.c
 *	  supersede(), retract() and undo_supersede().
 *
 * The rules of timeline.c say what supersedes what by itself; these functions
 * do it by name, for any predicate.
 *
 * Superseding	The open version [a, b) of the fact that is valid at the time
 *				given is closed there, and the new object is stated from there
 *				to b.
 * Retracting	The version expires, and nothing takes its place.
 * Undoing		Of a step from fact A to fact N.  Where N was created by the
 *				step, its open versions expire, and the steps that led on from
 *				N are marked undone; they are taken again from A, in their old
 *				order, so that the chain leads past N.  The two open versions
 *				of A that the step left, one that ends where N began and one
 *				that begins where it ended, expire, and one takes their place
 *				that covers both and what lies between; from other ends that
 *				they have got since, by other steps, it takes those.  Of it
 *				goes what the steps taken again and, with a functional
 *				predicate, other versions of the timeline hold; it goes on
 *				behind them.  Its confidence and properties are those of the
 *				first that was left of it, which may have been corrected.  A
 *				version that was retracted comes back whole or not at all.
 *				Steps by which N took what went on behind shorter claims (rule 5
 *				of timeline.c) are undone before that which created it; by
 *				itself, such a step gives back what it took, and N stays where
 *				else it is valid.  Where one took the second version of A, that
 *				stays taken.
 *
 * Limits		what is decided is not decided again as if N had never been: a
 *				fact without validity that found a gap keeps it
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "error.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/facts.h"
#include "api/names.h"
#include "api/overlap.h"
#include "api/sql.h"
#include "api/supersede.h"
#include "compat.h"

#define MAX_TRIES	10

PG_FUNCTION_INFO_V1(graphmem_supersede);
PG_FUNCTION_INFO_V1(graphmem_retract);
PG_FUNCTION_INFO_V1(graphmem_undo_supersede);

static GmSql find_predicate = {
	"SELECT p.predicate_id FROM graphmem.predicates p WHERE p.graph_id" GM_EQ "$1"
	" AND graphmem.name_key(p.name)" GM_EQ "graphmem.name_key($2)", 2, {INT4OID, TEXTOID}
};

static GmSql find_entity = {
	"SELECT e.entity_id FROM graphmem.entities e WHERE e.graph_id" GM_EQ "$1"
	" AND graphmem.name_key(e.name, e.literal_type)" GM_EQ "graphmem.name_key($2, $3)",
	3, {INT4OID, TEXTOID, TEXTOID}
};

static GmSql find_alias = {
	"SELECT a.entity_id FROM graphmem.aliases a WHERE a.graph_id" GM_EQ "$1"
	" AND graphmem.name_key(a.name)" GM_EQ "graphmem.name_key($2)", 2, {INT4OID, TEXTOID}
};

/* whatever its type; names of literals alone have no index */
static GmSql find_literal = {
	"SELECT t.object_id FROM graphmem.triples t JOIN graphmem.entities e"
	" ON e.entity_id" GM_EQ "t.object_id WHERE t.subject_id" GM_EQ "$1"
	" AND t.predicate_id" GM_EQ "$2 AND t.expired_at" GM_EQ "'infinity'"
	" AND e.literal_type IS NOT NULL AND e.name COLLATE \"C\"" GM_EQ "$3 ORDER BY 1 LIMIT 1",
	3, {INT8OID, INT8OID, TEXTOID}
};

static GmSql find_type = {
	"SELECT e.literal_type FROM graphmem.entities e WHERE e.entity_id" GM_EQ "$1", 1, {INT8OID}
};

#define VERSION_COLUMNS \
	"t.triple_id, t.fact_id, t.subject_id, t.predicate_id, t.object_id, t.valid_from, t.valid_to"

static GmSql find_open = {
	"SELECT " VERSION_COLUMNS " FROM graphmem.triples t WHERE t.subject_id" GM_EQ "$1"
	" AND t.predicate_id" GM_EQ "$2 AND t.object_id" GM_EQ "$3"
	" AND t.expired_at" GM_EQ "'infinity' ORDER BY t.valid_from",
	3, {INT8OID, INT8OID, INT8OID}
};

static GmSql find_open_of_fact = {
	"SELECT " VERSION_COLUMNS " FROM graphmem.triples t WHERE t.fact_id" GM_EQ "$1"
	" AND t.expired_at" GM_EQ "'infinity' ORDER BY t.valid_from",
	1, {INT8OID}
};

static GmSql find_timeline = {
	"SELECT " VERSION_COLUMNS " FROM graphmem.triples t WHERE t.subject_id" GM_EQ "$1"
	" AND t.predicate_id" GM_EQ "$2 AND t.functional AND t.expired_at" GM_EQ "'infinity'"
	" AND t.valid_from OPERATOR(pg_catalog.<) $4 AND t.valid_to OPERATOR(pg_catalog.>) $3"
	" AND NOT t.triple_id" GM_EQ "ANY ($5) ORDER BY t.valid_from",
	5, {INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8ARRAYOID}
};

static GmSql leads_to = {
	"WITH RECURSIVE after (fact_id) AS (SELECT $1 UNION SELECT c.new_fact_id FROM after"
	" JOIN graphmem.supersessions c ON c.old_fact_id" GM_EQ "after.fact_id"
	" WHERE c.undone_at IS NULL AND c.new_fact_id IS NOT NULL)"
	" SELECT 1 FROM after WHERE fact_id" GM_EQ "$2", 2, {INT8OID, INT8OID}
};

static GmSql assert_fact = {
	"INSERT INTO graphmem.assertions (graph_id, fact_id, source_id, confidence)"
	" VALUES ($1, $2, $3, $4) ON CONFLICT (fact_id, source_id) DO UPDATE"
	" SET confidence = excluded.confidence, asserted_at = excluded.asserted_at",
	4, {INT4OID, INT8OID, INT8OID, FLOAT4OID}
};

#define STEP_COLUMNS \
	"SELECT c.supersession_id, c.graph_id, c.old_fact_id, c.new_fact_id, c.created, c.automatic," \
	" c.undone_at IS NOT NULL, c.reason, c.old_triple_id, o.subject_id, o.predicate_id," \
	" o.object_id, o.valid_from, o.valid_to, c.closed_triple_id IS NOT NULL, k.valid_to," \
	" c.rest_triple_id IS NOT NULL, r.valid_from, r.valid_to, (SELECT n.valid_to FROM" \
	" (SELECT t.triple_id, t.valid_to FROM graphmem.triples t WHERE t.fact_id" GM_EQ "c.new_fact_id" \
	" OFFSET 0) AS n ORDER BY n.triple_id LIMIT 1) FROM graphmem.supersessions c" \
	" LEFT JOIN graphmem.triples o ON o.triple_id" GM_EQ "c.old_triple_id" \
	" LEFT JOIN graphmem.triples k ON k.triple_id" GM_EQ "c.closed_triple_id" \
	" LEFT JOIN graphmem.triples r ON r.triple_id" GM_EQ "c.rest_triple_id"

static GmSql read_step = {
	STEP_COLUMNS " WHERE c.supersession_id" GM_EQ "$1", 1, {INT8OID}
};

/* max() since one row is compared; the id is the table's key */
static GmSql terms_of_version = {
	"SELECT pg_catalog.max(t.fact_id), pg_catalog.max(t.subject_id), pg_catalog.max(t.predicate_id),"
	" pg_catalog.max(t.object_id) FROM graphmem.triples t WHERE t.triple_id" GM_EQ "$1", 1, {INT8OID}
};

static GmSql lock_step = {
	STEP_COLUMNS " WHERE c.supersession_id" GM_EQ "$1 FOR UPDATE OF c", 1, {INT8OID}
};

static GmSql lock_steps_from = {
	STEP_COLUMNS " WHERE c.old_fact_id" GM_EQ "$1 AND c.undone_at IS NULL"
	" ORDER BY c.supersession_id FOR UPDATE OF c", 1, {INT8OID}
};

static GmSql find_later_step = {
	"SELECT c.supersession_id, c.new_fact_id FROM graphmem.supersessions c"
	" WHERE c.old_fact_id" GM_EQ "$1 AND c.supersession_id OPERATOR(pg_catalog.>) $2"
	" AND c.undone_at IS NULL ORDER BY 1 LIMIT 1", 2, {INT8OID, INT8OID}
};

static GmSql find_other_step = {
	"SELECT c.supersession_id FROM graphmem.supersessions c WHERE c.new_fact_id" GM_EQ "$1"
	" AND NOT c.supersession_id" GM_EQ "$2 AND c.undone_at IS NULL ORDER BY 1 LIMIT 1",
	2, {INT8OID, INT8OID}
};

/* what later claims took of a version that a step let go on */
static GmSql find_taker = {
	"SELECT c.supersession_id FROM graphmem.supersessions c JOIN graphmem.triples o"
	" ON o.triple_id" GM_EQ "c.old_triple_id WHERE c.old_fact_id" GM_EQ "$1 AND c.undone_at IS NULL"
	" AND c.automatic AND NOT c.created AND o.valid_from" GM_EQ "$2 LIMIT 1",
	2, {INT8OID, TIMESTAMPTZOID}
};

/* the steps by which the new fact took versions that went on, newest first */
static GmSql find_taking = {
	"SELECT c.supersession_id FROM graphmem.supersessions c WHERE c.new_fact_id" GM_EQ "$1"
	" AND c.undone_at IS NULL AND c.automatic AND NOT c.created"
	" ORDER BY c.supersession_id DESC LIMIT 1", 1, {INT8OID}
};

static GmSql is_functional = {
	"SELECT p.functional FROM graphmem.predicates p WHERE p.predicate_id" GM_EQ "$1", 1, {INT8OID}
};

static GmSql mark_undone = {
	"UPDATE graphmem.supersessions AS c SET undone_at = pg_catalog.now()"
	" WHERE c.supersession_id" GM_EQ "ANY ($1)", 1, {INT8ARRAYOID}
};

/* ---- arguments ---- */

static int64
first_id(GmSql *sql, Datum *args, const char *nulls)
{
	int64		id;

	gm_sql_run(sql, args, nulls);
	id = SPI_processed == 0 ? 0 : gm_sql_int8(0, 1);
	gm_sql_done();
	return id;
}

/* 0 if there is none */
static int64
entity_named(int32 graph_id, const text *name, const text *type)
{
	Datum		args[3] = {Int32GetDatum(graph_id), PointerGetDatum(name), PointerGetDatum(type)};
	char		nulls[3] = {' ', ' ', type == NULL ? 'n' : ' '};
	int64		id = first_id(&find_entity, args, nulls);

	if (id == 0 && type == NULL)
		id = first_id(&find_alias, args, NULL);
	return id;
}

static void
report_unknown(const char *what, const text *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("%s \"%s\" does not exist", what,
					gm_error_quote(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)))));
}

/* A fact that is named in a call, and what the call says besides. */
typedef struct NamedFact
{
	int32		graph_id;
	int64		subject;
	int64		predicate;
	int64		object;
	bool		functional;
	GmNamePool *names;			/* with the predicate, to add to before settle() */
	uint32		predicate_number;
} NamedFact;

static void
find_named(NamedFact *fact, const text *graph, const text *subject, const text *predicate,
		   const text *object, const text *object_type)
{
	Datum		args[3];

	fact->graph_id = gm_graph_find(gm_graph_name(graph));
	if (fact->graph_id != 0)
		gm_graph_lock(fact->graph_id, false);
	fact->subject = entity_named(fact->graph_id, subject, NULL);
	if (fact->subject == 0)
		report_unknown("entity", subject);
	args[0] = Int32GetDatum(fact->graph_id);
	args[1] = PointerGetDatum(predicate);
	fact->predicate = first_id(&find_predicate, args, NULL);
	if (fact->predicate == 0)
		report_unknown("predicate", predicate);
	fact->object = entity_named(fact->graph_id, object, object_type);
	if (fact->object == 0 && object_type == NULL)
	{
		args[0] = Int64GetDatum(fact->subject);
		args[1] = Int64GetDatum(fact->predicate);
		args[2] = PointerGetDatum(object);
		fact->object = first_id(&find_literal, args, NULL);
	}
	if (fact->object == 0)
		report_unknown(object_type == NULL ? "entity or literal" : "literal", object);
	fact->names = gm_names_begin(CurrentMemoryContext);
	fact->predicate_number = gm_names_add(fact->names, GM_NAME_PREDICATE, predicate, NULL, NULL);
}

/* Resolves the pool, then holds the timeline if the predicate is functional. */
static void
settle(NamedFact *fact)
{
	Datum		subject = Int64GetDatum(fact->subject);
	Datum		predicate = Int64GetDatum(fact->predicate);

	gm_names_resolve(fact->names, fact->graph_id);
	fact->functional = gm_names_functional(fact->names, fact->predicate_number);
	if (fact->functional)
		gm_versions_lock_keys(fact->graph_id, &subject, &predicate, 1);
}

/* ---- versions ---- */

/* The rows of VERSION_COLUMNS that a query gave, into the set; how many. */
static int
take_versions(GmVersionSet *set, bool functional)
{
	int			n = (int) SPI_processed;

	for (int row = 0; row < n; row++)
	{
		GmVersion	version = {.copied = GM_NO_VERSION, .stored = true, .was_open = true,
		.open = true, .functional = functional};

		version.triple_id = gm_sql_int8(row, 1);
		version.fact_id = gm_sql_int8(row, 2);
		version.subject = gm_sql_int8(row, 3);
		version.predicate = gm_sql_int8(row, 4);
		version.object = gm_sql_int8(row, 5);
		version.from = gm_sql_int8(row, 6);
		version.to = gm_sql_int8(row, 7);
		(void) gm_versions_add_found(set, &version);
	}
	gm_sql_done();
	return n;
}

static int
take_open(GmVersionSet *set, const NamedFact *fact, int64 object)
{
	Datum		args[3] = {Int64GetDatum(fact->subject), Int64GetDatum(fact->predicate),
	Int64GetDatum(object)};

	gm_sql_run(&find_open, args, NULL);
	return take_versions(set, fact->functional);
}

/* Of the first n of the set the one that is valid then, else GM_NO_VERSION. */
static int
valid_version(const GmVersionSet *set, int n, TimestampTz at)
{
	for (int i = 0; i < n; i++)
		if (set->versions[i].from <= at && at < set->versions[i].to)
			return i;
	return GM_NO_VERSION;
}

static void
report_no_fact(const NamedFact *fact, const TimestampTz *at)
{
	char	   *described = gm_fact_describe(fact->subject, fact->predicate, fact->object);

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 at == NULL ? errmsg("fact %s does not exist", described) :
			 errmsg("fact %s is not valid at %s", described, timestamptz_to_str(*at)),
			 errhint("graphmem.history() shows what was known of it.")));
}

static void
report_not_valid(const NamedFact *fact, const GmVersion *version, TimestampTz at)
{
	char	   *described = gm_fact_describe(fact->subject, fact->predicate, fact->object);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("fact cannot be superseded at a time at which it is not valid"),
			 errdetail("The time is %s; the fact %s is valid %s.",
					   pstrdup(timestamptz_to_str(at)), described,
					   gm_interval_text(version->from, version->to)),
			 errhint("graphmem.history() shows what is valid when.")));
}

static void
report_contention(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent change of a fact"),
			 errhint("Run the transaction again.")));
}

/* ---- supersede ---- */

/* What takes the place of a version from a time on. */
typedef struct Successor
{
	int64		object;
	float4		confidence;
	bool		has_time;
	TimestampTz time;
	Datum		reason;
} Successor;

/* The version to be closed, of the first n, and when. */
static int
choose_old(const GmVersionSet *set, int n, const NamedFact *fact, const Successor *successor,
		   TimestampTz *from)
{
	TimestampTz at = successor->has_time ? successor->time : GetCurrentStatementStartTimestamp();
	int			old = n == 0 ? GM_NO_VERSION : valid_version(set, n, at);

	if (n == 0)
		report_no_fact(fact, NULL);
	*from = at;
	if (old != GM_NO_VERSION)
		return old;
	old = n - 1;
	if (fact->functional || at >= set->versions[old].to)
		report_not_valid(fact, &set->versions[old], at);
	if (!successor->has_time)
		*from = set->versions[old].from;
	return old;
}

/* An open version of the new object that holds throughout, or GM_NO_VERSION. */
static int
choose_new(GmVersionSet *set, const NamedFact *fact, int64 object, TimestampTz from,
		   TimestampTz to)
{
	int			first = set->nversions;
	int			n = take_open(set, fact, object);

	for (int i = first; i < first + n; i++)
	{
		const GmVersion *version = &set->versions[i];

		if (version->from <= from && to <= version->to)
			return i;
		if (version->from < to && from < version->to)
			gm_facts_report_overlap(0, fact->subject, fact->predicate, object, from, to,
									version->from, version->to);
	}
	return GM_NO_VERSION;
}

static void
check_no_cycle(const NamedFact *fact, const GmVersion *old, const GmVersion *new)
{
	Datum		args[2] = {Int64GetDatum(new->fact_id), Int64GetDatum(old->fact_id)};
	bool		found;

	gm_sql_run(&leads_to, args, NULL);
	found = SPI_processed > 0;
	gm_sql_done();
	if (found)
	{
		char	   *a = gm_fact_describe(fact->subject, fact->predicate, old->object);
		char	   *b = gm_fact_describe(fact->subject, fact->predicate, new->object);

		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("supersession would make a cycle"),
				 errdetail("The fact %s has itself taken the place of %s.", a, b),
				 errhint("Undo that step with graphmem.undo_supersede(), or supersede by a fact with another validity.")));
	}
}

/* The fact that is now the new one; its step in *step_id. */
static int64
write_successor(const NamedFact *fact, const Successor *successor, int64 *step_id)
{
	GmVersionSet set;

	gm_versions_init(&set, fact->graph_id);
	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		TimestampTz from;
		int			old;
		int			closed = GM_NO_VERSION;
		int			new;
		GmStep	   *step;
		bool		created;

		CHECK_FOR_INTERRUPTS();
		gm_versions_reset(&set);
		old = choose_old(&set, take_open(&set, fact, fact->object), fact, successor, &from);
		new = choose_new(&set, fact, successor->object, from, set.versions[old].to);
		created = new == GM_NO_VERSION;
		if (created)
			new = gm_versions_add_fact(&set, fact->subject, fact->predicate, successor->object,
									   fact->functional, from, set.versions[old].to,
									   successor->confidence, (Datum) 0);
		else
		{
			check_no_cycle(fact, &set.versions[old], &set.versions[new]);
			gm_versions_hold(&set, new);
		}
		gm_versions_close(&set, old);
		if (set.versions[old].from < from)
			closed = gm_versions_add_copy(&set, old, set.versions[old].from, from);
		step = gm_versions_add_step(&set, old, closed, GM_NO_VERSION, new);
		step->created = created;
		step->reason = successor->reason;
		if (gm_versions_write(&set))
		{
			*step_id = set.steps[0].step_id;
			return set.versions[new].fact_id;
		}
	}
	report_contention();
	return 0;
}

/* The type of the new object: as given, else as the old one's. */
static const text *
new_type(const NamedFact *fact, const text *given)
{
	Datum		arg = Int64GetDatum(fact->object);
	const text *type = given;
	bool		isnull = true;
	Datum		value;

	if (given != NULL)
		return given;
	gm_sql_run(&find_type, &arg, NULL);
	value = SPI_processed == 0 ? (Datum) 0 : gm_sql_datum(0, 1, &isnull);
	if (!isnull)
		type = DatumGetTextPCopy(value);
	gm_sql_done();
	return type;
}

Datum
graphmem_supersede(PG_FUNCTION_ARGS)
{
	const text *subject = gm_sql_required_text(fcinfo, 0, "argument \"subject\"");
	const text *predicate = gm_sql_required_text(fcinfo, 1, "argument \"predicate\"");
	const text *object = gm_sql_required_text(fcinfo, 2, "argument \"object\"");
	const text *new_object = gm_sql_required_text(fcinfo, 3, "argument \"new_object\"");
	text	   *source = gm_sql_text_arg(fcinfo, 6);
	NamedFact	fact;
	Successor	successor = {.confidence = 1};
	uint32		object_number;
	uint32		source_number = 0;
	int64		new_fact;
	int64		step_id;
	int			level;

	successor.has_time = !PG_ARGISNULL(4);
	if (successor.has_time)
		successor.time = PG_GETARG_TIMESTAMPTZ(4);
	successor.reason = PointerGetDatum(gm_sql_text_arg(fcinfo, 5));
	if (!PG_ARGISNULL(7))
		successor.confidence = PG_GETARG_FLOAT4(7);
	gm_check_confidence(successor.confidence);

	level = gm_sql_enter();
	find_named(&fact, gm_sql_text_arg(fcinfo, 10), subject, predicate, object,
			   gm_sql_text_arg(fcinfo, 8));
	object_number = gm_names_add(fact.names, GM_NAME_ENTITY, new_object,
								 new_type(&fact, gm_sql_text_arg(fcinfo, 9)), NULL);
	if (source != NULL)
		source_number = gm_names_add(fact.names, GM_NAME_SOURCE, source, NULL, NULL);
	settle(&fact);
	successor.object = gm_names_id(fact.names, object_number);
	if (successor.object == fact.object)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a fact cannot supersede itself"),
				 errdetail("Old and new object are \"%s\".",
						   gm_error_quote(VARDATA_ANY(new_object), VARSIZE_ANY_EXHDR(new_object))),
				 errhint("Update confidence, validity and properties in graphmem.facts.")));
	new_fact = write_successor(&fact, &successor, &step_id);
	if (source != NULL)
	{
		Datum		args[4] = {Int32GetDatum(fact.graph_id), Int64GetDatum(new_fact),
			Int64GetDatum(gm_names_id(fact.names, source_number)),
		Float4GetDatum(successor.confidence)};

		gm_sql_run(&assert_fact, args, NULL);
		gm_sql_done();
	}
	gm_sql_leave(level);
	PG_RETURN_INT64(step_id);
}

/* ---- retract ---- */

static int64
write_retraction(const NamedFact *fact, const TimestampTz *as_of, Datum reason)
{
	TimestampTz at = as_of == NULL ? GetCurrentStatementStartTimestamp() : *as_of;
	GmVersionSet set;

	gm_versions_init(&set, fact->graph_id);
	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		int			n;
		int			old;

		CHECK_FOR_INTERRUPTS();
		gm_versions_reset(&set);
		n = take_open(&set, fact, fact->object);
		if (n == 0)
			report_no_fact(fact, NULL);
		old = valid_version(&set, n, at);
		if (old == GM_NO_VERSION && as_of != NULL)
			report_no_fact(fact, as_of);
		if (old == GM_NO_VERSION)
			old = n - 1;
		gm_versions_close(&set, old);
		gm_versions_add_step(&set, old, GM_NO_VERSION, GM_NO_VERSION, GM_NO_VERSION)->reason = reason;
		if (gm_versions_write(&set))
			return set.steps[0].step_id;
	}
	report_contention();
	return 0;
}

Datum
graphmem_retract(PG_FUNCTION_ARGS)
{
	const text *subject = gm_sql_required_text(fcinfo, 0, "argument \"subject\"");
	const text *predicate = gm_sql_required_text(fcinfo, 1, "argument \"predicate\"");
	const text *object = gm_sql_required_text(fcinfo, 2, "argument \"object\"");
	TimestampTz as_of = PG_ARGISNULL(3) ? 0 : PG_GETARG_TIMESTAMPTZ(3);
	int			level = gm_sql_enter();
	NamedFact	fact;
	int64		step_id;

	find_named(&fact, gm_sql_text_arg(fcinfo, 6), subject, predicate, object,
			   gm_sql_text_arg(fcinfo, 5));
	settle(&fact);
	step_id = write_retraction(&fact, PG_ARGISNULL(3) ? NULL : &as_of,
							   PointerGetDatum(gm_sql_text_arg(fcinfo, 4)));
	gm_sql_leave(level);
	PG_RETURN_INT64(step_id);
}

/* ---- undo: what there is ---- */

static TimestampTz
time_or(uint64 row, int col, TimestampTz missing)
{
	bool		isnull;
	Datum		value = gm_sql_datum(row, col, &isnull);

	return isnull ? missing : DatumGetTimestampTz(value);
}

static bool
bool_at(uint64 row, int col)
{
	bool		isnull;

	return DatumGetBool(gm_sql_datum(row, col, &isnull));
}

static void
report_lost(int64 step_id, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("supersession %lld cannot be undone", (long long) step_id),
			 errdetail("The %s was deleted from the table of triples.", what)));
}

/* A row of STEP_COLUMNS. */
static GmTakenStep
step_at(uint64 row)
{
	GmTakenStep step;
	bool		isnull;
	Datum		value;

	memset(&step, 0, sizeof(step));
	step.step_id = gm_sql_int8(row, 1);
	step.graph_id = DatumGetInt32(gm_sql_datum(row, 2, &isnull));
	step.old_fact = gm_sql_int8(row, 3);
	value = gm_sql_datum(row, 4, &isnull);
	step.new_fact = isnull ? 0 : DatumGetInt64(value);
	step.created = bool_at(row, 5);
	step.automatic = bool_at(row, 6);
	step.undone = bool_at(row, 7);
	value = gm_sql_datum(row, 8, &isnull);
	step.reason = isnull ? (Datum) 0 : PointerGetDatum(DatumGetTextPCopy(value));
	(void) gm_sql_datum(row, 10, &isnull);
	if (isnull)
		report_lost(step.step_id, "version that was closed");
	step.old.triple_id = gm_sql_int8(row, 9);
	step.old.fact_id = step.old_fact;
	step.old.subject = gm_sql_int8(row, 10);
	step.old.predicate = gm_sql_int8(row, 11);
	step.old.object = gm_sql_int8(row, 12);
	step.old.from = gm_sql_int8(row, 13);
	step.old.to = gm_sql_int8(row, 14);
	step.old.copied = GM_NO_VERSION;
	step.old.stored = true;
	step.has_closed = bool_at(row, 15);
	step.closed_to = time_or(row, 16, step.old.from);
	step.has_rest = bool_at(row, 17);
	step.rest_from = time_or(row, 18, DT_NOEND);
	step.rest_to = time_or(row, 19, DT_NOEND);
	step.new_to = time_or(row, 20, DT_NOEND);
	return step;
}

static bool
get_step(GmSql *sql, int64 step_id, GmTakenStep *step)
{
	Datum		arg = Int64GetDatum(step_id);
	bool		found;

	gm_sql_run(sql, &arg, NULL);
	found = SPI_processed > 0;
	if (found)
		*step = step_at(0);
	gm_sql_done();
	return found;
}

static void
report_no_step(int64 step_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("supersession %lld does not exist", (long long) step_id),
			 errhint("graphmem.history() shows the numbers of steps.")));
}

static bool
predicate_is_functional(int64 predicate)
{
	Datum		arg = Int64GetDatum(predicate);
	bool		functional;

	/* the graph's lock is held: what is committed now stays so */
	gm_sql_read_latest(&is_functional, &arg, NULL);
	functional = SPI_processed > 0 && bool_at(0, 1);
	gm_sql_done();
	return functional;
}

/* The step, its graph, timeline and row locked. */
static GmTakenStep
hold_step(int64 step_id)
{
	GmTakenStep step;
	bool		functional;

	if (!get_step(&read_step, step_id, &step))
		report_no_step(step_id);
	gm_graph_lock(step.graph_id, false);
	/* a merge may have given its fact another subject */
	if (!get_step(&read_step, step_id, &step))
		report_no_step(step_id);
	step.old.functional = predicate_is_functional(step.old.predicate);
	if (step.old.functional)
	{
		Datum		subject = Int64GetDatum(step.old.subject);
		Datum		predicate = Int64GetDatum(step.old.predicate);

		gm_versions_lock_keys(step.graph_id, &subject, &predicate, 1);
	}
	functional = step.old.functional;
	if (!get_step(&lock_step, step_id, &step))
		report_no_step(step_id);
	step.old.functional = functional;
	if (step.undone)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("supersession %lld has been undone already", (long long) step_id),
				 errhint("graphmem.supersede() takes the step again.")));
	return step;
}

static void
report_changed(const GmTakenStep *step, const char *what, TimestampTz from, TimestampTz to)
{
	Datum		args[2] = {Int64GetDatum(step->old_fact), Int64GetDatum(step->step_id)};
	char	   *fact = gm_fact_describe(step->old.subject, step->old.predicate, step->old.object);
	int64		later = 0;
	bool		retracted = false;

	gm_sql_run(&find_later_step, args, NULL);
	if (SPI_processed > 0)
	{
		later = gm_sql_int8(0, 1);
		(void) gm_sql_datum(0, 2, &retracted);
	}
	gm_sql_done();
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("supersession %lld cannot be undone", (long long) step->step_id),
			 later != 0 ?
			 errdetail("The %s of the fact %s, valid %s, has been %s by supersession %lld since.",
					   what, fact, gm_interval_text(from, to),
					   retracted ? "retracted" : "closed", (long long) later) :
			 errdetail("The %s of the fact %s is no longer valid %s: it was changed since.",
					   what, fact, gm_interval_text(from, to)),
			 later != 0 ? errhint("Undo supersession %lld first.", (long long) later) :
			 errhint("Give it that validity again in graphmem.facts first.")));
}

/* ---- undo: what becomes of it ---- */

typedef struct Piece
{
	TimestampTz from;
	TimestampTz to;
	int			version;
} Piece;

typedef struct Undo
{
	GmTakenStep step;
	GmVersionSet set;
	int			old;			/* the version as it was, not open */
	TimestampTz from;			/* of what comes back of it */
	TimestampTz to;
	int			model;			/* that with the confidence and properties to take */
	Piece	   *pieces;			/* of the old version, as they come back */
	int			npieces;
	int			max_pieces;
	Datum	   *undone;			/* steps to be marked */
	int			nundone;
	int64		restored;		/* triple_id */
} Undo;

static int
add_piece_version(Undo *undo, TimestampTz from, TimestampTz to)
{
	int			version = gm_versions_add_copy(&undo->set, undo->old, from, to);

	undo->set.versions[version].copied = undo->model;
	return version;
}

static void
add_piece(Undo *undo, TimestampTz from, TimestampTz to, int version)
{
	Piece	   *piece;

	if (undo->npieces == undo->max_pieces)
	{
		undo->max_pieces = Max(8, undo->max_pieces * 2);
		undo->pieces = undo->pieces == NULL ? palloc_array(Piece, undo->max_pieces) :
			repalloc(undo->pieces, undo->max_pieces * sizeof(Piece));
	}
	piece = &undo->pieces[undo->npieces++];
	piece->from = from;
	piece->to = to;
	piece->version = version;
}

/* Expires what the step left of the old fact and finds the model. */
static void
close_leftovers(Undo *undo)
{
	const GmTakenStep *step = &undo->step;
	Datum		arg = Int64GetDatum(step->old_fact);
	int			first = undo->set.nversions;
	int			closed = GM_NO_VERSION;
	int			rest = GM_NO_VERSION;
	int			n;

	gm_sql_run(&find_open_of_fact, &arg, NULL);
	n = take_versions(&undo->set, step->old.functional);
	for (int i = first; i < first + n; i++)
	{
		const GmVersion *version = &undo->set.versions[i];

		if (step->has_closed && version->to == step->closed_to)
			closed = i;
		if (step->has_rest && version->from == step->rest_from)
			rest = i;
	}
	if (step->has_closed && closed == GM_NO_VERSION)
		report_changed(step, "first part", step->old.from, step->closed_to);
	undo->model = undo->old;
	undo->from = step->old.from;
	undo->to = step->old.to;
	if (step->has_rest && rest == GM_NO_VERSION)
	{
		Datum		args[2] = {Int64GetDatum(step->old_fact), TimestampTzGetDatum(step->rest_from)};

		if (first_id(&find_taker, args, NULL) == 0)
			report_changed(step, "second part", step->rest_from, step->rest_to);
		undo->to = step->rest_from;
	}
	if (rest != GM_NO_VERSION)
	{
		gm_versions_close(&undo->set, undo->model = rest);
		undo->to = undo->set.versions[rest].to;
	}
	if (closed != GM_NO_VERSION)
	{
		gm_versions_close(&undo->set, undo->model = closed);
		undo->from = undo->set.versions[closed].from;
	}
	/* steps undone one by one leave parts that touch */
	for (int i = first; i < first + n; i++)
	{
		const GmVersion *version = &undo->set.versions[i];

		if (!version->open || (version->from != undo->to && version->to != undo->from))
			continue;
		gm_versions_close(&undo->set, i);
		undo->from = Min(undo->from, version->from);
		undo->to = Max(undo->to, version->to);
	}
}

static void
close_new_fact(Undo *undo)
{
	const GmTakenStep *step = &undo->step;
	Datum		args[2] = {Int64GetDatum(step->new_fact), Int64GetDatum(step->step_id)};
	int64		other = first_id(&find_other_step, args, NULL);
	int			first = undo->set.nversions;
	int			n;

	if (other != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("supersession %lld cannot be undone", (long long) step->step_id),
				 errdetail("The new fact has taken the place of another one too, in supersession %lld.",
						   (long long) other),
				 errhint("Undo supersession %lld first.", (long long) other)));
	gm_sql_run(&find_open_of_fact, args, NULL);
	n = take_versions(&undo->set, step->old.functional);
	for (int i = first; i < first + n; i++)
		gm_versions_close(&undo->set, i);
}

/* Takes from the new fact what it took of a version that went on. */
static void
give_back(Undo *undo)
{
	Datum		arg = Int64GetDatum(undo->step.new_fact);
	int			first = undo->set.nversions;
	int			n;

	gm_sql_run(&find_open_of_fact, &arg, NULL);
	n = take_versions(&undo->set, undo->step.old.functional);
	for (int i = first; i < first + n; i++)
	{
		TimestampTz from = undo->set.versions[i].from;
		TimestampTz to = undo->set.versions[i].to;

		if (to <= undo->from || from >= undo->to)
			continue;
		gm_versions_close(&undo->set, i);
		if (from < undo->from)
			gm_versions_add_copy(&undo->set, i, from, undo->from);
		if (undo->to < to)
			gm_versions_add_copy(&undo->set, i, undo->to, to);
	}
}

/* Takes a step that led on from the new fact again, from the old one. */
static void
take_again(Undo *undo, const GmTakenStep *later)
{
	TimestampTz from = later->has_closed ? later->closed_to : later->old.from;
	TimestampTz to = later->has_rest ? later->rest_from : later->new_to;

	for (int i = 0; i < undo->npieces; i++)
	{
		Piece		piece = undo->pieces[i];
		int			closed = GM_NO_VERSION;
		int			rest = GM_NO_VERSION;
		GmStep	   *step;

		if (from < piece.from || from >= piece.to)
			continue;
		if (piece.version != undo->old)
			gm_versions_close(&undo->set, piece.version);
		undo->pieces[i] = undo->pieces[--undo->npieces];
		if (piece.from < from)
		{
			closed = add_piece_version(undo, piece.from, from);
			add_piece(undo, piece.from, from, closed);
		}
		if (to < piece.to)
		{
			rest = add_piece_version(undo, to, piece.to);
			add_piece(undo, to, piece.to, rest);
		}
		/* it led back to the old fact, which holds there by what that step left */
		if (later->new_fact == undo->step.old_fact)
			break;
		step = gm_versions_add_step(&undo->set, piece.version, closed, rest, GM_NO_VERSION);
		step->new_fact = later->new_fact;
		step->reason = later->reason;
		step->automatic = later->automatic;
		step->created = later->created;
		break;
	}
}

static void
take_steps_again(Undo *undo)
{
	Datum		arg = Int64GetDatum(undo->step.new_fact);
	GmTakenStep *later;
	int			n;

	gm_sql_run(&lock_steps_from, &arg, NULL);
	n = (int) SPI_processed;
	later = palloc_array(GmTakenStep, n + 1);
	for (int i = 0; i < n; i++)
		later[i] = step_at(i);
	gm_sql_done();
	undo->undone = repalloc(undo->undone, (n + 1) * sizeof(Datum));
	for (int i = 0; i < n; i++)
	{
		undo->undone[undo->nundone++] = Int64GetDatum(later[i].step_id);
		if (later[i].new_fact != 0)
			take_again(undo, &later[i]);
	}
}

static void
report_taken(const Undo *undo, const GmVersion *other)
{
	const GmVersion *old = &undo->step.old;
	char	   *mine = gm_fact_describe(old->subject, old->predicate, old->object);
	char	   *others = gm_fact_describe(other->subject, other->predicate, other->object);

	ereport(ERROR,
			(errcode(other->object == old->object ? ERRCODE_EXCLUSION_VIOLATION :
					 ERRCODE_UNIQUE_VIOLATION),
			 errmsg("supersession %lld cannot be undone", (long long) undo->step.step_id),
			 errdetail("The fact %s would be valid %s again; the fact %s is valid %s.", mine,
					   gm_interval_text(undo->from, undo->to), others,
					   gm_interval_text(other->from, other->to)),
			 errhint("Undo the step that led to the latter, or take it back with graphmem.retract().")));
}

/* Leaves of a piece what the others of the timeline do not take. */
static void
fit_piece(Undo *undo, const Piece *piece, const GmVersion *others, int n)
{
	TimestampTz from = piece->from;
	int			version = piece->version;

	for (int i = 0; i < n && from < piece->to; i++)
	{
		const GmVersion *other = &others[i];

		if (other->to <= from)
			continue;
		if (other->from >= piece->to)
			break;
		if (other->from > from)
		{
			if (version == GM_NO_VERSION)
				version = add_piece_version(undo, from, other->from);
			undo->set.versions[version].from = from;
			undo->set.versions[version].to = other->from;
			version = GM_NO_VERSION;
		}
		from = other->to;
	}
	if (from < piece->to)
	{
		if (version == GM_NO_VERSION)
			version = add_piece_version(undo, from, piece->to);
		undo->set.versions[version].from = from;
		undo->set.versions[version].to = piece->to;
	}
	else if (version != GM_NO_VERSION)
		undo->set.versions[version].left_out = true;
}

static void
fit_pieces(Undo *undo)
{
	const GmVersion *old = &undo->step.old;
	Datum	   *closed = palloc_array(Datum, undo->set.nversions + 1);
	GmVersionSet others;
	int			n = 0;
	Datum		args[5];

	for (int i = 0; i < undo->set.nversions; i++)
		if (undo->set.versions[i].stored && !undo->set.versions[i].open)
			closed[n++] = Int64GetDatum(undo->set.versions[i].triple_id);
	args[0] = Int64GetDatum(old->subject);
	args[1] = Int64GetDatum(old->predicate);
	args[2] = TimestampTzGetDatum(undo->from);
	args[3] = TimestampTzGetDatum(undo->to);
	args[4] = gm_sql_array(INT8OID, closed, NULL, n);
	gm_versions_init(&others, undo->set.graph_id);
	gm_sql_run(&find_timeline, args, NULL);
	(void) take_versions(&others, true);
	for (int i = 0; i < undo->npieces; i++)
	{
		if (others.nversions > 0 && (undo->step.new_fact == 0 ||
									 (undo->pieces[i].from == undo->from &&
									  others.versions[0].from <= undo->from)))
			report_taken(undo, &others.versions[0]);
		fit_piece(undo, &undo->pieces[i], others.versions, others.nversions);
	}
}

/*
 * Whoever supersedes another fact by the new one holds a version of it until
 * the transaction ends: having waited, this one finds the step.
 */
static void
check_no_other_step(const GmTakenStep *step)
{
	Datum		args[2] = {Int64GetDatum(step->new_fact), Int64GetDatum(step->step_id)};
	bool		found;

	gm_sql_read_latest(&find_other_step, args, NULL);
	found = SPI_processed > 0;
	gm_sql_done();
	if (found)
		report_contention();
}

static bool
try_undo(Undo *undo)
{
	const GmTakenStep *step = &undo->step;

	gm_versions_init(&undo->set, step->graph_id);
	undo->old = gm_versions_add_found(&undo->set, &step->old);
	undo->npieces = 0;
	undo->nundone = 0;
	undo->undone = palloc_array(Datum, 1);
	undo->undone[undo->nundone++] = Int64GetDatum(step->step_id);
	close_leftovers(undo);
	/* steps taken again name the version that they close as it is */
	add_piece(undo, undo->from, undo->to,
			  undo->from == step->old.from && undo->to == step->old.to ? undo->old :
			  add_piece_version(undo, undo->from, undo->to));
	if (step->new_fact != 0 && step->created)
	{
		close_new_fact(undo);
		take_steps_again(undo);
	}
	else if (step->automatic)
		give_back(undo);
	for (int i = 0; i < undo->npieces; i++)
		if (undo->pieces[i].version == undo->old)
			undo->pieces[i].version = add_piece_version(undo, undo->pieces[i].from,
														undo->pieces[i].to);
	if (step->old.functional)
		fit_pieces(undo);
	if (!gm_versions_write(&undo->set))
		return false;
	if (step->new_fact != 0 && step->created)
		check_no_other_step(step);
	return true;
}

static void
finish_undo(Undo *undo)
{
	Datum		arg = gm_sql_array(INT8OID, undo->undone, NULL, undo->nundone);
	TimestampTz first = DT_NOEND;

	gm_sql_run(&mark_undone, &arg, NULL);
	gm_sql_done();
	for (int i = 0; i < undo->npieces; i++)
	{
		const GmVersion *version = &undo->set.versions[undo->pieces[i].version];

		if (version->open && !version->left_out && version->from < first)
		{
			first = version->from;
			undo->restored = version->triple_id;
		}
	}
}

static void
run_undo(Undo *undo)
{
	Datum		old = Int64GetDatum(undo->step.old.triple_id);

	/* what was retracted comes back as a copy of a row that nothing locks */
	gm_sql_refuse_stale(&terms_of_version, &old, "merge of entities");
	for (int tries = 0; !try_undo(undo); tries++)
	{
		CHECK_FOR_INTERRUPTS();
		if (tries == MAX_TRIES)
			report_contention();
	}
	finish_undo(undo);
}

Datum
graphmem_undo_supersede(PG_FUNCTION_ARGS)
{
	int			level;
	Undo		undo = {0};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "supersession_id")));
	level = gm_sql_enter();
	undo.step = hold_step(PG_GETARG_INT64(0));
	if (undo.step.created)
	{
		Datum		arg = Int64GetDatum(undo.step.new_fact);
		int64		taking;

		while ((taking = first_id(&find_taking, &arg, NULL)) != 0)
		{
			Undo		first = {.step = hold_step(taking)};

			run_undo(&first);
		}
	}
	run_undo(&undo);
	gm_sql_leave(level);
	if (undo.restored == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(undo.restored);
}
