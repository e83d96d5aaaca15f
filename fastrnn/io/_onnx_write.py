"""Layers as nodes of ONNX, on time-major values, in float32.

`Writer` holds the graph that grows; the functions in `EMITTERS` add one layer each.
"""

from __future__ import annotations

import numpy as np

from ._onnx_file import import_onnx
from .gates import reorder

OPSET = 17  # LayerNormalization
_ACTIVATIONS = {
    "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "identity": "Affine", "affine": "Affine",
    "leaky_relu": "LeakyRelu", "thresholded_relu": "ThresholdedRelu", "scaled_tanh": "ScaledTanh",
    "hard_sigmoid": "HardSigmoid", "elu": "Elu", "softsign": "Softsign", "softplus": "Softplus",
}  # fmt: skip
_FUNCTIONS = {
    "relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus",
    "leaky_relu": "LeakyRelu", "elu": "Elu", "hard_sigmoid": "HardSigmoid",
}  # fmt: skip


class Writer:
    """A graph to which layers are added, one behind the other.

    Attributes
    ----------
    nodes, weights, inputs, outputs : list
        What the graph is made of.
    value : str
        What the last layer gives.
    per_step : bool
        Whether that has an axis of time, (seq_len, batch_size, features).
    lengths : str or None
        Steps of each row, int32.
    states : bool
        Whether initial states come in and last ones go out.
    """

    def __init__(self, value, lengths, states):
        self._onnx = import_onnx()
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.value, self.per_step, self.lengths, self.states = value, True, lengths, states
        self.last_states = None  # Y_h, where the last layer is a recurrent one
        self._masks: dict = {}
        self._count = 0

    def node(self, kind, *inputs, n_outputs=1, **attributes):
        """Add a node, and return the name of its output, or of its first ones as a list."""
        self._count += 1
        names = [f"{kind.lower()}_{self._count}" + (f"_{k}" if k else "") for k in range(n_outputs)]
        name = f"{kind}_{self._count}"
        self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return names[0] if n_outputs == 1 else names

    def constant(self, array, what="constant"):
        """Add a weight, and return its name; float64 becomes float32, where no number may overflow."""
        array = np.asarray(array)
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                small = array.astype(np.float32)
            if (np.isinf(small) & np.isfinite(array)).any():
                raise ValueError(f"{what} holds {np.abs(array).max()}, which float32 does not hold")
            array = small
        self._count += 1
        name = f"{what}_{self._count}"
        self.weights.append(self._onnx.numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def integers(self, *values):
        """Add a vector of int64, and return its name."""
        return self.constant(np.array(values, np.int64), "ints")

    # ragged rows

    def mask(self):
        """Return (seq_len, batch_size, 1) of bool: which steps are within their row."""
        if self.lengths not in self._masks:  # a Conv1d, which may change the steps, makes new lengths
            steps = self.node("Unsqueeze", self.steps(), self.integers(1))
            inside = self.node("Less", steps, self.lengths)
            self._masks[self.lengths] = self.node("Unsqueeze", inside, self.integers(2))
        return self._masks[self.lengths]

    def steps(self):
        """Return (seq_len,) of int32: 0, 1, 2, ..."""
        shape = self.node("Shape", self.value, start=0, end=1)
        count = self.node("Cast", self.node("Squeeze", shape), to=self._onnx.TensorProto.INT32)
        zero, one = (self.constant(np.array(k, np.int32), "int") for k in (0, 1))
        return self.node("Range", zero, count, one)

    def masked(self, filling):
        """Return the value with `filling` past the ends of the rows."""
        return self.node("Where", self.mask(), self.value, self.constant(np.float32(filling), "filling"))

    def rows(self):
        """Return the number of rows as a vector of one int64."""
        return self.node("Shape", self.value, start=1, end=2)


# recurrent layers


def recurrent(w, layer, place):
    """Add a recurrent layer: one node for each of its layers."""
    _check(layer, place)
    directions = 2 if layer.bidirectional else 1
    kinds = ("h", "c") if layer._cell.has_cell else ("h",)
    initial, ends = _initial_states(w, layer, place, kinds, directions), {which: [] for which in kinds}
    attributes = _attributes(layer, directions)
    for k in range(layer.num_layers):
        names = [layer._names(k, d) for d in range(directions)]
        weights = [w.constant(a, f"{place}.{what}") if a is not None else "" for what, a in _weights(layer, names)]
        w_name, r_name, b_name, p_name = weights
        states = [initial[which][k] if initial else "" for which in kinds]
        inputs = [w.value, w_name, r_name, b_name, w.lengths or "", *states, *([p_name] if p_name else [])]
        while not inputs[-1]:
            inputs.pop()
        y, *last = w.node(type(layer).__name__, *inputs, n_outputs=1 + len(kinds), **attributes)
        for which, name in zip(kinds, last):
            ends[which].append(name)
        if directions == 2:
            turned = w.node("Transpose", y, perm=[0, 2, 1, 3])
            w.value = w.node("Reshape", turned, w.integers(0, 0, 2 * layer.hidden_size))
        else:
            w.value = w.node("Squeeze", y, w.integers(1))
        w.last_states = last[0], directions
    if w.states:
        for which in kinds:
            found = ends[which]
            joined = w.node("Concat", *found, axis=0) if len(found) > 1 else found[0]
            axes = (layer.num_layers * directions, "batch_size", layer.hidden_size)
            w.outputs.append((f"{which}_n_{place}", joined, axes))


def _check(layer, place):
    """Raise ValueError where the operator cannot hold a layer."""
    where = f"layer {place}, {layer!r}, cannot be written to ONNX:"
    if layer.proj_size:
        raise ValueError(f"{where} the operator has no projection (proj_size={layer.proj_size})")
    if layer.layer_norm:
        raise ValueError(f"{where} the operator has no layer normalisation")
    if layer.zoneout:
        raise ValueError(f"{where} the operator has no zoneout, which mixes states outside training too")
    if getattr(layer, "dilation", 1) != 1:
        raise ValueError(f"{where} the operator has no dilation")


def _attributes(layer, directions):
    found = {"hidden_size": layer.hidden_size, "direction": "bidirectional" if directions == 2 else "forward"}
    activations = layer.activations
    if activations is None and getattr(layer, "nonlinearity", "tanh") == "relu":
        activations = (("relu",),)
    if activations is not None:
        every = activations * directions
        found["activations"] = [_ACTIVATIONS[name] for name, *_ in every]
        values = [(1.0, 0.0) if name == "identity" else tuple(rest) for name, *rest in every]
        alphas, betas = [v[0] for v in values if v], [v[1] for v in values if len(v) > 1]
        found |= {f"activation_{n}": v for n, v in (("alpha", alphas), ("beta", betas)) if v}
    if layer.clip is not None:
        found["clip"] = layer.clip
    if getattr(layer, "coupled_gates", False):
        found["input_forget"] = 1
    if getattr(layer, "reset_after", False):
        found["linear_before_reset"] = 1
    return found


def _weights(layer, names):
    """Return [(what, array)] of W, R, B and P of one layer, directions in front; None for what it lacks."""
    kind = type(layer).__name__.lower()

    def stacked(plain, order=kind):
        return np.stack([_in_onnx_order(layer, np.asarray(layer.params[own[plain]]), order) for own in names])

    bias = np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1) if layer.bias else None
    peepholes = stacked("peephole", "peephole") if getattr(layer, "peepholes", False) else None
    return [("W", stacked("weight_ih")), ("R", stacked("weight_hh")), ("B", bias), ("P", peepholes)]


def _in_onnx_order(layer, array, order):
    if getattr(layer, "coupled_gates", False):  # the operator has weights of f, and does not read them
        first, rest = array[: layer.hidden_size], array[layer.hidden_size :]
        array = np.concatenate([first, np.zeros_like(first), rest])
    return reorder(array, "torch", order, "onnx")


def _initial_states(w, layer, place, kinds, directions):
    """Return {which: names of the initial states of each layer}, or None for zeros."""
    count = layer.num_layers * directions
    names = {}
    for which in kinds:
        if w.states:
            whole = f"{which}_0_{place}"
            w.inputs.append((whole, (count, "batch_size", layer.hidden_size)))
        elif layer.learn_initial_state:
            rows = np.stack([layer.params[own[f"{which}_0"]] for own in layer._all_names()])[:, None]
            shape = w.node("Concat", w.integers(1), w.rows(), w.integers(1), axis=0)
            whole = w.node("Expand", w.constant(rows, f"{place}.{which}_0"), shape)
        else:
            return None
        pieces = [whole]
        if layer.num_layers > 1:
            pieces = w.node("Split", whole, w.integers(*[directions] * layer.num_layers), n_outputs=layer.num_layers)
        names[which] = pieces
    return names


# other layers


def _activate(w, function, alpha=None):
    if function is None:
        return
    if function in _FUNCTIONS:
        own = {"leaky_relu": {"alpha": alpha}, "elu": {"alpha": alpha}, "hard_sigmoid": {"alpha": 1 / 6, "beta": 0.5}}
        w.value = w.node(_FUNCTIONS[function], w.value, **own.get(function, {}))
    elif function == "hard_tanh":
        w.value = w.node("Clip", w.value, *(w.constant(np.float32(bound), "bound") for bound in (-1, 1)))
    elif function == "silu":
        w.value = w.node("Mul", w.value, w.node("Sigmoid", w.value))
    else:
        w.value = w.node({"softmax": "Softmax", "log_softmax": "LogSoftmax"}[function], w.value, axis=-1)


def activation(w, layer, place):
    """Add an Activation."""
    _activate(w, layer.function, layer.alpha)


def dense(w, layer, place):
    """Add a Dense layer."""
    w.value = w.node("MatMul", w.value, w.constant(layer.params["weight"].T, f"{place}.weight"))
    if "bias" in layer.params:
        w.value = w.node("Add", w.value, w.constant(layer.params["bias"], f"{place}.bias"))
    _activate(w, layer.activation)


def dropout(w, layer, place):
    """Add nothing: outside training nothing is dropped."""


def embedding(w, layer, place):
    """Add a table; past a row's end its first vector stands, which nothing reads."""
    tokens = w.value
    if w.lengths:
        inside = w.node("Squeeze", w.mask(), w.integers(2))
        tokens = w.node("Where", inside, tokens, w.constant(np.array(0, np.int64), "token"))
    w.value = w.node("Gather", w.constant(layer.params["weight"], f"{place}.weight"), tokens, axis=0)


def layer_norm(w, layer, place):
    """Add a LayerNorm."""
    weights = [w.constant(layer.params[name], f"{place}.{name}") for name in ("weight", "bias")]
    w.value = w.node("LayerNormalization", w.value, *weights, axis=-1, epsilon=layer.eps)


def conv1d(w, layer, place):
    """Add a Conv1d, between two turns of the axes; what stands past a row's end counts as zeros."""
    value = w.masked(0.0) if w.lengths else w.value
    value = w.node("Transpose", value, perm=[1, 2, 0])
    weights = [w.constant(layer.params[name], f"{place}.{name}") for name in ("weight", "bias") if name in layer.params]
    value = w.node(
        "Conv", value, *weights, kernel_shape=[layer.kernel_size], strides=[layer.stride], dilations=[layer.dilation],
        pads=[layer._before, layer._behind],
    )  # fmt: skip
    w.value = w.node("Transpose", value, perm=[2, 0, 1])
    if w.lengths:
        one, zero, stride, added = (
            w.constant(np.array(k, np.int32), "int")
            for k in (1, 0, layer.stride, layer._before + layer._behind - layer._reach)
        )
        starts = w.node("Max", w.node("Add", w.lengths, added), zero)  # where the first tap may stand
        up = w.node("Add", starts, w.node("Sub", stride, one))
        w.lengths = w.node("Div", up, stride)
    _activate(w, layer.activation)


def pool(w, layer, place):
    """Add a Pool."""
    if layer.kind == "last":
        w.value = _last(w, layer)
    elif layer.kind == "mean" and w.lengths:
        total = w.node("ReduceSum", w.masked(0.0), w.integers(0), keepdims=0)
        counts = w.node("Cast", w.lengths, to=w._onnx.TensorProto.FLOAT)
        w.value = w.node("Div", total, w.node("Unsqueeze", counts, w.integers(1)))
    elif layer.kind == "mean":
        w.value = w.node("ReduceMean", w.value, axes=[0], keepdims=0)
    else:
        w.value = w.node("ReduceMax", w.masked(-np.inf) if w.lengths else w.value, axes=[0], keepdims=0)
    w.per_step, w.lengths = False, None


def reverse(w, layer, place):
    """Add a Reverse; what stands past a row's end stays there, where nothing reads it."""
    if w.lengths:
        lengths = w.node("Cast", w.lengths, to=w._onnx.TensorProto.INT64)
        w.value = w.node("ReverseSequence", w.value, lengths, time_axis=0, batch_axis=1)
    else:
        far = np.iinfo(np.int64).min
        w.value = w.node("Slice", w.value, w.integers(-1), w.integers(far), w.integers(0), w.integers(-1))


def _last(w, layer):
    """Return each row's output at its own last step; of a second direction that at the first."""
    if w.last_states is not None:
        y_h, directions = w.last_states
        if directions == 1:
            return w.node("Squeeze", y_h, w.integers(0))
        return w.node("Flatten", w.node("Transpose", y_h, perm=[1, 0, 2]), axis=1)
    if w.lengths is None:
        last = w.node("Gather", w.value, w.constant(np.array(-1, np.int64), "index"), axis=0)
    else:
        one = w.constant(np.array(1, np.int32), "int")
        at = w.node("Equal", w.node("Unsqueeze", w.steps(), w.integers(1)), w.node("Sub", w.lengths, one))
        zero = w.constant(np.float32(0), "filling")
        only = w.node("Where", w.node("Unsqueeze", at, w.integers(2)), w.value, zero)
        last = w.node("ReduceSum", only, w.integers(0), keepdims=0)
    if not layer.bidirectional:
        return last
    first = w.node("Gather", w.value, w.constant(np.array(0, np.int64), "index"), axis=0)
    halves = [w.node("Split", value, axis=-1, n_outputs=2) for value in (last, first)]
    return w.node("Concat", halves[0][0], halves[1][1], axis=-1)


def attention_pool(w, layer, place):
    """Add an AttentionPool."""
    weight, bias, context = (layer.params[name] for name in ("weight", "bias", "context"))
    hidden = w.node("MatMul", w.value, w.constant(weight.T, f"{place}.weight"))
    hidden = w.node("Tanh", w.node("Add", hidden, w.constant(bias, f"{place}.bias")))
    scores = w.node("MatMul", hidden, w.constant(context[:, None], f"{place}.context"))
    values = w.value
    if w.lengths:
        scores = w.node("Where", w.mask(), scores, w.constant(np.float32(-np.inf), "filling"))
        values = w.masked(0.0)
    weighted = w.node("Mul", w.node("Softmax", scores, axis=0), values)
    w.value = w.node("ReduceSum", weighted, w.integers(0), keepdims=0)
    w.per_step, w.lengths = False, None


EMITTERS = {
    "RNN": recurrent, "LSTM": recurrent, "GRU": recurrent, "Activation": activation, "AttentionPool": attention_pool,
    "Conv1d": conv1d, "Dense": dense, "Dropout": dropout, "Embedding": embedding, "LayerNorm": layer_norm, "Pool": pool,
    "Reverse": reverse,
}  # fmt: skip
