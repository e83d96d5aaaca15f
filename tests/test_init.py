"""Initial weights: what each scheme promises, and how random_state is read."""

import numpy as np
import pytest

from fastrnn import GRU, LSTM, RNN
from fastrnn.init import as_generator, forget_bias, glorot_uniform, identity, initialise, orthogonal, uniform


def test_uniform_values_fill_the_interval_between_the_bounds(rng):
    w = uniform(rng, (200, 50), 0.25)
    assert w.shape == (200, 50) and w.dtype == np.float64
    assert -0.25 <= w.min() < -0.249 and 0.249 < w.max() <= 0.25
    assert abs(w.mean()) < 0.01 and w.var() == pytest.approx(0.25**2 / 3, rel=0.05)


def test_glorot_values_have_the_variance_two_over_the_fans(rng):
    w = glorot_uniform(rng, (120, 80))
    assert abs(w).max() <= (6 / 200) ** 0.5
    assert w.var() == pytest.approx(2 / 200, rel=0.05)


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 5), (5, 1), (1, 1)])
def test_an_orthogonal_matrix_has_orthonormal_rows_or_columns(shape, rng):
    w = orthogonal(rng, shape, gain=2.0)
    small = w.T @ w if shape[0] >= shape[1] else w @ w.T
    assert w.shape == shape
    np.testing.assert_allclose(small, 4.0 * np.eye(min(shape)), atol=1e-13)


def test_orthogonal_matrices_are_not_biased_in_sign(rng):
    signs = [np.sign(orthogonal(rng, (3, 3))[0, 0]) for _ in range(400)]
    assert abs(np.mean(signs)) < 0.2
    determinants = [np.linalg.det(orthogonal(rng, (3, 3))) for _ in range(400)]
    assert abs(np.mean(determinants)) < 0.2


def test_identity_has_its_scale_on_the_diagonal():
    assert np.array_equal(identity((3, 3), 0.5), 0.5 * np.eye(3))
    assert np.array_equal(identity((2, 3)), [[1, 0, 0], [0, 1, 0]])


def test_the_forget_bias_is_the_second_quarter_only():
    bias = np.arange(12.0)
    assert forget_bias(bias, 1.5) is bias
    assert bias.tolist() == [0, 1, 2, 1.5, 1.5, 1.5, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("shape", [(7,), (4, 2)])
def test_a_bias_without_four_gates_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(4 \* hidden_size,\)"):
        forget_bias(np.zeros(shape))


@pytest.mark.parametrize("seed", [0, 7, np.int64(7), np.uint8(3)])
def test_an_integer_gives_the_same_stream_every_time(seed):
    assert np.array_equal(as_generator(seed).random(5), as_generator(int(seed)).random(5))


def test_different_integers_and_none_give_different_streams():
    streams = [as_generator(s).random() for s in (0, 1, None, None)]
    assert len(set(streams)) == 4


def test_a_generator_is_shared_and_a_random_state_is_moved_on():
    generator = np.random.default_rng(3)
    assert as_generator(generator) is generator
    state = np.random.RandomState(3)
    first, second = as_generator(state).random(), as_generator(state).random()
    assert first != second
    assert first == as_generator(np.random.RandomState(3)).random()


def test_a_seed_sequence_is_read():
    a, b = (as_generator(np.random.SeedSequence(5)).random() for _ in range(2))
    assert a == b


@pytest.mark.parametrize("bad", [1.5, "7", True, [1, 2]])
def test_what_is_no_seed_is_a_type_error_that_names_random_state(bad):
    with pytest.raises(TypeError, match="random_state is .*expected None, an integer"):
        as_generator(bad)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="random_state is -1, expected an integer >= 0"):
        as_generator(-1)


def _parameters(gates, hidden_size=8, input_size=5):
    return {
        "weight_ih_l0": np.full((gates * hidden_size, input_size), np.nan),
        "weight_hh_l0": np.full((gates * hidden_size, hidden_size), np.nan),
        "bias_ih_l0": np.full(gates * hidden_size, np.nan),
        "bias_hh_l0": np.full(gates * hidden_size, np.nan),
    }


@pytest.mark.parametrize("gates", [1, 3, 4])
@pytest.mark.parametrize("scheme", ["default", None])
def test_the_default_is_uniform_within_one_over_the_root_of_the_hidden_size(scheme, gates, rng):
    for values in initialise(_parameters(gates, 64), scheme, rng, gates=gates).values():
        assert 0.11 < abs(values).max() <= 0.125


@pytest.mark.parametrize("gates", [1, 3, 4])
def test_orthogonal_recurrent_weights_are_so_gate_by_gate(gates, rng):
    params = initialise(_parameters(gates), "orthogonal", rng, gates=gates)
    for block in np.split(params["weight_hh_l0"], gates):
        np.testing.assert_allclose(block @ block.T, np.eye(8), atol=1e-13)
    assert abs(params["weight_ih_l0"]).max() <= (6 / 13) ** 0.5


@pytest.mark.parametrize("scheme", ["glorot", "orthogonal"])
def test_biases_are_zero_but_for_the_forget_gate_which_counts_once(scheme, rng):
    params = initialise(_parameters(4), scheme, rng, gates=4)
    total = params["bias_ih_l0"] + params["bias_hh_l0"]
    assert np.array_equal(total, np.repeat([0.0, 1.0, 0.0, 0.0], 8))
    gru = initialise(_parameters(3), scheme, rng, gates=3)
    assert not gru["bias_ih_l0"].any() and not gru["bias_hh_l0"].any()


def test_glorot_draws_gate_by_gate_from_the_fans_of_one_gate(rng):
    params = initialise(_parameters(4, 40, 30), "glorot", rng, gates=4)
    for name, fans in (("weight_ih_l0", 70), ("weight_hh_l0", 80)):
        bound = (6 / fans) ** 0.5
        for block in np.split(params[name], 4):
            assert 0.95 * bound < abs(block).max() <= bound


def test_identity_is_for_one_gate_and_starts_with_small_input_weights(rng):
    params = initialise(_parameters(1), "identity", rng, gates=1)
    assert np.array_equal(params["weight_hh_l0"], np.eye(8))
    assert 0.0 < abs(params["weight_ih_l0"]).max() < 0.006 and not params["bias_ih_l0"].any()
    with pytest.raises(ValueError, match="'identity', which is for the plain RNN only"):
        initialise(_parameters(4), "identity", rng, gates=4)


def test_an_unknown_scheme_is_named(rng):
    with pytest.raises(ValueError, match="init is 'he', expected one of 'default', 'glorot'"):
        initialise(_parameters(1), "he", rng, gates=1)


@pytest.mark.parametrize("layer", [RNN, GRU, LSTM])
@pytest.mark.parametrize("scheme", [None, "glorot", "orthogonal"])
def test_a_layer_takes_the_scheme_and_repeats_it_for_one_random_state(layer, scheme):
    options = {"num_layers": 2, "bidirectional": True, "init": scheme}
    one, two, other = (layer(4, 6, random_state=s, **options).state_dict() for s in (5, 5, 6))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert any(not np.array_equal(one[name], other[name]) for name in one)
    if scheme == "orthogonal":
        block = one["weight_hh_l1_reverse"][:6].astype("float64")
        np.testing.assert_allclose(block @ block.T, np.eye(6), atol=1e-5)


def test_float32_and_float64_layers_of_one_random_state_hold_the_same_values():
    narrow, wide = (LSTM(3, 4, dtype=d, random_state=1).params for d in ("float32", "float64"))
    assert all(np.array_equal(narrow[name], wide[name].astype("float32")) for name in narrow)


def test_an_lstm_with_projection_gets_weights_within_the_bound():
    params = LSTM(3, 16, proj_size=4, random_state=0).params
    assert all(abs(w).max() <= 0.25 for w in params.values())
