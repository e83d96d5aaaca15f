"""The time loops, written once for all cells, dtypes and engines.

A batch comes packed: time-major, rows sorted by falling length, padding taken out. Step t holds the rows
`offsets[t] .. offsets[t+1]`, which are the first of the batch; S rows in all. A cell is a list of kernels
(`csrc/fr_kernels.h`), each with the weights of the product that stands before it (forward) or after it (backward); an
engine supplies the product.

Threads share either rows, and then none waits for another, or the units of every step, and then all wait for each other
once per kernel, since the next product reads what all have written.
"""

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from cython.parallel cimport parallel
from libc.string cimport memset

from fastrnn._core.kernels cimport (
    FR_PANEL_MAX, fr_barrier, fr_barrier_wait, fr_kernels, fr_product, fr_step, fr_step_back, fr_team_rank,
    fr_team_size, product_function,
)
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
    bint by_units
    ptrdiff_t n_shares
    const long long *bounds
    fr_barrier barrier


# The part of a run that one thread does: rows begin .. end, and of every step's units the part-th of `parts`.
cdef struct Share:
    ptrdiff_t begin, end
    int part, parts


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


cdef void _fill(Loop *loop, engine, operators, cnp.ndarray gates, cnp.ndarray offsets, bint reverse,
                cnp.ndarray bounds, bint by_units):
    memset(loop, 0, sizeof(Loop))
    loop.by_units, loop.n_shares = by_units, bounds.shape[0] - 1
    loop.bounds = <const long long *>cnp.PyArray_DATA(bounds)
    loop.kernels = kernels_of(gates.itemsize)
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
            cnp.ndarray bounds, bint by_units, int n_threads):
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
    bounds : int64 ndarray of shape (n_shares + 1,)
        Share i has the rows bounds[i] .. bounds[i + 1].
    by_units : bool
        The units of every step are dealt out over the threads, instead of the shares of rows.
    n_threads : int
        At most so many threads; the environment may give fewer.
    """
    cdef Loop loop
    _fill(&loop, engine, operators, gates, offsets, reverse, bounds, by_units)
    loop.h_0, loop.out, loop.c_0, loop.cells = _matrix(h_0), _matrix(out), _matrix(c_0), _matrix(cells)
    loop.mid, loop.scratch, loop.keep = _matrix(mid), _matrix(scratch), keep
    loop.per_step_cells = cells is not None and cells is not c_0
    loop.b_hn = NULL if b_hn is None else cnp.PyArray_DATA(b_hn)
    if n_threads == 1:
        with nogil:
            _run(&loop, 0, 1, _forward_share)
    else:
        with nogil, parallel(num_threads=n_threads):
            _run(&loop, fr_team_rank(), fr_team_size(), _forward_share)


ctypedef void (*share_function)(Loop *loop, Share share) noexcept nogil


cdef void _run(Loop *loop, int rank, int team, share_function run_share) noexcept nogil:
    """The shares of one thread of a team."""
    cdef unsigned long long state = flush_enter()
    cdef Share share
    cdef ptrdiff_t i = 0 if loop.by_units else rank
    share.part, share.parts = (rank if loop.by_units else 0), (team if loop.by_units else 1)
    while i < loop.n_shares:
        share.begin, share.end = loop.bounds[i], loop.bounds[i + 1]
        run_share(loop, share)
        i += 1 if loop.by_units else team
    flush_restore(state)


cdef inline void _units(const Share *share, ptrdiff_t vectors, ptrdiff_t panel, ptrdiff_t *u0,
                        ptrdiff_t *u1) noexcept nogil:
    """Of `vectors` vectors of units in whole panels, those of this share."""
    cdef ptrdiff_t panels = (vectors + panel - 1) // panel
    u0[0] = min(vectors, panels * share.part // share.parts * panel)
    u1[0] = min(vectors, panels * (share.part + 1) // share.parts * panel)


# A step of a share falls into two runs of rows: those whose state stands at the step before, and those that start here
# (in the direction that reads backwards a row starts at its own end).
cdef struct Runs:
    ptrdiff_t t, before
    ptrdiff_t begin, middle, end


cdef inline Runs _runs(const Loop *loop, Share share, ptrdiff_t t) noexcept nogil:
    cdef Runs runs
    runs.t = t
    runs.before = t + 1 if loop.reverse else t - 1
    runs.begin = share.begin
    runs.end = max(share.begin, min(share.end, _rows_at(loop, t)))
    runs.middle = max(share.begin, min(runs.end, _rows_at(loop, runs.before)))
    return runs


cdef void _forward_share(Loop *loop, Share share) noexcept nogil:
    cdef ptrdiff_t step
    cdef int i
    cdef Runs runs
    for step in range(loop.T):
        runs = _runs(loop, share, loop.T - 1 - step if loop.reverse else step)
        for i in range(loop.n_operators):
            if runs.middle > runs.begin:
                _forward_step(loop, &loop.operators[i], &share, runs.t, runs.before, runs.begin, runs.middle)
            if runs.end > runs.middle:
                _forward_step(loop, &loop.operators[i], &share, runs.t, -1, runs.middle, runs.end)
            fr_barrier_wait(&loop.barrier, share.parts)


cdef void _forward_step(const Loop *loop, const Operator *op, const Share *share, ptrdiff_t t, ptrdiff_t before,
                        ptrdiff_t begin, ptrdiff_t end) noexcept nogil:
    """One kernel of step t for the rows begin .. end, whose state stands at step `before`, or in h_0, c_0."""
    cdef fr_step s
    cdef ptrdiff_t now = loop.offsets[t] + begin
    cdef bint running = 0 <= before < loop.T
    cdef ptrdiff_t last = loop.offsets[before] + begin if running else begin
    cdef Matrix h_prev = loop.out if running else loop.h_0
    memset(&s, 0, sizeof(s))
    s.rows, s.keep, s.b_hn = end - begin, loop.keep, loop.b_hn
    s.H, s.Hp = op.H, op.Hp
    _units(share, op.Hp // loop.kernels.lanes, loop.kernels.panel_units[op.kernel], &s.u0, &s.u1)
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
    s.a = <const void *>s.mid if op.from_mid else s.h_prev
    s.lda = s.ld_mid if op.from_mid else s.ld_h_prev
    s.w, s.K = op.w, op.K
    if loop.product != NULL:
        _multiply_ahead(loop, op, &s, begin)
    loop.kernels.forward[op.kernel](&s)


cdef void _multiply_ahead(const Loop *loop, const Operator *op, fr_step *s, ptrdiff_t begin) noexcept nogil:
    """Let another engine than the native make the product that the kernel then finds ready."""
    cdef fr_product p
    p.M, p.N, p.K = s.rows, op.N, op.K
    p.a, p.a_row, p.a_col, p.b = s.a, s.lda, 1, op.w
    p.c, p.ldc = _row(loop, loop.scratch, begin), loop.scratch.ld
    memset(p.c, 0, s.rows * loop.scratch.ld * loop.itemsize)
    loop.product(&p, loop.itemsize)
    s.w, s.product, s.ld_product = NULL, p.c, p.ldc


def backward(engine, operators, cnp.ndarray gates, cnp.ndarray offsets, bint reverse, cnp.ndarray h_0, cnp.ndarray out,
             cnp.ndarray c_0, cnp.ndarray cells, cnp.ndarray d_out, cnp.ndarray dh, cnp.ndarray dc, cnp.ndarray mid,
             cnp.ndarray inner, cnp.ndarray d_mid, cnp.ndarray bounds, bint by_units, int n_threads):
    """Run the steps of `forward` backwards (back-propagation through time, Werbos 1990).

    Parameters
    ----------
    engine, offsets, reverse, h_0, out, c_0, cells, bounds, by_units, n_threads
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
    _fill(&loop, engine, operators, gates, offsets, reverse, bounds, by_units)
    if loop.product == NULL:
        loop.product = native_product
    loop.h_0, loop.out, loop.c_0, loop.cells = _matrix(h_0), _matrix(out), _matrix(c_0), _matrix(cells)
    loop.d_out, loop.dh, loop.dc = _matrix(d_out), _matrix(dh), _matrix(dc)
    loop.mid, loop.inner, loop.d_mid = _matrix(mid), _matrix(inner), _matrix(d_mid)
    if n_threads == 1:
        with nogil:
            _run(&loop, 0, 1, _backward_share)
    else:
        with nogil, parallel(num_threads=n_threads):
            _run(&loop, fr_team_rank(), fr_team_size(), _backward_share)


cdef void _backward_share(Loop *loop, Share share) noexcept nogil:
    cdef ptrdiff_t step
    cdef int i
    cdef Runs runs
    for step in range(loop.T):
        runs = _runs(loop, share, step if loop.reverse else loop.T - 1 - step)
        for i in range(loop.n_operators):
            if runs.middle > runs.begin:
                _backward_step(loop, &loop.operators[i], &share, runs.t, runs.before, runs.begin, runs.middle)
            if runs.end > runs.middle:
                _backward_step(loop, &loop.operators[i], &share, runs.t, -1, runs.middle, runs.end)
            fr_barrier_wait(&loop.barrier, share.parts)
            if runs.end > runs.begin:
                _multiply_back(loop, &loop.operators[i], &share, runs.t, runs.begin, runs.end)


# The projected LSTM keeps two things for its weight gradients: the gradient of its output, which the projection's
# kernel writes (`mid`), and what was projected (`inner`).
cdef inline Matrix _mid(const Loop *loop, const Operator *op) noexcept nogil:
    return loop.inner if loop.inner.data != NULL and not op.from_mid else loop.mid


cdef void _backward_step(const Loop *loop, const Operator *op, const Share *share, ptrdiff_t t, ptrdiff_t before,
                         ptrdiff_t begin, ptrdiff_t end) noexcept nogil:
    """One kernel of step t for the rows begin .. end, whose state before stands at step `before`, or in h_0, c_0."""
    cdef fr_step_back s
    cdef ptrdiff_t now = loop.offsets[t] + begin
    cdef bint running = 0 <= before < loop.T
    cdef ptrdiff_t last = loop.offsets[before] + begin if running else begin
    cdef Matrix h_prev = loop.out if running else loop.h_0
    cdef Matrix c_prev = loop.cells if running else loop.c_0
    cdef Matrix mid = _mid(loop, op)
    memset(&s, 0, sizeof(s))
    s.rows, s.H, s.Hp = end - begin, op.H, op.Hp
    _units(share, op.Hp // loop.kernels.lanes, FR_PANEL_MAX, &s.u0, &s.u1)
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
    if mid.data != NULL:
        s.mid, s.ld_mid = _row(loop, mid, now), mid.ld
    loop.kernels.backward[op.kernel](&s)


cdef void _multiply_back(const Loop *loop, const Operator *op, const Share *share, ptrdiff_t t, ptrdiff_t begin,
                         ptrdiff_t end) noexcept nogil:
    """Take the gradients of step t through recurrent weights: this share's columns, from the units of all."""
    cdef fr_product p
    cdef ptrdiff_t u0, u1, first
    cdef ptrdiff_t lanes = loop.kernels.lanes, now = loop.offsets[t] + begin
    cdef Matrix a = _mid(loop, op) if op.from_mid else loop.gates
    cdef Matrix c = loop.d_mid if op.into_mid else loop.dh
    _units(share, (op.N + lanes - 1) // lanes, FR_PANEL_MAX, &u0, &u1)
    first = u0 * lanes
    p.M, p.N, p.K = end - begin, min(op.N, u1 * lanes) - first, op.K
    if p.N <= 0:
        return
    p.a = _row(loop, a, now) + (0 if op.from_mid else op.column * loop.itemsize)
    p.a_row, p.a_col = a.ld, 1
    p.b = <const char *>op.w + first * op.K * loop.itemsize
    p.c, p.ldc = _row(loop, c, begin) + first * loop.itemsize, c.ld
    loop.product(&p, loop.itemsize)
