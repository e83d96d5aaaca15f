"""Variants of the recurrent layers: functions, names, first values, learned states, files, and wrong options."""

import inspect
import re

import numpy as np
import pytest
from cases import (
    DTYPES,
    ENGINES,
    Case,
    as_arrays,
    assert_all_close,
    assert_all_same_bits,
    assert_near,
    assert_same_bits,
    build,
    data,
    named,
    run_layer,
    run_reference,
)
from cells import ACTIVATIONS, KINDS, VARIANTS, layer_shapes

import fastrnn

INITIAL = tuple(name for name in VARIANTS if name.endswith("-initial"))


def name_of(activation):
    return activation if isinstance(activation, str) else activation[0]


def each_place(activation, cell):
    """`activation` in each place of a cell's activations in turn, and in all at once."""
    default = {"rnn": ("tanh",), "gru": ("sigmoid", "tanh"), "lstm": ("sigmoid", "tanh", "tanh")}[cell]
    for k in range(len(default)):
        yield (*default[:k], activation, *default[k + 1 :])
    yield (activation,) * len(default)


@pytest.mark.parametrize("clip", [None, 0.6], ids=["plain", "clip"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=name_of)
def test_activation_in_every_place_agrees_with_the_reference(activation, dtype, engine, clip):
    """37 units: whole vectors and a tail."""
    for cell in ("rnn-tanh", "lstm", "gru-after", "gru-before"):
        kind, case = KINDS[cell], Case(cell, dtype, engine, seq_len=3, batch_size=3, hidden_size=37)
        for activations in each_place(activation, kind.reference):
            options = {"activations": activations, "clip": clip}
            layer, given = build(case, **options), data(case)
            layer.load_state_dict({name: 0.5 * w for name, w in layer.params.items()})
            expected = run_reference(case, layer.params, given, **options)
            assert_all_close(run_layer(layer, given), expected, dtype)


# thresholded_relu is 0 of whatever is not above its threshold.
@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if name_of(a) != "thresholded_relu"], ids=name_of)
def test_nan_passes_every_activation_and_the_clip(activation):
    for cell, engine in [("rnn-tanh", "native"), ("lstm", "native"), ("gru-after", "native"), ("lstm", "blas")]:
        case = Case(cell, "float32", engine, hidden_size=37)
        for activations in each_place(activation, KINDS[cell].reference):
            layer, given = build(case, activations=activations, clip=0.6), data(case)
            given.x[2, 3, 1] = np.nan
            output, _ = layer(given.x, given.state_0)
            assert np.isnan(output[2:, 3]).all()
            assert np.isfinite(output[:2, 3]).all() and np.isfinite(np.delete(output, 3, axis=1)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", ["lstm-zoneout", "gru-before-zoneout-norm", "lstm-norm", "rnn-norm", "lstm-clip"])
def test_nan_and_infinity_stay_in_their_row(cell, engine, dtype):
    case = Case(cell, dtype, engine, num_layers=2, hidden_size=37)
    layer, given = build(case), data(case)
    expected, _ = layer(given.x, given.state_0)
    for value in (np.nan, np.inf):
        given.x[2, 3, 1] = value
        output, _ = layer(given.x, given.state_0)
        others = np.delete(output, 3, axis=1)
        if engine == "native":
            assert_same_bits(others, np.delete(expected, 3, axis=1))
        assert np.isfinite(others).all()
    given.x[2, 3, 1] = np.nan
    assert np.isnan(layer(given.x, given.state_0)[0][2:, 3]).all()


@pytest.mark.parametrize("cell", VARIANTS)
def test_spelt_defaults_of_an_option_change_no_bit(cell):
    """The options of a variant at the values that mean nothing are the plain layer."""
    case = Case(cell)
    neutral = {"peepholes": False, "coupled_gates": False, "layer_norm": False, "activations": None, "clip": None}
    neutral |= {"zoneout": 0.0, "recurrent_dropout": 0.0, "learn_initial_state": False}
    kind = KINDS[cell]
    changes = {name: neutral[name] for name in kind.options if name in neutral}
    layer, given = build(case, **changes), data(case)
    plain = {"rnn": "rnn-relu" if "nonlinearity" in kind.options else "rnn-tanh", "lstm": "lstm"}.get(kind.reference)
    plain = plain or ("gru-after" if kind.options["reset_after"] else "gru-before")
    twin = build(Case("lstm-proj" if kind.projected else plain))
    twin.load_state_dict(layer.state_dict())
    assert_all_same_bits(run_layer(layer, given), run_layer(twin, given))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "nobias"])
@pytest.mark.parametrize("cell", VARIANTS)
def test_parameters_of_variants_have_their_names_and_shapes(cell, bias):
    case = Case(cell, bidirectional=True, num_layers=2, bias=bias)
    assert {name: w.shape for name, w in build(case).params.items()} == layer_shapes(case)


@pytest.mark.parametrize("scheme", [None, "glorot", "orthogonal"])
@pytest.mark.parametrize("cell", VARIANTS)
def test_first_values_of_the_parameters_of_variants(cell, scheme):
    kind, case = KINDS[cell], Case(cell, hidden_size=64)
    options = {"proj_size": case.output_size} if kind.projected else {}
    layer = getattr(fastrnn, kind.layer)(33, 64, random_state=0, init=scheme, **options, **kind.options)
    for name, w in layer.params.items():
        if name.startswith("norm") and "bias" not in name:
            assert (w == 1).all(), name
        elif name.startswith(("norm_c_bias", "h_0", "c_0")):
            assert not w.any(), name
        elif name.startswith("peephole") and scheme is None:
            assert np.abs(w).max() == pytest.approx(1 / 8, rel=0.1)
            assert abs(w.mean()) < 0.2 / 8 and w.std() == pytest.approx(1 / 8 / np.sqrt(3), rel=0.15)
        elif name.startswith("weight"):
            assert w.any(), name


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("hidden_size", [1, 2, 3, 4])
@pytest.mark.parametrize("cell", ["rnn-norm", "lstm-norm", "gru-after-norm", "gru-before-norm"])
def test_norm_of_few_units_agrees_with_the_reference(cell, hidden_size, engine):
    """One unit is its own mean: nothing but the bias is left of it. A few may hardly differ, which costs digits."""
    case = Case(cell, engine=engine, hidden_size=hidden_size)
    layer, given = build(case), data(case)
    results, expected = run_layer(layer, given), run_reference(case, layer.params, given)
    for name, value in expected.items():
        assert_near(results[name], value, 1e-11, name)


# learned initial states


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", INITIAL)
def test_learned_state_is_what_a_call_without_a_state_starts_from(cell, engine):
    case = Case(cell, engine=engine, bidirectional=True, num_layers=2, ragged=True, with_state=False)
    layer, given = build(case), data(case)
    results = run_layer(layer, given)
    directions = [(k, ending) for k in range(2) for ending in ("", "_reverse")]
    kinds = ("h_0", "c_0") if cell.startswith("lstm") else ("h_0",)
    states = []
    for kind in kinds:
        rows = np.stack([layer.params[f"{kind}_l{k}{ending}"] for k, ending in directions])
        states.append(np.repeat(rows[:, None], case.batch_size, axis=1))
    given.state_0 = tuple(states) if len(states) > 1 else states[0]
    spelt = run_layer(layer, given)
    learned = {f"d_{kind}_l{k}{ending}" for kind in kinds for k, ending in directions}
    assert_all_same_bits(*({n: v for n, v in r.items() if n not in learned} for r in (results, spelt)))
    for j, kind in enumerate(kinds):
        for row, (k, ending) in zip(spelt[f"d_state_0[{j}]"], directions, strict=True):
            name = f"d_{kind}_l{k}{ending}"
            assert not spelt[name].any()  # a state that is given takes the place of the learned one
            np.testing.assert_allclose(results[name], row.sum(axis=0), rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("cell", INITIAL)
def test_stepper_starts_from_the_learned_state_and_goes_back_to_it(cell):
    case = Case(cell, num_layers=2)
    layer, given = build(case), data(case)
    output, _ = layer(given.x)
    stepper = layer.stepper(case.batch_size)
    for _ in range(2):
        for kind, state in zip(("h_0", "c_0"), as_arrays(stepper.state), strict=False):
            for k in range(2):
                assert (state[k] == layer.params[f"{kind}_l{k}"]).all()
        for x_t, expected in zip(given.x, output, strict=True):
            assert_same_bits(stepper.step(x_t), expected)
        stepper.reset()
    with layer.updating() as params:
        params["h_0_l0"][...] += 1.0
    stepper.reset()
    assert_same_bits(stepper.step(given.x[0]), output[0])  # made with the weights it was made with


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", INITIAL)
def test_learned_state_comes_back_from_sequences_of_no_step(cell, engine):
    case = Case(cell, engine=engine, num_layers=2, seq_len=0)
    layer, given = build(case), data(case)
    learned = [np.stack([layer.params[f"{kind}_l{k}"] for k in range(2)])[:, None] for kind in ("h_0", "c_0")[:1]]
    _, state_n = layer(given.x)
    assert (as_arrays(state_n)[0] == learned[0]).all()
    longer = data(Case(cell, num_layers=2))
    _, state_n = layer(longer.x, lengths=[5, 0, 3, 1, 0, 5, 2])
    assert (as_arrays(state_n)[0][:, [1, 4]] == learned[0]).all()
    (_, state_n), backward = layer.forward(given.x)
    _, d_state_0 = backward(given.d_output, given.d_state_n)
    assert_all_same_bits(named("d_state_0", d_state_0), named("d_state_0", given.d_state_n))
    np.testing.assert_allclose(layer.grads["h_0_l1"], as_arrays(given.d_state_n)[0][1].sum(axis=0), rtol=1e-12)
    empty, state_n = layer(np.zeros((4, 0, case.input_size)))
    assert empty.shape == (4, 0, case.output_size) and as_arrays(state_n)[0].shape == (2, 0, case.output_size)


@pytest.mark.parametrize("cell", INITIAL)
def test_learned_state_serves_one_sequence_without_a_batch_axis_and_batch_first(cell):
    case = Case(cell, bidirectional=True)
    layer, swapped, given = build(case), build(case, batch_first=True), data(case)
    output, _ = layer(given.x)
    assert_same_bits(layer(given.x[:, 2])[0], output[:, 2])
    assert_same_bits(swapped(given.x.swapaxes(0, 1))[0], np.ascontiguousarray(output.swapaxes(0, 1)))


# files


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", VARIANTS)
def test_variant_comes_back_from_a_file_and_computes_and_trains_as_before(cell, engine, tmp_path):
    case = Case(cell, "float32", engine, bidirectional=True, num_layers=2)
    layer, given = build(case), data(case)
    fastrnn.save(layer, tmp_path / "layer.safetensors")
    found = fastrnn.load(tmp_path / "layer.safetensors")
    assert type(found) is type(layer) and found.engine == layer.engine
    assert_all_same_bits(found.state_dict(), layer.state_dict())
    for one, other in zip(outputs(found, given), outputs(layer, given), strict=True):
        assert_same_bits(one, other)


def outputs(layer, given):
    """Of inference, and of training with masks."""
    inference, _ = layer(given.x)
    (training, _), _ = layer.forward(given.x, rng=np.random.default_rng(1))
    return inference, training


@pytest.mark.parametrize("change", [{"activations": [["tanh", "x"]] * 3}, {"activations": 3}, {"clip": "no"}], ids=str)
def test_made_up_option_in_a_file_is_an_error(change, tmp_path):
    from storage_cases import forge

    layer = fastrnn.LSTM(1, 1)
    config = {"class": "LSTM", "config": {"input_size": 1, "hidden_size": 1, "dtype": "float32"} | change}
    forge(tmp_path / "layer.safetensors", config, layer.state_dict())
    with pytest.raises(fastrnn.storage.FileFormatError, match=next(iter(change))):
        fastrnn.load(tmp_path / "layer.safetensors")


# wrong options

ALL_SIGMOID = ("sigmoid", "sigmoid", "sigmoid")
WRONG = [
    ("LSTM", {"activations": ("sigmoid", "swish", "tanh")}, ValueError, "activations[1]"),
    ("LSTM", {"activations": ("sigmoid", "tanh", ("tanh", 1.0))}, ValueError, "activations[2]"),
    ("LSTM", {"activations": (("elu", 1.0, 2.0), "tanh", "tanh")}, ValueError, "activations[0]"),
    ("GRU", {"activations": ("sigmoid", ("elu", np.nan))}, ValueError, "activations[1]"),
    ("GRU", {"activations": (("hard_sigmoid", 0.2, np.inf), "tanh")}, ValueError, "activations[0]"),
    ("LSTM", {"activations": ("sigmoid", "tanh")}, ValueError, "activations"),
    ("GRU", {"activations": ALL_SIGMOID}, ValueError, "activations"),
    ("RNN", {"activations": ("tanh", "tanh")}, ValueError, "activations"),
    ("RNN", {"activations": ("relu",), "nonlinearity": "relu"}, ValueError, "nonlinearity"),
    *[(kind, {"clip": 0.0}, ValueError, "clip is 0.0") for kind in ("RNN", "LSTM", "GRU")],
    ("LSTM", {"clip": -1.0}, ValueError, "clip is -1.0"),
    ("LSTM", {"clip": np.nan}, ValueError, "clip is nan"),
    ("LSTM", {"clip": "1"}, TypeError, "clip is '1'"),
    *[(kind, {"zoneout": 1.5}, ValueError, "zoneout is 1.5, expected a number in [0, 1]") for kind in ("RNN", "GRU")],
    ("LSTM", {"zoneout": -0.1}, ValueError, "zoneout is -0.1, expected a number in [0, 1]"),
    ("LSTM", {"recurrent_dropout": 2}, ValueError, "recurrent_dropout is 2.0, expected a number in [0, 1]"),
    ("GRU", {"peepholes": True}, TypeError, "peepholes"),
    ("RNN", {"coupled_gates": True}, TypeError, "coupled_gates"),
]


@pytest.mark.parametrize("kind, keywords, error, message", WRONG, ids=str)
def test_wrong_variant_is_refused_when_the_layer_is_made(kind, keywords, error, message):
    with pytest.raises(error, match=re.escape(message)):
        getattr(fastrnn, kind)(3, 4, **keywords)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_keywords_of_variants_cannot_be_given_by_position(kind):
    parameters = inspect.signature(getattr(fastrnn, kind)).parameters
    ours = {"activations", "clip", "layer_norm", "recurrent_dropout", "zoneout", "learn_initial_state"}
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ours)
