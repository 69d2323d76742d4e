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

	for (uint32 n = 0, i = home(space_id); n < MOST_LOOKED_AT; n++, i = (i + 1) % GM_AREA_SPACES)
	{
		int32_t		id = atomic_load_explicit(&spaces[i].se_id, memory_order_relaxed);

		if (id == 0 && !make)
			return NULL;
		if (id == 0 && atomic_compare_exchange_strong(&spaces[i].se_id, &id, space_id))
			return &spaces[i];
		if (id == space_id)
			return &spaces[i];
	}
	return NULL;
}
