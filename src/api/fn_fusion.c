/*-------------------------------------------------------------------------
 *
 * fn_fusion.c
 *	  fusion_query: hits from vectors, text and names, ranked by core/fusion.h.
 *
 * A hit on a fact or a source becomes hits on entities.  A fact stands for its
 * subject and its object alike.  A source stands for the entities of the facts
 * that it asserts: one that takes part n times has the share n / sqrt(sum of
 * n^2), so that a source about many things says more in all and less of each,
 * and its main subject gets most.  Of a source the first SOURCE_FACTS facts
 * count that the query may see, by id.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "api/filter.h"
#include "api/matching.h"
#include "api/rows.h"
#include "api/sql.h"
#include "api/text.h"
#include "core/fusion.h"
#include "error.h"
#include "image/image.h"
#include "guc.h"

#define SOURCE_FACTS	1000
#define MAX_WEIGHT		1000.0	/* as of the settings */
#define MAX_DAMPING		0.999f
#define MAX_RRF_K		1000000

#define DOING			"running a fusion query"

enum
{
	ARG_EMBEDDING,
	ARG_TEXT,
	ARG_SEEDS,
	ARG_MATCH_COUNT,
	ARG_MAX_HOPS,
	ARG_PREDICATES,
	ARG_KINDS,
	ARG_FILTER,
	ARG_SOURCES,
	ARG_SESSIONS,
	ARG_MIN_CONFIDENCE,
	ARG_AS_OF,
	ARG_KNOWN_AT,
	ARG_SEMANTIC_WEIGHT,
	ARG_TEXT_WEIGHT,
	ARG_GRAPH_WEIGHT,
	ARG_TOPOLOGY_WEIGHT,
	ARG_CONFIDENCE_WEIGHT,
	ARG_RECENCY_WEIGHT,
	ARG_METHOD,
	ARG_DAMPING,
	ARG_RRF_K,
	ARG_EF_SEARCH,
	ARG_EXACT,
	ARG_SPACE,
	ARG_GRAPH
};

enum
{
	LIST_SEEDS,
	LIST_NAMES,
	LIST_TEXT,
	LIST_TEXT_SOURCES,
	LIST_FACTS,
	LIST_SOURCES,
	LISTS
};

typedef struct Question
{
	FunctionCallInfo fcinfo;
	GmImage    *image;
	GmView		view;
	GmFusionOpts opts;
	GmFusionList lists[LISTS];
	const float *vector;
	uint32_t	dim;
	uint64_t   *known_entities; /* NULL: all */
	uint64_t   *known_sources;	/* likewise */
	uint64_t   *sources;		/* that may be hits; NULL: all */
	const GmSpaceInfo *entities;	/* the space searched; NULL: none */
	GmSpaceQuery prepared;		/* for it */
	GmSpaceReport report;
	const GmSpaceInfo *topology;	/* of the leg; NULL: none */
	GmSpaceReport topology_report;
} Question;

static GmSql facts_of_sources = {
	"SELECT u.n, a.fact_id FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($5))"
	" WITH ORDINALITY AS u(source_id, after, n),"
	" LATERAL (SELECT b.fact_id FROM graphmem.assertions b WHERE b.graph_id" GM_EQ "$1"
	" AND b.source_id" GM_EQ "u.source_id AND b.asserted_at OPERATOR(pg_catalog.<=) $3"
	" AND b.fact_id OPERATOR(pg_catalog.>) u.after"
	" ORDER BY b.fact_id LIMIT $4) AS a ORDER BY u.n, a.fact_id",
	5, {INT4OID, INT8ARRAYOID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID}
};

/*
 * Hits on sources
 */
typedef struct SourceHit
{
	uint32_t	source;
	float		score;
} SourceHit;

/* hits in a growing array */
typedef struct Hits
{
	GmFusionHit *hits;
	uint32_t	count;
	uint32_t	room;
} Hits;

static void
add_hit(Hits *h, GmNode node, uint32_t rank, double score, double share, uint32_t source)
{
	if (h->count == h->room)
	{
		h->room = h->room == 0 ? 64 : h->room * 2;
		h->hits = h->hits == NULL ? palloc(h->room * sizeof(GmFusionHit)) :
			repalloc_huge(h->hits, h->room * sizeof(GmFusionHit));
	}
	h->hits[h->count++] = (GmFusionHit) {node, rank, (float) score, (float) share, source};
}

/* by id, which the order of hits follows */
static int
compare_nodes(const void *a, const void *b, void *arg)
{
	const GmGraph *g = arg;
	int64_t		x = gm_graph_entity_id(g, *(const GmNode *) a);
	int64_t		y = gm_graph_entity_id(g, *(const GmNode *) b);

	return (x > y) - (x < y);
}

/* nodes: of the facts of one source, each as often as it takes part */
static void
share_hit(const GmGraph *g, Hits *h, GmNode *nodes, uint32_t n, uint32_t rank, const SourceHit *hit)
{
	double		squares = 0;

	qsort_arg(nodes, n, sizeof(GmNode), compare_nodes, unconstify(GmGraph *, g));
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t i = 0, end; i < n; i = end)
		{
			double		times;

			for (end = i + 1; end < n && nodes[end] == nodes[i]; end++)
				;
			times = end - i;
			if (pass == 0)
				squares += times * times;
			else
				add_hit(h, nodes[i], rank, hit->score * times / sqrt(squares),
						times / sqrt(squares), hit->source);
		}
}

/* what a source stands for, as far as it was read */
typedef struct SourceFacts
{
	GmNode	   *nodes;			/* room for the ends of SOURCE_FACTS facts */
	uint32_t	count;
	int64_t		last;			/* fact */
	bool		more;
} SourceFacts;

/* the next page of each source that has one and not yet its number of visible facts */
static bool
read_source_facts(Question *q, const SourceHit *hits, SourceFacts *facts, int n)
{
	const GmGraph *g = q->image->graph;
	Datum	   *ids = palloc(n * sizeof(Datum));
	Datum	   *after = palloc(n * sizeof(Datum));
	SourceFacts **asked = palloc(n * sizeof(SourceFacts *));
	Datum		args[5];
	uint64		row = 0;
	int			level;
	int			pages = 0;
	bool		again = false;

	for (int i = 0; i < n; i++)
	{
		if (!facts[i].more)
			continue;
		asked[pages] = &facts[i];
		ids[pages] = Int64GetDatum(gm_graph_source(g, hits[i].source)->source_id);
		after[pages++] = Int64GetDatum(facts[i].last);
	}
	args[0] = Int32GetDatum(q->image->graph_id);
	args[1] = gm_sql_array(INT8OID, ids, NULL, pages);
	args[2] = TimestampTzGetDatum(q->view.known_at);
	args[3] = Int64GetDatum(SOURCE_FACTS);
	args[4] = gm_sql_array(INT8OID, after, NULL, pages);
	level = gm_sql_enter();
	gm_sql_read(&facts_of_sources, args, NULL);
	for (int i = 0; i < pages; i++)
	{
		SourceFacts *f = asked[i];
		uint64		first = row;

		for (; row < SPI_processed && gm_sql_int8(row, 1) == i + 1; row++)
		{
			GmSlot		slot;

			f->last = gm_sql_int8(row, 2);
			if (f->count == 2 * SOURCE_FACTS)
				continue;
			slot = gm_graph_visible_version(g, &q->view, f->last);
			if (slot == GM_NONE)
				continue;
			f->nodes[f->count++] = GM_ARRAY_U32(&g->subject, slot);
			f->nodes[f->count++] = GM_ARRAY_U32(&g->object, slot);
		}
		f->more = row - first == SOURCE_FACTS && f->count < 2 * SOURCE_FACTS;
		again |= f->more;
	}
	gm_sql_leave(level);
	return again;
}

static void
add_source_hits(Question *q, Hits *h, const SourceHit *hits, int n)
{
	SourceFacts *facts = palloc((n + 1) * sizeof(SourceFacts));

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		facts[i] = (SourceFacts) {palloc(2 * SOURCE_FACTS * sizeof(GmNode)), 0, PG_INT64_MIN, true};
	while (read_source_facts(q, hits, facts, n))
		CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < n; i++)
		if (facts[i].count > 0)
			share_hit(q->image->graph, h, facts[i].nodes, facts[i].count, (uint32_t) i + 1, &hits[i]);
}

/*
 * Lists
 */
static void
set_list(Question *q, int list, GmFusionKind kind, double weight, const Hits *h)
{
	q->lists[list] = (GmFusionList) {kind, weight, h->hits, h->count};
}

static void
list_seeds(Question *q)
{
	Hits		h = {0};
	GmNode	   *nodes;
	uint32_t	n;

	if (q->fcinfo->args[ARG_SEEDS].isnull)
		return;
	nodes = gm_arg_nodes(q->fcinfo, ARG_SEEDS, "seeds", q->image->graph, q->view.known_at, &n);
	for (uint32_t i = 0; i < n; i++)
		if (q->opts.seeds == NULL || gm_bit_test(q->opts.seeds, nodes[i]))
			add_hit(&h, nodes[i], 1, 1, 1, GM_NONE);
	set_list(q, LIST_SEEDS, GM_FUSION_SEED, 1, &h);
}

/* GmTextKnown.is_known */
static bool
entity_is_known(const void *arg, int64 id)
{
	const Question *q = arg;
	GmNode		node = gm_graph_find_entity(q->image->graph, id);

	return node != GM_NONE && gm_bit_test(q->known_entities, node);
}

static bool
source_is_known(const void *arg, int64 id)
{
	const Question *q = arg;
	uint32_t	source = gm_graph_find_source_id(q->image->graph, id);

	return source != GM_NONE && gm_bit_test(q->known_sources, source);
}

static void
list_text_entities(Question *q, const char *text)
{
	int			limit = gm_guc_text_candidates;
	GmTextHit  *found = palloc(limit * sizeof(GmTextHit));
	GmTextKnown known = {entity_is_known, q};
	int			n = gm_text_entities(q->image->graph_id, text, limit,
									 q->known_entities == NULL ? NULL : &known, found);
	Hits		names = {0};
	Hits		others = {0};

	for (int i = 0; i < n; i++)
	{
		GmNode		node = gm_graph_find_entity(q->image->graph, found[i].id);

		if (node == GM_NONE || (q->opts.seeds != NULL && !gm_bit_test(q->opts.seeds, node)))
			continue;
		if (found[i].score >= 1)
			add_hit(&names, node, 1, 1, 1, GM_NONE);
		else
			add_hit(&others, node, others.count + 1, found[i].score, 1, GM_NONE);
	}
	set_list(q, LIST_NAMES, GM_FUSION_NAME, q->opts.text_weight, &names);
	set_list(q, LIST_TEXT, GM_FUSION_TEXT, q->opts.text_weight, &others);
}

static void
list_text_sources(Question *q, const char *text)
{
	int			limit = gm_guc_text_candidates;
	GmTextHit  *found = palloc(limit * sizeof(GmTextHit));
	SourceHit  *hits = palloc(limit * sizeof(SourceHit));
	GmTextKnown known = {source_is_known, q};
	int			n;
	int			kept = 0;
	Hits		h = {0};

	if (q->image->graph->root->gr_sources == 0)
		return;
	n = gm_text_sources(q->image->graph_id, text, limit,
						q->known_sources == NULL ? NULL : &known, found);
	for (int i = 0; i < n; i++)
	{
		uint32_t	source = gm_graph_find_source_id(q->image->graph, found[i].id);

		if (source != GM_NONE && (q->sources == NULL || gm_bit_test(q->sources, source)))
			hits[kept++] = (SourceHit) {source, found[i].score};
	}
	add_source_hits(q, &h, hits, kept);
	set_list(q, LIST_TEXT_SOURCES, GM_FUSION_TEXT, q->opts.text_weight, &h);
}

/* the nearest rows of a space of facts or sources; numbers: of sources, NULL for all */
static GmSpaceHit *
nearest(const Question *q, const GmSpaceInfo *info, uint64_t *numbers, uint32_t *n)
{
	GmSpaceWish wish = {
		.k = q->opts.vector_candidates, .ef_search = q->opts.ef_search, .exact = q->opts.exact,
		.without = GM_NONE
	};
	GmSpaceQuery prepared;
	GmMatch		match;

	gm_arg_vector_check(info, q->vector, q->dim, "query_embedding", &prepared);
	gm_match_view(q->image, info, &q->view, numbers, &match);
	return gm_match_nearest(&match, &prepared, wish, n);
}

static void
list_facts(Question *q, const GmSpaceInfo *info)
{
	const GmGraph *g = q->image->graph;
	Hits		h = {0};
	uint32_t	n;
	GmSpaceHit *hits = nearest(q, info, NULL, &n);

	for (uint32_t i = 0; i < n; i++)
	{
		double		score = gm_space_similarity(info->metric, hits[i].distance);
		GmSlot		slot = gm_graph_visible_version(g, &q->view,
													gm_space_item_id(info->space,
																	 hits[i].row));

		if (slot == GM_NONE)
			continue;
		add_hit(&h, GM_ARRAY_U32(&g->subject, slot), i + 1, score, 1, GM_NONE);
		add_hit(&h, GM_ARRAY_U32(&g->object, slot), i + 1, score, 1, GM_NONE);
	}
	set_list(q, LIST_FACTS, GM_FUSION_VECTOR, q->opts.vector_weight, &h);
}

static void
list_sources(Question *q, const GmSpaceInfo *info)
{
	uint32_t	n;
	GmSpaceHit *found = nearest(q, info, q->sources, &n);
	SourceHit  *hits = palloc((n + 1) * sizeof(SourceHit));
	Hits		h = {0};

	for (uint32_t i = 0; i < n; i++)
		hits[i] = (SourceHit) {gm_space_number(info->space, found[i].row),
		(float) gm_space_similarity(info->metric, found[i].distance)};
	add_source_hits(q, &h, hits, (int) n);
	set_list(q, LIST_SOURCES, GM_FUSION_VECTOR, q->opts.vector_weight, &h);
}

static void
use_space(Question *q, const GmSpaceInfo *info)
{
	switch (info->target)
	{
		case 'e':
			gm_arg_vector_check(info, q->vector, q->dim, "query_embedding", &q->prepared);
			q->entities = info;
			q->opts.space = info->space;
			q->opts.report = &q->report;
			q->opts.vector = &q->prepared;
			break;
		case 'f':
			list_facts(q, info);
			break;
		default:
			list_sources(q, info);
			break;
	}
}

/* the vector fits none of the spaces, or several of the same target */
static void
refuse_vector(Question *q)
{
	const GmSpaceInfo *first = NULL;
	int			fit = 0;

	for (int i = 0; i < q->image->n_spaces; i++)
	{
		const GmSpaceInfo *info = &q->image->spaces[i];

		if (info->computed)
			continue;
		fit += info->dim == q->dim;
		if (first == NULL)
			first = info;
	}
	if (fit > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"space\" is missing"),
				 errdetail("The graph has %d vector spaces of %u dimensions, none of them called \"default\".",
						   fit, q->dim)));
	if (first != NULL)
		gm_arg_vector_check(first, q->vector, q->dim, "query_embedding", &q->prepared);
}

/*
 * The space named; without a name that of entities, that of facts and that of
 * sources, of those that have the vector's dimension.
 */
static void
use_spaces(Question *q)
{
	static const char targets[] = {'e', 'f', 's'};
	char	   *name = gm_arg_cstring(q->fcinfo, ARG_SPACE);
	int			used = 0;

	if (name != NULL)
	{
		use_space(q, gm_image_space(q->image, name, 0));
		return;
	}
	for (int i = 0; i < lengthof(targets); i++)
	{
		GmSpaceInfo *info = gm_image_space_of(q->image, targets[i], q->dim);

		if (info == NULL)
			continue;
		use_space(q, info);
		used++;
	}
	if (used == 0)
		refuse_vector(q);
}

static void
check_weights(const GmFusionOpts *o)
{
	if (gm_fusion_weight(o) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no weight above zero is left to rank by"),
				 errdetail("The vector leg counts with a query_embedding only, the text leg with a query_text only, and the topology leg with a computed vector space only.")));
}

/* before any list: a call that cannot be ranked is refused at once */
static void
use_topology(Question *q)
{
	GmFusionOpts *o = &q->opts;

	if (!o->topology_asked)
		return;
	q->topology = gm_image_topology(q->image);
	o->topology_asked = q->topology != NULL;
	if (q->topology != NULL)
	{
		o->topology = q->topology->space;
		o->topology_report = &q->topology_report;
	}
	check_weights(o);
}

/*
 * Arguments
 */
static double
weight(FunctionCallInfo fcinfo, int n, const char *name, double missing)
{
	return gm_arg_real(fcinfo, n, name, 0, MAX_WEIGHT, missing);
}

static bool
by_hops(FunctionCallInfo fcinfo)
{
	char	   *method = gm_arg_cstring(fcinfo, ARG_METHOD);

	if (method == NULL)
		return gm_guc_method == GM_METHOD_HOPS;
	if (strcmp(method, "ppr") != 0 && strcmp(method, "hops") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("method \"%s\" does not exist", method),
				 errhint("Methods are \"ppr\" and \"hops\".")));
	return strcmp(method, "hops") == 0;
}

/* everything that can be checked without the image */
static void
get_options(FunctionCallInfo fcinfo, Question *q)
{
	GmFusionOpts *o = &q->opts;

	if (PG_ARGISNULL(ARG_EMBEDDING) && PG_ARGISNULL(ARG_TEXT) && PG_ARGISNULL(ARG_SEEDS))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("nothing to search for"),
				 errhint("Give at least one of \"query_embedding\", \"query_text\" and \"seeds\".")));
	q->vector = gm_arg_vector(fcinfo, ARG_EMBEDDING, "query_embedding", &q->dim);
	o->match_count = (uint32_t) gm_arg_count4(fcinfo, ARG_MATCH_COUNT, "match_count", 10);
	o->max_hops = gm_arg_near_hops(fcinfo, ARG_MAX_HOPS, "max_hops", 2);
	o->vector_asked = q->vector != NULL;
	o->text_asked = !PG_ARGISNULL(ARG_TEXT);
	o->vector_weight = weight(fcinfo, ARG_SEMANTIC_WEIGHT, "semantic_weight",
							  gm_guc_semantic_weight);
	o->text_weight = weight(fcinfo, ARG_TEXT_WEIGHT, "text_weight", gm_guc_text_weight);
	o->graph_weight = weight(fcinfo, ARG_GRAPH_WEIGHT, "graph_weight", gm_guc_graph_weight);
	o->topology_weight = weight(fcinfo, ARG_TOPOLOGY_WEIGHT, "topology_weight",
								gm_guc_topology_weight);
	o->topology_asked = o->topology_weight > 0;
	o->confidence_weight = weight(fcinfo, ARG_CONFIDENCE_WEIGHT, "confidence_weight",
								  gm_guc_confidence_weight);
	o->recency_weight = weight(fcinfo, ARG_RECENCY_WEIGHT, "recency_weight",
							   gm_guc_recency_weight);
	check_weights(o);
	o->by_hops = by_hops(fcinfo);
	o->damping = gm_arg_real(fcinfo, ARG_DAMPING, "damping", 0, MAX_DAMPING, gm_guc_damping);
	o->epsilon = gm_guc_ppr_epsilon;
	o->rrf_k = gm_arg_count4(fcinfo, ARG_RRF_K, "rrf_k", gm_guc_rrf_k);
	if (o->rrf_k > MAX_RRF_K)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"rrf_k\" must be between 0 and %d", MAX_RRF_K),
				 errdetail("It is %.0f.", o->rrf_k)));
	o->ef_search = (uint32_t) gm_arg_ef_search(fcinfo, ARG_EF_SEARCH);
	o->exact = gm_arg_bool(fcinfo, ARG_EXACT, false);
	o->vector_candidates = (uint32_t) gm_guc_vector_candidates;
}

/* which facts, sources and entities count */
static void
get_filters(FunctionCallInfo fcinfo, Question *q)
{
	const GmGraph *g = q->image->graph;
	uint32_t	n = g->root->gr_nodes;
	int64_t		known_at;
	uint64_t   *seeds;
	uint64_t   *results;

	gm_arg_view(fcinfo, ARG_MIN_CONFIDENCE, q->image, &q->view);
	q->view.predicates = gm_arg_predicates(fcinfo, ARG_PREDICATES, g);
	known_at = q->view.known_at;
	q->known_entities = gm_filter_known(q->image, GM_FILTER_ENTITIES, known_at);
	q->known_sources = gm_filter_known(q->image, GM_FILTER_SOURCES, known_at);
	seeds = gm_filter_and(NULL, q->known_entities, n);
	q->sources = gm_filter_sources(fcinfo, ARG_SOURCES, ARG_SESSIONS, g);
	if (q->sources != NULL)
		q->view.slots = gm_filter_asserted(g, q->sources, known_at);
	gm_view_settle(g, &q->view);
	if (q->sources != NULL)
		seeds = gm_filter_and(seeds, gm_filter_touched(g, &q->view), n);
	results = gm_filter_and(gm_arg_kinds(fcinfo, ARG_KINDS, g),
							gm_filter_properties(fcinfo, ARG_FILTER, q->image,
												 GM_FILTER_ENTITIES), n);
	q->sources = gm_filter_and(q->sources, q->known_sources, g->root->gr_sources);
	q->opts.seeds = seeds;
	q->opts.results = results == NULL ? seeds : gm_filter_and(results, seeds, n);
	q->opts.now = Min(q->image->now, gm_arg_known_at(fcinfo, ARG_KNOWN_AT));
}

/*
 * Rows
 */
static void *
allocate(void *context, size_t bytes)
{
	return MemoryContextAllocExtended(context, bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static void
put_leg(GmRows *rows, double leg)
{
	if (isnan(leg))
		gm_row_null(rows);
	else
		gm_row_float8(rows, leg);
}

static void
put_row(const GmGraph *g, GmRows *rows, const GmFusionRow *row)
{
	GmSlot	   *slots = gm_row_alloc(rows, (row->hops + (Size) 1) * sizeof(GmSlot));
	bool	   *out = gm_row_alloc(rows, row->hops + (Size) 1);
	const GmString **names = gm_row_alloc(rows,
										  (row->source_count + (Size) 1) * sizeof(GmString *));

	for (int i = 0; i < row->hops; i++)
	{
		slots[i] = row->steps[i + 1].slot;
		out[i] = row->steps[i + 1].out;
	}
	for (uint32_t i = 0; i < row->source_count; i++)
		names[i] = gm_graph_string(g, gm_graph_source(g, row->sources[i])->name);
	gm_row_int8(rows, (int64_t) rows->count + 1);
	gm_row_int8(rows, gm_graph_entity_id(g, row->node));
	gm_row_string(rows, gm_graph_name(g, row->node));
	gm_row_string(rows, gm_graph_kind(g, row->node));
	gm_row_float8(rows, row->score);
	put_leg(rows, row->vector_score);
	put_leg(rows, row->text_score);
	put_leg(rows, row->graph_score);
	put_leg(rows, row->topology_score);
	gm_row_float4(rows, (float) row->confidence);
	gm_row_int4(rows, row->hops);
	gm_row_path(rows, g, row->steps[0].node, slots, out, row->hops);
	gm_row_strings(rows, names, (int) row->source_count);
	gm_rows_put(rows);
}

/*
 * fusion_query(query_embedding, query_text, seeds, match_count, max_hops, ...):
 * the order of the arguments is that of the enum above.
 */
GM_READING_FUNCTION(graphmem_fusion_query)
{
	Question	q = {.fcinfo = fcinfo};
	GmFusionMemory memory = {allocate, CurrentMemoryContext};
	const GmFusionRow *found;
	uint32_t	count;
	GmRows		rows;

	get_options(fcinfo, &q);
	q.image = gm_image_open(gm_arg_cstring(fcinfo, ARG_GRAPH));
	use_topology(&q);
	get_filters(fcinfo, &q);
	list_seeds(&q);
	if (q.vector != NULL && q.opts.vector_weight > 0)
		use_spaces(&q);
	if (q.opts.text_asked && q.opts.text_weight > 0 && q.image->graph_id != 0)
	{
		char	   *text = gm_arg_cstring(fcinfo, ARG_TEXT);

		list_text_entities(&q, text);
		list_text_sources(&q, text);
	}
	q.opts.lists = q.lists;
	q.opts.list_count = LISTS;
	q.opts.work = gm_image_work();
	gm_rows_begin(fcinfo, &rows);
	gm_error_check(gm_fusion(q.image->graph, &q.view, q.image->scratch, &q.opts, &memory,
							 &gm_server_interrupt, &found, &count), DOING);
	if (q.entities != NULL && (q.report.exact || q.report.distances > 0))
		gm_image_searched(q.image, q.entities, &q.report);
	if (q.topology != NULL && (q.topology_report.exact || q.topology_report.distances > 0))
		gm_image_searched(q.image, q.topology, &q.topology_report);
	for (uint32_t i = 0; i < count; i++)
		put_row(q.image->graph, &rows, &found[i]);
	return (Datum) 0;
}
