"""The fully connected layer: y = activation(W x + b) of every step."""

from __future__ import annotations

import math

from .. import init
from .._validation import check_choice, check_dtype, check_size
from ._activated import ACTIVATIONS
from ._affine import Affine


class Dense(Affine):
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
