/*-------------------------------------------------------------------------
 *
 * utf8.h
 *	  Writing a character as UTF-8 (RFC 3629).
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_UTF8_H
#define GM_CORE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* code up to 0x10FFFF, at most four bytes; returns how many */
static inline size_t
gm_utf8_write(uint32_t code, char *to)
{
	if (code < 0x80)
	{
		to[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		to[0] = (char) (0xC0 | code >> 6);
		to[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		to[0] = (char) (0xE0 | code >> 12);
		to[1] = (char) (0x80 | (code >> 6 & 0x3F));
		to[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	to[0] = (char) (0xF0 | code >> 18);
	to[1] = (char) (0x80 | (code >> 12 & 0x3F));
	to[2] = (char) (0x80 | (code >> 6 & 0x3F));
	to[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

#endif							/* GM_CORE_UTF8_H */
