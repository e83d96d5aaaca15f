"""Keras's masks: steps that are none, in front, behind and between.

A masked step leaves every state as it is. So the valid steps of a row, moved together, give the same states and outputs
as in their places: a mask becomes lengths, and runs on the kernels of ragged batches. What is left is what Keras puts
into the output at a masked step.
"""

from __future__ import annotations

import numpy as np

from .._validation import check_lengths, check_shape, check_states
from ..layers import Conv1d, Embedding, Masking, Pool, Reverse, Sequential, Unmask


def read_mask(mask, x, turned, rank):
    """Return `mask` as bool (seq_len, batch_size).

    Parameters
    ----------
    mask : array_like of bool
    x : array_like
        Time-major, of `rank` axes or one less.
    turned : bool
        Whether x came with the batch in front, and so the mask.
    rank : int
        Axes of a batch of x.
    """
    mask, shape = np.asarray(mask), np.shape(x)
    if mask.dtype != np.bool_:
        raise TypeError(f"mask has dtype {mask.dtype}, expected bool")
    if len(shape) != rank:
        return check_shape("mask", mask, ("seq_len",), shape[:1])[:, None]
    symbols = ("batch_size", "seq_len") if turned else ("seq_len", "batch_size")
    check_shape("mask", mask, symbols, shape[1::-1] if turned else shape[:2])
    return np.ascontiguousarray(mask.T) if turned else mask


def own_mask(layer, x, lengths, turned, rank):
    """Return the mask, with the axes of `Network.run`, that the first layer finds in time-major x; None for none.

    Parameters
    ----------
    layer : Layer
    x : array_like
    lengths : array_like of int or None
        Steps past them are masked too.
    turned : bool
        Whether x came with the batch in front.
    rank : int
        Axes of a batch of x.
    """
    mask = layer.mask(x) if isinstance(layer, Masking | Embedding) else None
    if mask is None or np.ndim(x) != rank:
        return mask
    if lengths is not None:
        mask &= np.arange(len(mask))[:, None] < check_lengths(lengths, *mask.shape)
    return mask.T if turned else mask


def split(chain):
    """Return (head, tail) of a chain as networks of their own: what works on the valid steps alone, and what is behind.

    The head ends with the layer that consumes the time axis, or else with the last recurrent layer; an `Unmask` ends
    the search. Either is None where it has no layers. Layers are shared.
    """
    layers = [layer for _, layer in chain._leaves]
    masked = next((k for k, layer in enumerate(layers) if isinstance(layer, Unmask)), len(layers))
    ends = [k + 1 for k, layer in enumerate(layers[:masked]) if layer.is_recurrent or layer.consumes_time]
    end = max(ends, default=0)
    return Sequential(*layers[:end]) if end else None, Sequential._part(layers[end:]) if layers[end:] else None


def run_masked(chain, parts, x, state, mask, unbatched, n_threads):
    """Return (y, states) of a chain on time-major x, of which only the steps in `mask` (seq_len, batch_size) count.

    Parameters
    ----------
    chain : Sequential
    parts : (Sequential or None, Sequential or None)
        Of `split`.
    x : ndarray
    state : list or None
    mask : bool ndarray of shape (seq_len, batch_size)
    unbatched : bool
        Whether x and the state lack the axis of the batch.
    n_threads : int or None
    """
    head, tail = parts
    if head is None:
        _check_head(chain)
        return chain(x, state, n_threads=n_threads)
    is_reversed = _check_head(head)
    state = check_states("state", state, chain._num_recurrent)
    if unbatched:
        x, state = x[:, None], [_each(entry, lambda a: np.asarray(a)[:, None]) for entry in state]
    lengths = mask.sum(axis=0)
    y, states = head(_together(x, mask, lengths), state[: head._num_recurrent], lengths, n_threads=n_threads)
    if not head.consumes_time:
        y = _in_place(y, mask[::-1] if is_reversed else mask, head._leaves[-1][1].bidirectional)
    if tail is not None:
        y, states_behind = tail(y, state[head._num_recurrent :], n_threads=n_threads)
        states += states_behind
    if unbatched:
        y = y[0] if chain.consumes_time else y[:, 0]
        states = [_each(entry, lambda a: a[:, 0]) for entry in states]
    return y, states


def _check_head(chain):
    """Raise where layers of a masked chain cannot skip steps; return whether its outputs come in reversed order."""
    behind = None
    for place, layer in chain._leaves:
        here = f"mask is given, but layer {place} ({layer!r})"
        if isinstance(layer, Unmask):
            break
        if isinstance(layer, Conv1d):
            raise ValueError(f"{here} reads steps beside each other: use lengths")
        if behind is not None:
            behind.append(layer)
        if isinstance(layer, Reverse):
            behind = []
    if behind is None:
        return False
    takes_last = [isinstance(layer, Pool) and layer.kind == "last" for layer in behind]
    pairs = zip(behind, takes_last, strict=True)
    readers = [layer for layer, last in pairs if layer.is_recurrent or (layer.consumes_time and not last)]
    if len(readers) > 1:
        raise ValueError(f"mask is given, but {readers[-1]!r} reads reversed steps, whose mask is not reversed")
    return True


def _each(state, function):
    """Return a state, a pair, one array or None, with `function` applied to its arrays."""
    if isinstance(state, tuple | list):
        return tuple(function(array) for array in state)
    return None if state is None else function(state)


def _together(x, mask, lengths):
    """Return x with the valid steps of each row in front, in order."""
    steps = np.arange(len(mask))[:, None]
    if (mask == (steps < lengths)).all():
        return x
    order = np.argsort(~mask, axis=0, kind="stable")
    return np.take_along_axis(x, order.reshape(order.shape + (1,) * (x.ndim - 2)), axis=0)


def _in_place(y, mask, bidirectional):
    """Return the outputs y (seq_len, batch_size, features) at their steps, and at masked steps what Keras gives there.

    That is the output of the step before, 0 at first; of two directions 0 everywhere, since keras.layers.Bidirectional
    sets ``zero_output_for_mask``.
    """
    if not y.shape[0]:
        return y
    seen = np.cumsum(mask, axis=0)
    shown = mask if bidirectional else seen > 0
    taken = np.take_along_axis(y, np.maximum(seen - 1, 0)[..., None], axis=0)
    taken[~shown] = 0
    return taken
