"""exp, sigmoid and tanh of the kernels: accuracy in ulp over all exponents, bounds, special values, tails.

The reference is NumPy in the next wider type, so no accuracy is borrowed from what is tested.
"""

import numpy as np
import pytest

from fastrnn._core import native

FUNCTIONS = ["exp", "sigmoid", "tanh"]
BOUNDS = {"exp": (0, np.inf), "sigmoid": (0, 1), "tanh": (-1, 1)}
WIDER = {"float32": np.float64, "float64": np.longdouble}
# Where long double is no wider than double, one ulp belongs to the reference.
MAX_ULP = {"float32": 4, "float64": 4 if np.finfo(np.longdouble).nmant > 52 else 5}

pytestmark = [
    pytest.mark.parametrize("isa", native.available_isas()),
    pytest.mark.parametrize("dtype", ["float32", "float64"]),
]
each_function = pytest.mark.parametrize("function", FUNCTIONS)


def reference(function, x):
    """Return the function of float `x` in the wider type."""
    x = x.astype(WIDER[x.dtype.name])
    with np.errstate(over="ignore", under="ignore"):
        if function == "sigmoid":
            e = np.exp(-np.abs(x))
            return np.where(x < 0, e, 1) / (1 + e)
        return getattr(np, function)(x)


def ulp_error(got, want):
    """Return |got - want| in units of the last place of `want` in the type of `got`."""
    _, exponent = np.frexp(want)
    return np.abs(got - want) / np.ldexp(want.dtype.type(1), exponent - 1 - np.finfo(got.dtype).nmant)


def all_exponents(dtype, per_exponent=64):
    """Return normal numbers of both signs: of every exponent the first, the last, and random ones."""
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    exponents = np.arange(info.minexp, info.maxexp)[:, None]
    mantissas = rng.uniform(1, 2, (len(exponents), per_exponent)).astype(dtype)
    mantissas[:, 0], mantissas[:, 1] = 1, 2 - info.eps
    x = np.ldexp(mantissas, exponents).astype(dtype).ravel()
    return np.concatenate([x, -x])


def dense(dtype, n=100_000):
    """Return many numbers where the functions bend, and where they are about to underflow or overflow."""
    rng, least = np.random.default_rng(1), np.log(np.finfo(dtype).tiny)
    spans = [(-1, 1), (-20, 20), (least - 2, least + 20), (-least - 20, -least + 2)]
    return np.concatenate([rng.uniform(low, high, n) for low, high in spans]).astype(dtype)


def joints(dtype, n=20):
    """Return numbers on both sides of each place where a kernel changes n, table entry or polynomial."""
    steps = np.arange(1, 3000) * (np.log(2) / 64)
    intervals = np.ldexp(np.array([4, 5, 6, 7])[:, None], np.arange(-3, 2)).ravel() - 0.625
    places = np.concatenate([steps, intervals, [9.25, 20, 40]]).astype(dtype)
    x = (places[:, None] + np.arange(-n, n + 1) * np.spacing(places)[:, None]).ravel()
    return np.concatenate([x, -x]).astype(dtype)


@each_function
@pytest.mark.parametrize("arguments", [all_exponents, dense, joints])
def test_error_is_at_most_four_ulp(function, arguments, dtype, isa):
    x = arguments(dtype)
    x = x[np.abs(x) >= np.finfo(dtype).tiny]
    y, want = native.vector_math(function, x, isa=isa), reference(function, x)
    normal = (np.abs(want) >= np.finfo(dtype).tiny) & (np.abs(want) <= np.finfo(dtype).max)
    error = ulp_error(y[normal], want[normal])
    worst = error.argmax()
    assert error[worst] <= MAX_ULP[dtype], f"{function}({x[normal][worst]!r}) is off by {error[worst]:.2f} ulp"


@each_function
@pytest.mark.parametrize("arguments", [all_exponents, dense, joints])
def test_values_stay_within_bounds(function, arguments, dtype, isa):
    y = native.vector_math(function, arguments(dtype), isa=isa)
    low, high = BOUNDS[function]
    assert y.dtype == dtype and (y >= low).all() and (y <= high).all()


@each_function
def test_results_too_small_for_a_normal_number_go_towards_zero(function, dtype, isa):
    tiny = np.finfo(dtype).tiny
    x = np.concatenate([all_exponents(dtype), dense(dtype)])
    want = reference(function, x)
    small = np.abs(want) < tiny
    assert (np.abs(native.vector_math(function, x[small], isa=isa)) <= tiny).all()


@each_function
def test_nan_stays_nan_and_changes_no_other_lane(function, dtype, isa):
    x = np.linspace(-3, 3, 67).astype(dtype)
    expected = native.vector_math(function, x, isa=isa)
    for sign in (1, -1):
        for place in range(len(x)):
            with_nan = x.copy()
            with_nan[place] = np.copysign(np.nan, sign)
            y = native.vector_math(function, with_nan, isa=isa)
            assert np.isnan(y[place])
            np.testing.assert_array_equal(np.delete(y, place), np.delete(expected, place))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("exp", [0, 1, 1, np.inf]),
        ("sigmoid", [0, 0.5, 0.5, 1]),
        ("tanh", [-1, -0.0, 0.0, 1]),
    ],
)
def test_infinities_and_zeros(function, expected, dtype, isa):
    y = native.vector_math(function, np.array([-np.inf, -0.0, 0.0, np.inf], dtype), isa=isa)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(expected))


def test_tanh_is_odd_bit_for_bit(dtype, isa):
    x = np.concatenate([all_exponents(dtype), dense(dtype)])
    np.testing.assert_array_equal(native.vector_math("tanh", -x, isa=isa), -native.vector_math("tanh", x, isa=isa))


@each_function
def test_saturation_is_exact(function, dtype, isa):
    x = np.array([-1e30, -2000, 2000, 1e30], dtype)
    low, high = {"exp": (0, np.inf), "sigmoid": (0, 1), "tanh": (-1, 1)}[function]
    np.testing.assert_array_equal(native.vector_math(function, x, isa=isa), [low, low, high, high])


@each_function
def test_an_element_has_the_same_bits_in_bodies_and_tails(function, dtype, isa):
    x = np.random.default_rng(2).normal(0, 3, 80).astype(dtype)
    whole = native.vector_math(function, x, isa=isa)
    for begin in range(17):
        for end in range(begin, len(x) + 1):
            part = native.vector_math(function, x[begin:end].copy(), isa=isa)
            np.testing.assert_array_equal(part, whole[begin:end])
