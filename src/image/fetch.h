/*-------------------------------------------------------------------------
 *
 * fetch.h
 *	  Table rows as GmRow: from tuples in triggers, and by place.
 *
 * Attribute numbers are looked up by name once per relation, so that columns
 * added or moved by hand do no harm.
 *
 * Interface
 *	 gm_row_table		which of the image's tables a relation is
 *	 gm_row_relid		the other way round
 *	 gm_row_view		the columns that the image keeps, as they are stored
 *	 gm_row_from_view	what the image keeps of a tuple
 *	 gm_row_fetch		the same of the tuple at a place, if it is still there
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_IMAGE_FETCH_H
#define GM_IMAGE_FETCH_H

#include "access/htup.h"
#include "utils/relcache.h"

#include "core/row.h"

#define GM_ROW_COLUMNS	12		/* as many as the widest of the tables has */

/* values as they are stored, perhaps out of line; they point into the tuple */
typedef struct GmRowView
{
	Datum		value[GM_ROW_COLUMNS];
	bool		null[GM_ROW_COLUMNS];
} GmRowView;

/* GM_TABLE_NONE for others; compares names in the schema graphmem, cached by oid */
extern GmTable gm_row_table(Relation rel);

/* InvalidOid if there is no such table */
extern Oid	gm_row_relid(GmTable table);

extern void gm_row_view(Relation rel, GmTable table, HeapTuple tuple, GmRowView *view);

/* are both the same as far as the image is concerned; false if that is costly to tell */
extern bool gm_row_view_same(GmTable table, const GmRowView *a, const GmRowView *b);

/*
 * Texts and vectors point into the tuple, or are palloc'ed in the current
 * context; an active snapshot is needed if they are stored out of line.
 * False if the contents are longer than so many bytes: then the row is its
 * graph and key only.
 */
extern bool gm_row_from_view(GmTable table, const GmRowView *view, size_t limit, GmRow *row);

/* graph and key only: quick */
extern void gm_row_key_from_tuple(Relation rel, GmTable table, HeapTuple tuple, GmRow *row);

/* of topology_vectors: it says that the entity has none, and images do not have it */
extern bool gm_row_has_no_vector(Relation rel, HeapTuple tuple);

/* row: of this tuple; its key is enough */
extern void gm_place_of_tuple(Relation rel, HeapTuple tuple, const GmRow *row, GmPlace *place);

typedef enum GmFetched
{
	GM_FETCH_FOUND,
	GM_FETCH_GONE,				/* dead to every snapshot: a later change tells what
								 * became of the row */
	GM_FETCH_LOCKED,			/* somebody holds a lock on the table (nowait only) */
	GM_FETCH_MOVED				/* the table was rewritten, or is gone: places mean
								 * nothing any more, load the graph again */
} GmFetched;

/*
 * Reads the tuple at the place whoever may see it.  Needs a transaction and an
 * active snapshot; takes AccessShareLock, conditionally if nowait, and keeps
 * it until the end of the transaction.  The row is palloc'ed in the current
 * context.
 */
extern GmFetched gm_row_fetch(GmTable table, const GmPlace *place, int32_t graph_id,
							  bool nowait, GmRow *row);

#endif							/* GM_IMAGE_FETCH_H */
