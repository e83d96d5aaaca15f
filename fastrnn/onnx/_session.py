"""Whole graphs: recurrent nodes on our kernels, the rest by another runtime."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from .._core import native
from .._validation import check_choice, check_names, check_size
from ..io._onnx_file import import_onnx, read_model
from ..io._onnx_fold import Constants
from ..io._onnx_node import is_recurrent, read_cell
from ._node import Runner
from ._segments import RUNTIMES, Segment, has_recurrent_inside, levels, names_used


class Session:
    """An ONNX model that is ready to run: its recurrent nodes on our kernels, all others by another runtime.

    The graph is cut at the recurrent nodes. Their weights may be constants, or computed by other nodes of constants
    (Concat, Slice, Transpose, Cast, DequantizeLinear, ...), which is done once.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        Nothing in it is executed while it is read. At most 2 GB.
    runtime : {"onnxruntime", "reference"}, optional
        Who runs the other nodes: ONNX Runtime (which runs recurrent nodes within If, Loop and Scan itself), or the
        reference evaluator of the package onnx, which is slow (there such nodes run on our kernels too). By default
        ONNX Runtime where it is installed.
    n_threads : int, optional
        At most so many.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Names, in the order of the graph; weights are not among the inputs.
    runtime : str

    Raises
    ------
    ValueError
        Where it is no ONNX model, or a recurrent node has attributes or weights that do not fit.

    Examples
    --------
    ::

        session = fastrnn.onnx.Session("vad.onnx")
        speech, h, c = session.run({"input": x, "h": h, "c": c})
        print(session.summary())
    """

    def __init__(self, model, *, runtime=None, n_threads=None):
        if runtime is None:
            runtime = "onnxruntime" if find_spec("onnxruntime") else "reference"
        self.runtime = check_choice("runtime", runtime, RUNTIMES)
        self._n_threads = None if n_threads is None else check_size("n_threads", n_threads)
        proto, self._name = read_model(model)
        weights = {tensor.name for tensor in proto.graph.initializer}
        self._types = {value.name: _type_of(value) for value in proto.graph.input if value.name not in weights}
        self.inputs, self.outputs = tuple(self._types), tuple(value.name for value in proto.graph.output)
        self._check_values(proto.graph, weights)
        constants = Constants(proto, self._name)
        self._fixed = {name: constants.array(name) for name in self.outputs if name in weights}
        self._steps = self._planned(proto, constants)

    def _check_values(self, graph, weights):
        known = {*self.inputs, *weights, *(tensor.values.name for tensor in graph.sparse_initializer)}
        for node in graph.node:
            unknown = names_used(node) - known
            if unknown:
                first = min(map(str, unknown))
                raise ValueError(
                    f"{self._name}: node {node.name!r} ({node.op_type}) reads {first!r}, which no node before it gives"
                )
            known.update(filter(None, node.output))
        lacking = set(self.outputs) - known
        if lacking:
            raise ValueError(f"{self._name}: no node gives the output {min(map(str, lacking))!r}")

    def _planned(self, proto, constants):
        """Return Runners and Segments in the order in which to run them."""
        nodes = list(proto.graph.node)
        own = {k: _runner(node, constants) for k, node in enumerate(nodes) if is_recurrent(node)}
        reads = {k: set(own[k].asks_for) if k in own else names_used(node) for k, node in enumerate(nodes)}
        live = _live(nodes, reads, set(self.outputs))
        steps, level_of = [], levels(nodes)
        for level in range(max(level_of) + 1):
            here = [k for k in live if level_of[k] == level]
            others = [k for k in here if k not in own]
            if others:
                wanted = set(self.outputs).union(*(reads[k] for k in live if k not in others))
                outputs = [name for k in others for name in nodes[k].output if name in wanted]
                steps.append(Segment(proto, [nodes[k] for k in others], outputs, self.runtime, self._n_threads))
            steps += [own[k] for k in here if k in own]
        return steps

    def run(self, inputs):
        """Run the model.

        Parameters
        ----------
        inputs : mapping of str to array_like, or sequence of array_like
            By name, or in the order of `inputs`. Numbers are converted to the type that the model declares.

        Returns
        -------
        list of ndarray
            In the order of `outputs`.

        Raises
        ------
        ValueError
            Where an input is missing or unexpected, or a shape does not fit a recurrent node.
        """
        values = self._read(inputs) | self._fixed
        for step in self._steps:
            if isinstance(step, Segment):
                step.run(values)
            else:
                given = [values.get(name) for name in step.inputs]
                values.update(zip(step.outputs, step.run(given, self._n_threads)))
        return [values[name] for name in self.outputs]

    def _read(self, inputs):
        if not hasattr(inputs, "keys"):
            if len(inputs) != len(self.inputs):
                raise ValueError(f"inputs has {len(inputs)} entries, expected {len(self.inputs)}: {list(self.inputs)}")
            inputs = dict(zip(self.inputs, inputs))
        check_names("inputs", inputs, self.inputs)
        return {name: _converted(inputs[name], declared) for name, declared in self._types.items()}

    def summary(self):
        """Return a text that says which nodes run where.

        Returns
        -------
        str
        """
        runners = [step for step in self._steps if not isinstance(step, Segment)]
        others = [node for step in self._steps if isinstance(step, Segment) for node in step.nodes]
        inside = [node for node in others if has_recurrent_inside(node)]
        elsewhere = "ONNX Runtime" if self.runtime == "onnxruntime" else "our kernels"
        lines = [f"Session({self._name}, runtime={self.runtime!r})", f"kernels: native {native.isa()}"]
        lines += [f"  {runner.described}" for runner in runners]
        lines.append(f"{self.runtime}: {len(others)} other nodes")
        lines += [f"  recurrent nodes within {node.op_type} {node.name!r}: {elsewhere}" for node in inside]
        lines += [
            f"note: {runner.cell.where} is computed in float32 with its weights dequantised"
            for runner in runners
            if runner.cell.quantised
        ]
        return "\n".join(lines)


def _runner(node, constants):
    """Return the Runner of a node, with those of its inputs that are constants."""
    names = [(name, value) for name, value in zip(read_cell(node).inputs, node.input) if value and name != "X"]
    return Runner(node, {name: constants.array(value) for name, value in names if constants.has(value)})


def _live(nodes, reads, wanted):
    """Return the places of the nodes that the values in `wanted` need, in order."""
    live = []
    for k in reversed(range(len(nodes))):
        if wanted.intersection(filter(None, nodes[k].output)):
            live.append(k)
            wanted = wanted | reads[k]
    return live[::-1]


def _type_of(value):
    """Return what an input of a graph declares: list for a sequence, a dtype, or None where numbers stay."""
    onnx = import_onnx()
    if value.type.HasField("sequence_type"):
        return list
    declared = value.type.tensor_type.elem_type
    if declared in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return None
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(declared)
    except KeyError:
        raise ValueError(f"the input {value.name!r} has an element type {declared} unknown to ONNX") from None


def _converted(value, declared):
    """Return an input in the type that the model declares, as `_type_of` gives it: an array, or a list of them."""
    if declared is list:
        return [np.asarray(part) for part in value]
    array = np.asarray(value)
    if declared is None or array.dtype == declared or array.dtype.kind not in "biuf":
        return array
    return array.astype(declared)


def run_model(model, inputs, *, runtime=None, n_threads=None):
    """Run an ONNX model once, its recurrent nodes on our kernels.

    Parameters
    ----------
    model, runtime, n_threads
        As of `Session`, which is to be made once where a model runs often.
    inputs
        As of `Session.run`.

    Returns
    -------
    list of ndarray
        In the order of the graph's outputs.

    Raises
    ------
    ValueError
        As `Session` and `Session.run`.

    Examples
    --------
    ::

        speech, h, c = fastrnn.onnx.run_model("vad.onnx", {"input": x, "h": h, "c": c})
    """
    return Session(model, runtime=runtime, n_threads=n_threads).run(inputs)
