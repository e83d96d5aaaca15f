"""What all tests share."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `import cases`, whatever the import mode


@pytest.fixture
def rng():
    """A generator that starts from the same seed in every test."""
    return np.random.default_rng(20240607)


@pytest.fixture(params=["rows", "units"])
def exact_threads(request, monkeypatch):
    """Give a layer all the threads that its n_threads allows, sharing rows or units, whatever would pay."""
    from fastrnn import _threads
    from fastrnn.layers import _plan

    monkeypatch.setattr(_plan, "FORCED", request.param)

    monkeypatch.setattr(_threads, "WORK_PER_THREAD", 1e-9)
