"""Checkpoints of a training run: it goes on to the same bits, however it ended."""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import training_to_kill
from training_to_kill import fit, task

from fastrnn import GRU, Dense, Dropout, Sequential
from fastrnn.losses import softmax_cross_entropy
from fastrnn.models import many_to_one
from fastrnn.optim import SGD, Adam, RMSprop
from fastrnn.schedules import Plateau
from fastrnn.storage import FileFormatError, read_arrays, write_arrays
from fastrnn.training import Checkpoint, NonFiniteLossError, ReduceOnPlateau, train

CURVES = ("loss_curve", "grad_norm_curve", "learning_rate_curve", "validation_loss_curve", "validation_curve")


def _same_run(one, other):
    (network, history), (network_2, history_2) = one, other
    assert all(network.params[name].tobytes() == w.tobytes() for name, w in network_2.params.items())
    for curve in CURVES:
        assert getattr(history, curve) == getattr(history_2, curve), curve
    assert (history.n_updates, history.best_epoch) == (history_2.n_updates, history_2.best_epoch)


class _Stop(Exception):
    pass


def _stop_at(number):
    """A loss that raises on its call of that number."""
    calls = []

    @functools.wraps(softmax_cross_entropy)
    def loss(*arguments):
        calls.append(0)
        if len(calls) == number:
            raise _Stop
        return softmax_cross_entropy(*arguments)

    return loss


# the same bits


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_run_goes_on_from_the_end_of_an_epoch_to_the_same_bits(epochs, tmp_path):
    path = tmp_path / "run"
    fit(8, on_epoch=[lambda moment: moment.history.n_epochs == epochs, ReduceOnPlateau(0.7, 0, 0.02)], checkpoint=path)
    hooks = [lambda moment: False, ReduceOnPlateau(0.7, 0, 0.02)]
    _same_run(fit(8, resume_from=path, on_epoch=hooks), fit(8))


@pytest.mark.parametrize("updates", [1, 5, 9, 10, 31])
def test_a_run_goes_on_from_the_middle_of_an_epoch_to_the_same_bits(updates, tmp_path, monkeypatch):
    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(training_to_kill, "softmax_cross_entropy", _stop_at_update(updates))
        with pytest.raises(_Stop):
            fit(6, checkpoint=Checkpoint(path, every=99, every_updates=updates))
    _same_run(fit(6, resume_from=path), fit(6))


def _stop_at_update(number):
    """Nine updates of two batches an epoch (the last of one and a half), then five batches of validation."""
    epochs, rest = divmod(number, 9)
    return _stop_at(epochs * (18 + 5) + 2 * rest + 1)


@pytest.mark.parametrize("optimizer", [SGD(0.1), RMSprop(0.01), Adam(0.02)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_optimizer_and_a_schedule_with_a_state_go_on_to_the_same_bits(optimizer, shuffle, tmp_path):
    sequences, target = task()

    def run(max_iter, **options):
        network = many_to_one(2, 2, hidden_layer_sizes=(5,), random_state=0)
        options = {"optimizer": optimizer, "rng": np.random.Generator(np.random.MT19937(3)), **options}
        options |= {"schedule": Plateau(0.5, patience=0, tol=0.2), "shuffle": shuffle}
        return network, train(
            network, sequences, target, loss=softmax_cross_entropy, batch_size=16, max_iter=max_iter, **options
        )

    run(4, checkpoint=Checkpoint(tmp_path / "run"))
    whole = run(9)
    assert len(set(whole[1].learning_rate_curve)) > 2
    _same_run(run(9, resume_from=tmp_path / "run"), whole)


@pytest.mark.parametrize("updates", [1, 3, 6])
def test_windows_go_on_from_the_middle_of_an_epoch_to_the_same_bits(updates, tmp_path):
    sequences, _ = task()
    target = [(x > 0).any(axis=1).astype(int) for x in sequences]

    def run(loss=softmax_cross_entropy, **options):
        network = Sequential(GRU(2, 4, random_state=0), Dropout(0.2), Dense(4, 2, random_state=1))
        options |= {"optimizer": Adam(0.02), "rng": np.random.default_rng(3), "batch_size": 16}
        options |= {"bptt_window": 2, "accumulate_steps": 3, "max_iter": 3}
        return network, train(network, sequences, target, loss=loss, **options)

    with pytest.raises(_Stop):
        run(_stop_at(35), checkpoint=Checkpoint(tmp_path / "run", every=99, every_updates=updates))
    _same_run(run(resume_from=tmp_path / "run"), run())


def test_a_run_that_had_ended_ends_at_once_with_the_same_weights(tmp_path):
    path = tmp_path / "run"
    whole = fit(3, checkpoint=path)
    _same_run(fit(3, resume_from=path), whole)


def test_a_loss_that_is_not_finite_after_a_resume_leaves_the_best_weights_of_before(tmp_path, monkeypatch):
    path = tmp_path / "run"
    network, history = fit(3, checkpoint=path)
    not_finite = functools.wraps(softmax_cross_entropy)(lambda output, target: (np.nan, output))
    monkeypatch.setattr(training_to_kill, "softmax_cross_entropy", not_finite)
    with pytest.raises(NonFiniteLossError, match="at epoch 4, batches 1 to 2") as caught:
        fit(6, resume_from=path)
    assert caught.value.history.best_epoch <= 3 and caught.value.history.loss_curve == history.loss_curve


# kills


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL")
@pytest.mark.parametrize("n_kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_goes_on_to_the_same_bits(n_kills, tmp_path):
    script, checkpoint, weights = training_to_kill.__file__, tmp_path / "run", tmp_path / "weights.npz"
    root = str(Path(script).parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, script, str(checkpoint), str(weights)]
    moments, said = random.Random(n_kills), []
    for _ in range(n_kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            said.append(process.stdout.readline().strip())
            time.sleep(moments.uniform(0.0, 1.5 / n_kills))
            process.kill()
        if checkpoint.exists():
            read_arrays(checkpoint)
        if weights.exists():  # it had ended before it was killed
            break
    assert "resumed" in said
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    network, _ = fit()
    with np.load(weights) as found:
        assert all(found[name].tobytes() == w.tobytes() for name, w in network.params.items())


# files that do not fit


@pytest.mark.parametrize(
    "options, words",
    [
        ({"accumulate_steps": 3}, "written with accumulate_steps = 2, expected 3"),
        ({"bptt_window": 3}, "written with bptt_window = None, expected 3"),
        ({"sample_weight": np.r_[0.0, np.ones(69)]}, "written with samples = "),
    ],
)
def test_a_checkpoint_of_another_job_is_refused_by_name(options, words, tmp_path):
    path = tmp_path / "run"
    fit(1, checkpoint=path)
    with pytest.raises(ValueError, match=words):
        fit(2, resume_from=path, **options)


def test_a_file_that_is_no_checkpoint_or_not_whole_is_refused(tmp_path):
    path, bad = tmp_path / "run", tmp_path / "bad"
    fit(1, checkpoint=path)
    arrays, metadata = read_arrays(path)
    cases = {
        "expected a 'fastrnn training checkpoint'": (arrays, {**metadata, "format": "weights"}),
        "has version '9', expected '1'": (arrays, {**metadata, "version": "9"}),
        "KeyError": ({k: v for k, v in arrays.items() if not k.startswith("optimizer/first")}, metadata),
        "no whole training checkpoint.*expected float32": (
            {k: v.astype("float64") if k.startswith("weights/") else v for k, v in arrays.items()},
            metadata,
        ),
        "its state": (arrays, {**metadata, "state": metadata["state"][:-1]}),
        "stands where a count is expected": (arrays, {**metadata, "state": _with(metadata, "waited", -7)}),
        "must be for a PCG64": (arrays, {**metadata, "state": _with(metadata, "rng", {"x": 1})}),
        "OverflowError": (arrays, {**metadata, "state": _with(metadata, "rng", _too_large(metadata))}),
        "history/loss_curve is float64.1, 1.": (_with_curve(arrays, np.ones((1, 1))), metadata),
    }
    for words, (these, text) in cases.items():
        write_arrays(bad, these, text)
        with pytest.raises(FileFormatError, match=words):
            fit(2, resume_from=bad)
    bad.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileFormatError):
        fit(2, resume_from=bad)
    with pytest.raises(FileNotFoundError):
        fit(2, resume_from=tmp_path / "nothing")


def _with(metadata, key, value):
    """The text of the state with another value."""
    return json.dumps({**json.loads(metadata["state"]), key: value})


def _too_large(metadata):
    generator = json.loads(metadata["state"])["rng"]
    return {**generator, "state": {"state": 2**200, "inc": 2**200}}


def _with_curve(arrays, curve):
    return {**arrays, "history/loss_curve": curve}
