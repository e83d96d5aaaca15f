"""The CTC loss against enumeration of all paths, torch and differences; its bits, errors, training, and decoding."""

import os
import subprocess
import sys
from pathlib import Path

import ctc_enumeration as enumeration
import numpy as np
import pytest

from fastrnn import _threads
from fastrnn._core import native
from fastrnn.layers import Dense, Sequential
from fastrnn.layers.ctc import CTC, ctc_loss, ctc_targets
from fastrnn.models.ctc import greedy_decode, prefix_beam_search
from fastrnn.optim import Adam
from fastrnn.training import NonFiniteLossError, train

DTYPES = ["float32", "float64"]
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def ragged(seed, dtype="float64", seq_len=30, n_rows=9, n_classes=7):
    """Logits, lengths and targets that fit."""
    rng = np.random.default_rng(seed)
    logits = (2 * rng.standard_normal((seq_len, n_rows, n_classes))).astype(dtype)
    lengths = rng.integers(0, seq_len + 1, n_rows)
    targets = [rng.integers(1, n_classes, rng.integers(0, length // 2 + 1)) for length in lengths]
    return logits, lengths, targets


@pytest.mark.parametrize("seed", range(25))
def test_loss_and_gradient_are_those_of_all_paths(seed):
    assert enumeration.largest_difference(seed) < 1e-10


@pytest.mark.parametrize("isa", native.available_isas())
def test_every_isa_agrees_with_all_paths(isa):
    code = "import ctc_enumeration as e; print(max(e.largest_difference(seed) for seed in range(10)))"
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "FASTRNN_ISA": isa, "PYTHONPATH": os.pathsep.join(folders)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 1e-10


@pytest.mark.parametrize("seed", range(60))
def test_agrees_with_torch(seed):
    pytest.importorskip("torch")
    from ctc_agreement import TOLERANCES, differences, draw

    for name, difference in differences(draw(seed)).items():
        assert difference <= TOLERANCES[name], name


def test_gradient_matches_numeric_gradient():
    logits, lengths, targets = ragged(3, seq_len=6, n_rows=4, n_classes=4)
    _, d_logits = ctc_loss(logits, targets, lengths)
    step = 1e-5
    for place in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[place] += step
        down[place] -= step
        difference = ctc_loss(up, targets, lengths)[0] - ctc_loss(down, targets, lengths)[0]
        assert d_logits[place] == pytest.approx(difference[np.isfinite(difference)].sum() / (2 * step), abs=1e-8)


def test_float32_is_stable_over_2000_steps():
    rng = np.random.default_rng(4)
    logits = (3 * rng.standard_normal((2000, 2, 30))).astype(np.float32)
    targets = rng.integers(1, 30, (2, 300))
    loss, d_logits = ctc_loss(logits, targets)
    exact, d_exact = ctc_loss(logits.astype(np.float64), targets)
    assert exact.min() > 5000  # exp(-loss) is far below the smallest float64
    np.testing.assert_allclose(loss, exact, rtol=1e-6)
    np.testing.assert_allclose(d_logits, d_exact, atol=5e-4)


def test_a_long_confident_sequence_has_a_loss_near_0():
    path = np.repeat([[0, 3, 0, 1], [0, 2, 2, 0]], 500, axis=1)
    logits = 40 * np.eye(4, dtype=np.float32)[path.T]
    loss, d_logits = ctc_loss(logits, [[3, 1], [2]])
    assert loss.max() < 1e-6 and np.abs(d_logits).max() < 1e-6


@each_dtype
def test_gradient_sums_to_0_at_each_step(dtype):
    logits, lengths, targets = ragged(5, dtype, seq_len=200)
    _, d_logits = ctc_loss(logits, targets, lengths)
    assert np.abs(d_logits.sum(axis=2)).max() < 20 * np.finfo(dtype).eps
    assert np.abs(d_logits).max() > 0.5


@each_dtype
def test_bits_of_a_row_depend_neither_on_batch_nor_padding_nor_threads(dtype, monkeypatch):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1e-9)
    logits, lengths, targets = ragged(6, dtype, n_classes=19)
    loss, d_logits = ctc_loss(logits, targets, lengths, n_threads=1)
    for n_threads in (2, 4):
        again, d_again = ctc_loss(logits, targets, lengths, n_threads=n_threads)
        assert again.tobytes() == loss.tobytes() and d_again.tobytes() == d_logits.tobytes()
    for n, length in enumerate(lengths):
        alone, d_alone = ctc_loss(logits[:length, n : n + 1], targets[n : n + 1])
        assert alone.tobytes() == loss[n : n + 1].tobytes()
        assert d_alone.tobytes() == d_logits[:length, n].tobytes()
        assert not d_logits[length:, n].any()


def test_padding_is_not_read():
    logits, lengths, targets = ragged(7)
    expected = ctc_loss(logits, targets, lengths)
    for n, length in enumerate(lengths):
        logits[length:, n] = np.nan
    for one, other in zip(ctc_loss(logits, targets, lengths), expected):
        np.testing.assert_array_equal(one, other)


def test_a_padded_table_gives_what_a_list_gives():
    logits, lengths, targets = ragged(8)
    table = np.full((len(targets), 20), 99)
    for row, target in zip(table, targets):
        row[: len(target)] = target
    found = ctc_loss(logits, table, lengths, [len(target) for target in targets])
    for one, other in zip(found, ctc_loss(logits, targets, lengths)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("target", "fits"), [([1, 2, 1], True), ([1, 1], True), ([1, 1, 2], False), ([1, 2, 1, 2], False), ([], True)]
)
@each_dtype
def test_a_target_that_does_not_fit_has_loss_inf_and_gradient_0(target, fits, dtype):
    loss, d_logits = ctc_loss(np.zeros((3, 1, 3), dtype), [target])
    assert np.isfinite(loss[0]) == fits and d_logits.any() == fits
    assert fits or loss[0] == np.inf


def test_no_steps_emit_the_empty_target_only():
    loss, d_logits = ctc_loss(np.zeros((0, 2, 3)), [[], [1]])
    assert loss.tolist() == [0.0, np.inf] and d_logits.shape == (0, 2, 3)


@each_dtype
def test_a_class_of_probability_0_makes_its_target_impossible_and_no_other(dtype):
    logits = np.zeros((4, 2, 3), dtype)
    logits[:, :, 2] = -np.inf
    loss, d_logits = ctc_loss(logits, [[1], [1, 2]])
    assert loss[0] == pytest.approx(ctc_loss(np.zeros((4, 1, 2)), [[1]])[0][0], rel=1e-6) and loss[1] == np.inf
    assert not d_logits[:, :, 2].any() and d_logits[:, 0].any() and not d_logits[:, 1].any()


@each_dtype
def test_nan_reaches_the_loss_of_its_own_row_only(dtype):
    logits, lengths, targets = ragged(9, dtype)
    lengths[:] = len(logits)
    expected = ctc_loss(logits, targets, lengths)[0]
    logits[17, 4, 3] = np.nan
    loss = ctc_loss(logits, targets, lengths)[0]
    assert np.isnan(loss[4])
    np.testing.assert_array_equal(np.delete(loss, 4), np.delete(expected, 4))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"logits": np.zeros((3, 2))}, r"logits has shape \(3, 2\), expected \(seq_len, batch_size, n_classes\)"),
        ({"targets": [[1]]}, r"targets has 1 rows, expected batch_size = 2"),
        ({"targets": [[1], [2, 4]]}, r"targets\[1\]\[1\] is 4, expected 0 <= label < n_classes = 4 and not the blank"),
        ({"targets": [[1], [-1]]}, r"targets\[1\]\[0\] is -1, expected 0 <= label"),
        ({"targets": [[1], [2, 0]]}, r"targets\[1\]\[1\] is 0, expected .* not the blank, 0"),
        ({"targets": [[1.5], [1]]}, r"targets\[0\] has dtype float64, expected integers"),
        ({"targets": [[[1]], [1]]}, r"targets\[0\] has shape \(1, 1\), expected \(target_length,\)"),
        ({"lengths": [3, 4]}, r"lengths\[1\] is 4, expected 0 <= length <= seq_len = 3"),
        ({"blank": 4}, r"blank is 4, expected 0 <= blank < n_classes = 4"),
        ({"target_lengths": [1, 3]}, r"target_lengths\[1\] is 3, expected 0 <= target_length <= .* = 2"),
        ({"target_lengths": [1]}, r"target_lengths has shape \(1,\), expected \(batch_size,\) = \(2,\)"),
    ],
)
def test_errors_name_argument_expectation_and_what_came(changed, message):
    given = {"logits": np.zeros((3, 2, 4)), "targets": [[1, 2], [3, 1]]} | changed
    with pytest.raises((TypeError, ValueError), match=message):
        ctc_loss(**given)


def test_ctc_is_the_weighted_mean_over_steps():
    logits, lengths, targets = ragged(10)
    lengths = np.maximum(lengths, 1)
    row_weight = np.linspace(0.5, 2, len(lengths))
    weight = (np.arange(len(logits))[:, None] < lengths) * row_weight
    target = np.zeros(weight.shape, int)  # as batches pad
    for n, row in enumerate(ctc_targets(targets, lengths)):
        target[: len(row), n] = row
    value, d_logits = CTC()(logits, target, weight)
    loss, d_loss = ctc_loss(logits, targets, lengths)
    total = (row_weight * lengths).sum()
    assert value == pytest.approx((row_weight * loss).sum() / total, rel=1e-12)
    np.testing.assert_allclose(d_logits, d_loss * (row_weight / total)[:, None], rtol=1e-12)


def test_ctc_of_sequences_weighs_rows_by_the_sum_over_their_steps():
    logits, lengths, targets = ragged(12)
    lengths = np.maximum(lengths, 1)
    row_weight = np.linspace(0.5, 2, len(lengths))
    weight = (np.arange(len(logits))[:, None] < lengths) * (row_weight / lengths)
    target = np.zeros(weight.shape, int)
    for n, row in enumerate(ctc_targets(targets, lengths)):
        target[: len(row), n] = row
    value, d_logits = CTC(mean_over="sequences")(logits, target, weight)
    loss, d_loss = ctc_loss(logits, targets, lengths)
    share = row_weight / row_weight.sum()
    assert value == pytest.approx(share @ loss, rel=1e-12)
    np.testing.assert_allclose(d_logits, d_loss * share[:, None], rtol=1e-12, atol=1e-300)
    with pytest.raises(ValueError, match="mean_over is 'rows', expected one of 'steps', 'sequences'"):
        CTC(mean_over="rows")


def test_ctc_refuses_weights_that_change_within_a_row():
    with pytest.raises(ValueError, match="sample_weight changes within a row"):
        CTC()(np.zeros((2, 1, 3)), np.array([[1], [-1]]), np.array([[1.0], [2.0]]))


def test_ctc_targets_refuse_more_labels_than_steps():
    with pytest.raises(ValueError, match=r"targets\[1\] has 3 labels, expected target_length <= lengths\[1\] = 2"):
        ctc_targets([[1], [1, 2, 1]], [2, 2])


def noisy_runs(rng, n, n_symbols=4):
    """Sequences of runs of one-hot symbols with noise, and their symbols as labels from 1."""
    X, labels = [], []
    for _ in range(n):
        symbols = rng.permutation(n_symbols)[: rng.integers(1, n_symbols + 1)]
        path = np.repeat(symbols, rng.integers(2, 5, len(symbols)))
        X.append((np.eye(n_symbols)[path] + 0.1 * rng.standard_normal((len(path), n_symbols))).astype(np.float32))
        labels.append((symbols + 1).tolist())
    return X, labels


def test_a_network_learns_to_transcribe_through_the_training_loop(rng):
    X, labels = noisy_runs(rng, 40)
    lengths = [len(x) for x in X]
    network = Sequential(Dense(4, 5, random_state=0))
    options = {"loss": CTC(), "optimizer": Adam(0.05), "batch_size": 8, "max_iter": 40, "rng": rng}
    history = train(network, X, ctc_targets(labels, lengths), **options)
    assert history.loss_curve[-1] < 0.3 * history.loss_curve[0]
    found = [greedy_decode(network.forward(x[:, None], training=False)[0][0])[0].tolist() for x in X]
    assert np.mean([one == other for one, other in zip(found, labels)]) > 0.95


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_a_row_without_alignment_stops_training_unless_it_is_left_out(zero_infinity):
    X, targets = [np.eye(2)] * 2, ctc_targets([[1, 1], [1]], [2, 2])
    network = Sequential(Dense(2, 2, random_state=0))
    options = {"loss": CTC(zero_infinity=zero_infinity), "optimizer": Adam(), "max_iter": 2, "shuffle": False}
    if zero_infinity:
        assert np.isfinite(train(network, X, targets, **options).loss_curve).all()
    else:
        with pytest.raises(NonFiniteLossError, match="the loss is inf"):
            train(network, X, targets, **options)


def test_greedy_decoding_collapses_the_best_path_of_each_row(rng):
    logits = rng.standard_normal((12, 5, 4))
    lengths = np.array([12, 7, 0, 1, 5])
    found = greedy_decode(logits, lengths, blank=3)
    for n, length in enumerate(lengths):
        assert tuple(found[n]) == enumeration.collapse(logits[:length, n].argmax(axis=1), 3)


@pytest.mark.parametrize("seed", range(12))
def test_a_wide_beam_finds_every_labelling_with_its_probability(seed):
    logits, lengths, _, blank = enumeration.batch(seed, n_rows=1)
    logits = logits[: max(lengths[0], 1), 0]
    expected = enumeration.labellings(logits, blank)
    found = prefix_beam_search(logits, beam_width=1000, blank=blank)
    assert {labels for labels, _ in found} == expected.keys()
    for labels, score in found:
        assert score == pytest.approx(np.log(expected[labels]), abs=1e-10)
    assert found[0][0] == max(expected, key=expected.get)


@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_with_a_language_model_finds_the_best_of_all_labellings(seed):
    logits, _, _, blank = enumeration.batch(seed, n_rows=1, seq_len=4)
    bigrams = np.log(enumeration.softmax(2 * np.random.default_rng(seed).standard_normal((3, 3))))

    def language_model(prefix):
        return bigrams[prefix[-1] if prefix else blank]

    def score(labels, p):
        model = sum(bigrams[before, label] for before, label in zip((blank, *labels), labels))
        return np.log(p) + 0.7 * model + 0.4 * len(labels)

    expected = {labels: score(labels, p) for labels, p in enumeration.labellings(logits[:, 0], blank).items()}
    options = {"blank": blank, "language_model": language_model, "alpha": 0.7, "beta": 0.4}
    found = prefix_beam_search(logits[:, 0], beam_width=1000, **options)
    assert found[0][0] == max(expected, key=expected.get)
    for labels, value in found:
        assert value == pytest.approx(expected[labels], abs=1e-10)


def test_a_narrow_beam_keeps_its_width_and_never_overrates(rng):
    logits = rng.standard_normal((40, 6))
    found = prefix_beam_search(logits, beam_width=5, n_best=3)
    scores = [score for _, score in found]
    assert len(found) == 3 and scores == sorted(scores, reverse=True)
    assert len({labels for labels, _ in found}) == 3
    loss = ctc_loss(np.repeat(logits[:, None], 3, axis=1), [labels for labels, _ in found])[0]
    assert (np.array(scores) <= -loss + 1e-9).all()


def test_what_the_language_model_forbids_is_not_found():
    def no_twos(prefix):
        return np.array([0.0, 0.0, -np.inf])

    logits = np.log([[0.1, 0.1, 0.8]] * 5)
    assert prefix_beam_search(logits)[0][0] == (2,)
    assert all(2 not in labels for labels, score in prefix_beam_search(logits, language_model=no_twos))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3, 4)),), r"logits has shape \(2, 3, 4\), expected \(seq_len, n_classes\)"),
        ((np.array([[0.0, 1.0], [0.0, np.nan]]),), r"logits\[1\] has the largest value nan, expected a finite one"),
        ((np.full((1, 2), -np.inf),), r"logits\[0\] has the largest value -inf, expected a finite one"),
        ((np.zeros((2, 3)), 0), r"beam_width is 0, expected an integer >= 1"),
        ((np.zeros((2, 3)), 4, 3), r"blank is 3, expected 0 <= blank < n_classes = 3"),
        ((np.zeros((2, 3)), 4, 0, lambda prefix: [0.0]), r"language_model\(prefix\) has shape \(1,\), expected"),
        ((np.zeros((2, 3)), 4, 0, lambda prefix: [0, 0.5, 0.5]), r"expected logarithms of probabilities"),
    ],
)
def test_errors_of_the_beam_search(arguments, message):
    with pytest.raises(ValueError, match=message):
        prefix_beam_search(*arguments)
