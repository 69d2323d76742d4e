/*-------------------------------------------------------------------------
 *
 * random_graph.h
 *	  Small random graphs as edge lists and as images, and what a query may
 *	  see of them, decided triple by triple: the ground of the oracles in
 *	  test_traverse.c, test_path.c and test_rank.c.
 *
 * Node i has the i-th smallest entity id and triple i the i-th smallest triple
 * id, whatever the order in which they are added, so dense numbers are the
 * indexes here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_TEST_RANDOM_GRAPH_H
#define GM_TEST_RANDOM_GRAPH_H

#include "core/graph.h"
#include "core/scratch.h"
#include "unit.h"

#define RG_PREDICATES	5
#define RG_NOW			1000

typedef struct RgTriple
{
	uint32_t	s;
	uint32_t	p;
	uint32_t	o;
	float		confidence;
	GmTimes		times;
} RgTriple;

typedef struct RgShape
{
	uint32_t	nodes;
	uint32_t	triples;
	bool		history;
	bool		symmetric;		/* predicate 1 is */
	bool		weighted;
	bool		steps;			/* confidences from a short list, so that they tie */
} RgShape;

typedef struct RgGraph
{
	RgShape		shape;
	RgTriple   *triples;
	float		weight[RG_PREDICATES];
	GmMem	   *mem;
	GmGraph    *graph;
} RgGraph;

/* a view and the memory its filters point to */
typedef struct RgView
{
	GmView		view;
	uint8_t		predicates[RG_PREDICATES];
	uint64_t   *slots;
} RgView;

typedef struct RgArc
{
	uint32_t	from;
	uint32_t	to;
	uint32_t	number;			/* of the triple: ids ascend with it */
	uint32_t	slot;
	bool		out;
	double		weight;
	double		confidence;
} RgArc;

static inline int64_t
rg_entity_id(uint32_t node)
{
	return (int64_t) node * 3 - 20;
}

static inline int64_t
rg_triple_id(uint32_t number)
{
	return (int64_t) number * 7 + 5;
}

static inline GmSlot
rg_slot(const RgGraph *rg, uint32_t number)
{
	return gm_graph_find_triple(rg->graph, rg_triple_id(number));
}

static inline void
rg_shuffle(uint32_t *a, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		a[i] = i;
	for (uint32_t i = n; i > 1; i--)
	{
		uint32_t	k = unit_random_below(i);
		uint32_t	t = a[i - 1];

		a[i - 1] = a[k];
		a[k] = t;
	}
}

static inline GmTimes
rg_times(bool history)
{
	GmTimes		t = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};

	if (!history)
		return t;
	if (unit_random_below(2))
		t.valid_from = unit_random_below(1500);
	if (unit_random_below(2))
		t.valid_to = (t.valid_from == GM_TIME_MIN ? 0 : t.valid_from) + 1 + unit_random_below(1500);
	t.recorded_at = unit_random_below(1000);
	if (unit_random_below(4) == 0)
		t.expired_at = t.recorded_at + 1 + unit_random_below(500);
	return t;
}

static inline void
rg_fill(RgGraph *rg, RgShape shape)
{
	static const float steps[] = {1, 1, 0.5f, 0.25f, 0.9f, 0.9f, 0.81f, 0};

	rg->shape = shape;
	rg->triples = calloc(shape.triples + 1, sizeof(RgTriple));
	for (uint32_t i = 0; i < shape.triples; i++)
	{
		RgTriple   *t = &rg->triples[i];

		t->s = unit_random_below(shape.nodes);
		t->o = unit_random_below(8) == 0 ? t->s : unit_random_below(shape.nodes);
		t->p = unit_random_below(RG_PREDICATES);
		if (i > 0 && unit_random_below(6) == 0)
			*t = rg->triples[unit_random_below(i)];
		t->confidence = shape.steps ? steps[unit_random_below(8)] : (float) unit_random_double();
		t->times = rg_times(shape.history);
	}
	for (uint32_t p = 0; p < RG_PREDICATES; p++)
		rg->weight[p] = shape.weighted ? (float) p * 0.5f : 1;
}

static inline void
rg_build(RgGraph *rg)
{
	uint32_t	most = rg->shape.nodes + rg->shape.triples + RG_PREDICATES;
	uint32_t   *order = malloc(most * sizeof(uint32_t));
	char		name[16];

	REQUIRE(gm_mem_create(0, 0, NULL, &rg->mem) == GM_OK);
	REQUIRE(gm_graph_create(rg->mem, &rg->graph) == GM_OK);
	for (uint32_t p = 0; p < RG_PREDICATES; p++)
	{
		snprintf(name, sizeof(name), "p%u", p);
		CHECK(gm_graph_add_predicate(rg->graph, p + 1, name, (uint32_t) strlen(name), false,
									 rg->shape.symmetric && p == 1, rg->weight[p]) == GM_OK);
	}
	rg_shuffle(order, rg->shape.nodes);
	for (uint32_t i = 0; i < rg->shape.nodes; i++)
	{
		snprintf(name, sizeof(name), "n%u", order[i]);
		CHECK(gm_graph_add_entity(rg->graph, rg_entity_id(order[i]), name,
								  (uint32_t) strlen(name), NULL, 0, NULL, 0) == GM_OK);
	}
	rg_shuffle(order, rg->shape.triples);
	for (uint32_t i = 0; i < rg->shape.triples; i++)
	{
		const RgTriple *t = &rg->triples[order[i]];

		CHECK(gm_graph_add_triple(rg->graph, rg_triple_id(order[i]), order[i],
								  rg_entity_id(t->s), t->p + 1, rg_entity_id(t->o),
								  t->confidence, &t->times) == GM_OK);
	}
	CHECK(gm_graph_finish(rg->graph, RG_NOW, NULL) == GM_OK);
	free(order);
}

static inline void
rg_make(RgGraph *rg, RgShape shape)
{
	memset(rg, 0, sizeof(*rg));
	rg_fill(rg, shape);
	rg_build(rg);
}

static inline void
rg_free(RgGraph *rg)
{
	gm_graph_destroy(rg->graph);
	gm_mem_destroy(rg->mem);
	free(rg->triples);
}

static inline RgShape
rg_random_shape(uint32_t most_nodes, uint32_t most_triples)
{
	RgShape		shape = {
		1 + unit_random_below(most_nodes), unit_random_below(most_triples + 1),
		unit_random_below(3) == 0, unit_random_below(2) == 0,
		unit_random_below(3) == 0, unit_random_below(2) == 0
	};

	return shape;
}

static inline void
rg_random_view(const RgGraph *rg, RgView *v)
{
	v->slots = NULL;
	gm_view_init(rg->graph, RG_NOW, &v->view);
	v->view.direction = (GmDirection) (1 + unit_random_below(3));
	if (unit_random_below(3) == 0)
	{
		for (int p = 0; p < RG_PREDICATES; p++)
			v->predicates[p] = unit_random_below(4) != 0;
		v->view.predicates = v->predicates;
	}
	if (unit_random_below(4) == 0)
		v->view.min_confidence = 0.5f;
	if (unit_random_below(4) == 0)
	{
		v->slots = calloc(rg->shape.triples / 64 + 1, 8);
		for (uint32_t i = 0; i < rg->shape.triples; i++)
		{
			if (unit_random_below(4) != 0)
				gm_bit_set(v->slots, i);
		}
		v->view.slots = v->slots;
	}
	if (unit_random_below(3) == 0)
		v->view.as_of = unit_random_below(2500);
	if (unit_random_below(4) == 0)
		v->view.known_at = unit_random_below(1500);
	gm_view_settle(rg->graph, &v->view);
}

static inline void
rg_free_view(RgView *v)
{
	free(v->slots);
}

static inline bool
rg_visible(const RgGraph *rg, const GmView *v, uint32_t number)
{
	const RgTriple *t = &rg->triples[number];

	if (v->predicates != NULL && !v->predicates[t->p])
		return false;
	if (v->slots != NULL && !gm_bit_test(v->slots, rg_slot(rg, number)))
		return false;
	if (v->min_confidence > 0 && t->confidence < v->min_confidence)
		return false;
	if (v->as_of < t->times.valid_from || v->as_of >= t->times.valid_to)
		return false;
	if (v->known_at == GM_TIME_MAX)
		return t->times.expired_at == GM_TIME_MAX;
	return v->known_at >= t->times.recorded_at && v->known_at < t->times.expired_at;
}

/* every arc that a walk may take; freed by the caller */
static inline RgArc *
rg_arcs(const RgGraph *rg, const GmView *v, uint32_t *count)
{
	RgArc	   *arcs = malloc(((size_t) rg->shape.triples * 2 + 1) * sizeof(RgArc));
	uint32_t	n = 0;

	for (uint32_t i = 0; i < rg->shape.triples; i++)
	{
		const RgTriple *t = &rg->triples[i];
		bool		both = rg->shape.symmetric && t->p == 1;
		double		w = rg->weight[t->p];
		GmSlot		slot = rg_slot(rg, i);

		if (!rg_visible(rg, v, i))
			continue;
		if (t->s == t->o)
			arcs[n++] = (RgArc) {t->s, t->o, i, slot, v->direction != GM_IN, w, t->confidence};
		else
		{
			if (both || (v->direction & GM_OUT))
				arcs[n++] = (RgArc) {t->s, t->o, i, slot, true, w, t->confidence};
			if (both || (v->direction & GM_IN))
				arcs[n++] = (RgArc) {t->o, t->s, i, slot, false, w, t->confidence};
		}
	}
	*count = n;
	return arcs;
}

/* hops from the marked nodes, UINT32_MAX where there is no way; by relaxing all arcs */
static inline void
rg_distances(const RgArc *arcs, uint32_t arc_count, uint32_t nodes, uint32_t *distance)
{
	for (uint32_t round = 0; round < nodes; round++)
	{
		for (uint32_t i = 0; i < arc_count; i++)
		{
			uint32_t	d = distance[arcs[i].from];

			if (d != UINT32_MAX && d + 1 < distance[arcs[i].to])
				distance[arcs[i].to] = d + 1;
		}
	}
}

/* one for all tests of a program, so that each starts with what the last one left */
static inline GmScratch *
rg_scratch(void)
{
	static GmScratch *scratch;

	if (scratch == NULL)
		CHECK(gm_scratch_create(0, &scratch) == GM_OK);
	return scratch;
}

/* the zeroed buffers must be what they promise */
static inline void
rg_check_scratch(void)
{
	GmScratch  *s = rg_scratch();

	CHECK(!s->dirty);
	for (int i = 0; i < GM_BUF_ZEROED; i++)
	{
		const unsigned char *p = s->buffers[i].data;
		unsigned char any = 0;

		for (size_t k = 0; k < s->buffers[i].bytes; k++)
			any |= p[k];
		CHECK(any == 0);
	}
}

/* a callback that says stop at its n-th question */
typedef struct RgStop
{
	uint32_t	left;
} RgStop;

static inline bool
rg_stop(void *arg)
{
	RgStop	   *stop = arg;

	return stop->left-- == 0;
}

#endif							/* GM_TEST_RANDOM_GRAPH_H */
