/*-------------------------------------------------------------------------
 *
 * area.h
 *	  What one worker's generation shares with the backends of its database:
 *	  a dynamic segment of fixed size, found through GmDatabase.area_handle.
 *
 * It holds the epochs, the table of extents, the directory of graphs, the
 * queue of changes and what is known of recent transactions.  The worker
 * creates it, fills it, and only then publishes the handle; it is unpinned
 * when the worker ends, and a backend that finds another generation detaches
 * it (shm/attach.h).
 *
 * PROTOCOL image
 * Shared		this area, and the extents that images lie in.
 * Writer		the database's worker alone: extents, directory, roots, transactions,
 *				counters.  Backends write the queue (shm/queue.h), their epoch
 *				slot, gr_used, ar_asked and ar_wanted.
 * Readers		attach the area of the current generation; enter the epoch; find the
 *				graph; wait (outside the epoch) until the worker has passed the last
 *				ticket of its graph and no parked one that their snapshot sees is
 *				left; load gr_root; compare what it holds with their snapshot
 *				(image/shared.c); compute; copy the results out; leave.
 * Publication	of a version: 1. its pages and root, in extents that are in the table.
 *				2. ar_extents_changed, if the table grew.  3. the transactions'
 *				entries in ar_xids.  4. gr_root, release.  5. gr_state READY.
 *				6. epoch + 1.  7. ar_passed, release.  8. broadcast to who waits.
 *				A reader that saw 7 sees 1 to 5 of it.  A version ends at ar_wanted,
 *				if that is ahead: what came after it a waiting reader's snapshot
 *				mostly does not see and would have to be taken back, from bytes that
 *				writers overwrite.  Only a hint: nothing depends on its being seen.
 * Reuse		retired blocks by epoch.  An extent leaves the table when it is
 *				empty and every epoch slot is 0 or newer; a backend unmaps it when it
 *				finds ar_extents_changed advanced.
 * Staleness	a root is immutable.  A reader that loads an older root than the newest
 *				has still one that holds all that its snapshot sees, by the wait.
 * Locks		ar_queue_lock only, see shm/queue.h; never held together with
 *				GmControl.lock.
 * Interrupts	the epoch slot is left by the callbacks of attach.c.
 * Death		of the worker: its generation is over.  before_shmem_exit unpublishes the
 *				handle and unpins area and extents; mapped readers finish on theirs.
 *				of anybody by a signal that cannot be caught: the server restarts, and
 *				all is loaded from the tables.
 * Full			no memory for an extent: the graph is marked, readers answer privately.
 * Tests		test/unit/test_apply.c, test_epoch.c under the thread sanitizer;
 *				test/specs/sync_*.spec; test/t/1*.pl; test/torture
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_AREA_H
#define GM_SHM_AREA_H

#include <stdatomic.h>

#include "core/base.h"
#include "core/epoch.h"
#include "core/mem.h"
#include "shm/control.h"

#define GM_AREA_MAGIC		0x676d6131	/* "gma1" */
#define GM_AREA_LAYOUT		5
#define GM_AREA_EXTENTS		GM_MEM_FORK_FROM
#define GM_AREA_BUCKETS		1024		/* of ar_last_ticket, by graph_id */
#define GM_AREA_PARKED		1024
#define GM_AREA_XIDS		8192		/* power of two */
#define GM_AREA_GRAPHS		16384		/* power of two; directory entries */
#define GM_AREA_TICKETS		4096		/* power of two */
#define GM_QUEUE_BYTES		((uint64_t) 1 << 20)	/* power of two */

typedef enum GmGraphState
{
	GM_GRAPH_ABSENT = 0,		/* not in memory; loaded when asked for */
	GM_GRAPH_LOADING,
	GM_GRAPH_READY,
	GM_GRAPH_NONE,				/* residency none */
	GM_GRAPH_TOO_LARGE,			/* larger than graphmem.memory_limit allows */
	GM_GRAPH_NO_MEMORY,			/* the system refused shared memory */
	GM_GRAPH_REFUSED,			/* triggers are off, row security is forced, a table is
								 * locked: gr_reason tells */
	GM_GRAPH_FAILED				/* loading raised an error: the worker's last_error */
} GmGraphState;

/*
 * A graph.  Entries are found by hash of the id, linearly; they are written by
 * the worker and never move; gr_id is stored last, with release, and becomes
 * -1 when the graph is dropped.  Then another graph may take the entry, so a
 * reader looks at gr_id again after it has loaded gr_root.
 */
typedef struct GmGraphEntry
{
	_Atomic int32_t gr_id;		/* 0: never used: the search ends */
	_Atomic uint32_t gr_state;	/* GmGraphState */
	_Atomic uint64_t gr_root;	/* GmRef of the GmGraphRoot; 0 none */
	_Atomic uint64_t gr_used;	/* when last asked for, TimestampTz; any backend */
	char		gr_residency;	/* 'a', 'p', 'n' */
	_Atomic uint32_t gr_reason; /* GmRefusal */
	_Atomic uint64_t gr_bytes;	/* of the image, slabs counted whole */
	_Atomic uint64_t gr_limbo;	/* of it, retired and not reusable yet */
	_Atomic uint64_t gr_loads;
	_Atomic uint64_t gr_load_us;	/* how long the last load took */
	_Atomic uint64_t gr_loaded_at;	/* TimestampTz */
	_Atomic uint64_t gr_versions;	/* published since it was loaded */
	_Atomic uint64_t gr_changes;	/* rows applied since it was loaded */
	_Atomic uint64_t gr_shaped; /* loads, and versions in which nodes, facts or what weighs them
								 * may have changed; only grows */

	/* while LOADING */
	_Atomic uint64_t gr_rows_done;
	_Atomic uint64_t gr_rows_total; /* estimated; 0 unknown */
	_Atomic uint32_t gr_phase;	/* GmLoadPhase */

	/* nodes, slots, vectors of the published version, for the views */
	_Atomic uint64_t gr_nodes;
	_Atomic uint64_t gr_triples;
	_Atomic uint64_t gr_vectors;
} GmGraphEntry;

typedef enum GmRefusal
{
	GM_REFUSED_NOT = 0,
	GM_REFUSED_TRIGGERS,		/* a capture trigger is missing or not ENABLE ALWAYS */
	GM_REFUSED_ROW_SECURITY,	/* FORCE ROW LEVEL SECURITY */
	GM_REFUSED_LOCK				/* somebody holds a lock that keeps the worker out */
} GmRefusal;

typedef enum GmLoadPhase
{
	GM_LOAD_WAITING = 0,		/* for a lock */
	GM_LOAD_ENTITIES,
	GM_LOAD_SOURCES,
	GM_LOAD_TRIPLES,
	GM_LOAD_ASSERTIONS,
	GM_LOAD_ADJACENCY,
	GM_LOAD_VECTORS,
	GM_LOAD_CHANGES
} GmLoadPhase;

/*
 * A transaction whose changes are in images: written by the worker before the
 * version that holds them is published.  Place: xid & (GM_AREA_XIDS - 1).
 * A larger xid keeps its place, so that a reader who finds one knows that it
 * cannot tell.  Read as: xid (again while GM_XID_WRITING), rest, fence, xid.
 */
#define GM_XID_WRITING	1
typedef struct GmXidEntry
{
	_Atomic uint64_t xe_xid;	/* full; 0 never used, or GM_XID_WRITING */
	_Atomic uint64_t xe_sequence;	/* ar_sequence of the publication */
	_Atomic uint64_t xe_ticket;
} GmXidEntry;

/* a ticket that the worker has passed though its transaction still runs */
typedef struct GmParked
{
	uint64_t	pk_ticket;
	uint64_t	pk_xid;			/* full */
	int32_t		pk_graph;		/* 0: several or all */
	bool		pk_prepared;
} GmParked;

typedef struct GmExtent
{
	_Atomic uint32_t ex_handle; /* dsm_handle; 0 none */
	_Atomic uint32_t ex_serial; /* a handle that took another's place has another */
	_Atomic uint64_t ex_size;
} GmExtent;

/*
 * A batch of changes on its way: see shm/queue.h.  Place: ticket &
 * (GM_AREA_TICKETS - 1).
 */
typedef struct GmTicket
{
	_Atomic uint64_t tk_ticket; /* 0 while it is being written */
	uint64_t	tk_xid;			/* full, of the top-level transaction */
	uint64_t	tk_at;			/* position of its bytes in the queue, only grows */
	uint64_t	tk_length;
	dsm_handle	tk_segment;		/* bytes are here instead; 0: in the queue */
	uint32_t	tk_changes;
	int32_t		tk_graph;		/* 0: several */
	uint32_t	tk_flags;		/* GM_TICKET_* */
} GmTicket;

#define GM_TICKET_RELOAD	1	/* no bytes: load tk_graph (0: everything) again */
#define GM_TICKET_GRAPHS	2	/* changes the table graphs */
#define GM_TICKET_REBUILD	4	/* with RELOAD: its indexes too, not from their files */

/*
 * PROTOCOL calls
 * Shared		an entry for each process, by its place in ProcGlobal->allProcs; goes
 *				with the area.  An entry outlives its process: the counters belong to
 *				whoever has the place.
 * Writer		the process.  Counters only grow, one at a time.
 * Publication	bc_change odd, release fence, fields, bc_change even, release.
 * Readers		read bc_change, fields, fence, bc_change, until it is even and the same;
 *				a process that died in between leaves it odd: they give up after some
 *				attempts, and take no entry whose pid is not that place's process.
 * Tests		test/t/141_progress.pl
 */
typedef enum GmCall
{
	GM_CALL_NONE = 0,
#define GM_CALL(name)	GM_CALL_graphmem_##name,
#include "shm/calls.h"
#undef GM_CALL
	GM_CALLS					/* how many, plus one */
} GmCall;

typedef struct GmCallCounters
{
	_Atomic uint64_t cc_calls;
	_Atomic uint64_t cc_rows;
	_Atomic uint64_t cc_records;
	_Atomic uint64_t cc_timed;	/* calls that were */
	_Atomic uint64_t cc_us;		/* of those */
} GmCallCounters;

typedef struct GmBackendCalls
{
	_Atomic uint32_t bc_change;
	_Atomic uint32_t bc_pid;
	_Atomic uint32_t bc_user;
	_Atomic uint32_t bc_call;	/* GmCall; GM_CALL_NONE: none that is shown */
	_Atomic uint32_t bc_phase;	/* GmPhase */
	_Atomic uint64_t bc_done;
	_Atomic uint64_t bc_total;
	_Atomic uint64_t bc_records;
	GmCallCounters bc_counters[GM_CALLS];
} GmBackendCalls;

typedef struct GmArea
{
	uint32		ar_magic;
	uint32		ar_layout;
	uint64		ar_generation;	/* as in GmDatabase */
	Oid			ar_db;
	char		ar_version[32]; /* extversion that the worker was started for */

	/* epochs */
	_Atomic uint64_t ar_epoch;
	uint32		ar_slots;
	uint32		ar_slots_at;	/* offset of GmEpochSlot [ar_slots] from the area's start */

	/* extents: numbers 1 .. GM_AREA_EXTENTS - 1 */
	_Atomic uint64_t ar_extents_changed;	/* counts changes of the table */
	GmExtent	ar_extent[GM_AREA_EXTENTS];
	_Atomic uint64_t ar_extent_bytes;	/* mapped by the worker */
	_Atomic uint64_t ar_slab_bytes; /* of it, handed out to graphs */
	_Atomic uint64_t ar_memory_limit;	/* bytes, as the worker understands it */

	/* progress of changes */
	_Atomic uint64_t ar_passed; /* every ticket up to here is decided and published */
	_Atomic uint64_t ar_sequence;	/* publications so far */
	_Atomic uint32_t ar_parked_count;	/* changed under ar_queue_lock */
	_Atomic uint32_t ar_parked_over;	/* parked beyond the list: nobody may read shared */
	GmParked	ar_parked[GM_AREA_PARKED];	/* read under ar_queue_lock, shared */
	GmXidEntry	ar_xid[GM_AREA_XIDS];
	_Atomic uint64_t ar_wanted; /* last ticket that a reader waits for; only grows */

	/* the tables' identity when they were last found sound (image/identity.c) */
	_Atomic uint64_t ar_identity;	/* 0: not sound, shared images are refused */
	_Atomic uint64_t ar_names_changed;	/* counts changes of the table graphs */
	_Atomic uint32_t ar_directory_due;	/* the list of graphs must be read for what has
										 * passed; set before ar_passed moves */

	/* by place in the directory: asked for while not in memory; worker clears */
	_Atomic uint64_t ar_asked[GM_AREA_GRAPHS / 64];

	/* queue */
	LWLock		ar_queue_lock;
	_Atomic uint64_t ar_tickets;	/* last ticket given out */
	_Atomic uint64_t ar_last_ticket[GM_AREA_BUCKETS];	/* by graph_id; [0] also all */
	_Atomic uint64_t ar_last_xid[GM_AREA_BUCKETS];	/* largest id of their transactions */

	/*
	 * No transaction from here on changes a graph without a ticket; 0: not
	 * known.  The worker sets it anew when it lists ghosts (start, overflow)
	 * and when the identity changed, before it loads anything after that.
	 */
	_Atomic uint64_t ar_sure_xid;
	_Atomic uint64_t ar_queue_head; /* next byte to write, only grows; under the lock */
	_Atomic uint64_t ar_queue_kept; /* bytes before here may be overwritten */
	_Atomic uint64_t ar_queue_wiped;	/* bytes before here are zero, or overwritten; worker */
	_Atomic uint64_t ar_tickets_kept;	/* tickets up to here may be; ~0: queue is closed */
	_Atomic uint32_t ar_queue_segments; /* that tickets not given back refer to */
	GmTicket	ar_ticket[GM_AREA_TICKETS];

	/* statistics, worker */
	_Atomic uint64_t ar_stats_reset;	/* TimestampTz of graphmem.stat_reset(); 0 never */
	_Atomic uint64_t ar_batches;
	_Atomic uint64_t ar_changes;
	_Atomic uint64_t ar_aborted;
	_Atomic uint64_t ar_reloads;
	_Atomic uint64_t ar_evictions;
	_Atomic uint64_t ar_apply_us;
	_Atomic uint64_t ar_overflows_seen;
	_Atomic uint32_t ar_lock_holder;	/* pid of who keeps the worker out; 0 nobody */
	_Atomic uint32_t ar_dangling;	/* rows left out */

	/* what counters of calls were when graphmem.stat_reset() was called */
	GmCallCounters ar_calls_before[GM_CALLS];

	/* the directory, and the bytes of the queue, follow */
	uint32		ar_calls_at;	/* offset of GmBackendCalls [ar_slots] */
	uint32		ar_graphs_at;	/* offset of GmGraphEntry [GM_AREA_GRAPHS] */
	uint32		ar_spaces_at;	/* offset of GmSpaceEntry [GM_AREA_SPACES] */
	uint32		ar_builds_at;	/* offset of GmBuilds */
	uint32		ar_topology_at; /* offset of GmTopologyArea */
	uint32		ar_queue_at;	/* offset of char [GM_QUEUE_BYTES] */
} GmArea;

#define GM_AREA_AT(area, offset)	((char *) (area) + (offset))

static inline GmEpochSlot *
gm_area_slots(GmArea *area)
{
	return (GmEpochSlot *) GM_AREA_AT(area, area->ar_slots_at);
}

static inline GmGraphEntry *
gm_area_graphs(GmArea *area)
{
	return (GmGraphEntry *) GM_AREA_AT(area, area->ar_graphs_at);
}

static inline char *
gm_area_queue(GmArea *area)
{
	return GM_AREA_AT(area, area->ar_queue_at);
}

/*
 * Worker, before the first version that holds the transaction is published.  It
 * is in others from later sequences on, or they were loaded with it: what is
 * noted stays.
 */
static inline void
gm_area_note_xid(GmArea *area, uint64_t xid, uint64_t sequence, uint64_t ticket)
{
	GmXidEntry *e = &area->ar_xid[xid & (GM_AREA_XIDS - 1)];

	if (atomic_load_explicit(&e->xe_xid, memory_order_relaxed) >= xid)
		return;
	atomic_store_explicit(&e->xe_xid, GM_XID_WRITING, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&e->xe_sequence, sequence, memory_order_relaxed);
	atomic_store_explicit(&e->xe_ticket, ticket, memory_order_relaxed);
	atomic_store_explicit(&e->xe_xid, xid, memory_order_release);
}

static inline uint32_t
gm_area_place(GmArea *area, const GmGraphEntry *entry)
{
	return (uint32_t) (entry - gm_area_graphs(area));
}

/* reader: have the worker load the graph; true: nobody had asked since it last looked */
static inline bool
gm_area_ask(GmArea *area, const GmGraphEntry *entry)
{
	uint32_t	place = gm_area_place(area, entry);
	uint64_t	bit = UINT64_C(1) << place % 64;

	return (atomic_fetch_or(&area->ar_asked[place / 64], bit) & bit) == 0;
}

static inline void
gm_area_forget_asked(GmArea *area, const GmGraphEntry *entry)
{
	uint32_t	place = gm_area_place(area, entry);

	atomic_fetch_and(&area->ar_asked[place / 64], ~(UINT64_C(1) << place % 64));
}

/* reader: the version that it waits for is one that ends at this ticket */
static inline void
gm_area_want(GmArea *area, uint64_t ticket)
{
	uint64_t	wanted = atomic_load_explicit(&area->ar_wanted, memory_order_relaxed);

	while (wanted < ticket && !atomic_compare_exchange_weak(&area->ar_wanted, &wanted, ticket))
		;
}

/* bytes of an area for so many processes, and its initialisation (worker) */
extern Size gm_area_size(uint32 slots);
extern void gm_area_init(GmArea *area, uint32 slots, Oid db, uint64 generation);

/* NULL if the graph is not listed */
extern GmGraphEntry *gm_area_find(GmArea *area, int32_t graph_id);

/* why a graph in this state is not in memory and will not soon be; NULL: it may be */
extern const char *gm_area_why_not(const GmGraphEntry *entry, GmGraphState state);

/* what an entry shows */
typedef struct GmShownCall
{
	int			pid;
	Oid			user;
	GmCall		call;
	GmPhase		phase;
	uint64_t	done;
	uint64_t	total;
	uint64_t	records;
} GmShownCall;

/* of the process with that place in ProcGlobal->allProcs */
extern GmBackendCalls *gm_area_calls(GmArea *area, uint32 place);

/* NULL: nothing */
extern void gm_area_show(GmBackendCalls *entry, const GmShownCall *shown);
extern bool gm_area_shown(GmBackendCalls *entry, GmShownCall *shown);

/* worker: the entry of the id, made if need be; NULL if the directory is full */
extern GmGraphEntry *gm_area_enter(GmArea *area, int32_t graph_id);
extern void gm_area_drop(GmArea *area, GmGraphEntry *entry);

#endif							/* GM_SHM_AREA_H */
