/*-------------------------------------------------------------------------
 *
 * open.c
 *	  Which image answers a call: shared, laid over, or private.
 *
 * The shared image is asked first; whatever speaks against it is a reason in
 * a few words, shown in stat_backend, and a private image answers.  An error
 * comes only where the shared image is late and no private one could take its
 * place.
 *
 * Privileges are the caller's: without SELECT on every table, or where row
 * security hides rows, a private image is loaded by ordinary statements,
 * which raise whatever error is due.  What was found out is kept until the
 * catalogs change: nine questions a call would be much of a small call.
 *
 * Open images form a stack.  A call closes what it opened when it returns;
 * after an error the end of the (sub)transaction does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "portability/instr_time.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "error.h"
#include "guc.h"
#include "image/call.h"
#include "image/fetch.h"
#include "image/image.h"
#include "image/load.h"
#include "image/shared.h"
#include "image/stats.h"

#define REST_MOST_US	20000

GmBackendStats gm_backend_stats;

static GmScratch *scratch;
static GmHnswWork *work;

/* what of it a session keeps that goes idle */
#define WORK_KEPT		((size_t) 4 << 20)

/*
 * Privileges
 */
typedef struct Privileges
{
	bool		known;
	Oid			role;
	bool		row_security;	/* the setting */
	uint64		changes;
	const char *why;			/* NULL: may read everything */
} Privileges;

static Privileges privileges;
static uint64 catalog_changes;

static void
relation_changed(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || gm_load_reads(relid))
		catalog_changes++;
}

static void
catalog_changed(Datum arg, int cache_id, uint32 hash)
{
	catalog_changes++;
}

uint64
gm_image_catalog_changes(void)
{
	return catalog_changes;
}

static const char no_table[] = "a table of the extension is missing";

static const char *
missing_privilege(void)
{
	Oid			schema = get_namespace_oid("graphmem", false);
	Oid			role = GetUserId();

	if (!gm_compat_schema_usage(schema, role))
		return "no privilege on the schema";
	if (gm_load_row_security())
		return "row security";
	for (GmTable table = GM_TABLE_NONE + 1; table < GM_TABLES; table++)
	{
		Oid			relid = gm_row_relid(table);

		if (!OidIsValid(relid))
			return no_table;
		if (pg_class_aclcheck(relid, role, ACL_SELECT) != ACLCHECK_OK)
			return "no privilege on a table";
	}
	return NULL;
}

bool
gm_image_privileged(const char **why)
{
	Oid			role = GetUserId();

	if (!privileges.known || privileges.changes != catalog_changes ||
		privileges.role != role || privileges.row_security != row_security)
	{
		privileges.known = false;
		privileges.changes = catalog_changes;
		privileges.role = role;
		privileges.row_security = row_security;
		privileges.why = missing_privilege();

		/* nobody tells when a table that is not known comes back */
		privileges.known = privileges.why != no_table;
	}
	*why = privileges.why;
	return privileges.why == NULL;
}

/*
 * The stack of open images
 */
typedef struct Opened
{
	GmImage    *image;
	int			level;			/* of the subtransaction */
} Opened;

static Opened *opened;
static int	opened_count;
static int	opened_room;

static void
forget_from(int level)
{
	while (opened_count > 0 && opened[opened_count - 1].level >= level)
		gm_shared_forget(opened[--opened_count].image);
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	gm_wait_end();
	forget_from(GetCurrentTransactionNestLevel());
}

static void
drop_work(void)
{
	gm_hnsw_work_destroy(work);
	work = NULL;
}

/*
 * What a large query touched is not kept by a session that goes idle.  That
 * costs as much as there was to give back, and a hundredth of the time at most
 * where there is always little.
 */
static void
rest(void)
{
	static uint64 again;		/* not before, in microseconds */
	instr_time	begin;
	instr_time	end;
	uint64		cost;

	INSTR_TIME_SET_CURRENT(begin);
	if (INSTR_TIME_GET_MICROSEC(begin) < again)
		return;
	gm_scratch_rest(scratch);
	if (work != NULL && gm_hnsw_work_bytes(work) > WORK_KEPT)
		drop_work();
	INSTR_TIME_SET_CURRENT(end);
	cost = INSTR_TIME_GET_MICROSEC(end) - INSTR_TIME_GET_MICROSEC(begin);
	again = INSTR_TIME_GET_MICROSEC(end) + Min(cost * 100 + 100, REST_MOST_US);
}

static void
transaction_ends(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
	{
		gm_wait_end();
		forget_from(0);
		gm_shared_end_transaction();
		rest();
	}
}

static void
push(GmImage *image)
{
	opened[opened_count].image = image;
	opened[opened_count].level = GetCurrentTransactionNestLevel();
	opened_count++;
}

static void
make_room(void)
{
	if (opened_count < opened_room)
		return;
	if (opened == NULL)
	{
		opened = MemoryContextAlloc(TopMemoryContext, 8 * sizeof(Opened));
		opened_room = 8;
		return;
	}
	opened = repalloc(opened, opened_room * 2 * sizeof(Opened));
	opened_room *= 2;
}

static uint64
records_looked_at(void)
{
	return scratch == NULL ? 0 : scratch->records;
}

/* one that returns no set returns one row */
static uint64
rows_returned(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;

	if (info == NULL || !IsA(info, ReturnSetInfo) || info->setResult == NULL)
		return 1;
	return (uint64) tuplestore_tuple_count(info->setResult);
}

Datum
gm_image_call(FunctionCallInfo fcinfo, PGFunction body, GmCall call)
{
	int			before = opened_count;
	bool		outermost = gm_call_begin(call);
	uint64		records = records_looked_at();
	Datum		result = body(fcinfo);

	while (opened_count > before)
		gm_shared_close(opened[--opened_count].image);
	if (outermost)
		gm_call_end(rows_returned(fcinfo), records_looked_at() - records);
	return result;
}

/*
 * Memory
 */
size_t
gm_image_memory_limit(void)
{
	return (size_t) gm_guc_private_memory_limit * 1024 * 1024;
}

GmScratch *
gm_image_scratch(void)
{
	scratch->limit = gm_image_memory_limit();
	if (scratch->bytes > scratch->limit)
		gm_scratch_trim(scratch, scratch->limit);
	return scratch;
}

GmHnswWork *
gm_image_work(void)
{
	if (work != NULL && gm_hnsw_work_bytes(work) > gm_image_memory_limit())
		drop_work();
	if (work == NULL)
		work = gm_hnsw_work_create();
	if (work == NULL)
		gm_error_check(GM_NO_MEMORY, "preparing a query");
	return work;
}

static void
prepare(void)
{
	if (scratch == NULL)
	{
		gm_error_check(gm_scratch_create(gm_image_memory_limit(), &scratch),
					   "preparing a query");
		RegisterSubXactCallback(subtransaction_ends, NULL);
		RegisterXactCallback(transaction_ends, NULL);
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMMEMROLE, catalog_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_changed, (Datum) 0);
	}

	/* opening a table would do so, but a kept or shared image opens none */
	AcceptInvalidationMessages();
	make_room();
}

void
gm_image_undefined_graph(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("graph \"%s\" does not exist", gm_error_quote(name, strlen(name))),
			 errhint("Create it with graphmem.create_graph().")));
}

static const char *
graph_or_default(const char *graph_name)
{
	return graph_name != NULL ? graph_name : gm_guc_graph;
}

static void
count_path(GmImage *image, const char *name, GmAnswerPath path, const char *why)
{
	GmBackendStats *s = &gm_backend_stats;

	s->path = path;
	s->reason = why;
	s->graph_id = image->graph_id;
	strlcpy(s->graph, name, sizeof(s->graph));
	switch (path)
	{
		case GM_ANSWER_SHARED:
			s->shared++;
			break;
		case GM_ANSWER_OVERLAY:
			s->overlay++;
			break;
		case GM_ANSWER_PRIVATE:
			s->private_++;
			break;
		case GM_ANSWER_NONE:
			break;
	}
}

GmImage *
gm_image_open_shared(const char *graph_name, const char **why)
{
	GmImage    *image;

	prepare();
	image = gm_shared_open(graph_or_default(graph_name), why);
	if (image != NULL)
		push(image);
	return image;
}

GmImage *
gm_image_open_private(const char *graph_name)
{
	MemoryContext caller = CurrentMemoryContext;

	prepare();
	return gm_private_open(graph_or_default(graph_name), caller);
}

GmImage *
gm_image_open(const char *graph_name)
{
	const char *name = graph_or_default(graph_name);
	MemoryContext caller = CurrentMemoryContext;
	const char *why = NULL;
	GmImage    *image;

	prepare();
	image = gm_shared_open(name, &why);
	if (image != NULL)
	{
		push(image);
		count_path(image, name,
				   gm_shared_is_overlay(image) ? GM_ANSWER_OVERLAY : GM_ANSWER_SHARED, NULL);
		return image;
	}
	image = gm_private_open(name, caller);
	count_path(image, name, GM_ANSWER_PRIVATE, why);
	return image;
}

/*
 * Vector spaces
 */
void
gm_image_load_space(GmImage *image, GmSpaceInfo *info)
{
	if (gm_likely(info->space != NULL))
		return;
	if (image->shared)
		gm_shared_load_space(image, info);
	else
		gm_private_load_space(image, info);
}

void
gm_image_searched(const GmImage *image, const GmSpaceInfo *info, const GmSpaceReport *report)
{
	GmSpaceEntry *entry = image->shared ? gm_shared_space(image, info->space_id) : NULL;

	if (entry == NULL)
		return;
	atomic_fetch_add_explicit(&entry->se_searches, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(report->exact ? &entry->se_exact : &entry->se_index, 1,
							  memory_order_relaxed);
	if (report->fell_back)
		atomic_fetch_add_explicit(&entry->se_fallbacks, 1, memory_order_relaxed);
}

/* the one called preferred, else the only one; NULL: neither */
static GmSpaceInfo *
choose_space(GmImage *image, bool computed, char target, uint32_t dim, const char *preferred)
{
	GmSpaceInfo *found = NULL;
	int			candidates = 0;

	for (int i = 0; i < image->n_spaces; i++)
	{
		GmSpaceInfo *info = &image->spaces[i];

		if (info->computed != computed || info->computing || (target != 0 && info->target != target) ||
			(dim != 0 && info->dim != dim))
			continue;
		found = info;
		candidates++;
		if (strcmp(info->name, preferred) == 0)
		{
			candidates = 1;
			break;
		}
	}
	if (candidates != 1)
		return NULL;
	gm_image_load_space(image, found);
	return found;
}

GmSpaceInfo *
gm_image_space_of(GmImage *image, char target, uint32_t dim)
{
	return choose_space(image, false, target, dim, "default");
}

GmSpaceInfo *
gm_image_topology(GmImage *image)
{
	return choose_space(image, true, 'e', 0, "topology");
}

GmSpaceInfo *
gm_image_find_space(const GmImage *image, int32_t space_id)
{
	for (int i = 0; i < image->n_spaces; i++)
		if (image->spaces[i].space_id == space_id)
			return &image->spaces[i];
	return NULL;
}

GmSpaceInfo *
gm_image_space(GmImage *image, const char *name, char target)
{
	if (name == NULL)
		return gm_image_space_of(image, target, 0);
	for (int i = 0; i < image->n_spaces; i++)
		if (strcmp(image->spaces[i].name, name) == 0 && !image->spaces[i].computing)
		{
			gm_image_load_space(image, &image->spaces[i]);
			return &image->spaces[i];
		}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("vector space \"%s\" does not exist", gm_error_quote(name, strlen(name))),
			 strcmp(name, "topology") == 0 ?
			 errhint("Compute it with graphmem.refresh_topology().") :
			 errhint("Create it with graphmem.create_vector_space().")));
	return NULL;				/* not reached */
}
