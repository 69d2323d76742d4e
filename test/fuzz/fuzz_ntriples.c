/*-------------------------------------------------------------------------
 *
 * fuzz_ntriples.c
 *	  Any bytes read as N-Triples.
 *
 * What must hold
 *	 again		a triple that was read, written and read again is the same
 *	 error		it names a line and column of the text, and ends the reading
 *	 bounds		nothing outside of text and room is touched (the sanitizer looks on)
 *
 *-------------------------------------------------------------------------
 */
#include "core/ntriples.h"
#include "fuzz.h"

static void
check_again(const GmNtTerm *terms)
{
	size_t		n[3];
	size_t		len = 0;
	size_t		at = 0;
	char	   *line;
	char	   *room;
	GmNtReader	again;

	for (int i = 0; i < 3; i++)
	{
		n[i] = terms[i].type != NULL ?
			gm_nt_put_literal(terms[i].value, terms[i].len, terms[i].type, terms[i].type_len, NULL) :
			gm_nt_put_name(terms[i].value, terms[i].len, i == 1, NULL);
		len += n[i] + 1;
	}
	line = malloc(len + 1);
	room = malloc(len + 1);
	for (int i = 0; i < 3; i++)
	{
		MUST((terms[i].type != NULL ?
			  gm_nt_put_literal(terms[i].value, terms[i].len, terms[i].type, terms[i].type_len,
								line + at) :
			  gm_nt_put_name(terms[i].value, terms[i].len, i == 1, line + at)) == n[i]);
		at += n[i];
		line[at++] = ' ';
	}
	line[at++] = '.';
	gm_nt_begin(&again, line, at, room);
	MUST(gm_nt_next(&again) == GM_NT_TRIPLE);
	for (int i = 0; i < 3; i++)
	{
		const GmNtTerm *a = &terms[i];
		const GmNtTerm *b = &again.terms[i];

		MUST(a->len == b->len && memcmp(a->value, b->value, a->len) == 0);
		MUST((a->type == NULL) == (b->type == NULL));
		MUST(a->type == NULL || (a->type_len == b->type_len &&
								 memcmp(a->type, b->type, a->type_len) == 0));
	}
	MUST(gm_nt_next(&again) == GM_NT_END);
	free(line);
	free(room);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = malloc(size);
	char	   *room = malloc(size);
	uint64_t	lines = 1;
	GmNtReader	reader;
	GmNtResult	result;

	if (size > 0)
		memcpy(text, data, size);
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n' || text[i] == '\r';
	gm_nt_begin(&reader, text, size, room);
	while ((result = gm_nt_next(&reader)) == GM_NT_TRIPLE)
	{
		MUST(reader.line >= 1 && reader.line <= lines);
		check_again(reader.terms);
	}
	if (result == GM_NT_ERROR)
	{
		MUST(reader.line >= 1 && reader.line <= lines && reader.expected != NULL);
		MUST(reader.column >= 1 && reader.column <= size + 1);
		MUST(reader.rest >= text && reader.rest + reader.rest_len <= text + size);
	}
	MUST(gm_nt_next(&reader) == GM_NT_END);
	free(text);
	free(room);
	return 0;
}

static void
fuzz_seeds(void)
{
	static const char *const seeds[] = {
		"<http://a/s> <http://a/p> <http://a/o> .\n# comment\r\n_:b1.x <p> \"a\\tb\\u00e9\\U0001F600\"@en-GB .",
		"<s><p>\"1\"^^<http://www.w3.org/2001/XMLSchema#string>. # x",
		"_:\xC3\xA9 <\\u0020> \"\\\"\\\\\"^^<t>.\r<a", "<s> <p> \"\xF4\x8F\xBF\xBF\xFF\x01\x7F\xEF\xBF\xBF\" ."
	};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		fuzz_seed(seeds[i], strlen(seeds[i]));
}
