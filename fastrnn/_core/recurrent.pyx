"""Layers of directions on arrays: what stands between the Python classes and the loops.

Arrays come here checked, C-contiguous, aligned and of one dtype. Packed arrays have S rows (`loops.pyx`); a `Packing`
says where they stand in time, or is None where all sequences have the same length. States are in packed order.
"""

cimport numpy as cnp
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastrnn._core.directions cimport (
    Batch, Direction, States, batch_of, bind, copy_rows, empty, is_plain, load_state, matrix, state_of, states_of,
    take_masks,
)
from fastrnn._core.loops cimport Loop, Matrix, run_forward, run_pipeline

cnp.import_array()

cdef enum:
    DIRECTIONS = 2
    # Gates that are made ahead of the steps: so many bytes, but at least so many rows that reading the weights pays.
    AHEAD_BYTES = 262144
    AHEAD_ROWS = 64
    # Steps that a layer of a pipeline does at a time: so many that the first and the last one wait little.
    PIPELINE_STEPS = 16
    PIPELINE_CHUNKS = 16


cdef void _last(const Loop *loop, const Batch *batch, Matrix packed, Matrix initial, ptrdiff_t columns,
                Matrix target) noexcept nogil:
    """Each sequence's last state; the initial one where its length is 0."""
    cdef ptrdiff_t n, length, row, size = columns * loop.itemsize
    cdef const char *source
    for n in range(batch.N):
        length = batch.T if batch.lengths == NULL else batch.lengths[n]
        if length == 0:
            source = initial.data + n * initial.ld * loop.itemsize
        else:
            row = 0 if loop.reverse else length - 1
            row = (row * batch.N if batch.offsets == NULL else batch.offsets[row]) + n
            source = packed.data + row * packed.ld * loop.itemsize
        memcpy(target.data + n * target.ld * loop.itemsize, source, size)


cdef inline ptrdiff_t _cut(char **free_space, Matrix *m, ptrdiff_t rows, ptrdiff_t columns,
                           ptrdiff_t itemsize) noexcept nogil:
    """Cut a matrix off a block of scratch, or where there is none yet, tell how much it takes."""
    cdef ptrdiff_t size = (rows * columns * itemsize + 63) // 64 * 64
    if free_space[0] != NULL:
        m.data, m.ld = free_space[0], columns
        free_space[0] += size
    return size


cdef ptrdiff_t _cut_scratch(Loop *loop, Direction own, char **free_space) noexcept nogil:
    """The matrices that live as long as the call; return their bytes."""
    cdef ptrdiff_t N = loop.N, size = 0, item = loop.itemsize
    if own.is_fused and not loop.keep:
        size += _cut(free_space, &loop.gates, max(N, loop.gates_rows), own.gate_width, item)
    if loop.has_cell and not loop.per_step_cells:
        size += _cut(free_space, &loop.c_0, N, own.Hp, item)
    if own.has_mid:
        size += _cut(free_space, &loop.mid, N, own.Hp, item)
    if not own.is_fused:
        size += _cut(free_space, &loop.scratch, N, own.scratch_columns, item)
    return size + _cut(free_space, &loop.h_0, N, loop.R, item)


# How loops are run: those of one layer side by side, or where `chunk` > 0 those of several layers one after the other.
cdef struct Plan:
    bint by_units
    int n_threads
    ptrdiff_t chunk


cdef object _run(list directions, x_array, Matrix *x, out_array, Matrix *out, const Batch *batch, States states,
                 States states_n, bint keep, bint keep_cells, list masks, Plan plan):
    """Run a loop for each direction; return lists (cells, kept), empty where nothing is to be kept."""
    cdef Loop *loops = <Loop *>malloc(len(directions) * sizeof(Loop))
    if loops == NULL:
        raise MemoryError()
    try:
        return _run_loops(
            loops, directions, x_array, x, out_array, out, batch, states, states_n, keep, keep_cells, masks, plan
        )
    finally:
        free(loops)


cdef object _run_loops(Loop *loops, list directions, x_array, Matrix *x, out_array, Matrix *out, const Batch *batch,
                       States states, States states_n, bint keep, bint keep_cells, list masks, Plan plan):
    cdef Loop *loop
    cdef Direction own
    cdef int d, D = len(directions)
    cdef ptrdiff_t S = batch.S, N = batch.N, itemsize, size = 0
    cdef Matrix h_0, c_0
    cdef char *none = NULL
    cdef char *free_space
    cdef void *scratch
    cdef cnp.ndarray gates
    cells, kept, held = [], [], []
    for d in range(D):
        own = <Direction>directions[d]
        loop = &loops[d]
        bind(loop, &own.forward, batch)
        loop.keep, loop.out = keep, out[d]
        loop.per_step_cells = loop.has_cell and (keep or keep_cells)
        loop.gates_rows = min(S, max(AHEAD_ROWS, AHEAD_BYTES // (own.gate_width * loop.itemsize)))
        size += _cut_scratch(loop, own, &none)
    scratch = malloc(size + 64)
    if scratch == NULL:
        raise MemoryError(f"{size} bytes of scratch")
    free_space = <char *>((<size_t>scratch + 63) // 64 * 64)
    try:
        for d in range(D):
            own = <Direction>directions[d]
            loop = &loops[d]
            itemsize = loop.itemsize
            _cut_scratch(loop, own, &free_space)
            own_gates = own_cells = own_c_0 = own_extra = masked = None
            if keep or not own.is_fused:
                own_gates = gates = empty(own, S, (own.kept_width if keep else own.gate_width) + loop.kernels.lanes)
                loop.gates = matrix(gates)
            if own.is_fused:
                loop.x = x[d]
            else:
                own.pack.engine.matmul(
                    x_array, own.pack.w_ih, own.pack.input_bias, gates[:, :own.gate_width], plan.n_threads
                )
            if keep and own.extra_width:
                own_extra = empty(own, S, own.extra_width)
                loop.extra = matrix(own_extra)
            if masks is not None:
                take_masks(loop, masks[d])
                if loop.mask.data != NULL:
                    masked = empty(own, S, own.Rp)
                    loop.masked = matrix(masked)
            if loop.per_step_cells:
                own_cells, own_c_0 = empty(own, S, own.Hp), empty(own, N, own.Hp)
                loop.cells, loop.c_0 = matrix(own_cells), matrix(own_c_0)
            if keep or keep_cells:
                cells.append(own_cells)
                own_masks = None if masks is None else masks[d]
                kept.append((x_array, own_gates, own_cells, own_c_0, out_array, own_extra, own_masks, masked))
            held += [own_gates, own_extra, masked]
            h_0 = state_of(states.h, d, N, loop.R, itemsize)
            if h_0.data == NULL:
                memset(loop.h_0.data, 0, N * loop.R * itemsize)
            else:
                loop.h_0 = h_0
            if loop.has_cell:
                load_state(loop.c_0, state_of(states.c, d, N, own.H, itemsize), N, own.H, itemsize)
        with nogil:
            if plan.chunk > 0:
                run_pipeline(loops, D, plan.chunk, plan.n_threads)
            else:
                run_forward(loops, D, plan.by_units, plan.n_threads)
        for d in range(D):
            own = <Direction>directions[d]
            loop = &loops[d]
            itemsize = loop.itemsize
            _last(loop, batch, loop.out, loop.h_0, loop.R, state_of(states_n.h, d, N, loop.R, itemsize))
            if loop.has_cell:
                c_0 = state_of(states_n.c, d, N, own.H, itemsize)
                if loop.per_step_cells:
                    _last(loop, batch, loop.cells, loop.c_0, own.H, c_0)
                else:
                    copy_rows(c_0, loop.c_0, N, own.H * itemsize, itemsize)
    finally:
        free(scratch)
    return cells, kept


cdef object _run_layer(list directions, x_array, Matrix x, out_array, Matrix out, const Batch *batch, States states,
                       States states_n, bint keep, bint keep_cells, list masks, bint by_units, int n_threads):
    """Run the directions of a layer side by side, each with its columns of `out`."""
    cdef Matrix xs[DIRECTIONS]
    cdef Matrix outs[DIRECTIONS]
    cdef Direction first = <Direction>directions[0]
    cdef Plan plan
    cdef int d
    plan.by_units, plan.n_threads, plan.chunk = by_units, n_threads, 0
    for d in range(len(directions)):
        xs[d], outs[d] = x, out
        outs[d].data += d * first.forward.R * first.forward.itemsize
    return _run(directions, x_array, xs, out_array, outs, batch, states, states_n, keep, keep_cells, masks, plan)


def run_layer(list directions, cnp.ndarray x, cnp.ndarray out, packing, ptrdiff_t T, ptrdiff_t N, list states,
              list states_n, bint keep, bint keep_cells, bint by_units, int n_threads, list masks=None):
    """Run the directions of a layer, or one of them.

    Parameters
    ----------
    directions : list of Direction
    x : ndarray of shape (S, X)
    out : ndarray of shape (S, len(directions) * R)
        Rows of unit stride; filled.
    packing : Packing or None
        None: T steps of N rows each.
    states, states_n : list of ndarray of shape (len(directions), N, R or H)
        [h] or [h, c], in packed order; the second is filled.
    keep, keep_cells : bool
        `keep` what backward needs, `keep_cells` for all cells.
    by_units : bool
        The units of every step are dealt out over the threads of a direction, instead of rows.
    n_threads : int
        Exactly so many, or fewer where the environment gives fewer.
    masks : list of Masks, optional
        By direction: the factors of recurrent dropout and zoneout, in packed order; by default none and their mean.

    Returns
    -------
    cells : list of ndarray of shape (S, Hp), or of None
        By direction; empty where nothing is kept.
    kept : list
        By direction, for `run_layer_back`; empty where nothing is kept.
    """
    cdef Batch batch = batch_of(packing, T, N)
    return _run_layer(
        directions, x, matrix(x), out, matrix(out), &batch, states_of(states), states_of(states_n), keep, keep_cells,
        masks, by_units, n_threads,
    )


def aligned(Direction own, ptrdiff_t rows, ptrdiff_t columns):
    """Return an uninitialised array (rows, columns) of a direction's type that begins with a cache line."""
    return empty(own, rows, columns)


def accepts(x, Direction first):
    """Whether x is already what `infer` takes."""
    return is_plain(x, first.type_number) and x.ndim == 3 and (<cnp.ndarray>x).shape[2] == first.forward.X


def infer(list layers, cnp.ndarray x, states, plans, int pipeline=0):
    """Run a stack on T steps of N rows each, and keep nothing.

    Parameters
    ----------
    layers : list of list of Direction
    x : ndarray of shape (T, N, X)
    states : sequence of ndarray of shape (layers * directions, N, R or H), or None
        None stands for zeros.
    plans : list of (bool, int), or None
        `by_units` and `n_threads` of each layer; None: one thread.
    pipeline : int, default=0
        Where above 0, layers (of one direction, native) run on so many threads of their own instead.

    Returns
    -------
    output : ndarray of shape (T, N, directions * R)
    h_n : ndarray of shape (layers * directions, N, R)
    c_n : ndarray of shape (layers * directions, N, H) or None
    """
    cdef Batch batch = batch_of(None, x.shape[0], x.shape[1])
    cdef Direction first = <Direction>(<list>layers[0])[0]
    cdef ptrdiff_t k, D = len(<list>layers[0]), L = len(layers), R = first.forward.R
    cdef cnp.ndarray h_n = _empty_3(L * D, batch.N, R, first.type_number)
    cdef cnp.ndarray output = _empty_3(batch.T, batch.N, D * R, first.type_number)
    cdef cnp.ndarray c_n, between
    cdef States initial, last
    cdef Matrix *rows = <Matrix *>malloc((L + 1) * sizeof(Matrix))
    if rows == NULL:
        raise MemoryError()
    try:
        initial.h = initial.c = last.c = NULL
        last.h = <char *>cnp.PyArray_DATA(h_n)
        result = None
        if first.forward.has_cell:
            result = c_n = _empty_3(L * D, batch.N, first.H, first.type_number)
            last.c = <char *>cnp.PyArray_DATA(c_n)
        if states is not None:
            initial = states_of(states)
        rows[0].data, rows[0].ld = <char *>cnp.PyArray_DATA(x), x.shape[2]
        arrays = [x if first.is_fused else x.reshape(batch.S, x.shape[2])]
        for k in range(1, L):
            between = empty(first, batch.S, D * R)
            rows[k] = matrix(between)
            arrays.append(between)
        rows[L].data, rows[L].ld = <char *>cnp.PyArray_DATA(output), D * R
        _infer_layers(layers, rows, arrays, &batch, initial, last, plans, pipeline)
    finally:
        free(rows)
    return output, h_n, result


cdef void _infer_layers(list layers, Matrix *rows, list arrays, const Batch *batch, States initial, States last, plans,
                        int pipeline) except *:
    """Run layer k from rows[k] to rows[k + 1]."""
    cdef Direction first = <Direction>(<list>layers[0])[0]
    cdef ptrdiff_t k, D = len(<list>layers[0]), L = len(layers)
    cdef bint by_units = False
    cdef int n_threads = 1
    cdef Plan plan
    if pipeline > 0:
        plan.by_units, plan.n_threads = False, pipeline
        plan.chunk = max(PIPELINE_STEPS, batch.T // PIPELINE_CHUNKS)
        directions = [layer[0] for layer in layers]
        _run(directions, None, rows, None, rows + 1, batch, initial, last, False, False, None, plan)
        return
    for k in range(L):
        if plans is not None:
            by_units, n_threads = plans[k]
        _run_layer(
            <list>layers[k], arrays[k], rows[k], None, rows[k + 1], batch, initial, last, False, False, None, by_units,
            n_threads,
        )
        _advance(&initial, D * batch.N, first)
        _advance(&last, D * batch.N, first)


cdef inline void _advance(States *states, ptrdiff_t rows, Direction own):
    """Go on to the states of the next layer."""
    if states.h != NULL:
        states.h += rows * own.forward.R * own.forward.itemsize
    if states.c != NULL:
        states.c += rows * own.H * own.forward.itemsize


cdef inline object _empty_3(ptrdiff_t a, ptrdiff_t b, ptrdiff_t c, int type_number):
    cdef cnp.npy_intp shape[3]
    shape[0], shape[1], shape[2] = a, b, c
    return cnp.PyArray_EMPTY(3, shape, type_number, 0)
