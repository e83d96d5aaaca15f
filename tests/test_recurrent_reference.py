"""The oracle is itself tested, by numeric gradients and by identities that need no second implementation."""

import numpy as np
import pytest
from cases import (
    NUMERIC_TOLERANCE,
    Case,
    as_arrays,
    as_state,
    assert_near,
    assert_slopes,
    data,
    named,
    numeric_gradient,
    over,
    product,
    run_reference,
)
from cells import KINDS, VARIANTS, draw_masks, random_params

from fastrnn.reference import stack

SMALL = {"hidden_size": (2,), "input_size": (2,), "batch_size": (3,)}
MEDIUM = {"hidden_size": (6,), "input_size": (3,), "batch_size": (4,)}


def forward(case, params, *arguments, masks=None):
    cell = KINDS[case.cell]
    return stack.forward(params, *arguments, cell=cell.reference, masks=masks, **cell.reference_options)


def problem(case, masks=None):
    """Return (gradients by the reference, the arrays they are by, the loss that reads those arrays)."""
    params, given = random_params(case), data(case)
    state_0 = as_state([a.copy() for a in as_arrays(given.state_0)]) if case.with_state else None
    gradients = run_reference(case, params, given, masks=masks)
    padding = given.padding
    given.x[padding] = 0.0  # differences between NaN say nothing
    d_output = np.where(padding[..., None], 0.0, given.d_output)

    def loss():
        (output, state_n, _), _ = forward(case, params, given.x, state_0, given.lengths, masks=masks)
        ends = zip(as_arrays(state_n), as_arrays(given.d_state_n), strict=True)
        return (output * d_output).sum() + sum((s * d).sum() for s, d in ends)

    arrays = params | {"x": given.x} | (named("state_0", state_0) if case.with_state else {})
    return gradients, arrays, loss


@over(
    product(bidirectional=(False, True), num_layers=(1, 2), ragged=(True,), seq_len=(2, 5), **SMALL)
    + product(bidirectional=(False, True), num_layers=(2,), seq_len=(1, 2), **SMALL)
    + product(bias=(False,), with_state=(False,), **SMALL)
)
def test_reference_backward_matches_numeric_gradient(case):
    gradients, arrays, loss = problem(case)
    for name, array in arrays.items():
        assert_near(gradients[f"d_{name}"], numeric_gradient(loss, array), NUMERIC_TOLERANCE, name)


@over(product(cells=tuple(VARIANTS), bias=(False,), with_state=(False,), **MEDIUM))
def test_reference_backward_of_variants_matches_numeric_slopes(case, rng):
    check_slopes(case, None, rng)


@over(product(cells=tuple(VARIANTS), bidirectional=(True,), num_layers=(2,), ragged=(True,), **MEDIUM))
def test_reference_backward_with_masks_matches_numeric_slopes(case, rng):
    check_slopes(case, draw_masks(case, rng), rng)


def check_slopes(case, masks, rng):
    gradients, arrays, loss = problem(case, masks)
    for name, array in arrays.items():
        assert_slopes(loss, array, gradients[f"d_{name}"], name, rng)


@pytest.mark.parametrize("cell", KINDS)
def test_reference_of_a_ragged_batch_is_each_sequence_alone(cell):
    case = Case(cell, bidirectional=True, num_layers=2, ragged=True, batch_size=7)
    params, given = random_params(case), data(case)
    (output, state_n, _), _ = forward(case, params, *given.arguments)
    for n, length in enumerate(given.lengths):
        alone = as_state([a[:, n : n + 1] for a in as_arrays(given.state_0)])
        (row, row_state, _), _ = forward(case, params, given.x[:length, n : n + 1], alone)
        np.testing.assert_allclose(output[:length, n : n + 1], row, rtol=1e-11, atol=1e-13)
        assert not output[length:, n].any()
        for a, b in zip(as_arrays(state_n), as_arrays(row_state), strict=True):
            np.testing.assert_allclose(a[:, n : n + 1], b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("cell", KINDS)
def test_reverse_direction_of_the_reference_is_the_forward_one_over_reversed_time(cell):
    case = Case(cell, bidirectional=True)
    params, given = random_params(case), data(case)
    twin = {name.removesuffix("_reverse"): w for name, w in params.items() if name.endswith("_reverse")}
    (output, state_n, _), _ = forward(case, params, given.x, given.state_0)
    second = as_state([a[1:] for a in as_arrays(given.state_0)])
    (turned, turned_state, _), _ = forward(case, twin, given.x[::-1], second)
    np.testing.assert_array_equal(output[:, :, case.output_size :], turned[::-1])
    for a, b in zip(as_arrays(state_n), as_arrays(turned_state), strict=True):
        np.testing.assert_array_equal(a[1:], b)


def test_one_step_of_the_reference_gives_numbers_worked_out_by_hand():
    """Weights of 1, input ln 3, previous state 0: every sigmoid is 3/4 and every tanh 4/5."""
    x, sigmoid, tanh = np.full((1, 1, 1), np.log(3.0)), 0.75, 0.8

    def one_step(cell, gates, **options):
        params = {"weight_ih_l0": np.ones((gates, 1)), "weight_hh_l0": np.ones((gates, 1))}
        (output, _, cells), _ = stack.forward(params, x, cell=cell, **options)
        return output.item(), None if cells is None else cells.item()

    assert one_step("rnn", 1) == pytest.approx((tanh, None))
    assert one_step("rnn", 1, nonlinearity="relu")[0] == pytest.approx(np.log(3.0))
    assert one_step("gru", 3)[0] == pytest.approx((1 - sigmoid) * tanh)
    c = sigmoid * tanh
    assert one_step("lstm", 4) == pytest.approx((sigmoid * np.tanh(c), c))


def test_both_forms_of_the_reference_gru_differ_by_where_the_reset_gate_acts():
    """With r = 1/2, z = 1/2, h = 1, W_hn = 2 and b_hn = 1: tanh(r (2h + 1)) against tanh(2 (r h) + 1)."""
    params = {"weight_ih_l0": np.zeros((3, 1)), "bias_ih_l0": np.zeros(3)}
    params |= {"weight_hh_l0": np.array([[0.0], [0.0], [2.0]]), "bias_hh_l0": np.array([0.0, 0.0, 1.0])}
    x, h_0 = np.zeros((1, 1, 1)), np.ones((1, 1, 1))
    for reset_after, n in [(True, np.tanh(1.5)), (False, np.tanh(2.0))]:
        (output, _, _), _ = stack.forward(params, x, h_0, cell="gru", reset_after=reset_after)
        assert output.item() == pytest.approx(0.5 * n + 0.5)
