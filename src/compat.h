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

#include "access/genam.h"
#include "catalog/pg_namespace.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/relcache.h"
#include "utils/selfuncs.h"

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

/* the process of a virtual transaction; 0 if it has ended or is prepared */
static inline int
gm_compat_vxid_pid(VirtualTransactionId vxid)
{
	PGPROC	   *proc;

#if PG_VERSION_NUM >= 170000
	if (vxid.procNumber == INVALID_PROC_NUMBER)
		return 0;
	proc = ProcNumberGetProc(vxid.procNumber);
#else
	if (vxid.backendId == InvalidBackendId)
		return 0;
	proc = BackendIdGetProc(vxid.backendId);
#endif
	return proc == NULL ? 0 : proc->pid;
}

/* does this process hold the lock in exactly this mode */
static inline bool
gm_compat_lock_held(const LOCKTAG *tag, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(tag, mode, false);
#else
	return LockHeldByMe(tag, mode);
#endif
}

static inline bool
gm_compat_schema_usage(Oid schema, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/* elements that an array expression is thought to have */
static inline double
gm_compat_array_length(PlannerInfo *root, Node *expression)
{
#if PG_VERSION_NUM >= 170000
	return estimate_array_length(root, expression);
#else
	return estimate_array_length(expression);
#endif
}

/* InvalidOid: the table has none that holds at any moment */
static inline Oid
gm_compat_primary_key(Relation rel)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(rel, false);
#else
	return RelationGetPrimaryKeyIndex(rel);
#endif
}

static inline IndexScanDesc
gm_compat_index_beginscan(Relation rel, Relation index, Snapshot snapshot, int keys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(rel, index, snapshot, NULL, keys, 0);
#else
	return index_beginscan(rel, index, snapshot, keys, 0);
#endif
}

/* place of this process in ProcGlobal->allProcs */
static inline uint32
gm_compat_proc_number(void)
{
#if PG_VERSION_NUM >= 170000
	return (uint32) MyProcNumber;
#else
	return (uint32) MyProc->pgprocno;
#endif
}

/*
 * Declared here since tsearch/ts_locale.h includes ICU's headers, which a
 * machine with no more than the server's development package can lack.
 */
extern int	t_isalpha(const char *ptr);

#endif							/* GM_COMPAT_H */
