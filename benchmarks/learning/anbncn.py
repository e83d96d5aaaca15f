"""How far does an LSTM of three units count? ``python -m benchmarks.learning.anbncn``, and ``anbncn_own``.

Strings a^n b^n c^n with n up to 50 are learnt; the figure is the smallest n that fails at any step, threshold 0.5.
All seeds are trained side by side: as one network of three units each, in which the weights between the units of two
seeds are 0 and kept so. An optimiser that works element by element then does to each what it would do to it alone.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field

import numpy as np

from . import report

SEEDS, EPOCHS = 20, 150
N_STRINGS, LONGEST = 1000, 50
N_UNITS, N_IN, N_OUT = 3, 3, 4
FARTHEST = 1000  # n beyond which nobody looks
PUBLISHED = "Published, 10 trials: 83 to 244, median 139.5 (Suzgun, Belinkov and Shieber 2019)."


@dataclass(frozen=True)
class Recipe:
    """How to train: names in fastrnn.optim, fastrnn.schedules and fastrnn.init, and their arguments."""

    solver: str
    solver_options: dict
    batch_size: int
    schedule: str = "Constant"
    schedule_options: dict = field(default_factory=dict)
    init: str = "default"
    forget_bias: float | None = None
    input_gain: float = 1.0  # on the first weights of the input
    shuffle: bool = False


RECIPE = Recipe("RMSprop", {"learning_rate": 0.01}, batch_size=1)


def first_networks(seeds, recipe):
    """Return one network of all seeds side by side, and a mask of the weights that are theirs: {name: 0 or 1}."""
    from fastrnn import LSTM, Dense
    from fastrnn.init import forget_bias
    from fastrnn.layers import Sequential

    n = len(seeds)
    joined = Sequential(LSTM(N_IN, N_UNITS * n), Dense(N_UNITS * n, N_OUT * n, activation="sigmoid"))
    masks = {name: np.zeros_like(value) for name, value in joined.params.items()}
    with joined.updating() as params:
        for value in params.values():
            value[...] = 0.0
        for k, seed in enumerate(seeds):
            rng = np.random.default_rng(seed)
            own = Sequential(
                LSTM(N_IN, N_UNITS, init=recipe.init, random_state=rng), Dense(N_UNITS, N_OUT, random_state=rng)
            ).state_dict()
            if recipe.forget_bias is not None:
                forget_bias(own["0.bias_ih_l0"], recipe.forget_bias)
                forget_bias(own["0.bias_hh_l0"], 0.0)
            own["0.weight_ih_l0"] *= recipe.input_gain
            for name, value in own.items():
                _block(params[name], name, k, n)[...] = _gates(value, name)
                _block(masks[name], name, k, n)[...] = 1.0
    return joined, masks


def _gates(value, name):
    """A parameter of the LSTM as (4, N_UNITS, ...), one of the Dense layer as it is."""
    return value.reshape(4, N_UNITS, *value.shape[1:]) if name.startswith("0.") else value


def _block(joined, name, k, n):
    """The part of a parameter of the joined network that belongs to the k-th of n seeds: a view."""
    units, outputs = slice(k * N_UNITS, (k + 1) * N_UNITS), slice(k * N_OUT, (k + 1) * N_OUT)
    if not name.startswith("0."):
        return joined[outputs, units] if joined.ndim == 2 else joined[outputs]
    gates = joined.reshape(4, n * N_UNITS, *joined.shape[1:])[:, units]
    return gates[..., units] if name.endswith("weight_hh_l0") else gates


def learn(seeds, recipe, epochs=EPOCHS, n_strings=N_STRINGS, longest=LONGEST):
    """Train all seeds on the same strings in the same order.

    Returns
    -------
    network : Sequential
    losses : ndarray of shape (n_seeds,)
        Mean squared error of each over the last epoch.
    """
    from fastrnn import optim, schedules
    from fastrnn.datasets import anbncn

    _, X, y = anbncn(n_strings, high=longest, random_state=0)
    network, masks = first_networks(seeds, recipe)
    optimizer = getattr(optim, recipe.solver)(**recipe.solver_options)
    schedule = getattr(schedules, recipe.schedule)(**recipe.schedule_options)
    rng, order = np.random.default_rng(0), np.arange(n_strings)
    starts = range(0, n_strings, recipe.batch_size)
    with network.updating() as params:
        state = optimizer.init(params)
    for epoch in range(epochs):
        if recipe.shuffle:
            order = rng.permutation(n_strings)
        losses = np.zeros(len(seeds))
        for number, start in enumerate(starts):
            batch = order[start : start + recipe.batch_size]
            losses += _gradients(network, [X[k] for k in batch], [y[k] for k in batch]) / len(starts)
            progress = schedules.Progress(epoch, epoch * len(starts) + number, epochs * len(starts))
            with network.updating() as params:
                for name, mask in masks.items():
                    network.grads[name] *= mask
                optimizer.update(params, network.grads, state, optimizer.learning_rate * schedule(progress))
    return network, losses


def _gradients(network, X, y):
    """Fill the gradients of each seed's mean squared error over a batch, and return these errors (n_seeds,)."""
    x, lengths = _padded(X)
    target, _ = _padded(y)
    network.zero_grad()
    (output, _), backward = network.forward(x, lengths=lengths, n_threads=1)
    steps = output.shape[:2]
    error = output.reshape(*steps, -1, N_OUT) - target[:, :, None]
    error[np.arange(steps[0])[:, None] >= lengths] = 0.0
    count = int(lengths.sum()) * N_OUT
    backward((error / count).reshape(output.shape), wants_x=False)  # of half the square, as losses.squared_error
    return np.square(error).sum(axis=(0, 1, 3)) / count


def _padded(sequences):
    lengths = np.array([len(x) for x in sequences])
    rows = np.zeros((lengths.max(), len(sequences), sequences[0].shape[1]), np.float32)
    for k, x in enumerate(sequences):
        rows[: len(x), k] = x
    return rows, lengths


def first_failures(network, n_seeds, farthest=FARTHEST, at_once=50):
    """Return the smallest n that fails, of each seed; `farthest` + 1 where none does."""
    from fastrnn.datasets import anbncn

    found = np.full(n_seeds, farthest + 1)
    for first in range(1, farthest + 1, at_once):
        strings = [anbncn(1, low=n, high=n) for n in range(first, min(first + at_once, farthest + 1))]
        x, lengths = _padded([X[0] for _, X, _ in strings])
        target, _ = _padded([y[0] for _, _, y in strings])
        output, _ = network(x, lengths=lengths, n_threads=1)
        wrong = (output.reshape(*target.shape[:2], n_seeds, N_OUT) > 0.5) != (target[:, :, None] > 0.5)
        wrong[np.arange(len(x))[:, None] >= lengths] = False
        failed = wrong.any(axis=(0, 3))  # (strings, n_seeds)
        new = (found > farthest) & failed.any(axis=0)
        found[new] = first + failed.argmax(axis=0)[new]
        if (found <= farthest).all():
            break
    return found


def tell(name, title, recipe, aim, argv):
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args(argv)
    start = time.perf_counter()
    network, losses = learn(range(options.seeds), recipe)
    seconds = time.perf_counter() - start
    found = first_failures(network, options.seeds)
    median = float(np.median(found))
    rows = [[seed, n, f"{loss:.1e}"] for seed, (n, loss) in enumerate(zip(found, losses))]
    rows.append([f"median (aim: at least {aim}, {report.verdict(median >= aim)})", f"{median:g}", ""])
    report.write(
        name,
        f"# a^n b^n c^n: {title}",
        f"`datasets.anbncn`, {N_STRINGS:,} strings with n uniform in 1 to {LONGEST}, {EPOCHS} epochs, LSTM of "
        f"{N_UNITS} units, sigmoid outputs, mean squared error, the last model; the figure is the smallest n that "
        f"fails. {PUBLISHED} A network that has learnt its strings by heart fails at 51.",
        f"`{recipe}`. The seeds draw the first weights; strings and their order are the same for all. All seeds side "
        f"by side in one network: {seconds:.0f} seconds.",
        report.grid(["seed", "first n that fails", "training error"], rows),
    )


def main(argv=None):
    """The published recipe."""
    tell("anbncn", "the published recipe", RECIPE, 110, argv)


if __name__ == "__main__":
    main()
