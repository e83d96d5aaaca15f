"""Which module reads and writes which files. A new format is a line in `FORMATS`; its module is imported when used.

Such a module has ``read(path, **options)``, which returns a Network, and ``outline(path)``, which returns lines of text
about a file. Where it can write, it has ``write(network, path)``.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import NamedTuple

from ..storage import FORMAT
from ._entries import mapped
from ._safetensors import entries


class Format(NamedTuple):
    """One kind of file."""

    name: str
    suffixes: tuple
    home: str

    def module(self):
        """Return the module that reads it."""
        return import_module(self.home)


OWN = Format("fastrnn", (".safetensors",), "fastrnn.io.own")
FORMATS = [
    OWN,
    Format("torch", (".pt", ".pth", ".bin", ".ckpt", ".safetensors"), "fastrnn.io.torch"),
    Format("keras", (".keras", ".h5", ".hdf5"), "fastrnn.io.keras"),
    Format("onnx", (".onnx",), "fastrnn.io.onnx"),
]


def format_of(path, *, exists=True):
    """Return the Format of a file: by its suffix, and of a safetensors file that exists by its metadata too.

    Parameters
    ----------
    path : str or path-like
    exists : bool, default=True
        False for a file to be written.

    Raises
    ------
    ValueError
        Where no format has the suffix.
    """
    suffix = os.path.splitext(os.fsdecode(path))[1].lower()
    found = [form for form in FORMATS if suffix in form.suffixes]
    if not found:
        known = ", ".join(dict.fromkeys(s for form in FORMATS for s in form.suffixes))
        raise ValueError(f"{os.fsdecode(path)!r} has the suffix {suffix!r}, expected one of {known}")
    if found[0] is OWN and exists and not _is_own(path):
        return found[1]
    return found[0]


def _is_own(path):
    try:
        return entries(mapped(path))[1].get("format") == FORMAT
    except ValueError:  # whoever reads it says what is wrong
        return False
