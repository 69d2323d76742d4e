/*-------------------------------------------------------------------------
 *
 * mem.c
 *	  Extents or slabs, a bump allocator over them, and lists of free blocks.
 *
 * New blocks are cut off the last extent or slab, the bump area.  A block's
 * size follows from the bytes asked for, so that whoever frees it need not
 * know: 4-byte steps below LARGE, sixteen steps an octave from there on, which
 * are aligned to cache lines.  Free blocks hold the reference to the next one
 * of their size, so that freeing cannot fail.  A request takes a free block of
 * its size, then the bump area, then a part of a larger free block, then a new
 * extent or slab.
 *
 * Free memory is zero but for those references: what a block held is gone when
 * the block is, and a request finds zeroes without writing them.  What an
 * aborted version could not give back keeps its bytes until destroy.
 *
 * Neighbours are not joined when they become free, but all at once (rebuild)
 * when much was freed since the last time, and on abort.  In slabs this is
 * also when what has become wholly free is released.  It takes up to 100 ns a
 * free block, which the owner chooses the moment for (gm_mem_tidy); the next
 * version does it before it begins only when a good deal more was freed.
 *
 * Abort	What a version took from the free lists is listed; all else that it
 *			allocated lies in what was the bump area at its beginning or in
 *			later slabs.  Both together are what must be free again, in whatever
 *			pieces it was freed and used again meanwhile: rebuild joins overlaps.
 *
 * Memory	of the process: 20 kB a handle that freed anything, 16 bytes a block
 *			retired or taken from a free list in this version
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/mem.h"

#define ALIGN_UP(n, a)		(((n) + (a) - 1) & ~((size_t) (a) - 1))
#define LINE				64
#define SMALLEST			8		/* has room for a reference */
#define LINK(bytes)			((bytes) < sizeof(GmRef) ? (bytes) : sizeof(GmRef))
#define LARGE				4096
#define LARGE_BITS			12
#define STEP_BITS			4		/* log2 of the steps in an octave */
#define MAP_FROM			((size_t) 2 << 20)	/* extents mapped, not malloc'ed */
#define SLAB_SHARE			8	/* a slab is at most this part of the image */
#define MAX_SLAB			((size_t) 8 << 20)
#define FORK_EXTENT			((size_t) 64 << 10)
#define REBUILD_SHARE		8		/* of all bytes, freed since the last time */
#define REBUILD_SHARE_LATE	4		/* the same, where nobody called gm_mem_tidy */
#define SORT_PIECE			8192	/* blocks, less than a millisecond */

/* the table of addresses never moves, since every array's handle points to it */
#define OWN_EXTENTS			4096

/*
 * Lists: small blocks aligned to words only, small ones aligned to 8 bytes,
 * large ones; each by size.
 */
#define SMALL_LISTS			(LARGE / 4)
#define LARGE_LISTS			((GM_MEM_OFFSET_BITS - LARGE_BITS) << STEP_BITS)
#define LISTS				(2 * SMALL_LISTS + LARGE_LISTS)

typedef struct Block
{
	GmRef		ref;
	size_t		bytes;
} Block;

typedef struct BlockList
{
	Block	   *block;
	size_t		n;
	size_t		room;
} BlockList;

/* what was retired by the versions that were replaced at one epoch */
typedef struct Batch
{
	uint64_t	epoch;
	size_t		end;			/* of its blocks in the retired list */
} Batch;

struct GmMemVersions
{
	GmRef		head[LISTS];
	uint64_t	any[(LISTS + 63) / 64];		/* bitmap: lists that are not empty */
	size_t		blocks;			/* in the lists */
	size_t		free_bytes;
	size_t		freed;			/* since the last rebuild */

	bool		active;			/* between begin and commit or abort */
	size_t		used;			/* bytes allocated in this version and not freed */
	GmRef		mark;			/* the bump area at its beginning */
	size_t		mark_left;
	uint32_t	mark_extents;
	BlockList	taken;			/* from the free lists by this version */

	BlockList	retired;		/* from reclaimed on, those not free yet */
	size_t		reclaimed;
	size_t		limbo;			/* their bytes */
	Batch	   *batch;
	size_t		batches;
	size_t		batch_room;
};

static void *
private_create(void *arg, size_t bytes)
{
	void	   *p;

	(void) arg;
	if (bytes < MAP_FROM)
	{
		p = aligned_alloc(LINE, ALIGN_UP(bytes, LINE));
		return p == NULL ? NULL : memset(p, 0, bytes);
	}
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
#ifdef MADV_HUGEPAGE
	/* random reads over 1 GB cost half as much through 2 MB pages */
	(void) madvise(p, bytes, MADV_HUGEPAGE);
#endif
	return p;
}

static void
private_destroy(void *arg, void *base, size_t bytes)
{
	(void) arg;
	if (bytes < MAP_FROM)
	{
		gm_wipe(base, bytes);
		free(base);
	}
	else
		(void) munmap(base, bytes);
}

/*
 * Handles
 */
static GmStatus
create(uint32_t first, size_t limit, const GmMemOps *ops, GmMem **mem)
{
	GmMem	   *m = calloc(1, sizeof(GmMem));

	if (m == NULL)
		return GM_NO_MEMORY;
	m->first = first;
	m->limit = limit;
	if (ops != NULL)
		m->ops = *ops;
	if (m->ops.create == NULL)
	{
		m->ops.create = private_create;
		m->ops.destroy = private_destroy;
	}
	m->base = calloc((size_t) first + OWN_EXTENTS, sizeof(char *));
	if (m->base == NULL)
	{
		free(m);
		return GM_NO_MEMORY;
	}
	m->own_base = true;
	*mem = m;
	return GM_OK;
}

GmStatus
gm_mem_create(size_t first_extent, size_t limit, const GmMemOps *ops, GmMem **mem)
{
	GmStatus	status = create(1, limit, ops, mem);

	if (status == GM_OK)
		(*mem)->next_size = first_extent < 4096 ? 4096 : ALIGN_UP(first_extent, 4096);
	return status;
}

GmStatus
gm_mem_fork(char **base, size_t limit, const GmMemOps *ops, GmMem **mem)
{
	GmStatus	status = create(GM_MEM_FORK_FROM, limit, ops, mem);

	if (status != GM_OK)
		return status;
	(*mem)->next_size = FORK_EXTENT;
	gm_mem_fork_rebase(*mem, base);
	return GM_OK;
}

void
gm_mem_fork_rebase(GmMem *fork, char **base)
{
	memcpy(fork->base, base, GM_MEM_FORK_FROM * sizeof(char *));
}

GmStatus
gm_mem_attach(char **base, GmMem **mem)
{
	GmMem	   *m = calloc(1, sizeof(GmMem));

	if (m == NULL)
		return GM_NO_MEMORY;
	m->base = base;
	m->first = 1;
	*mem = m;
	return GM_OK;
}

GmStatus
gm_mem_create_shared(char **base, size_t first_slab, size_t limit, const GmMemOps *ops,
					 GmMem **mem)
{
	GmStatus	status = gm_mem_attach(base, mem);
	GmMem	   *m = *mem;

	if (status != GM_OK)
		return status;
	m->versions = calloc(1, sizeof(GmMemVersions));
	if (m->versions == NULL)
	{
		free(m);
		return GM_NO_MEMORY;
	}
	m->shared = true;
	m->limit = limit;
	m->ops = *ops;
	m->next_size = first_slab < 4096 ? 4096 : ALIGN_UP(first_slab, 4096);
	if (m->next_size > MAX_SLAB)
		m->next_size = MAX_SLAB;
	return GM_OK;
}

static void
give_extent(GmMem *mem, GmRef start, size_t bytes)
{
	if (mem->shared)
		mem->ops.release(mem->ops.arg, start, bytes);
	else
		mem->ops.destroy(mem->ops.arg, gm_mem_ptr(mem, start), bytes);
}

void
gm_mem_destroy(GmMem *mem)
{
	if (mem == NULL)
		return;
	for (uint32_t i = 0; i < GM_MEM_TEMPS; i++)
		gm_mem_temp_free(mem, mem->temp[i]);
	for (uint32_t i = 0; i < mem->extents; i++)
		give_extent(mem, mem->start[i], mem->size[i]);
	if (mem->own_base)
		free(mem->base);
	if (mem->versions != NULL)
	{
		free(mem->versions->taken.block);
		free(mem->versions->retired.block);
		free(mem->versions->batch);
		free(mem->versions);
	}
	free(mem->start);
	free(mem->size);
	free(mem);
}

GmStatus
gm_mem_charge(GmMem *mem, int64_t bytes)
{
	while (bytes > 0 && mem->limit > 0 && mem->charged + (size_t) bytes > mem->limit)
		if (mem->ops.pressure == NULL || !mem->ops.pressure(mem->ops.arg, (size_t) bytes))
			return GM_OVER_BUDGET;
	mem->charged += (size_t) bytes;
	return GM_OK;
}

GmStatus
gm_mem_temp(GmMem *mem, size_t bytes, void **p)
{
	uint32_t	slot = 0;
	GmStatus	status;

	*p = NULL;
	if (bytes == 0)
		bytes = 1;
	while (slot < GM_MEM_TEMPS && mem->temp[slot] != NULL)
		slot++;
	if (slot == GM_MEM_TEMPS)
		return GM_NO_MEMORY;
	status = gm_mem_charge(mem, (int64_t) bytes);
	if (status != GM_OK)
		return status;
	*p = private_create(NULL, bytes);
	if (*p == NULL)
	{
		(void) gm_mem_charge(mem, -(int64_t) bytes);
		return GM_NO_MEMORY;
	}
	mem->temp[slot] = *p;
	mem->temp_size[slot] = bytes;
	return GM_OK;
}

void
gm_mem_temp_free(GmMem *mem, void *p)
{
	if (p == NULL)
		return;
	for (uint32_t slot = 0; slot < GM_MEM_TEMPS; slot++)
	{
		if (mem->temp[slot] != p)
			continue;
		private_destroy(NULL, p, mem->temp_size[slot]);
		(void) gm_mem_charge(mem, -(int64_t) mem->temp_size[slot]);
		mem->temp[slot] = NULL;
		return;
	}
}

/*
 * Sizes and lists
 */
static inline int
octave(size_t size)
{
	return 63 - __builtin_clzll(size);
}

/* of the block that so many bytes are given */
static size_t
block_size(size_t bytes)
{
	size_t		size = bytes < SMALLEST ? SMALLEST : ALIGN_UP(bytes, 4);

	return size < LARGE ? size : ALIGN_UP(size, (size_t) 1 << (octave(size) - STEP_BITS));
}

/* of a block's size, the list of those aligned to 8 bytes */
static uint32_t
list_of(size_t size)
{
	int			o;

	if (size < LARGE)
		return SMALL_LISTS + (uint32_t) (size / 4);
	o = octave(size);
	return 2 * SMALL_LISTS + (uint32_t) ((o - LARGE_BITS) << STEP_BITS) +
		(uint32_t) ((size - ((size_t) 1 << o)) >> (o - STEP_BITS));
}

static size_t
list_size(uint32_t list)
{
	uint32_t	o;

	if (list < 2 * SMALL_LISTS)
		return (size_t) (list % SMALL_LISTS) * 4;
	list -= 2 * SMALL_LISTS;
	o = LARGE_BITS + (list >> STEP_BITS);
	return ((size_t) 1 << o) +
		((size_t) (list & ((1 << STEP_BITS) - 1)) << (o - STEP_BITS));
}

static void
push(GmMem *mem, GmRef ref, size_t size)
{
	GmMemVersions *v = mem->versions;
	uint32_t	list = list_of(size);

	if (size < LARGE && (ref & 7) != 0)
		list -= SMALL_LISTS;
	memcpy(gm_mem_ptr(mem, ref), &v->head[list], sizeof(GmRef));
	v->head[list] = ref;
	v->any[list / 64] |= UINT64_C(1) << (list % 64);
	v->free_bytes += size;
	v->blocks++;
}

static GmRef
pop(GmMem *mem, uint32_t list)
{
	GmMemVersions *v = mem->versions;
	GmRef		ref = v->head[list];

	memcpy(&v->head[list], gm_mem_ptr(mem, ref), sizeof(GmRef));
	memset(gm_mem_ptr(mem, ref), 0, sizeof(GmRef));
	if (v->head[list] == 0)
		v->any[list / 64] &= ~(UINT64_C(1) << (list % 64));
	v->free_bytes -= list_size(list);
	v->blocks--;
	return ref;
}

/* the first list in [from, to) that is not empty; to if there is none */
static uint32_t
next_list(const GmMemVersions *v, uint32_t from, uint32_t to)
{
	for (uint32_t w = from / 64; w * 64 < to; w++)
	{
		uint64_t	bits = v->any[w];

		if (w == from / 64)
			bits &= ~UINT64_C(0) << (from % 64);
		if (bits != 0)
		{
			uint32_t	list = w * 64 + (uint32_t) __builtin_ctzll(bits);

			return list < to ? list : to;
		}
	}
	return to;
}

/*
 * Any stretch of free bytes, cut into blocks.  Bytes too few for a block are
 * lost until both their neighbours are free, and then found by rebuild, unless
 * they lie next to others: so none are ever left over here.
 */
static void
push_all(GmMem *mem, GmRef ref, size_t bytes)
{
	if (mem->versions == NULL)
		return;
	while (bytes >= SMALLEST)
	{
		size_t		line = (size_t) (-ref & (LINE - 1));
		size_t		size;

		if (bytes < LARGE)
			size = bytes & ~(size_t) 3;
		else if (line != 0)
			size = line < SMALLEST ? line + LINE : line;
		else
			size = bytes & ~(((size_t) 1 << (octave(bytes) - STEP_BITS)) - 1);
		if (bytes - size > 0 && bytes - size < SMALLEST)
			size /= 2;
		push(mem, ref, size);
		ref += size;
		bytes -= size;
	}
}

/*
 * Joining what is free
 */
static int
compare_blocks(const void *a, const void *b)
{
	const Block *x = a;
	const Block *y = b;

	return (x->ref > y->ref) - (x->ref < y->ref);
}

static void
sort_slabs(GmMem *mem)
{
	for (uint32_t i = 1; i < mem->extents; i++)
	{
		GmRef		start = mem->start[i];
		size_t		size = mem->size[i];
		uint32_t	at = i;

		for (; at > 0 && mem->start[at - 1] > start; at--)
		{
			mem->start[at] = mem->start[at - 1];
			mem->size[at] = mem->size[at - 1];
		}
		mem->start[at] = start;
		mem->size[at] = size;
	}
}

/* the first slab that starts at or after ref; they are in order */
static uint32_t
slab_from(const GmMem *mem, GmRef ref)
{
	uint32_t	lo = 0;
	uint32_t	hi = mem->extents;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;

		if (mem->start[mid] < ref)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* of slabs those wholly inside go back, but for bytes too few for a block */
static void
free_stretch(GmMem *mem, GmRef ref, GmRef end)
{
	if (mem->shared)
		for (uint32_t i = slab_from(mem, ref);
			 i < mem->extents && mem->start[i] + mem->size[i] < end + SMALLEST; i++)
		{
			push_all(mem, ref, mem->start[i] - ref);
			ref = mem->start[i] + mem->size[i];
			give_extent(mem, mem->start[i], mem->size[i]);
			mem->charged -= mem->size[i];
			mem->size[i] = 0;	/* taken off the list by rebuild */
		}
	if (ref < end)
		push_all(mem, ref, end - ref);
}

/* by qsort in pieces, then merges; the result is in a or in spare */
static GmStatus
sort_blocks(Block *a, Block *spare, size_t n, const GmInterrupt *intr, Block **sorted)
{
	Block	   *from = a;
	Block	   *to = spare;

	for (size_t start = 0; start < n; start += SORT_PIECE)
	{
		if (gm_interrupted(intr))
			return GM_INTERRUPTED;
		qsort(a + start, n - start < SORT_PIECE ? n - start : SORT_PIECE, sizeof(Block),
			  compare_blocks);
	}
	for (size_t width = SORT_PIECE; width < n; width *= 2)
	{
		Block	   *t;

		for (size_t start = 0; start < n; start += width * 2)
		{
			size_t		middle = start + width < n ? start + width : n;
			size_t		end = start + width * 2 < n ? start + width * 2 : n;
			size_t		i = start;
			size_t		k = middle;

			for (size_t at = start; at < end; at++)
			{
				if ((at & (GM_INTERRUPT_EVERY - 1)) == 0 && gm_interrupted(intr))
					return GM_INTERRUPTED;
				if (k >= end || (i < middle && from[i].ref <= from[k].ref))
					to[at] = from[i++];
				else
					to[at] = from[k++];
			}
		}
		t = from;
		from = to;
		to = t;
	}
	*sorted = from;
	return GM_OK;
}

/* everything in the lists, behind what is in all already */
static GmStatus
list_blocks(const GmMem *mem, Block *all, size_t *count, const GmInterrupt *intr)
{
	const GmMemVersions *v = mem->versions;

	for (uint32_t list = next_list(v, 0, LISTS); list < LISTS; list = next_list(v, list + 1, LISTS))
		for (GmRef ref = v->head[list]; ref != 0; (*count)++)
		{
			/* each is a cache miss */
			if ((*count & 1023) == 0 && gm_interrupted(intr))
				return GM_INTERRUPTED;
			all[*count] = (Block) {ref, list_size(list)};
			memcpy(&ref, gm_mem_ptr(mem, ref), sizeof(GmRef));
		}
	return GM_OK;
}

/* the lists become what these blocks are when joined, overlaps too; they are in order */
static void
make_lists(GmMem *mem, const Block *all, size_t count)
{
	GmMemVersions *v = mem->versions;
	uint32_t	kept = 0;

	memset(v->head, 0, sizeof(v->head));
	memset(v->any, 0, sizeof(v->any));
	v->blocks = v->free_bytes = v->freed = 0;
	mem->next = mem->left = 0;
	if (mem->shared)
		sort_slabs(mem);
	for (size_t i = 0; i < count;)
	{
		GmRef		ref = all[i].ref;
		GmRef		end = ref + all[i].bytes;

		memset(gm_mem_ptr(mem, ref), 0, LINK(all[i].bytes));
		/* a gap that no block fits into was lost to alignment */
		for (i++; i < count && all[i].ref < end + SMALLEST; i++)
		{
			memset(gm_mem_ptr(mem, all[i].ref), 0, LINK(all[i].bytes));
			if (all[i].ref + all[i].bytes > end)
				end = all[i].ref + all[i].bytes;
		}
		free_stretch(mem, ref, end);
	}
	for (uint32_t i = 0; i < mem->extents; i++)
	{
		if (mem->size[i] == 0)
			continue;
		mem->start[kept] = mem->start[i];
		mem->size[kept++] = mem->size[i];
	}
	mem->extents = kept;
}

/*
 * Make the free lists anew from what is in them, the rest of the bump area and
 * n more blocks, which are zeroed once the references in them have been read.
 * Interrupted, or without memory for it, nothing is done.
 */
static GmStatus
rebuild(GmMem *mem, const Block *more, size_t n, const GmInterrupt *intr)
{
	size_t		most = mem->versions->blocks + n + 1;
	size_t		count = n;
	Block	   *all = malloc(most * 2 * sizeof(Block));
	Block	   *sorted;
	GmStatus	status;

	if (all == NULL)
		return GM_NO_MEMORY;
	if (n > 0)
		memcpy(all, more, n * sizeof(Block));
	if (mem->left > 0)
		all[count++] = (Block) {mem->next, mem->left};
	status = list_blocks(mem, all, &count, intr);
	if (status == GM_OK)
		status = sort_blocks(all, all + most, count, intr, &sorted);
	if (status == GM_OK)
	{
		for (size_t i = 0; i < n; i++)
			memset(gm_mem_ptr(mem, more[i].ref), 0, more[i].bytes);
		make_lists(mem, sorted, count);
	}
	free(all);
	return status;
}

/*
 * Allocating
 */
static GmStatus
list_room(BlockList *list)
{
	size_t		room = list->room == 0 ? 64 : list->room * 2;
	Block	   *block;

	if (list->n < list->room)
		return GM_OK;
	block = realloc(list->block, room * sizeof(Block));
	if (block == NULL)
		return GM_NO_MEMORY;
	list->block = block;
	list->room = room;
	return GM_OK;
}

static GmStatus
extent_room(GmMem *mem)
{
	uint32_t	slots = mem->slots == 0 ? 16 : mem->slots * 2;
	GmRef	   *start;
	size_t	   *size;

	if (mem->extents < mem->slots)
		return GM_OK;
	start = realloc(mem->start, slots * sizeof(GmRef));
	if (start == NULL)
		return GM_NO_MEMORY;
	mem->start = start;
	size = realloc(mem->size, slots * sizeof(size_t));
	if (size == NULL)
		return GM_NO_MEMORY;
	mem->size = size;
	mem->slots = slots;
	return GM_OK;
}

/* *bytes becomes what was given */
static GmStatus
get_extent(GmMem *mem, size_t *bytes, GmRef *start)
{
	size_t		asked = *bytes;
	uint32_t	number = mem->first + mem->extents;
	GmStatus	status;
	void	   *p;

	if (!mem->shared && (mem->ops.create == NULL || mem->extents == OWN_EXTENTS))
		return GM_NO_MEMORY;
	status = gm_mem_charge(mem, (int64_t) asked);
	if (status != GM_OK)
		return status;
	if (mem->shared)
		status = mem->ops.slab(mem->ops.arg, bytes, start);
	else
	{
		p = mem->ops.create(mem->ops.arg, asked);
		if (p == NULL)
			status = GM_NO_MEMORY;
		else
		{
			mem->base[number] = p;
			*start = (GmRef) number << GM_MEM_OFFSET_BITS;
		}
	}
	if (status != GM_OK)
		mem->charged -= asked;
	else
		mem->charged += *bytes - asked;
	return status;
}

/* a new extent or slab with a block of that size; what is left of it goes on */
static GmStatus
add_extent(GmMem *mem, size_t need, GmRef *ref)
{
	size_t		least = ALIGN_UP(need, 4096);
	size_t		size = least > mem->next_size ? least : mem->next_size;
	GmRef		start = 0;
	GmStatus	status = extent_room(mem);

	if (status != GM_OK)
		return status;
	if (mem->limit > 0 && mem->charged + size > mem->limit)
	{
		/* near the limit: half of what is left, so that little is wasted */
		size_t		rest = mem->limit > mem->charged ? mem->limit - mem->charged : 0;

		size = rest / 2 & ~(size_t) 4095;
		if (size < least)
			size = least;
	}
	status = get_extent(mem, &size, &start);
	if (status != GM_OK && size > least)
	{
		size = least;
		status = get_extent(mem, &size, &start);
	}
	if (status != GM_OK)
		return status;
	mem->start[mem->extents] = start;
	mem->size[mem->extents] = size;
	mem->extents++;
	/* slabs no faster than what they are added to, which bounds the waste */
	if (size >= mem->next_size && mem->next_size < (mem->shared ? MAX_SLAB : GM_MEM_MAX_EXTENT) &&
		(!mem->shared || mem->charged >= mem->next_size * SLAB_SHARE))
		mem->next_size *= 2;
	*ref = start;
	if (size - need > mem->left)
	{
		push_all(mem, mem->next, mem->left);
		mem->next = start + need;
		mem->left = size - need;
	}
	else
		push_all(mem, start + need, size - need);
	return GM_OK;
}

/* a free block of exactly this size, else 0 */
static GmRef
take_equal(GmMem *mem, size_t size, size_t align)
{
	GmMemVersions *v = mem->versions;
	uint32_t	list = list_of(size);

	if (align < 8 && v->head[list - SMALL_LISTS] != 0)
		return pop(mem, list - SMALL_LISTS);
	return v->head[list] == 0 ? 0 : pop(mem, list);
}

/* the beginning of a larger free block, else 0 */
static GmRef
take_part(GmMem *mem, size_t size, size_t align)
{
	GmMemVersions *v = mem->versions;
	uint32_t	aligned = list_of(size);
	uint32_t	list = LISTS;
	GmRef		ref;

	/* the next size of small blocks would leave too few bytes for a block */
	if (size < LARGE)
		aligned += 2;
	if (align < 8)
	{
		list = next_list(v, aligned - SMALL_LISTS, SMALL_LISTS);
		if (list >= SMALL_LISTS)
			list = LISTS;
	}
	if (list == LISTS)
		list = next_list(v, aligned, LISTS);
	if (list == LISTS)
		return 0;
	ref = pop(mem, list);
	push_all(mem, ref + size, list_size(list) - size);
	return ref;
}

static GmStatus
allocate(GmMem *mem, size_t bytes, size_t align, GmRef *ref)
{
	GmMemVersions *v = mem->versions;
	size_t		size = block_size(bytes);
	bool		taken = false;
	size_t		gap;

	if (size >= LARGE)
		align = LINE;
	*ref = 0;
	if (v != NULL && v->free_bytes >= size)
	{
		if (v->active && list_room(&v->taken) != GM_OK)
			return GM_NO_MEMORY;
		*ref = take_equal(mem, size, align);
		taken = *ref != 0;
	}
	gap = (size_t) (-mem->next & (align - 1));
	if (*ref == 0 && gap + size <= mem->left)
	{
		push_all(mem, mem->next, gap);
		*ref = mem->next + gap;
		mem->next += gap + size;
		mem->left -= gap + size;
	}
	if (*ref == 0 && v != NULL && v->free_bytes >= size)
	{
		*ref = take_part(mem, size, align);
		taken = *ref != 0;
	}
	if (*ref == 0)
	{
		GmStatus	status = add_extent(mem, size, ref);

		if (status != GM_OK)
			return status;
	}
	if (taken && v->active)
		v->taken.block[v->taken.n++] = (Block) {*ref, size};
	if (v != NULL && v->active)
		v->used += size;
	mem->used += size;
	return GM_OK;
}

GmStatus
gm_mem_alloc(GmMem *mem, size_t bytes, GmRef *ref)
{
	return allocate(mem, bytes, 8, ref);
}

GmStatus
gm_mem_alloc_words(GmMem *mem, size_t words, GmRef *ref)
{
	return allocate(mem, words * sizeof(uint32_t), sizeof(uint32_t), ref);
}

/*
 * Freeing and versions
 */
static bool
has_versions(GmMem *mem)
{
	if (mem->versions == NULL)
		mem->versions = calloc(1, sizeof(GmMemVersions));
	return mem->versions != NULL;
}

static bool
owns(const GmMem *mem, GmRef ref)
{
	return (ref >> GM_MEM_OFFSET_BITS) >= mem->first;
}

void
gm_mem_free(GmMem *mem, GmRef ref, size_t bytes)
{
	size_t		size = block_size(bytes);

	/* a block that cannot be listed for lack of memory is lost until destroy */
	if (ref == 0 || !owns(mem, ref) || !has_versions(mem))
		return;
	memset(gm_mem_ptr(mem, ref), 0, size);
	push(mem, ref, size);
	mem->used -= size;
	mem->versions->freed += size;
	if (mem->versions->active)
		mem->versions->used -= size;
}

void
gm_mem_retire(GmMem *mem, GmRef ref, size_t bytes)
{
	GmMemVersions *v = mem->versions;

	if (ref == 0 || !owns(mem, ref))
		return;
	if (v == NULL || !v->active)
	{
		gm_mem_free(mem, ref, bytes);
		return;
	}
	if (list_room(&v->retired) != GM_OK)
		return;
	v->retired.block[v->retired.n++] = (Block) {ref, block_size(bytes)};
	v->limbo += block_size(bytes);
}

/* the end of the blocks retired by versions that are committed */
static size_t
committed(const GmMemVersions *v)
{
	return v->batches == 0 ? v->reclaimed : v->batch[v->batches - 1].end;
}

static bool
is_due(const GmMem *mem, size_t share)
{
	return mem->versions->freed > 0 && mem->versions->freed >= mem->charged / share;
}

GmStatus
gm_mem_tidy(GmMem *mem, const GmInterrupt *intr)
{
	if (mem->versions == NULL || mem->versions->active || !is_due(mem, REBUILD_SHARE))
		return GM_OK;
	return rebuild(mem, NULL, 0, intr);
}

GmStatus
gm_mem_begin(GmMem *mem)
{
	GmMemVersions *v;

	if (!has_versions(mem))
		return GM_NO_MEMORY;
	v = mem->versions;

	/* so that commit needs no memory */
	if (v->batches == v->batch_room)
	{
		size_t		room = v->batch_room == 0 ? 16 : v->batch_room * 2;
		Batch	   *batch = realloc(v->batch, room * sizeof(Batch));

		if (batch == NULL)
			return GM_NO_MEMORY;
		v->batch = batch;
		v->batch_room = room;
	}
	if (is_due(mem, REBUILD_SHARE_LATE))
		(void) rebuild(mem, NULL, 0, NULL);
	v->active = true;
	v->used = 0;
	v->mark = mem->next;
	v->mark_left = mem->left;
	v->mark_extents = mem->extents;
	v->taken.n = 0;
	return GM_OK;
}

void
gm_mem_commit(GmMem *mem, uint64_t epoch)
{
	GmMemVersions *v = mem->versions;

	v->active = false;
	if (v->retired.n == committed(v))
		return;
	if (v->batches == 0 || v->batch[v->batches - 1].epoch < epoch)
		v->batch[v->batches++].epoch = epoch;
	v->batch[v->batches - 1].end = v->retired.n;
}

void
gm_mem_abort(GmMem *mem)
{
	GmMemVersions *v = mem->versions;
	size_t		later = mem->extents - v->mark_extents;
	Block	   *all = malloc((v->taken.n + later + 1) * sizeof(Block));
	size_t		n = 0;

	v->active = false;
	mem->used -= v->used;
	while (v->retired.n > committed(v))
		v->limbo -= v->retired.block[--v->retired.n].bytes;
	if (all == NULL)
		return;					/* what the version allocated is lost until destroy */
	while (n < v->taken.n)
	{
		all[n] = v->taken.block[n];
		n++;
	}
	if (v->mark_left > 0 && later == 0)
		all[n++] = (Block) {v->mark, mem->next - v->mark};
	else if (v->mark_left > 0)
		all[n++] = (Block) {v->mark, v->mark_left};
	for (uint32_t i = v->mark_extents; i < mem->extents; i++)
		all[n++] = (Block) {mem->start[i], mem->size[i]};
	(void) rebuild(mem, all, n, NULL);
	free(all);
}

void
gm_mem_reclaim(GmMem *mem, uint64_t oldest)
{
	GmMemVersions *v = mem->versions;
	size_t		gone = 0;

	if (v == NULL)
		return;
	while (gone < v->batches && v->batch[gone].epoch < oldest)
		for (size_t end = v->batch[gone++].end; v->reclaimed < end; v->reclaimed++)
		{
			Block	   *b = &v->retired.block[v->reclaimed];

			memset(gm_mem_ptr(mem, b->ref), 0, b->bytes);
			push(mem, b->ref, b->bytes);
			v->freed += b->bytes;
			v->limbo -= b->bytes;
			mem->used -= b->bytes;
		}
	if (gone == 0)
		return;
	v->batches -= gone;
	memmove(v->batch, v->batch + gone, v->batches * sizeof(Batch));
	if (v->reclaimed * 2 < v->retired.n)
		return;
	v->retired.n -= v->reclaimed;
	if (v->retired.n > 0)
		memmove(v->retired.block, v->retired.block + v->reclaimed, v->retired.n * sizeof(Block));
	for (size_t i = 0; i < v->batches; i++)
		v->batch[i].end -= v->reclaimed;
	v->reclaimed = 0;
}

size_t
gm_mem_limbo(const GmMem *mem)
{
	return mem->versions == NULL ? 0 : mem->versions->limbo;
}
