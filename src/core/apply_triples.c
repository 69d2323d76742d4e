/*-------------------------------------------------------------------------
 *
 * apply_triples.c
 *	  Changing triples and assertions of a graph image.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "core/apply_private.h"

static const GmTimes never = {GM_TIME_MAX, GM_TIME_MIN, GM_TIME_MAX, GM_TIME_MIN};

/*
 * Times.  Numbers are shared by slots that came with the same times in one
 * version: triples of different transactions hardly ever have the same.
 */
static inline const GmTimes *
times_at(const GmGraph *g, uint32_t number)
{
	return gm_array_at(&g->times, number);
}

static GmStatus
grow_time_table(GmApply *ap)
{
	uint32_t	mask = ap->time_table == NULL ? 15 : ap->time_mask * 2 + 1;
	size_t		more = (size_t) (mask - ap->time_mask) * sizeof(uint32_t);
	uint32_t   *table;

	GM_TRY(gm_mem_charge(ap->mem, (int64_t) more));
	ap->charged += more;
	table = calloc((size_t) mask + 1, sizeof(uint32_t));
	if (table == NULL)
		return GM_NO_MEMORY;
	for (size_t i = 0; i < ap->new_times.n; i++)
	{
		uint32_t	number = *GM_LIST_AT(&ap->new_times, uint32_t, i);
		uint32_t	at = gm_times_hash(times_at(ap->graph, number)) & mask;

		while (table[at] != 0)
			at = (at + 1) & mask;
		table[at] = number + 1;
	}
	free(ap->time_table);
	ap->time_table = table;
	ap->time_mask = mask;
	return GM_OK;
}

static GmStatus
get_times_number(GmApply *ap, uint32_t *number)
{
	GmGraph    *g = ap->graph;
	GmGraphRoot *r = g->root;

	*number = r->gr_free_time;
	if (*number != 0)
	{
		r->gr_free_time = (uint32_t) times_at(g, *number)->recorded_at;
		return GM_OK;
	}
	if (r->gr_times.ar_length >= GM_NONE - 1)
		return GM_TOO_MANY;
	*number = (uint32_t) r->gr_times.ar_length;
	GM_TRY(gm_apply_extend(ap, &g->times, (uint64_t) *number + 1));
	GM_TRY(gm_apply_extend(ap, &g->times_use, (uint64_t) *number + 1));
	return gm_set_u32(ap, &g->times_use, *number, 0);
}

/* one more slot has these times */
static GmStatus
use_times(GmApply *ap, const GmTimes *times, uint32_t *number)
{
	GmGraph    *g = ap->graph;
	GmTimes    *t;
	uint32_t   *n;
	uint32_t	at;

	if (ap->time_table == NULL || ap->new_times.n >= ap->time_mask / 2)
		GM_TRY(grow_time_table(ap));
	for (at = gm_times_hash(times) & ap->time_mask; ap->time_table[at] != 0;
		 at = (at + 1) & ap->time_mask)
	{
		*number = ap->time_table[at] - 1;

		/* a number given back in between is found under times that it had */
		if (GM_ARRAY_U32(&g->times_use, *number) > 0 &&
			memcmp(times_at(g, *number), times, sizeof(*times)) == 0)
			return gm_set_u32(ap, &g->times_use, *number,
							  GM_ARRAY_U32(&g->times_use, *number) + 1);
	}
	GM_TRY(get_times_number(ap, number));
	GM_TRY(gm_apply_write(ap, &g->times, *number, &t));
	*t = *times;
	gm_latest_note_times(g->root, times);
	GM_TRY(gm_list_add(ap, &ap->new_times, sizeof(uint32_t), &n));
	*n = *number;
	ap->time_table[at] = *number + 1;
	return gm_set_u32(ap, &g->times_use, *number, 1);
}

/* is this one of the two times between which the current runs hold */
static bool
is_flip(const GmGraph *g, int64_t time)
{
	return time != GM_TIME_MIN && time != GM_TIME_MAX &&
		(time == g->root->gr_built_at || time == g->root->gr_next_flip);
}

static GmStatus
drop_times(GmApply *ap, uint32_t number)
{
	GmGraph    *g = ap->graph;
	uint32_t	uses = GM_ARRAY_U32(&g->times_use, number) - 1;
	GmTimes    *t;

	GM_TRY(gm_set_u32(ap, &g->times_use, number, uses));
	if (uses > 0)
		return GM_OK;
	GM_TRY(gm_apply_write(ap, &g->times, number, &t));
	if (t->expired_at == GM_TIME_MAX &&
		(is_flip(g, t->valid_from) || is_flip(g, t->valid_to)))
		ap->flips_stale = true;
	*t = never;
	t->recorded_at = g->root->gr_free_time;
	g->root->gr_free_time = number;
	return GM_OK;
}

/*
 * Slots
 */

/* the slot's records change in the runs of both its ends */
GmStatus
gm_touch(GmApply *ap, GmSlot slot)
{
	GmGraph    *g = ap->graph;
	uint64_t   *key;

	GM_TRY(gm_list_add(ap, &ap->touched[0], sizeof(uint64_t), &key));
	*key = (uint64_t) GM_ARRAY_U32(&g->subject, slot) << 32 | slot;
	GM_TRY(gm_list_add(ap, &ap->touched[1], sizeof(uint64_t), &key));
	*key = (uint64_t) GM_ARRAY_U32(&g->object, slot) << 32 | slot;
	return GM_OK;
}

static GmStatus
note_fact(GmApply *ap, GmList *list, int64_t fact_id)
{
	int64_t    *fact;

	GM_TRY(gm_list_add(ap, list, sizeof(int64_t), &fact));
	*fact = fact_id;
	return GM_OK;
}

static GmStatus
count_triples(GmApply *ap, uint32_t predicate, int change)
{
	GmPredicate *p;

	GM_TRY(gm_apply_write(ap, &ap->graph->predicate_info, predicate, &p));
	p->triples += (uint32_t) change;
	return GM_OK;
}

/* with assertions, the triples' own confidences are kept apart */
static GmStatus
keep_asserted(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	uint64_t	n = g->root->gr_asserted.ar_length;

	if (n == 0 && g->root->gr_live_assertions == 0)
		return GM_OK;
	GM_TRY(gm_apply_extend(ap, &g->asserted, g->root->gr_slots));
	for (; n < g->root->gr_slots; n++)
	{
		GM_PAUSE(ap->intr, n);
		GM_TRY(gm_set_f32(ap, &g->asserted, n, GM_ARRAY_F32(&g->confidence, n)));
	}
	return GM_OK;
}

static GmStatus
set_confidence(GmApply *ap, GmSlot slot, float confidence)
{
	GmGraph    *g = ap->graph;

	GM_TRY(keep_asserted(ap));
	if (g->root->gr_asserted.ar_length == 0)
		return gm_set_f32(ap, &g->confidence, slot, confidence);
	GM_TRY(gm_set_f32(ap, &g->asserted, slot, confidence));
	return note_fact(ap, &ap->facts, GM_ARRAY_I64(&g->fact_id, slot));
}

/* a slot for a triple: its old one, if only its fact has not changed */
static GmStatus
get_slot(GmApply *ap, int64_t triple_id, int64_t fact_id, GmSlot *slot)
{
	GmGraph    *g = ap->graph;
	GmGraphRoot *r = g->root;
	GmArray    *arrays[] = {&g->triple_id, &g->fact_id, &g->subject, &g->predicate, &g->object,
	&g->confidence, &g->time};

	*slot = gm_graph_find_base_slot(g, triple_id);
	if (*slot != GM_NONE && GM_ARRAY_I64(&g->fact_id, *slot) == fact_id)
		return GM_OK;
	if (gm_waste_is_large(r->gr_by_triple.ix_frees, r->gr_slots))
	{
		GM_TRY(gm_index_take(ap->mem, &g->by_triple, slot));
		r->gr_slots_ascend = false;
	}
	else
	{
		if (r->gr_slots >= GM_NONE - 1)
			return GM_TOO_MANY;
		*slot = r->gr_slots;
		for (int i = 0; i < 7; i++)
			GM_TRY(gm_apply_extend(ap, arrays[i], (uint64_t) *slot + 1));
		r->gr_slots++;
		if (*slot > 0 && GM_ARRAY_I64(&g->triple_id, *slot - 1) >= triple_id)
			r->gr_slots_ascend = false;
		GM_TRY(gm_set_f32(ap, &g->confidence, *slot, 0));
	}
	GM_TRY(gm_set_i64(ap, &g->triple_id, *slot, triple_id));
	GM_TRY(gm_set_i64(ap, &g->fact_id, *slot, fact_id));
	GM_TRY(gm_index_insert(ap->mem, &g->by_triple, *slot, GM_NONE, gm_hash_of_triple, g));
	return gm_index_insert(ap->mem, &g->by_fact, *slot, GM_NONE, gm_hash_of_fact, g);
}

/* what a row of triples says, in numbers */
typedef struct Ends
{
	GmNode		subject;
	uint32_t	predicate;
	GmNode		object;
} Ends;

static GmStatus
set_ends(GmApply *ap, GmSlot slot, const Ends *e)
{
	GmGraph    *g = ap->graph;

	GM_TRY(gm_set_u32(ap, &g->subject, slot, e->subject));
	GM_TRY(gm_set_u32(ap, &g->predicate, slot, e->predicate));
	return gm_set_u32(ap, &g->object, slot, e->object);
}

static GmStatus
insert_triple(GmApply *ap, const GmRow *row, const Ends *ends)
{
	GmGraph    *g = ap->graph;
	GmSlot		slot;
	uint32_t	number;

	GM_TRY(get_slot(ap, row->u.triple.triple_id, row->u.triple.fact_id, &slot));
	GM_TRY(use_times(ap, &row->u.triple.times, &number));
	GM_TRY(gm_set_u32(ap, &g->time, slot, number));
	GM_TRY(set_ends(ap, slot, ends));
	GM_TRY(count_triples(ap, ends->predicate, 1));
	g->root->gr_live_slots++;
	ap->has_new = true;
	GM_TRY(set_confidence(ap, slot, row->u.triple.confidence));
	return gm_touch(ap, slot);
}

static GmStatus
update_triple(GmApply *ap, GmSlot slot, const GmRow *row, const Ends *ends)
{
	GmGraph    *g = ap->graph;
	uint32_t	old_time = GM_ARRAY_U32(&g->time, slot);
	uint32_t	old_predicate = GM_ARRAY_U32(&g->predicate, slot);
	bool		same_times = memcmp(times_at(g, old_time), &row->u.triple.times,
									sizeof(GmTimes)) == 0;
	uint32_t	number;

	GM_TRY(set_confidence(ap, slot, row->u.triple.confidence));
	if (same_times && GM_ARRAY_U32(&g->subject, slot) == ends->subject &&
		old_predicate == ends->predicate && GM_ARRAY_U32(&g->object, slot) == ends->object)
		return GM_OK;
	GM_TRY(gm_touch(ap, slot));
	if (!same_times)
	{
		GM_TRY(use_times(ap, &row->u.triple.times, &number));
		GM_TRY(gm_set_u32(ap, &g->time, slot, number));
		GM_TRY(drop_times(ap, old_time));
	}
	if (old_predicate != ends->predicate)
	{
		GM_TRY(count_triples(ap, old_predicate, -1));
		GM_TRY(count_triples(ap, ends->predicate, 1));
	}
	GM_TRY(set_ends(ap, slot, ends));
	return gm_touch(ap, slot);
}

GmStatus
gm_put_triple(GmApply *ap, const GmRow *row)
{
	GmGraph    *g = ap->graph;
	GmSlot		slot = gm_graph_find_triple(g, row->u.triple.triple_id);
	Ends		ends = {
		gm_graph_find_entity(g, row->u.triple.subject_id),
		gm_graph_find_predicate_id(g, row->u.triple.predicate_id),
		gm_graph_find_entity(g, row->u.triple.object_id)
	};
	bool		late = ends.subject == GM_NONE || ends.predicate == GM_NONE ||
		ends.object == GM_NONE;

	if (slot != GM_NONE && !late && GM_ARRAY_I64(&g->fact_id, slot) == row->u.triple.fact_id)
		return update_triple(ap, slot, row, &ends);
	if (slot != GM_NONE)
		GM_TRY(gm_remove_slot(ap, slot));
	if (!late)
		return insert_triple(ap, row, &ends);
	gm_late_add(ap, row);
	return GM_OK;
}

GmStatus
gm_remove_slot(GmApply *ap, GmSlot slot)
{
	GmGraph    *g = ap->graph;

	GM_TRY(gm_touch(ap, slot));
	GM_TRY(note_fact(ap, &ap->lost, GM_ARRAY_I64(&g->fact_id, slot)));
	GM_TRY(count_triples(ap, GM_ARRAY_U32(&g->predicate, slot), -1));
	GM_TRY(drop_times(ap, GM_ARRAY_U32(&g->time, slot)));
	GM_TRY(gm_set_u32(ap, &g->time, slot, 0));
	g->root->gr_live_slots--;
	if (slot < g->root->gr_base_slots)
		return GM_OK;
	GM_TRY(gm_index_remove(ap->mem, &g->by_triple, slot, gm_hash_of_triple(g, slot)));
	GM_TRY(gm_index_remove(ap->mem, &g->by_fact, slot, gm_hash_of_fact(g, slot)));
	return gm_index_give(ap->mem, &g->by_triple, slot);
}

GmStatus
gm_remove_triple(GmApply *ap, const GmRow *row)
{
	GmSlot		slot = gm_graph_find_triple(ap->graph, row->u.triple.triple_id);

	return slot == GM_NONE ? GM_OK : gm_remove_slot(ap, slot);
}

void
gm_slot_row(const GmGraph *g, GmSlot slot, GmRow *row)
{
	GmTriple	t;

	gm_graph_slot(g, slot, &t);
	memset(row, 0, sizeof(*row));
	row->table = GM_TABLE_TRIPLES;
	row->u.triple.triple_id = t.triple_id;
	row->u.triple.fact_id = t.fact_id;
	row->u.triple.subject_id = gm_graph_entity_id(g, t.subject);
	row->u.triple.predicate_id = gm_graph_predicate(g, t.predicate)->predicate_id;
	row->u.triple.object_id = gm_graph_entity_id(g, t.object);
	row->u.triple.times = t.times;
	row->u.triple.confidence = g->root->gr_asserted.ar_length > 0 ?
		GM_ARRAY_F32(&g->asserted, slot) : t.confidence;
}

/*
 * Assertions
 */
static GmStatus
count_assertions(GmApply *ap, uint32_t source, int change)
{
	GmSource   *s;

	GM_TRY(gm_apply_write(ap, &ap->graph->source, source, &s));
	s->assertions += (uint32_t) change;
	ap->graph->root->gr_live_assertions += (uint32_t) change;
	return GM_OK;
}

static GmStatus
insert_assertion(GmApply *ap, const GmRow *row, uint32_t source, uint32_t before, uint32_t *i)
{
	GmGraph    *g = ap->graph;
	GmAssertion *a;

	GM_TRY(gm_take_number(ap, &g->by_stated, &g->assertion, &g->root->gr_assertions, i));
	GM_TRY(gm_apply_write(ap, &g->assertion, *i, &a));
	*a = (GmAssertion) {
		row->u.assertion.fact_id, row->u.assertion.asserted_at, source,
			row->u.assertion.confidence
	};
	GM_TRY(gm_index_insert(ap->mem, &g->by_stated, *i, before, gm_hash_of_stated, g));
	GM_TRY(count_assertions(ap, source, 1));
	return keep_asserted(ap);
}

/*
 * A fact's assertions come in the order of their sources as a rule: the one
 * put last is where to look for the next one, or a fact of many sources would
 * be walked through for each.
 */
static uint32_t
walk_from(const GmApply *ap, int64_t fact_id, int64_t source_id)
{
	const GmGraph *g = ap->graph;
	const GmAssertion *last;

	if (ap->last_stated == 0)
		return GM_NONE;
	last = gm_graph_assertion(g, ap->last_stated - 1);
	return last->fact_id == fact_id && gm_graph_source(g, last->source)->source_id < source_id ?
		ap->last_stated - 1 : GM_NONE;
}

GmStatus
gm_put_assertion(GmApply *ap, const GmRow *row)
{
	GmGraph    *g = ap->graph;
	int64_t		fact_id = row->u.assertion.fact_id;
	int64_t		source_id = row->u.assertion.source_id;
	uint32_t	source = gm_graph_find_source_id(g, source_id);
	uint32_t	before;
	uint32_t	i;
	GmAssertion *a;

	if (source == GM_NONE)
	{
		gm_late_add(ap, row);
		return GM_OK;
	}
	GM_TRY(note_fact(ap, &ap->facts, fact_id));
	gm_latest_note(g->root, row->u.assertion.asserted_at);
	i = gm_graph_find_base_assertion(g, fact_id, source_id);
	if (i == GM_NONE)
	{
		before = walk_from(ap, fact_id, source_id);
		i = gm_graph_find_later_assertion(g, fact_id, source_id, &before);
		if (i == GM_NONE)
		{
			GM_TRY(insert_assertion(ap, row, source, before, &i));
			ap->last_stated = i + 1;
			return GM_OK;
		}
		ap->last_stated = i + 1;
	}
	GM_TRY(gm_apply_write(ap, &g->assertion, i, &a));
	a->asserted_at = row->u.assertion.asserted_at;
	a->confidence = row->u.assertion.confidence;
	return GM_OK;
}

GmStatus
gm_drop_assertion(GmApply *ap, uint32_t i)
{
	GmGraph    *g = ap->graph;
	GmAssertion *a;

	GM_TRY(gm_apply_write(ap, &g->assertion, i, &a));
	GM_TRY(note_fact(ap, &ap->facts, a->fact_id));
	GM_TRY(count_assertions(ap, a->source, -1));
	a->source = GM_NONE;
	if (i < g->root->gr_base_assertions)
		return GM_OK;
	if (ap->last_stated == i + 1)
		ap->last_stated = 0;
	GM_TRY(gm_index_remove(ap->mem, &g->by_stated, i, gm_hash_of_stated(g, i)));
	return gm_index_give(ap->mem, &g->by_stated, i);
}

GmStatus
gm_remove_assertion(GmApply *ap, const GmRow *row)
{
	uint32_t	i = gm_graph_find_assertion(ap->graph, row->u.assertion.fact_id,
											row->u.assertion.source_id);

	return i == GM_NONE ? GM_OK : gm_drop_assertion(ap, i);
}

/*
 * Confidence
 */
static int
compare_facts(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

GmStatus
gm_finish_confidence(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	GmFactSlots iter;
	size_t		n = ap->facts.n;

	if (n == 0 || g->root->gr_asserted.ar_length == 0)
		return GM_OK;
	qsort(ap->facts.data, n, sizeof(int64_t), compare_facts);
	gm_fact_slots_init(&iter, g);
	for (size_t i = 0; i < n; i++)
	{
		int64_t		fact_id = *GM_LIST_AT(&ap->facts, int64_t, i);
		float		stated;
		bool		any;
		GmSlot		slot;

		GM_PAUSE(ap->intr, i);
		if (i > 0 && fact_id == *GM_LIST_AT(&ap->facts, int64_t, i - 1))
			continue;
		stated = gm_graph_stated_confidence(g, fact_id, GM_TIME_MAX, &any);
		gm_fact_slots_seek(&iter, fact_id);
		while ((slot = gm_fact_slots_next(&iter)) != GM_NONE)
			GM_TRY(gm_set_f32(ap, &g->confidence, slot,
							  any ? stated : GM_ARRAY_F32(&g->asserted, slot)));
	}
	return GM_OK;
}
