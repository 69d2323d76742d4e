/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  Every setting of graphmem, one variable each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_GUC_H
#define GM_GUC_H

#include <stdbool.h>

typedef enum GmMethod
{
	GM_METHOD_PPR = 0,
	GM_METHOD_HOPS
} GmMethod;

typedef enum GmConsistency
{
	GM_CONSISTENCY_FRESH = 0,	/* a query sees what was committed before it began */
	GM_CONSISTENCY_EVENTUAL		/* it takes the shared image as it is */
} GmConsistency;

#define GM_MOST_BUILD_WORKERS	64
#define GM_MOST_COMPUTE_WORKERS	64

extern char *gm_guc_graph;
extern int	gm_guc_private_memory_limit;	/* MB */
extern int	gm_guc_simd;
extern int	gm_guc_ef_search;
extern int	gm_guc_method;
extern double gm_guc_damping;
extern double gm_guc_ppr_epsilon;
extern int	gm_guc_rrf_k;
extern double gm_guc_semantic_weight;
extern double gm_guc_text_weight;
extern double gm_guc_graph_weight;
extern double gm_guc_topology_weight;
extern double gm_guc_confidence_weight;
extern double gm_guc_recency_weight;
extern int	gm_guc_text_candidates;
extern int	gm_guc_vector_candidates;
extern bool gm_guc_worker;
extern int	gm_guc_worker_naptime;	/* ms */
extern bool gm_guc_admin_friendly;
extern int	gm_guc_memory_limit;	/* MB; 0: none */
extern int	gm_guc_build_workers;
extern int	gm_guc_compute_workers;
extern double gm_guc_topology_threshold;	/* 0: never */
extern bool gm_guc_index_file;
extern int	gm_guc_recall_sample_rate;	/* a minute; 0: none */
extern bool gm_guc_shared_image;
extern int	gm_guc_consistency;
extern int	gm_guc_sync_timeout;	/* ms; 0: do not wait */

extern bool gm_guc_track_timing;

extern void gm_guc_define(void);

#endif							/* GM_GUC_H */
