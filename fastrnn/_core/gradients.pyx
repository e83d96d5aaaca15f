"""What comes after the last step backward and needs no order of steps: the sums of the weight gradients.

Threads share rows of the results, so that no sum is split.
"""

from libc.string cimport memset

from fastrnn._core.kernels cimport FR_PANEL_MAX, fr_product
from fastrnn._core.loops cimport Loop, Matrix, Outer, Share, offset_of, row_of, rows_at, units_of

cdef enum:
    # Rows and columns of the right operand of a weight gradient that are packed together.
    OUTER_K = 256
    OUTER_N = 256


cdef void sum_gradients(const Loop *loop, int rank, int size) noexcept nogil:
    cdef int i
    for i in range(loop.n_outers):
        _add_outer(loop, &loop.outers[i], rank, size)
    _add_rows(loop, loop.gates, loop.gates_width, loop.d_bias, rank, size)
    _add_rows(loop, loop.extra, loop.sums_width, loop.d_extra, rank, size)
    _input_gradient(loop, rank, size)


cdef ptrdiff_t packed_bytes(const Loop *loop) noexcept nogil:
    """Scratch of one thread, in bytes."""
    cdef ptrdiff_t widest = 0
    cdef int i
    for i in range(loop.n_outers):
        widest = max(widest, min(OUTER_N, loop.outers[i].N + loop.kernels.lanes))
    return (OUTER_K * widest * loop.itemsize + 63) // 64 * 64


cdef void _add_outer(const Loop *loop, const Outer *outer, int rank, int size) noexcept nogil:
    cdef ptrdiff_t S = offset_of(loop, loop.T)
    cdef ptrdiff_t m = outer.M * rank // size, n = 0, k
    cdef char *packed = loop.packed + rank * packed_bytes(loop)
    cdef fr_product p
    cdef int i
    p.M, p.a_row, p.b = outer.M * (rank + 1) // size - m, 1, packed
    if p.M <= 0:
        return
    while n < outer.N:
        p.N, k = min(OUTER_N, outer.N - n), 0
        while k < S:
            p.K = min(OUTER_K, S - k)
            _pack_block(loop, outer, k, p.K, n, p.N, packed)
            for i in range(outer.n_gates):
                p.a, p.a_col = row_of(loop, outer.a[i], k) + m * loop.itemsize, outer.a[i].ld
                p.c, p.ldc = row_of(loop, outer.c[i], m) + n * loop.itemsize, outer.c[i].ld
                loop.product(&p, loop.itemsize)
            k += p.K
        n += p.N


cdef void _pack_block(const Loop *loop, const Outer *outer, ptrdiff_t k, ptrdiff_t K, ptrdiff_t n, ptrdiff_t N,
                      char *packed) noexcept nogil:
    """Pack rows k .. k + K, columns n .. n + N of the right operand."""
    cdef ptrdiff_t t, low, high, row, first, rows, before, running, done = 0
    cdef Matrix b = outer.b
    cdef ptrdiff_t column = n * loop.itemsize
    if not outer.previous:
        loop.pack_rows(row_of(loop, b, k) + column, b.ld, K, N, 0, K, packed, loop.itemsize)
        return
    low, high = 0, loop.T  # the step of row k: offset(low) <= k < offset(low + 1)
    while high - low > 1:
        t = (low + high) // 2
        if offset_of(loop, t) <= k:
            low = t
        else:
            high = t
    t = low
    while done < K:
        row = k + done - offset_of(loop, t)
        before = t + 1 if loop.reverse else t - 1
        running = rows_at(loop, before)
        if row < running:
            b, first = loop.out, offset_of(loop, before) + row
            rows = min(running, rows_at(loop, t)) - row
        else:
            b, first = loop.h_0, row
            rows = rows_at(loop, t) - row
        rows = min(rows, K - done)
        loop.pack_rows(row_of(loop, b, first) + column, b.ld, rows, N, done, K, packed, loop.itemsize)
        done += rows
        if row + rows == rows_at(loop, t):
            t += 1


cdef void _add_rows(const Loop *loop, Matrix rows, ptrdiff_t width, void *target, int rank, int size) noexcept nogil:
    """Add the sum of all rows to `target`, unless it is NULL."""
    cdef Share share
    cdef ptrdiff_t u0, u1, lanes = loop.kernels.lanes
    share.part, share.parts = rank, size
    units_of(&share, width // lanes, FR_PANEL_MAX, &u0, &u1)
    if target != NULL and u1 > u0:
        loop.kernels.add_rows(rows.data + u0 * lanes * loop.itemsize, rows.ld, offset_of(loop, loop.T),
                              (u1 - u0) * lanes, <char *>target + u0 * lanes * loop.itemsize)


cdef void _input_gradient(const Loop *loop, int rank, int size) noexcept nogil:
    cdef ptrdiff_t S = offset_of(loop, loop.T)
    cdef ptrdiff_t begin = S * rank // size, end = S * (rank + 1) // size
    cdef fr_product p
    if end <= begin or loop.d_x.data == NULL:
        return
    p.M, p.N, p.K = end - begin, loop.X, loop.x_width
    p.a, p.a_row, p.a_col, p.b = row_of(loop, loop.d_input, begin), loop.d_input.ld, 1, loop.w_ih
    p.c, p.ldc = row_of(loop, loop.d_x, begin), loop.d_x.ld
    memset(p.c, 0, p.M * p.ldc * loop.itemsize)
    loop.product(&p, loop.itemsize)
