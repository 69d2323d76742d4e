/*-------------------------------------------------------------------------
 *
 * text_words.h
 *	  Words and lexemes of names, contents and questions.
 *
 * Glossary, with words and terms as in core/words.h
 *	 lexeme		a term as pg_catalog.english_stem leaves it; stop words have none
 *	 key		hash of all words of a name, or of a span of a question
 *
 * In the indexes every lexeme starts with its graph, so that a posting list
 * holds rows of one graph only:
 *	 12:engin	a name or content of graph 12 with this lexeme
 *	 12~engin	likewise, one row in GM_SAMPLE_RATE
 *	 12^engin	likewise, one row in GM_COUNT_RATE
 *	 12=...		a name of graph 12 with this key
 *	 12#		every name of graph 12
 *	 12*		one row of graph 12 in GM_GRAPH_RATE
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_TEXT_WORDS_H
#define GM_API_TEXT_WORDS_H

#include "core/words.h"

/*
 * Rows that one sampled row stands for.  A hash of the row's text decides, so
 * equal rows are equally chosen everywhere.
 */
#define GM_SAMPLE_RATE	16
#define GM_COUNT_RATE	256
#define GM_GRAPH_RATE	4096

/* Bytes at the start of a name that are searchable, by words and by trigrams. */
#define GM_NAME_BYTES	4096
#define GM_TRIGRAM_BYTES 512

/* Bytes of the longest lexeme, with its graph. */
#define GM_LEXEME_BYTES	160

typedef struct GmWords
{
	char	   *text;			/* case folded */
	int			len;
	int			n;
	GmWord	   *words;
} GmWords;

typedef enum GmLexemeKind
{
	GM_LEXEME_WORD = ':',
	GM_LEXEME_SAMPLE = '~',
	GM_LEXEME_COUNT = '^',
	GM_LEXEME_KEY = '=',
	GM_LEXEME_NAME = '#',
	GM_LEXEME_GRAPH = '*'
} GmLexemeKind;

/* Both live in the current memory context. */
extern void gm_words_split(GmWords *w, const char *text, int len);

/* The term that starts at word i; false if its characters belong to others. */
extern bool gm_words_term(const GmWords *w, int i, const char **term, int *len);

/* Length of the term's lexeme, 0 for a stop word. */
extern int	gm_words_lexeme(const char *term, int len, char lexeme[GM_LEXEME_BYTES]);

/* Length of a lexeme as the indexes of the graph hold it. */
extern int	gm_words_indexed(int32 graph_id, GmLexemeKind kind, const char *lexeme, int len,
							 char indexed[GM_LEXEME_BYTES]);

/* Start a key with 0 and add words; one text without words has a key too. */
extern uint64 gm_words_key_add(uint64 key, const char *word, int len);
extern int	gm_words_indexed_key(int32 graph_id, uint64 key, char indexed[GM_LEXEME_BYTES]);

#endif							/* GM_API_TEXT_WORDS_H */
