/*-------------------------------------------------------------------------
 *
 * team.h
 *	  The module that computes, and its processes.
 *
 * graphmem_compute.so holds what needs OpenBLAS; only the topology process and
 * its helpers load it (compute_module.c), with all signals blocked and OpenBLAS
 * told to start no threads.
 *
 * A team is one piece of memory (a dynamic segment, or with one member memory
 * of the process) and the processes that take blocks of phases in it: protocol
 * team of compute/team.h, the implementation's own part at the top of team.c.
 *
 * Interface
 *	 gm_compute			the module's functions; loads it
 *	 gm_team_create		memory and members; fewer members if the server has no slots
 *	 gm_team_end		all of it goes; also after an error
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_TEAM_H
#define GM_WORKER_TEAM_H

#include "compute/api.h"

/* raises 58P01 if the module or OpenBLAS is not there */
extern const GmComputeApi *gm_compute(void);

/* called by the leader between blocks and phases, about every millisecond; may raise errors */
typedef void (*GmTeamService) (void *arg);

/*
 * Raises 53200 if there is no memory.  members: processes, the caller among
 * them.  Memory is zero; offset 0 to 63 is not to be used.  An error raised by
 * service ends the phase; members are then idle when gm_team_end returns.
 */
extern GmTeam *gm_team_create(size_t bytes, int members, GmTeamService service, void *arg);
extern int	gm_team_members(void);
extern void gm_team_end(void);

#endif							/* GM_WORKER_TEAM_H */
