/*-------------------------------------------------------------------------
 *
 * vector_truth.c
 *	  The exact nearest rows of every query, for measuring recall.
 *
 *	vector_truth BASE QUERIES METRIC K ROWS OUT
 *
 * METRIC is cosine or l2; ROWS says how many rows of BASE count, 0 for all.
 * Rows are looked for in float32 and ranked in double precision.  What is as
 * near as the k-th one, but for float32's rounding, is an exact answer too.
 *
 *-------------------------------------------------------------------------
 */
#include "vector.h"

#define KEPT	64				/* found in float32, for ranking */
#define BLOCK	64				/* rows that stay in the cache while all queries pass */

typedef struct Kept
{
	int			n;
	float		distance[KEPT];
	int32_t		row[KEPT];
} Kept;

typedef struct Ranked
{
	double		distance;
	int32_t		row;
} Ranked;

static void
dot4(const float *q, const float *rows, int dim, float out[4])
{
	float		a = 0,
				b = 0,
				c = 0,
				d = 0;

	for (int i = 0; i < dim; i++)
	{
		a += q[i] * rows[i];
		b += q[i] * rows[dim + i];
		c += q[i] * rows[2 * dim + i];
		d += q[i] * rows[3 * dim + i];
	}
	out[0] = a;
	out[1] = b;
	out[2] = c;
	out[3] = d;
}

static double
dot(const float *a, const float *b, int dim)
{
	double		sum = 0;

	for (int i = 0; i < dim; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

static double
distance(const float *a, const float *b, int dim, int cosine)
{
	double		sum = 0;

	if (cosine)
		return 1 - dot(a, b, dim) / sqrt(dot(a, a, dim) * dot(b, b, dim));
	for (int i = 0; i < dim; i++)
		sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
	return sum;
}

static void
keep(Kept *kept, float far, int32_t row)
{
	int			i;

	if (kept->n == KEPT && far >= kept->distance[KEPT - 1])
		return;
	i = kept->n < KEPT ? kept->n++ : KEPT - 1;
	for (; i > 0 && kept->distance[i - 1] > far; i--)
	{
		kept->distance[i] = kept->distance[i - 1];
		kept->row[i] = kept->row[i - 1];
	}
	kept->distance[i] = far;
	kept->row[i] = row;
}

static int
compare_ranked(const void *a, const void *b)
{
	double		x = ((const Ranked *) a)->distance;
	double		y = ((const Ranked *) b)->distance;

	return (x > y) - (x < y);
}

/* rows in blocks against all queries; under cosine both are normalised */
static void
scan(const Rows *base, const Rows *queries, int n, const float *square, Kept *kept)
{
	for (int from = 0; from < n; from += BLOCK)
		for (int q = 0; q < queries->n; q++)
			for (int row = from; row < from + BLOCK && row < n; row += 4)
			{
				float		out[4];
				int			many = n - row < 4 ? n - row : 4;

				if (many == 4)
					dot4(row_at(queries, q), row_at(base, row), base->dim, out);
				else
					for (int i = 0; i < many; i++)
						out[i] = (float) dot(row_at(queries, q), row_at(base, row + i), base->dim);
				for (int i = 0; i < many; i++)
					keep(&kept[q], square[row + i] - 2 * out[i], row + i);
			}
}

int
main(int argc, char **argv)
{
	Rows		given,
				asked,
				base,
				queries;
	int			cosine,
				k,
				n;
	float	   *square;
	Kept	   *kept;
	FILE	   *out;

	if (argc != 7)
		fail("usage", "vector_truth BASE QUERIES METRIC K ROWS OUT");
	given = read_rows(argv[1]);
	asked = read_rows(argv[2]);
	cosine = strcmp(argv[3], "cosine") == 0;
	k = atoi(argv[4]);
	n = atoi(argv[5]) > 0 ? atoi(argv[5]) : given.n;
	if (n > given.n || asked.dim != given.dim || k < 1 || k > KEPT || k > n)
		fail("these do not fit", argv[1]);
	base = cosine ? normalised(given) : given;
	queries = cosine ? normalised(asked) : asked;
	square = (float *) must_alloc(n * sizeof(float));
	for (int i = 0; i < n; i++)
		square[i] = (float) dot(row_at(&base, i), row_at(&base, i), base.dim);
	kept = (Kept *) must_alloc(queries.n * sizeof(Kept));
	for (int q = 0; q < queries.n; q++)
		kept[q].n = 0;
	scan(&base, &queries, n, square, kept);

	out = fopen(argv[6], "wb");
	if (out == NULL)
		fail("could not write", argv[6]);
	fwrite(&queries.n, 4, 1, out);
	fwrite(&k, 4, 1, out);
	for (int q = 0; q < queries.n; q++)
	{
		Ranked		ranked[KEPT];
		int32_t		count = 0;
		double		most;

		for (int i = 0; i < kept[q].n; i++)
			ranked[i] = (Ranked) {distance(row_at(&asked, q), row_at(&given, kept[q].row[i]), given.dim, cosine),
				kept[q].row[i]};
		qsort(ranked, kept[q].n, sizeof(Ranked), compare_ranked);
		most = ranked[k - 1].distance;
		most += cosine ? 1e-6 : most * 1e-5;
		while (count < kept[q].n && ranked[count].distance <= most)
			count++;
		fwrite(&count, 4, 1, out);
		for (int i = 0; i < count; i++)
			fwrite(&ranked[i].row, 4, 1, out);
	}
	if (fclose(out) != 0)
		fail("could not write", argv[6]);
	return 0;
}
