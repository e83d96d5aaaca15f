"""``python -m fastrnn``: what is in a file, conversion, and times on this machine."""

from __future__ import annotations

import argparse
import sys


def main(arguments=None):
    """Run one command and return the exit status: 0, or 2 where an argument or a file is wrong.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process by default.
    """
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        command(**options)
    except BrokenPipeError:
        return 0
    except (OSError, ValueError, ImportError) as error:
        print(f"fastrnn: {error}", file=sys.stderr)
        return 2
    return 0


def _parser():
    from . import bench, convert, info

    parser = argparse.ArgumentParser(prog="python -m fastrnn", description="Recurrent networks on a CPU.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (info, convert, bench):
        own = commands.add_parser(module.__name__.rsplit(".", 1)[1], help=module.HELP, description=module.HELP)
        module.add_arguments(own)
        own.set_defaults(command=module.run)
    return parser


def add_reading(parser):
    """Add the options that say how weights without a graph are read."""
    parser.add_argument("--prefix", help="take the names that begin so, and no others")
    parser.add_argument("--nonlinearity", choices=("tanh", "relu"), help="of an RNN whose weights come alone")
    parser.add_argument("--batch-first", action="store_true", default=None, help="x is (batch, steps, features)")


def read_network(file, **options):
    """Return the network of a file; options that are None are left out, and others must be known to its format."""
    from inspect import signature

    from ..io.formats import format_of

    form = format_of(file)
    read = form.module().read
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in signature(read).parameters:
            raise ValueError(f"--{name.replace('_', '-')} is given, but files of {form.name} have no such option")
    return read(file, **given)
