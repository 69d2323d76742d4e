/*-------------------------------------------------------------------------
 *
 * shared.h
 *	  What the files of the shared image's reading side share.
 *
 * Each function returns NULL if all is well, else why the shared image cannot
 * answer, in a few words for stat_backend.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_IMAGE_SHARED_H
#define GM_IMAGE_SHARED_H

#include "portability/instr_time.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"

#include "core/graph.h"
#include "shm/area.h"

/* a call's waiting for the worker, all of it within graphmem.sync_timeout */
typedef struct GmWait
{
	GmDatabase *db;
	GmArea	   *area;
	TimestampTz deadline;		/* 0: the call has not waited yet */
} GmWait;

/*
 * shared_wait.c.  None is called inside an epoch section of its own; wait->area
 * may be another one afterwards.
 */
extern const char *gm_wait_area(GmWait *wait);
extern const char *gm_wait_identity(GmWait *wait);
extern const char *gm_wait_graph(GmWait *wait, int32_t graph_id, const char *name,
								 GmGraphEntry **entry);

/* all that the snapshot sees of the graph (0: of the list of graphs) has been applied */
extern const char *gm_wait_changes(GmWait *wait, int32_t graph_id, Snapshot snapshot);

/* stops the clock of the session's wait, if it runs; after an error too */
extern void gm_wait_end(void);

/*
 * shared_see.c, inside an epoch section: what the image of a version holds that
 * the snapshot does not see.
 */
typedef struct GmExcluded
{
	uint64_t	xid;
	uint64_t	sequence;
	uint64_t	ticket;
} GmExcluded;

typedef struct GmSight
{
	GmExcluded *excluded;		/* palloc'ed, the last applied first */
	int			count;
	int			room;
} GmSight;

/* is that a reason that a newer snapshot would not meet */
extern bool gm_see_was_late(const char *why);
extern const char *gm_see(GmArea *area, int32_t graph_id, const GmGraph *graph, Snapshot snapshot,
						  GmSight *sight);

/*
 * Changes a fork's graph: takes back what is excluded, adds the transaction's
 * own changes.  May raise an error.
 */
extern const char *gm_lay_over(GmArea *area, GmGraph *fork, int32_t graph_id,
							   const GmSight *sight, uint32_t before_cid);

#endif							/* GM_IMAGE_SHARED_H */
