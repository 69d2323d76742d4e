/*-------------------------------------------------------------------------
 *
 * support.c
 *	  What the planner is told of the reading functions: rows and cost of a call.
 *
 * One support function serves them all; each has a line below, which says where
 * its arguments are.  What is known of the graph comes from the shared image,
 * if this session has had it before, so that a known name's own degree counts;
 * else from the statistics of the tables; without either the planner keeps the
 * ROWS and COST of the function's definition.
 *
 * At plan time nothing is loaded, waited for or locked, and an argument that
 * would be refused is not looked at closely: the call will say so.  Arguments
 * that are calls of stable functions are run, as for any other estimate, but
 * before the image is looked at, which they may open, change or throw out.
 *
 * Costs are in units of cpu_operator_cost, 400 a call that finds nothing: with
 * the default of 0.0025, one unit of the planner's is 5 microseconds, about
 * what it is for a sequential scan of cached pages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "api/args.h"
#include "core/estimate.h"
#include "guc.h"
#include "image/fetch.h"
#include "image/image.h"

PG_FUNCTION_INFO_V1(graphmem_plan_support);

/* operators' costs, measured as nanoseconds / 12.5 */
#define COST_CALL			400
#define COST_ROW			40		/* names made, put into the tuplestore */
#define COST_SCANNED		0.4		/* an arc or fact looked at */
#define COST_RANKED			2.4		/* an arc, all of PageRank's iterations together */
#define COST_JOINED			1.6		/* a fact, in components */
#define COST_PUSHED			8		/* an arc, in PageRank from seeds */
#define COST_BY_CONFIDENCE	0.6		/* an arc of the graph, in a path by confidence */
#define COST_ELEMENT		0.009	/* of a vector compared */
#define COST_FUSED			18000	/* fusion_query from seeds */
#define COST_TEXT			6000	/* what text adds to that */

#define UNKNOWN_LIMIT		0.1		/* of all rows, as the planner takes a LIMIT to mean */
#define UNKNOWN_ELEMENTS	384		/* dimensions of a vector */
#define UNKNOWN_ARRAY		10		/* elements, as the planner takes them */
#define COUNTED_RUN			4096	/* records looked at for a predicate's */
#define NEIGHBORS_LOOKED	64

typedef enum Kind
{
	MATCH, NEIGHBORS, TRAVERSE, REACH, SHORTEST_PATH, PATHS, SUBGRAPH, PAGERANK, COMPONENTS,
	VECTOR_SEARCH, VECTOR_BATCH, FUSION
} Kind;

/* positions of arguments; 0 for one that it does not have, but for from */
typedef struct Function
{
	const char *name;
	Kind		kind;
	int			args;
	int			from;			/* subject, entity, seeds, a */
	int			predicate;		/* text or text[] */
	int			object;
	int			match_count;
	int			rows;			/* when match_count is NULL; 0: all */
	int			max_hops;
	int			hops;			/* when max_hops is NULL */
	int			direction;
	int			object_type;
	int			graph;
} Function;

static const Function functions[] = {
	{"match", MATCH, .args = 9, .from = 0, .predicate = 1, .object = 2, .match_count = 3,
	.object_type = 7, .graph = 8},
	{"confidence", MATCH, .args = 7, .from = 0, .predicate = 1, .object = 2, .object_type = 5,
	.graph = 6},
	{"neighbors", NEIGHBORS, .args = 8, .from = 0, .direction = 1, .predicate = 2,
	.match_count = 3, .graph = 7},
	{"traverse", TRAVERSE, .args = 11, .from = 0, .max_hops = 1, .hops = 2, .match_count = 3,
	.direction = 4, .predicate = 5, .graph = 10},
	{"reach", REACH, .args = 8, .from = 0, .max_hops = 1, .hops = 2, .direction = 2,
	.predicate = 3, .graph = 7},
	{"shortest_path", SHORTEST_PATH, .args = 10, .from = 0, .graph = 9},
	{"paths", PATHS, .args = 11, .from = 0, .match_count = 2, .rows = 3, .graph = 10},
	{"subgraph", SUBGRAPH, .args = 9, .from = 0, .max_hops = 1, .hops = 1, .match_count = 2,
	.direction = 3, .predicate = 4, .graph = 8},
	{"pagerank", PAGERANK, .args = 12, .from = 0, .match_count = 1, .graph = 11},
	{"components", COMPONENTS, .args = 7, .from = 0, .match_count = 0, .graph = 6},
	{"vector_search", VECTOR_SEARCH, .args = 15, .from = 0, .match_count = 1, .rows = 10,
	.graph = 14},
	{"similar", VECTOR_SEARCH, .args = 15, .from = 0, .match_count = 1, .rows = 10, .graph = 14},
	{"vector_search_batch", VECTOR_BATCH, .args = 6, .from = 0, .match_count = 1, .rows = 10,
	.graph = 5},
	{"fusion_query", FUSION, .args = 26, .from = 2, .match_count = 3, .rows = 10, .graph = 25},
};

/* other arguments */
#define WEIGHT_ARG(kind)	((kind) == PATHS ? 4 : 2)	/* of the two path functions */
#define NEIGHBORS_AS_OF		5
#define NEIGHBORS_KNOWN_AT	6
#define PAGERANK_DAMPING	8
#define PAGERANK_EPSILON	9
#define SEARCH_ITEM_IDS		6
#define SEARCH_EXACT		13
#define BATCH_EXACT			4
#define FUSION_EMBEDDING	0
#define FUSION_TEXT			1

/* a call, and what is known of it */
typedef struct Call
{
	const Function *f;
	PlannerInfo *root;
	List	   *args;			/* those known now are constants */
	GmShape		shape;
	GmDirection direction;
	double		seeds;
	double		share;			/* of the facts, that the predicates let through */
	double		first;			/* facts of the seeds; below 0 unknown */
	double		second;			/* facts of their neighbours; likewise */
	double		of_object;		/* facts of the object; below 0 unknown */
	bool		nothing;		/* a name that the graph does not have */
} Call;

typedef struct Estimate
{
	double		rows;
	double		cost;			/* in operators */
} Estimate;

/*
 * Arguments
 */

/* only whether it is NULL counts, and what makes it may be a model's call */
static bool
is_searched_for(const Function *f, int n)
{
	if (f->kind == FUSION)
		return n == FUSION_EMBEDDING || n == FUSION_TEXT;
	return (f->kind == VECTOR_SEARCH || f->kind == VECTOR_BATCH) && n == f->from;
}

static List *
estimated_arguments(PlannerInfo *root, const Function *f, List *args)
{
	List	   *estimated = NIL;
	ListCell   *cell;

	foreach(cell, args)
	{
		Node	   *arg = lfirst(cell);

		if (root != NULL && !IsA(arg, Const) &&
			(IsA(arg, Param) || !is_searched_for(f, foreach_current_index(cell))))
			arg = estimate_expression_value(root, arg);
		estimated = lappend(estimated, arg);
	}
	return estimated;
}

/* the argument's value, if it is known now; else NULL */
static Const *
value_of(const Call *c, int n)
{
	Node	   *arg = list_nth(c->args, n);

	return IsA(arg, Const) ? (Const *) arg : NULL;
}

static bool
is_null(const Call *c, int n)
{
	Const	   *value = value_of(c, n);

	return value != NULL && value->constisnull;
}

/* a known one that is not NULL */
static Const *
given(const Call *c, int n)
{
	Const	   *value = value_of(c, n);

	return value == NULL || value->constisnull ? NULL : value;
}

static char *
text_given(const Call *c, int n)
{
	Const	   *value = given(c, n);

	return value == NULL ? NULL : TextDatumGetCString(value->constvalue);
}

static double
number(const Const *value)
{
	switch (value->consttype)
	{
		case INT4OID:
			return DatumGetInt32(value->constvalue);
		case INT8OID:
			return (double) DatumGetInt64(value->constvalue);
		case FLOAT4OID:
			return DatumGetFloat4(value->constvalue);
		case FLOAT8OID:
			return DatumGetFloat8(value->constvalue);
	}
	return 0;
}

static double
number_or(const Call *c, int n, double otherwise)
{
	Const	   *value = given(c, n);

	return value == NULL ? otherwise : number(value);
}

/* rows that come of so many */
static double
limited(const Call *c, double rows)
{
	const Function *f = c->f;
	Const	   *value;

	if (f->match_count == 0 && f->kind != COMPONENTS)
		return rows;
	value = value_of(c, f->match_count);
	if (value != NULL && value->constisnull)
		return f->rows == 0 ? rows : Min(rows, f->rows);
	if (value != NULL)
		return Min(rows, Max(number(value), 0));
	return f->rows == 0 ? Max(rows * UNKNOWN_LIMIT, 1) : Min(rows, f->rows);
}

static text **
texts_of(const Const *value, int *count)
{
	ArrayType  *array;
	Datum	   *datums;
	bool	   *nulls;
	text	  **texts;
	int			n;

	*count = 0;
	array = DatumGetArrayTypeP(value->constvalue);
	if (ARR_NDIM(array) != 1)
		return NULL;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &datums, &nulls, &n);
	texts = palloc((n + 1) * sizeof(text *));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			texts[(*count)++] = DatumGetTextPP(datums[i]);
	return texts;
}

static bool
is_array(const Call *c, int n)
{
	return exprType(list_nth(c->args, n)) == TEXTARRAYOID;
}

/* one text, or the elements of an array of them; NULL: not known now */
static text **
names_given(const Call *c, int n, int *count)
{
	Const	   *value = given(c, n);
	text	  **one;

	*count = 0;
	if (value == NULL)
		return NULL;
	if (is_array(c, n))
		return texts_of(value, count);
	one = palloc(sizeof(text *));
	*one = DatumGetTextPP(value->constvalue);
	*count = 1;
	return one;
}

static double
elements_of(const Call *c, int n)
{
	Node	   *array = list_nth(c->args, n);

	if (!IsA(array, Const) && c->root == NULL)
		return UNKNOWN_ARRAY;
	return gm_compat_array_length(c->root, array);
}

/* predicates that are given and not known are any, as many as there are names */
static double
unknown_share(const Call *c)
{
	int			n = c->f->predicate;

	if (n == 0 || is_null(c, n))
		return 1;
	return Min((is_array(c, n) ? elements_of(c, n) : 1) / Max(c->shape.predicates, 1), 1);
}

/*
 * The image
 */

/* the part of facts that these predicates make up */
static double
share_of(const GmGraph *g, text **names, int count)
{
	double		triples = 0;

	for (int i = 0; i < count; i++)
	{
		uint32_t	p = gm_graph_find_predicate(g, VARDATA_ANY(names[i]),
												VARSIZE_ANY_EXHDR(names[i]));

		if (p != GM_NONE)
			triples += gm_graph_predicate(g, p)->triples;
	}
	return g->root->gr_live_slots == 0 ? 0 : Min(triples / g->root->gr_live_slots, 1);
}

static double
records_of(const GmGraph *g, GmNode node, GmDirection direction, uint32_t predicate,
		   double share)
{
	GmRunView	run = gm_graph_run(g, node, direction);
	uint32_t	n = 0;

	if (predicate == GM_NONE || run.length > COUNTED_RUN)
		return run.length * share;
	for (uint32_t i = 0; i < run.length; i++)
		n += run.predicate[i] == predicate;
	return n;
}

/* facts of these entities' neighbours, from a look at some of them */
static double
facts_beyond(const Call *c, const GmGraph *g, text **names, int count)
{
	double		facts = 0;
	double		looked = 0;

	for (int i = 0; i < count && looked < NEIGHBORS_LOOKED; i++)
	{
		GmNode		node = gm_find_text(g, names[i], GM_TIME_MAX);

		for (GmDirection d = GM_OUT; node != GM_NONE && d <= GM_IN; d++)
		{
			GmRunView	run = {0};
			uint32_t	step;

			if (c->direction & d)
				run = gm_graph_run(g, node, d);
			step = run.length / NEIGHBORS_LOOKED + 1;
			for (uint32_t at = 0; at < run.length; at += step, looked++)
				facts += c->direction == GM_BOTH ? GM_ARRAY_U32(&g->degree, run.neighbor[at]) :
					gm_graph_run(g, run.neighbor[at], c->direction).length;
		}
	}
	return looked == 0 ? 0 : facts / looked * c->first * c->share;
}

/* current facts of these entities, as far as the predicates let through */
static double
facts_of(const Call *c, const GmGraph *g, text **names, int count, uint32_t predicate,
		 bool *found)
{
	double		facts = 0;

	*found = false;
	for (int i = 0; i < count; i++)
	{
		GmNode		node = gm_find_text(g, names[i], GM_TIME_MAX);

		if (node == GM_NONE)
			continue;
		*found = true;
		if (c->direction & GM_OUT)
			facts += records_of(g, node, GM_OUT, predicate, c->share);
		if (c->direction & GM_IN)
			facts += records_of(g, node, GM_IN, predicate, c->share);
	}
	return facts;
}

/* facts of the object, an entity or a literal, if it is known */
static void
look_at_object(Call *c, const GmGraph *g, uint32_t predicate)
{
	Const	   *name = given(c, c->f->object);
	Const	   *type = given(c, c->f->object_type);
	GmNode		node;

	if (name == NULL || (type == NULL && !is_null(c, c->f->object_type)))
		return;
	node = gm_find_term(g, DatumGetTextPP(name->constvalue),
						type == NULL ? NULL : DatumGetTextPP(type->constvalue), GM_TIME_MAX);
	c->nothing |= node == GM_NONE;
	if (node != GM_NONE)
		c->of_object = records_of(g, node, GM_IN, predicate, c->share);
}

/* many estimates in a row are about one version of one graph */
static void
shape_of(const GmGraph *g, uint64_t generation, int32_t graph_id, GmShape *shape)
{
	static GmShape last;
	static uint64_t last_generation;
	static int32_t last_graph;
	static GmRef last_root;
	static uint64_t last_sequence;

	if (last_generation != generation || last_graph != graph_id || last_root != g->ref ||
		last_sequence != g->root->gr_sequence)
		gm_shape_look(g, &last);
	last_generation = generation;
	last_graph = graph_id;
	last_root = g->ref;
	last_sequence = g->root->gr_sequence;
	memcpy(shape, &last, sizeof(last));
}

static void
look_at_image(const GmGraph *g, uint64_t generation, int32_t graph_id, void *arg)
{
	Call	   *c = arg;
	const Function *f = c->f;
	uint32_t	predicate = GM_NONE;
	bool		found;
	text	  **names;
	int			count;

	shape_of(g, generation, graph_id, &c->shape);
	c->share = unknown_share(c);
	if (f->predicate != 0 && (names = names_given(c, f->predicate, &count)) != NULL)
	{
		c->share = share_of(g, names, count);
		if (count == 1)
			predicate = gm_graph_find_predicate(g, VARDATA_ANY(names[0]),
												VARSIZE_ANY_EXHDR(names[0]));
		if (f->kind == MATCH && predicate == GM_NONE)
			c->nothing = true;
	}
	if (f->kind >= SHORTEST_PATH && f->kind != SUBGRAPH)
		return;
	names = names_given(c, f->from, &count);
	if (names != NULL)
	{
		c->first = facts_of(c, g, names, count, predicate, &found);
		c->nothing |= !found;
		if (f->max_hops != 0)
			c->second = facts_beyond(c, g, names, count);
	}
	if (f->object != 0)
		look_at_object(c, g, predicate);
}

/*
 * The tables' statistics
 */
static double
reltuples(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double		rows;

	if (!HeapTupleIsValid(tuple))
		return -1;
	rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
	ReleaseSysCache(tuple);
	return rows;
}

static HeapTuple
statistics(Oid relid, const char *column)
{
	AttrNumber	attno = get_attnum(relid, column);

	if (attno == InvalidAttrNumber)
		return NULL;
	return SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid), Int16GetDatum(attno),
						   BoolGetDatum(false));
}

static double
distinct_of(HeapTuple tuple, double rows)
{
	double		distinct = ((Form_pg_statistic) GETSTRUCT(tuple))->stadistinct;

	return Max(distinct < 0 ? -distinct * rows : distinct, 1);
}

/* rows of one graph of those in the table; -1: not known */
static double
rows_of_a_graph(GmTable table)
{
	Oid			relid = gm_row_relid(table);
	double		rows = OidIsValid(relid) ? reltuples(relid) : -1;
	HeapTuple	tuple = rows > 0 ? statistics(relid, "graph_id") : NULL;

	if (!HeapTupleIsValid(tuple))
		return rows;
	rows /= distinct_of(tuple, rows);
	ReleaseSysCache(tuple);
	return rows;
}

/* the most common entities of a column one by one, the others as their mean */
static void
add_column(const char *column, double other_end, double weight, GmDegrees *degrees, GmDegrees *both)
{
	Oid			relid = gm_row_relid(GM_TABLE_TRIPLES);
	double		rows = reltuples(relid);
	HeapTuple	tuple = statistics(relid, column);
	AttStatsSlot slot;
	double		others = rows;
	double		entities;
	double		rest = 1;

	if (!HeapTupleIsValid(tuple))
		return;
	entities = distinct_of(tuple, rows);
	if (get_attstatsslot(&slot, tuple, STATISTIC_KIND_MCV, InvalidOid, ATTSTATSSLOT_NUMBERS))
	{
		for (int i = 0; i < slot.nnumbers && i < GM_DEGREES_MOST / 2 - 1; i++)
		{
			double		degree = Max(slot.numbers[i] * rows, 1);

			(void) gm_degrees_add(degrees, slot.numbers[i], degree);
			(void) gm_degrees_add(both, slot.numbers[i] * weight, degree + other_end);
			rest -= slot.numbers[i];
			others -= degree;
			entities--;
		}
		free_attstatsslot(&slot);
	}
	if (rest > 0 && entities >= 1)
	{
		double		degree = Max(others / entities, 1);

		(void) gm_degrees_add(degrees, rest, degree);
		(void) gm_degrees_add(both, rest * weight, degree + other_end);
	}
	ReleaseSysCache(tuple);
}

static double
mean_of_column(const char *column)
{
	Oid			relid = gm_row_relid(GM_TABLE_TRIPLES);
	HeapTuple	tuple = statistics(relid, column);
	double		mean = 1;

	if (!HeapTupleIsValid(tuple))
		return 1;
	mean = reltuples(relid) / distinct_of(tuple, reltuples(relid));
	ReleaseSysCache(tuple);
	return Max(mean, 1);
}

/* false: the tables that count were never analyzed, or are empty */
static bool
look_at_tables(Call *c)
{
	GmShape    *s = &c->shape;

	gm_shape_clear(s);
	s->facts = rows_of_a_graph(GM_TABLE_TRIPLES);
	s->nodes = rows_of_a_graph(GM_TABLE_ENTITIES);
	s->predicates = Max(rows_of_a_graph(GM_TABLE_PREDICATES), 1);
	s->vectors = rows_of_a_graph(GM_TABLE_EMBEDDINGS);
	if (rows_of_a_graph(GM_TABLE_TOPOLOGY) > 0)
		s->vectors = Max(s->vectors, 0) + rows_of_a_graph(GM_TABLE_TOPOLOGY);
	if (s->facts <= 0 || s->nodes <= 0 || (s->vectors < 0 && (c->f->kind == VECTOR_SEARCH || c->f->kind == VECTOR_BATCH)))
		return false;
	s->vectors = Max(s->vectors, 0);
	s->elements = s->nearest = s->vectors * UNKNOWN_ELEMENTS;
	add_column("subject_id", mean_of_column("object_id"), 0.5, &s->out, &s->both);
	add_column("object_id", mean_of_column("subject_id"), 0.5, &s->in, &s->both);
	return true;
}

/*
 * Estimates
 */

/* entities within the call's hops; returns the facts among them */
static double
walk(const Call *c, GmWalkEstimate *w)
{
	GmWalkOpts	opts = {0};

	opts.direction = c->direction;
	opts.hops = (int) Min(Max(number_or(c, c->f->max_hops, c->f->hops), 0), 64);
	opts.seeds = c->seeds;
	opts.first = c->first;
	opts.second = c->second;
	opts.share = c->share;
	gm_estimate_walk(&c->shape, &opts, w);
	return gm_estimate_between(&c->shape, &opts, w);
}

static double
of_entity(const Call *c, double known, GmDirection direction)
{
	double		facts = known >= 0 ? known :
		gm_degrees_mean(gm_shape_degrees(&c->shape, direction)) * c->share;

	return Max(facts, 1);
}

static void
estimate_match(const Call *c, Estimate *e)
{
	bool		subject = !is_null(c, c->f->from);
	bool		object = !is_null(c, c->f->object);
	double		scanned = c->shape.facts;
	double		rows = Max(scanned * c->share, 1);

	if (subject || object)
	{
		rows = subject ? of_entity(c, c->first, GM_OUT) : of_entity(c, c->of_object, GM_IN);
		scanned = rows / Max(c->share, 1e-6);
		if (subject && object)
			rows = 1;
	}
	e->rows = limited(c, rows);
	if (!subject && !object)
		scanned *= e->rows / rows;
	e->cost = scanned * COST_SCANNED;
}

/* current facts lie in the order of the rows; others have to be sorted first */
static void
estimate_neighbors(const Call *c, Estimate *e)
{
	double		facts = of_entity(c, c->first, c->direction);

	e->rows = limited(c, facts);
	if (is_null(c, NEIGHBORS_AS_OF) && is_null(c, NEIGHBORS_KNOWN_AT))
		facts = e->rows;
	e->cost = facts / Max(c->share, 1e-6) * COST_SCANNED;
}

/* as far as the walk must go for the rows wanted */
static void
estimate_traverse(const Call *c, Estimate *e)
{
	GmWalkEstimate w;

	(void) walk(c, &w);
	e->rows = limited(c, w.nodes);
	e->cost = w.arcs * COST_SCANNED * e->rows / Max(w.nodes, 1);
}

static void
estimate_pagerank(const Call *c, Estimate *e)
{
	const GmShape *s = &c->shape;
	double		epsilon = number_or(c, PAGERANK_EPSILON, gm_guc_ppr_epsilon);
	double		damping = number_or(c, PAGERANK_DAMPING, gm_guc_damping);

	if (is_null(c, c->f->from))
	{
		e->rows = limited(c, s->nodes);
		e->cost = 2 * s->facts * COST_RANKED + s->nodes;
	}
	else
	{
		/* a push of less than epsilon does not happen; most are of much more */
		double		pushed = Min((1 - damping) / Max(epsilon, 1e-12), 8 * s->facts);
		GmWalkOpts	opts = {GM_BOTH, 1, c->seeds, pushed, -1, 1};
		GmWalkEstimate w;

		gm_estimate_walk(s, &opts, &w);
		e->rows = limited(c, w.nodes);
		e->cost = pushed * COST_PUSHED;
	}
}

static void
estimate_path(const Call *c, Estimate *e)
{
	char	   *weight = text_given(c, WEIGHT_ARG(c->f->kind));
	double		ends = 2 * c->shape.facts;

	e->rows = c->f->kind == PATHS ? limited(c, c->shape.facts) : 1;
	e->cost = weight != NULL && strcmp(weight, "confidence") == 0 ?
		ends * COST_BY_CONFIDENCE : sqrt(ends);
	e->cost *= Max(e->rows, 1);
}

static bool
is_exact(const Call *c, int n)
{
	Const	   *value = given(c, n);

	return value != NULL && DatumGetBool(value->constvalue);
}

/* searches that share passes take a third of the time */
static void
estimate_batch(const Call *c, Estimate *e)
{
	const GmShape *s = &c->shape;
	double		dim = s->elements / Max(s->vectors, 1);
	double		queries = Max(elements_of(c, c->f->from) / Max(dim, 1), 1);
	double		elements = s->elements / 3;

	if (!is_exact(c, BATCH_EXACT))
		elements = Min(elements, s->nearest);
	e->rows = limited(c, s->vectors) * queries;
	e->cost = elements * queries * COST_ELEMENT;
}

static void
estimate_search(const Call *c, Estimate *e)
{
	double		vectors = c->shape.vectors;
	double		compared = 1;

	if (!is_null(c, SEARCH_ITEM_IDS))
		compared = Min(elements_of(c, SEARCH_ITEM_IDS) / Max(vectors, 1), 1);
	e->rows = limited(c, vectors * compared);
	e->cost = c->shape.elements * compared;
	if (!is_exact(c, SEARCH_EXACT))
		e->cost = Min(e->cost, c->shape.nearest);
	e->cost *= COST_ELEMENT;
}

static void
estimate_fusion(const Call *c, Estimate *e)
{
	e->rows = limited(c, c->shape.nodes);
	e->cost = COST_FUSED;
	if (!is_null(c, FUSION_TEXT))
		e->cost += COST_TEXT;
	if (!is_null(c, FUSION_EMBEDDING))
		e->cost += c->shape.nearest * COST_ELEMENT;
}

static void
estimate(const Call *c, Estimate *e)
{
	const GmShape *s = &c->shape;
	GmWalkEstimate w;
	double		facts;

	switch (c->f->kind)
	{
		case MATCH:
			estimate_match(c, e);
			break;
		case NEIGHBORS:
			estimate_neighbors(c, e);
			break;
		case TRAVERSE:
			estimate_traverse(c, e);
			break;
		case REACH:
			(void) walk(c, &w);
			e->rows = 1;
			e->cost = w.arcs * COST_SCANNED;
			break;
		case SHORTEST_PATH:
		case PATHS:
			estimate_path(c, e);
			break;
		case SUBGRAPH:
			facts = walk(c, &w);
			e->rows = limited(c, facts);
			e->cost = (w.arcs + facts) * COST_SCANNED;
			break;
		case PAGERANK:
			estimate_pagerank(c, e);
			break;
		case COMPONENTS:
			e->rows = limited(c, s->nodes);
			e->cost = s->facts * COST_JOINED + s->nodes;
			break;
		case VECTOR_SEARCH:
			estimate_search(c, e);
			break;
		case VECTOR_BATCH:
			estimate_batch(c, e);
			break;
		case FUSION:
			estimate_fusion(c, e);
			break;
	}
	if (c->nothing)
		e->rows = 0;
	e->cost = c->nothing ? COST_CALL : e->cost + COST_CALL + e->rows * COST_ROW;
}

/*
 * Requests
 */
static const Function *
function_of(Oid funcid, List *args)
{
	char	   *name = get_func_name(funcid);

	for (size_t i = 0; name != NULL && i < lengthof(functions); i++)
		if (strcmp(functions[i].name, name) == 0 && functions[i].args == list_length(args))
			return &functions[i];
	return NULL;
}

static GmDirection
direction_of(const Call *c)
{
	char	   *name;

	if (c->f->kind == MATCH)
		return GM_OUT;
	if (c->f->direction == 0)
		return GM_BOTH;
	name = text_given(c, c->f->direction);
	if (name == NULL)
		return GM_BOTH;
	return strcmp(name, "out") == 0 ? GM_OUT : strcmp(name, "in") == 0 ? GM_IN : GM_BOTH;
}

static void
read_arguments(Call *c)
{
	const Function *f = c->f;

	c->direction = direction_of(c);
	c->first = c->second = c->of_object = -1;
	c->share = -1;
	c->seeds = is_array(c, f->from) ? elements_of(c, f->from) : 1;
}

/* false: nothing is known that the function's definition does not say */
static bool
estimate_call(PlannerInfo *root, Oid funcid, Node *node, Estimate *e)
{
	Call		c = {0};
	char	   *graph;

	if (node == NULL || !IsA(node, FuncExpr))
		return false;
	c.root = root;
	c.f = function_of(funcid, ((FuncExpr *) node)->args);
	if (c.f == NULL)
		return false;
	c.args = estimated_arguments(root, c.f, ((FuncExpr *) node)->args);
	read_arguments(&c);
	graph = is_null(&c, c.f->graph) ? gm_guc_graph : text_given(&c, c.f->graph);
	if ((graph == NULL || !gm_shared_peek(graph, look_at_image, &c)) && !look_at_tables(&c))
		return false;
	if (c.share < 0)
		c.share = unknown_share(&c);
	estimate(&c, e);
	return isfinite(e->rows) && isfinite(e->cost) && e->cost >= 0;
}

/* plan_support(internal) returns internal */
Datum
graphmem_plan_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *answer = NULL;
	Estimate	e;

	if (IsA(request, SupportRequestRows))
	{
		SupportRequestRows *r = (SupportRequestRows *) request;

		if (estimate_call(r->root, r->funcid, r->node, &e))
		{
			r->rows = e.rows;
			answer = request;
		}
	}
	else if (IsA(request, SupportRequestCost))
	{
		SupportRequestCost *r = (SupportRequestCost *) request;

		if (estimate_call(r->root, r->funcid, r->node, &e))
		{
			r->startup = 0;
			r->per_tuple = e.cost * cpu_operator_cost;
			answer = request;
		}
	}
	PG_RETURN_POINTER(answer);
}
