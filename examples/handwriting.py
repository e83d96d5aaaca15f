"""Read a number written by hand: digits in a row, and nobody says where one ends and the next begins.

scikit-learn's handwritten digits, 8 x 8 pixels, are drawn one after another, three to eight of them, some touching, and
the network sees the row as a sequence of columns of pixels. It learns from rows and the numbers they show alone
(connectionist temporal classification). Beside it stands what one would do without it: cut the row where a column is
empty, and let a logistic regression, trained on single digits, read the pieces.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from fastrnn import RNNTranscriber
from fastrnn.metrics import label_error_rate

HEIGHT = WIDTH = 8
OF_TRAINING = 1200  # images; numbers to test with are made of the others


def trimmed(image):
    """An image without its empty columns on the left and on the right."""
    inked = np.flatnonzero(image.any(axis=0))
    return image[:, inked[0] : inked[-1] + 1]


def row_of(images, rng):
    """Draw images one after another: from two columns of overlap to two of space. Returns (n_columns, HEIGHT)."""
    row = np.zeros((HEIGHT, (WIDTH + 2) * len(images)))
    place = 0
    for image in images:
        image = trimmed(image)
        part = row[:, place : place + image.shape[1]]
        np.maximum(part, image, out=part)
        place = max(place + image.shape[1] + rng.integers(-2, 3), place + 1)
    return trimmed(row).T


def numbers(images, digits, n_rows, rng):
    """Rows of pixels, and the numbers they show."""
    X, y = [], []
    for _ in range(n_rows):
        chosen = rng.integers(len(images), size=rng.integers(3, 9))
        X.append(row_of(images[chosen], rng).astype(np.float32))
        y.append("".join(map(str, digits[chosen])))
    return X, y


def centred(piece):
    """A piece (n_columns, HEIGHT) in the middle of WIDTH columns, as single digits are."""
    if len(piece) > WIDTH:
        piece = piece[np.linspace(0, len(piece) - 1, WIDTH).round().astype(int)]
    before = (WIDTH - len(piece)) // 2
    return np.pad(piece, ((before, WIDTH - before - len(piece)), (0, 0)))


def cut_and_classify(X, images, digits):
    """Numbers by cutting at empty columns and a logistic regression on the pieces."""
    of_one = LogisticRegression(max_iter=1000).fit([centred(trimmed(image).T).ravel() for image in images], digits)
    answers = []
    for row in X:
        ends = np.flatnonzero(np.diff(row.any(axis=1).astype(int))) + 1
        pieces = [piece for piece in np.split(row, ends) if piece.any()]
        answers.append("".join(map(str, of_one.predict([centred(piece).ravel() for piece in pieces]))))
    return answers


def draw(model, X, y, path):
    """Save rows of digits above the probabilities that the network gives at each column."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(X), figsize=(9.0, 4.2), sharex="col", layout="constrained", squeeze=False)
    for (top, bottom), x, truth in zip(axes.T, X, y):
        top.imshow(x.T, cmap="gray_r", aspect="auto")
        top.set(title=f"shown {truth}, read {model.predict([x])[0]}", yticks=[])
        probabilities = model.predict_proba([x])[0]
        bottom.plot(probabilities[:, 0], color="0.7", linestyle=":")
        for k in np.unique(probabilities[:, 1:].argmax(axis=1)[probabilities[:, 1:].max(axis=1) > 0.3]):
            curve = probabilities[:, k + 1]
            bottom.plot(curve)
            before, after = np.r_[0.0, curve[:-1]], np.r_[curve[1:], 0.0]
            for step in np.flatnonzero((curve > 0.3) & (curve > before) & (curve >= after)):
                bottom.text(step, curve[step] + 0.02, model.classes_[k], ha="center", fontweight="bold")
        bottom.set(xlabel="column of pixels; dotted: no digit (blank)", ylabel="probability", ylim=(0, 1.15))
    figure.savefig(path, dpi=150)


def main():
    """Train, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a few seconds instead of a minute, and worse figures")
    parser.add_argument("--picture", default="handwriting.png", help="where to save the picture")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    digits = load_digits()
    images, labels = digits.images / 16.0, digits.target
    rng = np.random.default_rng(0)
    n_rows, n_epochs, batch_size = (500, 6, 10) if options.small else (2500, 20, 50)
    X, y = numbers(images[:OF_TRAINING], labels[:OF_TRAINING], n_rows, rng)
    X_test, y_test = numbers(images[OF_TRAINING:], labels[OF_TRAINING:], 60 if options.small else 300, rng)
    print(f"{n_rows} rows to learn from, {len(X_test)} of other images to read, such as {', '.join(y_test[:4])}\n")

    model = RNNTranscriber((48,), cell="gru", bidirectional=True, dropout=0.3, batch_size=batch_size, random_state=0)
    model.set_params(max_iter=n_epochs, learning_rate_init=0.01, learning_rate="cosine", verbose=True)
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    answers = {
        "cut at empty columns, then classify": cut_and_classify(X_test, images[:OF_TRAINING], labels[:OF_TRAINING]),
        "network, likeliest alignment": model.predict(X_test),
        "network, beam of 10": model.set_params(beam_width=10).predict(X_test),
    }
    print(f"{'':36} wrong digits  numbers all right")
    for name, found in answers.items():
        right = np.mean([one == other for one, other in zip(found, y_test)])
        print(f"{name:36} {label_error_rate(y_test, found):12.1%} {right:18.1%}")
    print(f"\ntrained in {seconds:.1f} s; the last loss is {model.loss_:.2f} nats a number")
    draw(model, X_test[:2], y_test[:2], options.picture)
    print(f"what it sees and says at each column: {options.picture}")


if __name__ == "__main__":
    main()
