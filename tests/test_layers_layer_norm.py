"""LayerNorm: values and gradients, and steps that depend on themselves alone."""

import numpy as np
import pytest
from cases import NUMERIC_TOLERANCE, assert_close, assert_near, assert_same_bits, numeric_gradient, ragged_lengths

from fastrnn.layers import GRU, LayerNorm, Pool, Sequential
from fastrnn.reference import layer_norm as reference

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SIZES = pytest.mark.parametrize("size", [1, 2, 7, 33, 300])


def layer(rng, size, dtype, eps=1e-5):
    norm = LayerNorm(size, eps, dtype)
    norm.load_state_dict({name: rng.uniform(-2, 2, size) for name in norm.params})
    return norm


@DTYPES
@SIZES
def test_output_and_gradients_agree_with_the_reference(size, dtype, rng):
    norm = layer(rng, size, dtype, eps=0.01)
    x, d_output = (rng.standard_normal((4, 3, size)).astype(dtype) for _ in range(2))
    weights = {name: array.astype("f8") for name, array in norm.params.items()}
    expected = reference.forward(weights, x.astype("f8"), eps=0.01)
    expected_d_x, grads = reference.backward(weights, x.astype("f8"), d_output.astype("f8"), eps=0.01)
    output, backward = norm.forward(x)
    assert_close(output, expected, dtype, "output")
    assert_same_bits(norm(x), output)
    assert_close(backward(d_output), expected_d_x, dtype, "d_x")
    for name, grad in grads.items():
        assert_close(norm.grads[name], grad, dtype, f"d_{name}")


@pytest.mark.parametrize("seq_len", [1, 2, 5], ids="T{}".format)
def test_backward_matches_numeric_gradient(seq_len, rng):
    norm = layer(rng, 6, "float64")
    x, lengths = rng.standard_normal((seq_len, 4, 6)), ragged_lengths(rng, 4, seq_len)
    padding = np.arange(seq_len)[:, None] >= lengths
    x[padding] = np.nan
    output = norm(x, lengths)
    assert (output[padding] == 0).all()
    d_output = rng.standard_normal(output.shape)
    used = np.where(padding[..., None], 0, d_output)
    d_output[padding] = np.nan  # nobody may look at it
    for _ in range(2):  # gradients are added up
        d_x = norm.forward(x, lengths)[1](d_output)

    def loss():
        return float((norm(x, lengths) * used).sum())

    assert (d_x[padding] == 0).all()
    x[padding] = 0  # the differences there would be NaN
    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for name, grad in norm.grads.items():
        with norm.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(grad, 2 * expected, NUMERIC_TOLERANCE, f"d_{name}")


@DTYPES
@SIZES
def test_layer_norm_agrees_with_torch(size, dtype, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
    norm, twin = layer(rng, size, dtype, 0.1), torch.nn.LayerNorm(size, 0.1, dtype=getattr(torch, dtype))
    twin.load_state_dict({name: torch.tensor(array) for name, array in norm.state_dict().items()})
    x, d_output = ((3 + rng.standard_normal((5, size))).astype(dtype) for _ in range(2))
    x_torch = torch.tensor(x, requires_grad=True)
    expected = twin(x_torch)
    expected.backward(torch.tensor(d_output))
    output, backward = norm.forward(x)
    assert_close(output, expected.detach().numpy(), dtype, "output")
    assert_close(backward(d_output), x_torch.grad.numpy(), dtype, "d_x")
    for name, parameter in twin.named_parameters():
        assert_close(norm.grads[name], parameter.grad.numpy(), dtype, f"d_{name}")


@DTYPES
@SIZES
def test_a_step_has_the_same_bits_alone_and_in_any_batch(size, dtype, rng):
    norm = layer(rng, size, dtype)
    x, d_output = (rng.standard_normal((11, 7, size)).astype(dtype) for _ in range(2))
    lengths = ragged_lengths(rng, 7, 11)
    x[np.arange(11)[:, None] >= lengths] = np.nan
    output, backward = norm.forward(x, lengths)
    d_x = backward(d_output)
    step = norm._step_function(1)
    for n, length in enumerate(lengths):
        alone, backward = norm.forward(x[:length, n : n + 1])
        assert_same_bits(alone[:, 0], output[:length, n], "output")
        assert_same_bits(backward(d_output[:length, n : n + 1])[:, 0], d_x[:length, n], "d_x")
        for t in range(length):
            assert_same_bits(norm(x[t, n]), output[t, n], "one step")
            assert_same_bits(step(x[t, n : n + 1])[0], output[t, n], "stepper")


def test_nan_stays_in_its_step_and_nothing_warns(rng):
    norm = layer(rng, 5, "float32")
    x = rng.standard_normal((4, 5)).astype("f4")
    expected = norm(x)
    x[1, 2], x[2] = np.nan, 1e30
    with np.errstate(all="raise", under="ignore"):
        output, backward = norm.forward(x)
        backward(output)
    assert np.isnan(output[1]).all()
    assert_same_bits(output[[0, 3]], expected[[0, 3]])


@pytest.mark.parametrize("shape", [(5,), (0, 5), (0, 3, 5), (3, 0, 5), (2, 3, 4, 5)], ids=str)
def test_any_leading_axes_are_kept(shape):
    output, backward = LayerNorm(5).forward(np.ones(shape))
    assert output.shape == shape and output.dtype == np.float32 and not output.any()
    assert backward(np.ones_like(output)).shape == shape


def test_rows_of_length_0_give_zeros_and_take_no_gradient():
    norm = LayerNorm(2)
    output, backward = norm.forward(np.full((4, 3, 2), np.nan), lengths=[0, 0, 0])
    assert not output.any() and not backward(np.ones((4, 3, 2))).any()
    assert not any(grad.any() for grad in norm.grads.values())


def test_last_behind_a_normalised_bidirectional_layer_takes_each_direction_at_its_own_end(rng):
    network = Sequential(GRU(3, 4, bidirectional=True, random_state=0), LayerNorm(8), Pool("last"))
    x, lengths = rng.standard_normal((5, 3, 3)), np.array([2, 5, 1])
    steps = Sequential(*network.layers[:2])(x, lengths=lengths)[0]
    expected = np.concatenate([steps[lengths - 1, np.arange(3), :4], steps[0, :, 4:]], axis=1)
    assert_same_bits(network(x, lengths=lengths)[0], expected)


def test_an_update_makes_new_outputs_and_refuses_an_old_backward():
    norm = LayerNorm(2)
    output, backward = norm.forward([[1.0, 3.0]])
    with norm.updating() as params:
        params["bias"] += 1
    with pytest.raises(RuntimeError, match="the parameters of this LayerNorm have changed"):
        backward(output)
    assert_same_bits(norm([[1.0, 3.0]]), output + 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: LayerNorm(0), ValueError, "size is 0, expected an integer >= 1"),
        (lambda: LayerNorm(2, eps=-1), ValueError, r"eps is -1.0, expected a number in \[0, 1\]"),
        (
            lambda: LayerNorm(2)(np.zeros((4, 3))),
            ValueError,
            r"x has shape \(4, 3\), expected \(..., size\) = \(..., 2",
        ),
        (
            lambda: LayerNorm(2)(np.zeros((4, 1, 2)), [5]),
            ValueError,
            r"lengths\[0\] is 5, expected 0 <= length <= seq_",
        ),
        (lambda: LayerNorm(2)(np.zeros((4, 2), "U1")), TypeError, "x has dtype <U1, expected real numbers"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
