/*-------------------------------------------------------------------------
 *
 * attach.c
 *	  A backend's view of the area and extents of its database's worker.
 *
 * Everything mapped belongs to one generation.  When the control entry shows
 * another, all of it goes at the next gm_attach outside of any section; a
 * section that is open keeps reading its own generation to the end, which is
 * as good as any older version.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "compat.h"
#include "shm/attach.h"

static GmDatabase *database;
static GmArea *area;
static dsm_segment *area_segment;
static uint64 generation;		/* of area, or of the one that could not be had */

static char *base[GM_AREA_EXTENTS];
static dsm_segment *segments[GM_AREA_EXTENTS];
static uint32 serials[GM_AREA_EXTENTS];
static uint32 mapped;			/* numbers below this were looked at */
static uint64 extents_changed;

/* sections: how many are open, and at which level of subtransactions each was */
static int	depth;
static int *levels;
static int	levels_room;
static bool registered;

static GmEpochSlot *
own_slot(GmArea *a)
{
	return &gm_area_slots(a)[gm_compat_proc_number()];
}

static void
unmap_extent(uint32 n)
{
	if (segments[n] != NULL)
		dsm_detach(segments[n]);
	segments[n] = NULL;
	base[n] = NULL;
}

static void
detach_all(void)
{
	for (uint32 n = 0; n < mapped; n++)
		unmap_extent(n);
	mapped = 0;
	extents_changed = 0;
	if (area_segment != NULL)
		dsm_detach(area_segment);
	area_segment = NULL;
	area = NULL;
	generation = 0;
}

/*
 * Sections
 */
static void
leave_from(int level)
{
	if (depth == 0 || levels[depth - 1] < level)
		return;
	while (depth > 0 && levels[depth - 1] >= level)
		depth--;
	if (depth == 0 && area != NULL)
		gm_epoch_leave(own_slot(area));
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		leave_from(GetCurrentTransactionNestLevel());
}

static void
transaction_ends(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		leave_from(0);
}

static void
process_ends(int code, Datum arg)
{
	leave_from(0);
}

void
gm_read_enter(GmArea *a)
{
	Assert(a == area);
	if (depth == levels_room)
	{
		int			room = levels_room == 0 ? 8 : levels_room * 2;
		int		   *more = realloc(levels, room * sizeof(int));

		if (more == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
		levels = more;
		levels_room = room;
	}
	if (depth == 0)
		gm_epoch_enter(&a->ar_epoch, own_slot(a));
	levels[depth++] = GetCurrentTransactionNestLevel();
}

void
gm_read_leave(GmArea *a)
{
	Assert(depth > 0);
	if (--depth == 0)
		gm_epoch_leave(own_slot(a));
}

int
gm_read_depth(void)
{
	return depth;
}

/*
 * Attaching
 */
static void
attach_area(dsm_handle handle, uint64 wanted)
{
	dsm_segment *segment;
	GmArea	   *a;

	if (!registered)
	{
		RegisterXactCallback(transaction_ends, NULL);
		RegisterSubXactCallback(subtransaction_ends, NULL);
		before_shmem_exit(process_ends, (Datum) 0);
		registered = true;
	}
	detach_all();

	/* the worker may end in between, and its area with it */
	segment = dsm_attach(handle);
	if (segment == NULL)
		return;
	a = dsm_segment_address(segment);
	if (a->ar_magic != GM_AREA_MAGIC || a->ar_layout != GM_AREA_LAYOUT ||
		a->ar_generation != wanted || a->ar_db != MyDatabaseId)
	{
		dsm_detach(segment);
		return;
	}
	dsm_pin_mapping(segment);
	area_segment = segment;
	area = a;
	generation = wanted;
}

GmArea *
gm_attach(GmDatabase **db)
{
	GmControl  *control;
	dsm_handle	handle = 0;
	uint64		wanted = 0;

	if (database == NULL)
		database = gm_control_database(false);
	*db = database;
	if (database == NULL)
		return NULL;
	if (gm_likely(area != NULL && database->generation == generation &&
				  database->state == GM_WORKER_READY))
		return area;
	if (depth > 0)
		return NULL;
	control = gm_control();
	LWLockAcquire(&control->lock, LW_SHARED);
	if (database->db_oid == MyDatabaseId && database->state == GM_WORKER_READY)
	{
		handle = database->area_handle;
		wanted = database->generation;
	}
	LWLockRelease(&control->lock);
	if (wanted == 0)
	{
		/* entries of dropped databases may be taken by others */
		if (database->db_oid != MyDatabaseId)
			database = NULL;
		detach_all();
		return NULL;
	}
	if (area == NULL || generation != wanted)
		attach_area(handle, wanted);
	return area;
}

char **
gm_attach_base(void)
{
	return base;
}

void
gm_attach_extents(GmArea *a)
{
	for (;;)
	{
		uint64		changed = atomic_load_explicit(&a->ar_extents_changed, memory_order_acquire);

		if (gm_likely(changed == extents_changed))
			return;
		for (uint32 n = 1; n < GM_AREA_EXTENTS; n++)
		{
			dsm_handle	handle = atomic_load(&a->ar_extent[n].ex_handle);
			uint32		serial = atomic_load(&a->ar_extent[n].ex_serial);

			if (handle == 0)
			{
				/* an outer section may still look at it */
				if (segments[n] != NULL && depth <= 1)
					unmap_extent(n);
				continue;
			}
			if (segments[n] != NULL && serials[n] == serial)
				continue;
			unmap_extent(n);
			segments[n] = dsm_attach(handle);
			if (segments[n] == NULL)
				continue;		/* given back in between: no root refers to it */
			dsm_pin_mapping(segments[n]);
			base[n] = dsm_segment_address(segments[n]);
			serials[n] = serial;
			mapped = Max(mapped, n + 1);
		}
		extents_changed = changed;
	}
}
