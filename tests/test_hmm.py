"""Viterbi against all paths, the probabilities that HMMDecoder counts, and the decoder behind estimators."""

import itertools
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from storage_cases import forge

import fastrnn
from fastrnn import RNNClassifier, RNNTagger
from fastrnn.models.hmm import HMMDecoder, viterbi


def log_probabilities(rng, *shape):
    """Random logarithms of distributions over the last axis."""
    return np.log(rng.dirichlet(np.ones(shape[-1]), shape[:-1]))


def score_of(path, initial, transition, emission):
    """Log of the joint probability of a path."""
    steps = sum(transition[i, j] for i, j in itertools.pairwise(path))
    return initial[path[0]] + steps + emission[np.arange(len(path)), list(path)].sum()


@pytest.mark.parametrize("seed", range(10))
def test_viterbi_finds_the_best_of_all_paths(seed):
    rng = np.random.default_rng([11, seed])
    n, seq_len = int(rng.integers(1, 4)), int(rng.integers(1, 7))
    model = log_probabilities(rng, n), log_probabilities(rng, n, n), rng.standard_normal((seq_len, n))
    scores = {path: score_of(path, *model) for path in itertools.product(range(n), repeat=seq_len)}
    path, score = viterbi(*model)
    assert tuple(path) == max(scores, key=scores.get)
    assert score == pytest.approx(max(scores.values()), abs=1e-12)


def test_viterbi_avoids_what_is_impossible():
    with np.errstate(divide="ignore"):
        initial, transition = np.log([1.0, 0.0, 0.0]), np.log([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    path, score = viterbi(initial, transition, np.log([[0.1, 0.1, 0.8]] * 4))
    assert path.tolist() == [0, 1, 2, 0]
    assert score == pytest.approx(np.log(0.1 * 0.1 * 0.8 * 0.1))


def test_viterbi_of_no_steps_is_empty():
    path, score = viterbi(np.zeros(2), np.zeros((2, 2)), np.zeros((0, 2)))
    assert path.shape == (0,) and score == 0.0


def test_probabilities_are_smoothed_counts():
    decoder = HMMDecoder(3, smoothing=0.5).fit([[0, 0, 1], [1], [], [0, 2, 2, 2]])
    np.testing.assert_allclose(np.exp(decoder.log_initial_), [2.5 / 4.5, 1.5 / 4.5, 0.5 / 4.5])
    pairs = np.array([[1.5, 1.5, 1.5], [0.5, 0.5, 0.5], [0.5, 0.5, 2.5]])
    np.testing.assert_allclose(np.exp(decoder.log_transition_), pairs / pairs.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.exp(decoder.log_prior_), np.array([3.5, 2.5, 3.5]) / 9.5)


@pytest.mark.parametrize("prior_scale", [0.0, 0.4, 1.0])
def test_likelihoods_are_posteriors_over_priors(rng, prior_scale):
    decoder = HMMDecoder(3, prior_scale=prior_scale).fit([[0, 0, 0, 1, 2, 2]])
    posterior = rng.dirichlet(np.ones(3), 5)
    expected = np.log(posterior) - prior_scale * np.log(np.array([4, 2, 3]) / 9)
    np.testing.assert_allclose(decoder.log_likelihood(np.log(posterior)), expected, atol=1e-12)
    np.testing.assert_allclose(decoder.log_likelihood(np.log(posterior) + 7.0), expected, atol=1e-12)


def test_decode_is_viterbi_on_each_row_up_to_its_length(rng):
    decoder = HMMDecoder(4).fit([rng.integers(0, 4, 50), rng.integers(0, 4, 3)])
    logits, lengths = rng.standard_normal((8, 3, 4)), [8, 0, 5]
    logits[5:, 2] = np.nan
    paths = decoder.decode(logits, lengths)
    for n, length in enumerate(lengths):
        likelihood = decoder.log_likelihood(logits[:length, n])
        expected, _ = viterbi(decoder.log_initial_, decoder.log_transition_, likelihood)
        np.testing.assert_array_equal(paths[n], expected)
        assert len(paths[n]) == length


def test_decoding_corrects_more_steps_than_it_spoils(rng):
    def runs(n):
        states = np.repeat(rng.integers(0, 3, n), rng.integers(4, 12, n))
        return states, 2.0 * np.eye(3)[states] + 1.5 * rng.standard_normal((len(states), 3))

    decoder = HMMDecoder(3).fit([runs(50)[0] for _ in range(4)])
    states, logits = runs(100)
    best_steps = np.mean(logits.argmax(axis=1) == states)
    assert np.mean(decoder.decode(logits[:, None])[0] == states) > best_steps + 0.1


def test_without_smoothing_what_was_not_seen_is_impossible():
    decoder = HMMDecoder(3, smoothing=0.0).fit([[0, 1, 0, 1]])
    assert decoder.decode(np.array([[[0.0, 9.0, 9.0]]] * 3))[0].tolist() == [0, 1, 0]
    assert np.isneginf(decoder.log_likelihood(np.zeros((1, 3)))[0, 2])
    with pytest.raises(ValueError, match=r"logits\[:, 0\] has no path of a probability above 0.*smoothing is 0.0"):
        decoder.decode(np.array([[[-np.inf, 0.0, 0.0]]]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: HMMDecoder(0), ValueError, "n_states is 0, expected an integer >= 1"),
        (lambda: HMMDecoder(2, smoothing=-1), ValueError, "smoothing is -1.0, expected a number >= 0"),
        (lambda: HMMDecoder(2, prior_scale=np.nan), ValueError, "prior_scale is nan, expected a number >= 0"),
        (lambda: HMMDecoder(2).decode(np.zeros((1, 1, 2))), ValueError, "HMMDecoder has no probabilities yet"),
        (lambda: HMMDecoder(2).fit([]), ValueError, "states holds no step"),
        (lambda: HMMDecoder(2).fit([[0], [0, 2]]), ValueError, r"states\[1\] holds the token 2"),
        (lambda: HMMDecoder(2).fit([[0.5]]), TypeError, r"states\[0\] has dtype float64, expected integers"),
        (lambda: HMMDecoder(2).fit([[0, 1]]).decode(np.zeros((1, 2))), ValueError, "logits has shape"),
        (lambda: viterbi(np.zeros(3), np.zeros((2, 2)), np.zeros((4, 2))), ValueError, "log_initial has shape"),
        (lambda: viterbi(np.zeros(2), np.zeros((2, 3)), np.zeros((4, 2))), ValueError, "log_transition has shape"),
    ],
)
def test_errors_name_argument_expectation_and_what_came(call, error, message):
    with pytest.raises(error, match=message):
        call()


# behind estimators, and in files


def runs_of(rng, n_runs, classes):
    """States in runs, and what is seen of each step: a bump at the state, and much noise."""
    states = np.repeat(rng.integers(0, len(classes), n_runs), rng.integers(5, 12, n_runs))
    return classes[states], np.eye(len(classes))[states] + rng.standard_normal((len(states), len(classes)))


def test_posteriors_of_a_tagger_are_decoded_better_than_step_by_step(rng):
    classes = np.array(["n", "s", "w"])
    y, X = zip(*(runs_of(rng, int(n), classes) for n in rng.integers(3, 9, 40)))
    tagger = RNNTagger((8,), cell="rnn", learning_rate_init=0.02, max_iter=40, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        tagger.fit(X[:25], y[:25])
    decoder = HMMDecoder(3).fit([np.searchsorted(tagger.classes_, states) for states in y])
    paths = decoder.decode_proba(tagger.predict_proba(X[25:]))
    assert [len(path) for path in paths] == [len(x) for x in X[25:]]
    right = tagger.classes_[np.concatenate(paths)] == np.concatenate(y[25:])
    assert right.mean() > tagger.score(X[25:], y[25:]) + 0.02


def test_posteriors_of_a_classifier_of_windows_are_those_of_a_recording(rng):
    y, x = runs_of(rng, 60, np.arange(3))
    windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=0).transpose(0, 2, 1)  # (n - 2, 3 steps, 3)
    of_window = y[1:-1]
    classifier = RNNClassifier((8,), cell="rnn", learning_rate_init=0.02, max_iter=30, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(windows, of_window)
    posteriors = classifier.predict_proba(windows)
    path = HMMDecoder(3).fit([of_window]).decode_proba([posteriors])[0]
    assert np.mean(path == of_window) > classifier.score(windows, of_window) + 0.02


def test_decode_proba_is_decode_of_logarithms(rng):
    decoder = HMMDecoder(3).fit([[0, 0, 1, 2, 2]])
    rows = [rng.dirichlet(np.ones(3), n) for n in (4, 0, 6)]
    rows[0][1] = [0.0, 1.0, 0.0]
    with np.errstate(divide="ignore"):
        expected = [decoder.decode(np.log(p)[:, None])[0] for p in rows]
    found = decoder.decode_proba(rows)
    assert [path.tolist() for path in found] == [path.tolist() for path in expected]
    assert [path.tolist() for path in decoder.decode_proba([p.astype("float32") for p in rows])] == [
        path.tolist() for path in expected
    ]


@pytest.mark.parametrize("row", [[0.5, 0.6, 0.2], [-0.1, 0.6, 0.5], [np.nan, 0.5, 0.5]])
def test_decode_proba_refuses_what_are_no_distributions(row):
    decoder = HMMDecoder(3).fit([[0, 1, 2]])
    with pytest.raises(ValueError, match=r"probabilities\[1\]\[1\] adds up to .* expected probabilities that add up"):
        decoder.decode_proba([[[1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0], row]])


@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_a_decoder_comes_back_from_a_file_bit_for_bit(rng, smoothing, tmp_path):
    decoder = HMMDecoder(3, smoothing=smoothing, prior_scale=0.7).fit([[0, 1, 1], [1, 0]])
    fastrnn.save(decoder, tmp_path / "hmm.safetensors")
    found = fastrnn.load(tmp_path / "hmm.safetensors")
    assert type(found) is HMMDecoder and list(vars(found)) == list(vars(decoder))
    for name, value in vars(decoder).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    logits = rng.standard_normal((9, 2, 3))
    np.testing.assert_array_equal(found.decode(logits), decoder.decode(logits))


def test_a_decoder_that_is_not_fitted_comes_back_so(tmp_path):
    fastrnn.save(HMMDecoder(4), tmp_path / "hmm.safetensors")
    found = fastrnn.load(tmp_path / "hmm.safetensors")
    assert vars(found) == vars(HMMDecoder(4))


CONFIG = {"class": "HMMDecoder", "n_states": 2, "smoothing": 1.0, "prior_scale": 1.0}
ARRAYS = {"log_initial_": np.zeros(2), "log_transition_": np.zeros((2, 2)), "log_prior_": np.zeros(2)}


@pytest.mark.parametrize(
    ("config", "arrays", "message"),
    [
        (
            CONFIG | {"n_states": 3},
            ARRAYS,
            r"log_initial_ is float64 of shape \(2,\), expected float64 of shape \(3,\)",
        ),
        (CONFIG | {"n_states": 2.0}, ARRAYS, "expected an integer n_states and two floats"),
        (CONFIG | {"smoothing": -1.0}, ARRAYS, "smoothing is -1.0, expected a number >= 0"),
        (CONFIG | {"colour": 1}, ARRAYS, "has the unexpected 'colour'"),
        (CONFIG, {"log_prior_": np.zeros(2)}, "lacks 'log_initial_', 'log_transition_'"),
        (CONFIG, ARRAYS | {"log_prior_": np.array([0.0, np.nan])}, "log_prior_ of an HMMDecoder has the largest value"),
        (
            CONFIG,
            ARRAYS | {"log_prior_": np.array([0.0, 0.1])},
            "log_prior_ of an HMMDecoder has the largest value 0.1",
        ),
    ],
)
def test_a_forged_file_of_a_decoder_is_refused(config, arrays, message, tmp_path):
    forge(tmp_path / "hmm.safetensors", config, arrays)
    with pytest.raises(fastrnn.storage.FileFormatError, match=message):
        fastrnn.load(tmp_path / "hmm.safetensors")
