"""The adding problem: keep two values over many steps."""

import numpy as np

from .._validation import check_choice, check_size
from ..init import as_generator

SHORTEST = {"sum": 2, "original": 20}  # steps


def adding(n_samples=1000, seq_len=100, *, variant="sum", random_state=None):
    """The adding problem: a sequence of values, two of them marked; what is the sum of the two?

    Parameters
    ----------
    n_samples : int
    seq_len : int
        At least 2 ("sum") or 20 ("original").
    variant : {"sum", "original"}
        "sum": values uniform in [0, 1), one mark of 1 in each half, all sequences of ``seq_len`` steps,
        target the sum. Always answering 1 has the mean squared error 1/6.
        "original": values uniform in [-1, 1), lengths uniform in seq_len to 1.1 seq_len. X1 is the value of one
        of the first ten steps, X2 that of another of the first seq_len/2 - 1; their marker is 1. The marker of
        the first and of the last step is -1 always, all others are 0; where the first step is X1 or X2, its value
        counts as 0. The target is 0.5 + (X1 + X2) / 4 (Hochreiter and Schmidhuber 1997, "Long short-term memory",
        experiment 4, where an answer is right within 0.04).
    random_state : None, int, Generator or RandomState

    Returns
    -------
    X : ndarray of shape (n_samples, seq_len, 2), or list of ndarray of shape (seq_len_i, 2) for "original"
        Value and marker of each step, float32.
    y : ndarray of shape (n_samples,), float32

    Examples
    --------
    >>> from fastrnn.datasets import adding
    >>> X, y = adding(5, 20, random_state=0)
    >>> X.shape, bool(abs((X[..., 0] * X[..., 1]).sum(axis=1) - y).max() < 1e-6)
    ((5, 20, 2), True)
    """
    check_choice("variant", variant, tuple(SHORTEST))
    check_size("n_samples", n_samples, 0)
    check_size("seq_len", seq_len, SHORTEST[variant])
    draw = _adding_sum if variant == "sum" else _adding_original
    return draw(as_generator(random_state), n_samples, seq_len)


def _adding_sum(rng, n_samples, seq_len):
    half = seq_len // 2
    rows = np.arange(n_samples)
    X = np.zeros((n_samples, seq_len, 2), dtype=np.float32)
    X[:, :, 0] = rng.random((n_samples, seq_len), dtype=np.float32)
    first = rng.integers(0, half, size=n_samples)
    second = rng.integers(half, seq_len, size=n_samples)
    X[rows, first, 1] = 1.0
    X[rows, second, 1] = 1.0
    return X, X[rows, first, 0] + X[rows, second, 0]


def _adding_original(rng, n_samples, seq_len):
    n_markable = seq_len // 2 - 1
    X, y = [], np.zeros(n_samples, dtype=np.float32)
    for n in range(n_samples):
        length = int(rng.integers(seq_len, seq_len + seq_len // 10, endpoint=True))
        x = np.zeros((length, 2), dtype=np.float32)
        x[:, 0] = rng.uniform(-1.0, 1.0, size=length)
        first = int(rng.integers(10))
        second = int(rng.integers(n_markable - (first < n_markable)))
        second += second >= first
        x[[first, second], 1] = 1.0
        x[[0, -1], 1] = -1.0
        y[n] = 0.5 + sum(float(x[step, 0]) for step in (first, second) if step != 0) / 4.0
        X.append(x)
    return X, y
