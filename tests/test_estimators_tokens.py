"""Tokens: what is read as one, the vocabulary, unknown ones, and estimators of tokens in files and in searches."""

import pickle

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from storage_cases import assert_same_value, forge

import fastrnn
from fastrnn.estimators import GRUClassifier, RNNClassifier, RNNRegressor
from fastrnn.storage import FileFormatError, read_arrays

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (4,), "embedding_dim": 3, "max_iter": 2, "random_state": 0, "n_threads": 1}
FILLERS, GOOD, BAD = "the a film was is".split(), "fine great".split(), "poor awful".split()


def reviews(n, rng):
    """Sentences of words, and whether one of them is good or bad."""
    y = rng.integers(0, 2, size=n)
    told = [(BAD, GOOD)[k][rng.integers(2)] for k in y]
    return [rng.permutation([*rng.choice(FILLERS, rng.integers(1, 6)), word]).tolist() for word in told], y


def numbers_of(X):
    """The same tokens as integers, in the order of the words."""
    words = sorted(set(FILLERS + GOOD + BAD))
    return [np.array([10 * words.index(word) for word in x]) for x in X]


def answer(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


def test_words_are_learned_and_what_they_say_is_found_again(rng):
    X, y = reviews(160, rng)
    labels = np.array(["bad", "good"])[y]
    model = GRUClassifier((8,), embedding_dim=4, max_iter=40, learning_rate_init=0.02, random_state=0, n_threads=1)
    model.fit(X[:120], labels[:120])
    assert model.score(X[120:], labels[120:]) >= 0.95
    words = sorted(FILLERS + GOOD + BAD)
    assert model.vocabulary_ == {word: k for k, word in enumerate(words, 1)}
    assert repr(model.network_.layers[0]) == "Embedding(10, 4)" and model.n_features_in_ == 1


@pytest.mark.parametrize("cls", [RNNClassifier, RNNRegressor])
def test_integers_and_words_of_the_same_order_give_the_same_bits(cls, rng):
    X, y = reviews(30, rng)
    words, numbers = cls(**SMALL).fit(X, y), cls(**SMALL).fit(numbers_of(X), y)
    np.testing.assert_array_equal(answer(numbers, numbers_of(X)), answer(words, X))
    assert list(numbers.vocabulary_) == list(range(0, 10 * len(words.vocabulary_), 10))
    assert all(type(token) is int for token in numbers.vocabulary_)


def test_all_forms_of_tokens_give_the_same_bits(rng):
    letters = np.array(list("abcde"))[rng.integers(0, 5, size=(12, 6))]
    objects = np.empty(12, dtype=object)
    objects[:] = [list(row) for row in letters]
    rows = ["".join(row) for row in letters]
    forms = [
        letters,
        letters.astype(object),
        letters.tolist(),
        list(letters),
        objects,
        rows,
        np.array(rows),
        tuple(rows),
    ]
    pandas = pytest.importorskip("pandas", reason="reads pandas' columns too")
    forms += [pandas.Series(rows), pandas.DataFrame(letters)]
    y = np.arange(12) % 3
    expected = RNNClassifier(**SMALL).fit(letters, y).predict_proba(letters)
    for form in forms:
        model = RNNClassifier(**SMALL).fit(form, y)
        np.testing.assert_array_equal(model.predict_proba(form), expected)
        np.testing.assert_array_equal(model.predict_proba(letters), expected)
    whole = rng.integers(0, 5, size=(12, 6))
    expected = RNNClassifier(**SMALL).fit(whole, y).predict_proba(whole)
    for form in (whole.astype(np.uint8), whole.tolist(), list(whole), [tuple(row) for row in whole.tolist()]):
        np.testing.assert_array_equal(RNNClassifier(**SMALL).fit(form, y).predict_proba(form), expected)


def test_an_answer_does_not_depend_on_its_neighbours(rng, monkeypatch):
    X, y = reviews(30, rng)
    model = RNNClassifier(**SMALL).fit(X, y)
    together = model.predict_proba(X)
    for i in range(30):
        np.testing.assert_array_equal(model.predict_proba([X[i]])[0], together[i])
    monkeypatch.setattr("fastrnn.estimators._predicting.PREDICT_BYTES", 200)
    np.testing.assert_array_equal(model.predict_proba(X), together)


def test_unknown_tokens_are_all_the_same_and_count_as_a_vector_of_zeros(rng):
    X, y = reviews(40, rng)
    for model, form, strange in (
        (RNNClassifier(**SMALL).fit(X, y), X, ("films", "")),
        (RNNClassifier(**SMALL).fit(numbers_of(X), y), numbers_of(X), (5, 2**62)),
    ):
        with_unknown = [[*form[0], token, *form[1]] for token in strange]
        one, other = model.predict_proba(with_unknown)
        np.testing.assert_array_equal(one, other)
        assert not model.network_.params["0.weight"][0].any()
        tokens = [model.vocabulary_.get(token, 0) for token in map(_plain, with_unknown[0])]
        vectors = model.network_.params["0.weight"][tokens]
        expected, _ = fastrnn.Sequential(*model.network_.layers[1:])(vectors[:, None])
        np.testing.assert_array_equal(model.decision_function(with_unknown[:1]), expected[:, 0])


def _plain(token):
    return token if isinstance(token, str) else int(token)


def test_tokens_that_come_later_train_the_unknown_one_and_validation_data_never_do(rng):
    X, y = reviews(30, rng)
    model = RNNClassifier(**SMALL).fit(X, y, X_val=[["never", "seen"]] * 2, y_val=[0, 1])
    assert not model.network_.params["0.weight"][0].any() and "never" not in model.vocabulary_
    known = dict(model.vocabulary_)
    model.partial_fit([["strange", "words"]], y[:1])
    assert model.vocabulary_ == known and model.network_.params["0.weight"][0].all()


def test_a_sequence_of_weight_zero_is_as_if_it_had_not_been_given(rng):
    X, y = reviews(30, rng)
    weight = np.ones(31)
    weight[4] = 0.0
    weighted = RNNClassifier(**SMALL).fit(
        [*X[:4], ["extra", "words"], *X[4:]], [*y[:4], 1, *y[4:]], sample_weight=weight
    )
    plain = RNNClassifier(**SMALL).fit(X, y, sample_weight=np.ones(30))
    assert weighted.vocabulary_ == plain.vocabulary_
    np.testing.assert_array_equal(weighted.predict_proba(X), plain.predict_proba(X))


def test_the_compute_type_is_double_unless_another_is_asked_for(rng):
    X, y = reviews(20, rng)
    assert RNNClassifier(**SMALL).fit(X, y).predict_proba(X).dtype == "float64"
    assert RNNClassifier(**SMALL, dtype="float32").fit(X, y).predict_proba(X).dtype == "float32"


# what is refused

WORDS = [["a", "b"], ["b"], ["c", "a"]]
WRONG = {
    "NaN": (
        [[1, 2], [3, np.nan], [1]],
        ValueError,
        "^X contains NaN at sample 1, step 1, expected integers or strings",
    ),
    "NaN in an array": (np.array([[1.0, np.nan]] * 3), ValueError, "X contains NaN at sample 0, step 1"),
    "None": ([["a"], ["b", None], ["a"]], ValueError, "X contains None at sample 1, step 1"),
    "fraction": (
        [[1], [2], [0, 1.5]],
        TypeError,
        r"X holds 1.5 \(float\) at sample 2, step 1, expected integers or str",
    ),
    "boolean": ([[1], [True], [0]], TypeError, r"X holds True \(bool\) at sample 1, step 0"),
    "bytes": ([[b"a"], [b"b"], [b"c"]], TypeError, r"X holds b'a' \(bytes\) at sample 0, step 0"),
    "negative": (
        [[1], [0, 4, -1], [2]],
        ValueError,
        r"X holds the token -1 at sample 2?1?, step 2, expected 0 <= token",
    ),
    "too large": ([[1], [2**63], [2]], ValueError, "X holds the token 9223372036854775808 at sample 1, step 0"),
    "both kinds": ([[1], ["a"], [2]], TypeError, r"X\[0\] holds integers and X\[1\] strings, expected tokens of one"),
    "both in one": ([[1], [1, "a"], [2]], TypeError, r"X\[1\] holds integers and strings, expected tokens of one kind"),
    "empty sequence": ([["a"], [], ["b"]], ValueError, r"X\[1\] is an empty sequence, expected n_timesteps >= 1"),
    "empty text": (["ab", "", "c"], ValueError, r"X\[1\] is an empty sequence"),
    "nothing": ([], ValueError, r"X is empty: found array with 0 sample\(s\)"),
    "one text": ("abc", TypeError, r"X is an object of type str, expected a list .* a single one is \[X\]"),
    "one sequence": (np.arange(3), ValueError, r"X\[0\] is .*0.*, expected a str or a sequence \(n_timesteps,\)"),
    "features": (np.zeros((3, 4, 2), int), ValueError, r"X has shape \(3, 4, 2\), expected \(n_samples, n_timesteps\)"),
    "list of features": (
        [np.zeros((4, 2), int)] * 3,
        ValueError,
        r"X\[0\] has shape \(4, 2\), expected a str or a seq",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_token_is_named_and_a_fitted_model_goes_on_as_it_was(case):
    X, error, words = WRONG[case]
    model = RNNClassifier(**SMALL).fit(WORDS, [0, 1, 1])
    before = model.predict_proba(WORDS)
    for use in (lambda: model.fit(X, [0, 1, 1]), lambda: model.predict(X)):
        with pytest.raises(error, match=words):
            use()
        np.testing.assert_array_equal(model.predict_proba(WORDS), before)


def test_tokens_of_another_kind_than_in_fit_are_refused():
    model = RNNClassifier(**SMALL).fit(WORDS, [0, 1, 1])
    with pytest.raises(TypeError, match="X holds integers as tokens, expected strings, as in fit"):
        model.predict([[1, 2]])
    with pytest.raises(TypeError, match="X_val, y_val: X holds integers as tokens"):
        model.fit(WORDS, [0, 1, 1], X_val=[[1, 2]], y_val=[0])


def test_an_estimator_reads_tokens_or_numbers_as_its_last_fit_did(rng):
    model = RNNClassifier(**SMALL).fit(WORDS, [0, 1, 1])
    before = model.predict_proba(WORDS)
    np.testing.assert_array_equal(model.set_params(embedding_dim=None).predict_proba(WORDS), before)
    model.fit(rng.normal(size=(4, 5)), [0, 1, 1, 0])
    assert not hasattr(model, "vocabulary_") and model.n_features_in_ == 5
    model.set_params(embedding_dim=3, warm_start=True)
    with pytest.raises(ValueError, match=r"the parameters describe Sequential\(Embedding"):
        model.fit(rng.normal(size=(4, 5)), [0, 1, 1, 0])


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (2.0, TypeError)])
def test_a_wrong_size_of_vectors_is_named(value, error):
    with pytest.raises(error, match="^embedding_dim is "):
        RNNClassifier(embedding_dim=value).fit(WORDS, [0, 1, 1])


# copies, files, searches


@pytest.mark.parametrize("form", ["words", "numbers"])
def test_a_file_and_a_pickle_hold_the_vocabulary(form, rng, tmp_path):
    X, y = reviews(30, rng)
    X = X if form == "words" else numbers_of(X)
    X[0] = [*X[0], "ü\ud800\0"] if form == "words" else X[0]
    model = GRUClassifier(**SMALL, conv_filters=3, pooling="attention").fit(X, y)
    fastrnn.save(model, tmp_path / "model")
    for twin in (fastrnn.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert_same_value(vars(twin), vars(model))
        np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(twin.partial_fit(X, y).predict_proba(X[:3]), _one_more(model, X, y)[:3])


def _one_more(model, X, y):
    return pickle.loads(pickle.dumps(model)).partial_fit(X, y).predict_proba(X)


VOCABULARIES = {
    "short": [["a", 1], ["b", 2]],
    "gap": [["a", 1], ["b", 2], ["c", 4]],
    "unsorted": [["b", 1], ["a", 2], ["c", 3]],
    "mixed": [["a", 1], ["b", 2], [3, 3]],
    "negative": [[-1, 1], [2, 2], [3, 3]],
}


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_made_up_vocabulary_is_refused(name, tmp_path):
    model = RNNClassifier(**SMALL).fit(WORDS, [0, 1, 1])
    fastrnn.save(model, tmp_path / "model")
    arrays, metadata = read_arrays(tmp_path / "model")
    description = fastrnn.storage.strict_json("it", metadata["config"])
    description["fitted"]["vocabulary_"] = {"dict": VOCABULARIES[name]}
    forge(tmp_path / "forged", description, arrays)
    with pytest.raises(FileFormatError, match="vocabulary_ of RNNClassifier"):
        fastrnn.load(tmp_path / "forged")


@pytest.mark.parametrize("text", [False, True], ids=["words", "characters"])
def test_tokens_go_through_cross_validation_and_grid_search(text, rng):
    X, y = reviews(60, rng)
    X = [" ".join(x) for x in X] if text else X
    model = GRUClassifier((6,), embedding_dim=3, max_iter=2, random_state=0, n_threads=1)
    assert cross_val_score(model, X, y, cv=2, n_jobs=2).shape == (2,)
    search = GridSearchCV(model, {"embedding_dim": [2, 3]}, cv=2).fit(X, y)
    assert search.best_estimator_.network_.layers[0].embedding_dim in (2, 3)


def test_tags_say_what_an_estimator_reads():
    tokens, numbers = (RNNClassifier(embedding_dim=d).__sklearn_tags__().input_tags for d in (3, None))
    assert (tokens.string, tokens.categorical, tokens.three_d_array) == (True, True, False)
    assert (numbers.string, numbers.categorical, numbers.three_d_array) == (False, False, True)


def test_text_without_embedding_dim_is_told_what_is_missing():
    with pytest.raises(TypeError, match=r"^X\[0\] has dtype <U1, expected real numbers; tokens need embedding_dim$"):
        fastrnn.RNNClassifier().fit([["a", "b"], ["c"]], [0, 1])
