"""Named arrays and text in one file: safetensors, written atomically, and checked in full before anything is returned.

`write_object` and `read_object` add the envelope of `fastrnn.save`: a description in JSON, with a format and a version.
The file is one that every safetensors reader reads. Its metadata also holds a SHA-256 of names, types, shapes, text and
data: a flipped bit anywhere is found, while a file that somebody made on purpose is only ever numbers and text.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
from contextlib import suppress
from math import isfinite

import numpy as np

import fastrnn

__all__ = ["FileFormatError", "read_arrays", "write_arrays"]

# safetensors' names of the dtypes that NumPy has too
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_DIGEST = "sha256"
FORMAT, FORMAT_VERSION = "fastrnn", 1  # of `write_object`
_KEYS = ("format", "format_version", "fastrnn_version", "config")
MAX_HEADER_BYTES = 100_000_000  # of the format
MAX_DEPTH = 100  # of brackets in JSON; readers of JSON recurse
_FOREIGN = (  # first bytes of what people take for a file of weights
    (b"PK\x03\x04", "it is a zip archive (.npz, .pt, .keras)"),
    (b"\x89HDF", "it is an HDF5 file"),
    (b"\x93NUMPY", "it is a .npy file"),
    *((b"\x80" + bytes([protocol]), "it is a pickle, which is never loaded") for protocol in range(2, 6)),
)
# a string, ended or not, or a bracket; possessive, so that it is linear in any text
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|[\[\]{}]', re.DOTALL)


class FileFormatError(ValueError):
    """A file is not what it should be; the message names the file and what is wrong with it."""


def write_arrays(path, arrays, metadata):
    """Write one file, or leave everything as it was.

    The file is written under another name in the same folder, brought to the disk and then renamed: at any moment, a
    power failure included, `path` is the old file or the new one. A process killed meanwhile leaves a file
    ``.fastrnn-*.tmp`` behind. The same arguments give the same bytes.

    Parameters
    ----------
    path : str or path-like
        An existing file is replaced and its permissions are kept.
    arrays : dict of str to ndarray
        Of any shape and strides; booleans, integers, float16, float32 or float64.
    metadata : dict of str to str
        Any keys but "sha256".

    Raises
    ------
    TypeError
        Where an array has another dtype, or a name or a text is no str.
    OSError
        Where the folder is missing or the disk is full, say; the old file is then still there.

    References
    ----------
    The safetensors format, https://github.com/huggingface/safetensors#format.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastrnn.storage import read_arrays, write_arrays
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> write_arrays(path, {"w": np.eye(2)}, {"made_by": "me"})
    >>> arrays, metadata = read_arrays(path)
    >>> arrays["w"].tolist(), metadata
    ([[1.0, 0.0], [0.0, 1.0]], {'made_by': 'me'})
    """
    arrays = {_text("a name of arrays", name): _storable(name, array) for name, array in arrays.items()}
    metadata = {_text("a key of metadata", key): _text(f"metadata[{key!r}]", text) for key, text in metadata.items()}
    if _DIGEST in metadata or "__metadata__" in arrays:
        raise ValueError(f"{_DIGEST!r} in metadata and '__metadata__' in arrays are taken, expected other names")
    metadata = dict(sorted(metadata.items())) | {_DIGEST: _digest(arrays, metadata)}
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))  # the data of each is aligned
    header = _header(arrays, order, metadata)
    _write_atomically(os.path.realpath(os.fsdecode(path)), [header, *(_bytes(arrays[name]) for name in order)])


def read_arrays(path):
    """Read a file that `write_arrays` wrote. Nothing in it is executed.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    arrays : dict of str to ndarray
        Writable.
    metadata : dict of str to str

    Raises
    ------
    FileFormatError
        Where the file is not whole, was changed, or never was one of these.
    OSError
        Where there is no such file, or it may not be read.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastrnn.storage import FileFormatError, read_arrays, write_arrays
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> write_arrays(path, {"w": np.arange(3.0)}, {})
    >>> read_arrays(path)
    ({'w': array([0., 1., 2.])}, {})
    >>> with open(path, "r+b") as file:  # damage
    ...     _ = file.seek(-1, os.SEEK_END), file.write(b"!")
    >>> try:
    ...     _ = read_arrays(path)
    ... except FileFormatError as error:
    ...     print(str(error).partition("cannot be loaded: ")[2])
    its contents do not give the SHA-256 that it states: it is damaged or was changed
    """
    import safetensors
    import safetensors.numpy

    path = os.fsdecode(path)
    try:
        data = _contents(path)
        metadata = _checked_metadata(data)
        arrays = dict(safetensors.numpy.load(data))  # checks dtypes, shapes, offsets and their cover of the file
        del data
        expected = metadata.pop(_DIGEST, None)
        if expected is None:
            raise ValueError(f"its metadata lacks {_DIGEST!r}: it is a safetensors file that fastrnn did not write")
        if _digest(arrays, metadata) != expected:
            raise ValueError("its contents do not give the SHA-256 that it states: it is damaged or was changed")
    except (ValueError, OverflowError, safetensors.SafetensorError) as error:
        raise FileFormatError(f"{path!r} cannot be loaded: {error}") from error
    return arrays, metadata


def write_object(path, description, arrays):
    """Write an object's description, a JSON object with a class, and its arrays; as `write_arrays`.

    Parameters
    ----------
    path : str or path-like
    description : dict
    arrays : dict of str to ndarray
    """
    config = json.dumps(description, allow_nan=False)
    strict_json("the configuration", config)  # what cannot be read is not written
    values = FORMAT, str(FORMAT_VERSION), fastrnn.__version__, config
    write_arrays(path, arrays, dict(zip(_KEYS, values, strict=True)))


def read_object(path, restore):
    """Return ``restore(description, arrays)`` of a file that `write_object` wrote.

    Parameters
    ----------
    path : str or path-like
    restore : callable
        Its TypeError, ValueError and ArithmeticError become a `FileFormatError` that names the file.

    Raises
    ------
    FileFormatError
        Where the file is not whole, or is none of these.
    OSError
        Where there is no such file, or it may not be read.
    """
    arrays, metadata = read_arrays(path)
    try:
        return restore(_description(metadata), arrays)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise FileFormatError(f"{os.fsdecode(path)!r} cannot be loaded: {error}") from error


def strict_json(what, text):
    """Return the value of a JSON text; `what` names it in errors.

    Raises
    ------
    ValueError
        Where `text` is no JSON, repeats a key of an object, holds a number that is not finite, or is nested deeper
        than `MAX_DEPTH`.
    """
    if (depth := _depth(text)) > MAX_DEPTH:
        raise ValueError(f"{what} is nested {depth} deep, expected at most {MAX_DEPTH}")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
    except ValueError as error:
        raise ValueError(f"{what} is not valid JSON: {error}") from None


# writing


def _text(what, value):
    if not isinstance(value, str):
        raise TypeError(f"{what} is {value!r} ({type(value).__name__}), expected a str")
    value.encode()  # lone surrogates are a UnicodeEncodeError, which is a ValueError
    return value


def _storable(name, array):
    """Return `array` C-contiguous and little-endian."""
    array = np.asarray(array)
    if array.dtype.newbyteorder("=") not in _NAMES:
        kinds = "booleans, integers, float16, float32 or float64"
        raise TypeError(f"arrays[{name!r}] has dtype {array.dtype}, expected {kinds}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _bytes(array):
    return array.reshape(-1).view(np.uint8)


def _digest(arrays, metadata):
    names = sorted(arrays)
    outline = [[name, arrays[name].dtype.name, list(arrays[name].shape)] for name in names]
    digest = hashlib.sha256(json.dumps([sorted(metadata.items()), outline]).encode())
    for name in names:
        digest.update(_bytes(arrays[name]))
    return digest.hexdigest()


def _header(arrays, order, metadata):
    """Return the length of the JSON in 8 bytes and the JSON, filled up with spaces to a multiple of 8."""
    entries, begin = {"__metadata__": metadata}, 0
    for name in order:
        array = arrays[name]
        end = begin + array.nbytes
        dtype = _NAMES[array.dtype.newbyteorder("=")]
        entries[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"metadata and names take {len(text)} bytes, expected at most {MAX_HEADER_BYTES}")
    return len(text).to_bytes(8, "little") + text


def _write_atomically(target, parts):
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".fastrnn-{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder) from None
    try:
        with open(descriptor, "wb") as file:
            with suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder):
    """Bring the new name to the disk, where folders can be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems do not know it
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


# reading


def _contents(path):
    """Return the bytes of a file whose beginning is that of a safetensors file."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
        raise ValueError("it is no regular file")
    with open(path, "rb") as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(8)
        for first_bytes, kind in _FOREIGN:
            if start.startswith(first_bytes) and int.from_bytes(start, "little") > size - 8:
                raise ValueError(f"{kind}, expected a safetensors file")
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > size - 8:
            raise ValueError(
                f"it has {size} bytes, expected 8 and the {length} of a header: it is truncated or no safetensors file"
            )
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"its header has {length} bytes, expected at most {MAX_HEADER_BYTES}")
        return start + file.read()


def _checked_metadata(data):
    """Check what the safetensors package lets pass: repeated keys, depth, dtypes unknown to NumPy."""
    length = int.from_bytes(data[:8], "little")
    entries = strict_json("its header", data[8 : 8 + length].decode())
    if not isinstance(entries, dict):
        raise ValueError("its header is no JSON object")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata is no mapping of text to text")
    for name, entry in entries.items():
        dtype = entry.get("dtype") if isinstance(entry, dict) else None
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise ValueError(f"its array {name!r} has dtype {dtype!r}, expected one of {', '.join(_DTYPES)}")
    return metadata


def _description(metadata):
    """Return the configuration, an object with a class, from the metadata of a file."""
    if metadata.get("format") != FORMAT:
        raise ValueError(f"its format is {metadata.get('format')!r:.80}, expected {FORMAT!r} as fastrnn.save writes it")
    version = metadata.get("format_version", "")
    if not (version.isascii() and version.isdigit() and 0 < len(version) < 10):
        raise ValueError(f"its format_version is {version!r:.80}, expected a number")
    if int(version) > FORMAT_VERSION:
        raise ValueError(
            f"it has format_version {version}, written by fastrnn {metadata.get('fastrnn_version')!r:.80}; "
            f"this is fastrnn {fastrnn.__version__}, which reads up to {FORMAT_VERSION}: upgrade fastrnn"
        )
    description = strict_json("its configuration", metadata.get("config", ""))
    if not isinstance(description, dict) or not isinstance(description.get("class"), str):
        raise ValueError("its configuration is no object with a class")
    return description


def _depth(text):
    depth = deepest = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        mark = found[0]
        if mark in ("[", "{"):
            depth += 1
            deepest = max(deepest, depth)
        elif mark in ("]", "}"):
            depth -= 1
    return deepest


def _unique(pairs):
    found = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice")
        found[key] = value
    return found


def _finite(digits):
    number = float(digits)
    if not isfinite(number):
        raise ValueError(f"{digits} is not a finite number")
    return number
