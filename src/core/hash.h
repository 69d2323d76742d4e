/*-------------------------------------------------------------------------
 *
 * hash.h
 *	  64-bit hashes of bytes, the same on every machine: checksums of what is
 *	  in files, and whether a vector is still the one it was.
 *
 * XXH3 (Yann Collet), compiled in.  No protection against somebody who looks
 * for collisions: what a hash vouches for must be harmless if it is not so.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_HASH_H
#define GM_CORE_HASH_H

#include "core/base.h"

extern uint64_t gm_hash(const void *bytes, size_t n, uint64_t seed);

/* of its dimension too */
static inline uint64_t
gm_hash_vector(const float *vector, uint32_t dim)
{
	return gm_hash(vector, (size_t) dim * sizeof(float), dim);
}

#endif							/* GM_CORE_HASH_H */
