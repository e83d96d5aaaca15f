"""Training that goes on: partial_fit and warm_start; training that is watched: validation and schedules."""

import pickle

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score

from fastrnn import schedules
from fastrnn.datasets import adding
from fastrnn.estimators import RNNClassifier, RNNRegressor
from fastrnn.estimators._network import make_network
from fastrnn.losses import squared_error
from fastrnn.optim import Adam
from fastrnn.training import train

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0, "n_threads": 1}


def waves(n, rng, low=8, high=16):
    y = np.arange(n) % 2
    lengths = rng.integers(low, high, size=n)
    X = [np.sin((0.2, 0.9)[k] * np.arange(t) + rng.uniform(0, 6))[:, None] for k, t in zip(y, lengths, strict=True)]
    return X, y


# partial_fit


def test_partial_fits_are_the_epochs_of_one_training(rng):
    X, y = adding(40, 5, random_state=0)
    settings = {"solver": "adam", "learning_rate": "invscaling", "shuffle": False, "batch_size": 8, "alpha": 0.0}
    model = RNNRegressor(**{**SMALL, **settings, "dtype": "float64"})
    model.partial_fit(X, y)
    for _ in range(4):
        model.partial_fit(X, y)
    network = RNNRegressor(**{**SMALL, **settings, "dtype": "float64"})
    network._input_size, network.n_outputs_, network._dtype = 2, 1, np.dtype("float64")
    network = make_network(network, (6,), np.random.default_rng(0))
    history = train(
        network,
        X.astype("float64"),
        y[:, None].astype("float64"),
        loss=squared_error,
        optimizer=Adam(0.003),
        batch_size=8,
        max_iter=5,
        shuffle=False,
        schedule=schedules.InverseScaling(0.5),
    )
    assert history.best_epoch == 5  # else the weights are not those of the end
    assert model.loss_curve_ == history.loss_curve and model.n_iter_ == 5
    for name, w in network.state_dict().items():
        np.testing.assert_array_equal(model.network_.state_dict()[name], w)


def test_partial_fit_learns_classes_that_come_later_and_survives_a_pickle(rng):
    X, y = waves(60, rng)
    labels = np.array(["slow", "fast"])[y]
    model = RNNClassifier((8,), learning_rate_init=0.02, random_state=0, n_threads=1)
    model.partial_fit(X[:1], labels[:1], classes=["slow", "fast", "odd"])
    assert model.classes_.tolist() == ["fast", "odd", "slow"] and model.predict_proba(X[:2]).shape == (2, 3)
    for epoch in range(80):
        model.partial_fit(X[:40], labels[:40], classes=["fast", "slow", "odd"] if epoch % 2 else None)
        if epoch == 10:
            model = pickle.loads(pickle.dumps(model))
    assert model.score(X[40:], labels[40:]) >= 0.9 and model.n_iter_ == 81


def test_partial_fit_names_what_it_cannot_take_and_goes_on_as_it_was(rng):
    X, y = waves(12, rng)
    model = RNNClassifier(**SMALL)
    with pytest.raises(ValueError, match="classes is None, expected all class labels in the first call"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match="y has the label 1, expected one of the classes"):
        model.partial_fit(X, y, classes=[0, 5])
    assert not hasattr(model, "classes_")
    model.partial_fit(X, y, classes=[0, 1])
    before = model.predict_proba(X)
    for arguments, words in [
        ((X, y + 1), "y has the label 2, expected one of the classes"),
        (([np.column_stack([x, x]) for x in X], y), "X has 2 features, but RNNClassifier is expecting 1"),
        ((X, np.stack([y, y], axis=1)), r"y has shape \(12, 2\), expected \(n_samples,\)"),
        ((X, y, None, [0, 1, 2]), r"classes is \[0 1 2\], expected those of the first fit, \[0 1\]"),
    ]:
        with pytest.raises(ValueError, match=words):
            model.partial_fit(*arguments)
    for change, words in [
        ({"early_stopping": True}, "early_stopping is True, expected False for partial_fit"),
        ({"learning_rate": "cosine"}, "learning_rate is 'cosine', which is spread over the epochs of fit"),
        ({"cell": "gru"}, r"the parameters describe Sequential\(GRU\(1, 6.*goes on with Sequential\(LSTM\(1, 6"),
    ]:
        kept = {name: model.get_params()[name] for name in change}
        with pytest.raises(ValueError, match=words):
            model.set_params(**change).partial_fit(X, y)
        model.set_params(**kept)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    regressor = RNNRegressor(**SMALL).partial_fit(X, y)
    with pytest.raises(ValueError, match=r"y has shape \(12, 2\), expected n_outputs = 1"):
        regressor.partial_fit(X, np.stack([y, y], axis=1))


# warm_start


@pytest.mark.parametrize("cls", [RNNClassifier, RNNRegressor])
def test_warm_start_goes_on_where_the_last_fit_ended_and_cold_start_does_not(cls, rng):
    X, y = waves(40, rng)
    warm = cls(**SMALL, warm_start=True).fit(X, y)
    first, weights = list(warm.loss_curve_), warm.network_.state_dict()
    assert warm.set_params(learning_rate_init=1e-12).fit(X, y).loss_curve_[:4] == first
    assert warm.n_iter_ == 8 and max(np.abs(warm.loss_curve_[4:] - np.float64(first[-1]))) < 0.02
    for name, w in warm.network_.state_dict().items():
        np.testing.assert_allclose(w, weights[name], atol=1e-9)
    cold = cls(**SMALL).fit(X, y)
    assert cold.fit(X, y).loss_curve_ == first


def test_warm_start_refuses_other_labels_and_other_architectures(rng):
    X, y = waves(12, rng)
    model = RNNClassifier(**SMALL, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="y has the label 2"):
        model.fit(X, y + 1)
    with pytest.raises(ValueError, match="the parameters describe .*: expected fit with warm_start=False"):
        model.set_params(hidden_layer_sizes=(6, 3)).fit(X, y)
    assert model.set_params(warm_start=False).fit(X, y + 1).classes_.tolist() == [1, 2]
    model = RNNClassifier(**SMALL, warm_start=True, cell="rnn").fit(X, y)
    with pytest.raises(ValueError, match=r"\(nonlinearity = 'relu' and 'tanh'\): expected fit with warm_start=False"):
        model.set_params(activation="relu").fit(X, y)


# validation


def test_validation_data_are_measured_at_the_end_of_each_epoch_and_never_learned(rng):
    X, y = adding(60, 6, random_state=0)
    plain = RNNRegressor(**SMALL).fit(X[:40], y[:40])
    watched = RNNRegressor(**SMALL).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:], sample_weight_val=np.arange(20))
    np.testing.assert_array_equal(watched.predict(X), plain.predict(X))
    assert plain.validation_scores_ is None and plain.best_validation_score_ is None
    assert len(watched.validation_scores_) == 4 and watched.n_iter_ == np.argmin(watched.loss_curve_) + 1
    predicted, weight = watched.predict(X[40:]), np.arange(20)
    np.testing.assert_allclose(
        watched.validation_scores_[-1], r2_score(y[40:], predicted, sample_weight=weight), rtol=1e-4
    )
    half_square = 0.5 * np.average((predicted - y[40:]) ** 2, weights=weight)
    np.testing.assert_allclose(watched.validation_loss_curve_[-1], half_square, rtol=1e-5)


def test_early_stopping_keeps_the_weights_of_the_best_validation_score(rng):
    X, y = waves(80, rng)
    y = np.where(rng.random(80) < 0.3, 1 - y, y)  # noise that can only be learned by heart
    model = RNNClassifier((16,), early_stopping=True, n_iter_no_change=6, max_iter=200, learning_rate_init=0.03)
    model.set_params(random_state=0, n_threads=1).fit(X[:50], y[:50], X_val=X[50:], y_val=y[50:])
    scores = model.validation_scores_
    assert model.n_iter_ < 200 and model.n_iter_ == len(scores)
    assert accuracy_score(y[50:], model.predict(X[50:])) == model.best_validation_score_ == max(scores)
    assert scores[-1] < max(scores) + model.tol and np.argmax(scores) < len(scores) - 1


def test_early_stopping_splits_off_a_part_in_the_proportion_of_the_classes(rng, monkeypatch):
    X, y = waves(40, rng)
    seen = {}

    def spy(network, sequences, target, **options):
        seen["train"], seen["validation"] = (sequences, target), options["validation"][:2]
        return train(network, sequences, target, **options)

    monkeypatch.setattr("fastrnn.estimators._fitting.train", spy)
    model = RNNClassifier(**SMALL, early_stopping=True, validation_fraction=0.25).fit(X, y)
    first = model.predict_proba(X)
    assert len(seen["train"][0]) == 30 and seen["train"][1].sum() == 15 and seen["validation"][1].sum() == 5
    parts = [x.tobytes() for part in seen.values() for x in part[0]]
    assert sorted(parts) == sorted(x.tobytes() for x in X)
    np.testing.assert_array_equal(model.fit(X, y).predict_proba(X), first)


def test_wrong_validation_data_are_named(rng):
    X, y = waves(10, rng)
    model = RNNClassifier(**SMALL)
    for options, words in [
        ({"X_val": X}, "y_val is None, expected X_val and y_val together"),
        ({"y_val": y}, "X_val is None"),
        ({"X_val": X, "y_val": y + 1}, "X_val, y_val: y has the label 2"),
        ({"X_val": [x[:, [0, 0]] for x in X], "y_val": y}, "X_val, y_val: X has 2 features"),
        ({"X_val": X, "y_val": y[:4]}, "X_val, y_val: .*inconsistent numbers of samples"),
    ]:
        with pytest.raises(ValueError, match=words):
            model.fit(X, y, **options)
    with pytest.raises(ValueError, match="validation_fraction = 0.9 of n_samples = 1 leaves no sequence"):
        RNNRegressor(**SMALL, early_stopping=True, validation_fraction=0.9).fit(X[:1], y[:1])


# learning rates


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("constant", None),
        ("invscaling", schedules.InverseScaling(0.3)),
        ("adaptive", schedules.Plateau(0.2, 1, 1e-4)),
        ("step", schedules.Step()),
        ("exponential", schedules.Exponential()),
        ("cosine", schedules.Cosine()),
        ("onecycle", schedules.OneCycle()),
        ("plateau", schedules.Plateau()),
    ],
)
def test_names_of_learning_rates_are_schedules(name, schedule, rng):
    X, y = adding(40, 5, random_state=0)
    options = {**SMALL, "max_iter": 14, "learning_rate_init": 0.05}
    named = RNNRegressor(**options, learning_rate=name, power_t=0.3).fit(X, y)
    given = RNNRegressor(**options, learning_rate=schedule or schedules.Constant()).fit(X, y)
    assert named.loss_curve_ == given.loss_curve_
    if name not in ("constant", "adaptive", "plateau"):  # the last two wait for a loss that does not fall
        assert named.loss_curve_ != RNNRegressor(**options).fit(X, y).loss_curve_


def test_accumulated_batches_are_one_larger_batch():
    X, y = adding(32, 5, random_state=0)
    options = {**SMALL, "shuffle": False, "dtype": "float64", "alpha": 0.1}
    joined = RNNRegressor(**options, batch_size=4, accumulate_steps=4).fit(X, y)
    large = RNNRegressor(**options, batch_size=16).fit(X, y)
    np.testing.assert_allclose(joined.predict(X), large.predict(X), rtol=1e-9, atol=1e-10)
