/*-------------------------------------------------------------------------
 *
 * sql.c
 *	  Saved statements of the writers, run as the calling user.
 *
 * Limits	the planner settings that gm_sql_enter() makes are also in force
 *			in the tables' triggers and policies while a statement runs
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "api/sql.h"
#include "compat.h"


/* the writers keep int8 values of rows that are gone */
StaticAssertDecl(sizeof(Datum) == 8, "bigint must be passed by value");

static void
set_off(const char *name)
{
	(void) set_config_option(name, "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Under row security the name keys are no index conditions unless their
 * function is leakproof; then only a hash join is bearable.
 */
static bool
names_are_secured(void)
{
	static const char *const tables[] = {"entities", "predicates", "sources", "aliases"};

	for (size_t i = 0; i < lengthof(tables); i++)
		if (check_enable_rls(gm_sql_relid(tables[i]), InvalidOid, true) == RLS_ENABLED)
			return true;
	return false;
}

int
gm_sql_enter(void)
{
	int			level;

	SPI_connect();
	level = NewGUCNestLevel();
	set_off("enable_seqscan");
	set_off("jit");
	if (!names_are_secured())
	{
		set_off("enable_hashjoin");
		set_off("enable_mergejoin");
	}
	return level;
}

void
gm_sql_leave(int level)
{
	AtEOXact_GUC(true, level);
	SPI_finish();
}

static SPIPlanPtr
saved_plan(GmSql *sql)
{
	if (sql->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(sql->text, sql->nargs, sql->args,
											  CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", sql->text,
				 SPI_result_code_string(SPI_result));
		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "could not keep the plan of \"%s\"", sql->text);
		sql->plan = plan;
	}
	return sql->plan;
}

static void
check_result(const GmSql *sql, int code)
{
	if (code < 0)
		elog(ERROR, "could not run \"%s\": %s", sql->text,
			 SPI_result_code_string(code));
}

void
gm_sql_report_overtaken(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	/* foreign keys of others have a name */
	if (error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION && error->constraint_name == NULL &&
		error->schema_name != NULL && strcmp(error->schema_name, "graphmem") == 0)
	{
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent change of what is written or referred to"),
				 errdetail_internal("%s: %s", error->message, error->detail ? error->detail : ""),
				 errhint("Run the transaction again.")));
	}
	FreeErrorData(error);
}

/*
 * SPI comes back in its procedure's memory, which lasts until the last
 * statement: a writer's rounds are to stay in memory that they empty.
 */
void
gm_sql_run(GmSql *sql, Datum *values, const char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr	plan = saved_plan(sql);

	PG_TRY();
	{
		check_result(sql, SPI_execute_plan(plan, values, nulls, false, 0));
	}
	PG_CATCH();
	{
		gm_sql_report_overtaken(caller);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
}

void
gm_sql_read(GmSql *sql, Datum *values, const char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;

	check_result(sql, SPI_execute_plan(saved_plan(sql), values, nulls, true, 0));
	MemoryContextSwitchTo(caller);
}

void
gm_sql_read_latest(GmSql *sql, Datum *values, const char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;

	check_result(sql, SPI_execute_snapshot(saved_plan(sql), values, nulls,
										   GetLatestSnapshot(), InvalidSnapshot,
										   true, false, 0));
	MemoryContextSwitchTo(caller);
}

void
gm_sql_refuse_stale(GmSql *sql, Datum *values, const char *what)
{
	Datum		seen[GM_SQL_MAX_ARGS];
	bool		nulls[GM_SQL_MAX_ARGS];
	bool		same = true;
	int			n;

	if (!IsolationUsesXactSnapshot())
		return;
	gm_sql_run(sql, values, NULL);
	n = SPI_tuptable->tupdesc->natts;
	Assert(n <= GM_SQL_MAX_ARGS && SPI_processed == 1);
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(SPI_tuptable->tupdesc, i);
		Datum		value = gm_sql_datum(0, i + 1, &nulls[i]);

		seen[i] = nulls[i] ? (Datum) 0 : datumCopy(value, att->attbyval, att->attlen);
	}
	gm_sql_done();
	CommandCounterIncrement();
	gm_sql_read_latest(sql, values, NULL);
	for (int i = 0; i < n && same; i++)
	{
		Form_pg_attribute att = TupleDescAttr(SPI_tuptable->tupdesc, i);
		bool		isnull;
		Datum		value = gm_sql_datum(0, i + 1, &isnull);

		same = isnull == nulls[i] &&
			(isnull || datumIsEqual(seen[i], value, att->attbyval, att->attlen));
	}
	gm_sql_done();
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent %s", what),
				 errhint("Run the transaction again.")));
}

void
gm_sql_done(void)
{
	SPI_freetuptable(SPI_tuptable);
}

int64
gm_sql_int8(uint64 row, int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
									  col, &isnull);

	Assert(!isnull);
	return DatumGetInt64(value);
}

Datum
gm_sql_datum(uint64 row, int col, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col, isnull);
}

Datum
gm_sql_array(Oid type, Datum *values, bool *nulls, int n)
{
	int16		len;
	bool		byval;
	char		align;
	int			lower = 1;

	get_typlenbyvalalign(type, &len, &byval, &align);
	if (n == 0)
		return PointerGetDatum(construct_empty_array(type));
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, type,
											  len, byval, align));
}

text *
gm_sql_text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_TEXT_PP(n);
}

text *
gm_sql_required_text(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	return PG_GETARG_TEXT_PP(n);
}

Oid
gm_sql_relid(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid("graphmem", false));

	if (!OidIsValid(relid))
		elog(ERROR, "relation graphmem.%s does not exist", name);
	return relid;
}

int64
gm_sql_next_id(GmIdKind kind)
{
	static const char *const sequences[] = {
		[GM_ID_ENTITY] = "entities_entity_id_seq",
		[GM_ID_FACT] = "triples_fact_id_seq"
	};

	return nextval_internal(gm_sql_relid(sequences[kind]), false);
}

TupleDesc
gm_sql_desc(int ncols, const Oid *types)
{
	TupleDesc	desc = CreateTemplateTupleDesc(ncols);

	for (int i = 0; i < ncols; i++)
		TupleDescInitEntry(desc, (AttrNumber) (i + 1), "", types[i], -1, 0);
	return desc;
}

Tuplesortstate *
gm_sql_sort(TupleDesc desc, int nkeys)
{
	AttrNumber	columns[4];
	Oid			less[4];
	Oid			collations[4];
	bool		nulls_first[4];

	Assert(nkeys <= 4);
	for (int i = 0; i < nkeys; i++)
	{
		columns[i] = (AttrNumber) (i + 1);
		less[i] = Int8LessOperator;
		collations[i] = InvalidOid;
		nulls_first[i] = false;
	}
	return tuplesort_begin_heap(desc, nkeys, columns, less, collations, nulls_first,
								GM_SQL_STORE_KB, NULL, TUPLESORT_NONE);
}

void
gm_sql_put_sorted(Tuplesortstate *sort, TupleTableSlot *slot, const Datum *values, const bool *nulls)
{
	int			ncols = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, ncols * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, ncols * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(sort, slot);
}
