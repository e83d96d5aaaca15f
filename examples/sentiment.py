"""Does it sound pleased? A GRU reads the words of a snippet and rates it from -4 to 4: many in, one out.

`RNNRegressor` learns the mean rating by twenty readers of snippets of reviews, editorials and tweets, which the sdist
of vaderSentiment holds (MIT; Hutto and Gilbert 2014). Its figures are the share of test snippets whose sign is right
and the correlation with the mean rating; floors: always the mean, and ridge regression on how often each word occurs.

The sdist is downloaded by pip, or named by --data. With --small, or where there is no network, a generated corpus takes
its place.
"""

import io
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from common import parser, save, subplots, table, timed
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from fastrnn import RNNRegressor

PACKAGE = "vaderSentiment==3.3.2"
SETS = ("amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets", "tweets")
RARE = "<rare>"


def words(text):
    """Lower-case words, punctuation and faces such as :D; never empty."""
    return re.findall(r"[:;=x]-?[dp]\b|[a-z']+|[^\w\s]+", text.lower()) or ["."]


def download(folder):
    """Return the path of the sdist, downloaded by pip, or None where that does not work."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    done = subprocess.run([*command, "--dest", folder, PACKAGE], capture_output=True)
    return next(Path(folder).glob("*.tar.gz"), None) if done.returncode == 0 else None


def snippets(path):
    """Read lists of words and mean ratings out of the archive within the sdist."""
    found = []
    with tarfile.open(path) as sdist:
        inner = next(name for name in sdist.getnames() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(sdist.extractfile(inner).read())) as archive:
            for name in SETS:
                lines = archive.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt").read()
                found += [line.split("\t") for line in lines.decode("utf-8", "replace").splitlines()]
    return [words(text) for _, _, text in found], np.array([float(rating) for _, rating, _ in found])


def generated(n_snippets, rng):
    """Return sentences such as "the film is not very good , the music rather dull .", and their ratings."""
    values = {"good": 2, "great": 3, "fine": 1, "bad": -2, "awful": -3, "dull": -1}
    turns, forces = {"": 1.0, "not": -0.8}, {"": 1.0, "very": 1.3, "rather": 0.5}
    found, ratings = [], []
    for _ in range(n_snippets):
        said = [[str(rng.choice(list(kind))) for kind in (turns, forces, values)] for _ in range(2)]
        found.append(words(f"the film is {' '.join(said[0])} , the music {' '.join(said[1])} ."))
        ratings.append(sum(turns[turn] * forces[force] * values[word] for turn, force, word in said) / 2)
    return found, np.array(ratings)


def data(options):
    """Snippets and ratings, of the sdist where there is one."""
    with tempfile.TemporaryDirectory() as folder:
        path = options.data or (None if options.small else download(folder))
        if path is not None:
            return snippets(path)
    reason = "" if options.small else ", which pip could not download"
    print(f"generated sentences instead of vaderSentiment's snippets{reason}")
    return generated(400 if options.small else 4000, np.random.default_rng(0))


def figures(guess, ratings):
    """Share of right signs, and correlation."""
    spread = float(np.std(guess))
    return float(np.mean((guess > 0) == (ratings > 0))), float(np.corrcoef(guess, ratings)[0, 1]) if spread else 0.0


def draw(model, texts, guess, ratings, path):
    """Save guesses over ratings, and how the guess about a few snippets moves from word to word."""
    figure, (left, right) = subplots(1, 2, figsize=(11.0, 4.8))
    left.plot(ratings, guess, ".", markersize=3, alpha=0.4)
    left.axhline(0, color="0.6", linewidth=0.8)
    left.axvline(0, color="0.6", linewidth=0.8)
    left.set(xlabel="mean rating of the readers", ylabel="rating of the network", title="test snippets")
    short = [k for k, text in enumerate(texts) if 7 <= len(text) <= 11 and RARE not in text][:200]
    moves = {k: model.predict([texts[k][: n + 1] for n in range(len(texts[k]))]) for k in short}
    rise = {k: guesses[-1] - guesses[0] for k, guesses in moves.items()}
    for k, color, place in ((max(rise, key=rise.get), "C2", 8), (min(rise, key=rise.get), "C3", -15)):
        right.plot(moves[k], "o-", color=color, label=f"readers: {ratings[k]:+.1f}")
        for step, word in enumerate(texts[k]):
            style = {"fontsize": 9, "color": color, "ha": "center"}
            right.annotate(word, (step, moves[k][step]), (0, place), textcoords="offset points", **style)
    right.margins(0.1)
    right.set(xlabel="words read", ylabel="rating so far", title="two of them, word by word")
    right.legend()
    save(figure, path)


def main(argv=None):
    """Train, print, draw."""
    made = parser(__doc__, "sentiment.png")
    made.add_argument("--data", metavar="FILE", help=f"the sdist of {PACKAGE}; without it pip downloads it")
    options = made.parse_args(argv)
    texts, ratings = data(options)
    texts, test_texts, ratings, test_ratings = train_test_split(texts, ratings, test_size=0.2, random_state=0)
    if options.small:
        texts, ratings = texts[:2000], ratings[:2000]
    print(f"snippets: {len(texts)} for training and {len(test_texts)} for the test\n")
    count = Counter(word for text in texts for word in text)
    reads = [[[word if count[word] > 1 else RARE for word in text] for text in part] for part in (texts, test_texts)]
    model = RNNRegressor(
        (32,),
        cell="gru",
        embedding_dim=64,
        dropout=0.5,
        batch_size=64,
        early_stopping=True,
        n_iter_no_change=3,
        max_iter=3 if options.small else 12,
        dtype="float32",
        random_state=0,
    )
    with timed("training"):
        model.fit(reads[0], ratings)
    guesses = {"GRU": model.predict(reads[1]), "floor: the mean": np.full(len(test_ratings), ratings.mean())}
    joined = [[" ".join(text) for text in part] for part in (texts, test_texts)]
    for name, longest in {"floor: bag of words": 1, "floor: bag of words and pairs": 2}.items():
        bag = CountVectorizer(tokenizer=str.split, lowercase=False, token_pattern=None, ngram_range=(1, longest))
        guesses[name] = make_pipeline(bag, Ridge(10.0)).fit(joined[0], ratings).predict(joined[1])
    rows = {name: figures(guess, test_ratings) for name, guess in guesses.items()}
    table("share of right signs, correlation with the mean rating", rows, "{:.3f}")
    draw(model, reads[1], guesses["GRU"], test_ratings, options.picture)


if __name__ == "__main__":
    main()
