"""The fully connected layer: y = activation(W x + b) of every step."""

from __future__ import annotations

import math

import numpy as np

from .. import init
from .._core import native
from .._threads import resolve
from .._validation import as_array, as_gradient, check_choice, check_dtype, check_shape, check_size
from ._base import Layer
from ._ragged import gather, scatter, valid_steps
from ._weight_pack import WeightPack

ACTIVATIONS = (None, "relu", "tanh", "sigmoid")


class Dense(Layer):
    """A fully connected layer, ``activation(x @ weight.T + bias)``.

    A row gives the same bits alone and in any batch, with any number of threads.

    Parameters
    ----------
    input_size : int
    output_size : int
    bias : bool, default=True
    activation : {None, "relu", "tanh", "sigmoid"}, default=None
    dtype : {"float32", "float64"}, default="float32"
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default=None
        Where the initial values come from: uniform between -1 / sqrt(input_size) and 1 / sqrt(input_size).

    Attributes
    ----------
    params : mapping
        ``weight`` of shape (output_size, input_size) and ``bias`` of shape (output_size,), as in torch.nn.Linear.
    grads : dict
        Their gradients.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn
    >>> dense = fastrnn.Dense(2, 1, activation="relu")
    >>> dense.load_state_dict({"weight": [[1.0, -1.0]], "bias": [0.5]})
    >>> dense(np.array([[3.0, 1.0], [0.0, 2.0]])).tolist()
    [[2.5], [0.0]]

    Training goes by `forward`, and by the function that it returns:

    >>> y, backward = dense.forward(np.array([[3.0, 1.0]]))
    >>> backward(np.array([[2.0]])).tolist()
    [[2.0, -2.0]]
    >>> dense.grads["weight"].tolist()
    [[6.0, 2.0]]
    """

    def __init__(self, input_size, output_size, bias=True, activation=None, dtype="float32", random_state=None):
        super().__init__(check_dtype(dtype))
        self.input_size = check_size("input_size", input_size)
        self.output_size = check_size("output_size", output_size)
        self.activation = check_choice("activation", activation, ACTIVATIONS)
        rng, bound = init.as_generator(random_state), 1.0 / math.sqrt(self.input_size)
        self._parameter("weight", init.uniform(rng, (self.output_size, self.input_size), bound))
        if bias:
            self._parameter("bias", init.uniform(rng, (self.output_size,), bound))

    def __repr__(self):
        activation = "" if self.activation is None else f", activation={self.activation!r}"
        return f"Dense({self.input_size}, {self.output_size}{activation})"

    def __call__(self, x, lengths=None, *, n_threads=None):
        """Apply the layer.

        Parameters
        ----------
        x : array_like of shape (seq_len, batch_size, input_size), (batch_size, input_size) or (..., input_size)
        lengths : array_like of int of shape (batch_size,), optional
            Steps of each row; what comes after is not read, and the output there is 0.
        n_threads : int, optional
            At most so many threads.

        Returns
        -------
        ndarray of shape (..., output_size)
        """
        x = self._input(x)
        valid = valid_steps(x, lengths)
        steps = gather(x, valid)
        return scatter(self._apply(steps, self._pack(), n_threads), valid, self._output_shape(x))

    def forward(self, x, lengths=None, *, training=True, rng=None, n_threads=None):
        """Apply the layer and keep what its gradient needs.

        Parameters
        ----------
        x, lengths, n_threads
            As in a call. `x` must not be changed before `backward`.
        training, rng
            Without effect here.

        Returns
        -------
        output : ndarray of shape (..., output_size)
            Not to be changed before `backward`.
        backward : callable
            ``d_x = backward(d_output)``; adds the gradients of the parameters into `grads`. Works once.
        """
        x = self._input(x)
        valid = valid_steps(x, lengths)
        pack = self._pack()
        weight_for_d_x = pack.weight_for_d_x(self.params)
        x_steps = gather(x, valid)
        y_steps = self._apply(x_steps, pack, n_threads)
        output = scatter(y_steps, valid, self._output_shape(x))
        spend = self._single_use(pack.version)

        def backward(d_output):
            d_output = as_gradient("d_output", d_output, self.dtype, output.shape)
            spend()
            d_steps = np.multiply(gather(d_output, valid), _d_activation(self.activation, y_steps))
            threads = self._threads(n_threads, len(d_steps))
            native.add_outer(self.grads["weight"], d_steps, x_steps, n_threads=threads)
            if "bias" in self.grads:
                native.add_rows(self.grads["bias"], d_steps)
            return scatter(native.matmul(d_steps, weight_for_d_x, n_threads=threads), valid, x.shape)

        return output, backward

    def _input(self, x):
        return check_shape("x", as_array("x", x, self.dtype), ("...", "input_size"), (None, self.input_size))

    def _output_shape(self, x):
        return (*x.shape[:-1], self.output_size)

    def _apply(self, steps, pack, n_threads):
        """Return the outputs (steps, output_size) of the inputs (steps, input_size)."""
        threads = self._threads(n_threads, len(steps))
        return _activated(self.activation, native.matmul(steps, pack.weight, pack.bias, n_threads=threads))

    def _threads(self, n_threads, steps):
        return resolve(n_threads, steps * self.input_size * self.output_size, steps)

    def _make_pack(self):
        return WeightPack(self.params)

    def _step_function(self, batch_size):
        pack, shape = self._pack(), (batch_size, self.input_size)

        def step(x_t):
            x_t = as_array("x_t", x_t, self.dtype)
            return self._apply(check_shape("x_t", x_t, ("batch_size", "input_size"), shape), pack, 1)

        return step


def _activated(name, y):
    """Return activation(y); `y` may be overwritten."""
    if name == "relu":
        np.maximum(y, 0, out=y)
        y += 0  # the sign of max(-0, +0) depends on the place in a vector; -0 + 0 is +0
        return y
    if name is None or not y.size:
        return y
    return native.vector_math(name, y.reshape(-1)).reshape(y.shape)


def _d_activation(name, y):
    """Return the derivative of the activation where it gave `y`."""
    if name == "relu":
        return (y > 0).astype(y.dtype)
    if name == "tanh":
        return 1 - y * y
    if name == "sigmoid":
        return y * (1 - y)
    return y.dtype.type(1)
