"""The words of every error about a shape, a type or a value.

A message names the argument, says what was expected in symbols and in numbers, and what came. Functions
that return an array return it C-contiguous, aligned and in native byte order; they copy only where they must
and never write into what they were given.
"""

from __future__ import annotations

import operator

import numpy as np

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def check_dtype(dtype):
    """Return `dtype` as a NumPy dtype, which must be float32 or float64."""
    try:
        found = np.dtype(dtype) if dtype is not None else None
    except TypeError:
        found = None
    if found is None or found not in _DTYPES:  # None == np.dtype(float) is true
        raise ValueError(f"dtype is {dtype!r}, expected 'float32' or 'float64'")
    return _DTYPES[_DTYPES.index(found)]


def check_size(name, value, minimum=1):
    """Return the integer `value` as an int, at least `minimum`; bool and float are a TypeError."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {value!r}, expected an integer >= {minimum}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r} ({type(value).__name__}), expected an integer >= {minimum}") from None
    if number < minimum:
        raise ValueError(f"{name} is {number}, expected an integer >= {minimum}")
    return number


def check_fraction(name, value):
    """Return `value` as a float in [0, 1]."""
    if isinstance(value, bool | np.bool_ | str | bytes) or np.ndim(value):
        raise TypeError(f"{name} is {value!r}, expected a number in [0, 1]")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}, expected a number in [0, 1]") from None
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} is {number}, expected a number in [0, 1]")
    return number


def check_choice(name, value, choices):
    """Return `value`, which must be one of `choices`."""
    if not (value is None or isinstance(value, str)) or value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(repr(choice) for choice in choices)}")
    return value


def check_quantiles(quantiles):
    """Return quantiles as a vector of float64, each in (0, 1)."""
    try:
        found = np.asarray(quantiles, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.zeros(())
    if found.ndim != 1 or not found.size or not ((found > 0.0) & (found < 1.0)).all():
        raise ValueError(f"quantiles is {quantiles!r:.80}, expected a sequence of numbers in (0, 1)")
    return found


def check_rng(rng, purpose):
    """Return `rng`, a numpy.random.Generator; `purpose` says what is drawn: "the mask of Dropout(p=0.5)"."""
    if rng is None:
        raise ValueError(f"rng is None, expected a numpy.random.Generator, from which {purpose} is drawn")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng is {_described(rng)}, expected a numpy.random.Generator, such as np.random.default_rng(0)"
        )
    return rng


def as_array(name, value, dtype=None):
    """Return `value` as a C-contiguous array of `dtype`, the same object where it is one already.

    Without a `dtype`, float32 and float64 are kept and everything else becomes float32. Booleans, integers and
    reals are converted, silently also where they overflow (padding may hold anything); complex numbers, objects,
    text and dates are a TypeError.
    """
    if _is_ready(value, dtype):
        return value
    array = _plain(name, value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers (float32 or float64)")
    if dtype is None:
        native = array.dtype.newbyteorder("=")
        dtype = native if native in _DTYPES else _DTYPES[0]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _settled(array, np.dtype(dtype))


def as_tokens(name, value):
    """Return the integers `value` (not bool) as a C-contiguous int64 array; their range is not checked."""
    array = _plain(name, value)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} has dtype {array.dtype}, expected integers")
    if array.dtype == np.uint64 and array.size:
        # what lies beyond int64 stays beyond every table: it must not wrap around to a valid token
        array = np.minimum(array, np.uint64(np.iinfo(np.int64).max))
    return _settled(array, np.dtype(np.int64))


def check_shape(name, array, symbols, numbers):
    """Check an array's shape.

    Parameters
    ----------
    name : str
        The argument.
    array : ndarray
        What came.
    symbols : sequence of str
        A name for each axis, such as ``("seq_len", "batch_size", "input_size")``. A first symbol of ``"..."``
        stands for any number of leading axes.
    numbers : sequence of int or None
        The size of each axis; None leaves that axis free.

    Returns
    -------
    ndarray
        `array` itself.
    """
    if array.shape == numbers:
        return array
    open_ended = bool(symbols) and symbols[0] == "..."
    tail = tuple(numbers[1:]) if open_ended else tuple(numbers)
    shape = array.shape
    if open_ended:
        right_rank, shape = len(shape) >= len(tail), shape[len(shape) - len(tail) :]
    else:
        right_rank = len(shape) == len(tail)
    if not right_rank or any(want is not None and want != got for want, got in zip(tail, shape, strict=True)):
        raise ValueError(f"{name} has shape {array.shape}, expected {expected_shape(symbols, numbers)}")
    return array


def as_gradient(name, value, dtype, shape):
    """Return `value` as an array of `dtype`, which must have the `shape` of what it is the gradient of."""
    array = as_array(name, value, dtype)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected the shape of {name[2:]}, {shape}")
    return array


def check_time_axes(name, array):
    """Check that `array` has the two axes that lengths speaks of."""
    if array.ndim < 2:
        raise ValueError(f"{name} has shape {array.shape}, expected (seq_len, batch_size, ...), for lengths is given")
    return array


def check_out(out, shape, dtype):
    """Return `out`, a writable array of exactly this shape and dtype, to be filled."""
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        came = f"dtype {out.dtype}" if isinstance(out, np.ndarray) else f"type {type(out).__name__}"
        raise TypeError(f"out has {came}, expected an ndarray of {np.dtype(dtype).name}")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, expected (batch_size, output_size) = {shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only, expected a writable array")
    return out


def expected_shape(symbols, numbers):
    """Return "(batch_size, input_size) = (4, 12)"; a free axis keeps its symbol among the numbers."""
    counts = [symbol if number is None else str(number) for symbol, number in zip(symbols, numbers, strict=True)]
    left, right = _tuple_text(symbols), _tuple_text(counts)
    return left if left == right else f"{left} = {right}"


def check_lengths(lengths, seq_len, batch_size):
    """Return `lengths` as an int64 array of shape (batch_size,), or None where it is None.

    Only integers are lengths (bool and float are a TypeError), each with 0 <= length <= seq_len.
    """
    if lengths is None:
        return None
    array = _plain("lengths", lengths)
    if array.dtype.kind not in "iu" and not (array.size == 0 and isinstance(lengths, list | tuple)):
        raise TypeError(f"lengths has dtype {array.dtype}, expected integers")
    check_shape("lengths", array, ("batch_size",), (batch_size,))
    wrong = np.flatnonzero((array < 0) | (array > seq_len))
    if wrong.size:
        n = int(wrong[0])
        raise ValueError(f"lengths[{n}] is {int(array[n])}, expected 0 <= length <= seq_len = {seq_len}")
    return _settled(array, np.dtype(np.int64))


def check_pair(name, value, symbols):
    """Return `value` as a tuple of two, which `symbols` (say ``("h_0", "c_0")``) names."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        came = f"a {type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else _described(value)
        raise TypeError(f"{name} is {came}, expected a pair ({symbols[0]}, {symbols[1]})")
    return tuple(value)


def check_states(name, states, num_recurrent):
    """Return `states` as a list with one entry for each recurrent layer; None stands for a None in each."""
    if states is None:
        return [None] * num_recurrent
    if not isinstance(states, list | tuple):
        raise TypeError(f"{name} is {_described(states)}, expected a list with one entry per recurrent layer")
    if len(states) != num_recurrent:
        raise ValueError(f"{name} has {len(states)} entries, expected one per recurrent layer = {num_recurrent}")
    return list(states)


def check_tokens_in_range(name, tokens, num_embeddings):
    """Check that 0 <= token < num_embeddings for the integers `tokens`, of any shape."""
    outside = (tokens < 0) | (tokens >= num_embeddings)
    if outside.any():
        token = int(tokens[outside][0])
        raise ValueError(f"{name} holds the token {token}, expected 0 <= token < num_embeddings = {num_embeddings}")


def check_names(name, given, expected):
    """Check that the mapping `given` has exactly the keys `expected`; the message lists them."""
    missing = [key for key in expected if key not in given]
    unexpected = [key for key in given if key not in expected]
    parts = [f"lacks {_listed(missing)}"] if missing else []
    parts += [f"has the unexpected {_listed(unexpected)}"] if unexpected else []
    if parts:
        raise ValueError(f"{name} {' and '.join(parts)}, expected the keys {_listed(list(expected))}")


def check_parameters(name, given, expected, dtype=None):
    """Check a mapping of arrays against a layer's parameters.

    Parameters
    ----------
    name : str
        The argument.
    given : mapping of str to array_like
        What came: the keys of `expected`, each with an array of real numbers of that shape.
    expected : mapping of str to ndarray
        The layer's parameters.
    dtype : dtype, optional
        The one dtype that is accepted, byte order included.

    Returns
    -------
    dict of str to ndarray
        The arrays in the order of `expected`, with the dtype and the strides that they came with.
    """
    if not hasattr(given, "keys"):
        raise TypeError(f"{name} is {_described(given)}, expected a mapping of parameter names to arrays")
    check_names(name, given, expected)
    arrays = {key: _plain(f"{name}[{key!r}]", given[key]) for key in expected}
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name}[{key!r}] has dtype {array.dtype}, expected real numbers")
        if dtype is not None and array.dtype != dtype:
            raise TypeError(f"{name}[{key!r}] has dtype {array.dtype}, expected {dtype}")
    wrong = [
        f"{key} has shape {array.shape}, expected {expected[key].shape}"
        for key, array in arrays.items()
        if array.shape != expected[key].shape
    ]
    if wrong:
        raise ValueError(f"{name} has arrays of other shapes: {'; '.join(wrong)}")
    return arrays


def _is_ready(value, dtype):
    """Whether `value` is an array that `as_array` gives back as it is: asking is cheaper than np.errstate."""
    if type(value) is not np.ndarray or dtype is None or value.dtype != dtype:
        return False
    flags = value.flags
    return flags.c_contiguous and flags.aligned


def _plain(name, value):
    """Return `value` as an array of whatever dtype NumPy finds in it."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} cannot be read as one array: {error}") from None


def _settled(array, dtype):
    """Return `array` in `dtype` (native order), C-contiguous and aligned, copied only if it is not so yet."""
    array = np.asarray(array, dtype=dtype, order="C")
    return array if array.flags.aligned else array.copy()


def _tuple_text(parts):
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def _listed(keys):
    return ", ".join(repr(key) for key in keys) if keys else "(none)"


def _described(value):
    return f"an object of type {type(value).__name__}"
