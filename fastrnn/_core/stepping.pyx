"""One time step after another, on buffers that are bound once."""

import numpy as np

cimport numpy as cnp
from libc.stdlib cimport free, malloc

from fastrnn._core.directions cimport Batch, Direction, bind, block, copy_rows, empty, is_plain, matrix
from fastrnn._core.loops cimport Loop, Matrix, run_forward

cnp.import_array()


cdef class Stepping:
    """A stack of one direction bound to buffers of its own, for one step of N rows at a time.

    A subclass has `_read(x_t)` and `_check_out(out)` for arrays that are not plain.

    Parameters
    ----------
    layers : list of list of Direction
    N : int
    context : callable
        What the blas engine's products are called in.
    """
    cdef list layers, held, outs, gates
    cdef Loop *loops
    cdef Batch batch
    cdef ptrdiff_t L
    cdef int type_number
    cdef bint is_fused
    cdef object context
    cdef int turn   # of the two outputs of each layer, which is written next

    def __cinit__(self, list layers, ptrdiff_t N, context):
        cdef Direction own
        cdef Loop *loop
        cdef ptrdiff_t k
        self.layers, self.L, self.turn = layers, len(layers), 0
        self.held, self.outs, self.gates = [], [], []
        self.batch.T, self.batch.N, self.batch.S, self.batch.offsets, self.batch.lengths = 1, N, N, NULL, NULL
        self.loops = <Loop *>malloc(self.L * sizeof(Loop))
        if self.loops == NULL:
            raise MemoryError()
        for k in range(self.L):
            own = layers[k][0]
            self.type_number, self.is_fused, self.context = own.type_number, own.is_fused, context
            loop = &self.loops[k]
            bind(loop, &own.forward, &self.batch)
            loop.out, loop.h_0 = self._buffer(N, loop.R, own), self._buffer(N, loop.R, own)
            self.outs.append(self.held[len(self.held) - 2:])
            loop.gates = self._buffer(N, own.gate_width, own)
            loop.gates_rows = N
            self.gates.append(self.held[len(self.held) - 1])
            if loop.has_cell:
                loop.c_0 = self._buffer(N, own.Hp, own)
            if own.has_mid:
                loop.mid = self._buffer(N, own.Hp, own)
            if not own.is_fused:
                loop.scratch = self._buffer(N, own.scratch_columns, own)

    def __dealloc__(self):
        free(self.loops)

    cdef Matrix _buffer(self, ptrdiff_t rows, ptrdiff_t columns, Direction own):
        cdef cnp.ndarray buffer = np.zeros((rows, columns), own.pack.dtype)
        self.held.append(buffer)
        return matrix(buffer)

    def load(self, states):
        """Take over [h] or [h, c], each (layers, N, R or H)."""
        self._exchange(states, True)

    def save(self, states):
        """Fill [h] or [h, c]."""
        self._exchange(states, False)

    cdef _exchange(self, states, bint is_load):
        cdef Loop *loop
        cdef ptrdiff_t k
        for k in range(self.L):
            loop = &self.loops[k]
            _copy_state(loop, loop.h_0, block(states[0], k), is_load)
            if loop.has_cell:
                _copy_state(loop, loop.c_0, block(states[1], k), is_load)

    cdef bint _fits(self, x, ptrdiff_t columns):
        return (
            is_plain(x, self.type_number) and cnp.PyArray_NDIM(x) == 2 and (<cnp.ndarray>x).shape[0] == self.batch.N
            and (<cnp.ndarray>x).shape[1] == columns
        )

    def step(self, x_t, out=None):
        """Take one step.

        Parameters
        ----------
        x_t : array_like of shape (batch_size, input_size)
        out : ndarray of shape (batch_size, output_size), optional
            To be filled and returned, in the layer's dtype; nothing is allocated then.

        Returns
        -------
        ndarray of shape (batch_size, output_size)
        """
        cdef Loop *last = &self.loops[self.L - 1]
        if not self._fits(x_t, self.loops[0].X):
            x_t = self._read(x_t)
        if out is None:
            out = empty(self.layers[0][0], self.batch.N, last.R)
        elif not (self._fits(out, last.R) and cnp.PyArray_ISWRITEABLE(out)):
            self._check_out(out)
            out[...] = self.step(x_t)
            return out
        self._run(x_t)
        copy_rows(matrix(out), last.h_0, self.batch.N, last.R * last.itemsize, last.itemsize)
        return out

    cdef _run(self, cnp.ndarray x):
        """One step of all layers; their new states then stand in h_0 and c_0."""
        cdef Matrix source = matrix(x)
        cdef ptrdiff_t k
        if not self.is_fused:
            return self._run_unfused(x)
        with nogil:
            for k in range(self.L):
                self.loops[k].x = source
                source = _step(&self.loops[k])

    def _run_unfused(self, x):
        cdef ptrdiff_t k
        cdef Direction own
        with self.context():
            for k in range(self.L):
                own = self.layers[k][0]
                own.pack.engine.matmul(x, own.pack.w_ih, own.pack.input_bias, self.gates[k], 1)
                _step(&self.loops[k])
                x = self.outs[k][self.turn]
        self.turn = 1 - self.turn


cdef void _copy_state(const Loop *loop, Matrix own, Matrix given, bint is_load) noexcept nogil:
    """Between a state of the loop, which may be padded, and a given one."""
    cdef Matrix target = own if is_load else given
    copy_rows(target, given if is_load else own, loop.N, given.ld * loop.itemsize, loop.itemsize)


cdef Matrix _step(Loop *loop) noexcept nogil:
    """One step of one layer; return its new state."""
    run_forward(loop, 1, False, 1)
    loop.flip ^= 1
    loop.out, loop.h_0 = loop.h_0, loop.out
    return loop.h_0
