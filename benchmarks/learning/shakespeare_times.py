"""Wall time of the network of `tiny_shakespeare` beside torch: ``python -m benchmarks.learning.shakespeare_times``.

An update is forward, backward, clipping and AdamW, with the same first weights and windows and the state carried. Both
in one process in turn, the best of many.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from . import report
from .tiny_shakespeare import Rows, Settings, make_network, tokens

MAX_NORM = 1.0  # of the gradient
ROUNDS = 10
UPDATES = 5  # of a round of each
COMPARED = 20  # updates whose losses are compared


class Ours:
    """Updates by this package's training loop.

    Parameters
    ----------
    settings : Settings
    text : tuple
        Of `tiny_shakespeare.tokens`.
    n_threads : int
    """

    def __init__(self, settings, text, n_threads):
        self.settings, self.n_threads = settings, n_threads
        self.rows = first_rows(settings, text)
        self.network = make_network(settings, text[2], 0)

    def update(self, n_updates):
        """Make updates on the first windows, and return the loss of each."""
        from fastrnn.losses import softmax_cross_entropy
        from fastrnn.optim import AdamW
        from fastrnn.training import train

        settings, losses = self.settings, []

        def loss(output, target):
            value, d_output = softmax_cross_entropy(output, target)
            losses.append(value)
            return value, d_output

        options = {"beta_2": settings.beta_2, "weight_decay": settings.weight_decay}
        train(
            self.network,
            self.rows.inputs[:, : n_updates * settings.window],
            self.rows.targets[:, : n_updates * settings.window],
            loss=loss,
            optimizer=AdamW(settings.learning_rate, **options),
            batch_size=settings.rows,
            bptt_window=settings.window,
            max_iter=1,
            shuffle=False,
            rng=np.random.default_rng(0),
            max_grad_norm=MAX_NORM,
            n_threads=self.n_threads,
        )
        return losses


class Torch:
    """The same as anyone would write it in torch; arguments as of `Ours`."""

    def __init__(self, settings, text, n_threads):
        import torch
        from torch import nn

        self.torch, self.settings, self.n_threads = torch, settings, n_threads
        self.rows = first_rows(settings, text)
        ours = make_network(settings, text[2], 0)
        self.embedding = nn.Embedding(text[2], settings.embedding_dim)
        self.recurrent = nn.LSTM(settings.embedding_dim, settings.hidden_size, batch_first=True)
        self.dropout = nn.Dropout(settings.dropout)
        self.dense = nn.Linear(settings.hidden_size, text[2])
        self.all = nn.ModuleList([self.embedding, self.recurrent, self.dropout, self.dense])
        self.all.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()})

    def update(self, n_updates):
        """Make updates on the first windows, and return the loss of each."""
        torch, settings = self.torch, self.settings
        torch.set_num_threads(self.n_threads)
        optimizer = torch.optim.AdamW(
            self.all.parameters(),
            lr=settings.learning_rate,
            betas=(0.9, settings.beta_2),
            weight_decay=settings.weight_decay,
        )
        losses, state = [], None
        for start in range(0, n_updates * settings.window, settings.window):
            window = slice(start, start + settings.window)
            inputs, targets = (torch.from_numpy(a[:, window]) for a in (self.rows.inputs, self.rows.targets))
            optimizer.zero_grad()
            output, state = self.recurrent(self.embedding(inputs), state)
            logits = self.dense(self.dropout(output))
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.all.parameters(), MAX_NORM)
            optimizer.step()
            state = tuple(part.detach() for part in state)
            losses.append(loss.item())
        return losses


def first_rows(settings, text):
    """Return the text as rows, cut as in a first epoch."""
    rows = Rows(text[0], settings.rows, np.random.default_rng(0))
    rows.on_epoch_start(None)
    return rows


def difference(settings, text, n_updates=COMPARED):
    """Return the largest relative difference between the losses of both over some updates, without dropout."""
    settings = replace(settings, dropout=0.0, recurrent_dropout=0.0)
    ours, theirs = (np.array(twin(settings, text, 1).update(n_updates)) for twin in (Ours, Torch))
    return float(np.max(np.abs(ours - theirs) / theirs))


def seconds(settings, text, rounds, threads):
    """Return {(package, threads): best seconds of an update}, the rounds of all taken in turn."""
    settings = replace(settings, recurrent_dropout=0.0)
    twins = {(twin.__name__, n): twin(settings, text, n) for n in threads for twin in (Ours, Torch)}
    best = dict.fromkeys(twins, np.inf)
    for _ in range(rounds):
        for key, twin in twins.items():
            twin.update(1)  # the threads of the one before have gone to sleep by then
            start = time.perf_counter()
            twin.update(UPDATES)
            best[key] = min(best[key], (time.perf_counter() - start) / UPDATES)
    return best


def main(argv=None):
    """Compare, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    options = parser.parse_args(argv)
    settings, text, rows = Settings(), tokens(), []
    largest = difference(settings, text)
    best = seconds(settings, text, options.rounds, options.threads)
    for n in options.threads:
        ours, theirs = best["Ours", n], best["Torch", n]
        rows.append([n, f"{1e3 * ours:.1f}", f"{1e3 * theirs:.1f}", f"{theirs / ours:.2f}x"])
    report.write(
        "shakespeare_times",
        "# An update on tiny Shakespeare beside torch's",
        f"{settings.rows} rows of {settings.window} steps, Embedding ({settings.embedding_dim}), LSTM "
        f"({settings.hidden_size}), Dropout, Dense, float32: forward, backward, clipping and AdamW, with the same "
        "first weights and windows and the state carried; without recurrent dropout, which torch's LSTM has not. "
        f"Without any dropout, the losses of {COMPARED} updates differ by at most {largest:.1e} of their value. Best "
        f"of {options.rounds} rounds of {UPDATES} updates, in turn.",
        report.grid(["threads", "fastrnn, ms an update", "torch", "ratio"], rows),
    )


if __name__ == "__main__":
    main()
