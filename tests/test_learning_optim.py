"""Optimisers: by hand for two steps, beside torch.optim for many, and the same bits every time."""

import math

import numpy as np
import pytest

from fastrnn.optim import (
    SGD,
    Adam,
    AdamW,
    RMSprop,
    add_l2,
    clip_by_global_norm,
    clip_by_value,
    global_norm,
)

OPTIMIZERS = {
    "sgd": SGD(0.1, momentum=0.0, nesterov=False),
    "momentum": SGD(0.1, momentum=0.9, nesterov=False),
    "nesterov": SGD(0.1, momentum=0.9, nesterov=True),
    "rmsprop": RMSprop(0.01),
    "adam": Adam(0.01),
    "adamw": AdamW(0.01, weight_decay=0.1),
}


def torch_twin(name, tensors):
    torch = pytest.importorskip("torch", reason="compares with torch.optim (extra: peers)")
    return {
        "sgd": lambda: torch.optim.SGD(tensors, 0.1),
        "momentum": lambda: torch.optim.SGD(tensors, 0.1, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD(tensors, 0.1, momentum=0.9, nesterov=True),
        "rmsprop": lambda: torch.optim.RMSprop(tensors, 0.01),
        "adam": lambda: torch.optim.Adam(tensors, 0.01),
        "adamw": lambda: torch.optim.AdamW(tensors, 0.01, weight_decay=0.1),
    }[name]()


def walk(optimizer, dtype, rng, steps=50, on_step=None):
    """Follow random gradients; return the parameters."""
    params = {"w": rng.standard_normal((4, 3)).astype(dtype), "b": rng.standard_normal(5).astype(dtype)}
    state = optimizer.init(params)
    for _ in range(steps):
        grads = {name: rng.standard_normal(p.shape).astype(dtype) for name, p in params.items()}
        optimizer.update(params, grads, state)
        if on_step:
            on_step(grads)
    return params


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps_agree_with_torch(name, dtype):
    torch = pytest.importorskip("torch", reason="compares with torch.optim (extra: peers)")
    start = walk(OPTIMIZERS[name], dtype, np.random.default_rng(1), steps=0)
    tensors = {key: torch.tensor(p, requires_grad=True) for key, p in start.items()}
    twin = torch_twin(name, list(tensors.values()))

    def step(grads):
        for key, g in grads.items():
            tensors[key].grad = torch.tensor(g)
        twin.step()

    ours = walk(OPTIMIZERS[name], dtype, np.random.default_rng(1), on_step=step)
    for key, p in ours.items():
        np.testing.assert_allclose(
            p, tensors[key].detach().numpy(), rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-6
        )


def two_steps(optimizer, w, g1, g2):
    params = {"w": np.array([[w]])}
    state = optimizer.init(params)
    for g in (g1, g2):
        optimizer.update(params, {"w": np.array([[g]])}, state)
    return float(params["w"][0, 0])


def test_two_steps_by_hand():
    w, g1, g2 = 1.0, 0.5, -2.0
    v1 = -0.1 * g1
    v2 = 0.9 * v1 - 0.1 * g2
    assert two_steps(OPTIMIZERS["momentum"], w, g1, g2) == pytest.approx(w + v1 + v2, rel=1e-14)
    nesterov = w + (0.9 * v1 - 0.1 * g1) + (0.9 * v2 - 0.1 * g2)
    assert two_steps(OPTIMIZERS["nesterov"], w, g1, g2) == pytest.approx(nesterov, rel=1e-14)
    s1 = 0.01 * g1**2
    s2 = 0.99 * s1 + 0.01 * g2**2
    rmsprop = w - 0.01 * g1 / (math.sqrt(s1) + 1e-8) - 0.01 * g2 / (math.sqrt(s2) + 1e-8)
    assert two_steps(OPTIMIZERS["rmsprop"], w, g1, g2) == pytest.approx(rmsprop, rel=1e-14)
    m2, u2 = 0.9 * 0.1 * g1 + 0.1 * g2, 0.999 * 0.001 * g1**2 + 0.001 * g2**2
    second = (m2 / (1 - 0.9**2)) / (math.sqrt(u2 / (1 - 0.999**2)) + 1e-8)
    first = g1 / (abs(g1) + 1e-8)
    assert two_steps(OPTIMIZERS["adam"], w, g1, g2) == pytest.approx(w - 0.01 * (first + second), rel=1e-12)
    decayed = (w * 0.999 - 0.01 * first) * 0.999 - 0.01 * second
    assert two_steps(OPTIMIZERS["adamw"], w, g1, g2) == pytest.approx(decayed, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_same_gradients_give_the_same_bits_in_place(name, dtype):
    first = walk(OPTIMIZERS[name], dtype, np.random.default_rng(2))
    second = walk(OPTIMIZERS[name], dtype, np.random.default_rng(2))
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])
        assert first[key].dtype == dtype


def test_learning_rate_of_one_step_can_be_given():
    params = {"w": np.ones(1)}
    OPTIMIZERS["sgd"].update(params, {"w": np.ones(1)}, OPTIMIZERS["sgd"].init(params), learning_rate=1.0)
    assert params["w"].tolist() == [0.0]


def test_adamw_can_spare_vectors():
    params = {"w": np.ones((1, 1)), "b": np.ones(1)}
    adamw = AdamW(0.5, weight_decay=0.5, decay_vectors=False)
    adamw.update(params, {"w": np.zeros((1, 1)), "b": np.zeros(1)}, adamw.init(params))
    assert params["w"].tolist() == [[0.75]] and params["b"].tolist() == [1.0]


def test_clipping_by_norm_scales_to_the_norm_and_leaves_small_gradients(rng):
    grads = {"w": 10 * rng.standard_normal((4, 3)), "b": 10 * rng.standard_normal(5)}
    before = {name: g.copy() for name, g in grads.items()}
    norm = clip_by_global_norm(grads, 2.0)
    assert norm == pytest.approx(math.sqrt(sum((g**2).sum() for g in before.values())), rel=1e-14)
    assert global_norm(grads) == pytest.approx(2.0, rel=1e-14)
    np.testing.assert_allclose(grads["w"], before["w"] * 2.0 / norm, rtol=1e-14)
    again = {name: g.copy() for name, g in grads.items()}
    clip_by_global_norm(grads, 3.0)
    for name in grads:
        np.testing.assert_array_equal(grads[name], again[name])


def test_norm_of_large_float32_does_not_overflow_and_nan_is_left_alone():
    assert global_norm({"w": np.full(4, 1e30, dtype=np.float32)}) == pytest.approx(2e30, rel=1e-6)
    grads = {"w": np.array([np.nan, 5.0])}
    assert math.isnan(clip_by_global_norm(grads, 1.0))
    assert grads["w"][1] == 5.0


def test_clipping_by_value_and_l2_work_in_place():
    grads = {"w": np.array([[-3.0, 0.5]]), "b": np.array([7.0])}
    clip_by_value(grads, 1.0)
    assert grads["w"].tolist() == [[-1.0, 0.5]] and grads["b"].tolist() == [1.0]
    value = add_l2({"w": np.array([[2.0, 4.0]]), "b": np.array([9.0])}, grads, 0.1)
    assert value == pytest.approx(0.05 * 20)
    np.testing.assert_allclose(grads["w"], [[-0.8, 0.9]])
    assert grads["b"].tolist() == [1.0]
