"""Losses: values by the definition, gradients by numeric differences, extremes without overflow."""

import numpy as np
import pytest

from fastrnn.losses import logistic_cross_entropy, sigmoid, softmax, softmax_cross_entropy, squared_error
from fastrnn.metrics import accuracy, mean_squared_error

RTOL = {"float32": 2e-6, "float64": 1e-13}
LOSSES = {"softmax": softmax_cross_entropy, "logistic": logistic_cross_entropy, "squared": squared_error}


def problem(name, rng, shape=(5, 4)):
    outputs = 3.0 * rng.standard_normal(shape)
    if name == "softmax":
        return outputs, rng.integers(0, shape[-1], size=shape[:-1])
    if name == "logistic":
        return outputs, rng.integers(0, 2, size=shape)
    return outputs, rng.standard_normal(shape)


def plain_value(name, outputs, target):
    """Losses of the samples, straight from the definitions, in float64."""
    if name == "softmax":
        p = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
        return -np.log(np.take_along_axis(p, target[..., None], -1)[..., 0])
    if name == "logistic":
        p = 1 / (1 + np.exp(-outputs))
        return -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum(-1)
    return 0.5 * ((outputs - target) ** 2).mean(-1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 4), (1, 1), (3, 2, 4)])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_has_the_value_of_its_definition(name, shape, dtype, rng):
    outputs, target = problem(name, rng, shape)
    value, d_outputs = LOSSES[name](outputs.astype(dtype), target)
    np.testing.assert_allclose(
        value, plain_value(name, outputs, target).mean(), rtol=30 * RTOL[dtype], atol=RTOL[dtype]
    )
    assert isinstance(value, float)
    assert d_outputs.dtype == dtype and d_outputs.shape == shape


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_gradient_matches_numeric_differences(name, weighted, rng):
    outputs, target = problem(name, rng)
    weight = rng.uniform(0.0, 2.0, size=5) if weighted else None
    _, d_outputs = LOSSES[name](outputs, target, weight)
    step = 1e-6
    for index in np.ndindex(outputs.shape):
        up, down = outputs.copy(), outputs.copy()
        up[index] += step
        down[index] -= step
        numeric = (LOSSES[name](up, target, weight)[0] - LOSSES[name](down, target, weight)[0]) / (2 * step)
        assert d_outputs[index] == pytest.approx(numeric, abs=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_sample_weight_is_repetition_and_weight_zero_hides_nan(name, rng):
    outputs, target = problem(name, rng)
    value, d_outputs = LOSSES[name](outputs, target, np.array([2, 1, 0, 1, 1]))
    rows = [0, 0, 1, 3, 4]
    expected, d_expected = LOSSES[name](outputs[rows], target[rows])
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(d_outputs[0], d_expected[0] + d_expected[1], rtol=1e-13)
    outputs[2] = np.nan
    masked, d_masked = LOSSES[name](outputs, target, np.array([2, 1, 0, 1, 1]))
    assert masked == value
    np.testing.assert_array_equal(d_masked, d_outputs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropies_survive_extreme_scores(dtype):
    big = np.array([[1e4, -1e4]], dtype=dtype)
    with np.errstate(all="raise", under="ignore"):
        assert softmax_cross_entropy(big, np.array([0]))[0] == 0.0
        assert softmax_cross_entropy(big, np.array([1]))[0] == 2e4
        assert logistic_cross_entropy(big, np.array([[1, 0]]))[0] == 0.0
        assert logistic_cross_entropy(big, np.array([[0, 1]]))[0] == 2e4
        assert softmax(big).tolist() == [[1.0, 0.0]]
        assert sigmoid(big).tolist() == [[1.0, 0.0]]


def test_small_probability_keeps_its_relative_accuracy():
    value, _ = logistic_cross_entropy(np.array([[40.0]]), np.array([[1]]))
    assert value == pytest.approx(np.exp(-40.0), rel=1e-14)


def test_nan_stays_in_its_row(rng):
    logits = rng.standard_normal((3, 4))
    clean = softmax(logits)
    logits[1, 2] = np.nan
    dirty = softmax(logits)
    np.testing.assert_array_equal(dirty[[0, 2]], clean[[0, 2]])
    assert np.isnan(dirty[1]).all()


def test_softmax_of_a_row_does_not_depend_on_the_batch(rng):
    for dtype in ("float32", "float64"):
        logits = rng.standard_normal((33, 9)).astype(dtype)
        together = softmax(logits), sigmoid(logits)
        for n in range(33):
            np.testing.assert_array_equal(softmax(logits[n : n + 1])[0], together[0][n])
            np.testing.assert_array_equal(sigmoid(logits[n : n + 1])[0], together[1][n])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 3])), ValueError, "0 <= target < 3"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), np.array([0.0, 1.0])), TypeError, "expected integers"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), np.array([0])), ValueError, r"shape \(1,\), expected .* \(2,\)"),
        (lambda: squared_error(np.zeros((2, 1)), np.zeros(2)), ValueError, r"shape \(2,\), expected .* \(2, 1\)"),
        (lambda: squared_error(np.zeros((2, 1), int), np.zeros((2, 1))), TypeError, "float32 or float64"),
        (lambda: squared_error(np.zeros((2, 1)), np.zeros((2, 1)), [0, 0]), ValueError, "sum > 0"),
        (lambda: logistic_cross_entropy(np.zeros((2, 1)), np.array([["a"], ["b"]])), TypeError, "real numbers"),
    ],
)
def test_wrong_target_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_metrics_have_the_values_of_their_definitions(rng):
    a, b = rng.integers(0, 3, size=50), rng.integers(0, 3, size=50)
    assert accuracy(a, b) == sum(x == y for x, y in zip(a, b)) / 50
    assert mean_squared_error(a, b) == pytest.approx(sum((x - y) ** 2 for x, y in zip(a, b)) / 50)
    with pytest.raises(ValueError, match=r"shape \(3,\), expected .* \(2,\)"):
        accuracy([1, 2], [1, 2, 3])
