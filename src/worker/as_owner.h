/*-------------------------------------------------------------------------
 *
 * as_owner.h
 *	  Transactions of the topology process, and its statements.
 *
 * The tables are ordinary ones, and what their owner hangs on them must not
 * run with this process's rights: what is done between begin and end is done
 * as the owner of the tables, in a security-restricted operation, without a
 * search_path.  Meanwhile DROP DATABASE and CREATE INDEX CONCURRENTLY take the
 * process for an ordinary one (worker/main.h).
 *
 * An error in between needs no end, but the abort of the transaction and
 * gm_worker_set_friendly(true).
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_AS_OWNER_H
#define GM_WORKER_AS_OWNER_H

#include "executor/spi.h"

typedef struct GmAsOwner
{
	Oid			user;
	int			context;
	int			level;			/* of settings */
} GmAsOwner;

/* a transaction with an active snapshot; the current memory context stays what it is */
extern void gm_as_owner_begin(GmAsOwner *as);
extern void gm_as_owner_end(GmAsOwner *as);

/* after an error was caught: the transaction it left, and what it held, go; raises none */
extern void gm_as_owner_recover(void);

/* planned once; must be right whatever the tables' sizes, so that it scans none whole */
typedef struct GmStatement
{
	const char *text;
	int			nargs;
	Oid			args[4];
	SPIPlanPtr	plan;			/* private */
} GmStatement;

/* operators that no search_path can bend */
#define GM_EQUALS	" OPERATOR(pg_catalog.=) "

/*
 * Between SPI_connect and SPI_finish; the result is in SPI_tuptable.  The
 * current memory context stays what it is.
 */
extern uint64 gm_statement_read(GmStatement *statement, Datum *values);
extern uint64 gm_statement_write(GmStatement *statement, Datum *values);

/* column col (from 1) of a row; NULL and 0 where isnull is not asked for */
extern Datum gm_statement_value(uint64 row, int col, bool *isnull);

#endif							/* GM_WORKER_AS_OWNER_H */
