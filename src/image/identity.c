/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  Whether changes to the tables of images are captured, as one number.
 *
 * Every change of a trigger, and every rewrite of a table, invalidates the
 * table's relcache entry; so do harmless things (ANALYZE, a new index), after
 * which the same number is computed again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "core/base.h"
#include "image/fetch.h"
#include "image/identity.h"

/* a reader that meets a storm of DDL computes it anew at its next call */
#define MOST_TRIES	3

#define ROW_EVENTS	(TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | \
					 TRIGGER_TYPE_DELETE)
#define TRUNCATE_EVENTS	TRIGGER_TYPE_TRUNCATE

static Oid	table_ids[GM_TABLES];	/* when the number was computed */
static uint64 cached;
static bool valid;
static bool registered;
static uint64 changes;
static uint32 schema_hash;		/* of the schema's entry in the cache */

static void
relation_changed(Datum arg, Oid relid)
{
	/* what makes unsound tables sound may be a new table */
	if (OidIsValid(relid) && valid && cached != 0)
	{
		GmTable		table = GM_TABLE_NONE + 1;

		while (table < GM_TABLES && table_ids[table] != relid)
			table++;
		if (table == GM_TABLES)
			return;
	}
	valid = false;
	changes++;
}

static void
schema_changed(Datum arg, int cache_id, uint32 hash)
{
	if (hash != 0 && valid && cached != 0 && hash != schema_hash)
		return;
	valid = false;
	changes++;
}

uint64_t
gm_identity_changes(void)
{
	return changes;
}

static Oid
capture_function(const char *name)
{
	Oid			schema = get_namespace_oid("graphmem", true);
	oidvector  *no_arguments = buildoidvector(NULL, 0);

	if (!OidIsValid(schema))
		return InvalidOid;
	schema_hash = GetSysCacheHashValue1(NAMESPACEOID, ObjectIdGetDatum(schema));
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(no_arguments), ObjectIdGetDatum(schema));
}

static uint64
mix(uint64 hash, uint64 value)
{
	return hash_bytes_extended((const unsigned char *) &value, sizeof(value), hash);
}

/* fires after every such change, whatever is set */
static bool
is_sound(Form_pg_trigger trigger, int16 events)
{
	return trigger->tgenabled == TRIGGER_FIRES_ALWAYS && trigger->tgtype == events &&
		trigger->tgattr.dim1 == 0 && !OidIsValid(trigger->tgconstraint) &&
		!trigger->tgdeferrable;
}

/*
 * The table's triggers that capture.  False if one is missing or may not fire.
 */
static bool
mix_triggers(Oid relid, Oid row_function, Oid truncate_function, uint64 *hash)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	bool		row = false;
	bool		truncate = false;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);
		bool		no_condition = heap_attisnull(tuple, Anum_pg_trigger_tgqual,
												  RelationGetDescr(rel));

		if (trigger->tgfoid != row_function && trigger->tgfoid != truncate_function)
			continue;
		if (trigger->tgfoid == row_function && no_condition && is_sound(trigger, ROW_EVENTS))
			row = true;
		if (trigger->tgfoid == truncate_function && no_condition &&
			is_sound(trigger, TRUNCATE_EVENTS))
			truncate = true;
		*hash = mix(*hash, trigger->oid);
		*hash = mix(*hash, ((uint64) trigger->tgfoid << 8) | (uint8) trigger->tgenabled);
		*hash = mix(*hash, HeapTupleHeaderGetRawXmin(tuple->t_data));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return row && truncate;
}

/* rows of a child would be read with the table's, and written without its triggers */
static bool
has_children(Oid relid)
{
	return has_subclass(relid) && find_inheritance_children(relid, NoLock) != NIL;
}

static uint64
compute(void)
{
	Oid			row_function = capture_function("capture_change");
	Oid			truncate_function = capture_function("capture_truncate");
	uint64		hash = 0;

	if (!OidIsValid(row_function) || !OidIsValid(truncate_function))
		return 0;
	for (GmTable table = GM_TABLE_NONE + 1; table < GM_TABLES; table++)
	{
		Oid			relid = gm_row_relid(table);
		HeapTuple	tuple;
		Form_pg_class form;

		table_ids[table] = relid;
		if (!OidIsValid(relid))
			return 0;
		tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
		if (!HeapTupleIsValid(tuple))
			return 0;
		form = (Form_pg_class) GETSTRUCT(tuple);
		hash = mix(hash, ((uint64) relid << 32) | form->relfilenode);
		ReleaseSysCache(tuple);
		if (has_children(relid) ||
			!mix_triggers(relid, row_function, truncate_function, &hash))
			return 0;
	}
	return hash != 0 ? hash : 1;
}

uint64_t
gm_identity(void)
{
	uint64		result = 0;

	if (gm_likely(valid))
		return cached;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
		registered = true;
	}
	for (int i = 0; i < MOST_TRIES && !valid; i++)
	{
		uint64		before = changes;

		/* until it is valid the callback counts every relation's */
		result = compute();
		if (changes == before)
		{
			cached = result;
			valid = true;
		}
	}
	return result;
}
