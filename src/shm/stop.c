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
#include "utils/builtins.h"

#include "shm/control.h"

#define POLL_US		2000

static const char *const names[] = {
#define GM_STOP_POINT(name)	#name,
#include "shm/stop_points.h"
#undef GM_STOP_POINT
};

PG_FUNCTION_INFO_V1(graphmem_stop_point);
PG_FUNCTION_INFO_V1(graphmem_stopped);

void
gm_stop(GmStopPoint point)
{
	GmControl  *control = gm_control();
	uint64		bit = UINT64CONST(1) << point;

	if (control == NULL)
		return;
	while ((atomic_load(&control->stop_points) & bit) != 0)
	{
		atomic_fetch_or(&control->stopped, bit);
		pg_usleep(POLL_US);
		if (InterruptHoldoffCount == 0 && CritSectionCount == 0)
			CHECK_FOR_INTERRUPTS();
	}
	atomic_fetch_and(&control->stopped, ~bit);
}

static uint64
point_bit(text *name)
{
	char	   *wanted = text_to_cstring(name);

	for (int i = 0; i < GM_STOP_COUNT; i++)
		if (strcmp(names[i], wanted) == 0)
			return UINT64CONST(1) << i;
	elog(ERROR, "there is no stop point \"%s\"", wanted);
	return 0;
}

/* stop_point(name text, stop bool) returns void */
Datum
graphmem_stop_point(PG_FUNCTION_ARGS)
{
	uint64		bit = point_bit(PG_GETARG_TEXT_PP(0));

	if (PG_GETARG_BOOL(1))
		atomic_fetch_or(&gm_control()->stop_points, bit);
	else
		atomic_fetch_and(&gm_control()->stop_points, ~bit);
	PG_RETURN_VOID();
}

/* stopped(name text) returns bool */
Datum
graphmem_stopped(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL((atomic_load(&gm_control()->stopped) & point_bit(PG_GETARG_TEXT_PP(0))) != 0);
}

#endif							/* GM_STOP_POINTS */
