/*-------------------------------------------------------------------------
 *
 * merge.c
 *	  merge_entities, add_alias, drop_alias; arguments of duplicate_candidates.
 *
 * A merge rewrites what the tables say of one entity, gone, as if it had been
 * the other, keep, all along: history too.  It is set-based but for one thing:
 * which facts become one.  Versions that come to have the same subject,
 * predicate and object are read in order, those among them that cannot stay
 * beside each other form groups, and the facts of a group are one from then
 * on; a fact may be in several groups.
 *
 * Groups, each with versions of at least two former subjects or objects
 *	 open		that overlap or touch
 *	 expired	of the same valid_from and expired_at, which the unique key
 *				allows once
 * One version stays of a group, valid from the first begin to the last end and
 * known since the first of them was.
 *
 * Memory		some 200 bytes for each version of gone, and of keep beside it
 * Complexity	versions of gone, an index lookup each, and a sort of them
 * Limits		a row with its jsonb must fit jsonb (256 MB)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "error.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "api/facts.h"
#include "api/merge.h"
#include "api/names.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(graphmem_merge_entities);
PG_FUNCTION_INFO_V1(graphmem_add_alias);
PG_FUNCTION_INFO_V1(graphmem_drop_alias);
PG_FUNCTION_INFO_V1(graphmem_check_duplicate_args);

/* A version in a group. */
typedef struct Member
{
	int64		triple_id;
	int64		fact_id;
	int64		group;
	TimestampTz from;
	TimestampTz to;
	TimestampTz recorded;
	TimestampTz expired;
	int64		subject;
	int64		object;
	bool		kept;			/* neither end is gone */
} Member;

typedef struct Members
{
	Member	   *rows;
	int64		n;
	int64		room;
	int64		groups;
} Members;

typedef struct FactEntry
{
	int64		fact_id;
	int64		parent;			/* itself: the fact that the others become */
	bool		kept;
	char		status;
} FactEntry;

#define SH_PREFIX factset
#define SH_ELEMENT_TYPE FactEntry
#define SH_KEY_TYPE int64
#define SH_KEY fact_id
#define SH_HASH_KEY(tb, k) murmurhash32((uint32) (k) + 31 * (uint32) ((k) >> 32))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* ---- statements ---- */

#define FROM_UNDO(relation) \
	" FROM graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'" relation "'"
#define INTO_UNDO "INSERT INTO graphmem.merge_rows (merge_id, graph_id, relation, row_id, other_id, change, "

static GmSql find_entity = {
	"SELECT entity_id FROM graphmem.entities WHERE graph_id" GM_EQ "$1"
	" AND graphmem.name_key(name, literal_type)" GM_EQ "graphmem.name_key($2, NULL)"
	" UNION ALL SELECT entity_id FROM graphmem.aliases WHERE graph_id" GM_EQ "$1"
	" AND graphmem.name_key(name)" GM_EQ "graphmem.name_key($2) LIMIT 1",
	2, {INT4OID, TEXTOID}
};

static GmSql find_literal = {
	"SELECT 1 FROM graphmem.entities WHERE graph_id" GM_EQ "$1 AND name" GM_EQ "$2 LIMIT 1",
	2, {INT4OID, TEXTOID}
};

static GmSql lock_entities = {
	"SELECT entity_id FROM graphmem.entities WHERE entity_id" GM_EQ "$1 OR entity_id" GM_EQ "$2"
	" ORDER BY entity_id FOR UPDATE",
	2, {INT8OID, INT8OID}
};

static GmSql sum_versions = {
	"SELECT pg_catalog.count(*), pg_catalog.sum(triple_id) FROM"
	" (SELECT triple_id FROM graphmem.triples WHERE subject_id" GM_EQ "ANY (ARRAY[$1, $2])"
	" UNION ALL SELECT triple_id FROM graphmem.triples WHERE object_id" GM_EQ "ANY (ARRAY[$1, $2])) t",
	2, {INT8OID, INT8OID}
};

static GmSql insert_merge = {
	"INSERT INTO graphmem.merges (graph_id, kept_id, gone_id, gone_name)"
	" SELECT graph_id, $1, entity_id, name FROM graphmem.entities WHERE entity_id" GM_EQ "$2"
	" RETURNING merge_id",
	2, {INT8OID, INT8OID}
};

/*
 * Two objects of one subject at one time.  Objects are compared as they will
 * be: a pair of loops is one fact then.
 */
static GmSql find_rivals = {
	"SELECT a.subject_id, a.predicate_id, a.object_id, b.subject_id, b.object_id"
	" FROM graphmem.triples a, LATERAL (SELECT * FROM graphmem.triples t"
	" WHERE t.subject_id" GM_EQ "$2 AND t.predicate_id" GM_EQ "a.predicate_id"
	" AND t.expired_at" GM_EQ "'infinity' AND t.valid_from" GM_LT "a.valid_to"
	" AND a.valid_from" GM_LT "t.valid_to"
	" AND (CASE WHEN t.object_id" GM_EQ "$3 THEN $2 ELSE t.object_id END)" GM_NE
	"(CASE WHEN a.object_id" GM_EQ "$3 THEN $2 ELSE a.object_id END) OFFSET 0) b"
	" WHERE a.subject_id" GM_EQ "$3 AND a.functional AND a.expired_at" GM_EQ "'infinity'"
	" ORDER BY a.triple_id, b.triple_id LIMIT 1",
	GM_MERGE_ARGS
};

/*
 * The versions that will have a subject, predicate and object that one of gone
 * gets, by these; open ones first.
 */
static GmSql find_contested = {
	"WITH moved AS MATERIALIZED (SELECT CASE WHEN t.subject_id" GM_EQ "$3 THEN $2 ELSE t.subject_id END AS s,"
	" t.predicate_id AS p, CASE WHEN t.object_id" GM_EQ "$3 THEN $2 ELSE t.object_id END AS o"
	" FROM graphmem.triples t WHERE t.subject_id" GM_EQ "$3 UNION"
	" SELECT t.subject_id, t.predicate_id, $2 FROM graphmem.triples t WHERE t.object_id" GM_EQ "$3"
	" AND t.subject_id" GM_NE "$3)"
	" SELECT m.s, m.p, m.o, t.subject_id, t.object_id, t.triple_id, t.fact_id,"
	" t.valid_from, t.valid_to, t.recorded_at, t.expired_at FROM moved m, LATERAL ("
	"SELECT k.s, k.o FROM (SELECT s.s, o.o FROM (VALUES (m.s), (CASE WHEN m.s" GM_EQ "$2 THEN $3 END)) AS s(s),"
	" (VALUES (m.o), (CASE WHEN m.o" GM_EQ "$2 THEN $3 END)) AS o(o)) k"
	" WHERE k.s IS NOT NULL AND k.o IS NOT NULL OFFSET 0) k,"
	" LATERAL (SELECT * FROM graphmem.triples t WHERE t.subject_id" GM_EQ "k.s"
	" AND t.predicate_id" GM_EQ "m.p AND t.object_id" GM_EQ "k.o OFFSET 0) t"
	" ORDER BY m.s, m.p, m.o, t.expired_at DESC, t.valid_from, t.triple_id",
	GM_MERGE_ARGS
};

static GmSql put_facts = {
	INTO_UNDO "old) SELECT $1, $2, 'facts', u.f, u.g, 'joined', NULL"
	" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4)) AS u(f, g)",
	4, {INT8OID, INT4OID, INT8ARRAYOID, INT8ARRAYOID}
};

#define MOVED(id) "CASE WHEN " id GM_EQ "$3 THEN $2 ELSE " id " END"
#define MOVED_ENDS "'subject_id', " MOVED("t.subject_id") ", 'object_id', " MOVED("t.object_id")

/*
 * Of a version that goes, other_id is the one that stands for it, and new what
 * that is like; a version that stands as it was needs no row of its own.
 */
static GmSql put_members = {
	INTO_UNDO "old, new) SELECT $1, $4, 'triples', u.id, u.other, CASE"
	" WHEN u.id" GM_NE "u.other THEN 'removed' WHEN u.f" GM_NE "t.fact_id THEN 'refiled'"
	" ELSE 'changed' END, pg_catalog.to_jsonb(t), pg_catalog.jsonb_build_object('fact_id', u.f, " MOVED_ENDS ","
	" 'valid_from', u.vf, 'valid_to', u.vt, 'recorded_at', u.r)"
	" FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
	" pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10))"
	" AS u(id, other, f, vf, vt, r), LATERAL (SELECT * FROM graphmem.triples t"
	" WHERE t.triple_id" GM_EQ "u.id OFFSET 0) t WHERE NOT (u.id" GM_EQ "u.other AND u.f" GM_EQ "t.fact_id"
	" AND t.subject_id" GM_NE "$3 AND t.object_id" GM_NE "$3 AND u.vf" GM_EQ "t.valid_from"
	" AND u.vt" GM_EQ "t.valid_to AND u.r" GM_EQ "t.recorded_at)",
	10, {INT8OID, INT8OID, INT8OID, INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID,
	TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}
};

/* the fact that a fact becomes */
#define FACT_OF(fact) \
	"COALESCE((SELECT f.other_id FROM graphmem.merge_rows f WHERE f.merge_id" GM_EQ "$1" \
	" AND f.relation" GM_EQ "'facts' AND f.row_id" GM_EQ fact "), " fact ")"
#define VERSION_OF(triple) \
	"COALESCE((SELECT f.other_id FROM graphmem.merge_rows f WHERE f.merge_id" GM_EQ "$1" \
	" AND f.relation" GM_EQ "'triples' AND f.change" GM_EQ "'removed' AND f.row_id" GM_EQ triple "), " triple ")"
#define ALL_FROM(relation, change) \
	"SELECT n.* FROM graphmem.merge_rows r, LATERAL " GM_MERGE_NEW(relation) " n" \
	" WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'" relation "' AND r.change" GM_EQ "ANY (" change ")"

static GmMergeStep steps[] = {
	/* the other versions of facts that fell together, then all else */
	{{INTO_UNDO "old, new) SELECT $1, $4, 'triples', t.triple_id, t.triple_id, 'refiled',"
		" pg_catalog.to_jsonb(t), pg_catalog.jsonb_build_object('fact_id', r.other_id, " MOVED_ENDS ") FROM graphmem.merge_rows r, LATERAL (SELECT *"
		" FROM graphmem.triples t WHERE t.fact_id" GM_EQ "r.row_id OFFSET 0) t"
		" WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'facts' AND NOT EXISTS (SELECT FROM"
		" graphmem.merge_rows d WHERE d.merge_id" GM_EQ "$1 AND d.relation" GM_EQ "'triples'"
		" AND d.row_id" GM_EQ "t.triple_id OFFSET 0)", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{INTO_UNDO "old) SELECT $1, $4, 'triples', t.triple_id, t.fact_id, CASE"
		" WHEN t.subject_id" GM_NE "$3 THEN 'object' WHEN t.object_id" GM_NE "$3 THEN 'subject'"
		" ELSE 'both' END, NULL FROM (SELECT * FROM graphmem.triples s WHERE s.subject_id" GM_EQ "$3"
		" UNION ALL SELECT * FROM graphmem.triples o WHERE o.object_id" GM_EQ "$3"
		" AND o.subject_id" GM_NE "$3) t WHERE NOT EXISTS (SELECT FROM graphmem.merge_rows d"
		" WHERE d.merge_id" GM_EQ "$1 AND d.relation" GM_EQ "'triples'"
		" AND d.row_id" GM_EQ "t.triple_id OFFSET 0)", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	/* assertions of facts that fell together: of one source's two the later counts */
	{{INTO_UNDO "old) SELECT $1, $4, 'assertions', a.fact_id, a.source_id, 'removed',"
		" pg_catalog.to_jsonb(a) FROM graphmem.merge_rows r, LATERAL (SELECT * FROM graphmem.assertions a"
		" WHERE a.fact_id" GM_EQ "r.row_id OFFSET 0) a"
		" WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'facts'", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{INTO_UNDO "old, new) SELECT $1, $4, 'assertions', n.fact_id, n.source_id,"
		" CASE WHEN a.fact_id IS NULL THEN 'added' ELSE 'changed' END,"
		" CASE WHEN a.fact_id IS NOT NULL THEN pg_catalog.to_jsonb(a) END,"
		" n.old" GM_CAT "pg_catalog.jsonb_build_object('fact_id', n.fact_id)"
		" FROM (SELECT DISTINCT ON (f.other_id, r.other_id) f.other_id AS fact_id,"
		" r.other_id AS source_id, r.old FROM graphmem.merge_rows f, LATERAL (SELECT *"
		" FROM graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'assertions'"
		" AND r.row_id" GM_EQ "f.row_id OFFSET 0) r WHERE f.merge_id" GM_EQ "$1 AND f.relation" GM_EQ "'facts'"
		" ORDER BY f.other_id, r.other_id, (r.old" GM_TEXT "'asserted_at')::pg_catalog.timestamptz DESC, r.row_id) n"
		" LEFT JOIN LATERAL (SELECT * FROM graphmem.assertions a WHERE a.fact_id" GM_EQ "n.fact_id"
		" AND a.source_id" GM_EQ "n.source_id OFFSET 0) a ON true"
		" WHERE a.fact_id IS NULL OR (n.old" GM_TEXT "'asserted_at')::pg_catalog.timestamptz" GM_GT "a.asserted_at",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"DELETE FROM graphmem.assertions a USING graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1"
		" AND r.relation" GM_EQ "'assertions' AND r.change" GM_EQ "'removed'"
		" AND a.fact_id" GM_EQ "r.row_id AND a.source_id" GM_EQ "r.other_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"INSERT INTO graphmem.assertions " ALL_FROM("assertions", "'{added,changed}'")
		" ON CONFLICT (fact_id, source_id) DO UPDATE SET confidence = excluded.confidence,"
		" asserted_at = excluded.asserted_at", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	/* supersessions follow their facts; between two that are one now there is nothing to tell */
	{{INTO_UNDO "old, new) SELECT $1, $4, 'supersessions', s.supersession_id, 0,"
		" CASE WHEN n.old_fact" GM_EQ "n.new_fact THEN 'removed' ELSE 'changed' END,"
		" pg_catalog.to_jsonb(s), pg_catalog.to_jsonb(s)" GM_CAT "pg_catalog.jsonb_build_object("
		"'old_fact_id', n.old_fact, 'new_fact_id', n.new_fact, 'old_triple_id', n.old_triple,"
		" 'closed_triple_id', n.closed, 'rest_triple_id', n.rest)"
		" FROM (SELECT DISTINCT l.supersession_id FROM graphmem.merge_rows r"
		" CROSS JOIN LATERAL (VALUES (r.row_id), (r.other_id)) AS v(fact), LATERAL ("
		"SELECT s.supersession_id FROM graphmem.supersessions s WHERE s.old_fact_id" GM_EQ "v.fact"
		" UNION ALL SELECT s.supersession_id FROM graphmem.supersessions s WHERE s.new_fact_id" GM_EQ "v.fact"
		" OFFSET 0) l WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'facts') c,"
		" LATERAL (SELECT * FROM graphmem.supersessions s WHERE s.supersession_id" GM_EQ "c.supersession_id"
		" OFFSET 0) s, LATERAL (SELECT "
		FACT_OF("s.old_fact_id") " AS old_fact, " FACT_OF("s.new_fact_id") " AS new_fact, "
		VERSION_OF("s.old_triple_id") " AS old_triple, " VERSION_OF("s.closed_triple_id") " AS closed, "
		VERSION_OF("s.rest_triple_id") " AS rest OFFSET 0) n"
		" WHERE n.old_fact" GM_NE "s.old_fact_id OR n.new_fact" GM_NE "s.new_fact_id"
		" OR n.old_triple" GM_NE "s.old_triple_id OR n.closed" GM_NE "s.closed_triple_id"
		" OR n.rest" GM_NE "s.rest_triple_id",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"DELETE FROM graphmem.supersessions s USING graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1"
		" AND r.relation" GM_EQ "'supersessions' AND r.change" GM_EQ "'removed'"
		" AND s.supersession_id" GM_EQ "r.row_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"UPDATE graphmem.supersessions s SET old_fact_id = n.old_fact_id, new_fact_id = n.new_fact_id,"
		" old_triple_id = n.old_triple_id, closed_triple_id = n.closed_triple_id,"
		" rest_triple_id = n.rest_triple_id FROM (" ALL_FROM("supersessions", "'{changed}'")
		" OFFSET 0) n WHERE s.supersession_id" GM_EQ "n.supersession_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	/*
	 * Vectors, of gone and of facts that fell together.  One that a fixed
	 * snapshot does not show conflicts, which is 40001.
	 */
	{{INTO_UNDO "embedding) SELECT $1, $4, 'embeddings', m.item_id, m.space_id, 'removed', m.embedding"
		" FROM (SELECT $3, 'entity' UNION ALL SELECT r.row_id, 'fact'" FROM_UNDO("facts") ") AS i(item, target),"
		" LATERAL (SELECT m.* FROM graphmem.embeddings m JOIN graphmem.vector_spaces v ON v.space_id" GM_EQ "m.space_id"
		" WHERE m.item_id" GM_EQ "i.item AND v.target" GM_EQ "i.target AND v.graph_id" GM_EQ "$4 OFFSET 0) m",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{INTO_UNDO "embedding) SELECT DISTINCT ON (n.item, r.other_id) $1, $4, 'embeddings', n.item,"
		" r.other_id, 'added', r.embedding FROM graphmem.merge_rows r JOIN graphmem.vector_spaces v"
		" ON v.space_id::bigint" GM_EQ "r.other_id, LATERAL (SELECT CASE WHEN v.target" GM_EQ "'entity' THEN $2"
		" ELSE (SELECT f.other_id FROM graphmem.merge_rows f WHERE f.merge_id" GM_EQ "$1"
		" AND f.relation" GM_EQ "'facts' AND f.row_id" GM_EQ "r.row_id) END AS item OFFSET 0) n"
		" WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'embeddings' AND NOT EXISTS (SELECT"
		" FROM graphmem.embeddings m WHERE m.space_id" GM_EQ "v.space_id AND m.item_id" GM_EQ "n.item OFFSET 0)"
		" ORDER BY n.item, r.other_id, r.row_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"DELETE FROM graphmem.embeddings m USING graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1"
		" AND r.relation" GM_EQ "'embeddings' AND r.change" GM_EQ "'removed'"
		" AND m.space_id" GM_EQ "r.other_id::int AND m.item_id" GM_EQ "r.row_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"INSERT INTO graphmem.embeddings (space_id, item_id, graph_id, embedding)"
		" SELECT r.other_id::int, r.row_id, $4, r.embedding" FROM_UNDO("embeddings")
		" AND r.change" GM_EQ "'added' ON CONFLICT (space_id, item_id) DO NOTHING", GM_MERGE_ARGS}, GM_MERGE_VECTORS},
	{{INTO_UNDO "old, embedding) SELECT $1, $4, 'topology_vectors', m.entity_id, m.space_id, 'removed',"
		" pg_catalog.jsonb_build_object('shape', m.shape), m.embedding FROM graphmem.topology_vectors m WHERE m.entity_id" GM_EQ "$3", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	/* versions: a fact keeps at least one while others go, so that nothing of it goes along */
	{{"DELETE FROM graphmem.triples t USING graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1"
		" AND r.relation" GM_EQ "'triples' AND r.change" GM_EQ "'removed'"
		" AND t.triple_id" GM_EQ "r.row_id", GM_MERGE_ARGS}, GM_MERGE_REMOVED},
	{{"DELETE FROM graphmem.triples t USING graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1"
		" AND r.relation" GM_EQ "'triples' AND r.change" GM_EQ "'refiled'"
		" AND t.triple_id" GM_EQ "r.row_id", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"UPDATE graphmem.triples t SET subject_id = n.subject_id, object_id = n.object_id,"
		" valid_from = n.valid_from, valid_to = n.valid_to, recorded_at = n.recorded_at FROM ("
		ALL_FROM("triples", "'{changed}'") " OFFSET 0) n WHERE t.triple_id" GM_EQ "n.triple_id",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"INSERT INTO graphmem.triples " ALL_FROM("triples", "'{refiled}'"), GM_MERGE_ARGS}, GM_MERGE_FACTS},
	{{"UPDATE graphmem.triples t SET subject_id = CASE WHEN t.subject_id" GM_EQ "$3 THEN $2 ELSE t.subject_id END,"
		" object_id = CASE WHEN t.object_id" GM_EQ "$3 THEN $2 ELSE t.object_id END FROM graphmem.merge_rows r"
		" WHERE r.merge_id" GM_EQ "$1 AND r.relation" GM_EQ "'triples'"
		" AND r.change" GM_EQ "ANY ('{subject,object,both}') AND t.triple_id" GM_EQ "r.row_id",
		GM_MERGE_ARGS}, GM_MERGE_FACTS},

	/* locks of functional predicates */
	{{INTO_UNDO "old, new) SELECT $1, $4, 'functional_keys', k.subject_id, k.predicate_id, 'removed',"
		" pg_catalog.to_jsonb(k), NULL FROM graphmem.functional_keys k WHERE k.subject_id" GM_EQ "$3"
		" UNION ALL SELECT $1, $4, 'functional_keys', $2, g.predicate_id,"
		" CASE WHEN k.subject_id IS NULL THEN 'added' ELSE 'changed' END,"
		" CASE WHEN k.subject_id IS NOT NULL THEN pg_catalog.to_jsonb(k) END,"
		" pg_catalog.to_jsonb(g)" GM_CAT "pg_catalog.jsonb_build_object('subject_id', $2,"
		" 'changes', g.changes" GM_PLUS "COALESCE(k.changes, 0)) FROM graphmem.functional_keys g"
		" LEFT JOIN graphmem.functional_keys k ON k.subject_id" GM_EQ "$2"
		" AND k.predicate_id" GM_EQ "g.predicate_id WHERE g.subject_id" GM_EQ "$3", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"INSERT INTO graphmem.functional_keys " ALL_FROM("functional_keys", "'{added,changed}'")
		" ON CONFLICT (subject_id, predicate_id) DO UPDATE SET changes = excluded.changes",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	/* what is in use, and in mind */
	{{INTO_UNDO "old, new) SELECT $1, $4, 'accesses', a.entity_id, 0, 'removed', pg_catalog.to_jsonb(a), NULL"
		" FROM graphmem.accesses a WHERE a.entity_id" GM_EQ "$3"
		" UNION ALL SELECT $1, $4, 'accesses', $2, 0, CASE WHEN k.entity_id IS NULL THEN 'added'"
		" ELSE 'changed' END, CASE WHEN k.entity_id IS NOT NULL THEN pg_catalog.to_jsonb(k) END,"
		" pg_catalog.to_jsonb(g)" GM_CAT "pg_catalog.jsonb_build_object('entity_id', $2,"
		" 'access_count', g.access_count" GM_PLUS "COALESCE(k.access_count, 0),"
		" 'last_access', GREATEST(g.last_access, k.last_access)) FROM graphmem.accesses g"
		" LEFT JOIN graphmem.accesses k ON k.entity_id" GM_EQ "$2 WHERE g.entity_id" GM_EQ "$3",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"INSERT INTO graphmem.accesses " ALL_FROM("accesses", "'{added,changed}'")
		" ON CONFLICT (entity_id) DO UPDATE SET access_count = excluded.access_count,"
		" last_access = excluded.last_access", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{INTO_UNDO "old, new) SELECT $1, $4, 'activations', a.entity_id,"
		" pg_catalog.row_number() OVER (ORDER BY a.session), 'removed', pg_catalog.to_jsonb(a), NULL"
		" FROM graphmem.activations a WHERE a.entity_id" GM_EQ "$3"
		" UNION ALL SELECT $1, $4, 'activations', $2, pg_catalog.row_number() OVER (ORDER BY g.session),"
		" CASE WHEN k.entity_id IS NULL THEN 'added' ELSE 'changed' END,"
		" CASE WHEN k.entity_id IS NOT NULL THEN pg_catalog.to_jsonb(k) END,"
		" pg_catalog.to_jsonb(g)" GM_CAT "pg_catalog.jsonb_build_object('entity_id', $2,"
		" 'activation', GREATEST(g.activation, k.activation),"
		" 'pinned', g.pinned OR COALESCE(k.pinned, false),"
		" 'updated_at', GREATEST(g.updated_at, k.updated_at)) FROM graphmem.activations g"
		" LEFT JOIN graphmem.activations k ON k.graph_id" GM_EQ "$4 AND k.session" GM_EQ "g.session"
		" AND k.entity_id" GM_EQ "$2 WHERE g.entity_id" GM_EQ "$3", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"INSERT INTO graphmem.activations " ALL_FROM("activations", "'{added,changed}'")
		" ON CONFLICT (graph_id, session, entity_id) DO UPDATE SET activation = excluded.activation,"
		" pinned = excluded.pinned, updated_at = excluded.updated_at", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},

	/* names: gone's own as well, even if it was an alias of another that an entity's name hid */
	{{INTO_UNDO "old, new) SELECT $1, $4, 'aliases', a.alias_id, 0, 'changed', pg_catalog.to_jsonb(a),"
		" pg_catalog.to_jsonb(a)" GM_CAT "pg_catalog.jsonb_build_object('entity_id', $2)"
		" FROM (SELECT a.* FROM graphmem.aliases a WHERE a.entity_id" GM_EQ "$3 UNION"
		" SELECT a.* FROM graphmem.entities e, LATERAL (SELECT * FROM graphmem.aliases a"
		" WHERE a.graph_id" GM_EQ "$4 AND graphmem.name_key(a.name)" GM_EQ "graphmem.name_key(e.name)"
		" OFFSET 0) a WHERE e.entity_id" GM_EQ "$3) a", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"UPDATE graphmem.aliases a SET entity_id = $2 FROM graphmem.merge_rows r WHERE r.merge_id" GM_EQ "$1"
		" AND r.relation" GM_EQ "'aliases' AND a.alias_id" GM_EQ "r.row_id", GM_MERGE_ARGS}, GM_MERGE_ALIASES},
	{{"WITH made AS (INSERT INTO graphmem.aliases AS a (graph_id, name, entity_id)"
		" SELECT $4, e.name, $2 FROM graphmem.entities e WHERE e.entity_id" GM_EQ "$3"
		" AND NOT EXISTS (SELECT FROM graphmem.aliases o WHERE o.graph_id" GM_EQ "$4"
		" AND graphmem.name_key(o.name)" GM_EQ "graphmem.name_key(e.name)) RETURNING a.*) "
		INTO_UNDO "new) SELECT $1, $4, 'aliases', m.alias_id, 0, 'added', pg_catalog.to_jsonb(m) FROM made m",
		GM_MERGE_ARGS}, GM_MERGE_ALIASES},

	/* the entities themselves */
	{{INTO_UNDO "old, new) SELECT $1, $4, 'entities', k.entity_id, 0, 'changed', pg_catalog.to_jsonb(k),"
		" pg_catalog.to_jsonb(k)" GM_CAT "pg_catalog.jsonb_build_object('kind', COALESCE(k.kind, g.kind),"
		" 'properties', g.properties" GM_CAT "k.properties) FROM graphmem.entities k, graphmem.entities g"
		" WHERE k.entity_id" GM_EQ "$2 AND g.entity_id" GM_EQ "$3 AND (k.kind IS NULL AND g.kind IS NOT NULL"
		" OR g.properties" GM_CAT "k.properties" GM_NE "k.properties) UNION ALL"
		" SELECT $1, $4, 'entities', g.entity_id, 0, 'removed', pg_catalog.to_jsonb(g), NULL"
		" FROM graphmem.entities g WHERE g.entity_id" GM_EQ "$3", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"UPDATE graphmem.entities e SET kind = n.kind, properties = n.properties FROM ("
		ALL_FROM("entities", "'{changed}'") " OFFSET 0) n WHERE e.entity_id" GM_EQ "n.entity_id",
		GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
	{{"DELETE FROM graphmem.entities WHERE entity_id" GM_EQ "$3", GM_MERGE_ARGS}, GM_MERGE_NOT_COUNTED},
};

static GmSql insert_alias = {
	"INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES ($1, $2, $3)"
	" ON CONFLICT (graph_id, graphmem.name_key(name)) DO NOTHING RETURNING alias_id",
	3, {INT4OID, TEXTOID, INT8OID}
};

static GmSql name_of = {
	"SELECT name FROM graphmem.entities WHERE entity_id" GM_EQ "$1", 1, {INT8OID}
};

static GmSql delete_alias = {
	"DELETE FROM graphmem.aliases WHERE graph_id" GM_EQ "$1"
	" AND graphmem.name_key(name)" GM_EQ "graphmem.name_key($2)",
	2, {INT4OID, TEXTOID}
};

/* ---- shared with unmerge.c ---- */

static void
set_digits(void)
{
	(void) set_config_option("extra_float_digits", "1", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

int
gm_merge_enter(void)
{
	int			level = gm_sql_enter();

	set_digits();
	return level;
}

/*
 * Planned for each merge, since that of an entity with one fact would ruin
 * that of a hub.  LATERAL and OFFSET 0 as in sql.h: nothing is known yet of
 * the undo rows.
 */
void
gm_merge_run(const GmMerge *merge, GmSql *sql)
{
	Datum		args[4] = {Int64GetDatum(merge->merge_id), Int64GetDatum(merge->keep),
	Int64GetDatum(merge->gone), Int32GetDatum(merge->graph_id)};
	MemoryContext caller = CurrentMemoryContext;
	volatile int code = 0;

	CHECK_FOR_INTERRUPTS();
	PG_TRY();
	{
		code = SPI_execute_with_args(sql->text, sql->nargs, sql->args, args, NULL, false, 0);
	}
	PG_CATCH();
	{
		gm_sql_report_overtaken(caller);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (code < 0)
		elog(ERROR, "could not run \"%s\": %s", sql->text, SPI_result_code_string(code));
}

void
gm_merge_steps(GmMerge *merge, GmMergeStep *step, int n)
{
	for (int i = 0; i < n; i++)
	{
		gm_merge_run(merge, &step[i].sql);
		if (step[i].counts != GM_MERGE_NOT_COUNTED)
			merge->counts[step[i].counts] += (int64) SPI_processed;
		gm_sql_done();
	}
}

int64
gm_merge_find(int32 graph_id, const text *name)
{
	Datum		args[2] = {Int32GetDatum(graph_id), PointerGetDatum(name)};
	int64		id;

	gm_sql_run(&find_entity, args, NULL);
	id = SPI_processed > 0 ? gm_sql_int8(0, 1) : 0;
	gm_sql_done();
	return id;
}

bool
gm_merge_lock(int64 a, int64 b)
{
	Datum		args[2] = {Int64GetDatum(a), Int64GetDatum(b)};
	bool		both;

	gm_sql_run(&lock_entities, args, NULL);
	both = SPI_processed == (uint64) (a != 0) + (b != 0);
	gm_sql_done();
	if (!both)
		return false;
	gm_sql_refuse_stale(&sum_versions, args, "facts about an entity");
	return true;
}

/* ---- arguments ---- */

static const char *
quoted(const text *value)
{
	return gm_error_quote(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static void
report_no_entity(int32 graph_id, const text *name)
{
	Datum		args[2] = {Int32GetDatum(graph_id), PointerGetDatum(name)};

	gm_sql_run(&find_literal, args, NULL);
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is a literal", quoted(name)),
				 errdetail("Literals are what they say; only entities have other names.")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("entity \"%s\" does not exist", quoted(name))));
}

static int64
find_or_report(int32 graph_id, const text *name)
{
	int64		id = gm_merge_find(graph_id, name);

	if (id == 0)
		report_no_entity(graph_id, name);
	return id;
}

/* ---- which facts become one ---- */

static FactEntry *
fact_entry(factset_hash *facts, int64 fact_id)
{
	return factset_lookup(facts, fact_id);
}

static FactEntry *
root_of(factset_hash *facts, int64 fact_id)
{
	FactEntry  *entry = fact_entry(facts, fact_id);

	while (entry->parent != entry->fact_id)
	{
		FactEntry  *parent = fact_entry(facts, entry->parent);

		entry->parent = parent->parent;
		entry = parent;
	}
	return entry;
}

/* A kept fact before one that was gone's, else the older. */
static bool
goes_before(const FactEntry *a, const FactEntry *b)
{
	if (a->kept != b->kept)
		return a->kept;
	return a->fact_id < b->fact_id;
}

static void
join(factset_hash *facts, int64 a, int64 b)
{
	FactEntry  *first = root_of(facts, a);
	FactEntry  *second = root_of(facts, b);

	if (first == second)
		return;
	if (goes_before(first, second))
		second->parent = first->fact_id;
	else
		first->parent = second->fact_id;
}

static void
add_fact(factset_hash *facts, const Member *member)
{
	bool		found;
	FactEntry  *entry = factset_insert(facts, member->fact_id, &found);

	if (!found)
	{
		entry->parent = member->fact_id;
		entry->kept = member->kept;
	}
}

static bool
several_origins(const Member *rows, int64 n)
{
	for (int64 i = 1; i < n; i++)
		if (rows[i].subject != rows[0].subject || rows[i].object != rows[0].object)
			return true;
	return false;
}

/*
 * The rows from start on are the group being read: keeps them if they are to
 * be one, else takes them back.
 */
static void
end_group(Members *members, int64 start)
{
	int64		n = members->n - start;

	if (!several_origins(members->rows + start, n))
	{
		members->n = start;
		return;
	}
	for (int64 i = start; i < members->n; i++)
		members->rows[i].group = members->groups;
	members->groups++;
}

static void
add_member(Members *members, const Member *row)
{
	if (members->n == members->room)
	{
		members->room = Max(members->room * 2, 256);
		members->rows = members->rows == NULL ?
			MemoryContextAllocHuge(CurrentMemoryContext, members->room * sizeof(Member)) :
			repalloc_huge(members->rows, members->room * sizeof(Member));
	}
	members->rows[members->n++] = *row;
}

static TimestampTz
time_at(uint64 row, int col)
{
	bool		isnull;

	return DatumGetTimestampTz(gm_sql_datum(row, col, &isnull));
}

static void
read_groups(const GmMerge *merge, Members *members)
{
	int64		key[3] = {0, 0, 0};
	TimestampTz end = 0;
	TimestampTz from = 0;
	TimestampTz expired = 0;
	int64		start = 0;

	gm_merge_run(merge, &find_contested);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Member		row = {0};
		bool		same = true;

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < 3; k++)
		{
			same = same && key[k] == gm_sql_int8(i, k + 1);
			key[k] = gm_sql_int8(i, k + 1);
		}
		row.subject = gm_sql_int8(i, 4);
		row.object = gm_sql_int8(i, 5);
		row.triple_id = gm_sql_int8(i, 6);
		row.fact_id = gm_sql_int8(i, 7);
		row.from = time_at(i, 8);
		row.to = time_at(i, 9);
		row.recorded = time_at(i, 10);
		row.expired = time_at(i, 11);
		row.kept = row.subject != merge->gone && row.object != merge->gone;
		if (!same || row.expired != expired ||
			(expired == DT_NOEND ? row.from > end : row.from != from))
		{
			end_group(members, start);
			start = members->n;
			end = row.to;
		}
		end = Max(end, row.to);
		from = row.from;
		expired = row.expired;
		add_member(members, &row);
	}
	end_group(members, start);
	gm_sql_done();
}

/* Of a group, the version that stays: one of the fact that the others become. */
static const Member *
survivor(factset_hash *facts, const Member *rows, int64 n)
{
	int64		root = root_of(facts, rows[0].fact_id)->fact_id;
	const Member *best = rows;

	for (int64 i = 1; i < n; i++)
	{
		bool		is_root = rows[i].fact_id == root;
		bool		best_root = best->fact_id == root;

		if (is_root != best_root ? is_root :
			rows[i].kept != best->kept ? rows[i].kept : rows[i].triple_id < best->triple_id)
			best = &rows[i];
	}
	return best;
}

typedef struct Batch
{
	Datum		columns[6][GM_SQL_BATCH_ROWS];
	int			n;
} Batch;

static void
flush_members(const GmMerge *merge, Batch *batch)
{
	static const Oid types[6] = {INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		args[10] = {Int64GetDatum(merge->merge_id), Int64GetDatum(merge->keep),
	Int64GetDatum(merge->gone), Int32GetDatum(merge->graph_id)};

	if (batch->n == 0)
		return;
	for (int i = 0; i < 6; i++)
		args[4 + i] = gm_sql_array(types[i], batch->columns[i], NULL, batch->n);
	gm_sql_run(&put_members, args, NULL);
	gm_sql_done();
	batch->n = 0;
}

static void
put_group(const GmMerge *merge, factset_hash *facts, const Member *rows, int64 n, Batch *batch)
{
	const Member *stays = survivor(facts, rows, n);
	TimestampTz from = rows[0].from;
	TimestampTz to = rows[0].to;
	TimestampTz recorded = rows[0].recorded;

	for (int64 i = 1; i < n; i++)
	{
		from = Min(from, rows[i].from);
		to = Max(to, rows[i].to);
		recorded = Min(recorded, rows[i].recorded);
	}
	for (int64 i = 0; i < n; i++)
	{
		int			at = batch->n++;

		batch->columns[0][at] = Int64GetDatum(rows[i].triple_id);
		batch->columns[1][at] = Int64GetDatum(stays->triple_id);
		batch->columns[2][at] = Int64GetDatum(root_of(facts, rows[i].fact_id)->fact_id);
		batch->columns[3][at] = TimestampTzGetDatum(from);
		batch->columns[4][at] = TimestampTzGetDatum(to);
		batch->columns[5][at] = TimestampTzGetDatum(recorded);
		if (batch->n == GM_SQL_BATCH_ROWS)
			flush_members(merge, batch);
	}
}

static void
flush_facts(const GmMerge *merge, Batch *batch)
{
	Datum		args[4] = {Int64GetDatum(merge->merge_id), Int32GetDatum(merge->graph_id)};

	if (batch->n == 0)
		return;
	args[2] = gm_sql_array(INT8OID, batch->columns[0], NULL, batch->n);
	args[3] = gm_sql_array(INT8OID, batch->columns[1], NULL, batch->n);
	gm_sql_run(&put_facts, args, NULL);
	gm_sql_done();
	batch->n = 0;
}

static void
put_joined_facts(GmMerge *merge, factset_hash *facts, Batch *batch)
{
	factset_iterator it;
	FactEntry  *entry;

	factset_start_iterate(facts, &it);
	while ((entry = factset_iterate(facts, &it)) != NULL)
	{
		if (entry->parent == entry->fact_id)
			continue;
		batch->columns[0][batch->n] = Int64GetDatum(entry->fact_id);
		batch->columns[1][batch->n++] = Int64GetDatum(root_of(facts, entry->fact_id)->fact_id);
		merge->counts[GM_MERGE_JOINED]++;
		if (batch->n == GM_SQL_BATCH_ROWS)
			flush_facts(merge, batch);
	}
	flush_facts(merge, batch);
}

/* Notes in merge_rows which facts become one, and which versions. */
static void
join_facts(GmMerge *merge)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "graphmem merge",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Members		members = {0};
	factset_hash *facts = factset_create(context, 32, NULL);
	Batch	   *batch = palloc_object(Batch);
	int64		next;

	batch->n = 0;
	read_groups(merge, &members);
	for (int64 i = 0; i < members.n; i++)
	{
		add_fact(facts, &members.rows[i]);
		if (i > 0 && members.rows[i].group == members.rows[i - 1].group)
			join(facts, members.rows[i - 1].fact_id, members.rows[i].fact_id);
	}
	put_joined_facts(merge, facts, batch);
	for (int64 i = 0; i < members.n; i = next)
	{
		for (next = i + 1; next < members.n && members.rows[next].group == members.rows[i].group;)
			next++;
		put_group(merge, facts, members.rows + i, next - i, batch);
	}
	flush_members(merge, batch);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---- merging ---- */

static void
refuse_rivals(const GmMerge *merge)
{
	gm_merge_run(merge, &find_rivals);
	if (SPI_processed > 0)
	{
		int64		ids[5];
		char	   *gone;
		char	   *kept;

		for (int i = 0; i < 5; i++)
			ids[i] = gm_sql_int8(0, i + 1);
		gone = gm_fact_describe(ids[0], ids[1], ids[2]);
		kept = gm_fact_describe(ids[3], ids[1], ids[4]);
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("entities have different objects of a functional predicate at the same time"),
				 errdetail("Stated are %s and %s.", kept, gone),
				 errhint("Supersede or retract one of them first.")));
	}
	gm_sql_done();
}

static void
merge_locked(GmMerge *merge)
{
	Datum		args[2] = {Int64GetDatum(merge->keep), Int64GetDatum(merge->gone)};

	refuse_rivals(merge);
	gm_sql_run(&insert_merge, args, NULL);
	if (SPI_processed != 1)
		elog(ERROR, "entity %lld is gone", (long long) merge->gone);
	merge->merge_id = gm_sql_int8(0, 1);
	gm_sql_done();
	join_facts(merge);
	gm_merge_steps(merge, steps, lengthof(steps));
}

/* All that a merge does, and then nothing of it. */
static void
merge_and_roll_back(GmMerge *merge)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		merge_locked(merge);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
		ReThrowError(error);
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
}

Datum
graphmem_merge_entities(PG_FUNCTION_ARGS)
{
	text	   *keep = gm_sql_required_text(fcinfo, 0, "name of the entity to keep");
	text	   *gone = gm_sql_required_text(fcinfo, 1, "name of the entity to merge into it");
	bool		dry_run = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	char	   *graph = gm_graph_name(PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3));
	Datum		values[1 + GM_MERGE_COUNTS];
	bool		nulls[1 + GM_MERGE_COUNTS] = {false};
	GmMerge		merge = {0};
	TupleDesc	desc;
	int			level;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "merge_entities must return a row");
	level = gm_merge_enter();
	merge.graph_id = gm_graph_find(graph);
	if (merge.graph_id != 0)
		gm_graph_lock(merge.graph_id, true);
	merge.keep = find_or_report(merge.graph_id, keep);
	merge.gone = find_or_report(merge.graph_id, gone);
	if (merge.keep == merge.gone)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot merge an entity with itself"),
				 errdetail("\"%s\" and \"%s\" are names of one entity.", quoted(keep), quoted(gone))));
	if (!gm_merge_lock(merge.keep, merge.gone))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("entity \"%s\" or \"%s\" does not exist any more", quoted(keep), quoted(gone))));
	if (dry_run)
		merge_and_roll_back(&merge);
	else
		merge_locked(&merge);
	gm_sql_leave(level);

	values[0] = Int64GetDatum(merge.merge_id);
	nulls[0] = dry_run;
	for (int i = 0; i < GM_MERGE_COUNTS; i++)
		values[1 + i] = Int64GetDatum(merge.counts[i]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- aliases ---- */

static char *
entity_name(int64 id)
{
	Datum		arg = Int64GetDatum(id);
	bool		isnull;
	char	   *name = "?";

	gm_sql_run(&name_of, &arg, NULL);
	if (SPI_processed > 0)
		name = pstrdup(quoted(DatumGetTextPP(gm_sql_datum(0, 1, &isnull))));
	gm_sql_done();
	return name;
}

/*
 * Writers of facts, entities and vectors hold the graph's other lock while they
 * resolve names and create entities, so that none of this name comes meanwhile.
 */
Datum
graphmem_add_alias(PG_FUNCTION_ARGS)
{
	text	   *entity = gm_sql_required_text(fcinfo, 0, "name of an entity");
	text	   *alias = gm_sql_required_text(fcinfo, 1, "alias of an entity");
	char	   *graph = gm_graph_name(PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2));
	int			level = gm_sql_enter();
	int32		graph_id = gm_graph_find(graph);
	Datum		args[3] = {Int32GetDatum(graph_id), PointerGetDatum(alias)};
	int64		id;
	int64		taken;

	if (graph_id != 0)
		gm_graph_lock(graph_id, true);
	id = find_or_report(graph_id, entity);
	taken = gm_merge_find(graph_id, alias);
	if (taken == 0 && IsolationUsesXactSnapshot())
	{
		gm_sql_read_latest(&find_entity, args, NULL);
		if (SPI_processed > 0)
			gm_names_report_taken();
		gm_sql_done();
	}
	if (taken == 0)
	{
		args[2] = Int64GetDatum(id);
		gm_sql_run(&insert_alias, args, NULL);
		if (SPI_processed > 0)
			id = gm_sql_int8(0, 1);
		else
			taken = -1;
		gm_sql_done();
	}
	if (taken != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("\"%s\" is a name already", quoted(alias)),
				 taken < 0 ? 0 : errdetail("It means the entity \"%s\".", entity_name(taken)),
				 errhint("Drop that alias, or merge the entities by graphmem.merge_entities().")));
	gm_sql_leave(level);
	PG_RETURN_INT64(id);
}

Datum
graphmem_drop_alias(PG_FUNCTION_ARGS)
{
	text	   *alias = gm_sql_required_text(fcinfo, 0, "alias of an entity");
	char	   *graph = gm_graph_name(PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1));
	int			level = gm_sql_enter();
	Datum		args[2] = {Int32GetDatum(gm_graph_find(graph)), PointerGetDatum(alias)};

	gm_sql_run(&delete_alias, args, NULL);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("alias \"%s\" does not exist", quoted(alias))));
	gm_sql_done();
	gm_sql_leave(level);
	PG_RETURN_VOID();
}

/* ---- duplicate_candidates ---- */

static float4
checked_float(FunctionCallInfo fcinfo, int n, const char *name, float4 standard, float4 max)
{
	float4		value = PG_ARGISNULL(n) ? standard : PG_GETARG_FLOAT4(n);

	if (!(value >= 0 && value <= max))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be between 0 and %.0f", name, max)));
	return value;
}

Datum
graphmem_check_duplicate_args(PG_FUNCTION_ARGS)
{
	static const char *const weights[] = {"name_weight", "vector_weight", "neighbor_weight"};
	static const float4 standard[] = {1, 0.5, 0.5};
	float4		sum = 0;

	if (!PG_ARGISNULL(0) && PG_GETARG_INT32(0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"match_count\" must not be negative")));
	(void) checked_float(fcinfo, 1, "min_score", 0.5, 1);
	for (int i = 0; i < lengthof(weights); i++)
		sum += checked_float(fcinfo, 2 + i, weights[i], standard[i], 1000000);
	if (sum == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("one of \"name_weight\", \"vector_weight\" and \"neighbor_weight\" must be positive")));
	PG_RETURN_BOOL(true);
}
