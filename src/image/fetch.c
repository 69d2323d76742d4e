/*-------------------------------------------------------------------------
 *
 * fetch.c
 *	  Table rows as GmRow: see fetch.h.
 *
 * A trigger calls this for every row written: no look at a catalog cache, no
 * memory, one pass over the tuple.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_type_d.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "core/vec.h"
#include "image/fetch.h"

typedef struct Column
{
	const char *name;
	Oid			type;
} Column;

/* graph_id comes first everywhere, the key's columns next (that of graphs is graph_id) */
typedef struct Table
{
	const char *name;
	int			keys;
	Column		columns[GM_ROW_COLUMNS];	/* up to one without a name */
} Table;

#define GRAPH	{"graph_id", INT4OID}

static const Table tables[GM_TABLES] = {
	[GM_TABLE_GRAPHS] = {"graphs", 0, {GRAPH, {"name", TEXTOID}, {"residency", TEXTOID}}},
	[GM_TABLE_ENTITIES] = {"entities", 1, {GRAPH, {"entity_id", INT8OID}, {"name", TEXTOID},
	{"literal_type", TEXTOID}, {"kind", TEXTOID}, {"created_at", TIMESTAMPTZOID}}},
	[GM_TABLE_ALIASES] = {"aliases", 1, {GRAPH, {"alias_id", INT8OID}, {"name", TEXTOID},
	{"entity_id", INT8OID}}},
	[GM_TABLE_PREDICATES] = {"predicates", 1, {GRAPH, {"predicate_id", INT8OID},
	{"name", TEXTOID}, {"functional", BOOLOID}, {"symmetric", BOOLOID}, {"weight", FLOAT4OID}}},
	[GM_TABLE_TRIPLES] = {"triples", 1, {GRAPH, {"triple_id", INT8OID}, {"fact_id", INT8OID},
	{"subject_id", INT8OID}, {"predicate_id", INT8OID}, {"object_id", INT8OID},
	{"confidence", FLOAT4OID}, {"valid_from", TIMESTAMPTZOID}, {"valid_to", TIMESTAMPTZOID},
	{"recorded_at", TIMESTAMPTZOID}, {"expired_at", TIMESTAMPTZOID}}},
	[GM_TABLE_SOURCES] = {"sources", 1, {GRAPH, {"source_id", INT8OID}, {"name", TEXTOID},
	{"session", TEXTOID}, {"kind", TEXTOID}, {"reliability", FLOAT4OID},
	{"created_at", TIMESTAMPTZOID}}},
	[GM_TABLE_ASSERTIONS] = {"assertions", 2, {GRAPH, {"fact_id", INT8OID},
	{"source_id", INT8OID}, {"confidence", FLOAT4OID}, {"asserted_at", TIMESTAMPTZOID}}},
	[GM_TABLE_SPACES] = {"vector_spaces", 1, {GRAPH, {"space_id", INT4OID}, {"name", TEXTOID},
	{"target", TEXTOID}, {"metric", TEXTOID}, {"dim", INT4OID}, {"m", INT4OID},
	{"ef_construction", INT4OID}, {"quantisation", TEXTOID}, {"full_precision", TEXTOID},
	{"origin", TEXTOID}, {"state", TEXTOID}}},
	[GM_TABLE_EMBEDDINGS] = {"embeddings", 2, {GRAPH, {"space_id", INT4OID},
	{"item_id", INT8OID}, {"embedding", FLOAT4ARRAYOID}}},
	[GM_TABLE_TOPOLOGY] = {"topology_vectors", 2, {GRAPH, {"space_id", INT4OID},
	{"entity_id", INT8OID}, {"embedding", FLOAT4ARRAYOID}}},
};

/* what is known of the tables, until their definitions change */
typedef struct Known
{
	Oid			relid;			/* InvalidOid: nothing is */
	AttrNumber	attno[GM_ROW_COLUMNS];
	int			columns;
} Known;

static Known known[GM_TABLES];

static void
forget_tables(Datum arg, Oid relid)
{
	for (int i = 0; i < GM_TABLES; i++)
		if (!OidIsValid(relid) || known[i].relid == relid)
			known[i].relid = InvalidOid;
}

static void
learn(Relation rel, GmTable table)
{
	static bool registered = false;
	Known	   *k = &known[table];

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_tables, (Datum) 0);
		registered = true;
	}
	k->relid = InvalidOid;
	for (k->columns = 0; k->columns < GM_ROW_COLUMNS; k->columns++)
	{
		const Column *c = &tables[table].columns[k->columns];
		AttrNumber	attno;

		if (c->name == NULL)
			break;
		attno = get_attnum(RelationGetRelid(rel), c->name);
		if (attno == InvalidAttrNumber)
			elog(ERROR, "table \"%s\" has no column \"%s\"", tables[table].name, c->name);
		if (TupleDescAttr(RelationGetDescr(rel), attno - 1)->atttypid != c->type)
			elog(ERROR, "column \"%s\" of table \"%s\" has another type than %u", c->name,
				 tables[table].name, c->type);
		k->attno[k->columns] = attno;
	}
	k->relid = RelationGetRelid(rel);
}

GmTable
gm_row_table(Relation rel)
{
	static GmTable last = GM_TABLE_NONE;
	Oid			relid = RelationGetRelid(rel);

	if (known[last].relid == relid)
		return last;
	for (GmTable table = GM_TABLE_NONE + 1; table < GM_TABLES; table++)
		if (known[table].relid == relid)
			return last = table;
	if (RelationGetNamespace(rel) != get_namespace_oid("graphmem", true))
		return GM_TABLE_NONE;
	for (GmTable table = GM_TABLE_NONE + 1; table < GM_TABLES; table++)
		if (strcmp(tables[table].name, RelationGetRelationName(rel)) == 0)
		{
			learn(rel, table);
			return last = table;
		}
	return GM_TABLE_NONE;
}

Oid
gm_row_relid(GmTable table)
{
	Oid			schema;

	if (OidIsValid(known[table].relid))
		return known[table].relid;
	schema = get_namespace_oid("graphmem", true);
	return OidIsValid(schema) ? get_relname_relid(tables[table].name, schema) : InvalidOid;
}

/*
 * Tuples
 */

void
gm_row_view(Relation rel, GmTable table, HeapTuple tuple, GmRowView *view)
{
	const Known *k = &known[table];
	Datum		values[MaxTupleAttributeNumber];
	bool		nulls[MaxTupleAttributeNumber];

	Assert(k->columns > 0);
	heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
	for (int i = 0; i < k->columns; i++)
	{
		view->value[i] = values[k->attno[i] - 1];
		view->null[i] = nulls[k->attno[i] - 1];
	}
}

static inline bool
is_varlena(Oid type)
{
	return type == TEXTOID || type == FLOAT4ARRAYOID;
}

bool
gm_row_view_same(GmTable table, const GmRowView *a, const GmRowView *b)
{
	for (int i = 0; i < known[table].columns; i++)
	{
		if (a->null[i] != b->null[i])
			return false;
		if (a->null[i])
			continue;
		if (is_varlena(tables[table].columns[i].type))
		{
			/* what is out of line and was not changed has the same reference */
			const void *x = DatumGetPointer(a->value[i]);
			const void *y = DatumGetPointer(b->value[i]);

			if (VARSIZE_ANY(x) != VARSIZE_ANY(y) || memcmp(x, y, VARSIZE_ANY(x)) != 0)
				return false;
		}
		else if (a->value[i] != b->value[i])
			return false;
	}
	return true;
}

static GmText
get_text(const GmRowView *view, int i)
{
	GmText		result = {NULL, 0};

	if (!view->null[i])
	{
		text	   *t = DatumGetTextPP(view->value[i]);

		result.bytes = VARDATA_ANY(t);
		result.length = VARSIZE_ANY_EXHDR(t);
	}
	return result;
}

static char
get_letter(const GmRowView *view, int i)
{
	GmText		word = get_text(view, i);

	return word.length == 0 ? 0 : word.bytes[0];
}

static GmMetric
get_metric(const GmRowView *view, int i)
{
	switch (get_letter(view, i))
	{
		case 'l':
			return GM_METRIC_L2;
		case 'i':
			return GM_METRIC_IP;
		default:
			return GM_METRIC_COSINE;
	}
}

static GmCodeKind
get_code_kind(const GmRowView *view, int i)
{
	switch (get_letter(view, i))
	{
		case 'f':
			return GM_CODE_F16;
		case 'n':
			return GM_CODE_NONE;
		default:
			return GM_CODE_INT8;
	}
}

static void
get_vector(const GmRowView *view, int i, GmRow *row)
{
	ArrayType  *array = DatumGetArrayTypeP(view->value[i]);

	row->u.embedding.dim = 0;
	row->u.embedding.vector = NULL;
	if (ARR_NDIM(array) != 1 || ARR_HASNULL(array))
		return;
	row->u.embedding.dim = ARR_DIMS(array)[0];
	row->u.embedding.vector = (const float *) ARR_DATA_PTR(array);
}

static void
set_key(GmTable table, const GmRowView *view, GmRow *row)
{
	int32		graph_id = DatumGetInt32(view->value[0]);
	int64		key[2] = {graph_id, 0};

	for (int i = 0; i < tables[table].keys; i++)
		key[i] = tables[table].columns[i + 1].type == INT4OID ?
			DatumGetInt32(view->value[i + 1]) : DatumGetInt64(view->value[i + 1]);
	gm_row_set_key(table, graph_id, key, row);
}

/* of the columns that have a length */
static size_t
stored_length(GmTable table, const GmRowView *view)
{
	size_t		length = 0;

	for (int i = 0; i < known[table].columns; i++)
		if (is_varlena(tables[table].columns[i].type) && !view->null[i])
			length += toast_raw_datum_size(view->value[i]) - VARHDRSZ;
	return length;
}

/* the constraints may have been dropped, but an image cannot do without */
static void
check_nulls(GmTable table, const GmRowView *view)
{
	for (int i = 0; i < known[table].columns; i++)
	{
		const char *name = tables[table].columns[i].name;

		if (view->null[i] && strcmp(name, "literal_type") != 0 && strcmp(name, "kind") != 0 &&
			strcmp(name, "session") != 0)
			elog(ERROR, "column \"%s\" of table \"%s\" is NULL", name, tables[table].name);
	}
}

bool
gm_row_from_view(GmTable table, const GmRowView *view, size_t limit, GmRow *row)
{
	const Datum *v = view->value;
	bool		any_null = false;

	for (int i = 0; i < known[table].columns; i++)
		any_null |= view->null[i];
	if (unlikely(any_null))
		check_nulls(table, view);

	set_key(table, view, row);
	switch (table)
	{
		case GM_TABLE_TRIPLES:
			row->u.triple.fact_id = DatumGetInt64(v[2]);
			row->u.triple.subject_id = DatumGetInt64(v[3]);
			row->u.triple.predicate_id = DatumGetInt64(v[4]);
			row->u.triple.object_id = DatumGetInt64(v[5]);
			row->u.triple.confidence = DatumGetFloat4(v[6]);
			row->u.triple.times.valid_from = DatumGetTimestampTz(v[7]);
			row->u.triple.times.valid_to = DatumGetTimestampTz(v[8]);
			row->u.triple.times.recorded_at = DatumGetTimestampTz(v[9]);
			row->u.triple.times.expired_at = DatumGetTimestampTz(v[10]);
			return true;
		case GM_TABLE_ASSERTIONS:
			row->u.assertion.confidence = DatumGetFloat4(v[3]);
			row->u.assertion.asserted_at = DatumGetTimestampTz(v[4]);
			return true;
		default:
			break;
	}

	if (stored_length(table, view) > limit)
		return false;
	switch (table)
	{
		case GM_TABLE_GRAPHS:
			row->u.graph.name = get_text(view, 1);
			row->u.graph.residency = get_letter(view, 2);
			break;
		case GM_TABLE_ENTITIES:
			row->u.entity.name = get_text(view, 2);
			row->u.entity.literal_type = get_text(view, 3);
			row->u.entity.kind = get_text(view, 4);
			row->u.entity.created_at = DatumGetTimestampTz(v[5]);
			break;
		case GM_TABLE_ALIASES:
			row->u.alias.name = get_text(view, 2);
			row->u.alias.entity_id = DatumGetInt64(v[3]);
			break;
		case GM_TABLE_PREDICATES:
			row->u.predicate.name = get_text(view, 2);
			row->u.predicate.functional = DatumGetBool(v[3]);
			row->u.predicate.symmetric = DatumGetBool(v[4]);
			row->u.predicate.weight = DatumGetFloat4(v[5]);
			break;
		case GM_TABLE_SOURCES:
			row->u.source.name = get_text(view, 2);
			row->u.source.session = get_text(view, 3);
			row->u.source.kind = get_text(view, 4);
			row->u.source.reliability = DatumGetFloat4(v[5]);
			row->u.source.created_at = DatumGetTimestampTz(v[6]);
			break;
		case GM_TABLE_SPACES:
			row->u.space.name = get_text(view, 2);
			row->u.space.target = get_letter(view, 3);
			row->u.space.metric = get_metric(view, 4);
			row->u.space.dim = DatumGetInt32(v[5]);
			row->u.space.tuning.m = Max(DatumGetInt32(v[6]), 0);
			row->u.space.tuning.ef_construction = Max(DatumGetInt32(v[7]), 0);
			row->u.space.tuning.kind = get_code_kind(view, 8);
			row->u.space.computed = get_letter(view, 10) == 't';
			row->u.space.computing = get_letter(view, 11) == 'c';
			row->u.space.tuning.in_table = get_letter(view, 9) == 't' && !row->u.space.computed;
			break;
		case GM_TABLE_EMBEDDINGS:
		case GM_TABLE_TOPOLOGY:
			get_vector(view, 3, row);
			break;
		default:
			elog(ERROR, "unexpected table %d", table);
	}
	return true;
}

static void
row_from_tuple(Relation rel, GmTable table, HeapTuple tuple, GmRow *row)
{
	GmRowView	view;

	gm_row_view(rel, table, tuple, &view);
	(void) gm_row_from_view(table, &view, SIZE_MAX, row);
}

void
gm_row_key_from_tuple(Relation rel, GmTable table, HeapTuple tuple, GmRow *row)
{
	const Known *k = &known[table];
	GmRowView	view;

	Assert(k->columns > 0);
	for (int i = 0; i <= tables[table].keys; i++)
	{
		view.value[i] = heap_getattr(tuple, k->attno[i], RelationGetDescr(rel), &view.null[i]);
		if (view.null[i])
			elog(ERROR, "column \"%s\" of table \"%s\" is NULL",
				 tables[table].columns[i].name, tables[table].name);
	}
	set_key(table, &view, row);
}

bool
gm_row_has_no_vector(Relation rel, HeapTuple tuple)
{
	const Known *k = &known[GM_TABLE_TOPOLOGY];

	Assert(k->columns > 0);
	return heap_attisnull(tuple, k->attno[3], RelationGetDescr(rel));
}

void
gm_place_of_tuple(Relation rel, HeapTuple tuple, const GmRow *row, GmPlace *place)
{
	place->block = ItemPointerGetBlockNumber(&tuple->t_self);
	place->offset = ItemPointerGetOffsetNumber(&tuple->t_self);
	place->unused = 0;
	place->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	place->file = rel->rd_rel->relfilenode;
	gm_row_key(row, place->key);
}

/*
 * By place
 */

static bool
out_of_line(GmTable table, const GmRowView *view)
{
	for (int i = 0; i < known[table].columns; i++)
		if (is_varlena(tables[table].columns[i].type) && !view->null[i] &&
			VARATT_IS_EXTERNAL(DatumGetPointer(view->value[i])))
			return true;
	return false;
}

/*
 * Is the tuple, which lies in a pinned buffer, dead to everybody: its values
 * out of line may have been removed then.  If it is not, they stay as long as
 * the active snapshot, since the horizon is computed here and now.
 */
static bool
is_dead(Relation rel, HeapTuple tuple, Buffer buffer)
{
	TransactionId horizon = GetOldestNonRemovableTransactionId(rel);
	bool		dead;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	dead = HeapTupleSatisfiesVacuum(tuple, horizon, buffer) == HEAPTUPLE_DEAD;
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return dead;
}

static bool
read_tuple(Relation rel, GmTable table, const GmPlace *place, GmRow *row)
{
	HeapTupleData tuple;
	HeapTuple	copy = NULL;
	GmRowView	view;
	Buffer		buffer;
	bool		usable;

	/* whoever cut the table short had to have it locked */
	if (place->offset == 0 || place->block >= RelationGetNumberOfBlocks(rel))
		return false;
	ItemPointerSet(&tuple.t_self, place->block, place->offset);
	if (!heap_fetch(rel, SnapshotAny, &tuple, &buffer, false))
		return false;
	usable = HeapTupleHeaderGetRawXmin(tuple.t_data) == place->xmin;
	if (usable)
	{
		gm_row_view(rel, table, &tuple, &view);
		if (table == GM_TABLE_TRIPLES || table == GM_TABLE_ASSERTIONS)
			(void) gm_row_from_view(table, &view, 0, row);
		else if (out_of_line(table, &view) && is_dead(rel, &tuple, buffer))
			usable = false;
		else
			copy = heap_copytuple(&tuple);
	}
	ReleaseBuffer(buffer);
	if (copy != NULL)
		row_from_tuple(rel, table, copy, row);
	return usable;
}

GmFetched
gm_row_fetch(GmTable table, const GmPlace *place, int32_t graph_id, bool nowait, GmRow *row)
{
	Oid			relid = gm_row_relid(table);
	GmFetched	result = GM_FETCH_GONE;
	Relation	rel;
	int64		key[2];

	if (!OidIsValid(relid))
		return GM_FETCH_MOVED;
	if (nowait && !ConditionalLockRelationOid(relid, AccessShareLock))
		return GM_FETCH_LOCKED;
	rel = try_relation_open(relid, nowait ? NoLock : AccessShareLock);
	if (rel == NULL)
		return GM_FETCH_MOVED;
	if (gm_row_table(rel) != table || rel->rd_rel->relfilenode != place->file)
		result = GM_FETCH_MOVED;
	else if (read_tuple(rel, table, place, row))
	{
		gm_row_key(row, key);
		if (row->graph_id == graph_id && key[0] == place->key[0] && key[1] == place->key[1])
			result = GM_FETCH_FOUND;
	}
	relation_close(rel, NoLock);
	return result;
}
