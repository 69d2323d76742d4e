/*-------------------------------------------------------------------------
 *
 * row.h
 *	  Rows of the tables that an image is made of, and changes to them.
 *
 * A GmRow is what the image keeps of one table row.  A GmChange says that a
 * row came, went or was replaced, with its content before and after; both can
 * be had from a change's bytes, so that a change can be undone as exactly as
 * it is done.  A content that is too long to carry is a tuple's place instead
 * (GM_CHANGE_FETCH_*), to be read by whoever applies the change.
 *
 * Bytes of a change, 8-byte aligned: GmChangeHeader, then the old content if
 * there is one, then the new one.  A content is a GmPlace or the row's bytes
 * (gm_row_encode).  The numbers are the machine's own: changes never leave it.
 *
 * Interface
 *	 gm_row_size, gm_row_encode, gm_row_decode
 *	 gm_change_decode	checks every length: the bytes come from shared memory
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_ROW_H
#define GM_CORE_ROW_H

#include "core/base.h"
#include "core/graph.h"

typedef enum GmTable
{
	GM_TABLE_NONE = 0,
	GM_TABLE_GRAPHS,
	GM_TABLE_ENTITIES,
	GM_TABLE_ALIASES,
	GM_TABLE_PREDICATES,
	GM_TABLE_TRIPLES,
	GM_TABLE_SOURCES,
	GM_TABLE_ASSERTIONS,
	GM_TABLE_SPACES,
	GM_TABLE_EMBEDDINGS,
	GM_TABLE_TOPOLOGY,			/* vectors of computed spaces: u.embedding too */
	GM_TABLES					/* how many, plus one */
} GmTable;

typedef struct GmText
{
	const char *bytes;			/* NULL: SQL NULL */
	uint32_t	length;
} GmText;

/* the first id is the key, but for assertions and vectors both are */
typedef struct GmRow
{
	GmTable		table;
	int32_t		graph_id;
	union
	{
		struct
		{
			GmText		name;
			char		residency;	/* 'a'uto, 'p'inned, 'n'one */
		}			graph;
		struct
		{
			int64_t		entity_id;
			int64_t		created_at;
			GmText		name;
			GmText		literal_type;
			GmText		kind;
		}			entity;
		struct
		{
			int64_t		alias_id;
			int64_t		entity_id;
			GmText		name;
		}			alias;
		struct
		{
			int64_t		predicate_id;
			GmText		name;
			float		weight;
			bool		functional;
			bool		symmetric;
		}			predicate;
		struct
		{
			int64_t		triple_id;
			int64_t		fact_id;
			int64_t		subject_id;
			int64_t		predicate_id;
			int64_t		object_id;
			GmTimes		times;
			float		confidence;
		}			triple;
		struct
		{
			int64_t		source_id;
			int64_t		created_at;
			GmText		name;
			GmText		session;
			GmText		kind;
			float		reliability;
		}			source;
		struct
		{
			int64_t		fact_id;
			int64_t		source_id;
			int64_t		asserted_at;
			float		confidence;
		}			assertion;
		struct
		{
			int32_t		space_id;
			uint32_t	dim;
			GmText		name;
			char		target; /* 'e'ntity, 'f'act, 's'ource */
			uint8_t		metric; /* GmMetric */
			bool		computed;	/* from the graph: rows of GM_TABLE_TOPOLOGY */
			bool		computing;	/* not to be searched yet */
			bool		unread; /* not in the bytes: see gm_apply_put */
			GmSpaceTuning tuning;
		}			space;
		struct
		{
			int32_t		space_id;
			uint32_t	dim;
			int64_t		item_id;
			const float *vector;	/* NULL, and dim 0: not a plain array of numbers */
		}			embedding;
	}			u;
} GmRow;

/* where a tuple lies, and what tells that another one lies there now */
typedef struct GmPlace
{
	uint32_t	block;
	uint16_t	offset;
	uint16_t	unused;
	uint32_t	xmin;
	uint32_t	file;			/* the table's relfilenode: it was not rewritten since */
	int64_t		key[2];			/* as gm_row_key */
} GmPlace;

#define GM_CHANGE_OLD			1	/* there is an old content: update or delete */
#define GM_CHANGE_NEW			2	/* there is a new content: update or insert */
#define GM_CHANGE_FETCH_OLD		4	/* the old content is a GmPlace */
#define GM_CHANGE_FETCH_NEW		8	/* the new content is a GmPlace */
#define GM_CHANGE_ALL			16	/* the whole table was emptied or is unknown: reload */

typedef struct GmChangeHeader
{
	uint32_t	length;			/* of all, this included; a multiple of 8 */
	uint8_t		table;
	uint8_t		flags;
	uint16_t	unused;
	int32_t		graph_id;		/* 0 with GM_CHANGE_ALL: every graph */
	uint32_t	cid;			/* command that made it */
	uint32_t	old_length;		/* bytes of the old content, padded to 8 */
	uint32_t	new_length;
} GmChangeHeader;

typedef struct GmChange
{
	GmTable		table;
	uint8_t		flags;
	int32_t		graph_id;
	uint32_t	cid;
	const char *old_content;
	uint32_t	old_length;
	const char *new_content;
	uint32_t	new_length;
	uint32_t	length;			/* bytes of the whole change */
} GmChange;

/* bytes that gm_row_encode writes, a multiple of 8 */
extern size_t gm_row_size(const GmRow *row);
extern void gm_row_encode(const GmRow *row, char *to);

/*
 * Texts and vector point into the bytes, which are 8-byte aligned.
 * GM_BAD_VALUE if they are not exactly a row of the table.
 */
extern GmStatus gm_row_decode(GmTable table, int32_t graph_id, const char *bytes,
							  size_t length, GmRow *row);

/* ids beyond the row's key are 0 */
extern void gm_row_key(const GmRow *row, int64_t key[2]);

/* a row of which nothing but table, graph and key is known */
extern void gm_row_set_key(GmTable table, int32_t graph_id, const int64_t key[2], GmRow *row);

/*
 * A change with these contents: of each row its bytes, or its place where that
 * is not NULL; a row that is NULL has no content.
 */
extern size_t gm_change_size(const GmRow *old_row, const GmPlace *old_place,
							 const GmRow *new_row, const GmPlace *new_place);
extern void gm_change_encode(const GmRow *old_row, const GmPlace *old_place,
							 const GmRow *new_row, const GmPlace *new_place,
							 uint32_t cid, char *to);

/* the first change of these bytes; what it says is not looked into yet */
extern GmStatus gm_change_decode(const char *bytes, size_t length, GmChange *change);

/* the place of the old or the new content; NULL if that is carried, or absent */
extern const GmPlace *gm_change_place(const GmChange *change, bool old);

/*
 * The old or the new content, which must be there; where it is a place, only
 * the key: gm_row_fetch (image/fetch.h) reads the rest.
 */
extern GmStatus gm_change_row(const GmChange *change, bool old, GmRow *row);

#endif							/* GM_CORE_ROW_H */
