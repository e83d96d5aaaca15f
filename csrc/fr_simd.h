// One vocabulary of vectors for every instruction set and both floating point types.
//
// A translation unit defines exactly one of FR_ISA_SCALAR, FR_ISA_AVX2, FR_ISA_AVX512 or FR_ISA_NEON, and FR_REAL_BITS
// as 32 or 64, before it includes this header. It then has
//
//   real                    float or double
//   vec                     a vector of VL lanes of real (FR_ISA_SCALAR: one lane)
//   FR_FUSED                1 where v_fma and v_fnma round once, 0 where they round twice
//
//   v_zero() v_set1(s)
//   v_load(p) v_store(p, a)           VL elements, any alignment
//   v_loadn(p, n) v_storen(p, a, n)   the first n elements only, 0 < n <= VL; memory past them is not touched,
//                                     and loaded lanes past them are 0
//   v_add v_sub v_mul v_div           lane by lane, rounded to nearest
//   v_fma(a, b, c)                    a * b + c
//   v_fnma(a, b, c)                   c - a * b
//   v_neg v_abs v_copysign(mag, sign) the sign bit only: NaN and zeros included
//   v_min(a, b) v_max(a, b)           a < b ? a : b and a > b ? a : b, so the result is b where either is NaN
//   v_round(a)                        to the nearest integer, ties to even
//   v_select_gt0(s, a, b)             s > 0 ? a : b
//   v_select_lt(x, y, a, b)           x < y ? a : b
//   v_pow2(s)                         2^n for s = V_POW2_SHIFT + n, V_POW2_ZERO <= n <= -V_POW2_ZERO; 0 at V_POW2_ZERO
//   v_ldexp(a, n)                     a * 2^n, rounded once, for an integer n with |n| < -2 V_POW2_ZERO
//
// Every function is static and always inlined: no copy compiled for one machine can be linked into code for another.
// No intrinsic appears outside this file.
#ifndef FR_SIMD_H
#define FR_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(FR_ISA_SCALAR) + defined(FR_ISA_AVX2) + defined(FR_ISA_AVX512) + defined(FR_ISA_NEON) != 1
#error "define exactly one of FR_ISA_SCALAR, FR_ISA_AVX2, FR_ISA_AVX512, FR_ISA_NEON"
#endif
#if FR_REAL_BITS != 32 && FR_REAL_BITS != 64
#error "define FR_REAL_BITS as 32 or 64"
#endif

#define FR_INLINE static inline __attribute__((always_inline))

// V_POW2_SHIFT is 1.5 * 2^(mantissa bits) + exponent bias. Adding it to a small number rounds that number to an integer
// n, and leaves n + bias in the low bits, from where v_pow2 shifts them into the exponent field.
#if FR_REAL_BITS == 32
typedef float real;
#define FR_MANTISSA_BITS 23
#define V_POW2_SHIFT ((real)(0x1.8p23 + 127))
#define V_POW2_ZERO (-127)
#else
typedef double real;
#define FR_MANTISSA_BITS 52
#define V_POW2_SHIFT ((real)(0x1.8p52 + 1023))
#define V_POW2_ZERO (-1023)
#endif

// ---- scalar
#if defined(FR_ISA_SCALAR)

#define VL 1
typedef real vec;

#if FR_REAL_BITS == 32
typedef uint32_t fr_bits;
#define FR_BUILTIN(name) __builtin_##name##f
#else
typedef uint64_t fr_bits;
#define FR_BUILTIN(name) __builtin_##name
#endif

#if (FR_REAL_BITS == 32 && defined(__FP_FAST_FMAF)) || (FR_REAL_BITS == 64 && defined(__FP_FAST_FMA))
#define FR_FUSED 1
FR_INLINE vec v_fma(vec a, vec b, vec c) { return FR_BUILTIN(fma)(a, b, c); }
FR_INLINE vec v_fnma(vec a, vec b, vec c) { return FR_BUILTIN(fma)(-a, b, c); }
#else
#define FR_FUSED 0
FR_INLINE vec v_fma(vec a, vec b, vec c) { return a * b + c; }
FR_INLINE vec v_fnma(vec a, vec b, vec c) { return c - a * b; }
#endif

FR_INLINE vec v_zero(void) { return 0; }
FR_INLINE vec v_set1(real s) { return s; }
FR_INLINE vec v_load(const real *p) { return *p; }
FR_INLINE void v_store(real *p, vec a) { *p = a; }
FR_INLINE vec v_loadn(const real *p, ptrdiff_t n) { (void)n; return *p; }
FR_INLINE void v_storen(real *p, vec a, ptrdiff_t n) { (void)n; *p = a; }
FR_INLINE vec v_add(vec a, vec b) { return a + b; }
FR_INLINE vec v_sub(vec a, vec b) { return a - b; }
FR_INLINE vec v_mul(vec a, vec b) { return a * b; }
FR_INLINE vec v_div(vec a, vec b) { return a / b; }
FR_INLINE vec v_min(vec a, vec b) { return a < b ? a : b; }
FR_INLINE vec v_max(vec a, vec b) { return a > b ? a : b; }
FR_INLINE vec v_neg(vec a) { return -a; }
FR_INLINE vec v_abs(vec a) { return FR_BUILTIN(fabs)(a); }
FR_INLINE vec v_copysign(vec mag, vec sign) { return FR_BUILTIN(copysign)(mag, sign); }
FR_INLINE vec v_select_gt0(vec s, vec a, vec b) { return s > 0 ? a : b; }
FR_INLINE vec v_select_lt(vec x, vec y, vec a, vec b) { return x < y ? a : b; }

// Adding and subtracting 2^(mantissa bits) leaves no fraction; numbers from there on have none.
FR_INLINE vec v_round(vec a)
{
    const real whole = (real)((int64_t)1 << FR_MANTISSA_BITS);
    const real mag = v_abs(a);
    return mag < whole ? v_copysign((mag + whole) - whole, a) : a;
}

FR_INLINE vec v_pow2(vec shifted)
{
    fr_bits bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits <<= FR_MANTISSA_BITS;
    memcpy(&shifted, &bits, sizeof bits);
    return shifted;
}

// ---- AVX2 and AVX-512
#elif defined(FR_ISA_AVX2) || defined(FR_ISA_AVX512)

#include <immintrin.h>

#define FR_FUSED 1

#if defined(FR_ISA_AVX2) && FR_REAL_BITS == 32
#define VL 8
typedef __m256 vec;
#define FR_X86(op) _mm256_##op##_ps
#elif defined(FR_ISA_AVX2)
#define VL 4
typedef __m256d vec;
#define FR_X86(op) _mm256_##op##_pd
#elif FR_REAL_BITS == 32
#define VL 16
typedef __m512 vec;
#define FR_X86(op) _mm512_##op##_ps
#else
#define VL 8
typedef __m512d vec;
#define FR_X86(op) _mm512_##op##_pd
#endif

FR_INLINE vec v_zero(void) { return FR_X86(setzero)(); }
FR_INLINE vec v_set1(real s) { return FR_X86(set1)(s); }
FR_INLINE vec v_load(const real *p) { return FR_X86(loadu)(p); }
FR_INLINE void v_store(real *p, vec a) { FR_X86(storeu)(p, a); }
FR_INLINE vec v_add(vec a, vec b) { return FR_X86(add)(a, b); }
FR_INLINE vec v_sub(vec a, vec b) { return FR_X86(sub)(a, b); }
FR_INLINE vec v_mul(vec a, vec b) { return FR_X86(mul)(a, b); }
FR_INLINE vec v_div(vec a, vec b) { return FR_X86(div)(a, b); }
FR_INLINE vec v_fma(vec a, vec b, vec c) { return FR_X86(fmadd)(a, b, c); }
FR_INLINE vec v_fnma(vec a, vec b, vec c) { return FR_X86(fnmadd)(a, b, c); }
FR_INLINE vec v_min(vec a, vec b) { return FR_X86(min)(a, b); }
FR_INLINE vec v_max(vec a, vec b) { return FR_X86(max)(a, b); }

FR_INLINE vec v_sign_mask(void) { return v_set1((real)-0.0); }
FR_INLINE vec v_neg(vec a) { return FR_X86(xor)(a, v_sign_mask()); }
FR_INLINE vec v_abs(vec a) { return FR_X86(andnot)(v_sign_mask(), a); }
FR_INLINE vec v_copysign(vec mag, vec sign)
{
    return FR_X86(or)(FR_X86(andnot)(v_sign_mask(), mag), FR_X86(and)(v_sign_mask(), sign));
}

#if defined(FR_ISA_AVX2)

#if FR_REAL_BITS == 32
FR_INLINE __m256i v_first(ptrdiff_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FR_INLINE vec v_pow2(vec shifted)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(shifted), FR_MANTISSA_BITS));
}
#else
FR_INLINE __m256i v_first(ptrdiff_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
FR_INLINE vec v_pow2(vec shifted)
{
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(shifted), FR_MANTISSA_BITS));
}
#endif

FR_INLINE vec v_loadn(const real *p, ptrdiff_t n) { return FR_X86(maskload)(p, v_first(n)); }
FR_INLINE void v_storen(real *p, vec a, ptrdiff_t n) { FR_X86(maskstore)(p, v_first(n), a); }
FR_INLINE vec v_round(vec a) { return FR_X86(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
FR_INLINE vec v_select_lt(vec x, vec y, vec a, vec b)
{
    return FR_X86(blendv)(b, a, FR_X86(cmp)(x, y, _CMP_LT_OQ));
}

#else  // FR_ISA_AVX512

#if FR_REAL_BITS == 32
typedef __mmask16 fr_mask;
FR_INLINE fr_mask v_less(vec x, vec y) { return _mm512_cmp_ps_mask(x, y, _CMP_LT_OQ); }
FR_INLINE vec v_pow2(vec shifted)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(shifted), FR_MANTISSA_BITS));
}
#else
typedef __mmask8 fr_mask;
FR_INLINE fr_mask v_less(vec x, vec y) { return _mm512_cmp_pd_mask(x, y, _CMP_LT_OQ); }
FR_INLINE vec v_pow2(vec shifted)
{
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(shifted), FR_MANTISSA_BITS));
}
#endif

FR_INLINE fr_mask v_first(ptrdiff_t n) { return (fr_mask)((1u << n) - 1u); }
FR_INLINE vec v_loadn(const real *p, ptrdiff_t n) { return FR_X86(maskz_loadu)(v_first(n), p); }
FR_INLINE void v_storen(real *p, vec a, ptrdiff_t n) { FR_X86(mask_storeu)(p, v_first(n), a); }
FR_INLINE vec v_round(vec a) { return FR_X86(roundscale)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
FR_INLINE vec v_select_lt(vec x, vec y, vec a, vec b) { return FR_X86(mask_blend)(v_less(x, y), b, a); }

#endif

FR_INLINE vec v_select_gt0(vec s, vec a, vec b) { return v_select_lt(v_zero(), s, a, b); }

// ---- NEON
#else

#include <arm_neon.h>

#define FR_FUSED 1

#if FR_REAL_BITS == 32
#define VL 4
typedef float32x4_t vec;
typedef uint32x4_t fr_mask;
#define FR_NEON(op) op##_f32
#define FR_NEON_N(op) op##_n_f32
FR_INLINE fr_mask v_to_bits(vec a) { return vreinterpretq_u32_f32(a); }
FR_INLINE vec v_from_bits(fr_mask a) { return vreinterpretq_f32_u32(a); }
FR_INLINE fr_mask v_sign_mask(void) { return vdupq_n_u32(UINT32_C(1) << 31); }
FR_INLINE vec v_pow2(vec shifted) { return v_from_bits(vshlq_n_u32(v_to_bits(shifted), FR_MANTISSA_BITS)); }
#else
#define VL 2
typedef float64x2_t vec;
typedef uint64x2_t fr_mask;
#define FR_NEON(op) op##_f64
#define FR_NEON_N(op) op##_n_f64
FR_INLINE fr_mask v_to_bits(vec a) { return vreinterpretq_u64_f64(a); }
FR_INLINE vec v_from_bits(fr_mask a) { return vreinterpretq_f64_u64(a); }
FR_INLINE fr_mask v_sign_mask(void) { return vdupq_n_u64(UINT64_C(1) << 63); }
FR_INLINE vec v_pow2(vec shifted) { return v_from_bits(vshlq_n_u64(v_to_bits(shifted), FR_MANTISSA_BITS)); }
#endif

FR_INLINE vec v_set1(real s) { return FR_NEON_N(vdupq)(s); }
FR_INLINE vec v_zero(void) { return v_set1(0); }
FR_INLINE vec v_load(const real *p) { return FR_NEON(vld1q)(p); }
FR_INLINE void v_store(real *p, vec a) { FR_NEON(vst1q)(p, a); }
FR_INLINE vec v_loadn(const real *p, ptrdiff_t n)
{
    real lanes[VL] = {0};
    for (ptrdiff_t lane = 0; lane < n; ++lane) lanes[lane] = p[lane];
    return v_load(lanes);
}
FR_INLINE void v_storen(real *p, vec a, ptrdiff_t n)
{
    real lanes[VL];
    v_store(lanes, a);
    for (ptrdiff_t lane = 0; lane < n; ++lane) p[lane] = lanes[lane];
}
FR_INLINE vec v_add(vec a, vec b) { return FR_NEON(vaddq)(a, b); }
FR_INLINE vec v_sub(vec a, vec b) { return FR_NEON(vsubq)(a, b); }
FR_INLINE vec v_mul(vec a, vec b) { return FR_NEON(vmulq)(a, b); }
FR_INLINE vec v_div(vec a, vec b) { return FR_NEON(vdivq)(a, b); }
FR_INLINE vec v_fma(vec a, vec b, vec c) { return FR_NEON(vfmaq)(c, a, b); }
FR_INLINE vec v_fnma(vec a, vec b, vec c) { return FR_NEON(vfmsq)(c, a, b); }
FR_INLINE vec v_neg(vec a) { return FR_NEON(vnegq)(a); }
FR_INLINE vec v_abs(vec a) { return FR_NEON(vabsq)(a); }
FR_INLINE vec v_copysign(vec mag, vec sign) { return FR_NEON(vbslq)(v_sign_mask(), sign, mag); }
FR_INLINE vec v_round(vec a) { return FR_NEON(vrndnq)(a); }
FR_INLINE vec v_select_lt(vec x, vec y, vec a, vec b) { return FR_NEON(vbslq)(FR_NEON(vcltq)(x, y), a, b); }
FR_INLINE vec v_select_gt0(vec s, vec a, vec b) { return v_select_lt(v_zero(), s, a, b); }
// vminq and vmaxq return NaN where either argument is NaN; the vocabulary asks for b.
FR_INLINE vec v_min(vec a, vec b) { return v_select_lt(a, b, a, b); }
FR_INLINE vec v_max(vec a, vec b) { return v_select_lt(b, a, a, b); }

#endif

// ---- all ISAs
#if defined(FR_ISA_AVX512)
FR_INLINE vec v_ldexp(vec a, vec n) { return FR_X86(scalef)(a, n); }
#else
// In two halves, each a normal number, so that subnormal and overflowing results are rounded once.
FR_INLINE vec v_ldexp(vec a, vec n)
{
    const vec shift = v_set1(V_POW2_SHIFT);
    const vec half = v_fma(n, v_set1((real)0.5), shift);
    const vec rest = v_sub(n, v_sub(half, shift));
    return v_mul(v_mul(a, v_pow2(half)), v_pow2(v_add(rest, shift)));
}
#endif

#endif
