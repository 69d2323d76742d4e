/*-------------------------------------------------------------------------
 *
 * notify.h
 *	  Tells listeners which facts a committed transaction changed.
 *
 * Interface
 *	 gm_notify_row		a row of triples came, went or was replaced
 *	 gm_notify_graphs	a row of graphs changed: ask again which of them notify
 *	 gm_notify_emptied	triples was truncated
 *	 gm_notify_check	22023 for settings of a graph that make no sense of "notify"
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_NOTIFY_H
#define GM_API_NOTIFY_H

#include "access/htup.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"

/* before, after: NULL if there was none, is none; cid: the command that did it */
extern void gm_notify_row(Relation triples, int32 graph_id, HeapTuple before, HeapTuple after,
						  uint32 cid);
extern void gm_notify_graphs(void);
extern void gm_notify_emptied(void);

extern void gm_notify_check(Jsonb *settings);

#endif							/* GM_API_NOTIFY_H */
