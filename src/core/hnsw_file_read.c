/*-------------------------------------------------------------------------
 *
 * hnsw_file_read.c
 *	  Reading an index's file: see hnsw_file.h.
 *
 * Every node of the file is put in its order, so that places in the file are
 * numbers of the index and links need no translation.
 *
 *-------------------------------------------------------------------------
 */
#include "core/hnsw_file.h"

#include <stdlib.h>

#include "core/hnsw_file_private.h"

#define LINE	64

#define CUT_OFF		"it was cut off"
#define DAMAGED		"it is damaged"
#define FOREIGN		"it is no file of an index"
#define STALE		"most of its items are gone or have changed"

typedef enum Stage
{
	READ_HEAD,
	READ_ITEMS,
	READ_LINKS,
	FINISH,						/* links that lead nowhere are left out */
	KILL,						/* nodes that stand for nothing */
	DONE,
	REFUSED
} Stage;

struct GmHnswReader
{
	GmHnswSource source;
	FileHead	want;			/* but for the stamp */
	char		identity[GM_HNSW_FILE_IDENTITY];
	Stage		stage;
	const char *refusal;
	uint32_t	most;
	uint64_t	stamp;
	uint64_t	blocks;			/* read */
	char	   *block;
	size_t		fill;			/* bytes of the block behind its head, 0 when used up */
	size_t		used;

	uint32_t	count;			/* nodes of the file */
	uint32_t	room;
	int64_t    *item;			/* by node */
	uint64_t   *match;			/* bit by node: it stands for its item */
	uint32_t	matched;
	uint32_t	at;				/* nodes put, or looked at by KILL */
	uint32_t	some;			/* one of those that stand for an item */
	uint64_t	levels;			/* above 0, of the nodes put */

	uint32_t	dim;
	float	   *work;
	char	   *code;
	char	   *nothing;		/* a code of zeroes */
	uint32_t	links[MOST_LINKS];
};

GmStatus
gm_hnsw_reader_create(const GmHnsw *hnsw, const GmHnswIdentity *identity, uint32_t most,
					  const GmHnswSource *source, GmHnswReader **reader)
{
	const GmCoder *coder = gm_hnsw_coder(hnsw);
	size_t		bytes = (coder->stride + GM_CODE_SLACK + LINE - 1) / LINE * LINE;
	GmHnswReader *r;

	if (identity->length > GM_HNSW_FILE_IDENTITY)
		return GM_BAD_VALUE;
	r = calloc(1, sizeof(GmHnswReader));
	if (r == NULL)
		return GM_NO_MEMORY;
	r->source = *source;
	r->most = most;
	fill_head(&r->want, gm_hnsw_root(hnsw), identity);
	memcpy(r->identity, identity->bytes, identity->length);
	r->dim = coder->dim;
	r->block = malloc(sizeof(FileBlock) + GM_HNSW_FILE_BLOCK);
	r->work = malloc(coder->dim * sizeof(float));
	r->code = aligned_alloc(LINE, bytes);
	r->nothing = aligned_alloc(LINE, bytes);
	if (r->block == NULL || r->work == NULL || r->code == NULL || r->nothing == NULL)
	{
		gm_hnsw_reader_destroy(r);
		return GM_NO_MEMORY;
	}
	memset(r->code, 0, bytes);
	memset(r->nothing, 0, bytes);
	*reader = r;
	return GM_OK;
}

void
gm_hnsw_reader_destroy(GmHnswReader *reader)
{
	if (reader == NULL)
		return;
	free(reader->block);
	free(reader->work);
	free(reader->code);
	free(reader->nothing);
	free(reader->item);
	free(reader->match);
	free(reader);
}

const char *
gm_hnsw_reader_refusal(const GmHnswReader *reader)
{
	return reader->refusal;
}

void
gm_hnsw_reader_nodes(const GmHnswReader *reader, uint32_t *nodes, uint32_t *matched)
{
	*nodes = reader->count;
	*matched = reader->matched;
}

static GmStatus
refuse(GmHnswReader *r, const char *why)
{
	r->stage = REFUSED;
	r->refusal = why;
	return GM_BAD_FILE;
}

static bool
is_matched(const GmHnswReader *r, uint32_t node)
{
	return (r->match[node / 64] >> (node % 64) & 1) != 0;
}

static void
unmatch(GmHnswReader *r, uint32_t node)
{
	r->match[node / 64] &= ~(UINT64_C(1) << (node % 64));
	r->matched--;
}

/*
 * Blocks
 */
static GmStatus
read_block(GmHnswReader *r)
{
	FileBlock  *head = (FileBlock *) r->block;

	if (r->source.read(r->source.arg, r->block, sizeof(FileBlock)) != sizeof(FileBlock))
		return refuse(r, CUT_OFF);
	if (head->length == 0 || head->length > GM_HNSW_FILE_BLOCK)
		return refuse(r, DAMAGED);
	if (r->source.read(r->source.arg, r->block + sizeof(FileBlock), head->length) != head->length)
		return refuse(r, CUT_OFF);
	if (block_checksum(r->block, r->stamp, r->blocks) != head->checksum)
		return refuse(r, DAMAGED);
	r->blocks++;
	r->fill = head->length;
	r->used = 0;
	return GM_OK;
}

static FileSection
section_of(const GmHnswReader *r)
{
	return (FileSection) ((const FileBlock *) r->block)->section;
}

/* bytes of the block; NULL: it has not so many left */
static const char *
take(GmHnswReader *r, size_t n)
{
	const char *at = r->block + sizeof(FileBlock) + r->used;

	if (r->fill - r->used < n)
		return NULL;
	r->used += n;
	return at;
}

static GmStatus
read_head(GmHnswReader *r)
{
	const char *bytes;
	FileHead	head;

	GM_TRY(read_block(r));
	bytes = take(r, sizeof(FileHead));
	if (section_of(r) != FILE_HEAD || bytes == NULL)
		return refuse(r, FOREIGN);
	memcpy(&head, bytes, sizeof(head));
	r->stamp = head.stamp;
	head.stamp = 0;
	if (memcmp(head.magic, r->want.magic, sizeof(head.magic)) != 0)
		return refuse(r, FOREIGN);
	if (head.layout != r->want.layout || head.order != r->want.order)
		return refuse(r, "it has another layout");
	bytes = take(r, r->want.identity);
	if (bytes == NULL || head.identity != r->want.identity || r->used != r->fill ||
		memcmp(bytes, r->identity, r->want.identity) != 0)
		return refuse(r, "it is of another index");
	if (memcmp(&head, &r->want, sizeof(head)) != 0)
		return refuse(r, "the index has other settings now");
	r->stage = READ_ITEMS;
	return GM_OK;
}

/*
 * Items
 */
static GmStatus
ensure_room(GmHnswReader *r)
{
	uint32_t	room;
	int64_t    *item;
	uint64_t   *match;

	if (r->count < r->room)
		return GM_OK;
	room = r->room == 0 ? 4096 : r->room > UINT32_MAX / 2 ? UINT32_MAX - 64 : r->room * 2;
	item = realloc(r->item, (size_t) room * sizeof(int64_t));
	if (item == NULL)
		return GM_NO_MEMORY;
	r->item = item;
	match = realloc(r->match, ((size_t) room / 64 + 1) * sizeof(uint64_t));
	if (match == NULL)
		return GM_NO_MEMORY;
	r->match = match;
	r->room = room;
	return GM_OK;
}

static GmStatus
read_item(GmHnswReader *r)
{
	const FileItem nobody = FILE_NOBODY;
	const char *bytes = take(r, sizeof(FileItem));
	FileItem	item;

	if (bytes == NULL)
		return refuse(r, DAMAGED);
	if (r->count >= r->most)
		return refuse(r, STALE);
	GM_TRY(ensure_room(r));
	memcpy(&item, bytes, sizeof(item));
	r->item[r->count] = item.item_id;
	if (r->count % 64 == 0)
		r->match[r->count / 64] = 0;
	if (memcmp(&item, &nobody, sizeof(item)) != 0 &&
		r->source.match(r->source.arg, item.item_id, item.hash))
	{
		r->match[r->count / 64] |= UINT64_C(1) << (r->count % 64);
		r->matched++;
	}
	r->count++;
	return GM_OK;
}

/*
 * Links
 */

/* which of them are links at all is for gm_hnsw_put_finish to say */
static GmStatus
read_level(GmHnswReader *r, uint32_t *links, uint32_t room)
{
	const char *n = take(r, 1);
	const char *bytes = n == NULL ? NULL : take(r, (size_t) (uint8_t) *n * sizeof(uint32_t));

	if (bytes == NULL || (uint8_t) *n > room)
		return refuse(r, DAMAGED);
	memcpy(links, bytes, (uint8_t) *n * sizeof(uint32_t));
	for (uint32_t i = (uint8_t) *n; i < room; i++)
		links[i] = GM_NONE;
	return GM_OK;
}

static GmStatus
read_levels(GmHnswReader *r, uint32_t level)
{
	uint32_t	m = r->want.m;

	GM_TRY(read_level(r, r->links, 2 * m));
	for (uint32_t i = 0; i < level; i++)
		GM_TRY(read_level(r, r->links + 2 * m + i * m, m));
	return GM_OK;
}

static GmStatus
read_node(GmHnswReader *r, GmMem *mem, GmHnsw *hnsw)
{
	const char *byte = take(r, 1);
	uint32_t	level = byte == NULL ? GM_NONE : (uint8_t) *byte;
	const char *code = r->nothing;
	const float *vector;
	float		scale;
	uint32_t	node;

	if (r->at == r->count || (level >= GM_HNSW_LEVELS && level != FILE_VOID))
		return refuse(r, DAMAGED);
	if (level == FILE_VOID)
	{
		level = 0;
		for (uint32_t i = 0; i < 2u * r->want.m; i++)
			r->links[i] = GM_NONE;
		if (is_matched(r, r->at))
			unmatch(r, r->at);
	}
	else
		GM_TRY(read_levels(r, level));

	/* an index has one level above 0 for every m nodes, about */
	r->levels += level;
	if (r->levels > 2 * (uint64_t) r->count + GM_HNSW_LEVELS)
		return refuse(r, DAMAGED);
	if (is_matched(r, r->at))
	{
		if (r->source.vector(r->source.arg, r->item[r->at], &vector, &scale))
		{
			gm_code_encode(gm_hnsw_coder(hnsw), vector, scale, r->work, r->code);
			code = r->code;
		}
		else
			unmatch(r, r->at);
	}
	GM_TRY(gm_hnsw_put(mem, hnsw, level, code, r->links, &node));
	if (node != r->at)
		return GM_BAD_VALUE;
	if (is_matched(r, node))
	{
		r->source.put(r->source.arg, r->item[node], node);
		r->some = node;
	}
	r->at++;
	return GM_OK;
}

/* is it worth while */
static GmStatus
end_items(GmHnswReader *r)
{
	if (r->matched == 0 || r->matched < r->count - r->matched)
		return refuse(r, STALE);
	r->stage = READ_LINKS;
	return GM_OK;
}

static GmStatus
read_end(GmHnswReader *r)
{
	const char *bytes = take(r, sizeof(uint32_t));
	uint32_t	count;
	char		more;

	if (bytes == NULL || r->used != r->fill || r->stage != READ_LINKS || r->at != r->count)
		return refuse(r, DAMAGED);
	memcpy(&count, bytes, sizeof(count));
	if (count != r->count || r->source.read(r->source.arg, &more, 1) != 0)
		return refuse(r, DAMAGED);
	if (r->matched == 0)
		return refuse(r, STALE);
	r->stage = FINISH;
	return GM_OK;
}

/* what the block at hand is, given what came before; it is not used up otherwise */
static GmStatus
begin_block(GmHnswReader *r)
{
	switch (section_of(r))
	{
		case FILE_ITEMS:
			return r->stage == READ_ITEMS ? GM_OK : refuse(r, DAMAGED);
		case FILE_LINKS:
			return r->stage == READ_ITEMS ? end_items(r) : GM_OK;
		case FILE_END:
			if (r->stage == READ_ITEMS)
				GM_TRY(end_items(r));
			return read_end(r);
		default:
			return refuse(r, DAMAGED);
	}
}

/*
 * Nodes that stand for nothing
 */

/* whose code is near what the node's was: a neighbour's, else anybody's */
static uint32_t
next_to(const GmHnswReader *r, const GmHnsw *hnsw, uint32_t node)
{
	uint32_t	room;
	const uint32_t *links = gm_hnsw_links(hnsw, node, 0, &room);

	for (uint32_t i = 0; i < room; i++)
		if (links[i] != GM_NONE && is_matched(r, links[i]))
			return links[i];
	return r->some;
}

/* nobody else knows of the index yet, so that a code may be changed */
static void
lend_code(const GmHnswReader *r, GmHnsw *hnsw, uint32_t node)
{
	memcpy((void *) gm_hnsw_code(hnsw, node), gm_hnsw_code(hnsw, next_to(r, hnsw, node)),
		   gm_hnsw_coder(hnsw)->stride);
}

static GmStatus
kill_next(GmHnswReader *r, GmMem *mem, GmHnsw *hnsw)
{
	if (r->at == r->count)
	{
		r->stage = DONE;
		return GM_OK;
	}
	if (!is_matched(r, r->at))
	{
		lend_code(r, hnsw, r->at);
		GM_TRY(gm_hnsw_kill(mem, hnsw, r->at));
	}
	r->at++;
	return GM_OK;
}

static GmStatus
read_next(GmHnswReader *r, GmMem *mem, GmHnsw *hnsw)
{
	if (r->used == r->fill)
	{
		GM_TRY(read_block(r));
		return begin_block(r);
	}
	return r->stage == READ_ITEMS ? read_item(r) : read_node(r, mem, hnsw);
}

GmStatus
gm_hnsw_reader_step(GmHnswReader *r, GmMem *mem, GmHnsw *hnsw, uint32_t most,
					const GmInterrupt *intr, bool *done)
{
	*done = false;
	while (most-- > 0 && r->stage != DONE)
	{
		switch (r->stage)
		{
			case READ_HEAD:
				GM_TRY(read_head(r));
				break;
			case READ_ITEMS:
			case READ_LINKS:
				GM_TRY(read_next(r, mem, hnsw));
				break;
			case FINISH:
				GM_TRY(gm_hnsw_put_finish(mem, hnsw, intr));
				r->stage = KILL;
				r->at = 0;
				break;
			case KILL:
				GM_TRY(kill_next(r, mem, hnsw));
				break;
			case REFUSED:
				return GM_BAD_FILE;
			case DONE:
				break;
		}
	}
	*done = r->stage == DONE;
	return GM_OK;
}
