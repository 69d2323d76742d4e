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
#include "utils/timestamp.h"

#include "compat.h"
#include "shm/attach.h"
#include "shm/segment.h"

#define RETRY_MS	1000		/* after the system refused to map an area */

static GmDatabase *database;
static Oid	foreign;			/* that gm_attach_for was told */
static GmArea *area;
static dsm_segment *area_segment;
static uint64 generation;		/* of area; 0 without one */
static uint64 refused;			/* generation whose area could not be mapped */
static TimestampTz refused_at;

static char *base[GM_AREA_EXTENTS];
static dsm_segment *segments[GM_AREA_EXTENTS];
static uint32 serials[GM_AREA_EXTENTS];
static uint32 mapped;			/* numbers below this may be mapped */
static uint64 extents_changed;

/* sections: how many are open, and at which level of subtransactions each was */
static int	depth;
static bool held;				/* what is attached stays so */
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
	{
		gm_segment_leave_place(segments[n], base[n]);
		dsm_detach(segments[n]);
	}
	segments[n] = NULL;
	base[n] = NULL;
}

static void
detach_all(void)
{
	for (uint32 n = 0; n < mapped; n++)
		unmap_extent(n);
	memset(serials, 0, sizeof(serials));
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
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PARALLEL_PRE_COMMIT &&
		event != XACT_EVENT_PRE_PREPARE)
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
	if (refused == wanted &&
		!TimestampDifferenceExceeds(refused_at, GetCurrentTimestamp(), RETRY_MS))
		return;

	/* the worker may end in between, and its area with it */
	segment = gm_segment_attach(handle, NULL);
	if (segment == NULL)
	{
		refused = wanted;
		refused_at = GetCurrentTimestamp();
		return;
	}
	a = dsm_segment_address(segment);
	if (a->ar_magic != GM_AREA_MAGIC || a->ar_layout != GM_AREA_LAYOUT ||
		a->ar_generation != wanted ||
		a->ar_db != (OidIsValid(foreign) ? foreign : MyDatabaseId))
	{
		dsm_detach(segment);
		return;
	}
	Assert(gm_compat_proc_number() < a->ar_slots);
	area_segment = segment;
	area = a;
	generation = wanted;
}

void
gm_attach_for(Oid db_oid)
{
	GmControl  *control = gm_control();

	Assert(!OidIsValid(MyDatabaseId));
	foreign = db_oid;
	if (control == NULL)
		return;
	LWLockAcquire(&control->lock, LW_SHARED);
	database = gm_control_find(control, db_oid);
	LWLockRelease(&control->lock);
}

void
gm_attach_hold(void)
{
	held = true;
}

GmArea *
gm_attach(GmDatabase **db)
{
	GmControl  *control;
	dsm_handle	handle;
	uint64		now;

	if (gm_unlikely(database == NULL) && !OidIsValid(foreign))
		database = gm_control_database(false);
	*db = database;
	if (database == NULL)
		return NULL;
	now = atomic_load_explicit(&database->generation, memory_order_acquire);
	if (gm_likely(area != NULL && now == generation))
		return area;
	if (depth > 0 || (held && area != NULL))
		return NULL;
	detach_all();
	if (now == 0)
		return NULL;
	control = gm_control();
	LWLockAcquire(&control->lock, LW_SHARED);
	now = atomic_load(&database->generation);
	handle = database->area_handle;
	LWLockRelease(&control->lock);
	if (now != 0)
		attach_area(handle, now);
	return area;
}

GmArea *
gm_attached(void)
{
	return area;
}

char **
gm_attach_base(void)
{
	return base;
}

/* false: the extent is in the table, but cannot be had */
static bool
update_extent(GmArea *a, uint32 n)
{
	GmExtent   *e = &a->ar_extent[n];
	uint32		serial = atomic_load_explicit(&e->ex_serial, memory_order_acquire);
	dsm_handle	handle;

	if (gm_likely(serials[n] == serial))
		return true;
	handle = atomic_load(&e->ex_handle);

	/* what it had is out of the table, so that no section looks at it any more */
	unmap_extent(n);
	if (handle != 0)
	{
		segments[n] = gm_segment_attach(handle, NULL);
		if (segments[n] == NULL)
			return atomic_load(&e->ex_serial) != serial;
		base[n] = gm_segment_place(segments[n]);
		mapped = Max(mapped, n + 1);
	}
	serials[n] = serial;
	return true;
}

bool
gm_attach_extents(GmArea *a)
{
	bool		whole = true;

	for (;;)
	{
		uint64		changed = atomic_load_explicit(&a->ar_extents_changed, memory_order_acquire);

		if (gm_likely(changed == extents_changed))
			return true;
		for (uint32 n = 1; n < GM_AREA_EXTENTS; n++)
			whole &= update_extent(a, n);
		if (!whole)
			return false;
		extents_changed = changed;
	}
}
