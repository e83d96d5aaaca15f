"""An estimator's fit that writes checkpoints all the time: ``python estimator_to_kill.py CHECKPOINT WEIGHTS``.

It goes on from CHECKPOINT where that exists, says so on a line, and leaves its final weights and curves in WEIGHTS.
Killed at any moment and started again, it must end with the same bits.
"""

import os
import sys
import warnings

import numpy as np

from fastrnn.estimators import RNNClassifier
from fastrnn.training import Checkpoint, ReduceOnPlateau


def task(n=60):
    """Ragged sequences of words, and the last of them as a label."""
    rng = np.random.default_rng(0)
    X = [rng.choice(["red", "green", "blue", "grey"], size=int(t)).tolist() for t in rng.integers(1, 9, size=n)]
    return X, np.array([x[-1] if x[-1] != "grey" else "red" for x in X])


def fit(checkpoint=None, **options):
    """Fit with everything that has a state: a split, masks, a schedule, a hook, accumulated batches."""
    model = RNNClassifier(
        (5, 4),
        cell="gru",
        embedding_dim=3,
        dropout=0.2,
        learning_rate="onecycle",
        learning_rate_init=0.03,
        early_stopping=True,
        batch_size=4,
        accumulate_steps=2,
        max_iter=10,
        n_iter_no_change=10,
        random_state=3,
        n_threads=1,
    )
    hooks = [ReduceOnPlateau(0.7, patience=0)] + [checkpoint] * (checkpoint is not None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten epochs are few
        return model.set_callbacks(*hooks).fit(*task(), **options)


def result(model):
    """All that a fit leaves in numbers, by name."""
    curves = ("loss_curve_", "grad_norm_curve_", "validation_scores_", "validation_loss_curve_")
    return {**model.network_.state_dict(), **{name: np.array(getattr(model, name)) for name in curves}}


def main(checkpoint, weights):
    """Fit, from the checkpoint if there is one."""
    resume_from = checkpoint if os.path.exists(checkpoint) else None
    print("resumed" if resume_from else "started", flush=True)
    np.savez(weights, **result(fit(Checkpoint(checkpoint, every_updates=1), resume_from=resume_from)))


if __name__ == "__main__":
    main(*sys.argv[1:])
