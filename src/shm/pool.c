/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  The worker's extents: dynamic segments, cut into slabs for the graphs.
 *
 * Buddies: a block of 2^k bytes lies at a multiple of 2^k in its extent, and
 * its buddy is the block whose offset differs in that bit alone.  The state of
 * an extent's blocks is a byte for every smallest slab: the order k of the
 * block that starts there, with TAKEN if it is not free; 0 where none starts.
 *
 * A slab is zeroed when it is handed out, or before that in an idle moment
 * (gm_pool_wipe): giving a large graph up must not take long.  Which of the
 * smallest slabs need it is known.
 *
 * The system is asked for large pages one by one: with a slab of usual size, else
 * in idle moments (gm_pool_enlarge).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "shm/pool.h"
#include "shm/segment.h"

#define SLAB_BITS		13		/* 8 kB */
#define FIRST_BITS		20
#define LEAST_BITS		18		/* where the limit or the system leave no more */
#define MOST_BITS		26		/* making one takes 1.5 s/GB, without a look at interrupts */
#define MOST_BITS_LARGE	27		/* from LARGE on, since there are not so many numbers */
#define LARGE			((size_t) 4 << 30)
#define MOST_BITS_HUGE	28		/* from HUGE on */
#define HUGE			((size_t) 64 << 30)
#define MAX_BITS		38
#define USUAL_BITS		23		/* of slabs, at most: a graph's grow to 8 MB */
#define ENLARGE_MS		4		/* spent on large pages of one slab, nearly at most */
#define ORDERS			(MAX_BITS + 1)
#define TAKEN			0x80
#define OFFSET(ref)		((ref) & (((GmRef) 1 << GM_MEM_OFFSET_BITS) - 1))
#define NUMBER(ref)		((uint32) ((ref) >> GM_MEM_OFFSET_BITS))

typedef struct Extent
{
	dsm_segment *segment;		/* NULL: number not in use */
	int			bits;			/* log2 of the size */
	uint8	   *blocks;			/* by smallest slab: the block that starts there */
	bool	   *dirty;			/* by smallest slab: it is free and not zero */
	size_t		dirty_count;
	size_t		wiped;			/* where gm_pool_wipe goes on */
	bool	   *large;			/* by large page: it is one, or was asked for */
	size_t		small_count;	/* large pages that are none yet */
	uint32		free_blocks[ORDERS];	/* how many of each order */
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
	return pool;
}

static void
publish_totals(GmPool *pool)
{
	atomic_store_explicit(&pool->area->ar_extent_bytes, pool->mapped, memory_order_relaxed);
	atomic_store_explicit(&pool->area->ar_slab_bytes, pool->used, memory_order_relaxed);
}

/* serial after handle: a reader that sees the serial finds its handle or a later one */
static void
publish_extent(GmPool *pool, uint32 n, dsm_handle handle, uint64 size)
{
	GmExtent   *e = &pool->area->ar_extent[n];

	atomic_store(&e->ex_size, size);
	atomic_store(&e->ex_handle, handle);
	atomic_fetch_add(&e->ex_serial, 1);
	atomic_fetch_add(&pool->area->ar_extents_changed, 1);
	publish_totals(pool);
}

static void
drop_extent(GmPool *pool, uint32 n)
{
	Extent	   *e = &pool->extent[n];

	publish_extent(pool, n, 0, 0);
	gm_segment_leave_place(e->segment, pool->base[n]);
	gm_segment_destroy(e->segment);
	pool->mapped -= (size_t) 1 << e->bits;
	pfree(e->blocks);
	memset(e, 0, sizeof(*e));
	pool->base[n] = NULL;
	publish_totals(pool);
}

void
gm_pool_destroy(GmPool *pool)
{
	for (uint32 n = 1; n <= pool->numbers; n++)
		if (pool->extent[n].segment != NULL)
		{
			dsm_unpin_segment(dsm_segment_handle(pool->extent[n].segment));
			gm_segment_leave_place(pool->extent[n].segment, pool->base[n]);
			dsm_detach(pool->extent[n].segment);
		}
	MemoryContextDelete(pool->context);
	pfree(pool);
}

void
gm_pool_set_limit(GmPool *pool, size_t limit)
{
	pool->limit = limit;
	atomic_store(&pool->area->ar_memory_limit, limit);
}

static void
put_free(Extent *e, size_t at, int order)
{
	e->blocks[at] = (uint8) order;
	e->free_blocks[order]++;
}

static bool
add_extent(GmPool *pool, int bits)
{
	uint32		n = 1;
	Size		pages = ((Size) 1 << bits) / GM_LARGE_PAGE;
	dsm_segment *segment;
	Extent	   *e;
	uint8	   *blocks;

	while (n < GM_AREA_EXTENTS && pool->extent[n].segment != NULL)
		n++;
	if (n == GM_AREA_EXTENTS)
	{
		strlcpy(pool->error, "too many extents", sizeof(pool->error));
		return false;
	}
	blocks = MemoryContextAllocExtended(pool->context, ((Size) 2 << (bits - SLAB_BITS)) + pages,
										MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
	if (blocks == NULL)
	{
		strlcpy(pool->error, "out of memory", sizeof(pool->error));
		return false;
	}
	segment = gm_segment_create((size_t) 1 << bits, pool->error);
	if (segment == NULL)
	{
		pfree(blocks);
		return false;
	}
	e = &pool->extent[n];
	e->segment = segment;
	e->bits = bits;
	e->blocks = blocks;
	e->dirty = (bool *) blocks + ((Size) 1 << (bits - SLAB_BITS));
	e->large = e->dirty + ((Size) 1 << (bits - SLAB_BITS));
	e->small_count = pages;
	put_free(e, 0, bits);
	pool->base[n] = gm_segment_place(segment);
	pool->mapped += (size_t) 1 << bits;
	pool->numbers = Max(pool->numbers, n);
	publish_extent(pool, n, dsm_segment_handle(segment), (uint64) 1 << bits);
	return true;
}

static void
wipe_unit(GmPool *pool, uint32 n, size_t at)
{
	Extent	   *e = &pool->extent[n];

	if (!e->dirty[at])
		return;
	memset(pool->base[n] + (at << SLAB_BITS), 0, (size_t) 1 << SLAB_BITS);
	e->dirty[at] = false;
	e->dirty_count--;
}

/* false: this extent will have none any more */
static bool
enlarge(GmPool *pool, uint32 n, size_t page)
{
	Extent	   *e = &pool->extent[n];

	if (e->large[page])
		return true;
	if (!gm_segment_enlarge(e->segment, pool->base[n], page * GM_LARGE_PAGE))
	{
		e->small_count = 0;
		return false;
	}
	e->large[page] = true;
	e->small_count--;
	return true;
}

/* while the system has them at hand: somebody waits for the slab */
static void
enlarge_slab(GmPool *pool, uint32 n, size_t start, size_t end)
{
	instr_time	begun;
	instr_time	now;

	INSTR_TIME_SET_CURRENT(begun);
	for (size_t page = start / GM_LARGE_PAGE; pool->extent[n].small_count > 0 &&
		 page * GM_LARGE_PAGE < end; page++)
	{
		(void) enlarge(pool, n, page);
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, begun);
		if (INSTR_TIME_GET_MILLISEC(now) > ENLARGE_MS)
			break;
	}
}

/* place of a free block of this order */
static size_t
find_free(const Extent *e, int order)
{
	size_t		at = 0;

	while (e->blocks[at] != order)
		at += (size_t) 1 << ((e->blocks[at] & ~TAKEN) - SLAB_BITS);
	return at;
}

/* the smallest free block that is large enough, or nothing */
static bool
take(GmPool *pool, int bits, GmRef *ref)
{
	uint32		best = 0;
	int			order = ORDERS;
	Extent	   *e;
	size_t		at;

	for (uint32 n = 1; n <= pool->numbers && order > bits; n++)
		for (int k = bits; k < order && k <= pool->extent[n].bits; k++)
			if (pool->extent[n].free_blocks[k] > 0)
			{
				best = n;
				order = k;
			}
	if (best == 0)
		return false;
	e = &pool->extent[best];
	at = find_free(e, order);
	e->free_blocks[order]--;
	while (order > bits)
	{
		order--;
		put_free(e, at + ((size_t) 1 << (order - SLAB_BITS)), order);
	}
	if (bits <= USUAL_BITS)
		enlarge_slab(pool, best, at << SLAB_BITS, (at << SLAB_BITS) + ((size_t) 1 << bits));
	for (size_t i = 0; i < (size_t) 1 << (bits - SLAB_BITS) && e->dirty_count > 0; i++)
		wipe_unit(pool, best, at + i);
	e->blocks[at] = (uint8) (bits | TAKEN);
	e->used += (size_t) 1 << bits;
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

/*
 * About a quarter of what there is.  Near the limit less, but not so little
 * that numbers and the server's segments run out: what is free elsewhere may
 * be in pieces that are too small.
 */
static int
next_extent(const GmPool *pool, int least)
{
	int			most = pool->mapped < LARGE ? MOST_BITS :
		pool->mapped < HUGE ? MOST_BITS_LARGE : MOST_BITS_HUGE;
	int			bits = FIRST_BITS;

	while (bits < most && (size_t) 8 << bits <= pool->mapped)
		bits++;
	while (bits > LEAST_BITS && (size_t) 64 << bits > pool->mapped && pool->limit > 0 &&
		   pool->mapped + ((size_t) 1 << bits) > pool->limit)
		bits--;
	return Max(bits, least);
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
	while (!take(pool, bits, ref))
	{
		int			want = next_extent(pool, bits);

		/* a smaller one may still be had */
		while (!add_extent(pool, want))
			if (--want < bits || want < LEAST_BITS)
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

	Assert(e->blocks[at] == (bits | TAKEN));
	pool->used -= (size_t) 1 << bits;
	e->used -= (size_t) 1 << bits;
	memset(e->dirty + at, true, (size_t) 1 << (bits - SLAB_BITS));
	e->dirty_count += (size_t) 1 << (bits - SLAB_BITS);
	e->blocks[at] = 0;
	while (bits < e->bits)
	{
		size_t		buddy = at ^ ((size_t) 1 << (bits - SLAB_BITS));

		if (e->blocks[buddy] != bits)
			break;
		e->blocks[buddy] = 0;
		e->free_blocks[bits]--;
		at &= buddy;
		bits++;
	}
	put_free(e, at, bits);
	if (e->used == 0)
		e->empty_since = atomic_load(&pool->area->ar_epoch);
	publish_totals(pool);
}

bool
gm_pool_over_limit(const GmPool *pool)
{
	return pool->limit > 0 && pool->used > pool->limit;
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
}

bool
gm_pool_wipe(GmPool *pool, size_t most)
{
	size_t		units = most >> SLAB_BITS;

	for (uint32 n = 1; n <= pool->numbers; n++)
	{
		Extent	   *e = &pool->extent[n];

		while (e->segment != NULL && e->dirty_count > 0)
		{
			size_t		before = e->dirty_count;

			if (units == 0)
				return true;
			wipe_unit(pool, n, e->wiped);
			units -= before - e->dirty_count;
			e->wiped = (e->wiped + 1) & (((size_t) 1 << (e->bits - SLAB_BITS)) - 1);
		}
	}
	return false;
}

bool
gm_pool_enlarge(GmPool *pool)
{
	for (uint32 n = 1; n <= pool->numbers; n++)
	{
		Extent	   *e = &pool->extent[n];

		if (e->segment == NULL || e->used == 0 || e->small_count == 0)
			continue;
		for (size_t page = 0; page < ((size_t) 1 << e->bits) / GM_LARGE_PAGE; page++)
			if (!e->large[page])
			{
				(void) enlarge(pool, n, page);
				return true;
			}
	}
	return false;
}

const char *
gm_pool_error(const GmPool *pool)
{
	return pool->error;
}
