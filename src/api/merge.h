/*-------------------------------------------------------------------------
 *
 * merge.h
 *	  What merging and unmerging entities share.
 *
 * Undo rows
 *	 graphmem.merge_rows tells how each row was before and what the merge made
 *	 of it.  relation and row_id, other_id name the row:
 *	   facts			fact that fell together with fact other_id
 *	   triples			version, and its fact; of removed ones, the version that
 *						stands for it
 *	   assertions		fact, source
 *	   supersessions, aliases, entities	id
 *	   embeddings, topology_vectors	item, space
 *	   functional_keys	subject, predicate
 *	   accesses, activations	entity, a number
 *	 change:
 *	   subject, object, both	this end of a version became the kept entity
 *	   changed			columns of the row; old is all of it, new at least those
 *	   refiled			a version that went to another fact; likewise
 *	   removed			the row is gone; old has it, or embedding, or of
 *						topology_vectors both have a part of it; of a version,
 *						new is what the one that stands for it was made
 *	   added			the row is new; new has it, or embedding
 *	   joined			see facts
 *
 * PROTOCOL merges
 * Shared		the rows of both entities and all that refer to them
 * Writer		one at a time in a graph: ShareRowExclusiveLock of the graph
 *				(names.h), so that facts, vectors and entities named meanwhile
 *				wait and then resolve by alias; then both entities FOR UPDATE
 *				in id order, which statements on the tables meet through the
 *				locks FOR KEY SHARE of integrity.c
 * Isolation	READ COMMITTED: each statement after the locks sees all that was
 *				committed before them.  Else the versions of both entities
 *				that the transaction's snapshot does not show are 40001.
 * Tests		test/specs/merge_*.spec, test/t/180_merge.pl
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_MERGE_H
#define GM_API_MERGE_H

#include "api/sql.h"

#define GM_NE	" OPERATOR(pg_catalog.<>) "
#define GM_LT	" OPERATOR(pg_catalog.<) "
#define GM_GT	" OPERATOR(pg_catalog.>) "
#define GM_CAT	" OPERATOR(pg_catalog.||) "
#define GM_GET	" OPERATOR(pg_catalog.->) "
#define GM_TEXT	" OPERATOR(pg_catalog.->>) "
#define GM_MINUS " OPERATOR(pg_catalog.-) "
#define GM_PLUS	" OPERATOR(pg_catalog.+) "

/* A row as it was, and as the merge left it: new has at least what differs. */
#define GM_MERGE_OLD(relation) \
	"pg_catalog.jsonb_populate_record(NULL::graphmem." relation ", r.old)"
#define GM_MERGE_NEW(relation) \
	"pg_catalog.jsonb_populate_record(" GM_MERGE_OLD(relation) ", r.new)"

/* Arguments of every statement of a merge and of its undoing. */
#define GM_MERGE_ARGS	4, {INT8OID, INT8OID, INT8OID, INT4OID}

/* what was counted, in the order of the result's columns */
typedef enum GmMergeCount
{
	GM_MERGE_FACTS = 0,
	GM_MERGE_JOINED,
	GM_MERGE_REMOVED,
	GM_MERGE_ALIASES,
	GM_MERGE_VECTORS,
	GM_MERGE_COUNTS,
	GM_MERGE_NOT_COUNTED = GM_MERGE_COUNTS
} GmMergeCount;

typedef struct GmMerge
{
	int64		merge_id;
	int64		keep;
	int64		gone;
	int32		graph_id;
	int64		counts[GM_MERGE_COUNTS];
} GmMerge;

typedef struct GmMergeStep
{
	GmSql		sql;
	GmMergeCount counts;		/* the rows that it changes */
} GmMergeStep;

/* Runs a statement or steps with the four arguments. */
extern void gm_merge_run(const GmMerge *merge, GmSql *sql);
extern void gm_merge_steps(GmMerge *merge, GmMergeStep *steps, int n);

/*
 * gm_sql_enter() with numbers written in full, so that rows come back from
 * jsonb as they were.
 */
extern int	gm_merge_enter(void);

/* Id of the entity of this name or alias; 0 if there is none. */
extern int64 gm_merge_find(int32 graph_id, const text *name);

/*
 * Locks entities that are not 0 FOR UPDATE in id order and, where the
 * transaction's snapshot is fixed, raises 40001 unless it shows all their
 * versions.  False if one of them is not there.
 */
extern bool gm_merge_lock(int64 a, int64 b);

#endif							/* GM_API_MERGE_H */
