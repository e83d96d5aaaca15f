"""Safetensors files of anybody, mapped into memory.

The safetensors package copies, has no bfloat16 in NumPy and takes a name that stands twice. The header is small and is
read here, with each number held against the size of the file before anything is made of it.

References
----------
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

from math import prod

from ..storage import MAX_HEADER_BYTES, strict_json
from ._entries import Entry, numbers

_DTYPES = {
    **{"F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2)},
    **{"I64": ("int64", 8), "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1)},
    **{"U64": ("uint64", 8), "U32": ("uint32", 4), "U16": ("uint16", 2), "U8": ("uint8", 1), "BOOL": ("bool", 1)},
}
MAX_AXES = 32


def entries(data):
    """Return (dict of str to Entry, metadata) of the bytes-like contents of a file.

    Raises
    ------
    ValueError
        Where the header is none, or does not fit the file.
    """
    size = len(data)
    length = int.from_bytes(data[:8], "little")
    if size < 8 or length > size - 8:
        raise ValueError(
            f"it has {size} bytes, expected 8 and the {length} of a header: it is cut short, or is neither "
            "a safetensors file nor one of torch.save"
        )
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header has {length} bytes, expected at most {MAX_HEADER_BYTES}")
    header = strict_json("its header", bytes(data[8 : 8 + length]).decode())
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata is no mapping of text to text")
    begin = 8 + length
    found = {name: _entry(name, described, data, begin) for name, described in header.items()}
    _check_cover([described["data_offsets"] for described in header.values()], size - begin)
    return found, metadata


def _entry(name, described, data, begin):
    if not isinstance(described, dict) or set(described) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"its array {name!r:.120} has no dtype, shape and data_offsets")
    kind, shape, offsets = described["dtype"], described["shape"], described["data_offsets"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise ValueError(f"its array {name!r:.120} has dtype {kind!r:.40}, expected one of {', '.join(_DTYPES)}")
    if not (_are_sizes(shape) and len(shape) <= MAX_AXES and _are_sizes(offsets) and len(offsets) == 2):
        raise ValueError(f"its array {name!r:.120} has a shape or data_offsets that are no lists of sizes")
    dtype, itemsize = _DTYPES[kind]
    first, last = offsets
    if prod(shape) * itemsize != last - first or last > len(data) - begin:
        raise ValueError(
            f"its array {name!r:.120} of shape {shape} and dtype {kind} has the bytes {first} to {last} of "
            f"{len(data) - begin}: it is cut short or damaged"
        )
    shape = tuple(shape)
    return Entry(dtype, shape, lambda: numbers(data, dtype, prod(shape), begin + first).reshape(shape))


def _are_sizes(value):
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**62 for size in value)


def _check_cover(offsets, size):
    """The arrays stand one behind the other and fill the file, as the format demands."""
    end = 0
    for first, last in sorted(offsets):
        if first != end:
            raise ValueError(f"the bytes {min(first, end)} to {max(first, end)} belong to no array, or to two")
        end = last
    if end != size:
        raise ValueError(f"its arrays end at byte {end} of {size}: it is cut short, or has a tail")
