"""Strings of formal languages, and what may follow each of their symbols."""

import numpy as np

from .._validation import check_size
from ..init import as_generator

REBER_SYMBOLS = "BTSXPVE"
# State: the two branches (symbol, next state); state 5 is the end.
REBER_GRAPH = {
    0: (("T", 1), ("P", 2)),
    1: (("S", 1), ("X", 3)),
    2: (("T", 2), ("V", 4)),
    3: (("X", 2), ("S", 5)),
    4: (("P", 3), ("V", 5)),
}
REBER_END = 5
ANBNCN_SYMBOLS = "abcT"


def embedded_reber(n_samples=256, *, exclude=(), random_state=None):
    """Strings of the embedded Reber grammar: the second letter decides the last but one.

    A Reber string is B, a walk over a graph of five states with two equally likely branches each, and E. The
    embedded string is B c (Reber string) c E with c drawn from T and P, so that c has to be remembered over the
    whole inner string: Hochreiter and Schmidhuber (1997), "Long short-term memory", experiment 1, figures 3 and 4.

    Parameters
    ----------
    n_samples : int
    exclude : collection of str
        Strings that are drawn anew, such as those of a training set.
    random_state : None, int, Generator or RandomState

    Returns
    -------
    strings : list of str
        Over the letters BTSXPVE; the same string may come more than once.
    X : list of ndarray of shape (seq_len_i, 7), float32
        One-hot, without the last letter, after which there is nothing to predict. The letter that follows step t
        of ``X[k]`` is ``strings[k][t + 1]``.
    legal : list of ndarray of shape (seq_len_i, 7), float32
        1 for each letter that the grammar allows next, else 0: one or two a step.

    Examples
    --------
    >>> from fastrnn.datasets import embedded_reber
    >>> strings, X, legal = embedded_reber(256, random_state=0)
    >>> strings[11], X[11].shape
    ('BTBPTVVETE', (9, 7))
    >>> ["".join("BTSXPVE"[k] for k in step.nonzero()[0]) for step in legal[11]]
    ['TP', 'B', 'TP', 'TV', 'TV', 'PV', 'E', 'T', 'E']
    >>> others, *_ = embedded_reber(256, exclude=strings, random_state=1)
    >>> set(strings) & set(others)
    set()
    """
    check_size("n_samples", n_samples, 0)
    rng, exclude = as_generator(random_state), frozenset(exclude)
    walks = []
    while len(walks) < n_samples:
        string, allowed = _embedded_walk(rng)
        if string not in exclude:
            walks.append((string, allowed))
    strings = [string for string, _ in walks]
    X = [_one_hot(string[:-1], REBER_SYMBOLS) for string in strings]
    return strings, X, [_many_hot(allowed, REBER_SYMBOLS) for _, allowed in walks]


def _embedded_walk(rng):
    """Return a string, and for each letter but the last the letters that may follow it."""
    wing = "TP"[rng.integers(2)]
    string, allowed, state = f"B{wing}B", ["TP", "B"], 0
    while state != REBER_END:
        branches = REBER_GRAPH[state]
        allowed.append("".join(symbol for symbol, _ in branches))
        symbol, state = branches[rng.integers(2)]
        string += symbol
    return f"{string}E{wing}E", [*allowed, "E", wing, "E"]


def anbncn(n_samples=1000, *, low=1, high=50, random_state=None):
    """Strings a^n b^n c^n: n letters a, as many b, as many c; what may come next?

    The network has to count: the first b tells how many are to follow. As in Suzgun, Belinkov and Shieber (2019),
    "On evaluating the generalization of LSTM models in formal languages", section 4, where n goes from 1 to 50 in
    training; the smallest longer n that fails is the figure.

    Parameters
    ----------
    n_samples : int
    low, high : int
        n is uniform in low to high, both included. ``low=high=n`` gives the one string of n.
    random_state : None, int, Generator or RandomState

    Returns
    -------
    n : ndarray of int64 of shape (n_samples,)
    X : list of ndarray of shape (3 n_i, 3), float32
        One-hot: a, b, c.
    y : list of ndarray of shape (3 n_i, 4), float32
        1 for each of a, b, c and T (the end) that may follow, else 0: a and b after each a; b after each b but the
        last; c after the last b and each c but the last; T after the last c.

    Examples
    --------
    >>> from fastrnn.datasets import anbncn
    >>> n, X, y = anbncn(1, low=2, high=2)
    >>> ["abc"[step.argmax()] for step in X[0]]
    ['a', 'a', 'b', 'b', 'c', 'c']
    >>> ["".join("abcT"[k] for k in step.nonzero()[0]) for step in y[0]]
    ['ab', 'ab', 'b', 'c', 'c', 'T']
    """
    check_size("n_samples", n_samples, 0)
    check_size("high", high, check_size("low", low))
    numbers = as_generator(random_state).integers(low, high, size=n_samples, endpoint=True)
    X = [_one_hot("a" * n + "b" * n + "c" * n, ANBNCN_SYMBOLS[:3]) for n in numbers]
    y = [_many_hot(["ab"] * n + ["b"] * (n - 1) + ["c"] * n + ["T"], ANBNCN_SYMBOLS) for n in numbers]
    return numbers, X, y


def _one_hot(string, symbols):
    rows = np.zeros((len(string), len(symbols)), dtype=np.float32)
    rows[np.arange(len(string)), [symbols.index(symbol) for symbol in string]] = 1.0
    return rows


def _many_hot(sets, symbols):
    return np.array([[symbol in allowed for symbol in symbols] for allowed in sets], dtype=np.float32)
