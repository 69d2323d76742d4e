/*-------------------------------------------------------------------------
 *
 * scratch.h
 *	  Working memory of the graph algorithms, kept from call to call.
 *
 * A process has one GmScratch.  It is a set of named buffers: those below
 * GM_BUF_ZEROED are all zero whenever no call is running, and a call that
 * wrote into them puts back exactly what it wrote, so that a small query on a
 * large graph costs nothing that grows with the graph.  Bitmaps are used in
 * place of epoch tags: of 2^18 nodes they fit the first-level cache.
 *
 * A call that ends early, by a status or because its caller was left by
 * longjmp, leaves the dirty flag set; the next gm_scratch_begin then clears
 * the zeroed buffers whole.
 *
 * Results live in buffers of their own, named at the function that returns
 * them, and stay until that function is called again or gm_scratch_trim.
 *
 * Interface
 *	 gm_scratch_create	empty
 *	 gm_scratch_destroy
 *	 gm_scratch_begin	enter a call
 *	 gm_scratch_end		leave it with the zeroed buffers zero again
 *	 gm_scratch_get		a buffer of at least so many bytes, contents kept
 *	 gm_scratch_trim	free the largest buffers until the rest is small enough
 *	 gm_scratch_rest	give the large buffers' pages back, their addresses stay
 *
 * Limits	limit bytes in all (0: none); beyond it GM_OVER_BUDGET before
 *			anything is allocated
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_SCRATCH_H
#define GM_CORE_SCRATCH_H

#include "core/base.h"

typedef enum GmBufferName
{
	/* zero between calls */
	GM_BUF_SEEN = 0,			/* bit by node */
	GM_BUF_SEEN_B,				/* bit by node: the search from the other end */
	GM_BUF_SETTLED,				/* bit by node */
	GM_BUF_SETTLED_B,
	GM_BUF_INDEX,				/* uint32 by node: number of a record, plus one */
	GM_BUF_LABEL,				/* uint64 by node */
	GM_BUF_LABEL_B,
	GM_BUF_SPOT,				/* 16 bytes by node: ppr.c */
	GM_BUF_SCORE,				/* double by node */
	GM_BUF_ZEROED,				/* the first that is not */

	/* anything between calls */
	GM_BUF_QUEUE = GM_BUF_ZEROED,
	GM_BUF_QUEUE_B,
	GM_BUF_SORT,
	GM_BUF_HEAP,
	GM_BUF_HEAP_B,
	GM_BUF_ENTRY,
	GM_BUF_ARCS,				/* of one node, collected through a filter */
	GM_BUF_WEIGHTS,				/* float by predicate */
	GM_BUF_CSR,
	GM_BUF_CSR_WEIGHT,
	GM_BUF_CSR_START,
	GM_BUF_SHARE,
	GM_BUF_DEGREE,
	GM_BUF_SEEDS,
	GM_BUF_BY_ID,
	GM_BUF_POSITION,
	GM_BUF_BANNED,
	GM_BUF_CANDIDATES,

	/* results */
	GM_BUF_ROWS,				/* gm_traverse, gm_subgraph (working) */
	GM_BUF_ORDER,				/* gm_traverse */
	GM_BUF_SUBGRAPH,			/* gm_subgraph */
	GM_BUF_PATH,				/* gm_shortest_path, gm_paths */
	GM_BUF_PATH_STEPS,
	GM_BUF_RANK,				/* gm_pagerank */
	GM_BUF_MASS,				/* gm_ppr, gm_hops_decay */
	GM_BUF_BEST,				/* gm_best_masses */
	GM_BUF_MEMBERS,				/* gm_component_members */
	GM_BUF_COMPONENT,			/* gm_components */
	GM_BUF_COMPONENT_SIZE,
	GM_BUF_PROOF,				/* gm_best_paths */
	GM_BUF_PROOF_STEPS,
	GM_BUF_COUNT
} GmBufferName;

typedef struct GmBuffer
{
	void	   *data;
	size_t		bytes;
} GmBuffer;

typedef struct GmScratch
{
	size_t		bytes;			/* allocated in all buffers */
	size_t		limit;
	bool		dirty;			/* a call is running, or was left early */
	uint64_t	records;		/* that walks which ended have looked at; only grows */
	GmBuffer	buffers[GM_BUF_COUNT];
} GmScratch;

extern GmStatus gm_scratch_create(size_t limit, GmScratch **scratch);
extern void gm_scratch_destroy(GmScratch *scratch);

extern void gm_scratch_begin(GmScratch *scratch);
extern void gm_scratch_end(GmScratch *scratch);

/*
 * Growing moves a buffer: pointers into it from before are void.  What a
 * zeroed buffer grows by is zero.  *data is a pointer to any object pointer.
 */
extern GmStatus gm_scratch_get(GmScratch *scratch, GmBufferName name, size_t bytes,
							   void *data);

/* between calls only; results are gone afterwards */
extern void gm_scratch_trim(GmScratch *scratch, size_t bytes);
extern void gm_scratch_rest(GmScratch *scratch);

static inline bool
gm_bit_test(const uint64_t *bits, uint32_t i)
{
	return (bits[i >> 6] >> (i & 63)) & 1;
}

static inline void
gm_bit_set(uint64_t *bits, uint32_t i)
{
	bits[i >> 6] |= UINT64_C(1) << (i & 63);
}

static inline void
gm_bit_clear(uint64_t *bits, uint32_t i)
{
	bits[i >> 6] &= ~(UINT64_C(1) << (i & 63));
}

static inline size_t
gm_bit_words(uint32_t n)
{
	return ((size_t) n + 63) / 64;
}

#endif							/* GM_CORE_SCRATCH_H */
