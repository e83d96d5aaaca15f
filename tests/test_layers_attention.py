"""AttentionPool: values and gradients, and rows that depend on themselves alone."""

import numpy as np
import pytest
from cases import NUMERIC_TOLERANCE, assert_close, assert_near, assert_same_bits, numeric_gradient, ragged_lengths

from fastrnn import _threads
from fastrnn.layers import GRU, AttentionPool, Dense, Sequential
from fastrnn.reference import attention as reference

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SIZES = pytest.mark.parametrize(("input_size", "attention_size"), [(1, 1), (6, 5), (33, 18)])


def pool(rng, input_size, attention_size, dtype):
    """A layer whose weights are far from equal."""
    layer = AttentionPool(input_size, attention_size, dtype)
    layer.load_state_dict({name: rng.standard_normal(array.shape) for name, array in layer.params.items()})
    return layer


def ragged_data(rng, seq_len, batch_size, size, dtype):
    """Random x whose padding is NaN, and its lengths."""
    x, lengths = (
        rng.standard_normal((seq_len, batch_size, size)).astype(dtype),
        ragged_lengths(rng, batch_size, seq_len),
    )
    x[np.arange(seq_len)[:, None] >= lengths] = np.nan
    return x, lengths


@DTYPES
@SIZES
@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
def test_output_and_gradients_agree_with_the_reference(ragged, input_size, attention_size, dtype, rng):
    layer = pool(rng, input_size, attention_size, dtype)
    x, lengths = ragged_data(rng, 9, 6, input_size, dtype)
    if not ragged:
        x, lengths = np.nan_to_num(x), None
    weights = {name: array.astype("f8") for name, array in layer.params.items()}
    output, backward = layer.forward(x, lengths)
    assert_close(output, reference.forward(weights, x.astype("f8"), lengths), dtype, "output")
    assert_same_bits(layer(x, lengths), output)
    d_output = rng.standard_normal(output.shape).astype(dtype)
    d_output[0 if lengths is None else lengths == 0] *= 1 if lengths is None else np.nan  # nobody may look at it
    d_x = backward(d_output)
    expected_d_x, grads = reference.backward(weights, x.astype("f8"), lengths, d_output.astype("f8"))
    assert_close(d_x, expected_d_x, dtype, "d_x")
    for name, grad in grads.items():
        assert_close(layer.grads[name], grad, dtype, f"d_{name}")


@pytest.mark.parametrize("seq_len", [1, 2, 5], ids="T{}".format)
def test_backward_matches_numeric_gradient(seq_len, rng):
    layer = pool(rng, 4, 3, "float64")
    x, lengths = ragged_data(rng, seq_len, 4, 4, "float64")
    d_output = rng.standard_normal((4, 4))
    for _ in range(2):  # gradients are added up
        d_x = layer.forward(x, lengths)[1](d_output)

    def loss():
        return float((layer(x, lengths) * d_output).sum())

    padding = np.arange(seq_len)[:, None] >= lengths
    assert (d_x[padding] == 0).all()
    x[padding] = 0  # the differences there would be NaN
    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for name, grad in layer.grads.items():
        with layer.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(grad, 2 * expected, NUMERIC_TOLERANCE, f"d_{name}")


@DTYPES
def test_attention_agrees_with_torch(dtype, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
    layer = pool(rng, 7, 5, dtype)
    x, lengths = ragged_data(rng, 8, 4, 7, dtype)
    lengths[lengths == 0] = 1  # torch's softmax of nothing is NaN
    x = np.nan_to_num(x)
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in layer.state_dict().items()}
    h = torch.tensor(x, requires_grad=True)
    u = torch.tanh(torch.nn.functional.linear(h, weights["weight"], weights["bias"]))
    padding = torch.tensor(np.arange(8)[:, None] >= lengths)
    a = torch.softmax((u @ weights["context"]).masked_fill(padding, -torch.inf), dim=0)
    expected = (a[..., None] * h).sum(0)
    output, backward = layer.forward(x, lengths)
    assert_close(output, expected.detach().numpy(), dtype, "output")
    d_output = rng.standard_normal(output.shape).astype(dtype)
    expected.backward(torch.tensor(d_output))
    assert_close(backward(d_output), h.grad.numpy(), dtype, "d_x")
    for name, tensor in weights.items():
        assert_close(layer.grads[name], tensor.grad.numpy(), dtype, f"d_{name}")


@DTYPES
@SIZES
def test_a_row_has_the_same_bits_alone_in_any_batch_and_with_any_threads(
    input_size, attention_size, dtype, rng, monkeypatch
):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)  # threads even for little work
    layer = pool(rng, input_size, attention_size, dtype)
    x, lengths = ragged_data(rng, 150, 11, input_size, dtype)
    d_output = rng.standard_normal((11, input_size)).astype(dtype)
    output, backward = layer.forward(x, lengths, n_threads=1)
    d_x = backward(d_output)
    grads = {name: grad.copy() for name, grad in layer.grads.items()}
    for n, length in enumerate(lengths):
        alone, backward = layer.forward(x[:length, n : n + 1])
        assert_same_bits(alone[0], output[n], "output")
        assert_same_bits(layer(x[:length, n]), output[n], "unbatched")
        assert_same_bits(backward(d_output[n : n + 1])[:, 0], d_x[:length, n], "d_x")
    for n_threads in (2, 4):
        again, backward = layer.forward(x, lengths, n_threads=n_threads)
        layer.zero_grad()
        assert_same_bits(again, output, "output with threads")
        assert_same_bits(backward(d_output), d_x, "d_x with threads")
        for name, grad in layer.grads.items():
            assert_same_bits(grad, grads[name], name)


def test_scores_without_bound_give_the_largest_step(rng):
    layer = AttentionPool(2, 3)
    layer.load_state_dict({"weight": 1e4 * np.ones((3, 2)), "bias": np.zeros(3), "context": np.full(3, 1e30)})
    x = np.array([[[-1.0, -2.0]], [[3.0, 4.0]], [[-3.0, 1.0]]])
    assert layer(x).tolist() == [[3.0, 4.0]]


def test_nan_stays_in_its_row(rng):
    layer = AttentionPool(3, random_state=0)
    x = rng.standard_normal((6, 4, 3)).astype("f4")
    expected = layer(x)
    x[2, 1, 0] = np.nan
    with np.errstate(all="raise", under="ignore"):
        output = layer(x)
    assert np.isnan(output[1]).all()
    assert_same_bits(np.delete(output, 1, 0), np.delete(expected, 1, 0))


@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 0, 2), (0, 0, 2)], ids=str)
def test_empty_sequences_and_batches_give_zeros_of_their_shape(shape):
    layer = AttentionPool(2, random_state=0)
    output, backward = layer.forward(np.zeros(shape))
    assert output.shape == shape[1:] and not output.any()
    assert backward(np.ones_like(output)).shape == shape
    assert not any(grad.any() for grad in layer.grads.values())


def test_rows_of_length_0_give_zeros_and_take_no_gradient():
    layer = AttentionPool(2, random_state=0)
    output, backward = layer.forward(np.full((4, 3, 2), np.nan), lengths=[0, 0, 0])
    assert not output.any() and not backward(np.ones((3, 2))).any()
    assert not any(grad.any() for grad in layer.grads.values())


def test_networks_train_through_attention(rng):
    keywords = {"dtype": "float64", "random_state": 0}
    network = Sequential(GRU(3, 4, **keywords), AttentionPool(4, **keywords), Dense(4, 2, **keywords))
    x, lengths = rng.standard_normal((5, 3, 3)), [5, 0, 2]
    (output, _), backward = network.forward(x, lengths=lengths)
    d_output = rng.standard_normal(output.shape)
    d_x, _ = backward(d_output)
    expected = numeric_gradient(lambda: float((network(x, lengths=lengths)[0] * d_output).sum()), x)
    assert_near(d_x, expected, NUMERIC_TOLERANCE, "d_x")
    with pytest.raises(ValueError, match=r"layer 1 \(AttentionPool\) has no stepper: it needs the whole sequence"):
        network.stepper()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: AttentionPool(0), ValueError, "input_size is 0, expected an integer >= 1"),
        (lambda: AttentionPool(2, 0), ValueError, "attention_size is 0, expected an integer >= 1"),
        (
            lambda: AttentionPool(2)(np.zeros((4, 1, 3))),
            ValueError,
            r"x has shape \(4, 1, 3\), expected .*batch_size, 2\)",
        ),
        (
            lambda: AttentionPool(2)(np.zeros(2)),
            ValueError,
            r"x has shape \(2,\), expected \(seq_len, batch_size, inpu",
        ),
        (lambda: AttentionPool(2)(np.zeros((4, 1, 2)), [5]), ValueError, r"lengths\[0\] is 5, expected 0 <= length"),
        (lambda: AttentionPool(2)(np.zeros((4, 2), object)), TypeError, "x has dtype object, expected real numbers"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_backward_works_once_and_not_after_an_update():
    layer = AttentionPool(2, random_state=0)
    output, backward = layer.forward(np.ones((3, 1, 2)))
    with pytest.raises(ValueError, match=r"d_output has shape \(2,\), expected the shape of output, \(1, 2\)"):
        backward(np.ones(2))
    backward(output)
    with pytest.raises(RuntimeError, match="this backward of a AttentionPool was used before"):
        backward(output)
    output, backward = layer.forward(np.ones((3, 1, 2)))
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="the parameters of this AttentionPool have changed"):
        backward(output)
