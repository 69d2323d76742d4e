/*-------------------------------------------------------------------------
 *
 * apply_model.h
 *	  The rows of a small graph as plain arrays, random changes to them, and an
 *	  image built from them: the ground of test_apply.c.
 *
 * A cell is one possible row; its place tells its key, whether it is there and
 * what it holds changes.  Ids do not ascend with places.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_TEST_APPLY_MODEL_H
#define GM_TEST_APPLY_MODEL_H

#include "core/apply.h"
#include "core/graph_private.h"
#include "unit.h"

#define M_ENTITIES		48
#define M_ALIASES		12
#define M_PREDICATES	6
#define M_TRIPLES		220
#define M_FACTS			110
#define M_SOURCES		9
#define M_SPACES		4
#define M_COMPUTED		3		/* the space whose rows go with it, untold */
#define M_ITEMS			M_FACTS		/* the most of any target */
#define M_DIM			4

typedef struct Cell
{
	bool		there;
	char		name[12];
	uint8_t		type;			/* entity: 0 none */
	uint8_t		kind;			/* entity, source: 0 none */
	uint8_t		session;
	bool		symmetric;
	bool		functional;
	int16_t		to[4];			/* places of what it refers to: see fill_row */
	float		number;			/* weight, reliability, confidence */
	GmTimes		times;
	float		vector[M_DIM];
} Cell;

typedef struct Model
{
	Cell		entity[M_ENTITIES];
	Cell		alias[M_ALIASES];
	Cell		predicate[M_PREDICATES];
	Cell		source[M_SOURCES];
	Cell		triple[M_TRIPLES];
	Cell		assertion[M_FACTS * M_SOURCES];
	Cell		space[M_SPACES];
	Cell		embedding[M_SPACES * M_ITEMS];
} Model;

static inline int64_t
m_entity_id(int i)
{
	return (i * 29 % M_ENTITIES) * 3 - 20;
}

static inline int64_t
m_triple_id(int i)
{
	return (i * 97 % M_TRIPLES) * INT64_C(1000003) - 5;
}

static inline int64_t
m_fact_id(int i)
{
	return (i * 57 % M_FACTS) * 2 + 10;
}

static inline int64_t
m_predicate_id(int i)
{
	return (i * 5 % M_PREDICATES) * 10 + 100;
}

static inline int64_t
m_source_id(int i)
{
	return (i * 7 % M_SOURCES) + 500;
}

static inline int32_t
m_space_id(int i)
{
	return 7 - i;
}

static inline Cell *
m_cells(Model *m, GmTable table, int *count)
{
	switch (table)
	{
		case GM_TABLE_ENTITIES:
			*count = M_ENTITIES;
			return m->entity;
		case GM_TABLE_ALIASES:
			*count = M_ALIASES;
			return m->alias;
		case GM_TABLE_PREDICATES:
			*count = M_PREDICATES;
			return m->predicate;
		case GM_TABLE_SOURCES:
			*count = M_SOURCES;
			return m->source;
		case GM_TABLE_TRIPLES:
			*count = M_TRIPLES;
			return m->triple;
		case GM_TABLE_ASSERTIONS:
			*count = M_FACTS * M_SOURCES;
			return m->assertion;
		case GM_TABLE_SPACES:
			*count = M_SPACES;
			return m->space;
		default:
			*count = M_SPACES * M_ITEMS;
			return m->embedding;
	}
}

static inline char
m_target(int space)
{
	return "efse"[space];
}

static inline int
m_items(int space)
{
	switch (m_target(space))
	{
		case 'e':
			return M_ENTITIES;
		case 'f':
			return M_FACTS;
		default:
			return M_SOURCES;
	}
}

static inline int64_t
m_item_id(int space, int item)
{
	switch (m_target(space))
	{
		case 'e':
			return m_entity_id(item);
		case 'f':
			return m_fact_id(item);
		default:
			return m_source_id(item);
	}
}

static inline GmText
m_text(const char *s)
{
	return (GmText) {s, s == NULL ? 0 : (uint32_t) strlen(s)};
}

/* the row points into the cell */
static inline void
m_fill_row(GmTable table, int at, const Cell *c, GmRow *row)
{
	static const char *const types[] = {NULL, "xsd:int", "@en"};
	static const char *const kinds[] = {NULL, "person", "place", ""};

	memset(row, 0, sizeof(*row));
	row->table = table;
	switch (table)
	{
		case GM_TABLE_ENTITIES:
			row->u.entity.entity_id = m_entity_id(at);
			row->u.entity.name = m_text(c->name);
			row->u.entity.literal_type = m_text(types[c->type]);
			row->u.entity.kind = m_text(kinds[c->kind]);
			row->u.entity.created_at = c->times.recorded_at;
			break;
		case GM_TABLE_ALIASES:
			row->u.alias.alias_id = at + 1;
			row->u.alias.entity_id = m_entity_id(c->to[0]);
			row->u.alias.name = m_text(c->name);
			break;
		case GM_TABLE_PREDICATES:
			row->u.predicate.predicate_id = m_predicate_id(at);
			row->u.predicate.name = m_text(c->name);
			row->u.predicate.weight = c->number;
			row->u.predicate.symmetric = c->symmetric;
			row->u.predicate.functional = c->functional;
			break;
		case GM_TABLE_SOURCES:
			row->u.source.source_id = m_source_id(at);
			row->u.source.name = m_text(c->name);
			row->u.source.session = m_text(kinds[c->session]);
			row->u.source.kind = m_text(kinds[c->kind]);
			row->u.source.reliability = c->number;
			row->u.source.created_at = c->times.recorded_at;
			break;
		case GM_TABLE_TRIPLES:
			row->u.triple.triple_id = m_triple_id(at);
			row->u.triple.fact_id = m_fact_id(c->to[3]);
			row->u.triple.subject_id = m_entity_id(c->to[0]);
			row->u.triple.predicate_id = m_predicate_id(c->to[1]);
			row->u.triple.object_id = m_entity_id(c->to[2]);
			row->u.triple.times = c->times;
			row->u.triple.confidence = c->number;
			break;
		case GM_TABLE_ASSERTIONS:
			row->u.assertion.fact_id = m_fact_id(at / M_SOURCES);
			row->u.assertion.source_id = m_source_id(at % M_SOURCES);
			row->u.assertion.asserted_at = c->times.recorded_at;
			row->u.assertion.confidence = c->number;
			break;
		case GM_TABLE_SPACES:
			row->u.space.space_id = m_space_id(at);
			row->u.space.dim = M_DIM;
			row->u.space.name = m_text(c->name);
			row->u.space.target = m_target(at);
			row->u.space.metric = (uint8_t) (at % 3);
			row->u.space.computed = at == M_COMPUTED;
			row->u.space.computing = at == M_COMPUTED && c->symmetric;
			row->u.space.tuning = (GmSpaceTuning) {
				c->type * 80, 200 + c->kind, c->kind, c->number < 0.5f && at != M_COMPUTED
			};
			break;
		default:
			if (at / M_ITEMS == M_COMPUTED)
				row->table = GM_TABLE_TOPOLOGY;
			row->u.embedding.space_id = m_space_id(at / M_ITEMS);
			row->u.embedding.item_id = m_item_id(at / M_ITEMS, at % M_ITEMS);
			row->u.embedding.dim = M_DIM;
			row->u.embedding.vector = c->vector;
			break;
	}
}

/*
 * Changes
 */
typedef struct Op
{
	GmTable		table;
	int			at;
	Cell		now;			/* not there: the row is removed */
	Cell		before;
} Op;

typedef struct Ops
{
	Op		   *list;
	int			n;
	int			room;
} Ops;

static inline void
m_add_op(Ops *ops, Model *m, GmTable table, int at, const Cell *now)
{
	int			count;
	Cell	   *cell = m_cells(m, table, &count) + at;

	if (ops->n == ops->room)
	{
		ops->room = ops->room == 0 ? 64 : ops->room * 2;
		ops->list = realloc(ops->list, (size_t) ops->room * sizeof(Op));
	}
	ops->list[ops->n++] = (Op) {table, at, *now, *cell};
	*cell = *now;
}

static inline int
m_some(const Cell *cells, int count, bool there)
{
	int			start = (int) unit_random_below((uint32_t) count);

	for (int i = 0; there && i < count; i++)
		if (cells[(start + i) % count].there)
			return (start + i) % count;
	return there ? -1 : start;
}

static inline int64_t
m_some_time(void)
{
	static const int64_t times[] = {GM_TIME_MIN, 90, 100, 105, 110, 120, 130, 150, 200, GM_TIME_MAX};

	return times[unit_random_below(10)];
}

static inline GmTimes
m_some_times(void)
{
	GmTimes		t = {GM_TIME_MIN, GM_TIME_MAX, 5, GM_TIME_MAX};

	if (unit_random_below(2))
		return t;
	do
	{
		t.valid_from = m_some_time();
		t.valid_to = m_some_time();
	} while (t.valid_from >= t.valid_to);
	t.recorded_at = 1 + unit_random_below(100);
	if (unit_random_below(3) == 0)
		t.expired_at = t.recorded_at + 1 + unit_random_below(60);
	return t;
}

static inline bool
m_name_taken(const Cell *cells, int count, int at, const Cell *c)
{
	for (int i = 0; i < count; i++)
		if (i != at && cells[i].there && cells[i].type == c->type &&
			strcmp(cells[i].name, c->name) == 0)
			return true;
	return false;
}

static inline void
m_some_name(const Cell *cells, int count, int at, Cell *c)
{
	do
		snprintf(c->name, sizeof(c->name), "%.*s%d", (int) unit_random_below(3), "ab",
				 (int) unit_random_below(40));
	while (m_name_taken(cells, count, at, c));
}

/* contents for a row; false: tidy, and what it refers to is not there */
static inline bool
m_some_content(Model *m, GmTable table, int at, bool tidy, Cell *c)
{
	int			count;
	Cell	   *cells = m_cells(m, table, &count);

	if (!c->there)
		memset(c, 0, sizeof(*c));
	c->there = true;
	c->number = (float) unit_random_below(21) / 20;
	switch (table)
	{
		case GM_TABLE_ENTITIES:
			c->type = unit_random_below(4) == 0 ? (uint8_t) (1 + unit_random_below(2)) : 0;
			c->kind = (uint8_t) unit_random_below(4);
			if (c->name[0] == 0 || unit_random_below(2) || m_name_taken(cells, count, at, c))
				m_some_name(cells, count, at, c);
			return true;
		case GM_TABLE_ALIASES:
			c->to[0] = (int16_t) m_some(m->entity, M_ENTITIES, tidy);
			m_some_name(cells, count, at, c);
			return c->to[0] >= 0;
		case GM_TABLE_PREDICATES:
			if (unit_random_below(3))
				c->number = 1;
			c->symmetric = unit_random_below(4) == 0;
			c->functional = unit_random_below(2);
			m_some_name(cells, count, at, c);
			return true;
		case GM_TABLE_SOURCES:
			c->kind = (uint8_t) unit_random_below(4);
			c->session = (uint8_t) unit_random_below(4);
			m_some_name(cells, count, at, c);
			return true;
		case GM_TABLE_TRIPLES:
			if (c->times.valid_to == 0 || unit_random_below(2))
				c->times = m_some_times();
			if (c->times.valid_to != 0 && c->to[3] != 0 && unit_random_below(3) == 0)
				return true;
			c->to[0] = (int16_t) m_some(m->entity, M_ENTITIES, tidy);
			c->to[1] = (int16_t) m_some(m->predicate, M_PREDICATES, tidy);
			c->to[2] = unit_random_below(12) == 0 ? c->to[0] :
				(int16_t) m_some(m->entity, M_ENTITIES, tidy);
			c->to[3] = (int16_t) unit_random_below(M_FACTS);
			if (unit_random_below(2))
				c->to[3] = (int16_t) (at % M_FACTS);
			return c->to[0] >= 0 && c->to[1] >= 0 && c->to[2] >= 0;
		case GM_TABLE_ASSERTIONS:
			c->times.recorded_at = unit_random_below(160);
			return !tidy || m->source[at % M_SOURCES].there;
		case GM_TABLE_SPACES:
			c->type = (uint8_t) unit_random_below(3);
			c->kind = (uint8_t) unit_random_below(3);
			c->symmetric = unit_random_below(2);
			m_some_name(cells, count, at, c);
			return true;
		default:
			for (int i = 0; i < M_DIM; i++)
				c->vector[i] = (float) unit_random_below(9) - 4 + 0.5f;
			return true;
	}
}

static inline bool
m_fact_has_triple(const Model *m, int fact)
{
	for (int i = 0; i < M_TRIPLES; i++)
		if (m->triple[i].there && m->triple[i].to[3] == fact)
			return true;
	return false;
}

/* is what a vector belongs to there */
static inline bool
m_has_item(const Model *m, int space, int item)
{
	if (!m->space[space].there || item >= m_items(space))
		return false;
	switch (m_target(space))
	{
		case 'e':
			return m->entity[item].there;
		case 'f':
			return m_fact_has_triple(m, item);
		default:
			return m->source[item].there;
	}
}

static inline void m_remove(Ops *ops, Model *m, GmTable table, int at, bool tidy);

/* rows that refer to one that goes */
static inline void
m_cascade(Ops *ops, Model *m, GmTable table, int at)
{
	for (int i = 0; i < M_TRIPLES; i++)
		if (m->triple[i].there &&
			((table == GM_TABLE_ENTITIES && (m->triple[i].to[0] == at || m->triple[i].to[2] == at)) ||
			 (table == GM_TABLE_PREDICATES && m->triple[i].to[1] == at)))
			m_remove(ops, m, GM_TABLE_TRIPLES, i, true);
	for (int i = 0; i < M_ALIASES && table == GM_TABLE_ENTITIES; i++)
		if (m->alias[i].there && m->alias[i].to[0] == at)
			m_remove(ops, m, GM_TABLE_ALIASES, i, false);
	for (int i = 0; i < M_FACTS && table == GM_TABLE_SOURCES; i++)
		if (m->assertion[i * M_SOURCES + at].there)
			m_remove(ops, m, GM_TABLE_ASSERTIONS, i * M_SOURCES + at, false);
	for (int i = 0; i < M_SPACES * M_ITEMS; i++)
		if (m->embedding[i].there && !m_has_item(m, i / M_ITEMS, i % M_ITEMS))
			m_remove(ops, m, GM_TABLE_EMBEDDINGS, i, false);
}

static inline void
m_remove(Ops *ops, Model *m, GmTable table, int at, bool tidy)
{
	Cell		gone = {0};

	if (table == GM_TABLE_SPACES && at == M_COMPUTED)
		memset(&m->embedding[M_COMPUTED * M_ITEMS], 0, M_ITEMS * sizeof(Cell));
	m_add_op(ops, m, table, at, &gone);
	if (tidy)
		m_cascade(ops, m, table, at);
}

static inline void
m_some_op(Ops *ops, Model *m, bool tidy, bool vectors)
{
	static const struct
	{
		GmTable		table;
		uint32_t	weight;
		uint32_t	remove;		/* per cent */
	}			tables[] = {
		{GM_TABLE_ENTITIES, 10, 15}, {GM_TABLE_ALIASES, 3, 30}, {GM_TABLE_PREDICATES, 2, 10},
		{GM_TABLE_SOURCES, 4, 15}, {GM_TABLE_TRIPLES, 45, 30}, {GM_TABLE_ASSERTIONS, 20, 25},
		{GM_TABLE_SPACES, 1, 25}, {GM_TABLE_EMBEDDINGS, 15, 20}
	};
	uint32_t	r = unit_random_below(vectors ? 100 : 84);
	int			t = 0;
	GmTable		table;
	Cell	   *cells;
	Cell		c;
	int			count;
	int			at;

	while (r >= tables[t].weight)
		r -= tables[t++].weight;
	table = tables[t].table;
	cells = m_cells(m, table, &count);
	at = m_some(cells, count, false);
	if (table == GM_TABLE_EMBEDDINGS && at % M_ITEMS >= m_items(at / M_ITEMS))
		return;
	if (unit_random_below(100) < tables[t].remove)
	{
		/* now and then one that is not there */
		int			there = m_some(cells, count, unit_random_below(10) != 0);

		if (there >= 0 && cells[there].there)
			at = there;
		m_remove(ops, m, table, at, tidy);
		return;
	}
	if (table == GM_TABLE_EMBEDDINGS && tidy && !m_has_item(m, at / M_ITEMS, at % M_ITEMS))
		return;
	c = cells[at];
	if (!m_some_content(m, table, at, tidy, &c))
		return;
	m_add_op(ops, m, table, at, &c);
	if (tidy && table == GM_TABLE_TRIPLES)
		m_cascade(ops, m, GM_TABLE_NONE, 0);	/* its old fact may have lost its last one */
}

/* when a computed space goes decides what becomes of its rows */
static inline bool
m_is_of_computed(const Op *op)
{
	return (op->table == GM_TABLE_SPACES && op->at == M_COMPUTED) ||
		(op->table == GM_TABLE_EMBEDDINGS && op->at / M_ITEMS == M_COMPUTED);
}

/* neighbours that concern different rows change places now and then */
static inline void
m_shuffle(Ops *ops)
{
	for (int pass = 0; pass < 6; pass++)
		for (int i = 1; i < ops->n; i++)
		{
			Op		   *a = &ops->list[i - 1];
			Op		   *b = &ops->list[i];
			Op			t = *a;

			if ((a->table == b->table && a->at == b->at) || unit_random_below(2) ||
				(m_is_of_computed(a) && m_is_of_computed(b)))
				continue;
			*a = *b;
			*b = t;
		}
}

static inline GmStatus
m_apply_op(GmApply *apply, const Op *op, bool undo)
{
	const Cell *cell = undo ? &op->before : &op->now;
	GmRow		row;
	GmRow		key;
	int64_t		keys[2];

	m_fill_row(op->table, op->at, cell, &row);
	if (op->table == GM_TABLE_SPACES && undo && !op->now.there)
		row.u.space.unread = row.u.space.computed;
	if (cell->there)
		return gm_apply_put(apply, &row);

	/* nothing but its key may be looked at */
	memset(&key, 0xa5, sizeof(key));
	gm_row_key(&row, keys);
	gm_row_set_key(row.table, 0, keys, &key);
	return gm_apply_remove(apply, &key);
}

/*
 * A fresh image
 */

/* is the row in the image: is what it refers to */
static inline bool
m_is_in(const Model *m, GmTable table, int at, const Cell *c);

static inline bool
m_fact_is_in(const Model *m, int fact)
{
	for (int i = 0; i < M_TRIPLES; i++)
		if (m->triple[i].there && m->triple[i].to[3] == fact &&
			m_is_in(m, GM_TABLE_TRIPLES, i, &m->triple[i]))
			return true;
	return false;
}

static inline bool
m_is_in(const Model *m, GmTable table, int at, const Cell *c)
{
	if (!c->there)
		return false;
	switch (table)
	{
		case GM_TABLE_ALIASES:
			return m->entity[c->to[0]].there;
		case GM_TABLE_TRIPLES:
			return m->entity[c->to[0]].there && m->predicate[c->to[1]].there &&
				m->entity[c->to[2]].there;
		case GM_TABLE_ASSERTIONS:
			return m->source[at % M_SOURCES].there;
		case GM_TABLE_EMBEDDINGS:
			if (!m->space[at / M_ITEMS].there)
				return false;
			return m_target(at / M_ITEMS) == 'f' ? m_fact_is_in(m, at % M_ITEMS) :
				m_has_item(m, at / M_ITEMS, at % M_ITEMS);
		default:
			return true;
	}
}

static inline uint64_t
m_left_out(Model *m)
{
	uint64_t	n = 0;

	for (GmTable table = GM_TABLE_ENTITIES; table <= GM_TABLE_EMBEDDINGS; table++)
	{
		int			count;
		Cell	   *cells = m_cells(m, table, &count);

		for (int i = 0; i < count; i++)
			n += cells[i].there && !m_is_in(m, table, i, &cells[i]);
	}
	return n;
}

static inline GmStatus
m_add_row(GmGraph *g, GmRow *row, GmSpace **spaces)
{
	GmText		none = {NULL, 0};

	switch (row->table)
	{
		case GM_TABLE_ENTITIES:
			GM_TRY(gm_graph_add_entity(g, row->u.entity.entity_id,
									   row->u.entity.name.bytes, row->u.entity.name.length,
									   row->u.entity.literal_type.bytes,
									   row->u.entity.literal_type.length,
									   row->u.entity.kind.bytes, row->u.entity.kind.length));
			gm_graph_date_entity(g, row->u.entity.created_at);
			return GM_OK;
		case GM_TABLE_ALIASES:
			return gm_graph_add_alias(g, row->u.alias.alias_id, row->u.alias.name.bytes,
									  row->u.alias.name.length, row->u.alias.entity_id);
		case GM_TABLE_PREDICATES:
			return gm_graph_add_predicate(g, row->u.predicate.predicate_id,
										  row->u.predicate.name.bytes,
										  row->u.predicate.name.length,
										  row->u.predicate.functional,
										  row->u.predicate.symmetric, row->u.predicate.weight);
		case GM_TABLE_SOURCES:
			GM_TRY(gm_graph_add_source(g, row->u.source.source_id,
									   row->u.source.name.bytes, row->u.source.name.length,
									   row->u.source.session.bytes, row->u.source.session.length,
									   row->u.source.kind.bytes, row->u.source.kind.length,
									   row->u.source.reliability));
			gm_graph_date_source(g, row->u.source.created_at);
			return GM_OK;
		case GM_TABLE_TRIPLES:
			return gm_graph_add_triple(g, row->u.triple.triple_id, row->u.triple.fact_id,
									   row->u.triple.subject_id, row->u.triple.predicate_id,
									   row->u.triple.object_id, row->u.triple.confidence,
									   &row->u.triple.times);
		case GM_TABLE_ASSERTIONS:
			return gm_graph_add_assertion(g, row->u.assertion.fact_id,
										  row->u.assertion.source_id,
										  row->u.assertion.confidence,
										  row->u.assertion.asserted_at);
		case GM_TABLE_SPACES:
			GM_TRY(gm_graph_add_space(g, row->u.space.space_id, row->u.space.name.bytes,
									  row->u.space.name.length, row->u.space.target,
									  (GmMetric) row->u.space.metric, row->u.space.dim,
									  &spaces[7 - row->u.space.space_id]));
			gm_space_tune(spaces[7 - row->u.space.space_id], &row->u.space.tuning);
			if (row->u.space.computed)
				gm_graph_set_computed(g, row->u.space.space_id, row->u.space.computing);
			break;
		default:
			break;
	}
	(void) none;
	return GM_OK;
}

static inline GmStatus
m_add_vector(GmGraph *g, const GmRow *row, GmSpace **spaces)
{
	int			s = 7 - row->u.embedding.space_id;
	int64_t		item_id = row->u.embedding.item_id;
	uint32_t	number = m_target(s) == 'e' ? gm_graph_find_entity(g, item_id) :
		m_target(s) == 's' ? gm_graph_find_source_id(g, item_id) : GM_NONE;

	return gm_space_add(spaces[s], item_id, number, row->u.embedding.vector);
}

/* rows of each table in a random order */
static inline GmStatus
m_build(Model *m, GmMem *mem, int64_t now, GmGraph **graph)
{
	static const GmTable order[] = {
		GM_TABLE_PREDICATES, GM_TABLE_ENTITIES, GM_TABLE_ALIASES, GM_TABLE_SOURCES,
		GM_TABLE_TRIPLES, GM_TABLE_ASSERTIONS, GM_TABLE_NONE, GM_TABLE_SPACES,
		GM_TABLE_EMBEDDINGS
	};
	GmSpace    *spaces[M_SPACES] = {NULL};
	GmStatus	status = gm_graph_create(mem, graph);

	for (int t = 0; t < 9 && status == GM_OK; t++)
	{
		int			count;
		Cell	   *cells = m_cells(m, order[t], &count);
		int			start = (int) unit_random_below((uint32_t) count);
		int			step = unit_random_below(2) ? 1 : count - 1;

		if (order[t] == GM_TABLE_NONE)
		{
			status = gm_graph_finish(*graph, now, NULL);
			continue;
		}
		for (int i = 0, at = start; i < count && status == GM_OK; i++, at = (at + step) % count)
		{
			GmRow		row;

			if (!m_is_in(m, order[t], at, &cells[at]))
				continue;
			m_fill_row(order[t], at, &cells[at], &row);
			status = order[t] == GM_TABLE_EMBEDDINGS ? m_add_vector(*graph, &row, spaces) :
				m_add_row(*graph, &row, spaces);
		}
	}
	for (int s = 0; s < M_SPACES && status == GM_OK; s++)
		if (spaces[s] != NULL)
			status = gm_graph_finish_space(*graph, m_space_id(s));
	return status;
}

/* what a fork has to read from the table, which is the model */
static inline void
m_read_unread(GmGraph *fork, const Model *m)
{
	int32_t		space_id = m_space_id(M_COMPUTED);
	GmSpace    *spaces[M_SPACES] = {NULL};
	GmRow		space_row;
	bool		found;
	uint32_t	at = gm_graph_space_at(fork, space_id, &found);

	if (!found || !gm_graph_space_info(fork, at)->unread)
		return;
	CHECK(gm_graph_space(fork, at)->root->sp_rows == 0);
	REQUIRE(gm_space_create(fork->mem, M_DIM, (GmMetric) gm_graph_space_info(fork, at)->metric,
							&spaces[M_COMPUTED]) == GM_OK);
	for (int i = M_COMPUTED * M_ITEMS; i < M_SPACES * M_ITEMS; i++)
	{
		GmRow		row;

		if (!m_is_in(m, GM_TABLE_EMBEDDINGS, i, &m->embedding[i]))
			continue;
		m_fill_row(GM_TABLE_EMBEDDINGS, i, &m->embedding[i], &row);
		REQUIRE(m_add_vector(fork, &row, spaces) == GM_OK);
	}
	m_fill_row(GM_TABLE_SPACES, M_COMPUTED, &m->space[M_COMPUTED], &space_row);
	gm_space_tune(spaces[M_COMPUTED], &space_row.u.space.tuning);
	REQUIRE(gm_space_finish(spaces[M_COMPUTED], fork->root->gr_nodes) == GM_OK);
	gm_graph_give_space(fork, space_id, spaces[M_COMPUTED]);
}

#endif							/* GM_TEST_APPLY_MODEL_H */
