/*-------------------------------------------------------------------------
 *
 * row.c
 *	  Rows and changes as bytes: see row.h.
 *
 * A row's bytes are described by a list of fields per table: numbers in the
 * order of the list, a text or vector as its length, then the bytes of the
 * texts in the same order, then the vector, then zeroes up to a multiple of 8.
 * Lists begin with the widest fields, which keeps a vector aligned.
 *
 *-------------------------------------------------------------------------
 */
#include "core/row.h"

#include <string.h>

#include "core/vec.h"

#define SQL_NULL		UINT32_MAX	/* length of a text that is NULL */
#define PAD(n)			(((n) + 7) & ~(size_t) 7)

typedef enum FieldType
{
	INT64,
	INT32,
	FLOAT,
	TEXT,						/* never NULL */
	TEXT_OR_NULL,
	VECTOR,						/* the field is dim; at most one, the last of all */
	BOOL,
	LETTER,						/* one of Field.letters */
	METRIC,
	CODE_KIND
} FieldType;

typedef struct Field
{
	uint16_t	type;
	uint16_t	offset;			/* in GmRow */
	char		letters[4];
} Field;

#define FIELD(type, member) {type, offsetof(GmRow, u.member), ""}
#define ONE_OF(letters, member) {LETTER, offsetof(GmRow, u.member), letters}

static const Field graph_fields[] = {
	FIELD(TEXT, graph.name),
	ONE_OF("apn", graph.residency),
};

static const Field entity_fields[] = {
	FIELD(INT64, entity.entity_id),
	FIELD(INT64, entity.created_at),
	FIELD(TEXT, entity.name),
	FIELD(TEXT_OR_NULL, entity.literal_type),
	FIELD(TEXT_OR_NULL, entity.kind),
};

static const Field alias_fields[] = {
	FIELD(INT64, alias.alias_id),
	FIELD(INT64, alias.entity_id),
	FIELD(TEXT, alias.name),
};

static const Field predicate_fields[] = {
	FIELD(INT64, predicate.predicate_id),
	FIELD(TEXT, predicate.name),
	FIELD(FLOAT, predicate.weight),
	FIELD(BOOL, predicate.functional),
	FIELD(BOOL, predicate.symmetric),
};

static const Field triple_fields[] = {
	FIELD(INT64, triple.triple_id),
	FIELD(INT64, triple.fact_id),
	FIELD(INT64, triple.subject_id),
	FIELD(INT64, triple.predicate_id),
	FIELD(INT64, triple.object_id),
	FIELD(INT64, triple.times.valid_from),
	FIELD(INT64, triple.times.valid_to),
	FIELD(INT64, triple.times.recorded_at),
	FIELD(INT64, triple.times.expired_at),
	FIELD(FLOAT, triple.confidence),
};

static const Field source_fields[] = {
	FIELD(INT64, source.source_id),
	FIELD(INT64, source.created_at),
	FIELD(TEXT, source.name),
	FIELD(TEXT_OR_NULL, source.session),
	FIELD(TEXT_OR_NULL, source.kind),
	FIELD(FLOAT, source.reliability),
};

static const Field assertion_fields[] = {
	FIELD(INT64, assertion.fact_id),
	FIELD(INT64, assertion.source_id),
	FIELD(INT64, assertion.asserted_at),
	FIELD(FLOAT, assertion.confidence),
};

static const Field space_fields[] = {
	FIELD(INT32, space.space_id),
	FIELD(INT32, space.dim),
	FIELD(INT32, space.tuning.m),
	FIELD(INT32, space.tuning.ef_construction),
	FIELD(TEXT, space.name),
	ONE_OF("efs", space.target),
	FIELD(METRIC, space.metric),
	FIELD(CODE_KIND, space.tuning.kind),
	FIELD(BOOL, space.tuning.in_table),
	FIELD(BOOL, space.computed),
	FIELD(BOOL, space.computing),
};

static const Field embedding_fields[] = {
	FIELD(INT64, embedding.item_id),
	FIELD(INT32, embedding.space_id),
	FIELD(VECTOR, embedding.dim),
};

typedef struct Layout
{
	const Field *fields;
	uint32_t	count;
	uint32_t	fixed;			/* bytes before the texts and the vector */
} Layout;

#define LAYOUT(fields, fixed) {fields, sizeof(fields) / sizeof(fields[0]), fixed}

static const Layout layouts[GM_TABLES] = {
	[GM_TABLE_GRAPHS] = LAYOUT(graph_fields, 4 + 1),
	[GM_TABLE_ENTITIES] = LAYOUT(entity_fields, 2 * 8 + 3 * 4),
	[GM_TABLE_ALIASES] = LAYOUT(alias_fields, 2 * 8 + 4),
	[GM_TABLE_PREDICATES] = LAYOUT(predicate_fields, 8 + 4 + 4 + 2),
	[GM_TABLE_TRIPLES] = LAYOUT(triple_fields, 9 * 8 + 4),
	[GM_TABLE_SOURCES] = LAYOUT(source_fields, 2 * 8 + 3 * 4 + 4),
	[GM_TABLE_ASSERTIONS] = LAYOUT(assertion_fields, 3 * 8 + 4),
	[GM_TABLE_SPACES] = LAYOUT(space_fields, 4 * 4 + 4 + 6),
	[GM_TABLE_EMBEDDINGS] = LAYOUT(embedding_fields, 8 + 4 + 4),
	[GM_TABLE_TOPOLOGY] = LAYOUT(embedding_fields, 8 + 4 + 4),
};

/* ---- rows ---- */

size_t
gm_row_size(const GmRow *row)
{
	const Layout *layout = &layouts[row->table];
	size_t		size = layout->fixed;

	for (uint32_t i = 0; i < layout->count; i++)
	{
		const Field *f = &layout->fields[i];
		const char *at = (const char *) row + f->offset;

		if (f->type == TEXT || f->type == TEXT_OR_NULL)
		{
			const GmText *text = (const GmText *) at;

			size += text->bytes == NULL ? 0 : text->length;
		}
		else if (f->type == VECTOR)
			size += (size_t) row->u.embedding.dim * sizeof(float);
	}
	return PAD(size);
}

void
gm_row_encode(const GmRow *row, char *to)
{
	const Layout *layout = &layouts[row->table];
	char	   *fixed = to;
	char	   *end = to + layout->fixed;

	for (uint32_t i = 0; i < layout->count; i++)
	{
		const Field *f = &layout->fields[i];
		const char *at = (const char *) row + f->offset;

		switch (f->type)
		{
			case INT64:
				memcpy(fixed, at, 8);
				fixed += 8;
				break;
			case INT32:
			case FLOAT:
				memcpy(fixed, at, 4);
				fixed += 4;
				break;
			case TEXT:
			case TEXT_OR_NULL:
				{
					const GmText *text = (const GmText *) at;
					uint32_t	length = text->bytes == NULL ? SQL_NULL : text->length;

					memcpy(fixed, &length, 4);
					fixed += 4;
					if (text->bytes != NULL && length > 0)
					{
						memcpy(end, text->bytes, length);
						end += length;
					}
					break;
				}
			case VECTOR:
				{
					size_t		bytes = (size_t) row->u.embedding.dim * sizeof(float);

					memcpy(fixed, at, 4);
					fixed += 4;
					if (bytes > 0)
						memcpy(end, row->u.embedding.vector, bytes);
					end += bytes;
					break;
				}
			default:
				*fixed++ = *at;
				break;
		}
	}
	while ((end - to) % 8 != 0)
		*end++ = 0;
}

/* false if it is not a value of the field's type */
static bool
small_value(const Field *f, char value)
{
	switch (f->type)
	{
		case BOOL:
			return value == 0 || value == 1;
		case METRIC:
			return value == GM_METRIC_COSINE || value == GM_METRIC_L2 || value == GM_METRIC_IP;
		case CODE_KIND:
			return value == GM_CODE_INT8 || value == GM_CODE_F16 || value == GM_CODE_NONE;
		default:
			return value != 0 && memchr(f->letters, value, sizeof(f->letters)) != NULL;
	}
}

GmStatus
gm_row_decode(GmTable table, int32_t graph_id, const char *bytes, size_t length, GmRow *row)
{
	const Layout *layout;
	const char *fixed = bytes;
	const char *at = bytes;
	size_t		left;			/* of texts and vector */

	if (table <= GM_TABLE_NONE || table >= GM_TABLES || (uintptr_t) bytes % 8 != 0)
		return GM_BAD_VALUE;
	layout = &layouts[table];
	if (length < layout->fixed)
		return GM_BAD_VALUE;
	at += layout->fixed;
	left = length - layout->fixed;
	memset(row, 0, sizeof(GmRow));
	row->table = table;
	row->graph_id = graph_id;

	for (uint32_t i = 0; i < layout->count; i++)
	{
		const Field *f = &layout->fields[i];
		char	   *value = (char *) row + f->offset;
		uint32_t	size;

		switch (f->type)
		{
			case INT64:
				memcpy(value, fixed, 8);
				fixed += 8;
				break;
			case INT32:
			case FLOAT:
				memcpy(value, fixed, 4);
				fixed += 4;
				break;
			case TEXT:
			case TEXT_OR_NULL:
				memcpy(&size, fixed, 4);
				fixed += 4;
				if (size == SQL_NULL)
				{
					if (f->type == TEXT)
						return GM_BAD_VALUE;
					break;
				}
				if (size > left)
					return GM_BAD_VALUE;
				((GmText *) value)->bytes = at;
				((GmText *) value)->length = size;
				at += size;
				left -= size;
				break;
			case VECTOR:
				memcpy(&size, fixed, 4);
				fixed += 4;
				if (size > left / sizeof(float))
					return GM_BAD_VALUE;
				row->u.embedding.dim = size;
				row->u.embedding.vector = size == 0 ? NULL : (const float *) at;
				left -= size * sizeof(float);
				break;
			default:
				if (!small_value(f, *fixed))
					return GM_BAD_VALUE;
				*value = *fixed++;
				break;
		}
	}
	if (left >= 8 || length % 8 != 0)
		return GM_BAD_VALUE;
	return GM_OK;
}

void
gm_row_key(const GmRow *row, int64_t key[2])
{
	key[0] = key[1] = 0;
	switch (row->table)
	{
		case GM_TABLE_GRAPHS:
			key[0] = row->graph_id;
			break;
		case GM_TABLE_ASSERTIONS:
			key[0] = row->u.assertion.fact_id;
			key[1] = row->u.assertion.source_id;
			break;
		case GM_TABLE_SPACES:
			key[0] = row->u.space.space_id;
			break;
		case GM_TABLE_EMBEDDINGS:
		case GM_TABLE_TOPOLOGY:
			key[0] = row->u.embedding.space_id;
			key[1] = row->u.embedding.item_id;
			break;
		default:
			memcpy(&key[0], (const char *) row + layouts[row->table].fields[0].offset, 8);
			break;
	}
}

void
gm_row_set_key(GmTable table, int32_t graph_id, const int64_t key[2], GmRow *row)
{
	memset(row, 0, sizeof(GmRow));
	row->table = table;
	row->graph_id = graph_id;
	switch (table)
	{
		case GM_TABLE_GRAPHS:
			break;
		case GM_TABLE_ASSERTIONS:
			row->u.assertion.fact_id = key[0];
			row->u.assertion.source_id = key[1];
			break;
		case GM_TABLE_SPACES:
			row->u.space.space_id = (int32_t) key[0];
			break;
		case GM_TABLE_EMBEDDINGS:
		case GM_TABLE_TOPOLOGY:
			row->u.embedding.space_id = (int32_t) key[0];
			row->u.embedding.item_id = key[1];
			break;
		default:
			memcpy((char *) row + layouts[table].fields[0].offset, &key[0], 8);
			break;
	}
}

/* ---- changes ---- */

static size_t
content_size(const GmRow *row, const GmPlace *place)
{
	return row == NULL ? 0 : place != NULL ? sizeof(GmPlace) : gm_row_size(row);
}

size_t
gm_change_size(const GmRow *old_row, const GmPlace *old_place,
			   const GmRow *new_row, const GmPlace *new_place)
{
	return sizeof(GmChangeHeader) + content_size(old_row, old_place) +
		content_size(new_row, new_place);
}

static void
put_content(const GmRow *row, const GmPlace *place, char *to)
{
	if (place != NULL)
		memcpy(to, place, sizeof(GmPlace));
	else
		gm_row_encode(row, to);
}

void
gm_change_encode(const GmRow *old_row, const GmPlace *old_place,
				 const GmRow *new_row, const GmPlace *new_place, uint32_t cid, char *to)
{
	const GmRow *row = new_row != NULL ? new_row : old_row;
	GmChangeHeader header;

	memset(&header, 0, sizeof(header));
	header.table = (uint8_t) row->table;
	header.graph_id = row->graph_id;
	header.cid = cid;
	if (old_row != NULL)
	{
		header.flags |= GM_CHANGE_OLD | (old_place != NULL ? GM_CHANGE_FETCH_OLD : 0);
		header.old_length = (uint32_t) content_size(old_row, old_place);
		put_content(old_row, old_place, to + sizeof(header));
	}
	if (new_row != NULL)
	{
		header.flags |= GM_CHANGE_NEW | (new_place != NULL ? GM_CHANGE_FETCH_NEW : 0);
		header.new_length = (uint32_t) content_size(new_row, new_place);
		put_content(new_row, new_place, to + sizeof(header) + header.old_length);
	}
	header.length = (uint32_t) sizeof(header) + header.old_length + header.new_length;
	memcpy(to, &header, sizeof(header));
}

/* is a content of this length possible, given what the flags say of it */
static bool
content_fits(bool there, bool place, uint32_t length)
{
	if (!there)
		return !place && length == 0;
	return length % 8 == 0 && (place ? length == sizeof(GmPlace) : length > 0);
}

GmStatus
gm_change_decode(const char *bytes, size_t length, GmChange *change)
{
	GmChangeHeader header;

	if ((uintptr_t) bytes % 8 != 0 || length < sizeof(header))
		return GM_BAD_VALUE;
	memcpy(&header, bytes, sizeof(header));
	if (header.length > length || header.length % 8 != 0 ||
		header.table <= GM_TABLE_NONE || header.table >= GM_TABLES ||
		(uint64_t) sizeof(header) + header.old_length + header.new_length != header.length)
		return GM_BAD_VALUE;
	if (header.flags == GM_CHANGE_ALL)
	{
		if (header.length != sizeof(header))
			return GM_BAD_VALUE;
	}
	else if ((header.flags & ~(GM_CHANGE_OLD | GM_CHANGE_NEW | GM_CHANGE_FETCH_OLD |
							   GM_CHANGE_FETCH_NEW)) != 0 ||
			 (header.flags & (GM_CHANGE_OLD | GM_CHANGE_NEW)) == 0 ||
			 !content_fits(header.flags & GM_CHANGE_OLD, header.flags & GM_CHANGE_FETCH_OLD,
						   header.old_length) ||
			 !content_fits(header.flags & GM_CHANGE_NEW, header.flags & GM_CHANGE_FETCH_NEW,
						   header.new_length))
		return GM_BAD_VALUE;

	change->table = (GmTable) header.table;
	change->flags = header.flags;
	change->graph_id = header.graph_id;
	change->cid = header.cid;
	change->old_content = header.old_length == 0 ? NULL : bytes + sizeof(header);
	change->old_length = header.old_length;
	change->new_content = header.new_length == 0 ? NULL :
		bytes + sizeof(header) + header.old_length;
	change->new_length = header.new_length;
	change->length = header.length;
	return GM_OK;
}

const GmPlace *
gm_change_place(const GmChange *change, bool old)
{
	if ((change->flags & (old ? GM_CHANGE_FETCH_OLD : GM_CHANGE_FETCH_NEW)) == 0)
		return NULL;
	return (const GmPlace *) (old ? change->old_content : change->new_content);
}

GmStatus
gm_change_row(const GmChange *change, bool old, GmRow *row)
{
	const GmPlace *place = gm_change_place(change, old);

	if ((change->flags & (old ? GM_CHANGE_OLD : GM_CHANGE_NEW)) == 0)
		return GM_BAD_VALUE;
	if (place != NULL)
	{
		gm_row_set_key(change->table, change->graph_id, place->key, row);
		return GM_OK;
	}
	return gm_row_decode(change->table, change->graph_id,
						 old ? change->old_content : change->new_content,
						 old ? change->old_length : change->new_length, row);
}
