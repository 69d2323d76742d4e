/*-------------------------------------------------------------------------
 *
 * test_hnsw.c
 *	  The HNSW graph against brute force, and its rules after every change.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <pthread.h>

#include "core/epoch.h"
#include "core/hnsw.h"
#include "fake_pool.h"
#include "unit.h"

#define K			10

static float
normal(void)
{
	double		sum = 0;

	for (int i = 0; i < 6; i++)
		sum += unit_random_double() - 0.5;
	return (float) (sum * 1.4);
}

/* clusters in few dimensions plus noise, as embeddings are */
static float *
make_vectors(uint32_t n, uint32_t dim)
{
	uint32_t	clusters = n / 40 + 1;
	uint32_t	rank = dim < 8 ? dim : 8;
	float	   *basis = malloc(sizeof(float) * rank * dim);
	float	   *centre = malloc(sizeof(float) * clusters * rank);
	float	   *v = malloc(sizeof(float) * (n + 1) * dim);

	for (uint32_t i = 0; i < rank * dim; i++)
		basis[i] = normal();
	for (uint32_t i = 0; i < clusters * rank; i++)
		centre[i] = normal();
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	c = unit_random_below(clusters);

		for (uint32_t d = 0; d < dim; d++)
			v[i * dim + d] = 0.05f * normal() + 0.1f;
		for (uint32_t r = 0; r < rank; r++)
		{
			float		x = centre[c * rank + r] + 0.5f * normal();

			for (uint32_t d = 0; d < dim; d++)
				v[i * dim + d] += x * basis[r * dim + d];
		}
	}
	free(basis);
	free(centre);
	return v;
}

static float
true_distance(GmMetric metric, const float *a, const float *b, uint32_t dim)
{
	double		ab = 0;
	double		aa = 0;
	double		bb = 0;

	for (uint32_t i = 0; i < dim; i++)
	{
		ab += (double) a[i] * b[i];
		aa += (double) a[i] * a[i];
		bb += (double) b[i] * b[i];
	}
	if (metric == GM_METRIC_L2)
		return (float) (aa + bb - 2 * ab);
	return (float) (metric == GM_METRIC_IP ? -ab : 1 - ab / sqrt(aa * bb));
}

static float
scale_of(GmMetric metric, const float *a, uint32_t dim)
{
	double		aa = 0;

	for (uint32_t i = 0; i < dim; i++)
		aa += (double) a[i] * a[i];
	return metric == GM_METRIC_COSINE ? (float) (1 / sqrt(aa)) : 1;
}

/* an index, the vector of each of its nodes, and which of them live */
typedef struct Lab
{
	GmMetric	metric;
	uint32_t	dim;
	GmMem	   *mem;
	GmHnsw	   *hnsw;
	GmHnswWork *work;
	uint32_t	nodes;
	const float *of[100000];	/* by node */
} Lab;

static Lab lab;

static bool
lab_open(uint32_t dim, GmMetric metric, GmCodeKind kind, uint32_t m, uint32_t ef_construction)
{
	(void) gm_vec_choose(GM_SIMD_AUTO);
	memset(&lab, 0, sizeof(lab));
	lab.metric = metric;
	lab.dim = dim;
	lab.work = gm_hnsw_work_create();
	return CHECK(gm_mem_create(1 << 20, 0, NULL, &lab.mem) == GM_OK) &&
		CHECK(gm_hnsw_create(lab.mem, dim, metric, kind, m, ef_construction, NULL,
							 &lab.hnsw) == GM_OK);
}

static void
lab_close(void)
{
	gm_hnsw_destroy(lab.hnsw);
	gm_hnsw_work_destroy(lab.work);
	gm_mem_destroy(lab.mem);
}

static uint32_t
lab_add(const float *v, uint64_t seed)
{
	uint32_t	node = GM_NONE;

	CHECK(gm_hnsw_add(lab.mem, lab.hnsw, lab.work, v, scale_of(lab.metric, v, lab.dim), seed,
					  &node) == GM_OK);
	if (node >= lab.nodes)
		lab.nodes = node + 1;
	lab.of[node] = v;
	return node;
}

static void
lab_link(uint32_t node)
{
	CHECK(gm_hnsw_link(lab.hnsw, lab.work, node) == GM_OK);
}

static uint32_t
lab_search(const float *q, uint32_t ef, const GmHnswAccept *accept, GmHnswHit *hits)
{
	const GmQuery *query;
	uint32_t	found = 0;
	uint64_t	distances;
	bool		gave_up;

	CHECK(gm_hnsw_query(lab.hnsw, lab.work, q, scale_of(lab.metric, q, lab.dim), &query) == GM_OK);
	CHECK(gm_hnsw_search(lab.hnsw, lab.work, query, ef, accept, 0, NULL, hits, &found, &distances,
						 &gave_up) == GM_OK);
	CHECK(!gave_up);
	for (uint32_t i = 0; i < found; i++)
		CHECK(gm_hnsw_state(lab.hnsw, hits[i].node) == GM_HNSW_LINKED &&
			  (accept == NULL || accept->accept(accept->arg, hits[i].node)) &&
			  (i == 0 || hits[i].distance > hits[i - 1].distance ||
			   (hits[i].distance == hits[i - 1].distance && hits[i].node > hits[i - 1].node)));
	return found;
}

/* by distance, so that ties are nobody's fault; the hits are compared exactly first */
static double
lab_recall(const float *queries, uint32_t n, uint32_t ef, const GmHnswAccept *accept)
{
	GmHnswHit  *hits = malloc(sizeof(GmHnswHit) * ef);
	uint64_t	good = 0;
	uint64_t	all = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		const float *q = queries + i * lab.dim;
		uint32_t	found = lab_search(q, ef, accept, hits);
		float		best[K];
		uint32_t	count = 0;

		for (uint32_t node = 0; node < lab.nodes; node++)
		{
			float		d;
			uint32_t	at;

			if (lab.of[node] == NULL || (accept != NULL && !accept->accept(accept->arg, node)))
				continue;
			d = true_distance(lab.metric, q, lab.of[node], lab.dim);
			if (count == K && d >= best[K - 1])
				continue;
			at = count < K ? count++ : K - 1;
			for (; at > 0 && best[at - 1] > d; at--)
				best[at] = best[at - 1];
			best[at] = d;
		}
		all += count;
		for (uint32_t k = 0, got = 0; k < found && got < count; k++)
			if (true_distance(lab.metric, q, lab.of[hits[k].node], lab.dim) <= best[count - 1])
			{
				good++;
				got++;
			}
	}
	free(hits);
	return all == 0 ? 1 : (double) good / (double) all;
}

static void
lab_kill(uint32_t node)
{
	CHECK(gm_hnsw_kill(lab.mem, lab.hnsw, node) == GM_OK);
	lab.of[node] = NULL;
}

static void
lab_sweep(uint32_t most)
{
	uint32_t	at = 0;

	while (at != GM_NONE)
		if (!CHECK(gm_hnsw_sweep(lab.mem, lab.hnsw, lab.work, most, &at) == GM_OK))
			return;
}

static bool
lab_sound(const char *when)
{
	uint32_t	node;
	const char *broken = gm_hnsw_check(lab.hnsw, &node);

	if (!CHECK(broken == NULL))
		printf("# %s: node %u: %s\n", when, node, broken);
	return broken == NULL;
}

static bool
has_recall(const char *what, const float *queries, uint32_t n, uint32_t ef,
		   const GmHnswAccept *accept, double least)
{
	double		recall = lab_recall(queries, n, ef, accept);

	printf("# metric %d, kind %d, dim %u, %s: recall %.4f\n", (int) lab.metric,
		   (int) gm_hnsw_coder(lab.hnsw)->kind, lab.dim, what, recall);
	return CHECK(recall >= least);
}

#define DIM			40
#define NODES		4000
#define QUERIES		100

static void
one_life(GmMetric metric, GmCodeKind kind)
{
	float	   *v = make_vectors(NODES + NODES + QUERIES, DIM);
	const float *queries = v + 2 * NODES * DIM;
	const GmHnswRoot *root;
	uint32_t	next = NODES;

	REQUIRE(lab_open(DIM, metric, kind, 16, 100));
	root = gm_hnsw_root(lab.hnsw);
	for (uint32_t i = 0; i < NODES; i++)
		lab_link(lab_add(v + i * DIM, i));
	lab_sound("built");
	has_recall("built", queries, QUERIES, 100, NULL, 0.98);
	for (uint32_t i = 0; i < NODES; i++)
		if (unit_random_below(2) == 0)
			lab_kill(i);
	CHECK(root->hn_dead > NODES / 3 && root->hn_dead + root->hn_linked == NODES);
	lab_sound("half dead");
	has_recall("half dead", queries, QUERIES, 100, NULL, 0.98);
	lab_sweep(97);
	CHECK(root->hn_dead == 0 && root->hn_swept + root->hn_linked == NODES);
	lab_sound("swept");
	has_recall("swept", queries, QUERIES, 100, NULL, 0.98);

	/* what is swept is not made anew before it may be */
	CHECK(lab_add(v + next * DIM, next) == NODES);
	lab_kill(NODES);
	gm_hnsw_reuse(lab.hnsw);
	CHECK(root->hn_swept == 0 && root->hn_free + root->hn_linked == NODES + 1);
	lab_sound("reused");
	while (root->hn_free > 0)
	{
		lab_link(lab_add(v + next * DIM, next));
		next++;
	}
	CHECK(root->hn_nodes == NODES + 1);
	lab_sound("filled");
	has_recall("filled", queries, QUERIES, 100, NULL, 0.98);

	/* all of it, some at a time */
	for (int round = 0; round < 8; round++)
	{
		for (uint32_t i = 0; i < lab.nodes; i++)
			if (lab.of[i] != NULL && unit_random_below(4) == 0)
				lab_kill(i);
		for (int i = 0; i < 300; i++)
			lab_link(lab_add(v + unit_random_below(2 * NODES) * DIM, unit_random()));
		lab_sweep(1000);
		gm_hnsw_reuse(lab.hnsw);
		while (root->hn_free > 300)
			lab_link(lab_add(v + unit_random_below(2 * NODES) * DIM, unit_random()));
		if (!lab_sound("churned"))
			break;
	}
	has_recall("churned", queries, QUERIES, 100, NULL, 0.98);
	lab_close();
	free(v);
}

static void
test_lives(void)
{
	for (int metric = 0; metric < 3; metric++)
		for (int kind = 0; kind < 3; kind++)
			one_life((GmMetric) metric, (GmCodeKind) kind);
}

/*
 * Filters
 */
static bool
every_nth(void *arg, uint32_t node)
{
	uint32_t	n = *(uint32_t *) arg;

	return (node * UINT32_C(2654435761) >> 8) % n == 0;
}

static void
test_accept(void)
{
	static const uint32_t shares[] = {1, 2, 10, 100, 1000};
	float	   *v = make_vectors(NODES + QUERIES, DIM);
	uint32_t	none = 1 << 30;
	GmHnswAccept accept = {every_nth, NULL};
	GmHnswHit	hits[2 * NODES];

	REQUIRE(lab_open(DIM, GM_METRIC_COSINE, GM_CODE_INT8, 16, 100));
	for (uint32_t i = 0; i < NODES; i++)
		lab_link(lab_add(v + i * DIM, i));
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
	{
		accept.arg = (void *) &shares[i];
		has_recall("some count", v + NODES * DIM, 30, 50, &accept, 0.97);
	}

	/* fewer than wished: all there are */
	accept.arg = (void *) &shares[3];
	{
		uint32_t	want = 0;

		for (uint32_t i = 0; i < NODES; i++)
			want += every_nth(accept.arg, i);
		CHECK(lab_search(v, 2 * NODES, &accept, hits) == want);
	}
	CHECK(lab_search(v, 2 * NODES, NULL, hits) == NODES);
	accept.arg = &none;
	CHECK(lab_search(v, 10, &accept, hits) == 0 || every_nth(&none, hits[0].node));
	lab_close();
	free(v);
}

/*
 * Equal vectors
 */

/* every node that lives is found by asking for all */
static void
all_are_found(const char *when)
{
	uint32_t	linked = gm_hnsw_root(lab.hnsw)->hn_linked;
	GmHnswHit  *hits = malloc(sizeof(GmHnswHit) * (lab.nodes + 1));
	uint32_t	missed = 0;
	uint32_t	found;

	for (uint32_t i = 0; i < lab.nodes; i += 1 + lab.nodes / 7)
		if (lab.of[i] != NULL)
		{
			found = lab_search(lab.of[i], lab.nodes + 1, NULL, hits);
			if (!CHECK(found == linked))
				printf("# %s: %u of %u found\n", when, found, linked);
			missed += linked - found;
		}
	free(hits);
}

static void
test_all_equal(void)
{
	float		v[16];
	GmHnswHit	hits[20];

	for (int i = 0; i < 16; i++)
		v[i] = 1.0f + (float) i;
	for (int kind = 0; kind < 3; kind++)
	{
		REQUIRE(lab_open(16, GM_METRIC_L2, (GmCodeKind) kind, kind == 2 ? 4 : 16, 60));
		for (uint32_t i = 0; i < 5000; i++)
			lab_link(lab_add(v, i));
		lab_sound("equal");
		CHECK(lab_search(v, 20, NULL, hits) == 20);
		all_are_found("equal");
		for (int round = 0; round < 4; round++)
		{
			for (uint32_t i = 0; i < lab.nodes; i++)
				if (lab.of[i] != NULL && unit_random_below(3) == 0)
					lab_kill(i);
			lab_sweep(1000);
			all_are_found("swept");
			gm_hnsw_reuse(lab.hnsw);
			for (int i = 0; i < 1000; i++)
				lab_link(lab_add(v, unit_random()));
			all_are_found("filled");
			lab_sound("equal, churned");
		}
		lab_close();
	}
}

/* clusters of equal vectors between others, nearer to the queries than these or not */
static void
test_duplicates(void)
{
	enum
	{
		OTHERS = 3000,
		DISTINCT = 3
	};
	float	   *v = make_vectors(OTHERS + QUERIES, DIM);

	for (int metric = 0; metric < 2; metric++)
	{
		REQUIRE(lab_open(DIM, (GmMetric) metric, GM_CODE_INT8, 16, 100));
		for (uint32_t i = 0; i < OTHERS; i++)
		{
			lab_link(lab_add(v + i * DIM, i));
			lab_link(lab_add(v + i % DISTINCT * DIM, OTHERS + i));
		}
		lab_sound("duplicates");
		all_are_found("duplicates");
		has_recall("duplicates", v + OTHERS * DIM, QUERIES, 50, NULL, 0.97);
		has_recall("beside duplicates", v, 200, 50, NULL, 0.97);
		for (uint32_t i = 0; i < lab.nodes; i++)
			if (unit_random_below(2) == 0)
				lab_kill(i);
		lab_sweep(1000);
		lab_sound("duplicates, swept");
		all_are_found("duplicates, swept");
		has_recall("duplicates, swept", v + OTHERS * DIM, QUERIES, 50, NULL, 0.97);
		lab_close();
	}
	free(v);
}

/*
 * Small sizes, and every dimension
 */
static void
test_small(void)
{
	float	   *v = make_vectors(101, 5);
	GmHnswHit	hits[200];

	for (uint32_t n = 0; n <= 100; n++)
	{
		REQUIRE(lab_open(5, (GmMetric) (n % 3), (GmCodeKind) (n / 3 % 3), 2 + n % 15, 20));
		for (uint32_t i = 0; i < n; i++)
			lab_add(v + i * 5, i);
		CHECK(lab_search(v, 200, NULL, hits) == 0);
		for (uint32_t i = 0; i < n; i++)
		{
			CHECK(gm_hnsw_state(lab.hnsw, i) == GM_HNSW_MADE);
			lab_link(i);
			lab_link(i);
		}
		lab_sound("small");
		CHECK(gm_hnsw_root(lab.hnsw)->hn_linked == n);

		/* under the inner product short vectors are nobody's neighbours */
		if (2 + n % 15 > 5 && n % 3 != GM_METRIC_IP)
			CHECK(lab_search(v, 200, NULL, hits) == n);
		for (uint32_t i = 0; i < n; i++)
		{
			lab_kill(i);
			CHECK(lab_search(v, 200, NULL, hits) <= n - i - 1);
			lab_sound("dying");
		}
		lab_sweep(7);
		gm_hnsw_reuse(lab.hnsw);
		lab_sound("gone");
		CHECK(gm_hnsw_root(lab.hnsw)->hn_free == n);
		CHECK(lab_search(v, 200, NULL, hits) == 0);
		lab_link(lab_add(v, 1));
		CHECK(lab_search(v, 200, NULL, hits) == 1);
		lab_sound("begun again");
		lab_close();
	}
	free(v);
}

/* a node linked where nothing but dead ones are */
static void
test_among_dead(void)
{
	float	   *v = make_vectors(600, 8);
	GmHnswHit	hits[700];

	REQUIRE(lab_open(8, GM_METRIC_L2, GM_CODE_INT8, 8, 40));
	for (uint32_t i = 0; i < 300; i++)
		lab_link(lab_add(v + i * 8, i));
	for (uint32_t i = 0; i < 300; i++)
		lab_kill(i);
	CHECK(lab_search(v, 10, NULL, hits) == 0);
	for (uint32_t i = 300; i < 600; i++)
	{
		lab_link(lab_add(v + i * 8, i));
		CHECK(lab_search(v, 700, NULL, hits) == i - 299);
	}
	lab_sound("among the dead");
	lab_sweep(1000);
	lab_sound("among the dead, swept");
	CHECK(lab_search(v, 700, NULL, hits) == 300);
	lab_close();
	free(v);
}

static void
test_dimensions(void)
{
	static const uint32_t dims[] = {768, 1536, 3072};

	for (uint32_t i = 1; i <= 133; i++)
	{
		uint32_t	dim = i <= 130 ? i : dims[i - 131];
		float	   *v = make_vectors(320, dim);

		REQUIRE(lab_open(dim, (GmMetric) (i % 3), (GmCodeKind) (i / 3 % 3), 8, 60));
		for (uint32_t k = 0; k < 300; k++)
			lab_link(lab_add(v + k * dim, k));
		lab_sound("dimension");
		if (lab_recall(v + 300 * dim, 20, 60, NULL) < 0.9)
			has_recall("dimension", v + 300 * dim, 20, 60, NULL, 0.9);
		lab_close();
		free(v);
	}
}

UNIT_MAIN(UNIT(test_small), UNIT(test_among_dead), UNIT(test_all_equal), UNIT(test_duplicates), UNIT(test_dimensions), UNIT(test_lives), UNIT(test_accept))
