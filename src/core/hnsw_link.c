/*-------------------------------------------------------------------------
 *
 * hnsw_link.c
 *	  Links of a new node, and back to it.
 *
 * A node's own links are all stored before any other node links to it, from
 * level 0 up: a reader that comes to it on some level finds its way on.
 *
 * Choice of links (the paper's algorithm 4 without its extensions): candidates
 * are taken nearest first, and one is passed over that is nearer to a node
 * taken already.  Here each node taken rejects those behind it in one call, in
 * windows, so that those too many are never compared.
 *
 * Twins, nodes of equal codes, are as near to one another as can be, so that rule
 * would make them link to nothing else, and others to one of them that has no
 * way on.  They form a tree in their links instead: one that has less than half
 * its room full of twins adopts a new one and never gives it up; the other half
 * of the room leads elsewhere.
 *
 * Reference	Malkov and Yashunin, IEEE TPAMI 42(4), 2020
 *
 *-------------------------------------------------------------------------
 */
#include <sched.h>

#include "core/hnsw_private.h"

#define WINDOW			48
#define TIES			8		/* candidates at one distance */
#define SPINS			200
#define ADOPT_STEPS		200

static void
lock_node(GmHnswNode *n)
{
	for (uint32_t spins = 0;
		 atomic_exchange_explicit(&n->lock, 1, memory_order_acquire) != 0; spins++)
		while (atomic_load_explicit(&n->lock, memory_order_relaxed) != 0)
			if (++spins % SPINS == 0)
				(void) sched_yield();
}

static void
unlock_node(GmHnswNode *n)
{
	atomic_store_explicit(&n->lock, 0, memory_order_release);
}

GmStatus
gm_hnsw_link_room(GmHnsw *h, GmHnswWork *w, uint32_t candidates)
{
	uint32_t	least = 4 * h->m + 2;
	uint32_t	room;

	if (candidates < least)
		candidates = least;
	GM_TRY(gm_hnsw_work_room(w, &w->candidate, &w->candidate_room, sizeof(GmHnswChoice),
							 candidates));
	room = w->chosen_room;
	GM_TRY(gm_hnsw_work_room(w, &w->chosen, &room, sizeof(GmHnswChoice), candidates));
	room = w->chosen_room;
	GM_TRY(gm_hnsw_work_room(w, &w->alive, &room, sizeof(uint32_t), candidates));
	w->chosen_room = room;
	return gm_hnsw_work_ready(h, w, candidates);
}

/* those of the window that are not nearer to the node taken */
static uint32_t
reject(GmHnsw *h, GmHnswWork *w, uint32_t taken, const GmHnswChoice *candidate,
	   uint32_t *alive, uint32_t n)
{
	uint32_t	left = 0;

	if (n == 0)
		return 0;
	gm_query_code(w->other, gm_hnsw_code_at(h, taken));
	for (uint32_t i = 0; i < n; i++)
		w->code[i] = gm_hnsw_code_at(h, candidate[alive[i]].node);
	gm_query_many(w->other, w->code, n, w->distance);
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	which = alive[i];

		alive[left] = which;
		left += !(w->distance[i] < candidate[which].distance);
	}
	return left;
}

uint32_t
gm_hnsw_choose(GmHnsw *h, GmHnswWork *w, const GmHnswChoice *candidate, uint32_t n,
			   uint32_t most)
{
	uint32_t	count = 0;

	for (uint32_t from = 0; from < n && count < most; from += WINDOW)
	{
		uint32_t   *alive = w->alive;
		uint32_t	left = n - from < WINDOW ? n - from : WINDOW;

		for (uint32_t i = 0; i < left; i++)
			alive[i] = from + i;
		for (uint32_t i = 0; i < count && left > 0; i++)
			left = reject(h, w, w->chosen[i].node, candidate, alive, left);
		while (left > 0 && count < most)
		{
			w->chosen[count] = candidate[alive[0]];
			alive++;
			left--;
			if (++count < most)
				left = reject(h, w, w->chosen[count - 1].node, candidate, alive, left);
		}
	}
	return count;
}

static void
sort_choices(GmHnswChoice *c, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
	{
		GmHnswChoice one = c[i];
		uint32_t	k = i;

		for (; k > 0 && (one.distance < c[k - 1].distance ||
						 (one.distance == c[k - 1].distance && one.node < c[k - 1].node)); k--)
			c[k] = c[k - 1];
		c[k] = one;
	}
}

/* the candidates' distances from a node */
void
gm_hnsw_measure(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		w->code[i] = gm_hnsw_code_at(h, w->candidate[i].node);
	gm_query_code(w->other, gm_hnsw_code_at(h, node));
	gm_query_many(w->other, w->code, n, w->distance);
	for (uint32_t i = 0; i < n; i++)
		w->candidate[i].distance = w->distance[i];
}

bool
gm_hnsw_twins(const GmHnsw *h, uint32_t a, uint32_t b)
{
	return memcmp(gm_hnsw_code_at(h, a), gm_hnsw_code_at(h, b), gm_hnsw_code_bytes(h)) == 0;
}

static uint32_t
most_twins(uint32_t room)
{
	return room / 2 > 2 ? room / 2 : 2;
}

/* during a sweep: what was killed before it and has been gone over counts no more */
static bool
is_past(const GmHnsw *h, uint32_t node, uint32_t at)
{
	return node < at && gm_hnsw_goes(h, node);
}

/*
 * The best of n candidates, twins first, as many of these as there may be: those
 * that live before those that are dead
 */
static void
choose_again(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t n, uint32_t at,
			 GmHnswLink *block, uint32_t room)
{
	GmHnswChoice *c = w->candidate;
	uint32_t	twin[2][2 * GM_HNSW_MOST_M + 1];
	uint32_t	twins[2] = {0, 0};
	uint32_t	others = 0;
	uint32_t	kept;
	uint32_t	count;

	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	to = c[i].node;
		bool		dead = gm_hnsw_state_at(h, to) == GM_HNSW_DEAD;

		if (is_past(h, to, at))
			continue;
		if (!gm_hnsw_twins(h, node, to))
			c[others++] = c[i];
		else if (twins[dead] < most_twins(room))
			twin[dead][twins[dead]++] = to;
	}
	kept = twins[0] + twins[1] < most_twins(room) ? twins[0] + twins[1] : most_twins(room);
	sort_choices(c, others);
	count = gm_hnsw_choose(h, w, c, others, room - kept);
	for (uint32_t i = 0; i < kept; i++)
		w->chosen[count++].node = i < twins[0] ? twin[0][i] : twin[1][i - twins[0]];
	for (uint32_t i = 0; i < room; i++)
		gm_hnsw_store(&block[i], i < count ? w->chosen[i].node : GM_NONE);
}

/* candidates from the node's links and one more */
static uint32_t
neighbours(GmHnsw *h, GmHnswWork *w, uint32_t node, const GmHnswLink *block, uint32_t room,
		   uint32_t more)
{
	GmHnswChoice *into = w->candidate;
	uint32_t	n = 0;

	into[n++].node = more;
	for (uint32_t i = 0; i < room; i++)
	{
		uint32_t	to = gm_hnsw_load(&block[i]);

		if (to == GM_NONE)
			break;
		if (to < h->nodes)
			into[n++].node = to;
	}
	gm_hnsw_measure(h, w, node, n);
	return n;
}

void
gm_hnsw_relink(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level, uint32_t n)
{
	gm_hnsw_measure(h, w, node, n);
	lock_node(gm_hnsw_node_at(h, node));
	choose_again(h, w, node, n, GM_NONE, gm_hnsw_block_at(h, node, level),
				 gm_hnsw_room(h, level));
	unlock_node(gm_hnsw_node_at(h, node));
}

/* a free place in a block that does not have the link; room if it is full */
static uint32_t
free_place(const GmHnswLink *block, uint32_t room, uint32_t to, bool *has)
{
	uint32_t	at = room;

	*has = false;
	for (uint32_t i = 0; i < room; i++)
	{
		uint32_t	link = gm_hnsw_load(&block[i]);

		if (link == GM_NONE)
		{
			at = i;
			break;
		}
		if (link == to)
			*has = true;
	}
	return at;
}

void
gm_hnsw_link_back(GmHnsw *h, GmHnswWork *w, uint32_t from, uint32_t to, uint32_t level,
				  uint32_t at)
{
	GmHnswNode *n = gm_hnsw_node_at(h, from);
	GmHnswLink *block = gm_hnsw_block_at(h, from, level);
	uint32_t	room = gm_hnsw_room(h, level);
	uint32_t	place;
	bool		has;

	if (block == NULL)
		return;
	lock_node(n);
	place = free_place(block, room, to, &has);
	if (!has && place < room)
		gm_hnsw_store(&block[place], to);
	else if (!has)
		choose_again(h, w, from, neighbours(h, w, from, block, room, to), at, block, room);
	unlock_node(n);
}

/*
 * Twins
 */

/*
 * A twin takes a node in, GM_NONE none, if it has or there is a place; else *next
 * is a twin of both.
 */
static bool
take_in(GmHnsw *h, GmHnswWork *w, uint32_t twin, uint32_t node, uint32_t level, uint32_t at,
		uint32_t random, uint32_t *next)
{
	GmHnswLink *block = gm_hnsw_block_at(h, twin, level);
	uint32_t	room = gm_hnsw_room(h, level);
	GmHnswState state = gm_hnsw_state_at(h, twin);
	uint32_t	twins[2 * GM_HNSW_MOST_M];
	uint32_t	n = 0;
	uint32_t	place = room;
	bool		has = false;

	*next = twin;
	if (block == NULL)
		return false;
	lock_node(gm_hnsw_node_at(h, twin));
	for (uint32_t i = 0; i < room && !has; i++)
	{
		uint32_t	to = gm_hnsw_load(&block[i]);

		has = to == node && node != GM_NONE;
		if ((to == GM_NONE || is_past(h, to, at)) && place == room)
			place = i;
		if (to == GM_NONE)
			break;
		if (to < h->nodes && !is_past(h, to, at) && gm_hnsw_twins(h, twin, to))
			twins[n++] = to;
	}
	if (!has && n < most_twins(room) &&
		(state == GM_HNSW_LINKED || (at > 0 && state == GM_HNSW_DEAD)))
	{
		if (node == GM_NONE)
			;
		else if (place < room)
			gm_hnsw_store(&block[place], node);
		else
			choose_again(h, w, twin, neighbours(h, w, twin, block, room, node), at, block,
						 room);
		has = true;
	}
	unlock_node(gm_hnsw_node_at(h, twin));
	if (n > 0)
		*next = twins[random % n];
	return has;
}

/*
 * A link to a node from a twin of it, the given one or one that is found by it,
 * which is returned; GM_NONE if none has a place.
 */
static uint32_t
adopt(GmHnsw *h, GmHnswWork *w, uint32_t twin, uint32_t node, uint32_t level, uint32_t at)
{
	uint32_t	random = twin * UINT32_C(2654435761) + node;

	/* down the tree by chance, which soon comes to a place */
	for (uint32_t step = 0; step < ADOPT_STEPS; step++)
	{
		uint32_t	next;

		if (twin == node || take_in(h, w, twin, node, level, at, random >> 8, &next))
			return twin;
		random = random * UINT32_C(1664525) + UINT32_C(1013904223);
		twin = next;
	}
	return GM_NONE;
}

/* both have places, or what they lead to has */
void
gm_hnsw_unite(GmHnsw *h, GmHnswWork *w, uint32_t twin, uint32_t other, uint32_t level, uint32_t at)
{
	uint32_t	one = adopt(h, w, other, GM_NONE, level, at);
	uint32_t	two;
	uint32_t	ignored;

	if (one == GM_NONE)
		return;
	two = adopt(h, w, twin, one, level, at);
	if (two != GM_NONE && two != one)
		(void) take_in(h, w, one, two, level, at, 0, &ignored);
}

/*
 * A new node
 */

/* what was found near it, nearest first; one of its twins apart, GM_NONE if it has none */
static uint32_t
candidates_of(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level, uint32_t *twin)
{
	uint32_t	n = 0;

	*twin = GM_NONE;
	for (uint32_t i = 0; i < w->pool_count; i++)
	{
		uint32_t	to = gm_hnsw_pool_node(w->pool[i]);

		if (to == node || gm_hnsw_state_at(h, to) != GM_HNSW_LINKED ||
			gm_hnsw_block_at(h, to, level) == NULL)
			continue;
		if (gm_hnsw_twins(h, node, to))
			*twin = to;
		else
			w->candidate[n++] = (GmHnswChoice) {to, gm_hnsw_pool_distance(w->pool[i])};
	}
	return n;
}

/* its own links of a level; nobody comes to it yet */
static GmStatus
link_level(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level, uint32_t *near,
		   float *distance, uint32_t *twin)
{
	GmHnswLink *block = gm_hnsw_block_at(h, node, level);
	uint32_t	n;

	GM_TRY(gm_hnsw_search_level(h, w, w->own, level, *near, *distance,
								h->root->hn_ef_construction, TIES));
	n = candidates_of(h, w, node, level, twin);
	if (n == 0 && *twin == GM_NONE)
	{
		GM_TRY(gm_hnsw_search_linked(h, w, w->own, level, *near, *distance, h->m, TIES));
		n = candidates_of(h, w, node, level, twin);
	}
	if (w->pool_count > 0)
	{
		*near = gm_hnsw_pool_node(w->pool[0]);
		*distance = gm_hnsw_pool_distance(w->pool[0]);
	}
	/* there is a place left for a twin */
	n = gm_hnsw_choose(h, w, w->candidate, n, *twin == GM_NONE ? h->m : h->m - 1);
	for (uint32_t i = 0; i < gm_hnsw_room(h, level); i++)
		gm_hnsw_store(&block[i], i < n ? w->chosen[i].node : GM_NONE);
	return GM_OK;
}

static void
link_back_level(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level)
{
	const GmHnswLink *block = gm_hnsw_block_at(h, node, level);
	uint32_t	own[GM_HNSW_MOST_M];
	uint32_t	n = 0;

	/* others may add to them meanwhile */
	while (n < h->m && (own[n] = gm_hnsw_load(&block[n])) != GM_NONE)
		n++;
	for (uint32_t i = 0; i < n; i++)
		gm_hnsw_link_back(h, w, own[i], node, level, 0);
}

/* what leads to its twins leads to it */
static void
link_twin(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level, uint32_t twin)
{
	uint32_t	parent = adopt(h, w, twin, node, level, 0);

	gm_hnsw_link_back(h, w, node, parent == GM_NONE ? twin : parent, level, 0);
	if (parent == GM_NONE)
		link_back_level(h, w, node, level);
}

static bool
become_entry(GmHnsw *h, uint64_t entry, uint32_t level, uint32_t node)
{
	return atomic_compare_exchange_strong_explicit(&h->root->hn_entry, &entry,
												   gm_hnsw_entry(level, node),
												   memory_order_acq_rel, memory_order_acquire);
}

/* a node that is the first, so that it is linked as soon as it is the entry */
static bool
is_being_linked(const GmHnsw *h, uint64_t entry)
{
	return entry != GM_HNSW_NO_ENTRY && (uint32_t) entry < h->nodes &&
		gm_hnsw_state_at(h, (uint32_t) entry) == GM_HNSW_LINKING;
}

/*
 * False if nothing that is linked was found but something is by now: once more.
 */
static GmStatus
try_link(GmHnsw *h, GmHnswWork *w, uint32_t node, uint32_t level, bool *done)
{
	uint64_t	entry = atomic_load_explicit(&h->root->hn_entry, memory_order_acquire);
	uint32_t	twin[GM_HNSW_LEVELS];
	uint64_t	ignored = 0;
	uint32_t	top;
	uint32_t	near;
	float		distance;

	if (!gm_hnsw_start(h, &top, &near))
	{
		*done = !is_being_linked(h, entry) && become_entry(h, entry, level, node);
		return GM_OK;
	}
	gm_query_code(w->own, gm_hnsw_code_at(h, node));
	distance = gm_query_one(w->own, gm_hnsw_code_at(h, near));
	gm_hnsw_descend(h, w, w->own, top, level, &near, &distance, &ignored);
	if (top > level)
		top = level;
	for (uint32_t l = top + 1; l-- > 0;)
		GM_TRY(link_level(h, w, node, l, &near, &distance, &twin[l]));
	if (twin[0] == GM_NONE && gm_hnsw_load(gm_hnsw_ground_at(h, node)) == GM_NONE)
	{
		*done = become_entry(h, entry, level, node);
		return GM_OK;
	}
	for (uint32_t l = 0; l <= top; l++)
		if (twin[l] == GM_NONE)
			link_back_level(h, w, node, l);
		else
			link_twin(h, w, node, l, twin[l]);
	*done = true;
	return GM_OK;
}

/* the entry is on the highest level of all */
static void
raise_entry(GmHnsw *h, uint32_t level, uint32_t node)
{
	uint64_t	entry = atomic_load_explicit(&h->root->hn_entry, memory_order_acquire);

	while (entry == GM_HNSW_NO_ENTRY || level > entry >> 32)
		if (atomic_compare_exchange_weak_explicit(&h->root->hn_entry, &entry,
												  gm_hnsw_entry(level, node),
												  memory_order_acq_rel, memory_order_acquire))
			break;
}

GmStatus
gm_hnsw_link(GmHnsw *h, GmHnswWork *w, uint32_t node)
{
	GmHnswNode *n;
	uint8_t		made = GM_HNSW_MADE;
	GmStatus	status = GM_OK;
	bool		done = false;

	if (node >= h->nodes)
		return GM_BAD_VALUE;
	GM_TRY(gm_hnsw_link_room(h, w, h->root->hn_ef_construction));
	n = gm_hnsw_node_at(h, node);
	gm_hnsw_begin_change(h);
	if (!atomic_compare_exchange_strong_explicit(&n->state, &made, GM_HNSW_LINKING,
												 memory_order_acq_rel, memory_order_acquire))
	{
		gm_hnsw_end_change(h);
		return GM_OK;
	}
	while (status == GM_OK && !done)
	{
		status = try_link(h, w, node, n->level, &done);
		if (status == GM_OK && !done)
			(void) sched_yield();
	}
	/* without memory for a search it has no links yet */
	atomic_store_explicit(&n->state, status == GM_OK ? GM_HNSW_LINKED : GM_HNSW_MADE,
						  memory_order_release);
	if (status == GM_OK)
	{
		atomic_fetch_add_explicit(&h->root->hn_linked, 1, memory_order_relaxed);
		raise_entry(h, n->level, node);
	}
	gm_hnsw_end_change(h);
	return status;
}
