/*-------------------------------------------------------------------------
 *
 * test_words.c
 *	  Cutting texts into words and terms.
 *
 * Expected are the terms, a space behind each, worked out by hand.
 *
 *-------------------------------------------------------------------------
 */
#include "core/words.h"
#include "unit.h"

#define MOST	64

static int
two_bytes(const char *p)
{
	return (unsigned char) *p < 0x80 ? 1 : 2;
}

static void
terms_of(const char *text, GmCharLength length, char *terms)
{
	size_t		len = strlen(text);
	char		folded[256];
	GmWordIter	iter;
	GmWord		words[MOST];
	int			n = 0;
	int			folded_len = (int) gm_word_fold(text, len, length, folded);

	CHECK(folded_len <= (int) len);
	gm_word_begin(&iter, folded, folded_len, length);
	while (n < MOST && gm_word_next(&iter, &words[n]))
		n++;
	for (int i = 0; i < n; i++)
	{
		int			bytes;

		if (!gm_word_term(words, n, i, &bytes))
			continue;
		memcpy(terms, folded + words[i].start, (size_t) bytes);
		terms += bytes;
		*terms++ = ' ';
	}
	*terms = '\0';
}

static void
check_terms(const char *text, GmCharLength length, const char *want)
{
	char		got[512];

	terms_of(text, length, got);
	if (!CHECK(strcmp(got, want) == 0))
		printf("# of \"%s\": \"%s\", not \"%s\"\n", text, got, want);
}

static void
test_utf8(void)
{
	static const struct
	{
		const char *text;
		const char *terms;
	}			cases[] = {
		{"", ""},
		{" ,;. ", ""},
		{"AC/DC", "ac dc "},
		{"The Who", "the who "},
		{"x2 3D", "x2 3d "},
		{"a_b", "a b "},
		{"Über straße", "über straße "},
		{"ΆΣ Ж Ÿ İ", "άσ ж ÿ i "},
		{"Ā ā", "ā ā "},
		{"naïve\xc2\xa0now", "naïve now "},
		{"it\xe2\x80\x99s", "it s "},
		{"東京", "東京 "},
		{"東京都", "東京 京都 "},
		{"東", "東 "},
		{"東 京", "東 京 "},
		{"東、京都", "東 京都 "},
		{"a東b", "a 東 b "},
		{"a東京b", "a 東京 b "},
		{"ab東京都12", "ab 東京 京都 12 "},
		{"\xf0\xa0\x80\x80\xf0\xa0\x80\x81", "\xf0\xa0\x80\x80\xf0\xa0\x80\x81 "},

		/* bytes that no character begins with are letters */
		{"\x80 \xff", "\x80 \xff "},
		{"a\xc3", "a\xc3 "},
		{"\xe6\x9d", "\xe6\x9d "},
		{"\xc1\x81\xe0\x81\x81", "\xc1\x81\xe0\x81\x81 "},
		{"\xf4\x90\x80 B", "\xf4\x90\x80 b "}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_terms(cases[i].text, NULL, cases[i].terms);
}

static void
test_other_encodings(void)
{
	check_terms("A\xc9\x41 B", two_bytes, "a\xc9\x41 b ");
	check_terms("x\xc9", two_bytes, "x\xc9 ");
	check_terms("\xe6\x9d\xb1\xe4", two_bytes, "\xe6\x9d\xb1\xe4 ");
}

static void
test_joined(void)
{
	GmWordIter	iter;
	GmWord		word;
	const char *text = "ab 東c";

	gm_word_begin(&iter, text, (int) strlen(text), NULL);
	CHECK(gm_word_next(&iter, &word) && word.start == 0 && word.len == 2 && !word.single &&
		  !word.joined);
	CHECK(gm_word_next(&iter, &word) && word.start == 3 && word.len == 3 && word.single &&
		  !word.joined);
	CHECK(gm_word_next(&iter, &word) && word.start == 6 && word.len == 1 && !word.single &&
		  word.joined);
	CHECK(!gm_word_next(&iter, &word));
}

/* every capital's small letter is its own, and no longer */
static void
test_fold_twice(void)
{
	for (uint32_t code = 0x80; code < 0x30000; code++)
	{
		char		text[4];
		char		once[4];
		char		twice[4];
		size_t		len = 0;
		size_t		n;

		if (code >= 0x10000)
			text[len++] = (char) (0xF0 | code >> 18);
		if (code >= 0x800)
			text[len++] = (char) ((code >= 0x10000 ? 0x80 | (code >> 12 & 0x3F) : 0xE0 | code >> 12));
		text[len] = (char) (code >= 0x800 ? 0x80 | (code >> 6 & 0x3F) : 0xC0 | code >> 6);
		len++;
		text[len++] = (char) (0x80 | (code & 0x3F));
		n = gm_word_fold(text, len, NULL, once);
		CHECK(n >= 1 && n <= len);
		CHECK(gm_word_fold(once, n, NULL, twice) == n && memcmp(once, twice, n) == 0);
	}
}

UNIT_MAIN(UNIT(test_utf8), UNIT(test_other_encodings), UNIT(test_joined), UNIT(test_fold_twice))
