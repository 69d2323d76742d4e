/*-------------------------------------------------------------------------
 *
 * timeline.c
 *	  Where a statement belongs among the versions of a functional predicate.
 *
 * The timeline of a (subject, predicate) are its open versions, of whatever
 * object; they are pairwise disjoint in valid time.  A claim (object, [f, t))
 * is placed so:
 *	 1. Given no validity at all, it speaks of now, T, the start of the
 *		statement (not later: the writer's next read has to see it).  It
 *		restates the version valid at T if that has the same object; else it
 *		is valid from T on, or, where none is valid at T, in the whole gap
 *		around T.  It ends where the next version of any object begins.
 *	 2. Given a validity, it ends at the latest where the next version of
 *		another object begins: old facts that arrive late slot into the past.
 *		An open end means "until the next one begins".  A version that goes on
 *		behind a shorter claim (4) does not begin there but where it was first
 *		valid from, and ends none that began then or later.
 *	 3. Within a version of the same object, it restates that: an assertion is
 *		added for its source, nothing else.  Where it partly overlaps one it
 *		is refused, 23P01.
 *	 4. The version [a, b) of another object that is valid at f is superseded.
 *		It is closed at f; where a = f nothing is left of it before the claim.
 *		If t was given and lies before b, it goes on in [t, b) as a second
 *		version of the same fact, whether or not b is open: a claim retires
 *		what its interval covers, and one with an open end all that follows.
 *	 5. Versions that end no claim by 2 are superseded as far as it reaches,
 *		each by a step of its own, which undoing 4 undoes too.
 *	 6. Nothing else changes.
 * Claims of one statement count in the order given, as if each had been a
 * statement of its own.  So at each moment the claim that began last holds.
 *
 * Algorithm	By 1 to 6 a claim depends on the version that begins last before
 *			or at f and on those that begin next, up to the first that could
 *			end it.  Of a round of claims these are looked up in the table for
 *			each, and the claims are placed in memory: a start that placing
 *			takes from a timeline lies within a version that it adds, so what
 *			is looked up and what is added is all that the round can meet.
 * Memory	a few hundred bytes for each claim of a round
 * Cost		two index probes a claim, two more where it supersedes, and those
 *			of a step where a version begins after it
 * Limits	a claim does not go on behind a later one that was there before it:
 *			of [0, 30) and [10, 20) in this order the first holds again from 20
 *			on, in the other order nothing does; versions that row security
 *			hides are not superseded; what overlaps them is refused, 23505
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/facts.h"
#include "api/sql.h"
#include "api/timeline.h"
#include "compat.h"

#define MAX_TRIES	10

/* each side by itself, so that the timeline's index gives it in order */
#define OPEN_VERSION(condition, from, direction) \
	"(SELECT t.triple_id, t.fact_id, t.object_id, t.valid_from, t.valid_to, " SINCE " AS since" \
	" FROM graphmem.triples t WHERE t.subject_id" GM_EQ "u.s AND t.predicate_id" GM_EQ "u.p" \
	" AND t.functional AND t.expired_at" GM_EQ "'infinity'" \
	" AND t.valid_from OPERATOR(pg_catalog." condition ") " from \
	" ORDER BY t.subject_id, t.predicate_id, t.valid_from " direction " LIMIT 1)"

/* where the claim began of which t is what goes on behind a shorter one; else NULL */
#define SINCE \
	"(SELECT pg_catalog.min(o.valid_from) FROM graphmem.supersessions c" \
	" JOIN graphmem.triples o ON o.triple_id" GM_EQ "c.old_triple_id" \
	" LEFT JOIN graphmem.triples r ON r.triple_id" GM_EQ "c.rest_triple_id" \
	" WHERE c.old_fact_id" GM_EQ "t.fact_id AND c.undone_at IS NULL" \
	" HAVING pg_catalog.bool_or(r.valid_from" GM_EQ "t.valid_from))"

static GmSql find_neighbors = {
	"SELECT u.i, l.triple_id, l.fact_id, l.object_id, l.valid_from, l.valid_to, l.since FROM ROWS FROM"
	" (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))"
	" WITH ORDINALITY AS u(s, p, f, i), LATERAL (" OPEN_VERSION("<=", "u.f", "DESC")
	" UNION ALL (WITH RECURSIVE later AS (" OPEN_VERSION(">", "u.f", "") " UNION ALL SELECT n.*"
	" FROM later l, LATERAL " OPEN_VERSION(">", "l.valid_from", "") " AS n"
	" WHERE l.since OPERATOR(pg_catalog.<=) u.f) SELECT * FROM later)) AS l",
	3, {INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID}
};

/* Numbers of the open versions of one timeline that matter, by start. */
typedef struct Line
{
	int		   *versions;
	int			n;
} Line;

/* What was looked up for the claims, in their order. */
typedef struct Found
{
	GmVersion	version;
	int			claim;
} Found;

static bool
same_timeline(const GmClaim *a, const GmClaim *b)
{
	return a->subject == b->subject && a->predicate == b->predicate;
}

static bool
is_about_now(const GmClaim *claim)
{
	return !claim->has_from && !claim->has_to;
}

static void
lock_timelines(const GmVersionSet *set, const GmClaim *claims, int n)
{
	Datum	   *subjects = palloc_array(Datum, n);
	Datum	   *predicates = palloc_array(Datum, n);
	int			nkeys = 0;

	for (int i = 0; i < n; i++)
		if (i == 0 || !same_timeline(&claims[i], &claims[i - 1]))
		{
			subjects[nkeys] = Int64GetDatum(claims[i].subject);
			predicates[nkeys++] = Int64GetDatum(claims[i].predicate);
		}
	gm_versions_lock_keys(set->graph_id, subjects, predicates, nkeys);
}

static Found *
look_up(const GmClaim *claims, int n, TimestampTz now, int *nfound)
{
	Datum	   *columns[3];
	Datum		args[3];
	Found	   *found;

	for (int c = 0; c < 3; c++)
		columns[c] = palloc_array(Datum, n);
	for (int i = 0; i < n; i++)
	{
		columns[0][i] = Int64GetDatum(claims[i].subject);
		columns[1][i] = Int64GetDatum(claims[i].predicate);
		columns[2][i] = TimestampTzGetDatum(is_about_now(&claims[i]) ? now : claims[i].from);
	}
	for (int c = 0; c < 3; c++)
		args[c] = gm_sql_array(c < 2 ? INT8OID : TIMESTAMPTZOID, columns[c], NULL, n);
	gm_sql_run(&find_neighbors, args, NULL);
	*nfound = (int) SPI_processed;
	found = palloc0_array(Found, *nfound + 1);
	for (int row = 0; row < *nfound; row++)
	{
		GmVersion  *version = &found[row].version;
		bool		isnull;
		Datum		since;

		found[row].claim = (int) gm_sql_int8(row, 1) - 1;
		version->subject = claims[found[row].claim].subject;
		version->predicate = claims[found[row].claim].predicate;
		version->triple_id = gm_sql_int8(row, 2);
		version->fact_id = gm_sql_int8(row, 3);
		version->object = gm_sql_int8(row, 4);
		version->from = gm_sql_int8(row, 5);
		version->to = gm_sql_int8(row, 6);
		since = gm_sql_datum(row, 7, &isnull);
		version->resumed = !isnull;
		version->since = isnull ? 0 : DatumGetTimestampTz(since);
		version->copied = GM_NO_VERSION;
		version->stored = version->was_open = version->open = version->functional = true;
	}
	gm_sql_done();
	return found;
}

static int
compare_found(const void *a, const void *b)
{
	const Found *x = a;
	const Found *y = b;

	if (x->version.from != y->version.from)
		return x->version.from < y->version.from ? -1 : 1;
	return x->version.triple_id < y->version.triple_id ? -1 :
		x->version.triple_id > y->version.triple_id;
}

/* Place in the line of the last version that begins at or before the time; -1 if none. */
static int
last_before(const GmVersionSet *set, const Line *line, TimestampTz time)
{
	int			low = 0;
	int			high = line->n;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (set->versions[line->versions[middle]].from <= time)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

static void
put_after(Line *line, int place, int version)
{
	memmove(&line->versions[place + 2], &line->versions[place + 1],
			(line->n - place - 1) * sizeof(int));
	line->versions[place + 1] = version;
	line->n++;
}

static int
add_claimed(GmVersionSet *set, const GmClaim *claim, TimestampTz from, TimestampTz to)
{
	return gm_versions_add_fact(set, claim->subject, claim->predicate, claim->object, true,
								from, to, claim->confidence, claim->properties);
}

static void
add_automatic(GmVersionSet *set, int old, int closed, int rest, int new, bool created)
{
	GmStep	   *step = gm_versions_add_step(set, old, closed, rest, new);

	step->automatic = true;
	step->created = created;
}

/* What the claim leaves of a version behind it, else GM_NO_VERSION. */
static int
add_rest(GmVersionSet *set, int old, int new)
{
	TimestampTz to = set->versions[new].to;
	int			rest;

	if (to >= set->versions[old].to)
		return GM_NO_VERSION;
	rest = gm_versions_add_copy(set, old, to, set->versions[old].to);
	if (!set->versions[rest].resumed)
		set->versions[rest].since = set->versions[old].from;
	set->versions[rest].resumed = true;
	return rest;
}

/* Rule 4, for a version added already; its place in the line. */
static int
supersede(GmVersionSet *set, Line *line, int place, int new)
{
	int			old = line->versions[place];
	TimestampTz start = set->versions[old].from;
	TimestampTz from = set->versions[new].from;
	int			closed = GM_NO_VERSION;
	int			rest;

	gm_versions_close(set, old);
	if (start < from)
		closed = gm_versions_add_copy(set, old, start, from);
	rest = add_rest(set, old, new);
	add_automatic(set, old, closed, rest, new, true);

	if (closed == GM_NO_VERSION)
		line->versions[place] = new;
	else
	{
		line->versions[place] = closed;
		put_after(line, place++, new);
	}
	if (rest != GM_NO_VERSION)
		put_after(line, place, rest);
	return place;
}

/* Rule 5: the versions between the one added at that place and the other. */
static void
supersede_resumed(GmVersionSet *set, Line *line, int place, int end)
{
	int			new = line->versions[place];
	int			rest = GM_NO_VERSION;

	for (int i = place + 1; i < end; i++)
	{
		int			old = line->versions[i];

		gm_versions_close(set, old);
		rest = add_rest(set, old, new);
		add_automatic(set, old, GM_NO_VERSION, rest, new, false);
	}
	memmove(&line->versions[place + 1], &line->versions[end], (line->n - end) * sizeof(int));
	line->n -= end - place - 1;
	if (rest != GM_NO_VERSION)
		put_after(line, place, rest);
}

static bool
began_before(const GmVersion *version, TimestampTz from)
{
	return version->resumed && version->since <= from;
}

static void
place_claim(GmVersionSet *set, Line *line, GmClaim *claim, TimestampTz now)
{
	bool		about_now = is_about_now(claim);
	TimestampTz from = about_now ? now : claim->from;
	TimestampTz to = claim->to;
	int			place = last_before(set, line, from);
	const GmVersion *before = place < 0 ? NULL : &set->versions[line->versions[place]];
	bool		holds = before != NULL && from < before->to;
	bool		restates = holds && before->object == claim->object;
	int			resumed = 0;

	for (int next = place + 1; next < line->n; next++)
	{
		const GmVersion *after = &set->versions[line->versions[next]];

		if (after->from >= to)
			break;
		if (after->object != claim->object && began_before(after, from) &&
			!restates && (holds || !about_now))
		{
			resumed++;
			continue;
		}
		if (!about_now && after->object == claim->object)
			gm_facts_report_overlap(claim->row, claim->subject, claim->predicate,
									claim->object, from, to, after->from, after->to);
		to = after->from;
		break;
	}
	if (restates)
	{
		if (!about_now && before->to < to)
			gm_facts_report_overlap(claim->row, claim->subject, claim->predicate,
									claim->object, from, to, before->from, before->to);
		claim->version = line->versions[place];
		return;
	}
	if (about_now && !holds)
		from = before == NULL ? DT_NOBEGIN : before->to;
	claim->version = add_claimed(set, claim, from, to);
	if (holds)
		place = supersede(set, line, place, claim->version);
	else
		put_after(line, place++, claim->version);
	if (resumed > 0)
		supersede_resumed(set, line, place, place + 1 + resumed);
}

static void
place_all(GmVersionSet *set, GmClaim *claims, int n)
{
	TimestampTz now = GetCurrentStatementStartTimestamp();
	int			nfound;
	Found	   *found = look_up(claims, n, now, &nfound);
	int			next = 0;
	Line		line;

	/* each claim adds two versions to its line at most */
	line.versions = palloc_array(int, nfound + 2 * n + 1);
	for (int i = 0; i < n;)
	{
		int			end = i + 1;
		int			first = next;

		while (end < n && same_timeline(&claims[end], &claims[i]))
			end++;
		while (next < nfound && found[next].claim < end)
			next++;
		qsort(&found[first], next - first, sizeof(Found), compare_found);
		line.n = 0;
		for (int f = first; f < next; f++)
			if (f == first || found[f].version.triple_id != found[f - 1].version.triple_id)
				line.versions[line.n++] = gm_versions_add_found(set, &found[f].version);
		for (; i < end; i++)
			place_claim(set, &line, &claims[i], now);
		CHECK_FOR_INTERRUPTS();
	}
}

void
gm_timeline_place(GmVersionSet *set, GmClaim *claims, int n)
{
	lock_timelines(set, claims, n);
	for (int tries = 0;; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		place_all(set, claims, n);
		if (gm_versions_write(set))
			break;
		if (tries == MAX_TRIES)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent change of a fact"),
					 errhint("Run the transaction again.")));
		gm_versions_reset(set);
	}
}
