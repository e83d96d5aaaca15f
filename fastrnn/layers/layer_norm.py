"""Layer normalisation of every step."""

from __future__ import annotations

import numpy as np

from .._core import native
from .._validation import as_array, as_gradient, check_dtype, check_fraction, check_shape, check_size
from ._base import Layer
from ._ragged import gather, scatter, valid_steps


class LayerNorm(Layer):
    """Normalise each step over its features: ``weight * (x - mean) / sqrt(variance + eps) + bias``.

    The variance is the biased one. A step gives the same bits alone and in any batch.

    Parameters
    ----------
    size : int
        Features of a step.
    eps : float, default=1e-5
        Added to the variance; between 0 and 1.
    dtype : {"float32", "float64"}, default="float32"

    Attributes
    ----------
    params : mapping
        ``weight`` (ones at first) and ``bias`` (zeros at first) of shape (size,), as in torch.nn.LayerNorm.
    grads : dict
        Their gradients.

    References
    ----------
    Ba, Kiros and Hinton (2016), "Layer normalization", equation (4).

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import LayerNorm
    >>> LayerNorm(2)(np.array([[3.0, 1.0], [0.0, 100.0]])).round(3).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """

    def __init__(self, size, eps=1e-5, dtype="float32"):
        super().__init__(check_dtype(dtype))
        self.size = self.input_size = self.output_size = check_size("size", size)
        self.eps = check_fraction("eps", eps)
        self._parameter("weight", np.ones(self.size))
        self._parameter("bias", np.zeros(self.size))

    def __repr__(self):
        return f"LayerNorm({self.size})" if self.eps == 1e-5 else f"LayerNorm({self.size}, eps={self.eps!r})"

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Normalise.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, size), (batch_size, size) or (..., size)
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is not read, and the output there is 0.
        n_threads : int, optional
            Without effect here.

        Returns
        -------
        ndarray of shape (..., size)
        """
        x = self._input(x)
        valid = valid_steps(x, lengths)
        normalised, _ = self._normalised(gather(x, valid))
        return scatter(_affine(normalised, self.params), valid, x.shape)

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Normalise and keep what the gradient needs.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of shape (..., size)
        backward : callable
            ``d_x = backward(d_output)``; adds the gradients of the parameters into `grads`. Works once.
        """
        x = self._input(x)
        shape, valid = x.shape, valid_steps(x, lengths)
        version = self.version
        normalised, deviation = self._normalised(gather(x, valid))
        weight = self.params["weight"].copy()
        output = scatter(_affine(normalised, self.params), valid, shape)
        spend = self._single_use(version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, self.dtype, shape)
            spend()
            d_steps = gather(d_output, valid)
            with np.errstate(over="ignore", invalid="ignore"):
                native.add_rows(self.grads["weight"], d_steps * normalised)
                native.add_rows(self.grads["bias"], d_steps)
                return scatter(_d_normalised(d_steps * weight, normalised, deviation), valid, shape)

        return output, backward

    def _input(self, x):
        return check_shape("x", as_array("x", x, self.dtype), ("...", "size"), (None, self.size))

    def _normalised(self, steps):
        """Return the steps (steps, size) with mean 0 and variance 1, and the deviations (steps, 1)."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            centred = steps - _mean(steps)
            deviation = np.sqrt(_mean(centred * centred) + self.dtype.type(self.eps))
            return centred / deviation, deviation

    def _step_function(self, batch_size):
        params, shape = self.state_dict(), (batch_size, self.size)

        def step(x_t):
            x_t = check_shape("x_t", as_array("x_t", x_t, self.dtype), ("batch_size", "size"), shape)
            return _affine(self._normalised(x_t)[0], params)

        return step


def _affine(normalised, params):
    with np.errstate(over="ignore", invalid="ignore"):
        return normalised * params["weight"] + params["bias"]


def _d_normalised(d, normalised, deviation):
    """Return d_x where `d` is the gradient of the normalised steps: (d - mean(d) - y mean(d y)) / deviation."""
    return (d - _mean(d) - normalised * _mean(d * normalised)) / deviation


def _mean(steps):
    """Return the mean of each step of the C-contiguous `steps` (steps, size), as an array (steps, 1).

    NumPy adds up the contiguous last axis of each step by itself: the bits depend on no other step.
    """
    return np.add.reduce(steps, axis=1, keepdims=True) / steps.dtype.type(steps.shape[1])
