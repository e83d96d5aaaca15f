"""The same network trained by torch and by this package: ``python -m benchmarks.learning.fit_vs_torch``.

Weights, batches and optimiser are the same. The curves of the loss are compared step by step, and the wall time of a
fit: both in one process in turn, the best of many.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from . import report
from .torch_twin import Ours, Shape, Torch

AIMS = {"lstm": 1.3, "gru": 2.0}
EPOCHS, BATCHES = 10, 10  # of the curves: 100 updates
TIMED_BATCHES = 8
ROUNDS = 20


def differences(shape, dtype, n_batches=BATCHES, epochs=EPOCHS):
    """Return the losses by us and by torch, and the largest relative difference between them."""
    data = shape.data(n_batches, dtype)
    ours, theirs = (np.array(twin(shape, *data).fit(epochs)) for twin in (Ours, Torch))
    return ours, theirs, float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


def seconds(shape, n_threads, rounds=ROUNDS, n_batches=TIMED_BATCHES):
    """Return the best wall seconds of an update in a fit, by us and by torch.

    Each fit is timed after one that is not: the threads of the other have gone to sleep by then.
    """
    data = shape.data(n_batches)
    twins = [twin(shape, *data, n_threads) for twin in (Ours, Torch)]
    best = [np.inf, np.inf]
    for _ in range(rounds):
        for k, twin in enumerate(twins):
            twin.start_over()
            twin.fit()
            start = time.perf_counter()
            twin.fit()
            best[k] = min(best[k], (time.perf_counter() - start) / n_batches)
    return tuple(best)


def _curves(cells, input_size):
    rows = []
    for cell in cells:
        shape = Shape(cell, input_size=input_size)
        for dtype in ("float32", "float64"):
            ours, theirs, largest = differences(shape, dtype)
            rows.append([f"{cell} {dtype}", f"{ours[0]:.4f}", f"{ours[-1]:.6f}", f"{theirs[-1]:.6f}", f"{largest:.1e}"])
    return report.grid(["network", "first loss", "last loss", "of torch", "largest relative difference"], rows)


def _times(cells, input_sizes, threads, rounds):
    rows = []
    for cell in cells:
        for input_size in input_sizes:
            for n_threads in threads:
                ours, theirs = seconds(Shape(cell, input_size=input_size), n_threads, rounds)
                aim = AIMS.get(cell, 0.0)
                rows.append(
                    [f"{cell}, I = {input_size}", n_threads, f"{1e3 * ours:.2f}", f"{1e3 * theirs:.2f}"]
                    + [f"{theirs / ours:.2f}x", f"{aim}x", report.verdict(theirs / ours >= aim)]
                )
                print(*rows[-1], flush=True)
    return report.grid(["network", "threads", "fastrnn, ms an update", "torch", "ratio", "aim", ""], rows)


def main(argv=None):
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", nargs="+", default=["gru", "lstm"])
    parser.add_argument("--input-size", nargs="+", type=int, default=[32, 128])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(argv)
    shape = Shape("lstm")
    report.write(
        "fit_vs_torch",
        "# A fit beside torch's",
        f"One recurrent layer, its last output, a dense layer; N = {shape.batch_size}, T = {shape.seq_len}, "
        f"H = {shape.hidden_size}, the same first weights and batches, Adam.",
        f"## Curves of the loss over {EPOCHS * BATCHES} updates, I = {options.input_size[0]}",
        _curves(options.cell, options.input_size[0]),
        f"## Wall time of a fit of {TIMED_BATCHES} updates: best of {options.rounds}, in turn",
        _times(options.cell, options.input_size, options.threads, options.rounds),
    )


if __name__ == "__main__":
    main()
