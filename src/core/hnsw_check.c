/*-------------------------------------------------------------------------
 *
 * hnsw_check.c
 *	  Every rule of the HNSW graph, from what lies in memory.
 *
 * The graph may be changed meanwhile.  Then a broken rule counts only if nothing
 * was changed from the beginning of the look to its end; if that does not happen
 * in several looks, those rules are left that hold at every moment.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdlib.h>

#include "core/hnsw_private.h"

#define LOOKS		20
#define NODES_PER_LOOK	4096	/* between interrupts */

typedef struct Check
{
	GmHnsw	   *h;
	const GmInterrupt *intr;
	bool		stopped;		/* by intr: nothing is known */
	uint64_t   *listed;			/* bit by node: in the list of free or swept ones */
	uint64_t   *block;			/* bit by upper block: taken or free */
	uint32_t	count[GM_HNSW_SWEPT + 1];
	uint32_t	highest;		/* level of a linked node, plus one */
	uint32_t	node;			/* where it is broken */
} Check;

static bool
is_stopped(Check *c, uint32_t i)
{
	if (i % NODES_PER_LOOK == 0 && !c->stopped)
		c->stopped = gm_interrupted(c->intr);
	return c->stopped;
}

static const char *
check_code(Check *c, uint32_t i)
{
	const GmCodeTail *tail = gm_code_tail(&c->h->coder, gm_hnsw_code_at(c->h, i));

	return isfinite(tail->scale) && isfinite(tail->offset) ? NULL :
		"a node's code is not finite";
}

static const char *
take_blocks(Check *c, uint32_t block, uint32_t level)
{
	uint32_t	blocks = 1u << c->h->upper_shift;

	if (level == 0)
		return block == GM_NONE ? NULL : "a node of level 0 has upper links";
	if (block >= c->h->upper_blocks || level > c->h->upper_blocks - block)
		return "a node's upper links are beyond the end";
	if (block / blocks != (block + level - 1) / blocks)
		return "a node's upper links lie in two chunks";
	for (uint32_t i = 0; i < level; i++)
	{
		if (gm_bit_test(c->block, block + i))
			return "two nodes have the same upper links";
		gm_bit_set(c->block, block + i);
	}
	return NULL;
}

static const char *
check_links(Check *c, uint32_t node, uint32_t level)
{
	GmHnsw	   *h = c->h;
	const GmHnswLink *block = gm_hnsw_block_at(h, node, level);
	uint32_t	room = gm_hnsw_room(h, level);
	uint32_t	seen[2 * GM_HNSW_MOST_M];
	bool		ended = false;

	if (block == NULL)
		return "a node has no links of its level";
	for (uint32_t i = 0; i < room; i++)
	{
		uint32_t	to = gm_hnsw_load(&block[i]);
		GmHnswState state;

		seen[i] = to;
		if (to == GM_NONE)
		{
			ended = true;
			continue;
		}
		if (to >= h->nodes)
			return "a link leads beyond the last node";
		state = gm_hnsw_state_at(h, to);
		if (ended)
			return "a link lies behind the end of links";
		if (to == node)
			return "a node is linked to itself";
		if (state != GM_HNSW_LINKED && state != GM_HNSW_DEAD)
			return "a link leads to a node that is not linked";
		if (gm_hnsw_node_at(h, to)->level < level)
			return "a link leads to a node of a lower level";
		for (uint32_t k = 0; k < i; k++)
			if (seen[k] == to)
				return "a node is linked to another twice";
	}
	return NULL;
}

static const char *
check_node(Check *c, uint32_t i)
{
	GmHnsw	   *h = c->h;
	GmHnswNode *n = gm_hnsw_node_at(h, i);
	GmHnswState state = gm_hnsw_state_at(h, i);
	uint32_t	level = n->level;
	const char *broken;

	if (state > GM_HNSW_SWEPT)
		return "a node's state is none";
	if (level >= GM_HNSW_LEVELS)
		return "a node's level is too high";
	c->count[state]++;
	if (atomic_load_explicit(&n->lock, memory_order_relaxed) != 0)
		return "a node is locked";
	if (gm_bit_test(c->listed, i) != (state == GM_HNSW_FREE || state == GM_HNSW_SWEPT))
		return "the list of free nodes is not that of the free ones";
	broken = take_blocks(c, atomic_load_explicit(&n->upper, memory_order_acquire), level);
	if (broken != NULL)
		return broken;
	if (state == GM_HNSW_FREE)
		return NULL;
	broken = check_code(c, i);
	if (state == GM_HNSW_LINKED && level + 1 > c->highest)
		c->highest = level + 1;
	if (state == GM_HNSW_LINKED || state == GM_HNSW_DEAD)
		for (uint32_t l = 0; l <= level && broken == NULL; l++)
			broken = check_links(c, i, l);
	return broken;
}

static const char *
check_free_blocks(Check *c)
{
	for (uint32_t level = 1; level < GM_HNSW_LEVELS; level++)
	{
		uint32_t	block = c->h->root->hn_upper_free[level];

		while (block != GM_NONE)
		{
			const char *broken = take_blocks(c, block, level);

			if (broken != NULL)
				return "upper links are free twice, or taken and free";
			block = gm_hnsw_load(gm_hnsw_upper_at(c->h, block));
		}
	}
	return NULL;
}

static const char *
check_list(Check *c)
{
	GmHnsw	   *h = c->h;
	const GmHnswRoot *root = h->root;
	const uint32_t *list = gm_mem_ptr(h->mem, root->hn_free_list);
	uint64_t	n = (uint64_t) root->hn_free + root->hn_swept;

	if (n > root->hn_free_room)
		return "more nodes are free than are listed";
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	node = list[i];

		c->node = node;
		if (node >= h->nodes)
			return "a free node is beyond the last";
		if (gm_bit_test(c->listed, node))
			return "a node is free twice";
		if (gm_hnsw_state_at(h, node) != (i < root->hn_free ? GM_HNSW_FREE : GM_HNSW_SWEPT))
			return "a node's state is not what the list of free nodes says";
		gm_bit_set(c->listed, node);
	}
	return NULL;
}

static const char *
check_totals(Check *c)
{
	const GmHnswRoot *root = c->h->root;
	uint64_t	entry = root->hn_entry;
	GmHnswState state;

	c->node = GM_NONE;
	if (c->count[GM_HNSW_LINKED] != root->hn_linked || c->count[GM_HNSW_DEAD] != root->hn_dead ||
		c->count[GM_HNSW_SWEPT] != root->hn_swept || c->count[GM_HNSW_FREE] != root->hn_free)
		return "the numbers of nodes are not those of the nodes";
	if (entry == GM_HNSW_NO_ENTRY)
		return c->count[GM_HNSW_LINKED] == 0 ? NULL : "nodes are linked and none is the entry";
	c->node = (uint32_t) entry;
	if (c->node >= c->h->nodes)
		return "the entry is beyond the last node";
	state = gm_hnsw_state_at(c->h, c->node);
	if (state != GM_HNSW_LINKED && state != GM_HNSW_DEAD)
		return "the entry is not linked";
	if (entry >> 32 != gm_hnsw_node_at(c->h, c->node)->level)
		return "the entry's level is not the node's";
	return c->highest <= (entry >> 32) + 1 ? NULL : "a node's level is above the entry's";
}

/* once, of a handle that knows all nodes */
static const char *
check_all(Check *c)
{
	const char *broken = check_list(c);

	for (uint32_t i = 0; i < c->h->nodes && broken == NULL; i++)
	{
		if (is_stopped(c, i))
			return NULL;
		c->node = i;
		broken = check_node(c, i);
	}
	if (broken == NULL)
		broken = check_free_blocks(c);
	return broken == NULL ? check_totals(c) : broken;
}

/* of the nodes of a view, whatever happens to them */
static const char *
check_always(Check *c)
{
	GmHnsw	   *h = c->h;
	const char *broken = NULL;

	for (uint32_t i = 0; i < h->nodes && broken == NULL; i++)
	{
		GmHnswState state = gm_hnsw_state_at(h, i);

		if (is_stopped(c, i))
			return NULL;
		c->node = i;
		if (state > GM_HNSW_SWEPT)
			return "a node's state is none";
		if (state != GM_HNSW_LINKED && state != GM_HNSW_DEAD)
			continue;
		if (gm_hnsw_node_at(h, i)->level >= GM_HNSW_LEVELS)
			return "a node's level is too high";
		for (uint32_t k = 0; k < 2 * h->m; k++)
		{
			uint32_t	to = gm_hnsw_load(&gm_hnsw_ground_at(h, i)[k]);

			if (to != GM_NONE &&
				to >= atomic_load_explicit(&h->root->hn_nodes, memory_order_acquire))
				return "a link leads beyond the last node";
		}
		broken = check_code(c, i);
	}
	return broken;
}

/* no change is under way; how many there were */
static bool
is_quiet(const GmHnsw *h, uint64_t *changes)
{
	*changes = atomic_load_explicit(&h->root->hn_begun, memory_order_acquire);
	return atomic_load_explicit(&h->root->hn_ended, memory_order_acquire) == *changes;
}

static const char *
look(Check *c)
{
	const char *broken = "no memory for a check";

	c->listed = calloc(gm_bit_words(c->h->nodes) + 1, sizeof(uint64_t));
	c->block = calloc(gm_bit_words(c->h->upper_blocks) + 1, sizeof(uint64_t));
	if (c->listed != NULL && c->block != NULL)
		broken = check_all(c);
	free(c->listed);
	free(c->block);
	return broken;
}

const char *
gm_hnsw_check(GmHnsw *h, const GmInterrupt *intr, uint32_t *node)
{
	Check		c = {.h = h, .intr = intr, .node = GM_NONE};
	const char *broken;

	for (int i = 0; i < LOOKS; i++)
	{
		uint64_t	before;
		uint64_t	after;

		c = (Check) {.h = h, .intr = intr, .node = GM_NONE};
		/* a view may be older than the graph */
		if (!is_quiet(h, &before) || h->upper_blocks != h->root->hn_upper_next ||
			h->nodes != atomic_load_explicit(&h->root->hn_nodes, memory_order_acquire))
			break;
		broken = look(&c);
		*node = c.node;
		if (broken == NULL || (is_quiet(h, &after) && after == before))
			return broken;
	}
	broken = check_always(&c);
	*node = c.node;
	return broken;
}
