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
            self.size = seq_len * batch_size
        else:
            self.order = np.argsort(-lengths, kind="stable")
            self.lengths = lengths[self.order]
            steps = int(self.lengths[0])
            counts = np.searchsorted(-self.lengths, -np.arange(steps), side="left")
            self.offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
            step = np.repeat(np.arange(steps), counts)
            rank = np.arange(len(step)) - self.offsets[step]
            self.index = step * batch_size + self.order[rank]
            self.size = len(step)

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

    def sort(self, states):
        """Return a copy of states (layers, batch_size, features) with their rows in packed order."""
        return states.copy() if self.is_dense else states.take(self.order, axis=1)

    def unsort(self, states):
        """Return states with their rows in the caller's order; the inverse of `sort`."""
        if self.is_dense:
            return states
        restored = np.empty_like(states)
        restored[:, self.order] = states
        return restored

    def segments(self, every):
        """Return the batch cut into runs of `every` steps, as packings of their own; `rows` is where one stands."""
        found = []
        for begin in range(0, self.seq_len, every):
            end = min(begin + every, self.seq_len)
            segment = object.__new__(Packing)
            segment.seq_len, segment.batch_size, segment.is_dense = end - begin, self.batch_size, self.is_dense
            if self.is_dense:
                first, last = begin * self.batch_size, end * self.batch_size
            else:
                begin, end = (min(step, len(self.offsets) - 1) for step in (begin, end))
                first, last = int(self.offsets[begin]), int(self.offsets[end])
                segment.offsets = self.offsets[begin : end + 1] - first
                segment.lengths = np.clip(self.lengths - begin, 0, end - begin)
            segment.size, segment.rows = last - first, slice(first, last)
            found.append(segment)
        return found
