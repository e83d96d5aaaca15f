"""Zoneout and recurrent dropout: what training computes with its masks, and how it draws them."""

import numpy as np
import pytest
from cases import (
    DTYPES,
    ENGINES,
    Case,
    as_arrays,
    as_state,
    assert_all_close,
    assert_all_same_bits,
    assert_same_bits,
    assert_slopes,
    build,
    data,
    few,
    named,
    over,
    product,
    run_reference,
)
from cells import KINDS, MASKED, VARIANTS

import fastrnn

pytestmark = pytest.mark.usefixtures("exact_threads")

DRAWING = tuple(name for name, cell in VARIANTS.items() if MASKED.keys() & cell.options.keys())
DEEP = {"num_layers": (2,), "bidirectional": (True,), "ragged": (True,)}


def draw_all(case, rng, recurrent_dropout, zoneout):
    """The masks of every layer and direction, in the order in which a layer without dropout draws them."""
    from fastrnn.layers import _masks

    H = case.width if KINDS[case.cell].reference == "lstm" else None
    sizes = case.dtype, case.seq_len, case.batch_size, case.output_size, H
    runs = case.num_layers * (1 + case.bidirectional)
    return [_masks.draw(rng, *sizes, recurrent_dropout, zoneout) for _ in range(runs)]


def train(layer, given, seed=7, **options):
    """What one forward in training and its backward compute."""
    layer.zero_grad()
    (output, state_n), backward = layer.forward(*given.arguments, rng=np.random.default_rng(seed), **options)
    d_x, d_state_0 = backward(given.d_output, given.d_state_n)
    results = {"output": output, **named("state_n", state_n), "d_x": d_x, **named("d_state_0", d_state_0)}
    return results | {f"d_{name}": grad.copy() for name, grad in layer.grads.items()}


def assert_agrees(case, results, expected):
    assert_all_close(results, {name: expected[name] for name in results}, case.dtype)


@over(few(cells=DRAWING))
def test_training_agrees_with_the_reference_of_the_same_masks(case):
    layer, given = build(case), data(case)
    masks = draw_all(case, np.random.default_rng(7), **MASKED)
    results = train(layer, given, n_threads=case.n_threads)
    assert_agrees(case, results, run_reference(case, layer.params, given, masks=masks))
    assert not results["output"][given.padding].any() and not results["d_x"][given.padding].any()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", [{"recurrent_dropout": 0.5}, {"zoneout": 0.5}, {"zoneout": 1.0}], ids=str)
@pytest.mark.parametrize("cell", ["rnn-relu", "lstm-proj", "gru-after", "gru-before", "lstm-combined"])
def test_training_with_one_kind_of_mask_agrees_with_the_reference(cell, options, engine):
    case = Case(cell, engine=engine, num_layers=2, bidirectional=True, ragged=True)
    layer, given = build(case, **options), data(case)
    masks = draw_all(case, np.random.default_rng(7), **{"recurrent_dropout": 0.0, "zoneout": 0.0} | options)
    assert_agrees(case, train(layer, given), run_reference(case, layer.params, given, masks=masks))


@over(product(cells=DRAWING, engine=ENGINES, hidden_size=(6,), **DEEP))
def test_backward_of_training_matches_numeric_slopes(case, rng):
    layer, given = build(case), data(case)
    results = train(layer, given)
    given.x[given.padding] = given.d_output[given.padding] = 0.0
    params, state_0 = layer.state_dict(), as_arrays(given.state_0)

    def loss():
        layer.load_state_dict(params)
        arguments = given.x, as_state(state_0), given.lengths
        (output, state_n), _ = layer.forward(*arguments, rng=np.random.default_rng(7), n_threads=1)
        ends = zip(as_arrays(state_n), as_arrays(given.d_state_n), strict=True)
        return (output * given.d_output).sum() + sum((s * d).sum() for s, d in ends)

    for name, array in (params | {"x": given.x} | named("state_0", given.state_0)).items():
        assert_slopes(loss, array, results[f"d_{name}"], name, rng)


@over(product(cells=DRAWING, dtype=DTYPES, seq_len=(7,), hidden_size=(37,), **DEEP))
def test_threads_and_recomputed_segments_change_no_bit_of_training(case):
    layer, given = build(case), data(case)
    expected = train(layer, given, n_threads=1)
    assert_all_same_bits(train(layer, given, n_threads=4), expected)
    for every in (1, 3, 100):
        results = train(layer, given, n_threads=2, checkpoint_every=every)
        grads = {f"d_{name}" for name in layer.params}
        own = results.keys() - grads  # the sums of the others are taken segment by segment
        assert_all_same_bits({name: results[name] for name in own}, {name: expected[name] for name in own})
        assert_all_close({name: results[name] for name in grads}, {name: expected[name] for name in grads}, case.dtype)


@pytest.mark.parametrize("cell", DRAWING)
def test_the_generator_decides_the_masks(cell):
    case = Case(cell, num_layers=2, bidirectional=True)
    layer, given = build(case), data(case)
    expected = train(layer, given)
    assert_all_same_bits(train(layer, given), expected)
    assert not np.array_equal(train(layer, given, seed=8)["output"], expected["output"])


@pytest.mark.parametrize("cell", DRAWING)
def test_inference_draws_nothing_and_equals_forward_without_training(cell):
    case = Case(cell, num_layers=2, bidirectional=True, ragged=True)
    layer, given = build(case), data(case)
    (output, state_n), _ = layer.forward(*given.arguments, training=False)
    expected, expected_n = layer(*given.arguments)
    assert_same_bits(output, expected)
    assert_all_same_bits(named("state_n", state_n), named("state_n", expected_n))
    dropping = build(case, zoneout=0.0)
    without = build(case, zoneout=0.0, recurrent_dropout=0.0)
    assert_same_bits(dropping(*given.arguments)[0], without(*given.arguments)[0])


@pytest.mark.parametrize("options", [{"recurrent_dropout": 0.5}, {"zoneout": 0.5}], ids=str)
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_generator_is_asked_for_only_where_a_mask_is_drawn(kind, options):
    layer, x = getattr(fastrnn, kind)(3, 4, **options), np.zeros((5, 2, 3))
    with pytest.raises(ValueError, match="rng is None, expected a numpy.random.Generator"):
        layer.forward(x)
    with pytest.raises(TypeError, match="rng is .*int.*, expected a numpy.random.Generator"):
        layer.forward(x, rng=0)
    layer.forward(x, training=False)
    layer(x)
    getattr(fastrnn, kind)(3, 4).forward(x)


@pytest.mark.parametrize("cell", ["lstm-zoneout", "gru-after-zoneout"])
def test_a_layer_on_a_layer_draws_dropout_between_them_before_its_own_masks(cell):
    """Two layers as one equal two alone that share a generator, with the mask between drawn in their midst."""
    case = Case(cell, batch_size=4)
    both, x = build(Case(cell, num_layers=2), dropout=0.25), data(case).x
    first, second = build(case), build(Case(cell, input_size=case.width))
    for k, layer in enumerate((first, second)):
        layer.load_state_dict({name: both.params[name[:-1] + str(k)] for name in layer.params})
    rng = np.random.default_rng(3)
    (middle, _), _ = first.forward(x, rng=rng)
    mask = np.where(rng.random(middle.shape) < 0.75, 1 / 0.75, 0.0)
    (expected, _), _ = second.forward(middle * mask, rng=rng)
    (output, _), _ = both.forward(x, rng=np.random.default_rng(3))
    assert_same_bits(output, expected)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_factors_of_the_masks_have_the_right_mean(p):
    from fastrnn.layers import _masks

    T, N, R, H = 50, 40, 30, 60
    masks = _masks.draw(np.random.default_rng(0), "float64", T, N, R, H, p, p)
    assert (masks.recurrent.shape, masks.zone_h.shape, masks.zone_c.shape) == ((N, R), (T, N, R), (T, N, H))
    np.testing.assert_allclose(np.unique(masks.recurrent), [0.0, 1 / (1 - p)])
    for factors, scale in [(masks.recurrent, 1 / (1 - p)), (masks.zone_h, 1.0), (masks.zone_c, 1.0)]:
        kept = factors / scale
        assert set(np.unique(kept)) <= {0.0, 1.0}
        sigma = np.sqrt(p * (1 - p) / kept.size)
        assert abs(kept.mean() - (1 - p)) < 4 * sigma
    shared = masks.zone_h == masks.zone_c[..., :R]
    chance = p**2 + (1 - p) ** 2  # h and c are drawn apart
    assert abs(shared.mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / shared.size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_have_the_type_asked_for_and_are_none_where_nothing_is_drawn(dtype):
    from fastrnn.layers import _masks

    masks = _masks.draw(np.random.default_rng(0), dtype, 2, 3, 4, 5, 0.5, 0.0)
    assert masks.recurrent.dtype == dtype and masks.zone_h is None and masks.zone_c is None
    masks = _masks.draw(np.random.default_rng(0), dtype, 2, 3, 4, None, 0.0, 0.5)
    assert masks.recurrent is None and masks.zone_h.dtype == dtype and masks.zone_c is None
    everything = _masks.draw(np.random.default_rng(0), dtype, 2, 3, 4, 5, 1.0, 1.0)
    assert not everything.recurrent.any() and not everything.zone_h.any() and not everything.zone_c.any()


def test_zoneout_of_all_keeps_the_initial_state_and_gives_its_gradient_back():
    case = Case("lstm-proj", bidirectional=True, num_layers=2)
    layer, given = build(case, zoneout=1.0), data(case)
    results = train(layer, given)
    for before, after in zip(as_arrays(given.state_0), [results["state_n[0]"], results["state_n[1]"]], strict=True):
        assert_same_bits(after, before)
    assert_same_bits(results["d_state_0[1]"], given.d_state_n[1])
    assert not any(results[f"d_{name}"].any() for name in layer.params)
