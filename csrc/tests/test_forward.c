// The forward kernels against the equations in double, and a row's bits against company.
#include "cells.h"
#include "check.h"

// A kernel's tile: which blocks of a row of gates its sums begin with, and how many blocks a row has.
static const struct {
    const char *name;
    int blocks, tile[4];
} kernels[FR_FORWARD_KERNELS] = {
    [FR_RNN_TANH] = {"rnn_tanh", 1, {0}},          [FR_RNN_RELU] = {"rnn_relu", 1, {0}},
    [FR_LSTM] = {"lstm", 4, {0, 1, 2, 3}},         [FR_GRU] = {"gru", 4, {1, 2, 3}},
    [FR_GRU_RESET] = {"gru_reset", 3, {1, 2}},     [FR_GRU_CANDIDATE] = {"gru_candidate", 3, {0}},
    [FR_PROJECT] = {"project", 1, {0}},
};

typedef struct {
    const fr_kernels *k;
    int kernel, in_place;
    ptrdiff_t rows, H, Hp, K, G, ld_gates, ld_h;
    array w, packed, product, a, b_hn, gates, h_prev, c_prev, c, h, mid;
} fixture;

#define ARRAYS(x)                                                                                            \
    {&(x).w,      &(x).packed, &(x).product, &(x).a, &(x).b_hn, &(x).gates,                                  \
     &(x).h_prev, &(x).c_prev, &(x).c,       &(x).h, &(x).mid}

// Recurrent weights w (K, units of Hp, G): columns in the order of the tile, [unit vector][gate][lane].
static ptrdiff_t tile_column(const fixture *x, ptrdiff_t u, ptrdiff_t g)
{
    const ptrdiff_t VL = x->k->lanes;
    return (u / VL * x->G + g) * VL + u % VL;
}

static fixture fixture_new(const fr_kernels *k, int kernel, ptrdiff_t rows, ptrdiff_t H, ptrdiff_t K)
{
    const ptrdiff_t VL = k->lanes, Hp = (H + VL - 1) / VL * VL, G = k->panel_gates[kernel], size = k->itemsize;
    fixture x = {.k = k, .kernel = kernel, .rows = rows, .H = H, .Hp = Hp, .K = K, .G = G};
    x.ld_gates = kernels[kernel].blocks * Hp;
    x.ld_h = H + 3;
    x.w = array_random(size, K * G * Hp, -0.5, 0.5);
    x.packed = array_new(size, K * G * Hp);
    k->pack(x.w.data, G * Hp, 1, K, G * Hp, k->panel_units[kernel] * G, x.packed.data);
    x.product = array_new(size, rows * G * Hp);
    x.a = array_random(size, rows * K, -1, 1);
    x.b_hn = array_random(size, Hp, -1, 1);
    x.gates = array_random(size, rows * x.ld_gates, -2, 2);
    x.h_prev = array_random(size, rows * x.ld_h, -1, 1);
    x.c_prev = array_random(size, rows * Hp, -2, 2);
    x.c = array_new(size, rows * Hp);
    x.h = array_new(size, rows * x.ld_h);
    x.mid = kernel == FR_PROJECT ? array_copy(x.a) : array_random(size, rows * Hp, -1, 1);
    return x;
}

static fixture fixture_copy(fixture x)
{
    fixture copy = x;
    array *all[] = ARRAYS(copy);
    for (size_t n = 0; n < COUNT(all); n++) *all[n] = array_copy(*all[n]);
    return copy;
}

static void fixture_free(fixture *x)
{
    array *all[] = ARRAYS(*x);
    for (size_t n = 0; n < COUNT(all); n++) array_free(all[n]);
}

static void run(const fixture *x, ptrdiff_t row, ptrdiff_t rows, int keep, int with_mid, int is_ready)
{
    const int needs_mid = with_mid || x->kernel == FR_GRU_RESET;
    const fr_step s = {
        .rows = rows, .H = x->H, .Hp = x->Hp, .u0 = 0, .u1 = x->Hp / x->k->lanes,
        .w = is_ready ? NULL : x->packed.data,
        .product = at(x->product, row * x->G * x->Hp), .ld_product = x->G * x->Hp,
        .a = at(x->a, row * x->K), .K = x->K, .lda = x->K,
        .b_hn = x->b_hn.data,
        .gates = at(x->gates, row * x->ld_gates), .ld_gates = x->ld_gates, .keep = keep,
        .h_prev = at(x->h_prev, row * x->ld_h), .ld_h_prev = x->ld_h,
        .c_prev = at(x->c_prev, row * x->Hp), .ld_c_prev = x->Hp,
        .c = at(x->c, row * x->Hp), .ld_c = x->Hp,
        .h = at(x->h, row * x->ld_h), .ld_h = x->ld_h,
        .mid = needs_mid ? at(x->mid, row * x->Hp) : NULL, .ld_mid = x->Hp,
    };
    x->k->forward[x->kernel](&s);
}

// Pre-activation of gate g of the tile; `x` holds the gates as they were before the kernel.
static double pre_activation(const fixture *x, ptrdiff_t row, ptrdiff_t u, ptrdiff_t g)
{
    double sum = get(x->gates, row * x->ld_gates + kernels[x->kernel].tile[g] * x->Hp + u);
    if (x->kernel == FR_GRU && g == 2) sum = get(x->b_hn, u);
    if (x->kernel == FR_PROJECT) sum = 0;
    for (ptrdiff_t k = 0; k < x->K; k++)
        sum += get(x->a, row * x->K + k) * get(x->w, k * x->G * x->Hp + tile_column(x, u, g));
    return sum;
}

// The product alone, as another engine would hand it over.
static void fill_product(fixture *x)
{
    for (ptrdiff_t row = 0; row < x->rows; row++)
        for (ptrdiff_t column = 0; column < x->G * x->Hp; column++) {
            double sum = 0;
            for (ptrdiff_t k = 0; k < x->K; k++)
                sum += get(x->a, row * x->K + k) * get(x->w, k * x->G * x->Hp + column);
            set(x->product, row * x->G * x->Hp + column, sum);
        }
}

static void expect(const fixture *x, const char *what, double got, double want)
{
    CHECK(is_close(got, want, x->k->itemsize), "%s %s, %td rows, H %td, K %td: %s is %.9g, expected %.9g", x->k->isa,
          kernels[x->kernel].name, x->rows, x->H, x->K, what, got, want);
}

// Everything a kernel leaves for unit u of a row; `x` is before, `y` after it.
static void check_unit(const fixture *x, const fixture *y, ptrdiff_t row, ptrdiff_t u, int keep, int with_mid)
{
    const ptrdiff_t Hp = x->Hp, gate = row * x->ld_gates + u;
    const double h = get(with_mid ? y->mid : y->h, with_mid ? row * Hp + u : row * x->ld_h + u);
    double pre[4] = {0};
    for (ptrdiff_t g = 0; g < x->G; g++) pre[g] = pre_activation(x, row, u, g);
    unit in = {.a = pre[0], .h_prev = get(x->h_prev, row * x->ld_h + u), .c_prev = get(x->c_prev, row * Hp + u)};
    switch (x->kernel) {
    case FR_RNN_TANH:
    case FR_RNN_RELU:
        expect(x, "h", h, x->kernel == FR_RNN_TANH ? rnn_tanh_h(in) : rnn_relu_h(in));
        if (keep) expect(x, "kept h", get(y->gates, gate), get(y->h, row * x->ld_h + u));
        break;
    case FR_LSTM:
        in.i = pre[0], in.f = pre[1], in.g = pre[2], in.o = pre[3];
        expect(x, "h", h, lstm_h(in));
        expect(x, "c", get(y->c, row * Hp + u), lstm_c(in));
        const double activated[] = {sigmoid(in.i), sigmoid(in.f), tanh(in.g), sigmoid(in.o)};
        for (int g = 0; keep && g < 4; g++) expect(x, "a gate", get(y->gates, gate + g * Hp), activated[g]);
        break;
    case FR_GRU:
        in.n = get(x->gates, gate), in.r = pre[0], in.z = pre[1], in.h_n = pre[2];
        expect(x, "h", h, gru_h(in));
        const double kept[] = {gru_candidate_reset_after(in), sigmoid(in.r), sigmoid(in.z), in.h_n};
        for (int g = 0; keep && g < 4; g++) expect(x, "a gate", get(y->gates, gate + g * Hp), kept[g]);
        break;
    case FR_GRU_RESET:
        in.r = pre[0], in.z = pre[1];
        expect(x, "mid", get(y->mid, row * Hp + u), gru_mid(in));
        expect(x, "r", get(y->gates, gate + Hp), sigmoid(in.r));
        expect(x, "z", get(y->gates, gate + 2 * Hp), sigmoid(in.z));
        break;
    case FR_GRU_CANDIDATE:  // z stands activated in the gates
        in.n = pre[0];
        expect(x, "h", h, gru_mix(get(x->gates, gate + 2 * Hp), gru_candidate(in), in.h_prev));
        if (keep) expect(x, "n", get(y->gates, gate), gru_candidate(in));
        break;
    case FR_PROJECT:
        expect(x, "h", h, pre[0]);
        break;
    }
}

static void check_case(const fr_kernels *k, int kernel, ptrdiff_t rows, ptrdiff_t H, ptrdiff_t K, int keep,
                       int is_ready)
{
    const int with_mid = kernel == FR_LSTM && rows % 2;
    fixture x = fixture_new(k, kernel, rows, H, K);
    if (is_ready) fill_product(&x);
    fixture together = fixture_copy(x), alone = fixture_copy(x);
    run(&together, 0, rows, keep, with_mid, is_ready);
    for (ptrdiff_t row = 0; row < rows; row++) run(&alone, row, 1, keep, with_mid, is_ready);
    for (ptrdiff_t row = 0; row < rows; row++) {
        for (ptrdiff_t u = 0; u < H; u++) check_unit(&x, &together, row, u, keep, with_mid);
        for (ptrdiff_t u = H; u < x.ld_h; u++)
            CHECK(isnan(get(together.h, row * x.ld_h + u)), "%s %s: h is written past its end", k->isa,
                  kernels[kernel].name);
    }
    array *ours[] = ARRAYS(together), *theirs[] = ARRAYS(alone);
    for (size_t n = 0; n < COUNT(ours); n++)
        CHECK(same_bits(*ours[n], *theirs[n]), "%s %s, %td rows, H %td: other bits alone", k->isa,
              kernels[kernel].name, rows, H);
    fixture_free(&x);
    fixture_free(&together);
    fixture_free(&alone);
}

void test_forward(const fr_kernels *k)
{
    const ptrdiff_t VL = k->lanes, sizes[] = {1, VL, VL + 1, 2 * VL + 1, 5 * VL - 1};
    const ptrdiff_t rows[] = {1, 2, 7, 10}, sums[] = {0, 1, 9};
    for (int kernel = 0; kernel < FR_FORWARD_KERNELS; kernel++)
        for (size_t n = 0; n < COUNT(sizes); n++)
            for (size_t m = 0; m < COUNT(rows); m++)
                for (size_t i = 0; i < COUNT(sums); i++)
                    for (int keep = 0; keep < 2; keep++)
                        check_case(k, kernel, rows[m], sizes[n], sums[i], keep, (int)(m + n) % 2);
}
