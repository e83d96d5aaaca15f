"""What is "the third of May nineteen eighty four" in digits? One sequence in, another out, with attention.

`RNNSeq2Seq` reads dates in English words, in several orders of day, month and year, and writes them as 1984-05-03. Its
figures are the shares of dates and of their characters that are right; no date of the test is one of the training.
Floor: the date of the training sentence that has most words in common, which shares characters at best. A picture shows
at which words the decoder looked for each digit.
"""

import datetime

import numpy as np
from common import parser, save, subplots, table, timed

from fastrnn import RNNSeq2Seq
from fastrnn.inspection import plot_attention

UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
UNITS = [*UNITS.split(), *"seventeen eighteen nineteen".split()]
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
IRREGULAR = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
IRREGULAR |= {"twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth"}
FIRST, LAST = datetime.date(1900, 1, 1).toordinal(), datetime.date(2099, 12, 31).toordinal()
FORMS = (
    "the {day} of {month} {year}",
    "{month} {day} {year}",
    "{weekday} the {day} of {month} {year}",
    "in {year} on {month} the {day}",
    "on {weekday} {month} {day} in the year {year}",
)


def cardinal(number):
    """Words of a number below 100."""
    if number < 20:
        return UNITS[number]
    return TENS[number // 10 - 2] + (f" {UNITS[number % 10]}" if number % 10 else "")


def ordinal(number):
    """Words such as "twenty third"."""
    *before, last = cardinal(number).split()
    return " ".join([*before, IRREGULAR.get(last, f"{last}th")])


def year_words(year):
    """Words such as "nineteen oh four" and "two thousand and four"."""
    century, rest = divmod(year, 100)
    if century == 20 and rest < 10:
        return "two thousand" + (f" and {UNITS[rest]}" if rest else "")
    return f"{cardinal(century)} " + ("hundred" if rest == 0 else f"oh {UNITS[rest]}" if rest < 10 else cardinal(rest))


def dates(n_dates, rng):
    """Return sentences, lists of words, and the same dates as yyyy-mm-dd; no date comes twice."""
    sentences, written = [], []
    for day in rng.choice(np.arange(FIRST, LAST + 1), n_dates, replace=False):
        date = datetime.date.fromordinal(int(day))
        parts = {"day": ordinal(date.day), "month": f"{date:%B}".lower(), "weekday": f"{date:%A}".lower()}
        form = FORMS[rng.integers(len(FORMS))]
        sentences.append(form.format(year=year_words(date.year), **parts).split())
        written.append(date.isoformat())
    return sentences, written


def nearest(sentences, written, unseen):
    """Answer with the date of the sentence that has most words in common (share of their union)."""
    bags = [frozenset(words) for words in sentences]
    shared = [[len(bag & set(words)) / len(bag | set(words)) for bag in bags] for words in unseen]
    return [written[int(np.argmax(row))] for row in shared]


def share(guess, truth):
    """Of the dates that are right, and of their characters."""
    letters = [a == b for one, other in zip(guess, truth) for a, b in zip(one.ljust(10), other)]
    return float(np.mean([a == b for a, b in zip(guess, truth)])), float(np.mean(letters))


def main(argv=None):
    """Train, print, draw."""
    options = parser(__doc__, "translation.png").parse_args(argv)
    n_train, n_test = (300, 50) if options.small else (4000, 500)
    sentences, written = dates(n_train + n_test, np.random.default_rng(0))
    X, y, X_test, y_test = sentences[:n_train], written[:n_train], sentences[n_train:], written[n_train:]
    print(f"dates: {n_train} for training and {n_test} others for the test\n")
    model = RNNSeq2Seq(
        (64,),
        cell="gru",
        bidirectional=True,
        attention="additive",
        embedding_dim=32,
        learning_rate="cosine",
        learning_rate_init=0.005,
        batch_size=64,
        max_iter=3 if options.small else 20,
        dtype="float32",
        random_state=0,
    )
    with timed("training"):
        model.fit(X, y)
    guess = model.predict(X_test)
    rows = {"encoder, attention, decoder": share(guess, y_test)}
    rows["floor: the nearest sentence"] = share(nearest(X, y, X_test), y_test)
    table("share of right dates, of right characters", rows)
    for words, one, other in list(zip(X_test, guess, y_test))[:4]:
        print(f"  {' '.join(words)}: {one}" + ("" if one == other else f", but it is {other}"))
    print()

    shown = [next(n for n, words in enumerate(X_test) if words[0] == first) for first in ("the", "in")]
    figure, row = subplots(1, 2, figsize=(11.0, 5.2))
    for axes, n, weights in zip(row, shown, model.attention_weights([X_test[n] for n in shown])):
        plot_attention(weights, X_test[n], guess[n], ax=axes)
        axes.tick_params(axis="x", labelrotation=45)
    save(figure, options.picture)


if __name__ == "__main__":
    main()
