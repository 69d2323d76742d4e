/*-------------------------------------------------------------------------
 *
 * filter.h
 *	  Filters of vector_search and fusion_query as bitmaps over the image.
 *
 * A bitmap is by node, slot, source or row of a space; NULL stands for "all".
 * They are palloc'ed in the current context.  Functions marked SQL run one
 * statement under the active snapshot, as the current user.
 *
 * Interface
 *	 gm_arg_vector				a query vector's elements, checked
 *	 gm_arg_vector_check		and made ready for one space
 *	 gm_filter_properties		entities, sources or triples whose jsonb contains
 *								another (SQL)
 *	 gm_filter_known			entities or sources known by a time
 *	 gm_filter_touched			nodes that a visible fact touches
 *	 gm_filter_touching			slots that touch one of these nodes
 *	 gm_filter_asserted			slots of facts that one of these sources asserts
 *	 gm_filter_asserting		sources that assert one of these slots
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_FILTER_H
#define GM_API_FILTER_H

#include "fmgr.h"

#include "core/graph.h"
#include "core/space.h"
#include "image/image.h"

/* NULL stays NULL; elements are finite numbers, else 22000; in place if possible */
extern const float *gm_arg_vector(FunctionCallInfo fcinfo, int n, const char *name, uint32_t *dim);

/* 22000 for a wrong dimension, a zero vector under cosine, a length too large */
extern void gm_arg_vector_check(const GmSpaceInfo *info, const float *vector, uint32_t dim,
								const char *name, GmSpaceQuery *query);

/*
 * n vectors, one after the other: rows of a two-dimensional array, of *dim
 * elements each, or one-dimensional; then *dim is 0 and *count that of elements.
 */
extern const float *gm_arg_vectors(FunctionCallInfo fcinfo, int n, const char *name,
								   uint32_t *count, uint32_t *dim);

/*
 * The space that a search is about, by default that of entities; NULL if the
 * graph has none, 22023 if it has several and none is meant.
 */
extern GmSpaceInfo *gm_arg_space(FunctionCallInfo fcinfo, int n, GmImage *image);

/* 0 to 100 */
extern int	gm_arg_near_hops(FunctionCallInfo fcinfo, int n, const char *name, int missing);

/* how many candidates an approximate search keeps: checked, the setting for NULL */
extern int	gm_arg_ef_search(FunctionCallInfo fcinfo, int n);

typedef enum GmFiltered
{
	GM_FILTER_ENTITIES = 0,
	GM_FILTER_SOURCES,
	GM_FILTER_TRIPLES
} GmFiltered;

/* NULL for a missing argument and for {}, which every row contains */
extern uint64_t *gm_filter_properties(FunctionCallInfo fcinfo, int n, const GmImage *image,
									  GmFiltered what);

/* NULL for GM_TIME_MAX; entities or sources */
extern uint64_t *gm_filter_known(const GmImage *image, GmFiltered what, int64_t known_at);

extern uint64_t *gm_filter_touched(const GmGraph *graph, const GmView *view);
extern uint64_t *gm_filter_touching(const GmGraph *graph, const uint64_t *nodes);
extern uint64_t *gm_filter_asserted(const GmGraph *graph, const uint64_t *sources,
									int64_t known_at);
extern uint64_t *gm_filter_asserting(const GmGraph *graph, const GmView *view,
									 const uint64_t *slots);

/* sources of these names and sessions; NULL if both arguments are missing */
extern uint64_t *gm_filter_sources(FunctionCallInfo fcinfo, int names, int sessions,
								   const GmGraph *graph);

/* a zeroed bitmap of n bits */
extern uint64_t *gm_filter_make(uint32_t n);

/* those in both; either may be NULL, and both may be changed */
extern uint64_t *gm_filter_and(uint64_t *a, const uint64_t *b, uint32_t n);

#endif							/* GM_API_FILTER_H */
