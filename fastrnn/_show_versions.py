"""What a bug report needs: versions, instruction set, threads, BLAS."""

import os
import platform
import sys
from importlib import metadata
from typing import Any, TextIO

_PACKAGES = ["fastrnn", "numpy", "scipy", "scikit-learn", "threadpoolctl", "safetensors", "tqdm"]
_OPTIONAL_PACKAGES = ["matplotlib", "torch", "keras", "onnx", "onnxruntime"]
_VARIABLES = ["FASTRNN_ISA", "FASTRNN_ENGINE", "OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC"]


def _version(package: str) -> str | None:
    if package == "fastrnn":
        import fastrnn

        return fastrnn.__version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _system() -> dict[str, Any]:
    free_threading = "" if getattr(sys, "_is_gil_enabled", lambda: True)() else ", free-threaded"
    return {
        "python": f"{platform.python_version()} ({platform.python_implementation()}{free_threading})",
        "platform": platform.platform(),
        "processors": os.cpu_count(),
    }


def _kernels() -> dict[str, Any]:
    from fastrnn._core import native
    from fastrnn._threads import get_num_threads

    return {
        "isa": native.isa(),
        "isas of this build and machine": ", ".join(native.available_isas()),
        "openmp": "yes" if native.openmp() else "NO: fastrnn was built without OpenMP and uses one thread",
        "threads": get_num_threads(),
    }


def _blas() -> dict[str, str]:
    """One entry per BLAS library in this process; those of the `blas` engine are loaded first."""
    try:
        import scipy.linalg.cython_blas  # noqa: F401
        from threadpoolctl import threadpool_info
    except ImportError as error:
        return {"blas": f"not available ({error})"}
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        pool["prefix"]: f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads" for pool in pools
    }


def _information() -> dict[str, dict[str, Any]]:
    optional = {name: _version(name) for name in _OPTIONAL_PACKAGES}
    return {
        "System": _system(),
        "Kernels": _kernels(),
        "Packages": {name: _version(name) for name in _PACKAGES}
        | {name: version for name, version in optional.items() if version is not None},
        "BLAS (used by engine='blas')": _blas(),
        "Environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def show_versions(file: TextIO | None = None) -> None:
    """Print versions, instruction set, threads and BLAS libraries, for a bug report.

    Parameters
    ----------
    file : text stream, default=None
        Where to print; None is the standard output.

    Examples
    --------
    >>> import fastrnn
    >>> fastrnn.show_versions()
    System
        python: ...
    """
    for title, entries in _information().items():
        if entries:
            print(title, file=file)
        for name, value in entries.items():
            print(f"    {name}: {'not installed' if value is None else value}", file=file)
