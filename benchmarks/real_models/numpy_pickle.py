"""Pickles of NumPy arrays in plain containers, read without giving a name in them the chance to mean anything else."""

from __future__ import annotations

import pickle

import numpy as np

DTYPES = ("f4", "f8", "i4", "i8")


class _Dtype:
    """What a pickle says of a dtype."""

    def __init__(self, text, *_):
        if text not in DTYPES:
            raise pickle.UnpicklingError(f"it holds an array of {text!r:.40}, expected one of {', '.join(DTYPES)}")
        self.text = text

    def __setstate__(self, state):
        if state[1] not in ("<", ">"):
            raise pickle.UnpicklingError(f"it holds an array in the order {state[1]!r:.40}, expected '<' or '>'")
        self.text = state[1] + self.text


class _Array:
    """What a pickle says of an array, until `_settled` takes the array."""

    def __setstate__(self, state):
        _, shape, dtype, in_columns, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("it holds an array without numbers")
        self.value = np.frombuffer(data, dtype.text).reshape(shape, order="F" if in_columns else "C")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        known = {"_reconstruct": lambda *_: _Array(), "ndarray": None, "dtype": _Dtype}
        if module.split(".")[0] != "numpy" or name not in known:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, expected NumPy arrays in plain containers")
        return known[name]


def load(path):
    """Return what a file holds: arrays, text and numbers in dicts, lists and tuples.

    Raises
    ------
    pickle.UnpicklingError
        Where there is anything else in it.
    """
    with open(path, "rb") as file:
        return _settled(_Unpickler(file).load())


def _settled(value):
    if isinstance(value, dict):
        return {key: _settled(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_settled, value))
    return value.value if isinstance(value, _Array) else value
