"""How sequences of tokens that an estimator writes are read from y, and given back in y's form."""

from itertools import chain

import numpy as np

from ._input import is_text
from ._steps import rows_of

FORMS = ("text", "strings", "integers")
_FORMS_OF = {str: "strings", int: "integers"}


def read_written(y):
    """Read the sequences that an estimator shall write.

    Parameters
    ----------
    y : list of str, or list of sequences of str or of int >= 0, or array_like of int of shape (n_samples, n_steps)
        A str is the sequence of its characters. A sequence may be empty.

    Returns
    -------
    rows : list of list of str or of int
    form : {"text", "strings", "integers"}
        What a sequence is: one str, or a list of str or of integers. None where all are empty lists.
    """
    if y is None:
        raise ValueError("y is None, which requires y to be passed, but the target y is None: expected sequences")
    if is_text(y) or not hasattr(y, "__len__"):
        raise TypeError(f"y is {y!r:.80} ({type(y).__name__}), expected a list of sequences of tokens; one is [y]")
    found = [read_row(f"y[{i}]", row) for i, row in enumerate(rows_of(y))]
    forms = {form for _, form in found} - {None}
    if len(forms) > 1:
        raise TypeError(f"y holds {' and '.join(sorted(forms))}, expected sequences of one kind")
    return [row for row, _ in found], forms.pop() if forms else None


def read_row(name, row):
    """The tokens of one sequence and their form, None of an empty one; `name` is that of the sequence in errors."""
    if is_text(row):
        return list(str(row)), "text"
    if getattr(row, "ndim", 1) != 1 or not hasattr(row, "__len__"):
        came = f"has shape {row.shape}" if getattr(row, "ndim", 0) > 1 else f"is {row!r:.80} ({type(row).__name__})"
        raise ValueError(f"{name} {came}, expected a str or a sequence (n_steps,) of tokens")
    tokens = row.tolist() if isinstance(row, np.ndarray) else list(row)
    forms = {_form_of(name, k, token) for k, token in enumerate(tokens)}
    if len(forms) > 1:
        raise TypeError(f"{name} holds integers and strings, expected tokens of one kind")
    form = forms.pop() if forms else None
    return [str(token) if form == "strings" else int(token) for token in tokens], form


def _form_of(name, k, token):
    """The form of sequences of tokens of this kind."""
    kind = str if is_text(token) else int if isinstance(token, (int, np.integer)) else None
    if kind is None or isinstance(token, (bool, np.bool_)):
        raise TypeError(f"{name} holds {token!r:.80} ({type(token).__name__}) at step {k}, expected str or integers")
    if kind is int and not 0 <= token < 2**63:
        raise ValueError(f"{name} holds {token} at step {k}, expected integers >= 0 and < 2**63")
    return _FORMS_OF[kind]


def check_form(form, expected):
    """Check that sequences have the form of those of fit."""
    if form not in (None, expected):
        raise TypeError(f"y holds {form}, expected {expected}, as in fit")


def vocabulary_of(rows):
    """The tokens that occur, sorted, with the numbers 1, 2, ...; 0 is the end of a sequence."""
    if not any(rows):
        raise ValueError("y has no tokens, expected at least one sequence that is not empty")
    return {token: k for k, token in enumerate(sorted(set(chain.from_iterable(rows))), 1)}


def numbered(rows, vocabulary):
    """The sequences as arrays of the tokens' numbers."""
    for i, row in enumerate(rows):
        for k, token in enumerate(row):
            if token not in vocabulary:
                raise ValueError(
                    f"y[{i}] has the token {token!r} at step {k}, expected one of the {len(vocabulary)} of the y of fit"
                )
    return [np.array([vocabulary[token] for token in row], dtype=np.int64) for row in rows]


def in_form(numbers, tokens, form):
    """A sequence of numbers in the form of y: a str, a list of str, or an ndarray of int64.

    Parameters
    ----------
    numbers : ndarray of int of shape (n_steps,)
    tokens : list
        Of the numbers 1, 2, ...
    form : {"text", "strings", "integers"}
    """
    found = [tokens[k - 1] for k in numbers]
    if form == "integers":
        return np.array(found, dtype=np.int64)
    return "".join(found) if form == "text" else found
