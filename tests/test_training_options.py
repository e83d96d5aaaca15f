"""Weights of samples, joined batches, validation data, schedules, and interrupts of a training run."""

import math
import sys

import numpy as np
import pytest
from training_to_kill import task

from fastrnn.losses import softmax_cross_entropy, squared_error
from fastrnn.models import many_to_one
from fastrnn.optim import SGD, Adam, AdamW
from fastrnn.schedules import Exponential, InverseScaling, OneCycle, Plateau, Progress
from fastrnn.training import NonFiniteLossError, ReduceOnPlateau, pad_batch, train


def _network(dtype="float64", **options):
    return many_to_one(2, 2, hidden_layer_sizes=(5,), dtype=dtype, random_state=0, **options)


def _train(network, sequences, target, seed=0, **options):
    options = {"optimizer": Adam(0.02), "batch_size": 16, "max_iter": 5, "rng": np.random.default_rng(seed), **options}
    return train(network, sequences, target, **{"loss": softmax_cross_entropy, **options})


def _close(network, other, rtol=1e-9):
    for name, w in other.params.items():
        np.testing.assert_allclose(network.params[name], w, rtol=rtol, atol=1e-12, err_msg=name)


def _same_bits(network, weights):
    return all(network.params[name].tobytes() == w.tobytes() for name, w in weights.items())


# weights of samples


def test_a_weight_counts_as_so_many_copies():
    sequences, target = task(n_samples=12)
    times = np.array([1, 2, 0, 3, 1, 1, 2, 1, 0, 1, 1, 1])
    networks = [_network(), _network()]
    options = {"batch_size": 99, "alpha": 0.3, "optimizer": SGD(0.3)}
    histories = [
        _train(networks[0], sequences, target, sample_weight=times, **options),
        _train(networks[1], [sequences[k] for k in np.repeat(range(12), times)], np.repeat(target, times), **options),
    ]
    _close(*networks)
    np.testing.assert_allclose(histories[0].loss_curve, histories[1].loss_curve, rtol=1e-12)


def test_samples_of_weight_0_are_as_if_they_were_not_there():
    sequences, target = task(n_samples=40)
    kept = np.flatnonzero(np.arange(40) % 3)
    weight = (np.arange(40) % 3 > 0) * 1.0
    sequences_nan = [x if w else np.full_like(x, np.nan) for x, w in zip(sequences, weight)]
    networks = [_network(), _network()]
    _train(networks[0], sequences_nan, target, sample_weight=weight)
    _train(networks[1], [sequences[k] for k in kept], target[kept], sample_weight=weight[kept])
    assert _same_bits(networks[0], networks[1].params)


@pytest.mark.parametrize(
    "weight, words",
    [
        (np.ones(3), r"sample_weight has shape \(3,\), expected \(n_samples,\) = \(20,\)"),
        (-np.ones(20), "sample_weight holds a negative number"),
        (np.full(20, np.nan), "or NaN, expected weights >= 0"),
        (np.zeros(20), "sample_weight is 0 everywhere, expected a sum > 0"),
    ],
)
def test_weights_that_are_none_are_refused(weight, words):
    with pytest.raises(ValueError, match=words):
        _train(_network(), *task(n_samples=20), sample_weight=weight)


# joined batches


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clipped", [{"max_grad_norm": 0.05}, {"max_grad_value": 0.01}, {"max_grad_norm": None}])
def test_the_update_of_joined_batches_is_that_of_one_large_batch(weighted, clipped):
    sequences, target = task(n_samples=26)
    weight = np.random.default_rng(1).random(26) if weighted else None
    networks = [_network(), _network()]
    options = {"alpha": 0.2, "shuffle": False, "sample_weight": weight, "max_iter": 3, **clipped}
    small = _train(networks[0], sequences, target, batch_size=4, accumulate_steps=3, **options)  # 4 + 4 + 4 ... 2
    large = _train(networks[1], sequences, target, batch_size=12, **options)
    assert small.n_updates == large.n_updates == 9
    _close(*networks)
    for curve in ("loss_curve", "grad_norm_curve"):
        np.testing.assert_allclose(getattr(small, curve), getattr(large, curve), rtol=1e-10)


def test_a_loss_that_is_not_finite_among_joined_batches_is_told_with_these_batches():
    sequences, target = task(n_samples=40)
    sequences[9][0, 0] = np.inf  # the third batch of four, in the second update
    before = (network := _network()).state_dict()
    with pytest.raises(NonFiniteLossError, match="at epoch 1, batches 3 to 4; the largest input is inf"):
        _train(network, sequences, target, batch_size=4, accumulate_steps=2, shuffle=False)
    assert _same_bits(network, before)


# validation data


def test_the_validation_loss_is_the_weighted_mean_over_its_samples():
    held_out, target_2 = task(seed=5, n_samples=37)
    weight = np.arange(37.0)
    network = _network()
    history = _train(network, *task(), validation=(held_out, target_2, weight), max_iter=1)
    x, lengths = pad_batch(held_out, np.arange(37), "float64")
    expected = softmax_cross_entropy(network(x, lengths=lengths)[0], target_2, weight)[0]
    assert history.validation_loss_curve == [pytest.approx(expected, rel=1e-12)]
    assert history.validation_curve == [-history.validation_loss_curve[0]]


def test_watching_validation_data_changes_no_bit_of_the_training():
    networks = [_network(dropout=0.3), _network(dropout=0.3)]
    _train(networks[0], *task())
    _train(networks[1], *task(), validation=task(seed=5))
    assert _same_bits(networks[0], networks[1].params)


def test_the_progress_bar_shows_loss_and_score(capsys):
    options = {"score": lambda *arguments: 0.875, "validation": task(seed=5), "verbose": True}
    history = _train(_network(), *task(), **options)
    shown = capsys.readouterr().err
    assert f"loss={history.loss_curve[-1]:.4f}, score=0.8750, validation_loss={history.validation_loss_curve[-1]:.4f}"
    assert "5/5" in shown and "score=0.8750" in shown


def test_early_stopping_ends_with_the_weights_of_the_best_score():
    network, snapshots, given = _network(), [], []
    scores = [0.1, 0.5, 0.3, 0.50005, 0.2, 0.9]  # 0.50005 is better, but by less than tol

    def score(net, sequences, target, sample_weight):
        given.append((net is network, len(sequences), len(target), sample_weight))
        return scores[len(given) - 1]

    options = {"early_stopping": True, "tol": 1e-3, "n_iter_no_change": 3, "max_iter": 50, "score": score}
    history = _train(
        network,
        *task(),
        validation=(*task(seed=5, n_samples=30), None),
        on_epoch=lambda moment: snapshots.append(moment.network.state_dict()),
        **options,
    )
    assert history.stopped == "tol" and history.validation_curve == scores[:5] and history.best_epoch == 4
    assert _same_bits(network, snapshots[3]) and set(given) == {(True, 30, 30, None)}
    assert len(history.validation_loss_curve) == 5


def test_a_validation_loss_that_is_not_finite_stops_with_the_last_good_weights():
    held_out, target = task(seed=5)
    held_out[3][0, 0] = np.nan
    before = (network := _network()).state_dict()
    with pytest.raises(NonFiniteLossError, match="the validation loss is nan at the end of epoch 1") as caught:
        _train(network, *task(), validation=(held_out, target))
    assert caught.value.history.n_epochs == 0 and _same_bits(network, before)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"early_stopping": True}, "early_stopping is True, but validation is None"),
        ({"score": max}, "score is set, but validation is None"),
        ({"validation": task()[0]}, "expected .sequences, target, sample_weight."),
        ({"validation": ([], [])}, "validation has 0 samples"),
        ({"validation": (task()[0], task()[1][:3])}, "validation target has 3 rows, expected n_samples = 70"),
        ({"accumulate_steps": 0}, "accumulate_steps is 0, expected an integer >= 1"),
        ({"schedule": lambda progress: math.nan}, "the learning rate the factor nan, expected one >= 0"),
    ],
)
def test_arguments_that_do_not_fit_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        _train(_network(), *task(), **options)


# schedules


def test_a_schedule_moves_the_rate_of_every_update():
    """Plain SGD under 1 / (k + 1) takes the steps of five runs of one update, each with its own rate."""
    X, y = np.random.default_rng(0).normal(size=(8, 4, 2)), np.random.default_rng(1).normal(size=(8, 2))
    options = {"loss": squared_error, "shuffle": False, "batch_size": 8, "max_grad_norm": None, "n_iter_no_change": 99}
    networks = [_network(), _network()]
    history = _train(networks[0], X, y, optimizer=SGD(0.5, 0.0, False), schedule=InverseScaling(1.0), **options)
    for k in range(5):
        one = {**options, "optimizer": SGD(0.5 / (k + 1), 0.0, False), "max_iter": 1}
        _train(networks[1], X, y, **one)
    assert history.best_epoch == 5
    _close(*networks, rtol=1e-12)
    assert history.learning_rate_curve == [0.5 / (k + 1) for k in range(5)]


def test_a_schedule_is_told_how_far_training_is():
    seen = []

    def schedule(progress):
        seen.append(progress)
        return 1.0

    _train(_network(), *task(), schedule=schedule, max_iter=3, accumulate_steps=2)
    assert seen == [Progress(k // 3, k, 9) for k in range(9)]


def test_one_cycle_ends_at_its_smallest_rate():
    history = _train(_network(), *task(), schedule=OneCycle(), optimizer=AdamW(0.1), max_iter=10, n_iter_no_change=99)
    assert max(history.learning_rate_curve) > 0.09 and history.learning_rate_curve[-1] == pytest.approx(0.1 / 25e4)


@pytest.mark.parametrize("as_hook", [False, True])
def test_a_plateau_of_the_validation_score_lowers_the_rate(as_hook):
    scores = iter([3.0, 4.0, 4.0, 4.0, 5.0, 4.0])
    plateau = {"on_epoch": ReduceOnPlateau(0.5, 0)} if as_hook else {"schedule": Plateau(0.5, 0)}
    options = {"validation": task(seed=5), "score": lambda *arguments: next(scores), "max_iter": 6}
    history = _train(_network(), *task(), optimizer=SGD(1.0), **plateau, **options)
    assert history.learning_rate_curve == [1.0, 1.0, 1.0, 0.5, 0.25, 0.25]


def test_a_schedule_needs_an_optimizer_with_a_rate():
    class Still:
        def init(self, params):
            return {}

        def update(self, params, grads, state):
            pass

    with pytest.raises(ValueError, match="schedule is set, but Still has no attribute learning_rate"):
        _train(_network(), *task(), optimizer=Still(), schedule=Exponential())
    history = _train(_network(), *task(), optimizer=Still(), max_iter=2)
    assert np.isnan(history.learning_rate_curve).all()


# interrupts


class _InterruptAtLine:
    """Ctrl-C on the `number`-th line of fastrnn.training that runs within the loop over epochs."""

    def __init__(self, number):
        self.left, self.inside = number, False

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, *error):
        sys.settrace(self.before)

    def trace(self, frame, event, argument):
        if frame.f_code.co_name == "_run_epochs":
            self.inside = event != "return"
        if event == "line" and self.inside:
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self.trace if "training" in frame.f_code.co_filename else None


def test_an_interrupt_on_any_line_of_an_epoch_keeps_the_best_weights(tmp_path):
    def run(number):
        network = _network()
        ends = [network.state_dict()]
        options = {"validation": task(seed=5, n_samples=20), "max_iter": 3, "batch_size": 40, "optimizer": SGD(3.0)}
        hooks = [lambda moment: ends.append(moment.network.state_dict()), ReduceOnPlateau()]
        with _InterruptAtLine(number):
            history = _train(network, *task(), checkpoint=tmp_path / "run", on_epoch=hooks, **options)
        return network, history, ends

    _, whole, ends = run(0)
    assert whole.stopped == "max_iter" and whole.best_epoch < 3
    stopped, number = [], 1
    while not stopped or stopped[-1] == "interrupt":
        network, history, _ = run(number)
        assert _same_bits(network, ends[history.best_epoch])
        n_epochs = history.n_epochs
        assert history.loss_curve == whole.loss_curve[:n_epochs]
        assert history.validation_curve == whole.validation_curve[:n_epochs]
        assert len(history.learning_rate_curve) == len(history.grad_norm_curve) == n_epochs
        if n_epochs > 1:  # the newest epoch may have been recorded and not offered yet
            assert history.best_epoch in (int(np.argmin(history.loss_curve[:k])) + 1 for k in (n_epochs - 1, n_epochs))
        stopped.append(history.stopped)
        number += 61
    assert stopped.count("interrupt") > 30
