"""Masks of Keras as lengths: the steps of a row that count, moved together, and back to their places."""

from __future__ import annotations

import numpy as np


class Steps:
    """Which steps count.

    Parameters
    ----------
    valid : bool ndarray of shape (seq_len, batch_size)
        In the order in which steps are read.
    zero_output : bool
        Whether the output of a step that does not count is 0; else it is that of the step before, and 0 at first.

    Attributes
    ----------
    lengths : int64 ndarray of shape (batch_size,)
    """

    def __init__(self, valid, zero_output):
        self.lengths = valid.sum(axis=0)
        self._seen = np.cumsum(valid, axis=0)
        self._shown = valid if zero_output else self._seen > 0
        in_front = (valid == (np.arange(len(valid))[:, None] < self.lengths)).all()
        self._order = None if in_front else np.argsort(~valid, axis=0, kind="stable")

    def together(self, x, take, index=np.asarray):
        """Return x (seq_len, batch_size, features) with the steps that count in front.

        Parameters
        ----------
        x : array or tensor
        take : callable
            ``take(x, index, axis)`` along an axis, of the library of x.
        index : callable
            Makes an index of an array.
        """
        return x if self._order is None else take(x, index(self._order[..., None]), 0)

    def in_place(self, y, take, where, index=np.asarray):
        """Return outputs y (seq_len, batch_size, features) at their steps; the inverse of `together`."""
        taken = take(y, index(np.maximum(self._seen - 1, 0)[..., None]), 0)
        return where(index(self._shown[..., None]), taken, y.dtype.type(0) if isinstance(y, np.ndarray) else 0.0)

    def last(self, h_n, where, index=np.asarray):
        """Return the output of the last step, where h_n (batch_size, features) is that of the last one that counts."""
        zero = h_n.dtype.type(0) if isinstance(h_n, np.ndarray) else 0.0
        return where(index(self._shown[-1][:, None]), h_n, zero)
