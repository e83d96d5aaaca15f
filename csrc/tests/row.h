// One step of one row of any cell with a variant, as the equations read, in double: what the variants' kernels are held
// against.
#ifndef FR_TESTS_ROW_H
#define FR_TESTS_ROW_H

#include "../fr_kernels.h"

enum { BLOCKS_MAX = 4, H_MAX = 48 };
enum { RNN, LSTM, LSTM_COUPLED, GRU, GRU_BEFORE, PROJECT, CELLS };

typedef double block[H_MAX];

// Nothing but double, so that each can be moved for a difference. Blocks are those of a row of gates (fr_kernels.h).
typedef struct {
    block x[BLOCKS_MAX], h[BLOCKS_MAX];  // W_ih x and W_hh h; 0 in blocks without such a share
    block h_prev, c_prev, zone_h, zone_c;
    block bias[BLOCKS_MAX], peephole[3], gain_x[BLOCKS_MAX], gain_h[BLOCKS_MAX], norm_c[2];
} row;

typedef struct {
    block h, c, mid;  // mid: o H(c) of an LSTM, r h_prev of a GRU
} outcome;

double phi(fr_activation f, double a);

// Of `v` the numbers are read, and of the pointers whether they are NULL. nearest_kink falls to the distance of an
// argument from where its function is not smooth, least_deviation to the standard deviation of what is normalised.
extern double nearest_kink, least_deviation;
void step_row(int cell, const fr_variant *v, ptrdiff_t H, const row *in, outcome *out);

#endif
