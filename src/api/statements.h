/*-------------------------------------------------------------------------
 *
 * statements.h
 *	  Statements on views that are written to, from their BEFORE STATEMENT to
 *	  their AFTER STATEMENT trigger.
 *
 * Open statements are a stack.  The server fires a view's statement triggers
 * once per kind of event and query, also when several writable CTEs have that
 * event, and a query nested in another (in a function that a row calls, say)
 * ends before the outer one goes on.  So the topmost entry of the view and
 * event is always the one that a row belongs to.  An entry remembers the
 * subtransaction that it was opened in, whose abort takes it away: a
 * statement never outlives its subtransaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_STATEMENTS_H
#define GM_API_STATEMENTS_H

#include "commands/trigger.h"
#include "fmgr.h"

typedef struct GmStatement
{
	void	   *state;			/* the trigger's own, NULL at first */
	MemoryContext context;		/* goes with the statement */

	/* private */
	struct GmStatement *below;
	Oid			view;
	TriggerEvent event;
	int			nest_level;
} GmStatement;

/* 39P01 if the function was not called as a trigger */
extern TriggerData *gm_statement_trigger(FunctionCallInfo fcinfo);

extern GmStatement *gm_statement_open(const TriggerData *trigger);
/* The one that the trigger's row or end belongs to; 39P01 if there is none. */
extern GmStatement *gm_statement_find(const TriggerData *trigger);
/* 0A000 unless a row is inserted: for views of lines, which take nothing else */
extern void gm_statement_insert_only(const TriggerData *trigger);

/*
 * What an INSTEAD OF INSERT trigger returns for its row.  Not the row itself:
 * the server frees its copy only if it gets another back, and COPY would keep
 * one for each line.
 */
extern HeapTuple gm_statement_inserted(const TriggerData *trigger);
extern void gm_statement_close(GmStatement *statement);

#endif							/* GM_API_STATEMENTS_H */
