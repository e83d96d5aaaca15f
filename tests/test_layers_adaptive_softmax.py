"""AdaptiveSoftmax: log probabilities of all classes, and a loss that looks at those that occur."""

import numpy as np
import pytest
from cases import (
    NUMERIC_TOLERANCE,
    assert_all_close,
    assert_close,
    assert_near,
    assert_same_bits,
    numeric_gradient,
    ragged_lengths,
)
from storage_cases import forge

import fastrnn
from fastrnn import _threads
from fastrnn.layers import LSTM, AdaptiveSoftmax, Embedding, Sequential
from fastrnn.losses import softmax_cross_entropy
from fastrnn.reference import adaptive_softmax as reference
from fastrnn.storage import FileFormatError

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SETTINGS = {
    "two clusters": {"input_size": 18, "n_classes": 40, "cutoffs": [5, 17]},
    "bias": {"input_size": 7, "n_classes": 12, "cutoffs": [3, 4, 9], "div_value": 1.5, "bias": True},
    "one cluster": {"input_size": 9, "n_classes": 6, "cutoffs": (1,), "div_value": 1, "bias": True},
}
OVER_SETTINGS = pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)


def head_and_rows(options, rng, dtype="float64", rows=(11,)):
    """A head with weights that matter, input, and targets in all clusters but the last of several."""
    head = AdaptiveSoftmax(dtype=dtype, random_state=0, **options)
    with head.updating() as params:
        for name in params:
            params[name] *= 3
    last = options["cutoffs"][-1] if len(options["cutoffs"]) > 1 else options["n_classes"]
    target = rng.integers(0, last, rows)
    target.flat[:2] = 0, last - 1
    return head, rng.standard_normal((*rows, options["input_size"])).astype(dtype), target


def reference_params(head):
    return {name: array.astype("f8") for name, array in head.params.items()}


def gradients(head):
    return {f"d_{name}": grad.copy() for name, grad in head.grads.items()}


@DTYPES
@OVER_SETTINGS
def test_log_probabilities_and_gradients_agree_with_the_reference(options, dtype, rng):
    head, x, _ = head_and_rows(options, rng, dtype)
    params = reference_params(head)
    output, backward = head.forward(x)
    assert_close(output, reference.forward(params, x.astype("f8"), options["cutoffs"]), dtype, "output")
    assert_same_bits(head(x), output)
    assert_near(np.exp(output).sum(-1), np.ones(len(x)), 1e-5 if dtype == "float32" else 1e-13, "sum")
    d_output = rng.standard_normal(output.shape).astype(dtype)
    d_x = backward(d_output)
    expected_d_x, grads = reference.backward(params, x.astype("f8"), options["cutoffs"], d_output.astype("f8"))
    assert_close(d_x, expected_d_x, dtype, "d_x")
    assert_all_close(gradients(head), {f"d_{name}": grad for name, grad in grads.items()}, dtype)


@DTYPES
@OVER_SETTINGS
def test_the_loss_and_its_gradients_agree_with_the_reference(options, dtype, rng):
    head, x, target = head_and_rows(options, rng, dtype)
    params, weight = reference_params(head), rng.uniform(0.5, 2, len(x))
    weight[3], x[3] = 0, np.nan  # nobody may look at it
    used = weight > 0
    value, d_x = head.loss(x, target, weight)
    given = params, x[used].astype("f8"), options["cutoffs"]
    expected, d_log_p = reference.loss(*given, target[used], weight[used])
    expected_d_x, grads = reference.backward(*given, d_log_p)
    assert isinstance(value, float)
    assert_near(np.array(value), np.array(expected), 1e-6 if dtype == "float32" else 1e-14, "value")
    assert_close(d_x[used], expected_d_x, dtype, "d_x")
    assert not d_x[3].any()
    assert_all_close(gradients(head), {f"d_{name}": grad for name, grad in grads.items()}, dtype)


@OVER_SETTINGS
def test_the_loss_is_that_of_the_log_probabilities(options, rng):
    head, x, target = head_and_rows(options, rng, rows=(4, 3))
    weight = rng.uniform(0, 2, target.shape)
    for w in (None, weight):
        head.zero_grad()
        log_p, backward = head.forward(x)
        expected, d_log_p = softmax_cross_entropy(log_p, target, w)  # the softmax of log p is p: the same loss
        expected_d_x, expected_grads = backward(d_log_p), gradients(head)
        head.zero_grad()
        value, d_x = head.loss(x, target, w)
        assert d_x.shape == x.shape
        assert_near(np.array(value), np.array(expected), 1e-13, "value")
        assert_near(d_x, expected_d_x, 1e-13, "d_x")
        for name, grad in gradients(head).items():
            assert_near(grad, expected_grads[name], 1e-13, name)


@OVER_SETTINGS
def test_gradients_of_the_loss_match_numeric_ones(options, rng):
    head, x, target = head_and_rows(options, rng)
    weight = rng.uniform(0.5, 2, len(x))
    for _ in range(2):  # gradients are added up
        _, d_x = head.loss(x, target, weight)
    grads = gradients(head)

    def loss():
        return head.loss(x, target, weight)[0]

    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for name in head.params:
        with head.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(grads[f"d_{name}"], 2 * expected, NUMERIC_TOLERANCE, name)
    if len(options["cutoffs"]) > 1:
        assert not grads[f"d_tail.{len(options['cutoffs']) - 1}.1.weight"].any()  # that cluster did not occur


@OVER_SETTINGS
def test_backward_of_ragged_sequences_matches_numeric_gradient(options, rng):
    head, x, _ = head_and_rows(options, rng, rows=(3, 4))
    lengths = ragged_lengths(rng, 4, 3)
    padding = np.arange(3)[:, None] >= lengths
    x[padding] = np.nan
    output, backward = head.forward(x, lengths)
    d_output = rng.standard_normal(output.shape)
    used = np.where(padding[..., None], 0, d_output)
    d_output[padding] = np.nan  # nobody may look at it
    d_x = backward(d_output)
    assert not output[padding].any() and not d_x[padding].any()
    x[padding] = 0  # the differences there would be NaN

    def loss():
        return float((head(x, lengths) * used).sum())

    assert_near(d_x, numeric_gradient(loss, x), NUMERIC_TOLERANCE, "d_x")
    for name, grad in head.grads.items():
        with head.updating() as params:
            expected = numeric_gradient(loss, params[name])
        assert_near(grad, expected, NUMERIC_TOLERANCE, f"d_{name}")


@DTYPES
@OVER_SETTINGS
def test_everything_agrees_with_torch(options, dtype, rng):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install fastrnn[peers]")
    head, x, target = head_and_rows(options, rng, dtype)
    sizes = options["input_size"], options["n_classes"], list(options["cutoffs"]), options.get("div_value", 4.0)
    twin = torch.nn.AdaptiveLogSoftmaxWithLoss(
        *sizes, head_bias=options.get("bias", False), dtype=getattr(torch, dtype)
    )
    twin.load_state_dict({name: torch.tensor(array) for name, array in head.params.items()})
    x_torch = torch.tensor(x, requires_grad=True)
    expected = twin(x_torch, torch.tensor(target)).loss
    expected.backward()
    value, d_x = head.loss(x, target)
    assert_near(np.array(value), expected.detach().numpy(), 1e-6 if dtype == "float32" else 1e-14, "value")
    assert_close(d_x, x_torch.grad.numpy(), dtype, "d_x")
    for name, parameter in twin.named_parameters():
        grad = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad.numpy()
        assert_close(head.grads[name], grad, dtype, f"d_{name}")
    assert_close(head(x), twin.log_prob(torch.tensor(x)).detach().numpy(), dtype, "log p")


@DTYPES
def test_a_row_has_the_same_bits_alone_in_any_batch_and_with_any_threads(dtype, rng, monkeypatch):
    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1)  # threads even for little work
    options = {"input_size": 33, "n_classes": 170, "cutoffs": [19, 60], "bias": True}
    head, x, target = head_and_rows(options, rng, dtype, rows=(21,))
    results = []
    for n_threads in (1, 2, 4):
        head.zero_grad()
        output, backward = head.forward(x, n_threads=n_threads)
        d_output = np.sin(output)
        d_x = backward(d_output)
        for n in range(len(x)):
            alone, backward = head.forward(x[n : n + 1])
            assert_same_bits(alone[0], output[n], "output")
            assert_same_bits(backward(d_output[n : n + 1])[0], d_x[n], "d_x")
        head.zero_grad()
        value, d_x = head.loss(x, target, n_threads=n_threads)
        results.append({"value": np.array(value), "d_x": d_x} | gradients(head))
    for result in results[1:]:
        for name, array in result.items():
            assert_same_bits(array, results[0][name], name)


@DTYPES
def test_large_scores_neither_overflow_nor_lose_the_rest(dtype):
    head = AdaptiveSoftmax(4, 6, [2, 4], div_value=1, dtype=dtype)
    head.load_state_dict({name: np.full(array.shape, 1e3) for name, array in head.params.items()})
    log_p = head(np.ones((1, 4)))
    assert_near(np.exp(log_p[0].astype("f8")), np.array([1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 8]), 1e-6, "p")
    value, d_x = head.loss(np.ones((1, 4)), [5])
    assert value == pytest.approx(np.log(8), rel=1e-6) and np.isfinite(d_x).all()


def test_nan_stays_in_its_row(rng):
    head, x, _ = head_and_rows(SETTINGS["two clusters"], rng, "float32")
    expected = head(x)
    x[4, 2] = np.nan
    output = head(x)
    assert np.isnan(output[4]).all()
    assert_same_bits(np.delete(output, 4, 0), np.delete(expected, 4, 0))


def test_a_network_ends_in_it_and_streams(rng):
    network = Sequential(
        Embedding(20, 6, random_state=0),
        LSTM(6, 8, random_state=1),
        AdaptiveSoftmax(8, 20, [4], bias=True, random_state=2),
    )
    tokens = rng.integers(0, 20, (5, 3))
    expected, _ = network(tokens)
    assert list(network.params)[-4:] == [
        f"2.{n}" for n in ("head.weight", "head.bias", "tail.0.0.weight", "tail.0.1.weight")
    ]
    stepper = network.stepper(3)
    with network.updating() as params:
        params["2.tail.0.1.weight"] += 1  # a stepper keeps its weights
    for t in range(5):
        assert_same_bits(stepper.step(tokens[t]), expected[t])


def test_no_rows_cost_nothing_and_a_mean_of_no_weight_is_refused():
    head = AdaptiveSoftmax(4, 6, [2])
    value, d_x = head.loss(np.zeros((0, 3, 4)), np.zeros((0, 3), int))
    assert value == 0.0 and d_x.shape == (0, 3, 4)
    output, backward = head.forward(np.zeros((3, 0, 4)))
    assert output.shape == (3, 0, 6) and backward(output).shape == (3, 0, 4)
    assert not any(grad.any() for grad in head.grads.values())
    with pytest.raises(ValueError, match="sample_weight sums to 0.0, expected a sum > 0"):
        head.loss(np.zeros((2, 4)), [0, 1], [0, 0])


def test_an_update_shows_in_the_next_loss_and_refuses_a_backward_of_before(rng):
    head, x, target = head_and_rows(SETTINGS["two clusters"], rng)
    before, (output, backward) = head.loss(x, target)[0], head.forward(x)
    with head.updating() as params:
        params["tail.0.1.weight"] *= 2
    assert head.loss(x, target)[0] != before
    with pytest.raises(RuntimeError, match="parameters of this AdaptiveSoftmax have changed"):
        backward(output)


def test_a_saved_head_computes_the_same(tmp_path, rng):
    head, x, _ = head_and_rows(SETTINGS["bias"], rng)
    fastrnn.save(head, tmp_path / "head")
    found = fastrnn.load(tmp_path / "head")
    assert repr(found) == repr(head) == "AdaptiveSoftmax(7, 12, cutoffs=[3, 4, 9])"
    assert_same_bits(found(x), head(x))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cutoffs": 2}, "cutoffs of a AdaptiveSoftmax is 2, expected a list of sizes"),
        ({"cutoffs": [2, 2]}, r"cutoffs is \[2, 2\], expected at least one, rising"),
        ({"div_value": 0}, "div_value is 0, expected a number >= 1"),
        ({"div_value": "4"}, "div_value of a AdaptiveSoftmax is '4', expected a number"),
        ({"input_size": 10**400}, "head.weight is float32 of shape"),
        ({"n_classes": 10**9}, "tail.0.1.weight is float32 of shape"),
    ],
)
def test_made_up_files_are_refused(changes, message, tmp_path):
    head = AdaptiveSoftmax(4, 6, [2])
    config = {"input_size": 4, "n_classes": 6, "cutoffs": [2]} | changes
    forge(tmp_path / "file", {"class": "AdaptiveSoftmax", "config": config}, head.state_dict())
    with pytest.raises(FileFormatError, match=message):
        fastrnn.load(tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size is 0, expected an integer >= 1"),
        ({"n_classes": 5}, ValueError, r"cutoffs is \[2, 5\], expected at least one, rising, and below n_classes = 5"),
        ({"cutoffs": []}, ValueError, r"cutoffs is \[\], expected at least one"),
        ({"cutoffs": [5, 2]}, ValueError, r"cutoffs is \[5, 2\], expected at least one, rising"),
        ({"cutoffs": [0, 2]}, ValueError, r"cutoffs\[0\] is 0, expected an integer >= 1"),
        ({"cutoffs": [1.5]}, TypeError, r"cutoffs\[0\] is 1.5"),
        ({"cutoffs": 3}, TypeError, "cutoffs is 3, expected a sequence of integers"),
        ({"cutoffs": iter([2])}, TypeError, "expected a sequence of integers"),  # which can be read once alone
        ({"div_value": 0.5}, ValueError, "div_value is 0.5, expected a number >= 1"),
        ({"div_value": float("nan")}, ValueError, "div_value is nan, expected a number >= 1"),
        ({"div_value": "4"}, TypeError, "div_value is '4', expected a number >= 1"),
        ({"input_size": 15}, ValueError, r"cluster 1 has input_size // div_value \*\* 2 = 0 features, expected at"),
    ],
)
def test_wrong_settings_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        AdaptiveSoftmax(**{"input_size": 16, "n_classes": 9, "cutoffs": [2, 5]} | changes)


@pytest.mark.parametrize(
    ("x", "target", "weight", "error", "message"),
    [
        (
            np.zeros((2, 3)),
            [0, 1],
            None,
            ValueError,
            r"x has shape \(2, 3\), expected \(..., input_size\) = \(..., 4\)",
        ),
        (np.zeros((2, 4)), [0], None, ValueError, r"target has shape \(1,\), expected x.shape\[:-1\] = \(2,\)"),
        (np.zeros((2, 4)), [0.0, 1.0], None, TypeError, "target has dtype float64, expected integers"),
        (np.zeros((2, 4)), [0, 6], None, ValueError, "from 0 to 6, expected 0 <= target < n_classes = 6"),
        (np.zeros((2, 4)), [-1, 3], None, ValueError, "from -1 to 3, expected 0 <= target"),
        (np.zeros((2, 4)), [0, 1], [1], ValueError, r"sample_weight has shape \(1,\), expected \(2,\)"),
        (np.zeros((2, 4)), [0, 1], [1, -1], ValueError, "sample_weight holds a negative number"),
    ],
)
def test_errors_of_the_loss_name_the_argument(x, target, weight, error, message):
    head = AdaptiveSoftmax(4, 6, [2])
    with pytest.raises(error, match=message):
        head.loss(x, target, weight)
    assert not any(grad.any() for grad in head.grads.values())
