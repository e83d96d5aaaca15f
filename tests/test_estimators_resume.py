"""``fit(resume_from=...)``: a fit goes on from a checkpoint to the same bits, however it ended."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import estimator_to_kill
import numpy as np
import pytest
from estimator_to_kill import fit, result, task

from fastrnn.estimators import RNNClassifier, RNNRegressor
from fastrnn.storage import FileFormatError, read_arrays
from fastrnn.training import Checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (4,), "random_state": 0, "n_threads": 1, "batch_size": 5}


def assert_same_result(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype and found[name].tobytes() == values.tobytes(), name


@pytest.fixture
def series(rng):
    return rng.normal(size=(20, 6, 2)), rng.normal(size=20)


class _Stop(Exception):
    pass


def stop_after(epochs):
    def hook(moment):
        if moment.history.n_epochs == epochs:
            raise _Stop

    return hook


@pytest.mark.parametrize("n_updates", [1, 8, 40])
def test_a_fit_that_breaks_off_within_an_epoch_goes_on_to_the_same_bits(n_updates, tmp_path, monkeypatch):
    whole, counted = fit(), []
    with monkeypatch.context() as patch:
        from fastrnn.training.run import Run

        update = Run.update

        def breaks_off(run, max_iter):
            if len(counted) > n_updates:
                raise _Stop
            counted.append(0)
            update(run, max_iter)

        patch.setattr(Run, "update", breaks_off)
        with pytest.raises(_Stop):
            fit(Checkpoint(tmp_path / "run", every_updates=1))
    resumed = fit(resume_from=tmp_path / "run")
    assert_same_result(result(resumed), result(whole))
    np.testing.assert_array_equal(resumed.predict_proba(task()[0]), whole.predict_proba(task()[0]))
    assert (resumed.n_iter_, resumed.best_loss_) == (whole.n_iter_, whole.best_loss_)


@pytest.mark.parametrize("random_state", [0, None])
def test_a_regressor_goes_on_too_without_a_seed_from_what_the_file_holds(random_state, series, tmp_path):
    model = RNNRegressor(**{**SMALL, "random_state": random_state}, max_iter=3)
    first = model.set_callbacks(Checkpoint(tmp_path / "run")).fit(*series)
    curve = first.loss_curve_
    longer = model.set_callbacks().set_params(max_iter=6)
    one, other = (longer.fit(*series, resume_from=tmp_path / "run").network_.state_dict() for _ in range(2))
    assert longer.loss_curve_[:3] == curve and longer.n_iter_ == 6
    assert_same_result(other, one)


def test_an_exception_in_a_callback_leaves_the_estimator_as_it_was_and_a_file_to_go_on_from(series, tmp_path):
    model = RNNRegressor(**SMALL, max_iter=6)
    with pytest.raises(_Stop):
        model.set_callbacks(Checkpoint(tmp_path / "run"), stop_after(3)).fit(*series)
    assert not hasattr(model, "network_")
    model.set_callbacks().fit(*series, resume_from=tmp_path / "run")
    assert_same_result(
        model.network_.state_dict(), RNNRegressor(**SMALL, max_iter=6).fit(*series).network_.state_dict()
    )


def test_a_checkpoint_that_does_not_fit_is_refused_and_a_fitted_model_goes_on_as_it_was(series, tmp_path):
    X, y = series
    path, model = tmp_path / "run", RNNRegressor(**SMALL, max_iter=2)
    before = model.set_callbacks(Checkpoint(path)).fit(X, y).predict(X)
    (tmp_path / "half").write_bytes(path.read_bytes()[:-50])
    for resume_from, data, words in [
        (path, (X, y + 1), "was written with samples = "),
        (path, (X[::-1], y), "was written with samples = "),
        (path, (X, y, np.arange(20)), "was written with samples = "),
        (path, (X, np.stack([y, y], axis=1)), "was written with parameters = "),
        (tmp_path / "half", (X, y), "cannot be loaded"),
    ]:
        with pytest.raises(ValueError, match=words):
            model.fit(*data, resume_from=resume_from)
        np.testing.assert_array_equal(model.predict(X), before)
    with pytest.raises(FileNotFoundError):
        model.fit(X, y, resume_from=tmp_path / "nothing")
    np.testing.assert_array_equal(model.predict(X), before)
    assert issubclass(FileFormatError, ValueError)


def test_another_split_of_validation_data_is_refused(series, tmp_path):
    X, y = series[0], np.arange(20) % 2
    model = RNNClassifier(**{**SMALL, "random_state": None}, early_stopping=True, validation_fraction=0.3, max_iter=2)
    model.set_callbacks(Checkpoint(tmp_path / "run")).fit(X, y)
    with pytest.raises(ValueError, match="was written with samples = "):
        model.fit(X, y, resume_from=tmp_path / "run")


def time_of(path):
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL")
@pytest.mark.parametrize("n_kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_fit_killed_at_random_moments_goes_on_to_the_same_bits(n_kills, tmp_path):
    script, checkpoint, weights = estimator_to_kill.__file__, tmp_path / "run", tmp_path / "weights.npz"
    root = str(Path(script).parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, script, str(checkpoint), str(weights)]
    moments, said = random.Random(n_kills), []
    for _ in range(n_kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            written_before = time_of(checkpoint)
            said.append(process.stdout.readline().strip())
            while process.poll() is None and time_of(checkpoint) == written_before:
                time.sleep(0.001)
            time.sleep(moments.uniform(0.0, 0.4 / n_kills))
            process.kill()
        if checkpoint.exists():
            read_arrays(checkpoint)
        if weights.exists():  # it had ended before it was killed
            break
    assert "resumed" in said
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    with np.load(weights) as found:
        assert_same_result(dict(found), result(fit()))
