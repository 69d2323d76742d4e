/*-------------------------------------------------------------------------
 *
 * graphs.h
 *	  The graphs that the worker keeps in memory.
 *
 * Interface
 *	 gm_graphs_find, gm_graphs_make, gm_graphs_forget	what is known of a graph
 *	 gm_graphs_give			a committed transaction's changes, to be applied
 *	 gm_graphs_apply_all	one version of every graph that was given some
 *	 gm_graphs_make_version	a version for the indexes of its spaces
 *	 gm_graphs_publish		readers find it from now on
 *	 gm_graphs_unpublish	readers find it no more, its memory follows them
 *	 gm_graphs_create_memory	memory that drives others out before it is refused
 *	 gm_graphs_fit_limit	what is beyond the setting's limit goes
 *	 gm_graphs_tidy			what no reader looks at any more is used again
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
	dlist_node	node;			/* in a list of sync.c */
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
	dlist_node	node;			/* in the list of those in memory */
	GmMem	   *mem;			/* NULL: not in memory, or being loaded */
	GmRef		root;			/* of the published version */
	GmGraph    *graph;			/* NULL: a graph that has not changed lately has none */
	bool		handle_listed;	/* once published */
	dlist_node	handle_node;
	int64		next_flip;
	bool		shaped;			/* by the version that is made: see gr_shaped */
	bool		other_spaces;	/* in it, or others' state */
	GmApply    *apply;			/* a version half made; NULL: none */
	uint64		dangling;		/* rows that wait for others: it is not served */
	TimestampTz moved_at;		/* when runs were last brought up to date */

	bool		loading;
	bool		stale;			/* what is loaded now is out of date already */
	bool		dropped;		/* left the table graphs while it was being loaded */
	bool		direct;			/* too large to be built in the process's memory first */
	size_t		known_bytes;	/* it did not fit, and was this large by then */

	GmGraphBase *base;			/* the load snapshot; NULL: not taken yet */
	uint64		max_xid;		/* applied since */

	/* committed, to be applied: in this round, or once it is loaded */
	GmWorkerBatch **batches;
	uint32		batch_count;
	uint32		batch_room;
	bool		busy;			/* in the list of those that have some */
	dlist_node	busy_node;

	struct GmWorkerIndex *indexes;	/* index.c */
} GmWorkerGraph;

extern void gm_graphs_start(GmDatabase *db, GmArea *area, GmPool *pool);
extern void gm_graphs_stop(void);

/* after an error: forget versions half made; raises none */
extern void gm_graphs_error(void);
extern MemoryContext gm_graphs_context(void);

/* NULL: not in memory and not being loaded */
extern GmWorkerGraph *gm_graphs_find(int32 id);
extern GmWorkerGraph *gm_graphs_make(GmGraphEntry *entry);

/* the graph is gone from the directory; not while it is being loaded */
extern void gm_graphs_forget(int32 id);

/* those in memory or being read into it; the visitor may unpublish the one it is at, and no other */
typedef void (*GmGraphVisit) (GmWorkerGraph *g, void *arg);
extern void gm_graphs_each(GmGraphVisit visit, void *arg);

/* did the load snapshot see the transaction; before it is taken, it saw none */
static inline bool
gm_graphs_base_sees(const GmWorkerGraph *g, uint64 xid)
{
	return g->base != NULL && gm_base_sees(g->base, xid);
}

extern void gm_graphs_give(GmWorkerGraph *g, GmWorkerBatch *batch);

/* what was given and the load snapshot has seen is not applied */
extern void gm_graphs_drop_seen(GmWorkerGraph *g);
extern void gm_batch_unuse(GmWorkerBatch *batch);

/* g->mem: drives other graphs out before it refuses */
extern GmStatus gm_graphs_create_memory(GmWorkerGraph *g, size_t first_slab);

/* what the graph could have if all that can give way did; SIZE_MAX: no limit */
extern size_t gm_graphs_available(const GmWorkerGraph *g);

/*
 * All that was given is in published versions, or its graph is not served any
 * more.  False: a lock is in the way, try again soon.
 */
extern bool gm_graphs_apply_all(void);

/*
 * A version without changes, for what gm_index_apply puts into it; nothing is
 * changed if it fails.
 */
extern GmStatus gm_graphs_make_version(GmWorkerGraph *g);

/* g->graph: of the published version */
extern GmStatus gm_graphs_attach(GmWorkerGraph *g);

/* the changes of one graph that readers do not find yet; false: it is unpublished */
extern bool gm_graphs_apply_loaded(GmWorkerGraph *g);

/* a graph that was just loaded */
extern void gm_graphs_publish(GmWorkerGraph *g);
extern void gm_graphs_unpublish(GmWorkerGraph *g, GmGraphState state, GmRefusal reason);

/* unpublish, and load again if it would be missed */
extern void gm_graphs_reload(GmWorkerGraph *g);

/* the setting may have changed; pinned graphs stay whatever it is */
extern void gm_graphs_fit_limit(void);

/* retired memory, buried images, runs that time has changed; when next; -1: no hurry */
extern void gm_graphs_tidy(void);
extern long gm_graphs_next_ms(void);

/* zero some of what was given back, or map some by large pages; true: there is more */
extern bool gm_graphs_wipe(void);

/* somebody wants something done: what runs in an idle moment should give way */
extern bool gm_graphs_work_waits(void);

#endif							/* GM_WORKER_GRAPHS_H */
