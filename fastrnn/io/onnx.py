"""Networks from ONNX graphs that are chains of layers, and ONNX files from layers."""

from __future__ import annotations

from collections import Counter

from ..models import Network
from ._onnx_chain import Reader
from ._onnx_export import to_onnx
from ._onnx_file import read_model

__all__ = ["from_onnx", "to_onnx"]


def from_onnx(model, *, batch_first=None):
    """Make a network of an ONNX graph that is a chain of layers.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        Of recurrent nodes (LSTM, GRU, RNN; DynamicQuantizeLSTM with its weights dequantised), Gather of a table,
        MatMul and Gemm with constants, Add of a bias, Conv over time, LayerNormalization, activations, the last step,
        the last states, the mean or the maximum over time; and of nodes that only move axes about, as exporters write
        them. Weights may be computed by other nodes of constants. Nothing in the file is executed.
    batch_first : bool, optional
        Axes of the network: by default those of the graph's input.

    Returns
    -------
    Network
        Its notes say what of the graph has other names or axes there: inputs for lengths and initial states are
        arguments of `Network.run`, outputs with last states are what it returns beside y.

    Raises
    ------
    ValueError
        Where the file is damaged, or a node cannot be carried over exactly: the message names it, and
        `fastrnn.onnx.run_model` runs the graph as it is, with its recurrent nodes on our kernels.

    Examples
    --------
    ::

        net = fastrnn.from_onnx("tagger.onnx")
        print(net)
        y = net.predict(x)
    """
    if batch_first is not None and not isinstance(batch_first, bool):
        raise TypeError(f"batch_first is {batch_first!r}, expected a bool or None")
    proto, name = read_model(model)
    layer, found_first, notes = Reader(proto, name).chain()
    return Network._of(layer, found_first if batch_first is None else batch_first, notes)


def read(path):
    """Return the network of a file; `from_onnx`."""
    return from_onnx(path)


def write(network, path):
    """Write a network; `to_onnx`."""
    to_onnx(network, path)


def outline(path):
    """Return lines about a file: its operators, and its network or why there is none."""
    proto, _ = read_model(path)
    counts = Counter(node.op_type for node in proto.graph.node)
    operators = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    opsets = ", ".join(f"{opset.domain or 'ai.onnx'} {opset.version}" for opset in proto.opset_import)
    lines = [f"an ONNX graph of {len(proto.graph.node)} nodes: {operators}", f"operator sets: {opsets}"]
    try:
        return [*lines, *from_onnx(path).summary().split("\n")]
    except ValueError as error:
        return [*lines, f"no chain of layers: {error}"]
