/*-------------------------------------------------------------------------
 *
 * arcs.c
 *	  A graph as embeddings see it.
 *
 *-------------------------------------------------------------------------
 */
#include "core/arcs.h"

typedef struct Walk
{
	const GmArcs *arcs;
	uint64_t	looked;			/* records and nodes since the last look at interrupts */
} Walk;

static bool
interrupted(Walk *walk, uint64_t more)
{
	walk->looked += more;
	if (walk->looked < GM_INTERRUPT_EVERY)
		return false;
	walk->looked = 0;
	return gm_interrupted(walk->arcs->intr);
}

GmStatus
gm_arcs_each(const GmArcs *arcs, GmStatus (*show) (void *arg, GmNode from, GmNode to, float weight),
			 void *arg)
{
	const GmGraph *g = arcs->graph;
	GmView		out = *arcs->view;
	Walk		walk = {arcs, 0};

	out.direction = GM_OUT;
	for (GmNode node = 0; node < g->root->gr_nodes; node++)
	{
		if (interrupted(&walk, 1))
			return GM_INTERRUPTED;
		if (out.plain)
		{
			GmRunView	run = gm_graph_run(g, node, GM_OUT);

			for (uint32_t i = 0; i < run.length; i++)
			{
				float		weight = arcs->weighted ?
					gm_graph_confidence(g, &out, run.slot[i]) : 1;

				if (interrupted(&walk, 1))
					return GM_INTERRUPTED;
				if (weight != 0)
					GM_TRY(show(arg, node, run.neighbor[i], weight));
			}
		}
		else
		{
			GmEdgeIter	iter;
			GmEdge		edge;

			gm_edges_begin(&iter, g, &out, node);
			while (gm_edges_next(&iter, &edge))
			{
				float		weight = arcs->weighted ?
					gm_graph_confidence(g, &out, edge.slot) : 1;

				if (interrupted(&walk, 1))
					return GM_INTERRUPTED;
				/* a symmetric predicate's come in from both ends */
				if (edge.out && weight != 0)
					GM_TRY(show(arg, node, edge.neighbor, weight));
			}
		}
	}
	return GM_OK;
}

/*
 * Counting
 */
typedef struct Count
{
	uint64_t   *has;
	uint64_t	arcs;
} Count;

static GmStatus
count_arc(void *arg, GmNode from, GmNode to, float weight)
{
	Count	   *count = arg;

	count->has[from / 64] |= UINT64_C(1) << from % 64;
	count->has[to / 64] |= UINT64_C(1) << to % 64;
	count->arcs++;
	return GM_OK;
}

GmStatus
gm_arcs_count(const GmArcs *arcs, uint64_t *has, uint32_t *nodes, uint64_t *count)
{
	Count		c = {has, 0};

	GM_TRY(gm_arcs_each(arcs, count_arc, &c));
	*count = c.arcs;
	*nodes = 0;
	for (size_t i = 0; i < GM_ARCS_WORDS(arcs->graph); i++)
		for (uint64_t word = has[i]; word != 0; word &= word - 1)
			(*nodes)++;
	return GM_OK;
}

/*
 * Ordering, by merging ever longer runs
 */
static GmStatus
merge(Walk *walk, const GmNode *from, GmNode *to, uint32_t n, uint32_t middle)
{
	const GmGraph *g = walk->arcs->graph;
	uint32_t	a = 0;
	uint32_t	b = middle;

	for (uint32_t i = 0; i < n; i++)
	{
		bool		first = b == n || (a < middle &&
									   gm_graph_entity_id(g, from[a]) <= gm_graph_entity_id(g, from[b]));

		to[i] = first ? from[a++] : from[b++];
		if (interrupted(walk, 1))
			return GM_INTERRUPTED;
	}
	return GM_OK;
}

GmStatus
gm_arcs_order(const GmArcs *arcs, const uint64_t *has, GmNode *nodes, GmNode *spare, uint32_t n)
{
	const GmGraph *g = arcs->graph;
	Walk		walk = {arcs, 0};
	GmNode	   *from = nodes;
	GmNode	   *to = spare;
	uint32_t	count = 0;
	bool		ordered = true;

	for (GmNode node = 0; node < g->root->gr_nodes && count < n; node++)
	{
		if ((has[node / 64] >> node % 64 & 1) == 0)
			continue;
		if (count > 0 && gm_graph_entity_id(g, nodes[count - 1]) > gm_graph_entity_id(g, node))
			ordered = false;
		nodes[count++] = node;
		if (interrupted(&walk, 1))
			return GM_INTERRUPTED;
	}
	if (ordered)
		return GM_OK;
	for (uint64_t width = 1; width < n; width *= 2)
	{
		GmNode	   *other = from;

		for (uint64_t at = 0; at < n; at += 2 * width)
		{
			uint32_t	length = (uint32_t) (n - at < 2 * width ? n - at : 2 * width);

			GM_TRY(merge(&walk, from + at, to + at, length,
						 length < width ? length : (uint32_t) width));
		}
		from = to;
		to = other;
	}
	if (from != nodes)
		memcpy(nodes, from, (size_t) n * sizeof(GmNode));
	return GM_OK;
}
