"""A layer over time: versions, one backward each, state dicts, weights owned elsewhere, several callers at once."""

import copy
import pickle
import threading

import numpy as np
import pytest
from cases import (
    DTYPES,
    ENGINES,
    Case,
    assert_all_close,
    assert_all_same_bits,
    assert_same_bits,
    build,
    data,
    named,
    run_layer,
)
from cells import EACH

import fastrnn


def shift(layer):
    """Change every parameter."""
    with layer.updating() as params:
        for w in params.values():
            w += 0.5


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
def test_second_backward_of_a_forward_is_refused(cell, engine):
    case = Case(cell, engine=engine, num_layers=2)
    layer, given = build(case), data(case)
    _, backward = layer.forward(*given.arguments)
    backward(given.d_output, given.d_state_n)
    grads = {name: grad.copy() for name, grad in layer.grads.items()}
    with pytest.raises(RuntimeError, match="used before"):
        backward(given.d_output, given.d_state_n)
    assert_all_same_bits(layer.grads, grads)


@pytest.mark.parametrize("cell", EACH)
def test_backward_after_an_update_is_refused(cell):
    case = Case(cell)
    layer, given = build(case), data(case)
    for change in (lambda: layer.load_state_dict(layer.state_dict()), lambda: shift(layer)):
        _, backward = layer.forward(*given.arguments)
        change()
        with pytest.raises(RuntimeError, match="parameters .* have changed"):
            backward(given.d_output, given.d_state_n)
    assert not any(grad.any() for grad in layer.grads.values())
    _, backward = layer.forward(*given.arguments)
    backward(given.d_output, given.d_state_n)
    assert all(grad.any() for grad in layer.grads.values())


def test_version_moves_also_when_an_update_fails():
    case = Case("lstm")
    layer, given = build(case), data(case)
    _, backward = layer.forward(*given.arguments)
    with pytest.raises(ZeroDivisionError), layer.updating() as params:
        params["weight_ih_l0"][...] = 0.0
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="have changed"):
        backward(given.d_output)
    assert not layer.params["weight_ih_l0"].any()
    twin = build(case)
    twin.load_state_dict(layer.state_dict())
    assert_all_same_bits(run_layer(layer, given), run_layer(twin, given))


@pytest.mark.parametrize("cell", EACH)
def test_two_forwards_may_wait_for_their_backwards(cell):
    """In any order: neither uses the buffers of the other."""
    case = Case(cell, num_layers=2)
    layer, given, other = build(case), data(case), data(Case(cell, num_layers=2, seq_len=3, batch_size=2))
    expected = run_layer(layer, given)
    _, backward = layer.forward(*given.arguments)
    _, other_backward = layer.forward(*other.arguments)
    layer(*other.arguments)
    other_backward(other.d_output, other.d_state_n)
    d_x, d_state_0 = backward(given.d_output, given.d_state_n)
    for name, value in {"d_x": d_x, **named("d_state_0", d_state_0)}.items():
        assert_same_bits(value, expected[name], name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", EACH)
def test_state_dict_round_trip_changes_no_bit(cell, dtype):
    case = Case(cell, dtype, num_layers=2, bidirectional=True)
    layer, given = build(case), data(case)
    expected, weights = run_layer(layer, given), layer.state_dict()
    shift(layer)
    assert not np.array_equal(run_layer(layer, given)["output"], expected["output"])
    layer.load_state_dict(weights)
    assert_all_same_bits(run_layer(layer, given), expected)
    for w in weights.values():
        w[...] = 0.0  # a dict of copies: nothing that the layer holds
    assert_all_same_bits(run_layer(layer, given), expected)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_all_same_bits(run_layer(twin, given), expected)


def test_state_dict_is_converted_to_the_dtype_of_the_layer():
    case = Case("gru-after", "float32")
    layer, given = build(case), data(case)
    expected = run_layer(layer, given)
    layer.load_state_dict({name: w.astype("float64") for name, w in layer.state_dict().items()})
    assert_all_same_bits(run_layer(layer, given), expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
def test_bound_weights_are_used_as_they_are_at_each_call(cell, engine):
    case = Case(cell, engine=engine)
    layer, twin, given = build(case), build(case), data(case)
    owned = {name: np.asfortranarray(w) for name, w in layer.state_dict().items()}
    layer.bind(owned)
    assert_all_same_bits(run_layer(layer, given), run_layer(twin, given))
    for w in owned.values():
        w *= 0.5
    twin.load_state_dict(owned)
    assert_all_same_bits(run_layer(layer, given), run_layer(twin, given))


def test_version_of_bound_weights_is_asked_once_a_call_and_says_when_to_read_them_again():
    case = Case("lstm")
    layer, given, asked, version = build(case), data(case), [], [0]
    owned = layer.state_dict()

    def ask():
        asked.append(version[0])
        return version[0]

    layer.bind(owned, version=ask)
    before, _ = layer(given.x)
    asked.clear()
    owned["weight_hh_l0"] *= 0.5
    assert_same_bits(layer(given.x)[0], before)  # the owner said nothing
    assert len(asked) == 1
    version[0] = 1
    assert not np.array_equal(layer(given.x)[0], before)
    with pytest.raises(TypeError, match="float32"):
        layer.bind({name: w.astype("float32") for name, w in owned.items()})


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_random_state_decides_the_first_weights(kind):
    def weights(seed, **options):
        return getattr(fastrnn, kind)(5, 20, 2, random_state=seed, **options).state_dict()

    assert_all_same_bits(weights(1), weights(1))
    assert_all_same_bits(weights(np.random.default_rng(1)), weights(np.random.default_rng(1)))
    for name, w in weights(1).items():
        assert not np.array_equal(w, weights(2)[name]), name
        assert w.dtype == "float32"
        assert np.unique(w).size > 0.9 * w.size
    assert all(w.dtype == "float64" for w in weights(1, dtype="float64").values())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
def test_calls_from_four_python_threads_at_once_give_what_each_gives_alone(cell, engine, exact_threads):
    """The first of them packs the weights while the others already ask for them."""
    case = Case(cell, "float32", engine, ragged=True, num_layers=2, hidden_size=37)
    layer, twin = build(case), build(case)
    given = [data(Case(**vars(case) | {"batch_size": n, "seq_len": 4 + n})) for n in (3, 5, 7, 9)]
    expected = [run_forward(twin, g, 1) for g in given]
    barrier, results = threading.Barrier(4), [[] for _ in given]

    def work(k):
        barrier.wait(30)
        for repeat in range(5):
            results[k].append(run_forward(layer, given[k], 1 + (k + repeat) % 2))

    threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for k, found in enumerate(results):
        assert len(found) == 5
        for result in found:
            if engine == "native":
                assert_all_same_bits(result, expected[k])
            else:
                assert_all_close(result, expected[k], "float32")


def run_forward(layer, given, n_threads):
    """Inference and training forward; not backward, which adds into the gradients of the layer."""
    output, state_n = layer(*given.arguments, n_threads=n_threads)
    (output_2, state_2), _ = layer.forward(*given.arguments, n_threads=n_threads)
    states = {**named("state_n", state_n), **named("forward state_n", state_2)}
    return {"output": output, "forward output": output_2, **states}
