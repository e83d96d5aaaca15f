"""What share of a fit's time is spent in kernels: ``python -m benchmarks.learning.fit_profile``."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import time
from collections import Counter
from contextlib import contextmanager

from . import report
from .torch_twin import RATE, Shape

BAR = 0.85
EPOCHS, BATCHES = 3, 10
REPEATS = 5


@contextmanager
def timed_core():
    """Yield a Counter of the seconds in calls from Python into `fastrnn._core`, by function, without nested ones."""
    core = importlib.import_module("fastrnn._core")
    names = [info.name for info in pkgutil.iter_modules(core.__path__) if info.name != "_blas"]  # needs SciPy
    modules = [importlib.import_module(f"fastrnn._core.{name}") for name in names]
    seconds, inside = Counter(), []

    def timed(name, function):
        def call(*args, **keywords):
            if inside:
                return function(*args, **keywords)
            inside.append(name)
            start = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                seconds[name] += time.perf_counter() - start
                inside.pop()

        return call

    replaced = []
    for module in modules:
        for name, value in list(vars(module).items()):
            own = getattr(value, "__module__", None) == module.__name__
            if own and callable(value) and not isinstance(value, type) and not name.startswith("_"):
                replaced.append((module, name, value))
                setattr(module, name, timed(f"{module.__name__.rpartition('.')[2]}.{name}", value))
    try:
        yield seconds
    finally:
        for module, name, value in replaced:
            setattr(module, name, value)


def profile(shape, n_threads, epochs=EPOCHS, n_batches=BATCHES, repeats=REPEATS):
    """Return (seconds of a fit of the classifier, Counter of the seconds in kernels), of the fastest of some fits."""
    from fastrnn.estimators import RNNClassifier

    X, y = shape.data(n_batches)
    best = None
    for _ in range(repeats + 1):  # the first one warms up
        model = RNNClassifier(
            shape.hidden_size,
            cell=shape.cell,
            batch_size=shape.batch_size,
            learning_rate_init=RATE,
            max_iter=epochs,
            n_iter_no_change=epochs + 1,
            random_state=0,
            n_threads=n_threads,
        )
        with timed_core() as seconds, report.unwarned():
            start = time.perf_counter()
            model.fit(X, y)
            whole = time.perf_counter() - start
        if best is None or whole < best[0]:
            best = whole, seconds
    return best


def main(argv=None):
    """Fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args(argv)
    rows, parts = [], {}
    for cell in ("gru", "lstm"):
        for n_threads in (1, 2):
            whole, seconds = profile(Shape(cell, input_size=options.input_size), n_threads, repeats=options.repeats)
            share = sum(seconds.values()) / whole
            label = f"{cell}, {n_threads} thread{'s' * (n_threads > 1)}"
            rows.append(
                [label, f"{1e3 * whole / (EPOCHS * BATCHES):.2f}", f"{share:.1%}", report.verdict(share >= BAR)]
            )
            parts[label] = {name: value / whole for name, value in seconds.most_common()}
    names = dict.fromkeys(name for part in parts.values() for name in part)
    shares = [[f"`{name}`", *(f"{part.get(name, 0.0):.1%}" for part in parts.values())] for name in names]
    shape = Shape("lstm", input_size=options.input_size)
    report.write(
        "fit_profile",
        "# Share of a fit's time in kernels",
        f"`RNNClassifier.fit`, N = {shape.batch_size}, H = {shape.hidden_size}, T = {shape.seq_len}, "
        f"I = {shape.input_size}, {EPOCHS * BATCHES} updates; the fastest of {options.repeats} fits. In kernels is "
        f"the time within calls of functions of `fastrnn._core`; the aim is {BAR:.0%}.",
        report.grid(["network", "ms an update", "in kernels", ""], rows),
        report.grid(["of the time of the fit", *parts], shares),
    )


if __name__ == "__main__":
    main()
