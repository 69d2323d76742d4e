/*-------------------------------------------------------------------------
 *
 * index_file.h
 *	  Files of indexes of near neighbours (core/hnsw_file.h): a cache, beside
 *	  the tables, of what takes long to find out.
 *
 * A file for each space that has an index, in a directory of its own in the
 * data directory.  Its name and those of the files begin as those of temporary
 * files do, so that base backups and pg_rewind leave them out; the server
 * itself does not look into it.  A file is written beside the one it replaces
 * and takes its place when it is whole.  It is never trusted: whatever it is of
 * and from when, items count whose vectors are now what they were.
 *
 * All of it in the worker, outside of transactions unless said otherwise;
 * reports of what fails go to the log, and nothing depends on it.
 *
 * Interface
 *	 gm_index_files_start	what is nobody's any more is removed
 *	 gm_index_files_remove	those of a graph are
 *	 gm_index_files_tend	write what has changed enough, a slice at a time
 *	 gm_index_files_leave	the worker is about to end: write what has changed
 *	 gm_index_files_stop	forget what is under way
 *	 gm_index_file_read_begin, _step, _take, _nodes, _end	an index from its file
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_WORKER_INDEX_FILE_H
#define GM_WORKER_INDEX_FILE_H

#include "core/space_index.h"
#include "shm/pool.h"

/*
 * The directory of graphs has been read: those that are not in it are no more.
 * Nothing happens before, and nothing if it is called again.
 */
extern void gm_index_files_start(GmArea *area);

/* the graph (0: every one of this database) is no more */
extern void gm_index_files_remove(int32 graph_id);

/*
 * A slice of a millisecond or so of writing; true if there is more to write at
 * once.  In idle moments.
 */
extern bool gm_index_files_tend(void);

/* when it is worth while to be called again; -1: no hurry */
extern long gm_index_files_next_ms(void);

/* raises no error; takes a second at most, whatever there is */
extern void gm_index_files_leave(void);
extern void gm_index_files_stop(void);

/*
 * Reading.  NULL: there is no file, or it is not to be used.
 */
typedef struct GmIndexReading GmIndexReading;

extern GmIndexReading *gm_index_file_read_begin(int32 graph_id, int32 space_id, GmSpace *space,
												GmHnswWork *work);

/* a slice, of the space as it is now; GM_BAD_FILE: the file is of no use */
extern GmStatus gm_index_file_read_step(GmIndexReading *reading, GmSpace *space, bool *done);

/* once it is done: the index, which is the caller's from now on */
extern GmIndexer *gm_index_file_read_take(GmIndexReading *reading);

/* and then its nodes, which are linked: the next n at most; 0: that was all */
extern uint32 gm_index_file_read_nodes(GmIndexReading *reading, uint32 n, GmSpaceNode *nodes);

/* at any time; gone: the graph's memory is, or goes as a whole */
extern void gm_index_file_read_end(GmIndexReading *reading, bool gone);

#endif							/* GM_WORKER_INDEX_FILE_H */
