/*-------------------------------------------------------------------------
 *
 * fn_progress.c
 *	  What stat_progress_vector shows: indexes of vectors being built.
 *
 * Read without waiting for anybody, from what the worker writes meanwhile:
 * columns of one row may be a moment apart.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "api/rows.h"
#include "shm/attach.h"
#include "shm/builds.h"

PG_FUNCTION_INFO_V1(graphmem_stat_get_progress_vector);

static const char *
build_phase(GmBuildPhase phase)
{
	switch (phase)
	{
		case GM_BUILD_SAMPLING:
			return "sampling";
		case GM_BUILD_READING:
			return "reading";
		case GM_BUILD_ENCODING:
			return "encoding";
		case GM_BUILD_LINKING:
			return "linking";
		case GM_BUILD_MAPPING:
			return "mapping";
	}
	return "unknown";
}

static void
put_build(GmRows *rows, GmIndexBuild *build, int pid, uint32 helpers)
{
	int32		graph_id = atomic_load_explicit(&build->ib_graph, memory_order_acquire);
	uint64		done = atomic_load(&build->ib_done);
	uint64		total = atomic_load(&build->ib_total);

	if (graph_id == 0)
		return;
	if (pid == 0)
		gm_row_null(rows);
	else
		gm_row_int4(rows, pid);
	gm_row_int4(rows, graph_id);
	gm_row_int4(rows, atomic_load(&build->ib_space));
	gm_row_cstring(rows, build_phase((GmBuildPhase) atomic_load(&build->ib_phase)));
	gm_row_int8(rows, (int64) Min(done, total));
	gm_row_int8(rows, (int64) total);
	gm_row_int4(rows, atomic_load(&build->ib_shared) != 0 ? (int32) helpers : 0);
	gm_row_time(rows, (int64) atomic_load(&build->ib_started_at));
	gm_rows_put(rows);
}

Datum
graphmem_stat_get_progress_vector(PG_FUNCTION_ARGS)
{
	GmDatabase *db = gm_control() == NULL ? NULL : gm_control_database(false);
	GmArea	   *area = db == NULL ? NULL : gm_attach(&db);
	GmRows		rows;

	gm_rows_begin(fcinfo, &rows);
	for (int i = 0; area != NULL && i < GM_AREA_BUILDS; i++)
		put_build(&rows, &gm_area_builds(area)->build[i], *(volatile int *) &db->worker_pid,
				  atomic_load(&gm_area_builds(area)->job.lj_helpers));
	return (Datum) 0;
}
