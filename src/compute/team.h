/*-------------------------------------------------------------------------
 *
 * team.h
 *	  How an algorithm of compute/ is shared between processes without threads.
 *
 * An algorithm is run by one process, the leader, as a sequence of phases.  A
 * phase is a kernel, which is a number, applied to blocks 0 to n - 1; any
 * member may take any block, in any order.  Whatever a kernel reads and writes
 * lies in one piece of memory that members may map at different addresses, so
 * its arguments are a plain struct with offsets from the base of that memory;
 * offset 0 is nowhere.
 *
 * What a block computes depends on its number and the arguments alone, and no
 * two blocks of a phase write the same place, so results are the same bit for
 * bit whoever took which.  Sums over all rows are made of one partial sum a
 * block, which the leader adds in the order of the blocks.
 *
 * Interface
 *	 gm_team_block		do one block; what every member calls
 *	 gm_team_single		a team of the leader alone
 *
 * PROTOCOL team, for an implementation of run
 * Shared		the memory at base, and the phase: kernel, arguments, next block
 * Leader		copies arguments (they are on its stack), lets members begin, takes
 *				blocks itself, and returns when no block is taken or running
 * Members		see all that was written before run was called; all that they
 *				write is seen by the leader after it returned (barriers)
 * Interrupts	a kernel asks block->intr at least every millisecond or so and
 *				returns GM_INTERRUPTED; no member then takes another block of
 *				the phase, and run returns that status
 * Death		of a member in the middle of a block: the phase is lost, and run
 *				must return a status, not take its blocks again, since kernels
 *				work in place
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_COMPUTE_TEAM_H
#define GM_COMPUTE_TEAM_H

#include "core/base.h"

/* a member's own memory, for the blocks it takes; aligned to 64 */
#define GM_TEAM_SCRATCH_BYTES	(4 * 1024 * 1024)
#define GM_TEAM_ARG_BYTES		192

typedef uint64_t GmOffset;

#define GM_NOWHERE	UINT64_C(0)

typedef enum GmKernel
{
	GM_KERNEL_SORT_ROWS = 0,	/* csr.c */
	GM_KERNEL_DEGREES,
	GM_KERNEL_PRODUCT,			/* sparse.c */
	GM_KERNEL_GRAM,				/* dense.c */
	GM_KERNEL_TRANSFORM,
	GM_KERNEL_PEAKS,
	GM_KERNEL_FIRST_PEAKS,
	GM_KERNEL_FINISH,
	GM_KERNEL_COMBINE,
	GM_KERNEL_FILL,
	GM_KERNEL_PACK,
	GM_KERNEL_SCATTER			/* walk.c */
} GmKernel;

typedef struct GmBlock
{
	char	   *base;
	const void *args;			/* aligned as malloc aligns */
	uint32_t	block;
	char	   *scratch;
	const GmInterrupt *intr;	/* of the process that runs it */
} GmBlock;

typedef struct GmTeam GmTeam;

struct GmTeam
{
	char	   *base;
	char	   *scratch;		/* the leader's own */
	const GmInterrupt *intr;
	/* one phase; bytes <= GM_TEAM_ARG_BYTES */
	GmStatus	(*run) (GmTeam *team, GmKernel kernel, const void *args,
						size_t bytes, uint32_t blocks);
};

extern GmStatus gm_team_block(GmKernel kernel, const GmBlock *block);

/* base must be aligned to 64 bytes, scratch too */
extern void gm_team_single(GmTeam *team, char *base, char *scratch,
						   const GmInterrupt *intr);

#endif							/* GM_COMPUTE_TEAM_H */
