"""``python -m benchmarks.real_models [FOLDER]``."""

from __future__ import annotations

import sys
import tempfile

from . import g2p_en, g2pm, rnnoise, silero
from .rows import table


def main(folder=None):
    """Print the table."""
    found, absent = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for module in (silero, g2p_en, g2pm, rnnoise):
            try:
                found += module.rows(folder or temporary)
            except ImportError as error:
                absent.append(f"{module.__name__} is left out: {error}")
    print("\n".join([table(found), *absent]))


if __name__ == "__main__":
    main(*sys.argv[1:2])
