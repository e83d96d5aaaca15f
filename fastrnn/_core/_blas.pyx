"""The `blas` engine's products: scipy.linalg.cython_blas behind the functions that `native` has.

Imported only when that engine is asked for, since it loads SciPy. Whoever calls it keeps BLAS at one thread
(`fastrnn._threads.single_threaded_blas`).
"""

import numpy as np

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_New
from cython.parallel cimport prange
from libc.string cimport memcpy
from scipy.linalg.cython_blas cimport dgemm, dgemv, sgemm, sgemv

from fastrnn._core.kernels cimport fr_product

cnp.import_array()

name = "blas"


cdef void blas_product(const fr_product *p, ptrdiff_t itemsize) noexcept nogil:
    """C += A B on a row-major B (K, N). Fortran reads each row-major matrix as its transpose: C^T += B^T A^T."""
    cdef int M = <int>p.M, N = <int>p.N, K = <int>p.K, ldc = <int>p.ldc
    cdef char *trans = b"N" if p.a_col == 1 else b"T"
    cdef int lda = <int>(p.a_row if p.a_col == 1 else p.a_col)
    cdef int step = <int>p.a_col, unit = 1
    cdef float one = 1
    cdef double one_d = 1
    lda = max(lda, K if p.a_col == 1 else M, 1)
    if M == 0 or N == 0 or K == 0:
        return
    if M == 1 and itemsize == 4:
        sgemv(b"N", &N, &K, &one, <float *>p.b, &N, <float *>p.a, &step, &one, <float *>p.c, &unit)
    elif M == 1:
        dgemv(b"N", &N, &K, &one_d, <double *>p.b, &N, <double *>p.a, &step, &one_d, <double *>p.c, &unit)
    elif itemsize == 4:
        sgemm(b"N", trans, &N, &M, &K, &one, <float *>p.b, &N, <float *>p.a, &lda, &one, <float *>p.c, &ldc)
    else:
        dgemm(b"N", trans, &N, &M, &K, &one_d, <double *>p.b, &N, <double *>p.a, &lda, &one_d, <double *>p.c, &ldc)


cdef void blas_pack_rows(const void *b, ptrdiff_t ldb, ptrdiff_t rows, ptrdiff_t N, ptrdiff_t k0, ptrdiff_t K,
                         void *out, ptrdiff_t itemsize) noexcept nogil:
    cdef ptrdiff_t i, row_bytes = N * itemsize
    for i in range(rows):
        memcpy(<char *>out + (k0 + i) * row_bytes, <const char *>b + i * ldb * itemsize, row_bytes)


product = PyCapsule_New(<void *>blas_product, "fastrnn.product", NULL)
pack_rows = PyCapsule_New(<void *>blas_pack_rows, "fastrnn.pack_rows", NULL)


cdef class Packed:
    """The right operand (K, N) of a product, row-major; immutable."""
    cdef readonly ptrdiff_t K, N
    cdef readonly object dtype
    cdef readonly cnp.ndarray data

    @property
    def nbytes(self):
        """Bytes held."""
        return self.data.nbytes


def pack(cnp.ndarray b, panel=None):
    """Return a row-major copy of the matrix `b` (K, N)."""
    cdef Packed packed = Packed.__new__(Packed)
    packed.K, packed.N, packed.dtype = b.shape[0], b.shape[1], b.dtype
    packed.data = np.array(b, order="C")
    _check_sizes(b.shape[0], b.shape[1])
    return packed


def _check_sizes(*sizes):
    """BLAS counts in 32-bit integers here."""
    if max(sizes) > 2**31 - 1:
        raise ValueError(f"the blas engine takes sizes below 2**31, got {max(sizes)}; use engine='native'")


cdef void _split_rows(const fr_product *whole, ptrdiff_t itemsize, int n_threads) noexcept nogil:
    cdef ptrdiff_t share = (whole.M + n_threads - 1) // n_threads
    cdef int i
    for i in prange(n_threads, num_threads=n_threads, schedule="static", chunksize=1, use_threads_if=n_threads > 1):
        _run_share(whole, itemsize, i * share, min(whole.M, (i + 1) * share))


cdef void _run_share(const fr_product *whole, ptrdiff_t itemsize, ptrdiff_t begin, ptrdiff_t end) noexcept nogil:
    cdef fr_product part = whole[0]
    if end <= begin:
        return
    part.M = end - begin
    part.a = <const char *>whole.a + begin * whole.a_row * itemsize
    part.c = <char *>whole.c + begin * whole.ldc * itemsize
    blas_product(&part, itemsize)


def matmul(cnp.ndarray a, Packed b, bias=None, out=None, int n_threads=1):
    """Return bias + a b; as `native.matmul`, to rounding."""
    cdef ptrdiff_t itemsize = a.itemsize
    cdef cnp.ndarray c = np.empty((a.shape[0], b.N), a.dtype) if out is None else out
    c[...] = 0 if bias is None else bias
    if c.size == 0 or b.K == 0:
        return c
    _check_sizes(a.shape[0], a.strides[0] // itemsize, c.strides[0] // itemsize)
    cdef fr_product p
    p.M, p.N, p.K = a.shape[0], b.N, b.K
    p.a, p.a_row, p.a_col = cnp.PyArray_DATA(a), a.strides[0] // itemsize, 1
    p.b = cnp.PyArray_DATA(b.data)
    p.c, p.ldc = cnp.PyArray_DATA(c), c.strides[0] // itemsize
    with nogil:
        _split_rows(&p, itemsize, n_threads)
    return c
