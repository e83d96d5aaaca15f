"""A ragged batch without its padding: time-major, rows sorted by falling length."""

from __future__ import annotations

import numpy as np


class Packing:
    """Where the valid steps of a batch stand once padding is taken out.

    Step t of the packed batch holds the rows ``offsets[t]`` to ``offsets[t + 1]``: the sequences longer than t, the
    longest first. A batch of equal lengths keeps its order, and neither packing nor unpacking copies it.

    Parameters
    ----------
    lengths : int64 ndarray of shape (batch_size,) or None
        Checked lengths; None where all are `seq_len`.
    seq_len, batch_size : int
    """

    def __init__(self, lengths, seq_len, batch_size):
        self.seq_len, self.batch_size = seq_len, batch_size
        self.is_dense = lengths is None or bool((lengths == seq_len).all())
        if self.is_dense:
            self.order = None
            self.lengths = np.full(batch_size, seq_len, np.int64)
            self.offsets = np.arange(seq_len + 1, dtype=np.int64) * batch_size
            self.index = None
        else:
            self.order = np.argsort(-lengths, kind="stable")
            self.lengths = lengths[self.order]
            steps = int(self.lengths[0])
            counts = np.searchsorted(-self.lengths, -np.arange(steps), side="left")
            self.offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
            step = np.repeat(np.arange(steps), counts)
            rank = np.arange(len(step)) - self.offsets[step]
            self.index = step * batch_size + self.order[rank]
        self.size = int(self.offsets[-1])

    def pack(self, x):
        """Return the valid steps (S, features) of x (seq_len, batch_size, features)."""
        flat = x.reshape(self.seq_len * self.batch_size, x.shape[2])
        return flat if self.is_dense else flat.take(self.index, axis=0)

    def unpack(self, packed):
        """Return (seq_len, batch_size, features) with zeros where no step is; the inverse of `pack`."""
        shape = (self.seq_len, self.batch_size, packed.shape[1])
        if self.is_dense:
            return np.ascontiguousarray(packed).reshape(shape)
        x = np.zeros((shape[0] * shape[1], shape[2]), packed.dtype)
        x[self.index] = packed
        return x.reshape(shape)

    def sort(self, rows):
        """Return a copy of per-sequence rows (batch_size, features) in packed order."""
        return rows.copy() if self.is_dense else rows[self.order]

    def unsort(self, rows):
        """Return per-sequence rows in the caller's order; the inverse of `sort`."""
        if self.is_dense:
            return rows
        restored = np.empty_like(rows)
        restored[self.order] = rows
        return restored

    def last(self, packed, initial, reverse):
        """Return each sequence's last state (batch_size, R) in packed order; `initial` where its length is 0."""
        state = initial.copy()
        valid = int(np.searchsorted(-self.lengths, 0, side="left"))
        rank = np.arange(valid)
        where = rank if reverse else self.offsets[self.lengths[:valid] - 1] + rank
        state[:valid] = packed[where]
        return state

    def previous(self, packed, initial, reverse):
        """Return the state before each step (S, R): the step's before it, or `initial`."""
        counts = np.diff(self.offsets)
        step = np.repeat(np.arange(len(counts)), counts)
        rank = np.arange(self.size) - self.offsets[step]
        before = step + 1 if reverse else step - 1
        limit = np.concatenate([counts, [0]])  # limit[-1] is also that of step -1
        starts = rank >= limit[before]
        state = np.empty((self.size, packed.shape[1]), packed.dtype)
        state[starts] = initial[rank[starts]]
        runs = ~starts
        state[runs] = packed[self.offsets[before[runs]] + rank[runs]]
        return state

    def bounds(self, n_threads):
        """Return (n_threads + 1,) int64: shares of whole rows, nearly equal in steps."""
        if self.is_dense:
            return np.linspace(0, self.batch_size, n_threads + 1).astype(np.int64)
        steps = np.concatenate([[0], np.cumsum(self.lengths)])
        targets = np.linspace(0, steps[-1], n_threads + 1)
        bounds = np.searchsorted(steps, targets, side="left").astype(np.int64)
        bounds[0], bounds[-1] = 0, self.batch_size
        return bounds
