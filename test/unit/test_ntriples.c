/*-------------------------------------------------------------------------
 *
 * test_ntriples.c
 *	  Reading and writing N-Triples.
 *
 * Expected are terms and places of errors worked out by hand from the grammar;
 * random names and literals must come back as they were written.
 *
 *-------------------------------------------------------------------------
 */
#include "core/ntriples.h"
#include "unit.h"

#define XSD "http://www.w3.org/2001/XMLSchema#"

static GmNtReader reader;
static char room[4096];

static void
show_term(const GmNtTerm *term, char *to)
{
	to += sprintf(to, "[%.*s", (int) term->len, term->value);
	if (term->type != NULL)
		to += sprintf(to, "|%.*s", (int) term->type_len, term->type);
	sprintf(to, "]");
}

/* every triple of the text, its line before it, and its error behind all */
static void
check_read(const char *text, size_t len, const char *want)
{
	char		got[8192] = "";
	char	   *exact = malloc(len);
	GmNtResult	result;

	memcpy(exact, text, len);
	gm_nt_begin(&reader, exact, len, room);
	while ((result = gm_nt_next(&reader)) == GM_NT_TRIPLE)
	{
		sprintf(got + strlen(got), "%d", (int) reader.line);
		for (int i = 0; i < 3; i++)
			show_term(&reader.terms[i], got + strlen(got));
	}
	if (result == GM_NT_ERROR)
		sprintf(got + strlen(got), "error %d:%d %s", (int) reader.line, (int) reader.column,
				reader.expected);
	if (!CHECK(strcmp(got, want) == 0))
		printf("# of <<%s>>: <<%s>>, not <<%s>>\n", text, got, want);
	free(exact);
}

#define READ(text, want) check_read(text, sizeof(text) - 1, want)

static void
test_triples(void)
{
	READ("", "");
	READ("\n\r\n# comment\n  \t\n", "");
	READ("<s> <p> <o> .", "1[s][p][o]");
	READ("<s><p><o>.", "1[s][p][o]");
	READ("\t<s>\t<p>  <o>\t.\t# <a> <b> <c> .", "1[s][p][o]");
	READ("<s> <p> <o> .\n\n<s> <p> <o2> .\r\n<s> <p> <o3> .\r<s> <p> <o4> .",
		 "1[s][p][o]3[s][p][o2]4[s][p][o3]5[s][p][o4]");
	READ("_:a <p> _:b.c .", "1[_:a][p][_:b.c]");
	READ("_:a <p> _:b.", "1[_:a][p][_:b]");
	READ("_:a <p> _:b...", "error 1:13 a comment or the end of the line");
	READ("_:0:x <p> _:\xC3\xA9-\xC2\xB7 .", "1[_:0:x][p][_:\xC3\xA9-\xC2\xB7]");
	READ("<http://a/\\u00e9\\U0001F600> <\\u0020> <> .",
		 "1[http://a/\xC3\xA9\xF0\x9F\x98\x80][ ][]");
}

static void
test_literals(void)
{
	READ("<s> <p> \"\" .", "1[s][p][|" XSD "string]");
	READ("<s> <p> \"a\"^^<" XSD "string> .", "1[s][p][a|" XSD "string]");
	READ("<s> <p> \"1\"^^<t>.", "1[s][p][1|t]");
	READ("<s> <p> \"1\"^^<>.", "1[s][p][1|]");
	READ("<s> <p> \"a\"@en-GB-x1.", "1[s][p][a|@en-GB-x1]");
	READ("<s> <p> \"# \\t\\b\\n\\r\\f\\\"\\'\\\\\\u0041\\U0010FFFF.\" .",
		 "1[s][p][# \t\b\n\r\f\"'\\A\xF4\x8F\xBF\xBF.|" XSD "string]");
}

static void
test_errors(void)
{
	READ("s", "error 1:1 an IRI or a blank node as subject");
	READ("\"s\" <p> <o> .", "error 1:1 an IRI or a blank node as subject");
	READ("<s> _:p <o> .", "error 1:5 an IRI as predicate");
	READ("<s> <p> .", "error 1:9 an IRI, a blank node or a literal as object");
	READ("<s> <p> <o>", "error 1:12 \".\" at the end of the triple");
	READ("<s> <p> <o> . <x>", "error 1:15 a comment or the end of the line");
	READ("<s> <p> <o> .\n<\xC3\xA9> <p>\n<o> .",
		 "1[s][p][o]error 2:8 an IRI, a blank node or a literal as object");
	READ("<s b> <p> <o> .", "error 1:3 a character that an IRI may have, or \">\"");
	READ("<s", "error 1:3 \">\" at the end of the IRI");
	READ("<s\n> <p> <o> .", "error 1:3 \">\" at the end of the IRI");
	READ("<\\n> <p> <o> .", "error 1:2 \\uXXXX or \\UXXXXXXXX");
	READ("<s\\", "error 1:3 \\uXXXX or \\UXXXXXXXX");
	READ("<\\u00G0> <p> <o> .", "error 1:6 four hexadecimal digits");
	READ("<\\U0000004> <p> <o> .", "error 1:11 eight hexadecimal digits");
	READ("<\\uD800> <p> <o> .", "error 1:2 a character, which a surrogate is not");
	READ("<\\U00110000> <p> <o> .", "error 1:2 a character of Unicode");
	READ("<\\UFFFFFFFF> <p> <o> .", "error 1:2 a character of Unicode");
	READ("<s> <p> \"\\u0000\" .", "error 1:10 a character other than NUL");
	READ("<s> <p> \"\0\" .", "error 1:10 a character other than NUL");
	READ("<s> <p> \"a", "error 1:11 a quotation mark at the end of the literal");
	READ("<s> <p> \"a\\", "error 1:11 one of \\t \\b \\n \\r \\f \\\" \\' \\\\ \\uXXXX \\UXXXXXXXX");
	READ("<s> <p> \"\\x\" .", "error 1:10 one of \\t \\b \\n \\r \\f \\\" \\' \\\\ \\uXXXX \\UXXXXXXXX");
	READ("<s> <p> \"a\"@ .", "error 1:13 a language tag");
	READ("<s> <p> \"a\"@en- .", "error 1:15 \".\" at the end of the triple");
	READ("<s> <p> \"a\"^<t> .", "error 1:13 \"^^\" and the IRI of a datatype");
	READ("<s> <p> \"a\"^^t .", "error 1:14 \"<\" of the IRI of a datatype");
	READ("_ <p> <o> .", "error 1:2 \":\" of a blank node");
	READ("_:. <p> <o> .", "error 1:3 the label of a blank node");
	READ("_", "error 1:2 \":\" of a blank node");
}

static void
check_name(const char *name, bool predicate, const char *want)
{
	char		got[256];
	size_t		n = gm_nt_put_name(name, strlen(name), predicate, got);

	got[n] = '\0';
	CHECK(n == gm_nt_put_name(name, strlen(name), predicate, NULL));
	if (!CHECK(strcmp(got, want) == 0))
		printf("# of \"%s\": %s, not %s\n", name, got, want);
}

static void
check_literal(const char *value, const char *type, const char *want)
{
	char		got[256];
	size_t		n = gm_nt_put_literal(value, strlen(value), type, strlen(type), got);

	got[n] = '\0';
	CHECK(n == gm_nt_put_literal(value, strlen(value), type, strlen(type), NULL));
	if (!CHECK(strcmp(got, want) == 0))
		printf("# of \"%s\": %s, not %s\n", value, got, want);
}

static void
test_written(void)
{
	check_name("", false, "<>");
	check_name("http://a/b", false, "<http://a/b>");
	check_name("Ada Lovelace", false, "<Ada\\u0020Lovelace>");
	check_name("<>\"{}|^`\\\x01", false,
			   "<\\u003C\\u003E\\u0022\\u007B\\u007D\\u007C\\u005E\\u0060\\u005C\\u0001>");
	check_name("_:a.b", false, "_:a.b");
	check_name("_:a.b", true, "<_:a.b>");
	check_name("_:a.", false, "<_:a.>");
	check_name("_:a:b", false, "<_:a:b>");
	check_name("_:", false, "<_:>");
	check_name("_:a b", false, "<_:a\\u0020b>");
	check_literal("a\tb\"\\\n\x01\x7F'\xEF\xBF\xBF\xEF\xBF\xBD", XSD "string",
				  "\"a\\tb\\\"\\\\\\n\\u0001\\u007F'\\uFFFF\xEF\xBF\xBD\"");
	check_literal("a", "@de-AT", "\"a\"@de-AT");
	check_literal("a", "@", "\"a\"^^<@>");
	check_literal("a", "@de-", "\"a\"^^<@de->");
	check_literal("a", "@de_AT", "\"a\"^^<@de_AT>");
	check_literal("1", "xsd:int", "\"1\"^^<xsd:int>");
	check_literal("1", "", "\"1\"^^<>");
}

static size_t
random_text(char *to)
{
	static const char *const pieces[] = {
		"a", "Z", "0", "_:", "_", ":", ".", "-", "@", "en", "^^", "\"", "\\", "\\u0041", "<", ">", " ",
		"\t", "\n", "\r", "#", "{", "}", "|", "`", "\x01", "\x02", "\x7F", "\xC2\x85", "\xC3\xA9",
		"\xE2\x80\xA8", "\xEF\xBF\xBE", "\xEF\xBF\xBF", "\xEF\xBB\xBF", "\xF0\x9F\x98\x80", "'", XSD "string"
	};
	size_t		n = 0;

	for (uint32_t left = unit_random_below(6); left > 0; left--)
	{
		const char *piece = pieces[unit_random_below(sizeof(pieces) / sizeof(pieces[0]))];

		memcpy(to + n, piece, strlen(piece));
		n += strlen(piece);
	}
	return n;
}

static void
test_there_and_back(void)
{
	for (int round = 0; round < 200000; round++)
	{
		char		texts[4][256];
		size_t		len[4];
		char		line[8192];
		size_t		n = 0;
		bool		literal = unit_random_below(2) == 0;

		for (int i = 0; i < 4; i++)
			len[i] = random_text(texts[i]);
		n += gm_nt_put_name(texts[0], len[0], false, line);
		line[n++] = ' ';
		n += gm_nt_put_name(texts[1], len[1], true, line + n);
		line[n++] = ' ';
		n += literal ? gm_nt_put_literal(texts[2], len[2], texts[3], len[3], line + n) :
			gm_nt_put_name(texts[2], len[2], false, line + n);
		memcpy(line + n, " .", 2);
		n += 2;
		for (size_t i = 0; i < n; i++)
			CHECK((unsigned char) line[i] >= 0x20 && line[i] != 0x7F);
		REQUIRE(n <= sizeof(room));
		gm_nt_begin(&reader, line, n, room);
		REQUIRE(gm_nt_next(&reader) == GM_NT_TRIPLE);
		for (int i = 0; i < 3; i++)
			CHECK(reader.terms[i].len == len[i] &&
				  memcmp(reader.terms[i].value, texts[i], len[i]) == 0);
		CHECK((reader.terms[2].type != NULL) == literal);
		if (literal)
			CHECK(reader.terms[2].type_len == len[3] &&
				  memcmp(reader.terms[2].type, texts[3], len[3]) == 0);
		REQUIRE(gm_nt_next(&reader) == GM_NT_END);
	}
}

UNIT_MAIN(UNIT(test_triples), UNIT(test_literals), UNIT(test_errors), UNIT(test_written),
		  UNIT(test_there_and_back))
