/*-------------------------------------------------------------------------
 *
 * pool.h
 *	  The worker's extents: dynamic segments, cut into slabs for the graphs.
 *
 * Extents grow from 1 MB with what there is already, by about a quarter of it
 * each, to 64 MB; to 128 MB beyond 4 GB and 256 MB beyond 64 GB (one of its own
 * for a larger slab).
 * Slabs are powers of two from 8 kB; free ones are merged with their buddies,
 * and an extent that is wholly free is given back to the system once no reader
 * can look at it.  Local to the worker but for the table in the area.
 *
 * Interface
 *	 gm_pool_create, gm_pool_destroy
 *	 gm_pool_ops		slab and release for gm_mem_create_shared
 *	 gm_pool_base		addresses by extent number, for gm_mem_create_shared
 *	 gm_pool_wipe		zero what slabs held that were released
 *	 gm_pool_enlarge	large pages for slabs that were too large to wait for them
 *	 gm_pool_trim		give empty extents back; oldest as gm_epoch_oldest says
 *	 gm_pool_bytes
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_POOL_H
#define GM_SHM_POOL_H

#include "shm/area.h"

typedef struct GmPool GmPool;

extern GmPool *gm_pool_create(GmArea *area);

/*
 * The generation is over: unpins.  Readers keep what they map; the table
 * stays, so that they do not take extents that they look at for empty.
 */
extern void gm_pool_destroy(GmPool *pool);

/*
 * limit in bytes over all slabs (0 none).  slab never raises an error:
 * GM_OVER_BUDGET over the limit, GM_NO_MEMORY where the system refuses (and
 * the message is then gm_pool_error()).
 */
extern void gm_pool_set_limit(GmPool *pool, size_t limit);
extern bool gm_pool_over_limit(const GmPool *pool);
extern void gm_pool_ops(GmPool *pool, GmMemOps *ops);
extern char **gm_pool_base(GmPool *pool);

/* so many bytes at most; true: there are more */
extern bool gm_pool_wipe(GmPool *pool, size_t most);
/* one page; true: there may be more */
extern bool gm_pool_enlarge(GmPool *pool);
extern void gm_pool_trim(GmPool *pool, uint64 oldest);
extern const char *gm_pool_error(const GmPool *pool);

#endif							/* GM_SHM_POOL_H */
