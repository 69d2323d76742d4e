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
test_build(void)
{
	float	   *v = make_vectors(5100, 40);

	for (int metric = 0; metric < 3; metric++)
		for (int kind = 0; kind < 3; kind++)
		{
			double		recall;

			REQUIRE(lab_open(40, (GmMetric) metric, (GmCodeKind) kind, 16, 100));
			for (uint32_t i = 0; i < 5000; i++)
				lab_link(lab_add(v + i * 40, i));
			recall = lab_recall(v + 5000 * 40, 100, 100, NULL);
			printf("# metric %d, kind %d: recall %.4f\n", metric, kind, recall);
			CHECK(recall > 0.98);
			lab_close();
		}
	free(v);
}

UNIT_MAIN(UNIT(test_build))
