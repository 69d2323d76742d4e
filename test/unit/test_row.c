/*-------------------------------------------------------------------------
 *
 * test_row.c
 *	  Rows and changes as bytes.
 *
 * What must hold
 *	 round trip	decoding gives the row that was encoded, in gm_row_size bytes
 *	 canonical	equal rows have equal bytes
 *	 damage		bytes cut, lengthened or overwritten at random are refused or
 *				give a row all of whose texts and vectors lie inside of them;
 *				nothing outside is read (the address sanitizer looks on: bytes
 *				are copied into blocks of exactly their length)
 *
 *-------------------------------------------------------------------------
 */
#include "core/row.h"
#include "core/vec.h"
#include "unit.h"

#define CHANGES		2000
#define MUTATIONS	500000
#define MAX_TEXT	40
#define MAX_DIM		20

static char texts[4][MAX_TEXT];
static float vectors[2][MAX_DIM];

static GmText
random_text(int which, bool may_be_null)
{
	GmText		t = {NULL, 0};

	if (may_be_null && unit_random_below(3) == 0)
		return t;
	t.bytes = texts[which];
	t.length = unit_random_below(MAX_TEXT + 1);
	for (uint32_t i = 0; i < t.length; i++)
		texts[which][i] = (char) unit_random();
	return t;
}

static int64_t
random_id(void)
{
	switch (unit_random_below(4))
	{
		case 0:
			return INT64_MIN;
		case 1:
			return unit_random_below(10);
		default:
			return (int64_t) unit_random();
	}
}

static void
random_row(GmTable table, GmRow *row)
{
	memset(row, 0, sizeof(*row));
	row->table = table;
	row->graph_id = (int32_t) unit_random();
	switch (table)
	{
		case GM_TABLE_GRAPHS:
			row->u.graph.name = random_text(0, false);
			row->u.graph.residency = "apn"[unit_random_below(3)];
			break;
		case GM_TABLE_ENTITIES:
			row->u.entity.entity_id = random_id();
			row->u.entity.created_at = random_id();
			row->u.entity.name = random_text(0, false);
			row->u.entity.literal_type = random_text(1, true);
			row->u.entity.kind = random_text(2, true);
			break;
		case GM_TABLE_ALIASES:
			row->u.alias.alias_id = random_id();
			row->u.alias.entity_id = random_id();
			row->u.alias.name = random_text(0, false);
			break;
		case GM_TABLE_PREDICATES:
			row->u.predicate.predicate_id = random_id();
			row->u.predicate.name = random_text(0, false);
			row->u.predicate.weight = (float) unit_random_double();
			row->u.predicate.functional = unit_random_below(2);
			row->u.predicate.symmetric = unit_random_below(2);
			break;
		case GM_TABLE_TRIPLES:
			row->u.triple.triple_id = random_id();
			row->u.triple.fact_id = random_id();
			row->u.triple.subject_id = random_id();
			row->u.triple.predicate_id = random_id();
			row->u.triple.object_id = random_id();
			row->u.triple.times.valid_from = GM_TIME_MIN;
			row->u.triple.times.valid_to = random_id();
			row->u.triple.times.recorded_at = random_id();
			row->u.triple.times.expired_at = GM_TIME_MAX;
			row->u.triple.confidence = (float) unit_random_double();
			break;
		case GM_TABLE_SOURCES:
			row->u.source.source_id = random_id();
			row->u.source.created_at = random_id();
			row->u.source.name = random_text(0, false);
			row->u.source.session = random_text(1, true);
			row->u.source.kind = random_text(2, true);
			row->u.source.reliability = (float) unit_random_double();
			break;
		case GM_TABLE_ASSERTIONS:
			row->u.assertion.fact_id = random_id();
			row->u.assertion.source_id = random_id();
			row->u.assertion.asserted_at = random_id();
			row->u.assertion.confidence = (float) unit_random_double();
			break;
		case GM_TABLE_SPACES:
			row->u.space.space_id = (int32_t) unit_random();
			row->u.space.dim = unit_random_below(GM_VEC_MAX_DIM);
			row->u.space.name = random_text(0, false);
			row->u.space.target = "efs"[unit_random_below(3)];
			row->u.space.metric = (uint8_t) unit_random_below(3);
			row->u.space.tuning.m = unit_random_below(200);
			row->u.space.tuning.ef_construction = (uint32_t) unit_random();
			row->u.space.tuning.kind = (uint8_t) unit_random_below(3);
			row->u.space.tuning.in_table = unit_random_below(2);
			row->u.space.computed = unit_random_below(2);
			row->u.space.computing = unit_random_below(2);
			break;
		case GM_TABLE_EMBEDDINGS:
		case GM_TABLE_TOPOLOGY:
			row->u.embedding.space_id = (int32_t) unit_random();
			row->u.embedding.item_id = random_id();
			row->u.embedding.dim = unit_random_below(MAX_DIM + 1);
			for (uint32_t i = 0; i < row->u.embedding.dim; i++)
				vectors[0][i] = (float) unit_random_double();
			row->u.embedding.vector = row->u.embedding.dim == 0 ? NULL : vectors[0];
			break;
		default:
			break;
	}
}

static bool
same_text(const GmText *a, const GmText *b)
{
	if (a->bytes == NULL || b->bytes == NULL)
		return a->bytes == b->bytes;
	return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

/* written out, so that it shares nothing with the descriptions in row.c */
static bool
same_row(const GmRow *a, const GmRow *b)
{
	if (a->table != b->table || a->graph_id != b->graph_id)
		return false;
	switch (a->table)
	{
		case GM_TABLE_GRAPHS:
			return same_text(&a->u.graph.name, &b->u.graph.name) &&
				a->u.graph.residency == b->u.graph.residency;
		case GM_TABLE_ENTITIES:
			return a->u.entity.entity_id == b->u.entity.entity_id &&
				a->u.entity.created_at == b->u.entity.created_at &&
				same_text(&a->u.entity.name, &b->u.entity.name) &&
				same_text(&a->u.entity.literal_type, &b->u.entity.literal_type) &&
				same_text(&a->u.entity.kind, &b->u.entity.kind);
		case GM_TABLE_ALIASES:
			return a->u.alias.alias_id == b->u.alias.alias_id &&
				a->u.alias.entity_id == b->u.alias.entity_id &&
				same_text(&a->u.alias.name, &b->u.alias.name);
		case GM_TABLE_PREDICATES:
			return a->u.predicate.predicate_id == b->u.predicate.predicate_id &&
				same_text(&a->u.predicate.name, &b->u.predicate.name) &&
				a->u.predicate.weight == b->u.predicate.weight &&
				a->u.predicate.functional == b->u.predicate.functional &&
				a->u.predicate.symmetric == b->u.predicate.symmetric;
		case GM_TABLE_TRIPLES:
			return a->u.triple.triple_id == b->u.triple.triple_id &&
				a->u.triple.fact_id == b->u.triple.fact_id &&
				a->u.triple.subject_id == b->u.triple.subject_id &&
				a->u.triple.predicate_id == b->u.triple.predicate_id &&
				a->u.triple.object_id == b->u.triple.object_id &&
				memcmp(&a->u.triple.times, &b->u.triple.times, sizeof(GmTimes)) == 0 &&
				a->u.triple.confidence == b->u.triple.confidence;
		case GM_TABLE_SOURCES:
			return a->u.source.source_id == b->u.source.source_id &&
				a->u.source.created_at == b->u.source.created_at &&
				same_text(&a->u.source.name, &b->u.source.name) &&
				same_text(&a->u.source.session, &b->u.source.session) &&
				same_text(&a->u.source.kind, &b->u.source.kind) &&
				a->u.source.reliability == b->u.source.reliability;
		case GM_TABLE_ASSERTIONS:
			return a->u.assertion.fact_id == b->u.assertion.fact_id &&
				a->u.assertion.source_id == b->u.assertion.source_id &&
				a->u.assertion.asserted_at == b->u.assertion.asserted_at &&
				a->u.assertion.confidence == b->u.assertion.confidence;
		case GM_TABLE_SPACES:
			return a->u.space.space_id == b->u.space.space_id &&
				a->u.space.dim == b->u.space.dim &&
				same_text(&a->u.space.name, &b->u.space.name) &&
				a->u.space.target == b->u.space.target &&
				a->u.space.metric == b->u.space.metric &&
				a->u.space.tuning.m == b->u.space.tuning.m &&
				a->u.space.tuning.ef_construction == b->u.space.tuning.ef_construction &&
				a->u.space.tuning.kind == b->u.space.tuning.kind &&
				a->u.space.tuning.in_table == b->u.space.tuning.in_table &&
				a->u.space.computed == b->u.space.computed &&
				a->u.space.computing == b->u.space.computing;
		case GM_TABLE_EMBEDDINGS:
		case GM_TABLE_TOPOLOGY:
			return a->u.embedding.space_id == b->u.embedding.space_id &&
				a->u.embedding.item_id == b->u.embedding.item_id &&
				a->u.embedding.dim == b->u.embedding.dim &&
				(a->u.embedding.dim == 0 ||
				 memcmp(a->u.embedding.vector, b->u.embedding.vector,
						a->u.embedding.dim * sizeof(float)) == 0);
		default:
			return false;
	}
}

static GmTable
random_table(void)
{
	return (GmTable) (1 + unit_random_below(GM_TABLES - 1));
}

static void
test_round_trip(void)
{
	for (int i = 0; i < CHANGES; i++)
	{
		GmRow		row;
		GmRow		back;
		int64_t		key[2];
		int64_t		back_key[2];
		size_t		size;
		char	   *bytes;
		char	   *again;

		random_row(random_table(), &row);
		size = gm_row_size(&row);
		CHECK(size % 8 == 0 && size > 0);
		bytes = malloc(size);
		again = malloc(size);
		memset(bytes, 0xaa, size);
		memset(again, 0x55, size);
		gm_row_encode(&row, bytes);
		gm_row_encode(&row, again);
		CHECK(memcmp(bytes, again, size) == 0);
		CHECK(gm_row_decode(row.table, row.graph_id, bytes, size, &back) == GM_OK);
		CHECK(same_row(&row, &back));
		gm_row_key(&row, key);
		gm_row_set_key(row.table, row.graph_id, key, &back);
		gm_row_key(&back, back_key);
		CHECK(key[0] == back_key[0] && key[1] == back_key[1]);
		CHECK(back.table == row.table && back.graph_id == row.graph_id);
		free(bytes);
		free(again);
	}
}

static void
test_keys(void)
{
	GmRow		row;
	int64_t		key[2];

	random_row(GM_TABLE_GRAPHS, &row);
	gm_row_key(&row, key);
	CHECK(key[0] == row.graph_id && key[1] == 0);
	random_row(GM_TABLE_ENTITIES, &row);
	gm_row_key(&row, key);
	CHECK(key[0] == row.u.entity.entity_id && key[1] == 0);
	random_row(GM_TABLE_ALIASES, &row);
	gm_row_key(&row, key);
	CHECK(key[0] == row.u.alias.alias_id && key[1] == 0);
	random_row(GM_TABLE_PREDICATES, &row);
	gm_row_key(&row, key);
	CHECK(key[0] == row.u.predicate.predicate_id && key[1] == 0);
	random_row(GM_TABLE_TRIPLES, &row);
	gm_row_key(&row, key);
	CHECK(key[0] == row.u.triple.triple_id && key[1] == 0);
	random_row(GM_TABLE_SOURCES, &row);
	gm_row_key(&row, key);
	CHECK(key[0] == row.u.source.source_id && key[1] == 0);
	random_row(GM_TABLE_ASSERTIONS, &row);
	gm_row_key(&row, key);
	CHECK(key[0] == row.u.assertion.fact_id && key[1] == row.u.assertion.source_id);
	random_row(GM_TABLE_SPACES, &row);
	gm_row_key(&row, key);
	CHECK(key[0] == row.u.space.space_id && key[1] == 0);
	random_row(GM_TABLE_EMBEDDINGS, &row);
	gm_row_key(&row, key);
	CHECK(key[0] == row.u.embedding.space_id && key[1] == row.u.embedding.item_id);
	random_row(GM_TABLE_TOPOLOGY, &row);
	gm_row_key(&row, key);
	CHECK(key[0] == row.u.embedding.space_id && key[1] == row.u.embedding.item_id);
}

/* NULL, or a place of the row */
static const GmPlace *
random_place(const GmRow *row, GmPlace *place)
{
	if (unit_random_below(3) != 0)
		return NULL;
	memset(place, 0, sizeof(*place));
	place->block = (uint32_t) unit_random();
	place->offset = (uint16_t) unit_random();
	place->xmin = (uint32_t) unit_random();
	place->file = (uint32_t) unit_random();
	gm_row_key(row, place->key);
	return place;
}

static bool
same_content(const GmChange *change, bool old, const GmRow *row, const GmPlace *place)
{
	const GmPlace *found = gm_change_place(change, old);
	GmRow		back;
	int64_t		key[2];
	int64_t		back_key[2];

	if (row == NULL)
		return found == NULL && gm_change_row(change, old, &back) == GM_BAD_VALUE;
	if (gm_change_row(change, old, &back) != GM_OK)
		return false;
	if (place == NULL)
		return found == NULL && same_row(row, &back);
	gm_row_key(row, key);
	gm_row_key(&back, back_key);
	return found != NULL && memcmp(found, place, sizeof(GmPlace)) == 0 &&
		back.table == row->table && back.graph_id == row->graph_id &&
		key[0] == back_key[0] && key[1] == back_key[1];
}

typedef struct Sample
{
	GmRow		old_row;
	GmRow		new_row;
	GmPlace		old_at;
	GmPlace		new_at;
	const GmRow *has_old;
	const GmRow *has_new;
	const GmPlace *old_place;
	const GmPlace *new_place;
} Sample;

/* one change; the texts of both rows share their bytes, which is all right */
static void
random_sample(Sample *s)
{
	GmTable		table = random_table();
	uint32_t	kind = unit_random_below(3);

	random_row(table, &s->old_row);
	random_row(table, &s->new_row);
	for (int i = 0; i < 4; i++)
		texts[i][0] = 'x';
	s->new_row.graph_id = s->old_row.graph_id;
	s->has_old = kind == 0 ? NULL : &s->old_row;
	s->has_new = kind == 1 ? NULL : &s->new_row;
	s->old_place = s->has_old == NULL ? NULL : random_place(s->has_old, &s->old_at);
	s->new_place = s->has_new == NULL ? NULL : random_place(s->has_new, &s->new_at);
}

static char *
encode_sample(const Sample *s, uint32_t cid, size_t *size)
{
	char	   *bytes;

	*size = gm_change_size(s->has_old, s->old_place, s->has_new, s->new_place);
	bytes = malloc(*size);
	gm_change_encode(s->has_old, s->old_place, s->has_new, s->new_place, cid, bytes);
	return bytes;
}

static void
test_changes(void)
{
	for (int i = 0; i < CHANGES; i++)
	{
		Sample		s;
		GmChange	change;
		uint32_t	cid = (uint32_t) unit_random();
		size_t		size;
		char	   *bytes;

		random_sample(&s);
		bytes = encode_sample(&s, cid, &size);
		if (CHECK(gm_change_decode(bytes, size, &change) == GM_OK))
		{
			CHECK(change.length == size);
			CHECK(change.cid == cid && change.table == s.old_row.table &&
				  change.graph_id == s.old_row.graph_id);
			CHECK(((change.flags & GM_CHANGE_OLD) != 0) == (s.has_old != NULL));
			CHECK(((change.flags & GM_CHANGE_NEW) != 0) == (s.has_new != NULL));
			CHECK(same_content(&change, true, s.has_old, s.old_place));
			CHECK(same_content(&change, false, s.has_new, s.new_place));
		}
		free(bytes);
	}
}

static void
test_all(void)
{
	GmChangeHeader header = {sizeof(header), GM_TABLE_TRIPLES, GM_CHANGE_ALL, 0, 0, 7, 0, 0};
	GmChange	change;
	GmRow		row;

	CHECK(gm_change_decode((const char *) &header, sizeof(header), &change) == GM_OK);
	CHECK(change.flags == GM_CHANGE_ALL && change.cid == 7 && change.length == sizeof(header));
	CHECK(gm_change_row(&change, true, &row) == GM_BAD_VALUE);
	CHECK(gm_change_row(&change, false, &row) == GM_BAD_VALUE);
	header.flags |= GM_CHANGE_NEW;
	CHECK(gm_change_decode((const char *) &header, sizeof(header), &change) == GM_BAD_VALUE);
}

static volatile uint64_t sink;

/* the address sanitizer ends the program if one of them does not belong to us */
static void
read_bytes(const void *from, size_t length)
{
	const unsigned char *p = from;

	for (size_t i = 0; i < length; i++)
		sink += p[i];
}

static void
read_text(const GmText *t)
{
	if (t->bytes != NULL)
		read_bytes(t->bytes, t->length);
}

static void
read_row(const GmRow *row)
{
	switch (row->table)
	{
		case GM_TABLE_GRAPHS:
			read_text(&row->u.graph.name);
			CHECK(row->u.graph.residency == 'a' || row->u.graph.residency == 'p' ||
				  row->u.graph.residency == 'n');
			break;
		case GM_TABLE_ENTITIES:
			CHECK(row->u.entity.name.bytes != NULL);
			read_text(&row->u.entity.name);
			read_text(&row->u.entity.literal_type);
			read_text(&row->u.entity.kind);
			break;
		case GM_TABLE_ALIASES:
			read_text(&row->u.alias.name);
			break;
		case GM_TABLE_PREDICATES:
			read_text(&row->u.predicate.name);
			CHECK(*(const unsigned char *) &row->u.predicate.functional <= 1);
			CHECK(*(const unsigned char *) &row->u.predicate.symmetric <= 1);
			break;
		case GM_TABLE_SOURCES:
			read_text(&row->u.source.name);
			read_text(&row->u.source.session);
			read_text(&row->u.source.kind);
			break;
		case GM_TABLE_SPACES:
			read_text(&row->u.space.name);
			CHECK(row->u.space.metric <= GM_METRIC_IP);
			CHECK(row->u.space.tuning.kind <= GM_CODE_NONE);
			break;
		case GM_TABLE_EMBEDDINGS:
		case GM_TABLE_TOPOLOGY:
			read_bytes(row->u.embedding.vector, row->u.embedding.dim * sizeof(float));
			break;
		default:
			break;
	}
}

static void
read_changes(const char *bytes, size_t length)
{
	size_t		at = 0;
	GmChange	change;
	GmRow		row;

	while (at < length && gm_change_decode(bytes + at, length - at, &change) == GM_OK)
	{
		CHECK(change.length > 0 && change.length <= length - at);
		for (int old = 0; old < 2; old++)
		{
			const GmPlace *place = gm_change_place(&change, old);

			if (place != NULL)
				read_bytes(place, sizeof(GmPlace));
			if (gm_change_row(&change, old, &row) == GM_OK && place == NULL)
				read_row(&row);
		}
		at += change.length;
	}
}

/* overwrites a few bytes, with values that lengths and counts are made of */
static void
damage(char *bytes, size_t length)
{
	static const uint32_t values[] = {0, 1, 7, 8, 24, 0x7fffffff, 0x80000000, 0xffffffff,
	0xfffffff8, 0x40000000};

	for (uint32_t n = 1 + unit_random_below(3); n > 0 && length >= 4; n--)
	{
		size_t		at = unit_random_below((uint32_t) length);
		uint32_t	value;

		switch (unit_random_below(4))
		{
			case 0:
				bytes[at] = (char) unit_random();
				break;
			case 1:
				bytes[at] = (char) (bytes[at] ^ (1 << unit_random_below(8)));
				break;
			default:
				at = at / 4 * 4;
				if (at + 4 > length)
					break;
				if (unit_random_below(2) == 0)
					value = values[unit_random_below(sizeof(values) / sizeof(values[0]))];
				else
				{
					memcpy(&value, bytes + at, 4);
					value += unit_random_below(33) - 16;
				}
				memcpy(bytes + at, &value, 4);
				break;
		}
	}
}

static void
test_damage(void)
{
	uint64_t	refused = 0;

	for (int i = 0; i < MUTATIONS; i++)
	{
		Sample		s;
		GmChange	change;
		size_t		size;
		size_t		length;
		char	   *bytes;
		char	   *block;

		random_sample(&s);
		bytes = encode_sample(&s, 1, &size);
		length = unit_random_below(3) == 0 ? unit_random_below((uint32_t) size + 1) : size;
		block = malloc(length > 0 ? length : 1);
		memcpy(block, bytes, length);
		free(bytes);
		if (unit_random_below(8) != 0)
			damage(block, length);
		refused += gm_change_decode(block, length, &change) != GM_OK;
		read_changes(block, length);
		free(block);
	}
	CHECK(refused > MUTATIONS / 20 && refused < (uint64_t) MUTATIONS * 19 / 20);
}

/* every row's bytes cut at every length, and each of its bytes changed */
static void
test_every_cut(void)
{
	for (int table = 1; table < GM_TABLES; table++)
	{
		GmRow		row;
		GmRow		back;
		size_t		size;
		char	   *bytes;

		random_row((GmTable) table, &row);
		size = gm_row_size(&row);
		bytes = malloc(size);
		gm_row_encode(&row, bytes);
		for (size_t cut = 0; cut < size; cut++)
		{
			char	   *block = malloc(cut > 0 ? cut : 1);

			memcpy(block, bytes, cut);
			CHECK(gm_row_decode((GmTable) table, 1, block, cut, &back) == GM_BAD_VALUE);
			free(block);
		}
		for (size_t i = 0; i < size * 256; i++)
		{
			char	   *block = malloc(size);

			memcpy(block, bytes, size);
			block[i / 256] = (char) i;
			if (gm_row_decode((GmTable) table, 1, block, size, &back) == GM_OK)
				read_row(&back);
			free(block);
		}
		free(bytes);
	}
}

/* a header whose lengths wrap around */
static void
test_wrapping_lengths(void)
{
	GmChangeHeader header = {sizeof(header) + 16, GM_TABLE_ASSERTIONS,
	GM_CHANGE_OLD | GM_CHANGE_NEW, 0, 1, 1, 0xfffffff8, 24};
	char		bytes[sizeof(header) + 16] __attribute__((aligned(8))) = {0};
	GmChange	change;

	memcpy(bytes, &header, sizeof(header));
	CHECK(gm_change_decode(bytes, sizeof(bytes), &change) == GM_BAD_VALUE);
	header.old_length = 0;
	header.new_length = 16;
	memcpy(bytes, &header, sizeof(header));
	CHECK(gm_change_decode(bytes, sizeof(bytes), &change) == GM_BAD_VALUE);
	header.flags = GM_CHANGE_NEW;
	memcpy(bytes, &header, sizeof(header));
	CHECK(gm_change_decode(bytes, sizeof(bytes), &change) == GM_OK);
	CHECK(gm_change_decode(bytes, sizeof(bytes) - 1, &change) == GM_BAD_VALUE);
	header.table = GM_TABLES;
	memcpy(bytes, &header, sizeof(header));
	CHECK(gm_change_decode(bytes, sizeof(bytes), &change) == GM_BAD_VALUE);
}

UNIT_MAIN(UNIT(test_round_trip), UNIT(test_keys), UNIT(test_changes), UNIT(test_all),
		  UNIT(test_damage), UNIT(test_every_cut), UNIT(test_wrapping_lengths))
