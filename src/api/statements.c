/*-------------------------------------------------------------------------
 *
 * statements.c
 *	  Statements on views that are written to: see statements.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "api/statements.h"

static GmStatement *statements = NULL;

TriggerData *
gm_statement_trigger(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called by trigger manager")));
	return (TriggerData *) fcinfo->context;
}

static void
drop_statements(int nest_level)
{
	while (statements != NULL && statements->nest_level >= nest_level)
	{
		GmStatement *top = statements;

		statements = top->below;
		MemoryContextDelete(top->context);
	}
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		drop_statements(0);
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		drop_statements(GetCurrentTransactionNestLevel());
}

GmStatement *
gm_statement_open(const TriggerData *trigger)
{
	static bool registered = false;
	MemoryContext context;
	GmStatement *statement;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	context = AllocSetContextCreate(TopTransactionContext, "graphmem view statement",
									ALLOCSET_DEFAULT_SIZES);
	statement = MemoryContextAllocZero(context, sizeof(GmStatement));
	statement->context = context;
	statement->view = RelationGetRelid(trigger->tg_relation);
	statement->event = trigger->tg_event & TRIGGER_EVENT_OPMASK;
	statement->nest_level = GetCurrentTransactionNestLevel();
	statement->below = statements;
	statements = statement;
	return statement;
}

GmStatement *
gm_statement_find(const TriggerData *trigger)
{
	GmStatement *statement = statements;

	while (statement != NULL &&
		   (statement->view != RelationGetRelid(trigger->tg_relation) ||
			statement->event != (trigger->tg_event & TRIGGER_EVENT_OPMASK)))
		statement = statement->below;
	if (statement == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("no statement is open on view \"%s\"",
						RelationGetRelationName(trigger->tg_relation)),
				 errhint("The triggers of graphmem's views belong to no other view.")));
	return statement;
}

void
gm_statement_insert_only(const TriggerData *trigger)
{
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("lines of view \"%s\" cannot be changed",
						RelationGetRelationName(trigger->tg_relation)),
				 errhint("Change graphmem.facts and graphmem.entities instead.")));
}

HeapTuple
gm_statement_inserted(const TriggerData *trigger)
{
	return heap_copytuple(trigger->tg_trigtuple);
}

void
gm_statement_close(GmStatement *statement)
{
	GmStatement **link = &statements;

	while (*link != statement)
		link = &(*link)->below;
	*link = statement->below;
	MemoryContextDelete(statement->context);
}
