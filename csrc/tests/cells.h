// The equations of one unit in double: what the step kernels are held against.
#ifndef FR_TESTS_CELLS_H
#define FR_TESTS_CELLS_H

#include <math.h>

static inline double sigmoid(double x) { return 1 / (1 + exp(-x)); }

// Pre-activations, and what flows in from the step before.
typedef struct {
    double i, f, g, o, c_prev;     // LSTM
    double n, r, z, h_n, h_prev;   // GRU; h_n = W_hn h_prev + b_hn
    double a;                      // RNN
} unit;

static inline double lstm_c(unit u) { return sigmoid(u.f) * u.c_prev + sigmoid(u.i) * tanh(u.g); }
static inline double lstm_h(unit u) { return sigmoid(u.o) * tanh(lstm_c(u)); }

static inline double gru_candidate(unit u) { return tanh(u.n); }
static inline double gru_candidate_reset_after(unit u) { return tanh(u.n + sigmoid(u.r) * u.h_n); }
static inline double gru_mix(double z, double n, double h_prev) { return (1 - z) * n + z * h_prev; }
static inline double gru_h_reset_before(unit u) { return gru_mix(sigmoid(u.z), gru_candidate(u), u.h_prev); }
static inline double gru_h(unit u) { return gru_mix(sigmoid(u.z), gru_candidate_reset_after(u), u.h_prev); }
static inline double gru_mid(unit u) { return sigmoid(u.r) * u.h_prev; }

static inline double rnn_tanh_h(unit u) { return tanh(u.a); }
static inline double rnn_relu_h(unit u) { return u.a > 0 ? u.a : 0; }

#endif
