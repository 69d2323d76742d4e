/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  What the fuzz targets share: reading an input piece by piece, ending on
 *	  what must not be, and writing the first inputs.
 *
 * A target defines LLVMFuzzerTestOneInput and fuzz_seeds.  Run with FUZZ_SEEDS
 * naming a directory it writes its first inputs there and ends; otherwise it
 * is a program of libFuzzer, which takes directories of inputs, or one input
 * to be run again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_TEST_FUZZ_H
#define GM_TEST_FUZZ_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int	LLVMFuzzerInitialize(int *argc, char ***argv);
extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_seeds(void);

/* not an assert: the message names the target's own condition, and is never compiled out */
#define MUST(cond) \
	do { \
		if (!(cond)) \
		{ \
			fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

/* an input; once it is used up, zeroes */
typedef struct Input
{
	const uint8_t *at;
	size_t		left;
} Input;

static inline uint8_t
take_byte(Input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

static inline void
take_bytes(Input *in, void *to, size_t n)
{
	size_t		have = n < in->left ? n : in->left;

	if (n == 0)
		return;
	memset(to, 0, n);
	if (have > 0)
		memcpy(to, in->at, have);
	in->at += have;
	in->left -= have;
}

static inline uint64_t
take_u64(Input *in)
{
	uint64_t	value;

	take_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint32_t
take_below(Input *in, uint32_t n)
{
	uint32_t	value = take_byte(in);

	if (n > 256)
		value = value << 8 | take_byte(in);
	return value % n;
}

static inline void
fuzz_seed(const void *bytes, size_t n)
{
	static int	number;
	char		name[4096];
	FILE	   *file;

	snprintf(name, sizeof(name), "%s/seed-%d", getenv("FUZZ_SEEDS"), number++);
	file = fopen(name, "wb");
	MUST(file != NULL);
	MUST(fwrite(bytes, 1, n, file) == n);
	MUST(fclose(file) == 0);
}

/* bytes without a pattern, the same ones in every run */
static inline void
fuzz_noise(uint32_t seed, uint8_t *to, size_t n)
{
	uint64_t	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < n; i += sizeof(state))
	{
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		memcpy(to + i, &state, n - i < sizeof(state) ? n - i : sizeof(state));
	}
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	if (getenv("FUZZ_SEEDS") != NULL)
	{
		fuzz_seeds();
		exit(0);
	}
	return 0;
}

#endif							/* GM_TEST_FUZZ_H */
