"""Connectionist temporal classification by going through all paths: the oracle of `ctc_loss` and of the decoders.

`python -m tests.ctc_enumeration` prints how far `ctc_loss` is from it, in float64, with the kernels of FASTRNN_ISA.
"""

import itertools

import numpy as np

from fastrnn.layers.ctc import ctc_loss


def collapse(path, blank):
    """The labels that a path stands for."""
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def softmax(logits):
    """Probabilities of the rows of logits (T, K)."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def labellings(logits, blank):
    """Every labelling of logits (T, K), with its probability."""
    y, found = softmax(logits), {}
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        labels = collapse(path, blank)
        found[labels] = found.get(labels, 0.0) + float(np.prod(y[np.arange(len(path)), list(path)]))
    return found


def loss_and_gradient(logits, target, blank):
    """-log p(target) and its gradient, softmax less the share of the paths that go through each class."""
    y = softmax(logits)
    share, total = np.zeros(logits.shape), 0.0
    steps = np.arange(len(logits))
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if collapse(path, blank) == tuple(target):
            p = float(np.prod(y[steps, list(path)]))
            total += p
            share[steps, list(path)] += p
    return (-np.log(total), y - share / total) if total else (np.inf, np.zeros(logits.shape))


def batch(seed, n_rows=6, seq_len=5, n_classes=3):
    """logits (seq_len, n_rows, n_classes), lengths, targets, blank: lengths from 0, targets empty and too long too."""
    rng = np.random.default_rng([10, seed])
    blank = int(rng.integers(n_classes))
    labels = np.delete(np.arange(n_classes), blank)
    targets = [rng.choice(labels, rng.integers(0, 4)).tolist() for _ in range(n_rows)]
    return 2 * rng.standard_normal((seq_len, n_rows, n_classes)), rng.integers(0, seq_len + 1, n_rows), targets, blank


def largest_difference(seed):
    """Between `ctc_loss` and all paths, over a batch."""
    logits, lengths, targets, blank = batch(seed)
    loss, d_logits = ctc_loss(logits, targets, lengths, blank=blank)
    worst = 0.0
    for n, length in enumerate(lengths):
        expected, d_expected = loss_and_gradient(logits[:length, n], targets[n], blank)
        if np.isinf(expected) or np.isinf(loss[n]):
            worst = max(worst, 0.0 if expected == loss[n] else np.inf)
        else:
            worst = max(worst, abs(loss[n] - expected))
        worst = max(worst, float(np.abs(d_logits[:length, n] - d_expected).max(initial=0.0)))
        worst = max(worst, float(np.abs(d_logits[length:, n]).max(initial=0.0)))
    return worst


if __name__ == "__main__":
    print(max(largest_difference(seed) for seed in range(10)))
