"""Dropout: masks from the caller's generator, and none outside training."""

import numpy as np
import pytest
from cases import assert_same_bits

import fastrnn


def test_the_same_generator_gives_the_same_mask(rng):
    layer, x = fastrnn.Dropout(0.4), rng.standard_normal((5, 4, 3)).astype(np.float32)
    first, second, other = (layer.forward(x, rng=np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert_same_bits(first, second)
    assert not np.array_equal(first, other)


def test_a_network_with_dropout_is_reproducible_and_draws_a_mask_for_each_layer(rng):
    def network():
        return fastrnn.Sequential(
            fastrnn.Dropout(0.5),
            fastrnn.GRU(3, 4, num_layers=2, dropout=0.5, random_state=0),
            fastrnn.Dropout(0.5),
            fastrnn.Dense(4, 2, random_state=1),
        )

    x = rng.standard_normal((5, 4, 3)).astype(np.float32)
    results = []
    for seed in (1, 1, 2):
        net = network()
        (output, _), backward = net.forward(x, rng=np.random.default_rng(seed))
        results.append((output, backward(np.ones_like(output))[0]))
    for k in range(2):
        assert_same_bits(results[0][k], results[1][k])
        assert not np.array_equal(results[0][k], results[2][k])


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_mean_is_kept_and_the_share_dropped_is_p(p):
    output, backward = fastrnn.Dropout(p).forward(np.ones((100, 1000)), rng=np.random.default_rng(0))
    assert abs((output == 0).mean() - p) < 0.01
    assert abs(output.mean() - 1) < 0.03
    assert_same_bits(backward(np.ones_like(output)), output)  # the same mask, the same scale


def test_nothing_is_dropped_outside_training(rng):
    layer, x = fastrnn.Dropout(0.5), rng.standard_normal((5, 4)).astype(np.float32)
    output, backward = layer.forward(x, training=False)
    assert_same_bits(output, x)
    assert_same_bits(layer(x), x)
    assert_same_bits(backward(x), x)
    assert not np.shares_memory(layer(x), x) and not np.shares_memory(output, x)


def test_everything_is_dropped_with_p_1():
    output, backward = fastrnn.Dropout(1).forward(np.ones((3, 2)), rng=np.random.default_rng(0))
    assert not output.any() and not backward(np.ones((3, 2))).any()


def test_padding_is_zero_and_not_read():
    x = np.full((3, 2, 1), np.nan)
    x[:2, 0] = 1
    layer = fastrnn.Dropout(0.5)
    for output in (layer(x, lengths=[2, 0]), layer.forward(x, lengths=[2, 0], rng=np.random.default_rng(0))[0]):
        assert np.isfinite(output).all() and not output[2:, 0].any() and not output[:, 1].any()


@pytest.mark.parametrize(
    ("dtype", "given", "expected"),
    [
        (None, "float64", "float64"),
        (None, "float32", "float32"),
        (None, "int64", "float32"),
        ("float64", "float32", "float64"),
    ],
)
def test_the_type_follows_the_input_or_is_set(dtype, given, expected):
    x = np.ones((2, 3), given)
    layer = fastrnn.Dropout(0.5, dtype=dtype)
    output, backward = layer.forward(x, rng=np.random.default_rng(0))
    assert layer(x).dtype == output.dtype == backward(np.ones((2, 3))).dtype == expected


def test_a_generator_is_asked_for_only_where_a_mask_is_drawn():
    layer = fastrnn.Dropout(0.5)
    with pytest.raises(ValueError, match=r"rng is None, expected a numpy.random.Generator.*Dropout\(0.5\)"):
        layer.forward(np.ones(3))
    with pytest.raises(TypeError, match="rng is an object of type int, expected a numpy.random.Generator"):
        layer.forward(np.ones(3), rng=3)
    layer.forward(np.ones(3), training=False)
    fastrnn.Dropout(0).forward(np.ones(3))


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"p is 1.5, expected a number in \[0, 1\]"):
        fastrnn.Dropout(1.5)
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        fastrnn.Dropout(dtype="int8")
