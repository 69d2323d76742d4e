/*-------------------------------------------------------------------------
 *
 * hnsw.h
 *	  A graph of near neighbours over codes, for finding candidates fast: HNSW
 *	  (Malkov and Yashunin, IEEE TPAMI 42(4), 2020), changed in place.
 *
 * A node is a code, a level and links; which row of which version of a space it
 * stands for is space.h's to know.  A search therefore gives candidates, and
 * the space decides which of them count and how near they are.
 *
 * PROTOCOL hnsw
 * Shared		the index of a space, in the graph's memory, outside of its
 *				versions: it is changed in place.
 * Writer		nodes are made (code, level, room for links), killed and freed by the
 *				graph's writer alone, outside of a version.  Linking a node that is
 *				made may be done by several processes at once.
 * Readers		lock-free, inside an epoch section, through the GmHnswView of the
 *				version they read: how many nodes and upper blocks there were and
 *				where their chunks are.  What a link refers to beyond that is
 *				skipped.
 * Publication	of a node: 1. code, level, empty links.  2. its number in a
 *				neighbour's links, release (a reader's load of a link acquires).
 *				of a link: a store of 4 bytes.  A block is changed one link after the
 *				other; whatever mixture of old and new ones a reader meets, each is a
 *				node's number.
 * Reuse		of a node: it is killed (searches go on through it), swept (no link
 *				refers to it any more), and freed when the readers of that time have
 *				left (epoch.h).  Chunks stay until the index goes.
 * Staleness	a search may miss what was linked after it began, no more.
 * Locks		a byte for each node, held by a linking process over the change of
 *				one block of links; never two at a time.
 * Death		of a linking process by a signal that cannot be caught: the server
 *				restarts and all is made anew.  Otherwise it finishes the node it is
 *				at; nodes not linked are linked by somebody else.
 * Tests		test/unit/test_hnsw.c, also under the thread sanitizer
 *
 * Layout	chunks of 2^hn_chunk nodes: codes apart from links.  A node has 2 m links
 *			at level 0 and m at each level above, GM_NONE behind the last; those
 *			above in one block of the upper chunks.
 *
 * Interface
 *	 gm_hnsw_create, gm_hnsw_free	writer
 *	 gm_hnsw_view, gm_hnsw_attach, gm_hnsw_reattach, gm_hnsw_destroy
 *	 gm_hnsw_add		a node, not linked
 *	 gm_hnsw_link		link it; any process
 *	 gm_hnsw_kill		it is no item's any more
 *	 gm_hnsw_sweep		take links to killed nodes away, in steps
 *	 gm_hnsw_reuse		swept nodes may be made anew
 *	 gm_hnsw_search		the nodes nearest to a query, about
 *
 * Complexity	search: about ef_search * m distances; link: about
 *				ef_construction * m; sweep: n blocks, and about m^2 distances for
 *				each that has lost links
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_HNSW_H
#define GM_CORE_HNSW_H

#include <stdatomic.h>

#include "core/code.h"
#include "core/mem.h"

#define GM_HNSW_LEVELS	16
#define GM_HNSW_MOST_M	100
#define GM_HNSW_MOST_NODES	(((uint32_t) 1 << 31) - 1)
#define GM_HNSW_TABLES	32		/* more than a table of chunks can double */

typedef enum GmHnswState
{
	GM_HNSW_FREE = 0,			/* no node */
	GM_HNSW_MADE,				/* not linked yet */
	GM_HNSW_LINKING,			/* a process is at it */
	GM_HNSW_LINKED,
	GM_HNSW_DEAD,				/* killed: a way for others, until it is swept */
	GM_HNSW_SWEPT				/* no link refers to it; waits for readers */
} GmHnswState;

/* one per node */
typedef struct GmHnswNode
{
	_Atomic uint8_t state;		/* GmHnswState */
	_Atomic uint8_t lock;
	uint8_t		level;
	uint8_t		sweep;			/* of a dead one: hn_sweep when it was killed */
	_Atomic uint32_t upper;		/* the first of its level blocks of m links above level 0;
								 * GM_NONE: none */
} GmHnswNode;

typedef struct GmHnswRoot
{
	uint32_t	hn_dim;
	uint8_t		hn_metric;		/* GmMetric */
	uint8_t		hn_kind;		/* GmCodeKind */
	uint16_t	hn_m;
	uint32_t	hn_ef_construction;
	uint32_t	hn_chunk;		/* log2 of a chunk's nodes */
	GmRef		hn_centre;		/* float [dim]; 0: none */
	GmRef		hn_chunks;		/* GmHnswChunk [hn_chunk_room] */
	uint32_t	hn_chunk_room;
	uint32_t	hn_chunk_count;
	GmRef		hn_uppers;		/* GmRef [hn_upper_room]: chunks of upper blocks */
	uint32_t	hn_upper_room;
	uint32_t	hn_upper_count;
	uint32_t	hn_upper_next;	/* upper blocks in use, those freed since among them */
	uint32_t	hn_upper_free[GM_HNSW_LEVELS];	/* lists of blocks, by level: the number of
												 * the next in the first link */
	GmRef		hn_old_chunks[GM_HNSW_TABLES];	/* tables before these, for older views */
	GmRef		hn_old_uppers[GM_HNSW_TABLES];
	_Atomic uint32_t hn_nodes;	/* made, those freed since among them */
	_Atomic uint64_t hn_entry;	/* level << 32 | node; UINT64_MAX: nothing is linked */
	_Atomic uint32_t hn_linked; /* how many are in which state */
	_Atomic uint32_t hn_dead;
	uint32_t	hn_swept;
	uint32_t	hn_free;
	GmRef		hn_free_list;	/* uint32 [hn_free_room]: nodes to make anew, swept ones behind */
	uint32_t	hn_free_room;
	uint32_t	hn_sweep;		/* how many sweeps have begun */
	_Atomic uint64_t hn_begun;	/* changes, so that a check knows whether any was under way */
	_Atomic uint64_t hn_ended;
} GmHnswRoot;

typedef struct GmHnswChunk
{
	GmRef		codes;			/* stride bytes each */
	GmRef		links;			/* uint32 [2 m] each */
	GmRef		nodes;			/* GmHnswNode each */
} GmHnswChunk;

/* what of an index belongs to a version */
typedef struct GmHnswView
{
	GmRef		root;			/* 0: no index */
	GmRef		chunks;
	GmRef		uppers;
	uint32_t	nodes;
	uint32_t	upper_blocks;	/* as hn_upper_next */
	uint64_t	entry;			/* as hn_entry */
} GmHnswView;

typedef struct GmHnsw GmHnsw;	/* a process's handle */
typedef struct GmHnswWork GmHnswWork;	/* working memory of searches and of linking */

typedef struct GmHnswHit
{
	uint32_t	node;
	float		distance;		/* of codes: code.h */
} GmHnswHit;

/*
 * Writer, outside of a version.  centre: dim floats or NULL, as for
 * gm_coder_centre.
 */
extern GmStatus gm_hnsw_create(GmMem *mem, uint32_t dim, GmMetric metric, GmCodeKind kind,
							   uint32_t m, uint32_t ef_construction, const float *centre,
							   GmHnsw **hnsw);

/* writer, when it begins again with an index that is there: GmHnswView.root */
extern GmStatus gm_hnsw_attach_writer(GmMem *mem, GmRef root, GmHnsw **hnsw);

/* writer: the index as it is now */
extern void gm_hnsw_view(const GmHnsw *hnsw, GmHnswView *view);

/* for reading, or for linking: no lock, no allocation in the image */
extern GmStatus gm_hnsw_attach(const GmMem *mem, const GmHnswView *view, GmHnsw **hnsw);
extern GmStatus gm_hnsw_reattach(GmHnsw *hnsw, const GmHnswView *view);
extern void gm_hnsw_destroy(GmHnsw *hnsw);	/* the handle */

/* retire all of it: inside a version, or outside with no reader left */
extern GmStatus gm_hnsw_free(GmMem *mem, GmHnsw *hnsw);

extern GmRef gm_hnsw_ref(const GmHnsw *hnsw);	/* of the root */
extern const GmCoder *gm_hnsw_coder(const GmHnsw *hnsw);
extern const GmHnswRoot *gm_hnsw_root(const GmHnsw *hnsw);
extern const void *gm_hnsw_code(const GmHnsw *hnsw, uint32_t node);
extern GmHnswState gm_hnsw_state(const GmHnsw *hnsw, uint32_t node);

/* bytes in the image: codes, links, all */
extern void gm_hnsw_bytes(const GmHnsw *hnsw, uint64_t *codes, uint64_t *links, uint64_t *total);

/*
 * Working memory, kept from call to call; grows as needed, GM_NO_MEMORY.
 */
extern GmHnswWork *gm_hnsw_work_create(void);
extern void gm_hnsw_work_destroy(GmHnswWork *work);
extern size_t gm_hnsw_work_bytes(const GmHnswWork *work);

/*
 * Writer, outside of a version.  The vector as gm_code_encode takes it.  seed:
 * decides the level; the same for an item in every build.
 */
extern GmStatus gm_hnsw_add(GmMem *mem, GmHnsw *hnsw, GmHnswWork *work, const float *vector,
							float scale, uint64_t seed, uint32_t *node);

/* does the node's code equal that of the vector */
extern bool gm_hnsw_same(const GmHnsw *hnsw, GmHnswWork *work, uint32_t node,
						 const float *vector, float scale);

/* the same but for rounding, in which kernels may differ */
extern bool gm_hnsw_near(const GmHnsw *hnsw, GmHnswWork *work, uint32_t node,
						 const float *vector, float scale);

/* any process; a node that is linked already is left alone */
extern GmStatus gm_hnsw_link(GmHnsw *hnsw, GmHnswWork *work, uint32_t node);

/* writer; a node that was never linked is swept at once */
extern GmStatus gm_hnsw_kill(GmMem *mem, GmHnsw *hnsw, uint32_t node);

/*
 * Writer, while nobody links.  A sweep goes over all nodes, most of them at a
 * call, from *at = 0 until *at is GM_NONE; those killed since it began stay
 * dead until the next.  *at is GM_NONE at once if nothing is dead.
 */
extern GmStatus gm_hnsw_sweep(GmMem *mem, GmHnsw *hnsw, GmHnswWork *work, uint32_t most,
							  uint32_t *at);

/* writer: no reader is left that began before the last sweep ended */
extern void gm_hnsw_reuse(GmHnsw *hnsw);

/*
 * Which nodes count; asked about nodes that are near enough to be hits.  A node
 * that does not count is a way to others.
 */
typedef struct GmHnswAccept
{
	bool		(*accept) (void *arg, uint32_t node);
	void	   *arg;
} GmHnswAccept;

/*
 * The ef nodes nearest to the query among those that count (accept NULL: all
 * linked ones), nearest first, ties by number; approximate.  hits has room for
 * ef.  most: how many distances may be computed, 0 for any number; *gave_up
 * tells that they did not suffice, hits is then what was found so far.
 * GM_INTERRUPTED only if most is beyond what a millisecond computes.
 */
extern GmStatus gm_hnsw_search(GmHnsw *hnsw, GmHnswWork *work, const GmQuery *query, uint32_t ef,
							   const GmHnswAccept *accept, uint64_t most,
							   const GmInterrupt *intr, GmHnswHit *hits, uint32_t *found,
							   uint64_t *distances, bool *gave_up);

/* a query for this index in the work's memory; as gm_query_vector */
extern GmStatus gm_hnsw_query(GmHnsw *hnsw, GmHnswWork *work, const float *vector, float scale,
							  const GmQuery **query);

/*
 * What a file of an index holds of a node (hnsw_file.h), and back: a node is
 * put with its links, 2 m of level 0 and m of each level above, and links to
 * what was not put are left out by gm_hnsw_put_finish, which also finds the
 * entry.  Nodes get the numbers 0, 1, ...; one with code NULL stays free.
 * GM_BAD_VALUE for what cannot be a code.
 */
extern const uint32_t *gm_hnsw_links(const GmHnsw *hnsw, uint32_t node, uint32_t level,
									 uint32_t *room);
extern GmStatus gm_hnsw_put(GmMem *mem, GmHnsw *hnsw, uint32_t level, const void *code,
							const uint32_t *links, uint32_t *node);
extern GmStatus gm_hnsw_put_finish(GmMem *mem, GmHnsw *hnsw, const GmInterrupt *intr);

/* every rule of an index; what is broken, in words, or NULL, also if it was interrupted */
extern const char *gm_hnsw_check(GmHnsw *hnsw, const GmInterrupt *intr, uint32_t *node);

#endif							/* GM_CORE_HNSW_H */
