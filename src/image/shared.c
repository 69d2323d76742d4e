/*-------------------------------------------------------------------------
 *
 * shared.c
 *	  Reading the shared image: protocol image of shm/area.h, reader's side.
 *
 * A session keeps a handle for every graph that it read: the addresses of one
 * version's arrays.  While nobody changes the graph, a call costs the checks
 * below and no more; another version has its addresses looked up again.
 *
 * A version that holds more than the snapshot sees, or less because of the
 * transaction's own changes, is forked into private memory and changed there
 * (shared_see.c).  The fork refers to the version's pages and so is good only
 * while that version is the published one; it is kept for calls that need the
 * same.
 *
 * The epoch section lasts from loading the root to the end of the call, over
 * the statements that filters and text search run in between (indexes of our
 * own tables, milliseconds): a section delays the reuse of memory and nothing
 * else, and the worker never waits for one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "error.h"
#include "guc.h"
#include "image/image.h"
#include "image/load.h"
#include "image/shared.h"
#include "image/table_vectors.h"
#include "shm/attach.h"
#include "shm/capture.h"
#include "shm/stop.h"

#define MOST_HANDLES	64

/* what a fork was made of */
typedef struct ForkKey
{
	uint64		sequence;		/* of the version */
	uint64		own_stamp;
	uint64		own_count;
	uint32		before_cid;
	uint32		excluded;		/* how many; which: Handle.fork_excluded */
} ForkKey;

typedef struct Handle
{
	GmImage		image;			/* first: what callers see */
	dlist_node	node;			/* the last used first */
	MemoryContext context;		/* of everything but the graphs' own memory */
	uint64		generation;
	GmArea	   *area;			/* of the open call */
	GmRef		root;
	uint64		sequence;
	GmMem	   *mem;
	GmGraph    *graph;
	GmMem	   *fork_mem;
	GmGraph    *fork;
	ForkKey		fork_key;
	GmExcluded *fork_excluded;
	GmGraph    *described;		/* what image.spaces describes */
	int			spaces_room;
	int			users;			/* 0 or 1 */
} Handle;

static dlist_head handles = DLIST_STATIC_INIT(handles);
static int	handle_count;

static void
drop_fork(Handle *h)
{
	if (h->described == h->fork)
		h->described = NULL;
	gm_graph_destroy(h->fork);
	gm_mem_destroy(h->fork_mem);
	if (h->fork_excluded != NULL)
		pfree(h->fork_excluded);
	h->fork = NULL;
	h->fork_mem = NULL;
	h->fork_excluded = NULL;
}

static bool
fork_fits(const Handle *h, const ForkKey *key, const GmSight *sight)
{
	return h->fork != NULL && memcmp(key, &h->fork_key, sizeof(*key)) == 0 &&
		(key->excluded == 0 || memcmp(sight->excluded, h->fork_excluded,
									  key->excluded * sizeof(GmExcluded)) == 0);
}

static void
drop_handle(Handle *h)
{
	dlist_delete(&h->node);
	handle_count--;
	drop_fork(h);
	gm_graph_destroy(h->graph);
	gm_mem_destroy(h->mem);
	MemoryContextDelete(h->context);
}

/* handles of another generation refer to memory that may be unmapped */
static Handle *
find_handle(uint64 generation, int32_t graph_id)
{
	dlist_mutable_iter iter;
	Handle	   *found = NULL;

	dlist_foreach_modify(iter, &handles)
	{
		Handle	   *h = dlist_container(Handle, node, iter.cur);

		if (h->users > 0)
			continue;
		if (h->generation != generation)
			drop_handle(h);
		else if (h->image.graph_id == graph_id)
		{
			found = h;
			break;
		}
	}
	if (found != NULL)
		dlist_move_head(&handles, &found->node);
	return found;
}

static Handle *
make_handle(uint64 generation, int32_t graph_id)
{
	MemoryContext context;
	Handle	   *h;

	if (handle_count >= MOST_HANDLES)
	{
		dlist_iter	iter;

		dlist_reverse_foreach(iter, &handles)
		{
			h = dlist_container(Handle, node, iter.cur);
			if (h->users > 0)
				continue;
			drop_handle(h);
			break;
		}
	}
	context = AllocSetContextCreate(TopMemoryContext, "graphmem shared image",
									ALLOCSET_SMALL_SIZES);
	h = MemoryContextAllocZero(context, sizeof(Handle));
	h->context = context;
	h->generation = generation;
	h->image.graph_id = graph_id;
	h->image.shared = true;
	dlist_push_head(&handles, &h->node);
	handle_count++;
	return h;
}

/*
 * Names of graphs.  The worker counts changes of the table graphs that it has
 * passed; what was looked up since the last one holds, if the snapshot it was
 * looked up with was not an old one.
 */
typedef struct NameEntry
{
	uint64		generation;
	uint64		changes;
	int32_t		graph_id;
	char		name[FLEXIBLE_ARRAY_MEMBER];
} NameEntry;

#define NAME_ENTRIES	1024

static NameEntry *names[NAME_ENTRIES];	/* by hash; most sessions ask for few */

static bool
is_newest(Snapshot snapshot)
{
	Snapshot	latest;

	if (IsInParallelMode())
		return false;			/* none may be taken */
	latest = GetLatestSnapshot();
	return latest->xmin == snapshot->xmin && latest->xmax == snapshot->xmax &&
		latest->xcnt == snapshot->xcnt;
}

static NameEntry **
place_of_name(const char *name, size_t length)
{
	return &names[hash_bytes((const unsigned char *) name, length) % NAME_ENTRIES];
}

/* 0: there is no such graph */
static int32_t
find_graph_id(GmArea *area, const char *name, Snapshot snapshot)
{
	uint64		changes = atomic_load(&area->ar_names_changed);
	size_t		length = strlen(name);
	NameEntry **place = place_of_name(name, length);
	NameEntry  *entry = *place;
	int32_t		graph_id;

	if (gm_likely(entry != NULL && entry->generation == area->ar_generation &&
				  entry->changes == changes && strcmp(entry->name, name) == 0))
		return entry->graph_id;
	SPI_connect();
	graph_id = gm_load_graph_id(name);
	SPI_finish();
	if (graph_id != 0 && is_newest(snapshot))
	{
		NameEntry  *known = MemoryContextAlloc(TopMemoryContext,
											   offsetof(NameEntry, name) + length + 1);

		known->generation = area->ar_generation;
		known->changes = changes;
		known->graph_id = graph_id;
		memcpy(known->name, name, length + 1);
		if (entry != NULL)
			pfree(entry);
		*place = known;
	}
	return graph_id;
}

/*
 * Whether the transaction may read shared images at all.
 */
static const char *
transaction_forbids(Snapshot snapshot)
{
	if (!gm_guc_shared_image)
		return "graphmem.shared_image is off";
	if (RecoveryInProgress() || snapshot->takenDuringRecovery)
		return "the server is a standby";
	if (snapshot->snapshot_type != SNAPSHOT_MVCC)
		return "not an ordinary snapshot";
	if (IsolationIsSerializable() && !(XactReadOnly && XactDeferrable))
		return "a SERIALIZABLE transaction's reads leave locks";
	return NULL;
}

/*
 * The image's spaces, as the graph at hand has them.  A version that did not
 * change them has them at the same places with the same names.
 */
static void
describe_spaces(Handle *h, GmGraph *graph)
{
	GmImage    *image = &h->image;
	int			n = (int) gm_graph_spaces(graph);
	MemoryContext old = MemoryContextSwitchTo(h->context);

	if (n > h->spaces_room)
	{
		GmSpaceInfo *spaces = palloc0(n * sizeof(GmSpaceInfo));

		if (image->spaces != NULL)
		{
			memcpy(spaces, image->spaces, h->spaces_room * sizeof(GmSpaceInfo));
			pfree(image->spaces);
		}
		image->spaces = spaces;
		h->spaces_room = n;
	}
	for (int i = 0; i < n; i++)
	{
		const GmGraphSpace *space = gm_graph_space_info(graph, (uint32_t) i);
		const GmString *name = gm_graph_string(graph, space->name);
		GmSpaceInfo *info = &image->spaces[i];

		info->space = gm_graph_space(graph, (uint32_t) i);
		if (info->space == NULL)
			gm_error_check(GM_NO_MEMORY, "attaching a graph");
		gm_space_set_table(info->space, gm_table_of_space(space->space_id));
		if (space->unread)
			info->space = NULL;
		info->computed = space->computed;
		info->computing = space->computing;
		if (info->name != NULL && info->space_id == space->space_id &&
			strlen(info->name) == name->length &&
			memcmp(info->name, name->bytes, name->length) == 0)
			continue;
		if (info->name != NULL)
			pfree(info->name);
		info->name = NULL;
		info->name = pnstrdup(name->bytes, name->length);
		info->space_id = space->space_id;
		info->target = space->target;
		info->metric = (GmMetric) space->metric;
		info->dim = space->dim;
	}
	image->n_spaces = n;
	image->graph = graph;
	h->described = graph;
	MemoryContextSwitchTo(old);
}

/* memory that a version left is used again, for a root too */
static uint64
sequence_at(const Handle *h, GmRef root)
{
	return ((const GmGraphRoot *) gm_mem_ptr(h->mem, root))->gr_sequence;
}

/* make the handle show a version; inside the section */
static void
attach_version(Handle *h, GmRef root)
{
	h->described = NULL;
	drop_fork(h);
	if (h->graph == NULL)
	{
		if (h->mem == NULL)
			gm_error_check(gm_mem_attach(gm_attach_base(), &h->mem), "attaching a graph");
		gm_error_check(gm_graph_attach(h->mem, root, &h->graph), "attaching a graph");
	}
	else
	{
		h->root = 0;
		gm_error_check(gm_graph_reattach(h->graph, root), "attaching a graph");
	}
	h->root = root;
	h->sequence = h->graph->root->gr_sequence;
}

static const char *
make_fork(Handle *h, const ForkKey *key, const GmSight *sight)
{
	const char *why;

	drop_fork(h);
	gm_error_check(gm_mem_fork(gm_attach_base(), gm_image_memory_limit(), NULL, &h->fork_mem),
				   "adding own changes");
	gm_error_check(gm_graph_attach(h->fork_mem, h->root, &h->fork), "adding own changes");

	/* whoever leaves by an error leaves a fork that no key fits */
	memset(&h->fork_key, 0, sizeof(h->fork_key));
	why = gm_lay_over(h->area, h->fork, h->image.graph_id, sight, key->before_cid);
	if (why != NULL)
	{
		drop_fork(h);
		return why;
	}
	if (sight->count > 0)
	{
		size_t		bytes = sight->count * sizeof(GmExcluded);

		h->fork_excluded = MemoryContextAlloc(h->context, bytes);
		memcpy(h->fork_excluded, sight->excluded, bytes);
	}
	h->fork_key = *key;
	return NULL;
}

/*
 * Inside the section: the graph that the snapshot sees.  *again: the version
 * was taken away in between.
 */
static const char *
choose_graph(Handle *h, GmGraphEntry *entry, Snapshot snapshot, const GmOwnChanges *own,
			 bool *again)
{
	GmRef		root = atomic_load_explicit(&entry->gr_root, memory_order_acquire);
	bool		own_here = own->count > 0 &&
		gm_own_touches(snapshot->curcid, h->image.graph_id);
	GmSight		sight;
	ForkKey		key;
	const char *why;

	*again = root == 0 || atomic_load(&entry->gr_id) != h->image.graph_id;
	if (*again)
		return NULL;
	if (!gm_attach_extents(h->area))
		return "its memory cannot be mapped";
	if (h->root != root || sequence_at(h, root) != h->sequence)
		attach_version(h, root);
	GM_STOP(reader_entered);
	why = gm_see(h->area, h->image.graph_id, h->graph, snapshot, &sight);
	if (why != NULL)
		return why;
	if (gm_likely(sight.count == 0 && !own_here))
	{
		if (h->described != h->graph)
			describe_spaces(h, h->graph);
		return NULL;
	}
	memset(&key, 0, sizeof(key));
	key.sequence = h->sequence;
	if (own_here)
	{
		key.own_stamp = own->stamp;
		key.own_count = own->count;
		key.before_cid = snapshot->curcid;
	}
	key.excluded = (uint32) sight.count;
	if (!fork_fits(h, &key, &sight))
	{
		why = make_fork(h, &key, &sight);
		if (why != NULL)
			return why;
	}
	if (h->described != h->fork)
		describe_spaces(h, h->fork);
	return NULL;
}

/* the next statement's snapshot will do, where this one's would need a private image */
static void
fail_if_newer(GmGraphEntry *entry, const char *name)
{
	if (IsolationUsesXactSnapshot() || atomic_load(&entry->gr_bytes) < gm_image_memory_limit())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("graph \"%s\" in memory is newer than the query", name),
			 errdetail("It was loaded, or changed much, after the query had begun."),
			 errhint("Repeat the query, or raise \"graphmem.private_memory_limit\" to let the session load the graph for itself.")));
}

/* one attempt; *again: something moved under it */
static const char *
open_graph(GmWait *wait, const char *name, Snapshot snapshot, const GmOwnChanges *own,
		   Handle **opened, bool *again)
{
	GmGraphEntry *entry;
	GmArea	   *area;
	int32_t		graph_id;
	Handle	   *h;
	const char *why;

	*again = false;
	why = gm_wait_area(wait);
	if (why == NULL)
		why = gm_wait_identity(wait);
	if (why == NULL)
		why = gm_wait_changes(wait, 0, snapshot);
	if (why != NULL)
		return why;
	graph_id = find_graph_id(wait->area, name, snapshot);
	if (graph_id == 0)
		return "the graph does not exist";
	why = gm_wait_graph(wait, graph_id, name, &entry);
	if (why == NULL)
		why = gm_wait_changes(wait, graph_id, snapshot);
	if (why != NULL)
		return why;
	gm_wait_end();
	area = wait->area;
	atomic_store_explicit(&entry->gr_used, (uint64) GetCurrentStatementStartTimestamp(),
						  memory_order_relaxed);
	h = find_handle(area->ar_generation, graph_id);
	if (h == NULL)
		h = make_handle(area->ar_generation, graph_id);
	h->area = area;
	h->users = 1;
	gm_read_enter(area);
	why = choose_graph(h, entry, snapshot, own, again);
	if (why != NULL || *again)
	{
		h->users = 0;
		gm_read_leave(area);
		if (gm_see_was_late(why))
			fail_if_newer(entry, name);
		return why;
	}
	*opened = h;
	return NULL;
}

GmImage *
gm_shared_open(const char *name, const char **why)
{
	Snapshot	snapshot = GetActiveSnapshot();
	GmWait		wait;
	GmOwnChanges own;
	Handle	   *h = NULL;
	bool		again;

	*why = transaction_forbids(snapshot);
	if (*why != NULL || !gm_image_privileged(why))
		return NULL;
	gm_own_changes(snapshot->curcid, &own);
	if (own.unknown || own.graphs)
	{
		*why = own.graphs ? "this transaction changes the list of graphs" :
			"this transaction's changes are too many or not known one by one";
		return NULL;
	}
	memset(&wait, 0, sizeof(wait));
	wait.db = gm_control_database(true);
	if (wait.db == NULL)
	{
		*why = "no place in the control structure";
		return NULL;
	}
	(void) gm_ensure_worker(wait.db);
	do
	{
		CHECK_FOR_INTERRUPTS();
		*why = open_graph(&wait, name, snapshot, &own, &h, &again);
	} while (*why == NULL && again);
	gm_wait_end();
	if (*why != NULL)
		return NULL;
	h->image.graph_name = NULL;
	h->image.now = GetCurrentStatementStartTimestamp();
	h->image.scratch = gm_image_scratch();
	return &h->image;
}

/*
 * A name or a graph that this session has not asked for yet is left alone.
 * Whether the name still means that graph does not matter to an estimate.
 */
bool
gm_shared_peek(const char *name, GmPeek look, void *arg)
{
	NameEntry  *entry = *place_of_name(name, strlen(name));
	GmDatabase *db;
	GmArea	   *area;
	GmGraphEntry *graph;
	Handle	   *h;
	GmRef		root;
	bool		seen;
	const char *why;

	if (entry == NULL || strcmp(entry->name, name) != 0 || !gm_image_privileged(&why))
		return false;
	area = gm_attach(&db);
	if (area == NULL || area->ar_generation != entry->generation)
		return false;
	graph = gm_area_find(area, entry->graph_id);
	h = find_handle(area->ar_generation, entry->graph_id);
	if (graph == NULL || h == NULL || h->graph == NULL)
		return false;
	gm_read_enter(area);
	root = atomic_load_explicit(&graph->gr_root, memory_order_acquire);
	seen = root != 0 && atomic_load(&graph->gr_id) == entry->graph_id && gm_attach_extents(area);
	if (seen)
	{
		if (h->root != root || sequence_at(h, root) != h->sequence)
			attach_version(h, root);
		look(h->graph, h->generation, h->image.graph_id, arg);
	}
	gm_read_leave(area);
	return seen;
}

bool
gm_shared_is_overlay(const GmImage *image)
{
	const Handle *h = (const Handle *) image;

	return image->graph == h->fork;
}

GmSpaceEntry *
gm_shared_space(const GmImage *image, int32_t space_id)
{
	return gm_area_make_space(((const Handle *) image)->area, space_id, image->graph_id);
}

/*
 * A computed space that a later transaction dropped: its rows are where the
 * snapshot sees them.
 */
void
gm_shared_load_space(GmImage *image, GmSpaceInfo *info)
{
	Handle	   *h = (Handle *) image;

	Assert(image->graph == h->fork);
	PG_TRY();
	{
		SPI_connect();
		gm_load_space(h->fork, h->fork_mem, info);
		SPI_finish();
	}
	PG_CATCH();
	{
		/* no key fits a fork that has half a space */
		gm_space_destroy(info->space);
		info->space = NULL;
		memset(&h->fork_key, 0, sizeof(h->fork_key));
		PG_RE_THROW();
	}
	PG_END_TRY();
	gm_graph_give_space(h->fork, info->space_id, info->space);
}

void
gm_shared_close(GmImage *image)
{
	Handle	   *h = (Handle *) image;

	Assert(h->users == 1);
	h->users = 0;
	gm_read_leave(h->area);
}

void
gm_shared_forget(GmImage *image)
{
	((Handle *) image)->users = 0;
}

/* forks belong to a transaction: their memory goes with it */
void
gm_shared_end_transaction(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &handles)
	{
		Handle	   *h = dlist_container(Handle, node, iter.cur);

		h->users = 0;
		if (h->fork != NULL)
			drop_fork(h);
	}
}
