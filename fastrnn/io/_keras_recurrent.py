"""LSTM, GRU and SimpleRNN of Keras, their CuDNN forms, and two of them in a Bidirectional."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..layers import GRU, LSTM, RNN, Dense
from . import _keras_activations as activations
from .gates import reorder

_CELLS = {"LSTM": ("lstm", 4, LSTM), "GRU": ("gru", 3, GRU), "SimpleRNN": ("rnn", 1, RNN)}
_CUDNN = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}
_OF_CELL = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}
_PLAIN = {"LSTM": (("sigmoid",), ("tanh",), ("tanh",)), "GRU": (("sigmoid",), ("tanh",))}


@dataclass(frozen=True)
class Settings:
    """What the configuration of a recurrent layer says.

    Attributes
    ----------
    kind : {"LSTM", "GRU", "SimpleRNN"}
    units : int
    activations : tuple
        As our layers have it.
    bias, reset_after, is_cudnn, returns_sequences, reads_backwards, is_stateful : bool
    merge : str or None
        Of a Bidirectional, None of a single layer.
    """

    kind: str
    units: int
    activations: tuple
    bias: bool
    reset_after: bool
    is_cudnn: bool
    returns_sequences: bool
    reads_backwards: bool
    is_stateful: bool
    merge: str | None = None


def settings_of(leaf, version):
    """Return the Settings of a leaf."""
    if leaf.kind != "Bidirectional":
        leaf.config.refuse("zero_output_for_mask", (False,))
        return single(leaf.kind, leaf.config, version)
    config = leaf.config
    merge = config.choice("merge_mode", "concat")
    if merge not in ("concat", "sum", "ave"):
        raise ValueError(
            f"merge_mode of {leaf.where} is {merge!r:.80}, which has no exact counterpart here: expected 'concat', "
            "'sum' or 'ave'"
        )
    kind, inner = config.inner("layer")
    inner.where = f"{leaf.where}, {kind:.80}"
    forward = single(kind, inner, version)
    if config.values.get("backward_layer") is not None:
        other_kind, other = config.inner("backward_layer")
        other.where = f"{leaf.where}, {other_kind:.80}"
        backward = single(other_kind, other, version)
        if vars(backward) != vars(forward) | {"reads_backwards": not forward.reads_backwards}:
            raise ValueError(f"{leaf.where} has two layers that differ by more than their direction")
    return Settings(**vars(forward) | {"merge": merge})


def single(kind, config, version):
    """Return the Settings of a layer that is no Bidirectional; its arguments about masks are not read."""
    config.refuse("time_major", (False,))
    cell, cell_config = kind, config
    if kind == "RNN":
        cell, cell_config = config.inner("cell")
        cell_config.where = f"{config.where}, {cell:.80}"
        cell = _OF_CELL.get(cell, cell)
    is_cudnn = cell in _CUDNN
    cell = _CUDNN.get(cell, cell)
    if cell not in _CELLS:
        raise ValueError(f"{config.where} holds a {cell:.80}, expected an LSTM, a GRU or a SimpleRNN")
    return Settings(
        kind=cell,
        units=cell_config.size("units"),
        activations=_PLAIN[cell] if is_cudnn else _activations(cell, cell_config, version),
        bias=cell_config.flag("use_bias", True),
        reset_after=is_cudnn or (cell == "GRU" and cell_config.flag("reset_after", version >= 3)),
        is_cudnn=is_cudnn,
        returns_sequences=config.flag("return_sequences"),
        reads_backwards=config.flag("go_backwards"),
        is_stateful=config.flag("stateful"),
    )


def _activations(cell, config, version):
    own = activations.recurrent(config.required("activation"), version, config.where)
    if cell == "SimpleRNN":
        return (own,)
    gates = activations.recurrent(config.required("recurrent_activation"), version, config.where)
    return (gates, own, own) if cell == "LSTM" else (gates, own)


def options_of(settings):
    """Return (class, arguments) of the layer here, without sizes."""
    options = {"bias": settings.bias}
    if settings.kind == "SimpleRNN":
        (own,) = settings.activations
        plain = own[0] in ("tanh", "relu")
        options |= {"nonlinearity": own[0]} if plain else {"activations": (own,)}
    elif settings.activations != _PLAIN[settings.kind]:
        options["activations"] = settings.activations
    if settings.kind == "GRU":
        options["reset_after"] = settings.reset_after
    return _CELLS[settings.kind][2], options


def recurrent_layer(leaf, settings, taken, dtype):
    """Return the layer with its weights, and the layers behind it that merge two directions."""
    _, n_gates, _ = _CELLS[settings.kind]
    rows, units = n_gates * settings.units, settings.units
    expected = {"kernel": (None, rows), "recurrent_kernel": (units, rows)}
    if settings.bias:
        expected["bias"] = (2 * rows,) if settings.is_cudnn else (2, rows) if settings.reset_after else (rows,)
    directions = 1 if settings.merge is None else 2
    names = {f"{way}{name}": shape for way in ("", "backward ")[:directions] for name, shape in expected.items()}
    found = taken.arrays(names, dtype)
    arrays = {}
    for way in range(directions):
        own = dict(zip(expected, found[way * len(expected) :], strict=False))
        suffix = "_l0" + "_reverse" * way
        arrays |= {name + suffix: array for name, array in _converted(own, settings).items()}
    kind, options = options_of(settings)
    input_size = arrays["weight_ih_l0"].shape[1]
    layer = kind(input_size, units, bidirectional=directions == 2, dtype=dtype, random_state=0, **options)
    layer.load_state_dict(arrays)
    return layer, _merging(settings, dtype)


def _converted(own, settings):
    """Return {plain name of ours: array} of one direction."""
    cell, n_gates, _ = _CELLS[settings.kind]
    kernel, recurrent = own["kernel"], own["recurrent_kernel"]
    if settings.is_cudnn:  # a gate's block of (I, H) holds the numbers of W_ih (H, I) in their order
        w_ih = np.concatenate([g.reshape(settings.units, -1) for g in np.split(kernel, n_gates, axis=1)])
        w_hh = np.concatenate(np.split(recurrent, n_gates, axis=1))
    else:
        w_ih, w_hh = kernel.T, recurrent.T
    found = {"weight_ih": reorder(w_ih, "keras", cell), "weight_hh": reorder(w_hh, "keras", cell)}
    if settings.bias:
        bias = own["bias"].reshape(-1, len(w_ih))
        found["bias_ih"] = reorder(bias[0], "keras", cell)
        found["bias_hh"] = reorder(bias[1], "keras", cell) if len(bias) == 2 else np.zeros_like(bias[0])
    return found


def _merging(settings, dtype):
    """Return a Dense that adds the directions up, or takes their mean: each a product with 1 or 1 / 2, and one sum."""
    if settings.merge in (None, "concat"):
        return []
    part = np.eye(settings.units, dtype=dtype) * (1.0 if settings.merge == "sum" else 0.5)
    dense = Dense(2 * settings.units, settings.units, bias=False, dtype=dtype, random_state=0)
    dense.load_state_dict({"weight": np.concatenate([part, part], axis=1)})
    return [dense]
