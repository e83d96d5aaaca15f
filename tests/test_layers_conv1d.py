"""Conv1d: values and gradients, rows that depend on themselves alone, and lengths that go on to the next layer."""

import numpy as np
import pytest
from cases import NUMERIC_TOLERANCE, assert_close, assert_near, assert_same_bits, numeric_gradient, ragged_lengths

from fastrnn import _threads
from fastrnn.layers import GRU, Conv1d, Embedding, LayerNorm, Pool, Sequential
from fastrnn.layers import conv1d as module
from fastrnn.reference import conv1d as reference

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SETTINGS = {
    "same": {"kernel_size": 3},
    "same-even-dilated": {"kernel_size": 4, "dilation": 3, "activation": "tanh"},
    "valid-stride": {"kernel_size": 3, "stride": 2, "padding": "valid", "activation": "sigmoid"},
    "causal": {"kernel_size": 5, "padding": "causal", "activation": "relu"},
    "causal-stride-dilated": {"kernel_size": 3, "padding": "causal", "stride": 3, "dilation": 2},
    "wide": {"kernel_size": 2, "padding": 3, "stride": 2, "bias": False},
    "pointwise": {"kernel_size": 1, "padding": 0},
}
OVER_SETTINGS = pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)


def reference_options(options):
    return {name: value for name, value in options.items() if name not in ("kernel_size", "bias")}


def ragged_data(rng, seq_len, batch_size, size, dtype="float64"):
    """Random x whose padding is NaN, and its lengths."""
    x = rng.standard_normal((seq_len, batch_size, size)).astype(dtype)
    lengths = ragged_lengths(rng, batch_size, seq_len)
    x[np.arange(seq_len)[:, None] >= lengths] = np.nan
    return x, lengths


def past(lengths, seq_len):
    return np.arange(seq_len)[:, None] >= lengths


@DTYPES
@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
@OVER_SETTINGS
def test_output_and_gradients_agree_with_the_reference(options, ragged, dtype, rng):
    conv = Conv1d(6, 19, dtype=dtype, random_state=0, **options)
    x, lengths = ragged_data(rng, 9, 6, 6, dtype) if ragged else (rng.standard_normal((9, 6, 6)).astype(dtype), None)
    weights = {name: array.astype("f8") for name, array in conv.params.items()}
    expected, ends = reference.forward(weights, x.astype("f8"), lengths, **reference_options(options))
    output, backward = conv.forward(x, lengths)
    assert_close(output, expected, dtype, "output")
    assert_same_bits(conv(x, lengths), output)
    assert conv.output_lengths(np.full(6, 9) if lengths is None else lengths).tolist() == ends.tolist()
    d_output = rng.standard_normal(output.shape).astype(dtype)
    d_output[past(ends, len(output))] = np.nan  # nobody may look at it
    d_x = backward(d_output)
    expected_d_x, grads = reference.backward(weights, x.astype("f8"), lengths, d_output, **reference_options(options))
    assert_close(d_x, expected_d_x, dtype, "d_x")
    for name, grad in grads.items():
        assert_close(conv.grads[name], grad, dtype, f"d_{name}")


@pytest.mark.parametrize("seq_len", [1, 2, 5], ids="T{}".format)
@OVER_SETTINGS
def test_backward_matches_numeric_gradient(options, seq_len, rng):
    conv = Conv1d(3, 4, dtype="float64", random_state=0, **options)
    x, lengths = ragged_data(rng, seq_len, 4, 3)
    output, backward = conv.forward(x, lengths)
    d_output = rng.standard_normal(output.shape)
    for _ in range(2):  # gradients are added up
        d_x = conv.forward(x, lengths)[1](d_output)

    def loss():
        return float((conv(x, lengths) * d_output).sum())

    assert (d_x[past(lengths, seq_len)] == 0).all()
    x[past(lengths, seq_len)] = 0  # the differences there would be NaN
    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for name, grad in conv.grads.items():
        with conv.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(grad, 2 * expected, NUMERIC_TOLERANCE, f"d_{name}")


@DTYPES
@pytest.mark.parametrize(("ours", "theirs"), [("same", "same"), ("valid", "valid"), (2, 2)], ids=str)
@pytest.mark.parametrize("kernel_size", [1, 4])
def test_conv_agrees_with_torch(kernel_size, ours, theirs, dtype, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
    stride = 1 if ours == "same" else 3
    twin = torch.nn.Conv1d(7, 18, kernel_size, stride, theirs, dilation=2, dtype=getattr(torch, dtype))
    conv = Conv1d(7, 18, kernel_size, stride, ours, 2, dtype=dtype)
    conv.load_state_dict({name: tensor.numpy() for name, tensor in twin.state_dict().items()})
    x = rng.standard_normal((13, 3, 7)).astype(dtype)
    x_torch = torch.tensor(x, requires_grad=True)
    expected = twin(x_torch.permute(1, 2, 0)).permute(2, 0, 1)
    output, backward = conv.forward(x)
    assert_close(output, expected.detach().numpy(), dtype, "output")
    d_output = rng.standard_normal(output.shape).astype(dtype)
    expected.backward(torch.tensor(d_output))
    assert_close(backward(d_output), x_torch.grad.numpy(), dtype, "d_x")
    for name, parameter in twin.named_parameters():
        assert_close(conv.grads[name], parameter.grad.numpy(), dtype, f"d_{name}")


@DTYPES
@OVER_SETTINGS
def test_a_row_has_the_same_bits_alone_in_any_batch_with_any_threads_and_blocks(options, dtype, rng, monkeypatch):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)  # threads even for little work
    conv = Conv1d(5, 19, dtype=dtype, random_state=0, **options)
    x, lengths = ragged_data(rng, 40, 9, 5, dtype)
    output, backward = conv.forward(x, lengths, n_threads=1)
    d_output = rng.standard_normal(output.shape).astype(dtype)
    d_x = backward(d_output)
    grads = {name: grad.copy() for name, grad in conv.grads.items()}
    ends = conv.output_lengths(lengths)
    assert not output[past(ends, len(output))].any()
    for n, (length, end) in enumerate(zip(lengths, ends)):
        alone, backward = conv.forward(x[:length, n : n + 1])
        assert len(alone) == end
        assert_same_bits(alone[:, 0], output[:end, n], "output")
        assert_same_bits(conv(x[:length, n]), output[:end, n], "unbatched")
        assert_same_bits(backward(d_output[:end, n : n + 1])[:, 0], d_x[:length, n], "d_x")
    for n_threads, block_size in ((4, module.BLOCK_SIZE), (2, 400), (1, 1)):
        monkeypatch.setattr(module, "BLOCK_SIZE", block_size)
        again, backward = conv.forward(x, lengths, n_threads=n_threads)
        conv.zero_grad()
        assert_same_bits(again, output, "output in blocks")
        assert_same_bits(backward(d_output), d_x, "d_x in blocks")
        for name, grad in conv.grads.items():
            compare = assert_same_bits if n_threads == 4 else lambda a, b, name: assert_close(a, b, dtype, f"d_{name}")
            compare(grad, grads[name], name)


def test_causal_outputs_see_no_later_step_and_same_is_centred(rng):
    x = rng.standard_normal((6, 1, 2))
    changed = x.copy()
    changed[3] += 1
    for padding, touched in (("causal", [3, 4, 5]), ("same", [2, 3, 4])):
        conv = Conv1d(2, 3, 3, padding=padding, random_state=0)
        assert np.flatnonzero((conv(x) != conv(changed)).any(axis=(1, 2))).tolist() == touched


def test_nan_stays_in_its_row(rng):
    conv = Conv1d(3, 4, 3, random_state=0)
    x = rng.standard_normal((6, 5, 3)).astype(np.float32)
    expected = conv(x)
    x[2, 1, 0] = np.nan
    output = conv(x)
    assert np.isnan(output[1:4, 1]).all() and np.isfinite(output[[0, 4, 5], 1]).all()
    assert_same_bits(np.delete(output, 1, 1), np.delete(expected, 1, 1))


@OVER_SETTINGS
@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 0, 2), (0, 0, 2)], ids=str)
def test_empty_sequences_and_batches_give_empty_outputs(shape, options):
    conv = Conv1d(2, 5, random_state=0, **options)
    output, backward = conv.forward(np.zeros(shape), np.full(shape[1], shape[0]))
    assert output.shape == (conv.output_lengths([shape[0]])[0], shape[1], 5) and output.size == 0
    assert backward(output).shape == shape
    assert not any(grad.any() for grad in conv.grads.values())


@OVER_SETTINGS
def test_rows_of_length_0_give_zeros_and_take_no_gradient(options):
    conv = Conv1d(2, 5, random_state=0, **options)
    output, backward = conv.forward(np.full((9, 3, 2), np.nan), [0, 0, 0])
    assert len(output) and not output.any()
    assert not backward(np.ones_like(output)).any()
    assert not any(grad.any() for grad in conv.grads.values())


@pytest.mark.parametrize("options", [{"stride": 2, "padding": "causal"}, {"padding": "valid"}, {}], ids=str)
def test_sequential_hands_the_lengths_of_the_outputs_on(options, rng):
    network = Sequential(
        Conv1d(3, 4, 3, random_state=0, **options),
        Conv1d(4, 5, 2, random_state=1, **options),
        GRU(5, 4, bidirectional=True, random_state=2),
        LayerNorm(8),
        Pool("last"),
    )
    x, lengths = ragged_data(rng, 12, 6, 3, "float32")
    (output, (h_n,)), backward = network.forward(x, lengths=lengths)
    d_output = rng.standard_normal(output.shape).astype(np.float32)
    d_x, _ = backward(d_output)
    assert_same_bits(network(x, lengths=lengths)[0], output)
    for n, length in enumerate(lengths):
        (alone, (h_alone,)), backward = network.forward(x[:length, n : n + 1])
        assert_same_bits(alone[0], output[n], "output")
        assert_same_bits(h_alone[:, 0], h_n[:, n], "h_n")
        assert_same_bits(backward(d_output[n : n + 1])[0][:, 0], d_x[:length, n], "d_x")


def test_a_backward_before_an_update_is_refused(rng):
    conv = Conv1d(2, 3, 3, random_state=0)
    output, backward = conv.forward(np.ones((4, 1, 2)))
    with conv.updating() as params:
        params["weight"] += 1
    with pytest.raises(RuntimeError, match="the parameters of this Conv1d have changed"):
        backward(output)
    output, backward = conv.forward(np.ones((4, 1, 2)))
    backward(output)
    with pytest.raises(RuntimeError, match="this backward of a Conv1d was used before"):
        backward(output)


def test_initial_values_come_from_random_state():
    first, second = (Conv1d(4, 5, 4, random_state=3).params["weight"] for _ in range(2))
    assert_same_bits(first, second)
    assert 0.2 < np.abs(first).max() <= 0.25


@pytest.mark.parametrize(
    ("x", "lengths", "error", "message"),
    [
        (np.zeros((4, 2, 3)), None, ValueError, r"x has shape \(4, 2, 3\), expected .* = \(seq_len, batch_size, 5\)"),
        (np.zeros(5), None, ValueError, r"x has shape \(5,\), expected \(seq_len, batch_size, input_size\)"),
        (np.zeros((4, 2, 5), complex), None, TypeError, "x has dtype complex128, expected real numbers"),
        (np.zeros((4, 2, 5)), [1, 5], ValueError, r"lengths\[1\] is 5, expected 0 <= length <= seq_len = 4"),
    ],
)
def test_errors_name_the_argument(x, lengths, error, message):
    conv = Conv1d(5, 3, 3)
    for call in (conv, conv.forward):
        with pytest.raises(error, match=message):
            call(x, lengths)
    with pytest.raises(ValueError, match=r"d_output has shape \(3, 3\), expected the shape of output, \(4, 3\)"):
        conv.forward(np.zeros((4, 5)))[1](np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kernel_size": 0}, ValueError, "kernel_size is 0, expected an integer >= 1"),
        ({"kernel_size": 3, "stride": 2}, ValueError, "padding is 'same' and stride is 2, expected stride = 1"),
        ({"kernel_size": 3, "padding": "full"}, ValueError, "padding is 'full', expected one of 'same', 'valid', 'cau"),
        ({"kernel_size": 3, "padding": -1}, ValueError, "padding is -1, expected an integer >= 0"),
        ({"kernel_size": 3, "dilation": 1.5}, TypeError, "dilation is 1.5"),
        ({"kernel_size": 3, "activation": "elu"}, ValueError, "activation is 'elu', expected one of None, 'relu'"),
    ],
)
def test_wrong_settings_are_named(options, error, message):
    with pytest.raises(error, match=message):
        Conv1d(2, 3, **options)


def test_networks_with_a_convolution_have_no_stepper():
    with pytest.raises(ValueError, match=r"Conv1d\(2, 3, 3\) has no stepper: it reads 3 steps at a time"):
        Sequential(Embedding(5, 2), Conv1d(2, 3, 3)).stepper()
