/*-------------------------------------------------------------------------
 *
 * graph.c
 *	  The image of one graph: look-ups, time, confidence, edges of a node.
 *
 * See graph.h for the layout; graph_build.c makes it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/graph.h"
#include "core/graph_private.h"

/* FNV-1a, folded: only a filter before the bytes are compared */
uint32_t
gm_graph_hash(const char *bytes, size_t length)
{
	uint64_t	h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < length; i++)
		h = (h ^ (unsigned char) bytes[i]) * UINT64_C(0x100000001b3);
	return (uint32_t) (h ^ (h >> 32));
}

static bool
same_string(const GmString *s, const char *bytes, size_t length)
{
	return s != NULL && s->length == length && memcmp(s->bytes, bytes, length) == 0;
}

static GmNode
find_alias(const GmGraph *g, const char *name, size_t length, uint32_t hash)
{
	uint32_t	mask;
	const uint32_t *table;

	if (g->root->gr_aliases == 0)
		return GM_NONE;
	mask = ((uint32_t) 1 << g->root->gr_alias_bits) - 1;
	table = gm_mem_ptr(g->mem, g->root->gr_alias_table);
	for (uint32_t i = hash & mask; table[i] != 0; i = (i + 1) & mask)
	{
		const GmAlias *alias = gm_array_at(&g->alias, table[i] - 1);

		if (alias->hash == hash && same_string(gm_graph_string(g, alias->name), name, length))
			return alias->node;
	}
	return GM_NONE;
}

GmNode
gm_graph_find_name(const GmGraph *g, const char *name, size_t length)
{
	uint32_t	hash = gm_graph_hash(name, length);
	uint32_t	mask;
	const uint32_t *table;
	GmNode		literal = GM_NONE;
	GmNode		node;

	if (g->root->gr_nodes == 0)
		return GM_NONE;
	mask = ((uint32_t) 1 << g->root->gr_name_bits) - 1;
	table = gm_mem_ptr(g->mem, g->root->gr_name_table);
	for (uint32_t i = hash & mask; table[i] != 0; i = (i + 1) & mask)
	{
		node = table[i] - 1;
		if (GM_ARRAY_U32(&g->hash, node) != hash ||
			!same_string(gm_graph_name(g, node), name, length))
			continue;
		if (GM_ARRAY_U32(&g->type, node) == 0)
			return node;
		if (literal == GM_NONE || node < literal)
			literal = node;
	}
	node = find_alias(g, name, length, hash);
	return node != GM_NONE ? node : literal;
}

GmNode
gm_graph_find_literal(const GmGraph *g, const char *name, size_t length,
					  const char *type, size_t type_length)
{
	uint32_t	hash = gm_graph_hash(name, length);
	uint32_t	mask;
	const uint32_t *table;

	if (g->root->gr_nodes == 0)
		return GM_NONE;
	mask = ((uint32_t) 1 << g->root->gr_name_bits) - 1;
	table = gm_mem_ptr(g->mem, g->root->gr_name_table);
	for (uint32_t i = hash & mask; table[i] != 0; i = (i + 1) & mask)
	{
		GmNode		node = table[i] - 1;

		if (GM_ARRAY_U32(&g->hash, node) == hash &&
			same_string(gm_graph_name(g, node), name, length) &&
			same_string(gm_graph_type(g, node), type, type_length))
			return node;
	}
	return GM_NONE;
}

/* first position of an ascending int64 array whose element is not below id */
static uint32_t
lower_bound(const GmArray *a, uint32_t n, int64_t id)
{
	uint32_t	lo = 0;
	uint32_t	hi = n;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;

		if (GM_ARRAY_I64(a, mid) < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

GmNode
gm_graph_find_entity(const GmGraph *g, int64_t entity_id)
{
	uint32_t	i = lower_bound(&g->entity_id, g->root->gr_nodes, entity_id);

	if (i < g->root->gr_nodes && GM_ARRAY_I64(&g->entity_id, i) == entity_id)
		return i;
	return GM_NONE;
}

GmSlot
gm_graph_find_triple(const GmGraph *g, int64_t triple_id)
{
	uint32_t	i = lower_bound(&g->triple_id, g->root->gr_slots, triple_id);

	if (i < g->root->gr_slots && GM_ARRAY_I64(&g->triple_id, i) == triple_id)
		return i;
	return GM_NONE;
}

uint32_t
gm_graph_find_predicate(const GmGraph *g, const char *name, size_t length)
{
	for (uint32_t i = 0; i < g->root->gr_predicates; i++)
		if (same_string(gm_graph_string(g, gm_graph_predicate(g, i)->name), name, length))
			return i;
	return GM_NONE;
}

uint32_t
gm_graph_find_source(const GmGraph *g, const char *name, size_t length)
{
	for (uint32_t i = 0; i < g->root->gr_sources; i++)
		if (same_string(gm_graph_string(g, gm_graph_source(g, i)->name), name, length))
			return i;
	return GM_NONE;
}

uint32_t
gm_graph_find_source_id(const GmGraph *g, int64_t source_id)
{
	uint32_t	lo = 0;
	uint32_t	hi = g->root->gr_sources;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;

		if (gm_graph_source(g, mid)->source_id < source_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < g->root->gr_sources && gm_graph_source(g, lo)->source_id == source_id)
		return lo;
	return GM_NONE;
}

void
gm_graph_slot(const GmGraph *g, GmSlot slot, GmTriple *t)
{
	t->triple_id = GM_ARRAY_I64(&g->triple_id, slot);
	t->fact_id = GM_ARRAY_I64(&g->fact_id, slot);
	t->subject = GM_ARRAY_U32(&g->subject, slot);
	t->predicate = GM_ARRAY_U32(&g->predicate, slot);
	t->object = GM_ARRAY_U32(&g->object, slot);
	t->confidence = GM_ARRAY_F32(&g->confidence, slot);
	t->times = *(const GmTimes *) gm_array_at(&g->times, GM_ARRAY_U32(&g->time, slot));
}

uint32_t
gm_graph_fact_slots(const GmGraph *g, int64_t fact_id, uint32_t *first)
{
	uint32_t	n = g->root->gr_slots;
	uint32_t	lo = 0;
	uint32_t	hi = n;
	uint32_t	count = 0;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;

		if (GM_ARRAY_I64(&g->fact_id, gm_graph_fact_slot(g, mid)) < fact_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	*first = lo;
	while (lo + count < n &&
		   GM_ARRAY_I64(&g->fact_id, gm_graph_fact_slot(g, lo + count)) == fact_id)
		count++;
	return count;
}

uint32_t
gm_graph_assertions(const GmGraph *g, int64_t fact_id, uint32_t *first)
{
	uint32_t	n = g->root->gr_assertions;
	uint32_t	lo = 0;
	uint32_t	hi = n;
	uint32_t	count = 0;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;

		if (((const GmAssertion *) gm_array_at(&g->assertion, mid))->fact_id < fact_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	*first = lo;
	while (lo + count < n &&
		   ((const GmAssertion *) gm_array_at(&g->assertion, lo + count))->fact_id == fact_id)
		count++;
	return count;
}

float
gm_graph_confidence_at(const GmGraph *g, GmSlot slot, int64_t known_at)
{
	uint32_t	first;
	uint32_t	n = gm_graph_assertions(g, GM_ARRAY_I64(&g->fact_id, slot), &first);
	double		doubt = 1.0;
	bool		any = false;

	for (uint32_t i = first; i < first + n; i++)
	{
		const GmAssertion *a = gm_array_at(&g->assertion, i);

		if (a->asserted_at > known_at)
			continue;
		any = true;
		doubt *= 1.0 - (double) a->confidence * gm_graph_source(g, a->source)->reliability;
	}
	if (any)
		return (float) (1.0 - doubt);
	if (g->root->gr_asserted.ar_length > 0)
		return GM_ARRAY_F32(&g->asserted, slot);
	return GM_ARRAY_F32(&g->confidence, slot);
}

/*
 * Views
 */
void
gm_view_init(const GmGraph *g, int64_t now, GmView *view)
{
	memset(view, 0, sizeof(*view));
	view->direction = GM_BOTH;
	view->as_of = now;
	view->known_at = GM_TIME_MAX;
	gm_view_settle(g, view);
}

void
gm_view_settle(const GmGraph *g, GmView *view)
{
	view->timed = view->known_at != GM_TIME_MAX ||
		view->as_of < g->root->gr_built_at ||
		view->as_of >= g->root->gr_next_flip;
	view->reliable = view->known_at != GM_TIME_MAX && g->root->gr_assertions > 0;
	view->plain = !view->timed && view->predicates == NULL && view->slots == NULL &&
		!(view->min_confidence > 0);
}

static bool
in_time(const GmGraph *g, const GmView *view, GmSlot slot)
{
	const GmTimes *t = gm_array_at(&g->times, GM_ARRAY_U32(&g->time, slot));

	if (view->as_of < t->valid_from || view->as_of >= t->valid_to)
		return false;
	if (view->known_at == GM_TIME_MAX)
		return t->expired_at == GM_TIME_MAX;
	return view->known_at >= t->recorded_at && view->known_at < t->expired_at;
}

static bool
passes(const GmGraph *g, const GmView *view, uint32_t predicate, GmSlot slot)
{
	if (view->predicates != NULL && !view->predicates[predicate])
		return false;
	if (view->slots != NULL && !(view->slots[slot >> 6] >> (slot & 63) & 1))
		return false;
	if (view->timed && !in_time(g, view, slot))
		return false;
	if (view->min_confidence > 0 && gm_graph_confidence(g, view, slot) < view->min_confidence)
		return false;
	return true;
}

bool
gm_graph_visible(const GmGraph *g, const GmView *view, GmSlot slot)
{
	return in_time(g, view, slot) &&
		passes(g, view, GM_ARRAY_U32(&g->predicate, slot), slot);
}

/*
 * Edges of a node
 */
enum
{
	PHASE_OUT,
	PHASE_IN,
	PHASE_PAST_OUT,
	PHASE_PAST_IN,
	PHASE_DONE
};

/* prepare the run of iter->phase, or move on to the next phase that has one */
static void
open_run(GmEdgeIter *iter)
{
	const GmGraph *g = iter->graph;

	iter->next = 0;
	iter->run.length = 0;
	for (; iter->phase < PHASE_DONE; iter->phase++)
	{
		bool		out = iter->phase == PHASE_OUT || iter->phase == PHASE_PAST_OUT;
		bool		wanted = (iter->view->direction & (out ? GM_OUT : GM_IN)) != 0;
		const GmNodeRuns *runs;

		if (!wanted && !g->root->gr_symmetric)
			continue;
		if (iter->phase >= PHASE_PAST_OUT)
		{
			if (!iter->view->timed || !g->root->gr_history)
			{
				iter->phase = PHASE_DONE;
				return;
			}
			runs = gm_array_at(&g->past, iter->node);
		}
		else
			runs = gm_array_at(&g->runs, iter->node);
		iter->run = gm_graph_run_view(g, out ? &runs->out : &runs->in);
		iter->only_symmetric = !wanted;
		if (iter->run.length > 0)
			return;
	}
}

void
gm_edges_begin(GmEdgeIter *iter, const GmGraph *graph, const GmView *view, GmNode node)
{
	iter->graph = graph;
	iter->view = view;
	iter->node = node;
	iter->phase = PHASE_OUT;
	open_run(iter);
}

bool
gm_edges_next(GmEdgeIter *iter, GmEdge *edge)
{
	const GmGraph *g = iter->graph;
	const GmView *view = iter->view;

	while (iter->phase < PHASE_DONE)
	{
		bool		out = iter->phase == PHASE_OUT || iter->phase == PHASE_PAST_OUT;

		while (iter->next < iter->run.length)
		{
			uint32_t	i = iter->next++;
			uint32_t	predicate = iter->run.predicate[i];
			GmNode		neighbor = iter->run.neighbor[i];
			GmSlot		slot = iter->run.slot[i];

			/* a self-loop lies in both runs; one of them yields it */
			if (neighbor == iter->node && out == (view->direction == GM_IN))
				continue;
			if (iter->only_symmetric && !gm_graph_predicate(g, predicate)->symmetric)
				continue;
			if (!view->plain && !passes(g, view, predicate, slot))
				continue;
			edge->neighbor = neighbor;
			edge->predicate = predicate;
			edge->slot = slot;
			edge->out = out;
			return true;
		}
		iter->phase++;
		open_run(iter);
	}
	return false;
}
