/*-------------------------------------------------------------------------
 *
 * stop_points.h
 *	  Places at which a test build can be made to wait.
 *
 * Each is GM_STOP_POINT(name); the includer says what that means.
 *
 *-------------------------------------------------------------------------
 */
/* a transaction has handed over its changes and not committed yet */
GM_STOP_POINT(queue_pushed)
/* it has committed and not woken the worker yet */
GM_STOP_POINT(committed)
GM_STOP_POINT(worker_before_take)
GM_STOP_POINT(worker_before_publish)
GM_STOP_POINT(worker_after_publish)
/* changes of the list of graphs have passed that are known only from the table */
GM_STOP_POINT(worker_before_directory)
/* the queue is there, the load snapshot not yet taken */
GM_STOP_POINT(worker_load_start)
/* the tables have been read, waiting changes not yet applied */
GM_STOP_POINT(worker_load_scanned)
/* a block of an index's file has been written; the whole, not yet in its place */
GM_STOP_POINT(worker_file_written)
GM_STOP_POINT(worker_file_whole)
/* a reader has loaded a root and looks at the image */
GM_STOP_POINT(reader_entered)
/* a call has looked at the clock for the first time */
GM_STOP_POINT(call_looked)
/* a call that runs long has shown how far it is */
GM_STOP_POINT(call_shown)
/* a helper is about to link a node */
GM_STOP_POINT(linker_before_node)
/* the leader of a computation is about to have a phase done */
GM_STOP_POINT(team_before_phase)
/* the topology process is about to run a phase of a computation; it has stored some rows */
GM_STOP_POINT(topology_computing)
GM_STOP_POINT(topology_storing)
/* a helper of a computation is about to do a block */
GM_STOP_POINT(team_helper_block)
/* a reader goes to sleep until the worker has done something */
GM_STOP_POINT(reader_waiting)
