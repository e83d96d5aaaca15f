"""Constants of an ONNX graph: initialisers, and what nodes compute of constants alone.

Only nodes that move, convert or combine numbers are computed, by onnx's reference evaluator, and only where the result
is of a size that weights have: a small file cannot ask for much memory.
"""

from __future__ import annotations

import math

import numpy as np

from ._onnx_file import array_of, import_onnx, opset_of

MAX_NUMBERS = 2**28  # of one computed constant
_MOVES = ("Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split", "Concat", "Shape")
_GROWS = ("ConstantOfShape", "Expand", "Tile", "Gather")
_COMPUTES = (
    "Cast",
    "DequantizeLinear",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Abs",
    "Sqrt",
    "Reciprocal",
    "Equal",
    "Where",
)
FOLDABLE = (*_MOVES, *_GROWS, *_COMPUTES)


class Constants:
    """The constants of a graph by name, computed when asked for.

    Parameters
    ----------
    model : onnx.ModelProto
    name : str
        How errors name it.
    """

    def __init__(self, model, name):
        self._name, self._opset = name, opset_of(model)
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._producers, self._arrays = {}, {}
        for node in model.graph.node:  # in the order of the graph, in which no node reads what a later one gives
            if _foldable(node) and all(self.has(name) for name in node.input if name):
                for output in node.output:
                    self._producers.setdefault(output, node)

    def has(self, value):
        """Whether a value is constant."""
        return value in self._tensors or value in self._producers

    def array(self, value):
        """Return a constant's numbers, read-only."""
        pending = [value]
        while pending:
            current = pending[-1]
            if current in self._arrays:
                pending.pop()
                continue
            if current in self._tensors:
                self._arrays[current] = array_of(self._tensors[current], self._name)
                continue
            node = self._producers[current]
            missing = [name for name in node.input if name and name not in self._arrays]
            if missing:
                pending += missing
            else:
                found = evaluated(node, [self._arrays.get(name) for name in node.input], self._opset, self._name)
                self._arrays.update(zip(node.output, found))
        return self._arrays[value]


def _foldable(node):
    if node.domain not in ("", "ai.onnx"):
        return False
    return node.op_type == "Constant" or node.op_type in FOLDABLE


def evaluated(node, inputs, opset, name):
    """Return the outputs of one foldable node of constants.

    Raises
    ------
    ValueError
        Where its arguments do not fit, or the result would be larger than weights are.
    """
    onnx = import_onnx()
    where = f"{name}: node {node.name!r} ({node.op_type})"
    try:
        if node.op_type == "Constant":
            return [_of_constant(onnx, node, name)]
        _check_growth(onnx, node, inputs, where)
        if node.op_type == "DequantizeLinear" and inputs[0].dtype.kind in "iu" and inputs[1].ndim < 2:
            return [_dequantised(node, *inputs)]  # the evaluator knows it from version 19 on
        graph = onnx.helper.make_graph(
            [node], "constant", [onnx.ValueInfoProto(name=n) for n in dict.fromkeys(filter(None, node.input))],
            [onnx.ValueInfoProto(name=n) for n in node.output],
        )  # fmt: skip
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
        session = onnx.reference.ReferenceEvaluator(model)
        found = session.run(None, {n: a for n, a in zip(node.input, inputs) if n})
    except Exception as error:
        raise ValueError(f"{where} of constants cannot be computed: {error}") from None
    found = [np.asarray(array) for array in found]
    for array in found:
        array.flags.writeable = False
    return found


def _of_constant(onnx, node, name):
    (attribute,) = node.attribute
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return array_of(value, name)
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    return np.asarray(value, kinds[attribute.name])


def _dequantised(node, x, scale, zero_point=None):
    """(x - zero_point) scale, one scale for all or one for each entry of an axis."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    shape = [1] * x.ndim
    if scale.size > 1:
        shape[axis] = scale.size
    centred = x.astype(np.int32) - (0 if zero_point is None else zero_point.astype(np.int32).reshape(shape))
    return centred.astype(scale.dtype) * scale.reshape(shape)


def _check_growth(onnx, node, inputs, where):
    """Refuse what would make of few numbers very many."""
    shapes = [array.shape for array in inputs if array is not None]
    kind = node.op_type
    if kind == "ConstantOfShape":
        size = math.prod(int(n) for n in inputs[0])
    elif kind == "Expand":
        size = math.prod(np.broadcast_shapes(shapes[0], tuple(int(n) for n in inputs[1])))
    elif kind == "Tile":
        size = math.prod(shapes[0]) * math.prod(int(n) for n in inputs[1])
    elif kind == "Gather":
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        size = math.prod(shapes[0]) // max(1, shapes[0][axis]) * math.prod(shapes[1])
    elif kind in _COMPUTES and kind not in ("Cast", "DequantizeLinear"):
        size = math.prod(np.broadcast_shapes(*shapes))
    else:
        size = sum(map(math.prod, shapes))
    if size > MAX_NUMBERS:
        raise ValueError(f"{where} would give {size} numbers, expected at most {MAX_NUMBERS}")
