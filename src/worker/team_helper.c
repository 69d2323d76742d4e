/*-------------------------------------------------------------------------
 *
 * team_helper.c
 *	  A process that takes blocks of a computation: protocol team segment of
 *	  team_shared.h.
 *
 * It has no database, so that nobody who wants one for himself waits for it,
 * and looks at nothing but the team's segment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdlib.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/s_lock.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "compat.h"
#include "shm/segment.h"
#include "shm/stop.h"
#include "worker/team.h"
#include "worker/team_shared.h"

#define SPIN_US		30			/* for the next phase; waking takes about as long */
#define SPINS		64			/* between two looks at the clock */
#define LOOK_MS		1000		/* whether the leader lives, while asleep */

PGDLLEXPORT void graphmem_topology_helper_main(Datum main_arg);

static const GmComputeApi *compute;
static dsm_segment *segment;
static char *place;
static GmTeamHead *head;
static GmTeamMember *me;
static char *scratch;
static uint32 seen;				/* the last phase that it has been through */

static void
wake_leader(void)
{
	if (atomic_load(&head->th_waits) != 0)
		SetLatch(&ProcGlobal->allProcs[head->th_leader_proc].procLatch);
}

static void
become_idle(void)
{
	atomic_store(&me->tm_busy, 0);
	wake_leader();
}

static void
leave(int code, Datum arg)
{
	if (me == NULL)
		return;
	if (atomic_load(&me->tm_busy) != 0)
		gm_team_stop(head, GM_TEAM_BROKEN);
	atomic_store(&me->tm_proc, 0);
	become_idle();
	me = NULL;
}

/*
 * In a kernel.  A process that is to end finishes its block, which takes some
 * milliseconds, so that the others need not do all of them again.
 */
static bool
stop_block(void *arg)
{
	if (InterruptPending && !ProcDiePending)
		CHECK_FOR_INTERRUPTS();
	return atomic_load_explicit(&head->th_status, memory_order_relaxed) != GM_OK;
}

static const GmInterrupt interrupt = {stop_block, NULL, NULL};

static bool
is_over(void)
{
	return atomic_load_explicit(&head->th_over, memory_order_relaxed) != 0;
}

/* something other than the last phase is open, or nothing will be */
static bool
has_news(void)
{
	uint32		open = atomic_load(&head->th_open);

	return (open != 0 && open != seen) || is_over();
}

/* false: there was nothing to do */
static bool
help(void)
{
	GmBlock		block = {place + GM_TEAM_HEAD_BYTES, head->th_args, 0, scratch, &interrupt};
	uint32		phase;

	if (!has_news())
		return false;
	atomic_store(&me->tm_busy, 1);
	phase = atomic_load(&head->th_open);
	if (phase == 0 || phase == seen)
	{
		become_idle();
		return false;
	}
	while (!ProcDiePending && gm_team_take(head, &block.block))
	{
		GmStatus	status;

		GM_STOP(team_helper_block);
		status = compute->block(head->th_kernel, &block);
		if (status != GM_OK)
			gm_team_stop(head, status);
	}
	seen = phase;
	become_idle();
	return true;
}

static bool
spin_for_news(void)
{
	instr_time	start;
	instr_time	now;

	INSTR_TIME_SET_CURRENT(start);
	for (;;)
	{
		for (int i = 0; i < SPINS; i++)
		{
			if (has_news() || InterruptPending)
				return true;
			SPIN_DELAY();
		}
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		if (INSTR_TIME_GET_MICROSEC(now) > SPIN_US)
			return false;
	}
}

static void
sleep_for_news(void)
{
	atomic_store(&me->tm_asleep, 1);
	if (!has_news())
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS,
						 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	atomic_store(&me->tm_asleep, 0);
}

static bool
leader_lives(void)
{
	return ProcGlobal->allProcs[head->th_leader_proc].pid == head->th_leader_pid;
}

static void
serve(void)
{
	while (!is_over())
	{
		CHECK_FOR_INTERRUPTS();
		if (help() || spin_for_news())
			continue;
		sleep_for_news();
		if (!leader_lives())
			return;
	}
}

static bool
join(const GmTeamHelperArgs *args)
{
	segment = gm_segment_attach(args->handle, NULL);
	if (segment == NULL)
		return false;
	place = gm_segment_place(segment);
	head = (GmTeamHead *) place;
	if (head->th_magic != GM_TEAM_MAGIC || is_over() || !leader_lives())
		return false;
	scratch = aligned_alloc(64, GM_TEAM_SCRATCH_BYTES);
	if (scratch == NULL)
		return false;
	me = &head->th_member[args->ordinal];
	atomic_store(&me->tm_proc, gm_compat_proc_number() + 1);
	return true;
}

void
graphmem_topology_helper_main(Datum main_arg)
{
	GmTeamHelperArgs args;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	pqsignal(SIGHUP, SIG_IGN);
	pqsignal(SIGINT, SIG_IGN);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("graphmem topology helper");
	compute = gm_compute();
	before_shmem_exit(leave, (Datum) 0);
	if (join(&args))
		serve();
	proc_exit(0);
}
