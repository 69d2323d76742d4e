/*-------------------------------------------------------------------------
 *
 * graph_compare.c
 *	  Whether two images hold the same rows, compared by ids.
 *
 * Written against graph.h and space.h alone, without knowledge of how changes
 * are applied: what a search by id does not find is not there, and a number
 * whose id leads elsewhere is nobody's.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph_compare.h"
#include "core/space_index.h"

#define DETAIL_BYTES	120

/* the worker's processor kernels may sum in another order than this process's */
#define SCALE_TOLERANCE	1e-5f

/* an edge of a node, by ids */
typedef struct Edge
{
	int64_t		predicate_id;
	int64_t		neighbor_id;
	int64_t		triple_id;
	bool		in;
} Edge;

typedef struct Edges
{
	Edge	   *list;
	uint32_t	count;
	uint32_t	room;
} Edges;

typedef struct Pair
{
	const GmGraph *image;
	const GmGraph *truth;
	const GmCompare *compare;
	GmView		image_view;
	GmView		truth_view;
	Edges		image_edges;
	Edges		truth_edges;
	uint64_t	work;
	GmHnswWork *coding;			/* where vectors are known by their codes */
} Pair;

#ifdef __GNUC__
__attribute__((format(printf, 4, 5)))
#endif
static void
differ(const GmCompare *c, const char *what, int64_t id, const char *format, ...)
{
	char		detail[DETAIL_BYTES];
	va_list		args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	c->report(c->arg, what, id, detail);
}

static void
lacks(const GmCompare *c, const char *what, int64_t id)
{
	c->report(c->arg, what, id, NULL);
}

static GmStatus
tick(Pair *p, uint64_t work)
{
	p->work += work + 1;
	if (p->work < GM_INTERRUPT_EVERY)
		return GM_OK;
	p->work = 0;
	return gm_interrupted(p->compare->intr) ? GM_INTERRUPTED : GM_OK;
}

static bool
same_string(const GmString *a, const GmString *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static bool
same_float(float a, float b)
{
	return memcmp(&a, &b, sizeof(float)) == 0;
}

static void
expect_id(const GmCompare *c, const char *what, int64_t id, int64_t found, int64_t expected)
{
	if (found != expected)
		differ(c, what, id, "found %lld, expected %lld", (long long) found,
			   (long long) expected);
}

static void
expect_float(const GmCompare *c, const char *what, int64_t id, float found, float expected)
{
	if (!same_float(found, expected))
		differ(c, what, id, "found %.9g, expected %.9g", (double) found, (double) expected);
}

static void
expect_string(const GmCompare *c, const char *what, int64_t id, const GmString *found,
			  const GmString *expected)
{
	if (!same_string(found, expected))
		lacks(c, what, id);
}

/*
 * Ids of numbers; -1 for none
 */
static int64_t
entity_id(const GmGraph *g, GmNode node)
{
	return node == GM_NONE ? -1 : gm_graph_entity_id(g, node);
}

static int64_t
source_id(const GmGraph *g, uint32_t source)
{
	return source == GM_NONE ? -1 : gm_graph_source(g, source)->source_id;
}

static int64_t
predicate_id(const GmGraph *g, uint32_t predicate)
{
	return predicate == GM_NONE ? -1 : gm_graph_predicate(g, predicate)->predicate_id;
}

static bool
is_node(const GmGraph *g, GmNode node)
{
	return gm_graph_find_entity(g, gm_graph_entity_id(g, node)) == node;
}

static bool
is_slot(const GmGraph *g, GmSlot slot)
{
	return gm_graph_find_triple(g, GM_ARRAY_I64(&g->triple_id, slot)) == slot;
}

static bool
is_source(const GmGraph *g, uint32_t source)
{
	return gm_graph_find_source_id(g, gm_graph_source(g, source)->source_id) == source;
}

static uint32_t
find_predicate(const GmGraph *g, const GmString *name)
{
	return name == NULL ? GM_NONE : gm_graph_find_predicate(g, name->bytes, name->length);
}

static bool
is_predicate(const GmGraph *g, uint32_t predicate)
{
	const GmString *name = gm_graph_string(g, gm_graph_predicate(g, predicate)->name);

	return find_predicate(g, name) == predicate;
}

/*
 * Dictionary
 */
static void
compare_name(const Pair *p, const GmString *name, int64_t id)
{
	expect_id(p->compare, "entity that a name leads to", id,
			  entity_id(p->image, gm_graph_find_name(p->image, name->bytes, name->length)),
			  entity_id(p->truth, gm_graph_find_name(p->truth, name->bytes, name->length)));
}

static GmStatus
compare_entities(Pair *p)
{
	const GmGraph *image = p->image;
	const GmGraph *truth = p->truth;

	for (GmNode theirs = 0; theirs < truth->root->gr_nodes; theirs++)
	{
		int64_t		id = gm_graph_entity_id(truth, theirs);
		GmNode		mine;

		if (tick(p, 0) != GM_OK)
			return GM_INTERRUPTED;
		if (!is_node(truth, theirs))
			continue;
		mine = gm_graph_find_entity(image, id);
		if (mine == GM_NONE)
		{
			lacks(p->compare, "entity is missing", id);
			continue;
		}
		expect_string(p->compare, "name of an entity", id, gm_graph_name(image, mine),
					  gm_graph_name(truth, theirs));
		expect_id(p->compare, "time of an entity", id, GM_ARRAY_I64(&image->created, mine),
				  GM_ARRAY_I64(&truth->created, theirs));
		expect_string(p->compare, "kind of an entity", id, gm_graph_kind(image, mine),
					  gm_graph_kind(truth, theirs));
		expect_string(p->compare, "literal type of an entity", id, gm_graph_type(image, mine),
					  gm_graph_type(truth, theirs));
		compare_name(p, gm_graph_name(truth, theirs), id);
	}
	for (GmNode mine = 0; mine < image->root->gr_nodes; mine++)
	{
		if (tick(p, 0) != GM_OK)
			return GM_INTERRUPTED;
		if (is_node(image, mine) &&
			gm_graph_find_entity(truth, gm_graph_entity_id(image, mine)) == GM_NONE)
			lacks(p->compare, "entity is not in the tables", gm_graph_entity_id(image, mine));
	}
	return GM_OK;
}

/* every name that either image has for an alias leads to the same in both */
static GmStatus
compare_aliases(Pair *p, const GmGraph *of)
{
	for (uint32_t i = 0; i < of->root->gr_aliases; i++)
	{
		const GmAlias *alias = gm_array_at(&of->alias, i);
		const GmString *name = gm_graph_string(of, alias->name);

		if (tick(p, 0) != GM_OK)
			return GM_INTERRUPTED;
		if (name != NULL)
			compare_name(p, name, entity_id(of, alias->node));
	}
	return GM_OK;
}

static void
compare_predicate(const Pair *p, const GmPredicate *theirs)
{
	const GmCompare *c = p->compare;
	int64_t		id = theirs->predicate_id;
	uint32_t	number = find_predicate(p->image, gm_graph_string(p->truth, theirs->name));
	const GmPredicate *mine;

	if (number == GM_NONE)
	{
		lacks(c, "predicate is missing", id);
		return;
	}
	mine = gm_graph_predicate(p->image, number);
	expect_id(c, "predicate that a name leads to", id, mine->predicate_id, id);
	expect_float(c, "weight of a predicate", id, mine->weight, theirs->weight);
	if (mine->functional != theirs->functional || mine->symmetric != theirs->symmetric)
		lacks(c, "properties of a predicate", id);
}

static GmStatus
compare_predicates(Pair *p)
{
	const GmGraph *image = p->image;
	const GmGraph *truth = p->truth;

	for (uint32_t i = 0; i < truth->root->gr_predicates; i++)
	{
		/* a name is looked for among all */
		if (tick(p, image->root->gr_predicates) != GM_OK)
			return GM_INTERRUPTED;
		if (is_predicate(truth, i))
			compare_predicate(p, gm_graph_predicate(truth, i));
	}
	for (uint32_t i = 0; i < image->root->gr_predicates; i++)
	{
		const GmPredicate *mine = gm_graph_predicate(image, i);

		if (tick(p, truth->root->gr_predicates) != GM_OK)
			return GM_INTERRUPTED;
		if (is_predicate(image, i) &&
			find_predicate(truth, gm_graph_string(image, mine->name)) == GM_NONE)
			lacks(p->compare, "predicate is not in the tables", mine->predicate_id);
	}
	return GM_OK;
}

static void
compare_source(const Pair *p, const GmSource *theirs)
{
	const GmCompare *c = p->compare;
	int64_t		id = theirs->source_id;
	uint32_t	number = gm_graph_find_source_id(p->image, id);
	const GmSource *mine;

	if (number == GM_NONE)
	{
		lacks(c, "source is missing", id);
		return;
	}
	mine = gm_graph_source(p->image, number);
	expect_string(c, "name of a source", id, gm_graph_string(p->image, mine->name),
				  gm_graph_string(p->truth, theirs->name));
	expect_string(c, "session of a source", id, gm_graph_string(p->image, mine->session),
				  gm_graph_string(p->truth, theirs->session));
	expect_string(c, "kind of a source", id, gm_graph_string(p->image, mine->kind),
				  gm_graph_string(p->truth, theirs->kind));
	expect_float(c, "reliability of a source", id, mine->reliability, theirs->reliability);
	expect_id(c, "time of a source", id, mine->created_at, theirs->created_at);
}

static GmStatus
compare_sources(Pair *p)
{
	const GmGraph *image = p->image;
	const GmGraph *truth = p->truth;

	for (uint32_t i = 0; i < truth->root->gr_sources; i++)
	{
		if (tick(p, 0) != GM_OK)
			return GM_INTERRUPTED;
		if (is_source(truth, i))
			compare_source(p, gm_graph_source(truth, i));
	}
	for (uint32_t i = 0; i < image->root->gr_sources; i++)
	{
		if (tick(p, 0) != GM_OK)
			return GM_INTERRUPTED;
		if (is_source(image, i) &&
			gm_graph_find_source_id(truth, gm_graph_source(image, i)->source_id) == GM_NONE)
			lacks(p->compare, "source is not in the tables",
				  gm_graph_source(image, i)->source_id);
	}
	return GM_OK;
}

/*
 * Triples and what is asserted of their facts
 */
static void
compare_times(const GmCompare *c, int64_t id, const GmTimes *mine, const GmTimes *theirs)
{
	expect_id(c, "valid_from of a triple", id, mine->valid_from, theirs->valid_from);
	expect_id(c, "valid_to of a triple", id, mine->valid_to, theirs->valid_to);
	expect_id(c, "recorded_at of a triple", id, mine->recorded_at, theirs->recorded_at);
	expect_id(c, "expired_at of a triple", id, mine->expired_at, theirs->expired_at);
}

static void
compare_triple(const Pair *p, GmSlot mine, GmSlot theirs)
{
	const GmCompare *c = p->compare;
	const GmGraph *image = p->image;
	const GmGraph *truth = p->truth;
	GmTriple	a;
	GmTriple	b;

	gm_graph_slot(image, mine, &a);
	gm_graph_slot(truth, theirs, &b);
	expect_id(c, "fact of a triple", b.triple_id, a.fact_id, b.fact_id);
	expect_id(c, "subject of a triple", b.triple_id, entity_id(image, a.subject),
			  entity_id(truth, b.subject));
	expect_id(c, "predicate of a triple", b.triple_id, predicate_id(image, a.predicate),
			  predicate_id(truth, b.predicate));
	expect_id(c, "object of a triple", b.triple_id, entity_id(image, a.object),
			  entity_id(truth, b.object));
	compare_times(c, b.triple_id, &a.times, &b.times);
	expect_float(c, "confidence of a triple", b.triple_id, a.confidence, b.confidence);
	expect_float(c, "asserted confidence of a triple", b.triple_id,
				 gm_graph_confidence_at(image, mine, GM_TIME_MIN),
				 gm_graph_confidence_at(truth, theirs, GM_TIME_MIN));
}

static uint32_t
compare_assertions(const Pair *p, int64_t fact_id)
{
	const GmCompare *c = p->compare;
	GmAssertionIter mine;
	GmAssertionIter theirs;
	uint32_t	n = 0;

	gm_assertions_begin(&mine, p->image, fact_id);
	gm_assertions_begin(&theirs, p->truth, fact_id);
	for (;; n++)
	{
		const GmAssertion *a = gm_assertions_next(&mine);
		const GmAssertion *b = gm_assertions_next(&theirs);

		if ((a == NULL) != (b == NULL))
			lacks(c, "number of assertions of a fact", fact_id);
		if (a == NULL || b == NULL)
			return n;
		expect_id(c, "source of an assertion", fact_id, source_id(p->image, a->source),
				  source_id(p->truth, b->source));
		expect_id(c, "time of an assertion", fact_id, a->asserted_at, b->asserted_at);
		expect_float(c, "confidence of an assertion", fact_id, a->confidence, b->confidence);
	}
}

/* the fact of a slot, looked at once: by the first of its versions */
static uint32_t
compare_fact(const Pair *p, GmSlot theirs)
{
	int64_t		fact_id = GM_ARRAY_I64(&p->truth->fact_id, theirs);
	GmFactSlots iter;
	uint32_t	mine = 0;
	uint32_t	n = 1;

	gm_fact_slots_init(&iter, p->truth);
	gm_fact_slots_seek(&iter, fact_id);
	if (gm_fact_slots_next(&iter) != theirs)
		return 0;
	while (gm_fact_slots_next(&iter) != GM_NONE)
		n++;
	gm_fact_slots_init(&iter, p->image);
	gm_fact_slots_seek(&iter, fact_id);
	while (gm_fact_slots_next(&iter) != GM_NONE)
		mine++;
	expect_id(p->compare, "number of versions of a fact", fact_id, mine, n);
	return n + compare_assertions(p, fact_id);
}

static void
check_flip(const Pair *p, GmSlot mine)
{
	const GmGraphRoot *root = p->image->root;
	GmTriple	t;

	gm_graph_slot(p->image, mine, &t);
	if (t.times.expired_at != GM_TIME_MAX)
		return;
	if ((t.times.valid_from > root->gr_built_at && t.times.valid_from < root->gr_next_flip) ||
		(t.times.valid_to > root->gr_built_at && t.times.valid_to < root->gr_next_flip))
		differ(p->compare, "triple changes its validity before the next flip", t.triple_id,
			   "next flip at %lld", (long long) root->gr_next_flip);
}

static GmStatus
compare_triples(Pair *p)
{
	const GmGraph *image = p->image;
	const GmGraph *truth = p->truth;

	for (GmSlot theirs = 0; theirs < truth->root->gr_slots; theirs++)
	{
		int64_t		id = GM_ARRAY_I64(&truth->triple_id, theirs);
		GmSlot		mine;

		if (tick(p, 4) != GM_OK)
			return GM_INTERRUPTED;
		if (!is_slot(truth, theirs))
			continue;
		mine = gm_graph_find_triple(image, id);
		if (mine == GM_NONE)
			lacks(p->compare, "triple is missing", id);
		else
			compare_triple(p, mine, theirs);
		p->work += compare_fact(p, theirs);
	}
	for (GmSlot mine = 0; mine < image->root->gr_slots; mine++)
	{
		int64_t		id = GM_ARRAY_I64(&image->triple_id, mine);

		if (tick(p, 0) != GM_OK)
			return GM_INTERRUPTED;
		if (!is_slot(image, mine))
			continue;
		if (gm_graph_find_triple(truth, id) == GM_NONE)
			lacks(p->compare, "triple is not in the tables", id);
		check_flip(p, mine);
	}
	return GM_OK;
}

/*
 * Adjacency, as a query sees it
 */
static GmStatus
gather_edges(const GmGraph *g, const GmView *view, GmNode node, Edges *edges)
{
	GmEdgeIter	iter;
	GmEdge		edge;

	edges->count = 0;
	gm_edges_begin(&iter, g, view, node);
	while (gm_edges_next(&iter, &edge))
	{
		Edge	   *e;

		if (edges->count == edges->room)
		{
			uint32_t	room = edges->room == 0 ? 64 : edges->room * 2;
			Edge	   *list = realloc(edges->list, room * sizeof(Edge));

			if (list == NULL)
				return GM_NO_MEMORY;
			edges->list = list;
			edges->room = room;
		}
		e = &edges->list[edges->count++];
		e->predicate_id = predicate_id(g, edge.predicate);
		e->neighbor_id = entity_id(g, edge.neighbor);
		e->triple_id = GM_ARRAY_I64(&g->triple_id, edge.slot);
		e->in = !edge.out;
	}
	return GM_OK;
}

static int
compare_edges(const void *a, const void *b)
{
	const Edge *x = a;
	const Edge *y = b;

	if (x->in != y->in)
		return x->in ? 1 : -1;
	if (x->predicate_id != y->predicate_id)
		return x->predicate_id < y->predicate_id ? -1 : 1;
	if (x->neighbor_id != y->neighbor_id)
		return x->neighbor_id < y->neighbor_id ? -1 : 1;
	return x->triple_id < y->triple_id ? -1 : x->triple_id > y->triple_id;
}

/* where one of them read history, which comes last, the orders may differ */
static void
sort_edges(Edges *edges)
{
	if (edges->count > 1)
		qsort(edges->list, edges->count, sizeof(Edge), compare_edges);
}

static GmStatus
compare_node(Pair *p, GmNode mine, GmNode theirs)
{
	int64_t		id = gm_graph_entity_id(p->truth, theirs);
	Edges	   *a = &p->image_edges;
	Edges	   *b = &p->truth_edges;
	GmStatus	status = gather_edges(p->image, &p->image_view, mine, a);

	if (status == GM_OK)
		status = gather_edges(p->truth, &p->truth_view, theirs, b);
	if (status != GM_OK)
		return status;
	if (p->image_view.timed || p->truth_view.timed)
	{
		sort_edges(a);
		sort_edges(b);
	}
	expect_id(p->compare, "number of edges of an entity", id, a->count, b->count);
	for (uint32_t i = 0; i < a->count && i < b->count; i++)
		if (compare_edges(&a->list[i], &b->list[i]) != 0)
		{
			differ(p->compare, "edges of an entity", id,
				   "edge %u: found triple %lld, expected %lld", i,
				   (long long) a->list[i].triple_id, (long long) b->list[i].triple_id);
			break;
		}
	return tick(p, (uint64_t) a->count + b->count);
}

static GmStatus
compare_adjacency(Pair *p)
{
	for (GmNode theirs = 0; theirs < p->truth->root->gr_nodes; theirs++)
	{
		GmNode		mine;
		GmStatus	status;

		if (!is_node(p->truth, theirs))
			continue;
		mine = gm_graph_find_entity(p->image, gm_graph_entity_id(p->truth, theirs));
		status = mine == GM_NONE ? tick(p, 0) : compare_node(p, mine, theirs);
		if (status != GM_OK)
			return status;
	}
	return GM_OK;
}

GmStatus
gm_graph_compare(const GmGraph *image, const GmGraph *truth, int64_t now,
				 const GmCompare *compare)
{
	Pair		p = {image, truth, compare};
	GmStatus	status;

	gm_view_init(image, now, &p.image_view);
	gm_view_init(truth, now, &p.truth_view);
	status = compare_predicates(&p);
	if (status == GM_OK)
		status = compare_sources(&p);
	if (status == GM_OK)
		status = compare_entities(&p);
	if (status == GM_OK)
		status = compare_aliases(&p, truth);
	if (status == GM_OK)
		status = compare_aliases(&p, image);
	if (status == GM_OK)
		status = compare_triples(&p);
	if (status == GM_OK)
		status = compare_adjacency(&p);
	free(p.image_edges.list);
	free(p.truth_edges.list);
	return status;
}

/*
 * Vectors
 */
static bool
is_row(const GmSpace *s, uint32_t row)
{
	return gm_space_find(s, gm_space_item_id(s, row)) == row;
}

/* the id that a row's number stands for; its own where facts have none */
static int64_t
row_number_id(const GmGraph *g, const GmSpace *s, uint32_t row, char target)
{
	uint32_t	number = gm_space_number(s, row);

	switch (target)
	{
		case 'e':
			return number < g->root->gr_nodes ? entity_id(g, number) : -1;
		case 's':
			return number < g->root->gr_sources ? source_id(g, number) : -1;
		default:
			return gm_space_item_id(s, row);
	}
}

static bool
is_same_vector(const Pair *p, GmSpace *a, uint32_t mine, const float *vector)
{
	const float *here = gm_space_vector(a, mine);

	return (here == NULL || memcmp(here, vector, a->root->sp_dim * sizeof(float)) == 0) &&
		(!a->root->sp_apart || gm_space_is_row_of(a, p->coding, mine, vector));
}

static void
compare_row(const Pair *p, GmSpace *a, uint32_t mine, const GmSpace *b, uint32_t theirs,
			char target)
{
	int64_t		id = gm_space_item_id(b, theirs);
	float		scale = GM_ARRAY_F32(&a->scale, mine);
	float		expected = GM_ARRAY_F32(&b->scale, theirs);

	if (!is_same_vector(p, a, mine, gm_space_vector(b, theirs)))
		lacks(p->compare, "vector", id);
	if (fabsf(scale - expected) > SCALE_TOLERANCE * expected)
		expect_float(p->compare, "length of a vector", id, scale, expected);
	expect_id(p->compare, "item of a vector", id, row_number_id(p->image, a, mine, target), id);
	if (target != 'f' && gm_space_row_of(a, gm_space_number(a, mine)) != mine)
		lacks(p->compare, "vector is not found by its item", id);
}

static GmStatus
compare_rows(Pair *p, GmSpace *a, const GmSpace *b, char target)
{
	for (uint32_t theirs = 0; theirs < b->root->sp_rows; theirs++)
	{
		int64_t		id = gm_space_item_id(b, theirs);
		uint32_t	mine;

		if (tick(p, b->root->sp_dim / 16) != GM_OK)
			return GM_INTERRUPTED;
		if (!is_row(b, theirs))
			continue;
		mine = gm_space_find(a, id);
		if (mine == GM_NONE)
			lacks(p->compare, "vector is missing", id);
		else
			compare_row(p, a, mine, b, theirs, target);
	}
	for (uint32_t mine = 0; mine < a->root->sp_rows; mine++)
	{
		if (tick(p, 0) != GM_OK)
			return GM_INTERRUPTED;
		if (is_row(a, mine) && gm_space_find(b, gm_space_item_id(a, mine)) == GM_NONE)
			lacks(p->compare, "vector is not in the tables", gm_space_item_id(a, mine));
	}
	return GM_OK;
}

GmStatus
gm_space_compare(const GmGraph *image, GmSpace *a, const GmGraph *truth, const GmSpace *b,
				 char target, const GmCompare *compare)
{
	Pair		p = {image, truth, compare};
	GmStatus	status;

	if (a->root->sp_dim != b->root->sp_dim || a->root->sp_metric != b->root->sp_metric)
	{
		lacks(compare, "dimension or metric of the vectors", 0);
		return GM_OK;
	}
	if (a->root->sp_m != b->root->sp_m ||
		a->root->sp_ef_construction != b->root->sp_ef_construction ||
		a->root->sp_kind != b->root->sp_kind || a->root->sp_in_table != b->root->sp_in_table)
		lacks(compare, "index parameters of a vector space", 0);
	if (a->root->sp_apart && (p.coding = gm_hnsw_work_create()) == NULL)
		return GM_NO_MEMORY;
	status = compare_rows(&p, a, b, target);
	gm_hnsw_work_destroy(p.coding);
	return status;
}
