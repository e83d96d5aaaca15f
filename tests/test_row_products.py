"""Products of a batch's rows: numbers, sizes, strides, and bits that depend on the row alone."""

import numpy as np
import pytest
from cases import assert_close, assert_same_bits
from fastrnn._core.row_products import add_row_products

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SIZES = np.array([[7, 33, 21], [0, 1, 1], [3, 2, 5], [7, 0, 3], [1, 33, 1], [2, 9, 0]])


def matrices(rng, dtype, turned=False):
    """out, a and b of the largest sizes, what lies beyond a row's own being NaN in a and b."""
    a, b = rng.standard_normal((6, 7, 33)).astype(dtype), rng.standard_normal((6, 33, 21)).astype(dtype)
    for n, (m, k, j) in enumerate(SIZES):
        a[n, m:] = a[n, :, k:] = b[n, k:] = b[n, :, j:] = np.nan
    if turned:  # steps before rows, columns before steps
        a, b = (np.ascontiguousarray(x.transpose(2, 0, 1)).transpose(1, 2, 0) for x in (a, b))
    return rng.standard_normal((6, 7, 21)).astype(dtype), a, b


@DTYPES
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_each_row_gets_the_product_of_its_own_sizes(n_threads, turned, dtype, rng):
    out, a, b = matrices(rng, dtype, turned)
    expected = out.astype("f8")
    for n, (m, k, j) in enumerate(SIZES):
        expected[n, :m, :j] += a[n, :m, :k].astype("f8") @ b[n, :k, :j].astype("f8")
    before = out.copy()
    add_row_products(out, a, b, SIZES, n_threads)
    assert_close(out, expected, dtype, "d_out")
    for n, (m, _, j) in enumerate(SIZES):
        assert_same_bits(out[n, m:], before[n, m:])
        assert_same_bits(out[n, :, j:], before[n, :, j:])


@DTYPES
def test_bits_do_not_depend_on_other_rows_on_strides_or_on_threads(dtype, rng):
    out, a, b = matrices(rng, dtype)
    wanted = out.copy()
    add_row_products(wanted, a, b, SIZES)
    for n, (m, k, j) in enumerate(SIZES):
        alone = out[n : n + 1, :m, :j].copy()
        add_row_products(alone, a[n : n + 1, :m, :k], b[n : n + 1, :k, :j], SIZES[n : n + 1])
        assert_same_bits(alone[0], wanted[n, :m, :j])
    for n_threads in (1, 2, 4):
        again, (_, a, b) = out.copy(), matrices(np.random.default_rng(20240607), dtype, turned=True)
        add_row_products(again, a, b, SIZES, n_threads)
        assert_same_bits(again, wanted)


def test_steps_before_rows_are_views_of_a_sequence(rng):
    sequence, weights = rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 3, 2))
    out = np.zeros((2, 3, 5))
    add_row_products(
        out.transpose(1, 0, 2), weights.transpose(1, 2, 0), sequence.transpose(1, 0, 2), np.full((3, 3), [2, 4, 5])
    )
    np.testing.assert_allclose(out, np.einsum("tnu,tnm->unm", weights, sequence), rtol=1e-13)


@pytest.mark.parametrize("shape", [(0, 2, 3, 4), (2, 0, 3, 4), (2, 2, 0, 4), (2, 2, 3, 0)], ids=str)
def test_nothing_is_done_where_a_size_is_0(shape):
    N, M, K, J = shape
    out = np.ones((N, M, J))
    add_row_products(out, np.ones((N, M, K)), np.ones((N, K, J)), np.full((N, 3), [M, K, J]))
    assert (out == 1).all()
