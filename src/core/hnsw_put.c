/*-------------------------------------------------------------------------
 *
 * hnsw_put.c
 *	  Nodes with their links, as a file of an index has them.
 *
 * Nothing of what is put is trusted: codes are looked at as they come, links
 * when all nodes are there.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>

#include "core/hnsw_private.h"

const uint32_t *
gm_hnsw_links(const GmHnsw *h, uint32_t node, uint32_t level, uint32_t *room)
{
	*room = gm_hnsw_room(h, level);
	return (const uint32_t *) gm_hnsw_block_at(h, node, level);
}

static bool
is_code(const GmHnsw *h, const void *code)
{
	const GmCoder *coder = &h->coder;
	const GmCodeTail *tail = gm_code_tail(coder, code);
	bool		good = true;

	for (uint32_t i = 0; i < coder->dim; i++)
		switch (coder->kind)
		{
			case GM_CODE_INT8:
				good &= ((const int8_t *) code)[i] != INT8_MIN;
				break;
			case GM_CODE_F16:
				/* 1 is 0x3c00; infinity and NaN are beyond */
				good &= (((const uint16_t *) code)[i] & 0x7fff) <= 0x3c00;
				break;
			case GM_CODE_NONE:
				good &= isfinite(((const float *) code)[i]);
				break;
		}
	return good && isfinite(tail->scale) && isfinite(tail->offset);
}

GmStatus
gm_hnsw_put(GmMem *mem, GmHnsw *h, uint32_t level, const void *code, const uint32_t *links,
			uint32_t *node)
{
	GmHnswRoot *root = h->root;
	GmStatus	status;

	if (code == NULL)
		level = 0;
	else if (level >= GM_HNSW_LEVELS || !is_code(h, code))
		return GM_BAD_VALUE;
	if (root->hn_free + root->hn_swept > 0)
		return GM_BAD_VALUE;
	GM_TRY(gm_hnsw_refresh(h));
	gm_hnsw_begin_change(h);
	status = gm_hnsw_take_node(mem, h, level, node);
	for (uint32_t l = 0; status == GM_OK && code != NULL && l <= level; l++)
	{
		GmHnswLink *block = l == 0 ? gm_hnsw_ground_at(h, *node) :
			gm_hnsw_upper_at(h, gm_hnsw_node_at(h, *node)->upper + l - 1);

		for (uint32_t i = 0; i < gm_hnsw_room(h, l); i++)
			atomic_store_explicit(&block[i], *links++, memory_order_relaxed);
	}
	if (status == GM_OK && code != NULL)
		memcpy((char *) gm_hnsw_code_at(h, *node), code, gm_hnsw_code_bytes(h));
	if (status == GM_OK)
		gm_hnsw_announce(h, *node, code == NULL ? GM_HNSW_FREE : GM_HNSW_MADE);
	gm_hnsw_end_change(h);
	return status;
}

/* only what gm_hnsw_check accepts stays */
static void
clean_block(GmHnsw *h, uint32_t node, uint32_t level)
{
	GmHnswLink *block = gm_hnsw_block_at(h, node, level);
	uint32_t	room = gm_hnsw_room(h, level);
	uint32_t	n = 0;

	for (uint32_t i = 0; i < room; i++)
	{
		uint32_t	to = gm_hnsw_load(&block[i]);
		bool		good = to < h->nodes && to != node &&
			gm_hnsw_node_at(h, to)->level >= level &&
			gm_hnsw_state_at(h, to) != GM_HNSW_FREE;

		for (uint32_t k = 0; good && k < n; k++)
			good = gm_hnsw_load(&block[k]) != to;
		if (good)
			gm_hnsw_store(&block[n++], to);
	}
	for (uint32_t i = n; i < room; i++)
		gm_hnsw_store(&block[i], GM_NONE);
}

GmStatus
gm_hnsw_put_finish(GmMem *mem, GmHnsw *h, const GmInterrupt *intr)
{
	GmHnswRoot *root = h->root;
	uint64_t	entry = GM_HNSW_NO_ENTRY;
	uint32_t	holes = 0;
	uint32_t	linked = 0;

	GM_TRY(gm_hnsw_refresh(h));
	for (uint32_t i = 0; i < h->nodes; i++)
		holes += gm_hnsw_state_at(h, i) == GM_HNSW_FREE;
	GM_TRY(gm_hnsw_free_room(mem, h, holes));
	for (uint32_t i = 0; i < h->nodes; i++)
	{
		uint32_t	level = gm_hnsw_node_at(h, i)->level;

		if (i % 1024 == 0 && gm_interrupted(intr))
			return GM_INTERRUPTED;
		if (gm_hnsw_state_at(h, i) != GM_HNSW_MADE)
			continue;
		for (uint32_t l = 0; l <= level; l++)
			clean_block(h, i, l);
		linked++;
		if (entry == GM_HNSW_NO_ENTRY || level > entry >> 32)
			entry = gm_hnsw_entry(level, i);
	}
	gm_hnsw_begin_change(h);
	for (uint32_t i = 0; i < h->nodes; i++)
		if (gm_hnsw_state_at(h, i) == GM_HNSW_MADE)
			gm_hnsw_announce(h, i, GM_HNSW_LINKED);
		else
			((uint32_t *) gm_mem_ptr(mem, root->hn_free_list))[root->hn_free++] = i;
	atomic_store_explicit(&root->hn_linked, linked, memory_order_relaxed);
	atomic_store_explicit(&root->hn_entry, entry, memory_order_release);
	gm_hnsw_end_change(h);
	return GM_OK;
}
