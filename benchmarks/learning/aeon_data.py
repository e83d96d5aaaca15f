"""The series that the wheel of aeon (BSD-3) ships, read without importing it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

INSIDE = "aeon/datasets/data"  # of the wheel


@contextmanager
def folder_of(name, path=None):
    """Yield the folder that holds ``<name>_TRAIN.ts`` and ``<name>_TEST.ts``.

    Parameters
    ----------
    name : str
    path : path, optional
        An unpacked or installed aeon: the folder that holds `aeon/`, or that of the data set. Without it the wheel is
        downloaded by pip into a folder that lasts as long as the context.
    """
    if path is not None:
        yield _found(name, Path(path))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "aeon"]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(folder).glob("aeon-*.whl"))) as wheel:
            wheel.extractall(folder, [entry for entry in wheel.namelist() if entry.startswith(f"{INSIDE}/{name}/")])
        yield _found(name, Path(folder))


def _found(name, path):
    for folder in (path / INSIDE / name, path / name, path):
        if (folder / f"{name}_TRAIN.ts").is_file():
            return folder
    raise FileNotFoundError(f"{name}_TRAIN.ts is neither in {path} nor in {path / INSIDE / name}")


def read_ts(path):
    """Read a file of series of one feature and equal length, each with a label.

    Parameters
    ----------
    path : path

    Returns
    -------
    X : ndarray of shape (n_samples, n_timesteps, 1), float32
    y : ndarray of shape (n_samples,), int64
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    start = next((k for k, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if start is None:
        raise ValueError(f"{path} has no line @data")
    rows = [line.split(":") for line in lines[start + 1 :] if line.strip()]
    wrong = next((len(row) for row in rows if len(row) != 2), None)
    if wrong is not None:
        raise ValueError(f"{path} has a row of {wrong} parts, expected one feature and a label")
    X = np.array([[float(value) for value in series.split(",")] for series, _ in rows], dtype=np.float32)
    return X[:, :, None], np.array([int(float(label)) for _, label in rows])


def load(name, path=None):
    """Return (X_train, y_train, X_test, y_test) of a data set; `path` as in `folder_of`."""
    with folder_of(name, path) as folder:
        return (*read_ts(folder / f"{name}_TRAIN.ts"), *read_ts(folder / f"{name}_TEST.ts"))
