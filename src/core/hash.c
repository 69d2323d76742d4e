/*-------------------------------------------------------------------------
 *
 * hash.c
 *	  64-bit hashes of bytes: see hash.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/hash.h"

/* all of it static here: nothing is linked, and nothing exported */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t
gm_hash(const void *bytes, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, n, seed);
}
