// The activations of variants and their derivatives, through the kernels of an Elman network, against libm in double.
#include <float.h>

#include "cells.h"
#include "check.h"
#include "row.h"

static const struct {
    const char *name;
    fr_activation f;
    int cancels;  // the value is a sum of terms of any sign: no relative error where it is near 0
} activations[] = {
    {"sigmoid", {FR_A_SIGMOID, 0, 0}, 0},
    {"tanh", {FR_A_TANH, 0, 0}, 0},
    {"relu", {FR_A_RELU, 0, 0}, 0},
    {"affine", {FR_A_AFFINE, 1.5, -0.25}, 1},
    {"identity", {FR_A_AFFINE, 1, 0}, 0},
    {"leaky_relu", {FR_A_LEAKY_RELU, 0.125, 0}, 0},
    {"thresholded_relu", {FR_A_THRESHOLDED_RELU, 1, 0}, 0},
    {"thresholded_relu below 0", {FR_A_THRESHOLDED_RELU, -0.5, 0}, 0},
    {"scaled_tanh", {FR_A_SCALED_TANH, 1.75, 0.625}, 0},
    {"hard_sigmoid", {FR_A_HARD_SIGMOID, 0.25, 0.5}, 1},
    {"elu", {FR_A_ELU, 1, 0}, 0},
    {"elu with a kink", {FR_A_ELU, 0.5, 0}, 0},
    {"softsign", {FR_A_SOFTSIGN, 0, 0}, 0},
    {"softplus", {FR_A_SOFTPLUS, 0, 0}, 0},
};

// phi'(a); at a kink 0 for relu and hard_sigmoid, else that on the right.
static double d_phi(fr_activation f, double a)
{
    const double line = f.alpha * a + f.beta;
    switch (f.kind) {
    case FR_A_SIGMOID: return sigmoid(a) * sigmoid(-a);
    case FR_A_TANH: return 1 / (cosh(a) * cosh(a));
    case FR_A_RELU: return a > 0;
    case FR_A_AFFINE: return f.alpha;
    case FR_A_LEAKY_RELU: return a < 0 ? f.alpha : 1;
    case FR_A_THRESHOLDED_RELU: return a >= f.alpha;
    case FR_A_SCALED_TANH: return f.alpha * f.beta / (cosh(f.beta * a) * cosh(f.beta * a));
    case FR_A_HARD_SIGMOID: return line > 0 && line < 1 ? f.alpha : 0;
    case FR_A_ELU: return a < 0 ? f.alpha * exp(a) : 1;
    case FR_A_SOFTSIGN: return 1 / ((1 + fabs(a)) * (1 + fabs(a)));
    case FR_A_SOFTPLUS: return sigmoid(a);
    }
    return NAN;
}

// y[i] = phi(clip(a[i])), d[i] = its derivative: a step forward of one row, and a step backward with dh = 1.
static void run(const fr_kernels *k, const fr_variant *v, array a, array y, array d)
{
    array gates = array_copy(a), product = array_new(k->itemsize, a.size), dh = array_new(k->itemsize, a.size);
    for (ptrdiff_t i = 0; i < a.size; i++) set(product, i, -0.0), set(dh, i, 1);
    const fr_step s = {
        .rows = 1, .H = a.size, .Hp = a.size, .u1 = a.size / k->lanes, .product = product.data, .gates = gates.data,
        .keep = 1, .h = y.data, .variant = v,
    };
    k->forward[FR_RNN_TANH](&s);
    const fr_step_back back = {
        .rows = 1, .H = a.size, .Hp = a.size, .u1 = s.u1, .gates = gates.data, .dh = dh.data, .variant = v,
    };
    k->backward[FR_D_RNN_TANH](&back);
    memcpy(d.data, gates.data, (size_t)(a.size * k->itemsize));
    array *all[] = {&gates, &product, &dh};
    for (size_t n = 0; n < COUNT(all); n++) array_free(all[n]);
}

// Zeros, kinks and their neighbours, tiny and large numbers, what is no number, and numbers of ordinary size.
static array arguments(const fr_kernels *k, double clip)
{
    const double tiny = k->itemsize == 4 ? FLT_MIN : DBL_MIN, huge = k->itemsize == 4 ? FLT_MAX : DBL_MAX;
    const double epsilon = k->itemsize == 4 ? FLT_EPSILON : DBL_EPSILON;
    const double kinks[] = {0.5, 1, 2, clip < INFINITY ? clip : 1};
    const double magnitudes[] = {0, tiny, 1e-20, epsilon, 1e-3, 9.5, 20.5, 45, 88, 100, 800, 1e30, huge, INFINITY};
    const array a = array_random(k->itemsize, 64 * k->lanes + 1024, -12, 12);
    ptrdiff_t n = 0;
    for (int sign = -1; sign <= 1; sign += 2) {
        for (size_t i = 0; i < COUNT(magnitudes); i++) set(a, n++, sign * magnitudes[i]);
        for (size_t i = 0; i < COUNT(kinks); i++)
            for (int side = -1; side <= 1; side++) set(a, n++, sign * kinks[i] * (1 + side * epsilon));
    }
    set(a, n++, NAN);
    return a;
}

static void check_activation(const fr_kernels *k, size_t which, double clip, int flushed)
{
    const fr_activation f = activations[which].f;
    const fr_variant v = {.gate = f, .clip = clip, .blocks = 1};
    const double epsilon = k->itemsize == 4 ? FLT_EPSILON : DBL_EPSILON, tiny = k->itemsize == 4 ? FLT_MIN : DBL_MIN;
    const array a = arguments(k, clip);
    array y = array_new(k->itemsize, a.size), d = array_new(k->itemsize, a.size), argument = a;
    const unsigned long long state = flushed ? fr_flush_enter() : 0;
    run(k, &v, a, y, d);
    if (flushed) fr_flush_restore(state);
    for (ptrdiff_t i = 0; i < a.size; i++) {
        const double at = get(a, i), inside = fmax(-clip, fmin(clip, at)), got = get(y, i), slope = get(d, i);
        if (isnan(at)) {
            CHECK(isnan(got), "%s %s(NaN) is %g", k->isa, activations[which].name, got);
            const int is_of_a_side = slope == d_phi(f, -1e3) || slope == d_phi(f, 1e3);
            CHECK(isnan(slope) || is_of_a_side, "%s %s'(NaN) is %g", k->isa, activations[which].name, slope);
            continue;
        }
        const double want = phi(f, inside);  // of which the factor of alpha may have been flushed
        const double near = 5 * epsilon * (fabs(want) + activations[which].cancels) + 2 * tiny;
        CHECK(k->itemsize == 4 && fabs(want) > FLT_MAX ? isinf(got) : got == want || fabs(got - want) <= near,
              "%s float%d %s(%a), clip %g: %.17g, expected %.17g", k->isa, (int)(8 * k->itemsize),
              activations[which].name, at, clip, got, want);
        const double d_want = fabs(at) > clip ? 0 : d_phi(f, at);
        CHECK(fabs(slope - d_want) <= 8 * epsilon * (1 + fabs(d_want)),
              "%s float%d %s'(%a), clip %g: %.17g, expected %.17g", k->isa, (int)(8 * k->itemsize),
              activations[which].name, at, clip, slope, d_want);
    }
    array *all[] = {&argument, &y, &d};
    for (size_t n = 0; n < COUNT(all); n++) array_free(all[n]);
}

void test_activation(const fr_kernels *k)
{
    static const double clips[] = {INFINITY, 1.5, 3, 100};
    for (size_t which = 0; which < COUNT(activations); which++)
        for (size_t n = 0; n < COUNT(clips); n++)
            for (int flushed = 0; flushed < 2; flushed++) check_activation(k, which, clips[n], flushed);
}
