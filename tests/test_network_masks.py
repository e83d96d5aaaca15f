"""Network.run with masks: the rules of Keras, holes and left padding included."""

import numpy as np
import pytest
from cases import assert_same_bits
from network_cases import classifier, speller, tagger

import fastrnn
from fastrnn.layers import LayerNorm
from fastrnn.models import Network
from fastrnn.reference import stack


def by_keras_rules(chain, x, mask):
    """As Keras: a masked step keeps the state and repeats the output before; 0 at first, and of two ways."""
    for _, layer in chain._leaves:
        if not layer.is_recurrent:
            x = layer(x)
            continue
        parts = []
        for suffix in ("", "_reverse") if layer.bidirectional else ("",):
            params = {n.removesuffix("_reverse"): w for n, w in layer.params.items() if n.endswith("_l0" + suffix)}
            steps = range(len(x))[::-1] if suffix else range(len(x))
            out, cell = (
                np.zeros((*x.shape[:2], layer.hidden_size)),
                "lstm" if isinstance(layer, fastrnn.LSTM) else "gru",
            )
            for n in range(x.shape[1]):
                state, before = None, 0
                for t in steps:
                    if mask[t, n]:
                        (y, state, _), _ = stack.forward(params, x[t : t + 1, n : n + 1], state, cell=cell)
                        before = y[0, 0]
                    out[t, n] = before if mask[t, n] or not layer.bidirectional else 0
            parts.append(out)
        x = np.concatenate(parts, axis=2).astype(np.float32)
    return x


MASKS = {
    "left": lambda rng: np.arange(9)[:, None] >= np.array([0, 3, 9, 5]),
    "right": lambda rng: np.arange(9)[:, None] < np.array([9, 3, 0, 5]),
    "holes": lambda rng: rng.random((9, 4)) < 0.6,
    "both ends": lambda rng: (np.arange(9)[:, None] >= 2) & (np.arange(9)[:, None] < np.array([7, 9, 3, 2])),
    "all": lambda rng: np.ones((9, 4), bool),
    "none": lambda rng: np.zeros((9, 4), bool),
}


@pytest.mark.parametrize("bidirectional", [False, True], ids=["uni", "bi"])
@pytest.mark.parametrize("kind", MASKS)
def test_masked_steps_follow_the_rules_of_keras(kind, bidirectional, rng):
    chain, mask = tagger(bidirectional), MASKS[kind](rng)
    x = rng.standard_normal((9, 4, 3)).astype(np.float32)
    expected = by_keras_rules(chain, x, mask)
    x[~mask] = np.nan  # nobody may look at it
    y, _ = Network(chain).run(x, mask=mask)
    np.testing.assert_allclose(y, expected, atol=2e-6)
    turned, _ = Network(chain, True).run(x.swapaxes(0, 1), mask=mask.T)
    assert_same_bits(turned.swapaxes(0, 1), y)


@pytest.mark.parametrize("kind", MASKS)
def test_states_and_pools_see_the_valid_steps_alone(kind, rng):
    x, mask = rng.standard_normal((9, 4, 3)).astype(np.float32), MASKS[kind](rng)
    _, state = Network(tagger()).run(x, mask=mask)
    found = {pool: Network(classifier(pool)).run(x, mask=mask)[0] for pool in ("last", "mean", "max", "attention")}
    for n in range(4):
        own = x[mask[:, n], n][:, None]
        _, expected = tagger()(own)
        assert_same_bits(state[0][1][:, n], expected[0][1][:, 0])
        assert_same_bits(state[1][:, n], expected[1][:, 0])
        for pool, y in found.items():
            assert_same_bits(y[n], classifier(pool)(own)[0][0])


def test_masks_of_one_sequence_and_of_tokens(rng):
    mask = np.array([False, True, False, True, True])
    tokens = np.array([99, 1, 99, 2, 3])  # a token behind a mask is not looked up
    net = Network(speller())
    y, (h_n,) = net.run(tokens, mask=mask)
    alone, (h_alone,) = net.run([1, 2, 3])
    assert_same_bits(y[mask], alone)
    assert_same_bits(y[2], y[1])
    assert_same_bits(h_n, h_alone)
    again, (h_again,) = net.run(tokens, [h_n], mask=mask)
    assert_same_bits(again[mask], net.run([1, 2, 3], [h_n])[0])
    assert h_again.shape == h_n.shape


def test_layers_of_single_steps_see_every_step(rng):
    dense, x = fastrnn.Dense(3, 4, random_state=0), rng.standard_normal((5, 2, 3)).astype(np.float32)
    assert_same_bits(Network(dense).run(x, mask=rng.random((5, 2)) < 0.5)[0], dense(x))


@pytest.mark.parametrize("bidirectional", [False, True], ids=["uni", "bi"])
def test_masks_agree_with_keras(bidirectional, rng, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
    keras = pytest.importorskip("keras", reason="keras is not installed: pip install fastrnn[keras]")
    chain = tagger(bidirectional)
    _, (_, lstm), (_, gru), (_, dense), _ = chain._leaves

    def weights(layer, end=""):
        w_ih, w_hh, b_ih, b_hh = (np.array(layer.params[f"{k}_l0{end}"]) for k in KINDS)
        if isinstance(layer, fastrnn.LSTM):
            return [w_ih.T, w_hh.T, b_ih + b_hh]
        from fastrnn.io.gates import reorder

        w_ih, w_hh, b_ih, b_hh = (reorder(w, "torch", "gru", target="keras") for w in (w_ih, w_hh, b_ih, b_hh))
        return [w_ih.T, w_hh.T, np.stack([b_ih, b_hh])]

    first = keras.layers.LSTM(6, return_sequences=True)
    second = keras.layers.GRU(5, return_sequences=True)
    second = keras.layers.Bidirectional(second) if bidirectional else second
    x, last = rng.standard_normal((4, 9, 3)).astype(np.float32), keras.layers.Dense(4, activation="sigmoid")
    normed = np.array(LayerNorm(3)(x))
    for name, make in MASKS.items():
        mask = make(rng).T

        def run(normed=normed, mask=mask):
            return last(second(first(normed, mask=mask), mask=mask))

        run()
        first.set_weights(weights(lstm))
        second.set_weights(weights(gru) + (weights(gru, "_reverse") if bidirectional else []))
        last.set_weights([dense.params["weight"].T, dense.params["bias"]])
        y, _ = Network(chain, batch_first=True).run(x, mask=mask)
        np.testing.assert_allclose(y, run().detach().cpu().numpy(), atol=3e-6, err_msg=name)


KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
