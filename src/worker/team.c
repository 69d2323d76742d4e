/*-------------------------------------------------------------------------
 *
 * team.c
 *	  The leader's side of a team: protocol team segment of team_shared.h.
 *
 * Phases of one block, and those of a team without members, are the leader's
 * alone: nobody is woken for them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pg_shmem.h"
#include "storage/proc.h"
#include "storage/s_lock.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "error.h"
#include "shm/control.h"
#include "shm/segment.h"
#include "shm/stop.h"
#include "worker/team.h"
#include "worker/team_shared.h"

#define SERVICE_US	1000		/* between two calls of service at least */
#define SPINS		2000		/* for members that finish their blocks */
#define WAIT_MS		5			/* then it sleeps so long at most */

typedef struct Team
{
	GmTeam		team;			/* first: run is given its address */
	GmInterrupt interrupt;
	GmProgress	progress;
	GmTeamService service;
	void	   *arg;
	GmTeamHead *head;			/* of the segment, or of memory of its own */
	char	   *place;
	Size		bytes;			/* of the mapping, the head included */
	dsm_segment *segment;		/* NULL: memory of the process */
	BackgroundWorkerHandle *helper[GM_MOST_COMPUTE_WORKERS - 1];
	int			helpers;		/* that were started */
	instr_time	served_at;
	bool		failed;			/* service has raised an error, which is kept */
	uint32		phase;
} Team;

static Team *current;
static bool registered;

/*
 * What may come up while it computes
 */
static bool
service_due(Team *t)
{
	instr_time	now;
	instr_time	since;

	INSTR_TIME_SET_CURRENT(now);
	since = now;
	INSTR_TIME_SUBTRACT(since, t->served_at);
	if (INSTR_TIME_GET_MICROSEC(since) < SERVICE_US)
		return false;
	t->served_at = now;
	return true;
}

/*
 * False if there was an error.  The algorithm has memory to free and is left by
 * a status: whoever called it raises the error then (gm_error_check).
 */
static bool
serve(Team *t)
{
	MemoryContext context = CurrentMemoryContext;

	if (t->failed)
		return false;
	if (!service_due(t))
		return true;
	PG_TRY();
	{
		CHECK_FOR_INTERRUPTS();
		if (t->service != NULL)
			t->service(t->arg);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		gm_error_keep();
		t->failed = true;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	/* not the time that service took */
	INSTR_TIME_SET_CURRENT(t->served_at);
	return !t->failed;
}

static bool
leader_pending(void *arg)
{
	Team	   *t = arg;

	return !serve(t) ||
		atomic_load_explicit(&t->head->th_status, memory_order_relaxed) != GM_OK;
}

/*
 * Members
 */
static bool
is_member(const Team *t, int i)
{
	return atomic_load_explicit(&t->head->th_member[i].tm_proc, memory_order_relaxed) != 0;
}

static int
members(const Team *t)
{
	int			n = 1;

	for (int i = 0; i < t->helpers; i++)
		n += is_member(t, i);
	return n;
}

static void
wake_sleepers(Team *t)
{
	for (int i = 0; i < t->helpers; i++)
	{
		GmTeamMember *m = &t->head->th_member[i];
		uint32		proc;

		if (atomic_load(&m->tm_asleep) == 0)
			continue;
		proc = atomic_load(&m->tm_proc);
		if (proc != 0)
			SetLatch(&ProcGlobal->allProcs[proc - 1].procLatch);
	}
}

static bool
anyone_busy(const Team *t)
{
	for (int i = 0; i < t->helpers; i++)
		if (atomic_load(&t->head->th_member[i].tm_busy) != 0)
			return true;
	return false;
}

/* those that are gone and could not say so */
static void
bury_members(Team *t)
{
	for (int i = 0; i < t->helpers; i++)
	{
		GmTeamMember *m = &t->head->th_member[i];
		pid_t		pid;

		if (atomic_load(&m->tm_busy) == 0 ||
			GetBackgroundWorkerPid(t->helper[i], &pid) == BGWH_STARTED)
			continue;
		gm_team_stop(t->head, GM_TEAM_BROKEN);
		atomic_store(&m->tm_proc, 0);
		atomic_store(&m->tm_busy, 0);
	}
}

/* without errors, whatever comes up */
static void
await_members(Team *t)
{
	for (int i = 0; i < SPINS; i++)
	{
		if (!anyone_busy(t))
			return;
		SPIN_DELAY();
	}
	atomic_store(&t->head->th_waits, 1);
	while (anyone_busy(t))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		if (!serve(t))
			gm_team_stop(t->head, GM_INTERRUPTED);
		bury_members(t);
	}
	atomic_store(&t->head->th_waits, 0);
}

/*
 * Phases
 */
static void
open_phase(Team *t, GmKernel kernel, const void *args, size_t bytes, uint32_t blocks)
{
	GmTeamHead *head = t->head;

	head->th_kernel = kernel;
	head->th_blocks = blocks;
	memcpy(head->th_args, args, bytes);
	atomic_store_explicit(&head->th_next, 0, memory_order_relaxed);
	atomic_store_explicit(&head->th_status, GM_OK, memory_order_relaxed);
	if (blocks < 2 || t->helpers == 0)
		return;
	if (++t->phase == 0)
		t->phase = 1;
	atomic_store(&head->th_open, t->phase);
	wake_sleepers(t);
}

static void
close_phase(Team *t)
{
	atomic_store(&t->head->th_open, 0);
	await_members(t);
}

static void
keep_loss(void)
{
	PG_TRY();
	{
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("a process that helped to compute ended in the middle of it"),
				 errhint("The server log says why it ended.")));
	}
	PG_CATCH();
	{
		gm_error_keep();
	}
	PG_END_TRY();
}

static GmStatus
run(GmTeam *team, GmKernel kernel, const void *args, size_t bytes, uint32_t blocks)
{
	Team	   *t = (Team *) team;
	GmBlock		block = {team->base, args, 0, team->scratch, team->intr};
	uint32		status;

	if (bytes > GM_TEAM_ARG_BYTES)
		return GM_BAD_VALUE;
	GM_STOP(team_before_phase);
	open_phase(t, kernel, args, bytes, blocks);
	while (gm_team_take(t->head, &block.block))
	{
		GmStatus	one = serve(t) ? gm_compute()->block(kernel, &block) : GM_INTERRUPTED;

		if (one != GM_OK)
			gm_team_stop(t->head, one);
	}
	close_phase(t);
	status = atomic_load(&t->head->th_status);
	if (status == GM_TEAM_BROKEN && !t->failed)
		keep_loss();
	return status == GM_TEAM_BROKEN ? GM_INTERRUPTED : (GmStatus) status;
}

/*
 * Memory
 */
static bool
share_memory(Team *t)
{
	char		message[GM_ERROR_LENGTH];

	t->segment = gm_segment_create_own(t->bytes, message);
	if (t->segment == NULL)
	{
		ereport(LOG,
				(errmsg("one process computes alone: no shared memory of %zu bytes", t->bytes),
				 errdetail("%s.", message)));
		return false;
	}
	t->place = gm_segment_place(t->segment);
	return true;
}

static void
enlarge_pages(Team *t)
{
	for (Size at = 0; at < t->bytes && gm_segment_enlarge(t->segment, t->place, at);
		 at += GM_LARGE_PAGE)
	{
		CHECK_FOR_INTERRUPTS();
		if (t->service != NULL && service_due(t))
			t->service(t->arg);
	}
}

static void
take_memory(Team *t)
{
	t->place = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->place == MAP_FAILED)
	{
		t->place = NULL;
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Computing needs %zu bytes.", t->bytes)));
	}
#ifdef MADV_HUGEPAGE
	if (huge_pages != HUGE_PAGES_OFF)
		(void) madvise(t->place, t->bytes, MADV_HUGEPAGE);
#endif
}

static bool
start_helper(Team *t, int ordinal)
{
	BackgroundWorker worker;
	GmTeamHelperArgs args = {dsm_segment_handle(t->segment), ordinal};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool		started;

	gm_process_init(&worker, "graphmem_topology_helper_main", "graphmem topology helper");
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &args, sizeof(args));
	snprintf(worker.bgw_name, BGW_MAXLEN, "graphmem topology helper %d for process %d", ordinal + 1,
			 MyProcPid);
	started = RegisterDynamicBackgroundWorker(&worker, &t->helper[ordinal]);
	MemoryContextSwitchTo(old);
	return started;
}

static void
start_helpers(Team *t, int wanted)
{
	while (t->helpers < wanted && start_helper(t, t->helpers))
		t->helpers++;
	if (t->helpers < wanted)
		ereport(LOG,
				(errmsg("could not start all of graphmem.compute_workers: no free slot for a background worker"),
				 errhint("Raise \"max_worker_processes\".")));
}

/*
 * All of it
 */
static void
release_memory(Team *t)
{
	if (t->segment == NULL)
		(void) munmap(t->place, t->bytes);
	else
	{
		gm_segment_leave_place(t->segment, t->place);
		dsm_detach(t->segment);
	}
}

int
gm_team_members(void)
{
	return current == NULL ? 0 : members(current);
}

void
gm_team_end(void)
{
	Team	   *t = current;

	if (t == NULL)
		return;
	current = NULL;
	if (t->place != NULL)
	{
		gm_team_stop(t->head, GM_INTERRUPTED);
		atomic_store(&t->head->th_over, 1);
		wake_sleepers(t);
		release_memory(t);
	}
	for (int i = 0; i < t->helpers; i++)
		pfree(t->helper[i]);
	free(t->team.scratch);
	pfree(t);
}

static void
end_at_exit(int code, Datum arg)
{
	gm_team_end();
}

static Team *
create(Size bytes, GmTeamService service, void *arg)
{
	Team	   *t = MemoryContextAllocZero(TopMemoryContext, sizeof(Team));

	current = t;
	t->bytes = TYPEALIGN(GM_LARGE_PAGE, bytes + GM_TEAM_HEAD_BYTES);
	t->service = service;
	t->arg = arg;
	t->interrupt = (GmInterrupt) {leader_pending, t, &t->progress};
	t->team.intr = &t->interrupt;
	t->team.run = run;
	t->team.scratch = aligned_alloc(GM_TEAM_LINE, GM_TEAM_SCRATCH_BYTES);
	if (t->team.scratch == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return t;
}

static void
lay_out(Team *t)
{
	t->head = (GmTeamHead *) t->place;
	t->head->th_leader_proc = gm_compat_proc_number();
	t->head->th_leader_pid = MyProcPid;
	t->head->th_magic = GM_TEAM_MAGIC;
	t->team.base = t->place + GM_TEAM_HEAD_BYTES;
}

GmTeam *
gm_team_create(size_t bytes, int wanted, GmTeamService service, void *arg)
{
	Team	   *t;

	gm_team_end();
	(void) gm_compute();
	if (!registered)
		before_shmem_exit(end_at_exit, (Datum) 0);
	registered = true;
	t = create(bytes, service, arg);
	wanted = Min(wanted, GM_MOST_COMPUTE_WORKERS);
	if (wanted < 2 || !share_memory(t))
		take_memory(t);
	lay_out(t);
	if (t->segment != NULL)
	{
		/* processes begin meanwhile */
		start_helpers(t, wanted - 1);
		enlarge_pages(t);
	}
	return &t->team;
}
