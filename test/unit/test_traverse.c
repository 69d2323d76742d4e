/*-------------------------------------------------------------------------
 *
 * test_traverse.c
 *	  Walks against distances found by relaxing every arc of an edge list.
 *
 * What must hold, for random graphs, views, seeds and bounds:
 *	 reach		counts the nodes with 1 .. max_hops hops, and sums their ids
 *	 near		marks those and the seeds
 *	 traverse	rows by (hops, id); hops are the distances; the parent is the
 *				smallest predecessor, the slot the smallest triple between;
 *				depth first is preorder; kinds and match_count only select
 *	 subgraph	exactly the visible triples within, by (hops, triple id)
 *	 any of them interrupted leaves the scratch fit for the next call
 *
 *-------------------------------------------------------------------------
 */
#include "core/traverse.h"
#include "random_graph.h"

#define ROUNDS		3000

typedef struct Case
{
	RgGraph		rg;
	RgView		v;
	RgArc	   *arcs;
	uint32_t	arc_count;
	uint32_t	seeds[4];
	uint32_t	seed_count;
	int			max_hops;
	uint32_t   *distance;
} Case;

static void
make_case(Case *c, uint32_t most_nodes, uint32_t most_triples)
{
	uint32_t	n;

	rg_make(&c->rg, rg_random_shape(most_nodes, most_triples));
	rg_random_view(&c->rg, &c->v);
	c->arcs = rg_arcs(&c->rg, &c->v.view, &c->arc_count);
	n = c->rg.shape.nodes;
	c->max_hops = unit_random_below(8) == 0 ? INT32_MAX : (int) unit_random_below(5);
	c->seed_count = 1 + unit_random_below(4);
	c->distance = malloc(n * sizeof(uint32_t));
	memset(c->distance, 0xff, n * sizeof(uint32_t));
	for (uint32_t i = 0; i < c->seed_count; i++)
	{
		c->seeds[i] = unit_random_below(n);
		c->distance[c->seeds[i]] = 0;
	}
	rg_distances(c->arcs, c->arc_count, n, c->distance);
}

static void
free_case(Case *c)
{
	free(c->arcs);
	free(c->distance);
	rg_free_view(&c->v);
	rg_free(&c->rg);
}

static void
check_reach(Case *c)
{
	uint32_t	n = c->rg.shape.nodes;
	uint32_t   *distance = malloc(n * sizeof(uint32_t));
	uint64_t	want = 0;
	uint64_t	want_sum = 0;
	uint64_t	count;
	uint64_t	sum;

	memset(distance, 0xff, n * sizeof(uint32_t));
	distance[c->seeds[0]] = 0;
	rg_distances(c->arcs, c->arc_count, n, distance);
	for (uint32_t v = 0; v < n; v++)
	{
		if (v != c->seeds[0] && distance[v] <= (uint32_t) c->max_hops)
		{
			want++;
			want_sum += (uint64_t) rg_entity_id(v);
		}
	}
	CHECK(gm_reach(c->rg.graph, &c->v.view, rg_scratch(), c->seeds[0], c->max_hops, NULL,
				   &count, &sum) == GM_OK);
	CHECK(count == want);
	CHECK(sum == want_sum);
	free(distance);
}

static void
check_near(Case *c)
{
	uint32_t	n = c->rg.shape.nodes;
	uint64_t   *bits = calloc(gm_bit_words(n), 8);

	CHECK(gm_near(c->rg.graph, &c->v.view, rg_scratch(), c->seeds, c->seed_count, c->max_hops, NULL,
				  bits) == GM_OK);
	for (uint32_t v = 0; v < n; v++)
		CHECK(gm_bit_test(bits, v) == (c->distance[v] <= (uint32_t) c->max_hops));
	free(bits);
}

/* the arc by which the oracle enters v */
static const RgArc *
best_entry(const Case *c, uint32_t v)
{
	const RgArc *best = NULL;

	for (uint32_t i = 0; i < c->arc_count; i++)
	{
		const RgArc *a = &c->arcs[i];

		if (a->to != v || c->distance[a->from] == UINT32_MAX ||
			c->distance[a->from] + 1 != c->distance[v])
			continue;
		if (best == NULL || a->from < best->from || (a->from == best->from && a->number < best->number))
			best = a;
	}
	return best;
}

static void
check_rows(const Case *c, const GmTraversal *t, bool whole)
{
	uint32_t	want = 0;

	for (uint32_t v = 0; v < c->rg.shape.nodes; v++)
		want += c->distance[v] <= (uint32_t) c->max_hops;
	CHECK(whole ? t->row_count == want : t->row_count <= want);
	for (uint32_t i = 0; i < t->row_count; i++)
	{
		const GmTraverseRow *r = &t->rows[i];

		if (!CHECK(r->hops == c->distance[r->node]))
			return;
		if (i > 0)
			CHECK(r[-1].hops < r->hops || (r[-1].hops == r->hops && r[-1].node < r->node));
		if (r->hops == 0)
			CHECK(r->parent == GM_NONE && r->slot == GM_NONE);
		else
		{
			const RgArc *e = best_entry(c, r->node);

			CHECK(t->rows[r->parent].node == e->from);
			CHECK(r->slot == e->slot && r->out == e->out);
		}
	}
}

static uint32_t
preorder(const Case *c, uint32_t node, const uint64_t *kinds, uint32_t *list, uint32_t n)
{
	if (kinds == NULL || gm_bit_test(kinds, node))
		list[n++] = node;
	for (uint32_t v = 0; v < c->rg.shape.nodes; v++)
	{
		if (c->distance[v] != 0 && c->distance[v] <= (uint32_t) c->max_hops &&
			best_entry(c, v)->from == node)
			n = preorder(c, v, kinds, list, n);
	}
	return n;
}

/* the nodes returned, in order, from the distances alone */
static uint32_t
expected_order(const Case *c, const GmTraverseOpts *opts, uint32_t *list)
{
	uint32_t	n = c->rg.shape.nodes;
	uint32_t	count = 0;

	for (uint32_t v = 0; opts->depth_first && v < n; v++)
	{
		if (c->distance[v] == 0)
			count = preorder(c, v, opts->kinds, list, count);
	}
	for (uint32_t h = 0; !opts->depth_first && h < n && h <= (uint32_t) c->max_hops; h++)
	{
		for (uint32_t v = 0; v < n; v++)
		{
			if (c->distance[v] == h && (opts->kinds == NULL || gm_bit_test(opts->kinds, v)))
				list[count++] = v;
		}
	}
	return count < opts->match_count ? count : (uint32_t) opts->match_count;
}

static void
check_traverse(Case *c, bool depth_first)
{
	uint32_t	n = c->rg.shape.nodes;
	uint64_t   *kinds = calloc(gm_bit_words(n), 8);
	uint32_t   *want = malloc(n * sizeof(uint32_t));
	GmTraverseOpts opts = {c->max_hops, depth_first, GM_ALL_ROWS, NULL};
	uint32_t	want_count;
	GmTraversal t;

	for (uint32_t v = 0; v < n; v++)
	{
		if (unit_random_below(2))
			gm_bit_set(kinds, v);
	}
	if (unit_random_below(2))
		opts.kinds = kinds;
	if (unit_random_below(2))
		opts.match_count = unit_random_below(n + 2);
	CHECK(gm_traverse(c->rg.graph, &c->v.view, rg_scratch(), c->seeds, c->seed_count, &opts, NULL,
					  &t) == GM_OK);
	check_rows(c, &t, depth_first || opts.match_count == GM_ALL_ROWS);
	want_count = expected_order(c, &opts, want);
	CHECK(t.order_count == want_count);
	for (uint32_t i = 0; i < want_count && i < t.order_count; i++)
		CHECK(t.rows[t.order[i]].node == want[i]);
	for (uint32_t i = 0; i < t.row_count; i++)
	{
		GmSlot		slots[64];
		bool		out[64];

		gm_traverse_path(&t, i, slots, out);
		for (uint32_t k = t.rows[i].hops, row = i; k-- > 0; row = t.rows[row].parent)
			CHECK(slots[k] == t.rows[row].slot && out[k] == t.rows[row].out);
	}
	free(want);
	free(kinds);
}

static void
check_subgraph(Case *c)
{
	uint64_t	match_count = unit_random_below(2) ? GM_ALL_ROWS : unit_random_below(20);
	uint64_t	count;
	uint64_t	at = 0;
	const GmSubgraphRow *rows;

	CHECK(gm_subgraph(c->rg.graph, &c->v.view, rg_scratch(), c->seeds, c->seed_count, c->max_hops,
					  match_count, NULL, &rows, &count) == GM_OK);
	for (uint32_t h = 0; h < c->rg.shape.nodes && h <= (uint32_t) c->max_hops; h++)
	{
		for (uint32_t i = 0; i < c->rg.shape.triples && at < match_count; i++)
		{
			uint32_t	s = c->distance[c->rg.triples[i].s];
			uint32_t	o = c->distance[c->rg.triples[i].o];

			if ((s > o ? s : o) != h || !rg_visible(&c->rg, &c->v.view, i))
				continue;
			CHECK(at < count && rows[at].slot == rg_slot(&c->rg, i) && rows[at].hops == h);
			at++;
		}
	}
	CHECK(at == count);
}

static void
test_random(void)
{
	for (int round = 0; round < ROUNDS; round++)
	{
		Case		c;

		make_case(&c, round % 3 == 0 ? 200 : 12, round % 3 == 0 ? 400 : 40);
		check_reach(&c);
		check_near(&c);
		check_traverse(&c, false);
		check_traverse(&c, true);
		check_subgraph(&c);
		rg_check_scratch();
		free_case(&c);
	}
}

/* dense enough that the search turns round to the unseen nodes */
static void
test_dense(void)
{
	for (int round = 0; round < 20; round++)
	{
		Case		c;

		make_case(&c, 600, 20000);
		check_reach(&c);
		check_near(&c);
		rg_check_scratch();
		free_case(&c);
	}
}

static void
test_bad_values(void)
{
	RgGraph		rg;
	GmView		view;
	uint64_t	count;
	uint64_t	sum;
	uint64_t	bits[1] = {0};
	uint32_t	seed = 3;
	GmTraverseOpts opts = {1, false, GM_ALL_ROWS, NULL};
	GmTraversal t;
	const GmSubgraphRow *rows;

	rg_make(&rg, (RgShape) {3, 0, false, false, false, false});
	gm_view_init(rg.graph, RG_NOW, &view);
	CHECK(gm_reach(rg.graph, &view, rg_scratch(), 0, -1, NULL, &count, &sum) == GM_BAD_VALUE);
	CHECK(gm_reach(rg.graph, &view, rg_scratch(), 3, 1, NULL, &count, &sum) == GM_BAD_VALUE);
	CHECK(gm_near(rg.graph, &view, rg_scratch(), &seed, 1, 1, NULL, bits) == GM_BAD_VALUE);
	CHECK(gm_traverse(rg.graph, &view, rg_scratch(), &seed, 1, &opts, NULL, &t) == GM_BAD_VALUE);
	CHECK(gm_subgraph(rg.graph, &view, rg_scratch(), &seed, 1, 1, GM_ALL_ROWS, NULL, &rows,
					  &count) == GM_BAD_VALUE);
	CHECK(gm_traverse(rg.graph, &view, rg_scratch(), &seed, 0, &opts, NULL, &t) == GM_OK);
	CHECK(t.row_count == 0 && t.order_count == 0);
	CHECK(gm_reach(rg.graph, &view, rg_scratch(), 2, INT32_MAX, NULL, &count, &sum) == GM_OK);
	CHECK(count == 0 && sum == 0);
	rg_free(&rg);
}

static void
test_budget(void)
{
	RgGraph		rg;
	GmView		view;
	GmScratch  *small;
	uint64_t	count;
	uint64_t	sum;

	rg_make(&rg, (RgShape) {4000, 8000, false, false, false, false});
	gm_view_init(rg.graph, RG_NOW, &view);
	REQUIRE(gm_scratch_create(4096, &small) == GM_OK);
	CHECK(gm_reach(rg.graph, &view, small, 0, 2, NULL, &count, &sum) == GM_OVER_BUDGET);
	CHECK(small->bytes <= 4096);
	small->limit = 0;
	CHECK(gm_reach(rg.graph, &view, small, 0, 2, NULL, &count, &sum) == GM_OK);
	gm_scratch_trim(small, 1000);
	CHECK(small->bytes <= 1000);
	CHECK(gm_reach(rg.graph, &view, small, 0, 2, NULL, &count, &sum) == GM_OK);
	gm_scratch_destroy(small);
	rg_free(&rg);
}

/* what a call leaves on the stack, for the next one to find there */
static void
dirty_stack(void)
{
	volatile char rubbish[8192];

	for (size_t i = 0; i < sizeof(rubbish); i++)
		rubbish[i] = (char) 0xff;
}

/* few rows take little room, however large the graph */
static void
test_few_rows(void)
{
	RgGraph		rg;
	GmView		view;
	GmScratch  *scratch;
	GmNode		seed = 0;
	GmTraversal result;
	const GmSubgraphRow *rows;
	uint64_t	row_count;
	size_t		index = 40000 * sizeof(uint32_t);

	rg_make(&rg, (RgShape) {40000, 10, false, false, false, false});
	gm_view_init(rg.graph, RG_NOW, &view);
	REQUIRE(gm_scratch_create(0, &scratch) == GM_OK);
	dirty_stack();
	CHECK(gm_traverse(rg.graph, &view, scratch, &seed, 1, &(GmTraverseOpts) {0, false, GM_ALL_ROWS, NULL}, NULL,
					  &result) == GM_OK);
	CHECK(result.row_count == 1);
	CHECK(scratch->bytes < index + 8192);
	dirty_stack();
	CHECK(gm_subgraph(rg.graph, &view, scratch, &seed, 1, 0, GM_ALL_ROWS, NULL, &rows, &row_count) == GM_OK);
	CHECK(scratch->bytes < index + 16384);
	gm_scratch_destroy(scratch);
	rg_free(&rg);
}

/* buffers whose pages were given back serve as before, and the zeroed ones are zero */
static void
test_rest(void)
{
	RgGraph		rg;
	GmView		view;
	GmScratch  *scratch;
	uint64_t	count[2];
	uint64_t	sum[2];
	size_t		bytes;

	rg_make(&rg, (RgShape) {1200000, 1500000, false, false, false, false});
	gm_view_init(rg.graph, RG_NOW, &view);
	REQUIRE(gm_scratch_create(0, &scratch) == GM_OK);
	REQUIRE(gm_reach(rg.graph, &view, scratch, 7, 5, NULL, &count[0], &sum[0]) == GM_OK);
	bytes = scratch->bytes;
	CHECK(scratch->buffers[GM_BUF_SEEN].bytes >= 150000);
	for (int i = 0; i < 3; i++)
	{
		const char *seen = scratch->buffers[GM_BUF_SEEN].data;
		uint32_t	set = 0;

		gm_scratch_rest(scratch);
		CHECK(scratch->bytes == bytes);
		for (size_t at = 0; at < scratch->buffers[GM_BUF_SEEN].bytes; at++)
			set += seen[at] != 0;
		CHECK(set == 0);
		REQUIRE(gm_reach(rg.graph, &view, scratch, 7, 5, NULL, &count[1], &sum[1]) == GM_OK);
		CHECK(count[0] == count[1] && sum[0] == sum[1]);
	}
	gm_scratch_destroy(scratch);
	rg_free(&rg);
}

static void
test_interrupt(void)
{
	RgGraph		rg;
	RgStop		stop;
	GmInterrupt intr = {rg_stop, &stop};
	uint32_t	stopped = 0;

	rg_make(&rg, (RgShape) {5000, 100000, false, false, false, false});
	for (uint32_t i = 0; i < 200; i++)
	{
		GmTraverseOpts opts = {9, i & 1, GM_ALL_ROWS, NULL};
		uint32_t	seed = unit_random_below(5000);
		const GmSubgraphRow *rows;
		uint64_t	count[2];
		uint64_t	sum[2];
		GmTraversal t;
		GmStatus	status;
		GmView		view;

		gm_view_init(rg.graph, RG_NOW, &view);
		view.min_confidence = i % 3 == 0 ? 0.25f : 0;
		gm_view_settle(rg.graph, &view);
		stop.left = unit_random_below(12);
		if (i % 4 == 0)
			status = gm_traverse(rg.graph, &view, rg_scratch(), &seed, 1, &opts, &intr, &t);
		else if (i % 4 == 1)
			status = gm_subgraph(rg.graph, &view, rg_scratch(), &seed, 1, 3, 1000000, &intr, &rows,
								 count);
		else
			status = gm_reach(rg.graph, &view, rg_scratch(), seed, 9, &intr, count, sum);
		CHECK(status == GM_INTERRUPTED || status == GM_OK);
		stopped += status == GM_INTERRUPTED;
		CHECK(gm_reach(rg.graph, &view, rg_scratch(), seed, 9, NULL, &count[0], &sum[0]) == GM_OK);
		CHECK(gm_traverse(rg.graph, &view, rg_scratch(), &seed, 1, &opts, NULL, &t) == GM_OK);
		count[1] = t.row_count - 1;
		CHECK(count[0] == count[1]);
	}
	CHECK(stopped > 20);
	rg_check_scratch();
	rg_free(&rg);
}

/* by id: ascending ones, ascending but for some, and in any order */
static void
test_sort(void)
{
	for (uint32_t round = 0; round < 60; round++)
	{
		uint32_t	n = 1 + unit_random_below(3000);
		uint32_t	odd = round % 4 == 0 ? 0 : round % 4 == 3 ? n : 1 + n / 40;
		uint64_t   *values = malloc(2 * n * sizeof(uint64_t));
		uint64_t	sum = 0;
		GmArrayRoot root;
		GmArray		ids = {0};
		GmMem	   *mem;

		REQUIRE(values != NULL);
		REQUIRE(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
		gm_array_init(&root, sizeof(int64_t), GM_ARRAY_PAGE);
		REQUIRE(gm_array_attach(mem, &root, &ids) == GM_OK);
		REQUIRE(gm_array_reserve(mem, &ids, n) == GM_OK);
		for (uint32_t i = 0; i < n; i++)
			GM_ARRAY_I64(&ids, i) = (int64_t) i * 10;
		for (uint32_t i = 0; i < odd; i++)
			GM_ARRAY_I64(&ids, unit_random_below(n)) = unit_random_below(n * 10);
		for (uint32_t i = 0; i < n; i++)
		{
			values[i] = (uint64_t) unit_random_below(n) << 32 | i;
			sum += values[i];
		}
		gm_sort_by_id(&ids, values, n, values + n);
		for (uint32_t i = 0; i < n; i++)
		{
			sum -= values[i];
			CHECK(i == 0 || GM_ARRAY_I64(&ids, values[i - 1] >> 32) <=
				  GM_ARRAY_I64(&ids, values[i] >> 32));
		}
		CHECK(sum == 0);
		gm_array_detach(&ids);
		gm_mem_destroy(mem);
		free(values);
	}
}

UNIT_MAIN(UNIT(test_sort), UNIT(test_random), UNIT(test_dense), UNIT(test_bad_values), UNIT(test_budget),
		  UNIT(test_few_rows), UNIT(test_rest), UNIT(test_interrupt))
