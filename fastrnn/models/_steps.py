"""One time step after another through layers that do not change; what comes from a layer is not checked again."""

from __future__ import annotations

import numpy as np

from .._core import native
from ..layers import Dense, Embedding
from ..layers._activated import activated

FEW = 8  # tokens that are quicker looked at one by one


def step_functions(leaves, stepper, n):
    """Return functions, each of one layer's step, from x_t to y_t.

    Parameters
    ----------
    leaves : list of (str, Layer)
    stepper : SequentialStepper
        Of the same layers.
    n : int
        Rows.
    """
    functions = list(stepper._steps)
    for k, (_, layer) in enumerate(leaves):
        if k and isinstance(layer, Dense):
            functions[k] = _dense(layer)
        elif isinstance(layer, Embedding) and n <= FEW:
            functions[k] = _embedding(layer, functions[k], n)
    return functions


def _dense(layer):
    pack, activation = layer._pack(), layer.activation
    weight, bias, matmul = pack.weight, pack.bias, native.matmul
    if activation is None:
        return lambda x: matmul(x, weight, bias)
    return lambda x: activated(activation, matmul(x, weight, bias))


def _embedding(layer, checked, n):
    table, size = layer.params["weight"], layer.num_embeddings

    def step(tokens):
        given = tokens.tolist() if type(tokens) is np.ndarray else tokens
        if type(given) is not list or len(given) != n:
            return checked(tokens)
        for token in given:
            if type(token) is not int or not 0 <= token < size:
                return checked(tokens)
        return table.take(given, 0)

    return step
