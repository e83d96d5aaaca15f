"""A network as a table."""

from __future__ import annotations

from .._core import native
from ..layers._plan import pipeline

_LINE = "{:<6} {:<16} {:<14} {:>12} {:>8}"


def summary(network, batch_size, seq_len):
    """Return the text of `Network.summary`."""
    leaves = network._chain._leaves
    dtype = "" if network.dtype is None else f", {network.dtype}"
    width = max(16, *(len(repr(layer)) for _, layer in leaves))
    line = _LINE.replace("<16", f"<{width}")
    lines = [
        f"Network(batch_first={network.batch_first}){dtype}",
        line.format("#", "layer", "output", "parameters", "MB"),
    ]
    axes, features, total = ("N, T" if network.batch_first else "T, N"), "F", [0, 0]
    for place, layer in leaves:
        axes = "N" if layer.consumes_time else axes
        features = getattr(layer, "output_size", features)
        counts = sum(a.size for a in layer.params.values()), sum(a.nbytes for a in layer.params.values())
        total = [a + b for a, b in zip(total, counts, strict=True)]
        lines.append(line.format(place, repr(layer), f"({axes}, {features})", f"{counts[0]:,}", _megabytes(counts[1])))
    lines.append(line.format("total", "", "", f"{total[0]:,}", _megabytes(total[1])))
    engines = sorted({layer.engine for _, layer in leaves if layer.is_recurrent} or {"native"})
    lines.append(f"kernels: {', '.join(engines)} {native.isa()}")
    plans = [f"layer {place}: {_threads(layer, batch_size, seq_len)}" for place, layer in leaves if layer.is_recurrent]
    if plans:
        lines.append(f"threads for {batch_size} x {seq_len} steps: {', '.join(plans)}")
    lines += [f"note: {note}" for note in network.notes]
    return "\n".join(line.rstrip() for line in lines)


def _megabytes(size):
    return f"{size / 1e6:.2f}"


def _threads(layer, rows, steps):
    """Return how a recurrent layer shares its work in a call: "2, by units"."""
    stack = layer._pack()
    most = stack.n_threads(None, steps * rows, rows)
    if stack.is_native and (piped := pipeline(stack.layers, steps, rows, most)):
        return f"{piped}, by layers"
    shares = stack.plans(most, rows)
    if shares is None:
        return "1"
    by_units, n_threads = shares[0]
    what = "units" if by_units else "rows"
    return f"{n_threads}, by {'directions and ' if layer.bidirectional and n_threads > 1 else ''}{what}"
