/*-------------------------------------------------------------------------
 *
 * stop.c
 *	  Stop points of test builds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shm/stop.h"

#ifdef GM_STOP_POINTS

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "shm/control.h"

#define POLL_US		2000
#define LOCK_KEY	0x676d7370

static const char *const names[] = {
#define GM_STOP_POINT(name)	#name,
#include "shm/stop_points.h"
#undef GM_STOP_POINT
};

PG_FUNCTION_INFO_V1(graphmem_stop_point);
PG_FUNCTION_INFO_V1(graphmem_stopped);

/*
 * A client's backend waits for a lock that whoever set the point holds, so
 * that the isolation tester sees it blocked; the worker, which must not sit in
 * a lock's queue, looks again and again.
 */
static void
point_lock(GmStopPoint point, LOCKTAG *tag)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, LOCK_KEY, (uint32) point, 2);
}

static void
wait_there(GmControl *control, GmStopPoint point, uint64 bit)
{
	LOCKTAG		tag;

	if (MyBackendType == B_BACKEND)
	{
		point_lock(point, &tag);
		(void) LockAcquire(&tag, ShareLock, true, false);
		(void) LockRelease(&tag, ShareLock, true);
		return;
	}
	while ((atomic_load(&control->stop_points) & bit) != 0)
	{
		pg_usleep(POLL_US);
		if (InterruptHoldoffCount == 0 && CritSectionCount == 0)
			CHECK_FOR_INTERRUPTS();
	}
}

void
gm_stop(GmStopPoint point)
{
	GmControl  *control = gm_control();
	uint64		bit = UINT64CONST(1) << point;

	if (control == NULL || (atomic_load(&control->stop_points) & bit) == 0)
		return;
	atomic_fetch_or(&control->stopped, bit);
	PG_TRY();
	{
		wait_there(control, point, bit);
	}
	PG_FINALLY();
	{
		atomic_fetch_and(&control->stopped, ~bit);
	}
	PG_END_TRY();
}

static GmStopPoint
point_of(text *name)
{
	char	   *wanted = text_to_cstring(name);

	for (int i = 0; i < GM_STOP_COUNT; i++)
		if (strcmp(names[i], wanted) == 0)
			return (GmStopPoint) i;
	elog(ERROR, "there is no stop point \"%s\"", wanted);
	return GM_STOP_COUNT;
}

/* stop_point(name text, stop bool) returns void */
Datum
graphmem_stop_point(PG_FUNCTION_ARGS)
{
	GmStopPoint point = point_of(PG_GETARG_TEXT_PP(0));
	uint64		bit = UINT64CONST(1) << point;
	LOCKTAG		tag;

	point_lock(point, &tag);
	if (PG_GETARG_BOOL(1))
	{
		(void) LockAcquire(&tag, ExclusiveLock, true, false);
		atomic_fetch_or(&gm_control()->stop_points, bit);
	}
	else
	{
		atomic_fetch_and(&gm_control()->stop_points, ~bit);
		(void) LockRelease(&tag, ExclusiveLock, true);
	}
	PG_RETURN_VOID();
}

/* stopped(name text) returns bool */
Datum
graphmem_stopped(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL((atomic_load(&gm_control()->stopped) & (UINT64CONST(1) << point_of(PG_GETARG_TEXT_PP(0)))) != 0);
}

#endif							/* GM_STOP_POINTS */
