// exp, sigmoid and tanh of a vector: one text for every instruction set and both types. No branch, no table, at most
// one division. Lanes do not influence each other, so an element has the same bits in any lane, body or tail.
//
// Reduction (Cody & Waite 1980): n = round(x / ln 2), r = x - n ln 2 in two steps, |r| <= 0.5 ln 2, and then
//   expm1(r) = r + r^2 q(r), q a minimax polynomial for the relative error of expm1: degree 4 (float32, 2^-25.7) or
//   degree 9 (float64, 2^-55).
//   exp(x)     = 2^n (1 + expm1(r))
//   sigmoid(x) = 1 / (1 + e) or, for x < 0, e / (1 + e), where e = exp(-|x|): accurate in both tails
//   tanh(x)    = t / (t + 2) with the sign of x, where t = expm1(2 |x|) = 2^n expm1(r) + (2^n - 1): accurate near 0
//
// Largest error in ulp of the result, where argument and result are normal numbers; with and without FTZ/DAZ.
// float32: every argument with 2^-17 <= |x| < 128, a thousandth of the others; float64: 6e7 arguments of all exponents.
//                            exp   sigmoid   tanh
//   float32  scalar          1.06      2.41   2.61    (without fma)
//   float32  AVX2, AVX-512   1.09      2.41   2.58
//   float64  scalar          1.07      2.42   2.53    (without fma)
//   float64  AVX2, AVX-512   1.10      2.42   2.51
// NEON does the operations of AVX2 in the same order.
//
// Special values:
//              NaN   -inf   -0   +0   +inf   always
//   exp        NaN    0      1    1    inf   >= 0
//   sigmoid    NaN    0     0.5  0.5    1    in [0, 1]; results below 2^-126.5 (float64: 2^-1022.5) are 0
//   tanh       NaN   -1     -0   +0     1    in [-1, 1]; odd; subnormal x gives x, or under DAZ 0 of its sign
// exp underflows gradually to 0 unless FTZ is set, and overflows to inf.
#ifndef FR_MATH_H
#define FR_MATH_H

#include "fr_simd.h"

// n times FR_LN2_HIGH is exact without fma: 15 bits (float64: 41) leave room for those of n.
// FR_EXP_MIN, FR_EXP_MAX: exp is 0 below and inf above.  FR_EXP_FLUSH: n is V_POW2_ZERO there, and e = 0.
// FR_TANH_ONE: t + 2 rounds to t there.
#if FR_REAL_BITS == 32
#define FR_LN2_HIGH 0x1.62e4p-1f
#define FR_LN2_LOW 0x1.7f7d1cp-20f
#define FR_EXP_MAX 90.0f
#define FR_EXP_MIN (-105.0f)
#define FR_EXP_FLUSH (-88.0f)
#define FR_TANH_ONE 10.0f
#else
#define FR_LN2_HIGH 0x1.62e42fefa4p-1
#define FR_LN2_LOW (-0x1.8432a1b0e2634p-43)
#define FR_EXP_MAX 710.0
#define FR_EXP_MIN (-746.0)
#define FR_EXP_FLUSH (-709.0)
#define FR_TANH_ONE 20.0
#endif
#define FR_LOG2_E ((real)0x1.71547652b82fep+0)

// x = n ln 2 + r
typedef struct {
    vec shifted;  // V_POW2_SHIFT + n, the argument of v_pow2
    vec n;
    vec expm1_r;
} fr_reduced;

// q(r) = (expm1(r) - r) / r^2, even and odd powers side by side
FR_INLINE vec fr_expm1_tail(vec r, vec r2)
{
#if FR_REAL_BITS == 32
    vec even = v_fma(v_set1(0x1.6bebfep-10f), r2, v_set1(0x1.555674p-5f));
    vec odd = v_fma(v_set1(0x1.1227bp-7f), r2, v_set1(0x1.5554bp-3f));
    even = v_fma(even, r2, v_set1(0x1.fffffep-2f));
#else
    vec even = v_fma(v_set1(0x1.28a2066132debp-22), r2, v_set1(0x1.a019a74aa628ap-16));
    vec odd = v_fma(v_set1(0x1.ae6ba9a8923p-26), r2, v_set1(0x1.71de88260b2cbp-19));
    even = v_fma(even, r2, v_set1(0x1.6c16c17ee714fp-10));
    odd = v_fma(odd, r2, v_set1(0x1.a01a0174fad84p-13));
    even = v_fma(even, r2, v_set1(0x1.555555555228fp-5));
    odd = v_fma(odd, r2, v_set1(0x1.1111111119011p-7));
    even = v_fma(even, r2, v_set1(0x1.0000000000004p-1));
    odd = v_fma(odd, r2, v_set1(0x1.5555555555539p-3));
#endif
    return v_fma(odd, r, even);
}

// |x| < 2^(mantissa bits - 2); NaN stays NaN in expm1_r
FR_INLINE fr_reduced fr_reduce(vec x)
{
    const vec shift = v_set1(V_POW2_SHIFT);
    fr_reduced z;
    z.shifted = v_fma(x, v_set1(FR_LOG2_E), shift);
    z.n = v_sub(z.shifted, shift);
    vec r = v_fnma(z.n, v_set1(FR_LN2_HIGH), x);
    r = v_fnma(z.n, v_set1(FR_LN2_LOW), r);
    const vec r2 = v_mul(r, r);
    z.expm1_r = v_fma(fr_expm1_tail(r, r2), r2, r);
    return z;
}

// v_min and v_max hand on their second argument where it is NaN.
FR_INLINE vec fr_exp(vec x)
{
    const vec clamped = v_max(v_set1(FR_EXP_MIN), v_min(v_set1(FR_EXP_MAX), x));
    const fr_reduced z = fr_reduce(clamped);
    return v_ldexp(v_add(v_set1(1), z.expm1_r), z.n);
}

FR_INLINE vec fr_sigmoid(vec x)
{
    const vec one = v_set1(1);
    const fr_reduced z = fr_reduce(v_max(v_set1(FR_EXP_FLUSH), v_neg(v_abs(x))));
    const vec scale = v_pow2(z.shifted);
#if FR_FUSED
    const vec e = v_fma(scale, z.expm1_r, scale);
#else  // scale * expm1_r may be subnormal where e is not, and FTZ would lose it
    const vec e = v_mul(scale, v_add(one, z.expm1_r));
#endif
    return v_div(v_select_lt(x, v_zero(), e, one), v_add(one, e));
}

FR_INLINE vec fr_tanh(vec x)
{
    const vec mag = v_min(v_set1(FR_TANH_ONE), v_abs(x));
    const fr_reduced z = fr_reduce(v_add(mag, mag));
    const vec scale = v_pow2(z.shifted);
    const vec t = v_fma(scale, z.expm1_r, v_sub(scale, v_set1(1)));
    return v_copysign(v_div(t, v_add(t, v_set1(2))), x);
}

#endif
