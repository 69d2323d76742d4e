/*-------------------------------------------------------------------------
 *
 * image.h
 *	  The image that a query runs over, as the SQL functions see it.
 *
 * gm_image_open gives the image of a graph that equals what the active
 * snapshot and the caller's privileges let it see: the shared one
 * (image/shared.c), the shared one with changes laid over it, or a private one
 * (image/private.c).  It stays valid until it is closed, which
 * GM_READING_FUNCTION does when the function returns and the end of the
 * (sub)transaction does after an error; nothing in it may be kept.
 *
 * Interface
 *	 GM_READING_FUNCTION	defines an SQL entry point that opens images
 *	 gm_image_open			whichever image is right
 *	 gm_image_open_shared, gm_image_open_private	one of them, for comparing
 *	 gm_image_space, gm_image_load_space	its vector spaces
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_IMAGE_IMAGE_H
#define GM_IMAGE_IMAGE_H

#include "fmgr.h"

#include "core/graph.h"
#include "core/scratch.h"
#include "core/space_index.h"
#include "shm/spaces.h"

/* a vector space's row in graphmem.vector_spaces */
typedef struct GmSpaceInfo
{
	int32_t		space_id;
	char	   *name;
	char		target;			/* 'e'ntity, 'f'act, 's'ource */
	GmMetric	metric;
	uint32_t	dim;
	bool		computed;		/* from the graph; never meant where none is named */
	bool		computing;		/* not to be searched yet */
	GmSpaceTuning tuning;		/* as read; the space has it too */
	GmSpace    *space;			/* NULL until gm_image_load_space loads it */
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
	bool		shared;			/* laid over or not */
} GmImage;

/*
 * graph_name NULL: the setting graphmem.graph.  Raises 42704 for a graph that
 * does not exist, 42501 without SELECT on the tables, 53400 if the image would
 * pass graphmem.private_memory_limit.
 */
extern GmImage *gm_image_open(const char *graph_name);

/* NULL if that is not possible now, and why in a few words */
extern GmImage *gm_image_open_shared(const char *graph_name, const char **why);
extern GmImage *gm_image_open_private(const char *graph_name);

/* calls the body, counts the call and closes what it opened */
extern Datum gm_image_call(FunctionCallInfo fcinfo, PGFunction body, GmCall call);

#define GM_READING_FUNCTION(name) \
	PG_FUNCTION_INFO_V1(name); \
	static Datum name##_body(PG_FUNCTION_ARGS); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		return gm_image_call(fcinfo, name##_body, GM_CALL_##name); \
	} \
	static Datum \
	name##_body(PG_FUNCTION_ARGS)

/*
 * The space of this name with its vectors loaded.  name NULL: "default", else
 * the only space of that target, of those that are not computed; NULL if there
 * is none then.  A name that does not exist, or is that of a space being
 * computed, raises 42704.  target 0: any.
 */
extern GmSpaceInfo *gm_image_space(GmImage *image, const char *name, char target);

/* the same without a name, among those of dim dimensions alone; 0: any */
extern GmSpaceInfo *gm_image_space_of(GmImage *image, char target, uint32_t dim);

/*
 * The computed space that stands for the graph's topology where none is named:
 * "topology", else the only one; NULL if there is none.
 */
extern GmSpaceInfo *gm_image_topology(GmImage *image);

/*
 * The session's working memory of vector searches, until another query begins;
 * held to the limit between them.
 */
extern GmHnswWork *gm_image_work(void);

/* a search of a shared image's space is counted */
extern void gm_image_searched(const GmImage *image, const GmSpaceInfo *info,
							  const GmSpaceReport *report);

/* one of image->spaces, its vectors perhaps not loaded; NULL: there is none of this id */
extern GmSpaceInfo *gm_image_find_space(const GmImage *image, int32_t space_id);

/* load the vectors of one of image->spaces */
extern void gm_image_load_space(GmImage *image, GmSpaceInfo *info);

/*
 * What open.c offers to shared.c and private.c
 */

/* the session's working memory, within the limit of this moment */
extern GmScratch *gm_image_scratch(void);
extern size_t gm_image_memory_limit(void);

/* may the current role read every row of every table of images; asks the catalogs rarely */
extern bool gm_image_privileged(const char **why);

/* counted up when privileges, roles or the tables themselves may have changed */
extern uint64 gm_image_catalog_changes(void);

extern void gm_image_undefined_graph(const char *name) __attribute__((noreturn));

/* generation and graph_id tell graphs apart that lay in the same memory */
typedef void (*GmPeek) (const GmGraph *graph, uint64_t generation, int32_t graph_id, void *arg);

/*
 * For the planner: a look at the shared image, if the session has had it before
 * and neither waiting, loading nor a statement is needed for it; else false.
 * look raises no error.
 */
extern bool gm_shared_peek(const char *graph_name, GmPeek look, void *arg);

/*
 * shared.c: NULL and why, or raises an error (57P03) if the image is late and
 * the graph too large for a private one.
 */
extern GmImage *gm_shared_open(const char *graph_name, const char **why);
extern GmSpaceEntry *gm_shared_space(const GmImage *image, int32_t space_id);
extern void gm_shared_load_space(GmImage *image, GmSpaceInfo *info);
extern void gm_shared_close(GmImage *image);
extern bool gm_shared_is_overlay(const GmImage *image);
extern void gm_shared_forget(GmImage *image);	/* after an error: no look at shared memory */
extern void gm_shared_end_transaction(void);

/* private.c */
extern GmImage *gm_private_open(const char *graph_name, MemoryContext caller);
extern void gm_private_load_space(GmImage *image, GmSpaceInfo *info);
extern size_t gm_private_bytes(void);

#endif							/* GM_IMAGE_IMAGE_H */
