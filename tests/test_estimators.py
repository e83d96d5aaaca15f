"""The estimators: what they accept, answer and refuse."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from fastrnn import RNNClassifier, RNNRegressor
from fastrnn.estimators import GRUClassifier, GRURegressor, LSTMClassifier, LSTMRegressor
from fastrnn.training import NonFiniteLossError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
LEARNING = {"hidden_layer_sizes": (10,), "max_iter": 80, "learning_rate_init": 0.02, "random_state": 0}


def _ragged(rng, n_samples=40, n_features=3):
    X = [rng.normal(size=(n, n_features)).astype("float32") for n in rng.integers(2, 9, size=n_samples)]
    return X, np.array([int(x[0, 0] > 0) + int(x[-1, 0] > 0) for x in X])


@pytest.fixture
def fitted(rng):
    X, y = _ragged(rng)
    return RNNClassifier(**SMALL).fit(X, y), X, y


# fit, predict, score


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("labels", [["no", "yes"], ["a", "b", "c"], [-3, 10], [2, 5, 7]])
def test_a_classifier_learns_labels_of_any_kind(labels, cell, rng):
    X, codes = _ragged(rng)
    codes = np.minimum(codes, len(labels) - 1)
    y = np.array(labels)[codes]
    model = RNNClassifier(cell=cell, **LEARNING)
    assert model.fit(X, y) is model
    assert model.classes_.tolist() == labels
    assert model.predict(X).dtype == y.dtype and model.score(X, y) >= 0.9
    assert model.score(X, y) == np.mean(model.predict(X) == y)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_sum_to_one_and_agree_with_the_labels(n_classes, dtype, rng):
    X, y = _ragged(rng)
    y = np.minimum(y, n_classes - 1)
    model = RNNClassifier(dtype=dtype, **SMALL).fit(X, y)
    p = model.predict_proba(X)
    assert p.shape == (40, n_classes) and p.dtype == np.dtype(dtype) and (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-6)
    assert np.array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))


@pytest.mark.parametrize("n_outputs", [None, 1, 2])
def test_a_regressor_learns_one_or_several_numbers(n_outputs, rng):
    X, _ = _ragged(rng, 60)
    y = np.array([[x[-1, 0], x[:, 1].mean()] for x in X])
    y = y[:, 0] if n_outputs is None else y[:, :n_outputs]
    model = RNNRegressor(cell="gru", **LEARNING).fit(X, y)
    assert model.predict(X).shape == y.shape and model.n_outputs_ == (n_outputs or 1)
    assert model.score(X, y) > 0.8


def test_two_dimensional_input_has_one_feature_a_step(rng):
    X = rng.normal(size=(30, 6))
    y = (X[:, 0] > 0).astype(int)
    flat, deep = RNNClassifier(**SMALL).fit(X, y), RNNClassifier(**SMALL).fit(X[:, :, None], y)
    assert flat.n_features_in_ == 6 and deep.n_features_in_ == 1
    assert np.array_equal(flat.predict_proba(X), deep.predict_proba(X[:, :, None]))


def test_an_array_a_list_of_arrays_and_nested_lists_give_the_same_bits(rng):
    X = rng.normal(size=(20, 5, 3))
    y = rng.integers(0, 2, size=20)
    answers = [RNNClassifier(**SMALL).fit(form, y).predict_proba(form) for form in (X, list(X), X.tolist())]
    assert np.array_equal(answers[0], answers[1]) and np.array_equal(answers[0], answers[2])


def test_strided_fortran_byte_swapped_and_read_only_input_gives_the_same_bits(fitted):
    model, X, _ = fitted
    expected = model.predict_proba(X)
    read_only = [x.copy() for x in X]
    for x in read_only:
        x.setflags(write=False)
    forms = [
        [np.repeat(x, 2, axis=0)[::2] for x in X],
        [np.asfortranarray(x) for x in X],
        [x.astype(">f4") for x in X],
        read_only,
        tuple(X),
    ]
    for form in forms:
        assert np.array_equal(model.predict_proba(form), expected)


def test_auto_dtype_is_float32_only_for_float32_input(rng):
    X, y = _ragged(rng)
    wide = [x.astype("float64") for x in X]
    for data, setting, dtype in ((X, "auto", "float32"), (wide, "auto", "float64"), (wide, "float32", "float32")):
        model = RNNClassifier(dtype=setting, **SMALL).fit(data, y)
        assert model.network_.dtype == np.dtype(dtype) and model.predict_proba(data).dtype == np.dtype(dtype)


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_sequence_alone_gets_the_bits_that_it_gets_in_a_batch(cell, n_threads, exact_threads, rng):
    X, y = _ragged(rng)
    options = {**SMALL, "cell": cell, "bidirectional": True, "hidden_layer_sizes": (7, 5)}
    model = RNNClassifier(n_threads=n_threads, **options).fit(X, y)
    together = model.predict_proba(X)
    for x, expected in zip(X, together):
        assert np.array_equal(model.predict_proba([x])[0], expected)
    order = rng.permutation(len(X))
    assert np.array_equal(model.predict_proba([X[k] for k in order]), together[order])


def test_predictions_cut_into_small_batches_keep_their_bits(fitted, monkeypatch):
    model, X, _ = fitted
    expected = model.predict_proba(X)
    monkeypatch.setattr("fastrnn.estimators._base.PREDICT_BYTES", 1000)
    assert np.array_equal(model.predict_proba(X), expected)


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor])
def test_one_random_state_gives_one_model_on_any_number_of_threads(kind, exact_threads, rng):
    X, y = _ragged(rng)
    options = {**SMALL, "dropout": 0.2}
    one, two, other = (
        kind(**{**options, "random_state": seed, "n_threads": n}).fit(X, y) for seed, n in ((1, 1), (1, 2), (2, 1))
    )
    assert one.loss_curve_ == two.loss_curve_ != other.loss_curve_
    assert np.array_equal(one._run(X), two._run(X)) and not np.array_equal(one._run(X), other._run(X))


@pytest.mark.parametrize("solver", ["adam", "adamw", "rmsprop", "sgd"])
def test_every_solver_lowers_the_loss(solver, rng):
    X, y = _ragged(rng)
    rate = 0.3 if solver == "sgd" else 0.02
    model = RNNClassifier(**{**LEARNING, "solver": solver, "learning_rate_init": rate, "max_iter": 20}).fit(X, y)
    assert model.best_loss_ == min(model.loss_curve_) < 0.9 * model.loss_curve_[0]
    assert model.n_iter_ == len(model.loss_curve_) and model.loss_ == model.loss_curve_[-1]


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("init", ["glorot", "orthogonal"])
def test_other_poolings_and_initial_weights_work(pooling, init, rng):
    X, y = _ragged(rng)
    assert RNNClassifier(**{**LEARNING, "pooling": pooling, "init": init, "max_iter": 10}).fit(X, y).n_iter_ == 10


def test_an_identity_relu_network_learns(rng):
    X, _ = _ragged(rng, 60)
    y = np.array([x[-1, 0] > 0 for x in X])
    model = RNNClassifier(**{**LEARNING, "cell": "rnn", "activation": "relu", "init": "identity"}).fit(X, y)
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize(
    "kind, cell",
    [(LSTMClassifier, "lstm"), (GRUClassifier, "gru"), (LSTMRegressor, "lstm"), (GRURegressor, "gru")],
)
def test_the_named_estimators_differ_in_the_default_cell_alone(kind, cell, rng):
    base = RNNClassifier if issubclass(kind, RNNClassifier) else RNNRegressor
    assert kind().get_params() == {**base().get_params(), "cell": cell}
    X, y = _ragged(rng)
    a, b = kind(**SMALL).fit(X, y), base(cell=cell, **SMALL).fit(X, y)
    assert np.array_equal(a._run(X), b._run(X))


def test_running_out_of_epochs_warns(rng):
    X, y = _ragged(rng)
    with pytest.warns(ConvergenceWarning, match="max_iter = 3"):
        RNNClassifier(**SMALL).fit(X, y)


def test_converging_does_not_warn(rng):
    X, y = _ragged(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = RNNClassifier(**{**SMALL, "max_iter": 20, "tol": 10.0, "n_iter_no_change": 2}).fit(X, y)
    assert model.n_iter_ == 3


# scikit-learn's contract


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor, GRUClassifier])
def test_parameters_survive_get_set_and_clone(kind, rng):
    model = kind(hidden_layer_sizes=(3, 4), dropout=0.1)
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(pooling="mean").pooling == "mean"
    X, y = _ragged(rng)
    model.set_params(**SMALL).fit(X, y)
    again = clone(model)
    assert not hasattr(again, "network_")
    assert np.array_equal(again.fit(X, y)._run(X), model._run(X))


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor, LSTMClassifier])
def test_a_pickle_predicts_the_same_bits(kind, rng):
    X, y = _ragged(rng)
    model = kind(**SMALL).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again._run(X), model._run(X)) and again.get_params() == model.get_params()
    assert np.array_equal(again.fit(X, y)._run(X), model._run(X))


def test_fitting_does_not_change_parameters_or_data(rng):
    X, y = _ragged(rng)
    before, model = [x.copy() for x in X], RNNClassifier(**SMALL)
    params = model.get_params()
    model.fit(X, y).predict(X)
    assert model.get_params() == params and all(np.array_equal(a, b) for a, b in zip(X, before))


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_an_unfitted_classifier_says_so(method, rng):
    with pytest.raises(NotFittedError, match="RNNClassifier instance is not fitted yet"):
        getattr(RNNClassifier(), method)(_ragged(rng)[0])


def test_an_unfitted_regressor_says_so(rng):
    with pytest.raises(NotFittedError, match="RNNRegressor instance is not fitted yet"):
        RNNRegressor().predict(_ragged(rng)[0])


# refusals


def _spoiled(X, index, value):
    X = [x.copy() for x in X]
    X[index][1, 2] = value
    return X


BAD_INPUT = {
    "nan": (lambda X: _spoiled(X, 4, np.nan), ValueError, "X contains NaN at sample 4, step 1, feature 2"),
    "inf": (lambda X: _spoiled(X, 4, -np.inf), ValueError, "X contains inf at sample 4, step 1, feature 2"),
    "nan in 3-D": (lambda X: np.full((2, 4, 3), np.nan), ValueError, "X contains NaN at sample 0, step 0, feature 0"),
    "overflow": (
        lambda X: [np.full((2, 3), 1e300)] + X[1:],
        ValueError,
        r"X contains 1e\+300, too large for float32 \(inf\), at sample 0",
    ),
    "empty sequence": (
        lambda X: X[:2] + [X[2][:0]] + X[3:],
        ValueError,
        r"X\[2\] is an empty sequence: shape \(0, 3\), expected n_timesteps >= 1",
    ),
    "empty sequences in 3-D": (lambda X: np.zeros((2, 0, 3)), ValueError, "all sequences are empty"),
    "no samples in 3-D": (lambda X: np.zeros((0, 4, 3)), ValueError, "0 sample"),
    "empty list": (lambda X: [], ValueError, "X is empty"),
    "no features": (lambda X: np.zeros((2, 4, 0)), ValueError, "0 feature"),
    "unequal features": (
        lambda X: X[:1] + [np.zeros((4, 5), "float32")] + X[2:],
        ValueError,
        r"X\[1\] has shape \(4, 5\), expected \(n_timesteps, n_features\) = \(n_timesteps, 3\)",
    ),
    "three axes in a list": (lambda X: [np.zeros((1, 4, 3))] * len(X), ValueError, r"X\[0\] has shape \(1, 4, 3\)"),
    "four axes": (lambda X: np.zeros((2, 2, 2, 2)), ValueError, r"X has shape \(2, 2, 2, 2\), expected"),
    "complex": (lambda X: [X[0]] + [x + 1j for x in X[1:]], TypeError, r"X\[1\] has dtype complex64, expected real"),
    "complex 3-D": (lambda X: np.zeros((2, 4, 3), complex), TypeError, "X has dtype complex128, expected real"),
    "object": (lambda X: [x.astype(object) for x in X], TypeError, r"X\[0\] has dtype object, expected real"),
    "text": (lambda X: [x.astype(str) for x in X], TypeError, r"X\[0\] has dtype <U\d+, expected real"),
    "text 3-D": (lambda X: np.full((2, 4, 3), "a"), TypeError, "X has dtype <U1, expected real"),
    "complex 2-D": (lambda X: np.zeros((2, 3), complex), ValueError, "Complex data not supported"),
    "scalar": (lambda X: 3.0, ValueError, "2D array"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_in_prediction_and_the_estimator_still_works(case, fitted):
    model, X, _ = fitted
    expected = model.predict_proba(X)
    make, error, words = BAD_INPUT[case]
    with pytest.raises(error, match=words):
        model.predict(make(X))
    assert np.array_equal(model.predict_proba(X), expected)


@pytest.mark.parametrize("case", [case for case in BAD_INPUT if case != "overflow"])
def test_bad_input_is_refused_in_training_and_the_estimator_still_works(case, fitted):
    model, X, y = fitted
    expected = model.predict_proba(X)
    make, error, words = BAD_INPUT[case]
    with pytest.raises(error, match=words):
        model.fit(make(X), y)
    assert np.array_equal(model.predict_proba(X), expected)


@pytest.mark.parametrize("form", ["list", "array"])
def test_a_wrong_number_of_features_is_told_with_both_numbers(form, fitted):
    model, X, _ = fitted
    bad = np.zeros((2, 5, 4), "float32")
    with pytest.raises(ValueError, match="X has 4 features, but RNNClassifier is expecting 3 features as input"):
        model.predict(bad if form == "array" else list(bad))


def test_swapped_axes_are_recognised(fitted):
    model, X, _ = fitted
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match=r"X.transpose\(0, 2, 1\) would fit"):
        model.predict(np.zeros((4, 3, 7), "float32"))
    with pytest.raises(ValueError, match="transpose each sequence"):
        model.predict([np.zeros((3, 7), "float32")])
    with pytest.raises(ValueError, match=r"A single sequence is passed as \[X\]"):
        model.predict(X[0])
    assert np.array_equal(model.predict_proba(X), expected)


def test_two_dimensional_input_with_another_number_of_steps_is_refused(rng):
    X = rng.normal(size=(20, 6))
    model = RNNRegressor(**SMALL).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="X has 5 features, but RNNRegressor is expecting 6 features"):
        model.predict(X[:, :5])
    assert model.predict(X).shape == (20,)


@pytest.mark.parametrize(
    "y, words",
    [
        (lambda y: y[:-1] + 5, "inconsistent numbers of samples"),
        (lambda y: np.linspace(0.1, 1.0, len(y)), "Unknown label type"),
        (lambda y: np.where(y == 0, np.nan, y), "y contains NaN"),
        (lambda y: None, "requires y to be passed"),
    ],
)
def test_bad_labels_are_refused_and_the_estimator_still_works(y, words, fitted):
    model, X, labels = fitted
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match=words):
        model.fit(X, y(labels))
    assert model.classes_.tolist() == [0, 1, 2] and np.array_equal(model.predict_proba(X), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_numbers_to_learn_are_refused(bad, rng):
    X, y = _ragged(rng)
    y = y.astype(float)
    y[3] = bad
    with pytest.raises(ValueError, match="y contains"):
        RNNRegressor(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match="Complex data not supported"):
        RNNRegressor(**SMALL).fit(X, np.zeros(len(X), complex))


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("hidden_layer_sizes", (), ValueError),
        ("hidden_layer_sizes", (8, 0), ValueError),
        ("hidden_layer_sizes", (8.0,), TypeError),
        ("cell", "tcn", ValueError),
        ("activation", "sigmoid", ValueError),
        ("activation", "relu", ValueError),  # of an LSTM
        ("init", "he", ValueError),
        ("init", "identity", ValueError),  # of an LSTM
        ("pooling", "sum", ValueError),
        ("dropout", 1.5, ValueError),
        ("dropout", "half", TypeError),
        ("solver", "lbfgs", ValueError),
        ("solver", "adagrad", ValueError),
        ("alpha", -1.0, ValueError),
        ("batch_size", 0, ValueError),
        ("batch_size", 2.5, TypeError),
        ("learning_rate_init", 0.0, ValueError),
        ("learning_rate_init", np.nan, ValueError),
        ("learning_rate_init", "constant", TypeError),
        ("max_iter", 0, ValueError),
        ("random_state", "seed", TypeError),
        ("tol", np.nan, ValueError),
        ("momentum", 1.5, ValueError),
        ("beta_1", 1.0, ValueError),
        ("beta_2", -0.1, ValueError),
        ("epsilon", 0.0, ValueError),
        ("n_iter_no_change", 0, ValueError),
        ("max_grad_norm", 0.0, ValueError),
        ("max_grad_value", -1.0, ValueError),
        ("dtype", "float16", ValueError),
        ("n_threads", 0, ValueError),
        ("n_threads", 1.5, TypeError),
    ],
)
def test_a_bad_parameter_is_named_and_a_fitted_estimator_still_predicts(name, value, error, fitted):
    model, X, y = fitted
    expected = model.predict_proba(X)
    good = model.get_params()[name]
    with pytest.raises(error, match=rf"^{name}\b.* is "):
        model.set_params(**{name: value}).fit(X, y)
    model.set_params(**{name: good})
    assert np.array_equal(model.predict_proba(X), expected)


def test_a_loss_that_explodes_leaves_an_estimator_that_predicts(rng):
    X, _ = _ragged(rng)
    y = np.array([x[-1, 0] for x in X])
    options = {"solver": "sgd", "learning_rate_init": 1e30, "max_grad_norm": None}
    model = RNNRegressor(**{**SMALL, **options, "max_iter": 50})
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(NonFiniteLossError, match="smaller learning rate"):
        model.fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    model.set_params(learning_rate_init=0.01).fit(X, y)
    assert np.isfinite(model.loss_)
