"""What does the image show? A GRU that starts from 128 pixels spells the answer: one vector in, a sequence out.

`RNNGenerator` learns to write, letter after letter, what two of scikit-learn's handwritten digits beside each other
are: "seven, three" or "two nines". Its figure is the share of test images whose caption is right to the last letter;
floors: the most frequent caption, and that of the training image that is most alike, pixel by pixel.
"""

import numpy as np
from common import parser, save, subplots, table, timed
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from fastrnn import RNNGenerator

WORDS = "zero one two three four five six seven eight nine".split()


def caption(left, right):
    """Words for two digits."""
    if left != right:
        return f"{WORDS[left]}, {WORDS[right]}"
    return f"two {WORDS[left]}{'es' if WORDS[left] == 'six' else 's'}"


def pictures(images, digits, n_pictures, rng):
    """Return images of two digits each, of shape (n_pictures, 8, 16), and their captions; a sixth are twins."""
    left, right = rng.integers(len(digits), size=(2, n_pictures))
    for k in np.flatnonzero(rng.random(n_pictures) < 1 / 6):
        right[k] = rng.choice(np.flatnonzero(digits == digits[left[k]]))
    both = np.concatenate([images[left], images[right]], axis=2)
    return both, [caption(*pair) for pair in zip(digits[left], digits[right])]


def draw(images, guess, truth, path):
    """Save images with their captions; wrong ones say what is right."""
    wrong = [k for k in range(len(truth)) if guess[k] != truth[k]]
    right = [k for k in range(len(truth)) if guess[k] == truth[k]]
    shown = [*right[: max(8, 12 - len(wrong))], *wrong][:12]
    figure, grid = subplots(3, 4, figsize=(10.0, 5.4))
    for axes, k in zip(grid.flat, shown):
        axes.imshow(images[k], cmap="gray_r")
        axes.set_xticks([])
        axes.set_yticks([])
        text, color = (guess[k], "C2") if guess[k] == truth[k] else (f"{guess[k]} (is: {truth[k]})", "C3")
        axes.set_xlabel(text, fontsize=10, color=color)
    figure.suptitle("Captions of test images: green right, red wrong")
    save(figure, path)


def main(argv=None):
    """Train, print, draw."""
    options = parser(__doc__, "captioning.png").parse_args(argv)
    digits, rng = load_digits(), np.random.default_rng(0)
    images = (digits.images / 16).astype(np.float32)
    parts = train_test_split(images, digits.target, test_size=500, stratify=digits.target, random_state=0)
    images, y = pictures(*parts[::2], 300 if options.small else 8000, rng)
    test_images, y_test = pictures(*parts[1::2], 100 if options.small else 500, rng)
    X, X_test = (part.reshape(len(part), -1) for part in (images, test_images))
    print(f"images: {len(X)} for training and {len(X_test)} of other digits for the test\n")
    model = RNNGenerator(
        (64,),
        cell="gru",
        input_layer_sizes=(128,),
        learning_rate="cosine",
        learning_rate_init=0.005,
        batch_size=64,
        max_iter=5 if options.small else 30,
        random_state=0,
    )
    with timed("training"):
        model.fit(X, y)
    guess = model.predict(X_test)
    figures = {"decoder from 128 pixels": float(np.mean([one == other for one, other in zip(guess, y_test)]))}
    floors = {"floor: most frequent caption": DummyClassifier(), "floor: nearest image": KNeighborsClassifier(1)}
    figures |= {name: floor.fit(X, y).score(X_test, y_test) for name, floor in floors.items()}
    table("share of right captions", figures)
    draw(test_images, guess, y_test, options.picture)


if __name__ == "__main__":
    main()
