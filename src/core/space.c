/*-------------------------------------------------------------------------
 *
 * space.c
 *	  The vectors of one space, and exact search over them.
 *
 * A search without a bitmap goes over whole pages; with one it gathers the
 * numbers of the allowed rows first, so that both can ask for memory a few
 * rows ahead of the kernel.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/space_index.h"
#include "core/space_private.h"

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

/*
 * A batch takes so much of the rows at a time, and four queries against each of
 * them: both stay in the first-level cache.
 */
#define BLOCK_FLOATS		4096
#define QUERIES_AT_ONCE		4
#define QUERIES_PER_LOOK	16		/* against GM_SPACE_GATHERED rows */

static GmStatus
attach(GmSpace *space, GmRef ref)
{
	GmSpaceRoot *root = gm_mem_ptr(space->mem, ref);

	space->root = root;
	space->ref = ref;
	space->hnsw_current = false;
	GM_TRY(gm_array_attach(space->mem, &root->sp_item_id, &space->item_id));
	GM_TRY(gm_array_attach(space->mem, &root->sp_number, &space->number));
	GM_TRY(gm_array_attach(space->mem, &root->sp_scale, &space->scale));
	GM_TRY(gm_array_attach(space->mem, &root->sp_vector, &space->vector));
	GM_TRY(gm_array_attach(space->mem, &root->sp_hash, &space->hash));
	GM_TRY(gm_array_attach(space->mem, &root->sp_row_of, &space->row_of));
	GM_TRY(gm_array_attach(space->mem, &root->sp_node_of, &space->node_of));
	GM_TRY(gm_array_attach(space->mem, &root->sp_row_at, &space->row_at));
	GM_TRY(gm_array_attach(space->mem, &root->sp_pending, &space->pending));
	GM_TRY(gm_array_attach(space->mem, &root->sp_made, &space->made));
	GM_TRY(gm_array_attach(space->mem, &root->sp_dead, &space->dead));
	return gm_index_attach(space->mem, &root->sp_by_item, &space->by_item);
}

void
gm_space_root_no_index(GmSpaceRoot *root)
{
	memset(&root->sp_index, 0, sizeof(root->sp_index));
	gm_array_init(&root->sp_node_of, sizeof(uint32_t), GM_ARRAY_PAGE);
	gm_array_init(&root->sp_row_at, sizeof(uint32_t), GM_ARRAY_PAGE);
	gm_array_init(&root->sp_pending, sizeof(uint32_t), GM_ARRAY_PAGE);
	gm_array_init(&root->sp_made, sizeof(uint32_t), GM_ARRAY_PAGE);
	gm_array_init(&root->sp_dead, sizeof(uint32_t), GM_ARRAY_PAGE);
}

static uint32_t
within(uint32_t value, uint32_t least, uint32_t most)
{
	return value < least ? least : value > most ? most : value;
}

static void
tune(GmSpaceRoot *root, const GmSpaceTuning *tuning)
{
	root->sp_m = (uint16_t) within(tuning->m, GM_SPACE_LEAST_M, GM_HNSW_MOST_M);
	root->sp_ef_construction = within(tuning->ef_construction, GM_SPACE_LEAST_EF_CONSTRUCTION,
									  GM_SPACE_MOST_EF_CONSTRUCTION);
	root->sp_kind = tuning->kind;
	root->sp_in_table = tuning->in_table;
}

void
gm_space_tune(GmSpace *space, const GmSpaceTuning *tuning)
{
	tune(space->root, tuning);
}

bool
gm_space_is_tuned(const GmSpace *space, const GmSpaceTuning *tuning)
{
	const GmSpaceRoot *root = space->root;
	GmSpaceRoot wanted;

	tune(&wanted, tuning);
	return root->sp_m == wanted.sp_m && root->sp_ef_construction == wanted.sp_ef_construction &&
		root->sp_kind == wanted.sp_kind && root->sp_in_table == wanted.sp_in_table;
}

GmStatus
gm_space_create(GmMem *mem, uint32_t dim, GmMetric metric, GmSpace **space)
{
	static const GmSpaceTuning defaults = {
		GM_SPACE_M, GM_SPACE_EF_CONSTRUCTION, GM_CODE_INT8, false
	};
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
	gm_array_init(&root->sp_item_id, sizeof(int64_t), GM_ARRAY_PAGE);
	gm_array_init(&root->sp_number, sizeof(uint32_t), GM_ARRAY_PAGE);
	gm_array_init(&root->sp_scale, sizeof(float), GM_ARRAY_PAGE);
	gm_array_init(&root->sp_vector, root->sp_stride * (uint32_t) sizeof(float),
				  GM_ARRAY_PAGE_LARGE);
	gm_array_init(&root->sp_hash, sizeof(uint64_t), GM_ARRAY_PAGE);
	gm_array_init(&root->sp_row_of, sizeof(uint32_t), GM_ARRAY_PAGE);
	gm_index_init(&root->sp_by_item, 0);
	gm_space_root_no_index(root);
	root->sp_ordered = true;
	tune(root, &defaults);
	s->mem = mem;
	status = attach(s, ref);
	if (status != GM_OK)
		gm_space_destroy(s);
	else
		*space = s;
	return status;
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
	gm_array_detach(&space->hash);
	gm_array_detach(&space->row_of);
	gm_array_detach(&space->node_of);
	gm_array_detach(&space->row_at);
	gm_array_detach(&space->pending);
	gm_array_detach(&space->made);
	gm_array_detach(&space->dead);
	gm_index_detach(&space->by_item);
	gm_encoder_free(space);
	gm_hnsw_destroy(space->hnsw);
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

/*
 * Vectors apart
 */
#define BLOCK_AT(s, row)	((GmRef *) gm_array_at(&(s)->vector, row))
#define HASH_AT(s, row)		((uint64_t *) gm_array_at(&(s)->hash, row))

GmStatus
gm_space_set_apart(GmSpace *space)
{
	GmSpaceRoot *root = space->root;

	root->sp_apart = true;
	gm_array_detach(&space->vector);
	gm_array_init(&root->sp_vector, sizeof(GmRef), GM_ARRAY_PAGE);
	return gm_array_attach(space->mem, &root->sp_vector, &space->vector);
}

static inline size_t
block_bytes(const GmSpace *space)
{
	return space->root->sp_dim * sizeof(float);
}

static GmStatus
make_block(GmSpace *space, const float *vector, GmRef *ref)
{
	GM_TRY(gm_mem_alloc(space->mem, block_bytes(space), ref));
	memcpy(gm_mem_ptr(space->mem, *ref), vector, block_bytes(space));
	return GM_OK;
}

uint64_t
gm_space_hash(const GmSpace *space, uint32_t row)
{
	return space->root->sp_apart ? *HASH_AT(space, row) :
		gm_hash_vector(gm_space_vector(space, row), space->root->sp_dim);
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
	if (status == GM_OK && root->sp_apart)
		status = gm_array_reserve(space->mem, &space->hash, row + 1);
	if (status != GM_OK)
		return status;
	GM_ARRAY_I64(&space->item_id, row) = item_id;
	GM_ARRAY_U32(&space->number, row) = number;
	GM_ARRAY_F32(&space->scale, row) = (float) scale;
	if (!root->sp_apart)
		memcpy(gm_array_at(&space->vector, row), vector, root->sp_dim * sizeof(float));
	else
	{
		*HASH_AT(space, row) = gm_hash_vector(vector, root->sp_dim);
		status = space->encoder != NULL ? gm_encoder_add(space, (uint32_t) row, vector) :
			make_block(space, vector, BLOCK_AT(space, row));
	}
	if (status == GM_OK)
		root->sp_rows++;
	return status;
}

/*
 * Order of the rows
 */
typedef struct Content
{
	int64_t		item_id;
	uint32_t	number;
	uint32_t	made;			/* apart, as it is being built */
	float		scale;
	uint64_t	hash;			/* apart */
	GmRef		block;
} Content;

static void
get_content(const GmSpace *space, uint32_t row, Content *c)
{
	memset(c, 0, sizeof(*c));
	c->item_id = GM_ARRAY_I64(&space->item_id, row);
	c->number = GM_ARRAY_U32(&space->number, row);
	c->scale = GM_ARRAY_F32(&space->scale, row);
	if (!space->root->sp_apart)
		return;
	c->hash = *HASH_AT(space, row);
	c->block = *BLOCK_AT(space, row);
	if (space->root->sp_made.ar_length > row)
		c->made = GM_ARRAY_U32(&space->made, row);
}

/* while it is being built; without a vector that is not apart */
static void
set_content(GmSpace *space, uint32_t row, const Content *c)
{
	GM_ARRAY_I64(&space->item_id, row) = c->item_id;
	GM_ARRAY_U32(&space->number, row) = c->number;
	GM_ARRAY_F32(&space->scale, row) = c->scale;
	if (!space->root->sp_apart)
		return;
	*HASH_AT(space, row) = c->hash;
	*BLOCK_AT(space, row) = c->block;
	if (space->root->sp_made.ar_length > row)
		GM_ARRAY_U32(&space->made, row) = c->made;
}

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
	Content		c;

	get_content(space, from, &c);
	set_content(space, to, &c);
	if (!space->root->sp_apart)
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
	size_t		bytes = space->root->sp_apart ? 0 : space->root->sp_dim * sizeof(float);

	for (uint32_t start = 0; start < space->root->sp_rows; start++)
	{
		uint32_t	hole = start;
		Content		c;

		if (place[start].row == start)
			continue;
		get_content(space, start, &c);
		memcpy(spare, gm_array_at(&space->vector, start), bytes);
		while (place[hole].row != start)
		{
			uint32_t	from = place[hole].row;

			move_row(space, hole, from);
			place[hole].row = hole;
			hole = from;
		}
		place[hole].row = hole;
		set_content(space, hole, &c);
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

static uint32_t
item_hash(const void *owner, uint32_t row)
{
	return gm_index_hash_id(GM_ARRAY_I64(&((const GmSpace *) owner)->item_id, row));
}

GmStatus
gm_space_finish(GmSpace *space, uint32_t numbers)
{
	GmSpaceRoot *root = space->root;
	GmStatus	status = gm_encoder_flush(space);

	for (uint32_t i = 1; i < root->sp_rows && status == GM_OK; i++)
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
	if (root->sp_apart)
		root->sp_hash.ar_length = root->sp_rows;
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
	GM_TRY(gm_index_build(space->mem, &space->by_item, root->sp_rows, item_hash, space, NULL));
	return gm_encoder_finish(space);
}

void
gm_space_bytes(const GmSpace *s, uint64_t *vectors, uint64_t *all)
{
	const GmArray *arrays[] = {&s->item_id, &s->number, &s->scale, &s->vector, &s->row_of,
		&s->by_item.head, &s->by_item.next, &s->node_of, &s->row_at, &s->pending, &s->dead,
		&s->hash, &s->made};

	*vectors = s->root->sp_vector.ar_room * s->root->sp_vector.ar_element;
	*all = sizeof(GmSpaceRoot);
	if (s->root->sp_apart)
	{
		*vectors = (uint64_t) (s->root->sp_rows - s->root->sp_absent) * block_bytes(s);
		*all += *vectors;
	}
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		if (arrays[i]->root != NULL)
			*all += arrays[i]->root->ar_room * arrays[i]->root->ar_element;
}

uint32_t
gm_space_find(const GmSpace *space, int64_t item_id)
{
	uint32_t	row = gm_index_first(&space->by_item, gm_index_hash_id(item_id));

	while (row != GM_NONE && GM_ARRAY_I64(&space->item_id, row) != item_id)
		row = gm_index_next(&space->by_item, row);
	return row;
}

/*
 * Versions
 */
GmStatus
gm_space_attach(GmMem *mem, GmRef root, GmSpace **space)
{
	GmSpace    *s = calloc(1, sizeof(GmSpace));
	GmStatus	status;

	if (s == NULL)
		return GM_NO_MEMORY;
	s->mem = mem;
	status = attach(s, root);
	if (status != GM_OK)
		gm_space_destroy(s);
	else
		*space = s;
	return status;
}

GmStatus
gm_space_reattach(GmSpace *space, GmRef root)
{
	return attach(space, root);
}

GmStatus
gm_space_begin(GmSpace *space)
{
	GmRef		ref;

	GM_TRY(gm_mem_alloc(space->mem, sizeof(GmSpaceRoot), &ref));
	memcpy(gm_mem_ptr(space->mem, ref), space->root, sizeof(GmSpaceRoot));
	gm_mem_retire(space->mem, space->ref, sizeof(GmSpaceRoot));
	return attach(space, ref);
}

void
gm_space_end(GmSpace *space)
{
	gm_array_end(&space->item_id);
	gm_array_end(&space->number);
	gm_array_end(&space->scale);
	gm_array_end(&space->vector);
	gm_array_end(&space->hash);
	gm_array_end(&space->row_of);
	gm_array_end(&space->node_of);
	gm_array_end(&space->row_at);
	gm_array_end(&space->pending);
	gm_array_end(&space->made);
	gm_array_end(&space->dead);
	gm_index_end(&space->by_item);
}

GmStatus
gm_space_free(GmSpace *space)
{
	GmArray    *arrays[] = {&space->item_id, &space->number, &space->scale, &space->vector,
		&space->hash, &space->row_of, &space->by_item.head, &space->by_item.next};

	if (space->root->sp_index.root != 0)
		GM_TRY(gm_mapping_free(space));
	for (uint32_t i = 0; space->root->sp_apart && i < space->root->sp_rows; i++)
		gm_mem_retire(space->mem, *BLOCK_AT(space, i), block_bytes(space));
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		gm_array_free(space->mem, arrays[i]);
	gm_mem_retire(space->mem, space->ref, sizeof(GmSpaceRoot));
	return GM_OK;
}

GmStatus
gm_space_writable(GmSpace *space, GmArray *array, uint64_t i, void *element)
{
	if (array->changes == NULL)
		GM_TRY(gm_array_begin(space->mem, array));
	return gm_array_write(space->mem, array, i, element);
}

/* elements from the old length on are zero */
GmStatus
gm_space_extend(GmSpace *space, GmArray *array, uint64_t n)
{
	uint64_t	length = array->root->ar_length;

	if (n <= length)
		return GM_OK;
	if (array->changes == NULL)
		GM_TRY(gm_array_begin(space->mem, array));
	GM_TRY(gm_array_reserve(space->mem, array, n));
	for (uint64_t i = length; i < n; i++)
	{
		void	   *p;

		GM_TRY(gm_array_write(space->mem, array, i, &p));
		memset(p, 0, array->element);
	}
	array->root->ar_length = n;
	return GM_OK;
}

GmStatus
gm_space_shorten(GmSpace *space, GmArray *array, uint64_t n)
{
	if (array->changes == NULL)
		GM_TRY(gm_array_begin(space->mem, array));
	array->root->ar_length = n;
	return GM_OK;
}

static GmStatus
set_row_of(GmSpace *space, uint32_t number, uint32_t link)
{
	uint32_t   *p;

	if (number == GM_NONE)
		return GM_OK;
	GM_TRY(gm_space_extend(space, &space->row_of, (uint64_t) number + 1));
	GM_TRY(gm_space_writable(space, &space->row_of, number, &p));
	*p = link;
	return GM_OK;
}

/* vector: where it is not apart */
static GmStatus
write_row(GmSpace *space, uint32_t row, const Content *c, const float *vector)
{
	int64_t    *id;
	uint32_t   *n;
	float	   *f;
	void	   *v;
	uint64_t   *h;

	GM_TRY(gm_space_writable(space, &space->item_id, row, &id));
	GM_TRY(gm_space_writable(space, &space->number, row, &n));
	GM_TRY(gm_space_writable(space, &space->scale, row, &f));
	GM_TRY(gm_space_writable(space, &space->vector, row, &v));
	*id = c->item_id;
	*n = c->number;
	*f = c->scale;
	if (!space->root->sp_apart)
		memmove(v, vector, space->root->sp_dim * sizeof(float));
	else
	{
		GM_TRY(gm_space_writable(space, &space->hash, row, &h));
		*h = c->hash;
		*(GmRef *) v = c->block;
	}
	return set_row_of(space, c->number, row + 1);
}

/* the row's vector is here no more */
static void
retire_block(GmSpace *space, uint32_t row)
{
	GmRef		block = *BLOCK_AT(space, row);

	if (block == 0)
		space->root->sp_absent--;
	else
		gm_mem_retire(space->mem, block, block_bytes(space));
}

GmStatus
gm_space_leave_to_table(GmSpace *space, uint32_t row)
{
	GmRef	   *block;

	if (!space->root->sp_apart || *BLOCK_AT(space, row) == 0)
		return GM_OK;
	retire_block(space, row);
	GM_TRY(gm_space_writable(space, &space->vector, row, &block));
	*block = 0;
	space->root->sp_absent++;
	return GM_OK;
}

static GmStatus
set_rows(GmSpace *space, uint32_t rows)
{
	GmArray    *arrays[] = {&space->item_id, &space->number, &space->scale, &space->vector,
		&space->hash};

	for (int i = 0; i < (space->root->sp_apart ? 5 : 4); i++)
	{
		GM_TRY(gm_space_extend(space, arrays[i], rows));
		GM_TRY(gm_space_shorten(space, arrays[i], rows));
	}
	space->root->sp_rows = rows;
	return GM_OK;
}

/* apart: a hash is enough, since what is wrong then is a code that finds candidates */
static bool
is_same_vector(const GmSpace *space, uint32_t row, uint64_t hash, const float *vector)
{
	if (space->root->sp_apart)
		return *HASH_AT(space, row) == hash;
	return memcmp(gm_space_vector(space, row), vector, space->root->sp_dim * sizeof(float)) == 0;
}

GmStatus
gm_space_put(GmSpace *space, int64_t item_id, uint32_t number, const float *vector)
{
	uint32_t	rows = space->root->sp_rows;
	uint32_t	row = gm_space_find(space, item_id);
	bool		apart = space->root->sp_apart;
	Content		c = {.item_id = item_id, .number = number};
	double		scale;

	GM_TRY(vector_scale(space->root, vector, &scale));
	c.scale = (float) scale;
	if (apart)
		c.hash = gm_hash_vector(vector, space->root->sp_dim);
	if (row != GM_NONE)
	{
		uint32_t	before = GM_ARRAY_U32(&space->number, row);

		if (before != number)
			GM_TRY(set_row_of(space, before, 0));
		if (is_same_vector(space, row, c.hash, vector))
			c.block = apart ? *BLOCK_AT(space, row) : 0;
		else
		{
			GM_TRY(gm_mapping_row_changed(space, row));
			if (apart)
			{
				retire_block(space, row);
				GM_TRY(make_block(space, vector, &c.block));
			}
		}
		return write_row(space, row, &c, vector);
	}
	if (rows >= UINT32_MAX - 1)
		return GM_TOO_MANY;
	if (rows > 0 && GM_ARRAY_I64(&space->item_id, rows - 1) > item_id)
		space->root->sp_ordered = false;
	if (apart)
		GM_TRY(make_block(space, vector, &c.block));
	GM_TRY(set_rows(space, rows + 1));
	GM_TRY(write_row(space, rows, &c, vector));
	GM_TRY(gm_mapping_row_added(space, rows));
	return gm_index_insert(space->mem, &space->by_item, rows, GM_NONE, item_hash, space);
}

GmStatus
gm_space_remove(GmSpace *space, int64_t item_id)
{
	uint32_t	row = gm_space_find(space, item_id);
	uint32_t	last = space->root->sp_rows - 1;

	if (row == GM_NONE)
		return GM_OK;
	GM_TRY(set_row_of(space, GM_ARRAY_U32(&space->number, row), 0));
	GM_TRY(gm_index_remove(space->mem, &space->by_item, row, item_hash(space, row)));
	GM_TRY(gm_mapping_row_removed(space, row));
	if (space->root->sp_apart)
		retire_block(space, row);
	if (row != last)
	{
		Content		c;

		get_content(space, last, &c);
		GM_TRY(gm_mapping_row_moved(space, last, row));
		GM_TRY(gm_index_remove(space->mem, &space->by_item, last, item_hash(space, last)));
		GM_TRY(write_row(space, row, &c, gm_space_vector(space, last)));
		GM_TRY(gm_index_insert(space->mem, &space->by_item, row, GM_NONE, item_hash, space));
		space->root->sp_ordered = false;
	}
	return set_rows(space, last);
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

/* of what the metric's kernel computes; scale: both together */
static inline float
distance_of(GmMetric metric, float kernel, double scale)
{
	double		d;

	switch (metric)
	{
		case GM_METRIC_L2:
			return sqrtf(kernel);
		case GM_METRIC_IP:
			return -kernel;
		case GM_METRIC_COSINE:
			break;
	}
	d = 1.0 - (double) kernel * scale;
	return (float) (d < 0.0 ? 0.0 : d > 2.0 ? 2.0 : d);
}

static inline float
metric_distance(GmMetric metric, const GmSpaceQuery *query, const float *row, double scale,
				uint32_t dim)
{
	float		kernel = metric == GM_METRIC_L2 ? gm_vec.l2sq(query->vector, row, dim) :
		gm_vec.dot(query->vector, row, dim);

	return distance_of(metric, kernel, query->scale * scale);
}

float
gm_space_distance_to(const GmSpace *space, const GmSpaceQuery *query, uint32_t row,
					 const float *vector)
{
	return metric_distance((GmMetric) space->root->sp_metric, query, vector,
						   GM_ARRAY_F32(&space->scale, row), space->root->sp_dim);
}

float
gm_space_distance(const GmSpace *space, const GmSpaceQuery *query, uint32_t row)
{
	return gm_space_distance_to(space, query, row, gm_space_vector(space, row));
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

/*
 * Rows first .. first + n - 1, which lie one after the other; next: where it
 * goes on after them, for the prefetches.
 */
static void
search_span(const GmSpace *space, const GmSpaceQuery *query, uint32_t first, uint32_t n,
			const float *next, GmTopk *top)
{
	uint32_t	dim = space->root->sp_dim;
	uint32_t	stride = space->root->sp_stride;
	uint32_t	ahead = AHEAD_FLOATS / stride + 1;
	GmMetric	metric = (GmMetric) space->root->sp_metric;
	const float *rows = gm_space_vector(space, first);
	const float *scale = gm_array_at(&space->scale, first);

	for (uint32_t i = 0; i < n; i++)
	{
		const float *row = rows + (size_t) i * stride;
		float		distance;

		if (i + ahead < n)
			prefetch_floats(row + (size_t) ahead * stride, stride);
		else
			prefetch_floats(next + (size_t) (i + ahead - n) * stride, stride);
		distance = metric_distance(metric, query, row, scale[i], dim);
		if (distance <= gm_topk_worst(top))
			(void) gm_topk_push(top, distance, gm_space_rank_id(space, first + i));
	}
}

static GmStatus
search_all(const GmSpace *space, const GmSpaceQuery *query, const GmInterrupt *intr, GmTopk *top)
{
	uint32_t	rows = space->root->sp_rows;
	uint32_t	per_look = FLOATS_PER_LOOK / space->root->sp_stride;
	uint32_t	since_look = per_look;
	uint64_t	n;

	for (uint32_t row = 0; row < rows; row += (uint32_t) n)
	{
		uint64_t	scales;

		(void) gm_array_span(&space->vector, row, &n);
		(void) gm_array_span(&space->scale, row, &scales);
		if (n > scales)
			n = scales;
		if (n > rows - row)
			n = rows - row;
		if (n > per_look)
			n = per_look;
		since_look += (uint32_t) n;
		if (since_look > per_look)
		{
			since_look = (uint32_t) n;
			gm_progress_at(intr, GM_PHASE_VECTORS, row, rows);
			if (gm_interrupted(intr))
				return GM_INTERRUPTED;
		}
		search_span(space, query, row, (uint32_t) n,
					gm_space_vector(space, row + n < rows ? row + (uint32_t) n : row), top);
	}
	return GM_OK;
}

static inline void
push_row(const GmSpace *space, float distance, uint32_t row, GmTopk *top)
{
	if (distance <= gm_topk_worst(top))
		(void) gm_topk_push(top, distance, gm_space_rank_id(space, row));
}

static GmStatus
read_and_push(const GmSpace *space, const GmSpaceQuery *query, const uint32_t *row, uint32_t n,
			  GmTopk *top)
{
	GmSpaceReader reader;
	GmStatus	status = gm_space_reader_begin(space, n, &reader);

	for (uint32_t at = 0; at < n && status == GM_OK; at += reader.room)
	{
		uint32_t	some = n - at < reader.room ? n - at : reader.room;

		status = gm_space_reader_read(&reader, row + at, some);
		for (uint32_t i = 0; i < some && status == GM_OK; i++)
			if (reader.vector[i] != NULL)
				push_row(space, gm_space_distance_to(space, query, row[at + i], reader.vector[i]),
						 row[at + i], top);
	}
	gm_space_reader_end(&reader);
	return status;
}

GmStatus
gm_space_push_rows(const GmSpace *space, const GmSpaceQuery *query, const uint32_t *row,
				   uint32_t n, GmTopk *top)
{
	uint32_t	stride = space->root->sp_stride;
	uint32_t	ahead = AHEAD_FLOATS / stride + 1;

	if (space->root->sp_absent > 0)
		return read_and_push(space, query, row, n, top);
	for (uint32_t i = 0; i < ahead && i < n; i++)
		prefetch_floats(gm_space_vector(space, row[i]), stride);
	for (uint32_t i = 0; i < n; i++)
	{
		if (i + ahead < n)
			prefetch_floats(gm_space_vector(space, row[i + ahead]), stride);
		push_row(space, gm_space_distance(space, query, row[i]), row[i], top);
	}
	return GM_OK;
}

/* allowed NULL: all */
static GmStatus
search_allowed(const GmSpace *space, const GmSpaceQuery *query, const uint64_t *allowed,
			   const GmInterrupt *intr, GmTopk *top)
{
	uint32_t	rows = space->root->sp_rows;
	uint32_t	words = (rows + 63) / 64;
	uint32_t	per_look = FLOATS_PER_LOOK / space->root->sp_stride;
	uint32_t	gathered[GM_SPACE_GATHERED];
	uint32_t	room = per_look < GM_SPACE_GATHERED ? per_look : GM_SPACE_GATHERED;
	uint32_t	since_look = 0;
	uint32_t	n = 0;

	for (uint32_t w = 0; w < words; w++)
	{
		uint64_t	bits = allowed == NULL ? UINT64_MAX : allowed[w];

		if (w == words - 1 && rows % 64 != 0)
			bits &= ((uint64_t) 1 << (rows % 64)) - 1;
		while (bits != 0)
		{
			gathered[n++] = w * 64 + (uint32_t) __builtin_ctzll(bits);
			bits &= bits - 1;
			if (n < room)
				continue;
			GM_TRY(gm_space_push_rows(space, query, gathered, n, top));
			since_look += n * space->root->sp_stride;
			n = 0;
			if (since_look >= FLOATS_PER_LOOK)
			{
				since_look = 0;
				gm_progress_at(intr, GM_PHASE_VECTORS, w * 64, space->root->sp_rows);
				if (gm_interrupted(intr))
					return GM_INTERRUPTED;
			}
		}
		if ((w + 1) % WORDS_PER_LOOK == 0 && gm_interrupted(intr))
			return GM_INTERRUPTED;
	}
	return gm_space_push_rows(space, query, gathered, n, top);
}

static GmStatus
search_rows(const GmSpace *space, const GmSpaceQuery *query, const uint32_t *rows, uint32_t n,
			const GmInterrupt *intr, GmTopk *top)
{
	uint32_t	per_look = FLOATS_PER_LOOK / space->root->sp_stride;

	for (uint32_t i = 0; i < n; i += per_look)
	{
		gm_progress_at(intr, GM_PHASE_VECTORS, i, n);
		if (i > 0 && gm_interrupted(intr))
			return GM_INTERRUPTED;
		GM_TRY(gm_space_push_rows(space, query, rows + i, n - i < per_look ? n - i : per_look,
								  top));
	}
	return GM_OK;
}

/* nearest first */
static GmStatus
give_hits(const GmSpace *space, GmTopk *top, const GmInterrupt *intr, GmSpaceHit *hits,
		  uint32_t *found)
{
	for (size_t left = top->count; left > 0;)
	{
		left = gm_topk_sort_some(top, left, GM_INTERRUPT_EVERY);
		if (gm_interrupted(intr))
			return GM_INTERRUPTED;
	}
	for (uint32_t i = 0; i < top->count; i++)
		hits[i] = (GmSpaceHit) {gm_space_ranked_row(space, top->items[i].id), top->items[i].distance};
	*found = top->count;
	return GM_OK;
}

GmStatus
gm_space_search_rows(const GmSpace *space, const GmSpaceQuery *query, uint32_t k,
					 const uint32_t *rows, uint32_t n, const GmInterrupt *intr,
					 GmSpaceHit *hits, uint32_t *found)
{
	uint32_t	room = k < n ? k : n;
	GmTopkItem *items;
	GmTopk		top;
	GmStatus	status;

	*found = 0;
	if (room == 0)
		return GM_OK;
	GM_TRY(gm_mem_temp(space->mem, room * sizeof(GmTopkItem), (void **) &items));
	gm_topk_init(&top, items, room);
	status = search_rows(space, query, rows, n, intr, &top);
	if (status == GM_OK)
		status = give_hits(space, &top, intr, hits, found);
	gm_mem_temp_free(space->mem, items);
	return status;
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
	if (allowed == NULL && !space->root->sp_apart)
		status = search_all(space, query, intr, &top);
	else
		status = search_allowed(space, query, allowed, intr, &top);
	if (status == GM_OK)
		status = give_hits(space, &top, intr, hits, found);
	gm_mem_temp_free(space->mem, items);
	return status;
}

/*
 * Several queries
 */

/* at most QUERIES_AT_ONCE queries against rows that lie one after the other */
static void
search_block(const GmSpace *space, const GmSpaceQuery *query, uint32_t queries, uint32_t first,
			 uint32_t n, GmTopk *top)
{
	uint32_t	dim = space->root->sp_dim;
	uint32_t	stride = space->root->sp_stride;
	GmMetric	metric = (GmMetric) space->root->sp_metric;
	const float *rows = gm_space_vector(space, first);
	const float *scale = gm_array_at(&space->scale, first);

	for (uint32_t i = 0; i < n; i++)
	{
		const float *row = rows + (size_t) i * stride;
		float		kernel[QUERIES_AT_ONCE];

		if (queries == QUERIES_AT_ONCE && metric == GM_METRIC_L2)
			gm_vec.l2sq4(row, query->vector, dim, dim, kernel);
		else if (queries == QUERIES_AT_ONCE)
			gm_vec.dot4(row, query->vector, dim, dim, kernel);
		else
			for (uint32_t q = 0; q < queries; q++)
				kernel[q] = metric == GM_METRIC_L2 ? gm_vec.l2sq(row, query[q].vector, dim) :
					gm_vec.dot(row, query[q].vector, dim);
		for (uint32_t q = 0; q < queries; q++)
		{
			float		distance = distance_of(metric, kernel[q], query[q].scale * scale[i]);

			if (distance <= gm_topk_worst(&top[q]))
				(void) gm_topk_push(&top[q], distance, gm_space_rank_id(space, first + i));
		}
	}
}

/* rows from this one on that lie one after the other, at most so many */
static uint32_t
block_length(const GmSpace *space, uint32_t row, uint32_t most)
{
	uint32_t	left = space->root->sp_rows - row;
	uint64_t	vectors;
	uint64_t	scales;

	(void) gm_array_span(&space->vector, row, &vectors);
	(void) gm_array_span(&space->scale, row, &scales);
	if (vectors > scales)
		vectors = scales;
	if (vectors > left)
		vectors = left;
	return vectors > most ? most : (uint32_t) vectors;
}

static GmStatus
search_blocks(const GmSpace *space, const GmSpaceQuery *query, uint32_t queries,
			  const GmInterrupt *intr, GmTopk *top)
{
	uint32_t	rows = space->root->sp_rows;
	uint32_t	stride = space->root->sp_stride;
	uint32_t	most = BLOCK_FLOATS / stride + 1;
	uint64_t	since_look = FLOATS_PER_LOOK;
	uint32_t	n;

	for (uint32_t row = 0; row < rows; row += n)
	{
		n = block_length(space, row, most);
		for (uint32_t q = 0; q < queries; q += QUERIES_AT_ONCE)
		{
			uint32_t	few = queries - q < QUERIES_AT_ONCE ? queries - q : QUERIES_AT_ONCE;

			if (since_look >= FLOATS_PER_LOOK)
			{
				since_look = 0;
				gm_progress_at(intr, GM_PHASE_VECTORS, row, rows);
				if (gm_interrupted(intr))
					return GM_INTERRUPTED;
			}
			search_block(space, query + q, few, row, n, top + q);
			since_look += (uint64_t) n * few * stride;
		}
	}
	return GM_OK;
}

/* the same where vectors are apart, or in the table */
static GmStatus
search_pieces(const GmSpace *space, const GmSpaceQuery *query, uint32_t queries,
			  const GmInterrupt *intr, GmTopk *top)
{
	uint32_t	rows = space->root->sp_rows;
	uint32_t	gathered[GM_SPACE_GATHERED];
	GmSpaceReader reader;
	GmStatus	status = gm_space_reader_begin(space, rows < GM_SPACE_GATHERED ? rows :
											   GM_SPACE_GATHERED, &reader);
	uint32_t	n;

	for (uint32_t row = 0; row < rows && status == GM_OK; row += n)
	{
		gm_progress_at(intr, GM_PHASE_VECTORS, row, rows);
		if (gm_interrupted(intr))
			status = GM_INTERRUPTED;
		n = rows - row < reader.room ? rows - row : reader.room;
		for (uint32_t i = 0; i < n; i++)
			gathered[i] = row + i;
		if (status == GM_OK)
			status = gm_space_reader_read(&reader, gathered, n);
		for (uint32_t q = 0; q < queries && status == GM_OK; q++)
		{
			if (q % QUERIES_PER_LOOK == QUERIES_PER_LOOK - 1 && gm_interrupted(intr))
				status = GM_INTERRUPTED;
			for (uint32_t i = 0; i < n; i++)
				if (reader.vector[i] != NULL)
					push_row(space, gm_space_distance_to(space, &query[q], row + i,
														 reader.vector[i]), row + i, &top[q]);
		}
	}
	gm_space_reader_end(&reader);
	return status;
}

GmStatus
gm_space_search_batch(const GmSpace *space, const GmSpaceQuery *query, uint32_t n, uint32_t k,
					  const GmInterrupt *intr, GmSpaceHit *hits, uint32_t *found)
{
	uint32_t	room = k < space->root->sp_rows ? k : space->root->sp_rows;
	size_t		items_bytes = (size_t) n * room * sizeof(GmTopkItem);
	GmTopkItem *items;
	GmTopk	   *top;
	GmStatus	status;

	memset(found, 0, n * sizeof(uint32_t));
	if (room == 0 || n == 0)
		return GM_OK;
	if (items_bytes / sizeof(GmTopkItem) / room != n)
		return GM_NO_MEMORY;
	GM_TRY(gm_mem_temp(space->mem, items_bytes, (void **) &items));
	status = gm_mem_temp(space->mem, n * sizeof(GmTopk), (void **) &top);
	if (status == GM_OK)
	{
		for (uint32_t q = 0; q < n; q++)
			gm_topk_init(&top[q], items + (size_t) q * room, room);
		status = space->root->sp_apart ? search_pieces(space, query, n, intr, top) :
			search_blocks(space, query, n, intr, top);
		for (uint32_t q = 0; q < n && status == GM_OK; q++)
			status = give_hits(space, &top[q], intr, hits + (size_t) q * room, &found[q]);
		gm_mem_temp_free(space->mem, top);
	}
	gm_mem_temp_free(space->mem, items);
	return status;
}
