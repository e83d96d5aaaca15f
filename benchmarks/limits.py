"""The limits of this machine, measured: peak of fused multiply-adds, and read bandwidth of every level of memory."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import numpy as np

KINDS = {"float32": 0, "float64": 1, "read": 2}
LEVELS = ("L1", "L2", "L3", "memory")
FLAGS = {  # vector bytes and flags, by instruction set
    "avx512": (64, ["-mavx512f", "-mfma", "-mprefer-vector-width=512"]),
    "avx2": (32, ["-mavx2", "-mfma"]),
    "other": (16, []),
}


def _cpu_flags():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())


def vector_isa():
    """Return "avx512", "avx2" or "other"."""
    flags = _cpu_flags()
    if "avx512f" in flags:
        return "avx512"
    return "avx2" if {"avx2", "fma"} <= flags else "other"


@functools.cache
def _library():
    """Compile limits.c and load it; None where there is no compiler."""
    compiler = os.environ.get("CC", "").split() or [name for name in ("cc", "gcc", "clang") if shutil.which(name)][:1]
    if not compiler:
        return None
    width, flags = FLAGS[vector_isa()]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"limits{sysconfig.get_config_var('SHLIB_SUFFIX') or '.so'}"
        source = Path(__file__).with_name("limits.c")
        command = [*compiler, "-O3", "-std=gnu11", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread"]
        command += [*flags, f"-DVEC_BYTES={width}", "-o", str(target), str(source)]
        if subprocess.run(command, capture_output=True).returncode:
            return None
        library = ctypes.CDLL(str(target))
    library.limits_seconds.restype = library.limits_flops.restype = ctypes.c_double
    library.limits_seconds.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_void_p, ctypes.c_size_t]
    return library


def available():
    """Whether the limits can be measured here: a C compiler with POSIX threads."""
    return _library() is not None


def _best(kind, n_threads, iterations, repeats, buffer=None, size=0):
    address = None if buffer is None else buffer.ctypes.data
    seconds = [
        _library().limits_seconds(KINDS[kind], n_threads, iterations, address, size) for _ in range(max(1, repeats))
    ]
    return min(seconds)


def fma_peak(dtype="float32", n_threads=1, repeats=12):
    """Return floating-point operations a second of multiply-adds on registers, or nan without a compiler.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    n_threads : int
    repeats : int
        Rounds of about 2 ms, of which the best counts.
    """
    if not available():
        return float("nan")
    iterations = 150_000 if vector_isa() != "other" else 500_000
    seconds = _best(dtype, n_threads, iterations, repeats)
    return _library().limits_flops(KINDS[dtype]) * iterations * n_threads / seconds


def cache_sizes():
    """Return {"L1": bytes, "L2": bytes, "L3": bytes}: of a core's data cache, of its L2, and of the L3 of all."""
    sizes = {"L1": 32 << 10, "L2": 512 << 10, "L3": 8 << 20}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, text = ((folder / name).read_text().strip() for name in ("type", "level", "size"))
        except OSError:
            continue
        if kind != "Instruction" and text.endswith("K"):
            sizes[f"L{level}"] = int(text[:-1]) << 10
    return sizes


def bandwidth(level, n_threads=1, repeats=12):
    """Return bytes a second that `n_threads` threads together read from `level`, each a part of its own.

    Parameters
    ----------
    level : {"L1", "L2", "L3", "memory"}
    n_threads : int
    repeats : int
    """
    if not available():
        return float("nan")
    sizes = cache_sizes()
    each = {
        "L1": sizes["L1"] // 2,
        "L2": max(sizes["L1"] * 2, sizes["L2"] // 2),
        "L3": max(sizes["L2"] * 2, min(sizes["L2"] * 4, sizes["L3"] // (2 * n_threads))),
        "memory": 4 * sizes["L3"] // n_threads,
    }[level]
    each = max(4096, each // 4096 * 4096)
    raw = np.ones(each * n_threads + 4096, np.uint8)
    start = -raw.ctypes.data % 4096
    iterations = max(1, (1 << (29 if level in ("L1", "L2") else 27)) // each)
    seconds = _best("read", n_threads, iterations, repeats if level != "memory" else 3, raw[start:], each)
    return each * n_threads * iterations / seconds


def measure(n_threads=1, dtype="float32"):
    """Return {"fma": flops/s, "L1": bytes/s, ...} for `n_threads` threads."""
    result = {"fma": fma_peak(dtype, n_threads)}
    return result | {level: bandwidth(level, n_threads) for level in LEVELS}


def home(size):
    """Return the level whose bandwidth bounds the reading of `size` bytes by one core, over and over.

    Beyond 80 % of a level, state, input and output push the weights out of it.
    """
    sizes = cache_sizes()
    return next((level for level in ("L1", "L2", "L3") if size <= 0.8 * sizes[level]), "memory")


def machine():
    """Return one line on the processor: model, cores, caches, vector instructions."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    from fastrnn._threads import available_cpus

    sizes = cache_sizes()
    caches = f"L1 {sizes['L1'] >> 10} KB, L2 {sizes['L2'] >> 10} KB a core, L3 {sizes['L3'] >> 20} MB"
    isa = {"avx512": "AVX-512", "avx2": "AVX2", "other": platform.machine()}[vector_isa()]
    return f"{model}, {available_cpus()} cores, {isa}, {caches}"


if __name__ == "__main__":
    print(machine())
    for threads in (1, 2):
        figures = measure(threads) | {"fma float64": fma_peak("float64", threads)}
        print(threads, {name: f"{value / 1e9:.1f} G/s" for name, value in figures.items()})
