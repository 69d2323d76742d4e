/*-------------------------------------------------------------------------
 *
 * array.c
 *	  Growing arrays inside an image whose elements never move.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/array.h"

#define SEGMENT_BYTES		((uint64_t) 256 << 10)	/* about, of a full segment */

void
gm_array_init(GmArrayRoot *root, uint32_t element)
{
	memset(root, 0, sizeof(*root));
	root->ar_element = element;
	root->ar_cap = GM_ARRAY_FIRST_BITS;
	while (((uint64_t) element << (root->ar_cap + 1)) <= SEGMENT_BYTES)
		root->ar_cap++;
}

static uint64_t
segment_elements(const GmArrayRoot *root, uint32_t segment)
{
	uint32_t	bits = GM_ARRAY_FIRST_BITS + segment;

	return (uint64_t) 1 << (bits < root->ar_cap ? bits : root->ar_cap);
}

/* index (counted from 2^FIRST_BITS) at which a segment starts */
static uint64_t
segment_start(const GmArrayRoot *root, uint32_t segment)
{
	uint32_t	doubling = root->ar_cap - GM_ARRAY_FIRST_BITS;

	if (segment <= doubling)
		return (uint64_t) 1 << (GM_ARRAY_FIRST_BITS + segment);
	return (uint64_t) (segment - doubling + 1) << root->ar_cap;
}

static GmStatus
grow_directory(GmMem *mem, GmArrayRoot *root)
{
	uint32_t	room = root->ar_directory_room == 0 ? 4 : root->ar_directory_room * 2;
	GmRef		ref;
	GmStatus	status = gm_mem_alloc(mem, room * sizeof(GmRef), &ref);

	if (status != GM_OK)
		return status;
	if (root->ar_segments > 0)
		memcpy(gm_mem_ptr(mem, ref), gm_mem_ptr(mem, root->ar_directory),
			   root->ar_segments * sizeof(GmRef));
	root->ar_directory = ref;
	root->ar_directory_room = room;
	return GM_OK;
}

GmStatus
gm_array_reserve(GmMem *mem, GmArray *array, uint64_t n)
{
	GmArrayRoot *root = array->root;

	while (root->ar_room < n)
	{
		uint64_t	elements = segment_elements(root, root->ar_segments);
		GmRef		ref;
		GmStatus	status;

		if (root->ar_segments == root->ar_directory_room)
		{
			status = grow_directory(mem, root);
			if (status != GM_OK)
				return status;
		}
		status = gm_mem_alloc(mem, elements * root->ar_element, &ref);
		if (status != GM_OK)
			return status;
		((GmRef *) gm_mem_ptr(mem, root->ar_directory))[root->ar_segments] = ref;
		root->ar_segments++;
		root->ar_room += elements;
	}
	if (array->attached < root->ar_segments)
		return gm_array_attach(mem, root, array);
	return GM_OK;
}

GmStatus
gm_array_attach(const GmMem *mem, GmArrayRoot *root, GmArray *array)
{
	uint32_t	segments = root->ar_segments;
	uintptr_t  *biased = array->biased;

	if (segments > 0 && (biased == NULL || segments > array->attached))
	{
		uint32_t	room = 4;

		while (room < segments)
			room *= 2;
		biased = realloc(biased, room * sizeof(uintptr_t));
		if (biased == NULL)
			return GM_NO_MEMORY;
		for (uint32_t s = 0; s < segments; s++)
		{
			GmRef		ref = ((GmRef *) gm_mem_ptr(mem, root->ar_directory))[s];

			biased[s] = (uintptr_t) gm_mem_ptr(mem, ref) -
				segment_start(root, s) * root->ar_element;
		}
	}
	array->root = root;
	array->biased = biased;
	array->attached = segments;
	array->element = root->ar_element;
	array->cap = root->ar_cap;
	return GM_OK;
}

void
gm_array_detach(GmArray *array)
{
	free(array->biased);
	array->biased = NULL;
	array->attached = 0;
}
