/*-------------------------------------------------------------------------
 *
 * statistics.h
 *	  The planner's statistics keep values of columns: those of erased rows go.
 *
 * Columns that hold long texts or documents have no statistics (the install
 * script says so), nor have expressions of indexes.  Of names, kinds and types
 * a table keeps some hundreds of values, seldom one that is erased; if one is,
 * the column's statistics go and, if the caller owns the table, are made anew in
 * the same transaction.  The lock for that keeps out an ANALYZE that has sampled
 * the erased rows and would write afterwards.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_STATISTICS_H
#define GM_API_STATISTICS_H

#include "nodes/pg_list.h"

#include "api/sql.h"

/*
 * Before rows are deleted: their values that statistics hold, by a statement
 * whose rows are (table, column, value).  Allocated in the current context.
 */
#define GM_STATISTICS_OF(table) \
	"(SELECT s.attname::pg_catalog.text, v.value FROM pg_catalog.pg_stats s, LATERAL (" \
	"SELECT pg_catalog.unnest(s.most_common_vals::pg_catalog.text::pg_catalog.text[])" \
	" UNION ALL SELECT pg_catalog.unnest(s.histogram_bounds::pg_catalog.text::pg_catalog.text[])" \
	") AS v(value) WHERE s.schemaname" GM_EQ "'graphmem' AND s.tablename" GM_EQ "'" table "'" \
	" AND s.attname" GM_EQ "ANY ('{name,kind,literal_type,session}'::pg_catalog.name[]))"

/* of a statement that selects from the table: names and values of its columns */
#define GM_IN_STATISTICS(table, columns) \
	", LATERAL (VALUES " columns ") AS x(attname, value)" \
	" WHERE (x.attname, x.value)" GM_EQ "ANY (" GM_STATISTICS_OF(table) ")"

extern List *gm_statistics_find(GmSql *sql, Datum *args);

/*
 * After it: columns lose their statistics if those hold a value that no row has
 * any more.  A NOTICE names those that the caller may not analyze.
 */
extern void gm_statistics_renew(List *found);

#endif							/* GM_API_STATISTICS_H */
