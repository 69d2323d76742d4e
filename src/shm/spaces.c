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

GmSpaceEntry *
gm_area_space(GmArea *area, int32_t space_id, bool make)
{
	GmSpaceEntry *spaces = gm_area_space_at(area, 0);
	GmSpaceEntry *unused = NULL;

	for (uint32 n = 0, i = home(space_id); n < MOST_LOOKED_AT; n++, i = (i + 1) % GM_AREA_SPACES)
	{
		int32_t		id = atomic_load_explicit(&spaces[i].se_id, memory_order_relaxed);

		if (id == space_id)
			return &spaces[i];
		if (id <= 0 && unused == NULL)
			unused = &spaces[i];
		if (id == 0)
			break;
	}
	while (make && unused != NULL)
	{
		int32_t		id = atomic_load_explicit(&unused->se_id, memory_order_relaxed);

		if (id == space_id)
			return unused;
		if (id > 0)
			return gm_area_space(area, space_id, make); /* somebody else's by now */
		if (atomic_compare_exchange_strong(&unused->se_id, &id, space_id))
			return unused;
	}
	return NULL;
}

void
gm_area_space_free(GmSpaceEntry *entry)
{
	char	   *rest = (char *) entry + sizeof(entry->se_id);

	memset(rest, 0, sizeof(GmSpaceEntry) - sizeof(entry->se_id));
	atomic_store_explicit(&entry->se_id, -1, memory_order_release);
}
