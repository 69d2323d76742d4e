/*-------------------------------------------------------------------------
 *
 * space.c
 *	  The vectors of one space, and exact search over them.
 *
 * A search without a bitmap goes over whole segments; with one it gathers the
 * numbers of the allowed rows first, so that both can ask for memory a few
 * rows ahead of the kernel.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/space.h"

#define LINE_FLOATS			16		/* floats of a cache line */

/* rows are padded to whole lines where that wastes less than a tenth */
#define PAD_FROM_DIM		160

/*
 * Rows go to the kernel one by one, a few ahead of it being asked for: over
 * memory not in cache that beats four rows at a time (118 k x 300 floats on
 * Zen 3: 8.5 ms against 10.4), because one stream is all that the hardware
 * has to follow.
 */
#define AHEAD_FLOATS		1024
#define FLOATS_PER_LOOK		((uint32_t) 1 << 18)	/* of rows, between interrupts */
#define WORDS_PER_LOOK		((uint32_t) 1 << 16)	/* of a bitmap */
#define GATHERED			256		/* allowed rows gathered at a time */

static void
attach(GmSpace *space)
{
	GmSpaceRoot *root = space->root;

	/* the addresses of an array without segments need no memory */
	(void) gm_array_attach(space->mem, &root->sp_item_id, &space->item_id);
	(void) gm_array_attach(space->mem, &root->sp_number, &space->number);
	(void) gm_array_attach(space->mem, &root->sp_scale, &space->scale);
	(void) gm_array_attach(space->mem, &root->sp_vector, &space->vector);
	(void) gm_array_attach(space->mem, &root->sp_row_of, &space->row_of);
}

GmStatus
gm_space_create(GmMem *mem, uint32_t dim, GmMetric metric, GmSpace **space)
{
	GmSpaceRoot *root;
	GmSpace    *s;
	GmStatus	status;
	GmRef		ref;

	if (dim == 0 || dim > GM_VEC_MAX_DIM)
		return GM_BAD_DIM;
	status = gm_mem_alloc(mem, sizeof(GmSpaceRoot), &ref);
	if (status != GM_OK)
		return status;
	s = calloc(1, sizeof(GmSpace));
	if (s == NULL)
		return GM_NO_MEMORY;
	root = gm_mem_ptr(mem, ref);
	root->sp_dim = dim;
	root->sp_metric = (uint32_t) metric;
	root->sp_stride = dim;
	if (dim >= PAD_FROM_DIM)
		root->sp_stride = (dim + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
	gm_array_init(&root->sp_item_id, sizeof(int64_t));
	gm_array_init(&root->sp_number, sizeof(uint32_t));
	gm_array_init(&root->sp_scale, sizeof(float));
	gm_array_init(&root->sp_vector, root->sp_stride * (uint32_t) sizeof(float));
	gm_array_init(&root->sp_row_of, sizeof(uint32_t));
	s->mem = mem;
	s->root = root;
	attach(s);
	*space = s;
	return GM_OK;
}

void
gm_space_destroy(GmSpace *space)
{
	if (space == NULL)
		return;
	gm_array_detach(&space->item_id);
	gm_array_detach(&space->number);
	gm_array_detach(&space->scale);
	gm_array_detach(&space->vector);
	gm_array_detach(&space->row_of);
	free(space);
}

/*
 * What a vector's dot products are multiplied by; GM_BAD_VALUE if its
 * distances would not mean anything.
 */
static GmStatus
vector_scale(const GmSpaceRoot *root, const float *vector, double *scale)
{
	float		square = gm_vec.dot(vector, vector, root->sp_dim);

	/* so written that NaN is refused */
	if (!(square <= FLT_MAX / 4))
		return GM_BAD_VALUE;
	*scale = 1.0;
	if (root->sp_metric == GM_METRIC_COSINE)
	{
		if (square < GM_SPACE_MIN_SQUARE)
			return GM_BAD_VALUE;
		*scale = 1.0 / sqrt((double) square);
	}
	return GM_OK;
}

GmStatus
gm_space_add(GmSpace *space, int64_t item_id, uint32_t number, const float *vector)
{
	GmSpaceRoot *root = space->root;
	uint64_t	row = root->sp_rows;
	GmStatus	status;
	double		scale;

	if (row >= UINT32_MAX - 1)
		return GM_TOO_MANY;
	status = vector_scale(root, vector, &scale);
	if (status == GM_OK)
		status = gm_array_reserve(space->mem, &space->item_id, row + 1);
	if (status == GM_OK)
		status = gm_array_reserve(space->mem, &space->number, row + 1);
	if (status == GM_OK)
		status = gm_array_reserve(space->mem, &space->scale, row + 1);
	if (status == GM_OK)
		status = gm_array_reserve(space->mem, &space->vector, row + 1);
	if (status != GM_OK)
		return status;
	GM_ARRAY_I64(&space->item_id, row) = item_id;
	GM_ARRAY_U32(&space->number, row) = number;
	GM_ARRAY_F32(&space->scale, row) = (float) scale;
	memcpy(gm_array_at(&space->vector, row), vector, root->sp_dim * sizeof(float));
	root->sp_rows++;
	return GM_OK;
}

/*
 * Order of the rows
 */
typedef struct Place
{
	int64_t		item_id;
	uint32_t	row;
} Place;

static int
compare_places(const void *a, const void *b)
{
	const Place *x = a;
	const Place *y = b;

	return (x->item_id > y->item_id) - (x->item_id < y->item_id);
}

static void
move_row(GmSpace *space, uint32_t to, uint32_t from)
{
	GM_ARRAY_I64(&space->item_id, to) = GM_ARRAY_I64(&space->item_id, from);
	GM_ARRAY_U32(&space->number, to) = GM_ARRAY_U32(&space->number, from);
	GM_ARRAY_F32(&space->scale, to) = GM_ARRAY_F32(&space->scale, from);
	memcpy(gm_array_at(&space->vector, to), gm_array_at(&space->vector, from),
		   space->root->sp_dim * sizeof(float));
}

/*
 * Bring row place[i].row to i, for all i, one cycle of the permutation after
 * the other; spare keeps the vector of the row that a cycle begins with.
 */
static void
permute(GmSpace *space, Place *place, float *spare)
{
	size_t		bytes = space->root->sp_dim * sizeof(float);

	for (uint32_t start = 0; start < space->root->sp_rows; start++)
	{
		int64_t		item_id = GM_ARRAY_I64(&space->item_id, start);
		uint32_t	number = GM_ARRAY_U32(&space->number, start);
		float		scale = GM_ARRAY_F32(&space->scale, start);
		uint32_t	hole = start;

		if (place[start].row == start)
			continue;
		memcpy(spare, gm_array_at(&space->vector, start), bytes);
		while (place[hole].row != start)
		{
			uint32_t	from = place[hole].row;

			move_row(space, hole, from);
			place[hole].row = hole;
			hole = from;
		}
		place[hole].row = hole;
		GM_ARRAY_I64(&space->item_id, hole) = item_id;
		GM_ARRAY_U32(&space->number, hole) = number;
		GM_ARRAY_F32(&space->scale, hole) = scale;
		memcpy(gm_array_at(&space->vector, hole), spare, bytes);
	}
}

static GmStatus
sort_rows(GmSpace *space)
{
	uint32_t	rows = space->root->sp_rows;
	size_t		place_bytes = rows * sizeof(Place);
	size_t		spare_bytes = space->root->sp_dim * sizeof(float);
	Place	   *place;
	float	   *spare;
	GmStatus	status;

	status = gm_mem_temp(space->mem, place_bytes, (void **) &place);
	if (status != GM_OK)
		return status;
	status = gm_mem_temp(space->mem, spare_bytes, (void **) &spare);
	if (status == GM_OK)
	{
		for (uint32_t i = 0; i < rows; i++)
			place[i] = (Place) {GM_ARRAY_I64(&space->item_id, i), i};
		qsort(place, rows, sizeof(Place), compare_places);
		for (uint32_t i = 1; i < rows && status == GM_OK; i++)
			if (place[i].item_id == place[i - 1].item_id)
				status = GM_BAD_VALUE;
		if (status == GM_OK)
			permute(space, place, spare);
	}
	gm_mem_temp_free(space->mem, spare);
	gm_mem_temp_free(space->mem, place);
	return status;
}

GmStatus
gm_space_finish(GmSpace *space, uint32_t numbers)
{
	GmSpaceRoot *root = space->root;
	GmStatus	status = GM_OK;

	for (uint32_t i = 1; i < root->sp_rows; i++)
		if (GM_ARRAY_I64(&space->item_id, i - 1) >= GM_ARRAY_I64(&space->item_id, i))
		{
			status = sort_rows(space);
			break;
		}
	if (status == GM_OK)
		status = gm_array_reserve(space->mem, &space->row_of, numbers);
	if (status != GM_OK)
		return status;
	root->sp_item_id.ar_length = root->sp_number.ar_length = root->sp_rows;
	root->sp_scale.ar_length = root->sp_vector.ar_length = root->sp_rows;
	root->sp_row_of.ar_length = numbers;
	for (uint32_t i = 0; i < root->sp_rows && numbers > 0; i++)
	{
		uint32_t	number = GM_ARRAY_U32(&space->number, i);

		if (number == GM_NONE)
			continue;
		if (number >= numbers)
			return GM_BAD_VALUE;
		GM_ARRAY_U32(&space->row_of, number) = i + 1;
	}
	return GM_OK;
}

uint32_t
gm_space_find(const GmSpace *space, int64_t item_id)
{
	uint32_t	lo = 0;
	uint32_t	hi = space->root->sp_rows;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;

		if (GM_ARRAY_I64(&space->item_id, mid) < item_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < space->root->sp_rows && GM_ARRAY_I64(&space->item_id, lo) == item_id)
		return lo;
	return GM_NONE;
}

/*
 * Distances
 */
GmStatus
gm_space_prepare(const GmSpace *space, const float *vector, GmSpaceQuery *query)
{
	query->vector = vector;
	return vector_scale(space->root, vector, &query->scale);
}

static inline float
metric_distance(GmMetric metric, const GmSpaceQuery *query, const float *row, double scale,
				uint32_t dim)
{
	double		d;

	switch (metric)
	{
		case GM_METRIC_L2:
			return sqrtf(gm_vec.l2sq(query->vector, row, dim));
		case GM_METRIC_IP:
			return -gm_vec.dot(query->vector, row, dim);
		case GM_METRIC_COSINE:
			break;
	}
	d = 1.0 - (double) gm_vec.dot(query->vector, row, dim) * (query->scale * scale);
	return (float) (d < 0.0 ? 0.0 : d > 2.0 ? 2.0 : d);
}

float
gm_space_distance(const GmSpace *space, const GmSpaceQuery *query, uint32_t row)
{
	return metric_distance((GmMetric) space->root->sp_metric, query,
						   gm_space_vector(space, row), GM_ARRAY_F32(&space->scale, row),
						   space->root->sp_dim);
}

double
gm_space_similarity(GmMetric metric, double distance)
{
	switch (metric)
	{
		case GM_METRIC_L2:
			return 1.0 / (1.0 + distance);
		case GM_METRIC_IP:
			return 1.0 / (1.0 + exp(distance));
		case GM_METRIC_COSINE:
			break;
	}
	return distance < 1.0 ? 1.0 - distance : 0.0;
}

/*
 * Search
 */
static inline void
prefetch_floats(const float *from, uint32_t floats)
{
	for (uint32_t i = 0; i < floats; i += LINE_FLOATS)
		gm_prefetch(from + i);
}

/* rows first .. first + n - 1, which lie one after the other */
static void
search_span(const GmSpace *space, const GmSpaceQuery *query, uint32_t first, uint32_t n,
			GmTopk *top)
{
	uint32_t	dim = space->root->sp_dim;
	uint32_t	stride = space->root->sp_stride;
	uint32_t	ahead = AHEAD_FLOATS / stride + 1;
	GmMetric	metric = (GmMetric) space->root->sp_metric;
	const float *rows = gm_space_vector(space, first);

	for (uint32_t i = 0; i < n; i++)
	{
		const float *row = rows + (size_t) i * stride;
		float		distance;

		if (i + ahead < n)
			prefetch_floats(row + (size_t) ahead * stride, stride);
		distance = metric_distance(metric, query, row, GM_ARRAY_F32(&space->scale, first + i),
								   dim);
		if (distance <= gm_topk_worst(top))
			(void) gm_topk_push(top, distance, first + i);
	}
}

static GmStatus
search_all(const GmSpace *space, const GmSpaceQuery *query, const GmInterrupt *intr, GmTopk *top)
{
	uint32_t	rows = space->root->sp_rows;
	uint32_t	per_look = FLOATS_PER_LOOK / space->root->sp_stride;
	uint64_t	n;

	for (uint32_t row = 0; row < rows; row += (uint32_t) n)
	{
		(void) gm_array_span(&space->vector, row, &n);
		if (n > rows - row)
			n = rows - row;
		if (n > per_look)
			n = per_look;
		if (gm_interrupted(intr))
			return GM_INTERRUPTED;
		search_span(space, query, row, (uint32_t) n, top);
	}
	return GM_OK;
}

static void
search_gathered(const GmSpace *space, const GmSpaceQuery *query, const uint32_t *row, uint32_t n,
				GmTopk *top)
{
	uint32_t	stride = space->root->sp_stride;
	uint32_t	ahead = AHEAD_FLOATS / stride + 1;

	for (uint32_t i = 0; i < ahead && i < n; i++)
		prefetch_floats(gm_space_vector(space, row[i]), stride);
	for (uint32_t i = 0; i < n; i++)
	{
		float		distance;

		if (i + ahead < n)
			prefetch_floats(gm_space_vector(space, row[i + ahead]), stride);
		distance = gm_space_distance(space, query, row[i]);
		if (distance <= gm_topk_worst(top))
			(void) gm_topk_push(top, distance, row[i]);
	}
}

static GmStatus
search_allowed(const GmSpace *space, const GmSpaceQuery *query, const uint64_t *allowed,
			   const GmInterrupt *intr, GmTopk *top)
{
	uint32_t	rows = space->root->sp_rows;
	uint32_t	words = (rows + 63) / 64;
	uint32_t	per_look = FLOATS_PER_LOOK / space->root->sp_stride;
	uint32_t	gathered[GATHERED];
	uint32_t	room = per_look < GATHERED ? per_look : GATHERED;
	uint32_t	since_look = 0;
	uint32_t	n = 0;

	for (uint32_t w = 0; w < words; w++)
	{
		uint64_t	bits = allowed[w];

		if (w == words - 1 && rows % 64 != 0)
			bits &= ((uint64_t) 1 << (rows % 64)) - 1;
		while (bits != 0)
		{
			gathered[n++] = w * 64 + (uint32_t) __builtin_ctzll(bits);
			bits &= bits - 1;
			if (n < room)
				continue;
			search_gathered(space, query, gathered, n, top);
			since_look += n * space->root->sp_stride;
			n = 0;
			if (since_look >= FLOATS_PER_LOOK)
			{
				since_look = 0;
				if (gm_interrupted(intr))
					return GM_INTERRUPTED;
			}
		}
		if ((w + 1) % WORDS_PER_LOOK == 0 && gm_interrupted(intr))
			return GM_INTERRUPTED;
	}
	search_gathered(space, query, gathered, n, top);
	return GM_OK;
}

GmStatus
gm_space_search(const GmSpace *space, const GmSpaceQuery *query, uint32_t k,
				const uint64_t *allowed, const GmInterrupt *intr,
				GmSpaceHit *hits, uint32_t *found)
{
	uint32_t	room = k < space->root->sp_rows ? k : space->root->sp_rows;
	size_t		bytes = room * sizeof(GmTopkItem);
	GmTopkItem *items;
	GmTopk		top;
	GmStatus	status;

	*found = 0;
	if (room == 0)
		return GM_OK;
	status = gm_mem_temp(space->mem, bytes, (void **) &items);
	if (status != GM_OK)
		return status;
	gm_topk_init(&top, items, room);
	if (allowed == NULL)
		status = search_all(space, query, intr, &top);
	else
		status = search_allowed(space, query, allowed, intr, &top);
	if (status == GM_OK)
	{
		gm_topk_sort(&top);
		for (uint32_t i = 0; i < top.count; i++)
			hits[i] = (GmSpaceHit) {(uint32_t) items[i].id, items[i].distance};
		*found = top.count;
	}
	gm_mem_temp_free(space->mem, items);
	return status;
}
