"""A function of each number, or of each step, as a layer."""

from __future__ import annotations

import numpy as np

from .._core import native
from .._validation import as_array, as_gradient, check_choice
from ._base import Layer
from ._ragged import gather, scatter, valid_steps


class Activation(Layer):
    """Apply a function to each number; "softmax" and "log_softmax" to the features of each step.

    A step gives the same bits alone and in any batch.

    Parameters
    ----------
    function : {"relu", "leaky_relu", "elu", "tanh", "sigmoid", "hard_sigmoid", "hard_tanh", "softsign", "softplus", \
"silu", "softmax", "log_softmax"}
        "hard_sigmoid" is ``clip(x / 6 + 1 / 2, 0, 1)``, that of torch and Keras 3.
    alpha : float, optional
        Slope below 0 of "leaky_relu" (0.01 by default), scale of "elu" (1 by default). No other function has one.
    dtype : {"float32", "float64"} or None, default=None
        None works in the type of the input (float32 for what is neither).

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Activation
    >>> Activation("leaky_relu", alpha=0.5)(np.array([-2.0, 3.0])).tolist()
    [-1.0, 3.0]
    >>> y, backward = Activation("softmax").forward(np.array([[1.0, 1.0, 1.0, 1.0]]))
    >>> y.tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    >>> backward(np.array([[4.0, 0.0, 0.0, 0.0]])).tolist()
    [[0.75, -0.25, -0.25, -0.25]]
    """

    def __init__(self, function, alpha=None, dtype=None):
        super().__init__(dtype)
        self.function = check_choice("function", function, tuple(FUNCTIONS))
        if alpha is not None and function not in ALPHAS:
            raise ValueError(f"alpha is {alpha!r}, expected None: {function!r} has no alpha")
        if alpha is not None and (isinstance(alpha, bool) or not isinstance(alpha, int | float)):
            raise TypeError(f"alpha is {alpha!r}, expected a number")
        self.alpha = ALPHAS.get(function) if alpha is None else float(alpha)

    def __repr__(self):
        alpha = "" if self.alpha == ALPHAS.get(self.function) else f", alpha={self.alpha!r}"
        return f"Activation({self.function!r}{alpha})"

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Apply the function.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size) or any other
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is not read, and the output there is 0.
        n_threads : int, optional
            Without effect here.

        Returns
        -------
        ndarray of the shape of x
        """
        x, valid = self._input(x, lengths)
        return scatter(self._apply(gather(x, valid)), valid, x.shape)

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Apply the function and keep what its gradient needs.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call. `x` must not be changed before `backward`.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of the shape of x
            Not to be changed before `backward`.
        backward : callable
            ``d_x = backward(d_output)``. Works once.
        """
        x, valid = self._input(x, lengths)
        shape, dtype = x.shape, x.dtype
        steps = gather(x, valid)
        y = self._apply(steps)
        spend = self._single_use(self.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, dtype, shape)
            spend()
            d_steps = gather(np.atleast_1d(d_output), valid)
            return scatter(FUNCTIONS[self.function][1](d_steps, steps, y, self.alpha), valid, shape)

        return scatter(y, valid, shape), backward

    def _input(self, x, lengths):
        x = as_array("x", x, self.dtype)
        return (x if x.ndim else x.reshape(1)), valid_steps(x, lengths)

    def _apply(self, steps):
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return FUNCTIONS[self.function][0](steps, self.alpha)

    def _step_function(self, batch_size):
        return lambda x_t: self._apply(as_array("x_t", x_t, self.dtype))


def _vector(name, x):
    return native.vector_math(name, x.reshape(-1)).reshape(x.shape) if x.size else x.copy()


def _relu(x, _):
    y = np.maximum(x, 0)
    y += 0  # the sign of max(-0, +0) depends on the place in a vector; -0 + 0 is +0
    return y


def _leaky_relu(x, alpha):
    return np.where(x > 0, x, x * x.dtype.type(alpha))


def _elu(x, alpha):
    return np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)))


def _hard_sigmoid(x, _):
    return np.clip(x / 6 + x.dtype.type(0.5), 0, 1)


def _softplus(x, _):
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(_vector("exp", -np.abs(x)))


def _silu(x, _):
    return x * _vector("sigmoid", x)


def _softmax(x, _):
    y = _vector("exp", x - _largest(x))
    y /= np.add.reduce(y, axis=1, keepdims=True)
    return y


def _log_softmax(x, _):
    shifted = x - _largest(x)
    return shifted - np.log(np.add.reduce(_vector("exp", shifted), axis=1, keepdims=True))


def _largest(x):
    return np.maximum.reduce(x, axis=1, keepdims=True, initial=-np.inf)


def _d_softmax(d, x, y, _):
    return y * (d - np.add.reduce(d * y, axis=1, keepdims=True))


def _d_log_softmax(d, x, y, _):
    return d - np.exp(y) * np.add.reduce(d, axis=1, keepdims=True)


def _d_silu(d, x, y, _):
    s = _vector("sigmoid", x)
    return d * (s + y * (1 - s))


ALPHAS = {"leaky_relu": 0.01, "elu": 1.0}  # the defaults
# y = f(x, alpha) and d_x = f'(d_y, x, y, alpha), on steps (steps, features)
FUNCTIONS = {
    "relu": (_relu, lambda d, x, y, _: d * (y > 0)),
    "leaky_relu": (_leaky_relu, lambda d, x, y, alpha: d * np.where(x > 0, x.dtype.type(1), x.dtype.type(alpha))),
    "elu": (_elu, lambda d, x, y, alpha: d * np.where(x > 0, x.dtype.type(1), y + x.dtype.type(alpha))),
    "tanh": (lambda x, _: _vector("tanh", x), lambda d, x, y, _: d * (1 - y * y)),
    "sigmoid": (lambda x, _: _vector("sigmoid", x), lambda d, x, y, _: d * y * (1 - y)),
    "hard_sigmoid": (_hard_sigmoid, lambda d, x, y, _: d * ((x > -3) & (x < 3)) / 6),
    "hard_tanh": (lambda x, _: np.clip(x, -1, 1), lambda d, x, y, _: d * ((x > -1) & (x < 1))),
    "softsign": (lambda x, _: x / (1 + np.abs(x)), lambda d, x, y, _: d * (1 - np.abs(y)) ** 2),
    "softplus": (_softplus, lambda d, x, y, _: d * _vector("sigmoid", x)),
    "silu": (_silu, _d_silu),
    "softmax": (_softmax, _d_softmax),
    "log_softmax": (_log_softmax, _d_log_softmax),
}
