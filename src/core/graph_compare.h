/*-------------------------------------------------------------------------
 *
 * graph_compare.h
 *	  Whether two images hold the same rows.
 *
 * Two images of the same rows may differ in the numbers of their nodes, slots,
 * predicates, sources and rows, and in which edges lie in current runs; all
 * that a query can see of them is the same, bit by bit.  That is compared
 * here, by ids, through what graph.h and space.h offer to queries.
 *
 * Interface
 *	 gm_graph_compare	everything but vectors
 *	 gm_space_compare	the vectors of one space
 *
 * Complexity	a few passes over both, with a search by id for each row
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_GRAPH_COMPARE_H
#define GM_CORE_GRAPH_COMPARE_H

#include "core/graph.h"
#include "core/space.h"

/*
 * Called for each difference.  what: which, in a few words; id: of the row
 * that it is about; detail: the two values, or NULL.  Must not longjmp out.
 */
typedef struct GmCompare
{
	void		(*report) (void *arg, const char *what, int64_t id, const char *detail);
	void	   *arg;
	const GmInterrupt *intr;	/* may be NULL */
} GmCompare;

/* now: the time whose edges are compared; not before either was built */
extern GmStatus gm_graph_compare(const GmGraph *image, const GmGraph *truth, int64_t now,
								 const GmCompare *compare);

/* target: 'e'ntity, 'f'act or 's'ource */
extern GmStatus gm_space_compare(const GmGraph *image, GmSpace *image_space,
								 const GmGraph *truth, const GmSpace *truth_space,
								 char target, const GmCompare *compare);

#endif							/* GM_CORE_GRAPH_COMPARE_H */
