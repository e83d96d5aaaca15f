"""Layers, networks and estimators written to ONNX give there, in ONNX Runtime, what they give here."""

import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

import fastrnn
from fastrnn import GRU, LSTM, RNN, AttentionPool, Conv1d, Dense, Dropout, Embedding, LayerNorm, Pool, Sequential
from fastrnn.io.onnx import from_onnx, to_onnx
from fastrnn.layers import Activation
from fastrnn.layers.reverse import Reverse
from fastrnn.models import Network

TOLERANCE = 1e-5
LENGTHS = np.array([7, 1, 4], np.int32)

CELLS = {
    "lstm": lambda: LSTM(3, 4, random_state=0),
    "lstm-stacked-both-ways": lambda: LSTM(3, 4, num_layers=2, bidirectional=True, random_state=0),
    "lstm-without-bias": lambda: LSTM(3, 4, bias=False, random_state=0),
    "lstm-peepholes": lambda: LSTM(3, 4, peepholes=True, bidirectional=True, random_state=0),
    "lstm-coupled": lambda: LSTM(3, 4, coupled_gates=True, peepholes=True, random_state=0),
    "lstm-clip": lambda: LSTM(3, 4, clip=0.1, random_state=0),
    "lstm-activations": lambda: LSTM(
        3, 4, activations=["hard_sigmoid", ("leaky_relu", 0.3), ("affine", 0.5, 0.1)], random_state=0
    ),
    "lstm-other-activations": lambda: LSTM(
        3, 4, activations=[("scaled_tanh", 0.5, 0.7), "identity", ("thresholded_relu", 0.05)], random_state=0
    ),
    "lstm-float64": lambda: LSTM(3, 4, dtype="float64", random_state=0),
    "gru": lambda: GRU(3, 4, num_layers=2, random_state=0),
    "gru-reset-before": lambda: GRU(3, 4, reset_after=False, bidirectional=True, clip=0.2, random_state=0),
    "gru-activations": lambda: GRU(3, 4, activations=["softsign", ("elu", 0.5)], random_state=0),
    "gru-learned-state": lambda: _with_states(GRU(3, 4, num_layers=2, learn_initial_state=True, random_state=0)),
    "lstm-learned-state": lambda: _with_states(LSTM(3, 4, learn_initial_state=True, bidirectional=True)),
    "rnn": lambda: RNN(3, 4, bidirectional=True, random_state=0),
    "rnn-relu": lambda: RNN(3, 4, nonlinearity="relu", random_state=0),
    "rnn-softplus": lambda: RNN(3, 4, activations=["softplus"], random_state=0),
    "recurrent-dropout": lambda: GRU(3, 4, num_layers=2, dropout=0.5, recurrent_dropout=0.5, random_state=0),
}  # fmt: skip

NETWORKS = {
    "dense": lambda: Sequential(LSTM(3, 4, random_state=0), Dropout(0.5), Dense(4, 2, activation="relu")),
    "layer-norm": lambda: Sequential(LayerNorm(3), GRU(3, 4, random_state=0), LayerNorm(4), Dense(4, 2, bias=False)),
    "last": lambda: Sequential(LSTM(3, 4, random_state=0), Pool("last"), Dense(4, 2)),
    "last-both-ways": lambda: Sequential(LSTM(3, 4, bidirectional=True, random_state=0), Dropout(0.1), Pool("last")),
    "last-behind-norm": lambda: Sequential(GRU(3, 4, bidirectional=True, random_state=0), LayerNorm(8), Pool("last")),
    "last-behind-dense": lambda: Sequential(GRU(3, 4, random_state=0), Dense(4, 5), Pool("last")),
    "mean": lambda: Sequential(LSTM(3, 4, random_state=0), Pool("mean"), Dense(4, 2)),
    "max": lambda: Sequential(LSTM(3, 4, random_state=0), Pool("max")),
    "attention": lambda: Sequential(LSTM(3, 4, random_state=0), AttentionPool(4, 5, random_state=0), Dense(4, 2)),
    "conv": lambda: Sequential(Conv1d(3, 5, 3, activation="tanh", random_state=0), GRU(5, 4, random_state=0)),
    "conv-strides": lambda: Sequential(
        Conv1d(3, 5, 4, stride=2, padding=1, random_state=0), GRU(5, 4, random_state=0), Pool("mean")
    ),
    "conv-causal": lambda: Sequential(Conv1d(3, 5, 3, padding="causal", dilation=2, bias=False, random_state=0)),
    "conv-even": lambda: Sequential(Conv1d(3, 5, 4, random_state=0), Pool("max")),
    **{
        f"activation-{name}": lambda name=name: Sequential(Dense(3, 4, random_state=0), Activation(name))
        for name in ("relu", "elu", "leaky_relu", "hard_sigmoid", "hard_tanh", "softplus", "softsign", "silu")
    },
    "reverse": lambda: Sequential(Reverse(), GRU(3, 4, random_state=0), Reverse(), Dense(4, 2)),
    "softmax": lambda: Sequential(GRU(3, 4, random_state=0), Activation("softmax")),
    "log-softmax": lambda: Sequential(GRU(3, 4, random_state=0), Activation("log_softmax")),
}


def _with_states(layer):
    rng = np.random.default_rng(4)
    state = layer.state_dict()
    layer.load_state_dict({n: rng.standard_normal(a.shape) if n[:3] in ("h_0", "c_0") else a for n, a in state.items()})
    return layer


def run(model, feeds, outputs=None):
    """What ONNX Runtime makes of it."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(outputs, feeds)


def assert_close(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < TOLERANCE * max(1, np.abs(expected).max())


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("make", [*CELLS.values(), *NETWORKS.values()], ids=[*CELLS, *NETWORKS])
def test_written_model_gives_the_same_in_onnxruntime(make, ragged, rng):
    obj = make()
    x = rng.standard_normal((7, 3, 3)).astype(np.float32)
    feeds = {"x": x}
    if ragged:
        strides = any(isinstance(layer, Conv1d) and layer.stride > 1 for layer in getattr(obj, "layers", ()))
        feeds["lengths"] = lengths = LENGTHS + (LENGTHS == 1) * np.int32(strides)  # of one step none would be left
        feeds["x"] = np.where(np.arange(7)[:, None, None] < lengths[:, None], x, np.float32(1e3))
    y = obj(x, lengths=feeds.get("lengths"))
    (found,) = run(to_onnx(obj, ragged=ragged), feeds)
    assert_close(found, y[0] if isinstance(y, tuple) else y)


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
def test_states_go_in_and_come_out(make, rng):
    layer = make()
    x = rng.standard_normal((5, 2, 3)).astype(np.float32)
    shape = (layer.num_layers * (1 + layer.bidirectional), 2, 4)
    kinds = "hc" if isinstance(layer, LSTM) else "h"
    state = [rng.standard_normal(shape).astype(np.float32) for _ in kinds]
    model = to_onnx(layer, states=True)
    feeds = {f"{kind}_0_0": array for kind, array in zip(kinds, state)}
    y, *ends = run(model, {"x": x, **feeds}, ["y", *(f"{kind}_n_0" for kind in kinds)])
    expected, state_n = layer(x, tuple(state) if len(kinds) > 1 else state[0])
    assert_close(y, expected)
    for found, end in zip(ends, state_n if len(kinds) > 1 else [state_n]):
        assert_close(found, end)


@pytest.mark.parametrize("make", [*CELLS.values(), *NETWORKS.values()], ids=[*CELLS, *NETWORKS])
def test_written_model_is_read_back_with_the_same_outputs(make, rng):
    obj = make()
    x = rng.standard_normal((7, 3, 3)).astype(np.float32)
    y = obj(x)
    try:
        network = from_onnx(to_onnx(obj))
    except ValueError as error:  # what no chain of nodes tells from other things
        assert isinstance(obj, Sequential)
        assert make in (
            NETWORKS["attention"],
            NETWORKS["activation-silu"],
            NETWORKS["last-behind-norm"],
            NETWORKS["reverse"],
        )
        assert "run_model" in str(error)
        return
    assert not network.batch_first
    assert_close(network.run(x)[0], y[0] if isinstance(y, tuple) else y)


def test_batch_first_network_and_layer_keep_their_axes(rng):
    x = rng.standard_normal((3, 7, 3)).astype(np.float32)
    layer = GRU(3, 4, batch_first=True, random_state=0)
    network = Network(Sequential(GRU(3, 4, random_state=0), Dense(4, 2)), batch_first=True)
    assert_close(run(to_onnx(layer), {"x": x})[0], layer(x)[0])
    model = to_onnx(network, ragged=True)
    assert_close(run(model, {"x": x, "lengths": LENGTHS})[0], network.run(x, lengths=LENGTHS)[0])
    assert from_onnx(to_onnx(network)).batch_first


def test_tokens_past_a_rows_end_may_be_any(rng):
    network = Sequential(Embedding(10, 3, random_state=0), LSTM(3, 4, random_state=0), Pool("mean"))
    tokens = rng.integers(0, 10, (7, 3))
    tokens[np.arange(7)[:, None] >= LENGTHS] = 99
    (found,) = run(to_onnx(network, ragged=True), {"x": tokens, "lengths": LENGTHS})
    assert_close(found, network(tokens, lengths=LENGTHS)[0])


def test_numbers_of_rows_and_steps_are_open(rng):
    network = Sequential(LSTM(3, 4, random_state=0), Pool("last"), Dense(4, 2))
    model = to_onnx(network)
    for shape in ((1, 1, 3), (9, 2, 3), (4, 11, 3)):
        x = rng.standard_normal(shape).astype(np.float32)
        assert_close(run(model, {"x": x})[0], network(x)[0])


def fitted(kind, **options):
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((n, 2)) for n in rng.integers(3, 9, 30)]
    y = rng.integers(0, options.pop("classes", 3), 30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind((4,), max_iter=2, random_state=0, **options).fit(X, y), X


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_classifier_gives_its_probabilities(pooling):
    model, X = fitted(fastrnn.RNNClassifier, pooling=pooling, bidirectional=True, conv_filters=3)
    exported = to_onnx(model)
    lengths = np.array([len(x) for x in X], np.int32)
    padded = np.full((len(X), lengths.max(), 2), np.nan, np.float32)
    for row, x in zip(padded, X):
        row[: len(x)] = x
    (found,) = run(exported, {"x": padded, "lengths": lengths}, ["probabilities"])
    assert_close(found, model.predict_proba(X))
    assert {p.key: p.value for p in exported.metadata_props}["classes"] == "[0, 1, 2]"


def test_classifier_of_two_classes_and_regressor():
    model, X = fitted(fastrnn.GRUClassifier, classes=2, layer_norm=False)
    x = np.stack([x[:3] for x in X]).astype(np.float32)
    assert_close(run(to_onnx(model, ragged=False), {"x": x})[0], model.predict_proba(x.astype(float)))
    model, X = fitted(fastrnn.LSTMRegressor)
    found = run(to_onnx(model), {"x": x, "lengths": np.full(len(x), 3, np.int32)})[0]
    assert_close(found, model.predict(x.astype(float)))


def test_table_and_tokens_of_estimators(rng):
    X, y = rng.standard_normal((20, 5)), rng.standard_normal((20, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fastrnn.RNNRegressor((4,), max_iter=2, random_state=0).fit(X, y)
        words = fastrnn.RNNClassifier((4,), embedding_dim=3, max_iter=2, random_state=0)
        words.fit(["ab", "ba", "abc"] * 4, [0, 1, 2] * 4)
    lengths = np.full(20, 5, np.int32)
    assert_close(run(to_onnx(model), {"x": X.astype("f"), "lengths": lengths})[0], model.predict(X))
    exported = to_onnx(words)
    metadata = {p.key: p.value for p in exported.metadata_props}
    assert metadata["vocabulary"] == '["a", "b", "c"]'
    tokens = np.array([[1, 2, 0], [2, 1, 77], [1, 2, 3]])
    found = run(exported, {"x": tokens, "lengths": np.array([2, 2, 3], np.int32)})[0]
    assert_close(found, words.predict_proba(["ab", "ba", "abc"]))


@pytest.mark.parametrize(
    "layer, word",
    [
        (LSTM(3, 4, proj_size=2), "projection"),
        (GRU(3, 4, layer_norm=True), "layer normalisation"),
        (LSTM(3, 4, zoneout=0.1), "zoneout"),
    ],
)
def test_what_the_operators_lack_is_refused_by_name(layer, word):
    with pytest.raises(ValueError, match=rf"layer 1, {type(layer).__name__}.*{word}"):
        to_onnx(Sequential(Dense(3, 3), layer))


def test_weights_beyond_float32_are_refused():
    layer = Dense(1, 1, dtype="float64")
    layer.load_state_dict({"weight": [[1e300]], "bias": [0.0]})
    with pytest.raises(ValueError, match="1e.300, which float32 does not hold"):
        to_onnx(layer)


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="expected a layer, a Sequential, a Network"):
        to_onnx(object())
    with pytest.raises(ValueError, match="obj is a RNNClassifier that is not fitted yet: call fit first"):
        to_onnx(fastrnn.RNNClassifier())


def test_file_is_written_whole(tmp_path):
    path = tmp_path / "model.onnx"
    model = to_onnx(LSTM(3, 4), path)
    assert path.read_bytes() == model.SerializeToString()
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
