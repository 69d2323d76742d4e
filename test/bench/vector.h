/*-------------------------------------------------------------------------
 *
 * vector.h
 *	  What the programs of bench-vector share: files of vectors, exact answers,
 *	  recall, times.  C and C++.
 *
 * A file of vectors holds int32 rows, int32 dimension, then float32, row by
 * row.  A file of exact answers holds int32 queries, int32 k, and for each query
 * int32 count and as many int32 rows: all that are as near as the k-th nearest,
 * so that count may be larger than k.
 *
 * The programs take commands, one a line, and answer each with a line of
 * name=value, so that several can be asked in turns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_BENCH_VECTOR_H
#define GM_BENCH_VECTOR_H

#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct Rows
{
	int			n;
	int			dim;
	const float *at;
} Rows;

typedef struct Truth
{
	int			queries;
	int			k;
	const int32_t **found;		/* [queries]: count, then rows */
} Truth;

static inline void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "%s: %s\n", what, detail);
	exit(1);
}

static inline void *
must_alloc(size_t bytes)
{
	void	   *p = malloc(bytes);

	if (p == NULL)
		fail("out of memory", "");
	return p;
}

/* mapped, whole */
static inline const char *
read_file(const char *path, size_t *bytes)
{
	int			fd = open(path, O_RDONLY);
	struct stat info;
	void	   *p;

	if (fd < 0 || fstat(fd, &info) != 0)
		fail("could not open", path);
	p = mmap(NULL, (size_t) info.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		fail("could not map", path);
	close(fd);
	*bytes = (size_t) info.st_size;
	return (const char *) p;
}

static inline Rows
read_rows(const char *path)
{
	Rows		rows;
	size_t		bytes;
	const char *p = read_file(path, &bytes);

	memcpy(&rows.n, p, 4);
	memcpy(&rows.dim, p + 4, 4);
	rows.at = (const float *) (p + 8);
	if (bytes != 8 + (size_t) rows.n * rows.dim * sizeof(float))
		fail("not a file of vectors", path);
	return rows;
}

static inline const float *
row_at(const Rows *rows, size_t i)
{
	return rows->at + i * rows->dim;
}

/* of length 1; the caller frees nothing, there are few */
static inline Rows
normalised(Rows rows)
{
	float	   *to = (float *) must_alloc((size_t) rows.n * rows.dim * sizeof(float));

	for (int i = 0; i < rows.n; i++)
	{
		const float *from = row_at(&rows, i);
		double		square = 0;

		for (int d = 0; d < rows.dim; d++)
			square += (double) from[d] * from[d];
		for (int d = 0; d < rows.dim; d++)
			to[(size_t) i * rows.dim + d] = (float) (from[d] / sqrt(square));
	}
	rows.at = to;
	return rows;
}

static inline Truth
read_truth(const char *path)
{
	Truth		truth;
	size_t		bytes;
	const int32_t *p = (const int32_t *) read_file(path, &bytes);
	const int32_t *end = p + bytes / 4;

	truth.queries = *p++;
	truth.k = *p++;
	truth.found = (const int32_t **) must_alloc(truth.queries * sizeof(*truth.found));
	for (int q = 0; q < truth.queries; q++)
	{
		truth.found[q] = p;
		if (p >= end || p + 1 + p[0] > end)
			fail("not a file of exact answers", path);
		p += 1 + p[0];
	}
	return truth;
}

/* found: k rows for each query, -1 where fewer came */
static inline double
recall_of(const Truth *truth, const int64_t *found)
{
	int64_t		hits = 0;

	for (int q = 0; q < truth->queries; q++)
		for (int i = 0; i < truth->k; i++)
			for (int j = 1; j <= truth->found[q][0]; j++)
				hits += truth->found[q][j] == found[(size_t) q * truth->k + i];
	return (double) hits / ((double) truth->queries * truth->k);
}

static inline double
seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static inline double
wall_now(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

static inline double
cpu_now(void)
{
	return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static inline int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* sorts the seconds; microseconds are printed */
static inline void
print_times(double *seconds, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += seconds[i];
	qsort(seconds, n, sizeof(double), compare_doubles);
	printf("n=%d wall=%.3f median=%.3f p99=%.3f longest=%.3f ", n, sum / n * 1e6,
		   seconds[n / 2] * 1e6, seconds[(int) (n * 0.99)] * 1e6, seconds[n - 1] * 1e6);
}

static inline int
next_command(char *line, int room)
{
	printf("\n");
	fflush(stdout);
	if (fgets(line, room, stdin) == NULL)
		return 0;
	line[strcspn(line, "\n")] = '\0';
	return 1;
}

#endif							/* GM_BENCH_VECTOR_H */
