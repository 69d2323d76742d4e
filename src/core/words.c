/*-------------------------------------------------------------------------
 *
 * words.c
 *	  Cutting a text into words: see words.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/words.h"

#include <string.h>

#include "core/utf8.h"

#define COUNT(list)	(sizeof(list) / sizeof((list)[0]))

typedef struct CodeRange
{
	uint32_t	first;
	uint32_t	last;
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
	uint16_t	first;
	uint16_t	last;
	int16_t		distance;
	int16_t		step;
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

/*
 * Length of the character at p, of which left bytes are there, and its code
 * where that is known.  Bytes that begin no whole character count alone and as
 * letters, which have no code.
 */
#define NO_CODE	UINT32_MAX

static size_t
read_char(const char *p, size_t left, GmCharLength length, uint32_t *code)
{
	const unsigned char *c = (const unsigned char *) p;
	size_t		n;

	*code = c[0];
	if (c[0] < 0x80)
		return 1;
	*code = NO_CODE;
	if (length != NULL)
	{
		int			bytes = length(p);

		return bytes < 1 ? 1 : (size_t) bytes > left ? left : (size_t) bytes;
	}
	n = c[0] < 0xC2 ? 1 : c[0] < 0xE0 ? 2 : c[0] < 0xF0 ? 3 : c[0] < 0xF5 ? 4 : 1;
	if (n == 1 || n > left)
		return 1;
	*code = c[0] & (0xFF >> (n + 1));
	for (size_t i = 1; i < n; i++)
	{
		if ((c[i] & 0xC0) != 0x80)
		{
			*code = NO_CODE;
			return 1;
		}
		*code = *code << 6 | (c[i] & 0x3F);
	}
	if ((n == 3 && *code < 0x800) || (n == 4 && *code < 0x10000))
	{
		*code = NO_CODE;
		return 1;
	}
	return n;
}

static bool
in_ranges(uint32_t code, const CodeRange *ranges, size_t n)
{
	size_t		low = 0;
	size_t		high = n;

	while (low < high)
	{
		size_t		middle = (low + high) / 2;

		if (code > ranges[middle].last)
			low = middle + 1;
		else if (code < ranges[middle].first)
			high = middle;
		else
			return true;
	}
	return false;
}

static CharClass
char_class(uint32_t code)
{
	if (code < 0x80)
		return (code >= 'a' && code <= 'z') || (code >= '0' && code <= '9') ||
			(code >= 'A' && code <= 'Z') ? CHAR_LETTER : CHAR_SEPARATOR;
	if (code == NO_CODE)
		return CHAR_LETTER;
	if (in_ranges(code, separators, COUNT(separators)))
		return CHAR_SEPARATOR;
	return in_ranges(code, singles, COUNT(singles)) ? CHAR_SINGLE : CHAR_LETTER;
}

static uint32_t
lower_code(uint32_t code)
{
	size_t		low = 0;
	size_t		high = COUNT(capitals);

	if (code < 0x80)
		return code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
	while (low < high)
	{
		size_t		middle = (low + high) / 2;
		const CapitalRange *range = &capitals[middle];

		if (code > range->last)
			low = middle + 1;
		else if (code < range->first)
			high = middle;
		else
			return (code - range->first) % (uint32_t) range->step == 0 ?
				(uint32_t) ((int32_t) code + range->distance) : code;
	}
	return code;
}

size_t
gm_word_fold(const char *text, size_t len, GmCharLength length, char *to)
{
	char	   *out = to;

	for (size_t i = 0, step; i < len; i += step)
	{
		uint32_t	code;
		uint32_t	lower;

		step = read_char(text + i, len - i, length, &code);
		lower = code == NO_CODE ? code : lower_code(code);
		if (lower != code)
			out += gm_utf8_write(lower, out);
		else
		{
			memcpy(out, text + i, step);
			out += step;
		}
	}
	return (size_t) (out - to);
}

void
gm_word_begin(GmWordIter *iter, const char *folded, int len, GmCharLength length)
{
	*iter = (GmWordIter) {folded, len, 0, false, length};
}

bool
gm_word_next(GmWordIter *iter, GmWord *word)
{
	*word = (GmWord) {0};
	while (iter->at < iter->len)
	{
		uint32_t	code;
		int			step = (int) read_char(iter->text + iter->at, (size_t) (iter->len - iter->at),
										   iter->length, &code);
		CharClass	class = char_class(code);

		if (class != CHAR_LETTER && word->len > 0)
			return true;
		if (class != CHAR_SEPARATOR && word->len == 0)
			*word = (GmWord) {iter->at, 0, class == CHAR_SINGLE, iter->joined};
		iter->at += step;
		iter->joined = class != CHAR_SEPARATOR;
		if (class == CHAR_SEPARATOR)
			continue;
		word->len += step;
		if (class == CHAR_SINGLE)
			return true;
	}
	return word->len > 0;
}

bool
gm_word_term(const GmWord *words, int n, int i, int *len)
{
	const GmWord *word = &words[i];

	*len = word->len;
	if (!word->single)
		return true;
	if (i + 1 < n && word[1].single && word[1].joined)
	{
		*len += word[1].len;
		return true;
	}
	return !(word->joined && i > 0 && word[-1].single);
}
