"""Rows of different lengths in time-major arrays, for layers that see each time step alone."""

from __future__ import annotations

import numpy as np

from .._validation import check_lengths, check_time_axes


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
