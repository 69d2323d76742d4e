/*-------------------------------------------------------------------------
 *
 * text_words.c
 *	  Words and lexemes of names, contents and questions, and the functions
 *	  that the full-text and trigram indexes rest on.
 *
 * No text search configuration fits names as it is.  "english" has no lexeme
 * at all for "The Who" and reads "AC/DC" as a path; "simple" keeps "engines"
 * from "engine", and its stop words make every question common.  So words are
 * cut by core/words.h, plainly and for all scripts alike, and PostgreSQL's
 * dictionary english_stem makes lexemes of them; whole names are found by a key over all
 * their words, stop words included.  English endings are all that stemming
 * takes off; words of other languages stay as they are, mostly.
 *
 * Limits	names are searchable by their first GM_NAME_BYTES, contents by
 *			their first CONTENT_BYTES, or the part of it that fits a tsvector;
 *			words by their first WORD_BYTES
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "tsearch/ts_cache.h"
#include "tsearch/ts_public.h"
#include "tsearch/ts_type.h"
#include "utils/builtins.h"

#include "compat.h"
#include "api/text_words.h"

#define WORD_BYTES		128
#define CONTENT_BYTES	(1024 * 1024)

/* Lexemes on their way into a tsvector. */
typedef struct LexemeRef
{
	int			start;			/* in the collector's bytes */
	int			len;
} LexemeRef;

typedef struct Collector
{
	int32		graph_id;
	StringInfoData bytes;
	LexemeRef  *refs;
	int			n;
	int			capacity;
} Collector;

PG_FUNCTION_INFO_V1(graphmem_search_vector);
PG_FUNCTION_INFO_V1(graphmem_search_name_vector);
PG_FUNCTION_INFO_V1(graphmem_search_name);

/* bytes of the character at p, in encodings but UTF-8 */
static GmCharLength
char_length(void)
{
	return GetDatabaseEncoding() == PG_UTF8 ? NULL : pg_mblen;
}

void
gm_words_split(GmWords *w, const char *text, int len)
{
	int			capacity = 16;
	GmWordIter	iter;
	GmWord		word;

	w->text = palloc(len + 1);
	w->len = (int) gm_word_fold(text, len, char_length(), w->text);
	w->text[w->len] = '\0';
	w->n = 0;
	w->words = palloc(sizeof(GmWord) * capacity);
	gm_word_begin(&iter, w->text, w->len, char_length());
	while (gm_word_next(&iter, &word))
	{
		if (w->n == capacity)
		{
			capacity *= 2;
			w->words = repalloc(w->words, sizeof(GmWord) * capacity);
		}
		w->words[w->n++] = word;
	}
}

bool
gm_words_term(const GmWords *w, int i, const char **term, int *len)
{
	*term = w->text + w->words[i].start;
	return gm_word_term(w->words, w->n, i, len);
}

static TSDictionaryCacheEntry *
stemmer(void)
{
	static Oid	dictionary = InvalidOid;

	if (!OidIsValid(dictionary))
		dictionary = get_ts_dict_oid(list_make2(makeString(pstrdup("pg_catalog")),
												makeString(pstrdup("english_stem"))),
									 false);
	return lookup_ts_dictionary_cache(dictionary);
}

int
gm_words_lexeme(const char *term, int len, char lexeme[GM_LEXEME_BYTES])
{
	TSDictionaryCacheEntry *dictionary = stemmer();
	DictSubState state = {0};
	TSLexeme   *stems;
	const char *stem = term;

	if (len > WORD_BYTES)
		len = pg_mbcliplen(term, len, WORD_BYTES);
	stems = (TSLexeme *) DatumGetPointer(FunctionCall4(&dictionary->lexize,
													   PointerGetDatum(dictionary->dictData),
													   PointerGetDatum(term),
													   Int32GetDatum(len),
													   PointerGetDatum(&state)));
	if (stems != NULL)
	{
		if (stems[0].lexeme == NULL)
			return 0;
		stem = stems[0].lexeme;
		len = (int) strlen(stem);
		if (len > WORD_BYTES)
			len = pg_mbcliplen(stem, len, WORD_BYTES);
	}
	memcpy(lexeme, stem, len);
	return len;
}

int
gm_words_indexed(int32 graph_id, GmLexemeKind kind, const char *lexeme, int len,
				 char indexed[GM_LEXEME_BYTES])
{
	int			prefix = pg_ltoa(graph_id, indexed);

	Assert(prefix + 1 + len <= GM_LEXEME_BYTES);
	indexed[prefix++] = (char) kind;
	memcpy(indexed + prefix, lexeme, len);
	return prefix + len;
}

uint64
gm_words_key_add(uint64 key, const char *word, int len)
{
	return hash_combine64(key, hash_bytes_extended((const unsigned char *) word, len, 0));
}

int
gm_words_indexed_key(int32 graph_id, uint64 key, char indexed[GM_LEXEME_BYTES])
{
	static const char digits[] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+-";
	char		written[11];

	for (int i = 0; i < (int) lengthof(written); i++, key >>= 6)
		written[i] = digits[key & 63];
	return gm_words_indexed(graph_id, GM_LEXEME_KEY, written, lengthof(written), indexed);
}

static void
collect(Collector *c, const char *indexed, int len)
{
	if (c->n == c->capacity)
	{
		c->capacity *= 2;
		c->refs = repalloc(c->refs, sizeof(LexemeRef) * c->capacity);
	}
	c->refs[c->n++] = (LexemeRef) {c->bytes.len, len};
	appendBinaryStringInfo(&c->bytes, indexed, len);
}

static void
collect_lexeme(Collector *c, GmLexemeKind kind, const char *lexeme, int len)
{
	char		indexed[GM_LEXEME_BYTES];

	collect(c, indexed, gm_words_indexed(c->graph_id, kind, lexeme, len, indexed));
}

static void
collect_words(Collector *c, const GmWords *w)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) w->text, w->len, 0);

	if (hash % GM_GRAPH_RATE == 0)
		collect_lexeme(c, GM_LEXEME_GRAPH, "", 0);
	for (int i = 0; i < w->n; i++)
	{
		char		lexeme[GM_LEXEME_BYTES];
		const char *term;
		int			len;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (!gm_words_term(w, i, &term, &len))
			continue;
		len = gm_words_lexeme(term, len, lexeme);
		if (len == 0)
			continue;
		collect_lexeme(c, GM_LEXEME_WORD, lexeme, len);
		if (hash % GM_SAMPLE_RATE == 0)
			collect_lexeme(c, GM_LEXEME_SAMPLE, lexeme, len);
		if (hash % GM_COUNT_RATE == 0)
			collect_lexeme(c, GM_LEXEME_COUNT, lexeme, len);
	}
}

static void
collect_name(Collector *c, const GmWords *w)
{
	char		indexed[GM_LEXEME_BYTES];
	uint64		key = 0;

	for (int i = 0; i < w->n; i++)
		key = gm_words_key_add(key, w->text + w->words[i].start, w->words[i].len);
	if (w->n == 0)
		key = gm_words_key_add(key, w->text, w->len);
	collect(c, indexed, gm_words_indexed_key(c->graph_id, key, indexed));
	collect_lexeme(c, GM_LEXEME_NAME, "", 0);
}

/* The order that a tsvector's lexemes must have. */
static int
compare_lexemes(const void *a, const void *b, void *bytes)
{
	const LexemeRef *x = a;
	const LexemeRef *y = b;
	int			order = memcmp((char *) bytes + x->start, (char *) bytes + y->start,
							   Min(x->len, y->len));

	return order != 0 ? order : x->len - y->len;
}

/* NULL if the lexemes are more than a tsvector can hold. */
static TSVector
make_vector(Collector *c)
{
	int			n = 0;
	int			len = 0;
	TSVector	vector;
	char	   *out;

	qsort_arg(c->refs, c->n, sizeof(LexemeRef), compare_lexemes, c->bytes.data);
	for (int i = 0; i < c->n; i++)
		if (n == 0 || compare_lexemes(&c->refs[i], &c->refs[n - 1], c->bytes.data) != 0)
		{
			c->refs[n++] = c->refs[i];
			len += c->refs[i].len;
		}
	if (len > MAXSTRPOS)
		return NULL;

	vector = palloc0(CALCDATASIZE(n, len));
	SET_VARSIZE(vector, CALCDATASIZE(n, len));
	vector->size = n;
	out = STRPTR(vector);
	for (int i = 0, at = 0; i < n; i++)
	{
		ARRPTR(vector)[i].len = c->refs[i].len;
		ARRPTR(vector)[i].pos = at;
		memcpy(out + at, c->bytes.data + c->refs[i].start, c->refs[i].len);
		at += c->refs[i].len;
	}
	return vector;
}

/* A text of which only the first bytes are read, detoasted no further. */
static text *
leading_bytes(Datum value, int bytes, int *len)
{
	text	   *t = DatumGetTextPSlice(value, 0, bytes);

	*len = VARSIZE_ANY_EXHDR(t);
	if (*len == bytes)
		*len = pg_mbcliplen(VARDATA_ANY(t), *len, *len - MAX_CONVERSION_GROWTH);
	return t;
}

static Datum
vector_of(int32 graph_id, Datum value, int bytes, bool is_name)
{
	int			len;
	text	   *t = leading_bytes(value, bytes, &len);
	TSVector	vector = NULL;

	for (; vector == NULL; len = pg_mbcliplen(VARDATA_ANY(t), len, len - len / 4))
	{
		Collector	c = {.graph_id = graph_id,.capacity = 32};
		GmWords		w;

		initStringInfo(&c.bytes);
		c.refs = palloc(sizeof(LexemeRef) * c.capacity);
		gm_words_split(&w, VARDATA_ANY(t), len);
		collect_words(&c, &w);
		if (is_name)
			collect_name(&c, &w);
		vector = make_vector(&c);
		pfree(c.bytes.data);
		pfree(c.refs);
		pfree(w.words);
		pfree(w.text);
	}
	return TSVectorGetDatum(vector);
}

/* search_vector(graph_id int, content text) returns tsvector */
Datum
graphmem_search_vector(PG_FUNCTION_ARGS)
{
	return vector_of(PG_GETARG_INT32(0), PG_GETARG_DATUM(1), CONTENT_BYTES, false);
}

/* search_name_vector(graph_id int, name text) returns tsvector */
Datum
graphmem_search_name_vector(PG_FUNCTION_ARGS)
{
	return vector_of(PG_GETARG_INT32(0), PG_GETARG_DATUM(1), GM_NAME_BYTES, true);
}

/* search_name(name text) returns text: its words, a space around each */
Datum
graphmem_search_name(PG_FUNCTION_ARGS)
{
	StringInfoData out;
	GmWords		w;
	int			len;
	text	   *t = leading_bytes(PG_GETARG_DATUM(0), GM_TRIGRAM_BYTES, &len);

	gm_words_split(&w, VARDATA_ANY(t), len);
	initStringInfo(&out);
	for (int i = 0; i < w.n; i++)
	{
		if (i == 0 || !w.words[i].joined)
			appendStringInfoChar(&out, ' ');
		appendBinaryStringInfo(&out, w.text + w.words[i].start, w.words[i].len);
	}
	if (w.n > 0)
		appendStringInfoChar(&out, ' ');
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
