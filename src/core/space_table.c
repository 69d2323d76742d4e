/*-------------------------------------------------------------------------
 *
 * space_table.c
 *	  Vectors of a space that are in its table only: reading them, and building
 *	  a space without ever holding them all.
 *
 * An encoder keeps the first rows' vectors in memory of the process.  Once
 * they are enough for an index (GM_SPACE_INDEX_FROM) their mean becomes its
 * centre, they become codes of nodes, and so does every vector after them as
 * soon as it is added.  In the space that results each row is pending with its
 * node, which only has to be linked (sp_made).  If there are fewer, they are
 * as gm_space_add leaves them without an encoder.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/space_index.h"
#include "core/space_private.h"

#define READ_FLOATS		((uint32_t) 1 << 18)	/* at a time */
#define READ_ROWS		1024
#define EARLY_FIRST		256		/* rows that an encoder has room for first */

/*
 * Reading
 */
GmStatus
gm_space_reader_begin(const GmSpace *space, uint32_t n, GmSpaceReader *r)
{
	uint32_t	dim = space->root->sp_dim;
	size_t		read;
	size_t		row = sizeof(float *) + sizeof(int64_t) + sizeof(uint32_t) + sizeof(bool);
	char	   *p;

	memset(r, 0, sizeof(*r));
	r->space = space;
	r->room = READ_FLOATS / dim;
	if (r->room > READ_ROWS)
		r->room = READ_ROWS;
	if (r->room > n)
		r->room = n;
	if (r->room == 0)
		r->room = 1;
	read = space->root->sp_absent == 0 ? 0 : (size_t) r->room * dim * sizeof(float);
	GM_TRY(gm_mem_temp(space->mem, r->room * row + read, &r->memory));
	p = r->memory;
	r->vector = (const float **) p;
	p += r->room * sizeof(float *);
	r->item_id = (int64_t *) p;
	p += r->room * sizeof(int64_t);
	r->read = (float *) p;
	p += read;
	r->place = (uint32_t *) p;
	p += r->room * sizeof(uint32_t);
	r->there = (bool *) p;
	return GM_OK;
}

GmStatus
gm_space_reader_read(GmSpaceReader *r, const uint32_t *rows, uint32_t n)
{
	const GmSpace *space = r->space;
	uint32_t	dim = space->root->sp_dim;
	uint32_t	absent = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		r->vector[i] = gm_space_vector(space, rows[i]);
		if (r->vector[i] != NULL)
			continue;
		r->place[absent] = i;
		r->item_id[absent++] = gm_space_item_id(space, rows[i]);
	}
	if (absent == 0 || space->table.read == NULL)
		return GM_OK;
	GM_TRY(space->table.read(space->table.arg, r->item_id, absent, dim, r->read, r->there));
	for (uint32_t i = 0; i < absent; i++)
		if (r->there[i])
			r->vector[r->place[i]] = r->read + (size_t) i * dim;
	return GM_OK;
}

void
gm_space_reader_end(GmSpaceReader *r)
{
	gm_mem_temp_free(r->space->mem, r->memory);
}

GmStatus
gm_space_read(const GmSpace *space, uint32_t row, float *vector, bool *there)
{
	uint32_t	dim = space->root->sp_dim;
	const float *here = gm_space_vector(space, row);
	int64_t		item_id = gm_space_item_id(space, row);

	*there = here != NULL;
	if (here != NULL)
		memcpy(vector, here, dim * sizeof(float));
	else if (space->table.read != NULL)
		return space->table.read(space->table.arg, &item_id, 1, dim, vector, there);
	return GM_OK;
}

GmStatus
gm_space_distances(const GmSpace *space, const GmSpaceQuery *query, const uint32_t *rows,
				   uint32_t n, const GmInterrupt *intr, float *distances)
{
	GmSpaceReader reader;
	GmStatus	status = gm_space_reader_begin(space, n, &reader);

	for (uint32_t at = 0; at < n && status == GM_OK; at += reader.room)
	{
		uint32_t	some = n - at < reader.room ? n - at : reader.room;

		if (gm_interrupted(intr))
			status = GM_INTERRUPTED;
		else
			status = gm_space_reader_read(&reader, rows + at, some);
		for (uint32_t i = 0; i < some && status == GM_OK; i++)
			distances[at + i] = reader.vector[i] == NULL ? NAN :
				gm_space_distance_to(space, query, rows[at + i], reader.vector[i]);
	}
	gm_space_reader_end(&reader);
	return status;
}

/*
 * Building
 */
struct GmSpaceEncoder
{
	GmHnsw	   *hnsw;			/* NULL: the rows are still few */
	GmHnswWork *work;
	float	   *early;			/* the vectors of all rows, as long as they are few */
	uint32_t	room;
};

GmStatus
gm_space_encode(GmSpace *space)
{
	GmSpaceEncoder *e = calloc(1, sizeof(GmSpaceEncoder));

	if (e == NULL)
		return GM_NO_MEMORY;
	space->encoder = e;
	e->work = gm_hnsw_work_create();
	return e->work == NULL ? GM_NO_MEMORY : GM_OK;
}

void
gm_encoder_free(GmSpace *space)
{
	GmSpaceEncoder *e = space->encoder;

	if (e == NULL)
		return;
	gm_hnsw_destroy(e->hnsw);
	gm_hnsw_work_destroy(e->work);
	free(e->early);
	free(e);
	space->encoder = NULL;
}

static GmStatus
encode(GmSpace *space, uint32_t row, const float *vector)
{
	GmSpaceEncoder *e = space->encoder;
	uint32_t	node;

	GM_TRY(gm_hnsw_add(space->mem, e->hnsw, e->work, vector, GM_ARRAY_F32(&space->scale, row),
					   (uint64_t) gm_space_item_id(space, row), &node));
	GM_TRY(gm_array_reserve(space->mem, &space->made, (uint64_t) row + 1));
	GM_ARRAY_U32(&space->made, row) = node + 1;
	space->root->sp_made.ar_length = (uint64_t) row + 1;
	space->root->sp_absent++;
	return GM_OK;
}

/* rows 0 .. n - 1 are the early ones */
static GmStatus
begin_encoding(GmSpace *space, uint32_t n)
{
	GmSpaceEncoder *e = space->encoder;
	const GmSpaceRoot *root = space->root;
	uint32_t	dim = root->sp_dim;
	double	   *sum = calloc(dim, sizeof(double));
	float	   *centre = malloc(dim * sizeof(float));
	GmStatus	status = sum == NULL || centre == NULL ? GM_NO_MEMORY : GM_OK;

	for (uint32_t i = 0; i < n && status == GM_OK; i++)
		gm_centre_add(e->early + (size_t) i * dim, GM_ARRAY_F32(&space->scale, i), dim, sum);
	for (uint32_t j = 0; j < dim && status == GM_OK; j++)
		centre[j] = (float) (sum[j] / n);
	if (status == GM_OK)
		status = gm_hnsw_create(space->mem, dim, (GmMetric) root->sp_metric,
								(GmCodeKind) root->sp_kind, root->sp_m,
								root->sp_ef_construction, centre, &e->hnsw);
	if (status != GM_OK)
		e->hnsw = NULL;
	for (uint32_t i = 0; i < n && status == GM_OK; i++)
		status = encode(space, i, e->early + (size_t) i * dim);
	free(sum);
	free(centre);
	free(e->early);
	e->early = NULL;
	return status;
}

/* the row's other columns are there */
GmStatus
gm_encoder_add(GmSpace *space, uint32_t row, const float *vector)
{
	GmSpaceEncoder *e = space->encoder;
	uint32_t	dim = space->root->sp_dim;

	*(GmRef *) gm_array_at(&space->vector, row) = 0;
	if (e->hnsw != NULL)
		return encode(space, row, vector);
	if (row == e->room)
	{
		uint32_t	room = row == 0 ? EARLY_FIRST : row * 2;
		float	   *early;

		if (room > GM_SPACE_INDEX_FROM)
			room = GM_SPACE_INDEX_FROM;
		early = realloc(e->early, (size_t) room * dim * sizeof(float));
		if (early == NULL)
			return GM_NO_MEMORY;
		e->early = early;
		e->room = room;
	}
	memcpy(e->early + (size_t) row * dim, vector, dim * sizeof(float));
	return row + 1 == GM_SPACE_INDEX_FROM ? begin_encoding(space, row + 1) : GM_OK;
}

GmStatus
gm_encoder_flush(GmSpace *space)
{
	GmSpaceEncoder *e = space->encoder;
	uint32_t	dim = space->root->sp_dim;

	if (e == NULL || e->hnsw != NULL)
		return GM_OK;
	for (uint32_t row = 0; row < space->root->sp_rows; row++)
	{
		GmRef		block;

		GM_TRY(gm_mem_alloc(space->mem, dim * sizeof(float), &block));
		memcpy(gm_mem_ptr(space->mem, block), e->early + (size_t) row * dim,
			   dim * sizeof(float));
		*(GmRef *) gm_array_at(&space->vector, row) = block;
	}
	return GM_OK;
}

GmStatus
gm_encoder_finish(GmSpace *space)
{
	GmSpaceEncoder *e = space->encoder;
	GmSpaceRoot *root = space->root;

	if (e != NULL && e->hnsw != NULL)
	{
		GM_TRY(gm_array_reserve(space->mem, &space->node_of, root->sp_rows));
		GM_TRY(gm_array_reserve(space->mem, &space->pending, root->sp_rows));
		for (uint32_t row = 0; row < root->sp_rows; row++)
		{
			GM_ARRAY_U32(&space->node_of, row) = GM_SPACE_PENDING | row;
			GM_ARRAY_U32(&space->pending, row) = row;
		}
		root->sp_node_of.ar_length = root->sp_pending.ar_length = root->sp_rows;
		gm_hnsw_view(e->hnsw, &root->sp_index);
		space->hnsw_current = false;
	}
	gm_encoder_free(space);
	return GM_OK;
}
