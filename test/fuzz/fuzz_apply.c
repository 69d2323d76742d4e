/*-------------------------------------------------------------------------
 *
 * fuzz_apply.c
 *	  Changes applied to an image, against an image built from the rows that
 *	  should be left.
 *
 * An input is a program for a small machine.  It puts and removes rows whose
 * ids come from a short list, the extremes among them, so that rows meet; ends
 * versions by commit or abort, before or after gm_apply_finish; advances the
 * clock; copies the image; takes memory away.  Rows may refer to what is not
 * there; in some runs they are absurd besides, as no table would hold them:
 * times that end before they begin, vectors of any bits and dimension.  Each
 * goes as the bytes of a change through gm_change_decode and is applied as the
 * worker does it.
 *
 * The model is a list of the rows' bytes.
 *
 * What must hold
 *	 sound		gm_graph_check finds nothing after a commit or an abort
 *	 same		the image holds what one built from the model's rows does, answers
 *				alike (test/unit/answers.h, now and then), and counts the rows left
 *				out as the model does; not where rows are absurd
 *	 status		a change is applied, or refused with a status; an aborted version
 *				leaves nothing behind
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>

#include "answers.h"
#include "core/apply.h"
#include "core/graph_private.h"
#include "core/vec.h"
#include "fuzz.h"

#define MOST_ROWS	100
#define MOST_OPS	600
#define MAX_DIM		16
#define MOST_TEXT	24

typedef struct Cell
{
	GmTable		table;			/* NONE: no row */
	int64_t		key[2];
	char	   *bytes;
	size_t		size;
} Cell;

typedef struct Model
{
	Cell		cell[MOST_ROWS];
} Model;

typedef struct Machine
{
	Input		in;
	GmMem	   *mem;
	GmGraph    *graph;
	GmApply    *apply;			/* NULL: no version has begun */
	int64_t		now;
	uint64_t	epoch;
	Model		model;
	Model		before;			/* when the version began */
	bool		scarce;			/* memory was refused to this version, or may have been */
	bool		forgetful;		/* rows may have been forgotten for that */
	bool		absurd;			/* rows that no table would hold */
	char		texts[3][MOST_TEXT];
	float		vector[MAX_DIM];
} Machine;

static const int64_t ids[] = {
	1, 2, 3, 4, 5, 6, 7, 8, 0, -1, -2, INT64_MIN, INT64_MIN + 1, INT64_MAX, INT64_MAX - 1,
	UINT32_MAX, (int64_t) UINT32_MAX - 1, (int64_t) 1 << 32, INT32_MAX, INT32_MIN
};
static const int32_t space_ids[] = {1, 2, 3, 0, -1, -2, INT32_MAX, INT32_MIN};
static const int64_t times[] = {
	GM_TIME_MIN, GM_TIME_MAX, 0, 90, 100, 105, 110, 120, 130, 150, 200, -1, GM_TIME_MIN + 1,
	GM_TIME_MAX - 1
};
static const float shares[] = {1, 0, 0.5f, 0.25f, 0.9f, 0.405f, FLT_MIN, 0x1p-149f};

#define PICK(in, list) ((list)[take_below(in, sizeof(list) / sizeof((list)[0]))])

/*
 * The model
 */
static void
clear_cell(Cell *cell)
{
	free(cell->bytes);
	*cell = (Cell) {0};
}

static void
copy_model(Model *to, const Model *from)
{
	for (int i = 0; i < MOST_ROWS; i++)
	{
		clear_cell(&to->cell[i]);
		to->cell[i] = from->cell[i];
		if (from->cell[i].bytes == NULL)
			continue;
		to->cell[i].bytes = malloc(from->cell[i].size);
		memcpy(to->cell[i].bytes, from->cell[i].bytes, from->cell[i].size);
	}
}

static Cell *
find_cell(Model *m, GmTable table, const int64_t key[2])
{
	for (int i = 0; i < MOST_ROWS; i++)
		if (m->cell[i].table == table && m->cell[i].key[0] == key[0] &&
			m->cell[i].key[1] == key[1])
			return &m->cell[i];
	return NULL;
}

static Cell *
free_cell(Model *m)
{
	static const int64_t none[2] = {0, 0};

	return find_cell(m, GM_TABLE_NONE, none);
}

/* the row of a cell; its texts and vector are the cell's bytes */
static void
cell_row(const Cell *cell, GmRow *row)
{
	MUST(gm_row_decode(cell->table, 1, cell->bytes, cell->size, row) == GM_OK);
}

static void
model_put(Model *m, const GmRow *row)
{
	int64_t		key[2];
	Cell	   *cell;

	gm_row_key(row, key);
	cell = find_cell(m, row->table, key);
	if (cell == NULL)
		cell = free_cell(m);
	clear_cell(cell);
	*cell = (Cell) {row->table, {key[0], key[1]}, NULL, gm_row_size(row)};
	cell->bytes = malloc(cell->size);
	gm_row_encode(row, cell->bytes);
}

static bool
has(Model *m, GmTable table, int64_t id)
{
	int64_t		key[2] = {id, 0};

	return find_cell(m, table, key) != NULL;
}

static bool
is_in(Model *m, const Cell *cell);

static bool
fact_is_in(Model *m, int64_t fact_id)
{
	for (int i = 0; i < MOST_ROWS; i++)
	{
		GmRow		row;

		if (m->cell[i].table != GM_TABLE_TRIPLES)
			continue;
		cell_row(&m->cell[i], &row);
		if (row.u.triple.fact_id == fact_id && is_in(m, &m->cell[i]))
			return true;
	}
	return false;
}

/* does all that the row refers to exist */
static bool
is_in(Model *m, const Cell *cell)
{
	int64_t		space_key[2] = {0, 0};
	Cell	   *space;
	GmRow		row;
	GmRow		space_row;

	cell_row(cell, &row);
	switch (row.table)
	{
		case GM_TABLE_ALIASES:
			return has(m, GM_TABLE_ENTITIES, row.u.alias.entity_id);
		case GM_TABLE_TRIPLES:
			return has(m, GM_TABLE_ENTITIES, row.u.triple.subject_id) &&
				has(m, GM_TABLE_PREDICATES, row.u.triple.predicate_id) &&
				has(m, GM_TABLE_ENTITIES, row.u.triple.object_id);
		case GM_TABLE_ASSERTIONS:
			return has(m, GM_TABLE_SOURCES, row.u.assertion.source_id);
		case GM_TABLE_EMBEDDINGS:
			space_key[0] = row.u.embedding.space_id;
			space = find_cell(m, GM_TABLE_SPACES, space_key);
			if (space == NULL)
				return false;
			cell_row(space, &space_row);
			switch (space_row.u.space.target)
			{
				case 'e':
					return has(m, GM_TABLE_ENTITIES, row.u.embedding.item_id);
				case 's':
					return has(m, GM_TABLE_SOURCES, row.u.embedding.item_id);
				default:
					return fact_is_in(m, row.u.embedding.item_id);
			}
		default:
			return true;
	}
}

static GmText
name_of(const GmRow *row)
{
	switch (row->table)
	{
		case GM_TABLE_ENTITIES:
			return row->u.entity.name;
		case GM_TABLE_ALIASES:
			return row->u.alias.name;
		case GM_TABLE_PREDICATES:
			return row->u.predicate.name;
		case GM_TABLE_SOURCES:
			return row->u.source.name;
		case GM_TABLE_SPACES:
			return row->u.space.name;
		default:
			return (GmText) {NULL, 0};
	}
}

static bool
same_text(GmText a, GmText b)
{
	if (a.bytes == NULL || b.bytes == NULL)
		return a.bytes == b.bytes;
	return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

/* what the unique indexes on names forbid */
static bool
same_name(const Cell *a, const Cell *b)
{
	GmRow		x;
	GmRow		y;

	if (a->table == GM_TABLE_NONE || a->table != b->table)
		return false;
	cell_row(a, &x);
	cell_row(b, &y);
	return name_of(&x).bytes != NULL && same_text(name_of(&x), name_of(&y)) &&
		(a->table != GM_TABLE_ENTITIES ||
		 same_text(x.u.entity.literal_type, y.u.entity.literal_type));
}

static GmStatus
add_row(GmGraph *g, const GmRow *row)
{
	GmSpace    *space;

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
		default:
			GM_TRY(gm_graph_add_space(g, row->u.space.space_id, row->u.space.name.bytes,
									  row->u.space.name.length, row->u.space.target,
									  (GmMetric) row->u.space.metric, row->u.space.dim, &space));
			gm_space_tune(space, &row->u.space.tuning);
			return GM_OK;
	}
}

/* vectors of one space, and its end */
static void
add_vectors(Model *m, GmGraph *g, const GmRow *space_row)
{
	bool		found;
	uint32_t	at = gm_graph_space_at(g, space_row->u.space.space_id, &found);

	MUST(found);
	for (int i = 0; i < MOST_ROWS; i++)
	{
		GmRow		row;
		uint32_t	number = GM_NONE;

		if (m->cell[i].table != GM_TABLE_EMBEDDINGS || !is_in(m, &m->cell[i]))
			continue;
		cell_row(&m->cell[i], &row);
		if (row.u.embedding.space_id != space_row->u.space.space_id)
			continue;
		if (space_row->u.space.target == 'e')
			number = gm_graph_find_entity(g, row.u.embedding.item_id);
		if (space_row->u.space.target == 's')
			number = gm_graph_find_source_id(g, row.u.embedding.item_id);
		MUST(gm_space_add(gm_graph_space(g, at), row.u.embedding.item_id, number,
						  row.u.embedding.vector) == GM_OK);
	}
	MUST(gm_graph_finish_space(g, space_row->u.space.space_id) == GM_OK);
}

static void
build(Model *m, GmMem *mem, int64_t now, GmGraph **graph)
{
	static const GmTable order[] = {
		GM_TABLE_PREDICATES, GM_TABLE_ENTITIES, GM_TABLE_ALIASES, GM_TABLE_SOURCES,
		GM_TABLE_TRIPLES, GM_TABLE_ASSERTIONS, GM_TABLE_NONE, GM_TABLE_SPACES
	};
	GmRow		row;

	MUST(gm_graph_create(mem, graph) == GM_OK);
	for (size_t t = 0; t < sizeof(order) / sizeof(order[0]); t++)
	{
		if (order[t] == GM_TABLE_NONE)
		{
			MUST(gm_graph_finish(*graph, now, NULL) == GM_OK);
			continue;
		}
		for (int i = 0; i < MOST_ROWS; i++)
			if (m->cell[i].table == order[t] && is_in(m, &m->cell[i]))
			{
				cell_row(&m->cell[i], &row);
				MUST(add_row(*graph, &row) == GM_OK);
			}
	}
	for (int i = 0; i < MOST_ROWS; i++)
		if (m->cell[i].table == GM_TABLE_SPACES)
		{
			cell_row(&m->cell[i], &row);
			add_vectors(m, *graph, &row);
		}
}

static uint64_t
left_out(Model *m)
{
	uint64_t	n = 0;

	for (int i = 0; i < MOST_ROWS; i++)
		n += m->cell[i].table != GM_TABLE_NONE && !is_in(m, &m->cell[i]);
	return n;
}

/*
 * The machine
 */
static GmText
some_text(Machine *k, int which, bool may_be_null)
{
	uint32_t	kind = take_below(&k->in, 16);
	GmText		t = {k->texts[which], 0};

	if (may_be_null && kind < 6)
		return (GmText) {NULL, 0};
	if (kind == 15)
	{
		t.length = take_below(&k->in, MOST_TEXT + 1);
		take_bytes(&k->in, k->texts[which], t.length);
		return t;
	}
	t.length = kind == 14 ? 0 : 1;
	k->texts[which][0] = (char) ('a' + kind);
	return t;
}

static int64_t
some_id(Machine *k)
{
	uint32_t	which = take_byte(&k->in);

	return which == 255 ? (int64_t) take_u64(&k->in) : ids[which % (sizeof(ids) / sizeof(ids[0]))];
}

/* vectors of a space have its dimension, whichever of its rows comes first */
static uint32_t
dim_of(int32_t space_id)
{
	return 1 + ((uint32_t) space_id & 3);
}

static void
some_key(Machine *k, GmTable table, GmRow *row)
{
	int64_t		key[2];

	key[0] = table == GM_TABLE_SPACES || table == GM_TABLE_EMBEDDINGS ?
		PICK(&k->in, space_ids) : some_id(k);
	key[1] = table == GM_TABLE_ASSERTIONS || table == GM_TABLE_EMBEDDINGS ? some_id(k) : 0;
	gm_row_set_key(table, 1, key, row);
}

/* what the tables' constraints allow, unless absurd rows are wanted */
static GmTimes
some_times(Machine *k)
{
	GmTimes		t = {GM_TIME_MIN, GM_TIME_MAX, 5, GM_TIME_MAX};
	GmTimes		other;

	if (take_below(&k->in, 3) != 0)
		return t;
	other.valid_from = PICK(&k->in, times);
	other.valid_to = PICK(&k->in, times);
	other.recorded_at = PICK(&k->in, times);
	other.expired_at = PICK(&k->in, times);
	if (k->absurd || other.valid_from < other.valid_to)
	{
		t.valid_from = other.valid_from;
		t.valid_to = other.valid_to;
	}
	if (k->absurd || other.recorded_at < other.expired_at)
	{
		t.recorded_at = other.recorded_at;
		t.expired_at = other.expired_at;
	}
	return t;
}

static void
some_content(Machine *k, GmRow *row)
{
	Input	   *in = &k->in;

	switch (row->table)
	{
		case GM_TABLE_ENTITIES:
			row->u.entity.name = some_text(k, 0, false);
			row->u.entity.literal_type = some_text(k, 1, true);
			row->u.entity.kind = some_text(k, 2, true);
			break;
		case GM_TABLE_ALIASES:
			row->u.alias.entity_id = some_id(k);
			row->u.alias.name = some_text(k, 0, false);
			break;
		case GM_TABLE_PREDICATES:
			row->u.predicate.name = some_text(k, 0, false);
			row->u.predicate.functional = take_byte(in) & 1;
			row->u.predicate.symmetric = take_byte(in) & 1;
			row->u.predicate.weight = take_below(in, 4) ? 1 : PICK(in, shares) + 0x1p-20f;
			break;
		case GM_TABLE_SOURCES:
			row->u.source.name = some_text(k, 0, false);
			row->u.source.session = some_text(k, 1, true);
			row->u.source.kind = some_text(k, 2, true);
			row->u.source.reliability = PICK(in, shares);
			break;
		case GM_TABLE_TRIPLES:
			row->u.triple.fact_id = some_id(k);
			row->u.triple.subject_id = some_id(k);
			row->u.triple.predicate_id = some_id(k);
			row->u.triple.object_id = some_id(k);
			row->u.triple.times = some_times(k);
			row->u.triple.confidence = PICK(in, shares);
			break;
		case GM_TABLE_ASSERTIONS:
			row->u.assertion.asserted_at = PICK(in, times);
			row->u.assertion.confidence = PICK(in, shares);
			break;
		case GM_TABLE_SPACES:
			row->u.space.dim = dim_of(row->u.space.space_id);
			row->u.space.name = some_text(k, 0, false);
			row->u.space.target = "efs"[take_below(in, 3)];
			row->u.space.metric = (uint8_t) take_below(in, 3);
			row->u.space.tuning.m = take_below(in, 150);
			row->u.space.tuning.ef_construction = take_below(in, 12000);
			row->u.space.tuning.kind = (uint8_t) take_below(in, 3);
			row->u.space.tuning.in_table = take_below(in, 2);
			break;
		default:
			row->u.embedding.dim = dim_of(row->u.embedding.space_id);
			row->u.embedding.vector = k->vector;
			for (uint32_t i = 0; i < row->u.embedding.dim; i++)
				k->vector[i] = (float) take_below(in, 9) - 4 + 0.5f;
			if (k->absurd && take_below(in, 4) == 0)
			{
				take_bytes(in, k->vector, sizeof(k->vector));
				row->u.embedding.dim = take_below(in, MAX_DIM + 1);
			}
			break;
	}
}

/* as graphs.c of the worker does it */
static GmStatus
apply_bytes(GmApply *apply, const char *bytes, size_t size)
{
	GmChange	change;
	GmRow		row;
	bool		put;

	MUST(gm_change_decode(bytes, size, &change) == GM_OK);
	put = (change.flags & GM_CHANGE_NEW) != 0;
	MUST(gm_change_row(&change, !put, &row) == GM_OK);
	return put ? gm_apply_put(apply, &row) : gm_apply_remove(apply, &row);
}

/* the bytes are gone when the row has been applied: nothing may point to them */
static GmStatus
apply_change(Machine *k, const GmRow *old_row, bool by_place, const GmRow *new_row)
{
	GmPlace		place = {0};
	size_t		size;
	char	   *bytes;
	GmStatus	status;

	if (by_place && old_row != NULL)
		gm_row_key(old_row, place.key);
	size = gm_change_size(old_row, by_place ? &place : NULL, new_row, NULL);
	bytes = malloc(size);
	gm_change_encode(old_row, by_place ? &place : NULL, new_row, NULL, 0, bytes);
	status = apply_bytes(k->apply, bytes, size);
	memset(bytes, 0xa5, size);
	free(bytes);
	return status;
}

static void
complain(void *arg, const char *what, uint64_t where)
{
	fprintf(stderr, "%s: %s at %" PRIu64 "\n", (const char *) arg, what, where);
}

static void
differ(void *arg, const char *what, int64_t id, const char *detail)
{
	fprintf(stderr, "%s: %s of %" PRId64 " %s\n", (const char *) arg, what, id,
			detail == NULL ? "" : detail);
	MUST(!"images hold the same");
}

static void
look(Machine *k, const char *what)
{
	GmMem	   *mem;
	GmGraph    *fresh;
	GmCompare	compare = {differ, (void *) what, NULL};

	MUST(gm_graph_check(k->graph, complain, (void *) what) == 0);
	if (k->forgetful || k->absurd)
		return;
	MUST(gm_apply_dangling(k->graph) == left_out(&k->model));
	MUST(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	build(&k->model, mem, k->now, &fresh);
	unit_state = take_byte(&k->in);

	/* all questions cost a hundred times what the comparison does */
	if (unit_state % 8 != 1)
		MUST(gm_graph_compare(k->graph, fresh, k->now, &compare) == GM_OK);
	else
		(void) same_answers(k->graph, fresh, k->now, 1, what);
	fflush(stdout);
	MUST(unit_failures == 0);
	gm_graph_destroy(fresh);
	gm_mem_destroy(mem);
}

static void
give_up(Machine *k)
{
	gm_apply_abort(k->apply);
	k->apply = NULL;
	k->mem->limit = 0;
	copy_model(&k->model, &k->before);
}

static bool
refused(Machine *k, GmStatus status)
{
	if (status == GM_OK)
		return false;

	/* the row alone is refused, and nothing done; there is no model for what waits */
	if (k->absurd && (status == GM_BAD_VALUE || status == GM_BAD_DIM))
		return true;
	MUST(k->scarce && (status == GM_OVER_BUDGET || status == GM_NO_MEMORY));
	give_up(k);
	return true;
}

static void
begin(Machine *k)
{
	if (k->apply != NULL)
		return;
	copy_model(&k->before, &k->model);
	k->scarce = false;
	MUST(gm_apply_begin(k->graph, NULL, &k->apply) == GM_OK);
}

static void
put_row(Machine *k)
{
	GmTable		table = (GmTable) (GM_TABLE_ENTITIES + take_below(&k->in, GM_TABLES - GM_TABLE_ENTITIES));
	GmRow		row;
	GmRow		old_row;
	int64_t		key[2];
	Cell	   *cell;
	bool		told = take_byte(&k->in) & 1;

	some_key(k, table, &row);
	some_content(k, &row);
	gm_row_key(&row, key);
	cell = find_cell(&k->model, table, key);
	if (cell == NULL && free_cell(&k->model) == NULL)
		return;
	begin(k);
	if (cell != NULL)
		cell_row(cell, &old_row);
	if (!refused(k, apply_change(k, told && cell != NULL ? &old_row : NULL, false, &row)))
		model_put(&k->model, &row);
}

static void
remove_key(Machine *k, GmRow *row, bool by_place)
{
	int64_t		key[2];
	Cell	   *cell;
	GmRow		whole = *row;

	gm_row_key(row, key);
	cell = find_cell(&k->model, row->table, key);
	begin(k);
	if (cell != NULL)
		cell_row(cell, &whole);
	if (!refused(k, apply_change(k, &whole, by_place || cell == NULL, NULL)) && cell != NULL)
		clear_cell(cell);
}

static void
remove_row(Machine *k)
{
	GmTable		table = (GmTable) (GM_TABLE_ENTITIES + take_below(&k->in, GM_TABLES - GM_TABLE_ENTITIES));
	GmRow		row;

	some_key(k, table, &row);
	remove_key(k, &row, take_byte(&k->in) & 1);
}

/* two rows of one name no table holds in the end */
static void
remove_doubles(Machine *k)
{
	for (int i = 0; i < MOST_ROWS; i++)
		for (int j = 0; j < i && k->apply != NULL; j++)
			if (same_name(&k->model.cell[i], &k->model.cell[j]))
			{
				GmRow		row;

				gm_row_set_key(k->model.cell[i].table, 1, k->model.cell[i].key, &row);
				remove_key(k, &row, true);
				break;
			}
}

static void
end_version(Machine *k, bool finish, bool commit)
{
	GmRef		root;
	uint64_t	waited = gm_apply_dangling(k->graph);

	if (k->apply == NULL)
		return;
	remove_doubles(k);
	if (k->apply == NULL)
		return;
	if ((finish || commit) && refused(k, gm_apply_finish(k->apply, k->now, &root)))
		return;
	if (!commit)
		give_up(k);
	else
	{
		gm_apply_commit(k->apply, k->epoch++);
		k->apply = NULL;
		k->mem->limit = 0;
		if (k->scarce && (waited > 0 || gm_apply_dangling(k->graph) > 0))
			k->forgetful = true;
	}
	look(k, commit ? "committed" : "aborted");
	gm_mem_reclaim(k->mem, take_byte(&k->in) & 1 ? UINT64_MAX : k->epoch - 1);
}

/* the image becomes its own copy, as when the worker packs it */
static void
copy_image(Machine *k)
{
	GmMem	   *mem;
	GmGraph    *copy;

	if (k->apply != NULL || gm_apply_dangling(k->graph) > 0)
		return;
	MUST(gm_mem_create(4096, 0, NULL, &mem) == GM_OK);
	MUST(gm_graph_copy(k->graph, mem, NULL, &copy) == GM_OK);
	gm_graph_destroy(k->graph);
	gm_mem_destroy(k->mem);
	k->mem = mem;
	k->graph = copy;
	look(k, "copied");
}

static void
run(Machine *k)
{
	for (int op = 0; op < MOST_OPS && k->in.left > 0; op++)
		switch (take_below(&k->in, 16))
		{
			case 0:
				end_version(k, true, true);
				break;
			case 1:
				end_version(k, take_byte(&k->in) & 1, false);
				break;
			case 2:
				k->now += take_byte(&k->in);
				break;
			case 3:
				if (take_below(&k->in, 4) == 0)
					copy_image(k);
				break;
			case 4:
				if (take_below(&k->in, 8) == 0 && k->apply != NULL)
				{
					k->scarce = true;
					k->mem->limit = k->mem->charged + (size_t) take_byte(&k->in) * 64;
				}
				break;
			case 5:
			case 6:
			case 7:
			case 8:
				remove_row(k);
				break;
			default:
				put_row(k);
				break;
		}
	end_version(k, true, true);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Machine k;

	k.in = (Input) {data, size};
	k.now = 100;
	k.epoch = 1;
	k.forgetful = k.scarce = false;
	k.absurd = take_below(&k.in, 8) == 1;
	MUST(gm_vec_choose(GM_SIMD_AUTO));
	MUST(gm_mem_create(4096, 0, NULL, &k.mem) == GM_OK);
	build(&k.model, k.mem, k.now, &k.graph);
	run(&k);
	gm_graph_destroy(k.graph);
	gm_mem_destroy(k.mem);
	for (int i = 0; i < MOST_ROWS; i++)
	{
		clear_cell(&k.model.cell[i]);
		clear_cell(&k.before.cell[i]);
	}
	return 0;
}

static void
fuzz_seeds(void)
{
	for (uint32_t i = 0; i < 60; i++)
	{
		uint8_t		noise[2000];

		fuzz_noise(i, noise, sizeof(noise));

		/* mostly entities, predicates and triples of few ids, which need one another */
		for (size_t at = 0; at + 1 < sizeof(noise); at++)
			if (noise[at] % 4 > 0)
				noise[at] %= 16;
		fuzz_seed(noise, 100 + i * 30);
	}
}
