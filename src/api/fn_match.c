/*-------------------------------------------------------------------------
 *
 * fn_match.c
 *	  Facts by pattern: match, neighbors, confidence.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "api/args.h"
#include "api/rows.h"
#include "core/traverse.h"
#include "error.h"
#include "image/call.h"
#include "image/image.h"

#define FETCHED		64			/* slots whose times are fetched together */

/* slots in a growing array */
typedef struct Slots
{
	GmSlot	   *slots;
	uint64		count;
	uint64		room;
	uint64		looked;			/* at so many records */
} Slots;

/* at a record; total: of so many, 0 if that is not known */
static void
look_around(uint64 done, uint64 total)
{
	if (gm_likely(done % GM_INTERRUPT_EVERY != 0))
		return;
	gm_call_phase(GM_PHASE_WALKING, done, total);
	CHECK_FOR_INTERRUPTS();
}

static void
add_slot(Slots *s, GmSlot slot)
{
	if (s->count == s->room)
	{
		s->room = s->room == 0 ? 64 : s->room * 2;
		s->slots = s->slots == NULL ?
			palloc(s->room * sizeof(GmSlot)) :
			repalloc_huge(s->slots, s->room * sizeof(GmSlot));
	}
	s->slots[s->count++] = slot;
}

/* a pattern of three terms; GM_NONE: unbound */
typedef struct Pattern
{
	GmNode		subject;
	uint32_t	predicate;
	GmNode		object;
	const text *object_type;
	bool		impossible;		/* names a term that the graph does not have */
} Pattern;

/* from the arguments 0 to 2, and type_arg; names mean what they meant when known_at_arg says */
static Pattern
get_pattern(FunctionCallInfo fcinfo, int type_arg, int known_at_arg, const GmGraph *g)
{
	int64_t		known_at = gm_arg_known_at(fcinfo, known_at_arg);
	Pattern		p = {GM_NONE, GM_NONE, GM_NONE, NULL, false};

	if (!PG_ARGISNULL(type_arg))
		p.object_type = PG_GETARG_TEXT_PP(type_arg);
	if (!PG_ARGISNULL(0))
	{
		p.subject = gm_find_text(g, PG_GETARG_TEXT_PP(0), known_at);
		p.impossible |= p.subject == GM_NONE;
	}
	if (!PG_ARGISNULL(1))
	{
		text	   *name = PG_GETARG_TEXT_PP(1);

		p.predicate = gm_graph_find_predicate(g, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
		p.impossible |= p.predicate == GM_NONE;
	}
	if (!PG_ARGISNULL(2))
	{
		p.object = gm_find_term(g, PG_GETARG_TEXT_PP(2), p.object_type, known_at);
		p.impossible |= p.object == GM_NONE;
	}
	return p;
}

static bool
object_has_type(const GmGraph *g, const Pattern *p, GmNode object)
{
	const GmString *type;

	if (p->object_type == NULL || p->object != GM_NONE)
		return true;
	type = gm_graph_type(g, object);
	return type != NULL && type->length == VARSIZE_ANY_EXHDR(p->object_type) &&
		memcmp(type->bytes, VARDATA_ANY(p->object_type), type->length) == 0;
}

/* by triple id */
static int
compare_slots(const void *a, const void *b, void *arg)
{
	const GmGraph *g = arg;
	int64_t		x = GM_ARRAY_I64(&g->triple_id, *(const GmSlot *) a);
	int64_t		y = GM_ARRAY_I64(&g->triple_id, *(const GmSlot *) b);

	return x < y ? -1 : x > y;
}

static void
sort_slots(const GmGraph *g, GmSlot *slots, uint64 n)
{
	qsort_interruptible(slots, n, sizeof(GmSlot), compare_slots, unconstify(GmGraph *, g));
}

/* one term is a node: its run in that direction */
static void
match_node(const GmGraph *g, GmView *view, const Pattern *p, Slots *found)
{
	bool		out = p->subject != GM_NONE;
	uint8_t    *only = NULL;
	GmEdgeIter	iter;
	GmEdge		edge;

	if (p->predicate != GM_NONE)
	{
		only = palloc0(g->root->gr_predicates);
		only[p->predicate] = 1;
		view->predicates = only;
	}
	view->direction = out ? GM_OUT : GM_IN;
	gm_view_settle(g, view);
	gm_edges_begin(&iter, g, view, out ? p->subject : p->object);
	while (gm_edges_next(&iter, &edge))
	{
		look_around(++found->looked, 0);

		/* the stated direction counts, also for a symmetric predicate */
		if (edge.out != out && edge.neighbor != iter.node)
			continue;
		if (out && p->object != GM_NONE && edge.neighbor != p->object)
			continue;
		if (out && !object_has_type(g, p, edge.neighbor))
			continue;
		add_slot(found, edge.slot);
	}
	sort_slots(g, found->slots, found->count);
}

/*
 * Slots from first to before end that match, until there are so many.  Times of
 * facts of one predicate lie apart: they are fetched for some slots together.
 */
static void
match_slots(const GmGraph *g, const GmView *view, const Pattern *p, GmSlot first, GmSlot end,
			uint64_t limit, Slots *found)
{
	GmSlot		slot = first;

	while (slot < end && found->count < limit)
	{
		uint64_t	room = Min(limit - found->count, FETCHED);
		GmSlot		some[FETCHED];
		uint32_t	n = 0;

		for (; slot < end && n < room; slot++)
		{
			look_around(slot, end);
			if (p->predicate == GM_NONE || GM_ARRAY_U32(&g->predicate, slot) == p->predicate)
				some[n++] = slot;
		}
		for (uint32_t i = 0; i < n; i++)
			gm_prefetch(gm_array_at(&g->times, GM_ARRAY_U32(&g->time, some[i])));
		for (uint32_t i = 0; i < n; i++)
			if (object_has_type(g, p, GM_ARRAY_U32(&g->object, some[i])) &&
				gm_graph_visible(g, view, some[i]))
				add_slot(found, some[i]);
	}
	found->looked += slot - first;
}

/* from middle on there are others, both parts in order */
static void
merge_slots(const GmGraph *g, Slots *s, uint64 middle)
{
	uint64		i = 0;
	uint64		k = middle;
	GmSlot	   *first;

	if (middle == 0 || middle == s->count ||
		compare_slots(&s->slots[middle - 1], &s->slots[middle], unconstify(GmGraph *, g)) < 0)
		return;
	first = MemoryContextAllocHuge(CurrentMemoryContext, middle * sizeof(GmSlot));
	memcpy(first, s->slots, middle * sizeof(GmSlot));
	for (uint64 at = 0; i < middle; at++)
	{
		look_around(at, s->count);
		if (k < s->count &&
			compare_slots(&s->slots[k], &first[i], unconstify(GmGraph *, g)) < 0)
			s->slots[at] = s->slots[k++];
		else
			s->slots[at] = first[i++];
	}
	pfree(first);
}

/*
 * No term is a node: all slots.  Those of the first build are in order, the
 * current ones and the others each for themselves; those that came later may
 * belong anywhere among them.
 */
static void
match_all(const GmGraph *g, const GmView *view, const Pattern *p, uint64_t limit, Slots *found)
{
	const GmGraphRoot *r = g->root;
	uint64		part;

	if (r->gr_slots_ascend)
	{
		match_slots(g, view, p, 0, r->gr_slots, limit, found);
		return;
	}
	match_slots(g, view, p, 0, r->gr_base_current, limit, found);
	part = found->count;
	if (gm_view_sees_past(g, view))
		match_slots(g, view, p, r->gr_base_current, r->gr_base_slots,
					limit < GM_ALL_ROWS - part ? part + limit : GM_ALL_ROWS, found);
	merge_slots(g, found, part);
	part = found->count;
	match_slots(g, view, p, r->gr_base_slots, r->gr_slots, GM_ALL_ROWS, found);
	sort_slots(g, found->slots + part, found->count - part);
	merge_slots(g, found, part);
}

static void
find_matches(const GmGraph *g, GmView *view, const Pattern *p, uint64_t limit, Slots *found)
{
	memset(found, 0, sizeof(*found));
	if (p->impossible)
		return;
	if (p->subject != GM_NONE || p->object != GM_NONE)
		match_node(g, view, p, found);
	else
		match_all(g, view, p, limit, found);
}

static void
put_terms(GmRows *rows, const GmGraph *g, const GmTriple *t)
{
	gm_row_string(rows, gm_graph_name(g, t->subject));
	gm_row_string(rows, gm_graph_string(g, gm_graph_predicate(g, t->predicate)->name));
	gm_row_string(rows, gm_graph_name(g, t->object));
}

/*
 * match(subject, predicate, object, match_count, min_confidence, as_of,
 *		 known_at, object_type, graph)
 */
GM_READING_FUNCTION(graphmem_match)
{
	GmImage    *image = gm_image_open(gm_arg_cstring(fcinfo, 8));
	const GmGraph *g = image->graph;
	uint64_t	limit = gm_arg_count8(fcinfo, 3, "match_count", GM_ALL_ROWS);
	Pattern		pattern = get_pattern(fcinfo, 7, 6, g);
	GmView		view;
	Slots		found;
	GmRows		rows;

	gm_arg_view(fcinfo, 4, image, &view);
	gm_rows_begin(fcinfo, &rows);
	find_matches(g, &view, &pattern, limit, &found);
	image->scratch->records += found.looked;
	for (uint64 i = 0; i < found.count && i < limit; i++)
	{
		GmTriple	t;

		gm_rows_fetch_slots(g, found.slots, sizeof(GmSlot), i, Min(found.count, limit));
		gm_graph_slot(g, found.slots[i], &t);
		gm_row_int8(&rows, t.triple_id);
		gm_row_int8(&rows, t.fact_id);
		put_terms(&rows, g, &t);
		gm_row_string(&rows, gm_graph_type(g, t.object));
		gm_row_float4(&rows, gm_graph_confidence(g, &view, found.slots[i]));
		gm_row_time(&rows, t.times.valid_from);
		gm_row_time(&rows, t.times.valid_to);
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}

/* outgoing before incoming, then predicate, neighbour and triple, by their ids */
static int
compare_edges(const void *a, const void *b, void *arg)
{
	const GmEdge *x = a;
	const GmEdge *y = b;

	if (x->out != y->out)
		return x->out ? -1 : 1;
	if (x->slot == y->slot)
		return 0;
	return gm_graph_record_before(arg, x->predicate, x->neighbor, x->slot,
								  y->predicate, y->neighbor, y->slot) ? -1 : 1;
}

static GmEdge *
collect_edges(const GmGraph *g, const GmView *view, GmNode node, uint64_t limit, uint64 *count)
{
	uint64		room = 64;
	GmEdge	   *edges = palloc(room * sizeof(GmEdge));
	GmEdgeIter	iter;
	GmEdge		edge;

	*count = 0;
	gm_edges_begin(&iter, g, view, node);
	while ((view->timed || *count < limit) && gm_edges_next(&iter, &edge))
	{
		if (*count == room)
		{
			room *= 2;
			edges = repalloc_huge(edges, room * sizeof(GmEdge));
		}
		edges[(*count)++] = edge;
		look_around(*count, 0);
	}
	/* history runs come after the current ones */
	if (view->timed)
		qsort_interruptible(edges, *count, sizeof(GmEdge), compare_edges,
							unconstify(GmGraph *, g));
	*count = Min(*count, limit);
	return edges;
}

/*
 * neighbors(entity, direction, predicates, match_count, min_confidence, as_of,
 *			 known_at, graph)
 */
GM_READING_FUNCTION(graphmem_neighbors)
{
	GmImage    *image = gm_image_open(gm_arg_cstring(fcinfo, 7));
	const GmGraph *g = image->graph;
	GmNode		node = gm_arg_node(fcinfo, 0, "entity", g, gm_arg_known_at(fcinfo, 6));
	uint64_t	limit = gm_arg_count8(fcinfo, 3, "match_count", GM_ALL_ROWS);
	uint64		count;
	GmEdge	   *edges;
	GmView		view;
	GmRows		rows;

	gm_arg_view(fcinfo, 4, image, &view);
	view.direction = gm_arg_direction(fcinfo, 1);
	view.predicates = gm_arg_predicates(fcinfo, 2, g);
	gm_view_settle(g, &view);
	gm_rows_begin(fcinfo, &rows);
	if (node == GM_NONE)
		return (Datum) 0;
	edges = collect_edges(g, &view, node, limit, &count);
	image->scratch->records += count;
	for (uint64 i = 0; i < count; i++)
	{
		GmTriple	t;

		gm_rows_fetch_slots(g, &edges[0].slot, sizeof(GmEdge), i, count);
		gm_graph_slot(g, edges[i].slot, &t);
		gm_row_int8(&rows, t.triple_id);
		put_terms(&rows, g, &t);
		gm_row_string(&rows, gm_graph_name(g, edges[i].neighbor));
		gm_row_cstring(&rows, edges[i].out ? "out" : "in");
		gm_row_float4(&rows, gm_graph_confidence(g, &view, edges[i].slot));
		gm_row_time(&rows, t.times.valid_from);
		gm_row_time(&rows, t.times.valid_to);
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}

/* the sources column: names of the sources that had asserted the fact by then */
static int
put_sources(GmRows *rows, const GmGraph *g, int64_t fact_id, int64_t known_at)
{
	int			room = 16;
	const GmString **names = palloc(room * sizeof(GmString *));
	int			count = 0;
	GmAssertionIter iter;
	const GmAssertion *a;

	gm_assertions_begin(&iter, g, fact_id);
	while ((a = gm_assertions_next(&iter)) != NULL)
	{
		if (a->asserted_at > known_at)
			continue;
		if (count == room)
		{
			room *= 2;
			names = repalloc(names, room * sizeof(GmString *));
		}
		names[count++] = gm_graph_string(g, gm_graph_source(g, a->source)->name);
	}
	gm_row_strings(rows, names, count);
	pfree(names);
	return count;
}

/*
 * confidence(subject, predicate, object, as_of, known_at, object_type, graph)
 *
 * contradiction and topology are NULL: they are not part of the confidence
 * that this version computes.
 */
GM_READING_FUNCTION(graphmem_confidence)
{
	GmImage    *image = gm_image_open(gm_arg_cstring(fcinfo, 6));
	const GmGraph *g = image->graph;
	Pattern		pattern = get_pattern(fcinfo, 5, 4, g);
	GmView		view;
	Slots		found;
	GmRows		rows;

	gm_view_init(g, image->now, &view);
	gm_arg_times(fcinfo, 3, &view);
	gm_view_settle(g, &view);
	gm_rows_begin(fcinfo, &rows);
	find_matches(g, &view, &pattern, GM_ALL_ROWS, &found);
	image->scratch->records += found.looked;
	for (uint64 i = 0; i < found.count; i++)
	{
		GmSlot		slot = found.slots[i];
		bool		has_asserted = g->root->gr_asserted.ar_length > 0;
		int			sources_column;
		int			sources;
		GmTriple	t;

		gm_graph_slot(g, slot, &t);
		gm_row_int8(&rows, t.triple_id);
		put_terms(&rows, g, &t);
		gm_row_float4(&rows, gm_graph_confidence(g, &view, slot));
		gm_row_float4(&rows, has_asserted ? GM_ARRAY_F32(&g->asserted, slot) : t.confidence);
		sources_column = rows.next;
		gm_row_float4(&rows, gm_graph_confidence(g, &view, slot));
		gm_row_null(&rows);
		gm_row_null(&rows);
		sources = put_sources(&rows, g, t.fact_id, view.known_at);
		rows.nulls[sources_column] = sources == 0;
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}
