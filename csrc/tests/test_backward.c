// The backward kernels of the plain cells against central differences of the equations in double.
#include <stddef.h>

#include "cells.h"
#include "check.h"

enum { BLOCKS = 4 };

// dL/d(field) of L(unit) by central differences; `field` is a member of unit, by its offset.
typedef double loss(unit u);
static double upstream_h, upstream_c;  // L = upstream_h h + upstream_c c

static double slope(loss *L, unit u, size_t field)
{
    const double step = 1e-5;
    double *x = (double *)((char *)&u + field);
    const double middle = *x;
    *x = middle + step;
    const double above = L(u);
    *x = middle - step;
    return (above - L(u)) / (2 * step);
}
#define SLOPE(L, u, field) slope(L, u, offsetof(unit, field))

static double lstm_loss(unit u) { return upstream_h * lstm_h(u) + upstream_c * lstm_c(u); }
static double gru_loss(unit u) { return upstream_h * gru_h(u); }
static double gru_reset_before_loss(unit u) { return upstream_h * gru_h_reset_before(u); }
static double gru_mid_loss(unit u) { return upstream_h * gru_mid(u); }
static double rnn_tanh_loss(unit u) { return upstream_h * rnn_tanh_h(u); }
static double rnn_relu_loss(unit u) { return upstream_h * rnn_relu_h(u); }

typedef struct {
    const fr_kernels *k;
    int kernel;
    ptrdiff_t rows, H, Hp;
    unit *units;  // (rows, Hp)
    matrix gates, h_prev, c_prev, c, d_out, dh, dc, mid, d_mid;
} fixture;

#define MATRICES(x) {&(x).gates, &(x).h_prev, &(x).c_prev, &(x).c, &(x).d_out, &(x).dh, &(x).dc, &(x).mid, &(x).d_mid}

// What forward keeps of a unit.
static void keep(const fixture *x, unit u, double gate[BLOCKS])
{
    const int is_lstm = x->kernel == FR_D_LSTM;
    const double n = x->kernel == FR_D_GRU ? gru_candidate_reset_after(u) : gru_candidate(u);
    gate[0] = is_lstm ? sigmoid(u.i) : n;
    gate[1] = is_lstm ? sigmoid(u.f) : sigmoid(u.r);
    gate[2] = is_lstm ? tanh(u.g) : sigmoid(u.z);
    gate[3] = is_lstm ? sigmoid(u.o) : u.h_n;
    if (x->kernel == FR_D_RNN_TANH) gate[0] = rnn_tanh_h(u);
    if (x->kernel == FR_D_RNN_RELU) gate[0] = rnn_relu_h(u);
}

static unit unit_random(void)
{
    unit u;
    double *members = (double *)&u;
    for (size_t n = 0; n < sizeof u / sizeof(double); n++) {
        do members[n] = random_between(-2, 2);
        while (fabs(members[n]) < 1e-3);  // away from the kink of relu
    }
    return u;
}

static fixture fixture_new(const fr_kernels *k, int kernel, ptrdiff_t rows, ptrdiff_t H)
{
    const ptrdiff_t Hp = (H + k->lanes - 1) / k->lanes * k->lanes, size = k->itemsize;
    fixture x = {.k = k, .kernel = kernel, .rows = rows, .H = H, .Hp = Hp};
    x.units = malloc((size_t)(rows * Hp) * sizeof *x.units);
    x.gates = matrix_new(size, rows, BLOCKS * Hp);
    x.h_prev = matrix_new(size, rows, H);
    x.c_prev = matrix_new(size, rows, Hp);
    x.c = matrix_new(size, rows, Hp);
    x.d_out = matrix_random(size, rows, H, -1, 1);
    x.dh = matrix_random(size, rows, Hp, -1, 1);
    x.dc = matrix_random(size, rows, Hp, -1, 1);
    x.mid = matrix_new(size, rows, Hp);
    x.d_mid = matrix_random(size, rows, Hp, -1, 1);
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t u = 0; u < Hp; u++) {
            const unit one = x.units[row * Hp + u] = unit_random();
            double gate[BLOCKS];
            keep(&x, one, gate);
            for (ptrdiff_t g = 0; g < BLOCKS; g++) set_entry(x.gates, row, g * Hp + u, gate[g]);
            if (u < H) set_entry(x.h_prev, row, u, one.h_prev);
            set_entry(x.c_prev, row, u, one.c_prev);
            set_entry(x.c, row, u, lstm_c(one));
        }
    return x;
}

static fixture fixture_copy(fixture x)
{
    matrix *all[] = MATRICES(x);
    for (size_t n = 0; n < COUNT(all); n++) *all[n] = matrix_copy(*all[n]);
    return x;
}

static void fixture_free(fixture *x)
{
    matrix *all[] = MATRICES(*x);
    for (size_t n = 0; n < COUNT(all); n++) matrix_free(all[n]);
}

static void run(const fixture *x, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t u0, ptrdiff_t u1, int with_output,
                int projected)
{
    const fr_step_back s = {
        .rows = rows, .H = x->H, .Hp = x->Hp, .u0 = u0, .u1 = u1,
        .gates = row_of(x->gates, row), .ld_gates = x->gates.ld,
        .h_prev = row_of(x->h_prev, row), .ld_h_prev = x->h_prev.ld,
        .c_prev = row_of(x->c_prev, row), .ld_c_prev = x->c_prev.ld,
        .c = row_of(x->c, row), .ld_c = x->c.ld,
        .d_out = with_output ? row_of(x->d_out, row) : NULL, .ld_d_out = x->d_out.ld,
        .dh = row_of(x->dh, row), .ld_dh = x->dh.ld,
        .dc = row_of(x->dc, row), .ld_dc = x->dc.ld,
        .mid = row_of(x->mid, row), .ld_mid = x->mid.ld,
        .d_mid = projected || x->kernel == FR_D_GRU_RESET ? row_of(x->d_mid, row) : NULL, .ld_d_mid = x->d_mid.ld,
    };
    x->k->backward[x->kernel](&s);
}

static const char *const names[PLAIN_BACKWARD] = {
    [FR_D_RNN_TANH] = "d_rnn_tanh", [FR_D_RNN_RELU] = "d_rnn_relu", [FR_D_LSTM] = "d_lstm", [FR_D_GRU] = "d_gru",
    [FR_D_GRU_CANDIDATE] = "d_gru_candidate", [FR_D_GRU_RESET] = "d_gru_reset", [FR_D_PROJECT] = "d_project",
};

static void expect(const fixture *x, const char *what, double got, double want)
{
    const double tolerance = x->k->itemsize == 4 ? 1e-5 : 1e-8;  // of a central difference: 1e-10
    CHECK(fabs(got - want) <= tolerance * (1 + fabs(want)), "%s %s, %td rows, H %td: %s is %.9g, expected %.9g",
          x->k->isa, names[x->kernel], x->rows, x->H, what, got, want);
}

// Everything a kernel leaves for unit u of a row; upstream_h and upstream_c are set, `x` is before, `y` after it.
static void check_unit(const fixture *x, const fixture *y, ptrdiff_t row, ptrdiff_t u, int projected)
{
    const unit in = x->units[row * x->Hp + u];
    const double dh = entry(projected ? y->d_mid : y->dh, row, u), mid = entry(y->mid, row, u);
    double gate[BLOCKS];
    for (ptrdiff_t g = 0; g < BLOCKS; g++) gate[g] = entry(y->gates, row, g * x->Hp + u);
    switch (x->kernel) {
    case FR_D_RNN_TANH:
    case FR_D_RNN_RELU:
        expect(x, "da", gate[0], SLOPE(x->kernel == FR_D_RNN_TANH ? rnn_tanh_loss : rnn_relu_loss, in, a));
        expect(x, "dh", dh, 0);
        break;
    case FR_D_LSTM:
        expect(x, "di", gate[0], SLOPE(lstm_loss, in, i));
        expect(x, "df", gate[1], SLOPE(lstm_loss, in, f));
        expect(x, "dg", gate[2], SLOPE(lstm_loss, in, g));
        expect(x, "do", gate[3], SLOPE(lstm_loss, in, o));
        expect(x, "dc", entry(y->dc, row, u), SLOPE(lstm_loss, in, c_prev));
        expect(x, "dh", dh, 0);
        expect(x, "mid", mid, lstm_h(in));
        break;
    case FR_D_GRU:
        expect(x, "dn", gate[0], SLOPE(gru_loss, in, n));
        expect(x, "dr", gate[1], SLOPE(gru_loss, in, r));
        expect(x, "dz", gate[2], SLOPE(gru_loss, in, z));
        expect(x, "dh_n", gate[3], SLOPE(gru_loss, in, h_n));
        expect(x, "dh", dh, SLOPE(gru_loss, in, h_prev));
        break;
    case FR_D_GRU_CANDIDATE:
        expect(x, "dn", gate[0], SLOPE(gru_reset_before_loss, in, n));
        expect(x, "dz", gate[2], SLOPE(gru_reset_before_loss, in, z));
        expect(x, "dh", dh, SLOPE(gru_reset_before_loss, in, h_prev));
        break;
    case FR_D_GRU_RESET:
        expect(x, "dr", gate[1], SLOPE(gru_mid_loss, in, r));
        expect(x, "dh", dh, entry(x->dh, row, u) + SLOPE(gru_mid_loss, in, h_prev));
        expect(x, "mid", mid, gru_mid(in));
        expect(x, "d_mid", entry(y->d_mid, row, u), 0);
        break;
    case FR_D_PROJECT:
        expect(x, "mid", mid, upstream_h);
        expect(x, "dh", dh, 0);
        break;
    }
}

// The same rows and units in parts leave the same bits, and nothing in the margins.
static void check_parts(const fixture *x, const fixture *whole, int with_output, int projected)
{
    const ptrdiff_t vectors = x->Hp / x->k->lanes;
    fixture parts = fixture_copy(*x), copy = *whole;
    for (ptrdiff_t row = 0; row < x->rows; row++) {
        run(&parts, row, 1, 0, vectors / 2, with_output, projected);
        run(&parts, row, 1, vectors / 2, vectors, with_output, projected);
    }
    matrix *ours[] = MATRICES(parts), *theirs[] = MATRICES(copy);
    for (size_t n = 0; n < COUNT(ours); n++) {
        CHECK(same_bits(ours[n]->elements, theirs[n]->elements), "%s %s, %td rows, H %td: other bits in parts",
              x->k->isa, names[x->kernel], x->rows, x->H);
        CHECK(has_margins(*ours[n]), "%s %s wrote past a row of %zu", x->k->isa, names[x->kernel], n);
    }
    fixture_free(&parts);
}

static void check_case(const fr_kernels *k, int kernel, ptrdiff_t rows, ptrdiff_t H, int with_output)
{
    const int projected = kernel == FR_D_LSTM && rows % 2;  // dh then comes through d_mid, without the output's own
    fixture x = fixture_new(k, kernel, rows, H), y = fixture_copy(x);
    run(&y, 0, rows, 0, x.Hp / k->lanes, with_output, projected);
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t u = 0; u < H; u++) {
            const int through_mid = projected || kernel == FR_D_GRU_RESET;
            upstream_h = entry(through_mid ? x.d_mid : x.dh, row, u);
            if (with_output && !through_mid) upstream_h += entry(x.d_out, row, u);
            upstream_c = entry(x.dc, row, u);
            check_unit(&x, &y, row, u, projected);
        }
    check_parts(&x, &y, with_output, projected);
    fixture_free(&x);
    fixture_free(&y);
    free(x.units);
}

void test_backward(const fr_kernels *k)
{
    const ptrdiff_t VL = k->lanes, sizes[] = {1, VL, VL + 1, 3 * VL - 1}, rows[] = {1, 2, 5};
    for (int kernel = 0; kernel < PLAIN_BACKWARD; kernel++)
        for (size_t n = 0; n < COUNT(sizes); n++)
            for (size_t m = 0; m < COUNT(rows); m++)
                for (int with_output = 0; with_output < 2; with_output++)
                    check_case(k, kernel, rows[m], sizes[n], with_output);
}
