/*-------------------------------------------------------------------------
 *
 * test_shape.c
 *	  Shapes of nodes against lists of their edges, in images built in any
 *	  order and changed; means of neighbours' vectors against plain sums.
 *
 * Assertions
 *	 1. two nodes of the same ids around them, in whatever images, have the same
 *		shape if and only if their lists of edges are the same
 *	 2. a node without edges, and no other, has shape 0
 *	 3. an undone change gives the shape of before
 *	 4. a mean is what a plain sum over distinct neighbours gives, and has the
 *		same bits in any image of the same rows
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>

#include "unit.h"

#include "apply_model.h"
#include "core/shape.h"
#include "random_graph.h"

/*
 * Lists of edges
 */
typedef struct Item
{
	uint32_t	from;
	uint32_t	to;
	uint32_t	predicate;
	uint32_t	out;
	float		confidence;		/* 0 where weights do not count */
} Item;

typedef struct Lists
{
	Item	   *items;			/* by node, in order */
	uint32_t	n;
} Lists;

static int
compare_items(const void *a, const void *b)
{
	const Item *x = a;
	const Item *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	if (x->to != y->to)
		return x->to < y->to ? -1 : 1;
	if (x->predicate != y->predicate)
		return x->predicate < y->predicate ? -1 : 1;
	if (x->out != y->out)
		return x->out < y->out ? -1 : 1;
	return x->confidence < y->confidence ? -1 : x->confidence > y->confidence;
}

static void
list_edges(const RgGraph *rg, const GmView *view, bool weighted, Lists *lists)
{
	uint32_t	count;
	RgArc	   *arcs = rg_arcs(rg, view, &count);

	lists->items = calloc(count + 1, sizeof(Item));
	lists->n = 0;
	for (uint32_t i = 0; i < count; i++)
	{
		const RgTriple *t = &rg->triples[arcs[i].number];

		if (weighted && t->confidence == 0)
			continue;
		lists->items[lists->n++] = (Item) {
			arcs[i].from, arcs[i].to, t->p, arcs[i].out, weighted ? t->confidence : 0
		};
	}
	free(arcs);
	qsort(lists->items, lists->n, sizeof(Item), compare_items);
}

/* where the node's list begins, and how long it is */
static uint32_t
list_of(const Lists *lists, uint32_t node, uint32_t *n)
{
	uint32_t	at = 0;

	while (at < lists->n && lists->items[at].from < node)
		at++;
	for (*n = 0; at + *n < lists->n && lists->items[at + *n].from == node; (*n)++)
		;
	return at;
}

static bool
same_list(const Lists *a, uint32_t node_a, const Lists *b, uint32_t node_b)
{
	uint32_t	n;
	uint32_t	m;
	uint32_t	i = list_of(a, node_a, &n);
	uint32_t	j = list_of(b, node_b, &m);

	if (n != m)
		return false;
	for (uint32_t k = 0; k < n; k++)
	{
		Item		x = a->items[i + k];
		Item		y = b->items[j + k];

		x.from = y.from = 0;
		if (compare_items(&x, &y) != 0)
			return false;
	}
	return true;
}

static void
compare_graphs(const RgGraph *a, const GmView *view_a, const RgGraph *b, const GmView *view_b,
			   bool weighted)
{
	Lists		list_a;
	Lists		list_b;

	list_edges(a, view_a, weighted, &list_a);
	list_edges(b, view_b, weighted, &list_b);
	for (uint32_t i = 0; i < a->shape.nodes; i++)
	{
		uint64_t	shape = gm_shape_of(a->graph, view_a, weighted,
										gm_graph_find_entity(a->graph, rg_entity_id(i)));
		uint32_t	n;

		(void) list_of(&list_a, i, &n);
		CHECK((shape == 0) == (n == 0));
		CHECK(shape != GM_SHAPE_NONE);
		for (uint32_t j = 0; j < b->shape.nodes; j++)
			CHECK((shape == gm_shape_of(b->graph, view_b, weighted,
										gm_graph_find_entity(b->graph, rg_entity_id(j)))) ==
				  same_list(&list_a, i, &list_b, j));
	}
	free(list_a.items);
	free(list_b.items);
}

static void
test_lists(void)
{
	for (int round = 0; round < 120 && unit_failures == 0; round++)
	{
		RgGraph		one;
		RgGraph		two;
		RgView		view;
		RgView		other;
		bool		weighted = round % 2 == 0;

		rg_make(&one, rg_random_shape(14, 40));
		two = one;
		two.triples = malloc((one.shape.triples + 1) * sizeof(RgTriple));
		memcpy(two.triples, one.triples, (one.shape.triples + 1) * sizeof(RgTriple));
		rg_build(&two);			/* the same in another order */
		rg_random_view(&one, &view);
		other = view;
		if (other.view.predicates != NULL)
			other.view.predicates = other.predicates;
		if (other.view.slots != NULL)
			other.view.slots = view.view.slots = NULL;	/* they are numbers of one image */
		gm_view_settle(one.graph, &view.view);
		gm_view_settle(two.graph, &other.view);
		compare_graphs(&one, &view.view, &two, &other.view, weighted);
		rg_free_view(&view);
		rg_free(&two);

		/* another graph over the same ids */
		rg_make(&two, one.shape);
		gm_view_init(one.graph, RG_NOW, &view.view);
		gm_view_init(two.graph, RG_NOW, &other.view);
		compare_graphs(&one, &view.view, &two, &other.view, weighted);
		rg_free(&one);
		rg_free(&two);
	}
}

/*
 * Images that were changed
 */
static Model model;

static void
compare_images(const GmGraph *g, const GmGraph *fresh, int64_t now)
{
	GmView		view;
	GmView		fresh_view;

	gm_view_init(g, now, &view);
	gm_view_init(fresh, now, &fresh_view);
	for (int i = 0; i < M_ENTITIES; i++)
	{
		GmNode		node = gm_graph_find_entity(g, m_entity_id(i));
		GmNode		same = gm_graph_find_entity(fresh, m_entity_id(i));

		REQUIRE((node == GM_NONE) == (same == GM_NONE));
		if (node == GM_NONE)
			continue;
		CHECK(gm_shape_of(g, &view, false, node) == gm_shape_of(fresh, &fresh_view, false, same));
		CHECK(gm_shape_of(g, &view, true, node) == gm_shape_of(fresh, &fresh_view, true, same));
	}
}

static void
compare_means(GmGraph *g, GmGraph *fresh, int64_t now, uint32_t *found)
{
	GmView		view;
	GmView		fresh_view;
	GmShapeMeans means = {.graph = g, .view = &view, .weighted = true};
	GmShapeMeans again = {.graph = fresh, .view = &fresh_view, .weighted = true};

	gm_view_init(g, now, &view);
	gm_view_init(fresh, now, &fresh_view);
	for (uint32_t i = 0; i < gm_graph_spaces(g); i++)
		if (gm_graph_space_info(g, i)->target == 'e')
		{
			means.space = gm_graph_space(g, i);
			again.space = gm_graph_space(fresh, i);
		}
	if (means.space == NULL)
		return;
	for (int i = 0; i < M_ENTITIES; i++)
	{
		GmNode		node = gm_graph_find_entity(g, m_entity_id(i));
		float		a[M_DIM];
		float		b[M_DIM];
		bool		there;
		bool		there_too;

		if (node == GM_NONE)
			continue;
		REQUIRE(gm_shape_mean(&means, node, NULL, a, &there) == GM_OK);
		REQUIRE(gm_shape_mean(&again, gm_graph_find_entity(fresh, m_entity_id(i)), NULL, b,
							  &there_too) == GM_OK);
		REQUIRE(there == there_too);
		if (there)
			CHECK(memcmp(a, b, sizeof(a)) == 0);
		*found += there;
	}
	gm_shape_means_end(&means);
	gm_shape_means_end(&again);
}

static void
test_applied(void)
{
	int64_t		now = 100;
	uint64_t	epoch = 1;
	uint32_t	means = 0;
	GmMem	   *mem;
	GmGraph    *g;
	Ops			ops = {0};

	(void) gm_vec_choose(GM_SIMD_AUTO);
	for (int i = 0; i < 900; i++)
	{
		ops.n = 0;
		m_some_op(&ops, &model, true, true);
	}
	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(m_build(&model, mem, now, &g) == GM_OK);
	for (int v = 0; v < 60 && unit_failures == 0; v++)
	{
		GmApply    *apply;
		GmRef		root;
		GmMem	   *fresh_mem;
		GmGraph    *fresh;

		ops.n = 0;
		for (int i = 0; i < 20; i++)
			m_some_op(&ops, &model, true, true);
		if (v % 4 == 3)
			now += unit_random_below(15);
		REQUIRE(gm_apply_begin(g, NULL, &apply) == GM_OK);
		for (int i = 0; i < ops.n; i++)
			REQUIRE(m_apply_op(apply, &ops.list[i], false) == GM_OK);
		REQUIRE(gm_apply_finish(apply, now, &root) == GM_OK);
		gm_apply_commit(apply, epoch++);
		gm_mem_reclaim(mem, UINT64_MAX);
		REQUIRE(gm_mem_create(4096, 0, NULL, &fresh_mem) == GM_OK);
		REQUIRE(m_build(&model, fresh_mem, now, &fresh) == GM_OK);
		compare_images(g, fresh, now);
		compare_means(g, fresh, now, &means);
		gm_graph_destroy(fresh);
		gm_mem_destroy(fresh_mem);
	}
	CHECK(means > 100);
	free(ops.list);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

/*
 * One change after the other, each undone
 */
#define A	INT64_C(10)			/* entities */
#define B	INT64_C(11)
#define C	INT64_C(12)

typedef struct Fact
{
	int64_t		subject;
	int64_t		predicate;
	int64_t		object;
	float		confidence;
} Fact;

static void
put_fact(GmGraph *g, int64_t id, const Fact *fact)
{
	static uint64_t epoch = 1;
	GmApply    *apply;
	GmRef		root;
	GmRow		row = {.table = GM_TABLE_TRIPLES};

	row.u.triple.triple_id = row.u.triple.fact_id = id;
	if (fact != NULL)
	{
		row.u.triple.subject_id = fact->subject;
		row.u.triple.predicate_id = fact->predicate;
		row.u.triple.object_id = fact->object;
		row.u.triple.confidence = fact->confidence;
		row.u.triple.times = (GmTimes) {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	}
	REQUIRE(gm_apply_begin(g, NULL, &apply) == GM_OK);
	REQUIRE((fact == NULL ? gm_apply_remove(apply, &row) : gm_apply_put(apply, &row)) == GM_OK);
	REQUIRE(gm_apply_finish(apply, 0, &root) == GM_OK);
	gm_apply_commit(apply, epoch++);
}

static uint64_t
shape_of(const GmGraph *g, int64_t entity_id, bool weighted)
{
	GmView		view;

	gm_view_init(g, 0, &view);
	return gm_shape_of(g, &view, weighted, gm_graph_find_entity(g, entity_id));
}

static void
test_changes(void)
{
	static const Fact first = {A, 1, B, 0.5f};
	static const struct
	{
		const char *what;
		int64_t		id;			/* 1: of the first fact */
		Fact		fact;
		bool		gone;
		bool		plain;		/* changes A where weights do not count */
	}			changes[] = {
		{"another edge", 2, {A, 1, C, 0.5f}, false, true},
		{"the same once more", 2, {A, 1, B, 0.5f}, false, true},
		{"a self-loop", 2, {A, 1, A, 0.5f}, false, true},
		{"one less", 1, {0}, true, true},
		{"predicate", 1, {A, 2, B, 0.5f}, false, true},
		{"symmetric predicate", 1, {A, 3, B, 0.5f}, false, true},
		{"direction", 1, {B, 1, A, 0.5f}, false, true},
		{"neighbour", 1, {A, 1, C, 0.5f}, false, true},
		{"confidence", 1, {A, 1, B, 0.25f}, false, false},
		{"confidence 0", 1, {A, 1, B, 0}, false, false},
	};
	GmMem	   *mem;
	GmGraph    *g;

	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_graph_create(mem, &g) == GM_OK);
	REQUIRE(gm_graph_add_predicate(g, 1, "p", 1, false, false, 1) == GM_OK);
	REQUIRE(gm_graph_add_predicate(g, 2, "q", 1, false, false, 1) == GM_OK);
	REQUIRE(gm_graph_add_predicate(g, 3, "s", 1, false, true, 1) == GM_OK);
	REQUIRE(gm_graph_add_entity(g, A, "a", 1, NULL, 0, NULL, 0) == GM_OK);
	REQUIRE(gm_graph_add_entity(g, B, "b", 1, NULL, 0, NULL, 0) == GM_OK);
	REQUIRE(gm_graph_add_entity(g, C, "c", 1, NULL, 0, NULL, 0) == GM_OK);
	REQUIRE(gm_graph_finish(g, 0, NULL) == GM_OK);
	CHECK(shape_of(g, A, false) == 0 && shape_of(g, A, true) == 0);
	put_fact(g, 1, &first);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
	{
		uint64_t	plain = shape_of(g, A, false);
		uint64_t	weighted = shape_of(g, A, true);

		put_fact(g, changes[i].id, changes[i].gone ? NULL : &changes[i].fact);
		if (!CHECK((shape_of(g, A, false) != plain) == changes[i].plain) ||
			!CHECK(shape_of(g, A, true) != weighted))
			printf("# %s\n", changes[i].what);
		put_fact(g, changes[i].id, changes[i].id == 1 ? &first : NULL);
		if (!CHECK(shape_of(g, A, false) == plain) || !CHECK(shape_of(g, A, true) == weighted))
			printf("# %s, undone\n", changes[i].what);
	}
	put_fact(g, 1, NULL);
	CHECK(shape_of(g, A, false) == 0 && shape_of(g, A, true) == 0);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

/*
 * Means against plain sums
 */
#define DIM		7

static const float *
given_vector(void *arg, GmNode node)
{
	float	  **vectors = arg;

	return vectors[node];
}

/* over the nodes in the order of their ids, and for each over all edges */
static bool
plain_mean(const RgGraph *rg, const RgArc *arcs, uint32_t count, float **vectors, uint32_t node,
		   bool weighted, bool normalize, double *mean)
{
	double		total = 0;
	double		square = 0;

	memset(mean, 0, DIM * sizeof(double));
	for (uint32_t to = 0; to < rg->shape.nodes; to++)
	{
		double		most = 0;

		for (uint32_t i = 0; i < count; i++)
			if (arcs[i].from == node && arcs[i].to == to && to != node &&
				(weighted ? arcs[i].confidence : 1) > most)
				most = weighted ? arcs[i].confidence : 1;
		if (most == 0 || vectors[to] == NULL)
			continue;
		total += most;
		for (int j = 0; j < DIM; j++)
			mean[j] += most * vectors[to][j];
	}
	for (int j = 0; j < DIM; j++)
		square += mean[j] * mean[j];
	if (total == 0)
		return false;
	for (int j = 0; j < DIM; j++)
		mean[j] /= normalize ? sqrt(square) : total;
	return true;
}

/* some nodes have vectors in the space, some are given, some have none */
static void
check_means(RgGraph *rg, bool weighted, bool normalize)
{
	uint32_t	nodes = rg->shape.nodes;
	float	  **vectors = calloc(nodes, sizeof(float *));
	float	  **given = calloc(nodes, sizeof(float *));
	GmShapeMeans means = {.graph = rg->graph, .weighted = weighted, .normalize = normalize};
	GmView		view;
	GmSpace    *space;
	RgArc	   *arcs;
	uint32_t	count;

	gm_view_init(rg->graph, RG_NOW, &view);
	REQUIRE(gm_space_create(rg->mem, DIM, GM_METRIC_COSINE, &space) == GM_OK);
	for (uint32_t i = 0; i < nodes; i++)
	{
		uint32_t	kind = unit_random_below(4);
		GmNode		node = gm_graph_find_entity(rg->graph, rg_entity_id(i));

		if (kind == 0)
			continue;
		vectors[i] = malloc(DIM * sizeof(float));
		for (int j = 0; j < DIM; j++)
			vectors[i][j] = (float) (unit_random_double() - 0.4);
		if (kind == 1)
			given[node] = vectors[i];
		else
			REQUIRE(gm_space_add(space, rg_entity_id(i), node, vectors[i]) == GM_OK);
	}
	REQUIRE(gm_space_finish(space, rg->graph->root->gr_nodes) == GM_OK);
	means.view = &view;
	means.space = space;
	means.given = given_vector;
	means.arg = given;
	arcs = rg_arcs(rg, &view, &count);
	for (uint32_t i = 0; i < nodes; i++)
	{
		float		vector[DIM];
		double		want[DIM];
		bool		there;

		REQUIRE(gm_shape_mean(&means, gm_graph_find_entity(rg->graph, rg_entity_id(i)), NULL,
							  vector, &there) == GM_OK);
		REQUIRE(there == plain_mean(rg, arcs, count, vectors, i, weighted, normalize, want));
		for (int j = 0; there && j < DIM; j++)
			CHECK_NEAR(vector[j], want[j], 1e-6);
	}
	for (uint32_t i = 0; i < nodes; i++)
		free(vectors[i]);
	free(vectors);
	free(given);
	free(arcs);
	gm_shape_means_end(&means);
	gm_space_destroy(space);
}

static void
test_means(void)
{
	(void) gm_vec_choose(GM_SIMD_AUTO);
	for (int round = 0; round < 200 && unit_failures == 0; round++)
	{
		RgGraph		rg;

		rg_make(&rg, rg_random_shape(20, 60));
		check_means(&rg, round % 2 == 0, round % 4 < 2);
		rg_free(&rg);
	}
}

/* sums that leave nothing, and the ends of the range: never a NaN */
static void
test_ends(void)
{
	static const float ends[][2] = {{0, 0}, {1, -1}, {1, 1}, {1e18f, -1e18f}, {1e18f, 1e18f},
	{1e-18f, 1e-18f}, {1e-18f, -1e-18f}, {1e18f, 1e-18f}};

	(void) gm_vec_choose(GM_SIMD_AUTO);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		for (int normalize = 0; normalize < 2; normalize++)
		{
			GmMem	   *mem;
			GmGraph    *g;
			GmSpace    *space;
			GmView		view;
			GmTimes		times = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
			float		vector[3] = {NAN, NAN, NAN};
			double		sum = (double) ends[i][0] + ends[i][1];
			bool		there;

			REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
			REQUIRE(gm_graph_create(mem, &g) == GM_OK);
			REQUIRE(gm_graph_add_predicate(g, 1, "p", 1, false, false, 1) == GM_OK);
			REQUIRE(gm_graph_add_entity(g, A, "a", 1, NULL, 0, NULL, 0) == GM_OK);
			REQUIRE(gm_graph_add_entity(g, B, "b", 1, NULL, 0, NULL, 0) == GM_OK);
			REQUIRE(gm_graph_add_entity(g, C, "c", 1, NULL, 0, NULL, 0) == GM_OK);
			REQUIRE(gm_graph_add_triple(g, 1, 1, A, 1, B, 1, &times) == GM_OK);
			REQUIRE(gm_graph_add_triple(g, 2, 2, C, 1, A, 1, &times) == GM_OK);
			REQUIRE(gm_graph_finish(g, 0, NULL) == GM_OK);
			REQUIRE(gm_space_create(mem, 3, GM_METRIC_L2, &space) == GM_OK);
			for (int j = 0; j < 2; j++)
			{
				float		v[3] = {ends[i][j], 0, ends[i][j]};

				REQUIRE(gm_space_add(space, j == 0 ? B : C,
									 gm_graph_find_entity(g, j == 0 ? B : C), v) == GM_OK);
			}
			REQUIRE(gm_space_finish(space, g->root->gr_nodes) == GM_OK);
			gm_view_init(g, 0, &view);
			{
				GmShapeMeans means = {.graph = g, .view = &view, .space = space,
					.normalize = normalize != 0};

				REQUIRE(gm_shape_mean(&means, gm_graph_find_entity(g, A), NULL, vector,
									  &there) == GM_OK);
				gm_shape_means_end(&means);
			}
			CHECK(there == (sum != 0));
			if (there)
				CHECK_NEAR(vector[0], normalize ? sqrt(0.5) : sum / 2, fabs(sum) * 1e-6 + 1e-7);
			if (there)
				CHECK(vector[0] == vector[2] && vector[1] == 0);
			gm_space_destroy(space);
			gm_graph_destroy(g);
			gm_mem_destroy(mem);
		}
}

/*
 * A node with very many edges
 */
#define HUB_EDGES	100000

static bool
always(void *arg)
{
	return arg != NULL;
}

static void
test_hub(void)
{
	static const Fact more = {A, 1, HUB_EDGES + 500, 1};
	const GmInterrupt stop = {always, &model, NULL};
	GmTimes		times = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	float		vector[2];
	GmMem	   *mem;
	GmGraph    *g;
	GmSpace    *space;
	GmView		view;
	uint64_t	before;
	bool		there;

	(void) gm_vec_choose(GM_SIMD_AUTO);
	REQUIRE(gm_mem_create(1 << 20, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_graph_create(mem, &g) == GM_OK);
	REQUIRE(gm_graph_add_predicate(g, 1, "p", 1, false, false, 1) == GM_OK);
	REQUIRE(gm_graph_add_entity(g, A, "hub", 3, NULL, 0, NULL, 0) == GM_OK);
	for (int64_t i = 0; i <= HUB_EDGES; i++)
	{
		char		name[16];
		uint32_t	length = (uint32_t) snprintf(name, sizeof(name), "n%d", (int) i);

		REQUIRE(gm_graph_add_entity(g, 500 + i, name, length, NULL, 0, NULL, 0) == GM_OK);
	}
	for (int64_t i = 0; i < HUB_EDGES; i++)
		REQUIRE(gm_graph_add_triple(g, 1000 + i, 1000 + i, i % 2 ? A : 500 + i, 1,
									i % 2 ? 500 + i : A, 1, &times) == GM_OK);
	REQUIRE(gm_graph_finish(g, 0, NULL) == GM_OK);
	REQUIRE(gm_space_create(mem, 2, GM_METRIC_L2, &space) == GM_OK);
	for (int64_t i = 0; i < HUB_EDGES; i++)
	{
		float		v[2] = {(float) i, 1};

		REQUIRE(gm_space_add(space, 500 + i, gm_graph_find_entity(g, 500 + i), v) == GM_OK);
	}
	REQUIRE(gm_space_finish(space, g->root->gr_nodes) == GM_OK);
	before = shape_of(g, A, false);
	put_fact(g, 1, &more);
	CHECK(shape_of(g, A, false) != before);
	put_fact(g, 1, NULL);
	CHECK(shape_of(g, A, false) == before && before > GM_SHAPE_NONE);
	gm_view_init(g, 0, &view);
	{
		GmShapeMeans means = {.graph = g, .view = &view, .space = space};
		GmNode		hub = gm_graph_find_entity(g, A);

		REQUIRE(gm_shape_mean(&means, hub, NULL, vector, &there) == GM_OK);
		CHECK(there);
		CHECK_NEAR(vector[0], (HUB_EDGES - 1) / 2.0, 1e-2);
		CHECK(vector[1] == 1);
		CHECK(gm_shape_mean(&means, hub, &stop, vector, &there) == GM_INTERRUPTED);
		gm_shape_means_end(&means);
	}
	gm_space_destroy(space);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

UNIT_MAIN(UNIT(test_lists), UNIT(test_applied), UNIT(test_changes), UNIT(test_means),
		  UNIT(test_ends), UNIT(test_hub))
