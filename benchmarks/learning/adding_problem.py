"""How many sequences until the adding problem is solved? ``python -m benchmarks.learning.adding_problem``.

Two of seq_len values are marked, one in each half; the target is their sum. Answering 1 has a mean squared error of
0.167. Training sees every sequence once, and the error is that on sequences which are new too.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

from . import report

SEEDS = 3
BAR = 0.01
ENOUGH = 0.005  # on VALIDATION sequences, so that BAR is kept on others
CHUNK = 2000  # fresh sequences between two looks at the error
VALIDATION, TEST = 1000, 10_000


@dataclass(frozen=True)
class Task:
    """One row of the table: parameters of the regressor, steps, and after how many sequences to give up."""

    name: str
    seq_len: int
    most: int
    options: dict


COMMON = {"alpha": 0.0, "max_grad_norm": 1.0}
TASKS = [
    Task(
        "LSTM",
        200,
        200_000,
        {"cell": "lstm", "init": "glorot", "hidden_layer_sizes": 64, "batch_size": 32, "learning_rate_init": 0.005},
    ),
    Task(
        "GRU",
        200,
        200_000,
        {"cell": "gru", "hidden_layer_sizes": 64, "batch_size": 32, "learning_rate_init": 0.005},
    ),
    Task(
        "relu RNN, identity",  # Le, Jaitly and Hinton 2015, https://arxiv.org/abs/1504.00941, with Adam
        100,
        400_000,
        {
            "cell": "rnn",
            "activation": "relu",
            "init": "identity",
            "hidden_layer_sizes": 100,
            "batch_size": 16,
            "learning_rate_init": 0.0003,
        },
    ),
]


@dataclass(frozen=True)
class Outcome:
    """What one seed came to: the error on TEST fresh sequences, after how many to learn from and how long."""

    error: float
    n_sequences: int
    seconds: float


def solve(task, seed, chunk=CHUNK, n_threads=None):
    """Train on fresh sequences until the error is small, or `task.most` were seen.

    Parameters
    ----------
    task : Task
    seed : int
    chunk : int
    n_threads : int, optional

    Returns
    -------
    Outcome
    """
    from fastrnn.datasets import adding
    from fastrnn.estimators import RNNRegressor

    learning, judging = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    held_out = adding(VALIDATION, task.seq_len, random_state=judging)
    model = RNNRegressor(**COMMON, **task.options, random_state=seed, n_threads=n_threads)
    seen, start = 0, time.perf_counter()
    while seen < task.most:
        model.partial_fit(*adding(chunk, task.seq_len, random_state=learning))
        seen += chunk
        if squared_error(model, *held_out) < ENOUGH:
            break
    seconds = time.perf_counter() - start
    return Outcome(squared_error(model, *adding(TEST, task.seq_len, random_state=judging)), seen, seconds)


def squared_error(model, X, y):
    """Mean squared error of a model."""
    return float(np.mean((model.predict(X) - y) ** 2))


def main(argv=None):
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args(argv)
    rows, settings = [], []
    for task in TASKS:
        settings.append(f"- {task.name}: " + ", ".join(f"`{k}={v!r}`" for k, v in {**task.options, **COMMON}.items()))
        for seed in range(options.seeds):
            found = solve(task, seed, n_threads=options.threads)
            rows.append(
                [f"{task.name}, T = {task.seq_len}", seed, f"{found.error:.4f}", f"{found.n_sequences:,}"]
                + [f"{found.seconds:.0f}", report.verdict(found.error < BAR)]
            )
            print(*rows[-1], flush=True)
    report.write(
        "adding_problem",
        "# The adding problem",
        f"`datasets.adding(variant='sum')`; the aim is a mean squared error below {BAR} on {TEST:,} fresh sequences "
        f"(always answering 1: 0.167). `RNNRegressor.partial_fit` on {CHUNK:,} fresh sequences at a time, until the "
        f"error on {VALIDATION:,} others is below {ENOUGH}; Adam, float32.",
        "\n".join(settings),
        report.grid(["network", "seed", "error", "sequences", "seconds", ""], rows),
    )


if __name__ == "__main__":
    main()
