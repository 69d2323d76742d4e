/*-------------------------------------------------------------------------
 *
 * hnsw_file_write.c
 *	  Writing an index's file: see hnsw_file.h.
 *
 * Two passes over the nodes: items, which gives each node its place in the
 * file, and links, as places.  A node that was freed and made anew between the
 * two is void.
 *
 *-------------------------------------------------------------------------
 */
#include "core/hnsw_file.h"

#include <stdlib.h>

#include "core/hnsw_file_private.h"
#include "core/hnsw_private.h"

struct GmHnswWriter
{
	GmHnswSink	sink;
	FileHead	head;
	char		identity[GM_HNSW_FILE_IDENTITY];
	FileSection section;		/* that is being written */
	uint32_t	nodes;			/* that there were at the beginning */
	uint32_t	at;				/* of them, in this pass */
	uint32_t	count;			/* nodes in the file */
	uint32_t   *place;			/* by node: in the file, GM_NONE if it is not there */
	uint32_t   *tag;			/* of its item then */
	uint64_t	blocks;			/* written */
	char	   *block;
	size_t		fill;			/* bytes of the block behind its head */
};

GmStatus
gm_hnsw_writer_create(const GmHnsw *hnsw, const GmHnswIdentity *identity, uint64_t stamp,
					  const GmHnswSink *sink, GmHnswWriter **writer)
{
	GmHnswWriter *w;

	if (identity->length > GM_HNSW_FILE_IDENTITY)
		return GM_BAD_VALUE;
	w = calloc(1, sizeof(GmHnswWriter));
	if (w == NULL)
		return GM_NO_MEMORY;
	w->sink = *sink;
	fill_head(&w->head, hnsw->root, identity);
	w->head.stamp = stamp;
	memcpy(w->identity, identity->bytes, identity->length);
	w->section = FILE_HEAD;
	w->nodes = hnsw->nodes;
	w->place = malloc(((size_t) w->nodes + 1) * sizeof(uint32_t));
	w->tag = malloc(((size_t) w->nodes + 1) * sizeof(uint32_t));
	w->block = calloc(1, sizeof(FileBlock) + GM_HNSW_FILE_BLOCK);
	if (w->place == NULL || w->tag == NULL || w->block == NULL)
	{
		gm_hnsw_writer_destroy(w);
		return GM_NO_MEMORY;
	}
	*writer = w;
	return GM_OK;
}

void
gm_hnsw_writer_destroy(GmHnswWriter *writer)
{
	if (writer == NULL)
		return;
	free(writer->place);
	free(writer->tag);
	free(writer->block);
	free(writer);
}

void
gm_hnsw_writer_progress(const GmHnswWriter *writer, uint32_t *done, uint32_t *total)
{
	*total = writer->nodes;
	*done = writer->section == FILE_ITEMS ? writer->at / 2 :
		writer->section == FILE_LINKS ? writer->nodes / 2 + writer->at / 2 :
		writer->section == FILE_END ? writer->nodes : 0;
}

static GmStatus
flush(GmHnswWriter *w)
{
	FileBlock  *head = (FileBlock *) w->block;
	size_t		bytes = sizeof(FileBlock) + w->fill;

	if (w->fill == 0)
		return GM_OK;
	head->section = w->section;
	head->length = (uint32_t) w->fill;
	head->checksum = 0;
	head->checksum = block_checksum(w->block, w->head.stamp, w->blocks);
	if (!w->sink.write(w->sink.arg, w->block, bytes))
		return GM_BAD_FILE;
	w->blocks++;
	w->fill = 0;
	return GM_OK;
}

/* there is room for it */
static void
append(GmHnswWriter *w, const void *bytes, size_t n)
{
	memcpy(w->block + sizeof(FileBlock) + w->fill, bytes, n);
	w->fill += n;
}

static GmStatus
ensure_room(GmHnswWriter *w, size_t n)
{
	return w->fill + n > GM_HNSW_FILE_BLOCK ? flush(w) : GM_OK;
}

/* a handle attached anew may be of an older view */
static bool
is_way(const GmHnsw *hnsw, uint32_t node)
{
	GmHnswState state = node < hnsw->nodes ? gm_hnsw_state(hnsw, node) : GM_HNSW_FREE;

	return state == GM_HNSW_LINKED || state == GM_HNSW_DEAD;
}

static uint32_t
tag_of(const FileItem *item)
{
	return (uint32_t) gm_hash(item, sizeof(*item), 0);
}

static FileItem
item_of(GmHnswWriter *w, uint32_t node)
{
	FileItem	item = FILE_NOBODY;
	FileItem	found;

	if (w->sink.item(w->sink.arg, node, &found.item_id, &found.hash))
		item = found;
	return item;
}

static GmStatus
write_item(GmHnswWriter *w, const GmHnsw *hnsw, uint32_t node)
{
	FileItem	item;

	w->place[node] = GM_NONE;
	if (!is_way(hnsw, node))
		return GM_OK;
	item = item_of(w, node);
	w->tag[node] = tag_of(&item);
	w->place[node] = w->count++;
	GM_TRY(ensure_room(w, sizeof(item)));
	append(w, &item, sizeof(item));
	return GM_OK;
}

/* what stood for an item may stand for nothing now: its links are as good as they were */
static bool
is_another(GmHnswWriter *w, const GmHnsw *hnsw, uint32_t node)
{
	FileItem	nobody = FILE_NOBODY;
	FileItem	item;
	uint32_t	tag;

	if (!is_way(hnsw, node))
		return true;
	item = item_of(w, node);
	tag = tag_of(&item);
	return tag != w->tag[node] && tag != tag_of(&nobody) && w->tag[node] != tag_of(&nobody);
}

/* false: the node has no such level */
static bool
append_level(GmHnswWriter *w, const GmHnsw *hnsw, uint32_t node, uint32_t level)
{
	uint32_t	room;
	const GmHnswLink *links = (const GmHnswLink *) gm_hnsw_links(hnsw, node, level, &room);
	size_t		counted_at = sizeof(FileBlock) + w->fill;
	uint8_t		n = 0;

	if (links == NULL)
		return false;
	append(w, &n, 1);
	for (uint32_t i = 0; i < room; i++)
	{
		uint32_t	to = gm_hnsw_load(&links[i]);

		if (to >= w->nodes || w->place[to] == GM_NONE)
			continue;
		append(w, &w->place[to], sizeof(uint32_t));
		n++;
	}
	w->block[counted_at] = (char) n;
	return true;
}

static GmStatus
write_links(GmHnswWriter *w, const GmHnsw *hnsw, uint32_t node)
{
	uint8_t		level = 0;
	size_t		level_at;

	if (w->place[node] == GM_NONE)
		return GM_OK;
	GM_TRY(ensure_room(w, MOST_RECORD));
	level_at = sizeof(FileBlock) + w->fill;
	if (is_another(w, hnsw, node))
		level = FILE_VOID;
	append(w, &level, 1);
	if (level == FILE_VOID)
		return GM_OK;
	while (level < GM_HNSW_LEVELS && append_level(w, hnsw, node, level))
		level++;
	w->block[level_at] = (char) (level - 1);
	return GM_OK;
}

/* from HEAD to ITEMS to LINKS to END */
static GmStatus
next_section(GmHnswWriter *w)
{
	GM_TRY(flush(w));
	w->section++;
	w->at = 0;
	if (w->section == FILE_END)
	{
		append(w, &w->count, sizeof(w->count));
		return flush(w);
	}
	return GM_OK;
}

GmStatus
gm_hnsw_writer_step(GmHnswWriter *w, const GmHnsw *hnsw, uint32_t most, bool *done)
{
	*done = w->section == FILE_END;
	if (w->section == FILE_HEAD)
	{
		append(w, &w->head, sizeof(w->head));
		append(w, w->identity, w->head.identity);
		GM_TRY(next_section(w));
	}
	while (!*done && most-- > 0)
	{
		if (w->at == w->nodes)
		{
			GM_TRY(next_section(w));
			*done = w->section == FILE_END;
			continue;
		}
		GM_TRY(w->section == FILE_ITEMS ? write_item(w, hnsw, w->at) :
			   write_links(w, hnsw, w->at));
		w->at++;
	}
	return GM_OK;
}
