/*-------------------------------------------------------------------------
 *
 * apply.h
 *	  Changing the image of a graph: a new version that shares what did not
 *	  change with the one before.
 *
 * The writer's handle is attached to the published root.  gm_apply_begin
 * starts a version, gm_apply_put and gm_apply_remove change it row by row,
 * gm_apply_finish merges the adjacency of the touched nodes and gives the new
 * root, which the caller publishes before it calls gm_apply_commit.  Until
 * then the handle shows the version half made: only this file reads it.
 * A fork (gm_mem_fork) is changed in the same way and simply used.
 *
 * Rows are told apart by their keys, and a row to be removed needs nothing but
 * its key; putting a row that is there replaces it, removing one that is not
 * does nothing: applying twice is harmless.
 *
 * Rows may come in any order.  A row whose row referred to is not there in the
 * end of a version (a triple without its entity, a vector of a fact without a
 * triple) is not in that version; it waits in the writer's handle and is in the
 * first version that has what it refers to.  A fork does not know what
 * waits in the handle that it was forked from.
 *
 * What results is the same, but for the numbers of nodes and slots, as an
 * image built from the rows that are there (test/unit/test_apply.c).
 *
 * Complexity	a row: the pages it touches are copied once a version; a triple:
 *				also the runs of its two ends, once a version however many
 *				triples of theirs changed
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_APPLY_H
#define GM_CORE_APPLY_H

#include "core/graph.h"
#include "core/row.h"
#include "core/space_index.h"

typedef struct GmApply GmApply;

/* intr may be NULL; asked in long loops, then GM_INTERRUPTED: abort */
extern GmStatus gm_apply_begin(GmGraph *graph, const GmInterrupt *intr, GmApply **apply);

/* gr_sequence and gr_max_xid of the version; until it is published */
extern void gm_apply_set_sequence(GmApply *apply, uint64_t sequence, uint64_t max_xid);

/*
 * The row's graph is not looked at.  GM_BAD_VALUE, and nothing done, for a
 * vector that its space cannot hold; GM_NO_MEMORY, GM_OVER_BUDGET: abort.
 * Tables: entities, aliases, predicates, triples, sources, assertions, spaces,
 * embeddings, topology.
 *
 * The rows of a computed space go with it, without a change of theirs.  So one
 * that comes back since its end is taken back (u.space.unread) comes without
 * them, and what is done to its rows is of no effect: GmGraphSpace.unread.
 */
extern GmStatus gm_apply_put(GmApply *apply, const GmRow *row);
extern GmStatus gm_apply_remove(GmApply *apply, const GmRow *row);

/*
 * The index of a space (space_index.h): gm_space_begin_index, gm_space_map and
 * gm_space_drop_index in this version.  A space that is not there any more is
 * left alone, *there false.
 */
extern GmStatus gm_apply_begin_index(GmApply *apply, int32_t space_id, const GmIndexer *indexer,
									 bool *there);
extern GmStatus gm_apply_map(GmApply *apply, int32_t space_id, const GmIndexer *indexer,
							 const GmSpaceNode *nodes, uint32_t n, bool *there);
extern GmStatus gm_apply_drop_index(GmApply *apply, int32_t space_id);

/*
 * now: a time not before the one the image was built for; what has become or
 * ceased to be valid by then changes runs.  *root: the new GmGraphRoot.
 * GM_BAD_VALUE: a vector is needed again that is in the table only.
 */
extern GmStatus gm_apply_finish(GmApply *apply, int64_t now, GmRef *root);

/* frees the apply; epoch as for gm_mem_commit */
extern void gm_apply_commit(GmApply *apply, uint64_t epoch);

/* frees the apply; the handle shows the version before again */
extern void gm_apply_abort(GmApply *apply);

/*
 * Rows that are not in this version because what they refer to is not, waiting
 * or, had there been no memory for that, forgotten.
 */
extern uint64_t gm_apply_dangling(const GmGraph *graph);

#endif							/* GM_CORE_APPLY_H */
