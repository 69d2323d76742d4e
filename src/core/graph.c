/*-------------------------------------------------------------------------
 *
 * graph.c
 *	  The image of one graph: look-ups, time, confidence, edges of a node.
 *
 * See graph.h for the layout; graph_build.c makes it, apply.c changes it.
 *
 *-------------------------------------------------------------------------
 */
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

/*
 * Indexes
 */
uint32_t
gm_hash_of_entity(const void *graph, uint32_t number)
{
	return gm_index_hash_id(gm_graph_entity_id(graph, number));
}

uint32_t
gm_hash_of_name(const void *graph, uint32_t number)
{
	return GM_ARRAY_U32(&((const GmGraph *) graph)->hash, number);
}

uint32_t
gm_hash_of_predicate(const void *graph, uint32_t number)
{
	return gm_index_hash_id(gm_graph_predicate(graph, number)->predicate_id);
}

uint32_t
gm_hash_of_source(const void *graph, uint32_t number)
{
	return gm_index_hash_id(gm_graph_source(graph, number)->source_id);
}

uint32_t
gm_hash_of_triple(const void *graph, uint32_t number)
{
	return gm_index_hash_id(GM_ARRAY_I64(&((const GmGraph *) graph)->triple_id, number));
}

uint32_t
gm_hash_of_fact(const void *graph, uint32_t number)
{
	return gm_index_hash_id(GM_ARRAY_I64(&((const GmGraph *) graph)->fact_id, number));
}

uint32_t
gm_hash_of_stated(const void *graph, uint32_t number)
{
	const GmAssertion *a = gm_array_at(&((const GmGraph *) graph)->assertion, number);

	return gm_index_hash_id(a->fact_id);
}

static inline const GmAlias *
alias_at(const GmGraph *g, uint32_t number)
{
	return gm_array_at(&g->alias, number);
}

uint32_t
gm_hash_of_alias(const void *graph, uint32_t number)
{
	return gm_index_hash_id(alias_at(graph, number)->alias_id);
}

uint32_t
gm_hash_of_alias_name(const void *graph, uint32_t number)
{
	return alias_at(graph, number)->hash;
}

uint32_t
gm_hash_of_alias_node(const void *graph, uint32_t number)
{
	return gm_index_hash_id(gm_graph_entity_id(graph, alias_at(graph, number)->node));
}

/*
 * Names
 */

/* names of aliases are unique; were they not, the smallest id would win */
static GmNode
find_alias(const GmGraph *g, const char *name, size_t length, uint32_t hash)
{
	const GmAlias *found = NULL;

	for (uint32_t i = gm_index_first(&g->by_alias_name, hash); i != GM_NONE;
		 i = gm_index_next(&g->by_alias_name, i))
	{
		const GmAlias *alias = alias_at(g, i);

		if (alias->hash == hash && (found == NULL || alias->alias_id < found->alias_id) &&
			gm_same_string(gm_graph_string(g, alias->name), name, length))
			found = alias;
	}
	return found == NULL ? GM_NONE : found->node;
}

GmNode
gm_graph_find_name_at(const GmGraph *g, const char *name, size_t length, int64_t known_at)
{
	uint32_t	hash = gm_graph_hash(name, length);
	GmNode		literal = GM_NONE;
	GmNode		node;

	for (node = gm_index_first(&g->by_name, hash); node != GM_NONE;
		 node = gm_index_next(&g->by_name, node))
	{
		if (GM_ARRAY_U32(&g->hash, node) != hash ||
			!gm_same_string(gm_graph_name(g, node), name, length) ||
			!gm_graph_node_known(g, node, known_at))
			continue;
		if (GM_ARRAY_U32(&g->type, node) == 0)
			return node;
		if (literal == GM_NONE || gm_graph_entity_id(g, node) < gm_graph_entity_id(g, literal))
			literal = node;
	}
	node = find_alias(g, name, length, hash);
	return node != GM_NONE && gm_graph_node_known(g, node, known_at) ? node : literal;
}

GmNode
gm_graph_find_name(const GmGraph *g, const char *name, size_t length)
{
	return gm_graph_find_name_at(g, name, length, GM_TIME_MAX);
}

GmNode
gm_graph_find_literal(const GmGraph *g, const char *name, size_t length,
					  const char *type, size_t type_length)
{
	uint32_t	hash = gm_graph_hash(name, length);

	for (GmNode node = gm_index_first(&g->by_name, hash); node != GM_NONE;
		 node = gm_index_next(&g->by_name, node))
		if (GM_ARRAY_U32(&g->hash, node) == hash &&
			gm_same_string(gm_graph_name(g, node), name, length) &&
			gm_same_string(gm_graph_type(g, node), type, type_length))
			return node;
	return GM_NONE;
}

uint32_t
gm_graph_find_predicate(const GmGraph *g, const char *name, size_t length)
{
	for (uint32_t i = 0; i < g->root->gr_predicates; i++)
		if (gm_same_string(gm_graph_string(g, gm_graph_predicate(g, i)->name), name, length))
			return i;
	return GM_NONE;
}

uint32_t
gm_graph_find_source(const GmGraph *g, const char *name, size_t length)
{
	for (uint32_t i = 0; i < g->root->gr_sources; i++)
		if (gm_same_string(gm_graph_string(g, gm_graph_source(g, i)->name), name, length))
			return i;
	return GM_NONE;
}

/*
 * Known time
 */
static bool
run_recorded(const GmGraph *g, const GmRun *run, int64_t known_at)
{
	GmRunView	v = gm_graph_run_view(g, run);

	for (uint32_t i = 0; i < v.length; i++)
	{
		const GmTimes *t = gm_array_at(&g->times, GM_ARRAY_U32(&g->time, v.slot[i]));

		/* a version that nobody saw tells nothing */
		if (t->recorded_at <= known_at && t->recorded_at < t->expired_at)
			return true;
	}
	return false;
}

bool
gm_graph_node_recorded(const GmGraph *g, GmNode node, int64_t known_at)
{
	const GmNodeRuns *runs = gm_array_at(&g->runs, node);
	const GmNodeRuns *past = gm_graph_past(g, node);

	return run_recorded(g, &runs->out, known_at) || run_recorded(g, &runs->in, known_at) ||
		(past != NULL && (run_recorded(g, &past->out, known_at) ||
						  run_recorded(g, &past->in, known_at)));
}

/*
 * Ids
 */
GmNode
gm_graph_find_entity(const GmGraph *g, int64_t entity_id)
{
	GmNode		node = gm_index_first(&g->by_entity, gm_index_hash_id(entity_id));

	while (node != GM_NONE && gm_graph_entity_id(g, node) != entity_id)
		node = gm_index_next(&g->by_entity, node);
	return node;
}

uint32_t
gm_graph_find_predicate_id(const GmGraph *g, int64_t predicate_id)
{
	uint32_t	i = gm_index_first(&g->by_predicate, gm_index_hash_id(predicate_id));

	while (i != GM_NONE && gm_graph_predicate(g, i)->predicate_id != predicate_id)
		i = gm_index_next(&g->by_predicate, i);
	return i;
}

uint32_t
gm_graph_find_source_id(const GmGraph *g, int64_t source_id)
{
	uint32_t	i = gm_index_first(&g->by_source, gm_index_hash_id(source_id));

	while (i != GM_NONE && gm_graph_source(g, i)->source_id != source_id)
		i = gm_index_next(&g->by_source, i);
	return i;
}

/* among slots that ascend by triple id */
static GmSlot
find_between(const GmGraph *g, GmSlot lo, GmSlot end, int64_t triple_id)
{
	GmSlot		hi = end;

	while (lo < hi)
	{
		GmSlot		mid = lo + (hi - lo) / 2;

		if (GM_ARRAY_I64(&g->triple_id, mid) < triple_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < end && GM_ARRAY_I64(&g->triple_id, lo) == triple_id ? lo : GM_NONE;
}

GmSlot
gm_graph_find_base_slot(const GmGraph *g, int64_t triple_id)
{
	GmSlot		slot = find_between(g, 0, g->root->gr_base_current, triple_id);

	return slot != GM_NONE ? slot :
		find_between(g, g->root->gr_base_current, g->root->gr_base_slots, triple_id);
}

GmSlot
gm_graph_find_triple(const GmGraph *g, int64_t triple_id)
{
	GmSlot		slot = gm_graph_find_base_slot(g, triple_id);

	if (slot != GM_NONE && gm_graph_slot_live(g, slot))
		return slot;
	slot = gm_index_first(&g->by_triple, gm_index_hash_id(triple_id));
	while (slot != GM_NONE && GM_ARRAY_I64(&g->triple_id, slot) != triple_id)
		slot = gm_index_next(&g->by_triple, slot);
	return slot;
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

/*
 * Versions of a fact
 */
static inline int64_t
base_fact(const GmGraph *g, uint32_t at)
{
	return GM_ARRAY_I64(&g->fact_id, gm_base_slot(g, at));
}

/*
 * Every step of a search in halves is two cache misses.  So positions are guessed
 * as if ids were spread evenly, and then looked for near the guess, but not often:
 * ids may be spread otherwise.
 */
#define GUESSES			4
#define GUESS_FROM		64
#define GUESS_NEAR		8

static uint32_t
guess_position(const GmGraph *g, int64_t fact_id, uint32_t lo, uint32_t hi)
{
	double		first = (double) base_fact(g, lo);
	double		last = (double) base_fact(g, hi - 1);
	double		share = ((double) fact_id - first) / (last - first);

	/* NaN where all are the same */
	if (!(share > 0))
		return lo;
	return share >= 1 ? hi - 1 : lo + (uint32_t) (share * (hi - 1 - lo));
}

/* of the first position whose fact is not below; it is at least lo and at most hi */
static inline void
look_at(const GmGraph *g, int64_t fact_id, uint32_t at, uint32_t *lo, uint32_t *hi)
{
	if (base_fact(g, at) < fact_id)
		*lo = at + 1;
	else
		*hi = at;
}

static void
look_near_guess(const GmGraph *g, int64_t fact_id, uint32_t *lo, uint32_t *hi)
{
	uint32_t	guess = guess_position(g, fact_id, *lo, *hi);

	look_at(g, fact_id, guess, lo, hi);
	if (*hi - *lo <= GUESS_NEAR)
		return;
	look_at(g, fact_id, *hi == guess ? *hi - GUESS_NEAR : *lo + GUESS_NEAR, lo, hi);
}

/*
 * The first base position from first to end whose fact is not below, looked for
 * near a position first: a pass over facts in their order costs a few steps for
 * each.
 */
static uint32_t
seek_base_fact(const GmGraph *g, int64_t fact_id, uint32_t first, uint32_t end, uint32_t near)
{
	uint32_t	step = 1;
	uint32_t	lo = first;
	uint32_t	hi = end;

	if ((near == first || base_fact(g, near - 1) < fact_id) &&
		(near == end || base_fact(g, near) >= fact_id))
		return near;
	if (near < end && base_fact(g, near) < fact_id)
	{
		for (lo = near + 1; lo < end && base_fact(g, lo) < fact_id; step *= 2)
		{
			near = lo;
			lo = lo + step < end ? lo + step : end;
		}
		hi = lo;
		lo = near + 1;
	}
	else if (near < end)
		hi = near;
	for (int guesses = 0; lo < hi; guesses++)
	{
		if (guesses < GUESSES && hi - lo > GUESS_FROM)
			look_near_guess(g, fact_id, &lo, &hi);
		if (lo < hi)
			look_at(g, fact_id, lo + (hi - lo) / 2, &lo, &hi);
	}
	return lo;
}

void
gm_fact_slots_init(GmFactSlots *iter, const GmGraph *g)
{
	iter->graph = g;
	iter->fact_id = 0;
	iter->current = g->root->gr_base_current;
	iter->past = g->root->gr_base_slots;
	iter->later = GM_NONE;
	iter->past_wanted = iter->past_sought = false;
}

static void
seek_fact(GmFactSlots *iter, int64_t fact_id, bool past)
{
	const GmGraph *g = iter->graph;

	iter->fact_id = fact_id;
	iter->current = seek_base_fact(g, fact_id, 0, g->root->gr_base_current, iter->current);
	iter->later = gm_index_first(&g->by_fact, gm_index_hash_id(fact_id));
	iter->past_sought = false;
	iter->past_wanted = past && g->root->gr_base_current < g->root->gr_base_slots;
}

void
gm_fact_slots_seek(GmFactSlots *iter, int64_t fact_id)
{
	seek_fact(iter, fact_id, true);
}

void
gm_fact_slots_seek_seen(GmFactSlots *iter, const GmView *view, int64_t fact_id)
{
	seek_fact(iter, fact_id, gm_view_sees_past(iter->graph, view));
}

/* from *at to before end the next base slot of the fact, or GM_NONE */
static GmSlot
next_base_slot(const GmGraph *g, int64_t fact_id, uint32_t *at, uint32_t end)
{
	while (*at < end)
	{
		GmSlot		slot = gm_base_slot(g, *at);

		if (GM_ARRAY_I64(&g->fact_id, slot) != fact_id)
			break;
		++*at;
		if (gm_graph_slot_live(g, slot))
			return slot;
	}
	return GM_NONE;
}

GmSlot
gm_fact_slots_next(GmFactSlots *iter)
{
	const GmGraph *g = iter->graph;
	const GmGraphRoot *r = g->root;
	GmSlot		slot = next_base_slot(g, iter->fact_id, &iter->current, r->gr_base_current);

	if (slot != GM_NONE)
		return slot;
	while ((slot = iter->later) != GM_NONE)
	{
		iter->later = gm_index_next(&g->by_fact, slot);
		if (GM_ARRAY_I64(&g->fact_id, slot) == iter->fact_id)
			return slot;
	}
	if (!iter->past_wanted)
		return GM_NONE;
	if (!iter->past_sought)
		iter->past = seek_base_fact(g, iter->fact_id, r->gr_base_current, r->gr_base_slots,
									iter->past);
	iter->past_sought = true;
	return next_base_slot(g, iter->fact_id, &iter->past, r->gr_base_slots);
}

GmSlot
gm_graph_visible_version(const GmGraph *g, const GmView *view, int64_t fact_id)
{
	GmSlot		found = GM_NONE;
	GmFactSlots iter;
	GmSlot		slot;

	gm_fact_slots_init(&iter, g);
	gm_fact_slots_seek_seen(&iter, view, fact_id);
	while ((slot = gm_fact_slots_next(&iter)) != GM_NONE)
		if (gm_graph_visible(g, view, slot) &&
			(found == GM_NONE ||
			 GM_ARRAY_I64(&g->triple_id, slot) < GM_ARRAY_I64(&g->triple_id, found)))
			found = slot;
	return found;
}

GmSlot
gm_graph_latest_version(const GmGraph *g, int64_t fact_id)
{
	GmSlot		found = GM_NONE;
	GmFactSlots iter;
	GmSlot		slot;

	gm_fact_slots_init(&iter, g);
	gm_fact_slots_seek(&iter, fact_id);
	while ((slot = gm_fact_slots_next(&iter)) != GM_NONE)
		if (found == GM_NONE ||
			GM_ARRAY_I64(&g->triple_id, slot) > GM_ARRAY_I64(&g->triple_id, found))
			found = slot;
	return found;
}

/*
 * Assertions of a fact
 */
static inline const GmAssertion *
assertion_at(const GmGraph *g, uint32_t i)
{
	return gm_array_at(&g->assertion, i);
}

/* from a position on, the next base one of the fact, or GM_NONE */
static uint32_t
next_base_assertion(const GmGraph *g, int64_t fact_id, uint32_t at)
{
	for (; at < g->root->gr_base_assertions && assertion_at(g, at)->fact_id == fact_id; at++)
		if (assertion_at(g, at)->source != GM_NONE)
			return at;
	return GM_NONE;
}

static uint32_t
next_later_assertion(const GmGraph *g, int64_t fact_id, uint32_t at)
{
	while (at != GM_NONE && assertion_at(g, at)->fact_id != fact_id)
		at = gm_index_next(&g->by_stated, at);
	return at;
}

void
gm_assertions_begin(GmAssertionIter *iter, const GmGraph *g, int64_t fact_id)
{
	uint32_t	lo = 0;
	uint32_t	hi = g->root->gr_base_assertions;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;

		if (assertion_at(g, mid)->fact_id < fact_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	iter->graph = g;
	iter->fact_id = fact_id;
	iter->base = next_base_assertion(g, fact_id, lo);
	iter->later = next_later_assertion(g, fact_id, gm_index_first(&g->by_stated,
																  gm_index_hash_id(fact_id)));
}

static inline int64_t
assertion_source_id(const GmGraph *g, uint32_t i)
{
	return gm_graph_source(g, assertion_at(g, i)->source)->source_id;
}

const GmAssertion *
gm_assertions_next(GmAssertionIter *iter)
{
	const GmGraph *g = iter->graph;
	uint32_t	at;

	if (iter->base != GM_NONE &&
		(iter->later == GM_NONE ||
		 assertion_source_id(g, iter->base) < assertion_source_id(g, iter->later)))
	{
		at = iter->base;
		iter->base = next_base_assertion(g, iter->fact_id, at + 1);
	}
	else if (iter->later != GM_NONE)
	{
		at = iter->later;
		iter->later = next_later_assertion(g, iter->fact_id, gm_index_next(&g->by_stated, at));
	}
	else
		return NULL;
	return assertion_at(g, at);
}

static bool
assertion_precedes(const GmGraph *g, uint32_t i, int64_t fact_id, int64_t source_id)
{
	int64_t		fact = assertion_at(g, i)->fact_id;

	return fact < fact_id || (fact == fact_id && assertion_source_id(g, i) < source_id);
}

uint32_t
gm_graph_find_base_assertion(const GmGraph *g, int64_t fact_id, int64_t source_id)
{
	uint32_t	lo = 0;
	uint32_t	hi = g->root->gr_base_assertions;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;
		uint32_t	at = mid;

		/* those that were removed have lost their source, not their place */
		while (at < hi && assertion_at(g, at)->fact_id == fact_id &&
			   assertion_at(g, at)->source == GM_NONE)
			at++;
		if (at == hi)
			hi = mid;
		else if (assertion_precedes(g, at, fact_id, source_id))
			lo = at + 1;
		else if (assertion_at(g, at)->fact_id == fact_id &&
				 assertion_source_id(g, at) == source_id)
			return at;
		else
			hi = mid;
	}
	return GM_NONE;
}

uint32_t
gm_graph_find_later_assertion(const GmGraph *g, int64_t fact_id, int64_t source_id,
							  uint32_t *before)
{
	uint32_t	at = *before != GM_NONE ? gm_index_next(&g->by_stated, *before) :
		gm_index_first(&g->by_stated, gm_index_hash_id(fact_id));

	while (at != GM_NONE && assertion_precedes(g, at, fact_id, source_id))
	{
		*before = at;
		at = gm_index_next(&g->by_stated, at);
	}
	if (at != GM_NONE && assertion_at(g, at)->fact_id == fact_id &&
		assertion_source_id(g, at) == source_id)
		return at;
	return GM_NONE;
}

uint32_t
gm_graph_find_assertion(const GmGraph *g, int64_t fact_id, int64_t source_id)
{
	uint32_t	at = gm_graph_find_base_assertion(g, fact_id, source_id);
	uint32_t	before = GM_NONE;

	return at != GM_NONE ? at : gm_graph_find_later_assertion(g, fact_id, source_id, &before);
}

float
gm_graph_stated_confidence(const GmGraph *g, int64_t fact_id, int64_t known_at, bool *any)
{
	GmAssertionIter iter;
	const GmAssertion *a;
	double		doubt = 1.0;

	*any = false;
	gm_assertions_begin(&iter, g, fact_id);
	while ((a = gm_assertions_next(&iter)) != NULL)
	{
		if (a->asserted_at > known_at)
			continue;
		*any = true;
		doubt *= 1.0 - (double) a->confidence * gm_graph_source(g, a->source)->reliability;
	}
	return (float) (1.0 - doubt);
}

float
gm_graph_confidence_at(const GmGraph *g, GmSlot slot, int64_t known_at)
{
	bool		any;
	float		confidence = gm_graph_stated_confidence(g, GM_ARRAY_I64(&g->fact_id, slot),
														known_at, &any);

	if (any)
		return confidence;
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
	/* what is known then is what is recorded now */
	if (view->known_at >= g->root->gr_latest)
		view->known_at = GM_TIME_MAX;
	view->timed = view->known_at != GM_TIME_MAX ||
		view->as_of < g->root->gr_built_at ||
		view->as_of >= g->root->gr_next_flip;
	view->reliable = view->known_at != GM_TIME_MAX && g->root->gr_live_assertions > 0;
	view->plain = !view->timed && view->predicates == NULL && view->slots == NULL &&
		!(view->min_confidence > 0);
}

static bool
in_time(const GmGraph *g, const GmView *view, GmSlot slot)
{
	return gm_view_in_time(view, gm_array_at(&g->times, GM_ARRAY_U32(&g->time, slot)));
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
bool
gm_graph_record_before(const GmGraph *g, uint32_t predicate, GmNode neighbor, GmSlot slot,
					   uint32_t predicate2, GmNode neighbor2, GmSlot slot2)
{
	int64_t		a;
	int64_t		b;

	if (predicate != predicate2)
	{
		a = gm_graph_predicate(g, predicate)->predicate_id;
		b = gm_graph_predicate(g, predicate2)->predicate_id;
	}
	else if (neighbor != neighbor2)
	{
		a = gm_graph_entity_id(g, neighbor);
		b = gm_graph_entity_id(g, neighbor2);
	}
	else
	{
		a = GM_ARRAY_I64(&g->triple_id, slot);
		b = GM_ARRAY_I64(&g->triple_id, slot2);
	}
	return a < b;
}

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
			runs = gm_graph_past(g, iter->node);
			if (runs == NULL)
			{
				iter->phase = PHASE_DONE;
				return;
			}
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
