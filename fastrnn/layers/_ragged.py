"""Rows of different lengths in time-major arrays, for layers that see each time step alone."""

from __future__ import annotations

import numpy as np

from .._validation import as_array, check_lengths, check_shape, check_time_axes


def read_sequences(x, lengths, dtype, input_size=None):
    """Read the arguments of a layer that looks at whole sequences.

    Parameters
    ----------
    x : array_like of shape (seq_len, batch_size, input_size), or (seq_len, input_size) without `lengths`
    lengths : array_like of int of shape (batch_size,) or None
    dtype : dtype or None
        None keeps float32 and float64.
    input_size : int or None
        None takes any.

    Returns
    -------
    x : ndarray of shape (seq_len, batch_size, input_size)
    lengths : int64 ndarray of shape (batch_size,) or None
    unbatched : bool
        Whether x came as one sequence.
    """
    x = as_array("x", x, dtype)
    unbatched = x.ndim == 2 and lengths is None
    if unbatched:
        x = x[:, None]
    check_shape("x", x, ("seq_len", "batch_size", "input_size"), (None, None, input_size))
    return x, check_lengths(lengths, x.shape[0], x.shape[1]), unbatched


def full_lengths(x, lengths):
    """Return `lengths`, or where it is None the number of steps of `x` for every row."""
    return np.full(x.shape[1], x.shape[0]) if lengths is None else lengths


def valid_steps(x, lengths):
    """Return which steps of `x` stand before their row's end.

    Parameters
    ----------
    x : ndarray of shape (seq_len, batch_size, ...)
    lengths : array_like of int of shape (batch_size,) or None

    Returns
    -------
    ndarray of bool of shape (seq_len, batch_size), or None where no step is padding
    """
    if lengths is None:
        return None
    seq_len, batch_size = check_time_axes("x", x).shape[:2]
    valid = np.arange(seq_len)[:, None] < check_lengths(lengths, seq_len, batch_size)
    return None if valid.all() else valid


def gather(array, valid):
    """Return the valid steps of an array of shape (..., size) as an array of shape (steps, size); None takes all."""
    return array.reshape(-1, array.shape[-1]) if valid is None else array[valid]


def scatter(steps, valid, shape):
    """Return an array of `shape` where `steps` stand in the valid places of `gather`, and 0 elsewhere."""
    if valid is None:
        return steps.reshape(shape)
    array = np.zeros(shape, steps.dtype)
    array[valid] = steps
    return array
