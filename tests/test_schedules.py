"""Schedules: the numbers of torch's, closed forms, and what a stateful one keeps."""

import math

import numpy as np
import pytest

from fastrnn.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    InverseSigmoid,
    Linear,
    OneCycle,
    Plateau,
    Progress,
    Step,
)


def _torch_rates(make, n_steps, *arguments):
    torch = pytest.importorskip("torch", reason="compares with torch.optim.lr_scheduler")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for k in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if k + 1 < n_steps:
            scheduler.step(*(argument[k] for argument in arguments))
    return rates


def test_step_is_torchs():
    expected = _torch_rates(lambda t, o: t.StepLR(o, 3, 0.4), 10)
    np.testing.assert_allclose([Step(3, 0.4)(Progress(epoch, 0, 0)) for epoch in range(10)], expected, rtol=1e-12)


def test_exponential_is_torchs():
    expected = _torch_rates(lambda t, o: t.ExponentialLR(o, 0.7), 10)
    np.testing.assert_allclose([Exponential(0.7)(Progress(epoch, 0, 0)) for epoch in range(10)], expected, rtol=1e-12)


def test_cosine_is_torchs_with_and_without_restarts():
    expected = _torch_rates(lambda t, o: t.CosineAnnealingLR(o, 20, 0.1), 21)
    np.testing.assert_allclose([Cosine(0.1)(Progress(0, k, 20)) for k in range(21)], expected, rtol=1e-12)
    expected = _torch_rates(lambda t, o: t.CosineAnnealingWarmRestarts(o, 5, 1, 0.1), 20)
    np.testing.assert_allclose([Cosine(0.1, 4)(Progress(0, k, 20)) for k in range(20)], expected, rtol=1e-12)


@pytest.mark.parametrize("total", [3, 7, 50, 101])
@pytest.mark.parametrize("warm_up", [0.3, 0.5, 0.9])
def test_one_cycle_is_torchs(total, warm_up):
    expected = _torch_rates(lambda t, o: t.OneCycleLR(o, 1.0, total_steps=total, pct_start=warm_up), total)
    found = [OneCycle(warm_up)(Progress(0, k, total)) for k in range(total)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("patience, floor", [(0, 0.0), (2, 0.0), (1, 0.2)])
def test_plateau_is_torchs(patience, floor, rng):
    losses = 3.0 * 0.9 ** np.arange(60) + 0.3 * rng.random(60)
    options = {"factor": 0.5, "patience": patience, "threshold": 0.01, "threshold_mode": "abs", "min_lr": floor}
    expected = _torch_rates(lambda t, o: t.ReduceLROnPlateau(o, eps=0.0, **options), 60, losses)
    schedule = Plateau(0.5, patience, 0.01, floor)
    state, found = schedule.init(), []
    for loss in losses:
        found.append(schedule(Progress(0, 0, 0, state)))
        schedule.observe(state, loss)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(set(found)) > 3 or floor


def test_plateau_takes_a_loss_that_is_not_a_number_for_no_fall():
    state = Plateau(0.5, patience=0).init()
    Plateau(0.5, patience=0).observe(state, math.nan)
    assert state == {"factor": 0.5, "best": math.inf, "waited": 0}


def test_inverse_scaling_is_a_power_of_the_number_of_updates():
    assert [InverseScaling(2.0)(Progress(9, k, 9)) for k in range(4)] == [1.0, 1 / 4, 1 / 9, 1 / 16]
    assert Constant(0.25)(Progress(1, 2, 3)) == 0.25


def test_linear_falls_to_its_floor_and_inverse_sigmoid_is_a_half_at_k_log_k():
    assert [Linear(0.3, floor=0.2)(Progress(epoch, 0, 0)) for epoch in range(5)] == pytest.approx(
        [1, 0.7, 0.4, 0.2, 0.2]
    )
    factors = [InverseSigmoid(8.0)(Progress(epoch, 0, 0)) for epoch in range(10_000)]
    assert factors == sorted(factors, reverse=True) and factors[0] == pytest.approx(8 / 9) and factors[-1] >= 0.0
    assert InverseSigmoid(8.0)(Progress(8 * math.log(8), 0, 0)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "schedule",
    [Cosine(), Cosine(cycles=3), OneCycle(), InverseScaling(), InverseSigmoid(), Linear(), Step(), Exponential()],
)
@pytest.mark.parametrize("total", [0, 1, 2, 3])
def test_short_runs_and_runs_past_their_end_have_factors_between_0_and_1(schedule, total):
    assert all(0.0 <= schedule(Progress(k, k, total)) <= 1.0 + 1e-12 for k in range(6))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Step(0), "every is 0, expected an integer >= 1"),
        (lambda: Step(2, 1.5), "decay is 1.5, expected 0 < decay <= 1"),
        (lambda: Exponential(0.0), "decay is 0.0, expected 0 < decay <= 1"),
        (lambda: Cosine(floor=2), "floor is 2, expected 0 <= floor <= 1"),
        (lambda: OneCycle(1.0), "warm_up is 1.0, expected 0 < warm_up < 1"),
        (lambda: OneCycle(end_division=0.5), "end_division is 0.5, expected 1 <= end_division"),
        (lambda: Plateau(patience=-1), "patience is -1, expected an integer >= 0"),
        (lambda: InverseScaling(math.nan), "power is nan, expected 0 <= power"),
        (lambda: Linear(slope=-0.1), "slope is -0.1, expected 0 <= slope <= 1"),
        (lambda: Linear(floor=1.5), "floor is 1.5, expected 0 <= floor <= 1"),
        (lambda: InverseSigmoid(0.5), "k is 0.5, expected 1 <= k"),
        (lambda: Constant(-1.0), "value is -1.0, expected 0 <= value"),
    ],
)
def test_a_wrong_parameter_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
