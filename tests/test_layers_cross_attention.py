"""CrossAttention: values and gradients, and rows that depend on themselves alone."""

import numpy as np
import pytest
from cases import NUMERIC_TOLERANCE, assert_close, assert_near, assert_same_bits, numeric_gradient, ragged_lengths

from fastrnn import _threads
from fastrnn.layers import CrossAttention
from fastrnn.reference import cross_attention as reference

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
KINDS = pytest.mark.parametrize("kind", ["multiplicative", "additive"])
SIZES = pytest.mark.parametrize(("query_size", "memory_size", "output_size"), [(1, 1, 1), (6, 5, None), (18, 33, 7)])


def attention(rng, query_size, memory_size, kind, dtype, output_size=None):
    """A layer whose weights are far from equal."""
    layer = CrossAttention(query_size, memory_size, kind, output_size=output_size, dtype=dtype)
    scale = 1.5 / np.sqrt(max(query_size, memory_size))
    layer.load_state_dict({name: scale * rng.standard_normal(array.shape) for name, array in layer.params.items()})
    return layer


def sequence(rng, seq_len, batch_size, size, dtype):
    """A random sequence whose padding is NaN, and its lengths."""
    x = rng.standard_normal((seq_len, batch_size, size)).astype(dtype)
    lengths = ragged_lengths(rng, batch_size, seq_len)
    x[np.arange(seq_len)[:, None] >= lengths] = np.nan
    return x, lengths


def ragged_data(rng, layer, seq_len=4, memory_len=9, batch_size=6):
    """Queries, memory, and the lengths of the memory and of the queries; both ragged, in no common order."""
    queries, lengths = sequence(rng, seq_len, batch_size, layer.query_size, layer.dtype)
    memory, memory_lengths = sequence(rng, memory_len, batch_size, layer.memory_size, layer.dtype)
    return queries, memory, memory_lengths, lengths


@DTYPES
@KINDS
@SIZES
@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
def test_output_weights_and_gradients_agree_with_the_reference(
    ragged, query_size, memory_size, output_size, kind, dtype, rng
):
    layer = attention(rng, query_size, memory_size, kind, dtype, output_size)
    data = ragged_data(rng, layer)
    if not ragged:
        data = (np.nan_to_num(data[0]), np.nan_to_num(data[1]), None, None)
    params = {name: array.astype("f8") for name, array in layer.params.items()}
    exact = [array if array is None or array.dtype.kind == "i" else array.astype("f8") for array in data]
    output, backward = layer.forward(*data)
    expected, expected_weights = reference.forward(params, *exact)
    assert_close(output, expected, dtype, "output")
    again, weights = layer(*data, return_weights=True)
    assert_same_bits(again, output)
    assert_close(weights, expected_weights, dtype, "weights")
    d_output = rng.standard_normal(output.shape).astype(dtype)
    if ragged:
        d_output[np.arange(len(output))[:, None] >= data[3]] = np.nan  # nobody may look at it
    *d_inputs, grads = reference.backward(params, *exact, d_output.astype("f8"))
    for name, d_input, expected_d in zip(("d_queries", "d_memory"), backward(d_output), d_inputs, strict=True):
        assert_close(d_input, expected_d, dtype, name)
    for name, grad in grads.items():
        assert_close(layer.grads[name], grad, dtype, f"d_{name}")


@KINDS
@pytest.mark.parametrize("seq_len", [1, 2, 5], ids="T{}".format)
def test_backward_matches_numeric_gradient(seq_len, kind, rng):
    layer = attention(rng, 3, 4, kind, "float64", output_size=2)
    queries, memory, memory_lengths, lengths = ragged_data(rng, layer, seq_len, 4, 4)
    d_output = rng.standard_normal((seq_len, 4, 2))
    for _ in range(2):  # gradients are added up
        d_queries, d_memory = layer.forward(queries, memory, memory_lengths, lengths)[1](d_output)

    def loss():
        return float((layer(queries, memory, memory_lengths, lengths) * d_output).sum())

    for array, d_array, ends in ((queries, d_queries, lengths), (memory, d_memory, memory_lengths)):
        padding = np.arange(len(array))[:, None] >= ends
        assert (d_array[padding] == 0).all()
        array[padding] = 0  # the differences there would be NaN
        assert_near(d_array, numeric_gradient(loss, array), NUMERIC_TOLERANCE, "d_x")
    for name, grad in layer.grads.items():
        with layer.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(grad, 2 * expected, NUMERIC_TOLERANCE, f"d_{name}")


@DTYPES
@KINDS
@SIZES
def test_a_row_has_the_same_bits_alone_in_any_batch_and_with_any_threads(
    query_size, memory_size, output_size, kind, dtype, rng, monkeypatch
):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)  # threads even for little work
    layer = attention(rng, query_size, memory_size, kind, dtype, output_size)
    queries, memory, memory_lengths, lengths = ragged_data(rng, layer, 7, 40, 9)
    d_output = rng.standard_normal((7, 9, layer.output_size)).astype(dtype)
    output, backward = layer.forward(queries, memory, memory_lengths, lengths, n_threads=1)
    d_queries, d_memory = backward(d_output)
    grads = {name: grad.copy() for name, grad in layer.grads.items()}
    for n, (t, u) in enumerate(zip(memory_lengths, lengths)):
        alone, backward = layer.forward(queries[:u, n : n + 1], memory[:t, n : n + 1])
        assert_same_bits(alone[:, 0], output[:u, n], "output")
        for d, (name, expected) in zip(
            backward(d_output[:u, n : n + 1]), (("d_queries", d_queries[:u, n]), ("d_memory", d_memory[:t, n]))
        ):
            assert_same_bits(d[:, 0], expected, name)
    for n_threads in (2, 4):
        again, backward = layer.forward(queries, memory, memory_lengths, lengths, n_threads=n_threads)
        layer.zero_grad()
        assert_same_bits(again, output, "output with threads")
        assert_same_bits(backward(d_output)[1], d_memory, "d_memory with threads")
        for name, grad in layer.grads.items():
            assert_same_bits(grad, grads[name], name)


@DTYPES
@KINDS
def test_a_query_alone_gets_the_bits_that_it_gets_among_others(kind, dtype, rng):
    layer = attention(rng, 18, 33, kind, dtype)
    queries, memory = (rng.standard_normal((t, 5, size)).astype(dtype) for t, size in ((6, 18), (30, 33)))
    output, weights = layer(queries, memory, return_weights=True)
    for u in range(6):
        one, its_weights = layer(queries[u : u + 1], memory, return_weights=True)
        assert_same_bits(one[0], output[u])
        assert_same_bits(its_weights[0], weights[u])


@DTYPES
@KINDS
def test_attention_agrees_with_torch(kind, dtype, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
    layer = attention(rng, 6, 5, kind, dtype)
    queries, memory, memory_lengths, lengths = ragged_data(rng, layer)
    memory_lengths[memory_lengths == 0] = 1  # torch's softmax of nothing is NaN
    queries, memory = np.nan_to_num(queries), np.nan_to_num(memory)
    w = {name: torch.tensor(array, requires_grad=True) for name, array in layer.state_dict().items()}
    h, s = torch.tensor(queries, requires_grad=True), torch.tensor(memory, requires_grad=True)
    if kind == "additive":
        score = torch.tanh((h @ w["weight_query"].T)[:, None] + (s @ w["weight_memory"].T)[None]) @ w["context"]
    else:
        score = torch.einsum("unq,qm,tnm->utn", h, w["weight_score"], s)
    padding = torch.tensor(np.arange(len(memory))[:, None] >= memory_lengths)
    a = torch.softmax(score.masked_fill(padding, -torch.inf), dim=1)
    expected = torch.tanh(torch.cat([torch.einsum("utn,tnm->unm", a, s), h], 2) @ w["weight_output"].T)
    valid = np.arange(len(queries))[:, None] < lengths
    expected = expected * torch.tensor(valid[..., None])
    output, backward = layer.forward(queries, memory, memory_lengths, lengths)
    assert_close(output, expected.detach().numpy(), dtype, "output")
    d_output = rng.standard_normal(output.shape).astype(dtype)
    expected.backward(torch.tensor(d_output))
    d_queries, d_memory = backward(d_output)
    assert_close(d_queries, h.grad.numpy(), dtype, "d_queries")
    assert_close(d_memory, s.grad.numpy(), dtype, "d_memory")
    for name, tensor in w.items():
        assert_close(layer.grads[name], tensor.grad.numpy(), dtype, f"d_{name}")


@KINDS
def test_a_memory_without_steps_leaves_the_query_alone(kind, rng):
    layer = attention(rng, 2, 3, kind, "float64")
    queries = rng.standard_normal((4, 2, 2))
    output, backward = layer.forward(queries, np.full((5, 2, 3), np.nan), memory_lengths=[0, 0])
    expected = np.tanh(queries @ layer.params["weight_output"][:, 3:].T)
    assert_near(output, expected, 1e-14, "output")
    assert not backward(np.ones_like(output))[1].any()
    assert_same_bits(layer(queries, np.zeros((0, 2, 3))), output)


@KINDS
def test_nan_stays_in_its_row(kind, rng):
    layer = attention(rng, 3, 3, kind, "float32")
    queries, memory = rng.standard_normal((2, 6, 4, 3)).astype("f4")
    expected = layer(queries, memory)
    memory[2, 1, 0] = np.nan
    with np.errstate(all="raise", under="ignore"):
        output = layer(queries, memory)
    assert np.isnan(output[:, 1]).all()
    assert_same_bits(np.delete(output, 1, 1), np.delete(expected, 1, 1))


@KINDS
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)], ids=str)
def test_no_queries_and_no_rows_give_arrays_of_their_shape(shape, kind):
    layer = CrossAttention(2, 3, kind, random_state=0)
    output, backward = layer.forward(np.zeros((*shape, 2)), np.zeros((5, shape[1], 3)))
    assert output.shape == (*shape, 2)
    d_queries, d_memory = backward(output)
    assert d_queries.shape == (*shape, 2) and d_memory.shape == (5, shape[1], 3)
    assert not any(grad.any() for grad in layer.grads.values())


def test_backward_works_once_and_not_after_an_update(rng):
    layer = attention(rng, 2, 3, "additive", "float32")
    output, backward = layer.forward(np.zeros((1, 1, 2)), np.zeros((2, 1, 3)))
    backward(output)
    with pytest.raises(RuntimeError, match="used before"):
        backward(output)
    backward = layer.forward(np.zeros((1, 1, 2)), np.zeros((2, 1, 3)))[1]
    with layer.updating() as params:
        params["context"] += 1
    with pytest.raises(RuntimeError, match="have changed"):
        backward(output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 2, 3)), np.zeros((5, 2, 3))), r"queries has shape \(4, 2, 3\), expected .*query_size"),
        ((np.zeros((4, 2, 2)), np.zeros((5, 3, 3))), r"queries has shape \(4, 2, 2\), expected .*batch_size"),
        ((np.zeros((4, 2, 2)), np.zeros((5, 2, 3)), [6, 1]), r"length"),
    ],
    ids=["queries", "memory", "lengths"],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        CrossAttention(2, 3)(*arguments)


def test_a_multiplicative_score_has_no_attention_size():
    with pytest.raises(ValueError, match="attention_size is 4, expected None"):
        CrossAttention(2, 3, attention_size=4)
