"""Nodes of ONNX that are layers of ours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..layers import Activation, Conv1d, Dense, Embedding, LayerNorm, Pool, Reverse
from ..layers.dense import ACTIVATIONS as OF_DENSE
from ._onnx_node import build, read_cell
from ._onnx_values import Flow, Given, Link, Refusal, Repeated, State, axis_of

_PLAIN = {
    "Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "Softplus": "softplus", "Softsign": "softsign",
    "LeakyRelu": "leaky_relu", "Elu": "elu", "HardSigmoid": "hard_sigmoid", "Softmax": "softmax",
    "LogSoftmax": "log_softmax", "Clip": "hard_tanh",
}  # fmt: skip


def as_sequence(value):
    """Return a value as a `Flow`: of the last states of a layer, what a Pool gives."""
    if not isinstance(value, State):
        return value
    link = value.flow.chain[-1]
    whole = tuple((link, d, "h") for d in range(2 if link.layer.bidirectional else 1))
    axes = tuple("1" if token == "D" and len(whole) == 1 else token for token in value.axes)
    if value.parts != whole or "D" in axes:
        raise Refusal("it reads other states than those of all directions of the last layer, side by side")
    return value.flow.then(Link(Pool("last", bidirectional=len(whole) == 2), of_states=True), axes)


def _dtype(array):
    return "float64" if array.dtype == np.float64 else "float32"


def _features_last(flow, reader):
    if "D" in flow.axes:
        raise Refusal("it reads directions beside each other")
    if "F" in map(reader.roles.of, flow.axes[:-1]):
        raise Refusal("the features are not its last axis")
    reader.roles.settle(flow.axes[-1], "F")


def _short(number):
    """Return a float32 of the file as the shortest float that is it: 1e-5 instead of 9.999999747378752e-06."""
    return float(str(np.float32(number)))


def _loaded(layer, **weights):
    layer.load_state_dict(weights)
    return layer


# recurrent


def recurrent(node, reader):
    """Return the outputs of a recurrent node: the sequence and the states."""
    flow, cell = as_sequence(reader.value(node.input[0])), read_cell(node)
    if not isinstance(flow, Flow) or len(flow.axes) != 3:
        raise Refusal("its X is no sequence")
    for token, role in zip(flow.axes, ("N", "T", "F") if cell.batch_first else ("T", "N", "F")):
        reader.roles.settle(token, role)
    names = {name: value for name, value in zip(cell.inputs, node.input) if value}
    weights = {n: reader.constant(v) for n, v in names.items() if n in ("W", "R", "B", "P", *cell.inputs[8:])}
    built = build(cell, weights)
    if len(built) > 1:
        raise Refusal("its two directions have different activations")
    lengths = _input_of(names.get("sequence_lens"), reader, "sequence_lens")
    states = {n: _state_of(v, reader, n) for n, v in names.items() if n.startswith("initial")}
    layer = _with_initial(built[0], cell, weights, {n: v for n, v in states.items() if isinstance(v, np.ndarray)})
    notes = [f"{cell.where} is a float32 LSTM here, with its weights dequantised"] if cell.quantised else []
    link = Link(layer, lengths, tuple(v for v in states.values() if isinstance(v, str)), tuple(notes))
    steps, rows = flow.axes[1::-1] if cell.batch_first else flow.axes[:2]
    directions = "D" if cell.directions == 2 else "1"
    axes = (rows, steps, directions, "F") if cell.batch_first else (steps, directions, rows, "F")
    if cell.direction == "reverse":
        flow = flow.then(Link(Reverse()))
    out = flow.then(link, axes)
    axes = (rows, "D", "F") if cell.batch_first else ("D", rows, "F")
    ends = [State(out, tuple((link, d, which) for d in range(cell.directions)), axes) for which in "hc"]
    if cell.direction == "reverse":
        out = out.then(Link(Reverse()))
    return [out, *ends][: len(node.output)]


def _input_of(name, reader, what):
    """Return the graph's input that a value is, or None where there is no value."""
    if not name:
        return None
    value = reader.value(name)
    if isinstance(value, Given) or (isinstance(value, Flow) and value.is_input):
        return value.source
    raise Refusal(f"its {what} is computed")


def _state_of(name, reader, what):
    """Return an initial state: None for zeros, the name of an input, or the constant array (with 1 row for all)."""
    if reader.is_zero(name):
        return None
    if reader.constants.has(name):
        return reader.constant(name)
    if isinstance(reader.value(name), Repeated):
        return reader.value(name).array
    return _input_of(name, reader, what)


def _with_initial(layer, cell, weights, constants):
    """Return the layer with constant initial states as learned ones."""
    if not constants:
        return layer
    found = {}
    for name, array in constants.items():
        array = array.swapaxes(0, 1) if cell.batch_first else array
        expected = (cell.directions, layer.hidden_size)
        if array.ndim != 3 or array.shape[::2] != expected or (array != array[:, :1]).any():
            raise Refusal(f"its {name} is constant and differs from row to row")
        found[name[-1]] = array[:, 0]
    kind, params = type(layer), layer.state_dict()
    options = {name: getattr(layer, name) for name in ("activations", "clip", "bias", "bidirectional")}
    own = {"LSTM": ("peepholes", "coupled_gates"), "GRU": ("reset_after",), "RNN": ("nonlinearity",)}[cell.kind]
    options |= {name: getattr(layer, name) for name in own} | {"dtype": layer.dtype, "learn_initial_state": True}
    new = kind(layer.input_size, layer.hidden_size, **options, random_state=0)
    initial = {n: np.zeros(a.shape) for n, a in new.params.items() if n not in params}
    for which, rows in found.items():
        for d, row in enumerate(rows):
            initial[f"{which}_0_l0{'_reverse' if d else ''}"] = row
    return _loaded(new, **params, **initial)


# one step


def embedding(node, reader, attributes):
    """A Gather of a constant table by the graph's input."""
    table, flow = reader.constant(node.input[0]), reader.value(node.input[1])
    if table.ndim != 2 or attributes.get("axis", 0) != 0 or not isinstance(flow, Flow) or not flow.is_input:
        raise Refusal("it looks up other things than rows of a table by tokens that come in")
    if flow.kind not in (reader.kinds.INT32, reader.kinds.INT64):
        raise Refusal("its tokens are no integers")
    layer = Embedding(*table.shape, dtype=_dtype(table), random_state=0)
    return [flow.then(Link(_loaded(layer, weight=table)), (*flow.axes, "F"))]


def matmul(node, reader, attributes):
    """A product with a constant matrix: a Dense layer without bias, to which an Add may give one."""
    flow, weight = as_sequence(reader.value(node.input[0])), reader.constant(node.input[1])
    return [_dense(flow, weight.T, None, reader)]


def gemm(node, reader, attributes):
    """A Dense layer of a value of two axes."""
    flow = as_sequence(reader.value(node.input[0]))
    weight = reader.constant(node.input[1])
    weight = weight if attributes.get("transB", 0) else weight.T
    if attributes.get("transA", 0) or len(flow.axes) != 2:
        raise Refusal("transA is set, or its A has other than two axes")
    weight, bias = _scaled(weight, attributes.get("alpha", 1.0)), None
    if len(node.input) > 2 and node.input[2]:
        bias = _scaled(reader.constant(node.input[2]), attributes.get("beta", 1.0))
    return [_dense(flow, weight, bias, reader)]


def _scaled(array, factor):
    return array if factor == 1.0 else array * array.dtype.type(factor)


def _dense(flow, weight, bias, reader):
    if weight.ndim != 2:
        raise Refusal("its weights are no matrix")
    _features_last(flow, reader)
    layer = Dense(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=_dtype(weight), random_state=0)
    weights = {"weight": weight} | ({} if bias is None else {"bias": _row(bias, weight.shape[0])})
    return flow.then(Link(_loaded(layer, **weights)), (*flow.axes[:-1], "F"))


def _row(bias, size):
    """Return a bias that stands for every step as one row."""
    if bias.size not in (1, size) or (bias.ndim and bias.shape[-1] != bias.size):
        raise Refusal("what it adds differs from step to step")
    return np.broadcast_to(bias.reshape(-1), (size,))


def add(node, reader, attributes):
    """A constant row behind a Dense layer without bias, nothing in between."""
    places = [k for k, name in enumerate(node.input) if reader.constants.has(name)]
    if len(places) != 1:
        raise Refusal("it adds two sequences")
    flow, row = reader.value(node.input[1 - places[0]]), reader.constant(node.input[places[0]])
    if (
        not isinstance(flow, Flow)
        or flow.is_input
        or row.ndim > len(flow.axes)
        or not _takes_bias(flow.chain[-1].layer)
    ):
        raise Refusal("it adds a constant to other than a product with a matrix")
    bare, before = flow.chain[-1].layer, replace(flow, chain=flow.chain[:-1])
    layer = Dense(bare.input_size, bare.output_size, dtype=bare.dtype, random_state=0)
    return [before.then(Link(_loaded(layer, weight=bare.params["weight"], bias=_row(row, bare.output_size))))]


def _takes_bias(layer):
    return isinstance(layer, Dense) and "bias" not in layer.params and layer.activation is None


def activation(node, reader, attributes):
    """An activation, in the Dense layer or convolution in front where that is one of theirs."""
    flow, function, alpha = as_sequence(reader.value(node.input[0])), _PLAIN[node.op_type], None
    if node.op_type in ("LeakyRelu", "Elu"):
        alpha = _short(attributes.get("alpha", {"LeakyRelu": 0.01, "Elu": 1.0}[node.op_type]))
    elif node.op_type == "HardSigmoid":
        found = np.float32(attributes.get("alpha", 0.2)), np.float32(attributes.get("beta", 0.5))
        if found != (np.float32(1 / 6), np.float32(0.5)):
            raise Refusal(f"alpha and beta are {found}, and an Activation has 1/6 and 0.5")
    elif node.op_type == "Clip":
        bounds = [attributes.get(name) for name in ("min", "max")]
        bounds = [reader.constant(name).item() for name in node.input[1:3] if name] or bounds
        if bounds != [-1.0, 1.0]:
            raise Refusal(f"its bounds are {bounds}, and an Activation has -1 and 1")
    elif function.endswith("softmax"):
        rank = len(flow.axes)
        axis = axis_of(attributes.get("axis", -1 if reader.opset >= 13 else 1), rank)
        if axis != rank - 1:
            raise Refusal("it is taken along another axis than the last")
        _features_last(flow, reader)
    last = flow.chain[-1].layer if flow.chain else None
    if function in OF_DENSE and isinstance(last, Dense | Conv1d) and last.activation is None:
        link = Link(_with_activation(last, function))
        return [replace(flow, chain=(*flow.chain[:-1], link))]
    return [flow.then(Link(Activation(function, alpha)))]


def _with_activation(layer, function):
    options = {"bias": "bias" in layer.params, "activation": function, "dtype": layer.dtype, "random_state": 0}
    if isinstance(layer, Conv1d):
        own = ("kernel_size", "stride", "padding", "dilation")
        new = Conv1d(layer.input_size, layer.output_size, **{name: getattr(layer, name) for name in own}, **options)
    else:
        new = Dense(layer.input_size, layer.output_size, **options)
    return _loaded(new, **layer.params)


def layer_norm(node, reader, attributes):
    """LayerNormalization over the features."""
    flow, scale = as_sequence(reader.value(node.input[0])), reader.constant(node.input[1])
    if axis_of(attributes.get("axis", -1), len(flow.axes)) != len(flow.axes) - 1 or len(node.output) > 1:
        raise Refusal("it is taken over other axes than the last, or gives its mean")
    _features_last(flow, reader)
    bias = reader.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros_like(scale)
    layer = LayerNorm(scale.size, _short(attributes.get("epsilon", 1e-5)), dtype=_dtype(scale))
    return [flow.then(Link(_loaded(layer, weight=scale, bias=bias)))]


# several steps


def conv(node, reader, attributes):
    """A convolution over time, of (rows, features, steps)."""
    flow, weight = as_sequence(reader.value(node.input[0])), reader.constant(node.input[1])
    if len(flow.axes) != 3 or weight.ndim != 3 or attributes.get("group", 1) != 1:
        raise Refusal("it has groups, or another number of axes than rows, features and steps")
    for token, role in zip(flow.axes, ("N", "F", "T")):
        reader.roles.settle(token, role)
    taps, stride = weight.shape[2], attributes.get("strides", [1])[0]
    dilation = attributes.get("dilations", [1])[0]
    padding = _padding(attributes, dilation * (taps - 1), stride)
    bias = reader.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    layer = Conv1d(
        weight.shape[1], weight.shape[0], taps, stride, padding, dilation, bias is not None, dtype=_dtype(weight),
        random_state=0,
    )  # fmt: skip
    weights = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return [flow.then(Link(_loaded(layer, **weights)), (flow.axes[0], "F", flow.axes[2]))]


def _padding(attributes, reach, stride):
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    before, behind = attributes.get("pads", [0, 0])
    if auto == "SAME_UPPER" and stride == 1:
        return "same"
    if auto not in ("NOTSET", "VALID"):
        raise Refusal(f"auto_pad is {auto!r} with a stride of {stride}")
    if before == behind:
        return before
    if (before, behind) == (reach, 0):
        return "causal"
    if stride == 1 and (before, behind) == (reach // 2, reach - reach // 2):
        return "same"
    raise Refusal(f"pads are {[before, behind]}, and a Conv1d has as many at both ends, or is causal")


def reduce(node, reader, attributes):
    """A mean or maximum over time."""
    flow = as_sequence(reader.value(node.input[0]))
    axes = attributes.get("axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        axes = reader.constant(node.input[1]).reshape(-1).tolist()
    places = [axis_of(int(axis), len(flow.axes)) for axis in axes or range(len(flow.axes))]
    if len(places) != 1 or reader.roles.of(flow.axes[places[0]]) != "T":
        raise Refusal("it is taken over other axes than that of time")
    kept = ("1",) if attributes.get("keepdims", 1) else ()
    axes = flow.axes[: places[0]] + kept + flow.axes[places[0] + 1 :]
    return [flow.then(Link(Pool({"ReduceMean": "mean", "ReduceMax": "max"}[node.op_type])), axes)]


LAYERS = {
    **dict.fromkeys(_PLAIN, activation), "MatMul": matmul, "Gemm": gemm, "Add": add, "Conv": conv,
    "LayerNormalization": layer_norm, "ReduceMean": reduce, "ReduceMax": reduce,
}  # fmt: skip
