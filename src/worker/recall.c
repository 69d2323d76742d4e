/*-------------------------------------------------------------------------
 *
 * recall.c
 *	  Recall of the indexes in memory, sampled in the background.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "core/recall.h"
#include "error.h"
#include "guc.h"
#include "shm/spaces.h"
#include "worker/graphs.h"
#include "worker/recall.h"

#define NEIGHBORS		10
#define MEAN_OF			20		/* samples */
#define STEP_FLOATS		((uint32_t) 1 << 17)	/* of rows, compared at a call */
#define LOOK_MS			1000	/* for an index, where there is none */

static GmRecallSample *sample;	/* under way; NULL: none */
static int32 graph_id;			/* of the last sample, or the one under way */
static int32 space_id;
static TimestampTz due;			/* the next one, not before */
static uint32 samples;			/* so far: which row comes next */
static GmHnswWork *work;

typedef struct Choice
{
	bool		found;
	int32		graph_id;
	int32		space_id;
} Choice;

static bool
comes_before(const Choice *c, int32 graph, int32 space)
{
	return c->graph_id < graph || (c->graph_id == graph && c->space_id < space);
}

typedef struct Search
{
	Choice		first;			/* of all */
	Choice		next;			/* after the last one sampled */
} Search;

static void
visit(GmWorkerGraph *g, void *arg)
{
	Search	   *s = arg;
	const Choice last = {true, graph_id, space_id};

	if (g->loading || g->root == 0 || gm_graphs_attach(g) != GM_OK)
		return;
	for (uint32_t i = 0; i < gm_graph_spaces(g->graph); i++)
	{
		int32		id = gm_graph_space_info(g->graph, i)->space_id;
		GmSpace    *space = gm_graph_space(g->graph, i);

		if (space == NULL || !gm_space_has_index(space))
			continue;
		if (!s->first.found || !comes_before(&s->first, g->id, id))
			s->first = (Choice) {true, g->id, id};
		if (comes_before(&last, g->id, id) &&
			(!s->next.found || !comes_before(&s->next, g->id, id)))
			s->next = (Choice) {true, g->id, id};
	}
}

static GmSpace *
find_space(void)
{
	GmWorkerGraph *g = gm_graphs_find(graph_id);

	if (g == NULL || g->loading || g->root == 0 || gm_graphs_attach(g) != GM_OK)
		return NULL;
	for (uint32_t i = 0; i < gm_graph_spaces(g->graph); i++)
		if (gm_graph_space_info(g->graph, i)->space_id == space_id)
			return gm_graph_space(g->graph, i);
	return NULL;
}

static void
forget(void)
{
	gm_recall_free(sample);
	sample = NULL;
}

static void
begin(void)
{
	Search		s;
	GmSpace    *space;

	memset(&s, 0, sizeof(s));
	gm_graphs_each(visit, &s);
	if (!s.next.found)
		s.next = s.first;
	if (!s.next.found)
		return;
	graph_id = s.next.graph_id;
	space_id = s.next.space_id;
	space = find_space();
	if (space == NULL || space->root->sp_rows == 0)
		return;
	(void) gm_recall_begin(space, samples++ * UINT32_C(0x9e3779b1) % space->root->sp_rows,
						   NEIGHBORS, &sample);
}

static void
note(GmArea *area, double recall)
{
	GmSpaceEntry *entry = gm_area_make_space(area, space_id, graph_id);
	double		mean;
	uint32		n;

	if (entry == NULL)
		return;
	n = atomic_load(&entry->se_samples) + 1;
	mean = atomic_load(&entry->se_recall) / 1e6;
	mean += (recall - mean) / Min(n, MEAN_OF);
	atomic_store(&entry->se_recall, (uint32) (mean * 1e6 + 0.5));
	atomic_store(&entry->se_samples, n);
	atomic_store(&entry->se_recall_at, (uint64) GetCurrentTimestamp());
}

static void
wait_for_next(void)
{
	due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 60000 / gm_guc_recall_sample_rate);
}

bool
gm_recall_run(GmArea *area)
{
	GmSpace    *space;
	double		recall;
	bool		done;

	if (gm_guc_recall_sample_rate == 0)
	{
		forget();
		return false;
	}
	if (work == NULL && (work = gm_hnsw_work_create()) == NULL)
		return false;
	if (sample == NULL)
	{
		if (GetCurrentTimestamp() < due)
			return false;
		begin();
		if (sample == NULL)
			due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_MS);
		return sample != NULL;
	}
	space = find_space();
	if (space == NULL || !gm_space_has_index(space) ||
		gm_recall_step(sample, space, STEP_FLOATS / space->root->sp_stride + 1, &done) != GM_OK)
	{
		forget();
		wait_for_next();
		return false;
	}
	if (!done)
		return true;
	if (gm_recall_end(sample, space, work, (uint32) gm_guc_ef_search, &gm_server_interrupt,
					  &recall) == GM_OK)
		note(area, recall);
	forget();
	wait_for_next();
	return false;
}

long
gm_recall_next_ms(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (gm_guc_recall_sample_rate == 0)
		return -1;
	return due <= now ? 0 : TimestampDifferenceMilliseconds(now, due) + 1;
}
