"""Values of parameters and attributes as JSON and arrays, types kept, and back. Nothing but the kinds of this file.

None, booleans, integers, finite floats, text and lists are themselves in JSON; any other value is an object with one
key, which says what it is: ``{"tuple": [...]}``.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .. import schedules
from ..layers._base import Layer
from ..models._composites import build, describe, expected_arrays

_SCALARS = tuple("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split())
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_TYPES = {"float32": np.float32, "float64": np.float64}
_GENERATOR_LIMITS = (2**128, 2**128, 2, 2**32)  # state, increment, has_uint32, uinteger of PCG64
_MAX_CHARACTERS = 2**26  # of an array of text, which takes 4 bytes each


def encode(value, name, arrays):
    """Return `value` as JSON; arrays in it go into the dict `arrays` under names that begin with `name`.

    Raises
    ------
    TypeError
        Where it is of a kind that a file cannot hold.
    """
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, np.generic) and value.dtype.name in _SCALARS:  # numpy.float64 is a float too
        return {"scalar": [value.dtype.name, encode(value.item(), name, arrays)]}
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, list | tuple):
        items = [encode(item, f"{name}.{k}", arrays) for k, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict):
        pairs = enumerate(value.items())
        return {"dict": [encode(list(pair), f"{name}.{k}", arrays) for k, pair in pairs]}
    if isinstance(value, np.dtype) and value.name in _TYPES:
        return {"dtype": value.name}
    if isinstance(value, type) and value in _TYPES.values():
        return {"type": value.__name__}
    if type(value) is np.ndarray:
        return _encode_array(value, name, arrays)
    if isinstance(value, Layer):
        return {"layer": describe(value, arrays, f"{name}.")}
    if isinstance(value, np.random.Generator) and type(value.bit_generator) is np.random.PCG64:
        return {"generator": _encode_generator(value)}
    if _schedule_class(type(value).__name__) is type(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"schedule": [type(value).__name__, encode(fields, name, arrays)]}
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    hint = "; an integer, None or numpy.random.default_rng(...) can be saved" if name == "random_state" else ""
    raise TypeError(f"{name} is or holds an object of type {kind}, which a file cannot hold{hint}")


def _encode_array(array, name, arrays):
    if array.dtype.name in _SCALARS:
        arrays[name] = array
        return {"array": name}
    width = array.dtype.itemsize // 4
    if array.dtype.kind == "U" and array.ndim == 1 and width * array.size <= _MAX_CHARACTERS:
        return {"text": [width, array.tolist()]}
    if array.dtype.kind == "O" and array.ndim == 1:
        return {"objects": [encode(item, f"{name}.{k}", arrays) for k, item in enumerate(array)]}
    raise TypeError(f"{name} is or holds an array of {array.dtype} of shape {array.shape}, which a file cannot hold")


def _encode_generator(generator):
    state = generator.bit_generator.state
    return [state["state"]["state"], state["state"]["inc"], state["has_uint32"], state["uinteger"]]


def _schedule_class(name):
    """Return the class of schedules of that name, or None."""
    cls = getattr(schedules, name, None) if name in schedules.__all__ else None
    return cls if dataclasses.is_dataclass(cls) else None


class Decoder:
    """The way back from `encode`.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Those of the file.
    expected : dict, optional
        Where given, no layer is made, an empty one stands for each, and this dict gets (shape, dtype name) of every
        array that belongs to a value, by name.
    """

    def __init__(self, arrays, expected=None):
        self._arrays, self._expected = arrays, expected

    def decode(self, node, name):
        """Return the value of a JSON `node`, encoded under `name`; ValueError where it is none."""
        if isinstance(node, list):
            return [self.decode(item, f"{name}.{k}") for k, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        kind, content = next(iter(node.items())) if len(node) == 1 else (None, None)
        method = self._METHODS.get(kind)
        if method is None:
            raise ValueError(f"{name} is {node!r:.80}, expected an object with one key of {', '.join(self._METHODS)}")
        return method(self, content, name)

    def _scalar(self, content, name):
        dtype, item = self._pair(content, name)
        item = self.decode(item, name)
        _require(dtype in _SCALARS and type(item) in (bool, int, float), name, content, "[dtype, number]")
        return np.dtype(dtype).type(item)

    def _float(self, content, name):
        _require(isinstance(content, str) and content in _NOT_FINITE, name, content, "nan, inf or -inf")
        return _NOT_FINITE[content]

    def _tuple(self, content, name):
        return tuple(self.decode(_listed(content, name), name))

    def _dict(self, content, name):
        pairs = [self.decode(self._pair(pair, name), f"{name}.{k}") for k, pair in enumerate(_listed(content, name))]
        _require(all(isinstance(key, str | int | float | np.generic) for key, _ in pairs), name, content, "plain keys")
        return dict(pairs)

    def _dtype(self, content, name):
        _require(isinstance(content, str) and content in _TYPES, name, content, "float32 or float64")
        return np.dtype(content)

    def _type(self, content, name):
        return self._dtype(content, name).type

    def _array(self, content, name):
        _require(content == name and name in self._arrays, name, content, f"the name of the array {name!r} of the file")
        array = self._arrays[name]
        if self._expected is not None:
            self._expected[name] = array.shape, array.dtype.name
        return array

    def _text(self, content, name):
        width, items = self._pair(content, name)
        fits = type(width) is int and width >= 0 and isinstance(items, list)
        fits = fits and width * len(items) <= _MAX_CHARACTERS
        fits = fits and all(isinstance(item, str) and len(item) <= width for item in items)
        _require(fits, name, content, "[largest length, texts]")
        return np.array(items, dtype=f"<U{width}")

    def _objects(self, content, name):
        items = self.decode(_listed(content, name), name)
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array

    def _layer(self, content, name):
        expected = expected_arrays(content, len(self._arrays), f"{name}.")
        if self._expected is None:
            return build(content, self._arrays, f"{name}.")
        self._expected |= expected
        return Layer(None)

    def _schedule(self, content, name):
        cls_name, fields = self._pair(content, name)
        cls = _schedule_class(cls_name) if isinstance(cls_name, str) else None
        _require(cls is not None, name, content, "[class of fastrnn.schedules, fields]")
        fields, known = self.decode(fields, name), {field.name for field in dataclasses.fields(cls)}
        _require(isinstance(fields, dict) and set(fields) <= known, name, content, f"fields of {', '.join(known)}")
        return cls(**fields)

    def _generator(self, content, name):
        fits = isinstance(content, list) and len(content) == 4 and all(type(number) is int for number in content)
        fits = fits and all(0 <= number < limit for number, limit in zip(content, _GENERATOR_LIMITS))
        _require(fits, name, content, "the four numbers of a PCG64 generator")
        state, inc, has_uint32, uinteger = content
        bits = np.random.PCG64(0)
        inner = {"state": state, "inc": inc}
        bits.state = {"bit_generator": "PCG64", "state": inner, "has_uint32": has_uint32, "uinteger": uinteger}
        return np.random.Generator(bits)

    def _pair(self, content, name):
        _require(isinstance(content, list) and len(content) == 2, name, content, "a list of two")
        return content

    _METHODS = {
        "scalar": _scalar,
        "float": _float,
        "tuple": _tuple,
        "dict": _dict,
        "dtype": _dtype,
        "type": _type,
        "array": _array,
        "text": _text,
        "objects": _objects,
        "layer": _layer,
        "schedule": _schedule,
        "generator": _generator,
    }


def _listed(content, name):
    _require(isinstance(content, list), name, content, "a list")
    return content


def _require(fits, name, content, expected):
    if not fits:
        raise ValueError(f"{name} holds {content!r:.80}, expected {expected}")
