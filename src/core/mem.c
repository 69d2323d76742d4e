/*-------------------------------------------------------------------------
 *
 * mem.c
 *	  Extents, and a bump allocator over them.
 *
 * Nothing is freed one by one: an image is built once and destroyed whole.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/mem.h"

#define ALIGN_UP(n, a)		(((n) + (a) - 1) & ~((size_t) (a) - 1))
#define BIG_REQUEST			4096	/* aligned to cache lines from here on */
#define MAP_FROM			((size_t) 2 << 20)	/* extents mapped, not malloc'ed */

static void *
private_create(void *arg, size_t bytes)
{
	void	   *p;

	(void) arg;
	if (bytes < MAP_FROM)
		return calloc(1, bytes);
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
		free(base);
	else
		(void) munmap(base, bytes);
}

GmStatus
gm_mem_create(size_t first_extent, size_t limit, const GmMemOps *ops, GmMem **mem)
{
	GmMem	   *m = calloc(1, sizeof(GmMem));

	if (m == NULL)
		return GM_NO_MEMORY;
	m->next_size = first_extent < 4096 ? 4096 : ALIGN_UP(first_extent, 4096);
	m->limit = limit;
	if (ops != NULL)
		m->ops = *ops;
	if (m->ops.create == NULL)
	{
		m->ops.create = private_create;
		m->ops.destroy = private_destroy;
	}
	*mem = m;
	return GM_OK;
}

void
gm_mem_destroy(GmMem *mem)
{
	if (mem == NULL)
		return;
	for (uint32_t i = 0; i < GM_MEM_TEMPS; i++)
		gm_mem_temp_free(mem, mem->temp[i]);
	for (uint32_t i = 1; i <= mem->extents; i++)
		mem->ops.destroy(mem->ops.arg, mem->base[i], mem->size[i]);
	free(mem->base);
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

static GmStatus
add_extent(GmMem *mem, size_t bytes)
{
	size_t		size = mem->next_size;
	GmStatus	status;
	void	   *p;

	if (bytes > size)
		size = ALIGN_UP(bytes, 4096);
	else if (mem->limit > 0 && mem->charged + size > mem->limit)
		size = ALIGN_UP(bytes, 4096);	/* near the limit, waste nothing */
	if (mem->extents + 2 > mem->slots)
	{
		uint32_t	slots = mem->slots == 0 ? 16 : mem->slots * 2;
		char	  **base = realloc(mem->base, slots * sizeof(char *));
		size_t	   *sizes;

		if (base == NULL)
			return GM_NO_MEMORY;
		mem->base = base;
		sizes = realloc(mem->size, slots * sizeof(size_t));
		if (sizes == NULL)
			return GM_NO_MEMORY;
		mem->size = sizes;
		mem->slots = slots;
	}
	status = gm_mem_charge(mem, (int64_t) size);
	if (status != GM_OK)
		return status;
	p = mem->ops.create(mem->ops.arg, size);
	if (p == NULL)
	{
		(void) gm_mem_charge(mem, -(int64_t) size);
		return GM_NO_MEMORY;
	}
	mem->extents++;
	mem->base[mem->extents] = p;
	mem->size[mem->extents] = size;
	mem->next = 0;
	if (size >= mem->next_size && mem->next_size < GM_MEM_MAX_EXTENT)
		mem->next_size *= 2;
	return GM_OK;
}

static GmStatus
allocate(GmMem *mem, size_t bytes, size_t align, GmRef *ref)
{
	size_t		at = ALIGN_UP(mem->next, align);

	if (mem->extents == 0 || at + bytes > mem->size[mem->extents])
	{
		GmStatus	status = add_extent(mem, bytes + 64);

		if (status != GM_OK)
			return status;

		/* offset 0 of an extent is never handed out by the first one: see GmRef */
		at = mem->extents == 1 ? 64 : 0;
		if (at + bytes > mem->size[mem->extents])
			return GM_NO_MEMORY;
	}
	mem->next = at + bytes;
	mem->used += bytes;
	*ref = ((GmRef) mem->extents << GM_MEM_OFFSET_BITS) | at;
	return GM_OK;
}

GmStatus
gm_mem_alloc(GmMem *mem, size_t bytes, GmRef *ref)
{
	bytes = ALIGN_UP(bytes == 0 ? 1 : bytes, 8);
	return allocate(mem, bytes, bytes >= BIG_REQUEST ? 64 : 8, ref);
}

GmStatus
gm_mem_alloc_words(GmMem *mem, size_t words, GmRef *ref)
{
	return allocate(mem, words * sizeof(uint32_t), sizeof(uint32_t), ref);
}
