/*-------------------------------------------------------------------------
 *
 * api.c
 *	  The module's table of functions.
 *
 *-------------------------------------------------------------------------
 */
#include "compute/api.h"

#include <cblas.h>

static const char *
config(void)
{
	return openblas_get_config();
}

static const GmComputeApi api = {
	.version = GM_COMPUTE_VERSION,
	.config = config,
	.block = gm_team_block,
	.single = gm_team_single,
	.csr_begin = gm_csr_begin,
	.csr_count = gm_csr_count,
	.csr_counted = gm_csr_counted,
	.csr_put = gm_csr_put,
	.csr_finish = gm_csr_finish,
	.embed = gm_topology_embed,
	.align_bytes = gm_topology_align_bytes,
	.align = gm_topology_align
};

__attribute__((visibility("default")))
const GmComputeApi *
graphmem_compute_api(void)
{
	openblas_set_num_threads(1);
	return &api;
}
