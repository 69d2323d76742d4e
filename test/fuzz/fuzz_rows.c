/*-------------------------------------------------------------------------
 *
 * fuzz_rows.c
 *	  Bytes read as the changes that backends hand to the worker.
 *
 * An input is a batch: changes end to end, read as apply_batch of the worker
 * reads them; if its first byte is odd, the rest is one row of a table that
 * the second names.
 *
 * What must hold
 *	 bounds		a change that is accepted lies inside the bytes, and so do all
 *				texts and vectors of a row (the sanitizer looks on: the bytes
 *				lie in a block of exactly their length)
 *	 canonical	encoding what was read gives the bytes that were read, but for
 *				padding and the header's unused field
 *	 key		a row and its key have the same key
 *
 *-------------------------------------------------------------------------
 */
#include "core/row.h"
#include "core/vec.h"
#include "fuzz.h"

static volatile uint64_t sink;

static void
read_text(const GmText *t, const char *bytes, size_t length)
{
	if (t->bytes == NULL)
		return;
	MUST(t->bytes >= bytes && t->length <= length &&
		 t->bytes - bytes <= (ptrdiff_t) (length - t->length));
	for (uint32_t i = 0; i < t->length; i++)
		sink += (unsigned char) t->bytes[i];
}

static void
read_row(const GmRow *row, const char *bytes, size_t length)
{
	switch (row->table)
	{
		case GM_TABLE_GRAPHS:
			read_text(&row->u.graph.name, bytes, length);
			MUST(row->u.graph.name.bytes != NULL && memchr("apn", row->u.graph.residency, 3) != NULL);
			break;
		case GM_TABLE_ENTITIES:
			read_text(&row->u.entity.name, bytes, length);
			read_text(&row->u.entity.literal_type, bytes, length);
			read_text(&row->u.entity.kind, bytes, length);
			MUST(row->u.entity.name.bytes != NULL);
			break;
		case GM_TABLE_ALIASES:
			read_text(&row->u.alias.name, bytes, length);
			MUST(row->u.alias.name.bytes != NULL);
			break;
		case GM_TABLE_PREDICATES:
			read_text(&row->u.predicate.name, bytes, length);
			MUST(row->u.predicate.name.bytes != NULL);
			break;
		case GM_TABLE_SOURCES:
			read_text(&row->u.source.name, bytes, length);
			read_text(&row->u.source.session, bytes, length);
			read_text(&row->u.source.kind, bytes, length);
			MUST(row->u.source.name.bytes != NULL);
			break;
		case GM_TABLE_SPACES:
			read_text(&row->u.space.name, bytes, length);
			MUST(row->u.space.name.bytes != NULL && memchr("efs", row->u.space.target, 3) != NULL);
			MUST(row->u.space.metric <= GM_METRIC_IP);
			MUST(row->u.space.tuning.kind <= GM_CODE_NONE);
			break;
		case GM_TABLE_EMBEDDINGS:
			MUST((row->u.embedding.dim == 0) == (row->u.embedding.vector == NULL));
			for (uint32_t i = 0; i < row->u.embedding.dim; i++)
				sink += row->u.embedding.vector[i] > 0;
			break;
		default:
			break;
	}
}

/* false: refused */
static bool
try_row(GmTable table, int32_t graph_id, const char *bytes, size_t length, GmRow *row)
{
	GmRow		other;
	int64_t		key[2];
	int64_t		other_key[2];
	char	   *again;

	if (gm_row_decode(table, graph_id, bytes, length, row) != GM_OK)
		return false;
	MUST(row->table == table && row->graph_id == graph_id);
	read_row(row, bytes, length);
	MUST(gm_row_size(row) == length);
	again = malloc(length);
	gm_row_encode(row, again);
	MUST(memcmp(again, bytes, length - 7) == 0);
	MUST(gm_row_decode(table, graph_id, again, length, &other) == GM_OK);
	gm_row_key(row, key);
	gm_row_set_key(table, graph_id, key, &other);
	gm_row_key(&other, other_key);
	MUST(key[0] == other_key[0] && key[1] == other_key[1]);
	free(again);
	return true;
}

static void
try_change(const char *bytes, const GmChange *change)
{
	GmRow		rows[2];
	const GmPlace *places[2];
	const char *contents[2] = {change->old_content, change->new_content};
	uint32_t	lengths[2] = {change->old_length, change->new_length};
	bool		there[2];
	GmChangeHeader header;
	char	   *again;

	MUST(change->table > GM_TABLE_NONE && change->table < GM_TABLES);
	for (int i = 0; i < 2; i++)
	{
		bool		old = i == 0;

		there[i] = (change->flags & (old ? GM_CHANGE_OLD : GM_CHANGE_NEW)) != 0;
		places[i] = gm_change_place(change, old);
		MUST(there[i] == (contents[i] != NULL));
		if (!there[i])
		{
			MUST(gm_change_row(change, old, &rows[i]) == GM_BAD_VALUE);
			continue;
		}
		MUST(contents[i] >= bytes && contents[i] + lengths[i] <= bytes + change->length);
		if (places[i] != NULL)
		{
			sink += places[i]->block + places[i]->file;
			MUST(gm_change_row(change, old, &rows[i]) == GM_OK);
		}
		else if (!try_row(change->table, change->graph_id, contents[i], lengths[i], &rows[i]))
		{
			MUST(gm_change_row(change, old, &rows[i]) == GM_BAD_VALUE);
			return;
		}
		else
			MUST(gm_change_row(change, old, &rows[i]) == GM_OK);
	}
	if (change->flags == GM_CHANGE_ALL)
		return;

	MUST(gm_change_size(there[0] ? &rows[0] : NULL, places[0],
						there[1] ? &rows[1] : NULL, places[1]) == change->length);
	again = malloc(change->length);
	gm_change_encode(there[0] ? &rows[0] : NULL, places[0], there[1] ? &rows[1] : NULL, places[1],
					 change->cid, again);
	memcpy(&header, bytes, sizeof(header));
	header.unused = 0;
	MUST(memcmp(again, &header, sizeof(header)) == 0);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool		is_row = size > 0 && (data[0] & 1) != 0;
	size_t		skip = is_row && size > 1 ? 2 : size > 0 ? 1 : 0;
	size_t		length = size - skip;
	char	   *bytes = malloc(length);
	GmRow		row;
	GmChange	change;

	if (length > 0)
		memcpy(bytes, data + skip, length);
	if (is_row)
		(void) try_row((GmTable) (skip == 2 ? data[1] % (GM_TABLES + 1) : 0), 7, bytes, length, &row);
	else
		for (size_t at = 0; at < length; at += change.length)
		{
			if (gm_change_decode(bytes + at, length - at, &change) != GM_OK)
				break;
			MUST(change.length >= sizeof(GmChangeHeader) && change.length <= length - at &&
				 change.length % 8 == 0);
			try_change(bytes + at, &change);
		}
	free(bytes);
	return 0;
}

/* of every table: a row, and a batch of an insert, an update and a delete by place */
static void
fuzz_seeds(void)
{
	static const float vector[] = {1, -2, 0.5f};

	for (GmTable table = GM_TABLE_GRAPHS; table < GM_TABLES; table++)
	{
		GmRow		row = {.table = table, .graph_id = 1};
		GmText		text = {"name of it", 10};
		GmPlace		place = {3, 4, 0, 5, 6, {7, 8}};
		char		seed[1024] = {0};
		size_t		at = 1;

		switch (table)
		{
			case GM_TABLE_GRAPHS:
				row.u.graph.name = text;
				row.u.graph.residency = 'a';
				break;
			case GM_TABLE_ENTITIES:
				row.u.entity.name = row.u.entity.kind = text;
				break;
			case GM_TABLE_ALIASES:
				row.u.alias.name = text;
				break;
			case GM_TABLE_PREDICATES:
				row.u.predicate.name = text;
				break;
			case GM_TABLE_SOURCES:
				row.u.source.name = row.u.source.session = text;
				break;
			case GM_TABLE_SPACES:
				row.u.space.name = text;
				row.u.space.target = 'e';
				break;
			case GM_TABLE_EMBEDDINGS:
				row.u.embedding.dim = 3;
				row.u.embedding.vector = vector;
				break;
			default:
				break;
		}
		seed[0] = 1;
		seed[1] = (char) table;
		gm_row_encode(&row, seed + 2);
		fuzz_seed(seed, 2 + gm_row_size(&row));

		seed[0] = 0;
		for (int kind = 0; kind < 3; kind++)
		{
			const GmRow *old_row = kind == 0 ? NULL : &row;
			const GmRow *new_row = kind == 2 ? NULL : &row;
			const GmPlace *old_place = kind == 2 ? &place : NULL;

			gm_change_encode(old_row, old_place, new_row, NULL, 1, seed + at);
			at += gm_change_size(old_row, old_place, new_row, NULL);
		}
		fuzz_seed(seed, at);
	}
}
