// The forward kernels of the plain cells against the equations in double, and the bits of all the ways to run a step against each other.
#include "cells.h"
#include "check.h"

// Blocks of a row of gates (fr_kernels.h), and the first of those that x and a are multiplied into.
static const struct {
    const char *name;
    int blocks, x_block, h_block;
} kernels[PLAIN_FORWARD] = {
    [FR_RNN_TANH] = {"rnn_tanh", 1, 0, 0},   [FR_RNN_RELU] = {"rnn_relu", 1, 0, 0},
    [FR_LSTM] = {"lstm", 4, 0, 0},           [FR_GRU] = {"gru", 4, 0, 1},
    [FR_GRU_RESET] = {"gru_reset", 3, 1, 1}, [FR_GRU_CANDIDATE] = {"gru_candidate", 3, 0, 0},
    [FR_PROJECT] = {"project", 1, 0, 0},
};

// What a step reads.
typedef struct {
    const fr_kernels *k;
    int kernel, keep, with_mid;
    ptrdiff_t rows, H, Hp, K, X, x_columns, h_columns;
    matrix bias, x, w_x, a, w, product, z, h_prev, c_prev;
    array packed_x, packed;
} fixture;

// What it leaves; `begin` is what the gates held before.
typedef struct {
    matrix begin, gates, c, h, mid;
} result;

// One way to run it. Without `fused` the gates come from `input`; with `ready` the recurrent product is made here.
typedef struct {
    int fused, ready, in_place, halves;
    ptrdiff_t group;  // rows at once, 0 for all
} manner;

// Weights (K, units of Hp, G): columns in the order of the tile, [unit vector][gate][lane].
static ptrdiff_t tile_column(const fixture *f, ptrdiff_t u, ptrdiff_t G, ptrdiff_t g)
{
    const ptrdiff_t VL = f->k->lanes;
    return (u / VL * G + g) * VL + u % VL;
}

static array packed(const fixture *f, matrix w, ptrdiff_t columns)
{
    const array out = array_new(f->k->itemsize, w.rows * w.columns);
    f->k->pack(w.elements.data, w.ld, 1, w.rows, w.columns, f->k->panel_units[f->kernel] * columns, out.data);
    return out;
}

static double dot(matrix a, ptrdiff_t row, matrix w, ptrdiff_t column)
{
    double sum = 0;
    for (ptrdiff_t k = 0; k < w.rows; k++) sum += entry(a, row, k) * entry(w, k, column);
    return sum;
}

static fixture fixture_new(const fr_kernels *k, int kernel, ptrdiff_t rows, ptrdiff_t H, ptrdiff_t K, ptrdiff_t X,
                           int keep)
{
    const ptrdiff_t size = k->itemsize, Hp = (H + k->lanes - 1) / k->lanes * k->lanes;
    fixture f = {.k = k, .kernel = kernel, .keep = keep, .rows = rows, .H = H, .Hp = Hp, .K = K, .X = X};
    // an LSTM has either h or mid
    f.with_mid = kernel == FR_GRU_RESET || (kernel == FR_LSTM && rows % 2);
    f.x_columns = k->x_columns[kernel], f.h_columns = k->h_columns[kernel];
    f.bias = matrix_random(size, 1, kernels[kernel].blocks * Hp, -1, 1);
    f.x = matrix_random(size, rows, X, -1, 1);
    f.w_x = matrix_random(size, X, f.x_columns * Hp, -0.5, 0.5);
    f.a = matrix_random(size, rows, K, -1, 1);
    f.w = matrix_random(size, K, f.h_columns * Hp, -0.5, 0.5);
    f.product = matrix_new(size, rows, f.h_columns * Hp);
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t n = 0; n < f.product.columns; n++) set_entry(f.product, row, n, dot(f.a, row, f.w, n));
    f.z = matrix_random(size, rows, Hp, 0, 1);
    f.h_prev = matrix_random(size, rows, H, -1, 1);
    f.c_prev = matrix_random(size, rows, Hp, -2, 2);
    f.packed_x = packed(&f, f.w_x, f.x_columns);
    f.packed = packed(&f, f.w, f.h_columns);
    return f;
}

static void fixture_free(fixture *f)
{
    matrix *all[] = {&f->bias, &f->x, &f->w_x, &f->a, &f->w, &f->product, &f->z, &f->h_prev, &f->c_prev};
    for (size_t n = 0; n < COUNT(all); n++) matrix_free(all[n]);
    array_free(&f->packed_x);
    array_free(&f->packed);
}

static void result_free(result *y)
{
    matrix *all[] = {&y->begin, &y->gates, &y->c, &y->h, &y->mid};
    for (size_t n = 0; n < COUNT(all); n++) matrix_free(all[n]);
}

// Either the input's share of the gates, or the step itself, for some rows and units.
static void run(const fixture *f, const result *y, manner how, int is_input, ptrdiff_t row, ptrdiff_t rows,
                ptrdiff_t u0, ptrdiff_t u1)
{
    const int with_x = f->x_columns && (is_input || how.fused), with_gates = is_input || !how.fused || f->keep;
    const int passes_z = f->kernel == FR_GRU_RESET || f->kernel == FR_GRU_CANDIDATE;
    fr_step s = {.rows = rows, .H = f->H, .Hp = f->Hp, .u0 = u0, .u1 = u1, .bias = f->bias.elements.data};
    if (with_x) s.x = row_of(f->x, row), s.X = f->X, s.ldx = f->x.ld, s.w_x = f->packed_x.data;
    if (with_gates || passes_z) s.gates = row_of(y->gates, row), s.ld_gates = y->gates.ld;
    if (is_input) {
        f->k->input[f->kernel](&s);
        return;
    }
    s.a = row_of(f->a, row), s.K = f->K, s.lda = f->a.ld;
    if (how.ready) s.product = row_of(f->product, row), s.ld_product = f->product.ld;
    else s.w = f->packed.data;
    s.keep = f->keep;
    s.h_prev = row_of(f->h_prev, row), s.ld_h_prev = f->h_prev.ld;
    s.c = row_of(y->c, row), s.ld_c = y->c.ld;
    s.c_prev = how.in_place ? s.c : row_of(f->c_prev, row), s.ld_c_prev = how.in_place ? y->c.ld : f->c_prev.ld;
    s.h = row_of(y->h, row), s.ld_h = y->h.ld;
    if (f->with_mid) s.mid = row_of(y->mid, row), s.ld_mid = y->mid.ld;
    f->k->forward[f->kernel](&s);
}

static void run_parts(const fixture *f, const result *y, manner how, int is_input)
{
    const ptrdiff_t vectors = f->Hp / f->k->lanes, panel = f->k->panel_units[f->kernel];
    const ptrdiff_t middle = how.halves ? (vectors + panel - 1) / panel / 2 * panel : vectors;
    const ptrdiff_t group = how.group ? how.group : f->rows;
    for (ptrdiff_t row = 0; row < f->rows; row += group) {
        const ptrdiff_t rows = f->rows - row < group ? f->rows - row : group;
        run(f, y, how, is_input, row, rows, 0, middle);
        run(f, y, how, is_input, row, rows, middle, vectors);
    }
}

static result result_of(const fixture *f, manner how)
{
    const ptrdiff_t size = f->k->itemsize, Hp = f->Hp;
    const int blocks = f->kernel == FR_GRU && !f->keep ? 3 : kernels[f->kernel].blocks;  // h_n: only in training
    result y = {.gates = matrix_new(size, f->rows, blocks * Hp), .h = matrix_new(size, f->rows, f->H)};
    y.c = how.in_place && f->kernel == FR_LSTM ? matrix_copy(f->c_prev) : matrix_new(size, f->rows, Hp);
    y.mid = matrix_new(size, f->rows, Hp);
    for (ptrdiff_t row = 0; f->kernel == FR_GRU_CANDIDATE && row < f->rows; row++)
        memcpy((char *)row_of(y.gates, row) + 2 * Hp * size, row_of(f->z, row), (size_t)(Hp * size));
    if (f->x_columns && !how.fused) run_parts(f, &y, how, 1);
    y.begin = matrix_copy(y.gates);
    run_parts(f, &y, how, 0);
    return y;
}

static void expect(const fixture *f, const char *what, double got, double want)
{
    CHECK(is_close(got, want, f->k->itemsize), "%s %s, %td rows, H %td, K %td, X %td: %s is %.9g, expected %.9g",
          f->k->isa, kernels[f->kernel].name, f->rows, f->H, f->K, f->X, what, got, want);
}

// What `block` of a row of gates holds before its function, with the state's share or without.
static double pre_activation(const fixture *f, ptrdiff_t row, ptrdiff_t u, ptrdiff_t block, int with_state)
{
    const ptrdiff_t from_x = block - kernels[f->kernel].x_block, from_h = block - kernels[f->kernel].h_block;
    double sum = f->kernel == FR_PROJECT ? 0 : entry(f->bias, 0, block * f->Hp + u);
    if (from_x >= 0 && from_x < f->x_columns) sum += dot(f->x, row, f->w_x, tile_column(f, u, f->x_columns, from_x));
    if (with_state && from_h >= 0 && from_h < f->h_columns)
        sum += dot(f->a, row, f->w, tile_column(f, u, f->h_columns, from_h));
    return sum;
}

// Everything a kernel leaves for unit u of a row.
static void check_unit(const fixture *f, const result *y, ptrdiff_t row, ptrdiff_t u)
{
    const ptrdiff_t blocks = kernels[f->kernel].blocks;
    const double h = entry(f->with_mid ? y->mid : y->h, row, u), z = entry(f->z, row, u);
    double pre[4] = {0}, kept[4] = {NAN, NAN, NAN, NAN};
    for (ptrdiff_t block = 0; block < blocks; block++) pre[block] = pre_activation(f, row, u, block, 1);
    const unit in = {
        .i = pre[0], .f = pre[1], .g = pre[2], .o = pre[3], .c_prev = entry(f->c_prev, row, u),
        .n = pre[0], .r = pre[1], .z = pre[2], .h_n = pre[3], .h_prev = entry(f->h_prev, row, u), .a = pre[0],
    };
    switch (f->kernel) {
    case FR_RNN_TANH:
    case FR_RNN_RELU:
        kept[0] = f->kernel == FR_RNN_TANH ? rnn_tanh_h(in) : rnn_relu_h(in);
        expect(f, "h", h, kept[0]);
        break;
    case FR_LSTM:
        kept[0] = sigmoid(in.i), kept[1] = sigmoid(in.f), kept[2] = tanh(in.g), kept[3] = sigmoid(in.o);
        expect(f, "h", h, lstm_h(in));
        expect(f, "c", entry(y->c, row, u), lstm_c(in));
        break;
    case FR_GRU:
        kept[0] = gru_candidate_reset_after(in), kept[1] = sigmoid(in.r), kept[2] = sigmoid(in.z), kept[3] = in.h_n;
        expect(f, "h", h, gru_h(in));
        break;
    case FR_GRU_RESET:
        kept[1] = sigmoid(in.r), kept[2] = sigmoid(in.z);
        expect(f, "mid", h, gru_mid(in));
        expect(f, "z", entry(y->gates, row, 2 * f->Hp + u), kept[2]);
        break;
    case FR_GRU_CANDIDATE:  // z stands activated in the gates
        kept[0] = gru_candidate(in), kept[2] = z;
        expect(f, "h", h, gru_mix(z, kept[0], in.h_prev));
        break;
    case FR_PROJECT:
        expect(f, "h", h, pre[0]);
        break;
    }
    for (ptrdiff_t block = 0; f->keep && block < blocks; block++)
        if (!isnan(kept[block])) expect(f, "a gate", entry(y->gates, row, block * f->Hp + u), kept[block]);
}

// `input` has filled its blocks and no other.
static void check_input(const fixture *f, const result *y)
{
    const ptrdiff_t first = kernels[f->kernel].x_block;
    for (ptrdiff_t row = 0; row < f->rows; row++)
        for (ptrdiff_t block = 0; block < y->begin.columns / f->Hp; block++) {
            const int is_filled = block >= first && block < first + f->x_columns;
            const int is_z = f->kernel == FR_GRU_CANDIDATE && block == 2;
            for (ptrdiff_t u = 0; u < f->Hp; u++) {
                const double got = entry(y->begin, row, block * f->Hp + u);
                if (is_filled) expect(f, "the input's share", got, pre_activation(f, row, u, block, 0));
                else CHECK(is_z || isnan(got), "%s %s: input wrote %td", f->k->isa, kernels[f->kernel].name, block);
            }
        }
}

// Nothing is written beyond a row, nor gates that nobody asked for; padding lanes are finite.
static void check_edges(const fixture *f, const result *y)
{
    const char *isa = f->k->isa, *name = kernels[f->kernel].name;
    const int makes_h = f->kernel != FR_GRU_RESET && !f->with_mid;
    const matrix all[] = {y->gates, y->c, y->h, y->mid};
    for (size_t n = 0; n < COUNT(all); n++) CHECK(has_margins(all[n]), "%s %s wrote past a row of %zu", isa, name, n);
    for (ptrdiff_t row = 0; row < f->rows; row++) {
        for (ptrdiff_t n = 0; !f->keep && n < y->gates.columns; n++) {
            const double before = entry(y->begin, row, n), after = entry(y->gates, row, n);
            const int is_z = f->kernel == FR_GRU_RESET && n / f->Hp == 2;
            CHECK(is_z || before == after || (isnan(before) && isnan(after)), "%s %s kept block %td", isa, name,
                  n / f->Hp);
        }
        for (ptrdiff_t u = 0; u < f->Hp; u++) {
            CHECK(isfinite(entry(y->c, row, u)) == (f->kernel == FR_LSTM), "%s %s: c, unit %td", isa, name, u);
            CHECK(isfinite(entry(y->mid, row, u)) == f->with_mid, "%s %s: mid, unit %td", isa, name, u);
            if (u < f->H) CHECK(isfinite(entry(y->h, row, u)) == makes_h, "%s %s: h, unit %td", isa, name, u);
        }
    }
}

static void check_result(const fixture *f, const result *y)
{
    check_input(f, y);
    check_edges(f, y);
    for (ptrdiff_t row = 0; row < f->rows; row++)
        for (ptrdiff_t u = 0; u < f->H; u++) check_unit(f, y, row, u);
}

static void check_bits(const fixture *f, const result *y, manner how)
{
    result other = result_of(f, how);
    if (how.fused && f->x_columns) check_edges(f, &other);
    const matrix ours[] = {y->c, y->h, y->mid, y->gates}, theirs[] = {other.c, other.h, other.mid, other.gates};
    for (size_t n = 0; n < (how.fused && !f->keep ? 3 : COUNT(ours)); n++)
        CHECK(same_bits(ours[n].elements, theirs[n].elements),
              "%s %s, %td rows, H %td, K %td, X %td: other bits in %zu%s%s%s%s, %td rows at once", f->k->isa,
              kernels[f->kernel].name, f->rows, f->H, f->K, f->X, n, how.fused ? ", fused" : "",
              how.ready ? ", product ready" : "", how.in_place ? ", in place" : "", how.halves ? ", in halves" : "",
              how.group);
    result_free(&other);
}

static void check_case(const fr_kernels *k, int kernel, ptrdiff_t rows, ptrdiff_t H, ptrdiff_t K, ptrdiff_t X, int keep)
{
    static const manner others[] = {
        {.fused = 1}, {.halves = 1}, {.group = 1}, {.group = 4}, {.in_place = 1},
        {.fused = 1, .halves = 1}, {.fused = 1, .group = 1}, {.fused = 1, .group = 5, .in_place = 1},
    };
    fixture f = fixture_new(k, kernel, rows, H, K, X, keep);
    for (int ready = 0; ready < 2; ready++) {
        result y = result_of(&f, (manner){.ready = ready});
        check_result(&f, &y);
        for (size_t n = 0; n < COUNT(others); n++) {
            manner how = others[n];
            how.ready = ready;
            check_bits(&f, &y, how);
        }
        result_free(&y);
    }
    fixture_free(&f);
}

void test_forward(const fr_kernels *k)
{
    const ptrdiff_t VL = k->lanes, sizes[] = {1, VL, VL + 1, 4 * VL, 5 * VL - 1, 9 * VL + 1};
    static const ptrdiff_t sums[][2] = {{0, 0}, {9, 1}, {1, 6}, {5, 0}};  // K, X
    CHECK(!k->input[FR_PROJECT] && !k->x_columns[FR_PROJECT], "%s: the projection has no input", k->isa);
    for (int kernel = 0; kernel < PLAIN_FORWARD; kernel++)
        for (size_t n = 0; n < COUNT(sizes); n++)
            for (ptrdiff_t rows = 1; rows <= 9; rows++)
                for (size_t i = 0; i < COUNT(sums); i++)
                    for (int keep = 0; keep < 2; keep++)
                        check_case(k, kernel, rows, sizes[n], sums[i][0], sums[i][1], keep);
}
