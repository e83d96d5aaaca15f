"""HDF5 files as h5py writes them by default, read in Python: groups, attributes, and arrays in one piece.

The HDF5 library crashes or hangs on some damaged files, so that it is no reader for files of others. This one knows the
oldest form of the format, the only one that Keras writes, and holds each number against the size of the file before
anything is made of it.

References
----------
HDF5 File Format Specification Version 3.0, https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import struct
from math import prod

import numpy as np

from ._entries import Entry
from ._keras_hdf5_types import read_space, read_type, values

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_DEPTH = 50
MAX_AXES = 32
_NOWHERE = 0xFFFFFFFFFFFFFFFF
# messages of an object header
_SPACE, _TYPE, _LINK_INFO, _EXTERNAL, _LAYOUT, _ATTRIBUTE, _CONTINUED, _SYMBOLS = 1, 3, 2, 7, 8, 12, 16, 17
_SHARED = 2


class Group:
    """A group of a file.

    Attributes
    ----------
    members : dict of str to Group or Entry
    """

    def __init__(self, members, attributes):
        self.members, self._attributes = members, attributes

    def __contains__(self, name):
        return name in self._attributes

    def attribute(self, name):
        """Return a text, a number, or an array or list of them; None where there is none of the name."""
        read = self._attributes.get(name)
        return None if read is None else read()

    def entries(self, prefix=""):
        """Return {path: Entry} of all arrays in this group and in those below it."""
        found = {}
        for name, member in self.members.items():
            path = f"{prefix}{name}"
            found |= member.entries(f"{path}/") if isinstance(member, Group) else {path: member}
        return found


def read(data):
    """Return the root group of the contents of a file.

    Parameters
    ----------
    data : bytes-like
        Must stay as it is while arrays are read.

    Raises
    ------
    ValueError
        Where it is no whole file of the form.
    """
    if len(data) < 96 or bytes(data[:8]) != SIGNATURE:
        raise ValueError("it is no HDF5 file, or is cut short")
    version, size_of_offsets, size_of_lengths = data[8], data[13], data[14]
    if version in (2, 3):
        raise ValueError("it is an HDF5 file of libver='latest', expected h5py's default, which Keras writes")
    if version not in (0, 1) or (size_of_offsets, size_of_lengths) != (8, 8):
        raise ValueError("its HDF5 superblock is damaged")
    base, _, end, _ = _File(data).unpack("<4Q", 24 + 4 * version)
    if base != 0 or end > len(data):
        raise ValueError(f"it has {len(data)} bytes, but its HDF5 superblock says {end}: it is cut short or damaged")
    file = _File(data)
    (address,) = file.unpack("<Q", 56 + 4 * version + 8)
    root = file.object(address, 0)
    if not isinstance(root, Group):
        raise ValueError("its HDF5 root is no group")
    return root


class _File:
    def __init__(self, data):
        self.data = memoryview(data)
        self.seen: set[int] = set()  # addresses: a file is a tree
        self.heaps: dict[int, dict] = {}  # objects of global heaps, by address

    def bytes(self, at, size):
        if at < 0 or size < 0 or at + size > len(self.data):
            raise ValueError(f"its HDF5 structure points to byte {at + size} of {len(self.data)}: it is damaged")
        return self.data[at : at + size]

    def unpack(self, form, at):
        return struct.unpack(form, self.bytes(at, struct.calcsize(form)))

    def visit(self, at):
        if at in self.seen:
            raise ValueError(f"its HDF5 structure comes to byte {at} twice: it is damaged")
        self.seen.add(at)

    # objects

    def object(self, address, depth):
        """Return the Group or the Entry at an address."""
        if depth > MAX_DEPTH:
            raise ValueError(f"its HDF5 groups are nested deeper than {MAX_DEPTH}")
        messages = self._messages(address)
        kinds = {kind for kind, _, _ in messages}
        if _SYMBOLS in kinds:
            (body,) = (body for kind, _, body in messages if kind == _SYMBOLS)
            members = self._members(body, depth)
            return Group(members, dict(self._attribute(b, flags) for kind, flags, b in messages if kind == _ATTRIBUTE))
        if _LINK_INFO in kinds:
            raise ValueError("it has HDF5 groups of a newer form than Keras writes")
        return self._array(messages)

    def _messages(self, address):
        """Return [(type, flags, bytes)] of an object header of version 1."""
        self.visit(address)
        version, _, count, _, size = self.unpack("<BBHII", address)
        if version != 1:
            raise ValueError(f"its HDF5 object header has version {version}, expected 1")
        blocks, found, passed = [(address + 16, size)], [], 0
        while blocks and passed < count:
            at, size = blocks.pop(0)
            end = at + len(self.bytes(at, size))
            while at + 8 <= end and passed < count:
                kind, length, flags = self.unpack("<HHB", at)
                body = self.bytes(at + 8, length)
                if at + 8 + length > end:
                    raise ValueError("a message of an HDF5 object header is longer than its block")
                if kind == _CONTINUED:
                    start, size = struct.unpack("<2Q", _exactly(body, 16))
                    self.visit(start)
                    blocks.append((start, size))
                else:
                    found.append((kind, flags, body))
                at, passed = at + 8 + length, passed + 1
        if passed < count:
            raise ValueError("an HDF5 object header is cut short")
        if len({kind for kind, _, _ in found if kind in (_SYMBOLS, _SPACE, _TYPE, _LAYOUT)}) != sum(
            kind in (_SYMBOLS, _SPACE, _TYPE, _LAYOUT) for kind, _, _ in found
        ):
            raise ValueError("an HDF5 object header has a message twice")
        return found

    def _members(self, body, depth):
        """Return {name: member} of a symbol table: a tree of nodes and a heap of names."""
        tree, heap = struct.unpack("<2Q", _exactly(body, 16))
        signature, _, size, _, names = self.unpack("<4sI3Q", heap)
        if signature != b"HEAP":
            raise ValueError("an HDF5 heap of names is damaged")
        names, members, nodes = bytes(self.bytes(names, size)), {}, [tree]
        while nodes:
            node = nodes.pop()
            self.visit(node)
            signature, kind, _, count = self.unpack("<4sBBH", node)
            if signature == b"TREE" and kind == 0:
                nodes += self.unpack(f"<{2 * count + 1}Q", node + 24)[1::2]
                continue
            if signature != b"SNOD":
                raise ValueError("an HDF5 tree of names is damaged")
            (count,) = self.unpack("<H", node + 6)
            for k in range(count):
                offset, address, cache = self.unpack("<2QI", node + 8 + 40 * k)
                name = _name(names, offset)
                if cache == 2:
                    raise ValueError(f"{name!r:.120} is an HDF5 link to elsewhere")
                if name in members:
                    raise ValueError(f"the HDF5 name {name!r:.120} stands twice")
                members[name] = self.object(address, depth + 1)
        return dict(sorted(members.items()))

    # arrays and attributes

    def _array(self, messages):
        parts = {kind: body for kind, _, body in messages if kind in (_SPACE, _TYPE, _LAYOUT)}
        if len(parts) < 3 or any(flags & _SHARED for kind, flags, _ in messages if kind in parts):
            raise ValueError("an HDF5 object is neither a group nor a plain array")
        if _EXTERNAL in {kind for kind, _, _ in messages}:
            raise ValueError("an HDF5 array lies in another file")
        shape, dtype = read_space(parts[_SPACE]), read_type(parts[_TYPE])
        if len(shape) > MAX_AXES:
            raise ValueError(f"an HDF5 array has {len(shape)} axes, expected at most {MAX_AXES}")
        count = prod(shape)
        place = self._place(parts[_LAYOUT], count * dtype.itemsize)
        name = dtype.numpy.newbyteorder("=").name if dtype.numpy is not None else dtype.name

        def read():
            if dtype.numpy is None:
                raise ValueError(f"an HDF5 array holds {dtype.name}, expected numbers")
            array = np.frombuffer(place, dtype.numpy, count).reshape(shape)
            return array.astype(dtype.numpy.newbyteorder("="), copy=False)

        return Entry(name, shape, read)

    def _place(self, layout, size):
        """Return the bytes of an array."""
        version, kind = layout[0], layout[1]
        if version not in (3, 4) or kind not in (0, 1):
            raise ValueError("an HDF5 array is stored in chunks, expected one piece, as Keras writes it")
        if kind == 0:
            (stored,) = struct.unpack("<H", _exactly(layout[2:], 2))
            return _exactly(layout[4:], size) if stored >= size else _exactly(b"", size)
        address, _ = struct.unpack("<2Q", _exactly(layout[2:], 16))
        if address == _NOWHERE and size:
            raise ValueError("an HDF5 array was never written")
        return self.bytes(address, size) if size else b""

    def _attribute(self, body, flags):
        """Return the name of an attribute, and a function that reads it."""
        version, own_flags, name_size, type_size, space_size = struct.unpack("<BB3H", _exactly(body, 8))
        if version not in (1, 2, 3) or flags & _SHARED or (version > 1 and own_flags):
            raise ValueError("an HDF5 attribute is damaged, or of a form that Keras does not write")
        at, pieces = 9 if version == 3 else 8, []
        for size in (name_size, type_size, space_size):
            pieces.append(_exactly(body[at:], size))
            at += size + (-size % 8 if version == 1 else 0)
        name = _name(bytes(pieces[0]), 0)
        return name, lambda: self._value(name, read_type(pieces[1]), read_space(pieces[2]), body[at:])

    def _value(self, name, dtype, shape, data):
        count = prod(shape)
        if count * dtype.itemsize > len(data):
            raise ValueError(f"the HDF5 attribute {name!r:.120} is cut short")
        found = values(dtype, count, data, self._heap_text)
        return found if shape else found[0]

    def _heap_text(self, address, index, length):
        """Return `length` bytes of an object of a global heap."""
        if address not in self.heaps:
            self.heaps[address] = self._heap(address)
        if index not in self.heaps[address]:
            raise ValueError("an HDF5 text is missing from its heap")
        return bytes(_exactly(self.bytes(*self.heaps[address][index]), length))

    def _heap(self, address):
        """Return {index: (place, size)} of the objects of a global heap."""
        signature, _, size = self.unpack("<4sIQ", address)
        if signature != b"GCOL":
            raise ValueError("an HDF5 heap is damaged")
        at, end, found = address + 16, address + len(self.bytes(address, size)), {}
        while at + 16 <= end:
            index, _, _, size = self.unpack("<HHIQ", at)
            if index == 0 or index in found:  # 0 is the space that is left
                break
            found[index] = at + 16, size
            at += 16 + size + -size % 8
        return found


def _exactly(view, size):
    if len(view) < size:
        raise ValueError("an HDF5 message is cut short")
    return view[:size]


def _name(heap, offset):
    end = heap.find(b"\0", offset)
    if not 0 <= offset < len(heap) or end < 0:
        raise ValueError("an HDF5 name is damaged")
    return heap[offset:end].decode()
