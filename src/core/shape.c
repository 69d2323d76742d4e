/*-------------------------------------------------------------------------
 *
 * shape.c
 *	  Shapes of nodes, and means of their neighbours' vectors.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdlib.h>

#include "core/hash.h"
#include "core/shape.h"

/* what is hashed of an edge: no padding */
typedef struct Seen
{
	int64_t		neighbor_id;
	int64_t		predicate_id;
	uint32_t	confidence;		/* its bits; 0 where weights do not count */
	uint32_t	out;
} Seen;

typedef struct GmShapePart
{
	int64_t		entity_id;
	const float *vector;
	float		weight;
} GmShapePart;

/* shorter than this share of its parts' lengths, a sum is nothing but rounding */
#define CANCELLED	1e-6

static uint32_t
bits_of(float f)
{
	uint32_t	bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

uint64_t
gm_shape_of(const GmGraph *g, const GmView *view, bool weighted, GmNode node)
{
	uint64_t	shape = 0;
	bool		any = false;
	GmEdgeIter	iter;
	GmEdge		edge;

	gm_edges_begin(&iter, g, view, node);
	while (gm_edges_next(&iter, &edge))
	{
		Seen		seen = {gm_graph_entity_id(g, edge.neighbor),
			gm_graph_predicate(g, edge.predicate)->predicate_id, 0, edge.out};

		if (weighted)
		{
			float		confidence = gm_graph_confidence(g, view, edge.slot);

			if (!(confidence > 0))
				continue;
			seen.confidence = bits_of(confidence);
		}
		any = true;
		shape += gm_hash(&seen, sizeof(seen), 0);
	}
	return any && shape <= GM_SHAPE_NONE ? GM_SHAPE_NONE + 1 : shape;
}

static GmStatus
make_room(GmShapeMeans *m, uint32_t n)
{
	uint32_t	room = m->room == 0 ? 64 : m->room;
	struct GmShapePart *part;

	if (m->sum == NULL)
	{
		m->sum = malloc(m->space->root->sp_dim * sizeof(double));
		if (m->sum == NULL)
			return GM_NO_MEMORY;
	}
	if (n <= m->room)
		return GM_OK;
	while (room < n)
		room = room > UINT32_MAX / 2 ? UINT32_MAX : room * 2;
	part = realloc(m->part, room * sizeof(*part));
	if (part == NULL)
		return GM_NO_MEMORY;
	m->part = part;
	m->room = room;
	return GM_OK;
}

static const float *
vector_of(const GmShapeMeans *m, GmNode node)
{
	uint32_t	row = gm_space_row_of(m->space, node);
	const float *vector = row == GM_NONE ? NULL : gm_space_vector(m->space, row);

	if (vector == NULL && m->given != NULL)
		vector = m->given(m->arg, node);
	return vector;
}

static int
by_entity(const void *a, const void *b)
{
	const GmShapePart *x = a;
	const GmShapePart *y = b;

	if (x->entity_id != y->entity_id)
		return x->entity_id < y->entity_id ? -1 : 1;
	return x->weight > y->weight ? -1 : x->weight < y->weight;
}

/* in the order of their ids, each once with its largest weight */
static GmStatus
gather(GmShapeMeans *m, GmNode node, const GmInterrupt *intr, uint32_t *n)
{
	const GmGraph *g = m->graph;
	uint32_t	found = 0;
	uint32_t	looked = 0;
	GmEdgeIter	iter;
	GmEdge		edge;

	*n = 0;
	gm_edges_begin(&iter, g, m->view, node);
	while (gm_edges_next(&iter, &edge))
	{
		float		weight = m->weighted ? gm_graph_confidence(g, m->view, edge.slot) : 1.0f;
		const float *vector;

		if (++looked % GM_INTERRUPT_EVERY == 0 && gm_interrupted(intr))
			return GM_INTERRUPTED;
		if (edge.neighbor == node || !(weight > 0))
			continue;
		vector = vector_of(m, edge.neighbor);
		if (vector == NULL)
			continue;
		GM_TRY(make_room(m, found + 1));
		m->part[found++] = (GmShapePart) {gm_graph_entity_id(g, edge.neighbor), vector, weight};
	}
	if (found > 1)
		qsort(m->part, found, sizeof(GmShapePart), by_entity);
	for (uint32_t i = 0; i < found; i++)
		if (*n == 0 || m->part[*n - 1].entity_id != m->part[i].entity_id)
			m->part[(*n)++] = m->part[i];
	return GM_OK;
}

/* weight: of all, *length: of the parts' lengths */
static GmStatus
add_up(GmShapeMeans *m, uint32_t n, const GmInterrupt *intr, double *weight, double *length)
{
	uint32_t	dim = m->space->root->sp_dim;

	*weight = *length = 0;
	memset(m->sum, 0, dim * sizeof(double));
	for (uint32_t i = 0; i < n; i++)
	{
		const GmShapePart *part = &m->part[i];
		double		square = 0;

		if (i % 1024 == 1023 && gm_interrupted(intr))
			return GM_INTERRUPTED;
		for (uint32_t j = 0; j < dim; j++)
		{
			m->sum[j] += (double) part->weight * part->vector[j];
			square += (double) part->vector[j] * part->vector[j];
		}
		*weight += part->weight;
		*length += part->weight * sqrt(square);
	}
	return GM_OK;
}

GmStatus
gm_shape_mean(GmShapeMeans *m, GmNode node, const GmInterrupt *intr, float *vector, bool *there)
{
	uint32_t	dim = m->space->root->sp_dim;
	double		square = 0;
	double		weight;
	double		length;
	double		scale;
	uint32_t	n;

	*there = false;
	GM_TRY(gather(m, node, intr, &n));
	if (n == 0)
		return GM_OK;
	GM_TRY(add_up(m, n, intr, &weight, &length));
	for (uint32_t j = 0; j < dim; j++)
		square += m->sum[j] * m->sum[j];
	if (!(sqrt(square) > length * CANCELLED))
		return GM_OK;
	scale = m->normalize ? sqrt(square) : weight;
	for (uint32_t j = 0; j < dim; j++)
		vector[j] = (float) (m->sum[j] / scale);
	*there = true;
	return GM_OK;
}

void
gm_shape_means_end(GmShapeMeans *m)
{
	free(m->part);
	free(m->sum);
	m->part = NULL;
	m->sum = NULL;
	m->room = 0;
}
