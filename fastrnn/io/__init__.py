"""Foreign formats: networks that others trained, and ours for others. Each format is read when first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME_OF_NAME = {
    "from_keras": "keras",
    "from_onnx": "onnx",
    "from_torch": "torch",
    "state_dict": "_torch_export",
    "to_onnx": "onnx",
}

__all__ = ["from_keras", "from_onnx", "from_torch", "state_dict", "to_onnx"]

if TYPE_CHECKING:
    from ._torch_export import state_dict as state_dict
    from .keras import from_keras as from_keras
    from .onnx import from_onnx as from_onnx
    from .onnx import to_onnx as to_onnx
    from .torch import from_torch as from_torch


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF_NAME:
        raise AttributeError(f"module 'fastrnn.io' has no attribute {name!r}")
    return getattr(import_module(f"fastrnn.io.{_HOME_OF_NAME[name]}"), name)
