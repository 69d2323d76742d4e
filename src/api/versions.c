/*-------------------------------------------------------------------------
 *
 * versions.c
 *	  What a statement does to versions of facts, written all at once.
 *
 * Rows are written in this order: those that are closed expire, which frees
 * their places in the unique indexes; first rows of new facts, whose fact_id
 * the table gives; copies; steps of the chain.
 *
 * Memory	about 200 bytes for each version, and the arrays of a statement
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/overlap.h"
#include "api/facts.h"
#include "api/sql.h"
#include "api/versions.h"
#include "compat.h"

static GmSql lock_keys = {
	"INSERT INTO graphmem.functional_keys AS k (subject_id, predicate_id, graph_id, changes)"
	" SELECT u.s, u.p, $1, 1 FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3))"
	" AS u(s, p) ON CONFLICT (subject_id, predicate_id) DO UPDATE"
	" SET changes = k.changes OPERATOR(pg_catalog.+) 1",
	3, {INT4OID, INT8ARRAYOID, INT8ARRAYOID}
};

/*
 * The ids ascend.  A join would let a planner that takes the table for empty
 * read all of it for each of them.
 */
#define PLACE_IN_IDS "pg_catalog.width_bucket(t.triple_id, $1)"

static GmSql lock_rows = {
	"SELECT " PLACE_IN_IDS "::pg_catalog.int8, t.xmin, t.recorded_at, t.expired_at"
	" FROM graphmem.triples t WHERE t.triple_id" GM_EQ "ANY ($1) FOR NO KEY UPDATE",
	1, {INT8ARRAYOID}
};

static GmSql find_expired = {
	"SELECT u.i, l.at FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
	" pg_catalog.unnest($3), pg_catalog.unnest($4)) WITH ORDINALITY AS u(s, p, o, f, i),"
	" LATERAL (SELECT t.expired_at AS at FROM graphmem.triples t"
	" WHERE t.subject_id" GM_EQ "u.s AND t.predicate_id" GM_EQ "u.p"
	" AND t.object_id" GM_EQ "u.o AND t.valid_from" GM_EQ "u.f"
	" AND t.expired_at OPERATOR(pg_catalog.<) 'infinity'"
	" ORDER BY t.expired_at DESC LIMIT 1) AS l",
	4, {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID}
};

static GmSql expire_rows = {
	"UPDATE graphmem.triples AS t SET recorded_at = ($2)[" PLACE_IN_IDS "],"
	" expired_at = ($3)[" PLACE_IN_IDS "] WHERE t.triple_id" GM_EQ "ANY ($1)",
	3, {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}
};

static GmSql insert_facts = {
	"INSERT INTO graphmem.triples AS t (graph_id, subject_id, predicate_id, object_id,"
	" functional, confidence, valid_from, valid_to, recorded_at, expired_at, properties)"
	" SELECT $1, u.s, u.p, u.o, u.fn, u.c, u.f, u.t, u.r, u.x, u.j FROM ROWS FROM"
	" (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
	" pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
	" pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10),"
	" pg_catalog.unnest($11)) AS u(s, p, o, fn, c, f, t, r, x, j)"
	" RETURNING t.triple_id, t.fact_id",
	11, {INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, BOOLARRAYOID, FLOAT4ARRAYOID,
	TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
	JSONBARRAYOID}
};

/* LATERAL with OFFSET 0 keeps the order of the arrays */
static GmSql insert_copies = {
	"INSERT INTO graphmem.triples AS n (fact_id, graph_id, subject_id, predicate_id, object_id,"
	" functional, confidence, valid_from, valid_to, recorded_at, expired_at, properties)"
	" SELECT l.fact_id, l.graph_id, l.subject_id, l.predicate_id, l.object_id, u.fn,"
	" l.confidence, u.f, u.t, u.r, u.x, l.properties FROM ROWS FROM"
	" (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
	" pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6))"
	" AS u(id, fn, f, t, r, x), LATERAL (SELECT t.fact_id, t.graph_id, t.subject_id,"
	" t.predicate_id, t.object_id, t.confidence, t.properties FROM graphmem.triples t"
	" WHERE t.triple_id" GM_EQ "u.id OFFSET 0) AS l RETURNING n.triple_id",
	6, {INT8ARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
	TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}
};

static GmSql insert_steps = {
	"INSERT INTO graphmem.supersessions AS c (graph_id, old_fact_id, new_fact_id,"
	" old_triple_id, closed_triple_id, rest_triple_id, reason, automatic, created)"
	" SELECT $1, u.a, u.n, u.o, u.c, u.r, u.why, u.automatic, u.created FROM ROWS FROM"
	" (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
	" pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
	" pg_catalog.unnest($8), pg_catalog.unnest($9)) AS u(a, n, o, c, r, why, automatic, created)"
	" RETURNING c.supersession_id",
	9, {INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID,
	TEXTARRAYOID, BOOLARRAYOID, BOOLARRAYOID}
};

/* ---- collecting ---- */

void
gm_versions_init(GmVersionSet *set, int32 graph_id)
{
	memset(set, 0, sizeof(GmVersionSet));
	set->graph_id = graph_id;
}

void
gm_versions_reset(GmVersionSet *set)
{
	gm_versions_init(set, set->graph_id);
}

static void *
grown(void *array, int *max, Size size)
{
	*max = Max(32, *max * 2);
	return array == NULL ? palloc_array(char, *max * size) :
		repalloc_huge(array, (Size) *max * size);
}

int
gm_versions_add_found(GmVersionSet *set, const GmVersion *version)
{
	if (set->nversions == set->max_versions)
		set->versions = grown(set->versions, &set->max_versions, sizeof(GmVersion));
	set->versions[set->nversions] = *version;
	return set->nversions++;
}

int
gm_versions_add_fact(GmVersionSet *set, int64 subject, int64 predicate, int64 object,
					 bool functional, TimestampTz from, TimestampTz to,
					 float4 confidence, Datum properties)
{
	GmVersion	version = {.subject = subject, .predicate = predicate, .object = object,
		.from = from, .to = to, .copied = GM_NO_VERSION, .open = true,
	.functional = functional, .confidence = confidence, .properties = properties};

	return gm_versions_add_found(set, &version);
}

int
gm_versions_add_copy(GmVersionSet *set, int of, TimestampTz from, TimestampTz to)
{
	GmVersion	version = set->versions[of];

	/* of rows not written yet only first ones of facts will be there to copy */
	if (version.stored || version.copied == GM_NO_VERSION)
		version.copied = of;
	version.triple_id = 0;
	version.stored = version.was_open = version.left_out = version.held = false;
	version.open = true;
	version.from = from;
	version.to = to;
	return gm_versions_add_found(set, &version);
}

void
gm_versions_close(GmVersionSet *set, int version)
{
	set->versions[version].open = false;
}

void
gm_versions_hold(GmVersionSet *set, int version)
{
	set->versions[version].held = true;
}

GmStep *
gm_versions_add_step(GmVersionSet *set, int old, int closed, int rest, int new)
{
	GmStep	   *step;

	if (set->nsteps == set->max_steps)
		set->steps = grown(set->steps, &set->max_steps, sizeof(GmStep));
	step = &set->steps[set->nsteps++];
	memset(step, 0, sizeof(GmStep));
	step->old = old;
	step->closed = closed;
	step->rest = rest;
	step->new = new;
	return step;
}

void
gm_versions_lock_keys(int32 graph_id, Datum *subjects, Datum *predicates, int n)
{
	Datum		args[3];

	if (n == 0)
		return;
	args[0] = Int32GetDatum(graph_id);
	args[1] = gm_sql_array(INT8OID, subjects, NULL, n);
	args[2] = gm_sql_array(INT8OID, predicates, NULL, n);
	gm_sql_run(&lock_keys, args, NULL);
	gm_sql_done();
}

/* ---- statements ---- */

void
gm_versions_run(GmSql *sql, Datum *args)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		gm_sql_run(sql, args, NULL);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && error->constraint_name != NULL)
		{
			if (strcmp(error->constraint_name, "triples_functional") == 0)
			{
				FlushErrorState();
				ereport(ERROR,
						(errcode(ERRCODE_UNIQUE_VIOLATION),
						 errmsg("functional predicate has a current object already"),
						 error->detail ? errdetail_internal("%s", error->detail) : 0,
						 errhint("graphmem.supersede() puts another object in its place, graphmem.retract() takes it back.")));
			}
			if (strcmp(error->constraint_name, "triples_spo") == 0)
			{
				FlushErrorState();
				ereport(ERROR,
						(errcode(ERRCODE_EXCLUSION_VIOLATION),
						 errmsg("validity overlaps another version of the same fact"),
						 error->detail ? errdetail_internal("%s", error->detail) : 0));
			}
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* ---- known time ---- */

/* A version that has to get an end of its known time, and what bounds it. */
typedef struct Ending
{
	GmVersion  *version;
	int			number;
	bool		seen;			/* others may have read it as open */
	TimestampTz floor;			/* no earlier than this */
} Ending;

static int
compare_int8(int64 a, int64 b)
{
	return a < b ? -1 : a > b;
}

/* By subject and predicate, then key; of one key what was seen comes first. */
static int
compare_endings(const void *a, const void *b)
{
	const Ending *x = a;
	const Ending *y = b;
	int			order = compare_int8(x->version->subject, y->version->subject);

	if (order == 0)
		order = compare_int8(x->version->predicate, y->version->predicate);
	if (order == 0)
		order = compare_int8(x->version->object, y->version->object);
	if (order == 0)
		order = compare_int8(x->version->from, y->version->from);
	if (order == 0)
		order = (int) y->seen - (int) x->seen;
	return order == 0 ? compare_int8(x->number, y->number) : order;
}

static bool
same_timeline(const GmVersion *a, const GmVersion *b)
{
	return a->subject == b->subject && a->predicate == b->predicate;
}

static bool
same_key(const GmVersion *a, const GmVersion *b)
{
	return same_timeline(a, b) && a->object == b->object && a->from == b->from;
}

static int
compare_endings_by_row(const void *a, const void *b)
{
	const Ending *x = *(Ending *const *) a;
	const Ending *y = *(Ending *const *) b;

	return compare_int8(x->version->triple_id, y->version->triple_id);
}

/* Locks the rows; false if one of them is not open any more. */
static bool
lock_endings(Ending *endings, int n)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	Datum	   *ids = palloc_array(Datum, n + 1);
	Ending	  **of = palloc_array(Ending *, n + 1);
	int			nids = 0;
	bool		all = true;
	Datum		arg;

	for (int i = 0; i < n; i++)
		if (endings[i].version->stored)
			of[nids++] = &endings[i];
	if (nids == 0)
		return true;
	qsort(of, nids, sizeof(Ending *), compare_endings_by_row);
	for (int i = 0; i < nids; i++)
		ids[i] = Int64GetDatum(of[i]->version->triple_id);
	arg = gm_sql_array(INT8OID, ids, NULL, nids);
	gm_sql_run(&lock_rows, &arg, NULL);
	all = SPI_processed == (uint64) nids;
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Ending	   *ending = of[gm_sql_int8(row, 1) - 1];
		bool		isnull;
		TransactionId xmin = DatumGetTransactionId(gm_sql_datum(row, 2, &isnull));
		TimestampTz recorded = gm_sql_int8(row, 3);

		all = all && gm_sql_int8(row, 4) == DT_NOEND;
		ending->seen = !(TransactionIdIsCurrentTransactionId(xmin) && recorded >= now);
		ending->version->recorded_at = recorded;
		ending->floor = ending->seen ? recorded + 1 : recorded;
	}
	gm_sql_done();
	return all;
}

/* Likewise of those that stay open. */
static bool
lock_held(const GmVersionSet *set)
{
	bool		all = true;

	for (int i = 0; i < set->nversions && all; i++)
	{
		Datum		id = Int64GetDatum(set->versions[i].triple_id);
		Datum		arg;

		if (!set->versions[i].held)
			continue;
		arg = gm_sql_array(INT8OID, &id, NULL, 1);
		gm_sql_run(&lock_rows, &arg, NULL);
		all = SPI_processed == 1 && gm_sql_int8(0, 4) == DT_NOEND;
		gm_sql_done();
	}
	return all;
}

/* No two rows of a key may expire at the same time. */
static void
raise_floors(Ending *endings, int n)
{
	Datum	   *columns[4];
	Datum		args[4];

	for (int c = 0; c < 4; c++)
		columns[c] = palloc_array(Datum, n);
	for (int i = 0; i < n; i++)
	{
		columns[0][i] = Int64GetDatum(endings[i].version->subject);
		columns[1][i] = Int64GetDatum(endings[i].version->predicate);
		columns[2][i] = Int64GetDatum(endings[i].version->object);
		columns[3][i] = TimestampTzGetDatum(endings[i].version->from);
	}
	for (int c = 0; c < 4; c++)
		args[c] = gm_sql_array(c < 3 ? INT8OID : TIMESTAMPTZOID, columns[c], NULL, n);
	gm_sql_run(&find_expired, args, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Ending	   *ending = &endings[gm_sql_int8(row, 1) - 1];

		ending->floor = Max(ending->floor, gm_sql_int8(row, 2) + 1);
	}
	gm_sql_done();
}

/*
 * Ends of one timeline: what others saw ends at one moment, at which what is
 * written begins to be known, so that at no moment both or none are.
 */
static TimestampTz
end_timeline(Ending *endings, int n)
{
	TimestampTz at = GetCurrentTransactionStartTimestamp();
	TimestampTz next = at;

	for (int i = 0; i < n; i++)
		if (endings[i].seen)
			at = Max(at, endings[i].floor);
	for (int i = 0; i < n; i++)
	{
		GmVersion  *version = endings[i].version;

		if (i == 0 || !same_key(version, endings[i - 1].version))
			next = at;
		if (endings[i].seen)
		{
			version->expired_at = at;
			next = at + 1;
			continue;
		}
		next = Max(next, endings[i].floor);
		version->recorded_at = version->expired_at = next++;
	}
	return at;
}

typedef struct Timeline
{
	const GmVersion *of;
	TimestampTz at;
} Timeline;

static int
compare_timelines(const void *a, const void *b)
{
	const GmVersion *x = ((const Timeline *) a)->of;
	const GmVersion *y = ((const Timeline *) b)->of;
	int			order = compare_int8(x->subject, y->subject);

	return order == 0 ? compare_int8(x->predicate, y->predicate) : order;
}

/* When what remains open of what is written begins to be known. */
static void
record_open(GmVersionSet *set, const Timeline *timelines, int n)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	for (int i = 0; i < set->nversions; i++)
	{
		GmVersion  *version = &set->versions[i];
		Timeline	key = {.of = version};
		const Timeline *found;

		if (version->stored || !version->open)
			continue;
		found = n == 0 ? NULL :
			bsearch(&key, timelines, n, sizeof(Timeline), compare_timelines);
		version->recorded_at = found == NULL ? now : found->at;
		version->expired_at = DT_NOEND;
	}
}

/* False if a version to be closed is no longer open. */
static bool
settle_known_time(GmVersionSet *set)
{
	Ending	   *endings = palloc_array(Ending, set->nversions + 1);
	Timeline   *timelines;
	int			n = 0;
	int			ntimelines = 0;

	for (int i = 0; i < set->nversions; i++)
	{
		GmVersion  *version = &set->versions[i];

		if (version->open || version->left_out || (version->stored && !version->was_open))
			continue;
		endings[n].version = version;
		endings[n].number = i;
		endings[n].seen = false;
		endings[n++].floor = DT_NOBEGIN;
	}
	if (!lock_endings(endings, n))
		return false;
	timelines = palloc_array(Timeline, n + 1);
	if (n > 0)
	{
		raise_floors(endings, n);
		qsort(endings, n, sizeof(Ending), compare_endings);
	}
	for (int i = 0; i < n;)
	{
		int			end = i + 1;

		while (end < n && same_timeline(endings[end].version, endings[i].version))
			end++;
		timelines[ntimelines].of = endings[i].version;
		timelines[ntimelines++].at = end_timeline(&endings[i], end - i);
		i = end;
	}
	record_open(set, timelines, ntimelines);
	return true;
}

/* ---- writing ---- */

/* A run of the versions for which wanted() is true, as arrays. */
typedef struct Columns
{
	GmVersion **versions;
	int			n;
} Columns;

static Datum
int8_column(const Columns *columns, Size offset)
{
	Datum	   *values = palloc_array(Datum, columns->n + 1);

	for (int i = 0; i < columns->n; i++)
		values[i] = Int64GetDatum(*(int64 *) ((char *) columns->versions[i] + offset));
	return gm_sql_array(INT8OID, values, NULL, columns->n);
}

static Datum
time_column(const Columns *columns, Size offset)
{
	Datum	   *values = palloc_array(Datum, columns->n + 1);

	for (int i = 0; i < columns->n; i++)
		values[i] = TimestampTzGetDatum(*(TimestampTz *) ((char *) columns->versions[i] + offset));
	return gm_sql_array(TIMESTAMPTZOID, values, NULL, columns->n);
}

static Datum
functional_column(const Columns *columns)
{
	Datum	   *values = palloc_array(Datum, columns->n + 1);

	for (int i = 0; i < columns->n; i++)
		values[i] = BoolGetDatum(columns->versions[i]->functional);
	return gm_sql_array(BOOLOID, values, NULL, columns->n);
}

static int
compare_rows(const void *a, const void *b)
{
	const GmVersion *x = *(GmVersion *const *) a;
	const GmVersion *y = *(GmVersion *const *) b;

	return compare_int8(x->triple_id, y->triple_id);
}

static void
write_expired(const Columns *columns)
{
	Datum		args[3];

	if (columns->n == 0)
		return;
	qsort(columns->versions, columns->n, sizeof(GmVersion *), compare_rows);
	args[0] = int8_column(columns, offsetof(GmVersion, triple_id));
	args[1] = time_column(columns, offsetof(GmVersion, recorded_at));
	args[2] = time_column(columns, offsetof(GmVersion, expired_at));
	gm_versions_run(&expire_rows, args);
	if (SPI_processed != (uint64) columns->n)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("a fact can be seen but not changed"),
				 errhint("Row security may protect it from the current role.")));
	gm_sql_done();
}

static void
check_written(const Columns *columns)
{
	if (SPI_processed != (uint64) columns->n)
		elog(ERROR, "wrote " UINT64_FORMAT " rows for %d versions", SPI_processed, columns->n);
}

static void
write_new_facts(int32 graph_id, const Columns *columns)
{
	Datum	   *confidences = palloc_array(Datum, columns->n + 1);
	Datum	   *properties = palloc_array(Datum, columns->n + 1);
	bool	   *no_properties = palloc_array(bool, columns->n + 1);
	Datum		args[11];

	if (columns->n == 0)
		return;
	for (int i = 0; i < columns->n; i++)
	{
		confidences[i] = Float4GetDatum(columns->versions[i]->confidence);
		properties[i] = columns->versions[i]->properties;
		no_properties[i] = properties[i] == (Datum) 0;
	}
	args[0] = Int32GetDatum(graph_id);
	args[1] = int8_column(columns, offsetof(GmVersion, subject));
	args[2] = int8_column(columns, offsetof(GmVersion, predicate));
	args[3] = int8_column(columns, offsetof(GmVersion, object));
	args[4] = functional_column(columns);
	args[5] = gm_sql_array(FLOAT4OID, confidences, NULL, columns->n);
	args[6] = time_column(columns, offsetof(GmVersion, from));
	args[7] = time_column(columns, offsetof(GmVersion, to));
	args[8] = time_column(columns, offsetof(GmVersion, recorded_at));
	args[9] = time_column(columns, offsetof(GmVersion, expired_at));
	args[10] = gm_sql_array(JSONBOID, properties, no_properties, columns->n);
	gm_versions_run(&insert_facts, args);
	check_written(columns);
	for (int i = 0; i < columns->n; i++)
	{
		columns->versions[i]->triple_id = gm_sql_int8(i, 1);
		columns->versions[i]->fact_id = gm_sql_int8(i, 2);
	}
	gm_sql_done();
}

static void
write_copies(const GmVersionSet *set, const Columns *columns)
{
	Datum	   *ids = palloc_array(Datum, columns->n + 1);
	Datum		args[6];

	if (columns->n == 0)
		return;
	for (int i = 0; i < columns->n; i++)
	{
		const GmVersion *copied = &set->versions[columns->versions[i]->copied];

		ids[i] = Int64GetDatum(copied->triple_id);
		columns->versions[i]->fact_id = copied->fact_id;
	}
	args[0] = gm_sql_array(INT8OID, ids, NULL, columns->n);
	args[1] = functional_column(columns);
	args[2] = time_column(columns, offsetof(GmVersion, from));
	args[3] = time_column(columns, offsetof(GmVersion, to));
	args[4] = time_column(columns, offsetof(GmVersion, recorded_at));
	args[5] = time_column(columns, offsetof(GmVersion, expired_at));
	gm_versions_run(&insert_copies, args);
	check_written(columns);
	for (int i = 0; i < columns->n; i++)
		columns->versions[i]->triple_id = gm_sql_int8(i, 1);
	gm_sql_done();
}

/* What is left of a version that was open overlaps nothing that it did not. */
static bool
lies_within_open(const GmVersionSet *set, const GmVersion *version)
{
	const GmVersion *copied = version->copied == GM_NO_VERSION ? NULL :
		&set->versions[version->copied];

	return copied != NULL && copied->was_open && copied->from <= version->from &&
		version->to <= copied->to;
}

static void
check_overlaps(const GmVersionSet *set, const Columns *columns)
{
	GmOverlap  *overlap = gm_overlap_begin();

	for (int i = 0; i < columns->n; i++)
	{
		const GmVersion *version = columns->versions[i];

		CHECK_FOR_INTERRUPTS();
		if (version->open && !lies_within_open(set, version))
			gm_overlap_check(overlap, version->functional, version->subject, version->predicate,
							 version->object, version->from, version->to);
	}
	gm_overlap_end(overlap);
}

/*
 * False if others were writing versions that those to be written overlap.  Of
 * a timeline that is held nobody else does; a fixed snapshot may still not show
 * what a merge has put there.
 */
static bool
wait_for_overlaps(const GmVersionSet *set, const Columns *columns)
{
	GmOverlap  *overlap = gm_overlap_begin();
	bool		waited = false;

	for (int i = 0; i < columns->n; i++)
	{
		const GmVersion *version = columns->versions[i];

		CHECK_FOR_INTERRUPTS();
		if (version->open && !lies_within_open(set, version) &&
			(!version->functional || IsolationUsesXactSnapshot()) &&
			gm_overlap_wait(overlap, version->functional, version->subject, version->predicate,
							version->object, version->from, version->to))
			waited = true;
	}
	gm_overlap_end(overlap);
	return !waited;
}

static void
put_triple(const GmVersionSet *set, int version, Datum *value, bool *isnull)
{
	*isnull = version == GM_NO_VERSION || set->versions[version].left_out;
	*value = *isnull ? (Datum) 0 : Int64GetDatum(set->versions[version].triple_id);
}

static void
write_steps(GmVersionSet *set)
{
	static const Oid types[] = {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID,
	BOOLOID, BOOLOID};
	Datum	   *values[lengthof(types)];
	bool	   *nulls[lengthof(types)];
	Datum		args[lengthof(types) + 1];
	int			n = set->nsteps;

	if (n == 0)
		return;
	for (size_t c = 0; c < lengthof(types); c++)
	{
		values[c] = palloc_array(Datum, n);
		nulls[c] = palloc0_array(bool, n);
	}
	for (int i = 0; i < n; i++)
	{
		const GmStep *step = &set->steps[i];
		int64		new_fact = step->new == GM_NO_VERSION ? step->new_fact :
			set->versions[step->new].fact_id;

		values[0][i] = Int64GetDatum(set->versions[step->old].fact_id);
		values[1][i] = Int64GetDatum(new_fact);
		nulls[1][i] = new_fact == 0;
		put_triple(set, step->old, &values[2][i], &nulls[2][i]);
		put_triple(set, step->closed, &values[3][i], &nulls[3][i]);
		put_triple(set, step->rest, &values[4][i], &nulls[4][i]);
		values[5][i] = step->reason;
		nulls[5][i] = step->reason == (Datum) 0;
		values[6][i] = BoolGetDatum(step->automatic);
		values[7][i] = BoolGetDatum(step->created);
	}
	args[0] = Int32GetDatum(set->graph_id);
	for (size_t c = 0; c < lengthof(types); c++)
		args[c + 1] = gm_sql_array(types[c], values[c], nulls[c], n);
	gm_sql_run(&insert_steps, args, NULL);
	if (SPI_processed != (uint64) n)
		elog(ERROR, "wrote " UINT64_FORMAT " rows for %d steps", SPI_processed, n);
	for (int i = 0; i < n; i++)
		set->steps[i].step_id = gm_sql_int8(i, 1);
	gm_sql_done();
}

bool
gm_versions_write(GmVersionSet *set)
{
	Columns		expired = {palloc_array(GmVersion *, set->nversions + 1), 0};
	Columns		facts = {palloc_array(GmVersion *, set->nversions + 1), 0};
	Columns		copies = {palloc_array(GmVersion *, set->nversions + 1), 0};

	if (!lock_held(set) || !settle_known_time(set))
		return false;
	for (int i = 0; i < set->nversions; i++)
	{
		GmVersion  *version = &set->versions[i];

		if (version->stored && version->was_open && !version->open)
			expired.versions[expired.n++] = version;
		else if (version->stored || version->left_out)
			continue;
		else if (version->copied == GM_NO_VERSION)
			facts.versions[facts.n++] = version;
		else
			copies.versions[copies.n++] = version;
	}
	if (!wait_for_overlaps(set, &facts) || !wait_for_overlaps(set, &copies))
		return false;
	write_expired(&expired);
	write_new_facts(set->graph_id, &facts);
	write_copies(set, &copies);
	check_overlaps(set, &facts);
	check_overlaps(set, &copies);
	write_steps(set);
	return true;
}
