/*-------------------------------------------------------------------------
 *
 * api.h
 *	  What the compute module offers to the server's processes: one table of
 *	  functions, so that nothing else need be exported.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_COMPUTE_API_H
#define GM_COMPUTE_API_H

#include "compute/csr.h"
#include "compute/team.h"
#include "compute/topology.h"

#define GM_COMPUTE_VERSION	1

typedef struct GmComputeApi
{
	uint32_t	version;
	const char *(*config) (void);	/* of OpenBLAS */
	GmStatus	(*block) (GmKernel kernel, const GmBlock *block);
	void		(*single) (GmTeam *team, char *base, char *scratch, const GmInterrupt *intr);
	void		(*csr_begin) (GmCsrBuild *build, char *base, GmOffset at, const GmCsrOpts *opts,
							  uint32_t n, uint64_t arcs);
	GmStatus	(*csr_count) (GmCsrBuild *build, uint32_t from, uint32_t to, float weight);
	void		(*csr_counted) (GmCsrBuild *build);
	GmStatus	(*csr_put) (GmCsrBuild *build, uint32_t from, uint32_t to, float weight);
	GmStatus	(*csr_finish) (GmCsrBuild *build, GmTeam *team, GmCsr *csr);
	GmStatus	(*embed) (GmTeam *team, const GmCsr *graph, const GmTopologyOpts *opts,
						  GmOffset given, GmOffset work, size_t work_bytes, GmOffset *out,
						  GmTopologyReport *report);
	size_t		(*align_bytes) (uint32_t dim);
	GmStatus	(*align) (GmTeam *team, GmOffset x, uint32_t n, uint32_t dim, GmOffset old,
						  uint32_t pairs, const uint32_t *now, const uint32_t *before,
						  GmOffset work);
} GmComputeApi;

/* the module's only exported function */
extern const GmComputeApi *graphmem_compute_api(void);

#endif							/* GM_COMPUTE_API_H */
