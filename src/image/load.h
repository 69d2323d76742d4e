/*-------------------------------------------------------------------------
 *
 * load.h
 *	  From the tables to an image.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_IMAGE_LOAD_H
#define GM_IMAGE_LOAD_H

#include "core/graph.h"
#include "core/row.h"
#include "image/image.h"

/*
 * All of these read under the active snapshot and the current role; the
 * caller is connected to SPI.
 */

/* 0 if there is no such graph */
extern int32_t gm_load_graph_id(const char *name);

/* graph is created in mem; on error it is left to the caller, possibly half built */
extern void gm_load_graph(int32_t graph_id, int64_t now, GmMem *mem, GmGraph **graph);

/* rows of vector_spaces, palloc'ed in the current context */
extern GmSpaceInfo *gm_load_spaces(int32_t graph_id, int *count);
extern void gm_load_space(const GmGraph *graph, GmMem *mem, GmSpaceInfo *info);

/*
 * With every space inside the image, as the shared one has them.  encode: of
 * what is to be read from the table codes only are kept (gm_space_encode).
 */
extern void gm_load_graph_and_spaces(int32_t graph_id, int64_t now, GmMem *mem, bool encode,
									 GmGraph **graph);

/* has the graph a space that would be loaded as codes */
extern bool gm_load_has_codes(int32_t graph_id);

/* the plans are ones made while index scans are disabled, kept apart from the others */
extern bool gm_load_by_scan;

/* bytes that the image will take, from a look at every row */
extern size_t gm_load_estimate(int32_t graph_id);

/*
 * Called every thousand rows of a table, and with GM_TABLE_NONE about once a
 * millisecond while rows are put in order; NULL: nobody wants to know.
 */
extern void (*gm_load_progress) (GmTable table, uint64 rows);

/* does row security hide rows of the image's tables from the current role */
extern bool gm_load_row_security(void);

/* is this one of the image's tables, as they were at the last load */
extern bool gm_load_reads(Oid relid);

#endif							/* GM_IMAGE_LOAD_H */
