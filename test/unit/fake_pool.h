/*-------------------------------------------------------------------------
 *
 * fake_pool.h
 *	  Slabs for shared images in unit tests, from extents of this process.
 *
 * Slabs are zeroed, are a little larger than what was asked for,
 * and lie in two extents by turns.  What is released is filled with POOL_DEAD,
 * in words that are stored atomically: readers may be looking.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_TEST_FAKE_POOL_H
#define GM_TEST_FAKE_POOL_H

#include <string.h>
#include <sys/mman.h>

#include "core/mem.h"

#define POOL_EXTENTS	2
#define POOL_EXTENT		((size_t) 256 << 20)
#define POOL_DEAD		UINT64_C(0xdeaddeaddeaddead)
#define POOL_FREE		1000

typedef struct FakePool
{
	char	   *base[GM_MEM_FORK_FROM];
	size_t		next[POOL_EXTENTS];
	GmRef		free_ref[POOL_FREE];
	size_t		free_size[POOL_FREE];
	int			frees;
	int			turn;
	size_t		out;			/* bytes of slabs given and not released */
	int			refuse_after;	/* slabs; 0 never */
} FakePool;

static inline void
pool_fill(FakePool *pool, GmRef ref, size_t bytes, uint64_t word)
{
	uint64_t   *p = (uint64_t *) (pool->base[ref >> GM_MEM_OFFSET_BITS] +
								  (ref & (((GmRef) 1 << GM_MEM_OFFSET_BITS) - 1)));

	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		__atomic_store_n(&p[i], word, __ATOMIC_RELAXED);
}

static inline GmStatus
pool_slab(void *arg, size_t *bytes, GmRef *ref)
{
	FakePool   *pool = arg;
	size_t		size = (*bytes + 8191) / 8192 * 8192;
	int			extent = pool->turn++ % POOL_EXTENTS;

	if (pool->refuse_after > 0 && --pool->refuse_after == 0)
	{
		pool->refuse_after = 1;
		return GM_NO_MEMORY;
	}
	*bytes = size;
	for (int i = 0; i < pool->frees; i++)
		if (pool->free_size[i] == size)
		{
			*ref = pool->free_ref[i];
			pool->free_ref[i] = pool->free_ref[--pool->frees];
			pool->free_size[i] = pool->free_size[pool->frees];
			pool->out += size;
			pool_fill(pool, *ref, size, 0);
			return GM_OK;
		}
	if (pool->next[extent] + size > POOL_EXTENT)
		return GM_NO_MEMORY;
	*ref = (GmRef) (extent + 1) << GM_MEM_OFFSET_BITS | pool->next[extent];
	pool->next[extent] += size;
	pool->out += size;
	return GM_OK;
}

static inline void
pool_release(void *arg, GmRef ref, size_t bytes)
{
	FakePool   *pool = arg;

	pool->out -= bytes;
	pool_fill(pool, ref, bytes, POOL_DEAD);
	if (pool->frees < POOL_FREE)
	{
		pool->free_ref[pool->frees] = ref;
		pool->free_size[pool->frees++] = bytes;
	}
}

static inline bool
pool_make(FakePool *pool, GmMemOps *ops)
{
	memset(pool, 0, sizeof(*pool));
	memset(ops, 0, sizeof(*ops));
	for (int i = 0; i < POOL_EXTENTS; i++)
	{
		void	   *p = mmap(NULL, POOL_EXTENT, PROT_READ | PROT_WRITE,
							 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			return false;
		pool->base[i + 1] = p;
	}
	ops->slab = pool_slab;
	ops->release = pool_release;
	ops->arg = pool;
	return true;
}

static inline void
pool_free(FakePool *pool)
{
	for (int i = 0; i < POOL_EXTENTS; i++)
		(void) munmap(pool->base[i + 1], POOL_EXTENT);
}

#endif							/* GM_TEST_FAKE_POOL_H */
