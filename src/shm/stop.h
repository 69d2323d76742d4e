/*-------------------------------------------------------------------------
 *
 * stop.h
 *	  Stop points: races made, not hoped for.
 *
 * In test builds (GM_STOP_POINTS) a process that comes to GM_STOP(name) waits
 * while the point is set, which graphmem_stop_point(text, bool) does from SQL;
 * graphmem_stopped(text) tells whether somebody waits there.  Other builds
 * have nothing of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_STOP_H
#define GM_SHM_STOP_H

typedef enum GmStopPoint
{
#define GM_STOP_POINT(name)	GM_STOP_##name,
#include "shm/stop_points.h"
#undef GM_STOP_POINT
	GM_STOP_COUNT
} GmStopPoint;

#ifdef GM_STOP_POINTS
extern void gm_stop(GmStopPoint point);

#define GM_STOP(name)	gm_stop(GM_STOP_##name)
#else
#define GM_STOP(name)	((void) 0)
#endif

#endif							/* GM_SHM_STOP_H */
