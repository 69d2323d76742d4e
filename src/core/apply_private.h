/*-------------------------------------------------------------------------
 *
 * apply_private.h
 *	  What the files that change a graph image share.
 *
 * A row that refers to another leaves that one's place alone when it goes:
 * what is removed is only doomed until gm_apply_finish, so that rows may come
 * and go in any order within a version.  Rows that still refer to nothing then
 * become late rows, which the writer's handle keeps until what they refer to
 * comes, in this version or in a later one.
 *
 * Which records of a run changed is noted as (node, slot) in both directions;
 * what is to be done with them is told by what the slots hold in the end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_APPLY_PRIVATE_H
#define GM_CORE_APPLY_PRIVATE_H

#include "core/apply.h"
#include "core/graph_private.h"

/* a list that grows, charged to the image's limit */
typedef struct GmList
{
	void	   *data;
	size_t		room;
	size_t		n;
} GmList;

/* a set of numbers, which are below GM_NONE - 1 */
typedef struct GmNumbers
{
	uint32_t   *entry;			/* number + 1; 0 free */
	uint32_t	room;			/* a power of two, or 0 */
	uint32_t	used;			/* entries that are not free */
	uint32_t	n;
} GmNumbers;

/* a space whose vectors this version changes */
typedef struct GmOpenSpace
{
	int32_t		space_id;
	GmSpace    *space;
} GmOpenSpace;

typedef enum GmLateState
{
	GM_LATE_FREE = 0,
	GM_LATE_KEPT,				/* from a version before */
	GM_LATE_ADDED,				/* in this one */
	GM_LATE_GONE				/* kept, and not wanted any more */
} GmLateState;

typedef struct GmLateRow
{
	GmRow		row;
	char	   *bytes;			/* what the row points to */
	size_t		size;
	uint32_t	next;			/* in its bucket, or free: + 1 */
	GmLateState state;
} GmLateRow;

typedef struct GmLate
{
	GmLateRow  *rows;
	uint32_t	count;			/* places in use or free */
	uint32_t	room;
	uint32_t	free;			/* + 1 */
	uint32_t   *bucket;			/* + 1 */
	uint32_t	buckets;		/* a power of two, or 0 */
	uint32_t	live;			/* kept and added */
	uint32_t	added;
	uint32_t	kept;			/* when the version began */
	size_t		charged;
} GmLate;

struct GmApply
{
	GmGraph    *graph;
	GmMem	   *mem;
	const GmInterrupt *intr;
	GmGraphRoot *before;
	GmRef		before_ref;
	int64_t		now;			/* from gm_apply_finish on */

	GmList		touched[2];		/* uint64: node << 32 | slot, [0] outgoing */
	GmList		facts;			/* int64: whose confidence may have changed */
	GmList		lost;			/* int64: facts that lost a version */
	GmList		new_times;		/* uint32: numbers that got their times in this version */
	uint32_t   *time_table;		/* number + 1 of those, open addressing */
	uint32_t	time_mask;
	GmNumbers	doomed_nodes;
	GmNumbers	doomed_predicates;
	GmNumbers	doomed_sources;
	GmList		doomed_spaces;	/* int32: their ids, which may be any */
	GmNumbers	rejudged;		/* sources of another reliability */
	GmList		spaces;			/* GmOpenSpace */
	uint32_t	last_stated;	/* number + 1 of the assertion put last, if it is a later
								 * one and still there */
	bool		predicates_changed;
	bool		flips_stale;	/* times that told one of the flips are gone */
	bool		has_new;		/* something that a late row may refer to */
	size_t		charged;
};

#define GM_LIST_AT(list, type, i)	(&((type *) (list)->data)[i])

static inline bool
gm_is_vector(const GmRow *row)
{
	return row->table == GM_TABLE_EMBEDDINGS || row->table == GM_TABLE_TOPOLOGY;
}

/* from here on numbers that belong to nothing are used again */
static inline bool
gm_waste_is_large(uint32_t unused, uint32_t all)
{
	return unused > all / 8 + 8;
}

/* room for n in all; room for one more, at the end, and its address */
extern GmStatus gm_list_reserve(GmApply *ap, GmList *list, size_t element, size_t n);
extern GmStatus gm_list_add(GmApply *ap, GmList *list, size_t element, void *at);

extern bool gm_numbers_have(const GmNumbers *set, uint32_t number);
extern GmStatus gm_numbers_add(GmApply *ap, GmNumbers *set, uint32_t number);
extern void gm_numbers_remove(GmNumbers *set, uint32_t number);

/* each in turn, from *at = 0 on; GM_NONE: no more */
extern uint32_t gm_numbers_next(const GmNumbers *set, uint32_t *at);

/*
 * Writing into arrays of the version
 */
static inline GmStatus
gm_apply_write(GmApply *ap, GmArray *array, uint64_t i, void *at)
{
	if (array->changes == NULL)
		GM_TRY(gm_array_begin(ap->mem, array));
	return gm_array_write(ap->mem, array, i, at);
}

/* the array has at least n elements afterwards, the new ones as memory left them */
static inline GmStatus
gm_apply_extend(GmApply *ap, GmArray *array, uint64_t n)
{
	if (n <= array->root->ar_length)
		return GM_OK;
	if (array->changes == NULL)
		GM_TRY(gm_array_begin(ap->mem, array));
	GM_TRY(gm_array_reserve(ap->mem, array, n));
	array->root->ar_length = n;
	return GM_OK;
}

/* a number that belongs to nothing, or the next one, with room in the array */
extern GmStatus gm_take_number(GmApply *ap, GmIndex *index, GmArray *array, uint32_t *count,
							   uint32_t *number);

static inline GmStatus
gm_set_u32(GmApply *ap, GmArray *array, uint64_t i, uint32_t value)
{
	uint32_t   *at;

	if (GM_ARRAY_U32(array, i) == value)
		return GM_OK;
	GM_TRY(gm_apply_write(ap, array, i, &at));
	*at = value;
	return GM_OK;
}

static inline GmStatus
gm_set_i64(GmApply *ap, GmArray *array, uint64_t i, int64_t value)
{
	int64_t    *at;

	if (GM_ARRAY_I64(array, i) == value)
		return GM_OK;
	GM_TRY(gm_apply_write(ap, array, i, &at));
	*at = value;
	return GM_OK;
}

/* bit by bit: -0 and NaN are values too */
static inline GmStatus
gm_set_f32(GmApply *ap, GmArray *array, uint64_t i, float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return gm_set_u32(ap, array, i, bits);
}

/* the string goes once no reader can see it */
extern void gm_retire_string(GmApply *ap, GmRef string);

/*
 * apply_late.c
 */

/* a copy waits for what it refers to; nothing if there is no memory for it */
extern void gm_late_add(GmApply *ap, const GmRow *row);

/* the row of this key does not wait any more */
extern void gm_late_drop(GmApply *ap, const GmRow *row);

/* nor do the vectors of a computed space */
extern void gm_late_drop_space(GmApply *ap, int32_t space_id);
extern GmStatus gm_late_retry(GmApply *ap);
extern void gm_late_begin(GmGraph *graph);
extern void gm_late_commit(GmGraph *graph);
extern void gm_late_abort(GmGraph *graph);
extern void gm_late_free(GmGraph *graph);

/*
 * The rows of each table.  A put has dropped the late row of its key before.
 */
extern GmStatus gm_put_entity(GmApply *ap, const GmRow *row);
extern GmStatus gm_remove_entity(GmApply *ap, const GmRow *row);
extern GmStatus gm_put_alias(GmApply *ap, const GmRow *row);
extern GmStatus gm_remove_alias(GmApply *ap, const GmRow *row);
extern GmStatus gm_put_predicate(GmApply *ap, const GmRow *row);
extern GmStatus gm_remove_predicate(GmApply *ap, const GmRow *row);
extern GmStatus gm_put_source(GmApply *ap, const GmRow *row);
extern GmStatus gm_remove_source(GmApply *ap, const GmRow *row);
extern GmStatus gm_put_triple(GmApply *ap, const GmRow *row);
extern GmStatus gm_remove_triple(GmApply *ap, const GmRow *row);
extern GmStatus gm_put_assertion(GmApply *ap, const GmRow *row);
extern GmStatus gm_remove_assertion(GmApply *ap, const GmRow *row);
extern GmStatus gm_put_space(GmApply *ap, const GmRow *row);
extern GmStatus gm_remove_space(GmApply *ap, const GmRow *row);
extern GmStatus gm_put_embedding(GmApply *ap, const GmRow *row);
extern GmStatus gm_remove_embedding(GmApply *ap, const GmRow *row);

/*
 * Finishing, in this order: gm_late_retry, then
 */

/* what is doomed goes, and what still refers to it becomes late */
extern GmStatus gm_finish_predicates(GmApply *ap);
extern GmStatus gm_finish_sources(GmApply *ap);
extern GmStatus gm_finish_nodes(GmApply *ap);
extern GmStatus gm_finish_spaces(GmApply *ap);

/* runs, with what has become or ceased to be current by ap->now */
extern GmStatus gm_finish_runs(GmApply *ap);
extern GmStatus gm_finish_confidence(GmApply *ap);

/*
 * apply_triples.c
 */
extern GmStatus gm_remove_slot(GmApply *ap, GmSlot slot);
extern void gm_slot_row(const GmGraph *graph, GmSlot slot, GmRow *row);
extern GmStatus gm_touch(GmApply *ap, GmSlot slot);
extern GmStatus gm_drop_assertion(GmApply *ap, uint32_t i);

/*
 * apply_spaces.c
 */

/* vectors of an item in every space of that target become late */
extern GmStatus gm_drop_vectors(GmApply *ap, char target, int64_t item_id);
extern void gm_close_spaces(GmApply *ap);

#endif							/* GM_CORE_APPLY_PRIVATE_H */
