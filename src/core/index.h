/*-------------------------------------------------------------------------
 *
 * index.h
 *	  Numbers by the hash of a key, inside an image.
 *
 * Chains through an array of links by number; the buckets grow one by one as
 * numbers come, so that no insertion has to move more than one chain.  Keys
 * are the owner's: it compares them as it walks a chain, and says what a
 * number's hash is when a bucket is split.
 *
 * The links of numbers that are in no chain can hold the list of numbers that
 * are free for new things.
 *
 * Interface
 *	 gm_index_init, gm_index_attach, gm_index_detach, gm_index_end
 *	 gm_index_build		all numbers of a range at once
 *	 gm_index_first, gm_index_next	walk the chain of a hash
 *	 gm_index_insert, gm_index_remove	writer, inside a version
 *	 gm_index_give, gm_index_take		writer: the list of free numbers
 *
 * Memory		8 bytes a number
 * Reference	Litwin: Linear Hashing, VLDB 1980
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_INDEX_H
#define GM_CORE_INDEX_H

#include "core/array.h"
#include "core/base.h"
#include "core/mem.h"

typedef struct GmIndexRoot
{
	GmArrayRoot ix_head;		/* uint32 by bucket: first number + 1, 0 none */
	GmArrayRoot ix_next;		/* uint32 by number - ix_base: next one + 1 */
	uint32_t	ix_count;		/* numbers in chains */
	uint32_t	ix_base;		/* no smaller number can be in it */
	uint32_t	ix_free;		/* number + 1 of the first free one, 0 none */
	uint32_t	ix_frees;
} GmIndexRoot;

typedef struct GmIndex
{
	GmIndexRoot *root;
	GmArray		head;
	GmArray		next;
} GmIndex;

typedef uint32_t (*GmIndexHash) (const void *owner, uint32_t number);

extern void gm_index_init(GmIndexRoot *root, uint32_t base);
extern GmStatus gm_index_attach(const GmMem *mem, GmIndexRoot *root, GmIndex *index);
extern void gm_index_detach(GmIndex *index);
extern void gm_index_end(GmIndex *index);	/* as gm_array_end */

/* numbers 0 .. n - 1 into an empty index, while the image is being built */
extern GmStatus gm_index_build(GmMem *mem, GmIndex *index, uint32_t n, GmIndexHash hash,
							   const void *owner, const GmInterrupt *intr);

/*
 * after: a number of the same chain behind which the new one goes; GM_NONE:
 * to the front.
 */
extern GmStatus gm_index_insert(GmMem *mem, GmIndex *index, uint32_t number, uint32_t after,
								GmIndexHash hash, const void *owner);

/* the number must be in the chain of this hash */
extern GmStatus gm_index_remove(GmMem *mem, GmIndex *index, uint32_t number, uint32_t hash);

/* a number that is in no chain becomes free; a free one, GM_NONE if there is none */
extern GmStatus gm_index_give(GmMem *mem, GmIndex *index, uint32_t number);
extern GmStatus gm_index_take(GmMem *mem, GmIndex *index, uint32_t *number);

static inline uint32_t
gm_index_bucket(uint32_t hash, uint32_t buckets)
{
	uint32_t	mask = buckets > 1 ? UINT32_MAX >> __builtin_clz(buckets - 1) : 0;
	uint32_t	bucket = hash & mask;

	return bucket < buckets ? bucket : bucket & (mask >> 1);
}

/* GM_NONE: the chain is empty, or ends */
static inline uint32_t
gm_index_first(const GmIndex *ix, uint32_t hash)
{
	uint32_t	buckets = (uint32_t) ix->root->ix_head.ar_length;

	if (buckets == 0)
		return GM_NONE;
	return GM_ARRAY_U32(&ix->head, gm_index_bucket(hash, buckets)) - 1;
}

static inline uint32_t
gm_index_next(const GmIndex *ix, uint32_t number)
{
	return GM_ARRAY_U32(&ix->next, number - ix->root->ix_base) - 1;
}

static inline uint32_t
gm_index_hash_id(int64_t id)
{
	return (uint32_t) (((uint64_t) id * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

#endif							/* GM_CORE_INDEX_H */
