/*-------------------------------------------------------------------------
 *
 * ntriples.c
 *	  Reading and writing N-Triples.
 *
 *-------------------------------------------------------------------------
 */
#include "core/ntriples.h"

#include <string.h>

#include "core/utf8.h"

/* ---- characters ---- */

/* The character at p, and its bytes; what is no UTF-8 counts byte by byte. */
static uint32_t
character(const char *p, size_t left, size_t *bytes)
{
	const unsigned char *s = (const unsigned char *) p;
	size_t		n = s[0] < 0xC0 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
	uint32_t	code = n == 1 ? s[0] : s[0] & (0x7Fu >> n);

	*bytes = 1;
	if (n > left)
		return s[0];
	for (size_t i = 1; i < n; i++)
	{
		if ((s[i] & 0xC0) != 0x80)
			return s[0];
		code = code << 6 | (s[i] & 0x3F);
	}
	*bytes = n;
	return code;
}

static bool
is_letter(uint32_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_digit(uint32_t c)
{
	return c >= '0' && c <= '9';
}

/* may begin a label of a blank node */
static bool
begins_label(uint32_t c)
{
	static const uint32_t ranges[][2] = {
		{0xC0, 0xD6}, {0xD8, 0xF6}, {0xF8, 0x2FF}, {0x370, 0x37D}, {0x37F, 0x1FFF},
		{0x200C, 0x200D}, {0x2070, 0x218F}, {0x2C00, 0x2FEF}, {0x3001, 0xD7FF},
		{0xF900, 0xFDCF}, {0xFDF0, 0xFFFD}, {0x10000, 0xEFFFF}
	};

	if (c < 0x80)
		return is_letter(c) || is_digit(c) || c == '_' || c == ':';
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return true;
	return false;
}

static bool
continues_label(uint32_t c)
{
	return begins_label(c) || c == '-' || c == 0xB7 || (c >= 0x300 && c <= 0x36F) ||
		c == 0x203F || c == 0x2040;
}

/* Bytes of the label at p; 0 if none is there. */
static size_t
label_length(const char *p, size_t left)
{
	size_t		at = 0;
	size_t		end = 0;

	while (at < left)
	{
		size_t		bytes;
		uint32_t	c = character(p + at, left - at, &bytes);

		if (at == 0 ? !begins_label(c) : c != '.' && !continues_label(c))
			break;
		at += bytes;
		/* a full stop at the end is the triple's */
		if (c != '.')
			end = at;
	}
	return end;
}

/* Bytes of the language tag at p, behind its @; 0 if none is there. */
static size_t
language_length(const char *p, size_t left)
{
	size_t		at = 0;
	size_t		end;

	while (at < left && is_letter((unsigned char) p[at]))
		at++;
	end = at;
	while (end > 0 && at < left && p[at] == '-')
	{
		size_t		start = ++at;

		while (at < left && (is_letter((unsigned char) p[at]) || is_digit((unsigned char) p[at])))
			at++;
		if (at == start)
			break;
		end = at;
	}
	return end;
}

static bool
forbidden_in_iri(unsigned char c)
{
	return c <= 0x20 || strchr("<>\"{}|^`\\", c) != NULL;
}

/* ---- reading ---- */

void
gm_nt_begin(GmNtReader *reader, const char *text, size_t len, char *room)
{
	memset(reader, 0, sizeof(*reader));
	reader->text = text;
	reader->len = len;
	reader->room = room;
	reader->next_line = 1;
}

static bool
fail(GmNtReader *r, size_t at, const char *expected)
{
	size_t		end = at;

	r->expected = expected;
	r->column = 1;
	for (size_t i = r->line_start; i < at; r->column++)
	{
		size_t		bytes;

		(void) character(r->text + i, r->len - i, &bytes);
		i += bytes;
	}
	while (end < r->len && r->text[end] != '\n' && r->text[end] != '\r')
		end++;
	r->rest = r->text + at;
	r->rest_len = end - at;
	return false;
}

static void
skip_blanks(GmNtReader *r)
{
	while (r->at < r->len && (r->text[r->at] == ' ' || r->text[r->at] == '\t'))
		r->at++;
}

static bool
at_line_end(const GmNtReader *r)
{
	return r->at == r->len || r->text[r->at] == '\n' || r->text[r->at] == '\r';
}

static void
next_line(GmNtReader *r)
{
	if (r->at + 1 < r->len && r->text[r->at] == '\r' && r->text[r->at + 1] == '\n')
		r->at++;
	r->at++;
	r->next_line++;
	r->line_start = r->at;
}

/* \uXXXX or \UXXXXXXXX; at its u */
static bool
read_code(GmNtReader *r)
{
	size_t		start = r->at - 1;
	int			digits = r->text[r->at++] == 'u' ? 4 : 8;
	uint32_t	code = 0;

	for (int i = 0; i < digits; i++)
	{
		char		c = r->at < r->len ? r->text[r->at] : '\0';
		uint32_t	digit;

		if (is_digit((unsigned char) c))
			digit = (uint32_t) (c - '0');
		else if (c >= 'A' && c <= 'F')
			digit = (uint32_t) (c - 'A' + 10);
		else if (c >= 'a' && c <= 'f')
			digit = (uint32_t) (c - 'a' + 10);
		else
			return fail(r, r->at, digits == 4 ? "four hexadecimal digits" :
						"eight hexadecimal digits");
		if (code > 0x10FFFF)
			return fail(r, start, "a character of Unicode");
		code = code << 4 | digit;
		r->at++;
	}
	if (code > 0x10FFFF)
		return fail(r, start, "a character of Unicode");
	if (code >= 0xD800 && code <= 0xDFFF)
		return fail(r, start, "a character, which a surrogate is not");
	if (code == 0)
		return fail(r, start, "a character other than NUL");
	r->to += gm_utf8_write(code, r->to);
	return true;
}

static bool
read_iri(GmNtReader *r, const char **value, size_t *len)
{
	*value = r->to;
	for (r->at++;; )
	{
		char		c;

		if (at_line_end(r))
			return fail(r, r->at, "\">\" at the end of the IRI");
		c = r->text[r->at];
		if (c == '>')
			break;
		if (c == '\\')
		{
			r->at++;
			if (r->at == r->len || (r->text[r->at] != 'u' && r->text[r->at] != 'U'))
				return fail(r, r->at - 1, "\\uXXXX or \\UXXXXXXXX");
			if (!read_code(r))
				return false;
			continue;
		}
		if (forbidden_in_iri((unsigned char) c))
			return fail(r, r->at, "a character that an IRI may have, or \">\"");
		*r->to++ = c;
		r->at++;
	}
	r->at++;
	*len = (size_t) (r->to - *value);
	return true;
}

static bool
read_blank(GmNtReader *r, GmNtTerm *term)
{
	size_t		n;

	if (r->at + 1 == r->len || r->text[r->at + 1] != ':')
		return fail(r, r->at + 1, "\":\" of a blank node");
	n = label_length(r->text + r->at + 2, r->len - r->at - 2);
	if (n == 0)
		return fail(r, r->at + 2, "the label of a blank node");
	term->value = r->text + r->at;
	term->len = n + 2;
	r->at += n + 2;
	return true;
}

static bool
read_string(GmNtReader *r, GmNtTerm *term)
{
	static const char escapes[] = "tbnrf\"'\\";
	static const char meant[] = "\t\b\n\r\f\"'\\";

	term->value = r->to;
	for (r->at++;; )
	{
		const char *escape;
		char		c;

		if (at_line_end(r))
			return fail(r, r->at, "a quotation mark at the end of the literal");
		c = r->text[r->at++];
		if (c == '\0')
			return fail(r, r->at - 1, "a character other than NUL");
		if (c == '"')
			break;
		if (c != '\\')
		{
			*r->to++ = c;
			continue;
		}
		c = r->at < r->len ? r->text[r->at] : '\0';
		if (c == 'u' || c == 'U')
		{
			if (!read_code(r))
				return false;
			continue;
		}
		escape = c == '\0' ? NULL : strchr(escapes, c);
		if (escape == NULL)
			return fail(r, r->at - 1, "one of \\t \\b \\n \\r \\f \\\" \\' \\\\ \\uXXXX \\UXXXXXXXX");
		*r->to++ = meant[escape - escapes];
		r->at++;
	}
	term->len = (size_t) (r->to - term->value);
	return true;
}

static bool
read_literal(GmNtReader *r, GmNtTerm *term)
{
	size_t		n;

	if (!read_string(r, term))
		return false;
	term->type = GM_NT_STRING;
	term->type_len = strlen(GM_NT_STRING);
	if (r->at < r->len && r->text[r->at] == '@')
	{
		n = language_length(r->text + r->at + 1, r->len - r->at - 1);
		if (n == 0)
			return fail(r, r->at + 1, "a language tag");
		term->type = r->text + r->at;
		term->type_len = n + 1;
		r->at += n + 1;
	}
	else if (r->at < r->len && r->text[r->at] == '^')
	{
		if (r->at + 1 == r->len || r->text[r->at + 1] != '^')
			return fail(r, r->at + 1, "\"^^\" and the IRI of a datatype");
		r->at += 2;
		if (r->at == r->len || r->text[r->at] != '<')
			return fail(r, r->at, "\"<\" of the IRI of a datatype");
		return read_iri(r, &term->type, &term->type_len);
	}
	return true;
}

static bool
read_term(GmNtReader *r, GmNtTerm *term, bool blank, bool literal, const char *expected)
{
	char		c;

	skip_blanks(r);
	memset(term, 0, sizeof(*term));
	c = r->at < r->len ? r->text[r->at] : '\0';
	if (c == '<')
		return read_iri(r, &term->value, &term->len);
	if (c == '_' && blank)
		return read_blank(r, term);
	if (c == '"' && literal)
		return read_literal(r, term);
	return fail(r, r->at, expected);
}

static bool
read_triple(GmNtReader *r)
{
	r->to = r->room;
	if (!read_term(r, &r->terms[0], true, false, "an IRI or a blank node as subject") ||
		!read_term(r, &r->terms[1], false, false, "an IRI as predicate") ||
		!read_term(r, &r->terms[2], true, true, "an IRI, a blank node or a literal as object"))
		return false;
	skip_blanks(r);
	if (r->at == r->len || r->text[r->at] != '.')
		return fail(r, r->at, "\".\" at the end of the triple");
	r->at++;
	skip_blanks(r);
	if (!at_line_end(r) && r->text[r->at] != '#')
		return fail(r, r->at, "a comment or the end of the line");
	return true;
}

GmNtResult
gm_nt_next(GmNtReader *r)
{
	while (r->at < r->len)
	{
		r->line = r->next_line;
		skip_blanks(r);
		if (!at_line_end(r) && r->text[r->at] != '#')
		{
			if (!read_triple(r))
			{
				r->at = r->len;
				return GM_NT_ERROR;
			}
			while (!at_line_end(r))
				r->at++;
			if (r->at < r->len)
				next_line(r);
			return GM_NT_TRIPLE;
		}
		while (!at_line_end(r))
			r->at++;
		if (r->at < r->len)
			next_line(r);
	}
	return GM_NT_END;
}

/* ---- writing ---- */

static size_t
put_bytes(const char *bytes, size_t n, char *to)
{
	if (to != NULL && n > 0)
		memcpy(to, bytes, n);
	return n;
}

static size_t
put_code(unsigned code, char *to)
{
	static const char digits[] = "0123456789ABCDEF";

	if (to != NULL)
	{
		memcpy(to, "\\u", 2);
		for (int i = 0; i < 4; i++)
			to[2 + i] = digits[code >> (12 - 4 * i) & 15];
	}
	return 6;
}

#define NEXT(to, n)		((to) == NULL ? NULL : (to) + (n))

static size_t
put_iri(const char *iri, size_t len, char *to)
{
	size_t		n = put_bytes("<", 1, to);

	for (size_t i = 0; i < len; i++)
		if (forbidden_in_iri((unsigned char) iri[i]) || iri[i] == 0x7F)
			n += put_code((unsigned char) iri[i], NEXT(to, n));
		else
			n += put_bytes(iri + i, 1, NEXT(to, n));
	return n + put_bytes(">", 1, NEXT(to, n));
}

/*
 * No colon in a label that is written: later versions of the grammar have
 * none there.
 */
static bool
is_blank_node(const char *name, size_t len)
{
	return len > 2 && name[0] == '_' && name[1] == ':' &&
		label_length(name + 2, len - 2) == len - 2 && memchr(name + 2, ':', len - 2) == NULL;
}

size_t
gm_nt_put_name(const char *name, size_t len, bool predicate, char *to)
{
	if (!predicate && is_blank_node(name, len))
		return put_bytes(name, len, to);
	return put_iri(name, len, to);
}

static size_t
put_string(const char *value, size_t len, char *to)
{
	static const char escaped[] = "\b\t\n\f\r\"\\";
	static const char letters[] = "btnfr\"\\";
	size_t		n = put_bytes("\"", 1, to);

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) value[i];
		const char *escape = c == '\0' ? NULL : strchr(escaped, c);

		if (escape != NULL)
		{
			n += put_bytes("\\", 1, NEXT(to, n));
			n += put_bytes(&letters[escape - escaped], 1, NEXT(to, n));
		}
		else if (c < 0x20 || c == 0x7F)
			n += put_code(c, NEXT(to, n));
		else if (c == 0xEF && len - i > 2 && memcmp(value + i, "\xEF\xBF\xBE", 3) == 0)
		{
			n += put_code(0xFFFE, NEXT(to, n));
			i += 2;
		}
		else if (c == 0xEF && len - i > 2 && memcmp(value + i, "\xEF\xBF\xBF", 3) == 0)
		{
			n += put_code(0xFFFF, NEXT(to, n));
			i += 2;
		}
		else
			n += put_bytes(value + i, 1, NEXT(to, n));
	}
	return n + put_bytes("\"", 1, NEXT(to, n));
}

size_t
gm_nt_put_literal(const char *value, size_t len, const char *type, size_t type_len, char *to)
{
	size_t		n = put_string(value, len, to);

	if (type_len == strlen(GM_NT_STRING) && memcmp(type, GM_NT_STRING, type_len) == 0)
		return n;
	if (type_len > 1 && type[0] == '@' && language_length(type + 1, type_len - 1) == type_len - 1)
		return n + put_bytes(type, type_len, NEXT(to, n));
	n += put_bytes("^^", 2, NEXT(to, n));
	return n + put_iri(type, type_len, NEXT(to, n));
}
