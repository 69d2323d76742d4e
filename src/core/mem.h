/*-------------------------------------------------------------------------
 *
 * mem.h
 *	  Memory that an image lives in: extents, and references into them.
 *
 * A GmMem is a process's handle on a growing set of extents.  What is inside
 * holds no pointers: a GmRef is an extent number and an offset, and means the
 * same in every process that maps the extents, wherever it maps them.  Where
 * extents come from is the owner's business (GmMemOps): malloc for private
 * images and unit tests, shared memory segments for the shared one.
 *
 * Extents never move and grow from the first size by doubling up to
 * GM_MEM_MAX_EXTENT; a single larger request gets an extent of its own.
 *
 * Interface
 *	 gm_mem_create		handle without extents
 *	 gm_mem_destroy		give every extent back
 *	 gm_mem_alloc		zeroed bytes, 8-byte aligned (64 from 4 kB on)
 *	 gm_mem_alloc_words	4-byte words, aligned to them: no rounding up
 *	 gm_mem_ptr			resolve a reference; valid until destroy
 *	 gm_mem_charge		count process-local memory against the limit too
 *	 gm_mem_temp		process-local working memory, charged until it is freed
 *
 * Limits	2^24 extents, 2^40 bytes each; the byte limit given at creation,
 *			checked before anything is allocated (GM_OVER_BUDGET)
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_MEM_H
#define GM_CORE_MEM_H

#include "core/base.h"

typedef uint64_t GmRef;			/* 0 refers to nothing */

#define GM_MEM_OFFSET_BITS	40
#define GM_MEM_TEMPS		8
#define GM_MEM_MAX_EXTENT	((size_t) 256 << 20)

typedef struct GmMemOps
{
	void	   *(*create) (void *arg, size_t bytes);	/* NULL if refused; zeroed */
	void		(*destroy) (void *arg, void *base, size_t bytes);

	/*
	 * Optional: asked before a request beyond the limit is refused.  True if
	 * it has raised the limit, perhaps by giving up something elsewhere; it is
	 * asked again while that is not enough.
	 */
	bool		(*pressure) (void *arg, size_t bytes);
	void	   *arg;
} GmMemOps;

typedef struct GmMem
{
	char	  **base;			/* by extent number; [0] is never used */
	size_t	   *size;
	uint32_t	extents;		/* extents in use, numbered 1 .. extents */
	uint32_t	slots;			/* allocated length of base and size */
	size_t		next;			/* free bytes of the last extent start here */
	size_t		next_size;		/* size of the next extent */
	size_t		limit;			/* bytes; 0 means none */
	size_t		charged;		/* bytes of extents plus gm_mem_charge */
	size_t		used;			/* bytes handed out */
	void	   *temp[GM_MEM_TEMPS]; /* gm_mem_temp not freed yet */
	size_t		temp_size[GM_MEM_TEMPS];
	GmMemOps	ops;
} GmMem;

/*
 * ops NULL, or its create NULL: malloc (large extents by anonymous huge pages
 * where possible)
 */
extern GmStatus gm_mem_create(size_t first_extent, size_t limit, const GmMemOps *ops,
							  GmMem **mem);
extern void gm_mem_destroy(GmMem *mem);

extern GmStatus gm_mem_alloc(GmMem *mem, size_t bytes, GmRef *ref);
extern GmStatus gm_mem_alloc_words(GmMem *mem, size_t words, GmRef *ref);

/* bytes may be negative; a positive charge beyond the limit is refused */
extern GmStatus gm_mem_charge(GmMem *mem, int64_t bytes);

/*
 * Zeroed; *p is NULL on failure; freeing NULL does nothing.  At most
 * GM_MEM_TEMPS at a time; gm_mem_destroy frees those that a longjmp left.
 */
extern GmStatus gm_mem_temp(GmMem *mem, size_t bytes, void **p);
extern void gm_mem_temp_free(GmMem *mem, void *p);

static inline void *
gm_mem_ptr(const GmMem *mem, GmRef ref)
{
	return mem->base[ref >> GM_MEM_OFFSET_BITS] +
		(ref & (((GmRef) 1 << GM_MEM_OFFSET_BITS) - 1));
}

#endif							/* GM_CORE_MEM_H */
