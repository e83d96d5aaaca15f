"""The squashing functions, and their derivatives as functions of the output."""

import numpy as np


def sigmoid(a):
    """1 / (1 + exp(-a)), without overflow and with full relative accuracy in both tails."""
    e = np.exp(-np.abs(a))
    return np.where(a < 0, e, 1.0) / (1.0 + e)


def d_sigmoid(s):
    """Derivative of the sigmoid where its value is `s`."""
    return s * (1.0 - s)


def d_tanh(y):
    """Derivative of tanh where its value is `y`."""
    return 1.0 - y * y


def relu(a):
    """max(a, 0); NaN stays NaN."""
    return np.maximum(a, 0.0)


def d_relu(y):
    """Derivative of relu where its value is `y`; 0 at the kink, as in torch."""
    return (y > 0).astype(y.dtype)
