/*-------------------------------------------------------------------------
 *
 * space_index.h
 *	  A space's rows and its index of near neighbours (hnsw.h): which node
 *	  stands for which row, and searches that use both.
 *
 * The index is changed in place, the rows by versions.  A version holds, with
 * its rows, the node of each row and the row of each node, both maintained by
 * gm_space_put and gm_space_remove:
 *	 pending	rows that have no node yet: searches compare them one by one
 *	 dead		nodes that lost their row; the writer kills them and then sweeps
 * so a search of any version gives only rows of that version, by their vectors
 * of that version, whatever has happened to the index since.
 *
 * The writer indexes between versions: it makes nodes for pending rows (by
 * gm_space_make_nodes), has them linked, here or by other processes, and maps
 * them in a version (gm_space_map).  A row that changed meanwhile is found out
 * then: the node's code is not that of its vector, and the node is dead.
 *
 * A fork changes its own rows in the same way and never touches the index.
 *
 * Interface
 *	 gm_space_wants_index	large enough, and none
 *	 gm_space_new_index		writer, between versions: an index of nothing
 *	 gm_space_begin_index	writer, inside a version: all rows are pending
 *	 gm_space_drop_index	writer, inside a version
 *	 gm_space_make_nodes, gm_space_link_nodes	writer, between versions
 *	 gm_space_map			writer, inside a version
 *	 gm_space_tend			writer, between versions: kill, sweep and reuse, in steps
 *	 gm_space_nearest		a search, by the way that is cheaper
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_SPACE_INDEX_H
#define GM_CORE_SPACE_INDEX_H

#include "core/hnsw.h"
#include "core/space.h"

/* smaller spaces are searched exactly and have no index */
#define GM_SPACE_INDEX_FROM	10000

/* nodes made for rows and not mapped yet */
typedef struct GmSpaceNode
{
	int64_t		item_id;
	uint32_t	node;
	uint32_t	unused;
} GmSpaceNode;

static inline bool
gm_space_has_index(const GmSpace *s)
{
	return s->root->sp_index.root != 0;
}

extern bool gm_space_wants_index(const GmSpace *space);

static inline uint32_t
gm_space_pending(const GmSpace *s)
{
	return gm_space_has_index(s) ? (uint32_t) s->root->sp_pending.ar_length : 0;
}

/*
 * Writer.  An index is made outside of a version and belongs to the space from
 * the version on in which gm_space_begin_index is called; until then the
 * caller frees it if that comes to nothing.
 */
extern GmStatus gm_space_new_index(GmSpace *space, const GmInterrupt *intr, GmHnsw **hnsw);
extern GmStatus gm_space_begin_index(GmSpace *space, GmHnsw *hnsw, const GmInterrupt *intr);
extern GmStatus gm_space_drop_index(GmSpace *space);

/*
 * Writer, between versions.  Nodes for at most n pending rows that are not
 * among the first *from in the list; *made says how many, *from moves on.  The
 * caller keeps them until they are mapped.
 */
extern GmStatus gm_space_make_nodes(GmSpace *space, GmHnsw *hnsw, GmHnswWork *work, uint32_t *from,
									uint32_t n, GmSpaceNode *nodes, uint32_t *made);

/* writer, inside a version; nodes that are no row's any more come to the dead */
extern GmStatus gm_space_map(GmSpace *space, GmHnsw *hnsw, GmHnswWork *work,
							 const GmSpaceNode *nodes, uint32_t n, const GmInterrupt *intr);

/*
 * How the caller wants a search done; zero: everything found, no limit.
 */
typedef struct GmSpaceWish
{
	uint32_t	k;
	uint32_t	ef_search;		/* at least k is taken */
	bool		exact;
	uint32_t	without;		/* a row that is left out; GM_NONE: none */
	const uint64_t *allowed;	/* bit by row; NULL: all */
} GmSpaceWish;

/* how it was done, for counters and for EXPLAIN-like views */
typedef struct GmSpaceReport
{
	bool		exact;			/* every allowed row was compared */
	bool		fell_back;		/* the index was tried and had not enough */
	uint64_t	compared;		/* full-precision vectors */
	uint64_t	distances;		/* of codes */
} GmSpaceReport;

/*
 * The k nearest of the allowed rows, nearest first, ties by item id: exact if
 * wished, if the space has no index or if that is cheaper; else candidates from
 * the index, with their exact distances, and the pending rows.  Always
 * min(k, allowed rows) of them.  hits has room for min(k, rows).
 */
extern GmStatus gm_space_nearest(GmSpace *space, GmHnswWork *work, const GmSpaceQuery *query,
								 const GmSpaceWish *wish, const GmInterrupt *intr,
								 GmSpaceHit *hits, uint32_t *found, GmSpaceReport *report);

/* every rule of mapping and index; what is broken, in words, or NULL */
extern const char *gm_space_check_index(GmSpace *space, uint32_t *row);

#endif							/* GM_CORE_SPACE_INDEX_H */
