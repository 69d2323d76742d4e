/*-------------------------------------------------------------------------
 *
 * facts.c
 *	  Stating, changing and erasing facts, a statement's worth at a time.
 *
 * Stated facts are buffered with numbers for names.  To write them, the names
 * are resolved, the facts sorted by (subject, predicate, object) and taken in
 * rounds: one query finds the open versions of the round's facts, memory
 * decides what each statement means beside them and beside earlier ones of
 * the round, one insert writes the new versions.  Those of functional
 * predicates have a sort of their own, by subject, predicate and order given,
 * and are placed by timeline.c.  Assertions come last.
 *
 * What a statement means where the predicate is not functional
 *	 - It restates a version that is valid throughout the given validity: an
 *	   assertion is added for its source, nothing else.
 *	 - Given no validity, it speaks of now: it restates the version valid now;
 *	   where there is none, the new version takes the whole gap between the
 *	   versions before and after.
 *	 - Disjoint from all open versions, it is a fact of its own.
 *	 - Anything else is 23P01.
 *
 * Changes come in passes over the whole statement, so that versions may swap
 * or shift their validities: lock and expire, write the new versions, check
 * for overlap.
 *
 * Memory	GM_SQL_STORE_KB for each of at most four sorts and stores, the
 *			pool's names, and a round
 * Limits	a fact with its properties must fit a row (1 GB)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "error.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

#include "api/entities.h"
#include "api/facts.h"
#include "api/names.h"
#include "api/overlap.h"
#include "api/sql.h"
#include "api/timeline.h"
#include "api/versions.h"
#include "compat.h"

/* columns of a buffered fact; s, p, o are name numbers */
enum
{
	IN_S, IN_P, IN_O, IN_CONFIDENCE, IN_FROM, IN_TO, IN_PROPERTIES, IN_SOURCES, IN_FACT,
	IN_COLS
};

/*
 * Columns of a sorted fact; s, p, o are ids, sources still name numbers.  Of a
 * functional predicate o and order change places: the sort is by the first.
 */
enum
{
	OUT_S, OUT_P, OUT_O, OUT_ORDER, OUT_FUNCTIONAL, OUT_CONFIDENCE, OUT_FROM, OUT_TO,
	OUT_PROPERTIES, OUT_SOURCES, OUT_FACT, OUT_COLS
};

/* columns of a sorted assertion */
enum
{
	AS_FACT, AS_SOURCE, AS_ORDER, AS_CONFIDENCE, AS_COLS
};

/* columns of a change, sorted by fact and order */
enum
{
	CH_FACT, CH_ORDER, CH_TRIPLE, CH_CONFIDENCE, CH_FROM, CH_TO, CH_PROPERTIES, CH_COLS
};

/* columns of a change whose version is locked */
enum
{
	DO_TRIPLE, DO_AT, DO_IN_PLACE, DO_CONFIDENCE, DO_FROM, DO_TO, DO_PROPERTIES,
	DO_S, DO_P, DO_O, DO_FUNCTIONAL, DO_COLS
};

typedef enum WriterKind
{
	WRITES_NOTHING = 0, WRITES_FACTS, WRITES_CHANGES, WRITES_ERASURES
} WriterKind;

struct GmFactWriter
{
	MemoryContext context;
	MemoryContext round;		/* reset after each */
	char	   *graph;
	int32		graph_id;
	WriterKind	kind;
	GmNamePool *names;
	GmEntityChanges *entities;	/* NULL if none */
	bool		numbered;		/* facts come with their ids */
	int64		nrows;
	TupleDesc	desc;			/* of what is buffered */
	Tuplestorestate *facts;
	Tuplesortstate *sort;		/* buffered changes and erasures */
	TupleTableSlot *slot;
	TupleDesc	assertion_desc;
	Tuplesortstate *assertions;
	TupleTableSlot *assertion_slot;
	int64		last_triple;
};

typedef struct Version
{
	TimestampTz from;
	TimestampTz to;
	int64		triple_id;		/* 0 while not inserted */
	int64		fact_id;
	int			next;			/* of the same fact, or -1 */
} Version;

typedef struct Stated
{
	int64		s;
	int64		p;
	int64		o;
	int64		order;
	int64		wanted;			/* fact_id if it is new; 0: any */
	float4		confidence;
	TimestampTz from;
	TimestampTz to;
	bool		has_from;
	bool		has_to;
	bool		functional;
	Datum		properties;		/* 0 if none */
	bytea	   *sources;		/* NULL if none */
	int64		triple_id;		/* of the version, once it is written */
	int64		fact_id;
	int			group;			/* of the round's distinct facts */
	int			version;		/* of the round's versions */
} Stated;

typedef struct Round
{
	Stated		rows[GM_SQL_BATCH_ROWS];
	int			nrows;
	int			group_row[GM_SQL_BATCH_ROWS];	/* first row of each fact */
	int			group_version[GM_SQL_BATCH_ROWS];	/* head of its list */
	int			ngroups;
	Version    *versions;
	int			nversions;
	int			max_versions;
	int			new_rows[GM_SQL_BATCH_ROWS];	/* whose versions are new */
	int			nnew;
} Round;

static GmSql find_versions = {
	"SELECT u.i, l.triple_id, l.fact_id, l.valid_from, l.valid_to"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))"
	" WITH ORDINALITY AS u(s, p, o, i), LATERAL (SELECT t.triple_id, t.fact_id,"
	" t.valid_from, t.valid_to FROM graphmem.triples t"
	" WHERE t.subject_id" GM_EQ "u.s AND t.predicate_id" GM_EQ "u.p"
	" AND t.object_id" GM_EQ "u.o AND t.expired_at" GM_EQ "'infinity' OFFSET 0) AS l",
	3, {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}
};

static GmSql insert_versions = {
	"INSERT INTO graphmem.triples AS t (graph_id, subject_id, predicate_id, object_id,"
	" functional, confidence, valid_from, valid_to, properties)"
	" SELECT $1, u.s, u.p, u.o, u.fn, u.c, u.f, u.t, u.j FROM ROWS FROM"
	" (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
	" pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
	" pg_catalog.unnest($8), pg_catalog.unnest($9)) AS u(s, p, o, fn, c, f, t, j)"
	" ON CONFLICT (subject_id, predicate_id, object_id, valid_from, expired_at) DO NOTHING"
	" RETURNING t.triple_id, t.fact_id",
	9, {INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, BOOLARRAYOID, FLOAT4ARRAYOID,
	TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, JSONBARRAYOID}
};

static GmSql insert_numbered = {
	"INSERT INTO graphmem.triples AS t (graph_id, subject_id, predicate_id, object_id,"
	" functional, confidence, valid_from, valid_to, properties, fact_id)"
	" SELECT $1, u.s, u.p, u.o, u.fn, u.c, u.f, u.t, u.j, u.i FROM ROWS FROM"
	" (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
	" pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
	" pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10))"
	" AS u(s, p, o, fn, c, f, t, j, i)"
	" ON CONFLICT (subject_id, predicate_id, object_id, valid_from, expired_at) DO NOTHING"
	" RETURNING t.triple_id, t.fact_id",
	10, {INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, BOOLARRAYOID, FLOAT4ARRAYOID,
	TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, JSONBARRAYOID, INT8ARRAYOID}
};

static GmSql describe = {
	"SELECT (SELECT name FROM graphmem.entities WHERE entity_id" GM_EQ "$1),"
	" (SELECT name FROM graphmem.predicates WHERE predicate_id" GM_EQ "$2),"
	" (SELECT name FROM graphmem.entities WHERE entity_id" GM_EQ "$3)",
	3, {INT8OID, INT8OID, INT8OID}
};

static GmSql upsert_assertions = {
	"INSERT INTO graphmem.assertions AS a (graph_id, fact_id, source_id, confidence)"
	" SELECT $1, u.f, u.s, u.c FROM ROWS FROM (pg_catalog.unnest($2),"
	" pg_catalog.unnest($3), pg_catalog.unnest($4)) AS u(f, s, c)"
	" ON CONFLICT (fact_id, source_id) DO UPDATE SET confidence = excluded.confidence,"
	" asserted_at = excluded.asserted_at",
	4, {INT4OID, INT8ARRAYOID, INT8ARRAYOID, FLOAT4ARRAYOID}
};

/* no earlier than after the last row with the same terms and start */
#define LOCK_VERSIONS(condition) \
	"SELECT u.i, t.xmin, t.recorded_at, t.expired_at, t.subject_id, t.predicate_id," \
	" t.object_id, t.graph_id, t.functional, (SELECT e.expired_at FROM graphmem.triples e" \
	" WHERE e.subject_id" GM_EQ "t.subject_id AND e.predicate_id" GM_EQ "t.predicate_id" \
	" AND e.object_id" GM_EQ "t.object_id AND e.valid_from" GM_EQ "t.valid_from" \
	" AND e.expired_at OPERATOR(pg_catalog.<) 'infinity' ORDER BY e.expired_at DESC LIMIT 1)" \
	" FROM pg_catalog.unnest($1) WITH ORDINALITY AS u(id, i)" \
	" JOIN graphmem.triples t ON t.triple_id" GM_EQ "u.id WHERE " condition \
	" FOR NO KEY UPDATE OF t"

/* those of functional predicates only when the rows of functional_keys are held */
static GmSql lock_plain_versions = {LOCK_VERSIONS("NOT t.functional"), 1, {INT8ARRAYOID}};
static GmSql lock_functional_versions = {LOCK_VERSIONS("t.functional"), 1, {INT8ARRAYOID}};

static GmSql find_keys = {
	"SELECT DISTINCT t.subject_id, t.predicate_id, t.graph_id FROM pg_catalog.unnest($1) AS u(id)"
	" JOIN graphmem.triples t ON t.triple_id" GM_EQ "u.id WHERE t.functional ORDER BY 1, 2",
	1, {INT8ARRAYOID}
};

static GmSql expire_versions = {
	"UPDATE graphmem.triples AS t SET expired_at = u.at FROM ROWS FROM"
	" (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u(id, at)"
	" WHERE t.triple_id" GM_EQ "u.id",
	2, {INT8ARRAYOID, TIMESTAMPTZARRAYOID}
};

static GmSql change_in_place = {
	"UPDATE graphmem.triples AS t SET confidence = u.c, valid_from = u.f, valid_to = u.t,"
	" properties = u.j FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
	" pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
	" pg_catalog.unnest($6)) AS u(id, at, c, f, t, j) WHERE t.triple_id" GM_EQ "u.id",
	6, {INT8ARRAYOID, TIMESTAMPTZARRAYOID, FLOAT4ARRAYOID, TIMESTAMPTZARRAYOID,
	TIMESTAMPTZARRAYOID, JSONBARRAYOID}
};

static GmSql change_by_version = {
	"INSERT INTO graphmem.triples (fact_id, graph_id, subject_id, predicate_id, object_id,"
	" functional, recorded_at, confidence, valid_from, valid_to, properties)"
	" SELECT t.fact_id, t.graph_id, t.subject_id, t.predicate_id, t.object_id,"
	" t.functional, u.at, u.c, u.f, u.t, u.j FROM ROWS FROM (pg_catalog.unnest($1),"
	" pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
	" pg_catalog.unnest($5), pg_catalog.unnest($6)) AS u(id, at, c, f, t, j)"
	" JOIN graphmem.triples t ON t.triple_id" GM_EQ "u.id",
	6, {INT8ARRAYOID, TIMESTAMPTZARRAYOID, FLOAT4ARRAYOID, TIMESTAMPTZARRAYOID,
	TIMESTAMPTZARRAYOID, JSONBARRAYOID}
};

static GmSql erase_assertions = {
	"DELETE FROM graphmem.assertions AS a USING pg_catalog.unnest($1) AS u(f)"
	" WHERE a.fact_id" GM_EQ "u.f", 1, {INT8ARRAYOID}
};

static GmSql erase_triples = {
	"DELETE FROM graphmem.triples AS t USING pg_catalog.unnest($1) AS u(f)"
	" WHERE t.fact_id" GM_EQ "u.f", 1, {INT8ARRAYOID}
};

static GmSql count_triples = {
	"SELECT pg_catalog.count(*) FROM pg_catalog.unnest($1) AS u(f) JOIN graphmem.triples t"
	" ON t.fact_id" GM_EQ "u.f", 1, {INT8ARRAYOID}
};

/* ---- checks and messages ---- */

void
gm_check_confidence(float4 confidence)
{
	if (isnan(confidence) || confidence < 0 || confidence > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("confidence %g is out of range", confidence),
				 errdetail("A confidence is between 0 and 1.")));
}

void
gm_check_object(const Jsonb *value, const char *what)
{
	if (value != NULL && !JB_ROOT_IS_OBJECT(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a JSON object", what)));
}

void
gm_check_validity(TimestampTz from, TimestampTz to)
{
	if (from >= to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("validity is empty"),
				 errdetail("It begins at %s and ends before %s.",
						   from == DT_NOBEGIN ? "-infinity" : pstrdup(timestamptz_to_str(from)),
						   to == DT_NOEND ? "infinity" : pstrdup(timestamptz_to_str(to)))));
}

char *
gm_fact_describe(int64 subject, int64 predicate, int64 object)
{
	Datum		args[3] = {Int64GetDatum(subject), Int64GetDatum(predicate), Int64GetDatum(object)};
	char	   *names[3];

	gm_sql_run(&describe, args, NULL);
	for (int i = 0; i < 3; i++)
	{
		bool		isnull = true;
		Datum		value = SPI_processed == 0 ? (Datum) 0 : gm_sql_datum(0, i + 1, &isnull);
		text	   *name = isnull ? NULL : DatumGetTextPP(value);

		names[i] = isnull ? pstrdup("?") :
			gm_error_quote(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	}
	gm_sql_done();
	return psprintf("(\"%s\", \"%s\", \"%s\")", names[0], names[1], names[2]);
}

void
gm_facts_report_overlap(int64 row, int64 subject, int64 predicate, int64 object,
						TimestampTz from, TimestampTz to,
						TimestampTz other_from, TimestampTz other_to)
{
	char	   *fact = gm_fact_describe(subject, predicate, object);

	ereport(ERROR,
			(errcode(ERRCODE_EXCLUSION_VIOLATION),
			 errmsg("validity overlaps another version of the same fact"),
			 errdetail("Given was %s; the fact %s is valid %s already.",
					   gm_interval_text(from, to), fact,
					   gm_interval_text(other_from, other_to)),
			 row > 0 ? errcontext("row " INT64_FORMAT " of the statement", row) : 0,
			 errhint("Change the validity of the other version in graphmem.facts, or state a validity that lies inside or outside it.")));
}

/* ---- buffering ---- */

GmFactWriter *
gm_facts_begin(MemoryContext parent, char *graph)
{
	MemoryContext context = AllocSetContextCreate(parent, "graphmem fact writer",
												  ALLOCSET_DEFAULT_SIZES);
	GmFactWriter *writer = MemoryContextAllocZero(context, sizeof(GmFactWriter));

	writer->context = context;
	writer->round = AllocSetContextCreate(context, "graphmem facts round",
										  ALLOCSET_DEFAULT_SIZES);
	writer->graph = MemoryContextStrdup(context, graph);
	return writer;
}

static void
become(GmFactWriter *writer, WriterKind kind)
{
	static const Oid facts[IN_COLS] = {INT8OID, INT8OID, INT8OID, FLOAT4OID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, JSONBOID, BYTEAOID, INT8OID};
	static const Oid changes[CH_COLS] = {INT8OID, INT8OID, INT8OID, FLOAT4OID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, JSONBOID};
	MemoryContext old;

	if (writer->kind == kind)
		return;
	if (writer->kind != WRITES_NOTHING)
		elog(ERROR, "fact writer used for %d and %d", (int) writer->kind, (int) kind);
	old = MemoryContextSwitchTo(writer->context);
	if (kind == WRITES_FACTS)
	{
		writer->desc = gm_sql_desc(IN_COLS, facts);
		writer->names = gm_names_begin(writer->context);
		writer->facts = tuplestore_begin_heap(false, false, GM_SQL_STORE_KB);
	}
	else
	{
		writer->desc = gm_sql_desc(kind == WRITES_CHANGES ? CH_COLS : 1, changes);
		writer->slot = MakeSingleTupleTableSlot(writer->desc, &TTSOpsVirtual);
		writer->sort = gm_sql_sort(writer->desc, kind == WRITES_CHANGES ? 2 : 1);
	}
	writer->kind = kind;
	MemoryContextSwitchTo(old);
}

static void
require(const text *value, const char *what)
{
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of a fact must not be null", what)));
}

/* The name numbers of the fact's sources as bytes, NULL if it has none. */
static bytea *
number_sources(GmFactWriter *writer, const GmFact *fact)
{
	Datum	   *values = NULL;
	bool	   *nulls = NULL;
	int			n = 0;
	bytea	   *numbers;
	uint32	   *next;

	if (fact->sources != NULL)
		deconstruct_array(fact->sources, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("source of a fact must not be null"),
					 errdetail("Element %d of \"sources\" is null.", i + 1)));
	if (n == 0 && fact->source == NULL)
		return NULL;
	numbers = palloc(VARHDRSZ + ((Size) n + 1) * sizeof(uint32));
	next = (uint32 *) VARDATA(numbers);
	if (fact->source != NULL)
		*next++ = gm_names_add(writer->names, GM_NAME_SOURCE, fact->source, NULL, NULL);
	for (int i = 0; i < n; i++)
		*next++ = gm_names_add(writer->names, GM_NAME_SOURCE, DatumGetTextPP(values[i]),
							   NULL, NULL);
	SET_VARSIZE(numbers, (char *) next - (char *) numbers);
	return numbers;
}

void
gm_facts_state(GmFactWriter *writer, const GmFact *fact)
{
	Datum		values[IN_COLS];
	bool		nulls[IN_COLS] = {false};
	float4		confidence = fact->has_confidence ? fact->confidence : 1.0f;
	bytea	   *sources;

	become(writer, WRITES_FACTS);
	require(fact->subject, "subject");
	require(fact->predicate, "predicate");
	require(fact->object, "object");
	gm_check_confidence(confidence);
	gm_check_object(fact->properties, "properties of a fact");
	gm_check_validity(fact->has_from ? fact->valid_from : DT_NOBEGIN,
					  fact->has_to ? fact->valid_to : DT_NOEND);

	values[IN_S] = Int64GetDatum((int64) gm_names_add(writer->names, GM_NAME_ENTITY, fact->subject,
													  NULL, fact->subject_kind));
	values[IN_P] = Int64GetDatum((int64) gm_names_add(writer->names, GM_NAME_PREDICATE,
													  fact->predicate, NULL, NULL));
	values[IN_O] = Int64GetDatum((int64) gm_names_add(writer->names, GM_NAME_ENTITY, fact->object,
													  fact->object_type, fact->object_kind));
	values[IN_CONFIDENCE] = Float4GetDatum(confidence);
	values[IN_FROM] = TimestampTzGetDatum(fact->valid_from);
	nulls[IN_FROM] = !fact->has_from || fact->valid_from == DT_NOBEGIN;
	values[IN_TO] = TimestampTzGetDatum(fact->valid_to);
	nulls[IN_TO] = !fact->has_to || fact->valid_to == DT_NOEND;
	values[IN_PROPERTIES] = PointerGetDatum(fact->properties);
	nulls[IN_PROPERTIES] = fact->properties == NULL;
	sources = number_sources(writer, fact);
	values[IN_SOURCES] = PointerGetDatum(sources);
	nulls[IN_SOURCES] = sources == NULL;
	values[IN_FACT] = Int64GetDatum(fact->fact_id);
	writer->numbered = writer->numbered || fact->fact_id != 0;
	tuplestore_putvalues(writer->facts, writer->desc, values, nulls);
	writer->nrows++;
	if (sources != NULL)
		pfree(sources);
}

void
gm_facts_entity(GmFactWriter *writer, const text *name, const text *kind, int64 wanted,
				Jsonb *properties)
{
	uint32		number;

	become(writer, WRITES_FACTS);
	number = gm_names_add_entity(writer->names, name, kind, wanted);
	if (properties == NULL)
		return;
	gm_check_object(properties, "properties of an entity");
	if (writer->entities == NULL)
		writer->entities = gm_entity_changes_begin(writer->context);
	gm_entity_changes_add(writer->entities, number, wanted, properties);
}

void
gm_facts_change(GmFactWriter *writer, const GmFactChange *change)
{
	Datum		values[CH_COLS];
	bool		nulls[CH_COLS] = {false};

	become(writer, WRITES_CHANGES);
	gm_check_confidence(change->confidence);
	gm_check_object(change->properties, "properties of a fact");
	gm_check_validity(change->valid_from, change->valid_to);
	values[CH_FACT] = Int64GetDatum(change->fact_id);
	values[CH_ORDER] = Int64GetDatum(writer->nrows);
	values[CH_TRIPLE] = Int64GetDatum(change->triple_id);
	values[CH_CONFIDENCE] = Float4GetDatum(change->confidence);
	values[CH_FROM] = TimestampTzGetDatum(change->valid_from);
	values[CH_TO] = TimestampTzGetDatum(change->valid_to);
	values[CH_PROPERTIES] = PointerGetDatum(change->properties);
	nulls[CH_PROPERTIES] = change->properties == NULL;
	gm_sql_put_sorted(writer->sort, writer->slot, values, nulls);
	writer->nrows++;
}

void
gm_facts_erase(GmFactWriter *writer, int64 fact_id)
{
	Datum		value = Int64GetDatum(fact_id);
	bool		isnull = false;

	become(writer, WRITES_ERASURES);
	gm_sql_put_sorted(writer->sort, writer->slot, &value, &isnull);
	writer->nrows++;
}

/* ---- stating ---- */

static Datum
optional_copy(TupleTableSlot *slot, int col)
{
	return slot->tts_isnull[col] ? (Datum) 0 : datumCopy(slot->tts_values[col], false, -1);
}

/* The facts with their names resolved, in order; NULL where there are none. */
typedef struct SortedFacts
{
	Tuplesortstate *plain;
	Tuplesortstate *functional;
} SortedFacts;

static SortedFacts
sort_facts(GmFactWriter *writer)
{
	static const Oid types[OUT_COLS] = {INT8OID, INT8OID, INT8OID, INT8OID, BOOLOID,
	FLOAT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, JSONBOID, BYTEAOID, INT8OID};
	TupleDesc	desc = gm_sql_desc(OUT_COLS, types);
	TupleTableSlot *from = MakeSingleTupleTableSlot(writer->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *to = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	SortedFacts sorted = {NULL, NULL};
	int64		order = 0;

	writer->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(writer->facts, true, false, from))
	{
		Datum		values[OUT_COLS];
		bool		nulls[OUT_COLS] = {false};
		uint32		predicate;
		bool		functional;
		Tuplesortstate **sort;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(from);
		predicate = (uint32) DatumGetInt64(from->tts_values[IN_P]);
		functional = gm_names_functional(writer->names, predicate);
		values[OUT_S] = Int64GetDatum(gm_names_id(writer->names,
												  (uint32) DatumGetInt64(from->tts_values[IN_S])));
		values[OUT_P] = Int64GetDatum(gm_names_id(writer->names, predicate));
		values[functional ? OUT_ORDER : OUT_O] =
			Int64GetDatum(gm_names_id(writer->names,
									  (uint32) DatumGetInt64(from->tts_values[IN_O])));
		values[functional ? OUT_O : OUT_ORDER] = Int64GetDatum(order++);
		values[OUT_FUNCTIONAL] = BoolGetDatum(functional);
		for (int i = 0; i < IN_COLS - IN_CONFIDENCE; i++)
		{
			values[OUT_CONFIDENCE + i] = from->tts_values[IN_CONFIDENCE + i];
			nulls[OUT_CONFIDENCE + i] = from->tts_isnull[IN_CONFIDENCE + i];
		}
		sort = functional ? &sorted.functional : &sorted.plain;
		if (*sort == NULL)
			*sort = gm_sql_sort(desc, functional ? 3 : 4);
		gm_sql_put_sorted(*sort, to, values, nulls);
	}
	ExecDropSingleTupleTableSlot(from);
	ExecDropSingleTupleTableSlot(to);
	tuplestore_end(writer->facts);
	writer->facts = NULL;
	return sorted;
}

static bool
fill_round(GmFactWriter *writer, Tuplesortstate *sort, Round *round)
{
	TupleTableSlot *slot = writer->slot;
	uint64		bytes = 0;
	bool		more = true;

	round->nrows = round->ngroups = round->nversions = round->max_versions = 0;
	round->versions = NULL;
	while (round->nrows < GM_SQL_BATCH_ROWS && bytes < GM_SQL_BATCH_BYTES &&
		   (more = tuplesort_gettupleslot(sort, true, false, slot, NULL)))
	{
		Stated	   *row = &round->rows[round->nrows];
		Stated	   *before = row - 1;

		slot_getallattrs(slot);
		row->s = DatumGetInt64(slot->tts_values[OUT_S]);
		row->p = DatumGetInt64(slot->tts_values[OUT_P]);
		row->functional = DatumGetBool(slot->tts_values[OUT_FUNCTIONAL]);
		row->o = DatumGetInt64(slot->tts_values[row->functional ? OUT_ORDER : OUT_O]);
		row->order = DatumGetInt64(slot->tts_values[row->functional ? OUT_O : OUT_ORDER]);
		row->confidence = DatumGetFloat4(slot->tts_values[OUT_CONFIDENCE]);
		row->has_from = !slot->tts_isnull[OUT_FROM];
		row->has_to = !slot->tts_isnull[OUT_TO];
		row->from = row->has_from ? DatumGetTimestampTz(slot->tts_values[OUT_FROM]) : DT_NOBEGIN;
		row->to = row->has_to ? DatumGetTimestampTz(slot->tts_values[OUT_TO]) : DT_NOEND;
		row->properties = optional_copy(slot, OUT_PROPERTIES);
		row->sources = (bytea *) DatumGetPointer(optional_copy(slot, OUT_SOURCES));
		row->wanted = DatumGetInt64(slot->tts_values[OUT_FACT]);
		if (row->properties != (Datum) 0)
			bytes += VARSIZE_ANY(DatumGetPointer(row->properties));
		if (row->sources != NULL)
			bytes += VARSIZE_ANY(row->sources);
		if (round->nrows == 0 || row->s != before->s || row->p != before->p ||
			row->o != before->o)
			round->group_row[round->ngroups++] = round->nrows;
		row->group = round->ngroups - 1;
		round->nrows++;
	}
	return more;
}

static int
add_version(Round *round, int group, TimestampTz from, TimestampTz to,
			int64 triple_id, int64 fact_id)
{
	Version    *version;

	if (round->nversions == round->max_versions)
	{
		round->max_versions = Max(64, round->max_versions * 2);
		round->versions = round->versions == NULL ?
			palloc_array(Version, round->max_versions) :
			repalloc_huge(round->versions, (Size) round->max_versions * sizeof(Version));
	}
	version = &round->versions[round->nversions];
	version->from = from;
	version->to = to;
	version->triple_id = triple_id;
	version->fact_id = fact_id;
	version->next = round->group_version[group];
	round->group_version[group] = round->nversions;
	return round->nversions++;
}

static void
load_versions(Round *round)
{
	Datum	   *columns[3];
	Datum		args[3];

	for (int i = 0; i < 3; i++)
		columns[i] = palloc_array(Datum, round->ngroups);
	for (int g = 0; g < round->ngroups; g++)
	{
		const Stated *row = &round->rows[round->group_row[g]];

		columns[0][g] = Int64GetDatum(row->s);
		columns[1][g] = Int64GetDatum(row->p);
		columns[2][g] = Int64GetDatum(row->o);
		round->group_version[g] = -1;
	}
	for (int i = 0; i < 3; i++)
		args[i] = gm_sql_array(INT8OID, columns[i], NULL, round->ngroups);
	round->nversions = 0;
	gm_sql_run(&find_versions, args, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		(void) add_version(round, (int) gm_sql_int8(i, 1) - 1, gm_sql_int8(i, 4),
						   gm_sql_int8(i, 5), gm_sql_int8(i, 2), gm_sql_int8(i, 3));
	gm_sql_done();
}

/*
 * The version that the row restates, or -1; then [*from, *to) is what a new
 * version would be valid in.
 */
static int
choose_version(const Round *round, const Stated *row, TimestampTz *from, TimestampTz *to)
{
	TimestampTz now = GetCurrentStatementStartTimestamp();

	*from = row->from;
	*to = row->to;
	for (int v = round->group_version[row->group]; v >= 0; v = round->versions[v].next)
	{
		const Version *version = &round->versions[v];

		if (row->has_from || row->has_to)
		{
			if (version->from <= row->from && row->to <= version->to)
				return v;
			if (version->from < row->to && row->from < version->to)
				gm_facts_report_overlap(row->order + 1, row->s, row->p, row->o,
										row->from, row->to, version->from, version->to);
		}
		else if (version->to <= now)
			*from = Max(*from, version->to);
		else if (version->from > now)
			*to = Min(*to, version->from);
		else
			return v;
	}
	return -1;
}

static void
decide_round(Round *round)
{
	round->nnew = 0;
	for (int i = 0; i < round->nrows; i++)
	{
		Stated	   *row = &round->rows[i];
		TimestampTz from;
		TimestampTz to;

		row->version = choose_version(round, row, &from, &to);
		if (row->version < 0)
		{
			row->version = add_version(round, row->group, from, to, 0, 0);
			round->new_rows[round->nnew++] = i;
		}
	}
}

/* True if every new version of the round went in. */
static bool
insert_new(GmFactWriter *writer, Round *round)
{
	static const Oid types[] = {INT8OID, INT8OID, INT8OID, BOOLOID, FLOAT4OID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, JSONBOID, INT8OID};
	Datum	   *columns[lengthof(types)];
	bool	   *no_properties = palloc_array(bool, round->nnew);
	Datum		args[lengthof(types) + 1];
	GmOverlap  *overlap;
	bool		all;

	for (size_t c = 0; c < lengthof(types); c++)
		columns[c] = palloc_array(Datum, round->nnew);
	for (int i = 0; i < round->nnew; i++)
	{
		const Stated *row = &round->rows[round->new_rows[i]];
		const Version *version = &round->versions[row->version];

		columns[0][i] = Int64GetDatum(row->s);
		columns[1][i] = Int64GetDatum(row->p);
		columns[2][i] = Int64GetDatum(row->o);
		columns[3][i] = BoolGetDatum(row->functional);
		columns[4][i] = Float4GetDatum(row->confidence);
		columns[5][i] = TimestampTzGetDatum(version->from);
		columns[6][i] = TimestampTzGetDatum(version->to);
		columns[7][i] = row->properties;
		no_properties[i] = row->properties == (Datum) 0;
		columns[8][i] = Int64GetDatum(!writer->numbered || row->wanted != 0 ? row->wanted :
									  gm_sql_next_id(GM_ID_FACT));
	}
	args[0] = Int32GetDatum(writer->graph_id);
	for (size_t c = 0; c < lengthof(types); c++)
		args[c + 1] = gm_sql_array(types[c], columns[c],
								   types[c] == JSONBOID ? no_properties : NULL, round->nnew);
	gm_versions_run(writer->numbered ? &insert_numbered : &insert_versions, args);
	all = SPI_processed == (uint64) round->nnew;
	for (int i = 0; all && i < round->nnew; i++)
	{
		Version    *version = &round->versions[round->rows[round->new_rows[i]].version];

		version->triple_id = gm_sql_int8(i, 1);
		version->fact_id = gm_sql_int8(i, 2);
	}
	gm_sql_done();

	overlap = gm_overlap_begin();
	for (int i = 0; i < round->nnew; i++)
	{
		const Stated *row = &round->rows[round->new_rows[i]];
		const Version *version = &round->versions[row->version];

		CHECK_FOR_INTERRUPTS();
		gm_overlap_check(overlap, false, row->s, row->p, row->o, version->from, version->to);
	}
	gm_overlap_end(overlap);
	return all;
}

static void
keep_assertions(GmFactWriter *writer, const Round *round)
{
	for (int i = 0; i < round->nrows; i++)
	{
		const Stated *row = &round->rows[i];
		Datum		values[AS_COLS];
		bool		nulls[AS_COLS] = {false};
		int			n;

		if (row->order == writer->nrows - 1)
			writer->last_triple = row->triple_id;
		if (row->sources == NULL)
			continue;
		n = (int) (VARSIZE_ANY_EXHDR(row->sources) / sizeof(uint32));
		values[AS_FACT] = Int64GetDatum(row->fact_id);
		values[AS_ORDER] = Int64GetDatum(row->order);
		values[AS_CONFIDENCE] = Float4GetDatum(row->confidence);
		for (int k = 0; k < n; k++)
		{
			uint32		number;

			memcpy(&number, VARDATA_ANY(row->sources) + k * sizeof(uint32), sizeof(uint32));
			values[AS_SOURCE] = Int64GetDatum(gm_names_id(writer->names, number));
			gm_sql_put_sorted(writer->assertions, writer->assertion_slot, values, nulls);
		}
	}
}

static void
write_round(GmFactWriter *writer, Round *round)
{
	for (int tries = 0;; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		load_versions(round);
		decide_round(round);
		if (round->nnew == 0)
			break;
		if (tries == 10)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("a fact can be neither seen nor stated"),
					 errhint("Row security may hide it from the current role.")));
		if (insert_new(writer, round))
			break;
	}
	for (int i = 0; i < round->nrows; i++)
	{
		Stated	   *row = &round->rows[i];

		row->triple_id = round->versions[row->version].triple_id;
		row->fact_id = round->versions[row->version].fact_id;
	}
	keep_assertions(writer, round);
}

static void
write_functional_round(GmFactWriter *writer, Round *round)
{
	GmClaim    *claims = palloc_array(GmClaim, round->nrows);
	GmVersionSet set;

	for (int i = 0; i < round->nrows; i++)
	{
		const Stated *row = &round->rows[i];
		GmClaim    *claim = &claims[i];

		claim->row = row->order + 1;
		claim->subject = row->s;
		claim->predicate = row->p;
		claim->object = row->o;
		claim->has_from = row->has_from;
		claim->has_to = row->has_to;
		claim->from = row->from;
		claim->to = row->to;
		claim->confidence = row->confidence;
		claim->properties = row->properties;
	}
	gm_versions_init(&set, writer->graph_id);
	gm_timeline_place(&set, claims, round->nrows);
	for (int i = 0; i < round->nrows; i++)
	{
		round->rows[i].triple_id = set.versions[claims[i].version].triple_id;
		round->rows[i].fact_id = set.versions[claims[i].version].fact_id;
	}
	keep_assertions(writer, round);
}

static void
write_sorted(GmFactWriter *writer, Tuplesortstate *sort, Round *round,
			 void (*write) (GmFactWriter *, Round *))
{
	bool		more;

	if (sort == NULL)
		return;
	tuplesort_performsort(sort);
	do
	{
		MemoryContextSwitchTo(writer->round);
		more = fill_round(writer, sort, round);
		if (round->nrows > 0)
			write(writer, round);
		MemoryContextSwitchTo(writer->context);
		MemoryContextReset(writer->round);
	} while (more);
	tuplesort_end(sort);
}

static void
write_assertion_batch(GmFactWriter *writer, Datum *facts, Datum *sources, Datum *confidences, int n)
{
	Datum		args[4];

	if (n == 0)
		return;
	args[0] = Int32GetDatum(writer->graph_id);
	args[1] = gm_sql_array(INT8OID, facts, NULL, n);
	args[2] = gm_sql_array(INT8OID, sources, NULL, n);
	args[3] = gm_sql_array(FLOAT4OID, confidences, NULL, n);
	gm_sql_run(&upsert_assertions, args, NULL);
	gm_sql_done();
	MemoryContextReset(writer->round);
}

/* Of several assertions of a fact by one source the last one holds. */
static void
write_assertions(GmFactWriter *writer)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(writer->assertion_desc, &TTSOpsMinimalTuple);
	Datum	   *columns[3];
	int			n = 0;

	for (int i = 0; i < 3; i++)
		columns[i] = MemoryContextAlloc(writer->context, GM_SQL_BATCH_ROWS * sizeof(Datum));
	tuplesort_performsort(writer->assertions);
	MemoryContextSwitchTo(writer->round);
	while (tuplesort_gettupleslot(writer->assertions, true, false, slot, NULL))
	{
		slot_getallattrs(slot);
		if (n > 0 && columns[0][n - 1] == slot->tts_values[AS_FACT] &&
			columns[1][n - 1] == slot->tts_values[AS_SOURCE])
			n--;
		else if (n == GM_SQL_BATCH_ROWS)
		{
			write_assertion_batch(writer, columns[0], columns[1], columns[2], n);
			n = 0;
		}
		columns[0][n] = slot->tts_values[AS_FACT];
		columns[1][n] = slot->tts_values[AS_SOURCE];
		columns[2][n++] = slot->tts_values[AS_CONFIDENCE];
	}
	write_assertion_batch(writer, columns[0], columns[1], columns[2], n);
	MemoryContextSwitchTo(writer->context);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(writer->assertions);
}

static void
write_facts(GmFactWriter *writer)
{
	static const Oid assertion[AS_COLS] = {INT8OID, INT8OID, INT8OID, FLOAT4OID};
	SortedFacts sorted;
	Round	   *round = palloc_object(Round);

	writer->graph_id = gm_graph_for_write(writer->graph);
	gm_graph_lock(writer->graph_id, false);
	gm_names_resolve(writer->names, writer->graph_id);
	if (writer->entities != NULL)
		gm_entity_changes_write(writer->entities, writer->names);
	writer->assertion_desc = gm_sql_desc(AS_COLS, assertion);
	writer->assertion_slot = MakeSingleTupleTableSlot(writer->assertion_desc, &TTSOpsVirtual);
	writer->assertions = gm_sql_sort(writer->assertion_desc, 3);

	sorted = sort_facts(writer);
	write_sorted(writer, sorted.plain, round, write_round);
	write_sorted(writer, sorted.functional, round, write_functional_round);
	write_assertions(writer);
}

/* ---- changing ---- */

typedef struct Changes
{
	int			n;
	Datum		triple[GM_SQL_BATCH_ROWS];
	Datum		at[GM_SQL_BATCH_ROWS];
	Datum		confidence[GM_SQL_BATCH_ROWS];
	Datum		from[GM_SQL_BATCH_ROWS];
	Datum		to[GM_SQL_BATCH_ROWS];
	Datum		properties[GM_SQL_BATCH_ROWS];
	bool		no_properties[GM_SQL_BATCH_ROWS];
} Changes;

static void
add_change(Changes *changes, const TupleTableSlot *slot, int triple, int confidence)
{
	int			i = changes->n++;

	/* confidence, from, to and properties are neighbours in both layouts */
	changes->triple[i] = slot->tts_values[triple];
	changes->confidence[i] = slot->tts_values[confidence];
	changes->from[i] = slot->tts_values[confidence + 1];
	changes->to[i] = slot->tts_values[confidence + 2];
	changes->no_properties[i] = slot->tts_isnull[confidence + 3];
	changes->properties[i] = changes->no_properties[i] ? (Datum) 0 :
		datumCopy(slot->tts_values[confidence + 3], false, -1);
}

static void
run_changes(GmSql *sql, Changes *changes)
{
	Datum		args[6];

	if (changes->n == 0)
		return;
	args[0] = gm_sql_array(INT8OID, changes->triple, NULL, changes->n);
	args[1] = gm_sql_array(TIMESTAMPTZOID, changes->at, NULL, changes->n);
	args[2] = gm_sql_array(FLOAT4OID, changes->confidence, NULL, changes->n);
	args[3] = gm_sql_array(TIMESTAMPTZOID, changes->from, NULL, changes->n);
	args[4] = gm_sql_array(TIMESTAMPTZOID, changes->to, NULL, changes->n);
	args[5] = gm_sql_array(JSONBOID, changes->properties, changes->no_properties, changes->n);
	gm_versions_run(sql, args);
	gm_sql_done();
	changes->n = 0;
}

/* Versions that are to be changed and locked, and which of them expire when. */
typedef struct Expiry
{
	Tuplestorestate *todo;
	TupleDesc	desc;
	Datum	   *triple;
	Datum	   *at;
	int			n;
} Expiry;

static void
take_locked(Changes *changes, Expiry *expiry)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int			i = (int) gm_sql_int8(row, 1) - 1;
		bool		isnull;
		TransactionId xmin = DatumGetTransactionId(gm_sql_datum(row, 2, &isnull));
		TimestampTz recorded = gm_sql_int8(row, 3);
		bool		in_place = TransactionIdIsCurrentTransactionId(xmin) && recorded >= now;
		TimestampTz last = DatumGetTimestampTz(gm_sql_datum(row, 10, &isnull));
		TimestampTz at = Max(now, recorded + 1);
		Datum		values[DO_COLS];
		bool		nulls[DO_COLS] = {false};

		if (gm_sql_int8(row, 4) != DT_NOEND)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent change of a fact"),
					 errhint("Run the transaction again.")));
		if (!isnull)
			at = Max(at, last + 1);
		values[DO_TRIPLE] = changes->triple[i];
		values[DO_AT] = TimestampTzGetDatum(at);
		values[DO_IN_PLACE] = BoolGetDatum(in_place);
		values[DO_CONFIDENCE] = changes->confidence[i];
		values[DO_FROM] = changes->from[i];
		values[DO_TO] = changes->to[i];
		values[DO_PROPERTIES] = changes->properties[i];
		nulls[DO_PROPERTIES] = changes->no_properties[i];
		for (int k = 0; k < 3; k++)
			values[DO_S + k] = Int64GetDatum(gm_sql_int8(row, 5 + k));
		values[DO_FUNCTIONAL] = gm_sql_datum(row, 9, &isnull);
		tuplestore_putvalues(expiry->todo, expiry->desc, values, nulls);
		if (!in_place)
		{
			expiry->triple[expiry->n] = changes->triple[i];
			expiry->at[expiry->n++] = values[DO_AT];
		}
	}
	gm_sql_done();
}

static void
lock_keys(Datum arg, int most)
{
	Datum	   *subjects = palloc_array(Datum, most);
	Datum	   *predicates = palloc_array(Datum, most);
	int32		graph_id = 0;
	int			n = 0;

	gm_sql_run(&find_keys, &arg, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;

		subjects[n] = Int64GetDatum(gm_sql_int8(row, 1));
		predicates[n++] = Int64GetDatum(gm_sql_int8(row, 2));
		graph_id = DatumGetInt32(gm_sql_datum(row, 3, &isnull));
	}
	gm_sql_done();
	gm_versions_lock_keys(graph_id, subjects, predicates, n);
}

/*
 * Locks the versions and expires those that another transaction can have
 * seen.  A version written by this transaction is changed in place: nobody
 * else has seen it.
 */
static void
expire_round(Changes *changes, Tuplestorestate *todo, TupleDesc todo_desc)
{
	Datum		arg = gm_sql_array(INT8OID, changes->triple, NULL, changes->n);
	Expiry		expiry = {todo, todo_desc, palloc_array(Datum, changes->n),
	palloc_array(Datum, changes->n), 0};
	Datum		args[2];
	uint64		locked;

	gm_sql_run(&lock_plain_versions, &arg, NULL);
	locked = SPI_processed;
	take_locked(changes, &expiry);
	if (locked < (uint64) changes->n)
	{
		lock_keys(arg, changes->n);
		gm_sql_run(&lock_functional_versions, &arg, NULL);
		take_locked(changes, &expiry);
	}
	if (expiry.n > 0)
	{
		args[0] = gm_sql_array(INT8OID, expiry.triple, NULL, expiry.n);
		args[1] = gm_sql_array(TIMESTAMPTZOID, expiry.at, NULL, expiry.n);
		gm_versions_run(&expire_versions, args);
		gm_sql_done();
	}
	changes->n = 0;
}

static void
expire_all(GmFactWriter *writer, Changes *changes, Tuplestorestate *todo, TupleDesc todo_desc)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(writer->desc, &TTSOpsMinimalTuple);
	int64		last_triple = 0;
	bool		first = true;
	uint64		bytes = 0;

	tuplesort_performsort(writer->sort);
	MemoryContextSwitchTo(writer->round);
	while (tuplesort_gettupleslot(writer->sort, true, false, slot, NULL))
	{
		slot_getallattrs(slot);
		/* as in a table, a row that a join meets twice is changed once */
		if (!first && DatumGetInt64(slot->tts_values[CH_TRIPLE]) == last_triple)
			continue;
		first = false;
		last_triple = DatumGetInt64(slot->tts_values[CH_TRIPLE]);
		add_change(changes, slot, CH_TRIPLE, CH_CONFIDENCE);
		if (!slot->tts_isnull[CH_PROPERTIES])
			bytes += VARSIZE_ANY(DatumGetPointer(slot->tts_values[CH_PROPERTIES]));
		if (changes->n == GM_SQL_BATCH_ROWS || bytes > GM_SQL_BATCH_BYTES)
		{
			expire_round(changes, todo, todo_desc);
			MemoryContextReset(writer->round);
			bytes = 0;
		}
	}
	if (changes->n > 0)
		expire_round(changes, todo, todo_desc);
	MemoryContextSwitchTo(writer->context);
	MemoryContextReset(writer->round);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(writer->sort);
}

/* Writes the versions, first those in place or first the others. */
static void
write_versions(GmFactWriter *writer, Changes *changes, Tuplestorestate *todo,
			   TupleTableSlot *slot, bool in_place)
{
	GmSql	   *sql = in_place ? &change_in_place : &change_by_version;
	uint64		bytes = 0;

	tuplestore_rescan(todo);
	MemoryContextSwitchTo(writer->round);
	while (tuplestore_gettupleslot(todo, true, false, slot))
	{
		slot_getallattrs(slot);
		if (DatumGetBool(slot->tts_values[DO_IN_PLACE]) != in_place)
			continue;
		changes->at[changes->n] = slot->tts_values[DO_AT];
		add_change(changes, slot, DO_TRIPLE, DO_CONFIDENCE);
		if (!slot->tts_isnull[DO_PROPERTIES])
			bytes += VARSIZE_ANY(DatumGetPointer(slot->tts_values[DO_PROPERTIES]));
		if (changes->n == GM_SQL_BATCH_ROWS || bytes > GM_SQL_BATCH_BYTES)
		{
			run_changes(sql, changes);
			/* a tuple read back from disk lies in this context */
			ExecClearTuple(slot);
			MemoryContextReset(writer->round);
			bytes = 0;
		}
	}
	run_changes(sql, changes);
	MemoryContextSwitchTo(writer->context);
	MemoryContextReset(writer->round);
}

/* Of what is to be written, before or after that. */
static void
look_at_overlaps(Tuplestorestate *todo, TupleTableSlot *slot, bool before)
{
	GmOverlap  *overlap = gm_overlap_begin();

	tuplestore_rescan(todo);
	while (tuplestore_gettupleslot(todo, true, false, slot))
	{
		bool		functional;
		int64		terms[3];
		TimestampTz from;
		TimestampTz to;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		functional = DatumGetBool(slot->tts_values[DO_FUNCTIONAL]);
		for (int i = 0; i < 3; i++)
			terms[i] = DatumGetInt64(slot->tts_values[DO_S + i]);
		from = DatumGetTimestampTz(slot->tts_values[DO_FROM]);
		to = DatumGetTimestampTz(slot->tts_values[DO_TO]);
		if (before)
			(void) gm_overlap_wait(overlap, functional, terms[0], terms[1], terms[2], from, to);
		else
			gm_overlap_check(overlap, functional, terms[0], terms[1], terms[2], from, to);
	}
	gm_overlap_end(overlap);
}

static void
write_changes(GmFactWriter *writer)
{
	static const Oid types[DO_COLS] = {INT8OID, TIMESTAMPTZOID, BOOLOID, FLOAT4OID,
		TIMESTAMPTZOID, TIMESTAMPTZOID, JSONBOID, INT8OID, INT8OID, INT8OID, BOOLOID
	};
	Changes    *changes = palloc_object(Changes);
	TupleDesc	desc = gm_sql_desc(DO_COLS, types);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	Tuplestorestate *todo = tuplestore_begin_heap(true, false, GM_SQL_STORE_KB);

	changes->n = 0;
	expire_all(writer, changes, todo, desc);
	if (IsolationUsesXactSnapshot())
		look_at_overlaps(todo, slot, true);
	write_versions(writer, changes, todo, slot, true);
	write_versions(writer, changes, todo, slot, false);
	look_at_overlaps(todo, slot, false);
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(todo);
}

/* ---- erasing ---- */

static void
erase_batch(GmFactWriter *writer, Datum *facts, int n)
{
	Datum		arg;
	uint64		erased;

	if (n == 0)
		return;
	MemoryContextSwitchTo(writer->round);
	arg = gm_sql_array(INT8OID, facts, NULL, n);
	/* having waited for a session that wrote a new version, look again */
	do
	{
		gm_sql_run(&erase_triples, &arg, NULL);
		erased = SPI_processed;
		gm_sql_done();
	} while (erased > 0);
	gm_sql_refuse_stale(&count_triples, &arg, "change of a fact");
	gm_sql_run(&erase_assertions, &arg, NULL);
	gm_sql_done();
	MemoryContextSwitchTo(writer->context);
	MemoryContextReset(writer->round);
}

static void
write_erasures(GmFactWriter *writer)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(writer->desc, &TTSOpsMinimalTuple);
	Datum	   *facts = palloc_array(Datum, GM_SQL_BATCH_ROWS);
	int			n = 0;

	tuplesort_performsort(writer->sort);
	while (tuplesort_gettupleslot(writer->sort, true, false, slot, NULL))
	{
		slot_getallattrs(slot);
		if (n > 0 && facts[n - 1] == slot->tts_values[0])
			continue;
		if (n == GM_SQL_BATCH_ROWS)
		{
			erase_batch(writer, facts, n);
			n = 0;
		}
		facts[n++] = slot->tts_values[0];
	}
	erase_batch(writer, facts, n);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(writer->sort);
}

/*
 * A merge that is under way gives facts other subjects and objects, and joins
 * some; a new version copies its predicate's "functional".
 */
static void
lock_graph_of_known(GmFactWriter *writer)
{
	writer->graph_id = gm_graph_find(writer->graph);
	if (writer->graph_id != 0)
		gm_graph_lock(writer->graph_id, false);
}

int64
gm_facts_finish(GmFactWriter *writer)
{
	MemoryContext old = CurrentMemoryContext;
	int64		last_triple;
	int			level;

	if (writer->kind != WRITES_NOTHING)
	{
		level = gm_sql_enter();
		MemoryContextSwitchTo(writer->context);
		switch (writer->kind)
		{
			case WRITES_FACTS:
				write_facts(writer);
				break;
			case WRITES_CHANGES:
				lock_graph_of_known(writer);
				write_changes(writer);
				break;
			case WRITES_ERASURES:
				lock_graph_of_known(writer);
				write_erasures(writer);
				break;
			case WRITES_NOTHING:
				break;
		}
		gm_sql_leave(level);
	}
	last_triple = writer->last_triple;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(writer->context);
	return last_triple;
}
