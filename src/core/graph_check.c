/*-------------------------------------------------------------------------
 *
 * graph_check.c
 *	  Invariants of a finished graph image, looked at from the outside.
 *
 * Written against graph.h alone.  Checked: ids ascend; every slot lies once
 * in its subject's outgoing and once in its object's incoming run, in the
 * current runs exactly if it is valid at gr_built_at; runs are sorted and say
 * of each record what its slot says; every name finds its node; facts and
 * assertions are found by their ids; confidence is what assertions make it.
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
} Check;

static void
expect(Check *c, bool holds, const char *what, uint64_t where)
{
	if (holds)
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
		expect(c, slot_is_current(g, slot) == current, "record in the wrong kind of run", slot);
		expect(c, (c->seen[slot] & (out ? 1 : 2)) == 0, "slot twice in runs", slot);
		c->seen[slot] |= out ? 1 : 2;
		if (i > 0)
			expect(c, v.predicate[i - 1] < v.predicate[i] ||
				   (v.predicate[i - 1] == v.predicate[i] &&
					(v.neighbor[i - 1] < v.neighbor[i] ||
					 (v.neighbor[i - 1] == v.neighbor[i] && v.slot[i - 1] < slot))),
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

static void
check_nodes(Check *c)
{
	const GmGraph *g = c->g;

	for (GmNode node = 0; node < g->root->gr_nodes; node++)
	{
		const GmString *name = gm_graph_name(g, node);
		const GmString *type = gm_graph_type(g, node);
		const GmNodeRuns *runs = gm_array_at(&g->runs, node);

		if (node > 0)
			expect(c, gm_graph_entity_id(g, node - 1) < gm_graph_entity_id(g, node),
				   "entity ids do not ascend", node);
		expect(c, gm_graph_find_entity(g, gm_graph_entity_id(g, node)) == node,
			   "entity is not found by its id", node);
		if (type == NULL)
			expect(c, gm_graph_find_name(g, name->bytes, name->length) == node,
				   "entity is not found by its name", node);
		else
			expect(c, gm_graph_find_literal(g, name->bytes, name->length, type->bytes,
											type->length) == node,
				   "literal is not found by its name and type", node);
		check_run(c, node, &runs->out, true, true);
		check_run(c, node, &runs->in, false, true);
		expect(c, GM_ARRAY_U32(&g->degree, node) == distinct_edges(g, node),
			   "degree is not the number of edges", node);
		if (!g->root->gr_history)
			continue;
		runs = gm_array_at(&g->past, node);
		check_run(c, node, &runs->out, true, false);
		check_run(c, node, &runs->in, false, false);
	}
}

static void
check_slots(Check *c)
{
	const GmGraph *g = c->g;
	uint32_t	current = 0;

	for (GmSlot slot = 0; slot < g->root->gr_slots; slot++)
	{
		GmTriple	t;
		uint32_t	first;
		uint32_t	n;
		bool		found = false;

		gm_graph_slot(g, slot, &t);
		current += slot_is_current(g, slot);
		expect(c, c->seen[slot] == 3, "slot is missing from a run", slot);
		expect(c, gm_graph_find_triple(g, t.triple_id) == slot, "triple is not found by its id", slot);
		n = gm_graph_fact_slots(g, t.fact_id, &first);
		for (uint32_t i = first; i < first + n; i++)
			found |= gm_graph_fact_slot(g, i) == slot;
		expect(c, found, "triple is not found by its fact", slot);
		expect(c, t.confidence >= 0 && t.confidence <= 1, "confidence is out of range", slot);
		expect(c, fabsf(t.confidence - gm_graph_confidence_at(g, slot, GM_TIME_MAX)) <= 1e-6f,
			   "confidence is not what the assertions make it", slot);
	}
	expect(c, current == g->root->gr_current, "number of current slots", current);
}

static void
check_assertions(Check *c)
{
	const GmGraph *g = c->g;

	for (uint32_t i = 0; i < g->root->gr_assertions; i++)
	{
		const GmAssertion *a = gm_array_at(&g->assertion, i);

		expect(c, a->source < g->root->gr_sources, "assertion's source is out of range", i);
		if (i > 0)
		{
			const GmAssertion *before = gm_array_at(&g->assertion, i - 1);

			expect(c, before->fact_id < a->fact_id ||
				   (before->fact_id == a->fact_id && before->source < a->source),
				   "assertions are not sorted", i);
		}
	}
}

uint32_t
gm_graph_check(const GmGraph *g, void (*report) (void *arg, const char *what, uint64_t where),
			   void *arg)
{
	Check		c = {g, report, arg, 0, NULL};

	c.seen = calloc((size_t) g->root->gr_slots + 1, 1);
	if (c.seen == NULL)
	{
		report(arg, "out of memory", 0);
		return 1;
	}
	check_nodes(&c);
	check_slots(&c);
	check_assertions(&c);
	free(c.seen);
	return c.violations;
}
