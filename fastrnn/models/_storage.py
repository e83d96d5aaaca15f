"""Networks, and decoders, as a description in JSON and named arrays, and back.

A description is ``{"class": "Network", "layer": description, "batch_first": bool, "notes": [text]}``, with that of a
layer as `layers._storage` writes it. That of an `EncoderDecoder` stands in `_composites`.
That of an `HMMDecoder` is ``{"class": "HMMDecoder", "n_states": int, "smoothing": float, "prior_scale": float}``; one
that is not fitted has no arrays.
"""

from __future__ import annotations

import numpy as np

import fastrnn

from .._validation import check_names
from ..layers import _storage as layer_storage
from . import _composites, hmm
from . import network as home

_TRAINED = "_trained"
_DECODER = ("n_states", "smoothing", "prior_scale")
_LEARNED = ("log_initial_", "log_transition_", "log_prior_")


def describe(network, arrays):
    """Return the description of a network or an `HMMDecoder`, and put its arrays into the dict `arrays`."""
    if type(network) is hmm.HMMDecoder:
        arrays.update((name, getattr(network, name)) for name in _LEARNED if hasattr(network, name))
        return {"class": "HMMDecoder", **{name: getattr(network, name) for name in _DECODER}}
    if not isinstance(network, home.Network):
        return _composites.describe(network, arrays)
    layer = layer_storage.describe(network._layer, arrays)
    return {"class": "Network", "layer": layer, "batch_first": network.batch_first, "notes": list(network.notes)}


def restore(description, arrays):
    """Return the network or the `HMMDecoder` that a file's description and arrays make.

    Raises
    ------
    ValueError or TypeError
        Where they make none; the message does not name the file.
    """
    if description["class"] == "HMMDecoder":
        return _restored_decoder(description, arrays)
    if description["class"] != "Network":
        return _composites.restore(description, arrays)
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
    if name == "EncoderDecoder":
        raise ValueError("it holds an EncoderDecoder, which reads two sequences and is no Network: use fastrnn.load")
    if fastrnn._HOME_OF_NAME.get(name) != "estimators":
        return home.Network._of(layer_storage.restore(description, arrays))
    fitted = description.get("fitted")
    encoded = fitted.get(_TRAINED) if isinstance(fitted, dict) else None
    if not isinstance(encoded, dict) or list(encoded) != ["layer"]:
        raise ValueError(f"it holds a {name} that is not fitted, expected a fitted one")
    if isinstance(encoded["layer"], dict) and encoded["layer"].get("class") == "EncoderDecoder":
        raise ValueError(f"it holds a {name}, whose network is an EncoderDecoder and no Network: use fastrnn.load")
    prefix = f"{_TRAINED}."
    own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
    layer = layer_storage.restore(encoded["layer"], own)
    return home.Network._of(layer, True, [f"network_ of a fitted {name}: y are its raw outputs"])


def _restored_decoder(description, arrays):
    check_names("the description of an HMMDecoder", description, ("class", *_DECODER))
    n = description["n_states"]
    if type(n) is not int or any(type(description[name]) is not float for name in _DECODER[1:]):
        raise ValueError(f"an HMMDecoder is {description!r:.80}, expected an integer n_states and two floats")
    decoder = hmm.HMMDecoder(*(description[name] for name in _DECODER))
    if arrays:
        expected = {name: ((n, n) if name == "log_transition_" else (n,), "float64") for name in _LEARNED}
        layer_storage.check_arrays(arrays, expected)
        for name in _LEARNED:
            if not (arrays[name] <= 0.0).all():
                largest = np.max(arrays[name])
                raise ValueError(f"{name} of an HMMDecoder has the largest value {largest}, expected logarithms")
            setattr(decoder, name, arrays[name])
    return decoder
