"""Layers, and what models make of several, as a description in JSON and named arrays, and back.

A description is that of `layers._storage`, or, of an `EncoderDecoder`, ``{"class": "EncoderDecoder", "encoder": ...,
"bridges": [...], "decoder": ..., "attention": ..., "head": ...}`` with the descriptions of its parts, null for none.
"""

from __future__ import annotations

from .._validation import check_names
from ..layers import _storage as layer_storage
from . import encoder_decoder as home

_NAME = "EncoderDecoder"
_PARTS = ("encoder", "bridges", "decoder", "attention", "head")


def describe(layer, arrays, prefix=""):
    """Return the description of a layer or an `EncoderDecoder`; see `layers._storage.describe`."""
    if type(layer) is not home.EncoderDecoder:
        return layer_storage.describe(layer, arrays, prefix)
    description = {"class": _NAME}
    for name in _PARTS:
        part = getattr(layer, name)
        if name == "bridges":
            description[name] = [_described(bridge, arrays, f"{prefix}bridge.{k}.") for k, bridge in enumerate(part)]
        else:
            description[name] = _described(part, arrays, f"{prefix}{name}.")
    return description


def _described(part, arrays, prefix):
    return None if part is None else layer_storage.describe(part, arrays, prefix)


def expected_arrays(description, n_arrays, prefix=""):
    """Check a description; see `layers._storage.expected_arrays`."""
    if not _is_composite(description):
        return layer_storage.expected_arrays(description, n_arrays, prefix)
    check_names(f"the description of an {_NAME}", description, ("class", *_PARTS))
    if not isinstance(description["bridges"], list):
        raise ValueError(f"the bridges of an {_NAME} are {description['bridges']!r:.80}, expected a list")
    found = {}
    for part, place in _placed(description, prefix):
        if part is not None:
            found |= layer_storage.expected_arrays(part, n_arrays, place)
    return found


def build(description, arrays, prefix=""):
    """Return what a description is of; see `layers._storage.build`."""
    if not _is_composite(description):
        return layer_storage.build(description, arrays, prefix)
    made = [
        None if part is None else layer_storage.build(part, arrays, place)
        for part, place in _placed(description, prefix)
    ]
    encoder, *bridges, decoder, attention, head = made
    return home.EncoderDecoder(encoder, decoder, head, bridges=bridges, attention=attention)


def restore(description, arrays):
    """Return what a file's description and arrays make; see `layers._storage.restore`."""
    layer_storage.check_arrays(arrays, expected_arrays(description, len(arrays)))
    return build(description, arrays)


def _is_composite(description):
    return isinstance(description, dict) and description.get("class") == _NAME


def _placed(description, prefix):
    """The descriptions of the parts, each with the prefix of its arrays."""
    placed = []
    for name in _PARTS:
        part = description[name]
        if name == "bridges":
            placed += [(bridge, f"{prefix}bridge.{k}.") for k, bridge in enumerate(part)]
        else:
            placed.append((part, f"{prefix}{name}."))
    return placed
