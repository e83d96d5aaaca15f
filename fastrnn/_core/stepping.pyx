"""One time step after another, on buffers that are bound once."""

import numpy as np

cimport numpy as cnp
from libc.stdlib cimport free, malloc

from fastrnn._core.directions cimport Batch, Direction, bind, block, copy_rows, is_plain, matrix
from fastrnn._core.loops cimport Loop, Matrix, run_forward

cnp.import_array()


cdef class Stepping:
    """A stack bound to buffers of its own, for one step of N rows at a time.

    Parameters
    ----------
    layers : list of list of Direction
        Each of one direction.
    N : int
    """
    cdef list layers, held, outs, gates
    cdef Loop *loops
    cdef Batch batch
    cdef ptrdiff_t L
    cdef int type_number
    cdef int turn   # of the two outputs of each layer, which is written next

    def __cinit__(self, list layers, ptrdiff_t N):
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
            self.type_number = own.type_number
            loop = &self.loops[k]
            bind(loop, &own.forward, &self.batch, 0)
            loop.out, loop.h_0 = self._buffer(N, loop.R, own), self._buffer(N, loop.R, own)
            self.outs.append(self.held[len(self.held) - 2:])
            loop.gates = self._buffer(N, own.gate_width, own)
            loop.gates_rows = N
            self.gates.append(self.held[len(self.held) - 1])
            if loop.has_cell:
                loop.c_0 = self._buffer(N, own.Hp, own)
            if own.has_mid:
                loop.mid = self._buffer(N, own.Hp, own)
            if not own.is_native:
                loop.scratch = self._buffer(N, max([operator.weights.N for operator in own.pack.forward]), own)

    def __dealloc__(self):
        free(self.loops)

    cdef Matrix _buffer(self, ptrdiff_t rows, ptrdiff_t columns, Direction own):
        cdef cnp.ndarray buffer = np.zeros((rows, columns), own.pack.dtype)
        self.held.append(buffer)
        return matrix(buffer)

    def load(self, states):
        """Take over [h] or [h, c], each (layers, N, R or H)."""
        cdef Direction own
        cdef Loop *loop
        cdef ptrdiff_t k
        for k in range(self.L):
            own = self.layers[k][0]
            loop = &self.loops[k]
            copy_rows(loop.h_0, block(states[0], k), loop.N, loop.R * loop.itemsize, loop.itemsize)
            if loop.has_cell:
                copy_rows(loop.c_0, block(states[1], k), loop.N, own.H * loop.itemsize, loop.itemsize)

    def save(self, states):
        """Fill [h] or [h, c]."""
        cdef Direction own
        cdef Loop *loop
        cdef ptrdiff_t k
        for k in range(self.L):
            own = self.layers[k][0]
            loop = &self.loops[k]
            copy_rows(block(states[0], k), loop.h_0, loop.N, loop.R * loop.itemsize, loop.itemsize)
            if loop.has_cell:
                copy_rows(block(states[1], k), loop.c_0, loop.N, own.H * loop.itemsize, loop.itemsize)

    cdef bint _fits(self, x, ptrdiff_t columns):
        return (
            is_plain(x, self.type_number) and cnp.PyArray_NDIM(x) == 2 and (<cnp.ndarray>x).shape[0] == self.batch.N
            and (<cnp.ndarray>x).shape[1] == columns
        )

    def try_step(self, x, out):
        """Take a step and return `out`, or do nothing and return None where an array is not what `step` takes."""
        if not (self._fits(x, self.loops[0].X) and self._fits(out, self.loops[0].R)):
            return None
        return self.step(x, out) if cnp.PyArray_ISWRITEABLE(out) else None

    def step(self, cnp.ndarray x, cnp.ndarray out):
        """Take one step: read x (N, X), fill `out` (N, R)."""
        cdef Loop *loop
        cdef Direction own
        cdef ptrdiff_t k
        cdef Matrix input = matrix(x)
        for k in range(self.L):
            loop = &self.loops[k]
            own = <Direction>(<list>self.layers[k])[0]
            if own.is_native:
                loop.x = input
            else:
                source = x if k == 0 else self.outs[k - 1][self.turn]
                own.pack.engine.matmul(source, own.pack.w_ih, own.pack.bias[:own.gate_width], self.gates[k], 1)
            with nogil:
                run_forward(loop, 1, False, 1)
            input = loop.out
            loop.out, loop.h_0 = loop.h_0, loop.out
        self.turn = 1 - self.turn
        copy_rows(matrix(out), input, self.batch.N, loop.R * loop.itemsize, loop.itemsize)
        return out
