"""``python -m fastrnn convert IN OUT``."""

from __future__ import annotations

from . import add_reading, read_network

HELP = "read a network from one file and write it to another; the suffixes say the formats"


def add_arguments(parser):
    """Add those of the command."""
    parser.add_argument("source", metavar="IN")
    parser.add_argument("target", metavar="OUT")
    add_reading(parser)


def run(source, target, **options):
    """Convert, and print what was written."""
    from ..io.formats import format_of

    form = format_of(target, exists=False)
    module = form.module()
    if not hasattr(module, "write"):
        raise ValueError(f"{target!r} would be a file of {form.name}, which is read only: expected another suffix")
    network = read_network(source, **options)
    module.write(network, target)
    print(network.summary())
