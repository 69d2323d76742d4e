/*-------------------------------------------------------------------------
 *
 * team_shared.h
 *	  What a team's segment begins with: only for team.c and team_helper.c.
 *
 * PROTOCOL team segment
 * Shared		a segment of its own: this head, then the memory that the algorithm
 *				works in (protocol team of compute/team.h).  The leader makes it; it
 *				is not pinned, so it goes with the last process that has it mapped.
 * Writer		the leader publishes one phase at a time.  Members write what their
 *				blocks are to write, and their own place in th_member.
 * Readers		members.  tm_busy = 1; load th_open, 0 or a phase that this member has
 *				been through: tm_busy = 0, nothing to do; take blocks from th_next
 *				until there are none left or th_status is not GM_OK; tm_busy = 0.
 * Publication	the leader: 1. kernel, arguments, th_blocks, th_next = 0, th_status.
 *				2. th_open, the number of the phase.  3. wakes members that sleep.
 *				4. takes blocks itself.  5. th_open = 0.  6. waits until no tm_busy is
 *				set.  Stores and loads of th_open and tm_busy are in one order for all
 *				(memory_order_seq_cst): a member that the leader does not see busy at
 *				6 sees th_open 0, or the next phase, whole.
 * Reuse		the next phase is filled after 6.
 * Staleness	none: blocks are taken once.
 * Locks		none.
 * Interrupts	what is pending for the leader is looked at between blocks, within
 *				kernels and while it waits; an error is kept, th_status stops the
 *				members, and run returns GM_INTERRUPTED once none is busy.  A member
 *				that is to end finishes its block, gives up its place and leaves;
 *				blocks that it did not take are others'.
 * Death		of a member outside of a block: its place is empty, the others go on.
 *				In a block (an error in what it serves besides): its before_shmem_exit
 *				callback makes th_status GM_TEAM_BROKEN, and the leader raises an
 *				error; should the callback not run, the leader sees by
 *				GetBackgroundWorkerPid that the process is gone.  Of the leader: its
 *				callback sets th_over; a member that sleeps looks now and then whether
 *				its PGPROC is still the leader's.
 * Full			no slot for a process: fewer members.  No shared memory: memory of the
 *				leader alone, and no members.
 * Tests		test/t/193_topology_team.pl
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_TEAM_SHARED_H
#define GM_WORKER_TEAM_SHARED_H

#include <stdatomic.h>

#include "storage/dsm.h"

#include "compute/team.h"
#include "guc.h"

#define GM_TEAM_MAGIC		UINT32_C(0x674d7465)
#define GM_TEAM_HEAD_BYTES	8192	/* the algorithm's memory begins there */

/* of th_status, beside GmStatus: a member was lost in the middle of a block */
#define GM_TEAM_BROKEN		UINT32_C(100)

#define GM_TEAM_LINE		64

/*
 * field		written by				read by		rule
 * tm_proc		the member				leader		place in ProcGlobal->allProcs plus 1; 0: not
 *													there (yet)
 * tm_busy		the member				leader		see above
 * tm_asleep	the member				leader		set before it looks at th_open a last time;
 *													who published wakes it
 */
typedef struct GmTeamMember
{
	_Alignas(GM_TEAM_LINE)
	_Atomic uint32_t tm_proc;
	_Atomic uint32_t tm_busy;
	_Atomic uint32_t tm_asleep;
} GmTeamMember;

/*
 * field		written by				read by		rule
 * th_open		leader					members		number of the phase that runs; 0: none
 * th_over		leader					members		once: there are no more phases
 * th_waits		leader					members		it sleeps until a member is idle
 * th_next		leader, members			members		first block that nobody has taken; may lie
 *													beyond th_blocks
 * th_status	leader, members			all			first that was not GM_OK
 * the rest		leader, while closed	members
 */
typedef struct GmTeamHead
{
	uint32_t	th_magic;
	uint32_t	th_leader_proc;	/* place in ProcGlobal->allProcs */
	int			th_leader_pid;
	GmKernel	th_kernel;
	uint32_t	th_blocks;
	_Alignas(16) char th_args[GM_TEAM_ARG_BYTES];

	_Alignas(GM_TEAM_LINE)
	_Atomic uint32_t th_open;
	_Atomic uint32_t th_over;
	_Atomic uint32_t th_waits;
	_Alignas(GM_TEAM_LINE)
	_Atomic uint32_t th_next;
	_Atomic uint32_t th_status;
	GmTeamMember th_member[GM_MOST_COMPUTE_WORKERS - 1];
} GmTeamHead;

/* in a helper's bgw_extra */
typedef struct GmTeamHelperArgs
{
	dsm_handle	handle;
	int			ordinal;		/* its place in th_member */
} GmTeamHelperArgs;

/* the first status that is not GM_OK stays */
static inline void
gm_team_stop(GmTeamHead *head, uint32_t status)
{
	uint32_t	expected = GM_OK;

	(void) atomic_compare_exchange_strong(&head->th_status, &expected, status);
}

static inline bool
gm_team_take(GmTeamHead *head, uint32_t *block)
{
	if (atomic_load_explicit(&head->th_status, memory_order_relaxed) != GM_OK)
		return false;
	*block = atomic_fetch_add_explicit(&head->th_next, 1, memory_order_relaxed);
	return *block < head->th_blocks;
}

#endif							/* GM_WORKER_TEAM_SHARED_H */
