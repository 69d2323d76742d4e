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
 * The writer indexes between versions, through a GmIndexer: it makes nodes for
 * pending rows, has them linked, here or by other processes, and maps them in a
 * version.  A row that changed meanwhile is found out then: the node's code is
 * not that of its vector, and the node is dead.
 *
 * What makes that safe, beside PROTOCOL hnsw:
 *	 memory of the index is allocated between versions only: an abort would take
 *			back what a version allocated, and other processes would still use it
 *	 sp_dead grows at its end only, but for gm_space_map, so that its first
 *			GmIndexer.killed nodes stay the killed ones; none of them is killed
 *			again, though it may have been made anew by then
 *	 a version's view has no node that was made after it, so that its readers know
 *			every extent that they follow
 *
 * A fork changes its own rows in the same way and never touches the index.
 *
 * Where vectors are apart (space.h) a row's vector goes when its node is mapped.
 * Rows that were loaded as codes are pending with the node that they were made
 * as: these are compared by their codes, and the node is linked like others.
 * Such a space cannot do without its index.  Its searches find candidates by
 * codes, those of the index and of the pending rows, or all codes where the
 * index does not serve, and read the vectors of the nearest ones; exact ones
 * read all that count, some at a time.
 *
 * Interface
 *	 gm_space_wants_index	large enough, and none
 *	 gm_indexer_create, gm_indexer_attach, gm_indexer_destroy	writer, between versions
 *	 gm_space_begin_index	writer, inside a version: all rows are pending
 *	 gm_space_drop_index	writer, inside a version
 *	 gm_space_make_nodes	writer, between versions
 *	 gm_space_map			writer, inside a version
 *	 gm_space_tend			writer, between versions: kill, sweep and reuse, in steps
 *	 gm_space_dead			how many nodes await the sweep
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
	uint32_t	loaded;			/* 1: the space knows of it already */
} GmSpaceNode;

static inline bool
gm_space_has_index(const GmSpace *s)
{
	return s->root->sp_index.root != 0;
}

extern bool gm_space_wants_index(const GmSpace *space);

/* some rows are nowhere here but in the index */
static inline bool
gm_space_needs_index(const GmSpace *s)
{
	return s->root->sp_absent > 0;
}

static inline uint32_t
gm_space_pending(const GmSpace *s)
{
	return gm_space_has_index(s) ? (uint32_t) s->root->sp_pending.ar_length : 0;
}

/* nodes that lost their row and are not swept yet; hnsw is the space's index */
extern uint32_t gm_space_dead(const GmSpace *space, const GmHnsw *hnsw);

/*
 * The writer's hold of one space's index.  *space is the space of the newest
 * version in the calls below, begun where they are inside a version.
 */
typedef struct GmIndexer
{
	GmMem	   *mem;
	GmHnsw	   *hnsw;
	GmHnswWork *work;
	uint32_t	killed;			/* nodes of sp_dead, its first ones, that are killed */
	uint32_t	loaded;			/* nodes that were given out, and not mapped since, of
								 * rows loaded as codes: none is killed meanwhile */
	uint32_t	sweep_at;		/* GM_NONE: no sweep is under way */
	uint64_t	reuse_after;	/* epoch in which the last sweep ended; 0: reused since */
} GmIndexer;

/*
 * An index of nothing for the space (its centre is taken from a sample), which
 * belongs to the space from the version on in which gm_space_begin_index is
 * called; until then gm_indexer_destroy frees it if that comes to nothing.
 */
extern GmStatus gm_indexer_create(const GmSpace *space, GmHnswWork *work,
								  const GmInterrupt *intr, GmIndexer **indexer);

/*
 * For the index that the space has.  Nodes that were made for somebody who is
 * gone, and never mapped, are killed.
 */
extern GmStatus gm_indexer_attach(const GmSpace *space, GmHnswWork *work, GmIndexer **indexer);

/* the handle; drop: the index too, which no version has had */
extern void gm_indexer_destroy(GmIndexer *indexer, bool drop);

extern GmStatus gm_space_begin_index(GmSpace *space, const GmIndexer *indexer,
									 const GmInterrupt *intr);

/* GM_BAD_VALUE if the space needs it; so gm_space_begin_index, if there is one */
extern GmStatus gm_space_drop_index(GmSpace *space);

/*
 * Nodes for at most n rows from the *from-th pending one on; *from moves on,
 * *made says how many.  Places in that list change in gm_space_map and when a
 * pending row goes: an entry then moves from the end to the place of the one
 * that went, so nodes made for the first m rows (a job of others) stay the
 * first m, while those behind are made, linked and mapped again and again.
 */
extern GmStatus gm_space_make_nodes(const GmSpace *space, GmIndexer *indexer, uint32_t *from,
									uint32_t n, GmSpaceNode *nodes, uint32_t *made);

/*
 * Linked nodes get the rows that they were made for.  Nodes that are no row's
 * any more become dead; so may be called with n = 0 to drop what was killed
 * from the list of the dead.  After the commit, gm_space_mapped with the same
 * nodes.
 */
extern GmStatus gm_space_map(GmSpace *space, const GmIndexer *indexer,
							 const GmSpaceNode *nodes, uint32_t n, const GmInterrupt *intr);
extern void gm_space_mapped(GmIndexer *indexer, const GmSpaceNode *nodes, uint32_t n);

/*
 * Between versions: kill the dead, sweep when an eighth of all is dead (or, if
 * idle, any), reuse what was swept when no reader is older.  oldest: of
 * gm_epoch_oldest; *swept: a sweep has ended, or nodes have gone that versions
 * know of: the caller advances the epoch and
 * sets reuse_after to what gm_epoch_advance returned.  *more: there is more to
 * do now.  No sweep while somebody links (linking).
 */
extern GmStatus gm_space_tend(const GmSpace *space, GmIndexer *indexer, uint64_t oldest,
							  bool idle, bool linking, uint32_t most, bool *swept, bool *more);

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

	/*
	 * In place of a bitmap where many rows are allowed, NULL: all.  Asked about
	 * rows that may be hits, about all if too few of those are allowed.
	 */
	bool		(*accept) (void *arg, uint32_t row);
	void	   *arg;
} GmSpaceWish;

/* how it was done, for counters and for EXPLAIN-like views */
typedef struct GmSpaceReport
{
	bool		exact;			/* every allowed row was compared */
	bool		fell_back;		/* the index was tried and had not enough */
	uint64_t	compared;		/* full-precision vectors */
	uint64_t	distances;		/* of codes, in the index */
} GmSpaceReport;

/*
 * The k nearest of the allowed rows, nearest first, ties by item id: exact if
 * wished, if the space has no index or if that is cheaper; else candidates from
 * the index, with their exact distances, and the pending rows.  Always
 * min(k, allowed rows) of them.  hits has room for min(k, rows) + 1.
 */
extern GmStatus gm_space_nearest(GmSpace *space, GmHnswWork *work, const GmSpaceQuery *query,
								 const GmSpaceWish *wish, const GmInterrupt *intr,
								 GmSpaceHit *hits, uint32_t *found, GmSpaceReport *report);

/*
 * Is what stands for the row of this vector, but for rounding: its hash, and its
 * code if it has one; true where vectors are not apart.
 */
extern bool gm_space_is_row_of(GmSpace *space, GmHnswWork *work, uint32_t row,
							   const float *vector);

/* every rule of mapping and index; what is broken, in words, or NULL, also if it was interrupted */
extern const char *gm_space_check_index(GmSpace *space, const GmInterrupt *intr, uint32_t *row);

#endif							/* GM_CORE_SPACE_INDEX_H */
