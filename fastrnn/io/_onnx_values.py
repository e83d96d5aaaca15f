"""What the reader of an ONNX graph knows of a value: a sequence on its way through layers, a state, sizes, zeros.

Axes of a sequence are named by tokens: "T" (steps), "N" (rows), "F" (features), "D" (directions), "1" (of size 1), or
("in", k), axis k of the graph's input, whose role a later node tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..layers._base import Layer


class Refusal(Exception):
    """Why a node cannot be carried over."""


@dataclass(frozen=True)
class Refused:
    """A value that no layer of ours gives, and why; it matters only where something needs it."""

    reason: str


@dataclass(frozen=True, eq=False)
class Link:
    """One layer of a chain.

    Attributes
    ----------
    layer : layer
    lengths : str or None
        The graph's input from which a recurrent layer takes its lengths.
    states : tuple of str
        The graph's inputs that are its initial states.
    notes : tuple of str
    of_states : bool
        Whether it is a Pool that stands for the last states, each row's own.
    """

    layer: Layer
    lengths: str | None = None
    states: tuple = ()
    notes: tuple = ()
    of_states: bool = False


@dataclass(frozen=True)
class Flow:
    """A sequence, or one vector a sequence, behind a chain of layers.

    Attributes
    ----------
    source : str
        The graph's input.
    axes : tuple
        Tokens.
    chain : tuple of Link
    kind : int
        ONNX's number of the type of its elements.
    """

    source: str
    axes: tuple
    chain: tuple
    kind: int

    def then(self, link, axes=None):
        """Return the sequence behind one more layer."""
        return replace(self, chain=(*self.chain, link), axes=self.axes if axes is None else axes)

    @property
    def is_input(self):
        """Whether it is an input of the graph, perhaps with its axes moved."""
        return not self.chain


@dataclass(frozen=True)
class State:
    """Last states of recurrent layers.

    Attributes
    ----------
    flow : Flow
        Behind the layer; of several layers that of the last.
    parts : tuple of (Link, int, str)
        Layer, direction and "h" or "c" of each entry of axis "D", or of the blocks of the features.
    axes : tuple
        Tokens.
    """

    flow: Flow
    parts: tuple
    axes: tuple


@dataclass(frozen=True)
class Given:
    """A part of an input of the graph that is not a sequence: initial states."""

    source: str


@dataclass(frozen=True, eq=False)
class Sizes:
    """Sizes of axes: an object array of int and tokens."""

    array: np.ndarray


@dataclass(frozen=True, eq=False)
class Repeated:
    """A constant that is the same for every row: learned initial states."""

    array: np.ndarray


class Zeros:
    """Zeros of whatever shape: the initial states that exporters write."""


def axis_of(axis, rank):
    """Return an axis counted from the front."""
    if not -rank <= axis < rank:
        raise Refusal(f"axis {axis} of a value of {rank} axes")
    return axis % rank


class Roles:
    """What each axis of each input of the graph is, as far as nodes have told."""

    def __init__(self, sizes):
        self._sizes = sizes  # {token: int or None}
        self._found = {}

    def of(self, token):
        """Return "T", "N", "F", "D", "1", or None where nothing is known yet."""
        return self._found.get(token) if isinstance(token, tuple) else token

    def size(self, token):
        """Return the size of an axis of an input where the graph fixes it, of "1" and of "D"; else None."""
        return {"1": 1, "D": 2}.get(token, self._sizes.get(token))

    def settle(self, token, role):
        """Say what an axis is; one of size 1 that the graph has put in may stand for any."""
        known = self.of(token)
        if known == "1" or known == role:
            return
        if known is not None:
            raise Refusal(f"an axis is used as {role} here and as {known} elsewhere")
        if any(other[1] == token[1] and known == role for other, known in self._found.items()):
            raise Refusal(f"two axes of the input {token[1]!r} are both used as {role}")
        self._found[token] = role


def regrouped(axes, target, copies_zero, size_of):
    """Return the axes behind a Reshape.

    Parameters
    ----------
    axes : tuple
    target : list of int or token
    copies_zero : bool
        Whether a 0 stands for the axis at its place.
    size_of : callable
        Of a token, to its size or None.

    Returns
    -------
    tuple
        Tokens; directions and features that are merged are features.
    """
    place, found = 0, []
    for k, wanted in enumerate(target):
        if isinstance(wanted, int) and wanted == 0 and copies_zero and k < len(axes):
            wanted = axes[k]
        end = place
        if wanted == 1:
            end += place < len(axes) and size_of(axes[place]) == 1
        elif wanted == -1:
            end = len(axes) - (len(target) - k - 1)
        elif isinstance(wanted, int):
            product = 1
            while product < wanted and end < len(axes) and size_of(axes[end]) is not None:
                product *= size_of(axes[end])
                end += 1
            if product != wanted:
                raise Refusal("a Reshape of axes whose sizes are not told")
        else:
            while end < len(axes) and axes[end] == "1" != wanted:
                end += 1
            end += 1
            if axes[place:end][-1:] != (wanted,):
                raise Refusal("a Reshape that reorders axes")
        if end < place:
            raise Refusal("a Reshape that merges axes")
        found.append(merged(axes[place:end]))
        place = end
    if any(token != "1" for token in axes[place:]):
        raise Refusal("a Reshape that drops axes")
    return tuple(found)


def merged(group):
    """Return the one axis that several become."""
    rest = [token for token in group if token != "1"]
    if not rest:
        return "1"
    if len(rest) == 1:
        return rest[0]
    if rest == ["D", "F"]:
        return "F"
    raise Refusal("it merges other axes than directions and features")
