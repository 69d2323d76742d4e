/*-------------------------------------------------------------------------
 *
 * unit.h
 *	  Checks, a seeded random generator and TAP output for the C unit tests.
 *
 * A test file defines static void functions that call CHECK, lists them in
 * one UNIT_MAIN and is one program:
 *
 *		static void
 *		test_empty(void)
 *		{
 *			CHECK(1 + 1 == 2);
 *			CHECK_NEAR(0.1 + 0.2, 0.3, 1e-12);
 *		}
 *
 *		UNIT_MAIN(UNIT(test_empty), UNIT(test_other))
 *
 * A failed check is reported and the function goes on; the program exits
 * with 1 if any check failed.  UNIT_SEED in the environment replays a run;
 * UNIT_ONLY runs the one test of that name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_TEST_UNIT_H
#define GM_TEST_UNIT_H

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reports per test beyond this many are counted, not printed. */
#define UNIT_MAX_REPORTS	20

typedef struct UnitTest
{
	const char *name;
	void		(*run) (void);
} UnitTest;

static unsigned long unit_failures;	/* of the test now running */
static uint64_t unit_state;

static inline bool
unit_check(bool ok, const char *file, int line, const char *what)
{
	if (!ok && unit_failures++ < UNIT_MAX_REPORTS)
		printf("# %s:%d: %s\n", file, line, what);
	return ok;
}

/* NaN is near nothing; equal infinities are near. */
static inline bool
unit_check_near(double got, double want, double tolerance,
				const char *file, int line, const char *what)
{
	bool		ok = got == want || fabs(got - want) <= tolerance;

	if (!ok && unit_failures++ < UNIT_MAX_REPORTS)
		printf("# %s:%d: %s: got %.17g, want %.17g within %.3g\n",
			   file, line, what, got, want, tolerance);
	return ok;
}

/* Both give the verdict back, so that a test can print its own context. */
#define CHECK(cond)		unit_check((cond), __FILE__, __LINE__, #cond)
#define CHECK_NEAR(got, want, tolerance) \
	unit_check_near((got), (want), (tolerance), __FILE__, __LINE__, \
					#got " near " #want)

/* Stops the test now running, for checks that the rest depends on. */
#define REQUIRE(cond) \
	do { \
		if (!CHECK(cond)) \
			return; \
	} while (0)

/* xorshift64*: the same numbers for the same seed on every machine */
static inline uint64_t
unit_random(void)
{
	unit_state ^= unit_state >> 12;
	unit_state ^= unit_state << 25;
	unit_state ^= unit_state >> 27;
	return unit_state * UINT64_C(2685821657736338717);
}

/* in [0, n); n must not be 0 */
static inline uint32_t
unit_random_below(uint32_t n)
{
	return (uint32_t) (((unit_random() >> 32) * n) >> 32);
}

/* in [0, 1) */
static inline double
unit_random_double(void)
{
	return (double) (unit_random() >> 11) * 0x1p-53;
}

static inline int
unit_main(const UnitTest *tests, size_t count)
{
	const char *only = getenv("UNIT_ONLY");
	const char *given = getenv("UNIT_SEED");
	uint64_t	seed = given ? strtoull(given, NULL, 0) : 1;
	size_t		failed = 0;

	if (seed == 0)
		seed = 1;				/* xorshift never leaves 0 */
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%zu\n# UNIT_SEED=%" PRIu64 "\n", count, seed);
	for (size_t i = 0; i < count; i++)
	{
		if (only != NULL && strcmp(only, tests[i].name) != 0)
		{
			printf("ok %zu - %s # SKIP UNIT_ONLY\n", i + 1, tests[i].name);
			continue;
		}
		unit_failures = 0;
		unit_state = seed;
		tests[i].run();
		if (unit_failures > UNIT_MAX_REPORTS)
			printf("# %lu checks failed\n", unit_failures);
		printf("%sok %zu - %s\n", unit_failures ? "not " : "", i + 1,
			   tests[i].name);
		failed += unit_failures != 0;
	}
	return failed != 0;
}

#define UNIT(function)	{#function, function}

#define UNIT_MAIN(...) \
int \
main(void) \
{ \
	static const UnitTest tests[] = {__VA_ARGS__}; \
	\
	return unit_main(tests, sizeof(tests) / sizeof(tests[0])); \
}

#endif							/* GM_TEST_UNIT_H */
