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
//   v_pow2(s)                         2^n rounded; s = V_POW2_SHIFT + n, n a multiple of 1 / V_POW2_STEPS,
//                                     V_POW2_MIN <= n <= V_POW2_MAX
//   v_pow2_fraction(s)                2^(n - floor(n)) rounded
//   v_pow2_excess(s)                  v_pow2(s) / 2^n - 1
//   v_ldexp(a, n)                     a * 2^floor(n), rounded once; n such a multiple, |n| <= -2 V_POW2_MIN
//   v_lookup(t, v_index(a, k))        t[bits k .. k+3 of a] of 16 elements; only where FR_LOOKUP: AVX-512, float32
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
#define FR_ALIGNED __attribute__((aligned(64)))
#define FR_ALIGNED __attribute__((aligned(64)))

// V_POW2_SHIFT is 1.5 * 2^(mantissa bits) / V_POW2_STEPS. Adding it to a small number rounds that to a multiple n of
// 1 / V_POW2_STEPS and leaves n in the low bits, from where v_pow2 shifts its integer part into the exponent field. The
// exponent bias comes from the table of fractions or, where there is none, with V_POW2_SHIFT.
#if defined(FR_ISA_AVX512)
#define V_POW2_STEPS 16
#define FR_LOOKUP (FR_REAL_BITS == 32)
#else
#define V_POW2_STEPS 1
#define FR_LOOKUP 0
#endif

#if FR_REAL_BITS == 32
typedef float real;
#define FR_MANTISSA_BITS 23
#define V_POW2_MIN (-126)
#else
typedef double real;
#define FR_MANTISSA_BITS 52
#define V_POW2_MIN (-1022)
#endif
#define V_POW2_MAX ((real)(2 - V_POW2_MIN - 1.0 / V_POW2_STEPS))
#define V_POW2_SHIFT \
    ((real)(1.5 * ((int64_t)1 << FR_MANTISSA_BITS) / V_POW2_STEPS + (V_POW2_STEPS == 1 ? 1 - V_POW2_MIN : 0)))

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
#if defined(FR_ISA_AVX2)

FR_INLINE vec v_copysign(vec mag, vec sign)
{
    return FR_X86(or)(FR_X86(andnot)(v_sign_mask(), mag), FR_X86(and)(v_sign_mask(), sign));
}
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

// fr_pow2_bits[j]: the bits of 2^(j/16), less j where v_pow2 adds it again.  fr_pow2_excess[j]: their error
#if FR_REAL_BITS == 32
typedef __mmask16 fr_mask;
#define FR_X86_INT(op) _mm512_##op##_epi32
#define FR_X86_CAST_INT _mm512_castps_si512
#define FR_X86_CAST_REAL _mm512_castsi512_ps
FR_INLINE fr_mask v_less(vec x, vec y) { return _mm512_cmp_ps_mask(x, y, _CMP_LT_OQ); }
FR_INLINE vec v_lookup(const real *t, __m512i index) { return _mm512_permutexvar_ps(index, v_load(t)); }
static const uint32_t fr_pow2_bits[16] FR_ALIGNED = {
    0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
    0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d,
};
static const real fr_pow2_excess[16] FR_ALIGNED = {
    0, -0x1.8d96d4p-25f, 0x1.9c0c22p-27f, -0x1.964904p-25f, -0x1.125002p-25f, -0x1.370be4p-25f,
    0x1.0a355p-25f, 0x1.00d8acp-27f, -0x1.26055cp-26f, 0x1.05cb44p-25f, -0x1.67a1cap-28f, -0x1.a3b5e4p-28f,
    0x1.f9c304p-27f, 0x1.6961b4p-28f, 0x1.a5217cp-28f, -0x1.61428ep-28f,
};
#else
typedef __mmask8 fr_mask;
#define FR_X86_INT(op) _mm512_##op##_epi64
#define FR_X86_CAST_INT _mm512_castpd_si512
#define FR_X86_CAST_REAL _mm512_castsi512_pd
FR_INLINE fr_mask v_less(vec x, vec y) { return _mm512_cmp_pd_mask(x, y, _CMP_LT_OQ); }
FR_INLINE vec v_lookup(const real *t, __m512i index)
{
    return _mm512_permutex2var_pd(v_load(t), index, v_load(t + VL));
}
static const uint64_t fr_pow2_bits[16] FR_ALIGNED = {
    0x3ff0000000000000, 0x3fefb5586cf9890f, 0x3fef72b83c7d517b, 0x3fef387a6e756238,
    0x3fef06fe0a31b715, 0x3feedea64c123422, 0x3feebfdad5362a27, 0x3feeab07dd485429,
    0x3feea09e667f3bcd, 0x3feea11473eb0187, 0x3feeace5422aa0db, 0x3feec49182a3f090,
    0x3feee89f995ad3ad, 0x3fef199bdd85529c, 0x3fef5818dcfba487, 0x3fefa4afa2a490da,
};
static const real fr_pow2_excess[16] FR_ALIGNED = {
    0, -0x1.79aa65d837b6dp-54, 0x1.01b15eaa59348p-55, -0x1.68efde3a8a894p-54,
    -0x1.34d754db0abb6p-55, -0x1.59f48a72a4c6dp-55, -0x1.690cebb7aafbp-56, -0x1.063e1e21c5409p-54,
    0x1.3b3efbf5e2228p-54, 0x1.b32dcb94da51dp-56, -0x1.db72fc1f0eab4p-55, -0x1.1affc2b91ce27p-56,
    -0x1.c1a7792cb3387p-55, -0x1.36eae30af0cb3p-56, -0x1.4a385a63d07a7p-56, 0x1.ff7128fd391fp-55,
};
#endif

FR_INLINE __m512i v_bits(vec a) { return FR_X86_CAST_INT(a); }
FR_INLINE __m512i v_index(vec a, unsigned bit) { return FR_X86_INT(srli)(v_bits(a), bit); }
FR_INLINE vec v_pow2_of_bits(__m512i n)
{
    const __m512i base = v_bits(v_lookup((const real *)fr_pow2_bits, n));
    return FR_X86_CAST_REAL(FR_X86_INT(add)(base, FR_X86_INT(slli)(n, FR_MANTISSA_BITS - 4)));
}
FR_INLINE vec v_pow2(vec shifted) { return v_pow2_of_bits(v_bits(shifted)); }
FR_INLINE vec v_pow2_fraction(vec shifted)
{
    return v_pow2_of_bits(_mm512_and_si512(v_bits(shifted), FR_X86_INT(set1)(15)));
}
FR_INLINE vec v_pow2_excess(vec shifted) { return v_lookup(fr_pow2_excess, v_bits(shifted)); }
FR_INLINE vec v_copysign(vec mag, vec sign)
{
    enum { PICK = 0xd8 };  // bit by bit, mask ? sign : mag
    return FR_X86_CAST_REAL(FR_X86_INT(ternarylogic)(v_bits(mag), v_bits(sign), v_bits(v_sign_mask()), PICK));
}

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
FR_INLINE vec v_pow2_fraction(vec shifted) { (void)shifted; return v_set1(1); }
FR_INLINE vec v_pow2_excess(vec shifted) { (void)shifted; return v_zero(); }
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
