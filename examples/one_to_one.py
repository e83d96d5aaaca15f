"""Which digit is it? Dense layers read an image of 8 x 8 pixels: one vector in, one label out.

The smallest of the forms, without anything recurrent: a `Sequential` of `Dense` layers as the network of a classifier,
on scikit-learn's handwritten digits. Floors: the most frequent class, and logistic regression.
"""

import numpy as np
from common import parser, save, subplots, table, timed
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from fastrnn import Dense, Dropout, RNNClassifier, Sequential

PIXELS, DIGITS = 64, 10


def network(seed):
    """64 numbers in, a score for each digit out."""
    return Sequential(
        Dense(PIXELS, 128, activation="relu", random_state=seed),
        Dropout(0.3),
        Dense(128, DIGITS, random_state=seed + 1),
    )


def draw(images, truth, probabilities, path):
    """Save the images of which the network was least sure, with what it says about them."""
    doubtful = np.argsort(probabilities.max(axis=1))[:12]
    figure, grid = subplots(2, 6, figsize=(9.0, 3.9))
    for axes, k in zip(grid.flat, doubtful):
        first, second = np.argsort(-probabilities[k])[:2]
        axes.imshow(images[k].reshape(8, 8), cmap="gray_r")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(
            f"{first} ({probabilities[k, first]:.0%}) or {second} ({probabilities[k, second]:.0%})\nis a {truth[k]}",
            fontsize=9,
            color="C2" if first == truth[k] else "C3",
        )
    figure.suptitle("Test images of which the network is least sure: green right, red wrong")
    save(figure, path)


def main(argv=None):
    """Train, print, draw."""
    options = parser(__doc__, "one_to_one.png").parse_args(argv)
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        (X / 16).astype(np.float32), y, test_size=500, stratify=y, random_state=0
    )
    if options.small:
        X_train, y_train = X_train[:300], y_train[:300]
    print(f"digits: {len(X_train)} training and {len(X_test)} test images of 64 numbers\n")
    model = RNNClassifier(network=network(0), max_iter=10 if options.small else 100, random_state=0)
    with timed("training"):
        model.fit(X_train, y_train)
    floors = {
        "floor: most frequent digit": DummyClassifier(),
        "floor: logistic regression": LogisticRegression(max_iter=1000),
    }
    figures = {"dense layers": model.score(X_test, y_test)}
    figures |= {name: floor.fit(X_train, y_train).score(X_test, y_test) for name, floor in floors.items()}
    table("test accuracy", figures)
    draw(X_test, y_test, model.predict_proba(X_test), options.picture)


if __name__ == "__main__":
    main()
