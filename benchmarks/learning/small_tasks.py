"""«hello», words of three letters, and the timer: ``python -m benchmarks.learning.small_tasks``.

None has a published figure; each has one answer that is right.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

from . import report

SEEDS = {"hello": 5, "words": 5, "timer": 3}
TIMER_TOLERANCE, TIMER_SEQUENCES, TIMER_STEPS, TIMER_HEIGHT = 0.05, 20, 5000, 0.5
WORDS = {
    "hidden_layer_sizes": 16,
    "embedding_dim": 8,
    "batch_size": 64,
    "learning_rate_init": 0.01,
    "learning_rate": "cosine",
    "max_iter": 15,
    "alpha": 0.0,
}


@dataclass(frozen=True)
class Timer:
    """How the timer is trained."""

    n_cells: int = 12
    learning_rate: float = 0.02
    batch_size: int = 12
    n_steps: int = 2500
    n_updates: int = 3000
    max_grad_norm: float = 1.0


def complete_hell(seed, n_cells=8, epochs=100):
    """Train on «hello», and return the letter after «hell» and its probability."""
    from fastrnn import LSTM, Dense
    from fastrnn.datasets import hello
    from fastrnn.layers import Sequential
    from fastrnn.losses import softmax, softmax_cross_entropy
    from fastrnn.optim import Adam
    from fastrnn.training import train

    rng, (X, y) = np.random.default_rng(seed), hello()
    network = Sequential(LSTM(4, n_cells, random_state=rng), Dense(n_cells, 4, random_state=rng))
    options = {"loss": softmax_cross_entropy, "optimizer": Adam(0.05), "n_threads": 1, "n_iter_no_change": epochs}
    train(network, X, y, **options, max_iter=epochs, rng=rng)
    last = softmax(network(X.swapaxes(0, 1))[0])[-1, 0]
    return "helo"[int(last.argmax())], float(last.max())


def count_vowels(seed, options=WORDS, n_words=None):
    """Fit a GRUClassifier to 80 % of the words, and return its accuracy on the other 20 % and the seconds of the fit.

    `n_words` takes so many of the words only.
    """
    from sklearn.model_selection import train_test_split

    from fastrnn.datasets import three_letter_words
    from fastrnn.estimators import GRUClassifier

    _, X, y = three_letter_words()
    chosen = np.random.default_rng(seed).permutation(len(X))[:n_words]
    X_train, X_test, y_train, y_test = train_test_split(X[chosen], y[chosen], test_size=0.2, random_state=seed)
    start = time.perf_counter()
    with report.unwarned():
        model = GRUClassifier(**options, random_state=seed, n_threads=1).fit(X_train, y_train)
    return model.score(X_test, y_test), time.perf_counter() - start


def timer_network(n_cells, longest, rng):
    """Return two layers of LSTM and a Dense layer.

    The forget gates of the first remember for 1 to `longest` steps at first. Both learn their initial state: the first
    step of a sequence is one of thousands, and right from the start.
    """
    from fastrnn import LSTM, Dense
    from fastrnn.layers import Sequential

    options = {"init": "glorot", "learn_initial_state": True, "random_state": rng}
    layers = [LSTM(size, n_cells, **options) for size in (2, n_cells)]
    with layers[0].updating() as params:
        gates = params["bias_ih_l0"].reshape(4, n_cells)
        gates[1] = np.log(rng.uniform(1.0, longest, size=n_cells))
        gates[0] = -gates[1]
    return Sequential(*layers, Dense(n_cells, 1, random_state=rng))


def learn_timer(seed, settings, longest=1000):
    """Train on sequences that are drawn anew for every update, and return the network."""
    from fastrnn.datasets import timer
    from fastrnn.losses import logistic_cross_entropy
    from fastrnn.optim import Adam, clip_by_global_norm
    from fastrnn.schedules import Cosine, Progress

    learning, weights = (np.random.default_rng([seed, k]) for k in range(2))
    network, optimizer, schedule = timer_network(settings.n_cells, longest, weights), Adam(), Cosine()
    with network.updating() as params:
        state = optimizer.init(params)
    for number in range(settings.n_updates):
        X, y, _ = timer(settings.batch_size, settings.n_steps, longest=longest, random_state=learning)
        network.zero_grad()
        (output, _), backward = network.forward(np.ascontiguousarray(X.swapaxes(0, 1)), n_threads=1)
        target = (y.T / TIMER_HEIGHT)[:, :, None]
        backward(logistic_cross_entropy(output, target)[1], wants_x=False)
        clip_by_global_norm(network.grads, settings.max_grad_norm)
        rate = settings.learning_rate * schedule(Progress(0, number, settings.n_updates))
        with network.updating() as params:
            optimizer.update(params, network.grads, state, rate)
    return network


def timer_errors(network, X, y, counted):
    """Return the largest error of a counted step of each sequence, (n_samples,)."""
    from fastrnn.losses import sigmoid

    output, _ = network(np.ascontiguousarray(X.swapaxes(0, 1)), n_threads=1)
    error = abs(TIMER_HEIGHT * sigmoid(output[:, :, 0].T) - y)
    return np.where(counted, error, 0.0).max(axis=1)


def time_pulses(seed, settings, longest=1000, n_sequences=TIMER_SEQUENCES, n_steps=TIMER_STEPS):
    """Return the largest error of each fresh sequence, and the seconds of training."""
    from fastrnn.datasets import timer

    start = time.perf_counter()
    network = learn_timer(seed, settings, longest)
    seconds = time.perf_counter() - start
    fresh = timer(n_sequences, n_steps, longest=longest, random_state=np.random.default_rng([seed, 2]))
    return timer_errors(network, *fresh), seconds


def main(argv=None):
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=None, help="of each task")
    options = parser.parse_args(argv)
    seeds = {task: range(options.seeds or n) for task, n in SEEDS.items()}
    rows, aims, settings = [], {task: True for task in SEEDS}, Timer()
    for seed in seeds["hello"]:
        letter, probability = complete_hell(seed)
        aims["hello"] &= letter == "o"
        rows.append(["hello: after hell", seed, f"{letter} ({probability:.1%})", ""])
    for seed in seeds["words"]:
        accuracy, seconds = count_vowels(seed)
        aims["words"] &= accuracy == 1.0
        rows.append(["words: accuracy on the other 20 %", seed, f"{accuracy:.2%}", f"{seconds:.0f}"])
    for seed in seeds["timer"]:
        errors, seconds = time_pulses(seed, settings)
        aims["timer"] &= bool((errors <= TIMER_TOLERANCE).all())
        right = int((errors <= TIMER_TOLERANCE).sum())
        answer = f"{errors.max():.3f} ({right} of {TIMER_SEQUENCES} sequences within {TIMER_TOLERANCE})"
        rows.append(["timer: largest error", seed, answer, f"{seconds:.0f}"])
        print(*rows[-1], flush=True)
    words = ", ".join(f"`{name}={value!r}`" for name, value in WORDS.items())
    report.write(
        "small_tasks",
        "# Small tasks without a published figure",
        f"- «hello», after «hell» comes «o»: {report.verdict(aims['hello'])}. LSTM of 8 cells, that one string; Adam, "
        "rate 0.05, 100 epochs.\n"
        "- Words of three letters, exactly one of them a vowel, 100 % (always answering no: 62 %): "
        f"{report.verdict(aims['words'])}. `GRUClassifier`, {words}.\n"
        f"- Timer, within {TIMER_TOLERANCE} at every counted step of {TIMER_SEQUENCES} fresh sequences of "
        f"{TIMER_STEPS:,} steps: {report.verdict(aims['timer'])}. Two layers of LSTM with trainable initial states, "
        f"cross-entropy of a sigmoid that is scaled to {TIMER_HEIGHT}, Adam with a cosine, `{settings}`.",
        report.grid(["", "seed", "answer", "seconds"], rows),
    )


if __name__ == "__main__":
    main()
