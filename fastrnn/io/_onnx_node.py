"""One recurrent node of ONNX as layers of ours: attributes, weights, and what comes out.

The text of the operators LSTM, GRU and RNN (versions 7, 14 and 22), and of ONNX Runtime's DynamicQuantizeLSTM.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import layers
from .._validation import check_lengths
from ..layers.variants import ACTIVATIONS
from ._onnx_file import import_onnx
from .gates import reorder

_DOMAINS: dict[str, tuple] = {"LSTM": ("", "ai.onnx"), "GRU": ("", "ai.onnx"), "RNN": ("", "ai.onnx")}
_DOMAINS["DynamicQuantizeLSTM"] = ("com.microsoft",)
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
QUANTISATION = ("W_scale", "W_zero_point", "R_scale", "R_zero_point")
_N_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
_NAMES = {name.replace("_", ""): name for name in ACTIVATIONS if name != "identity"}  # ONNX writes LeakyRelu
_ATTRIBUTES = ("activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "layout")
_OWN_ATTRIBUTES = {"LSTM": ("input_forget",), "GRU": ("linear_before_reset",), "RNN": ()}
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def is_recurrent(node):
    """Whether a node is one that our kernels run."""
    return node.domain in _DOMAINS.get(node.op_type, ())


@dataclass(frozen=True)
class Cell:
    """What the attributes of a node say, checked.

    Attributes
    ----------
    where : str
        How errors name the node.
    kind : {"LSTM", "GRU", "RNN"}
    quantised : bool
        Whether its weights are those of DynamicQuantizeLSTM.
    direction : {"forward", "reverse", "bidirectional"}
    hidden_size : int or None
    batch_first : bool
        The attribute `layout`.
    activations : tuple
        One tuple of activations, as layers take them, for each direction; None for the default ones.
    clip : float or None
    coupled_gates : bool
        The attribute `input_forget`.
    reset_after : bool
        The attribute `linear_before_reset`.
    """

    where: str
    kind: str
    quantised: bool
    direction: str
    hidden_size: int | None
    batch_first: bool
    activations: tuple
    clip: float | None
    coupled_gates: bool
    reset_after: bool

    @property
    def directions(self):
        """1 or 2."""
        return _DIRECTIONS[self.direction]

    @property
    def n_gates(self):
        """Blocks of rows in W."""
        return _N_GATES[self.kind]

    @property
    def inputs(self):
        """Names of the inputs, in order."""
        if self.quantised:
            return INPUTS + QUANTISATION
        return {"LSTM": INPUTS, "GRU": INPUTS[:6], "RNN": INPUTS[:6]}[self.kind]

    @property
    def outputs(self):
        """Names of the outputs, in order."""
        return ("Y", "Y_h", "Y_c") if self.kind == "LSTM" else ("Y", "Y_h")


def read_cell(node):
    """Return the `Cell` of a node.

    Raises
    ------
    ValueError
        Where an attribute is unknown or has a value that the operator does not know.
    """
    where = f"node {node.name!r} ({node.op_type})" if node.name else f"a node {node.op_type}"
    quantised = node.op_type == "DynamicQuantizeLSTM"
    kind = "LSTM" if quantised else node.op_type
    given = _attributes(node, where, (*_ATTRIBUTES, *_OWN_ATTRIBUTES[kind]))
    direction = _text(given.get("direction", b"forward"), where, "direction")
    if direction not in _DIRECTIONS:
        raise ValueError(f"{where} has direction = {direction!r}, expected one of {', '.join(map(repr, _DIRECTIONS))}")
    for name in ("layout", "input_forget", "linear_before_reset"):
        if given.get(name, 0) not in (0, 1):
            raise ValueError(f"{where} has {name} = {given[name]!r}, expected 0 or 1")
    clip = given.get("clip")
    if clip is not None and not clip > 0:
        raise ValueError(f"{where} has clip = {clip!r}, expected a number > 0")
    return Cell(
        where, kind, quantised, direction, given.get("hidden_size"), bool(given.get("layout", 0)),
        _activations(kind, _DIRECTIONS[direction], given, where), clip, bool(given.get("input_forget", 0)),
        bool(given.get("linear_before_reset", 0)),
    )  # fmt: skip


def _attributes(node, where, known):
    onnx = import_onnx()
    kinds = onnx.AttributeProto
    types = {**dict.fromkeys(("activation_alpha", "activation_beta"), kinds.FLOATS), "activations": kinds.STRINGS}
    types |= {"clip": kinds.FLOAT, "direction": kinds.STRING}
    found = {}
    for attribute in node.attribute:
        if attribute.name not in known:
            raise ValueError(f"{where} has the attribute {attribute.name!r}, expected one of {', '.join(known)}")
        if attribute.type != types.get(attribute.name, kinds.INT):
            raise ValueError(f"{where} has {attribute.name} of another type than the operator")
        found[attribute.name] = onnx.helper.get_attribute_value(attribute)
    return found


def _text(value, where, name):
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{where} has {name} = {value!r}, which is no text") from None


def _activations(kind, directions, given, where):
    """Return the activations of each direction; alphas and betas go to those that have one, in order."""
    defaults = _DEFAULTS[kind]
    names = [_text(name, where, "activations") for name in given.get("activations", ())]
    if kind == "RNN" and len(names) == 2 and directions == 1 and names[0].lower() == names[1].lower():
        names = names[:1]  # the attribute's default is for two directions
    if not names:
        names = list(defaults) * directions
    if len(names) != len(defaults) * directions:
        raise ValueError(f"{where} has activations = {names}, expected {len(defaults) * directions} names")
    alphas, betas = (list(given.get(f"activation_{which}", ())) for which in ("alpha", "beta"))
    found = []
    for name in names:
        ours = _NAMES.get(name.lower().replace("_", ""))
        if ours is None:
            raise ValueError(f"{where} has the activation {name!r}, expected one of those of the ONNX operator")
        values = list(ACTIVATIONS[ours][1])
        for k, source in enumerate((alphas, betas)[: len(values)]):
            values[k] = source.pop(0) if source else values[k]
        found.append((ours, *values))
    parts = [tuple(found[k : k + len(defaults)]) for k in range(0, len(found), len(defaults))]
    plain = tuple((name,) for name in defaults)
    return tuple(None if part == plain else part for part in parts)


# weights


def dequantised(cell, given):
    """Return {"W", "R", ...: float32 array} of the inputs of a DynamicQuantizeLSTM, in the axes of an LSTM."""
    found = dict(given)
    for name, symbols in (("W", "input_size"), ("R", "hidden_size")):
        scale, zero = (np.asarray(found.pop(f"{name}_{what}")) for what in ("scale", "zero_point"))
        weights = np.asarray(found[name])
        if weights.dtype not in (np.int8, np.uint8) or weights.ndim != 3:
            raise ValueError(
                f"{name} of {cell.where} is {weights.dtype} of shape {weights.shape}, expected int8 or uint8 of shape "
                f"(num_directions, {symbols}, 4 * hidden_size)"
            )
        shapes = ((weights.shape[0],), (weights.shape[0], weights.shape[2]))
        for what, array in ((f"{name}_scale", scale), (f"{name}_zero_point", zero)):
            if array.shape not in shapes:
                raise ValueError(f"{what} of {cell.where} has shape {array.shape}, expected {shapes[0]} or {shapes[1]}")
        scale, zero = (a.reshape(len(a), 1, -1).astype(np.float32) for a in (scale, zero))
        found[name] = ((weights.astype(np.float32) - zero) * scale).swapaxes(1, 2)
    return found


def build(cell, given):
    """Return the layers of a node: one, or one for each direction where one layer cannot hold both.

    Parameters
    ----------
    cell : Cell
    given : mapping of str to ndarray
        W, R and, where they are there, B, P and those of the quantisation.

    Returns
    -------
    list of layer
        Time-major. The only one of a reverse node, and the second of two, read rows from their ends.
    """
    if cell.quantised:
        given = dequantised(cell, given)
    dtype = _checked(cell, given)
    parts = [_direction(cell, given, d) for d in range(cell.directions)]
    hidden_size, input_size = given["R"].shape[2], given["W"].shape[2]
    options = {"bias": "B" in given, "dtype": dtype, "clip": cell.clip, "random_state": 0}
    if cell.kind == "LSTM":
        options |= {"peepholes": "P" in given, "coupled_gates": cell.coupled_gates}
    elif cell.kind == "GRU":
        options |= {"reset_after": cell.reset_after}
    one = cell.directions == 2 and cell.activations[0] == cell.activations[1]
    groups = [(parts, cell.activations[0])] if one else list(zip(([part] for part in parts), cell.activations))
    return [_layer(cell.kind, input_size, hidden_size, own, activations, options) for own, activations in groups]


def _layer(kind, input_size, hidden_size, parts, activations, options):
    if kind == "RNN" and activations == (("relu",),):
        options = options | {"nonlinearity": "relu"}
    elif activations is not None:
        options = options | {"activations": activations}
    layer = getattr(layers, kind)(input_size, hidden_size, bidirectional=len(parts) == 2, **options)
    layer.load_state_dict(
        {f"{name}_l0{suffix}": a for part, suffix in zip(parts, ("", "_reverse")) for name, a in part.items()}
    )
    return layer


def _checked(cell, given):
    """Check the shapes of a node's weights, and return the dtype in which to compute."""
    w, r = given["W"], given["R"]
    for name, array in (("W", w), ("R", r)):
        if array.ndim != 3 or (array.dtype.kind != "f" and array.dtype.name != "bfloat16"):
            raise ValueError(
                f"{name} of {cell.where} is {array.dtype} of shape {array.shape}, expected floating-point numbers of 3 "
                "axes"
            )
    hidden_size = r.shape[2]
    if cell.hidden_size not in (None, hidden_size) or not hidden_size or not w.shape[2]:
        raise ValueError(f"R of {cell.where} has shape {r.shape}, expected hidden_size = {cell.hidden_size} on axis 2")
    rows = cell.n_gates * hidden_size
    expected = {"W": (cell.directions, rows, w.shape[2]), "R": (cell.directions, rows, hidden_size)}
    expected |= {"B": (cell.directions, 2 * rows), "P": (cell.directions, 3 * hidden_size)}
    for name, array in given.items():
        if array.shape != expected[name]:
            raise ValueError(
                f"{name} of {cell.where} has shape {array.shape}, expected {expected[name]} with hidden_size = "
                f"{hidden_size} and num_directions = {cell.directions}"
            )
    return "float64" if w.dtype == np.float64 else "float32"


def _direction(cell, given, d):
    """Return {plain name: array} of one direction, gates in our order."""
    kind = cell.kind.lower()
    arrays = {"weight_ih": given["W"][d], "weight_hh": given["R"][d]}
    if "B" in given:
        arrays["bias_ih"], arrays["bias_hh"] = np.split(given["B"][d], 2)
    arrays = {name: reorder(array, "onnx", kind) for name, array in arrays.items()}
    if "P" in given:
        arrays["peephole"] = reorder(given["P"][d], "onnx", "peephole")
    if cell.coupled_gates:  # f = 1 - i: its block, the second everywhere, counts for nothing
        hidden_size = given["R"].shape[2]
        arrays = {n: np.delete(a, np.s_[hidden_size : 2 * hidden_size], axis=0) for n, a in arrays.items()}
    return {
        name: array.astype(np.float64 if array.dtype == np.float64 else np.float32) for name, array in arrays.items()
    }


# computing


def apply(cell, built, x, lengths=None, h_0=None, c_0=None, n_threads=None):
    """Run a node.

    Parameters
    ----------
    cell : Cell
    built : list of layer
        Of `build`.
    x : ndarray of shape (seq_len, batch_size, input_size)
        (batch_size, seq_len, input_size) where the node is batch first, which turns everything else as well.
    lengths : ndarray of int of shape (batch_size,), optional
    h_0, c_0 : ndarray of shape (num_directions, batch_size, hidden_size), optional
    n_threads : int, optional

    Returns
    -------
    tuple of ndarray
        Y (seq_len, num_directions, batch_size, hidden_size), Y_h and of an LSTM Y_c (num_directions, batch_size,
        hidden_size), in the dtype of x. Y is 0 past a row's length, and the others are the states at its own last step
        (of length 0: the initial ones).
    """
    x = np.asarray(x)
    layer, kept = built[0], x.dtype
    if x.ndim != 3 or x.shape[2] != layer.input_size:
        axes = "(batch_size, seq_len, input_size)" if cell.batch_first else "(seq_len, batch_size, input_size)"
        raise ValueError(f"X of {cell.where} has shape {x.shape}, expected {axes} with input_size = {layer.input_size}")
    x = _in(layer.dtype, x.swapaxes(0, 1) if cell.batch_first else x)
    seq_len, batch_size, _ = x.shape
    if lengths is not None:
        lengths = check_lengths(np.asarray(lengths), seq_len, batch_size)
    states = _initial(cell, layer, batch_size, h_0, c_0)
    if len(built) == 1:
        y, ends = _one(cell, layer, x, lengths, states, cell.direction == "reverse", n_threads)
    else:
        pieces = [
            _one(cell, part, x, lengths, [s if s is None else s[k : k + 1] for s in states], k == 1, n_threads)
            for k, part in enumerate(built)
        ]
        y = np.concatenate([piece[0] for piece in pieces], axis=2)
        ends = [np.concatenate(parts) for parts in zip(*(piece[1] for piece in pieces))]
    y = y.reshape(seq_len, batch_size, cell.directions, layer.hidden_size)
    y = y.swapaxes(0, 1) if cell.batch_first else y.swapaxes(1, 2)
    ends = [end.swapaxes(0, 1) for end in ends] if cell.batch_first else ends
    return tuple([_in(kept, array) for array in (y, *ends)])


def _in(dtype, array):
    """Return an array in a dtype and C-contiguous, the same one where it is."""
    return array if array.dtype == dtype and array.flags.c_contiguous else np.ascontiguousarray(array, dtype)


def _initial(cell, layer, batch_size, h_0, c_0):
    """Return [h_0] or [h_0, c_0] in the layer's dtype, or Nones."""
    shape = (batch_size, cell.directions) if cell.batch_first else (cell.directions, batch_size)
    states = []
    for name, given in (("initial_h", h_0), ("initial_c", c_0))[: 2 if cell.kind == "LSTM" else 1]:
        if given is None:
            states.append(None)
            continue
        given = np.asarray(given)
        if given.shape != (*shape, layer.hidden_size):
            raise ValueError(f"{name} of {cell.where} has shape {given.shape}, expected {(*shape, layer.hidden_size)}")
        states.append(_in(layer.dtype, given.swapaxes(0, 1) if cell.batch_first else given))
    return states


def _one(cell, layer, x, lengths, states, from_end, n_threads):
    """Run one layer: its output (seq_len, batch_size, directions * hidden_size), and its last states."""
    state, given = None, [s for s in states if s is not None]
    if given:
        full = [np.zeros_like(given[0]) if s is None else s for s in states]
        state = tuple(full) if cell.kind == "LSTM" else full[0]
    y, state_n = layer(reversed_rows(x, lengths) if from_end else x, state, lengths, n_threads=n_threads)
    ends = list(state_n) if cell.kind == "LSTM" else [state_n]
    return (reversed_rows(y, lengths) if from_end else y), ends


def reversed_rows(x, lengths):
    """Return x (seq_len, batch_size, ...) with each row's own steps in the opposite order; padding stays."""
    if lengths is None or (lengths == len(x)).all():
        return np.ascontiguousarray(x[::-1])
    steps = np.arange(len(x))[:, None]
    index = np.where(steps < lengths, lengths - 1 - steps, steps)
    return x[index, np.arange(x.shape[1])]
