/*-------------------------------------------------------------------------
 *
 * test_nearest.c
 *	  Searches of a space through its index: filters of every selectivity, as
 *	  bitmaps and as functions, and recall.
 *
 * The oracle is exact search, which test_space.c checks.  Asserted of each
 * search: as many hits as rows match, up to k; each hit matches and has the
 * distance that gm_space_distance gives; they come in order; on average most
 * of them are the true ones.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/recall.h"
#include "unit.h"

#define ROWS		12000
#define PENDING		300			/* of them: the index has no node of theirs */
#define DIM			16
#define MOST_K		200

typedef struct Indexed
{
	GmMem	   *mem;
	GmSpace    *space;
	GmHnswWork *work;
	GmIndexer  *indexer;
	float	   *vectors;
} Indexed;

static bool
index_rows(Indexed *x, uint32_t n)
{
	GmSpaceNode *nodes = malloc(n * sizeof(GmSpaceNode));
	uint32_t	from = 0;
	uint32_t	made = 0;
	bool		good = CHECK(gm_indexer_create(x->space, x->work, NULL, &x->indexer) == GM_OK) &&
		CHECK(gm_mem_begin(x->mem) == GM_OK) && CHECK(gm_space_begin(x->space) == GM_OK) &&
		CHECK(gm_space_begin_index(x->space, x->indexer, NULL) == GM_OK);

	if (!good)
		return false;
	gm_space_end(x->space);
	gm_mem_commit(x->mem, 1);
	good = CHECK(gm_space_make_nodes(x->space, x->indexer, &from, n, nodes, &made) == GM_OK) &&
		CHECK(made == n);
	for (uint32_t i = 0; i < n && good; i++)
		good = CHECK(gm_hnsw_link(x->indexer->hnsw, x->work, nodes[i].node) == GM_OK);
	good = good && CHECK(gm_mem_begin(x->mem) == GM_OK) &&
		CHECK(gm_space_begin(x->space) == GM_OK) &&
		CHECK(gm_space_map(x->space, x->indexer, nodes, n, NULL) == GM_OK);
	gm_space_end(x->space);
	gm_mem_commit(x->mem, 2);
	gm_space_mapped(x->indexer, nodes, n);
	free(nodes);
	return good;
}

static bool
indexed_make(Indexed *x, GmMetric metric)
{
	(void) gm_vec_choose(GM_SIMD_AUTO);
	memset(x, 0, sizeof(*x));
	x->vectors = malloc((size_t) ROWS * DIM * sizeof(float));
	x->work = gm_hnsw_work_create();
	if (!CHECK(gm_mem_create(1 << 16, 0, NULL, &x->mem) == GM_OK) ||
		!CHECK(gm_space_create(x->mem, DIM, metric, &x->space) == GM_OK))
		return false;
	for (uint32_t i = 0; i < ROWS; i++)
	{
		float	   *v = x->vectors + (size_t) i * DIM;

		for (uint32_t d = 0; d < DIM; d++)
			v[d] = (float) (unit_random_double() - 0.5);
		if (!CHECK(gm_space_add(x->space, (int64_t) i * 3 - 7, i, v) == GM_OK))
			return false;
	}
	return CHECK(gm_space_finish(x->space, ROWS) == GM_OK) && index_rows(x, ROWS - PENDING);
}

static void
indexed_free(Indexed *x)
{
	gm_indexer_destroy(x->indexer, false);
	gm_hnsw_work_destroy(x->work);
	gm_space_destroy(x->space);
	gm_mem_destroy(x->mem);
	free(x->vectors);
}

/* a filter, and how often it was asked */
typedef struct Filter
{
	uint64_t	bits[ROWS / 64 + 1];
	uint32_t	allowed;
	uint64_t	asked;
} Filter;

static bool
passes(void *arg, uint32_t row)
{
	Filter	   *f = arg;

	f->asked++;
	return f->bits[row / 64] >> row % 64 & 1;
}

/* one row in so many; 0: none; near: those with a small first element, in a corner */
static void
make_filter(const Indexed *x, uint32_t one_in, bool near, Filter *f)
{
	memset(f, 0, sizeof(*f));
	for (uint32_t row = 0; row < ROWS && one_in > 0; row++)
	{
		bool		in = near ? x->vectors[(size_t) row * DIM] + 0.5f < 1.0f / (float) one_in :
			unit_random_below(one_in) == 0;

		if (!in)
			continue;
		f->bits[row / 64] |= (uint64_t) 1 << row % 64;
		f->allowed++;
	}
}

/* share of the true hits; what must hold of every answer is checked */
static double
check_answer(const Indexed *x, const GmSpaceQuery *query, const GmSpaceWish *wish,
			 const Filter *f, const GmSpaceHit *hits, uint32_t found)
{
	GmSpaceHit	truth[MOST_K];
	uint32_t	wanted = f == NULL ? ROWS : f->allowed;
	uint32_t	n;

	if (wish->without != GM_NONE && (f == NULL || f->bits[wish->without / 64] >>
									 wish->without % 64 & 1))
		wanted--;
	wanted = wanted < wish->k ? wanted : wish->k;
	if (!CHECK(found == wanted))
		return 0;
	for (uint32_t i = 0; i < found; i++)
	{
		CHECK(hits[i].row != wish->without);
		CHECK(f == NULL || (f->bits[hits[i].row / 64] >> hits[i].row % 64 & 1));
		CHECK(hits[i].distance == gm_space_distance(x->space, query, hits[i].row));
		CHECK(i == 0 || hits[i - 1].distance < hits[i].distance ||
			  (hits[i - 1].distance == hits[i].distance && hits[i - 1].row < hits[i].row));
	}
	CHECK(gm_space_search(x->space, query, wish->without == GM_NONE ? wish->k : wish->k + 1,
						  f == NULL ? NULL : f->bits, NULL, truth, &n) == GM_OK);
	for (uint32_t i = 0, kept = 0; i < n; i++)
		if (truth[i].row != wish->without)
			truth[kept++] = truth[i];
	return gm_recall_share(hits, found, wanted, wanted == 0 ? 0 : truth[wanted - 1].distance);
}

static void
check_filter(Indexed *x, Filter *f, bool as_function, uint32_t k, bool exact)
{
	const int	queries = 8;
	double		recall = 0;

	for (int i = 0; i < queries; i++)
	{
		uint32_t	row = unit_random_below(ROWS);
		GmSpaceWish wish = {.k = k, .ef_search = 100, .exact = exact, .without = GM_NONE};
		GmSpaceReport report;
		GmSpaceQuery query;
		GmSpaceHit	hits[MOST_K + 1];
		uint32_t	found = 77;

		if (i % 2 == 1)
			wish.without = row;
		if (f != NULL && as_function)
		{
			wish.accept = passes;
			wish.arg = f;
		}
		else if (f != NULL)
			wish.allowed = f->bits;
		CHECK(gm_space_prepare(x->space, x->vectors + (size_t) row * DIM, &query) == GM_OK);
		CHECK(gm_space_nearest(x->space, x->work, &query, &wish, NULL, hits, &found,
							   &report) == GM_OK);
		recall += check_answer(x, &query, &wish, f, hits, found) / queries;
		CHECK(!exact || report.exact);
		CHECK(f != NULL || exact || !report.exact);
	}
	if (!CHECK(recall >= (exact ? 1 - 1e-9 : 0.9)))
		printf("# recall %.3f of %u allowed%s, k %u\n", recall, f == NULL ? ROWS : f->allowed,
			   as_function ? " by a function" : "", k);
}

static void
test_filters(void)
{
	static const uint32_t one_in[] = {1, 2, 5, 20, 100, 1000, 5000, 0};
	static const uint32_t ks[] = {1, 10, 150};
	Indexed		x;
	Filter		f;

	for (GmMetric metric = GM_METRIC_COSINE; metric <= GM_METRIC_IP; metric++)
	{
		if (indexed_make(&x, metric))
		{
			uint32_t	row;

			CHECK(gm_space_pending(x.space) == PENDING);
			CHECK(gm_space_check_index(x.space, NULL, &row) == NULL);
			for (int k = 0; k < 3; k++)
			{
				check_filter(&x, NULL, false, ks[k], false);
				check_filter(&x, NULL, false, ks[k], true);
				for (uint32_t s = 0; s < sizeof(one_in) / sizeof(one_in[0]); s++)
					for (int way = 0; way < 8; way++)
					{
						make_filter(&x, one_in[s], way & 1, &f);
						check_filter(&x, &f, way & 2, ks[k], way & 4);
					}
			}
		}
		indexed_free(&x);
	}
}

/* where most rows are accepted few are asked about */
static void
test_asks_few(void)
{
	Indexed		x;
	Filter		f;

	if (indexed_make(&x, GM_METRIC_L2))
	{
		make_filter(&x, 1, false, &f);
		check_filter(&x, &f, true, 10, false);
		CHECK(f.asked > 0 && f.asked < 8 * ROWS / 4);
	}
	indexed_free(&x);
}

static void
test_recall(void)
{
	const GmSpaceHit hits[4] = {{1, 0.5f}, {2, 1.0f}, {3, 1.0f}, {4, 2.0f}};
	Indexed		x;

	CHECK_NEAR(gm_recall_share(hits, 0, 0, 0), 1, 0);
	CHECK_NEAR(gm_recall_share(hits, 4, 4, 2.0f), 1, 0);
	CHECK_NEAR(gm_recall_share(hits, 4, 4, 1.0f), 0.75, 0);
	CHECK_NEAR(gm_recall_share(hits, 4, 2, 1.0f), 1, 0);
	CHECK_NEAR(gm_recall_share(hits, 4, 4, 0.25f), 0, 0);
	CHECK_NEAR(gm_recall_share(hits, 1, 4, 2.0f), 0.25, 0);
	for (uint32_t n = 1; n <= 50; n++)
		for (uint32_t i = 0; i < n; i++)
		{
			CHECK(gm_recall_row(50, i, n) < 50);
			CHECK(i == 0 || gm_recall_row(50, i, n) > gm_recall_row(50, i - 1, n));
		}
	if (indexed_make(&x, GM_METRIC_COSINE))
	{
		double		poor = 0;
		double		good = 0;

		for (int i = 0; i < 40; i++)
		{
			uint32_t	row = gm_recall_row(ROWS, (uint32_t) i, 40);
			GmRecallSample *sample;
			double		recall;
			int			steps = 0;
			bool		done = false;

			REQUIRE(gm_recall_begin(x.space, row, 10, &sample) == GM_OK);
			while (!done)
			{
				REQUIRE(gm_recall_step(sample, x.space, 1000, &done) == GM_OK);
				steps++;
			}
			CHECK(steps == ROWS / 1000);
			CHECK(gm_recall_end(sample, x.space, x.work, 400, NULL, &recall) == GM_OK);
			good += recall / 40;
			CHECK(gm_recall_end(sample, x.space, x.work, 10, NULL, &recall) == GM_OK);
			poor += recall / 40;
			gm_recall_free(sample);
		}
		if (!CHECK(good > 0.98 && good < 1 + 1e-9) || !CHECK(poor < good))
			printf("# recall %.4f of 400 candidates, %.4f of 10\n", good, poor);
	}
	indexed_free(&x);
}

/* rows that go or change while a sample is taken are no true neighbours any more */
static void
test_recall_of_change(void)
{
	Indexed		x;

	if (indexed_make(&x, GM_METRIC_COSINE))
	{
		GmRecallSample *sample;
		double		recall;
		bool		done;
		GmSpaceHit	hits[21];
		GmSpaceQuery query;
		uint32_t	found;

		CHECK(gm_space_prepare(x.space, x.vectors, &query) == GM_OK);
		CHECK(gm_space_search(x.space, &query, 21, NULL, NULL, hits, &found) == GM_OK);
		REQUIRE(gm_recall_begin(x.space, 0, 10, &sample) == GM_OK);
		CHECK(gm_recall_step(sample, x.space, ROWS, &done) == GM_OK && done);
		REQUIRE(gm_mem_begin(x.mem) == GM_OK && gm_space_begin(x.space) == GM_OK);
		for (int i = 1; i <= 5; i++)
			CHECK(gm_space_remove(x.space, (int64_t) hits[i].row * 3 - 7) == GM_OK);
		gm_space_end(x.space);
		gm_mem_commit(x.mem, 3);
		CHECK(gm_recall_end(sample, x.space, x.work, 400, NULL, &recall) == GM_OK);
		CHECK_NEAR(recall, 1, 0);
		gm_recall_free(sample);
	}
	indexed_free(&x);
}

UNIT_MAIN(UNIT(test_filters), UNIT(test_asks_few), UNIT(test_recall), UNIT(test_recall_of_change))
