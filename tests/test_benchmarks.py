"""The benchmarks compare like with like: every peer computes what this package computes."""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "benchmarks" / "peers.py").exists():
    pytest.skip("the benchmarks are in the repository only", allow_module_level=True)


def load(name):
    """Import a module of the benchmarks without shadowing the installed package by the source tree."""
    sys.path.append(str(ROOT))
    try:
        return importlib.import_module(f"benchmarks.{name}")
    finally:
        sys.path.remove(str(ROOT))


criteria, limits, modes, peers, protocol, report, shapes = map(
    load, ("criteria", "limits", "modes", "peers", "protocol", "report", "shapes")
)
Shape = shapes.Shape

SHAPES = [
    Shape("lstm", 3, 5, 4, 6, num_layers=2, bidirectional=True),
    Shape("gru", 2, 4, 3, 7, num_layers=2),
    Shape("rnn", 1, 6, 5, 4),
]
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}
FORWARD = [
    *(("torch", method, dtype) for method in ("forward", "ragged_forward") for dtype in TOLERANCE),
    ("onnxruntime", "forward", "float32"),
    ("onnxruntime", "ragged_forward", "float32"),
    ("openvino", "forward", "float32"),
]
OTHERS = [name for name in peers.PEERS if name != "fastrnn"]


def build(name, problem, n_threads=1):
    try:
        adapter = peers.build(name, problem, n_threads)
    except NotImplementedError as reason:
        pytest.skip(str(reason))
    adapter.take_threads()
    return adapter


def call(adapter, method):
    try:
        return getattr(adapter, method)()
    except NotImplementedError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def torch_threads():
    """Give torch its threads back."""
    before = importlib.import_module("torch").get_num_threads() if peers.Torch.absence() is None else None
    yield
    if before is not None:
        sys.modules["torch"].set_num_threads(before)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.label)
@pytest.mark.parametrize("name, method, dtype", FORWARD)
def test_peer_output_agrees(name, method, dtype, shape, torch_threads):
    problem = peers.Problem(shape, dtype)
    peer, ours = build(name, problem), build("fastrnn", problem)
    expected = ours.output(call(ours, method))
    np.testing.assert_allclose(peer.output(call(peer, method)), expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.label)
@pytest.mark.parametrize("method", ["train", "ragged"])
def test_torch_gradients_agree(method, shape, torch_threads):
    problem = peers.Problem(shape, "float64")
    peer, ours = build("torch", problem), build("fastrnn", problem)
    for adapter in (peer, ours):
        getattr(adapter, method)()
        getattr(adapter, method)()  # what the first call left must not count
    expected, found = ours.gradients(), peer.gradients()
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-9, atol=1e-11, err_msg=key)


@pytest.mark.parametrize("shape", SHAPES[1:], ids=lambda shape: shape.label)
@pytest.mark.parametrize("name", OTHERS)
def test_peer_stream_agrees(name, shape, torch_threads):
    problem = peers.Problem(shape)
    problem.x[:] = problem.x[0]
    peer, ours = build(name, problem), build("fastrnn", problem)
    for _ in range(shape.seq_len):
        last, expected = call(peer, "step"), ours.step()
    np.testing.assert_allclose(peer.output(last)[0], expected, rtol=0, atol=TOLERANCE["float32"])
    np.testing.assert_array_equal(expected, ours.output(ours.forward())[-1])


def test_absent_peer_is_skipped_with_a_reason(monkeypatch):
    monkeypatch.setattr(peers.Torch, "modules", ("a_package_that_nobody_has",))
    made, skipped = modes.adapters(["fastrnn", "torch"], peers.Problem(SHAPES[2]), 1, "forward")
    assert list(made) == ["fastrnn"]
    assert skipped == {"torch": "torch: a_package_that_nobody_has not installed"}


def test_block_does_not_count_its_beginning(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(protocol.time, "perf_counter", lambda: now[0])

    def slow_at_first():
        now[0] += 0.010 if now[0] < 0.012 else 0.002

    assert protocol.block(slow_at_first) == pytest.approx(0.002)

    def very_slow():
        now[0] += 1.0

    assert protocol.block(very_slow) == pytest.approx(1.0)


def test_measurement_under_a_drifting_clock_is_taken_again(monkeypatch):
    peaks = iter([100.0, 90.0, 100.0, 98.0])
    monkeypatch.setattr(protocol.limits, "fma_peak", lambda *_: next(peaks))
    monkeypatch.setattr(protocol, "interleave", lambda *_: {"fastrnn": protocol.Timing([2.0, 1.0])})
    result = protocol.measure({})
    assert result.steady and result.seconds == {"fastrnn": 1.0} and result.drift == pytest.approx(0.02)


def test_limits_are_measured_or_nan():
    peak = limits.fma_peak(repeats=1)
    assert peak > 1e8 if limits.available() else math.isnan(peak)
    assert limits.home(1) == "L1" and limits.home(1 << 40) == "memory"


def test_report_holds_rows_against_the_aims():
    seconds = {"fastrnn": 1e-3, "torch": 2e-3, "onnxruntime": 1.5e-3}
    row = modes.Row("inference", shapes.TABLE[1], 1, seconds, limit=0.5e-3, bound="L2")
    assert row.best_peer == "onnxruntime" and row.ratio == pytest.approx(1.5)
    text = report.markdown([row])
    assert "| lstm 1 100 64 64 | **1,000** | 2,000 | 1,500 | 1.50x |  | 50 % L2 |" in text
    assert "| inference: N <= 8 | 1 | 1 | geometric mean | 1.50 | >= 1.3 | yes |" in text
    assert criteria.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
