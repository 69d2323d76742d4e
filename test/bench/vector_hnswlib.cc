/*-------------------------------------------------------------------------
 *
 * vector_hnswlib.cc
 *	  hnswlib in process, one thread: the rival of bench-vector.
 *
 *	vector_hnswlib BASE QUERIES TRUTH METRIC M EF_CONSTRUCTION ROWS
 *
 * METRIC is cosine (inner product of normalised vectors) or l2; ROWS says how
 * many rows of BASE are indexed, 0 for all.  Commands:
 *
 *	build 1		cpu, wall: seconds
 *	pass EF		all queries once: recall; cpu, wall, median, p99, longest: us a query
 *
 *-------------------------------------------------------------------------
 */
#include <hnswlib/hnswlib.h>

#include <vector>

#include "vector.h"

typedef hnswlib::HierarchicalNSW<float> Index;

static void
build(Index &index, const Rows &base, int n)
{
	double		wall = wall_now(),
				cpu = cpu_now();

	for (int i = 0; i < n; i++)
		index.addPoint(row_at(&base, i), i);
	printf("cpu=%.3f wall=%.3f ", cpu_now() - cpu, wall_now() - wall);
}

static void
pass(Index &index, const Rows &queries, const Truth &truth, int ef)
{
	std::vector<int64_t> found((size_t) queries.n * truth.k, -1);
	std::vector<double> seconds(queries.n);
	double		cpu = cpu_now();

	index.setEf(ef);
	for (int q = 0; q < queries.n; q++)
	{
		double		begin = wall_now();
		auto		nearest = index.searchKnn(row_at(&queries, q), truth.k);

		for (int64_t *to = &found[(size_t) q * truth.k]; !nearest.empty(); nearest.pop())
			*to++ = (int64_t) nearest.top().second;
		seconds[q] = wall_now() - begin;
	}
	cpu = (cpu_now() - cpu) / queries.n * 1e6;
	printf("recall=%.5f cpu=%.3f ", recall_of(&truth, found.data()), cpu);
	print_times(seconds.data(), queries.n);
}

int
main(int argc, char **argv)
{
	char		line[100];

	if (argc != 8)
		fail("usage", "vector_hnswlib BASE QUERIES TRUTH METRIC M EF_CONSTRUCTION ROWS");
	Rows		base = read_rows(argv[1]);
	Rows		queries = read_rows(argv[2]);
	Truth		truth = read_truth(argv[3]);
	bool		cosine = strcmp(argv[4], "cosine") == 0;
	int			n = atoi(argv[7]) > 0 ? atoi(argv[7]) : base.n;

	if (n > base.n || queries.dim != base.dim || truth.queries != queries.n)
		fail("these do not fit", argv[1]);
	if (cosine)
	{
		base = normalised(base);
		queries = normalised(queries);
	}
	hnswlib::InnerProductSpace ip(base.dim);
	hnswlib::L2Space l2(base.dim);
	hnswlib::SpaceInterface<float> *space = &ip;
	if (!cosine)
		space = &l2;
	Index		index(space, n, atoi(argv[5]), atoi(argv[6]));

	printf("ready=1 ");
	while (next_command(line, sizeof(line)))
	{
		int			ef;

		if (strcmp(line, "build 1") == 0)
			build(index, base, n);
		else if (sscanf(line, "pass %d", &ef) == 1)
			pass(index, queries, truth, ef);
		else
			fail("unknown command", line);
	}
	return 0;
}
