/*-------------------------------------------------------------------------
 *
 * fuzz_words.c
 *	  Any bytes cut into words.
 *
 * The first byte chooses the encoding: UTF-8, or one whose characters beyond
 * ASCII have two bytes.
 *
 * What must hold
 *	 fold		no longer than the text, and folding again changes nothing
 *	 same		words and terms are those that a model puts together from the
 *				characters, each cut alone, by the glossary of core/words.h
 *	 bounds		nothing outside of text and buffer is touched (the sanitizer looks on)
 *
 *-------------------------------------------------------------------------
 */
#include "core/words.h"
#include "fuzz.h"

#define MOST_BYTES	2048

typedef enum Kind
{
	SEPARATOR,
	LETTER,
	SINGLE
} Kind;

static int
two_bytes(const char *p)
{
	return (unsigned char) *p < 0x80 ? 1 : 2;
}

/* how many bytes the character at p has, by the definition of UTF-8 (RFC 3629) */
static int
utf8_bytes(const unsigned char *p, int left)
{
	int			n = p[0] < 0x80 ? 1 : p[0] >= 0xC2 && p[0] <= 0xDF ? 2 :
		(p[0] & 0xF0) == 0xE0 ? 3 : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : 1;

	if (n > left || (p[0] == 0xE0 && left > 1 && p[1] < 0xA0) ||
		(p[0] == 0xF0 && left > 1 && p[1] < 0x90))
		return 1;
	for (int i = 1; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xBF)
			return 1;
	return n;
}

static int
char_bytes(const char *p, int left, GmCharLength length)
{
	int			n;

	if (length == NULL)
		return utf8_bytes((const unsigned char *) p, left);
	n = length(p);
	return n < left ? n : left;
}

/* of a character, cut alone in a block of its own */
static Kind
kind_of(const char *p, int bytes, GmCharLength length)
{
	char	   *alone = malloc((size_t) bytes);
	GmWordIter	iter;
	GmWord		word;
	Kind		kind = SEPARATOR;

	memcpy(alone, p, (size_t) bytes);
	gm_word_begin(&iter, alone, bytes, length);
	if (gm_word_next(&iter, &word))
	{
		MUST(word.start == 0 && word.len == bytes && !word.joined);
		kind = word.single ? SINGLE : LETTER;
		MUST(!gm_word_next(&iter, &word));
	}
	free(alone);
	return kind;
}

/* words of the glossary, from the kinds of the characters */
static int
model_words(const char *text, int len, GmCharLength length, GmWord *words)
{
	int			n = 0;
	Kind		before = SEPARATOR;

	for (int at = 0, bytes; at < len; at += bytes)
	{
		Kind		kind;

		bytes = char_bytes(text + at, len - at, length);
		kind = kind_of(text + at, bytes, length);
		if (kind == LETTER && before == LETTER)
			words[n - 1].len += bytes;
		else if (kind != SEPARATOR)
			words[n++] = (GmWord) {at, bytes, kind == SINGLE, before != SEPARATOR};
		before = kind;
	}
	return n;
}

/* a run of characters of a script without spaces gives its neighbouring pairs, one alone itself */
static void
check_terms(const GmWord *words, int n)
{
	for (int i = 0, end; i < n; i = end)
	{
		int			len;

		end = i + 1;
		if (!words[i].single)
		{
			MUST(gm_word_term(words, n, i, &len) && len == words[i].len);
			continue;
		}
		while (end < n && words[end].single && words[end].joined)
			end++;
		if (end == i + 1)
			MUST(gm_word_term(words, n, i, &len) && len == words[i].len);
		else
		{
			for (int k = i; k < end - 1; k++)
				MUST(gm_word_term(words, n, k, &len) && len == words[k].len + words[k + 1].len);
			MUST(!gm_word_term(words, n, end - 1, &len));
		}
	}
}

static void
try_text(const char *text, int len, GmCharLength length)
{
	static GmWord model[MOST_BYTES];
	char	   *folded = malloc((size_t) len);
	int			folded_len = (int) gm_word_fold(text, (size_t) len, length, folded);
	char	   *whole = malloc((size_t) folded_len);
	char	   *again = malloc((size_t) folded_len);
	GmWord	   *words = malloc(((size_t) folded_len + 1) * sizeof(GmWord));
	GmWordIter	iter;
	int			n = 0;
	int			model_n;

	MUST(folded_len <= len);
	if (folded_len > 0)
		memcpy(whole, folded, (size_t) folded_len);
	MUST(gm_word_fold(whole, (size_t) folded_len, length, again) == (size_t) folded_len);
	MUST(folded_len == 0 || memcmp(whole, again, (size_t) folded_len) == 0);

	model_n = model_words(whole, folded_len, length, model);
	gm_word_begin(&iter, whole, folded_len, length);
	for (; gm_word_next(&iter, &words[n]); n++)
	{
		MUST(n < model_n);
		MUST(words[n].start == model[n].start && words[n].len == model[n].len &&
			 words[n].single == model[n].single && words[n].joined == model[n].joined);
	}
	MUST(n == model_n);
	MUST(!gm_word_next(&iter, &words[n]));
	check_terms(words, n);
	free(folded);
	free(whole);
	free(again);
	free(words);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int			len = size < 2 ? 0 : size - 1 > MOST_BYTES ? MOST_BYTES : (int) size - 1;
	char	   *text = malloc((size_t) len);

	if (len > 0)
		memcpy(text, data + 1, (size_t) len);
	try_text(text, len, size > 0 && (data[0] & 1) != 0 ? two_bytes : NULL);
	free(text);
	return 0;
}

static void
fuzz_seeds(void)
{
	static const char *const seeds[] = {
		"-Who built the Analytical Engine in 1843?", "-AC/DC und Über, naïve\xc2\xa0İstanbul",
		"-東京都の人 and タワー", "-Ά Ж Ÿ ﬀ Ⅷ 𠀀𠀁 ก็ดี", "1two\xc9\x41\xc9\xc9 \xff", "-\xf4\x8f\xbf\xbf\xed\xa0\x80\xe0\x80\x80"
	};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		fuzz_seed(seeds[i], strlen(seeds[i]));
}
