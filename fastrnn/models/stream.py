"""Sequences that come piece by piece."""

from __future__ import annotations

import numpy as np

from .._validation import as_array, as_tokens, check_out, check_shape, check_states
from ..layers import Embedding
from ._steps import step_functions


class Stream:
    """The state of n sequences that come piece by piece, beside a network that does not change.

    Rows are independent: one that begins anew is `reset`, one that has nothing to say takes 0 steps of `process`. Any
    mixture of `step` and `process` gives the bits of one `Network.run` over the whole. A stream belongs to one thread
    at a time; streams of one network do not touch each other. Made by ``network.stream(n)``.

    Attributes
    ----------
    batch_size : int
        n.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> from fastrnn.models import Network
    >>> net = Network(fastrnn.GRU(3, 4, random_state=0))
    >>> x = np.ones((6, 2, 3), np.float32)
    >>> y, _ = net.run(x)
    >>> stream = net.stream(2)
    >>> bool((stream.step(x[0]) == y[0]).all())
    True
    >>> bool((stream.process(x[1:]) == y[1:]).all())
    True
    >>> stream.reset([1])  # the second sequence begins anew
    >>> bool((stream.step(x[0])[1] == y[0, 1]).all())
    True
    """

    def __init__(self, chain, n, batch_first=False):
        self._chain, self.batch_size, self._batch_first = chain, n, batch_first
        self._stepper = chain.stepper(n)
        self._steps = step_functions(chain._leaves, self._stepper, n)
        self._recurrent = [layer for _, layer in chain._leaves if layer.is_recurrent]

    def step(self, x_t, out=None):
        """Take one step of every sequence.

        Parameters
        ----------
        x_t : array_like of shape (n, input_size), or of int (n,) for an Embedding in front
        out : ndarray of shape (n, output_size), optional
            To be filled with the result, in the network's dtype.

        Returns
        -------
        ndarray of shape (n, output_size)
            `out` where it is given, else a new array.
        """
        steps = self._steps
        if len(steps) == 1 and self._recurrent:
            return steps[0](x_t, out)
        y = x_t
        for step in steps:
            y = step(y)
        if out is None:
            return y
        np.copyto(check_out(out, y.shape, y.dtype), y)
        return out

    def process(self, chunk, lengths=None):
        """Take the next steps of every sequence, on the kernels of whole sequences.

        Parameters
        ----------
        chunk : array_like of shape (seq_len, n, input_size), or (n, seq_len, input_size) where `batch_first`
            Or tokens without the last axis.
        lengths : array_like of int of shape (n,), optional
            Steps of each sequence; one of 0 keeps its state.

        Returns
        -------
        ndarray
            y with the axes of the chunk, 0 past a row's length.
        """
        tokens = isinstance(self._chain._leaves[0][1], Embedding)
        chunk = as_tokens("chunk", chunk) if tokens else as_array("chunk", chunk, self._chain.dtype)
        axes = ("batch_size", "seq_len") if self._batch_first else ("seq_len", "batch_size")
        sizes = (self.batch_size, None) if self._batch_first else (None, self.batch_size)
        if not tokens:
            axes, sizes = (*axes, "input_size"), (*sizes, None)
        check_shape("chunk", chunk, axes, sizes)
        if self._batch_first:
            chunk = np.ascontiguousarray(chunk.swapaxes(0, 1))
        y, states = self._chain(chunk, self.state, lengths, n_threads=1)
        self._load(states)
        return np.ascontiguousarray(y.swapaxes(0, 1)) if self._batch_first else y

    def reset(self, where=None):
        """Let sequences begin anew, from states of zero.

        Parameters
        ----------
        where : int, sequence of int or array of bool of shape (n,), optional
            Which; all by default.
        """
        if where is None:
            self._stepper.reset()
            return
        rows = _rows(where, self.batch_size)
        states = self.state
        for state in states:
            for array in state if isinstance(state, tuple) else (state,):
                array[:, rows] = 0
        self._load(states)

    @property
    def state(self):
        """List of copies of the present states, one for each recurrent layer; to be set in the same form."""
        return self._stepper.state

    @state.setter
    def state(self, states):
        self._load(check_states("state", states, len(self._recurrent)))

    def copy(self):
        """Return a stream of the same network that goes on from the present state, on its own.

        Returns
        -------
        Stream
        """
        other = Stream(self._chain, self.batch_size, self._batch_first)
        other._load(self.state)
        return other

    def _load(self, states):
        arrays = [
            layer._state_arrays("state", state, self.batch_size, False)
            for layer, state in zip(self._recurrent, states, strict=True)
        ]
        for stepper, state in zip(self._stepper._recurrent, arrays, strict=True):
            stepper.load(state)


def _rows(where, n):
    """Return the rows that `where` names, as an array of bool or of integers in range."""
    rows = np.asarray(where)
    if rows.dtype == np.bool_:
        return check_shape("where", rows, ("batch_size",), (n,))
    if rows.size == 0:
        return np.zeros(n, np.bool_)
    if rows.dtype.kind not in "iu":
        raise TypeError(f"where has dtype {rows.dtype}, expected integers or bool")
    wrong = rows[(rows < 0) | (rows >= n)]
    if wrong.size:
        raise ValueError(f"where holds the row {int(wrong.flat[0])}, expected 0 <= row < batch_size = {n}")
    return rows.reshape(-1)
