"""Layers upon layers of directions, on checked arrays: what `RNN`, `LSTM` and `GRU` have in common."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from .. import _threads
from ._direction import run_backward, run_forward
from ._packing import Packing


class Call:
    """One forward run of a stack, and its backward.

    Parameters
    ----------
    packs : list of list of DirectionPack
        By layer and direction.
    x : ndarray of shape (seq_len, batch_size, input_size)
    states : tuple of ndarray of shape (num_layers * directions, batch_size, R or H)
        (h_0,) or (h_0, c_0).
    lengths : int64 ndarray of shape (batch_size,) or None
    keep : bool
        Keep what backward needs.
    keep_cells : bool
        Return all cells of the last layer.
    n_threads : int or None
    masks : callable or None
        ``masks(shape)`` draws the factors of dropout between layers.
    """

    def __init__(self, packs, x, states, lengths, *, keep=False, keep_cells=False, n_threads=None, masks=None):
        self.packs, self.x_shape = packs, x.shape
        self.packing = Packing(lengths, *x.shape[:2])
        self.keep, self.keep_cells, self.masks = keep, keep_cells, masks
        first = packs[0][0]
        self.engine, self.dtype = first.engine, first.dtype
        work = self.packing.size * sum(p.w_ih.N * (p.I + p.R) for layer in packs for p in layer)
        self.n_threads = _threads.resolve(n_threads, work * (3 if keep else 1), max(x.shape[1], first.H))
        self.cells = None
        self.kept, self.dropped = [], []
        with self._blas():
            self.output, self.states = self._run(self.packing.pack(x), states)

    def _blas(self):
        return nullcontext() if self.engine.name == "native" else _threads.single_threaded_blas()

    def _run(self, x, states):
        """Return the output (seq_len, batch_size, directions * R) and the last states, as they came."""
        states_n = [np.empty_like(state) for state in states]
        for k, layer in enumerate(self.packs):
            if k and self.masks:
                mask = self.masks(x.shape)
                self.dropped.append(mask)
                x = x * mask
            x = self._run_layer(k, layer, x, states, states_n)
        return self.packing.unpack(x), tuple(states_n)

    def _run_layer(self, k, layer, x, states, states_n):
        packing, D, R = self.packing, len(layer), layer[0].R
        out = np.empty((packing.size, D * R), self.dtype)
        keep_cells = self.keep_cells and k == len(self.packs) - 1
        all_cells = []
        for d, pack in enumerate(layer):
            h_0, *c_0 = (packing.sort(state[k * D + d]) for state in states)
            h_n, c_n, cells, kept = run_forward(
                pack, packing, x, h_0, c_0[0] if c_0 else None, out[:, d * R : (d + 1) * R],
                reverse=d == 1, keep=self.keep, keep_cells=keep_cells, n_threads=self.n_threads,
            )  # fmt: skip
            for state_n, value in zip(states_n, (h_n, c_n), strict=False):
                state_n[k * D + d] = packing.unsort(value)
            self.kept.append(kept)
            all_cells.append(cells)
        if keep_cells:
            self.cells = packing.unpack(np.concatenate(all_cells, axis=1))
        return out

    def backward(self, d_output, d_states_n, grads):
        """Return (d_x, d_states_0), and add into `grads`: a list by layer and direction of dicts by plain name."""
        d_states_0 = [np.empty_like(d_state) for d_state in d_states_n]
        d_out = self.packing.pack(d_output)
        with self._blas():
            for k in reversed(range(len(self.packs))):
                d_out = self._backward_layer(k, d_out, d_states_n, d_states_0, grads[k])
                if k and self.dropped:
                    d_out *= self.dropped[k - 1]
        return self.packing.unpack(d_out), tuple(d_states_0)

    def _backward_layer(self, k, d_out, d_states_n, d_states_0, grads):
        layer, packing = self.packs[k], self.packing
        D, R, d_x = len(layer), layer[0].R, None
        for d, pack in enumerate(layer):
            d_h_n, *d_c_n = (packing.sort(d_state[k * D + d]) for d_state in d_states_n)
            kept, self.kept[k * D + d] = self.kept[k * D + d], None
            d_x_own, d_h_0, d_c_0 = run_backward(
                pack, packing, kept, d_out[:, d * R : (d + 1) * R], d_h_n, d_c_n[0] if d_c_n else None, grads[d],
                n_threads=self.n_threads,
            )  # fmt: skip
            for d_state_0, value in zip(d_states_0, (d_h_0, d_c_0), strict=False):
                d_state_0[k * D + d] = packing.unsort(value)
            d_x = d_x_own if d_x is None else d_x + d_x_own
        return d_x
