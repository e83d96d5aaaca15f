"""What is measured of a shape in each mode, and the rows that come of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from . import limits, peers, protocol
from .criteria import NEAR, ROW_BAR
from .shapes import Shape

# mode: (method of the adapters, dtype)
COMPARISONS = {
    "inference": ("forward", "float32"),
    "training": ("train", "float32"),
    "float64 inference": ("forward", "float64"),
    "float64 training": ("train", "float64"),
    "ragged inference": ("ragged_forward", "float32"),
    "ragged training": ("ragged", "float32"),
}


@dataclass
class Row:
    """One shape in one mode with one number of threads; seconds a call by peer."""

    mode: str
    shape: Shape
    n_threads: int
    seconds: dict
    skipped: dict = field(default_factory=dict)  # reasons by peer
    steady: bool = True
    others: float = 0.0  # processors that other processes used meanwhile
    limit: float = float("nan")  # seconds of a call that only the machine bounds
    bound: str = ""  # by what: FMA or a level of memory
    fma_fraction: float | None = None  # of the peak, all products counted
    read_fraction: float | None = None  # of the bandwidth, W_hh read once a step
    step_ratio: float | None = None  # a valid step of a ragged batch over one of equal lengths
    overhead_us: float | None = None
    call_us: float | None = None
    step_us: float | None = None
    slowdown: float | None = None

    @property
    def ours(self):
        return self.seconds.get("fastrnn", float("nan"))

    @property
    def best_peer(self):
        """Name of the fastest other package, or None."""
        others = [name for name in self.seconds if name != "fastrnn" and name in peers.PEERS]
        return min(others, key=self.seconds.get, default=None)

    @property
    def ratio(self):
        """Time of the best peer over ours: above 1 we are faster."""
        return self.seconds[self.best_peer] / self.ours if self.best_peer else None

    @property
    def doubt(self):
        """Why the figures are not to be trusted, or an empty text."""
        reasons = [] if self.steady else ["the clock moved"]
        reasons += [f"others used {self.others:.1f} cores"] if self.others > protocol.QUIET else []
        return ", ".join(reasons)

    def as_dict(self):
        """Return what JSON can hold."""
        return asdict(self) | {"label": self.shape.label, "best_peer": self.best_peer, "ratio": self.ratio}


class Limits:
    """The measured limits of one number of threads, one dtype; measured when first asked for."""

    _known: dict = {}

    @classmethod
    def of(cls, dtype, n_threads):
        if (dtype, n_threads) not in cls._known:
            cls._known[dtype, n_threads] = limits.measure(n_threads, dtype)
        return cls._known[dtype, n_threads]

    @classmethod
    def known(cls):
        """Return {(dtype, n_threads): figures} of what has been measured."""
        return dict(cls._known)


def bound_of(shape, dtype, n_threads, peak, training=False):
    """Return (seconds, by what) of a call that is bounded by the machine alone.

    The input products run at the peak; a step takes the longer of its products at the peak and of reading W_hh once
    from the level of memory that holds a core's share. Training: forward, the same step again with W_hh transposed,
    and the remaining products at the peak.
    """
    size = np.dtype(dtype).itemsize * shape.gates * shape.hidden_size**2
    level = limits.home(size / n_threads)
    steps = shape.seq_len * shape.num_layers * shape.directions
    reading = steps * size / Limits.of(dtype, n_threads)[level]
    computing = shape.recurrent_flops() / peak
    bound = "FMA" if computing >= reading else level
    seconds = shape.input_flops() / peak + max(computing, reading)
    if training:
        seconds += max(computing, reading) + (shape.recurrent_flops() + 2 * shape.input_flops()) / peak
    return seconds, bound


def adapters(names, problem, n_threads, method):
    """Return ({name: adapter} of those that can do `method`, {name: reason} of the others)."""
    made, skipped = {}, {}
    for name in names:
        try:
            adapter = peers.build(name, problem, n_threads)
            adapter.take_threads()
            getattr(adapter, method)()
        except NotImplementedError as reason:
            skipped[name] = str(reason)
        else:
            made[name] = adapter
    return made, skipped


def compare(mode, shape, n_threads, names, settings):
    """Measure one row of a comparison.

    Parameters
    ----------
    mode : str
        A key of COMPARISONS.
    shape : Shape
    n_threads : int
    names : list of str
        Peers.
    settings : dict
        `n_blocks`, `attempts` for `protocol.measure`, and `runs`, whose median counts.

    Returns
    -------
    Row
    """
    method, dtype = COMPARISONS[mode]
    settings = dict(settings)
    n_runs = settings.pop("runs", 1)
    problem = peers.Problem(shape, dtype)
    made, skipped = adapters(names, problem, n_threads, method)
    calls = {name: getattr(adapter, method) for name, adapter in made.items()}
    prepare = {name: adapter.take_threads for name, adapter in made.items()}
    if mode == "inference" and shape.batch_size == 1 and shape.hidden_size >= 256 and shape.num_layers == 1:
        calls["input product"] = input_product(problem, n_threads)
    if mode == "ragged training":
        calls["equal lengths"] = made["fastrnn"].train
    runs = [protocol.measure(calls, prepare, n_threads, dtype, **settings) for _ in range(n_runs)]
    row = _row(mode, shape, n_threads, runs, skipped)
    if mode == "inference" and n_runs == 1 and row.ratio and abs(row.ratio / ROW_BAR - 1) < NEAR:
        runs += [protocol.measure(calls, prepare, n_threads, dtype, **settings) for _ in range(2)]
        row = _row(mode, shape, n_threads, runs, skipped)
    _fractions(row, problem, runs[0].peak)
    return row


def _row(mode, shape, n_threads, runs, skipped):
    result = protocol.median_of_runs(runs)
    return Row(mode, shape, n_threads, result.seconds, skipped, result.steady, result.others)


def _fractions(row, problem, peak):
    """Fill in how near a row comes to the limits."""
    shape, ours, training = row.shape, row.ours, "training" in row.mode
    flops = shape.flops() * (3 if training else 1)
    part = problem.lengths.sum() / (shape.seq_len * shape.batch_size) if "ragged" in row.mode else 1
    row.limit, row.bound = bound_of(shape, problem.dtype, row.n_threads, peak, training)
    if row.bound == "FMA":
        row.limit *= part
    row.fma_fraction = flops * part / (ours * peak)
    if "equal lengths" in row.seconds:
        row.step_ratio = ours / part / row.seconds["equal lengths"]
    if "input product" in row.seconds:
        size = np.dtype(problem.dtype).itemsize * shape.gates * shape.hidden_size**2
        speed = Limits.of(problem.dtype, row.n_threads)[limits.home(size / row.n_threads)]
        steps = shape.seq_len * shape.directions * shape.num_layers
        alone = ours - row.seconds["input product"]
        row.read_fraction = steps * size / alone / speed if alone > 0 else float("nan")


def input_product(problem, n_threads):
    """Return a call that computes W_ih x of all steps and no more."""
    from fastrnn._core import native

    x = np.ascontiguousarray(problem.x.reshape(-1, problem.shape.input_size))
    packs = [native.pack(w.T) for name, w in problem.params.items() if name.startswith("weight_ih")]

    def call():
        for pack in packs:
            native.matmul(x, pack, n_threads=n_threads)

    return call


def stream(shape, names, settings):
    """Measure steps of a stream: every peer's step, our call of one step, and the arithmetic of a step.

    The arithmetic is our call of `seq_len` steps, divided by that number.
    """
    problem = peers.Problem(shape)
    made, skipped = adapters(names, problem, 1, "step")
    one = peers.build("fastrnn", peers.Problem(replace(shape, seq_len=1)))
    calls = {name: adapter.step for name, adapter in made.items()}
    calls |= {"sequence": made["fastrnn"].forward, "call": one.forward}
    prepare = {name: adapter.take_threads for name, adapter in made.items()}
    settings = {name: value for name, value in settings.items() if name != "runs"}
    result = protocol.measure(calls, prepare, **settings)
    row = Row("stream", shape, 1, result.seconds, skipped, result.steady, result.others)
    arithmetic = row.seconds.pop("sequence") / shape.seq_len
    row.seconds["arithmetic"] = arithmetic
    row.overhead_us = (row.ours - arithmetic) * 1e6
    row.step_us, row.call_us = row.ours * 1e6, row.seconds["call"] * 1e6
    return row


@contextlib.contextmanager
def busy_core(index=1):
    """Keep the processor at `index` of those allowed busy with another process."""
    allowed = sorted(os.sched_getaffinity(0))
    cpu = allowed[min(index, len(allowed) - 1)]
    code = f"import os; os.sched_setaffinity(0, {{{cpu}}})\nprint(1, flush=True)\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def busy(shape, n_threads, names, settings, seconds=3.0):
    """Return rows, one a peer: mean and 99th percentile beside a busy core, over the best alone on one thread."""
    problem, rows = peers.Problem(shape), []
    for name in names:
        made, skipped = adapters([name], problem, 1, "forward")
        if skipped:
            continue
        alone = made[name]
        settings = {key: value for key, value in settings.items() if key != "runs"}
        free = protocol.measure({name: alone.forward}, {name: alone.take_threads}, 1, **settings)
        adapter = peers.build(name, problem, n_threads)
        adapter.take_threads()
        adapter.forward()
        with busy_core():
            times, begin = [], time.perf_counter()
            while (start := time.perf_counter()) - begin < seconds:
                adapter.forward()
                times.append(time.perf_counter() - start)
        figures = {name: free.seconds[name], "mean": float(np.mean(times)), "p99": float(np.percentile(times, 99))}
        row = Row("busy", shape, n_threads, figures, {}, free.steady, free.others)
        row.slowdown = figures["mean"] / figures[name]
        rows.append(row)
    return rows
