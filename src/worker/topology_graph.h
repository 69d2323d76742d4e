/*-------------------------------------------------------------------------
 *
 * topology_graph.h
 *	  From an image to what embeddings are computed from.
 *
 * Interface
 *	 gm_topology_graph_view		which facts count
 *	 gm_topology_graph_count	nodes, arcs, and the bytes that computing takes
 *	 gm_topology_graph_read		a team, and in its memory the rows of the graph
 *
 * Memory	the team's, and 20 bytes a node of the process while reading, 8
 *			afterwards (shapes); in the current context
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_TOPOLOGY_GRAPH_H
#define GM_WORKER_TOPOLOGY_GRAPH_H

#include "worker/topology_spec.h"
#include "core/arcs.h"
#include "image/image.h"
#include "worker/team.h"

/* pairs of rows that two versions are aligned by, at most */
#define GM_TOPOLOGY_PAIRS	16384

typedef struct GmTopologyGraph
{
	uint32		n;
	uint64		facts;			/* parallel ones too: at most twice as many arcs */
	size_t		bytes;			/* of the team's memory */
	GmNode	   *node;			/* in the image, by number here; until it is read */
	uint64	   *shape;			/* by number */

	/* once it is read; offsets in the team's memory */
	GmTeam	   *team;
	GmCsrBuild	build;			/* all arcs are put */
	GmOffset	keys;			/* entity ids, ascending */
	GmOffset	given;			/* smooth: its vectors */
	GmOffset	pairs;			/* floats for GM_TOPOLOGY_PAIRS rows, or n if that is less */
	GmOffset	align;			/* work memory of aligning */
	GmOffset	work;			/* all the rest */
	size_t		work_bytes;
} GmTopologyGraph;

typedef struct GmTopologyReading
{
	GmImage    *image;
	const GmTopologySpec *spec;
	const GmInterrupt *intr;
	int			members;
	GmTeamService service;
	void	   *service_arg;
} GmTopologyReading;

/* what the spec shows of the graph; predicates that it does not know match nothing */
extern void gm_topology_graph_view(const GmImage *image, const GmTopologySpec *spec, GmView *view);

/* both inside of the transaction in which the image was opened */
extern void gm_topology_graph_count(const GmTopologyReading *reading, GmTopologyGraph *graph);
extern void gm_topology_graph_read(const GmTopologyReading *reading, GmTopologyGraph *graph);

#endif							/* GM_WORKER_TOPOLOGY_GRAPH_H */
