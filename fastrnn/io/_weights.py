"""Weights by name, from wherever: which of them make a recurrent layer, and how they get into given layers."""

from __future__ import annotations

import copy
import re

from .._validation import check_choice
from ..layers import Sequential
from ..layers._base import Layer
from ..layers._storage import build, expected_arrays

_NAME = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)(?:_l(\d{1,4})(_reverse)?)?")
_CLASS_OF_GATES = {1: "RNN", 3: "GRU", 4: "LSTM"}
_EXACT_IN = {  # the dtypes of layers that hold each value of a dtype of weights
    **dict.fromkeys(("float16", "bfloat16", "float32"), ("float32", "float64")),
    "float64": ("float64",),
}
LISTED = 8  # names in an error


class Weights:
    """The entries of a source whose names begin with a prefix, each to be used up.

    Parameters
    ----------
    source : str
        How errors name it: "source", or a file.
    entries : dict of str to Entry
    prefix : str
    """

    def __init__(self, source, entries, prefix):
        if not isinstance(prefix, str):
            raise TypeError(f"prefix is {prefix!r}, expected text such as 'encoder.lstm.'")
        self.source, self.prefix = source, prefix
        self.entries = {name[len(prefix) :]: e for name, e in entries.items() if name.startswith(prefix)}
        self.used: set[str] = set()
        self._guesses = recurrent_prefixes(entries)
        if not self.entries:
            what = f"no tensor whose name begins with {prefix!r}" if prefix else "no tensors"
            raise ValueError(f"{source} has {what}, but {listed(entries)}{self._hint()}")

    def _hint(self):
        guesses = [guess for guess in self._guesses if guess != self.prefix]
        return (
            f"; prefix={' or prefix='.join(map(repr, guesses[:LISTED]))} would pick one recurrent layer"
            if guesses
            else ""
        )

    def take(self, expected, prefix=""):
        """Return {name: array} of the `expected` {name: (shape, dtype name)}, and mark them as used.

        Parameters
        ----------
        expected : dict of str to (tuple of int, str)
        prefix : str
            Before each name in the source.
        """
        at = {name: prefix + name for name in expected}
        if not any(name in self.entries for name in at.values()) and set(expected) <= set(_without_layer(expected)):
            at = {name: prefix + plain for name, plain in _without_layer(expected).items()}
        missing = [self.prefix + name for name in at.values() if name not in self.entries]
        if missing:
            raise ValueError(f"{self.source} lacks {listed(missing)}{self._hint()}")
        for name, (shape, dtype) in expected.items():
            self._check(at[name], shape, dtype)
        self.used.update(at.values())
        return {name: self.entries[at[name]].read() for name in expected}

    def _check(self, name, shape, dtype):
        entry, full = self.entries[name], self.prefix + name
        if tuple(entry.shape) != tuple(shape):
            raise ValueError(f"{full!r} of {self.source} has shape {tuple(entry.shape)}, expected {tuple(shape)}")
        if dtype not in _EXACT_IN.get(entry.dtype, ()):
            hint = "; make the layer with dtype='float64'" if entry.dtype == "float64" else ""
            raise ValueError(f"{full!r} of {self.source} has dtype {entry.dtype}, which {dtype} does not hold{hint}")

    def check_used_up(self):
        """Raise ValueError where a name was not used."""
        if unused := [self.prefix + name for name in self.entries if name not in self.used]:
            raise ValueError(f"{self.source} has {listed(unused)}, which no layer uses{self._hint()}")

    def notes(self):
        """What to say of weights that were stored in fewer bits."""
        small = sorted({self.entries[name].dtype for name in self.used} & {"float16", "bfloat16"})
        return [f"weights were stored as {name}, and are held exactly" for name in small]


def listed(names):
    """Return names for an error, not too many of them."""
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(repr(str(name)[:120]) for name in names[:LISTED]) + more if names else "(none)"


def recurrent_prefixes(entries):
    """Return the prefixes under which the names of one recurrent layer or cell stand."""
    ends = ("weight_ih_l0", "weight_ih")
    return sorted({name.removesuffix(end) for name in entries for end in ends if _ends_with_name(name, end)})


def is_recurrent_name(name, prefix):
    """Whether a name is that of a weight of a recurrent layer under a prefix."""
    return name.startswith(prefix) and _NAME.fullmatch(name[len(prefix) :]) is not None


def _ends_with_name(name, end):
    return name == end or name.endswith(f".{end}")


def recognised(weights, nonlinearity):
    """Return the one recurrent layer that the names and shapes of `weights` say."""
    entries = weights.entries
    found = {name: match for name in entries if (match := _NAME.fullmatch(name))}
    if others := [weights.prefix + name for name in entries if name not in found]:
        raise ValueError(
            f"{weights.source} has {listed(others)}, which belong to no recurrent layer, and a state dict does not say "
            f"how layers follow each other: expected layers=, a list of (prefix, layer){weights._hint()}"
        )
    is_cell = any(match[2] is None for match in found.values())
    if is_cell and any(match[2] is not None for match in found.values()):
        raise ValueError(f"{weights.source} has names of a cell and of a layer beside each other: {listed(found)}")
    last = "" if is_cell else "_l0"
    shape_ih, shape_hh = (_matrix(weights, f"{kind}{last}") for kind in ("weight_ih", "weight_hh"))
    projection = _matrix(weights, f"weight_hr{last}") if f"weight_hr{last}" in entries else None
    hidden_size = (projection or shape_hh)[1]
    gates = shape_hh[0] // hidden_size if hidden_size and shape_hh[0] % hidden_size == 0 else 0
    if gates not in _CLASS_OF_GATES or (projection and gates != 4):
        raise ValueError(
            f"'{weights.prefix}weight_hh{last}' of {weights.source} has shape {shape_hh}, expected hidden_size = "
            f"{hidden_size} times 1 (RNN), 3 (GRU) or 4 gates (LSTM)"
        )
    name = _CLASS_OF_GATES[gates]
    wide = any(entry.dtype == "float64" for entry in entries.values())
    config = {
        "input_size": shape_ih[1],
        "hidden_size": hidden_size,
        "num_layers": 1 + max(int(match[2] or 0) for match in found.values()),
        "bias": any(key.startswith("bias") for key in found),
        "bidirectional": any(match[3] for match in found.values()),
        "dtype": "float64" if wide else "float32",
    }
    config |= {"proj_size": projection[0]} if projection else {}
    if name == "RNN":
        config["nonlinearity"] = check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    elif nonlinearity != "tanh":
        raise ValueError(f"nonlinearity is {nonlinearity!r}, expected 'tanh': {weights.source} holds an {name}")
    return made(name, config, weights)


def made(name, config, weights, prefix=""):
    """Return the layer of a class and its arguments, with its weights; nothing is made before all of them fit."""
    description = {"class": name, "config": config}
    expected = expected_arrays(description, len(weights.entries))
    return build(description, weights.take(expected, prefix))


def _matrix(weights, name):
    """Return the shape of a matrix among the weights."""
    entry = weights.entries.get(name)
    if entry is None:
        raise ValueError(f"{weights.source} lacks {weights.prefix + name!r}{weights._hint()}")
    if len(entry.shape) != 2:
        raise ValueError(f"{weights.prefix + name!r} of {weights.source} has shape {entry.shape}, expected two axes")
    return tuple(entry.shape)


def filled(layers, weights, as_layer):
    """Return copies of the given layers with their weights.

    Parameters
    ----------
    layers : sequence of (str, layer) or layer
    weights : Weights
    as_layer : callable
        Makes a layer of what is none of ours.
    """
    if not isinstance(layers, list | tuple) or not layers:
        raise TypeError(f"layers is {layers!r:.80}, expected a list of (prefix, layer)")
    made_layers = []
    for k, item in enumerate(layers):
        prefix, layer = item if isinstance(item, tuple | list) and len(item) == 2 else ("", item)
        layer = copy.deepcopy(layer) if isinstance(layer, Layer) else as_layer(f"layers[{k}]", layer)
        prefix = "" if prefix is None else prefix
        if not isinstance(prefix, str):
            raise TypeError(f"layers[{k}] has the prefix {prefix!r:.80}, expected text")
        if layer.params:
            expected = {name: (array.shape, array.dtype.name) for name, array in layer.params.items()}
            layer.load_state_dict(weights.take(expected, prefix))
        made_layers.append(layer)
    return made_layers


def chained(layers):
    """Return one layer as it is, and several as a Sequential."""
    if len(layers) == 1:
        return layers[0]
    for layer in layers:
        if layer.is_recurrent:
            layer.batch_first = False  # told to the Network instead
    return Sequential(*layers)


def _without_layer(expected):
    """Return {name: name of a cell} of those names that end with _l0."""
    return {name: name[: -len("_l0")] for name in expected if name.endswith("_l0")}
