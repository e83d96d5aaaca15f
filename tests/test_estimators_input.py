"""What the estimators take as X and y, and what they say about the rest."""

import tracemalloc

import numpy as np
import pytest

from fastrnn.estimators import RNNClassifier, RNNRegressor
from fastrnn.estimators._predicting import PREDICT_BYTES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def small(cls=RNNClassifier, **options):
    return cls(**{"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0} | options)


def data(rng, n=12, inputs=3):
    return [rng.normal(size=(int(t), inputs)) for t in rng.integers(2, 7, size=n)], np.arange(n) % 3


# forms of X


def test_all_forms_of_x_give_the_same_bits(rng):
    block, y = rng.normal(size=(12, 5, 1)), np.arange(12) % 3
    flat = block[:, :, 0]
    forms = [block, flat, list(block), block.tolist(), flat.tolist(), list(flat), np.asfortranarray(block)]
    answers = [small().fit(X, y).predict_proba(X) for X in forms]
    for other in answers[1:]:
        np.testing.assert_array_equal(other, answers[0])
    models = [small().fit(X, y) for X in forms[:3]]
    assert [m.n_features_in_ for m in models] == [1, 5, 1]
    for model in models:  # each form is understood whatever the form of fit
        for X in forms:
            np.testing.assert_array_equal(model.predict_proba(X), answers[0])


def test_ragged_nested_lists_tuples_and_object_arrays_are_sequences(rng):
    X, y = data(rng)
    expected = small().fit(X, y).predict_proba(X)
    as_objects = np.empty(len(X), dtype=object)
    as_objects[:] = X
    for form in (as_objects, [x.tolist() for x in X], tuple(X)):
        np.testing.assert_array_equal(small().fit(form, y).predict_proba(form), expected)
    flat, columns = [x[:, 0] for x in X], [x[:, :1] for x in X]
    answers = [small().fit(form, y).predict_proba(form) for form in (flat, columns)]
    np.testing.assert_array_equal(answers[0], answers[1])


def test_strided_fortran_ordered_byte_swapped_and_read_only_sequences_give_the_same_bits(rng):
    X, y = data(rng)
    expected = small().fit(X, y).predict_proba(X)
    read_only = [x.copy() for x in X]
    for x in read_only:
        x.setflags(write=False)
    forms = [np.repeat(x, 2, axis=0)[::2] for x in X], list(map(np.asfortranarray, X)), [x.astype(">f8") for x in X]
    for form in (*forms, read_only):
        np.testing.assert_array_equal(small(dtype="float64").fit(form, y).predict_proba(form), expected)


def test_compute_type_follows_x(rng):
    X, y = data(rng)
    single = [x.astype(np.float32) for x in X]
    whole = [np.rint(x).astype(int) for x in X]
    for given, expected in ((X, "float64"), (single, "float32"), (whole, "float64"), (single[:6] + X[6:], "float64")):
        model = small().fit(given, y)
        assert model.predict_proba(given).dtype == expected == model.network_.dtype
    assert small().fit(single, y).predict_proba(X).dtype == "float32"
    assert small(dtype="float32").fit(X, y).predict_proba(X).dtype == "float32"
    assert small(RNNRegressor).fit(single, y).predict(single).dtype == "float32"


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_an_answer_does_not_depend_on_its_neighbours(cell, n_threads, rng, exact_threads, monkeypatch):
    X, y = data(rng, n=30)
    model = small(cell=cell, bidirectional=True, hidden_layer_sizes=(9, 5), n_threads=1).fit(X, y)
    together = model.predict_proba(X)
    model.set_params(n_threads=n_threads)
    order = rng.permutation(30)
    np.testing.assert_array_equal(model.predict_proba([X[i] for i in order]), together[order])
    for i in order:
        np.testing.assert_array_equal(model.predict_proba([X[i]])[0], together[i])
    monkeypatch.setattr("fastrnn.estimators._predicting.PREDICT_BYTES", 5000)  # cuts into small batches
    np.testing.assert_array_equal(model.predict_proba(X), together)


def test_ten_thousand_sequences_are_predicted_within_a_bound_of_memory(rng):
    X = [np.zeros((int(t), 4), np.float32) for t in rng.integers(30, 60, size=10_000)]
    model = small(cell="gru", hidden_layer_sizes=(64,), max_iter=1).fit(X[:40], np.arange(40) % 2)
    peaks = {}
    for n_samples in (2_500, 10_000):
        tracemalloc.start()
        try:
            model.predict_proba(X[:n_samples])
            peaks[n_samples] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    at_once = 10_000 * 45 * (4 + 2 * 64) * 4  # bytes of the input and the outputs of all
    assert peaks[10_000] < PREDICT_BYTES + 2**23 < at_once / 4
    assert peaks[10_000] < peaks[2_500] + 2**23


# X that is refused


def with_value(X, value, where=(3, 1, 0), others=()):
    X = [x.copy() for x in X]
    for i, t, f in (where, *others):
        X[i][t, f] = value
    return X


def test_nan_and_infinity_are_found_where_they_are(rng):
    X, y = data(rng)
    nan = with_value(X, np.nan, others=[(5, 0, 2), (5, 1, 2)])
    with pytest.raises(ValueError, match=r"^X contains NaN at sample 3, step 1, feature 0 \(3 in all\)$"):
        small().fit(nan, y)
    with pytest.raises(ValueError, match=r"^X contains inf at sample 3, step 1, feature 0 \(1 in all\)$"):
        small().fit(with_value(X, -np.inf), y)
    block = rng.normal(size=(4, 6, 2)).astype(np.float32)
    block[2, 4, 1] = np.nan
    with pytest.raises(ValueError, match=r"X contains NaN at sample 2, step 4, feature 1 \(1 in all\)"):
        small().fit(block, np.arange(4))
    with pytest.raises(ValueError, match=r"X contains NaN at sample 2, step 4, feature 0 \(1 in all\)"):
        small().fit(block[:, :, 1], np.arange(4))
    with pytest.raises(ValueError, match=r"X contains 1e\+300, too large for float32 \(inf\), at sample 3, step 1"):
        small(dtype="float32").fit(with_value(X, 1e300), y)


def third(x):
    """Put `x` in the place of the third sequence."""
    return lambda X: [*X[:2], x(X[2]) if callable(x) else x, *X[3:]]


WRONG_X = {
    "NaN": (lambda X: with_value(X, np.nan), ValueError, "X contains NaN at sample 3"),
    "empty sequence": (
        third(np.zeros((0, 3))),
        ValueError,
        r"X\[2\] is an empty sequence: shape \(0, 3\), expected n_timesteps >= 1",
    ),
    "unequal features": (
        third(np.zeros((2, 4))),
        ValueError,
        r"X\[2\] has shape \(2, 4\), expected \(n_timesteps, n_features\) = \(n_timesteps, 3\)",
    ),
    "three axes in a list": (third(np.zeros((2, 3, 1))), ValueError, r"X\[2\] has shape \(2, 3, 1\), expected"),
    "number in a list": (third(np.array(1.0)), ValueError, r"X\[2\] has shape \(\), expected"),
    "steps of unequal features": (third([[1.0, 2.0, 3.0], [1.0]]), ValueError, r"X\[2\] cannot be read as one array"),
    "complex": (third(lambda x: x + 1j), TypeError, r"X\[2\] has dtype complex128, expected real numbers"),
    "text": (third(lambda x: x.astype(str)), TypeError, r"X\[2\] has dtype <U\d+, expected real numbers"),
    "object": (third(lambda x: x.astype(object)), TypeError, r"X\[2\] has dtype object, expected real numbers"),
    "empty list": (lambda X: [], ValueError, r"X is empty: found array with 0 sample\(s\)"),
    "only empty sequences": (lambda X: np.zeros((12, 0, 3)), ValueError, "all sequences are empty"),
    "no features": (lambda X: np.zeros((12, 4, 0)), ValueError, "0 feature"),
    "no samples": (lambda X: np.zeros((0, 4, 3)), ValueError, "0 sample"),
    "complex block": (lambda X: np.zeros((12, 4, 3), complex), TypeError, "X has dtype complex128, expected real"),
    "text block": (lambda X: np.full((12, 4, 3), "a"), TypeError, "X has dtype <U1, expected real"),
    "four axes": (lambda X: np.zeros((12, 4, 3, 1)), ValueError, r"X has shape \(12, 4, 3, 1\), expected"),
    "complex matrix": (lambda X: np.zeros((12, 3), complex), ValueError, "Complex data not supported"),
    "number": (lambda X: 3.0, ValueError, "Expected 2D array, got scalar array"),
}


@pytest.mark.parametrize("case", WRONG_X)
def test_wrong_x_is_named_and_a_fitted_model_goes_on_as_it_was(case, rng):
    X, y = data(rng)
    model = small().fit(X, y)
    before = model.predict_proba(X)
    change, error, words = WRONG_X[case]
    for use in (lambda wrong: model.fit(wrong, y), model.predict):
        with pytest.raises(error, match=words):
            use(change(X))
        np.testing.assert_array_equal(model.predict_proba(X), before)


def test_wrong_number_of_features_is_said_with_a_hint(rng):
    X, y = data(rng)
    model = small().fit(X, y)
    for wrong in ([np.zeros((5, 4))], np.zeros((2, 5, 4))):
        with pytest.raises(ValueError, match="X has 4 features, but RNNClassifier is expecting 3 features as input$"):
            model.predict(wrong)
    with pytest.raises(ValueError, match="expecting 3 features as input; it would fit .* transpose each"):
        model.predict([np.zeros((3, 9))])
    with pytest.raises(ValueError, match=r"expecting 3 features .*X.transpose\(0, 2, 1\) would fit"):
        model.predict(np.zeros((2, 3, 9)))
    with pytest.raises(ValueError, match=r"read as \(n_samples, n_timesteps\) .* passed as \[X\]"):
        model.predict(X[0])


# y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "classes", [["a", "b", "c"], ["no", "yes"], ["one"], [-3, 10], [2, 5, 7]], ids=lambda classes: str(classes[0])
)
def test_labels_of_any_kind_and_number_come_back_by_their_probability(classes, dtype, rng):
    X, y = data(rng)
    labels = np.array(classes)[y % len(classes)]
    model = small(dtype=dtype)
    assert model.fit(X, labels) is model and model.classes_.tolist() == classes
    probabilities, predicted = model.predict_proba(X), model.predict(X)
    assert probabilities.shape == (12, len(classes)) and (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6 if dtype == "float32" else 1e-14)
    assert predicted.dtype == labels.dtype
    np.testing.assert_array_equal(predicted, model.classes_[probabilities.argmax(axis=1)])
    assert model.score(X, labels) == np.mean(predicted == labels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: None, "requires y to be passed, but the target y is None"),
        (lambda y: y[:-1] + 5, "inconsistent numbers of samples"),
        (lambda y: y + 0.5, "Unknown label type"),
        (lambda y: np.where(y == 1, np.nan, y), "y contains NaN"),
    ],
)
def test_wrong_labels_are_named_and_a_fitted_model_goes_on_as_it_was(change, words, rng):
    X, y = data(rng)
    model = small().fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=words):
        model.fit(X, change(y))
    assert model.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_wrong_numbers_to_learn_are_named(rng):
    X, y = data(rng)
    for bad, words in ((np.nan, "y contains NaN"), (np.inf, "y contains infinity"), (1j, "Complex data not supported")):
        with pytest.raises(ValueError, match=words):
            small(RNNRegressor).fit(X, np.where(y == 1, bad, 0.0))
