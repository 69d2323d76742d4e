/*-------------------------------------------------------------------------
 *
 * hnsw_file.h
 *	  An index of near neighbours as a stream of bytes, so that it need not be
 *	  built again when its memory was lost.
 *
 * What is kept is what is dear: who is whose neighbour.  Each node comes with
 * the id of the item it stands for and a hash of the item's vector.  Codes are
 * not kept: they are made of the vectors that are there when the file is read,
 * so that they are right whatever the file holds, whichever CPU wrote it, and
 * a file of long vectors is no larger than one of short ones.
 *
 * A node of the file whose item is gone or has another vector, and one that
 * stood for nothing when it was written, is put all the same, for its links,
 * with the code of a neighbour, and killed: the sweep (hnsw.h) gives its
 * neighbours others, as for any item that is deleted.  The item, if there is
 * one, has no node then.
 *
 * The index may change between the steps of a writing.  The file then holds
 * links of several moments, and those to nodes made since it began are left
 * out.
 *
 * Trust	none.  Nothing is taken from bytes whose checksum is wrong; the reader's
 *			memory follows from what the caller allows (most) and from what was
 *			read, never from what a number in the file claims; all that is read
 *			is checked even where the checksum is right.  Bytes made on purpose
 *			give an index that finds little, and no more than that.
 *
 * Layout	blocks: section, length of what follows, checksum of the whole; its seed
 *			is the file's stamp and the block's place, so that blocks of two
 *			writings do not pass for one file.
 *			 head	magic, layout, byte order, stamp, settings of the index, the
 *					caller's identity
 *			 items	item id, hash; 16 bytes a node
 *			 links	by node, in the same order: level, then for each level from 0
 *					up how many links and the places of their nodes
 *			 end	how many nodes
 *			Numbers are those of the machine.
 *
 * Memory	writer: 8 bytes a node and two blocks.  Reader: 8 bytes a node of the
 *			file and two blocks.
 * Tests	test/unit/test_hnsw_file.c, test/fuzz/fuzz_hnsw_file.c
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_HNSW_FILE_H
#define GM_CORE_HNSW_FILE_H

#include "core/hnsw.h"

#define GM_HNSW_FILE_IDENTITY	256		/* bytes at most */
#define GM_HNSW_FILE_BLOCK		65536	/* bytes at most */

typedef struct GmHnswWriter GmHnswWriter;
typedef struct GmHnswReader GmHnswReader;

typedef struct GmHnswSink
{
	/* false: they could not be written */
	bool		(*write) (void *arg, const void *bytes, size_t n);

	/* what the node stands for now; false: nothing */
	bool		(*item) (void *arg, uint32_t node, int64_t *item_id, uint64_t *hash);
	void	   *arg;
} GmHnswSink;

typedef struct GmHnswSource
{
	/* how many came: fewer than n at the end, or if they could not be read */
	size_t		(*read) (void *arg, void *bytes, size_t n);

	/* is there such an item with such a vector, and was it not asked for before */
	bool		(*match) (void *arg, int64_t item_id, uint64_t hash);

	/* vector and scale of an item that matched, as for gm_hnsw_add; false: gone */
	bool		(*vector) (void *arg, int64_t item_id, const float **vector, float *scale);

	/* a node stands for the item */
	void		(*put) (void *arg, int64_t item_id, uint32_t node);
	void	   *arg;
} GmHnswSource;

/* what the file must be of: bytes that only the caller understands */
typedef struct GmHnswIdentity
{
	const void *bytes;
	uint32_t	length;
} GmHnswIdentity;

/*
 * Writing, by the index's writer.  stamp: another one for each file.  A step
 * takes about so many nodes; the handle of the same index each time, attached
 * anew or not.  GM_BAD_FILE if write failed.
 */
extern GmStatus gm_hnsw_writer_create(const GmHnsw *hnsw, const GmHnswIdentity *identity,
									  uint64_t stamp, const GmHnswSink *sink,
									  GmHnswWriter **writer);
extern GmStatus gm_hnsw_writer_step(GmHnswWriter *writer, const GmHnsw *hnsw, uint32_t most,
									bool *done);
extern void gm_hnsw_writer_progress(const GmHnswWriter *writer, uint32_t *done, uint32_t *total);
extern void gm_hnsw_writer_destroy(GmHnswWriter *writer);

/*
 * Reading, into an index that is empty and that nobody else knows of.  A file
 * of more than most nodes is refused, and so is one of which less than half
 * matches: GM_BAD_FILE, and gm_hnsw_reader_refusal says why.  After any failure
 * what is in the index is of no use.
 */
extern GmStatus gm_hnsw_reader_create(const GmHnsw *hnsw, const GmHnswIdentity *identity,
									  uint32_t most, const GmHnswSource *source,
									  GmHnswReader **reader);
extern GmStatus gm_hnsw_reader_step(GmHnswReader *reader, GmMem *mem, GmHnsw *hnsw,
									uint32_t most, const GmInterrupt *intr, bool *done);
extern const char *gm_hnsw_reader_refusal(const GmHnswReader *reader);

/* nodes of the file, and those that stand for an item now */
extern void gm_hnsw_reader_nodes(const GmHnswReader *reader, uint32_t *nodes, uint32_t *matched);
extern void gm_hnsw_reader_destroy(GmHnswReader *reader);

#endif							/* GM_CORE_HNSW_FILE_H */
