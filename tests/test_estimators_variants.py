"""Variants of the recurrent layers by the estimators' parameters."""

import numpy as np
import pytest
from storage_cases import assert_same_value

import fastrnn
from fastrnn import GRU, Dense, Pool, Sequential
from fastrnn.estimators import RNNClassifier, RNNRegressor
from fastrnn.losses import squared_error
from fastrnn.models import many_to_one
from fastrnn.optim import SGD
from fastrnn.training import train

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (6, 4), "max_iter": 3, "random_state": 0, "n_threads": 1}
VARIANTS = {
    "recurrent_dropout": {"recurrent_dropout": 0.3},
    "zoneout": {"zoneout": 0.2},
    "layer_norm": {"layer_norm": True},
    "learn_initial_state": {"learn_initial_state": True},
    "proj_size": {"proj_size": 3},
    "all": {"recurrent_dropout": 0.2, "zoneout": 0.1, "layer_norm": True, "learn_initial_state": True},
}
OFF = {"recurrent_dropout": 0.0, "zoneout": 0.0, "layer_norm": False, "learn_initial_state": False, "proj_size": 0}


def waves(n, rng):
    y = np.arange(n) % 2
    lengths = rng.integers(10, 18, size=n)
    return [
        np.sin((0.2, 0.9)[k] * np.arange(t) + rng.uniform(0, 6))[:, None] for k, t in zip(y, lengths, strict=True)
    ], y


@pytest.fixture(params=VARIANTS)
def variant(request):
    return VARIANTS[request.param]


def cells_of(variant):
    return ("lstm",) if "proj_size" in variant else ("lstm", "gru", "rnn")


def test_every_recurrent_layer_is_of_the_variant_and_no_other_is(variant):
    for cell in cells_of(variant):
        network = many_to_one(3, 2, cell=cell, hidden_layer_sizes=(6, 4), bidirectional=True, **variant)
        for layer in network.layers[:2]:
            assert {name: getattr(layer, name) for name in variant} == variant
        plain = many_to_one(3, 2, cell=cell, hidden_layer_sizes=(6, 4))
        for layer in plain.layers[:2]:
            assert {name: getattr(layer, name, off) for name, off in OFF.items()} == OFF


def test_a_variant_is_learned_with_and_differs_from_the_plain_network(variant, rng):
    X, y = waves(120, rng)
    for cell in cells_of(variant):
        options = {"cell": cell, "hidden_layer_sizes": (12,), "learning_rate_init": 0.01, "max_iter": 60}
        options |= {"random_state": 0, "n_threads": 1}
        model = RNNClassifier(**options, **variant).fit(X[:80], y[:80])
        assert model.score(X[80:], y[80:]) >= 0.95, cell
        options["max_iter"] = 2
        one, again = (RNNClassifier(**options, **variant).fit(X, y).predict_proba(X) for _ in range(2))
        np.testing.assert_array_equal(again, one)
        assert (RNNClassifier(**options).fit(X, y).predict_proba(X) != one).all()


@pytest.mark.parametrize("name", ["recurrent_dropout", "zoneout"])
def test_masks_are_drawn_in_training_alone(name, rng):
    X, y = waves(12, rng)
    model = RNNRegressor(**SMALL, **VARIANTS[name], shuffle=False).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), model.predict(X))
    losses = [
        RNNRegressor(**{**SMALL, "max_iter": 1}, **{name: p}, shuffle=False).fit(X, y).loss_ for p in (0.0, 0.3, 0.6)
    ]
    assert len(set(losses)) == 3  # the first loss, before any update, is of the same weights


def test_a_learned_initial_state_moves_and_decides_what_an_answer_begins_with(rng):
    X, y = waves(24, rng)
    model = RNNClassifier(**SMALL, learn_initial_state=True).fit(X, y)
    start = many_to_one(1, 1, hidden_layer_sizes=(6, 4), learn_initial_state=True, dtype="float64", random_state=0)
    added = set(start.params) - set(many_to_one(1, 1, hidden_layer_sizes=(6, 4)).params)
    assert added and set(model.network_.params) == set(start.params)
    assert all((model.network_.params[name] != start.params[name]).any() for name in added)


def test_a_file_and_warm_start_know_the_variant(variant, rng, tmp_path):
    X, y = waves(24, rng)
    model = RNNClassifier(**SMALL, **variant, warm_start=True).fit(X, y)
    fastrnn.save(model, tmp_path / "model")
    loaded = fastrnn.load(tmp_path / "model")
    assert_same_value(vars(loaded), vars(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(loaded.fit(X, y).predict_proba(X), model.fit(X, y).predict_proba(X))
    with pytest.raises(ValueError, match="the parameters describe .*: expected fit with warm_start=False"):
        model.set_params(**{name: OFF[name] for name in variant}).fit(X, y)


@pytest.mark.parametrize("name", ["recurrent_dropout", "zoneout", "layer_norm"])
def test_a_variant_is_trained_in_windows_too(name, rng):
    X, y = waves(120, rng)
    options = {"cell": "gru", "learning_rate_init": 0.01, "max_iter": 60, "random_state": 0, "n_threads": 1}
    model = RNNClassifier((12,), bptt_window=8, **options, **VARIANTS[name]).fit(X[:80], y[:80])
    assert model.score(X[80:], y[80:]) >= 0.95


# what is refused


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"recurrent_dropout": 1.5}, ValueError, "recurrent_dropout is 1.5, expected a number in"),
        ({"recurrent_dropout": "all"}, TypeError, "recurrent_dropout is 'all', expected a number in"),
        ({"zoneout": -0.1}, ValueError, "zoneout is -0.1, expected a number in"),
        ({"layer_norm": "yes"}, TypeError, r"layer_norm is 'yes' \(str\), expected True or False"),
        ({"learn_initial_state": 2}, TypeError, r"learn_initial_state is 2 \(int\), expected True or False"),
        ({"bidirectional": None}, TypeError, r"bidirectional is None \(NoneType\), expected True or False"),
        ({"proj_size": -1}, ValueError, "proj_size is -1, expected an integer >= 0"),
        ({"proj_size": 4}, ValueError, "proj_size is 4, expected proj_size < hidden_size = 4"),
        ({"proj_size": 2, "cell": "gru"}, ValueError, "proj_size is 2, which cell 'lstm' has and 'gru' has not"),
        (
            {"learn_initial_state": True, "bptt_window": 4},
            ValueError,
            "learn_initial_state is True, expected False with bptt_window = 4",
        ),
    ],
)
def test_a_wrong_variant_is_named_and_a_fitted_model_goes_on_as_it_was(params, error, words, rng):
    X, y = waves(12, rng)
    model = RNNClassifier(**SMALL).fit(X, y)
    before, good = model.predict_proba(X), {name: model.get_params()[name] for name in params}
    with pytest.raises(error, match=f"^{words}"):
        model.set_params(**params).fit(X, y)
    np.testing.assert_array_equal(model.set_params(**good).predict_proba(X), before)


def test_a_window_that_would_lose_the_gradient_of_an_initial_state_is_refused(rng):
    network = Sequential(GRU(2, 3, learn_initial_state=True), Pool("last"), Dense(3, 1))
    with pytest.raises(ValueError, match=r"bptt_window is set, but layer 0 \(.*learns its initial state"):
        train(network, rng.normal(size=(4, 5, 2)), np.zeros((4, 1)), loss=squared_error, optimizer=SGD(), rng=rng,
              bptt_window=2)  # fmt: skip
