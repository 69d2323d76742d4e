/*-------------------------------------------------------------------------
 *
 * scratch.c
 *	  Working memory of the graph algorithms, kept from call to call.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/scratch.h"

#define SMALLEST	256			/* bytes of a buffer's first allocation */
#define LARGE		((size_t) 128 << 10)

GmStatus
gm_scratch_create(size_t limit, GmScratch **scratch)
{
	GmScratch  *s = calloc(1, sizeof(GmScratch));

	if (s == NULL)
		return GM_NO_MEMORY;
	s->limit = limit;
	*scratch = s;
	return GM_OK;
}

void
gm_scratch_destroy(GmScratch *scratch)
{
	if (scratch == NULL)
		return;
	for (int i = 0; i < GM_BUF_COUNT; i++)
		free(scratch->buffers[i].data);
	free(scratch);
}

void
gm_scratch_begin(GmScratch *scratch)
{
	if (scratch->dirty)
	{
		for (int i = 0; i < GM_BUF_ZEROED; i++)
		{
			if (scratch->buffers[i].bytes > 0)
				memset(scratch->buffers[i].data, 0, scratch->buffers[i].bytes);
		}
	}
	scratch->dirty = true;
}

void
gm_scratch_end(GmScratch *scratch)
{
	scratch->dirty = false;
}

/*
 * A large zeroed buffer is replaced by fresh zero pages if it was empty, which
 * costs nothing until they are touched.
 */
static void *
grow(const GmBuffer *buffer, bool zeroed, size_t bytes)
{
	char	   *data;

	if (buffer->bytes == 0)
		return zeroed ? calloc(1, bytes) : malloc(bytes);
	data = realloc(buffer->data, bytes);
	if (data != NULL && zeroed)
		memset(data + buffer->bytes, 0, bytes - buffer->bytes);
	return data;
}

GmStatus
gm_scratch_get(GmScratch *scratch, GmBufferName name, size_t bytes, void *data)
{
	GmBuffer   *buffer = &scratch->buffers[name];

	if (bytes > buffer->bytes || buffer->data == NULL)
	{
		size_t		more = bytes < SMALLEST ? SMALLEST : bytes;
		size_t		others = scratch->bytes - buffer->bytes;
		void	   *grown;

		/* by half again at least, unless only the exact size fits */
		if (more < buffer->bytes + buffer->bytes / 2)
			more = buffer->bytes + buffer->bytes / 2;
		if (scratch->limit > 0 && others + more > scratch->limit)
			more = bytes;
		if (scratch->limit > 0 && others + more > scratch->limit)
			return GM_OVER_BUDGET;
		grown = grow(buffer, name < GM_BUF_ZEROED, more);
		if (grown == NULL)
			return GM_NO_MEMORY;
		buffer->data = grown;
		buffer->bytes = more;
		scratch->bytes = others + more;
	}
	memcpy(data, &buffer->data, sizeof(void *));
	return GM_OK;
}

void
gm_scratch_trim(GmScratch *scratch, size_t bytes)
{
	while (scratch->bytes > bytes)
	{
		GmBuffer   *largest = &scratch->buffers[0];

		for (int i = 1; i < GM_BUF_COUNT; i++)
		{
			if (scratch->buffers[i].bytes > largest->bytes)
				largest = &scratch->buffers[i];
		}
		scratch->bytes -= largest->bytes;
		free(largest->data);
		largest->data = NULL;
		largest->bytes = 0;
	}
}

/*
 * Whole pages inside a buffer read as zero when they are touched again (Linux),
 * or as before, so the zeroed ones stay zero.
 */
void
gm_scratch_rest(GmScratch *scratch)
{
#ifdef MADV_DONTNEED
	uintptr_t	page = (uintptr_t) sysconf(_SC_PAGESIZE);

	for (int i = 0; i < GM_BUF_COUNT; i++)
	{
		uintptr_t	start = (uintptr_t) scratch->buffers[i].data;
		uintptr_t	end = (start + scratch->buffers[i].bytes) & ~(page - 1);

		if (scratch->buffers[i].bytes < LARGE)
			continue;
		start = (start + page - 1) & ~(page - 1);
		(void) madvise((void *) start, end - start, MADV_DONTNEED);
	}
#endif
}
