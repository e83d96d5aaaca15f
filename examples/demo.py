"""Which of nine men is speaking? An LSTM and a GRU learn it from 270 short recordings.

Trains both networks with the estimators' default settings on the JapaneseVowels data, and prints test
accuracy, training time and the time of one prediction; draws the learning curves. Run by ``make demo``.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastrnn.datasets import load_japanese_vowels
from fastrnn.estimators import GRUClassifier, LSTMClassifier


def scaled(sequences, like):
    """Shift and scale every feature by its mean and deviation over all steps of ``like``."""
    steps = np.concatenate(like)
    return [(x - steps.mean(axis=0)) / steps.std(axis=0) for x in sequences]


def timed(call, *arguments):
    """Return what a call returns, and how many seconds it took."""
    start = time.perf_counter()
    result = call(*arguments)
    return result, time.perf_counter() - start


def run(estimator_class, n_seeds, data, **settings):
    """Train with several seeds, the first with a progress bar; print the figures, return the first model."""
    X_train, y_train, X_test, y_test = data
    models, accuracies, seconds = [], [], []
    for seed in range(n_seeds):
        model, fit_seconds = timed(
            estimator_class(random_state=seed, verbose=seed == 0, **settings).fit, X_train, y_train
        )
        models.append(model)
        seconds.append(fit_seconds)
        accuracies.append(model.score(X_test, y_test))
    one = [timed(models[0].predict, X_test[:1])[1] for _ in range(50)]
    print(f"{estimator_class.__name__}")
    print(f"  test accuracy       {accuracies[0]:.1%}   (mean of {n_seeds} seeds {np.mean(accuracies):.1%})")
    print(f"  training time       {seconds[0]:.2f} s   (longest of {n_seeds} seeds {max(seconds):.2f} s)")
    print(f"  time of a prediction {1e3 * np.median(one):.2f} ms   (one sequence of {len(X_test[0])} steps)\n")
    return models[0]


def draw(models, path):
    """Save the learning curves of several models as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for model in models:
        axes.semilogy(range(1, model.n_iter_ + 1), model.loss_curve_, label=type(model).__name__)
    axes.set(xlabel="epoch", ylabel="training loss (cross-entropy and penalty)", title="JapaneseVowels")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


def main():
    """Train, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds to train with (default 5)")
    parser.add_argument("--small", action="store_true", help="train for ten epochs with one seed")
    parser.add_argument("--picture", default="learning_curve.png", help="where to save the learning curves")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    warnings.simplefilter("ignore", ConvergenceWarning)

    X_train, y_train, X_test, y_test = load_japanese_vowels(return_X_y=True)
    print(f"JapaneseVowels: {len(X_train)} training and {len(X_test)} test sequences, 12 features, 9 speakers\n")
    data = scaled(X_train, X_train), y_train, scaled(X_test, X_train), y_test
    n_seeds, settings = (1, {"max_iter": 10}) if options.small else (options.seeds, {})
    models = [run(cls, n_seeds, data, **settings) for cls in (LSTMClassifier, GRUClassifier)]
    draw(models, options.picture)
    print(f"learning curves: {options.picture}")


if __name__ == "__main__":
    main()
