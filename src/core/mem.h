/*-------------------------------------------------------------------------
 *
 * mem.h
 *	  Memory that an image lives in: extents, and references into them.
 *
 * A GmMem is a process's handle on the memory of one image.  What is inside
 * holds no pointers: a GmRef is an extent number and an offset, and means the
 * same in every process that maps the extents, wherever it maps them.
 *
 * Three sorts:
 *	 private	extents of its own, by malloc or what ops.create gives, numbered
 *				from 1; they grow from the first size by doubling up to
 *				GM_MEM_MAX_EXTENT, a larger request gets one of its own
 *	 shared		slabs of extents that somebody else numbers and maps; base is
 *				the process's table of their addresses, which only grows
 *	 fork		reads a shared image and allocates in extents of its own,
 *				numbered from GM_MEM_FORK_FROM: changes nobody else sees
 *
 * Versions.  An image that others read is never changed where they can see
 * it: a writer begins, allocates what is new, retires what is replaced,
 * publishes a new root and commits.  Retired blocks are reused once no reader
 * of an older version is left (epoch.h); after an abort all that was allocated
 * since the beginning is free again.  An image outside any version (one that
 * is being built) is nobody else's yet and may be written anywhere.
 *
 * Interface
 *	 gm_mem_create		private
 *	 gm_mem_create_shared	over slabs; one per graph in the writer
 *	 gm_mem_attach		shared, for reading only
 *	 gm_mem_fork		over a shared one
 *	 gm_mem_destroy		give every extent or slab back
 *	 gm_mem_alloc		zeroed bytes, 8-byte aligned (64 from 4 kB on)
 *	 gm_mem_alloc_words	4-byte words, aligned to them: no rounding up
 *	 gm_mem_free		zero a block and reuse it at once: nobody can have seen it
 *	 gm_mem_retire		the same when this version's predecessors are gone
 *	 gm_mem_begin, gm_mem_commit, gm_mem_abort
 *	 gm_mem_reclaim		make retired blocks free that no reader can see
 *	 gm_mem_tidy		join free blocks that are neighbours, in an idle moment
 *	 gm_mem_ptr			resolve a reference
 *	 gm_mem_charge		count process-local memory against the limit too
 *	 gm_mem_temp		process-local working memory, charged until it is freed
 *
 * Memory	blocks below 4 kB are rounded up to words, larger ones by less than a
 *			sixteenth
 * Limits	4096 own extents, or 1023 shared ones, of 2^40 bytes; the byte limit
 *			given at creation, checked before anything is allocated
 *			(GM_OVER_BUDGET)
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
#define GM_MEM_FORK_FROM	1024	/* shared extents have smaller numbers */

typedef struct GmMemOps
{
	/* zeroed, aligned to 64 bytes; NULL if refused */
	void	   *(*create) (void *arg, size_t bytes);
	void		(*destroy) (void *arg, void *base, size_t bytes);

	/*
	 * Shared only: at least *bytes somewhere in the extents, 64-byte aligned,
	 * zeroed; *bytes becomes what was given.  GM_NO_MEMORY, GM_OVER_BUDGET.
	 * What is released may hold anything.
	 */
	GmStatus	(*slab) (void *arg, size_t *bytes, GmRef *ref);
	void		(*release) (void *arg, GmRef ref, size_t bytes);

	/*
	 * Optional: asked before a request beyond the limit is refused.  True if
	 * it has raised the limit, perhaps by giving up something elsewhere; it is
	 * asked again while that is not enough.
	 */
	bool		(*pressure) (void *arg, size_t bytes);
	void	   *arg;
} GmMemOps;

typedef struct GmMemVersions GmMemVersions; /* private to mem.c: free, retired, allocated */

typedef struct GmMem
{
	char	  **base;			/* by extent number; [0] is never used */
	bool		own_base;		/* base is malloc'ed by this handle */
	bool		shared;			/* allocates slabs */
	uint32_t	first;			/* number of the first own extent */
	uint32_t	extents;		/* own extents in use, or slabs */
	uint32_t	slots;			/* allocated length of the lists below */
	GmRef	   *start;			/* of each own extent or slab */
	size_t	   *size;
	GmRef		next;			/* free bytes of the last extent or slab start here */
	size_t		left;			/* and are so many */
	size_t		next_size;		/* size of the next extent or slab */
	size_t		limit;			/* bytes; 0 means none */
	size_t		charged;		/* bytes of extents or slabs plus gm_mem_charge */
	size_t		used;			/* bytes handed out and neither freed nor reclaimed */
	void	   *temp[GM_MEM_TEMPS]; /* gm_mem_temp not freed yet */
	size_t		temp_size[GM_MEM_TEMPS];
	GmMemVersions *versions;	/* NULL until something is freed or begun */
	GmMemOps	ops;
} GmMem;

/*
 * ops NULL, or its create NULL: malloc (large extents by anonymous huge pages
 * where possible)
 */
extern GmStatus gm_mem_create(size_t first_extent, size_t limit, const GmMemOps *ops,
							  GmMem **mem);

/* ops->slab and ops->release are required; slabs grow from first_slab to 8 MB */
extern GmStatus gm_mem_create_shared(char **base, size_t first_slab, size_t limit,
									 const GmMemOps *ops, GmMem **mem);
extern GmStatus gm_mem_attach(char **base, GmMem **mem);

/* the addresses below GM_MEM_FORK_FROM are copied now: see gm_mem_fork_rebase */
extern GmStatus gm_mem_fork(char **base, size_t limit, const GmMemOps *ops, GmMem **mem);
extern void gm_mem_fork_rebase(GmMem *fork, char **base);
extern void gm_mem_destroy(GmMem *mem);

extern GmStatus gm_mem_alloc(GmMem *mem, size_t bytes, GmRef *ref);
extern GmStatus gm_mem_alloc_words(GmMem *mem, size_t words, GmRef *ref);

/*
 * bytes as they were asked for.  Freeing or retiring what a fork does not own
 * does nothing; 0 refers to nothing and is allowed.
 */
extern void gm_mem_free(GmMem *mem, GmRef ref, size_t bytes);
extern void gm_mem_retire(GmMem *mem, GmRef ref, size_t bytes);

extern GmStatus gm_mem_begin(GmMem *mem);

/*
 * epoch: the global epoch that readers of the version before may have entered
 * with (gm_epoch_advance returns it).  Retired blocks become free in a later
 * gm_mem_reclaim whose oldest is greater.
 */
extern void gm_mem_commit(GmMem *mem, uint64_t epoch);
extern void gm_mem_abort(GmMem *mem);
extern void gm_mem_reclaim(GmMem *mem, uint64_t oldest);

/*
 * Does something if an eighth of all bytes was freed since the last time, and
 * no version is open.  Interrupted, it has done nothing; so without memory.
 */
extern GmStatus gm_mem_tidy(GmMem *mem, const GmInterrupt *intr);

/* bytes retired and not reclaimed yet */
extern size_t gm_mem_limbo(const GmMem *mem);

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
