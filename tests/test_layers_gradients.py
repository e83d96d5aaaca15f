"""Gradients of every layer that is not recurrent, and of networks, against central differences in float64."""

import numpy as np
import pytest
from cases import NUMERIC_TOLERANCE, assert_near, numeric_gradient, ragged_lengths

import fastrnn

LAYERS = {
    "dense": lambda: fastrnn.Dense(6, 5, dtype="float64", random_state=0),
    "dense-nobias": lambda: fastrnn.Dense(6, 1, bias=False, dtype="float64", random_state=0),
    "dense-relu": lambda: fastrnn.Dense(6, 19, activation="relu", dtype="float64", random_state=0),
    "dense-tanh": lambda: fastrnn.Dense(6, 9, activation="tanh", dtype="float64", random_state=0),
    "dense-sigmoid": lambda: fastrnn.Dense(6, 5, activation="sigmoid", dtype="float64", random_state=0),
    "dropout": lambda: fastrnn.Dropout(0.3),
    "dropout-none": lambda: fastrnn.Dropout(0.0),
    "dropout-all": lambda: fastrnn.Dropout(1.0),
    "pool-last": lambda: fastrnn.Pool("last"),
    "pool-last-bi": lambda: fastrnn.Pool("last", bidirectional=True),
    "pool-mean": lambda: fastrnn.Pool("mean"),
    "pool-max": lambda: fastrnn.Pool("max"),
}
BODIES = {
    "lstm-pool-dense": lambda **k: [fastrnn.LSTM(4, 6, **k), fastrnn.Pool("last"), fastrnn.Dense(6, 3, **k)],
    "bilstm-pool-dense": lambda **k: [
        fastrnn.LSTM(4, 3, bidirectional=True, **k),
        fastrnn.Dropout(0.4),
        fastrnn.Pool("last"),
        fastrnn.Dense(6, 3, **k),
    ],
    "gru-rnn-dense": lambda **k: [
        fastrnn.GRU(4, 5, num_layers=2, dropout=0.3, **k),
        fastrnn.Dropout(0.2),
        fastrnn.RNN(5, 6, **k),
        fastrnn.Dense(6, 3, activation="tanh", **k),
    ],
    "variants-dense": lambda **k: [
        fastrnn.LSTM(4, 5, num_layers=2, dropout=0.3, peepholes=True, recurrent_dropout=0.3, **k),
        fastrnn.GRU(5, 6, layer_norm=True, zoneout=0.3, **k),
        fastrnn.Dense(6, 3, **k),
    ],
    "dense-gru-mean": lambda **k: [fastrnn.Dense(4, 5, **k), fastrnn.GRU(5, 3, **k), fastrnn.Pool("mean")],
}


@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
@pytest.mark.parametrize("seq_len", [1, 2, 5], ids="T{}".format)
@pytest.mark.parametrize("name", LAYERS)
def test_backward_matches_numeric_gradient(name, seq_len, ragged, rng):
    layer = LAYERS[name]()
    x = rng.standard_normal((seq_len, 4, 6))
    lengths = ragged_lengths(rng, 4, seq_len, 0) if ragged else None
    padding = np.arange(seq_len)[:, None] >= (np.full(4, seq_len) if lengths is None else lengths)
    x[padding] = np.nan

    def forward():
        return layer.forward(x, lengths, rng=np.random.default_rng(5))

    output, backward = forward()
    d_output = rng.standard_normal(output.shape)
    used = d_output if layer.consumes_time else np.where(padding[..., None], 0, d_output)
    if not layer.consumes_time:
        d_output[padding] = np.nan  # nobody may look at it
        assert (output[padding] == 0).all()

    def loss():
        return float((forward()[0] * used).sum())

    d_x = backward(d_output)
    assert (d_x[padding] == 0).all()
    x[padding] = 0  # the differences there would be NaN
    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for parameter, grad in layer.grads.items():
        with layer.updating() as params:
            expected = numeric_gradient(loss, params[parameter])
        assert_near(grad, expected, NUMERIC_TOLERANCE, f"d_{parameter}")


@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
def test_embedding_backward_matches_numeric_gradient(ragged, rng):
    layer = fastrnn.Embedding(7, 3, dtype="float64", random_state=0)
    tokens = rng.integers(0, 7, (5, 4))
    lengths = np.array([5, 0, 2, 3]) if ragged else None
    if ragged:
        tokens[np.arange(5)[:, None] >= lengths] = -9  # padding is not looked up
    output, backward = layer.forward(tokens, lengths)
    d_output = rng.standard_normal(output.shape)
    assert backward(d_output) is None
    with layer.updating() as params:
        table = params["weight"]
        expected = numeric_gradient(lambda: float((layer(tokens, lengths) * d_output).sum()), table)
    assert_near(layer.grads["weight"], expected, NUMERIC_TOLERANCE, "d_weight")


@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
@pytest.mark.parametrize("name", BODIES)
def test_sequential_backward_matches_numeric_gradient(name, ragged, rng):
    network = fastrnn.Sequential(*BODIES[name](dtype="float64", random_state=1))
    x = rng.standard_normal((5, 4, 4))
    lengths = np.array([5, 0, 2, 3]) if ragged else None
    _, states_n = network(x)
    states_0 = [_map(lambda s: 0.5 * rng.standard_normal(s.shape), state) for state in states_n]

    def forward():
        return network.forward(x, states_0, lengths, rng=np.random.default_rng(5))

    (output, states_n), backward = forward()
    d_output = rng.standard_normal(output.shape)
    d_states_n = [_map(lambda s: rng.standard_normal(s.shape), state) for state in states_n]

    def loss():
        (output, states_n), _ = forward()
        pairs = zip(_flat(states_n), _flat(d_states_n), strict=True)
        return float((output * d_output).sum() + sum((s * d).sum() for s, d in pairs))

    d_x, d_states_0 = backward(d_output, d_states_n)
    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for state, d_state in zip(_flat(states_0), _flat(d_states_0), strict=True):
        assert_near(d_state, numeric_gradient(loss, state), NUMERIC_TOLERANCE, "d_state_0")
    assert list(network.grads) == list(network.params)
    for parameter, grad in network.grads.items():
        with network.updating() as params:
            expected = numeric_gradient(loss, params[parameter])
        assert_near(grad, expected, NUMERIC_TOLERANCE, f"d_{parameter}")


def test_gradients_are_added_up_until_zero_grad(rng):
    dense = fastrnn.Dense(3, 2, random_state=0)
    x = rng.standard_normal((4, 3)).astype(np.float32)
    for _ in range(2):
        output, backward = dense.forward(x)
        backward(np.ones_like(output))
    np.testing.assert_allclose(dense.grads["bias"], [8, 8])
    grad = dense.grads["weight"]
    dense.zero_grad()
    assert grad is dense.grads["weight"] and not grad.any()


def _flat(states):
    return [array for state in states for array in (state if isinstance(state, tuple) else (state,))]


def _map(function, state):
    return tuple(map(function, state)) if isinstance(state, tuple) else function(state)
