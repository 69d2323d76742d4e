/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  Every setting of graphmem in one table of definitions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "compat.h"
#include "core/vec.h"
#include "guc.h"

char	   *gm_guc_graph;
int			gm_guc_private_memory_limit = 256;
int			gm_guc_simd = GM_SIMD_AUTO;
int			gm_guc_ef_search = 64;
int			gm_guc_method = GM_METHOD_PPR;
double		gm_guc_damping = 0.85;
double		gm_guc_ppr_epsilon = 1e-4;
int			gm_guc_rrf_k = 1;
double		gm_guc_semantic_weight = 1.0;
double		gm_guc_text_weight = 1.0;
double		gm_guc_graph_weight = 0.5;
double		gm_guc_topology_weight = 0.0;
double		gm_guc_confidence_weight = 0.25;
double		gm_guc_recency_weight = 0.0;
int			gm_guc_text_candidates = 50;
int			gm_guc_vector_candidates = 16;
bool		gm_guc_worker = true;
int			gm_guc_worker_naptime = 1000;
bool		gm_guc_admin_friendly = true;
int			gm_guc_memory_limit = 1024;
int			gm_guc_build_workers = 2;
int			gm_guc_compute_workers = 1;
double		gm_guc_topology_threshold = 0.1;
bool		gm_guc_index_file = true;
int			gm_guc_recall_sample_rate = 0;
bool		gm_guc_shared_image = true;
int			gm_guc_consistency = GM_CONSISTENCY_FRESH;
int			gm_guc_sync_timeout = 10000;
bool		gm_guc_track_timing = false;

static const struct config_enum_entry simd_options[] = {
	{"auto", GM_SIMD_AUTO, false},
	{"scalar", GM_SIMD_SCALAR, false},
	{"avx2", GM_SIMD_AVX2, false},
	{"avx512", GM_SIMD_AVX512, false},
	{"neon", GM_SIMD_NEON, false},
	{NULL, 0, false}
};

static const struct config_enum_entry method_options[] = {
	{"ppr", GM_METHOD_PPR, false},
	{"hops", GM_METHOD_HOPS, false},
	{NULL, 0, false}
};

static const struct config_enum_entry consistency_options[] = {
	{"fresh", GM_CONSISTENCY_FRESH, false},
	{"eventual", GM_CONSISTENCY_EVENTUAL, false},
	{NULL, 0, false}
};

static const struct
{
	const char *name;
	double	   *variable;
	const char *description;
}			weights[] = {
	{"graphmem.semantic_weight", &gm_guc_semantic_weight,
	"Weight of the vector leg in fusion_query."},
	{"graphmem.text_weight", &gm_guc_text_weight,
	"Weight of the text leg in fusion_query."},
	{"graphmem.graph_weight", &gm_guc_graph_weight,
	"Weight of the graph leg in fusion_query."},
	{"graphmem.topology_weight", &gm_guc_topology_weight,
	"Weight of the topology leg in fusion_query."},
	{"graphmem.confidence_weight", &gm_guc_confidence_weight,
	"Weight of the best path's confidence in fusion_query."},
	{"graphmem.recency_weight", &gm_guc_recency_weight,
	"Weight of the best path's recency in fusion_query."},
};

static bool
check_simd(int *newval, void **extra, GucSource source)
{
	if (*newval != GM_SIMD_AUTO && gm_vec_kernels((GmSimd) *newval) == NULL)
	{
		GUC_check_errdetail("This machine cannot run these instructions.");
		return false;
	}
	return true;
}

static void
assign_simd(int newval, void *extra)
{
	(void) gm_vec_choose((GmSimd) newval);
}

void
gm_guc_define(void)
{
	DefineCustomStringVariable("graphmem.graph",
							   "Sets the graph that functions and views use when none is named.",
							   NULL, &gm_guc_graph, "default",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("graphmem.private_memory_limit",
							"Sets the memory that a session's private image of a graph may use.",
							NULL, &gm_guc_private_memory_limit, 256, 1, INT_MAX / 2,
							PGC_USERSET, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomEnumVariable("graphmem.simd",
							 "Selects the instructions that distances are computed with.",
							 NULL, &gm_guc_simd, GM_SIMD_AUTO, simd_options,
							 PGC_USERSET, 0, check_simd, assign_simd, NULL);
	DefineCustomIntVariable("graphmem.ef_search",
							"Sets how many candidates a search of a vector index keeps.",
							"More find more of the true neighbours and take longer. At least match_count are kept. graphmem.recall_check() advises a value.", &gm_guc_ef_search, 64, 1, 100000,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("graphmem.method",
							 "Selects how fusion_query spreads from its seeds.",
							 NULL, &gm_guc_method, GM_METHOD_PPR, method_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("graphmem.damping",
							 "Sets the probability that a random walk goes on rather than restarts.",
							 NULL, &gm_guc_damping, 0.85, 0.0, 0.999,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("graphmem.ppr_epsilon",
							 "Sets the error bound of personalised PageRank, per unit of degree.",
							 NULL, &gm_guc_ppr_epsilon, 1e-4, 1e-12, 1.0,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("graphmem.rrf_k",
							"Sets the constant k of reciprocal rank fusion.",
							NULL, &gm_guc_rrf_k, 1, 0, 1000000,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("graphmem.text_candidates",
							"Sets how many candidates text search hands to fusion_query.",
							NULL, &gm_guc_text_candidates, 50, 1, 10000,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("graphmem.vector_candidates",
							"Sets how many nearest vectors of each space fusion_query starts from.",
							NULL, &gm_guc_vector_candidates, 16, 1, 10000,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("graphmem.worker",
							 "Starts a background worker in databases that use graphmem.",
							 NULL, &gm_guc_worker, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("graphmem.worker_naptime",
							"Sets how often an idle worker looks for work that nobody told it of.",
							NULL, &gm_guc_worker_naptime, 1000, 10, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("graphmem.admin_friendly",
							 "Makes the worker give way to DROP DATABASE and its like.",
							 "They end it or cancel its load, as they do with autovacuum; it comes back.",
							 &gm_guc_admin_friendly, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("graphmem.memory_limit",
							"Sets the shared memory that the images of a database may use.",
							"0 means no limit.", &gm_guc_memory_limit, 1024, 0, INT_MAX / 2,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("graphmem.build_workers",
							"Sets how many processes help a worker to build indexes of vectors.",
							"0: the worker does it alone.",
							&gm_guc_build_workers, 2, 0, GM_MOST_BUILD_WORKERS,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("graphmem.compute_workers",
							"Sets how many processes compute vectors from the shape of a graph.",
							"They take up to that many of max_worker_processes while they compute.",
							&gm_guc_compute_workers, 1, 1, GM_MOST_COMPUTE_WORKERS,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("graphmem.topology_threshold",
							 "Sets the share of changed entities from which a graph's computed vectors are computed again.",
							 "0: only when refresh_topology is called.",
							 &gm_guc_topology_threshold, 0.1, 0.0, 1.0,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("graphmem.index_file",
							 "Keeps indexes of vectors in files, so that a restart need not build them again.",
							 "Base backups leave the files out; what is in them is never trusted.",
							 &gm_guc_index_file, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("graphmem.recall_sample_rate",
							"Sets how many vectors a minute the worker looks at to see what indexes find.",
							"The recall is shown in graphmem.stat_vector. 0: none.",
							&gm_guc_recall_sample_rate, 0, 0, 6000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("graphmem.shared_image",
							 "Lets queries use the shared image; off answers from private ones.",
							 NULL, &gm_guc_shared_image, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("graphmem.consistency",
							 "Selects whether a query waits for what was committed before it began.",
							 NULL, &gm_guc_consistency, GM_CONSISTENCY_FRESH, consistency_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("graphmem.sync_timeout",
							"Sets how long a query waits for the shared image.",
							"0 means that it does not wait.", &gm_guc_sync_timeout, 10000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("graphmem.track_timing",
							 "Measures how long each call of a function takes.",
							 "The times are shown in graphmem.stat_function and graphmem.stat_backend.",
							 &gm_guc_track_timing, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	for (size_t i = 0; i < lengthof(weights); i++)
		DefineCustomRealVariable(weights[i].name, weights[i].description, NULL,
								 weights[i].variable, *weights[i].variable, 0.0, 1000.0,
								 PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("graphmem");
}
