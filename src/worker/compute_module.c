/*-------------------------------------------------------------------------
 *
 * compute_module.c
 *	  Loading graphmem_compute.so.
 *
 * OpenBLAS starts threads when it is loaded unless it is told not to.  Should
 * one of its builds do so all the same, its threads inherit a mask that blocks
 * all signals, since handlers of the server must run in its only thread.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <stdlib.h>

#include "fmgr.h"
#include "utils/memutils.h"

#include "worker/team.h"

#define LIBRARY		"$libdir/graphmem_compute"

typedef const GmComputeApi *(*ApiFn) (void);

static const GmComputeApi *api;

static void __attribute__((noreturn))
module_missing(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FILE),
			 errmsg("could not load the module that computes topology embeddings"),
			 errdetail("%s", why),
			 errhint("Install the extension again, with all of its libraries, and OpenBLAS.")));
}

static ApiFn
load(void)
{
	MemoryContext context = CurrentMemoryContext;
	volatile ApiFn function = NULL;
	const char *volatile why = NULL;
	sigset_t	all;
	sigset_t	before;

	(void) setenv("OPENBLAS_NUM_THREADS", "1", 1);
	/* of its build with OpenMP */
	(void) setenv("OMP_NUM_THREADS", "1", 1);
	sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &before);
	PG_TRY();
	{
		function = (ApiFn) load_external_function(LIBRARY, "graphmem_compute_api", true, NULL);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		why = psprintf("%s.", error->message);
	}
	PG_END_TRY();
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	if (why != NULL)
		module_missing(why);
	return function;
}

const GmComputeApi *
gm_compute(void)
{
	const GmComputeApi *loaded;

	if (api != NULL)
		return api;
	loaded = load() ();
	if (loaded->version != GM_COMPUTE_VERSION)
		module_missing(psprintf("It has version %u instead of %u.", loaded->version,
								GM_COMPUTE_VERSION));
	api = loaded;
	return api;
}
