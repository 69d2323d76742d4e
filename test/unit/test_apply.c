/*-------------------------------------------------------------------------
 *
 * test_apply.c
 *	  Versions of an image against images freshly built from the same rows.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>

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
	is_model(fork, after, now, 1, "fork");
	if (after != before)
	{
		REQUIRE(gm_apply_begin(fork, NULL, &apply) == GM_OK);
		REQUIRE(undo_ops(apply, ops) == GM_OK);
		REQUIRE(gm_apply_finish(apply, now, &root) == GM_OK);
		gm_apply_commit(apply, 0);
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
 * One writer, and readers that look at whatever version is the newest
 */
#define READERS			3
#define THREAD_VERSIONS	150

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
	uint32_t	looks;
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
	return NULL;
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
		if (!publish_version(g, &shared, scratch, v, &ops))
			break;
	atomic_store(&shared.done, true);
	for (int i = 0; i < READERS; i++)
	{
		pthread_join(threads[i], NULL);
		CHECK(readers[i].failures == 0);
		CHECK(readers[i].looks > 0);
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

UNIT_MAIN(UNIT(test_from_nothing), UNIT(test_tidy), UNIT(test_loose), UNIT(test_budget),
		  UNIT(test_interrupt), UNIT(test_bad_vector), UNIT(test_copy), UNIT(test_small),
		  UNIT(test_threads))
