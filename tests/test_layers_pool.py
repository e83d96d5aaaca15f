"""Pool: one vector a sequence, from its own steps alone."""

import numpy as np
import pytest
from cases import assert_near, assert_same_bits, ragged_lengths

import fastrnn

KINDS = {
    "last": lambda rows: rows[-1],
    "mean": lambda rows: rows.mean(0),
    "max": lambda rows: rows.max(0),
}
POOLS = {**{kind: fastrnn.Pool(kind) for kind in KINDS}, "last-bi": fastrnn.Pool("last", bidirectional=True)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_summarised_to_its_own_end(kind, dtype, rng):
    x = rng.standard_normal((6, 8, 5)).astype(dtype)
    lengths = ragged_lengths(rng, 8, 6)
    x[np.arange(6)[:, None] >= lengths] = np.nan
    expected = [KINDS[kind](x[:length, n].astype("f8")) if length else np.zeros(5) for n, length in enumerate(lengths)]
    output = fastrnn.Pool(kind)(x, lengths)
    assert output.dtype == dtype
    assert_near(output, np.array(expected), 1e-14 if dtype == "float64" else 1e-6, kind)


def test_last_of_a_bidirectional_layer_takes_each_direction_at_its_own_end(rng):
    lstm = fastrnn.LSTM(3, 4, bidirectional=True, random_state=0)
    x, lengths = rng.standard_normal((6, 5, 3)).astype(np.float32), np.array([6, 1, 0, 4, 3])
    output, (h_n, _) = lstm(x, lengths=lengths)
    pooled = fastrnn.Pool("last", bidirectional=True)(output, lengths)
    present = lengths > 0
    assert_same_bits(pooled[present], np.concatenate([h_n[0], h_n[1]], axis=1)[present])
    assert not pooled[~present].any()


@pytest.mark.parametrize("size", [1, 2, 18])
@pytest.mark.parametrize("name", POOLS)
def test_a_row_has_the_same_bits_alone_and_in_any_batch(name, size, rng):
    pool = POOLS[name]
    size *= 1 + pool.bidirectional
    lengths = rng.integers(1, 200, 23)
    x = rng.standard_normal((200, 23, size)).astype(np.float32)
    x[rng.random(x.shape) < 0.3] *= 0  # zeros of both signs, among which "max" must not waver
    x[:, 3] = -np.abs(x[:, 3]) * 0
    d_output = rng.standard_normal((23, size)).astype(np.float32)
    output, backward = pool.forward(x, lengths)
    d_x = backward(d_output)
    assert_same_bits(pool(x, lengths), output)
    for n, length in enumerate(lengths):
        alone, backward = pool.forward(x[:length, n : n + 1])
        assert_same_bits(alone[0], output[n], "output")
        assert_same_bits(pool(x[:length, n]), output[n], "unbatched")
        assert_same_bits(backward(d_output[n : n + 1])[:, 0], d_x[:length, n], "d_x")
        assert not d_x[length:, n].any()


@pytest.mark.parametrize("name", POOLS)
def test_nan_stays_in_its_row(name, rng):
    x = rng.standard_normal((4, 3, 2))
    expected = POOLS[name](x)
    x[:, 1] = np.nan
    output = POOLS[name](x)
    assert np.isnan(output[1]).all()
    assert_same_bits(output[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 0, 2), (0, 0, 2)], ids=str)
def test_empty_sequences_and_batches_give_zeros_of_their_shape(name, shape):
    output, backward = POOLS[name].forward(np.zeros(shape))
    assert output.shape == shape[1:] and not output.any()
    assert backward(np.ones_like(output)).shape == shape


@pytest.mark.parametrize("name", POOLS)
def test_rows_of_length_0_give_zeros_and_take_no_gradient(name):
    output, backward = POOLS[name].forward(np.full((4, 3, 2), np.nan), lengths=np.zeros(3, int))
    assert not output.any()
    assert not backward(np.ones((3, 2))).any()


def test_max_gives_its_gradient_to_the_first_of_equals():
    _, backward = fastrnn.Pool("max").forward(np.array([[[1.0]], [[3.0]], [[3.0]]]))
    assert backward(np.array([[5.0]])).ravel().tolist() == [0, 5, 0]


def test_max_of_minus_infinity_is_minus_infinity():
    assert fastrnn.Pool("max")(np.full((3, 1, 1), -np.inf), lengths=[2]) == -np.inf


def test_one_sequence_without_a_batch(rng):
    x = rng.standard_normal((4, 6))
    for pool in POOLS.values():
        output, backward = pool.forward(x)
        assert output.shape == (6,)
        assert backward(np.ones(6)).shape == (4, 6)


@pytest.mark.parametrize(
    ("x", "lengths", "message"),
    [
        (np.zeros(3), None, r"x has shape \(3,\), expected \(seq_len, batch_size, input_size\)"),
        (np.zeros((3, 2)), [3], r"x has shape \(3, 2\), expected \(seq_len, batch_size, input_size\)"),
        (np.zeros((3, 2, 4)), [3, 4], r"lengths\[1\] is 4, expected 0 <= length <= seq_len = 3"),
        (np.zeros((3, 2, 5)), None, "x has input_size = 5, expected two halves"),
    ],
)
def test_errors_name_the_argument(x, lengths, message):
    for call in (POOLS["last-bi"], POOLS["last-bi"].forward):
        with pytest.raises(ValueError, match=message):
            call(x, lengths)


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="kind is 'first', expected one of 'last', 'mean', 'max'"):
        fastrnn.Pool("first")
