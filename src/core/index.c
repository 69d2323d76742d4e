/*-------------------------------------------------------------------------
 *
 * index.c
 *	  Numbers by the hash of a key, inside an image.
 *
 *-------------------------------------------------------------------------
 */
#include "core/index.h"

void
gm_index_init(GmIndexRoot *root, uint32_t base)
{
	gm_array_init(&root->ix_head, sizeof(uint32_t), GM_ARRAY_PAGE_SMALL);
	gm_array_init(&root->ix_next, sizeof(uint32_t), GM_ARRAY_PAGE_SMALL);
	root->ix_count = 0;
	root->ix_base = base;
	root->ix_free = 0;
	root->ix_frees = 0;
}

GmStatus
gm_index_attach(const GmMem *mem, GmIndexRoot *root, GmIndex *index)
{
	index->root = root;
	GM_TRY(gm_array_attach(mem, &root->ix_head, &index->head));
	return gm_array_attach(mem, &root->ix_next, &index->next);
}

void
gm_index_detach(GmIndex *index)
{
	gm_array_detach(&index->head);
	gm_array_detach(&index->next);
}

void
gm_index_end(GmIndex *index)
{
	gm_array_end(&index->head);
	gm_array_end(&index->next);
}

/* from the last to the first, so that equal keys come in the order of numbers */
GmStatus
gm_index_build(GmMem *mem, GmIndex *index, uint32_t n, GmIndexHash hash, const void *owner,
			   const GmInterrupt *intr)
{
	GmIndexRoot *root = index->root;

	GM_TRY(gm_array_reserve(mem, &index->head, n));
	GM_TRY(gm_array_reserve(mem, &index->next, n));
	root->ix_head.ar_length = root->ix_next.ar_length = n;
	root->ix_count = n;
	for (uint32_t i = 0; i < n; i++)
		GM_ARRAY_U32(&index->head, i) = 0;
	for (uint32_t i = n; i-- > 0;)
	{
		uint32_t   *head = gm_array_at(&index->head, gm_index_bucket(hash(owner, i), n));

		if ((i & (GM_INTERRUPT_EVERY - 1)) == 0 && gm_interrupted(intr))
			return GM_INTERRUPTED;
		GM_ARRAY_U32(&index->next, i) = *head;
		*head = i + 1;
	}
	return GM_OK;
}

static GmStatus
begin(GmMem *mem, GmIndex *index)
{
	if (index->head.changes == NULL)
		GM_TRY(gm_array_begin(mem, &index->head));
	if (index->next.changes == NULL)
		GM_TRY(gm_array_begin(mem, &index->next));
	return GM_OK;
}

static GmStatus
set(GmMem *mem, GmArray *array, uint32_t i, uint32_t value)
{
	uint32_t   *at;

	if (GM_ARRAY_U32(array, i) == value)
		return GM_OK;
	GM_TRY(gm_array_write(mem, array, i, &at));
	*at = value;
	return GM_OK;
}

static GmStatus
room_for_link(GmMem *mem, GmIndex *index, uint32_t number)
{
	uint32_t	i = number - index->root->ix_base;

	if (i < index->root->ix_next.ar_length)
		return GM_OK;
	GM_TRY(gm_array_reserve(mem, &index->next, (uint64_t) i + 1));
	for (uint64_t k = index->root->ix_next.ar_length; k <= i; k++)
		GM_ARRAY_U32(&index->next, k) = 0;
	index->root->ix_next.ar_length = (uint64_t) i + 1;
	return GM_OK;
}

/* one more bucket, with what belongs there of the one it is split from */
static GmStatus
split(GmMem *mem, GmIndex *index, GmIndexHash hash, const void *owner)
{
	GmIndexRoot *root = index->root;
	uint32_t	fresh = (uint32_t) root->ix_head.ar_length;
	uint32_t	old = fresh == 0 ? 0 : fresh & ((UINT32_MAX >> __builtin_clz(fresh)) >> 1);
	uint32_t	first[2] = {0, 0};
	uint32_t	last[2] = {GM_NONE, GM_NONE};

	GM_TRY(gm_array_reserve(mem, &index->head, (uint64_t) fresh + 1));
	GM_ARRAY_U32(&index->head, fresh) = 0;
	root->ix_head.ar_length = (uint64_t) fresh + 1;
	if (fresh == 0)
		return GM_OK;
	for (uint32_t link = GM_ARRAY_U32(&index->head, old), next; link != 0; link = next)
	{
		uint32_t	number = link - 1;
		int			moved = gm_index_bucket(hash(owner, number), fresh + 1) == fresh;

		next = GM_ARRAY_U32(&index->next, number - root->ix_base);
		if (last[moved] == GM_NONE)
			first[moved] = link;
		else
			GM_TRY(set(mem, &index->next, last[moved] - root->ix_base, link));
		last[moved] = number;
	}
	for (int moved = 0; moved < 2; moved++)
		if (last[moved] != GM_NONE)
			GM_TRY(set(mem, &index->next, last[moved] - root->ix_base, 0));
	GM_TRY(set(mem, &index->head, old, first[0]));
	return set(mem, &index->head, fresh, first[1]);
}

GmStatus
gm_index_insert(GmMem *mem, GmIndex *index, uint32_t number, uint32_t after,
				GmIndexHash hash, const void *owner)
{
	GmIndexRoot *root = index->root;
	uint32_t	i = number - root->ix_base;
	GmArray    *before = after == GM_NONE ? &index->head : &index->next;
	uint32_t	at;

	GM_TRY(begin(mem, index));
	GM_TRY(room_for_link(mem, index, number));
	if (root->ix_head.ar_length == 0)
		GM_TRY(split(mem, index, hash, owner));
	at = after == GM_NONE ?
		gm_index_bucket(hash(owner, number), (uint32_t) root->ix_head.ar_length) :
		after - root->ix_base;
	GM_TRY(set(mem, &index->next, i, GM_ARRAY_U32(before, at)));
	GM_TRY(set(mem, before, at, number + 1));
	root->ix_count++;
	if (root->ix_count > root->ix_head.ar_length)
		return split(mem, index, hash, owner);
	return GM_OK;
}

GmStatus
gm_index_remove(GmMem *mem, GmIndex *index, uint32_t number, uint32_t hash)
{
	GmIndexRoot *root = index->root;
	GmArray    *before = &index->head;
	uint32_t	at = gm_index_bucket(hash, (uint32_t) root->ix_head.ar_length);

	GM_TRY(begin(mem, index));
	while (GM_ARRAY_U32(before, at) != number + 1)
	{
		at = GM_ARRAY_U32(before, at) - 1 - root->ix_base;
		before = &index->next;
	}
	GM_TRY(set(mem, before, at, GM_ARRAY_U32(&index->next, number - root->ix_base)));
	root->ix_count--;
	return GM_OK;
}

GmStatus
gm_index_give(GmMem *mem, GmIndex *index, uint32_t number)
{
	GM_TRY(begin(mem, index));
	GM_TRY(room_for_link(mem, index, number));
	GM_TRY(set(mem, &index->next, number - index->root->ix_base, index->root->ix_free));
	index->root->ix_free = number + 1;
	index->root->ix_frees++;
	return GM_OK;
}

GmStatus
gm_index_take(GmMem *mem, GmIndex *index, uint32_t *number)
{
	*number = index->root->ix_free - 1;
	if (*number == GM_NONE)
		return GM_OK;
	GM_TRY(begin(mem, index));
	index->root->ix_free = GM_ARRAY_U32(&index->next, *number - index->root->ix_base);
	index->root->ix_frees--;
	return GM_OK;
}
