"""Layers of directions backwards; arrays as in `recurrent.pyx`."""

import numpy as np

cimport numpy as cnp

from fastrnn._core.directions cimport (
    Batch, Direction, States, batch_of, bind, block, copy_rows, empty, load_state, matrix, state_of, states_of,
    take_masks,
)
from fastrnn._core.gradients cimport packed_bytes
from fastrnn._core.loops cimport GATES_MAX, Loop, Outer, run_backward

cnp.import_array()

cdef enum:
    DIRECTIONS = 2


def run_layer_back(list directions, list kept, cnp.ndarray d_out, packing, ptrdiff_t T, ptrdiff_t N, list states,
                   list d_states, grads, bint by_units, int n_threads, bint wants_x=True):
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
    grads : list of dict or None
        By direction: C-contiguous gradients by plain name ("weight_ih", ...), added into. None: nobody wants them.
    wants_x : bool, default=True
        Whether anybody wants d_x.

    Returns
    -------
    d_x : ndarray of shape (S, X), or None where nobody wants it
    """
    cdef Loop loops[DIRECTIONS]
    cdef Loop *loop
    cdef Direction own
    cdef Batch batch = batch_of(packing, T, N)
    cdef States initial = states_of(states)
    cdef int d, D = len(directions)
    cdef ptrdiff_t itemsize
    cdef cnp.ndarray packed
    held, d_x, biases, sums = [], [], [], []
    for d in range(D):
        own = directions[d]
        loop = &loops[d]
        bind(loop, own.backward_loop(), &batch)
        itemsize = loop.itemsize
        x, gates, cells, c_0, out, extra, masks, masked = kept[d]
        loop.gates, loop.cells, loop.c_0 = matrix(gates), matrix(cells), matrix(c_0)
        loop.h_0 = state_of(initial.h, d, N, loop.R, itemsize)
        loop.out, loop.d_out = matrix(out), matrix(d_out)
        loop.out.data += d * loop.R * itemsize
        loop.d_out.data += d * loop.R * itemsize
        held.append(empty(own, N, own.Rp))
        loop.dh = matrix(held[len(held) - 1])
        load_state(loop.dh, block(d_states[0], d), N, loop.R, itemsize)
        if loop.has_cell:
            held.append(empty(own, N, own.Hp))
            loop.dc = matrix(held[len(held) - 1])
            load_state(loop.dc, block(d_states[1], d), N, own.H, itemsize)
        mid = inner = None
        if own.has_d_mid:
            mid = empty(own, batch.S, own.Rp if own.projects else own.Hp)
            d_mid = np.zeros((N, own.Hp), own.pack.dtype)
            loop.mid, loop.d_mid = matrix(mid), matrix(d_mid)
            held += [mid, d_mid]
        if own.projects:
            inner = empty(own, batch.S, own.Hp)
            loop.inner = matrix(inner)
            held.append(inner)
        own_grads = {} if grads is None else grads[d]
        own_d_x = empty(own, batch.S, loop.X) if wants_x else None
        loop.d_x = matrix(own_d_x)
        d_x.append(own_d_x)
        loop.d_input = loop.d_hidden = loop.gates
        if extra is not None:
            loop.extra = matrix(extra)
        if own.has_norm:
            loop.d_input = matrix(extra[:, own.norm_at + (2 * own.variant.blocks + 3) * own.Hp:])
            loop.d_hidden = matrix(extra[:, own.norm_at + (3 * own.variant.blocks + 3) * own.Hp:])
        if masks is not None:
            take_masks(loop, masks)
        if masked is not None:
            d_masked = np.zeros((N, own.Rp), own.pack.dtype)
            loop.masked, loop.d_masked = matrix(masked), matrix(d_masked)
            held.append(d_masked)
        _fill_outers(loop, own, own_grads, x, masked, mid, inner)
        sums.append(np.zeros(loop.sums_width, own.pack.dtype) if loop.sums_width and own_grads else None)
        loop.d_extra = NULL if sums[d] is None else cnp.PyArray_DATA(<cnp.ndarray>sums[d])
        biases.append(np.zeros(own.kept_width, own.pack.dtype) if "bias_ih" in own_grads else None)
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
        if sums[d] is not None:
            own.pack.add_variant_gradients(sums[d], grads[d])
    return d_x[0] if D == 1 or not wants_x else d_x[0] + d_x[1]


cdef void _fill_outers(Loop *loop, Direction own, dict grads, x, masked, mid, inner):
    """The weight gradients: for each gate the columns of `gates` that are its gradient, and the rows they go to."""
    cdef Outer *outer
    cdef cnp.ndarray grad
    cdef int i
    loop.n_outers = 0
    for name, gate_blocks, operand in own.pack.weight_gradients if grads else ():
        grad = grads[name]
        assert cnp.PyArray_ISCARRAY(grad) and len(gate_blocks) <= GATES_MAX
        outer = &loop.outers[loop.n_outers]
        loop.n_outers += 1
        outer.n_gates, outer.previous = len(gate_blocks), operand == "previous" and masked is None
        outer.b = matrix({"x": x, "previous": masked, "mid": mid, "inner": inner}[operand])
        outer.M, outer.N = (loop.R if operand == "inner" else own.H), grad.shape[1]
        for i, (gate, block) in enumerate(gate_blocks):
            outer.a[i] = matrix(mid) if operand == "inner" else loop.d_input if operand == "x" else loop.d_hidden
            outer.a[i].data += block * own.Hp * loop.itemsize
            outer.c[i] = matrix(grad)
            outer.c[i].data += gate * own.H * grad.strides[0]
