/*-------------------------------------------------------------------------
 *
 * as_owner.c
 *	  Transactions of the topology process, and its statements.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "image/fetch.h"
#include "worker/as_owner.h"
#include "worker/main.h"

static void
set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static Oid
table_owner(void)
{
	Oid			relid = gm_row_relid(GM_TABLE_TRIPLES);
	Relation	rel;
	Oid			owner;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("a table of the extension is missing")));
	rel = table_open(relid, AccessShareLock);
	owner = rel->rd_rel->relowner;
	table_close(rel, AccessShareLock);
	return owner;
}

void
gm_as_owner_begin(GmAsOwner *as)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			owner;

	gm_worker_set_friendly(false);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	owner = table_owner();
	PushActiveSnapshot(GetTransactionSnapshot());
	GetUserIdAndSecContext(&as->user, &as->context);
	as->level = NewGUCNestLevel();
	SetUserIdAndSecContext(owner, as->context | SECURITY_RESTRICTED_OPERATION);
	set("search_path", "");
	set("jit", "off");
	MemoryContextSwitchTo(context);
}

void
gm_as_owner_end(GmAsOwner *as)
{
	MemoryContext context = CurrentMemoryContext;

	AtEOXact_GUC(true, as->level);
	SetUserIdAndSecContext(as->user, as->context);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	gm_worker_set_friendly(true);
}

void
gm_as_owner_recover(void)
{
	HOLD_INTERRUPTS();
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	AbortOutOfAnyTransaction();
	gm_worker_set_friendly(true);
	FlushErrorState();
	RESUME_INTERRUPTS();
}

static SPIPlanPtr
plan_of(GmStatement *statement)
{
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(statement->text, statement->nargs, statement->args,
											  CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", statement->text,
				 SPI_result_code_string(SPI_result));
		statement->plan = plan;
	}
	return statement->plan;
}

static uint64
run(GmStatement *statement, Datum *values, bool read_only)
{
	MemoryContext context = CurrentMemoryContext;
	int			level = NewGUCNestLevel();
	int			result;

	set("enable_seqscan", "off");
	result = SPI_execute_plan(plan_of(statement), values, NULL, read_only, 0);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->text, SPI_result_code_string(result));
	AtEOXact_GUC(true, level);
	MemoryContextSwitchTo(context);
	return SPI_processed;
}

uint64
gm_statement_read(GmStatement *statement, Datum *values)
{
	return run(statement, values, true);
}

uint64
gm_statement_write(GmStatement *statement, Datum *values)
{
	return run(statement, values, false);
}

Datum
gm_statement_value(uint64 row, int col, bool *isnull)
{
	bool		unwanted;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col,
						 isnull == NULL ? &unwanted : isnull);
}
