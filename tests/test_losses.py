"""Losses against formulas written down a second time, their gradients against finite differences."""

import math

import numpy as np
import pytest

from fastrnn.losses import (
    logistic_cross_entropy,
    quantile_loss,
    sigmoid,
    softmax,
    softmax_cross_entropy,
    squared_error,
)

LOSSES = {
    "softmax": softmax_cross_entropy,
    "logistic": logistic_cross_entropy,
    "squared": squared_error,
}


def _problem(name, rng, shape=(4, 3), dtype="float64"):
    outputs = rng.normal(size=shape).astype(dtype)
    if name == "softmax":
        return outputs, rng.integers(0, shape[-1], size=shape[:-1])
    if name == "logistic":
        return outputs, rng.random(shape)
    return outputs, rng.normal(size=shape)


def _plain_loss(name, outputs, target):
    """Loss of one sample, in Python floats, from the definition."""
    z, y = [float(v) for v in outputs], np.asarray(target).tolist()
    if name == "softmax":
        return -math.log(math.exp(z[y]) / sum(math.exp(v) for v in z))
    if name == "logistic":
        p = [1.0 / (1.0 + math.exp(-v)) for v in z]
        return -sum(t * math.log(q) + (1.0 - t) * math.log(1.0 - q) for q, t in zip(p, y))
    return sum((v - t) ** 2 for v, t in zip(z, y)) / (2.0 * len(z))


def _numeric_gradient(function, x, step=1e-6):
    gradient = np.zeros_like(x)
    for k in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[k] += step
        down[k] -= step
        gradient[k] = (function(up) - function(down)) / (2.0 * step)
    return gradient


@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (3, 2, 4)])
@pytest.mark.parametrize("name", LOSSES)
def test_value_is_the_weighted_mean_of_the_definition_over_samples(name, shape, rng):
    outputs, target = _problem(name, rng, shape)
    samples = list(np.ndindex(shape[:-1]))
    losses = [_plain_loss(name, outputs[k], target[k]) for k in samples]
    value, _ = LOSSES[name](outputs, target)
    assert isinstance(value, float)
    assert value == pytest.approx(sum(losses) / len(losses), rel=1e-13)
    weight = 3.0 * rng.random(shape[:-1])
    value, _ = LOSSES[name](outputs, target, weight)
    expected = sum(weight[k] * loss for k, loss in zip(samples, losses)) / weight.sum()
    assert value == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("shape", [(4, 3), (1, 5), (3, 2, 4)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_numeric_derivative_of_the_value(name, weighted, shape, rng):
    outputs, target = _problem(name, rng, shape)
    weight = rng.random(shape[:-1]) + 0.1 if weighted else None
    _, d_outputs = LOSSES[name](outputs, target, weight)
    expected = _numeric_gradient(lambda z: LOSSES[name](z, target, weight)[0], outputs)
    assert d_outputs.shape == outputs.shape
    np.testing.assert_allclose(d_outputs, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_has_the_dtype_of_the_outputs_and_inputs_stay_as_they_are(name, dtype, rng):
    outputs, target = _problem(name, rng, dtype=dtype)
    before, target_before = outputs.copy(), target.copy()
    outputs.setflags(write=False)
    for weight in (None, np.ones(4)):
        value, d_outputs = LOSSES[name](outputs, target, weight)
        assert d_outputs.dtype == np.dtype(dtype)
        d_outputs += 1.0  # writable, and nobody else's
    assert np.array_equal(outputs, before) and np.array_equal(target, target_before)
    wide = LOSSES[name](outputs.astype("float64"), target)[0]
    assert value == pytest.approx(wide, rel=1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_strided_and_fortran_ordered_outputs_give_the_same_bits(name, rng):
    outputs, target = _problem(name, rng, (6, 4))
    value, d_outputs = LOSSES[name](outputs, target)
    for other in (np.asfortranarray(outputs), np.repeat(outputs, 2, axis=0)[::2]):
        value_2, d_outputs_2 = LOSSES[name](other, target)
        assert value_2 == value and np.array_equal(d_outputs_2, d_outputs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_cross_entropy_survives_scores_of_ten_thousand(dtype):
    logits = np.array([[1e4, -1e4, 0.0], [1e4, 1e4, -1e4]], dtype=dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        wrong, d_wrong = softmax_cross_entropy(logits[:1], np.array([1]))
        right, d_right = softmax_cross_entropy(logits[:1], np.array([0]))
        tied, d_tied = softmax_cross_entropy(logits[1:], np.array([0]))
    assert wrong == 2e4 and d_wrong.tolist() == [[1.0, -1.0, 0.0]]
    assert right == 0.0 and d_right.tolist() == [[0.0, 0.0, 0.0]]
    assert tied == pytest.approx(math.log(2.0)) and d_tied.tolist() == [[-0.5, 0.5, 0.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logistic_cross_entropy_survives_scores_of_ten_thousand(dtype):
    logits = np.array([[1e4], [-1e4]], dtype=dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        right, d_right = logistic_cross_entropy(logits, np.array([[1], [0]]))
        wrong, d_wrong = logistic_cross_entropy(logits, np.array([[0], [1]]))
    assert right == 0.0 and d_right.tolist() == [[0.0], [0.0]]
    assert wrong == 1e4 and d_wrong.tolist() == [[0.5], [-0.5]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_and_sigmoid_are_probabilities_for_every_score(dtype):
    scores = np.array([-1e4, -80.0, -1.0, 0.0, 1.0, 80.0, 1e4], dtype=dtype)
    with np.errstate(over="raise", invalid="raise"):
        p, q = softmax(scores), sigmoid(scores)
    assert p.dtype == q.dtype == np.dtype(dtype)
    assert p.sum() == pytest.approx(1.0) and p[-1] == 1.0 and (p >= 0).all()
    assert q[0] == 0.0 and q[3] == 0.5 and q[-1] == 1.0 and (np.diff(q) >= 0).all()
    assert q[1] == pytest.approx(math.exp(-80.0), rel=1e-5, abs=0.0)


def test_logistic_cross_entropy_of_a_tiny_loss_keeps_its_relative_accuracy():
    value, _ = logistic_cross_entropy(np.array([[40.0]]), np.array([[1]]))
    assert value == pytest.approx(math.exp(-40.0), rel=1e-14, abs=0.0)


def test_softmax_and_sigmoid_agree_with_their_definitions(rng):
    z = rng.normal(size=(5, 4))
    np.testing.assert_allclose(softmax(z), np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), rtol=1e-14)
    np.testing.assert_allclose(sigmoid(z), 1.0 / (1.0 + np.exp(-z)), rtol=1e-14)


@pytest.mark.parametrize("function", [softmax, sigmoid])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_gets_the_same_bits_alone_and_beside_nan(function, dtype, rng):
    scores = rng.normal(size=(33, 9)).astype(dtype)
    together = function(scores)
    for n in range(33):
        assert np.array_equal(function(scores[n : n + 1])[0], together[n])
    scores[5, 2] = np.nan
    dirty = function(scores)
    assert np.isnan(dirty[5]).all() if function is softmax else np.isnan(dirty[5, 2])
    assert np.array_equal(np.delete(dirty, 5, axis=0), np.delete(together, 5, axis=0))


@pytest.mark.parametrize("name", LOSSES)
def test_a_sample_of_weight_zero_may_be_nan(name, rng):
    outputs, target = _problem(name, rng)
    value, d_outputs = LOSSES[name](outputs[:3], target[:3])
    outputs[3] = np.nan
    with np.errstate(invalid="ignore"):
        masked, d_masked = LOSSES[name](outputs, target, np.array([1, 1, 1, 0]))
    assert masked == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(d_masked[:3], d_outputs, rtol=1e-14)
    assert not d_masked[3].any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_nan_output_makes_the_value_nan(name, rng):
    outputs, target = _problem(name, rng)
    outputs[0, 0] = np.nan
    assert math.isnan(LOSSES[name](outputs, target)[0])


@pytest.mark.parametrize("name", LOSSES)
def test_no_samples_have_the_loss_zero(name, rng):
    outputs, target = _problem(name, rng, (0, 3))
    value, d_outputs = LOSSES[name](outputs, target)
    assert value == 0.0 and d_outputs.shape == (0, 3)


@pytest.mark.parametrize("name", LOSSES)
def test_wrong_shapes_types_and_weights_are_named(name, rng):
    outputs, target = _problem(name, rng)
    loss = LOSSES[name]
    with pytest.raises(TypeError, match="int64, expected float32 or float64"):
        loss(outputs.astype("int64"), target)
    with pytest.raises(TypeError, match="complex128"):
        loss(outputs.astype(complex), target)
    with pytest.raises(ValueError, match=r"target has shape \(3,"):
        loss(outputs, target[:3])
    with pytest.raises(ValueError, match=r"target has shape \((4, )?1,?\), expected"):
        loss(outputs, target[..., :1])  # would broadcast
    for other in (complex, str):
        with pytest.raises(TypeError, match="target has dtype"):
            loss(outputs, target.astype(other))
    with pytest.raises(ValueError, match=r"sample_weight has shape \(3,\), expected \(4,\)"):
        loss(outputs, target, np.ones(3))
    for bad in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="sample_weight holds a negative number, an infinite one or NaN"):
            loss(outputs, target, np.array([1.0, bad, 1.0, 1.0]))
    with pytest.raises(ValueError, match="sample_weight sums to 0.0"):
        loss(outputs, target, np.zeros(4))


@pytest.mark.parametrize("target", [[0, 3], [-1, 0]])
def test_class_numbers_out_of_range_are_refused(target):
    with pytest.raises(ValueError, match=r"expected 0 <= target < 3"):
        softmax_cross_entropy(np.zeros((2, 3)), np.array(target))


def test_class_numbers_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match="float64, expected integers"):
        softmax_cross_entropy(np.zeros((2, 3)), np.array([0.0, 1.0]))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_agree_with_torch(name, rng):
    torch = pytest.importorskip("torch", reason="compares with torch.nn.functional")
    functional = torch.nn.functional
    outputs, target = _problem(name, rng, (6, 5))
    z = torch.tensor(outputs, requires_grad=True)
    y = torch.tensor(target)
    if name == "softmax":
        peer = functional.cross_entropy(z, y)
    elif name == "logistic":
        peer = functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / 6
    else:
        peer = 0.5 * functional.mse_loss(z, y)
    peer.backward()
    value, d_outputs = LOSSES[name](outputs, target)
    assert value == pytest.approx(peer.item(), rel=1e-13)
    np.testing.assert_allclose(d_outputs, z.grad.numpy(), rtol=1e-12, atol=1e-15)


QUANTILES = (0.1, 0.5, 0.9)


def _plain_quantile_loss(outputs, target):
    errors = [(q, y - z) for row, y in zip(outputs.tolist(), target.tolist()) for q, z in zip(QUANTILES, row)]
    return sum(q * e if e >= 0 else (q - 1) * e for q, e in errors) / len(errors)


@pytest.mark.parametrize("shape", [(4, 2, 3), (1, 1, 3), (3, 2, 4, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_quantile_loss_is_its_definition_and_the_gradient_its_numeric_derivative(shape, weighted, rng):
    outputs, target = rng.normal(size=shape), rng.normal(size=shape[:-1])
    weight = rng.random(shape[:-2]) + 0.1 if weighted else None
    value, d_outputs = quantile_loss(outputs, target, QUANTILES, weight)
    samples = list(np.ndindex(shape[:-2]))
    losses = [_plain_quantile_loss(outputs[k], target[k]) for k in samples]
    shares = [1.0 if weight is None else weight[k] for k in samples]
    assert value == pytest.approx(np.average(losses, weights=shares), rel=1e-13)
    expected = _numeric_gradient(lambda z: quantile_loss(z, target, QUANTILES, weight)[0], outputs)
    np.testing.assert_allclose(d_outputs, expected, rtol=1e-7, atol=1e-9)


def test_quantile_loss_is_smallest_at_the_quantiles(rng):
    target = rng.exponential(size=(999, 1))
    best = np.quantile(target, QUANTILES)
    at_best, d_best = quantile_loss(np.broadcast_to(best, (999, 1, 3)), target, QUANTILES)
    assert np.abs(d_best.sum(axis=0)).max() < 1e-3
    for k in range(3):
        for step in (-0.05, 0.05):
            other = np.broadcast_to(best + step * np.eye(3)[k], (999, 1, 3))
            assert quantile_loss(other, target, QUANTILES)[0] > at_best


def test_quantile_loss_keeps_the_dtype_and_leaves_out_samples_of_weight_0(rng):
    outputs, target = rng.normal(size=(3, 2, 3)).astype("float32"), rng.normal(size=(3, 2))
    value, d_outputs = quantile_loss(outputs, target, QUANTILES)
    assert isinstance(value, float) and d_outputs.dtype == np.float32
    assert quantile_loss(target[..., None] + np.zeros(3), target, QUANTILES)[1].any() == np.False_  # no error, no slope
    spoiled = outputs.copy()
    spoiled[1] = np.nan
    found = quantile_loss(spoiled, target, QUANTILES, np.array([1.0, 0.0, 1.0]))
    expected = quantile_loss(outputs[::2], target[::2], QUANTILES)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(found[1][::2], expected[1], rtol=1e-6)
    assert not found[1][1].any()


@pytest.mark.parametrize(
    ("shape", "target", "quantiles", "message"),
    [
        ((4, 2, 3), (4, 2), (0.5, 0.9), r"outputs has shape \(4, 2, 3\), expected .* = \(..., 2\)"),
        ((4, 2, 1), (4, 3), (0.5,), r"target has shape \(4, 3\), expected the shape of outputs without its last axis"),
        ((4, 2, 1), (4, 2), (0.0,), r"quantiles is \(0.0,\), expected a sequence of numbers in \(0, 1\)"),
        ((4, 2, 1), (4, 2), 0.5, r"quantiles is 0.5, expected a sequence of numbers in \(0, 1\)"),
    ],
)
def test_quantile_loss_names_what_does_not_fit(shape, target, quantiles, message):
    with pytest.raises(ValueError, match=message):
        quantile_loss(np.zeros(shape), np.zeros(target), quantiles)
