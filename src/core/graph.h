/*-------------------------------------------------------------------------
 *
 * graph.h
 *	  The image of one graph: dictionary, adjacency both ways, time,
 *	  confidence, sources.
 *
 * Nodes, slots, predicates and sources are dense numbers.  In a freshly built
 * image they ascend with their ids, in one that was changed (apply.h) they need
 * not, and some may belong to nothing: a loop over all nodes asks
 * gm_graph_node_live, one over predicates, sources or assertions the functions
 * of that name; a slot that belongs to nothing is visible to no view and in no
 * run.  Whatever promises an order compares ids.
 *
 * A node has an outgoing and an incoming run of the currently valid triples,
 * sorted by the ids of (predicate, neighbour, triple), as three parallel arrays
 * in one block: a walk without filters touches the neighbours only.  Versions
 * that are expired, past or future lie in history runs of the same form, which
 * only a query about another time, or one at or after gr_next_flip, reads.
 *
 * The slots of the first build are a prefix: first those that were current then,
 * so that queries about now find them together whatever history there is, then
 * the others; either part ascends by triple id and is searched in halves.  So are
 * its assertions by fact and source.  What came later is found through indexes.
 * The functions below look at both.
 *
 * GmGraph is a process's handle on one version: the image holds no pointers,
 * the handle caches addresses.
 *
 * Interface
 *	 building		gm_graph_create, gm_graph_add_*, gm_graph_finish
 *	 versions		gm_graph_attach, gm_graph_reattach, gm_graph_root_ref,
 *					gm_graph_copy
 *	 dictionary		gm_graph_find_name, gm_graph_find_entity, gm_graph_name
 *	 adjacency		gm_graph_run, gm_edges_begin, gm_edges_next
 *	 triples		gm_graph_slot, gm_graph_visible, gm_fact_slots_seek
 *	 sources		gm_assertions_begin, gm_graph_confidence_at
 *	 vectors		gm_graph_spaces, gm_graph_space
 *
 * Concurrency	a version that was published is never changed (epoch.h); a
 *				handle belongs to one thread
 * Memory		60 bytes a triple, 76 a slot that came later, 92 bytes a node
 *				beyond its name
 * Limits		2^32 - 2 nodes, slots, predicates, sources
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_GRAPH_H
#define GM_CORE_GRAPH_H

#include "core/array.h"
#include "core/base.h"
#include "core/index.h"
#include "core/mem.h"
#include "core/space.h"

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
	GmRef		name;			/* 0: the number belongs to nothing */
	float		weight;
	uint32_t	triples;
	bool		functional;
	bool		symmetric;
} GmPredicate;

typedef struct GmSource
{
	int64_t		source_id;
	GmRef		name;			/* 0: the number belongs to nothing */
	GmRef		session;		/* 0: none */
	GmRef		kind;			/* 0: none */
	float		reliability;
	uint32_t	assertions;
	int64_t		created_at;
} GmSource;

typedef struct GmAssertion
{
	int64_t		fact_id;
	int64_t		asserted_at;
	uint32_t	source;			/* number; GM_NONE: there is no assertion here */
	float		confidence;
} GmAssertion;

typedef struct GmAlias
{
	int64_t		alias_id;
	GmRef		name;
	uint32_t	hash;
	GmNode		node;			/* GM_NONE: there is no alias here */
} GmAlias;

/* a vector space of the graph */
typedef struct GmGraphSpace
{
	int32_t		space_id;
	char		target;			/* 'e'ntity, 'f'act, 's'ource */
	uint8_t		metric;			/* GmMetric */
	bool		computed;		/* from the graph */
	bool		computing;		/* to take another's place; not to be searched yet */
	uint32_t	dim;
	bool		unread;			/* of a fork: its rows are in the table only */
	GmRef		name;
	GmRef		root;			/* GmSpaceRoot */
} GmGraphSpace;

/* the snapshot that the rows of the first build were read with; full xids */
typedef struct GmGraphBase
{
	uint64_t	xmin;
	uint64_t	xmax;
	uint32_t	n;
	uint32_t	unused;
	uint64_t	xip[];
} GmGraphBase;

/* did that snapshot see the transaction */
static inline bool
gm_base_sees(const GmGraphBase *base, uint64_t xid)
{
	if (xid < base->xmin)
		return true;
	if (xid >= base->xmax)
		return false;
	for (uint32_t i = 0; i < base->n; i++)
		if (base->xip[i] == xid)
			return false;
	return true;
}

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

	/* numbers in use, those that belong to nothing included */
	uint32_t	gr_nodes;
	uint32_t	gr_slots;
	uint32_t	gr_predicates;
	uint32_t	gr_sources;
	uint32_t	gr_assertions;
	uint32_t	gr_aliases;

	/* without them */
	uint32_t	gr_live_nodes;
	uint32_t	gr_live_slots;
	uint32_t	gr_live_predicates;
	uint32_t	gr_live_sources;
	uint32_t	gr_live_assertions;
	uint32_t	gr_live_aliases;

	uint32_t	gr_base_slots;	/* of the first build */
	uint32_t	gr_base_current;	/* of these, current at the build */
	uint32_t	gr_base_assertions; /* likewise, by (fact_id, source_id) */
	uint32_t	gr_fact_ordered;	/* see gr_fact_slot */
	uint32_t	gr_current;		/* slots in the current runs */
	uint32_t	gr_free_time;	/* in gr_times; 0 none, else the next in recorded_at */
	bool		gr_history;		/* any slot outside the current runs */
	bool		gr_past_current;	/* a slot from gr_base_current to gr_base_slots may be
									 * current */
	bool		gr_symmetric;	/* any symmetric predicate */
	bool		gr_weighted;	/* any predicate whose weight is not 1 */
	bool		gr_nodes_ascend;	/* with their ids, and all are live */
	bool		gr_slots_ascend;	/* with their ids, those of no use included */
	int64_t		gr_built_at;	/* current runs are right from here */
	int64_t		gr_next_flip;	/* to before here */
	int64_t		gr_latest;		/* nothing was recorded, retired, asserted or created
								 * after this; only grows, so it may be later than need be */

	uint64_t	gr_dangling;	/* rows left out: see gm_apply_dangling */
	uint64_t	gr_sequence;	/* of this version, the publisher's */
	uint64_t	gr_max_xid;		/* largest full xid in it since the first build */
	GmRef		gr_base;		/* GmGraphBase; 0: not set */

	GmArrayRoot gr_entity_id;	/* int64 by node */
	GmArrayRoot gr_name;		/* GmRef to GmString by node; 0: it belongs to nothing */
	GmArrayRoot gr_hash;		/* uint32 by node, of the name */
	GmArrayRoot gr_kind;		/* uint32 by node: string number, 0 none */
	GmArrayRoot gr_type;		/* uint32 by node: string number, 0 entity */
	GmArrayRoot gr_created;		/* int64 by node: created_at */
	GmArrayRoot gr_string;		/* GmRef by string number: kinds and types; 0: it
								 * belongs to nothing */
	GmArrayRoot gr_string_use;	/* uint32 by string number: nodes that have it */
	GmArrayRoot gr_runs;		/* GmNodeRuns by node: current */
	GmArrayRoot gr_past_of;		/* uint32 by node: number in gr_past + 1, 0 none;
								 * may be shorter */
	GmArrayRoot gr_past;		/* GmNodeRuns: history of nodes that have or had one */
	GmArrayRoot gr_degree;		/* uint32 by node: records of its current runs, a
								 * self-loop counted once */

	GmArrayRoot gr_triple_id;	/* int64 by slot */
	GmArrayRoot gr_fact_id;		/* int64 by slot */
	GmArrayRoot gr_subject;		/* uint32 by slot */
	GmArrayRoot gr_predicate;	/* uint32 by slot */
	GmArrayRoot gr_object;		/* uint32 by slot */
	GmArrayRoot gr_confidence;	/* float by slot: effective */
	GmArrayRoot gr_asserted;	/* float by slot: the triple's own; empty if the same */
	GmArrayRoot gr_time;		/* uint32 by slot: number in gr_times */
	GmArrayRoot gr_times;		/* GmTimes: the distinct ones; 0 is never in time, and
								 * what slots have that belong to nothing */
	GmArrayRoot gr_times_use;	/* uint32 by number in gr_times: slots that have it */
	GmArrayRoot gr_fact_slot;	/* uint32: base slots from gr_fact_ordered on, by
								 * (fact_id, slot), those that were current before the
								 * others; that is the order of those before */

	GmArrayRoot gr_predicate_info;	/* GmPredicate by number */
	GmArrayRoot gr_source;		/* GmSource by number */
	GmArrayRoot gr_assertion;	/* GmAssertion */
	GmArrayRoot gr_alias;		/* GmAlias */
	GmArrayRoot gr_space;		/* GmGraphSpace in the order of their ids */

	GmIndexRoot gr_by_entity;	/* nodes by entity id */
	GmIndexRoot gr_by_name;		/* nodes by name */
	GmIndexRoot gr_by_predicate;	/* predicates by id */
	GmIndexRoot gr_by_source;	/* sources by id */
	GmIndexRoot gr_by_triple;	/* later slots by triple id */
	GmIndexRoot gr_by_fact;		/* later slots by fact id */
	GmIndexRoot gr_by_stated;	/* later assertions by fact id, each chain ordered by
								 * (fact_id, source_id) */
	GmIndexRoot gr_by_alias;	/* aliases by id */
	GmIndexRoot gr_by_alias_name;	/* aliases by name */
	GmIndexRoot gr_by_alias_node;	/* aliases by entity id */
} GmGraphRoot;

typedef struct GmGraphBuild GmGraphBuild;
typedef struct GmView GmView;

typedef struct GmGraph
{
	GmMem	   *mem;
	GmGraphRoot *root;
	GmRef		ref;			/* of the root */
	GmGraphBuild *build;		/* NULL once finished */
	GmSpace   **spaces;			/* by position in gr_space; NULL: not looked at yet */
	bool	   *space_current;	/* is the handle attached to this version */
	uint32_t	space_room;
	struct GmLate *late;		/* writer: rows that wait, see apply.h */

	GmArray		entity_id,
				name,
				hash,
				kind,
				type,
				created,
				string,
				string_use,
				runs,
				past_of,
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
				times_use,
				fact_slot;
	GmArray		predicate_info,
				source,
				assertion,
				alias,
				space;
	GmIndex		by_entity,
				by_name,
				by_predicate,
				by_source,
				by_triple,
				by_fact,
				by_stated,
				by_alias,
				by_alias_name,
				by_alias_node;
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

/* when the entity or source added last was created; if not told, before all time */
extern void gm_graph_date_entity(GmGraph *graph, int64_t created_at);
extern void gm_graph_date_source(GmGraph *graph, int64_t created_at);

extern GmStatus gm_graph_add_alias(GmGraph *graph, int64_t alias_id,
								   const char *name, uint32_t name_length, int64_t entity_id);
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
 * Vector spaces, any time before the image is published.  *space takes the
 * vectors by gm_space_add and stays the graph's own; each must then be
 * finished, after gm_graph_finish.  GM_BAD_VALUE for an id that is there.
 */
extern GmStatus gm_graph_add_space(GmGraph *graph, int32_t space_id,
								   const char *name, uint32_t name_length,
								   char target, GmMetric metric, uint32_t dim,
								   GmSpace **space);
extern GmStatus gm_graph_finish_space(GmGraph *graph, int32_t space_id);

/* the space is computed from the graph */
extern void gm_graph_set_computed(GmGraph *graph, int32_t space_id, bool computing);

/*
 * Of a fork: these are the rows of a space that is unread.  The handle belongs
 * to the graph from then on.
 */
extern void gm_graph_give_space(GmGraph *graph, int32_t space_id, GmSpace *space);

/* what whoever publishes the image keeps in it, copied; before that */
extern GmStatus gm_graph_set_base(GmGraph *graph, const GmGraphBase *base);
extern void gm_graph_set_sequence(GmGraph *graph, uint64_t sequence, uint64_t max_xid);

/*
 * Versions
 */

/*
 * A handle on the version that has its root there; GM_BAD_VALUE if it is no
 * image of this layout.  gm_graph_reattach moves a handle to another version
 * of the same graph, also one whose root lies where another's did; what was
 * had from the handle before is void, after a failure the handle too.
 */
extern GmStatus gm_graph_attach(GmMem *mem, GmRef root, GmGraph **graph);
extern GmStatus gm_graph_reattach(GmGraph *graph, GmRef root);

/*
 * A finished image, not being changed, once more in another memory: packed, in
 * blocks of exactly the size that they need.  The memory's used bytes tell how
 * much that is.  After a failure what was allocated stays allocated.
 */
extern GmStatus gm_graph_copy(const GmGraph *from, GmMem *mem, const GmInterrupt *intr,
							  GmGraph **copy);

static inline GmRef
gm_graph_root_ref(const GmGraph *g)
{
	return g->ref;
}

/* NULL: not set */
static inline const GmGraphBase *
gm_graph_base(const GmGraph *g)
{
	return g->root->gr_base == 0 ? NULL :
		(const GmGraphBase *) gm_mem_ptr(g->mem, g->root->gr_base);
}

/* how many vector spaces there are; one of them, by position */
static inline uint32_t
gm_graph_spaces(const GmGraph *g)
{
	return (uint32_t) g->root->gr_space.ar_length;
}

static inline const GmGraphSpace *
gm_graph_space_info(const GmGraph *g, uint32_t i)
{
	return (const GmGraphSpace *) gm_array_at(&g->space, i);
}

/* the handle belongs to the graph's and is void when that is moved; NULL: no memory */
extern GmSpace *gm_graph_space(GmGraph *graph, uint32_t i);

/*
 * Dictionary
 */

/*
 * The node of a name: the entity of that name, else the entity that has it as
 * an alias, else the literal of that name with the lowest id.  GM_NONE if
 * there is none.
 */
extern GmNode gm_graph_find_name(const GmGraph *graph, const char *name, size_t length);

/* the same among nodes that were known then */
extern GmNode gm_graph_find_name_at(const GmGraph *graph, const char *name, size_t length,
									int64_t known_at);

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

static inline bool
gm_graph_node_live(const GmGraph *g, GmNode node)
{
	return g->root->gr_nodes_ascend || *(GmRef *) gm_array_at(&g->name, node) != 0;
}

/*
 * Was the node known then: it was created, or a fact about it recorded, by that
 * time.  A fact is recorded before its entity where transactions overlap, or
 * where someone dates facts back.  Cost: the records of a node that came later.
 */
extern bool gm_graph_node_recorded(const GmGraph *graph, GmNode node, int64_t known_at);

static inline bool
gm_graph_node_known(const GmGraph *g, GmNode node, int64_t known_at)
{
	return known_at == GM_TIME_MAX || GM_ARRAY_I64(&g->created, node) <= known_at ||
		gm_graph_node_recorded(g, node, known_at);
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

static inline bool
gm_graph_predicate_live(const GmGraph *g, uint32_t predicate)
{
	return gm_graph_predicate(g, predicate)->name != 0;
}

static inline bool
gm_graph_source_live(const GmGraph *g, uint32_t source)
{
	return gm_graph_source(g, source)->name != 0;
}

/*
 * Triples
 */
extern void gm_graph_slot(const GmGraph *graph, GmSlot slot, GmTriple *triple);
extern GmSlot gm_graph_find_triple(const GmGraph *graph, int64_t triple_id);

/* one that belongs to nothing is in no run and visible to no view */
static inline bool
gm_graph_slot_live(const GmGraph *g, GmSlot slot)
{
	return GM_ARRAY_U32(&g->time, slot) != 0;
}

/*
 * Slots of all versions of a fact, in no order: gm_fact_slots_init once,
 * gm_fact_slots_seek for each fact, cheapest if facts ascend, then
 * gm_fact_slots_next until it gives GM_NONE.  gm_fact_slots_seek_seen leaves out
 * those that the view cannot see, as far as it knows without looking at them.
 */
typedef struct GmFactSlots
{
	const GmGraph *graph;
	int64_t		fact_id;
	uint32_t	current;		/* among the base slots, by fact: that were current */
	uint32_t	past;			/* and the others */
	GmSlot		later;
	bool		past_wanted;
	bool		past_sought;	/* only once the rest is through */
} GmFactSlots;

extern void gm_fact_slots_init(GmFactSlots *iter, const GmGraph *graph);
extern void gm_fact_slots_seek(GmFactSlots *iter, int64_t fact_id);
extern void gm_fact_slots_seek_seen(GmFactSlots *iter, const GmView *view,
									int64_t fact_id);
extern GmSlot gm_fact_slots_next(GmFactSlots *iter);

/* assertions of a fact, by source id: until the second gives NULL */
typedef struct GmAssertionIter
{
	const GmGraph *graph;
	int64_t		fact_id;
	uint32_t	base;			/* the next ones of either kind; GM_NONE: no more */
	uint32_t	later;
} GmAssertionIter;

extern void gm_assertions_begin(GmAssertionIter *iter, const GmGraph *graph, int64_t fact_id);
extern const GmAssertion *gm_assertions_next(GmAssertionIter *iter);

/* one of all, by position below gr_assertions; NULL: there is none there */
static inline const GmAssertion *
gm_graph_assertion(const GmGraph *g, uint32_t i)
{
	const GmAssertion *a = (const GmAssertion *) gm_array_at(&g->assertion, i);

	return a->source == GM_NONE ? NULL : a;
}

/* one of all, by position below gr_aliases; NULL: there is none there */
static inline const GmAlias *
gm_graph_alias(const GmGraph *g, uint32_t i)
{
	const GmAlias *a = (const GmAlias *) gm_array_at(&g->alias, i);

	return a->node == GM_NONE ? NULL : a;
}

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
struct GmView
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
};

/* everything current at this time (the statement's) */
extern void gm_view_init(const GmGraph *graph, int64_t now, GmView *view);

/*
 * Derive the settled fields after as_of, known_at or a filter was set; known_at
 * becomes GM_TIME_MAX where no answer can differ.
 */
extern void gm_view_settle(const GmGraph *graph, GmView *view);

/* were these times in force, as far as the view asks */
static inline bool
gm_view_in_time(const GmView *view, const GmTimes *t)
{
	if (view->as_of < t->valid_from || view->as_of >= t->valid_to)
		return false;
	if (view->known_at == GM_TIME_MAX)
		return t->expired_at == GM_TIME_MAX;
	return view->known_at >= t->recorded_at && view->known_at < t->expired_at;
}

/* may the view see slots of the first build that were not current then */
static inline bool
gm_view_sees_past(const GmGraph *g, const GmView *view)
{
	return view->timed || g->root->gr_past_current;
}

/* is this slot visible: time, confidence, slots and predicate */
extern bool gm_graph_visible(const GmGraph *graph, const GmView *view, GmSlot slot);

/*
 * Of a fact's versions the visible one, that with the smallest triple id if
 * there are several; the one with the largest, visible or not.  GM_NONE: none.
 */
extern GmSlot gm_graph_visible_version(const GmGraph *graph, const GmView *view,
									   int64_t fact_id);
extern GmSlot gm_graph_latest_version(const GmGraph *graph, int64_t fact_id);

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

/* history runs of a node; NULL: it has none */
static inline const GmNodeRuns *
gm_graph_past(const GmGraph *g, GmNode node)
{
	uint32_t	past = node < g->root->gr_past_of.ar_length ? GM_ARRAY_U32(&g->past_of, node) : 0;

	return past == 0 ? NULL : (const GmNodeRuns *) gm_array_at(&g->past, past - 1);
}

/* do records of a run come in this order: by the ids of (predicate, neighbour, triple) */
extern bool gm_graph_record_before(const GmGraph *graph,
								   uint32_t predicate, GmNode neighbor, GmSlot slot,
								   uint32_t predicate2, GmNode neighbor2, GmSlot slot2);

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
 * each by the ids of (predicate, neighbour, triple).  A self-loop comes once, as outgoing
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

/* the same; GM_INTERRUPTED if intr ended it before it had looked at all */
extern GmStatus gm_graph_check_until(const GmGraph *graph, const GmInterrupt *intr,
									 void (*report) (void *arg, const char *what, uint64_t where),
									 void *arg);

#endif							/* GM_CORE_GRAPH_H */
