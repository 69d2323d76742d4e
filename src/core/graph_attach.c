/*-------------------------------------------------------------------------
 *
 * graph_attach.c
 *	  Handles on versions of a graph's image, and its vector spaces.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "core/graph.h"
#include "core/graph_private.h"

GmStatus
gm_graph_attach_root(GmGraph *g, GmRef ref)
{
	GmGraphRoot *root = gm_mem_ptr(g->mem, ref);

	if (root->gr_magic != GM_GRAPH_MAGIC || root->gr_layout != GM_GRAPH_LAYOUT)
		return GM_BAD_VALUE;
	g->root = root;
	g->ref = ref;
#define ATTACH(field, size, page) GM_TRY(gm_array_attach(g->mem, &root->gr_##field, &g->field));
	GM_GRAPH_ARRAYS(ATTACH)
#undef ATTACH
#define ATTACH(field) GM_TRY(gm_index_attach(g->mem, &root->gr_##field, &g->field));
	GM_GRAPH_INDEXES(ATTACH)
#undef ATTACH
	for (uint32_t i = 0; i < g->space_room; i++)
		g->space_current[i] = false;
	return GM_OK;
}

GmStatus
gm_graph_attach(GmMem *mem, GmRef root, GmGraph **graph)
{
	GmGraph    *g = calloc(1, sizeof(GmGraph));
	GmStatus	status;

	if (g == NULL)
		return GM_NO_MEMORY;
	g->mem = mem;
	status = gm_graph_attach_root(g, root);
	if (status != GM_OK)
		gm_graph_destroy(g);
	else
		*graph = g;
	return status;
}

GmStatus
gm_graph_reattach(GmGraph *g, GmRef root)
{
	return gm_graph_attach_root(g, root);
}

/*
 * Vector spaces
 */
uint32_t
gm_graph_space_at(const GmGraph *g, int32_t space_id, bool *found)
{
	uint32_t	n = gm_graph_spaces(g);
	uint32_t	i = 0;

	while (i < n && gm_graph_space_info(g, i)->space_id < space_id)
		i++;
	*found = i < n && gm_graph_space_info(g, i)->space_id == space_id;
	return i;
}

static GmStatus
room_for_handles(GmGraph *g, uint32_t n)
{
	uint32_t	room = g->space_room == 0 ? 4 : g->space_room;
	GmSpace   **spaces;
	bool	   *current;

	while (room < n)
		room *= 2;
	if (room == g->space_room)
		return GM_OK;
	spaces = realloc(g->spaces, room * sizeof(GmSpace *));
	if (spaces == NULL)
		return GM_NO_MEMORY;
	g->spaces = spaces;
	current = realloc(g->space_current, room * sizeof(bool));
	if (current == NULL)
		return GM_NO_MEMORY;
	g->space_current = current;
	for (; g->space_room < room; g->space_room++)
	{
		spaces[g->space_room] = NULL;
		current[g->space_room] = false;
	}
	return GM_OK;
}

GmSpace *
gm_graph_space(GmGraph *g, uint32_t i)
{
	GmRef		root = gm_graph_space_info(g, i)->root;

	if (room_for_handles(g, i + 1) != GM_OK)
		return NULL;
	if (g->space_current[i])
		return g->spaces[i];
	if (g->spaces[i] == NULL)
	{
		if (gm_space_attach(g->mem, root, &g->spaces[i]) != GM_OK)
			g->spaces[i] = NULL;
	}
	else if (gm_space_reattach(g->spaces[i], root) != GM_OK)
		return NULL;
	g->space_current[i] = g->spaces[i] != NULL;
	return g->spaces[i];
}

/* the handle of a space that is new at this position, others move on */
static GmStatus
insert_handle(GmGraph *g, uint32_t at, GmSpace *space)
{
	uint32_t	n = gm_graph_spaces(g);

	GM_TRY(room_for_handles(g, n));
	gm_space_destroy(g->spaces[n - 1]);
	memmove(g->spaces + at + 1, g->spaces + at, (n - 1 - at) * sizeof(GmSpace *));
	memmove(g->space_current + at + 1, g->space_current + at, (n - 1 - at) * sizeof(bool));
	g->spaces[at] = space;
	g->space_current[at] = true;
	return GM_OK;
}

GmStatus
gm_graph_add_space(GmGraph *g, int32_t space_id, const char *name, uint32_t length,
				   char target, GmMetric metric, uint32_t dim, GmSpace **space)
{
	uint32_t	n = gm_graph_spaces(g);
	GmGraphSpace info = {.space_id = space_id, .target = target, .metric = (uint8_t) metric, .dim = dim};
	GmStatus	status;
	bool		found;
	uint32_t	at = gm_graph_space_at(g, space_id, &found);

	if (found)
		return GM_BAD_VALUE;
	GM_TRY(gm_array_reserve(g->mem, &g->space, (uint64_t) n + 1));
	GM_TRY(gm_graph_add_string(g, name, length, &info.name));
	GM_TRY(gm_space_create(g->mem, dim, metric, space));
	info.root = gm_space_root_ref(*space);
	for (uint32_t i = n; i > at; i--)
		*(GmGraphSpace *) gm_array_at(&g->space, i) = *gm_graph_space_info(g, i - 1);
	*(GmGraphSpace *) gm_array_at(&g->space, at) = info;
	g->root->gr_space.ar_length = (uint64_t) n + 1;
	status = insert_handle(g, at, *space);
	if (status != GM_OK)
		gm_space_destroy(*space);
	return status;
}

void
gm_graph_set_computed(GmGraph *g, int32_t space_id, bool computing)
{
	bool		found;
	uint32_t	at = gm_graph_space_at(g, space_id, &found);
	GmGraphSpace *info = gm_array_at(&g->space, at);

	info->computed = true;
	info->computing = computing;
}

void
gm_graph_give_space(GmGraph *g, int32_t space_id, GmSpace *space)
{
	bool		found;
	uint32_t	at = gm_graph_space_at(g, space_id, &found);
	GmGraphSpace *info = gm_array_at(&g->space, at);

	/* there is room for the handle: that of the space without rows was looked at */
	gm_space_destroy(g->spaces[at]);
	g->spaces[at] = space;
	g->space_current[at] = true;
	info->root = gm_space_root_ref(space);
	info->unread = false;
}

GmStatus
gm_graph_finish_space(GmGraph *g, int32_t space_id)
{
	bool		found;
	uint32_t	at = gm_graph_space_at(g, space_id, &found);
	char		target;

	if (!found)
		return GM_BAD_VALUE;
	target = gm_graph_space_info(g, at)->target;
	return gm_space_finish(g->spaces[at], target == 'e' ? g->root->gr_nodes :
						   target == 's' ? g->root->gr_sources : 0);
}

/*
 * What the publisher keeps
 */
GmStatus
gm_graph_set_base(GmGraph *g, const GmGraphBase *base)
{
	size_t		bytes = sizeof(GmGraphBase) + (size_t) base->n * sizeof(uint64_t);

	GM_TRY(gm_mem_alloc(g->mem, bytes, &g->root->gr_base));
	memcpy(gm_mem_ptr(g->mem, g->root->gr_base), base, bytes);
	return GM_OK;
}

void
gm_graph_set_sequence(GmGraph *g, uint64_t sequence, uint64_t max_xid)
{
	g->root->gr_sequence = sequence;
	g->root->gr_max_xid = max_xid;
}
