/*-------------------------------------------------------------------------
 *
 * matching.c
 *	  Which rows of a vector space the filters of a search let through.
 *
 * A filter is a test of single rows, or numbers (nodes, sources) as a bitmap.
 * What is few of these says which rows can match at all; all tests are made of
 * those.  Otherwise a look at some rows tells whether many match.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "api/args.h"
#include "api/filter.h"
#include "api/matching.h"
#include "core/scratch.h"
#include "core/traverse.h"
#include "error.h"

#define DOING			"searching vectors"

#define FEW_ROWS		1024	/* are compared one by one: less than an index costs */
#define FEW_FACTS		16384	/* of the nodes near, that are looked at one by one */
#define LOOKED_AT		64		/* rows, for a guess how many match */
#define MANY			4		/* of those, from which on rows are asked about singly */

/*
 * Tests
 */
static bool
fact_passes(GmMatch *m, int64_t fact_id)
{
	const GmGraph *g = m->image->graph;
	GmSlot		slot;

	gm_fact_slots_seek_seen(&m->iter, &m->view, fact_id);
	while ((slot = gm_fact_slots_next(&m->iter)) != GM_NONE)
	{
		GmNode		subject = GM_ARRAY_U32(&g->subject, slot);
		GmNode		object = GM_ARRAY_U32(&g->object, slot);

		if (m->slots != NULL && !gm_bit_test(m->slots, slot))
			continue;
		if (m->near != NULL && !gm_bit_test(m->near, subject) && !gm_bit_test(m->near, object))
			continue;
		if (m->kinds != NULL && !m->kinds[GM_ARRAY_U32(&g->kind, subject)] &&
			!m->kinds[GM_ARRAY_U32(&g->kind, object)])
			continue;
		if (gm_graph_visible(g, &m->view, slot))
			return true;
	}
	return false;
}

static bool
node_is_touched(const GmMatch *m, GmNode node)
{
	GmEdgeIter	iter;
	GmEdge		edge;

	gm_edges_begin(&iter, m->image->graph, &m->view, node);
	return gm_edges_next(&iter, &edge);
}

/* GmSpaceWish.accept: raises no error */
static bool
row_passes(void *arg, uint32_t row)
{
	GmMatch    *m = arg;
	const GmGraph *g = m->image->graph;
	uint32_t	number;

	if (m->info->target == 'f')
		return !m->versions || fact_passes(m, gm_space_item_id(m->info->space, row));
	number = gm_space_number(m->info->space, row);
	if (m->numbers != NULL && !gm_bit_test(m->numbers, number))
		return false;
	if (m->info->target == 's')
		return m->source_kinds == NULL ||
			gm_text_is_one_of(gm_graph_string(g, gm_graph_source(g, number)->kind),
							  m->source_kinds, m->source_kind_count);
	if (m->kinds != NULL && !m->kinds[GM_ARRAY_U32(&g->kind, number)])
		return false;
	return !m->touched || node_is_touched(m, number);
}

static bool
has_tests(const GmMatch *m)
{
	return m->numbers != NULL || m->kinds != NULL || m->source_kinds != NULL || m->touched ||
		m->versions;
}

/*
 * Lists of rows
 */
static int
compare_rows(const void *a, const void *b)
{
	uint32_t	x = *(const uint32_t *) a;
	uint32_t	y = *(const uint32_t *) b;

	return (x > y) - (x < y);
}

/* rows in any order, perhaps twice, become those that can match, or fewer of them */
static void
keep_rows(GmMatch *m, uint32_t *rows, uint32_t n)
{
	uint32_t	kept = 0;
	uint32_t	at = 0;

	if (n > 1)
		qsort(rows, n, sizeof(uint32_t), compare_rows);
	for (uint32_t i = 0; i < n; i++)
	{
		if (i > 0 && rows[i] == rows[i - 1])
			continue;
		while (m->rows != NULL && at < m->count && m->rows[at] < rows[i])
			at++;
		if (m->rows != NULL && (at == m->count || m->rows[at] != rows[i]))
			continue;
		rows[kept++] = rows[i];
	}
	m->rows = rows;
	m->count = kept;
}

static uint32_t *
make_rows(uint32_t n)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, ((Size) n + 1) * sizeof(uint32_t),
									  MCXT_ALLOC_HUGE);
}

static void
keep_ids(GmMatch *m, FunctionCallInfo fcinfo, int arg)
{
	const GmSpace *space = m->info->space;
	uint32_t   *rows;
	uint32_t	n = 0;
	int64	   *ids;
	int			length;

	if (PG_ARGISNULL(arg))
		return;
	ids = gm_arg_int8s(fcinfo, arg, "item_ids", &length);
	rows = make_rows(length);
	for (int i = 0; i < length; i++)
	{
		uint32_t	row = gm_space_find(space, ids[i]);

		if (row != GM_NONE)
			rows[n++] = row;
	}
	keep_rows(m, rows, n);
}

/* the bits that are set, if they are few; else GM_NONE */
static uint32_t
few_bits(const uint64_t *bits, uint32_t n, uint32_t *set)
{
	uint32_t	count = 0;

	for (size_t w = 0; w < gm_bit_words(n); w++)
		for (uint64_t word = bits[w]; word != 0; word &= word - 1)
		{
			if (count == FEW_ROWS)
				return GM_NONE;
			set[count++] = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(word);
		}
	return count;
}

/* rows of entities or sources whose numbers are few */
static void
keep_numbers(GmMatch *m)
{
	const GmGraphRoot *root = m->image->graph->root;
	uint32_t	numbers = m->info->target == 'e' ? root->gr_nodes : root->gr_sources;
	uint32_t	set[FEW_ROWS];
	uint32_t	n;
	uint32_t	kept = 0;
	uint32_t   *rows;

	if (m->numbers == NULL || (n = few_bits(m->numbers, numbers, set)) == GM_NONE)
		return;
	rows = make_rows(n);
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	row = gm_space_row_of(m->info->space, set[i]);

		if (row != GM_NONE)
			rows[kept++] = row;
	}
	keep_rows(m, rows, kept);
}

static void
keep_facts(GmMatch *m, const uint32_t *slots, uint32_t n)
{
	const GmGraph *g = m->image->graph;
	uint32_t   *rows = make_rows(n);
	uint32_t	kept = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	row = gm_space_find(m->info->space, GM_ARRAY_I64(&g->fact_id, slots[i]));

		if (row != GM_NONE)
			rows[kept++] = row;
	}
	keep_rows(m, rows, kept);
}

/*
 * Near
 */

/* the nodes near the seeds; NULL: the argument is missing */
static uint64_t *
near_nodes(GmMatch *m, FunctionCallInfo fcinfo, const GmMatchArgs *args)
{
	const GmGraph *g = m->image->graph;
	int			hops = gm_arg_near_hops(fcinfo, args->max_hops, "max_hops", 2);
	uint64_t   *bits;
	GmNode	   *seeds;
	uint32_t	n;

	if (PG_ARGISNULL(args->near))
		return NULL;
	seeds = gm_arg_nodes(fcinfo, args->near, "near", g, m->view.known_at, &n);
	bits = gm_filter_make(g->root->gr_nodes);
	gm_error_check(gm_near(g, &m->view, m->image->scratch, seeds, n, hops, &gm_server_interrupt,
						   bits), DOING);
	return bits;
}

/* facts that count of these nodes, if they are few: palloc'ed slots; else NULL */
static uint32_t *
facts_of(const GmMatch *m, const uint64_t *nodes, uint32_t *n)
{
	const GmGraph *g = m->image->graph;
	uint32_t	set[FEW_ROWS];
	uint32_t	count = few_bits(nodes, g->root->gr_nodes, set);
	uint32_t   *slots;

	*n = 0;
	if (count == GM_NONE)
		return NULL;
	slots = make_rows(FEW_FACTS);
	for (uint32_t i = 0; i < count; i++)
	{
		GmEdgeIter	iter;
		GmEdge		edge;

		gm_edges_begin(&iter, g, &m->view, set[i]);
		while (gm_edges_next(&iter, &edge))
		{
			if (*n == FEW_FACTS)
				return NULL;
			slots[(*n)++] = edge.slot;
		}
		CHECK_FOR_INTERRUPTS();
	}
	return slots;
}

/* sources that assert one of these facts, by what was known then */
static uint64_t *
sources_of(const GmMatch *m, const uint32_t *slots, uint32_t n)
{
	const GmGraph *g = m->image->graph;
	uint64_t   *sources = gm_filter_make(g->root->gr_sources);

	for (uint32_t i = 0; i < n; i++)
	{
		GmAssertionIter iter;
		const GmAssertion *a;

		gm_assertions_begin(&iter, g, GM_ARRAY_I64(&g->fact_id, slots[i]));
		while ((a = gm_assertions_next(&iter)) != NULL)
			if (a->asserted_at <= m->view.known_at)
				gm_bit_set(sources, a->source);
	}
	return sources;
}

/* sources that assert a fact that counts, of the nodes near if near is not NULL */
static uint64_t *
asserting_sources(const GmMatch *m, const uint64_t *near)
{
	const GmGraph *g = m->image->graph;
	uint32_t   *slots;
	uint32_t	n;

	if (near == NULL)
		return gm_filter_asserting(g, &m->view, NULL);
	slots = facts_of(m, near, &n);
	if (slots != NULL)
		return sources_of(m, slots, n);
	return gm_filter_asserting(g, &m->view, gm_filter_touching(g, near));
}

/*
 * Filters
 */
static void
match_entities(GmMatch *m, FunctionCallInfo fcinfo, const GmMatchArgs *args)
{
	uint32_t	n = m->image->graph->root->gr_nodes;

	m->kinds = gm_arg_kind_numbers(fcinfo, args->kinds, m->image->graph);
	m->touched = m->view.predicates != NULL;
	m->numbers = near_nodes(m, fcinfo, args);
	m->numbers = gm_filter_and(m->numbers, gm_filter_known(m->image, GM_FILTER_ENTITIES,
														   m->view.known_at), n);
	m->numbers = gm_filter_and(m->numbers, gm_filter_properties(fcinfo, args->filter, m->image,
																GM_FILTER_ENTITIES), n);
}

static void
match_sources(GmMatch *m, FunctionCallInfo fcinfo, const GmMatchArgs *args)
{
	uint32_t	n = m->image->graph->root->gr_sources;
	uint64_t   *near = near_nodes(m, fcinfo, args);

	if (!PG_ARGISNULL(args->kinds))
		m->source_kinds = gm_arg_texts(fcinfo, args->kinds, "kinds", &m->source_kind_count);
	if (near != NULL || m->view.predicates != NULL)
		m->numbers = asserting_sources(m, near);
	m->numbers = gm_filter_and(m->numbers, gm_filter_known(m->image, GM_FILTER_SOURCES,
														   m->view.known_at), n);
	m->numbers = gm_filter_and(m->numbers, gm_filter_properties(fcinfo, args->filter, m->image,
																GM_FILTER_SOURCES), n);
}

static void
match_facts(GmMatch *m, FunctionCallInfo fcinfo, const GmMatchArgs *args)
{
	const GmGraph *g = m->image->graph;
	uint32_t	set[FEW_ROWS];
	uint32_t   *slots;
	uint32_t	n;

	m->kinds = gm_arg_kind_numbers(fcinfo, args->kinds, g);
	m->near = near_nodes(m, fcinfo, args);
	m->slots = gm_filter_properties(fcinfo, args->filter, m->image, GM_FILTER_TRIPLES);

	m->versions |= m->kinds != NULL || m->near != NULL || m->slots != NULL;
	if (m->near != NULL && (slots = facts_of(m, m->near, &n)) != NULL)
		keep_facts(m, slots, n);
	if (m->slots != NULL && (n = few_bits(m->slots, g->root->gr_slots, set)) != GM_NONE)
		keep_facts(m, set, n);
}

void
gm_match_view(const GmImage *image, const GmSpaceInfo *info, const GmView *view,
			  uint64_t *numbers, GmMatch *m)
{
	memset(m, 0, sizeof(*m));
	m->image = image;
	m->info = info;
	m->view = *view;
	m->view.direction = GM_BOTH;
	m->numbers = numbers;
	if (info->target == 'f')
		gm_fact_slots_init(&m->iter, image->graph);
	else
		keep_numbers(m);

	/* a vector's fact has a version, and without history that is current */
	m->versions = info->target == 'f' && (!view->plain || image->graph->root->gr_history);
}

void
gm_match_begin(FunctionCallInfo fcinfo, const GmMatchArgs *args, const GmImage *image,
			   const GmSpaceInfo *info, const GmView *view, GmMatch *m)
{
	gm_match_view(image, info, view, NULL, m);
	keep_ids(m, fcinfo, args->item_ids);
	switch (info->target)
	{
		case 'e':
			match_entities(m, fcinfo, args);
			break;
		case 's':
			match_sources(m, fcinfo, args);
			break;
		default:
			match_facts(m, fcinfo, args);
			return;
	}
	keep_numbers(m);
}

/*
 * Searching
 */

/* one look at the facts in place of one at each entity's */
static void
touch_all(GmMatch *m)
{
	const GmGraph *g = m->image->graph;

	if (!m->touched)
		return;
	m->numbers = gm_filter_and(m->numbers, gm_filter_touched(g, &m->view), g->root->gr_nodes);
	m->touched = false;
}

static uint64_t *
passing_rows(GmMatch *m)
{
	uint32_t	n = m->rows != NULL ? m->count : m->info->space->root->sp_rows;
	uint64_t   *bits = gm_filter_make(m->info->space->root->sp_rows);

	touch_all(m);
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	row = m->rows != NULL ? m->rows[i] : i;

		if (i % GM_INTERRUPT_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		if (row_passes(m, row))
			gm_bit_set(bits, row);
	}
	return bits;
}

static bool
many_pass(GmMatch *m)
{
	uint32_t	rows = m->info->space->root->sp_rows;
	uint32_t	passed = 0;

	/* spread, and not evenly: what rows are may go by their number */
	for (uint32_t i = 1; i <= LOOKED_AT && passed < MANY; i++)
		passed += row_passes(m, i * UINT32_C(0x9e3779b1) % rows);
	return passed == MANY;
}

static uint32_t
drop_rows(GmMatch *m, uint32_t without)
{
	uint32_t	kept = 0;

	for (uint32_t i = 0; i < m->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (m->rows[i] != without && row_passes(m, m->rows[i]))
			m->rows[kept++] = m->rows[i];
	}
	return m->count = kept;
}

/* the only test is whether the facts still hold, as most of those with vectors do */
static bool
asks_for_current(const GmMatch *m)
{
	return m->info->target == 'f' && m->view.plain && m->rows == NULL && m->kinds == NULL &&
		m->near == NULL && m->slots == NULL;
}

/* of the hits' facts the visible versions; NULL: a fact has none */
static GmSlot *
all_current(const GmMatch *m, const GmSpaceHit *hits, uint32_t n)
{
	GmSlot	   *slots = make_rows(n);

	for (uint32_t i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		slots[i] = gm_graph_visible_version(m->image->graph, &m->view,
											gm_space_item_id(m->info->space, hits[i].row));
		if (slots[i] == GM_NONE)
			return NULL;
	}
	return slots;
}

GmSpaceHit *
gm_match_nearest(GmMatch *m, const GmSpaceQuery *query, GmSpaceWish wish, uint32_t *found)
{
	GmSpace    *space = m->info->space;
	uint32_t	rows = space->root->sp_rows;
	bool		few = m->rows != NULL && m->count <= FEW_ROWS;
	GmSpaceReport report;
	GmSpaceHit *hits;

	if (few)
		rows = drop_rows(m, wish.without);
	hits = MemoryContextAllocExtended(CurrentMemoryContext,
									  ((Size) Min(wish.k, rows) + 1) * sizeof(GmSpaceHit),
									  MCXT_ALLOC_HUGE);
	if (few)
	{
		gm_error_check(gm_space_search_rows(space, query, wish.k, m->rows, rows,
											&gm_server_interrupt, hits, found), DOING);
		report = (GmSpaceReport) {.exact = true, .compared = rows};
		gm_image_searched(m->image, m->info, &report);
		return hits;
	}
	if (asks_for_current(m))
	{
		gm_error_check(gm_space_nearest(space, gm_image_work(), query, &wish, &gm_server_interrupt,
										hits, found, &report), DOING);
		m->visible = all_current(m, hits, *found);
		if (m->visible != NULL || !m->versions)
		{
			gm_image_searched(m->image, m->info, &report);
			return hits;
		}
	}
	if (m->rows != NULL)
		wish.allowed = passing_rows(m);
	else if (has_tests(m) && !wish.exact && gm_space_has_index(space) && many_pass(m))
	{
		wish.accept = row_passes;
		wish.arg = m;
	}
	else if (has_tests(m))
		wish.allowed = passing_rows(m);
	gm_error_check(gm_space_nearest(space, gm_image_work(), query, &wish, &gm_server_interrupt,
									hits, found, &report), DOING);
	gm_image_searched(m->image, m->info, &report);
	return hits;
}
