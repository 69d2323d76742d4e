/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Workers from boot on, where the library is preloaded.
 *
 * The launcher has no database and so sees only which databases there are.
 * For each that has no worker it starts a probe: a worker that connects, calls
 * gm_ensure_worker if the extension is there, and ends.  One probe runs at a
 * time; a database without the extension is probed again after a minute, so
 * that one which gets it is found without anybody asking.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "shm/control.h"
#include "worker/main.h"

#define SCAN_MS			20000
#define PROBE_AGAIN_MS	60000
#define INVALID_DATABASE	(-2)	/* as its drop left it, in datconnlimit */

PGDLLEXPORT void graphmem_launcher_main(Datum main_arg);
PGDLLEXPORT void graphmem_probe_main(Datum main_arg);

typedef struct Probed
{
	Oid			db_oid;
	TimestampTz at;
} Probed;

static List *probed = NIL;		/* of Probed * */

void
gm_launcher_register(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "graphmem", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "graphmem_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "graphmem launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "graphmem launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* connectable databases, in TopMemoryContext's list */
static List *
list_databases(void)
{
	List	   *oids = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	MemoryContext old;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (!database->datallowconn || database->datistemplate ||
			database->datconnlimit == INVALID_DATABASE)
			continue;
		old = MemoryContextSwitchTo(TopMemoryContext);
		oids = lappend_oid(oids, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return oids;
}

static bool
has_worker(Oid db_oid)
{
	GmDatabase *db = gm_control_find(gm_control(), db_oid);

	return db != NULL && gm_control_has_worker(db);
}

static bool
is_due(Oid db_oid, TimestampTz now)
{
	MemoryContext old;
	ListCell   *lc;
	Probed	   *p;

	foreach(lc, probed)
	{
		p = lfirst(lc);
		if (p->db_oid != db_oid)
			continue;
		if (!TimestampDifferenceExceeds(p->at, now, PROBE_AGAIN_MS))
			return false;
		p->at = now;
		return true;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	p = palloc(sizeof(Probed));
	p->db_oid = db_oid;
	p->at = now;
	probed = lappend(probed, p);
	MemoryContextSwitchTo(old);
	return true;
}

static void
probe(Oid db_oid)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	static bool refused;

	gm_process_init(&worker, "graphmem_probe_main", "graphmem probe");
	worker.bgw_main_arg = ObjectIdGetDatum(db_oid);
	worker.bgw_notify_pid = MyProcPid;
	snprintf(worker.bgw_name, BGW_MAXLEN, "graphmem probe of database %u", db_oid);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		if (!refused)
			ereport(LOG,
					(errmsg("could not look for graphmem in every database: no free slot for a background worker"),
					 errhint("Raise \"max_worker_processes\".")));
		refused = true;
		return;
	}
	(void) WaitForBackgroundWorkerShutdown(handle);
	pfree(handle);
	refused = false;
}

void
graphmem_probe_main(Datum main_arg)
{
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(main_arg), InvalidOid, 0);
	StartTransactionCommand();
	if (gm_extension_look(NULL, NULL))
		(void) gm_ensure_worker(gm_control_database(true));
	CommitTransactionCommand();
	proc_exit(0);
}

void
graphmem_launcher_main(Datum main_arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	if (gm_control() == NULL)
		proc_exit(0);
	for (;;)
	{
		List	   *oids;
		ListCell   *lc;

		if (ProcDiePending)
			proc_exit(1);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		oids = gm_guc_worker ? list_databases() : NIL;
		foreach(lc, oids)
		{
			CHECK_FOR_INTERRUPTS();
			if (!has_worker(lfirst_oid(lc)) && is_due(lfirst_oid(lc), GetCurrentTimestamp()))
				probe(lfirst_oid(lc));
		}
		list_free(oids);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, SCAN_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
