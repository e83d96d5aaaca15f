"""Types and shapes of an HDF5 file: numbers, and text of fixed or of any length."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

_FIXED, _FLOAT, _TEXT, _ANY_LENGTH = 0, 1, 3, 9
_NUMPY_FLOATS = {  # by size in bytes and bits of the exponent
    (2, 5): "f2",
    (4, 8): "f4",
    (8, 11): "f8",
}
_REFERENCE = 16  # bytes of a length, an address and an index


@dataclass(frozen=True)
class Type:
    """What an element is.

    Attributes
    ----------
    name : str
        For errors.
    itemsize : int
    numpy : dtype or None
        None for what is no number.
    is_text : bool
        Of fixed length; of any length where `name` is "text of any length".
    """

    name: str
    itemsize: int
    numpy: np.dtype | None = None
    is_text: bool = False


def read_type(body):
    """Return the Type that a datatype message says."""
    if len(body) < 8:
        raise ValueError("an HDF5 type is cut short")
    kind, bits = body[0] & 15, body[1]
    (size,) = struct.unpack("<I", body[4:8])
    if not size:
        raise ValueError("an HDF5 type has no bytes")
    order = ">" if bits & 1 else "<"
    if kind == _FIXED and size in (1, 2, 4, 8):
        return _number(f"{order}{'i' if bits & 8 else 'u'}{size}")
    if kind == _FLOAT and len(body) >= 20 and (size, body[13]) in _NUMPY_FLOATS:
        return _number(order + _NUMPY_FLOATS[size, body[13]])
    if kind == _TEXT:
        return Type("text", size, is_text=True)
    if kind == _ANY_LENGTH and bits & 15 == 1 and size == _REFERENCE:
        return Type("text of any length", size, is_text=True)
    return Type(f"an HDF5 type of class {kind}", size)


def _number(code):
    dtype = np.dtype(code)
    return Type(dtype.name, dtype.itemsize, dtype)


def read_space(body):
    """Return the shape that a dataspace message says."""
    version, rank = (body[0], body[1]) if len(body) >= 4 else (0, 0)
    start = {1: 8, 2: 4}.get(version)
    if start is None or len(body) < start + 8 * rank:
        raise ValueError("an HDF5 shape is damaged")
    if version == 2 and body[3] == 2:
        return (0,)
    return struct.unpack(f"<{rank}Q", body[start : start + 8 * rank])


def values(dtype, count, data, heap_text):
    """Return `count` values of an attribute, a list of text or an array of numbers.

    Parameters
    ----------
    dtype : Type
    count : int
    data : bytes-like
        At least ``count * dtype.itemsize`` bytes.
    heap_text : callable
        ``heap_text(address, index, length)`` gives the bytes of a text of any length.
    """
    if dtype.numpy is not None:
        return np.frombuffer(data, dtype.numpy, count).tolist()
    if not dtype.is_text:
        raise ValueError(f"an attribute holds {dtype.name}, expected text or numbers")
    cells = [bytes(data[k * dtype.itemsize : (k + 1) * dtype.itemsize]) for k in range(count)]
    if dtype.name == "text":
        return [cell.rstrip(b"\0").decode() for cell in cells]
    found = []
    for cell in cells:
        length, address, index = struct.unpack("<IQI", cell)
        found.append(heap_text(address, index, length).decode() if length else "")
    return found
