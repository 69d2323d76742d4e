/*-------------------------------------------------------------------------
 *
 * apply_names.c
 *	  Changing entities, aliases, predicates and sources of a graph image.
 *
 *-------------------------------------------------------------------------
 */
#include "core/apply_private.h"

static bool
same_text(const GmString *s, GmText text)
{
	if (s == NULL || text.bytes == NULL)
		return s == NULL && text.bytes == NULL;
	return gm_same_string(s, text.bytes, text.length);
}

/* the reference becomes that of this text; the old string goes */
static GmStatus
replace_text(GmApply *ap, GmRef *ref, GmText text)
{
	GmRef		old = *ref;

	if (same_text(gm_graph_string(ap->graph, old), text))
		return GM_OK;
	*ref = 0;
	if (text.bytes != NULL)
		GM_TRY(gm_graph_add_string(ap->graph, text.bytes, text.length, ref));
	gm_retire_string(ap, old);
	return GM_OK;
}

/*
 * Entities
 */

/* number of a kind or type, of which there are few different ones */
static GmStatus
intern(GmApply *ap, GmText text, uint32_t *number)
{
	GmGraph    *g = ap->graph;
	uint32_t	n = (uint32_t) g->root->gr_string.ar_length;
	uint32_t	unused = n;
	GmRef	   *at;

	*number = 0;
	if (text.bytes == NULL)
		return GM_OK;
	for (*number = n - 1; *number > 0; (*number)--)
	{
		const GmString *s = gm_graph_string(g, *(GmRef *) gm_array_at(&g->string, *number));

		if (gm_same_string(s, text.bytes, text.length))
			return GM_OK;
		if (s == NULL)
			unused = *number;
	}
	if (unused >= GM_NONE - 1)
		return GM_TOO_MANY;
	GM_TRY(gm_apply_extend(ap, &g->string, (uint64_t) unused + 1));
	GM_TRY(gm_apply_extend(ap, &g->string_use, (uint64_t) unused + 1));
	GM_TRY(gm_apply_write(ap, &g->string, unused, &at));
	*number = unused;
	return gm_graph_add_string(g, text.bytes, text.length, at);
}

/* one node more has it, or one fewer; with the last the string goes */
static GmStatus
count_string(GmApply *ap, uint32_t number, bool more)
{
	GmGraph    *g = ap->graph;
	uint32_t	use;
	GmRef	   *at;

	if (number == 0)
		return GM_OK;
	use = GM_ARRAY_U32(&g->string_use, number);
	GM_TRY(gm_set_u32(ap, &g->string_use, number, more ? use + 1 : use - 1));
	if (more || use > 1)
		return GM_OK;
	GM_TRY(gm_apply_write(ap, &g->string, number, &at));
	gm_retire_string(ap, *at);
	*at = 0;
	return GM_OK;
}

/* the new ones are counted first: they may be the old ones, the other way round */
static GmStatus
set_strings(GmApply *ap, GmNode node, uint32_t type, uint32_t kind)
{
	GmGraph    *g = ap->graph;
	uint32_t	old_type = GM_ARRAY_U32(&g->type, node);
	uint32_t	old_kind = GM_ARRAY_U32(&g->kind, node);

	if (old_type == type && old_kind == kind)
		return GM_OK;
	GM_TRY(count_string(ap, type, true));
	GM_TRY(count_string(ap, kind, true));
	GM_TRY(gm_set_u32(ap, &g->type, node, type));
	GM_TRY(gm_set_u32(ap, &g->kind, node, kind));
	GM_TRY(count_string(ap, old_type, false));
	return count_string(ap, old_kind, false);
}

/* room for a node that has nothing yet */
static GmStatus
get_node(GmApply *ap, int64_t entity_id, GmNode *node)
{
	GmGraph    *g = ap->graph;
	GmGraphRoot *r = g->root;
	GmArray    *arrays[] = {&g->entity_id, &g->name, &g->hash, &g->kind, &g->type, &g->created,
	&g->runs, &g->degree};
	GmNodeRuns *runs;
	GmRef	   *name;

	if (gm_waste_is_large(r->gr_by_entity.ix_frees, r->gr_nodes))
	{
		GM_TRY(gm_index_take(ap->mem, &g->by_entity, node));
		r->gr_nodes_ascend = false;
	}
	else
	{
		if (r->gr_nodes >= GM_NONE - 1)
			return GM_TOO_MANY;
		*node = r->gr_nodes;
		for (int i = 0; i < 8; i++)
			GM_TRY(gm_apply_extend(ap, arrays[i], (uint64_t) *node + 1));
		r->gr_nodes++;
		if (*node > 0 && gm_graph_entity_id(g, *node - 1) >= entity_id)
			r->gr_nodes_ascend = false;
	}
	GM_TRY(gm_apply_write(ap, &g->runs, *node, &runs));
	memset(runs, 0, sizeof(*runs));
	GM_TRY(gm_apply_write(ap, &g->name, *node, &name));
	*name = 0;
	GM_TRY(gm_set_u32(ap, &g->degree, *node, 0));
	return gm_set_i64(ap, &g->entity_id, *node, entity_id);
}

static GmStatus
set_name(GmApply *ap, GmNode node, GmText text)
{
	GmGraph    *g = ap->graph;
	GmRef	   *name;

	if (same_text(gm_graph_name(g, node), text))
		return GM_OK;
	if (gm_graph_name(g, node) != NULL)
		GM_TRY(gm_index_remove(ap->mem, &g->by_name, node, GM_ARRAY_U32(&g->hash, node)));
	GM_TRY(gm_apply_write(ap, &g->name, node, &name));
	GM_TRY(replace_text(ap, name, text));
	GM_TRY(gm_set_u32(ap, &g->hash, node, gm_graph_hash(text.bytes, text.length)));
	return gm_index_insert(ap->mem, &g->by_name, node, GM_NONE, gm_hash_of_name, g);
}

GmStatus
gm_put_entity(GmApply *ap, const GmRow *row)
{
	GmGraph    *g = ap->graph;
	GmNode		node = gm_graph_find_entity(g, row->u.entity.entity_id);
	uint32_t	type;
	uint32_t	kind;

	GM_TRY(intern(ap, row->u.entity.literal_type, &type));
	GM_TRY(intern(ap, row->u.entity.kind, &kind));
	if (node == GM_NONE)
	{
		GM_TRY(get_node(ap, row->u.entity.entity_id, &node));
		GM_TRY(gm_index_insert(ap->mem, &g->by_entity, node, GM_NONE, gm_hash_of_entity, g));
		g->root->gr_live_nodes++;
		ap->has_new = true;
	}
	gm_numbers_remove(&ap->doomed_nodes, node);
	GM_TRY(set_strings(ap, node, type, kind));
	GM_TRY(gm_set_i64(ap, &g->created, node, row->u.entity.created_at));
	gm_latest_note(g->root, row->u.entity.created_at);
	return set_name(ap, node, row->u.entity.name);
}

GmStatus
gm_remove_entity(GmApply *ap, const GmRow *row)
{
	GmNode		node = gm_graph_find_entity(ap->graph, row->u.entity.entity_id);

	return node == GM_NONE ? GM_OK : gm_numbers_add(ap, &ap->doomed_nodes, node);
}

/*
 * Aliases
 */
static uint32_t
find_alias(const GmGraph *g, int64_t alias_id)
{
	uint32_t	i = gm_index_first(&g->by_alias, gm_index_hash_id(alias_id));

	while (i != GM_NONE && gm_graph_alias(g, i)->alias_id != alias_id)
		i = gm_index_next(&g->by_alias, i);
	return i;
}

static GmStatus
drop_alias(GmApply *ap, uint32_t i)
{
	GmGraph    *g = ap->graph;
	GmAlias    *alias;

	GM_TRY(gm_index_remove(ap->mem, &g->by_alias, i, gm_hash_of_alias(g, i)));
	GM_TRY(gm_index_remove(ap->mem, &g->by_alias_name, i, gm_hash_of_alias_name(g, i)));
	GM_TRY(gm_index_remove(ap->mem, &g->by_alias_node, i, gm_hash_of_alias_node(g, i)));
	GM_TRY(gm_apply_write(ap, &g->alias, i, &alias));
	gm_retire_string(ap, alias->name);
	alias->name = 0;
	alias->node = GM_NONE;
	g->root->gr_live_aliases--;
	return gm_index_give(ap->mem, &g->by_alias, i);
}

GmStatus
gm_put_alias(GmApply *ap, const GmRow *row)
{
	GmGraph    *g = ap->graph;
	GmText		name = row->u.alias.name;
	GmNode		node = gm_graph_find_entity(g, row->u.alias.entity_id);
	uint32_t	i = find_alias(g, row->u.alias.alias_id);
	GmAlias    *alias;

	if (i != GM_NONE && gm_graph_alias(g, i)->node == node &&
		same_text(gm_graph_string(g, gm_graph_alias(g, i)->name), name))
		return GM_OK;
	if (i != GM_NONE)
		GM_TRY(drop_alias(ap, i));
	if (node == GM_NONE)
	{
		gm_late_add(ap, row);
		return GM_OK;
	}
	GM_TRY(gm_take_number(ap, &g->by_alias, &g->alias, &g->root->gr_aliases, &i));
	GM_TRY(gm_apply_write(ap, &g->alias, i, &alias));
	*alias = (GmAlias) {
		row->u.alias.alias_id, 0, gm_graph_hash(name.bytes, name.length), node
	};
	GM_TRY(gm_graph_add_string(g, name.bytes, name.length, &alias->name));
	g->root->gr_live_aliases++;
	GM_TRY(gm_index_insert(ap->mem, &g->by_alias, i, GM_NONE, gm_hash_of_alias, g));
	GM_TRY(gm_index_insert(ap->mem, &g->by_alias_name, i, GM_NONE, gm_hash_of_alias_name, g));
	return gm_index_insert(ap->mem, &g->by_alias_node, i, GM_NONE, gm_hash_of_alias_node, g);
}

GmStatus
gm_remove_alias(GmApply *ap, const GmRow *row)
{
	uint32_t	i = find_alias(ap->graph, row->u.alias.alias_id);

	return i == GM_NONE ? GM_OK : drop_alias(ap, i);
}

/* those of an entity that goes */
static GmStatus
drop_aliases_of(GmApply *ap, GmNode node)
{
	GmGraph    *g = ap->graph;
	uint32_t	hash = gm_hash_of_entity(g, node);
	uint32_t	next;

	for (uint32_t i = gm_index_first(&g->by_alias_node, hash); i != GM_NONE; i = next)
	{
		const GmAlias *alias = gm_graph_alias(g, i);
		const GmString *name;
		GmRow		row = {.table = GM_TABLE_ALIASES};

		next = gm_index_next(&g->by_alias_node, i);
		if (alias->node != node)
			continue;
		name = gm_graph_string(g, alias->name);
		row.u.alias.alias_id = alias->alias_id;
		row.u.alias.entity_id = gm_graph_entity_id(g, node);
		row.u.alias.name = (GmText) {name->bytes, name->length};
		gm_late_add(ap, &row);
		GM_TRY(drop_alias(ap, i));
	}
	return GM_OK;
}

/*
 * Predicates
 */
GmStatus
gm_put_predicate(GmApply *ap, const GmRow *row)
{
	GmGraph    *g = ap->graph;
	uint32_t	i = gm_graph_find_predicate_id(g, row->u.predicate.predicate_id);
	bool		is_new = i == GM_NONE;
	GmPredicate *p;

	if (is_new)
		GM_TRY(gm_take_number(ap, &g->by_predicate, &g->predicate_info,
							  &g->root->gr_predicates, &i));
	GM_TRY(gm_apply_write(ap, &g->predicate_info, i, &p));
	if (is_new)
	{
		memset(p, 0, sizeof(*p));
		p->predicate_id = row->u.predicate.predicate_id;
		GM_TRY(gm_index_insert(ap->mem, &g->by_predicate, i, GM_NONE, gm_hash_of_predicate, g));
		g->root->gr_live_predicates++;
		ap->has_new = true;
	}
	gm_numbers_remove(&ap->doomed_predicates, i);
	p->functional = row->u.predicate.functional;
	p->symmetric = row->u.predicate.symmetric;
	p->weight = row->u.predicate.weight;
	ap->predicates_changed = true;
	return replace_text(ap, &p->name, row->u.predicate.name);
}

GmStatus
gm_remove_predicate(GmApply *ap, const GmRow *row)
{
	uint32_t	i = gm_graph_find_predicate_id(ap->graph, row->u.predicate.predicate_id);

	return i == GM_NONE ? GM_OK : gm_numbers_add(ap, &ap->doomed_predicates, i);
}

/* triples of predicates that go */
static GmStatus
drop_triples_of_doomed(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	uint64_t	triples = 0;
	uint32_t	at = 0;
	uint32_t	i;

	while ((i = gm_numbers_next(&ap->doomed_predicates, &at)) != GM_NONE)
		triples += gm_graph_predicate(g, i)->triples;
	for (GmSlot slot = 0; slot < g->root->gr_slots && triples > 0; slot++)
	{
		GmRow		row;

		GM_PAUSE(ap->intr, slot);
		if (!gm_numbers_have(&ap->doomed_predicates, GM_ARRAY_U32(&g->predicate, slot)) ||
			!gm_graph_slot_live(g, slot))
			continue;
		gm_slot_row(g, slot, &row);
		GM_TRY(gm_remove_slot(ap, slot));
		gm_late_add(ap, &row);
		triples--;
	}
	return GM_OK;
}

GmStatus
gm_finish_predicates(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	GmGraphRoot *r = g->root;
	uint32_t	at = 0;
	uint32_t	i;

	if (ap->doomed_predicates.n > 0)
		GM_TRY(drop_triples_of_doomed(ap));
	while ((i = gm_numbers_next(&ap->doomed_predicates, &at)) != GM_NONE)
	{
		GmPredicate *p;

		GM_TRY(gm_index_remove(ap->mem, &g->by_predicate, i, gm_hash_of_predicate(g, i)));
		GM_TRY(gm_index_give(ap->mem, &g->by_predicate, i));
		GM_TRY(gm_apply_write(ap, &g->predicate_info, i, &p));
		gm_retire_string(ap, p->name);
		*p = (GmPredicate) {.predicate_id = INT64_MIN, .weight = 1};
		r->gr_live_predicates--;
		ap->predicates_changed = true;
	}
	if (!ap->predicates_changed)
		return GM_OK;
	r->gr_symmetric = r->gr_weighted = false;
	for (i = 0; i < r->gr_predicates; i++)
	{
		r->gr_symmetric |= gm_graph_predicate(g, i)->symmetric;
		r->gr_weighted |= gm_graph_predicate(g, i)->weight != 1.0f;
	}
	return GM_OK;
}

/*
 * Sources
 */
GmStatus
gm_put_source(GmApply *ap, const GmRow *row)
{
	GmGraph    *g = ap->graph;
	uint32_t	i = gm_graph_find_source_id(g, row->u.source.source_id);
	bool		is_new = i == GM_NONE;
	GmSource   *s;

	if (is_new)
		GM_TRY(gm_take_number(ap, &g->by_source, &g->source, &g->root->gr_sources, &i));
	GM_TRY(gm_apply_write(ap, &g->source, i, &s));
	if (is_new)
	{
		memset(s, 0, sizeof(*s));
		s->source_id = row->u.source.source_id;
		GM_TRY(gm_index_insert(ap->mem, &g->by_source, i, GM_NONE, gm_hash_of_source, g));
		g->root->gr_live_sources++;
		ap->has_new = true;
	}
	else if (s->reliability != row->u.source.reliability)
		GM_TRY(gm_numbers_add(ap, &ap->rejudged, i));
	gm_numbers_remove(&ap->doomed_sources, i);
	s->reliability = row->u.source.reliability;
	s->created_at = row->u.source.created_at;
	gm_latest_note(g->root, s->created_at);
	GM_TRY(replace_text(ap, &s->name, row->u.source.name));
	GM_TRY(replace_text(ap, &s->session, row->u.source.session));
	return replace_text(ap, &s->kind, row->u.source.kind);
}

GmStatus
gm_remove_source(GmApply *ap, const GmRow *row)
{
	uint32_t	i = gm_graph_find_source_id(ap->graph, row->u.source.source_id);

	return i == GM_NONE ? GM_OK : gm_numbers_add(ap, &ap->doomed_sources, i);
}

/* assertions of sources that go */
static GmStatus
drop_assertions_of_doomed(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	uint64_t	assertions = 0;
	uint32_t	at = 0;
	uint32_t	i;

	while ((i = gm_numbers_next(&ap->doomed_sources, &at)) != GM_NONE)
		assertions += gm_graph_source(g, i)->assertions;
	for (i = 0; i < g->root->gr_assertions && assertions > 0; i++)
	{
		const GmAssertion *a = gm_graph_assertion(g, i);
		GmRow		row = {.table = GM_TABLE_ASSERTIONS};

		GM_PAUSE(ap->intr, i);
		if (a == NULL || !gm_numbers_have(&ap->doomed_sources, a->source))
			continue;
		row.u.assertion.fact_id = a->fact_id;
		row.u.assertion.source_id = gm_graph_source(g, a->source)->source_id;
		row.u.assertion.asserted_at = a->asserted_at;
		row.u.assertion.confidence = a->confidence;
		GM_TRY(gm_drop_assertion(ap, i));
		gm_late_add(ap, &row);
		assertions--;
	}
	return GM_OK;
}

/* facts asserted by sources of another reliability */
static GmStatus
rejudge_facts(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	uint64_t	assertions = 0;
	uint32_t	at = 0;
	uint32_t	i;

	while ((i = gm_numbers_next(&ap->rejudged, &at)) != GM_NONE)
		assertions += gm_graph_source(g, i)->assertions;
	for (i = 0; i < g->root->gr_assertions && assertions > 0; i++)
	{
		const GmAssertion *a = gm_graph_assertion(g, i);
		int64_t    *fact;

		GM_PAUSE(ap->intr, i);
		if (a == NULL || !gm_numbers_have(&ap->rejudged, a->source))
			continue;
		GM_TRY(gm_list_add(ap, &ap->facts, sizeof(int64_t), &fact));
		*fact = a->fact_id;
		assertions--;
	}
	return GM_OK;
}

GmStatus
gm_finish_sources(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	uint32_t	at = 0;
	uint32_t	i;

	if (ap->rejudged.n > 0)
		GM_TRY(rejudge_facts(ap));
	if (ap->doomed_sources.n > 0)
		GM_TRY(drop_assertions_of_doomed(ap));
	while ((i = gm_numbers_next(&ap->doomed_sources, &at)) != GM_NONE)
	{
		GmSource   *s;

		GM_TRY(gm_drop_vectors(ap, 's', gm_graph_source(g, i)->source_id));
		GM_TRY(gm_index_remove(ap->mem, &g->by_source, i, gm_hash_of_source(g, i)));
		GM_TRY(gm_index_give(ap->mem, &g->by_source, i));
		GM_TRY(gm_apply_write(ap, &g->source, i, &s));
		gm_retire_string(ap, s->name);
		gm_retire_string(ap, s->session);
		gm_retire_string(ap, s->kind);
		*s = (GmSource) {.source_id = INT64_MIN};
		g->root->gr_live_sources--;
	}
	return GM_OK;
}

/*
 * Nodes that go
 */
static GmStatus
drop_slot(GmApply *ap, GmNode node, GmSlot slot)
{
	GmGraph    *g = ap->graph;
	GmRow		row;

	if (!gm_graph_slot_live(g, slot) ||
		(GM_ARRAY_U32(&g->subject, slot) != node && GM_ARRAY_U32(&g->object, slot) != node))
		return GM_OK;
	gm_slot_row(g, slot, &row);
	GM_TRY(gm_remove_slot(ap, slot));
	gm_late_add(ap, &row);
	return GM_OK;
}

static GmStatus
drop_run(GmApply *ap, GmNode node, const GmRun *run)
{
	GmRunView	v = gm_graph_run_view(ap->graph, run);

	for (uint32_t i = 0; i < v.length; i++)
		GM_TRY(drop_slot(ap, node, v.slot[i]));
	return GM_OK;
}

/* triples that this version brought, which are in no run yet */
static GmStatus
drop_touched(GmApply *ap)
{
	for (int in = 0; in < 2; in++)
	{
		size_t		n = ap->touched[in].n;

		for (size_t i = 0; i < n; i++)
		{
			uint64_t	key = *GM_LIST_AT(&ap->touched[in], uint64_t, i);

			if (gm_numbers_have(&ap->doomed_nodes, (GmNode) (key >> 32)))
				GM_TRY(drop_slot(ap, (GmNode) (key >> 32), (GmSlot) key));
		}
	}
	return GM_OK;
}

static GmStatus
drop_node(GmApply *ap, GmNode node)
{
	GmGraph    *g = ap->graph;
	const GmNodeRuns *runs = gm_array_at(&g->runs, node);
	const GmNodeRuns *past = gm_graph_past(g, node);
	GmRef	   *name;

	GM_TRY(drop_run(ap, node, &runs->out));
	GM_TRY(drop_run(ap, node, &runs->in));
	if (past != NULL)
	{
		GM_TRY(drop_run(ap, node, &past->out));
		GM_TRY(drop_run(ap, node, &past->in));
	}
	GM_TRY(drop_aliases_of(ap, node));
	GM_TRY(gm_drop_vectors(ap, 'e', gm_graph_entity_id(g, node)));
	GM_TRY(gm_index_remove(ap->mem, &g->by_name, node, GM_ARRAY_U32(&g->hash, node)));
	GM_TRY(gm_index_remove(ap->mem, &g->by_entity, node, gm_hash_of_entity(g, node)));
	GM_TRY(gm_index_give(ap->mem, &g->by_entity, node));
	GM_TRY(gm_apply_write(ap, &g->name, node, &name));
	gm_retire_string(ap, *name);
	*name = 0;
	GM_TRY(set_strings(ap, node, 0, 0));
	g->root->gr_live_nodes--;
	g->root->gr_nodes_ascend = false;
	return GM_OK;
}

/*
 * All triples go before the first id does, since a triple that becomes late
 * takes the ids of both its ends along.
 */
GmStatus
gm_finish_nodes(GmApply *ap)
{
	uint32_t	at = 0;
	GmNode		node;

	if (ap->doomed_nodes.n == 0)
		return GM_OK;
	GM_TRY(drop_touched(ap));
	while ((node = gm_numbers_next(&ap->doomed_nodes, &at)) != GM_NONE)
		GM_TRY(drop_node(ap, node));
	at = 0;
	while ((node = gm_numbers_next(&ap->doomed_nodes, &at)) != GM_NONE)
		GM_TRY(gm_set_i64(ap, &ap->graph->entity_id, node, INT64_MIN));
	return GM_OK;
}
