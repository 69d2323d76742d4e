/*-------------------------------------------------------------------------
 *
 * graph_private.h
 *	  What the files of the graph image share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_GRAPH_PRIVATE_H
#define GM_CORE_GRAPH_PRIVATE_H

#include "core/graph.h"

#define GM_GRAPH_MAGIC		UINT32_C(0x676d6731)	/* "gmg1" */
#define GM_GRAPH_LAYOUT		1

#define GM_TRY(call) \
	do { \
		GmStatus	try_status = (call); \
		if (try_status != GM_OK) \
			return try_status; \
	} while (0)

/* in loops over everything: i counts the iterations, about 1 ms apart */
#define GM_PAUSE(intr, i) \
	do { \
		if (((i) & (GM_INTERRUPT_EVERY * 16 - 1)) == 0 && gm_interrupted(intr)) \
			return GM_INTERRUPTED; \
	} while (0)

extern uint32_t gm_graph_hash(const char *bytes, size_t length);

/* current and history runs, next flip; slots are in order */
extern GmStatus gm_graph_make_runs(GmGraph *graph, int64_t now, const GmInterrupt *intr);

#endif							/* GM_CORE_GRAPH_PRIVATE_H */
