"""Embedding: tokens in, vectors out."""

import numpy as np
import pytest
from cases import assert_same_bits

import fastrnn


def embedding(**keywords):
    return fastrnn.Embedding(7, 3, random_state=0, **keywords)


@pytest.mark.parametrize("dtype", ["i8", "u1", ">i4", "u8"])
def test_embedding_looks_tokens_up(dtype, rng):
    layer = embedding()
    tokens = rng.integers(0, 7, (5, 4))
    assert_same_bits(layer(tokens.astype(dtype)), layer.params["weight"][tokens])


@pytest.mark.parametrize("shape", [(), (4,), (0, 4), (5, 0), (2, 3, 4)], ids=str)
def test_any_shape_of_tokens_is_kept(shape):
    layer = embedding()
    output, backward = layer.forward(np.zeros(shape, int))
    assert output.shape == (*shape, 3)
    assert backward(np.ones_like(output)) is None


def test_the_output_is_not_the_table():
    layer = embedding()
    before = layer.state_dict()["weight"]
    layer(np.arange(7))[...] = 0
    layer(np.array(3))[...] = 0
    assert_same_bits(layer.params["weight"], before)


def test_gradients_of_repeated_tokens_are_summed():
    layer = embedding()
    _, backward = layer.forward(np.array([[1, 4], [1, 1]]))
    backward(np.arange(12).reshape(2, 2, 3))
    expected = np.zeros((7, 3), np.float32)
    expected[1], expected[4] = [15, 18, 21], [3, 4, 5]
    assert_same_bits(layer.grads["weight"], expected)


def test_padding_may_hold_any_integer():
    layer = embedding()
    tokens = np.array([[1, 2], [99, 3], [-5, 4]])
    output = layer(tokens, lengths=[1, 3])
    assert_same_bits(output[:, 1], layer(tokens[:, 1]))
    assert not output[1:, 0].any()
    assert_same_bits(layer.forward(tokens, lengths=[1, 3])[0], output)
    assert not layer(np.full((2, 1), -1), lengths=[0]).any()


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([[1, 7]], ValueError, "x holds the token 7, expected 0 <= token < num_embeddings = 7"),
        ([[-1, 6]], ValueError, "x holds the token -1, expected 0 <= token"),
        (np.array([[2**64 - 1]], "u8"), ValueError, "x holds the token .*, expected 0 <= token"),
        ([[1.0]], TypeError, "x has dtype float64, expected integers"),
        ([[True]], TypeError, "x has dtype bool, expected integers"),
        ([["a"]], TypeError, "x has dtype <U1, expected integers"),
    ],
)
def test_wrong_tokens_are_named(tokens, error, message):
    layer = embedding()
    for call in (layer, layer.forward):
        with pytest.raises(error, match=message):
            call(tokens)
    assert layer([[6]]).shape == (1, 1, 3)


def test_embedding_in_a_network_has_no_gradient_for_its_tokens(rng):
    network = fastrnn.Sequential(embedding(), fastrnn.GRU(3, 4, random_state=1), fastrnn.Dense(4, 7, random_state=2))
    tokens, lengths = rng.integers(0, 7, (5, 2)), np.array([5, 2])
    (output, _), backward = network.forward(tokens, lengths=lengths)
    d_x, _ = backward(np.ones_like(output))
    assert d_x is None
    used = np.unique(np.concatenate([tokens[:5, 0], tokens[:2, 1]]))
    assert set(np.flatnonzero(network.grads["0.weight"].any(1))) == set(used)
