/*-------------------------------------------------------------------------
 *
 * image.h
 *	  The image that a query runs over, as the SQL functions see it.
 *
 * gm_image_open finds or loads the image of a graph that equals what the
 * active snapshot and the caller's privileges let it see.  It stays valid
 * until the calling function returns; nothing in it may be kept across calls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_IMAGE_IMAGE_H
#define GM_IMAGE_IMAGE_H

#include "core/graph.h"
#include "core/scratch.h"
#include "core/space.h"

/* a vector space's row in graphmem.vector_spaces */
typedef struct GmSpaceInfo
{
	int32_t		space_id;
	char	   *name;
	char		target;			/* 'e'ntity, 'f'act, 's'ource */
	GmMetric	metric;
	uint32_t	dim;
	GmSpace    *space;			/* NULL until gm_image_space loads it */
} GmSpaceInfo;

typedef struct GmImage
{
	int32_t		graph_id;		/* 0: the graph "default" does not exist yet */
	const char *graph_name;
	GmGraph    *graph;			/* empty, not NULL, where there is nothing */
	GmScratch  *scratch;
	int64_t		now;			/* the statement's time, as in GmTimes */
	GmSpaceInfo *spaces;		/* in the order of their ids */
	int			n_spaces;
} GmImage;

/*
 * graph_name NULL: the setting graphmem.graph.  Raises 42704 for a graph that
 * does not exist, 42501 without SELECT on the tables, 53400 if the image would
 * pass graphmem.private_memory_limit.
 */
extern GmImage *gm_image_open(const char *graph_name);

/*
 * The space of this name with its vectors loaded.  name NULL: "default", else
 * the only space of that target; NULL if there is none then.  A name that does
 * not exist raises 42704.  target 0: any.
 */
extern GmSpaceInfo *gm_image_space(GmImage *image, const char *name, char target);

/* load the vectors of one of image->spaces */
extern void gm_image_load_space(GmImage *image, GmSpaceInfo *info);

#endif							/* GM_IMAGE_IMAGE_H */
