/*-------------------------------------------------------------------------
 *
 * stats.h
 *	  How this session's queries were answered.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_IMAGE_STATS_H
#define GM_IMAGE_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/area.h"

typedef enum GmAnswerPath
{
	GM_ANSWER_NONE = 0,			/* no query yet */
	GM_ANSWER_SHARED,
	GM_ANSWER_OVERLAY,			/* the shared image with changes laid over it */
	GM_ANSWER_PRIVATE
} GmAnswerPath;

typedef struct GmBackendStats
{
	GmAnswerPath path;			/* of the last query, as are reason and graph */
	const char *reason;			/* why privately; NULL otherwise */
	int32_t		graph_id;
	char		graph[64];		/* cut off if longer */
	GmCall		call;			/* the last one that came to its end */
	uint64_t	rows;			/* that it returned */
	uint64_t	records;		/* of facts that it looked at */
	bool		timed;
	uint64_t	us;				/* if it was timed */
	uint64_t	shared;			/* queries by path, since the session began or reset */
	uint64_t	overlay;
	uint64_t	private_;
	uint64_t	waits;			/* for the worker */
	uint64_t	wait_us;
	uint64_t	last_wait_us;
} GmBackendStats;

extern GmBackendStats gm_backend_stats;

#endif							/* GM_IMAGE_STATS_H */
