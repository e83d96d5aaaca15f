"""What is accepted as an array, a length, a size, and the words of what is not."""

import numpy as np
import pytest

from fastrnn import _validation as v


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", ["?", "i1", "u2", "i8", "f2", "f4", "f8", ">f4", ">f8", ">i4", "longdouble"])
def test_real_numbers_of_any_type_are_converted(source, dtype):
    given = np.array([[0, 1], [1, 0]], source)
    array = v.as_array("x", given, dtype)
    assert array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned
    np.testing.assert_array_equal(array, [[0, 1], [1, 0]])


def test_without_a_dtype_floats_keep_theirs():
    assert v.as_array("x", np.zeros(1, ">f8")).dtype == np.float64
    assert v.as_array("x", np.zeros(1, "f4")).dtype == np.float32
    assert v.as_array("x", [1, 2]).dtype == np.float32


def test_an_array_that_fits_is_not_copied():
    x = np.zeros((2, 3), np.float32)
    assert v.as_array("x", x, "float32") is x


@pytest.mark.parametrize(
    "given",
    [
        np.arange(24.0)[::2].reshape(3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(12.0).reshape(3, 4)[::-1],
        np.frombuffer(b"\0" + np.arange(12.0).tobytes(), np.uint8)[1:].view("f8").reshape(3, 4),
    ],
    ids=["strided", "fortran", "reversed", "unaligned"],
)
def test_any_layout_gives_a_contiguous_copy(given):
    array = v.as_array("x", given, "float64")
    assert array.flags.c_contiguous and array.flags.aligned
    np.testing.assert_array_equal(array, given)


def test_read_only_arrays_are_accepted():
    x = np.ones(3)
    x.flags.writeable = False
    assert v.as_array("x", x, "float64").sum() == 3


def test_conversion_of_what_overflows_is_silent(recwarn):
    assert np.isinf(v.as_array("x", [1e300], "float32")).all()
    assert not recwarn.list


@pytest.mark.parametrize("given", [[1j], ["a"], [b"a"], [None], np.array(["2020"], "M8[D]")])
def test_what_is_not_real_is_a_type_error_that_names_the_argument(given):
    with pytest.raises(TypeError, match=r"^h_0 has dtype .*, expected real numbers \(float32 or float64\)$"):
        v.as_array("h_0", given, "float32")


def test_nested_lists_of_different_lengths_are_a_value_error():
    with pytest.raises(ValueError, match="^x cannot be read as one array"):
        v.as_array("x", [[1.0], [1.0, 2.0]], "float32")


def test_shape_errors_name_symbols_and_numbers():
    with pytest.raises(ValueError) as error:
        v.check_shape("h_0", np.zeros((2, 8, 32)), ("num_layers", "batch_size", "hidden_size"), (2, 8, 64))
    expected = "h_0 has shape (2, 8, 32), expected (num_layers, batch_size, hidden_size) = (2, 8, 64)"
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("shape", "symbols", "numbers", "message"),
    [
        ((3,), ("batch_size",), (4,), r"x has shape \(3,\), expected \(batch_size,\) = \(4,\)$"),
        ((3, 4), ("seq_len", "size"), (None, 5), r"x has shape \(3, 4\), expected \(seq_len, size\) = \(seq_len, 5\)$"),
        ((3,), ("seq_len", "size"), (None, None), r"x has shape \(3,\), expected \(seq_len, size\)$"),
        ((), ("...", "size"), (None, 5), r"x has shape \(\), expected \(..., size\) = \(..., 5\)$"),
    ],
)
def test_shape_errors_leave_free_axes_symbolic(shape, symbols, numbers, message):
    with pytest.raises(ValueError, match=message):
        v.check_shape("x", np.zeros(shape), symbols, numbers)


def test_shapes_with_free_leading_axes():
    for shape in [(5,), (2, 5), (0, 3, 5)]:
        v.check_shape("x", np.zeros(shape), ("...", "size"), (None, 5))


@pytest.mark.parametrize("given", [[3, 0], np.array([3, 0], "u1"), np.array([3, 0], ">i4"), np.array([3, 9, 0])[::2]])
def test_lengths_of_any_integer_type_become_int64(given):
    lengths = v.check_lengths(given, 3, 2)
    assert lengths.dtype == np.int64 and lengths.dtype.isnative and lengths.tolist() == [3, 0]


def test_no_lengths_and_an_empty_list_of_lengths():
    assert v.check_lengths(None, 3, 2) is None
    assert v.check_lengths([], 3, 0).shape == (0,)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([1, -1], ValueError, r"lengths\[1\] is -1, expected 0 <= length <= seq_len = 3"),
        ([4, 1], ValueError, r"lengths\[0\] is 4, expected 0 <= length <= seq_len = 3"),
        (np.array([1, 2**64 - 1], "u8"), ValueError, r"lengths\[1\] is 18446744073709551615"),
        ([1, 2, 3], ValueError, r"lengths has shape \(3,\), expected \(batch_size,\) = \(2,\)"),
        (3, ValueError, r"lengths has shape \(\), expected \(batch_size,\) = \(2,\)"),
        ([1.0, 2.0], TypeError, "lengths has dtype float64, expected integers"),
        ([True, False], TypeError, "lengths has dtype bool, expected integers"),
        (["1", "2"], TypeError, "lengths has dtype <U1, expected integers"),
    ],
)
def test_wrong_lengths_are_named(given, error, message):
    with pytest.raises(error, match=message):
        v.check_lengths(given, 3, 2)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (0, ValueError, "hidden_size is 0, expected an integer >= 1"),
        (-3, ValueError, "hidden_size is -3, expected an integer >= 1"),
        (2.0, TypeError, r"hidden_size is 2.0 \(float\), expected an integer >= 1"),
        ("2", TypeError, r"hidden_size is '2' \(str\), expected"),
        (True, TypeError, "hidden_size is True, expected an integer"),
        (None, TypeError, r"hidden_size is None \(NoneType\), expected"),
    ],
)
def test_wrong_sizes_are_named(given, error, message):
    with pytest.raises(error, match=message):
        v.check_size("hidden_size", given)


def test_numpy_integers_are_sizes():
    assert v.check_size("hidden_size", np.int32(4)) == 4


@pytest.mark.parametrize("given", [-0.1, 1.1, float("nan")])
def test_fractions_outside_their_range_are_a_value_error(given):
    with pytest.raises(ValueError, match=r"p is .*, expected a number in \[0, 1\]"):
        v.check_fraction("p", given)


@pytest.mark.parametrize("given", ["0.5", None, True, [0.5], 1j])
def test_fractions_that_are_no_numbers_are_a_type_error(given):
    with pytest.raises(TypeError, match=r"p is .*, expected a number in \[0, 1\]"):
        v.check_fraction("p", given)


@pytest.mark.parametrize("given", ["float16", "int32", "nonsense", None, object()])
def test_other_dtypes_are_refused(given):
    with pytest.raises(ValueError, match="dtype is .*, expected 'float32' or 'float64'"):
        v.check_dtype(given)


def test_a_pair_is_asked_for_by_its_names():
    assert v.check_pair("state_0", [1, 2], ("h_0", "c_0")) == (1, 2)
    with pytest.raises(TypeError, match=r"state_0 is a tuple of 3, expected a pair \(h_0, c_0\)"):
        v.check_pair("state_0", (1, 2, 3), ("h_0", "c_0"))
    with pytest.raises(TypeError, match=r"state_0 is an object of type ndarray, expected a pair \(h_0, c_0\)"):
        v.check_pair("state_0", np.zeros((2, 3)), ("h_0", "c_0"))


def test_out_must_be_a_writable_array_of_the_right_kind():
    fixed = np.zeros((2, 3))
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        v.check_out(fixed, (2, 3), "float64")
    with pytest.raises(TypeError, match="out has dtype float32, expected an ndarray of float64"):
        v.check_out(np.zeros((2, 3), "f4"), (2, 3), "float64")
    with pytest.raises(ValueError, match=r"out has shape \(3, 2\), expected \(batch_size, output_size\) = \(2, 3\)"):
        v.check_out(np.zeros((3, 2)), (2, 3), "float64")
    with pytest.raises(TypeError, match="out has type list"):
        v.check_out([1], (1,), "float64")
