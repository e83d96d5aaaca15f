"""The estimators' parameters: refused by name, kept by clones and pickles, defaults of the named subclasses."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fastrnn import RNNClassifier, RNNRegressor
from fastrnn.estimators import GRUClassifier, GRURegressor, LSTMClassifier, LSTMRegressor
from fastrnn.schedules import Cosine

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}


def data(rng, n=12, inputs=3):
    return [rng.normal(size=(int(t), inputs)) for t in rng.integers(2, 7, size=n)], np.arange(n) % 3


def answer(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("hidden_layer_sizes", (), ValueError, "hidden_layer_sizes is empty"),
        ("hidden_layer_sizes", (8, 0), ValueError, r"hidden_layer_sizes\[1\] is 0"),
        ("hidden_layer_sizes", 8.0, TypeError, r"hidden_layer_sizes\[0\] is 8.0"),
        ("cell", "tcn", ValueError, "cell is 'tcn', expected one of 'lstm', 'gru', 'rnn'"),
        ("activation", "sigmoid", ValueError, "activation is 'sigmoid'"),
        ("activation", "relu", ValueError, "activation is 'relu', which cell 'rnn' has and 'lstm' has not"),
        ("init", "he", ValueError, "init is 'he'"),
        ("init", "identity", ValueError, "init is 'identity', which is for the plain RNN only"),
        ("pooling", "sum", ValueError, "pooling is 'sum'"),
        ("dropout", 1.5, ValueError, "dropout is 1.5"),
        ("dropout", "half", TypeError, "dropout is 'half'"),
        ("solver", "lbfgs", ValueError, "solver is 'lbfgs', which .* is not offered"),
        ("solver", "adagrad", ValueError, "solver is 'adagrad', expected one of 'adam'"),
        ("alpha", -1.0, ValueError, "alpha is -1.0, expected alpha >= 0"),
        ("batch_size", 0, ValueError, "batch_size is 0"),
        ("batch_size", 2.5, TypeError, "batch_size is 2.5"),
        ("learning_rate_init", 0, ValueError, "learning_rate_init is 0, expected learning_rate_init > 0"),
        ("learning_rate_init", np.nan, ValueError, "learning_rate_init is nan"),
        ("learning_rate_init", "constant", TypeError, "learning_rate_init is 'constant'"),
        ("learning_rate", "linear", ValueError, "learning_rate is 'linear', expected one of .*fastrnn.schedules"),
        ("learning_rate", 0.1, ValueError, "learning_rate is 0.1, expected one of"),
        ("learning_rate", Cosine, ValueError, "learning_rate is <class .*Cosine'>, expected .* an object"),
        ("power_t", -0.5, ValueError, "power_t is -0.5, expected power_t >= 0"),
        ("accumulate_steps", 0, ValueError, "accumulate_steps is 0"),
        ("validation_fraction", 1.0, ValueError, "validation_fraction is 1.0, expected validation_fraction < 1"),
        ("validation_fraction", 0.0, ValueError, "validation_fraction is 0.0, expected validation_fraction > 0"),
        ("class_weight", "equal", ValueError, "class_weight is 'equal', expected a dict, 'balanced' or None"),
        ("max_iter", 0, ValueError, "max_iter is 0"),
        ("random_state", "seed", TypeError, "random_state is of type str"),
        ("tol", np.nan, ValueError, "tol is nan"),
        ("momentum", 1.5, ValueError, "momentum is 1.5, expected momentum <= 1"),
        ("beta_1", 1.0, ValueError, "beta_1 is 1.0, expected beta_1 < 1"),
        ("beta_2", -0.1, ValueError, "beta_2 is -0.1, expected beta_2 >= 0"),
        ("epsilon", 0.0, ValueError, "epsilon is 0.0, expected epsilon > 0"),
        ("n_iter_no_change", 0, ValueError, "n_iter_no_change is 0"),
        ("max_grad_norm", 0.0, ValueError, "max_grad_norm is 0.0, expected max_grad_norm > 0"),
        ("max_grad_norm", "1", TypeError, "max_grad_norm is '1'"),
        ("max_grad_value", -1.0, ValueError, "max_grad_value is -1.0, expected max_grad_value > 0"),
        ("dtype", "float16", ValueError, "dtype is 'float16', expected 'auto', 'float32' or 'float64'"),
        ("conv_filters", 0, ValueError, "conv_filters is 0"),
        ("conv_filters", (4, 1.5), TypeError, r"conv_filters\[1\] is 1.5"),
        ("bptt_window", 0, ValueError, "bptt_window is 0"),
        ("n_threads", 0, ValueError, "n_threads is 0"),
        ("n_threads", 1.5, TypeError, "n_threads is 1.5"),
    ],
)
def test_a_wrong_parameter_is_named_and_a_fitted_model_goes_on_as_it_was(name, value, error, words, rng):
    X, y = data(rng)
    model = RNNClassifier(**SMALL).fit(X, y)
    before, good = model.predict_proba(X), model.get_params()[name]
    with pytest.raises(error, match=f"^{words}"):
        model.set_params(**{name: value}).fit(X, y)
    model.set_params(**{name: good})
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize(
    ("cls", "cell"),
    [(LSTMClassifier, "lstm"), (GRUClassifier, "gru"), (LSTMRegressor, "lstm"), (GRURegressor, "gru")],
)
def test_the_named_subclasses_differ_in_the_default_cell_alone(cls, cell, rng):
    base = RNNClassifier if issubclass(cls, RNNClassifier) else RNNRegressor
    assert cls((7,), alpha=1).get_params() == base((7,), alpha=1, cell=cell).get_params()
    assert repr(cls(alpha=1)) == f"{cls.__name__}(alpha=1)"
    X, y = data(rng)
    np.testing.assert_array_equal(answer(cls(**SMALL).fit(X, y), X), answer(base(cell=cell, **SMALL).fit(X, y), X))


@pytest.mark.parametrize("cls", [RNNClassifier, RNNRegressor, GRUClassifier])
def test_a_clone_has_all_parameters_nothing_learnt_and_fits_to_the_same_bits(cls, rng):
    X, y = data(rng)
    model = cls(cell="rnn", dropout=0.1, alpha=0.3).set_params(pooling="mean", **SMALL).fit(X, y)
    twin = clone(model)
    assert type(twin) is cls and twin.cell == "rnn" and twin.get_params() == model.get_params()
    assert not hasattr(twin, "network_")
    np.testing.assert_array_equal(answer(twin.fit(X, y), X), answer(model, X))


@pytest.mark.parametrize("cls", [RNNClassifier, RNNRegressor, GRUClassifier])
def test_a_pickle_predicts_and_fits_to_the_same_bits(cls, rng):
    X, y = data(rng)
    model = cls(**SMALL).fit(X, y)
    twin = pickle.loads(pickle.dumps(model))
    assert type(twin) is cls and twin.get_params() == model.get_params()
    np.testing.assert_array_equal(answer(twin, X), answer(model, X))
    np.testing.assert_array_equal(answer(twin.fit(X, y), X), answer(model, X))


@pytest.mark.parametrize(
    ("cls", "method"),
    [(RNNRegressor, "predict")]
    + [(RNNClassifier, f"predict{kind}") for kind in ("", "_proba", "_log_proba")]
    + [(RNNClassifier, "decision_function")],
)
def test_an_unfitted_model_says_so_before_anything_else(cls, method):
    with pytest.raises(NotFittedError, match=f"This {cls.__name__} instance is not fitted yet"):
        getattr(cls(), method)("nonsense")


@pytest.mark.parametrize(("name", "value"), [("pooling", "mean"), ("bidirectional", True), ("conv_filters", 4)])
def test_windows_are_for_the_last_state_of_one_direction(name, value, rng):
    X, y = data(rng)
    with pytest.raises(ValueError, match=f"^{name} is .*, expected .* with bptt_window = 3"):
        RNNClassifier(bptt_window=3, **{**SMALL, name: value}).fit(X, y)
