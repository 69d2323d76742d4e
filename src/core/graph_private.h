/*-------------------------------------------------------------------------
 *
 * graph_private.h
 *	  What graph.c and graph_build.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_GRAPH_PRIVATE_H
#define GM_CORE_GRAPH_PRIVATE_H

#include "core/base.h"

#define GM_GRAPH_MAGIC		UINT32_C(0x676d6731)	/* "gmg1" */
#define GM_GRAPH_LAYOUT		1

extern uint32_t gm_graph_hash(const char *bytes, size_t length);

#endif							/* GM_CORE_GRAPH_PRIVATE_H */
