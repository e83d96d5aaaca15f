"""Initial values: bounds, orthogonality, gates one by one, seeds."""

import numpy as np
import pytest

from fastrnn import init


def lstm_parameters(hidden=6, inputs=3):
    shapes = {"weight_ih_l0": (4 * hidden, inputs), "weight_hh_l0": (4 * hidden, hidden)}
    shapes |= {"bias_ih_l0": (4 * hidden,), "bias_hh_l0": (4 * hidden,)}
    return {name: np.full(shape, np.nan) for name, shape in shapes.items()}


def test_one_seed_gives_one_stream_whatever_its_form():
    for make in (lambda: 3, lambda: np.int64(3), lambda: np.random.default_rng(3), lambda: np.random.RandomState(3)):
        np.testing.assert_array_equal(init.as_generator(make()).random(4), init.as_generator(make()).random(4))
    assert init.as_generator(None).random() != init.as_generator(None).random()
    rng = np.random.default_rng(0)
    assert init.as_generator(rng) is rng


@pytest.mark.parametrize(("seed", "error"), [("a", TypeError), (1.5, TypeError), (True, TypeError), (-1, ValueError)])
def test_wrong_seed_is_named(seed, error):
    with pytest.raises(error, match="random_state is"):
        init.as_generator(seed)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 1)])
def test_orthogonal_has_orthonormal_short_side(shape, rng):
    q = init.orthogonal(rng, shape, gain=2.0)
    gram = q @ q.T if shape[0] <= shape[1] else q.T @ q
    np.testing.assert_allclose(gram, 4.0 * np.eye(min(shape)), atol=1e-12)


def test_glorot_has_its_bound_and_variance(rng):
    w = init.glorot_uniform(rng, (300, 200))
    assert abs(w).max() <= np.sqrt(6 / 500)
    assert w.var() == pytest.approx(2 / 500, rel=0.02)


def test_default_scheme_is_uniform_by_hidden_size(rng):
    params = init.initialise(lstm_parameters(hidden=16), "default", rng, gates=4)
    for values in params.values():
        assert 0.2 < abs(values).max() <= 0.25


@pytest.mark.parametrize("scheme", ["glorot", "orthogonal"])
def test_schemes_fill_gates_one_by_one_and_set_the_forget_bias(scheme, rng):
    params = init.initialise(lstm_parameters(), scheme, rng, gates=4)
    bias = params["bias_ih_l0"] + params["bias_hh_l0"]
    np.testing.assert_array_equal(bias, np.repeat([0.0, 1.0, 0.0, 0.0], 6))
    for gate in range(4):
        block = params["weight_hh_l0"][6 * gate : 6 * gate + 6]
        if scheme == "orthogonal":
            np.testing.assert_allclose(block @ block.T, np.eye(6), atol=1e-12)
        else:
            assert 0.5 < abs(block).max() <= np.sqrt(6 / 12)


def test_identity_is_for_one_gate_and_schemes_have_names(rng):
    params = {"weight_ih_l0": np.empty((4, 2)), "weight_hh_l0": np.empty((4, 4)), "bias_ih_l0": np.empty(4)}
    init.initialise(params, "identity", rng, gates=1)
    np.testing.assert_array_equal(params["weight_hh_l0"], np.eye(4))
    assert abs(params["weight_ih_l0"]).max() < 0.01
    with pytest.raises(ValueError, match="plain RNN only"):
        init.initialise(lstm_parameters(), "identity", rng, gates=4)
    with pytest.raises(ValueError, match="init is 'he', expected one of 'default'"):
        init.initialise(lstm_parameters(), "he", rng, gates=4)
    with pytest.raises(ValueError, match=r"bias has shape \(6,\)"):
        init.forget_bias(np.zeros(6))
