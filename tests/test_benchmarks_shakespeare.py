"""The benchmark of tiny Shakespeare counts and compares what it says it does."""

import dataclasses
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "benchmarks" / "learning" / "data" / "tinyshakespeare.txt.bz2").exists():
    pytest.skip("the benchmarks are in the repository only", allow_module_level=True)


def load(name):
    """Import a module of the benchmarks without shadowing the installed package by the source tree."""
    sys.path.append(str(ROOT))
    try:
        return importlib.import_module(f"benchmarks.learning.{name}")
    finally:
        sys.path.remove(str(ROOT))


tiny_shakespeare = load("tiny_shakespeare")
SMALL = tiny_shakespeare.Settings(hidden_size=12, embedding_dim=4, rows=8, window=16)


def small_text():
    learned, held_out, n_tokens = tiny_shakespeare.tokens()
    return learned[:8000], held_out[:600], n_tokens


def test_text_is_the_whole_one_cut_at_nine_tenths():
    learned, held_out, n_tokens = tiny_shakespeare.tokens()
    assert (len(learned), len(held_out), n_tokens) == (1_003_854, 111_540, 65)


def test_rows_are_the_text_side_by_side_with_the_next_character_as_target():
    text = np.arange(50)
    rows = tiny_shakespeare.Rows(text, 4, np.random.default_rng(0))
    cuts = set()
    for _ in range(5):
        rows.on_epoch_start(None)
        assert rows.inputs.shape == (4, 11)
        np.testing.assert_array_equal((rows.inputs + 1) % 50, rows.targets)
        np.testing.assert_array_equal((rows.inputs[:-1, 0] + 12) % 50, rows.inputs[1:, 0])
        cuts.add(int(rows.inputs[0, 0]))
    assert len(cuts) > 2


def test_training_keeps_within_the_budget_and_learns():
    text = small_text()
    budget = 6 * 12 * 8000 * 200
    found = tiny_shakespeare.solve(SMALL, 0, budget=budget, text=text, n_threads=1)
    assert found.n_weights == 4 * 12 * (4 + 12 + 2) + 13 * 65
    assert 0.5 * budget < found.operations[-1] <= budget
    assert found.operations[0] == 6 * found.n_weights * found.n_characters
    assert found.n_epochs == len(found.validation) == len(found.seconds) and found.nats < np.log(65)
    assert found.nats == pytest.approx(min(found.validation), rel=0.1)


def test_curves_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    found = tiny_shakespeare.solve(SMALL, 0, budget=6 * 12 * 8000 * 150, text=small_text(), n_threads=1)
    tiny_shakespeare.draw([found], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000


def test_torch_takes_the_same_updates():
    torch = pytest.importorskip("torch")
    times, threads = load("shakespeare_times"), torch.get_num_threads()
    try:
        assert times.difference(dataclasses.replace(SMALL, weight_decay=0.5), small_text(), 12) < 1e-5
    finally:
        torch.set_num_threads(threads)
