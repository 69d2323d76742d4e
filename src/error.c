/*-------------------------------------------------------------------------
 *
 * error.c
 *	  core/'s status codes as the server's errors: the only such place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "error.h"
#include "guc.h"

GmProgress	gm_progress;
void		(*gm_interrupt_look) (void);
#define QUOTED_BYTES	200

/*
 * Cancel, timeout and termination are left to the caller, who raises them once
 * core/ has returned.  Anything else pending (a barrier, a catch-up) is served
 * here, so that this backend holds nobody up; should that raise an error, the
 * callers' memory is found by their clean-up.
 */
static bool
interrupt_pending(void *arg)
{
	(void) arg;
	if (gm_interrupt_look != NULL)
		gm_interrupt_look();
	if (gm_likely(!InterruptPending))
		return false;
	if (InterruptHoldoffCount > 0 || CritSectionCount > 0)
		return false;
	if (QueryCancelPending && QueryCancelHoldoffCount == 0)
		return true;
	if (ProcDiePending)
		return true;
	CHECK_FOR_INTERRUPTS();
	return false;
}

const GmInterrupt gm_server_interrupt = {interrupt_pending, NULL, &gm_progress};

/*
 * An error that ended in a function which core/ had called.
 */
static MemoryContext kept_context;
static ErrorData *kept;

void
gm_error_keep(void)
{
	MemoryContext old;

	kept = NULL;
	if (kept_context == NULL)
		kept_context = AllocSetContextCreate(TopMemoryContext, "graphmem error",
											 ALLOCSET_SMALL_SIZES);
	MemoryContextReset(kept_context);
	old = MemoryContextSwitchTo(kept_context);
	kept = CopyErrorData();
	FlushErrorState();
	MemoryContextSwitchTo(old);
}

void
gm_error_raise_kept(void)
{
	ErrorData  *error = kept;

	kept = NULL;
	if (error != NULL)
		ReThrowError(error);
}

char *
gm_error_quote(const char *bytes, size_t len)
{
	int			clipped;

	if (len <= QUOTED_BYTES)
		return pnstrdup(bytes, len);
	clipped = pg_mbcliplen(bytes, (int) Min(len, 2 * QUOTED_BYTES), QUOTED_BYTES);
	return psprintf("%.*s...", clipped, bytes);
}

void
gm_error_check(GmStatus status, const char *what)
{
	switch (status)
	{
		case GM_OK:
			return;
		case GM_INTERRUPTED:
			gm_error_raise_kept();
			CHECK_FOR_INTERRUPTS();

			/* the request was withdrawn in between, but the work was given up */
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("%s was interrupted", what)));
			break;
		case GM_NO_MEMORY:
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory"),
					 errdetail("Failed while %s.", what)));
			break;
		case GM_OVER_BUDGET:
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("memory limit exceeded while %s", what),
					 errdetail("\"graphmem.private_memory_limit\" is %d MB.",
							   gm_guc_private_memory_limit),
					 errhint("graphmem.estimate_memory() tells what the graph needs; raise \"graphmem.private_memory_limit\".")));
			break;
		case GM_TOO_MANY:
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many items while %s", what),
					 errdetail("A graph holds at most %u entities, facts or vectors of a kind.",
							   UINT32_MAX - 1)));
			break;
		case GM_BAD_VALUE:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("value out of range while %s", what)));
			break;
		case GM_BAD_DIM:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("different vector dimensions while %s", what)));
			break;
		case GM_BAD_FILE:
			ereport(ERROR,
					(errcode(ERRCODE_IO_ERROR),
					 errmsg("a file cannot be used while %s", what)));
			break;
	}
	elog(ERROR, "unexpected status %d while %s", (int) status, what);
}
