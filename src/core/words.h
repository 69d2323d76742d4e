/*-------------------------------------------------------------------------
 *
 * words.h
 *	  Cutting a text into words, the same for every locale.
 *
 * Glossary
 *	 word		run of letters and digits, case folded; in scripts written
 *				without spaces (Chinese, Japanese, Thai, ...) one character
 *	 term		what is searched as one: a word, or two neighbouring
 *				characters of a script without spaces
 *
 * Texts are UTF-8, or of an encoding of which nothing is known but how long a
 * character is: then all beyond ASCII are letters, whose case is kept.  Bytes
 * that no character begins with are letters too; nothing beyond the text is
 * read, whatever its end.
 *
 * Interface
 *	 gm_word_fold		small letters for capitals, never longer than the text
 *	 gm_word_begin, gm_word_next	the words of a folded text
 *	 gm_word_term		the term that starts at a word
 *
 * Complexity	linear; a binary search of a short list for a character beyond ASCII
 * Limits		an index rests on what comes out: the lists cannot change without it
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_WORDS_H
#define GM_CORE_WORDS_H

#include "core/base.h"

/* bytes of the character at p; NULL where one is wanted: UTF-8 */
typedef int (*GmCharLength) (const char *p);

typedef struct GmWord
{
	int			start;			/* in the folded text */
	int			len;			/* bytes */
	bool		single;			/* a character of a script without spaces */
	bool		joined;			/* nothing between it and the word before */
} GmWord;

/* private */
typedef struct GmWordIter
{
	const char *text;
	int			len;
	int			at;
	bool		joined;			/* a word ended at at */
	GmCharLength length;
} GmWordIter;

/* bytes written, at most len; to must not overlap text */
extern size_t gm_word_fold(const char *text, size_t len, GmCharLength length, char *to);

extern void gm_word_begin(GmWordIter *iter, const char *folded, int len, GmCharLength length);

/* words come in order and do not overlap */
extern bool gm_word_next(GmWordIter *iter, GmWord *word);

/* bytes of the term that starts at word i; false if its characters belong to others */
extern bool gm_word_term(const GmWord *words, int n, int i, int *len);

#endif							/* GM_CORE_WORDS_H */
