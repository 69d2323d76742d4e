/*-------------------------------------------------------------------------
 *
 * supersede.h
 *	  Facts that take the place of others, by name, and back again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_SUPERSEDE_H
#define GM_API_SUPERSEDE_H

#include "datatype/timestamp.h"

#include "api/versions.h"

/* A step that has been taken, as undoing wants it. */
typedef struct GmTakenStep
{
	int64		step_id;
	int32		graph_id;
	int64		old_fact;
	int64		new_fact;		/* 0: a retraction */
	bool		created;
	bool		automatic;
	bool		undone;
	Datum		reason;			/* text; 0 if none */
	GmVersion	old;			/* as it was */
	bool		has_closed;
	TimestampTz closed_to;		/* it begins where old does */
	bool		has_rest;
	TimestampTz rest_from;
	TimestampTz rest_to;
	TimestampTz new_to;			/* as first stated */
} GmTakenStep;

#endif							/* GM_API_SUPERSEDE_H */
