/*-------------------------------------------------------------------------
 *
 * names.h
 *	  Names to ids for the writers: resolve what exists, create the rest.
 *
 * A pool takes the names of one statement, gives each a number at once, and
 * later resolves all of them together.
 *
 * PROTOCOL upserts
 * Shared		rows of entities, predicates, sources, triples and assertions
 * Writers		any number of sessions; each statement works in phases and in
 *				each phase through the whole statement in key order:
 *				 1 graph (row, then its lock, see Locks)
 *				 2 missing entities, by name and type
 *				 3 kinds of entities that had none, same order
 *				 4 missing predicates, by name
 *				 5 missing sources, by name
 *				 6 missing triples of predicates that are not functional, by
 *				   (subject, predicate, object)
 *				 7 functional_keys, by (subject, predicate), and after each
 *				   round of them the timelines that they guard
 *				 8 assertions, by (fact, source)
 *				A session that waits for another's uncommitted key therefore
 *				waits for one that is further on in the same order: two
 *				statements cannot deadlock.  Several statements of one
 *				transaction can, as with any table.
 * Conflicts	missing rows are inserted ON CONFLICT DO NOTHING; those lost to
 *				another session are looked up again with a fresh snapshot.
 *				In REPEATABLE READ the server itself raises 40001.
 * Timelines	whoever changes the open versions of a functional predicate's
 *				subject first updates the row of functional_keys, and then
 *				looks at them with a fresh snapshot: of two sessions the second
 *				sees what the first did.  Where the snapshot is fixed the
 *				update itself raises 40001.  Changes of single facts (UPDATE of
 *				the view, supersede, retract, undo_supersede) take that row
 *				before rows of triples.  The unique index on what is current
 *				and the check for overlap stand behind it, for raw DML.
 * Overlap		two sessions may insert different, overlapping validities of
 *				one fact, which no unique index can see.  After its inserts a
 *				writer reads the versions of each fact it touched with a dirty
 *				snapshot, waits for those of transactions in progress, and
 *				fails with 23P01 if one that overlaps remains (40001 in
 *				REPEATABLE READ).  Each inserts before it reads, so at least
 *				one of two sees the other.  If both do, they wait for each
 *				other and the deadlock check ends one.  What supersedes,
 *				retracts, undoes or changes versions also reads so before its
 *				inserts, where no ON CONFLICT tells a row that came meanwhile
 *				from one that the caller could know of: it then decides anew, or
 *				raises 40001.
 * Locks		RowExclusiveLock on object (graphs, graph_id) by whoever writes
 *				triples, entities, sources, vectors or settings of predicates by
 *				name or changes facts through the view, before their rows;
 *				ShareRowExclusiveLock by set_predicate where it sets
 *				"functional": a triple's copy of that cannot miss a change of
 *				its predicate; by drop_vector_space; and by merges (merge.h) and
 *				forgetting (forget.c): a name that is resolved stays what it is
 *				until the row is written.  What was committed before a lock was
 *				taken, a fixed snapshot may not show: whoever must not miss a
 *				row of it compares with what is committed by then
 *				(gm_sql_refuse_stale).
 * Tests		test/specs/upsert_*.spec, *_stale.spec
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_NAMES_H
#define GM_API_NAMES_H

typedef enum GmNameClass
{
	GM_NAME_ENTITY = 0,
	GM_NAME_PREDICATE,
	GM_NAME_SOURCE
} GmNameClass;

typedef struct GmNamePool GmNamePool;

/*
 * Graphs.  graph NULL means the setting graphmem.graph.  An absent graph is
 * 42704, but that gm_graph_for_write() creates "default" and gm_graph_find()
 * gives 0 for it.  Both need gm_sql_enter() or SPI_connect() before.
 */
extern char *gm_graph_name(const text *graph);
extern int32 gm_graph_for_write(const char *name);
extern int32 gm_graph_find(const char *name);
/* The lock of the protocol above. */
extern void gm_graph_lock(int32 graph_id, bool exclusive);

/* Pools. type: of a literal, else NULL.  kind: of an entity, may be NULL. */
extern GmNamePool *gm_names_begin(MemoryContext parent);
extern uint32 gm_names_add(GmNamePool *pool, GmNameClass class, const text *name,
						   const text *type, const text *kind);
/* wanted: its id if it is new, from gm_sql_next_id(); 0: any */
extern uint32 gm_names_add_entity(GmNamePool *pool, const text *name, const text *kind,
								  int64 wanted);
/* Phases 2 to 5; between gm_sql_enter() and gm_sql_leave(). */
extern void gm_names_resolve(GmNamePool *pool, int32 graph_id);
/* a name means by now what the snapshot does not show: 40001 */
extern void gm_names_report_taken(void) __attribute__((noreturn));
extern int64 gm_names_id(const GmNamePool *pool, uint32 number);
/* Of a predicate. */
extern bool gm_names_functional(const GmNamePool *pool, uint32 number);

#endif							/* GM_API_NAMES_H */
