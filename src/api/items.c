/*-------------------------------------------------------------------------
 *
 * items.c
 *	  What the vectors of a space belong to, as columns of result rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "api/items.h"

#define ITEMS_FETCHED	64		/* hits whose columns are fetched together */

static void
put_fact(GmRows *rows, const GmGraph *g, const GmView *view, int64_t fact_id, GmSlot slot)
{
	MemoryContext old = MemoryContextSwitchTo(gm_row_memory(rows));
	const GmString *part[3];
	StringInfoData text;

	if (slot == GM_NONE)
		slot = gm_graph_visible_version(g, view, fact_id);
	if (slot == GM_NONE)
		slot = gm_graph_latest_version(g, fact_id);
	initStringInfo(&text);
	if (slot != GM_NONE)
	{
		part[0] = gm_graph_name(g, GM_ARRAY_U32(&g->subject, slot));
		part[1] = gm_graph_string(g, gm_graph_predicate(g, GM_ARRAY_U32(&g->predicate,
																		slot))->name);
		part[2] = gm_graph_name(g, GM_ARRAY_U32(&g->object, slot));
		for (int i = 0; i < 3; i++)
		{
			if (i > 0)
				appendStringInfoChar(&text, ' ');
			appendBinaryStringInfo(&text, part[i]->bytes, (int) part[i]->length);
		}
	}
	MemoryContextSwitchTo(old);
	gm_row_cstring(rows, text.data);
	gm_row_null(rows);
}

void
gm_item_put(GmRows *rows, const GmImage *image, const GmSpaceInfo *info, const GmView *view,
			uint32_t row, GmSlot visible)
{
	const GmGraph *g = image->graph;
	uint32_t	number = gm_space_number(info->space, row);

	switch (info->target)
	{
		case 'e':
			gm_row_string(rows, gm_graph_name(g, number));
			gm_row_string(rows, gm_graph_kind(g, number));
			break;
		case 's':
			gm_row_string(rows, gm_graph_string(g, gm_graph_source(g, number)->name));
			gm_row_string(rows, gm_graph_string(g, gm_graph_source(g, number)->kind));
			break;
		default:
			put_fact(rows, g, view, gm_space_item_id(info->space, row), visible);
			break;
	}
}

static void
fetch_nodes(const GmGraph *g, const GmSlot *slots, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
	{
		gm_prefetch(gm_array_at(&g->subject, slots[i]));
		gm_prefetch(gm_array_at(&g->predicate, slots[i]));
		gm_prefetch(gm_array_at(&g->object, slots[i]));
	}
	for (uint32_t i = 0; i < n; i++)
	{
		gm_prefetch(gm_array_at(&g->name, GM_ARRAY_U32(&g->subject, slots[i])));
		gm_prefetch(gm_array_at(&g->name, GM_ARRAY_U32(&g->object, slots[i])));
	}
	for (uint32_t i = 0; i < n; i++)
	{
		gm_prefetch(gm_graph_name(g, GM_ARRAY_U32(&g->subject, slots[i])));
		gm_prefetch(gm_graph_name(g, GM_ARRAY_U32(&g->object, slots[i])));
	}
}

/* what a hit needs lies in a few places that nobody has looked at lately */
void
gm_items_fetch(const GmImage *image, const GmSpaceInfo *info, const GmSpaceHit *hits,
			   const GmSlot *visible, uint32_t i, uint32_t count)
{
	const GmGraph *g = image->graph;
	const GmSpace *space = info->space;
	uint32_t	end = Min(count, i + ITEMS_FETCHED);

	if (i % ITEMS_FETCHED != 0)
		return;
	for (uint32_t h = i; h < end; h++)
	{
		gm_prefetch(gm_array_at(&space->item_id, hits[h].row));
		gm_prefetch(gm_array_at(&space->number, hits[h].row));
	}
	if (visible != NULL)
		fetch_nodes(g, visible + i, end - i);
	if (info->target != 'e')
		return;
	for (uint32_t h = i; h < end; h++)
	{
		GmNode		node = gm_space_number(space, hits[h].row);

		gm_prefetch(gm_array_at(&g->name, node));
		gm_prefetch(gm_array_at(&g->kind, node));
	}
	for (uint32_t h = i; h < end; h++)
		gm_prefetch(gm_graph_name(g, gm_space_number(space, hits[h].row)));
}
