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
 * A team is used between gm_team_create and gm_team_end, one at a time.  Errors
 * raised by service, and interrupts that are pending (the team looks at them),
 * do not leave an algorithm by longjmp, which has memory to free: they are kept,
 * whatever runs returns GM_INTERRUPTED, and gm_error_check() of that raises
 * them.  The team is then of no use but to be ended.
 *
 * How far the algorithm is: team->intr->progress, which service may look at.
 * Waiting for members resets the latch of the process, so whoever sleeps on it
 * must have looked for work before.
 *
 * Interface
 *	 gm_compute			the module's functions; loads it
 *	 gm_team_create		memory and members; fewer members if the server has no slots
 *	 gm_team_members	processes that have joined so far, the caller among them
 *	 gm_team_end		all of it goes; also after an error
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_TEAM_H
#define GM_WORKER_TEAM_H

#include "compute/api.h"

/* raises 58P01 if the module or OpenBLAS is not there */
extern const GmComputeApi *gm_compute(void);

/*
 * Called by the leader between blocks and phases, within blocks and while it
 * waits, once a millisecond at most, every 20 at least.
 */
typedef void (*GmTeamService) (void *arg);

/*
 * Raises 53200 if there is no memory, 58P01 as gm_compute() does.  wanted:
 * processes, the caller among them; they join within some tens of milliseconds,
 * and phases that begin before are done without them.  service may be NULL.
 * Memory is zero; offset 0 to 63 is not to be used.
 */
extern GmTeam *gm_team_create(size_t bytes, int wanted, GmTeamService service, void *arg);
extern int	gm_team_members(void);
extern void gm_team_end(void);

#endif							/* GM_WORKER_TEAM_H */
