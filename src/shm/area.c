/*-------------------------------------------------------------------------
 *
 * area.c
 *	  Layout of a generation's area, and its directory of graphs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shm/area.h"
#include "shm/builds.h"
#include "shm/spaces.h"
#include "shm/topology.h"

#define LINE	64
#define ALIGN_LINE(n)	(((n) + LINE - 1) & ~((Size) LINE - 1))

#define CALL_SIZE	ALIGN_LINE(sizeof(GmBackendCalls))
#define ATTEMPTS	1000		/* at an entry that changes while it is read */

static Size
calls_at(uint32 slots)
{
	return ALIGN_LINE(sizeof(GmArea)) + ALIGN_LINE(slots * sizeof(GmEpochSlot));
}

static Size
graphs_at(uint32 slots)
{
	return calls_at(slots) + slots * CALL_SIZE;
}

static Size
spaces_at(uint32 slots)
{
	return graphs_at(slots) + ALIGN_LINE(GM_AREA_GRAPHS * sizeof(GmGraphEntry));
}

static Size
builds_at(uint32 slots)
{
	return spaces_at(slots) + ALIGN_LINE(GM_AREA_SPACES * sizeof(GmSpaceEntry));
}

static Size
topology_at(uint32 slots)
{
	return builds_at(slots) + ALIGN_LINE(sizeof(GmBuilds));
}

static Size
queue_at(uint32 slots)
{
	return topology_at(slots) + ALIGN_LINE(sizeof(GmTopologyArea));
}

Size
gm_area_size(uint32 slots)
{
	return queue_at(slots) + GM_QUEUE_BYTES;
}

void
gm_area_init(GmArea *area, uint32 slots, Oid db, uint64 generation)
{
	GmControl  *control = gm_control();

	memset(area, 0, queue_at(slots));
	area->ar_magic = GM_AREA_MAGIC;
	area->ar_layout = GM_AREA_LAYOUT;
	area->ar_generation = generation;
	area->ar_db = db;
	area->ar_slots = slots;
	area->ar_slots_at = ALIGN_LINE(sizeof(GmArea));
	area->ar_calls_at = calls_at(slots);
	area->ar_graphs_at = graphs_at(slots);
	area->ar_spaces_at = spaces_at(slots);
	area->ar_builds_at = builds_at(slots);
	area->ar_topology_at = topology_at(slots);
	area->ar_queue_at = queue_at(slots);
	atomic_store(&area->ar_epoch, 1);
	LWLockInitialize(&area->ar_queue_lock, control->tranche_queue);
	gm_topology_area_init(gm_area_topology(area));
}

static inline uint32
home(int32_t graph_id)
{
	return ((uint32) graph_id * UINT32_C(0x9e3779b1)) >> 18;
}

StaticAssertDecl(sizeof(GmSpaceEntry) % LINE == 0, "spaces do not share a line");
StaticAssertDecl(GM_AREA_GRAPHS == 1 << 14, "home() must give a place in the directory");

GmGraphEntry *
gm_area_find(GmArea *area, int32_t graph_id)
{
	GmGraphEntry *graphs = gm_area_graphs(area);

	for (uint32 n = 0, i = home(graph_id); n < GM_AREA_GRAPHS; n++, i = (i + 1) % GM_AREA_GRAPHS)
	{
		int32_t		id = atomic_load_explicit(&graphs[i].gr_id, memory_order_acquire);

		if (id == graph_id)
			return &graphs[i];
		if (id == 0)
			return NULL;
	}
	return NULL;
}

const char *
gm_area_why_not(const GmGraphEntry *entry, GmGraphState state)
{
	switch (state)
	{
		case GM_GRAPH_NONE:
			return "the graph's residency is none";
		case GM_GRAPH_TOO_LARGE:
			return "larger than graphmem.memory_limit allows";
		case GM_GRAPH_NO_MEMORY:
			return "the system refused shared memory";
		case GM_GRAPH_FAILED:
			return "loading failed, see last_error of graphmem.stat_worker";
		case GM_GRAPH_REFUSED:
			break;
		case GM_GRAPH_ABSENT:
		case GM_GRAPH_LOADING:
		case GM_GRAPH_READY:
			return NULL;
	}
	switch ((GmRefusal) atomic_load(&unconstify(GmGraphEntry *, entry)->gr_reason))
	{
		case GM_REFUSED_TRIGGERS:
			return "a capture trigger is missing or not ENABLE ALWAYS";
		case GM_REFUSED_ROW_SECURITY:
			return "row security is forced";
		case GM_REFUSED_LOCK:
			return "a lock keeps the worker out";
		case GM_REFUSED_NOT:
			break;
	}
	return "refused";
}

/*
 * A dropped entry is taken again only when the search has not found the id
 * further on.
 */
GmGraphEntry *
gm_area_enter(GmArea *area, int32_t graph_id)
{
	GmGraphEntry *graphs = gm_area_graphs(area);
	GmGraphEntry *dropped = NULL;

	for (uint32 n = 0, i = home(graph_id); n < GM_AREA_GRAPHS; n++, i = (i + 1) % GM_AREA_GRAPHS)
	{
		GmGraphEntry *e = &graphs[i];
		int32_t		id = atomic_load_explicit(&e->gr_id, memory_order_relaxed);

		if (id == graph_id)
			return e;
		if (id == -1 && dropped == NULL)
			dropped = e;
		if (id != 0)
			continue;
		if (dropped == NULL)
			dropped = e;
		break;
	}
	if (dropped == NULL)
		return NULL;
	memset((char *) dropped + sizeof(dropped->gr_id), 0,
		   sizeof(GmGraphEntry) - sizeof(dropped->gr_id));
	dropped->gr_residency = 'a';
	atomic_store_explicit(&dropped->gr_id, graph_id, memory_order_release);
	return dropped;
}

/*
 * Where the search would end behind it anyway, the entry and the dropped ones
 * before it become never used, or searches would grow with every drop.
 */
void
gm_area_drop(GmArea *area, GmGraphEntry *entry)
{
	GmGraphEntry *graphs = gm_area_graphs(area);
	uint32		i = entry - graphs;

	atomic_store_explicit(&entry->gr_root, 0, memory_order_release);
	atomic_store_explicit(&entry->gr_state, GM_GRAPH_ABSENT, memory_order_release);
	atomic_store_explicit(&entry->gr_id, -1, memory_order_release);
	if (atomic_load(&graphs[(i + 1) % GM_AREA_GRAPHS].gr_id) != 0)
		return;
	while (atomic_load(&graphs[i].gr_id) == -1)
	{
		atomic_store_explicit(&graphs[i].gr_id, 0, memory_order_release);
		i = (i + GM_AREA_GRAPHS - 1) % GM_AREA_GRAPHS;
	}
}

/*
 * Calls.  Entries have lines of their own, so that no process waits for
 * another's counting.
 */
GmBackendCalls *
gm_area_calls(GmArea *area, uint32 place)
{
	return (GmBackendCalls *) (GM_AREA_AT(area, area->ar_calls_at) + place * CALL_SIZE);
}

void
gm_area_show(GmBackendCalls *e, const GmShownCall *shown)
{
	static const GmShownCall nothing;
	uint32_t	change = atomic_load_explicit(&e->bc_change, memory_order_relaxed) | 1;

	if (shown == NULL)
		shown = &nothing;
	atomic_store_explicit(&e->bc_change, change, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&e->bc_pid, (uint32_t) shown->pid, memory_order_relaxed);
	atomic_store_explicit(&e->bc_user, shown->user, memory_order_relaxed);
	atomic_store_explicit(&e->bc_call, shown->call, memory_order_relaxed);
	atomic_store_explicit(&e->bc_phase, shown->phase, memory_order_relaxed);
	atomic_store_explicit(&e->bc_done, shown->done, memory_order_relaxed);
	atomic_store_explicit(&e->bc_total, shown->total, memory_order_relaxed);
	atomic_store_explicit(&e->bc_records, shown->records, memory_order_relaxed);
	atomic_store_explicit(&e->bc_change, change + 1, memory_order_release);
}

bool
gm_area_shown(GmBackendCalls *e, GmShownCall *shown)
{
	for (int attempt = 0; attempt < ATTEMPTS; attempt++)
	{
		uint32_t	change = atomic_load_explicit(&e->bc_change, memory_order_acquire);

		if (change % 2 != 0)
			continue;
		shown->pid = (int) atomic_load_explicit(&e->bc_pid, memory_order_relaxed);
		shown->user = atomic_load_explicit(&e->bc_user, memory_order_relaxed);
		shown->call = (GmCall) atomic_load_explicit(&e->bc_call, memory_order_relaxed);
		shown->phase = (GmPhase) atomic_load_explicit(&e->bc_phase, memory_order_relaxed);
		shown->done = atomic_load_explicit(&e->bc_done, memory_order_relaxed);
		shown->total = atomic_load_explicit(&e->bc_total, memory_order_relaxed);
		shown->records = atomic_load_explicit(&e->bc_records, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&e->bc_change, memory_order_relaxed) == change)
			return shown->call != GM_CALL_NONE;
	}
	return false;
}
