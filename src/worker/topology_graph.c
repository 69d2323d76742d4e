/*-------------------------------------------------------------------------
 *
 * topology_graph.c
 *	  From an image to what embeddings are computed from.
 *
 * The image is walked three times: for the nodes, since the team's memory must
 * be known before anything is put there, and twice for the arcs (compute/csr.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "core/shape.h"
#include "error.h"
#include "worker/topology_graph.h"

#define DOING			"reading the graph"
#define ALIGNED(bytes)	(((size_t) (bytes) + 63) & ~(size_t) 63)

static uint32
pairs_of(const GmTopologyGraph *graph)
{
	return Min(graph->n, GM_TOPOLOGY_PAIRS);
}

static void *
allocate(size_t bytes)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, Max(bytes, 1),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* the service raises what it had core/ stop for */
static void
check(const GmTopologyReading *r, GmStatus status)
{
	if (status == GM_INTERRUPTED && r->service != NULL)
		r->service(r->service_arg);
	gm_error_check(status, DOING);
}

void
gm_topology_graph_view(const GmImage *image, const GmTopologySpec *spec, GmView *view)
{
	const GmGraph *g = image->graph;

	gm_view_init(g, image->now, view);
	if (spec->n_predicates >= 0)
	{
		uint8_t    *allowed = allocate(g->root->gr_predicates);

		for (int i = 0; i < spec->n_predicates; i++)
		{
			const char *name = spec->predicates[i];
			uint32_t	p = gm_graph_find_predicate(g, name, strlen(name));

			if (p != GM_NONE)
				allowed[p] = 1;
		}
		view->predicates = allowed;
		gm_view_settle(g, view);
	}
}

static size_t
team_bytes(const GmTopologyReading *r, const GmTopologyGraph *graph, size_t align_bytes)
{
	uint32		dim = r->spec->opts.dim;

	return 64 + gm_topology_spec_bytes(r->spec, graph->n, graph->facts) +
		ALIGNED((size_t) pairs_of(graph) * dim * sizeof(float)) + ALIGNED(align_bytes);
}

void
gm_topology_graph_count(const GmTopologyReading *r, GmTopologyGraph *graph)
{
	GmView		view;
	GmArcs		arcs = {r->image->graph, &view, r->spec->weighted, r->intr};
	uint64_t   *has = allocate(GM_ARCS_WORDS(r->image->graph) * sizeof(uint64_t));
	GmNode	   *spare;

	memset(graph, 0, sizeof(*graph));
	gm_topology_graph_view(r->image, r->spec, &view);
	check(r, gm_arcs_count(&arcs, has, &graph->n, &graph->facts));
	graph->node = allocate((size_t) graph->n * sizeof(GmNode));
	spare = allocate((size_t) graph->n * sizeof(GmNode));
	check(r, gm_arcs_order(&arcs, has, graph->node, spare, graph->n));
	pfree(spare);
	pfree(has);
	graph->bytes = team_bytes(r, graph, gm_compute()->align_bytes(r->spec->opts.dim));
}

/*
 * Reading
 */
typedef struct Shown
{
	const GmComputeApi *api;
	GmCsrBuild *build;
	const uint32 *number;		/* here, by node */
} Shown;

static GmStatus
count_arc(void *arg, GmNode from, GmNode to, float weight)
{
	Shown	   *shown = arg;

	return shown->api->csr_count(shown->build, shown->number[from], shown->number[to], weight);
}

static GmStatus
put_arc(void *arg, GmNode from, GmNode to, float weight)
{
	Shown	   *shown = arg;

	return shown->api->csr_put(shown->build, shown->number[from], shown->number[to], weight);
}

static GmOffset
take(GmOffset *at, size_t bytes)
{
	GmOffset	here = *at;

	*at += ALIGNED(bytes);
	return here;
}

/* the user's vectors; rows of nodes without one stay zero */
static void
read_given(const GmTopologyReading *r, GmTopologyGraph *graph)
{
	GmSpaceInfo *info = gm_image_space(r->image, r->spec->given, 0);
	uint32		dim = r->spec->opts.dim;
	float	   *to = (float *) (graph->team->base + graph->given);

	if (info->target != 'e' || info->dim != dim)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("vector space \"%s\" does not hold vectors of entities with %u elements",
						r->spec->given, dim)));
	for (uint32 i = 0; i < graph->n; i++)
	{
		uint32_t	row = gm_space_row_of(info->space, graph->node[i]);
		bool		there;

		if (i % 1024 == 0)
			r->service(r->service_arg);
		if (row == GM_NONE)
			continue;
		gm_error_check(gm_space_read(info->space, row, to + (size_t) i * dim, &there), DOING);
		if (!there)
			memset(to + (size_t) i * dim, 0, dim * sizeof(float));
	}
}

static void
read_shapes(const GmTopologyReading *r, const GmView *view, GmTopologyGraph *graph)
{
	uint64_t	edges = 0;

	graph->shape = allocate((size_t) graph->n * sizeof(uint64));
	for (uint32 i = 0; i < graph->n; i++)
	{
		GmNode		node = graph->node[i];

		graph->shape[i] = gm_shape_of(r->image->graph, view, r->spec->weighted, node);
		edges += 1 + GM_ARRAY_U32(&r->image->graph->degree, node);
		if (edges < GM_INTERRUPT_EVERY)
			continue;
		edges = 0;
		r->service(r->service_arg);
	}
}

static void
lay_out(const GmTopologyReading *r, GmTopologyGraph *graph, const GmCsrOpts *opts)
{
	const GmComputeApi *api = gm_compute();
	uint32		dim = r->spec->opts.dim;
	size_t		vectors = (size_t) graph->n * dim * sizeof(float);
	GmOffset	at = 64;

	graph->keys = take(&at, (size_t) graph->n * sizeof(uint64));
	graph->given = r->spec->opts.method == GM_TOPOLOGY_SMOOTH ? take(&at, vectors) : GM_NOWHERE;
	graph->pairs = take(&at, (size_t) pairs_of(graph) * dim * sizeof(float));
	graph->align = take(&at, api->align_bytes(dim));
	api->csr_begin(&graph->build, graph->team->base, at, opts, graph->n, graph->facts);
	(void) take(&at, gm_csr_bytes(opts, graph->n, graph->facts));
	graph->work = at;
	graph->work_bytes = graph->bytes - at;
}

void
gm_topology_graph_read(const GmTopologyReading *r, GmTopologyGraph *graph)
{
	const GmGraph *g = r->image->graph;
	GmCsrOpts	opts = {.weighted = r->spec->weighted};
	GmView		view;
	GmArcs		arcs = {g, &view, r->spec->weighted, r->intr};
	uint32	   *number = allocate((size_t) g->root->gr_nodes * sizeof(uint32));
	uint64	   *keys;
	Shown		shown = {gm_compute(), &graph->build, number};

	gm_topology_graph_view(r->image, r->spec, &view);
	graph->team = gm_team_create(graph->bytes, r->members, r->service, r->service_arg);
	lay_out(r, graph, &opts);
	keys = (uint64 *) (graph->team->base + graph->keys);
	for (uint32 i = 0; i < graph->n; i++)
	{
		number[graph->node[i]] = i;
		keys[i] = (uint64) gm_graph_entity_id(g, graph->node[i]);
		if (i % GM_INTERRUPT_EVERY == 0)
			r->service(r->service_arg);
	}
	check(r, gm_arcs_each(&arcs, count_arc, &shown));
	shown.api->csr_counted(&graph->build);
	check(r, gm_arcs_each(&arcs, put_arc, &shown));
	pfree(number);
	if (graph->given != GM_NOWHERE)
		read_given(r, graph);
	read_shapes(r, &view, graph);
	pfree(graph->node);
	graph->node = NULL;
}
