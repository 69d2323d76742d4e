/*-------------------------------------------------------------------------
 *
 * fn_recall.c
 *	  recall_check: what a space's index finds, and which ef_search that takes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "api/args.h"
#include "api/filter.h"
#include "api/rows.h"
#include "core/recall.h"
#include "error.h"
#include "image/call.h"
#include "image/image.h"

#define DOING			"checking recall"

#define MOST_SAMPLED	100000
#define MOST_MATCHES	10000
#define HITS_BYTES		((Size) 16 << 20)	/* of exact searches that share a pass */
#define TIMED_EXACT		3		/* searches alone, for their time */

static const uint32_t ladder[] = {
	16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024
};

#define MOST_TRIED		(lengthof(ladder) + 1)

enum
{
	ARG_SPACE,
	ARG_SAMPLE,
	ARG_MATCH_COUNT,
	ARG_EF_SEARCH,
	ARG_TARGET,
	ARG_GRAPH
};

/* a value of ef_search, and what it gave */
typedef struct Tried
{
	uint32_t	ef_search;
	double		recall;
	double		least;
	double		us;
} Tried;

typedef struct Recall
{
	GmSpace    *space;
	uint32_t	n;				/* vectors sampled */
	uint32_t	k;				/* neighbours that each can have */
	float	   *farthest;		/* of each one's true ones */
	GmSpaceHit *hits;			/* room for k + 1 */
	float	   *vector;			/* of the query */
	double		exact_us;
	uint64		searches;		/* done so far, for who watches */
	uint64		expected;
} Recall;

static uint32_t
row_of(const Recall *r, uint32_t i)
{
	return gm_recall_row(r->space->root->sp_rows, i, r->n);
}

static void
read_vector(const Recall *r, uint32_t i, float *vector, GmSpaceQuery *query)
{
	uint32_t	row = row_of(r, i);
	bool		there;

	gm_error_check(gm_space_read(r->space, row, vector, &there), DOING);
	if (!there)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the vector of item %lld is not in the table",
						(long long) gm_space_item_id(r->space, row))));
	gm_error_check(gm_space_prepare(r->space, vector, query), DOING);
}

static void
prepare_query(const Recall *r, uint32_t i, GmSpaceQuery *query)
{
	read_vector(r, i, r->vector, query);
}

static double
elapsed_us(instr_time begin)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, begin);
	return INSTR_TIME_GET_DOUBLE(now) * 1e6;
}

/* the farthest of the k nearest but for the row itself */
static float
farthest_of(const GmSpaceHit *hits, uint32_t found, uint32_t k, uint32_t row)
{
	float		farthest = 0;

	for (uint32_t i = 0; i < found && k > 0; i++)
		if (hits[i].row != row)
		{
			farthest = hits[i].distance;
			k--;
		}
	return farthest;
}

/* gm_space_search_batch wants the vectors one after the other */
static void
find_truth(Recall *r)
{
	uint32_t	dim = r->space->root->sp_dim;
	Size		bytes = (r->k + 1) * sizeof(GmSpaceHit) + dim * sizeof(float);
	uint32_t	at_once = (uint32_t) Min(Max(HITS_BYTES / bytes, 1), r->n);
	GmSpaceQuery *query = palloc(at_once * sizeof(GmSpaceQuery));
	uint32_t   *found = palloc(at_once * sizeof(uint32_t));
	float	   *vectors = palloc((Size) at_once * dim * sizeof(float));
	GmSpaceHit *hits = palloc((Size) at_once * (r->k + 1) * sizeof(GmSpaceHit));

	for (uint32_t first = 0; first < r->n; first += at_once)
	{
		uint32_t	n = Min(at_once, r->n - first);

		for (uint32_t i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			read_vector(r, first + i, vectors + (Size) i * dim, &query[i]);
		}
		gm_error_check(gm_space_search_batch(r->space, query, n, r->k + 1, &gm_server_interrupt,
											 hits, found), DOING);
		for (uint32_t i = 0; i < n; i++)
			r->farthest[first + i] = farthest_of(hits + (Size) i * (r->k + 1), found[i], r->k,
												 row_of(r, first + i));
	}
}

/* what a search without an index takes, once memory is warm */
static void
time_exact(Recall *r)
{
	uint32_t	n = gm_space_needs_index(r->space) ? 1 : Min(r->n, TIMED_EXACT);
	GmSpaceQuery query;
	uint32_t	found;
	instr_time	begin;

	INSTR_TIME_SET_CURRENT(begin);
	for (uint32_t i = 0; i < n; i++)
	{
		prepare_query(r, i, &query);
		gm_error_check(gm_space_search(r->space, &query, r->k, NULL, &gm_server_interrupt,
									   r->hits, &found), DOING);
	}
	r->exact_us = elapsed_us(begin) / Max(n, 1);
}

static void
try_ef_search(Recall *r, Tried *t)
{
	GmSpaceWish wish = {.k = r->k, .ef_search = t->ef_search};
	GmSpaceReport report;
	GmSpaceQuery query;
	double		sum = 0;
	uint32_t	found;
	instr_time	begin;

	t->least = 1;
	t->us = 0;
	for (uint32_t i = 0; i < r->n; i++)
	{
		double		share;

		CHECK_FOR_INTERRUPTS();
		gm_call_phase(GM_PHASE_VECTORS, r->searches++, r->expected);
		wish.without = row_of(r, i);
		prepare_query(r, i, &query);
		INSTR_TIME_SET_CURRENT(begin);
		gm_error_check(gm_space_nearest(r->space, gm_image_work(), &query, &wish,
										&gm_server_interrupt, r->hits, &found, &report), DOING);
		t->us += elapsed_us(begin);
		share = gm_recall_share(r->hits, found, r->k, r->farthest[i]);
		sum += share;
		t->least = Min(t->least, share);
	}
	t->recall = sum / r->n;
	t->us /= r->n;
}

static void
put_tried(GmRows *rows, const Recall *r, const Tried *t, bool has_index, bool current, bool advised)
{
	gm_row_int4(rows, (int32_t) t->ef_search);
	gm_row_float4(rows, (float) t->recall);
	gm_row_float4(rows, (float) t->least);
	if (has_index)
		gm_row_float8(rows, t->us);
	else
		gm_row_null(rows);
	gm_row_float8(rows, r->exact_us);
	gm_row_bool(rows, current);
	gm_row_bool(rows, advised);
	gm_rows_put(rows);
}

/* values to try, ascending; as many as k are taken anyway */
static int
values_to_try(uint32_t current, uint32_t k, Tried *tried)
{
	bool		seen = false;
	int			n = 0;

	for (int i = 0; i < lengthof(ladder); i++)
	{
		if (!seen && current <= ladder[i])
		{
			seen = true;
			tried[n++].ef_search = current;
			if (current == ladder[i])
				continue;
		}
		if (ladder[i] >= k)
			tried[n++].ef_search = ladder[i];
	}
	if (!seen)
		tried[n++].ef_search = current;
	return n;
}

/*
 * recall_check(space, sample, match_count, ef_search, target_recall, graph)
 */
GM_READING_FUNCTION(graphmem_recall_check)
{
	Recall		r = {0};
	Tried		tried[MOST_TRIED] = {{0}};
	GmImage    *image;
	GmSpaceInfo *info;
	GmRows		rows;
	bool		reached = false;
	double		target;
	uint32_t	current;
	int			n;

	r.n = (uint32_t) gm_arg_between(fcinfo, ARG_SAMPLE, "sample", 1, MOST_SAMPLED, 100);
	r.k = (uint32_t) gm_arg_between(fcinfo, ARG_MATCH_COUNT, "match_count", 1, MOST_MATCHES, 10);
	current = (uint32_t) gm_arg_ef_search(fcinfo, ARG_EF_SEARCH);
	target = gm_arg_real(fcinfo, ARG_TARGET, "target_recall", 0, 1, 0.95);
	image = gm_image_open(gm_arg_cstring(fcinfo, ARG_GRAPH));
	info = gm_arg_space(fcinfo, ARG_SPACE, image);
	gm_rows_begin(fcinfo, &rows);
	if (info == NULL || info->space->root->sp_rows == 0)
		return (Datum) 0;
	r.space = info->space;
	r.n = Min(r.n, r.space->root->sp_rows);
	r.k = Min(r.k, r.space->root->sp_rows - 1);
	r.hits = palloc((r.k + 1) * sizeof(GmSpaceHit));
	r.vector = palloc(r.space->root->sp_dim * sizeof(float));
	time_exact(&r);
	if (!gm_space_has_index(r.space))
	{
		Tried		exact = {current, 1, 1, 0};

		put_tried(&rows, &r, &exact, false, true, true);
		return (Datum) 0;
	}
	r.farthest = palloc(r.n * sizeof(float));
	find_truth(&r);
	n = values_to_try(current, r.k, tried);
	r.expected = (uint64) n * r.n;
	for (int i = 0; i < n; i++)
	{
		bool		advised;

		if (reached && tried[i].ef_search != current)
			continue;
		try_ef_search(&r, &tried[i]);
		advised = !reached && tried[i].recall >= target;
		reached |= advised;
		put_tried(&rows, &r, &tried[i], true, tried[i].ef_search == current, advised);
	}
	return (Datum) 0;
}
