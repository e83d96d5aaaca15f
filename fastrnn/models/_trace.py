"""Gates, cells and outputs of every step, by the equations of `fastrnn.reference`."""

from __future__ import annotations

import numpy as np

from .._validation import check_lengths, check_states
from ..layers import GRU, LSTM
from ..layers.sequential import _lengths_behind
from ..reference import gru, lstm, stack
from ..reference.activations import Activation

_GATES = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n"), "rnn": ()}
_OPTIONS = ("nonlinearity", "reset_after", "coupled_gates", "activations", "clip", "zoneout")
AGREEMENT = 1e-3  # of the reference with the kernels, of the largest output: far above rounding, far below a wrong gate


def trace(chain, x, state, lengths):
    """Return {place: {name: array}} of a chain on time-major x; see `Network.trace`."""
    states, found = check_states("state", state, chain._num_recurrent), {}
    for place, layer in chain._leaves:
        if layer.is_recurrent:
            state_0 = states.pop(0)
            y, _ = layer(x, state_0, lengths)
            for suffix, own in _traced(layer, x, state_0, lengths, y).items():
                found[place + "." + suffix] = own
            x = y
        else:
            x = layer(x, lengths)
        lengths = _lengths_behind(layer, lengths)
    return found


def _traced(layer, x, state_0, lengths, y):
    """Return {"l0": {name: array}} of one recurrent layer that gave `y`."""
    x, unbatched = layer._read_x(x)
    lengths = check_lengths(lengths, *x.shape[:2])
    states = layer._state_arrays("state_0", state_0, x.shape[1], unbatched)
    cell = "lstm" if isinstance(layer, LSTM) else "gru" if isinstance(layer, GRU) else "rnn"
    options = {name: getattr(layer, name) for name in _OPTIONS if hasattr(layer, name)}
    given = states if len(states) > 1 else states[0]
    (expected, _, _), tape = stack.forward(layer.params, x, given, lengths, cell=cell, **options)
    y = y[:, None] if unbatched else y
    if not np.allclose(y, expected, rtol=0, atol=AGREEMENT * max(1.0, np.abs(expected).max(initial=0)), equal_nan=True):
        raise ValueError(f"{layer!r} cannot be traced: fastrnn.reference does not know its variant")
    runs = {run["suffix"].removeprefix("_"): _of_run(run, cell, x.shape[:2]) for run in tape["runs"]}
    if unbatched:
        runs = {suffix: {name: a[:, 0] for name, a in own.items()} for suffix, own in runs.items()}
    return {suffix: {name: a.astype(layer.dtype) for name, a in own.items()} for suffix, own in runs.items()}


def _of_run(run, cell, shape):
    """Return {name: array (seq_len, batch_size, ...)} of one direction of one layer."""
    found, hidden_size = {}, run["state_0"][-1].shape[1]
    for name in ("h", "c")[: len(run["state_0"])]:
        found[name] = np.zeros((*shape, run["state_0"][("h", "c").index(name)].shape[1]))
    found |= {name: np.zeros((*shape, hidden_size)) for name in _GATES[cell]}
    for length, rows, _, states, saved, options in run["groups"]:
        steps = dict(zip(("h", "c"), (s[1:] for s in states), strict=False))
        if length and _GATES[cell]:
            gates = [_gates_of(cell, step, options) for step in saved]
            steps |= {name: np.stack([own[name] for own in gates]) for name in _GATES[cell]}
        for name, values in steps.items():
            found[name][:length, rows] = values[::-1] if run["reverse"] else values
    return found


def _gates_of(cell, saved, options):
    """Return {name: array (rows, hidden_size)} of what the reference keeps of a step: the activations' arguments."""
    functions, clip = options.get("activations"), options.get("clip")
    if cell == "lstm":
        gate, candidate = (Activation(f, clip) for f in (functions or lstm.DEFAULT)[:2])
        _, _, a, _ = saved
        i = gate(a["i"])
        f = 1 - i if options.get("coupled_gates") else gate(a["f"])
        return {"i": i, "f": f, "g": candidate(a["g"]), "o": gate(a["o"])}
    gate, candidate = (Activation(f, clip) for f in functions or gru.DEFAULT)
    _, _, (a_rz, a_n) = saved
    r, z = np.split(gate(a_rz), 2, axis=1)
    return {"r": r, "z": z, "n": candidate(a_n)}
