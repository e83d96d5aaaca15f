"""Rows as a picture: how fast each package is, relative to the fastest other than this one."""

from __future__ import annotations

import textwrap

from . import criteria, report

COLOURS = {"fastrnn": "#d1495b", "torch": "#8d6a9f", "onnxruntime": "#3d7ea6", "openvino": "#66a182"}
TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
DECADES = (0.001, 0.01, 0.1, 1, 10, 100, 1000)


def draw(rows, target):
    """Draw the comparisons and write them to `target`.

    One panel for each mode and number of threads; modes without other packages are left out.
    """
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed (pip install fastrnn[plot])")
        return
    from matplotlib.figure import Figure

    rows = [row for row in rows if row.ratio and row.mode != "busy"]
    panels = {}
    for row in rows:
        panels.setdefault(row.mode, {}).setdefault(row.n_threads, []).append(row)
    if not panels:
        return
    columns = max(map(len, panels.values()))
    heights = [max(map(len, by_threads.values())) + 2.6 for by_threads in panels.values()]
    with matplotlib.rc_context({"font.size": 9, "axes.titlesize": 10.5, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(1.6 + 4.4 * columns, 1.1 + 0.26 * sum(heights)), layout="constrained")
        grid = figure.subplots(len(panels), columns, squeeze=False, height_ratios=heights, sharex="row")
        for axes, by_threads in zip(grid, panels.values()):
            for axis in axes[len(by_threads) :]:
                axis.set_axis_off()
            span = _span([row for among in by_threads.values() for row in among])
            for axis, among in zip(axes, by_threads.values()):
                _panel(axis, among)
                _scale(axis, among, span, labels=axis is axes[0])
        _legend(figure, rows)
        footnote = textwrap.wrap(report.machine_line(), 70 * columns + 10)
        figure.supxlabel("\n".join(footnote), fontsize=7.5, color="#666666")
        figure.savefig(target, dpi=160)


def _speeds(row):
    """Return {package: its speed over that of the fastest other than ours}."""
    reference = row.seconds[row.best_peer]
    return {name: reference / value for name, value in row.seconds.items() if name in COLOURS}


def _span(rows):
    values = [speed for row in rows for speed in _speeds(row).values()]
    return min(values), max(*values, 1.5)


def _panel(axis, rows):
    """Draw a dot a package on a line a shape, and the way from the fastest other package to this one."""
    colour = COLOURS["fastrnn"]
    for k, row in enumerate(rows):
        axis.plot([1, row.ratio], [k, k], color=colour, alpha=0.35, linewidth=3, solid_capstyle="round", zorder=2)
        for name, speed in _speeds(row).items():
            size, zorder = (58, 4) if name == "fastrnn" else (26, 3)
            axis.scatter(speed, k, s=size, color=COLOURS[name], edgecolor="white", linewidth=0.7, zorder=zorder)
        axis.text(
            1.0, k, f"{row.ratio:.2f}x", transform=axis.get_yaxis_transform(), va="center_baseline", ha="right",
            fontsize=8.5, fontweight="bold", color=colour if row.ratio >= 1 else "#444444",
        )  # fmt: skip
    mean = criteria.geometric_mean([row.ratio for row in rows])
    threads = f"{rows[0].n_threads} thread{'s' * (rows[0].n_threads > 1)}"
    axis.set_title(f"{rows[0].mode}, {threads} (geometric mean {mean:.2f}x)", loc="left")
    axis.axvline(1, color="#444444", linewidth=0.9, zorder=1)


def _scale(axis, rows, span, labels):
    """Set the axes: speed is logarithmic, with room for the ratios at the right."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    low, high = span
    axis.set_xscale("log")
    axis.set_xlim(low * 0.9, high * (high / low) ** 0.18 * 1.12)
    axis.set_xticks([tick for tick in (TICKS if high < 40 * low else DECADES) if low * 0.9 <= tick <= high * 1.1])
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.set_yticks(range(len(rows)), [row.shape.label for row in rows] if labels else [""] * len(rows))
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_xlabel("speed relative to the fastest other package", fontsize=8.5)
    if labels:
        axis.text(
            -0.013, 1.0, "cell N T I H", transform=axis.transAxes, ha="right", va="bottom", fontsize=8, color="#666666"
        )


def _legend(figure, rows):
    from matplotlib.lines import Line2D

    names = [name for name in COLOURS if any(name in row.seconds for row in rows)]
    style = {"marker": "o", "linestyle": "", "markeredgecolor": "white"}
    sizes = {name: 9 if name == "fastrnn" else 6.5 for name in names}
    handles = [Line2D([], [], color=COLOURS[name], markersize=sizes[name], label=name, **style) for name in names]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(names), frameon=False)
