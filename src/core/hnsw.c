/*-------------------------------------------------------------------------
 *
 * hnsw.c
 *	  The HNSW graph's memory: chunks, nodes and their lives, handles.
 *
 * Tables of chunks are replaced by larger ones as they grow.  Handles of older
 * views are attached from the tables before, so these stay until the index goes.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>

#include "core/hnsw_private.h"

#define CHUNK_BYTES		((size_t) 1 << 20)
#define CHUNK_NODES		4096	/* at most */
#define FIRST_TABLE		16		/* chunks */
#define FIRST_FREE		256
#define NEAR			1e-4f	/* relative: more than kernels differ by */

/*
 * Sizes
 */
static size_t
code_bytes(const GmHnsw *h)
{
	return ((size_t) h->coder.stride << h->shift) + GM_CODE_SLACK;
}

static size_t
link_bytes(const GmHnsw *h)
{
	return (2 * h->m * sizeof(uint32_t)) << h->shift;
}

static size_t
node_bytes(const GmHnsw *h)
{
	return sizeof(GmHnswNode) << h->shift;
}

static size_t
upper_bytes(const GmHnsw *h)
{
	return ((size_t) h->m * sizeof(uint32_t)) << h->upper_shift;
}

static uint32_t
upper_shift(uint32_t m)
{
	uint32_t	shift = 4;

	while (((size_t) m * sizeof(uint32_t)) << (shift + 1) <= UPPER_BYTES)
		shift++;
	return shift;
}

static uint32_t
chunk_shift(uint32_t stride)
{
	uint32_t	shift = 0;

	while (((size_t) stride << (shift + 1)) <= CHUNK_BYTES && (2u << shift) <= CHUNK_NODES)
		shift++;
	return shift;
}

static uint32_t
chunks_of(const GmHnsw *h, uint32_t nodes)
{
	return (uint32_t) (((uint64_t) nodes + h->mask) >> h->shift);
}

static uint32_t
uppers_of(const GmHnsw *h, uint32_t blocks)
{
	return (uint32_t) (((uint64_t) blocks + (1u << h->upper_shift) - 1) >> h->upper_shift);
}

/*
 * Handles
 */
static bool
grow(void *p, size_t elements, size_t bytes)
{
	void	  **at = p;
	void	   *more = realloc(*at, elements * bytes);

	if (more == NULL)
		return false;
	*at = more;
	return true;
}

static GmStatus
table_room(GmHnsw *h, uint32_t chunks, uint32_t uppers)
{
	if (chunks > h->chunk_room)
	{
		uint32_t	room = chunks + chunks / 4 + FIRST_TABLE;

		if (!grow(&h->code, room, sizeof(char *)) ||
			!grow(&h->link, room, sizeof(GmHnswLink *)) ||
			!grow(&h->node, room, sizeof(GmHnswNode *)))
			return GM_NO_MEMORY;
		h->chunk_room = room;
	}
	if (uppers > h->upper_room)
	{
		uint32_t	room = uppers + uppers / 4 + FIRST_TABLE;

		if (!grow(&h->upper, room, sizeof(GmHnswLink *)))
			return GM_NO_MEMORY;
		h->upper_room = room;
	}
	return GM_OK;
}

static void
chunk_addresses(GmHnsw *h, const GmHnswChunk *table, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
	{
		h->code[i] = gm_mem_ptr(h->mem, table[i].codes);
		h->link[i] = gm_mem_ptr(h->mem, table[i].links);
		h->node[i] = gm_mem_ptr(h->mem, table[i].nodes);
	}
	h->chunks = to;
}

static void
upper_addresses(GmHnsw *h, const GmRef *table, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		h->upper[i] = gm_mem_ptr(h->mem, table[i]);
	h->uppers = to;
}

static void
set_root(GmHnsw *h, GmRef ref)
{
	GmHnswRoot *root = gm_mem_ptr(h->mem, ref);

	h->ref = ref;
	h->root = root;
	gm_coder_init(&h->coder, root->hn_dim, (GmMetric) root->hn_metric,
				  (GmCodeKind) root->hn_kind);
	gm_coder_centre(&h->coder,
					root->hn_centre == 0 ? NULL : gm_mem_ptr(h->mem, root->hn_centre));
	h->m = root->hn_m;
	h->shift = root->hn_chunk;
	h->mask = (1u << h->shift) - 1;
	h->upper_shift = upper_shift(h->m);
}

/* chunks do not move while an index lives, but it may be another one's turn */
GmStatus
gm_hnsw_reattach(GmHnsw *h, const GmHnswView *view)
{
	uint32_t	chunks;
	uint32_t	uppers;

	set_root(h, view->root);
	h->nodes = 0;
	h->upper_blocks = 0;
	h->entry = view->entry;
	chunks = chunks_of(h, view->nodes);
	uppers = uppers_of(h, view->upper_blocks);
	GM_TRY(table_room(h, chunks, uppers));
	chunk_addresses(h, gm_mem_ptr(h->mem, view->chunks), 0, chunks);
	upper_addresses(h, gm_mem_ptr(h->mem, view->uppers), 0, uppers);
	h->nodes = view->nodes;
	h->upper_blocks = view->upper_blocks;
	return GM_OK;
}

GmStatus
gm_hnsw_attach_writer(GmMem *mem, GmRef root, GmHnsw **hnsw)
{
	GmHnsw	   *h = calloc(1, sizeof(GmHnsw));
	GmStatus	status;

	if (h == NULL)
		return GM_NO_MEMORY;
	h->mem = mem;
	h->entry = GM_HNSW_NO_ENTRY;
	set_root(h, root);
	status = gm_hnsw_refresh(h);
	if (status != GM_OK)
	{
		gm_hnsw_destroy(h);
		return status;
	}
	*hnsw = h;
	return GM_OK;
}

GmStatus
gm_hnsw_attach(const GmMem *mem, const GmHnswView *view, GmHnsw **hnsw)
{
	GmHnsw	   *h = calloc(1, sizeof(GmHnsw));
	GmStatus	status;

	if (h == NULL)
		return GM_NO_MEMORY;
	h->mem = mem;
	status = gm_hnsw_reattach(h, view);
	if (status != GM_OK)
	{
		gm_hnsw_destroy(h);
		return status;
	}
	*hnsw = h;
	return GM_OK;
}

void
gm_hnsw_destroy(GmHnsw *h)
{
	if (h == NULL)
		return;
	free(h->code);
	free(h->link);
	free(h->node);
	free(h->upper);
	free(h);
}

GmStatus
gm_hnsw_refresh(GmHnsw *h)
{
	uint32_t	chunks = h->root->hn_chunk_count;
	uint32_t	uppers = h->root->hn_upper_count;

	if (chunks > h->chunks || uppers > h->uppers)
	{
		GM_TRY(table_room(h, chunks, uppers));
		chunk_addresses(h, gm_mem_ptr(h->mem, h->root->hn_chunks), h->chunks, chunks);
		upper_addresses(h, gm_mem_ptr(h->mem, h->root->hn_uppers), h->uppers, uppers);
	}
	h->nodes = atomic_load_explicit(&h->root->hn_nodes, memory_order_relaxed);
	h->upper_blocks = h->root->hn_upper_next;
	return GM_OK;
}

void
gm_hnsw_view(const GmHnsw *h, GmHnswView *view)
{
	*view = (GmHnswView)
	{
		.root = h->ref,
		.chunks = h->root->hn_chunks,
		.uppers = h->root->hn_uppers,
		.nodes = atomic_load_explicit(&h->root->hn_nodes, memory_order_relaxed),
		.upper_blocks = h->root->hn_upper_next,
		.entry = atomic_load_explicit(&h->root->hn_entry, memory_order_acquire)
	};
}

static bool
may_start(const GmHnsw *h, uint64_t entry, uint32_t *level, uint32_t *node)
{
	uint32_t	which = (uint32_t) entry;
	GmHnswState state;

	if (entry == GM_HNSW_NO_ENTRY || which >= h->nodes)
		return false;
	state = gm_hnsw_state_at(h, which);
	if (state != GM_HNSW_LINKED && state != GM_HNSW_DEAD)
		return false;
	*node = which;
	*level = gm_hnsw_node_at(h, which)->level;
	while (*level > 0 && gm_hnsw_block_at(h, which, *level) == NULL)
		(*level)--;
	return true;
}

/*
 * The entry of this moment where the view has it, else the view's.  Both may
 * fail one: the view's was swept and a new node became the entry.
 */
bool
gm_hnsw_start(const GmHnsw *h, uint32_t *level, uint32_t *node)
{
	uint64_t	now = atomic_load_explicit(&h->root->hn_entry, memory_order_acquire);

	if (may_start(h, now, level, node) || may_start(h, h->entry, level, node))
		return true;
	if (now == GM_HNSW_NO_ENTRY)
		return false;
	for (uint32_t i = 0; i < h->nodes; i++)
		if (gm_hnsw_state_at(h, i) == GM_HNSW_LINKED)
			return may_start(h, gm_hnsw_entry(0, i), level, node);
	return false;
}

/*
 * Making and ending an index
 */
static GmStatus
fill_root(GmMem *mem, GmHnsw *h, const float *centre)
{
	GmHnswRoot *root = h->root;

	h->m = root->hn_m;
	gm_coder_init(&h->coder, root->hn_dim, (GmMetric) root->hn_metric,
				  (GmCodeKind) root->hn_kind);
	root->hn_chunk = chunk_shift(h->coder.stride);
	for (int i = 0; i < GM_HNSW_LEVELS; i++)
		root->hn_upper_free[i] = GM_NONE;
	atomic_store_explicit(&root->hn_entry, GM_HNSW_NO_ENTRY, memory_order_relaxed);
	GM_TRY(gm_mem_alloc(mem, FIRST_TABLE * sizeof(GmHnswChunk), &root->hn_chunks));
	root->hn_chunk_room = FIRST_TABLE;
	GM_TRY(gm_mem_alloc(mem, FIRST_TABLE * sizeof(GmRef), &root->hn_uppers));
	root->hn_upper_room = FIRST_TABLE;
	GM_TRY(gm_mem_alloc(mem, FIRST_FREE * sizeof(uint32_t), &root->hn_free_list));
	root->hn_free_room = FIRST_FREE;
	if (centre != NULL)
	{
		GM_TRY(gm_mem_alloc(mem, root->hn_dim * sizeof(float), &root->hn_centre));
		memcpy(gm_mem_ptr(mem, root->hn_centre), centre, root->hn_dim * sizeof(float));
	}
	set_root(h, h->ref);
	return GM_OK;
}

GmStatus
gm_hnsw_create(GmMem *mem, uint32_t dim, GmMetric metric, GmCodeKind kind, uint32_t m,
			   uint32_t ef_construction, const float *centre, GmHnsw **hnsw)
{
	GmStatus	status;
	GmHnsw	   *h;

	if (dim < 1 || dim > GM_VEC_MAX_DIM)
		return GM_BAD_DIM;
	if (m < 2 || m > GM_HNSW_MOST_M || ef_construction < 1)
		return GM_BAD_VALUE;
	h = calloc(1, sizeof(GmHnsw));
	if (h == NULL)
		return GM_NO_MEMORY;
	h->mem = mem;
	status = gm_mem_alloc(mem, sizeof(GmHnswRoot), &h->ref);
	if (status == GM_OK)
	{
		h->root = gm_mem_ptr(mem, h->ref);
		h->root->hn_dim = dim;
		h->root->hn_metric = (uint8_t) metric;
		h->root->hn_kind = (uint8_t) kind;
		h->root->hn_m = (uint16_t) m;
		h->root->hn_ef_construction = ef_construction;
		h->entry = GM_HNSW_NO_ENTRY;
		status = fill_root(mem, h, centre);
		if (status != GM_OK)
			(void) gm_hnsw_free(mem, h);
	}
	if (status != GM_OK)
	{
		gm_hnsw_destroy(h);
		return status;
	}
	*hnsw = h;
	return GM_OK;
}

static void
free_tables(GmMem *mem, const GmRef *old, uint32_t room, size_t bytes)
{
	for (uint32_t i = 0; i < GM_HNSW_TABLES && ((uint32_t) FIRST_TABLE << i) < room; i++)
		gm_mem_retire(mem, old[i], ((size_t) FIRST_TABLE << i) * bytes);
}

GmStatus
gm_hnsw_free(GmMem *mem, GmHnsw *h)
{
	GmHnswRoot *root = h->root;

	/* a fork does not own it, and its writer may be adding chunks */
	if ((h->ref >> GM_MEM_OFFSET_BITS) < mem->first)
		return GM_OK;
	if (root->hn_chunks != 0)
	{
		const GmHnswChunk *chunk = gm_mem_ptr(mem, root->hn_chunks);

		for (uint32_t i = 0; i < root->hn_chunk_count; i++)
		{
			gm_mem_retire(mem, chunk[i].codes, code_bytes(h));
			gm_mem_retire(mem, chunk[i].links, link_bytes(h));
			gm_mem_retire(mem, chunk[i].nodes, node_bytes(h));
		}
		gm_mem_retire(mem, root->hn_chunks, root->hn_chunk_room * sizeof(GmHnswChunk));
	}
	if (root->hn_uppers != 0)
	{
		const GmRef *upper = gm_mem_ptr(mem, root->hn_uppers);

		for (uint32_t i = 0; i < root->hn_upper_count; i++)
			gm_mem_retire(mem, upper[i], upper_bytes(h));
		gm_mem_retire(mem, root->hn_uppers, root->hn_upper_room * sizeof(GmRef));
	}
	free_tables(mem, root->hn_old_chunks, root->hn_chunk_room, sizeof(GmHnswChunk));
	free_tables(mem, root->hn_old_uppers, root->hn_upper_room, sizeof(GmRef));
	gm_mem_retire(mem, root->hn_free_list, root->hn_free_room * sizeof(uint32_t));
	gm_mem_retire(mem, root->hn_centre, root->hn_dim * sizeof(float));
	gm_mem_retire(mem, h->ref, sizeof(GmHnswRoot));
	return GM_OK;
}

/*
 * Looking
 */
GmRef
gm_hnsw_ref(const GmHnsw *h)
{
	return h->ref;
}

const GmCoder *
gm_hnsw_coder(const GmHnsw *h)
{
	return &h->coder;
}

const GmHnswRoot *
gm_hnsw_root(const GmHnsw *h)
{
	return h->root;
}

const void *
gm_hnsw_code(const GmHnsw *h, uint32_t node)
{
	return gm_hnsw_code_at(h, node);
}

GmHnswState
gm_hnsw_state(const GmHnsw *h, uint32_t node)
{
	return gm_hnsw_state_at(h, node);
}

void
gm_hnsw_bytes(const GmHnsw *h, uint64_t *codes, uint64_t *links, uint64_t *total)
{
	const GmHnswRoot *root = h->root;
	uint64_t	chunks = root->hn_chunk_count;
	uint64_t	uppers = root->hn_upper_count;

	*codes = chunks * code_bytes(h);
	*links = chunks * link_bytes(h) + uppers * upper_bytes(h);
	/* tables before these are together as large as these, less one */
	*total = *codes + *links + chunks * node_bytes(h) + sizeof(GmHnswRoot) +
		2 * (root->hn_chunk_room * sizeof(GmHnswChunk) + root->hn_upper_room * sizeof(GmRef)) +
		root->hn_free_room * sizeof(uint32_t) +
		(root->hn_centre == 0 ? 0 : root->hn_dim * sizeof(float));
}

/*
 * Making nodes
 */

/* a table twice as large; the old one stays for older views */
static GmStatus
double_table(GmMem *mem, GmRef *table, uint32_t *room, GmRef *old, size_t bytes)
{
	uint32_t	which = 0;
	GmRef		larger;

	while (((uint32_t) FIRST_TABLE << which) < *room)
		which++;
	GM_TRY(gm_mem_alloc(mem, (size_t) *room * 2 * bytes, &larger));
	memcpy(gm_mem_ptr(mem, larger), gm_mem_ptr(mem, *table), *room * bytes);
	old[which] = *table;
	*table = larger;
	*room *= 2;
	return GM_OK;
}

static void
no_links(GmHnswLink *link, size_t n)
{
	for (size_t i = 0; i < n; i++)
		atomic_store_explicit(&link[i], GM_NONE, memory_order_relaxed);
}

static GmStatus
add_chunk(GmMem *mem, GmHnsw *h)
{
	GmHnswRoot *root = h->root;
	GmHnswChunk chunk = {0};
	GmStatus	status;

	if (h->chunks == root->hn_chunk_room)
		GM_TRY(double_table(mem, &root->hn_chunks, &root->hn_chunk_room, root->hn_old_chunks,
							sizeof(GmHnswChunk)));
	GM_TRY(table_room(h, h->chunks + 1, h->uppers));
	status = gm_mem_alloc(mem, code_bytes(h), &chunk.codes);
	if (status == GM_OK)
		status = gm_mem_alloc(mem, link_bytes(h), &chunk.links);
	if (status == GM_OK)
		status = gm_mem_alloc(mem, node_bytes(h), &chunk.nodes);
	if (status != GM_OK)
	{
		gm_mem_free(mem, chunk.codes, code_bytes(h));
		gm_mem_free(mem, chunk.links, link_bytes(h));
		return status;
	}
	no_links(gm_mem_ptr(mem, chunk.links), (size_t) 2 * h->m << h->shift);
	((GmHnswChunk *) gm_mem_ptr(mem, root->hn_chunks))[h->chunks] = chunk;
	chunk_addresses(h, gm_mem_ptr(mem, root->hn_chunks), h->chunks, h->chunks + 1);
	root->hn_chunk_count++;
	return GM_OK;
}

static GmStatus
add_upper(GmMem *mem, GmHnsw *h)
{
	GmHnswRoot *root = h->root;
	GmRef		ref;

	if (h->uppers == root->hn_upper_room)
		GM_TRY(double_table(mem, &root->hn_uppers, &root->hn_upper_room, root->hn_old_uppers,
							sizeof(GmRef)));
	GM_TRY(table_room(h, h->chunks, h->uppers + 1));
	GM_TRY(gm_mem_alloc(mem, upper_bytes(h), &ref));
	((GmRef *) gm_mem_ptr(mem, root->hn_uppers))[h->uppers] = ref;
	upper_addresses(h, gm_mem_ptr(mem, root->hn_uppers), h->uppers, h->uppers + 1);
	root->hn_upper_count++;
	return GM_OK;
}

/* consecutive blocks for the levels above 0 */
static GmStatus
take_upper(GmMem *mem, GmHnsw *h, uint32_t level, uint32_t *block)
{
	GmHnswRoot *root = h->root;
	uint32_t	blocks = 1u << h->upper_shift;
	uint32_t	first = root->hn_upper_free[level];
	uint32_t	left;

	*block = GM_NONE;
	if (level == 0)
		return GM_OK;
	if (first != GM_NONE)
	{
		*block = first;
		root->hn_upper_free[level] = gm_hnsw_load(gm_hnsw_upper_at(h, first));
	}
	else
	{
		/* they lie in one chunk */
		left = (blocks - (root->hn_upper_next & (blocks - 1))) & (blocks - 1);
		first = root->hn_upper_next + (left < level ? left : 0);
		if (uppers_of(h, first + level) > h->uppers)
			GM_TRY(add_upper(mem, h));
		*block = first;
		root->hn_upper_next = first + level;
		h->upper_blocks = root->hn_upper_next;
	}
	no_links(gm_hnsw_upper_at(h, *block), (size_t) level * h->m);
	return GM_OK;
}

/* the links of a swept node are nobody's, but a check may be looking */
static void
give_upper(GmHnsw *h, GmHnswNode *n)
{
	uint32_t	block = atomic_load_explicit(&n->upper, memory_order_relaxed);

	if (block == GM_NONE)
		return;
	gm_hnsw_store(gm_hnsw_upper_at(h, block), h->root->hn_upper_free[n->level]);
	h->root->hn_upper_free[n->level] = block;
	atomic_store_explicit(&n->upper, GM_NONE, memory_order_relaxed);
}

static uint32_t *
free_list(GmMem *mem, const GmHnsw *h)
{
	return gm_mem_ptr(mem == NULL ? h->mem : mem, h->root->hn_free_list);
}

GmStatus
gm_hnsw_take_node(GmMem *mem, GmHnsw *h, uint32_t level, uint32_t *node)
{
	GmHnswRoot *root = h->root;
	uint32_t	nodes = atomic_load_explicit(&root->hn_nodes, memory_order_relaxed);
	uint32_t	block;
	GmHnswNode *n;

	if (root->hn_free == 0)
	{
		if (nodes == GM_HNSW_MOST_NODES)
			return GM_TOO_MANY;
		if (chunks_of(h, nodes + 1) > h->chunks)
			GM_TRY(add_chunk(mem, h));
	}
	GM_TRY(take_upper(mem, h, level, &block));
	if (root->hn_free > 0)
	{
		uint32_t   *list = free_list(mem, h);

		*node = list[--root->hn_free];
		/* those that wait for readers close up */
		list[root->hn_free] = list[root->hn_free + root->hn_swept];
		no_links(gm_hnsw_ground_at(h, *node), 2 * h->m);
	}
	else
		*node = nodes;
	n = gm_hnsw_node_at(h, *node);
	n->level = (uint8_t) level;
	n->sweep = 0;
	atomic_store_explicit(&n->upper, block, memory_order_relaxed);
	return GM_OK;
}

void
gm_hnsw_announce(GmHnsw *h, uint32_t node, GmHnswState state)
{
	GmHnswRoot *root = h->root;

	atomic_store_explicit(&gm_hnsw_node_at(h, node)->state, (uint8_t) state,
						  memory_order_release);
	if (node >= h->nodes)
	{
		h->nodes = node + 1;
		atomic_store_explicit(&root->hn_nodes, node + 1, memory_order_release);
	}
}

static uint64_t
mixed(uint64_t a)
{
	a += UINT64_C(0x9e3779b97f4a7c15);
	a = (a ^ (a >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	a = (a ^ (a >> 27)) * UINT64_C(0x94d049bb133111eb);
	return a ^ (a >> 31);
}

/* level l or higher with probability m^-l */
static uint32_t
random_level(uint32_t m, uint64_t seed)
{
	uint64_t	random = mixed(seed);
	uint32_t	level = 0;

	while (level < GM_HNSW_LEVELS - 1 && random <= UINT64_MAX / m)
	{
		level++;
		random = mixed(random);
	}
	return level;
}

GmStatus
gm_hnsw_add(GmMem *mem, GmHnsw *h, GmHnswWork *w, const float *vector, float scale,
			uint64_t seed, uint32_t *node)
{
	GmStatus	status;

	GM_TRY(gm_hnsw_refresh(h));
	GM_TRY(gm_hnsw_work_ready(h, w, 1));
	gm_hnsw_begin_change(h);
	status = gm_hnsw_take_node(mem, h, random_level(h->m, seed), node);
	if (status == GM_OK)
	{
		gm_code_encode(&h->coder, vector, scale, w->own->work,
					   (char *) gm_hnsw_code_at(h, *node));
		gm_hnsw_announce(h, *node, GM_HNSW_MADE);
	}
	gm_hnsw_end_change(h);
	return status;
}

bool
gm_hnsw_same(const GmHnsw *h, GmHnswWork *w, uint32_t node, const float *vector, float scale)
{
	if (gm_hnsw_work_ready(h, w, 1) != GM_OK ||
		gm_hnsw_work_room(w, &w->same, &w->same_room, 1, h->coder.stride) != GM_OK)
		return false;
	gm_code_encode(&h->coder, vector, scale, w->own->work, w->same);
	return memcmp(w->same, gm_hnsw_code_at(h, node), gm_hnsw_code_bytes(h)) == 0;
}

static bool
is_about(float a, float b)
{
	return fabsf(a - b) <= NEAR * (fabsf(a) + fabsf(b)) + FLT_MIN;
}

/* a step of int8; as much of the range of the others */
static bool
elements_near(const GmCoder *coder, const void *a, const void *b)
{
	for (uint32_t i = 0; i < coder->dim; i++)
	{
		if (coder->kind == GM_CODE_INT8 &&
			abs(((const int8_t *) a)[i] - ((const int8_t *) b)[i]) > 1)
			return false;
		if (coder->kind == GM_CODE_F16 &&
			abs((int16_t) ((const uint16_t *) a)[i] - (int16_t) ((const uint16_t *) b)[i]) > 1)
			return false;
		if (coder->kind == GM_CODE_NONE &&
			fabsf(((const float *) a)[i] - ((const float *) b)[i]) > NEAR *
			(1 + fabsf(((const float *) a)[i])))
			return false;
	}
	return true;
}

bool
gm_hnsw_near(const GmHnsw *h, GmHnswWork *w, uint32_t node, const float *vector, float scale)
{
	const GmCoder *coder = &h->coder;
	const void *code = gm_hnsw_code_at(h, node);
	const GmCodeTail *a = gm_code_tail(coder, code);
	const GmCodeTail *b;

	if (gm_hnsw_same(h, w, node, vector, scale))
		return true;
	if (w->same == NULL)
		return false;
	b = gm_code_tail(coder, w->same);
	return is_about(a->scale, b->scale) && is_about(a->offset, b->offset) &&
		elements_near(coder, code, w->same);
}

/*
 * The end of nodes
 */
GmStatus
gm_hnsw_free_room(GmMem *mem, GmHnsw *h, uint32_t want)
{
	GmHnswRoot *root = h->root;
	uint32_t	room = root->hn_free_room;
	GmRef		larger;

	if (want <= room)
		return GM_OK;
	while (room < want)
		room = room + room / 2;
	GM_TRY(gm_mem_alloc(mem, (size_t) room * sizeof(uint32_t), &larger));
	memcpy(gm_mem_ptr(mem, larger), free_list(mem, h),
		   ((size_t) root->hn_free + root->hn_swept) * sizeof(uint32_t));
	gm_mem_free(mem, root->hn_free_list, root->hn_free_room * sizeof(uint32_t));
	root->hn_free_list = larger;
	root->hn_free_room = room;
	return GM_OK;
}

void
gm_hnsw_now_swept(GmHnsw *h, uint32_t node)
{
	GmHnswRoot *root = h->root;

	atomic_store_explicit(&gm_hnsw_node_at(h, node)->state, GM_HNSW_SWEPT, memory_order_release);
	free_list(NULL, h)[root->hn_free + root->hn_swept++] = node;
}

GmStatus
gm_hnsw_kill(GmMem *mem, GmHnsw *h, uint32_t node)
{
	GmHnswRoot *root = h->root;
	GmStatus	status;
	uint8_t		state;
	GmHnswNode *n;

	GM_TRY(gm_hnsw_refresh(h));
	if (node >= h->nodes)
		return GM_BAD_VALUE;
	n = gm_hnsw_node_at(h, node);
	gm_hnsw_begin_change(h);
	status = gm_hnsw_free_room(mem, h, root->hn_free + root->hn_swept + 1 +
							   atomic_load_explicit(&root->hn_dead, memory_order_relaxed));
	if (status != GM_OK)
	{
		gm_hnsw_end_change(h);
		return status;
	}
	state = GM_HNSW_MADE;
	while (!atomic_compare_exchange_weak_explicit(&n->state, &state,
												  state == GM_HNSW_MADE ? GM_HNSW_SWEPT :
												  GM_HNSW_DEAD,
												  memory_order_acq_rel, memory_order_acquire))
	{
		/* a process that links it is about to be done */
		if (state == GM_HNSW_LINKING)
		{
			(void) sched_yield();
			state = GM_HNSW_LINKED;
		}
		else if (state != GM_HNSW_MADE && state != GM_HNSW_LINKED)
			break;
	}
	if (state == GM_HNSW_MADE)
		gm_hnsw_now_swept(h, node);
	else if (state == GM_HNSW_LINKED)
	{
		n->sweep = (uint8_t) root->hn_sweep;
		atomic_fetch_sub_explicit(&root->hn_linked, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&root->hn_dead, 1, memory_order_relaxed);
	}
	gm_hnsw_end_change(h);
	return GM_OK;
}

void
gm_hnsw_reuse(GmHnsw *h)
{
	GmHnswRoot *root = h->root;
	const uint32_t *list = free_list(NULL, h);

	gm_hnsw_begin_change(h);
	for (uint32_t i = 0; i < root->hn_swept; i++)
	{
		GmHnswNode *n = gm_hnsw_node_at(h, list[root->hn_free + i]);

		give_upper(h, n);
		n->level = 0;
		atomic_store_explicit(&n->state, GM_HNSW_FREE, memory_order_release);
	}
	root->hn_free += root->hn_swept;
	root->hn_swept = 0;
	gm_hnsw_end_change(h);
}
