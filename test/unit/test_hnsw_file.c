/*-------------------------------------------------------------------------
 *
 * test_hnsw_file.c
 *	  An index of near neighbours written to bytes and read again.
 *
 * What must hold
 *	 same		where nothing has changed, every item has a node with the links,
 *				the level and the code that it had
 *	 changed	items that are gone or have another vector have no node, all
 *				others have; recall stays, before and after the sweep
 *	 refusal	of a file cut off anywhere, with any bit changed, longer, put
 *				together of two, of another index, of other settings
 *	 trust		whatever is in a file with right checksums, the index keeps its
 *				rules, and each node it gives has the code of its item's vector
 *	 moment		an index that changes while it is written gives a file of such a
 *				kind too
 *
 *-------------------------------------------------------------------------
 */
#include "core/hnsw_file.h"
#include "core/hnsw_file_private.h"
#include "unit.h"

#define MOST_DIM	24

typedef struct Bytes
{
	char	   *at;
	size_t		n;
	size_t		room;
	size_t		read;			/* so far */
	uint32_t	writes_left;	/* before one fails; 0: none does */
} Bytes;

/* a set of items; item i has the id 3 i - 50 */
typedef struct Items
{
	uint32_t	n;
	uint32_t	dim;
	GmMetric	metric;
	float	   *vector;
	bool	   *gone;
	bool	   *asked;			/* by the reader that is at work */
	uint32_t   *node;			/* GM_NONE: none */
	uint32_t   *item_of;		/* by node; GM_NONE: nothing */
	uint32_t	node_room;
} Items;

typedef struct Index
{
	GmMem	   *mem;
	GmHnsw	   *hnsw;
	GmHnswWork *work;
} Index;

typedef struct Both
{
	Items	   *items;
	Bytes	   *bytes;
} Both;

static const GmHnswIdentity here = {"cluster 7, graph 1, space 2", 27};

__attribute__((constructor)) static void
choose_kernels(void)
{
	(void) gm_vec_choose(GM_SIMD_AUTO);
}

/*
 * Items
 */
static float
scale_of(const Items *items, uint32_t i)
{
	const float *v = items->vector + (size_t) i * items->dim;
	double		square = 0;

	for (uint32_t k = 0; k < items->dim; k++)
		square += (double) v[k] * v[k];
	return items->metric == GM_METRIC_COSINE ? (float) (1 / sqrt(square)) : 1;
}

/* in clumps, as embeddings are */
static void
some_vector(Items *items, uint32_t i)
{
	float	   *v = items->vector + (size_t) i * items->dim;
	uint32_t	clump = unit_random_below(40);

	for (uint32_t k = 0; k < items->dim; k++)
		v[k] = (float) (sin(clump * 7.3 + k * 1.7) + unit_random_double() - 0.5);
}

static void
items_make(Items *items, uint32_t n, uint32_t dim, GmMetric metric)
{
	memset(items, 0, sizeof(*items));
	items->n = n;
	items->dim = dim;
	items->metric = metric;
	items->vector = malloc((size_t) (n + 1) * dim * sizeof(float));
	items->gone = calloc(n + 1, sizeof(bool));
	items->asked = calloc(n + 1, sizeof(bool));
	items->node = malloc((n + 1) * sizeof(uint32_t));
	items->node_room = 3 * n + 64;
	items->item_of = malloc(items->node_room * sizeof(uint32_t));
	for (uint32_t i = 0; i < n; i++)
	{
		some_vector(items, i);
		items->node[i] = GM_NONE;
	}
	for (uint32_t i = 0; i < items->node_room; i++)
		items->item_of[i] = GM_NONE;
}

static void
items_free(Items *items)
{
	free(items->vector);
	free(items->gone);
	free(items->asked);
	free(items->node);
	free(items->item_of);
}

static void
map(Items *items, uint32_t i, uint32_t node)
{
	items->node[i] = node;
	items->item_of[node] = i;
}

static void
forget_nodes(Items *items)
{
	for (uint32_t i = 0; i < items->n; i++)
	{
		items->node[i] = GM_NONE;
		items->asked[i] = false;
	}
	for (uint32_t i = 0; i < items->node_room; i++)
		items->item_of[i] = GM_NONE;
}

static int64_t
id_of(uint32_t i)
{
	return (int64_t) i * 3 - 50;
}

/* GM_NONE: there is no such item */
static uint32_t
find(const Items *items, int64_t id)
{
	uint32_t	i = id < -50 || id > id_of(items->n) ? GM_NONE : (uint32_t) (id + 50) / 3;

	return i != GM_NONE && i < items->n && id_of(i) == id && !items->gone[i] ? i : GM_NONE;
}

static uint64_t
hash_of(const Items *items, uint32_t i)
{
	return gm_hash_vector(items->vector + (size_t) i * items->dim, items->dim);
}

/*
 * Indexes
 */
static bool
index_make(Index *index, const Items *items, GmCodeKind kind, uint32_t m)
{
	memset(index, 0, sizeof(*index));
	index->work = gm_hnsw_work_create();
	return CHECK(gm_mem_create(4096, 0, NULL, &index->mem) == GM_OK) &&
		CHECK(gm_hnsw_create(index->mem, items->dim, items->metric, kind, m, 60, NULL,
							 &index->hnsw) == GM_OK);
}

static void
index_free(Index *index)
{
	gm_hnsw_work_destroy(index->work);
	gm_hnsw_destroy(index->hnsw);
	gm_mem_destroy(index->mem);
}

static bool
add_item(Index *index, Items *items, uint32_t i)
{
	uint32_t	node;

	if (!CHECK(gm_hnsw_add(index->mem, index->hnsw, index->work,
						   items->vector + (size_t) i * items->dim, scale_of(items, i),
						   (uint64_t) id_of(i), &node) == GM_OK) ||
		!CHECK(gm_hnsw_link(index->hnsw, index->work, node) == GM_OK))
		return false;
	map(items, i, node);
	return true;
}

static bool
add_all(Index *index, Items *items)
{
	for (uint32_t i = 0; i < items->n; i++)
		if (items->node[i] == GM_NONE && !items->gone[i] && !add_item(index, items, i))
			return false;
	return true;
}

static bool
kill_item(Index *index, Items *items, uint32_t i)
{
	uint32_t	node = items->node[i];

	items->node[i] = GM_NONE;
	items->item_of[node] = GM_NONE;
	return CHECK(gm_hnsw_kill(index->mem, index->hnsw, node) == GM_OK);
}

static bool
sweep_all(Index *index)
{
	uint32_t	at = 0;

	while (at != GM_NONE)
		if (!CHECK(gm_hnsw_sweep(index->mem, index->hnsw, index->work, 100, &at) == GM_OK))
			return false;
	return true;
}

static bool
is_sound(Index *index)
{
	uint32_t	node;
	const char *broken = gm_hnsw_check(index->hnsw, NULL, &node);

	if (broken != NULL)
		printf("# node %u: %s\n", node, broken);
	return CHECK(broken == NULL);
}

typedef struct Near
{
	double		distance;
	uint32_t	item;
} Near;

static int
by_distance(const void *a, const void *b)
{
	double		x = ((const Near *) a)->distance;
	double		y = ((const Near *) b)->distance;

	return (x > y) - (x < y);
}

/* of the 10 nearest items that have nodes */
static double
recall(Index *index, const Items *items, uint32_t ef, uint32_t queries)
{
	Near	   *near = malloc((items->n + 1) * sizeof(Near));
	GmHnswHit  *hits = malloc((ef + 1) * sizeof(GmHnswHit));
	uint64_t	found_in = 0;
	uint64_t	wanted = 0;

	for (uint32_t q = 0; q < queries; q++)
	{
		uint32_t	from = unit_random_below(items->n);
		float		v[MOST_DIM];
		const GmQuery *query;
		uint32_t	n = 0;
		uint32_t	found;
		uint64_t	distances;
		bool		gave_up;
		double		square = 0;

		for (uint32_t k = 0; k < items->dim; k++)
		{
			v[k] = items->vector[(size_t) from * items->dim + k] +
				(float) (unit_random_double() - 0.5) / 4;
			square += (double) v[k] * v[k];
		}
		for (uint32_t i = 0; i < items->n; i++)
		{
			const float *x = items->vector + (size_t) i * items->dim;
			double		l2 = 0;
			double		ip = 0;

			if (items->node[i] == GM_NONE)
				continue;
			for (uint32_t k = 0; k < items->dim; k++)
			{
				l2 += ((double) v[k] - x[k]) * ((double) v[k] - x[k]);
				ip += (double) v[k] * x[k];
			}
			near[n++] = (Near) {items->metric == GM_METRIC_L2 ? l2 : -ip * scale_of(items, i), i};
		}
		qsort(near, n, sizeof(Near), by_distance);
		CHECK(gm_hnsw_query(index->hnsw, index->work, v,
							items->metric == GM_METRIC_COSINE ? (float) (1 / sqrt(square)) : 1,
							&query) == GM_OK);
		CHECK(gm_hnsw_search(index->hnsw, index->work, query, ef, NULL, 0, NULL, hits, &found,
							 &distances, &gave_up) == GM_OK);
		for (uint32_t i = 0; i < 10 && i < n; i++)
		{
			wanted++;
			for (uint32_t k = 0; k < found; k++)
				found_in += hits[k].node == items->node[near[i].item];
		}
	}
	free(near);
	free(hits);
	return wanted == 0 ? 1 : (double) found_in / (double) wanted;
}

/*
 * Files
 */
static bool
write_bytes(void *arg, const void *bytes, size_t n)
{
	Bytes	   *to = ((Both *) arg)->bytes;

	if (to->writes_left == 1)
		return false;
	to->writes_left -= to->writes_left > 0;
	if (to->n + n > to->room)
	{
		to->room = 2 * (to->n + n);
		to->at = realloc(to->at, to->room);
	}
	memcpy(to->at + to->n, bytes, n);
	to->n += n;
	return true;
}

static bool
item_at(void *arg, uint32_t node, int64_t *item_id, uint64_t *hash)
{
	const Items *items = ((Both *) arg)->items;
	uint32_t	i = items->item_of[node];

	if (i == GM_NONE)
		return false;
	*item_id = id_of(i);
	*hash = hash_of(items, i);
	return true;
}

static size_t
read_bytes(void *arg, void *bytes, size_t n)
{
	Bytes	   *from = ((Both *) arg)->bytes;
	size_t		have = from->n - from->read < n ? from->n - from->read : n;

	if (have > 0)
		memcpy(bytes, from->at + from->read, have);
	from->read += have;
	return have;
}

static bool
match(void *arg, int64_t item_id, uint64_t hash)
{
	Items	   *items = ((Both *) arg)->items;
	uint32_t	i = find(items, item_id);

	if (i == GM_NONE || items->asked[i] || hash_of(items, i) != hash)
		return false;
	items->asked[i] = true;
	return true;
}

static bool
vector_of(void *arg, int64_t item_id, const float **vector, float *scale)
{
	const Items *items = ((Both *) arg)->items;
	uint32_t	i = find(items, item_id);

	if (i == GM_NONE)
		return false;
	*vector = items->vector + (size_t) i * items->dim;
	*scale = scale_of(items, i);
	return true;
}

static void
put(void *arg, int64_t item_id, uint32_t node)
{
	Items	   *items = ((Both *) arg)->items;

	map(items, find(items, item_id), node);
}

static GmStatus
write_file(Index *index, Items *items, uint64_t stamp, uint32_t most, Bytes *bytes)
{
	Both		both = {items, bytes};
	GmHnswSink	sink = {write_bytes, item_at, &both};
	GmHnswWriter *writer;
	GmStatus	status;
	bool		done = false;

	bytes->n = bytes->read = 0;
	status = gm_hnsw_writer_create(index->hnsw, &here, stamp, &sink, &writer);
	if (status != GM_OK)
		return status;
	while (status == GM_OK && !done)
		status = gm_hnsw_writer_step(writer, index->hnsw, most, &done);
	gm_hnsw_writer_destroy(writer);
	return status;
}

static GmStatus
read_of(Index *index, Items *items, Bytes *bytes, const GmHnswIdentity *identity, uint32_t limit,
		uint32_t most, const char **refusal, uint32_t *nodes)
{
	Both		both = {items, bytes};
	GmHnswSource source = {read_bytes, match, vector_of, put, &both};
	GmHnswReader *reader;
	GmStatus	status;
	bool		done = false;
	uint32_t	matched;

	bytes->read = 0;
	forget_nodes(items);
	status = gm_hnsw_reader_create(index->hnsw, identity, limit, &source, &reader);
	if (status != GM_OK)
		return status;
	while (status == GM_OK && !done)
		status = gm_hnsw_reader_step(reader, index->mem, index->hnsw, most, NULL, &done);
	*refusal = gm_hnsw_reader_refusal(reader);
	gm_hnsw_reader_nodes(reader, nodes, &matched);
	gm_hnsw_reader_destroy(reader);
	if (status == GM_OK)
	{
		uint32_t	mapped = 0;

		for (uint32_t i = 0; i < items->n; i++)
			mapped += items->node[i] != GM_NONE;
		CHECK(mapped == matched && *refusal == NULL);
	}
	return status;
}

static GmStatus
read_file(Index *index, Items *items, Bytes *bytes)
{
	const char *refusal;
	uint32_t	nodes;

	return read_of(index, items, bytes, &here, 3 * items->n + 64, 1 + unit_random_below(500),
				   &refusal, &nodes);
}

/* an index made for the file alone; false: it was not refused, or for no reason */
static bool
is_refused_by(Items *items, Bytes *bytes, const GmHnswIdentity *identity, uint32_t limit, uint32_t m)
{
	Index		index;
	const char *refusal = NULL;
	uint32_t	nodes;
	GmStatus	status;

	if (!index_make(&index, items, GM_CODE_INT8, m))
		return false;
	status = read_of(&index, items, bytes, identity, limit, 1000, &refusal, &nodes);
	index_free(&index);
	return status == GM_BAD_FILE && refusal != NULL;
}

static bool
is_refused(Items *items, Bytes *bytes, const GmHnswIdentity *identity, uint32_t limit)
{
	return is_refused_by(items, bytes, identity, limit, 4);
}

static bool
has_codes_of_items(Index *index, Items *items)
{
	for (uint32_t i = 0; i < items->n; i++)
		if (items->node[i] != GM_NONE &&
			(gm_hnsw_state(index->hnsw, items->node[i]) != GM_HNSW_LINKED ||
			 !gm_hnsw_same(index->hnsw, index->work, items->node[i],
						   items->vector + (size_t) i * items->dim, scale_of(items, i))))
			return false;
	return true;
}

/* each that of a node it is linked to */
static bool
dead_have_codes(const Index *index)
{
	uint32_t	nodes = atomic_load(&gm_hnsw_root(index->hnsw)->hn_nodes);
	size_t		size = gm_hnsw_coder(index->hnsw)->stride;

	for (uint32_t node = 0; node < nodes; node++)
	{
		uint32_t	room;
		const uint32_t *links = gm_hnsw_links(index->hnsw, node, 0, &room);
		uint32_t	i = 0;

		if (gm_hnsw_state(index->hnsw, node) != GM_HNSW_DEAD)
			continue;
		while (i < room && links[i] != GM_NONE &&
			   memcmp(gm_hnsw_code(index->hnsw, node), gm_hnsw_code(index->hnsw, links[i]),
					  size) != 0)
			i++;
		if (i == room || links[i] == GM_NONE)
			return false;
	}
	return true;
}

/* the blocks of a file, for those who change them and set the checksums right */
typedef struct Block
{
	char	   *at;
	FileSection section;
	uint32_t	length;
} Block;

static uint32_t
blocks_of(Bytes *bytes, Block *blocks, uint32_t most)
{
	uint32_t	n = 0;

	for (size_t at = 0; at < bytes->n && n < most;)
	{
		FileBlock	head;

		memcpy(&head, bytes->at + at, sizeof(head));
		blocks[n++] = (Block) {bytes->at + at, (FileSection) head.section, head.length};
		at += sizeof(head) + head.length;
	}
	return n;
}

static void
set_checksum(const Block *block, uint64_t stamp, uint32_t place)
{
	char	   *copy = malloc(sizeof(FileBlock) + block->length);
	FileBlock	head;

	memcpy(copy, block->at, sizeof(FileBlock) + block->length);
	memcpy(&head, copy, sizeof(head));
	head.checksum = block_checksum(copy, stamp, place);
	memcpy(block->at, &head, sizeof(head));
	free(copy);
}

static void
swap_blocks(const Block *a, const Block *b)
{
	for (size_t i = 0; i < sizeof(FileBlock) + a->length; i++)
	{
		char		byte = a->at[i];

		a->at[i] = b->at[i];
		b->at[i] = byte;
	}
}

static bool
small_file(Items *items, Bytes *bytes)
{
	Index		index;
	bool		ok;

	items_make(items, 30, 3, GM_METRIC_L2);
	memset(bytes, 0, sizeof(*bytes));
	ok = index_make(&index, items, GM_CODE_INT8, 4) && add_all(&index, items) &&
		CHECK(write_file(&index, items, 99, 7, bytes) == GM_OK);
	index_free(&index);
	return ok;
}

/*
 * Tests
 */
static bool
same_links(const Index *a, const Index *b, uint32_t nodes)
{
	for (uint32_t node = 0; node < nodes; node++)
		for (uint32_t level = 0; level < GM_HNSW_LEVELS; level++)
		{
			uint32_t	room[2];
			const uint32_t *x = gm_hnsw_links(a->hnsw, node, level, &room[0]);
			const uint32_t *y = gm_hnsw_links(b->hnsw, node, level, &room[1]);

			if ((x == NULL) != (y == NULL))
				return false;
			if (x != NULL && (room[0] != room[1] || memcmp(x, y, room[0] * sizeof(uint32_t)) != 0))
				return false;
		}
	return true;
}

static void
round_trip(uint32_t n, uint32_t dim, GmMetric metric, GmCodeKind kind, uint32_t m)
{
	Items		items;
	Bytes		bytes = {0};
	Index		was;
	Index		is;
	uint64_t	state;
	double		before;

	items_make(&items, n, dim, metric);
	if (index_make(&was, &items, kind, m) && index_make(&is, &items, kind, m) &&
		add_all(&was, &items) &&
		CHECK(write_file(&was, &items, unit_random(), 1 + unit_random_below(2000), &bytes) == GM_OK) &&
		CHECK(read_file(&is, &items, &bytes) == GM_OK))
	{
		for (uint32_t i = 0; i < n; i++)
			CHECK(items.node[i] != GM_NONE);
		CHECK(same_links(&was, &is, n));
		CHECK(has_codes_of_items(&is, &items));
		CHECK(atomic_load(&gm_hnsw_root(is.hnsw)->hn_dead) == 0);
		(void) is_sound(&is);
		state = unit_state;
		before = recall(&was, &items, 60, 100);
		unit_state = state;
		CHECK(recall(&is, &items, 60, 100) > before - 0.01);
	}
	index_free(&was);
	index_free(&is);
	items_free(&items);
	free(bytes.at);
}

static void
test_round_trip(void)
{
	for (int metric = 0; metric < 3; metric++)
		for (int kind = 0; kind < 3; kind++)
			round_trip(1500, 16, (GmMetric) metric, (GmCodeKind) kind, 8);
	round_trip(6000, 24, GM_METRIC_COSINE, GM_CODE_INT8, 16);
	for (uint32_t n = 1; n < 20; n++)
		round_trip(n, 5, GM_METRIC_L2, GM_CODE_INT8, 4);
}

static void
test_changed(void)
{
	Items		items;
	Bytes		bytes = {0};
	Index		was;
	Index		is;
	bool	   *changed;

	items_make(&items, 4000, 16, GM_METRIC_L2);
	changed = calloc(items.n, sizeof(bool));
	REQUIRE(index_make(&was, &items, GM_CODE_INT8, 12) && index_make(&is, &items, GM_CODE_INT8, 12));
	REQUIRE(add_all(&was, &items));
	REQUIRE(write_file(&was, &items, 1, 1000, &bytes) == GM_OK);
	for (uint32_t i = 0; i < items.n; i++)
	{
		uint32_t	which = unit_random_below(20);

		if (which == 0)
			some_vector(&items, i);
		else if (which == 1)
			items.vector[(size_t) i * items.dim + items.dim - 1] += 0.125f;
		changed[i] = which < 3;
		items.gone[i] = which == 2;
	}
	REQUIRE(read_file(&is, &items, &bytes) == GM_OK);
	for (uint32_t i = 0; i < items.n; i++)
		CHECK((items.node[i] == GM_NONE) == changed[i]);
	CHECK(has_codes_of_items(&is, &items));
	CHECK(dead_have_codes(&is));
	(void) is_sound(&is);
	CHECK(recall(&is, &items, 100, 200) > 0.95);
	REQUIRE(sweep_all(&is));
	CHECK(atomic_load(&gm_hnsw_root(is.hnsw)->hn_dead) == 0);
	(void) is_sound(&is);
	CHECK(recall(&is, &items, 100, 200) > 0.95);
	gm_hnsw_reuse(is.hnsw);
	REQUIRE(add_all(&is, &items));
	(void) is_sound(&is);
	CHECK(recall(&is, &items, 100, 200) > 0.95);

	/* all but a third */
	for (uint32_t i = 0; i < items.n; i++)
		if (i % 3 != 0)
			some_vector(&items, i);
	index_free(&is);
	REQUIRE(index_make(&is, &items, GM_CODE_INT8, 12));
	CHECK(read_file(&is, &items, &bytes) == GM_BAD_FILE);
	index_free(&was);
	index_free(&is);
	items_free(&items);
	free(bytes.at);
	free(changed);
}

/* what was dead when it was written is repaired around as well */
static void
test_dead(void)
{
	Items		items;
	Bytes		bytes = {0};
	Index		was;
	Index		is;

	items_make(&items, 3000, 16, GM_METRIC_COSINE);
	REQUIRE(index_make(&was, &items, GM_CODE_F16, 8) && index_make(&is, &items, GM_CODE_F16, 8));
	REQUIRE(add_all(&was, &items));
	for (uint32_t i = 0; i < items.n; i++)
		if (unit_random_below(10) < 4)
		{
			items.gone[i] = true;
			REQUIRE(kill_item(&was, &items, i));
		}
	REQUIRE(write_file(&was, &items, 1, 1000, &bytes) == GM_OK);
	REQUIRE(read_file(&is, &items, &bytes) == GM_OK);
	for (uint32_t i = 0; i < items.n; i++)
		CHECK((items.node[i] == GM_NONE) == items.gone[i]);
	CHECK(atomic_load(&gm_hnsw_root(is.hnsw)->hn_dead) ==
		  atomic_load(&gm_hnsw_root(was.hnsw)->hn_dead));
	REQUIRE(sweep_all(&is));
	(void) is_sound(&is);
	CHECK(recall(&is, &items, 100, 200) > 0.95);
	index_free(&was);
	index_free(&is);
	items_free(&items);
	free(bytes.at);
}

static void
test_cut_off(void)
{
	Items		items;
	Bytes		bytes;
	size_t		n;

	REQUIRE(small_file(&items, &bytes));
	n = bytes.n;
	for (bytes.n = 0; bytes.n < n; bytes.n++)
		if (!CHECK(is_refused(&items, &bytes, &here, 1000)))
			printf("# the first %zu of %zu bytes\n", bytes.n, n);
	CHECK(!is_refused(&items, &bytes, &here, 1000));

	/* and more than there was */
	bytes.at = realloc(bytes.at, n + 1);
	bytes.at[n] = 0;
	bytes.n = n + 1;
	CHECK(is_refused(&items, &bytes, &here, 1000));
	items_free(&items);
	free(bytes.at);
}

static void
test_any_bit(void)
{
	Items		items;
	Bytes		bytes;

	REQUIRE(small_file(&items, &bytes));
	for (size_t i = 0; i < bytes.n; i++)
		for (int bit = 0; bit < 8; bit++)
		{
			bytes.at[i] ^= (char) (1 << bit);
			if (!CHECK(is_refused(&items, &bytes, &here, 1000)))
				printf("# bit %d of byte %zu\n", bit, i);
			bytes.at[i] ^= (char) (1 << bit);
		}
	CHECK(!is_refused(&items, &bytes, &here, 1000));
	items_free(&items);
	free(bytes.at);
}

static void
test_of_another(void)
{
	static const GmHnswIdentity others[] = {
		{"cluster 8, graph 1, space 2", 27}, {"cluster 7, graph 1, space 2", 26},
		{"cluster 7, graph 1, space 2 ", 28}, {"", 0}
	};
	Items		items;
	Items		wider;
	Bytes		bytes;
	Block		blocks[8];
	FileHead	kept;
	FileHead	head;

	REQUIRE(small_file(&items, &bytes));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		CHECK(is_refused(&items, &bytes, &others[i], 1000));
	items.metric = GM_METRIC_IP;
	CHECK(is_refused(&items, &bytes, &here, 1000));
	items.metric = GM_METRIC_L2;
	items_make(&wider, items.n, items.dim + 1, items.metric);
	CHECK(is_refused(&wider, &bytes, &here, 1000));
	items_free(&wider);

	/* each field of the head, with a checksum that is right */
	REQUIRE(blocks_of(&bytes, blocks, 8) >= 4 && blocks[0].section == FILE_HEAD);
	memcpy(&kept, blocks[0].at + sizeof(FileBlock), sizeof(kept));
	for (size_t i = 0; i < sizeof(kept); i++)
	{
		head = kept;
		((char *) &head)[i] ^= 1;
		memcpy(blocks[0].at + sizeof(FileBlock), &head, sizeof(head));
		set_checksum(&blocks[0], head.stamp, 0);
		if (!CHECK(is_refused(&items, &bytes, &here, 1000)))
			printf("# byte %zu of the head\n", i);
	}
	memcpy(blocks[0].at + sizeof(FileBlock), &kept, sizeof(kept));
	set_checksum(&blocks[0], kept.stamp, 0);
	CHECK(!is_refused(&items, &bytes, &here, 1000));

	/* fewer nodes allowed than there are */
	CHECK(is_refused(&items, &bytes, &here, items.n - 1));
	CHECK(!is_refused(&items, &bytes, &here, items.n));
	items_free(&items);
	free(bytes.at);
}

/* blocks of two writings of one index, whose checksums are right */
static void
test_of_two(void)
{
	Items		items;
	Index		index;
	Bytes		one = {0};
	Bytes		two = {0};
	Block		first[8];
	Block		second[8];
	uint32_t	n;

	items_make(&items, 30, 3, GM_METRIC_L2);
	REQUIRE(index_make(&index, &items, GM_CODE_INT8, 4) && add_all(&index, &items));
	CHECK(write_file(&index, &items, 1, 10, &one) == GM_OK);
	CHECK(write_file(&index, &items, 2, 10, &two) == GM_OK);
	n = blocks_of(&one, first, 8);
	REQUIRE(n >= 4 && blocks_of(&two, second, 8) == n && one.n == two.n);
	for (uint32_t i = 0; i < n; i++)
	{
		size_t		size = sizeof(FileBlock) + first[i].length;
		char	   *kept = malloc(size);

		REQUIRE(first[i].length == second[i].length);
		memcpy(kept, first[i].at, size);
		memcpy(first[i].at, second[i].at, size);
		CHECK(is_refused(&items, &one, &here, 1000));
		memcpy(first[i].at, kept, size);
		free(kept);
	}
	CHECK(!is_refused(&items, &one, &here, 1000));
	index_free(&index);
	items_free(&items);
	free(one.at);
	free(two.at);
}

/* a file whose checksums are right, and little else */
static void
test_forged(void)
{
	Items		items;
	Bytes		bytes;
	char	   *kept;
	uint32_t	taken = 0;

	REQUIRE(small_file(&items, &bytes));
	kept = malloc(bytes.n);
	memcpy(kept, bytes.at, bytes.n);
	for (int round = 0; round < 20000; round++)
	{
		Block		blocks[8];
		uint32_t	n;
		uint32_t	changes = 1 + unit_random_below(6);
		Index		index;
		GmStatus	status;

		memcpy(bytes.at, kept, bytes.n);
		n = blocks_of(&bytes, blocks, 8);
		for (uint32_t i = 0; i < changes; i++)
		{
			const Block *block = &blocks[1 + unit_random_below(n - 1)];
			char	   *at = block->at + sizeof(FileBlock) + unit_random_below(block->length);

			*at = unit_random_below(2) == 0 ? (char) unit_random() : (char) (*at ^ 1);
		}
		for (uint32_t i = 1; i < n; i++)
			set_checksum(&blocks[i], 99, i);
		REQUIRE(index_make(&index, &items, GM_CODE_INT8, 4));
		status = read_file(&index, &items, &bytes);
		CHECK(status == GM_OK || status == GM_BAD_FILE);
		if (status == GM_OK)
		{
			taken++;
			CHECK(has_codes_of_items(&index, &items));
			if (!is_sound(&index))
				printf("# round %d\n", round);
			if (round % 16 == 0)
			{
				(void) recall(&index, &items, 10, 1);
				CHECK(sweep_all(&index) && add_all(&index, &items) && is_sound(&index));
			}
		}
		index_free(&index);
	}
	CHECK(taken > 1000);
	items_free(&items);
	free(bytes.at);
	free(kept);
}

/* what a number claims, where checksums are right */
static void
test_claims(void)
{
	Items		items;
	Bytes		bytes;
	Block		blocks[8];
	char	   *kept;
	uint32_t	n;
	FileHead	head;
	uint32_t	count;
	char	   *at;

	REQUIRE(small_file(&items, &bytes));
	kept = malloc(bytes.n);
	memcpy(kept, bytes.at, bytes.n);
	n = blocks_of(&bytes, blocks, 8);
	REQUIRE(n == 4 && blocks[2].section == FILE_LINKS && blocks[3].section == FILE_END);

	/* another number of nodes */
	at = blocks[3].at + sizeof(FileBlock);
	memcpy(&count, at, sizeof(count));
	CHECK(count == items.n);
	count++;
	memcpy(at, &count, sizeof(count));
	set_checksum(&blocks[3], 99, 3);
	CHECK(is_refused(&items, &bytes, &here, 1000));

	/* more links than a node has room for: those of 4, read for 2 */
	memcpy(bytes.at, kept, bytes.n);
	memcpy(&head, blocks[0].at + sizeof(FileBlock), sizeof(head));
	head.m = 2;
	memcpy(blocks[0].at + sizeof(FileBlock), &head, sizeof(head));
	set_checksum(&blocks[0], 99, 0);
	CHECK(is_refused_by(&items, &bytes, &here, 1000, 2));

	/* all nodes at the highest level, without links, which costs a file 17 bytes each */
	memcpy(bytes.at, kept, bytes.n);
	REQUIRE(blocks[2].length >= items.n * (1 + GM_HNSW_LEVELS));
	bytes.n -= blocks[2].length - items.n * (1 + GM_HNSW_LEVELS);
	blocks[2].length = items.n * (1 + GM_HNSW_LEVELS);
	memcpy(blocks[2].at + offsetof(FileBlock, length), &blocks[2].length, sizeof(uint32_t));
	at = blocks[2].at + sizeof(FileBlock);
	for (uint32_t i = 0; i < items.n; i++)
	{
		at[0] = GM_HNSW_LEVELS - 1;
		memset(at + 1, 0, GM_HNSW_LEVELS);
		at += 1 + GM_HNSW_LEVELS;
	}
	set_checksum(&blocks[2], 99, 2);
	memcpy(at, kept + (blocks[3].at - bytes.at), sizeof(FileBlock) + blocks[3].length);
	CHECK(is_refused(&items, &bytes, &here, 1000));

	/* all at level 0 is well */
	at = blocks[2].at + sizeof(FileBlock);
	for (uint32_t i = 0; i < items.n; i++)
		memset(at + i * 2, 0, 2);
	blocks[2].length = items.n * 2;
	memcpy(blocks[2].at + offsetof(FileBlock, length), &blocks[2].length, sizeof(uint32_t));
	set_checksum(&blocks[2], 99, 2);
	memcpy(at + blocks[2].length, kept + (blocks[3].at - bytes.at),
		   sizeof(FileBlock) + blocks[3].length);
	bytes.n = (size_t) (at + blocks[2].length - bytes.at) + sizeof(FileBlock) + blocks[3].length;
	CHECK(!is_refused(&items, &bytes, &here, 1000));
	items_free(&items);
	free(bytes.at);
	free(kept);
}

/* an item twice in the file has one node */
static void
test_twice(void)
{
	Items		items;
	Bytes		bytes;
	Block		blocks[8];
	Index		index;
	uint32_t	n;

	REQUIRE(small_file(&items, &bytes));
	n = blocks_of(&bytes, blocks, 8);
	REQUIRE(n >= 3 && blocks[1].section == FILE_ITEMS);
	memcpy(blocks[1].at + sizeof(FileBlock) + sizeof(FileItem), blocks[1].at + sizeof(FileBlock),
		   sizeof(FileItem));
	set_checksum(&blocks[1], 99, 1);
	REQUIRE(index_make(&index, &items, GM_CODE_INT8, 4));
	CHECK(read_file(&index, &items, &bytes) == GM_OK);
	CHECK(items.node[0] == 0 && items.node[1] == GM_NONE && items.node[2] == 2);
	CHECK(gm_hnsw_state(index.hnsw, 1) == GM_HNSW_DEAD);
	(void) is_sound(&index);
	index_free(&index);
	items_free(&items);
	free(bytes.at);
}

/* kills, sweeps, and nodes made anew between the steps of a writing */
static void
test_moment(void)
{
	for (int round = 0; round < 6; round++)
	{
		Items		items;
		Bytes		bytes = {0};
		Both		both = {&items, &bytes};
		GmHnswSink	sink = {write_bytes, item_at, &both};
		GmHnswWriter *writer;
		Index		was;
		Index		is;
		uint32_t	spare;
		bool		done = false;

		items_make(&items, 2500, 12, GM_METRIC_L2);
		for (uint32_t i = 2000; i < items.n; i++)
			items.gone[i] = true;
		REQUIRE(index_make(&was, &items, GM_CODE_INT8, 8) &&
				index_make(&is, &items, GM_CODE_INT8, 8) && add_all(&was, &items));
		spare = 2000;
		REQUIRE(gm_hnsw_writer_create(was.hnsw, &here, unit_random(), &sink, &writer) == GM_OK);
		for (int step = 0; !done; step++)
		{
			REQUIRE(gm_hnsw_writer_step(writer, was.hnsw, 100, &done) == GM_OK);
			for (int i = 0; i < 8 && spare < items.n; i++, spare++)
			{
				uint32_t	victim = unit_random_below(2000);

				if (items.node[victim] != GM_NONE)
				{
					items.gone[victim] = true;
					REQUIRE(kill_item(&was, &items, victim));
				}
				items.gone[spare] = false;
				REQUIRE(add_item(&was, &items, spare));
			}
			if (step % 8 == 3)
			{
				REQUIRE(sweep_all(&was));
				gm_hnsw_reuse(was.hnsw);
			}
		}
		gm_hnsw_writer_destroy(writer);
		REQUIRE(read_file(&is, &items, &bytes) == GM_OK);
		for (uint32_t i = 0; i < items.n; i++)
			CHECK(!items.gone[i] || items.node[i] == GM_NONE);
		CHECK(has_codes_of_items(&is, &items));
		(void) is_sound(&is);
		REQUIRE(sweep_all(&is));
		(void) is_sound(&is);
		CHECK(recall(&is, &items, 80, 200) > 0.93);
		gm_hnsw_reuse(is.hnsw);
		REQUIRE(add_all(&is, &items));
		CHECK(recall(&is, &items, 80, 200) > 0.95);
		index_free(&was);
		index_free(&is);
		items_free(&items);
		free(bytes.at);
	}
}

/* a node is freed and another item's, and its item has another node, before its links are written */
static void
test_reused(void)
{
	Items		items;
	Bytes		bytes = {0};
	Both		both = {&items, &bytes};
	GmHnswSink	sink = {write_bytes, item_at, &both};
	GmHnswWriter *writer;
	Index		was;
	Index		is;
	uint32_t	reused;
	bool		done = false;

	items_make(&items, 201, 4, GM_METRIC_L2);
	items.gone[200] = true;
	REQUIRE(index_make(&was, &items, GM_CODE_INT8, 4) && index_make(&is, &items, GM_CODE_INT8, 4));
	REQUIRE(add_all(&was, &items));
	REQUIRE(gm_hnsw_writer_create(was.hnsw, &here, 1, &sink, &writer) == GM_OK);
	REQUIRE(gm_hnsw_writer_step(writer, was.hnsw, 200, &done) == GM_OK && !done);
	reused = items.node[7];
	REQUIRE(kill_item(&was, &items, 7) && sweep_all(&was));
	gm_hnsw_reuse(was.hnsw);
	items.gone[200] = false;
	REQUIRE(add_item(&was, &items, 200) && add_item(&was, &items, 7));
	CHECK(items.node[200] == reused && items.node[7] != reused);
	while (!done)
		REQUIRE(gm_hnsw_writer_step(writer, was.hnsw, 200, &done) == GM_OK);
	gm_hnsw_writer_destroy(writer);
	REQUIRE(read_file(&is, &items, &bytes) == GM_OK);
	for (uint32_t i = 0; i < items.n; i++)
		CHECK((items.node[i] == GM_NONE) == (i == 7 || i == 200));
	(void) is_sound(&is);
	index_free(&was);
	index_free(&is);
	items_free(&items);
	free(bytes.at);
}

static void
test_failures(void)
{
	Items		items;
	Bytes		bytes = {0};
	Block		blocks[3];
	Index		was;

	items_make(&items, 9000, 4, GM_METRIC_L2);
	REQUIRE(index_make(&was, &items, GM_CODE_INT8, 4) && add_all(&was, &items));
	for (bytes.writes_left = 2; bytes.writes_left < 5; bytes.writes_left++)
	{
		uint32_t	left = bytes.writes_left;

		CHECK(write_file(&was, &items, 1, 1000, &bytes) == GM_BAD_FILE);
		bytes.writes_left = left;
	}
	bytes.writes_left = 0;
	REQUIRE(write_file(&was, &items, 1, 1000, &bytes) == GM_OK);

	/* two blocks of it in each other's place */
	REQUIRE(blocks_of(&bytes, blocks, 3) == 3 && blocks[2].section == FILE_ITEMS &&
			blocks[1].length == blocks[2].length);
	swap_blocks(&blocks[1], &blocks[2]);
	CHECK(is_refused(&items, &bytes, &here, 100000));
	swap_blocks(&blocks[1], &blocks[2]);
	CHECK(!is_refused(&items, &bytes, &here, 100000));

	/* the image's memory is full */
	for (size_t limit = 16384; limit < 1048576; limit *= 2)
	{
		Index		is = {NULL, NULL, gm_hnsw_work_create()};

		REQUIRE(gm_mem_create(4096, limit, NULL, &is.mem) == GM_OK);
		if (gm_hnsw_create(is.mem, 4, GM_METRIC_L2, GM_CODE_INT8, 4, 60, NULL, &is.hnsw) == GM_OK)
			CHECK(read_file(&is, &items, &bytes) == GM_OVER_BUDGET);
		index_free(&is);
	}
	index_free(&was);
	items_free(&items);
	free(bytes.at);
}

/* an index of nothing can be written; there is nothing to be had of it */
static void
test_nothing(void)
{
	Items		items;
	Bytes		bytes = {0};
	Index		index;

	items_make(&items, 5, 3, GM_METRIC_L2);
	REQUIRE(index_make(&index, &items, GM_CODE_INT8, 4));
	CHECK(write_file(&index, &items, 1, 10, &bytes) == GM_OK);
	CHECK(bytes.n > 0 && is_refused(&items, &bytes, &here, 1000));
	index_free(&index);
	items_free(&items);
	free(bytes.at);
}

UNIT_MAIN(UNIT(test_round_trip), UNIT(test_changed), UNIT(test_dead), UNIT(test_cut_off),
		  UNIT(test_any_bit), UNIT(test_of_another), UNIT(test_of_two), UNIT(test_forged),
		  UNIT(test_claims), UNIT(test_twice), UNIT(test_moment), UNIT(test_reused),
		  UNIT(test_failures), UNIT(test_nothing))
