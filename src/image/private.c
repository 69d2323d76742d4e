/*-------------------------------------------------------------------------
 *
 * private.c
 *	  Private images: loaded by the backend for itself, kept while they equal
 *	  what it would load again.
 *
 * An image is kept under a key of everything that decides which rows its
 * statements see: the role, row_security, the snapshot and, once the
 * transaction has an id, its own changes.  Two snapshots with the same xmin,
 * xmax and running transactions see the same of others, since what has ended
 * does not change any more.  (The server's own completion count would say so
 * in one comparison, but is not kept in an active snapshot.)  Own changes come
 * with a new transaction id or a later command id; a rollback to a savepoint
 * has neither and is counted here.  Under row security, where policies decide
 * too, an image serves one call; in a SERIALIZABLE transaction it serves that
 * transaction, whose reads must leave their locks.
 *
 * Privileges are the ones of the moment, not of the snapshot: when the tables,
 * roles or memberships change, every kept image is loaded anew, which asks
 * for them again.
 *
 * Images are counted: one stays until the memory context of every call that
 * opened it is reset, also when a function that such a call invokes (a policy,
 * an index expression) opens others.
 *
 * Memory	kept images and the one being loaded together stay within
 *			graphmem.private_memory_limit; kept ones give way, oldest first
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "error.h"
#include "guc.h"
#include "image/call.h"
#include "image/image.h"
#include "image/load.h"

#define FIRST_EXTENT	((size_t) 16 * 1024)

typedef struct Key
{
	Oid			role;
	TransactionId xmin;
	TransactionId xmax;
	uint32		running;		/* length of the array that goes with the key */
	uint32		running_sub;	/* of it, subtransactions */
	CommandId	curcid;
	FullTransactionId own_xid;
	uint64		rollbacks;		/* to savepoints, so far */
	LocalTransactionId serializable;	/* the transaction, if it is */
	bool		row_security;
	bool		suboverflowed;
	bool		in_recovery;
} Key;

typedef struct Private
{
	GmImage		image;			/* first: what callers see */
	dlist_node	node;			/* in kept, newest first */
	Key			key;
	TransactionId *running;		/* in progress for the snapshot */
	bool		kept;
	int			pins;
	GmMem	   *mem;
	MemoryContext context;		/* names and this struct itself */
} Private;

static dlist_head kept = DLIST_STATIC_INIT(kept);
static bool registered;
static uint64 catalog_changes;	/* when the kept ones were loaded */

static uint64 rollbacks;

static void
count_rollback(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		rollbacks++;
}

static void
fill_key(Key *key, Snapshot snapshot)
{
	memset(key, 0, sizeof(*key));
	key->role = GetUserId();
	key->row_security = row_security;
	key->xmin = snapshot->xmin;
	key->xmax = snapshot->xmax;
	key->running = snapshot->xcnt + snapshot->subxcnt;
	key->running_sub = snapshot->subxcnt;
	key->suboverflowed = snapshot->suboverflowed;
	key->in_recovery = snapshot->takenDuringRecovery;
	key->own_xid = GetTopFullTransactionIdIfAny();
	if (FullTransactionIdIsValid(key->own_xid))
	{
		key->curcid = snapshot->curcid;
		key->rollbacks = rollbacks;
	}
	if (IsolationIsSerializable())
		key->serializable = gm_compat_lxid(MyProc);
}

static bool
fits(const Private *p, const Key *key, Snapshot snapshot)
{
	return memcmp(&p->key, key, sizeof(*key)) == 0 &&
		memcmp(p->running, snapshot->xip, snapshot->xcnt * sizeof(TransactionId)) == 0 &&
		memcmp(p->running + snapshot->xcnt, snapshot->subxip,
			   snapshot->subxcnt * sizeof(TransactionId)) == 0;
}

static void
destroy(Private *p)
{
	for (int i = 0; i < p->image.n_spaces; i++)
		gm_space_destroy(p->image.spaces[i].space);
	gm_graph_destroy(p->image.graph);
	gm_mem_destroy(p->mem);
	MemoryContextDelete(p->context);
}

/* no later call gets it; gone once the last pin is */
static void
unkeep(Private *p)
{
	if (!p->kept)
		return;
	p->kept = false;
	dlist_delete(&p->node);
	if (p->pins == 0)
		destroy(p);
}

static void
unpin(void *arg)
{
	Private    *p = arg;

	Assert(p->pins > 0);
	if (--p->pins == 0 && !p->kept)
		destroy(p);
}

static void
pin(Private *p, MemoryContext context)
{
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(*callback));

	callback->func = unpin;
	callback->arg = p;
	MemoryContextRegisterResetCallback(context, callback);
	p->pins++;
}

static void
unkeep_all(void)
{
	while (!dlist_is_empty(&kept))
		unkeep(dlist_container(Private, node, dlist_head_node(&kept)));
}

static size_t
kept_bytes(void)
{
	dlist_iter	iter;
	size_t		bytes = 0;

	dlist_foreach(iter, &kept)
		bytes += dlist_container(Private, node, iter.cur)->mem->charged;
	return bytes;
}

/*
 * The kept image of this graph.  What the snapshot has outlived will hardly be
 * asked for again and goes.
 */
static Private *
find_kept(const char *name, const Key *key, Snapshot snapshot)
{
	Private    *found = NULL;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &kept)
	{
		Private    *p = dlist_container(Private, node, iter.cur);

		if (!fits(p, key, snapshot))
			unkeep(p);
		else if (strcmp(p->image.graph_name, name) == 0)
			found = p;
	}
	return found;
}

/* what the kept images other than p leave of the limit */
static size_t
limit_beside_kept(const Private *p)
{
	size_t		others = kept_bytes() - (p->kept ? p->mem->charged : 0);

	return others < gm_image_memory_limit() ? gm_image_memory_limit() - others : 1;
}

/* GmMemOps.pressure: the oldest kept image gives way to the one that grows */
static bool
give_way(void *arg, size_t bytes)
{
	Private    *p = arg;
	dlist_iter	iter;

	dlist_reverse_foreach(iter, &kept)
	{
		Private    *other = dlist_container(Private, node, iter.cur);

		if (other == p)
			continue;
		unkeep(other);
		p->mem->limit = limit_beside_kept(p);
		return true;
	}
	return false;
}

static void
show_progress(GmTable table, uint64 rows)
{
	if (table == GM_TABLE_NONE)
		gm_call_look();
	else
		gm_call_phase(GM_PHASE_LOADING, rows, 0);
}

/* the image of one graph, not kept yet; connected to SPI */
static Private *
load(const char *name, const Key *key, Snapshot snapshot)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "graphmem image",
												  ALLOCSET_SMALL_SIZES);
	Private    *p = MemoryContextAllocZero(context, sizeof(Private));
	GmMemOps	ops = {0};

	p->context = context;
	memcpy(&p->key, key, sizeof(*key));
	p->running = MemoryContextAlloc(context, (key->running + 1) * sizeof(TransactionId));
	memcpy(p->running, snapshot->xip, snapshot->xcnt * sizeof(TransactionId));
	memcpy(p->running + snapshot->xcnt, snapshot->subxip,
		   snapshot->subxcnt * sizeof(TransactionId));
	p->image.graph_name = MemoryContextStrdup(context, name);
	ops.pressure = give_way;
	ops.arg = p;
	gm_load_progress = show_progress;
	PG_TRY();
	{
		MemoryContext old;

		p->image.graph_id = gm_load_graph_id(name);
		if (p->image.graph_id == 0 && strcmp(name, "default") != 0)
			gm_image_undefined_graph(name);
		gm_error_check(gm_mem_create(FIRST_EXTENT, 1, &ops, &p->mem), "loading a graph");
		p->mem->limit = limit_beside_kept(p);
		p->image.now = GetCurrentStatementStartTimestamp();
		gm_load_graph(p->image.graph_id, p->image.now, p->mem, &p->image.graph);
		old = MemoryContextSwitchTo(context);
		p->image.spaces = gm_load_spaces(p->image.graph_id, &p->image.n_spaces);
		MemoryContextSwitchTo(old);
	}
	PG_CATCH();
	{
		gm_load_progress = NULL;
		destroy(p);
		PG_RE_THROW();
	}
	PG_END_TRY();
	gm_load_progress = NULL;
	return p;
}

GmImage *
gm_private_open(const char *name, MemoryContext caller)
{
	Snapshot	snapshot = GetActiveSnapshot();
	Key			key;
	Private    *p;

	if (!registered)
	{
		RegisterSubXactCallback(count_rollback, NULL);
		registered = true;
	}
	if (catalog_changes != gm_image_catalog_changes())
	{
		unkeep_all();
		catalog_changes = gm_image_catalog_changes();
	}
	fill_key(&key, snapshot);
	p = find_kept(name, &key, snapshot);
	if (p == NULL)
	{
		int			level = NewGUCNestLevel();

		/*
		 * Rows in the order of the table save sorting them, and one pass over
		 * plain columns is over before compiled code would pay.
		 */
		(void) set_config_option("synchronize_seqscans", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		SPI_connect();
		p = load(name, &key, snapshot);
		if (!gm_load_row_security())
		{
			p->kept = true;
			dlist_push_head(&kept, &p->node);
		}
		SPI_finish();
		AtEOXact_GUC(true, level);
	}
	pin(p, caller);
	p->image.now = GetCurrentStatementStartTimestamp();
	p->image.scratch = gm_image_scratch();
	return &p->image;
}

void
gm_private_load_space(GmImage *image, GmSpaceInfo *info)
{
	Private    *p = (Private *) image;

	p->mem->limit = limit_beside_kept(p);
	gm_load_progress = show_progress;
	PG_TRY();
	{
		SPI_connect();
		gm_load_space(image->graph, p->mem, info);
		SPI_finish();
	}
	PG_CATCH();
	{
		gm_load_progress = NULL;

		/* half a space, and memory that only the whole image gives back */
		gm_space_destroy(info->space);
		info->space = NULL;
		unkeep(p);
		PG_RE_THROW();
	}
	PG_END_TRY();
	gm_load_progress = NULL;
}

size_t
gm_private_bytes(void)
{
	return kept_bytes();
}
