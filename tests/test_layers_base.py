"""Parameters, versions, packs, bindings: the contract of every layer, shown on Dense and on networks."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import assert_same_bits

import fastrnn


def dense(**keywords):
    return fastrnn.Dense(3, 2, random_state=0, **keywords)


def network():
    return fastrnn.Sequential(fastrnn.Dense(3, 4, random_state=0), fastrnn.Dropout(0.5), fastrnn.Dense(4, 2))


def outputs(layer, x):
    output = layer(x)
    return output[0] if isinstance(output, tuple) else output


BOTH = pytest.mark.parametrize("make", [dense, network])
X = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)


@BOTH
def test_params_are_read_only(make):
    layer = make()
    for array in layer.params.values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(TypeError):
        layer.params[next(iter(layer.params))] = 0


@BOTH
def test_state_dict_is_a_copy_and_loads_back(make):
    layer, other = make(), make()
    state = layer.state_dict()
    before = outputs(layer, X)
    for array in state.values():
        array += 1
    assert_same_bits(outputs(layer, X), before)
    other.load_state_dict(layer.state_dict())
    assert_same_bits(outputs(other, X), before)


@BOTH
def test_updating_makes_a_new_version_and_shows_in_the_next_call(make):
    layer = make()
    before, version = outputs(layer, X), layer.version
    with layer.updating() as params:
        for array in params.values():
            array *= 2
    assert layer.version != version
    assert not np.array_equal(outputs(layer, X), before)


@BOTH
def test_updating_takes_arrays_set_under_a_name(make):
    layer = make()
    name = next(iter(layer.params))
    with layer.updating() as params:
        params[name] = np.full(params[name].shape, 3)
    assert (layer.params[name] == 3).all()
    with pytest.raises(ValueError, match="has shape"), layer.updating() as params:
        params[name] = np.zeros(1)
    with pytest.raises(ValueError, match="unexpected 'new'"), layer.updating() as params:
        params["new"] = np.zeros(1)
    assert (layer.params[name] == 3).all()


@BOTH
def test_arrays_of_an_update_turn_read_only_at_its_end(make):
    layer = make()
    with layer.updating() as params:
        pass
    with pytest.raises(ValueError, match="read-only"):
        next(iter(params.values()))[...] = 0


@BOTH
def test_an_exception_inside_updating_still_makes_a_new_version(make):
    layer = make()
    before, version = outputs(layer, X), layer.version
    with pytest.raises(KeyError), layer.updating() as params:
        for array in params.values():
            array += 1
        raise KeyError
    assert layer.version != version
    assert not np.array_equal(outputs(layer, X), before)


def test_a_call_inside_updating_is_not_remembered():
    layer = dense()
    with layer.updating() as params:
        layer(X)
        params["weight"][...] = 0
        params["bias"][...] = 7
    assert (layer(X) == 7).all()


@BOTH
def test_backward_works_once(make):
    layer = make()
    _, backward = layer.forward(X, training=False)
    backward(np.ones((5, 2)))
    kept = {name: grad.copy() for name, grad in layer.grads.items()}
    with pytest.raises(RuntimeError, match="was used before"):
        backward(np.ones((5, 2)))
    for name, grad in layer.grads.items():
        assert_same_bits(grad, kept[name])


@BOTH
@pytest.mark.parametrize("inside", [False, True])
def test_backward_is_refused_after_an_update(make, inside):
    layer = make()
    _, backward = layer.forward(X, training=False)
    with layer.updating():
        if inside:
            with pytest.raises(RuntimeError, match="have changed since the forward"):
                backward(np.ones((5, 2)))
    with pytest.raises(RuntimeError, match="have changed since the forward"):
        backward(np.ones((5, 2)))
    assert not any(grad.any() for grad in layer.grads.values())


def test_backward_of_a_network_is_refused_after_an_update_of_any_layer():
    net = network()
    _, backward = net.forward(X, training=False)
    with net.layers[0].updating():
        pass
    with pytest.raises(RuntimeError, match="Dense have changed"):
        backward(np.ones((5, 2)))
    assert not any(grad.any() for grad in net.grads.values())


@BOTH
def test_backward_can_be_repeated_after_a_wrong_argument(make):
    layer = make()
    _, backward = layer.forward(X, training=False)
    with pytest.raises(ValueError, match=r"d_output has shape \(5, 3\), expected the shape of output, \(5, 2\)"):
        backward(np.ones((5, 3)))
    with pytest.raises(TypeError, match="d_output has dtype complex128"):
        backward(np.ones((5, 2), complex))
    backward(np.ones((5, 2)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.pop("bias"), ValueError, "state_dict lacks 'bias', expected the keys 'weight', 'bias'"),
        (lambda s: s.update(extra=0, more=0), ValueError, "state_dict has the unexpected 'extra', 'more', expected"),
        (
            lambda s: s.update(weight=np.zeros((3, 2)), bias=np.zeros(1)),
            ValueError,
            r"weight has shape \(3, 2\), expected \(2, 3\); bias has shape \(1,\), expected \(2,\)",
        ),
        (lambda s: s.update(bias=np.zeros(2, complex)), TypeError, r"state_dict\['bias'\] has dtype complex128"),
        (lambda s: s.update(bias=["a", "b"]), TypeError, r"state_dict\['bias'\] has dtype <U1"),
        (lambda s: s.update(bias=[None, None]), TypeError, r"state_dict\['bias'\] has dtype object"),
    ],
)
def test_load_state_dict_refuses_what_does_not_fit_and_changes_nothing(change, error, message):
    layer = dense()
    state, before = {name: array + 1 for name, array in layer.state_dict().items()}, layer(X)
    change(state)
    with pytest.raises(error, match=message):
        layer.load_state_dict(state)
    assert_same_bits(layer(X), before)


def test_load_state_dict_refuses_what_is_no_mapping():
    with pytest.raises(TypeError, match="state_dict is an object of type list, expected a mapping"):
        dense().load_state_dict([1, 2])


def test_load_state_dict_converts_types_and_takes_any_strides():
    layer = dense()
    weight = np.arange(6, dtype=">f8").reshape(3, 2).T
    layer.load_state_dict({"weight": weight, "bias": np.array([1, 2], np.int8)})
    assert layer.params["weight"].dtype == np.float32
    np.testing.assert_array_equal(layer.params["weight"], weight)


def test_packs_are_made_once_a_version(monkeypatch):
    layer, made = dense(), []
    monkeypatch.setattr(type(layer), "_make_pack", _counted(type(layer)._make_pack, made))
    for _ in range(3):
        layer(X)
        layer.forward(X)
    assert len(made) == 1
    with layer.updating():
        pass
    layer(X)
    assert len(made) == 2


def test_bound_weights_are_used_and_not_copied(monkeypatch):
    layer, made = dense(), []
    monkeypatch.setattr(type(layer), "_make_pack", _counted(type(layer)._make_pack, made))
    weight, bias = np.ones((3, 2), np.float32).T, np.zeros(2, np.float32)  # strided
    counter, asked = [0], []
    layer.bind({"weight": weight, "bias": bias}, version=lambda: asked.append(1) or counter[0])
    assert np.shares_memory(layer.params["weight"], weight)
    np.testing.assert_allclose(layer(X), np.repeat(X.sum(1, keepdims=True), 2, 1), atol=1e-6)
    layer(X)
    assert len(made) == 1 and len(asked) == 2  # once a call
    bias += 1
    counter[0] += 1
    np.testing.assert_allclose(layer(X), np.repeat(X.sum(1, keepdims=True), 2, 1) + 1, atol=1e-6)
    assert len(made) == 2


def test_bound_weights_without_a_version_are_read_in_every_call():
    layer = dense()
    weight, bias = np.ones((2, 3), np.float32), np.zeros(2, np.float32)
    layer.bind({"weight": weight, "bias": bias})
    layer(X)
    weight[...] = 0
    assert not layer(X).any()


def test_backward_is_refused_after_the_owner_of_bound_weights_changed_them():
    layer, counter = dense(), [0]
    layer.bind(layer.state_dict(), version=lambda: counter[0])
    _, backward = layer.forward(X)
    counter[0] += 1
    with pytest.raises(RuntimeError, match="have changed"):
        backward(np.ones((5, 2)))


def test_bind_to_read_only_memory_serves_and_refuses_updates(tmp_path):
    layer, state = dense(), dense().state_dict()
    np.save(tmp_path / "weight.npy", state["weight"])
    mapped = np.load(tmp_path / "weight.npy", mmap_mode="r")
    expected = layer(X)
    layer.bind({"weight": mapped, "bias": state["bias"]}, version=lambda: 0)
    assert_same_bits(layer(X), expected)
    with pytest.raises(ValueError, match="weight is bound to a read-only array"), layer.updating():
        pass
    with pytest.raises(ValueError, match="weight is bound to a read-only array"):
        layer.load_state_dict(state)


def test_bind_refuses_what_does_not_fit():
    layer, state = dense(), dense().state_dict()
    with pytest.raises(TypeError, match=r"arrays\['weight'\] has dtype float64, expected float32"):
        layer.bind({**state, "weight": state["weight"].astype("f8")})
    with pytest.raises(TypeError, match=r"arrays\['weight'\] has dtype >f4, expected float32"):
        layer.bind({**state, "weight": state["weight"].astype(">f4")})
    with pytest.raises(ValueError, match="lacks 'bias'"):
        layer.bind({"weight": state["weight"]})
    with pytest.raises(TypeError, match="version is 3, expected a callable"):
        layer.bind(state, version=3)


def test_bind_of_a_network_hands_each_layer_its_own():
    net = network()
    state = {name: np.zeros_like(array) for name, array in net.params.items()}
    net.bind(state)
    assert np.shares_memory(net.layers[2].params["weight"], state["2.weight"])
    state["2.bias"] += 3
    assert (net(X)[0] == 3).all()


@BOTH
def test_copies_and_pickles_own_their_weights(make):
    layer = make()
    expected = outputs(layer, X)
    twins = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    with layer.updating() as params:
        for array in params.values():
            array += 1
    for twin in twins:
        assert_same_bits(outputs(twin, X), expected)
        _, backward = twin.forward(X, training=False)
        backward(np.ones((5, 2)))
        with twin.updating() as params:
            for name, array in params.items():
                array -= twin.grads[name]
        assert not np.array_equal(outputs(twin, X), expected)


def test_a_bound_layer_can_be_pickled():
    layer = dense()
    layer.bind(layer.state_dict(), version=lambda: 0)
    assert_same_bits(pickle.loads(pickle.dumps(layer))(X), layer(X))


@BOTH
def test_concurrent_calls_give_what_calls_alone_give(make, rng):
    layer = make()
    inputs = [rng.standard_normal((7, 3)).astype(np.float32) for _ in range(64)]
    expected = [outputs(layer, x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            with layer.updating():
                pass  # so that the threads also race for the first pack
            for output, wanted in zip(pool.map(lambda x: outputs(layer, x), inputs), expected, strict=True):
                assert_same_bits(output, wanted)


def _counted(function, calls):
    def counted(*args):
        calls.append(1)
        return function(*args)

    return counted
