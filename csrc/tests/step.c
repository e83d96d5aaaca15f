#include "step.h"

// The kernels of a step, and where in a row of gates the operands of each have their columns; an LSTM without norm has
// the first only. Backward runs them from the last to the first.
static const struct {
    int blocks, kernels, forward[2], backward[2], x_block[2], h_block[2];
} cells[CELLS] = {
    [RNN] = {1, 1, {FR_RNN_TANH}, {FR_D_RNN_TANH}, {0}, {0}},
    [LSTM] = {4, 1, {FR_LSTM, FR_LSTM_OUTPUT}, {FR_D_LSTM, FR_D_LSTM_OUTPUT}, {0}, {0}},
    [LSTM_COUPLED] = {3, 1, {FR_LSTM_COUPLED, FR_LSTM_OUTPUT}, {FR_D_LSTM_COUPLED, FR_D_LSTM_OUTPUT}, {0}, {0}},
    [GRU] = {4, 1, {FR_GRU}, {FR_D_GRU}, {0}, {1}},
    [GRU_BEFORE] = {3, 2, {FR_GRU_RESET, FR_GRU_CANDIDATE}, {FR_D_GRU_RESET, FR_D_GRU_CANDIDATE}, {1, 0}, {1, 0}},
    [PROJECT] = {1, 1, {FR_PROJECT}, {FR_D_PROJECT}, {0}, {0}},
};

static int kernel_of(const fixture *f, int n) { return cells[f->d->cell].forward[n]; }
static ptrdiff_t x_columns(const fixture *f, int n) { return f->k->x_columns[kernel_of(f, n)]; }
static ptrdiff_t h_columns(const fixture *f, int n) { return f->k->h_columns[kernel_of(f, n)]; }

// Column of unit u of the g-th of G blocks: [unit vector][block][lane].
static ptrdiff_t tile_column(const fixture *f, ptrdiff_t u, ptrdiff_t G, ptrdiff_t g)
{
    const ptrdiff_t VL = f->k->lanes;
    return (u / VL * G + g) * VL + u % VL;
}

// Neighbours differ in sign, so that few variances are near 0.
static double draw(ptrdiff_t n) { return (n % 2 ? 1 : -1) * random_between(0.25, 1.5); }

// Blocks of Hp with numbers in all lanes, and those of units in double.
static matrix draw_parameter(const fixture *f, ptrdiff_t blocks, block *to)
{
    const matrix m = matrix_new(f->k->itemsize, 1, blocks * f->Hp);
    for (ptrdiff_t g = 0; g < blocks; g++)
        for (ptrdiff_t u = 0; u < f->Hp; u++) {
            set_entry(m, 0, g * f->Hp + u, draw(g + u));
            if (u < f->H) to[g][u] = entry(m, 0, g * f->Hp + u);
        }
    return m;
}

static void draw_product(const fixture *f, matrix m, ptrdiff_t r, ptrdiff_t G, block *to)
{
    for (ptrdiff_t g = 0; g < G; g++)
        for (ptrdiff_t u = 0; u < f->Hp; u++) {
            set_entry(m, r, tile_column(f, u, G, g), draw(g + u));
            if (u < f->H) to[g][u] = entry(m, r, tile_column(f, u, G, g));
        }
}

static void draw_state(matrix m, ptrdiff_t r, ptrdiff_t H, double *to)
{
    for (ptrdiff_t u = 0; u < m.columns; u++) {
        set_entry(m, r, u, draw(u));
        if (u < H) to[u] = entry(m, r, u);
    }
}

// All that belongs to row r: such that a central difference is accurate.
static void draw_row(const fixture *f, ptrdiff_t r, const row *parameters)
{
    row *in = &f->in[r];
    outcome out;
    do {
        *in = *parameters;
        for (int n = 0; n < f->kernels; n++) {
            draw_product(f, f->x[n], r, x_columns(f, n), in->x + cells[f->d->cell].x_block[n]);
            draw_product(f, f->h[n], r, h_columns(f, n), in->h + cells[f->d->cell].h_block[n]);
        }
        draw_state(f->h_prev, r, f->H, in->h_prev);
        draw_state(f->c_prev, r, f->H, in->c_prev);
        for (ptrdiff_t u = 0; u < f->H; u++) {
            in->zone_h[u] = f->d->zoneout ? entry(f->zone_h, f->ld_zone ? r : 0, u) : 1;
            in->zone_c[u] = f->d->zoneout ? entry(f->zone_c, f->ld_zone ? r : 0, u) : 1;
        }
        nearest_kink = least_deviation = INFINITY;
        step_row(f->d->cell, &f->v, f->H, in, &out);
    } while (nearest_kink < 5e-4 || least_deviation < 0.25);
}

fixture step_new(const fr_kernels *k, const design *d, ptrdiff_t rows, ptrdiff_t H)
{
    const ptrdiff_t size = k->itemsize, Hp = (H + k->lanes - 1) / k->lanes * k->lanes, blocks = cells[d->cell].blocks;
    const int is_lstm = d->cell == LSTM || d->cell == LSTM_COUPLED, kernels = cells[d->cell].kernels;
    fixture f = {.k = k, .d = d, .rows = rows, .H = H, .Hp = Hp, .is_lstm = is_lstm, .kernels = kernels};
    row parameters = {0};
    f.v = (fr_variant){.gate = d->gate, .candidate = d->candidate, .output = d->output, .blocks = blocks};
    f.v.clip = d->clip ? d->clip : INFINITY, f.v.projects = d->projects;
    if (d->peepholes) f.v.peepholes = d->cell == LSTM ? 3 : 2;
    if (d->norm && is_lstm) f.kernels = 2;
    f.bias = draw_parameter(&f, d->cell == PROJECT ? 0 : blocks, parameters.bias);
    f.peephole = draw_parameter(&f, f.v.peepholes, parameters.peephole);
    f.norm_x = draw_parameter(&f, d->norm ? blocks : 0, parameters.gain_x);
    f.norm_h = draw_parameter(&f, d->norm ? blocks : 0, parameters.gain_h);
    f.norm_c = draw_parameter(&f, d->norm && is_lstm ? 2 : 0, parameters.norm_c);
    if (d->peepholes) f.v.peephole = f.peephole.elements.data;
    if (d->norm) f.v.norm_x = f.norm_x.elements.data, f.v.norm_h = f.norm_h.elements.data;
    if (d->norm && is_lstm) f.v.norm_c = f.norm_c.elements.data;
    for (int n = 0; n < 2; n++) {
        f.x[n] = matrix_new(size, rows, n < f.kernels ? x_columns(&f, n) * Hp : 0);
        f.h[n] = matrix_new(size, rows, n < f.kernels ? h_columns(&f, n) * Hp : 0);
    }
    f.h_prev = matrix_new(size, rows, H), f.c_prev = matrix_new(size, rows, Hp);
    f.zone_h = matrix_new(size, rows, H), f.zone_c = matrix_new(size, rows, H);
    f.ld_zone = rows == 2 ? 0 : f.zone_h.ld;  // as outside training
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t u = 0; u < H; u++) {
            set_entry(f.zone_h, r, u, f.ld_zone ? (double)(random_bits() % 2) : 0.75);
            set_entry(f.zone_c, r, u, f.ld_zone ? (double)(random_bits() % 2) : 0.75);
        }
    f.d_out = matrix_random(size, rows, H, -1, 1), f.dh = matrix_random(size, rows, Hp, -1, 1);
    f.dc = matrix_random(size, rows, Hp, -1, 1), f.d_mid = matrix_random(size, rows, Hp, -1, 1);
    f.identity = matrix_new(size, rows, rows);
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t n = 0; n < rows; n++) set_entry(f.identity, r, n, r == n);
    f.in = malloc((size_t)rows * sizeof *f.in);
    for (ptrdiff_t r = 0; r < rows; r++) draw_row(&f, r, &parameters);
    return f;
}

static void free_all(matrix *all[], size_t count)
{
    for (size_t n = 0; n < count; n++) matrix_free(all[n]);
}

void step_free(fixture *f)
{
    matrix *all[] = {&f->bias, &f->peephole, &f->norm_x, &f->norm_h, &f->norm_c, &f->x[0], &f->x[1], &f->h[0], &f->h[1],
                    &f->h_prev, &f->c_prev, &f->zone_h, &f->zone_c, &f->d_out, &f->dh, &f->dc, &f->d_mid,
                    &f->identity};
    free_all(all, COUNT(all));
    free(f->in);
}

void result_free(result *y)
{
    matrix *all[] = MATRICES(*y);
    free_all(all, COUNT(all));
}

#define OPERAND(s, field, m, row) (s).field = row_of(m, row), (s).ld_##field = (m).ld

static void zone(const fixture *f, ptrdiff_t row, const void **zone_h, const void **zone_c)
{
    if (!f->d->zoneout) return;
    *zone_h = row_of(f->zone_h, f->ld_zone ? row : 0);
    *zone_c = row_of(f->zone_c, f->ld_zone ? row : 0);
}

static void forward(const fixture *f, const result *y, manner how, int n, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t u0,
                    ptrdiff_t u1)
{
    fr_step s = {.rows = rows, .H = f->H, .Hp = f->Hp, .u0 = u0, .u1 = u1, .down = how.down, .variant = &f->v};
    const ptrdiff_t panel = f->k->panel_units[kernel_of(f, n)];
    array w_x = array_new(f->k->itemsize, f->rows * f->x[n].columns);
    array w = array_new(f->k->itemsize, f->rows * f->h[n].columns);
    s.bias = f->bias.elements.data, s.keep = !how.forward_only;
    OPERAND(s, gates, y->gates, row);
    OPERAND(s, h_prev, f->h_prev, row);
    OPERAND(s, c, y->c, row);
    OPERAND(s, c_prev, how.forward_only ? y->c : f->c_prev, row);
    OPERAND(s, h, y->h, row);
    zone(f, row, &s.zone_h, &s.zone_c);
    s.ld_zone_h = s.ld_zone_c = f->ld_zone;
    if (f->d->projects || f->v.norm_c || f->d->cell == GRU_BEFORE) OPERAND(s, mid, y->mid, row);
    if (s.keep && y->extra.columns) OPERAND(s, extra, y->extra, row);
    if (how.fused) {
        f->k->pack(f->x[n].elements.data, f->x[n].ld, 1, f->rows, f->x[n].columns, panel * x_columns(f, n), w_x.data);
        f->k->pack(f->h[n].elements.data, f->h[n].ld, 1, f->rows, f->h[n].columns, panel * h_columns(f, n), w.data);
        s.x = s.a = row_of(f->identity, row), s.X = s.K = f->rows, s.ldx = s.lda = f->identity.ld;
        s.w_x = w_x.data, s.w = w.data;
    } else {
        OPERAND(s, product, y->product[n], row);
    }
    f->k->forward[kernel_of(f, n)](&s);
    array_free(&w_x);
    array_free(&w);
}

static void backward(const fixture *f, const result *y, int n, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t u0,
                     ptrdiff_t u1)
{
    fr_step_back s = {.rows = rows, .H = f->H, .Hp = f->Hp, .u0 = u0, .u1 = u1, .variant = &f->v};
    OPERAND(s, gates, y->gates, row);
    OPERAND(s, h_prev, f->h_prev, row);
    OPERAND(s, c_prev, f->c_prev, row);
    OPERAND(s, c, y->c, row);
    OPERAND(s, d_out, f->d_out, row);
    OPERAND(s, dh, y->dh, row);
    OPERAND(s, dc, y->dc, row);
    zone(f, row, &s.zone_h, &s.zone_c);
    s.ld_zone_h = s.ld_zone_c = f->ld_zone;
    if (f->d->projects || f->d->cell == GRU_BEFORE) OPERAND(s, d_mid, y->d_mid, row);
    if (s.d_mid || f->d->cell == PROJECT) OPERAND(s, mid, y->mid_back, row);
    if (y->extra.columns) OPERAND(s, extra, y->extra, row);
    f->k->backward[cells[f->d->cell].backward[n]](&s);
}

// Kernel by kernel, the rows singly or together, the units in halves or together.
static void run(const fixture *f, const result *y, manner how, int is_backward)
{
    const ptrdiff_t vectors = f->Hp / f->k->lanes, group = how.singly ? 1 : f->rows;
    for (int i = 0; i < f->kernels; i++)
        for (ptrdiff_t row = 0; row < f->rows; row += group) {
            const int n = is_backward ? f->kernels - 1 - i : i;
            const ptrdiff_t panel = is_backward ? 1 : f->k->panel_units[kernel_of(f, n)];
            const ptrdiff_t middle = how.halves ? vectors / 2 / panel * panel : vectors;
            for (ptrdiff_t u0 = 0, u1 = middle; u0 < vectors; u0 = u1, u1 = vectors) {
                if (is_backward) backward(f, y, n, row, group, u0, u1);
                else forward(f, y, how, n, row, group, u0, u1);
            }
        }
}

// `gates` as the kernels without input of their own expect them; a norm adds the bias itself.
static matrix gates_before(const fixture *f)
{
    const matrix gates = matrix_new(f->k->itemsize, f->rows, cells[f->d->cell].blocks * f->Hp);
    for (int n = 0; n < f->kernels; n++)
        for (ptrdiff_t r = 0; r < f->rows; r++)
            for (ptrdiff_t g = 0; g < x_columns(f, n); g++)
                for (ptrdiff_t u = 0; u < f->Hp; u++) {
                    const ptrdiff_t column = (cells[f->d->cell].x_block[n] + g) * f->Hp + u;
                    const double x = entry(f->x[n], r, tile_column(f, u, x_columns(f, n), g));
                    set_entry(gates, r, column, f->d->norm ? x : entry(f->bias, 0, column) + x);
                }
    return gates;
}

result step_run(const fixture *f, manner how)
{
    const ptrdiff_t size = f->k->itemsize, Hp = f->Hp, with_norm = (4 * f->v.blocks + 3) * Hp + FR_RSTD;
    const result y = {
        .gates = how.fused ? matrix_new(size, f->rows, f->v.blocks * Hp) : gates_before(f),
        .product = {matrix_copy(f->h[0]), matrix_copy(f->h[1])},
        .c = how.forward_only ? matrix_copy(f->c_prev) : matrix_new(size, f->rows, Hp),
        .h = matrix_new(size, f->rows, f->H), .mid = matrix_new(size, f->rows, Hp),
        .extra = matrix_new(size, f->rows, f->v.peepholes * Hp + (f->d->norm ? with_norm : 0)),
        .dh = matrix_copy(f->dh), .dc = matrix_copy(f->dc), .d_mid = matrix_copy(f->d_mid),
        .mid_back = matrix_new(size, f->rows, Hp),
    };
    run(f, &y, how, 0);
    if (!how.forward_only) run(f, &y, how, 1);
    return y;
}
