/*-------------------------------------------------------------------------
 *
 * hnsw_search.c
 *	  Searches in the HNSW graph.
 *
 * A node is expanded in two passes: its neighbours not seen yet are collected,
 * then compared in one call that fetches their codes ahead.  Meanwhile those of
 * the node that will be next, if none of these is nearer, are fetched too: most
 * of a search is waiting for memory, and what is fetched too early is wanted
 * soon.  Two nodes ahead were slower than one.  What was found is
 * one array, nearest first, its elements marked when they were expanded, so it
 * is both the result and the list of what is to be expanded.  Where only some
 * nodes count, that list is a heap of its own, since it must not end where
 * enough of those that do not count are near.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "core/code_private.h"
#include "core/hnsw_private.h"

#define EXPANDED		UINT64_C(1)
#define ALIGNMENT		64
#define CODE_FETCHED	512		/* bytes of a code that may not be wanted; the CPU goes on by itself */

/*
 * Working memory
 */
GmHnswWork *
gm_hnsw_work_create(void)
{
	return calloc(1, sizeof(GmHnswWork));
}

void
gm_hnsw_work_destroy(GmHnswWork *w)
{
	if (w == NULL)
		return;
	free(w->visited);
	free(w->seen);
	free(w->pool);
	free(w->heap);
	free((void *) w->code);
	free(w->distance);
	free(w->same);
	free(w->candidate);
	free(w->chosen);
	free(w->alive);
	free(w->query_memory);
	free(w);
}

size_t
gm_hnsw_work_bytes(const GmHnswWork *w)
{
	return sizeof(GmHnswWork) + w->bytes;
}

GmStatus
gm_hnsw_work_room(GmHnswWork *w, void *p, uint32_t *room, size_t bytes, uint32_t want)
{
	void	  **at = p;
	uint32_t	more;
	void	   *larger;

	if (want <= *room)
		return GM_OK;
	more = want < UINT32_MAX / 2 ? want + want / 4 : want;
	larger = realloc(*at, more * bytes);
	if (larger == NULL)
		return GM_NO_MEMORY;
	w->bytes += (more - *room) * bytes;
	*at = larger;
	*room = more;
	return GM_OK;
}

static GmStatus
visited_room(GmHnswWork *w, uint32_t nodes)
{
	size_t		words = gm_bit_words(nodes);
	uint64_t   *larger;

	if (words <= w->visited_words)
		return GM_OK;
	words += words / 4 + 16;
	larger = realloc(w->visited, words * sizeof(uint64_t));
	if (larger == NULL)
		return GM_NO_MEMORY;
	memset(larger + w->visited_words, 0, (words - w->visited_words) * sizeof(uint64_t));
	w->bytes += (words - w->visited_words) * sizeof(uint64_t);
	w->visited = larger;
	w->visited_words = words;
	return GM_OK;
}

static bool
same_coder(const GmCoder *a, const GmCoder *b)
{
	return a->dim == b->dim && a->metric == b->metric && a->kind == b->kind &&
		a->tail == b->tail && a->stride == b->stride && a->centre == b->centre &&
		a->centre_square == b->centre_square;
}

static GmStatus
queries_ready(const GmHnsw *h, GmHnswWork *w)
{
	size_t		each;
	char	   *at;

	if (w->coder_at == &h->coder && same_coder(&w->coder, &h->coder))
		return GM_OK;
	each = (gm_query_bytes(&h->coder) + ALIGNMENT - 1) & ~((size_t) ALIGNMENT - 1);
	w->coder_at = NULL;
	if (w->query_room < 3 * each)
	{
		free(w->query_memory);
		w->bytes -= w->query_room;
		w->query_room = 0;
		w->query_memory = aligned_alloc(ALIGNMENT, 3 * each);
		if (w->query_memory == NULL)
			return GM_NO_MEMORY;
		w->query_room = 3 * each;
		w->bytes += w->query_room;
	}
	at = w->query_memory;
	w->query = gm_query_init(&h->coder, at);
	w->own = gm_query_init(&h->coder, at + each);
	w->other = gm_query_init(&h->coder, at + 2 * each);
	w->coder = h->coder;
	w->coder_at = &h->coder;
	return GM_OK;
}

static GmStatus
batch_room(GmHnswWork *w, uint32_t want)
{
	uint32_t	room = w->batch_room;

	if (want <= room)
		return GM_OK;
	GM_TRY(gm_hnsw_work_room(w, &w->code, &room, sizeof(void *), want));
	room = w->batch_room;
	GM_TRY(gm_hnsw_work_room(w, &w->distance, &room, sizeof(float), want));
	w->batch_room = room;
	return GM_OK;
}

GmStatus
gm_hnsw_work_ready(const GmHnsw *h, GmHnswWork *w, uint32_t ef)
{
	GM_TRY(queries_ready(h, w));
	GM_TRY(visited_room(w, h->nodes));
	GM_TRY(batch_room(w, 2 * h->m + 1 > ef ? 2 * h->m + 1 : ef));
	return gm_hnsw_work_room(w, &w->pool, &w->pool_room, sizeof(uint64_t), ef + 1);
}

GmStatus
gm_hnsw_query(GmHnsw *h, GmHnswWork *w, const float *vector, float scale, const GmQuery **query)
{
	GM_TRY(queries_ready(h, w));
	gm_query_vector(w->query, vector, scale);
	*query = w->query;
	return GM_OK;
}

/*
 * The nodes seen
 */
static GmStatus
seen_room(GmHnsw *h, GmHnswWork *w)
{
	/* each expansion sees at most a block's */
	return gm_hnsw_work_room(w, &w->seen, &w->seen_room, sizeof(uint32_t),
							 w->seen_count + 2 * h->m + 1);
}

static void
forget_seen(GmHnswWork *w)
{
	for (uint32_t i = 0; i < w->seen_count; i++)
		w->visited[w->seen[i] >> 6] = 0;
	w->seen_count = 0;
}

static void
see(GmHnswWork *w, uint32_t node)
{
	gm_bit_set(w->visited, node);
	w->seen[w->seen_count++] = node;
}

/* neighbours not seen yet go behind those seen; how many */
static inline uint32_t
collect(const GmHnsw *h, GmHnswWork *w, const GmHnswLink *link, uint32_t room)
{
	uint32_t   *fresh = w->seen + w->seen_count;
	uint64_t   *visited = w->visited;
	uint32_t	n = 0;

	for (uint32_t i = 0; i < room; i++)
	{
		uint32_t	node = gm_hnsw_load(&link[i]);
		uint64_t	word;

		if (gm_unlikely(node >= h->nodes))
		{
			if (node == GM_NONE)
				break;
			continue;
		}
		word = visited[node >> 6];
		fresh[n] = node;
		n += !((word >> (node & 63)) & 1);
		visited[node >> 6] = word | UINT64_C(1) << (node & 63);
	}
	for (uint32_t i = 0; i < n; i++)
		w->code[i] = gm_hnsw_code_at(h, fresh[i]);
	w->seen_count += n;
	return n;
}

static inline void
fetch_links(const GmHnsw *h, uint32_t node, uint32_t level)
{
	const char *p;

	if (level > 0)
		return;
	p = (const char *) gm_hnsw_ground_at(h, node);
	for (uint32_t i = 0; i < 2 * h->m * sizeof(uint32_t); i += 64)
		gm_prefetch(p + i);
}

/* codes of a node's neighbours not seen yet; its links have been fetched */
static inline void
fetch_neighbours(const GmHnsw *h, const GmHnswWork *w, uint32_t node, uint32_t level)
{
	const GmHnswLink *link = gm_hnsw_ground_at(h, node);
	uint32_t	bytes = (uint32_t) gm_hnsw_code_bytes(h);

	if (level > 0)
		return;
	if (bytes > CODE_FETCHED)
		bytes = CODE_FETCHED;
	for (uint32_t i = 0; i < 2 * h->m; i++)
	{
		uint32_t	to = gm_hnsw_load(&link[i]);

		if (to == GM_NONE)
			break;
		if (to < h->nodes && !gm_bit_test(w->visited, to))
			gm_code_fetch(gm_hnsw_code_at(h, to), bytes);
	}
}

/*
 * Down the levels
 */
void
gm_hnsw_descend(GmHnsw *h, GmHnswWork *w, const GmQuery *query, uint32_t level, uint32_t last,
				uint32_t *node, float *distance, uint64_t *distances)
{
	for (; level > last; level--)
	{
		uint32_t	from = GM_NONE;

		while (from != *node)
		{
			const GmHnswLink *link = gm_hnsw_block_at(h, *node, level);
			uint32_t	near[GM_HNSW_MOST_M];
			uint32_t	n = 0;

			from = *node;
			for (uint32_t i = 0; link != NULL && i < h->m; i++)
			{
				uint32_t	to = gm_hnsw_load(&link[i]);

				if (to == GM_NONE)
					break;
				if (to >= h->nodes)
					continue;
				near[n] = to;
				w->code[n++] = gm_hnsw_code_at(h, to);
			}
			gm_query_many(query, w->code, n, w->distance);
			*distances += n;
			for (uint32_t i = 0; i < n; i++)
				if (w->distance[i] < *distance)
				{
					*distance = w->distance[i];
					*node = near[i];
				}
		}
	}
}

/*
 * One level
 */

/* where an element goes among n */
static inline uint32_t
place(const uint64_t *pool, uint32_t n, uint64_t element)
{
	const uint64_t *base = pool;

	while (n > 1)
	{
		uint32_t	half = n / 2;

		/* a branch here would be guessed wrong half the time */
		base += (base[half - 1] < element) * (size_t) half;
		n -= half;
	}
	return (uint32_t) (base - pool) + (n == 1 && *base < element);
}

static bool
enough_ties(const GmHnswWork *w, uint32_t at, uint64_t element, uint32_t ties)
{
	uint32_t	n = 0;

	for (uint32_t i = at; i > 0 && w->pool[i - 1] >> 32 == element >> 32; i--)
		n++;
	for (uint32_t i = at; i < w->pool_count && w->pool[i] >> 32 == element >> 32; i++)
		n++;
	return n >= ties;
}

/* at most cap stay; its place, or cap if it is not taken */
static inline uint32_t
into_pool(GmHnswWork *w, uint64_t element, uint32_t cap, uint32_t ties)
{
	uint64_t   *pool = w->pool;
	uint32_t	n = w->pool_count;
	uint32_t	at;

	if (n == cap && element >> 32 >= pool[n - 1] >> 32)
		return cap;
	at = place(pool, n, element);
	if (ties != GM_NONE && enough_ties(w, at, element, ties))
		return cap;
	if (n == cap)
		n--;
	memmove(&pool[at + 1], &pool[at], (n - at) * sizeof(uint64_t));
	pool[at] = element;
	w->pool_count = n + 1;
	return at;
}

/* what a search may cost, and has */
typedef struct Budget
{
	uint64_t	most;			/* distances; 0: any number */
	uint64_t	spent;
	uint64_t	asked;			/* spent when it was last asked to stop */
	const GmInterrupt *intr;
	bool		gave_up;
} Budget;

static inline GmStatus
spend(Budget *b, uint32_t n)
{
	b->spent += n;
	b->gave_up = b->most > 0 && b->spent >= b->most;
	if (gm_likely(b->spent - b->asked < GM_INTERRUPT_EVERY))
		return GM_OK;
	b->asked = b->spent;
	return gm_interrupted(b->intr) ? GM_INTERRUPTED : GM_OK;
}

/* of n nodes just compared, what is likely to be expanded next */
static inline void
fetch_nearest(const GmHnsw *h, const GmHnswWork *w, uint32_t fresh, uint32_t n, uint32_t level)
{
	uint32_t	best = 0;

	for (uint32_t i = 1; i < n; i++)
		best = w->distance[i] < w->distance[best] ? i : best;
	fetch_links(h, w->seen[fresh + best], level);
}

/* the next one of the pool to be expanded, beginning at a place */
static inline uint32_t
not_expanded(const GmHnswWork *w, uint32_t at)
{
	while (at < w->pool_count && (w->pool[at] & EXPANDED) != 0)
		at++;
	return at;
}

/* while a batch is compared: what the two nodes after it need */
static inline void
fetch_next(const GmHnsw *h, const GmHnswWork *w, uint32_t next, uint32_t level)
{
	if (next == w->pool_count)
		return;
	fetch_neighbours(h, w, gm_hnsw_pool_node(w->pool[next]), level);
	next = not_expanded(w, next + 1);
	if (next < w->pool_count)
		fetch_links(h, gm_hnsw_pool_node(w->pool[next]), level);
}

static GmStatus
search_pool(GmHnsw *h, GmHnswWork *w, const GmQuery *query, uint32_t level, uint32_t node,
			float distance, uint32_t cap, uint32_t ties, Budget *budget)
{
	uint32_t	room = gm_hnsw_room(h, level);
	uint32_t	next = 0;
	GmStatus	status = seen_room(h, w);

	w->pool_count = 0;
	if (status == GM_OK)
	{
		see(w, node);
		w->pool[w->pool_count++] = gm_hnsw_pool_element(distance, node);
	}
	while (status == GM_OK && next < w->pool_count && !budget->gave_up)
	{
		const GmHnswLink *link;
		uint32_t	fresh;
		uint32_t	n;

		node = gm_hnsw_pool_node(w->pool[next]);
		w->pool[next] |= EXPANDED;
		next = not_expanded(w, next + 1);
		status = seen_room(h, w);
		link = gm_hnsw_block_at(h, node, level);
		if (status != GM_OK || link == NULL)
			continue;
		fresh = w->seen_count;
		n = collect(h, w, link, room);
		if (n == 0)
			continue;
		fetch_next(h, w, next, level);
		gm_query_many(query, w->code, n, w->distance);
		fetch_nearest(h, w, fresh, n, level);
		for (uint32_t i = 0; i < n; i++)
		{
			uint64_t	element = gm_hnsw_pool_element(w->distance[i], w->seen[fresh + i]);
			uint32_t	at = into_pool(w, element, cap, ties);

			if (at < next)
				next = at;
		}
		status = spend(budget, n);
	}
	forget_seen(w);
	return status;
}

/*
 * Where not every node counts: what is to be expanded is a heap, nearest on top
 */
static void
push(uint64_t *heap, uint32_t *count, uint64_t element)
{
	uint32_t	hole = (*count)++;

	for (; hole > 0 && element < heap[(hole - 1) / 2]; hole = (hole - 1) / 2)
		heap[hole] = heap[(hole - 1) / 2];
	heap[hole] = element;
}

static uint64_t
pop(uint64_t *heap, uint32_t *count)
{
	uint64_t	top = heap[0];
	uint64_t	last = heap[--(*count)];
	uint32_t	hole = 0;
	uint32_t	child;

	while ((child = 2 * hole + 1) < *count)
	{
		child += child + 1 < *count && heap[child + 1] < heap[child];
		if (last <= heap[child])
			break;
		heap[hole] = heap[child];
		hole = child;
	}
	heap[hole] = last;
	return top;
}

static bool
counts(const GmHnsw *h, const GmHnswAccept *accept, uint32_t node)
{
	return gm_hnsw_state_at(h, node) == GM_HNSW_LINKED &&
		(accept == NULL || accept->accept(accept->arg, node));
}

static GmStatus
search_some(GmHnsw *h, GmHnswWork *w, const GmQuery *query, uint32_t level, uint32_t node,
			float distance, uint32_t cap, uint32_t ties, const GmHnswAccept *accept,
			Budget *budget)
{
	uint32_t	room = gm_hnsw_room(h, level);
	uint32_t	count = 0;
	GmStatus	status = seen_room(h, w);

	w->pool_count = 0;
	if (status == GM_OK)
		status = gm_hnsw_work_room(w, &w->heap, &w->heap_room, sizeof(uint64_t), 1);
	if (status == GM_OK)
	{
		uint64_t	element = gm_hnsw_pool_element(distance, node);

		see(w, node);
		push(w->heap, &count, element);
		if (counts(h, accept, node))
			(void) into_pool(w, element, cap, ties);
	}
	while (status == GM_OK && count > 0 && !budget->gave_up)
	{
		uint64_t	element = pop(w->heap, &count);
		const GmHnswLink *link;
		uint32_t	fresh;
		uint32_t	n;

		if (w->pool_count == cap && element >> 32 > w->pool[cap - 1] >> 32)
			break;
		status = seen_room(h, w);
		if (status == GM_OK)
			status = gm_hnsw_work_room(w, &w->heap, &w->heap_room, sizeof(uint64_t),
									   count + room);
		link = gm_hnsw_block_at(h, gm_hnsw_pool_node(element), level);
		if (status != GM_OK || link == NULL)
			continue;
		fresh = w->seen_count;
		n = collect(h, w, link, room);
		if (n == 0)
			continue;
		if (count > 0)
			fetch_neighbours(h, w, gm_hnsw_pool_node(w->heap[0]), level);
		for (uint32_t i = 1; i < 3 && i < count; i++)
			fetch_links(h, gm_hnsw_pool_node(w->heap[i]), level);
		gm_query_many(query, w->code, n, w->distance);
		for (uint32_t i = 0; i < n; i++)
		{
			node = w->seen[fresh + i];
			element = gm_hnsw_pool_element(w->distance[i], node);
			if (w->pool_count == cap && element >> 32 >= w->pool[cap - 1] >> 32)
				continue;
			push(w->heap, &count, element);
			if (counts(h, accept, node))
				(void) into_pool(w, element, cap, ties);
		}
		status = spend(budget, n);
	}
	forget_seen(w);
	return status;
}

/*
 * For linking
 */
GmStatus
gm_hnsw_search_level(GmHnsw *h, GmHnswWork *w, const GmQuery *query, uint32_t level,
					 uint32_t node, float distance, uint32_t cap, uint32_t ties)
{
	Budget		budget = {0};

	return search_pool(h, w, query, level, node, distance, cap, ties, &budget);
}

GmStatus
gm_hnsw_search_linked(GmHnsw *h, GmHnswWork *w, const GmQuery *query, uint32_t level,
					  uint32_t node, float distance, uint32_t cap, uint32_t ties)
{
	Budget		budget = {0};

	return search_some(h, w, query, level, node, distance, cap, ties, NULL, &budget);
}

/*
 * For readers
 */

/* the first ef of the pool that are linked */
static uint32_t
linked_hits(const GmHnsw *h, const GmHnswWork *w, uint32_t ef, GmHnswHit *hits)
{
	uint32_t	n = 0;

	for (uint32_t i = 0; i < w->pool_count && n < ef; i++)
	{
		uint32_t	node = gm_hnsw_pool_node(w->pool[i]);

		if (gm_hnsw_state_at(h, node) == GM_HNSW_LINKED)
			hits[n++] = (GmHnswHit) {node, gm_hnsw_pool_distance(w->pool[i])};
	}
	return n;
}

/*
 * How many to find so that ef of them are linked, if the dead are anywhere; 0
 * if they are so many that they had better not take the others' places.
 */
static uint32_t
with_dead(const GmHnsw *h, uint32_t ef)
{
	uint64_t	dead = atomic_load_explicit(&h->root->hn_dead, memory_order_relaxed);
	uint64_t	linked = atomic_load_explicit(&h->root->hn_linked, memory_order_relaxed);

	if (dead == 0)
		return ef;
	if (dead > linked / 2)
		return 0;
	return ef + (uint32_t) (ef * dead * 5 / 4 / linked) + 4;
}

GmStatus
gm_hnsw_search(GmHnsw *h, GmHnswWork *w, const GmQuery *query, uint32_t ef,
			   const GmHnswAccept *accept, uint64_t most, const GmInterrupt *intr,
			   GmHnswHit *hits, uint32_t *found, uint64_t *distances, bool *gave_up)
{
	Budget		budget = {.most = most, .intr = intr};
	uint32_t	cap = accept == NULL ? with_dead(h, ef) : 0;
	GmStatus	status;
	uint32_t	level;
	uint32_t	node;
	float		distance;

	*found = 0;
	*distances = 0;
	*gave_up = false;
	if (ef == 0 || !gm_hnsw_start(h, &level, &node))
		return GM_OK;
	GM_TRY(gm_hnsw_work_ready(h, w, cap > ef ? cap : ef));
	distance = gm_query_one(query, gm_hnsw_code_at(h, node));
	gm_hnsw_descend(h, w, query, level, 0, &node, &distance, &budget.spent);
	budget.spent++;
	if (cap > 0)
	{
		status = search_pool(h, w, query, 0, node, distance, cap, GM_NONE, &budget);
		if (status == GM_OK)
			*found = linked_hits(h, w, ef, hits);
	}
	else
		status = GM_OK;
	if (status == GM_OK && !budget.gave_up &&
		(cap == 0 || (*found < ef && w->pool_count == cap)))
	{
		status = search_some(h, w, query, 0, node, distance, ef, GM_NONE, accept, &budget);
		if (status == GM_OK)
			*found = linked_hits(h, w, ef, hits);
	}
	*distances = budget.spent;
	*gave_up = budget.gave_up;
	return status;
}
