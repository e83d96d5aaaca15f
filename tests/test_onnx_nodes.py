"""Recurrent nodes of ONNX on our kernels, against ONNX Runtime and against the text of the operators."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnx_agreement
import onnx_text
from onnx import helper

from fastrnn.onnx import run_node


def node_of(kind, inputs, n_outputs=2, **attributes):
    return helper.make_node(kind, inputs, [f"y{k}" for k in range(n_outputs)], name="rec", **attributes)


def drawn(rng, kind="LSTM", directions=1, steps=6, rows=3, dtype=np.float32):
    gates, hidden = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 5
    shapes = {"X": (steps, rows, 2), "W": (directions, gates * hidden, 2), "R": (directions, gates * hidden, hidden)}
    return {name: (0.4 * rng.standard_normal(shape)).astype(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("seed", range(80))
def test_random_node_agrees_with_onnxruntime_and_the_text(seed):
    pytest.importorskip("onnxruntime")
    _, from_text, from_runtime = onnx_agreement.differences(seed)
    assert from_text < onnx_agreement.TOLERANCE
    assert from_runtime is None or from_runtime < onnx_agreement.TOLERANCE


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_float64_is_computed_in_float64(kind, direction, rng):
    given = drawn(rng, kind, 2 if direction == "bidirectional" else 1, dtype=np.float64)
    found = run_node(node_of(kind, list(given), direction=direction), list(given.values()))
    expected = onnx_text.run(kind, {"direction": direction}, given)
    for array, name in zip(found, ("Y", "Y_h")):
        assert array.dtype == np.float64
        assert np.abs(array - expected[name]).max() < 1e-13


def test_float16_comes_back_in_float16(rng):
    given = drawn(rng, "GRU", dtype=np.float16)
    (y, _) = run_node(node_of("GRU", list(given)), list(given.values()))
    assert y.dtype == np.float16
    assert np.abs(y - onnx_text.run("GRU", {}, given)["Y"]).max() < 1e-3


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("shape", [(6, 0), (0, 3), (0, 0)], ids=str)
def test_empty_batches_and_sequences_give_empty_outputs(kind, shape, rng):
    given = drawn(rng, kind, 2)
    given["X"] = np.zeros((*shape, 2), np.float32)
    found = run_node(node_of(kind, list(given), direction="bidirectional"), list(given.values()))
    assert [a.shape for a in found] == [(shape[0], 2, shape[1], 5), (2, shape[1], 5)]


def test_row_of_length_0_keeps_its_initial_state(rng):
    given = drawn(rng, "GRU") | {"sequence_lens": np.array([0, 6, 2], np.int32)}
    given["initial_h"] = rng.standard_normal((1, 3, 5)).astype(np.float32)
    y, y_h = run_node(node_of("GRU", ["X", "W", "R", "", "sequence_lens", "initial_h"]), _with_gap(given))
    assert (y_h[:, 0] == given["initial_h"][:, 0]).all()
    assert not y[:, :, 0].any()


def _with_gap(given):
    return [given.get(name) for name in ("X", "W", "R", "B", "sequence_lens", "initial_h")]


def test_padding_is_not_read(rng):
    given = drawn(rng, "GRU", 2) | {"sequence_lens": np.array([4, 6, 1], np.int32)}
    node = node_of("GRU", ["X", "W", "R", "", "sequence_lens"], direction="bidirectional")
    expected = run_node(node, _with_gap(given)[:5])
    given["X"] = np.where(np.arange(6)[:, None, None] < given["sequence_lens"][:, None], given["X"], np.nan)
    for found, value in zip(run_node(node, _with_gap(given)[:5]), expected):
        assert (found == value).all()


def test_defaults_of_alpha_and_beta_are_those_of_the_text(rng):
    for name in onnx_text.DEFAULT_PARAMETERS:
        given = drawn(rng, "RNN")
        found = run_node(node_of("RNN", list(given), activations=[name]), list(given.values()))
        expected = onnx_text.run("RNN", {"activations": [name]}, given)
        assert np.abs(found[0] - expected["Y"]).max() < 1e-5, name


def test_outputs_that_are_not_asked_for_may_lack(rng):
    given = drawn(rng)
    node = helper.make_node("LSTM", list(given), ["", "h"])
    assert len(run_node(node, list(given.values()))) == 2
    node = helper.make_node("LSTM", list(given), ["y"])
    assert len(run_node(node, list(given.values()))) == 1


# quantised


def quantised(rng, per_channel, directions=2):
    given = drawn(rng, "LSTM", directions)
    made = {"X": given["X"]}
    for name in "WR":
        weights = given[name].swapaxes(1, 2)
        largest = (
            np.abs(weights).max(axis=1, keepdims=True) if per_channel else np.abs(weights).max((1, 2), keepdims=True)
        )
        scale = (largest / 127).astype(np.float32)
        made[name] = np.round(weights / scale).astype(np.int8)
        made[f"{name}_scale"] = scale.reshape(scale.shape[:: 2 if per_channel else 3])
        made[f"{name}_zero_point"] = np.zeros(made[f"{name}_scale"].shape, np.int8)
    names = ["X", "W", "R", "", "", "", "", "", "W_scale", "W_zero_point", "R_scale", "R_zero_point"]
    node = helper.make_node(
        "DynamicQuantizeLSTM", names, ["Y", "Y_h", "Y_c"], domain="com.microsoft", hidden_size=5,
        direction="bidirectional" if directions == 2 else "forward",
    )  # fmt: skip
    return node, made, [made.get(name) for name in names]


@pytest.mark.parametrize("per_channel", [False, True])
def test_dynamic_quantize_lstm_is_the_lstm_of_its_dequantised_weights(per_channel, rng):
    node, made, inputs = quantised(rng, per_channel)
    float_weights = {}
    for name in "WR":
        scale = made[f"{name}_scale"].astype(np.float64)
        scale = scale[:, None] if per_channel else scale[:, None, None]
        float_weights[name] = (made[name] * scale).swapaxes(1, 2)
    expected = onnx_text.run("LSTM", {"direction": "bidirectional"}, {"X": made["X"], **float_weights})
    for found, value in zip(run_node(node, inputs), expected.values()):
        assert np.abs(found - value).max() < 1e-6


@pytest.mark.parametrize("per_channel", [False, True])
def test_dynamic_quantize_lstm_is_near_onnxruntimes_which_rounds_x(per_channel, rng):
    ort = pytest.importorskip("onnxruntime")
    node, made, inputs = quantised(rng, per_channel)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, made["X"].shape)],
        [helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(a, n) for n, a in made.items() if n != "X"],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"X": made["X"]})
    assert np.abs(run_node(node, inputs)[0] - expected).max() < 0.02


# what does not fit


@pytest.mark.parametrize(
    "kind, attributes, message",
    [
        ("LSTM", {"direction": "backward"}, "direction = 'backward', expected one of 'forward'"),
        ("LSTM", {"activations": ["Tanh"]}, "expected 3 names"),
        ("GRU", {"activations": ["Tanh", "Gelu"]}, "the activation 'Gelu'"),
        ("GRU", {"clip": -1.0}, "clip = -1.0, expected a number > 0"),
        ("GRU", {"layout": 2}, "layout = 2, expected 0 or 1"),
        ("RNN", {"linear_before_reset": 1}, "the attribute 'linear_before_reset'"),
        ("LSTM", {"hidden_size": 7}, "R of node 'rec' .LSTM. has shape .1, 20, 5., expected hidden_size = 7"),
        ("LSTM", {"direction": "bidirectional"}, r"W of .* expected \(2, 20, 2\)"),
        ("LSTM", {"clip": 1}, "clip of another type"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(kind, attributes, message, rng):
    given = drawn(rng, kind)
    with pytest.raises(ValueError, match=message):
        run_node(node_of(kind, list(given), **attributes), list(given.values()))


def test_shapes_that_do_not_fit_are_refused(rng):
    given = drawn(rng, "GRU")
    node = node_of("GRU", ["X", "W", "R", "B"])
    with pytest.raises(ValueError, match=r"B of node 'rec' \(GRU\) has shape \(1, 15\), expected \(1, 30\)"):
        run_node(node, [*given.values(), np.zeros((1, 15), np.float32)])
    with pytest.raises(ValueError, match=r"X of node 'rec' \(GRU\) has shape \(6, 3, 1\), expected .* input_size = 2"):
        run_node(node, [given["X"][..., :1], given["W"], given["R"], None])
    with pytest.raises(ValueError, match=r"lengths\[1\] is 7"):
        run_node(node_of("GRU", ["X", "W", "R", "", "n"]), [*given.values(), None, np.array([1, 7, 1], np.int32)])
    with pytest.raises(ValueError, match=r"initial_h of .* has shape \(1, 2, 5\), expected \(1, 3, 5\)"):
        run_node(node_of("GRU", ["X", "W", "R", "", "", "h"]), [*given.values(), None, None, np.zeros((1, 2, 5), "f")])


def test_other_nodes_are_refused(rng):
    with pytest.raises(ValueError, match="expected LSTM, GRU or RNN"):
        run_node(helper.make_node("Relu", ["x"], ["y"]), [np.zeros(3)])
    with pytest.raises(ValueError, match="inputs has 1 entries, expected those of the node, 3"):
        run_node(node_of("GRU", ["X", "W", "R"]), [np.zeros((1, 1, 1))])
    with pytest.raises(ValueError, match="lacks the input R"):
        run_node(node_of("GRU", ["X", "W"]), [np.zeros((1, 1, 1))] * 2)
