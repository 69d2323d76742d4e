/*-------------------------------------------------------------------------
 *
 * apply_spaces.c
 *	  Changing vector spaces and vectors of a graph image.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "core/apply_private.h"

static GmOpenSpace *
find_open(const GmApply *ap, int32_t space_id)
{
	for (size_t i = 0; i < ap->spaces.n; i++)
	{
		GmOpenSpace *open = GM_LIST_AT(&ap->spaces, GmOpenSpace, i);

		if (open->space_id == space_id)
			return open;
	}
	return NULL;
}

/* from now on the version changes the space through this handle */
static GmStatus
add_open(GmApply *ap, uint32_t at, GmSpace *space)
{
	GmGraphSpace *info;
	GmOpenSpace *open;
	GmStatus	status = gm_list_add(ap, &ap->spaces, sizeof(GmOpenSpace), &open);

	if (status != GM_OK)
	{
		gm_space_destroy(space);
		return status;
	}
	*open = (GmOpenSpace) {gm_graph_space_info(ap->graph, at)->space_id, space};
	GM_TRY(gm_space_begin(space));
	GM_TRY(gm_apply_write(ap, &ap->graph->space, at, &info));
	info->root = gm_space_root_ref(space);
	return GM_OK;
}

/* the space at a position, for changing */
static GmStatus
open_space(GmApply *ap, uint32_t at, GmSpace **space)
{
	const GmGraphSpace *info = gm_graph_space_info(ap->graph, at);
	GmOpenSpace *open = find_open(ap, info->space_id);

	if (open != NULL)
	{
		*space = open->space;
		return GM_OK;
	}
	GM_TRY(gm_space_attach(ap->mem, info->root, space));
	return add_open(ap, at, *space);
}

/* the same for a look only; NULL: no memory */
static GmSpace *
look_at_space(GmApply *ap, uint32_t at)
{
	GmOpenSpace *open = find_open(ap, gm_graph_space_info(ap->graph, at)->space_id);

	return open != NULL ? open->space : gm_graph_space(ap->graph, at);
}

static void
close_space(GmApply *ap, GmOpenSpace *open)
{
	gm_space_end(open->space);
	gm_space_destroy(open->space);
	*open = *GM_LIST_AT(&ap->spaces, GmOpenSpace, --ap->spaces.n);
}

void
gm_close_spaces(GmApply *ap)
{
	while (ap->spaces.n > 0)
		close_space(ap, GM_LIST_AT(&ap->spaces, GmOpenSpace, 0));
}

/* handles of the graph itself, by position, are found out anew */
static void
forget_handles(GmGraph *g)
{
	for (uint32_t i = 0; i < g->space_room; i++)
		g->space_current[i] = false;
}

/*
 * Spaces
 */
static GmStatus
insert_space(GmApply *ap, uint32_t at, const GmRow *row)
{
	GmGraph    *g = ap->graph;
	uint32_t	n = gm_graph_spaces(g);
	GmGraphSpace info = {
		.space_id = row->u.space.space_id, .target = row->u.space.target,
		.metric = row->u.space.metric, .computed = row->u.space.computed,
		.computing = row->u.space.computing, .dim = row->u.space.dim,
		.unread = row->u.space.unread
	};
	GmGraphSpace *to;
	GmSpace    *space;
	GmStatus	status;

	GM_TRY(gm_graph_add_string(g, row->u.space.name.bytes, row->u.space.name.length,
							   &info.name));
	GM_TRY(gm_space_create(ap->mem, info.dim, (GmMetric) info.metric, &space));
	gm_space_tune(space, &row->u.space.tuning);
	status = row->u.space.tuning.in_table ? gm_space_set_apart(space) : GM_OK;
	if (status == GM_OK)
		status = gm_space_finish(space, 0);
	if (status == GM_OK)
		status = gm_apply_extend(ap, &g->space, (uint64_t) n + 1);
	for (uint32_t i = n; i > at && status == GM_OK; i--)
	{
		status = gm_apply_write(ap, &g->space, i, &to);
		if (status == GM_OK)
			*to = *gm_graph_space_info(g, i - 1);
	}
	if (status == GM_OK)
		status = gm_apply_write(ap, &g->space, at, &to);
	if (status != GM_OK)
	{
		gm_space_destroy(space);
		return status;
	}
	*to = info;
	forget_handles(g);
	ap->has_new = true;
	return add_open(ap, at, space);
}

/*
 * Rows that are still in a space that goes become late, as that space's.  What
 * would need a vector that is in the table only fails with GM_BAD_VALUE once
 * it is wanted: the writer loads the graph again, and who has a fork goes
 * without.
 */
static GmStatus
drop_rows(GmApply *ap, uint32_t at)
{
	const GmGraphSpace *info = gm_graph_space_info(ap->graph, at);
	const GmSpace *space = look_at_space(ap, at);

	if (space == NULL)
		return GM_NO_MEMORY;
	for (uint32_t i = 0; i < space->root->sp_rows; i++)
	{
		GmRow		row = {.table = GM_TABLE_EMBEDDINGS};

		GM_PAUSE(ap->intr, i);
		row.u.embedding.space_id = info->space_id;
		row.u.embedding.item_id = gm_space_item_id(space, i);
		row.u.embedding.dim = info->dim;
		row.u.embedding.vector = gm_space_vector(space, i);
		gm_late_add(ap, &row);
	}
	return GM_OK;
}

static GmStatus
delete_space(GmApply *ap, uint32_t at)
{
	GmGraph    *g = ap->graph;
	uint32_t	n = gm_graph_spaces(g);
	GmGraphSpace *to;
	GmSpace    *space;

	if (!gm_graph_space_info(g, at)->computed)
		GM_TRY(drop_rows(ap, at));
	GM_TRY(open_space(ap, at, &space));
	gm_retire_string(ap, gm_graph_space_info(g, at)->name);
	GM_TRY(gm_space_free(space));
	close_space(ap, find_open(ap, gm_graph_space_info(g, at)->space_id));
	for (uint32_t i = at; i + 1 < n; i++)
	{
		GM_TRY(gm_apply_write(ap, &g->space, i, &to));
		*to = *gm_graph_space_info(g, i + 1);
	}
	if (g->space.changes == NULL)
		GM_TRY(gm_array_begin(ap->mem, &g->space));
	g->root->gr_space.ar_length = n - 1;
	forget_handles(g);
	return GM_OK;
}

/* position among the spaces that go, or how many there are */
static size_t
find_doomed(const GmApply *ap, int32_t space_id)
{
	size_t		i = 0;

	while (i < ap->doomed_spaces.n && *GM_LIST_AT(&ap->doomed_spaces, int32_t, i) != space_id)
		i++;
	return i;
}

static void
spare_space(GmApply *ap, int32_t space_id)
{
	size_t		i = find_doomed(ap, space_id);

	if (i < ap->doomed_spaces.n)
		*GM_LIST_AT(&ap->doomed_spaces, int32_t, i) =
			*GM_LIST_AT(&ap->doomed_spaces, int32_t, --ap->doomed_spaces.n);
}

static GmStatus
tune_space(GmApply *ap, uint32_t at, const GmSpaceTuning *tuning)
{
	GmSpace    *space = look_at_space(ap, at);

	if (space == NULL)
		return GM_NO_MEMORY;
	if (gm_space_is_tuned(space, tuning))
		return GM_OK;
	GM_TRY(open_space(ap, at, &space));
	gm_space_tune(space, tuning);
	return GM_OK;
}

GmStatus
gm_put_space(GmApply *ap, const GmRow *row)
{
	GmGraph    *g = ap->graph;
	bool		found;
	uint32_t	at = gm_graph_space_at(g, row->u.space.space_id, &found);
	const GmGraphSpace *have;
	GmText		name = row->u.space.name;
	GmGraphSpace *info;
	GmRef		old;

	if (!found)
		return insert_space(ap, at, row);
	spare_space(ap, row->u.space.space_id);
	have = gm_graph_space_info(g, at);
	if (have->dim != row->u.space.dim || have->metric != row->u.space.metric ||
		have->target != row->u.space.target || have->computed != row->u.space.computed)
	{
		GM_TRY(delete_space(ap, at));
		return insert_space(ap, at, row);
	}
	GM_TRY(tune_space(ap, at, &row->u.space.tuning));
	have = gm_graph_space_info(g, at);
	if (have->computing != row->u.space.computing)
	{
		GM_TRY(gm_apply_write(ap, &g->space, at, &info));
		info->computing = row->u.space.computing;
		have = info;
	}
	if (gm_same_string(gm_graph_string(g, have->name), name.bytes, name.length))
		return GM_OK;
	old = have->name;
	GM_TRY(gm_apply_write(ap, &g->space, at, &info));
	GM_TRY(gm_graph_add_string(g, name.bytes, name.length, &info->name));
	gm_retire_string(ap, old);
	return GM_OK;
}

GmStatus
gm_remove_space(GmApply *ap, const GmRow *row)
{
	int32_t		space_id = row->u.space.space_id;
	bool		found;
	uint32_t	at = gm_graph_space_at(ap->graph, space_id, &found);
	int32_t    *doomed;

	gm_late_drop_space(ap, space_id);
	if (!found || find_doomed(ap, space_id) < ap->doomed_spaces.n)
		return GM_OK;

	/* should one of that id come again in this version, it has none of the rows */
	if (gm_graph_space_info(ap->graph, at)->computed)
		return delete_space(ap, at);
	GM_TRY(gm_list_add(ap, &ap->doomed_spaces, sizeof(int32_t), &doomed));
	*doomed = space_id;
	return GM_OK;
}

/*
 * Vectors
 */

/* has the space's item what its row needs; *number as space.h has it */
static bool
find_item(const GmGraph *g, char target, int64_t item_id, uint32_t *number)
{
	*number = GM_NONE;
	switch (target)
	{
		case 'e':
			*number = gm_graph_find_entity(g, item_id);
			return *number != GM_NONE;
		case 's':
			*number = gm_graph_find_source_id(g, item_id);
			return *number != GM_NONE;
		default:
			return gm_graph_latest_version(g, item_id) != GM_NONE;
	}
}

static GmStatus
remove_vector(GmApply *ap, uint32_t at, int64_t item_id)
{
	GmSpace    *space = look_at_space(ap, at);

	if (space == NULL)
		return GM_NO_MEMORY;
	if (gm_space_find(space, item_id) == GM_NONE)
		return GM_OK;
	GM_TRY(open_space(ap, at, &space));
	return gm_space_remove(space, item_id);
}

GmStatus
gm_put_embedding(GmApply *ap, const GmRow *row)
{
	GmGraph    *g = ap->graph;
	bool		found;
	uint32_t	at = gm_graph_space_at(g, row->u.embedding.space_id, &found);
	uint32_t	number;
	GmSpace    *space;

	if (row->u.embedding.vector == NULL ||
		(found && row->u.embedding.dim != gm_graph_space_info(g, at)->dim))
		return GM_BAD_VALUE;
	if (found && gm_graph_space_info(g, at)->unread)
		return GM_OK;
	if (!found || !find_item(g, gm_graph_space_info(g, at)->target, row->u.embedding.item_id,
							 &number))
	{
		/* a fact's last triple may have gone in this version, its vector not yet */
		if (found)
			GM_TRY(remove_vector(ap, at, row->u.embedding.item_id));
		gm_late_add(ap, row);
		return GM_OK;
	}
	GM_TRY(open_space(ap, at, &space));
	return gm_space_put(space, row->u.embedding.item_id, number, row->u.embedding.vector);
}

GmStatus
gm_remove_embedding(GmApply *ap, const GmRow *row)
{
	bool		found;
	uint32_t	at = gm_graph_space_at(ap->graph, row->u.embedding.space_id, &found);

	return !found ? GM_OK : remove_vector(ap, at, row->u.embedding.item_id);
}

GmStatus
gm_drop_vectors(GmApply *ap, char target, int64_t item_id)
{
	GmGraph    *g = ap->graph;

	for (uint32_t at = 0; at < gm_graph_spaces(g); at++)
	{
		const GmGraphSpace *info = gm_graph_space_info(g, at);
		GmRow		row = {.table = info->computed ? GM_TABLE_TOPOLOGY : GM_TABLE_EMBEDDINGS};
		GmSpace    *space;
		uint32_t	i;

		if (info->target != target)
			continue;
		space = look_at_space(ap, at);
		if (space == NULL)
			return GM_NO_MEMORY;
		i = gm_space_find(space, item_id);
		if (i == GM_NONE)
			continue;
		row.u.embedding.space_id = info->space_id;
		row.u.embedding.item_id = item_id;
		row.u.embedding.dim = info->dim;
		row.u.embedding.vector = gm_space_vector(space, i);
		gm_late_add(ap, &row);
		GM_TRY(remove_vector(ap, at, item_id));
	}
	return GM_OK;
}

static bool
has_fact_space(const GmGraph *g)
{
	for (uint32_t at = 0; at < gm_graph_spaces(g); at++)
		if (gm_graph_space_info(g, at)->target == 'f')
			return true;
	return false;
}

/* spaces that go, and vectors of facts of which no version is left */
GmStatus
gm_finish_spaces(GmApply *ap)
{
	GmGraph    *g = ap->graph;

	for (size_t i = 0; i < ap->doomed_spaces.n; i++)
	{
		bool		found;
		uint32_t	at = gm_graph_space_at(g, *GM_LIST_AT(&ap->doomed_spaces, int32_t, i),
										   &found);

		if (found)
			GM_TRY(delete_space(ap, at));
	}
	if (!has_fact_space(g))
		return GM_OK;
	for (size_t i = 0; i < ap->lost.n; i++)
	{
		int64_t		fact_id = *GM_LIST_AT(&ap->lost, int64_t, i);

		GM_PAUSE(ap->intr, i);
		if (gm_graph_latest_version(g, fact_id) == GM_NONE)
			GM_TRY(gm_drop_vectors(ap, 'f', fact_id));
	}
	return GM_OK;
}

/*
 * Indexes
 */
static GmStatus
open_space_id(GmApply *ap, int32_t space_id, GmSpace **space)
{
	bool		found;
	uint32_t	at = gm_graph_space_at(ap->graph, space_id, &found);

	*space = NULL;
	return found ? open_space(ap, at, space) : GM_OK;
}

GmStatus
gm_apply_begin_index(GmApply *ap, int32_t space_id, const GmIndexer *indexer, bool *there)
{
	GmSpace    *space;

	GM_TRY(open_space_id(ap, space_id, &space));
	*there = space != NULL;
	return space == NULL ? GM_OK : gm_space_begin_index(space, indexer, ap->intr);
}

GmStatus
gm_apply_map(GmApply *ap, int32_t space_id, const GmIndexer *indexer, const GmSpaceNode *nodes,
			 uint32_t n, bool *there)
{
	GmSpace    *space;

	GM_TRY(open_space_id(ap, space_id, &space));

	/* dropped and made again, or given another index: not the one these nodes are of */
	*there = space != NULL && space->root->sp_index.root == gm_hnsw_ref(indexer->hnsw);
	return *there ? gm_space_map(space, indexer, nodes, n, ap->intr) : GM_OK;
}

GmStatus
gm_apply_drop_index(GmApply *ap, int32_t space_id)
{
	GmSpace    *space;

	GM_TRY(open_space_id(ap, space_id, &space));
	return space == NULL || !gm_space_has_index(space) ? GM_OK : gm_space_drop_index(space);
}
