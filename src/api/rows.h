/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  Result rows of the reading functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_ROWS_H
#define GM_API_ROWS_H

#include "fmgr.h"
#include "nodes/execnodes.h"

#include "core/graph.h"

/*
 * A set's rows go into a tuplestore as they are made: gm_rows_begin, then for
 * each row set values and nulls (all NULL at first) and gm_rows_put.  What
 * they point to is freed after each row.
 */
typedef struct GmRows
{
	ReturnSetInfo *result;
	MemoryContext row_context;	/* what does not fit into the arena */
	char	   *arena;			/* values of the row being made */
	Size		arena_used;
	bool		used_context;
	Datum	   *values;
	bool	   *nulls;
	int			next;			/* column that gm_row_* fills next */
	int			columns;
	uint64		count;
} GmRows;

extern void gm_rows_begin(FunctionCallInfo fcinfo, GmRows *rows);
extern void gm_rows_put(GmRows *rows);

/* columns in order, from the left */
extern void gm_row_null(GmRows *rows);
extern void gm_row_int8(GmRows *rows, int64_t value);
extern void gm_row_int4(GmRows *rows, int32_t value);
extern void gm_row_bool(GmRows *rows, bool value);
extern void gm_row_oid(GmRows *rows, Oid value);
extern void gm_row_float4(GmRows *rows, float value);
extern void gm_row_float8(GmRows *rows, double value);
extern void gm_row_cstring(GmRows *rows, const char *value);
extern void gm_row_string(GmRows *rows, const GmString *value);	/* NULL: null */
extern void gm_row_time(GmRows *rows, int64_t value);	/* open ends: null */
extern void gm_row_int8s(GmRows *rows, const int64_t *values, int count);
extern void gm_row_strings(GmRows *rows, const GmString **values, int count);

/* memory that lasts as long as the row being made, aligned for any type */
extern void *gm_row_alloc(GmRows *rows, Size size);
extern MemoryContext gm_row_memory(GmRows *rows);

/*
 * What a row reads is spread over the image, so what later rows will read is
 * fetched while it is made.  nodes and slots are the first ones of an array
 * of count structs, stride bytes apart; i is the row to be made.
 */
extern void gm_rows_fetch_nodes(const GmGraph *graph, const GmNode *nodes, Size stride,
								uint64 i, uint64 count);
extern void gm_rows_fetch_slots(const GmGraph *graph, const GmSlot *slots, Size stride,
								uint64 i, uint64 count);

/*
 * The path and path_ids columns: "a -[p]-> b <-[q]- c", the way from a node
 * over these slots, out telling for each whether it goes from its subject to
 * its object.
 */
extern void gm_row_path(GmRows *rows, const GmGraph *graph, GmNode from,
						const GmSlot *slots, const bool *out, int length);

#endif							/* GM_API_ROWS_H */
