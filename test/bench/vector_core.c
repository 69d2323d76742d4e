/*-------------------------------------------------------------------------
 *
 * vector_core.c
 *	  The core's index in process, without a server: for profiling, and to tell
 *	  what of a call's time is the server's.
 *
 *	vector_core BASE QUERIES TRUTH METRIC M EF_CONSTRUCTION ROWS [int8|f16|none]
 *
 * Arguments are those of vector_hnswlib.cc, which takes the same commands:
 *
 *	build THREADS	cpu, wall: seconds; make, map: of it, seconds of nodes' making
 *					and mapping
 *	pass EF			all queries once: recall; cpu, wall, median, p99, longest: us a
 *					query; distances, compared: of codes, of vectors, a query
 *	exact			the same by comparing every row
 *	bytes			of codes, links, the index, the whole image
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include "core/space_index.h"
#include "vector.h"

#define MOST_THREADS	64
#define BLOCK			32		/* nodes that a thread takes at once */

typedef struct Bench
{
	Rows		queries;
	Truth		truth;
	GmMem	   *mem;
	GmSpace    *space;
	GmIndexer  *indexer;
	GmHnswWork *work;
	GmHnswView	view;			/* for linking */
	GmSpaceNode *nodes;
	uint32_t	n;
	_Atomic uint32_t next;		/* node to link */
} Bench;

static void
ok(GmStatus status)
{
	if (status != GM_OK)
	{
		fprintf(stderr, "core returned status %d\n", status);
		exit(1);
	}
}

static void
begin_version(Bench *b)
{
	ok(gm_mem_begin(b->mem));
	ok(gm_space_begin(b->space));
}

static void
end_version(Bench *b)
{
	gm_mem_commit(b->mem, 1);
	gm_space_end(b->space);
	gm_mem_reclaim(b->mem, UINT64_MAX);
}

static void *
link_nodes(void *arg)
{
	Bench	   *b = arg;
	GmHnsw	   *hnsw;
	GmHnswWork *work = gm_hnsw_work_create();
	uint32_t	from;

	if (work == NULL)
		fail("out of memory", "");
	ok(gm_hnsw_attach(b->mem, &b->view, &hnsw));
	while ((from = atomic_fetch_add(&b->next, BLOCK)) < b->n)
		for (uint32_t i = from; i < from + BLOCK && i < b->n; i++)
			ok(gm_hnsw_link(hnsw, work, b->nodes[i].node));
	gm_hnsw_work_destroy(work);
	gm_hnsw_destroy(hnsw);
	return NULL;
}

static void
build(Bench *b, int threads)
{
	double		wall = wall_now(),
				cpu = cpu_now(),
				made,
				linked;
	uint32_t	from = 0,
				more;
	pthread_t	thread[MOST_THREADS];

	if (b->indexer != NULL)
		fail("there is an index", "build");
	ok(gm_indexer_create(b->space, b->work, NULL, &b->indexer));
	begin_version(b);
	ok(gm_space_begin_index(b->space, b->indexer, NULL));
	end_version(b);
	do
	{
		ok(gm_space_make_nodes(b->space, b->indexer, &from, b->space->root->sp_rows - b->n,
							   b->nodes + b->n, &more));
		b->n += more;
	} while (more > 0 && b->n < b->space->root->sp_rows);
	made = wall_now();
	gm_hnsw_view(b->indexer->hnsw, &b->view);
	atomic_store(&b->next, 0);
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, link_nodes, b) != 0)
			fail("could not start", "a thread");
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	linked = wall_now();
	begin_version(b);
	ok(gm_space_map(b->space, b->indexer, b->nodes, b->n, NULL));
	end_version(b);
	gm_space_mapped(b->indexer, b->nodes, b->n);
	if (gm_space_pending(b->space) != 0)
		fail("rows are pending", "build");
	printf("cpu=%.3f wall=%.3f make=%.3f map=%.3f ", cpu_now() - cpu, wall_now() - wall, made - wall,
		   wall_now() - linked);
}

static void
pass(Bench *b, uint32_t ef, bool exact)
{
	int			n = b->queries.n;
	uint32_t	k = (uint32_t) b->truth.k;
	int64_t    *rows = must_alloc((size_t) n * k * sizeof(int64_t));
	double	   *seconds = must_alloc(n * sizeof(double));
	GmSpaceHit *hits = must_alloc((k + 1) * sizeof(GmSpaceHit));
	GmSpaceWish wish = {.k = k,.ef_search = ef,.exact = exact,.without = GM_NONE};
	uint64_t	distances = 0,
				compared = 0;
	double		cpu = cpu_now();

	memset(rows, 0xff, (size_t) n * k * sizeof(int64_t));
	for (int q = 0; q < n; q++)
	{
		double		begin = wall_now();
		GmSpaceQuery query;
		GmSpaceReport report;
		uint32_t	found;

		ok(gm_space_prepare(b->space, row_at(&b->queries, q), &query));
		ok(gm_space_nearest(b->space, b->work, &query, &wish, NULL, hits, &found, &report));
		for (uint32_t i = 0; i < found; i++)
			rows[(size_t) q * k + i] = gm_space_item_id(b->space, hits[i].row) - 1;
		seconds[q] = wall_now() - begin;
		distances += report.distances;
		compared += report.compared;
	}
	cpu = (cpu_now() - cpu) / n * 1e6;
	printf("recall=%.5f cpu=%.3f distances=%.1f compared=%.1f ", recall_of(&b->truth, rows), cpu,
		   (double) distances / n, (double) compared / n);
	print_times(seconds, n);
	free(rows);
	free(seconds);
	free(hits);
}

static void
print_bytes(Bench *b)
{
	uint64_t	codes = 0,
				links = 0,
				total = 0;

	if (b->indexer != NULL)
		gm_hnsw_bytes(b->indexer->hnsw, &codes, &links, &total);
	printf("codes=%llu links=%llu index=%llu image=%zu ", (unsigned long long) codes,
		   (unsigned long long) links, (unsigned long long) total, b->mem->used);
}

static void
make_space(Bench *b, const Rows *base, uint32_t n, char **argv)
{
	static const char *const kinds[] = {"int8", "f16", "none"};
	GmMetric	metric = strcmp(argv[4], "cosine") == 0 ? GM_METRIC_COSINE : GM_METRIC_L2;
	uint32_t	kind = 0;

	while (argv[8] != NULL && kind < 3 && strcmp(argv[8], kinds[kind]) != 0)
		kind++;
	if (kind == 3)
		fail("unknown kind of codes", argv[8]);
	ok(gm_mem_create((size_t) 64 << 20, 0, NULL, &b->mem));
	ok(gm_space_create(b->mem, (uint32_t) base->dim, metric, &b->space));
	for (uint32_t i = 0; i < n; i++)
		ok(gm_space_add(b->space, i + 1, GM_NONE, row_at(base, i)));
	ok(gm_space_finish(b->space, 0));
	b->space->root->sp_m = (uint16_t) atoi(argv[5]);
	b->space->root->sp_ef_construction = (uint32_t) atoi(argv[6]);
	b->space->root->sp_kind = (uint8_t) kind;
	b->nodes = must_alloc(n * sizeof(GmSpaceNode));
	b->work = gm_hnsw_work_create();
	if (b->work == NULL)
		fail("out of memory", "");
}

int
main(int argc, char **argv)
{
	Bench		b = {0};
	Rows		base;
	char		line[100];
	int			n;

	if (argc != 8 && argc != 9)
		fail("usage", "vector_core BASE QUERIES TRUTH METRIC M EF_CONSTRUCTION ROWS [int8|f16|none]");
	(void) gm_vec_choose(GM_SIMD_AUTO);
	base = read_rows(argv[1]);
	b.queries = read_rows(argv[2]);
	b.truth = read_truth(argv[3]);
	n = atoi(argv[7]) > 0 ? atoi(argv[7]) : base.n;
	if (n > base.n || b.queries.dim != base.dim || b.truth.queries != b.queries.n)
		fail("these do not fit", argv[1]);
	make_space(&b, &base, (uint32_t) n, argv);
	printf("ready=1 ");
	while (next_command(line, sizeof(line)))
	{
		int			number;

		if (sscanf(line, "build %d", &number) == 1 && number >= 1 && number <= MOST_THREADS)
			build(&b, number);
		else if (sscanf(line, "pass %d", &number) == 1)
			pass(&b, (uint32_t) number, false);
		else if (strcmp(line, "exact") == 0)
			pass(&b, 0, true);
		else if (strcmp(line, "bytes") == 0)
			print_bytes(&b);
		else
			fail("unknown command", line);
	}
	return 0;
}
