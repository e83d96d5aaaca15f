"""Files of Keras: ``.keras`` archives and ``.h5`` files of whole models, read without Keras."""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass

from ..storage import FileFormatError, strict_json
from . import _keras_hdf5
from ._entries import mapped

_ZIP = b"PK\x03\x04"
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_EXPANSION = 100  # of a compressed part; Keras compresses none


@dataclass(frozen=True)
class Source:
    """What a file says.

    Attributes
    ----------
    model : dict
        The configuration, with class_name and config.
    version : int
        Major version of the Keras that wrote it.
    root : Group
        Of its weights.
    is_archive : bool
    """

    model: dict
    version: int
    root: _keras_hdf5.Group
    is_archive: bool


def read_source(path):
    """Return the Source of a file; which of the two forms it is, its first bytes say.

    Raises
    ------
    ValueError
        Where it is not whole, or is none of these.
    OSError
        Where there is no such file, or it may not be read.
    """
    data = mapped(path)
    if data[:4] == _ZIP:
        return _of_archive(path)
    if data[:8] == _keras_hdf5.SIGNATURE:
        return _of_hdf5(data)
    raise ValueError("it is neither a .keras archive nor an HDF5 file")


def naming(path, function):
    """Return what `function` gives; its errors name the file.

    Raises
    ------
    FileFormatError
    """
    try:
        return function()
    except FileFormatError:
        raise
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise FileFormatError(f"{os.fsdecode(path)!r} cannot be loaded: {error}") from error


def _of_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            parts = {part.filename: part for part in archive.infolist()}
            found = {name: _part(archive, parts[name]) for name in (_CONFIG, _METADATA, _WEIGHTS) if name in parts}
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        struct.error,
        zlib.error,
    ) as error:
        raise ValueError(f"it is a damaged zip archive: {error}") from error
    if _CONFIG not in found or _WEIGHTS not in found:
        what = " (it holds sharded or NumPy weights)" if any(name.startswith("model.weights") for name in parts) else ""
        raise ValueError(f"it is a zip archive without {_CONFIG} and {_WEIGHTS}{what}: no .keras file")
    model = _json(_CONFIG, found[_CONFIG])
    metadata = _json(_METADATA, found[_METADATA]) if _METADATA in found else {}
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return Source(model, _major(version), _keras_hdf5.read(found[_WEIGHTS]), True)


def _part(archive, part):
    if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"its part {part.filename!r} is compressed in a way that is not known")
    if part.file_size > MAX_EXPANSION * part.compress_size:
        raise ValueError(
            f"its part {part.filename!r} has {part.compress_size} bytes and says that it expands to {part.file_size}, "
            f"expected at most {MAX_EXPANSION} times as many"
        )
    return archive.read(part)


def _of_hdf5(data):
    root = _keras_hdf5.read(data)
    text = root.attribute("model_config")
    if text is None:
        kinds = ("layers", "_layer_checkpoint_dependencies")
        weights_only = root.attribute("layer_names") is not None or any(kind in root.members for kind in kinds)
        raise ValueError(
            "it holds weights without the configuration of a model, which says how layers follow each other: "
            "load it in Keras and save the whole model"
            if weights_only
            else "it is an HDF5 file without the attribute model_config of a Keras model"
        )
    weights = root.members.get("model_weights")
    version = root.attribute("keras_version")
    if version is None and isinstance(weights, _keras_hdf5.Group):
        version = weights.attribute("keras_version")
    return Source(_json("model_config", text), _major(version), root, False)


def _json(what, text):
    model = strict_json(what, text if isinstance(text, str) else _text(what, text))
    if not isinstance(model, dict):
        raise ValueError(f"{what} is no JSON object")
    if what != _METADATA and isinstance(model.get("config"), list):  # Keras before 2.2.3: a Sequential is its layers
        model["config"] = {"layers": model["config"]}
    return model


def _text(what, value):
    if not isinstance(value, bytes):
        raise ValueError(f"{what} is no text")
    return value.decode()


def _major(version):
    """Return the major version of "2.13.1" or "2.2.4-tf"; 2 where it does not say."""
    found = re.match(r"(\d{1,4})\.", version) if isinstance(version, str) else None
    return int(found[1]) if found else 2
