"""``python -m fastrnn info FILE``."""

from __future__ import annotations

import os

HELP = "say what is in a file: layers or tensors, sizes, and the kernels that will run it"


def add_arguments(parser):
    """Add those of the command."""
    parser.add_argument("file")


def run(file):
    """Print the outline of a file."""
    from ..io.formats import format_of

    lines = format_of(file).module().outline(file)
    print(f"{file}: {os.path.getsize(file) / 1e6:.2f} MB")
    print("\n".join(lines))
