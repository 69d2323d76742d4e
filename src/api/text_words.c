/*-------------------------------------------------------------------------
 *
 * text_words.c
 *	  Words and lexemes of names, contents and questions, and the functions
 *	  that the full-text and trigram indexes rest on.
 *
 * No text search configuration fits names as it is.  "english" has no lexeme
 * at all for "The Who" and reads "AC/DC" as a path; "simple" keeps "engines"
 * from "engine", and its stop words make every question common.  So words are
 * cut here, plainly and for all scripts alike, and PostgreSQL's dictionary
 * english_stem makes lexemes of them; whole names are found by a key over all
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

typedef struct CodeRange
{
	uint32		first;
	uint32		last;
} CodeRange;

/* Above ASCII: what separates words.  Everything else is a letter. */
static const CodeRange separators[] = {
	{0x0080, 0x00A9}, {0x00AB, 0x00B4}, {0x00B6, 0x00B9}, {0x00BB, 0x00BF},
	{0x00D7, 0x00D7}, {0x00F7, 0x00F7}, {0x055A, 0x055F}, {0x0589, 0x058A},
	{0x05BE, 0x05BE}, {0x05F3, 0x05F4}, {0x060C, 0x060D}, {0x061B, 0x061F},
	{0x066A, 0x066D}, {0x06D4, 0x06D4}, {0x0964, 0x0965}, {0x0E2F, 0x0E2F},
	{0x104A, 0x104F}, {0x1680, 0x1680}, {0x17D4, 0x17DB}, {0x2000, 0x206F},
	{0x20A0, 0x20CF}, {0x2190, 0x23FF}, {0x2500, 0x25FF}, {0x3000, 0x3004},
	{0x3008, 0x3020}, {0x3030, 0x3030}, {0x30FB, 0x30FB}, {0xFE00, 0xFE6F},
	{0xFEFF, 0xFEFF}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40},
	{0xFF5B, 0xFF65}
};

/* Scripts written without spaces. */
static const CodeRange singles[] = {
	{0x0E00, 0x0EFF}, {0x1000, 0x109F}, {0x1780, 0x17FF}, {0x3005, 0x3007},
	{0x3021, 0x302F}, {0x3031, 0x30FF}, {0x31F0, 0x31FF}, {0x3400, 0x4DBF},
	{0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0xFF66, 0xFF9F}, {0x20000, 0x3FFFF}
};

/* Capital letters above ASCII, every step-th of a range, and how far the small ones are. */
typedef struct CapitalRange
{
	uint16		first;
	uint16		last;
	int16		distance;
	int16		step;
} CapitalRange;

static const CapitalRange capitals[] = {
	{0x00C0, 0x00D6, 32, 1}, {0x00D8, 0x00DE, 32, 1},
	{0x0100, 0x012E, 1, 2}, {0x0130, 0x0130, 'i' - 0x0130, 1}, {0x0132, 0x0136, 1, 2},
	{0x0139, 0x0147, 1, 2}, {0x014A, 0x0176, 1, 2}, {0x0178, 0x0178, 0x00FF - 0x0178, 1},
	{0x0179, 0x017D, 1, 2}, {0x01CD, 0x01DB, 1, 2}, {0x01DE, 0x01EE, 1, 2},
	{0x01F8, 0x021E, 1, 2}, {0x0222, 0x0232, 1, 2},
	{0x0386, 0x0386, 38, 1}, {0x0388, 0x038A, 37, 1}, {0x038C, 0x038C, 64, 1},
	{0x038E, 0x038F, 63, 1}, {0x0391, 0x03A1, 32, 1}, {0x03A3, 0x03AB, 32, 1},
	{0x03C2, 0x03C2, 1, 1},
	{0x0400, 0x040F, 80, 1}, {0x0410, 0x042F, 32, 1}, {0x0460, 0x0480, 1, 2},
	{0x048A, 0x04BE, 1, 2}, {0x04C1, 0x04CD, 1, 2}, {0x04D0, 0x052E, 1, 2},
	{0x0531, 0x0556, 48, 1}, {0x1E00, 0x1E94, 1, 2}, {0x1EA0, 0x1EFE, 1, 2},
	{0xFF21, 0xFF3A, 32, 1}
};

typedef enum CharClass
{
	CHAR_SEPARATOR,
	CHAR_LETTER,
	CHAR_SINGLE
} CharClass;

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

static bool
in_ranges(uint32 code, const CodeRange *ranges, int n)
{
	int			low = 0;
	int			high = n;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (code > ranges[middle].last)
			low = middle + 1;
		else if (code < ranges[middle].first)
			high = middle;
		else
			return true;
	}
	return false;
}

static inline CharClass
char_class(const char *p, int *len)
{
	unsigned char c = (unsigned char) *p;
	uint32		code;

	*len = 1;
	if (c < 0x80)
		return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			(c >= 'A' && c <= 'Z') ? CHAR_LETTER : CHAR_SEPARATOR;
	*len = pg_mblen(p);
	if (GetDatabaseEncoding() != PG_UTF8)
		return CHAR_LETTER;
	code = utf8_to_unicode((const unsigned char *) p);
	if (in_ranges(code, separators, lengthof(separators)))
		return CHAR_SEPARATOR;
	return in_ranges(code, singles, lengthof(singles)) ? CHAR_SINGLE : CHAR_LETTER;
}

static uint32
lower_code(uint32 code)
{
	int			low = 0;
	int			high = lengthof(capitals);

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const CapitalRange *range = &capitals[middle];

		if (code > range->last)
			low = middle + 1;
		else if (code < range->first)
			high = middle;
		else
			return (code - range->first) % range->step == 0 ? code + range->distance : code;
	}
	return code;
}

/*
 * The same in every locale and for every version of its library, as an index
 * rests on it.  No small letter is longer than its capital.
 */
static char *
fold_case(const char *text, int len, int *folded_len)
{
	char	   *folded = palloc(len + 1);
	bool		unicode = GetDatabaseEncoding() == PG_UTF8;
	char	   *out = folded;

	for (int i = 0, step; i < len; i += step)
	{
		unsigned char c = (unsigned char) text[i];

		step = 1;
		if (c < 0x80)
			*out++ = (char) (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
		else if (unicode)
		{
			uint32		code = utf8_to_unicode((const unsigned char *) text + i);

			step = pg_utf_mblen((const unsigned char *) text + i);
			unicode_to_utf8(lower_code(code), (unsigned char *) out);
			out += pg_utf_mblen((const unsigned char *) out);
		}
		else
		{
			step = pg_mblen(text + i);
			memcpy(out, text + i, step);
			out += step;
		}
	}
	*out = '\0';
	*folded_len = (int) (out - folded);
	return folded;
}

static void
add_word(GmWords *w, int *capacity, GmWord word)
{
	if (w->n == *capacity)
	{
		*capacity *= 2;
		w->words = repalloc(w->words, sizeof(GmWord) * *capacity);
	}
	w->words[w->n++] = word;
}

void
gm_words_split(GmWords *w, const char *text, int len)
{
	int			capacity = 16;
	GmWord		word = {0};
	bool		joined = false;

	w->text = fold_case(text, len, &w->len);
	w->n = 0;
	w->words = palloc(sizeof(GmWord) * capacity);
	for (int i = 0, step; i <= w->len; i += step)
	{
		CharClass	class = CHAR_SEPARATOR;

		step = 1;
		if (i < w->len)
			class = char_class(w->text + i, &step);
		if (class == CHAR_LETTER)
		{
			if (word.len == 0)
				word = (GmWord) {i, 0, false, joined};
			word.len += step;
			joined = true;
			continue;
		}
		if (word.len > 0)
			add_word(w, &capacity, word);
		word.len = 0;
		if (class == CHAR_SINGLE)
			add_word(w, &capacity, (GmWord) {i, step, true, joined});
		joined = class == CHAR_SINGLE;
	}
}

bool
gm_words_term(const GmWords *w, int i, const char **term, int *len)
{
	const GmWord *word = &w->words[i];
	const GmWord *next = word + 1;

	*term = w->text + word->start;
	*len = word->len;
	if (!word->single)
		return true;
	if (i + 1 < w->n && next->single && next->joined)
	{
		*len += next->len;
		return true;
	}
	return !(word->joined && i > 0 && word[-1].single);
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
