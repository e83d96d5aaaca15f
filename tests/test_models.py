"""Networks composed by parameters: which layers, their gradients, and rows that depend on themselves alone."""

import numpy as np
import pytest
from cases import NUMERIC_TOLERANCE, assert_near, assert_same_bits, numeric_gradient, ragged_lengths

from fastrnn.layers import Conv1d, Dense, Dropout
from fastrnn.models import many_to_one

SMALL = {"hidden_layer_sizes": (5,), "random_state": 0}
NETWORKS = {
    "attention": {"pooling": "attention"},
    "conv": {"conv_filters": 6},
    "all": {"embedding_dim": 3, "conv_filters": (6, 5), "pooling": "attention", "bidirectional": True, "cell": "gru"},
}


def data(rng, options, seq_len, batch_size):
    """Random features, or tokens for an embedding, and lengths."""
    shape = seq_len, batch_size
    x = rng.integers(0, 4, shape) if "embedding_dim" in options else rng.standard_normal((*shape, 4))
    return x, ragged_lengths(rng, batch_size, seq_len)


def test_layers_come_in_their_order_with_dropout_between_them():
    network = many_to_one(
        9, 2, embedding_dim=3, conv_filters=(6, 5), hidden_layer_sizes=(4, 4), pooling="attention", dropout=0.1
    )
    kinds = [type(layer).__name__ for layer in network.layers]
    spine = ["Embedding", "Conv1d", "Conv1d", "LSTM", "LSTM", "AttentionPool", "Dense"]
    assert [kind for kind in kinds if kind != "Dropout"] == spine
    followed = [before for before, kind in zip(kinds, kinds[1:]) if kind == "Dropout"]
    assert followed == ["Embedding", "Conv1d", "Conv1d", "LSTM", "AttentionPool"]
    assert all(layer.p == 0.1 for layer in network.layers if isinstance(layer, Dropout))


def test_convolutions_are_centred_relus_of_three_steps():
    first, second = many_to_one(4, 2, conv_filters=[6, 5]).layers[:2]
    assert repr((first, second)) == "(Conv1d(4, 6, 3, activation='relu'), Conv1d(6, 5, 3, activation='relu'))"
    assert isinstance(first, Conv1d)
    assert repr(many_to_one(4, 2, conv_filters=6).layers[0]) == repr(first)


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_gradients_match_numeric_gradients(options, rng):
    network = many_to_one(4, 2, dtype="float64", **SMALL | options)
    x, lengths = data(rng, options, 5, 3)
    (output, _), backward = network.forward(x, lengths=lengths)
    d_output = rng.standard_normal(output.shape)
    backward(d_output)

    def loss():
        return float((network(x, lengths=lengths)[0] * d_output).sum())

    for name, grad in network.grads.items():
        with network.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(grad, expected, NUMERIC_TOLERANCE, f"d_{name}")


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_a_row_has_the_same_bits_alone_and_in_any_batch(options, rng):
    network = many_to_one(4, 2, **SMALL | options)
    x, lengths = data(rng, options, 30, 7)
    padding = np.arange(30)[:, None] >= lengths
    x[padding] = -1 if "embedding_dim" in options else np.nan
    output, _ = network(x, lengths=lengths)
    assert np.isfinite(output).all()
    for n, length in enumerate(lengths):
        assert_same_bits(network(x[:length, n : n + 1])[0][0], output[n])


def test_what_is_not_asked_for_changes_no_weight():
    plain, pooled = (many_to_one(4, 2, pooling=pooling, **SMALL) for pooling in ("last", "mean"))
    for name, array in plain.params.items():
        assert_same_bits(array, pooled.params[name])
    assert many_to_one(4, 2, hidden_layer_sizes=(), random_state=0).layers[-1].input_size == 4
    expected = Dense(4, 2, random_state=0).params["weight"]
    assert_same_bits(many_to_one(4, 2, hidden_layer_sizes=(), random_state=0).params["1.weight"], expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cell": "tcn"}, ValueError, "cell is 'tcn', expected one of 'lstm', 'gru', 'rnn'"),
        ({"pooling": "sum"}, ValueError, "pooling is 'sum', expected one of 'last', 'mean', 'max', 'attention'"),
        ({"embedding_dim": 0}, ValueError, "embedding_dim is 0, expected an integer >= 1"),
        ({"conv_filters": 0}, ValueError, "conv_filters is 0, expected an integer >= 1"),
        ({"conv_filters": (4, 0)}, ValueError, r"conv_filters\[1\] is 0, expected an integer >= 1"),
        ({"conv_filters": "auto"}, TypeError, r"conv_filters is 'auto' \(str\), expected an integer >= 1"),
    ],
)
def test_wrong_settings_are_named(options, error, message):
    with pytest.raises(error, match=message):
        many_to_one(4, 2, **options)
