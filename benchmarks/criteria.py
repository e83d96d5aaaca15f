"""What the figures are held against: bars for single rows, for geometric means over groups, for fractions of limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

NEAR = 0.03  # a row so near to its bar is measured three times
ROW_BAR = 0.97  # inference in float32, each row, over the best peer


@dataclass(frozen=True)
class Criterion:
    """A bar for the rows of one mode that `among` chooses: for the geometric mean or the least of `value`."""

    mode: str
    name: str
    among: Callable
    value: str  # attribute of a row
    bars: tuple  # for one thread, for two or more
    summary: str = "mean"  # or "least", "greatest"


def few(row):
    return row.shape.batch_size <= 8


def many(row):
    return row.shape.batch_size >= 32


def cell(*names):
    return lambda row: row.shape.cell in names


def large(row):
    return many(row) and row.shape.hidden_size >= 256


def of(cells, rows):
    return lambda row: row.shape.cell in cells and rows(row)


def every(row):
    return True


CRITERIA = [
    Criterion("inference", "every row", every, "ratio", (ROW_BAR, ROW_BAR), "least"),
    Criterion("inference", "N <= 8", few, "ratio", (1.3, 1.8)),
    Criterion("inference", "N >= 32", many, "ratio", (1.05, 1.25)),
    Criterion("inference", "GRU and RNN", cell("gru", "rnn"), "ratio", (1.3, 1.8)),
    Criterion("inference", "FMA peak, N >= 32, H >= 256", large, "fma_fraction", (0.85, 0.85), "least"),
    Criterion("inference", "W_hh bandwidth, N = 1, H >= 256", every, "read_fraction", (0.75, 0.75), "least"),
    Criterion("training", "LSTM, N <= 8", of(("lstm",), few), "ratio", (2.0, 2.0)),
    Criterion("training", "LSTM, N >= 32", of(("lstm",), many), "ratio", (1.15, 1.15)),
    Criterion("training", "GRU and RNN", cell("gru", "rnn"), "ratio", (3.0, 3.0)),
    Criterion(
        "training",
        "FMA peak, N >= 32, H >= 128",
        lambda row: many(row) and row.shape.hidden_size >= 128,
        "fma_fraction",
        (0.7, 0.7),
        "least",
    ),
    *(
        Criterion(mode, name.upper(), cell(name), "ratio", (2.0, 2.0))
        for mode in ("float64 inference", "float64 training")
        for name in ("lstm", "gru", "rnn")
    ),
    Criterion("float64 inference", "FMA peak, N >= 32, H >= 256", large, "fma_fraction", (0.75, 0.75), "least"),
    Criterion("ragged training", "over torch's PackedSequence", every, "ratio", (5.0, 5.0), "least"),
    Criterion("ragged training", "time a valid step / equal lengths", every, "step_ratio", (1.15, 1.15), "greatest"),
    Criterion("stream", "step over its arithmetic, µs", every, "overhead_us", (1.0, 1.0), "greatest"),
    Criterion("stream", "call with T = 1, H = 64, µs", lambda r: is_lstm64(r), "call_us", (4.0, 4.0), "greatest"),
    Criterion("stream", "step with H = 64, µs", lambda r: is_lstm64(r), "step_us", (1.5, 1.5), "greatest"),
    Criterion("busy", "slower than alone on one thread", every, "slowdown", (2.5, 2.5), "greatest"),
]


def is_lstm64(row):
    return row.shape.label == "lstm 1 1000 64 64"


def geometric_mean(values):
    """Return the geometric mean of positive numbers."""
    return math.exp(sum(map(math.log, values)) / len(values))


SUMMARIES = {"mean": geometric_mean, "least": min, "greatest": max}


def judge(rows):
    """Return [(mode, n_threads, criterion, figure, bar, number of rows, met)] for the rows that were measured."""
    results = []
    for mode, n_threads in dict.fromkeys((row.mode, row.n_threads) for row in rows):
        among = [row for row in rows if (row.mode, row.n_threads) == (mode, n_threads)]
        for criterion in CRITERIA:
            if criterion.mode != mode:
                continue
            values = [getattr(row, criterion.value) for row in among if criterion.among(row)]
            values = [value for value in values if value is not None and math.isfinite(value)]
            if values:
                figure, bar = SUMMARIES[criterion.summary](values), criterion.bars[n_threads > 1]
                met = figure <= bar if criterion.summary == "greatest" else figure >= bar
                results.append((mode, n_threads, criterion, figure, bar, len(values), met))
    return results
