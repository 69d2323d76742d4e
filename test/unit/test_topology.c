/*-------------------------------------------------------------------------
 *
 * test_topology.c
 *	  Embeddings against dense computations in double on small graphs, and what
 *	  must hold on any graph.
 *
 * What must hold
 *	 product	equal to the sum over a table of all pairs, at every width, for
 *				every kind of coefficient, in float and bf16
 *	 spectral	known eigenvalues of path, cycle, complete graph, cliques; the
 *				columns orthonormal; eigenvectors of the matrix
 *	 walk		with all columns: singular vectors and values of NetMF's matrix
 *	 prone		equal to its two steps written down as published
 *	 fastrp, smooth	equal to their definitions
 *	 all		the same bit for bit for every team; nodes renumbered, their keys
 *				kept: rows renumbered; other seed, other vectors; no NaN; stops
 *				when told to; writes into its work memory only
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include "teams.h"
#include "unit.h"

#include "compute/kernels.h"
#include "compute/topology.h"

#include <lapacke.h>

#define N_METHODS	5

static const GmTopologyMethod all_methods[N_METHODS] = {
	GM_TOPOLOGY_SPECTRAL, GM_TOPOLOGY_WALK, GM_TOPOLOGY_PRONE, GM_TOPOLOGY_FASTRP,
	GM_TOPOLOGY_SMOOTH
};

/* ---- graphs ---- */

typedef struct Graph
{
	uint32_t	n;
	uint64_t	count;
	uint64_t	room;
	uint32_t   *from;
	uint32_t   *to;
	float	   *weight;
} Graph;

static Graph
graph_create(uint32_t n)
{
	Graph		g = {.n = n, .room = 64};

	g.from = malloc(g.room * sizeof(uint32_t));
	g.to = malloc(g.room * sizeof(uint32_t));
	g.weight = malloc(g.room * sizeof(float));
	return g;
}

static void
graph_add(Graph *g, uint32_t from, uint32_t to, float weight)
{
	if (g->count == g->room)
	{
		g->room *= 2;
		g->from = realloc(g->from, g->room * sizeof(uint32_t));
		g->to = realloc(g->to, g->room * sizeof(uint32_t));
		g->weight = realloc(g->weight, g->room * sizeof(float));
	}
	g->from[g->count] = from;
	g->to[g->count] = to;
	g->weight[g->count++] = weight;
}

static void
graph_free(Graph *g)
{
	free(g->from);
	free(g->to);
	free(g->weight);
}

static Graph
path_graph(uint32_t n)
{
	Graph		g = graph_create(n);

	for (uint32_t i = 0; i + 1 < n; i++)
		graph_add(&g, i, i + 1, 1);
	return g;
}

static Graph
cycle_graph(uint32_t n)
{
	Graph		g = path_graph(n);

	graph_add(&g, n - 1, 0, 1);
	return g;
}

static Graph
cliques_graph(uint32_t cliques, uint32_t size)
{
	Graph		g = graph_create(cliques * size);

	for (uint32_t c = 0; c < cliques; c++)
		for (uint32_t i = 0; i < size; i++)
			for (uint32_t j = i + 1; j < size; j++)
				graph_add(&g, c * size + i, c * size + j, 1);
	return g;
}

/* parts more densely linked within; every 50th node alone, some self-loops */
static Graph
parts_graph(uint32_t n, uint32_t parts, uint32_t edges)
{
	Graph		g = graph_create(n);

	for (uint32_t e = 0; e < edges; e++)
	{
		uint32_t	i = unit_random_below(n);
		uint32_t	j = unit_random_below(4) == 0 ? unit_random_below(n) :
			i - i % parts + unit_random_below(parts);

		j = j % parts == i % parts || unit_random_below(3) == 0 ? j : j - j % parts + i % parts;
		if (j < n && i % 50 != 49 && j % 50 != 49)
			graph_add(&g, i, j, (float) (0.3 + 0.7 * unit_random_double()));
	}
	return g;
}

/* ---- one embedding ---- */

typedef struct Run
{
	Team		team;
	GmCsr		csr;
	GmOffset	given;
	GmOffset	work;
	size_t		work_bytes;
	GmOffset	out;
	GmTopologyReport report;
	GmStatus	status;
	float	   *x;				/* n x dim */
} Run;

typedef struct Where
{
	TeamKind	kind;
	int			members;
	const GmInterrupt *intr;
	GmCsrOpts	csr;
	const uint64_t *keys;
	const float *given;
} Where;

static const Where alone = {TEAM_SINGLE, 1};

#define FENCE_BYTES	4096

/* given vectors for smooth, unless there are */
static void
give_vectors(float *x, const Graph *g, const Where *where, uint32_t dim)
{
	for (uint32_t i = 0; i < g->n; i++)
		for (uint32_t j = 0; j < dim; j++)
		{
			uint64_t	key = where->keys ? where->keys[i] : i;

			x[(size_t) i * dim + j] = where->given ? where->given[(size_t) i * dim + j] :
				key % 3 == 0 ? 0 : (float) sin((double) (key * 7 + j * 13));
		}
}

static void
run_begin(Run *r, const Graph *g, const GmTopologyOpts *opts, const Where *where)
{
	size_t		csr_bytes = gm_csr_bytes(&where->csr, g->n, g->count);
	size_t		key_bytes = ((size_t) g->n * sizeof(uint64_t) + 63) & ~(size_t) 63;
	size_t		given_bytes = ((size_t) g->n * opts->dim * sizeof(float) + 63) & ~(size_t) 63;
	GmOffset	at = 64 + csr_bytes;

	memset(r, 0, sizeof(*r));
	r->work_bytes = gm_topology_bytes(opts, g->n, 2 * g->count);
	team_open(&r->team, where->kind, where->members,
			  at + key_bytes + given_bytes + r->work_bytes + 2 * FENCE_BYTES, where->intr);
	r->status = gm_csr_from_arcs(&r->team.team, 64, &where->csr, g->n, g->count, g->from,
								 g->to, g->weight, &r->csr);
	if (where->keys != NULL)
	{
		memcpy(r->team.team.base + at, where->keys, g->n * sizeof(uint64_t));
		r->csr.keys = at;
	}
	at += key_bytes;
	r->given = at;
	give_vectors((float *) (r->team.team.base + at), g, where, opts->dim);
	at += given_bytes;
	memset(r->team.team.base + at, 0x5a, FENCE_BYTES);
	r->work = at + FENCE_BYTES;
	/* what is read without having been written becomes NaN */
	memset(r->team.team.base + r->work, 0xff, r->work_bytes);
	memset(r->team.team.base + r->work + r->work_bytes, 0x5a, FENCE_BYTES);
}

static bool
fences_stand(const Run *r)
{
	const char *before = r->team.team.base + r->work - FENCE_BYTES;
	const char *after = r->team.team.base + r->work + r->work_bytes;

	for (int i = 0; i < FENCE_BYTES; i++)
		if (before[i] != 0x5a || after[i] != 0x5a)
			return false;
	return true;
}

static void
run_go(Run *r, const GmTopologyOpts *opts)
{
	if (r->status == GM_OK)
		r->status = gm_topology_embed(&r->team.team, &r->csr, opts, r->given, r->work,
									  r->work_bytes, &r->out, &r->report);
	r->x = (float *) (r->team.team.base + r->out);
	CHECK(fences_stand(r));
}

static void
run_all(Run *r, const Graph *g, const GmTopologyOpts *opts, const Where *where)
{
	run_begin(r, g, opts, where);
	run_go(r, opts);
}

static void
run_end(Run *r)
{
	team_close(&r->team);
}

static bool
all_finite(const float *x, size_t cells)
{
	for (size_t i = 0; i < cells; i++)
		if (!isfinite(x[i]))
			return false;
	return true;
}

/* ---- dense matrices of double ---- */

static double *
dense(uint32_t rows, uint32_t columns)
{
	return calloc((size_t) rows * columns + 1, sizeof(double));
}

static double *
adjacency(const Graph *g, const GmCsrOpts *opts)
{
	double	   *a = dense(g->n, g->n);

	for (uint64_t e = 0; e < g->count; e++)
		for (int turn = 0; turn < (opts->directed ? 1 : 2); turn++)
		{
			uint32_t	i = turn == 0 ? g->from[e] : g->to[e];
			uint32_t	j = turn == 0 ? g->to[e] : g->from[e];

			a[(size_t) i * g->n + j] =
				fmax(a[(size_t) i * g->n + j], opts->weighted ? g->weight[e] : 1);
		}
	return a;
}

static double *
row_sums(const double *a, uint32_t n)
{
	double	   *d = dense(n, 1);

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			d[i] += a[(size_t) i * n + j];
	return d;
}

static void
multiply(double *out, const double *a, const double *b, uint32_t rows, uint32_t inner,
		 uint32_t columns)
{
	for (uint32_t i = 0; i < rows; i++)
		for (uint32_t j = 0; j < columns; j++)
		{
			double		sum = 0;

			for (uint32_t k = 0; k < inner; k++)
				sum += a[(size_t) i * inner + k] * b[(size_t) k * columns + j];
			out[(size_t) i * columns + j] = sum;
		}
}

/* U S^1/2 of a, rows x columns, to the first columns of a; s may be NULL */
static void
dense_svd(double *a, uint32_t rows, uint32_t columns, double *s)
{
	double	   *values = dense(columns, 1);
	double	   *vt = dense(columns, columns);
	double	   *u = dense(rows, columns);
	double	   *superb = dense(columns, 1);

	CHECK(LAPACKE_dgesvd(LAPACK_ROW_MAJOR, 'S', 'N', (int) rows, (int) columns, a,
						 (int) columns, values, u, (int) columns, vt, (int) columns,
						 superb) == 0);
	for (uint32_t i = 0; i < rows; i++)
		for (uint32_t j = 0; j < columns; j++)
			a[(size_t) i * columns + j] = u[(size_t) i * columns + j] * sqrt(values[j]);
	if (s != NULL)
		memcpy(s, values, columns * sizeof(double));
	free(values);
	free(vt);
	free(u);
	free(superb);
}

static void
rows_to_length_one(double *a, uint32_t rows, uint32_t columns)
{
	for (uint32_t i = 0; i < rows; i++)
	{
		double		square = 0;

		for (uint32_t j = 0; j < columns; j++)
			square += a[(size_t) i * columns + j] * a[(size_t) i * columns + j];
		for (uint32_t j = 0; j < columns && square > 1e-40; j++)
			a[(size_t) i * columns + j] /= sqrt(square);
	}
}

/* the angles and lengths of rows, which signs and rotations leave */
static double
largest_difference_of_products(const float *x, const double *y, uint32_t n, uint32_t dim)
{
	double		largest = 0;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j <= i; j++)
		{
			double		a = 0;
			double		b = 0;

			for (uint32_t k = 0; k < dim; k++)
			{
				a += (double) x[(size_t) i * dim + k] * x[(size_t) j * dim + k];
				b += y[(size_t) i * dim + k] * y[(size_t) j * dim + k];
			}
			largest = fmax(largest, fabs(a - b));
		}
	return largest;
}

/* ---- the product ---- */

static double
coefficient(const GmProductArgs *a, double w, const float *row, const float *col,
			uint32_t i, uint32_t j)
{
	return a->coef == GM_COEF_LOG ? log(w) + row[i] + col[j] : w * row[i] * col[j];
}

static float
cell_at(const void *x, size_t i, bool bf16)
{
	union
	{
		uint32_t	u;
		float		f;
	}			v;

	if (!bf16)
		return ((const float *) x)[i];
	v.u = (uint32_t) ((const uint16_t *) x)[i] << 16;
	return v.f;
}

static void
check_product(uint32_t stride, bool bf16, GmCoef coef, bool weighted)
{
	Graph		g = parts_graph(300, 10, 3000);
	Where		where = {TEAM_SINGLE, 1, NULL, {.weighted = weighted}};
	GmTopologyOpts opts;
	Run			r;
	GmProductArgs a = {
		.stride = stride, .sum_stride = stride + 16, .coef = coef,
		.cells = bf16 ? GM_CELLS_BF16 : GM_CELLS_FLOAT, .take_log = weighted,
		.a = 0.7f, .b = 0.25f, .b_row = 0.5f, .c = -1, .d = 3
	};
	size_t		cell = bf16 ? 2 : 4;
	double		tolerance = bf16 ? 0.01 : 1e-5;
	double	   *table;
	float	   *row;
	float	   *col;
	float	   *sum;

	gm_topology_defaults(&opts, GM_TOPOLOGY_FASTRP);
	opts.dim = 512;
	run_begin(&r, &g, &opts, &where);
	table = adjacency(&g, &where.csr);
	a.csr = r.csr;
	a.row = r.work;
	a.col = a.row + 2048;
	a.x = a.col + 2048;
	a.y = a.x + g.n * stride * cell;
	a.out = a.y + g.n * stride * cell;
	a.sum = a.out + g.n * stride * cell;
	row = (float *) (r.team.team.base + a.row);
	col = (float *) (r.team.team.base + a.col);
	sum = (float *) (r.team.team.base + a.sum);
	for (uint32_t i = 0; i < g.n; i++)
	{
		row[i] = (float) unit_random_double();
		col[i] = (float) unit_random_double();
		for (uint32_t j = 0; j < stride; j++)
			for (int which = 0; which < 2; which++)
			{
				float		v = (float) (unit_random_double() - 0.5);
				char	   *at = r.team.team.base + (which ? a.y : a.x);

				if (bf16)
					((uint16_t *) at)[(size_t) i * stride + j] = gm_to_bf16(v);
				else
					((float *) at)[(size_t) i * stride + j] = v;
			}
		for (uint32_t j = 0; j < stride + 16; j++)
			sum[(size_t) i * (stride + 16) + j] = 0.5f;
	}
	REQUIRE(r.team.team.run(&r.team.team, GM_KERNEL_PRODUCT, &a, sizeof(a),
							gm_blocks(g.n, GM_BLOCK_ROWS)) == GM_OK);
	for (uint32_t i = 0; i < g.n; i++)
		for (uint32_t j = 0; j < stride; j++)
		{
			const char *base = r.team.team.base;
			size_t		at = (size_t) i * stride + j;
			double		want = 0;
			double		magnitude = 1;
			double		total;

			for (uint32_t k = 0; k < g.n; k++)
			{
				double		w = table[(size_t) i * g.n + k];
				double		term;

				if (w == 0)
					continue;
				term = coefficient(&a, w, row, col, i, k) *
					cell_at(base + a.x, (size_t) k * stride + j, bf16);
				want += term;
				magnitude += fabs(term);
			}
			want = a.a * want + (a.b + a.b_row * row[i]) * cell_at(base + a.x, at, bf16) +
				a.c * cell_at(base + a.y, at, bf16);
			total = 0.5 + 3 * want;
			if (a.take_log)
				total = log(fmax(1, total));
			if (!CHECK_NEAR(cell_at(base + a.out, at, bf16), want, tolerance * magnitude) ||
				!CHECK_NEAR(sum[(size_t) i * (stride + 16) + j], total, 1e-4 * magnitude))
			{
				printf("# stride %u bf16 %d coef %d weighted %d row %u column %u\n", stride,
					   bf16, coef, weighted, i, j);
				goto done;
			}
		}
	/* columns beyond are another's */
	for (uint32_t i = 0; i < g.n; i++)
		for (uint32_t j = stride; j < stride + 16; j++)
			CHECK(sum[(size_t) i * (stride + 16) + j] == 0.5f);
done:
	free(table);
	run_end(&r);
	graph_free(&g);
}

static void
test_product(void)
{
	for (uint32_t stride = 16; stride <= 272; stride += 16)
		for (int kind = 0; kind < 8; kind++)
			check_product(stride, kind & 1, kind & 2 ? GM_COEF_LOG : GM_COEF_PRODUCT, kind & 4);
}

/* ---- spectral ---- */

/* eigenvalues of the columns, after a check that they are eigenvectors */
static void
check_eigenvectors(const Graph *g, uint32_t dim, uint32_t iterations, const double *want,
				   uint32_t wanted, double tolerance)
{
	GmTopologyOpts opts;
	Run			r;
	double	   *a = adjacency(g, &alone.csr);
	double	   *d = row_sums(a, g->n);

	gm_topology_defaults(&opts, GM_TOPOLOGY_SPECTRAL);
	opts.dim = dim;
	opts.normalize = false;
	opts.iterations = iterations;
	opts.tolerance = 0;
	opts.regularization = 0;
	opts.value_exponent = 0;
	run_all(&r, g, &opts, &alone);
	REQUIRE(r.status == GM_OK);
	for (uint32_t j = 0; j < wanted; j++)
	{
		double		residual = 0;
		double		peak = 0;
		double		top = 0;

		for (uint32_t i = 0; i < g->n; i++)
		{
			double		sum = -want[j] * r.x[(size_t) i * dim + j];

			for (uint32_t k = 0; k < g->n; k++)
				if (a[(size_t) i * g->n + k] != 0)
					sum += a[(size_t) i * g->n + k] / sqrt(d[i] * d[k]) * r.x[(size_t) k * dim + j];
			residual += sum * sum;
			peak = fmax(peak, fabsf(r.x[(size_t) i * dim + j]));
			top = fmax(top, r.x[(size_t) i * dim + j]);
		}
		CHECK_NEAR(sqrt(residual), 0, tolerance);
		CHECK(top >= 0.999 * peak);
		for (uint32_t k = 0; k <= j; k++)
		{
			double		dot = 0;

			for (uint32_t i = 0; i < g->n; i++)
				dot += (double) r.x[(size_t) i * dim + j] * r.x[(size_t) i * dim + k];
			CHECK_NEAR(dot, j == k, 1e-5);
		}
	}
	free(a);
	free(d);
	run_end(&r);
}

static void
test_known_spectra(void)
{
	double		want[40];
	double		pi = acos(-1);
	Graph		g = path_graph(30);

	for (int j = 0; j < 30; j++)
		want[j] = cos(pi * j / 29);
	check_eigenvectors(&g, 30, 3, want, 30, 1e-5);
	graph_free(&g);

	g = cycle_graph(30);
	for (int j = 0; j < 30; j++)
		want[j] = cos(2 * pi * ((j + 1) / 2) / 30);
	check_eigenvectors(&g, 30, 3, want, 30, 1e-5);
	graph_free(&g);

	g = cliques_graph(1, 25);
	for (int j = 0; j < 25; j++)
		want[j] = j == 0 ? 1 : -1.0 / 24;
	check_eigenvectors(&g, 25, 3, want, 25, 1e-5);
	graph_free(&g);

	g = cliques_graph(2, 20);
	for (int j = 0; j < 40; j++)
		want[j] = j < 2 ? 1 : -1.0 / 19;
	check_eigenvectors(&g, 40, 3, want, 40, 1e-5);
	graph_free(&g);

	/* more nodes than columns: by filtering */
	g = cliques_graph(12, 40);
	for (int j = 0; j < 12; j++)
		want[j] = 1;
	check_eigenvectors(&g, 12, 5, want, 12, 1e-4);
	graph_free(&g);
	g = cycle_graph(200);
	for (int j = 0; j < 16; j++)
		want[j] = cos(2 * pi * ((j + 1) / 2) / 200);
	check_eigenvectors(&g, 15, 3, want, 15, 2e-3);
	graph_free(&g);
}

/* the sine of the largest angle between our columns and LAPACK's */
static void
test_spectral_subspace(void)
{
	Graph		g = parts_graph(500, 25, 5000);
	uint32_t	n = g.n;
	uint32_t	dim = 15;
	GmTopologyOpts opts;
	Run			r;
	double	   *a = adjacency(&g, &alone.csr);
	double	   *d = row_sums(a, n);
	double	   *values = dense(n, 1);
	double		missing = 0;
	double		share = 0;

	gm_topology_defaults(&opts, GM_TOPOLOGY_SPECTRAL);
	opts.dim = dim;
	opts.normalize = false;
	opts.iterations = 30;
	opts.tolerance = 0;
	opts.value_exponent = 0;
	run_all(&r, &g, &opts, &alone);
	REQUIRE(r.status == GM_OK);
	for (uint32_t i = 0; i < n; i++)
		share += 0.05 * d[i] / n;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			a[(size_t) i * n + j] /= sqrt((d[i] + share) * (d[j] + share));
	REQUIRE(LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'U', (int) n, a, (int) n, values) == 0);
	for (uint32_t j = 0; j < dim; j++)
	{
		double		inside = 0;

		for (uint32_t k = 0; k < dim; k++)
		{
			double		dot = 0;

			for (uint32_t i = 0; i < n; i++)
				dot += a[(size_t) i * n + n - 1 - j] * r.x[(size_t) i * dim + k];
			inside += dot * dot;
		}
		missing = fmax(missing, 1 - inside);
	}
	CHECK_NEAR(sqrt(fmax(missing, 0)), 0, 1e-2);
	free(a);
	free(d);
	free(values);
	run_end(&r);
	graph_free(&g);
}

/* more rows than one partial sum has */
static void
test_orthonormal_over_strips(void)
{
	Graph		g = parts_graph(9000, 100, 50000);
	GmTopologyOpts opts;
	uint32_t	dim = 20;
	Run			r;

	gm_topology_defaults(&opts, GM_TOPOLOGY_SPECTRAL);
	opts.dim = dim;
	opts.normalize = false;
	opts.value_exponent = 0;
	run_all(&r, &g, &opts, &alone);
	REQUIRE(r.status == GM_OK);
	for (uint32_t j = 0; j < dim; j++)
		for (uint32_t k = 0; k <= j; k++)
		{
			double		dot = 0;

			for (uint32_t i = 0; i < g.n; i++)
				dot += (double) r.x[i * dim + j] * r.x[i * dim + k];
			CHECK_NEAR(dot, j == k, 1e-5);
		}
	run_end(&r);
	graph_free(&g);
}

/* a path's even eigenvectors have a peak of either sign at its ends */
static void
test_signs_by_key(void)
{
	uint32_t	n = 31;
	uint32_t	dim = 10;
	Graph		g = path_graph(n);
	uint64_t	keys[31];
	GmTopologyOpts opts;

	gm_topology_defaults(&opts, GM_TOPOLOGY_SPECTRAL);
	opts.dim = dim;
	opts.normalize = false;
	for (int backwards = 0; backwards < 2; backwards++)
	{
		Where		where = alone;
		Run			r;

		for (uint32_t i = 0; i < n; i++)
			keys[i] = 1000 + (backwards ? n - 1 - i : i);
		where.keys = keys;
		run_all(&r, &g, &opts, &where);
		REQUIRE(r.status == GM_OK);
		for (uint32_t j = 1; j < dim; j += 2)
		{
			uint32_t	first = 0;
			float		peak = 0;

			for (uint32_t i = 0; i < n; i++)
				peak = fmaxf(peak, fabsf(r.x[i * dim + j]));
			for (uint32_t i = 0; i < n; i++)
			{
				uint32_t	by_key = backwards ? n - 1 - i : i;

				if (fabsf(r.x[by_key * dim + j]) >= 0.999f * peak)
				{
					first = by_key;
					break;
				}
			}
			CHECK(r.x[first * dim + j] > 0);
		}
		run_end(&r);
	}
	graph_free(&g);
}

/* ---- walk ---- */

static void
test_walk_is_netmf(void)
{
	for (int run = 0; run < 4; run++)
	{
		uint32_t	n = 150;
		uint32_t	dim = run % 2 ? 16 : 150;
		uint32_t	window = run == 3 ? 1 : 5;
		Graph		g = parts_graph(n, 15, 1200);
		Where		where = {TEAM_SINGLE, 1, NULL, {.weighted = run >= 2}};
		GmTopologyOpts opts;
		Run			r;
		double	   *a = adjacency(&g, &where.csr);
		double	   *d = row_sums(a, n);
		double	   *m = dense(n, n);
		double	   *p = dense(n, n);
		double	   *q = dense(n, n);
		double	   *s = dense(n, 1);
		double		volume = 0;

		gm_topology_defaults(&opts, GM_TOPOLOGY_WALK);
		opts.dim = dim;
		opts.window = window;
		opts.normalize = false;
		run_all(&r, &g, &opts, &where);
		REQUIRE(r.status == GM_OK);
		CHECK(r.report.landmarks == 147);	/* three are alone */
		for (uint32_t i = 0; i < n; i++)
		{
			volume += d[i];
			for (uint32_t j = 0; j < n && d[i] > 0; j++)
				a[(size_t) i * n + j] /= d[i];
			if (d[i] > 0)
				p[(size_t) i * n + i] = 1;
		}
		for (uint32_t step = 0; step < window; step++)
		{
			multiply(q, a, p, n, n, n);
			memcpy(p, q, (size_t) n * n * sizeof(double));
			for (size_t i = 0; i < (size_t) n * n; i++)
				m[i] += p[i];
		}
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t j = 0; j < n; j++)
				m[(size_t) i * n + j] = d[j] > 0 ?
					log(fmax(1, m[(size_t) i * n + j] * volume / window / d[j])) : 0;
		memcpy(p, m, (size_t) n * n * sizeof(double));
		dense_svd(p, n, n, s);
		/* column j: a singular vector, of length s^1/2 */
		for (uint32_t j = 0; j < dim && s[j] > 0.02 * s[0]; j++)
		{
			double		square = 0;
			double		residual = 0;

			for (uint32_t i = 0; i < n; i++)
				square += (double) r.x[(size_t) i * dim + j] * r.x[(size_t) i * dim + j];
			CHECK_NEAR(square, s[j], 0.01 * s[0]);
			memset(q, 0, 2 * n * sizeof(double));
			for (uint32_t i = 0; i < n; i++)
				for (uint32_t k = 0; k < n; k++)
					q[i] += m[(size_t) i * n + k] * r.x[(size_t) k * dim + j];
			for (uint32_t i = 0; i < n; i++)
				for (uint32_t k = 0; k < n; k++)
					q[n + i] += m[(size_t) i * n + k] * q[k];
			for (uint32_t i = 0; i < n; i++)
				residual += pow(q[n + i] - s[j] * s[j] * r.x[(size_t) i * dim + j], 2);
			CHECK_NEAR(sqrt(residual / square), 0, 0.02 * s[0] * s[0]);
		}
		free(a);
		free(d);
		free(m);
		free(p);
		free(q);
		free(s);
		run_end(&r);
		graph_free(&g);
	}
}

/* some columns tell nearly what all do: of what all capture, most */
static void
test_walk_of_few_landmarks(void)
{
	Graph		g = parts_graph(600, 12, 6000);
	GmTopologyOpts opts;
	uint32_t	dim = 32;
	Run			all;
	Run			few;
	double		common = 0;

	gm_topology_defaults(&opts, GM_TOPOLOGY_WALK);
	opts.dim = dim;
	run_all(&all, &g, &opts, &alone);
	opts.landmarks = 200;
	run_all(&few, &g, &opts, &alone);
	REQUIRE(all.status == GM_OK && few.status == GM_OK);
	CHECK(few.report.landmarks == 200 && few.report.products < all.report.products);
	for (uint32_t i = 0; i < g.n; i++)
	{
		uint32_t	j = i < 50 ? i + g.n - 50 : i - 50;
		double		a = 0;
		double		b = 0;

		for (uint32_t k = 0; k < dim; k++)
		{
			a += all.x[(size_t) i * dim + k] * all.x[(size_t) j * dim + k];
			b += few.x[(size_t) i * dim + k] * few.x[(size_t) j * dim + k];
		}
		common += fabs(a - b) / g.n;
	}
	CHECK(common < 0.12);
	CHECK(common > 0);
	run_end(&all);
	run_end(&few);
	graph_free(&g);
}

/* ---- ProNE ---- */

static void
published_filter(double *x, const double *adj, const double *d, uint32_t n, uint32_t dim,
				 double mu, double theta, uint32_t order)
{
	size_t		cells = (size_t) n * dim;
	double	   *m = dense(n, n);
	double	   *l0 = dense(n, dim);
	double	   *l1 = dense(n, dim);
	double	   *l2 = dense(n, dim);
	double	   *t = dense(n, dim);
	double	   *sum = dense(n, dim);

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			m[(size_t) i * n + j] = (i == j) * (1 - mu) -
				(adj[(size_t) i * n + j] + (i == j)) / (d[i] + 1);
	memcpy(l0, x, cells * sizeof(double));
	multiply(t, m, x, n, n, dim);
	multiply(l1, m, t, n, n, dim);
	for (size_t c = 0; c < cells; c++)
	{
		double		bessel0 = 1.0634833707413236;	/* of 0.5 */
		double		bessel1 = 0.2578943053908963;

		l1[c] = 0.5 * l1[c] - x[c];
		sum[c] = bessel0 * l0[c] - 2 * bessel1 * l1[c];
	}
	for (uint32_t i = 2; i < order; i++)
	{
		double		bessel = 0;
		double		term = 1;

		for (uint32_t k = 1; k <= i; k++)
			term *= theta / 2 / k;
		for (uint32_t k = 0; k < 20; k++)
		{
			bessel += term;
			term *= theta * theta / 4 / (k + 1) / (k + 1 + i);
		}
		multiply(t, m, l1, n, n, dim);
		multiply(l2, m, t, n, n, dim);
		for (size_t c = 0; c < cells; c++)
		{
			l2[c] -= 2 * l1[c] + l0[c];
			sum[c] += (i % 2 == 0 ? 2 : -2) * bessel * l2[c];
			l0[c] = l1[c];
			l1[c] = l2[c];
		}
	}
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			m[(size_t) i * n + j] = adj[(size_t) i * n + j] + (i == j);
	for (size_t c = 0; c < cells; c++)
		sum[c] = x[c] - sum[c];
	multiply(x, m, sum, n, n, dim);
	free(m);
	free(l0);
	free(l1);
	free(l2);
	free(t);
	free(sum);
}

static void
test_prone_as_published(void)
{
	int			near = 0;

	/* singular values that nearly agree, or nearly vanish, make some of them differ more */
	for (int run = 0; run < 10; run++)
	{
		int			weighted = run % 2;
		double		apart;
		uint32_t	n = 48;
		uint32_t	dim = 48;
		Graph		g = parts_graph(n, 8, 300);
		Where		where = {TEAM_SINGLE, 1, NULL, {.weighted = weighted}};
		GmTopologyOpts opts;
		Run			r;
		double	   *a = adjacency(&g, &where.csr);
		double	   *d = row_sums(a, n);
		double	   *f = dense(n, n);
		double	   *noise = dense(n, 1);
		double		total = 0;

		gm_topology_defaults(&opts, GM_TOPOLOGY_PRONE);
		opts.dim = dim;
		opts.value_exponent = 0.5;
		opts.oversampling = 0;
		run_all(&r, &g, &opts, &where);
		REQUIRE(r.status == GM_OK);
		for (uint32_t j = 0; j < n; j++)
		{
			for (uint32_t i = 0; i < n; i++)
				noise[j] += d[i] > 0 ? a[(size_t) i * n + j] / d[i] : 0;
			noise[j] = pow(noise[j], 0.75);
			total += noise[j];
		}
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t j = 0; j < n; j++)
				if (a[(size_t) i * n + j] > 0)
					f[(size_t) i * n + j] = log(a[(size_t) i * n + j] / d[i]) - log(noise[j] / total);
		dense_svd(f, n, n, NULL);
		rows_to_length_one(f, n, n);
		published_filter(f, a, d, n, dim, 0.2, 0.5, 10);
		dense_svd(f, n, n, NULL);
		rows_to_length_one(f, n, n);
		apart = largest_difference_of_products(r.x, f, n, dim);
		CHECK_NEAR(apart, 0, 0.05);
		near += apart < 1e-5;
		free(a);
		free(d);
		free(f);
		free(noise);
		run_end(&r);
		graph_free(&g);
	}
	CHECK(near >= 6);
}

/* ---- FastRP, smoothing ---- */

static void
test_fastrp_as_defined(void)
{
	for (int directed = 0; directed < 2; directed++)
	{
		uint32_t	n = 120;
		uint32_t	dim = 20;
		Graph		g = parts_graph(n, 10, 700);
		Where		where = {TEAM_SINGLE, 1, NULL, {.weighted = true, .directed = directed}};
		GmTopologyOpts opts;
		Run			r;
		double	   *a = adjacency(&g, &where.csr);
		double	   *d = row_sums(a, n);
		double	   *x = dense(n, dim);
		double	   *y = dense(n, dim);
		double	   *sum = dense(n, dim);
		double		volume = 0;
		double		most = 0;
		uint32_t	values[3] = {0};

		gm_topology_defaults(&opts, GM_TOPOLOGY_FASTRP);
		opts.dim = dim;
		opts.normalize = false;
		opts.self_weight = 1;
		opts.powers = 0;
		CHECK(gm_topology_bytes(&opts, n, 1) == 0);
		/* the projection itself, rows of length 1 */
		opts.powers = 1;
		opts.power_weights[0] = 0;
		run_all(&r, &g, &opts, &where);
		REQUIRE(r.status == GM_OK);
		for (uint32_t i = 0; i < n; i++)
			volume += d[i];
		for (uint32_t i = 0; i < n; i++)
		{
			float		largest = 0;

			for (uint32_t j = 0; j < dim; j++)
				largest = fmaxf(largest, fabsf(r.x[i * dim + j]));
			for (uint32_t j = 0; j < dim; j++)
			{
				double		v = r.x[i * dim + j];

				CHECK(v == 0 || fabs(v) == largest);
				values[v == 0 ? 0 : v > 0 ? 1 : 2]++;
				x[i * dim + j] = d[i] == 0 || v == 0 ? 0 :
					(v > 0 ? 1 : -1) * pow(d[i] / volume, -0.628);
				sum[i * dim + j] = r.x[i * dim + j];
			}
		}
		CHECK_NEAR(values[1] / (n * dim * 1.0), 1.0 / 6, 0.03);
		CHECK_NEAR(values[2] / (n * dim * 1.0), 1.0 / 6, 0.03);
		run_end(&r);
		gm_topology_defaults(&opts, GM_TOPOLOGY_FASTRP);
		opts.dim = dim;
		opts.normalize = false;
		opts.self_weight = 1;
		run_all(&r, &g, &opts, &where);
		REQUIRE(r.status == GM_OK);
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t j = 0; j < n; j++)
				a[i * n + j] /= d[i] > 0 ? d[i] : 1;
		for (int power = 0; power < 4; power++)
		{
			multiply(y, a, x, n, n, dim);
			memcpy(x, y, n * dim * sizeof(double));
			rows_to_length_one(y, n, dim);
			for (size_t c = 0; c < n * dim; c++)
				sum[c] += y[c] * opts.power_weights[power];
		}
		for (size_t c = 0; c < n * dim; c++)
			most = fmax(most, fabs(sum[c] - r.x[c]));
		CHECK_NEAR(most, 0, 1e-4);
		free(a);
		free(d);
		free(x);
		free(y);
		free(sum);
		run_end(&r);
		graph_free(&g);
	}
}

static void
test_smooth_as_defined(void)
{
	uint32_t	n = 110;
	uint32_t	dim = 7;
	Graph		g = parts_graph(n, 10, 400);
	Where		where = {TEAM_SINGLE, 1, NULL, {.weighted = true, .directed = true}};
	GmTopologyOpts opts;
	Run			r;
	double	   *a = adjacency(&g, &where.csr);
	double	   *d = row_sums(a, n);
	float	   *given = malloc(n * dim * sizeof(float));
	double	   *x = dense(n, dim);
	double	   *y = dense(n, dim);

	gm_topology_defaults(&opts, GM_TOPOLOGY_SMOOTH);
	opts.dim = dim;
	opts.normalize = false;
	opts.iterations = 4;
	opts.damping = 0.3;
	give_vectors(given, &g, &alone, dim);
	run_all(&r, &g, &opts, &where);
	REQUIRE(r.status == GM_OK);
	for (size_t c = 0; c < n * dim; c++)
		x[c] = given[c];
	for (int step = 0; step < 4; step++)
	{
		multiply(y, a, x, n, n, dim);
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t j = 0; j < dim; j++)
			{
				double		mean = d[i] > 0 ? y[i * dim + j] / d[i] : given[i * dim + j];

				/* nodes with a number that 3 divides were given nothing */
				x[i * dim + j] = d[i] > 0 && i % 3 == 0 ? mean :
					0.3 * mean + 0.7 * given[i * dim + j];
			}
	}
	for (size_t c = 0; c < n * dim; c++)
		CHECK_NEAR(r.x[c], x[c], 1e-5);
	run_end(&r);

	where.given = given;
	given[5] = NAN;
	run_all(&r, &g, &opts, &where);
	CHECK(r.status == GM_BAD_VALUE);
	run_end(&r);
	free(a);
	free(d);
	free(x);
	free(y);
	free(given);
	graph_free(&g);
}

/* ---- what holds for all ---- */

static void
test_same_for_every_team(void)
{
	static const Where teams[] = {
		{TEAM_THREADS, 2}, {TEAM_THREADS, 7}, {TEAM_PROCESSES, 2}, {TEAM_PROCESSES, 3},
		{TEAM_SINGLE, 1}
	};
	Graph		g = parts_graph(5000, 100, 20000);

	for (int m = 0; m < N_METHODS; m++)
		for (uint32_t dim = 20; dim <= 32; dim += 12)
		{
			GmTopologyOpts opts;
			Run			first;

			gm_topology_defaults(&opts, all_methods[m]);
			opts.dim = dim;
			opts.landmarks = 96;
			run_all(&first, &g, &opts, &alone);
			REQUIRE(first.status == GM_OK);
			for (size_t i = 0; i < sizeof(teams) / sizeof(teams[0]); i++)
			{
				Run			r;

				run_all(&r, &g, &opts, &teams[i]);
				CHECK(r.status == GM_OK);
				if (!CHECK(memcmp(r.x, first.x, (size_t) g.n * dim * sizeof(float)) == 0))
					printf("# method %d, team %d of %d\n", m, teams[i].kind, teams[i].members);
				run_end(&r);
			}
			/* all_methods[4] has no chance in it */
			opts.seed = 1;
			if (all_methods[m] != GM_TOPOLOGY_SMOOTH)
			{
				Run			r;

				run_all(&r, &g, &opts, &alone);
				CHECK(memcmp(r.x, first.x, (size_t) g.n * dim * sizeof(float)) != 0);
				run_end(&r);
			}
			run_end(&first);
		}
	graph_free(&g);
}

/* cliques of all sizes: no two eigenvalues of their chain are equal */
static Graph
chain_of_cliques(void)
{
	Graph		g = graph_create(0);
	uint32_t	at = 0;

	for (uint32_t size = 3; size < 15; size++)
	{
		for (uint32_t i = 0; i < size; i++)
			for (uint32_t j = i + 1; j < size; j++)
				graph_add(&g, at + i, at + j, 1);
		if (at > 0)
			graph_add(&g, at - 1, at, 1);
		at += size;
	}
	g.n = at;
	return g;
}

static void
test_numbers_of_nodes_do_not_matter(void)
{
	Graph		g = chain_of_cliques();
	Graph		h = graph_create(g.n);
	uint32_t	n = g.n;
	uint32_t   *new_number = malloc(n * sizeof(uint32_t));
	uint64_t   *keys = malloc(n * sizeof(uint64_t));
	Where		where = alone;

	for (uint32_t i = 0; i < n; i++)
		new_number[i] = i;
	for (uint32_t i = n; i-- > 1;)
	{
		uint32_t	j = unit_random_below(i + 1);
		uint32_t	swap = new_number[i];

		new_number[i] = new_number[j];
		new_number[j] = swap;
	}
	for (uint32_t i = 0; i < n; i++)
		keys[new_number[i]] = i;
	for (uint64_t e = 0; e < g.count; e++)
		graph_add(&h, new_number[g.to[e]], new_number[g.from[e]], 1);
	where.keys = keys;
	for (int m = 0; m < N_METHODS; m++)
	{
		GmTopologyOpts opts;
		uint32_t	dim = 12;		/* a clique that no column shows has rounding for rows */
		Run			a;
		Run			b;
		double		most = 0;

		gm_topology_defaults(&opts, all_methods[m]);
		opts.dim = dim;
		opts.iterations = 20;
		opts.tolerance = 0;
		run_all(&a, &g, &opts, &alone);
		run_all(&b, &h, &opts, &where);
		REQUIRE(a.status == GM_OK && b.status == GM_OK);
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t j = 0; j < dim; j++)
				most = fmax(most, fabs(a.x[i * dim + j] - b.x[new_number[i] * dim + j]));
		if (!CHECK_NEAR(most, 0, m == GM_TOPOLOGY_WALK ? 0.05 : 2e-3))
		{
			printf("# method %d\n", m);
			for (uint32_t j = 0; j < dim; j++)
			{
				double		same = 0;
				double		mirrored = 0;

				for (uint32_t i = 0; i < n; i++)
				{
					same = fmax(same, fabs(a.x[i * dim + j] - b.x[new_number[i] * dim + j]));
					mirrored = fmax(mirrored, fabs(a.x[i * dim + j] + b.x[new_number[i] * dim + j]));
				}
				printf("# column %u: %g apart, mirrored %g\n", j, same, mirrored);
			}
		}
		run_end(&a);
		run_end(&b);
	}
	free(new_number);
	free(keys);
	graph_free(&g);
	graph_free(&h);
}

/* rows that are not of length 1 are FastRP's: each power's are, or 0 */
static double
longest_row(const GmTopologyOpts *opts)
{
	double		sum = fabs(opts->self_weight);

	for (uint32_t i = 0; i < opts->powers; i++)
		sum += fabs(opts->power_weights[i]);
	return sum;
}

static void
check_edge_case(const char *what, const Graph *g, const GmCsrOpts *csr)
{
	static const uint32_t dims[] = {1, 5, 16, 128, 130};
	Where		where = {TEAM_SINGLE, 1, NULL, *csr};

	for (int m = 0; m < N_METHODS; m++)
		for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
		{
			GmTopologyOpts opts;
			uint32_t	dim = dims[d];
			Run			r;
			GmStatus	want;

			gm_topology_defaults(&opts, all_methods[m]);
			opts.dim = dim;
			opts.normalize |= dim == 16;
			want = csr->directed && m < GM_TOPOLOGY_FASTRP ? GM_BAD_VALUE : GM_OK;
			run_all(&r, g, &opts, &where);
			if (!CHECK(r.status == want) ||
				(want == GM_OK && !CHECK(all_finite(r.x, (size_t) g->n * dim))))
				printf("# %s, method %d, dim %u\n", what, m, dim);
			for (uint32_t i = 0; i < g->n && want == GM_OK; i++)
			{
				const uint64_t *offsets = GM_AT(r.team.team.base, r.csr.offsets, uint64_t);
				double		square = 0;

				for (uint32_t j = 0; j < dim; j++)
					square += (double) r.x[i * dim + j] * r.x[i * dim + j];
				if (all_methods[m] != GM_TOPOLOGY_SMOOTH && offsets[i] == offsets[i + 1])
					CHECK(square == 0);
				else if (opts.normalize)
					CHECK(square == 0 || fabs(square - 1) < 1e-5);
				else
					CHECK(sqrt(square) < longest_row(&opts) + 1e-5);
			}
			run_end(&r);
		}
}

static void
test_edge_cases(void)
{
	GmCsrOpts	plain = {0};
	GmCsrOpts	weighted = {.weighted = true, .sum_parallel = true};
	GmCsrOpts	directed = {.directed = true};
	GmCsrOpts	no_loops = {.drop_loops = true};
	Graph		g = graph_create(0);

	check_edge_case("no nodes", &g, &plain);
	g.n = 1;
	check_edge_case("one node", &g, &plain);
	graph_add(&g, 0, 0, 1);
	check_edge_case("one loop", &g, &plain);
	check_edge_case("one loop, dropped", &g, &no_loops);
	g.n = 400;
	check_edge_case("one loop of 400 nodes", &g, &plain);
	graph_add(&g, 3, 399, 1);
	check_edge_case("a loop and an edge", &g, &plain);
	check_edge_case("a directed loop and arc", &g, &directed);
	graph_free(&g);

	g = graph_create(300);
	check_edge_case("no edges", &g, &plain);
	for (uint32_t i = 1; i < 300; i++)
		graph_add(&g, 0, i, i % 3 == 0 ? 0 : i % 3 == 1 ? 3e38f : 1e-38f);
	check_edge_case("a star", &g, &plain);
	check_edge_case("a directed star", &g, &directed);
	check_edge_case("a star of weights 0, huge and tiny", &g, &weighted);
	for (uint32_t i = 1; i < 300; i++)
		graph_add(&g, i, 0, 2);
	check_edge_case("a star twice", &g, &weighted);
	graph_free(&g);

	g = cliques_graph(150, 2);
	check_edge_case("pairs", &g, &plain);
	graph_free(&g);
	g = cycle_graph(300);
	check_edge_case("bipartite", &g, &plain);
	graph_free(&g);
	g = cliques_graph(1, 200);
	check_edge_case("complete", &g, &plain);
	graph_free(&g);
}

/* ---- stopping ---- */

typedef struct Stopper
{
	uint64_t	calls;
	uint64_t	stop_at;		/* 0: never */
} Stopper;

static bool
stop_then(void *arg)
{
	Stopper    *s = arg;

	return ++s->calls == s->stop_at;
}

static void
test_interrupts(void)
{
	Graph		g = parts_graph(3000, 50, 12000);

	for (int m = 0; m < N_METHODS; m++)
	{
		Stopper		stopper = {0, 0};
		GmProgress	progress = {0};
		GmInterrupt intr = {stop_then, &stopper, &progress};
		Where		where = {TEAM_SINGLE, 1, &intr};
		GmTopologyOpts opts;
		Run			r;
		uint64_t	calls;

		gm_topology_defaults(&opts, all_methods[m]);
		opts.dim = 16;
		opts.landmarks = 64;
		run_begin(&r, &g, &opts, &where);
		stopper.calls = 0;
		run_go(&r, &opts);
		calls = stopper.calls;
		CHECK(r.status == GM_OK && calls > 12);
		CHECK(progress.phase == GM_PHASE_ITERATING && progress.total > 0 &&
			  progress.done <= progress.total);
		for (uint64_t at = 1; at <= calls; at += 1 + calls / 40)
		{
			GmOffset	out;

			stopper = (Stopper) {0, at};
			if (!CHECK(gm_topology_embed(&r.team.team, &r.csr, &opts, r.given, r.work,
										 r.work_bytes, &out, NULL) == GM_INTERRUPTED))
				printf("# method %d, call %llu of %llu\n", m, (unsigned long long) at,
					   (unsigned long long) calls);
			CHECK(stopper.calls == at);
		}
		CHECK(fences_stand(&r));
		run_end(&r);
	}
	graph_free(&g);
}

/* one row of half of all arcs: looked at within the row */
static void
test_interrupts_in_a_long_row(void)
{
	uint32_t	n = 400000;
	Graph		g = graph_create(n);
	Stopper		stopper = {0, 0};
	GmInterrupt intr = {stop_then, &stopper, NULL};
	Where		where = {TEAM_SINGLE, 1, &intr};
	GmTopologyOpts opts;
	Run			r;
	uint64_t	blocks = gm_blocks(n, GM_BLOCK_ROWS);
	GmProductArgs args = {.stride = 16, .a = 1};

	for (uint32_t i = 1; i < n; i++)
		graph_add(&g, 0, i, 1);
	gm_topology_defaults(&opts, GM_TOPOLOGY_FASTRP);
	opts.dim = 16;
	run_begin(&r, &g, &opts, &where);
	stopper.calls = 0;
	args.csr = r.csr;
	args.x = r.work;
	args.out = r.work + (GmOffset) n * 64;
	REQUIRE(r.team.team.run(&r.team.team, GM_KERNEL_PRODUCT, &args, sizeof(args),
							(uint32_t) blocks) == GM_OK);
	CHECK(stopper.calls >= blocks + n / GM_INTERRUPT_EVERY - 1);
	run_end(&r);
	graph_free(&g);
}

/* ---- arguments ---- */

static void
test_options_out_of_range(void)
{
	Graph		g = path_graph(20);
	GmTopologyOpts opts;
	Run			r;

#define REFUSED(which, field, value) \
	do { \
		gm_topology_defaults(&opts, which); \
		CHECK(gm_topology_bytes(&opts, 20, 38) > 0); \
		opts.field = value; \
		CHECK(gm_topology_bytes(&opts, 20, 38) == 0); \
		run_all(&r, &g, &opts, &alone); \
		CHECK(r.status == GM_BAD_VALUE); \
		run_end(&r); \
	} while (0)

	REFUSED(GM_TOPOLOGY_SPECTRAL, dim, 0);
	REFUSED(GM_TOPOLOGY_SPECTRAL, dim, GM_TOPOLOGY_MAX_DIM + 1);
	REFUSED(GM_TOPOLOGY_SPECTRAL, oversampling, 129);
	REFUSED(GM_TOPOLOGY_SPECTRAL, iterations, 0);
	REFUSED(GM_TOPOLOGY_SPECTRAL, tolerance, NAN);
	REFUSED(GM_TOPOLOGY_SPECTRAL, method, (GmTopologyMethod) 99);
	REFUSED(GM_TOPOLOGY_SPECTRAL, regularization, -1);
	REFUSED(GM_TOPOLOGY_SPECTRAL, value_exponent, INFINITY);
	REFUSED(GM_TOPOLOGY_WALK, window, 0);
	REFUSED(GM_TOPOLOGY_WALK, window, 101);
	REFUSED(GM_TOPOLOGY_WALK, negative, 0);
	REFUSED(GM_TOPOLOGY_PRONE, order, 1);
	REFUSED(GM_TOPOLOGY_PRONE, order, 33);
	REFUSED(GM_TOPOLOGY_PRONE, mu, INFINITY);
	REFUSED(GM_TOPOLOGY_PRONE, theta, -1);
	REFUSED(GM_TOPOLOGY_PRONE, negative_exponent, NAN);
	REFUSED(GM_TOPOLOGY_PRONE, value_exponent, -0.1);
	REFUSED(GM_TOPOLOGY_FASTRP, powers, GM_TOPOLOGY_MAX_POWERS + 1);
	REFUSED(GM_TOPOLOGY_FASTRP, power_weights[1], NAN);
	REFUSED(GM_TOPOLOGY_FASTRP, degree_exponent, 3);
	REFUSED(GM_TOPOLOGY_SMOOTH, damping, 1.5);
	REFUSED(GM_TOPOLOGY_SMOOTH, iterations, 0);
#undef REFUSED

	/* a byte less than it takes */
	for (int m = 0; m < N_METHODS; m++)
	{
		GmOffset	out;

		gm_topology_defaults(&opts, all_methods[m]);
		run_begin(&r, &g, &opts, &alone);
		CHECK(gm_topology_embed(&r.team.team, &r.csr, &opts, r.given, r.work,
								r.work_bytes - 1, &out, NULL) == GM_NO_MEMORY);
		/* a neighbour that is no node */
		GM_AT(r.team.team.base, r.csr.neighbors, uint32_t)[3] = 20;
		CHECK(gm_topology_embed(&r.team.team, &r.csr, &opts, r.given, r.work,
								r.work_bytes, &out, NULL) == GM_BAD_VALUE);
		run_end(&r);
	}
	graph_free(&g);
}

/* at dim 128: the header's promise, and megabytes */
static void
test_work_memory(void)
{
	for (int m = 0; m < N_METHODS; m++)
		for (uint32_t dim = 96; dim <= 512; dim += 32)
		{
			uint32_t	n = 262144;
			GmTopologyOpts opts;
			size_t		bytes;

			gm_topology_defaults(&opts, all_methods[m]);
			opts.dim = dim;
			bytes = gm_topology_bytes(&opts, n, 16000000);
			CHECK(bytes > (size_t) n * dim * 4);
			CHECK(bytes < (size_t) n * dim * 16 + (size_t) n * 16 + 4 * dim * dim * 16 * 8);
		}
}

/* ---- turning ---- */

static void
test_align(void)
{
	static const Where teams[] = {{TEAM_SINGLE, 1}, {TEAM_PROCESSES, 2}};
	uint32_t	n = 700;

	for (uint32_t run = 0; run < 4; run++)
	{
		uint32_t	dim = run < 2 ? 5 : 32;
		size_t		bytes = ((size_t) n * dim * sizeof(float) + 63) & ~(size_t) 63;
		double	   *q = dense(dim, dim);
		double	   *tau = dense(dim, 1);
		uint32_t   *now = malloc(n * sizeof(uint32_t));
		uint32_t   *before = malloc(n * sizeof(uint32_t));
		uint32_t	pairs = 0;
		Team		t;
		float	   *x;
		float	   *old;

		team_open(&t, teams[run % 2].kind, teams[run % 2].members,
				  64 + 2 * bytes + gm_topology_align_bytes(dim), NULL);
		x = (float *) (t.team.base + 64);
		old = (float *) (t.team.base + 64 + bytes);
		for (uint32_t i = 0; i < dim * dim; i++)
			q[i] = unit_random_double() - 0.5;
		CHECK(LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, (int) dim, (int) dim, q, (int) dim, tau) == 0);
		CHECK(LAPACKE_dorgqr(LAPACK_ROW_MAJOR, (int) dim, (int) dim, (int) dim, q, (int) dim,
							 tau) == 0);
		for (uint32_t i = 0; i < n; i++)
		{
			uint32_t	to = n - 1 - i;

			for (uint32_t j = 0; j < dim; j++)
				old[i * dim + j] = (float) (unit_random_double() - 0.5);
			for (uint32_t j = 0; j < dim; j++)
			{
				double		sum = 0;

				for (uint32_t k = 0; k < dim; k++)
					sum += old[i * dim + k] * q[k * dim + j];
				x[to * dim + j] = (float) sum;
			}
			/* a pair of every second; the others come along */
			if (i % 2 == 0)
			{
				now[pairs] = to;
				before[pairs++] = i;
			}
		}
		CHECK(gm_topology_align(&t.team, 64, n, dim, 64 + bytes, pairs, now, before,
								64 + 2 * bytes) == GM_OK);
		for (uint32_t i = 0; i < n; i++)
			for (uint32_t j = 0; j < dim; j++)
				CHECK_NEAR(x[(n - 1 - i) * dim + j], old[i * dim + j], 1e-5);
		team_close(&t);
		free(q);
		free(tau);
		free(now);
		free(before);
	}
}

UNIT_MAIN(UNIT(test_product), UNIT(test_known_spectra), UNIT(test_spectral_subspace),
		  UNIT(test_orthonormal_over_strips), UNIT(test_signs_by_key),
		  UNIT(test_walk_is_netmf), UNIT(test_walk_of_few_landmarks),
		  UNIT(test_prone_as_published), UNIT(test_fastrp_as_defined),
		  UNIT(test_smooth_as_defined), UNIT(test_same_for_every_team),
		  UNIT(test_numbers_of_nodes_do_not_matter), UNIT(test_edge_cases),
		  UNIT(test_interrupts), UNIT(test_interrupts_in_a_long_row),
		  UNIT(test_options_out_of_range), UNIT(test_work_memory), UNIT(test_align))
