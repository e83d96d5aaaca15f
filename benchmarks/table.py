"""A side-by-side table of this package and its peers, in one process: ``python -m benchmarks.table --help``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import limits, modes, peers, picture, protocol, report
from .shapes import NETWORKS, RAGGED, SHORT, STREAM, TABLE

RESULTS = Path(__file__).with_name("results")
MODES = {
    "inference": ["inference"],
    "training": ["training"],
    "float64": ["float64 inference", "float64 training"],
    "ragged": ["ragged inference", "ragged training"],
    "stream": ["stream"],
    "busy": ["busy"],
}


def arguments(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    add = parser.add_argument
    add("--mode", nargs="+", choices=MODES, default=["inference", "training"])
    add("--threads", nargs="+", type=int, default=None, help="default: 1, and 2 where there are two processors")
    add("--peers", nargs="+", choices=[name for name in peers.PEERS if name != "fastrnn"], default=None)
    add("--full", action="store_true", help="all shapes of the comparison, not the short choice")
    add("--extra", action="store_true", help="the shapes of well-known networks too")
    add("--only", metavar="TEXT", nargs="+", help="only shapes whose label has one of these, as 'lstm 1 100 256'")
    add("--blocks", type=int, default=protocol.BLOCKS, help="blocks of each peer")
    add("--attempts", type=int, default=protocol.ATTEMPTS, help="how often a row is taken again where the clock moved")
    add("--runs", type=int, default=1, help="measurements of a row, of which the median counts")
    add("--name", default="table", help="of the files in benchmarks/results")
    add("--no-picture", action="store_true")
    return parser.parse_args(argv)


def shapes_of(mode, options):
    """Return the shapes that one mode measures."""
    if mode.startswith("ragged"):
        shapes = RAGGED if options.full or options.only else RAGGED[:1]
    elif mode == "stream":
        shapes = STREAM if options.full or options.only else STREAM[:3]
    else:
        shapes = (TABLE if options.full or options.only else SHORT) + (NETWORKS if options.extra else [])
    if options.only:
        shapes = [shape for shape in shapes if any(text in shape.label for text in options.only)]
    return shapes


def rows(options):
    """Measure, and yield one row after another."""
    settings = {"n_blocks": options.blocks, "attempts": options.attempts, "runs": options.runs}
    names = ["fastrnn", *(options.peers if options.peers is not None else [p for p in peers.PEERS if p != "fastrnn"])]
    for mode in [part for choice in options.mode for part in MODES[choice]]:
        for n_threads in [1] if mode == "stream" else options.threads:
            for shape in shapes_of(mode, options):
                if mode == "busy":
                    chosen = names if options.peers else names[:1]
                    yield from modes.busy(shape, n_threads, chosen, settings)
                elif mode == "stream":
                    yield modes.stream(shape, names, settings)
                else:
                    yield modes.compare(mode, shape, n_threads, names, settings)


def main(argv=None):
    """Measure what the command line asks for; print it and write it to benchmarks/results."""
    options = arguments(argv)
    if options.threads is None:
        from fastrnn._threads import available_cpus

        options.threads = [1, 2][: available_cpus()]
    if not limits.available():
        print("no C compiler: limits are not measured, and drifting clocks go unseen", file=sys.stderr)
    print(report.machine_line(), flush=True)
    measured = []
    for row in rows(options):
        measured.append(row)
        print(report.line(row), flush=True)
    RESULTS.mkdir(exist_ok=True)
    text = report.markdown(measured)
    target = RESULTS / f"{options.name}.md"
    target.write_text(text, encoding="utf-8")
    (RESULTS / f"{options.name}.json").write_text(json.dumps([row.as_dict() for row in measured], indent=1))
    print("\n" + text)
    if not options.no_picture:
        picture.draw(measured, RESULTS / f"{options.name}.png")


if __name__ == "__main__":
    main()
