"""The estimators learn, reproducibly, and keep scikit-learn's contract."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastrnn.datasets import adding, load_japanese_vowels
from fastrnn.estimators import (
    GRUClassifier,
    GRURegressor,
    LSTMClassifier,
    LSTMRegressor,
    RNNClassifier,
    RNNRegressor,
)
from fastrnn.training import NonFiniteLossError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


CHECKED = {"learning_rate_init": 0.02, "n_threads": 1}


@parametrize_with_checks(
    [
        RNNClassifier((16,), cell="rnn", max_iter=30, **CHECKED),
        LSTMClassifier((12,), max_iter=40, **CHECKED),
        GRUClassifier((12,), max_iter=30, **CHECKED),
        RNNRegressor((16,), cell="rnn", max_iter=60, **CHECKED),
        LSTMRegressor((12,), max_iter=60, **CHECKED),
        GRURegressor((12,), max_iter=60, **CHECKED),
    ]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def vowels():
    X_train, y_train, X_test, y_test = load_japanese_vowels(return_X_y=True)
    steps = np.concatenate(X_train)
    mean, deviation = steps.mean(axis=0), steps.std(axis=0)
    scaled = [[(x - mean) / deviation for x in X] for X in (X_train, X_test)]
    return scaled[0], y_train, scaled[1], y_test


@pytest.mark.parametrize("cls", [LSTMClassifier, GRUClassifier])
def test_defaults_recognise_speakers(cls, vowels):
    X_train, y_train, X_test, y_test = vowels
    accuracies = [cls(random_state=s, n_threads=1).fit(X_train, y_train).score(X_test, y_test) for s in range(5)]
    assert np.mean(accuracies) >= 0.96, accuracies


@pytest.mark.parametrize("cls", [GRURegressor, RNNRegressor])
def test_adding_problem_is_solved(cls):
    X, y = adding(1200, 12, random_state=0)
    model = cls((24,), learning_rate_init=0.01, alpha=0.0, max_iter=60, random_state=0, n_threads=1)
    model.fit(X[:1000], y[:1000])
    assert np.mean((model.predict(X[1000:]) - y[1000:]) ** 2) < 0.01  # always answering 1: 0.167


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "sgd", "learning_rate_init": 0.1},
        {"solver": "sgd", "learning_rate_init": 0.1, "nesterovs_momentum": False},
        {"solver": "rmsprop", "learning_rate_init": 0.01},
        {"solver": "adamw", "max_grad_norm": None, "max_grad_value": 0.1, "learning_rate_init": 0.01},
        {"cell": "rnn", "activation": "relu", "init": "identity", "learning_rate_init": 0.01},
        {"cell": "gru", "init": "orthogonal", "bidirectional": True, "learning_rate_init": 0.01},
        {"init": "glorot", "hidden_layer_sizes": (12, 8), "pooling": "mean", "learning_rate_init": 0.01},
        {"cell": "gru", "pooling": "max", "dropout": 0.2, "learning_rate_init": 0.01},
        {"cell": "gru", "pooling": "attention", "conv_filters": 8, "learning_rate_init": 0.01},
        {"cell": "gru", "bptt_window": 8, "learning_rate_init": 0.01},
    ],
)
def test_every_setting_learns_which_wave_is_slow(options):
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    X = [
        np.sin((0.2, 0.8)[label] * np.arange(length) + rng.uniform(0, 6))[:, None]
        for label, length in zip(y, rng.integers(12, 24, size=120))
    ]
    model = RNNClassifier(**{"hidden_layer_sizes": (12,), "max_iter": 60, "random_state": 0, "n_threads": 1} | options)
    assert model.fit(X[:80], y[:80]).score(X[80:], y[80:]) >= 0.95


@pytest.mark.parametrize(("cls", "dtype"), [(RNNClassifier, "float32"), (RNNRegressor, "float64")])
def test_random_state_decides_every_bit(cls, dtype, vowels, exact_threads):
    X_train, y_train, X_test, _ = vowels
    X_train = [x.astype(dtype) for x in X_train[::5]]

    def answers(random_state, n_threads):
        model = cls((16, 8), bidirectional=True, dropout=0.1, max_iter=3, n_threads=n_threads)
        model.set_params(random_state=random_state).fit(X_train, y_train[::5])
        return getattr(model, "predict_proba", model.predict)(X_test[::9]), model.loss_curve_

    first, curve = answers(3, 1)
    for n_threads in (1, 2, 4):
        again, curve_again = answers(3, n_threads)
        np.testing.assert_array_equal(again, first)
        assert curve_again == curve
    np.testing.assert_array_equal(answers(np.random.default_rng(3), 1)[0], first)
    assert (answers(4, 1)[0] != first).any()


def test_several_outputs_are_learnt_together_and_one_keeps_its_shape():
    X, y = adding(300, 6, random_state=0)
    options = {"learning_rate_init": 0.02, "random_state": 0, "n_threads": 1}
    both = np.stack([y, X[:, -1, 0]], axis=1)
    model = RNNRegressor((12,), max_iter=60, **options).fit(X, both)
    assert model.n_outputs_ == 2 and model.predict(X).shape == (300, 2)
    residuals = np.mean((model.predict(X) - both) ** 2, axis=0)
    assert (residuals < 0.1 * both.var(axis=0)).all()
    column, flat = (RNNRegressor((4,), max_iter=2, **options).fit(X, t).predict(X) for t in (y[:, None], y))
    assert flat.shape == (300,)
    np.testing.assert_array_equal(column, flat[:, None])


def test_curves_and_counts_are_left_behind_and_only_a_late_end_warns():
    X, y = adding(60, 6, random_state=0)
    with pytest.warns(ConvergenceWarning, match="max_iter = 5") as warned:
        model = RNNRegressor((4,), max_iter=5, random_state=0).fit(X, y)
    assert warned[0].filename == __file__  # it points at the line that called fit
    assert model.n_iter_ == len(model.loss_curve_) == len(model.grad_norm_curve_) == 5
    assert model.best_loss_ == min(model.loss_curve_) and model.loss_ == model.loss_curve_[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = RNNRegressor((4,), tol=10.0, n_iter_no_change=2, random_state=0).fit(X, y)
    assert model.n_iter_ == 3


def test_a_loss_that_is_not_finite_leaves_a_model_that_predicts_and_learns_again():
    X, y = adding(60, 6, random_state=0)
    model = RNNRegressor(solver="sgd", learning_rate_init=1e38, max_grad_norm=None, max_iter=2, random_state=0)
    with pytest.raises(NonFiniteLossError, match="epoch 1, batch 2.* smaller learning rate"):
        model.fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite(model.set_params(learning_rate_init=0.01).fit(X, y).loss_)


def test_progress_bar_appears_only_when_asked_for(capfd):
    X, y = adding(30, 6, random_state=0)
    RNNRegressor((4,), max_iter=2).fit(X, y)
    assert capfd.readouterr() == ("", "")
    model = RNNRegressor((4,), max_iter=2, verbose=True).fit(X, y, X_val=X, y_val=y)
    shown = capfd.readouterr().err
    assert "2/2" in shown and f"loss={model.loss_:.4f}" in shown
    assert f"validation_loss={model.validation_loss_curve_[-1]:.4f}" in shown
    assert f"score={model.validation_scores_[-1]:.4f}" in shown


def test_lists_of_sequences_go_through_model_selection(vowels):
    X, y, X_test, y_test = vowels
    X_a, _, y_a, _ = train_test_split(X, y, train_size=60, random_state=0, stratify=y)
    model = GRUClassifier((4,), max_iter=2, random_state=0)
    assert cross_val_score(model, X_a, y_a, cv=2).shape == (2,)
    search = GridSearchCV(model, {"max_iter": [1, 40], "learning_rate_init": [0.03]}, cv=2).fit(X_a, y_a)
    assert search.best_params_["max_iter"] == 40
    assert search.score(X_test, y_test) > 0.5  # by chance: 0.11
