"""Streaming: one step at a time gives what one call gives, and nothing handed out changes later."""

import numpy as np
import pytest
from cases import (
    DTYPES,
    ENGINES,
    Case,
    as_arrays,
    assert_all_close,
    assert_all_same_bits,
    assert_same_bits,
    build,
    data,
    few,
    matrix,
    named,
    over,
)
from cells import EACH

STREAM = {"bidirectional": False, "with_state": False, "ragged": False, "n_threads": 1}


def run_steps(stepper, x):
    """The outputs of all steps and the final state, as a call gives them."""
    output = np.stack([stepper.step(x_t) for x_t in x])
    return {"output": output, **named("state_n", stepper.state)}


@over(matrix(**STREAM) + few(**STREAM))
def test_steps_equal_one_call(case):
    """Bit for bit on the native engine, to rounding on the other."""
    layer, given = build(case), data(case)
    output, state_n = layer(given.x)
    expected = {"output": output, **named("state_n", state_n)}
    results = run_steps(layer.stepper(case.batch_size), given.x)
    if case.engine == "native":
        assert_all_same_bits(results, expected)
    else:
        assert_all_close(results, expected, case.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", EACH)
def test_stepper_for_one_sequence_gives_the_bits_of_its_row_in_a_batch(cell, dtype):
    case = Case(cell, dtype, num_layers=2, hidden_size=37, batch_size=33)
    layer, given = build(case), data(case)
    output, _ = layer(given.x)
    stepper = layer.stepper()
    for x_t, expected in zip(given.x[:, 5:6], output[:, 5:6], strict=True):
        assert_same_bits(stepper.step(x_t), expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
def test_results_of_a_stepper_are_never_views(cell, engine):
    case = Case(cell, engine=engine, num_layers=2)
    layer, given = build(case), data(case)
    expected = run_steps(layer.stepper(case.batch_size), given.x)
    stepper, kept = layer.stepper(case.batch_size), []
    for x_t in given.x:
        x_t = x_t.copy()
        y = stepper.step(x_t)
        for array in (x_t, *as_arrays(stepper.state)):
            array[...] = 99.0  # neither the input nor a state handed out is used again
        kept.append((y, y.copy()))
        if len(kept) == 1:
            y[...] = 99.0  # nor the output
    assert all(np.array_equal(y, copy) for y, copy in kept[1:])
    assert not any(np.shares_memory(a, b) for (a, _), (b, _) in zip(kept, kept[1:], strict=False))
    assert_same_bits(kept[-1][1], expected["output"][-1])


@pytest.mark.parametrize("cell", EACH)
def test_step_fills_and_returns_out(cell):
    case = Case(cell, "float32")
    layer, given = build(case), data(case)
    expected = run_steps(layer.stepper(case.batch_size), given.x)["output"]
    stepper, out = layer.stepper(case.batch_size), np.full((case.batch_size, case.output_size), np.nan, np.float32)
    for x_t, y in zip(given.x, expected, strict=True):
        assert stepper.step(x_t, out=out) is out
        assert_same_bits(out, y)


@pytest.mark.parametrize("cell", EACH)
def test_reset_goes_back_to_the_state_of_zeros(cell):
    case = Case(cell)
    layer, given = build(case), data(case)
    stepper = layer.stepper(case.batch_size)
    assert not any(a.any() for a in as_arrays(stepper.state))
    first = run_steps(stepper, given.x)
    stepper.reset()
    assert not any(a.any() for a in as_arrays(stepper.state))
    assert_all_same_bits(run_steps(stepper, given.x), first)


@pytest.mark.parametrize("cell", EACH)
def test_stepper_keeps_the_weights_it_was_made_with(cell):
    case = Case(cell)
    layer, given = build(case), data(case)
    expected = run_steps(layer.stepper(case.batch_size), given.x)
    stepper = layer.stepper(case.batch_size)
    with layer.updating() as params:
        for w in params.values():
            w += 1.0
    assert_all_same_bits(run_steps(stepper, given.x), expected)
    assert not np.array_equal(run_steps(layer.stepper(case.batch_size), given.x)["output"], expected["output"])


@pytest.mark.parametrize("cell", EACH)
def test_two_steppers_of_one_layer_do_not_meet(cell):
    case = Case(cell)
    layer, given = build(case), data(case)
    expected = run_steps(layer.stepper(case.batch_size), given.x)["output"]
    one, two = layer.stepper(case.batch_size), layer.stepper(case.batch_size)
    for t in range(case.seq_len):
        assert_same_bits(one.step(given.x[t]), expected[t])
        two.step(given.x[-t])


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_bidirectional_layer_has_no_stepper(kind):
    cell = {"RNN": "rnn-tanh", "LSTM": "lstm", "GRU": "gru-after"}[kind]
    with pytest.raises(ValueError, match=f"bidirectional {kind} has no stepper"):
        build(Case(cell, bidirectional=True)).stepper()


def test_wrong_step_input_is_refused_and_leaves_the_state_as_it_was():
    case = Case("lstm", "float32", batch_size=2)
    layer, given = build(case), data(case)
    stepper = layer.stepper(2)
    stepper.step(given.x[0])
    before = stepper.state
    for x_t, error, message in [
        (given.x[0, 0], ValueError, r"x_t has shape \(5,\), expected \(batch_size, input_size\) = \(2, 5\)"),
        (given.x[0, :1], ValueError, r"x_t has shape \(1, 5\), expected \(batch_size, input_size\) = \(2, 5\)"),
        (given.x[0] + 1j, TypeError, r"x_t has dtype complex64"),
    ]:
        with pytest.raises(error, match=message):
            stepper.step(x_t)
    for out in (np.empty((2, 7), np.float32), np.empty((2, 20)), np.empty((20, 2), np.float32)):
        with pytest.raises((ValueError, TypeError), match="out"):
            stepper.step(given.x[0], out=out)
    read_only = np.empty((2, 20), np.float32)
    read_only.flags.writeable = False
    with pytest.raises((ValueError, TypeError), match="out"):
        stepper.step(given.x[0], out=read_only)
    assert_all_same_bits(named("state", stepper.state), named("state", before))
    with pytest.raises(ValueError, match="batch_size is 0, expected an integer >= 1"):
        layer.stepper(0)
