"""Characters of Shakespeare within a budget of operations: ``python -m benchmarks.learning.tiny_shakespeare``.

The first 90 % of the text are learned, and the figure is the nats a character over the last 10 %, with the state
carried from the first of them to the last. Training may cost 1.5e14 operations, 6 for each weight and character: two
forward and four backward. What weighs is counted without the table that embeds characters, of which a step reads a row.
"""

from __future__ import annotations

import argparse
import bz2
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from . import report

BUDGET = 1.5e14
AIM, GOAL, FLOOR = 1.50, 1.4697, 1.669  # what is asked; a 10.7 M transformer; a 5-gram
DATA = Path(__file__).with_name("data") / "tinyshakespeare.txt.bz2"
VALIDATION_ROWS = 24  # pieces of the held-out text, side by side, whose loss chooses the epoch


@dataclass(frozen=True)
class Settings:
    """The network and how it is trained."""

    hidden_size: int = 512
    embedding_dim: int = 32
    dropout: float = 0.5  # of what the dense layer reads
    recurrent_dropout: float = 0.2
    learning_rate: float = 0.004  # of AdamW, at its largest
    beta_2: float = 0.99
    weight_decay: float = 0.03
    warm_up: float = 0.03  # of OneCycle
    rows: int = 32  # of the text, side by side
    window: int = 64  # steps of an update


@dataclass(frozen=True)
class Outcome:
    """What one seed came to.

    Attributes
    ----------
    nats : float
        A character, over the whole held-out text, with the weights of `best_epoch`.
    best_epoch, n_epochs, n_updates : int
    n_weights, n_characters : int
        That count, and learned from in an epoch.
    training, validation : list of float
        Nats a character after each epoch; of training with dropout, of validation in pieces.
    seconds, processor_seconds : list of float
        From the start, after each epoch, validation included: of the wall clock, and of the processors.
    """

    nats: float
    best_epoch: int
    n_epochs: int
    n_updates: int
    n_weights: int
    n_characters: int
    training: list
    validation: list
    seconds: list
    processor_seconds: list

    @property
    def operations(self):
        """After each epoch."""
        return 6.0 * self.n_weights * self.n_characters * np.arange(1, len(self.training) + 1)


def tokens(path=DATA):
    """Return the numbers of the characters to learn and of those held out, and how many different ones there are."""
    characters = np.frombuffer(bz2.decompress(path.read_bytes()), np.uint8)
    known, numbers = np.unique(characters, return_inverse=True)
    cut = int(0.9 * len(numbers))
    return numbers[:cut], numbers[cut:], len(known)


def make_network(settings, n_tokens, seed):
    """Return Embedding, LSTM, Dropout and Dense."""
    from fastrnn import LSTM, Dense, Dropout, Embedding, Sequential

    rng = np.random.default_rng(seed)
    size = settings.hidden_size
    options = {"recurrent_dropout": settings.recurrent_dropout, "init": "orthogonal"}
    return Sequential(
        Embedding(n_tokens, settings.embedding_dim, random_state=rng),
        LSTM(settings.embedding_dim, size, random_state=rng, **options),
        Dropout(settings.dropout),
        Dense(size, n_tokens, random_state=rng),
    )


class Rows:
    """The text as rows side by side, cut at other places in each epoch: a hook of `train` that fills its arrays.

    Parameters
    ----------
    text : ndarray of int
        Its end is followed by its beginning.
    n_rows : int
    rng : numpy.random.Generator

    Attributes
    ----------
    inputs, targets : ndarray of int of shape (n_rows, n_steps)
        Each character and the one after it.
    """

    def __init__(self, text, n_rows, rng):
        self._text, self._rng = text, rng
        self.inputs = np.empty((n_rows, len(text) // n_rows - 1), np.int64)
        self.targets = np.empty_like(self.inputs)

    def on_epoch_start(self, moment):
        """Cut anew."""
        n_rows, n_steps = self.inputs.shape
        turned = np.roll(self._text, self._rng.integers(len(self._text)))
        rows = turned[: n_rows * (n_steps + 1)].reshape(n_rows, -1)
        self.inputs[:], self.targets[:] = rows[:, :-1], rows[:, 1:]

    def __call__(self, moment):
        """Do nothing at the end of an epoch."""


def count_weights(network):
    """Return how many weights a step works with: all but the table of the Embedding."""
    return sum(array.size for name, array in network.params.items() if not name.startswith("0."))


def solve(settings, seed, *, budget=BUDGET, text=None, n_threads=None, on_epoch=None):
    """Train one network within the budget.

    Parameters
    ----------
    settings : Settings
    seed : int
    budget : float
        Operations.
    text : tuple, optional
        As `tokens` gives it.
    n_threads : int, optional
    on_epoch : callable, optional
        ``on_epoch(history)``.

    Returns
    -------
    Outcome
    """
    from fastrnn.losses import softmax_cross_entropy
    from fastrnn.models.language import log_likelihoods
    from fastrnn.optim import AdamW
    from fastrnn.schedules import OneCycle
    from fastrnn.training import train

    learned, held_out, n_tokens = text or tokens()
    network, rng = make_network(settings, n_tokens, seed), np.random.default_rng([seed, 1])
    rows, n_weights = Rows(learned, settings.rows, rng), count_weights(network)
    n_epochs = int(budget / (6 * n_weights * rows.inputs.size))
    pieces = held_out[: len(held_out) // VALIDATION_ROWS * VALIDATION_ROWS].reshape(VALIDATION_ROWS, -1)
    start, processor_start, seconds, processor_seconds = time.perf_counter(), time.process_time(), [], []

    def note(moment):
        seconds.append(time.perf_counter() - start)
        processor_seconds.append(time.process_time() - processor_start)
        if on_epoch is not None:
            on_epoch(moment.history)

    history = train(
        network,
        rows.inputs,
        rows.targets,
        loss=softmax_cross_entropy,
        optimizer=AdamW(
            settings.learning_rate, beta_2=settings.beta_2, weight_decay=settings.weight_decay, decay_vectors=False
        ),
        schedule=OneCycle(warm_up=settings.warm_up),
        batch_size=settings.rows,
        bptt_window=settings.window,
        max_iter=n_epochs,
        n_iter_no_change=n_epochs,
        shuffle=False,
        rng=rng,
        validation=(pieces[:, :-1], pieces[:, 1:]),
        early_stopping=True,
        on_epoch=[rows, note],
        n_threads=n_threads,
    )
    whole = np.concatenate([learned[-1:], held_out])  # the first held-out character follows the last learned one
    nats = -float(log_likelihoods(network, [whole], n_threads=n_threads)[0]) / len(held_out)
    counts = (history.best_epoch, history.n_epochs, history.n_updates, n_weights, rows.inputs.size)
    return Outcome(nats, *counts, history.loss_curve, history.validation_loss_curve, seconds, processor_seconds)


def draw(outcomes, path):
    """Draw the curves over operations and over time.

    Parameters
    ----------
    outcomes : list of Outcome
        One a seed.
    path : path-like
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    scales = (
        (left, "training operations, 1e14", "operations", 1e14),
        (right, "minutes of processors", "processor_seconds", 60.0),
    )
    for axis, label, name, unit in scales:
        for k, outcome in enumerate(outcomes):
            x = np.asarray(getattr(outcome, name)) / unit
            axis.plot(x, outcome.training, color="#3d7ea6", label="training, with dropout" if not k else None)
            axis.plot(x, outcome.validation, color="#d1495b", label="held out" if not k else None)
        for value, text in ((FLOOR, "5-gram"), (AIM, "aim"), (GOAL, "transformer, 10.7 M weights")):
            axis.axhline(value, color="#999999", linewidth=0.8, linestyle=":")
            axis.annotate(text, (1.0, value), (-3, 1), axis.get_yaxis_transform(), textcoords="offset points",
                          ha="right", fontsize=7.5, color="#666666")  # fmt: skip
        axis.set(xlabel=label, xlim=(0, None), ylim=(1.2, 2.0))
        axis.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("nats a character")
    right.legend(frameon=False, loc="upper center")
    figure.savefig(path, dpi=160)


def _curve(outcome):
    rows = []
    for k, operations in enumerate(outcome.operations):
        figures = [f"{outcome.training[k]:.4f}", f"{outcome.validation[k]:.4f}"]
        times = [f"{outcome.seconds[k]:.0f}", f"{outcome.processor_seconds[k]:.0f}"]
        rows.append([k + 1, f"{operations:.3g}", *times, *figures])
    head = ["epoch", "operations", "seconds", "of processors", "training", "held out, in pieces"]
    return report.grid(head, rows)


def main(argv=None):
    """Train, print, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=float, default=BUDGET, help="operations")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args(argv)
    settings, text, outcomes, rows = Settings(), tokens(), [], []
    for seed in range(options.seeds):
        found = solve(settings, seed, budget=options.budget, text=text, n_threads=options.threads, on_epoch=_say)
        outcomes.append(found)
        rows.append(
            [seed, f"{found.nats:.4f}", found.best_epoch, f"{found.operations[-1]:.3g}"]
            + [f"{found.seconds[-1]:.0f}", f"{found.processor_seconds[-1]:.0f}"]
            + [report.verdict(found.nats <= AIM), report.verdict(found.nats <= GOAL)]
        )
        print(*rows[-1], flush=True)
    draw(outcomes, report.RESULTS / "tiny_shakespeare.png")
    described = ", ".join(f"`{name}={value}`" for name, value in asdict(settings).items())
    head = [
        "seed",
        "nats a character",
        "best epoch",
        "operations",
        "seconds",
        "of processors",
        f"<= {AIM:.2f}",
        f"<= {GOAL}",
    ]
    parts = [
        "# Characters of tiny Shakespeare",
        f"{len(text[0]):,} characters to learn, {len(text[1]):,} held out, {text[2]} different ones. One LSTM layer, "
        f"{outcomes[0].n_weights:,} weights without the table of the Embedding; {outcomes[0].n_updates:,} updates of "
        "AdamW (`fastrnn.training.train`), float32. The epoch is the best one on the held-out text, by which the "
        "settings were chosen too: there is no third part. Seconds of processors are those in which this program ran, "
        "whatever else did.",
        f"Settings: {described}.",
        report.grid(head, rows),
        "## Curve\n\n![nats a character over operations and over time](tiny_shakespeare.png)",
        _curve(outcomes[0]),
    ]
    report.write("tiny_shakespeare", *parts)


def _say(history):
    values = f"{history.loss_curve[-1]:.4f} {history.validation_loss_curve[-1]:.4f}"
    print(f"epoch {history.n_epochs}: {values}", flush=True)


if __name__ == "__main__":
    main()
