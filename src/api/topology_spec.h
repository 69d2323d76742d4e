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
#ifndef GM_API_TOPOLOGY_SPEC_H
#define GM_API_TOPOLOGY_SPEC_H

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

/* palloc'ed */
extern char *gm_topology_spec_json(const GmTopologySpec *spec);

/* false: it is not one (somebody wrote into vector_spaces by hand) */
extern bool gm_topology_spec_parse(const char *json, GmTopologySpec *spec);

/* the name that users know: spectral, walk, propagation, fastrp, smooth */
extern const char *gm_topology_method_name(GmTopologyMethod method);

/* of memory for computing: the adjacency of so many edges, and the work */
extern size_t gm_topology_spec_bytes(const GmTopologySpec *spec, uint32_t nodes, uint64_t edges);

#endif							/* GM_API_TOPOLOGY_SPEC_H */
