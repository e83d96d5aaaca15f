"""Nodes of ONNX that compute nothing: they move axes, pick parts, and count sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..layers import Pool
from ._onnx_values import Flow, Given, Link, Refusal, Repeated, Sizes, State, Zeros, axis_of, merged, regrouped

# What a value keeps being, zeros that they are, whatever these do to it.
KEEP_ZEROS = (
    *("Identity", "Cast", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Slice", "Gather", "Split"),
    *("Concat", "Expand", "Tile", "Dropout", "Mul", "Neg", "Abs"),
)
_FAR = 2**31 - 1


def move(node, reader, attributes):
    """Return the outputs of a node whose first value is a `Flow`, `State`, `Given` or `Sizes`."""
    value = reader.value(node.input[0])
    if isinstance(value, Given):
        return [value] * len(node.output)
    if isinstance(value, Repeated):
        return _repeated(node, value.array, reader, attributes)
    if isinstance(value, Sizes):
        return _sizes(node, value.array, reader, attributes)
    found = _MOVES[node.op_type](node, value, reader, attributes)
    return found if isinstance(found, list) else [found]


def _axes_argument(node, reader, attributes, k=1):
    """Return the axes of a node, an attribute before opset 13 and an input since."""
    if "axes" in attributes:
        return [int(axis) for axis in attributes["axes"]]
    if len(node.input) <= k or not node.input[k]:
        return None
    return [int(axis) for axis in reader.constant(node.input[k]).reshape(-1)]


def _identity(node, value, reader, attributes):
    if node.op_type == "Dropout" and (
        len([name for name in node.output if name]) > 1
        or (len(node.input) > 2 and node.input[2] and reader.constant(node.input[2]).any())
    ):
        raise Refusal("it drops in inference, or gives its mask")
    return value


def _cast(node, value, reader, attributes):
    if not isinstance(value, Flow) or value.kind == attributes["to"]:
        return value
    widths = {reader.kinds.FLOAT16: 2, reader.kinds.BFLOAT16: 2, reader.kinds.FLOAT: 4, reader.kinds.DOUBLE: 8}
    before, after = widths.get(value.kind), widths.get(attributes["to"])
    whole = (reader.kinds.INT32, reader.kinds.INT64)
    if value.is_input and (after or (value.kind in whole and attributes["to"] in whole)):
        return replace(value, kind=attributes["to"])
    if not before or not after or after < before:
        raise Refusal("its conversion loses digits")
    return replace(value, kind=attributes["to"])


def _transpose(node, value, reader, attributes):
    rank = len(value.axes)
    perm = attributes.get("perm", list(range(rank))[::-1])
    if sorted(perm) != list(range(rank)):
        raise Refusal(f"perm = {list(perm)} of a value of {rank} axes")
    return replace(value, axes=tuple(value.axes[k] for k in perm))


def _squeeze(node, value, reader, attributes):
    axes = _axes_argument(node, reader, attributes)
    rank = len(value.axes)
    sizes = [_size(value, token, reader) for token in value.axes]
    where = [k for k in range(rank) if sizes[k] == 1] if axes is None else [axis_of(a, rank) for a in axes]
    if isinstance(value, Flow) and value.is_input and any(value.axes[k] != "1" for k in where):
        return Given(value.source)
    if any(sizes[k] != 1 for k in where):
        raise Refusal("it takes away an axis that may be larger than 1")
    return replace(value, axes=tuple(token for k, token in enumerate(value.axes) if k not in where))


def _size(value, token, reader):
    """Return the size of an axis of a value, or None where it is open."""
    if isinstance(value, State):
        if token == "D":
            return len(value.parts)
        return value.parts[0][0].layer.hidden_size if token == "F" and "D" in value.axes else reader.roles.size(token)
    if token == "F" and value.chain:
        width = next((k.layer.output_size for k in value.chain[::-1] if hasattr(k.layer, "output_size")), None)
        return width // 2 if width and "D" in value.axes else width
    return reader.roles.size(token)


def _unsqueeze(node, value, reader, attributes):
    axes = _axes_argument(node, reader, attributes)
    rank = len(value.axes) + len(axes)
    where, rest = {axis_of(axis, rank) for axis in axes}, iter(value.axes)
    return replace(value, axes=tuple("1" if k in where else next(rest) for k in range(rank)))


def _reshape(node, value, reader, attributes):
    target = reader.sizes(node.input[1])
    copies_zero = not attributes.get("allowzero", 0)

    if isinstance(value, State) and len(value.parts) == 1:  # an axis of one direction is one of size 1
        value = replace(value, axes=tuple("1" if token == "D" else token for token in value.axes))
    try:
        axes = regrouped(value.axes, target, copies_zero, lambda token: _size(value, token, reader))
        return replace(value, axes=axes)
    except Refusal:
        if isinstance(value, Flow) and value.is_input:
            return Given(value.source)
        raise


def _flatten(node, value, reader, attributes):
    if isinstance(value, State) and len(value.parts) == 1:
        value = replace(value, axes=tuple("1" if token == "D" else token for token in value.axes))
    cut = attributes.get("axis", 1)
    return replace(value, axes=(merged(value.axes[:cut]), merged(value.axes[cut:])))


def _gather(node, value, reader, attributes):
    index = reader.constant(node.input[1])
    axis = axis_of(attributes.get("axis", 0), len(value.axes))
    return _picked(value, axis, index, reader, keeps_axis=index.ndim == 1)


def _picked(value, axis, index, reader, keeps_axis):
    """Return a value of which only some entries along an axis are left."""
    token = value.axes[axis]
    if isinstance(value, State) and token == "D" and index.ndim < 2:
        parts = tuple(value.parts[int(k)] for k in index.reshape(-1))
        axes = value.axes if keeps_axis else value.axes[:axis] + value.axes[axis + 1 :]
        return replace(value, parts=parts, axes=axes)
    if isinstance(value, Flow) and value.is_input and reader.roles.of(token) is None:
        return Given(value.source)
    if not isinstance(value, Flow) or reader.roles.of(token) != "T" or index.tolist() not in (-1, [-1]):
        raise Refusal("it picks other entries than the last step of a sequence")
    if any(getattr(link.layer, "bidirectional", False) for link in value.chain[_last_recurrent(value.chain) :]):
        raise Refusal("the last step of a bidirectional layer is the first one of its second direction")
    rest = ("1",) if keeps_axis else ()
    return value.then(Link(Pool("last")), value.axes[:axis] + rest + value.axes[axis + 1 :])


def _last_recurrent(chain):
    return max((k for k, link in enumerate(chain) if link.layer.is_recurrent), default=0)


def _slice(node, value, reader, attributes):
    bounds = _bounds(node, reader, attributes)
    if len(bounds) != 1:
        raise Refusal("it cuts along several axes")
    ((axis, cut),) = bounds.items()
    axis = axis_of(axis, len(value.axes))
    if isinstance(value, State) and value.axes[axis] == "D":
        return _picked(value, axis, np.arange(len(value.parts))[cut], reader, keeps_axis=True)
    if isinstance(value, Flow) and value.is_input:
        return Given(value.source)
    if cut.start != -1 or cut.step != 1 or cut.stop < _FAR:
        raise Refusal("it cuts out other steps than the last one")
    return _picked(value, axis, np.array([-1]), reader, keeps_axis=True)


def _bounds(node, reader, attributes):
    """Return {axis: slice} of a Slice."""
    if "starts" in attributes:
        starts, ends = attributes["starts"], attributes["ends"]
        axes, steps = attributes.get("axes", range(len(starts))), [1] * len(starts)
    else:
        arguments = [reader.constant(name).reshape(-1).tolist() if name else None for name in node.input[1:5]]
        starts, ends, axes, steps = (*arguments, None, None)[:4]
        axes, steps = axes or range(len(starts)), steps or [1] * len(starts)
    return {int(a): slice(int(b), int(e), int(s)) for a, b, e, s in zip(axes, starts, ends, steps)}


def _split(node, value, reader, attributes):
    if isinstance(value, Flow) and value.is_input:
        return [Given(value.source)] * len(node.output)
    axis = axis_of(attributes.get("axis", 0), len(value.axes))
    if not isinstance(value, State) or value.axes[axis] != "D" or len(value.parts) % len(node.output):
        raise Refusal("it splits a sequence")
    if len(node.input) > 1 and node.input[1]:
        counts = reader.constant(node.input[1]).reshape(-1).tolist()
    else:
        counts = list(attributes.get("split", [len(value.parts) // len(node.output)] * len(node.output)))
    ends = np.cumsum(counts)
    return [
        _picked(value, axis, np.arange(end - count, end), reader, keeps_axis=True) for count, end in zip(counts, ends)
    ]


def concat(node, values, reader, attributes):
    """Return the output of a Concat of states or of sizes."""
    if any(isinstance(value, Sizes) for value in values):
        arrays = [reader.sizes(name) for name in node.input]
        return [Sizes(np.array([size for array in arrays for size in array], object))]
    if not all(isinstance(value, State) for value in values) or len({value.axes for value in values}) != 1:
        raise Refusal("it joins sequences of different layers")
    first = values[0]
    axis = axis_of(attributes["axis"], len(first.axes))
    if first.axes[axis] not in ("D", "F") or ("D" in first.axes and first.axes[axis] == "F"):
        raise Refusal("it joins states along another axis than directions or features")
    return [replace(values[-1], parts=tuple(part for value in values for part in value.parts))]


def shape(node, value, reader, attributes):
    """Return the sizes of a sequence: tokens, or numbers where the graph has them."""
    if not isinstance(value, Flow | State):
        raise Refusal("it asks for the sizes of other things than sequences")
    sizes = []
    for token in value.axes:
        known = _size(value, token, reader)
        sizes.append(token if known is None else known)
    cut = slice(attributes.get("start", 0), attributes.get("end"))
    array = np.empty(len(sizes), object)
    array[:] = sizes
    return [Sizes(array[cut])]


def _sizes(node, array, reader, attributes):
    """Return the output of a node that moves sizes about."""
    kind = node.op_type
    if kind in ("Identity", "Cast"):
        return [Sizes(array)]
    if kind == "Gather":
        picked = array[reader.constant(node.input[1])]
        if isinstance(picked, tuple):  # a token, which NumPy would take for a sequence
            token, picked = picked, np.empty((), object)
            picked[()] = token
        return [Sizes(np.asarray(picked, object))]
    if kind == "Slice":
        return [Sizes(array[_bounds(node, reader, attributes).get(0, slice(None))])]
    if kind in ("Squeeze", "Unsqueeze", "Reshape"):
        return [Sizes(array.reshape(-1) if kind != "Squeeze" else array.reshape(()))]
    if kind == "Mul":
        return [Sizes(_product(array, reader.sizes(node.input[1])))]
    raise Refusal("it computes with sizes")


def _product(array, others):
    """Return sizes multiplied one by one, where numbers are known."""
    found = np.empty(len(others), object)
    for k, pair in enumerate(zip(array.reshape(-1), others, strict=True)):
        if not all(isinstance(size, int) for size in pair):
            raise Refusal("it multiplies sizes that are open")
        found[k] = pair[0] * pair[1]
    return found


def expand(node, reader, attributes):
    """Return a constant that an Expand repeats along axes of size 1."""
    return [Repeated(reader.constant(node.input[0]))]


def _repeated(node, array, reader, attributes):
    """Return the outputs of a node that picks layers out of learned states."""
    if node.op_type == "Identity":
        return [Repeated(array)]
    if node.op_type == "Slice":
        return [Repeated(array[_bounds(node, reader, attributes)[0]])]
    if node.op_type == "Split" and attributes.get("axis", 0) == 0:
        counts = reader.constant(node.input[1]) if len(node.input) > 1 else attributes.get("split")
        ends = len(node.output) if counts is None else np.cumsum(counts)[:-1]
        return [Repeated(part) for part in np.split(array, ends)]
    raise Refusal("it moves a constant that is repeated")


_MOVES = {
    "Identity": _identity, "Dropout": _identity, "Cast": _cast, "Transpose": _transpose, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze, "Reshape": _reshape, "Flatten": _flatten, "Gather": _gather, "Slice": _slice,
    "Split": _split,
}  # fmt: skip
MOVES = tuple(_MOVES)
OF_SIZES = (*MOVES, "Mul")


def makes_zeros(node, reader, attributes):
    """Whether a node gives zeros, of whatever shape, as exporters write initial states."""
    if node.op_type == "ConstantOfShape":
        return "value" not in attributes or not reader.tensor(attributes["value"]).any()
    if node.op_type not in KEEP_ZEROS:
        return False
    data = list(node.input) if node.op_type in ("Concat", "Mul") else list(node.input[:1])
    are_zeros = [reader.is_zero(name) for name in data]
    return any(are_zeros) if node.op_type == "Mul" else all(are_zeros)


ZEROS = Zeros()
