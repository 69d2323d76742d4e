/*-------------------------------------------------------------------------
 *
 * integrity.c
 *	  Set-based referential integrity of graphmem's tables.
 *
 * The guarantees of foreign keys at every isolation level, checked once per
 * statement and distinct id rather than once per row and column.  Beyond a
 * foreign key, what a row refers to must belong to the row's graph, a fact is
 * referred to although it has several rows, and what an embedding refers to
 * depends on its space.
 *
 * Terms
 *	 child		table with a column that refers to a parent
 *	 parent		table referred to, by the columns of parents[]
 *	 gone		a parent that was deleted; a fact is gone with its last row
 *
 * Child side: AFTER INSERT and AFTER UPDATE statement triggers read the
 * transition table, collect the distinct (id, graph) per parent, and lock the
 * rows found FOR KEY SHARE in the order of parents[] and ids.  All state lives
 * in the trigger call, so that nesting, savepoints and errors need no care.
 *
 * Parent side: AFTER DELETE statement triggers collect the ids that are gone,
 * look for children with a snapshot taken after the deletion, and refuse or
 * delete them.  AFTER TRUNCATE triggers refuse while a child has rows.
 * Ids and graphs of parents never change (AFTER UPDATE row triggers), which is
 * why a lock FOR KEY SHARE, which lets other updates pass, also holds the
 * graph.
 *
 * Concurrency	as ri_triggers.c: a child's check and its parent's deletion
 *				meet at the parent row's lock; whoever comes second sees the
 *				other's rows, by a fresh snapshot, or raises 40001 where the
 *				snapshot is fixed.  A row that this transaction wrote needs no
 *				lock: nobody else can delete it before the transaction ends.
 *				Who deletes a row of a fact locks another row of the same fact
 *				FOR KEY SHARE or finds the fact gone, so two sessions cannot
 *				each leave the last row to the other.
 * Memory		GM_INTEGRITY_BATCH ids per parent, about 20 MB; the transition
 *				tables spill to disk beyond work_mem
 * Restoring	pg_dump orders the data of an extension's tables by declared
 *				foreign keys and else by name, children first; see restoring()
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "core/space.h"
#include "integrity.h"

/* Distinct ids per parent after which what was collected is checked. */
#define GM_INTEGRITY_BATCH 400000

#define MAX_COLUMNS 8

/* Locks are taken in this order. */
typedef enum Parent
{
	GRAPH = 0,
	SPACE,
	ENTITY,
	PREDICATE,
	FACT,
	SOURCE,
	MERGE,
	PARENT_COUNT,
	BY_SPACE					/* whatever the row's space is about */
} Parent;

typedef struct ParentTable
{
	const char *table;
	const char *column;
	const char *index;
} ParentTable;

static const ParentTable parents[PARENT_COUNT] = {
	[GRAPH] = {"graphs", "graph_id", "graphs_pkey"},
	[SPACE] = {"vector_spaces", "space_id", "vector_spaces_pkey"},
	[ENTITY] = {"entities", "entity_id", "entities_pkey"},
	[PREDICATE] = {"predicates", "predicate_id", "predicates_pkey"},
	[FACT] = {"triples", "fact_id", "triples_fact"},
	[SOURCE] = {"sources", "source_id", "sources_pkey"},
	[MERGE] = {"merges", "merge_id", "merges_pkey"},
};

typedef struct Reference
{
	const char *table;
	const char *column;
	Parent		parent;
} Reference;

static const Reference references[] = {
	{"entities", "graph_id", GRAPH},
	{"triples", "graph_id", GRAPH},
	{"predicates", "graph_id", GRAPH},
	{"sources", "graph_id", GRAPH},
	{"merges", "graph_id", GRAPH},
	{"merge_rows", "graph_id", GRAPH},
	{"merge_rows", "merge_id", MERGE},
	{"supersessions", "graph_id", GRAPH},
	{"vector_spaces", "graph_id", GRAPH},
	{"triples", "subject_id", ENTITY},
	{"triples", "object_id", ENTITY},
	{"triples", "predicate_id", PREDICATE},
	{"assertions", "graph_id", GRAPH},
	{"assertions", "fact_id", FACT},
	{"assertions", "source_id", SOURCE},
	{"supersessions", "old_fact_id", FACT},
	{"supersessions", "new_fact_id", FACT},
	{"aliases", "graph_id", GRAPH},
	{"aliases", "entity_id", ENTITY},
	{"functional_keys", "graph_id", GRAPH},
	{"functional_keys", "subject_id", ENTITY},
	{"functional_keys", "predicate_id", PREDICATE},
	{"accesses", "graph_id", GRAPH},
	{"accesses", "entity_id", ENTITY},
	{"activations", "graph_id", GRAPH},
	{"activations", "entity_id", ENTITY},
	{"embeddings", "graph_id", GRAPH},
	{"embeddings", "space_id", SPACE},
	{"embeddings", "item_id", BY_SPACE},
	{"topology_vectors", "graph_id", GRAPH},
	{"topology_vectors", "space_id", SPACE},
	{"topology_vectors", "entity_id", BY_SPACE},
};

#define ITEMS_OF(target) \
	"m.space_id OPERATOR(pg_catalog.=) ANY (ARRAY(" \
	"SELECT v.space_id FROM ONLY graphmem.vector_spaces v " \
	"WHERE v.target OPERATOR(pg_catalog.=) '" target "' " \
	"AND v.graph_id OPERATOR(pg_catalog.=) ANY ($2)))"
#define IN_IDS " OPERATOR(pg_catalog.=) ANY ($1)"
#define IN_GRAPHS " OPERATOR(pg_catalog.=) ANY ($2)"

/*
 * What happens to the children of parents that are gone: $1 bigint[] their
 * ids, $2 int[] their graphs.  A statement that selects yields the first id
 * still referred to, and refuses; the others delete.
 */
typedef struct Action
{
	Parent		parent;
	const char *child;
	const char *column;
	bool		refuse;
	const char *sql;
} Action;

#define REFUSE(parent, child, column, graphs) \
	{parent, child, column, true, \
	"SELECT m." column "::bigint FROM ONLY graphmem." child " m WHERE m." column IN_IDS graphs \
	" LIMIT 1 FOR KEY SHARE OF m"}
#define CASCADE(parent, child, condition) \
	{parent, child, NULL, false, "DELETE FROM ONLY graphmem." child " m WHERE " condition}

static const Action actions[] = {
	REFUSE(GRAPH, "triples", "graph_id", ""),
	REFUSE(GRAPH, "entities", "graph_id", ""),
	REFUSE(ENTITY, "triples", "subject_id", ""),
	REFUSE(ENTITY, "triples", "object_id", ""),
	REFUSE(PREDICATE, "triples", "predicate_id", ""),
	REFUSE(SOURCE, "assertions", "source_id", " AND m.graph_id" IN_GRAPHS),
	CASCADE(GRAPH, "supersessions", "m.graph_id" IN_IDS),
	CASCADE(GRAPH, "merges", "m.graph_id" IN_IDS),
	CASCADE(GRAPH, "vector_spaces", "m.graph_id" IN_IDS),
	CASCADE(GRAPH, "sources", "m.graph_id" IN_IDS),
	CASCADE(GRAPH, "predicates", "m.graph_id" IN_IDS),
	CASCADE(SPACE, "embeddings", "m.space_id" IN_IDS),
	CASCADE(SPACE, "topology_vectors", "m.space_id" IN_IDS),
	CASCADE(ENTITY, "aliases", "m.entity_id" IN_IDS),
	CASCADE(ENTITY, "functional_keys", "m.subject_id" IN_IDS),
	CASCADE(ENTITY, "accesses", "m.entity_id" IN_IDS),
	CASCADE(ENTITY, "activations", "m.entity_id" IN_IDS " AND m.graph_id" IN_GRAPHS),
	CASCADE(ENTITY, "topology_vectors", "m.entity_id" IN_IDS),
	CASCADE(ENTITY, "embeddings", "m.item_id" IN_IDS " AND " ITEMS_OF("entity")),
	CASCADE(PREDICATE, "functional_keys", "m.predicate_id" IN_IDS),
	CASCADE(FACT, "assertions", "m.fact_id" IN_IDS),
	CASCADE(FACT, "supersessions", "m.old_fact_id" IN_IDS " OR m.new_fact_id" IN_IDS),
	CASCADE(FACT, "embeddings", "m.item_id" IN_IDS " AND " ITEMS_OF("fact")),
	CASCADE(MERGE, "merge_rows", "m.merge_id" IN_IDS),
	CASCADE(SOURCE, "embeddings", "m.item_id" IN_IDS " AND " ITEMS_OF("source")),
};

static SPIPlanPtr action_plans[lengthof(actions)];

/* A set of references; equal by id and graph. */
typedef struct RefKey
{
	int64		id;
	int32		graph;
	AttrNumber	column;			/* of the child, where first met */
} RefKey;

typedef struct RefEntry
{
	RefKey		key;
	char		status;
} RefEntry;

#define SH_PREFIX refset
#define SH_ELEMENT_TYPE RefEntry
#define SH_KEY_TYPE RefKey
#define SH_KEY key
#define SH_HASH_KEY(tb, k) \
	murmurhash32((uint32) (k).id + 31 * (uint32) ((k).id >> 32) + 0x9e3779b9 * (uint32) (k).graph)
#define SH_EQUAL(tb, a, b) ((a).id == (b).id && (a).graph == (b).graph)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* An open parent table, for looking up and locking rows by id. */
typedef struct ParentScan
{
	Relation	rel;
	Oid			index;
	AttrNumber	key_attno;
	AttrNumber	graph_attno;
	TupleTableSlot *slot;
} ParentScan;

typedef struct Space
{
	int32		id;
	int32		graph;
	Parent		target;
	int32		dim;
	bool		cosine;
	bool		computed;
	char	   *name;
} Space;

/* One referring column of a child. */
typedef struct Column
{
	const Reference *ref;
	AttrNumber	attno;
	bool		narrow;			/* int rather than bigint */
} Column;

/* One statement's check of a child. */
typedef struct ChildCheck
{
	Relation	rel;
	int			column_count;
	Column		columns[MAX_COLUMNS];
	AttrNumber	graph_attno;
	AttrNumber	fact_attno;		/* 0 unless the child is triples */
	AttrNumber	vector_attno;	/* 0 unless the child is embeddings or topology_vectors */
	bool		computed;		/* it is topology_vectors */
	refset_hash *refs[PARENT_COUNT];
	refset_hash *left;			/* facts that updated rows left */
	List	   *spaces;
} ChildCheck;

/* by id; while what they had goes along */
static const RefKey *gone_spaces;
static uint32 gone_space_count;

static bool drop_active = false;
static int32 drop_graph_id;

PG_FUNCTION_INFO_V1(graphmem_check_references);
PG_FUNCTION_INFO_V1(graphmem_enforce_references);
PG_FUNCTION_INFO_V1(graphmem_refuse_change);

/*
 * A dump is restored by the tables' owner (or a superuser), with the settings
 * that pg_dump and pg_restore put at the head of every session.  The owner may
 * disable triggers anyway; what was consistent when dumped is so restored.
 */
static bool
restoring(Relation rel)
{
	return !check_function_bodies && !row_security &&
		namespace_search_path != NULL && namespace_search_path[0] == '\0' &&
		has_privs_of_role(GetUserId(), rel->rd_rel->relowner);
}

static AttrNumber
attribute(Relation rel, const char *name)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), name);

	if (attno == InvalidAttrNumber)
		elog(ERROR, "table \"%s\" has no column \"%s\"", RelationGetRelationName(rel), name);
	return attno;
}

static bool
is_narrow(Relation rel, AttrNumber attno)
{
	return TupleDescAttr(RelationGetDescr(rel), attno - 1)->atttypid == INT4OID;
}

static int64
id_of(Datum value, bool narrow)
{
	return narrow ? DatumGetInt32(value) : DatumGetInt64(value);
}

static refset_hash *
new_refset(void)
{
	return refset_create(CurrentMemoryContext, 32, NULL);
}

static void
add_ref(refset_hash *set, int64 id, int32 graph, AttrNumber column)
{
	RefKey		key = {id, graph, column};
	bool		found;

	(void) refset_insert(set, key, &found);
}

static int
compare_refs(const void *a, const void *b)
{
	const RefKey *x = a;
	const RefKey *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->graph > y->graph) - (x->graph < y->graph);
}

/* The set's members by id; the set is emptied. */
static RefKey *
take_sorted(refset_hash *set, uint32 *count)
{
	RefKey	   *keys = MemoryContextAllocHuge(CurrentMemoryContext,
											  Max(set->members, 1) * sizeof(RefKey));
	refset_iterator it;
	RefEntry   *entry;
	uint32		n = 0;

	refset_start_iterate(set, &it);
	while ((entry = refset_iterate(set, &it)) != NULL)
		keys[n++] = entry->key;
	refset_reset(set);
	qsort(keys, n, sizeof(RefKey), compare_refs);
	*count = n;
	return keys;
}

/*
 * Snapshots
 */

static void
push_snapshot(bool latest)
{
	CommandCounterIncrement();
	PushActiveSnapshot(latest && IsolationUsesXactSnapshot() ?
					   GetLatestSnapshot() : GetTransactionSnapshot());
}

int
gm_integrity_execute(SPIPlanPtr plan, Datum *values, long limit)
{
	Snapshot	test = InvalidSnapshot;
	Snapshot	crosscheck = InvalidSnapshot;

	if (IsolationUsesXactSnapshot())
	{
		CommandCounterIncrement();
		test = GetLatestSnapshot();
		crosscheck = GetTransactionSnapshot();
	}
	return SPI_execute_snapshot(plan, values, NULL, test, crosscheck, false, true, limit);
}

/*
 * Parents' rows
 */

static void
open_parent(ParentScan *scan, Oid namespace, Parent parent)
{
	Oid			relid = get_relname_relid(parents[parent].table, namespace);

	if (!OidIsValid(relid))
		elog(ERROR, "table \"%s\" does not exist", parents[parent].table);
	scan->rel = table_open(relid, RowShareLock);
	scan->index = get_relname_relid(parents[parent].index, namespace);
	scan->key_attno = attribute(scan->rel, parents[parent].column);
	scan->graph_attno = attribute(scan->rel, "graph_id");
	scan->slot = table_slot_create(scan->rel, NULL);
}

/* The table's lock is kept: it makes TRUNCATE wait. */
static void
close_parent(ParentScan *scan)
{
	ExecDropSingleTupleTableSlot(scan->slot);
	table_close(scan->rel, NoLock);
}

/* True if the row of the slot is locked; false if it is gone. */
static bool
lock_row(ParentScan *scan, ItemPointer tid, LockTupleMode mode)
{
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	TM_FailureData failure;
	TM_Result	result;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	result = table_tuple_lock(scan->rel, tid, GetActiveSnapshot(), scan->slot,
							  GetCurrentCommandId(true), mode, LockWaitBlock,
							  flags, &failure);
	switch (result)
	{
		case TM_Ok:
			return true;
		case TM_SelfModified:
			return false;
		case TM_Updated:
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				ereport(ERROR,
						(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						 errmsg("could not serialize access due to concurrent %s",
								result == TM_Updated ? "update" : "delete")));
			return false;
		default:
			elog(ERROR, "unexpected result %d of locking a row of \"%s\"",
				 (int) result, RelationGetRelationName(scan->rel));
	}
	return false;
}

/*
 * Finds a row with the id, as the active snapshot shows it, and makes sure
 * that it stays until the transaction ends.  The row is left in the slot.
 */
static bool
hold_row(ParentScan *scan, int64 id, LockTupleMode mode)
{
	bool		narrow = is_narrow(scan->rel, scan->key_attno);
	bool		held = false;
	ScanKeyData key;
	SysScanDesc rows;
	HeapTuple	tuple;

	ScanKeyInit(&key, scan->key_attno, BTEqualStrategyNumber,
				narrow ? F_INT4EQ : F_INT8EQ,
				narrow ? Int32GetDatum((int32) id) : Int64GetDatum(id));
	rows = systable_beginscan(scan->rel, scan->index, OidIsValid(scan->index),
							  GetActiveSnapshot(), 1, &key);
	while (!held && (tuple = systable_getnext(rows)) != NULL)
	{
		bool		isnull;

		if (mode == LockTupleKeyShare &&
			TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
		{
			ExecForceStoreHeapTuple(tuple, scan->slot, false);
			held = true;
		}
		else
			held = lock_row(scan, &tuple->t_self, mode) &&
				id_of(slot_getattr(scan->slot, scan->key_attno, &isnull), narrow) == id;
	}
	systable_endscan(rows);
	return held;
}

static int32
held_graph(ParentScan *scan)
{
	bool		isnull;

	return DatumGetInt32(slot_getattr(scan->slot, scan->graph_attno, &isnull));
}

bool
gm_integrity_lock_graph(int32 graph_id)
{
	ParentScan	scan;
	bool		held;

	open_parent(&scan, get_namespace_oid("graphmem", false), GRAPH);
	push_snapshot(true);
	held = hold_row(&scan, graph_id, LockTupleExclusive);
	PopActiveSnapshot();
	close_parent(&scan);
	return held;
}

void
gm_integrity_begin_drop(int32 graph_id)
{
	if (drop_active)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a graph is being dropped by this session already")));
	drop_active = true;
	drop_graph_id = graph_id;
}

void
gm_integrity_end_drop(void)
{
	drop_active = false;
}

static bool
is_dropped(int32 graph)
{
	return drop_active && graph == drop_graph_id;
}

/*
 * Child side
 */

static void
report_missing(ChildCheck *check, Parent parent, const RefKey *key)
{
	TupleDesc	desc = RelationGetDescr(check->rel);

	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
			 errmsg("insert or update on table \"%s\" violates the reference of column \"%s\" to table \"%s\"",
					RelationGetRelationName(check->rel),
					NameStr(TupleDescAttr(desc, key->column - 1)->attname), parents[parent].table),
			 errdetail("Key (%s)=(%lld) is not present in table \"%s\".",
					   NameStr(TupleDescAttr(desc, key->column - 1)->attname),
					   (long long) key->id, parents[parent].table),
			 errtablecol(check->rel, key->column)));
}

static void
report_other_graph(ChildCheck *check, Parent parent, const RefKey *key, int32 graph)
{
	TupleDesc	desc = RelationGetDescr(check->rel);

	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
			 errmsg("insert or update on table \"%s\" refers to another graph by column \"%s\"",
					RelationGetRelationName(check->rel),
					NameStr(TupleDescAttr(desc, key->column - 1)->attname)),
			 errdetail("Key (%s)=(%lld) of table \"%s\" belongs to graph %d, the row to graph %d.",
					   NameStr(TupleDescAttr(desc, key->column - 1)->attname),
					   (long long) key->id, parents[parent].table, (int) graph, (int) key->graph),
			 errtablecol(check->rel, key->column)));
}

/* Checks what was collected for one parent, and forgets it. */
static void
check_parent(ChildCheck *check, Parent parent)
{
	RefKey	   *keys;
	uint32		count;
	ParentScan	scan;

	if (check->refs[parent] == NULL || check->refs[parent]->members == 0)
		return;
	keys = take_sorted(check->refs[parent], &count);
	open_parent(&scan, RelationGetNamespace(check->rel), parent);
	push_snapshot(false);
	for (uint32 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_dropped(keys[i].graph) || !hold_row(&scan, keys[i].id, LockTupleKeyShare))
			report_missing(check, parent, &keys[i]);
		if (held_graph(&scan) != keys[i].graph)
			report_other_graph(check, parent, &keys[i], held_graph(&scan));
	}
	PopActiveSnapshot();
	close_parent(&scan);
	pfree(keys);
}

static Space *
read_space(ParentScan *scan, int32 id)
{
	Space	   *space = palloc(sizeof(Space));
	bool		isnull;
	char	   *target;
	char	   *metric;
	char	   *origin;

	origin = TextDatumGetCString(slot_getattr(scan->slot, attribute(scan->rel, "origin"), &isnull));
	target = TextDatumGetCString(slot_getattr(scan->slot, attribute(scan->rel, "target"), &isnull));
	metric = TextDatumGetCString(slot_getattr(scan->slot, attribute(scan->rel, "metric"), &isnull));
	space->id = id;
	space->graph = held_graph(scan);
	space->target = strcmp(target, "entity") == 0 ? ENTITY :
		strcmp(target, "fact") == 0 ? FACT : SOURCE;
	space->dim = DatumGetInt32(slot_getattr(scan->slot, attribute(scan->rel, "dim"), &isnull));
	space->cosine = strcmp(metric, "cosine") == 0;
	space->computed = strcmp(origin, "topology") == 0;
	space->name = TextDatumGetCString(slot_getattr(scan->slot, attribute(scan->rel, "name"), &isnull));
	return space;
}

/* The row's space, locked when first met. */
static Space *
space_of(ChildCheck *check, int32 id, AttrNumber column)
{
	ParentScan	scan;
	Space	   *space;
	ListCell   *lc;

	foreach(lc, check->spaces)
	{
		space = lfirst(lc);
		if (space->id == id)
			return space;
	}
	open_parent(&scan, RelationGetNamespace(check->rel), SPACE);
	push_snapshot(false);
	if (!hold_row(&scan, id, LockTupleKeyShare))
	{
		RefKey		key = {id, 0, column};

		report_missing(check, SPACE, &key);
	}
	space = read_space(&scan, id);
	PopActiveSnapshot();
	close_parent(&scan);
	check->spaces = lcons(space, check->spaces);
	return space;
}

static void
report_other_origin(const Space *space)
{
	if (space->computed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("vectors of space \"%s\" are computed and cannot be written", space->name)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("vectors of space \"%s\" are not computed", space->name),
			 errhint("They belong into table \"embeddings\".")));
}

static void
check_vector(const Space *space, int64 item, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	const float4 *x = (const float4 *) ARR_DATA_PTR(array);
	double		sum = 0;

	if (ARR_NDIM(array) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("embedding of item %lld is no vector of space \"%s\"", (long long) item, space->name),
				 errdetail("The array has %d dimensions of subscripts, a vector has one.", ARR_NDIM(array))));
	if (ARR_DIMS(array)[0] != space->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("embedding of item %lld has another dimension than space \"%s\"", (long long) item, space->name),
				 errdetail("The embedding has %d elements, the space has dimension %d.",
						   ARR_DIMS(array)[0], (int) space->dim)));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
	{
		int			i = 0;

		while (ARR_NULLBITMAP(array)[i / 8] & (1 << (i % 8)))
			i++;
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("embedding of item %lld in space \"%s\" contains NULL", (long long) item, space->name),
				 errdetail("Element %d is NULL.", i + 1)));
	}
	for (int i = 0; i < space->dim; i++)
	{
		if (!isfinite(x[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("embedding of item %lld in space \"%s\" contains a value that is not finite",
							(long long) item, space->name),
					 errdetail("Element %d is %s.", i + 1,
							   isnan(x[i]) ? "NaN" : x[i] > 0 ? "Infinity" : "-Infinity")));
		sum += (double) x[i] * x[i];
	}
	if (sum > GM_SPACE_MOST_STORED)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("embedding of item %lld in space \"%s\" is too long", (long long) item, space->name),
				 errdetail("Its length is %g; the limit is %g.", sqrt(sum), sqrt(GM_SPACE_MOST_STORED))));
	if (sum < GM_SPACE_LEAST_STORED && space->cosine)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("embedding of item %lld in space \"%s\" has no direction", (long long) item, space->name),
				 errdetail("Its length is %g; distances of metric \"cosine\" need a direction.", sqrt(sum))));
	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
}

static void
prepare_check(ChildCheck *check, Relation rel)
{
	memset(check, 0, sizeof(*check));
	check->rel = rel;
	for (size_t i = 0; i < lengthof(references); i++)
	{
		Column	   *column;

		if (strcmp(references[i].table, RelationGetRelationName(rel)) != 0)
			continue;
		Assert(check->column_count < MAX_COLUMNS);
		column = &check->columns[check->column_count++];
		column->ref = &references[i];
		column->attno = attribute(rel, references[i].column);
		column->narrow = is_narrow(rel, column->attno);
	}
	if (check->column_count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("table \"%s\" has no references to check",
						RelationGetRelationName(rel))));
	check->graph_attno = attribute(rel, "graph_id");
	check->computed = strcmp(RelationGetRelationName(rel), "topology_vectors") == 0;
	if (strcmp(RelationGetRelationName(rel), "triples") == 0)
		check->fact_attno = attribute(rel, "fact_id");
	if (check->computed || strcmp(RelationGetRelationName(rel), "embeddings") == 0)
		check->vector_attno = attribute(rel, "embedding");
}

static void
collect(ChildCheck *check, Parent parent, int64 id, int32 graph, AttrNumber column)
{
	refset_hash *set = check->refs[parent];

	if (set == NULL)
		set = check->refs[parent] = new_refset();
	add_ref(set, id, graph, column);
	if (set->members >= GM_INTEGRITY_BATCH)
	{
		for (int i = 0; i < PARENT_COUNT; i++)
			check_parent(check, i);
	}
}

static void
collect_row(ChildCheck *check, TupleTableSlot *slot)
{
	Space	   *space = NULL;
	int32		graph;

	slot_getallattrs(slot);
	graph = DatumGetInt32(slot->tts_values[check->graph_attno - 1]);
	for (int i = 0; i < check->column_count; i++)
	{
		Column	   *column = &check->columns[i];
		Parent		parent = column->ref->parent;
		int64		id;

		if (slot->tts_isnull[column->attno - 1])
			continue;
		id = id_of(slot->tts_values[column->attno - 1], column->narrow);
		if (parent == SPACE)
		{
			RefKey		key = {id, graph, column->attno};

			space = space_of(check, (int32) id, column->attno);
			if (space->graph != graph)
				report_other_graph(check, SPACE, &key, space->graph);
			if (space->computed != check->computed)
				report_other_origin(space);
			continue;
		}
		if (parent == BY_SPACE)
		{
			parent = space->target;
			if (!check->computed || !slot->tts_isnull[check->vector_attno - 1])
				check_vector(space, id, slot->tts_values[check->vector_attno - 1]);
		}
		collect(check, parent, id, graph, column->attno);
	}
}

/* True if no referring column and no vector differs. */
static bool
same_references(ChildCheck *check, TupleTableSlot *old, TupleTableSlot *new)
{
	slot_getallattrs(old);
	slot_getallattrs(new);
	for (int i = 0; i < check->column_count; i++)
	{
		int			a = check->columns[i].attno - 1;

		if (old->tts_isnull[a] != new->tts_isnull[a] ||
			(!old->tts_isnull[a] && old->tts_values[a] != new->tts_values[a]))
			return false;
	}
	if (old->tts_values[check->graph_attno - 1] != new->tts_values[check->graph_attno - 1])
		return false;
	if (check->vector_attno == InvalidAttrNumber)
		return true;
	if (old->tts_isnull[check->vector_attno - 1] || new->tts_isnull[check->vector_attno - 1])
		return old->tts_isnull[check->vector_attno - 1] && new->tts_isnull[check->vector_attno - 1];
	return datumIsEqual(old->tts_values[check->vector_attno - 1],
						new->tts_values[check->vector_attno - 1], false, -1);
}

/* Our own read pointer: other triggers read the same transition table. */
static void
start_reading(Tuplestorestate *rows)
{
	int			pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(rows, pointer);
	tuplestore_rescan(rows);
}

static bool
next_row(Tuplestorestate *rows, TupleTableSlot *slot)
{
	return tuplestore_gettupleslot(rows, true, false, slot);
}

/*
 * Parent side
 */

static Datum
array_of(const RefKey *keys, uint32 count, bool graphs)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(count, 1));
	ArrayType  *array;
	int			n = 0;

	for (uint32 i = 0; i < count; i++)
	{
		if (!graphs)
			values[n++] = Int64GetDatum(keys[i].id);
		else
		{
			bool		known = false;

			for (int j = 0; j < n && !known; j++)
				known = DatumGetInt32(values[j]) == keys[i].graph;
			if (!known)
				values[n++] = Int32GetDatum(keys[i].graph);
		}
	}
	array = graphs ?
		construct_array(values, n, INT4OID, sizeof(int32), true, TYPALIGN_INT) :
		construct_array(values, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	pfree(values);
	return PointerGetDatum(array);
}

static SPIPlanPtr
action_plan(size_t i)
{
	Oid			types[2] = {INT8ARRAYOID, INT4ARRAYOID};

	if (action_plans[i] == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(actions[i].sql, 2, types, CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", actions[i].sql,
				 SPI_result_code_string(SPI_result));
		action_plans[i] = plan;
	}
	return action_plans[i];
}

static void
report_referenced(Relation rel, Parent parent, const Action *action, int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
			 errmsg("delete on table \"%s\" violates the reference of column \"%s\" of table \"%s\"",
					RelationGetRelationName(rel), action->column, action->child),
			 errdetail("Key (%s)=(%lld) is still referenced from table \"%s\".",
					   parents[parent].column, (long long) id, action->child),
			 errtable(rel)));
}

bool
gm_integrity_space_goes(int32 space_id)
{
	uint32		lo = 0;
	uint32		hi = gone_space_count;

	while (lo < hi)
	{
		uint32		middle = lo + (hi - lo) / 2;

		if (gone_spaces[middle].id < space_id)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo < gone_space_count && gone_spaces[lo].id == space_id;
}

/* An action on what spaces had, which are gone by id. */
static int
execute_with_spaces(SPIPlanPtr plan, Datum *values, const RefKey *keys, uint32 count)
{
	const RefKey *outer = gone_spaces;
	uint32		outer_count = gone_space_count;
	int			result;

	gone_spaces = keys;
	gone_space_count = count;
	PG_TRY();
	{
		result = gm_integrity_execute(plan, values, 0);
	}
	PG_FINALLY();
	{
		gone_spaces = outer;
		gone_space_count = outer_count;
	}
	PG_END_TRY();
	return result;
}

/* Refuses or removes the children of what is gone. */
static void
act_on_children(Relation rel, Parent parent, const RefKey *keys, uint32 count)
{
	Datum		values[2];
	Oid			user;
	int			context;

	if (count == 0)
		return;
	values[0] = array_of(keys, count, false);
	values[1] = array_of(keys, count, true);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(rel->rd_rel->relowner,
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (size_t i = 0; i < lengthof(actions); i++)
	{
		int			result;

		if (actions[i].parent != parent)
			continue;
		result = parent == SPACE ? execute_with_spaces(action_plan(i), values, keys, count) :
			gm_integrity_execute(action_plan(i), values, 0);
		if (result != (actions[i].refuse ? SPI_OK_SELECT : SPI_OK_DELETE))
			elog(ERROR, "\"%s\" returned %s", actions[i].sql, SPI_result_code_string(result));
		if (actions[i].refuse && SPI_processed > 0)
		{
			bool		isnull;

			report_referenced(rel, parent, &actions[i],
							  DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
														  SPI_tuptable->tupdesc, 1, &isnull)));
		}
	}
	SPI_finish();
	SetUserIdAndSecContext(user, context);
}

/* Leaves in keys those facts that have no row any more. */
static uint32
keep_gone_facts(Relation rel, RefKey *keys, uint32 count)
{
	ParentScan	scan;
	uint32		n = 0;

	open_parent(&scan, RelationGetNamespace(rel), FACT);
	push_snapshot(true);
	for (uint32 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!hold_row(&scan, keys[i].id, LockTupleKeyShare))
			keys[n++] = keys[i];
	}
	PopActiveSnapshot();
	close_parent(&scan);
	return n;
}

static void
enforce(Relation rel, Parent parent, refset_hash *gone)
{
	uint32		count;
	RefKey	   *keys = take_sorted(gone, &count);

	if (parent == FACT)
		count = keep_gone_facts(rel, keys, count);
	act_on_children(rel, parent, keys, count);
	pfree(keys);
}

static Parent
parent_of(Relation rel)
{
	for (int i = 0; i < PARENT_COUNT; i++)
	{
		if (strcmp(parents[i].table, RelationGetRelationName(rel)) == 0)
			return (Parent) i;
	}
	elog(ERROR, "table \"%s\" is no parent", RelationGetRelationName(rel));
	return PARENT_COUNT;
}

static void
enforce_delete(TriggerData *trigger)
{
	Relation	rel = trigger->tg_relation;
	Parent		parent = parent_of(rel);
	AttrNumber	key_attno = attribute(rel, parents[parent].column);
	AttrNumber	graph_attno = attribute(rel, "graph_id");
	bool		narrow = is_narrow(rel, key_attno);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	refset_hash *gone = new_refset();

	start_reading(trigger->tg_oldtable);
	while (next_row(trigger->tg_oldtable, slot))
	{
		bool		isnull;
		int32		graph = DatumGetInt32(slot_getattr(slot, graph_attno, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (parent != GRAPH && parent != SPACE && is_dropped(graph))
			continue;
		add_ref(gone, id_of(slot_getattr(slot, key_attno, &isnull), narrow), graph, key_attno);
		if (gone->members >= GM_INTEGRITY_BATCH)
			enforce(rel, parent, gone);
	}
	if (gone->members > 0)
		enforce(rel, parent, gone);
	ExecDropSingleTupleTableSlot(slot);
}

/* TRUNCATE gives no rows: any child refuses. */
static void
enforce_truncate(Relation rel)
{
	Parent		parent = parent_of(rel);
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(rel->rd_rel->relowner,
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (size_t i = 0; i < lengthof(references); i++)
	{
		const Reference *ref = &references[i];
		const char *condition = "";
		SPIPlanPtr	plan;

		if (ref->parent == BY_SPACE && parent >= ENTITY &&
			parent != PREDICATE && parent != MERGE)
			condition = strcmp(ref->table, "topology_vectors") == 0 ?
				(parent == ENTITY ? "" : " WHERE false") :
				psprintf(" WHERE m.space_id OPERATOR(pg_catalog.=) ANY (ARRAY("
						 "SELECT v.space_id FROM ONLY graphmem.vector_spaces v "
						 "WHERE v.target OPERATOR(pg_catalog.=) '%s'))",
						 parent == ENTITY ? "entity" : parent == FACT ? "fact" : "source");
		else if (ref->parent != parent)
			continue;
		plan = SPI_prepare(psprintf("SELECT 1 FROM ONLY graphmem.%s m%s LIMIT 1", ref->table, condition), 0, NULL);
		if (plan == NULL || gm_integrity_execute(plan, NULL, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not look for rows of \"%s\": %s", ref->table,
				 SPI_result_code_string(SPI_result));
		if (SPI_processed > 0)
			ereport(ERROR,
					(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
					 errmsg("cannot truncate table \"%s\" while table \"%s\" refers to it",
							RelationGetRelationName(rel), ref->table),
					 errhint("Truncate table \"%s\" at the same time, or use graphmem.drop_graph().", ref->table),
					 errtable(rel)));
	}
	SPI_finish();
	SetUserIdAndSecContext(user, context);
}

/*
 * Triggers
 */

static TriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called by a trigger")));
	return (TriggerData *) fcinfo->context;
}

/* AFTER INSERT with NEW TABLE, or AFTER UPDATE with OLD TABLE and NEW TABLE. */
Datum
graphmem_check_references(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo);
	Relation	rel = trigger->tg_relation;
	bool		update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	TupleTableSlot *new_slot;
	TupleTableSlot *old_slot;
	ChildCheck	check;

	if (trigger->tg_newtable == NULL || (update && trigger->tg_oldtable == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" needs transition tables", trigger->tg_trigger->tgname)));
	if (restoring(rel))
		return PointerGetDatum(NULL);

	prepare_check(&check, rel);
	new_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	old_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	start_reading(trigger->tg_newtable);
	if (update)
		start_reading(trigger->tg_oldtable);
	while (next_row(trigger->tg_newtable, new_slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (update)
		{
			/* The server appends an updated row's versions to both at once. */
			if (!next_row(trigger->tg_oldtable, old_slot))
				elog(ERROR, "transition tables of trigger \"%s\" differ in length",
					 trigger->tg_trigger->tgname);
			slot_getallattrs(old_slot);
			slot_getallattrs(new_slot);
			if (check.fact_attno &&
				old_slot->tts_values[check.fact_attno - 1] != new_slot->tts_values[check.fact_attno - 1])
			{
				if (check.left == NULL)
					check.left = new_refset();
				add_ref(check.left, DatumGetInt64(old_slot->tts_values[check.fact_attno - 1]),
						DatumGetInt32(old_slot->tts_values[check.graph_attno - 1]), check.fact_attno);
			}
			if (same_references(&check, old_slot, new_slot))
				continue;
		}
		collect_row(&check, new_slot);
	}
	for (int i = 0; i < PARENT_COUNT; i++)
		check_parent(&check, i);
	ExecDropSingleTupleTableSlot(old_slot);
	ExecDropSingleTupleTableSlot(new_slot);
	if (check.left != NULL)
		enforce(rel, FACT, check.left);
	return PointerGetDatum(NULL);
}

/* AFTER DELETE with OLD TABLE, or AFTER TRUNCATE. */
Datum
graphmem_enforce_references(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo);

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		enforce_truncate(trigger->tg_relation);
	else if (trigger->tg_oldtable != NULL)
		enforce_delete(trigger);
	else
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" needs a transition table", trigger->tg_trigger->tgname)));
	return PointerGetDatum(NULL);
}

/* AFTER UPDATE for each row that changes what its argument names. */
Datum
graphmem_refuse_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo);
	const char *columns = trigger->tg_trigger->tgnargs > 0 ? trigger->tg_trigger->tgargs[0] : "?";

	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot change columns (%s) of table \"%s\"",
					columns, RelationGetRelationName(trigger->tg_relation)),
			 errdetail("Other rows may refer to them."),
			 errhint("Insert a new row, or delete the graph and load it again."),
			 errtable(trigger->tg_relation)));
	return PointerGetDatum(NULL);
}
