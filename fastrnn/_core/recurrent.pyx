"""Layers of directions on arrays: what stands between the Python classes and the loops.

Arrays come here checked, C-contiguous, aligned and of one dtype. Packed arrays have S rows (`loops.pyx`); a `Packing`
says where they stand in time, or is None where all sequences have the same length. States are in packed order.
"""

import numpy as np

cimport numpy as cnp
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastrnn._core.directions cimport Batch, Direction, bind, block, copy_rows, empty, is_plain, matrix
from fastrnn._core.loops cimport GATES_MAX, Loop, Matrix, Outer, packed_bytes, run_backward, run_forward

cnp.import_array()

cdef enum:
    DIRECTIONS = 2
    # Gates that are made ahead of the steps: so many bytes, but at least so many rows that reading the weights pays.
    AHEAD_BYTES = 262144
    AHEAD_ROWS = 64


cdef Batch _batch(packing, ptrdiff_t T, ptrdiff_t N):
    cdef Batch batch
    batch.T, batch.N, batch.S, batch.offsets, batch.lengths = T, N, T * N, NULL, NULL
    if packing is not None:
        batch.T, batch.N, batch.S = len(packing.offsets) - 1, packing.batch_size, packing.size
        batch.offsets = <const long long *>cnp.PyArray_DATA(<cnp.ndarray>packing.offsets)
        batch.lengths = <const long long *>cnp.PyArray_DATA(<cnp.ndarray>packing.lengths)
    return batch


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


# The states of some directions, (directions, N, R or H) each; NULL stands for zeros, or for no cell.
cdef struct States:
    char *h
    char *c


cdef States _states(states):
    cdef States found
    found.h = <char *>cnp.PyArray_DATA(<cnp.ndarray>states[0])
    found.c = <char *>cnp.PyArray_DATA(<cnp.ndarray>states[1]) if len(states) > 1 else NULL
    return found


cdef inline Matrix _state(char *states, ptrdiff_t k, ptrdiff_t N, ptrdiff_t columns, ptrdiff_t itemsize) noexcept nogil:
    cdef Matrix m
    m.data, m.ld = (NULL if states == NULL else states + k * N * columns * itemsize), columns
    return m


cdef inline ptrdiff_t _cut(char **free_space, Matrix *m, ptrdiff_t rows, ptrdiff_t columns,
                           ptrdiff_t itemsize) noexcept nogil:
    """Cut a matrix off a block of scratch, or where there is none yet, tell how much it takes."""
    cdef ptrdiff_t size = (rows * columns * itemsize + 63) // 64 * 64
    if free_space[0] != NULL:
        m.data, m.ld = free_space[0], columns
        free_space[0] += size
    return size


cdef ptrdiff_t _cut_scratch(Loop *loop, Direction own, char **free_space, bint keep) noexcept nogil:
    """The matrices that live as long as the call; return their bytes."""
    cdef ptrdiff_t N = loop.N, size = 0, item = loop.itemsize
    if not keep:
        if own.is_native:
            size += _cut(free_space, &loop.gates, max(N, loop.gates_rows), own.gate_width, item)
        if loop.has_cell:
            size += _cut(free_space, &loop.c_0, N, own.Hp, item)
    if own.has_mid:
        size += _cut(free_space, &loop.mid, N, own.Hp, item)
    if not own.is_native:
        size += _cut(free_space, &loop.scratch, N, own.scratch_columns, item)
    return size + _cut(free_space, &loop.h_0, N, loop.R, item)


cdef void _load_state(Matrix target, Matrix source, ptrdiff_t N, ptrdiff_t columns, ptrdiff_t itemsize) noexcept nogil:
    """Copy a state (N, columns), or zeros, into one that is widened with zeros."""
    if target.ld > columns or source.data == NULL:
        memset(target.data, 0, N * target.ld * itemsize)
    if source.data != NULL:
        copy_rows(target, source, N, columns * itemsize, itemsize)


cdef object _run_layer(list directions, x_array, Matrix x, out_array, Matrix out, const Batch *batch, States states,
                       States states_n, bint keep, bint keep_cells, bint by_units, int n_threads):
    """Run directions; return lists (cells, kept), empty where nothing is to be kept."""
    cdef Loop loops[DIRECTIONS]
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
        loop.keep, loop.out = keep, out
        loop.out.data += d * loop.R * loop.itemsize
        loop.gates_rows = min(S, max(AHEAD_ROWS, AHEAD_BYTES // (own.gate_width * loop.itemsize)))
        size += _cut_scratch(loop, own, &none, keep)
    scratch = malloc(size + 64)
    if scratch == NULL:
        raise MemoryError(f"{size} bytes of scratch")
    free_space = <char *>((<size_t>scratch + 63) // 64 * 64)
    try:
        for d in range(D):
            own = <Direction>directions[d]
            loop = &loops[d]
            itemsize = loop.itemsize
            _cut_scratch(loop, own, &free_space, keep)
            own_gates = own_cells = own_c_0 = None
            if keep or not own.is_native:
                own_gates = gates = empty(own, S, (own.kept_width if keep else own.gate_width) + loop.kernels.lanes)
                loop.gates = matrix(gates)
            if own.is_native:
                loop.x = x
            else:
                own.pack.engine.matmul(
                    x_array, own.pack.w_ih, own.pack.bias[:own.gate_width], gates[:, :own.gate_width], n_threads
                )
            if loop.has_cell and (keep or keep_cells):
                own_cells, own_c_0 = empty(own, S, own.Hp), empty(own, N, own.Hp)
                loop.cells, loop.c_0, loop.per_step_cells = matrix(own_cells), matrix(own_c_0), True
            if keep or keep_cells:
                cells.append(own_cells)
                kept.append((x_array, own_gates, own_cells, own_c_0, out_array))
            held.append(own_gates)
            h_0 = _state(states.h, d, N, loop.R, itemsize)
            if h_0.data == NULL:
                memset(loop.h_0.data, 0, N * loop.R * itemsize)
            else:
                loop.h_0 = h_0
            if loop.has_cell:
                _load_state(loop.c_0, _state(states.c, d, N, own.H, itemsize), N, own.H, itemsize)
        with nogil:
            run_forward(loops, D, by_units, n_threads)
        for d in range(D):
            own = <Direction>directions[d]
            loop = &loops[d]
            itemsize = loop.itemsize
            _last(loop, batch, loop.out, loop.h_0, loop.R, _state(states_n.h, d, N, loop.R, itemsize))
            if loop.has_cell:
                c_0 = _state(states_n.c, d, N, own.H, itemsize)
                if loop.per_step_cells:
                    _last(loop, batch, loop.cells, loop.c_0, own.H, c_0)
                else:
                    copy_rows(c_0, loop.c_0, N, own.H * itemsize, itemsize)
    finally:
        free(scratch)
    return cells, kept


def run_layer(list directions, cnp.ndarray x, cnp.ndarray out, packing, ptrdiff_t T, ptrdiff_t N, list states,
              list states_n, bint keep, bint keep_cells, bint by_units, int n_threads):
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

    Returns
    -------
    cells : list of ndarray of shape (S, Hp), or of None
        By direction; empty where nothing is kept.
    kept : list
        By direction, for `run_layer_back`; empty where nothing is kept.
    """
    cdef Batch batch = _batch(packing, T, N)
    return _run_layer(
        directions, x, matrix(x), out, matrix(out), &batch, _states(states), _states(states_n), keep, keep_cells,
        by_units, n_threads,
    )


def aligned(Direction own, ptrdiff_t rows, ptrdiff_t columns):
    """Return an uninitialised array (rows, columns) of a direction's type that begins with a cache line."""
    return empty(own, rows, columns)


def accepts(x, Direction first):
    """Whether x is already what `infer` takes."""
    return is_plain(x, first.type_number) and x.ndim == 3 and (<cnp.ndarray>x).shape[2] == first.forward.X


def infer(list layers, cnp.ndarray x, states, list plans):
    """Run a stack on T steps of N rows each, and keep nothing.

    Parameters
    ----------
    layers : list of list of Direction
    x : ndarray of shape (T, N, X)
    states : sequence of ndarray of shape (layers * directions, N, R or H), or None
        None stands for zeros.
    plans : list of (bool, int), or None
        `by_units` and `n_threads` of each layer; None: one thread.

    Returns
    -------
    output : ndarray of shape (T, N, directions * R)
    h_n : ndarray of shape (layers * directions, N, R)
    c_n : ndarray of shape (layers * directions, N, H) or None
    """
    cdef Batch batch = _batch(None, x.shape[0], x.shape[1])
    cdef Direction first = <Direction>(<list>layers[0])[0]
    cdef ptrdiff_t k, D = len(<list>layers[0]), L = len(layers), R = first.forward.R
    cdef cnp.ndarray h_n = _empty_3(L * D, batch.N, R, first.type_number)
    cdef cnp.ndarray output = _empty_3(batch.T, batch.N, D * R, first.type_number)
    cdef cnp.ndarray c_n, between
    cdef States initial, last
    cdef Matrix source, target
    cdef bint by_units = False
    cdef int n_threads = 1
    initial.h = initial.c = last.c = NULL
    last.h = <char *>cnp.PyArray_DATA(h_n)
    result = None
    if first.forward.has_cell:
        result = c_n = _empty_3(L * D, batch.N, first.H, first.type_number)
        last.c = <char *>cnp.PyArray_DATA(c_n)
    if states is not None:
        initial = _states(states)
    source.data, source.ld = <char *>cnp.PyArray_DATA(x), x.shape[2]
    target.ld = D * R
    current = x
    for k in range(L):
        if plans is not None:
            by_units, n_threads = plans[k]
        following = between = None
        if k == L - 1:
            target.data = <char *>cnp.PyArray_DATA(output)
        else:
            following = between = empty(first, batch.S, D * R)
            target.data = <char *>cnp.PyArray_DATA(between)
        if not first.is_native:
            current = current.reshape(batch.S, source.ld)
        _run_layer(
            <list>layers[k], current, source, None, target, &batch, initial, last, False, False, by_units, n_threads
        )
        current, source = following, target
        _advance(&initial, D * batch.N, first)
        _advance(&last, D * batch.N, first)
    return output, h_n, result


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


def run_layer_back(list directions, list kept, cnp.ndarray d_out, packing, ptrdiff_t T, ptrdiff_t N, list states,
                   list d_states, list grads, bint by_units, int n_threads):
    """Run directions backwards and add the gradients of their weights.

    Parameters
    ----------
    directions, packing, T, N, states, by_units, n_threads
        As in `run_layer`.
    kept : list
        What `run_layer` kept. Used up: gates are overwritten by their gradients.
    d_out : ndarray of shape (S, len(directions) * R)
        Rows of unit stride.
    d_states : list of ndarray of shape (len(directions), N, R or H)
        Gradients of the last states; overwritten by those of the initial ones.
    grads : list of dict
        By direction: C-contiguous gradients by plain name ("weight_ih", ...), added into.

    Returns
    -------
    d_x : ndarray of shape (S, X)
    """
    cdef Loop loops[DIRECTIONS]
    cdef Loop *loop
    cdef Direction own
    cdef Batch batch = _batch(packing, T, N)
    cdef States initial = _states(states)
    cdef int d, D = len(directions)
    cdef ptrdiff_t itemsize
    cdef cnp.ndarray packed
    held, d_x, biases = [], [], []
    for d in range(D):
        own = directions[d]
        loop = &loops[d]
        bind(loop, own.backward_loop(), &batch)
        itemsize = loop.itemsize
        x, gates, cells, c_0, out = kept[d]
        loop.gates, loop.cells, loop.c_0 = matrix(gates), matrix(cells), matrix(c_0)
        loop.h_0 = _state(initial.h, d, N, loop.R, itemsize)
        loop.out, loop.d_out = matrix(out), matrix(d_out)
        loop.out.data += d * loop.R * itemsize
        loop.d_out.data += d * loop.R * itemsize
        held.append(empty(own, N, own.Rp))
        loop.dh = matrix(held[len(held) - 1])
        _load_state(loop.dh, block(d_states[0], d), N, loop.R, itemsize)
        if loop.has_cell:
            held.append(empty(own, N, own.Hp))
            loop.dc = matrix(held[len(held) - 1])
            _load_state(loop.dc, block(d_states[1], d), N, own.H, itemsize)
        mid = inner = None
        if own.has_mid:
            mid = empty(own, batch.S, own.Rp if own.projects else own.Hp)
            d_mid = np.zeros((N, own.Hp), own.pack.dtype)
            loop.mid, loop.d_mid = matrix(mid), matrix(d_mid)
            held += [mid, d_mid]
        if own.projects:
            inner = empty(own, batch.S, own.Hp)
            loop.inner = matrix(inner)
            held.append(inner)
        own_d_x = empty(own, batch.S, loop.X)
        loop.d_x = matrix(own_d_x)
        d_x.append(own_d_x)
        _fill_outers(loop, own, grads[d], x, gates, mid, inner)
        biases.append(np.zeros(own.kept_width, own.pack.dtype) if "bias_ih" in grads[d] else None)
        loop.d_bias = NULL if biases[d] is None else cnp.PyArray_DATA(<cnp.ndarray>biases[d])
        packed = empty(own, n_threads, packed_bytes(loop) // itemsize)
        loop.packed = <char *>cnp.PyArray_DATA(packed)
        held.append(packed)
    with nogil:
        run_backward(loops, D, by_units, n_threads)
    for d in range(D):
        own = directions[d]
        loop = &loops[d]
        copy_rows(block(d_states[0], d), loop.dh, N, loop.R * loop.itemsize, loop.itemsize)
        if loop.has_cell:
            copy_rows(block(d_states[1], d), loop.dc, N, own.H * loop.itemsize, loop.itemsize)
        if biases[d] is not None:
            own.pack.add_bias_gradient(biases[d], grads[d])
    return d_x[0] if D == 1 else d_x[0] + d_x[1]


cdef void _fill_outers(Loop *loop, Direction own, dict grads, x, gates, mid, inner):
    """The weight gradients: for each gate the columns of `gates` that are its gradient, and the rows they go to."""
    cdef Outer *outer
    cdef cnp.ndarray grad
    cdef int i
    loop.n_outers = 0
    for name, gate_blocks, operand in own.pack.weight_gradients:
        grad = grads[name]
        assert cnp.PyArray_ISCARRAY(grad) and len(gate_blocks) <= GATES_MAX
        outer = &loop.outers[loop.n_outers]
        loop.n_outers += 1
        outer.n_gates, outer.previous = len(gate_blocks), operand == "previous"
        outer.b = matrix({"x": x, "previous": None, "mid": mid, "inner": inner}[operand])
        outer.M, outer.N = (loop.R if operand == "inner" else own.H), grad.shape[1]
        for i, (gate, block) in enumerate(gate_blocks):
            outer.a[i] = matrix(mid if operand == "inner" else gates)
            outer.a[i].data += block * own.Hp * loop.itemsize
            outer.c[i] = matrix(grad)
            outer.c[i].data += gate * own.H * grad.strides[0]
