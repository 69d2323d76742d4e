/*-------------------------------------------------------------------------
 *
 * versions.h
 *	  What a statement does to versions of facts, written all at once.
 *
 * A set holds versions by number: those found in the table, and those that
 * are to be written.  Whoever decides closes some, adds others and notes the
 * steps between them; gm_versions_write() then expires, inserts and records
 * the chain.  Between gm_sql_enter() and gm_sql_leave().
 *
 * Known time	A version that is closed expires now, and what is written is
 *				recorded then.  "Now" is the transaction's start, but later
 *				than the recording of every version closed for the same
 *				subject and predicate.  A version that this transaction wrote
 *				itself, and one that is closed before it was ever written,
 *				nobody else has seen: its row is kept for the chain with an
 *				empty known time (recorded_at = expired_at), a microsecond
 *				after any row with the same terms and start.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_VERSIONS_H
#define GM_API_VERSIONS_H

#include "datatype/timestamp.h"

#include "api/sql.h"

#define GM_NO_VERSION	(-1)

typedef struct GmVersion
{
	int64		triple_id;		/* 0 until its row is written */
	int64		fact_id;		/* likewise, of a new fact */
	int64		subject;
	int64		predicate;
	int64		object;
	TimestampTz from;
	TimestampTz to;
	int			copied;			/* version with its confidence and properties;
								 * GM_NO_VERSION for a new fact */
	bool		stored;			/* has a row already */
	bool		was_open;
	bool		open;
	bool		functional;
	bool		left_out;		/* after all, not to be written */
	bool		held;			/* must be open still when others are written */
	bool		resumed;		/* goes on behind a shorter claim */
	TimestampTz since;			/* then: where its own claim began */
	float4		confidence;		/* of a new fact */
	Datum		properties;		/* likewise; 0 if none */
	TimestampTz recorded_at;	/* what the row gets */
	TimestampTz expired_at;
} GmVersion;

typedef struct GmStep
{
	int			old;
	int			closed;			/* or GM_NO_VERSION, as rest and new */
	int			rest;
	int			new;
	int64		new_fact;		/* where new is GM_NO_VERSION; 0: retracted */
	Datum		reason;			/* text; 0 if none */
	bool		automatic;
	bool		created;
	int64		step_id;		/* once written */
} GmStep;

typedef struct GmVersionSet
{
	int32		graph_id;
	GmVersion  *versions;
	int			nversions;
	int			max_versions;
	GmStep	   *steps;
	int			nsteps;
	int			max_steps;
} GmVersionSet;

extern void gm_versions_init(GmVersionSet *set, int32 graph_id);
/* Forgets what it holds, which the caller's memory context frees. */
extern void gm_versions_reset(GmVersionSet *set);

/* Each gives the number of a version.  A found one must be filled in. */
extern int	gm_versions_add_found(GmVersionSet *set, const GmVersion *version);
extern int	gm_versions_add_fact(GmVersionSet *set, int64 subject, int64 predicate, int64 object,
								 bool functional, TimestampTz from, TimestampTz to,
								 float4 confidence, Datum properties);
/* of the same fact, with what the version of that number has */
extern int	gm_versions_add_copy(GmVersionSet *set, int of, TimestampTz from, TimestampTz to);
extern void gm_versions_close(GmVersionSet *set, int version);
/* A found one, which a step leads to though it is not written. */
extern void gm_versions_hold(GmVersionSet *set, int version);
extern GmStep *gm_versions_add_step(GmVersionSet *set, int old, int closed, int rest, int new);

/*
 * False, and nothing is written, if a version to be closed or held is no
 * longer open or others have been writing one that would overlap: the caller
 * resets the set and looks again.  Raises 23P01 or 23505 if what is open then overlaps, 40001
 * if the transaction's snapshot does not show that.
 */
extern bool gm_versions_write(GmVersionSet *set);

/*
 * The row of functional_keys that whoever changes the timeline of (subject,
 * predicate) holds; in sorted order and without repetition.
 */
extern void gm_versions_lock_keys(int32 graph_id, Datum *subjects, Datum *predicates, int n);

/* Runs a statement that writes triples; their unique indexes speak plainly. */
extern void gm_versions_run(GmSql *sql, Datum *args);

#endif							/* GM_API_VERSIONS_H */
