/*-------------------------------------------------------------------------
 *
 * estimate.h
 *	  How much a query will find, before it runs.
 *
 * A shape is what estimates rest on: how large the graph is, and how many facts
 * the entity at the end of an arbitrary fact has.  Seen from facts, an entity
 * of d facts counts d times, which is what a walk meets: it is the hubs that
 * make two hops from anywhere so many entities.  Seen from entities the same
 * numbers are weighted by 1 / d again.
 *
 * A walk has scanned A arcs.  An entity of degree d of all D ends of facts is
 * missed by all of them with probability exp(-A d / D); the others' degrees
 * add up to the arcs scanned at the next hop.
 *
 * Interface
 *	 gm_shape_clear		nothing known
 *	 gm_shape_look		what a look at 32 facts of an image shows
 *	 gm_degrees_add		what statistics of a table's columns show
 *	 gm_degrees_mean	facts of an entity that has any
 *	 gm_estimate_walk	entities within so many hops, and arcs scanned for them
 *	 gm_estimate_between	facts among them
 *
 * Limits		factor 3 for entities within 1 to 3 hops of a power-law graph of
 *				600,000 facts; filters other than predicates are not looked at
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_ESTIMATE_H
#define GM_CORE_ESTIMATE_H

#include "core/graph.h"

#define GM_SHAPE_FACTS		32	/* looked at */
#define GM_DEGREES_MOST		256

/* degrees of entities at the end of facts; weights add up to 1, none: unknown */
typedef struct GmDegrees
{
	int			n;
	float		weight[GM_DEGREES_MOST];
	float		degree[GM_DEGREES_MOST];
	bool		paired;			/* each two are the ends of one fact */
} GmDegrees;

typedef struct GmShape
{
	double		nodes;
	double		facts;			/* valid now */
	double		predicates;
	double		vectors;
	double		elements;		/* of all vectors */
	double		nearest;		/* elements that a search compares, where there are indexes */
	GmDegrees	out;			/* of subjects, as such */
	GmDegrees	in;				/* of objects, as such */
	GmDegrees	both;			/* of either, both ways */
} GmShape;

extern void gm_shape_clear(GmShape *shape);
extern void gm_shape_look(const GmGraph *graph, GmShape *shape);

/* false: there is no room; degree above 0 */
extern bool gm_degrees_add(GmDegrees *degrees, double weight, double degree);

static inline const GmDegrees *
gm_shape_degrees(const GmShape *s, GmDirection direction)
{
	return direction == GM_BOTH ? &s->both : direction == GM_OUT ? &s->out : &s->in;
}

extern double gm_degrees_mean(const GmDegrees *degrees);

typedef struct GmWalkOpts
{
	GmDirection direction;
	int			hops;
	double		seeds;
	double		first;			/* arcs of the seeds; below 0: as of any entities */
	double		second;			/* arcs of their neighbours; below 0: likewise */
	double		share;			/* of all facts that may be walked, in [0, 1] */
} GmWalkOpts;

typedef struct GmWalkEstimate
{
	double		nodes;			/* seeds included */
	double		arcs;			/* scanned */
	double		met;			/* chance that an end of a fact is one of the nodes */
	double		within;			/* chance that both are */
} GmWalkEstimate;

extern void gm_estimate_walk(const GmShape *shape, const GmWalkOpts *opts,
							 GmWalkEstimate *estimate);
extern double gm_estimate_between(const GmShape *shape, const GmWalkOpts *opts,
								  const GmWalkEstimate *estimate);

#endif							/* GM_CORE_ESTIMATE_H */
