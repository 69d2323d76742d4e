/*-------------------------------------------------------------------------
 *
 * graphmem.c
 *	  Module entry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "core/vec.h"
#include "guc.h"
#include "shm/control.h"
#include "worker/main.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	(void) gm_vec_choose(GM_SIMD_AUTO);
	gm_guc_define();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	gm_control_preload();
	gm_launcher_register();
}
