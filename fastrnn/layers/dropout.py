"""Dropout between layers."""

from __future__ import annotations

import numpy as np

from .._validation import as_array, as_gradient, check_fraction, check_rng
from ._base import Layer
from ._ragged import valid_steps


class Dropout(Layer):
    """Zero each number with probability `p` in training, and divide the others by 1 - p.

    In a call, and in ``forward(..., training=False)``, numbers pass unchanged.

    Parameters
    ----------
    p : float, default=0.5
        Between 0 and 1.
    dtype : {"float32", "float64"} or None, default=None
        None works in the type of the input (float32 for what is neither).

    References
    ----------
    Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from overfitting", section 10.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> dropout = fastrnn.Dropout(0.5)
    >>> dropout(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    >>> y, backward = dropout.forward(np.ones(1000), rng=np.random.default_rng(0))
    >>> sorted(set(y.tolist()))
    [0.0, 2.0]
    """

    def __init__(self, p=0.5, dtype=None):
        super().__init__(dtype)
        self.p = check_fraction("p", p)

    def __repr__(self):
        return f"Dropout({self.p})"

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Return a copy of `x`, with 0 past a row's length.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size) or any other
        lengths : array_like of int of shape (batch_size,), optional
        n_threads : int, optional
            Without effect here.

        Returns
        -------
        ndarray of the shape of x
        """
        x = as_array("x", x, self.dtype)
        return _scaled(x, _of_steps(valid_steps(x, lengths), x), 1)

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Return `x` with some numbers dropped, and its gradient's function.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call.
        training : bool, default=True
            False drops nothing.
        rng : numpy.random.Generator
            Where the mask comes from; needed where `training` and p > 0.

        Returns
        -------
        output : ndarray of the shape of x
        backward : callable
            ``d_x = backward(d_output)``. Works once.
        """
        x = as_array("x", x, self.dtype)
        shape, dtype = x.shape, x.dtype
        kept, scale = _of_steps(valid_steps(x, lengths), x), dtype.type(1)
        if training and self.p > 0:
            rng = check_rng(rng, f"the mask of {self!r}")
            mask = rng.random(shape, dtype=dtype) >= self.p
            kept = mask if kept is None else mask & kept
            scale = dtype.type(1 / (1 - self.p) if self.p < 1 else 0)
        output = _scaled(x, kept, scale)
        spend = self._single_use(self.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, dtype, shape)
            spend()
            return _scaled(d_output, kept, scale)

        return output, backward

    def _step_function(self, batch_size):
        return lambda x_t: as_array("x_t", x_t, self.dtype).copy()


def _of_steps(valid, x):
    """Return `valid` (seq_len, batch_size) with axes of size 1 in place of the further axes of `x`."""
    return None if valid is None else valid.reshape(valid.shape + (1,) * (x.ndim - 2))


def _scaled(x, kept, scale):
    """Return scale x where `kept`, and 0 elsewhere, whatever stands there; None keeps all."""
    if kept is None:
        return x * scale
    return np.multiply(x, scale, out=np.zeros_like(x), where=kept)
