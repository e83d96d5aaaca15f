// The variants of the cells: forward against the equations in double, backward against their central differences, and
// the bits of all the ways to run a step against each other. Backward reads what the forward kernels kept.
#include "step.h"

#define SIGMOID {FR_A_SIGMOID, 0, 0}
#define TANH {FR_A_TANH, 0, 0}
#define PLAIN .gate = SIGMOID, .candidate = TANH, .output = TANH
#define OTHER .gate = {FR_A_SOFTSIGN, 0, 0}, .candidate = {FR_A_ELU, 1, 0}, .output = {FR_A_SCALED_TANH, 1.5, 0.75}

static const design designs[] = {
    {RNN, "rnn, zoneout", PLAIN, .zoneout = 1},
    {RNN, "rnn, activation, clip", OTHER, .clip = 0.75},
    {RNN, "rnn, norm", PLAIN, .norm = 1},
    {RNN, "rnn, norm and all", OTHER, .norm = 1, .zoneout = 1, .clip = 0.75},
    {LSTM, "lstm, peepholes", PLAIN, .peepholes = 1},
    {LSTM, "lstm, activations, clip", OTHER, .clip = 0.75},
    {LSTM, "lstm, zoneout", PLAIN, .zoneout = 1},
    {LSTM, "lstm, all, projected", OTHER, .peepholes = 1, .zoneout = 1, .projects = 1, .clip = 1},
    {LSTM, "lstm, norm", PLAIN, .norm = 1},
    {LSTM, "lstm, norm and all", OTHER, .norm = 1, .peepholes = 1, .zoneout = 1, .clip = 1},
    {LSTM, "lstm, norm and all, projected", OTHER, .norm = 1, .peepholes = 1, .zoneout = 1, .projects = 1, .clip = 1},
    {LSTM_COUPLED, "coupled", PLAIN},
    {LSTM_COUPLED, "coupled, peepholes, projected", PLAIN, .peepholes = 1, .projects = 1},
    {LSTM_COUPLED, "coupled, all", OTHER, .peepholes = 1, .zoneout = 1, .clip = 1},
    {LSTM_COUPLED, "coupled, norm", PLAIN, .norm = 1},
    {LSTM_COUPLED, "coupled, norm and all", OTHER, .norm = 1, .peepholes = 1, .zoneout = 1, .clip = 1},
    {GRU, "gru, zoneout", PLAIN, .zoneout = 1},
    {GRU, "gru, activations, clip", OTHER, .clip = 0.75},
    {GRU, "gru, norm", PLAIN, .norm = 1},
    {GRU, "gru, norm and all", OTHER, .norm = 1, .zoneout = 1, .clip = 1},
    {GRU_BEFORE, "gru reset before, zoneout", PLAIN, .zoneout = 1},
    {GRU_BEFORE, "gru reset before, activations, clip", OTHER, .clip = 0.75},
    {GRU_BEFORE, "gru reset before, norm", PLAIN, .norm = 1},
    {GRU_BEFORE, "gru reset before, norm and all", OTHER, .norm = 1, .zoneout = 1, .clip = 1},
    {PROJECT, "projection, zoneout", PLAIN, .zoneout = 1},
};

static void expect(const fixture *f, ptrdiff_t r, ptrdiff_t u, const char *what, double got, double want)
{
    const double tolerance = f->k->itemsize == 4 ? 2e-5 : 1e-8;  // of a central difference: 1e-9
    CHECK(fabs(got - want) <= tolerance * (1 + fabs(want)),
          "%s float%d %s, %td rows, H %td: %s of (%td, %td) is %.12g, expected %.12g", f->k->isa,
          (int)(8 * f->k->itemsize), f->d->name, f->rows, f->H, what, r, u, got, want);
}

// What comes from later steps for the row in hand: L = up_h h + up_c c + up_mid mid, over all units.
static block up_h, up_c, up_mid;

static double loss(const fixture *f, ptrdiff_t r)
{
    double sum = 0;
    outcome out;
    step_row(f->d->cell, &f->v, f->H, &f->in[r], &out);
    for (ptrdiff_t u = 0; u < f->H; u++) sum += up_h[u] * out.h[u] + up_c[u] * out.c[u] + up_mid[u] * out.mid[u];
    return sum;
}

// dL/dx by a central difference; x is a number of row r.
static double slope(const fixture *f, ptrdiff_t r, double *x)
{
    const double step = 1e-5, middle = *x;
    *x = middle + step;
    const double above = loss(f, r);
    *x = middle - step;
    const double below = loss(f, r);
    *x = middle;
    return (above - below) / (2 * step);
}

static void check_forward(const fixture *f, const result *y, ptrdiff_t r)
{
    outcome out;
    step_row(f->d->cell, &f->v, f->H, &f->in[r], &out);
    for (ptrdiff_t u = 0; u < f->H; u++) {
        if (!f->d->projects) expect(f, r, u, "h", entry(y->h, r, u), out.h[u]);
        else expect(f, r, u, "mid", entry(y->mid, r, u), out.mid[u]);
        if (f->is_lstm) expect(f, r, u, "c", entry(y->c, r, u), out.c[u]);
        if (f->d->cell == GRU_BEFORE) expect(f, r, u, "mid", entry(y->mid, r, u), out.mid[u]);
    }
}

// The blocks of `extra` from column `at` on: gradients of what stands in `of`, for those that a kernel writes.
static void check_extra(const fixture *f, const result *y, ptrdiff_t r, const char *what, ptrdiff_t at, ptrdiff_t first,
                        ptrdiff_t count, block *of)
{
    for (ptrdiff_t g = first; g < first + count; g++)
        for (ptrdiff_t u = 0; u < f->Hp; u++) {
            const double got = entry(y->extra, r, at + g * f->Hp + u);
            if (u < f->H) expect(f, r, u, what, got, slope(f, r, &of[g][u]));
            else CHECK(isfinite(got), "%s %s: %s, padding", f->k->isa, f->d->name, what);
        }
}

static void check_norm(const fixture *f, const result *y, ptrdiff_t r)
{
    const ptrdiff_t B = f->v.blocks, Hp = f->Hp, hat = f->v.peepholes * Hp, c = hat + 2 * B * Hp, dx = c + 3 * Hp;
    const ptrdiff_t x_count = f->d->cell == GRU ? 3 : B, h_first = f->d->cell == GRU;
    row *in = &f->in[r];
    check_extra(f, y, r, "gain of x", hat, 0, x_count, in->gain_x);
    check_extra(f, y, r, "gain of h", hat + B * Hp, h_first, B - h_first, in->gain_h);
    if (f->v.norm_c) check_extra(f, y, r, "gain and shift of c", c, 0, 2, in->norm_c);
    check_extra(f, y, r, "W x", dx, 0, x_count, in->x);
    check_extra(f, y, r, "W h", dx + B * Hp, h_first, B - h_first, in->h);
}

static void check_backward(const fixture *f, const result *y, ptrdiff_t r)
{
    const int projects = f->d->projects, with_mid = projects || f->d->cell == GRU_BEFORE;
    row *in = &f->in[r];
    outcome out;
    step_row(f->d->cell, &f->v, f->H, in, &out);
    for (ptrdiff_t u = 0; u < f->H; u++) {
        up_h[u] = projects ? 0 : entry(f->dh, r, u) + entry(f->d_out, r, u);
        up_c[u] = f->is_lstm ? entry(f->dc, r, u) : 0;
        up_mid[u] = with_mid ? entry(f->d_mid, r, u) : 0;
    }
    for (ptrdiff_t u = 0; u < f->H; u++) {
        const double mid = f->d->cell == PROJECT ? slope(f, r, &in->h[0][u]) : out.mid[u];
        expect(f, r, u, "dh", entry(y->dh, r, u), projects ? entry(f->dh, r, u) : slope(f, r, &in->h_prev[u]));
        if (f->is_lstm) expect(f, r, u, "dc", entry(y->dc, r, u), slope(f, r, &in->c_prev[u]));
        if (with_mid) expect(f, r, u, "d_mid", entry(y->d_mid, r, u), 0);
        if (with_mid || f->d->cell == PROJECT) expect(f, r, u, "mid of backward", entry(y->mid_back, r, u), mid);
    }
    for (ptrdiff_t g = 0; g < f->v.blocks && f->d->cell != PROJECT; g++)
        for (ptrdiff_t u = 0; u < f->Hp; u++) {
            const double got = entry(y->gates, r, g * f->Hp + u);
            if (u < f->H) expect(f, r, u, "a gate", got, slope(f, r, &in->bias[g][u]));
            else CHECK(isfinite(got), "%s %s: gate %td, padding", f->k->isa, f->d->name, g);
        }
    check_extra(f, y, r, "peephole", 0, 0, f->v.peepholes, in->peephole);
    if (f->d->norm) check_norm(f, y, r);
}

static void check_result(const fixture *f, const result *y)
{
    result copy = *y;
    const matrix *all[] = MATRICES(copy);
    for (size_t n = 0; n < COUNT(all); n++)
        CHECK(has_margins(*all[n]), "%s %s wrote past a row of %zu", f->k->isa, f->d->name, n);
    for (ptrdiff_t r = 0; r < f->rows; r++) {
        check_forward(f, y, r);
        check_backward(f, y, r);
    }
}

static void check_bits(const fixture *f, const result *y, manner how)
{
    result ours = *y, theirs = step_run(f, how);
    const matrix *one[] = MATRICES(ours), *other[] = MATRICES(theirs);
    for (size_t n = 0; n < COUNT(one); n++) {
        const int is_output = n >= 3 && n <= 5;  // c, h, mid
        if ((how.forward_only && !is_output) || (n == 3 && !f->is_lstm)) continue;
        CHECK(same_bits(one[n]->elements, other[n]->elements), "%s %s, %td rows, H %td: other bits in %zu%s%s%s%s",
              f->k->isa, f->d->name, f->rows, f->H, n, how.forward_only ? ", forward only" : "",
              how.singly ? ", singly" : "", how.halves ? ", in halves" : "", how.down ? ", down" : "");
    }
    result_free(&theirs);
}

static void check_case(const fr_kernels *k, const design *d, ptrdiff_t rows, ptrdiff_t H)
{
    fixture f = step_new(k, d, rows, H);
    result y = step_run(&f, (manner){0});
    check_result(&f, &y);
    check_bits(&f, &y, (manner){.forward_only = 1});
    check_bits(&f, &y, (manner){.singly = 1, .down = 1});
    if (!d->norm) {  // which takes whole rows, and products that are ready
        check_bits(&f, &y, (manner){.halves = 1});
        result fused = step_run(&f, (manner){.fused = 1});
        check_result(&f, &fused);
        result_free(&fused);
    }
    result_free(&y);
    step_free(&f);
}

void test_variant(const fr_kernels *k)
{
    const ptrdiff_t VL = k->lanes, sizes[] = {1, VL, VL + 1, 3 * VL - 1}, rows[] = {1, 2, 5};
    for (size_t which = 0; which < COUNT(designs); which++)
        for (size_t n = 0; n < COUNT(sizes); n++)
            for (size_t m = 0; m < COUNT(rows); m++) check_case(k, &designs[which], rows[m], sizes[n]);
}
