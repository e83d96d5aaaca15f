"""The same recurrent layer in other packages, where they are installed and have it."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from ..layers import GRU, LSTM, RNN


def callables(network, x):
    """Return {package: call} for a network of one layer, which each package runs on x; else an empty dict."""
    layer, calls = network.layers[0], {}
    if len(network.layers) > 1 or type(layer) not in (LSTM, GRU, RNN):
        return calls
    for name, make in (("torch", _torch), ("onnxruntime", _onnxruntime)):
        with suppress(ImportError):
            call = make(layer, x, network.batch_first)
            calls |= {name: call} if call is not None else {}
    expected = network.run(x)[0]
    return {name: call for name, call in calls.items() if np.allclose(call(), expected, atol=1e-3)}


def _torch(layer, x, batch_first):
    import torch

    from .._threads import get_num_threads

    options = {"proj_size": layer.proj_size} if layer.proj_size else {}
    options |= {"nonlinearity": layer.nonlinearity} if isinstance(layer, RNN) else {}
    sizes = layer.input_size, layer.hidden_size, layer.num_layers
    bias = any(name.startswith("bias") for name in layer.params)
    twin = getattr(torch.nn, type(layer).__name__)(
        *sizes, bias=bias, batch_first=batch_first, bidirectional=layer.bidirectional, **options
    ).to(getattr(torch, layer.dtype.name))
    state = {name: torch.from_numpy(array) for name, array in layer.state_dict().items()}
    if state.keys() != twin.state_dict().keys():
        return None
    twin.load_state_dict(state)
    twin.eval()
    torch.set_num_threads(get_num_threads())
    tensor = torch.from_numpy(x)

    def call():
        with torch.inference_mode():
            return twin(tensor)[0].numpy()

    return call


def _onnxruntime(layer, x, batch_first):
    """A graph of one node; ONNX Runtime has float32 only, one layer a node, and neither projection nor batch_first."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    from .._threads import get_num_threads
    from ..io.gates import reorder

    kind = type(layer).__name__
    names = {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    if batch_first or layer.dtype != np.float32 or set(layer.params) != names:
        return None
    w, r, b_ih, b_hh = (reorder(layer.params[f"{n}_l0"], "torch", kind.lower(), target="onnx") for n in _KINDS)
    weights = {"w": w[None], "r": r[None], "b": np.concatenate([b_ih, b_hh])[None]}
    options = {"linear_before_reset": 1} if kind == "GRU" else {}
    options |= {"activations": [layer.nonlinearity.capitalize()]} if kind == "RNN" else {}
    node = helper.make_node(kind, ["x", "w", "r", "b"], ["y"], hidden_size=layer.hidden_size, **options)
    shapes = {"x": x.shape, "y": (x.shape[0], 1, x.shape[1], layer.hidden_size)}
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    constants = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph([node], "layer", [given], [made], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = get_num_threads()
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0][:, 0]


_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
