"""Layers in files: every one comes back bit for bit, and a made-up configuration says what is wrong with it."""

import tracemalloc

import numpy as np
import pytest
from cases import run_script
from storage_cases import LAYERS, assert_same_layer, constructor_arguments, forge, scrambled

import fastrnn
from fastrnn import layers
from fastrnn.layers._base import Layer
from fastrnn.storage import FileFormatError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "saved.safetensors"


def test_every_layer_has_an_example():
    public = {name: getattr(layers, name) for name in layers.__all__}
    known = {name for name, value in public.items() if isinstance(value, type) and issubclass(value, Layer)}
    assert {name.split("-")[0] for name in LAYERS} == known


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_comes_back_bit_for_bit(name, dtype, path):
    layer = scrambled(LAYERS[name](dtype))
    fastrnn.save(layer, path)
    assert_same_layer(fastrnn.load(path), layer)


def test_loaded_layer_computes_and_learns_as_the_saved_one(path):
    network = fastrnn.Sequential(fastrnn.LSTM(3, 4, bidirectional=True), fastrnn.Pool("mean"), fastrnn.Dense(8, 2))
    fastrnn.save(network, path)
    found = fastrnn.load(path)
    x = np.random.default_rng(0).standard_normal((5, 2, 3))
    for net in (network, found):
        (output, _), backward = net.forward(x)
        backward(output)
        with net.updating() as params:
            for key, grad in net.grads.items():
                params[key] -= 0.1 * grad
    assert network(x)[0].tobytes() == found(x)[0].tobytes()


def test_weights_of_a_bound_layer_are_copied(path):
    weights = {"weight": np.arange(6.0).reshape(3, 2).T, "bias": np.ones(4)[::2]}
    dense = fastrnn.Dense(3, 2, dtype="float64")
    dense.bind(weights)
    weights["weight"][0, 0] = 7.0
    fastrnn.save(dense, path)
    weights["weight"][0, 0] = 8.0
    assert fastrnn.load(path).params["weight"].tolist() == [[7.0, 2.0, 4.0], [1.0, 3.0, 5.0]]


def test_engine_is_kept(path):
    pytest.importorskip("scipy")
    fastrnn.save(fastrnn.LSTM(2, 3, engine="blas"), path)
    assert fastrnn.load(path).engine == "blas"


def test_loading_a_layer_needs_neither_scipy_nor_scikit_learn(path):
    fastrnn.save(LAYERS["Sequential"]("float32"), path)
    run_script(
        "import sys, fastrnn\n"
        f"fastrnn.load({str(path)!r})\n"
        "heavy = {'scipy', 'sklearn', 'torch', 'tqdm', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy",
        FASTRNN_ENGINE="native",
    )


class OwnLayer(fastrnn.Dense):
    pass


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: np.ones(3), "ndarray, expected a layer"),
        (lambda: OwnLayer(2, 3), "type OwnLayer"),
        (lambda: fastrnn.Sequential(fastrnn.GRU(3, 2), OwnLayer(2, 3)), "layer 1 is a .*OwnLayer, which cannot be"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_by_name(make, words, path):
    with pytest.raises(TypeError, match=words):
        fastrnn.save(make(), path)
    assert not list(path.parent.iterdir())


def test_a_network_nested_too_deep_is_refused_when_saved(path):
    network = fastrnn.Dense(2, 2)
    for _ in range(60):
        network = fastrnn.Sequential(network)
    with pytest.raises(ValueError, match="nested 1[0-9]+ deep, expected at most 100"):
        fastrnn.save(network, path)


def dense(**changes):
    config = {"input_size": 2, "output_size": 1, "bias": False, "activation": None, "dtype": "float32"} | changes
    return {"class": "Dense", "config": config}


def lstm(**changes):
    return {"class": "LSTM", "config": {"input_size": 1, "hidden_size": 1, "dtype": "float32"} | changes}


WEIGHT = {"weight": np.ones((1, 2), np.float32)}
CONFIGS = {
    "another format": (dense(), WEIGHT, {"format": "checkpoint"}, "format is 'checkpoint', expected 'fastrnn'"),
    "newer": (dense(), WEIGHT, {"format_version": "2"}, "format_version 2, written by fastrnn '9.9'.*upgrade"),
    "version of no number": (dense(), WEIGHT, {"format_version": "١"}, "expected a number"),
    "no JSON": ("{", {}, {}, "configuration is not valid JSON"),
    "list": ([], {}, {}, "no object with a class"),
    "deep": ("[" * 100_000, {}, {}, "nested 100000 deep"),
    "repeated key": ('{"class": "Dropout", "class": "Dropout", "config": {}}', {}, {}, "'class' stands twice"),
    "unknown class": ({"class": "Popen", "config": {}}, {}, {}, "class is 'Popen'"),
    "a function": ({"class": "show_versions", "config": {}}, {}, {}, "class is 'show_versions'"),
    "estimator in a network": (
        {"class": "Sequential", "layers": [{"class": "RNNClassifier"}]},
        {},
        {},
        "RNNClassifier",
    ),
    "class of no text": ({"class": "Sequential", "layers": [{"class": []}]}, {}, {}, "expected an object with a class"),
    "layers of no list": ({"class": "Sequential", "layers": {}}, {}, {}, "expected a list"),
    "no layers": ({"class": "Sequential", "layers": []}, {}, {}, "at least one"),
    "missing array": (dense(bias=True), WEIGHT, {}, "lacks 'bias'"),
    "unexpected array": (dense(), WEIGHT | {"more": np.ones(1)}, {}, "unexpected 'more'"),
    "shape": (
        dense(input_size=3),
        WEIGHT,
        {},
        r"weight is float32 of shape \(1, 2\), expected float32 of shape \(1, 3\)",
    ),
    "dtype": (dense(dtype="float64"), WEIGHT, {}, "weight is float32 .* expected float64"),
    "integers": (dense(), {"weight": np.ones((1, 2), np.int32)}, {}, "weight is int32"),
    "dtype of no layer": (dense(dtype="(1;)f4"), WEIGHT, {}, "dtype of a Dense is '.1;.f4', expected float32"),
    "null dtype": (dense(dtype=None), WEIGHT, {}, "expected None"),
    "boolean size": (dense(output_size=True), WEIGHT, {}, "output_size of a Dense is True, expected a size"),
    "fraction as size": (dense(output_size=1.0), WEIGHT, {}, "output_size of a Dense is 1.0, expected a size"),
    "negative size": (dense(output_size=-1), WEIGHT, {}, "expected a size"),
    "zero size": (dense(output_size=0), {"weight": np.ones((0, 2), np.float32)}, {}, "output_size is 0"),
    "text as boolean": (dense(bias="no"), WEIGHT, {}, "bias of a Dense is 'no', expected a boolean"),
    "unknown argument": (dense(command="rm"), WEIGHT, {}, "unexpected 'command'"),
    "missing argument": ({"class": "Dense", "config": {"input_size": 2}}, WEIGHT, {}, "lacks 'output_size'"),
    "unknown activation": (dense(activation="exec"), WEIGHT, {}, "activation is 'exec'"),
    "absurd size": (lstm(hidden_size=10**9), WEIGHT, {}, "lacks"),
    "more than absurd": (dense(output_size=10**4000), WEIGHT, {}, "weight is float32"),
    "many layers": (lstm(num_layers=10**12), WEIGHT, {}, "num_layers = 1000000000000, but there are 1 arrays"),
    "not a number": ('{"class": "Dropout", "config": {"p": NaN}}', {}, {}, "not a finite number"),
    "infinite": ('{"class": "Dropout", "config": {"p": 1e999}}', {}, {}, "not a finite number"),
    "fraction beyond 1": ({"class": "Dropout", "config": {"p": 10**400}}, {}, {}, r"expected a number in \[0, 1\]"),
    "chain that does not fit": (
        {"class": "Sequential", "layers": [dense(), dense()]},
        {"0.weight": WEIGHT["weight"], "1.weight": WEIGHT["weight"]},
        {},
        "input_size = 2, expected output_size",
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_made_up_configuration_is_an_error_that_says_what_is_wrong(name, path):
    config, arrays, metadata, words = CONFIGS[name]
    forge(path, config, arrays, **metadata)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=words) as error:
            fastrnn.load(path)
        assert path.name in str(error.value)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_arguments_that_a_file_lacks_have_their_defaults(path):
    weights = {name: array for name, array in fastrnn.LSTM(1, 1).params.items()}
    forge(path, lstm(), weights)
    assert constructor_arguments(fastrnn.load(path)) == constructor_arguments(fastrnn.LSTM(1, 1))
