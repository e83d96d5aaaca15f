"""Named arrays in a file that is mapped into memory: what they are, and their values when they are asked for."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..storage import FileFormatError


@dataclass(frozen=True)
class Entry:
    """One array of a file.

    Attributes
    ----------
    dtype : str
        NumPy's name, or "bfloat16".
    shape : tuple of int
    read : callable
        Returns the array, read-only; a bfloat16 one as float32, which holds each of its values.
    """

    dtype: str
    shape: tuple
    read: Callable

    @property
    def nbytes(self):
        """Bytes in the file."""
        itemsize = 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize
        return int(np.prod(self.shape, dtype=np.int64)) * itemsize


def mapped(path):
    """Return the contents of a regular file, mapped into memory.

    Raises
    ------
    FileFormatError
        Where it is empty or no regular file.
    OSError
        Where there is none, or it may not be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
        raise FileFormatError(f"{os.fsdecode(path)!r} cannot be loaded: it is no regular file")
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise FileFormatError(f"{os.fsdecode(path)!r} cannot be loaded: it is empty")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def numbers(data, dtype, count, start, *, big_endian=False):
    """Return `count` numbers of `dtype` that stand in `data` from byte `start`."""
    kind = np.dtype("u2" if dtype == "bfloat16" else dtype)
    found = np.frombuffer(data, kind.newbyteorder(">" if big_endian else "<"), count, start)
    if dtype != "bfloat16":
        return found
    return (found.astype(np.uint32) << 16).view(np.float32)  # the upper half of a float32
