"""A sequence gets the same bits alone and in any batch, in any order, with any padding, on any number of threads.

The native engine promises bits; the blas engine promises rounding.
"""

import numpy as np
import pytest
from cases import (
    DTYPES,
    THREADS,
    Case,
    Data,
    as_arrays,
    as_state,
    assert_all_close,
    assert_all_same_bits,
    assert_same_bits,
    build,
    data,
    few,
    matrix,
    over,
    product,
    run_layer,
)
from cells import COMBINED, EACH, VARIANTS

pytestmark = pytest.mark.usefixtures("exact_threads")

DEEP = {"bidirectional": (True,), "num_layers": (2,), "ragged": (True,)}
BATCH_RESULTS = ("output", "cells", "forward output", "d_x")  # (seq_len, batch_size, ...)


def select(given, rows, seq_len=None, trim=False):
    """Some rows of `given`, in that order, padded with NaN to `seq_len`; with `trim` one row without its padding."""
    x, d_output = given.x[:, rows], given.d_output[:, rows]
    lengths = np.full(given.x.shape[1], len(x)) if given.lengths is None else given.lengths
    lengths = lengths[rows]
    if trim:
        x, d_output, lengths = x[: lengths[0]], d_output[: lengths[0]], None
    elif seq_len is not None:
        x, d_output = (
            np.concatenate([a, np.full((seq_len - len(a), *a.shape[1:]), np.nan, a.dtype)]) for a in (x, d_output)
        )
    state_0, d_state_n = (
        None if state is None else as_state([a[:, rows] for a in as_arrays(state)])
        for state in (given.state_0, given.d_state_n)
    )
    return Data(x, state_0, lengths, d_output, d_state_n)


def rows_of(results, rows, length=None):
    """Everything in `results` that belongs to some rows; the parameter gradients belong to none."""
    chosen = {}
    for name, value in results.items():
        if name in BATCH_RESULTS:
            chosen[name] = value[:length, rows]
        elif "state" in name:
            chosen[name] = value[:, rows]
    return chosen


@over(
    matrix(engines=("native",), ragged=True, seq_len=5, batch_size=33, n_threads=1)
    + product(cells=tuple(VARIANTS), dtype=DTYPES, hidden_size=(37,), **DEEP)
)
def test_sequence_alone_gets_the_bits_it_gets_in_a_shuffled_ragged_batch(case):
    layer, given = build(case), data(case)
    batch = {n_threads: run_layer(layer, given, n_threads=n_threads) for n_threads in THREADS}
    for n_threads in THREADS[1:]:
        assert_all_same_bits(batch[n_threads], batch[1])  # parameter gradients included
    for n, length in enumerate(given.lengths):
        alone = run_layer(layer, select(given, [n], trim=True), n_threads=THREADS[n % 3])
        assert_all_same_bits(rows_of(alone, [0]), rows_of(batch[1], [n], length))


@over(matrix(engines=("native",), dtypes=(None,), dtype=DTYPES, ragged=True, seq_len=5, batch_size=7, n_threads=(2, 4)))
def test_order_and_padding_of_a_batch_change_no_bit(case):
    layer, given = build(case), data(case)
    rows = np.random.default_rng(0).permutation(case.batch_size)
    batch = run_layer(layer, given, n_threads=1)
    shuffled = run_layer(layer, select(given, rows, seq_len=case.seq_len + 3), n_threads=case.n_threads)
    assert_all_same_bits(rows_of(shuffled, slice(None), case.seq_len), rows_of(batch, rows))


@over(
    matrix(engines=("native",), dtypes=(None,), dtype=DTYPES, n_threads=1)
    + few(cells=COMBINED, engine="native", n_threads=1)
)
def test_number_of_threads_changes_no_bit(case):
    """Of batches of every size, so that each way to share the work among threads comes up."""
    layer, given = build(case), data(case)
    one = run_layer(layer, given, n_threads=1)
    for n_threads in THREADS[1:]:
        assert_all_same_bits(run_layer(layer, given, n_threads=n_threads), one)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", EACH)
def test_same_call_twice_gives_the_same_bits(cell, dtype):
    case = Case(cell, dtype, ragged=True, bidirectional=True, num_layers=2, batch_size=33)
    layer, given = build(case), data(case)
    first = run_layer(layer, given, n_threads=2)
    run_layer(layer, data(Case(cell, dtype, bidirectional=True, num_layers=2, seq_len=3)))
    assert_all_same_bits(run_layer(layer, given, n_threads=2), first)


@over(
    matrix(engines=("blas",), dtypes=(None,), dtype=DTYPES, ragged=True, seq_len=5, batch_size=(7, 33))
    + product(cells=COMBINED, engine=("blas",), dtype=DTYPES, n_threads=(4,), **DEEP)
)
def test_blas_engine_gives_a_sequence_alone_the_same_but_for_rounding(case):
    layer, given = build(case), data(case)
    batch = run_layer(layer, given, n_threads=case.n_threads)
    assert_all_close(batch, run_layer(layer, given, n_threads=1), case.dtype)
    for n, length in list(enumerate(given.lengths))[:7]:
        alone = run_layer(layer, select(given, [n], trim=True), n_threads=1)
        assert_all_close(rows_of(alone, [0]), rows_of(batch, [n], length), case.dtype)


def poison(given, n, value=np.nan):
    """`given` with a bad value in row n of x, of the states and of the derivatives."""
    x, d_output = given.x.copy(), given.d_output.copy()
    x[1, n, 0] = d_output[0, n, 0] = value
    state_0, d_state_n = ([a.copy() for a in as_arrays(state)] for state in (given.state_0, given.d_state_n))
    for array in (*state_0, *d_state_n):
        array[0, n, 0] = value
    return Data(x, as_state(state_0), given.lengths, d_output, as_state(d_state_n))


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", EACH)
def test_bad_value_in_one_row_changes_no_bit_of_another(cell, dtype, value):
    for bidirectional, n_threads, batch_size, hidden_size in [(False, 1, 7, 20), (True, 2, 33, 37), (True, 4, 7, 3)]:
        sizes = {"batch_size": batch_size, "hidden_size": hidden_size}
        case = Case(cell, dtype, bidirectional=bidirectional, num_layers=2, **sizes)
        layer, given = build(case), data(case)
        others = np.delete(np.arange(batch_size), 4)
        with np.errstate(invalid="ignore"):
            bad = run_layer(layer, poison(given, 4, value), n_threads=n_threads)
        clean = run_layer(layer, given, n_threads=1)
        assert_all_same_bits(rows_of(bad, others), rows_of(clean, others))


@pytest.mark.parametrize("engine", ["native", "blas"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", EACH)
def test_nan_reaches_every_later_output_of_its_row(cell, dtype, engine):
    case = Case(cell, dtype, engine, num_layers=2, hidden_size=37)
    layer, given = build(case), data(case)
    given.x[2, 3, 1] = np.nan
    output, state_n = layer(given.x, given.state_0)
    assert np.isnan(output[2:, 3]).all()
    assert np.isfinite(output[:2, 3]).all()
    assert np.isfinite(np.delete(output, 3, axis=1)).all()
    assert all(np.isnan(s[:, 3]).all() for s in as_arrays(state_n))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", EACH)
def test_content_of_padding_changes_no_bit(cell, dtype):
    case = Case(cell, dtype, ragged=True, bidirectional=True, num_layers=2, batch_size=33, hidden_size=37)
    layer, given = build(case), data(case)
    with_nan = run_layer(layer, given, n_threads=2)
    for filler in (0.0, np.inf, 1e30):
        given.x[given.padding], given.d_output[given.padding] = filler, filler
        assert_all_same_bits(run_layer(layer, given, n_threads=2), with_nan)


@pytest.mark.parametrize("cell", EACH)
def test_row_of_length_zero_returns_its_initial_state(cell):
    case = Case(cell, "float32", bidirectional=True, num_layers=2, batch_size=3)
    layer, given = build(case), data(case)
    output, state_n, *cells = layer(given.x, given.state_0, [5, 0, 2], return_cells=cell.startswith("lstm"))
    assert not output[:, 1].any()
    assert not any(c[:, 1].any() for c in cells)
    for before, after in zip(as_arrays(given.state_0), as_arrays(state_n), strict=True):
        assert_same_bits(after[:, 1], before[:, 1])
    _, backward = layer.forward(given.x, given.state_0, [5, 0, 2])
    d_x, d_state_0 = backward(given.d_output, given.d_state_n)
    assert not d_x[:, 1].any()
    for d_after, d_before in zip(as_arrays(given.d_state_n), as_arrays(d_state_0), strict=True):
        assert_same_bits(d_before[:, 1], d_after[:, 1])
