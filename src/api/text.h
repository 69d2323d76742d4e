/*-------------------------------------------------------------------------
 *
 * text.h
 *	  The text legs of fusion_query: entities by name or alias, sources by
 *	  content.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_TEXT_H
#define GM_API_TEXT_H

typedef struct GmTextHit
{
	int64		id;
	float		score;			/* in (0, 1] */
} GmTextHit;

typedef struct GmTextKnown
{
	bool		(*is_known) (const void *arg, int64 id);
	const void *arg;
} GmTextKnown;

/*
 * The at most limit best entities or sources of the graph for a question, a
 * name or a list of words, best first, ties by id; returns how many, 0 for
 * none.  hits has room for limit.  Only the first GM_QUERY_BYTES of the query
 * count, and of these the first GM_QUERY_TERMS different words.  An entity
 * scores 1 exactly if its name or an alias is the query, case apart.
 *
 * known: which rows count, NULL for all; those that do not are as if they were
 * not there, but for the time that passing over them takes.
 *
 * Runs SQL under the active snapshot as the current user, who needs SELECT on
 * the tables and whose row security holds.
 */
#define GM_QUERY_BYTES	2048
#define GM_QUERY_TERMS	24

extern int	gm_text_entities(int32 graph_id, const char *query, int limit,
							 const GmTextKnown *known, GmTextHit *hits);
extern int	gm_text_sources(int32 graph_id, const char *query, int limit,
							const GmTextKnown *known, GmTextHit *hits);

#endif							/* GM_API_TEXT_H */
