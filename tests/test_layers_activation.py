"""Activation: values, gradients, and what it refuses."""

import numpy as np
import pytest
from cases import assert_same_bits, numeric_gradient

from fastrnn.layers import Activation
from fastrnn.layers.activation import FUNCTIONS

X = np.array([-30.0, -3.5, -1.0, -0.25, 0.5, 2.5, 4.0, 30.0])
EXPECTED = {
    "relu": np.where(X > 0, X, 0),
    "leaky_relu": np.where(X > 0, X, 0.01 * X),
    "elu": np.where(X > 0, X, np.exp(X) - 1),
    "tanh": np.tanh(X),
    "sigmoid": 1 / (1 + np.exp(-X)),
    "hard_sigmoid": np.array([0, 0, 1 / 3, 11 / 24, 7 / 12, 11 / 12, 1, 1]),
    "hard_tanh": np.array([-1, -1, -1, -0.25, 0.5, 1, 1, 1]),
    "softsign": X / (1 + np.abs(X)),
    "softplus": np.logaddexp(0, X),
    "silu": X / (1 + np.exp(-X)),
    "softmax": np.exp(X - 30) / np.exp(X - 30).sum(),
    "log_softmax": X - 30 - np.log(np.exp(X - 30).sum()),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_are_those_of_the_formula(function):
    np.testing.assert_allclose(Activation(function)(X[None]), EXPECTED[function][None], rtol=1e-14, atol=1e-15)
    assert Activation(function)(X[None].astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradient_is_the_numeric_one(function, rng):
    x, d_output = rng.standard_normal((3, 2, 5)) + 0.1, rng.standard_normal((3, 2, 5))
    layer = Activation(function)
    _, backward = layer.forward(x)
    expected = numeric_gradient(lambda: float((layer(x) * d_output).sum()), x)
    np.testing.assert_allclose(backward(d_output), expected, atol=1e-8)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_step_gives_the_same_bits_in_any_batch_and_padding_is_not_read(function, rng):
    x = rng.standard_normal((4, 3, 37)).astype(np.float32)
    layer = Activation(function)
    whole = layer(x)
    assert_same_bits(layer(x[2:3, 1:2])[0, 0], whole[2, 1])
    x[2:, 1] = np.nan
    ragged = layer(x, lengths=[4, 2, 4])
    assert_same_bits(ragged[:2], whole[:2])
    assert not ragged[2:, 1].any()
    assert_same_bits(layer._step_function(3)(x[0]), whole[0])


def test_alpha_belongs_to_few_functions():
    assert Activation("elu", alpha=2.0)(np.array([-50.0]))[0] == -2.0
    with pytest.raises(ValueError, match="alpha is 0.5, expected None: 'tanh' has no alpha"):
        Activation("tanh", alpha=0.5)
    with pytest.raises(ValueError, match="function is 'gelu', expected one of 'relu'"):
        Activation("gelu")
