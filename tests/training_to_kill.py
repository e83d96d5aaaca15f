"""A training run that writes checkpoints all the time: ``python training_to_kill.py CHECKPOINT WEIGHTS``.

It goes on from CHECKPOINT where that exists, says so on a line, and leaves its final weights in WEIGHTS. Killed at any
moment and started again, it must end with the same bits.
"""

import os
import sys

import numpy as np

from fastrnn.losses import softmax_cross_entropy
from fastrnn.models import many_to_one
from fastrnn.optim import AdamW
from fastrnn.schedules import OneCycle
from fastrnn.training import Checkpoint, ReduceOnPlateau, train


def task(seed=0, n_samples=70):
    """Ragged sequences whose class is told by the sign of their first step."""
    rng = np.random.default_rng(seed)
    sequences = [rng.normal(size=(n, 2)).astype("float32") for n in rng.integers(1, 9, size=n_samples)]
    return sequences, np.array([int(x[0, 0] > 0) for x in sequences])


def fit(max_iter=15, **options):
    """Train one network with everything that has a state; return it and its history."""
    sequences, target = task()
    network = many_to_one(2, 2, cell="gru", hidden_layer_sizes=(6, 5), dropout=0.2, random_state=0)
    options = {"on_epoch": ReduceOnPlateau(decay=0.7, patience=0, tol=0.02), "accumulate_steps": 2, **options}
    history = train(
        network,
        sequences,
        target,
        loss=softmax_cross_entropy,
        optimizer=AdamW(0.05),
        batch_size=4,
        max_iter=max_iter,
        rng=np.random.default_rng(1),
        validation=task(seed=2, n_samples=20),
        early_stopping=True,
        n_iter_no_change=max_iter,
        schedule=OneCycle(),
        **options,
    )
    return network, history


def main(checkpoint, weights):
    """Train, from the checkpoint if there is one."""
    resume_from = checkpoint if os.path.exists(checkpoint) else None
    print("resumed" if resume_from else "started", flush=True)
    network, _ = fit(resume_from=resume_from, checkpoint=Checkpoint(checkpoint, every_updates=1))
    np.savez(weights, **network.state_dict())


if __name__ == "__main__":
    main(*sys.argv[1:])
