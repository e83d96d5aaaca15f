"""Rows as text and as Markdown."""

from __future__ import annotations

import importlib.metadata
import math
import platform

from . import criteria, limits
from .modes import COMPARISONS, Limits
from .peers import PEERS


def machine_line():
    """Return one line on the machine and the versions of what was compared."""
    versions = [f"Python {platform.python_version()}"]
    for name in ("fastrnn", "numpy", "torch", "onnxruntime", "openvino"):
        if name not in PEERS or PEERS[name].absence() is None:
            versions.append(f"{name} {_version(name)}")
    return f"{limits.machine()}; {', '.join(versions)}"


def _version(name):
    if name == "fastrnn":
        import fastrnn

        return fastrnn.__version__
    return importlib.metadata.version(name).split("+")[0].split("-")[0]


def microseconds(seconds):
    """Return a number of µs with three or four digits: 4.31, 87.2, 1,234."""
    us = seconds * 1e6
    return f"{us:.2f}" if us < 10 else f"{us:.1f}" if us < 100 else f"{us:,.0f}"


def percent(fraction):
    return "" if fraction is None or not math.isfinite(fraction) else f"{100 * fraction:.0f} %"


def times(ratio):
    return "" if ratio is None else f"{ratio:.2f}x"


def line(row):
    """Return a row as one line of plain text."""
    figures = "  ".join(f"{name} {microseconds(value)}" for name, value in row.seconds.items())
    text = f"{row.mode:<18} {row.n_threads} {row.shape.label:<24} {figures}"
    text += f"  ratio {row.ratio:.2f}" if row.ratio else ""
    text += f"  {percent(row.limit / row.ours)} of {row.bound}" if row.bound else ""
    text += f"  W_hh {percent(row.read_fraction)}" if row.read_fraction is not None else ""
    for name in ("step_ratio", "overhead_us", "slowdown"):
        text += f"  {name} {getattr(row, name):.2f}" if getattr(row, name) is not None else ""
    return text + (f"  [{row.doubt}]" if row.doubt else "")


def markdown(rows):
    """Return the whole report."""
    parts = [f"Machine: {machine_line()}.", limits_text(), EXPLANATION]
    for mode, n_threads in dict.fromkeys((row.mode, row.n_threads) for row in rows):
        among = [row for row in rows if (row.mode, row.n_threads) == (mode, n_threads)]
        title = f"## {mode[0].upper()}{mode[1:]}, {n_threads} thread{'s' * (n_threads > 1)}"
        parts.append(f"{title}\n\n{_table(mode, among)}")
        skipped = dict(item for row in among for item in row.skipped.items())
        parts += [f"Not there: {'; '.join(skipped.values())}."] if skipped else []
    parts.append(summary(rows))
    return "\n\n".join(part for part in parts if part) + "\n"


EXPLANATION = """\
Shapes are cell N T I H. Times are microseconds a call: the best of many interleaved blocks of each package. The ratio \
is the time of the best other package over that of fastrnn. The limit is the time of a call that only the measured FMA \
peak and the measured bandwidth for reading the recurrent weights would bound; the last column is that limit over the \
time of fastrnn, and what sets it. `~` marks rows during which the clock moved by more than 5 % or other processes \
used over a tenth of a core."""


def limits_text():
    """Return the measured limits in one sentence each."""
    sentences = []
    for (dtype, n_threads), figures in Limits.known().items():
        levels = ", ".join(f"{level} {figures[level] / 1e9:.0f}" for level in limits.LEVELS)
        threads = f"{n_threads} thread{'s' * (n_threads > 1)}"
        peak = figures["fma"] / 1e9
        sentences.append(f"Limits, {dtype}, {threads}: FMA peak {peak:.0f} GFLOP/s; reading {levels} GB/s.")
    return "  \n".join(sentences)


def _table(mode, rows):
    if mode in COMPARISONS:
        return _comparison(mode, rows)
    return _stream(rows) if mode == "stream" else _busy(rows)


def _grid(head, body):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in body])


def _name(row):
    origin = f" ({row.shape.origin})" if row.shape.origin else ""
    return f"{row.shape.label}{origin}{' ~' if row.doubt else ''}"


def _times_of(row, names):
    best = min(row.seconds[name] for name in names if name in row.seconds)
    cells = [microseconds(row.seconds[name]) if name in row.seconds else "" for name in names]
    return [f"**{cell}**" if row.seconds.get(name) == best else cell for name, cell in zip(names, cells)]


def _comparison(mode, rows):
    names = [name for name in PEERS if any(name in row.seconds for row in rows)]
    head = ["cell N T I H", *names, "ratio", "of FMA peak"]
    reads, equal = any(row.read_fraction is not None for row in rows), any(row.step_ratio for row in rows)
    head += ["of W_hh bandwidth"] * reads + ["a valid step / equal lengths"] * equal + ["of limit"]
    body = []
    for row in rows:
        cells = [_name(row), *_times_of(row, names), times(row.ratio), percent(row.fma_fraction)]
        cells += [percent(row.read_fraction)] * reads + [times(row.step_ratio)] * equal
        body.append([*cells, f"{percent(row.limit / row.ours)} {row.bound}"])
    return _grid(head, body)


def _stream(rows):
    names = [name for name in PEERS if any(name in row.seconds for row in rows)]
    head = ["cell N T I H", *names, "ratio", "arithmetic", "above it", "fastrnn, call with T = 1"]
    body = []
    for row in rows:
        cells = [_name(row), *_times_of(row, names), times(row.ratio), microseconds(row.seconds["arithmetic"])]
        body.append([*cells, f"{row.overhead_us:.2f}", microseconds(row.seconds["call"])])
    return _grid(head, body)


def _busy(rows):
    head = ["cell N T I H", "package", "alone, 1 thread", "beside a busy core: mean", "99th percentile", "slower"]
    body = []
    for row in rows:
        peer = next(name for name in row.seconds if name in PEERS)
        figures = [microseconds(row.seconds[name]) for name in (peer, "mean", "p99")]
        body.append([_name(row), peer, *figures, times(row.slowdown)])
    return _grid(head, body)


def summary(rows):
    """Return the criteria that these rows can say something about."""
    body = []
    words = {"mean": "geometric mean", "least": "least", "greatest": "greatest"}
    for mode, n_threads, criterion, figure, bar, count, met in criteria.judge(rows):
        sign = "<=" if criterion.summary == "greatest" else ">="
        if "fraction" in criterion.value:
            shown, wanted = percent(figure), percent(bar)
        else:
            shown, wanted = f"{figure:.2f}", f"{bar:g}"
        group = f"{mode}: {criterion.name}"
        verdict = "yes" if met else "**no**"
        body.append([group, str(n_threads), str(count), words[criterion.summary], shown, f"{sign} {wanted}", verdict])
    if not body:
        return ""
    return "## Aims\n\n" + _grid(["group", "threads", "rows", "", "figure", "aim", "reached"], body)
