/*-------------------------------------------------------------------------
 *
 * fn_topology.c
 *	  Asking for topology embeddings, cancelling, and what the views show of it.
 *
 * The work is that of the topology process (worker/topology.c); what is here
 * checks the arguments and the caller's privileges, hands over a job and waits
 * for its end: protocol topology of shm/topology.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "api/rows.h"
#include "api/sql.h"
#include "core/arcs.h"
#include "error.h"
#include "guc.h"
#include "image/fetch.h"
#include "image/image.h"
#include "shm/attach.h"
#include "shm/control.h"
#include "shm/spaces.h"
#include "shm/topology.h"
#include "worker/topology_graph.h"
#include "worker/topology_spec.h"
#include "worker/topology_start.h"

PG_FUNCTION_INFO_V1(graphmem_cancel_topology);
PG_FUNCTION_INFO_V1(graphmem_stat_get_progress_topology);
PG_FUNCTION_INFO_V1(graphmem_stat_get_topology);

#define SPACE_NAME_BYTES	1000
#define DEFAULT_METHOD		"propagation"
#define DEFAULT_SPACE		"topology"
#define LOOK_MS				500		/* whether the process is there */
#define START_MS			60000	/* until it must be */
#define WORKER_MS			5000	/* that a worker may not be started for */

enum
{
	ARG_METHOD = 0,
	ARG_DIM,
	ARG_SPACE,
	ARG_PREDICATES,
	ARG_WEIGHTED,
	ARG_SEED,
	ARG_OPTIONS,
	ARG_SOURCE_SPACE,
	ARG_ESTIMATE,
	ARG_WAIT,
	ARG_GRAPH
};

typedef struct Request
{
	GmTopologySpec spec;
	int32		graph_id;
	char	   *graph;
} Request;

/*
 * Privileges
 */
static void
need_all(const char *table, AclMode mode)
{
	Oid			relid = gm_sql_relid(table);

	if (pg_class_aclmask(relid, GetUserId(), mode, ACLMASK_ALL) != mode)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", table),
				 errhint("Computing topology embeddings needs INSERT, UPDATE and DELETE on graphmem.vector_spaces and graphmem.topology_vectors.")));
}

static void
check_privileges(bool estimate)
{
	const char *why;

	if (!gm_image_privileged(&why))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to compute topology embeddings"),
				 errdetail("The role may not read every row of every table of the graph: %s.", why)));
	if (estimate)
		return;
	need_all("vector_spaces", ACL_INSERT | ACL_UPDATE | ACL_DELETE);
	need_all("topology_vectors", ACL_INSERT | ACL_UPDATE | ACL_DELETE);
}

/*
 * Arguments
 */
static GmSql find_graph = {
	"SELECT graph_id FROM graphmem.graphs WHERE name" GM_EQ "$1",
	1, {TEXTOID}
};

static GmSql find_predicates = {
	"SELECT DISTINCT name COLLATE pg_catalog.\"C\" FROM graphmem.predicates WHERE graph_id" GM_EQ "$1"
	" AND name" GM_EQ "ANY ($2) ORDER BY 1",
	2, {INT4OID, TEXTARRAYOID}
};

static GmSql find_space = {
	"SELECT origin, target, dim, parameters::pg_catalog.text FROM graphmem.vector_spaces"
	" WHERE graph_id" GM_EQ "$1 AND name" GM_EQ "$2",
	2, {INT4OID, TEXTOID}
};

static void
read_graph_name(FunctionCallInfo fcinfo, int n, Request *request)
{
	char	   *name = gm_arg_cstring(fcinfo, n);
	Datum		arg;
	bool		isnull;

	request->graph = name != NULL ? name : pstrdup(gm_guc_graph);
	arg = CStringGetTextDatum(request->graph);
	gm_sql_read(&find_graph, &arg, NULL);
	if (SPI_processed != 1)
		gm_image_undefined_graph(request->graph);
	request->graph_id = DatumGetInt32(gm_sql_datum(0, 1, &isnull));
	gm_sql_done();
}

typedef struct Space
{
	bool		there;
	bool		computed;
	bool		of_entities;
	int			dim;
	char	   *parameters;
} Space;

static void
look_at_space(const Request *request, const char *name, Space *space)
{
	Datum		args[2] = {Int32GetDatum(request->graph_id), CStringGetTextDatum(name)};
	bool		isnull;

	memset(space, 0, sizeof(*space));
	gm_sql_read(&find_space, args, NULL);
	if (SPI_processed == 1)
	{
		space->there = true;
		space->computed = strcmp(TextDatumGetCString(gm_sql_datum(0, 1, &isnull)), "topology") == 0;
		space->of_entities = strcmp(TextDatumGetCString(gm_sql_datum(0, 2, &isnull)), "entity") == 0;
		space->dim = DatumGetInt32(gm_sql_datum(0, 3, &isnull));
		space->parameters = TextDatumGetCString(gm_sql_datum(0, 4, &isnull));
	}
	gm_sql_done();
}

static char *
read_space_name(FunctionCallInfo fcinfo)
{
	char	   *name = gm_arg_cstring(fcinfo, ARG_SPACE);

	if (name == NULL)
		return pstrdup(DEFAULT_SPACE);
	if (strlen(name) < 1 || strlen(name) > SPACE_NAME_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("name of a vector space must have 1 to %d bytes", SPACE_NAME_BYTES)));
	return name;
}

static void
read_predicates(FunctionCallInfo fcinfo, Request *request)
{
	Datum		args[2] = {Int32GetDatum(request->graph_id), 0};
	GmTopologySpec *spec = &request->spec;
	ArrayType  *array;
	bool		isnull;
	int			n;

	if (PG_ARGISNULL(ARG_PREDICATES))
		return;
	array = PG_GETARG_ARRAYTYPE_P(ARG_PREDICATES);
	(void) gm_arg_texts(fcinfo, ARG_PREDICATES, "predicates", &n);
	args[1] = PointerGetDatum(array);
	gm_sql_read(&find_predicates, args, NULL);
	spec->n_predicates = (int) SPI_processed;
	spec->predicates = palloc((SPI_processed + 1) * sizeof(char *));
	for (uint64 i = 0; i < SPI_processed; i++)
		spec->predicates[i] = TextDatumGetCString(gm_sql_datum(i, 1, &isnull));
	gm_sql_done();
	if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) > 0 && spec->n_predicates == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("none of the predicates exists in graph \"%s\"", request->graph)));
}

static void
read_source(FunctionCallInfo fcinfo, Request *request, bool dim_given)
{
	GmTopologySpec *spec = &request->spec;
	char	   *name = gm_arg_cstring(fcinfo, ARG_SOURCE_SPACE);
	Space		space;

	if (spec->opts.method != GM_TOPOLOGY_SMOOTH)
	{
		if (name != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("source_space is for method \"smooth\" only")));
		spec->given = NULL;
		return;
	}
	if (name != NULL)
		spec->given = name;
	if (spec->given == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"smooth\" needs a source_space"),
				 errhint("Name the vector space whose vectors are to be smoothed.")));
	look_at_space(request, spec->given, &space);
	if (!space.there)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("vector space \"%s\" does not exist",
						gm_error_quote(spec->given, strlen(spec->given)))));
	if (space.computed || !space.of_entities)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("vector space \"%s\" cannot be smoothed", spec->given),
				 errdetail("Vectors that the user stored for entities can be.")));
	if (dim_given && (int) spec->opts.dim != space.dim)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("smoothed vectors have the dimension of vector space \"%s\", which is %d",
						spec->given, space.dim)));
	gm_topology_spec_check_dim(space.dim);
	spec->opts.dim = (uint32_t) space.dim;
}

/* how the space was computed last, if nothing else is asked for */
static bool
take_last(const Space *space, GmTopologySpec *spec)
{
	return space->there && space->computed && gm_topology_spec_parse(space->parameters, spec);
}

static void
read_request(FunctionCallInfo fcinfo, Request *request)
{
	GmTopologySpec *spec = &request->spec;
	char	   *method = gm_arg_cstring(fcinfo, ARG_METHOD);
	char	   *name = read_space_name(fcinfo);
	Jsonb	   *options = PG_ARGISNULL(ARG_OPTIONS) ? NULL : PG_GETARG_JSONB_P(ARG_OPTIONS);
	bool		dim_given = !PG_ARGISNULL(ARG_DIM);
	int			dim = dim_given ? PG_GETARG_INT32(ARG_DIM) : GM_TOPOLOGY_DEFAULT_DIM;
	int64		seed = PG_ARGISNULL(ARG_SEED) ? 0 : PG_GETARG_INT64(ARG_SEED);
	Space		space;

	read_graph_name(fcinfo, ARG_GRAPH, request);
	look_at_space(request, name, &space);
	if (space.there && !space.computed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("vector space \"%s\" holds vectors that were stored, not computed",
						gm_error_quote(name, strlen(name))),
				 errhint("Choose another name for the space.")));
	gm_topology_spec_check_dim(dim);
	if (method != NULL || !take_last(&space, spec))
		gm_topology_spec_make(method == NULL ? DEFAULT_METHOD : method, dim, seed, options, spec);
	else
	{
		if (dim_given)
			spec->opts.dim = (uint32_t) dim;
		if (!PG_ARGISNULL(ARG_SEED))
			spec->opts.seed = (uint64_t) seed;
		gm_topology_spec_set(spec, options);
	}
	spec->space = name;
	if (!PG_ARGISNULL(ARG_WEIGHTED))
		spec->weighted = PG_GETARG_BOOL(ARG_WEIGHTED);
	read_predicates(fcinfo, request);
	read_source(fcinfo, request, dim_given);
}

/*
 * Rows
 */
typedef struct Outcome
{
	const char *state;
	bool		counted;
	uint64		nodes;
	uint64		arcs;
	uint64		memory;
	double		seconds;		/* below 0: not known */
} Outcome;

static void
put_result(FunctionCallInfo fcinfo, const GmTopologySpec *spec, const Outcome *result)
{
	GmRows		rows;

	gm_rows_begin(fcinfo, &rows);
	gm_row_cstring(&rows, spec->space);
	gm_row_cstring(&rows, gm_topology_method_name(spec->opts.method));
	gm_row_int4(&rows, (int32) spec->opts.dim);
	if (result->counted)
	{
		gm_row_int8(&rows, (int64) result->nodes);
		gm_row_int8(&rows, (int64) result->arcs);
		gm_row_int8(&rows, (int64) result->memory);
	}
	else
	{
		gm_row_null(&rows);
		gm_row_null(&rows);
		gm_row_null(&rows);
	}
	if (result->seconds < 0)
		gm_row_null(&rows);
	else
		gm_row_float8(&rows, result->seconds);
	gm_row_cstring(&rows, result->state);
	gm_rows_put(&rows);
}

/*
 * Estimates
 */
static void
estimate(const Request *request, Outcome *result)
{
	const GmTopologySpec *spec = &request->spec;
	GmImage    *image = gm_image_open(request->graph);
	GmView		view;
	GmArcs		arcs = {image->graph, &view, spec->weighted, &gm_server_interrupt};
	uint64_t   *has = MemoryContextAllocExtended(CurrentMemoryContext,
												 (GM_ARCS_WORDS(image->graph) + 1) * sizeof(uint64_t),
												 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint32_t	nodes;
	uint64_t	facts;

	gm_topology_graph_view(image, spec, &view);
	gm_error_check(gm_arcs_count(&arcs, has, &nodes, &facts), "estimating topology embeddings");
	pfree(has);
	result->counted = true;
	result->nodes = nodes;
	result->arcs = 2 * facts;
	result->memory = gm_topology_spec_bytes(spec, nodes, facts) +
		gm_topology_space_bytes(spec, nodes);
	result->seconds = gm_topology_spec_seconds(spec, nodes, facts, gm_guc_compute_workers);
	result->state = "estimate";
}

/*
 * The job
 */
typedef struct Waiting
{
	GmDatabase *db;
	GmArea	   *area;
	GmTopologyArea *topology;
	GmTopologyJob *job;
	uint64		number;
} Waiting;

static void
no_worker(const GmDatabase *db)
{
	const char *detail = "The worker does not run.";

	if (!gm_guc_worker)
		detail = "The setting \"graphmem.worker\" is off.";
	else if (db == NULL || db->state == GM_WORKER_NO_SLOT)
		detail = "There is no free slot for a background worker.";
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("topology embeddings cannot be computed without a worker"),
			 errdetail("%s", detail),
			 errhint("See graphmem.stat_worker; \"max_worker_processes\" may be too small.")));
}

/*
 * Waits until the worker has come up.  One that has just ended may start again
 * in a moment only.
 */
static void
find_area(Waiting *w)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz refused_until = TimestampTzPlusMilliseconds(now, WORKER_MS);
	TimestampTz deadline = TimestampTzPlusMilliseconds(now, Max(gm_guc_sync_timeout, WORKER_MS));

	w->db = gm_control() == NULL ? NULL : gm_control_database(true);
	if (w->db == NULL || !gm_guc_worker)
		no_worker(w->db);
	ConditionVariablePrepareToSleep(&w->db->changed);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (!gm_ensure_worker(w->db) && GetCurrentTimestamp() > refused_until)
			no_worker(w->db);
		w->area = gm_attach(&w->db);
		if (w->area != NULL)
			break;
		if (w->db == NULL || !gm_control_sleep(w->db, deadline))
			no_worker(w->db);
	}
	ConditionVariableCancelSleep();
	w->topology = gm_area_topology(w->area);
}

static void
start_process(const Waiting *w)
{
	if (!gm_topology_start(w->area, MyDatabaseId))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start the process that computes topology embeddings"),
				 errdetail("There is no free slot for a background worker."),
				 errhint("Raise \"max_worker_processes\".")));
}

static void
queue_job(Waiting *w, const Request *request, bool wait)
{
	char	   *json = gm_topology_spec_json(&request->spec);

	if (strlen(json) >= GM_TOPOLOGY_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many predicates, or names that are too long"),
				 errdetail("What is asked for has %zu bytes as JSON, and at most %d are possible.",
						   strlen(json), GM_TOPOLOGY_TEXT - 1)));
	w->job = gm_topology_ask(w->topology, request->graph_id, GetUserId(), wait ? MyProcPid : 0,
							 json, &w->number);
	if (w->job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many topology embeddings are waiting to be computed"),
				 errdetail("There are at most %d.", GM_TOPOLOGY_JOBS),
				 errhint("See graphmem.stat_progress_topology.")));
}

/* by an error, or the end of the process */
static void
stop_waiting(int code, Datum arg)
{
	Waiting    *w = (Waiting *) DatumGetPointer(arg);

	ConditionVariableCancelSleep();
	if (gm_attached() == w->area)
		gm_topology_leave(w->topology, w->job, w->number, true);
}

static void
worker_ended(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("the worker of graph memory ended before the topology embeddings were computed"),
			 errhint("Try again; see graphmem.stat_worker.")));
}

/* the process may have died, or may not have come yet */
static void
look_for_process(const Waiting *w, TimestampTz *missing)
{
	TimestampTz now = GetCurrentTimestamp();

	if (atomic_load(&w->db->generation) != w->area->ar_generation)
		worker_ended();
	if (atomic_load(&w->topology->tp_pid) != 0)
	{
		*missing = 0;
		return;
	}
	if (*missing == 0)
		*missing = now;
	start_process(w);
	if (TimestampDifferenceExceeds(*missing, now, START_MS))
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("the process that computes topology embeddings does not start"),
				 errhint("See the server log.")));
}

static bool
job_has_ended(const Waiting *w)
{
	bool		ended;

	LWLockAcquire(&w->topology->tp_lock, LW_SHARED);
	ended = gm_topology_has_ended(w->job);
	LWLockRelease(&w->topology->tp_lock);
	return ended;
}

static void
wait_for_job(Waiting *w)
{
	TimestampTz missing = 0;

	ConditionVariablePrepareToSleep(&w->topology->tp_changed);
	while (!job_has_ended(w))
	{
		look_for_process(w, &missing);
		(void) ConditionVariableTimedSleep(&w->topology->tp_changed, LOOK_MS, PG_WAIT_EXTENSION);
		CHECK_FOR_INTERRUPTS();
	}
	ConditionVariableCancelSleep();
}

static char *
or_null(const char *text)
{
	return text[0] == '\0' ? NULL : pstrdup(text);
}

/* frees the entry; raises the job's error */
static void
take_result(Waiting *w, Outcome *result)
{
	GmTopologyJob *job = w->job;
	GmTopologyState state = (GmTopologyState) job->tj_state;
	int			sqlstate = job->tj_sqlstate;
	char	   *message = pstrdup(job->tj_error);
	char	   *detail = or_null(job->tj_detail);
	char	   *hint = or_null(job->tj_hint);

	result->counted = true;
	result->nodes = atomic_load(&job->tj_nodes);
	result->arcs = atomic_load(&job->tj_arcs);
	result->memory = atomic_load(&job->tj_bytes);
	result->seconds = job->tj_seconds;
	result->state = "done";
	gm_topology_leave(w->topology, job, w->number, false);
	if (state != GM_TOPOLOGY_DONE)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg_internal("%s", message),
				 detail == NULL ? 0 : errdetail_internal("%s", detail),
				 hint == NULL ? 0 : errhint("%s", hint)));
}

static void
run(const Request *request, bool wait, Outcome *result)
{
	Waiting		w;

	find_area(&w);
	queue_job(&w, request, wait);
	PG_ENSURE_ERROR_CLEANUP(stop_waiting, PointerGetDatum(&w));
	{
		start_process(&w);
		if (wait)
			wait_for_job(&w);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_waiting, PointerGetDatum(&w));
	if (wait)
		take_result(&w, result);
	else
		result->state = "queued";
}

static void
check_transaction(void)
{
	PreventCommandDuringRecovery("graphmem.refresh_topology()");
	PreventCommandIfReadOnly("graphmem.refresh_topology()");
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("topology embeddings cannot be computed in a transaction that has written"),
				 errdetail("They are computed by another process, which would not see what was written."),
				 errhint("Commit first, or ask for an estimate.")));
}

static void
read_arguments(FunctionCallInfo fcinfo, bool only_estimate, Request *request)
{
	MemoryContext caller = CurrentMemoryContext;
	int			level;

	check_privileges(only_estimate);
	level = gm_sql_enter();
	MemoryContextSwitchTo(caller);
	read_request(fcinfo, request);
	gm_sql_leave(level);
}

/*
 * The tables' locks go with a subtransaction: whoever asks for one that conflicts
 * would wait for this session, the process for him, and this session for the
 * process.
 */
static void
read_without_locks(FunctionCallInfo fcinfo, Request *request)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		read_arguments(fcinfo, false, request);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (error != NULL)
		ReThrowError(error);
}

/*
 * refresh_topology(method, dim, space, predicates, weighted, seed, options,
 *	 source_space, estimate, wait, graph)
 *	 -> space, method, dim, nodes, arcs, memory, seconds, state
 */
GM_READING_FUNCTION(graphmem_refresh_topology)
{
	bool		only_estimate = gm_arg_bool(fcinfo, ARG_ESTIMATE, false);
	Request		request;
	Outcome		result = {.seconds = -1};

	memset(&request, 0, sizeof(request));
	if (only_estimate)
	{
		read_arguments(fcinfo, true, &request);
		estimate(&request, &result);
	}
	else
	{
		check_transaction();
		read_without_locks(fcinfo, &request);
		run(&request, gm_arg_bool(fcinfo, ARG_WAIT, true), &result);
	}
	put_result(fcinfo, &request.spec, &result);
	return (Datum) 0;
}

/*
 * Cancelling
 */
static Oid
owner_of_spaces(void)
{
	Relation	rel = table_open(gm_sql_relid("vector_spaces"), AccessShareLock);
	Oid			owner = rel->rd_rel->relowner;

	table_close(rel, AccessShareLock);
	return owner;
}

static bool
may_cancel(Oid role)
{
	return (OidIsValid(role) && has_privs_of_role(GetUserId(), role)) ||
		has_privs_of_role(GetUserId(), owner_of_spaces());
}

/* of every entry, under the lock; *number 0: free, or ended */
typedef struct Seen
{
	uint64		number;
	Oid			role;
	int32		graph_id;
	GmTopologyState state;
	TimestampTz queued_at;
	char	   *spec;
} Seen;

static void
look_at_jobs(GmTopologyArea *topology, Seen *seen)
{
	char	   *specs = palloc(GM_TOPOLOGY_JOBS * GM_TOPOLOGY_TEXT);

	memset(seen, 0, GM_TOPOLOGY_JOBS * sizeof(Seen));
	LWLockAcquire(&topology->tp_lock, LW_SHARED);
	for (int i = 0; i < GM_TOPOLOGY_JOBS; i++)
	{
		const GmTopologyJob *job = &topology->job[i];

		if (job->tj_state != GM_TOPOLOGY_QUEUED && job->tj_state != GM_TOPOLOGY_RUNNING)
			continue;
		seen[i].number = job->tj_number;
		seen[i].role = job->tj_role;
		seen[i].graph_id = job->tj_graph;
		seen[i].state = (GmTopologyState) job->tj_state;
		seen[i].queued_at = job->tj_queued_at;
		seen[i].spec = specs + i * GM_TOPOLOGY_TEXT;
		memcpy(seen[i].spec, job->tj_spec, GM_TOPOLOGY_TEXT);
	}
	LWLockRelease(&topology->tp_lock);
}

/* NULL: no worker has run */
static GmTopologyArea *
topology_of_database(GmArea **area)
{
	GmDatabase *db = gm_control() == NULL ? NULL : gm_control_database(false);

	*area = db == NULL ? NULL : gm_attach(&db);
	return *area == NULL ? NULL : gm_area_topology(*area);
}

/* cancel_topology(space, graph) -> whether there was anything to cancel */
Datum
graphmem_cancel_topology(PG_FUNCTION_ARGS)
{
	char	   *space = gm_arg_cstring(fcinfo, 0);
	GmArea	   *area;
	GmTopologyArea *topology = topology_of_database(&area);
	Seen		seen[GM_TOPOLOGY_JOBS];
	Request		request;
	bool		found = false;
	int			level = gm_sql_enter();

	read_graph_name(fcinfo, 1, &request);
	gm_sql_leave(level);
	if (topology == NULL)
		PG_RETURN_BOOL(false);
	if (space == NULL)
		space = DEFAULT_SPACE;
	look_at_jobs(topology, seen);
	for (int i = 0; i < GM_TOPOLOGY_JOBS; i++)
	{
		GmTopologySpec spec;

		if (seen[i].number == 0 || seen[i].graph_id != request.graph_id ||
			!gm_topology_spec_parse(seen[i].spec, &spec) || strcmp(spec.space, space) != 0)
			continue;
		if (!may_cancel(seen[i].role))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to cancel the computation of vector space \"%s\"",
							gm_error_quote(space, strlen(space))),
					 errdetail("Only the role that asked for it, its members and the owner of the tables may.")));
		gm_topology_cancel(topology, &topology->job[i], seen[i].number);
		found = true;
	}
	PG_RETURN_BOOL(found);
}

/*
 * Views
 */
static const char *
phase_name(GmTopologyPhase phase)
{
	switch (phase)
	{
		case GM_TOPOLOGY_WAITING:
			return "waiting";
		case GM_TOPOLOGY_READING:
			return "reading";
		case GM_TOPOLOGY_COMPUTING:
			return "computing";
		case GM_TOPOLOGY_ALIGNING:
			return "aligning";
		case GM_TOPOLOGY_STORING:
			return "storing";
		case GM_TOPOLOGY_INDEXING:
			return "indexing";
		case GM_TOPOLOGY_REPLACING:
			return "replacing";
	}
	return "unknown";
}

static void
put_count(GmRows *rows, uint64 count, bool known)
{
	if (known)
		gm_row_int8(rows, (int64) count);
	else
		gm_row_null(rows);
}

static void
put_job(GmRows *rows, GmTopologyJob *job, const Seen *seen, uint32 pid)
{
	uint64		total = atomic_load(&job->tj_total);
	uint64		started = atomic_load(&job->tj_started_at);
	bool		running = seen->state == GM_TOPOLOGY_RUNNING;
	bool		read = atomic_load(&job->tj_nodes) != 0;
	GmTopologySpec spec;

	if (!gm_topology_spec_parse(seen->spec, &spec))
		return;
	if (running && pid != 0)
		gm_row_int4(rows, (int32) pid);
	else
		gm_row_null(rows);
	gm_row_int4(rows, seen->graph_id);
	gm_row_cstring(rows, spec.space);
	gm_row_cstring(rows, gm_topology_method_name(spec.opts.method));
	gm_row_int4(rows, (int32) spec.opts.dim);
	gm_row_cstring(rows, running ? "running" : "queued");
	gm_row_cstring(rows, phase_name((GmTopologyPhase) atomic_load(&job->tj_phase)));
	put_count(rows, atomic_load(&job->tj_done), running);
	put_count(rows, total, total != 0);
	put_count(rows, atomic_load(&job->tj_nodes), read);
	put_count(rows, atomic_load(&job->tj_arcs), read);
	put_count(rows, atomic_load(&job->tj_members), atomic_load(&job->tj_members) != 0);
	put_count(rows, atomic_load(&job->tj_bytes), read);
	gm_row_time(rows, seen->queued_at);
	if (started == 0)
		gm_row_null(rows);
	else
		gm_row_time(rows, (int64) started);
	gm_rows_put(rows);
}

Datum
graphmem_stat_get_progress_topology(PG_FUNCTION_ARGS)
{
	GmArea	   *area;
	GmTopologyArea *topology = topology_of_database(&area);
	Seen		seen[GM_TOPOLOGY_JOBS];
	GmRows		rows;

	gm_rows_begin(fcinfo, &rows);
	if (topology == NULL)
		return (Datum) 0;
	look_at_jobs(topology, seen);
	for (int i = 0; i < GM_TOPOLOGY_JOBS; i++)
		if (seen[i].number != 0)
			put_job(&rows, &topology->job[i], &seen[i], atomic_load(&topology->tp_pid));
	return (Datum) 0;
}

/* what the topology process last saw of each computed space */
Datum
graphmem_stat_get_topology(PG_FUNCTION_ARGS)
{
	GmArea	   *area;
	GmRows		rows;

	(void) topology_of_database(&area);
	gm_rows_begin(fcinfo, &rows);
	for (uint32 i = 0; area != NULL && i < GM_AREA_SPACES; i++)
	{
		GmSpaceEntry *entry = gm_area_space_at(area, i);
		uint64		looked_at = atomic_load(&entry->se_dirty_at);

		if (atomic_load(&entry->se_id) == 0 || looked_at == 0)
			continue;
		gm_row_int4(&rows, atomic_load(&entry->se_id));
		gm_row_int8(&rows, (int64) atomic_load(&entry->se_nodes));
		gm_row_int8(&rows, (int64) atomic_load(&entry->se_dirty));
		gm_row_int8(&rows, (int64) atomic_load(&entry->se_missing));
		gm_row_time(&rows, (int64) looked_at);
		gm_rows_put(&rows);
	}
	return (Datum) 0;
}
