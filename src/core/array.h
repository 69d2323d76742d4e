/*-------------------------------------------------------------------------
 *
 * array.h
 *	  Growing arrays inside an image whose elements never move.
 *
 * The part inside the image is a GmArrayRoot: the length and a directory of
 * segments.  Segments double from 2^GM_ARRAY_FIRST_BITS elements up to 2^cap,
 * then stay at that size, so that small arrays are small and large ones waste
 * less than a segment.  A process reads through its own GmArray, which caches
 * the segments' addresses.
 *
 * Interface
 *	 gm_array_init		an empty array in the root
 *	 gm_array_reserve	make room for n elements; writer only
 *	 gm_array_attach	cache the addresses (again after the array grew)
 *	 gm_array_at		address of element i
 *	 gm_array_span		the same, and how many elements follow it contiguously
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_ARRAY_H
#define GM_CORE_ARRAY_H

#include "core/base.h"
#include "core/mem.h"

#define GM_ARRAY_FIRST_BITS	4

typedef struct GmArrayRoot
{
	uint64_t	ar_length;		/* elements in use */
	uint64_t	ar_room;		/* elements that the segments hold */
	GmRef		ar_directory;	/* GmRef [ar_directory_room] */
	uint32_t	ar_segments;
	uint32_t	ar_directory_room;
	uint32_t	ar_element;		/* bytes an element */
	uint32_t	ar_cap;			/* log2 of the largest segment's elements */
} GmArrayRoot;

typedef struct GmArray
{
	GmArrayRoot *root;
	uintptr_t  *biased;			/* segment address minus its first index in bytes */
	uint32_t	attached;		/* segments in biased */
	uint32_t	element;
	uint32_t	cap;
} GmArray;

extern void gm_array_init(GmArrayRoot *root, uint32_t element);
extern GmStatus gm_array_reserve(GmMem *mem, GmArray *array, uint64_t n);
extern GmStatus gm_array_attach(const GmMem *mem, GmArrayRoot *root, GmArray *array);
extern void gm_array_detach(GmArray *array);

static inline uint32_t
gm_array_segment(const GmArray *a, uint64_t biased_index)
{
	if (gm_likely((biased_index >> a->cap) == 0))
		return (63 - (uint32_t) __builtin_clzll(biased_index)) - GM_ARRAY_FIRST_BITS;
	return a->cap - GM_ARRAY_FIRST_BITS + (uint32_t) (biased_index >> a->cap) - 1;
}

static inline void *
gm_array_at(const GmArray *a, uint64_t i)
{
	uint64_t	b = i + ((uint64_t) 1 << GM_ARRAY_FIRST_BITS);

	return (void *) (a->biased[gm_array_segment(a, b)] + b * a->element);
}

static inline void *
gm_array_span(const GmArray *a, uint64_t i, uint64_t *contiguous)
{
	uint64_t	b = i + ((uint64_t) 1 << GM_ARRAY_FIRST_BITS);
	uint64_t	end;

	if ((b >> a->cap) == 0)
		end = (uint64_t) 2 << (63 - (uint32_t) __builtin_clzll(b));
	else
		end = ((b >> a->cap) + 1) << a->cap;
	*contiguous = end - b;
	return gm_array_at(a, i);
}

#define GM_ARRAY_U32(a, i)	(*(uint32_t *) gm_array_at(a, i))
#define GM_ARRAY_I64(a, i)	(*(int64_t *) gm_array_at(a, i))
#define GM_ARRAY_F32(a, i)	(*(float *) gm_array_at(a, i))

#endif							/* GM_CORE_ARRAY_H */
