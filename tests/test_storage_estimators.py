"""Estimators in files: fitted ones predict and go on as before, and a made-up one says what is wrong with it."""

import json
import warnings

import numpy as np
import pytest
from storage_cases import assert_same_layer, assert_same_value, forge

import fastrnn
from fastrnn.storage import FileFormatError, read_arrays

X = [np.random.default_rng(k).standard_normal((2 + k % 5, 2)) for k in range(24)]
X32 = [x.astype(np.float32) for x in X]
LABELS = {
    "text": np.array(["no", "yes", "perhaps"] * 8),
    "objects": np.array(["no", "yes"] * 12, dtype=object),
    "integers": np.arange(24) % 4 - 1,
    "booleans": np.arange(24) % 2 == 0,
    "indicators": np.array([[1, 0, 1], [0, 1, 1]] * 12),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "saved.safetensors"


def fitted(estimator, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few epochs
        return estimator.fit(X, y)


def reloaded(estimator, path):
    fastrnn.save(estimator, path)
    return fastrnn.load(path)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", ["RNNClassifier", "GRUClassifier"])
def test_fitted_classifier_comes_back_bit_for_bit(name, labels, path):
    dtype_of_x = X32 if name == "GRUClassifier" else X
    model = getattr(fastrnn, name)(hidden_layer_sizes=(4, 3), bidirectional=True, max_iter=2, random_state=0)
    fitted(model, dtype_of_x, LABELS[labels])
    found = reloaded(model, path)
    assert_same_value(vars(found), vars(model))
    assert_same_value(found.predict(dtype_of_x), model.predict(dtype_of_x))
    assert_same_value(found.predict_proba(dtype_of_x), model.predict_proba(dtype_of_x))


@pytest.mark.parametrize("y", [np.arange(24.0), np.arange(48.0).reshape(24, 2)], ids=["one", "two"])
def test_fitted_regressor_comes_back_bit_for_bit(y, path):
    model = fitted(fastrnn.LSTMRegressor(hidden_layer_sizes=3, max_iter=2, random_state=0, dtype=np.float32), X, y)
    found = reloaded(model, path)
    assert_same_value(vars(found), vars(model))
    assert_same_value(found.predict(X), model.predict(X))


def test_fitted_scaler_comes_back_bit_for_bit(path):
    scaler = fastrnn.SequenceScaler(with_mean=False).fit(X)
    found = reloaded(scaler, path)
    assert_same_value(vars(found), vars(scaler))
    assert all((a == b).all() for a, b in zip(found.transform(X), scaler.transform(X), strict=True))


def test_unfitted_estimator_keeps_the_types_of_its_parameters(path):
    params = {
        "hidden_layer_sizes": [np.int64(4), 3],
        "tol": np.float32(0.1),
        "max_grad_norm": float("inf"),
        "learning_rate": fastrnn.schedules.Step(decay=0.25),
        "random_state": np.random.default_rng(4),
        "dtype": np.float64,
        "class_weight": {0: 1.0, "one": 2},
    }
    found = reloaded(fastrnn.LSTMClassifier(**params), path)
    assert type(found) is fastrnn.LSTMClassifier
    assert_same_value(vars(found), vars(fastrnn.LSTMClassifier(**params)))
    assert not hasattr(found, "network_")


def test_partial_fit_goes_on_where_the_saved_estimator_was(path):
    y = LABELS["text"]
    model = fastrnn.GRUClassifier(hidden_layer_sizes=(4,), random_state=0, learning_rate="plateau")
    model.partial_fit(X, y, classes=np.unique(y))
    found = reloaded(model, path)
    for _ in range(2):
        model.partial_fit(X, y)
        found.partial_fit(X, y)
    assert_same_layer(found.network_, model.network_)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: fastrnn.RNNClassifier(random_state=np.random.RandomState(0)), "random_state .*RandomState"),
        (lambda: fastrnn.RNNClassifier(cell=object()), "cell is or holds an object of type builtins.object"),
        (lambda: fastrnn.RNNClassifier(tol=np.zeros(2, complex)), "tol .*complex128"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_by_name(make, words, path):
    with pytest.raises(TypeError, match=words):
        fastrnn.save(make(), path)
    assert not list(path.parent.iterdir())


def test_an_unknown_attribute_is_refused_by_name(path):
    model = fastrnn.RNNRegressor()
    model.my_attribute_ = 3
    with pytest.raises(TypeError, match="RNNRegressor has the attributes my_attribute_"):
        fastrnn.save(model, path)


@pytest.fixture(scope="module")
def saved_classifier(tmp_path_factory):
    """The description and the arrays of a small classifier that is ready for partial_fit."""
    path = tmp_path_factory.mktemp("saved") / "classifier"
    model = fastrnn.GRUClassifier(hidden_layer_sizes=(2,), random_state=np.random.default_rng(0))
    fastrnn.save(model.partial_fit(X, LABELS["text"], classes=["no", "perhaps", "yes"]), path)
    arrays, metadata = read_arrays(path)
    return json.loads(metadata["config"]), arrays


FITTED = {
    "parameter": ("params", "shell", "rm", "no parameters shell"),
    "attribute": ("fitted", "__class__", 1, "unknown .'__class__'"),
    "method": ("fitted", "predict", 1, "unknown .'predict'"),
    "no kind": ("params", "solver", {"object": "os.system"}, "solver is .*expected an object with one key"),
    "two kinds": ("params", "solver", {"tuple": [], "float": "nan"}, "expected an object with one key"),
    "types": ("params", "dtype", {"type": "object"}, "dtype holds 'object', expected float32 or float64"),
    "schedule": ("params", "learning_rate", {"schedule": ["math", {"dict": []}]}, "fastrnn.schedules"),
    "schedule's field": ("params", "learning_rate", {"schedule": ["Step", {"dict": [["x", 1]]}]}, "fields of"),
    "number": ("params", "tol", {"scalar": ["object", 1]}, "expected .dtype, number."),
    "number that is too large": ("params", "tol", {"scalar": ["int8", 1000]}, "cannot be loaded"),
    "generator": ("params", "random_state", {"generator": [2**128, 1, 0, 0]}, "PCG64"),
    "keys": ("params", "class_weight", {"dict": [[[], 1]]}, "plain keys"),
    "layer": ("params", "cell", {"layer": {"class": "Dense", "config": {}}}, "lacks"),
    "text without end": ("fitted", "classes_", {"text": [2**40, ["a", "b", "c"]]}, "largest length"),
    "other array": ("fitted", "classes_", {"array": "_trained.0.weight_hh_l0"}, "name of the array 'classes_'"),
    "classes": ("fitted", "classes_", {"text": [1, ["a", "b"]]}, "2 classes and 3 outputs, expected 1"),
    "no classes": ("fitted", "classes_", None, "classes_ of GRUClassifier is None, expected an array of labels"),
    "no network": ("fitted", "_trained", 3, "_trained of GRUClassifier is 3, expected a network"),
    "outputs": ("fitted", "n_outputs_", 4, "n_outputs_ .* is 4, expected that of its network, 3"),
    "inputs": ("fitted", "_input_size", 3, "_input_size .* is 3, expected that of its network, 2"),
    "type of the network": ("fitted", "_dtype", {"dtype": "float32"}, "_dtype .*expected that of its network, float64"),
    "curve": ("fitted", "loss_curve_", ["x"], "expected a list of numbers"),
    "continuation": ("fitted", "_continuation", {"dict": [["solver", 3]]}, "what partial_fit hands on"),
}


@pytest.mark.parametrize("name", FITTED)
def test_a_made_up_estimator_is_an_error_that_says_what_is_wrong(name, saved_classifier, path):
    description, arrays = saved_classifier
    part, key, value, words = FITTED[name]
    forge(path, description | {part: description[part] | {key: value}}, arrays)
    with pytest.raises(FileFormatError, match=words) as error:
        fastrnn.load(path)
    assert path.name in str(error.value)


def test_moments_of_another_network_are_refused(saved_classifier, path):
    description, arrays = saved_classifier
    name = next(name for name in arrays if name.startswith("_continuation"))
    forge(path, description, arrays | {name: arrays[name][:1]})
    with pytest.raises(FileFormatError, match="of shape"):
        fastrnn.load(path)


def test_an_estimator_that_lacks_an_attribute_is_refused(saved_classifier, path):
    description, arrays = saved_classifier
    fitted = {key: value for key, value in description["fitted"].items() if key != "_dtype"}
    forge(path, description | {"fitted": fitted}, arrays)
    with pytest.raises(FileFormatError, match="lacks .'_dtype'"):
        fastrnn.load(path)
