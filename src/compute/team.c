/*-------------------------------------------------------------------------
 *
 * team.c
 *	  The table of kernels, and the team of one.
 *
 *-------------------------------------------------------------------------
 */
#include "compute/kernels.h"

typedef GmStatus (*KernelFn) (const GmBlock *block);

static const KernelFn kernels[] = {
	[GM_KERNEL_SORT_ROWS] = gm_csr_sort_block,
	[GM_KERNEL_DEGREES] = gm_csr_degrees_block,
	[GM_KERNEL_PRODUCT] = gm_sparse_product_block,
	[GM_KERNEL_GRAM] = gm_dense_gram_block,
	[GM_KERNEL_TRANSFORM] = gm_dense_transform_block,
	[GM_KERNEL_PEAKS] = gm_dense_peaks_block,
	[GM_KERNEL_FIRST_PEAKS] = gm_dense_first_peaks_block,
	[GM_KERNEL_FINISH] = gm_dense_finish_block,
	[GM_KERNEL_COMBINE] = gm_dense_combine_block,
	[GM_KERNEL_FILL] = gm_dense_fill_block,
	[GM_KERNEL_PACK] = gm_dense_pack_block,
	[GM_KERNEL_SCATTER] = gm_walk_scatter_block
};

GmStatus
gm_team_block(GmKernel kernel, const GmBlock *block)
{
	if ((size_t) kernel >= sizeof(kernels) / sizeof(kernels[0]))
		return GM_BAD_VALUE;
	return kernels[kernel] (block);
}

static GmStatus
run_alone(GmTeam *team, GmKernel kernel, const void *args, size_t bytes,
		  uint32_t blocks)
{
	GmBlock		block = {team->base, args, 0, team->scratch, team->intr};

	if (bytes > GM_TEAM_ARG_BYTES)
		return GM_BAD_VALUE;
	for (; block.block < blocks; block.block++)
	{
		if (gm_interrupted(team->intr))
			return GM_INTERRUPTED;
		GM_TRY(gm_team_block(kernel, &block));
	}
	return GM_OK;
}

void
gm_team_single(GmTeam *team, char *base, char *scratch,
			   const GmInterrupt *intr)
{
	team->base = base;
	team->scratch = scratch;
	team->intr = intr;
	team->run = run_alone;
}
