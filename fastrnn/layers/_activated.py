"""The activations at the end of layers of products, and their derivatives."""

from __future__ import annotations

import numpy as np

from .._core import native

ACTIVATIONS = (None, "relu", "tanh", "sigmoid")


def activated(name, y):
    """Return activation(y); `y` may be overwritten."""
    if name == "relu":
        np.maximum(y, 0, out=y)
        y += 0  # the sign of max(-0, +0) depends on the place in a vector; -0 + 0 is +0
        return y
    if name is None or not y.size:
        return y
    return native.vector_math(name, y.reshape(-1)).reshape(y.shape)


def d_activation(name, y, d_y):
    """Return the gradient of what the activation was given, where it gave `y`; `d_y` itself without an activation."""
    if name is None:
        return d_y
    if name == "relu":
        return d_y * (y > 0)
    return d_y * (1 - y * y if name == "tanh" else y * (1 - y))
