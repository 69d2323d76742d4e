/*-------------------------------------------------------------------------
 *
 * apply_runs.c
 *	  The adjacency of a version: runs of the nodes that it touched.
 *
 * A touched record is taken out of the run that it is in and put into the one
 * where its slot belongs now, so that it does not matter what happened to the
 * slot in between.  A run is written anew once, whatever the number of its
 * touched records, and not at all if nothing of it changed.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "core/apply_private.h"

/*
 * What the clock changed
 */
static GmStatus
find_flips(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	GmFlips		f;

	gm_flips_init(&f);
	for (uint64_t i = 1; i < g->root->gr_times.ar_length; i++)
	{
		GM_PAUSE(ap->intr, i);
		gm_flips_add(&f, gm_array_at(&g->times, i), ap->now);
	}
	g->root->gr_built_at = f.last;
	g->root->gr_next_flip = f.next;
	return GM_OK;
}

static void
add_flips(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	GmFlips		f = {g->root->gr_built_at, g->root->gr_next_flip};

	for (size_t i = 0; i < ap->new_times.n; i++)
		gm_flips_add(&f, gm_array_at(&g->times, *GM_LIST_AT(&ap->new_times, uint32_t, i)),
					 ap->now);
	g->root->gr_built_at = f.last;
	g->root->gr_next_flip = f.next;
}

/* slots whose times are between two sides of now: all of them are looked at */
static GmStatus
touch_flipped(GmApply *ap)
{
	GmGraph    *g = ap->graph;
	uint32_t	n = (uint32_t) g->root->gr_times.ar_length;
	int64_t		then = ap->before->gr_built_at;
	GmNumbers	flipped = {0};
	GmStatus	status = GM_OK;

	for (uint32_t i = 1; i < n && status == GM_OK; i++)
	{
		const GmTimes *t = gm_array_at(&g->times, i);

		if (gm_times_current(t, then) != gm_times_current(t, ap->now))
			status = gm_numbers_add(ap, &flipped, i);
	}
	for (GmSlot slot = 0; flipped.n > 0 && slot < g->root->gr_slots && status == GM_OK; slot++)
	{
		if ((slot & (GM_INTERRUPT_EVERY - 1)) == 0 && gm_interrupted(ap->intr))
			status = GM_INTERRUPTED;
		else if (gm_numbers_have(&flipped, GM_ARRAY_U32(&g->time, slot)))
			status = gm_touch(ap, slot);
	}
	free(flipped.entry);
	return status;
}

/*
 * Touched records, sorted by node and slot
 */
static int
compare_keys(const void *a, const void *b)
{
	uint64_t	x = *(const uint64_t *) a;
	uint64_t	y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

static size_t
distinct(uint64_t *keys, size_t n)
{
	size_t		kept = 0;

	for (size_t i = 0; i < n; i++)
		if (kept == 0 || keys[kept - 1] != keys[i])
			keys[kept++] = keys[i];
	return kept;
}

/* the touched slots of one node in one direction */
typedef struct Touched
{
	GmNode		node;
	bool		out;
	const uint64_t *keys;
	uint32_t	n;
	bool		old;			/* some may be in runs of the version before */
} Touched;

static bool
is_touched(const Touched *t, GmSlot slot)
{
	uint32_t	lo = 0;
	uint32_t	hi = t->n;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;

		if ((GmSlot) t->keys[mid] < slot)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n && (GmSlot) t->keys[lo] == slot;
}

/* a record that goes into a run, with the ids that it is ordered by */
typedef struct Added
{
	int64_t		predicate_id;
	int64_t		neighbor_id;
	int64_t		triple_id;
	GmNode		neighbor;
	uint32_t	predicate;
	GmSlot		slot;
} Added;

static int
compare_added(const void *a, const void *b)
{
	const Added *x = a;
	const Added *y = b;

	if (x->predicate_id != y->predicate_id)
		return x->predicate_id < y->predicate_id ? -1 : 1;
	if (x->neighbor_id != y->neighbor_id)
		return x->neighbor_id < y->neighbor_id ? -1 : 1;
	return (x->triple_id > y->triple_id) - (x->triple_id < y->triple_id);
}

/* those of the touched slots that belong into the run now */
static uint32_t
collect_added(const GmApply *ap, const Touched *t, bool current, Added *added)
{
	const GmGraph *g = ap->graph;
	uint32_t	n = 0;

	for (uint32_t i = 0; i < t->n; i++)
	{
		GmSlot		slot = (GmSlot) t->keys[i];
		GmNode		neighbor = GM_ARRAY_U32(t->out ? &g->object : &g->subject, slot);
		uint32_t	predicate = GM_ARRAY_U32(&g->predicate, slot);
		uint32_t	time = GM_ARRAY_U32(&g->time, slot);

		if (time == 0 || GM_ARRAY_U32(t->out ? &g->subject : &g->object, slot) != t->node ||
			gm_times_current(gm_array_at(&g->times, time), ap->now) != current)
			continue;
		if (current && slot >= g->root->gr_base_current && slot < g->root->gr_base_slots)
			g->root->gr_past_current = true;
		added[n++] = (Added) {
			gm_graph_predicate(g, predicate)->predicate_id, gm_graph_entity_id(g, neighbor),
				GM_ARRAY_I64(&g->triple_id, slot), neighbor, predicate, slot
		};
	}
	if (n > 1)
		qsort(added, n, sizeof(Added), compare_added);
	return n;
}

/* what becomes of a run */
typedef struct Plan
{
	uint32_t	kept;			/* records that stay */
	uint32_t	added;			/* and come */
	int64_t		loops;			/* by how much its self-loops grow */
} Plan;

static void
make_plan(const GmApply *ap, const Touched *t, const GmRun *run, bool current, Added *added,
		  Plan *plan)
{
	GmRunView	old = gm_graph_run_view(ap->graph, run);

	*plan = (Plan) {old.length, collect_added(ap, t, current, added), 0};
	for (uint32_t i = 0; i < plan->added; i++)
		plan->loops += added[i].neighbor == t->node;
	for (uint32_t i = 0; t->old && i < old.length; i++)
	{
		if (!is_touched(t, old.slot[i]))
			continue;
		plan->kept--;
		plan->loops -= old.neighbor[i] == t->node;
	}
}

static bool
changes(const Plan *plan, const GmRun *run)
{
	return plan->added > 0 || plan->kept < run->rn_length;
}

/* the records of a run that stay, as three arrays of length cap from to on */
static void
copy_kept(const Touched *t, const GmRunView *old, uint32_t *to, uint32_t cap)
{
	uint32_t	n = 0;

	if (!t->old && old->length > 0)
	{
		memcpy(to, old->neighbor, old->length * sizeof(uint32_t));
		memcpy(to + cap, old->predicate, old->length * sizeof(uint32_t));
		memcpy(to + 2 * (size_t) cap, old->slot, old->length * sizeof(uint32_t));
	}
	for (uint32_t i = 0; t->old && i < old->length; i++)
	{
		if (is_touched(t, old->slot[i]))
			continue;
		to[n] = old->neighbor[i];
		to[(size_t) cap + n] = old->predicate[i];
		to[2 * (size_t) cap + n++] = old->slot[i];
	}
}

static void
move_records(uint32_t *block, uint32_t cap, uint32_t to, uint32_t from, uint32_t n)
{
	for (int i = 0; i < 3; i++, block += cap)
		memmove(block + to, block + from, n * sizeof(uint32_t));
}

/* the first of n sorted records that comes behind the added one */
static uint32_t
place_of(const GmGraph *g, const uint32_t *block, uint32_t cap, uint32_t n, const Added *added)
{
	uint32_t	lo = 0;
	uint32_t	hi = n;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;

		if (gm_graph_record_before(g, added->predicate, added->neighbor, added->slot,
								   block[(size_t) cap + mid], block[mid], block[2 * (size_t) cap + mid]))
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* from the last to the first, so that every record moves once */
static void
merge_added(const GmGraph *g, uint32_t *block, uint32_t cap, uint32_t kept,
			const Added *added, uint32_t n)
{
	while (n > 0)
	{
		const Added *a = &added[n - 1];
		uint32_t	at = place_of(g, block, cap, kept, a);

		move_records(block, cap, at + n, at, kept - at);
		block[at + n - 1] = a->neighbor;
		block[(size_t) cap + at + n - 1] = a->predicate;
		block[2 * (size_t) cap + at + n - 1] = a->slot;
		kept = at;
		n--;
	}
}

static GmStatus
rewrite_run(GmApply *ap, const Touched *t, GmRun *run, const Plan *plan, const Added *added)
{
	GmGraph    *g = ap->graph;
	GmRunView	old = gm_graph_run_view(g, run);
	uint32_t	cap = plan->kept + plan->added;
	GmRef		ref = 0;

	if (cap < plan->kept)
		return GM_TOO_MANY;
	if (cap > 0)
	{
		uint32_t   *block;

		GM_TRY(gm_mem_alloc_words(ap->mem, (size_t) cap * 3, &ref));
		block = gm_mem_ptr(ap->mem, ref);
		copy_kept(t, &old, block, cap);
		merge_added(g, block, cap, plan->kept, added, plan->added);
	}
	gm_mem_retire(ap->mem, run->rn_block, (size_t) run->rn_cap * 3 * sizeof(uint32_t));
	run->rn_block = ref;
	run->rn_length = run->rn_cap = cap;
	return GM_OK;
}

static GmStatus
rewrite_current(GmApply *ap, const Touched *t, Added *room)
{
	GmGraph    *g = ap->graph;
	const GmNodeRuns *have = gm_array_at(&g->runs, t->node);
	const GmRun *run = t->out ? &have->out : &have->in;
	int64_t		growth;
	GmNodeRuns *runs;
	Plan		plan;

	make_plan(ap, t, run, true, room, &plan);
	if (!changes(&plan, run))
		return GM_OK;
	growth = (int64_t) plan.kept + plan.added - run->rn_length;
	GM_TRY(gm_apply_write(ap, &g->runs, t->node, &runs));
	GM_TRY(rewrite_run(ap, t, t->out ? &runs->out : &runs->in, &plan, room));
	if (t->out)
	{
		/* a self-loop is a record of both runs and counts once */
		g->root->gr_current += (uint32_t) growth;
		growth -= plan.loops;
	}
	return gm_set_u32(ap, &g->degree, t->node,
					  GM_ARRAY_U32(&g->degree, t->node) + (uint32_t) growth);
}

/* a place in gr_past for the node */
static GmStatus
get_past(GmApply *ap, GmNode node, GmNodeRuns **runs)
{
	GmGraph    *g = ap->graph;
	uint64_t	n = g->root->gr_past_of.ar_length;
	uint32_t	number;

	if (node >= n)
	{
		GM_TRY(gm_apply_extend(ap, &g->past_of, g->root->gr_nodes));
		for (; n < g->root->gr_nodes; n++)
			GM_TRY(gm_set_u32(ap, &g->past_of, n, 0));
	}
	number = GM_ARRAY_U32(&g->past_of, node);
	if (number == 0)
	{
		number = (uint32_t) g->root->gr_past.ar_length + 1;
		GM_TRY(gm_apply_extend(ap, &g->past, number));
		GM_TRY(gm_set_u32(ap, &g->past_of, node, number));
		GM_TRY(gm_apply_write(ap, &g->past, number - 1, runs));
		memset(*runs, 0, sizeof(GmNodeRuns));
		return GM_OK;
	}
	return gm_apply_write(ap, &g->past, number - 1, runs);
}

static GmStatus
rewrite_past(GmApply *ap, const Touched *t, Added *room)
{
	static const GmRun none = {0, 0, 0};
	const GmNodeRuns *have = gm_graph_past(ap->graph, t->node);
	const GmRun *run = have == NULL ? &none : t->out ? &have->out : &have->in;
	GmNodeRuns *runs;
	Plan		plan;

	make_plan(ap, t, run, false, room, &plan);
	if (!changes(&plan, run))
		return GM_OK;
	GM_TRY(get_past(ap, t->node, &runs));
	return rewrite_run(ap, t, t->out ? &runs->out : &runs->in, &plan, room);
}

static GmStatus
rewrite_direction(GmApply *ap, bool out)
{
	GmList	   *list = &ap->touched[out ? 0 : 1];
	uint64_t   *keys = list->data;
	GmSlot		before = ap->before->gr_slots;
	GmList		room = {0};
	GmStatus	status = GM_OK;
	size_t		next;

	if (list->n > 1)
		qsort(keys, list->n, sizeof(uint64_t), compare_keys);
	list->n = distinct(keys, list->n);
	for (size_t i = 0; i < list->n && status == GM_OK; i = next)
	{
		Touched		t = {(GmNode) (keys[i] >> 32), out, keys + i, 0, (GmSlot) keys[i] < before};

		for (next = i; next < list->n && keys[next] >> 32 == t.node; next++)
			t.n++;
		status = gm_list_reserve(ap, &room, sizeof(Added), t.n);
		if (status == GM_OK)
			status = rewrite_current(ap, &t, room.data);
		if (status == GM_OK)
			status = rewrite_past(ap, &t, room.data);
		if (status == GM_OK && gm_interrupted(ap->intr))
			status = GM_INTERRUPTED;
	}
	free(room.data);
	return status;
}

GmStatus
gm_finish_runs(GmApply *ap)
{
	GmGraphRoot *r = ap->graph->root;

	if (ap->now >= r->gr_next_flip)
	{
		GM_TRY(touch_flipped(ap));
		GM_TRY(find_flips(ap));
	}
	else if (ap->flips_stale)
		GM_TRY(find_flips(ap));
	else
		add_flips(ap);
	GM_TRY(rewrite_direction(ap, true));
	GM_TRY(rewrite_direction(ap, false));
	r->gr_history = r->gr_current < r->gr_live_slots;
	return GM_OK;
}
