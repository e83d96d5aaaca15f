"""ONNX graphs whose recurrent nodes run on our kernels.

`run_model` runs a graph, `Session` runs one often, `run_node` runs one node, and ``fastrnn.onnx.backend`` is the class
that ONNX's own tests ask for (``onnx.backend.base.Backend``). A graph that is a chain of layers can be read as a
network instead: `fastrnn.from_onnx`.
"""

from __future__ import annotations

from ._node import run_node
from ._session import Session, run_model

__all__ = ["Session", "run_model", "run_node"]


def __getattr__(name):
    if name == "backend":
        from ._backend import backend

        return backend()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
