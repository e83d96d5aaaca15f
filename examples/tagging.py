"""Where will the ball be? A convolution reads each frame of a film, a GRU remembers: an answer for every frame.

A ball flies in a box and bounces off its walls; a frame has 15 x 15 pixels, and nobody says where the ball is or how
fast. `RNNTagger` learns after each frame where the ball will be five frames later. Floors, which are told the true
positions: the ball stays where it is, or flies straight on as if there were no walls.
"""

import numpy as np
from common import parser, save, subplots, table, timed

from fastrnn import GRU, Conv2d, Dense, RNNTagger, Sequential
from fastrnn.datasets import bouncing_balls

SIDE, PIXELS = 10.0, 15  # of the box, and of a frame
AHEAD = 5
UNKNOWN = 2  # frames at the beginning, too few to tell a speed: they do not count


def film(n_films, n_frames, seed):
    """Return frames (n_films, n_frames, 225), and where the ball is (n_films, n_frames + AHEAD, 2)."""
    options = {"n_balls": 1, "random_state": seed}
    frames = bouncing_balls(n_films, n_frames + AHEAD, output="frames", **options)
    return frames[:, :n_frames].reshape(n_films, n_frames, -1), bouncing_balls(n_films, n_frames + AHEAD, **options)


def network(seed):
    """A frame of 225 pixels in, two numbers out."""
    front = Conv2d((1, PIXELS, PIXELS), 8, kernel_size=5, stride=2, activation="relu", random_state=seed)
    return Sequential(
        front,
        Dense(front.output_size, 48, activation="relu", random_state=seed + 1),
        GRU(48, 64, random_state=seed + 2),
        Dense(64, 2, random_state=seed + 3),
    )


def scaled(positions):
    """To [-1, 1], as the network says it."""
    return positions * (2 / SIDE) - 1


def error(guess, truth):
    """Root mean square of the distance to the ball, over the frames that count."""
    return float(np.sqrt(np.mean(np.sum((guess - truth)[:, UNKNOWN:] ** 2, axis=-1))))


def draw(frames, guesses, path):
    """Save frames in which the ball is about to bounce, with the guesses where it will be."""
    missed = np.linalg.norm(guesses["flies straight on"] - guesses["truth"], axis=-1)
    shown = [(n, int(np.argmax(missed[n, UNKNOWN:])) + UNKNOWN) for n in range(5)]
    marks = {"truth": ("o", "none", "C2"), "network": ("x", "C0", "C0"), "flies straight on": ("v", "C3", "C3")}
    figure, row = subplots(1, len(shown), figsize=(11.0, 3.0))
    for axes, at in zip(row, shown):
        axes.imshow(frames[at].reshape(PIXELS, PIXELS), cmap="gray_r", vmax=1.6, origin="lower", extent=(0, SIDE) * 2)
        for name, (marker, fill, color) in marks.items():
            x, y = guesses[name][at]
            axes.plot(x, y, marker, markerfacecolor=fill, color=color, markersize=9, label=name, linestyle="none")
        axes.set(xlim=(-2.0, SIDE + 2.0), ylim=(-2.0, SIDE + 2.0))
        axes.axis("off")
        axes.plot([0, SIDE, SIDE, 0, 0], [0, 0, SIDE, SIDE, 0], color="black", linewidth=1.2)
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(marks))
    figure.suptitle(f"Five test frames before a bounce: where is the ball {AHEAD} frames later?")
    save(figure, path)


def main(argv=None):
    """Train, print, draw."""
    options = parser(__doc__, "tagging.png").parse_args(argv)
    n_films, n_frames = (40, 30) if options.small else (600, 60)
    frames, positions = film(n_films, n_frames, seed=0)
    test_frames, test_positions = film(50, n_frames, seed=1)
    print(f"films: {n_films} for training and 50 for the test, of {n_frames} frames of {PIXELS} x {PIXELS} pixels\n")
    model = RNNTagger(
        network=network(0),
        learning_rate="cosine",
        learning_rate_init=0.004,
        alpha=0.0,
        max_iter=3 if options.small else 40,
        random_state=0,
    )
    with timed("training"):
        model.fit(frames, scaled(positions[:, AHEAD:]))
    here, speed = test_positions[:, :-AHEAD], np.diff(test_positions, axis=1, prepend=test_positions[:, :1])
    guesses = {
        "truth": test_positions[:, AHEAD:],
        "network": (model.predict(test_frames) + 1) * (SIDE / 2),
        "flies straight on": here + AHEAD * speed[:, :-AHEAD],
    }
    rows = {
        "convolution and GRU": guesses["network"],
        "floor: the ball stays": here,
        "floor: flies straight on": guesses["flies straight on"],
    }
    title = f"distance to the ball {AHEAD} frames later, root mean square, in a box of side {SIDE:.0f}"
    table(title, {name: error(guess, guesses["truth"]) for name, guess in rows.items()}, "{:.2f}")
    draw(test_frames, guesses, options.picture)


if __name__ == "__main__":
    main()
