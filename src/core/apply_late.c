/*-------------------------------------------------------------------------
 *
 * apply_late.c
 *	  Rows that came before what they refer to.
 *
 * They wait in the writer's handle, found by their keys, since a later change
 * of the same row replaces them or takes them away.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "core/apply_private.h"

static uint32_t
key_hash(GmTable table, const int64_t key[2])
{
	uint64_t	h = (uint64_t) key[0] * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t) table;

	h = (h ^ (h >> 32)) + (uint64_t) key[1];
	return (uint32_t) (h * UINT64_C(0xbf58476d1ce4e5b9) >> 32);
}

static uint32_t
row_hash(const GmRow *row)
{
	int64_t		key[2];

	gm_row_key(row, key);
	return key_hash(row->table, key);
}

static bool
same_key(const GmRow *a, const GmRow *b)
{
	int64_t		x[2];
	int64_t		y[2];

	if (a->table != b->table)
		return false;
	gm_row_key(a, x);
	gm_row_key(b, y);
	return x[0] == y[0] && x[1] == y[1];
}

static bool
charge(GmGraph *g, size_t bytes)
{
	if (gm_mem_charge(g->mem, (int64_t) bytes) != GM_OK)
		return false;
	g->late->charged += bytes;
	return true;
}

static void
discharge(GmGraph *g, size_t bytes)
{
	(void) gm_mem_charge(g->mem, -(int64_t) bytes);
	g->late->charged -= bytes;
}

/* a place for one more row; GM_NONE: no memory */
static uint32_t
get_place(GmGraph *g)
{
	GmLate	   *l = g->late;

	if (l->free != 0)
	{
		uint32_t	at = l->free - 1;

		l->free = l->rows[at].next;
		return at;
	}
	if (l->count == l->room)
	{
		uint32_t	room = l->room == 0 ? 16 : l->room * 2;
		GmLateRow  *rows;
		uint32_t   *bucket;

		if (!charge(g, (room - l->room) * (sizeof(GmLateRow) + sizeof(uint32_t))))
			return GM_NONE;
		rows = realloc(l->rows, room * sizeof(GmLateRow));
		if (rows == NULL)
			return GM_NONE;
		l->rows = rows;
		bucket = calloc(room, sizeof(uint32_t));
		if (bucket == NULL)
			return GM_NONE;
		free(l->bucket);
		l->bucket = bucket;
		l->room = l->buckets = room;
		for (uint32_t i = 0; i < l->count; i++)
		{
			uint32_t   *head;

			if (rows[i].state == GM_LATE_FREE)
				continue;
			head = &bucket[row_hash(&rows[i].row) & (room - 1)];
			rows[i].next = *head;
			*head = i + 1;
		}
	}
	return l->count++;
}

/* copies what the row points to */
static bool
copy_row(GmGraph *g, const GmRow *row, GmLateRow *late)
{
	late->row = *row;
	late->bytes = NULL;
	late->size = row->table == GM_TABLE_ALIASES ? row->u.alias.name.length :
		gm_is_vector(row) ? row->u.embedding.dim * sizeof(float) : 0;
	if (late->size == 0 || (gm_is_vector(row) && row->u.embedding.vector == NULL))
	{
		late->size = 0;
		return true;
	}
	if (!charge(g, late->size))
		return false;
	late->bytes = malloc(late->size);
	if (late->bytes == NULL)
	{
		discharge(g, late->size);
		return false;
	}
	if (row->table == GM_TABLE_ALIASES)
	{
		memcpy(late->bytes, row->u.alias.name.bytes, late->size);
		late->row.u.alias.name.bytes = late->bytes;
	}
	else
	{
		memcpy(late->bytes, row->u.embedding.vector, late->size);
		late->row.u.embedding.vector = (const float *) late->bytes;
	}
	return true;
}

void
gm_late_add(GmApply *ap, const GmRow *row)
{
	GmGraph    *g = ap->graph;
	uint32_t	at = GM_NONE;
	GmLateRow  *late;
	uint32_t   *head;

	if (g->late == NULL)
		g->late = calloc(1, sizeof(GmLate));
	if (g->late != NULL)
		at = get_place(g);
	if (at == GM_NONE)
	{
		g->root->gr_dangling++;
		return;
	}
	late = &g->late->rows[at];
	if (!copy_row(g, row, late))
	{
		late->state = GM_LATE_FREE;
		late->next = g->late->free;
		g->late->free = at + 1;
		g->root->gr_dangling++;
		return;
	}
	late->state = GM_LATE_ADDED;
	head = &g->late->bucket[row_hash(row) & (g->late->buckets - 1)];
	late->next = *head;
	*head = at + 1;
	g->late->live++;
	g->late->added++;
}

static void
release(GmGraph *g, uint32_t at)
{
	GmLate	   *l = g->late;
	uint32_t   *link = &l->bucket[row_hash(&l->rows[at].row) & (l->buckets - 1)];

	while (*link != at + 1)
		link = &l->rows[*link - 1].next;
	*link = l->rows[at].next;
	discharge(g, l->rows[at].size);
	gm_wipe(l->rows[at].bytes, l->rows[at].bytes == NULL ? 0 : l->rows[at].size);
	free(l->rows[at].bytes);
	l->rows[at].bytes = NULL;
	l->rows[at].state = GM_LATE_FREE;
	l->rows[at].next = l->free;
	l->free = at + 1;
}

static void
drop_at(GmGraph *g, uint32_t at)
{
	GmLate	   *l = g->late;

	l->live--;
	if (l->rows[at].state == GM_LATE_KEPT)
		l->rows[at].state = GM_LATE_GONE;	/* an abort brings it back */
	else
	{
		l->added--;
		release(g, at);
	}
}

void
gm_late_drop(GmApply *ap, const GmRow *row)
{
	GmLate	   *l = ap->graph->late;

	if (gm_likely(l == NULL || l->live == 0))
		return;
	for (uint32_t at = l->bucket[row_hash(row) & (l->buckets - 1)]; at != 0;
		 at = l->rows[at - 1].next)
		if ((l->rows[at - 1].state == GM_LATE_KEPT || l->rows[at - 1].state == GM_LATE_ADDED) &&
			same_key(&l->rows[at - 1].row, row))
		{
			drop_at(ap->graph, at - 1);
			return;
		}
}

void
gm_late_drop_space(GmApply *ap, int32_t space_id)
{
	GmLate	   *l = ap->graph->late;

	if (l == NULL || l->live == 0)
		return;
	for (uint32_t i = 0; i < l->count; i++)
		if ((l->rows[i].state == GM_LATE_KEPT || l->rows[i].state == GM_LATE_ADDED) &&
			l->rows[i].row.table == GM_TABLE_TOPOLOGY &&
			l->rows[i].row.u.embedding.space_id == space_id)
			drop_at(ap->graph, i);
}

/* does what the row refers to exist */
static bool
has_all(const GmGraph *g, const GmRow *row)
{
	bool		found;
	uint32_t	at;

	switch (row->table)
	{
		case GM_TABLE_ALIASES:
			return gm_graph_find_entity(g, row->u.alias.entity_id) != GM_NONE;
		case GM_TABLE_TRIPLES:
			return gm_graph_find_entity(g, row->u.triple.subject_id) != GM_NONE &&
				gm_graph_find_entity(g, row->u.triple.object_id) != GM_NONE &&
				gm_graph_find_predicate_id(g, row->u.triple.predicate_id) != GM_NONE;
		case GM_TABLE_ASSERTIONS:
			return gm_graph_find_source_id(g, row->u.assertion.source_id) != GM_NONE;
		case GM_TABLE_EMBEDDINGS:
		case GM_TABLE_TOPOLOGY:
			at = gm_graph_space_at(g, row->u.embedding.space_id, &found);
			if (!found)
				return false;
			switch (gm_graph_space_info(g, at)->target)
			{
				case 'e':
					return gm_graph_find_entity(g, row->u.embedding.item_id) != GM_NONE;
				case 's':
					return gm_graph_find_source_id(g, row->u.embedding.item_id) != GM_NONE;
				default:
					return gm_graph_latest_version(g, row->u.embedding.item_id) != GM_NONE;
			}
		default:
			return false;
	}
}

/*
 * Vectors last: they may belong to facts of late triples.  What is applied is
 * dropped first; it has a reference for each of its own and stays applied.
 */
GmStatus
gm_late_retry(GmApply *ap)
{
	GmLate	   *l = ap->graph->late;

	if (l == NULL || l->live == 0 || (l->added == 0 && !ap->has_new))
		return GM_OK;
	for (int vectors = 0; vectors < 2; vectors++)
		for (uint32_t i = 0; i < l->count; i++)
		{
			GmLateRow	late = l->rows[i];
			GmStatus	status;

			GM_PAUSE(ap->intr, i);
			if ((late.state != GM_LATE_KEPT && late.state != GM_LATE_ADDED) ||
				gm_is_vector(&late.row) != vectors ||
				!has_all(ap->graph, &late.row))
				continue;
			if (vectors && late.row.u.embedding.vector == NULL)
				return GM_BAD_VALUE;
			l->rows[i].bytes = NULL;
			status = gm_apply_put(ap, &late.row);

			/* kept ones must survive an abort */
			if (l->rows[i].state == GM_LATE_GONE)
				l->rows[i].bytes = late.bytes;
			else
			{
				gm_wipe(late.bytes, late.bytes == NULL ? 0 : late.size);
				free(late.bytes);
			}
			if (status == GM_BAD_VALUE)
				ap->graph->root->gr_dangling++;
			else if (status != GM_OK)
				return status;
		}
	return GM_OK;
}

void
gm_late_begin(GmGraph *g)
{
	if (g->late == NULL)
		return;
	g->late->kept = g->late->live;
	g->late->added = 0;
}

void
gm_late_commit(GmGraph *g)
{
	GmLate	   *l = g->late;

	if (l == NULL || (l->added == 0 && l->live == l->kept))
		return;
	for (uint32_t i = 0; i < l->count; i++)
	{
		if (l->rows[i].state == GM_LATE_GONE)
			release(g, i);
		else if (l->rows[i].state == GM_LATE_ADDED)
			l->rows[i].state = GM_LATE_KEPT;
	}
	l->kept = l->live;
	l->added = 0;
}

void
gm_late_abort(GmGraph *g)
{
	GmLate	   *l = g->late;

	if (l == NULL)
		return;
	for (uint32_t i = 0; i < l->count; i++)
	{
		if (l->rows[i].state == GM_LATE_GONE)
			l->rows[i].state = GM_LATE_KEPT;
		else if (l->rows[i].state == GM_LATE_ADDED)
			release(g, i);
	}
	l->live = l->kept;
	l->added = 0;
}

void
gm_late_free(GmGraph *g)
{
	GmLate	   *l = g->late;

	if (l == NULL)
		return;
	for (uint32_t i = 0; i < l->count; i++)
	{
		gm_wipe(l->rows[i].bytes, l->rows[i].bytes == NULL ? 0 : l->rows[i].size);
		free(l->rows[i].bytes);
	}
	free(l->rows);
	free(l->bucket);
	free(l);
	g->late = NULL;
}
