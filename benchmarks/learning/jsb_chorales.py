"""Bach's chorales, the next frame from those before: ``python -m benchmarks.learning.jsb_chorales``.

Frame t + 1 (which of 88 keys sound) is predicted from frames 0 to t; the figure is the cross-entropy summed over keys,
its mean over all predicted frames of the test pieces (Boulanger-Lewandowski, Bengio and Vincent 2012; Chung, Gulcehre,
Cho and Bengio 2014, table 2).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import report

DATA = Path(__file__).with_name("data") / "jsb_chorales.npz"
PARTS = ("train", "valid", "test")
KEYS = 88
SEEDS = 5


@dataclass(frozen=True)
class Row:
    """A network with the figure to reach and its own settings, chosen on the validation pieces."""

    name: str
    aim: float
    options: dict


COMMON = {"batch_size": 8, "max_iter": 400, "n_iter_no_change": 30, "alpha": 0.0, "max_grad_norm": 1.0, "tol": 0.0}
ROWS = [
    Row("tanh, 100 units", 9.10, {"cell": "rnn", "hidden_layer_sizes": 100, "zoneout": 0.1, "dropout": 0.1}),
    Row("GRU, 46 units", 8.54, {"cell": "gru", "hidden_layer_sizes": 46, "zoneout": 0.15}),
    Row("LSTM, 36 units", 8.67, {"cell": "lstm", "hidden_layer_sizes": 36, "zoneout": 0.2}),
]


def pieces(part):
    """Return the pieces of "train", "valid" or "test": list of float32 (n_frames_i, 88), 1 where a key sounds."""
    with np.load(DATA) as data:
        frames = np.unpackbits(data[part], axis=1, count=KEYS).astype(np.float32)
        return np.split(frames, np.cumsum(data[f"{part}_lengths"])[:-1])


def questions(part):
    """Return the frames that are read and, as indicators, those that follow."""
    found = pieces(part)
    return [piece[:-1] for piece in found], [piece[1:].astype(int) for piece in found]


def floors():
    """Return the figures of two models without memory: how often a key sounds, and that after itself."""
    train, test = pieces("train"), pieces("test")
    smooth = [(np.concatenate(train).mean(axis=0) * len(train) + 0.01) / (len(train) + 0.02)]
    before, after = (np.concatenate([p[s] for p in train]) for s in (slice(None, -1), slice(1, None)))
    counts = [((before == k).sum(axis=0) + 2.0, ((before == k) * after).sum(axis=0) + 1.0) for k in (0, 1)]
    chains = [sounding / total for total, sounding in counts]
    reads, answers = (np.concatenate([p[s] for p in test]) for s in (slice(None, -1), slice(1, None)))
    return cross_entropy(smooth[0], answers), cross_entropy(np.where(reads, chains[1], chains[0]), answers)


def cross_entropy(probabilities, answers):
    """Sum over keys, mean over frames, in nats."""
    return float(-np.log(np.where(answers, probabilities, 1 - probabilities)).sum(axis=1).mean())


def solve(row, seed, n_threads=1, **options):
    """Train with one seed; return the fitted tagger, its losses on validation and test pieces, and the seconds."""
    from fastrnn.estimators import RNNTagger

    train, valid, test = map(questions, PARTS)
    model = RNNTagger(
        **{**COMMON, **row.options, **options}, early_stopping=True, random_state=seed, n_threads=n_threads
    )
    start = time.perf_counter()
    with report.unwarned():
        model.fit(*train, X_val=valid[0], y_val=valid[1])
    seconds = time.perf_counter() - start
    return model, model.log_loss(*valid), model.log_loss(*test), seconds


def size_of(model):
    """Number of the recurrent layer's weights."""
    params = model.network_.params
    return sum(array.size for name, array in params.items() if "_l0" in name)


def main(argv=None):
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    rows, means = [], []
    for row in ROWS:
        found = []
        for seed in range(options.seeds):
            model, valid, test, seconds = solve(row, seed, options.threads)
            best = int(np.argmin(model.validation_loss_curve_)) + 1
            rows.append([row.name, seed, best, f"{valid:.3f}", f"{test:.3f}", f"{seconds:.0f}"])
            found.append(test)
            print(*rows[-1], flush=True)
        mean = float(np.mean(found))
        means.append(
            [row.name, f"{size_of(model):,}", f"{mean:.3f}", f"{row.aim:.2f}", report.verdict(mean <= row.aim)]
        )
    marginals, chains = floors()
    settings = [
        f"- {row.name}: " + ", ".join(f"`{k}={v!r}`" for k, v in {**row.options, **COMMON}.items()) for row in ROWS
    ]
    report.write(
        "jsb_chorales",
        "# Bach's chorales",
        "Cross-entropy in nats a frame on the 77 test pieces, by the weights of the epoch that is best on the 76 "
        "validation pieces; `RNNTagger` on 229 pieces, Adam, float32. Without memory: how often each key sounds "
        f"{marginals:.2f}, the same after itself {chains:.2f}.",
        "\n".join(settings),
        report.grid(["network", "recurrent weights", f"mean of {options.seeds} seeds", "aim: at most", ""], means),
        report.grid(["network", "seed", "best epoch", "validation", "test", "seconds"], rows),
    )


if __name__ == "__main__":
    main()
