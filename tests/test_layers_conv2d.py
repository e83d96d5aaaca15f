"""Conv2d: frames of every step, values and gradients, rows that depend on themselves alone."""

import numpy as np
import pytest
from cases import NUMERIC_TOLERANCE, assert_close, assert_near, assert_same_bits, numeric_gradient, ragged_lengths
from storage_cases import forge

import fastrnn
from fastrnn import _threads
from fastrnn.layers import GRU, Conv2d, Dense, Pool, Sequential
from fastrnn.layers import conv2d as module
from fastrnn.reference import conv2d as reference
from fastrnn.storage import FileFormatError

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SHAPE = (2, 5, 6)  # channels, height, width
SETTINGS = {
    "plain": {"kernel_size": 3},
    "stride": {"kernel_size": (2, 3), "stride": (2, 1), "activation": "tanh"},
    "padding": {"kernel_size": (3, 2), "padding": (2, 1), "bias": False},
    "both": {"kernel_size": 3, "stride": 2, "padding": 1, "activation": "relu"},
    "pointwise": {"kernel_size": 1, "activation": "sigmoid"},
    "whole": {"kernel_size": (5, 6)},
    "apart": {"kernel_size": 2, "stride": 3, "padding": (0, 1)},
}
OVER_SETTINGS = pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)


def ragged_data(rng, seq_len, batch_size, size, dtype="float64"):
    """Random x whose padding is NaN, its lengths, and which steps are padding."""
    x = rng.standard_normal((seq_len, batch_size, size)).astype(dtype)
    lengths = ragged_lengths(rng, batch_size, seq_len)
    padding = np.arange(seq_len)[:, None] >= lengths
    x[padding] = np.nan
    return x, lengths, padding


@DTYPES
@OVER_SETTINGS
def test_output_and_gradients_agree_with_the_reference(options, dtype, rng):
    conv = Conv2d(SHAPE, 4, dtype=dtype, random_state=0, **options)
    x, lengths, padding = ragged_data(rng, 4, 3, conv.input_size, dtype)
    weights = {name: array.astype("f8") for name, array in conv.params.items()}
    given = {name: getattr(conv, name) for name in ("stride", "padding", "activation")}
    frames = x[~padding].astype("f8").reshape(-1, *SHAPE)
    expected = reference.forward(weights, frames, **given)
    assert expected.shape[1:] == conv.output_shape
    output, backward = conv.forward(x, lengths)
    assert_close(output[~padding], expected.reshape(len(frames), -1), dtype, "output")
    assert_same_bits(conv(x, lengths), output)
    d_output = rng.standard_normal(output.shape).astype(dtype)
    d_output[padding] = np.nan  # nobody may look at it
    d_x = backward(d_output)
    d_frames, grads = reference.backward(weights, frames, d_output[~padding].reshape(expected.shape), **given)
    assert_close(d_x[~padding], d_frames.reshape(len(frames), -1), dtype, "d_x")
    assert not output[padding].any() and not d_x[padding].any()
    for name, grad in grads.items():
        assert_close(conv.grads[name], grad, dtype, f"d_{name}")


@OVER_SETTINGS
def test_backward_matches_numeric_gradient(options, rng):
    conv = Conv2d(SHAPE, 3, dtype="float64", random_state=0, **options)
    x, lengths, padding = ragged_data(rng, 2, 3, conv.input_size)
    output, backward = conv.forward(x, lengths)
    d_output = rng.standard_normal(output.shape)
    for _ in range(2):  # gradients are added up
        d_x = conv.forward(x, lengths)[1](d_output)

    def loss():
        return float((conv(x, lengths) * d_output).sum())

    x[padding] = 0  # the differences there would be NaN
    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for name, grad in conv.grads.items():
        with conv.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(grad, 2 * expected, NUMERIC_TOLERANCE, f"d_{name}")


@DTYPES
@OVER_SETTINGS
def test_conv_agrees_with_torch(options, dtype, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
    options = {name: value for name, value in options.items() if name != "activation"}
    conv = Conv2d(SHAPE, 19, dtype=dtype, random_state=0, **options)
    x = rng.standard_normal((7, conv.input_size)).astype(dtype)
    given = [torch.tensor(array, requires_grad=True) for array in (x.reshape(-1, *SHAPE), *conv.params.values())]
    others = {name: value for name, value in options.items() if name in ("stride", "padding")}
    expected = torch.nn.functional.conv2d(*given, **others)
    output, backward = conv.forward(x)
    assert_close(output, expected.detach().numpy().reshape(7, -1), dtype, "output")
    d_output = rng.standard_normal(output.shape).astype(dtype)
    expected.backward(torch.tensor(d_output.reshape(expected.shape)))
    assert_close(backward(d_output), given[0].grad.numpy().reshape(7, -1), dtype, "d_x")
    for name, parameter in zip(conv.params, given[1:], strict=True):
        assert_close(conv.grads[name], parameter.grad.numpy(), dtype, f"d_{name}")


@DTYPES
@OVER_SETTINGS
def test_a_row_has_the_same_bits_alone_in_any_batch_with_any_threads_and_blocks(options, dtype, rng, monkeypatch):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)  # threads even for little work
    conv = Conv2d(SHAPE, 19, dtype=dtype, random_state=0, **options)
    x, lengths, padding = ragged_data(rng, 6, 5, conv.input_size, dtype)
    output, backward = conv.forward(x, lengths, n_threads=1)
    d_output = rng.standard_normal(output.shape).astype(dtype)
    d_x = backward(d_output)
    grads = {name: grad.copy() for name, grad in conv.grads.items()}
    for t, n in np.argwhere(~padding):
        alone, backward = conv.forward(x[t, n])
        assert_same_bits(alone, output[t, n], "output")
        assert_same_bits(backward(d_output[t, n]), d_x[t, n], "d_x")
    for n_threads, block_size in ((4, module.BLOCK_SIZE), (2, 400), (1, 1)):
        monkeypatch.setattr(module, "BLOCK_SIZE", block_size)
        again, backward = conv.forward(x, lengths, n_threads=n_threads)
        conv.zero_grad()
        assert_same_bits(again, output, "output in blocks")
        assert_same_bits(backward(d_output), d_x, "d_x in blocks")
        for name, grad in conv.grads.items():
            compare = assert_same_bits if n_threads == 4 else lambda a, b, name: assert_close(a, b, dtype, f"d_{name}")
            compare(grad, grads[name], name)


def test_nan_stays_in_the_pixels_that_read_it(rng):
    conv = Conv2d((1, 4, 4), 2, 2, random_state=0)
    x = rng.standard_normal((3, 16)).astype(np.float32)
    expected = conv(x)
    x[1, 0] = np.nan
    touched = np.isnan(conv(x)).reshape(3, 2, 3, 3)
    assert touched[1, :, 0, 0].all() and touched.sum() == 2
    assert_same_bits(conv(x)[[0, 2]], expected[[0, 2]])


def test_convolutions_stand_before_a_recurrent_layer(rng):
    first = Conv2d((1, 6, 6), 3, 3, padding=1, activation="relu", dtype="float64", random_state=0)
    second = Conv2d(first.output_shape, 2, (3, 2), stride=2, dtype="float64", random_state=1)
    assert second.output_shape == (2, 2, 3) and second.input_size == first.output_size == 108
    network = Sequential(
        first, second, GRU(12, 4, dtype="float64", random_state=2), Pool("last"), Dense(4, 2, dtype="float64")
    )
    x, lengths, padding = ragged_data(rng, 3, 3, 36)
    (output, _), backward = network.forward(x, lengths=lengths)
    d_output = rng.standard_normal(output.shape)
    d_x, _ = backward(d_output)
    for n, length in enumerate(lengths):
        assert_same_bits(network(x[:length, n : n + 1])[0][0], output[n])

    def loss():
        return float((network(x, lengths=lengths)[0] * d_output).sum())

    x[padding] = 0  # the differences there would be NaN
    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        with network.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(network.grads[name], expected, NUMERIC_TOLERANCE, f"d_{name}")


def test_a_stepper_takes_the_same_steps(rng):
    network = Sequential(Conv2d((1, 4, 4), 2, 2, activation="tanh", random_state=0), GRU(18, 3, random_state=1))
    x = rng.standard_normal((5, 2, 16)).astype(np.float32)
    expected, stepper = network(x)[0], network.stepper(2)
    with network.updating() as params:
        params["0.weight"] += 1  # a stepper keeps its weights
    for t in range(5):
        assert_same_bits(stepper.step(x[t]), expected[t])
    with pytest.raises(ValueError, match=r"x_t has shape \(2, 9\), expected \(batch_size, input_size\) = \(2, 16\)"):
        stepper.step(np.zeros((2, 9)))


@OVER_SETTINGS
@pytest.mark.parametrize("shape", [(0,), (0, 3), (4, 0)], ids=str)
def test_empty_sequences_and_batches_give_empty_outputs(shape, options):
    conv = Conv2d(SHAPE, 5, random_state=0, **options)
    output, backward = conv.forward(np.zeros((*shape, conv.input_size)))
    assert output.shape == (*shape, conv.output_size)
    assert backward(output).shape == (*shape, conv.input_size)
    assert not any(grad.any() for grad in conv.grads.values())


def test_rows_of_length_0_give_zeros_and_take_no_gradient():
    conv = Conv2d((1, 3, 3), 2, 2, random_state=0)
    output, backward = conv.forward(np.full((2, 3, 9), np.nan), [0, 0, 0])
    assert len(output) and not output.any() and not backward(np.ones_like(output)).any()
    assert not any(grad.any() for grad in conv.grads.values())


def test_a_backward_before_an_update_is_refused():
    conv = Conv2d((1, 3, 3), 2, 2, random_state=0)
    output, backward = conv.forward(np.ones((4, 9)))
    with conv.updating() as params:
        params["weight"] += 1
    with pytest.raises(RuntimeError, match="the parameters of this Conv2d have changed"):
        backward(output)
    output, backward = conv.forward(np.ones((4, 9)))
    backward(output)
    with pytest.raises(RuntimeError, match="this backward of a Conv2d was used before"):
        backward(output)


def test_initial_values_come_from_random_state():
    first, second = (Conv2d((4, 3, 3), 5, 2, random_state=3).params["weight"] for _ in range(2))
    assert_same_bits(first, second)
    assert 0.2 < np.abs(first).max() <= 0.25


@pytest.mark.parametrize(
    ("x", "lengths", "error", "message"),
    [
        (np.zeros((4, 2, 3)), None, ValueError, r"x has shape \(4, 2, 3\), expected \(..., input_size\) = \(..., 9\)"),
        (np.zeros((4, 2, 9), complex), None, TypeError, "x has dtype complex128, expected real numbers"),
        (np.zeros((4, 2, 9)), [1, 5], ValueError, r"lengths\[1\] is 5, expected 0 <= length <= seq_len = 4"),
    ],
)
def test_errors_name_the_argument(x, lengths, error, message):
    conv = Conv2d((1, 3, 3), 2, 2)
    for call in (conv, conv.forward):
        with pytest.raises(error, match=message):
            call(x, lengths)
    with pytest.raises(ValueError, match=r"d_output has shape \(4, 9\), expected the shape of output, \(4, 8\)"):
        conv.forward(np.zeros((4, 9)))[1](np.zeros((4, 9)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"input_shape": (3, 3)}, ValueError, r"input_shape is \(3, 3\), expected \(channels, height, width\)"),
        ({"input_shape": 9}, ValueError, r"input_shape is 9, expected \(channels, height, width\)"),
        ({"input_shape": (1, 0, 3)}, ValueError, r"input_shape\[1\] is 0, expected an integer >= 1"),
        ({"output_channels": 0}, ValueError, "output_channels is 0, expected an integer >= 1"),
        ({"kernel_size": 0}, ValueError, "kernel_size is 0, expected an integer >= 1"),
        ({"kernel_size": (2, 2, 2)}, ValueError, r"kernel_size is \(2, 2, 2\), expected one integer or two"),
        ({"kernel_size": (2, 1.5)}, TypeError, r"kernel_size\[1\] is 1.5"),
        ({"kernel_size": (2, 4)}, ValueError, r"kernel_size is \(2, 4\), expected at most width \+ 2 \* padding = 3"),
        ({"stride": 0}, ValueError, "stride is 0, expected an integer >= 1"),
        ({"padding": "same"}, TypeError, "padding is 'same'"),
        ({"padding": (0, -1)}, ValueError, r"padding\[1\] is -1, expected an integer >= 0"),
        ({"activation": "elu"}, ValueError, "activation is 'elu', expected one of None, 'relu'"),
    ],
)
def test_wrong_settings_are_named(options, error, message):
    with pytest.raises(error, match=message):
        Conv2d(**{"input_shape": (1, 3, 3), "output_channels": 2, "kernel_size": 2} | options)


def test_a_saved_convolution_computes_the_same(tmp_path, rng):
    conv = Conv2d((2, 5, 4), 3, (3, 2), (2, 1), padding=(1, 0), activation="tanh", random_state=0)
    fastrnn.save(conv, tmp_path / "conv")
    found = fastrnn.load(tmp_path / "conv")
    x = rng.standard_normal((3, 40))
    assert repr(found) == repr(conv) == "Conv2d((2, 5, 4), 3, (3, 2), stride=(2, 1), padding=(1, 0), activation='tanh')"
    assert_same_bits(found(x), conv(x))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_shape": [1, 3]}, r"input_shape of a Conv2d is \[1, 3\], expected a list of three sizes"),
        ({"input_shape": [1, 3, 0]}, r"input_shape\[2\] is 0, expected an integer >= 1"),
        ({"kernel_size": [2]}, r"kernel_size is \(2,\), expected one integer or two"),
        ({"kernel_size": "2"}, "kernel_size of a Conv2d is '2', expected a size or a list of sizes"),
        ({"padding": "same"}, "padding is 'same'"),
        ({"stride": [1, 1.5]}, "stride of a Conv2d is"),
        ({"output_channels": 10**9}, "weight is float32 of shape"),
    ],
)
def test_made_up_files_are_refused(changes, message, tmp_path):
    conv = Conv2d((1, 3, 3), 2, 2)
    config = {"input_shape": [1, 3, 3], "output_channels": 2, "kernel_size": 2} | changes
    forge(tmp_path / "file", {"class": "Conv2d", "config": config}, conv.state_dict())
    with pytest.raises(FileFormatError, match=message):
        fastrnn.load(tmp_path / "file")
