/*-------------------------------------------------------------------------
 *
 * attach.h
 *	  A backend's view of the area and extents of its database's worker.
 *
 * Interface
 *	 gm_attach			the area of the current generation; NULL if there is none
 *	 gm_attach_for		as a process without a database
 *	 gm_attach_hold		as a process that ends with the generation
 *	 gm_attached		the area at hand, without a look
 *	 gm_attach_extents	map the extents that are new, unmap those that are empty
 *	 gm_attach_base		addresses by extent number
 *	 gm_read_enter, gm_read_leave	an epoch section; sections nest
 *
 * A section that an error leaves is ended by callbacks at the end of the
 * transaction or subtransaction in which it was entered, and at exit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_ATTACH_H
#define GM_SHM_ATTACH_H

#include "shm/area.h"

/*
 * May raise an error only for lack of memory.  What was attached before is
 * detached if the generation is over, unless a section is open.  *db becomes
 * NULL if the database has no entry.  The pointer is good until the next call.
 */
extern GmArea *gm_attach(GmDatabase **db);

/*
 * From now on this process, which has no database, is one of that database's.
 */
extern void gm_attach_for(Oid db_oid);

/*
 * From now on what is attached stays so for as long as this process lives, and
 * gm_attach gives NULL once that generation is over: the process is its.
 */
extern void gm_attach_hold(void);

/* the one that is attached, of whatever generation; NULL: none.  At any time. */
extern GmArea *gm_attached(void);

/*
 * Inside a section, after loading a root: maps what the root may refer to.
 * False if the system refuses that, or the worker has ended meanwhile: the
 * image cannot be read.
 */
extern bool gm_attach_extents(GmArea *area);
extern char **gm_attach_base(void);

extern void gm_read_enter(GmArea *area);
extern void gm_read_leave(GmArea *area);

#endif							/* GM_SHM_ATTACH_H */
