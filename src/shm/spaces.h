/*-------------------------------------------------------------------------
 *
 * spaces.h
 *	  What is known of vector spaces beside their images: counters of searches,
 *	  and what the worker says of their indexes.
 *
 * PROTOCOL spaces
 * Shared		a table in the area, with which it goes.  Entries are found by hash
 *				of the id, linearly, and keep their space.
 * Writer		any process makes an entry, by compare and swap of its id, says whose
 *				it is and adds to its counters; the worker alone writes the rest, but
 *				for what the topology process writes.
 * Readers		load each field by itself: those of one entry may be a moment apart.
 * Reuse		computed spaces come and go with every computation: when a graph's
 *				spaces change the worker gives away its entries of others.  Who still
 *				counts there is one search too many in another's counters; who makes
 *				one for a space that has gone leaves it until they change again.
 * Full			spaces without an entry are not counted; nothing else is lost.
 * Tests		test/t/172_vector_search.pl, test/t/194_topology_races.pl
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_SPACES_H
#define GM_SHM_SPACES_H

#include "shm/area.h"

#define GM_AREA_SPACES	4096	/* power of two */

typedef struct GmSpaceEntry
{
	_Atomic int32_t se_id;		/* space_id; 0: free, and the search ends; -1: free again */
	_Atomic uint32_t se_status; /* GmStatus that the last attempt to index ended with */
	_Atomic uint64_t se_searches;	/* and how they were done: */
	_Atomic uint64_t se_index;	/* by the index */
	_Atomic uint64_t se_exact;	/* by comparing every row that counts */
	_Atomic uint64_t se_fallbacks;	/* of those, after the index had not enough */
	_Atomic uint64_t se_build_us;	/* that the last build took; 0: none yet */
	_Atomic uint32_t se_recall; /* mean of the last samples, in millionths */
	_Atomic uint32_t se_samples;
	_Atomic uint64_t se_recall_at;	/* when, TimestampTz; 0: never */

	/* of computed spaces, written by the topology process */
	_Atomic uint64_t se_dirty;	/* nodes whose facts changed since they were computed, those
								 * without a vector, or with one from their neighbours, too */
	_Atomic uint64_t se_missing;	/* of them, without a vector */
	_Atomic uint64_t se_nodes;	/* that should have one */
	_Atomic uint64_t se_dirty_at;	/* when that was looked at, TimestampTz; 0: never */
	_Atomic int32_t se_graph;	/* whose space it is; 0: not known yet */
	uint64_t	se_unused[3];
} GmSpaceEntry;

static inline GmSpaceEntry *
gm_area_space_at(GmArea *area, uint32 i)
{
	return (GmSpaceEntry *) GM_AREA_AT(area, area->ar_spaces_at) + i;
}

/* NULL: there is none */
extern GmSpaceEntry *gm_area_space(GmArea *area, int32_t space_id);

/* the same, made if need be; NULL: there is no room for it */
extern GmSpaceEntry *gm_area_make_space(GmArea *area, int32_t space_id, int32_t graph_id);

/* worker: these are the graph's spaces, and there are no others */
extern void gm_area_keep_spaces(GmArea *area, int32_t graph_id, const int32_t *space_ids, uint32 n);

#endif							/* GM_SHM_SPACES_H */
