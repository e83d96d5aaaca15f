# The weights of one direction as the loops read them, and small helpers about matrices.

cimport numpy as cnp
from libc.string cimport memcpy, memset

from fastrnn._core.kernels cimport fr_variant
from fastrnn._core.loops cimport Loop, Matrix


cdef class Direction:
    cdef Loop forward, backward
    cdef fr_variant variant
    cdef readonly object pack
    cdef object _held
    cdef ptrdiff_t H, Hp, Rp, gate_width, kept_width, scratch_columns
    cdef ptrdiff_t extra_width, norm_at     # columns of an extra row, and where those of a norm begin
    cdef bint has_mid, has_d_mid, projects, has_norm
    cdef readonly bint is_fused             # the kernels multiply for themselves
    cdef int type_number
    cdef const Loop *backward_loop(self)
    cdef _take(self, variant)


cdef struct Batch:
    ptrdiff_t T, N, S
    const long long *offsets    # NULL: all sequences have T steps
    const long long *lengths    # (N), falling; with offsets


cdef inline void bind(Loop *loop, const Loop *template, const Batch *batch) noexcept nogil:
    """Start a loop from its template."""
    loop[0] = template[0]
    loop.T, loop.N, loop.offsets = batch.T, batch.N, batch.offsets


cdef inline Matrix matrix(cnp.ndarray a):
    """`a` (rows, columns) with columns of unit stride, or None for a matrix that is not used."""
    cdef Matrix m
    m.data, m.ld = NULL, 0
    if a is not None:
        assert a.ndim == 2 and (a.strides[1] == cnp.PyArray_ITEMSIZE(a) or a.shape[1] <= 1 or a.shape[0] == 0)
        m.data, m.ld = <char *>cnp.PyArray_DATA(a), a.strides[0] // cnp.PyArray_ITEMSIZE(a)
    return m


cdef inline Matrix block(cnp.ndarray a, ptrdiff_t k):
    """Block k of a C-contiguous array (blocks, rows, columns)."""
    cdef Matrix m
    m.data, m.ld = <char *>cnp.PyArray_DATA(a) + k * a.strides[0], a.shape[2]
    return m


cdef inline cnp.ndarray empty(Direction own, ptrdiff_t rows, ptrdiff_t columns):
    """An array of a direction's type that begins with a cache line: rows of whole lines then share none."""
    cdef cnp.npy_intp shape[2]
    cdef cnp.npy_intp size = rows * columns * own.forward.itemsize + 64
    cdef cnp.ndarray raw = cnp.PyArray_EMPTY(1, &size, cnp.NPY_UINT8, 0)
    cdef char *start = <char *>((<size_t>cnp.PyArray_DATA(raw) + 63) // 64 * 64)
    shape[0], shape[1] = rows, columns
    cdef cnp.ndarray a = cnp.PyArray_SimpleNewFromData(2, shape, own.type_number, start)
    cnp.set_array_base(a, raw)
    return a


cdef inline void copy_rows(Matrix target, Matrix source, ptrdiff_t rows, ptrdiff_t row_bytes,
                           ptrdiff_t itemsize) noexcept nogil:
    cdef ptrdiff_t i
    for i in range(rows):
        memcpy(target.data + i * target.ld * itemsize, source.data + i * source.ld * itemsize, row_bytes)


cdef inline bint is_plain(x, int type_number):
    """Whether x is an aligned C-contiguous ndarray of the type."""
    return type(x) is cnp.ndarray and cnp.PyArray_TYPE(<cnp.ndarray>x) == type_number and cnp.PyArray_ISCARRAY_RO(x)


cdef inline Batch batch_of(packing, ptrdiff_t T, ptrdiff_t N):
    """T steps of N rows each, or what a packing says."""
    cdef Batch batch
    batch.T, batch.N, batch.S, batch.offsets, batch.lengths = T, N, T * N, NULL, NULL
    if packing is not None:
        batch.T, batch.N, batch.S = len(packing.offsets) - 1, packing.batch_size, packing.size
        batch.offsets = <const long long *>cnp.PyArray_DATA(<cnp.ndarray>packing.offsets)
        batch.lengths = <const long long *>cnp.PyArray_DATA(<cnp.ndarray>packing.lengths)
    return batch


# The states of some directions, (directions, N, R or H) each; NULL stands for zeros, or for no cell.
cdef struct States:
    char *h
    char *c


cdef inline States states_of(states):
    cdef States found
    found.h = <char *>cnp.PyArray_DATA(<cnp.ndarray>states[0])
    found.c = <char *>cnp.PyArray_DATA(<cnp.ndarray>states[1]) if len(states) > 1 else NULL
    return found


cdef inline Matrix state_of(char *states, ptrdiff_t k, ptrdiff_t N, ptrdiff_t columns,
                            ptrdiff_t itemsize) noexcept nogil:
    cdef Matrix m
    m.data, m.ld = (NULL if states == NULL else states + k * N * columns * itemsize), columns
    return m


cdef inline void load_state(Matrix target, Matrix source, ptrdiff_t N, ptrdiff_t columns,
                            ptrdiff_t itemsize) noexcept nogil:
    """Copy a state (N, columns), or zeros, into one that is widened with zeros."""
    if target.ld > columns or source.data == NULL:
        memset(target.data, 0, N * target.ld * itemsize)
    if source.data != NULL:
        copy_rows(target, source, N, columns * itemsize, itemsize)


cdef inline void take_masks(Loop *loop, masks):
    """Bind what a call drops: a `fastrnn.layers._masks.Masks` in packed order."""
    if masks.zone_h is not None:
        loop.zone_h = matrix(masks.zone_h)
    if masks.zone_c is not None:
        loop.zone_c = matrix(masks.zone_c)
    loop.mask = matrix(masks.recurrent)
