/*-------------------------------------------------------------------------
 *
 * graph_runs.c
 *	  Making the adjacency of a graph image from its slots.
 *
 * Runs are ordered by predicate, neighbour and slot.  Slots in the order of their
 * objects, scattered to their subjects, make runs that are ordered by neighbour
 * and slot; those, read in the order of the subjects and scattered back, make the
 * runs of the objects.  Only the predicate is left to sort by.
 *
 * Memory		beside the image 16 bytes a slot at first, then 12 and the runs
 *				made so far; 12 bytes a record of the longest run, 8 bytes a
 *				node, 4 a predicate
 * Complexity	linear, but n log n in runs much shorter than there are
 *				predicates
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "core/graph.h"
#include "core/graph_private.h"

static bool
is_current(const GmGraph *g, GmSlot slot, int64_t now)
{
	return gm_times_current(gm_array_at(&g->times, GM_ARRAY_U32(&g->time, slot)), now);
}

void
gm_flips_add(GmFlips *f, const GmTimes *t, int64_t now)
{
	int64_t		flips[2] = {t->valid_from, t->valid_to};

	if (t->expired_at != GM_TIME_MAX || t->valid_from >= t->valid_to)
		return;
	for (int i = 0; i < 2; i++)
	{
		if (flips[i] <= now && flips[i] > f->last)
			f->last = flips[i];
		else if (flips[i] > now && flips[i] < f->next)
			f->next = flips[i];
	}
}

static GmStatus
find_flips(GmGraph *g, int64_t now, const GmInterrupt *intr)
{
	GmFlips		f;

	gm_flips_init(&f);
	for (uint64_t i = 1; i < g->root->gr_times.ar_length; i++)
	{
		GM_PAUSE(intr, i);
		gm_flips_add(&f, gm_array_at(&g->times, i), now);
	}
	g->root->gr_built_at = f.last;
	g->root->gr_next_flip = f.next;
	return GM_OK;
}

/* one adjacency record on its way into a run */
typedef struct Record
{
	uint32_t	neighbor;
	uint32_t	predicate;
	GmSlot		slot;
} Record;

#define INSERTION_RUN	16

/*
 * Stable, by predicate: insertion sorted pieces, then merges.  *sorted is a or
 * spare, whichever holds the records then.
 */
static GmStatus
sort_records(Record *a, uint64_t n, Record *spare, const GmInterrupt *intr,
			 const Record **sorted)
{
	Record	   *from = a;
	Record	   *to = spare;

	for (uint64_t start = 0; start < n; start += INSERTION_RUN)
	{
		uint64_t	end = start + INSERTION_RUN < n ? start + INSERTION_RUN : n;

		GM_PAUSE(intr, start);
		for (uint64_t i = start + 1; i < end; i++)
		{
			Record		r = a[i];
			uint64_t	at = i;

			for (; at > start && a[at - 1].predicate > r.predicate; at--)
				a[at] = a[at - 1];
			a[at] = r;
		}
	}
	for (uint64_t width = INSERTION_RUN; width < n; width *= 2)
	{
		Record	   *t;

		for (uint64_t start = 0; start < n; start += width * 2)
		{
			uint64_t	middle = start + width < n ? start + width : n;
			uint64_t	end = start + width * 2 < n ? start + width * 2 : n;
			uint64_t	i = start;
			uint64_t	k = middle;

			for (uint64_t at = start; at < end; at++)
			{
				GM_PAUSE(intr, at);
				if (k >= end || (i < middle && from[i].predicate <= from[k].predicate))
					to[at] = from[i++];
				else
					to[at] = from[k++];
			}
		}
		t = from;
		from = to;
		to = t;
	}
	*sorted = from;
	return GM_OK;
}

/* temporary arrays of make_both */
typedef struct Scatter
{
	uint32_t	members;		/* slots that are current, or those that are not */
	bool		all;			/* every slot is a member */
	GmSlot	   *by_object;		/* the members in the order of their objects */
	Record	   *records;		/* by node */
	Record	   *spare;			/* of the longest run */
	uint32_t   *out;			/* by subject: where its next record goes, at last its end */
	uint32_t   *in;				/* by object */
	uint32_t   *count;			/* by predicate */
} Scatter;

/* as sort_records, but linear where there are not many more predicates than records */
static GmStatus
sort_by_predicate(Record *a, uint32_t n, const Scatter *s, uint32_t predicates,
				  const GmInterrupt *intr, const Record **sorted)
{
	uint32_t	sum = 0;
	uint32_t	i = 1;

	while (i < n && a[i - 1].predicate <= a[i].predicate)
	{
		GM_PAUSE(intr, i);
		i++;
	}
	*sorted = a;
	if (i >= n)
		return GM_OK;
	if (n < predicates / 8)
		return sort_records(a, n, s->spare, intr, sorted);
	memset(s->count, 0, predicates * sizeof(uint32_t));
	for (i = 0; i < n; i++)
	{
		GM_PAUSE(intr, i);
		s->count[a[i].predicate]++;
	}
	for (i = 0; i < predicates; i++)
	{
		uint32_t	c = s->count[i];

		s->count[i] = sum;
		sum += c;
	}
	for (i = 0; i < n; i++)
	{
		GM_PAUSE(intr, i);
		s->spare[s->count[a[i].predicate]++] = a[i];
	}
	*sorted = s->spare;
	return GM_OK;
}

/* copy sorted records into a fresh run */
static GmStatus
store_run(GmGraph *g, const Record *records, uint32_t n, const GmInterrupt *intr, GmRun *run)
{
	uint32_t   *neighbor;
	uint32_t   *predicate;
	uint32_t   *slot;

	GM_TRY(gm_mem_alloc_words(g->mem, (size_t) n * 3, &run->rn_block));
	neighbor = gm_mem_ptr(g->mem, run->rn_block);
	predicate = neighbor + n;
	slot = predicate + n;
	for (uint32_t i = 0; i < n; i++)
	{
		GM_PAUSE(intr, i);
		neighbor[i] = records[i].neighbor;
		predicate[i] = records[i].predicate;
		slot[i] = records[i].slot;
	}
	run->rn_cap = run->rn_length = n;
	return GM_OK;
}

static inline bool
is_member(const GmGraph *g, GmSlot slot, bool current, int64_t now, const Scatter *s)
{
	return s->all || is_current(g, slot, now) == current;
}

/* counts become places */
static GmStatus
add_up(uint32_t *place, uint32_t nodes, const GmInterrupt *intr, uint32_t *longest)
{
	uint32_t	sum = 0;

	for (GmNode node = 0; node < nodes; node++)
	{
		uint32_t	c = place[node];

		GM_PAUSE(intr, node);
		if (c > *longest)
			*longest = c;
		place[node] = sum;
		sum += c;
	}
	return GM_OK;
}

static GmStatus
count_both(GmGraph *g, bool current, int64_t now, Scatter *s, const GmInterrupt *intr,
		   uint32_t *longest)
{
	uint32_t	nodes = g->root->gr_nodes;

	for (GmSlot slot = 0; slot < g->root->gr_slots; slot++)
	{
		GM_PAUSE(intr, slot);
		if (!is_member(g, slot, current, now, s))
			continue;
		s->out[GM_ARRAY_U32(&g->subject, slot)]++;
		s->in[GM_ARRAY_U32(&g->object, slot)]++;
	}
	*longest = 0;
	GM_TRY(add_up(s->out, nodes, intr, longest));
	return add_up(s->in, nodes, intr, longest);
}

static GmStatus
order_by_object(GmGraph *g, bool current, int64_t now, Scatter *s, const GmInterrupt *intr)
{
	for (GmSlot slot = 0; slot < g->root->gr_slots; slot++)
	{
		GM_PAUSE(intr, slot);
		if (is_member(g, slot, current, now, s))
			s->by_object[s->in[GM_ARRAY_U32(&g->object, slot)]++] = slot;
	}
	return GM_OK;
}

static GmStatus
scatter_out(GmGraph *g, Scatter *s, const GmInterrupt *intr)
{
	GmNode		object = 0;

	for (uint32_t i = 0; i < s->members; i++)
	{
		GmSlot		slot = s->by_object[i];
		Record	   *r;

		GM_PAUSE(intr, i);
		r = &s->records[s->out[GM_ARRAY_U32(&g->subject, slot)]++];
		while (i >= s->in[object])
			object++;
		r->neighbor = object;
		r->predicate = GM_ARRAY_U32(&g->predicate, slot);
		r->slot = slot;
	}
	return GM_OK;
}

/* the runs of a node that has any, among the current ones or the past ones */
static GmNodeRuns *
runs_of(const GmGraph *g, const GmArray *runs, bool current, GmNode node)
{
	return gm_array_at(runs, current ? node : GM_ARRAY_U32(&g->past_of, node) - 1);
}

static GmStatus
scatter_in(GmGraph *g, const GmArray *runs, bool current, Scatter *s, const GmInterrupt *intr)
{
	uint32_t	nodes = g->root->gr_nodes;
	uint32_t	first = 0;

	/* each end back to where the node's first record goes */
	for (GmNode node = nodes; node-- > 0;)
	{
		GM_PAUSE(intr, node);
		s->in[node] = node > 0 ? s->in[node - 1] : 0;
	}
	for (GmNode node = 0; node < nodes; node++)
	{
		GmRunView	v;

		GM_PAUSE(intr, node);
		if (s->out[node] == first)
			continue;
		v = gm_graph_run_view(g, &runs_of(g, runs, current, node)->out);
		for (uint32_t i = 0; i < v.length; i++)
		{
			Record	   *r = &s->records[s->in[v.neighbor[i]]++];

			GM_PAUSE(intr, first + i);
			r->neighbor = node;
			r->predicate = v.predicate[i];
			r->slot = v.slot[i];
		}
		first = s->out[node];
	}
	return GM_OK;
}

static GmStatus
store_runs(GmGraph *g, const GmArray *runs, bool out, bool current, Scatter *s,
		   const GmInterrupt *intr)
{
	const uint32_t *end = out ? s->out : s->in;
	const Record *sorted;
	uint64_t	work = 0;
	uint32_t	first = 0;

	for (GmNode node = 0; node < g->root->gr_nodes; node++)
	{
		uint32_t	n = end[node] - first;
		GmNodeRuns *r;

		work += 1 + n;
		if (work >= GM_INTERRUPT_EVERY)
		{
			work = 0;
			if (gm_interrupted(intr))
				return GM_INTERRUPTED;
		}
		if (n == 0)
			continue;
		r = runs_of(g, runs, current, node);
		GM_TRY(sort_by_predicate(s->records + first, n, s, g->root->gr_predicates, intr, &sorted));
		GM_TRY(store_run(g, sorted, n, intr, out ? &r->out : &r->in));
		first = end[node];
	}
	return GM_OK;
}

static GmStatus
fill_runs(GmGraph *g, GmArray *runs, bool current, int64_t now, Scatter *s,
		  const GmInterrupt *intr)
{
	size_t		places = ((size_t) g->root->gr_nodes + 1) * sizeof(uint32_t);
	uint32_t	longest;

	GM_TRY(gm_mem_temp(g->mem, places, (void **) &s->out));
	GM_TRY(gm_mem_temp(g->mem, places, (void **) &s->in));
	GM_TRY(count_both(g, current, now, s, intr, &longest));
	GM_TRY(gm_mem_temp(g->mem, longest * sizeof(Record), (void **) &s->spare));
	GM_TRY(gm_mem_temp(g->mem, g->root->gr_predicates * sizeof(uint32_t), (void **) &s->count));
	GM_TRY(gm_mem_temp(g->mem, s->members * sizeof(Record), (void **) &s->records));
	GM_TRY(gm_mem_temp(g->mem, s->members * sizeof(GmSlot), (void **) &s->by_object));
	GM_TRY(order_by_object(g, current, now, s, intr));
	GM_TRY(scatter_out(g, s, intr));
	gm_mem_temp_free(g->mem, s->by_object);
	s->by_object = NULL;
	GM_TRY(store_runs(g, runs, true, current, s, intr));
	GM_TRY(scatter_in(g, runs, current, s, intr));
	return store_runs(g, runs, false, current, s, intr);
}

/* a place in gr_past for every node that has a history */
static GmStatus
number_pasts(GmGraph *g, int64_t now, const GmInterrupt *intr, uint32_t *count)
{
	uint32_t	nodes = g->root->gr_nodes;

	*count = 0;
	GM_TRY(gm_array_reserve(g->mem, &g->past_of, nodes));
	g->root->gr_past_of.ar_length = nodes;
	for (GmNode node = 0; node < nodes; node++)
	{
		GM_PAUSE(intr, node);
		GM_ARRAY_U32(&g->past_of, node) = 0;
	}
	for (GmSlot slot = 0; slot < g->root->gr_slots; slot++)
	{
		GM_PAUSE(intr, slot);
		if (is_current(g, slot, now))
			continue;
		GM_ARRAY_U32(&g->past_of, GM_ARRAY_U32(&g->subject, slot)) = 1;
		GM_ARRAY_U32(&g->past_of, GM_ARRAY_U32(&g->object, slot)) = 1;
	}
	for (GmNode node = 0; node < nodes; node++)
	{
		GM_PAUSE(intr, node);
		if (GM_ARRAY_U32(&g->past_of, node) != 0)
			GM_ARRAY_U32(&g->past_of, node) = ++*count;
	}
	return GM_OK;
}

static GmStatus
make_both(GmGraph *g, GmArray *runs, uint32_t n, uint32_t members, bool current, int64_t now,
		  const GmInterrupt *intr)
{
	Scatter		s = {.members = members, .all = members == g->root->gr_slots};
	GmStatus	status;

	GM_TRY(gm_array_reserve(g->mem, runs, n));
	runs->root->ar_length = n;
	for (uint32_t i = 0; i < n; i++)
	{
		GM_PAUSE(intr, i);
		memset(gm_array_at(runs, i), 0, sizeof(GmNodeRuns));
	}
	status = fill_runs(g, runs, current, now, &s, intr);
	gm_mem_temp_free(g->mem, s.by_object);
	gm_mem_temp_free(g->mem, s.records);
	gm_mem_temp_free(g->mem, s.count);
	gm_mem_temp_free(g->mem, s.spare);
	gm_mem_temp_free(g->mem, s.in);
	gm_mem_temp_free(g->mem, s.out);
	return status;
}

static GmStatus
count_degrees(GmGraph *g, const GmInterrupt *intr)
{
	uint32_t	nodes = g->root->gr_nodes;
	uint64_t	work = 0;

	GM_TRY(gm_array_reserve(g->mem, &g->degree, nodes));
	g->root->gr_degree.ar_length = nodes;
	for (GmNode node = 0; node < nodes; node++)
	{
		const GmNodeRuns *r = gm_array_at(&g->runs, node);
		GmRunView	out = gm_graph_run_view(g, &r->out);
		uint32_t	loops = 0;

		for (uint32_t i = 0; i < out.length; i++)
			loops += out.neighbor[i] == node;
		work += 1 + out.length;
		if (work >= GM_INTERRUPT_EVERY)
		{
			work = 0;
			if (gm_interrupted(intr))
				return GM_INTERRUPTED;
		}
		GM_ARRAY_U32(&g->degree, node) = out.length + r->in.rn_length - loops;
	}
	return GM_OK;
}

GmStatus
gm_graph_make_runs(GmGraph *g, int64_t now, const GmInterrupt *intr)
{
	GmGraphRoot *r = g->root;
	uint32_t	slots = r->gr_slots;
	uint32_t	current = 0;
	uint32_t	pasts;

	GM_TRY(find_flips(g, now, intr));
	for (GmSlot slot = 0; slot < slots; slot++)
	{
		GM_PAUSE(intr, slot);
		current += is_current(g, slot, now);
	}
	r->gr_current = current;
	GM_TRY(make_both(g, &g->runs, r->gr_nodes, current, true, now, intr));
	GM_TRY(count_degrees(g, intr));
	if (current == slots)
		return GM_OK;
	r->gr_history = true;
	GM_TRY(number_pasts(g, now, intr, &pasts));
	return make_both(g, &g->past, pasts, slots - current, false, now, intr);
}
