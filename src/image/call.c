/*-------------------------------------------------------------------------
 *
 * call.c
 *	  Calls of this session's functions: counted, and shown while they run long.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "portability/instr_time.h"

#include "compat.h"
#include "error.h"
#include "guc.h"
#include "image/call.h"
#include "image/stats.h"
#include "shm/attach.h"
#include "shm/stop.h"

#define LOOKS_PER_CLOCK		8
#define SHOWN_AFTER_US		100000

typedef struct Running
{
	GmCall		call;			/* GM_CALL_NONE: no call runs */
	int			level;			/* of the subtransaction */
	uint32_t	looks;
	uint64_t	first_look;		/* microseconds; 0: not yet */
	bool		shown;
	instr_time	begun;			/* if it is timed */
	bool		timed;
} Running;

static Running running;

static GmBackendCalls *
own_entry(void)
{
	GmDatabase *db;
	GmArea	   *area = gm_attach(&db);

	return area == NULL ? NULL : gm_area_calls(area, gm_compat_proc_number());
}

/*
 * Showing
 */

/* also while a transaction aborts */
static void
hide(void)
{
	GmArea	   *area = gm_attached();

	running.shown = false;
	if (area != NULL)
		gm_area_show(gm_area_calls(area, gm_compat_proc_number()), NULL);
}

static void
show(void)
{
	GmBackendCalls *entry = own_entry();
	GmShownCall shown;

	if (entry == NULL)
		return;
	shown.pid = MyProcPid;
	shown.user = GetSessionUserId();
	shown.call = running.call;
	shown.phase = gm_progress.phase;
	shown.done = gm_progress.done;
	shown.total = gm_progress.total;
	shown.records = gm_progress.records;
	gm_area_show(entry, &shown);
	running.shown = true;
	GM_STOP(call_shown);
}

void
gm_call_look(void)
{
	instr_time	clock;
	uint64_t	now;

	if (running.call == GM_CALL_NONE || ++running.looks % LOOKS_PER_CLOCK != 0)
		return;
	INSTR_TIME_SET_CURRENT(clock);
	now = INSTR_TIME_GET_MICROSEC(clock);
	if (running.first_look == 0)
	{
		running.first_look = now;
		GM_STOP(call_looked);
	}
	else if (now - running.first_look >= SHOWN_AFTER_US)
		show();
}

void
gm_call_phase(GmPhase phase, uint64_t done, uint64_t total)
{
	gm_progress.phase = phase;
	gm_progress.done = done;
	gm_progress.total = total;
	gm_call_look();
}

void
gm_call_wrote(void)
{
	gm_progress.records++;
	gm_call_look();
}

uint64_t
gm_call_records(void)
{
	return gm_progress.records;
}

/*
 * Running
 */
static void
forget(void)
{
	if (running.shown)
		hide();
	running.call = GM_CALL_NONE;
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && running.call != GM_CALL_NONE &&
		running.level >= GetCurrentTransactionNestLevel())
		forget();
}

static void
transaction_ends(XactEvent event, void *arg)
{
	/* committed with a call under way: C code caught its error without a subtransaction */
	if ((event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE) &&
		running.call != GM_CALL_NONE)
		forget();
}

bool
gm_call_begin(GmCall call)
{
	static bool registered;

	if (running.call != GM_CALL_NONE)
		return false;
	if (!registered)
	{
		RegisterSubXactCallback(subtransaction_ends, NULL);
		RegisterXactCallback(transaction_ends, NULL);
		gm_interrupt_look = gm_call_look;
		registered = true;
	}
	running.call = call;
	running.level = GetCurrentTransactionNestLevel();
	running.looks = 0;
	running.first_look = 0;
	running.timed = gm_guc_track_timing;
	memset(&gm_progress, 0, sizeof(gm_progress));
	if (running.timed)
		INSTR_TIME_SET_CURRENT(running.begun);
	return true;
}

/* only its process writes a counter */
static inline void
add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter,
						  atomic_load_explicit(counter, memory_order_relaxed) + n,
						  memory_order_relaxed);
}

void
gm_call_end(uint64_t rows, uint64_t records)
{
	GmBackendStats *s = &gm_backend_stats;
	GmBackendCalls *entry = own_entry();
	uint64_t	us = 0;

	if (running.timed)
	{
		instr_time	now;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, running.begun);
		us = INSTR_TIME_GET_MICROSEC(now);
	}
	s->call = running.call;
	s->timed = running.timed;
	s->rows = rows;
	s->records = records;
	s->us = us;
	if (entry != NULL)
	{
		GmCallCounters *c = &entry->bc_counters[running.call];

		add(&c->cc_calls, 1);
		add(&c->cc_rows, rows);
		add(&c->cc_records, records);
		if (running.timed)
		{
			add(&c->cc_timed, 1);
			add(&c->cc_us, us);
		}
	}
	forget();
}
