/*-------------------------------------------------------------------------
 *
 * graphs.h
 *	  The graphs that the worker keeps in memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_GRAPHS_H
#define GM_WORKER_GRAPHS_H

#include "lib/ilist.h"

#include "core/apply.h"
#include "core/graph.h"
#include "shm/pool.h"

/* a transaction's changes, taken from the queue */
typedef struct GmWorkerBatch
{
	dlist_node	node;			/* in the list of parked ones */
	uint64		ticket;			/* 0: a transaction found at start, see sync.c */
	uint64		xid;
	int32		graph_id;		/* 0: several */
	uint32		flags;			/* GM_TICKET_* */
	bool		prepared;
	int			users;			/* lists that it is in */
	char	   *bytes;
	size_t		length;
} GmWorkerBatch;

typedef struct GmWorkerGraph
{
	int32		id;				/* hash key */
	GmGraphEntry *entry;
	GmMem	   *mem;			/* NULL: not in memory */
	GmGraph    *graph;
	bool		loading;
	bool		stale;			/* what is loaded now is out of date already */
	TimestampTz moved_at;		/* when runs were last brought up to date */

	/* the load snapshot */
	uint64		xmin;
	uint64		xmax;
	uint64	   *xip;
	uint32		xcnt;
	uint64		max_xid;		/* applied since */

	/* committed, to be applied: in this round, or once it is loaded */
	GmWorkerBatch **batches;
	uint32		batch_count;
	uint32		batch_room;
} GmWorkerGraph;

extern void gm_graphs_start(GmDatabase *db, GmArea *area, GmPool *pool);
extern void gm_graphs_stop(void);
extern MemoryContext gm_graphs_context(void);

/* NULL: not in memory and not being loaded */
extern GmWorkerGraph *gm_graphs_find(int32 id);
extern GmWorkerGraph *gm_graphs_make(GmGraphEntry *entry);

typedef void (*GmGraphVisit) (GmWorkerGraph *g, void *arg);
extern void gm_graphs_each(GmGraphVisit visit, void *arg);

extern bool gm_graphs_base_sees(const GmWorkerGraph *g, uint64 xid);
extern void gm_graphs_give(GmWorkerGraph *g, GmWorkerBatch *batch);
extern void gm_graphs_drop_batches(GmWorkerGraph *g);
extern void gm_batch_unuse(GmWorkerBatch *batch);

/* memory operations that drive other graphs out before they fail */
extern void gm_graphs_memory(GmWorkerGraph *g, GmMemOps *ops);

/* one version with all that was given; false: nothing is published */
extern bool gm_graphs_apply(GmWorkerGraph *g);

/* of a graph that was just loaded; sets what the views show */
extern void gm_graphs_publish(GmWorkerGraph *g, GmRef root);

/* readers find it gone; its memory follows them */
extern void gm_graphs_unpublish(GmWorkerGraph *g, GmGraphState state, GmRefusal reason);

/* give up the graph that was used least recently, but not this one; false: none */
extern bool gm_graphs_evict(const GmWorkerGraph *but);

/* what no reader looks at any more is used again or given back */
extern void gm_graphs_reclaim(void);

/* when the runs of some graph ought to be brought up to date; -1 never */
extern long gm_graphs_next_ms(void);
extern void gm_graphs_move_runs(void);

#endif							/* GM_WORKER_GRAPHS_H */
