// A step of a cell with a variant: what it reads, drawn at random, and its kernels run in one way or another.
#ifndef FR_TESTS_STEP_H
#define FR_TESTS_STEP_H

#include "check.h"
#include "row.h"

typedef struct {
    int cell;
    const char *name;
    int norm, peepholes, zoneout, projects;
    double clip;  // 0: none
    fr_activation gate, candidate, output;
} design;

// What a step reads. `x` and `h` are the products of each kernel, their columns in the order of the tile.
typedef struct {
    const fr_kernels *k;
    const design *d;
    fr_variant v;
    int kernels, is_lstm;
    ptrdiff_t rows, H, Hp;
    row *in;
    matrix bias, peephole, norm_x, norm_h, norm_c, x[2], h[2], h_prev, c_prev, zone_h, zone_c, d_out, dh, dc, d_mid;
    ptrdiff_t ld_zone;  // 0: one row for all
    matrix identity;    // times a product gives the product
} fixture;

// What it leaves, forward and backward.
typedef struct {
    matrix gates, product[2], c, h, mid, extra, dh, dc, d_mid, mid_back;
} result;

// One way to run it. `fused`: kernels multiply, by an identity; else the products are ready.
typedef struct {
    int fused, forward_only, singly, halves, down;
} manner;

#define MATRICES(y) {&(y).gates, &(y).product[0], &(y).product[1], &(y).c, &(y).h, &(y).mid, &(y).extra, &(y).dh, \
                     &(y).dc, &(y).d_mid, &(y).mid_back}

fixture step_new(const fr_kernels *k, const design *d, ptrdiff_t rows, ptrdiff_t H);
void step_free(fixture *f);

// Forward and, unless forward_only, backward from what forward has kept.
result step_run(const fixture *f, manner how);
void result_free(result *y);

#endif
