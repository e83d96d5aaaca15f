"""Temporal order: which of two symbols came first, long ago?"""

import numpy as np

from .._validation import check_size
from ..init import as_generator

N_SYMBOLS = 6


def temporal_order(n_samples=1000, *, low=50, high=200, random_state=None):
    """Sequences of distractors with two symbols of interest in them; the order of the two is the class.

    One of A and B stands at a step in [0.1 L, 0.2 L), one in [0.5 L, 0.6 L); all other steps are one of c, d, e, f.
    Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks", section 4.1.1,
    after Hochreiter and Schmidhuber (1997), experiment 6a.

    Parameters
    ----------
    n_samples : int
    low, high : int
        The length L is uniform in low to high, both included; at least 10.
    random_state : None, int, Generator or RandomState

    Returns
    -------
    X : list of ndarray of shape (seq_len_i, 6), float32
        One-hot: A, B, c, d, e, f.
    y : ndarray of int64 of shape (n_samples,)
        0: A, A; 1: A, B; 2: B, A; 3: B, B.

    Examples
    --------
    >>> from fastrnn.datasets import temporal_order
    >>> X, y = temporal_order(1, low=10, high=10, random_state=0)
    >>> "".join("ABcdef"[step.argmax()] for step in X[0]), int(y[0])
    ('fBeddBcccf', 3)
    """
    check_size("n_samples", n_samples, 0)
    check_size("high", high, check_size("low", low, 10))
    rng, X, y = as_generator(random_state), [], np.zeros(n_samples, dtype=np.int64)
    for n in range(n_samples):
        length = int(rng.integers(low, high, endpoint=True))
        symbols = rng.integers(2, N_SYMBOLS, size=length)
        first, second = (int(rng.integers(*_tenths(length, start, start + 1))) for start in (1, 5))
        symbols[[first, second]] = rng.integers(2, size=2)
        y[n] = 2 * symbols[first] + symbols[second]
        X.append(np.eye(N_SYMBOLS, dtype=np.float32)[symbols])
    return X, y


def _tenths(length, start, stop):
    """Steps k with start L / 10 <= k < stop L / 10, as a range (first, after the last)."""
    return -(-start * length // 10), -(-stop * length // 10)
