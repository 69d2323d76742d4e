/*-------------------------------------------------------------------------
 *
 * spaces.c
 *	  The table of vector spaces in the area.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shm/spaces.h"

#define MOST_LOOKED_AT	64		/* entries; a table that full has no room */

static inline uint32
home(int32_t space_id)
{
	return ((uint32) space_id * UINT32_C(0x9e3779b1)) >> 20;
}

StaticAssertDecl(GM_AREA_SPACES == 1 << 12, "home() must give a place in the table");

/* NULL: there is none; then *unused is where it could be, or NULL */
static GmSpaceEntry *
search(GmArea *area, int32_t space_id, GmSpaceEntry **unused)
{
	GmSpaceEntry *spaces = gm_area_space_at(area, 0);

	*unused = NULL;
	for (uint32 n = 0, i = home(space_id); n < MOST_LOOKED_AT; n++, i = (i + 1) % GM_AREA_SPACES)
	{
		int32_t		id = atomic_load_explicit(&spaces[i].se_id, memory_order_relaxed);

		if (id == space_id)
			return &spaces[i];
		if (id <= 0 && *unused == NULL)
			*unused = &spaces[i];
		if (id == 0)
			break;
	}
	return NULL;
}

GmSpaceEntry *
gm_area_space(GmArea *area, int32_t space_id)
{
	GmSpaceEntry *unused;

	return search(area, space_id, &unused);
}

GmSpaceEntry *
gm_area_make_space(GmArea *area, int32_t space_id, int32_t graph_id)
{
	GmSpaceEntry *unused;
	GmSpaceEntry *entry;

	do
	{
		int32_t		id;

		entry = search(area, space_id, &unused);
		if (entry != NULL || unused == NULL)
			break;
		id = atomic_load_explicit(&unused->se_id, memory_order_relaxed);
		if (id <= 0 && atomic_compare_exchange_strong(&unused->se_id, &id, space_id))
			entry = unused;
	} while (entry == NULL);
	if (entry != NULL && atomic_load_explicit(&entry->se_graph, memory_order_relaxed) != graph_id)
		atomic_store_explicit(&entry->se_graph, graph_id, memory_order_relaxed);
	return entry;
}

static void
free_entry(GmSpaceEntry *entry)
{
	char	   *rest = (char *) entry + sizeof(entry->se_id);

	memset(rest, 0, sizeof(GmSpaceEntry) - sizeof(entry->se_id));
	atomic_store_explicit(&entry->se_id, -1, memory_order_release);
}

void
gm_area_keep_spaces(GmArea *area, int32_t graph_id, const int32_t *space_ids, uint32 n)
{
	for (uint32 i = 0; i < GM_AREA_SPACES; i++)
	{
		GmSpaceEntry *entry = gm_area_space_at(area, i);
		int32_t		id = atomic_load_explicit(&entry->se_id, memory_order_relaxed);
		bool		there = false;

		if (id <= 0 || atomic_load_explicit(&entry->se_graph, memory_order_relaxed) != graph_id)
			continue;
		for (uint32 j = 0; j < n && !there; j++)
			there = space_ids[j] == id;
		if (!there)
			free_entry(entry);
	}
}
