"""How the estimators read tokens: an array (n, T) or sequences of integers or of strings, or a list of str."""

from itertools import chain

import numpy as np

from ._input import compute_dtype, read_weights

UNKNOWN = 0  # the index of all tokens that fit has not seen
_LARGEST = np.iinfo(np.int64).max
_NOUNS = {int: "integers", str: "strings"}


def read_tokens(estimator, X, *, reset, sample_weight=None, weight_name="sample_weight"):
    """Read and check tokens, and give them indices; in ``fit`` (``reset``) learn the vocabulary first.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor
        In ``fit`` gets ``vocabulary_``, ``n_features_in_`` (1: a step is one token), ``_input_size`` (the indices there
        are), ``_fitted_on_2d`` and ``_dtype``.
    X : array_like of int or str of shape (n_samples, n_timesteps), or list of such sequences, or list of str
        A str stands for the sequence of its characters.
    reset : bool
    sample_weight, weight_name : array_like or None, str
        A sequence of weight 0 teaches no tokens.

    Returns
    -------
    sequences : ndarray of int64 of shape (n_samples, n_timesteps) or list of (n_timesteps_i,)
    """
    rows, kind = _rows(X)
    if reset:
        weight = read_weights(weight_name, sample_weight, len(rows))
        used = rows if weight is None else [row for row, w in zip(rows, weight, strict=True) if w]
        estimator.vocabulary_ = {token: k for k, token in enumerate(_distinct(used, kind), UNKNOWN + 1)}
        _note(estimator, len(estimator.vocabulary_) + 1, compute_dtype(estimator.dtype, [np.dtype(np.int64)]))
    expected = type(next(iter(estimator.vocabulary_)))
    if kind is not expected:
        raise TypeError(f"X holds {_NOUNS[kind]} as tokens, expected {_NOUNS[expected]}, as in fit")
    return _split(_indices(rows, kind, estimator.vocabulary_), rows, X)


def read_indices(estimator, X, num_embeddings, *, reset, dtype):
    """Read X for a network that begins with an `Embedding` of its own: tokens are the rows of its table.

    Parameters
    ----------
    estimator, X, reset
        As in `read_tokens`; strings are refused.
    num_embeddings : int
        Rows of the table.
    dtype : dtype
        That of the network.
    """
    rows, kind = _rows(X)
    if kind is not int:
        raise TypeError(f"X holds strings as tokens, expected integers, 0 <= token < num_embeddings = {num_embeddings}")
    for i, row in enumerate(rows):
        wrong = np.flatnonzero(row >= num_embeddings)
        if wrong.size:
            raise ValueError(
                f"X holds the token {row[wrong[0]]} at sample {i}, step {wrong[0]}, expected "
                f"0 <= token < num_embeddings = {num_embeddings}, the rows of the network's Embedding"
            )
    if reset:
        _note(estimator, num_embeddings, dtype)
    return _split(np.concatenate(rows), rows, X)


def _note(estimator, n_indices, dtype):
    estimator.n_features_in_, estimator._fitted_on_2d = 1, False
    estimator._input_size, estimator._dtype = n_indices, dtype


def _rows(X):
    """The sequences of X, arrays of int64 or lists of str, and the kind of their tokens: int or str."""
    if hasattr(X, "shape"):
        X = np.asarray(X)
        if X.ndim not in (1, 2):
            raise ValueError(
                f"X has shape {X.shape}, expected (n_samples, n_timesteps) or a list of sequences of tokens"
            )
    elif not isinstance(X, (list, tuple)):
        raise TypeError(
            f"X is an object of type {type(X).__name__}, expected a list of sequences of tokens; a single one is [X]"
        )
    if not len(X):
        raise ValueError("X is empty: found array with 0 sample(s), expected at least 1 sequence of tokens")
    rows = [_row(i, x) for i, x in enumerate(X)]
    kinds = [str if isinstance(row, list) else int for row in rows]
    if len(set(kinds)) > 1:
        other = next(i for i, kind in enumerate(kinds) if kind is not kinds[0])
        raise TypeError(
            f"X[0] holds {_NOUNS[kinds[0]]} and X[{other}] {_NOUNS[kinds[other]]}, expected tokens of one kind"
        )
    return rows, kinds[0]


def _row(i, x):
    """One sequence: an array of int64, or a list of str."""
    if isinstance(x, str):
        row = list(str(x))
    elif isinstance(x, (list, tuple)):
        row = x
    else:
        row = np.asarray(x)
        if row.ndim != 1:
            came = f"has shape {row.shape}" if row.ndim else f"is {x!r} ({type(x).__name__})"
            raise ValueError(f"X[{i}] {came}, expected a str or a sequence (n_timesteps,) of tokens")
    if not len(row):
        raise ValueError(f"X[{i}] is an empty sequence, expected n_timesteps >= 1 tokens")
    if isinstance(row, np.ndarray) and row.dtype.kind not in "iu":
        row = row.tolist()
    kinds = {int} if isinstance(row, np.ndarray) else {_kind(t) for t in set(map(type, row))}
    if kinds == {str}:
        return list(map(str, row))
    if kinds == {int}:
        return _integers(i, row)
    raise _strange(i, row, kinds)


def _kind(cls):
    """int, str, or None for a type that no token has."""
    if issubclass(cls, str):
        return str
    return int if issubclass(cls, (int, np.integer)) and not issubclass(cls, bool) else None


def _strange(i, row, kinds):
    """The error about a sequence whose tokens are not all of one of the two kinds."""
    if None not in kinds:
        return TypeError(f"X[{i}] holds integers and strings, expected tokens of one kind")
    strange = [k for k, token in enumerate(row) if _kind(type(token)) is None]
    missing = [k for k in strange if row[k] is None or row[k] != row[k]]
    step = (missing or strange)[0]
    token, where = row[step], f"at sample {i}, step {step}, expected integers or strings as tokens"
    if missing:
        return ValueError(f"X contains {'None' if token is None else 'NaN'} {where}")
    return TypeError(f"X holds {token!r:.80} ({type(token).__name__}) {where}")


def _integers(i, row):
    tokens = np.asarray(row)
    outside = np.flatnonzero((tokens < 0) | (tokens > _LARGEST))
    if outside.size:
        raise ValueError(
            f"X holds the token {tokens[outside[0]]} at sample {i}, step {outside[0]}, expected 0 <= token < 2**63"
        )
    return tokens.astype(np.int64)


def _distinct(rows, kind):
    """The tokens that occur, sorted."""
    return np.unique(np.concatenate(rows)).tolist() if kind is int else sorted(set(chain.from_iterable(rows)))


def _indices(rows, kind, vocabulary):
    """The indices of all tokens of all sequences, one after another: ndarray of int64."""
    if kind is str:
        return np.array([vocabulary.get(token, UNKNOWN) for token in chain.from_iterable(rows)], dtype=np.int64)
    tokens, known = np.concatenate(rows), np.array(list(vocabulary), dtype=np.int64)  # sorted, as _distinct gave them
    place = np.searchsorted(known, tokens).clip(max=len(known) - 1)
    return np.where(known[place] == tokens, place + UNKNOWN + 1, UNKNOWN)


def _split(indices, rows, X):
    """Cut into sequences; one array (n_samples, n_timesteps) where X was one."""
    if getattr(X, "ndim", 1) == 2:
        return indices.reshape(len(rows), -1)
    return np.split(indices, np.cumsum([len(row) for row in rows])[:-1])
