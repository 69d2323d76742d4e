/*-------------------------------------------------------------------------
 *
 * matching.h
 *	  Which rows of a vector space the filters of a search let through.
 *
 * The answer has the form that costs least: a list where few rows can match
 * (item_ids, near, filter, known_at), which are compared one by one; a function
 * that is asked about single rows where many match; a bitmap in between.  Where
 * nothing filters no row is looked at.
 *
 * Interface
 *	 gm_match_begin		reads the filters of a call
 *	 gm_match_view		no more than facts that count, or items
 *	 gm_match_nearest	the nearest of the rows that match
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_MATCHING_H
#define GM_API_MATCHING_H

#include "fmgr.h"

#include "core/space_index.h"
#include "image/image.h"

/* where a function has the arguments */
typedef struct GmMatchArgs
{
	int			kinds;
	int			filter;
	int			item_ids;
	int			near;
	int			max_hops;
} GmMatchArgs;

typedef struct GmMatch
{
	const GmImage *image;
	const GmSpaceInfo *info;
	GmView		view;			/* which facts count */

	/* tests of a row; NULL or false: there is no such filter */
	uint64_t   *numbers;		/* by node or source */
	bool	   *kinds;			/* by string number: of nodes */
	text	  **source_kinds;
	int			source_kind_count;
	bool		touched;		/* an entity needs a fact that counts */
	bool		versions;		/* a fact needs a version that counts, */
	uint64_t   *near;			/* of which an end is one of these nodes, */
	uint64_t   *slots;			/* and which is one of these */
	GmFactSlots iter;

	/* those that can pass the tests, ascending; NULL: all rows */
	uint32_t   *rows;
	uint32_t	count;

	/* by hit: its fact's visible version, which was looked for on the way; or NULL */
	GmSlot	   *visible;
} GmMatch;

/* view: what the call says of facts, predicates too; may run statements */
extern void gm_match_begin(FunctionCallInfo fcinfo, const GmMatchArgs *args,
						   const GmImage *image, const GmSpaceInfo *info, const GmView *view,
						   GmMatch *match);

/* rows whose facts count; numbers: of nodes or sources, NULL for all */
extern void gm_match_view(const GmImage *image, const GmSpaceInfo *info, const GmView *view,
						  uint64_t *numbers, GmMatch *match);

/* of the wish all but allowed and accept; hits are palloc'ed */
extern GmSpaceHit *gm_match_nearest(GmMatch *match, const GmSpaceQuery *query, GmSpaceWish wish,
									uint32_t *found);

#endif							/* GM_API_MATCHING_H */
