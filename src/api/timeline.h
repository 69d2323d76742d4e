/*-------------------------------------------------------------------------
 *
 * timeline.h
 *	  Where a statement belongs among the versions of a functional predicate.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_TIMELINE_H
#define GM_API_TIMELINE_H

#include "api/versions.h"

/* What one row of a statement says. */
typedef struct GmClaim
{
	int64		row;			/* of the statement, from 1; 0: none */
	int64		subject;
	int64		predicate;
	int64		object;
	bool		has_from;		/* else from is DT_NOBEGIN */
	bool		has_to;			/* else to is DT_NOEND */
	TimestampTz from;
	TimestampTz to;
	float4		confidence;
	Datum		properties;		/* 0 if none */
	int			version;		/* set: that it restates, or its own */
} GmClaim;

/*
 * Places claims, sorted by (subject, predicate) and in each in the order
 * stated, by the rules at the top of timeline.c, and writes what follows from
 * them: takes the rows of functional_keys, then looks with a fresh snapshot.
 * Raises 23P01 for a claim that partly overlaps a version of the same object.
 */
extern void gm_timeline_place(GmVersionSet *set, GmClaim *claims, int n);

#endif							/* GM_API_TIMELINE_H */
