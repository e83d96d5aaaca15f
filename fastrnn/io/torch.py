"""Networks from torch: live modules, state dicts, and files of ``torch.save`` or safetensors."""

from __future__ import annotations

import os
import sys

import numpy as np

from .._validation import check_choice
from ..layers._base import Layer
from ..models import Network
from ._entries import Entry
from ._torch_file import MAX_DEPTH, read_entries
from ._torch_modules import check_axes, describe, modules_of
from ._weights import Weights, chained, filled, is_recurrent_name, made, recognised, recurrent_prefixes


def from_torch(source, *, prefix="", layers=None, nonlinearity="tanh", batch_first=None):
    """Make a network of weights that torch trained.

    Parameters
    ----------
    source : torch.nn.Module, mapping of str to tensor, or path of a ``.pt`` or ``.safetensors`` file
        A module is one of torch.nn: LSTM, GRU, RNN, their cells, or a Sequential of them and of Linear, Embedding,
        LayerNorm, Conv1d, Dropout, Identity and activations. A file is read without torch, and nothing in it is
        executed. A mapping may hold further mappings, as checkpoints do: names are joined by dots.
    prefix : str, default=""
        Only names that begin so are looked at, such as "model_state.encoder.lstm.", and all of those must be used. Of a
        module, the submodule of that name.
    layers : list of (str, layer), optional
        Layers in order, each with what its names begin with behind `prefix`: a state dict does not say how layers
        follow each other. Copied; layers without weights may stand alone. Without it, the names and shapes must be
        those of one recurrent layer.
    nonlinearity : {"tanh", "relu"}, default="tanh"
        Of an RNN whose weights come without its module.
    batch_first : bool, optional
        Axes of the network: by default those of the module, and False where there is none.

    Returns
    -------
    Network
        In the dtype of the weights. float16 and bfloat16 become float32, which holds each of their values.

    Raises
    ------
    ValueError
        Where a name is missing or not used, a shape does not fit, or a module or an option cannot be carried over
        exactly; the message names it. `fastrnn.storage.FileFormatError`, which is one, where a file is damaged.

    Notes
    -----
    An LSTM, GRU or RNN in a Sequential hands on its output, without the state beside it. A Conv1d reads features last,
    as all layers here, where torch's reads (batch, channels, steps).

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.io import from_torch
    >>> weights = {"enc.weight_ih": np.zeros((12, 3)), "enc.weight_hh": np.zeros((12, 4))}  # names of a GRUCell
    >>> net = from_torch(weights, prefix="enc.")
    >>> net.layers, net.dtype
    ((GRU(3, 4),), dtype('float64'))
    """
    check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    if layers is None and _is_module(source):
        return _of_module(_submodule(source, prefix), nonlinearity, batch_first)
    name, entries = _entries(source)
    weights = Weights(name, entries, prefix)
    if layers is None:
        layer, found_first = recognised(weights, nonlinearity), False
    else:
        if nonlinearity != "tanh":
            raise ValueError(f"nonlinearity is {nonlinearity!r}, expected 'tanh': the RNN in layers has its own")
        given = filled(layers, weights, _template)
        found_first = _agreed_batch_first([layer.batch_first for layer in given if layer.is_recurrent])
        layer = chained(given)
    weights.check_used_up()
    return Network._of(layer, found_first if batch_first is None else batch_first, weights.notes())


def _agreed_batch_first(found):
    if len(set(found)) > 1:
        raise ValueError(f"recurrent layers have batch_first = {found}, expected the same of all")
    return bool(found and found[0])


# modules


def _is_module(source):
    torch = sys.modules.get("torch")  # who holds a module has imported torch
    return torch is not None and isinstance(source, torch.nn.Module)


def _submodule(module, prefix):
    try:
        return module.get_submodule(prefix.removesuffix("."))
    except AttributeError:
        raise ValueError(f"prefix is {prefix!r}, expected that of a submodule of {type(module).__name__}") from None


def _of_module(module, nonlinearity, batch_first):
    parts = modules_of(module)
    if not parts:
        raise ValueError("source is an empty Sequential, expected at least one module")
    made_layers, notes = [], []
    for path, part in parts:
        layer, own_notes = _layer_of(path, part)
        made_layers.append(layer)
        notes += own_notes
    check_axes(parts)
    if nonlinearity != "tanh" and any(
        getattr(layer, "nonlinearity", nonlinearity) != nonlinearity for layer in made_layers
    ):
        raise ValueError(f"nonlinearity is {nonlinearity!r}, but the module has another: expected it left out")
    found_first = _agreed_batch_first([layer.batch_first for layer in made_layers if layer.is_recurrent])
    return Network._of(chained(made_layers), found_first if batch_first is None else batch_first, dict.fromkeys(notes))


def _layer_of(path, module):
    """Return the layer of one module, with its weights, and notes."""
    described = describe(path, module)
    if isinstance(described, Layer):
        return described, []
    weights = Weights(f"module {path[:-1]!r}" if path else "source", _flattened(module.state_dict()), "")
    layer = made(*described, weights)
    weights.check_used_up()
    return layer, weights.notes()


def _template(where, module):
    """Return the layer that an item of `layers` stands for."""
    if not _is_module(module):
        raise TypeError(f"{where} is an object of type {type(module).__name__}, expected (prefix, layer)")
    return _layer_of("", module)[0]


# tensors


def _entries(source):
    """Return how errors name a source, and its tensors by name."""
    if isinstance(source, str | os.PathLike):
        return repr(os.fsdecode(source)), read_entries(source)[0]
    if _is_module(source):
        source = source.state_dict()
    if not hasattr(source, "keys"):
        raise TypeError(
            f"source is an object of type {type(source).__name__}, expected a torch.nn.Module, a state dict or a path"
        )
    return "source", _flattened(source)


def _flattened(value, name="", depth=0):
    """Return {name: Entry} of the tensors and arrays in mappings and lists."""
    if depth > MAX_DEPTH:
        raise ValueError(f"source is nested deeper than {MAX_DEPTH} containers")
    if hasattr(value, "keys") or isinstance(value, list | tuple):
        items = [(key, value[key]) for key in value.keys()] if hasattr(value, "keys") else enumerate(value)  # noqa: SIM118
        found = {}
        for key, part in items:
            own = _flattened(part, f"{name}.{key}" if name else str(key), depth + 1)
            if twice := found.keys() & own.keys():
                raise ValueError(f"the name {min(twice)!r} stands twice in source")
            found |= own
        return found
    if isinstance(value, np.ndarray):
        return {name: Entry(value.dtype.name, value.shape, lambda: value)}
    if hasattr(value, "detach"):
        return {name: Entry(str(value.dtype).removeprefix("torch."), tuple(value.shape), lambda: _array(value))}
    return {}


def _array(tensor):
    """Return a tensor's values; of float16 and bfloat16 as float32, which holds each of them."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype.itemsize < 4 and tensor.is_floating_point() else tensor).numpy()


# in the terms of `formats`

read = from_torch


def outline(path):
    """Return lines about a file: its tensors, and the recurrent layers among them.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    list of str
    """
    entries, _ = read_entries(path)
    size = sum(entry.nbytes for entry in entries.values())
    lines = [f"weights as torch names them: {len(entries)} tensors, {size / 1e6:.2f} MB"]
    lines += [f"    {name}  {entry.dtype} {entry.shape}" for name, entry in entries.items()]
    for prefix in recurrent_prefixes(entries):
        own = {name: entry for name, entry in entries.items() if is_recurrent_name(name, prefix)}
        lines.append(f"prefix={prefix!r}")
        try:
            layer = recognised(Weights(repr(os.fsdecode(path)), own, prefix), "tanh")
        except ValueError as error:
            lines.append(f"    no recurrent layer: {error}")
        else:
            lines += [f"    {line}" for line in Network._of(layer).summary().split("\n")]
    return lines
