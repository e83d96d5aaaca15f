"""Kernels and products of our own: the native engine, and the choice of an instruction set.

Arrays come here checked (`fastrnn._validation`): float32 or float64, of one dtype a call. A wrong dtype or shape is an
assertion of this package, not an answer to a user.
"""

import os

import numpy as np

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_New
from cython.parallel cimport prange

from fastrnn._core.kernels cimport (
    FR_PANEL_MAX, fr_flush_enter, fr_flush_restore, fr_kernels, fr_kernels_find, fr_product, fr_team_most,
)

cnp.import_array()

cdef extern from *:
    """
    #ifdef _OPENMP
    enum { FR_OPENMP = 1 };
    #else
    enum { FR_OPENMP = 0 };
    #endif
    """
    const int FR_OPENMP

name = "native"

cdef const fr_kernels *_f32 = NULL
cdef const fr_kernels *_f64 = NULL


def _choose(wanted):
    """Select the kernels of the instruction set `wanted`, or the best where it is empty."""
    global _f32, _f64
    chosen = wanted.strip().lower().encode()
    if chosen and fr_kernels_find(chosen, 4) == NULL:
        raise ImportError(
            f"FASTRNN_ISA is {wanted!r}, expected one that this build and processor have: {', '.join(available_isas())}"
        )
    _f32 = fr_kernels_find(<const char *>chosen if chosen else NULL, 4)
    _f64 = fr_kernels_find(<const char *>chosen if chosen else NULL, 8)


def available_isas():
    """Return the instruction sets that this build and this processor have, best first."""
    return [isa for isa in ("avx512", "avx2", "neon", "scalar") if fr_kernels_find(isa.encode(), 4) != NULL]


def isa():
    """Return the instruction set in use."""
    return _f32.isa.decode()


def openmp_threads():
    """Return how many threads OpenMP would give a region of the calling thread."""
    return fr_team_most()


def openmp():
    """Return whether the build has OpenMP."""
    return bool(FR_OPENMP)


cdef const fr_kernels *kernels_of(ptrdiff_t itemsize) noexcept nogil:
    return _f32 if itemsize == 4 else _f64


cdef void native_product(const fr_product *p, ptrdiff_t itemsize) noexcept nogil:
    kernels_of(itemsize).product(p)


cdef void native_pack_rows(const void *b, ptrdiff_t ldb, ptrdiff_t rows, ptrdiff_t N, ptrdiff_t k0, ptrdiff_t K,
                           void *out, ptrdiff_t itemsize) noexcept nogil:
    kernels_of(itemsize).pack_rows(b, ldb, rows, N, k0, K, out)


product = PyCapsule_New(<void *>native_product, "fastrnn.product", NULL)
pack_rows = PyCapsule_New(<void *>native_pack_rows, "fastrnn.pack_rows", NULL)


cdef unsigned long long flush_enter() noexcept nogil:
    return fr_flush_enter()


cdef void flush_restore(unsigned long long state) noexcept nogil:
    fr_flush_restore(state)


def lanes(dtype):
    """Return how many numbers of `dtype` a vector holds."""
    return kernels_of(np.dtype(dtype).itemsize).lanes


def panel(dtype, int kernel):
    """Return (unit vectors, columns of W_ih, columns of W_hh) of a panel of the forward kernel `kernel`."""
    cdef const fr_kernels *k = kernels_of(np.dtype(dtype).itemsize)
    return k.panel_units[kernel], k.x_columns[kernel], k.h_columns[kernel]


def vector_math(function, cnp.ndarray x, isa=None):
    """Return exp, sigmoid or tanh of a contiguous array, by the functions that the kernels use."""
    cdef const fr_kernels *k = kernels_of(x.itemsize) if isa is None else fr_kernels_find(isa.encode(), x.itemsize)
    if k == NULL:
        raise ValueError(f"isa is {isa!r}, expected one of {available_isas()}")
    cdef cnp.ndarray y = np.empty_like(x)
    cdef int which = ("exp", "sigmoid", "tanh").index(function)
    assert x.flags.c_contiguous
    cdef void *source = cnp.PyArray_DATA(x)
    cdef void *target = cnp.PyArray_DATA(y)
    cdef ptrdiff_t size = x.size
    with nogil:
        k.math[which](source, target, size)
    return y


cdef class Packed:
    """The right operand (K, N) of a product, in panels; immutable."""
    cdef readonly ptrdiff_t K, N
    cdef readonly object dtype
    cdef readonly cnp.ndarray data

    @property
    def nbytes(self):
        """Bytes held."""
        return self.data.nbytes


def aligned(size, dtype):
    """Return an uninitialised vector that starts at a multiple of 64 bytes."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.empty(size * itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size * itemsize].view(dtype)


def pack(cnp.ndarray b, ptrdiff_t panel=FR_PANEL_MAX):
    """Return the matrix `b` (K, N), of any strides, packed in panels of `panel` vectors."""
    assert b.ndim == 2
    cdef ptrdiff_t itemsize = b.itemsize
    cdef const fr_kernels *k = kernels_of(itemsize)
    cdef Packed packed = Packed.__new__(Packed)
    packed.K, packed.N, packed.dtype = b.shape[0], b.shape[1], b.dtype
    packed.data = aligned(packed.K * ((packed.N + k.lanes - 1) // k.lanes * k.lanes), b.dtype)
    cdef void *source = cnp.PyArray_DATA(b)
    cdef void *target = cnp.PyArray_DATA(packed.data)
    cdef ptrdiff_t row = b.strides[0] // itemsize, col = b.strides[1] // itemsize
    with nogil:
        k.pack(source, row, col, packed.K, packed.N, panel, target)
    return packed


cdef void _split_rows(const fr_product *whole, ptrdiff_t itemsize, int n_threads) noexcept nogil:
    """Run a product with its rows dealt out over threads: no element's sum is split, so no bit depends on n_threads."""
    cdef ptrdiff_t share = (whole.M + n_threads - 1) // n_threads
    cdef int i
    for i in prange(n_threads, num_threads=n_threads, schedule="static", chunksize=1, use_threads_if=n_threads > 1):
        _run_share(whole, itemsize, i * share, min(whole.M, (i + 1) * share))


cdef void _run_share(const fr_product *whole, ptrdiff_t itemsize, ptrdiff_t begin, ptrdiff_t end) noexcept nogil:
    cdef fr_product part = whole[0]
    cdef unsigned long long state
    if end <= begin:
        return
    part.M = end - begin
    part.a = <const char *>whole.a + begin * whole.a_row * itemsize
    part.c = <char *>whole.c + begin * whole.ldc * itemsize
    state = fr_flush_enter()
    kernels_of(itemsize).product(&part)
    fr_flush_restore(state)


def matmul(cnp.ndarray a, Packed b, bias=None, out=None, int n_threads=1):
    """Return bias + a b.

    Parameters
    ----------
    a : ndarray of shape (M, K)
        Rows of unit stride.
    b : Packed of shape (K, N)
    bias : ndarray of shape (N,), optional
    out : ndarray of shape (M, N), optional
        Rows of unit stride, filled and returned.
    n_threads : int, default=1
        Rows are dealt out over this many threads.

    Returns
    -------
    ndarray of shape (M, N)
        Each element is one chain of multiply-adds begun at the bias: a row's bits do not depend on other rows.
    """
    cdef ptrdiff_t itemsize = a.itemsize, M = a.shape[0]
    assert a.ndim == 2 and a.shape[1] == b.K and a.dtype == b.dtype
    assert a.strides[1] == itemsize or a.shape[1] <= 1 or M == 0
    cdef cnp.ndarray c = np.empty((M, b.N), a.dtype) if out is None else out
    assert c.shape[0] == M and c.shape[1] == b.N and c.dtype == a.dtype
    c[...] = 0 if bias is None else bias
    if c.size == 0 or b.K == 0:
        return c
    cdef fr_product p
    p.M, p.N, p.K = M, b.N, b.K
    p.a, p.a_row, p.a_col = cnp.PyArray_DATA(a), a.strides[0] // itemsize, 1
    p.b = cnp.PyArray_DATA(b.data)
    p.c, p.ldc = cnp.PyArray_DATA(c), c.strides[0] // itemsize
    with nogil:
        _split_rows(&p, itemsize, n_threads)
    return c


def add_outer(cnp.ndarray out, cnp.ndarray a, cnp.ndarray b, int n_threads=1):
    """Add a^T b to `out`, the sum over rows in their order, whatever the number of threads.

    Parameters
    ----------
    out : ndarray of shape (M, N)
        Rows of unit stride; added into.
    a : ndarray of shape (S, M)
    b : ndarray of shape (S, N)
        Both with rows of unit stride.
    n_threads : int, default=1
    """
    cdef ptrdiff_t itemsize = a.itemsize
    assert a.dtype == b.dtype == out.dtype and a.shape[0] == b.shape[0]
    assert out.shape[0] == a.shape[1] and out.shape[1] == b.shape[1]
    if out.size == 0 or a.shape[0] == 0:
        return
    cdef Packed packed = pack(b)
    cdef fr_product p
    p.M, p.N, p.K = out.shape[0], out.shape[1], a.shape[0]
    p.a, p.a_row, p.a_col = cnp.PyArray_DATA(a), 1, a.strides[0] // itemsize
    p.b = cnp.PyArray_DATA(packed.data)
    p.c, p.ldc = cnp.PyArray_DATA(out), out.strides[0] // itemsize
    with nogil:
        _split_rows(&p, itemsize, n_threads)


def add_rows(cnp.ndarray out, cnp.ndarray a):
    """Add the rows of `a` (S, N), of unit stride, to `out` (N,) one after the other."""
    assert out.dtype == a.dtype and out.shape[0] == a.shape[1] and out.flags.c_contiguous
    cdef const fr_kernels *k = kernels_of(a.itemsize)
    cdef ptrdiff_t lda = a.strides[0] // a.itemsize, M = a.shape[0], N = a.shape[1]
    cdef void *source = cnp.PyArray_DATA(a)
    cdef void *target = cnp.PyArray_DATA(out)
    with nogil:
        k.add_rows(source, lda, M, N, target)


_choose(os.environ.get("FASTRNN_ISA", ""))
