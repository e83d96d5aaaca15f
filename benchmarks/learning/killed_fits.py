"""Fits killed by SIGKILL at random moments, and resumed: ``python -m benchmarks.learning.killed_fits``.

Each fit writes a checkpoint after every update. It is killed, what it left is read, and a second process goes on from
there; its weights must have the bits of the fit that nothing interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import report

FITS = 20
ROOT = Path(__file__).resolve().parents[2]


def fit(seed, checkpoint=None, resume_from=None):
    """Fit a classifier with everything that has a state to JapaneseVowels; return its weights by name."""
    from fastrnn.datasets import load_japanese_vowels
    from fastrnn.estimators import RNNClassifier
    from fastrnn.training import Checkpoint, ReduceOnPlateau

    X, y, *_ = load_japanese_vowels(return_X_y=True)
    model = RNNClassifier(
        (16, 12),
        cell="gru",
        bidirectional=True,
        dropout=0.2,
        learning_rate="onecycle",
        learning_rate_init=0.02,
        early_stopping=True,
        max_iter=6,
        n_iter_no_change=6,
        random_state=seed,
    )
    hooks = [ReduceOnPlateau(0.7, patience=0)]
    if checkpoint is not None:
        hooks.append(Checkpoint(checkpoint, every_updates=1))
    with report.unwarned():
        model.set_callbacks(*hooks).fit(X, y, resume_from=resume_from)
    return model.network_.state_dict()


def child(seed, folder):
    """Fit, from the checkpoint in a folder if there is one; leave the weights there."""
    import fastrnn.estimators  # noqa: F401 - which takes longer than the fit

    checkpoint = folder / "run"
    resume_from = checkpoint if checkpoint.exists() else None
    print("started", flush=True)
    np.savez(folder / "weights.npz", **fit(seed, checkpoint, resume_from))


@dataclass(frozen=True)
class Outcome:
    """What a killed fit left.

    Attributes
    ----------
    updates : int or None
        That the checkpoint had seen; None where there was none yet.
    in_write : bool
        Whether a temporary file lay beside it: killed while it wrote.
    same_bits : bool
        Of the weights of the resumed fit and of the uninterrupted one.
    """

    updates: int | None
    in_write: bool
    same_bits: bool


def _child(seed, folder):
    """Return the command and the environment of a process that runs `child`."""
    command = [sys.executable, "-m", "benchmarks.learning.killed_fits", "--child", str(seed), str(folder)]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"args": command, "env": {**os.environ, "PYTHONPATH": path}, "stdout": subprocess.PIPE, "text": True}


def run_killed(seed, moment, folder):
    """Kill the fit of a seed `moment` seconds after its start, read the checkpoint, and go on from it.

    Returns
    -------
    outcome : Outcome or None
        None where the fit had ended by then.
    """
    from fastrnn.storage import read_arrays

    with subprocess.Popen(**_child(seed, folder)) as process:
        process.stdout.readline()
        time.sleep(moment)
        process.kill()
    left = {path.name for path in folder.iterdir()}
    if any("weights" in name for name in left):
        return None
    updates = None
    if "run" in left:
        _, metadata = read_arrays(folder / "run")  # raises where it is not whole
        updates = json.loads(metadata["state"])["history"]["n_updates"]
    subprocess.run(**_child(seed, folder), check=True)
    with np.load(folder / "weights.npz") as found:
        same = all(found[name].tobytes() == weight.tobytes() for name, weight in fit(seed).items())
    return Outcome(updates, bool(left - {"run"}), same)


def duration(folder):
    """Return the seconds of a fit that nothing interrupts, checkpoints included, from its first word on."""
    with subprocess.Popen(**_child(0, folder)) as process:
        process.stdout.readline()
        start = time.perf_counter()
        process.wait()
    return time.perf_counter() - start


def run_all(n_fits, moments):
    """Kill so many fits, one of each seed, at random moments; yield (moment, Outcome)."""
    with tempfile.TemporaryDirectory() as folder:
        longest = duration(Path(folder))
    for seed in range(n_fits):
        outcome = None
        while outcome is None:
            moment = moments.uniform(0.0, longest)
            with tempfile.TemporaryDirectory() as folder:
                outcome = run_killed(seed, moment, Path(folder))
        yield moment, outcome


def main(argv=None):
    """Kill, resume, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=FITS)
    parser.add_argument("--child", nargs=2, metavar=("SEED", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        child(int(options.child[0]), Path(options.child[1]))
        return
    rows = []
    for seed, (moment, outcome) in enumerate(run_all(options.fits, random.Random(0))):
        left = "none yet" if outcome.updates is None else f"{outcome.updates} updates"
        while_writing = "yes" if outcome.in_write else ""
        rows.append([seed, f"{moment:.2f} s", while_writing, left, "yes" if outcome.same_bits else "**no**"])
        print(*rows[-1], flush=True)
    same = sum(row[-1] == "yes" for row in rows)
    report.write(
        "killed_fits",
        "# Fits killed at random moments",
        f"{options.fits} fits of `RNNClassifier` killed by SIGKILL; a checkpoint after every update. Every checkpoint "
        f"was read in full after the kill; {same} of {options.fits} resumed fits ended in the bits of the "
        f"uninterrupted one ({report.verdict(same == options.fits)}).",
        report.grid(["fit", "killed after", "while it wrote", "checkpoint", "same bits"], rows),
    )


if __name__ == "__main__":
    main()
