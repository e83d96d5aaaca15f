"""``network=``: a composed Sequential in the place of the architecture parameters."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from storage_cases import assert_same_value

import fastrnn
from fastrnn import GRU, LSTM, Conv1d, Dense, Dropout, Embedding, Pool, Sequential
from fastrnn.estimators import GRUClassifier, RNNClassifier, RNNRegressor
from fastrnn.estimators._network import ARCHITECTURE
from fastrnn.estimators._parameters import Parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"max_iter": 2, "random_state": 0, "n_threads": 1}
OTHERS = {
    "hidden_layer_sizes": (3,),
    "activation": "relu",
    "cell": "rnn",
    "init": "glorot",
    "bidirectional": True,
    "pooling": "mean",
    "embedding_dim": 3,
    "conv_filters": 4,
    "dropout": 0.1,
    "recurrent_dropout": 0.1,
    "zoneout": 0.1,
    "layer_norm": True,
    "learn_initial_state": True,
    "proj_size": 2,
}


def composed(outputs=1, inputs=2, cell=GRU, dtype="float64"):
    return Sequential(
        Conv1d(inputs, 4, 3, padding="same", dtype=dtype, random_state=0),
        Sequential(cell(4, 5, bidirectional=True, dtype=dtype, random_state=1), Dropout(0.1)),
        Pool("last"),
        Dense(10, outputs, dtype=dtype, random_state=2),
    )


def data(rng, n=24):
    return [rng.normal(size=(int(t), 2)) for t in rng.integers(1, 8, size=n)], np.arange(n) % 2


def answer(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


def bits(network):
    return {name: w.tobytes() for name, w in network.params.items()}


@pytest.mark.parametrize("cls", [RNNClassifier, RNNRegressor])
def test_fit_starts_from_a_copy_of_the_weights_and_leaves_the_given_network_alone(cls, rng):
    X, y = data(rng)
    network = composed()
    before, pickled = bits(network), pickle.dumps(network)
    model = cls(network=network, **SMALL, learning_rate_init=1e-12).fit(X, y)
    assert model.network is network and bits(network) == before and pickle.dumps(network) == pickled
    for name, w in network.params.items():
        np.testing.assert_allclose(model.network_.params[name], w, atol=1e-9)
    trained = cls(network=network, **SMALL, learning_rate_init=0.05).fit(X, y)
    assert all(bits(trained.network_)[name] != value for name, value in before.items())
    assert bits(network) == before
    np.testing.assert_array_equal(answer(trained.fit(X, y), X), answer(clone(trained).fit(X, y), X))


def test_a_network_like_that_of_the_parameters_is_trained_to_the_same_bits(rng):
    X, y = data(rng)
    plain = GRUClassifier((4,), shuffle=False, **SMALL, dtype="float64")
    start = clone(plain).set_params(max_iter=1, learning_rate_init=1e-300).fit(X, y)._trained
    given = RNNClassifier(network=start, shuffle=False, **SMALL)
    np.testing.assert_array_equal(given.fit(X, y).predict_proba(X), plain.fit(X, y).predict_proba(X))


def test_a_composed_network_learns(rng):
    y = np.arange(90) % 3
    X = [np.sin((0.2, 0.6, 1.2)[k] * np.arange(t))[:, None] for k, t in zip(y, rng.integers(10, 16, 90), strict=True)]
    model = RNNClassifier(network=composed(3, 1), max_iter=60, learning_rate_init=0.02, random_state=0, n_threads=1)
    assert model.fit(X[:60], y[:60]).score(X[60:], y[60:]) >= 0.95


def test_the_compute_type_is_that_of_the_network(rng):
    X, y = data(rng)
    model = RNNClassifier(network=composed(dtype="float32"), **SMALL).fit(X, y)
    assert model.predict_proba(X).dtype == "float32"
    with pytest.raises(ValueError, match="^dtype is 'float64', expected 'auto' or that of network, 'float32'"):
        model.set_params(dtype="float64").fit(X, y)
    assert model.set_params(dtype=np.float32).fit(X, y).predict_proba(X).dtype == "float32"


def test_a_network_that_begins_with_a_table_reads_its_rows(rng):
    network = Sequential(Embedding(6, 3, random_state=0), LSTM(3, 4, random_state=1), Pool("mean"), Dense(4, 1))
    X = [rng.integers(0, 6, size=int(t)) for t in rng.integers(1, 6, size=20)]
    model = RNNRegressor(network=network, **SMALL, learning_rate_init=1e-30).fit(X, np.arange(20.0))
    assert not hasattr(model, "vocabulary_")
    for x, found in zip(X, model.predict(X), strict=True):
        np.testing.assert_array_equal(network(x[:, None])[0][0, 0], found)
    for wrong, error, words in [
        ([[0, 6]], ValueError, "X holds the token 6 at sample 0, step 1, expected 0 <= token < num_embeddings = 6"),
        ([[0, -1]], ValueError, "X holds the token -1 at sample 0, step 1"),
        ([["a"]], TypeError, "X holds strings as tokens, expected integers, 0 <= token < num_embeddings = 6"),
    ]:
        with pytest.raises(error, match=words):
            model.predict(wrong)
        with pytest.raises(error, match=words):
            RNNRegressor(network=network, **SMALL).fit(wrong, [1.0])


# what is refused


def test_every_architecture_parameter_is_one():
    described = {name for name in ARCHITECTURE if name in Parameters().get_params()}
    assert described == set(ARCHITECTURE) == set(OTHERS)


@pytest.mark.parametrize("name", OTHERS)
def test_another_architecture_beside_the_network_is_refused_by_name(name, rng):
    X, y = data(rng)
    settings = {"activation": {"cell": "rnn"}}.get(name, {})
    model = RNNClassifier(network=composed(), **SMALL, **settings, **{name: OTHERS[name]})
    with pytest.raises(ValueError, match=f"^{name} is .*, expected .* where network is given"):
        model.fit(X, y)


def test_the_default_of_a_subclass_is_no_other_architecture(rng):
    X, y = data(rng)
    a, b = (cls(network=composed(), **SMALL).fit(X, y).predict_proba(X) for cls in (GRUClassifier, RNNClassifier))
    np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="^cell is 'lstm', expected 'gru' where network is given"):
        GRUClassifier(network=composed(), cell="lstm").fit(X, y)


@pytest.mark.parametrize(
    ("network", "error", "words"),
    [
        (GRU(2, 3), TypeError, "network is an object of type GRU, expected a fastrnn.Sequential or None"),
        ("gru", TypeError, "network is an object of type str"),
        (composed(inputs=3), ValueError, "network reads input_size = 3 features a step, expected those of X, 2"),
        (
            composed(2),
            ValueError,
            "network gives output_size = 2 numbers a sequence, expected 1: one score a class, a s",
        ),
        (Sequential(GRU(2, 3), Dense(3, 1)), ValueError, "network is .*an output a step, expected one output a seq"),
        (Sequential(Pool("last")), ValueError, r"network is .*Pool.*, expected one with parameters to train"),
    ],
)
def test_a_network_that_does_not_fit_is_named_and_a_fitted_model_goes_on_as_it_was(network, error, words, rng):
    X, y = data(rng)
    model = RNNClassifier(network=composed(), **SMALL).fit(X, y)
    before, good = model.predict_proba(X), model.network
    with pytest.raises(error, match=f"^{words}"):
        model.set_params(network=network).fit(X, y)
    np.testing.assert_array_equal(model.set_params(network=good).predict_proba(X), before)


def test_a_regressor_says_how_many_numbers_it_expects(rng):
    X, y = data(rng)
    with pytest.raises(
        ValueError, match="network gives output_size = 1 numbers a sequence, expected 2: one number a col"
    ):
        RNNRegressor(network=composed(), **SMALL).fit(X, np.stack([y, y], axis=1))


def test_a_window_is_refused_where_the_network_needs_all_steps(rng):
    X, y = data(rng)
    model = RNNClassifier(network=composed(), **SMALL).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=r"bptt_window is set, but layer 0 \(Conv1d"):
        model.set_params(bptt_window=3).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_warm_start_goes_on_with_a_network_of_the_same_layers_only(rng):
    X, y = data(rng)
    model = RNNClassifier(network=composed(), warm_start=True, **SMALL).fit(X, y)
    curve = list(model.loss_curve_)
    assert model.fit(X, y).loss_curve_[:2] == curve and model.n_iter_ == 4
    with pytest.raises(ValueError, match=r"the parameters describe .*LSTM\(4, 5.*goes on with .*GRU\(4, 5"):
        model.set_params(network=composed(cell=LSTM)).fit(X, y)


# copies, files, searches


def test_clones_pickles_and_files_have_the_network_and_what_was_learned(rng, tmp_path):
    X, y = data(rng)
    model = RNNClassifier(network=composed(), **SMALL).fit(X, y)
    twin = clone(model)
    assert twin.network is not model.network and bits(twin.network) == bits(model.network)
    np.testing.assert_array_equal(twin.fit(X, y).predict_proba(X), model.predict_proba(X))
    fastrnn.save(model, tmp_path / "model")
    loaded = fastrnn.load(tmp_path / "model")
    assert_same_value(vars(loaded), vars(model))
    for other in (loaded, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(other.fit(X, y).predict_proba(X), model.predict_proba(X))


def test_grid_search_chooses_among_networks(rng):
    X, y = data(rng, n=40)
    networks = [composed(), composed(cell=LSTM)]
    search = GridSearchCV(RNNClassifier(**SMALL), {"network": networks}, cv=2, n_jobs=2).fit(X, y)
    assert search.best_params_["network"] in networks
    assert repr(search.best_estimator_._trained) == repr(search.best_params_["network"])
    assert "Sequential(Conv1d" in search.best_estimator_._repr_html_()


# one to one


def dense(n_features, n_outputs, **options):
    options |= {"dtype": "float64"}
    layers = [fastrnn.Dense(n_features, 16, activation="relu", random_state=0, **options)]
    return fastrnn.Sequential(*layers, fastrnn.Dense(16, n_outputs, random_state=1, **options))


def test_network_without_time_maps_rows_of_a_table(rng):
    X = rng.standard_normal((90, 4))
    y = np.array(["a", "b", "c"])[np.argmax(X[:, :3], axis=1)]
    model = RNNClassifier(
        network=dense(4, 3), max_iter=150, n_iter_no_change=150, learning_rate_init=0.02, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    assert model.n_features_in_ == 4 and model.score(X, y) > 0.97
    np.testing.assert_array_equal(model.predict(X[:, None]), model.predict(X))
    np.testing.assert_array_equal(model.predict(list(X[:, None])), model.predict(X))
    by_hand = np.maximum(X @ model.network_.params["0.weight"].T + model.network_.params["0.bias"], 0)
    by_hand = by_hand @ model.network_.params["1.weight"].T + model.network_.params["1.bias"]
    np.testing.assert_allclose(model.decision_function(X), by_hand, rtol=1e-9, atol=1e-12)


def test_network_without_time_is_saved_and_goes_on(rng, tmp_path):
    X, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    model = RNNRegressor(network=dense(4, 2), max_iter=2, random_state=0, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y).fit(X, y)
    fastrnn.save(model, tmp_path / "dense")
    np.testing.assert_array_equal(fastrnn.load(tmp_path / "dense").predict(X), model.predict(X))
    assert model.n_iter_ == 4


def test_network_without_time_refuses_steps_and_other_widths(rng):
    X, y = rng.standard_normal((8, 4)), np.arange(8) % 2
    model = RNNClassifier(network=dense(4, 1), max_iter=1)
    with pytest.raises(ValueError, match="up to 3 steps, expected n_timesteps = 1"):
        model.fit(rng.standard_normal((8, 3, 4)), y)
    with pytest.raises(ValueError, match="network reads input_size = 4 features a step, expected those of X, 5"):
        model.fit(rng.standard_normal((8, 5)), y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    with pytest.raises(ValueError, match="3 features, but RNNClassifier is expecting 4"):
        model.predict(X[:, :3])
