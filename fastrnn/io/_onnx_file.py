"""ONNX models from files: parsed, with every tensor inside the model and of the size that it says. Nothing is executed.

A tensor's numbers are looked at only after their count has been held against the bytes that are there, so that a
damaged file costs no memory.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

MAX_FILE = 2**31 - 1  # bytes of one protobuf message


def import_onnx():
    """Return the package onnx."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError("ONNX models need the package onnx: pip install fastrnn[onnx]") from error
    return onnx


def read_model(source):
    """Return the model of a path, of bytes or of a ModelProto, and how errors name it.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto

    Returns
    -------
    model : onnx.ModelProto
        With all tensors inside, and local functions put in place of their calls. A copy where anything was changed.
    name : str

    Raises
    ------
    ValueError
        Where it is no ONNX model, or a tensor has not the size that it says, or lies outside the model's folder.
    """
    onnx = import_onnx()
    if isinstance(source, onnx.ModelProto):
        model, name, folder = source, "model", None
    elif isinstance(source, bytes | bytearray | memoryview):
        name, folder = "model", None
        model = _parsed(onnx, bytes(source), name)
    elif isinstance(source, str | os.PathLike):
        path = Path(os.fsdecode(source))
        name, folder = repr(str(path)), path.parent
        if path.stat().st_size > MAX_FILE:
            raise ValueError(f"{name} has {path.stat().st_size} bytes, expected at most {MAX_FILE} in one ONNX file")
        model = _parsed(onnx, path.read_bytes(), name)
    else:
        raise TypeError(f"model is an object of type {type(source).__name__}, expected a path or an onnx.ModelProto")
    _check_head(model, name)
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in tensors_of(model)):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        model = copy
        for tensor in tensors_of(model):
            _take_in(onnx, tensor, folder, name)
    for tensor in tensors_of(model):
        check_size_of(tensor, name)
    if model.functions:
        model = _inlined(onnx, model, name)
    return model, name


def _parsed(onnx, data, name):
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # google.protobuf.message.DecodeError, or what another implementation raises
        raise ValueError(f"{name} is no ONNX model, or damaged: {error}") from None
    return model


def _check_head(model, name):
    if not model.HasField("graph") or not model.graph.node:
        raise ValueError(f"{name} is no ONNX model, or damaged: it has no graph with nodes")
    if opset_of(model) is None:
        raise ValueError(f"{name} is no ONNX model, or damaged: it imports no ONNX operators")


def opset_of(model):
    """Return the version of ONNX's own operators that a model uses, or None."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)


def _inlined(onnx, model, name):
    try:
        from onnx import inliner

        return inliner.inline_local_functions(model)
    except Exception as error:
        raise ValueError(f"{name} has local functions that cannot be put in place: {error}") from None


# tensors


def graphs_of(graph):
    """Yield a graph and those in its nodes' attributes, at any depth."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs_of(inner)


def tensors_of(model):
    """Yield every dense tensor of a model: initialisers and attributes."""
    nodes = [node for function in model.functions for node in function.node]
    for graph in graphs_of(model.graph):
        yield from graph.initializer
        nodes += graph.node
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def check_size_of(tensor, name):
    """Raise ValueError where a tensor's dimensions ask for other than the numbers that it has."""
    onnx = import_onnx()
    if any(size < 0 for size in tensor.dims):
        raise ValueError(f"{name}: tensor {tensor.name!r} has dimensions {list(tensor.dims)}, expected none below 0")
    count = math.prod(tensor.dims)
    if tensor.data_type == onnx.TensorProto.STRING:
        have, expected = len(tensor.string_data), count
    elif tensor.HasField("raw_data"):
        have, expected = len(tensor.raw_data), bytes_of(tensor, name)
    else:
        fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
        have, expected = max(map(len, fields)), count
        if tensor.data_type in _two_fold(onnx):
            have = have // 2
        elif tensor.data_type in _packed(onnx):
            have = expected = 0 if count <= 8 * have else 1  # left to onnx, within what is there
    if have != expected:
        raise ValueError(
            f"{name}: tensor {tensor.name!r} of shape {tuple(tensor.dims)} has {have} numbers or bytes, expected "
            f"{expected}: damaged"
        )


def bytes_of(tensor, name):
    """Return the bytes that a tensor's shape and type ask for."""
    onnx = import_onnx()
    if tensor.data_type in _packed(onnx):
        bits = 2 if "2" in onnx.TensorProto.DataType.Name(tensor.data_type) else 4
        return (math.prod(tensor.dims) * bits + 7) // 8
    try:
        itemsize = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{name}: tensor {tensor.name!r} has the unknown type {tensor.data_type}") from None
    return math.prod(tensor.dims) * itemsize


def _packed(onnx):
    """Types of which several numbers share a byte."""
    names = ("UINT4", "INT4", "FLOAT4E2M1", "UINT2", "INT2")
    return {getattr(onnx.TensorProto, name) for name in names if hasattr(onnx.TensorProto, name)}


def _two_fold(onnx):
    return {onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128}


def array_of(tensor, name):
    """Return a tensor's numbers, read-only."""
    onnx = import_onnx()
    check_size_of(tensor, name)
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except Exception as error:
        raise ValueError(f"{name}: tensor {tensor.name!r} cannot be read: {error}") from None
    array = array.view() if array.flags.owndata else array
    array.flags.writeable = False
    return array


def _take_in(onnx, tensor, folder, name):
    """Replace the reference of a tensor to another file by what that file holds."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    what = f"{name}: tensor {tensor.name!r}"
    if folder is None:
        raise ValueError(f"{what} lies in a file beside the model, expected a path, or the model of onnx.load(path)")
    told = {entry.key: entry.value for entry in tensor.external_data}
    location = told.get("location", "")
    home, target = folder.resolve(), (folder / location).resolve()
    if not location or Path(location).is_absolute() or not target.is_relative_to(home) or target == home:
        raise ValueError(f"{what} lies at {location!r}, expected a file within the folder of the model")
    if not target.is_file():
        raise ValueError(f"{what} lies in {location!r}, which is no file in the folder of the model")
    expected = bytes_of(tensor, name)
    try:
        offset, length = int(told.get("offset") or 0), int(told.get("length") or expected)
    except ValueError:
        raise ValueError(f"{what} has the place {told!r}, expected integers") from None
    size = target.stat().st_size
    if length != expected or not 0 <= offset <= size - length:
        raise ValueError(
            f"{what} takes {expected} bytes, but has {length} at {offset} of {location!r}, which has {size}"
        )
    with open(target, "rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]
