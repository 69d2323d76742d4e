/*-------------------------------------------------------------------------
 *
 * hnsw_private.h
 *	  What the files of the HNSW graph share: a process's handle, its working
 *	  memory, and the way from a node's number to its code and links.
 *
 * A handle holds the addresses of the chunks of its view, so that a node's code
 * is a shift, a load and a multiplication away.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_HNSW_PRIVATE_H
#define GM_CORE_HNSW_PRIVATE_H

#include <string.h>

#include "core/hnsw.h"
#include "core/scratch.h"

/* an upper chunk's bytes at most; it has at least as many blocks as there are levels */
#define UPPER_BYTES		65536

typedef _Atomic uint32_t GmHnswLink;

struct GmHnsw
{
	const GmMem *mem;
	GmRef		ref;			/* of the root */
	GmHnswRoot *root;
	GmCoder		coder;
	uint32_t	m;
	uint32_t	shift;			/* log2 of a chunk's nodes */
	uint32_t	mask;
	uint32_t	upper_shift;	/* log2 of an upper chunk's blocks */
	uint32_t	nodes;			/* of the view; so are those below */
	uint32_t	upper_blocks;
	uint64_t	entry;
	uint32_t	chunks;			/* known by address */
	uint32_t	chunk_room;
	uint32_t	uppers;
	uint32_t	upper_room;
	char	  **code;			/* by chunk */
	GmHnswLink **link;
	GmHnswNode **node;
	GmHnswLink **upper;			/* by upper chunk */
};

/* a list of links being chosen */
typedef struct GmHnswChoice
{
	uint32_t	node;
	float		distance;
} GmHnswChoice;

struct GmHnswWork
{
	size_t		bytes;

	/* zero between calls: bit by node */
	uint64_t   *visited;
	size_t		visited_words;

	/* the nodes whose bits are set */
	uint32_t   *seen;
	uint32_t	seen_room;
	uint32_t	seen_count;

	/* found so far, nearest first: hnsw_search.c */
	uint64_t   *pool;
	uint32_t	pool_room;
	uint32_t	pool_count;

	/* to be looked at, a heap: searches in which not every node counts */
	uint64_t   *heap;
	uint32_t	heap_room;

	/* of one batch of distances */
	const void **code;
	float	   *distance;
	uint32_t	batch_room;

	char	   *same;			/* a code to compare with */
	uint32_t	same_room;

	/* linking and sweeping */
	GmHnswChoice *candidate;
	uint32_t	candidate_room;
	GmHnswChoice *chosen;
	uint32_t   *alive;
	uint32_t	chosen_room;

	GmCoder		coder;			/* the queries are made for */
	const GmCoder *coder_at;
	void	   *query_memory;
	size_t		query_room;
	GmQuery    *query;			/* a caller's */
	GmQuery    *own;			/* the node being linked */
	GmQuery    *other;			/* one that it is compared with */
};

/*
 * Numbers to places
 */
static inline const char *
gm_hnsw_code_at(const GmHnsw *h, uint32_t node)
{
	return h->code[node >> h->shift] + (size_t) (node & h->mask) * h->coder.stride;
}

/* what tells a code from another */
static inline size_t
gm_hnsw_code_bytes(const GmHnsw *h)
{
	return h->coder.tail + sizeof(GmCodeTail);
}

static inline GmHnswNode *
gm_hnsw_node_at(const GmHnsw *h, uint32_t node)
{
	return &h->node[node >> h->shift][node & h->mask];
}

static inline GmHnswState
gm_hnsw_state_at(const GmHnsw *h, uint32_t node)
{
	return (GmHnswState) atomic_load_explicit(&gm_hnsw_node_at(h, node)->state,
											  memory_order_acquire);
}

static inline GmHnswLink *
gm_hnsw_ground_at(const GmHnsw *h, uint32_t node)
{
	return h->link[node >> h->shift] + (size_t) (node & h->mask) * 2 * h->m;
}

static inline GmHnswLink *
gm_hnsw_upper_at(const GmHnsw *h, uint32_t block)
{
	return h->upper[block >> h->upper_shift] +
		(size_t) (block & ((1u << h->upper_shift) - 1)) * h->m;
}

/* a node's links at a level, NULL if the view has none */
static inline GmHnswLink *
gm_hnsw_block_at(const GmHnsw *h, uint32_t node, uint32_t level)
{
	const GmHnswNode *n;
	uint32_t	block;

	if (level == 0)
		return gm_hnsw_ground_at(h, node);
	n = gm_hnsw_node_at(h, node);
	block = atomic_load_explicit(&n->upper, memory_order_acquire);
	if (level > n->level || block >= h->upper_blocks)
		return NULL;
	return gm_hnsw_upper_at(h, block + level - 1);
}

static inline uint32_t
gm_hnsw_room(const GmHnsw *h, uint32_t level)
{
	return level == 0 ? 2 * h->m : h->m;
}

static inline uint32_t
gm_hnsw_load(const GmHnswLink *link)
{
	return atomic_load_explicit(link, memory_order_acquire);
}

static inline void
gm_hnsw_store(GmHnswLink *link, uint32_t node)
{
	atomic_store_explicit(link, node, memory_order_release);
}

#define GM_HNSW_NO_ENTRY	UINT64_MAX

static inline uint64_t
gm_hnsw_entry(uint32_t level, uint32_t node)
{
	return (uint64_t) level << 32 | node;
}

/*
 * hnsw.c
 */

/* the handle knows all that the root has: writer */
extern GmStatus gm_hnsw_refresh(GmHnsw *h);

/* a number, its code's place and level; the caller encodes and announces it */
extern GmStatus gm_hnsw_take_node(GmMem *mem, GmHnsw *h, uint32_t level, uint32_t *node);
extern void gm_hnsw_announce(GmHnsw *h, uint32_t node, GmHnswState state);

/* room in the list for so many free and swept nodes */
extern GmStatus gm_hnsw_free_room(GmMem *mem, GmHnsw *h, uint32_t want);
extern void gm_hnsw_now_swept(GmHnsw *h, uint32_t node);

/* where a search begins in this view: false if nothing is linked */
extern bool gm_hnsw_start(const GmHnsw *h, uint32_t *level, uint32_t *node);

static inline void
gm_hnsw_begin_change(GmHnsw *h)
{
	atomic_fetch_add_explicit(&h->root->hn_begun, 1, memory_order_acq_rel);
}

static inline void
gm_hnsw_end_change(GmHnsw *h)
{
	atomic_fetch_add_explicit(&h->root->hn_ended, 1, memory_order_acq_rel);
}

/*
 * hnsw_search.c
 */

/* room for searches of ef and lists of so many links */
extern GmStatus gm_hnsw_work_ready(const GmHnsw *h, GmHnswWork *w, uint32_t ef);

/* an array *p of *room elements of size bytes becomes large enough; contents kept */
extern GmStatus gm_hnsw_work_room(GmHnswWork *w, void *p, uint32_t *room, size_t bytes,
								  uint32_t want);

/* the node nearest to the query by the links of the levels above last */
extern void gm_hnsw_descend(GmHnsw *h, GmHnswWork *w, const GmQuery *query, uint32_t level,
							uint32_t last, uint32_t *node, float *distance, uint64_t *distances);

/*
 * Into the pool: the nodes near the query by the links of a level, at most cap,
 * of those at one distance at most ties.
 */
extern GmStatus gm_hnsw_search_level(GmHnsw *h, GmHnswWork *w, const GmQuery *query,
									 uint32_t level, uint32_t node, float distance, uint32_t cap,
									 uint32_t ties);

/* the same of linked nodes alone, however far through others */
extern GmStatus gm_hnsw_search_linked(GmHnsw *h, GmHnswWork *w, const GmQuery *query,
									  uint32_t level, uint32_t node, float distance,
									  uint32_t cap, uint32_t ties);

/* what a pool's element says */
static inline uint32_t
gm_hnsw_pool_node(uint64_t element)
{
	return (uint32_t) element >> 1;
}

static inline float
gm_hnsw_pool_distance(uint64_t element)
{
	uint32_t	bits = (uint32_t) (element >> 32);
	float		distance;

	bits ^= (bits >> 31) != 0 ? (uint32_t) 1 << 31 : UINT32_MAX;
	memcpy(&distance, &bits, sizeof(distance));
	return distance;
}

/* ascends with the distance, then the number; the lowest bit is free */
static inline uint64_t
gm_hnsw_pool_element(float distance, uint32_t node)
{
	uint32_t	bits;

	memcpy(&bits, &distance, sizeof(bits));
	bits ^= (uint32_t) ((int32_t) bits >> 31) | (uint32_t) 1 << 31;
	return (uint64_t) bits << 32 | (uint64_t) node << 1;
}

/*
 * hnsw_link.c
 */

/*
 * Of n candidates, nearest first, those to be linked to, at most most of them:
 * each nearer to the node than to any chosen before.  Into w->chosen; the count.
 */
extern uint32_t gm_hnsw_choose(GmHnsw *h, GmHnswWork *w, const GmHnswChoice *candidate,
							   uint32_t n, uint32_t most);

/*
 * at: during a sweep, the number of the node it is at in its first pass, plus
 * one, GM_NONE in the second; else 0.  Those that go and are below it count no
 * more.
 */
extern void gm_hnsw_link_back(GmHnsw *h, GmHnswWork *w, uint32_t from, uint32_t to,
							  uint32_t level, uint32_t at);

/* room for so many candidates */
extern GmStatus gm_hnsw_link_room(GmHnsw *h, GmHnswWork *w, uint32_t candidates);

/* distances of w's first n candidates from a node */
extern void gm_hnsw_measure(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t n);

/* during a sweep's second pass: a node's links become the best of n candidates */
extern void gm_hnsw_relink(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level, uint32_t n);

extern bool gm_hnsw_twins(const GmHnsw *h, uint32_t a, uint32_t b);

/* twins come to lead to each other, or others that these lead to */
extern void gm_hnsw_unite(GmHnsw *h, GmHnswWork *w, uint32_t twin, uint32_t other,
						  uint32_t level, uint32_t at);

/* killed before the last sweep began */
static inline bool
gm_hnsw_goes(const GmHnsw *h, uint32_t node)
{
	return gm_hnsw_state_at(h, node) == GM_HNSW_DEAD &&
		gm_hnsw_node_at(h, node)->sweep != (uint8_t) h->root->hn_sweep;
}

#endif							/* GM_CORE_HNSW_PRIVATE_H */
