"""Sequences from their end to their beginning."""

from __future__ import annotations

import numpy as np

from .._validation import as_array, as_gradient
from ._base import Layer
from ._ragged import full_lengths, read_sequences


class Reverse(Layer):
    """Turn the steps of each row around; those past its length become 0.

    In front of a recurrent layer it is Keras's ``go_backwards``: outputs come in the order in which steps are read.

    Parameters
    ----------
    dtype : {"float32", "float64"} or None, default=None
        None works in the type of the input (float32 for what is neither).

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Reverse
    >>> x = np.array([[[1.0], [4.0]], [[2.0], [5.0]], [[3.0], [9.0]]])  # three steps of two sequences
    >>> Reverse()(x, lengths=[3, 2])[:, :, 0].T.tolist()
    [[3.0, 2.0, 1.0], [5.0, 4.0, 0.0]]
    """

    def __init__(self, dtype=None):
        super().__init__(dtype)

    def __repr__(self):
        return "Reverse()"

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Turn around.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size), or (seq_len, input_size) for one sequence
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row.
        n_threads : int, optional
            Without effect here.

        Returns
        -------
        ndarray of the shape of x
        """
        x, lengths, unbatched = read_sequences(x, lengths, self.dtype)
        y = _reversed(x, full_lengths(x, lengths))
        return y[:, 0] if unbatched else y

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Turn around, and return the function of the gradient.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of the shape of x
        backward : callable
            ``d_x = backward(d_output)``. Works once.
        """
        x = as_array("x", x, self.dtype)
        output = self(x, lengths)
        spend = self._single_use(self.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, x.dtype, x.shape)
            spend()
            return self(d_output, lengths)

        return output, backward


def _reversed(x, lengths):
    if (lengths == len(x)).all():
        return np.ascontiguousarray(x[::-1])
    steps = lengths - 1 - np.arange(len(x))[:, None]  # where step t of a row comes from
    return np.where(steps[..., None] >= 0, np.take_along_axis(x, np.maximum(steps, 0)[..., None], 0), x.dtype.type(0))
