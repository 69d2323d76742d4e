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

/* the settings of a process of this library, by pairs of name and value; its name in views */
extern void gm_worker_set_session(const char *process, const char *const settings[][2], int n);

/* gm_extension_look, outside of a transaction */
extern bool gm_worker_look_at_extension(Oid *oid, char *version);

#endif							/* GM_WORKER_MAIN_H */
