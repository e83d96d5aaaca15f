"""Tables of measured figures, printed and written to ``results/<name>.md``."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..report import machine_line

RESULTS = Path(__file__).with_name("results")


def grid(head, rows):
    """Return a Markdown table.

    Parameters
    ----------
    head : list of str
    rows : list of list
        Text, or what `str` makes text of.
    """
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def verdict(met):
    """Return the word for an aim."""
    return "reached" if met else "**not reached**"


def by_seed(values, bar):
    """Return the rows of a table of accuracies: each seed, then the mean beside its aim, a fraction."""
    rows = [[seed, f"{value:.2%}"] for seed, value in enumerate(values)]
    mean = float(np.mean(values))
    return [*rows, [f"mean (aim: at least {bar:.0%}, {verdict(mean >= bar)})", f"{mean:.2%}"]]


@contextmanager
def unwarned():
    """Fits that stop at max_iter say nothing."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def write(name, *parts, folder=RESULTS):
    """Print a report and write it to ``<folder>/<name>.md``: its parts, then the command and the machine.

    Of an absolute path in the command only the last part is shown.
    """
    arguments = (Path(argument).name if Path(argument).is_absolute() else argument for argument in sys.argv[1:])
    command = " ".join(["python -m", f"benchmarks.learning.{name}", *arguments])
    text = "\n\n".join([*parts, f"Command: `{command}`  \nMachine: {machine_line()}."]) + "\n"
    print(text)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
