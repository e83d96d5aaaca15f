"""Layers compute what the equations say: outputs, states, cells and gradients against the float64 reference."""

import numpy as np
import pytest
from cases import (
    DTYPES,
    ENGINES,
    NUMERIC_TOLERANCE,
    Case,
    as_arrays,
    as_state,
    assert_all_close,
    assert_near,
    assert_slopes,
    build,
    data,
    few,
    matrix,
    named,
    numeric_gradient,
    over,
    product,
    run_layer,
    run_reference,
)
from cells import EACH, VARIANTS

pytestmark = pytest.mark.usefixtures("exact_threads")

SMALL = {"hidden_size": 3, "input_size": 2, "batch_size": 3, "bias": True, "with_state": True}


@over(matrix() + few())
def test_layer_agrees_with_the_reference(case):
    layer, given = build(case), data(case)
    results = run_layer(layer, given, n_threads=case.n_threads)
    assert_all_close(results, run_reference(case, layer.params, given), case.dtype)
    for name in {"output", "forward output", "cells", "d_x"} & results.keys():
        assert not results[name][given.padding].any(), f"{name} is not 0 in the padding"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", EACH)
def test_layer_agrees_with_the_reference_on_a_long_sequence(cell, dtype, engine):
    case = Case(cell, dtype, engine, ragged=True, bidirectional=True, seq_len=150, batch_size=5, hidden_size=16)
    layer, given = build(case), data(case)
    with np.errstate(all="ignore"):
        layer.load_state_dict({name: 0.5 * w for name, w in layer.params.items()})  # so that no relu network explodes
    assert_all_close(run_layer(layer, given), run_reference(case, layer.params, given), dtype)


@over(
    product(
        bidirectional=(False, True),
        num_layers=(1, 2),
        ragged=(False, True),
        seq_len=(1, 2, 5),
        **{name: (value,) for name, value in SMALL.items()},
    )
    + matrix(dtypes=("float64",), **SMALL)
)
def test_layer_backward_matches_numeric_gradient(case):
    for name, array, gradient, loss in problems(case):
        assert_near(gradient, numeric_gradient(loss, array), NUMERIC_TOLERANCE, name)


@over(product(cells=tuple(VARIANTS), engine=ENGINES, bidirectional=(True,), num_layers=(2,), ragged=(True,)))
def test_layer_backward_of_variants_matches_numeric_slopes(case, rng):
    for name, array, gradient, loss in problems(case):
        assert_slopes(loss, array, gradient, name, rng)


def problems(case):
    """Of each array that a result depends on: (its name, itself, the gradient by it, the loss that reads it)."""
    layer, given = build(case), data(case)
    results = run_layer(layer, given, n_threads=case.n_threads)
    given.x[given.padding], given.d_output[given.padding] = 0.0, 0.0
    params, state_0 = layer.state_dict(), as_arrays(given.state_0)

    def loss():
        output, state_n = layer(given.x, as_state(state_0), given.lengths, n_threads=1)
        ends = zip(as_arrays(state_n), as_arrays(given.d_state_n), strict=True)
        return (output * given.d_output).sum() + sum((s * d).sum() for s, d in ends)

    def loss_of_params():
        layer.load_state_dict(params)
        return loss()

    for name, array in {"x": given.x, **named("state_0", given.state_0)}.items():
        yield name, array, results[f"d_{name}"], loss
    for name, array in params.items():
        yield name, array, results[f"d_{name}"], loss_of_params


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
def test_saturated_gates_agree_with_the_reference(cell, engine):
    """Pre-activations of several hundred: exp overflows in a careless sigmoid."""
    for dtype in DTYPES:
        case = Case(cell, dtype, engine, seq_len=3, batch_size=3, hidden_size=20)
        layer, given = build(case), data(case)
        given.x[...] *= np.array([1e-3, 30.0, 1000.0])[:, None]
        results, expected = run_layer(layer, given), run_reference(case, layer.params, given)
        for name in ("output", "state_n[0]"):
            assert_all_close({name: results[name]}, {name: expected[name]}, dtype)
        assert all(np.isfinite(value).all() for value in results.values())


@pytest.mark.parametrize("cell", EACH)
def test_both_engines_agree(cell):
    for dtype in DTYPES:
        case = Case(cell, dtype, ragged=True, bidirectional=True, num_layers=2, batch_size=33, hidden_size=37)
        native, blas = build(case), build(Case(**{**vars(case), "engine": "blas"}))
        given = data(case)
        assert_all_close(run_layer(blas, given, n_threads=2), run_layer(native, given, n_threads=2), dtype)


@pytest.mark.parametrize("cell", EACH)
def test_missing_final_gradient_stands_for_zeros(cell):
    case = Case(cell, ragged=True)
    layer, given = build(case), data(case)
    zeros = as_state([np.zeros_like(a) for a in as_arrays(given.d_state_n)])
    results = []
    for d_state_n in (None, zeros):
        layer.zero_grad()
        _, backward = layer.forward(*given.arguments)
        d_x, d_state_0 = backward(given.d_output, d_state_n)
        results.append({"d_x": d_x, **named("d_state_0", d_state_0), **{k: g.copy() for k, g in layer.grads.items()}})
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name], err_msg=name)


@pytest.mark.parametrize("cell", EACH)
def test_gradients_are_added_until_they_are_set_to_zero(cell):
    case = Case(cell)
    layer, given = build(case), data(case)
    once = {f"d_{name}": 2 * run_layer(layer, given)[f"d_{name}"] for name in layer.params}
    _, backward = layer.forward(*given.arguments)
    backward(given.d_output, given.d_state_n)
    assert_all_close({f"d_{name}": grad for name, grad in layer.grads.items()}, once, case.dtype)
    layer.zero_grad()
    assert not any(grad.any() for grad in layer.grads.values())
