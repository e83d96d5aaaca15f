"""ONNX graphs that are chains of layers become networks that give the same; what is no chain is refused by name."""

import io
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper

from fastrnn import GRU, LSTM, Dense, Pool, Sequential
from fastrnn.io.onnx import from_onnx, to_onnx
from fastrnn.onnx import run_model

H = 5
INT64, INT32 = TensorProto.INT64, TensorProto.INT32


def value(name, shape=None, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes, inputs, outputs, weights, opset=17):
    for k, own in enumerate(nodes):  # ONNX Runtime wants names to differ
        own.name += " again" if own.name in [other.name for other in nodes[:k]] else ""
    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, [value(name) for name in outputs], tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def weights_of(rng, kind="LSTM", input_size=2, directions=1, hidden=H):
    rows = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind] * hidden
    shapes = {"W": (directions, rows, input_size), "R": (directions, rows, hidden), "B": (directions, 2 * rows)}
    return {n: (0.4 * rng.standard_normal(s)).astype(np.float32) for n, s in shapes.items()}


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, name=f"the {kind}", **attributes)


def by_onnxruntime(model, feeds):
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def assert_close(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5 * max(1, np.abs(expected).max())


# recurrent nodes


def test_one_node_gives_y_with_directions_side_by_side_and_says_so(rng):
    weights = weights_of(rng, directions=2)
    lstm = node("LSTM", ["x", *weights], ["Y", "Y_h", "Y_c"], hidden_size=H, direction="bidirectional")
    model = model_of([lstm], [value("x", ["T", "N", 2])], ["Y", "Y_h", "Y_c"], weights)
    network, x = from_onnx(model), normal(rng, 6, 3, 2)
    expected, y_h, y_c = by_onnxruntime(model, {"x": x})
    y, (state,) = network.run(x)
    assert_close(y, expected.transpose(0, 2, 1, 3).reshape(6, 3, 2 * H))
    assert_close(state[0], y_h)
    assert_close(state[1], y_c)
    assert "the graph's output 'Y' is (T, D, N, F); y is (T, N, F)" in network.notes
    assert "the graph's outputs 'Y_h', 'Y_c' are the state that run returns" in network.summary()


def test_variants_of_nodes_become_variants_of_layers(rng):
    weights = weights_of(rng) | {"P": normal(rng, 1, 3 * H)}
    lstm = node(
        "LSTM", ["x", "W", "R", "B", "", "", "", "P"], ["Y"], hidden_size=H, clip=0.5, input_forget=1,
        activations=["HardSigmoid", "Tanh", "Relu"], activation_alpha=[0.3],
    )  # fmt: skip
    model = model_of([lstm], [value("x", ["T", "N", 2])], ["Y"], weights)
    network, x = from_onnx(model), normal(rng, 6, 3, 2)
    (layer,) = network.layers
    assert layer.peepholes and layer.coupled_gates and layer.clip == 0.5
    assert_close(network.run(x)[0], by_onnxruntime(model, {"x": x})[0][:, 0])


@pytest.mark.parametrize("output", ["Y", "Y_h"])
@pytest.mark.parametrize("ragged", [False, True])
def test_reverse_direction_is_a_layer_between_two_turns(output, ragged, rng):
    weights = weights_of(rng)
    names = ["x", *weights, *(["n"] if ragged else [])]
    lstm = node("LSTM", names, ["Y", "Y_h"], hidden_size=H, direction="reverse")
    inputs = [value("x", ["T", "N", 2]), value("n", ["N"], INT32)][: 1 + ragged]
    model = model_of([lstm], inputs, [output], weights)
    feeds = {"x": normal(rng, 6, 3, 2)} | ({"n": np.array([6, 2, 4], np.int32)} if ragged else {})
    (expected,) = by_onnxruntime(model, feeds)
    found = from_onnx(model).run(feeds["x"], lengths=feeds.get("n"))[0]
    assert_close(found, expected[:, 0] if output == "Y" else expected[0])


def test_layout_1_is_batch_first(rng):
    weights = weights_of(rng, "GRU")
    gru = node("GRU", ["x", *weights], ["Y", "Y_h"], hidden_size=H, layout=1)
    model = model_of([gru], [value("x", ["N", "T", 2])], ["Y_h"], weights)
    network, x = from_onnx(model), normal(rng, 3, 6, 2)
    assert network.batch_first and isinstance(network.layers[-1], Pool)
    assert_close(network.predict(x), run_model(model, {"x": x})[0][:, 0])
    assert not from_onnx(model, batch_first=False).batch_first


def test_dynamic_quantize_lstm_is_dequantised_and_the_summary_says_so(rng):
    made = {n: rng.integers(-127, 128, (1, s, 4 * H)).astype(np.int8) for n, s in (("W", 2), ("R", H))}
    scales = {"ws": np.full(1, 0.01, np.float32), "z": np.zeros(1, np.int8)}
    names = ["x", "W", "R", *[""] * 5, "ws", "z", "ws", "z"]
    lstm = node("DynamicQuantizeLSTM", names, ["Y"], domain="com.microsoft", hidden_size=H)
    model = model_of([lstm], [value("x", ["T", "N", 2])], ["Y"], made | scales)
    network, x = from_onnx(model), normal(rng, 6, 3, 2)
    assert "float32 LSTM here, with its weights dequantised" in network.summary()
    assert_close(network.run(x)[0], run_model(model, {"x": x})[0][:, 0])
    assert np.abs(network.run(x)[0] - by_onnxruntime(model, {"x": x})[0][:, 0]).max() < 0.05


def test_lengths_and_states_that_come_in_are_arguments_of_run(rng):
    weights = weights_of(rng, "GRU")
    gru = node("GRU", ["x", *weights, "n", "h"], ["Y", "Y_h"], hidden_size=H)
    inputs = [value("x", ["T", "N", 2]), value("n", ["N"], INT32), value("h", [1, "N", H])]
    squeeze = node("Squeeze", ["Y", "one"], ["y"])
    model = model_of([gru, squeeze], inputs, ["y", "Y_h"], weights | {"one": np.array([1])})
    network = from_onnx(model)
    x, h, lengths = normal(rng, 6, 3, 2), normal(rng, 1, 3, H), np.array([6, 2, 4], np.int32)
    expected = by_onnxruntime(model, {"x": x, "n": lengths, "h": h})
    y, (h_n,) = network.run(x, [h], lengths)
    assert_close(y, expected[0])
    assert_close(h_n, expected[1])
    assert "the graph's input 'n' is the argument lengths" in network.notes
    assert "the graph's inputs 'h' are the argument state" in network.notes


def test_last_states_of_ragged_rows_are_each_rows_own(rng):
    weights = weights_of(rng, "GRU", directions=2) | {"M": normal(rng, 2 * H, 3)}
    nodes = [
        node("GRU", ["x", "W", "R", "B", "n"], ["", "h"], hidden_size=H, direction="bidirectional"),
        node("Transpose", ["h"], ["t"], perm=[1, 0, 2]),
        node("Flatten", ["t"], ["f"]),
        node("MatMul", ["f", "M"], ["y"]),
    ]
    model = model_of(nodes, [value("x", ["T", "N", 2]), value("n", ["N"], INT32)], ["y"], weights)
    x, lengths = normal(rng, 6, 3, 2), np.array([6, 2, 4], np.int32)
    network = from_onnx(model)
    assert_close(network.run(x, lengths=lengths)[0], by_onnxruntime(model, {"x": x, "n": lengths})[0])


def test_constant_initial_states_are_learned_ones(rng):
    weights = weights_of(rng) | {"h": normal(rng, 1, 1, H), "c": normal(rng, 1, 1, H)}
    lstm = node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["Y"], hidden_size=H)
    model = model_of([lstm], [value("x", ["T", 1, 2])], ["Y"], weights)
    network, x = from_onnx(model), normal(rng, 6, 1, 2)
    assert network.layers[0].learn_initial_state
    assert_close(network.run(x)[0], by_onnxruntime(model, {"x": x})[0][:, 0])


def test_weights_of_older_files_that_stand_among_the_inputs_are_weights(rng):
    weights = weights_of(rng, "RNN")
    rnn = node("RNN", ["x", *weights], ["Y"], hidden_size=H, activations=["Relu"])
    model = model_of([rnn], [value("x"), *(value(n, list(a.shape)) for n, a in weights.items())], ["Y"], weights)
    x = normal(rng, 6, 3, 2)
    assert from_onnx(model).layers[0].nonlinearity == "relu"
    assert_close(from_onnx(model).run(x)[0], by_onnxruntime(model, {"x": x})[0][:, 0])


def test_float64_weights_make_a_float64_network(rng):
    weights = {name: a.astype(np.float64) for name, a in weights_of(rng, "GRU").items()}
    gru = node("GRU", ["x", *weights], ["Y"], hidden_size=H)
    model = model_of([gru], [value("x", ["T", "N", 2], TensorProto.DOUBLE)], ["Y"], weights)
    assert from_onnx(model).dtype == np.float64


# other nodes


def behind_a_gru(rng, nodes, weights, outputs=("y",), **attributes):
    """A model whose GRU gives "a" (T, N, H), and a network of it."""
    first = [
        node("GRU", ["x", "W", "R", "B"], ["Y", "Y_h"], hidden_size=H, **attributes),
        node("Squeeze", ["Y", "one"], ["a"]),
    ]
    own = weights_of(rng, "GRU") | {"one": np.array([1])}
    return model_of([*first, *nodes], [value("x", ["T", "N", 2])], outputs, own | weights)


STEPS = {
    "gemm-of-last": (
        [
            node("Gather", ["a", "last"], ["l"], axis=0),
            node("Gemm", ["l", "M", "b"], ["y"], transB=1, alpha=0.5, beta=2.0),
        ],
        {"M": (3, H), "b": (3,)},
    ),
    "slice-of-last": (
        [node("Slice", ["a", "minus", "far", "zero"], ["s"]), node("Squeeze", ["s", "zero"], ["y"])],
        {},
    ),
    "mean": ([node("ReduceMean", ["a"], ["y"], axes=[0], keepdims=0)], {}),
    "max": ([node("ReduceMax", ["a"], ["y"], axes=[0], keepdims=0)], {}),
    "bias-in-front": ([node("MatMul", ["a", "M"], ["m"]), node("Add", ["b", "m"], ["y"])], {"M": (H, 3), "b": (3,)}),
    "relu-of-dense": ([node("MatMul", ["a", "M"], ["m"]), node("Relu", ["m"], ["y"])], {"M": (H, 3)}),
    "clip": ([node("Clip", ["a", "low", "high"], ["y"])], {}),
    "elu": ([node("Elu", ["a"], ["y"], alpha=0.3)], {}),
    "leaky-relu": ([node("LeakyRelu", ["a"], ["y"], alpha=0.2)], {}),
    "log-softmax": ([node("LogSoftmax", ["a"], ["y"], axis=2)], {}),
    "dropout": ([node("Dropout", ["a", "half"], ["d"]), node("Identity", ["d"], ["y"])], {}),
    "norm": ([node("LayerNormalization", ["a", "g", "g"], ["y"], epsilon=1e-3)], {"g": (H,)}),
    "conv": (
        [
            node("Transpose", ["a"], ["t"], perm=[1, 2, 0]),
            node("Conv", ["t", "K", "k"], ["v"], pads=[2, 0], dilations=[2], kernel_shape=[2]),
            node("Transpose", ["v"], ["y"], perm=[2, 0, 1]),
        ],
        {"K": (4, H, 2), "k": (4,)},
    ),
    "conv-same": (
        [
            node("Transpose", ["a"], ["t"], perm=[1, 2, 0]),
            node("Conv", ["t", "K"], ["v"], auto_pad="SAME_UPPER", kernel_shape=[4]),
            node("Transpose", ["v"], ["y"], perm=[2, 0, 1]),
        ],
        {"K": (4, H, 4)},
    ),
    "shape-arithmetic": (
        [
            node("Shape", ["a"], ["sh"]),
            node("Gather", ["sh", "i0"], ["t0"]),
            node("Unsqueeze", ["t0", "zero"], ["t1"]),
            node("Concat", ["t1", "minus", "five"], ["target"], axis=0),
            node("Reshape", ["a", "target"], ["y"]),
        ],
        {},
    ),
}
CONSTANTS = {
    "last": np.array(-1), "minus": np.array([-1]), "far": np.array([2**62]), "zero": np.array([0]), "i0": np.array(0),
    "five": np.array([H]), "low": np.float32(-1), "high": np.float32(1), "half": np.float32(0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_nodes_behind_a_recurrent_one_become_layers(name, rng):
    nodes, shapes = STEPS[name]
    model = behind_a_gru(rng, nodes, CONSTANTS | {n: normal(rng, *shape) for n, shape in shapes.items()})
    x = normal(rng, 6, 3, 2)
    assert_close(from_onnx(model).run(x)[0], by_onnxruntime(model, {"x": x})[0])


def test_tokens_of_rows_first_become_an_embedding(rng):
    weights = weights_of(rng, "GRU", 4) | {"table": normal(rng, 9, 4)}
    nodes = [
        node("Gather", ["table", "tokens"], ["e"]),
        node("Transpose", ["e"], ["x"], perm=[1, 0, 2]),
        node("GRU", ["x", "W", "R", "B"], ["", "h"], hidden_size=H),
        node("Squeeze", ["h", "zero"], ["y"]),
    ]
    model = model_of(nodes, [value("tokens", ["N", "T"], INT64)], ["y"], weights | {"zero": np.array([0])})
    network, tokens = from_onnx(model), rng.integers(0, 9, (3, 6))
    assert network.batch_first
    assert_close(network.run(tokens)[0], by_onnxruntime(model, {"tokens": tokens})[0])


def test_table_without_features_is_said_to_have_one(rng):
    weights = weights_of(rng, "GRU", 1) | {"two": np.array([2]), "one": np.array([1])}
    nodes = [
        node("Unsqueeze", ["t", "two"], ["x"]),
        node("GRU", ["x", "W", "R", "B"], ["Y"], hidden_size=H),
        node("Squeeze", ["Y", "one"], ["y"]),
    ]
    model = model_of(nodes, [value("t", ["T", "N"])], ["y"], weights)
    network, table = from_onnx(model), normal(rng, 6, 3)
    assert "the graph's input 't' is (T, N); x has the features last" in network.notes
    assert_close(network.run(table[..., None])[0], by_onnxruntime(model, {"t": table})[0])


# refused


def swish(rng):
    return behind_a_gru(rng, [node("Sigmoid", ["a"], ["s"]), node("Mul", ["a", "s"], ["y"])], {})


REFUSED = {
    "residual": (lambda r: behind_a_gru(r, [node("Add", ["a", "a"], ["y"])], {}), "'the Add' .Add.: it adds two seq"),
    "unknown": (
        lambda r: behind_a_gru(r, [node("Gelu", ["a"], ["y"])], {}),
        "'the Gelu' .Gelu.: there is no such layer",
    ),
    "swish": (swish, "'the Mul' .Mul.: there is no such layer"),
    "first-step": (
        lambda r: behind_a_gru(r, [node("Gather", ["a", "i0"], ["y"], axis=0)], CONSTANTS),
        "'the Gather' .Gather.: it picks other entries than the last step",
    ),
    "softmax-over-time": (lambda r: behind_a_gru(r, [node("Softmax", ["a"], ["y"], axis=0)], {}), "another axis than"),
    "old-softmax": (lambda r: old_softmax(r), "another axis than the last"),
    "padding": (
        lambda r: behind_a_gru(
            r,
            [node("Transpose", ["a"], ["t"], perm=[1, 2, 0]), node("Conv", ["t", "K"], ["y"], pads=[0, 1])],
            {"K": np.ones((1, H, 3), np.float32)},
        ),
        r"pads are \[0, 1\]",
    ),
    "narrowing": (
        lambda r: behind_a_gru(r, [node("Cast", ["a"], ["y"], to=TensorProto.FLOAT16)], {}),
        "'the Cast' .Cast.: its conversion loses digits",
    ),
    "other-output": (
        lambda r: behind_a_gru(r, [node("Tanh", ["a"], ["y"]), node("Relu", ["a"], ["z"])], {}, ("y", "z")),
        "its output 'z' is neither 'y' nor states",
    ),
    "only-moves": (
        lambda r: model_of([node("Transpose", ["x"], ["y"])], [value("x", [1, 2])], ["y"], {}),
        "its output 'y' is no sequence that went through layers",
    ),
}


def old_softmax(rng):
    """Before opset 13 the default axis is 1, and all behind it is one."""
    weights = weights_of(rng, "GRU")
    nodes = [
        node("GRU", ["x", *weights], ["Y"], hidden_size=H),
        node("Squeeze", ["Y"], ["a"], axes=[1]),
        node("Softmax", ["a"], ["y"]),
    ]
    return model_of(nodes, [value("x", ["T", "N", 2])], ["y"], weights, opset=9)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_chain_of_layers_is_refused_by_name(case, rng):
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        from_onnx(make(rng))
    assert "fastrnn.onnx.run_model" in str(caught.value)


def test_layers_that_read_past_the_ends_of_rows_are_refused(rng):
    weights = weights_of(rng, "GRU") | {"M": normal(rng, H, 3), "one": np.array([1])}
    nodes = [
        node("GRU", ["x", "W", "R", "B", "n"], ["Y"], hidden_size=H),
        node("Squeeze", ["Y", "one"], ["a"]),
        node("MatMul", ["a", "M"], ["y"]),
    ]
    model = model_of(nodes, [value("x", ["T", "N", 2]), value("n", ["N"], INT32)], ["y"], weights)
    with pytest.raises(ValueError, match="it has sequence_lens, and other layers read steps past them"):
        from_onnx(model)


def test_directions_of_different_activations_are_refused(rng):
    weights = weights_of(rng, "RNN", directions=2)
    rnn = node("RNN", ["x", *weights], ["Y"], hidden_size=H, direction="bidirectional", activations=["Tanh", "Relu"])
    with pytest.raises(ValueError, match="'the RNN' .RNN.: its two directions have different activations"):
        from_onnx(model_of([rnn], [value("x", ["T", "N", 2])], ["Y"], weights))


def test_old_operators_and_other_objects_are_refused(rng):
    weights = weights_of(rng, "RNN")
    rnn = node("RNN", ["x", *weights], ["Y"], hidden_size=H)
    with pytest.raises(ValueError, match="version 6 of the ONNX operators, expected 7 or later"):
        from_onnx(model_of([rnn], [value("x", ["T", "N", 2])], ["Y"], weights, opset=6))
    with pytest.raises(TypeError, match="expected a path or an onnx.ModelProto"):
        from_onnx(3)
    with pytest.raises(TypeError, match="batch_first is 'yes'"):
        from_onnx(to_onnx(GRU(2, 3)), batch_first="yes")


# what torch writes


def written_by_torch(module, x, dynamo):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            pytest.importorskip("onnxscript")
            return torch.onnx.export(module, (x,), dynamo=True, verbose=False).model_proto
        buffer = io.BytesIO()
        axes = {"x": {0: "batch", 1: "steps"}}
        torch.onnx.export(module, (x,), buffer, dynamo=False, opset_version=17, input_names=["x"], dynamic_axes=axes)
    return onnx.load_from_string(buffer.getvalue())


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
@pytest.mark.parametrize("pooled", [False, True], ids=["steps", "last"])
def test_model_that_torch_wrote_becomes_a_network(dynamo, kind, options, pooled):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    directions = 2 if options.get("bidirectional") else 1

    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(torch.nn, kind)(3, 4, batch_first=True, **options)
            self.dense = torch.nn.Linear(4 * directions, 2)

        def forward(self, x):
            y, state = self.rnn(x)
            h_n = state[0] if kind == "LSTM" else state
            last = torch.cat([h_n[-2], h_n[-1]], 1) if directions == 2 else h_n[-1]
            return torch.softmax(self.dense(last if pooled else y), -1)

    module, x = Tagger().eval(), torch.randn(5, 7, 3)
    network = from_onnx(written_by_torch(module, x, dynamo))
    assert network.batch_first
    assert_close(network.predict(x.numpy()), module(x).detach().numpy())


# there and back


def test_network_written_and_read_has_the_same_layers():
    network = Sequential(LSTM(3, 4, bidirectional=True), GRU(8, 5, reset_after=False), Pool("last"), Dense(5, 2))
    assert repr(from_onnx(to_onnx(network)).layers) == repr(network.layers)
