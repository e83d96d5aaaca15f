"""Which of nine men is speaking? Test accuracy of five seeds: ``python -m benchmarks.learning.japanese_vowels``."""

from __future__ import annotations

import argparse

from . import report

SETTINGS = {"cell": "gru", "bidirectional": True}  # all else is the default
SEEDS = 5
BAR = 0.97


def load():
    """Return (X_train, y_train, X_test, y_test)."""
    from fastrnn.datasets import load_japanese_vowels

    return load_japanese_vowels(return_X_y=True)


def accuracy(seed, data, **options):
    """Scale by the training part, fit, and return the accuracy on the test part.

    Parameters
    ----------
    seed : int
    data : tuple
        What `load` gives.
    **options
        Parameters of the classifier, in addition to SETTINGS.
    """
    from sklearn.pipeline import make_pipeline

    from fastrnn.estimators import RNNClassifier, SequenceScaler

    X_train, y_train, X_test, y_test = data
    model = make_pipeline(SequenceScaler(), RNNClassifier(**{**SETTINGS, **options}, random_state=seed))
    with report.unwarned():
        return model.fit(X_train, y_train).score(X_test, y_test)


def main(argv=None):
    """Fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args(argv)
    data = load()
    accuracies = [accuracy(seed, data) for seed in range(options.seeds)]
    settings = ", ".join(f"{name}={value!r}" for name, value in SETTINGS.items())
    report.write(
        "japanese_vowels",
        "# JapaneseVowels: accuracy on the 370 test sequences",
        f"`make_pipeline(SequenceScaler(), RNNClassifier({settings}, random_state=seed))`, trained on the 270 training "
        "sequences as they come, float32.",
        report.grid(["seed", "test accuracy"], report.by_seed(accuracies, BAR)),
    )


if __name__ == "__main__":
    main()
