"""TiedDense: one table that reads tokens and writes them, wherever the network goes."""

import copy
import pickle

import numpy as np
import pytest
from cases import (
    NUMERIC_TOLERANCE,
    TOLERANCES,
    assert_close,
    assert_near,
    assert_same_bits,
    numeric_gradient,
    ragged_lengths,
)
from storage_cases import assert_same_layer, forge, scrambled

import fastrnn
from fastrnn import _threads
from fastrnn.layers import LSTM, Dense, Embedding, LayerNorm, Sequential, TiedDense
from fastrnn.models import Network
from fastrnn.reference import tied_dense as reference
from fastrnn.storage import FileFormatError

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def tied(num_embeddings=7, embedding_dim=3, dtype="float64"):
    embedding = Embedding(num_embeddings, embedding_dim, dtype=dtype, random_state=0)
    layer = TiedDense(embedding)
    with layer.updating() as params:
        params["bias"] += np.linspace(-1, 1, num_embeddings)
    return embedding, layer


def language_model(dtype="float64", nested=False):
    """Embedding, LSTM, TiedDense; or nested, with a Dense between that projects to the size of the vectors."""
    embedding, head = tied(dtype=dtype)
    if not nested:
        return Sequential(embedding, LSTM(3, 3, dtype=dtype, random_state=1), head)
    lstm, project = LSTM(3, 5, dtype=dtype, random_state=1), Dense(5, 3, dtype=dtype, random_state=2)
    return Sequential(Sequential(Sequential(embedding, lstm), project), head)


def next_token_data(rng):
    tokens, lengths = rng.integers(0, 7, (5, 4)), np.array([5, 0, 2, 3])
    tokens[np.arange(5)[:, None] >= lengths] = -9  # padding is not looked up
    return tokens, lengths


@DTYPES
def test_output_and_gradients_agree_with_the_reference(dtype, rng):
    embedding, layer = tied(21, 10, dtype)
    x, d_output = rng.standard_normal((6, 3, 10)).astype(dtype), rng.standard_normal((6, 3, 21)).astype(dtype)
    arguments = [a.astype("f8") for a in (embedding.params["weight"], layer.params["bias"], x)]
    output, backward = layer.forward(x)
    assert_close(output, reference.forward(*arguments), dtype, "output")
    assert_same_bits(layer(x), output)
    d_x = backward(d_output)
    d_table, d_bias, expected_d_x = reference.backward(*arguments, d_output.astype("f8"))
    assert_close(d_x, expected_d_x, dtype, "d_x")
    assert_close(embedding.grads["weight"], d_table, dtype, "d_table")
    assert_close(layer.grads["bias"], d_bias, dtype, "d_bias")
    assert list(layer.params) == list(layer.grads) == ["bias"]


@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
def test_backward_matches_numeric_gradient(ragged, rng):
    embedding, layer = tied()
    x = rng.standard_normal((5, 4, 3))
    lengths = ragged_lengths(rng, 4, 5) if ragged else None
    padding = np.arange(5)[:, None] >= (np.full(4, 5) if lengths is None else lengths)
    x[padding] = np.nan
    output, backward = layer.forward(x, lengths)
    d_output = rng.standard_normal(output.shape)
    d_x = backward(d_output)
    assert not output[padding].any() and not d_x[padding].any()
    x[padding] = 0  # the differences there would be NaN

    def loss():
        return float((layer(x, lengths) * d_output).sum())

    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for owner, name in ((embedding, "weight"), (layer, "bias")):
        with owner.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(owner.grads[name], expected, NUMERIC_TOLERANCE, f"d_{name}")


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_the_table_of_a_network_learns_from_both_ends(nested, rng):
    network = language_model(nested=nested)
    tokens, lengths = next_token_data(rng)
    (output, _), backward = network.forward(tokens, lengths=lengths)
    d_output = rng.standard_normal(output.shape)
    assert backward(d_output)[0] is None
    assert list(network.params)[-1] == f"{1 if nested else 2}.bias" and list(network.layers[-1].params) == ["bias"]
    for name, grad in network.grads.items():
        with network.updating() as params:
            expected = numeric_gradient(
                lambda: float((network(tokens, lengths=lengths)[0] * d_output).sum()), params[name]
            )
        assert_near(grad, expected, NUMERIC_TOLERANCE, f"d_{name}")


@DTYPES
def test_a_row_has_the_same_bits_alone_in_any_batch_and_with_any_threads(dtype, rng, monkeypatch):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)  # threads even for little work
    embedding, layer = tied(35, 17, dtype)
    x, d_output = rng.standard_normal((23, 17)).astype(dtype), rng.standard_normal((23, 35)).astype(dtype)
    grads = []
    for n_threads in (1, 2, 4):
        output, backward = layer.forward(x, n_threads=n_threads)
        d_x = backward(d_output)
        for n in range(23):
            alone, backward = layer.forward(x[n])
            assert_same_bits(alone, output[n], "output")
            assert_same_bits(backward(d_output[n]), d_x[n], "d_x")
        embedding.zero_grad()
        layer.forward(x, n_threads=n_threads)[1](d_output)
        grads.append(embedding.grads["weight"].copy())
    assert_same_bits(grads[1], grads[0])
    assert_same_bits(grads[2], grads[0])


def test_an_update_of_the_table_shows_at_once_and_refuses_a_backward_of_before(rng):
    embedding, layer = tied()
    x = rng.standard_normal((4, 3))
    before, backward = layer.forward(x)
    with embedding.updating() as params:
        params["weight"] *= 2
        assert_near(layer(x), x @ params["weight"].T + layer.params["bias"], 1e-14, "inside the update")
        params["weight"] *= 2
    with pytest.raises(RuntimeError, match="parameters of this TiedDense have changed"):
        backward(before)
    assert not embedding.grads["weight"].any() and not layer.grads["bias"].any()
    assert_near(layer(x), x @ embedding.params["weight"].T + layer.params["bias"], 1e-14, "behind the update")


def test_bound_tables_are_read_anew_in_each_call_or_by_their_version(rng):
    network = language_model()
    arrays, x = network.state_dict(), rng.standard_normal((4, 3))
    head, bias = network.layers[-1], network.layers[-1].params["bias"].copy()
    network.bind(arrays)
    for _ in range(2):
        arrays["0.weight"] += 1
        assert_near(head(x), x @ arrays["0.weight"].T + bias, 1e-14, "each call")
    version = [0]
    network.bind(arrays, version=lambda: version[0])
    first = head(x)
    arrays["0.weight"] += 1
    assert_same_bits(head(x), first, "same version")
    version[0] = 1
    assert_near(head(x), x @ arrays["0.weight"].T + bias, 1e-14, "next version")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copy_is_tied_to_its_own_embedding(copied, rng):
    network = language_model()
    tokens, lengths = next_token_data(rng)
    other = copied(network)
    assert other.layers[-1].tied_to is other.layers[0] is not network.layers[0]
    assert_same_bits(other(tokens, lengths=lengths)[0], network(tokens, lengths=lengths)[0])
    before = network(tokens, lengths=lengths)[0]
    with other.updating() as params:
        params["0.weight"] += 1
    assert_same_bits(network(tokens, lengths=lengths)[0], before)
    assert (other(tokens, lengths=lengths)[0] != before)[:5, 0].any()


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_twins_share_weights_and_packs_and_have_gradients_of_their_own(nested, rng):
    network = language_model(nested=nested)
    tokens, lengths = next_token_data(rng)
    (output, _), backward = network.forward(tokens, lengths=lengths)
    backward(np.ones_like(output))
    kept = {name: grad.copy() for name, grad in network.grads.items()}
    twin = network.twin()
    assert repr(twin) == repr(network)
    (again, _), backward = twin.forward(tokens, lengths=lengths)
    backward(np.full_like(output, 2))
    assert_same_bits(again, output)
    for name, grad in kept.items():
        assert_same_bits(network.grads[name], grad, name)
        assert_near(twin.grads[name], 2 * grad, TOLERANCES["float64"].backward, name)
        assert np.shares_memory(twin.params[name], network.params[name])
    head = network.layers[-1]
    table, alone = head.tied_to.grads["weight"].copy(), head.twin()
    assert alone.tied_to is not head.tied_to
    alone.forward(np.ones((1, 3)))[1](np.ones((1, 7)))
    assert_same_bits(head.tied_to.grads["weight"], table)
    assert alone.tied_to.grads["weight"].all()


def test_a_stepper_takes_the_same_steps_and_keeps_its_weights(rng):
    network = language_model("float32")
    tokens = rng.integers(0, 7, (6, 2))
    expected, _ = network(tokens)
    stepper = network.stepper(2)
    with network.updating() as params:
        params["0.weight"] += 1
    for t in range(6):
        assert_same_bits(stepper.step(tokens[t]), expected[t])
    with pytest.raises(ValueError, match=r"x_t has shape \(2, 4\), expected \(batch_size, input_size\) = \(2, 3\)"):
        network.layers[-1]._step_function(2)(np.zeros((2, 4)))


@DTYPES
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_a_saved_network_comes_back_tied(nested, dtype, tmp_path, rng):
    network = scrambled(language_model(dtype, nested))
    fastrnn.save(network, tmp_path / "network")
    found = fastrnn.load(tmp_path / "network")
    assert_same_layer(found, network)
    assert found.layers[-1].tied_to is found._leaves[0][1]
    with pytest.raises(TypeError, match="a TiedDense cannot be saved alone: save the Sequential with its Embedding"):
        fastrnn.save(network.layers[-1], tmp_path / "head")


def described(layer_0, config, arrays):
    return {"class": "Sequential", "layers": [layer_0, {"class": "TiedDense", "config": config}]}, arrays


EMBEDDING = {"class": "Embedding", "config": {"num_embeddings": 2, "embedding_dim": 1}}
TABLE = {"0.weight": np.ones((2, 1), np.float32)}
BIAS = {"1.bias": np.ones(2, np.float32)}
TIED = {"embedding": "0"}
FORGED = {
    "no place": (*described(EMBEDDING, {}, TABLE | BIAS), "expected it to name the place of the Embedding"),
    "another place": (*described(EMBEDDING, {"embedding": "1"}, TABLE | BIAS), "expected it to name the place"),
    "a list": (*described(EMBEDDING, [], TABLE | BIAS), "expected it to name the place"),
    "no Embedding": (*described({"class": "Dropout", "config": {}}, TIED, BIAS), "expected it to name the place"),
    "nobody": (*described({"class": "Sequential", "layers": []}, TIED, BIAS), "expected it to name the place"),
    "alone": ({"class": "TiedDense", "config": TIED}, {"bias": BIAS["1.bias"]}, "expected it to name the place"),
    "no config": (
        {"class": "Sequential", "layers": [EMBEDDING, {"class": "TiedDense"}]},
        TABLE | BIAS,
        "description of a TiedDense lacks 'config'",
    ),
    "another size": (*described(EMBEDDING, TIED, TABLE | {"1.bias": np.ones(3, np.float32)}), "1.bias is float32"),
    "no bias": (*described(EMBEDDING, TIED, TABLE), "lacks '1.bias'"),
    "inside": (
        {
            "class": "Sequential",
            "layers": [EMBEDDING, {"class": "Sequential", "layers": [{"class": "TiedDense", "config": TIED}]}],
        },
        TABLE | {"1.0.bias": BIAS["1.bias"]},
        "expected it to name the place",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_made_up_tie_is_an_error_that_says_what_is_wrong(name, tmp_path):
    description, arrays, words = FORGED[name]
    forge(tmp_path / "file", description, arrays)
    with pytest.raises(FileFormatError, match=words):
        fastrnn.load(tmp_path / "file")


def test_networks_that_do_not_begin_with_the_embedding_are_refused():
    embedding, layer = tied()
    other = Embedding(7, 3, dtype="float64")
    with pytest.raises(ValueError, match=r"layer 1 \(TiedDense\) is tied to Embedding\(7, 3\), expected that to be"):
        Sequential(other, layer)
    with pytest.raises(ValueError, match=r"expected that to be the first layer, not layer 0 \(LayerNorm\)"):
        Sequential(LayerNorm(3, dtype="float64"), layer)
    with pytest.raises(ValueError, match=r"layer 1 \(TiedDense\) is tied to"):
        Sequential(embedding, Sequential(LayerNorm(3, dtype="float64"), layer))
    with pytest.raises(ValueError, match="has input_size = 3, expected output_size of layer 1 .* = 4"):
        Sequential(embedding, Dense(3, 4, dtype="float64"), layer)
    with pytest.raises(TypeError, match="embedding is an object of type Dense, expected an Embedding"):
        TiedDense(Dense(3, 7))


def test_wrong_arguments_are_named():
    _, layer = tied()
    for call in (layer, layer.forward):
        with pytest.raises(ValueError, match=r"x has shape \(2, 4\), expected \(..., input_size\) = \(..., 3\)"):
            call(np.zeros((2, 4)))
    _, backward = layer.forward(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"d_output has shape \(2, 3\), expected the shape of output, \(2, 7\)"):
        backward(np.zeros((2, 3)))
    backward(np.zeros((2, 7)))
    with pytest.raises(RuntimeError, match="was used before"):
        backward(np.zeros((2, 7)))


def test_a_network_of_models_runs_streams_masks_folds_and_is_saved(tmp_path, rng):
    embedding = Embedding(7, 9, dtype="float64", random_state=0, mask_token=0)
    lstm, project = LSTM(9, 5, dtype="float64", random_state=1), Dense(5, 9, dtype="float64", random_state=2)
    layers = Sequential(embedding, lstm, project, TiedDense(embedding))
    net = Network(layers)
    tokens = rng.integers(1, 7, (6, 2))
    expected, _ = layers(tokens)
    assert_same_bits(net.run(tokens)[0], expected)
    stream = net.stream(2)
    for t in range(6):
        assert_same_bits(stream.step(tokens[t]), expected[t])
    tokens[:2, 1] = 0  # masked in front
    alone, _ = layers(tokens[2:, 1:])
    assert_same_bits(net.run(tokens)[0][2:, 1:], alone)
    folded = net.folded()
    assert [type(layer) for layer in folded.layers] == [Embedding, LSTM, Dense, Dense]
    assert_near(folded.run(tokens)[0], net.run(tokens)[0], 1e-14, "folded")
    with layers.updating() as params:
        params["0.weight"] += 1  # the network keeps its weights
    assert_same_bits(net.run(tokens)[0][2:, 1:], alone)
    for one in (net, folded, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        fastrnn.save(one, tmp_path / "network")
        assert_same_bits(fastrnn.load(tmp_path / "network").run(tokens)[0], one.run(tokens)[0])


def test_what_other_formats_cannot_hold_is_refused_by_name():
    with pytest.raises(ValueError, match=r"layer 2 \(TiedDense\(.*\)\) is of a kind that torch.nn does not have"):
        fastrnn.state_dict(language_model())
