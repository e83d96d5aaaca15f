// exp, sigmoid and tanh of a vector. No branch, at most one division. Lanes do not influence each other, so an element
// has the same bits in any lane, body or tail.
//
// Reduction (Cody & Waite 1980; with a table, Tang 1989): x = n ln 2 + r, n the multiple of 1/S nearest to x / ln 2,
// |r| <= 0.5 ln 2 / S. S = V_POW2_STEPS is 16 with AVX-512, whose 2^(j/16) are one permutation, and 1 elsewhere. Then
//   expm1(r) = r + r^2 q(r), q a minimax polynomial. S = 1: degree 4 (float32), 2^-25.7, or 9 (float64), 2^-55, of
//   expm1. S = 16: degree 1 (float32), 2^-29 relative to exp, or 5 (float64), 2^-58 relative to expm1.
//   exp(x)     = 2^n (1 + expm1(r))
//   sigmoid(x) = 1 / (1 + exp(-x)) = 1 / (2^n + 1 + 2^n expm1(r)), n and r those of -x: accurate in both tails
//   tanh(x)    = t / (t + 2) with the sign of x, where t = expm1(2 |x|) = 2^n expm1(r) + (2^n - 1): accurate near 0
//   tanh(x)    AVX-512, float32: 16 polynomials of degree 5, relative error 2^-24.4
//
// Largest error in ulp of the result, where argument and result are normal numbers; with and without FTZ/DAZ.
// float32: every argument with 2^-17 <= |x| < 128, one in 500 of the others; float64: 1e8 arguments of all exponents.
//                            exp   sigmoid   tanh
//   float32  scalar          1.06      2.45   2.61    (without fma)
//   float32  AVX2            1.09      2.45   2.58
//   float32  AVX-512         0.99      2.64   2.10
//   float64  scalar          1.09      1.85   2.61    (without fma)
//   float64  AVX2            1.10      1.84   2.57
//   float64  AVX-512         1.02      2.52   3.44
// NEON does the operations of AVX2 in the same order.
//
// Special values:
//              NaN   -inf   -0   +0   +inf   always
//   exp        NaN    0      1    1    inf   >= 0
//   sigmoid    NaN    0     0.5  0.5    1    in [0, 1]
//   tanh       NaN   -1     -0   +0     1    in [-1, 1]; odd; subnormal x gives x, or under DAZ 0 of its sign
// exp and sigmoid underflow gradually to 0 unless FTZ is set; exp overflows to inf.
#ifndef FR_MATH_H
#define FR_MATH_H

#include "fr_simd.h"

// FR_LN2_HIGH: ln 2 rounded, or without fma so short (15 bits; float64: 41) that n times it is exact.
// FR_EXP_MIN, FR_EXP_MAX: exp is 0 below and inf above.  FR_SIGMOID_ONE: 1 + exp(-x) rounds to 1 there.
// FR_TANH_ONE: t + 2 rounds to t there, and the last polynomial to 1.
#if FR_REAL_BITS == 32
#define FR_EXP_MAX 90.0f
#define FR_EXP_MIN (-105.0f)
#define FR_TANH_ONE 9.25f
#if FR_FUSED
#define FR_LN2_HIGH 0x1.62e43p-1f
#define FR_LN2_LOW (-0x1.05c61p-29f)
#else
#define FR_LN2_HIGH 0x1.62e4p-1f
#define FR_LN2_LOW 0x1.7f7d1cp-20f
#endif
#else
#define FR_EXP_MAX 710.0
#define FR_EXP_MIN (-746.0)
#define FR_TANH_ONE 20.0
#if FR_FUSED
#define FR_LN2_HIGH 0x1.62e42fefa39efp-1
#define FR_LN2_LOW 0x1.abc9e3b39803fp-56
#else
#define FR_LN2_HIGH 0x1.62e42fefa4p-1
#define FR_LN2_LOW (-0x1.8432a1b0e2634p-43)
#endif
#endif
#define FR_SIGMOID_ONE 40
#define FR_LOG2_E 0x1.71547652b82fep+0

// V_POW2_SHIFT + n of factor * x
FR_INLINE vec fr_steps(vec x, const double factor)
{
    return v_fma(x, v_set1((real)(factor * FR_LOG2_E)), v_set1(V_POW2_SHIFT));
}

FR_INLINE vec fr_steps_n(vec steps) { return v_sub(steps, v_set1(V_POW2_SHIFT)); }

// q(sign * r), even and odd powers side by side
FR_INLINE vec fr_expm1_tail(vec r, vec r2, const int sign)
{
#if FR_REAL_BITS == 32 && V_POW2_STEPS == 16
    const vec even = v_set1(0x1.00022p-1f), odd = v_set1(0x1.55563ep-3f);
#elif FR_REAL_BITS == 32
    vec even = v_fma(v_set1(0x1.6bebfep-10f), r2, v_set1(0x1.555674p-5f));
    vec odd = v_fma(v_set1(0x1.1227bp-7f), r2, v_set1(0x1.5554bp-3f));
    even = v_fma(even, r2, v_set1(0x1.fffffep-2f));
#elif V_POW2_STEPS == 16
    vec even = v_fma(v_set1(0x1.6c17ed5c1f49ep-10), r2, v_set1(0x1.55555554e93b7p-5));
    vec odd = v_fma(v_set1(0x1.a01b0c3c80bbcp-13), r2, v_set1(0x1.11111110e1059p-7));
    even = v_fma(even, r2, v_set1(0x1.0000000000001p-1));
    odd = v_fma(odd, r2, v_set1(0x1.5555555555556p-3));
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
    (void)r2;
    return sign < 0 ? v_fnma(odd, r, even) : v_fma(odd, r, even);
}

// v_min and v_max hand on their second argument where it is NaN.
FR_INLINE vec fr_exp(vec x)
{
    const vec clamped = v_max(v_set1(FR_EXP_MIN), v_min(v_set1(FR_EXP_MAX), x));
    const vec steps = fr_steps(clamped, 1), n = fr_steps_n(steps);
    const vec r = v_fnma(n, v_set1(FR_LN2_LOW), v_fnma(n, v_set1(FR_LN2_HIGH), clamped)), r2 = v_mul(r, r);
    const vec expm1_r = v_fma(fr_expm1_tail(r, r2, 1), r2, r), scale = v_pow2_fraction(steps);
    return v_ldexp(v_fma(scale, expm1_r, scale), n);
}

// n stops at V_POW2_MAX and r does not: expm1(r) then grows until the denominator is inf.
FR_INLINE vec fr_sigmoid(vec x)
{
    const vec one = v_set1(1), below = v_min(v_set1(FR_SIGMOID_ONE), x);
    const vec steps = fr_steps(v_max(v_set1((real)(-V_POW2_MAX / FR_LOG2_E)), below), -1), n = fr_steps_n(steps);
    const vec minus_r = v_fma(n, v_set1(FR_LN2_LOW), v_fma(n, v_set1(FR_LN2_HIGH), below));
    const vec r2 = v_mul(minus_r, minus_r), minus_expm1_r = v_fnma(fr_expm1_tail(minus_r, r2, -1), r2, minus_r);
    const vec scale = v_pow2(steps);
    return v_div(one, v_fnma(scale, minus_expm1_r, v_add(scale, one)));
}

#if FR_LOOKUP

// tanh(m + d) = c0 + c1 d + ... + c5 d^5, minimax in each of 16 intervals. They part where |x| + FR_TANH_OFFSET has
// another exponent or other first two bits of mantissa, the index. The first is |x| < 1/8, with m = c0 = 0 and c1 = 1.
// Every m stands near the middle, where tanh(m) is a float32 but for 2^-11 ulp, the last 2^-2.5 (Gal 1986).
#define FR_TANH_OFFSET 0.625f
#define FR_TANH_INDEX_BIT 21
static const real fr_tanh_table[7][16] FR_ALIGNED = {
    // m
    {0x1.a037e8p+0f, 0x1.105bd8p+1f, 0x1.501f78p+1f, 0x1.9050dp+1f, 0x1.efedf8p+1f, 0x1.385c6p+2f, 0x1.785498p+2f,
     0x1.b7d858p+2f, 0x1.0ba24p+3f, 0, 0x1.7ffaa8p-3f, 0x1.3fb598p-2f, 0x1.ff9e4p-2f, 0x1.804c7p-1f, 0x1.ff6efp-1f,
     0x1.3fac18p+0f},
    // c0
    {0x1.d9d70ap-1f, 0x1.f1adap-1f, 0x1.faaa3p-1f, 0x1.fe0966p-1f, 0x1.ff8f02p-1f, 0x1.fff0e4p-1f, 0x1.fffdf4p-1f,
     0x1.ffffb8p-1f, 0x1.fffffcp-1f, 0, 0x1.7b8adp-3f, 0x1.35b5f2p-2f, 0x1.d8e85ap-2f, 0x1.455fd4p-1f, 0x1.85b2b2p-1f,
     0x1.b2232p-1f},
    // c1
    {0x1.25e73ep-3f, 0x1.c3e316p-5f, 0x1.53ac98p-6f, 0x1.f5a366p-8f, 0x1.c3c932p-10f, 0x1.e37e42p-13f,
     0x1.06025ep-15f, 0x1.2001aap-18f, 0x1.d4d22p-23f, 1, 0x1.ee6a5ep-1f, 0x1.d129e8p-1f, 0x1.92cccep-1f,
     0x1.3139c6p-1f, 0x1.aec772p-2f, 0x1.1fc4e2p-2f},
    // c2
    {-0x1.10034ep-3f, -0x1.b73d44p-5f, -0x1.501df8p-6f, -0x1.f3ae6p-8f, -0x1.c2d86p-10f, -0x1.e2d308p-13f,
     -0x1.05ac94p-15f, -0x1.1fa58p-18f, -0x1.14865ap-23f, 0x1.4ef002p-22f, -0x1.6e81a8p-3f, -0x1.19610ap-2f,
     -0x1.740a38p-2f, -0x1.83f094p-2f, -0x1.47e164p-2f, -0x1.e80412p-3f},
    // c3
    {0x1.33943cp-4f, 0x1.145626p-5f, 0x1.b6cafep-7f, 0x1.4a8c42p-8f, 0x1.2c0be6p-10f, 0x1.419b22p-13f,
     0x1.5cae82p-16f, 0x1.7f95bp-19f, 0x1.2bc9aep-23f, -0x1.555b2ep-2f, -0x1.27a908p-2f, -0x1.c1fda8p-3f,
     -0x1.82eec6p-4f, 0x1.585fcep-5f, 0x1.a7dbdap-4f, 0x1.bbe912p-4f},
    // c4
    {-0x1.97286ep-6f, -0x1.ea51d6p-7f, -0x1.a7ee88p-8f, -0x1.48ed5ep-9f, -0x1.393972p-11f, -0x1.5140bcp-14f,
     -0x1.6dcb5ep-17f, -0x1.922756p-20f, -0x1.70e1acp-23f, 0x1.efcc36p-12f, 0x1.ce5cfap-4f, 0x1.430c28p-3f,
     0x1.4f1fc6p-3f, 0x1.97bc42p-4f, 0x1.d0e71cp-6f, -0x1.8dc01p-7f},
    // c5
    {0x1.2045cep-10f, 0x1.23d37ap-8f, 0x1.3546d2p-9f, 0x1.ffad4ep-11f, 0x1.f072eap-13f, 0x1.107206p-15f,
     0x1.277fe4p-18f, 0x1.400384p-21f, 0x1.49be58p-25f, 0x1.0a35fp-3f, 0x1.939efep-4f, 0x1.6a6dd8p-5f,
     -0x1.a46cf6p-6f, -0x1.03f184p-4f, -0x1.7bb408p-5f, -0x1.3e47a4p-6f},
};

FR_INLINE vec fr_tanh(vec x)
{
    const vec mag = v_min(v_set1(FR_TANH_ONE), v_abs(x)), place = v_add(mag, v_set1(FR_TANH_OFFSET));
#define FR_TANH_ENTRY(k) v_lookup(fr_tanh_table[k], v_index(place, FR_TANH_INDEX_BIT))
    const vec d = v_sub(mag, FR_TANH_ENTRY(0)), d2 = v_mul(d, d);
    const vec c45 = v_fma(FR_TANH_ENTRY(6), d, FR_TANH_ENTRY(5));
    const vec c23 = v_fma(FR_TANH_ENTRY(4), d, FR_TANH_ENTRY(3));
    const vec c01 = v_fma(FR_TANH_ENTRY(2), d, FR_TANH_ENTRY(1));
#undef FR_TANH_ENTRY
    return v_copysign(v_fma(v_fma(c45, d2, c23), d2, c01), x);
}

#else

// The low part of n ln 2 does not count where n > 0: n ln 2 <= 2 FR_TANH_ONE, and dtanh/tanh = dr / sinh(2 |x|).
FR_INLINE vec fr_tanh(vec x)
{
    const vec mag = v_min(v_set1(FR_TANH_ONE), v_abs(x));
    const vec steps = fr_steps(mag, 2), n = fr_steps_n(steps);
    vec r = v_fnma(n, v_set1(FR_LN2_HIGH), v_add(mag, mag));
    if (!FR_FUSED) r = v_fnma(n, v_set1(FR_LN2_LOW), r);
    const vec r2 = v_mul(r, r), scale = v_pow2(steps);
    const vec expm1_r = v_fma(fr_expm1_tail(r, r2, 1), r2, v_sub(r, v_pow2_excess(steps)));
    const vec t = v_fma(scale, expm1_r, v_sub(scale, v_set1(1)));
    return v_copysign(v_div(t, v_add(t, v_set1(2))), x);
}

#endif
#endif
