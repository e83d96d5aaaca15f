"""Winter or summer, by a day's demand for power: ``python -m benchmarks.learning.italy_power_demand --data PATH``.

67 days to learn from, 1,029 to be tested on, 24 hours each. The settings were chosen by cross-validation on the 67;
``--choose`` repeats that, and the test part is not read then.
"""

from __future__ import annotations

import argparse

from . import aeon_data, report

NAME = "ItalyPowerDemand"
SEEDS = 5
BAR = 0.95
COMMON = {"batch_size": 16, "max_iter": 100, "n_iter_no_change": 100}
SETTINGS = {"cell": "gru", "conv_filters": (16, 16), "alpha": 0.1, **COMMON}  # all else is the default
CHOICES = {
    "defaults": {},
    "gru": {"cell": "gru"},
    "gru, bidirectional": {"cell": "gru", "bidirectional": True},
    "gru, bidirectional, 32": {"cell": "gru", "bidirectional": True, "hidden_layer_sizes": 32},
    "gru, conv_filters=(16, 16)": {"cell": "gru", "conv_filters": (16, 16)},
}
ALPHAS = (0.0001, 0.01, 0.03, 0.1, 0.2)
FOLDS, REPEATS = 5, 3


def classifier(seed, **options):
    """Return the classifier of a seed with these parameters."""
    from fastrnn.estimators import RNNClassifier

    return RNNClassifier(**options, random_state=seed)


def accuracy(seed, data, **options):
    """Fit, and return the accuracy on the test part; `options` in addition to SETTINGS."""
    X_train, y_train, X_test, y_test = data
    with report.unwarned():
        return classifier(seed, **{**SETTINGS, **options}).fit(X_train, y_train).score(X_test, y_test)


def cross_validated(X, y, repeats=REPEATS, **options):
    """Return the mean accuracy of repeated stratified cross-validation, and its standard error over the folds."""
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score

    folds = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=repeats, random_state=0)
    with report.unwarned():
        scores = cross_val_score(classifier(0, **options), X, y, cv=folds)
    return float(scores.mean()), float(scores.std() / len(scores) ** 0.5)


def choose(X, y):
    """Print the cross-validated accuracy of every choice, on the training part alone."""
    for name, options in CHOICES.items():
        for alpha in ALPHAS:
            mean, error = cross_validated(X, y, **options, alpha=alpha, **COMMON)
            print(f"{name:<28} alpha {alpha:<7} {mean:.4f} +- {error:.4f}", flush=True)


def main(argv=None):
    """Choose; or fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default=None, help="where aeon is unpacked or installed; else pip downloads its wheel"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--choose", action="store_true", help="cross-validation on the training part")
    options = parser.parse_args(argv)
    data = aeon_data.load(NAME, options.data)
    if options.choose:
        choose(*data[:2])
        return
    mean, error = cross_validated(*data[:2], **SETTINGS)
    accuracies = [accuracy(seed, data) for seed in range(options.seeds)]
    settings = ", ".join(f"{name}={value!r}" for name, value in SETTINGS.items())
    report.write(
        "italy_power_demand",
        "# ItalyPowerDemand: accuracy on the 1,029 test series",
        f"`RNNClassifier({settings}, random_state=seed)`, trained on the 67 training series as they come, float32. The "
        f"settings were chosen by cross-validation on those 67 (`--choose`; {FOLDS} folds, {REPEATS} times): "
        f"{mean:.1%} +- {error:.1%}.",
        report.grid(["seed", "test accuracy"], report.by_seed(accuracies, BAR)),
    )


if __name__ == "__main__":
    main()
