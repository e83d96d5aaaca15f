"""The data sets are what their descriptions say."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastrnn.datasets import Bunch, adding, load_japanese_vowels
from fastrnn.estimators import LSTMClassifier


@pytest.fixture(scope="module")
def vowels():
    return load_japanese_vowels()


@pytest.mark.parametrize("part, count", [("train", 270), ("test", 370)])
def test_japanese_vowels_have_the_described_counts_lengths_and_classes(vowels, part, count):
    X, y = vowels[f"X_{part}"], vowels[f"y_{part}"]
    assert isinstance(X, list) and len(X) == len(y) == count
    assert all(x.ndim == 2 and x.shape[1] == 12 and 7 <= len(x) <= 29 for x in X)
    assert all(x.dtype == np.float32 and x.flags.c_contiguous and np.isfinite(x).all() for x in X)
    assert y.dtype == np.int64 and sorted(set(y.tolist())) == list(range(1, 10))


def test_japanese_vowels_span_the_lengths_seven_to_twenty_nine(vowels):
    lengths = [len(x) for x in vowels.X_train + vowels.X_test]
    assert min(lengths) == 7 and max(lengths) == 29


def test_japanese_vowels_have_the_described_number_of_utterances_a_speaker(vowels):
    assert np.bincount(vowels.y_train)[1:].tolist() == [30] * 9
    assert np.bincount(vowels.y_test)[1:].tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]


def test_the_first_frame_of_japanese_vowels_is_that_of_the_source(vowels):
    expected = [1.860936, -0.207383, 0.261557, -0.214562, -0.171253, -0.118167]
    np.testing.assert_allclose(vowels.X_train[0][0, :6], expected, atol=1e-6)


def test_japanese_vowels_come_as_a_tuple_and_in_float64_too(vowels):
    X_train, y_train, X_test, y_test = load_japanese_vowels(return_X_y=True, dtype="float64")
    assert len(X_train) == len(y_train) == 270 and len(X_test) == len(y_test) == 370
    assert X_train[0].dtype == np.float64
    assert np.array_equal(X_train[0].astype("float32"), vowels.X_train[0])


def test_japanese_vowels_tell_their_licence_and_source(vowels):
    assert "CC BY 4.0" in vowels.DESCR and "C5NS47" in vowels.DESCR
    assert len(vowels.target_names) == 9


def test_loaded_arrays_belong_to_the_caller():
    load_japanese_vowels().X_train[0][:] = 0.0
    assert load_japanese_vowels().X_train[0].any()


def test_the_adding_problem_asks_for_the_sum_of_two_marked_values():
    X, y = adding(300, 21, random_state=0)
    assert X.shape == (300, 21, 2) and y.shape == (300,) and X.dtype == y.dtype == np.float32
    values, marks = X[..., 0], X[..., 1]
    assert 0.0 <= values.min() and values.max() < 1.0
    assert set(np.unique(marks)) == {0.0, 1.0}
    assert (marks[:, :10].sum(axis=1) == 1).all() and (marks[:, 10:].sum(axis=1) == 1).all()
    for x, target in zip(X, y):
        a, b = x[x[:, 1] == 1.0, 0]
        assert target == pytest.approx(a + b, rel=1e-6)
    # every step gets marked, also the first and the last
    assert marks.any(axis=0).all()


def test_answering_one_to_the_adding_problem_has_the_error_one_sixth():
    _, y = adding(20000, 4, random_state=1)
    assert np.mean((y - 1.0) ** 2) == pytest.approx(1 / 6, rel=0.03)


@pytest.mark.parametrize("seq_len", [20, 21, 40])
def test_the_original_adding_problem_follows_its_paper(seq_len):
    X, y = adding(3000, seq_len, variant="original", random_state=0)
    lengths = [len(x) for x in X]
    assert min(lengths) == seq_len and max(lengths) == seq_len + seq_len // 10
    places = set()
    for x, target in zip(X, y):
        values, marks = x[:, 0], x[:, 1]
        assert abs(values).max() <= 1.0 and marks[0] == marks[-1] == -1.0
        marked = np.flatnonzero(marks == 1.0)
        assert not marks[1:-1][marks[1:-1] != 1.0].any()
        # one mark is missing where the first step was chosen, whose value counts as 0
        assert 1 <= len(marked) <= 2
        assert target == pytest.approx(0.5 + float(values[marked].sum()) / 4.0, abs=1e-6)
        places.add((0, *marked) if len(marked) == 1 else tuple(marked))
    half = seq_len // 2 - 1
    assert places == {tuple(sorted((i, j))) for i in range(10) for j in range(half) if i != j}


def test_one_in_ten_original_sequences_has_its_first_step_chosen_first():
    X, _ = adding(20000, 60, variant="original", random_state=3)
    alone = np.mean([(x[:, 1] == 1.0).sum() == 1 for x in X])
    assert alone == pytest.approx(0.1 + 0.9 / 28, abs=0.008)  # X1, or else X2 among the 28 left of 29


def test_generators_repeat_themselves_for_one_random_state():
    for variant in ("sum", "original"):
        (X, y), (X_2, y_2), (_, y_3) = (adding(5, 20, variant=variant, random_state=s) for s in (1, 1, 2))
        assert all(np.array_equal(a, b) for a, b in zip(X, X_2)) and np.array_equal(y, y_2)
        assert not np.array_equal(y, y_3)


def test_bad_arguments_of_the_adding_problem_are_named():
    with pytest.raises(ValueError, match="seq_len is 1, expected an integer >= 2"):
        adding(5, 1)
    with pytest.raises(ValueError, match="seq_len is 19, expected an integer >= 20"):
        adding(5, 19, variant="original")
    with pytest.raises(ValueError, match="variant is 'product', expected one of 'sum', 'original'"):
        adding(5, 20, variant="product")


def test_a_bunch_lists_its_entries_where_one_is_missing():
    bunch = Bunch(a=1)
    assert bunch.a == bunch["a"] == 1 and "a" in dir(bunch)
    with pytest.raises(AttributeError, match="no entry 'b', only 'a'"):
        _ = bunch.b


def test_the_demo_reaches_96_percent_on_the_mean_of_five_seeds(vowels):
    steps = np.concatenate(vowels.X_train)

    def scaled(sequences):
        return [(x - steps.mean(axis=0)) / steps.std(axis=0) for x in sequences]

    X_train, X_test = scaled(vowels.X_train), scaled(vowels.X_test)
    accuracies = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for seed in range(5):
            model = LSTMClassifier(random_state=seed, n_threads=1).fit(X_train, vowels.y_train)
            accuracies.append(model.score(X_test, vowels.y_test))
    assert np.mean(accuracies) >= 0.96, accuracies
