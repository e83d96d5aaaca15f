"""What tells a recurrent layer from the plain one: its arguments, their parameters, and the form that kernels read.

Equations and sources stand in the docstrings of `RNN`, `LSTM` and `GRU`, and beside the kernels in `csrc/variant.inc`,
`csrc/norm.inc` and `csrc/lstm.inc`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import init as initialisers
from .._validation import check_choice, check_fraction

# By name: its number in enum fr_activation_kind, and the defaults of alpha and beta.
ACTIVATIONS = {
    "sigmoid": (0, ()),
    "tanh": (1, ()),
    "relu": (2, ()),
    "affine": (3, (1.0, 0.0)),
    "identity": (3, ()),
    "leaky_relu": (4, (0.01,)),
    "thresholded_relu": (5, (1.0,)),
    "scaled_tanh": (6, (1.0, 1.0)),
    "hard_sigmoid": (7, (0.2, 0.5)),
    "elu": (8, (1.0,)),
    "softsign": (9, ()),
    "softplus": (10, ()),
}


def check_activations(activations, roles):
    """Return `activations`, one for each of `roles`, as a tuple of (name, alpha, beta ...); None stays None."""
    if activations is None:
        return None
    if isinstance(activations, str) or not isinstance(activations, tuple | list) or len(activations) != len(roles):
        raise ValueError(f"activations is {activations!r}, expected a sequence of {len(roles)}: of {', '.join(roles)}")
    return tuple(_activation(f"activations[{k}]", one) for k, one in enumerate(activations))


def _activation(where, given):
    name, *parameters = (given,) if isinstance(given, str) else given if isinstance(given, tuple | list) else (given,)
    defaults = ACTIVATIONS[check_choice(where, name, tuple(ACTIVATIONS))][1]
    if len(parameters) > len(defaults):
        raise ValueError(f"{where} is {given!r}, expected at most {len(defaults)} parameters after {name!r}")
    for value in parameters:
        is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not (is_number and math.isfinite(value)):
            raise ValueError(f"{where} is {given!r}, expected finite numbers after {name!r}")
    return (name, *map(float, parameters), *defaults[len(parameters) :])


def check_clip(clip):
    """Return `clip` as a float above 0, or None."""
    if clip is None:
        return None
    if isinstance(clip, bool) or not isinstance(clip, int | float | np.integer | np.floating):
        raise TypeError(f"clip is {clip!r}, expected a number > 0, or None for none")
    if not clip > 0:
        raise ValueError(f"clip is {clip!r}, expected a number > 0, or None for none")
    return float(clip)


@dataclass(frozen=True)
class Variant:
    """The arguments of a layer that change its equations."""

    activations: tuple | None = None
    clip: float | None = None
    peepholes: bool = False
    coupled_gates: bool = False
    layer_norm: bool = False
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    learn_initial_state: bool = False

    @classmethod
    def checked(cls, roles, *, activations, clip, recurrent_dropout, zoneout, **switches):
        """Check arguments; `roles` names what the activations are of."""
        return cls(
            check_activations(activations, roles),
            check_clip(clip),
            recurrent_dropout=check_fraction("recurrent_dropout", recurrent_dropout),
            zoneout=check_fraction("zoneout", zoneout),
            **{name: bool(value) for name, value in switches.items()},
        )

    @property
    def is_plain(self):
        """Whether the plain kernels compute it; what is dropped and how a state starts is no matter of theirs."""
        special = (self.activations, self.clip, self.peepholes, self.coupled_gates, self.layer_norm, self.zoneout)
        return not any(special)

    @property
    def draws(self):
        """Whether training drops something within the layer."""
        return bool(self.recurrent_dropout or self.zoneout)


def parameter_shapes(n_gates, has_cell, variant, *, input_size, hidden_size, proj_size, bias):
    """Return {plain name: shape} of one direction of one layer, in the order of the state dict."""
    rows, state_size = n_gates * hidden_size, proj_size or hidden_size
    shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, state_size)}
    if bias:
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    if proj_size:
        shapes["weight_hr"] = (proj_size, hidden_size)
    if variant.peepholes:
        shapes["peephole"] = ((n_gates - 1) * hidden_size,)
    if variant.layer_norm:
        shapes |= {"norm_ih": (rows,), "norm_hh": (rows,)}
        if has_cell:
            shapes |= {"norm_c": (hidden_size,), "norm_c_bias": (hidden_size,)}
    if variant.learn_initial_state:
        shapes["h_0"] = (state_size,)
        if has_cell:
            shapes["c_0"] = (hidden_size,)
    return shapes


def first_values(plain, shape, scheme, rng, hidden_size):
    """Return the first values of a parameter that only variants have."""
    if plain == "peephole" and scheme in (None, "default"):
        return initialisers.uniform(rng, shape, 1.0 / math.sqrt(hidden_size))
    return np.full(shape, 1.0 if plain in ("norm_ih", "norm_hh", "norm_c") else 0.0)


class VariantPack:
    """A variant in the form that the kernels read (`fr_variant`).

    Parameters
    ----------
    variant : Variant
    defaults : tuple of str
        The plain activations: of gates and candidate, or the one of an RNN; and of the cell.
    blocks : callable
        ``blocks(array, gates_of_blocks)`` gives the gates in padded blocks, flat.
    arrays : dict
        Parameters by plain name.
    """

    def __init__(self, variant, cell, dtype, padded_size, arrays, blocks):
        names = variant.activations or tuple((name,) for name in cell.activations)
        kinds = [(ACTIVATIONS[name][0], *_filled(name, parameters)) for name, *parameters in names]
        self.gate, self.candidate, self.output = (*kinds, *kinds[-1:] * 2)[:3]
        self.clip = math.inf if variant.clip is None else variant.clip
        self.zone = np.full(padded_size, 1.0 - variant.zoneout, dtype) if variant.zoneout else None
        self.peepholes = cell.n_gates - 1 if variant.peepholes else 0
        self.peephole = self.norm_x = self.norm_h = self.norm_c = None
        if variant.peepholes:
            gates = tuple(range(cell.n_gates - 1))
            self.peephole = np.array(blocks(arrays["peephole"], gates, len(gates)))
        if variant.layer_norm:
            self.norm_x = _at_blocks(cell.blocks, 0, blocks(arrays["norm_ih"], cell.order, cell.n_gates), padded_size)
            of_state = blocks(arrays["norm_hh"], cell.hidden_order, cell.n_gates)
            self.norm_h = _at_blocks(cell.blocks, cell.hidden_block, of_state, padded_size)
        if variant.layer_norm and cell.has_cell:
            parts = [blocks(arrays[name], (0,), 1) for name in ("norm_c", "norm_c_bias")]
            self.norm_c = np.concatenate(parts)


def _filled(name, parameters):
    """Alpha and beta, of whatever activation."""
    if name == "identity":
        return 1.0, 0.0
    return (*parameters, *ACTIVATIONS[name][1][len(parameters) :], 0.0, 0.0)[:2]


def _at_blocks(n_blocks, first, values, padded_size):
    """Return a row of n_blocks blocks that holds `values` from block `first` on."""
    row = np.zeros(n_blocks * padded_size, values.dtype)
    row[first * padded_size : first * padded_size + len(values)] = values
    return row
