"""Input of every kind and size: memory layouts, types, empty axes, batch_first, unbatched sequences, dropout."""

import dataclasses

import numpy as np
import pytest
from cases import (
    DTYPES,
    ENGINES,
    NUMERIC_TOLERANCE,
    THREADS,
    Case,
    as_arrays,
    as_state,
    assert_all_close,
    assert_all_same_bits,
    assert_near,
    assert_same_bits,
    build,
    data,
    named,
    numeric_gradient,
    run_layer,
    run_reference,
)
from cells import EACH

import fastrnn


def strided(a):
    """Every second element along every axis of a larger array."""
    larger = np.full([2 * n for n in a.shape], -77, a.dtype)
    view = larger[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def misaligned(a):
    """The same values one byte off."""
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


LAYOUTS = {
    "read-only": read_only,
    "strided": strided,
    "reversed": lambda a: np.flip(np.flip(a).copy()),
    "fortran": np.asfortranarray,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "misaligned": misaligned,
    "subclass": lambda a: a.view(np.recarray),
    "list": lambda a: a.tolist(),
}


def convert(given, change):
    """`given` with every array of it changed by `change`."""
    return dataclasses.replace(
        given,
        x=change(given.x),
        state_0=as_state([change(a) for a in as_arrays(given.state_0)]),
        lengths=change(given.lengths),
        d_output=change(given.d_output),
        d_state_n=as_state([change(a) for a in as_arrays(given.d_state_n)]),
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
def test_memory_layout_of_the_input_changes_no_bit(cell, engine, layout):
    for dtype in DTYPES:
        case = Case(cell, dtype, engine, ragged=True, bidirectional=True)
        layer, given = build(case), data(case)
        assert_all_same_bits(run_layer(layer, convert(given, LAYOUTS[layout])), run_layer(layer, given))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layout_of_a_state_dict_changes_nothing(layout):
    case = Case("lstm-proj", "float32", bidirectional=True)
    layer, given = build(case), data(case)
    expected = run_layer(layer, given)
    weights = {name: LAYOUTS[layout](w) for name, w in layer.state_dict().items()}
    with layer.updating() as params:
        for w in params.values():
            w[...] = 0.0
    layer.load_state_dict(weights)
    assert_all_same_bits(run_layer(layer, given), expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
def test_arguments_are_not_changed(cell, engine):
    case = Case(cell, "float32", engine, ragged=True, num_layers=2)
    layer, given = build(case), data(case)
    kept = data(case)
    run_layer(layer, given)
    for name in ("x", "lengths", "d_output"):
        np.testing.assert_array_equal(getattr(given, name), getattr(kept, name), err_msg=name)
    for name in ("state_0", "d_state_n"):
        for a, b in zip(as_arrays(getattr(given, name)), as_arrays(getattr(kept, name)), strict=True):
            assert_same_bits(a, b, name)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("lengths", [None, [5, 0, 1, 0, 3, 5, 2], [0] * 7], ids=["none", "ragged", "zeros"])
def test_results_share_memory_with_nothing(engine, lengths):
    for cell in EACH:
        case = Case(cell, engine=engine)
        layer, given = build(case), data(case)
        output, state_n = layer(given.x, given.state_0, lengths)
        (output_2, state_2), backward = layer.forward(given.x, given.state_0, lengths)
        d_x, d_state_0 = backward(given.d_output, given.d_state_n)
        arrays = [given.x, given.d_output, output, output_2, d_x]
        for state in (given.state_0, given.d_state_n, state_n, state_2, d_state_0):
            arrays += as_arrays(state)
        arrays += [*layer.params.values(), *layer.grads.values()]
        for k, a in enumerate(arrays):
            assert not any(np.shares_memory(a, b) for b in arrays[:k])


@pytest.mark.parametrize("kind", ["int8", "uint16", "int64", "bool", "float16", "float32", "float64", "longdouble"])
def test_real_numbers_of_any_type_are_converted(kind):
    for dtype in DTYPES:
        case = Case("gru-after", dtype)
        layer, given = build(case), data(case)
        x = np.abs(3 * given.x).astype(kind)
        expected, _ = layer(x.astype(dtype))
        output, _ = layer(x)
        assert_same_bits(output, expected)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "uint64", ">i4"])
def test_lengths_of_any_integer_type_are_accepted(kind):
    case = Case("lstm", ragged=True)
    layer, given = build(case), data(case)
    expected = run_layer(layer, given)
    assert_all_same_bits(run_layer(layer, dataclasses.replace(given, lengths=given.lengths.astype(kind))), expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
@pytest.mark.parametrize("seq_len, batch_size", [(0, 3), (4, 0), (0, 0)], ids=["T0", "N0", "T0-N0"])
def test_empty_axes_are_valid(cell, engine, seq_len, batch_size, exact_threads):
    for ragged in (False, True):
        sizes = {"seq_len": seq_len, "batch_size": batch_size, "num_layers": 2, "bidirectional": True}
        case = Case(cell, "float32", engine, **sizes)
        layer, given = build(case), data(case)
        given.lengths = np.full(batch_size, seq_len) if ragged else None
        for n_threads in THREADS:
            results = run_layer(layer, given, n_threads=n_threads)
            assert results["output"].shape == (seq_len, batch_size, 2 * case.output_size)
            assert_all_close(results, run_reference(case, layer.params, given), "float32")
        for before, after in zip(as_arrays(given.state_0), as_arrays(layer(*given.arguments)[1]), strict=True):
            assert_same_bits(after, before)
    output, state_n = layer(given.x)
    assert not any(s.any() for s in as_arrays(state_n))


def test_empty_batch_accepts_an_empty_list_of_lengths():
    output, (h_n, c_n) = fastrnn.LSTM(3, 4)(np.zeros((5, 0, 3)), lengths=[])
    assert (output.shape, h_n.shape, c_n.shape) == ((5, 0, 4), (1, 0, 4), (1, 0, 4))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
def test_batch_first_swaps_the_first_two_axes_and_nothing_else(cell, engine):
    case = Case(cell, "float32", engine, ragged=True, num_layers=2, bidirectional=True)
    time_major, batch_first, given = build(case), build(case, batch_first=True), data(case)
    expected = run_layer(time_major, given)
    swapped = dataclasses.replace(given, x=given.x.swapaxes(0, 1), d_output=given.d_output.swapaxes(0, 1))
    results = run_layer(batch_first, swapped)
    for name in {"output", "forward output", "cells", "d_x"} & results.keys():
        results[name] = results[name].swapaxes(0, 1)
    assert_all_same_bits(results, expected)


@pytest.mark.parametrize("batch_first", [False, True], ids=["time_major", "batch_first"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
def test_sequence_without_a_batch_axis_is_a_batch_of_one(cell, engine, batch_first):
    case = Case(cell, "float32", engine, batch_size=1, num_layers=2, bidirectional=True)
    layer, given = build(case, batch_first=batch_first), data(case)
    expected = run_layer(build(case), given)
    alone = dataclasses.replace(
        given,
        x=given.x[:, 0],
        d_output=given.d_output[:, 0],
        state_0=as_state([a[:, 0] for a in as_arrays(given.state_0)]),
        d_state_n=as_state([a[:, 0] for a in as_arrays(given.d_state_n)]),
    )
    results = run_layer(layer, alone)
    for name, value in results.items():
        assert_same_bits(value, expected[name].reshape(value.shape), name)
        assert name.removeprefix("d_") in layer.params or value.ndim == expected[name].ndim - 1


def test_dropout_needs_a_generator_only_where_a_mask_is_drawn():
    x = np.zeros((3, 2, 5))
    layer = fastrnn.LSTM(5, 6, num_layers=2, dropout=0.5)
    with pytest.raises(ValueError, match="rng is None, expected a numpy.random.Generator"):
        layer.forward(x)
    with pytest.raises(TypeError, match="rng is .*, expected a numpy.random.Generator"):
        layer.forward(x, rng=0)
    layer.forward(x, training=False)
    layer(x)
    fastrnn.LSTM(5, 6, num_layers=1, dropout=0.5).forward(x)
    fastrnn.LSTM(5, 6, num_layers=2).forward(x)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", EACH)
def test_inference_and_training_false_drop_nothing(cell, engine):
    case = Case(cell, "float32", engine, num_layers=2, ragged=True)
    with_dropout, without, given = build(case, dropout=0.5), build(case), data(case)
    assert_all_same_bits(run_layer(with_dropout, given), run_layer(without, given))


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout_between_layers_keeps_the_mean(p):
    """With identity weights and positive input a relu network hands its masked input on as it is."""
    size = 64
    layer = fastrnn.RNN(size, size, num_layers=2, nonlinearity="relu", bias=False, dropout=p)
    weights = {"weight_ih_l0": np.eye(size), "weight_ih_l1": np.eye(size)}
    layer.load_state_dict({name: weights.get(name, np.zeros((size, size))) for name in layer.params})
    (output, h_n), _ = layer.forward(np.ones((50, 20, size)), rng=np.random.default_rng(0))
    np.testing.assert_allclose(np.unique(output), [0.0, 1 / (1 - p)], rtol=1e-6)
    assert output.mean() == pytest.approx(1.0, abs=0.02)
    assert (output == 0).mean() == pytest.approx(p, abs=0.01)
    assert (h_n[0] == 1.0).all()  # what is dropped is the input of the next layer, not the state


def test_dropout_follows_the_generator():
    case = Case("gru-after", num_layers=2)
    layer, given = build(case, dropout=0.5), data(case)

    def output(seed):
        return layer.forward(*given.arguments, rng=np.random.default_rng(seed))[0][0]

    assert_same_bits(output(3), output(3))
    assert not np.array_equal(output(3), output(4))


@pytest.mark.parametrize("bidirectional", [False, True], ids=["uni", "bi"])
@pytest.mark.parametrize("cell", EACH)
def test_backward_through_dropout_matches_numeric_gradient(cell, bidirectional):
    sizes = {"hidden_size": 3, "input_size": 2, "batch_size": 3, "seq_len": 4}
    case = Case(cell, ragged=True, num_layers=2, bidirectional=bidirectional, **sizes)
    layer, given = build(case, dropout=0.5), data(case)
    given.x[given.padding] = given.d_output[given.padding] = 0.0

    def forward():
        return layer.forward(*given.arguments, rng=np.random.default_rng(7))

    def loss():
        (output, state_n), _ = forward()
        ends = zip(as_arrays(state_n), as_arrays(given.d_state_n), strict=True)
        return (output * given.d_output).sum() + sum((s * d).sum() for s, d in ends)

    _, backward = forward()
    d_x, d_state_0 = backward(given.d_output, given.d_state_n)
    for name, array in {"x": given.x, **named("state_0", given.state_0)}.items():
        analytic = {"x": d_x, **named("state_0", d_state_0)}[name]
        assert_near(analytic, numeric_gradient(loss, array), NUMERIC_TOLERANCE, name)
    params = layer.state_dict()
    for name in ("weight_ih_l0", "weight_hh_l0", "weight_ih_l1"):

        def loss_of_params():
            layer.load_state_dict(params)
            return loss()

        assert_near(layer.grads[name], numeric_gradient(loss_of_params, params[name]), NUMERIC_TOLERANCE, name)
