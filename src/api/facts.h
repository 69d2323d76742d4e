/*-------------------------------------------------------------------------
 *
 * facts.h
 *	  Stating, changing and erasing facts, a statement's worth at a time.
 *
 * The functions that take rows only check and buffer them; gm_facts_finish()
 * writes.  Everything lives in the context given and needs no clean-up after
 * an error.  The protocol with other sessions is in names.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_FACTS_H
#define GM_API_FACTS_H

#include "datatype/timestamp.h"
#include "utils/array.h"
#include "utils/jsonb.h"

typedef struct GmFactWriter GmFactWriter;

typedef struct GmFact
{
	const text *subject;		/* required, as predicate and object */
	const text *predicate;
	const text *object;
	const text *source;			/* NULL if none; sources adds to it */
	ArrayType  *sources;
	const text *subject_kind;
	const text *object_kind;
	const text *object_type;	/* makes the object a literal */
	Jsonb	   *properties;
	int64		fact_id;		/* if it is new, from gm_sql_next_id(); 0: any; not
								 * heeded where the predicate is functional */
	bool		has_confidence; /* else 1 */
	bool		has_from;		/* else open */
	bool		has_to;
	float4		confidence;
	TimestampTz valid_from;
	TimestampTz valid_to;
} GmFact;

/* What an UPDATE of the view leaves a version with. */
typedef struct GmFactChange
{
	int64		fact_id;
	int64		triple_id;
	float4		confidence;
	TimestampTz valid_from;
	TimestampTz valid_to;
	Jsonb	   *properties;
} GmFactChange;

/* A writer serves one kind of row only.  graph: as gm_graph_name() gives it. */
extern GmFactWriter *gm_facts_begin(MemoryContext parent, char *graph);
extern void gm_facts_state(GmFactWriter *writer, const GmFact *fact);
/*
 * Names an entity beside the facts.  kind fills a gap, properties are merged
 * at their top level; both may be NULL.  wanted: its id if it is new, from
 * gm_sql_next_id(), and then properties are only for a new one; 0: any.
 */
extern void gm_facts_entity(GmFactWriter *writer, const text *name, const text *kind,
							int64 wanted, Jsonb *properties);
extern void gm_facts_change(GmFactWriter *writer, const GmFactChange *change);
extern void gm_facts_erase(GmFactWriter *writer, int64 fact_id);
/* Returns the triple_id of the last fact stated, 0 if none was. */
extern int64 gm_facts_finish(GmFactWriter *writer);

/* 22023 unless in [0, 1] */
extern void gm_check_confidence(float4 confidence);
/* 22023 unless NULL or an object */
extern void gm_check_object(const Jsonb *value, const char *what);
/* 22023 unless from < to */
extern void gm_check_validity(TimestampTz from, TimestampTz to);

/* ('subject', 'predicate', 'object'), for messages; connected to SPI */
extern char *gm_fact_describe(int64 subject, int64 predicate, int64 object);

/*
 * 23P01 for a validity that partly overlaps an open version; row: of the
 * statement, from 1, 0 for none.  Connected to SPI.
 */
extern void gm_facts_report_overlap(int64 row, int64 subject, int64 predicate, int64 object,
									TimestampTz from, TimestampTz to,
									TimestampTz other_from, TimestampTz other_to);

#endif							/* GM_API_FACTS_H */
