"""Products of matrices that belong to the rows of a batch, each row with sizes of its own: attention.

Arrays come here checked (`fastrnn.layers.cross_attention`).
"""

import numpy as np

cimport numpy as cnp
from cython.parallel cimport prange
from libc.stdint cimport int64_t

from fastrnn._core.kernels cimport FR_PANEL_MAX, fr_kernels, fr_product, fr_team_rank
from fastrnn._core.native cimport flush_enter, flush_restore, kernels_of

from fastrnn._core.native import aligned

cnp.import_array()


cdef struct Rows:
    const fr_kernels *kernels
    ptrdiff_t itemsize
    const char *a
    const char *b
    char *out
    ptrdiff_t a_n, b_n, out_n  # bytes from row to row
    ptrdiff_t a_m, a_k, b_k, b_j, out_m  # elements
    const int64_t *sizes
    char *scratch
    ptrdiff_t scratch_bytes  # of one thread


def add_row_products(cnp.ndarray out, cnp.ndarray a, cnp.ndarray b, cnp.ndarray sizes, int n_threads=1):
    """Add a[n] b[n] to out[n] for every row n of a batch.

    Parameters
    ----------
    out : ndarray of shape (N, M, J)
        Of any strides but a unit one of the last axis; added into.
    a : ndarray of shape (N, M, K)
    b : ndarray of shape (N, K, J)
        Both of any strides.
    sizes : ndarray of int64 of shape (N, 3)
        Of each row how many of M, K and J there are; what lies beyond is neither read nor written.
    n_threads : int, default=1
        Rows are dealt out over this many threads. Each element is one chain of multiply-adds begun at what `out` holds:
        its bits depend neither on them nor on other rows.
    """
    cdef Rows rows
    cdef ptrdiff_t n, N = a.shape[0], itemsize = a.itemsize
    assert a.ndim == b.ndim == out.ndim == 3 and a.dtype == b.dtype == out.dtype
    assert a.shape[0] == b.shape[0] == out.shape[0] and a.shape[2] == b.shape[1]
    assert a.shape[1] == out.shape[1] and b.shape[2] == out.shape[2]
    assert sizes.dtype == np.int64 and sizes.flags.c_contiguous and (<object> sizes).shape == (N, 3)
    if a.size == 0 or b.size == 0:
        return
    assert out.strides[2] == itemsize or out.shape[2] == 1
    rows.kernels, rows.itemsize = kernels_of(itemsize), itemsize
    rows.a, rows.b = <const char *>cnp.PyArray_DATA(a), <const char *>cnp.PyArray_DATA(b)
    rows.out, rows.sizes = <char *>cnp.PyArray_DATA(out), <const int64_t *>cnp.PyArray_DATA(sizes)
    rows.a_n, rows.b_n, rows.out_n = a.strides[0], b.strides[0], out.strides[0]
    rows.a_m, rows.a_k = a.strides[1] // itemsize, a.strides[2] // itemsize
    rows.b_k, rows.b_j, rows.out_m = b.strides[1] // itemsize, b.strides[2] // itemsize, out.strides[1] // itemsize
    cdef ptrdiff_t lanes = rows.kernels.lanes
    rows.scratch_bytes = b.shape[1] * ((b.shape[2] + lanes - 1) // lanes * lanes) * itemsize
    rows.scratch_bytes = (rows.scratch_bytes + 63) // 64 * 64
    cdef cnp.ndarray scratch = aligned(n_threads * rows.scratch_bytes, np.uint8)
    rows.scratch = <char *>cnp.PyArray_DATA(scratch)
    for n in prange(N, nogil=True, num_threads=n_threads, schedule="static", use_threads_if=n_threads > 1):
        _row(&rows, n)


cdef void _row(const Rows *rows, ptrdiff_t n) noexcept nogil:
    cdef fr_product p
    cdef unsigned long long state
    p.M, p.K, p.N = rows.sizes[3 * n], rows.sizes[3 * n + 1], rows.sizes[3 * n + 2]
    if p.M == 0 or p.K == 0 or p.N == 0:
        return
    p.a, p.a_row, p.a_col = rows.a + n * rows.a_n, rows.a_m, rows.a_k
    p.b = rows.scratch + fr_team_rank() * rows.scratch_bytes
    p.c, p.ldc = rows.out + n * rows.out_n, rows.out_m
    state = flush_enter()
    rows.kernels.pack(rows.b + n * rows.b_n, rows.b_k, rows.b_j, p.K, p.N, FR_PANEL_MAX, <void *>p.b)
    rows.kernels.product(&p)
    flush_restore(state)
