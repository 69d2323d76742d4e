/*-------------------------------------------------------------------------
 *
 * test_space_index.c
 *	  Rows of versions and nodes of an index that is changed in place.
 *
 * What must hold, after any puts, removals, indexing, sweeps and aborts
 *	 mapping	every row has one node or is listed as pending
 *	 search		rows of the version searched only, with their own distances, each
 *				once, nearest first, and min(k, allowed) of them; the newest
 *				version, an older one that a reader still holds, and a fork
 *	 recall		of the index's searches above a floor, against the exact answer
 *	 table		the same where vectors are apart and read from a table (the model),
 *				whose vectors are in the image only as long as rows have no code
 *
 *-------------------------------------------------------------------------
 */
#include "core/space_index.h"
#include "fake_pool.h"
#include "unit.h"

#define ITEMS		6000
#define DIM			40
#define K			10
#define FLOOR		0.9

typedef struct World
{
	FakePool	pool;
	GmMemOps	ops;
	GmMem	   *mem;
	GmSpace    *space;
	GmHnswWork *work;
	GmIndexer  *indexer;
	GmMetric	metric;
	bool		apart;
	bool		there[ITEMS];
	float		vector[ITEMS][DIM];
	float		(*seen)[DIM];	/* the table as the version searched has it */
	float		(*kept)[DIM];	/* as the reader's older version has it */
	uint64_t	reads;			/* vectors read from the table */
	uint64_t	epoch;
	double		recall;			/* summed over searches */
	uint32_t	searches;
	uint32_t	indexed;		/* of them by the index */
} World;

__attribute__((constructor)) static void
choose_kernels(void)
{
	(void) gm_vec_choose(GM_SIMD_AUTO);
}

static void
new_vector(World *w, uint32_t item)
{
	/* clusters, which a graph has to find its way between; some stand several times */
	for (uint32_t i = 0; i < DIM; i++)
		w->vector[item][i] = (float) ((item % 17 == i ? 3 : 0) + unit_random_double() * 2 - 1);
	if (unit_random_below(50) == 0)
		memcpy(w->vector[item], w->vector[item / 2], sizeof(w->vector[item]));
}

static void
commit(World *w)
{
	gm_mem_commit(w->mem, w->epoch++);
	gm_space_end(w->space);
}

static GmStatus
read_vectors(void *arg, const int64_t *item_id, uint32_t n, uint32_t dim, float *vectors,
			 bool *there)
{
	World	   *w = arg;

	CHECK(dim == DIM);
	for (uint32_t i = 0; i < n; i++)
	{
		memcpy(vectors + (size_t) i * DIM, w->seen[item_id[i] / 3], DIM * sizeof(float));
		there[i] = true;
	}
	w->reads += n;
	return GM_OK;
}

static void
set_table(World *w, GmSpace *space)
{
	if (w->apart)
		gm_space_set_table(space, (GmSpaceTable) {read_vectors, w});
}

static bool
world_make_apart(World *w, GmMetric metric, uint32_t there, bool apart)
{
	memset(w, 0, sizeof(*w));
	w->metric = metric;
	w->apart = apart;
	w->seen = w->vector;
	w->epoch = 1;
	for (uint32_t i = 0; i < ITEMS; i++)
		new_vector(w, i);
	w->work = gm_hnsw_work_create();
	if (!CHECK(pool_make(&w->pool, &w->ops)) || !CHECK(w->work != NULL) ||
		!CHECK(gm_mem_create_shared(w->pool.base, 8192, 0, &w->ops, &w->mem) == GM_OK) ||
		!CHECK(gm_space_create(w->mem, DIM, metric, &w->space) == GM_OK))
		return false;
	if (apart)
	{
		CHECK(gm_space_set_apart(w->space) == GM_OK);
		set_table(w, w->space);
	}
	for (uint32_t i = 0; i < there; i++)
	{
		w->there[i] = true;
		CHECK(gm_space_add(w->space, (int64_t) i * 3, i, w->vector[i]) == GM_OK);
	}
	return CHECK(gm_space_finish(w->space, ITEMS) == GM_OK);
}

static bool
world_make(World *w, GmMetric metric, uint32_t there)
{
	return world_make_apart(w, metric, there, false);
}

static void
world_free(World *w)
{
	gm_indexer_destroy(w->indexer, false);
	gm_space_destroy(w->space);
	gm_hnsw_work_destroy(w->work);
	gm_mem_destroy(w->mem);
	pool_free(&w->pool);
	free(w->kept);
}

static void
begin_index(World *w)
{
	CHECK(gm_indexer_create(w->space, w->work, NULL, &w->indexer) == GM_OK);
	CHECK(gm_mem_begin(w->mem) == GM_OK);
	CHECK(gm_space_begin(w->space) == GM_OK);
	CHECK(gm_space_begin_index(w->space, w->indexer, NULL) == GM_OK);
	commit(w);
}

/* make, link and map some; between: changes that come before they are mapped */
static void
index_some(World *w, uint32_t n, void (*between) (World *w))
{
	GmSpaceNode nodes[ITEMS];
	uint32_t	from = 0;
	uint32_t	made;

	CHECK(gm_space_make_nodes(w->space, w->indexer, &from, n, nodes, &made) == GM_OK);
	for (uint32_t i = 0; i < made; i++)
		CHECK(gm_hnsw_link(w->indexer->hnsw, w->work, nodes[i].node) == GM_OK);
	if (between != NULL)
		between(w);
	CHECK(gm_mem_begin(w->mem) == GM_OK);
	CHECK(gm_space_begin(w->space) == GM_OK);
	CHECK(gm_space_map(w->space, w->indexer, nodes, made, NULL) == GM_OK);
	commit(w);
	gm_space_mapped(w->indexer, nodes, made);
}

static void
tend(World *w, uint64_t oldest)
{
	bool		swept;
	bool		more = true;

	while (more)
	{
		CHECK(gm_space_tend(w->space, w->indexer, oldest, true, false, 100, &swept, &more) == GM_OK);
		if (swept)
			w->indexer->reuse_after = w->epoch++;
	}
}

static void
change(World *w, GmSpace *space, uint32_t n, bool remember)
{
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	item = unit_random_below(ITEMS);
		bool		remove = unit_random_below(3) == 0;

		if (remember)
			new_vector(w, item);
		if (remove)
			CHECK(gm_space_remove(space, (int64_t) item * 3) == GM_OK);
		else
			CHECK(gm_space_put(space, (int64_t) item * 3, item, w->vector[item]) == GM_OK);
		w->there[item] = !remove;
	}
}

static void
change_in_version(World *w)
{
	CHECK(gm_mem_begin(w->mem) == GM_OK);
	CHECK(gm_space_begin(w->space) == GM_OK);
	change(w, w->space, 1 + unit_random_below(80), true);
	commit(w);
}

/* one search beside the exact one */
static void
check_search(World *w, GmSpace *space, const uint64_t *allowed, uint32_t without)
{
	uint32_t	rows = space->root->sp_rows;
	GmSpaceWish wish = {.k = K, .ef_search = 40, .without = without, .allowed = allowed};
	GmSpaceHit	hit[K + 1];
	GmSpaceHit	truth[K + 1];
	float		vector[DIM];
	GmSpaceQuery query;
	GmSpaceReport report;
	uint32_t	found;
	uint32_t	expected;
	uint32_t	same = 0;
	float		distance;

	for (uint32_t i = 0; i < DIM; i++)
		vector[i] = w->vector[unit_random_below(ITEMS)][i] + (float) unit_random_double();
	CHECK(gm_space_prepare(space, vector, &query) == GM_OK);
	CHECK(gm_space_nearest(space, w->work, &query, &wish, NULL, hit, &found, &report) == GM_OK);
	w->indexed += !report.exact;
	wish.exact = true;
	CHECK(gm_space_nearest(space, w->work, &query, &wish, NULL, truth, &expected, &report) == GM_OK);
	CHECK(report.exact || expected == 0);
	if (!CHECK(found == expected))
		return;
	for (uint32_t i = 0; i < found; i++)
	{
		CHECK(hit[i].row < rows && hit[i].row != without);
		if (hit[i].row >= rows)
			return;
		CHECK(allowed == NULL || (allowed[hit[i].row / 64] >> hit[i].row % 64 & 1) != 0);
		CHECK(gm_space_distances(space, &query, &hit[i].row, 1, NULL, &distance) == GM_OK);
		CHECK(hit[i].distance == distance);
		CHECK(i == 0 || hit[i - 1].distance < hit[i].distance ||
			  (hit[i - 1].distance == hit[i].distance &&
			   gm_space_item_id(space, hit[i - 1].row) < gm_space_item_id(space, hit[i].row)));
		for (uint32_t j = 0; j < expected; j++)
			same += truth[j].row == hit[i].row;
	}
	w->searches++;
	w->recall += found == 0 ? 1 : (double) same / found;
}

static void
check_world(World *w, GmSpace *space)
{
	uint32_t	rows = space->root->sp_rows;
	uint64_t   *allowed = calloc(rows / 64 + 1, sizeof(uint64_t));
	const char *broken;
	uint32_t	row;

	broken = gm_space_check_index(space, NULL, &row);
	if (!CHECK(broken == NULL))
		printf("# row %u: %s\n", row, broken);
	for (int i = 0; i < 5; i++)
		check_search(w, space, NULL, GM_NONE);
	check_search(w, space, NULL, unit_random_below(rows + 1));
	for (uint32_t share = 2; share <= 2048; share *= 8)
	{
		memset(allowed, 0, (rows / 64 + 1) * sizeof(uint64_t));
		for (uint32_t i = 0; i < rows; i++)
			if (unit_random_below(share) == 0)
				allowed[i / 64] |= (uint64_t) 1 << i % 64;
		check_search(w, space, allowed, GM_NONE);
		check_search(w, space, allowed, unit_random_below(rows + 1));
	}
	free(allowed);
}

/* items of the newest version are those of the model */
static void
check_items(World *w)
{
	for (uint32_t i = 0; i < ITEMS; i++)
	{
		uint32_t	row = gm_space_find(w->space, (int64_t) i * 3);

		CHECK((row != GM_NONE) == w->there[i]);
		if (row == GM_NONE)
			continue;
		if (!w->apart || gm_space_vector(w->space, row) != NULL)
			CHECK(memcmp(gm_space_vector(w->space, row), w->vector[i], sizeof(w->vector[i])) == 0);
		CHECK(gm_space_is_row_of(w->space, w->work, row, w->vector[i]));
		if (w->apart)
			CHECK(!gm_space_is_row_of(w->space, w->work, row, w->vector[(i + 1) % ITEMS]) ||
				  memcmp(w->vector[i], w->vector[(i + 1) % ITEMS], sizeof(w->vector[i])) == 0);
	}
}

static void
check_fork(World *w)
{
	GmRef		root = gm_space_root_ref(w->space);
	bool		there[ITEMS];
	GmMem	   *mem;
	GmSpace    *space = NULL;

	memcpy(there, w->there, sizeof(there));
	REQUIRE(gm_mem_fork(w->pool.base, 0, NULL, &mem) == GM_OK);
	if (CHECK(gm_space_attach(mem, root, &space) == GM_OK))
	{
		set_table(w, space);
		CHECK(gm_mem_begin(mem) == GM_OK);
		CHECK(gm_space_begin(space) == GM_OK);
		change(w, space, 60, false);
		check_world(w, space);
	}
	gm_space_destroy(space);
	gm_mem_destroy(mem);
	memcpy(w->there, there, sizeof(there));
}

static void
churn(GmMetric metric, bool apart)
{
	World	   *w = malloc(sizeof(World));
	GmMem	   *reader_mem;
	GmSpace    *reader = NULL;
	uint64_t	read_since = 0;

	REQUIRE(world_make_apart(w, metric, ITEMS - 400, apart));
	begin_index(w);
	check_world(w, w->space);
	index_some(w, ITEMS / 2, NULL);
	check_world(w, w->space);
	index_some(w, ITEMS / 2, NULL);
	CHECK(w->space->root->sp_absent == (apart ? w->space->root->sp_rows : 0));
	REQUIRE(gm_mem_attach(w->pool.base, &reader_mem) == GM_OK);
	for (int round = 0; round < 60 && unit_failures == 0; round++)
	{
		change_in_version(w);
		if (round % 4 == 1)
		{
			/* half a version that comes to nothing */
			GmRef		root = gm_space_root_ref(w->space);
			bool		there[ITEMS];

			memcpy(there, w->there, sizeof(there));
			CHECK(gm_mem_begin(w->mem) == GM_OK);
			CHECK(gm_space_begin(w->space) == GM_OK);
			change(w, w->space, 30, false);
			gm_mem_abort(w->mem);
			gm_space_end(w->space);
			CHECK(gm_space_reattach(w->space, root) == GM_OK);
			memcpy(w->there, there, sizeof(there));
		}
		index_some(w, unit_random_below(400), round % 3 == 0 ? change_in_version : NULL);
		if (round % 10 == 5)
		{
			/* as after an error of the writer: nodes may be left that were never mapped */
			GmSpaceNode nodes[20];
			uint32_t	from = 0;
			uint32_t	made;

			CHECK(gm_space_make_nodes(w->space, w->indexer, &from, 20, nodes, &made) == GM_OK);
			for (uint32_t i = 0; i < made / 2; i++)
				CHECK(gm_hnsw_link(w->indexer->hnsw, w->work, nodes[i].node) == GM_OK);
			gm_indexer_destroy(w->indexer, false);
			CHECK(gm_indexer_attach(w->space, w->work, &w->indexer) == GM_OK);
		}
		tend(w, read_since == 0 ? UINT64_MAX : read_since);
		gm_mem_reclaim(w->mem, read_since == 0 ? w->epoch + 1 : read_since);
		check_items(w);
		check_world(w, w->space);
		if (reader != NULL)
		{
			w->seen = w->kept;
			check_world(w, reader);
			w->seen = w->vector;
		}
		if (round % 6 == 0)
		{
			gm_space_destroy(reader);
			reader = NULL;
			read_since = w->epoch;
			CHECK(gm_space_attach(reader_mem, gm_space_root_ref(w->space), &reader) == GM_OK);
			set_table(w, reader);
			if (w->kept == NULL)
				w->kept = malloc(sizeof(w->vector));
			memcpy(w->kept, w->vector, sizeof(w->vector));
		}
		if (round % 5 == 0)
			check_fork(w);
	}
	CHECK(w->recall / w->searches > FLOOR);
	CHECK(w->indexed > 100);
	printf("# %u searches, %u by the index, recall %.3f, %u nodes, %u dead\n", w->searches,
		   w->indexed, w->recall / w->searches,
		   (unsigned) atomic_load(&gm_hnsw_root(w->indexer->hnsw)->hn_nodes),
		   (unsigned) atomic_load(&gm_hnsw_root(w->indexer->hnsw)->hn_dead));

	/* nodes are made anew: far fewer than were ever made */
	CHECK(atomic_load(&gm_hnsw_root(w->indexer->hnsw)->hn_nodes) < 2 * ITEMS);
	gm_space_destroy(reader);
	gm_mem_destroy(reader_mem);
	world_free(w);
	free(w);
}

static void
test_churn_cosine(void)
{
	churn(GM_METRIC_COSINE, false);
}

static void
test_churn_l2(void)
{
	churn(GM_METRIC_L2, false);
}

static void
test_churn_ip(void)
{
	churn(GM_METRIC_IP, false);
}

static void
test_churn_table_cosine(void)
{
	churn(GM_METRIC_COSINE, true);
}

static void
test_churn_table_l2(void)
{
	churn(GM_METRIC_L2, true);
}

static void
test_churn_table_ip(void)
{
	churn(GM_METRIC_IP, true);
}

/*
 * A space that is loaded as codes.  LOADED items, each with the vector of
 * model_vector; rows come in no order.
 */
#define LOADED		(GM_SPACE_INDEX_FROM + 2000)
#define LOADED_DIM	24

typedef struct Loaded
{
	float	   *vector;
	bool	   *gone;			/* not in the table */
	uint64_t	reads;
	uint32_t	fail_after;		/* reads that succeed */
} Loaded;

static GmStatus
read_loaded(void *arg, const int64_t *item_id, uint32_t n, uint32_t dim, float *vectors,
			bool *there)
{
	Loaded	   *l = arg;

	if (l->fail_after == 0)
		return GM_INTERRUPTED;
	l->fail_after--;
	for (uint32_t i = 0; i < n; i++)
	{
		memcpy(vectors + (size_t) i * dim, l->vector + (size_t) item_id[i] * dim,
			   dim * sizeof(float));
		there[i] = !l->gone[item_id[i]];
	}
	l->reads += n;
	return GM_OK;
}

/* the dumb answer: distances of all items in double precision, the k-th smallest */
static float
true_kth(const Loaded *l, const GmSpace *space, const float *query, uint32_t k)
{
	float	   *nearest = malloc(k * sizeof(float));
	uint32_t	n = 0;
	float		last;

	for (uint32_t row = 0; row < space->root->sp_rows; row++)
	{
		const float *v = l->vector + (size_t) gm_space_item_id(space, row) * LOADED_DIM;
		double		sum = 0;
		uint32_t	at;

		if (l->gone[gm_space_item_id(space, row)])
			continue;
		for (uint32_t i = 0; i < LOADED_DIM; i++)
			sum += ((double) v[i] - query[i]) * ((double) v[i] - query[i]);
		if (n == k && sqrt(sum) >= nearest[k - 1])
			continue;
		n += n < k;
		for (at = n - 1; at > 0 && nearest[at - 1] > sqrt(sum); at--)
			nearest[at] = nearest[at - 1];
		nearest[at] = (float) sqrt(sum);
	}
	last = nearest[n - 1];
	free(nearest);
	return last;
}

/* hits as near as the true ones, of 20 searches; the share of them */
static double
loaded_recall(Loaded *l, GmSpace *space, GmHnswWork *work, bool exact)
{
	uint32_t	right = 0;

	for (uint32_t i = 0; i < 20; i++)
	{
		GmSpaceWish wish = {.k = K, .ef_search = 60, .exact = exact, .without = GM_NONE};
		const float *query = l->vector + (size_t) unit_random_below(LOADED) * LOADED_DIM;
		GmSpaceHit	hit[K + 1];
		GmSpaceQuery q;
		GmSpaceReport report;
		uint32_t	found;
		float		kth = true_kth(l, space, query, K);

		CHECK(gm_space_prepare(space, query, &q) == GM_OK);
		CHECK(gm_space_nearest(space, work, &q, &wish, NULL, hit, &found, &report) == GM_OK);
		CHECK(found == K && report.exact == exact);
		for (uint32_t h = 0; h < found; h++)
			right += hit[h].distance <= kth * 1.00001f + 1e-6f;
	}
	return right / 20.0 / K;
}

static void
test_loaded_as_codes(void)
{
	Loaded		l = {malloc((size_t) LOADED * LOADED_DIM * sizeof(float)),
		calloc(LOADED, sizeof(bool)), 0, UINT32_MAX};
	GmSpaceNode *nodes = malloc(LOADED * sizeof(GmSpaceNode));
	GmHnswWork *work = gm_hnsw_work_create();
	GmIndexer  *indexer;
	FakePool	pool;
	GmMemOps	ops;
	GmMem	   *mem;
	GmSpace    *space;
	GmSpaceQuery q;
	GmSpaceReport report;
	GmSpaceWish wish = {.k = K, .ef_search = 60, .without = GM_NONE};
	GmSpaceHit	hit[K + 1];
	float		buffer[LOADED_DIM];
	uint64_t	vectors;
	uint64_t	all;
	uint32_t	from = 0;
	uint32_t	made;
	uint32_t	found;
	uint32_t	row;
	bool		swept;
	bool		more;
	bool		there;
	const char *broken;

	for (size_t i = 0; i < (size_t) LOADED * LOADED_DIM; i++)
		l.vector[i] = (float) (unit_random_double() + unit_random_double() - 1);
	REQUIRE(pool_make(&pool, &ops));
	REQUIRE(gm_mem_create_shared(pool.base, 8192, 0, &ops, &mem) == GM_OK);
	REQUIRE(gm_space_create(mem, LOADED_DIM, GM_METRIC_L2, &space) == GM_OK);
	REQUIRE(gm_space_set_apart(space) == GM_OK && gm_space_encode(space) == GM_OK);
	for (uint32_t i = 0; i < LOADED; i++)
	{
		uint32_t	item = i * 7 % LOADED;

		REQUIRE(gm_space_add(space, item, item, l.vector + (size_t) item * LOADED_DIM) == GM_OK);
	}
	REQUIRE(gm_space_finish(space, LOADED) == GM_OK);
	gm_space_set_table(space, (GmSpaceTable) {read_loaded, &l});
	gm_space_bytes(space, &vectors, &all);
	CHECK(vectors == 0 && space->root->sp_absent == LOADED && gm_space_pending(space) == LOADED);
	broken = gm_space_check_index(space, NULL, &row);
	CHECK(broken == NULL);
	for (row = 0; row < LOADED; row++)
		CHECK(gm_space_item_id(space, row) == row &&
			  gm_space_is_row_of(space, work, row, l.vector + (size_t) row * LOADED_DIM));

	/* before anything is linked: by the codes, few vectors read; exactly, all of them */
	CHECK(loaded_recall(&l, space, work, false) > 0.97);
	CHECK(l.reads < 20 * 100);
	CHECK(loaded_recall(&l, space, work, true) == 1);
	CHECK(gm_space_read(space, 17, buffer, &there) == GM_OK && there);
	CHECK(memcmp(buffer, l.vector + 17 * LOADED_DIM, sizeof(buffer)) == 0);

	/* an index that was begun again keeps the nodes; changed rows lose theirs */
	REQUIRE(gm_indexer_attach(space, work, &indexer) == GM_OK);
	CHECK(gm_space_make_nodes(space, indexer, &from, LOADED / 2, nodes, &made) == GM_OK);
	CHECK(made == LOADED / 2 && indexer->loaded == made);
	CHECK(atomic_load(&gm_hnsw_root(indexer->hnsw)->hn_nodes) == LOADED);
	for (uint32_t i = 0; i < made; i++)
		CHECK(gm_hnsw_link(indexer->hnsw, work, nodes[i].node) == GM_OK);
	CHECK(gm_mem_begin(mem) == GM_OK && gm_space_begin(space) == GM_OK);
	for (uint32_t item = 0; item < LOADED; item += 100)
	{
		float	   *v = l.vector + (size_t) item * LOADED_DIM;

		v[0] += 0.25f;
		if (item % 200 == 0)
			CHECK(gm_space_put(space, item, item, v) == GM_OK);
		else
			CHECK(gm_space_remove(space, item) == GM_OK);
	}
	gm_mem_commit(mem, 1);
	gm_space_end(space);
	broken = gm_space_check_index(space, NULL, &row);
	CHECK(broken == NULL);
	CHECK(space->root->sp_absent == LOADED - LOADED / 100);

	/* those given out are not killed before they are mapped, or found to be nobody's */
	CHECK(gm_space_tend(space, indexer, UINT64_MAX, true, false, LOADED, &swept, &more) == GM_OK);
	CHECK(!more && indexer->killed == 0);
	CHECK(gm_mem_begin(mem) == GM_OK && gm_space_begin(space) == GM_OK);
	CHECK(gm_space_map(space, indexer, nodes, made, NULL) == GM_OK);
	gm_mem_commit(mem, 2);
	gm_space_end(space);
	gm_space_mapped(indexer, nodes, made);
	CHECK(indexer->loaded == 0 && space->dead.root->ar_length == LOADED / 100);
	broken = gm_space_check_index(space, NULL, &row);
	CHECK(broken == NULL);
	for (more = true; more;)
		CHECK(gm_space_tend(space, indexer, UINT64_MAX, true, false, 500, &swept, &more) == GM_OK);
	CHECK(indexer->killed == LOADED / 100);
	CHECK(loaded_recall(&l, space, work, false) > 0.95);
	CHECK(loaded_recall(&l, space, work, true) == 1);

	/* the rest, with nodes made for the rows that changed */
	from = 0;
	CHECK(gm_space_make_nodes(space, indexer, &from, LOADED, nodes, &made) == GM_OK);
	for (uint32_t i = 0; i < made; i++)
		CHECK(gm_hnsw_link(indexer->hnsw, work, nodes[i].node) == GM_OK);
	CHECK(gm_mem_begin(mem) == GM_OK && gm_space_begin(space) == GM_OK);
	CHECK(gm_space_map(space, indexer, nodes, made, NULL) == GM_OK);
	gm_mem_commit(mem, 3);
	gm_space_end(space);
	gm_space_mapped(indexer, nodes, made);
	CHECK(gm_space_pending(space) == 0 && space->made.root->ar_length == 0);
	CHECK(space->root->sp_absent == space->root->sp_rows);
	gm_space_bytes(space, &vectors, &all);
	CHECK(vectors == 0);
	broken = gm_space_check_index(space, NULL, &row);
	CHECK(broken == NULL);
	CHECK(loaded_recall(&l, space, work, false) > 0.95);

	/* what the table has not is left out; what cannot be read fails; without an index nothing goes */
	for (uint32_t item = 0; item < LOADED; item += 2)
		l.gone[item] = true;
	CHECK(loaded_recall(&l, space, work, true) == 1);
	CHECK(gm_space_prepare(space, l.vector, &q) == GM_OK);
	CHECK(gm_space_nearest(space, work, &q, &wish, NULL, hit, &found, &report) == GM_OK);
	for (uint32_t i = 0; i < found; i++)
		CHECK(gm_space_item_id(space, hit[i].row) % 2 == 1);
	l.fail_after = 0;
	CHECK(gm_space_nearest(space, work, &q, &wish, NULL, hit, &found, &report) == GM_INTERRUPTED);
	wish.exact = true;
	CHECK(gm_space_nearest(space, work, &q, &wish, NULL, hit, &found, &report) == GM_INTERRUPTED);
	CHECK(gm_mem_begin(mem) == GM_OK && gm_space_begin(space) == GM_OK);
	CHECK(gm_space_drop_index(space) == GM_BAD_VALUE);
	CHECK(gm_space_free(space) == GM_OK);
	gm_mem_commit(mem, 4);
	gm_space_end(space);
	gm_mem_reclaim(mem, UINT64_MAX);
	CHECK(mem->used == 0);
	gm_indexer_destroy(indexer, false);
	gm_space_destroy(space);
	gm_hnsw_work_destroy(work);
	gm_mem_destroy(mem);
	pool_free(&pool);
	free(nodes);
	free(l.vector);
	free(l.gone);
}

/* all rows go, and come again; then the index goes, and all memory with the space */
static void
test_emptied(void)
{
	World	   *w = malloc(sizeof(World));

	REQUIRE(world_make(w, GM_METRIC_L2, 500));
	begin_index(w);
	index_some(w, 500, NULL);
	CHECK(gm_mem_begin(w->mem) == GM_OK);
	CHECK(gm_space_begin(w->space) == GM_OK);
	for (uint32_t i = 0; i < 500; i++)
		CHECK(gm_space_remove(w->space, (int64_t) i * 3) == GM_OK);
	commit(w);
	check_world(w, w->space);
	CHECK(gm_space_dead(w->space, w->indexer->hnsw) == 500);
	tend(w, UINT64_MAX);
	CHECK(w->space->dead.root->ar_length == 500);
	CHECK(gm_space_dead(w->space, w->indexer->hnsw) ==
		  atomic_load(&gm_hnsw_root(w->indexer->hnsw)->hn_dead));
	tend(w, UINT64_MAX);
	CHECK(gm_space_dead(w->space, w->indexer->hnsw) == 0);
	index_some(w, 0, NULL);
	CHECK(w->space->dead.root->ar_length == 0);
	CHECK(atomic_load(&gm_hnsw_root(w->indexer->hnsw)->hn_linked) == 0);
	CHECK(gm_hnsw_root(w->indexer->hnsw)->hn_free == 500);
	CHECK(gm_mem_begin(w->mem) == GM_OK);
	CHECK(gm_space_begin(w->space) == GM_OK);
	for (uint32_t i = 0; i < 500; i++)
		CHECK(gm_space_put(w->space, (int64_t) i * 3, i, w->vector[i]) == GM_OK);
	commit(w);
	index_some(w, 500, NULL);
	CHECK(gm_space_pending(w->space) == 0);
	CHECK(atomic_load(&gm_hnsw_root(w->indexer->hnsw)->hn_nodes) == 500);
	check_world(w, w->space);
	CHECK(gm_mem_begin(w->mem) == GM_OK);
	CHECK(gm_space_begin(w->space) == GM_OK);
	CHECK(gm_space_drop_index(w->space) == GM_OK);
	commit(w);
	CHECK(!gm_space_has_index(w->space) && gm_space_pending(w->space) == 0);
	check_world(w, w->space);
	CHECK(gm_mem_begin(w->mem) == GM_OK);
	CHECK(gm_space_begin(w->space) == GM_OK);
	CHECK(gm_space_free(w->space) == GM_OK);
	gm_mem_commit(w->mem, w->epoch++);
	gm_space_end(w->space);
	gm_mem_reclaim(w->mem, UINT64_MAX);
	CHECK(w->mem->used == 0);
	world_free(w);
	free(w);
}

UNIT_MAIN(UNIT(test_churn_cosine), UNIT(test_churn_l2), UNIT(test_churn_ip),
		  UNIT(test_churn_table_cosine), UNIT(test_churn_table_l2), UNIT(test_churn_table_ip),
		  UNIT(test_loaded_as_codes), UNIT(test_emptied))
