"""Rows of the table, and how their times are taken."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

ROUNDS = 15
_HEAD = ("model", "what is compared", "found", "aim", "its own", "fastrnn", "ratio")


@dataclass(frozen=True)
class Row:
    """A comparison.

    Attributes
    ----------
    model, what : str
    found : float
        A difference, or how many things differ.
    aim : float or None
        The most that `found` should be; None where the row is there to explain another.
    theirs, ours : float or None
        Seconds.
    """

    model: str
    what: str
    found: float
    aim: float | None = None
    theirs: float | None = None
    ours: float | None = None

    @property
    def ratio(self):
        """How many times faster ours is."""
        return self.theirs / self.ours

    def cells(self):
        """Return the texts of the row."""
        times = ["", "", ""]
        if self.ours is not None:
            times = [_seconds(self.theirs), _seconds(self.ours), f"{self.ratio:.2f}x"]
        return [self.model, self.what, _number(self.found), "" if self.aim is None else _number(self.aim), *times]


def _number(value):
    return str(value) if isinstance(value, int) else f"{value:.1e}"


def _seconds(value):
    return f"{1e6 * value:.3g} us" if value < 1e-3 else f"{1e3 * value:.3g} ms"


def table(rows):
    """Return rows as a text."""
    texts = [_HEAD, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in texts)


def best(calls, rounds=ROUNDS, times=1):
    """Return {name: seconds a call} of the fastest of some rounds, in which calls take turns, each so many times."""
    seconds = dict.fromkeys(calls, np.inf)
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.perf_counter()
            for _ in range(times):
                call()
            seconds[name] = min(seconds[name], (time.perf_counter() - begin) / times)
    return seconds
