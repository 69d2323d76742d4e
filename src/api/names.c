/*-------------------------------------------------------------------------
 *
 * names.c
 *	  Names to ids for the writers: resolve what exists, create the rest.
 *
 * A pool keeps the distinct names it was given in a hash table.  When they
 * pass a limit they go to a sort on disk and the table starts again, so a
 * name may get several numbers; the sort brings them together.  Resolving
 * walks the sorted names once, in rounds of a few thousand: one statement
 * looks the round up, one inserts what is missing.
 *
 * Memory	GM_NAMES_BYTES of names and 9 bytes per number, two sorts beside
 * Limits	2^32 - 1 numbers a statement; a name must fit a row (1 GB)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "error.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

#include "api/names.h"
#include "api/sql.h"
#include "compat.h"
#include "guc.h"

#define GM_NAMES_BYTES	(32 * 1024 * 1024)
#define MAX_ROUNDS		10		/* of losing to others before giving up */

typedef struct PooledName
{
	const text *name;
	const text *type;
	const text *kind;
	int64		wanted;			/* id if it is new; 0: any */
	uint32		hash;
	uint32		number;
	GmNameClass class;
} PooledName;

typedef struct PoolSlot
{
	PooledName *entry;
	uint32		hash;
	char		status;
} PoolSlot;

static bool
same_text(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

static bool
same_name(const PooledName *a, const PooledName *b)
{
	return a->class == b->class && same_text(a->name, b->name) &&
		same_text(a->type, b->type);
}

#define SH_PREFIX		names
#define SH_ELEMENT_TYPE PoolSlot
#define SH_KEY_TYPE		PooledName *
#define SH_KEY			entry
#define SH_HASH_KEY(tb, key)	((key)->hash)
#define SH_EQUAL(tb, a, b)		same_name(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, slot)	((slot)->hash)
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct GmNamePool
{
	MemoryContext context;
	MemoryContext cached;		/* the table's names */
	names_hash *table;
	uint64		bytes;
	uint32		count;			/* numbers given */
	TupleDesc	desc;
	TupleDesc	kind_desc;
	Tuplestorestate *kinds;		/* entities that get a kind; NULL if none yet */
	Tuplesortstate *sort;		/* NULL until something went there */
	int64	   *ids;			/* by number, once resolved */
	bool	   *functional;
};

/* columns of the sort */
enum
{
	COL_CLASS, COL_NAME, COL_TYPE, COL_NUMBER, COL_KIND, COL_WANTED, COLS
};

/* One round: distinct names in order, and which numbers stand for each. */
typedef struct Round
{
	MemoryContext context;
	GmNameClass class;
	int			nnames;
	int			nnumbers;
	uint64		bytes;
	Datum		names[GM_SQL_BATCH_ROWS];
	Datum		types[GM_SQL_BATCH_ROWS];
	Datum		kinds[GM_SQL_BATCH_ROWS];
	bool		no_type[GM_SQL_BATCH_ROWS];
	bool		no_kind[GM_SQL_BATCH_ROWS];
	bool		flags[GM_SQL_BATCH_ROWS];
	bool		known[GM_SQL_BATCH_ROWS];	/* ids and flags are */
	int64		ids[GM_SQL_BATCH_ROWS];
	int64		wanted[GM_SQL_BATCH_ROWS];
	uint32		numbers[GM_SQL_BATCH_ROWS];
	int			name_of[GM_SQL_BATCH_ROWS];
} Round;

/*
 * Lookups give (position, id, flag), inserts (id, flag).  The flag of an
 * entity: has no kind; of a predicate: functional.
 */
#define LOOKUP(id, flag, table, expression, given) \
	{"SELECT u.o, l.id, l.flag" \
	 " FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3))" \
	 " WITH ORDINALITY AS u(n, t, o), LATERAL (SELECT t." id " AS id, " flag " AS flag" \
	 " FROM graphmem." table " t WHERE t.graph_id" GM_EQ "$1 AND " expression GM_EQ given \
	 " LIMIT 1) AS l", \
	 3, {INT4OID, TEXTARRAYOID, TEXTARRAYOID}}
#define LOOKUP_BY_NAME(id, flag, table) \
	LOOKUP(id, flag, table, "graphmem.name_key(t.name)", "graphmem.name_key(u.n)")

static GmSql lookup[] = {
	[GM_NAME_ENTITY] = LOOKUP("entity_id", "t.kind IS NULL", "entities",
							  "graphmem.name_key(t.name, t.literal_type)",
							  "graphmem.name_key(u.n, u.t)"),
	[GM_NAME_PREDICATE] = LOOKUP_BY_NAME("predicate_id", "t.functional", "predicates"),
	[GM_NAME_SOURCE] = LOOKUP_BY_NAME("source_id", "false", "sources"),
};

static GmSql lookup_alias = LOOKUP_BY_NAME("entity_id", "EXISTS (SELECT FROM graphmem.entities e"
										   " WHERE e.entity_id" GM_EQ "t.entity_id AND e.kind IS NULL)",
										   "aliases");

/* an id that is taken, since its sequence is behind, is an error as in any INSERT */
#define ON_SAME_NAME(columns) \
	" ON CONFLICT (graph_id, graphmem.name_key(" columns ")) DO NOTHING"

static GmSql insert[] = {
	[GM_NAME_ENTITY] = {
		"INSERT INTO graphmem.entities AS t (graph_id, name, literal_type, kind)"
		" SELECT $1, u.n, u.t, u.k FROM ROWS FROM (pg_catalog.unnest($2),"
		" pg_catalog.unnest($3), pg_catalog.unnest($4)) AS u(n, t, k)"
		ON_SAME_NAME("name, literal_type") " RETURNING t.entity_id, false",
		4, {INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
	},
	[GM_NAME_PREDICATE] = {
		"INSERT INTO graphmem.predicates AS t (graph_id, name)"
		" SELECT $1, u.n FROM pg_catalog.unnest($2) AS u(n)"
		ON_SAME_NAME("name") " RETURNING t.predicate_id, t.functional",
		4, {INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
	},
	[GM_NAME_SOURCE] = {
		"INSERT INTO graphmem.sources AS t (graph_id, name)"
		" SELECT $1, u.n FROM pg_catalog.unnest($2) AS u(n)"
		ON_SAME_NAME("name") " RETURNING t.source_id, false",
		4, {INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
	},
};

static GmSql insert_wanted = {
	"INSERT INTO graphmem.entities AS t (graph_id, name, literal_type, kind, entity_id)"
	" SELECT $1, u.n, u.t, u.k, u.e FROM ROWS FROM (pg_catalog.unnest($2),"
	" pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)) AS u(n, t, k, e)"
	ON_SAME_NAME("name, literal_type") " RETURNING t.entity_id, false",
	5, {INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID}
};

static GmSql set_kinds = {
	"UPDATE graphmem.entities AS t SET kind = u.k FROM ROWS FROM"
	" (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u(e, k)"
	" WHERE t.entity_id" GM_EQ "u.e AND t.kind IS NULL",
	2, {INT8ARRAYOID, TEXTARRAYOID}
};

static GmSql find_graph = {
	"SELECT graph_id FROM graphmem.graphs WHERE name" GM_EQ "$1", 1, {TEXTOID}
};

static GmSql create_default = {
	"INSERT INTO graphmem.graphs (name) VALUES ($1) ON CONFLICT (name) DO NOTHING"
	" RETURNING graph_id", 1, {TEXTOID}
};

/* ---- graphs ---- */

char *
gm_graph_name(const text *graph)
{
	if (graph != NULL)
		return text_to_cstring(graph);
	return pstrdup(gm_guc_graph != NULL ? gm_guc_graph : "default");
}

static int32
first_int4(void)
{
	int32		id = 0;

	if (SPI_processed > 0)
	{
		bool		isnull;

		id = DatumGetInt32(gm_sql_datum(0, 1, &isnull));
	}
	gm_sql_done();
	return id;
}

static void
report_no_graph(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("graph \"%s\" does not exist", gm_error_quote(name, strlen(name))),
			 errhint("Create it with graphmem.create_graph().")));
}

int32
gm_graph_for_write(const char *name)
{
	Datum		value = CStringGetTextDatum(name);

	for (int i = 0; i < MAX_ROUNDS; i++)
	{
		int32		id;

		gm_sql_run(&find_graph, &value, NULL);
		id = first_int4();
		if (id == 0 && strcmp(name, "default") == 0)
		{
			gm_sql_run(&create_default, &value, NULL);
			id = first_int4();
		}
		if (id != 0)
			return id;
		if (strcmp(name, "default") != 0)
			report_no_graph(name);
		CHECK_FOR_INTERRUPTS();
	}
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("graph \"%s\" is hidden from the current role by row security", name)));
	return 0;
}

int32
gm_graph_find(const char *name)
{
	Datum		value = CStringGetTextDatum(name);
	int32		id;

	gm_sql_read(&find_graph, &value, NULL);
	id = first_int4();
	if (id != 0 || strcmp(name, "default") == 0)
		return id;

	/*
	 * The planner asks under an older snapshot than the statement will have;
	 * of a graph that is newer than the snapshot there is nothing to see.
	 */
	gm_sql_read_latest(&find_graph, &value, NULL);
	id = first_int4();
	if (id == 0)
		report_no_graph(name);
	return id;
}

void
gm_graph_lock(int32 graph_id, bool exclusive)
{
	LockDatabaseObject(gm_sql_relid("graphs"), (Oid) graph_id, 0,
					   exclusive ? ShareRowExclusiveLock : RowExclusiveLock);
}

/* ---- taking names ---- */

GmNamePool *
gm_names_begin(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "graphmem names",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	GmNamePool *pool = palloc0_object(GmNamePool);

	pool->context = context;
	pool->cached = AllocSetContextCreate(context, "graphmem pooled names",
										 ALLOCSET_DEFAULT_SIZES);
	pool->table = names_create(context, 32, NULL);
	pool->desc = CreateTemplateTupleDesc(COLS);
	TupleDescInitEntry(pool->desc, COL_CLASS + 1, "class", INT4OID, -1, 0);
	TupleDescInitEntry(pool->desc, COL_NAME + 1, "name", TEXTOID, -1, 0);
	TupleDescInitEntry(pool->desc, COL_TYPE + 1, "type", TEXTOID, -1, 0);
	TupleDescInitEntry(pool->desc, COL_NUMBER + 1, "number", INT8OID, -1, 0);
	TupleDescInitEntry(pool->desc, COL_KIND + 1, "kind", TEXTOID, -1, 0);
	TupleDescInitEntry(pool->desc, COL_WANTED + 1, "wanted", INT8OID, -1, 0);
	pool->kind_desc = CreateTemplateTupleDesc(2);
	TupleDescInitEntry(pool->kind_desc, 1, "entity_id", INT8OID, -1, 0);
	TupleDescInitEntry(pool->kind_desc, 2, "kind", TEXTOID, -1, 0);
	MemoryContextSwitchTo(old);
	return pool;
}

static uint32
hash_text(const text *value)
{
	return hash_bytes((const unsigned char *) VARDATA_ANY(value),
					  (int) VARSIZE_ANY_EXHDR(value));
}

static const text *
copy_text(GmNamePool *pool, const text *value)
{
	Size		size;
	text	   *copy;

	if (value == NULL)
		return NULL;
	size = VARSIZE_ANY_EXHDR(value) + VARHDRSZ;
	copy = MemoryContextAlloc(pool->cached, size);
	SET_VARSIZE(copy, size);
	memcpy(VARDATA(copy), VARDATA_ANY(value), size - VARHDRSZ);
	pool->bytes += size + 16;
	return copy;
}

static void
spill(GmNamePool *pool)
{
	MemoryContext old = MemoryContextSwitchTo(pool->context);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(pool->desc, &TTSOpsVirtual);
	names_iterator it;
	PoolSlot   *found;

	if (pool->sort == NULL)
	{
		AttrNumber	columns[] = {COL_CLASS + 1, COL_NAME + 1, COL_TYPE + 1, COL_NUMBER + 1};
		Oid			less[] = {Int4LessOperator, TextLessOperator, TextLessOperator, Int8LessOperator};
		Oid			collations[] = {InvalidOid, C_COLLATION_OID, C_COLLATION_OID, InvalidOid};
		bool		nulls_first[] = {false, false, true, false};

		pool->sort = tuplesort_begin_heap(pool->desc, lengthof(columns), columns, less,
										  collations, nulls_first, GM_SQL_STORE_KB,
										  NULL, TUPLESORT_NONE);
	}
	names_start_iterate(pool->table, &it);
	while ((found = names_iterate(pool->table, &it)) != NULL)
	{
		const PooledName *entry = found->entry;

		CHECK_FOR_INTERRUPTS();
		ExecClearTuple(slot);
		slot->tts_values[COL_CLASS] = Int32GetDatum(entry->class);
		slot->tts_values[COL_NAME] = PointerGetDatum(entry->name);
		slot->tts_values[COL_TYPE] = PointerGetDatum(entry->type);
		slot->tts_values[COL_NUMBER] = Int64GetDatum((int64) entry->number);
		slot->tts_values[COL_KIND] = PointerGetDatum(entry->kind);
		slot->tts_values[COL_WANTED] = Int64GetDatum(entry->wanted);
		memset(slot->tts_isnull, 0, COLS * sizeof(bool));
		slot->tts_isnull[COL_TYPE] = entry->type == NULL;
		slot->tts_isnull[COL_KIND] = entry->kind == NULL;
		ExecStoreVirtualTuple(slot);
		tuplesort_puttupleslot(pool->sort, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	names_reset(pool->table);
	MemoryContextReset(pool->cached);
	pool->bytes = 0;
	MemoryContextSwitchTo(old);
}

static uint32
add_name(GmNamePool *pool, GmNameClass class, const text *name,
		 const text *type, const text *kind, int64 wanted)
{
	PooledName	key = {.name = name, .type = type, .wanted = wanted, .class = class};
	PooledName *entry;
	PoolSlot   *slot;
	bool		found;

	key.hash = hash_combine(hash_text(name), (uint32) class);
	if (type != NULL)
		key.hash = hash_combine(key.hash, hash_text(type));
	slot = names_lookup(pool->table, &key);
	if (slot != NULL)
	{
		if (slot->entry->kind == NULL && kind != NULL)
			slot->entry->kind = copy_text(pool, kind);
		if (slot->entry->wanted == 0)
			slot->entry->wanted = wanted;
		return slot->entry->number;
	}

	if (pool->count == UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many names in one statement")));
	if (pool->bytes > GM_NAMES_BYTES)
		spill(pool);
	entry = MemoryContextAlloc(pool->cached, sizeof(PooledName));
	*entry = key;
	entry->name = copy_text(pool, name);
	entry->type = copy_text(pool, type);
	entry->kind = copy_text(pool, kind);
	entry->number = pool->count++;
	pool->bytes += sizeof(PooledName) + 2 * sizeof(PoolSlot);
	slot = names_insert(pool->table, entry, &found);
	Assert(!found);
	return entry->number;
}

uint32
gm_names_add(GmNamePool *pool, GmNameClass class, const text *name,
			 const text *type, const text *kind)
{
	return add_name(pool, class, name, type, kind, 0);
}

uint32
gm_names_add_entity(GmNamePool *pool, const text *name, const text *kind, int64 wanted)
{
	return add_name(pool, GM_NAME_ENTITY, name, NULL, kind, wanted);
}

/* ---- resolving ---- */

static Datum
pending_array(Oid type, const Datum *values, const bool *nulls, const int *pending, int n)
{
	Datum	   *chosen = palloc_array(Datum, n);
	bool	   *chosen_null = palloc0_array(bool, n);

	for (int i = 0; i < n; i++)
	{
		chosen[i] = values[pending[i]];
		if (nulls != NULL)
			chosen_null[i] = nulls[pending[i]];
	}
	return gm_sql_array(type, chosen, chosen_null, n);
}

static void
run_lookup(GmSql *sql, bool latest, Round *round, int32 graph_id, int *pending, int n)
{
	Datum		args[3];

	args[0] = Int32GetDatum(graph_id);
	args[1] = pending_array(TEXTOID, round->names, NULL, pending, n);
	args[2] = pending_array(TEXTOID, round->types, round->no_type, pending, n);
	if (latest)
		gm_sql_read_latest(sql, args, NULL);
	else
		gm_sql_run(sql, args, NULL);
}

/* Takes the ids of a lookup and returns how many of pending are left. */
static int
take_lookup(Round *round, int *pending, int n)
{
	int			left = 0;

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int			name = pending[gm_sql_int8(row, 1) - 1];
		bool		isnull;

		round->known[name] = true;
		round->ids[name] = gm_sql_int8(row, 2);
		round->flags[name] = DatumGetBool(gm_sql_datum(row, 3, &isnull));
	}
	gm_sql_done();
	for (int i = 0; i < n; i++)
		if (!round->known[pending[i]])
			pending[left++] = pending[i];
	return left;
}

/* True if every one of pending was inserted; else the lookup sorts them out. */
static bool
insert_missing(Round *round, int32 graph_id, const int *pending, int n)
{
	Datum		args[5];
	Datum	   *ids = palloc_array(Datum, n);
	bool		any = false;
	bool		all;

	args[0] = Int32GetDatum(graph_id);
	args[1] = pending_array(TEXTOID, round->names, NULL, pending, n);
	args[2] = pending_array(TEXTOID, round->types, round->no_type, pending, n);
	args[3] = pending_array(TEXTOID, round->kinds, round->no_kind, pending, n);
	for (int i = 0; i < n; i++)
		any = any || round->wanted[pending[i]] != 0;
	for (int i = 0; any && i < n; i++)
		ids[i] = Int64GetDatum(round->wanted[pending[i]] != 0 ? round->wanted[pending[i]] :
							   gm_sql_next_id(GM_ID_ENTITY));
	args[4] = any ? gm_sql_array(INT8OID, ids, NULL, n) : (Datum) 0;
	gm_sql_run(any ? &insert_wanted : &insert[round->class], args, NULL);
	all = SPI_processed == (uint64) n;
	for (int i = 0; all && i < n; i++)
	{
		bool		isnull;

		round->ids[pending[i]] = gm_sql_int8(i, 1);
		round->flags[pending[i]] = DatumGetBool(gm_sql_datum(i, 2, &isnull));
	}
	gm_sql_done();
	return all;
}

/*
 * In REPEATABLE READ a predicate may have become functional after the
 * snapshot; the lock of the graph is held, so it cannot any more.
 */
static void
check_flags_latest(Round *round, int32 graph_id, int *all)
{
	run_lookup(&lookup[GM_NAME_PREDICATE], true, round, graph_id, all, round->nnames);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;

		if (DatumGetBool(gm_sql_datum(row, 3, &isnull)) !=
			round->flags[all[gm_sql_int8(row, 1) - 1]])
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent change of a predicate")));
	}
	gm_sql_done();
}

void
gm_names_report_taken(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent use of a name"),
			 errhint("Run the transaction again.")));
}

static void
report_lost_name(const Round *round, int name)
{
	static const char *const nouns[] = {"entity", "predicate", "source"};
	const text *value = (const text *) DatumGetPointer(round->names[name]);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("%s \"%s\" can be neither seen nor created", nouns[round->class],
					gm_error_quote(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value))),
			 errhint("Row security may hide it from the current role.")));
}

/* The snapshot does not show an alias that came since; its name is taken all the same. */
static void
check_aliases_latest(Round *round, int32 graph_id, int *pending, int n)
{
	run_lookup(&lookup_alias, true, round, graph_id, pending, n);
	if (SPI_processed > 0)
		gm_names_report_taken();
	gm_sql_done();
}

static void
resolve_round(GmNamePool *pool, Round *round, int32 graph_id)
{
	MemoryContext old = MemoryContextSwitchTo(round->context);
	int		   *pending = palloc_array(int, round->nnames);
	int			n = round->nnames;

	for (int i = 0; i < n; i++)
		pending[i] = i;
	for (int tries = 0; n > 0; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		if (tries == MAX_ROUNDS)
			report_lost_name(round, pending[0]);
		run_lookup(&lookup[round->class], false, round, graph_id, pending, n);
		n = take_lookup(round, pending, n);
		if (n > 0 && round->class == GM_NAME_ENTITY && tries == 0)
		{
			int		   *untyped = palloc_array(int, n);
			int			nuntyped = 0;
			int			left = 0;

			for (int i = 0; i < n; i++)
				if (round->no_type[pending[i]])
					untyped[nuntyped++] = pending[i];
			if (nuntyped > 0)
			{
				run_lookup(&lookup_alias, false, round, graph_id, untyped, nuntyped);
				nuntyped = take_lookup(round, untyped, nuntyped);
				if (nuntyped > 0 && IsolationUsesXactSnapshot())
					check_aliases_latest(round, graph_id, untyped, nuntyped);
			}
			for (int i = 0; i < n; i++)
				if (!round->known[pending[i]])
					pending[left++] = pending[i];
			n = left;
		}
		if (n > 0 && insert_missing(round, graph_id, pending, n))
			n = 0;
	}

	if (round->class == GM_NAME_PREDICATE && IsolationUsesXactSnapshot())
	{
		pending = palloc_array(int, round->nnames);
		for (int i = 0; i < round->nnames; i++)
			pending[i] = i;
		check_flags_latest(round, graph_id, pending);
	}
	for (int i = 0; i < round->nnumbers; i++)
	{
		pool->ids[round->numbers[i]] = round->ids[round->name_of[i]];
		pool->functional[round->numbers[i]] = round->class == GM_NAME_PREDICATE &&
			round->flags[round->name_of[i]];
	}
	if (round->class == GM_NAME_ENTITY)
		for (int i = 0; i < round->nnames; i++)
			if (!round->no_kind[i] && round->flags[i])
			{
				Datum		values[2] = {Int64GetDatum(round->ids[i]), round->kinds[i]};
				bool		nulls[2] = {false, false};

				if (pool->kinds == NULL)
				{
					MemoryContextSwitchTo(pool->context);
					pool->kinds = tuplestore_begin_heap(false, false, GM_SQL_STORE_KB);
					MemoryContextSwitchTo(round->context);
				}
				tuplestore_putvalues(pool->kinds, pool->kind_desc, values, nulls);
			}
	MemoryContextSwitchTo(old);
	MemoryContextReset(round->context);
	round->nnames = round->nnumbers = 0;
	round->bytes = 0;
}

static void
set_missing_kinds(GmNamePool *pool)
{
	TupleTableSlot *slot;
	MemoryContext context;
	Datum	   *ids;
	Datum	   *texts;
	bool		more = true;

	if (pool->kinds == NULL)
		return;
	slot = MakeSingleTupleTableSlot(pool->kind_desc, &TTSOpsMinimalTuple);
	context = AllocSetContextCreate(pool->context, "graphmem kinds",
									ALLOCSET_DEFAULT_SIZES);
	ids = palloc_array(Datum, GM_SQL_BATCH_ROWS);
	texts = palloc_array(Datum, GM_SQL_BATCH_ROWS);
	while (more)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		uint64		bytes = 0;
		int			n = 0;

		while (n < GM_SQL_BATCH_ROWS && bytes < GM_SQL_BATCH_BYTES &&
			   (more = tuplestore_gettupleslot(pool->kinds, true, false, slot)))
		{
			slot_getallattrs(slot);
			ids[n] = slot->tts_values[0];
			texts[n] = datumCopy(slot->tts_values[1], false, -1);
			bytes += VARSIZE_ANY(DatumGetPointer(texts[n]));
			n++;
		}
		if (n > 0)
		{
			Datum		args[2] = {gm_sql_array(INT8OID, ids, NULL, n),
			gm_sql_array(TEXTOID, texts, NULL, n)};

			gm_sql_run(&set_kinds, args, NULL);
			gm_sql_done();
		}
		MemoryContextSwitchTo(old);
		/* a tuple read back from disk lies in this context */
		ExecClearTuple(slot);
		MemoryContextReset(context);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(pool->kinds);
	pool->kinds = NULL;
}

/* Is the sorted name the one that the round's last entry stands for? */
static bool
is_last_of_round(const Round *round, const PooledName *next)
{
	PooledName	last = {.class = round->class};

	if (round->nnames == 0)
		return false;
	last.name = (const text *) DatumGetPointer(round->names[round->nnames - 1]);
	if (!round->no_type[round->nnames - 1])
		last.type = (const text *) DatumGetPointer(round->types[round->nnames - 1]);
	return same_name(&last, next);
}

static void
add_to_round(Round *round, TupleTableSlot *slot, const PooledName *next)
{
	int			at = round->nnames - 1;

	if (!is_last_of_round(round, next))
	{
		at = round->nnames++;
		round->class = next->class;
		round->names[at] = datumCopy(PointerGetDatum(next->name), false, -1);
		round->no_type[at] = next->type == NULL;
		round->types[at] = next->type == NULL ? (Datum) 0 :
			datumCopy(PointerGetDatum(next->type), false, -1);
		round->no_kind[at] = true;
		round->kinds[at] = (Datum) 0;
		round->known[at] = false;
		round->wanted[at] = 0;
		round->bytes += VARSIZE_ANY(next->name);
	}
	if (round->no_kind[at] && !slot->tts_isnull[COL_KIND])
	{
		round->no_kind[at] = false;
		round->kinds[at] = datumCopy(slot->tts_values[COL_KIND], false, -1);
	}
	if (round->wanted[at] == 0)
		round->wanted[at] = next->wanted;
	round->numbers[round->nnumbers] = next->number;
	round->name_of[round->nnumbers++] = at;
}

void
gm_names_resolve(GmNamePool *pool, int32 graph_id)
{
	MemoryContext old = MemoryContextSwitchTo(pool->context);
	TupleTableSlot *slot;
	Round	   *round;

	if (pool->count == 0)
	{
		MemoryContextSwitchTo(old);
		return;
	}
	spill(pool);
	tuplesort_performsort(pool->sort);
	pool->ids = MemoryContextAllocHuge(pool->context, (Size) pool->count * sizeof(int64));
	pool->functional = MemoryContextAllocHuge(pool->context, (Size) pool->count * sizeof(bool));
	slot = MakeSingleTupleTableSlot(pool->desc, &TTSOpsMinimalTuple);
	round = palloc_object(Round);
	round->nnames = round->nnumbers = 0;
	round->bytes = 0;
	round->context = AllocSetContextCreate(pool->context, "graphmem round",
										   ALLOCSET_DEFAULT_SIZES);

	while (tuplesort_gettupleslot(pool->sort, true, false, slot, NULL))
	{
		PooledName	next;

		slot_getallattrs(slot);
		next.class = (GmNameClass) DatumGetInt32(slot->tts_values[COL_CLASS]);
		next.name = (const text *) DatumGetPointer(slot->tts_values[COL_NAME]);
		next.type = slot->tts_isnull[COL_TYPE] ? NULL :
			(const text *) DatumGetPointer(slot->tts_values[COL_TYPE]);
		next.number = (uint32) DatumGetInt64(slot->tts_values[COL_NUMBER]);
		next.wanted = DatumGetInt64(slot->tts_values[COL_WANTED]);

		if (round->nnames > 0 &&
			(next.class != round->class || round->nnumbers == GM_SQL_BATCH_ROWS ||
			 round->bytes > GM_SQL_BATCH_BYTES))
			resolve_round(pool, round, graph_id);
		if (next.class != GM_NAME_ENTITY)
			set_missing_kinds(pool);
		MemoryContextSwitchTo(round->context);
		add_to_round(round, slot, &next);
		MemoryContextSwitchTo(pool->context);
	}
	resolve_round(pool, round, graph_id);
	set_missing_kinds(pool);

	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(pool->sort);
	pool->sort = NULL;
	MemoryContextDelete(round->context);
	pfree(round);
	MemoryContextSwitchTo(old);
}

int64
gm_names_id(const GmNamePool *pool, uint32 number)
{
	Assert(pool->ids != NULL && number < pool->count);
	return pool->ids[number];
}

bool
gm_names_functional(const GmNamePool *pool, uint32 number)
{
	Assert(pool->functional != NULL && number < pool->count);
	return pool->functional[number];
}
