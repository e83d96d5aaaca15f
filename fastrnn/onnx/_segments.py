"""The pieces of a graph between its recurrent nodes, and who runs them."""

from __future__ import annotations

import numpy as np

from ..io._onnx_file import graphs_of, import_onnx
from ..io._onnx_node import is_recurrent
from ._node import Runner


def names_used(node):
    """Return the names of values of the graph that a node reads, those of the graphs within it included."""
    used = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
            for inner in graph.node:
                used |= names_used(inner) - own
                own |= set(inner.output)
            used |= {value.name for value in graph.output} - own
    return used


def has_recurrent_inside(node):
    """Whether a graph within a node has a recurrent node."""
    graphs = [g for a in node.attribute for g in (*([a.g] if a.HasField("g") else []), *a.graphs)]
    return any(is_recurrent(n) for graph in graphs for g in graphs_of(graph) for n in g.node)


def levels(nodes):
    """Return for each node how many recurrent nodes must have run before it, itself not counted."""
    after, found = {}, []
    for node in nodes:
        level = max((after.get(name, 0) for name in names_used(node)), default=0)
        found.append(level)
        after.update(dict.fromkeys(filter(None, node.output), level + is_recurrent(node)))
    return found


class Segment:
    """Nodes that run one after another in another runtime.

    Parameters
    ----------
    model : onnx.ModelProto
        Of which they are; its initialisers go along where they are read.
    nodes : list of onnx.NodeProto
    outputs : list of str
        What others read of theirs.
    runtime : {"onnxruntime", "reference"}
    n_threads : int or None
    """

    def __init__(self, model, nodes, outputs, runtime, n_threads):
        used = set().union(*map(names_used, nodes))
        made = {name for node in nodes for name in node.output}
        self._tensors = [tensor for tensor in model.graph.initializer if tensor.name in used]
        self._sparse = [tensor for tensor in model.graph.sparse_initializer if tensor.values.name in used]
        held = {tensor.name for tensor in self._tensors} | {tensor.values.name for tensor in self._sparse}
        self._model, self.nodes, self.outputs = model, nodes, outputs
        self.inputs = sorted(used - made - held)
        self.start, self.n_threads = _RUNTIMES[runtime], n_threads
        self._running: dict = {}

    def run(self, values):
        """Add the outputs to the dict `values`."""
        given = {name: values[name] for name in self.inputs}
        ranks = tuple(None if isinstance(value, list) else np.ndim(value) for value in given.values())
        running = self._running.get(ranks)
        if running is None:  # only now are the types of what comes in known
            running = self._running[ranks] = self.start(self, given)
        values.update(zip(self.outputs, running(given), strict=True))

    def proto(self, given):
        """Return the segment as a model, its inputs typed after the values `given`."""
        onnx = import_onnx()
        graph = onnx.helper.make_graph(
            self.nodes, "segment", [_typed(onnx, name, value) for name, value in given.items()],
            [onnx.ValueInfoProto(name=name) for name in self.outputs], self._tensors,
            sparse_initializer=self._sparse,
        )  # fmt: skip
        model = onnx.helper.make_model(graph, opset_imports=self._model.opset_import)
        model.ir_version = max(self._model.ir_version, 4)
        return model


def _typed(onnx, name, value):
    """Return the description of a graph's input that takes values like this one."""
    if isinstance(value, list):
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.asarray(value[0]).dtype) if value else onnx.TensorProto.FLOAT
        return onnx.helper.make_tensor_sequence_value_info(name, kind, None)
    dtype = np.asarray(value).dtype
    kind = onnx.TensorProto.STRING if dtype.kind in "OUS" else onnx.helper.np_dtype_to_tensor_dtype(dtype)
    return onnx.helper.make_tensor_value_info(name, kind, [None] * np.ndim(value))


def _onnxruntime(segment, given):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # its idle threads would spin while the kernels work
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if segment.n_threads is not None:
        options.intra_op_num_threads = segment.n_threads
    data = segment.proto(given).SerializeToString()
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"ONNX Runtime does not take the nodes beside the recurrent ones: {error}") from None
    return lambda values: session.run(segment.outputs, values)


def _reference(segment, given):
    from onnx.reference import ReferenceEvaluator

    model = segment.proto(given)
    _name_all_outputs(model.graph)
    session = ReferenceEvaluator(model, new_ops=_operators())
    return lambda values: session.run(segment.outputs, values)


def _name_all_outputs(graph):
    """Give a name to every output of the recurrent nodes within a graph: the evaluator takes "" for a value."""
    count = 0
    for inner in graphs_of(graph):
        for node in filter(is_recurrent, inner.node):
            for k, name in enumerate(node.output):
                if not name:
                    count += 1
                    node.output[k] = f"_unused_{count}"


def _operators():
    """Return our recurrent operators, for those within bodies of If, Loop and Scan, as the evaluator wants them."""
    from onnx.reference.op_run import OpRun

    def run(self, *inputs, **attributes):
        if not hasattr(self, "_runner"):
            self._runner = Runner(self.onnx_node)
        return tuple(self._runner.run(inputs))

    domains = {"LSTM": "", "GRU": "", "RNN": "", "DynamicQuantizeLSTM": "com.microsoft"}
    return [type(name, (OpRun,), {"op_domain": domain, "_run": run}) for name, domain in domains.items()]


_RUNTIMES = {"onnxruntime": _onnxruntime, "reference": _reference}
RUNTIMES = tuple(_RUNTIMES)
