"""The interface by which the package onnx runs the tests of its operators."""

from __future__ import annotations

from functools import cache

from ..io._onnx_file import import_onnx
from ._node import run_node
from ._session import Session


@cache
def backend():
    """Return the class `Backend`, which needs the package onnx to be derived from its."""
    import_onnx()
    from onnx.backend.base import Backend as Base
    from onnx.backend.base import BackendRep

    class Prepared(BackendRep):
        """A model that is ready to run."""

        def __init__(self, session):
            self._session = session

        def run(self, inputs, **kwargs):
            """Return the outputs as a tuple, for inputs by name or in order."""
            _refuse_options(kwargs)
            return tuple(self._session.run(inputs))

    class Backend(Base):
        """ONNX's backend interface: recurrent nodes on our kernels, others as `Session` says."""

        @classmethod
        def is_compatible(cls, model, device="CPU", **kwargs):
            """Whether a model can be prepared."""
            return cls.supports_device(device)

        @classmethod
        def prepare(cls, model, device="CPU", *, runtime=None, n_threads=None, **kwargs):
            """Return a `Prepared` model."""
            cls._check_device(device)
            _refuse_options(kwargs)
            return Prepared(Session(model, runtime=runtime, n_threads=n_threads))

        @classmethod
        def run_model(cls, model, inputs, device="CPU", **kwargs):
            """Prepare a model and run it once."""
            return cls.prepare(model, device, **kwargs).run(inputs)

        @classmethod
        def run_node(cls, node, inputs, device="CPU", outputs_info=None, **kwargs):
            """Run one recurrent node."""
            cls._check_device(device)
            _refuse_options(kwargs)
            return tuple(run_node(node, inputs))

        @classmethod
        def supports_device(cls, device):
            """Whether there is such a device: "CPU" alone."""
            return device.split(":")[0] == "CPU"

        @classmethod
        def _check_device(cls, device):
            if not cls.supports_device(device):
                raise ValueError(f"device is {device!r}, expected 'CPU'")

    return Backend


def _refuse_options(options):
    if options:
        raise TypeError(f"unexpected options {sorted(options)}")
