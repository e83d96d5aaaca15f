"""Recurrent networks as ONNX models, from weights named and ordered as in torch.nn."""

from __future__ import annotations

import numpy as np

# Blocks of rows: torch's order -> ONNX's. i f g o -> i o f g; r z n -> z r n.
ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
OPERATOR = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def _reorder(cell, array):
    blocks = np.split(array, len(ORDER[cell]))
    return np.concatenate([blocks[k] for k in ORDER[cell]])


def _layer_weights(cell, params, layer, directions):
    """Return W (D, GH, I), R (D, GH, H) and B (D, 2GH) of one layer."""
    suffixes = [f"_l{layer}", f"_l{layer}_reverse"][:directions]
    w, r, b = [], [], []
    for suffix in suffixes:
        w.append(_reorder(cell, params["weight_ih" + suffix]))
        r.append(_reorder(cell, params["weight_hh" + suffix]))
        b.append(np.concatenate([_reorder(cell, params[name + suffix]) for name in ("bias_ih", "bias_hh")]))
    return np.stack(w), np.stack(r), np.stack(b)


def build(shape, params, *, lengths=False, states=False):
    """Return the bytes of a model.

    Parameters
    ----------
    shape : Shape
    params : dict of str to ndarray
        The state dict of the torch.nn layer.
    lengths : bool
        Whether there is an input `lengths` (N,) of int32.
    states : bool
        Whether there are inputs `h_0_l0`, `c_0_l0`, ... of shape (D, N, H).

    Returns
    -------
    bytes
        Input `x` (T, N, I); outputs `y_l<last>` (T, D, N, H) and every `h_l0`, `c_l0`, ... (D, N, H).
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    T, N, H, D = shape.seq_len, shape.batch_size, shape.hidden_size, shape.directions
    number = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", number, (T, N, shape.input_size))]
    inputs += [helper.make_tensor_value_info("lengths", TensorProto.INT32, (N,))] if lengths else []
    kinds = ("h", "c") if shape.cell == "lstm" else ("h",)
    constants, nodes, outputs, x = [], [], [], "x"
    for k in range(shape.num_layers):
        arrays = zip(("w", "r", "b"), _layer_weights(shape.cell, params, k, D))
        constants += [numpy_helper.from_array(array, f"{name}_l{k}") for name, array in arrays]
        initial = [f"{kind}_0_l{k}" for kind in kinds] if states else []
        inputs += [helper.make_tensor_value_info(name, number, (D, N, H)) for name in initial]
        final = [f"{kind}_l{k}" for kind in kinds]
        outputs += [helper.make_tensor_value_info(name, number, (D, N, H)) for name in final]
        options = {"linear_before_reset": 1} if shape.cell == "gru" else {}
        nodes.append(
            helper.make_node(
                OPERATOR[shape.cell],
                [x, f"w_l{k}", f"r_l{k}", f"b_l{k}", "lengths" if lengths else "", *initial],
                [f"y_l{k}", *final],
                hidden_size=H,
                direction="bidirectional" if D == 2 else "forward",
                **options,
            )
        )
        x = f"y_l{k}"
        if k + 1 < shape.num_layers:
            x = _side_by_side(nodes, constants, k, (T, N, D * H))
    outputs.insert(0, helper.make_tensor_value_info(x, number, (T, D, N, H)))
    graph = helper.make_graph(nodes, shape.label, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()


def _side_by_side(nodes, constants, layer, target):
    """Add (T, D, N, H) -> (T, N, D H), which the next layer reads; return its name."""
    from onnx import helper, numpy_helper

    constants.append(numpy_helper.from_array(np.array(target, np.int64), f"target_l{layer}"))
    nodes.append(helper.make_node("Transpose", [f"y_l{layer}"], [f"t_l{layer}"], perm=(0, 2, 1, 3)))
    nodes.append(helper.make_node("Reshape", [f"t_l{layer}", f"target_l{layer}"], [f"x_l{layer + 1}"]))
    return f"x_l{layer + 1}"
