/*-------------------------------------------------------------------------
 *
 * traverse.h
 *	  Walks over the adjacency: reach, traversal, subgraph, neighbourhood.
 *
 * A hop is one visible edge in the view's direction.  All searches go level by
 * level (breadth first) with a bitmap of the nodes seen.  Where the view lets
 * every current record through they read neighbour arrays in place; otherwise
 * a node's visible edges are collected first, and the loops are the same.
 *
 * max_hops: 0 or more, GM_BAD_VALUE below; a walk ends where nothing new is
 * found, so any large number means "everything that can be reached".
 *
 * Interface
 *	 gm_reach			how many nodes, and the sum of their ids
 *	 gm_traverse		the nodes in order, each with a shortest way to it
 *	 gm_traverse_path	that way, from its seed
 *	 gm_subgraph		the triples between the nodes
 *	 gm_near			the nodes as a bitmap
 *	 gm_walk_*			visible arcs of a node, for path.c and rank.c too
 *
 * Memory		reach, near: 4 bytes a node; traverse: 44 bytes a row; subgraph:
 *				that and 24 bytes a triple
 * Complexity	records of the nodes expanded; traverse and subgraph sort what
 *				they return
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_TRAVERSE_H
#define GM_CORE_TRAVERSE_H

#include "core/graph.h"
#include "core/scratch.h"

/*
 * Distinct nodes within max_hops of the seed, without the seed; checksum is
 * the sum of their entity ids modulo 2^64.
 */
extern GmStatus gm_reach(const GmGraph *graph, const GmView *view, GmScratch *scratch,
						 GmNode seed, int max_hops, const GmInterrupt *intr,
						 uint64_t *count, uint64_t *checksum);

/* bitmap: gm_bit_words(gr_nodes) words, the caller's, zeroed; seeds included */
extern GmStatus gm_near(const GmGraph *graph, const GmView *view, GmScratch *scratch,
						const GmNode *seeds, uint32_t seed_count, int max_hops,
						const GmInterrupt *intr, uint64_t *bitmap);

#define GM_ALL_ROWS		UINT64_MAX

typedef struct GmTraverseOpts
{
	int			max_hops;
	bool		depth_first;	/* order of the rows returned */
	uint64_t	match_count;	/* rows returned; GM_ALL_ROWS: all */
	const uint64_t *kinds;		/* bitmap of nodes that may be returned; NULL: all */
} GmTraverseOpts;

typedef struct GmTraverseRow
{
	GmNode		node;
	uint32_t	hops;
	uint32_t	parent;			/* row; GM_NONE: a seed */
	GmSlot		slot;			/* triple from the parent; GM_NONE: a seed */
	bool		out;			/* the parent is its subject */
} GmTraverseRow;

typedef struct GmTraversal
{
	const GmTraverseRow *rows;	/* all nodes walked, by hops, then entity id */
	uint32_t	row_count;
	const uint32_t *order;		/* rows returned, in the order asked for */
	uint32_t	order_count;
} GmTraversal;

/*
 * The nodes within max_hops of any seed, seeds at 0 hops (a seed given twice
 * counts once).  The parent of a node is, of its neighbours one hop nearer,
 * the one with the smallest entity id; the slot, of the triples between the
 * two, the one with the smallest triple id.
 *
 * Breadth first: by hops, then entity id; the walk ends with the level in
 * which match_count is reached.  Depth first: preorder of the tree that the
 * parents make, seeds and children by entity id: same rows, same hops.
 */
extern GmStatus gm_traverse(const GmGraph *graph, const GmView *view, GmScratch *scratch,
							const GmNode *seeds, uint32_t seed_count,
							const GmTraverseOpts *opts, const GmInterrupt *intr,
							GmTraversal *result);

/*
 * Slots from the seed to a row, in walking order: rows[row].hops of them.  out
 * may be NULL.
 */
extern void gm_traverse_path(const GmTraversal *result, uint32_t row,
							 GmSlot *slots, bool *out);

typedef struct GmSubgraphRow
{
	GmSlot		slot;
	uint32_t	hops;			/* of the end farther from the seeds */
} GmSubgraphRow;

/*
 * Visible triples with both ends within max_hops of the seeds, by (hops,
 * triple id), at most match_count.  The direction decides how far a node is,
 * not which triples between two of them count.
 */
extern GmStatus gm_subgraph(const GmGraph *graph, const GmView *view, GmScratch *scratch,
							const GmNode *seeds, uint32_t seed_count, int max_hops,
							uint64_t match_count, const GmInterrupt *intr,
							const GmSubgraphRow **rows, uint64_t *row_count);

/*
 * Visible arcs of one node
 */
typedef struct GmArcs
{
	const GmNode *neighbor[2];	/* [0] the node is the subject, [1] the object */
	const uint32_t *predicate[2];
	const GmSlot *slot[2];
	uint32_t	length[2];
} GmArcs;

typedef struct GmWalk
{
	const GmGraph *graph;
	GmView		view;
	GmScratch  *scratch;
	const GmInterrupt *intr;
	bool		direct;			/* arcs are the runs themselves */
	uint64_t	work;			/* records since the last look at intr */
	uint64_t	total;			/* records in all */
} GmWalk;

extern void gm_walk_begin(GmWalk *walk, const GmGraph *graph, const GmView *view,
						  GmScratch *scratch, const GmInterrupt *intr);

/* the filtered form of gm_walk_arcs: copies into scratch, next call overwrites */
extern GmStatus gm_walk_collect(GmWalk *walk, GmNode node, GmArcs *arcs);

/*
 * The sum of the weights of a node's visible arcs (weights by predicate; NULL:
 * all 1), or any number that is not below most once it is reached.
 */
extern double gm_walk_weight(GmWalk *walk, GmNode node, const float *weights, double most);

/* does the node exist, and may a walk start there */
static inline bool
gm_walk_has(const GmGraph *graph, GmNode node)
{
	return node < graph->root->gr_nodes;
}

/* the same edges against the walking direction */
static inline GmDirection
gm_direction_reversed(GmDirection direction)
{
	return direction == GM_OUT ? GM_IN : direction == GM_IN ? GM_OUT : GM_BOTH;
}

/*
 * In a direct walk with GM_BOTH a self-loop is in both halves; gm_walk_collect
 * gives it once.
 */
static inline GmStatus
gm_walk_arcs(GmWalk *walk, GmNode node, GmArcs *arcs)
{
	const GmNodeRuns *runs;
	GmRunView	v;

	if (gm_unlikely(!walk->direct))
		return gm_walk_collect(walk, node, arcs);
	runs = (const GmNodeRuns *) gm_array_at(&walk->graph->runs, node);
	*arcs = (GmArcs) {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}, {0, 0}};
	if (walk->view.direction & GM_OUT)
	{
		v = gm_graph_run_view(walk->graph, &runs->out);
		arcs->neighbor[0] = v.neighbor;
		arcs->predicate[0] = v.predicate;
		arcs->slot[0] = v.slot;
		arcs->length[0] = v.length;
	}
	if (walk->view.direction & GM_IN)
	{
		v = gm_graph_run_view(walk->graph, &runs->in);
		arcs->neighbor[1] = v.neighbor;
		arcs->predicate[1] = v.predicate;
		arcs->slot[1] = v.slot;
		arcs->length[1] = v.length;
	}
	walk->work += arcs->length[0] + (uint64_t) arcs->length[1];
	return GM_OK;
}

/* count what was done, and ask the callback */
extern bool gm_walk_look(GmWalk *walk);

/* ask the callback if enough was done since the last time */
static inline bool
gm_walk_interrupted(GmWalk *walk)
{
	if (gm_likely(walk->work < GM_INTERRUPT_EVERY))
		return false;
	return gm_walk_look(walk);
}

/* what it has looked at counts */
static inline void
gm_walk_end(GmWalk *walk)
{
	walk->scratch->records += walk->total + walk->work;
}

/* runs of a node soon, its records sooner */
static inline void
gm_walk_prefetch_runs(const GmWalk *walk, GmNode node)
{
	gm_prefetch(gm_array_at(&walk->graph->runs, node));
}

static inline void
gm_walk_prefetch_arcs(const GmWalk *walk, GmNode node)
{
	const GmNodeRuns *runs = (const GmNodeRuns *) gm_array_at(&walk->graph->runs, node);

	if ((walk->view.direction & GM_OUT) && runs->out.rn_length > 0)
		gm_prefetch(gm_mem_ptr(walk->graph->mem, runs->out.rn_block));
	if ((walk->view.direction & GM_IN) && runs->in.rn_length > 0)
		gm_prefetch(gm_mem_ptr(walk->graph->mem, runs->in.rn_block));
}

/*
 * Sorts values (nodes or slots in the upper 32 bits, anything in the lower
 * ones) by the id that ids holds for the upper half.  tmp has room for n.
 */
extern void gm_sort_by_id(const GmArray *ids, uint64_t *values, size_t n, uint64_t *tmp);

#endif							/* GM_CORE_TRAVERSE_H */
