/*-------------------------------------------------------------------------
 *
 * graph_check.c
 *	  Invariants of a finished graph image, looked at from the outside.
 *
 * Written against graph.h alone.  Checked: ids ascend where the image says so;
 * every slot lies once in its subject's outgoing and once in its object's
 * incoming run, in the current runs exactly if it is valid at gr_built_at, and
 * in none if it belongs to nothing; runs are sorted and say of each record what
 * its slot says; every name and id finds what has it; facts and assertions are
 * found; confidence is what assertions make it; no time is later than the latest
 * of all; every count is right.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdlib.h>

#include "core/graph.h"

typedef struct Check
{
	const GmGraph *g;
	void		(*report) (void *arg, const char *what, uint64_t where);
	void	   *arg;
	uint32_t	violations;
	uint8_t    *seen;			/* by slot: bit 0 outgoing, bit 1 incoming */
	const GmInterrupt *intr;
	uint32_t	work;
	bool		stopped;		/* by intr: loops end, and mean nothing */
} Check;

static bool
stop(Check *c, uint64_t work)
{
	if (c->stopped)
		return true;
	c->work += 1 + (uint32_t) (work < GM_INTERRUPT_EVERY ? work : GM_INTERRUPT_EVERY);
	if (c->work < GM_INTERRUPT_EVERY)
		return false;
	c->work = 0;
	c->stopped = gm_interrupted(c->intr);
	return c->stopped;
}

static void
expect(Check *c, bool holds, const char *what, uint64_t where)
{
	if (holds || c->stopped)
		return;
	c->violations++;
	c->report(c->arg, what, where);
}

static bool
slot_is_current(const GmGraph *g, GmSlot slot)
{
	GmTriple	t;

	gm_graph_slot(g, slot, &t);
	return t.times.expired_at == GM_TIME_MAX &&
		t.times.valid_from <= g->root->gr_built_at && g->root->gr_built_at < t.times.valid_to;
}

static void
check_run(Check *c, GmNode node, const GmRun *run, bool out, bool current)
{
	const GmGraph *g = c->g;
	GmRunView	v = gm_graph_run_view(g, run);

	for (uint32_t i = 0; i < v.length; i++)
	{
		GmSlot		slot = v.slot[i];
		GmTriple	t;

		if (slot >= g->root->gr_slots)
		{
			expect(c, false, "record's slot is out of range", node);
			continue;
		}
		gm_graph_slot(g, slot, &t);
		expect(c, (out ? t.subject : t.object) == node, "record in another node's run", slot);
		expect(c, (out ? t.object : t.subject) == v.neighbor[i], "record's neighbour", slot);
		expect(c, t.predicate == v.predicate[i], "record's predicate", slot);
		expect(c, gm_graph_slot_live(g, slot), "record's slot belongs to nothing", slot);
		expect(c, slot_is_current(g, slot) == current, "record in the wrong kind of run", slot);
		expect(c, (c->seen[slot] & (out ? 1 : 2)) == 0, "slot twice in runs", slot);
		c->seen[slot] |= out ? 1 : 2;
		if (i > 0)
			expect(c, gm_graph_record_before(g, v.predicate[i - 1], v.neighbor[i - 1],
											 v.slot[i - 1], v.predicate[i], v.neighbor[i], slot),
				   "run is not sorted", node);
	}
}

static uint32_t
distinct_edges(const GmGraph *g, GmNode node)
{
	uint32_t	edges = 0;
	GmView		view;
	GmEdgeIter	iter;
	GmEdge		edge;

	gm_view_init(g, g->root->gr_built_at, &view);
	gm_edges_begin(&iter, g, &view, node);
	while (gm_edges_next(&iter, &edge))
		edges++;
	return edges;
}

/* its name leads to it, or to the one that comes before it under that name */
static void
check_name(Check *c, GmNode node)
{
	const GmGraph *g = c->g;
	const GmString *name = gm_graph_name(g, node);
	const GmString *type = gm_graph_type(g, node);

	if (type == NULL)
		expect(c, gm_graph_find_name(g, name->bytes, name->length) == node,
			   "entity is not found by its name", node);
	else
		expect(c, gm_graph_find_literal(g, name->bytes, name->length, type->bytes,
										type->length) == node,
			   "literal is not found by its name and type", node);
}

static void
check_nodes(Check *c)
{
	const GmGraph *g = c->g;
	uint32_t	live = 0;

	for (GmNode node = 0; node < g->root->gr_nodes; node++)
	{
		const GmNodeRuns *runs = gm_array_at(&g->runs, node);
		const GmNodeRuns *past = gm_graph_past(g, node);

		if (stop(c, GM_ARRAY_U32(&g->degree, node)))
			return;
		check_run(c, node, &runs->out, true, true);
		check_run(c, node, &runs->in, false, true);
		if (past != NULL)
		{
			check_run(c, node, &past->out, true, false);
			check_run(c, node, &past->in, false, false);
		}
		expect(c, GM_ARRAY_U32(&g->degree, node) == distinct_edges(g, node),
			   "degree is not the number of edges", node);
		if (gm_graph_name(g, node) == NULL)
		{
			expect(c, !g->root->gr_nodes_ascend, "node belongs to nothing", node);
			expect(c, runs->out.rn_length == 0 && runs->in.rn_length == 0,
				   "node that belongs to nothing has edges", node);
			continue;
		}
		live++;
		if (node > 0 && g->root->gr_nodes_ascend)
			expect(c, gm_graph_entity_id(g, node - 1) < gm_graph_entity_id(g, node),
				   "entity ids do not ascend", node);
		expect(c, gm_graph_find_entity(g, gm_graph_entity_id(g, node)) == node,
			   "entity is not found by its id", node);
		check_name(c, node);
	}
	expect(c, live == g->root->gr_live_nodes, "number of nodes", live);
}

/* among all versions of the fact, or those that a view of what is current may see */
static bool
fact_has_slot(GmFactSlots *iter, const GmView *view, int64_t fact_id, GmSlot slot)
{
	bool		found = false;
	GmSlot		s;

	if (view == NULL)
		gm_fact_slots_seek(iter, fact_id);
	else
		gm_fact_slots_seek_seen(iter, view, fact_id);
	while ((s = gm_fact_slots_next(iter)) != GM_NONE)
		found |= s == slot;
	return found;
}

static void
check_slots(Check *c)
{
	const GmGraph *g = c->g;
	uint32_t	current = 0;
	uint32_t	live = 0;
	GmFactSlots iter;
	GmView		view;

	gm_view_init(g, g->root->gr_built_at, &view);
	gm_fact_slots_init(&iter, g);
	for (GmSlot slot = 0; slot < g->root->gr_slots && !stop(c, 0); slot++)
	{
		GmTriple	t;

		gm_graph_slot(g, slot, &t);
		if (slot > 0 && (g->root->gr_slots_ascend ||
						 (slot < g->root->gr_base_slots && slot != g->root->gr_base_current)))
			expect(c, GM_ARRAY_I64(&g->triple_id, slot - 1) < t.triple_id,
				   "triple ids do not ascend", slot);
		expect(c, t.subject < g->root->gr_nodes && t.object < g->root->gr_nodes &&
			   t.predicate < g->root->gr_predicates, "slot's numbers are out of range", slot);
		if (!gm_graph_slot_live(g, slot))
		{
			expect(c, c->seen[slot] == 0, "slot that belongs to nothing is in a run", slot);
			continue;
		}
		live++;
		current += slot_is_current(g, slot);
		expect(c, c->seen[slot] == 3, "slot is missing from a run", slot);
		expect(c, gm_graph_find_triple(g, t.triple_id) == slot, "triple is not found by its id", slot);
		expect(c, fact_has_slot(&iter, NULL, t.fact_id, slot), "triple is not found by its fact",
			   slot);
		expect(c, !slot_is_current(g, slot) || fact_has_slot(&iter, &view, t.fact_id, slot),
			   "current triple is not found by its fact", slot);
		expect(c, t.confidence >= 0 && t.confidence <= 1, "confidence is out of range", slot);
		expect(c, fabsf(t.confidence - gm_graph_confidence_at(g, slot, GM_TIME_MAX)) <= 1e-6f,
			   "confidence is not what the assertions make it", slot);
	}
	expect(c, live == g->root->gr_live_slots, "number of slots", live);
	expect(c, current == g->root->gr_current, "number of current slots", current);
	expect(c, g->root->gr_history == (current < live), "history is told wrongly", current);
}

/* how often each of the times, predicates, sources, kinds and types is used */
static void
check_uses(Check *c)
{
	const GmGraph *g = c->g;
	uint32_t	n = (uint32_t) g->root->gr_times.ar_length + g->root->gr_predicates +
		g->root->gr_sources + (uint32_t) g->root->gr_string.ar_length;
	uint32_t   *uses = calloc((size_t) n + 1, sizeof(uint32_t));
	uint32_t   *of_predicate;
	uint32_t   *of_source;
	uint32_t   *of_string;

	expect(c, uses != NULL, "out of memory", 0);
	if (uses == NULL)
		return;
	of_predicate = uses + g->root->gr_times.ar_length;
	of_source = of_predicate + g->root->gr_predicates;
	of_string = of_source + g->root->gr_sources;
	for (GmSlot slot = 0; slot < g->root->gr_slots && !stop(c, 0); slot++)
	{
		if (!gm_graph_slot_live(g, slot))
			continue;
		uses[GM_ARRAY_U32(&g->time, slot)]++;
		of_predicate[GM_ARRAY_U32(&g->predicate, slot)]++;
	}
	for (uint32_t i = 0; i < g->root->gr_assertions && !stop(c, 0); i++)
		if (gm_graph_assertion(g, i) != NULL)
			of_source[gm_graph_assertion(g, i)->source]++;
	for (uint32_t i = 1; i < g->root->gr_times.ar_length; i++)
		expect(c, uses[i] == GM_ARRAY_U32(&g->times_use, i), "uses of times", i);
	for (uint32_t i = 0; i < g->root->gr_predicates; i++)
		expect(c, of_predicate[i] == gm_graph_predicate(g, i)->triples,
			   "number of a predicate's triples", i);
	for (uint32_t i = 0; i < g->root->gr_sources; i++)
		expect(c, of_source[i] == gm_graph_source(g, i)->assertions,
			   "number of a source's assertions", i);
	for (GmNode node = 0; node < g->root->gr_nodes && !stop(c, 0); node++)
	{
		of_string[GM_ARRAY_U32(&g->kind, node)]++;
		of_string[GM_ARRAY_U32(&g->type, node)]++;
	}
	for (uint32_t i = 1; i < g->root->gr_string.ar_length; i++)
	{
		expect(c, of_string[i] == GM_ARRAY_U32(&g->string_use, i), "uses of a kind or type", i);
		expect(c, (of_string[i] > 0) == (*(GmRef *) gm_array_at(&g->string, i) != 0),
			   "kind or type that nothing has", i);
	}
	free(uses);
}

static void
expect_latest(Check *c, int64_t time, uint64_t where)
{
	expect(c, time <= c->g->root->gr_latest, "later than the latest time of all", where);
}

static void
check_latest(Check *c)
{
	const GmGraph *g = c->g;

	for (GmSlot slot = 0; slot < g->root->gr_slots && !stop(c, 0); slot++)
	{
		GmTriple	t;

		if (!gm_graph_slot_live(g, slot))
			continue;
		gm_graph_slot(g, slot, &t);
		expect_latest(c, t.times.recorded_at, slot);
		if (t.times.expired_at != GM_TIME_MAX)
			expect_latest(c, t.times.expired_at, slot);
	}
	for (GmNode node = 0; node < g->root->gr_nodes && !stop(c, 0); node++)
		if (gm_graph_node_live(g, node))
			expect_latest(c, GM_ARRAY_I64(&g->created, node), node);
	for (uint32_t i = 0; i < g->root->gr_sources && !stop(c, 0); i++)
		if (gm_graph_source_live(g, i))
			expect_latest(c, gm_graph_source(g, i)->created_at, i);
	for (uint32_t i = 0; i < g->root->gr_assertions && !stop(c, 0); i++)
		if (gm_graph_assertion(g, i) != NULL)
			expect_latest(c, gm_graph_assertion(g, i)->asserted_at, i);
}

static void
check_flips(Check *c)
{
	const GmGraph *g = c->g;

	for (GmSlot slot = 0; slot < g->root->gr_slots && !stop(c, 0); slot++)
	{
		GmTriple	t;

		gm_graph_slot(g, slot, &t);
		if (t.times.expired_at != GM_TIME_MAX || t.times.valid_from >= t.times.valid_to)
			continue;
		expect(c, t.times.valid_from <= g->root->gr_built_at ||
			   t.times.valid_from >= g->root->gr_next_flip, "next flip is too late", slot);
		expect(c, t.times.valid_to <= g->root->gr_built_at ||
			   t.times.valid_to >= g->root->gr_next_flip, "next flip is too late", slot);
	}
}

/* from the first of each fact on, so that every one is come by once */
static void
check_assertions(Check *c)
{
	const GmGraph *g = c->g;
	uint32_t	live = 0;
	uint32_t	found = 0;

	for (uint32_t i = 0; i < g->root->gr_assertions && !stop(c, 0); i++)
	{
		const GmAssertion *a = gm_graph_assertion(g, i);
		const GmAssertion *before;
		const GmAssertion *other;
		GmAssertionIter iter;

		if (a == NULL)
			continue;
		live++;
		expect(c, a->source < g->root->gr_sources && gm_graph_source_live(g, a->source),
			   "assertion's source is out of range", i);
		gm_assertions_begin(&iter, g, a->fact_id);
		before = gm_assertions_next(&iter);
		expect(c, before != NULL, "no assertion is found by its fact", i);
		if (before != a)
			continue;
		found++;
		while ((other = gm_assertions_next(&iter)) != NULL && !stop(c, 0))
		{
			found++;
			expect(c, other->fact_id == a->fact_id, "assertion of another fact", i);
			expect(c, gm_graph_source(g, before->source)->source_id <
				   gm_graph_source(g, other->source)->source_id, "assertions are not sorted", i);
			before = other;
		}
	}
	expect(c, found == live, "number of assertions that are found by their facts", found);
	expect(c, live == g->root->gr_live_assertions, "number of assertions", live);
}

static void
check_others(Check *c)
{
	const GmGraph *g = c->g;
	uint32_t	predicates = 0;
	uint32_t	sources = 0;
	uint32_t	aliases = 0;

	for (uint32_t i = 0; i < g->root->gr_predicates && !stop(c, 0); i++)
	{
		const GmString *name = gm_graph_string(g, gm_graph_predicate(g, i)->name);

		if (!gm_graph_predicate_live(g, i))
			continue;
		predicates++;
		expect(c, gm_graph_find_predicate(g, name->bytes, name->length) == i,
			   "predicate is not found by its name", i);
	}
	for (uint32_t i = 0; i < g->root->gr_sources && !stop(c, 0); i++)
	{
		if (!gm_graph_source_live(g, i))
			continue;
		sources++;
		expect(c, gm_graph_find_source_id(g, gm_graph_source(g, i)->source_id) == i,
			   "source is not found by its id", i);
	}
	for (uint32_t i = 0; i < g->root->gr_aliases && !stop(c, 0); i++)
	{
		const GmAlias *alias = gm_graph_alias(g, i);

		if (alias == NULL)
			continue;
		aliases++;
		expect(c, alias->node < g->root->gr_nodes && gm_graph_node_live(g, alias->node),
			   "alias's node is out of range", i);
	}
	expect(c, predicates == g->root->gr_live_predicates, "number of predicates", predicates);
	expect(c, sources == g->root->gr_live_sources, "number of sources", sources);
	expect(c, aliases == g->root->gr_live_aliases, "number of aliases", aliases);
}

static void
check_all(Check *c)
{
	c->seen = calloc((size_t) c->g->root->gr_slots + 1, 1);
	expect(c, c->seen != NULL, "out of memory", 0);
	if (c->seen == NULL)
		return;
	check_nodes(c);
	check_slots(c);
	check_uses(c);
	check_flips(c);
	check_latest(c);
	check_assertions(c);
	check_others(c);
	free(c->seen);
}

uint32_t
gm_graph_check(const GmGraph *g, void (*report) (void *arg, const char *what, uint64_t where),
			   void *arg)
{
	Check		c = {.g = g, .report = report, .arg = arg};

	check_all(&c);
	return c.violations;
}

GmStatus
gm_graph_check_until(const GmGraph *g, const GmInterrupt *intr,
					 void (*report) (void *arg, const char *what, uint64_t where), void *arg)
{
	Check		c = {.g = g, .report = report, .arg = arg, .intr = intr};

	check_all(&c);
	return c.stopped ? GM_INTERRUPTED : GM_OK;
}
