"""Weights of samples and of classes, and what they are worth: repetitions."""

import numpy as np
import pytest

from fastrnn.estimators import RNNClassifier, RNNRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ONE_BATCH = {"hidden_layer_sizes": (5,), "batch_size": 1000, "max_iter": 15, "learning_rate_init": 0.01}


def make(cls, **options):
    return cls(**{**ONE_BATCH, "random_state": 0, "n_threads": 1, **options})


def data(rng, n=14, inputs=2):
    X = [rng.normal(size=(int(t), inputs)) for t in rng.integers(1, 7, size=n)]
    return X, np.arange(n) % 3, rng.integers(0, 4, size=n)


def repeated(X, counts):
    return [x for x, count in zip(X, counts, strict=True) for _ in range(count)]


def answer(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


def target_of(cls, y):
    return y if cls is RNNClassifier else np.stack([y, -2.0 * y], axis=1)


@pytest.mark.parametrize("cls", [RNNClassifier, RNNRegressor])
@pytest.mark.parametrize(
    "options",
    [{}, {"solver": "sgd", "learning_rate": "invscaling"}, {"cell": "gru", "pooling": "mean", "alpha": 0.1}],
    ids=["adam", "sgd", "penalty"],
)
def test_a_weight_is_a_number_of_repetitions_for_ragged_sequences(cls, options, rng):
    X, y, counts = data(rng)
    target = target_of(cls, y)
    weighted = make(cls, **options).fit(X, target, sample_weight=counts)
    often = make(cls, **options).fit(repeated(X, counts), np.repeat(target, counts, axis=0))
    np.testing.assert_allclose(answer(weighted, X), answer(often, X), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(weighted.loss_curve_, often.loss_curve_, rtol=1e-9)
    assert np.abs(answer(weighted, X) - answer(make(cls, **options).fit(X, target), X)).max() > 1e-5


@pytest.mark.parametrize("cls", [RNNClassifier, RNNRegressor])
def test_a_weight_of_zero_removes_a_sequence_bit_for_bit_in_batches_too(cls, rng):
    X, y, counts = data(rng, n=40)
    kept = np.flatnonzero(counts)
    zeroed = make(cls, batch_size=4).fit(X, y, sample_weight=(counts > 0).astype(float))
    removed = make(cls, batch_size=4).fit([X[i] for i in kept], y[kept], sample_weight=np.ones(len(kept)))
    np.testing.assert_array_equal(answer(zeroed, X), answer(removed, X))


def test_one_weight_for_all_is_no_weight(rng):
    X, y, _ = data(rng)
    expected = make(RNNRegressor, alpha=0.0).fit(X, y).predict(X)
    for weight in (3, np.full(len(X), 0.5)):
        np.testing.assert_allclose(
            make(RNNRegressor, alpha=0.0).fit(X, y, sample_weight=weight).predict(X), expected, rtol=1e-8
        )


@pytest.mark.parametrize("labels", [["b", "a", "c"], [4, 2, 9]])
def test_class_weights_are_sample_weights(labels, rng):
    X, _, _ = data(rng)
    codes = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    y = np.array(labels)[codes]
    balanced = make(RNNClassifier, class_weight="balanced").fit(X, y)
    by_hand = make(RNNClassifier).fit(X, y, sample_weight=14 / (3 * np.array([8, 3, 3]))[codes])
    np.testing.assert_allclose(balanced.predict_proba(X), by_hand.predict_proba(X), rtol=1e-9)
    some = make(RNNClassifier, class_weight={labels[1]: 5.0}).fit(X, y, sample_weight=np.arange(14.0))
    by_hand = make(RNNClassifier).fit(X, y, sample_weight=np.arange(14.0) * np.array([1.0, 5.0, 1.0])[codes])
    np.testing.assert_allclose(some.predict_proba(X), by_hand.predict_proba(X), rtol=1e-9)


def test_balanced_counts_weights_as_repetitions(rng):
    X, y, counts = data(rng)
    weighted = make(RNNClassifier, class_weight="balanced").fit(X, y, sample_weight=counts)
    often = make(RNNClassifier, class_weight="balanced").fit(repeated(X, counts), np.repeat(y, counts))
    np.testing.assert_allclose(weighted.predict_proba(X), often.predict_proba(X), rtol=1e-7)


def test_class_weights_of_labels_are_multiplied(rng):
    X, _, _ = data(rng)
    y = (rng.random((14, 3)) < 0.4).astype(int)
    factors = [{0: 1.0, 1: 3.0}, {0: 2.0, 1: 1.0}, {0: 1.0, 1: 1.0}]
    weighted = make(RNNClassifier, class_weight=factors).fit(X, y)
    by_hand = make(RNNClassifier).fit(X, y, sample_weight=np.where(y[:, 0], 3.0, 1.0) * np.where(y[:, 1], 1.0, 2.0))
    np.testing.assert_allclose(weighted.predict_proba(X), by_hand.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.zeros(14), "sample_weight: all weights are zero"),
        (np.ones(13), r"sample_weight has shape \(13,\), expected \(n_samples,\) = \(14,\)"),
        (np.ones((14, 1)), r"sample_weight has shape \(14, 1\)"),
        (np.where(np.arange(14) == 4, -1.0, 1.0), r"sample_weight\[4\] is negative, expected weights >= 0"),
        (np.where(np.arange(14) == 4, np.nan, 1.0), "sample_weight contains NaN"),
    ],
)
def test_wrong_weights_are_named_and_a_fitted_model_goes_on_as_it_was(weight, words, rng):
    X, y, _ = data(rng)
    model = make(RNNClassifier).fit(X, y)
    before = model.predict_proba(X)
    for fit in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=words):
            fit(X, y, sample_weight=weight)
    with pytest.raises(ValueError, match="X_val, y_val: sample_weight_val"):
        model.fit(X, y, X_val=X, y_val=y, sample_weight_val=np.zeros(14))
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_wrong_class_weights_are_named(rng):
    X, y, _ = data(rng)
    with pytest.raises(ValueError, match=r"class_weight has the label 7, expected labels of \[0, 1, 2\]"):
        make(RNNClassifier, class_weight={0: 1.0, 7: 2.0}).fit(X, y)
    with pytest.raises(ValueError, match="class_weight is 'even', expected a dict, 'balanced' or None"):
        make(RNNClassifier, class_weight="even").fit(X, y)
    with pytest.raises(ValueError, match="class_weight is 'balanced', expected a dict or None for partial_fit"):
        make(RNNClassifier, class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])
