"""Files of ``torch.save``, read without torch: zip archives (torch >= 1.6), and the older form of pickles in a row.

A zip archive has a checksum of each part, which is compared for every part that is used. The older form has none: its
tensors have to fill their storages, which finds damage to shapes, but damage to the numbers comes out as other numbers.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib

import numpy as np

from ..storage import FileFormatError
from . import _pickle, _safetensors
from ._entries import Entry, mapped, numbers

_ZIP = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the older form
_MAGIC_BYTES = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PROTOCOL = 1001
_LOCAL = struct.Struct("<4s5H3L2H")  # the header in front of each part of a zip archive
MAX_DEPTH = 50


def read_entries(path):
    """Return the tensors of a ``.pt`` or ``.safetensors`` file by name, nothing of it executed.

    Parameters
    ----------
    path : str or path-like
        Which of the formats it is, its first bytes say.

    Returns
    -------
    entries : dict of str to Entry
        Of containers in containers, names and places are joined by dots: ``model_state.encoder.lstm.weight_ih_l0``.
    metadata : dict of str to str
        Of a safetensors file.

    Raises
    ------
    FileFormatError
        Where it is not whole, or holds more than tensors in plain containers.
    OSError
        Where there is no such file, or it may not be read.
    """
    data = mapped(path)
    try:
        if data[:4] == _ZIP:
            return _of_archive(data), {}
        if data[: len(_MAGIC_BYTES)] == _MAGIC_BYTES:
            return _of_pickles(data), {}
        if data[:1] == b"\x80" and int.from_bytes(data[:8], "little") > len(data) - 8:
            raise ValueError("it is a pickle, but not one of torch.save")
        return _safetensors.entries(data)
    except ValueError as error:
        raise FileFormatError(f"{os.fsdecode(path)!r} cannot be loaded: {error}") from error


# archives


def _of_archive(data):
    parts = _parts(data)
    roots = [name[: -len("data.pkl")] for name in parts if name.endswith("data.pkl") and name.count("/") <= 1]
    if len(roots) != 1:
        raise ValueError("it is a zip archive without the data.pkl of torch.save")
    (root,) = roots
    if f"{root}constants.pkl" in parts or any(name.startswith(f"{root}code/") for name in parts):
        raise ValueError("it is a TorchScript archive, which is a program: save state_dict() of the module instead")
    pickled = bytes(_contents(data, parts[f"{root}data.pkl"]))
    value, _ = _pickle.read(io.BytesIO(pickled), len(pickled))
    order = parts.get(f"{root}byteorder")
    big_endian = order is not None and bytes(_contents(data, order)) == b"big"

    def base(storage):
        part = parts.get(f"{root}data/{storage.key}")
        if part is None:
            raise ValueError(f"it has no part data/{storage.key:.80}")
        return numbers(_contents(data, part), storage.dtype, storage.size, 0, big_endian=big_endian)

    def check(tensor):
        storage = tensor.storage
        part = parts.get(f"{root}data/{storage.key}")
        if part is None or part.file_size < storage.size * _itemsize(storage):
            raise ValueError(f"its part data/{storage.key:.80} is missing or cut short")

    return _flat(value, len(pickled), base, check)


def _parts(data):
    """Return {name: ZipInfo} of an archive."""
    try:
        with zipfile.ZipFile(data) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OverflowError, OSError, struct.error) as error:
        raise ValueError(f"its directory is damaged or cut off: {error}") from error
    found = {part.filename: part for part in parts}
    if len(found) != len(parts):
        raise ValueError("a part of the archive stands twice")
    return found


def _contents(data, part):
    """Return a view of the bytes of one part, after its checksum."""
    header = data[part.header_offset : part.header_offset + _LOCAL.size]
    if len(header) < _LOCAL.size or header[:4] != _ZIP:
        raise ValueError(f"its part {part.filename!r:.80} is damaged")
    _, _, flags, method, *_, n_name, n_extra = _LOCAL.unpack(header)
    if flags & 1 or method or part.compress_type or part.compress_size != part.file_size:
        raise ValueError(f"its part {part.filename!r:.80} is compressed or encrypted, as torch.save writes none")
    begin = part.header_offset + _LOCAL.size + n_name + n_extra
    view = memoryview(data)[begin : begin + part.file_size]
    if len(view) != part.file_size or zlib.crc32(view) != part.CRC:
        raise ValueError(f"its part {part.filename!r:.80} does not give its checksum: it is damaged")
    return view


# pickles in a row


def _of_pickles(data):
    data.seek(0)
    magic, _ = _pickle.read(data, len(data))
    protocol, _ = _pickle.read(data, len(data))
    system, _ = _pickle.read(data, len(data))
    if magic != _MAGIC or protocol != _PROTOCOL or not isinstance(system, dict):
        raise ValueError("it begins like a file of torch.save and goes on otherwise")
    value, storages = _pickle.read(data, len(data))
    keys, _ = _pickle.read(data, len(data))
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise ValueError("its list of storages is damaged")
    begins, at = {}, data.tell()
    for key in keys:
        size = int.from_bytes(data[at : at + 8], "little")
        begins[key], at = at + 8, at + 8 + size * _itemsize(storages[key])
        if size != storages[key].size or at > len(data):
            raise ValueError(f"its storage {key:.80} is damaged or cut short")
    if system.get("little_endian") is not True:
        raise ValueError("it was not written on a little-endian machine")

    def base(storage):
        return numbers(data, storage.dtype, storage.size, begins[storage.key])

    spans = {}

    def check(tensor):
        if tensor.storage.key not in begins:
            raise ValueError(f"its storage {tensor.storage.key:.80} is missing")
        spans.setdefault(tensor.storage, set()).add(_span(tensor))

    found = _flat(value, len(data), base, check)
    for storage, own in spans.items():
        first, last = zip(*sorted(own), strict=True)
        if (*first, storage.size) != (0, *last):
            raise ValueError(
                f"its storage {storage.key:.80} is not filled by its tensors: it is damaged, or holds slices, which "
                "are read from the newer form of torch.save alone"
            )
    return found


def _span(tensor):
    """Return the first and the last number (exclusive) of a tensor, which must take all numbers between them."""
    size = 1
    for step, n in sorted(zip(tensor.strides, tensor.shape, strict=True)):
        if n > 1 and step != size:
            raise ValueError(f"a tensor of shape {tensor.shape} and strides {tensor.strides} has gaps")
        size *= n
    return tensor.offset, tensor.offset + size


# tensors


def _itemsize(storage):
    return 2 if storage.dtype == "bfloat16" else np.dtype(storage.dtype).itemsize


def _flat(value, limit, base, check):
    """Return {name: Entry} of the tensors in a value of containers, of at most `limit` things."""
    found, seen = {}, 0

    def visit(part, name, depth):
        nonlocal seen
        seen += 1
        if seen > limit or depth > MAX_DEPTH:
            raise ValueError("its containers are nested too deep, or without an end")
        if isinstance(part, _pickle.Tensor):
            if name in found:
                raise ValueError(f"the name {name!r:.120} stands twice")
            check(part)
            found[name] = _entry(part, base)
        elif isinstance(part, dict | list | tuple):
            for key, inner in part.items() if isinstance(part, dict) else enumerate(part):
                visit(inner, f"{name}.{key}" if name else str(key), depth + 1)

    visit(value, "", 0)
    return found


def _entry(tensor, base):
    dtype = "bfloat16" if tensor.storage.dtype == "bfloat16" else np.dtype(tensor.storage.dtype).name

    def read():
        array = base(tensor.storage)
        strides = [array.itemsize * step for step in tensor.strides]
        # its last number stands inside the storage: checked when the pickle was read
        return np.lib.stride_tricks.as_strided(array[tensor.offset :], tensor.shape, strides, writeable=False)

    return Entry(dtype, tensor.shape, read)
