/*-------------------------------------------------------------------------
 *
 * test_apply.c
 *	  Versions of an image against images freshly built from the same rows.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <sched.h>

#include "unit.h"

#include "answers.h"
#include "apply_model.h"
#include "core/epoch.h"

static Model model;
static Model other;

static void
fill_model(Model *m, int steps, bool tidy, bool vectors)
{
	Ops			ops = {0};

	memset(m, 0, sizeof(*m));
	for (int i = 0; i < steps; i++)
	{
		ops.n = 0;
		m_some_op(&ops, m, tidy, vectors);
	}
	free(ops.list);
}

static GmStatus
apply_ops(GmApply *apply, const Ops *ops)
{
	GmStatus	status = GM_OK;

	for (int i = 0; i < ops->n && status == GM_OK; i++)
		status = m_apply_op(apply, &ops->list[i], false);
	return status;
}

static GmStatus
undo_ops(GmApply *apply, const Ops *ops)
{
	GmStatus	status = GM_OK;

	for (int i = ops->n; i-- > 0 && status == GM_OK;)
		status = m_apply_op(apply, &ops->list[i], true);
	return status;
}

/* a fresh image of the model gives the same answers */
static bool
is_model(GmGraph *g, Model *m, int64_t now, int views, const char *what)
{
	GmMem	   *mem;
	GmGraph    *fresh = NULL;
	bool		same = false;

	if (!CHECK(gm_mem_create(4096, 0, NULL, &mem) == GM_OK))
		return false;
	if (CHECK(m_build(m, mem, now, &fresh) == GM_OK))
		same = same_answers(g, fresh, now, views, what);
	gm_graph_destroy(fresh);
	gm_mem_destroy(mem);
	return same;
}

/* on a fork: the changes, their undoing, and both at once */
static void
try_fork(GmGraph *g, const Ops *ops, Model *before, Model *after, int64_t now)
{
	GmMem	   *mem;
	GmGraph    *fork;
	GmApply    *apply;
	GmRef		root;

	REQUIRE(gm_mem_fork(g->mem->base, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_graph_attach(mem, gm_graph_root_ref(g), &fork) == GM_OK);
	REQUIRE(gm_apply_begin(fork, NULL, &apply) == GM_OK);
	REQUIRE(apply_ops(apply, ops) == GM_OK);
	if (unit_random_below(3) == 0)
	{
		REQUIRE(undo_ops(apply, ops) == GM_OK);
		after = before;
	}
	REQUIRE(gm_apply_finish(apply, now, &root) == GM_OK);
	CHECK(root == gm_graph_root_ref(fork));
	gm_apply_commit(apply, 0);
	m_read_unread(fork, after);
	is_model(fork, after, now, 1, "fork");
	if (after != before)
	{
		REQUIRE(gm_apply_begin(fork, NULL, &apply) == GM_OK);
		REQUIRE(undo_ops(apply, ops) == GM_OK);
		REQUIRE(gm_apply_finish(apply, now, &root) == GM_OK);
		gm_apply_commit(apply, 0);
		m_read_unread(fork, before);
		is_model(fork, before, now, 1, "undone fork");
	}
	gm_graph_destroy(fork);
	gm_mem_destroy(mem);
}

/* an older version that a reader still looks at */
typedef struct Old
{
	GmMem	   *mem;
	GmGraph    *graph;
	GmMem	   *truth_mem;
	GmGraph    *truth;
	int64_t		now;
	uint64_t	epoch;
} Old;

static void
open_old(Old *old, GmGraph *g, Model *m, int64_t now, uint64_t epoch)
{
	*old = (Old) {.now = now, .epoch = epoch};
	REQUIRE(gm_mem_attach(g->mem->base, &old->mem) == GM_OK);
	REQUIRE(gm_graph_attach(old->mem, gm_graph_root_ref(g), &old->graph) == GM_OK);
	REQUIRE(gm_mem_create(4096, 0, NULL, &old->truth_mem) == GM_OK);
	REQUIRE(m_build(m, old->truth_mem, now, &old->truth) == GM_OK);
}

static void
close_old(Old *old)
{
	if (old->graph == NULL)
		return;
	same_answers(old->graph, old->truth, old->now, 1, "old version");
	gm_graph_destroy(old->graph);
	gm_mem_destroy(old->mem);
	gm_graph_destroy(old->truth);
	gm_mem_destroy(old->truth_mem);
	old->graph = NULL;
}

static void
one_history(int start, int versions, bool tidy, bool vectors)
{
	int64_t		now = 100;
	uint64_t	epoch = 1;
	GmMem	   *mem;
	GmGraph    *g;
	Ops			ops = {0};
	Old			old = {0};

	(void) gm_vec_choose(GM_SIMD_AUTO);
	fill_model(&model, start, tidy, vectors);
	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(m_build(&model, mem, now, &g) == GM_OK);
	for (int v = 0; v < versions && unit_failures == 0; v++)
	{
		int			n = 1 + (int) unit_random_below(v % 5 == 4 ? 150 : 12);
		bool		abort = unit_random_below(5) == 0;
		GmApply    *apply;
		GmRef		root;

		if (unit_random_below(4) == 0)
			now += unit_random_below(15);
		other = model;
		ops.n = 0;
		for (int i = 0; i < n; i++)
			m_some_op(&ops, &model, tidy, vectors);
		if (tidy)
			m_shuffle(&ops);
		if (tidy && unit_random_below(3) == 0)
			try_fork(g, &ops, &other, &model, now);
		REQUIRE(gm_apply_begin(g, NULL, &apply) == GM_OK);
		REQUIRE(apply_ops(apply, &ops) == GM_OK);
		if (unit_random_below(6) == 0)
			REQUIRE(apply_ops(apply, &ops) == GM_OK);
		if (abort && unit_random_below(2))
		{
			gm_apply_abort(apply);
			model = other;
			continue;
		}
		REQUIRE(gm_apply_finish(apply, now, &root) == GM_OK);
		if (abort)
		{
			gm_apply_abort(apply);
			model = other;
		}
		else
		{
			gm_apply_commit(apply, epoch++);
			if (!CHECK(gm_apply_dangling(g) == m_left_out(&model)))
				printf("# %d rows wait, not %d\n", (int) gm_apply_dangling(g),
					   (int) m_left_out(&model));
		}
		if (!is_model(g, &model, now, v % 4 == 0 ? 3 : 1, abort ? "after abort" : "changed"))
			printf("# version %d of a history of %d\n", v, start);
		if (old.graph == NULL)
			open_old(&old, g, &model, now, epoch);
		else if (unit_random_below(4) == 0)
			close_old(&old);
		gm_mem_reclaim(mem, old.graph == NULL ? UINT64_MAX : old.epoch);
	}
	close_old(&old);
	free(ops.list);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

static void
test_from_nothing(void)
{
	for (int i = 0; i < 4 && unit_failures == 0; i++)
		one_history(0, 60, i % 2 == 0, true);
}

static void
test_tidy(void)
{
	for (int i = 0; i < 12 && unit_failures == 0; i++)
		one_history(20 + (int) unit_random_below(1200), 40, true, i % 3 != 0);
}

/* rows whose rows referred to are missing wait for them */
static void
test_loose(void)
{
	for (int i = 0; i < 12 && unit_failures == 0; i++)
	{
		/* what the first build leaves out nobody knows */
		one_history(0, 60, false, i % 3 != 0);
	}
}

/* a copy is the same, smaller, and can be changed */
static void
try_copy(GmGraph *g, Model *m, int64_t now)
{
	GmMem	   *mem;
	GmMem	   *again_mem;
	GmGraph    *copy;
	GmGraph    *again;
	GmApply    *apply;
	GmRef		root;
	Ops			ops = {0};

	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_graph_copy(g, mem, NULL, &copy) == GM_OK);
	is_model(copy, m, now, 1, "copy");
	REQUIRE(gm_mem_create(mem->used + 64, 0, NULL, &again_mem) == GM_OK);
	REQUIRE(gm_graph_copy(copy, again_mem, NULL, &again) == GM_OK);
	CHECK(again_mem->used == mem->used);
	CHECK(again_mem->extents == 1);
	other = *m;
	for (int i = 0; i < 40; i++)
		m_some_op(&ops, &other, true, true);
	REQUIRE(gm_apply_begin(copy, NULL, &apply) == GM_OK);
	REQUIRE(apply_ops(apply, &ops) == GM_OK);
	REQUIRE(gm_apply_finish(apply, now, &root) == GM_OK);
	gm_apply_commit(apply, 1);
	is_model(copy, &other, now, 1, "changed copy");
	gm_graph_destroy(copy);
	gm_mem_destroy(mem);
	is_model(again, m, now, 1, "copy of a copy");
	gm_graph_destroy(again);
	gm_mem_destroy(again_mem);
	free(ops.list);
}

static void
test_copy(void)
{
	(void) gm_vec_choose(GM_SIMD_AUTO);
	for (int i = 0; i < 4; i++)
	{
		GmMem	   *mem;
		GmGraph    *g;

		fill_model(&model, i * 400, true, true);
		REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
		REQUIRE(m_build(&model, mem, 100, &g) == GM_OK);
		try_copy(g, &model, 100);
		gm_graph_destroy(g);
		gm_mem_destroy(mem);
	}
}

/* what a packed image of few rows takes beyond 64 bytes a triple, names and vectors */
static void
test_small(void)
{
	GmTimes		t = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	size_t		names = 0;
	float		vector[M_DIM] = {1, 2, 3, 4};
	GmMem	   *mem;
	GmMem	   *packed;
	GmGraph    *g;
	GmGraph    *copy;
	GmSpace    *space;

	(void) gm_vec_choose(GM_SIMD_AUTO);
	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_graph_create(mem, &g) == GM_OK);
	REQUIRE(gm_graph_add_predicate(g, 1, "p", 1, false, false, 1) == GM_OK);
	for (int i = 0; i < 200; i++)
	{
		char		name[32];
		uint32_t	length = (uint32_t) snprintf(name, sizeof(name), "entity number %d", i);

		REQUIRE(gm_graph_add_entity(g, i, name, length, NULL, 0, "kind", 4) == GM_OK);
		names += length;
	}
	for (int i = 0; i < 300; i++)
		REQUIRE(gm_graph_add_triple(g, i, i, i * 7 % 200, 1, i * 13 % 200, 1, &t) == GM_OK);
	REQUIRE(gm_graph_finish(g, 0, NULL) == GM_OK);
	REQUIRE(gm_graph_add_space(g, 1, "default", 7, 'e', GM_METRIC_COSINE, M_DIM, &space) == GM_OK);
	for (int i = 0; i < 20; i++)
		REQUIRE(gm_space_add(space, i, gm_graph_find_entity(g, i), vector) == GM_OK);
	REQUIRE(gm_graph_finish_space(g, 1) == GM_OK);
	REQUIRE(gm_mem_create(4096, 0, NULL, &packed) == GM_OK);
	REQUIRE(gm_graph_copy(g, packed, NULL, &copy) == GM_OK);
	CHECK(packed->used < 300 * 64 + names + sizeof(vector) * 20 + 32 * 1024);
	gm_graph_destroy(copy);
	gm_mem_destroy(packed);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

/*
 * Arrays of many pages: entities and triples by the thousand, compared by
 * their rows and by what all of them make up
 */
#define LARGE_NODES		3000
#define LARGE_TRIPLES	12000

typedef struct Large
{
	bool		node[LARGE_NODES];
	struct
	{
		bool		there;
		uint32_t	subject,
					object,
					predicate;
		int64_t		recorded_at;
	}			triple[LARGE_TRIPLES];
} Large;

static GmTimes
large_times(int64_t recorded_at)
{
	return (GmTimes) {GM_TIME_MIN, GM_TIME_MAX, recorded_at, GM_TIME_MAX};
}

static GmStatus
build_large(const Large *l, GmMem *mem, GmGraph **graph)
{
	GmStatus	status = gm_graph_create(mem, graph);

	for (int64_t p = 0; p < 4 && status == GM_OK; p++)
		status = gm_graph_add_predicate(*graph, p, (const char *) &p, 1, false, false, 1);
	for (uint32_t i = 0; i < LARGE_NODES && status == GM_OK; i++)
		if (l->node[i])
			status = gm_graph_add_entity(*graph, i, (const char *) &i, sizeof(i), NULL, 0, NULL, 0);
	for (uint32_t i = 0; i < LARGE_TRIPLES && status == GM_OK; i++)
	{
		GmTimes		times = large_times(l->triple[i].recorded_at);

		if (l->triple[i].there)
			status = gm_graph_add_triple(*graph, i, i, l->triple[i].subject,
										 l->triple[i].predicate, l->triple[i].object, 1, &times);
	}
	return status == GM_OK ? gm_graph_finish(*graph, 0, NULL) : status;
}

static GmStatus
put_large_node(Large *l, GmApply *apply, uint32_t i, bool there)
{
	GmRow		row = {.table = GM_TABLE_ENTITIES};

	row.u.entity.entity_id = i;
	row.u.entity.created_at = GM_TIME_MIN;
	row.u.entity.name = (GmText) {(const char *) &i, sizeof(i)};
	l->node[i] = there;
	return there ? gm_apply_put(apply, &row) : gm_apply_remove(apply, &row);
}

static GmStatus
change_large(Large *l, GmApply *apply, int64_t now)
{
	uint32_t	i = unit_random_below(LARGE_TRIPLES);
	uint32_t	ends[2] = {unit_random_below(LARGE_NODES), unit_random_below(LARGE_NODES)};
	GmStatus	status = GM_OK;
	GmRow		row = {.table = GM_TABLE_TRIPLES};

	for (int e = 0; e < 2 && status == GM_OK; e++)
		if (!l->node[ends[e]])
			status = put_large_node(l, apply, ends[e], true);
	row.u.triple.triple_id = row.u.triple.fact_id = i;
	if (status == GM_OK && unit_random_below(4) == 0)
	{
		/* an entity and all that is said of it */
		for (uint32_t k = 0; k < LARGE_TRIPLES && status == GM_OK; k++)
			if (l->triple[k].there &&
				(l->triple[k].subject == ends[0] || l->triple[k].object == ends[0]))
			{
				row.u.triple.triple_id = k;
				l->triple[k].there = false;
				status = gm_apply_remove(apply, &row);
			}
		return status == GM_OK ? put_large_node(l, apply, ends[0], false) : status;
	}
	l->triple[i].there = unit_random_below(3) > 0;
	l->triple[i].subject = ends[0];
	l->triple[i].object = ends[1];
	l->triple[i].predicate = unit_random_below(4);
	l->triple[i].recorded_at = now;
	row.u.triple.subject_id = ends[0];
	row.u.triple.object_id = ends[1];
	row.u.triple.predicate_id = l->triple[i].predicate;
	row.u.triple.times = large_times(now);
	row.u.triple.confidence = 1;
	if (status != GM_OK)
		return status;
	return l->triple[i].there ? gm_apply_put(apply, &row) : gm_apply_remove(apply, &row);
}

static void
is_large(GmGraph *g, const Large *l)
{
	GmCompare	compare = {answers_differ, (void *) "large", NULL};
	GmPagerankOpts opts = {0.85, 1e-9, 10};
	GmScratch  *scratch[2] = {NULL, NULL};
	GmGraph    *graph[2] = {g, NULL};
	GmPagerank	rank[2];
	GmMem	   *mem;
	GmView		view;

	REQUIRE(gm_mem_create(1 << 16, 0, NULL, &mem) == GM_OK);
	REQUIRE(build_large(l, mem, &graph[1]) == GM_OK);
	CHECK(gm_graph_check(g, answers_complain, (void *) "large") == 0);
	CHECK(gm_graph_compare(g, graph[1], 0, &compare) == GM_OK);
	for (int i = 0; i < 2; i++)
	{
		REQUIRE(gm_scratch_create(0, &scratch[i]) == GM_OK);
		gm_view_init(graph[i], 0, &view);
		CHECK(gm_pagerank(graph[i], &view, scratch[i], &opts, NULL, &rank[i]) == GM_OK);
	}
	for (GmNode v = 0; v < graph[1]->root->gr_nodes; v++)
	{
		GmNode		mine = gm_graph_find_entity(g, gm_graph_entity_id(graph[1], v));

		REQUIRE(mine != GM_NONE);
		CHECK(same_bits(rank[0].rank[mine], rank[1].rank[v]));
	}
	gm_scratch_destroy(scratch[0]);
	gm_scratch_destroy(scratch[1]);
	gm_graph_destroy(graph[1]);
	gm_mem_destroy(mem);
}

static void
test_large(void)
{
	Large	   *l = calloc(1, sizeof(Large));
	uint64_t	epoch = 1;
	size_t		used = 0;
	GmMem	   *mem;
	GmGraph    *g;

	REQUIRE(l != NULL);
	REQUIRE(gm_mem_create(1 << 16, 0, NULL, &mem) == GM_OK);
	REQUIRE(build_large(l, mem, &g) == GM_OK);
	for (int v = 0; v < 60 && unit_failures == 0; v++)
	{
		int			n = v < 10 ? 1500 : 1 + (int) unit_random_below(300);
		GmApply    *apply;
		GmRef		root;

		REQUIRE(gm_apply_begin(g, NULL, &apply) == GM_OK);
		for (int i = 0; i < n; i++)
			REQUIRE(change_large(l, apply, v) == GM_OK);
		REQUIRE(gm_apply_finish(apply, 0, &root) == GM_OK);
		gm_apply_commit(apply, epoch++);
		gm_mem_reclaim(mem, epoch);
		if (v % 8 == 0)
			is_large(g, l);
		if (v == 20)
			used = mem->used;
	}

	/* as many rows as before take as much memory as before */
	CHECK(mem->used < used + used / 4);
	is_large(g, l);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
	free(l);
}

/*
 * One writer, and readers that look at whatever version is the newest
 */
#define READERS			3
#define THREAD_VERSIONS	150
#define LOOK_EVERY		5		/* versions, so that all are at work however few the CPUs */

typedef struct Shared
{
	char	  **base;
	_Atomic uint64_t epoch;
	_Atomic GmRef root;
	_Atomic bool done;
	GmEpochSlot slots[READERS];
	uint64_t	digest[THREAD_VERSIONS + 2];	/* by gr_sequence */
} Shared;

typedef struct Reader
{
	Shared	   *shared;
	int			number;
	_Atomic uint32_t looks;
	_Atomic bool gone;
	uint32_t	failures;
} Reader;

/* what a version shows: every edge of every node, by ids */
static uint64_t
digest_of(const GmGraph *g, GmScratch *scratch)
{
	uint64_t	digest = g->root->gr_live_slots;
	uint64_t	count;
	uint64_t	sum;
	GmView		view;

	gm_view_init(g, g->root->gr_built_at, &view);
	for (GmNode node = 0; node < g->root->gr_nodes; node++)
	{
		GmEdgeIter	iter;
		GmEdge		edge;

		if (!gm_graph_node_live(g, node))
			continue;
		gm_edges_begin(&iter, g, &view, node);
		while (gm_edges_next(&iter, &edge))
			digest = (digest ^ (uint64_t) triple_of(g, edge.slot)) * UINT64_C(0x9e3779b97f4a7c15) +
				(uint64_t) entity_of(g, edge.neighbor);
		if (gm_reach(g, &view, scratch, node, 3, NULL, &count, &sum) == GM_OK)
			digest += count * 31 + sum;
	}
	return digest;
}

static void
count_failure(void *arg, const char *what, uint64_t where)
{
	(void) what;
	(void) where;
	++*(uint32_t *) arg;
}

static void *
read_versions(void *arg)
{
	Reader	   *r = arg;
	Shared	   *s = r->shared;
	GmMem	   *mem = NULL;
	GmGraph    *g = NULL;
	GmScratch  *scratch = NULL;

	if (gm_mem_attach(s->base, &mem) != GM_OK || gm_scratch_create(0, &scratch) != GM_OK)
		r->failures++;
	while (r->failures == 0 && !atomic_load(&s->done))
	{
		GmRef		root;

		gm_epoch_enter(&s->epoch, &s->slots[r->number]);
		root = atomic_load_explicit(&s->root, memory_order_acquire);
		if ((g == NULL ? gm_graph_attach(mem, root, &g) : gm_graph_reattach(g, root)) != GM_OK)
			r->failures++;
		else if (digest_of(g, scratch) != s->digest[g->root->gr_sequence])
			r->failures++;
		else if (r->looks++ % 8 == 0)
			(void) gm_graph_check(g, count_failure, &r->failures);
		gm_epoch_leave(&s->slots[r->number]);
	}
	gm_graph_destroy(g);
	gm_scratch_destroy(scratch);
	gm_mem_destroy(mem);
	atomic_store(&r->gone, true);
	return NULL;
}

/* until every reader that goes on has looked once more */
static void
let_readers_look(Reader *readers)
{
	for (int i = 0; i < READERS; i++)
	{
		uint32_t	looks = atomic_load(&readers[i].looks);

		while (atomic_load(&readers[i].looks) == looks && !atomic_load(&readers[i].gone))
			sched_yield();
	}
}

static bool
publish_version(GmGraph *g, Shared *s, GmScratch *scratch, uint64_t sequence, Ops *ops)
{
	GmApply    *apply;
	GmRef		root;

	ops->n = 0;
	for (int i = 0; i < 8; i++)
		m_some_op(ops, &model, true, true);
	if (!CHECK(gm_apply_begin(g, NULL, &apply) == GM_OK) ||
		!CHECK(apply_ops(apply, ops) == GM_OK))
		return false;
	gm_apply_set_sequence(apply, sequence, 0);
	if (!CHECK(gm_apply_finish(apply, 100 + (int64_t) sequence / 4, &root) == GM_OK))
		return false;
	s->digest[sequence] = digest_of(g, scratch);
	atomic_store_explicit(&s->root, root, memory_order_release);
	gm_apply_commit(apply, gm_epoch_advance(&s->epoch));
	gm_mem_reclaim(g->mem, gm_epoch_oldest(s->slots, READERS));
	return true;
}

static void
test_threads(void)
{
	static Shared shared;
	Reader		readers[READERS] = {{0}};
	pthread_t	threads[READERS];
	GmScratch  *scratch;
	GmMem	   *mem;
	GmGraph    *g;
	Ops			ops = {0};

	fill_model(&model, 900, true, true);
	memset(&shared, 0, sizeof(shared));
	REQUIRE(gm_scratch_create(0, &scratch) == GM_OK);
	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(m_build(&model, mem, 100, &g) == GM_OK);
	gm_graph_set_sequence(g, 1, 0);
	shared.digest[1] = digest_of(g, scratch);
	shared.base = mem->base;
	atomic_init(&shared.epoch, 1);
	atomic_init(&shared.root, gm_graph_root_ref(g));
	for (int i = 0; i < READERS; i++)
	{
		readers[i].shared = &shared;
		readers[i].number = i;
		REQUIRE(pthread_create(&threads[i], NULL, read_versions, &readers[i]) == 0);
	}
	for (uint64_t v = 2; v < THREAD_VERSIONS + 2; v++)
	{
		if (!publish_version(g, &shared, scratch, v, &ops))
			break;
		if (v % LOOK_EVERY == 0)
			let_readers_look(readers);
	}
	atomic_store(&shared.done, true);
	for (int i = 0; i < READERS; i++)
	{
		pthread_join(threads[i], NULL);
		CHECK(readers[i].failures == 0);
		CHECK(atomic_load(&readers[i].looks) > 0);
	}
	is_model(g, &model, 100 + (THREAD_VERSIONS + 1) / 4, 1, "after threads");
	free(ops.list);
	gm_scratch_destroy(scratch);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

/*
 * Refusals
 */
static GmStatus
one_version(GmGraph *g, const Ops *ops, const GmInterrupt *intr, GmApply **apply)
{
	GmRef		root;
	GmStatus	status = gm_apply_begin(g, intr, apply);

	if (status != GM_OK)
		return status;
	status = apply_ops(*apply, ops);
	if (status == GM_OK)
		status = gm_apply_finish(*apply, 120, &root);
	if (status != GM_OK)
		gm_apply_abort(*apply);
	return status;
}

/* whatever request is refused, the version before is there again */
static void
test_budget(void)
{
	Ops			ops = {0};
	GmMem	   *mem;
	GmGraph    *g;
	GmApply    *apply;
	size_t		charged;
	GmStatus	status = GM_OVER_BUDGET;

	(void) gm_vec_choose(GM_SIMD_AUTO);
	fill_model(&model, 900, true, true);
	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(m_build(&model, mem, 100, &g) == GM_OK);
	charged = mem->charged;
	other = model;
	for (int i = 0; i < 400; i++)
		m_some_op(&ops, &other, true, true);
	for (size_t more = 64; status == GM_OVER_BUDGET; more += 64 + more / 4)
	{
		mem->limit = charged + more;
		status = one_version(g, &ops, NULL, &apply);
		CHECK(status == GM_OK || status == GM_OVER_BUDGET);
		if (status != GM_OK)
		{
			mem->limit = 0;
			CHECK(is_model(g, &model, 100, 1, "after a refusal"));
		}
	}
	mem->limit = 0;
	CHECK(status == GM_OK);
	gm_apply_commit(apply, 1);
	is_model(g, &other, 120, 1, "after refusals");
	free(ops.list);
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
	Ops			ops = {0};
	GmMem	   *mem;
	GmGraph    *g;
	GmApply    *apply;
	GmStatus	status = GM_INTERRUPTED;

	(void) gm_vec_choose(GM_SIMD_AUTO);
	fill_model(&model, 900, true, true);
	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(m_build(&model, mem, 100, &g) == GM_OK);
	other = model;
	for (int i = 0; i < 400; i++)
		m_some_op(&ops, &other, true, true);
	for (int calls = 0; status == GM_INTERRUPTED; calls += 1 + calls / 4)
	{
		int			left = calls;
		GmInterrupt intr = {now_pending, &left};

		status = one_version(g, &ops, &intr, &apply);
		CHECK(status == GM_OK || status == GM_INTERRUPTED);
		if (status != GM_OK)
			CHECK(is_model(g, &model, 100, 1, "after an interrupt"));
	}
	CHECK(status == GM_OK);
	gm_apply_commit(apply, 1);
	is_model(g, &other, 120, 1, "after interrupts");
	free(ops.list);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

/* a vector that its space cannot hold is refused, and nothing is done */
static void
test_bad_vector(void)
{
	float		zero[M_DIM] = {0};
	GmMem	   *mem;
	GmGraph    *g;
	GmApply    *apply;
	GmRef		root;
	GmRow		row = {.table = GM_TABLE_EMBEDDINGS};
	int			item;

	(void) gm_vec_choose(GM_SIMD_AUTO);
	do
	{
		fill_model(&model, 900, true, true);
		item = m_some(model.embedding, M_ENTITIES, true);
	} while (item < 0);
	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(m_build(&model, mem, 100, &g) == GM_OK);
	REQUIRE(gm_apply_begin(g, NULL, &apply) == GM_OK);
	row.u.embedding.space_id = m_space_id(0);
	row.u.embedding.item_id = m_entity_id(item);
	row.u.embedding.dim = M_DIM;
	row.u.embedding.vector = zero;
	CHECK(gm_apply_put(apply, &row) == GM_BAD_VALUE);
	row.u.embedding.dim = M_DIM - 1;
	row.u.embedding.vector = model.embedding[item].vector;
	CHECK(gm_apply_put(apply, &row) == GM_BAD_VALUE);
	row.u.embedding.vector = NULL;
	CHECK(gm_apply_put(apply, &row) == GM_BAD_VALUE);
	CHECK(gm_apply_finish(apply, 100, &root) == GM_OK);
	gm_apply_commit(apply, 0);
	is_model(g, &model, 100, 1, "after bad vectors");
	CHECK(gm_apply_dangling(g) == 0);
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

/*
 * Tables hold ids from one end of their type to the other, and so do images:
 * rows of all of them come in one version, half of them go in the next
 */
static void
test_extreme_ids(void)
{
	static const int64_t ids[] = {INT64_MIN, INT64_MAX, UINT32_MAX, -1, -2, 0};
	static const int32_t space_ids[] = {INT32_MIN, INT32_MAX, 0, -1, -2, 1};
	static const GmTable tables[] = {
		GM_TABLE_ENTITIES, GM_TABLE_PREDICATES, GM_TABLE_SOURCES, GM_TABLE_SPACES
	};
	GmMem	   *mem;
	GmGraph    *g;
	GmApply    *apply;
	GmRef		root;

	(void) gm_vec_choose(GM_SIMD_AUTO);
	REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	REQUIRE(gm_graph_create(mem, &g) == GM_OK);
	REQUIRE(gm_graph_finish(g, 0, NULL) == GM_OK);
	for (int version = 0; version < 2; version++)
	{
		uint32_t	left = version == 0 ? 6 : 3;

		REQUIRE(gm_apply_begin(g, NULL, &apply) == GM_OK);
		for (int t = 0; t < 4; t++)
			for (int i = 0; i < 6; i++)
			{
				GmRow		row;
				char		name = (char) ('a' + i);
				GmText		text = {&name, 1};
				int64_t		key[2] = {tables[t] == GM_TABLE_SPACES ? space_ids[i] : ids[i], 0};

				gm_row_set_key(tables[t], 1, key, &row);
				if (tables[t] == GM_TABLE_ENTITIES)
					row.u.entity.name = text;
				else if (tables[t] == GM_TABLE_PREDICATES)
					row.u.predicate.name = text;
				else if (tables[t] == GM_TABLE_SOURCES)
					row.u.source.name = text;
				else
				{
					row.u.space.name = text;
					row.u.space.dim = 2;
					row.u.space.target = 'e';
				}
				if (version == 0)
					REQUIRE(gm_apply_put(apply, &row) == GM_OK);
				else if (i % 2 == 1)
					REQUIRE(gm_apply_remove(apply, &row) == GM_OK);
			}
		REQUIRE(gm_apply_finish(apply, 0, &root) == GM_OK);
		gm_apply_commit(apply, 1);
		CHECK(gm_graph_check(g, answers_complain, (void *) "extreme ids") == 0);
		CHECK(g->root->gr_live_nodes == left && g->root->gr_live_predicates == left &&
			  g->root->gr_live_sources == left && gm_graph_spaces(g) == left);
		for (int i = 0; i < 6; i++)
		{
			bool		there = version == 0 || i % 2 == 0;
			GmNode		node = gm_graph_find_entity(g, ids[i]);
			uint32_t	source = gm_graph_find_source_id(g, ids[i]);

			CHECK((node != GM_NONE && gm_graph_node_live(g, node)) == there);
			CHECK((source != GM_NONE && gm_graph_source_live(g, source)) == there);
		}
	}
	gm_graph_destroy(g);
	gm_mem_destroy(mem);
}

/*
 * Facts of many sources, stated in every order: what is found beside an array
 */
#define MANY_FACTS		2
#define MANY_SOURCES	120

static float many[MANY_FACTS][MANY_SOURCES];	/* -1: not stated */

static void
is_many(const GmGraph *g)
{
	CHECK(gm_graph_check(g, answers_complain, (void *) "many sources") == 0);
	for (int f = 0; f < MANY_FACTS; f++)
	{
		GmAssertionIter iter;

		gm_assertions_begin(&iter, g, f + 1);
		for (int s = 0; s < MANY_SOURCES; s++)
		{
			const GmAssertion *a;

			if (many[f][s] < 0)
				continue;
			a = gm_assertions_next(&iter);
			REQUIRE(a != NULL);
			CHECK(gm_graph_source(g, a->source)->source_id == s + 1 && a->confidence == many[f][s]);
		}
		CHECK(gm_assertions_next(&iter) == NULL);
	}
}

static void
change_many(GmGraph *g)
{
	bool		sorted = unit_random_below(2) == 0;
	int			n = (int) unit_random_below(2 * MANY_SOURCES);
	int			f = (int) unit_random_below(MANY_FACTS);
	int			s = 0;
	GmApply    *apply;
	GmRef		root;

	REQUIRE(gm_apply_begin(g, NULL, &apply) == GM_OK);
	for (int i = 0; i < n; i++)
	{
		GmRow		row = {.table = GM_TABLE_ASSERTIONS};

		if (!sorted)
			s = (int) unit_random_below(MANY_SOURCES);
		else if ((s += 1 + (int) unit_random_below(3)) >= MANY_SOURCES)
		{
			s = 0;
			f = (int) unit_random_below(MANY_FACTS);
		}
		row.u.assertion.fact_id = f + 1;
		row.u.assertion.source_id = s + 1;
		if (unit_random_below(4) == 0)
		{
			many[f][s] = -1;
			REQUIRE(gm_apply_remove(apply, &row) == GM_OK);
			continue;
		}
		many[f][s] = row.u.assertion.confidence = (float) unit_random_below(1024) / 1024;
		REQUIRE(gm_apply_put(apply, &row) == GM_OK);
	}
	REQUIRE(gm_apply_finish(apply, 0, &root) == GM_OK);
	gm_apply_commit(apply, 1);
	is_many(g);
}

static void
test_many_sources(void)
{
	GmTimes		t = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};

	for (int round = 0; round < 10 && unit_failures == 0; round++)
	{
		GmMem	   *mem;
		GmGraph    *g;

		REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
		REQUIRE(gm_graph_create(mem, &g) == GM_OK);
		REQUIRE(gm_graph_add_predicate(g, 1, "p", 1, false, false, 1) == GM_OK);
		REQUIRE(gm_graph_add_entity(g, 1, "e", 1, NULL, 0, NULL, 0) == GM_OK);
		for (int s = 0; s < MANY_SOURCES; s++)
			REQUIRE(gm_graph_add_source(g, s + 1, "s", 1, NULL, 0, NULL, 0, 1) == GM_OK);
		for (int f = 0; f < MANY_FACTS; f++)
		{
			REQUIRE(gm_graph_add_triple(g, f + 1, f + 1, 1, 1, 1, 1, &t) == GM_OK);
			for (int s = 0; s < MANY_SOURCES; s++)
			{
				many[f][s] = unit_random_below(2) == 0 ? 0.5f : -1;
				if (many[f][s] >= 0)
					REQUIRE(gm_graph_add_assertion(g, f + 1, s + 1, 0.5f, 0) == GM_OK);
			}
		}
		REQUIRE(gm_graph_finish(g, 0, NULL) == GM_OK);
		is_many(g);
		for (int version = 0; version < 20 && unit_failures == 0; version++)
			change_many(g);
		gm_graph_destroy(g);
		gm_mem_destroy(mem);
	}
}

UNIT_MAIN(UNIT(test_extreme_ids), UNIT(test_many_sources), UNIT(test_from_nothing), UNIT(test_tidy),
		  UNIT(test_loose), UNIT(test_budget), UNIT(test_interrupt), UNIT(test_bad_vector),
		  UNIT(test_copy), UNIT(test_small), UNIT(test_large), UNIT(test_threads))
