/*-------------------------------------------------------------------------
 *
 * sql.h
 *	  Saved statements of the writers, run as the calling user.
 *
 * The writers change tables by set-based SQL only, so that privileges, row
 * security, constraints and triggers of the tables hold as for hand-written
 * statements.  Every statement takes arrays, walks them in the order given
 * and looks each element up in an index.  The plans are made once, generic,
 * and must stay right when a table that was small then is large later in the
 * same transaction.  Hence scans of whole tables are switched off, and no
 * statement gives the planner a condition by which an index could drive the
 * join instead of the array: such conditions stand behind LATERAL with LIMIT
 * or OFFSET 0, which it does not pull up.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_SQL_H
#define GM_API_SQL_H

#include "executor/spi.h"
#include "utils/tuplesort.h"

#define GM_SQL_MAX_ARGS		12

/* operators that no search_path can bend */
#define GM_EQ	" OPERATOR(pg_catalog.=) "

/* Rows and bytes of one round of a set-based statement. */
#define GM_SQL_BATCH_ROWS	8192
#define GM_SQL_BATCH_BYTES	(8 * 1024 * 1024)

/* Memory of each sort and store of a writer, in kB; the rest is on disk. */
#define GM_SQL_STORE_KB		16384

typedef struct GmSql
{
	const char *text;
	int			nargs;
	Oid			args[GM_SQL_MAX_ARGS];
	SPIPlanPtr	plan;			/* private */
} GmSql;

/*
 * Enter before the first statement, leave after the last; they connect to
 * SPI and set the planner up.  An error in between needs no leave.
 */
extern int	gm_sql_enter(void);
extern void gm_sql_leave(int level);

/*
 * Runs with a fresh snapshot (in READ COMMITTED); rows are in SPI_tuptable
 * and SPI_processed, both of which the caller frees with gm_sql_done().
 *
 * The ids that a writer's statements contain are those that the writer found
 * itself.  That one of them is gone, or that what it deletes is referred to
 * after all, another transaction has brought about meanwhile: 40001, where a
 * statement on the tables raises 23503.
 */
extern void gm_sql_run(GmSql *sql, Datum *values, const char *nulls);
/* What gm_sql_run() does of it, in a PG_CATCH; returns if the error is another. */
extern void gm_sql_report_overtaken(MemoryContext context);
/* Reads under the active snapshot; needs SPI_connect only. */
extern void gm_sql_read(GmSql *sql, Datum *values, const char *nulls);
/* Reads what is committed now, also in REPEATABLE READ. */
extern void gm_sql_read_latest(GmSql *sql, Datum *values, const char *nulls);
extern void gm_sql_done(void);
/*
 * Nothing but in REPEATABLE READ and SERIALIZABLE.  There, 40001 "due to
 * concurrent WHAT" if the one row that the statement returns would be another
 * one by what is committed now; locks of the caller's must keep it the same.
 */
extern void gm_sql_refuse_stale(GmSql *sql, Datum *values, const char *what);

/* Column col (from 1) of row of the last result. */
extern int64 gm_sql_int8(uint64 row, int col);
extern Datum gm_sql_datum(uint64 row, int col, bool *isnull);

/* Parameter arrays; nulls may be NULL. */
extern Datum gm_sql_array(Oid type, Datum *values, bool *nulls, int n);

/* Sorts and stores of rows whose columns have these types. */
extern TupleDesc gm_sql_desc(int ncols, const Oid *types);
/* By the first nkeys columns, all of them int8, at most four. */
extern Tuplesortstate *gm_sql_sort(TupleDesc desc, int nkeys);
extern void gm_sql_put_sorted(Tuplesortstate *sort, TupleTableSlot *slot,
							  const Datum *values, const bool *nulls);

/*
 * The next id of a row, whatever the caller's privileges on the sequence, as
 * the column's default gives it.
 */
typedef enum GmIdKind
{
	GM_ID_ENTITY = 0,
	GM_ID_FACT
} GmIdKind;

extern int64 gm_sql_next_id(GmIdKind kind);

/* Arguments of functions that write: NULL if missing, or 22004 "WHAT must not be null". */
extern text *gm_sql_text_arg(FunctionCallInfo fcinfo, int n);
extern text *gm_sql_required_text(FunctionCallInfo fcinfo, int n, const char *what);

/* oid of a table or index of the schema graphmem */
extern Oid	gm_sql_relid(const char *name);

#endif							/* GM_API_SQL_H */
