/*-------------------------------------------------------------------------
 *
 * recall.c
 *	  How much of the true neighbours an index finds.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/recall.h"

#define SIGN	((uint64_t) 1 << 63)	/* item ids as unsigned numbers of their order */

struct GmRecallSample
{
	int64_t		item_id;
	uint32_t	dim;
	uint32_t	metric;
	uint32_t	k;
	uint32_t	next;			/* row to be compared */
	GmSpaceQuery query;
	GmTopk		top;
	GmTopkItem *items;
	GmSpaceHit *hits;
	float	   *vector;
};

double
gm_recall_share(const GmSpaceHit *hits, uint32_t found, uint32_t k, float farthest)
{
	uint32_t	right = 0;

	if (k == 0)
		return 1;
	for (uint32_t i = 0; i < found; i++)
		right += hits[i].distance <= farthest;
	return (double) (right < k ? right : k) / k;
}

static bool
allocate(GmRecallSample *s)
{
	s->vector = malloc(s->dim * sizeof(float));
	s->items = malloc((s->k + (size_t) 1) * sizeof(GmTopkItem));
	s->hits = malloc((s->k + (size_t) 1) * sizeof(GmSpaceHit));
	return s->vector != NULL && s->items != NULL && s->hits != NULL;
}

GmStatus
gm_recall_begin(const GmSpace *space, uint32_t row, uint32_t k, GmRecallSample **sample)
{
	GmRecallSample *s = NULL;
	GmStatus	status = GM_NO_MEMORY;

	*sample = NULL;
	if (space->root->sp_absent > 0)
		return GM_BAD_VALUE;
	s = calloc(1, sizeof(GmRecallSample));
	if (s == NULL)
		return GM_NO_MEMORY;
	s->item_id = gm_space_item_id(space, row);
	s->dim = space->root->sp_dim;
	s->metric = space->root->sp_metric;
	s->k = k;
	if (allocate(s))
	{
		memcpy(s->vector, gm_space_vector(space, row), s->dim * sizeof(float));
		gm_topk_init(&s->top, s->items, k);
		status = gm_space_prepare(space, s->vector, &s->query);
	}
	if (status != GM_OK)
	{
		gm_recall_free(s);
		return status;
	}
	*sample = s;
	return GM_OK;
}

void
gm_recall_free(GmRecallSample *s)
{
	if (s == NULL)
		return;
	free(s->vector);
	free(s->items);
	free(s->hits);
	free(s);
}

static bool
is_same_kind(const GmRecallSample *s, const GmSpace *space)
{
	return s->dim == space->root->sp_dim && s->metric == space->root->sp_metric &&
		space->root->sp_absent == 0;
}

GmStatus
gm_recall_step(GmRecallSample *s, const GmSpace *space, uint32_t rows, bool *done)
{
	uint32_t	all = space->root->sp_rows;

	*done = false;
	if (!is_same_kind(s, space))
		return GM_BAD_DIM;
	for (; rows > 0 && s->next < all; rows--, s->next++)
	{
		int64_t		item_id = gm_space_item_id(space, s->next);

		if (item_id != s->item_id)
			(void) gm_topk_push(&s->top, gm_space_distance(space, &s->query, s->next),
								(uint64_t) item_id ^ SIGN);
	}
	*done = s->next >= all;
	return GM_OK;
}

/* how many of the true neighbours are still what they were; the farthest of those */
static uint32_t
still_true(const GmRecallSample *s, const GmSpace *space, float *farthest)
{
	uint32_t	n = 0;

	*farthest = 0;
	for (uint32_t i = 0; i < s->top.count; i++)
	{
		const GmTopkItem *item = &s->items[i];
		uint32_t	row = gm_space_find(space, (int64_t) (item->id ^ SIGN));

		if (row == GM_NONE || gm_space_distance(space, &s->query, row) != item->distance)
			continue;
		if (n++ == 0 || item->distance > *farthest)
			*farthest = item->distance;
	}
	return n;
}

GmStatus
gm_recall_end(GmRecallSample *s, GmSpace *space, GmHnswWork *work, uint32_t ef_search,
			  const GmInterrupt *intr, double *recall)
{
	GmSpaceWish wish = {.k = s->k, .ef_search = ef_search};
	GmSpaceReport report;
	uint32_t	found;
	uint32_t	n;
	float		farthest;

	if (!is_same_kind(s, space))
		return GM_BAD_DIM;
	wish.without = gm_space_find(space, s->item_id);
	GM_TRY(gm_space_nearest(space, work, &s->query, &wish, intr, s->hits, &found, &report));
	n = still_true(s, space, &farthest);
	*recall = gm_recall_share(s->hits, found, n, farthest);
	return GM_OK;
}
