#include "row.h"

#include <math.h>
#include <string.h>

#include "cells.h"

double nearest_kink, least_deviation;

double phi(fr_activation f, double a)
{
    const double line = f.alpha * a + f.beta;
    nearest_kink = fmin(nearest_kink, fabs(a));
    switch (f.kind) {
    case FR_A_SIGMOID: return sigmoid(a);
    case FR_A_TANH: return tanh(a);
    case FR_A_RELU: return a <= 0 ? 0 : a;
    case FR_A_AFFINE: return line;
    case FR_A_LEAKY_RELU: return a < 0 ? f.alpha * a : a;
    case FR_A_THRESHOLDED_RELU: return a < f.alpha ? 0 : a;
    case FR_A_SCALED_TANH: return f.alpha * tanh(f.beta * a);
    case FR_A_HARD_SIGMOID: return line < 0 ? 0 : line > 1 ? 1 : line;
    case FR_A_ELU: return a < 0 ? f.alpha * expm1(a) : a;
    case FR_A_SOFTSIGN: return isinf(a) ? copysign(1, a) : a / (1 + fabs(a));
    case FR_A_SOFTPLUS: return a > 0 ? a + log1p(exp(-a)) : log1p(exp(a));
    }
    return NAN;
}

static double of_clipped(const fr_variant *v, fr_activation f, double a)
{
    nearest_kink = fmin(nearest_kink, fabs(fabs(a) - v->clip));
    return phi(f, fmax(-v->clip, fmin(v->clip, a)));
}

static double gate(const fr_variant *v, double a) { return of_clipped(v, v->gate, a); }
static double candidate(const fr_variant *v, double a) { return of_clipped(v, v->candidate, a); }
static double mix(double factor, double prev, double next) { return prev + factor * (next - prev); }

// Ba, Kiros & Hinton 2016: `count` blocks together, times their gains.
static void normalise(block *x, const block *gain, int count, ptrdiff_t H)
{
    const double n = (double)count * (double)H;
    double mean = 0, variance = 0;
    for (int g = 0; g < count; g++)
        for (ptrdiff_t u = 0; u < H; u++) mean += x[g][u] / n;
    for (int g = 0; g < count; g++)
        for (ptrdiff_t u = 0; u < H; u++) variance += (x[g][u] - mean) * (x[g][u] - mean) / n;
    if (n > 1) least_deviation = fmin(least_deviation, sqrt(variance));
    for (int g = 0; g < count; g++)
        for (ptrdiff_t u = 0; u < H; u++) x[g][u] = gain[g][u] * (x[g][u] - mean) / sqrt(variance + 1e-5);
}

// a = LN(W_ih x) + LN(W_hh h) + b, or without LN
static void arguments(int cell, const fr_variant *v, ptrdiff_t H, const row *in, block a[BLOCKS_MAX])
{
    // first blocks of the shares, and how many are normalised together
    static const struct {
        int x, h, count;
    } groups[CELLS][2] = {
        [RNN] = {{0, 0, 1}}, [LSTM] = {{0, 0, 4}}, [LSTM_COUPLED] = {{0, 0, 3}},
        [GRU] = {{0, 3, 1}, {1, 1, 2}}, [GRU_BEFORE] = {{0, 0, 1}, {1, 1, 2}},
    };
    row own = *in;
    for (int n = 0; v->norm_h && n < 2; n++) {
        const int x = groups[cell][n].x, h = groups[cell][n].h, count = groups[cell][n].count;
        normalise(own.x + x, in->gain_x + x, count, H);
        normalise(own.h + h, in->gain_h + h, count, H);
    }
    for (int g = 0; g < BLOCKS_MAX; g++)
        for (ptrdiff_t u = 0; u < H; u++) a[g][u] = own.x[g][u] + own.h[g][u] + in->bias[g][u];
}

static void lstm(const fr_variant *v, ptrdiff_t H, const row *in, block a[BLOCKS_MAX], int coupled, outcome *out)
{
    const int G = coupled ? 1 : 2, O = G + 1;
    block next, shown[1];
    for (ptrdiff_t u = 0; u < H; u++) {
        const double c = in->c_prev[u], i = gate(v, a[0][u] + in->peephole[0][u] * c);
        const double f = coupled ? 1 - i : gate(v, a[1][u] + in->peephole[1][u] * c);
        next[u] = shown[0][u] = f * c + i * candidate(v, a[G][u]);
        out->c[u] = mix(in->zone_c[u], c, next[u]);
    }
    if (v->norm_c) normalise(shown, in->norm_c, 1, H);
    for (ptrdiff_t u = 0; u < H; u++) {
        const double o = gate(v, a[O][u] + in->peephole[O - 1][u] * next[u]);
        out->mid[u] = o * phi(v->output, shown[0][u] + (v->norm_c ? in->norm_c[1][u] : 0));
        out->h[u] = mix(in->zone_h[u], in->h_prev[u], out->mid[u]);
    }
}

static void gru(const fr_variant *v, ptrdiff_t H, const row *in, block a[BLOCKS_MAX], int before, outcome *out)
{
    for (ptrdiff_t u = 0; u < H; u++) {
        const double r = gate(v, a[1][u]), z = gate(v, a[2][u]), h = in->h_prev[u];
        const double n = candidate(v, before ? a[0][u] : a[0][u] + r * a[3][u]);
        out->mid[u] = r * h;
        out->h[u] = mix(in->zone_h[u], h, gru_mix(z, n, h));
    }
}

void step_row(int cell, const fr_variant *v, ptrdiff_t H, const row *in, outcome *out)
{
    block a[BLOCKS_MAX];
    memset(out, 0, sizeof *out);
    arguments(cell, v, H, in, a);
    if (cell == LSTM || cell == LSTM_COUPLED) lstm(v, H, in, a, cell == LSTM_COUPLED, out);
    if (cell == GRU || cell == GRU_BEFORE) gru(v, H, in, a, cell == GRU_BEFORE, out);
    for (ptrdiff_t u = 0; u < H; u++) {
        if (cell == RNN) out->h[u] = mix(in->zone_h[u], in->h_prev[u], gate(v, a[0][u]));
        if (cell == PROJECT) out->h[u] = mix(in->zone_h[u], in->h_prev[u], a[0][u]);
    }
}
