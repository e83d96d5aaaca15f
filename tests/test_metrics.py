"""Metrics on small cases that can be counted by hand."""

import math

import numpy as np
import pytest

from fastrnn.metrics import (
    accuracy,
    mean_absolute_error,
    mean_absolute_scaled_error,
    mean_squared_error,
    pinball_loss,
    root_mean_squared_error,
)


def test_accuracy_is_the_share_of_equal_elements():
    assert accuracy(["a", "b", "c", "a"], ["a", "b", "a", "a"]) == 0.75
    assert accuracy(np.array([1, 2]), np.array([2, 1])) == 0.0


def test_mean_squared_error_is_over_all_elements_and_in_float64():
    assert mean_squared_error([[0.0, 1.0], [2.0, 3.0]], [[0.0, 3.0], [2.0, 3.0]]) == 1.0
    big = np.array([1e30], "float32")
    assert mean_squared_error(big, np.zeros(1, "float32")) == pytest.approx(1e60, rel=1e-6)


@pytest.mark.parametrize("metric", [accuracy, mean_squared_error, mean_absolute_error, root_mean_squared_error])
def test_no_elements_give_nan_and_other_shapes_an_error(metric):
    assert math.isnan(metric([], []))
    with pytest.raises(ValueError, match=r"predicted has shape \(2, 1\), expected the shape of target, \(2,\)"):
        metric(np.zeros(2), np.zeros((2, 1)))


def test_absolute_and_root_mean_squared_errors_are_counted_by_hand():
    assert mean_absolute_error([[0.0, 1.0], [2.0, 3.0]], [[0.0, 3.0], [2.0, 2.0]]) == 0.75
    assert root_mean_squared_error([3.0, 4.0], [0.0, 0.0]) == pytest.approx(math.sqrt(12.5))


def test_scaled_error_is_in_units_of_the_naive_forecast_of_the_training_part():
    training = [0.0, 10.0, 1.0, 12.0, 3.0]  # steps of 10, 9, 11, 9; over a season of two: 1, 2, 2
    assert mean_absolute_scaled_error([5.0, 5.0], [6.0, 8.0], training) == pytest.approx(2.0 / 9.75)
    assert mean_absolute_scaled_error([5.0, 5.0], [6.0, 8.0], training, season=2) == pytest.approx(2.0 / (5.0 / 3.0))
    assert mean_absolute_scaled_error([5.0], [6.0], [1.0, 1.0]) == math.inf
    with pytest.raises(ValueError, match=r"training has shape \(2,\), expected .* n_timesteps > season = 2"):
        mean_absolute_scaled_error([5.0], [6.0], [1.0, 2.0], season=2)


def test_pinball_loss_agrees_with_scikit_learn(rng):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    target, predicted, quantiles = rng.normal(size=(5, 4)), rng.normal(size=(5, 4, 3)), (0.1, 0.5, 0.95)
    expected = [
        sklearn_metrics.mean_pinball_loss(target.ravel(), predicted[..., k].ravel(), alpha=q)
        for k, q in enumerate(quantiles)
    ]
    assert pinball_loss(target, predicted, quantiles) == pytest.approx(np.mean(expected), rel=1e-12)
    assert math.isnan(pinball_loss(np.zeros((0, 2)), np.zeros((0, 2, 3)), quantiles))
    with pytest.raises(ValueError, match=r"quantiles is \(0.1, 1.5\), expected a sequence of numbers in \(0, 1\)"):
        pinball_loss(target, predicted[..., :2], (0.1, 1.5))
    with pytest.raises(ValueError, match=r"predicted has shape \(5, 4, 2\), expected"):
        pinball_loss(target, predicted[..., :2], quantiles)
