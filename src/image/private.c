/*-------------------------------------------------------------------------
 *
 * private.c
 *	  Private images: loaded by the backend for itself, kept while they equal
 *	  what it would load again.
 *
 * An image is kept under a key of everything that decides which rows its
 * statements see: the role, row_security, the snapshot and, once the
 * transaction has an id, its own changes.  No transaction has completed
 * between two snapshots of the same completion count, so what they see of
 * others is the same; own changes end with another transaction id or a later
 * command id, and a rollback to a savepoint moves the completion count.
 * Where the snapshot carries no count (imported ones) or row security makes
 * policies part of the answer, an image serves one call; in a SERIALIZABLE
 * transaction it serves that transaction, whose reads must leave their locks.
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
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "error.h"
#include "guc.h"
#include "image/image.h"
#include "image/load.h"

#define FIRST_EXTENT	((size_t) 16 * 1024)

typedef struct Key
{
	Oid			role;
	bool		row_security;
	uint64		completion_count;
	TransactionId xmin;
	TransactionId xmax;
	FullTransactionId own_xid;
	CommandId	curcid;
	LocalTransactionId serializable;	/* the transaction, if it is */
} Key;

typedef struct Private
{
	GmImage		image;			/* first: what callers see */
	dlist_node	node;			/* in kept, newest first */
	Key			key;
	bool		kept;
	bool		reusable;
	int			pins;
	GmMem	   *mem;
	MemoryContext context;		/* names and this struct itself */
} Private;

static dlist_head kept = DLIST_STATIC_INIT(kept);
static GmScratch *scratch;

static void
fill_key(Key *key, bool *reusable)
{
	Snapshot	snapshot = GetActiveSnapshot();

	memset(key, 0, sizeof(*key));
	key->role = GetUserId();
	key->row_security = row_security;
	key->completion_count = snapshot->snapXactCompletionCount;
	key->xmin = snapshot->xmin;
	key->xmax = snapshot->xmax;
	key->own_xid = GetTopFullTransactionIdIfAny();
	if (FullTransactionIdIsValid(key->own_xid))
		key->curcid = snapshot->curcid;
	if (IsolationIsSerializable())
		key->serializable = gm_compat_lxid(MyProc);
	*reusable = snapshot->snapshot_type == SNAPSHOT_MVCC && key->completion_count != 0;
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

void
gm_image_reset(void)
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

static Private *
find_kept(const char *name, const Key *key)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &kept)
	{
		Private    *p = dlist_container(Private, node, iter.cur);

		if (memcmp(&p->key, key, sizeof(*key)) != 0)
			continue;
		if (strcmp(p->image.graph_name, name) == 0)
			return p;
	}
	return NULL;
}

/* what the newest snapshot has outlived will hardly be asked for again */
static void
drop_outdated(const Key *key)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &kept)
	{
		Private    *p = dlist_container(Private, node, iter.cur);

		if (memcmp(&p->key, key, sizeof(*key)) != 0)
			unkeep(p);
	}
}

static void
undefined_graph(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("graph \"%s\" does not exist", name),
			 errhint("Create it with graphmem.create_graph().")));
}

static size_t
memory_limit(void)
{
	return (size_t) gm_guc_private_memory_limit * 1024 * 1024;
}

/* what the kept images other than p leave of the limit */
static size_t
limit_beside_kept(const Private *p)
{
	size_t		others = kept_bytes() - (p->kept ? p->mem->charged : 0);

	return others < memory_limit() ? memory_limit() - others : 1;
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

/* the image of one graph, not kept yet; connected to SPI */
static Private *
load(const char *name, const Key *key, bool reusable)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "graphmem image",
												  ALLOCSET_SMALL_SIZES);
	Private    *p = MemoryContextAllocZero(context, sizeof(Private));
	GmMemOps	ops = {0};

	p->context = context;
	p->key = *key;
	p->reusable = reusable;
	p->image.graph_name = MemoryContextStrdup(context, name);
	ops.pressure = give_way;
	ops.arg = p;
	PG_TRY();
	{
		MemoryContext old;

		p->image.graph_id = gm_load_graph_id(name);
		if (p->image.graph_id == 0 && strcmp(name, "default") != 0)
			undefined_graph(name);
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
		destroy(p);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return p;
}

GmImage *
gm_image_open(const char *graph_name)
{
	const char *name = graph_name != NULL ? graph_name : gm_guc_graph;
	MemoryContext caller = CurrentMemoryContext;
	Key			key;
	bool		reusable;
	Private    *p;

	if (scratch == NULL)
		gm_error_check(gm_scratch_create(memory_limit(), &scratch), "preparing a query");
	scratch->limit = memory_limit();
	if (scratch->bytes > scratch->limit)
		gm_scratch_trim(scratch, scratch->limit);
	fill_key(&key, &reusable);
	p = reusable ? find_kept(name, &key) : NULL;
	if (p == NULL)
	{
		drop_outdated(&key);
		SPI_connect();
		p = load(name, &key, reusable);
		SPI_finish();
		if (p->reusable && !gm_load_row_security())
		{
			p->kept = true;
			dlist_push_head(&kept, &p->node);
		}
	}
	pin(p, caller);
	p->image.now = GetCurrentStatementStartTimestamp();
	p->image.scratch = scratch;
	return &p->image;
}

void
gm_image_load_space(GmImage *image, GmSpaceInfo *info)
{
	Private    *p = (Private *) image;

	if (info->space != NULL)
		return;
	p->mem->limit = limit_beside_kept(p);
	PG_TRY();
	{
		SPI_connect();
		gm_load_space(image->graph, p->mem, info);
		SPI_finish();
	}
	PG_CATCH();
	{
		/* half a space, and memory that only the whole image gives back */
		gm_space_destroy(info->space);
		info->space = NULL;
		unkeep(p);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

GmSpaceInfo *
gm_image_space(GmImage *image, const char *name, char target)
{
	GmSpaceInfo *found = NULL;
	int			candidates = 0;

	for (int i = 0; i < image->n_spaces; i++)
	{
		GmSpaceInfo *info = &image->spaces[i];

		if (strcmp(info->name, name != NULL ? name : "default") == 0)
		{
			if (target == 0 || info->target == target || name != NULL)
			{
				found = info;
				candidates = 1;
				break;
			}
		}
		else if (name == NULL && (target == 0 || info->target == target))
		{
			found = info;
			candidates++;
		}
	}
	if (name != NULL && found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("vector space \"%s\" does not exist", name),
				 errhint("Create it with graphmem.create_vector_space().")));
	if (candidates != 1)
		return NULL;
	gm_image_load_space(image, found);
	return found;
}
