/*-------------------------------------------------------------------------
 *
 * topology_store.h
 *	  Rows of topology_vectors, and the change from one version of a computed
 *	  space to the next.
 *
 * A version is a space of its own, with another space_id: it is filled while
 * its row in vector_spaces says state 'computing' and bears a name that no
 * user gives, in transactions of some thousand rows, so that the worker applies
 * them like any others; one last transaction removes the row of the version
 * before, or sets it aside if it is large, and gives its name to the new one.
 * What was set aside, and what a crash leaves half made, gm_store_tidy removes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_TOPOLOGY_STORE_H
#define GM_WORKER_TOPOLOGY_STORE_H

#include "worker/topology_spec.h"

/*
 * Outside of a transaction, as are all but gm_store_put.  Entities that have gone
 * meanwhile get no row.
 */
extern int32 gm_store_begin(int32 graph_id, const GmTopologySpec *spec);

/* how many of them have no direction: their rows say so, instead of a vector */
extern uint32 gm_store_rows(int32 space_id, int32 graph_id, const int64 *entity_id,
							const uint64 *shape, const float *vectors, uint32 n, uint32 dim);

/*
 * results: a JSON object with what came of it, joined to the spec's as the
 * space's parameters.  before: the version that it takes the place of must still
 * be there, else 42704; 0: nobody asks for one.  aside: the version before is
 * only renamed, and is left for gm_store_tidy.
 */
extern void gm_store_finish(int32 space_id, int32 graph_id, const GmTopologySpec *spec,
							const char *results, int32 before, bool aside);
extern void gm_store_drop(int32 space_id);

/* spaces that nobody is computing */
extern void gm_store_tidy(void);

/*
 * In a transaction: rows that are there get these vectors, others are added.
 * shape NULL: they are means of neighbours.
 */
extern void gm_store_put(int32 space_id, int32 graph_id, const int64 *entity_id,
						 const float *vectors, uint32 n, uint32 dim);

#endif							/* GM_WORKER_TOPOLOGY_STORE_H */
