/*-------------------------------------------------------------------------
 *
 * topology_spec.h
 *	  What refresh_topology is asked for, as arguments, as JSON and as options
 *	  of compute/topology.h.
 *
 * The JSON is a job's tj_spec and, with what came of it beside, the parameters
 * of a computed space in vector_spaces.  Every option is in it, defaults too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_TOPOLOGY_SPEC_H
#define GM_WORKER_TOPOLOGY_SPEC_H

#include "utils/jsonb.h"

#include "compute/topology.h"

typedef struct GmTopologySpec
{
	GmTopologyOpts opts;
	char	   *space;			/* name of the result */
	char	   *given;			/* smooth: the user's space whose vectors are smoothed */
	char	  **predicates;		/* sorted, distinct names */
	int			n_predicates;	/* -1: all */
	bool		weighted;		/* by confidence */
	bool		align;			/* turned towards the version before */
} GmTopologySpec;

/*
 * options: an object of numbers and booleans, NULL for none.  Raises 22023 for
 * unknown keys, values out of range, options of another method; 42704 for an
 * unknown method.
 */
extern void gm_topology_spec_make(const char *method, int dim, int64 seed, Jsonb *options,
								  GmTopologySpec *spec);

/* options on top of those that the spec has; the same errors */
extern void gm_topology_spec_set(GmTopologySpec *spec, Jsonb *options);
extern void gm_topology_spec_check_dim(int dim);

/* palloc'ed */
extern char *gm_topology_spec_json(const GmTopologySpec *spec);

/* false: it is not one (somebody wrote into vector_spaces by hand) */
extern bool gm_topology_spec_parse(const char *json, GmTopologySpec *spec);

/* the name that users know: spectral, walk, propagation, fastrp, smooth */
extern const char *gm_topology_method_name(GmTopologyMethod method);

/* of memory for computing: the adjacency of so many edges, and the work */
extern size_t gm_topology_spec_bytes(const GmTopologySpec *spec, uint32_t nodes, uint64_t edges);

/* that the image grows by, the index included */
extern size_t gm_topology_space_bytes(const GmTopologySpec *spec, uint32_t nodes);

/* of wall time with so many processes; within a factor of 3 */
extern double gm_topology_spec_seconds(const GmTopologySpec *spec, uint32_t nodes,
									   uint64_t edges, int members);

#endif							/* GM_WORKER_TOPOLOGY_SPEC_H */
