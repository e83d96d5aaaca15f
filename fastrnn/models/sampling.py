"""Tokens that a language model draws one after another."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from .._validation import check_parameters, check_size
from ..init import as_generator
from .language import log_softmax
from .stream import Stream

_NEXT = "log_probabilities"


def restricted(log_probabilities, temperature=1.0, top_k=None, top_p=None):
    """Probabilities to draw from: sharpened or flattened, and of the likeliest tokens alone.

    Parameters
    ----------
    log_probabilities : ndarray of shape (n_tokens,)
        -inf for what must not be drawn.
    temperature : float, default=1.0
        Probabilities become proportional to ``p ** (1 / temperature)``; 0 leaves the likeliest token alone, the first
        of equals.
    top_k : int, optional
        Only so many of the likeliest are left; of equals the first.
    top_p : float, optional
        Of these, only the smallest set of likeliest tokens whose probabilities sum to at least `top_p` (Holtzman et al.
        2020, "The curious case of neural text degeneration", section 3.1).

    Returns
    -------
    ndarray of float64 of shape (n_tokens,)
        Their sum is 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models.sampling import restricted
    >>> log_p = np.log([0.5, 0.3, 0.15, 0.05])
    >>> restricted(log_p, top_k=2).round(3).tolist(), restricted(log_p, top_p=0.9).round(3).tolist()
    ([0.625, 0.375, 0.0, 0.0], [0.526, 0.316, 0.158, 0.0])
    """
    order = np.argsort(-log_probabilities, kind="stable")
    order = order[: 1 if temperature == 0 else top_k]
    with np.errstate(over="ignore"):  # of temperatures near 0
        z = (log_probabilities[order] - log_probabilities[order[0]]) / (temperature or 1.0)
    p = np.exp(z)
    p /= p.sum()
    if top_p is not None:
        kept = 1 + int(np.searchsorted(np.cumsum(p), top_p * (1 - 1e-12)))
        order, p = order[:kept], p[:kept] / p[:kept].sum()
    found = np.zeros(len(log_probabilities))
    found[order] = p
    return found


def check_restrictions(temperature, top_k, top_p):
    """Check the arguments of `restricted`."""
    for name, value in (("temperature", temperature), ("top_p", top_p)):
        if value is None and name == "top_p":
            continue
        if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
            raise TypeError(f"{name} is {value!r} ({type(value).__name__}), expected a number")
        if name == "top_p" and not 0.0 < value <= 1.0:
            raise ValueError(f"top_p is {value}, expected 0 < top_p <= 1, or None for all tokens")
        if name == "temperature" and not 0.0 <= value < math.inf:
            raise ValueError(f"temperature is {value}, expected a finite number >= 0")
    if top_k is not None:
        check_size("top_k", top_k)


def pack_state(log_probabilities, states):
    """What a model knows after some tokens, as a flat dict of arrays.

    Parameters
    ----------
    log_probabilities : ndarray of float64 of shape (n_tokens,)
        Of the next token.
    states : list
        Of the recurrent layers, of one row.

    Returns
    -------
    dict of str to ndarray
        ``log_probabilities``, and of recurrent layer k ``h_k``, and ``c_k`` where it has cells.
    """
    state = {_NEXT: np.array(log_probabilities)}
    for k, part in enumerate(states):
        arrays = part if isinstance(part, tuple) else (part,)
        state |= {f"{name}_{k}": np.array(array) for name, array in zip("hc", arrays)}
    return state


def unpack_state(network, state):
    """The way back from `pack_state`.

    Parameters
    ----------
    network : Sequential
        The model that `state` is of.
    state : mapping of str to array_like

    Returns
    -------
    log_probabilities : ndarray of float64 of shape (n_tokens,)
    states : list

    Raises
    ------
    ValueError
        Where names or shapes are not those of this model.
    """
    stream = Stream(network, 1)
    n_tokens = next(layer.output_size for _, layer in reversed(network._leaves) if hasattr(layer, "output_size"))
    expected = pack_state(np.zeros(n_tokens), stream.state)
    found = check_parameters("state", state, expected)
    for name, array in found.items():
        if np.isnan(array).any():
            raise ValueError(f"state[{name!r}] contains NaN")
    states = []
    for k, part in enumerate(stream.state):
        names = [f"{name}_{k}" for name in "hc"[: len(part) if isinstance(part, tuple) else 1]]
        arrays = tuple(np.asarray(found[name], dtype=network.dtype) for name in names)
        states.append(arrays if isinstance(part, tuple) else arrays[0])
    return np.asarray(found[_NEXT], dtype=np.float64), states


class TokenStream:
    """An iterator over tokens, each drawn from the model's probabilities after all before it.

    Parameters
    ----------
    network : Sequential
        As of `language_network`.
    log_probabilities : ndarray of float64 of shape (n_tokens,)
        Of the first token.
    states : list
        Of the recurrent layers.
    n : int, optional
        How many tokens; None for no bound.
    temperature, top_k, top_p
        As in `restricted`.
    barred : sequence of int, default=()
        Tokens that are never drawn.
    end : int, optional
        A token after which nothing comes; it is not given out.
    random_state : None, int, Generator or RandomState
    """

    def __init__(
        self, network, log_probabilities, states, *, n=None, temperature=1.0, top_k=None, top_p=None, barred=(),
        end=None, random_state=None,
    ):  # fmt: skip
        check_restrictions(temperature, top_k, top_p)
        self._left = math.inf if n is None else check_size("n", n, 0)
        self._options, self._barred, self._end = (temperature, top_k, top_p), list(barred), end
        self._rng = as_generator(random_state)
        self._stream = Stream(network, 1)
        self._stream.state = states
        self._next = log_probabilities

    def __iter__(self):
        return self

    def __next__(self):
        if self._left <= 0:
            raise StopIteration
        token = self._draw()
        self._next = log_softmax(self._stream.step(np.array([token]))[0])
        self._left -= 1
        if token == self._end:
            self._left = 0
            raise StopIteration
        return token

    @property
    def state(self):
        """What the model knows now: a dict of arrays, as `pack_state`."""
        return pack_state(self._next, self._stream.state)

    def _draw(self):
        log_p = self._next.copy()
        if np.isnan(log_p).any():
            raise ValueError("the network's scores contain NaN, expected finite weights")
        log_p[self._barred] = -np.inf
        p = restricted(log_p, *self._options)
        if self._options[0] == 0:
            return int(p.argmax())
        total = np.cumsum(p)
        return int(np.searchsorted(total, self._rng.random() * total[-1], side="right"))
