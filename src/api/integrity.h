/*-------------------------------------------------------------------------
 *
 * integrity.h
 *	  Set-based referential integrity of graphmem's tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_INTEGRITY_H
#define GM_INTEGRITY_H

#include "executor/spi.h"

/*
 * Runs a prepared statement as referential actions do: it sees every row that
 * is committed now, also where the isolation level fixes a snapshot, and
 * raises 40001 rather than delete a row which that snapshot does not show.
 * All parameters are non-null.  Result as of SPI_execute_snapshot.
 */
extern int	gm_integrity_execute(SPIPlanPtr plan, Datum *values, long limit);

/*
 * Waits for the transactions that wrote rows of the graph and keeps new ones
 * waiting until this transaction ends.  False if the graph is gone.
 */
extern bool gm_integrity_lock_graph(int32 graph_id);

/*
 * Between begin and end, deletions in the graph are not checked row by row and
 * nothing can be inserted into it by this session; the caller, who holds the
 * graph's lock, deletes all of it.  The end belongs into a PG_FINALLY block.
 */
extern void gm_integrity_begin_drop(int32 graph_id);
extern void gm_integrity_end_drop(void);

/*
 * Is this space being deleted by the statement whose rows go along now?  What
 * images keep of a computed space they drop with its own row.
 */
extern bool gm_integrity_space_goes(int32 space_id);

#endif							/* GM_INTEGRITY_H */
