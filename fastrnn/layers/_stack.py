"""Layers upon layers of directions, on checked arrays: what `RNN`, `LSTM` and `GRU` have in common."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import numpy as np

from .. import _threads
from .._core import native, recurrent
from .._core.directions import Direction
from ._packing import Packing
from ._plan import pipeline, plan
from ._run import Run, SegmentedRun


class Stack:
    """The packed weights of all layers and directions, of one version.

    Parameters
    ----------
    layers : list of list of DirectionPack
    """

    def __init__(self, layers):
        self.layers = [[Direction(pack, d == 1) for d, pack in enumerate(layer)] for layer in layers]
        first = layers[0][0]
        self.first, self.engine, self.dtype = self.layers[0][0], first.engine, first.dtype
        self.is_native = first.engine is native
        self.H, self.row_work = first.H, sum(p.cell.n_gates * p.H * (p.I + p.R) for layer in layers for p in layer)

    def n_threads(self, n_threads, steps, rows, passes=1):
        """Return how many threads a call of `steps` packed rows in a batch of `rows` uses at the most."""
        work = steps * self.row_work * passes
        if work < 2 * _threads.WORK_PER_THREAD and (n_threads is None or (type(n_threads) is int and n_threads > 0)):
            return 1
        return _threads.resolve(n_threads, work, max(rows, self.H))

    def plans(self, n_threads, rows, training=False, whole_rows=False):
        """Return [(by units?, threads)] of the layers for a call, or None where all have one thread."""
        return None if n_threads == 1 else [plan(layer, rows, n_threads, training, whole_rows) for layer in self.layers]

    def blas(self):
        """Return a context that holds BLAS at one thread, where it is used."""
        return nullcontext() if self.is_native else _threads.single_threaded_blas()

    def infer(self, x, states, n_threads):
        """Return (output, h_n, c_n) of T steps of N rows each, nothing kept; states None stands for zeros."""
        steps, rows, _ = x.shape
        n_threads = self.n_threads(n_threads, steps * rows, rows)
        plans = self.plans(n_threads, rows)
        if self.is_native:
            return recurrent.infer(self.layers, x, states, plans, pipeline(self.layers, steps, rows, n_threads))
        with self.blas():
            return recurrent.infer(self.layers, x, states, plans)


class Call:
    """One forward run of a stack on a ragged batch or for training, and its backward.

    Parameters
    ----------
    stack : Stack
    x : ndarray of shape (seq_len, batch_size, input_size)
    states : tuple of ndarray of shape (num_layers * directions, batch_size, R or H)
        (h_0,) or (h_0, c_0).
    lengths : int64 ndarray of shape (batch_size,) or None
    keep : bool
        Keep what backward needs.
    keep_cells : bool
        Return all cells of the last layer.
    n_threads : int or None
    dropout : callable or None
        ``dropout(shape)`` draws the factors of dropout between layers.
    draws : callable or None
        ``draws(seq_len, batch_size)`` draws the `Masks` of a direction.
    checkpoint_every : int or None
        Keep the states of every so many steps only, and make the rest anew in backward.
    """

    def __init__(
        self, stack, x, states, lengths, *, keep=False, keep_cells=False, n_threads=None, dropout=None, draws=None,
        checkpoint_every=None,
    ):  # fmt: skip
        self.stack, self.x_shape = stack, x.shape
        self.packing = Packing(lengths, *x.shape[:2])
        rows = x.shape[1]
        n_threads = stack.n_threads(n_threads, self.packing.size, rows, 3 if keep else 1)
        self.plans = stack.plans(n_threads, rows, keep, whole_rows=draws is not None)
        self._kind = partial(SegmentedRun, every=checkpoint_every) if checkpoint_every else partial(Run, keep=keep)
        self.cells = None
        self.runs, self.dropped = [], []
        with stack.blas():
            self.output, self.states = self._run(self.packing.pack(x), states, keep_cells, dropout, draws)

    def _plan(self, k):
        return (False, 1) if self.plans is None else self.plans[k]

    def _layer(self, states, k):
        """The states of layer k: views."""
        D = len(self.stack.layers[k])
        return [state[k * D : (k + 1) * D] for state in states]

    def _run(self, x, states, keep_cells, dropout, draws):
        """Return the output (seq_len, batch_size, directions * R) and the last states, as they came."""
        self.states_0 = [self.packing.sort(state) for state in states]
        states_n = [np.empty_like(state) for state in self.states_0]
        for k, directions in enumerate(self.stack.layers):
            if k and dropout:
                self.dropped.append(dropout(x.shape))
                x = x * self.dropped[-1]
            masks = [draws(*self.x_shape[:2]).packed(self.packing) for _ in directions] if draws else None
            is_last = k == len(self.stack.layers) - 1
            run = self._kind(directions, self.packing, self._plan(k), masks=masks)
            out = run.forward(x, self._layer(self.states_0, k), self._layer(states_n, k), keep_cells and is_last)
            self.runs.append(run)
            x = out
        if keep_cells:
            H = self.stack.H
            self.cells = self.packing.unpack(np.concatenate([part[:, :H] for part in run.cells], axis=1))
        return self.packing.unpack(x), tuple(self.packing.unsort(state) for state in states_n)

    def backward(self, d_output, d_states_n, grads, wants_x=True):
        """Return (d_x, d_states_0), and add into `grads`: a list by layer and direction of dicts by plain name.

        Where nobody wants them, d_x is None, and `grads` is given as None.
        """
        d_states = [self.packing.sort(state) for state in d_states_n]
        d_out = self.packing.pack(d_output)
        with self.stack.blas():
            for k in reversed(range(len(self.stack.layers))):
                layer_grads = None if grads is None else grads[k]
                d_out = self.runs.pop().backward(d_out, self._layer(d_states, k), layer_grads, k > 0 or wants_x)
                if k and self.dropped:
                    d_out *= self.dropped[k - 1]
        d_x = self.packing.unpack(d_out) if wants_x else None
        return d_x, tuple(self.packing.unsort(state) for state in d_states)
