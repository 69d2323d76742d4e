/*-------------------------------------------------------------------------
 *
 * hnsw_file_private.h
 *	  What writer and reader of an index's file share: its bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_HNSW_FILE_PRIVATE_H
#define GM_CORE_HNSW_FILE_PRIVATE_H

#include <string.h>

#include "core/hash.h"
#include "core/hnsw_file.h"

#define FILE_MAGIC		"graphmem"	/* without its NUL */
#define FILE_LAYOUT		1
#define FILE_ORDER		0x01020304

typedef enum FileSection
{
	FILE_HEAD = 1,
	FILE_ITEMS,
	FILE_LINKS,
	FILE_END
} FileSection;

typedef struct FileBlock
{
	uint32_t	section;
	uint32_t	length;			/* of what follows */
	uint64_t	checksum;
} FileBlock;

typedef struct FileHead
{
	char		magic[8];
	uint32_t	layout;
	uint32_t	order;
	uint64_t	stamp;
	uint32_t	dim;
	uint32_t	ef_construction;
	uint16_t	m;
	uint8_t		metric;
	uint8_t		kind;
	uint32_t	identity;		/* bytes that follow */
} FileHead;

typedef struct FileItem
{
	int64_t		item_id;
	uint64_t	hash;
} FileItem;

/* a node that stands for nothing */
#define FILE_NOBODY		((FileItem) {INT64_MIN, 0})

/* in place of a level: the node has become another one since its item was written */
#define FILE_VOID		0xff

#define MOST_LINKS		(2 * GM_HNSW_MOST_M + (GM_HNSW_LEVELS - 1) * GM_HNSW_MOST_M)
#define MOST_RECORD		(1 + GM_HNSW_LEVELS + MOST_LINKS * sizeof(uint32_t))

_Static_assert(sizeof(FileBlock) == 16 && sizeof(FileHead) == 40 && sizeof(FileItem) == 16,
			   "they have no padding, which would be written");
_Static_assert(MOST_RECORD <= GM_HNSW_FILE_BLOCK && 2 * GM_HNSW_MOST_M <= UINT8_MAX &&
			   GM_HNSW_LEVELS < FILE_VOID, "a node's links fit a block, their numbers a byte");

/* place: of the block in the file, 0 for the head, which alone needs no stamp */
static inline uint64_t
block_checksum(char *block, uint64_t stamp, uint64_t place)
{
	FileBlock  *head = (FileBlock *) block;
	uint64_t	seed[2] = {place == 0 ? 0 : stamp, place};
	uint64_t	kept = head->checksum;
	uint64_t	sum;

	head->checksum = 0;
	sum = gm_hash(block, sizeof(FileBlock) + head->length, gm_hash(seed, sizeof(seed), 0));
	head->checksum = kept;
	return sum;
}

static inline void
fill_head(FileHead *head, const GmHnswRoot *root, const GmHnswIdentity *identity)
{
	memset(head, 0, sizeof(*head));
	memcpy(head->magic, FILE_MAGIC, sizeof(head->magic));
	head->layout = FILE_LAYOUT;
	head->order = FILE_ORDER;
	head->dim = root->hn_dim;
	head->ef_construction = root->hn_ef_construction;
	head->m = root->hn_m;
	head->metric = root->hn_metric;
	head->kind = root->hn_kind;
	head->identity = identity->length;
}

#endif							/* GM_CORE_HNSW_FILE_PRIVATE_H */
