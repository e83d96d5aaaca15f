"""Metrics on small cases that can be counted by hand."""

import math

import numpy as np
import pytest

from fastrnn.metrics import accuracy, mean_squared_error


def test_accuracy_is_the_share_of_equal_elements():
    assert accuracy(["a", "b", "c", "a"], ["a", "b", "a", "a"]) == 0.75
    assert accuracy(np.array([1, 2]), np.array([2, 1])) == 0.0


def test_mean_squared_error_is_over_all_elements_and_in_float64():
    assert mean_squared_error([[0.0, 1.0], [2.0, 3.0]], [[0.0, 3.0], [2.0, 3.0]]) == 1.0
    big = np.array([1e30], "float32")
    assert mean_squared_error(big, np.zeros(1, "float32")) == pytest.approx(1e60, rel=1e-6)


@pytest.mark.parametrize("metric", [accuracy, mean_squared_error])
def test_no_elements_give_nan_and_other_shapes_an_error(metric):
    assert math.isnan(metric([], []))
    with pytest.raises(ValueError, match=r"predicted has shape \(2, 1\), expected the shape of target, \(2,\)"):
        metric(np.zeros(2), np.zeros((2, 1)))
