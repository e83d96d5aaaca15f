"""The time loops, written once for all cells, dtypes and engines.

A batch comes packed: time-major, rows sorted by falling length, padding taken out. Step t holds the rows
`offsets[t] .. offsets[t+1]`, which are the first of the batch; S rows in all. A cell is a list of kernels
(`csrc/fr_kernels.h`); an engine supplies the product.

Directions of a layer run side by side where there are threads for them. The threads of one direction share either rows,
and then none waits for another before the last step, or the units of every step, and then all wait for each other once
per kernel, since the next product reads what all have written.
"""

from cython.parallel cimport parallel
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastrnn._core.kernels cimport (
    FR_D_GRU_RESET, FR_GRU_RESET, FR_PANEL_MAX, fr_barrier_wait, fr_flag, fr_product, fr_step, fr_step_back,
    fr_team_rank, fr_team_size,
)
from fastrnn._core.gradients cimport sum_gradients
from fastrnn._core.native cimport flush_enter, flush_restore

cdef enum:
    # Rows from which a kernel multiplies x and h in one go. Fewer rows would wait for the input weights at every step,
    # so that their products are made ahead, for as many steps as keep their gates in cache.
    FUSED_ROWS = 4


ctypedef void (*share_function)(Loop *loop, const Share *share) noexcept nogil


cdef void run_forward(Loop *loops, int n_loops, bint by_units, int n_threads) noexcept nogil:
    """Run the directions of one layer over all steps on exactly n_threads threads, or as many as can be had."""
    _run(loops, n_loops, by_units, n_threads, _forward_share)


cdef void run_pipeline(Loop *loops, int n_loops, ptrdiff_t chunk, int n_threads) noexcept nogil:
    """Run layers, each reading what the one before writes, on threads of their own.

    A layer does `chunk` steps while the next one does the `chunk` before; all wait for each other once a chunk.
    """
    cdef char *block = _flags(loops, 1, n_threads)
    if block == NULL:
        _run_stages(loops, n_loops, chunk, 0, 1)
        return
    with parallel(num_threads=n_threads):
        _run_stages(loops, n_loops, chunk, fr_team_rank(), fr_team_size())
    free(block)


cdef void _run_stages(Loop *loops, int n_loops, ptrdiff_t chunk, int rank, int n_threads) noexcept nogil:
    cdef unsigned long long state = flush_enter()
    cdef ptrdiff_t chunks = (loops.T + chunk - 1) // chunk, wave, c
    cdef int i
    cdef Share whole
    for wave in range(chunks + n_loops - 1):
        i = rank
        while i < n_loops:
            c = wave - i
            if 0 <= c < chunks:
                _share(&loops[i], 0, 1, False, &whole)
                _forward_steps(&loops[i], &whole, c * chunk, min(loops.T, (c + 1) * chunk))
            i += n_threads
        fr_barrier_wait(loops.flags, rank, n_threads)
    flush_restore(state)


cdef void run_backward(Loop *loops, int n_loops, bint by_units, int n_threads) noexcept nogil:
    """Run the steps of `run_forward` backwards (back-propagation through time, Werbos 1990), then sum the gradients."""
    _run(loops, n_loops, by_units, n_threads, _backward_share)


cdef void _run(Loop *loops, int n_loops, bint by_units, int n_threads, share_function run_share) noexcept nogil:
    cdef char *block = _flags(loops, n_loops, n_threads)
    if block == NULL:
        _run_part(loops, n_loops, by_units, 0, 1, run_share)
        return
    with parallel(num_threads=n_threads):
        _run_part(loops, n_loops, by_units, fr_team_rank(), fr_team_size(), run_share)
    free(block)


cdef char *_flags(Loop *loops, int n_loops, int n_threads) noexcept nogil:
    """Give each loop flags for n_threads threads, in a block to be freed; NULL for one thread, or without memory."""
    cdef char *block = NULL
    cdef int i
    if n_threads > 1:
        block = <char *>calloc(n_loops * n_threads + 1, sizeof(fr_flag))
    for i in range(n_loops if block != NULL else 0):
        loops[i].flags = <fr_flag *>((<size_t>block + 63) // 64 * 64) + i * n_threads
    return block


cdef void _run_part(Loop *loops, int n_loops, bint by_units, int rank, int n_threads,
                    share_function run_share) noexcept nogil:
    """What one of n_threads threads does: a share of each direction, or of those of its team."""
    cdef unsigned long long state = flush_enter()
    cdef int teams = min(n_loops, n_threads)
    cdef int size = n_threads // teams
    cdef int i = rank // size
    cdef Share share
    while rank < teams * size and i < n_loops:
        _share(&loops[i], rank % size, size, by_units, &share)
        run_share(&loops[i], &share)
        i += teams
    flush_restore(state)


cdef void _share(const Loop *loop, int rank, int size, bint by_units, Share *share) noexcept nogil:
    share.rank, share.size = rank, size
    share.part, share.parts = (rank if by_units else 0), (size if by_units else 1)
    share.first, share.stride, share.end = 0, 1, loop.N
    if by_units:
        return
    if loop.offsets == NULL:
        share.first, share.end = loop.N * rank // size, loop.N * (rank + 1) // size
    else:  # in turn, so that every share loses rows at the same pace
        share.first, share.stride = rank, size


cdef inline ptrdiff_t _count(const Share *share, ptrdiff_t rows) noexcept nogil:
    """How many of the first `rows` rows of a step are this share's."""
    cdef ptrdiff_t end = min(rows, share.end)
    return 0 if end <= share.first else (end - share.first + share.stride - 1) // share.stride


# Rows begin .. end of a share at step t, whose state stands at step `before`, or in h_0, c_0 if that is -1. `origin`
# stands before the gates so that the packed row s has them at s * ld.
cdef struct Run:
    ptrdiff_t t, before, begin, end
    int has_x
    char *origin


cdef void _forward_share(Loop *loop, const Share *share) noexcept nogil:
    _forward_steps(loop, share, 0, loop.T)


cdef void _forward_steps(Loop *loop, const Share *share, ptrdiff_t step, ptrdiff_t end) noexcept nogil:
    """Steps step .. end, counted in the order of the direction."""
    cdef ptrdiff_t ahead = step
    cdef char *origin = loop.gates.data
    cdef Run run
    cdef int i
    while step < end:
        run.t = loop.T - 1 - step if loop.reverse else step
        run.has_x = loop.x.data != NULL and step >= ahead
        if run.has_x and loop.T > 1 and share.stride == 1 and share.first == 0 and _count(share, loop.N) == loop.N:
            if 0 < rows_at(loop, run.t) < FUSED_ROWS:
                ahead = _project(loop, share, step, end, &origin)
                run.has_x = False
        if run.has_x and not loop.keep:
            origin = loop.gates.data - offset_of(loop, run.t) * loop.gates.ld * loop.itemsize
        run.origin = origin
        if loop.mask.data != NULL:
            _step_rows(loop, NULL, share, &run, _mask_state)
        for i in range(loop.n_operators):
            _step_rows(loop, &loop.operators[i], share, &run, _forward_step)
            fr_barrier_wait(loop.flags, share.rank, share.parts)
        step += 1


cdef ptrdiff_t _project(const Loop *loop, const Share *share, ptrdiff_t step, ptrdiff_t end,
                        char **origin) noexcept nogil:
    """Make the gates' share of the input from `step` on, for this share's units; return the first step left."""
    cdef ptrdiff_t stop = step, rows = 0, n, t, first
    cdef ptrdiff_t most = loop.gates_rows
    cdef fr_step s
    cdef int i, kernel
    while stop < end:
        t = loop.T - 1 - stop if loop.reverse else stop
        n = rows_at(loop, t)
        if n >= FUSED_ROWS or (rows > 0 and rows + n > most):
            break
        rows += n
        stop += 1
    first = offset_of(loop, loop.T - stop if loop.reverse else step)
    origin[0] = loop.gates.data
    if not loop.keep:
        origin[0] -= first * loop.gates.ld * loop.itemsize
    memset(&s, 0, sizeof(s))
    s.rows, s.bias = rows, loop.bias
    s.x, s.X, s.ldx = row_of(loop, loop.x, first), loop.X, loop.x.ld
    s.gates, s.ld_gates = origin[0] + first * loop.gates.ld * loop.itemsize, loop.gates.ld
    for i in range(loop.n_operators):
        if loop.operators[i].w_x != NULL:
            s.H, s.Hp, s.w_x = loop.operators[i].H, loop.operators[i].Hp, loop.operators[i].w_x
            kernel = loop.operators[i].kernel
            units_of(share, s.Hp // loop.kernels.lanes, loop.kernels.panel_units[kernel], &s.u0, &s.u1)
            loop.kernels.input[kernel](&s)
    return stop


ctypedef void (*step_function)(const Loop *loop, const Operator *op, const Share *share, const Run *run) noexcept nogil


cdef void _step_rows(const Loop *loop, const Operator *op, const Share *share, Run *run,
                     step_function step) noexcept nogil:
    """One kernel of one step: for the rows that go on from the step before, and for those that start here."""
    cdef ptrdiff_t before = run.t + 1 if loop.reverse else run.t - 1
    cdef ptrdiff_t end = _count(share, rows_at(loop, run.t))
    cdef ptrdiff_t middle = min(end, _count(share, rows_at(loop, before)))
    if middle > 0:
        run.before, run.begin, run.end = before, 0, middle
        step(loop, op, share, run)
    if end > middle:
        run.before, run.begin, run.end = -1, middle, end
        step(loop, op, share, run)


cdef void _mask_state(const Loop *loop, const Operator *op, const Share *share, const Run *run) noexcept nogil:
    """What the recurrent weights of a step see of the state."""
    cdef ptrdiff_t stride = share.stride, row = share.first + run.begin * stride
    cdef ptrdiff_t now = offset_of(loop, run.t) + row
    cdef Matrix h_prev = loop.out if run.before >= 0 else loop.h_0
    cdef ptrdiff_t last = offset_of(loop, run.before) + row if run.before >= 0 else row
    loop.kernels.multiply_rows(
        row_of(loop, h_prev, last), h_prev.ld * stride, row_of(loop, loop.mask, row), loop.mask.ld * stride,
        run.end - run.begin, loop.R, row_of(loop, loop.masked, now), loop.masked.ld * stride, False,
    )


cdef void _forward_step(const Loop *loop, const Operator *op, const Share *share, const Run *run) noexcept nogil:
    """One kernel of one step."""
    cdef fr_step s
    cdef ptrdiff_t stride = share.stride, row = share.first + run.begin * stride
    cdef ptrdiff_t now = offset_of(loop, run.t) + row
    cdef bint running = run.before >= 0
    cdef ptrdiff_t last = offset_of(loop, run.before) + row if running else row
    cdef Matrix h_prev = loop.out if running else loop.h_0
    cdef Matrix c_prev = loop.cells if running else loop.c_0
    memset(&s, 0, sizeof(s))
    s.rows, s.keep, s.bias, s.down = run.end - run.begin, loop.keep, loop.bias, (run.t ^ loop.flip) & 1
    s.H, s.Hp = op.H, op.Hp
    units_of(share, op.Hp // loop.kernels.lanes, loop.kernels.panel_units[op.kernel], &s.u0, &s.u1)
    if run.has_x:
        s.x, s.X, s.ldx, s.w_x = row_of(loop, loop.x, now), loop.X, loop.x.ld * stride, op.w_x
    s.gates, s.ld_gates = run.origin + now * loop.gates.ld * loop.itemsize, loop.gates.ld * stride
    s.h_prev, s.ld_h_prev = row_of(loop, h_prev, last), h_prev.ld * stride
    s.h, s.ld_h = row_of(loop, loop.out, now), loop.out.ld * stride
    if loop.mid.data != NULL:
        s.mid, s.ld_mid = row_of(loop, loop.mid, row), loop.mid.ld * stride
    if loop.per_step_cells:
        s.c, s.ld_c = row_of(loop, loop.cells, now), loop.cells.ld * stride
        s.c_prev, s.ld_c_prev = row_of(loop, c_prev, last), c_prev.ld * stride
    elif loop.has_cell:
        s.c, s.ld_c = row_of(loop, loop.c_0, row), loop.c_0.ld * stride
        s.c_prev, s.ld_c_prev = s.c, s.ld_c
    s.a = <const void *>s.mid if op.from_mid else s.h_prev
    s.lda = s.ld_mid if op.from_mid else s.ld_h_prev
    if loop.variant != NULL:
        s.variant = loop.variant
        s.zone_h, s.ld_zone_h = _zone(loop, loop.zone_h, now), loop.zone_h.ld * stride
        s.zone_c, s.ld_zone_c = _zone(loop, loop.zone_c, now), loop.zone_c.ld * stride
        if loop.extra.data != NULL:
            s.extra, s.ld_extra = row_of(loop, loop.extra, now), loop.extra.ld * stride
    if loop.mask.data != NULL and not op.from_mid:
        s.a, s.lda = row_of(loop, loop.masked, now), loop.masked.ld * stride
        if op.kernel == FR_GRU_RESET:
            s.h_prev, s.ld_h_prev = s.a, s.lda
    s.w, s.K = op.w, op.K
    if loop.product != NULL and op.w != NULL:
        _multiply_ahead(loop, op, &s, row, stride)
    loop.kernels.forward[op.kernel](&s)


cdef inline char *_zone(const Loop *loop, Matrix zone, ptrdiff_t now) noexcept nogil:
    return NULL if zone.data == NULL else row_of(loop, zone, now)


cdef void _multiply_ahead(const Loop *loop, const Operator *op, fr_step *s, ptrdiff_t row,
                          ptrdiff_t stride) noexcept nogil:
    """Make the product that the kernel then finds ready: another engine's, or one that is normalised first."""
    cdef fr_product p
    cdef ptrdiff_t i
    p.M, p.N, p.K = s.rows, op.N, op.K
    p.a, p.a_row, p.a_col, p.b = s.a, s.lda, 1, op.w
    p.c, p.ldc = row_of(loop, loop.scratch, row), loop.scratch.ld * stride
    for i in range(s.rows):
        memset(<char *>p.c + i * p.ldc * loop.itemsize, 0, op.N * loop.itemsize)
    loop.product(&p, loop.itemsize)
    s.w, s.product, s.ld_product = NULL, p.c, p.ldc


cdef void _backward_share(Loop *loop, const Share *share) noexcept nogil:
    cdef ptrdiff_t step
    cdef int i
    cdef Run run
    for step in range(loop.T):
        run.t = step if loop.reverse else loop.T - 1 - step
        for i in range(loop.n_operators):
            _step_rows(loop, &loop.operators[i], share, &run, _backward_step)
            fr_barrier_wait(loop.flags, share.rank, share.parts)
            _multiply_back(loop, &loop.operators[i], share, run.t)
        if loop.mask.data != NULL:
            _unmask(loop, share, run.t)
    fr_barrier_wait(loop.flags, share.rank, share.size)
    sum_gradients(loop, share.rank, share.size)


cdef void _unmask(const Loop *loop, const Share *share, ptrdiff_t t) noexcept nogil:
    """Hand the gradient of the masked state on to that of the state."""
    cdef ptrdiff_t rows = _count(share, rows_at(loop, t)), stride = share.stride, i
    cdef char *d_masked = row_of(loop, loop.d_masked, share.first)
    loop.kernels.multiply_rows(
        d_masked, loop.d_masked.ld * stride, row_of(loop, loop.mask, share.first), loop.mask.ld * stride, rows, loop.R,
        row_of(loop, loop.dh, share.first), loop.dh.ld * stride, True,
    )
    for i in range(rows):
        memset(d_masked + i * loop.d_masked.ld * stride * loop.itemsize, 0, loop.d_masked.ld * loop.itemsize)


# The projected LSTM keeps two things for its weight gradients: the gradient of its output, which the projection's
# kernel writes (`mid`), and what was projected (`inner`).
cdef inline Matrix _mid(const Loop *loop, const Operator *op) noexcept nogil:
    return loop.inner if loop.inner.data != NULL and not op.from_mid else loop.mid


cdef void _backward_step(const Loop *loop, const Operator *op, const Share *share, const Run *run) noexcept nogil:
    """One kernel of one step."""
    cdef fr_step_back s
    cdef ptrdiff_t stride = share.stride, row = share.first + run.begin * stride
    cdef ptrdiff_t now = offset_of(loop, run.t) + row
    cdef bint running = run.before >= 0
    cdef ptrdiff_t last = offset_of(loop, run.before) + row if running else row
    cdef Matrix h_prev = loop.out if running else loop.h_0
    cdef Matrix c_prev = loop.cells if running else loop.c_0
    cdef Matrix mid = _mid(loop, op)
    memset(&s, 0, sizeof(s))
    s.rows, s.H, s.Hp = run.end - run.begin, op.H, op.Hp
    units_of(share, op.Hp // loop.kernels.lanes, FR_PANEL_MAX, &s.u0, &s.u1)
    s.gates, s.ld_gates = row_of(loop, loop.gates, now), loop.gates.ld * stride
    s.h_prev, s.ld_h_prev = row_of(loop, h_prev, last), h_prev.ld * stride
    s.d_out, s.ld_d_out = row_of(loop, loop.d_out, now), loop.d_out.ld * stride
    s.dh, s.ld_dh = row_of(loop, loop.dh, row), loop.dh.ld * stride
    if loop.has_cell:
        s.c, s.ld_c = row_of(loop, loop.cells, now), loop.cells.ld * stride
        s.c_prev, s.ld_c_prev = row_of(loop, c_prev, last), c_prev.ld * stride
        s.dc, s.ld_dc = row_of(loop, loop.dc, row), loop.dc.ld * stride
    if loop.d_mid.data != NULL:
        s.d_mid, s.ld_d_mid = row_of(loop, loop.d_mid, row), loop.d_mid.ld * stride
    if mid.data != NULL:
        s.mid, s.ld_mid = row_of(loop, mid, now), mid.ld * stride
    if loop.variant != NULL:
        s.variant = loop.variant
        s.zone_h, s.ld_zone_h = _zone(loop, loop.zone_h, now), loop.zone_h.ld * stride
        s.zone_c, s.ld_zone_c = _zone(loop, loop.zone_c, now), loop.zone_c.ld * stride
        s.extra, s.ld_extra = row_of(loop, loop.extra, now), loop.extra.ld * stride
    if loop.mask.data != NULL and op.kernel == FR_D_GRU_RESET:
        s.h_prev, s.ld_h_prev = row_of(loop, loop.masked, now), loop.masked.ld * stride
        s.dh, s.ld_dh = row_of(loop, loop.d_masked, row), loop.d_masked.ld * stride
    loop.kernels.backward[op.kernel](&s)


cdef void _multiply_back(const Loop *loop, const Operator *op, const Share *share, ptrdiff_t t) noexcept nogil:
    """Take the gradients of step t through recurrent weights: this share's columns, from the units of all."""
    cdef fr_product p
    cdef ptrdiff_t u0, u1, first
    cdef ptrdiff_t lanes = loop.kernels.lanes, stride = share.stride
    cdef ptrdiff_t now = offset_of(loop, t) + share.first
    cdef Matrix a = _mid(loop, op) if op.from_mid else loop.d_hidden
    cdef Matrix c = loop.d_mid if op.into_mid else loop.dh if loop.mask.data == NULL else loop.d_masked
    units_of(share, (op.N + lanes - 1) // lanes, FR_PANEL_MAX, &u0, &u1)
    first = u0 * lanes
    p.M, p.N, p.K = _count(share, rows_at(loop, t)), min(op.N, u1 * lanes) - first, op.K
    if p.M == 0 or p.N <= 0:
        return
    p.a = row_of(loop, a, now) + (0 if op.from_mid else op.column * loop.itemsize)
    p.a_row, p.a_col = a.ld * stride, 1
    p.b = <const char *>op.w + first * op.K * loop.itemsize
    p.c, p.ldc = row_of(loop, c, share.first) + first * loop.itemsize, c.ld * stride
    loop.product(&p, loop.itemsize)
