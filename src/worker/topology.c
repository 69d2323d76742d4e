/*-------------------------------------------------------------------------
 *
 * topology.c
 *	  The process that computes vectors from the shape of graphs: protocol
 *	  topology of shm/topology.h.
 *
 * Started by whoever needs it (worker/topology_start.h), one per database.  It
 * serves jobs one after the other, each in these phases:
 *	 reading		the graph from its image, in one short transaction
 *	 computing		with a team (worker/team.h), outside of any
 *	 aligning		towards the version before, if there is one
 *	 storing		some thousand rows a transaction
 *	 indexing		waiting for the worker, if the version before has an index and
 *					nobody waits for the job
 *	 replacing		one transaction: topology_store.h
 * Until the last one the version before is what queries find, and nothing of
 * it has changed; an error, a cancel or a crash leaves it so.
 *
 * What comes, and what is done about it:
 *	 tj_cancel, SIGINT		the job ends, CANCELLED; the process goes on
 *	 an error				is the job's, FAILED; the process goes on
 *	 SIGTERM				the process ends, also from DROP DATABASE and its like
 *	 worker ended, extension changed, graphmem.worker off, nothing to do for
 *	 IDLE_MS				the process ends
 *
 * Aligning turns vectors; so a version that was computed from exactly what the
 * one before was computed from, and that was not turned itself, is left alone:
 * then the same data give the same bits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "core/row.h"
#include "error.h"
#include "guc.h"
#include "shm/attach.h"
#include "shm/stop.h"
#include "shm/topology.h"
#include "worker/as_owner.h"
#include "worker/main.h"
#include "worker/topology_graph.h"
#include "worker/topology_keep.h"
#include "worker/topology_store.h"

#define LOOK_MS			1000	/* at the extension */
#define IDLE_MS			10000	/* then it ends */
#define TIDY_MS			5000	/* what could not be tidied is tried again */
#define KEEP_MS			200		/* between two looks for new entities in the middle of a job */
#define ROWS_AT_ONCE	2048	/* stored in a transaction: a tenth of the queue, some ms to apply */
#define SCAN_ROWS		8192	/* read at once of the version before */
#define FETCH_ROWS		1024	/* vectors, likewise */
#define INDEX_LOOK_MS	200
#define INDEX_STALL_MS	30000	/* no row linked for so long: replace all the same */
#define ASIDE_FROM		20000	/* rows; of so many nobody need wait until they are deleted */
#define PENDING_SHARE	16		/* one of so many rows may still be without a node */

/* readers with an older snapshot find the changes in the queue until others overwrite them */
StaticAssertDecl(ROWS_AT_ONCE * (sizeof(GmChangeHeader) + sizeof(GmPlace)) <= GM_QUEUE_BYTES / 8,
				 "a transaction of vectors takes too much of the queue");

PGDLLEXPORT void graphmem_topology_main(Datum main_arg);

static GmDatabase *db;
static GmArea *area;
static uint64 generation;
static GmTopologyArea *topology;
static GmTopologyJob *current;	/* being computed */
static MemoryContext job_context;
static Oid	extension;
static char version[GM_VERSION_LENGTH];
static bool untidy;				/* there may be half-made spaces */

static bool
generation_lives(void)
{
	return atomic_load(&db->generation) == generation;
}

/*
 * The job
 */
static bool
is_cancelled(void)
{
	return current != NULL && atomic_load_explicit(&current->tj_cancel, memory_order_relaxed) != 0;
}

/* new entities do not wait for the end of a job */
static void
keep_current(void)
{
	static TimestampTz kept;
	TimestampTz now = GetCurrentTimestamp();

	if (now >= kept && !TimestampDifferenceExceeds(kept, now, KEEP_MS))
		return;
	gm_keep_run();
	kept = GetCurrentTimestamp();
}

/* at least every few milliseconds of a job; raises what shall end it */
static void
service(void *arg)
{
	(void) arg;
	CHECK_FOR_INTERRUPTS();
	if (!generation_lives())
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("the worker of graph memory has ended"),
				 errhint("Try again; see graphmem.stat_worker.")));
	if (is_cancelled())
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg(GM_TOPOLOGY_CANCEL_MESSAGE)));
	if (!IsTransactionState())
		keep_current();
}

/* for core/, which returns before service() raises the error */
static bool
interrupt_pending(void *arg)
{
	(void) arg;
	return gm_interrupted(&gm_server_interrupt) || is_cancelled() || !generation_lives();
}

static const GmInterrupt job_interrupt = {interrupt_pending, NULL, NULL};

static void
enter_phase(GmTopologyPhase phase, uint64 total)
{
	atomic_store(&current->tj_done, 0);
	atomic_store(&current->tj_total, total);
	atomic_store(&current->tj_phase, phase);
}

static double
seconds_since(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_DOUBLE(now);
}

/* compute/ has no more than a status; the team kept the error, or service tells it */
static void
check(GmStatus status, const char *what)
{
	if (status == GM_INTERRUPTED)
	{
		gm_error_raise_kept();
		service(NULL);
		gm_error_check(status, what);
	}
	if (status == GM_NO_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory while %s", what)));
	if (status != GM_OK)
		elog(ERROR, "%s ended with status %d", what, (int) status);
}

/*
 * The version before
 */
typedef struct Before
{
	int32		space_id;		/* 0: none */
	bool		indexed;
	bool		aligned;		/* it was turned towards one before it */
	bool		comparable;		/* computed in the same way, and axes may turn */
} Before;

static GmStatement find_before = {
	"SELECT space_id, parameters::pg_catalog.text,"
	" parameters OPERATOR(pg_catalog.@>) '{\"aligned\": true}'"
	" FROM graphmem.vector_spaces WHERE graph_id" GM_EQUALS "$1 AND name" GM_EQUALS "$2"
	" AND origin" GM_EQUALS "'topology' AND state" GM_EQUALS "'ready'",
	2, {INT4OID, TEXTOID}
};

static GmStatement find_graph = {
	"SELECT name::pg_catalog.text FROM graphmem.graphs WHERE graph_id" GM_EQUALS "$1",
	1, {INT4OID}
};

static GmStatement read_shapes = {
	"SELECT entity_id, shape FROM graphmem.topology_vectors"
	" WHERE space_id" GM_EQUALS "$1 AND entity_id OPERATOR(pg_catalog.>) $2"
	" ORDER BY entity_id LIMIT $3",
	3, {INT4OID, INT8OID, INT4OID}
};

static GmStatement read_vectors = {
	"SELECT entity_id, embedding FROM graphmem.topology_vectors"
	" WHERE space_id" GM_EQUALS "$1 AND entity_id" GM_EQUALS "ANY ($2) AND embedding IS NOT NULL"
	" ORDER BY entity_id",
	2, {INT4OID, INT8ARRAYOID}
};

/* columns of these methods are what an eigenproblem leaves open, up to a rotation */
static bool
may_turn(const GmTopologySpec *spec)
{
	return spec->align && spec->opts.method != GM_TOPOLOGY_FASTRP &&
		spec->opts.method != GM_TOPOLOGY_SMOOTH;
}

static bool
same_way(const GmTopologySpec *spec, const char *parameters)
{
	GmTopologySpec other;

	if (!gm_topology_spec_parse(parameters, &other))
		return false;
	other.align = spec->align;
	other.space = spec->space;
	return strcmp(gm_topology_spec_json(spec), gm_topology_spec_json(&other)) == 0;
}

/* inside of SPI */
static void
look_before(int32 graph_id, const GmTopologySpec *spec, Before *before)
{
	Datum		args[2] = {Int32GetDatum(graph_id), CStringGetTextDatum(spec->space)};
	bool		isnull;

	memset(before, 0, sizeof(*before));
	(void) gm_statement_read(&find_before, args);
	if (SPI_processed == 1)
	{
		char	   *parameters = TextDatumGetCString(gm_statement_value(0, 2, &isnull));

		before->space_id = DatumGetInt32(gm_statement_value(0, 1, &isnull));
		before->aligned = DatumGetBool(gm_statement_value(0, 3, &isnull));
		before->comparable = may_turn(spec) && same_way(spec, parameters);
	}
	SPI_freetuptable(SPI_tuptable);
}

static char *
graph_name(int32 graph_id)
{
	Datum		arg = Int32GetDatum(graph_id);
	bool		isnull;

	(void) gm_statement_read(&find_graph, &arg);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("graph %d does not exist any more", graph_id)));
	return TextDatumGetCString(gm_statement_value(0, 1, &isnull));
}

/* only where the image has the space at hand: a private one would load it */
static bool
is_indexed(GmImage *image, int32 space_id)
{
	GmSpaceInfo *info = image->shared ? gm_image_find_space(image, space_id) : NULL;

	if (info == NULL)
		return false;
	gm_image_load_space(image, info);
	return gm_space_has_index(info->space);
}

/*
 * Reading
 */
static void
check_limit(const GmTopologySpec *spec, const GmTopologyGraph *graph)
{
	GmGraphEntry *entry = gm_area_find(area, current->tj_graph);
	uint64		limit = atomic_load(&area->ar_memory_limit);
	uint64		image = entry == NULL ? 0 : atomic_load(&entry->gr_bytes);
	uint64		space = gm_topology_space_bytes(spec, graph->n);

	if (limit == 0 || image + space <= limit)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("vector space \"%s\" would not fit into graphmem.memory_limit", spec->space),
			 errdetail("The limit is %llu bytes, the image of the graph has %llu, and %u vectors of %u elements need about %llu.",
					   (unsigned long long) limit, (unsigned long long) image, graph->n,
					   spec->opts.dim, (unsigned long long) space),
			 errhint("Raise \"graphmem.memory_limit\", or take a smaller dim.")));
}

static void
read_graph(const GmTopologySpec *spec, GmTopologyGraph *graph, Before *before)
{
	GmTopologyReading reading = {
		.spec = spec, .intr = &job_interrupt, .members = gm_guc_compute_workers,
		.service = service
	};
	GmAsOwner	as;
	char	   *name;

	enter_phase(GM_TOPOLOGY_READING, 0);
	gm_as_owner_begin(&as);
	SPI_connect();
	name = MemoryContextStrdup(job_context, graph_name(current->tj_graph));
	look_before(current->tj_graph, spec, before);
	SPI_finish();
	MemoryContextSwitchTo(job_context);
	reading.image = gm_image_open(name);
	gm_topology_graph_count(&reading, graph);
	atomic_store(&current->tj_total, graph->n);
	atomic_store(&current->tj_nodes, graph->n);
	atomic_store(&current->tj_arcs, 2 * graph->facts);
	atomic_store(&current->tj_bytes, graph->bytes);
	check_limit(spec, graph);
	before->indexed = before->space_id != 0 && is_indexed(reading.image, before->space_id);
	if (graph->n > 0)
		gm_topology_graph_read(&reading, graph);
	gm_as_owner_end(&as);
	atomic_store(&current->tj_done, graph->n);
}

/*
 * Aligning
 */
typedef struct Pairs
{
	uint32		same;			/* nodes of both versions whose shape did not change */
	uint32		common;			/* of both versions */
	uint32		gone;			/* of the version before only */
	uint32	   *of_same;		/* their numbers, ascending */
	uint32	   *of_common;
} Pairs;

static int64
key_at(const GmTopologyGraph *graph, uint32 i)
{
	return (int64) ((uint64 *) (graph->team->base + graph->keys))[i];
}

static void
compare_row(const GmTopologyGraph *graph, Pairs *pairs, uint32 *at, int64 entity_id,
			bool provisional, uint64 shape)
{
	while (*at < graph->n && key_at(graph, *at) < entity_id)
		(*at)++;
	if (*at == graph->n || key_at(graph, *at) != entity_id)
	{
		pairs->gone++;
		return;
	}
	if (provisional)
		return;
	pairs->of_common[pairs->common++] = *at;
	if (graph->shape[*at] == shape)
		pairs->of_same[pairs->same++] = *at;
}

static void
find_pairs(const GmTopologyGraph *graph, const Before *before, Pairs *pairs)
{
	Datum		args[3] = {Int32GetDatum(before->space_id), Int64GetDatum(PG_INT64_MIN),
	Int32GetDatum(SCAN_ROWS)};
	uint32		at = 0;
	uint64		n;
	GmAsOwner	as;

	memset(pairs, 0, sizeof(*pairs));
	pairs->of_same = MemoryContextAllocHuge(job_context, graph->n * sizeof(uint32));
	pairs->of_common = MemoryContextAllocHuge(job_context, graph->n * sizeof(uint32));
	gm_as_owner_begin(&as);
	SPI_connect();
	do
	{
		service(NULL);
		(void) gm_statement_read(&read_shapes, args);
		n = SPI_processed;
		for (uint64 i = 0; i < n; i++)
		{
			bool		isnull;
			uint64		shape = (uint64) DatumGetInt64(gm_statement_value(i, 2, &isnull));

			compare_row(graph, pairs, &at, DatumGetInt64(gm_statement_value(i, 1, NULL)), isnull, shape);
			args[1] = Int64GetDatum(DatumGetInt64(gm_statement_value(i, 1, NULL)));
		}
		SPI_freetuptable(SPI_tuptable);
		atomic_fetch_add(&current->tj_done, n);
	} while (n == SCAN_ROWS);
	SPI_finish();
	gm_as_owner_end(&as);
}

/* their vectors as they were, one after the other; how many of them were there */
static uint32
fetch_vectors(const GmTopologyGraph *graph, const GmTopologySpec *spec, int32 space_id,
			  uint32 *numbers, uint32 n)
{
	float	   *to = (float *) (graph->team->base + graph->pairs);
	uint32		dim = spec->opts.dim;
	Datum	   *ids = palloc(FETCH_ROWS * sizeof(Datum));
	uint32		found = 0;
	GmAsOwner	as;

	gm_as_owner_begin(&as);
	SPI_connect();
	for (uint32 from = 0; from < n; from += FETCH_ROWS)
	{
		uint32		count = Min(n - from, FETCH_ROWS);
		uint32		at = from;
		Datum		args[2] = {Int32GetDatum(space_id), 0};

		service(NULL);
		for (uint32 i = 0; i < count; i++)
			ids[i] = Int64GetDatum(key_at(graph, numbers[from + i]));
		args[1] = PointerGetDatum(construct_array(ids, (int) count, INT8OID, sizeof(int64), true,
												  TYPALIGN_DOUBLE));
		(void) gm_statement_read(&read_vectors, args);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			int64		id = DatumGetInt64(gm_statement_value(i, 1, NULL));
			bool		isnull;
			ArrayType  *array = DatumGetArrayTypeP(gm_statement_value(i, 2, &isnull));

			while (key_at(graph, numbers[at]) < id)
				at++;
			if (ARR_NDIM(array) == 1 && ARR_DIMS(array)[0] == (int) dim && !ARR_HASNULL(array))
			{
				memcpy(to + (size_t) found * dim, ARR_DATA_PTR(array), dim * sizeof(float));
				numbers[found++] = numbers[at];
			}
		}
		SPI_freetuptable(SPI_tuptable);
		pfree(DatumGetPointer(args[1]));
	}
	SPI_finish();
	gm_as_owner_end(&as);
	pfree(ids);
	return found;
}

/* n of them, evenly */
static uint32
sample(uint32 *numbers, uint32 n)
{
	uint32		most = Min(n, GM_TOPOLOGY_PAIRS);

	for (uint32 i = 0; i < most; i++)
		numbers[i] = numbers[(uint64) i * n / most];
	return most;
}

/* are all the nodes that the version before does not have without a direction */
static bool
others_are_zero(const GmTopologyGraph *graph, const Pairs *pairs, uint32 dim, const float *x)
{
	uint32		at = 0;

	for (uint32 i = 0; i < graph->n; i++)
	{
		if (at < pairs->same && pairs->of_same[at] == i)
		{
			at++;
			continue;
		}
		for (uint32 j = 0; j < dim; j++)
			if (x[(size_t) i * dim + j] != 0)
				return false;
	}
	return true;
}

/* true: the vectors were turned */
static bool
align(const GmTopologySpec *spec, const GmTopologyGraph *graph, const Before *before, GmOffset x)
{
	uint32		dim = spec->opts.dim;
	uint32	   *now;
	uint32	   *then;
	uint32		n;
	Pairs		pairs;

	if (!before->comparable)
		return false;
	enter_phase(GM_TOPOLOGY_ALIGNING, graph->n);
	find_pairs(graph, before, &pairs);
	if (!before->aligned && pairs.gone == 0 && pairs.same == pairs.common &&
		others_are_zero(graph, &pairs, dim, (const float *) (graph->team->base + x)))
		return false;
	now = pairs.same >= dim ? pairs.of_same : pairs.of_common;
	n = sample(now, pairs.same >= dim ? pairs.same : pairs.common);
	n = fetch_vectors(graph, spec, before->space_id, now, n);
	if (n == 0)
		return false;
	then = MemoryContextAllocHuge(job_context, n * sizeof(uint32));
	for (uint32 i = 0; i < n; i++)
		then[i] = i;
	check(gm_compute()->align(graph->team, x, graph->n, dim, graph->pairs, n, now, then, graph->align),
		  "aligning vectors");
	return true;
}

/*
 * Storing
 */

/* how many nodes have no vector */
static uint32
store(const GmTopologySpec *spec, const GmTopologyGraph *graph, GmOffset x, int32 space_id)
{
	const float *vectors = (const float *) (graph->team->base + x);
	const int64 *keys = (const int64 *) (graph->team->base + graph->keys);
	uint32		blank = 0;

	enter_phase(GM_TOPOLOGY_STORING, graph->n);
	for (uint32 from = 0; from < graph->n; from += ROWS_AT_ONCE)
	{
		uint32		n = Min(graph->n - from, ROWS_AT_ONCE);

		service(NULL);
		blank += gm_store_rows(space_id, current->tj_graph, keys + from, graph->shape + from,
							   vectors + (size_t) from * spec->opts.dim, n, spec->opts.dim);
		atomic_store(&current->tj_done, from + n);
		GM_STOP(topology_storing);
	}
	return blank;
}

/* rows with a node of the index; false: it will have none, as far as can be told */
static bool
look_at_index(int32 space_id, uint64 *rows, uint64 *linked)
{
	GmAsOwner	as;
	const char *why;
	GmImage    *image;
	GmSpaceInfo *info;
	bool		wanted = false;
	GmSpaceEntry *entry = gm_area_space(area, space_id);

	if (entry != NULL && atomic_load(&entry->se_status) != GM_OK)
		return false;
	gm_as_owner_begin(&as);
	SPI_connect();
	image = gm_image_open_shared(graph_name(current->tj_graph), &why);
	info = image == NULL ? NULL : gm_image_find_space(image, space_id);
	if (info != NULL)
	{
		gm_image_load_space(image, info);
		*rows = info->space->root->sp_rows;
		*linked = gm_space_has_index(info->space) ? *rows - gm_space_pending(info->space) : 0;
		wanted = gm_space_has_index(info->space) || gm_space_wants_index(info->space);
	}
	SPI_finish();
	gm_as_owner_end(&as);
	return wanted;
}

/*
 * Searches of the version before are quick; those of a large space without an
 * index are not, so that its name waits until the worker has linked it.
 */
static void
wait_for_index(int32 space_id)
{
	TimestampTz moved = GetCurrentTimestamp();
	uint64		rows;
	uint64		linked;
	uint64		last = 0;

	enter_phase(GM_TOPOLOGY_INDEXING, 0);
	while (look_at_index(space_id, &rows, &linked))
	{
		atomic_store(&current->tj_total, rows);
		atomic_store(&current->tj_done, linked);
		if (rows - linked <= rows / PENDING_SHARE)
			break;
		if (linked != last)
			moved = GetCurrentTimestamp();
		last = linked;
		if (TimestampDifferenceExceeds(moved, GetCurrentTimestamp(), INDEX_STALL_MS))
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, INDEX_LOOK_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		service(NULL);
	}
}

static char *
results(const GmTopologyGraph *graph, uint32 blank, bool aligned, int members, instr_time start)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"nodes\": %u, \"blank\": %u, \"arcs\": %llu, \"aligned\": %s, \"members\": %d,"
					 " \"memory\": %zu, \"compute_seconds\": %.3f, \"seconds\": %.3f, \"blas\": ",
					 graph->n, blank, (unsigned long long) atomic_load(&current->tj_arcs),
					 aligned ? "true" : "false", members, graph->bytes,
					 current->tj_compute_seconds, seconds_since(start));
	escape_json(&json, gm_compute()->config());
	appendStringInfoChar(&json, '}');
	return json.data;
}

/*
 * What compute/ is given: the team, and at each phase a look at how far it is.
 */
typedef struct Counted
{
	GmTeam		team;			/* first: run is given its address */
	GmTeam	   *inner;
} Counted;

static GmStatus
run_counted(GmTeam *team, GmKernel kernel, const void *args, size_t bytes, uint32_t blocks)
{
	GmTeam	   *inner = ((Counted *) team)->inner;
	const GmProgress *progress = inner->intr->progress;

	atomic_store(&current->tj_members, (uint64) gm_team_members());
	GM_STOP(topology_computing);
	if (progress->phase == GM_PHASE_ITERATING)
	{
		atomic_store(&current->tj_done, progress->done);
		atomic_store(&current->tj_total, progress->total);
	}
	return inner->run(inner, kernel, args, bytes, blocks);
}

static GmOffset
compute_vectors(const GmTopologySpec *spec, GmTopologyGraph *graph)
{
	const GmComputeApi *api = gm_compute();
	Counted		counted = {*graph->team, graph->team};
	GmCsr		csr;
	GmOffset	x;
	instr_time	start;

	counted.team.run = run_counted;
	enter_phase(GM_TOPOLOGY_COMPUTING, 0);
	INSTR_TIME_SET_CURRENT(start);
	check(api->csr_finish(&graph->build, &counted.team, &csr), "sorting arcs");
	csr.keys = graph->keys;
	atomic_store(&current->tj_arcs, csr.arcs);
	check(api->embed(&counted.team, &csr, &spec->opts, graph->given, graph->work, graph->work_bytes,
					 &x, NULL), "computing vectors");
	current->tj_compute_seconds = seconds_since(start);
	return x;
}

/*
 * A job from start to end; *space_id is that of the new version once it is
 * there, and 0 again when it has taken the name.
 */
static void
compute(volatile int32 *space_id, instr_time start)
{
	GmTopologySpec spec;
	GmTopologyGraph graph;
	Before		before;
	int32		graph_id = current->tj_graph;
	GmOffset	x = GM_NOWHERE;
	bool		aligned = false;
	bool		aside;
	int			members = 1;
	uint32		blank = 0;
	bool		by_itself = !OidIsValid(current->tj_role);
	char	   *json;

	if (!gm_topology_spec_parse(current->tj_spec, &spec))
		elog(ERROR, "invalid specification of a topology job");
	read_graph(&spec, &graph, &before);
	if (by_itself && before.space_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the vector space that was to be computed anew was dropped")));
	if (graph.n > 0)
	{
		x = compute_vectors(&spec, &graph);
		members = gm_team_members();
		aligned = align(&spec, &graph, &before, x);
	}
	*space_id = gm_store_begin(graph_id, &spec);
	if (graph.n > 0)
		blank = store(&spec, &graph, x, *space_id);
	json = results(&graph, blank, aligned, members, start);
	gm_team_end();
	/* who waits wants the vectors, and rather searches them one by one */
	if (before.indexed && current->tj_waiter == 0)
		wait_for_index(*space_id);
	enter_phase(GM_TOPOLOGY_REPLACING, 0);
	service(NULL);
	aside = before.space_id != 0 && graph.n >= ASIDE_FROM;
	gm_store_finish(*space_id, graph_id, &spec, json, by_itself ? before.space_id : 0, aside);
	untidy |= aside;
	gm_keep_computed(*space_id, graph_id, seconds_since(start));
	*space_id = 0;
}

/*
 * Jobs
 */
static GmTopologyJob *
next_job(void)
{
	GmTopologyJob *next = NULL;

	LWLockAcquire(&topology->tp_lock, LW_EXCLUSIVE);
	for (int i = 0; i < GM_TOPOLOGY_JOBS; i++)
	{
		GmTopologyJob *job = &topology->job[i];

		if (job->tj_state == GM_TOPOLOGY_QUEUED &&
			(next == NULL || job->tj_number < next->tj_number))
			next = job;
	}
	if (next != NULL)
	{
		next->tj_state = GM_TOPOLOGY_RUNNING;
		atomic_store(&next->tj_started_at, (uint64) GetCurrentTimestamp());
	}
	LWLockRelease(&topology->tp_lock);
	return next;
}

static void
end_job(GmTopologyState state, const ErrorData *error)
{
	GmTopologyJob *job = current;

	LWLockAcquire(&topology->tp_lock, LW_EXCLUSIVE);
	if (error != NULL)
	{
		job->tj_sqlstate = error->sqlerrcode;
		strlcpy(job->tj_error, error->message, sizeof(job->tj_error));
		strlcpy(job->tj_detail, error->detail == NULL ? "" : error->detail, sizeof(job->tj_detail));
		strlcpy(job->tj_hint, error->hint == NULL ? "" : error->hint, sizeof(job->tj_hint));
	}
	job->tj_state = job->tj_waiter == 0 ? GM_TOPOLOGY_FREE : state;
	current = NULL;
	LWLockRelease(&topology->tp_lock);
	ConditionVariableBroadcast(&topology->tp_changed);
}

/* what who waits is told of an error that says nothing of the job */
static void
explain(ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || is_cancelled())
	{
		error->sqlerrcode = ERRCODE_QUERY_CANCELED;
		error->message = GM_TOPOLOGY_CANCEL_MESSAGE;
		error->detail = error->hint = NULL;
	}
	else if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		error->message = "could not lock a table of topology embeddings";
		error->detail = "Another transaction, or that of who asks, has held a lock for too long.";
		error->hint = "Try again; see pg_locks.";
	}
	else if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION)
	{
		error->sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		error->message = "a vector space of the same name was created meanwhile";
		error->detail = NULL;
		error->hint = "Choose another name for the space.";
	}
	else if (error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION)
	{
		error->sqlerrcode = ERRCODE_UNDEFINED_OBJECT;
		error->message = "the vector space that was being computed, or its graph, was dropped";
		error->detail = NULL;
	}
}

/* of a job whose error was caught; what it raises itself is kept for the log */
static void
clean_up(void)
{
	HOLD_INTERRUPTS();
	QueryCancelPending = false;
	gm_as_owner_recover();
	gm_team_end();
	RESUME_INTERRUPTS();
}

static void
tidy(void)
{
	untidy = false;
	PG_TRY();
	{
		gm_store_tidy();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(job_context);
		EmitErrorReport();
		clean_up();
		untidy = true;
	}
	PG_END_TRY();
}

static void
log_end(const ErrorData *error)
{
	/* who waits is told; nobody else would hear of it, and nobody misses what was dropped */
	if (error != NULL && current->tj_waiter == 0 && error->sqlerrcode != ERRCODE_QUERY_CANCELED &&
		(OidIsValid(current->tj_role) || error->sqlerrcode != ERRCODE_UNDEFINED_OBJECT))
		ereport(LOG,
				(errmsg("topology embeddings of graph %d could not be computed: %s",
						current->tj_graph, error->message),
				 error->detail == NULL ? 0 : errdetail_internal("%s", error->detail)));
}

static void
run_job(void)
{
	volatile int32 space_id = 0;
	ErrorData  *volatile error = NULL;
	GmTopologyState state;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	pgstat_report_activity(STATE_RUNNING, "computing topology embeddings");
	QueryCancelPending = false;
	MemoryContextSwitchTo(job_context);
	PG_TRY();
	{
		service(NULL);
		compute(&space_id, start);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(job_context);
		error = CopyErrorData();
		explain(error);
		clean_up();
	}
	PG_END_TRY();
	state = error == NULL ? GM_TOPOLOGY_DONE :
		error->sqlerrcode == ERRCODE_QUERY_CANCELED ? GM_TOPOLOGY_CANCELLED : GM_TOPOLOGY_FAILED;
	log_end(error);
	if (space_id != 0)
		tidy();
	current->tj_seconds = seconds_since(start);
	end_job(state, error);
	if (untidy)
		tidy();
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(job_context);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * The process
 */
static void
look_once_in_a_while(void)
{
	static TimestampTz looked;
	TimestampTz now = GetCurrentTimestamp();
	Oid			oid;
	char		its_version[GM_VERSION_LENGTH];

	if (looked != 0 && !TimestampDifferenceExceeds(looked, now, LOOK_MS))
		return;
	looked = now;
	if (!gm_worker_look_at_extension(&oid, its_version) || oid != extension ||
		strcmp(its_version, version) != 0)
		proc_exit(0);
}

/* nothing is under way */
static void
between_jobs(void)
{
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		gm_worker_set_friendly(true);
	}
	if (!gm_guc_worker || !generation_lives())
		proc_exit(0);
	look_once_in_a_while();
}

/* both under tp_lock */
static void
take_place(void)
{
	atomic_store(&topology->tp_pid, (uint32) MyProcPid);
	atomic_store(&topology->tp_proc, gm_compat_proc_number() + 1);
}

static void
leave_place(void)
{
	atomic_store(&topology->tp_proc, 0);
	atomic_store(&topology->tp_pid, 0);
}

/* false: somebody wants something after all */
static bool
give_up_place(void)
{
	bool		free;

	LWLockAcquire(&topology->tp_lock, LW_EXCLUSIVE);
	leave_place();

	/* pairs with gm_topology_want, which sets it and then looks who is there */
	free = atomic_load(&topology->tp_wanted) == 0;
	if (!free)
		take_place();
	LWLockRelease(&topology->tp_lock);
	return free;
}

/* a space of which enough has changed is computed again, as if somebody had asked */
static void
ask_for_what_is_due(void)
{
	MemoryContext old = MemoryContextSwitchTo(job_context);
	GmTopologySpec spec;
	int32		graph_id;
	uint64		number;

	while (gm_keep_due(&graph_id, &spec))
		(void) gm_topology_ask(topology, graph_id, InvalidOid, 0, gm_topology_spec_json(&spec),
							   &number);
	MemoryContextSwitchTo(old);
	MemoryContextReset(job_context);
}

static void
sleep_until_woken(void)
{
	long		ms = gm_keep_next_ms();

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms < 0 ? LOOK_MS : Min(ms, LOOK_MS), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

static void
serve(void)
{
	TimestampTz busy = GetCurrentTimestamp();
	TimestampTz tidied = 0;

	for (;;)
	{
		between_jobs();
		if (untidy && TimestampDifferenceExceeds(tidied, GetCurrentTimestamp(), TIDY_MS))
		{
			tidied = GetCurrentTimestamp();
			tidy();
		}
		gm_keep_run();
		ask_for_what_is_due();
		current = next_job();
		if (current != NULL)
		{
			run_job();
			busy = GetCurrentTimestamp();
			continue;
		}
		if (gm_keep_next_ms() >= 0)
			busy = GetCurrentTimestamp();
		else if (TimestampDifferenceExceeds(busy, GetCurrentTimestamp(), IDLE_MS))
		{
			if (give_up_place())
				proc_exit(0);
			continue;			/* who came in between could not wake it */
		}
		sleep_until_woken();
	}
}

/* false: there is one already */
static bool
claim(void)
{
	bool		ours = false;

	LWLockAcquire(&topology->tp_lock, LW_EXCLUSIVE);
	if (atomic_load(&topology->tp_pid) == 0)
	{
		take_place();
		ours = true;
	}
	LWLockRelease(&topology->tp_lock);
	return ours;
}

static void
leave(int code, Datum arg)
{
	bool		unfinished;

	LWLockReleaseAll();
	if (current != NULL)
	{
		ErrorData	error = {
			.sqlerrcode = ERRCODE_ADMIN_SHUTDOWN,
			.message = "the process that computed topology embeddings was terminated"
		};

		end_job(GM_TOPOLOGY_FAILED, &error);
	}
	LWLockAcquire(&topology->tp_lock, LW_EXCLUSIVE);
	unfinished = atomic_load(&topology->tp_pid) == (uint32) MyProcPid;
	if (unfinished)
	{
		leave_place();
		atomic_store(&topology->tp_wanted, 1);
	}
	LWLockRelease(&topology->tp_lock);
	ConditionVariableBroadcast(&topology->tp_changed);
	if (unfinished)
		gm_control_wake(db);
}

static void
set_session(void)
{
	static const char *const settings[][2] = {
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"default_transaction_read_only", "off"},
		{"synchronous_commit", "off"},	/* rows; the change of versions waits for the disk */
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"lock_timeout", "10s"},	/* who waits for this process may hold the lock */
		{"search_path", ""},
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"},
		{"graphmem.consistency", "fresh"},
	};

	gm_worker_set_session("graphmem topology", settings, lengthof(settings));
}

void
graphmem_topology_main(Datum main_arg)
{
	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (gm_control() == NULL)
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(main_arg), InvalidOid, 0);
	set_session();
	if (!gm_worker_look_at_extension(&extension, version))
		proc_exit(0);
	area = gm_attach(&db);
	if (area == NULL || area->ar_generation != generation)
		proc_exit(0);
	gm_attach_hold();
	topology = gm_area_topology(area);
	if (!claim())
		proc_exit(0);
	before_shmem_exit(leave, (Datum) 0);
	gm_worker_set_friendly(true);
	job_context = AllocSetContextCreate(TopMemoryContext, "graphmem topology job",
										ALLOCSET_DEFAULT_SIZES);
	untidy = true;
	gm_keep_start(area);
	serve();
}
