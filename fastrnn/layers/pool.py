"""From one vector a step to one vector a sequence."""

from __future__ import annotations

import numpy as np

from .._core import native
from .._validation import as_gradient, check_choice
from ._base import Layer
from ._ragged import full_lengths, read_sequences

KINDS = ("last", "mean", "max")


class Pool(Layer):
    """Summarise each sequence by its last output, or by the mean or the largest of its outputs.

    A row of length 0 gives 0.

    Parameters
    ----------
    kind : {"last", "mean", "max"}, default="last"
        "last" is the output at a row's own last step; of a bidirectional layer's two halves, the second one has its
        last step at the beginning of the row.
    bidirectional : bool, default=False
        Whether "last" stands behind a bidirectional layer. `Sequential` sees to it by itself.
    dtype : {"float32", "float64"} or None, default=None
        None works in the type of the input (float32 for what is neither).

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> x = np.array([[[1.0], [9.0]], [[5.0], [8.0]]])  # two steps of two sequences
    >>> fastrnn.Pool("last")(x, lengths=[2, 1]).tolist()
    [[5.0], [9.0]]
    >>> fastrnn.Pool("mean")(x).tolist()
    [[3.0], [8.5]]
    """

    consumes_time = True

    def __init__(self, kind="last", bidirectional=False, dtype=None):
        super().__init__(dtype)
        self.kind = check_choice("kind", kind, KINDS)
        self.bidirectional = bool(bidirectional)

    def __repr__(self):
        return f"Pool({self.kind!r}{', bidirectional=True' if self.bidirectional else ''})"

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Summarise.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size), or (seq_len, input_size) for one sequence
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is not read.
        n_threads : int, optional
            Without effect here.

        Returns
        -------
        ndarray of shape (batch_size, input_size), or (input_size,)
        """
        x, lengths, unbatched = self._arguments(x, lengths)
        output = self._pooled(x, lengths)
        return output[0] if unbatched else output

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Summarise and keep what the gradient needs.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call. `x` must not be changed before `backward`.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of shape (batch_size, input_size), or (input_size,)
            Not to be changed before `backward`.
        backward : callable
            ``d_x = backward(d_output)``. Where the largest output occurs more than once, "max" gives its gradient to
            the first. Works once.
        """
        x, lengths, unbatched = self._arguments(x, lengths)
        pooled = self._pooled(x, lengths)
        output = pooled[0] if unbatched else pooled
        spend = self._single_use(self.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, x.dtype, output.shape).reshape(pooled.shape)
            spend()
            d_x = self._d_pooled(d_output, x, lengths)
            return d_x[:, 0] if unbatched else d_x

        return output, backward

    def _arguments(self, x, lengths):
        """Return x (seq_len, batch_size, input_size), lengths (batch_size,), and whether x came without a batch."""
        x, lengths, unbatched = read_sequences(x, lengths, self.dtype)
        if self.kind == "last" and self.bidirectional and x.shape[2] % 2:
            raise ValueError(f"x has input_size = {x.shape[2]}, expected two halves, for bidirectional is True")
        return x, full_lengths(x, lengths), unbatched

    def _pooled(self, x, lengths):
        if self.kind == "last":
            return self._last(x, lengths)
        return _mean(x, lengths) if self.kind == "mean" else _largest(x, lengths)

    def _d_pooled(self, d_output, x, lengths):
        if self.kind == "last":
            return self._d_last(d_output, x, lengths)
        if self.kind == "mean":
            return _d_mean(d_output, x, lengths)
        return _d_largest(d_output, x, lengths)

    def _last(self, x, lengths):
        output = np.zeros(x.shape[1:], x.dtype)
        rows = np.flatnonzero(lengths)
        output[rows] = x[lengths[rows] - 1, rows]
        if self.bidirectional:
            half = x.shape[2] // 2
            output[rows, half:] = x[0, rows, half:] if rows.size else 0
        return output

    def _d_last(self, d_output, x, lengths):
        d_x = np.zeros_like(x)
        rows = np.flatnonzero(lengths)
        half = x.shape[2] // 2 if self.bidirectional else x.shape[2]
        d_x[lengths[rows] - 1, rows, :half] = d_output[rows, :half]
        if self.bidirectional and rows.size:
            d_x[0, rows, half:] = d_output[rows, half:]
        return d_x


def _mean(x, lengths):
    output = np.zeros(x.shape[1:], x.dtype)
    for n, length in enumerate(lengths.tolist()):
        if length:  # step after step, so that a row has the same bits in every batch
            native.add_rows(output[n], np.ascontiguousarray(x[:length, n]))
    output /= np.maximum(lengths, 1).astype(x.dtype)[:, None]
    return output


def _d_mean(d_output, x, lengths):
    d_step = d_output / np.maximum(lengths, 1).astype(x.dtype)[:, None]
    return np.where(_valid(x, lengths), d_step, x.dtype.type(0))


def _largest(x, lengths):
    output = np.maximum.reduce(_without_padding(x, lengths), axis=0, initial=-np.inf)
    output += 0  # the sign of max(-0, +0) depends on the place in a vector; -0 + 0 is +0
    output[lengths == 0] = 0
    return output


def _d_largest(d_output, x, lengths):
    d_x = np.zeros_like(x)
    if x.size:
        first = np.argmax(_without_padding(x, lengths), axis=0)[None]
        np.put_along_axis(d_x, first, np.where(lengths[:, None] > 0, d_output, x.dtype.type(0))[None], axis=0)
    return d_x


def _valid(x, lengths):
    return np.arange(x.shape[0])[:, None, None] < lengths[:, None]


def _without_padding(x, lengths):
    """Return x with -inf past each row's length."""
    if (lengths == x.shape[0]).all():
        return x
    return np.where(_valid(x, lengths), x, x.dtype.type(-np.inf))
