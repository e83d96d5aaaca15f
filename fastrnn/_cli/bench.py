"""``python -m fastrnn bench [FILE]``."""

from __future__ import annotations

import time

import numpy as np

from . import add_reading, read_network

HELP = "time a network, or some usual layers, on this machine, beside the other packages that are installed"
SHAPES = (
    ("LSTM", 1, 1, 64),
    ("LSTM", 1, 100, 128),
    ("LSTM", 32, 100, 128),
    ("GRU", 1, 100, 128),
    ("GRU", 32, 100, 128),
)
ROUNDS = 15
BLOCK_SECONDS = 0.02  # of calls of one peer in a row: after another's, its threads have to wake


def add_arguments(parser):
    """Add those of the command."""
    parser.add_argument("file", nargs="?")
    add_reading(parser)
    parser.add_argument("--batch-size", type=int, default=1, help="rows, for FILE (default 1)")
    parser.add_argument("--seq-len", type=int, default=100, help="steps, for FILE (default 100)")


def run(file=None, batch_size=1, seq_len=100, **options):
    """Print microseconds a call."""
    from .._threads import get_num_threads
    from ..layers import GRU, LSTM
    from ..models import Network

    if batch_size < 1 or seq_len < 1:
        raise ValueError(f"--batch-size is {batch_size} and --seq-len {seq_len}, expected at least 1 of each")
    print(f"microseconds a call, best of {ROUNDS} blocks, at most {get_num_threads()} threads")
    if file is not None:
        network = read_network(file, **options)
        print(network.summary(batch_size, seq_len))
        _print(f"{batch_size} x {seq_len} steps", _times(network, batch_size, seq_len))
        return
    if given := [name for name, value in options.items() if value is not None]:
        raise ValueError(f"--{given[0].replace('_', '-')} is given without a FILE")
    for name, rows, steps, size in SHAPES:
        layer = {"LSTM": LSTM, "GRU": GRU}[name](size, size, random_state=0)
        _print(f"{name}({size}, {size}), {rows} x {steps} steps", _times(Network(layer), rows, steps))


def _print(title, times):
    others = [seconds for name, seconds in times.items() if name not in ("fastrnn", "stream")]
    ratio = f"    {min(others) / times['fastrnn']:.2f}x" if others else ""
    figures = "  ".join(f"{name} {1e6 * seconds:,.1f}" for name, seconds in times.items())
    print(f"{title + ':':34} {figures}{ratio}")


def _times(network, rows, steps):
    """Return {peer: seconds a call} for whole sequences, and "stream" for one step of each."""
    from ._peers import callables

    x = _input(network, rows, steps)
    calls = {"fastrnn": lambda: network.run(x), **callables(network, x)}
    try:
        stream = network.stream(rows)
    except ValueError:  # a layer needs the whole sequence
        pass
    else:
        step = np.ascontiguousarray(x[:, 0] if network.batch_first else x[0])
        calls["stream"] = lambda: stream.step(step)
    return _best(calls)


def _input(network, rows, steps):
    rng, shape = np.random.default_rng(0), (rows, steps) if network.batch_first else (steps, rows)
    first = network.layers[0]
    if hasattr(first, "num_embeddings"):
        return rng.integers(0, first.num_embeddings, shape)
    size = next(layer.input_size for layer in network.layers if hasattr(layer, "input_size"))
    return rng.standard_normal((*shape, size)).astype(network.dtype)


def _best(calls):
    """Return {name: seconds a call} of the fastest block of each."""
    counts = {}
    for name, call in calls.items():
        call()
        begin = time.perf_counter()
        call()
        counts[name] = max(1, int(BLOCK_SECONDS / max(time.perf_counter() - begin, 1e-7)))
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            begin = time.perf_counter()
            for _ in range(counts[name]):
                call()
            best[name] = min(best[name], (time.perf_counter() - begin) / counts[name])
    return best
