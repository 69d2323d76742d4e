/*-------------------------------------------------------------------------
 *
 * index.c
 *	  The indexes of the spaces in memory, in the moments between commits.
 *
 * For each space that has or should have an index, a GmWorkerIndex says how far
 * it is; what is to be done next follows from that and from the space of the
 * newest version:
 *	 no index, and large enough		it is read from its file (index_file.h), whose nodes
 *									are linked already, or an indexer is made; the next
 *									version begins it
 *	 another m, quantisation, ...	the next version drops it, then as before
 *	 few rows are pending			a batch: their nodes are made and linked here, and
 *									mapped by the next version, or by one of its own
 *	 many are						a job: nodes are made for as many as keep everybody
 *									busy for about a second, helpers link them (and this
 *									process, in between), versions map them
 *	 nodes without rows				gm_space_tend
 *	 no memory						the index goes, so that the graph can stay, and is
 *									tried again later; one that its space cannot do
 *									without stays as it is meanwhile
 *	 vectors in the table only, and	the graph is loaded again
 *	 another index wanted, or the
 *	 vectors elsewhere
 *
 * Nodes in a GmWorkerIndex's list leave it when the version that maps them is
 * committed: an error at any time loses none.
 *
 * A call works for SLICE_US, or until a reader waits for a commit, but for one
 * node at least: neither commits nor pending rows wait for ever.  Where many rows
 * are pending it does more, since readers compare those one by one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "error.h"
#include "guc.h"
#include "shm/builds.h"
#include "shm/spaces.h"
#include "shm/stop.h"
#include "worker/index.h"
#include "worker/index_file.h"
#include "worker/link_job.h"

#define SLICE_US		1000
#define MANY_PENDING	1024	/* then a call links LEAST_MANY nodes, whoever waits */
#define LEAST_MANY		4
#define BATCH			256		/* nodes */
#define BATCH_MS		50		/* a batch that is not full is mapped after so long */
#define MAP_NODES		1024	/* in one version; it takes some milliseconds */
#define JOB_FROM		2000	/* pending rows */
#define JOB_NODES		4096	/* of one job, for each process that links */
#define JOB_LOOK_MS		2		/* while helpers end theirs */
#define ENCODE			20000	/* elements of vectors, encoded without a look at the clock */
#define TEND_MS			100
#define TEND_NODES		16		/* without a look at the clock */
#define IDLE_DEAD		256		/* so many are swept when there is nothing else to do */
#define RETRY_FIRST_MS	5000
#define RETRY_MOST_MS	600000
#define RESERVE			((size_t) 64 * 1024)	/* for the version that drops an index */
#define LEAVE_MS		20		/* readers leave within the time of a query */

typedef struct GmWorkerIndex
{
	dlist_node	node;			/* in the list of all */
	uint64		turn;			/* the last one that it had */
	struct GmWorkerIndex *next; /* of the same graph */
	GmWorkerGraph *graph;
	int32		space_id;
	GmIndexer  *indexer;		/* NULL: there is no index */
	bool		begun;			/* a version has it; else the next one will */
	bool		complete;		/* no row was pending, once */
	bool		unwanted;		/* the next version drops it */
	GmRef		reserve;
	GmIndexReading *reading;	/* its file, or nodes from it that are to be mapped */
	bool		file_tried;

	GmSpaceNode *nodes;			/* made, and not mapped */
	uint32		count;
	uint32		room;
	uint32		linked;			/* the first of them */
	uint32		from;			/* of the pending rows, those have nodes */
	uint32		batch;			/* nodes to be made, before any is mapped */
	bool		job;			/* others link them */
	bool		leftover;		/* a job's, to be looked at one by one */
	TimestampTz made_at;		/* the first of them */

	/* in the version under way */
	bool		in_version;
	bool		beginning;
	bool		dropping;
	bool		there;
	uint32		mapping;

	bool		quiet;			/* there is nothing to do until the next version */
	TimestampTz tended_at;
	TimestampTz retry_at;

	/* a build that is worth showing */
	bool		building;
	TimestampTz build_from;
	uint64		total;
	GmIndexBuild *shown;
} GmWorkerIndex;

/* attempts that failed, over the graph's life in memory */
typedef struct Refusal
{
	int32		space_id;		/* hash key */
	uint32		times;
	TimestampTz retry_at;
} Refusal;

typedef enum Did
{
	NOTHING,
	SOMETHING
} Did;

static GmArea *area;
static GmBuilds *builds;
static MemoryContext context;
static dlist_head all;
static HTAB *refusals;
static GmHnswWork *work;
static GmWorkerIndex *job_of;	/* who has the job, or makes nodes for it */
static bool giving_up;			/* the version under way is to drop indexes */
static instr_time slice_start;
static uint32 slice_links;
static uint64 turn;

void
gm_index_start(GmDatabase *db, GmArea *a)
{
	HASHCTL		info;

	area = a;
	builds = gm_area_builds(area);
	context = AllocSetContextCreate(TopMemoryContext, "graphmem indexes", ALLOCSET_DEFAULT_SIZES);
	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(int32);
	info.entrysize = sizeof(Refusal);
	info.hcxt = context;
	refusals = hash_create("graphmem indexes refused", 64, &info,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&all);
	job_of = NULL;
	gm_job_start(area, db->db_oid);
}

void
gm_index_stop(void)
{
	if (context == NULL)
		return;
	gm_job_stop();
	gm_hnsw_work_destroy(work);
	work = NULL;
	MemoryContextDelete(context);
	context = NULL;
	area = NULL;
}

/*
 * Builds that are shown
 */
static void
show_phase(GmWorkerIndex *ix, GmBuildPhase phase)
{
	if (ix->shown == NULL)
		return;
	atomic_store_explicit(&ix->shown->ib_phase, phase, memory_order_relaxed);
	atomic_store_explicit(&ix->shown->ib_shared, ix->job, memory_order_relaxed);
}

static void
begin_build(GmWorkerIndex *ix, uint64 total)
{
	if (ix->building)
		return;
	ix->building = true;
	ix->build_from = GetCurrentTimestamp();
	ix->total = total;
	for (int i = 0; i < GM_AREA_BUILDS && ix->shown == NULL; i++)
	{
		GmIndexBuild *b = &builds->build[i];

		if (atomic_load(&b->ib_graph) != 0)
			continue;
		ix->shown = b;
		atomic_store(&b->ib_space, ix->space_id);
		atomic_store(&b->ib_phase, GM_BUILD_SAMPLING);
		atomic_store(&b->ib_shared, 0);
		atomic_store(&b->ib_done, 0);
		atomic_store(&b->ib_total, total);
		atomic_store(&b->ib_started_at, (uint64) ix->build_from);
		atomic_store_explicit(&b->ib_graph, ix->graph->id, memory_order_release);
	}
}

static void
show_progress(GmWorkerIndex *ix, const GmSpace *space)
{
	uint64		pending = gm_space_pending(space);
	uint64		linked = ix->job ? gm_job_done() : ix->linked;
	uint64		left = pending > linked ? pending - linked : 0;

	if (ix->shown == NULL)
		return;
	ix->total = Max(ix->total, left);
	atomic_store_explicit(&ix->shown->ib_total, ix->total, memory_order_relaxed);
	atomic_store_explicit(&ix->shown->ib_done, ix->total - left, memory_order_relaxed);
}

static void
hide(GmWorkerIndex *ix)
{
	if (ix->shown != NULL)
		atomic_store_explicit(&ix->shown->ib_graph, 0, memory_order_release);
	ix->shown = NULL;
	ix->building = false;
}

static void
end_build(GmWorkerIndex *ix, const GmSpace *space)
{
	GmSpaceEntry *e;
	uint64		us = (uint64) (GetCurrentTimestamp() - ix->build_from);

	if (!ix->building)
		return;
	hide(ix);
	if (ix->complete)
		return;
	ix->complete = true;
	(void) hash_search(refusals, &ix->space_id, HASH_REMOVE, NULL);
	e = gm_area_make_space(area, ix->space_id, ix->graph->id);
	if (e != NULL)
	{
		atomic_store(&e->se_status, GM_OK);
		atomic_store(&e->se_build_us, us);
	}
	ereport(LOG,
			(errmsg("index of vector space %d of graph %d is complete: %u vectors in %.1f s",
					ix->space_id, ix->graph->id, space->root->sp_rows, us / 1000000.0)));
}

/*
 * What is known of a space's index
 */
static GmWorkerIndex *
find_index(GmWorkerGraph *g, int32 space_id)
{
	GmWorkerIndex *ix = g->indexes;

	while (ix != NULL && ix->space_id != space_id)
		ix = ix->next;
	return ix;
}

static void
close_job(GmWorkerIndex *ix)
{
	if (job_of != ix)
		return;
	gm_job_close();
	job_of = NULL;
}

/* the index is gone, or goes now: drop */
static void
lose_index(GmWorkerIndex *ix, bool drop)
{
	close_job(ix);
	if (ix->reserve != 0)
		gm_mem_free(ix->graph->mem, ix->reserve, RESERVE);
	ix->reserve = 0;
	gm_index_file_read_end(ix->reading, !drop);
	ix->reading = NULL;
	gm_indexer_destroy(ix->indexer, drop);
	ix->indexer = NULL;
	ix->begun = ix->complete = ix->unwanted = ix->job = ix->leftover = false;
	ix->count = ix->linked = ix->from = ix->batch = 0;
	hide(ix);
}

static void
free_index(GmWorkerIndex *ix)
{
	GmWorkerIndex **link = &ix->graph->indexes;

	while (*link != ix)
		link = &(*link)->next;
	*link = ix->next;
	dlist_delete(&ix->node);
	if (ix->nodes != NULL)
		pfree(ix->nodes);
	pfree(ix);
}

/* its memory is given back as a whole, when the last reader has left */
void
gm_index_forget(GmWorkerGraph *g)
{
	while (g->indexes != NULL)
	{
		g->indexes->reserve = 0;
		lose_index(g->indexes, false);
		free_index(g->indexes);
	}
}

static bool
is_mistuned_root(const GmSpaceRoot *s, const GmHnswRoot *h)
{
	return h->hn_m != s->sp_m || h->hn_kind != s->sp_kind ||
		h->hn_ef_construction != s->sp_ef_construction;
}

static bool
is_mistuned(const GmSpace *space, const GmHnsw *hnsw)
{
	return is_mistuned_root(space->root, gm_hnsw_root(hnsw));
}

/* memory that only a new index gives back, or no need for any */
static bool
is_wasteful(const GmSpace *space, const GmHnsw *hnsw)
{
	const GmHnswRoot *h = gm_hnsw_root(hnsw);
	uint32		nodes = atomic_load(&h->hn_nodes);

	return !gm_space_needs_index(space) &&
		(space->root->sp_rows < GM_SPACE_INDEX_FROM / 2 ||
		(nodes >= GM_SPACE_INDEX_FROM && h->hn_free + h->hn_swept > nodes / 2));
}

void
gm_index_look(GmWorkerGraph *g)
{
	for (uint32_t i = 0; i < gm_graph_spaces(g->graph); i++)
	{
		GmSpace    *space = gm_graph_space(g->graph, i);
		int32		space_id = gm_graph_space_info(g->graph, i)->space_id;
		GmWorkerIndex *ix = find_index(g, space_id);

		if (space == NULL)
			continue;
		if (ix == NULL && (gm_space_has_index(space) || gm_space_wants_index(space)))
		{
			Refusal    *refusal = hash_search(refusals, &space_id, HASH_FIND, NULL);

			ix = MemoryContextAllocExtended(context, sizeof(GmWorkerIndex),
											MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
			if (ix == NULL)
				return;			/* the next version may find some */
			ix->graph = g;
			ix->space_id = space_id;
			ix->retry_at = refusal == NULL ? 0 : refusal->retry_at;
			ix->next = g->indexes;
			g->indexes = ix;
			dlist_push_tail(&all, &ix->node);
		}
		if (ix != NULL)
			ix->quiet = false;
	}
}

/*
 * Versions
 */

/* of the version at hand, which may be half made; 0: none, or no such space */
static GmRef
index_of(const GmWorkerGraph *g, int32 space_id)
{
	for (uint32_t i = 0; i < gm_graph_spaces(g->graph); i++)
	{
		const GmGraphSpace *info = gm_graph_space_info(g->graph, i);

		if (info->space_id == space_id)
			return ((const GmSpaceRoot *) gm_mem_ptr(g->mem, info->root))->sp_index.root;
	}
	return 0;
}

static bool
suits(const GmWorkerGraph *g, const GmWorkerIndex *ix)
{
	const GmHnswRoot *h = gm_hnsw_root(ix->indexer->hnsw);

	for (uint32_t i = 0; i < gm_graph_spaces(g->graph); i++)
	{
		const GmGraphSpace *info = gm_graph_space_info(g->graph, i);

		if (info->space_id == ix->space_id)
			return info->dim == h->hn_dim && info->metric == h->hn_metric;
	}
	return false;
}

static GmStatus
apply_one(GmWorkerGraph *g, GmWorkerIndex *ix)
{
	uint32		ready = ix->job ? 0 : Min(ix->linked, MAP_NODES);

	if (ix->indexer == NULL || (giving_up && !ix->unwanted))
		return GM_OK;
	if (!ix->begun)
	{
		if (!suits(g, ix))
			return GM_OK;
		ix->in_version = ix->beginning = true;
		return gm_apply_begin_index(g->apply, ix->space_id, ix->indexer, &ix->there);
	}
	if (index_of(g, ix->space_id) != gm_hnsw_ref(ix->indexer->hnsw))
		return GM_OK;
	if (ix->unwanted)
	{
		ix->in_version = ix->dropping = true;
		return gm_apply_drop_index(g->apply, ix->space_id);
	}
	if (ready == 0 && ix->indexer->killed == 0)
		return GM_OK;
	ix->in_version = true;
	ix->mapping = ready;
	return gm_apply_map(g->apply, ix->space_id, ix->indexer, ix->nodes, ready, &ix->there);
}

GmStatus
gm_index_apply(GmWorkerGraph *g)
{
	for (GmWorkerIndex *ix = g->indexes; ix != NULL; ix = ix->next)
		GM_TRY(apply_one(g, ix));
	return GM_OK;
}

/*
 * Helpers that come into the epoch after it was advanced must not find a job
 * on an index that this version has not any more.
 */
void
gm_index_publishing(GmWorkerGraph *g)
{
	for (GmWorkerIndex *ix = g->indexes; ix != NULL; ix = ix->next)
		if (ix->begun && index_of(g, ix->space_id) != gm_hnsw_ref(ix->indexer->hnsw))
			close_job(ix);
}

static void
forget_nodes(GmWorkerIndex *ix, uint32 n)
{
	ix->count -= n;
	ix->linked -= n;
	memmove(ix->nodes, ix->nodes + n, ix->count * sizeof(GmSpaceNode));
	if (ix->count > 0)
		return;
	ix->from = ix->batch = 0;
	ix->leftover = false;
}

static void
version_done(GmWorkerIndex *ix)
{
	ix->in_version = ix->beginning = ix->dropping = ix->there = false;
	ix->mapping = 0;
}

void
gm_index_committed(GmWorkerGraph *g)
{
	for (GmWorkerIndex *ix = g->indexes; ix != NULL; ix = ix->next)
	{
		if (ix->indexer != NULL && ix->beginning)
			ix->begun = ix->there;
		if (ix->indexer == NULL || !ix->begun)
		{
			version_done(ix);
			continue;
		}
		if (index_of(g, ix->space_id) != gm_hnsw_ref(ix->indexer->hnsw))
			lose_index(ix, false);
		else if (ix->in_version && !ix->beginning)
		{
			gm_space_mapped(ix->indexer, ix->nodes, ix->mapping);
			forget_nodes(ix, ix->mapping);
		}
		version_done(ix);
	}
}

void
gm_index_aborted(GmWorkerGraph *g)
{
	for (GmWorkerIndex *ix = g->indexes; ix != NULL; ix = ix->next)
		version_done(ix);
}

/*
 * Failure
 */
static void
note_failure(GmWorkerIndex *ix, GmStatus status, bool stays)
{
	GmSpaceEntry *e = gm_area_make_space(area, ix->space_id, ix->graph->id);
	bool		found;
	Refusal    *refusal = hash_search(refusals, &ix->space_id, HASH_ENTER, &found);
	long		ms;

	if (!found)
		refusal->times = 0;
	ms = (long) RETRY_FIRST_MS << Min(refusal->times, 10);
	refusal->times++;
	refusal->retry_at = ix->retry_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), Min(ms, RETRY_MOST_MS));
	if (e != NULL)
		atomic_store(&e->se_status, status);
	if (!found)
		ereport(LOG,
				(errmsg(stays ? "vectors are not added to the index of vector space %d of graph %d for now: %s" :
						"vector space %d of graph %d has no index for now: %s",
						ix->space_id, ix->graph->id,
						status == GM_OVER_BUDGET ? "it would be larger than \"graphmem.memory_limit\" allows" :
						status == GM_NO_MEMORY ? "the system refused memory" : "it could not be built"),
				 errdetail(stays ? "They are compared one by one." :
						   "Its vectors are compared one by one.")));
}

/* memory that the version before still holds is free once its readers have left */
static void
wait_for_readers(GmWorkerGraph *g)
{
	for (int ms = 0; ms < LEAVE_MS; ms++)
	{
		gm_mem_reclaim(g->mem, gm_epoch_oldest(gm_area_slots(area), area->ar_slots));
		if (gm_mem_limbo(g->mem) == 0)
			return;
		pg_usleep(1000);
	}
}

/* of the version at hand */
static bool
needs_index(const GmWorkerIndex *ix)
{
	const GmWorkerGraph *g = ix->graph;

	for (uint32_t i = 0; i < gm_graph_spaces(g->graph); i++)
	{
		const GmGraphSpace *info = gm_graph_space_info(g->graph, i);

		if (info->space_id == ix->space_id)
			return ((const GmSpaceRoot *) gm_mem_ptr(g->mem, info->root))->sp_absent > 0;
	}
	return false;
}

/* only: this one; NULL: all of the graph's */
static bool
give_up(GmWorkerGraph *g, const GmWorkerIndex *only, GmStatus why)
{
	GmStatus	status = GM_OK;
	bool		any = false;

	for (GmWorkerIndex *ix = g->indexes; ix != NULL; ix = ix->next)
	{
		if ((ix->indexer == NULL && ix->reading == NULL) || (only != NULL && ix != only))
			continue;
		if (ix->begun && needs_index(ix))
		{
			if (only != NULL)
				note_failure(ix, why, true);
			continue;
		}
		any = true;
		note_failure(ix, why, false);
		if (!ix->begun)
		{
			lose_index(ix, true);
			continue;
		}
		close_job(ix);
		ix->unwanted = true;
		if (ix->reserve != 0)
			gm_mem_free(g->mem, ix->reserve, RESERVE);
		ix->reserve = 0;
	}
	if (!any)
		return false;
	giving_up = true;
	PG_TRY();
	{
		status = gm_graphs_make_version(g);
	}
	PG_FINALLY();
	{
		giving_up = false;
	}
	PG_END_TRY();
	wait_for_readers(g);
	return status == GM_OK;
}

bool
gm_index_give_up(GmWorkerGraph *g, GmStatus why)
{
	return give_up(g, NULL, why);
}

static Did
fail(GmWorkerIndex *ix, GmStatus status)
{
	gm_error_check(status == GM_INTERRUPTED ? status : GM_OK, "indexing vectors");
	if (ix->indexer == NULL && ix->reading == NULL)
		note_failure(ix, status, false);
	else
		(void) give_up(ix->graph, ix, status);
	return SOMETHING;
}

/*
 * Doing
 */

/* a reader waits for what was committed, or enough is done */
static bool
is_slice_over(uint32 least)
{
	instr_time	now;

	if (InterruptPending)
		return true;
	if (slice_links < least)
		return false;
	if (atomic_load_explicit(&area->ar_wanted, memory_order_relaxed) >
		atomic_load_explicit(&area->ar_passed, memory_order_relaxed))
		return true;
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, slice_start);
	return INSTR_TIME_GET_MICROSEC(now) >= SLICE_US;
}

static size_t
bytes_needed(const GmSpace *space)
{
	const GmSpaceRoot *root = space->root;
	GmCoder		coder;
	size_t		row;

	gm_coder_init(&coder, root->sp_dim, (GmMetric) root->sp_metric, (GmCodeKind) root->sp_kind);
	row = coder.stride + 2 * root->sp_m * sizeof(uint32) + sizeof(GmHnswNode) +
		4 * sizeof(uint32);
	return row * root->sp_rows;
}

static bool
fits(const GmWorkerGraph *g, const GmSpace *space)
{
	size_t		available = gm_graphs_available(g);

	return available == SIZE_MAX || g->mem->charged + bytes_needed(space) <= available;
}

static void
make_room(GmWorkerIndex *ix, uint32 n)
{
	if (n <= ix->room)
		return;
	ix->nodes = ix->nodes == NULL ? MemoryContextAlloc(context, n * sizeof(GmSpaceNode)) :
		repalloc(ix->nodes, n * sizeof(GmSpaceNode));
	ix->room = n;
}

static Did
read_file(GmWorkerIndex *ix, GmSpace *space)
{
	GmStatus	status;
	bool		done;

	show_phase(ix, GM_BUILD_READING);
	status = gm_index_file_read_step(ix->reading, space, &done);
	if (status == GM_NO_MEMORY || status == GM_OVER_BUDGET)
		return fail(ix, status);
	if (status != GM_OK)
		lose_index(ix, true);
	if (!done)
		return SOMETHING;
	ix->indexer = gm_index_file_read_take(ix->reading);
	status = gm_mem_alloc(ix->graph->mem, RESERVE, &ix->reserve);
	return status == GM_OK ? SOMETHING : fail(ix, status);
}

/* what the file had is linked, and mapped before any row gets another node */
static Did
take_nodes_of_file(GmWorkerIndex *ix)
{
	make_room(ix, MAP_NODES);
	ix->count = gm_index_file_read_nodes(ix->reading, MAP_NODES, ix->nodes);
	ix->linked = ix->batch = ix->count;
	ix->leftover = ix->count > 0;
	if (ix->count == 0)
	{
		gm_index_file_read_end(ix->reading, false);
		ix->reading = NULL;
	}
	return SOMETHING;
}

static Did
create(GmWorkerIndex *ix, GmSpace *space)
{
	GmStatus	status;

	if (ix->reading != NULL)
		return read_file(ix, space);
	if (!gm_space_has_index(space) && !fits(ix->graph, space))
	{
		note_failure(ix, GM_OVER_BUDGET, false);
		return NOTHING;
	}
	if (gm_space_has_index(space))
	{
		status = gm_indexer_attach(space, work, &ix->indexer);
		ix->begun = status == GM_OK;
	}
	else
	{
		begin_build(ix, space->root->sp_rows);
		if (!ix->file_tried)
			ix->reading = gm_index_file_read_begin(ix->graph->id, ix->space_id, space, work);
		ix->file_tried = true;
		if (ix->reading != NULL)
			return SOMETHING;
		status = gm_indexer_create(space, work, &gm_server_interrupt, &ix->indexer);
	}
	if (status != GM_OK)
		ix->indexer = NULL;
	else
		status = gm_mem_alloc(ix->graph->mem, RESERVE, &ix->reserve);
	return status == GM_OK ? SOMETHING : fail(ix, status);
}

static Did
make_version(GmWorkerIndex *ix)
{
	GmStatus	status;

	show_phase(ix, ix->begun ? GM_BUILD_MAPPING : GM_BUILD_SAMPLING);
	status = gm_graphs_make_version(ix->graph);
	return status == GM_OK ? SOMETHING : fail(ix, status);
}

/* nodes for rows, up to the batch */
static Did
make_nodes(GmWorkerIndex *ix, const GmSpace *space)
{
	uint32		step = Max(ENCODE / space->root->sp_dim, 1);

	make_room(ix, ix->batch);
	show_phase(ix, GM_BUILD_ENCODING);
	if (ix->count == 0)
		ix->made_at = GetCurrentTimestamp();
	while (ix->count < ix->batch)
	{
		uint32		made;
		GmStatus	status = gm_space_make_nodes(space, ix->indexer, &ix->from,
												 Min(step, ix->batch - ix->count),
												 ix->nodes + ix->count, &made);

		ix->count += made;
		slice_links++;
		if (status != GM_OK)
			return fail(ix, status);
		if (made == 0 && ix->batch > BATCH)
			ix->batch = ix->count;	/* pending rows have gone meanwhile */
		if (made == 0 || is_slice_over(1))
			break;
	}
	return SOMETHING;
}

static Did
link_nodes(GmWorkerIndex *ix, uint32 least)
{
	show_phase(ix, GM_BUILD_LINKING);
	while (ix->linked < ix->count)
	{
		GmStatus	status = gm_hnsw_link(ix->indexer->hnsw, work, ix->nodes[ix->linked].node);

		if (status != GM_OK)
			return fail(ix, status);
		ix->linked++;
		slice_links++;
		if (is_slice_over(least))
			break;
	}
	return SOMETHING;
}

/* every node is made */
static void
open_job(GmWorkerIndex *ix)
{
	Assert(job_of == ix);
	gm_job_open(ix->indexer->hnsw, ix->nodes, ix->count);
	ix->job = true;
}

static Did
work_on_job(GmWorkerIndex *ix, uint32 least)
{
	bool		any = false;

	show_phase(ix, GM_BUILD_LINKING);
	(void) gm_job_helpers();
	while (gm_job_link(ix->indexer))
	{
		any = true;
		slice_links++;
		if (is_slice_over(least))
			break;
	}
	if (any || !gm_job_is_over())
		return any ? SOMETHING : NOTHING;
	close_job(ix);
	ix->job = false;
	ix->leftover = true;
	return SOMETHING;
}

/* how many nodes at once */
static void
choose_batch(GmWorkerIndex *ix, uint32 pending)
{
	int			helpers = pending >= JOB_FROM && job_of == NULL && gm_job_is_free() ?
		gm_job_helpers() : 0;

	ix->batch = BATCH;
	if (helpers == 0)
		return;
	ix->batch = Min(pending, Min(JOB_NODES * (helpers + 1), GM_JOB_NODES));
	job_of = ix;
}

static Did
tend(GmWorkerIndex *ix, const GmSpace *space)
{
	const GmHnswRoot *h = gm_hnsw_root(ix->indexer->hnsw);
	uint32		dead = atomic_load(&h->hn_dead);
	TimestampTz now = GetCurrentTimestamp();
	uint64		oldest;
	bool		swept;
	bool		more;
	GmStatus	status;

	if (space->root->sp_dead.ar_length <= ix->indexer->killed && dead == 0 &&
		ix->indexer->reuse_after == 0)
		return NOTHING;
	if (!TimestampDifferenceExceeds(ix->tended_at, now, TEND_MS))
		return NOTHING;
	oldest = gm_epoch_oldest(gm_area_slots(area), area->ar_slots);
	do
	{
		status = gm_space_tend(space, ix->indexer, oldest, dead >= IDLE_DEAD && ix->count == 0,
							   ix->job, TEND_NODES, &swept, &more);
		slice_links++;
	} while (status == GM_OK && more && !is_slice_over(1));
	if (status != GM_OK)
		return fail(ix, status);
	if (swept)
		ix->indexer->reuse_after = gm_epoch_advance(&area->ar_epoch);
	if (!more)
		ix->tended_at = now;
	return more || swept ? SOMETHING : NOTHING;
}

static bool
is_batch_due(const GmWorkerIndex *ix)
{
	return ix->count >= BATCH || ix->leftover ||
		TimestampDifferenceExceeds(ix->made_at, GetCurrentTimestamp(), BATCH_MS);
}

static Did
add_rows(GmWorkerIndex *ix, const GmSpace *space)
{
	uint32		pending = gm_space_pending(space);
	uint32		least = pending >= MANY_PENDING ? LEAST_MANY : 1;

	show_progress(ix, space);
	if (pending >= JOB_FROM)
		begin_build(ix, pending);
	if (ix->job)
		return work_on_job(ix, least);
	if (ix->count == 0 && ix->reading != NULL)
		return take_nodes_of_file(ix);
	if (ix->count == 0 && pending > 0 && ix->batch == 0)
		choose_batch(ix, pending);
	if (ix->batch > BATCH && ix->linked == 0 && !ix->leftover)
	{
		if (ix->count < ix->batch)
			return make_nodes(ix, space);
		open_job(ix);
		return SOMETHING;
	}
	close_job(ix);
	if (ix->linked < ix->count)
		return link_nodes(ix, least);
	if (ix->linked > 0 && is_batch_due(ix))
		return make_version(ix);
	if (!ix->leftover && ix->count < ix->batch && ix->from < pending)
		return make_nodes(ix, space);
	if (pending == 0 && ix->count == 0)
		end_build(ix, space);
	return NOTHING;
}

static GmSpace *
find_space(GmWorkerGraph *g, int32 space_id)
{
	for (uint32_t i = 0; i < gm_graph_spaces(g->graph); i++)
		if (gm_graph_space_info(g->graph, i)->space_id == space_id)
			return gm_graph_space(g->graph, i);
	return NULL;
}

/* what only the table can give */
static bool
must_be_loaded(const GmSpace *space)
{
	const GmSpaceRoot *root = space->root;

	if (!gm_space_has_index(space) && !gm_space_wants_index(space))
		return false;
	if (root->sp_in_table != root->sp_apart)
		return true;
	return gm_space_needs_index(space) &&
		is_mistuned_root(root, gm_mem_ptr(space->mem, root->sp_index.root));
}

static Did
do_something(GmWorkerIndex *ix)
{
	GmWorkerGraph *g = ix->graph;
	GmSpace    *space;
	Did			did;

	if (g->loading || ix->retry_at > GetCurrentTimestamp() || gm_graphs_attach(g) != GM_OK)
		return NOTHING;
	space = find_space(g, ix->space_id);
	if (space == NULL || (ix->indexer == NULL && !gm_space_has_index(space) &&
						  !gm_space_wants_index(space)))
	{
		/* until a version has a use for it */
		if (ix->indexer != NULL || ix->reading != NULL)
			lose_index(ix, !ix->begun);
		free_index(ix);
		return SOMETHING;
	}
	if (must_be_loaded(space))
	{
		gm_graphs_reload(g);
		return SOMETHING;
	}
	if (ix->indexer == NULL)
		return create(ix, space);
	if (ix->begun && (is_mistuned(space, ix->indexer->hnsw) ||
					  is_wasteful(space, ix->indexer->hnsw)))
	{
		close_job(ix);
		ix->unwanted = true;
	}
	if (!ix->begun || ix->unwanted)
	{
		/* what it was made for may have changed */
		if (!ix->begun && (!suits(g, ix) || is_mistuned(space, ix->indexer->hnsw)))
		{
			lose_index(ix, true);
			return SOMETHING;
		}
		return make_version(ix);
	}
	did = add_rows(ix, space);
	if (did == NOTHING)
		did = tend(ix, space);
	if (did == NOTHING && !ix->job && ix->count == 0)
		ix->quiet = ix->indexer->reuse_after == 0 &&
			space->root->sp_dead.ar_length <= ix->indexer->killed;
	return did;
}

/*
 * One of them at a call, in turn: what is done may drive other graphs out of
 * memory, and their indexes with them.
 */
bool
gm_index_run(void)
{
	if (dlist_is_empty(&all))
		return false;
	if (work == NULL)
		work = gm_hnsw_work_create();
	if (work == NULL)
		return false;
	INSTR_TIME_SET_CURRENT(slice_start);
	slice_links = 0;
	turn++;
	while (!dlist_is_empty(&all))
	{
		GmWorkerIndex *ix = dlist_head_element(GmWorkerIndex, node, &all);

		if (ix->turn == turn)
			break;
		ix->turn = turn;
		dlist_delete(&ix->node);
		dlist_push_tail(&all, &ix->node);
		if (!ix->quiet && do_something(ix) == SOMETHING)
			return true;
	}
	return false;
}

static long
next_ms(const GmWorkerIndex *ix, TimestampTz now)
{
	if (ix->retry_at > now)
		return TimestampDifferenceMilliseconds(now, ix->retry_at) + 1;
	if (ix->job)
		return JOB_LOOK_MS;
	if (ix->count > 0)
		return BATCH_MS;
	return TEND_MS;
}

long
gm_index_next_ms(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		ms = -1;
	dlist_iter	iter;

	dlist_foreach(iter, &all)
	{
		GmWorkerIndex *ix = dlist_container(GmWorkerIndex, node, iter.cur);
		long		its;

		if (ix->quiet && ix->retry_at <= now)
			continue;
		its = next_ms(ix, now);
		ms = ms < 0 ? its : Min(ms, its);
	}
	return ms;
}
