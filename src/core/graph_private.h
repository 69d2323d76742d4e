/*-------------------------------------------------------------------------
 *
 * graph_private.h
 *	  What the files of the graph image share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_GRAPH_PRIVATE_H
#define GM_CORE_GRAPH_PRIVATE_H

#include <string.h>

#include "core/graph.h"

#define GM_GRAPH_MAGIC		UINT32_C(0x676d6731)	/* "gmg1" */
#define GM_GRAPH_LAYOUT		7

/* in loops over everything: i counts the iterations, each of which may miss the caches */
#define GM_PAUSE(intr, i) \
	do { \
		if (((i) & (GM_INTERRUPT_EVERY - 1)) == 0 && gm_interrupted(intr)) \
			return GM_INTERRUPTED; \
	} while (0)

static inline uint32_t
gm_times_hash(const GmTimes *t)
{
	uint64_t	h = (uint64_t) t->valid_from;

	h = (h ^ (h >> 29)) * UINT64_C(0xbf58476d1ce4e5b9) + (uint64_t) t->valid_to;
	h = (h ^ (h >> 32)) * UINT64_C(0x94d049bb133111eb) + (uint64_t) t->recorded_at;
	h = (h ^ (h >> 29)) * UINT64_C(0xbf58476d1ce4e5b9) + (uint64_t) t->expired_at;
	return (uint32_t) ((h ^ (h >> 32)) * UINT64_C(0x94d049bb133111eb) >> 32);
}

/*
 * Every array and index of a graph.  What is changed at random has small
 * pages, so that a version copies little.
 */
#define GM_GRAPH_ARRAYS(X) \
	X(entity_id, sizeof(int64_t), GM_ARRAY_PAGE) \
	X(name, sizeof(GmRef), GM_ARRAY_PAGE) \
	X(hash, sizeof(uint32_t), GM_ARRAY_PAGE) \
	X(kind, sizeof(uint32_t), GM_ARRAY_PAGE) \
	X(type, sizeof(uint32_t), GM_ARRAY_PAGE) \
	X(created, sizeof(int64_t), GM_ARRAY_PAGE) \
	X(string, sizeof(GmRef), GM_ARRAY_PAGE_SMALL) \
	X(string_use, sizeof(uint32_t), GM_ARRAY_PAGE_SMALL) \
	X(runs, sizeof(GmNodeRuns), GM_ARRAY_PAGE_SMALL) \
	X(past_of, sizeof(uint32_t), GM_ARRAY_PAGE_SMALL) \
	X(past, sizeof(GmNodeRuns), GM_ARRAY_PAGE_SMALL) \
	X(degree, sizeof(uint32_t), GM_ARRAY_PAGE_SMALL) \
	X(triple_id, sizeof(int64_t), GM_ARRAY_PAGE) \
	X(fact_id, sizeof(int64_t), GM_ARRAY_PAGE) \
	X(subject, sizeof(uint32_t), GM_ARRAY_PAGE) \
	X(predicate, sizeof(uint32_t), GM_ARRAY_PAGE) \
	X(object, sizeof(uint32_t), GM_ARRAY_PAGE) \
	X(confidence, sizeof(float), GM_ARRAY_PAGE) \
	X(asserted, sizeof(float), GM_ARRAY_PAGE) \
	X(time, sizeof(uint32_t), GM_ARRAY_PAGE) \
	X(times, sizeof(GmTimes), GM_ARRAY_PAGE) \
	X(times_use, sizeof(uint32_t), GM_ARRAY_PAGE_SMALL) \
	X(fact_slot, sizeof(uint32_t), GM_ARRAY_PAGE) \
	X(predicate_info, sizeof(GmPredicate), GM_ARRAY_PAGE_SMALL) \
	X(source, sizeof(GmSource), GM_ARRAY_PAGE_SMALL) \
	X(assertion, sizeof(GmAssertion), GM_ARRAY_PAGE_SMALL) \
	X(alias, sizeof(GmAlias), GM_ARRAY_PAGE_SMALL) \
	X(space, sizeof(GmGraphSpace), GM_ARRAY_PAGE_SMALL)

#define GM_GRAPH_INDEXES(X) \
	X(by_entity) X(by_name) X(by_predicate) X(by_source) X(by_triple) X(by_fact) \
	X(by_stated) X(by_alias) X(by_alias_name) X(by_alias_node)

extern uint32_t gm_graph_hash(const char *bytes, size_t length);

static inline bool
gm_same_string(const GmString *s, const char *bytes, size_t length)
{
	return s != NULL && s->length == length && memcmp(s->bytes, bytes, length) == 0;
}

/* what each index asks for; the owner is the GmGraph */
extern uint32_t gm_hash_of_entity(const void *graph, uint32_t number);
extern uint32_t gm_hash_of_name(const void *graph, uint32_t number);
extern uint32_t gm_hash_of_predicate(const void *graph, uint32_t number);
extern uint32_t gm_hash_of_source(const void *graph, uint32_t number);
extern uint32_t gm_hash_of_triple(const void *graph, uint32_t number);
extern uint32_t gm_hash_of_fact(const void *graph, uint32_t number);
extern uint32_t gm_hash_of_stated(const void *graph, uint32_t number);
extern uint32_t gm_hash_of_alias(const void *graph, uint32_t number);
extern uint32_t gm_hash_of_alias_name(const void *graph, uint32_t number);
extern uint32_t gm_hash_of_alias_node(const void *graph, uint32_t number);

extern uint32_t gm_graph_find_predicate_id(const GmGraph *graph, int64_t predicate_id);

/* the slot of a triple id among those of the first build, of use or not */
extern GmSlot gm_graph_find_base_slot(const GmGraph *graph, int64_t triple_id);

/* position in gr_assertions; GM_NONE: none */
extern uint32_t gm_graph_find_assertion(const GmGraph *graph, int64_t fact_id, int64_t source_id);

/* among those of the first build only */
extern uint32_t gm_graph_find_base_assertion(const GmGraph *graph, int64_t fact_id,
											 int64_t source_id);

/*
 * Among the others, from one of them on that comes before it (GM_NONE: from
 * the front); before becomes the last that does, or stays GM_NONE.
 */
extern uint32_t gm_graph_find_later_assertion(const GmGraph *graph, int64_t fact_id,
											  int64_t source_id, uint32_t *before);

/* position in gr_space; of the first one with a larger id if there is none */
extern uint32_t gm_graph_space_at(const GmGraph *graph, int32_t space_id, bool *found);

/* address the arrays of another root */
extern GmStatus gm_graph_attach_root(GmGraph *graph, GmRef root);

extern GmStatus gm_graph_add_string(GmGraph *graph, const char *bytes, uint32_t length,
									GmRef *ref);

static inline bool
gm_times_current(const GmTimes *t, int64_t now)
{
	return t->expired_at == GM_TIME_MAX && t->valid_from <= now && now < t->valid_to;
}

/* the slot at a position among the base slots by fact */
static inline GmSlot
gm_base_slot(const GmGraph *g, uint32_t at)
{
	uint32_t	ordered = g->root->gr_fact_ordered;

	return at < ordered ? at : GM_ARRAY_U32(&g->fact_slot, at - ordered);
}

static inline void
gm_latest_note(GmGraphRoot *root, int64_t time)
{
	if (time > root->gr_latest)
		root->gr_latest = time;
}

static inline void
gm_latest_note_times(GmGraphRoot *root, const GmTimes *t)
{
	gm_latest_note(root, t->recorded_at);
	if (t->expired_at != GM_TIME_MAX)
		gm_latest_note(root, t->expired_at);
}

/* the last time at or before now, and the first one after it, at which what is current changes */
typedef struct GmFlips
{
	int64_t		last;
	int64_t		next;
} GmFlips;

static inline void
gm_flips_init(GmFlips *f)
{
	f->last = GM_TIME_MIN;
	f->next = GM_TIME_MAX;
}

extern void gm_flips_add(GmFlips *flips, const GmTimes *times, int64_t now);

/* current and history runs, next flip; slots are in order */
extern GmStatus gm_graph_make_runs(GmGraph *graph, int64_t now, const GmInterrupt *intr);

/* 1 - prod(1 - confidence x reliability) over the assertions made by then; *any: were there any */
extern float gm_graph_stated_confidence(const GmGraph *graph, int64_t fact_id, int64_t known_at,
										bool *any);

#endif							/* GM_CORE_GRAPH_PRIVATE_H */
