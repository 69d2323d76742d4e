/*-------------------------------------------------------------------------
 *
 * test_hnsw.c
 *	  The HNSW graph against brute force, and its rules after every change.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

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
	const char *broken = gm_hnsw_check(lab.hnsw, NULL, &node);

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
#define NODES		2500
#define QUERIES		60

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
	for (int round = 0; round < 5; round++)
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

/*
 * What a search may cost, and what an index takes
 */
static bool
stop_now(void *arg)
{
	(*(uint32_t *) arg)++;
	return true;
}

static void
test_budget(void)
{
	float	   *v = make_vectors(NODES, DIM);
	uint32_t	asked = 0;
	GmInterrupt stop = {stop_now, &asked, NULL};
	GmHnswHit  *hits = malloc(sizeof(GmHnswHit) * 8 * NODES);
	const GmQuery *query;
	uint64_t	distances;
	uint32_t	found;
	bool		gave_up;

	REQUIRE(lab_open(DIM, GM_METRIC_L2, GM_CODE_INT8, 16, 60));
	for (uint32_t i = 0; i < 8 * NODES; i++)
		lab_link(lab_add(v + i % NODES * DIM, i));
	REQUIRE(gm_hnsw_query(lab.hnsw, lab.work, v, 1, &query) == GM_OK);
	CHECK(gm_hnsw_search(lab.hnsw, lab.work, query, 200, NULL, 300, NULL, hits, &found, &distances,
						 &gave_up) == GM_OK);
	CHECK(gave_up && distances >= 300 && distances < 400);
	CHECK(gm_hnsw_search(lab.hnsw, lab.work, query, 10, NULL, 100000, &stop, hits, &found,
						 &distances, &gave_up) == GM_OK);
	CHECK(!gave_up && found == 10 && asked == 0);
	CHECK(gm_hnsw_search(lab.hnsw, lab.work, query, 8 * NODES, NULL, 0, &stop, hits, &found,
						 &distances, &gave_up) == GM_INTERRUPTED);
	CHECK(asked == 1);

	/* and leaves nothing behind */
	CHECK(lab_search(v, 8 * NODES, NULL, hits) == 8 * NODES);
	lab_close();
	free(hits);
	free(v);
}

static void
test_memory(void)
{
	float	   *v = make_vectors(NODES, DIM);
	uint64_t	codes;
	uint64_t	links;
	uint64_t	total;
	size_t		before;
	size_t		stride;

	(void) gm_vec_choose(GM_SIMD_AUTO);
	memset(&lab, 0, sizeof(lab));
	lab.dim = DIM;
	lab.work = gm_hnsw_work_create();
	REQUIRE(gm_mem_create(1 << 20, 0, NULL, &lab.mem) == GM_OK);
	before = lab.mem->used;
	REQUIRE(gm_hnsw_create(lab.mem, DIM, GM_METRIC_COSINE, GM_CODE_INT8, 16, 60, v, &lab.hnsw) ==
			GM_OK);
	for (uint32_t i = 0; i < 40 * NODES; i++)
		lab_add(v + i % NODES * DIM, i);
	gm_hnsw_bytes(lab.hnsw, &codes, &links, &total);
	stride = gm_hnsw_coder(lab.hnsw)->stride;
	CHECK(codes >= 40 * NODES * stride && links >= 40 * NODES * 33 * sizeof(uint32_t));
	CHECK(total > codes + links && (double) total < 1.1 * (double) (codes + links));
	CHECK((double) (lab.mem->used - before) < 1.08 * (double) total);
	for (uint32_t i = 0; i < 20 * NODES; i++)
		lab_kill(i);
	gm_hnsw_reuse(lab.hnsw);
	lab_sound("made and killed");
	CHECK(gm_hnsw_kill(lab.mem, lab.hnsw, 40 * NODES) == GM_BAD_VALUE);
	CHECK(gm_hnsw_free(lab.mem, lab.hnsw) == GM_OK);
	CHECK(lab.mem->used == before);
	lab_close();
	free(v);
}

/*
 * Threads: linking
 */
typedef struct Job
{
	GmHnswView	view;
	_Atomic uint32_t next;
	uint32_t	end;
	_Atomic uint32_t failed;
} Job;

static Job job;

static void *
link_job(void *arg)
{
	GmHnswWork *work = gm_hnsw_work_create();
	GmHnsw	   *h;

	(void) arg;
	if (gm_hnsw_attach(lab.mem, &job.view, &h) != GM_OK)
	{
		job.failed++;
		return NULL;
	}
	for (uint32_t i; (i = job.next++) < job.end;)
		if (gm_hnsw_link(h, work, i) != GM_OK)
			job.failed++;
	gm_hnsw_destroy(h);
	gm_hnsw_work_destroy(work);
	return NULL;
}

static void
link_by_threads(uint32_t from, uint32_t to, int threads)
{
	pthread_t	thread[8];

	gm_hnsw_view(lab.hnsw, &job.view);
	job.next = from;
	job.end = to;
	job.failed = 0;
	for (int i = 0; i < threads; i++)
		(void) pthread_create(&thread[i], NULL, link_job, NULL);
	for (int i = 0; i < threads; i++)
		(void) pthread_join(thread[i], NULL);
	CHECK(job.failed == 0);
}

static void
test_link_threads(void)
{
	float	   *v = make_vectors(NODES + QUERIES, DIM);

	/* the first nodes at once, then many, then twins of one */
	REQUIRE(lab_open(DIM, GM_METRIC_COSINE, GM_CODE_INT8, 16, 100));
	for (uint32_t i = 0; i < NODES; i++)
		lab_add(v + i * DIM, i);
	link_by_threads(0, NODES, 3);
	CHECK(gm_hnsw_root(lab.hnsw)->hn_linked == NODES);
	lab_sound("linked by threads");
	has_recall("linked by threads", v + NODES * DIM, QUERIES, 50, NULL, 0.98);
	for (uint32_t i = 0; i < 500; i++)
		lab_add(v + 5 * DIM, i);
	link_by_threads(NODES, NODES + 500, 3);
	lab_sound("twins linked by threads");
	has_recall("twins linked by threads", v + NODES * DIM, QUERIES, 50, NULL, 0.98);
	lab_close();
	free(v);
}

/* many times the race of the first nodes for the entry */
static void
test_first_nodes(void)
{
	float	   *v = make_vectors(8, 16);
	GmHnswHit	hits[8];

	for (int round = 0; round < 100; round++)
	{
		REQUIRE(lab_open(16, GM_METRIC_L2, GM_CODE_INT8, 8, 20));
		for (uint32_t i = 0; i < 8; i++)
			lab_add(v + i * 16, unit_random());
		link_by_threads(0, 8, 4);
		lab_sound("first nodes");
		/* two that were at it at once may miss each other, but not the entry */
		CHECK(lab_search(v, 8, NULL, hits) > 0);
		lab_close();
	}
	free(v);
}

/*
 * Threads: readers while the writer and its helpers change everything
 */
#define READERS		2
#define LASTING		500			/* nodes that are never killed */
#define PASSING		1500
#define ROUNDS		20			/* at most */
#define MOST_VIEWS	(3 * ROUNDS + 1)
#define THREAD_DIM	56			/* a code of 64 bytes: kernels read no other's */

typedef struct Run
{
	FakePool	pool;
	GmMemOps	ops;
	const float *v;
	GmHnswView	views[MOST_VIEWS];	/* each is written once */
	uint32_t	view_count;
	_Atomic(GmHnswView *) view;
	_Atomic uint64_t global;
	GmEpochSlot slots[READERS];
	bool		wait;			/* for readers, before nodes are made anew */
	_Atomic uint32_t rounds;
	_Atomic bool stop;
	_Atomic uint64_t searches;
	_Atomic uint64_t wrong;		/* a hit's code is not what it was */
	_Atomic uint64_t missed;	/* a node that lasts */
} Run;

static Run run;

static void
publish_view(void)
{
	GmHnswView *view = &run.views[run.view_count++];

	gm_hnsw_view(lab.hnsw, view);
	atomic_store_explicit(&run.view, view, memory_order_release);
}

static bool
any_even(void *arg, uint32_t node)
{
	(void) arg;
	return node % 2 == 0;
}

static void *
search_all_the_time(void *arg)
{
	uint32_t	me = (uint32_t) (uintptr_t) arg;
	GmHnswWork *work = gm_hnsw_work_create();
	GmHnswAccept even = {any_even, NULL};
	struct timespec pause = {0, 100000};
	GmHnsw	   *h = NULL;
	GmMem	   *mem;
	GmHnswHit	hits[40];

	(void) gm_mem_attach(run.pool.base, &mem);
	for (uint32_t i = me; !run.stop; i += 7)
	{
		uint32_t	which = i % LASTING;
		bool		filtered = i % 5 == 0;
		const GmHnswView *view;
		const GmQuery *query;
		uint32_t	found;
		uint64_t	distances;
		bool		gave_up;
		bool		hit = false;
		uint32_t	round = run.rounds;

		gm_epoch_enter(&run.global, &run.slots[me]);
		view = atomic_load_explicit(&run.view, memory_order_acquire);
		if ((h == NULL ? gm_hnsw_attach(mem, view, &h) : gm_hnsw_reattach(h, view)) != GM_OK ||
			gm_hnsw_query(h, work, run.v + which * THREAD_DIM, 1, &query) != GM_OK ||
			gm_hnsw_search(h, work, query, 40, filtered ? &even : NULL, 0, NULL, hits, &found,
						   &distances, &gave_up) != GM_OK)
		{
			run.wrong++;
			break;
		}
		/* a reader that is too slow for a writer that does not wait */
		while (!run.wait && !run.stop && run.rounds < round + 2)
			(void) nanosleep(&pause, NULL);
		for (uint32_t k = 0; k < found; k++)
		{
			run.wrong += hits[k].node >= view->nodes || (filtered && hits[k].node % 2 != 0) ||
				gm_query_one(query, gm_hnsw_code(h, hits[k].node)) != hits[k].distance;
			hit |= hits[k].node == which;
		}
		run.missed += !hit && !(filtered && which % 2 != 0);
		run.searches++;
		gm_epoch_leave(&run.slots[me]);
	}
	gm_hnsw_destroy(h);
	gm_hnsw_work_destroy(work);
	gm_mem_destroy(mem);
	return NULL;
}

/* a round of what a worker does; swept nodes are made anew when readers have left */
static void
one_round(void)
{
	uint32_t	from;
	uint32_t	at = 0;
	uint64_t	epoch;

	for (uint32_t i = LASTING; i < lab.nodes; i++)
		if (lab.of[i] != NULL && unit_random_below(3) == 0)
			lab_kill(i);
	while (at != GM_NONE)
		CHECK(gm_hnsw_sweep(lab.mem, lab.hnsw, lab.work, 300, &at) == GM_OK);
	publish_view();
	epoch = gm_epoch_advance(&run.global);
	while (run.wait && gm_epoch_oldest(run.slots, READERS) <= epoch)
		(void) sched_yield();
	gm_hnsw_reuse(lab.hnsw);
	for (uint32_t n = 0; n < 100; n++)
		lab_link(lab_add(run.v + unit_random_below(LASTING + PASSING) * THREAD_DIM,
						 unit_random()));
	from = gm_hnsw_root(lab.hnsw)->hn_nodes;
	while (gm_hnsw_root(lab.hnsw)->hn_linked + gm_hnsw_root(lab.hnsw)->hn_free +
		   (gm_hnsw_root(lab.hnsw)->hn_nodes - from) < LASTING + PASSING ||
		   gm_hnsw_root(lab.hnsw)->hn_free > 0)
	{
		uint32_t	node = lab_add(run.v + unit_random_below(LASTING + PASSING) * THREAD_DIM,
								   unit_random());

		if (node < from)
			lab_link(node);
	}
	publish_view();
	link_by_threads(from, gm_hnsw_root(lab.hnsw)->hn_nodes, 2);
	publish_view();
}

static void
run_readers(bool wait, int rounds)
{
	pthread_t	thread[READERS];

	(void) gm_vec_choose(GM_SIMD_AUTO);
	memset(&run, 0, sizeof(run));
	memset(&lab, 0, sizeof(lab));
	run.wait = wait;
	run.v = make_vectors(LASTING + PASSING, THREAD_DIM);
	run.global = 1;
	lab.dim = THREAD_DIM;
	lab.metric = GM_METRIC_L2;
	lab.work = gm_hnsw_work_create();
	REQUIRE(pool_make(&run.pool, &run.ops));
	REQUIRE(gm_mem_create_shared(run.pool.base, 8192, 0, &run.ops, &lab.mem) == GM_OK);
	REQUIRE(gm_hnsw_create(lab.mem, THREAD_DIM, GM_METRIC_L2, GM_CODE_INT8, 8, 50, NULL,
						   &lab.hnsw) == GM_OK);
	for (uint32_t i = 0; i < LASTING + 300; i++)
		lab_link(lab_add(run.v + i * THREAD_DIM, i));
	publish_view();
	for (uint32_t i = 0; i < READERS; i++)
		(void) pthread_create(&thread[i], NULL, search_all_the_time, (void *) (uintptr_t) i);
	for (int i = 0; i < rounds && (wait || run.wrong == 0); i++)
	{
		one_round();
		run.rounds++;
		if (wait)
			lab_sound("while readers search");
	}
	run.stop = true;
	for (uint32_t i = 0; i < READERS; i++)
		(void) pthread_join(thread[i], NULL);
	printf("# %" PRIu64 " searches, %" PRIu64 " wrong, %" PRIu64 " missed\n", run.searches,
		   run.wrong, run.missed);
	lab_close();
	pool_free(&run.pool);
	free((void *) run.v);
}

static void
test_readers(void)
{
	run_readers(true, 12);
	CHECK(run.searches > 100);
	CHECK(run.wrong == 0);
	CHECK(run.missed * 50 <= run.searches);
}

/* nodes made anew under readers are what the test must find */
static void
test_control_reuse_at_once(void)
{
	run_readers(false, ROUNDS);
	CHECK(run.wrong > 0);
}

/*
 * Without threads the thread sanitizer has nothing to say, at 20 times the cost;
 * of the control it would say that it is a race.
 */
#ifdef __SANITIZE_THREAD__
#define UNDER_THREAD_SANITIZER	true
#else
#define UNDER_THREAD_SANITIZER	false
#endif

/* a check of many nodes asks now and then, and stops when told to */
typedef struct Asked
{
	uint32_t	times;
	uint32_t	stop_at;
} Asked;

static bool
ask(void *arg)
{
	Asked	   *asked = arg;

	return ++asked->times == asked->stop_at;
}

static void
test_check_stops(void)
{
	float		v[2] = {1, 0};
	uint32_t	n = 20000;
	Asked		asked = {0, 0};
	const GmInterrupt intr = {ask, &asked, NULL};
	uint32_t	node;
	uint32_t	times;

	if (!lab_open(2, GM_METRIC_L2, GM_CODE_INT8, 4, 10))
		return;
	for (uint32_t i = 0; i < n; i++)
		(void) lab_add(v, i);
	lab_link(0);
	CHECK(gm_hnsw_check(lab.hnsw, &intr, &node) == NULL);
	times = asked.times;
	CHECK(times >= n / 5000);

	/* broken beyond where it stops, and before the end */
	((GmHnswRoot *) gm_hnsw_root(lab.hnsw))->hn_linked++;
	asked = (Asked) {0, 2};
	CHECK(gm_hnsw_check(lab.hnsw, &intr, &node) == NULL);
	CHECK(asked.times == 2);
	asked = (Asked) {0, 0};
	CHECK(gm_hnsw_check(lab.hnsw, &intr, &node) != NULL);
	lab_close();
}

static void
test_nothing(void)
{
	printf("# left out\n");
}

#define ALONE(function)		{#function, UNDER_THREAD_SANITIZER ? test_nothing : function}

UNIT_MAIN(ALONE(test_small), ALONE(test_among_dead), ALONE(test_all_equal),
		  ALONE(test_duplicates), ALONE(test_dimensions), ALONE(test_lives), ALONE(test_accept), ALONE(test_budget), ALONE(test_memory),
		  ALONE(test_check_stops),
		  UNIT(test_first_nodes), UNIT(test_link_threads), UNIT(test_readers),
		  ALONE(test_control_reuse_at_once))
