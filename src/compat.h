/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  One stable name for what differs between PostgreSQL 15 and 18: the only
 *	  file that tests PG_VERSION_NUM.  Include it after postgres.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_COMPAT_H
#define GM_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "graphmem needs PostgreSQL 15 or later"
#endif

#include "utils/array.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "storage/proc.h"
#include "utils/guc.h"

/* the backend-local number of a process's transaction */
static inline LocalTransactionId
gm_compat_lxid(const PGPROC *proc)
{
#if PG_VERSION_NUM >= 170000
	return proc->vxid.lxid;
#else
	return proc->lxid;
#endif
}

#endif							/* GM_COMPAT_H */
