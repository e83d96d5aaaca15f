"""Who is speaking, at every moment? Networks judge single steps, and a hidden Markov model makes turns of them.

Recordings of nine men who say two vowels (JapaneseVowels: 12 cepstral coefficients a step) are put one after another,
so that speakers take turns. A tagger says at each step how probable each speaker is; the hidden Markov model knows how
long turns last, from the speakers of the training part, and finds the likeliest sequence of turns (Viterbi). One tagger
sees each step alone, as in the classical hybrid; one has a memory, a GRU.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastrnn import Dense, HMMDecoder, RNNTagger, SequenceScaler, Sequential
from fastrnn.datasets import load_japanese_vowels


def conversations(recordings, speakers, n, rng):
    """Conversations of eight turns, each of one to four recordings of a speaker, and who speaks at each step."""
    of_speaker = {speaker: np.flatnonzero(speakers == speaker) for speaker in np.unique(speakers)}
    X, y = [], []
    for _ in range(n):
        turns = rng.choice(list(of_speaker), 8)
        chosen = np.concatenate([rng.choice(of_speaker[speaker], rng.integers(1, 5)) for speaker in turns])
        X.append(np.concatenate([recordings[k] for k in chosen]))
        y.append(np.concatenate([np.full(len(recordings[k]), speakers[k]) for k in chosen]))
    return X, y


def taggers(n_epochs):
    """A tagger that sees a step alone, and one with a memory."""
    alone = Sequential(Dense(12, 32, activation="tanh", random_state=0), Dense(32, 9, random_state=1))
    options = {"learning_rate_init": 0.01, "max_iter": n_epochs, "batch_size": 16, "dtype": "float32"}
    return {
        "each step alone": RNNTagger(network=alone, random_state=0, **options),
        "GRU of 32 units": RNNTagger((32,), cell="gru", random_state=0, **options),
    }


def share_right(paths, y):
    """Share of steps with the right speaker."""
    return float(np.mean(np.concatenate(paths) == np.concatenate(y)))


def n_turns(paths):
    """Changes of speaker, in sum over conversations."""
    return sum(int(np.count_nonzero(np.diff(path))) for path in paths)


def draw(rows, path):
    """Save who speaks when, in truth and by each way to tell, as coloured bands."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(rows), 1, figsize=(8.0, 0.8 * len(rows) + 0.8), sharex=True, layout="constrained")
    for ax, (name, speakers) in zip(axes, rows.items()):
        bands = ax.imshow(speakers[None], aspect="auto", cmap="tab10", vmin=0.5, vmax=10.5, interpolation="nearest")
        ax.set(yticks=[])
        ax.set_title(name, fontsize=9, loc="left", pad=2)
    axes[-1].set_xlabel("step")
    bar = figure.colorbar(bands, ax=axes, label="speaker", ticks=range(1, 10))
    bar.ax.set_ylim(0.5, 9.5)
    figure.savefig(path, dpi=150)


def main():
    """Train, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a few seconds, and worse figures")
    parser.add_argument("--picture", default="speech.png", help="where to save the picture")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    X_train, y_train, X_test, y_test = load_japanese_vowels(return_X_y=True)
    rng = np.random.default_rng(0)
    X, y = conversations(X_train, np.asarray(y_train), 40 if options.small else 200, rng)
    X_new, y_new = conversations(X_test, np.asarray(y_test), 10 if options.small else 50, rng)
    scaler = SequenceScaler().fit(X)
    X, X_new = scaler.transform(X), scaler.transform(X_new)
    known = np.unique(y_train)
    decoder = HMMDecoder(len(known)).fit([np.searchsorted(known, speakers) for speakers in y])

    most = known[np.argmax(np.bincount(np.concatenate([np.searchsorted(known, row) for row in y])))]
    print(f"{len(X_new)} conversations of {sum(map(len, X_new))} steps and {n_turns(y_new)} changes of speaker")
    print(f"  always speaker {most}: {np.mean(np.concatenate(y_new) == most):.1%} of the steps right\n")
    print("                   likeliest speaker a step    likeliest turns (HMM)      trained in")
    rows = {"truth": y_new[0]}
    for name, model in taggers(5 if options.small else 40).items():
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
        framewise = model.predict(X_new)
        turns = [known[path] for path in decoder.decode_proba(model.predict_proba(X_new))]
        rows |= {f"{name}, likeliest speaker of each step": framewise[0], f"{name}, HMM": turns[0]}
        print(
            f"{name:18} {share_right(framewise, y_new):6.1%}, {n_turns(framewise):5} changes"
            f"      {share_right(turns, y_new):6.1%}, {n_turns(turns):4} changes     {seconds:5.1f} s"
        )
    draw(rows, options.picture)
    print(f"\nwho speaks when in one conversation: {options.picture}")


if __name__ == "__main__":
    main()
