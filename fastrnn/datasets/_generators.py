"""Classic tasks, drawn from a seed."""

import numpy as np

from ..init import as_generator


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
        "original": values uniform in [-1, 1), lengths uniform in seq_len to 1.1 seq_len; the first mark
        is on one of the first ten steps, the second on another of the first seq_len/2 - 1; the marker of
        an unmarked first or last step is -1; a marked first step counts as 0; the target is
        0.5 + sum / 4 (Hochreiter and Schmidhuber 1997, "Long short-term memory", experiment 4).
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
    rng = as_generator(random_state)
    if variant == "sum":
        if seq_len < 2:
            raise ValueError(f"seq_len is {seq_len}, expected seq_len >= 2")
        return _adding_sum(rng, n_samples, seq_len)
    if variant == "original":
        if seq_len < 20:
            raise ValueError(f"seq_len is {seq_len}, expected seq_len >= 20")
        return _adding_original(rng, n_samples, seq_len)
    raise ValueError(f"variant is {variant!r}, expected 'sum' or 'original'")


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
    X, y = [], np.zeros(n_samples, dtype=np.float32)
    for n in range(n_samples):
        length = int(rng.integers(seq_len, seq_len + seq_len // 10, endpoint=True))
        x = np.zeros((length, 2), dtype=np.float32)
        x[:, 0] = rng.uniform(-1.0, 1.0, size=length)
        first = int(rng.integers(0, min(10, seq_len // 2 - 1)))
        second = int(rng.integers(0, seq_len // 2 - 2))
        second += second >= first
        x[[0, -1], 1] = -1.0
        x[[first, second], 1] = 1.0
        marked = sum(float(x[step, 0]) for step in (first, second) if step != 0)
        y[n] = 0.5 + marked / 4.0
        X.append(x)
    return X, y
