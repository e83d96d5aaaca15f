"""Layers that carry Keras's masks: Masking, Unmask, Reverse, and Embedding with a mask_token."""

import numpy as np
import pytest
from cases import numeric_gradient

import fastrnn
from fastrnn.layers import Activation, AttentionPool, Conv1d, Masking, Reverse, Unmask
from fastrnn.models import Network


def gru(**options):
    return fastrnn.GRU(3, 4, random_state=0, dtype="float64", **options)


def masked(rng, seq_len=6, batch_size=4):
    """Return x, and a mask with padding in front, behind, holes, and a row without steps."""
    x = rng.normal(size=(seq_len, batch_size, 3))
    mask = np.array([[0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], bool).T
    return x, mask


def test_masking_finds_its_steps_and_clears_them(rng):
    x, mask = masked(rng)
    x[~mask] = -1.5
    layer = Masking(-1.5)
    assert (layer.mask(x) == mask).all()
    y = layer(x)
    assert (y[mask] == x[mask]).all() and not y[~mask].any()
    assert not layer(x, lengths=[6, 2, 6, 6])[2, 1].any()


def test_masking_compares_in_its_own_precision():
    assert Masking(0.1, dtype="float32").mask([[np.float64(np.float32(0.1))]]).tolist() == [False]


@pytest.mark.parametrize("layer", [Masking(0.5), Unmask(), Reverse()], ids=repr)
def test_gradients_match_numeric_ones(layer, rng):
    x = rng.normal(size=(4, 3, 2))
    x[1, 0] = 0.5
    weights = rng.normal(size=x.shape)
    lengths = [4, 2, 3]
    y, backward = layer.forward(x, lengths)
    found = backward(weights)
    smooth = np.ones_like(x, bool)
    smooth[1, 0] = not isinstance(layer, Masking)  # there the function jumps
    expected = numeric_gradient(lambda: (layer(x, lengths) * weights).sum(), x)
    np.testing.assert_allclose(found[smooth], expected[smooth], atol=1e-8)
    np.testing.assert_array_equal(y, layer(x, lengths))
    with pytest.raises(RuntimeError, match="was used before"):
        backward(weights)


def test_a_network_that_begins_with_masking_masks_by_itself(rng):
    x, mask = masked(rng)
    x[~mask] = 0
    with_layer = Network(fastrnn.Sequential(Masking(), gru()))
    y, state = with_layer.run(x)
    expected, state_n = Network(gru()).run(x, mask=mask)
    assert (y == expected).all() and (state[0] == state_n[0]).all()


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_mask_token_masks_by_itself(batch_first, rng):
    tokens = rng.integers(0, 3, (6, 4))
    tokens = tokens.T if batch_first else tokens
    own, plain = (fastrnn.Embedding(3, 3, random_state=1, dtype="float64", **o) for o in ({"mask_token": 0}, {}))
    y = Network(fastrnn.Sequential(own, gru()), batch_first).predict(tokens)
    expected = Network(fastrnn.Sequential(plain, gru()), batch_first).run(tokens, mask=tokens != 0)[0]
    assert (y == expected).all()


def test_a_folded_network_masks_as_before(rng):
    embedding = fastrnn.Embedding(2, 3, random_state=1, dtype="float64", mask_token=1)
    net = Network(fastrnn.Sequential(embedding, gru()))
    tokens = rng.integers(0, 2, (6, 4))
    assert net.folded() is not net
    np.testing.assert_allclose(net.folded().run(tokens)[0], net.run(tokens)[0], atol=1e-12)


def test_states_behind_unmask_are_given_and_taken(rng):
    x, mask = masked(rng)
    second = fastrnn.LSTM(4, 2, random_state=1, dtype="float64")
    net = Network(fastrnn.Sequential(gru(), Unmask(), second))
    state = [rng.normal(size=(1, 4, 4)), tuple(rng.normal(size=(1, 4, 2)) for _ in range(2))]
    y, state_n = net.run(x, state, mask=mask)
    between, first = Network(gru()).run(x, state[:1], mask=mask)
    expected, last = Network(second).run(between, state[1:])
    assert (y == expected).all()
    assert (state_n[0] == first[0]).all() and (state_n[1][1] == last[0][1]).all()


def test_a_convolution_behind_unmask_sees_every_step(rng):
    x, mask = masked(rng)
    conv = Conv1d(4, 2, 2, padding="causal", dtype="float64", random_state=1)
    expected = conv(Network(gru()).run(x, mask=mask)[0])
    assert (Network(fastrnn.Sequential(gru(), Unmask(), conv)).run(x, mask=mask)[0] == expected).all()
    with pytest.raises(ValueError, match=r"Conv1d.* reads steps beside each other"):
        Network(fastrnn.Sequential(gru(), conv, fastrnn.Pool("last"))).run(x, mask=mask)


def test_reversed_steps_are_put_where_keras_puts_them(rng):
    """The mask that counts for the output is read backwards too."""
    x, mask = masked(rng)
    y, _ = Network(fastrnn.Sequential(Reverse(), gru())).run(x, mask=mask)
    expected, _ = Network(gru()).run(x[::-1].copy(), mask=mask[::-1].copy())
    assert (y == expected).all()


@pytest.mark.parametrize(
    "behind", [[fastrnn.GRU(4, 2, dtype="float64")], [fastrnn.Pool("mean")], [AttentionPool(4, dtype="float64")]]
)
def test_reversed_steps_under_a_mask_that_is_not_are_refused(behind, rng):
    x, mask = masked(rng)
    net = Network(fastrnn.Sequential(Reverse(), gru(), Activation("tanh"), *behind))
    with pytest.raises(ValueError, match="reads reversed steps, whose mask is not reversed"):
        net.run(x, mask=mask)
    assert np.isfinite(net.run(x)[0]).all()


def test_reverse_has_no_stepper_and_masking_must_come_first():
    with pytest.raises(ValueError, match="Reverse has no stepper"):
        Network(fastrnn.Sequential(Reverse(), gru())).stream()
    with pytest.raises(ValueError, match=r"layer 1 \(Masking\) masks the input, expected it to be the first"):
        fastrnn.Sequential(gru(), Masking())
    with pytest.raises(TypeError, match="value is '0', expected a number"):
        Masking("0")
