"""Networks as a description in JSON and named arrays, and back.

A description is ``{"class": "Network", "layer": description, "batch_first": bool, "notes": [text]}``, with that of a
layer as `layers._storage` writes it.
"""

from __future__ import annotations

import fastrnn

from .._validation import check_names
from ..layers import _storage as layer_storage
from . import network as home

_TRAINED = "_trained"


def describe(network, arrays):
    """Return the description of a network, and put its weights into the dict `arrays`."""
    layer = layer_storage.describe(network._layer, arrays)
    return {"class": "Network", "layer": layer, "batch_first": network.batch_first, "notes": list(network.notes)}


def restore(description, arrays):
    """Return the network that a file's description and arrays make.

    Raises
    ------
    ValueError or TypeError
        Where they make none; the message does not name the file.
    """
    check_names("the description of a Network", description, ("class", "layer", "batch_first", "notes"))
    batch_first, notes = description["batch_first"], description["notes"]
    if type(batch_first) is not bool:
        raise ValueError(f"batch_first of a Network is {batch_first!r:.80}, expected a boolean")
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError(f"notes of a Network are {notes!r:.80}, expected a list of text")
    return home.Network._of(layer_storage.restore(description["layer"], arrays), batch_first, notes)


def restore_any(description, arrays):
    """Return the network of a file of a network, a layer or an estimator.

    Raises
    ------
    ValueError or TypeError
        Where it holds none.
    """
    name = description["class"]
    if name == "Network":
        return restore(description, arrays)
    if fastrnn._HOME_OF_NAME.get(name) != "estimators":
        return home.Network._of(layer_storage.restore(description, arrays))
    fitted = description.get("fitted")
    encoded = fitted.get(_TRAINED) if isinstance(fitted, dict) else None
    if not isinstance(encoded, dict) or list(encoded) != ["layer"]:
        raise ValueError(f"it holds a {name} that is not fitted, expected a fitted one")
    prefix = f"{_TRAINED}."
    own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
    layer = layer_storage.restore(encoded["layer"], own)
    return home.Network._of(layer, True, [f"network_ of a fitted {name}: y are its raw outputs"])
