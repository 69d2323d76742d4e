/*-------------------------------------------------------------------------
 *
 * topology.c
 *	  The way from a graph to its vectors.
 *
 *-------------------------------------------------------------------------
 */
#include "compute/job.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

/* ---- running ---- */

static GmStatus
degrees(GmJob *job)
{
	GmDegreeArgs args = {*job->graph, job->degree, job->partial};
	uint32_t	blocks = gm_blocks(job->n, GM_BLOCK_ROWS);
	const double *totals = GM_AT(job->team->base, job->partial, double);

	GM_TRY(gm_job_run(job, GM_KERNEL_DEGREES, &args, sizeof(args), blocks));
	job->volume = 0;
	for (uint32_t b = 0; b < blocks; b++)
		job->volume += totals[b];
	return GM_OK;
}

static GmStatus
run_method(GmJob *job, GmOffset *out)
{
	switch (job->opts->method)
	{
		case GM_TOPOLOGY_SPECTRAL:
			return gm_spectral_run(job, out);
		case GM_TOPOLOGY_WALK:
			return gm_walk_run(job, out);
		case GM_TOPOLOGY_PRONE:
			return gm_prone_run(job, out);
		case GM_TOPOLOGY_FASTRP:
			return gm_fastrp_run(job, out);
		case GM_TOPOLOGY_SMOOTH:
			return gm_smooth_run(job, out);
	}
	return GM_BAD_VALUE;
}

/* the graph has arcs, or vectors were given */
static GmStatus
compute(GmJob *job, GmOffset *out)
{
	GmPackArgs	pack;

	GM_TRY(degrees(job));
	GM_TRY(run_method(job, out));
	if (job->matrix[3] == GM_NOWHERE)
		return GM_OK;
	pack = (GmPackArgs) {*out, job->matrix[3], job->n, job->stride, job->dim, GM_CELLS_FLOAT};
	*out = job->matrix[3];
	return gm_job_run(job, GM_KERNEL_PACK, &pack, sizeof(pack),
					  gm_blocks(job->n, GM_BLOCK_ROWS));
}

static GmStatus
compute_with_memory(GmJob *job, GmOffset *out)
{
	size_t		most = job->most;
	size_t		cells = 3 * most * most + 2 * most + gm_job_lapack_cells(job->most);
	double	   *memory = malloc(cells * sizeof(double));
	GmStatus	status;

	if (memory == NULL)
		return GM_NO_MEMORY;
	job->gram = memory;
	job->vectors = job->gram + most * most;
	job->basis = job->vectors + most * most;
	job->values = job->basis + most * most;
	job->lapack = job->values + 2 * most;
	status = compute(job, out);
	free(memory);
	return status;
}

GmStatus
gm_topology_embed(GmTeam *team, const GmCsr *graph, const GmTopologyOpts *opts,
				  GmOffset given, GmOffset work, size_t work_bytes,
				  GmOffset *out, GmTopologyReport *report)
{
	GmTopologyReport unwanted;
	GmJob		job = {
		.team = team, .graph = graph, .opts = opts, .given = given,
		.report = report != NULL ? report : &unwanted
	};
	bool		smooth = opts->method == GM_TOPOLOGY_SMOOTH;

	memset(job.report, 0, sizeof(*job.report));
	if (!gm_topology_check(opts, NULL) || (smooth && given == GM_NOWHERE) ||
		(graph->directed && !smooth && opts->method != GM_TOPOLOGY_FASTRP))
		return GM_BAD_VALUE;
	if (gm_job_lay_out(&job, opts, graph->n, work) > work + work_bytes)
		return GM_NO_MEMORY;
	*out = job.matrix[0];
	if (graph->n == 0)
		return GM_OK;
	if (graph->arcs == 0 && !smooth)
	{
		memset(team->base + *out, 0, (size_t) graph->n * opts->dim * sizeof(float));
		return GM_OK;
	}
	openblas_set_num_threads(1);
	return compute_with_memory(&job, out);
}
