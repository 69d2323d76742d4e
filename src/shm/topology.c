/*-------------------------------------------------------------------------
 *
 * topology.c
 *	  The table of topology jobs: see topology.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shm/topology.h"

/* all of it is zero */
void
gm_topology_area_init(GmTopologyArea *topology)
{
	LWLockInitialize(&topology->tp_lock, gm_control()->tranche_topology);
	ConditionVariableInit(&topology->tp_changed);
}
