/*-------------------------------------------------------------------------
 *
 * test_graph.c
 *	  mem, array and graph against a plain list of rows.
 *
 * The oracle keeps the rows as they were given, in their order, and answers by
 * looking at all of them.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "core/graph.h"

#define MAX_ROWS	3000
#define NOW			25

typedef struct Row
{
	int64_t		triple_id,
				fact_id,
				s,
				p,
				o;
	float		confidence;
	GmTimes		t;
} Row;

typedef struct Stated
{
	int64_t		fact_id,
				source_id,
				at;
	float		confidence;
} Stated;

typedef struct Model
{
	int64_t		entity[600];
	char		name[600][16];
	int			literal[600];	/* 0 entity, 1 or 2 a type */
	int			entities;
	int			predicates;
	bool		symmetric[8];
	Row			rows[MAX_ROWS];
	int			n;
	float		reliability[10];
	int			sources;
	Stated		stated[MAX_ROWS];
	int			assertions;
} Model;

static Model m;

static void
complain(void *arg, const char *what, uint64_t where)
{
	(void) arg;
	printf("# %s at %" PRIu64 "\n", what, where);
}

static int64_t
pick_time(void)
{
	static const int64_t times[] = {GM_TIME_MIN, 10, 20, 30, 40, 50, GM_TIME_MAX};

	return times[unit_random_below(7)];
}

static void
make_times(GmTimes *t, bool history)
{
	t->valid_from = GM_TIME_MIN;
	t->valid_to = GM_TIME_MAX;
	t->recorded_at = 5;
	t->expired_at = GM_TIME_MAX;
	if (!history)
		return;
	do
	{
		t->valid_from = pick_time();
		t->valid_to = pick_time();
	} while (t->valid_from >= t->valid_to);
	t->recorded_at = 1 + (int64_t) unit_random_below(40);
	if (unit_random_below(2) == 0)
		t->expired_at = t->recorded_at + 1 + (int64_t) unit_random_below(20);
}

/*
 * Every other fact of a scattered model has two versions, and its facts lie close
 * together at one end.  In order, those that are not current go against it.
 */
static int64_t
make_fact_id(int i, int n, bool scattered, const GmTimes *t)
{
	int64_t		k = n - i / 2;

	if (scattered)
		return k * k * k;
	return t->expired_at == GM_TIME_MAX && t->valid_from <= NOW && NOW < t->valid_to ? i + 1 : n - i;
}

/* ids are spread and given out of order if scattered */
static void
make_model(int entities, int n, bool scattered, bool history, int assertions)
{
	memset(&m, 0, sizeof(m));
	m.entities = entities;
	m.predicates = 1 + (int) unit_random_below(5);
	for (int i = 0; i < m.predicates; i++)
		m.symmetric[i] = history && unit_random_below(3) == 0;
	for (int i = 0; i < entities; i++)
	{
		m.entity[i] = scattered ? (int64_t) ((i * 7919 % entities) * INT64_C(1000003)) : i + 100;
		/* literals of two types and aliases of equal text */
		m.literal[i] = i % 5 == 4 ? 1 + i % 2 : 0;
		snprintf(m.name[i], sizeof(m.name[i]), i % 5 == 4 ? "lit%d" : "e%d", i / 2);
		if (m.literal[i] == 0)
			snprintf(m.name[i], sizeof(m.name[i]), "e%d", i);
	}
	for (int i = 0; entities > 0 && i < n; i++)
	{
		Row		   *r = &m.rows[m.n++];

		r->triple_id = scattered ? (int64_t) (i * 7907 % n) * 3 : i + 1;
		r->s = m.entity[unit_random_below((uint32_t) entities)];
		r->o = unit_random_below(20) == 0 ? r->s : m.entity[unit_random_below((uint32_t) entities)];
		r->p = 1000 + (int64_t) unit_random_below((uint32_t) m.predicates);
		r->confidence = (float) unit_random_below(101) / 100;
		make_times(&r->t, history);
		r->fact_id = make_fact_id(i, n, scattered, &r->t);
	}
	m.sources = assertions > 0 ? 10 : 0;
	for (int i = 0; i < m.sources; i++)
		m.reliability[i] = (float) unit_random_below(101) / 100;
	for (int i = 0; i < assertions && m.n > 0; i++)
	{
		Stated	   *a = &m.stated[m.assertions];
		bool		again = false;

		a->fact_id = m.rows[unit_random_below((uint32_t) m.n)].fact_id;
		a->source_id = 500 - (int64_t) unit_random_below(10);
		a->confidence = (float) unit_random_below(101) / 100;
		a->at = (int64_t) unit_random_below(60);
		for (int k = 0; k < m.assertions; k++)
			again |= m.stated[k].fact_id == a->fact_id && m.stated[k].source_id == a->source_id;
		m.assertions += !again;
	}
}

static GmStatus
build(GmMem *mem, int64_t now, GmGraph **graph)
{
	static const char *types[] = {NULL, "xsd:int", "@en"};
	GmStatus	status = gm_graph_create(mem, graph);
	GmGraph    *g = *graph;

	/* in reverse, so that predicates and sources come unsorted */
	for (int i = m.predicates - 1; status == GM_OK && i >= 0; i--)
	{
		char		name[16];
		int			length = snprintf(name, sizeof(name), "p%d", i);

		status = gm_graph_add_predicate(g, 1000 + i, name, (uint32_t) length, false,
										m.symmetric[i], 1);
	}
	for (int i = 0; status == GM_OK && i < m.entities; i++)
	{
		const char *type = types[m.literal[i]];

		status = gm_graph_add_entity(g, m.entity[i], m.name[i], (uint32_t) strlen(m.name[i]),
									 type, type ? (uint32_t) strlen(type) : 0,
									 i % 3 ? "thing" : NULL, i % 3 ? 5 : 0);
	}
	if (status == GM_OK && m.entities > 3)
		status = gm_graph_add_alias(g, 1, "nickname", 8, m.entity[3]);
	for (int i = 0; status == GM_OK && i < m.sources; i++)
	{
		char		name[16];
		int			length = snprintf(name, sizeof(name), "s%d", i);

		status = gm_graph_add_source(g, 500 - i, name, (uint32_t) length, NULL, 0, NULL, 0,
									 m.reliability[i]);
	}
	for (int i = 0; status == GM_OK && i < m.n; i++)
	{
		const Row  *r = &m.rows[i];

		status = gm_graph_add_triple(g, r->triple_id, r->fact_id, r->s, r->p, r->o,
									 r->confidence, &r->t);
	}
	for (int i = 0; status == GM_OK && i < m.assertions; i++)
		status = gm_graph_add_assertion(g, m.stated[i].fact_id, m.stated[i].source_id,
										m.stated[i].confidence, m.stated[i].at);
	if (status == GM_OK)
		status = gm_graph_finish(g, now, NULL);
	return status;
}

static double
model_confidence(const Row *r, int64_t known_at)
{
	double		doubt = 1;
	bool		any = false;

	for (int i = 0; i < m.assertions; i++)
		if (m.stated[i].fact_id == r->fact_id && m.stated[i].at <= known_at)
		{
			any = true;
			doubt *= 1 - (double) m.stated[i].confidence *
				m.reliability[500 - m.stated[i].source_id];
		}
	return any ? 1 - doubt : r->confidence;
}

/* settling forgets a known_at that is late enough: v is the view before that */
static bool
model_visible(const Row *r, const GmView *v, const bool *predicates)
{
	if (!(r->t.valid_from <= v->as_of && v->as_of < r->t.valid_to))
		return false;
	if (v->known_at == GM_TIME_MAX ? r->t.expired_at != GM_TIME_MAX :
		!(r->t.recorded_at <= v->known_at && v->known_at < r->t.expired_at))
		return false;
	if (predicates != NULL && !predicates[r->p - 1000])
		return false;
	return v->min_confidence == 0 ||
		(float) model_confidence(r, v->known_at) >= v->min_confidence;
}

/* how often the model says that this node sees this triple */
static int
model_edges(const Row *r, int64_t id, GmDirection direction)
{
	bool		both = direction == GM_BOTH || m.symmetric[r->p - 1000];

	if (r->s == id && r->o == id)
		return 1;
	if (r->s == id)
		return both || direction == GM_OUT;
	if (r->o == id)
		return both || direction == GM_IN;
	return 0;
}

static void
check_edges(const GmGraph *g, const GmView *view, const GmView *asked, const bool *predicates)
{
	for (int e = 0; e < m.entities; e++)
	{
		GmNode		node = gm_graph_find_entity(g, m.entity[e]);
		int			want = 0;
		int			got = 0;
		GmEdgeIter	iter;
		GmEdge		edge;

		for (int i = 0; i < m.n; i++)
			if (model_visible(&m.rows[i], asked, predicates))
				want += model_edges(&m.rows[i], m.entity[e], view->direction);
		gm_edges_begin(&iter, g, view, node);
		while (gm_edges_next(&iter, &edge))
		{
			GmTriple	t;
			int			i = 0;

			gm_graph_slot(g, edge.slot, &t);
			while (i < m.n && m.rows[i].triple_id != t.triple_id)
				i++;
			REQUIRE(i < m.n);
			CHECK(model_visible(&m.rows[i], asked, predicates));
			CHECK(model_edges(&m.rows[i], m.entity[e], view->direction) == 1);
			CHECK(gm_graph_entity_id(g, edge.neighbor) ==
				  (edge.out ? m.rows[i].o : m.rows[i].s));
			CHECK((edge.out ? m.rows[i].s : m.rows[i].o) == m.entity[e]);
			CHECK(gm_graph_predicate(g, edge.predicate)->predicate_id == m.rows[i].p);
			CHECK_NEAR(gm_graph_confidence(g, view, edge.slot),
					   model_confidence(&m.rows[i], asked->known_at), 1e-5);
			got++;
		}
		CHECK(got == want);
	}
}

/* all versions of a fact, and those that the view may see, the visible ones at least */
static void
check_fact(const GmGraph *g, GmFactSlots *iter, int64_t fact_id, const GmView *view,
		   const GmView *asked, const bool *predicates)
{
	const Row  *visible = NULL;
	int			want = 0;
	int			got = 0;
	int			want_seen = 0;
	int			seen = 0;
	GmSlot		slot;

	for (int i = 0; i < m.n; i++)
	{
		const Row  *r = &m.rows[i];

		if (r->fact_id != fact_id)
			continue;
		want++;
		if (!model_visible(r, asked, predicates))
			continue;
		want_seen++;
		if (visible == NULL || r->triple_id < visible->triple_id)
			visible = r;
	}
	gm_fact_slots_seek(iter, fact_id);
	for (; (slot = gm_fact_slots_next(iter)) != GM_NONE; got++)
		CHECK(GM_ARRAY_I64(&g->fact_id, slot) == fact_id);
	CHECK(got == want);
	gm_fact_slots_seek_seen(iter, view, fact_id);
	while ((slot = gm_fact_slots_next(iter)) != GM_NONE)
		seen += gm_graph_visible(g, view, slot);
	CHECK(seen == want_seen);
	slot = gm_graph_visible_version(g, view, fact_id);
	CHECK((slot == GM_NONE) == (visible == NULL));
	if (slot != GM_NONE && visible != NULL)
		CHECK(GM_ARRAY_I64(&g->triple_id, slot) == visible->triple_id);
}

/* facts in the order of the rows, then at random, some that there are not */
static void
check_facts(const GmGraph *g, const GmView *view, const GmView *asked, const bool *predicates)
{
	GmFactSlots iter;

	gm_fact_slots_init(&iter, g);
	for (int i = 0; i < m.n && i < 50; i++)
		check_fact(g, &iter, m.rows[i].fact_id, view, asked, predicates);
	for (int i = 0; i < m.n && i < 50; i++)
		check_fact(g, &iter, m.rows[unit_random_below((uint32_t) m.n)].fact_id +
				   (i % 5 == 0) - (i % 5 == 1), view, asked, predicates);
}

static void
check_views(const GmGraph *g, bool history)
{
	for (int round = 0; round < 12; round++)
	{
		uint8_t		allowed[8] = {0};
		bool		predicates[8] = {false};
		bool		some = unit_random_below(2) == 0;
		GmView		view;
		GmView		asked;

		gm_view_init(g, 25 + (int64_t) unit_random_below(30), &view);
		view.direction = (GmDirection) (1 + unit_random_below(3));
		if (history && unit_random_below(2) == 0)
			view.as_of = (int64_t) unit_random_below(60);
		if (history && unit_random_below(2) == 0)
			view.known_at = (int64_t) unit_random_below(70);
		if (unit_random_below(3) == 0)
			view.min_confidence = 0.505f;
		if (some)
		{
			for (int p = 0; p < m.predicates; p++)
				allowed[p] = predicates[p] = unit_random_below(2) == 0;
			view.predicates = allowed;
		}
		asked = view;
		gm_view_settle(g, &view);
		check_edges(g, &view, &asked, some ? predicates : NULL);
		check_facts(g, &view, &asked, some ? predicates : NULL);
	}
}

static void
one_graph(int entities, int n, bool scattered, bool history, int assertions)
{
	GmMem	   *mem;
	GmGraph    *g;

	make_model(entities, n, scattered, history, assertions);
	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(build(mem, NOW, &g) == GM_OK);
	CHECK(g->root->gr_nodes == (uint32_t) entities);
	CHECK(g->root->gr_slots == (uint32_t) m.n);
	CHECK(gm_graph_check(g, complain, NULL) == 0);
	if (entities > 3)
		CHECK(gm_graph_find_name(g, "nickname", 8) == gm_graph_find_entity(g, m.entity[3]));
	CHECK(gm_graph_find_name(g, "nobody", 6) == GM_NONE);
	CHECK(gm_graph_find_entity(g, -5) == GM_NONE);
	check_views(g, history);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

static void
test_small(void)
{
	one_graph(0, 0, false, false, 0);
	one_graph(1, 0, false, false, 0);
	one_graph(1, 5, false, false, 0);
	one_graph(2, 40, true, true, 10);
}

static void
test_plain(void)
{
	for (int i = 0; i < 6; i++)
		one_graph(20 + (int) unit_random_below(300), 10 + (int) unit_random_below(900),
				  i % 2 == 1, false, i % 3 == 2 ? 200 : 0);
}

static void
test_history(void)
{
	for (int i = 0; i < 8; i++)
		one_graph(5 + (int) unit_random_below(100), 10 + (int) unit_random_below(900),
				  i % 2 == 1, true, i % 2 == 0 ? 300 : 0);
}

/* an entity wins over an alias, an alias over a literal, the lower id of two */
static void
test_names(void)
{
	GmMem	   *mem;
	GmGraph    *g;

	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_graph_create(mem, &g) == GM_OK);
	CHECK(gm_graph_add_entity(g, 1, "x", 1, "t", 1, NULL, 0) == GM_OK);
	CHECK(gm_graph_add_entity(g, 2, "x", 1, "u", 1, NULL, 0) == GM_OK);
	CHECK(gm_graph_add_entity(g, 3, "x", 1, NULL, 0, NULL, 0) == GM_OK);
	CHECK(gm_graph_add_entity(g, 4, "y", 1, "u", 1, NULL, 0) == GM_OK);
	CHECK(gm_graph_add_entity(g, 5, "y", 1, "t", 1, NULL, 0) == GM_OK);
	CHECK(gm_graph_add_entity(g, 6, "z", 1, "", 0, "k", 1) == GM_OK);
	CHECK(gm_graph_add_entity(g, 7, "", 0, NULL, 0, "", 0) == GM_OK);
	CHECK(gm_graph_add_alias(g, 1, "x", 1, 7) == GM_OK);
	CHECK(gm_graph_add_alias(g, 2, "z", 1, 3) == GM_OK);
	CHECK(gm_graph_add_alias(g, 3, "w", 1, 99) == GM_BAD_VALUE);
	CHECK(gm_graph_finish(g, 0, NULL) == GM_OK);
	CHECK(gm_graph_find_name(g, "x", 1) == 2);
	CHECK(gm_graph_find_name(g, "y", 1) == 3);
	CHECK(gm_graph_find_name(g, "z", 1) == 2);
	CHECK(gm_graph_find_name(g, "", 0) == 6);
	CHECK(gm_graph_find_literal(g, "y", 1, "t", 1) == 4);
	CHECK(gm_graph_find_literal(g, "z", 1, "", 0) == 5);
	CHECK(gm_graph_find_literal(g, "z", 1, "v", 1) == GM_NONE);
	CHECK(gm_graph_type(g, 2) == NULL);
	CHECK(gm_graph_kind(g, 6) != NULL && gm_graph_kind(g, 6)->length == 0);
	CHECK(gm_graph_kind(g, 2) == NULL);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

static void
test_bad_references(void)
{
	GmTimes		t = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	GmMem	   *mem;
	GmGraph    *g;

	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_graph_create(mem, &g) == GM_OK);
	CHECK(gm_graph_add_predicate(g, 1, "p", 1, false, false, 1) == GM_OK);
	CHECK(gm_graph_add_entity(g, 1, "a", 1, NULL, 0, NULL, 0) == GM_OK);
	CHECK(gm_graph_add_triple(g, 1, 1, 1, 1, 2, 1, &t) == GM_BAD_VALUE);
	CHECK(gm_graph_add_triple(g, 1, 1, 1, 2, 1, 1, &t) == GM_BAD_VALUE);
	CHECK(gm_graph_add_triple(g, 1, 1, 1, 1, 1, 1, &t) == GM_OK);
	CHECK(gm_graph_add_assertion(g, 1, 1, 1, 0) == GM_BAD_VALUE);
	CHECK(gm_graph_finish(g, 0, NULL) == GM_OK);
	CHECK(g->root->gr_slots == 1);
	CHECK(gm_graph_check(g, complain, NULL) == 0);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

static bool
now_pending(void *arg)
{
	int		   *left = arg;

	return (*left)-- <= 0;
}

static void
test_interrupt(void)
{
	for (int calls = 0; calls < 6; calls++)
	{
		int			left = calls;
		GmInterrupt intr = {now_pending, &left};
		GmTimes		t = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
		GmMem	   *mem;
		GmGraph    *g;
		GmStatus	status;

		REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
		REQUIRE(gm_graph_create(mem, &g) == GM_OK);
		CHECK(gm_graph_add_predicate(g, 1, "p", 1, false, false, 1) == GM_OK);
		CHECK(gm_graph_add_entity(g, 1, "a", 1, NULL, 0, NULL, 0) == GM_OK);
		CHECK(gm_graph_add_triple(g, 1, 1, 1, 1, 1, 1, &t) == GM_OK);
		status = gm_graph_finish(g, 0, &intr);
		CHECK(status == GM_INTERRUPTED || (status == GM_OK && left >= 0));
		gm_graph_destroy(g);
		gm_mem_destroy(mem);
	}
}

static bool
count_looks(void *arg)
{
	(*(int64_t *) arg)++;
	return false;
}

/* looks at interrupts while one entity's facts, of two predicates by turns, become runs */
static int64_t
looks_for_hub(int64_t n)
{
	int64_t		looks = 0;
	GmInterrupt intr = {count_looks, &looks};
	GmTimes		t = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	GmMem	   *mem;
	GmGraph    *g;

	if (!CHECK(gm_mem_create(4096, 0, NULL, &mem) == GM_OK) ||
		!CHECK(gm_graph_create(mem, &g) == GM_OK))
		return 0;
	CHECK(gm_graph_add_predicate(g, 1, "p", 1, false, false, 1) == GM_OK);
	CHECK(gm_graph_add_predicate(g, 2, "q", 1, false, false, 1) == GM_OK);
	CHECK(gm_graph_add_entity(g, 1, "a", 1, NULL, 0, NULL, 0) == GM_OK);
	CHECK(gm_graph_add_entity(g, 2, "b", 1, NULL, 0, NULL, 0) == GM_OK);
	for (int64_t i = 1; i <= n; i++)
		CHECK(gm_graph_add_triple(g, i, i, 1, 1 + i % 2, 2, 1, &t) == GM_OK);
	CHECK(gm_graph_finish(g, 0, &intr) == GM_OK);
	CHECK(gm_graph_check(g, complain, NULL) == 0);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
	return looks;
}

/*
 * An entity may have nearly all facts, so all that is done for each of them looks
 * at interrupts by facts, not by entities: once for each time that they are read.
 * Four times they are read as slots, six times as records of a run: moved over,
 * compared or counted, sorted, stored.
 */
static void
test_hub(void)
{
	const int64_t step = GM_INTERRUPT_EVERY * 64;
	int64_t		looks = looks_for_hub(step * 2) - looks_for_hub(step);

	if (!CHECK(looks >= 64 * (4 + 6)))
		printf("# %" PRId64 " looks\n", looks);
}

/* more rows than are sorted in one piece, in an order unlike their ids' */
static void
test_many(void)
{
	const int64_t n = 150001;
	GmTimes		t = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	GmMem	   *mem;
	GmGraph    *g;

	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_graph_create(mem, &g) == GM_OK);
	REQUIRE(gm_graph_add_predicate(g, 1, "p", 1, false, false, 1) == GM_OK);
	for (int64_t i = 0; i < n; i++)
	{
		char		name[24];
		int			length = snprintf(name, sizeof(name), "%" PRId64, i * 7907 % n);

		REQUIRE(gm_graph_add_entity(g, i * 7907 % n, name, (uint32_t) length,
									NULL, 0, NULL, 0) == GM_OK);
	}
	REQUIRE(gm_graph_add_source(g, 1, "s", 1, NULL, 0, NULL, 0, 0.5f) == GM_OK);
	for (int64_t i = 0; i < n; i++)
		REQUIRE(gm_graph_add_triple(g, i * 7919 % n, n - i * 7919 % n, i, 1, (i * i) % n,
									1, &t) == GM_OK);
	for (int64_t i = 0; i < n; i++)
		REQUIRE(gm_graph_add_assertion(g, 1 + i * 7901 % n, 1, 1, 0) == GM_OK);
	REQUIRE(gm_graph_finish(g, 0, NULL) == GM_OK);
	CHECK(gm_graph_check(g, complain, NULL) == 0);
	CHECK(gm_graph_find_name(g, "77777", 5) == 77777);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

static void
check_run_order(const GmRunView *v)
{
	for (uint32_t i = 1; i < v->length; i++)
	{
		uint64_t	before = (uint64_t) v->predicate[i - 1] << 32 | v->neighbor[i - 1];
		uint64_t	key = (uint64_t) v->predicate[i] << 32 | v->neighbor[i];

		CHECK(before < key || (before == key && v->slot[i - 1] < v->slot[i]));
	}
}

/* runs much shorter than there are predicates, and longer than a sorted piece; equal triples */
static void
test_predicates(void)
{
	const int	nodes = 40;
	const int	predicates = 2000;
	const uint32_t triples = 4000;
	GmTimes		t = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	uint32_t	found[2] = {0, 0};
	GmMem	   *mem;
	GmGraph    *g;

	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_graph_create(mem, &g) == GM_OK);
	for (int i = 0; i < predicates; i++)
		REQUIRE(gm_graph_add_predicate(g, i, "p", 1, false, false, 1) == GM_OK);
	for (int i = 0; i < nodes; i++)
		REQUIRE(gm_graph_add_entity(g, i, "e", 1, NULL, 0, NULL, 0) == GM_OK);
	for (uint32_t i = 0; i < triples; i++)
		REQUIRE(gm_graph_add_triple(g, i, i, unit_random_below(nodes), i % 5 == 0 ? 7 :
									unit_random_below(predicates), unit_random_below(nodes), 1, &t) == GM_OK);
	REQUIRE(gm_graph_finish(g, 0, NULL) == GM_OK);
	for (GmNode node = 0; node < (GmNode) nodes; node++)
	{
		const GmNodeRuns *r = gm_array_at(&g->runs, node);
		GmRunView	out = gm_graph_run_view(g, &r->out);
		GmRunView	in = gm_graph_run_view(g, &r->in);

		check_run_order(&out);
		check_run_order(&in);
		found[0] += out.length;
		found[1] += in.length;
		CHECK(out.length > 16 && out.length < (uint32_t) predicates / 8);
	}
	CHECK(found[0] == triples && found[1] == triples);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

/* every refusal, at whichever request it comes, leaves something destroyable */
static void
test_budget(void)
{
	bool		fitted = false;

	make_model(400, 2500, true, true, 500);
	for (size_t limit = 4096; !fitted; limit += limit / 3)
	{
		GmMem	   *mem;
		GmGraph    *g = NULL;
		GmStatus	status;

		REQUIRE(gm_mem_create(4096, limit, NULL, &mem) == GM_OK);
		status = build(mem, NOW, &g);
		CHECK(status == GM_OK || status == GM_OVER_BUDGET);
		CHECK(mem->charged <= limit);
		fitted = status == GM_OK;
		if (fitted)
			CHECK(gm_graph_check(g, complain, NULL) == 0);
		gm_graph_destroy(g);
		gm_mem_destroy(mem);
	}
}

static void
test_array(void)
{
	static const uint32_t sizes[] = {1, 4, 8, 24, 1200, 70000};

	for (int s = 0; s < 6; s++)
	{
		uint32_t	element = sizes[s];
		uint64_t	n = element > 1000 ? 700 : 200000;
		GmArrayRoot root;
		GmArray		a = {0};
		GmMem	   *mem;

		REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
		gm_array_init(&root, element, GM_ARRAY_PAGE);
		REQUIRE(gm_array_attach(mem, &root, &a) == GM_OK);
		for (uint64_t i = 0; i < n; i++)
		{
			REQUIRE(gm_array_reserve(mem, &a, i + 1) == GM_OK);
			memset(gm_array_at(&a, i), (int) (i * 31 & 255), element);
		}
		for (uint64_t i = 0; i < n;)
		{
			uint64_t	contiguous;
			unsigned char *p = gm_array_span(&a, i, &contiguous);

			REQUIRE(contiguous > 0);
			for (uint64_t k = 0; k < contiguous && i < n; k++, i++)
			{
				CHECK(p + k * element == (unsigned char *) gm_array_at(&a, i));
				CHECK(p[k * element] == (i * 31 & 255));
				CHECK(p[k * element + element - 1] == (i * 31 & 255));
			}
		}
		gm_array_detach(&a);
		gm_mem_destroy(mem);
	}
}

UNIT_MAIN(UNIT(test_array), UNIT(test_small), UNIT(test_plain), UNIT(test_history),
		  UNIT(test_names), UNIT(test_predicates), UNIT(test_bad_references), UNIT(test_interrupt),
		  UNIT(test_hub), UNIT(test_many), UNIT(test_budget))
