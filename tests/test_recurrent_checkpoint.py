"""Backward from kept segments: the same bits as from kept gates, in less memory."""

import tracemalloc

import numpy as np
import pytest
from cases import ENGINES, Case, assert_all_close, assert_same_bits, build, data, few, matrix, named, over
from cells import COMBINED, EACH

import fastrnn

pytestmark = pytest.mark.usefixtures("exact_threads")


def run(layer, given, **options):
    """Return (what belongs to a sequence, gradients of the parameters)."""
    layer.zero_grad()
    (output, state_n), backward = layer.forward(*given.arguments, training=False, **options)
    d_x, d_state_0 = backward(given.d_output, given.d_state_n)
    results = {"output": output, "d_x": d_x, **named("state_n", state_n), **named("d_state_0", d_state_0)}
    return results, {f"d_{name}": grad.copy() for name, grad in layer.grads.items()}


@over(matrix(engines=("native",), seq_len=(1, 7, 24)) + few(cells=COMBINED, engine="native", seq_len=(7, 24)))
def test_recomputed_segments_give_the_bits_of_kept_gates(case):
    layer, given = build(case), data(case)
    expected, grads = run(layer, given, n_threads=case.n_threads)
    for every in (1, 3, 7, 100):
        results, recomputed = run(layer, given, n_threads=case.n_threads, checkpoint_every=every)
        for name, value in results.items():
            assert_same_bits(value, expected[name], f"{name}, checkpoint_every={every}")
        assert_all_close(recomputed, grads, case.dtype)


@pytest.mark.parametrize("cell", EACH)
def test_recomputed_segments_agree_on_both_engines(cell):
    case = Case(cell, "float64", ENGINES[1], ragged=True, bidirectional=True, num_layers=2, seq_len=9, batch_size=5)
    layer, given = build(case), data(case)
    for found, expected in zip(run(layer, given, checkpoint_every=4), run(layer, given), strict=True):
        assert_all_close(found, expected, "float64")


def test_memory_of_the_gates_falls_to_one_segment(rng):
    layer, x = fastrnn.LSTM(16, 64), rng.standard_normal((400, 8, 16), dtype=np.float32)
    gates = 400 * 8 * 4 * 64 * 4  # bytes of all gates

    def kept(**options):
        tracemalloc.start()
        result = layer.forward(x, n_threads=1, **options)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size, result

    assert kept()[0] > gates
    assert kept(checkpoint_every=20)[0] < 0.4 * gates


@pytest.mark.parametrize(("every", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)])
def test_wrong_distance_is_named(every, error, rng):
    layer = fastrnn.GRU(2, 3)
    with pytest.raises(error, match="checkpoint_every is .* expected an integer >= 1"):
        layer.forward(rng.standard_normal((4, 1, 2)), checkpoint_every=every)
