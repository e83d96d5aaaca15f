"""Optimisers against recurrences written down a second time in Python floats, and against torch.optim."""

import copy
import dataclasses
import math

import numpy as np
import pytest

from fastrnn.optim import SGD, Adam, AdamW, RMSprop, add_l2, clip_by_global_norm, clip_by_value, global_norm

N_STEPS = 7


def _plain_sgd(w, grads, lr, momentum, nesterov):
    """One weight after each gradient; the velocity is in units of the gradient, as torch has it."""
    buffer = 0.0
    for g in grads:
        buffer = momentum * buffer + g
        w = w - lr * (g + momentum * buffer if nesterov else buffer)
    return w


def _plain_rmsprop(w, grads, lr, decay, epsilon):
    square = 0.0
    for g in grads:
        square = decay * square + (1.0 - decay) * g * g
        w = w - lr * g / (math.sqrt(square) + epsilon)
    return w


def _plain_adam(w, grads, lr, beta_1, beta_2, epsilon, weight_decay=0.0):
    for t in range(1, len(grads) + 1):
        # the moments as weighted sums of all gradients so far, not as recurrences
        m = sum((1.0 - beta_1) * beta_1 ** (t - s) * grads[s - 1] for s in range(1, t + 1))
        v = sum((1.0 - beta_2) * beta_2 ** (t - s) * grads[s - 1] ** 2 for s in range(1, t + 1))
        m_hat, v_hat = m / (1.0 - beta_1**t), v / (1.0 - beta_2**t)
        w = w - lr * weight_decay * w - lr * m_hat / (math.sqrt(v_hat) + epsilon)
    return w


CASES = {
    "sgd": (SGD(0.1, momentum=0.0, nesterov=False), lambda w, g: _plain_sgd(w, g, 0.1, 0.0, False)),
    "momentum": (SGD(0.1, momentum=0.8, nesterov=False), lambda w, g: _plain_sgd(w, g, 0.1, 0.8, False)),
    "nesterov": (SGD(0.1, momentum=0.8, nesterov=True), lambda w, g: _plain_sgd(w, g, 0.1, 0.8, True)),
    "rmsprop": (RMSprop(0.05, decay=0.9, epsilon=1e-4), lambda w, g: _plain_rmsprop(w, g, 0.05, 0.9, 1e-4)),
    "rmsprop-defaults": (RMSprop(0.05), lambda w, g: _plain_rmsprop(w, g, 0.05, 0.99, 1e-8)),
    "adam": (Adam(0.05, 0.8, 0.95, 1e-4), lambda w, g: _plain_adam(w, g, 0.05, 0.8, 0.95, 1e-4)),
    "adam-defaults": (Adam(0.05), lambda w, g: _plain_adam(w, g, 0.05, 0.9, 0.999, 1e-8)),
    "adamw": (AdamW(0.05, 0.8, 0.95, 1e-4, 0.3), lambda w, g: _plain_adam(w, g, 0.05, 0.8, 0.95, 1e-4, 0.3)),
}


def _params(rng, dtype="float64"):
    return {"weight": rng.normal(size=(3, 2)).astype(dtype), "bias": rng.normal(size=3).astype(dtype)}


def _grads(rng, dtype="float64"):
    return [_params(rng, dtype) for _ in range(N_STEPS)]


def _run(optimizer, params, grads):
    params = {name: p.copy() for name, p in params.items()}
    state = optimizer.init(params)
    for step in grads:
        optimizer.update(params, step, state)
    return params


@pytest.mark.parametrize("case", CASES)
def test_several_steps_follow_the_written_formula(case, rng):
    optimizer, plain = CASES[case]
    start, grads = _params(rng), _grads(rng)
    end = _run(optimizer, start, grads)
    for name, p in start.items():
        for k in np.ndindex(*p.shape):
            expected = plain(float(p[k]), [float(g[name][k]) for g in grads])
            assert end[name][k] == pytest.approx(expected, rel=1e-11, abs=1e-12)


def _peer(torch, case, params):
    return {
        "sgd": lambda: torch.optim.SGD(params, lr=0.1),
        "momentum": lambda: torch.optim.SGD(params, lr=0.1, momentum=0.8),
        "nesterov": lambda: torch.optim.SGD(params, lr=0.1, momentum=0.8, nesterov=True),
        "rmsprop": lambda: torch.optim.RMSprop(params, lr=0.05, alpha=0.9, eps=1e-4),
        "rmsprop-defaults": lambda: torch.optim.RMSprop(params, lr=0.05),
        "adam": lambda: torch.optim.Adam(params, lr=0.05, betas=(0.8, 0.95), eps=1e-4),
        "adam-defaults": lambda: torch.optim.Adam(params, lr=0.05),
        "adamw": lambda: torch.optim.AdamW(params, lr=0.05, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.3),
    }[case]()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_several_steps_agree_with_torch(case, dtype, rng):
    torch = pytest.importorskip("torch", reason="compares with torch.optim")
    start, grads = _params(rng, dtype), _grads(rng, dtype)
    end = _run(CASES[case][0], start, grads)
    tensors = {name: torch.nn.Parameter(torch.tensor(p)) for name, p in start.items()}
    peer = _peer(torch, case, list(tensors.values()))
    for step in grads:
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(step[name])
        peer.step()
    for name, tensor in tensors.items():
        tolerance = 2e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(end[name], tensor.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_updates_happen_in_place_in_the_dtype_of_the_parameters_and_leave_gradients_alone(case, dtype, rng):
    optimizer = CASES[case][0]
    params, (grads, *_) = _params(rng, dtype), _grads(rng, dtype)
    kept, before = dict(params), copy.deepcopy(grads)
    state = optimizer.init(params)
    optimizer.update(params, grads, state)
    for name, p in params.items():
        assert p is kept[name] and p.dtype == np.dtype(dtype)
        assert np.array_equal(grads[name], before[name])
    for entry in state.values():
        if isinstance(entry, dict):
            assert all(a.dtype == np.dtype(dtype) for a in entry.values())


@pytest.mark.parametrize("case", CASES)
def test_a_stored_state_continues_bit_for_bit(case, rng):
    optimizer = CASES[case][0]
    start, grads = _params(rng), _grads(rng)
    whole = _run(optimizer, start, grads)
    params = {name: p.copy() for name, p in start.items()}
    state = optimizer.init(params)
    for step in grads[:3]:
        optimizer.update(params, step, state)
    state = copy.deepcopy(state)
    for step in grads[3:]:
        optimizer.update(params, step, state)
    assert all(np.array_equal(params[name], whole[name]) for name in whole)


@pytest.mark.parametrize("case", CASES)
def test_the_learning_rate_of_a_single_step_may_be_overridden(case, rng):
    optimizer = CASES[case][0]
    start, (grads, *_) = _params(rng), _grads(rng)
    for rate in (0.0, 0.7):
        params = copy.deepcopy(start)
        optimizer.update(params, grads, optimizer.init(params), learning_rate=rate)
        expected = _run(dataclasses.replace(optimizer, learning_rate=rate), start, [grads])
        assert all(np.array_equal(params[name], expected[name]) for name in params)
        assert (rate == 0.0) == all(np.array_equal(params[name], start[name]) for name in params)


@pytest.mark.parametrize("case", [case for case in CASES if case != "adamw"])
def test_zero_gradients_from_the_start_move_nothing(case, rng):
    params = _params(rng)
    zeros = {name: np.zeros_like(p) for name, p in params.items()}
    end = _run(CASES[case][0], params, [zeros] * 3)
    assert all(np.array_equal(end[name], params[name]) for name in params)


def test_adamw_can_leave_vectors_without_decay(rng):
    params = _params(rng)
    zeros = {name: np.zeros_like(p) for name, p in params.items()}
    end = _run(AdamW(0.5, weight_decay=0.5, decay_vectors=False), params, [zeros])
    np.testing.assert_allclose(end["weight"], 0.75 * params["weight"], rtol=1e-15)
    assert np.array_equal(end["bias"], params["bias"])


@pytest.mark.parametrize("case", CASES)
def test_every_optimizer_finds_the_bottom_of_a_bowl(case):
    optimizer = CASES[case][0]
    params = {"w": np.array([3.0, -2.0])}
    state = optimizer.init(params)
    for step in range(400):
        optimizer.update(params, {"w": params["w"] * [1.0, 4.0]}, state, 0.05 * 0.995**step)
    assert abs(params["w"]).max() < 0.02


def test_clipping_by_value_limits_each_element_in_place():
    g = np.array([-5.0, -0.5, 0.0, 0.5, np.inf])
    grads = {"w": g}
    clip_by_value(grads, 0.7)
    assert grads["w"] is g and g.tolist() == [-0.7, -0.5, 0.0, 0.5, 0.7]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipping_by_norm_keeps_the_direction_and_sets_the_common_norm(dtype, rng):
    grads = _params(rng, dtype)
    before = {name: g.astype("float64") for name, g in grads.items()}
    expected = math.sqrt(sum(float(v) ** 2 for g in before.values() for v in g.ravel()))
    norm = clip_by_global_norm(grads, 0.5 * expected)
    assert norm == pytest.approx(expected, rel=1e-14)
    assert global_norm(grads) == pytest.approx(0.5 * expected, rel=1e-6)
    for name, g in grads.items():
        assert g.dtype == np.dtype(dtype)
        np.testing.assert_allclose(g, 0.5 * before[name], rtol=1e-6)


def test_clipping_by_norm_leaves_small_and_zero_gradients_alone(rng):
    grads = _params(rng)
    before = copy.deepcopy(grads)
    clip_by_global_norm(grads, global_norm(grads))
    assert all(np.array_equal(grads[name], before[name]) for name in grads)
    zeros = {"w": np.zeros((2, 2), "float32"), "b": np.zeros(0, "float32")}
    with np.errstate(all="raise"):
        assert clip_by_global_norm(zeros, 1.0) == 0.0
    assert not zeros["w"].any()
    assert clip_by_global_norm({}, 1.0) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_is_told_and_changes_nothing(bad):
    grads = {"w": np.array([1.0, bad]), "b": np.array([2.0])}
    assert not math.isfinite(clip_by_global_norm(grads, 0.5))
    assert np.array_equal(grads["w"], [1.0, bad], equal_nan=True) and grads["b"].tolist() == [2.0]


def test_the_norm_of_large_float32_gradients_does_not_overflow():
    grads = {"w": np.array([3e30, 4e30], dtype="float32")}
    assert clip_by_global_norm(grads, 1.0) == pytest.approx(5e30, rel=1e-6)
    np.testing.assert_allclose(grads["w"], [0.6, 0.8], rtol=1e-6)


def test_clipping_by_norm_agrees_with_torch(rng):
    torch = pytest.importorskip("torch", reason="compares with torch.nn.utils")
    grads = _params(rng)
    tensors = []
    for g in grads.values():
        tensors.append(torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)))
        tensors[-1].grad = torch.tensor(g)
    peer = torch.nn.utils.clip_grad_norm_(tensors, 0.3).item()
    assert clip_by_global_norm(grads, 0.3) == pytest.approx(peer, rel=1e-12)
    for g, tensor in zip(grads.values(), tensors):  # torch adds 1e-6 to the norm
        np.testing.assert_allclose(g, tensor.grad.numpy(), rtol=1e-5)


def test_the_l2_penalty_counts_matrices_only():
    params = {"weight": np.array([[1.0, -2.0], [3.0, 0.0]]), "bias": np.array([5.0])}
    grads = {"weight": np.ones((2, 2)), "bias": np.ones(1)}
    assert add_l2(params, grads, 0.1) == pytest.approx(0.05 * 14.0)
    np.testing.assert_allclose(grads["weight"], [[1.1, 0.8], [1.3, 1.0]])
    assert grads["bias"].tolist() == [1.0]
