/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  The worker's extents: dynamic segments, cut into slabs for the graphs.
 *
 * Buddies: a block of 2^k bytes lies at a multiple of 2^k in its extent, and
 * its buddy is the block whose offset differs in that bit alone.  The state of
 * an extent's blocks is a byte for every smallest slab: the order of the free
 * block that starts there, plus one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "shm/pool.h"

#define SLAB_BITS		13		/* 8 kB */
#define FIRST_BITS		20
#define EXTENT_BITS		28
#define MAX_BITS		38
#define OFFSET(ref)		((ref) & (((GmRef) 1 << GM_MEM_OFFSET_BITS) - 1))
#define NUMBER(ref)		((uint32) ((ref) >> GM_MEM_OFFSET_BITS))

typedef struct Extent
{
	dsm_segment *segment;		/* NULL: number not in use */
	int			bits;			/* log2 of the size */
	uint8	   *free_at;		/* by slab: order + 1 of the free block here */
	size_t		used;
	uint64		empty_since;	/* epoch at which the last slab came back */
} Extent;

struct GmPool
{
	GmArea	   *area;
	MemoryContext context;
	char	   *base[GM_AREA_EXTENTS];
	Extent		extent[GM_AREA_EXTENTS];
	uint32		numbers;		/* highest number in use */
	int			next_bits;
	size_t		limit;
	size_t		used;
	size_t		mapped;
	char		error[GM_ERROR_LENGTH];
};

GmPool *
gm_pool_create(GmArea *area)
{
	GmPool	   *pool = MemoryContextAllocZero(TopMemoryContext, sizeof(GmPool));

	pool->area = area;
	pool->context = AllocSetContextCreate(TopMemoryContext, "graphmem extents",
										  ALLOCSET_DEFAULT_SIZES);
	pool->next_bits = FIRST_BITS;
	return pool;
}

static void
publish_totals(GmPool *pool)
{
	atomic_store_explicit(&pool->area->ar_extent_bytes, pool->mapped, memory_order_relaxed);
	atomic_store_explicit(&pool->area->ar_slab_bytes, pool->used, memory_order_relaxed);
}

static void
drop_extent(GmPool *pool, uint32 n)
{
	Extent	   *e = &pool->extent[n];

	atomic_store(&pool->area->ar_extent[n].ex_handle, 0);
	atomic_fetch_add(&pool->area->ar_extents_changed, 1);
	dsm_unpin_segment(dsm_segment_handle(e->segment));
	dsm_detach(e->segment);
	pool->mapped -= (size_t) 1 << e->bits;
	pfree(e->free_at);
	memset(e, 0, sizeof(*e));
	pool->base[n] = NULL;
	publish_totals(pool);
}

void
gm_pool_destroy(GmPool *pool)
{
	for (uint32 n = 1; n <= pool->numbers; n++)
		if (pool->extent[n].segment != NULL)
			drop_extent(pool, n);
	MemoryContextDelete(pool->context);
	pfree(pool);
}

void
gm_pool_set_limit(GmPool *pool, size_t limit)
{
	pool->limit = limit;
	atomic_store(&pool->area->ar_memory_limit, limit);
}

/* NULL if the system refuses; the message is kept */
static dsm_segment *
create_segment(GmPool *pool, size_t bytes)
{
	MemoryContext old = CurrentMemoryContext;
	dsm_segment *volatile segment = NULL;

	PG_TRY();
	{
		segment = dsm_create(bytes, 0);
		dsm_pin_segment(segment);
		dsm_pin_mapping(segment);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(old);
		edata = CopyErrorData();
		FlushErrorState();
		strlcpy(pool->error, edata->message, sizeof(pool->error));
		FreeErrorData(edata);
		if (segment != NULL)
			dsm_detach(segment);
		segment = NULL;
	}
	PG_END_TRY();
	return segment;
}

static bool
add_extent(GmPool *pool, int bits)
{
	uint32		n = 1;
	dsm_segment *segment;
	Extent	   *e;
	uint8	   *free_at;

	while (n < GM_AREA_EXTENTS && pool->extent[n].segment != NULL)
		n++;
	if (n == GM_AREA_EXTENTS)
	{
		strlcpy(pool->error, "too many extents", sizeof(pool->error));
		return false;
	}
	free_at = MemoryContextAllocExtended(pool->context, (Size) 1 << (bits - SLAB_BITS),
										 MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
	if (free_at == NULL)
		return false;
	segment = create_segment(pool, (size_t) 1 << bits);
	if (segment == NULL)
	{
		pfree(free_at);
		return false;
	}
	e = &pool->extent[n];
	e->segment = segment;
	e->bits = bits;
	e->free_at = free_at;
	free_at[0] = (uint8) (bits + 1);
	pool->base[n] = dsm_segment_address(segment);
	pool->mapped += (size_t) 1 << bits;
	pool->numbers = Max(pool->numbers, n);
	atomic_store(&pool->area->ar_extent[n].ex_size, (uint64) 1 << bits);
	atomic_fetch_add(&pool->area->ar_extent[n].ex_serial, 1);
	atomic_store(&pool->area->ar_extent[n].ex_handle, dsm_segment_handle(segment));
	atomic_fetch_add(&pool->area->ar_extents_changed, 1);
	publish_totals(pool);
	return true;
}

/* the smallest free block that is large enough, or nothing */
static bool
take(GmPool *pool, int bits, GmRef *ref)
{
	uint32		best = 0;
	size_t		at = 0;
	int			order = MAX_BITS;

	for (uint32 n = 1; n <= pool->numbers && order > bits; n++)
	{
		Extent	   *e = &pool->extent[n];
		size_t		slabs;

		if (e->segment == NULL || ((size_t) 1 << e->bits) - e->used < (size_t) 1 << bits)
			continue;
		slabs = (size_t) 1 << (e->bits - SLAB_BITS);
		for (size_t i = 0; i < slabs;)
		{
			int			there = e->free_at[i] - 1;

			if (there >= bits && there < order)
			{
				best = n;
				at = i;
				order = there;
				if (order == bits)
					break;
			}
			i += there > 0 ? (size_t) 1 << (there - SLAB_BITS) : 1;
		}
	}
	if (best == 0)
		return false;
	pool->extent[best].free_at[at] = 0;
	while (order > bits)
	{
		order--;
		pool->extent[best].free_at[at + ((size_t) 1 << (order - SLAB_BITS))] = (uint8) (order + 1);
	}
	pool->extent[best].used += (size_t) 1 << bits;
	*ref = ((GmRef) best << GM_MEM_OFFSET_BITS) | ((GmRef) at << SLAB_BITS);
	return true;
}

static int
bits_for(size_t bytes)
{
	int			bits = SLAB_BITS;

	while (((size_t) 1 << bits) < bytes && bits < MAX_BITS)
		bits++;
	return bits;
}

static GmStatus
slab(void *arg, size_t *bytes, GmRef *ref)
{
	GmPool	   *pool = arg;
	int			bits = bits_for(*bytes);
	size_t		size = (size_t) 1 << bits;

	if (size < *bytes)
		return GM_NO_MEMORY;
	if (pool->limit > 0 && pool->used + size > pool->limit)
		return GM_OVER_BUDGET;
	if (!take(pool, bits, ref))
	{
		int			want = Max(bits, pool->next_bits);

		while (!add_extent(pool, want))
		{
			/* a smaller one may still be had */
			if (--want < Max(bits, FIRST_BITS))
				return GM_NO_MEMORY;
		}
		if (want == pool->next_bits && pool->next_bits < EXTENT_BITS)
			pool->next_bits++;
		if (!take(pool, bits, ref))
			return GM_NO_MEMORY;
	}
	pool->used += size;
	*bytes = size;
	publish_totals(pool);
	return GM_OK;
}

static void
release(void *arg, GmRef ref, size_t bytes)
{
	GmPool	   *pool = arg;
	Extent	   *e = &pool->extent[NUMBER(ref)];
	size_t		at = OFFSET(ref) >> SLAB_BITS;
	int			bits = bits_for(bytes);

	pool->used -= (size_t) 1 << bits;
	e->used -= (size_t) 1 << bits;
	while (bits < e->bits)
	{
		size_t		buddy = at ^ ((size_t) 1 << (bits - SLAB_BITS));

		if (e->free_at[buddy] != bits + 1)
			break;
		e->free_at[buddy] = 0;
		at &= ~((size_t) 1 << (bits - SLAB_BITS));
		bits++;
	}
	e->free_at[at] = (uint8) (bits + 1);
	if (e->used == 0)
		e->empty_since = atomic_load(&pool->area->ar_epoch);
	publish_totals(pool);
}

void
gm_pool_ops(GmPool *pool, GmMemOps *ops)
{
	memset(ops, 0, sizeof(*ops));
	ops->slab = slab;
	ops->release = release;
	ops->arg = pool;
}

char **
gm_pool_base(GmPool *pool)
{
	return pool->base;
}

/* what is empty goes, but for one small extent */
void
gm_pool_trim(GmPool *pool, uint64 oldest)
{
	bool		spare = false;

	for (uint32 n = 1; n <= pool->numbers; n++)
	{
		Extent	   *e = &pool->extent[n];

		if (e->segment == NULL || e->used > 0)
			continue;
		if (!spare && e->bits <= FIRST_BITS + 2)
		{
			spare = true;
			continue;
		}
		if (e->empty_since < oldest)
			drop_extent(pool, n);
	}
	while (pool->numbers > 0 && pool->extent[pool->numbers].segment == NULL)
		pool->numbers--;
	if (pool->mapped < (size_t) 1 << pool->next_bits)
		pool->next_bits = FIRST_BITS;
}

size_t
gm_pool_used(const GmPool *pool)
{
	return pool->used;
}

size_t
gm_pool_mapped(const GmPool *pool)
{
	return pool->mapped;
}

const char *
gm_pool_error(const GmPool *pool)
{
	return pool->error;
}
