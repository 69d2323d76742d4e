/*-------------------------------------------------------------------------
 *
 * graph_runs.c
 *	  Making the adjacency of a graph image from its slots.
 *
 * Records are scattered to their nodes in the order of their slots (one random
 * write each, where sorting slots globally took four random reads and six
 * times as long), then sorted run by run inside the cache.
 *
 * Memory		12 bytes a slot beside the image, one direction at a time
 * Complexity	linear but for the sorting of runs, n log n of their lengths
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

static void
find_flips(GmGraph *g, int64_t now)
{
	GmFlips		f;

	gm_flips_init(&f);
	for (uint64_t i = 1; i < g->root->gr_times.ar_length; i++)
		gm_flips_add(&f, gm_array_at(&g->times, i), now);
	g->root->gr_built_at = f.last;
	g->root->gr_next_flip = f.next;
}

/* one adjacency record on its way into a run */
typedef struct Record
{
	uint32_t	neighbor;
	uint32_t	predicate;
	GmSlot		slot;
} Record;

static inline uint64_t
record_key(const Record *r)
{
	return (uint64_t) r->predicate << 32 | r->neighbor;
}

#define INSERTION_RUN	16

/* stable, by (predicate, neighbour): insertion sorted pieces, then merges */
static void
sort_records(Record *a, uint32_t n, Record *spare)
{
	Record	   *from = a;
	Record	   *to = spare;

	for (uint32_t start = 0; start < n; start += INSERTION_RUN)
	{
		uint32_t	end = start + INSERTION_RUN < n ? start + INSERTION_RUN : n;

		for (uint32_t i = start + 1; i < end; i++)
		{
			Record		r = a[i];
			uint64_t	key = record_key(&r);
			uint32_t	at = i;

			for (; at > start && record_key(&a[at - 1]) > key; at--)
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
				if (k >= end || (i < middle && record_key(&from[i]) <= record_key(&from[k])))
					to[at] = from[i++];
				else
					to[at] = from[k++];
			}
		}
		t = from;
		from = to;
		to = t;
	}
	if (from != a)
		memcpy(a, from, (size_t) n * sizeof(Record));
}

/* temporary arrays of build_runs, for the records of one direction */
typedef struct Scatter
{
	Record	   *records;		/* all, by node */
	Record	   *spare;			/* of the longest run */
	uint32_t   *start;			/* by node, and one more */
} Scatter;

/* count the members' owners; start[node] becomes the node's first record */
static GmStatus
count_records(GmGraph *g, const GmArray *owner, bool current, int64_t now, uint32_t *start,
			  const GmInterrupt *intr, size_t *records)
{
	uint32_t	slots = g->root->gr_slots;
	uint32_t	nodes = g->root->gr_nodes;
	uint32_t	sum = 0;

	memset(start, 0, ((size_t) nodes + 1) * sizeof(uint32_t));
	for (GmSlot slot = 0; slot < slots; slot++)
	{
		GM_PAUSE(intr, slot);
		if (is_current(g, slot, now) == current)
			start[GM_ARRAY_U32(owner, slot)]++;
	}
	for (GmNode node = 0; node <= nodes; node++)
	{
		uint32_t	c = start[node];

		start[node] = sum;
		sum += c;
	}
	*records = sum;
	return GM_OK;
}

/* copy sorted records into a fresh run */
static GmStatus
store_run(GmGraph *g, const Record *records, uint32_t n, GmRun *run)
{
	uint32_t   *block;

	GM_TRY(gm_mem_alloc_words(g->mem, (size_t) n * 3, &run->rn_block));
	block = gm_mem_ptr(g->mem, run->rn_block);
	for (uint32_t i = 0; i < n; i++)
	{
		block[i] = records[i].neighbor;
		block[n + i] = records[i].predicate;
		block[n * 2 + i] = records[i].slot;
	}
	run->rn_cap = run->rn_length = n;
	return GM_OK;
}

static GmStatus
fill_direction(GmGraph *g, GmArray *runs, bool out, bool current, int64_t now, Scatter *s,
			   const GmInterrupt *intr)
{
	const GmArray *owner = out ? &g->subject : &g->object;
	const GmArray *other = out ? &g->object : &g->subject;
	uint32_t	slots = g->root->gr_slots;
	uint32_t	nodes = g->root->gr_nodes;
	uint32_t	first = 0;

	for (GmSlot slot = 0; slot < slots; slot++)
	{
		Record	   *r;

		GM_PAUSE(intr, slot);
		if (is_current(g, slot, now) != current)
			continue;
		r = &s->records[s->start[GM_ARRAY_U32(owner, slot)]++];
		r->neighbor = GM_ARRAY_U32(other, slot);
		r->predicate = GM_ARRAY_U32(&g->predicate, slot);
		r->slot = slot;
	}

	/* start[node] has become the node's end */
	for (GmNode node = 0; node < nodes; node++)
	{
		uint32_t	n = s->start[node] - first;

		if ((node & 1023) == 0 && gm_interrupted(intr))
			return GM_INTERRUPTED;
		if (n > 0)
		{
			GmNodeRuns *r = gm_array_at(runs, current ? node : GM_ARRAY_U32(&g->past_of, node) - 1);

			sort_records(s->records + first, n, s->spare);
			GM_TRY(store_run(g, s->records + first, n, out ? &r->out : &r->in));
		}
		first = s->start[node];
	}
	return GM_OK;
}

static GmStatus
make_direction(GmGraph *g, GmArray *runs, bool out, bool current, int64_t now,
			   const GmInterrupt *intr)
{
	uint32_t	nodes = g->root->gr_nodes;
	size_t		start_bytes = ((size_t) nodes + 1) * sizeof(uint32_t);
	size_t		records = 0;
	size_t		longest = 0;
	Scatter		s = {0};
	GmStatus	status = gm_mem_temp(g->mem, start_bytes, (void **) &s.start);

	if (status == GM_OK)
		status = count_records(g, out ? &g->subject : &g->object, current, now, s.start, intr,
							   &records);
	if (status == GM_OK)
	{
		for (GmNode node = 0; node < nodes; node++)
			if (s.start[node + 1] - s.start[node] > longest)
				longest = s.start[node + 1] - s.start[node];
		status = gm_mem_temp(g->mem, records * sizeof(Record), (void **) &s.records);
	}
	if (status == GM_OK)
		status = gm_mem_temp(g->mem, longest * sizeof(Record), (void **) &s.spare);
	if (status == GM_OK)
		status = fill_direction(g, runs, out, current, now, &s, intr);
	gm_mem_temp_free(g->mem, s.spare);
	gm_mem_temp_free(g->mem, s.records);
	gm_mem_temp_free(g->mem, s.start);
	return status;
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
		GM_ARRAY_U32(&g->past_of, node) = 0;
	for (GmSlot slot = 0; slot < g->root->gr_slots; slot++)
	{
		GM_PAUSE(intr, slot);
		if (is_current(g, slot, now))
			continue;
		GM_ARRAY_U32(&g->past_of, GM_ARRAY_U32(&g->subject, slot)) = 1;
		GM_ARRAY_U32(&g->past_of, GM_ARRAY_U32(&g->object, slot)) = 1;
	}
	for (GmNode node = 0; node < nodes; node++)
		if (GM_ARRAY_U32(&g->past_of, node) != 0)
			GM_ARRAY_U32(&g->past_of, node) = ++*count;
	return GM_OK;
}

static GmStatus
make_both(GmGraph *g, GmArray *runs, uint32_t n, bool current, int64_t now,
		  const GmInterrupt *intr)
{
	GM_TRY(gm_array_reserve(g->mem, runs, n));
	runs->root->ar_length = n;
	for (uint32_t i = 0; i < n; i++)
		memset(gm_array_at(runs, i), 0, sizeof(GmNodeRuns));
	GM_TRY(make_direction(g, runs, true, current, now, intr));
	return make_direction(g, runs, false, current, now, intr);
}

static GmStatus
count_degrees(GmGraph *g, const GmInterrupt *intr)
{
	uint32_t	nodes = g->root->gr_nodes;

	GM_TRY(gm_array_reserve(g->mem, &g->degree, nodes));
	g->root->gr_degree.ar_length = nodes;
	for (GmNode node = 0; node < nodes; node++)
	{
		const GmNodeRuns *r = gm_array_at(&g->runs, node);
		GmRunView	out = gm_graph_run_view(g, &r->out);
		uint32_t	loops = 0;

		if ((node & 1023) == 0 && gm_interrupted(intr))
			return GM_INTERRUPTED;
		for (uint32_t i = 0; i < out.length; i++)
			loops += out.neighbor[i] == node;
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

	find_flips(g, now);
	for (GmSlot slot = 0; slot < slots; slot++)
	{
		GM_PAUSE(intr, slot);
		current += is_current(g, slot, now);
	}
	r->gr_current = current;
	GM_TRY(make_both(g, &g->runs, r->gr_nodes, true, now, intr));
	GM_TRY(count_degrees(g, intr));
	if (current == slots)
		return GM_OK;
	r->gr_history = true;
	GM_TRY(number_pasts(g, now, intr, &pasts));
	return make_both(g, &g->past, pasts, false, now, intr);
}
