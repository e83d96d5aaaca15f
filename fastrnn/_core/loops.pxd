# One direction of one layer over all steps, as `loops.pyx` runs it.

from fastrnn._core.kernels cimport fr_flag, fr_kernels, fr_variant, pack_rows_function, product_function

cdef enum:
    KERNELS_MAX = 3
    GATES_MAX = 4
    OUTERS_MAX = 4


cdef struct Matrix:
    char *data          # element [0, 0]
    ptrdiff_t ld        # elements from row to row


# A kernel of a step with the weights of the product that stands before it (forward) or after it (backward).
cdef struct Operator:
    int kernel
    ptrdiff_t H, Hp     # units that the kernel writes
    const void *w_x     # packed input weights, forward
    const void *w       # the engine's form of the right operand
    ptrdiff_t K, N
    int from_mid        # forward: multiply mid instead of h_prev. backward: multiply mid instead of gates
    ptrdiff_t column    # backward: first column of gates that is multiplied
    int into_mid        # backward: the product is added to d_mid instead of dh


# The gradient of a weight: for each of its gates c[m, n] += sum_s a[s, m] b[s, n], m < M, n < N, over all packed rows
# s; b[s] is the state before s where `previous`.
cdef struct Outer:
    int n_gates
    Matrix a[GATES_MAX]
    Matrix c[GATES_MAX]
    Matrix b
    int previous
    ptrdiff_t M, N


cdef struct Loop:
    const fr_kernels *kernels
    product_function product        # forward: NULL where the kernels multiply for themselves
    pack_rows_function pack_rows    # backward
    ptrdiff_t itemsize
    int n_operators, has_cell
    Operator operators[KERNELS_MAX]
    ptrdiff_t X, R
    const void *bias
    const fr_variant *variant       # NULL: the plain cell
    Matrix zone_h, zone_c           # factors of zoneout by packed row, or of all rows (ld = 0)

    # a call
    ptrdiff_t T, N
    const long long *offsets        # (T + 1), or NULL: t N
    int reverse, keep, per_step_cells
    int flip            # panels last first in even steps instead of odd ones
    Matrix x            # (S, X); NULL: `gates` holds bias + W_ih x
    Matrix gates        # (S, blocks Hp) where `keep` or no x; else scratch of `gates_rows` rows
    ptrdiff_t gates_rows
    Matrix out, h_0, c_0, cells, mid, scratch, inner
    Matrix d_out, dh, dc, d_mid
    Matrix extra        # (S, ...) of a variant, in training
    Matrix mask         # (N, R) factors of h_prev where it meets recurrent weights, in training; and the products:
    Matrix masked       # (S, R)
    Matrix d_masked     # (N, Rp) backward: gradient of masked, of this step
    fr_flag *flags      # of the threads of this direction, for their barrier

    # backward, after the steps
    int n_outers
    Outer outers[OUTERS_MAX]
    void *d_bias        # (gates_width) += sum of the rows of gates
    ptrdiff_t gates_width
    void *d_extra       # (sums_width) += sum of the rows of extra
    ptrdiff_t sums_width
    Matrix d_input, d_hidden    # gradients of both products: gates, or parts of extra
    Matrix d_x          # (S, X), filled
    const void *w_ih    # the engine's form of (x_width, X)
    ptrdiff_t x_width
    char *packed        # scratch of every thread for `pack_rows`: packed_bytes() each


# The part of a run that one thread does: of each step the rows first, first + stride, ... before end, and of its units
# the part-th of `parts`.
cdef struct Share:
    ptrdiff_t first, stride, end
    int part, parts
    int rank, size      # in the team of this direction


cdef inline ptrdiff_t offset_of(const Loop *loop, ptrdiff_t t) noexcept nogil:
    return t * loop.N if loop.offsets == NULL else loop.offsets[t]


cdef inline ptrdiff_t rows_at(const Loop *loop, ptrdiff_t t) noexcept nogil:
    return offset_of(loop, t + 1) - offset_of(loop, t) if 0 <= t < loop.T else 0


cdef inline char *row_of(const Loop *loop, Matrix m, ptrdiff_t row) noexcept nogil:
    return m.data + row * m.ld * loop.itemsize


cdef inline void units_of(const Share *share, ptrdiff_t vectors, ptrdiff_t panel, ptrdiff_t *u0,
                          ptrdiff_t *u1) noexcept nogil:
    """Of `vectors` vectors of units in whole panels, those of this share."""
    cdef ptrdiff_t panels = (vectors + panel - 1) // panel
    u0[0] = min(vectors, panels * share.part // share.parts * panel)
    u1[0] = min(vectors, panels * (share.part + 1) // share.parts * panel)


cdef void run_forward(Loop *loops, int n_loops, bint by_units, int n_threads) noexcept nogil
cdef void run_pipeline(Loop *loops, int n_loops, ptrdiff_t chunk, int n_threads) noexcept nogil
cdef void run_backward(Loop *loops, int n_loops, bint by_units, int n_threads) noexcept nogil
