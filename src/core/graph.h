/*-------------------------------------------------------------------------
 *
 * graph.h
 *	  The image of one graph: dictionary, adjacency both ways, time,
 *	  confidence, sources.
 *
 * Nodes, slots, predicates and sources are dense numbers.  In a freshly built
 * image they ascend with their ids, so that order by number is order by id;
 * code that promises an order compares ids all the same.
 *
 * A node has an outgoing and an incoming run of the currently valid triples,
 * sorted by (predicate, neighbour, slot), as three parallel arrays in one
 * block: a walk without filters touches the neighbours only.  Versions that
 * are expired, past or future lie in history runs of the same form, which
 * only a query about another time, or one at or after gm_graph_next_flip,
 * reads.
 *
 * GmGraph is a process's handle: the image holds no pointers, the handle
 * caches addresses.
 *
 * Interface
 *	 building		gm_graph_create, gm_graph_add_*, gm_graph_finish
 *	 dictionary		gm_graph_find_name, gm_graph_find_entity, gm_graph_name
 *	 adjacency		gm_graph_run, gm_edges_begin, gm_edges_next
 *	 triples		gm_graph_slot, gm_graph_visible
 *	 sources		gm_graph_assertions, gm_graph_confidence_at
 *
 * Concurrency	one builder; no reader before gm_graph_finish
 * Memory		60 bytes a triple, 80 bytes a node beyond its name
 * Limits		2^32 - 2 nodes, slots, predicates, sources
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_GRAPH_H
#define GM_CORE_GRAPH_H

#include "core/array.h"
#include "core/base.h"
#include "core/mem.h"

/* microseconds since 2000-01-01 UTC; GM_TIME_MIN and GM_TIME_MAX are open */
typedef struct GmTimes
{
	int64_t		valid_from;
	int64_t		valid_to;
	int64_t		recorded_at;
	int64_t		expired_at;
} GmTimes;

typedef struct GmRun
{
	GmRef		rn_block;		/* neighbour[cap], predicate[cap], slot[cap] */
	uint32_t	rn_length;
	uint32_t	rn_cap;
} GmRun;

typedef struct GmNodeRuns
{
	GmRun		out;
	GmRun		in;
} GmNodeRuns;

typedef struct GmPredicate
{
	int64_t		predicate_id;
	GmRef		name;
	float		weight;
	bool		functional;
	bool		symmetric;
} GmPredicate;

typedef struct GmSource
{
	int64_t		source_id;
	GmRef		name;
	GmRef		session;		/* 0: none */
	GmRef		kind;			/* 0: none */
	float		reliability;
} GmSource;

typedef struct GmAssertion
{
	int64_t		fact_id;
	int64_t		asserted_at;
	uint32_t	source;			/* number */
	float		confidence;
} GmAssertion;

/* everything of one triple version, gathered from the parallel arrays */
typedef struct GmTriple
{
	int64_t		triple_id;
	int64_t		fact_id;
	GmNode		subject;
	uint32_t	predicate;
	GmNode		object;
	float		confidence;		/* effective, sources included */
	GmTimes		times;
} GmTriple;

/* a length-prefixed string inside the image */
typedef struct GmString
{
	uint32_t	length;
	char		bytes[];
} GmString;

typedef struct GmGraphRoot
{
	uint32_t	gr_magic;
	uint32_t	gr_layout;
	uint32_t	gr_nodes;
	uint32_t	gr_slots;
	uint32_t	gr_predicates;
	uint32_t	gr_sources;
	uint32_t	gr_assertions;
	uint32_t	gr_current;		/* slots in the current runs */
	bool		gr_history;		/* any slot outside the current runs */
	bool		gr_symmetric;	/* any symmetric predicate */
	bool		gr_weighted;	/* any predicate whose weight is not 1 */
	int64_t		gr_built_at;	/* the time that "current" refers to */
	int64_t		gr_next_flip;	/* first later time at which it changes */

	GmArrayRoot gr_entity_id;	/* int64 by node, ascending */
	GmArrayRoot gr_name;		/* GmRef to GmString by node */
	GmArrayRoot gr_hash;		/* uint32 by node, of the name */
	GmArrayRoot gr_kind;		/* uint32 by node: string number, 0 none */
	GmArrayRoot gr_type;		/* uint32 by node: string number, 0 entity */
	GmArrayRoot gr_string;		/* GmRef by string number: kinds and types */
	GmArrayRoot gr_runs;		/* GmNodeRuns by node: current */
	GmArrayRoot gr_past;		/* GmNodeRuns by node: history; may be empty */
	GmArrayRoot gr_degree;		/* uint32 by node: records of its current runs, a
								 * self-loop counted once */

	GmArrayRoot gr_triple_id;	/* int64 by slot, ascending */
	GmArrayRoot gr_fact_id;		/* int64 by slot */
	GmArrayRoot gr_subject;		/* uint32 by slot */
	GmArrayRoot gr_predicate;	/* uint32 by slot */
	GmArrayRoot gr_object;		/* uint32 by slot */
	GmArrayRoot gr_confidence;	/* float by slot: effective */
	GmArrayRoot gr_asserted;	/* float by slot: the triple's own; empty if the same */
	GmArrayRoot gr_time;		/* uint32 by slot: number in gr_times */
	GmArrayRoot gr_times;		/* GmTimes: the distinct ones */
	GmArrayRoot gr_fact_slot;	/* uint32: slots ordered by (fact_id, slot); empty
								 * where that is the order of the slots */

	GmArrayRoot gr_predicate_info;	/* GmPredicate by number, ids ascending */
	GmArrayRoot gr_source;		/* GmSource by number, ids ascending */
	GmArrayRoot gr_assertion;	/* GmAssertion ordered by (fact_id, source) */
	GmArrayRoot gr_alias;		/* GmAlias in the order added */

	GmRef		gr_name_table;	/* uint32 [2^gr_name_bits]: node + 1, 0 empty */
	uint32_t	gr_name_bits;
	GmRef		gr_alias_table; /* uint32 [2^gr_alias_bits]: alias + 1 */
	uint32_t	gr_alias_bits;
	uint32_t	gr_aliases;
} GmGraphRoot;

typedef struct GmAlias
{
	GmRef		name;
	uint32_t	hash;
	GmNode		node;
} GmAlias;

typedef struct GmGraphBuild GmGraphBuild;

typedef struct GmGraph
{
	GmMem	   *mem;
	GmGraphRoot *root;
	GmGraphBuild *build;		/* NULL once finished */

	GmArray		entity_id,
				name,
				hash,
				kind,
				type,
				string,
				runs,
				past,
				degree;
	GmArray		triple_id,
				fact_id,
				subject,
				predicate,
				object,
				confidence,
				asserted,
				time,
				times,
				fact_slot;
	GmArray		predicate_info,
				source,
				assertion,
				alias;
} GmGraph;

/*
 * Building: predicates, entities, aliases and sources first, then triples,
 * then assertions; ids unique, in any order.  Strings need no terminator.
 * Unknown ids of a triple, alias or assertion give GM_BAD_VALUE.
 */
extern GmStatus gm_graph_create(GmMem *mem, GmGraph **graph);
extern void gm_graph_destroy(GmGraph *graph);	/* the handle; the memory stays */

/* asked by the adding functions too, which then return GM_INTERRUPTED */
extern void gm_graph_set_interrupt(GmGraph *graph, const GmInterrupt *intr);

extern GmStatus gm_graph_add_predicate(GmGraph *graph, int64_t predicate_id,
									   const char *name, uint32_t name_length,
									   bool functional, bool symmetric, float weight);

/* literal_type NULL: an entity; kind NULL: none */
extern GmStatus gm_graph_add_entity(GmGraph *graph, int64_t entity_id,
									const char *name, uint32_t name_length,
									const char *literal_type, uint32_t type_length,
									const char *kind, uint32_t kind_length);
extern GmStatus gm_graph_add_alias(GmGraph *graph, const char *name, uint32_t name_length,
								   int64_t entity_id);
extern GmStatus gm_graph_add_source(GmGraph *graph, int64_t source_id,
									const char *name, uint32_t name_length,
									const char *session, uint32_t session_length,
									const char *kind, uint32_t kind_length,
									float reliability);
extern GmStatus gm_graph_add_triple(GmGraph *graph, int64_t triple_id, int64_t fact_id,
									int64_t subject_id, int64_t predicate_id, int64_t object_id,
									float confidence, const GmTimes *times);
extern GmStatus gm_graph_add_assertion(GmGraph *graph, int64_t fact_id, int64_t source_id,
									   float confidence, int64_t asserted_at);

/* now: what is valid at this time goes into the current runs */
extern GmStatus gm_graph_finish(GmGraph *graph, int64_t now, const GmInterrupt *intr);

/*
 * Dictionary
 */

/*
 * The node of a name: the entity of that name, else the entity that has it as
 * an alias, else the literal of that name with the lowest id.  GM_NONE if
 * there is none.
 */
extern GmNode gm_graph_find_name(const GmGraph *graph, const char *name, size_t length);

/* the literal of this name and type; type_length 0 is a type too */
extern GmNode gm_graph_find_literal(const GmGraph *graph, const char *name, size_t length,
									const char *type, size_t type_length);
extern GmNode gm_graph_find_entity(const GmGraph *graph, int64_t entity_id);
extern uint32_t gm_graph_find_predicate(const GmGraph *graph, const char *name, size_t length);
extern uint32_t gm_graph_find_source(const GmGraph *graph, const char *name, size_t length);
extern uint32_t gm_graph_find_source_id(const GmGraph *graph, int64_t source_id);

static inline const GmString *
gm_graph_string(const GmGraph *g, GmRef ref)
{
	return ref == 0 ? NULL : (const GmString *) gm_mem_ptr(g->mem, ref);
}

static inline const GmString *
gm_graph_name(const GmGraph *g, GmNode node)
{
	return gm_graph_string(g, *(GmRef *) gm_array_at(&g->name, node));
}

/* NULL: no kind */
static inline const GmString *
gm_graph_kind(const GmGraph *g, GmNode node)
{
	return gm_graph_string(g, *(GmRef *) gm_array_at(&g->string, GM_ARRAY_U32(&g->kind, node)));
}

/* NULL: an entity, not a literal */
static inline const GmString *
gm_graph_type(const GmGraph *g, GmNode node)
{
	return gm_graph_string(g, *(GmRef *) gm_array_at(&g->string, GM_ARRAY_U32(&g->type, node)));
}

static inline int64_t
gm_graph_entity_id(const GmGraph *g, GmNode node)
{
	return GM_ARRAY_I64(&g->entity_id, node);
}

static inline const GmPredicate *
gm_graph_predicate(const GmGraph *g, uint32_t predicate)
{
	return (const GmPredicate *) gm_array_at(&g->predicate_info, predicate);
}

static inline const GmSource *
gm_graph_source(const GmGraph *g, uint32_t source)
{
	return (const GmSource *) gm_array_at(&g->source, source);
}

/*
 * Triples
 */
extern void gm_graph_slot(const GmGraph *graph, GmSlot slot, GmTriple *triple);
extern GmSlot gm_graph_find_triple(const GmGraph *graph, int64_t triple_id);

/* slots of all versions of a fact, ascending; the number of them (0: unknown) */
extern uint32_t gm_graph_fact_slots(const GmGraph *graph, int64_t fact_id, uint32_t *first);
static inline GmSlot
gm_graph_fact_slot(const GmGraph *g, uint32_t i)
{
	return g->root->gr_fact_slot.ar_length == 0 ? i : GM_ARRAY_U32(&g->fact_slot, i);
}

/* position of a fact's first assertion in gr_assertion, and how many there are */
extern uint32_t gm_graph_assertions(const GmGraph *graph, int64_t fact_id, uint32_t *first);

/*
 * Confidence of a slot as known at a time: 1 - prod(1 - confidence x
 * reliability) over the sources that had asserted its fact by then, the
 * triple's own confidence where none had.
 */
extern float gm_graph_confidence_at(const GmGraph *graph, GmSlot slot, int64_t known_at);

/*
 * Adjacency, as a query may see it
 */
typedef enum GmDirection
{
	GM_OUT = 1,
	GM_IN = 2,
	GM_BOTH = 3
} GmDirection;

/*
 * What a query may see: set up once a query by gm_view_init, then narrowed by
 * setting fields and calling gm_view_settle.
 */
typedef struct GmView
{
	GmDirection direction;
	const uint8_t *predicates;	/* by predicate, nonzero = allowed; NULL: all */
	const uint64_t *slots;		/* bitmap of allowed slots; NULL: all */
	float		min_confidence;
	int64_t		as_of;			/* valid time looked at */
	int64_t		known_at;		/* GM_TIME_MAX: what is recorded now */

	/* settled */
	bool		timed;			/* history runs too, and intervals are looked at */
	bool		reliable;		/* confidence must be computed for known_at */
	bool		plain;			/* every record of a current run is visible */
} GmView;

/* everything current at this time (the statement's) */
extern void gm_view_init(const GmGraph *graph, int64_t now, GmView *view);

/* derive the settled fields after as_of, known_at or a filter was set */
extern void gm_view_settle(const GmGraph *graph, GmView *view);

/* is this slot visible: time, confidence, slots and predicate */
extern bool gm_graph_visible(const GmGraph *graph, const GmView *view, GmSlot slot);

/* the confidence that a query with this view sees */
static inline float
gm_graph_confidence(const GmGraph *g, const GmView *view, GmSlot slot)
{
	if (gm_unlikely(view->reliable))
		return gm_graph_confidence_at(g, slot, view->known_at);
	return GM_ARRAY_F32(&g->confidence, slot);
}

typedef struct GmRunView
{
	const uint32_t *neighbor;
	const uint32_t *predicate;
	const uint32_t *slot;
	uint32_t	length;
} GmRunView;

static inline GmRunView
gm_graph_run_view(const GmGraph *g, const GmRun *run)
{
	GmRunView	v;

	v.length = run->rn_length;
	if (run->rn_length == 0)
	{
		v.neighbor = v.predicate = v.slot = NULL;
		return v;
	}
	v.neighbor = (const uint32_t *) gm_mem_ptr(g->mem, run->rn_block);
	v.predicate = v.neighbor + run->rn_cap;
	v.slot = v.predicate + run->rn_cap;
	return v;
}

/* current records of a node in one direction (GM_OUT or GM_IN), unfiltered */
static inline GmRunView
gm_graph_run(const GmGraph *g, GmNode node, GmDirection direction)
{
	const GmNodeRuns *r = (const GmNodeRuns *) gm_array_at(&g->runs, node);

	return gm_graph_run_view(g, direction == GM_OUT ? &r->out : &r->in);
}

typedef struct GmEdge
{
	GmNode		neighbor;
	uint32_t	predicate;
	GmSlot		slot;
	bool		out;			/* the node is the subject */
} GmEdge;

typedef struct GmEdgeIter
{
	const GmGraph *graph;
	const GmView *view;
	GmNode		node;
	GmRunView	run;
	uint32_t	next;
	uint8_t		phase;			/* 0 out, 1 in, 2 past out, 3 past in, 4 done */
	bool		only_symmetric; /* this run is against the direction */
} GmEdgeIter;

/*
 * Visible edges of a node: outgoing before incoming, current before history,
 * each by (predicate, neighbour, slot).  A self-loop comes once, as outgoing
 * (as incoming for GM_IN).  A symmetric predicate's edges come in whichever
 * direction is asked for.  Any node below gr_nodes is allowed.
 */
extern void gm_edges_begin(GmEdgeIter *iter, const GmGraph *graph, const GmView *view,
						   GmNode node);
extern bool gm_edges_next(GmEdgeIter *iter, GmEdge *edge);

/*
 * Invariants of a finished image, checked from the outside: gm_graph_check
 * (graph_check.c) calls report for each one that does not hold and returns
 * how many there were.
 */
extern uint32_t gm_graph_check(const GmGraph *graph,
							   void (*report) (void *arg, const char *what, uint64_t where),
							   void *arg);

#endif							/* GM_CORE_GRAPH_H */
