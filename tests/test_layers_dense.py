"""Dense: values, bits that depend on a row alone, and everything that a caller can get wrong."""

import numpy as np
import pytest
from cases import NUMERIC_TOLERANCE, assert_near, assert_same_bits, numeric_gradient, ragged_lengths, run_script

import fastrnn
from fastrnn import _threads

ACTIVATIONS = {
    None: lambda y: y,
    "relu": lambda y: np.maximum(y, 0),
    "tanh": np.tanh,
    "sigmoid": lambda y: 1 / (1 + np.exp(-y)),
}
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@DTYPES
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_computes_its_equation(activation, dtype, rng):
    dense = fastrnn.Dense(33, 19, activation=activation, dtype=dtype, random_state=0)
    x = rng.standard_normal((4, 3, 33))
    params = {name: array.astype("float64") for name, array in dense.params.items()}
    expected = ACTIVATIONS[activation](x.astype(dtype).astype("float64") @ params["weight"].T + params["bias"])
    output = dense(x)
    assert output.dtype == dtype
    assert_near(output, expected, 1e-14 if dtype == "float64" else 1e-6, "output")
    assert_same_bits(dense.forward(x)[0], output)


@DTYPES
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("input_size", "output_size"), [(1, 1), (5, 3), (33, 17), (64, 130)])
def test_a_row_has_the_same_bits_alone_in_any_batch_and_with_any_threads(
    input_size, output_size, activation, dtype, rng, monkeypatch
):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)  # threads even for little work
    dense = fastrnn.Dense(input_size, output_size, activation=activation, dtype=dtype, random_state=0)
    x = rng.standard_normal((37, input_size)).astype(dtype)
    d_output = rng.standard_normal((37, output_size)).astype(dtype)

    def run(rows, n_threads):
        output, backward = dense.forward(x[rows], n_threads=n_threads)
        assert_same_bits(dense(x[rows], n_threads=n_threads), output)
        dense.zero_grad()
        return output, backward(
            d_output[rows],
        )

    alone = [run([n], 1) for n in range(37)]
    order = rng.permutation(37)
    for n_threads in (1, 2, 4):
        output, d_x = run(order, n_threads)
        for place, n in enumerate(order):
            assert_same_bits(output[place], alone[n][0][0], "output")
            assert_same_bits(d_x[place], alone[n][1][0], "d_x")


@DTYPES
def test_parameter_gradients_have_the_same_bits_with_any_threads(dtype, rng, monkeypatch):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)
    dense = fastrnn.Dense(33, 17, dtype=dtype, random_state=0)
    x, d_output = rng.standard_normal((41, 33)), rng.standard_normal((41, 17))
    results = []
    for n_threads in (1, 2, 4):
        dense.zero_grad()
        dense.forward(x, n_threads=n_threads)[1](d_output)
        results.append({name: grad.copy() for name, grad in dense.grads.items()})
    for result in results[1:]:
        for name, grad in result.items():
            assert_same_bits(grad, results[0][name], name)


@DTYPES
def test_padding_is_not_read_and_gives_zero(dtype, rng):
    dense = fastrnn.Dense(5, 3, activation="sigmoid", dtype=dtype, random_state=0)
    x = rng.standard_normal((6, 7, 5)).astype(dtype)
    lengths = ragged_lengths(rng, 7, 6)
    padding = np.arange(6)[:, None] >= lengths
    expected = np.where(padding[..., None], np.zeros((), dtype), dense(x))
    x[padding] = np.nan
    assert_same_bits(dense(x, lengths), expected)
    output, backward = dense.forward(x, lengths)
    d_output = np.ones_like(output)
    d_output[padding] = np.nan
    d_x = backward(d_output)
    assert_same_bits(output, expected)
    assert (d_x[padding] == 0).all() and np.isfinite(d_x).all()
    assert all(np.isfinite(grad).all() for grad in dense.grads.values())


def test_dense_of_ragged_sequences_is_dense_of_every_step_alone(rng):
    dense = fastrnn.Dense(5, 3, activation="tanh", dtype="float64", random_state=0)
    x, lengths = rng.standard_normal((4, 3, 5)), np.array([4, 0, 2])
    output, backward = dense.forward(x, lengths)
    d_output = rng.standard_normal(output.shape)
    d_x = backward(d_output)
    grads = {name: grad.copy() for name, grad in dense.grads.items()}
    for t, n in np.ndindex(4, 3):
        if t < lengths[n]:
            alone, backward = dense.forward(x[t, n])
            assert_same_bits(alone, output[t, n], "output")
            assert_same_bits(backward(d_output[t, n]), d_x[t, n], "d_x")
        else:
            assert not output[t, n].any() and not d_x[t, n].any()

    def loss():
        return float((dense(x, lengths) * d_output).sum())

    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for name, grad in grads.items():
        with dense.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(grad, expected, NUMERIC_TOLERANCE, f"d_{name}")


def test_nan_stays_in_its_row(rng):
    dense = fastrnn.Dense(5, 3, activation="relu", random_state=0)
    x = rng.standard_normal((9, 5)).astype(np.float32)
    expected = dense(x)
    x[4, 2] = np.nan
    output = dense(x)
    assert np.isnan(output[4]).all()
    assert_same_bits(np.delete(output, 4, 0), np.delete(expected, 4, 0))


@pytest.mark.parametrize("shape", [(5,), (0, 5), (2, 5), (0, 3, 5), (3, 0, 5), (2, 3, 4, 5)], ids=str)
def test_any_leading_axes_are_kept(shape):
    dense = fastrnn.Dense(5, 3, activation="tanh", random_state=0)
    output, backward = dense.forward(np.ones(shape))
    assert output.shape == (*shape[:-1], 3) and output.dtype == np.float32
    assert backward(np.ones_like(output)).shape == shape


def test_lengths_of_empty_batches_and_sequences():
    dense = fastrnn.Dense(5, 3, random_state=0)
    assert dense(np.zeros((4, 0, 5)), lengths=[]).shape == (4, 0, 3)
    assert not dense(np.full((0, 2, 5), np.nan), lengths=[0, 0]).any()
    assert not dense(np.full((2, 2, 5), np.nan), lengths=[0, 0]).any()


def test_any_layout_and_type_of_x_gives_the_same(rng):
    dense = fastrnn.Dense(5, 3, dtype="float64", random_state=0)
    x = rng.standard_normal((4, 5))
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.repeat(np.repeat(x, 2, 0), 2, 1)[::2, ::2]
    for given in (read_only, np.asfortranarray(x), wide, x.astype(">f8"), x.tolist()):
        assert_same_bits(dense(given), dense(x))


def test_x_is_never_changed_nor_returned(rng):
    x = rng.standard_normal((4, 5)).astype(np.float32)
    before = x.copy()
    for activation in ACTIVATIONS:
        dense = fastrnn.Dense(5, 5, activation=activation, random_state=0)
        output, backward = dense.forward(x)
        d_output = np.ones_like(output)
        d_x = backward(d_output)
        assert not any(np.shares_memory(x, a) for a in (output, d_x, dense(x)))
        assert (d_output == 1).all()
    assert_same_bits(x, before)


def test_initial_values_come_from_random_state():
    first, second = (fastrnn.Dense(16, 5, random_state=3) for _ in range(2))
    assert_same_bits(first.params["weight"], second.params["weight"])
    other = fastrnn.Dense(16, 5, random_state=4)
    assert not np.array_equal(first.params["weight"], other.params["weight"])
    assert all(np.abs(array).max() <= 0.25 for array in first.params.values())


@pytest.mark.parametrize(
    ("x", "lengths", "error", "message"),
    [
        (np.zeros((2, 4)), None, ValueError, r"x has shape \(2, 4\), expected \(..., input_size\) = \(..., 5\)"),
        (np.zeros(()), None, ValueError, r"x has shape \(\), expected \(..., input_size\)"),
        (np.zeros((2, 5), complex), None, TypeError, "x has dtype complex128, expected real numbers"),
        (np.full((2, 5), "a"), None, TypeError, "x has dtype <U1"),
        (np.full((2, 5), None), None, TypeError, "x has dtype object"),
        (np.zeros(5), [1], ValueError, r"x has shape \(5,\), expected \(seq_len, batch_size, ...\)"),
        (np.zeros((4, 2, 5)), [1, 5], ValueError, r"lengths\[1\] is 5, expected 0 <= length <= seq_len = 4"),
        (np.zeros((4, 2, 5)), [1.0, 2.0], TypeError, "lengths has dtype float64"),
    ],
)
def test_errors_name_the_argument_and_the_layer_goes_on(x, lengths, error, message):
    dense = fastrnn.Dense(5, 3, random_state=0)
    expected = dense(np.ones((2, 5)))
    for call in (dense, dense.forward):
        with pytest.raises(error, match=message):
            call(x, lengths)
    assert_same_bits(dense(np.ones((2, 5))), expected)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="input_size is 0, expected an integer >= 1"):
        fastrnn.Dense(0, 3)
    with pytest.raises(TypeError, match="output_size is 1.5"):
        fastrnn.Dense(3, 1.5)
    with pytest.raises(ValueError, match="activation is 'softplus', expected one of None, 'relu', 'tanh', 'sigmoid'"):
        fastrnn.Dense(3, 2, activation="softplus")
    with pytest.raises(ValueError, match="dtype is 'float16', expected 'float32' or 'float64'"):
        fastrnn.Dense(3, 2, dtype="float16")


def test_dense_works_in_a_forked_process():
    run_script(
        """
import os
if not hasattr(os, "fork"):
    raise SystemExit
import numpy as np
import fastrnn
from fastrnn import _threads
_threads.WORK_PER_THREAD = 1
dense = fastrnn.Dense(64, 64, random_state=0)
x = np.ones((256, 64), np.float32)
expected = dense(x, n_threads=4)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(dense(x, n_threads=4), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    )
