/*-------------------------------------------------------------------------
 *
 * space.h
 *	  The vectors of one space, and exact search over them.
 *
 * Rows lie in the image's memory in the order of their item ids as long as
 * they were built so and only larger ids have come since (sp_ordered).  An item is
 * a node, a fact or a source: its id is what SQL calls item_id, its number the
 * node or source number of the graph image (GM_NONE for facts, whose slots
 * gm_graph_fact_slots finds).
 *
 * Versions are those of the graph that the space belongs to (mem.h): between
 * gm_space_begin and gm_space_end the writer's handle changes a copy of the
 * root.  A removed row's place is taken by the last row, so that there are no
 * holes.
 *
 * Vectors lie one after the other, or (sp_apart) each in a block of its own,
 * which goes when the row has a node of the index: the vector is then in the
 * table only, and who searches brings a function that reads it from there
 * (GmSpaceTable).  Such a space may be built without ever holding its vectors:
 * gm_space_encode.
 *
 * Interface
 *	 gm_space_create, gm_space_add, gm_space_finish		building; one writer
 *	 gm_space_set_apart, gm_space_encode	before the first gm_space_add
 *	 gm_space_attach, gm_space_reattach		a version's space, for reading
 *	 gm_space_begin, gm_space_put, gm_space_remove, gm_space_end	changing it
 *	 gm_space_free		retire all of it
 *	 gm_space_find		row of an item
 *	 gm_space_search	the k nearest rows among those allowed, exact
 *	 gm_space_search_rows	the same of a list of rows
 *	 gm_space_search_batch	the same of all rows, for several queries at once
 *	 gm_space_distance	one row, whose vector is here, against a prepared query
 *	 gm_space_distances	some rows, wherever their vectors are
 *	 gm_space_read		a row's vector, wherever it is
 *
 * Complexity	search: one pass over the rows (memory bandwidth) when all are
 *				allowed, only the allowed rows are touched otherwise
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_SPACE_H
#define GM_CORE_SPACE_H

#include <float.h>

#include "core/array.h"
#include "core/base.h"
#include "core/hnsw.h"
#include "core/index.h"
#include "core/mem.h"
#include "core/topk.h"
#include "core/vec.h"

typedef struct GmSpaceRoot
{
	uint32_t	sp_dim;
	uint32_t	sp_rows;
	uint32_t	sp_metric;
	uint32_t	sp_stride;		/* floats from row to row */
	bool		sp_ordered;		/* item ids ascend */
	bool		sp_apart;		/* vectors are blocks, or in the table only */
	uint32_t	sp_absent;		/* rows whose vector is in the table only */
	GmArrayRoot sp_item_id;		/* int64 by row */
	GmArrayRoot sp_number;		/* uint32 by row: node or source number */
	GmArrayRoot sp_scale;		/* float by row: 1 / length under cosine */
	GmArrayRoot sp_vector;		/* float[stride] by row; apart: GmRef, 0 if it is absent */
	GmArrayRoot sp_hash;		/* uint64 by row: of its vector; apart only */
	GmArrayRoot sp_row_of;		/* uint32 by number: row + 1, 0 none; may be shorter */
	GmIndexRoot sp_by_item;		/* rows by item id */

	/* what vector_spaces says of the index */
	uint32_t	sp_ef_construction;
	uint16_t	sp_m;
	uint8_t		sp_kind;		/* GmCodeKind */
	bool		sp_in_table;	/* full precision is to be read from the table */

	/* space_index.h; the arrays are empty while there is no index */
	GmHnswView	sp_index;
	GmArrayRoot sp_node_of;		/* uint32 by row: node, or GM_SPACE_PENDING | its place
								 * in sp_pending */
	GmArrayRoot sp_row_at;		/* uint32 by node: row + 1, 0 none; may be shorter */
	GmArrayRoot sp_pending;		/* uint32: rows */
	GmArrayRoot sp_made;		/* uint32 by place in sp_pending: node + 1 that the row was
								 * loaded as, 0 none; may be shorter */
	GmArrayRoot sp_dead;		/* uint32: nodes */
} GmSpaceRoot;

/* unless vector_spaces has others */
#define GM_SPACE_M				16
#define GM_SPACE_EF_CONSTRUCTION	200

#define GM_SPACE_PENDING	((uint32_t) 1 << 31)

/*
 * Reads the vectors of n items from the table, one after the other, and says
 * which of them are there.  Anything but GM_OK ends the search.
 */
typedef struct GmSpaceTable
{
	GmStatus	(*read) (void *arg, const int64_t *item_id, uint32_t n, uint32_t dim,
						 float *vectors, bool *there);
	void	   *arg;
} GmSpaceTable;

typedef struct GmSpaceEncoder GmSpaceEncoder;	/* private to space_table.c */

typedef struct GmSpace
{
	GmMem	   *mem;
	GmSpaceRoot *root;
	GmRef		ref;			/* of the root */
	GmArray		item_id,
				number,
				scale,
				vector,
				hash,
				row_of;
	GmIndex		by_item;
	GmArray		node_of,
				row_at,
				pending,
				made,
				dead;
	GmSpaceTable table;			/* none if its read is NULL */
	GmSpaceEncoder *encoder;	/* while it is built, or NULL */
	GmHnsw	   *hnsw;			/* attached when first needed, */
	bool		hnsw_current;	/* and to this version */
} GmSpace;

/* the same, as a row of the table gives it */
typedef struct GmSpaceTuning
{
	uint32_t	m;
	uint32_t	ef_construction;
	uint8_t		kind;
	bool		in_table;
} GmSpaceTuning;

#define GM_SPACE_LEAST_M	2
#define GM_SPACE_LEAST_EF_CONSTRUCTION	4
#define GM_SPACE_MOST_EF_CONSTRUCTION	10000

/*
 * Under cosine a vector with a smaller square counts as zero: at 2^-108 the
 * products of two of them still have all their bits.
 */
#define GM_SPACE_MIN_SQUARE	0x1p-108f

/*
 * What tables let in, as the sum of squares in double precision: half, and twice,
 * of what an image takes, so that no kernel's rounding makes it refuse a row.
 */
#define GM_SPACE_MOST_STORED	((double) FLT_MAX / 8)
#define GM_SPACE_LEAST_STORED	0x1p-107	/* under cosine */

/* a query vector made ready for one space's metric */
typedef struct GmSpaceQuery
{
	const float *vector;
	double		scale;			/* 1 / length under cosine */
} GmSpaceQuery;

typedef struct GmSpaceHit
{
	uint32_t	row;
	float		distance;
} GmSpaceHit;

/* GM_BAD_DIM unless 1 <= dim <= GM_VEC_MAX_DIM */
extern GmStatus gm_space_create(GmMem *mem, uint32_t dim, GmMetric metric, GmSpace **space);
extern void gm_space_root_no_index(GmSpaceRoot *root);

/*
 * Before any row.  Encode: from GM_SPACE_INDEX_FROM rows on an index is made,
 * and of vectors its nodes' codes only are kept.
 */
extern GmStatus gm_space_set_apart(GmSpace *space);
extern GmStatus gm_space_encode(GmSpace *space);
extern void gm_space_destroy(GmSpace *space);	/* the handle; the memory stays */

/*
 * Any order of ids.  GM_BAD_VALUE, and nothing added: an element that is not
 * finite, dot(v, v) above FLT_MAX / 4, a zero vector under cosine.
 */
extern GmStatus gm_space_add(GmSpace *space, int64_t item_id, uint32_t number,
							 const float *vector);

/*
 * numbers: how many nodes or sources there are; 0 for facts.  GM_BAD_VALUE if
 * an item id came twice or a number is out of range.
 */
extern GmStatus gm_space_finish(GmSpace *space, uint32_t numbers);

/*
 * Versions.  Attaching fails for lack of memory only.  gm_space_put adds or
 * replaces; GM_BAD_VALUE as for gm_space_add, and nothing done.
 */
static inline GmRef
gm_space_root_ref(const GmSpace *space)
{
	return space->ref;
}

extern GmStatus gm_space_attach(GmMem *mem, GmRef root, GmSpace **space);
extern GmStatus gm_space_reattach(GmSpace *space, GmRef root);

/*
 * While building or after gm_space_begin; what is out of range is brought into
 * it.  gm_space_is_tuned: would that change nothing?
 */
extern void gm_space_tune(GmSpace *space, const GmSpaceTuning *tuning);
extern bool gm_space_is_tuned(const GmSpace *space, const GmSpaceTuning *tuning);

/* inside gm_mem_begin .. commit; the root is a new one afterwards */
extern GmStatus gm_space_begin(GmSpace *space);
extern GmStatus gm_space_put(GmSpace *space, int64_t item_id, uint32_t number,
							 const float *vector);
extern GmStatus gm_space_remove(GmSpace *space, int64_t item_id);

/* forget what was copied, after commit or abort */
extern void gm_space_end(GmSpace *space);

/* retires the root and the index too; begun or not */
extern GmStatus gm_space_free(GmSpace *space);

/* in the image, pages counted whole, without the index: of the vectors that are here, of all */
extern void gm_space_bytes(const GmSpace *space, uint64_t *vectors, uint64_t *all);

/* row of an item id, or of a node or source number; GM_NONE if it has none */
extern uint32_t gm_space_find(const GmSpace *space, int64_t item_id);
static inline uint32_t
gm_space_row_of(const GmSpace *s, uint32_t number)
{
	if (number >= s->root->sp_row_of.ar_length)
		return GM_NONE;
	return GM_ARRAY_U32(&s->row_of, number) - 1;
}

static inline int64_t
gm_space_item_id(const GmSpace *s, uint32_t row)
{
	return GM_ARRAY_I64(&s->item_id, row);
}

static inline uint32_t
gm_space_number(const GmSpace *s, uint32_t row)
{
	return GM_ARRAY_U32(&s->number, row);
}

/* NULL: it is in the table only */
static inline const float *
gm_space_vector(const GmSpace *s, uint32_t row)
{
	const void *at = gm_array_at(&s->vector, row);

	if (gm_likely(!s->root->sp_apart))
		return (const float *) at;
	return *(const GmRef *) at == 0 ? NULL : (const float *) gm_mem_ptr(s->mem, *(const GmRef *) at);
}

/* of the vector of a row: gm_hash_vector */
extern uint64_t gm_space_hash(const GmSpace *space, uint32_t row);

/* how the vectors that are not here are read, from now on with this handle */
static inline void
gm_space_set_table(GmSpace *space, GmSpaceTable table)
{
	space->table = table;
}

/* false: the table has none, or there is none to read */
extern GmStatus gm_space_read(const GmSpace *space, uint32_t row, float *vector, bool *there);

/* the query keeps the pointer; GM_BAD_VALUE as for gm_space_add */
extern GmStatus gm_space_prepare(const GmSpace *space, const float *vector, GmSpaceQuery *query);
extern float gm_space_distance(const GmSpace *space, const GmSpaceQuery *query, uint32_t row);

/* of n rows; NaN where the vector is neither here nor in the table */
extern GmStatus gm_space_distances(const GmSpace *space, const GmSpaceQuery *query,
								   const uint32_t *rows, uint32_t n, const GmInterrupt *intr,
								   float *distances);

/*
 * Similarity of a distance, in [0,1] and falling with it: cosine max(0, 1 - d),
 * the cosine itself where it is positive; l2 1 / (1 + d); inner product
 * logistic(-d).
 */
extern double gm_space_similarity(GmMetric metric, double distance);

/*
 * The k nearest rows, nearest first, ties by item id.  allowed: bitmap by row,
 * NULL for all.  hits has room for min(k, rows); *found says how many came.
 * Rows whose vector is neither here nor in the table are left out; a snapshot
 * that sees the rows of the version sees their vectors.
 */
extern GmStatus gm_space_search(const GmSpace *space, const GmSpaceQuery *query, uint32_t k,
								const uint64_t *allowed, const GmInterrupt *intr,
								GmSpaceHit *hits, uint32_t *found);

/* the k nearest of these rows, which are distinct; hits has room for min(k, n) */
extern GmStatus gm_space_search_rows(const GmSpace *space, const GmSpaceQuery *query, uint32_t k,
									 const uint32_t *rows, uint32_t n, const GmInterrupt *intr,
									 GmSpaceHit *hits, uint32_t *found);

/*
 * What gm_space_search finds for each of n queries, whose vectors lie one after
 * the other, in one pass over the rows.  Those of query i are at
 * hits[i * min(k, rows)], found[i] of them.
 */
extern GmStatus gm_space_search_batch(const GmSpace *space, const GmSpaceQuery *query, uint32_t n,
									  uint32_t k, const GmInterrupt *intr,
									  GmSpaceHit *hits, uint32_t *found);

#endif							/* GM_CORE_SPACE_H */
