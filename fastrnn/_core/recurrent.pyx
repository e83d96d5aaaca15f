"""The time loops, written once for all cells, dtypes and engines.

A batch comes packed: time-major, rows sorted by falling length, padding taken out. Step t holds the rows
`offsets[t] .. offsets[t+1]`, which are the first of the batch; S rows in all. Rows are dealt out over threads, and
no thread waits for another. A cell is a list of kernels (`csrc/fr_kernels.h`), each with the weights of the product
that stands before it (forward) or after it (backward); an engine supplies the product.
"""

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from cython.parallel cimport prange
from libc.string cimport memset

from fastrnn._core.kernels cimport fr_kernels, fr_product, fr_step, fr_step_back, product_function
from fastrnn._core.native cimport flush_enter, flush_restore, kernels_of, native_product

cnp.import_array()

cdef enum:
    KERNELS_MAX = 2


cdef struct Matrix:
    char *data          # element [0, 0]
    ptrdiff_t ld        # elements from row to row


cdef struct Operator:
    int kernel
    ptrdiff_t H, Hp     # units that the kernel writes
    const void *w       # the engine's form of the right operand
    ptrdiff_t K, N
    int from_mid        # forward: multiply mid instead of h_prev. backward: multiply mid instead of gates
    ptrdiff_t column    # backward: first column of gates that is multiplied
    int into_mid        # backward: the product is added to d_mid instead of dh


cdef struct Loop:
    const fr_kernels *kernels
    product_function product   # NULL where the kernels multiply for themselves
    ptrdiff_t itemsize, T
    const long long *offsets
    int reverse, keep, n_operators, per_step_cells
    Operator operators[KERNELS_MAX]
    Matrix gates, out, h_0, c_0, cells, mid, scratch, inner
    Matrix d_out, dh, dc, d_mid
    const void *b_hn


cdef Matrix _matrix(cnp.ndarray a):
    """`a` (rows, columns) with columns of unit stride, or None for a matrix that is not used."""
    cdef Matrix m
    m.data, m.ld = NULL, 0
    if a is not None:
        assert a.ndim == 2 and (a.strides[1] == a.itemsize or a.shape[1] <= 1 or a.shape[0] == 0)
        m.data, m.ld = <char *>cnp.PyArray_DATA(a), a.strides[0] // a.itemsize
    return m


cdef inline char *_row(const Loop *loop, Matrix m, ptrdiff_t row) noexcept nogil:
    return m.data + row * m.ld * loop.itemsize


cdef inline ptrdiff_t _rows_at(const Loop *loop, ptrdiff_t t) noexcept nogil:
    return loop.offsets[t + 1] - loop.offsets[t] if 0 <= t < loop.T else 0


cdef void _fill(Loop *loop, engine, operators, cnp.ndarray gates, cnp.ndarray offsets, bint reverse):
    loop.kernels = kernels_of(gates.itemsize)
    loop.product = NULL
    if engine.name != "native":
        loop.product = <product_function>PyCapsule_GetPointer(engine.product, "fastrnn.product")
    loop.itemsize, loop.T, loop.reverse = gates.itemsize, offsets.shape[0] - 1, reverse
    loop.offsets = <const long long *>cnp.PyArray_DATA(offsets)
    loop.gates = _matrix(gates)
    loop.n_operators = len(operators)
    cdef cnp.ndarray data
    for i, operator in enumerate(operators):
        data = operator.weights.data
        loop.operators[i].kernel = operator.kernel
        loop.operators[i].H, loop.operators[i].Hp = operator.units, operator.padded_units
        loop.operators[i].w = cnp.PyArray_DATA(data)
        loop.operators[i].K, loop.operators[i].N = operator.weights.K, operator.weights.N
        loop.operators[i].from_mid, loop.operators[i].into_mid = operator.from_mid, operator.into_mid
        loop.operators[i].column = operator.column


def forward(engine, operators, cnp.ndarray gates, cnp.ndarray offsets, bint reverse, cnp.ndarray h_0, cnp.ndarray out,
            cnp.ndarray c_0, cnp.ndarray cells, cnp.ndarray mid, cnp.ndarray scratch, cnp.ndarray b_hn, bint keep,
            cnp.ndarray bounds):
    """Run one direction of one layer over all steps.

    Parameters
    ----------
    engine : module
        `native` or `_blas`.
    operators : sequence of fastrnn.layers.cells.Operator
        The kernels of a step in their order.
    gates : ndarray of shape (S, width)
        The input's share of the pre-activations; overwritten. Where `keep`, by what backward needs.
    offsets : int64 ndarray of shape (T + 1,)
    reverse : bool
        From the last step to the first, each row from its own end.
    h_0 : ndarray of shape (N, R)
    out : ndarray of shape (S, R)
        Filled.
    c_0 : ndarray of shape (N, Hp) or None
    cells : ndarray of shape (S, Hp) or (N, Hp), or None
        Filled with every step's cell; or, where it is `c_0` itself, overwritten by each row's last.
    mid : ndarray of shape (N, Hp) or None
        Scratch between the kernels of a step.
    scratch : ndarray of shape (N, columns) or None
        Scratch for the products of another engine than the native.
    b_hn : ndarray of shape (Hp,) or None
    keep : bool
    bounds : int64 ndarray of shape (n_threads + 1,)
        Thread i runs rows bounds[i] .. bounds[i + 1].
    """
    cdef Loop loop
    _fill(&loop, engine, operators, gates, offsets, reverse)
    loop.h_0, loop.out, loop.c_0, loop.cells = _matrix(h_0), _matrix(out), _matrix(c_0), _matrix(cells)
    loop.mid, loop.scratch, loop.keep = _matrix(mid), _matrix(scratch), keep
    loop.per_step_cells = cells is not None and cells is not c_0
    loop.b_hn = NULL if b_hn is None else cnp.PyArray_DATA(b_hn)
    cdef int n_threads = bounds.shape[0] - 1, i
    cdef const long long *bound = <const long long *>cnp.PyArray_DATA(bounds)
    with nogil:
        for i in prange(n_threads, num_threads=n_threads, schedule="static", chunksize=1, use_threads_if=n_threads > 1):
            _forward_rows(&loop, bound[i], bound[i + 1])


cdef void _forward_rows(const Loop *loop, ptrdiff_t begin, ptrdiff_t end) noexcept nogil:
    """All steps of the rows begin .. end. A row that starts at step t takes its state from h_0 and c_0."""
    cdef unsigned long long state = flush_enter()
    cdef ptrdiff_t step, t, before, stop, running
    for step in range(loop.T):
        t = loop.T - 1 - step if loop.reverse else step
        before = t + 1 if loop.reverse else t - 1
        stop = min(end, _rows_at(loop, t))
        running = min(stop, _rows_at(loop, before))
        if running > begin:
            _forward_step(loop, t, before, begin, running)
        if stop > max(begin, running):
            _forward_step(loop, t, -1, max(begin, running), stop)
    flush_restore(state)


cdef void _forward_step(const Loop *loop, ptrdiff_t t, ptrdiff_t before, ptrdiff_t begin, ptrdiff_t end) noexcept nogil:
    """Step t of the rows begin .. end, whose state stands at step `before`, or in h_0 and c_0 where that is no step."""
    cdef fr_step s
    cdef ptrdiff_t now = loop.offsets[t] + begin
    cdef bint running = 0 <= before < loop.T
    cdef ptrdiff_t last = loop.offsets[before] + begin if running else begin
    cdef Matrix h_prev = loop.out if running else loop.h_0
    memset(&s, 0, sizeof(s))
    s.rows, s.keep, s.b_hn = end - begin, loop.keep, loop.b_hn
    s.gates, s.ld_gates = _row(loop, loop.gates, now), loop.gates.ld
    s.h_prev, s.ld_h_prev = _row(loop, h_prev, last), h_prev.ld
    s.h, s.ld_h = _row(loop, loop.out, now), loop.out.ld
    if loop.mid.data != NULL:
        s.mid, s.ld_mid = _row(loop, loop.mid, begin), loop.mid.ld
    if loop.per_step_cells:
        s.c, s.ld_c = _row(loop, loop.cells, now), loop.cells.ld
        s.c_prev = _row(loop, loop.cells if running else loop.c_0, last)
        s.ld_c_prev = loop.cells.ld if running else loop.c_0.ld
    elif loop.c_0.data != NULL:
        s.c, s.ld_c = _row(loop, loop.c_0, begin), loop.c_0.ld
        s.c_prev, s.ld_c_prev = s.c, s.ld_c
    cdef int i
    for i in range(loop.n_operators):
        _apply(loop, &loop.operators[i], &s, begin)


cdef inline void _apply(const Loop *loop, const Operator *op, fr_step *s, ptrdiff_t begin) noexcept nogil:
    cdef fr_product p
    s.H, s.Hp, s.K = op.H, op.Hp, op.K
    s.a = <const void *>s.mid if op.from_mid else s.h_prev
    s.lda = s.ld_mid if op.from_mid else s.ld_h_prev
    s.w = op.w
    if loop.product != NULL:
        p.M, p.N, p.K = s.rows, op.N, op.K
        p.a, p.a_row, p.a_col, p.b = s.a, s.lda, 1, op.w
        p.c, p.ldc = _row(loop, loop.scratch, begin), loop.scratch.ld
        memset(p.c, 0, s.rows * loop.scratch.ld * loop.itemsize)
        loop.product(&p, loop.itemsize)
        s.w, s.product, s.ld_product = NULL, p.c, p.ldc
    loop.kernels.forward[op.kernel](s)


def backward(engine, operators, cnp.ndarray gates, cnp.ndarray offsets, bint reverse, cnp.ndarray h_0, cnp.ndarray out,
             cnp.ndarray c_0, cnp.ndarray cells, cnp.ndarray d_out, cnp.ndarray dh, cnp.ndarray dc, cnp.ndarray mid,
             cnp.ndarray inner, cnp.ndarray d_mid, cnp.ndarray bounds):
    """Run the steps of `forward` backwards (back-propagation through time, Werbos 1990).

    Parameters
    ----------
    engine, offsets, reverse, h_0, out, c_0, cells, bounds
        As in `forward`, which was called with ``keep=True``.
    operators : sequence of fastrnn.layers.cells.Operator
        The kernels of a step backwards, each with the product that follows.
    gates : ndarray of shape (S, width)
        What forward kept; overwritten by the gradient of the pre-activations.
    d_out : ndarray of shape (S, R)
    dh : ndarray of shape (N, Rp)
        In: gradient of each row's last h; out: gradient of h_0. Padded to whole vectors.
    dc : ndarray of shape (N, Hp) or None
        Likewise of c.
    mid : ndarray of shape (S, Rp or Hp) or None
        Filled with what the gradient of the inner weights needs.
    inner : ndarray of shape (S, Hp) or None
        Filled with o tanh(c), projected LSTM.
    d_mid : ndarray of shape (N, Hp) or None
        Scratch, zeros.
    """
    cdef Loop loop
    _fill(&loop, engine, operators, gates, offsets, reverse)
    if loop.product == NULL:
        loop.product = native_product
    loop.h_0, loop.out, loop.c_0, loop.cells = _matrix(h_0), _matrix(out), _matrix(c_0), _matrix(cells)
    loop.d_out, loop.dh, loop.dc = _matrix(d_out), _matrix(dh), _matrix(dc)
    loop.mid, loop.inner, loop.d_mid = _matrix(mid), _matrix(inner), _matrix(d_mid)
    cdef int n_threads = bounds.shape[0] - 1, i
    cdef const long long *bound = <const long long *>cnp.PyArray_DATA(bounds)
    with nogil:
        for i in prange(n_threads, num_threads=n_threads, schedule="static", chunksize=1, use_threads_if=n_threads > 1):
            _backward_rows(&loop, bound[i], bound[i + 1])


cdef void _backward_rows(const Loop *loop, ptrdiff_t begin, ptrdiff_t end) noexcept nogil:
    cdef unsigned long long state = flush_enter()
    cdef ptrdiff_t step, t, before, stop, running
    for step in range(loop.T):
        t = step if loop.reverse else loop.T - 1 - step
        before = t + 1 if loop.reverse else t - 1
        stop = min(end, _rows_at(loop, t))
        running = min(stop, _rows_at(loop, before))
        if running > begin:
            _backward_step(loop, t, before, begin, running)
        if stop > max(begin, running):
            _backward_step(loop, t, -1, max(begin, running), stop)
    flush_restore(state)


cdef void _backward_step(const Loop *loop, ptrdiff_t t, ptrdiff_t before, ptrdiff_t begin,
                         ptrdiff_t end) noexcept nogil:
    cdef fr_step_back s
    cdef ptrdiff_t now = loop.offsets[t] + begin
    cdef bint running = 0 <= before < loop.T
    cdef ptrdiff_t last = loop.offsets[before] + begin if running else begin
    cdef Matrix h_prev = loop.out if running else loop.h_0
    cdef Matrix c_prev = loop.cells if running else loop.c_0
    memset(&s, 0, sizeof(s))
    s.rows = end - begin
    s.gates, s.ld_gates = _row(loop, loop.gates, now), loop.gates.ld
    s.h_prev, s.ld_h_prev = _row(loop, h_prev, last), h_prev.ld
    s.d_out, s.ld_d_out = _row(loop, loop.d_out, now), loop.d_out.ld
    s.dh, s.ld_dh = _row(loop, loop.dh, begin), loop.dh.ld
    if loop.dc.data != NULL:
        s.c, s.ld_c = _row(loop, loop.cells, now), loop.cells.ld
        s.c_prev, s.ld_c_prev = _row(loop, c_prev, last), c_prev.ld
        s.dc, s.ld_dc = _row(loop, loop.dc, begin), loop.dc.ld
    if loop.d_mid.data != NULL:
        s.d_mid, s.ld_d_mid = _row(loop, loop.d_mid, begin), loop.d_mid.ld
    cdef int i
    for i in range(loop.n_operators):
        _apply_back(loop, &loop.operators[i], &s, now)


cdef inline void _apply_back(const Loop *loop, const Operator *op, fr_step_back *s, ptrdiff_t now) noexcept nogil:
    cdef fr_product p
    s.H, s.Hp = op.H, op.Hp
    # the projected LSTM keeps two things: the gradient of its output (from the projection) and what was projected
    s.mid = _row(loop, loop.inner, now) if loop.inner.data != NULL and not op.from_mid else _row(loop, loop.mid, now)
    s.ld_mid = loop.inner.ld if loop.inner.data != NULL and not op.from_mid else loop.mid.ld
    if loop.mid.data == NULL:
        s.mid = NULL
    loop.kernels.backward[op.kernel](s)
    p.M, p.N, p.K = s.rows, op.N, op.K
    p.a = s.mid if op.from_mid else <char *>s.gates + op.column * loop.itemsize
    p.a_row, p.a_col = (s.ld_mid if op.from_mid else s.ld_gates), 1
    p.b = op.w
    p.c = s.d_mid if op.into_mid else s.dh
    p.ldc = s.ld_d_mid if op.into_mid else s.ld_dh
    loop.product(&p, loop.itemsize)
