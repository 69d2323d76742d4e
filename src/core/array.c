/*-------------------------------------------------------------------------
 *
 * array.c
 *	  Growing arrays inside an image, with versions that share their pages.
 *
 * Inside a version the handle knows what it has made its own: the list of
 * directory blocks, directory blocks, pages.  The rest belongs to the versions
 * before and is copied before it changes.  What lies beyond anything that a
 * version before can look at (elements from ar_high on, references of pages
 * that it does not have) the one writer writes in place; a fork, which must
 * not touch shared memory at all, copies there too.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/array.h"

#define DIR_FIRST	4			/* entries of the first directory block at first */

struct GmArrayChanges
{
	bool		fork;
	bool		top_own;
	uint32_t	old_pages;
	uint32_t	old_dirs;
	uint64_t	old_length;
	uint64_t	clean;			/* elements from here on were not asked for yet */
	uint64_t   *page_own;		/* bit by page of the version before */
	uint64_t   *dir_own;		/* bit by its directory block */
};

void
gm_array_init(GmArrayRoot *root, uint32_t element, size_t page_bytes)
{
	memset(root, 0, sizeof(*root));
	root->ar_element = element;
	while (((uint64_t) element << (root->ar_page + 1)) <= page_bytes)
		root->ar_page++;
}

static inline uint32_t
dir_count(uint32_t pages)
{
	return (pages + GM_ARRAY_DIR - 1) >> GM_ARRAY_DIR_BITS;
}

static inline uint64_t
full_page(const GmArrayRoot *root)
{
	return (uint64_t) 1 << root->ar_page;
}

/* elements of a page: the only one may be smaller than full */
static inline uint64_t
page_elements(const GmArrayRoot *root, uint32_t pages, uint64_t room)
{
	return pages == 1 ? room : full_page(root);
}

/* entries of a directory block: the only one may be smaller than full */
static inline uint32_t
dir_entries(const GmArrayRoot *root, uint32_t dirs)
{
	return dirs == 1 ? root->ar_dir_room : GM_ARRAY_DIR;
}

static inline bool
bit(const uint64_t *bits, uint32_t i)
{
	return bits[i >> 6] >> (i & 63) & 1;
}

static inline void
set_bit(uint64_t *bits, uint32_t i)
{
	bits[i >> 6] |= (uint64_t) 1 << (i & 63);
}

/*
 * Reading
 */
static GmStatus
room_for_tops(GmArray *array, uint32_t dirs)
{
	const GmRef **top;
	uint32_t	room = 8;

	if (array->top == NULL)
	{
		array->top = array->few;
		array->top_room = 4;
	}
	if (dirs <= array->top_room)
		return GM_OK;
	while (room < dirs)
		room *= 2;
	top = malloc(room * sizeof(GmRef *));
	if (top == NULL)
		return GM_NO_MEMORY;
	memcpy(top, array->top, array->tops * sizeof(GmRef *));
	if (array->top != array->few)
		free(array->top);
	array->top = top;
	array->top_room = room;
	return GM_OK;
}

GmStatus
gm_array_attach(const GmMem *mem, GmArrayRoot *root, GmArray *array)
{
	uint32_t	dirs = dir_count(root->ar_pages);
	const GmRef *refs;

	GM_TRY(room_for_tops(array, dirs));
	array->root = root;
	array->base = mem->base;
	array->element = root->ar_element;
	array->page = root->ar_page;
	array->page_mask = (uint32_t) full_page(root) - 1;
	array->tops = dirs;
	if (dirs == 0)
		return GM_OK;
	refs = gm_mem_ptr(mem, root->ar_top);
	for (uint32_t d = 0; d < dirs; d++)
		array->top[d] = gm_mem_ptr(mem, refs[d]);
	return GM_OK;
}

void
gm_array_detach(GmArray *array)
{
	gm_array_end(array);
	if (array->top != array->few)
		free(array->top);
	array->top = NULL;
	array->top_room = array->tops = 0;
}

/*
 * Versions
 */
GmStatus
gm_array_begin(GmMem *mem, GmArray *array)
{
	GmArrayRoot *root = array->root;
	uint32_t	pages = root->ar_pages;
	uint32_t	page_words = pages / 64 + 1;
	uint32_t	dir_words = dir_count(pages) / 64 + 1;
	GmArrayChanges *c = calloc(1, sizeof(GmArrayChanges) +
							   ((size_t) page_words + dir_words) * sizeof(uint64_t));

	if (c == NULL)
		return GM_NO_MEMORY;
	if (root->ar_high < root->ar_length)
		root->ar_high = (uint32_t) root->ar_length;
	c->fork = !mem->shared && mem->first == GM_MEM_FORK_FROM;
	c->old_pages = pages;
	c->old_dirs = dir_count(pages);
	c->old_length = c->clean = root->ar_length;
	c->page_own = (uint64_t *) (c + 1);
	c->dir_own = c->page_own + page_words;
	free(array->changes);
	array->changes = c;
	return GM_OK;
}

void
gm_array_end(GmArray *array)
{
	free(array->changes);
	array->changes = NULL;
}

/*
 * Copy count of so many elements, or in a fork those only that the version
 * before has: beyond them the writer may be writing just now.
 */
static void
copy(GmMem *mem, const GmArrayChanges *c, GmRef to, GmRef from, size_t element, uint64_t count,
	 uint64_t old)
{
	if (c != NULL && c->fork && from >> GM_MEM_OFFSET_BITS < GM_MEM_FORK_FROM && count > old)
		count = old;
	memcpy(gm_mem_ptr(mem, to), gm_mem_ptr(mem, from), element * count);
}

static GmStatus
own_top(GmMem *mem, GmArray *array)
{
	GmArrayRoot *root = array->root;
	GmArrayChanges *c = array->changes;
	size_t		bytes = root->ar_top_room * sizeof(GmRef);
	GmRef		ref;

	if (c == NULL || c->top_own || c->old_dirs == 0)
		return GM_OK;
	GM_TRY(gm_mem_alloc(mem, bytes, &ref));
	copy(mem, c, ref, root->ar_top, sizeof(GmRef), root->ar_top_room, c->old_dirs);
	gm_mem_retire(mem, root->ar_top, bytes);
	root->ar_top = ref;
	c->top_own = true;
	return GM_OK;
}

static GmStatus
own_dir(GmMem *mem, GmArray *array, uint32_t d)
{
	GmArrayRoot *root = array->root;
	GmArrayChanges *c = array->changes;
	uint32_t	entries;
	GmRef	   *top;
	GmRef		ref;

	if (c == NULL || d >= c->old_dirs || bit(c->dir_own, d))
		return GM_OK;
	GM_TRY(own_top(mem, array));
	entries = dir_entries(root, dir_count(root->ar_pages));
	GM_TRY(gm_mem_alloc(mem, entries * sizeof(GmRef), &ref));
	top = gm_mem_ptr(mem, root->ar_top);
	copy(mem, c, ref, top[d], sizeof(GmRef), entries, c->old_pages - d * GM_ARRAY_DIR);
	gm_mem_retire(mem, top[d], entries * sizeof(GmRef));
	top[d] = ref;
	array->top[d] = gm_mem_ptr(mem, ref);
	set_bit(c->dir_own, d);
	return GM_OK;
}

static GmStatus
own_page(GmMem *mem, GmArray *array, uint32_t p)
{
	GmArrayRoot *root = array->root;
	GmArrayChanges *c = array->changes;
	uint32_t	d = p >> GM_ARRAY_DIR_BITS;
	uint64_t	first = (uint64_t) p << array->page;
	uint64_t	elements;
	GmRef	   *entry;
	GmRef		ref;

	if (c == NULL || p >= c->old_pages || bit(c->page_own, p))
		return GM_OK;
	GM_TRY(own_dir(mem, array, d));
	elements = page_elements(root, root->ar_pages, root->ar_room);
	GM_TRY(gm_mem_alloc(mem, elements * root->ar_element, &ref));
	entry = (GmRef *) array->top[d] + (p & (GM_ARRAY_DIR - 1));
	copy(mem, c, ref, *entry, root->ar_element, elements,
		 c->old_length > first ? c->old_length - first : 0);
	gm_mem_retire(mem, *entry, elements * root->ar_element);
	*entry = ref;
	set_bit(c->page_own, p);
	return GM_OK;
}

GmStatus
gm_array_write(GmMem *mem, GmArray *array, uint64_t i, void *element)
{
	GmArrayChanges *c = array->changes;
	void	   *at;

	if (c != NULL && (c->fork || i < array->root->ar_high))
		GM_TRY(own_page(mem, array, (uint32_t) (i >> array->page)));
	at = gm_array_at(array, i);
	memcpy(element, &at, sizeof(at));
	return GM_OK;
}

/*
 * Growing
 */
static GmStatus
new_page(GmMem *mem, const GmArrayRoot *root, uint64_t elements, GmRef *ref)
{
	return gm_mem_alloc(mem, elements * root->ar_element, ref);
}

/* free what only this version knew, retire what older ones know */
static void
give_back(GmMem *mem, const GmArray *array, bool own, GmRef ref, size_t bytes)
{
	if (array->changes == NULL || own)
		gm_mem_free(mem, ref, bytes);
	else
		gm_mem_retire(mem, ref, bytes);
}

/* the only page, with room for n elements or full */
static GmStatus
grow_first_page(GmMem *mem, GmArray *array, uint64_t n)
{
	GmArrayRoot *root = array->root;
	GmArrayChanges *c = array->changes;
	uint64_t	elements = root->ar_room * 2;
	uint64_t	full = full_page(root);
	GmRef	   *entry;
	GmRef		ref;

	while (elements < n && elements < full)
		elements *= 2;
	if (elements > full)
		elements = full;
	GM_TRY(own_dir(mem, array, 0));
	GM_TRY(new_page(mem, root, elements, &ref));
	entry = (GmRef *) array->top[0];
	copy(mem, c, ref, *entry, root->ar_element, root->ar_room, c == NULL ? 0 : c->old_length);
	give_back(mem, array, c != NULL && (c->old_pages == 0 || bit(c->page_own, 0)), *entry,
			  root->ar_room * root->ar_element);
	*entry = ref;
	if (c != NULL && c->old_pages > 0)
		set_bit(c->page_own, 0);
	root->ar_room = elements;
	return GM_OK;
}

static GmStatus
grow_top(GmMem *mem, GmArray *array, uint32_t dirs)
{
	GmArrayRoot *root = array->root;
	GmArrayChanges *c = array->changes;
	uint32_t	room = root->ar_top_room == 0 ? 1 : root->ar_top_room * 4;
	GmRef		ref;

	GM_TRY(gm_mem_alloc(mem, room * sizeof(GmRef), &ref));
	if (dirs > 0)
		copy(mem, c, ref, root->ar_top, sizeof(GmRef), dirs, c == NULL ? 0 : c->old_dirs);
	if (root->ar_top_room > 0)
		give_back(mem, array, c != NULL && (c->top_own || c->old_dirs == 0), root->ar_top,
				  root->ar_top_room * sizeof(GmRef));
	root->ar_top = ref;
	root->ar_top_room = room;
	if (c != NULL)
		c->top_own = true;
	return GM_OK;
}

static GmStatus
add_dir(GmMem *mem, GmArray *array, uint32_t dirs)
{
	GmArrayRoot *root = array->root;
	uint32_t	entries = dirs == 0 ? DIR_FIRST : GM_ARRAY_DIR;
	GmRef		ref;

	GM_TRY(room_for_tops(array, dirs + 1));
	if (dirs == root->ar_top_room)
		GM_TRY(grow_top(mem, array, dirs));
	else if (array->changes != NULL && array->changes->fork)
		GM_TRY(own_top(mem, array));
	GM_TRY(gm_mem_alloc(mem, entries * sizeof(GmRef), &ref));
	((GmRef *) gm_mem_ptr(mem, root->ar_top))[dirs] = ref;
	if (dirs == 0)
		root->ar_dir_room = entries;
	array->top[dirs] = gm_mem_ptr(mem, ref);
	array->tops = dirs + 1;
	return GM_OK;
}

/* the only directory block, four times as large */
static GmStatus
grow_first_dir(GmMem *mem, GmArray *array)
{
	GmArrayRoot *root = array->root;
	GmArrayChanges *c = array->changes;
	uint32_t	entries = root->ar_dir_room * 4 < GM_ARRAY_DIR ? root->ar_dir_room * 4 : GM_ARRAY_DIR;
	GmRef	   *top;
	GmRef		ref;

	GM_TRY(own_top(mem, array));
	GM_TRY(gm_mem_alloc(mem, entries * sizeof(GmRef), &ref));
	top = gm_mem_ptr(mem, root->ar_top);
	copy(mem, c, ref, top[0], sizeof(GmRef), root->ar_dir_room, c == NULL ? 0 : c->old_pages);
	give_back(mem, array, c != NULL && (c->old_dirs == 0 || bit(c->dir_own, 0)), top[0],
			  root->ar_dir_room * sizeof(GmRef));
	top[0] = ref;
	array->top[0] = gm_mem_ptr(mem, ref);
	if (c != NULL && c->old_dirs > 0)
		set_bit(c->dir_own, 0);
	root->ar_dir_room = entries;
	return GM_OK;
}

static GmStatus
add_page(GmMem *mem, GmArray *array, uint64_t n)
{
	GmArrayRoot *root = array->root;
	uint32_t	p = root->ar_pages;
	uint32_t	d = p >> GM_ARRAY_DIR_BITS;
	uint32_t	dirs = dir_count(p);
	uint64_t	elements = full_page(root);
	GmRef		ref;

	if (p == 0)
	{
		/* asked for all at once they fit exactly */
		elements = (uint64_t) 1 << GM_ARRAY_FIRST_BITS;
		if (elements < n)
			elements = n;
		if (elements > full_page(root))
			elements = full_page(root);
	}
	if (d == dirs)
		GM_TRY(add_dir(mem, array, dirs));
	else if (dirs == 1 && p == root->ar_dir_room)
		GM_TRY(grow_first_dir(mem, array));
	else if (array->changes != NULL && array->changes->fork)
		GM_TRY(own_dir(mem, array, d));
	GM_TRY(new_page(mem, root, elements, &ref));
	((GmRef *) array->top[d])[p & (GM_ARRAY_DIR - 1)] = ref;
	root->ar_pages = p + 1;
	root->ar_room += elements;
	return GM_OK;
}

/*
 * The elements from the length to n can be written in place then, and those
 * that nobody asked for in this version are zero: an aborted version may have
 * left something there.
 */
static GmStatus
own_tail(GmMem *mem, GmArray *array, uint64_t n)
{
	GmArrayRoot *root = array->root;
	GmArrayChanges *c = array->changes;
	uint64_t	end = c->fork || n < root->ar_high ? n : root->ar_high;

	if (root->ar_length < end)
	{
		uint64_t	last = (end - 1) >> array->page;

		for (uint64_t p = root->ar_length >> array->page; p <= last && p < c->old_pages; p++)
			GM_TRY(own_page(mem, array, (uint32_t) p));
	}
	for (; c->clean < n && c->clean >> array->page < c->old_pages; c->clean++)
		memset(gm_array_at(array, c->clean), 0, root->ar_element);
	if (c->clean < n)
		c->clean = n;
	return GM_OK;
}

GmStatus
gm_array_reserve(GmMem *mem, GmArray *array, uint64_t n)
{
	GmArrayRoot *root = array->root;

	while (root->ar_room < n)
	{
		if (root->ar_pages == 1 && root->ar_room < full_page(root))
			GM_TRY(grow_first_page(mem, array, n));
		else
			GM_TRY(add_page(mem, array, n));
	}
	return array->changes == NULL ? GM_OK : own_tail(mem, array, n);
}

void
gm_array_free(GmMem *mem, GmArray *array)
{
	GmArrayRoot *root = array->root;
	uint32_t	dirs = dir_count(root->ar_pages);

	for (uint32_t p = 0; p < root->ar_pages; p++)
		gm_mem_retire(mem, array->top[p >> GM_ARRAY_DIR_BITS][p & (GM_ARRAY_DIR - 1)],
					  page_elements(root, root->ar_pages, root->ar_room) * root->ar_element);
	for (uint32_t d = 0; d < dirs; d++)
		gm_mem_retire(mem, ((const GmRef *) gm_mem_ptr(mem, root->ar_top))[d],
					  dir_entries(root, dirs) * sizeof(GmRef));
	gm_mem_retire(mem, root->ar_top, root->ar_top_room * sizeof(GmRef));
	root->ar_length = root->ar_room = 0;
	root->ar_top = 0;
	root->ar_pages = root->ar_dir_room = root->ar_top_room = root->ar_high = 0;
	array->tops = 0;
	gm_array_end(array);
}
