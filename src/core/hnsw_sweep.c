/*-------------------------------------------------------------------------
 *
 * hnsw_sweep.c
 *	  Links to dead nodes are replaced, then nobody comes to these any more.
 *
 * A node with dead neighbours gets the best of those that live and of those
 * that the dead ones led to, however many dead ones lie between (the idea of
 * FreshDiskANN's deletion, Singh et al., arXiv 2105.09613; here on every level
 * and with links back).
 *
 * A node remembers the number of the sweep during which it was killed: the
 * links made to it while that sweep was under way may be behind it, so it waits
 * for the next.
 *
 *-------------------------------------------------------------------------
 */
#include "core/hnsw_private.h"

#define SECOND_PASS		((uint32_t) 1 << 31)
#define BEYOND			8		/* times the room: candidates looked at */

static bool
lives(const GmHnsw *h, uint32_t node)
{
	return gm_hnsw_state_at(h, node) == GM_HNSW_LINKED;
}

static bool
loses_links(const GmHnsw *h, const GmHnswLink *block, uint32_t room)
{
	for (uint32_t i = 0; i < room; i++)
	{
		uint32_t	to = gm_hnsw_load(&block[i]);

		if (to == GM_NONE)
			return false;
		if (gm_hnsw_goes(h, to))
			return true;
	}
	return false;
}

static uint32_t
load_links(const GmHnswLink *block, uint32_t room, uint32_t *into)
{
	uint32_t	n = 0;

	while (n < room && (into[n] = gm_hnsw_load(&block[n])) != GM_NONE)
		n++;
	return n;
}

static void
mark(GmHnswWork *w, uint32_t node)
{
	gm_bit_set(w->visited, node);
	w->seen[w->seen_count++] = node;
}

/*
 * What the block leads to by way of those that go: nodes seen, w->seen, of which
 * those that live become candidates.
 */
static GmStatus
gather(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level, uint32_t *count)
{
	uint32_t	room = gm_hnsw_room(h, level);
	uint32_t	most = BEYOND * room;
	uint32_t	n = 0;
	GmStatus	status;

	status = gm_hnsw_work_room(w, &w->seen, &w->seen_room, sizeof(uint32_t), most + room + 1);
	if (status == GM_OK)
		mark(w, node);
	for (uint32_t from = 0; status == GM_OK && from < w->seen_count && n < most; from++)
	{
		const GmHnswLink *link;

		if (w->seen[from] != node && !gm_hnsw_goes(h, w->seen[from]))
			continue;
		link = gm_hnsw_block_at(h, w->seen[from], level);
		status = gm_hnsw_work_room(w, &w->seen, &w->seen_room, sizeof(uint32_t),
								   w->seen_count + room);
		for (uint32_t i = 0; status == GM_OK && i < room && link != NULL; i++)
		{
			uint32_t	to = gm_hnsw_load(&link[i]);

			if (to == GM_NONE)
				break;
			if (to >= h->nodes || gm_bit_test(w->visited, to))
				continue;
			mark(w, to);
			if (lives(h, to) && gm_hnsw_block_at(h, to, level) != NULL && n < most + room)
				w->candidate[n++].node = to;
		}
	}
	for (uint32_t i = 0; i < w->seen_count; i++)
		gm_bit_clear(w->visited, w->seen[i]);
	w->seen_count = 0;
	*count = n;
	return status;
}

/* its twins but those that were there before go by other ways: unite_twins */
static uint32_t
without_new_twins(GmHnsw *h, GmHnswWork *w, uint32_t node, const uint32_t *before,
				  uint32_t befores, uint32_t n)
{
	uint32_t	left = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	to = w->candidate[i].node;
		bool		stays = !gm_hnsw_twins(h, node, to);

		for (uint32_t k = 0; k < befores && !stays; k++)
			stays = before[k] == to;
		if (stays)
			w->candidate[left++] = w->candidate[i];
	}
	return left;
}

/* a node's new neighbours link to it */
static void
link_anew(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level, const uint32_t *before,
		  uint32_t befores)
{
	const GmHnswLink *block = gm_hnsw_block_at(h, node, level);
	uint32_t	room = gm_hnsw_room(h, level);
	uint32_t	now[2 * GM_HNSW_MOST_M];
	uint32_t	n;

	n = load_links(block, room, now);
	for (uint32_t i = 0; i < n; i++)
	{
		bool		is_new = true;

		for (uint32_t k = 0; k < befores && is_new; k++)
			is_new = before[k] != now[i];
		if (is_new)
			gm_hnsw_link_back(h, w, now[i], node, level, GM_NONE);
	}
}

static GmStatus
repair(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level)
{
	GmHnswLink *block = gm_hnsw_block_at(h, node, level);
	uint32_t	room = gm_hnsw_room(h, level);
	uint32_t	before[2 * GM_HNSW_MOST_M];
	uint32_t	befores;
	uint32_t	n;

	if (block == NULL || !loses_links(h, block, room))
		return GM_OK;
	befores = load_links(block, room, before);
	GM_TRY(gather(h, w, node, level, &n));
	n = without_new_twins(h, w, node, before, befores, n);
	gm_hnsw_relink(h, w, node, level, n);
	if (lives(h, node))
		link_anew(h, w, node, level, before, befores);
	return GM_OK;
}

/*
 * The twins of a node that goes stay connected: one of them and each of the
 * others come to lead to each other.  Those that go themselves later, *at
 * being their number, do the same then.
 */
static void
unite_twins(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level)
{
	const GmHnswLink *block = gm_hnsw_block_at(h, node, level);
	uint32_t	room = gm_hnsw_room(h, level);
	uint32_t	link[2 * GM_HNSW_MOST_M];
	uint32_t	twins = 0;
	uint32_t	heir = 0;
	uint32_t	n;

	if (block == NULL)
		return;
	n = load_links(block, room, link);
	for (uint32_t i = 0; i < n; i++)
		if (gm_hnsw_twins(h, node, link[i]) && (link[i] > node || !gm_hnsw_goes(h, link[i])))
			link[twins++] = link[i];
	for (uint32_t i = 0; i < twins; i++)
		if (lives(h, link[i]))
			heir = i;
	for (uint32_t i = 0; i < twins; i++)
		if (i != heir)
			gm_hnsw_unite(h, w, link[heir], link[i], level, node + 1);
}

/* those that are gone are nobody's way any more */
static void
finish(GmHnsw *h)
{
	GmHnswRoot *root = h->root;
	uint64_t	entry = GM_HNSW_NO_ENTRY;
	uint32_t	swept = 0;

	for (uint32_t i = 0; i < h->nodes; i++)
	{
		uint32_t	level = gm_hnsw_node_at(h, i)->level;

		if (lives(h, i) && (entry == GM_HNSW_NO_ENTRY || level > entry >> 32))
			entry = gm_hnsw_entry(level, i);
	}
	/* the same one stays where it can */
	if (entry == GM_HNSW_NO_ENTRY || !lives(h, (uint32_t) root->hn_entry))
		atomic_store_explicit(&root->hn_entry, entry, memory_order_release);
	for (uint32_t i = 0; i < h->nodes; i++)
		if (gm_hnsw_goes(h, i))
		{
			gm_hnsw_now_swept(h, i);
			swept++;
		}
	atomic_fetch_sub_explicit(&root->hn_dead, swept, memory_order_relaxed);
}

/* the two passes' nodes: with SECOND_PASS set in the second */
static GmStatus
pass_over(GmHnsw *h, GmHnswWork *w, uint32_t at)
{
	uint32_t	node = at & ~SECOND_PASS;
	uint32_t	level = gm_hnsw_node_at(h, node)->level;
	bool		goes = gm_hnsw_goes(h, node);
	GmHnswState state = gm_hnsw_state_at(h, node);

	if (state != GM_HNSW_LINKED && state != GM_HNSW_DEAD)
		return GM_OK;
	for (uint32_t l = 0; l <= level; l++)
		if (at < SECOND_PASS && goes)
			unite_twins(h, w, node, l);
		else if (at >= SECOND_PASS && !goes)
			GM_TRY(repair(h, w, node, l));
	return GM_OK;
}

GmStatus
gm_hnsw_sweep(GmMem *mem, GmHnsw *h, GmHnswWork *w, uint32_t most, uint32_t *at)
{
	GmStatus	status = GM_OK;

	GM_TRY(gm_hnsw_refresh(h));
	GM_TRY(gm_hnsw_link_room(h, w, (BEYOND + 1) * 2 * h->m + 1));
	if (*at == 0)
	{
		if (atomic_load_explicit(&h->root->hn_dead, memory_order_relaxed) == 0)
		{
			*at = GM_NONE;
			return GM_OK;
		}
		h->root->hn_sweep++;
	}
	gm_hnsw_begin_change(h);
	for (; most > 0 && status == GM_OK && *at != GM_NONE; most--)
	{
		status = pass_over(h, w, *at);
		if (status != GM_OK)
			break;
		(*at)++;
		if (*at == h->nodes)
			*at = SECOND_PASS;
		else if (*at == (SECOND_PASS | h->nodes))
		{
			finish(h);
			*at = GM_NONE;
		}
	}
	gm_hnsw_end_change(h);
	return status;
}
