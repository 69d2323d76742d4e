/*-------------------------------------------------------------------------
 *
 * control.h
 *	  The one fixed-size piece of shared memory: which database has a worker.
 *
 * Placed in the server's spare shared memory at first use, or reserved at
 * start where the library is preloaded.  Its layout version is part of its
 * name, because a library that was replaced under a running server must not
 * look at the old struct through the new definition.
 *
 * Everything larger lies in the area (shm/area.h), a dynamic segment that a
 * worker creates when it starts and whose handle it puts here.
 *
 * Interface
 *	 gm_control			the struct, created if need be; NULL where there can be
 *						none (binary upgrade, single user, out of shared memory)
 *	 gm_control_preload	reserve it at the server's start
 *	 gm_control_database	this database's entry, made if asked for
 *	 gm_control_find	any database's entry
 *	 gm_control_wake	wake the database's worker: somebody waits for it
 *	 gm_control_tell	there is something to do: wake it if it does not look by itself
 *	 gm_extension_look	is the extension there, and which version
 *	 gm_ensure_worker	start the worker if it ought to run and does not
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_CONTROL_H
#define GM_SHM_CONTROL_H

#include <stdatomic.h>

#include "datatype/timestamp.h"
#include "postmaster/bgworker.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/lwlock.h"

#define GM_CONTROL_LAYOUT		1
#define GM_CONTROL_MAGIC		0x676d6331	/* "gmc1" */
#define GM_MAX_DATABASES		48
#define GM_ERROR_LENGTH			192
#define GM_VERSION_LENGTH		32

/*
 * STARTING, PREPARING, READY and BACKOFF: the server has the worker in its
 * list and starts it again whenever it ends.  The others: it has not, and
 * gm_ensure_worker may put it there once retry_at has passed.
 */
typedef enum GmWorkerState
{
	GM_WORKER_NONE = 0,			/* never started */
	GM_WORKER_STARTING,			/* registered, or about to come back; not connected yet */
	GM_WORKER_PREPARING,		/* connected; area being made, graphs being listed */
	GM_WORKER_READY,			/* area_handle is valid */
	GM_WORKER_BACKOFF,			/* failed, will be tried again at retry_at */
	GM_WORKER_NO_SLOT,			/* max_worker_processes exhausted, tried again at retry_at */
	GM_WORKER_NO_EXTENSION,		/* the database does not have the extension */
	GM_WORKER_DISABLED			/* by setting, or its database cannot be connected to */
} GmWorkerState;

typedef enum GmSleep
{
	GM_AWAKE = 0,
	GM_ASLEEP,					/* until somebody wakes it */
	GM_NAPPING					/* for a millisecond, unless somebody waits for it */
} GmSleep;

/*
 *	field			written by				rule
 *	db_oid			under lock				0: free entry; an entry is taken over only
 *											when its database is gone
 *	state ..		under lock				by the worker, or gm_ensure_worker; a look
 *											without the lock may be a little old
 *	worker_pid		worker, under lock		0 while no process has claimed the entry
 *	generation		worker, under lock		0 while there is no area; no two are equal
 *	area_handle		worker, under lock		valid while generation is not 0
 *	sleeping		worker, wakers			GmSleep; set before the worker's last look at
 *											its work; full barrier on both sides: no lost
 *											wake-up
 *	worker_proc		worker					pgprocno + 1 of the worker, 0 none
 *	overflow		anybody					counted up when a change could not be handed
 *											over: everything is loaded again
 *	changed			anybody					condition variable of all who wait for the worker
 */
typedef struct GmDatabase
{
	Oid			db_oid;
	GmWorkerState state;
	int			worker_pid;
	uint32		attempts;		/* connections tried since the last success */
	uint32		failures;		/* errors since the worker last ran well */
	dsm_handle	area_handle;
	_Atomic uint64_t generation;
	uint32		starts;			/* how often a worker came up */
	TimestampTz started_at;
	TimestampTz retry_at;
	TimestampTz failed_at;
	_Atomic uint32_t sleeping;
	_Atomic uint32_t worker_proc;
	_Atomic uint64_t overflow;
	_Atomic uint64_t requests;	/* counted up by whoever wants something done */
	ConditionVariable changed;
	char		last_error[GM_ERROR_LENGTH];
} GmDatabase;

typedef struct GmControl
{
	uint32		magic;
	uint32		layout;
	int			tranche_control;	/* of lock */
	int			tranche_queue;	/* of the areas' queue locks */
	int			tranche_topology;	/* of their tp_lock */
	LWLock		lock;			/* guards the entries; held for a few instructions */
	uint64		last_generation;	/* under lock */
	_Atomic uint64_t stop_points;	/* test builds: bit by number in shm/stop_points.h */
	_Atomic uint64_t stopped;	/* test builds: somebody waits there */
	GmDatabase	db[GM_MAX_DATABASES];
} GmControl;

/* raises no error */
extern GmControl *gm_control(void);

/* from _PG_init while the server preloads libraries */
extern void gm_control_preload(void);

/*
 * MyDatabaseId's entry; NULL if there is none, or if all are taken.  Making
 * one may look into pg_database, where there is a transaction.
 */
extern GmDatabase *gm_control_database(bool create);

/* every entry is taken, and none is MyDatabaseId's; may be a moment old */
extern bool gm_control_full(void);

/* NULL if it has none; the caller holds control's lock, or can do with an old answer */
extern GmDatabase *gm_control_find(GmControl *control, Oid db_oid);

/* made if need be; NULL if all are taken */
extern GmDatabase *gm_control_enter(GmControl *control, Oid db_oid);

/* does the server have a worker in its list, running or about to be started */
extern bool gm_control_has_worker(const GmDatabase *db);

extern void gm_control_wake(GmDatabase *db);

/* does somebody keep a starting worker out of this database */
extern bool gm_control_database_locked(void);

/*
 * Wakes the worker and sleeps until it has done something, or for a slice of
 * time, so that a wake-up that was lost costs no more than that; false if the
 * deadline has passed.
 */
extern bool gm_control_sleep(GmDatabase *db, TimestampTz deadline);
extern void gm_control_tell(GmDatabase *db);

/*
 * Is the extension there, and was it not made by the current transaction, which
 * may still roll back.  oid and version (GM_VERSION_LENGTH bytes) may be NULL.
 * Needs a transaction.
 */
extern bool gm_extension_look(Oid *oid, char *version);

/*
 * A process of this library with shared memory, started once; its name, and
 * what else differs, the caller fills in.
 */
extern void gm_process_init(BackgroundWorker *process, const char *function, const char *type);

/*
 * Cheap when the worker runs.  Must not be called inside a critical section or
 * with an LWLock held.  db may be NULL.  True if the worker is running or
 * starting.
 */
extern bool gm_ensure_worker(GmDatabase *db);

#endif							/* GM_SHM_CONTROL_H */
