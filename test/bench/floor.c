/*-------------------------------------------------------------------------
 *
 * floor.c
 *	  What the graph loops cost in plain C over plain arrays, and what the
 *	  core makes of the same calls on the same data.
 *
 * The floors are textbook loops over a 32-bit CSR without names, time,
 * confidence or interrupts: reach and the shortest path over the deduplicated
 * undirected graph, PPR and PageRank over the undirected multigraph, since
 * that is what the core computes.  The shortest path of the floor ends at the
 * first meeting, whichever path that is; the core's is the smallest one.
 *
 * Usage: floor [options]
 *	 -s scale	R-MAT: 2^scale nodes (18)
 *	 -e edges	R-MAT: distinct triples (8000000)
 *	 -r seed	of the generator and of the random seeds (1)
 *	 -g file	read this graph instead
 *	 -w file	write the graph
 *	 -t file	write the graph as text: subject, predicate, object,
 *				confidence, tab-separated, nodes counted from 1
 *	 -S file	query nodes, one a line, counted from 1, instead of random ones
 *	 -W file	write the query nodes
 *	 -n count	random query nodes, none of them isolated (200)
 *	 -o text	only what has this text in its name
 *	 -c			build the core's image too, and measure it beside the floor
 *	 -v rows	time the exact scan of so many vectors (0: not)
 *	 -d dim		their dimension (300)
 *
 * A graph file holds uint32 nodes, uint32 triples, then the triples' subjects,
 * predicates and objects as int32 and their confidences as float32, array by
 * array, nodes counted from 0.
 *
 * Output is tab-separated: what, CPU microseconds a call of the floor, the
 * same of the core, their ratio, and a check of each that should agree (reach:
 * sum of ids; path: sum of hops; PPR: sum of the masses pushed; PageRank: sum
 * of the squared ranks; components: their number).  Rounds of floor and core
 * alternate; the faster of three counts.
 *
 * Reference	R-MAT: Chakrabarti, Zhan, Faloutsos, SDM 2004, with (a, b, c, d)
 *				= (.57, .19, .19, .05), permuted, 20 predicates by Zipf's law
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/graph.h"
#include "core/path.h"
#include "core/rank.h"
#include "core/scratch.h"
#include "core/traverse.h"

#define PREDICATES	20
#define ROUNDS		3
#define DAMPING		0.85
/* iterations of the PageRank that ends at a tolerance, as GAP's does */
#define PAGERANK_MOST 20

typedef struct Data
{
	uint32_t	nodes;
	uint32_t	triples;
	int32_t    *s;
	int32_t    *p;
	int32_t    *o;
	float	   *confidence;
} Data;

typedef struct Csr
{
	uint32_t	nodes;
	uint32_t   *start;
	uint32_t   *to;
} Csr;

typedef struct Bench
{
	Data		data;
	Csr			simple;			/* undirected, without duplicates */
	Csr			multi;			/* undirected, every triple both ways */
	uint32_t   *seeds;
	uint32_t	seed_count;

	/* the floor's working memory */
	uint32_t   *mark;
	uint32_t	epoch;
	uint32_t   *queue;
	uint32_t   *queue_b;
	uint8_t    *side;
	double	   *residue;
	double	   *mass;
	uint8_t    *queued;

	GmMem	   *mem;
	GmGraph    *graph;
	GmScratch  *scratch;
	GmView		view;
} Bench;

static uint64_t state;

static uint64_t
next_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717);
}

static double
uniform(void)
{
	return (double) (next_random() >> 11) * 0x1p-53;
}

static void *
must(void *p)
{
	if (p == NULL)
	{
		fprintf(stderr, "out of memory, or could not open a file\n");
		exit(1);
	}
	return p;
}

static void
ok(GmStatus status)
{
	if (status != GM_OK)
	{
		fprintf(stderr, "core returned status %d\n", status);
		exit(1);
	}
}

static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

/*
 * Data
 */
static int
compare_keys(const void *a, const void *b)
{
	uint64_t	x = *(const uint64_t *) a;
	uint64_t	y = *(const uint64_t *) b;

	return x < y ? -1 : x > y;
}

static size_t
sort_unique(uint64_t *keys, size_t n)
{
	size_t		kept = 0;

	qsort(keys, n, sizeof(uint64_t), compare_keys);
	for (size_t i = 0; i < n; i++)
	{
		if (kept == 0 || keys[kept - 1] != keys[i])
			keys[kept++] = keys[i];
	}
	return kept;
}

static uint64_t
random_triple(int scale, const double *zipf)
{
	uint64_t	s = 0;
	uint64_t	o = 0;
	uint64_t	p = 0;
	double		u;

	for (int bit = 0; bit < scale; bit++)
	{
		u = uniform();
		s |= (uint64_t) (u >= .76) << bit;
		o |= (uint64_t) ((u >= .57 && u < .76) || u >= .95) << bit;
	}
	for (u = uniform(); p < PREDICATES - 1 && u >= zipf[p];)
		p++;
	return (s << scale | o) << 5 | p;
}

static void
shuffle64(uint64_t *a, size_t n)
{
	for (size_t i = n; i > 1; i--)
	{
		size_t		k = (size_t) (next_random() % i);
		uint64_t	t = a[i - 1];

		a[i - 1] = a[k];
		a[k] = t;
	}
}

static void
allocate(Data *d, uint32_t nodes, uint32_t triples)
{
	d->nodes = nodes;
	d->triples = triples;
	d->s = must(malloc((size_t) triples * 4 + 4));
	d->p = must(malloc((size_t) triples * 4 + 4));
	d->o = must(malloc((size_t) triples * 4 + 4));
	d->confidence = must(malloc((size_t) triples * 4 + 4));
}

static void
generate(Data *d, int scale, uint32_t triples)
{
	uint64_t	mask = (UINT64_C(1) << scale) - 1;
	uint64_t   *keys = must(malloc(((size_t) triples * 2 + 2000) * sizeof(uint64_t)));
	uint64_t   *place = must(malloc((mask + 1) * sizeof(uint64_t)));
	double		zipf[PREDICATES];
	double		sum = 0;
	size_t		n = 0;

	for (int i = 0; i < PREDICATES; i++)
		zipf[i] = sum += 1.0 / (i + 1);
	for (int i = 0; i < PREDICATES; i++)
		zipf[i] /= sum;
	while (n < triples)
	{
		size_t		more = (size_t) ((triples - n) * 1.15) + 1000;

		for (size_t i = 0; i < more; i++)
		{
			uint64_t	key = random_triple(scale, zipf);

			if ((key >> 5 >> scale) != (key >> 5 & mask))
				keys[n++] = key;
		}
		n = sort_unique(keys, n);
	}
	shuffle64(keys, n);
	for (uint64_t i = 0; i <= mask; i++)
		place[i] = i;
	shuffle64(place, mask + 1);
	allocate(d, (uint32_t) mask + 1, triples);
	for (uint32_t i = 0; i < triples; i++)
	{
		d->s[i] = (int32_t) place[keys[i] >> 5 >> scale];
		d->o[i] = (int32_t) place[keys[i] >> 5 & mask];
		d->p[i] = (int32_t) (keys[i] & 31);
		d->confidence[i] = (float) (0.3 + 0.7 * uniform());
	}
	free(place);
	free(keys);
}

static void
transfer(Data *d, const char *name, bool writing)
{
	FILE	   *f = must(fopen(name, writing ? "wb" : "rb"));
	uint32_t	head[2] = {d->nodes, d->triples};
	void	   *array[4];
	size_t		done = 0;

	if (writing)
		done = fwrite(head, 4, 2, f);
	else
	{
		done = fread(head, 4, 2, f);
		allocate(d, head[0], head[1]);
	}
	array[0] = d->s;
	array[1] = d->p;
	array[2] = d->o;
	array[3] = d->confidence;
	for (int i = 0; i < 4; i++)
		done += writing ? fwrite(array[i], 4, d->triples, f) : fread(array[i], 4, d->triples, f);
	if (done != 2 + 4 * (size_t) d->triples || fclose(f) != 0)
	{
		fprintf(stderr, "could not transfer \"%s\"\n", name);
		exit(1);
	}
}

static void
write_text(const Data *d, const char *name)
{
	FILE	   *f = must(fopen(name, "w"));

	for (uint32_t i = 0; i < d->triples; i++)
		fprintf(f, "%d\t%d\t%d\t%.9g\n", d->s[i] + 1, d->p[i] + 1, d->o[i] + 1, d->confidence[i]);
	fclose(f);
}

static int
compare_nodes(const void *a, const void *b)
{
	uint32_t	x = *(const uint32_t *) a;
	uint32_t	y = *(const uint32_t *) b;

	return x < y ? -1 : x > y;
}

static void
build_csr(const Data *d, bool distinct, Csr *csr)
{
	uint32_t   *fill;
	uint32_t	kept = 0;

	csr->nodes = d->nodes;
	csr->start = must(calloc((size_t) d->nodes + 2, 4));
	csr->to = must(malloc((size_t) d->triples * 8 + 4));
	fill = csr->start + 1;
	for (uint32_t i = 0; i < d->triples; i++)
	{
		fill[d->s[i] + 1]++;
		fill[d->o[i] + 1] += d->s[i] != d->o[i];
	}
	for (uint32_t v = 0; v < d->nodes; v++)
		fill[v + 1] += fill[v];
	for (uint32_t i = 0; i < d->triples; i++)
	{
		csr->to[fill[d->s[i]]++] = (uint32_t) d->o[i];
		if (d->s[i] != d->o[i])
			csr->to[fill[d->o[i]]++] = (uint32_t) d->s[i];
	}
	for (uint32_t v = 0, begin = 0; v < d->nodes; v++)
	{
		uint32_t	end = csr->start[v + 1];
		uint32_t	first = kept;

		qsort(csr->to + begin, end - begin, 4, compare_nodes);
		for (uint32_t i = begin; i < end; i++)
		{
			if (!distinct || kept == first || csr->to[kept - 1] != csr->to[i])
				csr->to[kept++] = csr->to[i];
		}
		begin = end;
		csr->start[v] = first;
		csr->start[v + 1] = end;
	}
	csr->start[d->nodes] = kept;
}

static void
build_image(Bench *b)
{
	const Data *d = &b->data;
	GmTimes		times = {GM_TIME_MIN, GM_TIME_MAX, 0, GM_TIME_MAX};
	char		name[24];

	ok(gm_mem_create((size_t) 1 << 20, 0, NULL, &b->mem));
	ok(gm_graph_create(b->mem, &b->graph));
	for (int p = 0; p < PREDICATES; p++)
	{
		int			n = snprintf(name, sizeof(name), "p%d", p + 1);

		ok(gm_graph_add_predicate(b->graph, p + 1, name, (uint32_t) n, false, false, 1));
	}
	for (uint32_t v = 0; v < d->nodes; v++)
	{
		int			n = snprintf(name, sizeof(name), "n%u", v + 1);

		ok(gm_graph_add_entity(b->graph, v + 1, name, (uint32_t) n, NULL, 0, NULL, 0));
	}
	for (uint32_t i = 0; i < d->triples; i++)
		ok(gm_graph_add_triple(b->graph, i + 1, i + 1, d->s[i] + 1, d->p[i] + 1, d->o[i] + 1,
							   d->confidence[i], &times));
	ok(gm_graph_finish(b->graph, 1, NULL));
	ok(gm_scratch_create(0, &b->scratch));
	gm_view_init(b->graph, 1, &b->view);
}

static void
choose_seeds(Bench *b, const char *from, const char *to, uint32_t count)
{
	FILE	   *f = from == NULL ? NULL : must(fopen(from, "r"));
	uint32_t	room = count;
	uint32_t	id;

	b->seeds = must(malloc((size_t) room * 4 + 4));
	while (f != NULL && fscanf(f, "%u", &id) == 1 && id >= 1 && id <= b->data.nodes)
	{
		if (b->seed_count == room)
			b->seeds = must(realloc(b->seeds, (size_t) (room *= 2) * 4));
		b->seeds[b->seed_count++] = id - 1;
	}
	if (f != NULL)
		fclose(f);
	while (f == NULL && b->seed_count < count)
	{
		uint32_t	v = (uint32_t) (next_random() % b->data.nodes);

		if (b->simple.start[v + 1] > b->simple.start[v])
			b->seeds[b->seed_count++] = v;
	}
	if (to == NULL)
		return;
	f = must(fopen(to, "w"));
	for (uint32_t i = 0; i < b->seed_count; i++)
		fprintf(f, "%u\n", b->seeds[i] + 1);
	fclose(f);
}

/*
 * Floors.  Each takes query i and returns what its check adds up.
 */
typedef struct Call
{
	const char *name;
	double		(*floor) (Bench *b, uint32_t i, double arg);
	double		(*core) (Bench *b, uint32_t i, double arg);
	double		arg;
	uint32_t	most;			/* queries, of those there are */
} Call;

static double
floor_reach(Bench *b, uint32_t i, double hops)
{
	const Csr  *g = &b->simple;
	uint32_t   *mark = b->mark;
	uint32_t   *queue = b->queue;
	uint32_t	epoch = ++b->epoch;
	uint32_t	head = 0;
	uint32_t	tail = 1;
	double		sum = 0;

	queue[0] = b->seeds[i];
	mark[queue[0]] = epoch;
	for (int h = 0; h < (int) hops && head < tail; h++)
	{
		for (uint32_t end = tail; head < end; head++)
		{
			uint32_t	u = queue[head];

			for (uint32_t k = g->start[u]; k < g->start[u + 1]; k++)
			{
				uint32_t	v = g->to[k];

				if (mark[v] == epoch)
					continue;
				mark[v] = epoch;
				queue[tail++] = v;
			}
		}
	}
	for (uint32_t k = 1; k < tail; k++)
		sum += queue[k] + 1;
	return sum;
}

static double
core_reach(Bench *b, uint32_t i, double hops)
{
	uint64_t	count;
	uint64_t	sum;

	ok(gm_reach(b->graph, &b->view, b->scratch, b->seeds[i], (int) hops, NULL, &count, &sum));
	return (double) sum;
}

static double
core_reach_filtered(Bench *b, uint32_t i, double hops)
{
	GmView		view = b->view;
	uint64_t	count;
	uint64_t	sum;

	view.min_confidence = 0.1f;
	gm_view_settle(b->graph, &view);
	ok(gm_reach(b->graph, &view, b->scratch, b->seeds[i], (int) hops, NULL, &count, &sum));
	return (double) sum;
}

/* expands one level; true as soon as the other side's mark is met */
static bool
floor_level(Bench *b, uint32_t *queue, uint32_t *head, uint32_t *tail, uint32_t mine,
			uint32_t other)
{
	const Csr  *g = &b->simple;

	for (uint32_t end = *tail; *head < end; (*head)++)
	{
		uint32_t	u = queue[*head];

		for (uint32_t k = g->start[u]; k < g->start[u + 1]; k++)
		{
			uint32_t	v = g->to[k];

			if (b->mark[v] == other)
				return true;
			if (b->mark[v] == mine)
				continue;
			b->mark[v] = mine;
			queue[(*tail)++] = v;
		}
	}
	return false;
}

static double
floor_path(Bench *b, uint32_t i, double arg)
{
	uint32_t	to = b->seeds[(i + 1) % b->seed_count];
	uint32_t	head[2] = {0, 0};
	uint32_t	tail[2] = {1, 1};
	uint32_t	epoch = b->epoch + 1;
	int			hops = 0;
	bool		met = false;

	(void) arg;
	b->epoch += 2;
	b->queue[0] = b->seeds[i];
	b->queue_b[0] = to;
	if (b->seeds[i] == to)
		return 0;
	b->mark[b->seeds[i]] = epoch;
	b->mark[to] = epoch + 1;
	while (!met && head[0] < tail[0] && head[1] < tail[1])
	{
		int			side = tail[0] - head[0] > tail[1] - head[1];

		met = floor_level(b, side ? b->queue_b : b->queue, &head[side], &tail[side],
						  epoch + (uint32_t) side, epoch + 1 - (uint32_t) side);
		hops++;
	}
	return met ? hops : 0;
}

static double
core_path(Bench *b, uint32_t i, double by_confidence)
{
	GmPathOpts	opts = {by_confidence != 0, -1, 0};
	GmPath		path;
	bool		found;

	ok(gm_shortest_path(b->graph, &b->view, b->scratch, b->seeds[i],
						b->seeds[(i + 1) % b->seed_count], &opts, NULL, &path, &found));
	return found ? path.hops : 0;
}

static double
core_paths(Bench *b, uint32_t i, double by_confidence)
{
	GmPathOpts	opts = {by_confidence != 0, 4, 0};
	const GmPath *paths;
	uint32_t	count;
	bool		complete;

	ok(gm_paths(b->graph, &b->view, b->scratch, b->seeds[i],
				b->seeds[(i + 1) % b->seed_count], 3, &opts, NULL, &paths, &count, &complete));
	return count;
}

static double
floor_ppr(Bench *b, uint32_t i, double epsilon)
{
	const Csr  *g = &b->multi;
	uint32_t   *queue = b->queue;
	uint32_t   *touched = b->queue_b;
	uint32_t	n = g->nodes;
	uint32_t	head = 0;
	uint32_t	tail = 1;
	uint32_t	count = 1;
	uint32_t	waiting = 1;
	double		sum = 0;

	queue[0] = touched[0] = b->seeds[i];
	b->residue[b->seeds[i]] = 1;
	b->side[b->seeds[i]] = b->queued[b->seeds[i]] = 1;
	while (waiting > 0)
	{
		uint32_t	u = queue[head];
		uint32_t	from = g->start[u];
		uint32_t	end = g->start[u + 1];
		double		r = b->residue[u];
		double		share = DAMPING * r / (end - from);

		head = head + 1 == n ? 0 : head + 1;
		waiting--;
		b->queued[u] = 0;
		b->residue[u] = 0;
		b->mass[u] += (1 - DAMPING) * r;
		for (uint32_t k = from; k < end; k++)
		{
			uint32_t	v = g->to[k];

			b->residue[v] += share;
			if (!b->side[v])
			{
				b->side[v] = 1;
				touched[count++] = v;
			}
			if (b->residue[v] >= epsilon * (g->start[v + 1] - g->start[v]) && !b->queued[v])
			{
				b->queued[v] = 1;
				queue[tail] = v;
				tail = tail + 1 == n ? 0 : tail + 1;
				waiting++;
			}
		}
	}
	for (uint32_t k = 0; k < count; k++)
	{
		sum += b->mass[touched[k]] + (1 - DAMPING) * b->residue[touched[k]];
		b->mass[touched[k]] = b->residue[touched[k]] = 0;
		b->side[touched[k]] = 0;
	}
	return sum;
}

static double
core_ppr(Bench *b, uint32_t i, double epsilon)
{
	GmMass		seed = {b->seeds[i], 1};
	GmPprOpts	opts = {DAMPING, epsilon};
	GmMasses	masses;
	double		sum = 0;

	ok(gm_ppr(b->graph, &b->view, b->scratch, &seed, 1, &opts, NULL, &masses));
	for (uint32_t k = 0; k < masses.count; k++)
		sum += masses.list[k].mass;
	return sum;
}

static double
core_ppr_filtered(Bench *b, uint32_t i, double epsilon)
{
	GmMass		seed = {b->seeds[i], 1};
	GmPprOpts	opts = {DAMPING, epsilon};
	GmView		view = b->view;
	GmMasses	masses;

	view.min_confidence = 0.1f;
	gm_view_settle(b->graph, &view);
	ok(gm_ppr(b->graph, &view, b->scratch, &seed, 1, &opts, NULL, &masses));
	return 1 - masses.missing;
}

/* until an iteration changes the ranks by less than tolerance in all */
static double
rank_floor(Bench *b, double tolerance, int most)
{
	const Csr  *g = &b->multi;
	double		change = INFINITY;
	double		sum = 0;

	for (uint32_t v = 0; v < g->nodes; v++)
		b->mass[v] = 1.0 / g->nodes;
	for (int k = 0; k < most && change >= tolerance; k++)
	{
		double		lost = 0;

		change = 0;
		for (uint32_t v = 0; v < g->nodes; v++)
		{
			uint32_t	degree = g->start[v + 1] - g->start[v];

			b->residue[v] = degree > 0 ? b->mass[v] / degree : 0;
			lost += degree > 0 ? 0 : b->mass[v];
		}
		for (uint32_t v = 0; v < g->nodes; v++)
		{
			double		in = 0;
			double		rank;

			for (uint32_t e = g->start[v]; e < g->start[v + 1]; e++)
				in += b->residue[g->to[e]];
			rank = (1 - DAMPING + DAMPING * lost) / g->nodes + DAMPING * in;
			change += fabs(rank - b->mass[v]);
			b->mass[v] = rank;
		}
	}
	for (uint32_t v = 0; v < g->nodes; v++)
	{
		sum += b->mass[v] * b->mass[v];
		b->mass[v] = b->residue[v] = 0;
	}
	return sum;
}

static double
floor_pagerank(Bench *b, uint32_t i, double iterations)
{
	(void) i;
	return rank_floor(b, 1e-300, (int) iterations);
}

static double
floor_pagerank_to(Bench *b, uint32_t i, double tolerance)
{
	(void) i;
	return rank_floor(b, tolerance, PAGERANK_MOST);
}

static double
rank_core(Bench *b, double tolerance, uint32_t most)
{
	GmPagerankOpts opts = {DAMPING, tolerance, most};
	GmPagerank	result;
	double		sum = 0;

	ok(gm_pagerank(b->graph, &b->view, b->scratch, &opts, NULL, &result));
	for (uint32_t v = 0; v < b->data.nodes; v++)
		sum += result.rank[v] * result.rank[v];
	return sum;
}

static double
core_pagerank(Bench *b, uint32_t i, double iterations)
{
	(void) i;
	return rank_core(b, 1e-300, (uint32_t) iterations);
}

static double
core_pagerank_to(Bench *b, uint32_t i, double tolerance)
{
	(void) i;
	return rank_core(b, tolerance, PAGERANK_MOST);
}

/* union-find with path halving over the list of triples */
static double
floor_components(Bench *b, uint32_t i, double arg)
{
	const Data *d = &b->data;
	uint32_t   *parent = b->queue;
	uint32_t	roots = 0;

	(void) i;
	(void) arg;
	for (uint32_t v = 0; v < d->nodes; v++)
		parent[v] = v;
	for (uint32_t t = 0; t < d->triples; t++)
	{
		uint32_t	x = (uint32_t) d->s[t];
		uint32_t	y = (uint32_t) d->o[t];

		while (parent[x] != x)
			x = parent[x] = parent[parent[x]];
		while (parent[y] != y)
			y = parent[y] = parent[parent[y]];
		if (x < y)
			parent[y] = x;
		else
			parent[x] = y;
	}
	for (uint32_t v = 0; v < d->nodes; v++)
		roots += parent[v] == v;
	return roots;
}

static double
core_components(Bench *b, uint32_t i, double arg)
{
	GmComponents result;

	(void) i;
	(void) arg;
	ok(gm_components(b->graph, &b->view, b->scratch, NULL, &result));
	return result.count;
}

/* PPR from 20 seeds, then the proofs of its 100 best nodes, as a fusion does */
static GmMass *
fusion_seeds(const Bench *b, uint32_t i, uint32_t count)
{
	GmMass	   *seeds = must(malloc(count * sizeof(GmMass)));

	for (uint32_t k = 0; k < count; k++)
		seeds[k] = (GmMass) {b->seeds[(i + k) % b->seed_count], 1.0 / (k + 60)};
	return seeds;
}

static int
compare_masses(const void *x, const void *y)
{
	const GmMass *a = x;
	const GmMass *b = y;

	return a->mass > b->mass ? -1 : a->mass < b->mass ? 1 : (a->node > b->node) - (a->node < b->node);
}

static double
core_proofs(Bench *b, uint32_t i, double hops)
{
	static GmMass *allowed;
	static uint32_t allowed_count;
	static uint32_t targets[100];
	static uint32_t target_count;
	static uint32_t prepared = UINT32_MAX;
	GmMass	   *seeds = fusion_seeds(b, i, 50);
	GmProofOpts opts = {(int) hops, 0.85, NULL, 0};
	const GmProof *proofs;
	double		found = 0;

	if (prepared != i || hops < 0)
	{
		GmPprOpts	ppr = {0.5, 1e-4};
		GmMasses	masses;

		ok(gm_ppr(b->graph, &b->view, b->scratch, seeds, 50, &ppr, NULL, &masses));
		free(allowed);
		allowed_count = masses.count;
		allowed = must(malloc((masses.count + 1) * sizeof(GmMass)));
		memcpy(allowed, masses.list, masses.count * sizeof(GmMass));
		qsort(allowed, allowed_count, sizeof(GmMass), compare_masses);
		target_count = allowed_count < 100 ? allowed_count : 100;
		for (uint32_t k = 0; k < target_count; k++)
			targets[k] = allowed[k].node;
		prepared = i;
		free(seeds);
		return allowed_count;
	}
	opts.allowed = allowed;
	opts.allowed_count = allowed_count;
	ok(gm_best_paths(b->graph, &b->view, b->scratch, seeds, 50, targets, target_count, &opts,
					 NULL, &proofs));
	for (uint32_t k = 0; k < target_count; k++)
		found += proofs[k].hops >= 0;
	free(seeds);
	return found;
}

static double
core_decay(Bench *b, uint32_t i, double hops)
{
	GmMass	   *seeds = fusion_seeds(b, i, 20);
	GmMasses	masses;

	ok(gm_hops_decay(b->graph, &b->view, b->scratch, seeds, 20, 0.5, (int) hops, NULL, &masses));
	free(seeds);
	return masses.count;
}

static double
core_traverse(Bench *b, uint32_t i, double hops)
{
	GmTraverseOpts opts = {(int) hops, false, GM_ALL_ROWS, NULL};
	GmTraversal t;

	ok(gm_traverse(b->graph, &b->view, b->scratch, &b->seeds[i], 1, &opts, NULL, &t));
	return t.row_count;
}

/*
 * Measuring
 */
static double
run(Bench *b, const Call *call, bool core, uint32_t n, double *check)
{
	double		(*function) (Bench *, uint32_t, double) = core ? call->core : call->floor;
	double		total = 0;

	*check = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		double		start;

		/* proofs need what a ranking leaves; it is not part of the time */
		if (function == core_proofs)
			(void) core_proofs(b, i, -1);
		start = cpu_us();
		*check += function(b, i, call->arg);
		total += cpu_us() - start;
	}
	return total / n;
}

static void
measure(Bench *b, const Call *call, bool with_core)
{
	uint32_t	n = call->most < b->seed_count ? call->most : b->seed_count;
	double		best[2] = {INFINITY, INFINITY};
	double		check[2] = {0, 0};

	for (int round = 0; round < ROUNDS; round++)
	{
		for (int core = 0; core < 2; core++)
		{
			if (core ? with_core && call->core != NULL : call->floor != NULL)
				best[core] = fmin(best[core], run(b, call, core, n, &check[core]));
		}
	}
	printf("%s", call->name);
	for (int core = 0; core < 2; core++)
	{
		if (isinf(best[core]))
			printf("\t-");
		else
			printf("\t%.1f", best[core]);
	}
	if (isinf(best[0] + best[1]))
		printf("\t-\t%.10g\t%.10g\n", check[0], check[1]);
	else
		printf("\t%.2f\t%.10g\t%.10g\n", best[1] / best[0], check[0], check[1]);
	fflush(stdout);
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2,fma")))
static float
dot(const float *a, const float *b, int dim)
{
	__m256		sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
	_mm256_setzero_ps()};
	float		lane[8];
	float		total = 0;
	int			i = 0;

	for (; i + 32 <= dim; i += 32)
		for (int k = 0; k < 4; k++)
			sum[k] = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + k * 8),
									 _mm256_loadu_ps(b + i + k * 8), sum[k]);
	_mm256_storeu_ps(lane, _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]),
										 _mm256_add_ps(sum[2], sum[3])));
	for (int k = 0; k < 8; k++)
		total += lane[k];
	for (; i < dim; i++)
		total += a[i] * b[i];
	return total;
}
#else
static float
dot(const float *a, const float *b, int dim)
{
	float		total = 0;

	for (int i = 0; i < dim; i++)
		total += a[i] * b[i];
	return total;
}
#endif

/* every row's inner product with the query, the ten largest kept */
static void
measure_scan(uint32_t rows, int dim)
{
	float	   *data = must(malloc((size_t) rows * dim * sizeof(float)));
	float	   *query = must(malloc((size_t) dim * sizeof(float)));
	double		best = INFINITY;
	double		check = 0;

	for (size_t i = 0; i < (size_t) rows * dim; i++)
		data[i] = (float) (uniform() - 0.5);
	for (int i = 0; i < dim; i++)
		query[i] = (float) (uniform() - 0.5);
	for (int round = 0; round < 20; round++)
	{
		float		top[10];
		double		start = cpu_us();

		for (int k = 0; k < 10; k++)
			top[k] = -INFINITY;
		for (uint32_t r = 0; r < rows; r++)
		{
			float		d = dot(query, data + (size_t) r * dim, dim);
			int			k = 9;

			if (d <= top[9])
				continue;
			for (; k > 0 && top[k - 1] < d; k--)
				top[k] = top[k - 1];
			top[k] = d;
		}
		best = fmin(best, cpu_us() - start);
		check = top[0];
	}
	printf("scan %u x %d\t%.1f\t-\t-\t%.6g\t-\n", rows, dim, best, check);
	free(query);
	free(data);
}

static void
measure_all(Bench *b, bool core, const char *only)
{
	static const Call calls[] = {
		{"reach 1", floor_reach, core_reach, 1, UINT32_MAX},
		{"reach 2", floor_reach, core_reach, 2, UINT32_MAX},
		{"reach 3", floor_reach, core_reach, 3, 50},
		{"reach, all hops", floor_reach, core_reach, 100, 20},
		{"reach 2, filtered", floor_reach, core_reach_filtered, 2, UINT32_MAX},
		{"traverse 2", NULL, core_traverse, 2, UINT32_MAX},
		{"shortest path", floor_path, core_path, 0, UINT32_MAX},
		{"shortest path by confidence", NULL, core_path, 1, 20},
		{"3 paths of 4 hops", NULL, core_paths, 0, UINT32_MAX},
		{"3 paths by confidence", NULL, core_paths, 1, 5},
		{"ppr 1e-4", floor_ppr, core_ppr, 1e-4, UINT32_MAX},
		{"ppr 1e-6", floor_ppr, core_ppr, 1e-6, UINT32_MAX},
		{"ppr 1e-4, filtered", floor_ppr, core_ppr_filtered, 1e-4, 50},
		{"pagerank, 10 iterations", floor_pagerank, core_pagerank, 10, 1},
		{"pagerank, 30 iterations", floor_pagerank, core_pagerank, 30, 1},
		{"pagerank to 1e-4", floor_pagerank_to, core_pagerank_to, 1e-4, 1},
		{"components", floor_components, core_components, 0, 1},
		{"decay 2, 20 seeds", NULL, core_decay, 2, 50},
		{"proofs 2, 50 seeds, 100 targets", NULL, core_proofs, 2, 50},
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
	{
		if ((core || calls[i].floor != NULL) && strstr(calls[i].name, only) != NULL)
			measure(b, &calls[i], core);
	}
}

static void
prepare(Bench *b, bool core)
{
	size_t		n = b->data.nodes;
	double		start = cpu_us();

	b->mark = must(calloc(n, 4));
	b->queue = must(malloc(n * 4));
	b->queue_b = must(malloc(n * 4));
	b->side = must(calloc(n, 1));
	b->queued = must(calloc(n, 1));
	b->residue = must(calloc(n, sizeof(double)));
	b->mass = must(calloc(n, sizeof(double)));
	if (!core)
		return;
	build_image(b);
	fprintf(stderr, "image built in %.2f s, %zu bytes\n", (cpu_us() - start) / 1e6,
			b->mem->used);
}

int
main(int argc, char **argv)
{
	Bench		b = {.epoch = 0};
	const char *file[5] = {NULL};
	const char *names = "gwtSW";
	const char *only = "";
	int			scale = 18;
	uint32_t	triples = 8000000;
	uint32_t	queries = 200;
	uint32_t	rows = 0;
	int			dim = 300;
	bool		core = false;
	int			c;

	state = 1;
	while ((c = getopt(argc, argv, "s:e:r:g:w:t:S:W:n:o:cv:d:")) != -1)
	{
		if (strchr(names, c) != NULL)
			file[strchr(names, c) - names] = optarg;
		else if (c == 's')
			scale = atoi(optarg);
		else if (c == 'e')
			triples = (uint32_t) strtoul(optarg, NULL, 10);
		else if (c == 'r')
			state = strtoull(optarg, NULL, 10) | 1;
		else if (c == 'n')
			queries = (uint32_t) strtoul(optarg, NULL, 10);
		else if (c == 'o')
			only = optarg;
		else if (c == 'c')
			core = true;
		else if (c == 'v')
			rows = (uint32_t) strtoul(optarg, NULL, 10);
		else if (c == 'd')
			dim = atoi(optarg);
		else
			return 2;
	}
	if (file[0] != NULL)
		transfer(&b.data, file[0], false);
	else
		generate(&b.data, scale, triples);
	if (file[1] != NULL)
		transfer(&b.data, file[1], true);
	if (file[2] != NULL)
		write_text(&b.data, file[2]);
	build_csr(&b.data, true, &b.simple);
	build_csr(&b.data, false, &b.multi);
	choose_seeds(&b, file[3], file[4], queries);
	prepare(&b, core);
	printf("what\tfloor_us\tcore_us\tratio\tfloor_check\tcore_check\n");
	measure_all(&b, core, only);
	if (rows > 0)
		measure_scan(rows, dim);
	return 0;
}
