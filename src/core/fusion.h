/*-------------------------------------------------------------------------
 *
 * fusion.h
 *	  One ranking of entities from vectors, text, names and structure.
 *
 * Glossary
 *	 hit		an entity that some way of searching found
 *	 list		the hits of one way, each with its rank from 1 and a score
 *	 seed		an entity that the walk starts from: every hit of every list
 *	 named		said of hits of explicit seeds and of exact names
 *	 direct		said of a candidate that is a hit itself: 0 hops
 *	 centre		mean of the hits' vectors by topology, each of length 1 under cosine,
 *				weighted by the restart distribution
 *
 * 1. Restart distribution.  A hit of a list counts share × weight / (rrf_k +
 *	  rank), weighted reciprocal rank fusion; an entity's hits add up.  The
 *	  named hits together make one half of the distribution and the others the
 *	  other half, or all of it where there is one sort only: a handful of names
 *	  that the question itself gave would drown in a hundred ranked guesses.
 *	  With a topology leg this is done twice: what is nearest to the centre, and
 *	  like it at all, is one more list of ranked hits the second time.
 * 2. Walk.  Personalised PageRank, or seed mass × damping^hops, over what the
 *	  view lets through.
 * 3. Candidates.  All hits; the nearest vectors among the allowed entities;
 *	  those nearest to the centre; whatever the walk reached, if a path of at most
 *	  max_hops leads there: over any nodes up to 2 hops, beyond that over nodes
 *	  that it reached.  What only the centre led to is not direct: it has its
 *	  best path, which is its own seed's where none is worth more, and stands for
 *	  itself where there is none at all.
 * 4. Score.  sum of weight × leg / sum of weights, over the legs asked for:
 *	  vector		similarity in the entity space, computed for every candidate
 *					that has a vector there; without, that of the best hit of
 *					another space that led to it; none counts 0
 *	  text			score of the best text hit, 0 without
 *	  graph			mass / largest mass
 *	  topology		similarity to the centre, 0 without a vector; no leg if no hit
 *					has one
 *	  confidence	product of the confidences on the best path; 1 if direct
 *	  recency		2^(-age / 30 days) of the newest triple on the best path;
 *					if direct, of the newest triple that touches the entity
 *	  The best path maximises seed mass × product of confidence × damping.
 * 5. Guarantee.  If fewer than match_count rows come of this, entities within
 *	  max_hops of a seed follow breadth first, however little mass they have.
 *
 * A candidate that only the walk found is looked at closely if its mass still
 * allows a place among the match_count best: with the largest possible vector
 * and topology legs (the last of the nearest vectors), no text, full confidence.  So what
 * is left out could not have been a row.
 *
 * Reference	rank fusion: Cormack, Clarke, Buettcher, SIGIR 2009, with weights;
 *				PageRank: see rank.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_FUSION_H
#define GM_CORE_FUSION_H

#include "core/graph.h"
#include "core/path.h"
#include "core/scratch.h"
#include "core/space_index.h"

typedef enum GmFusionKind
{
	GM_FUSION_VECTOR = 0,		/* of fact and source spaces */
	GM_FUSION_TEXT,
	GM_FUSION_NAME,				/* text hits that are exact names */
	GM_FUSION_SEED
} GmFusionKind;

typedef struct GmFusionHit
{
	GmNode		node;
	uint32_t	rank;			/* from 1; several hits may have one */
	float		score;			/* in [0, 1] */
	float		share;			/* in (0, 1]: of what the rank is worth */
	uint32_t	source;			/* whose hit led here; GM_NONE: no source's */
} GmFusionHit;

typedef struct GmFusionList
{
	GmFusionKind kind;
	double		weight;			/* in the restart distribution; 0 or more */
	const GmFusionHit *hits;
	uint32_t	count;
} GmFusionList;

/* memory for what outlives the call: NULL if refused; never freed by core/ */
typedef struct GmFusionMemory
{
	void	   *(*alloc) (void *arg, size_t bytes);
	void	   *arg;
} GmFusionMemory;

typedef struct GmFusionOpts
{
	const GmFusionList *lists;
	uint32_t	list_count;

	/* the entity space; NULL, or vector_weight 0: not searched */
	GmSpace    *space;
	const GmSpaceQuery *vector;
	GmHnswWork *work;			/* may be NULL where the space has no index */
	uint32_t	ef_search;
	bool		exact;
	GmSpaceReport *report;		/* of the last search of the space; NULL: not wanted */
	uint32_t	vector_candidates;	/* hits taken from the space */

	/* entities' vectors by topology, not NULL if topology_asked */
	GmSpace    *topology;
	GmSpaceReport *topology_report; /* as report */

	bool		vector_asked;	/* the vector leg counts */
	bool		text_asked;
	bool		topology_asked; /* there is a space for it */
	double		vector_weight;	/* a weight of 0 switches its leg off */
	double		text_weight;
	double		graph_weight;
	double		topology_weight;
	double		confidence_weight;
	double		recency_weight;

	double		rrf_k;
	bool		by_hops;		/* damping^hops rather than PageRank */
	double		damping;		/* in [0, 1) */
	double		epsilon;		/* of gm_ppr */
	int			max_hops;
	uint32_t	match_count;
	int64_t		now;			/* what ages are counted to, microseconds */
	const uint64_t *seeds;		/* nodes that vectors may make seeds; NULL: all */
	const uint64_t *results;	/* nodes that may be rows; NULL: all */
} GmFusionOpts;

/* a leg that does not apply is NaN */
typedef struct GmFusionRow
{
	GmNode		node;
	double		score;
	double		vector_score;
	double		text_score;
	double		graph_score;
	double		topology_score;
	double		confidence;
	int			hops;
	const GmPathStep *steps;	/* hops + 1; the first is the seed */
	const uint32_t *sources;	/* distinct, by id: of the path's triples; if
								 * direct, those whose hits led here */
	uint32_t	source_count;
} GmFusionRow;

/* the sum of the weights that count; 0: there is nothing to rank by */
extern double gm_fusion_weight(const GmFusionOpts *opts);

/*
 * rows: by score, best first, then entity id; at most match_count.
 *
 * GM_BAD_VALUE: no weight counts, or an option is out of range.
 */
extern GmStatus gm_fusion(const GmGraph *graph, const GmView *view, GmScratch *scratch,
						  const GmFusionOpts *opts, const GmFusionMemory *memory,
						  const GmInterrupt *intr, const GmFusionRow **rows, uint32_t *count);

#endif							/* GM_CORE_FUSION_H */
