/*-------------------------------------------------------------------------
 *
 * code_private.h
 *	  What code.c and the kernels of codes share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_CODE_PRIVATE_H
#define GM_CORE_CODE_PRIVATE_H

#include <string.h>

#include "core/code.h"

/* in place; for code.c and tests */
extern void gm_code_rotate(float *x, uint32_t dim);

/*
 * A finite binary16.  The product gives numbers below 2^-14 the exponent they
 * have, without a branch.
 */
static inline float
gm_code_from_f16(uint16_t half)
{
	uint32_t	bits = (uint32_t) (half & 0x7fff) << 13;
	uint32_t	sign = (uint32_t) (half & 0x8000) << 16;
	float		x;

	memcpy(&x, &bits, sizeof(x));
	x *= 0x1p112f;
	memcpy(&bits, &x, sizeof(x));
	bits |= sign;
	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* every line of a code and of its tail */
static inline __attribute__((always_inline)) void
gm_code_fetch(const void *code, uint32_t bytes)
{
	uintptr_t	line = (uintptr_t) code & ~(uintptr_t) 63;
	uintptr_t	end = (uintptr_t) code + bytes;

	for (; line < end; line += 64)
		gm_prefetch((const void *) line);
}

static inline uint32_t
gm_code_fetched(const GmQuery *query)
{
	return query->coder->tail + (uint32_t) sizeof(GmCodeTail);
}

#endif							/* GM_CORE_CODE_PRIVATE_H */
