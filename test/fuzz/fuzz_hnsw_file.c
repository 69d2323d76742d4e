/*-------------------------------------------------------------------------
 *
 * fuzz_hnsw_file.c
 *	  Any bytes read as the file of an index of near neighbours.
 *
 * The first byte chooses settings of the index, and whether the rest is read as
 * it is or its head and all checksums are set right before: without that no
 * input would come beyond them.  The second is by how much the reader's steps
 * and the items at hand differ from what was written.
 *
 * What must hold
 *	 refusal	with a reason, or an index
 *	 rules		of the index, after reading, after a sweep, and after the items
 *				without nodes were added
 *	 codes		each node that stands for an item has the code of its vector, and
 *				no item has two
 *	 search		finds no node twice, and none that stands for nothing
 *	 bounded	memory follows from the number of items, whatever the file claims
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>

#include "core/hnsw_file.h"
#include "core/hnsw_file_private.h"
#include "fuzz.h"

#define ITEMS	40
#define DIM		3
#define STAMP	7
#define MOST	((size_t) 64 << 20)

static const GmHnswIdentity identity = {"fuzz", 4};
static float vectors[ITEMS][DIM];
static uint32_t node_of[ITEMS];
static bool asked[ITEMS];
static uint32_t gone_from;		/* items from here on are not there */

static const char *file;
static size_t file_size;
static size_t file_at;
static char written[1 << 16];
static size_t written_size;

static void
some_items(void)
{
	uint8_t		noise[ITEMS * DIM];

	(void) gm_vec_choose(GM_SIMD_AUTO);
	fuzz_noise(1, noise, sizeof(noise));
	for (uint32_t i = 0; i < ITEMS; i++)
		for (uint32_t k = 0; k < DIM; k++)
			vectors[i][k] = (float) noise[i * DIM + k] - 100;
}

static bool
write_bytes(void *arg, const void *bytes, size_t n)
{
	(void) arg;
	MUST(written_size + n <= sizeof(written));
	memcpy(written + written_size, bytes, n);
	written_size += n;
	return true;
}

static bool
item_at(void *arg, uint32_t node, int64_t *item_id, uint64_t *hash)
{
	(void) arg;
	*item_id = node;
	*hash = gm_hash_vector(vectors[node], DIM);
	return true;
}

static size_t
read_bytes(void *arg, void *bytes, size_t n)
{
	size_t		have = file_size - file_at < n ? file_size - file_at : n;

	(void) arg;
	if (have > 0)
		memcpy(bytes, file + file_at, have);
	file_at += have;
	return have;
}

static bool
is_there(int64_t item_id)
{
	return item_id >= 0 && item_id < gone_from;
}

static bool
match(void *arg, int64_t item_id, uint64_t hash)
{
	(void) arg;
	if (!is_there(item_id) || asked[item_id] || hash != gm_hash_vector(vectors[item_id], DIM))
		return false;
	asked[item_id] = true;
	return true;
}

static bool
vector_of(void *arg, int64_t item_id, const float **vector, float *scale)
{
	(void) arg;
	MUST(is_there(item_id) && asked[item_id]);
	*vector = vectors[item_id];
	*scale = 1;
	return item_id % 16 != 9;
}

static void
put(void *arg, int64_t item_id, uint32_t node)
{
	(void) arg;
	MUST(is_there(item_id) && node_of[item_id] == GM_NONE);
	node_of[item_id] = node;
}

/* head and checksums as they should be, as far as there are blocks */
static void
set_right(char *bytes, size_t size, const GmHnsw *hnsw)
{
	uint32_t	place = 0;

	for (size_t at = 0; size - at > sizeof(FileBlock); place++)
	{
		FileBlock	block;
		char	   *copy;

		memcpy(&block, bytes + at, sizeof(block));
		if (block.length == 0 || block.length > GM_HNSW_FILE_BLOCK ||
			block.length > size - at - sizeof(block))
			return;
		if (place == 0 && block.length >= sizeof(FileHead) + identity.length)
		{
			FileHead	head;

			fill_head(&head, gm_hnsw_root(hnsw), &identity);
			head.stamp = STAMP;
			memcpy(bytes + at + sizeof(block), &head, sizeof(head));
			memcpy(bytes + at + sizeof(block) + sizeof(head), identity.bytes, identity.length);
		}
		copy = malloc(sizeof(block) + block.length);
		memcpy(copy, bytes + at, sizeof(block) + block.length);
		block.checksum = block_checksum(copy, STAMP, place);
		memcpy(bytes + at, &block, sizeof(block));
		free(copy);
		at += sizeof(block) + block.length;
	}
}

static void
must_be_sound(GmHnsw *hnsw, GmHnswWork *work)
{
	uint32_t	node;
	const char *broken = gm_hnsw_check(hnsw, NULL, &node);

	if (broken != NULL)
		fprintf(stderr, "node %u: %s\n", node, broken);
	MUST(broken == NULL);
	for (uint32_t i = 0; i < ITEMS; i++)
		if (node_of[i] != GM_NONE)
		{
			MUST(gm_hnsw_state(hnsw, node_of[i]) == GM_HNSW_LINKED);
			MUST(gm_hnsw_same(hnsw, work, node_of[i], vectors[i], 1));
		}
}

static void
search(GmHnsw *hnsw, GmHnswWork *work)
{
	const GmQuery *query;
	GmHnswHit	hits[8];
	uint32_t	found;
	uint64_t	distances;
	bool		gave_up;

	MUST(gm_hnsw_query(hnsw, work, vectors[1], 1, &query) == GM_OK);
	MUST(gm_hnsw_search(hnsw, work, query, 8, NULL, 0, NULL, hits, &found, &distances,
						&gave_up) == GM_OK);
	MUST(found <= 8);
	for (uint32_t i = 0; i < found; i++)
	{
		MUST(gm_hnsw_state(hnsw, hits[i].node) == GM_HNSW_LINKED);
		for (uint32_t k = 0; k < i; k++)
			MUST(hits[k].node != hits[i].node);
	}
}

static void
use(GmMem *mem, GmHnsw *hnsw, GmHnswWork *work)
{
	uint32_t	at = 0;

	must_be_sound(hnsw, work);
	search(hnsw, work);
	while (at != GM_NONE)
		MUST(gm_hnsw_sweep(mem, hnsw, work, 5, &at) == GM_OK);
	must_be_sound(hnsw, work);
	gm_hnsw_reuse(hnsw);
	for (uint32_t i = 0; i < ITEMS; i++)
		if (node_of[i] == GM_NONE)
		{
			MUST(gm_hnsw_add(mem, hnsw, work, vectors[i], 1, i, &node_of[i]) == GM_OK);
			MUST(gm_hnsw_link(hnsw, work, node_of[i]) == GM_OK);
		}
	must_be_sound(hnsw, work);
	search(hnsw, work);
}

static void
make_index(uint8_t settings, GmMem **mem, GmHnsw **hnsw)
{
	static const uint32_t m[] = {2, 4, 16, GM_HNSW_MOST_M};

	MUST(gm_mem_create(4096, MOST, NULL, mem) == GM_OK);
	MUST(gm_hnsw_create(*mem, DIM, GM_METRIC_L2, (GmCodeKind) (settings >> 3 & 3) % 3,
						m[settings >> 1 & 3], 20, NULL, hnsw) == GM_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const GmHnswSource source = {read_bytes, match, vector_of, put, NULL};
	uint8_t		settings = size > 0 ? data[0] : 0;
	uint8_t		how = size > 1 ? data[1] : 0;
	char	   *bytes = malloc(size + 1);
	GmHnswWork *work = gm_hnsw_work_create();
	GmHnswReader *reader;
	GmMem	   *mem;
	GmHnsw	   *hnsw;
	GmStatus	status = GM_OK;
	bool		done = false;

	some_items();
	make_index(settings, &mem, &hnsw);
	file_size = size > 2 ? size - 2 : 0;
	file_at = 0;
	memcpy(bytes, data + (size - file_size), file_size);
	if ((settings & 1) == 0)
		set_right(bytes, file_size, hnsw);
	file = bytes;
	gone_from = ITEMS - (how & 15);
	for (uint32_t i = 0; i < ITEMS; i++)
	{
		node_of[i] = GM_NONE;
		asked[i] = false;
	}
	MUST(gm_hnsw_reader_create(hnsw, &identity, 2 * ITEMS, &source, &reader) == GM_OK);
	while (status == GM_OK && !done)
		status = gm_hnsw_reader_step(reader, mem, hnsw, 1 + (how >> 4), NULL, &done);
	MUST(status == GM_OK || status == GM_BAD_FILE);
	MUST((status == GM_BAD_FILE) == (gm_hnsw_reader_refusal(reader) != NULL));
	gm_hnsw_reader_destroy(reader);
	if (status == GM_OK)
		use(mem, hnsw, work);
	gm_hnsw_work_destroy(work);
	gm_hnsw_destroy(hnsw);
	gm_mem_destroy(mem);
	free(bytes);
	return 0;
}

/* files that are right, of every sort of index */
static void
fuzz_seeds(void)
{
	static const GmHnswSink sink = {write_bytes, item_at, NULL};

	some_items();
	for (uint8_t settings = 0; settings < 32; settings += 2)
	{
		GmHnswWork *work = gm_hnsw_work_create();
		GmHnswWriter *writer;
		GmMem	   *mem;
		GmHnsw	   *hnsw;
		bool		done = false;

		make_index(settings, &mem, &hnsw);
		for (uint32_t i = 0; i < ITEMS; i++)
		{
			MUST(gm_hnsw_add(mem, hnsw, work, vectors[i], 1, i, &node_of[i]) == GM_OK);
			MUST(gm_hnsw_link(hnsw, work, node_of[i]) == GM_OK);
		}
		written[0] = (char) settings;
		written[1] = (char) (settings * 7);
		written_size = 2;
		MUST(gm_hnsw_writer_create(hnsw, &identity, STAMP, &sink, &writer) == GM_OK);
		while (!done)
			MUST(gm_hnsw_writer_step(writer, hnsw, 10, &done) == GM_OK);
		gm_hnsw_writer_destroy(writer);
		fuzz_seed(written, written_size);
		gm_hnsw_work_destroy(work);
		gm_hnsw_destroy(hnsw);
		gm_mem_destroy(mem);
	}
}
