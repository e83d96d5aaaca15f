"""Which letter comes next? A GRU reads Shakespeare and writes on.

`RNNLanguageModel` learns the first 90 % of a million characters of Shakespeare's plays (public domain), with the state
carried from window to window. Its figure is the bits it needs for a character of the rest; floors: how often each
character comes, and how often after the four before it (interpolated, Witten and Bell 1991). Then it completes words,
writes a few lines, and draws what it expected at each letter of a line.
"""

import bz2
import textwrap
from collections import Counter, defaultdict

import numpy as np
from common import benchmark, parser, save, subplots, table, timed

from fastrnn import RNNLanguageModel

BEGINNING = "ROMEO:\nO, "
PREFIXES = ("My lord, I pr", "Come hith", "The king is ")


class Chain:
    """Letters by the `order - 1` letters before them; each order is mixed with the next lower one."""

    def __init__(self, text, order):
        self.order, self.n_letters = order, len(set(text))
        self.followers = defaultdict(Counter)
        for length in range(order):
            for k in range(length, len(text)):
                self.followers[text[k - length : k]][text[k]] += 1

    def probability(self, letter, context):
        """Of a letter after some others."""
        p = 1 / self.n_letters
        for length in range(min(self.order - 1, len(context)) + 1):
            known = self.followers.get(context[len(context) - length :])
            if known is not None:
                p = (known[letter] + len(known) * p) / (known.total() + len(known))
        return p

    def bits(self, text):
        """Mean for a character."""
        context = self.order - 1
        return -np.mean([np.log2(self.probability(text[k], text[max(0, k - context) : k])) for k in range(len(text))])


def expectations(model, text, before):
    """Return for each letter of a text the five likeliest, best first, and their probabilities."""
    known = {number: letter for letter, number in model.vocabulary_.items()}
    state, found = model.state_after(before), []
    for letter in text:
        p = np.exp(state["log_probabilities"]).ravel()
        best = [number for number in np.argsort(-p) if number in known][:5]
        found.append([(known[number], p[number]) for number in best])
        state = model.state_after(letter, state)
    return found


def draw(model, line, before, path):
    """Save a line with the five likeliest letters at each of its places, the darker the likelier."""
    found = expectations(model, line, before)
    p = np.array([[probability for _, probability in column] for column in found]).T
    figure, axes = subplots(figsize=(11.0, 2.9))
    image = axes.imshow(p, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for column, letters in enumerate(found):
        for row, (letter, probability) in enumerate(letters):
            shown = {" ": "␣", "\n": "¶"}.get(letter, letter)
            style = {"color": "white" if probability > 0.6 else "black", "ha": "center", "va": "center"}
            weight = "bold" if letter == line[column] else "normal"
            axes.text(column, row, shown, fontsize=9, fontweight=weight, **style)
    axes.set_xticks(range(len(line)), [{" ": "␣", "\n": "¶"}.get(letter, letter) for letter in line], fontsize=10)
    axes.set_yticks(range(5), ["likeliest", "2nd", "3rd", "4th", "5th"])
    axes.xaxis.tick_top()
    axes.set_xlabel("each letter of an unknown line, and what was expected there (bold: right)")
    figure.colorbar(image, label="probability", pad=0.01)
    save(figure, path)


def main(argv=None):
    """Train, print, write, draw."""
    options = parser(__doc__, "language_model.png").parse_args(argv)
    text = bz2.decompress(benchmark("tiny_shakespeare").DATA.read_bytes()).decode("ascii")
    text = text[:20_000] if options.small else text
    cut = int(0.9 * len(text))
    learned, rest = text[:cut], text[cut:]
    print(f"characters: {len(learned):,} for training and {len(rest):,} for the test\n")
    model = RNNLanguageModel(
        (32,) if options.small else (256,),
        cell="gru",
        embedding_dim=32,
        dropout=0.1,
        learning_rate="onecycle",
        learning_rate_init=0.006,
        batch_size=32,
        max_iter=2 if options.small else 4,
        random_state=0,
        verbose=not options.small,
    )
    with timed("training"):
        model.fit(learned)
    bits = {"GRU": model.bits_per_character(rest)}
    bits |= {f"floor: {n}-grams of letters": Chain(learned, n).bits(rest) for n in (1, 5)}
    table("bits a character, perplexity of a character", {k: (b, 2.0**b) for k, b in bits.items()}, "{:5.2f}")

    for prefix in PREFIXES:
        found = ", ".join(f"{word} {probability:.0%}" for word, probability in model.complete(prefix, 4))
        print(f"  {prefix!r} may go on: {found}")
    print(f"\n{textwrap.indent(BEGINNING, '  ')}", end="")
    for character in model.generate(BEGINNING, 400, temperature=0.7, random_state=0):
        print(character.replace("\n", "\n  "), end="", flush=True)
    print("\n")
    lines = rest[:4000].split("\n")
    chosen = next(k for k, line in enumerate(lines) if k > 8 and 36 <= len(line) <= 48)
    draw(model, lines[chosen], "\n".join(lines[:chosen]) + "\n", options.picture)


if __name__ == "__main__":
    main()
