"""Whole ONNX graphs with their recurrent nodes on our kernels, against ONNX Runtime over the whole graph."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper

import fastrnn.onnx
from fastrnn.onnx import Session, run_model

RUNTIMES = ["onnxruntime", "reference"]
N, T, I, H = 3, 6, 2, 5


def value(name, shape=None, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes, inputs, outputs, weights, opset=17, **options):
    tensors = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **options)


def by_onnxruntime(model, feeds):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def weights_of(rng, kind, input_size=I, directions=1):
    rows = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind] * H
    shapes = {"W": (directions, rows, input_size), "R": (directions, rows, H), "B": (directions, 2 * rows)}
    return {f"{kind}.{n}": (0.4 * rng.standard_normal(s)).astype(np.float32) for n, s in shapes.items()}


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert np.abs(a - b).max() < 1e-5


def branching(rng):
    """An LSTM and a GRU side by side, both behind an RNN, their sum, an unused branch, and a weight as an output."""
    weights = weights_of(rng, "RNN") | weights_of(rng, "LSTM", H) | weights_of(rng, "GRU", H)
    weights |= {"one": np.array([1], np.int64), "half": np.float32(0.5), "M": rng.standard_normal((I, I)).astype("f")}
    nodes = [
        helper.make_node("MatMul", ["x", "M"], ["mixed"]),
        helper.make_node("RNN", ["mixed", "RNN.W", "RNN.R", "RNN.B"], ["a4"], name="first", hidden_size=H),
        helper.make_node("Squeeze", ["a4", "one"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node(
            "LSTM", ["b", "LSTM.W", "LSTM.R", "LSTM.B", "", "h0"], ["", "", "c"], hidden_size=H, direction="reverse"
        ),
        helper.make_node("GRU", ["a", "GRU.W", "GRU.R", "GRU.B"], ["g4", "g"], hidden_size=H, linear_before_reset=1),
        helper.make_node("Add", ["c", "g"], ["sum"]),
        helper.make_node("Mul", ["sum", "half"], ["y"]),
        helper.make_node("Exp", ["g4"], ["unused"]),
    ]
    inputs = [value("x", ["T", N, I]), value("h0", [1, N, H])]
    model = model_of(nodes, inputs, [value("y"), value("c"), value("M")], weights)
    x, h_0 = rng.standard_normal((T, N, I)).astype(np.float32), rng.standard_normal((1, N, H)).astype(np.float32)
    return model, {"x": x, "h0": h_0}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_graph_with_branches_gives_the_same(runtime, rng):
    model, feeds = branching(rng)
    expected = by_onnxruntime(model, feeds)
    assert_same(run_model(model, feeds, runtime=runtime), expected)
    session = Session(model, runtime=runtime)
    assert session.inputs == ("x", "h0") and session.outputs == ("y", "c", "M")
    assert_same(session.run([feeds["x"], feeds["h0"]]), expected)
    assert_same(session.run({"x": feeds["x"].astype(np.float64), "h0": feeds["h0"]}), expected)
    summary = session.summary()
    assert "node 'first' (RNN), forward: RNN(2, 5)" in summary and f"{runtime}: 5 other nodes" in summary


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_weights_that_other_nodes_compute_of_constants_are_folded(runtime, rng):
    own = weights_of(rng, "LSTM")
    w, r, b = own.values()
    scale = np.float32(0.01)
    zero = np.int8(3)
    quantised = np.clip(np.round(r[0] / scale) + zero, -128, 127).astype(np.int8)
    weights = {"W1": w[0, :8].T.copy(), "W2": w[0, 8:].T.copy(), "R8": quantised, "scale": scale, "zero": zero}
    weights |= {"B16": b[0].astype(np.float16), "axis": np.array([0], np.int64), "begin": np.array([1], np.int64)}
    weights |= {"end": np.array([9], np.int64), "padded": np.concatenate([np.zeros((1, 8), "f"), b[:, :8]], axis=1)}
    nodes = [
        helper.make_node("Concat", ["W1", "W2"], ["Wt"], axis=1),
        helper.make_node("Transpose", ["Wt"], ["W_"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["W_", "axis"], ["W"]),
        helper.make_node("DequantizeLinear", ["R8", "scale", "zero"], ["R_"]),
        helper.make_node("Unsqueeze", ["R_", "axis"], ["R"]),
        helper.make_node("Cast", ["B16"], ["B_"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["B_", "axis"], ["B"]),
        helper.make_node("LSTM", ["x", "W", "R", "B"], ["Y", "Y_h"], name="lstm", hidden_size=H),
    ]
    model = model_of(nodes, [value("x", [T, N, I])], [value("Y"), value("Y_h")], weights)
    feeds = {"x": rng.standard_normal((T, N, I)).astype(np.float32)}
    session = Session(model, runtime=runtime)
    assert "0 other nodes" in session.summary() and "LSTM(2, 5)" in session.summary()
    assert_same(session.run(feeds), by_onnxruntime(model, feeds))


def test_weights_may_be_inputs_and_change(rng):
    own = weights_of(rng, "GRU")
    node = helper.make_node("GRU", ["x", *own], ["Y"], hidden_size=H)
    model = model_of([node], [value("x"), *(value(name, list(a.shape)) for name, a in own.items())], [value("Y")], {})
    session = Session(model)
    x = rng.standard_normal((T, N, I)).astype(np.float32)
    for _ in range(3):
        assert_same(session.run({"x": x, **own}), by_onnxruntime(model, {"x": x, **own}))
        own["GRU.W"] *= np.float32(0.5)  # in place: what was made of it before must not be used again
    assert "weights are inputs" in session.summary()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_recurrent_nodes_within_bodies_run(runtime, rng):
    own = weights_of(rng, "LSTM")
    then = helper.make_graph(
        [helper.make_node("LSTM", ["x", *own], ["", "inner"], name="inside", hidden_size=H)],
        "then",
        [],
        [value("inner")],
    )
    other = helper.make_graph([helper.make_node("Identity", ["zero"], ["o"])], "else", [], [value("o")])
    nodes = [
        helper.make_node("If", ["yes"], ["a"], then_branch=then, else_branch=other, name="choice"),
        helper.make_node("LSTM", ["x", *own, "", "a"], ["", "y"], hidden_size=H),
    ]
    weights = own | {"zero": np.zeros((1, N, H), np.float32)}
    model = model_of(nodes, [value("x", [T, N, I]), value("yes", [], TensorProto.BOOL)], [value("y")], weights)
    session = Session(model, runtime=runtime)
    x = rng.standard_normal((T, N, I)).astype(np.float32)
    for yes in (True, False):
        feeds = {"x": x, "yes": np.array(yes)}
        assert_same(session.run(feeds), by_onnxruntime(model, feeds))
    elsewhere = "our kernels" if runtime == "reference" else "ONNX Runtime"
    assert f"recurrent nodes within If 'choice': {elsewhere}" in session.summary()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_layout_1_and_float64_run_where_onnxruntime_refuses_them(runtime, rng):
    import onnx_text

    given = {name[4:]: a.astype(np.float64) for name, a in weights_of(rng, "GRU").items()}
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("GRU", ["a", "W", "R", "B"], ["b"], layout=1),
        helper.make_node("Neg", ["b"], ["y"]),
    ]
    inputs, outputs = [value("x", kind=TensorProto.DOUBLE)], [value("y", kind=TensorProto.DOUBLE)]
    x = rng.standard_normal((N, T, I))
    (found,) = run_model(model_of(nodes, inputs, outputs, given), {"x": x}, runtime=runtime)
    assert np.abs(found + onnx_text.run("GRU", {"layout": 1}, {"X": -x, **given})["Y"]).max() < 1e-13


def test_sizes_may_differ_from_call_to_call(rng):
    model, feeds = branching(rng)
    session = Session(model)
    for steps in (1, 9, 4):
        feeds["x"] = rng.standard_normal((steps, N, I)).astype(np.float32)
        assert_same(session.run(feeds), by_onnxruntime(model, feeds))


def test_session_serves_many_threads_at_once(rng):
    model, feeds = branching(rng)
    session, expected = Session(model), by_onnxruntime(model, feeds)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: session.run(feeds), range(40)):
            assert_same(found, expected)


def test_local_functions_are_put_in_place(rng):
    own = weights_of(rng, "RNN")
    body = [helper.make_node("RNN", ["i", "w", "r", "b"], ["o"], hidden_size=H)]
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "Layer", ["i", "w", "r", "b"], ["o"], body, opsets)
    model = model_of(
        [helper.make_node("Layer", ["x", *own], ["y"], domain="own")], [value("x", [T, N, I])], [value("y")], own,
        functions=[function],
    )  # fmt: skip
    model.opset_import.append(helper.make_opsetid("own", 1))
    session = Session(model)
    assert "RNN(2, 5)" in session.summary()
    feeds = {"x": rng.standard_normal((T, N, I)).astype(np.float32)}
    assert_same(session.run(feeds), by_onnxruntime(model, feeds))


def test_what_is_missing_or_unknown_is_said(rng):
    model, feeds = branching(rng)
    with pytest.raises(ValueError, match="inputs lacks 'h0'"):
        run_model(model, {"x": feeds["x"]})
    with pytest.raises(ValueError, match="inputs has 1 entries, expected 2"):
        run_model(model, [feeds["x"]])
    with pytest.raises(ValueError, match="runtime is 'tflite'"):
        Session(model, runtime="tflite")
    model.graph.node[3].input[0] = "nothing"
    with pytest.raises(ValueError, match=r"node '' \(Tanh\) reads 'nothing', which no node before it gives"):
        Session(model)
    bad = helper.make_node("Nonsense", ["x"], ["y"])
    with pytest.raises(ValueError, match="ONNX Runtime does not take the nodes"):
        run_model(model_of([bad], [value("x")], [value("y")], {}), {"x": np.zeros(3)}, runtime="onnxruntime")


def test_backend_names_its_device():
    backend = fastrnn.onnx.backend
    assert issubclass(backend, onnx.backend.base.Backend)
    assert backend.supports_device("CPU") and not backend.supports_device("CUDA")
    with pytest.raises(ValueError, match="device is 'CUDA', expected 'CPU'"):
        backend.prepare(onnx.ModelProto(), "CUDA")
    with pytest.raises(AttributeError):
        fastrnn.onnx.nothing  # noqa: B018
