"""Hooks at the ends of epochs: what they are told, what the ready-made ones leave behind."""

import csv

import numpy as np
import pytest
from training_to_kill import fit, task

from fastrnn.losses import softmax_cross_entropy
from fastrnn.models import many_to_one
from fastrnn.optim import SGD
from fastrnn.schedules import Exponential, OneCycle, Progress
from fastrnn.storage import read_arrays
from fastrnn.training import Checkpoint, CSVLog, EpochEnd, LearningRateSchedule, ReduceOnPlateau, train


def _train(on_epoch, max_iter=4, **options):
    network = many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0)
    options = {"loss": softmax_cross_entropy, "optimizer": SGD(1.0), "rng": np.random.default_rng(0), **options}
    return network, train(network, *task(), batch_size=16, max_iter=max_iter, on_epoch=on_epoch, **options)


def test_a_hook_is_told_where_the_training_stands():
    seen = []
    network, history = _train(lambda moment: seen.append((moment.progress, moment.watched, moment.network)))
    assert seen == [(Progress(k + 1, 5 * (k + 1), 20), history.loss_curve[k], network) for k in range(4)]


def test_a_hook_is_told_of_the_beginning_of_every_epoch_and_of_the_rest_of_a_resumed_one(tmp_path):
    class Hook:
        def __init__(self):
            self.told = []

        def on_start(self, moment):
            self.told.append("start")

        def on_epoch_start(self, moment):
            self.told.append((moment.history.n_epochs, moment.progress.update))

        def __call__(self, moment):
            self.told.append("end")

    hook, resumed = Hook(), Hook()
    _train(hook, max_iter=2, checkpoint=Checkpoint(tmp_path / "run", every=99, every_updates=7))
    assert hook.told == ["start", (0, 0), "end", (1, 5), "end"]
    _train(resumed, max_iter=3, resume_from=tmp_path / "run")
    assert resumed.told == ["start", (1, 7), "end", (2, 10), "end"]


def test_all_hooks_are_called_and_any_of_them_stops():
    calls = []
    hooks = [lambda moment: calls.append(1), lambda moment: moment.history.n_epochs == 2, lambda m: calls.append(3)]
    _, history = _train(hooks)
    assert history.stopped == "callback" and history.n_epochs == 2 and calls == [1, 3, 1, 3]


def test_what_is_no_hook_is_named():
    with pytest.raises(TypeError, match=r"on_epoch\[1\] is an object of type str, expected a callable"):
        _train([print, "log.csv"])


def test_the_factors_of_two_hooks_multiply_and_the_first_epoch_has_them_too():
    hooks = [LearningRateSchedule(Exponential(0.5)), LearningRateSchedule(Exponential(0.1))]
    _, history = _train(hooks, schedule=Exponential(0.5))
    np.testing.assert_allclose(history.learning_rate_curve, [0.025**k for k in range(4)], rtol=1e-12)
    _, history = _train(LearningRateSchedule(OneCycle()))
    np.testing.assert_allclose(history.learning_rate_curve[0], 1 / 25, rtol=1e-12)


def test_one_reduce_on_plateau_serves_two_trainings_alike():
    hook = ReduceOnPlateau(0.5, patience=0, tol=0.2)
    rates = [_train(hook)[1].learning_rate_curve for _ in range(2)]
    assert rates[0] == rates[1] and rates[0][-1] < 1.0


def test_a_state_of_another_schedule_is_refused():
    with pytest.raises(ValueError, match="state lacks 'factor'"):
        ReduceOnPlateau().load_state_dict({"best": 1.0, "waited": 0})


def test_checkpoints_are_written_every_so_many_epochs_with_the_weights_of_then(tmp_path):
    path, weights = tmp_path / "run", []

    def look(moment):
        weights.append(moment.network.state_dict())
        found.append(path.exists() and read_arrays(path)[0])

    found = []
    _train([Checkpoint(path, every=2), look], max_iter=5)
    for k, before in enumerate(found):  # a checkpoint asked for at the end of an epoch is seen at the next
        if k < 2:
            assert before is False
        else:
            expected = weights[2 * (k // 2) - 1]
            assert all(before[f"weights/{name}"].tobytes() == w.tobytes() for name, w in expected.items())


def test_the_table_holds_the_history_also_of_a_resumed_run(tmp_path):
    table, path = tmp_path / "log.csv", tmp_path / "run"
    plateau = {"decay": 0.7, "patience": 0, "tol": 0.02}
    fit(2, on_epoch=[CSVLog(table), ReduceOnPlateau(**plateau)], checkpoint=path)
    with open(table, "a") as file:
        file.write("3,0.1")  # as a kill may leave it
    _, history = fit(5, on_epoch=[CSVLog(table), ReduceOnPlateau(**plateau)], resume_from=path)
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]
    assert [float(row["loss"]) for row in rows] == history.loss_curve
    assert [float(row["learning_rate"]) for row in rows] == history.learning_rate_curve
    assert [float(row["validation_score"]) for row in rows] == history.validation_curve
    assert list(rows[0]) == ["epoch", "loss", "grad_norm", "learning_rate", "validation_loss", "validation_score"]


def test_every_zero_epochs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="every is 0, expected an integer >= 1"):
        Checkpoint(tmp_path, every=0)
    with pytest.raises(ValueError, match="every_updates is 0, expected an integer >= 1"):
        Checkpoint(tmp_path, every_updates=0)


def test_a_hook_can_ask_for_a_checkpoint_of_its_own(tmp_path):
    def best(moment: EpochEnd):
        if moment.watched == min(moment.history.loss_curve):
            moment.checkpoint(tmp_path / "best")

    network, history = _train(best)
    arrays, _ = read_arrays(tmp_path / "best")
    assert all(arrays[f"weights/{name}"].tobytes() == w.tobytes() for name, w in network.params.items())
