// The kernels, seen from outside: one table of functions per (dtype, ISA). Data arrive as untyped pointers because
// the table carries the type; every leading dimension (`ld_*`, `lda`, ...) counts elements, not bytes.
//
// Vocabulary: N rows (sequences of the batch), H units, Hp = H rounded up to whole vectors of VL lanes,
// K length of a sum, S = sum of the lengths of a packed batch (time-major, rows sorted by falling length).
//
// Column layout of a row of gates, each block Hp wide (the padding lanes hold finite values that nobody reads):
//   RNN                 [a]
//   LSTM                [i f g o]
//   GRU, reset after    [n r z | h_n]   h_n = W_hn h + b_hn stands there only in training
//   GRU, reset before   [n r z]
// The order lets both products of backward read one contiguous range. The biases stand in the same blocks, h_n's too.
//
// Promise of every product: an element is one chain of multiply-adds, k = 0 .. K-1, begun at the value found in its
// place. Its bits therefore depend on its own row only, never on how rows are grouped into tiles or threads.
#ifndef FR_KERNELS_H
#define FR_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define FR_PANEL_MAX 4  // vectors side by side in a tile
#define FR_ROWS_MAX 8   // rows of a tile
#define FR_RSTD 8       // at the end of an `extra` row: 1 / sqrt(variance + eps) of each group

enum fr_function { FR_EXP, FR_SIGMOID, FR_TANH, FR_FUNCTIONS };

// A step forward is one or two of these, each a product followed by what consumes it.
enum fr_forward {
    FR_RNN_TANH,       // h = tanh(a)
    FR_RNN_RELU,       // h = max(a, 0)
    FR_LSTM,           // c = f c_prev + i g, h = o tanh(c); with `mid`: mid = o tanh(c) instead of h
    FR_GRU,            // reset after: n = tanh(x_n + r h_n), h = (1 - z) n + z h_prev
    FR_GRU_RESET,      // reset before, first: r, z, mid = r h_prev
    FR_GRU_CANDIDATE,  // reset before, then: n = tanh(x_n + W_hn mid), h = (1 - z) n + z h_prev
    FR_PROJECT,        // h = W_hr mid
    FR_LSTM_COUPLED,   // FR_LSTM of three gates, f = 1 - i; always with a variant
    FR_LSTM_OUTPUT,    // with norm_c, after FR_LSTM, which leaves c in `mid`: h (or mid) = o tanh(LN(c)); no product
    FR_FORWARD_KERNELS
};

// A step backward is one or two of these, each followed by a product with recurrent weights.
enum fr_backward {
    FR_D_RNN_TANH,
    FR_D_RNN_RELU,
    FR_D_LSTM,
    FR_D_GRU,
    FR_D_GRU_CANDIDATE,
    FR_D_GRU_RESET,
    FR_D_PROJECT,
    FR_D_LSTM_COUPLED,
    FR_D_LSTM_OUTPUT,
    FR_BACKWARD_KERNELS
};

// y = phi(a); formulas stand in variant.inc.
enum fr_activation_kind {
    FR_A_SIGMOID, FR_A_TANH, FR_A_RELU, FR_A_AFFINE, FR_A_LEAKY_RELU, FR_A_THRESHOLDED_RELU, FR_A_SCALED_TANH,
    FR_A_HARD_SIGMOID, FR_A_ELU, FR_A_SOFTSIGN, FR_A_SOFTPLUS
};

typedef struct fr_activation {
    int kind;
    double alpha, beta;
} fr_activation;

// What tells a cell from the plain one. A step with a variant keeps pre-activations for backward instead of gates, and
// its `extra` rows hold, in blocks of Hp, of which the first `sums` are summed over all rows when backward is done:
//   [peephole products P | normalised W_ih x: B | normalised W_hh h: B | c: 2 | d_c: 1 | d(W_ih x): B | d(W_hh h): B]
// with P = peepholes, B = blocks of a row of gates; all after P only with a norm, and then FR_RSTD elements more.
typedef struct fr_variant {
    fr_activation gate, candidate, output;
    double clip;            // of the arguments of gate and candidate; INFINITY for none
    ptrdiff_t peepholes;    // 0, or 3: i, f, o, or 2: i, o where the gates are coupled
    ptrdiff_t blocks;       // B
    int projects;           // FR_PROJECT follows
    const void *peephole;   // (P, Hp)
    const void *norm_x;     // (B, Hp): the gain of LN(W_ih x), in the columns of gates; NULL: no norm. With it x is
    const void *norm_h;     // NULL, `gates` comes without bias, and the recurrent product is ready
    const void *norm_c;     // (2, Hp): gain and shift of LN(c), LSTM
} fr_variant;

// One step of one direction for `rows` rows. Pointers stand at the first row. The pre-activations are summed in this
// order: bias, W_ih x, W_hh h; whoever has made the first two ahead passes them in `gates`, and no x.
typedef struct fr_step {
    ptrdiff_t rows, H, Hp;
    ptrdiff_t u0, u1;    // vectors of units to compute: whole panels of the kernel, or up to the last; all with a norm
    int down;            // last panel first: every other step, to meet the weights that are still in cache
    const void *bias;    // (blocks, Hp) in
    const void *x;       // (rows, X) in, or NULL: `gates` holds bias + W_ih x
    ptrdiff_t X, ldx;
    const void *w_x;     // packed input weights in panels of this kernel
    const void *a;       // (rows, K) in: left operand of the recurrent product
    ptrdiff_t K, lda;
    const void *w;       // packed recurrent weights in panels of this kernel, or NULL: `product` is ready
    void *product;       // (rows, unit vectors with their columns side by side) in, only where w is NULL; with a norm
                         // it is overwritten
    ptrdiff_t ld_product;
    void *gates;         // (rows, blocks Hp) in, see x; out where keep: activated gates. Unused otherwise, but for what
                         // the next kernel finds there: z of FR_GRU_RESET, with norm_c o of FR_LSTM
    ptrdiff_t ld_gates;
    int keep;            // store what backward needs
    const void *h_prev;  // (rows, H) in, GRU; all with zone_h
    ptrdiff_t ld_h_prev;
    const void *c_prev;  // (rows, Hp) in, LSTM; may be c
    ptrdiff_t ld_c_prev;
    void *c;             // (rows, Hp) out, LSTM
    ptrdiff_t ld_c;
    void *h;             // (rows, H) out
    ptrdiff_t ld_h;
    void *mid;           // (rows, Hp) out or in: between the two kernels of a step
    ptrdiff_t ld_mid;
    const fr_variant *variant; // NULL for the plain cell, and then nothing below is read
    const void *zone_h, *zone_c; // (rows, H) in: h = h_prev + zone_h (h_next - h_prev), c likewise; or NULL
    ptrdiff_t ld_zone_h, ld_zone_c;
    void *extra;         // see fr_variant; NULL where nothing is kept
    ptrdiff_t ld_extra;
} fr_step;

// The gradient of one step. `dh` and `d_mid` are running sums: a kernel takes what later steps left there, and leaves
// what does not pass through the product that follows (which adds to it).
typedef struct fr_step_back {
    ptrdiff_t rows, H, Hp;
    ptrdiff_t u0, u1;    // vectors of units to compute
    void *gates;         // (rows, G Hp) in: what forward kept; out: gradient of the pre-activations
    ptrdiff_t ld_gates;
    const void *h_prev;  // (rows, H) in, GRU
    ptrdiff_t ld_h_prev;
    const void *c_prev;  // (rows, Hp) in, LSTM
    ptrdiff_t ld_c_prev;
    const void *c;       // (rows, Hp) in, LSTM without a variant
    ptrdiff_t ld_c;
    const void *d_out;   // (rows, H) in: gradient of the output, or NULL
    ptrdiff_t ld_d_out;
    void *dh;            // (rows, Hp) in, out
    ptrdiff_t ld_dh;
    void *dc;            // (rows, Hp) in, out, LSTM
    ptrdiff_t ld_dc;
    void *mid;           // (rows, Hp) out: r h_prev (GRU reset before), o tanh(c) (LSTM; may be NULL), dh (project)
    ptrdiff_t ld_mid;
    void *d_mid;         // (rows, Hp) in, out: running sum of the inner product
    ptrdiff_t ld_d_mid;
    const fr_variant *variant;
    const void *zone_h, *zone_c;
    ptrdiff_t ld_zone_h, ld_zone_c;
    void *extra;         // in: what forward kept; out: see fr_variant
    ptrdiff_t ld_extra;
} fr_step_back;

// C[m, n] += sum_k A[m, k] B[k, n]
typedef struct fr_product {
    ptrdiff_t M, N, K;
    const void *a;       // element (m, k) at a[m * a_row + k * a_col]
    ptrdiff_t a_row, a_col;
    const void *b;       // packed by `pack` with panels of FR_PANEL_MAX vectors
    void *c;             // (M, N), rows ldc apart; in, out
    ptrdiff_t ldc;
} fr_product;

// Connectionist temporal classification of one sequence.
typedef struct fr_ctc {
    ptrdiff_t T, K, U;      // steps, classes, labels of the target; K > 0
    const void *logits;     // (T, K) in, steps ld_logits apart
    ptrdiff_t ld_logits;
    const int64_t *labels;  // (U,) in: in [0, K), none is the blank
    ptrdiff_t blank;        // in [0, K)
    void *d_logits;         // (T, K) out, steps ld_d_logits apart: gradient of the loss; 0 where the loss is inf
    ptrdiff_t ld_d_logits;
    void *scratch;          // fr_ctc_scratch(T, U, lanes) elements
} fr_ctc;

static inline ptrdiff_t fr_ctc_scratch(ptrdiff_t T, ptrdiff_t U, ptrdiff_t lanes)
{
    return (2 * T + 8) * ((U + 1 + lanes) / lanes * lanes) + 2 * lanes + 3 * T;
}

typedef struct fr_kernels {
    const char *isa;
    ptrdiff_t itemsize, lanes;
    // y[i] = function(x[i]), i < n
    void (*math[FR_FUNCTIONS])(const void *x, void *y, ptrdiff_t n);
    // Panels of `panel` vectors of columns; inside a panel k outermost; the last panel is as narrow as whole vectors
    // allow; padding columns are 0. `out` holds K * roundup(N, lanes) elements. B[k, n] at b[k * b_row + n * b_col].
    void (*pack)(const void *b, ptrdiff_t b_row, ptrdiff_t b_col, ptrdiff_t K, ptrdiff_t N, ptrdiff_t panel, void *out);
    // Rows k0 .. k0 + rows of what `pack` makes of a matrix (K, N) in panels of FR_PANEL_MAX vectors, from `rows` rows of
    // it, ldb apart: for a matrix whose rows lie in several places.
    void (*pack_rows)(const void *b, ptrdiff_t ldb, ptrdiff_t rows, ptrdiff_t N, ptrdiff_t k0, ptrdiff_t K, void *out);
    void (*product)(const fr_product *p);
    // y[n] += sum_m a[m, n], m ascending
    void (*add_rows)(const void *a, ptrdiff_t lda, ptrdiff_t M, ptrdiff_t N, void *y);
    // c[m, n] = a[m, n] b[m, n], or added to what is there
    void (*multiply_rows)(const void *a, ptrdiff_t lda, const void *b, ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, void *c,
                          ptrdiff_t ldc, int add);
    // vectors of units in one panel of a forward kernel, and of each the columns of w_x and of w
    ptrdiff_t panel_units[FR_FORWARD_KERNELS], x_columns[FR_FORWARD_KERNELS], h_columns[FR_FORWARD_KERNELS];
    void (*forward[FR_FORWARD_KERNELS])(const fr_step *s);
    // gates = bias + x w_x, what a forward kernel without x expects; rows may be those of many steps
    void (*input[FR_FORWARD_KERNELS])(const fr_step *s);
    void (*backward[FR_BACKWARD_KERNELS])(const fr_step_back *s);
    // -log p(target | softmax(logits)), in nats; inf where no path of T steps with a probability emits the target
    double (*ctc)(const fr_ctc *c);
} fr_kernels;

// itemsize 4 or 8; isa a name or NULL for the best that this machine runs (or FASTRNN_ISA, read once by the caller).
// NULL where the build or the machine lacks it.
const fr_kernels *fr_kernels_find(const char *isa, ptrdiff_t itemsize);

// Flush-to-zero and denormals-are-zero for the calling thread; `restore` takes what `enter` returned.
unsigned long long fr_flush_enter(void);
void fr_flush_restore(unsigned long long state);

#endif
