/*-------------------------------------------------------------------------
 *
 * estimate.c
 *	  How much a query will find, before it runs.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "core/estimate.h"

#define SETTLED		0.01		/* a hop that adds less does not matter */
#define INDEX_ELEMENTS	700000	/* could be compared while an index is searched */

void
gm_shape_clear(GmShape *s)
{
	s->nodes = s->facts = s->predicates = s->vectors = s->elements = s->nearest = 0;
	s->out.n = s->in.n = s->both.n = 0;
	s->out.paired = s->in.paired = s->both.paired = false;
}

bool
gm_degrees_add(GmDegrees *d, double weight, double degree)
{
	if (d->n == GM_DEGREES_MOST)
		return false;
	d->weight[d->n] = (float) weight;
	d->degree[d->n++] = (float) degree;
	return true;
}

/* a fact that is not current may be the only one of its ends */
static void
add_looked(GmDegrees *d, uint32_t degree)
{
	(void) gm_degrees_add(d, 1, degree > 0 ? degree : 1);
}

/* weights to a sum of 1 */
static void
finish_degrees(GmDegrees *d)
{
	for (int i = 0; i < d->n; i++)
		d->weight[i] = 1.0f / (float) d->n;
}

static double
compared_elements(const GmSpaceRoot *root)
{
	double		all = (double) root->sp_rows * root->sp_stride;
	double		index = INDEX_ELEMENTS + (double) root->sp_pending.ar_length * root->sp_stride;

	return root->sp_index.root != 0 && index < all ? index : all;
}

static void
look_at_vectors(const GmGraph *g, GmShape *s)
{
	for (uint32_t i = 0; i < gm_graph_spaces(g); i++)
	{
		const GmGraphSpace *space = gm_graph_space_info(g, i);
		const GmSpaceRoot *root;

		if (space->root == 0)
			continue;
		root = (const GmSpaceRoot *) gm_mem_ptr(g->mem, space->root);
		s->vectors += root->sp_rows;
		s->elements += (double) root->sp_rows * root->sp_stride;
		s->nearest += compared_elements(root);
	}
}

void
gm_shape_look(const GmGraph *g, GmShape *s)
{
	uint32_t	slots = g->root->gr_slots;
	uint32_t	step = slots / GM_SHAPE_FACTS + 1;

	gm_shape_clear(s);
	s->nodes = g->root->gr_live_nodes;
	s->facts = g->root->gr_current;
	s->predicates = g->root->gr_live_predicates;
	look_at_vectors(g, s);
	for (uint64_t i = step / 2; i < slots; i += step)
	{
		GmNode		subject;
		GmNode		object;

		if (!gm_graph_slot_live(g, (GmSlot) i))
			continue;
		subject = GM_ARRAY_U32(&g->subject, i);
		object = GM_ARRAY_U32(&g->object, i);
		add_looked(&s->out, gm_graph_run(g, subject, GM_OUT).length);
		add_looked(&s->in, gm_graph_run(g, object, GM_IN).length);
		add_looked(&s->both, GM_ARRAY_U32(&g->degree, subject));
		add_looked(&s->both, GM_ARRAY_U32(&g->degree, object));
	}
	finish_degrees(&s->out);
	finish_degrees(&s->in);
	finish_degrees(&s->both);
	s->both.paired = true;
}

double
gm_degrees_mean(const GmDegrees *d)
{
	double		entities = 0;	/* for each fact */

	for (int i = 0; i < d->n; i++)
		entities += (double) d->weight[i] / d->degree[i];
	return entities > 0 ? 1 / entities : 1;
}

/* after so many arcs, of ends ends */
static double
met_after(const GmDegrees *d, double arcs, double ends, GmWalkEstimate *e)
{
	double		nodes = 0;
	double		before = 0;

	e->met = e->within = 0;
	for (int i = 0; i < d->n; i++)
	{
		double		x = arcs * d->degree[i] / ends;
		double		met = -expm1(-x);

		e->met += d->weight[i] * met;
		nodes += d->weight[i] * (x > 0 ? met / x : 1);
		if (i % 2 == 1)
			e->within += 2 * d->weight[i] * before * met;
		before = met;
	}
	if (!d->paired)
		e->within = e->met * e->met;
	return nodes * arcs;
}

void
gm_estimate_walk(const GmShape *s, const GmWalkOpts *opts, GmWalkEstimate *e)
{
	const GmDegrees *d = gm_shape_degrees(s, opts->direction);
	double		ends = s->facts * (opts->direction == GM_BOTH ? 2 : 1);
	double		walkable = ends * opts->share;
	double		first = opts->first >= 0 ? opts->first :
		opts->seeds * gm_degrees_mean(d) * opts->share;

	e->nodes = fmin(opts->seeds, s->nodes);
	e->arcs = e->met = e->within = 0;
	if (d->n == 0 || walkable <= 0)
		return;
	for (int hop = 1; hop <= opts->hops; hop++)
	{
		double		before = e->arcs;
		double		more = hop == 2 && opts->second >= 0 ? opts->second : walkable * e->met;

		e->arcs = fmin(fmax(first + more, before), walkable);
		e->nodes = fmin(opts->seeds + met_after(d, e->arcs, ends, e), s->nodes);
		if (e->arcs - before <= SETTLED * before)
			break;
	}
}

double
gm_estimate_between(const GmShape *s, const GmWalkOpts *opts, const GmWalkEstimate *e)
{
	double		facts = s->facts * opts->share;
	double		walked = opts->hops > 1 ? e->arcs / 2 : e->arcs;

	/* every arc scanned leads from one of the nodes to another */
	return fmin(fmax(facts * e->within, walked), facts);
}
