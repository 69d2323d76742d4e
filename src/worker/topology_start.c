/*-------------------------------------------------------------------------
 *
 * topology_start.c
 *	  Seeing to it that the topology process is there.
 *
 * Whoever finds none and is the first to write the time into tp_started_at
 * registers it.  Until that time is START_MS ago the others take it for on its
 * way: one that died at once, or could not be forked, is missed no longer than
 * that.  tp_wanted stays set until the process has taken it back, so that a
 * process that ends without having looked is started again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "shm/topology.h"
#include "worker/topology_start.h"

#define START_MS	2000
#define AGAIN_MS	1000			/* the worker looks so often, if there is a reason */

static TimestampTz looked;

static bool
register_process(GmArea *area, Oid db_oid)
{
	BackgroundWorker worker;

	gm_process_init(&worker, "graphmem_topology_main", "graphmem topology");
	worker.bgw_main_arg = ObjectIdGetDatum(db_oid);
	snprintf(worker.bgw_name, BGW_MAXLEN, "graphmem topology for database %u", db_oid);
	memcpy(worker.bgw_extra, &area->ar_generation, sizeof(area->ar_generation));
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

bool
gm_topology_start(GmArea *area, Oid db_oid)
{
	GmTopologyArea *topology = gm_area_topology(area);
	uint64_t	last = atomic_load(&topology->tp_started_at);
	TimestampTz now = GetCurrentTimestamp();

	if (atomic_load(&topology->tp_pid) != 0)
		return true;
	if (last != 0 && now >= (TimestampTz) last &&
		!TimestampDifferenceExceeds((TimestampTz) last, now, START_MS))
		return true;
	if (!atomic_compare_exchange_strong(&topology->tp_started_at, &last, (uint64_t) now))
		return true;
	if (register_process(area, db_oid))
		return true;
	atomic_store(&topology->tp_started_at, 0);
	return false;
}

void
gm_topology_want(GmArea *area)
{
	GmTopologyArea *topology = gm_area_topology(area);
	uint32		proc;

	/* full barrier: the process takes it back before it looks */
	if (atomic_exchange(&topology->tp_wanted, 1) != 0)
		return;
	proc = atomic_load(&topology->tp_proc);
	if (proc != 0)
		SetLatch(&ProcGlobal->allProcs[proc - 1].procLatch);
	else
		looked = 0;
}

static bool
is_missed(GmTopologyArea *topology)
{
	return atomic_load_explicit(&topology->tp_wanted, memory_order_relaxed) != 0 &&
		atomic_load_explicit(&topology->tp_pid, memory_order_relaxed) == 0;
}

void
gm_topology_tend(GmArea *area)
{
	static uint64 refused;		/* the generation in which there was no slot */
	TimestampTz now;

	if (!is_missed(gm_area_topology(area)))
		return;
	now = GetCurrentTimestamp();
	if (looked != 0 && now >= looked && !TimestampDifferenceExceeds(looked, now, AGAIN_MS))
		return;
	looked = now;
	if (gm_topology_start(area, MyDatabaseId) || refused == area->ar_generation)
		return;
	refused = area->ar_generation;
	ereport(LOG,
			(errmsg("could not start the graphmem topology process for database %u: no free slot for a background worker",
					MyDatabaseId),
			 errdetail("New entities have no vectors in computed spaces until there is one."),
			 errhint("Raise \"max_worker_processes\".")));
}

long
gm_topology_next_ms(GmArea *area)
{
	return is_missed(gm_area_topology(area)) ? AGAIN_MS : -1;
}
