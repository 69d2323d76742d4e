/*-------------------------------------------------------------------------
 *
 * main.h
 *	  The life of a database's worker, and of the launcher.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_MAIN_H
#define GM_WORKER_MAIN_H

/* at preload: the launcher */
extern void gm_launcher_register(void);

/*
 * Whether DROP DATABASE and its like may end this worker as they end
 * autovacuum's.  Off in transactions that look into indexes, because CREATE
 * INDEX CONCURRENTLY does not wait for processes with this flag.
 */
extern void gm_worker_set_friendly(bool friendly);

#endif							/* GM_WORKER_MAIN_H */
