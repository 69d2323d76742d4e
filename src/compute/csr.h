/*-------------------------------------------------------------------------
 *
 * csr.h
 *	  The graph that embeddings are computed from: compressed sparse rows.
 *
 * Arrays lie in the team's memory (team.h).  A row's neighbours are sorted and
 * differ; a self-loop is one arc of its row and counts once.  Weights are in
 * [GM_CSR_MIN_WEIGHT, GM_CSR_MAX_WEIGHT].  A graph is symmetric if j is in i's
 * row with the weight of i in j's; only what takes directed graphs says so.
 *
 * Making one: arcs are shown twice, in any order, so that nobody has to hold
 * them besides:
 *	 gm_csr_bytes		of memory for so many nodes and arcs
 *	 gm_csr_begin		no arcs yet
 *	 gm_csr_count		show an arc for the first time
 *	 gm_csr_counted		all were shown
 *	 gm_csr_put			show it again, with its weight
 *	 gm_csr_finish		sort rows, merge parallel arcs, close the gaps
 *	 gm_csr_from_arcs	all of it, from arrays
 *
 * Cost		8 bytes a node and 4 an arc (8 with weights), an undirected edge
 *			being two arcs; 4 bytes a node more until it is finished
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_COMPUTE_CSR_H
#define GM_COMPUTE_CSR_H

#include "compute/team.h"

/* other weights are taken for the nearest of these; 0 is no arc at all */
#define GM_CSR_MIN_WEIGHT	1e-9f
#define GM_CSR_MAX_WEIGHT	1e9f

typedef struct GmCsr
{
	GmOffset	offsets;		/* uint64, n + 1 of them */
	GmOffset	neighbors;		/* uint32 */
	GmOffset	weights;		/* float; nowhere: all 1 */
	GmOffset	keys;			/* uint64 by node, which random numbers and ties
								 * go by; nowhere: the node's number */
	uint64_t	arcs;
	uint32_t	n;
	uint32_t	directed;
} GmCsr;

typedef struct GmCsrOpts
{
	bool		weighted;
	bool		directed;		/* arcs from first to second only */
	bool		sum_parallel;	/* their weights; else the largest counts */
	bool		drop_loops;
} GmCsrOpts;

typedef struct GmCsrBuild
{
	char	   *base;
	GmCsr		csr;
	GmCsrOpts	opts;
	GmOffset	cursor;			/* uint32 by node */
	uint64_t	room;			/* arcs there is memory for */
} GmCsrBuild;

/* arcs as shown; each takes two places unless directed */
extern size_t gm_csr_bytes(const GmCsrOpts *opts, uint32_t n, uint64_t arcs);

/* memory: gm_csr_bytes() from offset at on, a multiple of 64 and not 0 */
extern void gm_csr_begin(GmCsrBuild *build, char *base, GmOffset at,
						 const GmCsrOpts *opts, uint32_t n, uint64_t arcs);

/*
 * GM_BAD_VALUE: a node beyond n, a negative or NaN weight; GM_TOO_MANY: more
 * arcs than announced, at _put: another arc than was counted.  An arc of
 * weight 0 is left out; it must be so both times.
 */
extern GmStatus gm_csr_count(GmCsrBuild *build, uint32_t from, uint32_t to,
							 float weight);
extern void gm_csr_counted(GmCsrBuild *build);
extern GmStatus gm_csr_put(GmCsrBuild *build, uint32_t from, uint32_t to,
						   float weight);

/* with the team's help; its base is the build's */
extern GmStatus gm_csr_finish(GmCsrBuild *build, GmTeam *team, GmCsr *csr);

extern GmStatus gm_csr_from_arcs(GmTeam *team, GmOffset at,
								 const GmCsrOpts *opts, uint32_t n,
								 uint64_t arcs, const uint32_t *from,
								 const uint32_t *to, const float *weight,
								 GmCsr *csr);

#endif							/* GM_COMPUTE_CSR_H */
