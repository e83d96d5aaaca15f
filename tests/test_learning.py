"""The figures of learning are measured on what they say: small versions of `benchmarks.learning`."""

import importlib
import random
import signal
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "benchmarks" / "learning").exists():
    pytest.skip("the benchmarks are in the repository only", allow_module_level=True)


def load(name):
    """Import a module of the benchmarks without shadowing the installed package by the source tree."""
    sys.path.append(str(ROOT))
    try:
        return importlib.import_module(f"benchmarks.learning.{name}")
    finally:
        sys.path.remove(str(ROOT))


adding_problem, aeon_data, fit_profile, fit_vs_torch, italy, japanese_vowels, killed_fits, report, torch_twin = map(
    load,
    (
        *("adding_problem", "aeon_data", "fit_profile", "fit_vs_torch", "italy_power_demand", "japanese_vowels"),
        *("killed_fits", "report", "torch_twin"),
    ),
)

SERIES = """\
# a comment
@problemName Toy
@data
1.0,-2.5,0.5:1
0.0,3.0,4.0:2.0
"""


def test_a_bidirectional_gru_reaches_97_percent_of_the_vowels():
    assert japanese_vowels.accuracy(0, japanese_vowels.load(), n_threads=1) >= japanese_vowels.BAR


def test_the_settings_for_italy_learn_which_half_of_a_day_is_higher():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 24, 1)).astype("float32")
    X[:60, :12] += 1.0
    X[60:, 12:] += 1.0
    y = np.repeat([1, 2], 60)
    assert italy.accuracy(0, (X[::2], y[::2], X[1::2], y[1::2]), max_iter=30, n_threads=1) >= 0.95
    mean, error = italy.cross_validated(X[::2], y[::2], repeats=1, **{**italy.SETTINGS, "max_iter": 30})
    assert mean >= 0.9 and 0.0 <= error < 0.05


def test_the_adding_problem_is_solved_on_fresh_sequences():
    options = {"cell": "gru", "hidden_layer_sizes": 16, "batch_size": 32, "learning_rate_init": 0.02}
    task = adding_problem.Task("GRU", 8, 40_000, options)
    found = adding_problem.solve(task, 0, n_threads=1)
    assert found.error < adding_problem.BAR
    assert 2000 <= found.n_sequences < 40_000 and found.n_sequences % 2000 == 0
    unsolved = adding_problem.solve(adding_problem.Task("GRU", 8, 50, options), 0, chunk=50, n_threads=1)
    assert unsolved.n_sequences == 50 and unsolved.error > 0.05


# the series of aeon


def test_series_are_read_with_their_labels(tmp_path):
    (tmp_path / "Toy_TRAIN.ts").write_text(SERIES)
    X, y = aeon_data.read_ts(tmp_path / "Toy_TRAIN.ts")
    assert X.dtype == np.float32 and X[..., 0].tolist() == [[1.0, -2.5, 0.5], [0.0, 3.0, 4.0]]
    assert y.tolist() == [1, 2]


def test_a_data_set_is_found_in_an_unpacked_wheel_and_in_its_own_folder(tmp_path):
    folder = tmp_path / aeon_data.INSIDE / "Toy"
    folder.mkdir(parents=True)
    for part in ("TRAIN", "TEST"):
        (folder / f"Toy_{part}.ts").write_text(SERIES)
    for path in (tmp_path, folder.parent, folder):
        X_train, _, X_test, y_test = aeon_data.load("Toy", path)
        assert X_train.shape == X_test.shape == (2, 3, 1) and y_test.tolist() == [1, 2]
    with pytest.raises(FileNotFoundError, match="Gone_TRAIN.ts is neither in"):
        aeon_data.load("Gone", tmp_path)


def test_without_a_path_the_wheel_is_downloaded_and_forgotten(tmp_path, monkeypatch):
    def download(command, check):
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "aeon-1.0-py3-none-any.whl", "w") as wheel:
            for part in ("TRAIN", "TEST"):
                wheel.writestr(f"{aeon_data.INSIDE}/Toy/Toy_{part}.ts", SERIES)
            wheel.writestr("aeon/__init__.py", "raise RuntimeError")

    monkeypatch.setattr(aeon_data.subprocess, "run", download)
    with aeon_data.folder_of("Toy") as folder:
        assert (folder / "Toy_TEST.ts").is_file() and not list(folder.parents[3].glob("__init__.py"))
    assert not folder.exists()


@pytest.mark.parametrize("text, words", [("1,2:1\n", "no line @data"), ("@data\n1,2:3,4:1\n", "a row of 3 parts")])
def test_files_of_another_kind_are_refused(text, words, tmp_path):
    (tmp_path / "series.ts").write_text(text)
    with pytest.raises(ValueError, match=words):
        aeon_data.read_ts(tmp_path / "series.ts")


# beside torch


@pytest.fixture
def torch_threads():
    """Give torch its threads back, which are those of everybody's OpenMP."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 2e-4)])
def test_torch_and_this_package_train_the_same_network(cell, dtype, tolerance, torch_threads):
    shape = torch_twin.Shape(cell, batch_size=8, seq_len=12, input_size=10, hidden_size=16)
    ours, theirs, largest = fit_vs_torch.differences(shape, dtype, n_batches=4, epochs=5)
    assert len(ours) == len(theirs) == 20 and largest < tolerance
    assert ours[-4:].mean() < 0.95 * ours[:4].mean()


def test_a_fit_beside_torch_is_timed_an_update(torch_threads):
    shape = torch_twin.Shape("gru", batch_size=4, seq_len=5, input_size=3, hidden_size=8)
    assert all(0.0 < best < 1.0 for best in fit_vs_torch.seconds(shape, 1, rounds=2, n_batches=2))


# where the time goes


def test_the_time_in_kernels_is_a_part_of_the_fit_and_every_function_gets_its_own_back():
    from fastrnn._core import native, recurrent

    functions = native.matmul, recurrent.run_layer
    whole, seconds = fit_profile.profile(torch_twin.Shape("lstm", 8, 40, 12, 32), 1, epochs=1, n_batches=2, repeats=1)
    assert {"recurrent.run_layer", "backward.run_layer_back", "native.matmul"} <= set(seconds)
    assert 0.0 < sum(seconds.values()) < whole
    assert (native.matmul, recurrent.run_layer) == functions


def test_a_call_within_a_call_counts_once():
    from fastrnn._core import native

    a, out = np.ones((4, 4), "float32"), np.zeros((4, 4), "float32")
    with fit_profile.timed_core() as seconds:
        native.pack(a)
        native.lanes("float32")
    assert set(seconds) == {"native.pack", "native.lanes"}
    with fit_profile.timed_core() as seconds:
        native.add_outer(out, a, a)  # it packs
    assert set(seconds) == {"native.add_outer"} and (out == 4.0).all()


# kills


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL")
@pytest.mark.slow
def test_a_killed_fit_of_an_estimator_goes_on_to_the_same_bits():
    outcomes = [outcome for _, outcome in killed_fits.run_all(2, random.Random(1))]
    assert len(outcomes) == 2 and all(outcome.same_bits for outcome in outcomes)


# reports


def test_a_report_tells_command_machine_and_whether_aims_are_reached(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "machine_line", lambda: "a machine")
    monkeypatch.setattr(sys, "argv", ["toy.py", "--seeds", "2"])
    rows = report.by_seed([0.9, 1.0], 0.96)
    report.write("toy", "# Toy", report.grid(["seed", "accuracy"], rows), folder=tmp_path / "results")
    text = (tmp_path / "results" / "toy.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    assert "| 0 | 90.00% |" in text and "(aim: at least 96%, **not reached**) | 95.00% |" in text
    assert "`python -m benchmarks.learning.toy --seeds 2`" in text and "Machine: a machine." in text
