/*-------------------------------------------------------------------------
 *
 * topology_core.c
 *	  Embeddings in process, without a server: vectors for the scorers, and what
 *	  they cost.
 *
 *	topology_core EDGES METHOD OUT [NAME=VALUE...]
 *
 * EDGES	u<TAB>v[<TAB>weight], nodes from 0 ("-" reads standard input); or a
 *			file of pairs of little-endian uint32, if its name ends in .u32
 * METHOD	spectral, walk, prone, fastrp or smooth (of the .npy given=FILE)
 * OUT		.npy file, float32, a row a node; "-" writes none
 *
 * NAME		dim, seed, normalize, oversampling, iterations, tolerance, window,
 *			regularization, value_exponent, negative, landmarks, order, mu, theta, powers, weights (a,b,...),
 *			self, beta, damping: the fields of GmTopologyOpts; and
 *			members		processes (2)
 *			threads		1: threads in their place
 *			weighted, directed, sum, loops (0 drops them)
 *			repeat		times; the best counts (1)
 *			nodes		at least so many
 *
 * Prints a line: method, nodes, arcs, build and embed in seconds of wall time,
 * cpu of all processes, work memory and its share of 4 x nodes x dim x 4 bytes,
 * the peak of the process without the edge list, products.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include "compute/topology.h"
#include "teams.h"

#include <math.h>
#include <sys/resource.h>
#include <time.h>

typedef struct Edges
{
	uint32_t   *from;
	uint32_t   *to;
	float	   *weight;
	uint64_t	count;
	uint64_t	room;
	uint32_t	n;
} Edges;

static double
seconds(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static double
cpu_seconds(void)
{
	double		sum = 0;

	for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++)
	{
		struct rusage u;

		(void) getrusage(who, &u);
		sum += (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
			1e-6 * (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
	}
	return sum;
}

static void *
need(void *p)
{
	if (p == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return p;
}

static void
ok(GmStatus status, const char *what)
{
	if (status != GM_OK)
	{
		fprintf(stderr, "%s: status %d\n", what, (int) status);
		exit(1);
	}
}

static void
add_edge(Edges *e, uint32_t from, uint32_t to, float weight)
{
	if (e->count == e->room)
	{
		e->room = e->room ? 2 * e->room : 1 << 16;
		e->from = need(realloc(e->from, e->room * sizeof(uint32_t)));
		e->to = need(realloc(e->to, e->room * sizeof(uint32_t)));
		e->weight = need(realloc(e->weight, e->room * sizeof(float)));
	}
	e->from[e->count] = from;
	e->to[e->count] = to;
	e->weight[e->count++] = weight;
	if (from >= e->n)
		e->n = from + 1;
	if (to >= e->n)
		e->n = to + 1;
}

static void
read_edges(Edges *e, const char *path)
{
	size_t		length = strlen(path);
	FILE	   *f = strcmp(path, "-") == 0 ? stdin : need(fopen(path, "r"));
	uint32_t	pair[2];
	char		line[256];

	if (length > 4 && strcmp(path + length - 4, ".u32") == 0)
		while (fread(pair, sizeof(pair), 1, f) == 1)
			add_edge(e, pair[0], pair[1], 1);
	else
		while (fgets(line, sizeof(line), f) != NULL)
		{
			char	   *p = line;
			uint32_t	from = (uint32_t) strtoul(p, &p, 10);
			uint32_t	to = (uint32_t) strtoul(p, &p, 10);
			char	   *rest = p;
			float		weight = strtof(rest, &p);

			add_edge(e, from, to, p == rest ? 1 : weight);
		}
	if (f != stdin)
		(void) fclose(f);
}

static const struct
{
	const char *name;
	GmTopologyMethod method;
}			methods[] = {
	{"spectral", GM_TOPOLOGY_SPECTRAL}, {"walk", GM_TOPOLOGY_WALK},
	{"prone", GM_TOPOLOGY_PRONE}, {"fastrp", GM_TOPOLOGY_FASTRP},
	{"smooth", GM_TOPOLOGY_SMOOTH}
};

typedef struct Settings
{
	GmTopologyOpts opts;
	GmCsrOpts	csr;
	const char *given;
	uint32_t	nodes;
	int			members;
	int			repeat;
	bool		threads;
} Settings;

static void
set_weights(GmTopologyOpts *o, const char *list)
{
	char	   *end = (char *) list;

	o->powers = 0;
	while (o->powers < GM_TOPOLOGY_MAX_POWERS && *end != '\0')
	{
		o->power_weights[o->powers++] = strtof(end, &end);
		end += *end == ',';
	}
}

static void
set(Settings *s, const char *arg)
{
	GmTopologyOpts *o = &s->opts;
	const char *value = strchr(arg, '=');
	double		x;

	if (value == NULL)
		value = "";
	x = strtod(*value ? value + 1 : value, NULL);
#define IS(name)	(strncmp(arg, name "=", sizeof(name)) == 0)
	if (IS("dim")) o->dim = (uint32_t) x;
	else if (IS("seed")) o->seed = (uint64_t) x;
	else if (IS("normalize")) o->normalize = x != 0;
	else if (IS("oversampling")) o->oversampling = (uint32_t) x;
	else if (IS("iterations")) o->iterations = (uint32_t) x;
	else if (IS("tolerance")) o->tolerance = x;
	else if (IS("regularization")) o->regularization = x;
	else if (IS("value_exponent")) o->value_exponent = x;
	else if (IS("window")) o->window = (uint32_t) x;
	else if (IS("negative")) o->negative = x;
	else if (IS("landmarks")) o->landmarks = (uint32_t) x;
	else if (IS("order")) o->order = (uint32_t) x;
	else if (IS("mu")) o->mu = x;
	else if (IS("theta")) o->theta = x;
	else if (IS("powers")) o->powers = (uint32_t) x;
	else if (IS("weights")) set_weights(o, value + 1);
	else if (IS("self")) o->self_weight = (float) x;
	else if (IS("beta")) o->degree_exponent = x;
	else if (IS("damping")) o->damping = x;
	else if (IS("given")) s->given = value + 1;
	else if (IS("members")) s->members = (int) x;
	else if (IS("threads")) s->threads = x != 0;
	else if (IS("repeat")) s->repeat = (int) x;
	else if (IS("nodes")) s->nodes = (uint32_t) x;
	else if (IS("weighted")) s->csr.weighted = x != 0;
	else if (IS("directed")) s->csr.directed = x != 0;
	else if (IS("sum")) s->csr.sum_parallel = x != 0;
	else if (IS("loops")) s->csr.drop_loops = x == 0;
	else
	{
		fprintf(stderr, "unknown setting %s\n", arg);
		exit(1);
	}
#undef IS
}

/* version 1.0 of the format: a header of 128 bytes in all */
static void
write_npy(const char *path, const float *x, uint32_t n, uint32_t dim)
{
	FILE	   *f = need(fopen(path, "wb"));
	char		head[128];
	int			length = snprintf(head, sizeof(head),
								  "%cNUMPY%c%c%c%c{'descr': '<f4', 'fortran_order': False, "
								  "'shape': (%u, %u), }", 0x93, 1, 0, 118, 0, n, dim);

	memset(head + length, ' ', sizeof(head) - (size_t) length);
	head[127] = '\n';
	if (fwrite(head, sizeof(head), 1, f) != 1 ||
		fwrite(x, (size_t) dim * sizeof(float), n, f) != n || fclose(f) != 0)
	{
		perror(path);
		exit(1);
	}
}

static void
read_npy(const char *path, float *x, uint32_t n, uint32_t dim)
{
	FILE	   *f = need(fopen(path, "rb"));

	if (fseek(f, 128, SEEK_SET) != 0 || fread(x, (size_t) dim * sizeof(float), n, f) != n)
	{
		fprintf(stderr, "%s: not %u x %u floats behind 128 bytes\n", path, n, dim);
		exit(1);
	}
	(void) fclose(f);
}

int
main(int argc, char **argv)
{
	Settings	s = {.members = 2, .repeat = 1};
	GmTopologyReport report;
	Edges		e = {0};
	Team		team;
	GmCsr		csr;
	GmOffset	out;
	GmOffset	given = GM_NOWHERE;
	GmOffset	work;
	size_t		csr_bytes;
	size_t		work_bytes;
	size_t		given_bytes = 0;
	double		build;
	double		best = INFINITY;
	double		best_cpu = INFINITY;
	bool		known = false;

	if (argc < 4)
	{
		fprintf(stderr, "usage: topology_core EDGES METHOD OUT [NAME=VALUE...]\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(argv[2], methods[i].name) == 0)
		{
			gm_topology_defaults(&s.opts, methods[i].method);
			known = true;
		}
	if (!known)
	{
		fprintf(stderr, "unknown method %s\n", argv[2]);
		return 2;
	}
	for (int i = 4; i < argc; i++)
		set(&s, argv[i]);
	read_edges(&e, argv[1]);
	if (e.n < s.nodes)
		e.n = s.nodes;

	csr_bytes = gm_csr_bytes(&s.csr, e.n, e.count);
	work_bytes = gm_topology_bytes(&s.opts, e.n, 2 * e.count);
	if (s.opts.method == GM_TOPOLOGY_SMOOTH)
		given_bytes = ((size_t) e.n * s.opts.dim * sizeof(float) + 63) & ~(size_t) 63;
	team_open(&team, s.members == 1 ? TEAM_SINGLE : s.threads ? TEAM_THREADS : TEAM_PROCESSES,
			  s.members, 64 + csr_bytes + given_bytes + work_bytes, NULL);
	build = seconds();
	ok(gm_csr_from_arcs(&team.team, 64, &s.csr, e.n, e.count, e.from, e.to, e.weight, &csr),
	   "build");
	build = seconds() - build;
	work = 64 + csr_bytes;
	if (given_bytes > 0)
	{
		given = work;
		work += given_bytes;
		read_npy(s.given, (float *) (team.team.base + given), e.n, s.opts.dim);
	}
	for (int i = 0; i < s.repeat; i++)
	{
		double		start = seconds();
		double		cpu = cpu_seconds();

		ok(gm_topology_embed(&team.team, &csr, &s.opts, given, work, work_bytes, &out, &report),
		   "embed");
		best = fmin(best, seconds() - start);
		best_cpu = fmin(best_cpu, cpu_seconds() - cpu);
	}
	printf("%s nodes=%u arcs=%llu members=%d build=%.2f embed=%.3f cpu=%.3f work_mb=%.1f "
		   "share=%.3f products=%u landmarks=%u change=%.2g\n", argv[2], e.n,
		   (unsigned long long) csr.arcs, s.members, build, best, best_cpu,
		   (double) work_bytes / 1e6,
		   (double) work_bytes / (16.0 * fmax(1, e.n) * s.opts.dim), report.products,
		   report.landmarks, report.change);
	if (strcmp(argv[3], "-") != 0)
		write_npy(argv[3], (const float *) (team.team.base + out), e.n, s.opts.dim);
	team_close(&team);
	return 0;
}
