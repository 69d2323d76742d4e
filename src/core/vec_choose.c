/*-------------------------------------------------------------------------
 *
 * vec_choose.c
 *	  Which kernels this machine can run, of vectors and of codes, and the check
 *	  for NaN.
 *
 * That the CPU has an instruction is not enough: the operating system must
 * also save the registers it uses, which XCR0 tells.
 *
 *-------------------------------------------------------------------------
 */
#include "core/code.h"
#include "core/vec.h"

#include <string.h>

#ifdef GM_VEC_X86
#include <cpuid.h>
#endif

GmVecKernels gm_vec;
GmCodeKernels gm_code;

#ifdef GM_VEC_X86

/* Intel SDM vol. 1, section 13.3: state that XSAVE manages */
#define XCR0_AVX		UINT64_C(0x06)	/* xmm, upper halves of ymm */
#define XCR0_AVX512		UINT64_C(0xe6)	/* and masks, zmm, zmm16-31 */

static uint64_t
xcr0(void)
{
	uint32_t	low,
				high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t) high << 32 | low;
}

static bool
has_saved_state(uint64_t wanted)
{
	unsigned int a,
				b,
				c,
				d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE) != 0 &&
		(xcr0() & wanted) == wanted;
}

static bool
has_avx2(void)
{
	unsigned int a,
				b,
				c,
				d;

	return has_saved_state(XCR0_AVX) &&
		__get_cpuid(1, &a, &b, &c, &d) && (c & bit_FMA) != 0 &&
		__get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2) != 0;
}

static bool
has_avx512(void)
{
	unsigned int a,
				b,
				c,
				d;

	return has_saved_state(XCR0_AVX512) &&
		__get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX512F) != 0;
}

/* beside has_avx2() */
static bool
has_f16c(void)
{
	unsigned int a,
				b,
				c,
				d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}

/* beside has_avx512() */
static bool
has_avx512bw(bool *vnni)
{
	unsigned int a,
				b,
				c,
				d;

	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
		return false;
	*vnni = (c & bit_AVX512VNNI) != 0;
	return (b & bit_AVX512BW) != 0;
}

#endif							/* GM_VEC_X86 */

static const GmVecKernels *
best_kernels(void)
{
	static const GmSimd order[] = {
		GM_SIMD_AVX512, GM_SIMD_AVX2, GM_SIMD_NEON, GM_SIMD_SCALAR
	};
	const GmVecKernels *found = NULL;

	for (size_t i = 0; found == NULL; i++)
		found = gm_vec_kernels(order[i]);
	return found;
}

const GmVecKernels *
gm_vec_kernels(GmSimd which)
{
	switch (which)
	{
		case GM_SIMD_AUTO:
			return best_kernels();
		case GM_SIMD_SCALAR:
			return &gm_vec_scalar;
#ifdef GM_VEC_X86
		case GM_SIMD_AVX2:
			return has_avx2() ? &gm_vec_avx2 : NULL;
		case GM_SIMD_AVX512:
			return has_avx512() ? &gm_vec_avx512 : NULL;
#endif
#ifdef GM_VEC_NEON
		case GM_SIMD_NEON:
			return &gm_vec_neon;
#endif
		default:
			return NULL;
	}
}

const GmCodeKernels *
gm_code_kernels(GmSimd which)
{
	const GmVecKernels *vec = gm_vec_kernels(which);

	if (vec == NULL)
		return NULL;
#ifdef GM_VEC_X86
	if (vec == &gm_vec_avx512)
	{
		bool		vnni;

		if (has_avx512bw(&vnni))
			return vnni ? &gm_code_vnni : &gm_code_avx512;
		vec = has_avx2() ? &gm_vec_avx2 : &gm_vec_scalar;
	}
	if (vec == &gm_vec_avx2 && has_f16c())
		return &gm_code_avx2;
#endif
#ifdef GM_VEC_NEON
	if (vec == &gm_vec_neon)
		return &gm_code_neon;
#endif
	return &gm_code_scalar;
}

bool
gm_vec_choose(GmSimd want)
{
	const GmVecKernels *found = gm_vec_kernels(want);

	if (found == NULL)
		return false;
	gm_vec = *found;
	gm_code = *gm_code_kernels(want);
	return true;
}

/* Four floats' bits; the compiler maps it to what the machine has. */
typedef uint32_t Bits4 __attribute__((vector_size(16)));

#define EXPONENT		UINT32_C(0x7f800000)
#define EXPONENT_UNIT	UINT32_C(0x00800000)
#define SIGN_BIT		UINT32_C(0x80000000)

/*
 * Only in an infinity or a NaN are all bits of the exponent set; one more
 * then carries into the sign bit.
 */
static inline Bits4
carries(const char *p)
{
	Bits4		bits;

	memcpy(&bits, p, sizeof(bits));
	return (bits & EXPONENT) + EXPONENT_UNIT;
}

/* position of the first element from start on that is not finite, else dim */
static uint32_t
first_not_finite(const char *bytes, uint32_t start, uint32_t dim)
{
	uint32_t	i;

	for (i = start; i < dim; i++)
	{
		uint32_t	bits;

		memcpy(&bits, bytes + i * sizeof(bits), sizeof(bits));
		if ((bits & EXPONENT) == EXPONENT)
			break;
	}
	return i;
}

/* All of it without a branch: the bad one is looked for only if there is. */
bool
gm_vec_finite(const float *v, uint32_t dim, uint32_t *bad)
{
	const char *bytes = (const char *) v;
	const char *p = bytes;
	Bits4		any = {0};
	uint32_t	i = 0;

	for (; dim - i >= 8; i += 8, p += 8 * sizeof(float))
		any |= carries(p) | carries(p + sizeof(Bits4));
	if ((any[0] | any[1] | any[2] | any[3]) & SIGN_BIT)
		i = 0;
	i = first_not_finite(bytes, i, dim);
	if (i == dim)
		return true;
	*bad = i;
	return false;
}
