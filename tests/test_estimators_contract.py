"""scikit-learn's checks that matter, for X of three axes and for ragged lists; and its tools around the estimators."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline

import fastrnn
from fastrnn.datasets import load_japanese_vowels
from fastrnn.estimators import (
    GRUClassifier,
    GRURegressor,
    LSTMClassifier,
    LSTMRegressor,
    RNNClassifier,
    RNNRegressor,
    SequenceScaler,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, "n_threads": 1}
ESTIMATORS = {
    "RNNClassifier": lambda: RNNClassifier(**SMALL, cell="rnn", class_weight="balanced"),
    "LSTMClassifier": lambda: LSTMClassifier(**SMALL, early_stopping=True, validation_fraction=0.3),
    "GRUClassifier": lambda: GRUClassifier(**SMALL, pooling="attention", conv_filters=3),
    "labels": lambda: RNNClassifier(**SMALL, bidirectional=True),
    "RNNRegressor": lambda: RNNRegressor(**SMALL, cell="rnn", pooling="mean", learning_rate="cosine"),
    "LSTMRegressor": lambda: LSTMRegressor(**SMALL, pooling="max", dropout=0.1),
    "GRURegressor": lambda: GRURegressor(**SMALL, bptt_window=3, accumulate_steps=2),
}


def form_of(X, form):
    return X if form == "ragged" else np.stack([np.resize(x, (5, x.shape[1])) for x in X])


@pytest.fixture(params=["3-D", "ragged"])
def X(request, rng):
    return form_of([rng.normal(size=(int(t), 3)) for t in rng.integers(1, 8, size=24)], request.param)


@pytest.fixture(params=ESTIMATORS)
def case(request, rng):
    """An estimator and a target for it."""
    y = np.arange(24) % 3
    labels = (rng.random((24, 4)) < 0.5).astype(int) if request.param == "labels" else np.array(["a", "b", "c"])[y]
    target = np.stack([y, -y], axis=1) if request.param.endswith("Regressor") else labels
    return ESTIMATORS[request.param](), target


def pick(X, indices):
    return [X[i] for i in indices] if isinstance(X, list) else X[indices]


METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


def answers(model, X):
    return {name: getattr(model, name)(X) for name in METHODS if hasattr(model, name)}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_answers_do_not_depend_on_order_or_company(X, case, rng):
    model = case[0].fit(X, case[1])
    together, order = answers(model, X), rng.permutation(24)
    assert_same(answers(model, pick(X, order)), {name: value[order] for name, value in together.items()})
    for i in order[:5]:
        assert_same(answers(model, pick(X, [i])), {name: value[[i]] for name, value in together.items()})


def test_fit_is_idempotent_and_leaves_parameters_and_data_alone(X, case):
    model, y = case
    data = pickle.dumps((X, y))
    params = model.get_params()
    first = answers(model.fit(X, y), X)
    assert model.get_params() == params and pickle.dumps((X, y)) == data
    assert_same(answers(model.fit(X, y), X), first)
    assert_same(answers(clone(model).fit(X, y), X), first)
    fitted = {name for name in vars(model) if name not in params}
    assert all(name.startswith("_") != name.endswith("_") for name in fitted), fitted


def test_predicting_changes_nothing_and_a_pickle_answers_the_same(X, case):
    model = case[0].fit(X, case[1])
    before = pickle.dumps(model)
    first = answers(model, X)
    assert pickle.dumps(model) == before
    assert_same(answers(pickle.loads(before), X), first)


def test_a_subset_of_features_is_refused(X, case):
    model = case[0].fit(X, case[1])
    fewer = [x[:, :2] for x in X] if isinstance(X, list) else X[:, :, :2]
    for name in answers(model, X):
        with pytest.raises(ValueError, match="X has 2 features, but .* is expecting 3 features as input"):
            getattr(model, name)(fewer)


def test_a_scaler_before_the_network_sees_only_training_sequences(X, case):
    model, y = case
    pipeline = make_pipeline(SequenceScaler(), model).fit(X, y)
    scaled = SequenceScaler().fit(X).transform(X)
    assert_same({"predict": pipeline.predict(X)}, {"predict": clone(model).fit(scaled, y).predict(scaled)})


def test_the_html_names_the_estimator_and_its_steps(X, case):
    model, y = case
    for shown in (model, model.fit(X, y), make_pipeline(SequenceScaler(), model)):
        html = shown._repr_html_()
        assert type(model).__name__ in html and "hidden_layer_sizes" in html


def test_set_output_of_a_pipeline_changes_no_answer(X, case):
    pytest.importorskip("pandas", reason="the tables asked for")
    model, y = case
    plain = make_pipeline(SequenceScaler(), model).fit(X, y)
    tables = clone(plain).set_output(transform="pandas").fit(X, y)
    assert_same(answers(tables, X), answers(plain, X))
    flat = np.stack([np.resize(x, 6) for x in X])
    assert type(tables.fit(flat, y)[0].transform(flat)).__name__ == "DataFrame"
    assert_same(answers(tables, flat), answers(plain.fit(flat, y), flat))


@pytest.mark.parametrize("form", ["table", "list"])
@pytest.mark.filterwarnings("error:X has feature names", "error:X does not have valid feature names")
def test_names_of_columns_are_kept_and_others_refused(form, rng):
    pandas = pytest.importorskip("pandas", reason="columns with names")

    def named(*names):
        table = pandas.DataFrame(rng.normal(size=(8, len(names))), columns=names)
        return table if form == "table" else [table] * 8

    for cls in (RNNClassifier, RNNRegressor):
        model = cls(**SMALL).fit(named("a", "b"), np.arange(8) % 2)
        assert model.feature_names_in_.tolist() == ["a", "b"]
        model.predict(named("a", "b"))
        with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
            model.predict(named("b", "a"))
        assert not hasattr(model.fit(rng.normal(size=(8, 2)), np.arange(8) % 2), "feature_names_in_")


# scores of labels


def labels_of_waves(n, rng):
    """Two independent labels: whether the wave is fast, and whether it stands high."""
    y = rng.integers(0, 2, size=(n, 2))
    return [np.sin((0.2, 0.9)[a] * np.arange(t) + rng.uniform(0, 6))[:, None] + 2 * b
            for (a, b), t in zip(y, rng.integers(10, 18, size=n), strict=True)], y  # fmt: skip


def test_labels_are_learned_each_by_itself(rng):
    X, y = labels_of_waves(140, rng)
    model = GRUClassifier((12,), max_iter=60, learning_rate_init=0.02, random_state=0, n_threads=1).fit(X[:90], y[:90])
    predicted = model.predict(X[90:])
    assert predicted.dtype == np.int64 and (np.mean(predicted == y[90:], axis=0) >= 0.9).all()
    assert model.classes_.tolist() == [0, 1] and model.n_outputs_ == 2
    assert model.score(X[90:], y[90:]) == np.mean((predicted == y[90:]).all(axis=1))
    odds = model.decision_function(X[90:])
    np.testing.assert_allclose(model.predict_proba(X[90:]), 1 / (1 + np.exp(-odds)), rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X[90:]), -np.log1p(np.exp(-odds)), rtol=1e-12)


def test_the_first_loss_of_labels_is_the_sum_of_their_logistic_losses(rng):
    X, y = labels_of_waves(20, rng)
    model = RNNClassifier((3,), max_iter=1, alpha=0.0, learning_rate_init=1e-12, random_state=0).fit(X, y)
    p = model.predict_proba(X)
    np.testing.assert_allclose(model.loss_, -np.log(np.where(y, p, 1 - p)).sum(axis=1).mean(), rtol=1e-9)


def test_scores_and_probabilities_belong_together_and_logs_stay_finite(rng):
    X = [rng.normal(size=(4, 2)) for _ in range(12)]
    for n_classes in (2, 3):
        model = RNNClassifier(**SMALL).fit(X, np.arange(12) % n_classes)
        scores, p = model.decision_function(X), model.predict_proba(X)
        np.testing.assert_allclose(model.predict_log_proba(X), np.log(p), rtol=1e-12)
        if n_classes == 2:
            assert scores.shape == (12,)
            np.testing.assert_allclose(scores, np.log(p[:, 1] / p[:, 0]), rtol=1e-9)
        else:
            np.testing.assert_allclose(np.diff(scores), np.diff(np.log(p)), atol=1e-12)
        weights = {name: 1e4 * w for name, w in model.network_.state_dict().items()}
        model._trained.load_state_dict(weights)  # probabilities of exactly 0
        assert (model.predict_proba(X) == 0).any() and np.isfinite(model.predict_log_proba(X)).all()


@pytest.mark.parametrize("y", [[[0, 1], [2, 0]], [[0.5, 1.0], [0.0, 1.0]], [["a", "b"], ["b", "a"]]])
def test_two_columns_that_are_no_labels_are_refused(y):
    with pytest.raises(ValueError, match=r"y has shape \(2, 2\) and is|Unknown label type|multilabel"):
        RNNClassifier(**SMALL).fit(np.zeros((2, 3, 1)), y)


# model selection


@pytest.fixture(scope="module")
def vowels():
    X, y, _, _ = load_japanese_vowels(return_X_y=True)
    return X[::3], y[::3]


def threads_of_a_worker(estimator, X, y):
    return fastrnn.get_num_threads()


def test_workers_of_joblib_share_the_processors(vowels, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # joblib leaves the workers what the user has set
    X, y = vowels
    pipeline = make_pipeline(SequenceScaler(), GRUClassifier((4,), max_iter=2, random_state=0))
    alone = cross_val_score(pipeline, X, y, cv=2, n_jobs=1)
    np.testing.assert_array_equal(cross_val_score(pipeline, X, y, cv=2, n_jobs=2), alone)
    threads = cross_val_score(pipeline, X, y, cv=2, n_jobs=2, scoring=threads_of_a_worker)
    from joblib import cpu_count

    assert (threads <= max(cpu_count() // 2, 1)).all()
    grid = {"gruclassifier__learning_rate_init": [1e-6, 0.03], "gruclassifier__max_iter": [20]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_params_["gruclassifier__learning_rate_init"] == 0.03


def test_metadata_are_routed_to_fit_and_score_and_validation_data_through_a_pipeline(rng):
    X = [rng.normal(size=(int(t), 2)) for t in rng.integers(2, 6, size=20)]
    y, weight = rng.normal(size=20), rng.integers(1, 4, size=20)
    with sklearn.config_context(enable_metadata_routing=True):
        model = RNNRegressor(**SMALL).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        routed = cross_validate(model, X, y, cv=2, params={"sample_weight": weight})["test_score"]
        halves = [(range(10, 20), range(10)), (range(10), range(10, 20))]
        for score, (train, test) in zip(routed, halves, strict=True):
            fitted = clone(model).fit(pick(X, train), y[train], sample_weight=weight[train])
            assert score == fitted.score(pick(X, test), y[test], sample_weight=weight[test])
        model = RNNRegressor(**SMALL).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(SequenceScaler(), model, transform_input=["X_val"])
        pipeline.fit(X[:12], y[:12], X_val=X[12:], y_val=y[12:])
    np.testing.assert_allclose(pipeline[-1].validation_scores_[-1], pipeline.score(X[12:], y[12:]), rtol=1e-9)
