/*-------------------------------------------------------------------------
 *
 * index_file.c
 *	  Files of indexes of near neighbours: see index_file.h.
 *
 * Writing begins when an eighth of the nodes has changed, or a while after any
 * has, but not while most of an index is being built.  It goes on in slices
 * between other work.  Blocks are handed to the disk as they are written and
 * the file is synced a while after the last one, so that this does not take
 * long: nobody is served meanwhile.
 *
 * At the end of the worker nothing is synced: should the machine fail before
 * the system has written the file, its checksums tell.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "common/file_perm.h"
#include "common/file_utils.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/fd.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/hash.h"
#include "core/hnsw_file.h"
#include "error.h"
#include "guc.h"
#include "shm/area.h"
#include "shm/stop.h"
#include "worker/graphs.h"
#include "worker/index_file.h"

#define FILES_DIR		PG_TEMP_FILE_PREFIX "_graphmem"
#define FILE_NAME		FILES_DIR "/" PG_TEMP_FILE_PREFIX "_%u_%d_%d"
#define NEW_SUFFIX		".new"

#define SLICE_US		1000
#define SLICE_NODES		64		/* between two looks at the clock */
#define LOOK_MS			1000	/* for indexes that have changed enough */
#define CHANGED_SHARE	8		/* of the nodes: write at once */
#define CHANGED_MS		300000	/* any: write so long after the first */
#define BUILDING_SHARE	4		/* of the rows pending: do not begin */
#define FAILED_MS		300000	/* try again after so long */
#define WRITEBACK_BYTES	(1 << 20)
#define SYNC_MS			5000	/* the system has written a file so long after */
#define LEAVE_MS		1000
#define FINISH_TRIES	5		/* interrupted so often, it is not any more */

typedef struct IndexKey
{
	int32		graph_id;
	int32		space_id;
} IndexKey;

/* what is known of an index and its file */
typedef struct IndexState
{
	IndexKey	key;			/* hash key */
	GmRef		index;			/* GmHnswRoot that is in memory; 0: none was seen */
	uint64		written;		/* changes of it that the file has; 0 none */
	TimestampTz changed_at;		/* first seen to have others; 0: it has none */
	TimestampTz failed_at;		/* the last writing; 0: it did not */
} IndexState;

typedef struct Identity
{
	uint64		system;
	Oid			database;
	int32		graph_id;
	int32		space_id;
	uint32		unused;
} Identity;

typedef struct Writing
{
	IndexKey	key;
	GmRef		index;
	uint64		changes;		/* at its beginning */
	char		path[MAXPGPATH];
	char		new_path[MAXPGPATH];
	File		file;			/* -1: none */
	off_t		at;
	off_t		handed_over;	/* to the disk */
	GmHnsw	   *hnsw;
	GmSpace    *space;			/* of this step */
	GmHnswWriter *writer;
	bool		whole;			/* all is written, and waits to be synced */
	TimestampTz whole_at;
} Writing;

struct GmIndexReading
{
	IndexKey	key;
	char		path[MAXPGPATH];
	File		file;
	off_t		at;
	GmSpace    *space;			/* of this step */
	GmIndexer  *indexer;		/* NULL once it was taken */
	GmHnswReader *reader;
	uint64	   *asked;			/* bit by row */
	uint32		asked_rows;
	GmSpaceNode *nodes;
	uint32		count;
	uint32		given;			/* of them, to be mapped */
	uint32		room;
	int			interrupted;
};

static GmArea *area;			/* NULL: not started */
static MemoryContext context;
static HTAB *states;
static Writing *writing;		/* NULL: none is under way */
static TimestampTz looked_at;
static bool any_index;			/* there was one */

/*
 * Names
 */
static void
path_of(IndexKey key, char *path)
{
	snprintf(path, MAXPGPATH, FILE_NAME, MyDatabaseId, key.graph_id, key.space_id);
}

static GmHnswIdentity
identity_of(IndexKey key, Identity *identity)
{
	memset(identity, 0, sizeof(*identity));
	identity->system = GetSystemIdentifier();
	identity->database = MyDatabaseId;
	identity->graph_id = key.graph_id;
	identity->space_id = key.space_id;
	return (GmHnswIdentity) {identity, sizeof(*identity)};
}

/*
 * Removing.  A file that cannot be removed does no harm.
 */

typedef bool (*Unwanted) (Oid database, IndexKey key, bool whole, const void *arg);

static void
remove_files(Unwanted is_unwanted, const void *arg)
{
	DIR		   *dir = AllocateDir(FILES_DIR);
	struct dirent *de;

	if (dir == NULL)
		return;
	while ((de = ReadDirExtended(dir, FILES_DIR, LOG)) != NULL)
	{
		char		path[MAXPGPATH];
		char		name[MAXPGPATH];
		Oid			database;
		IndexKey	key;

		snprintf(path, sizeof(path), "%s/%s", FILES_DIR, de->d_name);
		if (sscanf(path, FILE_NAME, &database, &key.graph_id, &key.space_id) != 3)
			continue;
		snprintf(name, sizeof(name), FILE_NAME, database, key.graph_id, key.space_id);
		if (is_unwanted(database, key, strcmp(path, name) == 0, arg) &&
			unlink(path) != 0 && errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not remove file \"%s\": %m", path)));
	}
	FreeDir(dir);
}

static IndexState *
state_of(IndexKey key, GmRef index)
{
	bool		found;
	IndexState *state = hash_search(states, &key, HASH_ENTER, &found);

	if (!found || state->index != index)
	{
		memset((char *) state + sizeof(state->key), 0, sizeof(*state) - sizeof(state->key));
		state->index = index;
	}
	return state;
}

/* in a transaction; the others are remembered, since their spaces may be gone */
static bool
is_nobodys(Oid database, IndexKey key, bool whole, const void *arg)
{
	if (database != MyDatabaseId)
		return get_database_name(database) == NULL;
	if (!whole || gm_area_find(area, key.graph_id) == NULL)
		return true;
	(void) state_of(key, 0);
	return false;
}

static bool
is_of_graph(Oid database, IndexKey key, bool whole, const void *arg)
{
	const int32 *graph_id = arg;

	return database == MyDatabaseId && (*graph_id == 0 || key.graph_id == *graph_id);
}

static bool
is_of_space(Oid database, IndexKey key, bool whole, const void *arg)
{
	const IndexKey *which = arg;

	return database == MyDatabaseId && key.graph_id == which->graph_id &&
		key.space_id == which->space_id;
}

/*
 * Writing
 */
static void
end_writing(void)
{
	if (writing == NULL)
		return;
	gm_hnsw_writer_destroy(writing->writer);
	gm_hnsw_destroy(writing->hnsw);
	if (writing->file >= 0)
		FileClose(writing->file);
	if (unlink(writing->new_path) != 0 && errno != ENOENT)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", writing->new_path)));
	pfree(writing);
	writing = NULL;
}

static void
fail_writing(const char *why)
{
	IndexState *state = hash_search(states, &writing->key, HASH_FIND, NULL);

	ereport(LOG,
			(errmsg("could not write file \"%s\": %s", writing->new_path, why),
			 errdetail("The index of vector space %d of graph %d may be built again after a restart.",
					   writing->key.space_id, writing->key.graph_id)));
	if (state != NULL)
		state->failed_at = GetCurrentTimestamp();
	end_writing();
}

static bool
write_block(void *arg, const void *bytes, size_t n)
{
	Writing    *w = arg;

	errno = 0;
	if (FileWrite(w->file, unconstify(void *, bytes), n, w->at, PG_WAIT_EXTENSION) != (int) n)
	{
		if (errno == 0)
			errno = ENOSPC;
		return false;
	}
	w->at += n;
	if (w->at - w->handed_over >= WRITEBACK_BYTES)
	{
		FileWriteback(w->file, w->handed_over, w->at - w->handed_over, PG_WAIT_EXTENSION);
		w->handed_over = w->at;
	}
	GM_STOP(worker_file_written);
	return true;
}

static bool
item_of_node(void *arg, uint32_t node, int64_t *item_id, uint64_t *hash)
{
	const GmSpace *s = ((const Writing *) arg)->space;
	uint32_t	row = node < s->root->sp_row_at.ar_length ? GM_ARRAY_U32(&s->row_at, node) : 0;

	if (row == 0)
		return false;
	*item_id = gm_space_item_id(s, row - 1);
	*hash = gm_space_hash(s, row - 1);
	return true;
}

static uint64
changes_of(GmMem *mem, GmRef index)
{
	const GmHnswRoot *root = gm_mem_ptr(mem, index);

	return atomic_load_explicit(&root->hn_begun, memory_order_relaxed);
}

static bool
begin_writing(IndexKey key, GmMem *mem, GmSpace *space)
{
	GmHnswSink	sink = {write_block, item_of_node, NULL};
	GmStatus	status;
	GmHnswIdentity bytes;
	Identity	identity;
	uint64		stamp;

	writing = MemoryContextAllocZero(context, sizeof(Writing));
	writing->key = key;
	writing->index = space->root->sp_index.root;
	writing->changes = changes_of(mem, writing->index);
	path_of(key, writing->path);
	snprintf(writing->new_path, MAXPGPATH, "%s%s", writing->path, NEW_SUFFIX);
	if (!pg_strong_random(&stamp, sizeof(stamp)))
		stamp = (uint64) GetCurrentTimestamp() * UINT64CONST(0x9e3779b97f4a7c15) + MyProcPid;
	(void) MakePGDirectory(FILES_DIR);
	writing->file = PathNameOpenFile(writing->new_path, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (writing->file < 0)
	{
		fail_writing(strerror(errno));
		return false;
	}
	sink.arg = writing;
	bytes = identity_of(key, &identity);
	status = gm_hnsw_attach(mem, &space->root->sp_index, &writing->hnsw);
	if (status == GM_OK)
		status = gm_hnsw_writer_create(writing->hnsw, &bytes, stamp, &sink, &writing->writer);
	if (status != GM_OK)
	{
		fail_writing("out of memory");
		return false;
	}
	return true;
}

/* synced: the file is on the disk, as far as the system tells */
static void
finish_writing(bool synced)
{
	IndexState *state = hash_search(states, &writing->key, HASH_FIND, NULL);

	if (synced && FileSync(writing->file, PG_WAIT_EXTENSION) != 0)
	{
		fail_writing(strerror(errno));
		return;
	}
	FileClose(writing->file);
	writing->file = -1;
	GM_STOP(worker_file_whole);
	if (synced ? durable_rename(writing->new_path, writing->path, LOG) != 0 :
		rename(writing->new_path, writing->path) != 0)
	{
		fail_writing(strerror(errno));
		return;
	}
	if (state != NULL && state->index == writing->index)
	{
		state->written = writing->changes;
		state->changed_at = 0;
		state->failed_at = 0;
	}
	end_writing();
}

/* the space of the graph as it is now, which must still have the index; NULL: it is gone */
static GmSpace *
space_of(GmWorkerGraph *g, int32 space_id)
{
	for (uint32_t i = 0; i < gm_graph_spaces(g->graph); i++)
		if (gm_graph_space_info(g->graph, i)->space_id == space_id)
			return gm_graph_space(g->graph, i);
	return NULL;
}

static GmSpace *
space_being_written(GmMem **mem)
{
	GmWorkerGraph *g = gm_graphs_find(writing->key.graph_id);
	GmSpace    *space;

	if (g == NULL || g->loading || gm_graphs_attach(g) != GM_OK)
		return NULL;
	space = space_of(g, writing->key.space_id);
	if (space == NULL || space->root->sp_index.root != writing->index)
		return NULL;
	*mem = g->mem;
	return space;
}

/* true: there is more */
static bool
write_slice(void)
{
	bool		done = false;
	instr_time	start;
	instr_time	now;
	GmMem	   *mem;

	writing->space = space_being_written(&mem);
	if (writing->space == NULL)
	{
		end_writing();
		return false;
	}
	if (gm_hnsw_reattach(writing->hnsw, &writing->space->root->sp_index) != GM_OK)
	{
		fail_writing("out of memory");
		return false;
	}
	INSTR_TIME_SET_CURRENT(start);
	do
	{
		GmStatus	status = gm_hnsw_writer_step(writing->writer, writing->hnsw, SLICE_NODES,
												 &done);

		if (status != GM_OK)
		{
			fail_writing(status == GM_BAD_FILE ? strerror(errno) : "out of memory");
			return false;
		}
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
	} while (!done && INSTR_TIME_GET_MICROSEC(now) < SLICE_US);
	writing->space = NULL;
	if (!done)
		return true;
	FileWriteback(writing->file, writing->handed_over, writing->at - writing->handed_over,
				  PG_WAIT_EXTENSION);
	writing->whole = true;
	writing->whole_at = GetCurrentTimestamp();
	return false;
}

/*
 * What has changed
 */
typedef struct Look
{
	TimestampTz now;
	TimestampTz leaving;		/* since then, so that any change is enough; 0: it is not */
	bool		any;			/* one has changed enough */
	IndexKey	key;
} Look;

static bool
has_changed(const GmHnswRoot *root, IndexState *state, const Look *look)
{
	uint64		changes = atomic_load_explicit(&root->hn_begun, memory_order_relaxed);
	uint32		nodes = atomic_load_explicit(&root->hn_linked, memory_order_relaxed);

	if (changes == state->written || nodes == 0)
		return false;
	if (state->changed_at == 0)
		state->changed_at = look->now;
	if (look->leaving != 0)
		return state->failed_at < look->leaving;
	if (state->failed_at != 0 &&
		!TimestampDifferenceExceeds(state->failed_at, look->now, FAILED_MS))
		return false;

	/* to make a node and to link it are two */
	return (changes - state->written) / 2 >= nodes / CHANGED_SHARE ||
		TimestampDifferenceExceeds(state->changed_at, look->now, CHANGED_MS);
}

static void
look_at_graph(GmWorkerGraph *g, void *arg)
{
	Look	   *look = arg;

	if (look->any || g->loading || gm_graphs_attach(g) != GM_OK)
		return;
	for (uint32_t i = 0; i < gm_graph_spaces(g->graph) && !look->any; i++)
	{
		GmSpace    *space = gm_graph_space(g->graph, i);
		IndexKey	key = {g->id, gm_graph_space_info(g->graph, i)->space_id};

		if (space == NULL || !gm_space_has_index(space))
			continue;
		any_index = true;
		if (gm_space_pending(space) > space->root->sp_rows / BUILDING_SHARE)
			continue;
		look->any = has_changed(gm_mem_ptr(g->mem, space->root->sp_index.root),
								state_of(key, space->root->sp_index.root), look);
		look->key = key;
	}
}

/* files of spaces that are not there any more, though their graph is */
static void
remove_lost(void)
{
	HASH_SEQ_STATUS scan;
	IndexState *state;

	hash_seq_init(&scan, states);
	while ((state = hash_seq_search(&scan)) != NULL)
	{
		IndexKey	key = state->key;
		GmWorkerGraph *g = gm_graphs_find(key.graph_id);

		if (g == NULL || g->loading || gm_graphs_attach(g) != GM_OK ||
			space_of(g, key.space_id) != NULL)
			continue;
		remove_files(is_of_space, &key);
		(void) hash_search(states, &key, HASH_REMOVE, NULL);
	}
}

/* false: there is nothing to write */
static bool
begin_next(TimestampTz leaving)
{
	Look		look = {GetCurrentTimestamp(), leaving, false, {0, 0}};
	GmWorkerGraph *g;

	any_index = false;
	gm_graphs_each(look_at_graph, &look);
	if (!look.any)
		return false;
	g = gm_graphs_find(look.key.graph_id);
	return begin_writing(look.key, g->mem, space_of(g, look.key.space_id));
}

bool
gm_index_files_tend(void)
{
	TimestampTz now;

	if (area == NULL || !gm_guc_index_file)
	{
		if (writing != NULL)
			end_writing();
		return false;
	}
	if (writing != NULL && !writing->whole)
		return write_slice();
	now = GetCurrentTimestamp();
	if (writing != NULL)
	{
		if (TimestampDifferenceExceeds(writing->whole_at, now, SYNC_MS))
			finish_writing(true);
		return false;
	}
	if (!TimestampDifferenceExceeds(looked_at, now, LOOK_MS))
		return false;
	looked_at = now;
	remove_lost();
	return begin_next(0);
}

long
gm_index_files_next_ms(void)
{
	if (area == NULL || !gm_guc_index_file)
		return -1;
	if (writing == NULL)
		return any_index ? LOOK_MS : -1;
	return writing->whole ?
		TimestampDifferenceMilliseconds(GetCurrentTimestamp(), writing->whole_at + SYNC_MS * 1000) + 1 :
		0;
}

static bool
time_is_up(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_MILLISEC(now) > LEAVE_MS;
}

void
gm_index_files_leave(void)
{
	MemoryContext old = CurrentMemoryContext;
	TimestampTz since = GetCurrentTimestamp();
	instr_time	start;

	if (area == NULL || !gm_guc_index_file)
		return;
	INSTR_TIME_SET_CURRENT(start);
	HOLD_INTERRUPTS();
	PG_TRY();
	{
		while (!time_is_up(start))
		{
			if (writing == NULL && !begin_next(since))
				break;
			if (!writing->whole)
				(void) write_slice();
			if (writing != NULL && writing->whole)
				finish_writing(false);
		}
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		EmitErrorReport();
		FlushErrorState();
	}
	PG_END_TRY();
	RESUME_INTERRUPTS();
}

/*
 * Life
 */
void
gm_index_files_start(GmArea *a)
{
	HASHCTL		info;

	if (area != NULL)
		return;
	area = a;
	context = AllocSetContextCreate(TopMemoryContext, "graphmem index files",
									ALLOCSET_DEFAULT_SIZES);
	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(IndexKey);
	info.entrysize = sizeof(IndexState);
	info.hcxt = context;
	states = hash_create("graphmem index files", 64, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	looked_at = 0;
	any_index = false;
	StartTransactionCommand();
	remove_files(is_nobodys, NULL);
	CommitTransactionCommand();
}

void
gm_index_files_stop(void)
{
	if (area == NULL)
		return;
	end_writing();
	area = NULL;
	states = NULL;
	MemoryContextDelete(context);
	context = NULL;
}

void
gm_index_files_remove(int32 graph_id)
{
	if (writing != NULL && (graph_id == 0 || writing->key.graph_id == graph_id))
		end_writing();
	remove_files(is_of_graph, &graph_id);
}

/*
 * Reading
 */
static size_t
read_block(void *arg, void *bytes, size_t n)
{
	GmIndexReading *r = arg;
	size_t		have = 0;

	while (have < n)
	{
		int			got = FileRead(r->file, (char *) bytes + have, n - have, r->at,
								   PG_WAIT_EXTENSION);

		if (got <= 0)
			break;
		r->at += got;
		have += got;
	}
	return have;
}

/* rows may change places between the steps, which spoils an item or two, no more */
static bool
match_item(void *arg, int64_t item_id, uint64_t hash)
{
	GmIndexReading *r = arg;
	uint32_t	row = gm_space_find(r->space, item_id);

	if (row == GM_NONE || row >= r->asked_rows ||
		(r->asked[row / 64] >> (row % 64) & 1) != 0 ||
		gm_space_hash(r->space, row) != hash)
		return false;
	r->asked[row / 64] |= UINT64CONST(1) << (row % 64);
	return true;
}

static bool
vector_of_item(void *arg, int64_t item_id, const float **vector, float *scale)
{
	GmIndexReading *r = arg;
	uint32_t	row = gm_space_find(r->space, item_id);

	if (row == GM_NONE || gm_space_vector(r->space, row) == NULL)
		return false;
	*vector = gm_space_vector(r->space, row);
	*scale = GM_ARRAY_F32(&r->space->scale, row);
	return true;
}

/* an item matches once, so that there is room */
static void
keep_node(void *arg, int64_t item_id, uint32_t node)
{
	GmIndexReading *r = arg;

	if (r->count < r->room)
		r->nodes[r->count++] = (GmSpaceNode) {item_id, node, 0};
}

GmIndexReading *
gm_index_file_read_begin(int32 graph_id, int32 space_id, GmSpace *space, GmHnswWork *work)
{
	GmHnswSource source = {read_block, match_item, vector_of_item, keep_node, NULL};
	uint32		rows = space->root->sp_rows;
	GmIndexReading *r;
	GmHnswIdentity bytes;
	Identity	identity;
	GmStatus	status;

	if (area == NULL || !gm_guc_index_file)
		return NULL;
	r = MemoryContextAllocZero(context, sizeof(GmIndexReading));
	r->key = (IndexKey) {graph_id, space_id};
	path_of(r->key, r->path);
	r->file = PathNameOpenFile(r->path, O_RDONLY | PG_BINARY);
	if (r->file < 0)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not open file \"%s\": %m", r->path)));
		pfree(r);
		return NULL;
	}
	r->asked_rows = rows;
	r->asked = MemoryContextAllocExtended(context, (rows / 64 + 1) * sizeof(uint64),
										  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
	r->room = rows;
	r->nodes = MemoryContextAllocExtended(context, (rows + 1) * sizeof(GmSpaceNode),
										  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	source.arg = r;
	bytes = identity_of(r->key, &identity);
	status = r->asked == NULL || r->nodes == NULL ? GM_NO_MEMORY :
		gm_indexer_create(space, work, &gm_server_interrupt, &r->indexer);
	if (status != GM_OK)
		r->indexer = NULL;
	else
		status = gm_hnsw_reader_create(r->indexer->hnsw, &bytes,
									   Min(rows, GM_SPACE_PENDING / 4) * 2, &source, &r->reader);
	if (status == GM_OK)
		return r;
	gm_index_file_read_end(r, false);
	return NULL;
}

static bool
work_waits(void *arg)
{
	GmIndexReading *r = arg;

	return gm_interrupted(&gm_server_interrupt) ||
		(r->interrupted < FINISH_TRIES && gm_graphs_work_waits());
}

/* the index as it was made for this reading */
static bool
suits(const GmIndexReading *r, const GmSpace *space)
{
	const GmHnswRoot *root = gm_hnsw_root(r->indexer->hnsw);

	return space->root->sp_dim == root->hn_dim && space->root->sp_metric == root->hn_metric;
}

static void
report(const GmIndexReading *r, const char *refusal)
{
	uint32_t	nodes;
	uint32_t	matched;

	gm_hnsw_reader_nodes(r->reader, &nodes, &matched);
	if (refusal == NULL)
		ereport(LOG,
				(errmsg("index of vector space %d of graph %d was read from its file: %u of %u nodes",
						r->key.space_id, r->key.graph_id, matched, nodes)));
	else
		ereport(LOG,
				(errmsg("the file of the index of vector space %d of graph %d is not used: %s",
						r->key.space_id, r->key.graph_id, refusal)));
}

GmStatus
gm_index_file_read_step(GmIndexReading *r, GmSpace *space, bool *done)
{
	const GmInterrupt intr = {work_waits, r};
	GmStatus	status;
	instr_time	start;
	instr_time	now;

	*done = false;
	if (!suits(r, space))
		return GM_BAD_FILE;
	r->space = space;
	INSTR_TIME_SET_CURRENT(start);
	do
	{
		status = gm_hnsw_reader_step(r->reader, space->mem, r->indexer->hnsw, SLICE_NODES, &intr,
									 done);
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
	} while (status == GM_OK && !*done && INSTR_TIME_GET_MICROSEC(now) < SLICE_US);
	r->space = NULL;
	if (*done)
		report(r, NULL);
	if (status == GM_BAD_FILE)
		report(r, gm_hnsw_reader_refusal(r->reader));
	if (status != GM_INTERRUPTED)
		return status;
	r->interrupted++;
	return GM_OK;
}

GmIndexer *
gm_index_file_read_take(GmIndexReading *r)
{
	GmIndexer  *indexer = r->indexer;
	GmHnswView	view;

	/* what comes from the file need not be written to it */
	gm_hnsw_view(indexer->hnsw, &view);
	state_of(r->key, view.root)->written = changes_of(indexer->mem, view.root);
	r->indexer = NULL;
	return indexer;
}

uint32
gm_index_file_read_nodes(GmIndexReading *r, uint32 n, GmSpaceNode *nodes)
{
	n = Min(n, r->count - r->given);
	memcpy(nodes, r->nodes + r->given, n * sizeof(GmSpaceNode));
	r->given += n;
	return n;
}

void
gm_index_file_read_end(GmIndexReading *r, bool gone)
{
	if (r == NULL)
		return;
	gm_hnsw_reader_destroy(r->reader);
	gm_indexer_destroy(r->indexer, !gone);
	FileClose(r->file);
	if (r->asked != NULL)
		pfree(r->asked);
	if (r->nodes != NULL)
		pfree(r->nodes);
	pfree(r);
}
