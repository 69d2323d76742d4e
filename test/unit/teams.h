/*-------------------------------------------------------------------------
 *
 * teams.h
 *	  Teams of threads and of processes, for tests and measurements only.
 *
 * Memory is mapped twice: the leader computes with one mapping, the others with
 * the second, so that whatever is not an offset shows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_TEST_TEAMS_H
#define GM_TEST_TEAMS_H

#include "compute/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEAM_MOST	16

typedef enum TeamKind
{
	TEAM_SINGLE = 0,
	TEAM_THREADS,
	TEAM_PROCESSES
} TeamKind;

typedef struct TeamPhase
{
	_Atomic uint32_t next;
	_Atomic int status;
} TeamPhase;

typedef struct Team
{
	GmTeam		team;			/* first: run() is given its address */
	TeamKind	kind;
	int			members;
	size_t		bytes;
	char	   *other_base;
	char	   *scratch[TEAM_MOST];
	TeamPhase  *phase;			/* shared with children */
	/* of the phase that runs */
	GmKernel	kernel;
	const void *args;
	uint32_t	blocks;
} Team;

typedef struct TeamMember
{
	Team	   *team;
	int			number;
} TeamMember;

static inline void
team_work(Team *t, int number)
{
	GmBlock		block = {
		number == 0 ? t->team.base : t->other_base, t->args, 0, t->scratch[number],
		number == 0 ? t->team.intr : NULL
	};

	for (;;)
	{
		GmStatus	status = GM_OK;

		if (atomic_load(&t->phase->status) != GM_OK)
			return;
		block.block = atomic_fetch_add(&t->phase->next, 1);
		if (block.block >= t->blocks)
			return;
		if (number == 0 && gm_interrupted(t->team.intr))
			status = GM_INTERRUPTED;
		if (status == GM_OK)
			status = gm_team_block(t->kernel, &block);
		if (status != GM_OK)
			atomic_store(&t->phase->status, (int) status);
	}
}

static inline void *
team_thread(void *arg)
{
	TeamMember *m = arg;

	team_work(m->team, m->number);
	return NULL;
}

static inline void
team_threads(Team *t)
{
	pthread_t	threads[TEAM_MOST];
	TeamMember	members[TEAM_MOST];

	for (int i = 1; i < t->members; i++)
	{
		members[i] = (TeamMember) {t, i};
		if (pthread_create(&threads[i], NULL, team_thread, &members[i]) != 0)
			abort();
	}
	team_work(t, 0);
	for (int i = 1; i < t->members; i++)
		(void) pthread_join(threads[i], NULL);
}

static inline void
team_processes(Team *t)
{
	pid_t		pids[TEAM_MOST];

	fflush(stdout);
	for (int i = 1; i < t->members; i++)
	{
		pids[i] = fork();
		if (pids[i] < 0)
			abort();
		if (pids[i] == 0)
		{
			team_work(t, i);
			_exit(0);
		}
	}
	team_work(t, 0);
	for (int i = 1; i < t->members; i++)
	{
		int			status = 1;

		if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
			atomic_store(&t->phase->status, (int) GM_NO_MEMORY);
	}
}

static inline GmStatus
team_run(GmTeam *team, GmKernel kernel, const void *args, size_t bytes, uint32_t blocks)
{
	Team	   *t = (Team *) team;

	if (bytes > GM_TEAM_ARG_BYTES)
		return GM_BAD_VALUE;
	t->kernel = kernel;
	t->args = args;
	t->blocks = blocks;
	atomic_store(&t->phase->next, 0);
	atomic_store(&t->phase->status, (int) GM_OK);
	if (t->kind == TEAM_THREADS)
		team_threads(t);
	else
		team_processes(t);
	return (GmStatus) atomic_load(&t->phase->status);
}

/* bytes of zeroed memory; the test ends if the system has none */
static inline void
team_open(Team *t, TeamKind kind, int members, size_t bytes, const GmInterrupt *intr)
{
	int			fd = memfd_create("team", 0);
	char	   *base;

	memset(t, 0, sizeof(*t));
	t->kind = kind;
	t->members = members;
	t->bytes = bytes;
	if (fd < 0 || ftruncate(fd, (off_t) bytes) != 0)
		abort();
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	t->other_base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	t->phase = mmap(NULL, sizeof(TeamPhase), PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	(void) close(fd);
	if (base == MAP_FAILED || (void *) t->other_base == MAP_FAILED ||
		(void *) t->phase == MAP_FAILED)
		abort();
	for (int i = 0; i < members; i++)
		if ((t->scratch[i] = aligned_alloc(64, GM_TEAM_SCRATCH_BYTES)) == NULL)
			abort();
	gm_team_single(&t->team, base, t->scratch[0], intr);
	if (kind != TEAM_SINGLE)
		t->team.run = team_run;
}

static inline void
team_close(Team *t)
{
	(void) munmap(t->team.base, t->bytes);
	(void) munmap(t->other_base, t->bytes);
	(void) munmap(t->phase, sizeof(TeamPhase));
	for (int i = 0; i < t->members; i++)
		free(t->scratch[i]);
}

#endif							/* GM_TEST_TEAMS_H */
