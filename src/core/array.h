/*-------------------------------------------------------------------------
 *
 * array.h
 *	  Growing arrays inside an image, with versions that share their pages.
 *
 * The part inside the image is a GmArrayRoot: the length and a two-level
 * directory of pages.  A page holds 2^ar_page elements; the first one starts
 * small and is replaced by one twice as large until it has that size, so that
 * small arrays are small.  Directory blocks hold GM_ARRAY_DIR references (the
 * only one of a small array fewer), and ar_top refers to the list of them.
 *
 * A process reads through its own GmArray, which caches the addresses of the
 * directory blocks: attaching costs one step for every GM_ARRAY_DIR pages.
 *
 * Versions.  Inside gm_mem_begin .. gm_mem_commit a page that an older version
 * can see is copied before its first change, and so are the directory blocks
 * on the way to it and the list of them; what was replaced is retired.
 * Elements that no older version has (from ar_high on) are nobody's and are
 * written in place, but for a fork, which writes into no page of the image it
 * reads.  Outside of a version everything is written in place.
 *
 * Interface
 *	 gm_array_init		an empty array in the root
 *	 gm_array_attach	read it (again after it changed)
 *	 gm_array_detach	free what the handle holds
 *	 gm_array_at		address of element i, for reading (or for writing while
 *						the image is being built, or just appended)
 *	 gm_array_span		the same, and how many elements follow it contiguously
 *	 gm_array_begin		writer: the array as it is is now somebody else's too
 *	 gm_array_reserve	writer: room for n elements; addresses may change
 *	 gm_array_write		writer: address of element i, which may be changed
 *	 gm_array_end		writer: forget what was copied (after commit or abort)
 *	 gm_array_free		writer: retire every page; the root is empty then
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_ARRAY_H
#define GM_CORE_ARRAY_H

#include "core/base.h"
#include "core/mem.h"

#define GM_ARRAY_FIRST_BITS	4	/* log2 of the first page's first size */
#define GM_ARRAY_DIR_BITS	9
#define GM_ARRAY_DIR		(1 << GM_ARRAY_DIR_BITS)

/* page sizes in bytes, about: what is changed at random has small ones */
#define GM_ARRAY_PAGE_SMALL	4096
#define GM_ARRAY_PAGE		16384
#define GM_ARRAY_PAGE_LARGE	65536

typedef struct GmArrayRoot
{
	uint64_t	ar_length;		/* elements in use */
	uint64_t	ar_room;		/* elements that the pages hold */
	GmRef		ar_top;			/* GmRef [ar_dirs room]: directory blocks */
	uint32_t	ar_pages;
	uint32_t	ar_dir_room;	/* entries of the directory block, if it is the only one */
	uint32_t	ar_top_room;	/* entries of ar_top */
	uint32_t	ar_element;		/* bytes an element */
	uint32_t	ar_page;		/* log2 of a full page's elements */
	uint32_t	ar_high;		/* largest length that any version had */
} GmArrayRoot;

typedef struct GmArrayChanges GmArrayChanges;	/* private to array.c */

typedef struct GmArray
{
	GmArrayRoot *root;
	char *const *base;			/* the memory's table of extents */
	const GmRef **top;			/* addresses of the directory blocks */
	const GmRef *few[4];		/* where top points if there are no more */
	uint32_t	top_room;
	uint32_t	tops;			/* directory blocks attached */
	uint32_t	element;
	uint32_t	page;			/* log2 of a page's elements */
	uint32_t	page_mask;
	GmArrayChanges *changes;	/* writer, inside a version; else NULL */
} GmArray;

/*
 * A page has as many elements as fit into page_bytes, rounded down to a power
 * of two, and at least one.
 */
extern void gm_array_init(GmArrayRoot *root, uint32_t element, size_t page_bytes);
extern GmStatus gm_array_attach(const GmMem *mem, GmArrayRoot *root, GmArray *array);
extern void gm_array_detach(GmArray *array);

extern GmStatus gm_array_begin(GmMem *mem, GmArray *array);

/*
 * The elements from ar_length to n can be written at gm_array_at then.  They
 * are zero but for those of this version that were taken off the end again.
 */
extern GmStatus gm_array_reserve(GmMem *mem, GmArray *array, uint64_t n);
extern GmStatus gm_array_write(GmMem *mem, GmArray *array, uint64_t i, void *element);
extern void gm_array_end(GmArray *array);
extern void gm_array_free(GmMem *mem, GmArray *array);

static inline void *
gm_array_at(const GmArray *a, uint64_t i)
{
	uint64_t	page = i >> a->page;
	GmRef		ref = a->top[page >> GM_ARRAY_DIR_BITS][page & (GM_ARRAY_DIR - 1)];

	return a->base[ref >> GM_MEM_OFFSET_BITS] +
		(ref & (((GmRef) 1 << GM_MEM_OFFSET_BITS) - 1)) +
		(size_t) (i & a->page_mask) * a->element;
}

static inline void *
gm_array_span(const GmArray *a, uint64_t i, uint64_t *contiguous)
{
	*contiguous = a->page_mask + 1 - (i & a->page_mask);
	return gm_array_at(a, i);
}

#define GM_ARRAY_U32(a, i)	(*(uint32_t *) gm_array_at(a, i))
#define GM_ARRAY_I64(a, i)	(*(int64_t *) gm_array_at(a, i))
#define GM_ARRAY_F32(a, i)	(*(float *) gm_array_at(a, i))

#endif							/* GM_CORE_ARRAY_H */
