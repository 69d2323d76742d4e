/*-------------------------------------------------------------------------
 *
 * statistics.c
 *	  The planner's statistics keep values of columns: see statistics.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/heap.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "api/statistics.h"
#include "compat.h"

typedef struct Held
{
	char	   *table;
	char	   *column;
	char	   *value;
} Held;

static GmSql still_held = {
	"SELECT EXISTS (SELECT FROM pg_catalog.pg_stats s WHERE s.schemaname" GM_EQ "'graphmem'"
	" AND s.tablename" GM_EQ "$1 AND s.attname" GM_EQ "$2 AND ($3" GM_EQ
	"ANY (s.most_common_vals::pg_catalog.text::pg_catalog.text[]) OR $3" GM_EQ
	"ANY (s.histogram_bounds::pg_catalog.text::pg_catalog.text[])))",
	3, {NAMEOID, NAMEOID, TEXTOID}
};

static char *
text_of(uint64 row, int col)
{
	bool		isnull;

	return TextDatumGetCString(gm_sql_datum(row, col, &isnull));
}

List *
gm_statistics_find(GmSql *sql, Datum *args)
{
	List	   *found = NIL;

	gm_sql_run(sql, args, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Held	   *h = palloc_object(Held);

		h->table = text_of(row, 1);
		h->column = text_of(row, 2);
		h->value = text_of(row, 3);
		found = lappend(found, h);
	}
	gm_sql_done();
	return found;
}

static bool
answer(int result)
{
	bool		isnull;
	bool		yes;

	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not look for a value: %s", SPI_result_code_string(result));
	yes = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return yes;
}

/* has another row, of whatever graph, the same value */
static bool
is_in_table(const Held *h)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(h->value);

	return answer(SPI_execute_with_args(psprintf("SELECT EXISTS (SELECT FROM graphmem.%s WHERE %s"
												 GM_EQ "$1)",
												 quote_identifier(h->table),
												 quote_identifier(h->column)),
										1, &type, &value, NULL, false, 0));
}

static Oid
owner_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "relation %u does not exist", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static bool
is_held(const Held *h)
{
	NameData	table;
	NameData	column;
	Datum		args[3] = {NameGetDatum(&table), NameGetDatum(&column), CStringGetTextDatum(h->value)};
	bool		isnull;
	bool		held;

	namestrcpy(&table, h->table);
	namestrcpy(&column, h->column);
	gm_sql_run(&still_held, args, NULL);
	held = DatumGetBool(gm_sql_datum(0, 1, &isnull));
	gm_sql_done();
	return held;
}

/*
 * ANALYZE leaves the statistics of an empty table as they are, and only the
 * owner may run it: so they go first.
 */
static void
renew(const Held *h)
{
	Oid			relid = gm_sql_relid(h->table);

	LockRelationOid(relid, ShareUpdateExclusiveLock);
	RemoveStatistics(relid, get_attnum(relid, h->column));
	CommandCounterIncrement();
	if (!has_privs_of_role(GetUserId(), owner_of(relid)))
		ereport(NOTICE,
				(errmsg("column \"%s\" of table \"%s\" has no statistics any more", h->column,
						h->table),
				 errdetail("They held erased text."),
				 errhint("Have the table's owner run ANALYZE graphmem.%s.", h->table)));
	else if (SPI_execute(psprintf("ANALYZE graphmem.%s (%s)", quote_identifier(h->table),
								  quote_identifier(h->column)), false, 0) < 0)
		elog(ERROR, "could not analyze \"%s\"", h->table);
}

void
gm_statistics_renew(List *found)
{
	int			level = NewGUCNestLevel();
	ListCell   *lc;

	/* looking for a value that has no index */
	(void) set_config_option("enable_seqscan", "on", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	foreach(lc, found)
		if (is_held(lfirst(lc)) && !is_in_table(lfirst(lc)))
			renew(lfirst(lc));
	AtEOXact_GUC(true, level);
}
